"""A story as one SVG picture that needs nothing else: for a browser, a ticket, a page."""

import textwrap
from collections.abc import Sequence
from xml.etree import ElementTree

from nova_lite.cli import trace_sequence, trace_text
from nova_lite.cli.trace_sequence import Arrow, Work
from nova_lite.cli.trace_steps import Outcome, Step
from nova_lite.cli.trace_story import Story

NAMESPACE = "http://www.w3.org/2000/svg"
MARGIN, LANE, ROW, LETTER = 16, 200, 27, 7.3
TIMES = 96
STYLE = """
svg { background: #fff; font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
text { fill: #1f2328; } .head { font-weight: 600; } .dim { fill: #656d76; }
.life { stroke: #c2c8cf; stroke-width: 1; } .ask { stroke: #1f2328; stroke-width: 1.3; }
.answer { stroke: #656d76; stroke-width: 1.1; stroke-dasharray: 4 3; } .lost { stroke: #cf222e; }
.tip { fill: #1f2328; stroke: none; } .answer-tip { fill: #656d76; stroke: none; } .lost-tip { fill: #cf222e; }
.box { fill: #ddf4e0; stroke: #1a7f37; } .error .box { fill: #ffe2e0; stroke: #cf222e; }
.died .box { fill: #f3e1ff; stroke: #8250df; } .running .box { fill: #fff4c2; stroke: #9a6700; }
.lane { fill: #f0f2f4; stroke: #c2c8cf; } .remark { fill: #9a3412; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .dim { fill: #8d96a0; } .life { stroke: #3d444d; }
.ask { stroke: #e6edf3; } .tip { fill: #e6edf3; } .answer { stroke: #8d96a0; } .answer-tip { fill: #8d96a0; }
.box { fill: #12361d; stroke: #3fb950; } .error .box { fill: #4b1113; stroke: #f85149; }
.died .box { fill: #2f1d4d; stroke: #a371f7; } .running .box { fill: #3b2e05; stroke: #d29922; }
.lane { fill: #161b22; stroke: #3d444d; } .remark { fill: #f0883e; } .lost { stroke: #f85149; }
.lost-tip { fill: #f85149; }
}
"""


