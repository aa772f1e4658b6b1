"""Showing steps as they come: a line per step when it is first seen, and one more when it was running then.

Records arrive some tenths of a second late, and between two steps nothing runs, so a request counts as finished when
it has been quiet for a while, no step of it runs, and no daemon is still to take up what was sent to it.
"""

import collections
import dataclasses
import time
import typing
from collections.abc import Callable

from nova_lite.cli import errors, session, trace_records, trace_story, trace_table, trace_text
from nova_lite.cli.trace_steps import Outcome
from nova_lite.cli.trace_story import Key, Story

PAUSE = 0.3
# Seconds without anything new after which a request that could be finished is.
QUIET = 1.5
# How long a daemon may take to begin what was sent to it, or to finish an operation whose steps make a pause.
PATIENCE = 60.0
# Requests on one thing whose steps are still looked at.
KEPT = 20
COLUMNS = trace_table.Columns(service=16, host=12, step=34)

Clock = Callable[[], float]


def follow(
    cloud: session.Cloud,
    reference: str,
    stream: typing.TextIO,
    style: trace_text.Style,
    timeout: float | None,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print the steps of what is named as they come, until its request is finished; the exit code.

    Of a server, volume or attachment the requests have no end: they are followed until `timeout`, or Ctrl-C. Raises
    CliError when the time is up before the end, and when nothing is recorded of a request.
    """
    target, answers = trace_records.find(cloud, reference)
    if not answers.steps and target.kind == "id":
        raise trace_records.nothing(target, answers)
    teller = Teller(stream, style)
    one_request = target.kind == "request"
    began = changed = clock()
    since: dict[str, str] = {}
    while True:
        stories = trace_story.stories(answers.steps)
        told = stories if one_request or teller.began else stories[-1:]
        if teller.tell(told, answers.notes):
            changed = clock()
        if one_request and _finished(stories, clock() - changed):
            if not stories:
                raise trace_records.nothing(target, answers)
            return teller.end(stories[0])
        if timeout is not None and clock() - began >= timeout:
            if one_request:
                raise errors.CliError(f"{target.label} has not finished after {timeout:g} s", "it may still get there")
            return 0
        if not one_request and stories:
            # What is over long ago need not be asked for again.
            kept = told[-KEPT:]
            since = {"since": kept[0].steps[0].raw["started_at"]}
            answers = trace_records.Answers([step for story in kept for step in story.steps], answers.unseen)
        sleep(PAUSE)
        answers = _again(cloud, {**target.query, **since}, answers)


@dataclasses.dataclass
class Teller:
    """Writes the lines and remembers what it has told."""

    stream: typing.TextIO
    style: trace_text.Style
    began: bool = False
    _told: dict[Key, Outcome] = dataclasses.field(default_factory=dict)
    _requests: set[str] = dataclasses.field(default_factory=set)
    _notes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    _last: str = ""

    def tell(self, stories: list[Story], notes: list[str]) -> bool:
        """Write what is new; whether there was anything."""
        new = False
        for note in set(notes) - set(self._notes):
            self._write([f"note: {note}"], "33")
        self._notes = collections.Counter(notes)
        for story in stories:
            for one in story.placed:
                if self._told.get(one.step.key) is one.step.outcome:
                    continue
                new = self.began = True
                self._head(story)
                self._told[one.step.key] = one.step.outcome
                self._lines(trace_table.row(one, story.began, COLUMNS, self.style))
        return new

    def end(self, story: Story) -> int:
        """Write how it ended; the exit code."""
        failed = story.failure
        lines = trace_text.remarks(story, reasons=False)
        lines.append(
            f"{story.operation or 'request'} {'ok' if failed is None else 'failed'}: "
            f"{trace_text.duration(story.seconds)}"
        )
        self._write(lines, trace_text.COLOURS[story.outcome])
        return int(failed is not None or bool(story.unheard))

    def _head(self, story: Story) -> None:
        if self._last == story.request_id:
            return
        self._last = story.request_id
        if story.request_id in self._requests:
            self._write([story.request_id], trace_text.BOLD)
            return
        self._requests.add(story.request_id)
        self._write([story.request_id], trace_text.BOLD)
        self._lines([f"{trace_text.title(story)}, {trace_text.when(story.began)}"])
        self._write([COLUMNS.line(trace_table.HEADER)], trace_text.DIM)

    def _write(self, lines: list[str], colour: str) -> None:
        self._lines(
            [self.style.paint(text, colour) for line in lines for text in trace_table.wrapped(line, self.style) or [""]]
        )

    def _lines(self, lines: list[str]) -> None:
        self.stream.write("".join(f"{line}\n" for line in lines))
        self.stream.flush()


def _finished(stories: list[Story], quiet: float) -> bool:
    if not stories:
        return quiet >= QUIET
    story = stories[0]
    if story.running:
        return False
    return quiet >= (PATIENCE if story.unheard else QUIET)


def _again(cloud: session.Cloud, query: dict[str, str], last: trace_records.Answers) -> trace_records.Answers:
    """Ask once more; what was seen before is kept, and APIs that are away for a while are waited for."""
    try:
        answers = trace_records.ask(cloud, query)
    except errors.CliError as error:
        return trace_records.Answers(last.steps, dict.fromkeys(trace_records.SERVICES, error))
    return trace_records.Answers([*last.steps, *answers.steps], answers.unseen)
