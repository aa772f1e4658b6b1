"""A story as a table: one line per step, steps that belong to another indented under it."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence

from nova_lite.cli import trace_text
from nova_lite.cli.trace_steps import Outcome
from nova_lite.cli.trace_story import Placed, Story
from nova_lite.cli.trace_text import Style

INDENT = "  "
HEADER = ("START", "TOOK", "SERVICE", "HOST", "STEP", "OUTCOME")


@dataclasses.dataclass(frozen=True)
class Columns:
    """How wide service, host and step are; what is longer pushes the rest of its line aside."""

    service: int = 16
    host: int = 12
    step: int = 32

    def line(self, cells: Sequence[str]) -> str:
        """Return the cells of one line, aligned, the outcome last and as it is."""
        start, took, service, host, step, outcome = cells
        return (
            f"{start:>10}  {took:>10}  {service:<{self.service}}  {host:<{self.host}}  {step:<{self.step}}  {outcome}"
        ).rstrip()


def fitting(stories: Iterable[Story]) -> Columns:
    """Return the columns that the steps of these stories need."""
    placed = [one for story in stories for one in story.placed]
    return Columns(
        max((len(one.step.service) for one in placed), default=0),
        max((len(one.step.host) for one in placed), default=0),
        max((len(_step(one)) for one in placed), default=0),
    )


def table(stories: Sequence[Story], notes: Sequence[str], style: Style) -> str:
    """Return the stories as text that ends with a newline."""
    columns = fitting(stories)
    blocks = [_story(story, columns, style) for story in stories]
    blocks += [[style.paint(line, "33") for line in wrapped(f"note: {note}", style)] for note in notes]
    return "\n".join("\n".join(block) + "\n" for block in blocks)


def heading(story: Story, style: Style) -> list[str]:
    """Return the lines that introduce a story."""
    return [
        style.paint(story.request_id or "(no request)", trace_text.BOLD),
        *wrapped(trace_text.title(story), style),
        *(style.paint(line, trace_text.COLOURS[story.outcome]) for line in wrapped(trace_text.summary(story), style)),
    ]


def row(one: Placed, began: float, columns: Columns, style: Style) -> list[str]:
    """Return the line of a step, and those of its error."""
    step = one.step
    word = style.paint(trace_text.outcome(step), trace_text.COLOURS[step.outcome])
    start = trace_text.duration(step.started - began)
    cells = (start, trace_text.duration(step.seconds), step.service, step.host, _step(one), word)
    lines = [columns.line(cells)]
    if step.reason:
        kind = f"{step.error_type}: " if step.error_type and step.outcome is Outcome.ERROR else ""
        reason = wrapped(f"{kind}{step.reason}", style, " " * 24)
        lines += [style.paint(line, trace_text.COLOURS[step.outcome]) for line in reason]
    return lines


def wrapped(text: str, style: Style, indent: str = "") -> list[str]:
    """Return the text in lines of the style's width; ids and paths are never torn."""
    return textwrap.wrap(
        text,
        style.width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _story(story: Story, columns: Columns, style: Style) -> list[str]:
    lines = [*heading(story, style), style.paint(columns.line(HEADER), trace_text.DIM)]
    for one in story.placed:
        lines += row(one, story.began, columns, style)
    for remark in trace_text.remarks(story, reasons=False):
        lines += wrapped(remark, style)
    return lines


def _step(one: Placed) -> str:
    return INDENT * one.depth + one.step.name