class _Page:
    """The picture as it grows downward."""

    def __init__(self, lanes: Sequence[str]) -> None:
        self._lanes = {lane: TIMES + LANE * number + LANE // 2 for number, lane in enumerate(lanes)}
        self.width: float = TIMES + LANE * max(len(lanes), 3) + MARGIN
        self.y = MARGIN
        self.root = ElementTree.Element("svg", {"xmlns": NAMESPACE})
        ElementTree.SubElement(self.root, "style").text = STYLE

    def lines(self, text: str, kind: str = "") -> None:
        """Write text, in as many lines as the width asks for."""
        room = int((self.width - 2 * MARGIN) / LETTER)
        for line in _folded(text, room):
            self.y += 18
            _text(self.root, MARGIN, self.y, line, kind)

    def story(self, story: Story, told: trace_sequence.Sequence) -> None:
        """Draw one request."""
        self.lines(story.request_id, "head")
        self.lines(trace_text.title(story))
        self.lines(trace_text.summary(story), "dim")
        self.y += 14
        self._heads(told.lanes)
        top = self.y
        lifelines = ElementTree.SubElement(self.root, "g")
        for event in told.events:
            self.y += ROW
            if isinstance(event, Work):
                self._work(event, story.began)
            else:
                self._arrow(event)
        self.y += ROW // 2
        for lane in told.lanes:
            x = self._lanes[lane]
            _line(lifelines, (x, top), (x, self.y), "life")
        for remark in trace_text.remarks(story):
            self.lines(remark, "remark")
        self.y += ROW

    def end(self) -> str:
        """Return the picture as a document."""
        height = self.y + MARGIN
        self.root.set("viewBox", f"0 0 {self.width:g} {height:g}")
        self.root.set("width", f"{self.width:g}")
        self.root.set("height", f"{height:g}")
        ElementTree.indent(self.root)
        return ElementTree.tostring(self.root, encoding="unicode", xml_declaration=True) + "\n"

    def _heads(self, lanes: Sequence[str]) -> None:
        for lane in lanes:
            x = self._lanes[lane]
            half = len(lane) * LETTER / 2 + 12
            _shape(self.root, "rect", "lane", x=x - half, y=self.y, width=2 * half, height=24, rx=4)
            _text(self.root, x, self.y + 16, lane, "head", anchor="middle")
        self.y += 24

    def _work(self, event: Work, began: float) -> None:
        step, x = event.step, self._lanes[event.step.service]
        group = ElementTree.SubElement(self.root, "g", {"class": step.outcome.value})
        ElementTree.SubElement(group, "title").text = _details(step)
        _text(self.root, MARGIN + 68, self.y + 4, trace_text.duration(step.started - began), "dim", anchor="end")
        took = trace_text.duration(step.seconds) if step.seconds is not None else trace_text.outcome(step)
        words = f"{'✗ ' if step.reason else ''}{step.name}  {took}"
        indent = 10 * event.depth
        width = len(words) * LETTER + 14
        self.width = max(self.width, x + width / 2 + indent + MARGIN)
        _shape(group, "rect", "box", x=x - width / 2 + indent, y=self.y - 9, width=width, height=19, rx=3)
        _text(group, x + indent, self.y + 4, words, anchor="middle")

    def _arrow(self, event: Arrow) -> None:
        begin, end = self._lanes[event.origin], self._lanes[event.target]
        way = 1 if end > begin else -1
        kind = "answer" if event.answer else "ask"
        _line(self.root, (begin, self.y), (end - 6 * way, self.y), f"{kind} lost" if event.failed else kind)
        points = f"{end},{self.y} {end - 8 * way},{self.y - 4} {end - 8 * way},{self.y + 4}"
        tip = "lost-tip" if event.failed else "answer-tip" if event.answer else "tip"
        ElementTree.SubElement(self.root, "polygon", {"points": points, "class": tip})
        if event.label:
            _text(self.root, begin + 14 * way, self.y - 4, event.label, "dim", anchor="start" if way > 0 else "end")


def svg(stories: Sequence[Story], notes: Sequence[str], unseen: tuple[str, ...] = ()) -> str:
    """Return one XML document with all stories, one below the other."""
    told = [(story, trace_sequence.sequence(story, unseen)) for story in stories]
    involved = {lane for _, one in told for lane in one.lanes}
    lanes = [lane for lane in trace_sequence.LANES if lane in involved]
    page = _Page([*lanes, *sorted(involved - set(lanes))])
    for story, one in told:
        page.story(story, one)
    for note in notes:
        page.lines(f"note: {note}", "remark")
    return page.end()


def _details(step: Step) -> str:
    lines = [f"{step.name} ({step.service} on {step.host}, step {step.number} of process {step.process[2]})"]
    lines.append(f"{trace_text.when(step.started)}, {trace_text.duration(step.seconds)}, {step.outcome.value}")
    lines += [f"{kind} {value}" for kind, value in step.ids.items()]
    if step.outcome is not Outcome.OK and step.reason:
        lines.append(step.reason)
    return "\n".join(lines)


def _folded(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _text(parent: ElementTree.Element, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    ElementTree.SubElement(parent, "text", place | ({"class": kind} if kind else {})).text = _xml(words)


def _line(parent: ElementTree.Element, begin: tuple[float, float], end: tuple[float, float], kind: str) -> None:
    _shape(parent, "line", kind, x1=begin[0], y1=begin[1], x2=end[0], y2=end[1])


def _shape(parent: ElementTree.Element, name: str, kind: str, **numbers: float) -> None:
    ElementTree.SubElement(parent, name, {"class": kind} | {key: f"{value:g}" for key, value in numbers.items()})


def _xml(words: str) -> str:
    """Return the words without letters that XML 1.0 cannot hold."""
    return "".join(letter for letter in words if letter.isprintable())
