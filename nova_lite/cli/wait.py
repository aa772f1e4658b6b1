"""Following work that goes on after an API said yes: poll, show each change of state, judge the end.

A command passes a `look` that reads the resource and says where it stands; `follow` calls it until it is
done, failed, or time is up. On a terminal the states are a list that grows in place, elsewhere one plain line
each; both go to stderr, so stdout stays what `-f` promises.
"""

import dataclasses
import enum
import os
import time
import typing
from collections.abc import Callable

from nova_lite.cli import errors

# Seconds between two looks: short first, because an attach takes tens of milliseconds, then easy on the API.
FIRST_PAUSE = 0.03
LONGEST_PAUSE = 0.5
PAUSE_GROWTH = 1.3
# Seconds between two frames of the spinner on a terminal.
FRAME = 0.1
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CLEAR_LINE = "\r\x1b[K"


class Outcome(enum.Enum):
    """Whether the work goes on or how it ended."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one look found: the state in a word or two, the outcome, and for a failure the error to raise."""

    state: str
    outcome: Outcome = Outcome.PENDING
    message: str = ""
    hint: str = ""


class Ending(enum.Enum):
    """How following ended; the value is the word that is shown."""

    DONE = "done"
    FAILED = "failed"
    GAVE_UP = "gave up"
    STOPPED = "stopped watching"


class Reporter(typing.Protocol):
    """Shows the progress of one piece of work; times are seconds since it began."""

    def step(self, state: str, elapsed: float) -> None:
        """Show that this state was entered."""

    def tick(self, elapsed: float) -> None:
        """Show that the last state still holds."""

    def end(self, ending: "Ending", elapsed: float) -> None:
        """Show how it ended."""


class PlainReporter:
    """One line per state, for pipes and log files."""

    def __init__(self, title: str, stream: typing.TextIO) -> None:
        self._title = title
        self._stream = stream

    def step(self, state: str, elapsed: float) -> None:
        """Print the state."""
        self._print(state, elapsed)

    def tick(self, elapsed: float) -> None:
        """Print nothing: a pipe gets changes only."""

    def end(self, ending: Ending, elapsed: float) -> None:
        """Print the word for it."""
        self._print(ending.value, elapsed)

    def _print(self, word: str, elapsed: float) -> None:
        self._stream.write(f"{self._title}: {word} ({elapsed:.2f} s)\n")
        self._stream.flush()


class LiveReporter:
    """A list of states under a title; the line of the current state shows a spinner and the seconds."""

    def __init__(self, title: str, stream: typing.TextIO) -> None:
        self._stream = stream
        self._colour = not os.environ.get("NO_COLOR")
        self._signs = _signs(stream)
        self._state = ""
        self._since = 0.0
        self._frame = 0
        self._write(f"{title}\n")

    def step(self, state: str, elapsed: float) -> None:
        """Tick off the last state and begin a line for this one."""
        self._finish_line(self._signs.good, "32")
        self._state, self._since = state, elapsed
        self.tick(elapsed)

    def tick(self, elapsed: float) -> None:
        """Draw the next frame of the current state's line."""
        self._frame = (self._frame + 1) % len(self._signs.spinner)
        self._write(f"{CLEAR_LINE}  {self._signs.spinner[self._frame]} {self._state:<24} {elapsed:7.2f} s")

    def end(self, ending: Ending, elapsed: float) -> None:
        """Tick off (or cross out) the last state and print the total."""
        self._finish_line(*((self._signs.good, "32") if ending is Ending.DONE else (self._signs.bad, "31")))
        self._write(f"  {ending.value} after {elapsed:.2f} s\n")

    def _finish_line(self, sign: str, colour: str) -> None:
        if self._state:
            shown = f"\x1b[{colour}m{sign}\x1b[0m" if self._colour else sign
            self._write(f"{CLEAR_LINE}  {shown} {self._state:<24} {self._since:7.2f} s\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@dataclasses.dataclass(frozen=True)
class _Signs:
    good: str
    bad: str
    spinner: str


def _signs(stream: typing.TextIO) -> _Signs:
    """Return signs that the terminal's character set can show."""
    try:
        f"✓✗{SPINNER}".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _Signs("+", "x", "|/-\\")
    return _Signs("✓", "✗", SPINNER)


def reporter(title: str, stream: typing.TextIO) -> Reporter:
    """Return the reporter that suits the stream: live on a terminal that can move its cursor, else plain."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return LiveReporter(title, stream)
    return PlainReporter(title, stream)


def follow(
    look: Callable[[], Seen],
    report: Reporter,
    timeout: float,
    what: str,
    unfinished_hint: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when `look` sees the work done.

    An API that does not answer for a while is waited for too. Raises CliError when `look` sees the work failed, and
    when `timeout` seconds (counted from this call) have passed; `what` names the resource in that message and
    `unfinished_hint` says how to go on.
    """
    began = clock()
    state: str | None = None
    pause = FIRST_PAUSE
    ending = Ending.STOPPED
    try:
        while True:
            seen, silence = _look(look)
            elapsed = clock() - began
            if seen.state != state:
                state = seen.state
                report.step(state, elapsed)
            if seen.outcome is Outcome.DONE:
                ending = Ending.DONE
                return
            if seen.outcome is Outcome.FAILED:
                ending = Ending.FAILED
                raise errors.CliError(seen.message, seen.hint)
            if elapsed >= timeout:
                ending = Ending.GAVE_UP
                raise silence or errors.CliError(
                    f"gave up after {timeout:g} s: {what} is still {state}", unfinished_hint
                )
            _rest(min(pause, timeout - elapsed), report, began, clock, sleep)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
    finally:
        # Also on Ctrl-C and when a look is refused: the last line must not stay half drawn.
        report.end(ending, clock() - began)


def _look(look: Callable[[], Seen]) -> tuple[Seen, errors.Unreachable | None]:
    """Return what was seen; for an API that gives no answer a state that says so, and the error."""
    try:
        return look(), None
    except errors.Unreachable as error:
        return Seen("no answer from the API"), error


def _rest(
    pause: float, report: Reporter, began: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    while pause > 0:
        sleep(min(pause, FRAME))
        pause -= FRAME
        report.tick(clock() - began)
