"""The last failed attach or detach of a volume, from the step records, until something later on it has succeeded.

Services that keep no records (OpenStack's own) and services that do not answer have nothing to tell; the commands that
show failures beside other things then show none.
"""

import datetime
import time
import typing
from collections.abc import Sequence

from cliff import columns

from nova_lite.cli import errors, session, trace_records, trace_story
from nova_lite.cli.trace_steps import Outcome, Record
from nova_lite.cli.trace_story import Story

OPERATIONS = ("attach", "detach")
# A busy thing has thousands of records, and the last of them decide; they are asked for first.
RECENT = 3600.0
MANY = 500
FEW = 5


class Cell(columns.FormattableColumn[Record]):
    """A failure: a sentence for people, the fields for programs."""

    def human_readable(self) -> str:
        """Return the sentence, and where the whole story is."""
        return f"{sentence(self._value)}\nsee: nlite trace {self._value['request_id']}"


def of_volume(cloud: session.Cloud, volume_id: str) -> Record | None:
    """Return the failure that stands for the volume, or None."""
    return _standing(cloud, {"volume_id": volume_id}, lambda stories: any(_tells(one) for one in stories)).get(
        volume_id
    )


def of_server(cloud: session.Cloud, server_id: str) -> dict[str, Record]:
    """Return the failures of attaching volumes to the server and detaching them, by volume id, the oldest first.

    Of the last FEW only: whether a failure still stands, or the volume went to another server or was deleted since,
    is to be asked volume by volume.
    """
    found = _standing(cloud, {"server_id": server_id}, lambda stories: sum(len(one.placed) for one in stories) >= MANY)
    last = list(found.items())[-FEW:]
    return {volume: failure for volume, failure in last if of_volume(cloud, volume) == failure}


def sentence(failure: Record) -> str:
    """Return what failed where and why; what to do about it is in the daemon's own words."""
    return (
        f"{failure['operation']} failed at {failure['step']} ({failure['service']} on {failure['host']}, "
        f"{failure['at'][:19].replace('T', ' ')} UTC): {failure['message']}"
    )


def standing(stories: Sequence[Story]) -> dict[str, Record]:
    """Return the failures by volume that nothing later has made good; the stories come the earliest first."""
    found: dict[str, Record] = {}
    for story in stories:
        volume = story.ids.get("volume", "")
        known = found.get(volume)
        if story.outcome is Outcome.OK and story.operation:
            # What a timer tidies up does not make the failure good, unless it finishes what was asked for.
            if story.user or (known is not None and known["operation"] == story.operation):
                found.pop(volume, None)
        elif volume and _tells(story) and story.operation in OPERATIONS:
            found.pop(volume, None)
            found[volume] = _record(story, volume)
    return found


def _standing(
    cloud: session.Cloud, query: dict[str, str], enough: typing.Callable[[list[Story]], bool]
) -> dict[str, Record]:
    since = datetime.datetime.fromtimestamp(time.time() - RECENT, datetime.UTC)
    try:
        recent = trace_story.stories(trace_records.ask(cloud, query | {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}).steps)
        if enough(recent):
            return standing(recent)
        return standing(trace_story.stories(trace_records.ask(cloud, query).steps))
    except errors.CliError:
        return {}


def _tells(story: Story) -> bool:
    """Whether it is a request of somebody that has ended, well or not."""
    return bool(story.user and story.operation and not story.running)


def _record(story: Story, volume: str) -> Record:
    failed = story.failure
    if failed is None:
        return {}
    at = failed.finished or failed.started
    return {
        "operation": story.operation,
        "step": failed.name,
        "service": failed.service,
        "host": failed.host,
        "at": datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(),
        "message": failed.reason,
        "server_id": story.ids.get("server"),
        "volume_id": volume,
        "request_id": story.request_id,
    }
