"""The command `trace`: the story of a request over all five daemons, or of all requests on one thing."""

import argparse
import json
import shutil
import typing

from nova_lite.cli import (
    base,
    trace_diagram,
    trace_follow,
    trace_mermaid,
    trace_records,
    trace_story,
    trace_svg,
    trace_table,
    trace_text,
)
from nova_lite.cli.trace_story import Story

FORMATS = ("table", "diagram", "mermaid", "svg", "json")
# Columns of what goes to a pipe or a file.
PLAIN_WIDTH = 100


class Trace(base.Command):
    """Tell the story of a request, or of all on a server or volume, over all daemons.

    Each step with the daemon and host that did it, when it began, how long it took, how it ended and why it failed;
    steps that another step waited for stand indented under it. Exit code 0: told; 1: nothing is recorded, or one side
    could not be asked; with --follow 1 also for a request that failed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to tell of, and how."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "reference",
            metavar="REQUEST|VOLUME|SERVER|ATTACHMENT",
            help="id of a request (req-...), name or id of a volume or server, id of an attachment",
        )
        shape = parser.add_mutually_exclusive_group()
        shape.add_argument("-f", "--format", choices=FORMATS, default="table", help="how to show it (default: table)")
        shape.add_argument(
            "--diagram",
            dest="format",
            action="store_const",
            const="diagram",
            help="a sequence diagram in the terminal: short for -f diagram",
        )
        parser.add_argument(
            "--last", type=base.positive, metavar="N", help="only the last N requests of a server, volume or attachment"
        )
        parser.add_argument("--width", type=base.positive, metavar="N", help="columns (default: those of the terminal)")
        parser.add_argument(
            "--follow",
            action="store_true",
            help="show steps as they come, until the request is finished; of a server, volume or attachment the last "
            "request and those that follow, until Ctrl-C",
        )
        parser.add_argument(
            "--timeout", type=base.seconds, metavar="SECONDS", help="longest time to --follow (default: no limit)"
        )
        self._parser = parser
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the story; the exit code."""
        style = self._style(parsed_args)
        if parsed_args.follow:
            if parsed_args.format != "table":
                self._parser.error("--follow shows steps as lines, so it goes with no other format")
            return trace_follow.follow(self.cloud, parsed_args.reference, self.nlite.stdout, style, parsed_args.timeout)
        target, answers = trace_records.find(self.cloud, parsed_args.reference)
        if not answers.steps:
            raise trace_records.nothing(target, answers)
        stories = trace_story.stories(answers.steps)
        shown = stories[-parsed_args.last :] if parsed_args.last else stories
        self.nlite.stdout.write(_told(parsed_args.format, shown, answers, style))
        for error in answers.unseen.values():
            self.nlite.LOG.error(error)
        return int(bool(answers.unseen))

    def _style(self, parsed_args: argparse.Namespace) -> trace_text.Style:
        stdout = self.nlite.stdout
        columns = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if stdout.isatty() else PLAIN_WIDTH
        return trace_text.style(stdout, parsed_args.width or columns)


def _told(shape: str, stories: list[Story], answers: trace_records.Answers, style: trace_text.Style) -> str:
    notes = answers.notes
    unseen = tuple(trace_records.SIDES[service] for service in answers.unseen)
    if shape == "json":
        told = {"requests": [_plain(story) for story in stories], "notes": notes}
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    if shape == "mermaid":
        return trace_mermaid.mermaid(stories, notes, unseen)
    if shape == "svg":
        return trace_svg.svg(stories, notes, unseen)
    if shape == "diagram":
        parts = [trace_diagram.diagram(story, style, unseen) for story in stories]
        parts += ["".join(f"{line}\n" for line in trace_table.wrapped(f"note: {note}", style)) for note in notes]
        return "\n".join(parts)
    return trace_table.table(stories, notes, style)


def _plain(story: Story) -> dict[str, typing.Any]:
    """Return the story as plain data: the records as the APIs gave them, in order, with what asked for each."""
    failed = story.failure
    return {
        "request_id": story.request_id,
        "operation": story.operation or None,
        "outcome": story.outcome.value,
        "failed_at": None if failed is None else {"service": failed.service, "step": failed.name},
        "duration_ms": round(story.seconds * 1e3, 3),
        "remarks": trace_text.remarks(story),
        "steps": [
            one.step.raw
            | {
                "start_ms": round((one.step.started - story.began) * 1e3, 3),
                "duration_ms": None if one.step.seconds is None else round(one.step.seconds * 1e3, 3),
                "depth": one.depth,
                "cause": None
                if one.cause is None or one.hop is None
                else {
                    "service": one.cause.service,
                    "process": one.cause.process[2],
                    "number": one.cause.number,
                    "by": one.hop.kind.value,
                },
            }
            for one in story.placed
        ],
    }
