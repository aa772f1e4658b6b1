"""What the ways to show a story share: words, units, signs and colours."""

import dataclasses
import datetime
import os
import typing

from nova_lite.cli.trace_steps import Outcome, Step
from nova_lite.cli.trace_story import Story

COLOURS = {Outcome.OK: "32", Outcome.ERROR: "31", Outcome.DIED: "35", Outcome.RUNNING: "33"}
DIM, BOLD = "2", "1"


@dataclasses.dataclass(frozen=True)
class Style:
    """What the place that is written to can show: colours, box drawing, and how many columns."""

    colour: bool = False
    drawing: bool = True
    width: int = 80

    def paint(self, text: str, colour: str) -> str:
        """Return the text in this colour, where there are colours."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and text else text

    def plain(self, text: str) -> str:
        """Return the text in letters that can be shown."""
        return text if self.drawing else text.translate(_ASCII)


_ASCII = str.maketrans(
    {"│": "|", "─": "-", "├": "+", "┤": "+", "┼": "+", "╌": ".", "▶": ">", "◀": "<", "✗": "x", "…": "~", "└": "`"}
)


def style(stream: typing.TextIO, columns: int) -> Style:
    """Return what suits the stream: colours on a terminal that has them, unless NO_COLOR asks for none."""
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        "│─├✗▶◀".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return Style(terminal and not os.environ.get("NO_COLOR"), False, columns)
    return Style(terminal and not os.environ.get("NO_COLOR"), True, columns)


def duration(seconds: float | None) -> str:
    """Return a length of time with its unit: milliseconds up to ten seconds."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if abs(seconds) < 10 else f"{seconds:.1f} s"


def when(moment: float) -> str:
    """Return the time as people in any zone can compare it."""
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def outcome(step: Step) -> str:
    """Return the word for how the step ended; failures are shouted, for eyes without colours."""
    return step.outcome.value.upper() if step.reason else step.outcome.value


def title(story: Story) -> str:
    """Return what the request was about, such as `attach: volume 5f..., server 9a...`."""
    things = ", ".join(f"{kind} {value}" for kind, value in story.ids.items() if kind != "attachment")
    return f"{story.operation or 'request'}{': ' if things else ''}{things}"


def summary(story: Story) -> str:
    """Return when the request began, how long it took, how it ended and who asked for it."""
    ends = "still running" if story.running else {Outcome.OK: "ok"}.get(story.outcome, "failed")
    asked = f"asked for by {story.user}" if story.user else "asked for by nobody: recovery, or a timer"
    return f"{when(story.began)}, {duration(story.seconds)}, {ends}, {asked}"


def remarks(story: Story, reasons: bool = True) -> list[str]:
    """Return what there is to say about the whole: where it failed (and why), what nobody took up, clocks."""
    found = []
    failed = story.failure
    if failed is not None:
        why = f": {failed.reason}" if reasons else ""
        found.append(f"failed at {failed.name} in {failed.service} on {failed.host}{why}")
    found += [
        f"{step.name} was sent by {step.service} and nobody has begun with it: is every service up? nlite service-list"
        for step in story.unheard
    ]
    return found + [str(skew) for skew in story.skews]
