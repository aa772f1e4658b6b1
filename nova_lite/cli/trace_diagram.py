"""A story as a sequence diagram in the terminal: a lifeline per daemon, time going down."""

import dataclasses

from nova_lite.cli import trace_sequence, trace_table, trace_text
from nova_lite.cli.trace_sequence import Arrow, Sequence, Work
from nova_lite.cli.trace_steps import Outcome
from nova_lite.cli.trace_story import Story
from nova_lite.cli.trace_text import Style

GUTTER = 10
NARROWEST, WIDE, WIDEST = 8, 15, 26
# A step's name with its duration is rarely longer.
LONGEST = 34


@dataclasses.dataclass(frozen=True)
class _Row:
    """A line of the diagram; what stands from `begin` to `end` has the colour."""

    text: str
    begin: int = 0
    end: int = 0
    colour: str = ""


class _Canvas:
    """Draws rows on which every lifeline has its column."""

    def __init__(self, lanes: tuple[str, ...], width: int) -> None:
        self._columns = _columns(lanes, width)
        self._width = max(width, max(self._columns.values()) + 2)

    def names(self) -> list[_Row]:
        """The names of the lanes, a part on each line so that they fit side by side."""
        parts = {lane: lane.split("-", 1) for lane in self._columns}
        rows = []
        for number in range(2):
            letters = [" "] * self._width
            for lane, column in self._columns.items():
                word = parts[lane][number] if number < len(parts[lane]) else ""
                _write(letters, column - len(word) // 2, word)
            rows.append(_Row("".join(letters)))
        rows[1] = dataclasses.replace(rows[1], text=_put(rows[1].text, 0, f"{'ms':>{GUTTER - 2}}"))
        return rows

    def work(self, event: Work, began: float) -> _Row:
        """A step: its time at the left, its name beside its lifeline, on the side where there is room."""
        step, column = event.step, self._columns[event.step.service]
        text = f"{'✗ ' if step.reason else ''}{step.name} {_took(event)}"
        letters = self._lifelines()
        _write(letters, 0, f"{(step.started - began) * 1e3:>{GUTTER - 2}.1f}")
        indent = "  " * event.depth
        right, left = self._width - column - 2, column - GUTTER - 1
        if len(indent) + len(text) <= right or right >= left:
            text = _cut(f"{indent}{text}", right)
            begin = column + 2
            _write(letters, column, f"├ {text}")
        else:
            text = _cut(f"{text}{indent}", left)
            begin = column - 1 - len(text)
            _write(letters, begin, f"{text} ┤")
        return _Row("".join(letters), begin, begin + len(text), trace_text.COLOURS[step.outcome])

    def arrow(self, event: Arrow) -> _Row:
        """A question or an answer between two lifelines."""
        origin, target = self._columns[event.origin], self._columns[event.target]
        first, last = min(origin, target) + 1, max(origin, target)
        line = list(("╌" if event.answer else "─") * (last - first))
        line[0 if target < origin else -1] = "◀" if target < origin else "▶"
        if event.label:
            word = f" {event.label} "
            _write(line, 1 if origin < target else len(line) - 1 - len(word), word)
        letters = self._lifelines()
        letters[first:last] = line
        colour = trace_text.COLOURS[Outcome.ERROR] if event.failed else trace_text.DIM if event.answer else ""
        return _Row("".join(letters), first, last, colour)

    def _lifelines(self) -> list[str]:
        letters = [" "] * self._width
        for column in self._columns.values():
            letters[column] = "│"
        return letters


def diagram(story: Story, style: Style, unseen: tuple[str, ...] = ()) -> str:
    """Return the story as text that ends with a newline, no wider than the style where that can be."""
    told = trace_sequence.sequence(story, unseen)
    canvas = _Canvas(told.lanes, style.width)
    rows = [*canvas.names(), *_rows(canvas, told, story.began)]
    lines = [*trace_table.heading(story, style), "", *(_painted(row, style) for row in rows)]
    for remark in trace_text.remarks(story):
        lines += trace_table.wrapped(remark, style)
    return "\n".join(lines) + "\n"


def _rows(canvas: _Canvas, told: Sequence, began: float) -> list[_Row]:
    return [canvas.work(event, began) if isinstance(event, Work) else canvas.arrow(event) for event in told.events]


def _columns(lanes: tuple[str, ...], width: int) -> dict[str, int]:
    """Return the column of each lane, as far apart as the width allows."""
    first, gaps = GUTTER + 3, max(len(lanes) - 1, 1)
    gap = (width - 2 - max(len(part) for part in lanes[-1].split("-", 1)) // 2 - first) // gaps
    # With columns to spare, the steps of the last lane stand to its right as all others do.
    roomy = (width - 2 - LONGEST - first) // gaps
    gap = max(NARROWEST, min(roomy if roomy >= WIDE else gap, WIDEST))
    return {lane: first + number * gap for number, lane in enumerate(lanes)}


def _took(event: Work) -> str:
    step = event.step
    return trace_text.duration(step.seconds) if step.seconds is not None else trace_text.outcome(step)


def _painted(row: _Row, style: Style) -> str:
    text = style.plain(row.text)
    if row.colour:
        text = text[: row.begin] + style.paint(text[row.begin : row.end], row.colour) + text[row.end :]
    return text.rstrip()


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"


def _put(text: str, begin: int, word: str) -> str:
    return text[:begin] + word + text[begin + len(word) :]


def _write(letters: list[str], begin: int, word: str) -> None:
    """Write over the letters; what has no room at either end is left out."""
    for offset, letter in enumerate(word):
        if 0 <= begin + offset < len(letters):
            letters[begin + offset] = letter
