"""The step records of both services, asked for with `GET /os-steps`; what a reference on the command line means.

A service that does not answer, or keeps no records, is left out and named, so that the other's story can be told.
"""

import dataclasses
import re
import typing
from collections.abc import Mapping

from nova_lite.cli import errors, lookup, session, trace_steps

SERVICES = ("compute", "volume")
# What keeps records for the API that is asked.
SIDES = {"compute": "nova", "volume": "cinder"}
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Answers:
    """The steps that were told, and the services that told none, with the error that says why."""

    steps: list[trace_steps.Step]
    unseen: dict[str, errors.CliError]

    @property
    def notes(self) -> list[str]:
        """A line for each side that could not be seen."""
        return [f"{SIDES[service]}'s side is not seen: {error.message}" for service, error in self.unseen.items()]


@dataclasses.dataclass(frozen=True)
class Target:
    """What is asked about: `query` for the APIs, and what messages call it."""

    kind: str
    query: Mapping[str, str]
    label: str


def ask(cloud: session.Cloud, query: Mapping[str, typing.Any]) -> Answers:
    """Return what both services recorded; raises CliError when neither can tell."""
    steps: list[trace_steps.Step] = []
    unseen: dict[str, errors.CliError] = {}
    for service in SERVICES:
        try:
            steps += [trace_steps.read(record) for record in cloud.pages(service, "/os-steps", "steps", query)]
        except errors.ApiError as error:
            unseen[service] = _no_records(service) if error.status == 404 else error
        except errors.CliError as error:
            unseen[service] = error
        except (KeyError, TypeError, ValueError) as error:
            name = session.API_NAMES[service]
            unseen[service] = errors.CliError(f"{name} answered with something that is no step record ({error!r})")
    if len(unseen) == len(SERVICES):
        first, second = unseen.values()
        raise errors.CliError(f"{first.message}; {second.message}", first.hint)
    return Answers(steps, unseen)


def find(cloud: session.Cloud, reference: str) -> tuple[Target, Answers]:
    """Return what the reference names, and what is recorded of it (nothing, when it was only just begun).

    Raises NotFound, Ambiguous, or as `ask` does.
    """
    if REQUEST_ID.fullmatch(reference):
        target = Target("request", {"request_id": reference}, f"request {reference}")
        return target, ask(cloud, target.query)
    if lookup.is_uuid(reference):
        return _by_uuid(cloud, reference)
    target = _by_name(cloud, reference)
    return target, ask(cloud, target.query)


def nothing(target: Target, answers: Answers) -> errors.CliError:
    """Return the error for a target of which nothing is recorded."""
    hint = "records are kept for some days ([trace] keep), and only your own project's are shown"
    unseen = f"; {'; '.join(answers.notes)}" if answers.unseen else ""
    return errors.NotFound(f"no step of {target.label} is recorded{unseen}", hint)


def _no_records(service: str) -> errors.CliError:
    return errors.CliError(
        f"{session.API_NAMES[service]} keeps no records of steps (no /os-steps there)",
        "only nova-lite and cinder-lite have them; for others: openstack server event list, volume message list",
    )


def _by_uuid(cloud: session.Cloud, reference: str) -> tuple[Target, Answers]:
    """Ask for each kind of thing that has such an id: records are there when the thing itself is gone."""
    answers = Answers([], {})
    for kind in ("volume", "server", "attachment"):
        target = Target(kind, {f"{kind}_id": reference}, f"{kind} {reference}")
        answers = ask(cloud, target.query)
        if answers.steps:
            return target, answers
    return _existing(cloud, reference, answers) or Target(
        "id", {}, f"any request, server, volume or attachment {reference}"
    ), answers


def _existing(cloud: session.Cloud, reference: str, answers: Answers) -> Target | None:
    """Return the thing with this id of which nothing is recorded yet."""
    for kind, find_one in (("volume", lookup.volume), ("server", lookup.server)):
        try:
            found = find_one(cloud, reference)
        except errors.CliError:
            continue
        return Target(kind, {f"{kind}_id": reference}, f"{kind} {lookup.label(found)}")
    return None


def _by_name(cloud: session.Cloud, reference: str) -> Target:
    found: list[Target] = []
    silent: list[errors.CliError] = []
    for kind, find_one in (("server", lookup.server), ("volume", lookup.volume)):
        try:
            record = find_one(cloud, reference)
        except errors.NotFound:
            continue
        except errors.Unreachable as error:
            silent.append(error)
            continue
        found.append(Target(kind, {f"{kind}_id": record["id"]}, f"{kind} {reference}"))
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(f"{one.kind} {next(iter(one.query.values()))}" for one in found)
        raise errors.Ambiguous(f"a server and a volume are named {reference!r}: {ids}", "say which one by its id")
    if silent:
        raise silent[0]
    raise errors.NotFound(
        f"nothing has the name or id {reference!r}: no request (req-...), server, volume or attachment",
        "`nlite list` and `nlite volume-list` show what exists; what is gone is known by its id only",
    )
