"""`nlite doctor`: does everybody say the same of every attachment, and if not, who would do what about it?

It looks through both APIs only, so it works with any daemon down and says what it could not see; with --fix the
daemons themselves put right what may safely be put right. Exit codes are for monitoring.
"""

import argparse
import datetime
import json
import time
import typing
from collections.abc import Sequence

from nova_lite.cli import base, doctor_rules, doctor_sides, doctor_view, errors
from nova_lite.cli.doctor_sides import About, Record, Seen

ALL_AGREE, DISAGREEMENT, NOT_ALL_SEEN, REFUSED = 0, 1, 2, 3
PAUSE = 2.0
# A daemon may have to go first before another can do its part, so they are asked in turns.
ROUNDS = 3
HOME_AND_CLEAR = "\x1b[H\x1b[2J"
NOVA_HEAL, CINDER_HEAL = "/os-attachment-sides/heal", "/os-volume-sides/heal"


class Doctor(base.Command):
    """Compare all sides of attachments; with --fix make them agree.

    Exit code 0: all agree. 1: something does not. 2: not everything could be seen. 3: typed wrong or not allowed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what is asked about, and what is done with the answer."""
        parser = super().get_parser(prog_name)
        parser.add_argument("thing", metavar="SERVER|VOLUME", nargs="?", help="name or id; without it everything")
        parser.add_argument("--fix", action="store_true", help="have the daemons put right what may safely be (admin)")
        parser.add_argument(
            "--watch", nargs="?", type=base.seconds, const=PAUSE, metavar="SECONDS", help="look again every so often"
        )
        parser.add_argument("-f", "--format", choices=("table", "json"), default="table", help="default: table")
        parser.add_argument("--wrong", action="store_true", help="show only attachments that do not agree")
        parser.add_argument(
            "--in-motion",
            type=base.seconds,
            default=doctor_rules.MOTION_LIMIT,
            metavar="SECONDS",
            help=f"how long an attach or detach may take (default: {doctor_rules.MOTION_LIMIT:g})",
        )

        def refuse(message: str) -> typing.NoReturn:
            # argparse ends with 2, which is said of something else here.
            parser.print_usage(self.nlite.stderr)
            parser.exit(REFUSED, f"{parser.prog}: error: {message}\n")

        parser.error = refuse  # type: ignore[method-assign] # the class is cliff's choice
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Look, heal and watch as asked; the exit code is that of the last look."""
        try:
            if parsed_args.watch is not None:
                return self._watch(parsed_args)
            return self._once(parsed_args)
        except errors.Unreachable as error:
            self.nlite.LOG.error(error)
            return NOT_ALL_SEEN
        except errors.CliError as error:
            self.nlite.LOG.error(error)
            return REFUSED

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Not used: `run` gives the exit code itself."""

    def _watch(self, args: argparse.Namespace) -> int:
        redraw = self.nlite.stdout.isatty() and args.format == "table"
        code = ALL_AGREE
        try:
            while True:
                if redraw:
                    self.nlite.stdout.write(HOME_AND_CLEAR)
                if args.format == "table":
                    self.nlite.stdout.write(f"-- {_now().isoformat(timespec='seconds')}Z\n")
                code = self._once(args)
                self.nlite.stdout.flush()
                time.sleep(args.watch)
        except KeyboardInterrupt:
            return code

    def _once(self, args: argparse.Namespace) -> int:
        about = doctor_sides.resolve(self.cloud, args.thing)
        seen, judged = self._look(about, args)
        healed: list[Record] = []
        if args.fix and _is_wrong(seen, judged):
            if args.format == "table":
                self._show(seen, judged, args, healed)
            seen, judged = self._fix(about, seen, judged, args, healed)
        return self._show(seen, judged, args, healed)

    def _look(self, about: About, args: argparse.Namespace) -> tuple[Seen, doctor_view.Judged]:
        seen = doctor_sides.look(self.cloud, about)
        now = _now()
        return seen, [(one, doctor_rules.judge(one, now, args.in_motion)) for one in seen.sides]

    def _fix(
        self, about: About, seen: Seen, judged: doctor_view.Judged, args: argparse.Namespace, healed: list[Record]
    ) -> tuple[Seen, doctor_view.Judged]:
        """Ask the daemons, look again, and again as long as that helps; the last look."""
        for _ in range(ROUNDS):
            answers = [self._ask(one) for one in _requests(seen, judged)]
            healed += answers
            if args.format == "table":
                for answer in answers:
                    self._tell(answer)
            seen, judged = self._look(about, args)
            if not _is_wrong(seen, judged) or not any(one["done"] for one in answers):
                break
        return seen, judged

    def _ask(self, wanted: tuple[str, str | None, str]) -> Record:
        by, server_id, volume_id = wanted
        service, path = ("compute", NOVA_HEAL) if by == doctor_rules.COMPUTE else ("volume", CINDER_HEAL)
        body: Record = {"volume_id": volume_id}
        if service == "compute":
            body["server_id"] = server_id
        answer: Record = {"by": by, "server_id": server_id, "volume_id": volume_id, "done": [], "left": []}
        try:
            return answer | self.cloud.call(service, "POST", path, {"heal": body}).body["heal"]
        except errors.ApiError as error:
            if error.status in (401, 403):
                raise
            return answer | {"left": [error.message]}
        except errors.Unreachable as error:
            return answer | {"left": [error.message]}

    def _tell(self, answer: Record) -> None:
        for key, sign in (("done", "+"), ("left", "-")):
            for text in answer[key]:
                self.nlite.stdout.write(f"{sign} {answer['by']}, volume {answer['volume_id']}: {text}\n")
        if not (answer["done"] or answer["left"]):
            self.nlite.stdout.write(f"- {answer['by']}, volume {answer['volume_id']}: it found nothing to do\n")

    def _show(self, seen: Seen, judged: doctor_view.Judged, args: argparse.Namespace, healed: Sequence[Record]) -> int:
        code = doctor_rules.exit_code([verdict for _, verdict in judged], bool(seen.unseen), bool(seen.exports))
        if args.format == "json":
            shown = doctor_view.data(seen, judged, code, healed)
            self.nlite.stdout.write(json.dumps(shown, indent=None if args.watch else 2) + "\n")
        else:
            self.nlite.stdout.write(doctor_view.text(seen, judged, all_of_them=not args.wrong))
        return code


def _is_wrong(seen: Seen, judged: doctor_view.Judged) -> bool:
    return bool(seen.exports) or any(verdict.word == doctor_rules.DISAGREE for _, verdict in judged)


def _requests(seen: Seen, judged: doctor_view.Judged) -> list[tuple[str, str | None, str]]:
    """Who is asked about what, each once: the volume's daemon by volume, a host by server and volume."""
    found: dict[tuple[str, str | None, str], None] = {}
    for one, verdict in judged:
        if verdict.word != doctor_rules.DISAGREE:
            continue
        for finding in verdict.findings:
            if finding.by == doctor_rules.COMPUTE:
                found[finding.by, one.server_id, one.volume_id] = None
            elif finding.by == doctor_rules.BACKEND:
                found[finding.by, None, one.volume_id] = None
    for _, volume_id in seen.exports:
        found[doctor_rules.BACKEND, None, volume_id] = None
    return list(found)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
