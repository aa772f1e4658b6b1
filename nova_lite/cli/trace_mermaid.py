"""A story as a Mermaid sequence diagram (https://mermaid.js.org/syntax/sequenceDiagram.html), for pages and tickets."""

from collections.abc import Sequence

from nova_lite.cli import trace_sequence, trace_text
from nova_lite.cli.trace_sequence import Arrow, Event, Work
from nova_lite.cli.trace_story import Story

# What ends a statement or begins an entity there; Mermaid knows the numbers of letters as entities.
_ESCAPES = {ord(letter): f"#{ord(letter)};" for letter in '#;<>"{}%'}


def mermaid(stories: Sequence[Story], notes: Sequence[str], unseen: tuple[str, ...] = ()) -> str:
    """Return one diagram; each request is a box of its own in it when there are several."""
    told = [(story, trace_sequence.sequence(story, unseen)) for story in stories]
    involved = {lane for _, one in told for lane in one.lanes}
    lanes = [lane for lane in trace_sequence.LANES if lane in involved]
    lines = ["sequenceDiagram"]
    lines += [f"    participant {_name(lane)} as {lane}" for lane in (*lanes, *sorted(involved - set(lanes)))]
    for story, one in told:
        words = f"{story.request_id} {trace_text.title(story)} ({trace_text.summary(story)})"
        if len(told) > 1:
            lines.append("    rect rgba(128, 128, 128, 0.1)")
        lines.append(f"    Note over {_name(one.lanes[0])},{_name(one.lanes[-1])}: {_text(words)}")
        lines += [line for event in one.events for line in _event(event)]
        for remark in trace_text.remarks(story):
            lines.append(f"    Note over {_name(one.lanes[0])},{_name(one.lanes[-1])}: {_text(remark)}")
        if len(told) > 1:
            lines.append("    end")
    lines += [f"    %% {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _event(event: Event) -> list[str]:
    if isinstance(event, Work):
        step = event.step
        took = trace_text.duration(step.seconds)
        words = f"{step.name} {took}" if not step.reason else f"✗ {step.name} {took}: {step.reason}"
        if step.finished is None and not step.reason:
            words = f"{step.name} (running)"
        return [f"    Note over {_name(step.service)}: {_text(words)}"]
    return [f"    {_name(event.origin)}{_line(event)}{_name(event.target)}: {_text(event.label or 'answer')}"]


def _line(event: Arrow) -> str:
    if event.failed:
        return "--x" if event.answer else "-x"
    return "-->>" if event.answer else "->>"


def _name(lane: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in lane)


def _text(words: str) -> str:
    return words.translate(_ESCAPES)
