"""What a story looks like: table and diagram word for word, Mermaid and SVG by their rules.

The golden texts are made anew by NLITE_GOLDEN=write; read what has changed before you commit it.
"""

import os
import pathlib
import re
from xml.etree import ElementTree

import pytest

from nova_lite.cli import (
    failures,
    trace_diagram,
    trace_mermaid,
    trace_sequence,
    trace_steps,
    trace_story,
    trace_svg,
    trace_table,
)
from nova_lite.cli.trace_text import Style
from tests.unit.nova_lite.cli import step_records

GOLDEN = pathlib.Path(__file__).parent / "golden"
RECORDS = {
    "attach": step_records.attach(),
    "refused": step_records.attach(fails="connect_volume"),
    "no-export": step_records.attach(fails="create_export"),
    "died": step_records.attach(dies="connect_volume"),
    "running": step_records.attach(until="connect_volume"),
    "clock": step_records.attach(clocks={"compute1": -0.5}),
    "detach": step_records.detach(),
}
STORIES = {name: trace_story.stories(map(trace_steps.read, records)) for name, records in RECORDS.items()}


# The page's examples, each in a fence of its own.
EXAMPLES = ("attach-table", "attach-80", "attach-mermaid", "refused-table", "refused-failure")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_what_is_drawn(name):
    page = (pathlib.Path(__file__).parents[4] / "docs" / "trace.md").read_text()
    fence = "```mermaid\n" if name.endswith("mermaid") else "```\n"
    drawn = (GOLDEN / f"{name}.txt").read_text()
    assert f"{fence}{drawn}```\n" in page, f"put tests/unit/nova_lite/cli/golden/{name}.txt into docs/trace.md"


def test_the_sentence_about_a_failure():
    (failure,) = failures.standing(STORIES["refused"]).values()
    check("refused-failure", failures.Cell(failure).human_readable() + "\n")


def check(name, text):
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("NLITE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", STORIES)
def test_table(name):
    check(f"{name}-table", trace_table.table(STORIES[name], [], Style(width=100)))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", STORIES)
def test_diagram(name, width):
    text = trace_diagram.diagram(STORIES[name][0], Style(width=width))
    assert max(map(len, text.splitlines())) <= width
    check(f"{name}-{width}", text)


def test_all_six_lanes_fit_80_columns():
    story = step_records.Story(step_records.ATTACH)
    for number, service in enumerate(trace_story.SERVICES):
        story.step(service, "volume_create_manager", number, number + 0.9)
    (told,) = trace_story.stories(map(trace_steps.read, story.records))
    lines = trace_diagram.diagram(told, Style(width=80)).splitlines()
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if line.split()[:1] == ["client"])
    assert lines[first].split() == ["client", "nova", "nova", "cinder", "cinder", "cinder"]
    assert lines[first + 1].split() == ["ms", "api", "compute", "api", "scheduler", "volume"]


def test_a_narrow_terminal_cuts_names_and_keeps_the_lines():
    text = trace_diagram.diagram(STORIES["attach"][0], Style(width=50))
    assert "…" in text
    assert len([line for line in text.splitlines() if "├" in line or "┤" in line]) == len(RECORDS["attach"])


def test_colours_change_nothing_but_colours():
    coloured = Style(colour=True, width=80)
    for name, stories in STORIES.items():
        for shape in (
            lambda style, s=stories: trace_table.table(s, ["x"], style),
            lambda style, s=stories: trace_diagram.diagram(s[0], style),
        ):
            text = shape(coloured)
            assert "\x1b[" in text, name
            # A coloured word at the end of a line hides blanks that are cut off elsewhere.
            plain = re.sub(r"\x1b\[\d+m", "", text)
            assert plain == shape(Style(width=80))


def test_ascii_where_nothing_else_can_be_shown():
    text = trace_diagram.diagram(STORIES["refused"][0], Style(drawing=False, width=80))
    text.encode("ascii")
    assert "|- REST ------>|" in text


def test_a_side_that_was_not_seen_is_not_drawn():
    records = [one for one in RECORDS["attach"] if one["service"].startswith("cinder")]
    (story,) = trace_story.stories(map(trace_steps.read, records))
    assert trace_sequence.sequence(story, ("nova",)).lanes == ("cinder-api", "cinder-volume")
    records = [one for one in RECORDS["attach"] if one["service"].startswith("nova")]
    (story,) = trace_story.stories(map(trace_steps.read, records))
    assert trace_sequence.sequence(story, ("cinder",)).lanes == ("client", "nova-api", "nova-compute")


def test_work_of_a_timer_has_no_client():
    story = step_records.Story(step_records.ATTACH)
    story.step("cinder-volume", "remove_export", 0, 3, user=None)
    (told,) = trace_story.stories(map(trace_steps.read, story.records))
    assert trace_sequence.sequence(told).lanes == ("cinder-volume",)


def test_an_api_that_only_passes_on_is_drawn():
    story = step_records.Story(step_records.ATTACH)
    story.step("cinder-volume", "delete_volume", 0, 3)
    (told,) = trace_story.stories(map(trace_steps.read, story.records))
    assert trace_sequence.sequence(told).lanes == ("client", "cinder-api", "cinder-volume")


def test_every_question_is_answered_in_reverse_order():
    for name, (story,) in STORIES.items():
        open_questions = []
        for event in trace_sequence.sequence(story).events:
            if not isinstance(event, trace_sequence.Arrow) or "cast" in event.label:
                continue
            if event.answer:
                assert open_questions.pop() == (event.target, event.origin), name
            else:
                open_questions.append((event.origin, event.target))
        assert not open_questions, name


# The statements of a sequence diagram that are used (mermaid.js.org/syntax/sequenceDiagram.html).
STATEMENT = re.compile(
    r"    (participant \w+ as [\w-]+"
    r"|\w+(->>|-->>|-x|--x)\w+: [^#;\n]*"
    r"|Note over \w+(,\w+)?: ([^#;\n]|#\d+;)+"
    r"|rect rgba\(128, 128, 128, 0\.1\)|end|%% .*)"
)


@pytest.mark.parametrize("name", STORIES)
def test_mermaid(name):
    check(f"{name}-mermaid", trace_mermaid.mermaid(STORIES[name], []))
    header, *lines = trace_mermaid.mermaid([*STORIES[name], *STORIES["detach"]], ["a note"]).splitlines()
    assert header == "sequenceDiagram"
    for line in lines:
        assert STATEMENT.fullmatch(line), line
    known = {line.split()[1] for line in lines if line.startswith("    participant")}
    used = {word for line in lines for word in re.findall(r"^    (\w+)-+>>?(?:\w+)", line)}
    assert used <= known


def test_mermaid_hides_what_would_be_read_as_its_language():
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-compute", "connect_volume", 0, 1, error='end; #quot; <b>"x"</b> %% {y}')
    text = trace_mermaid.mermaid(trace_story.stories(map(trace_steps.read, story.records)), [])
    assert "end#59; #35;quot#59; #60;b#62;#34;x#34;#60;/b#62; #37;#37; #123;y#125;" in text


def slow():
    """A story with a long name and a long time on the rightmost lane."""
    story = step_records.Story("req-bbbbbbbb-0000-4000-8000-000000000009", after=90)
    outer = story.step("cinder-volume", "volume_create_manager", 0, 123456)
    story.step("cinder-volume", "create_volume_from_spec", 9999, 19998.7, parent=outer)
    return trace_story.stories(map(trace_steps.read, story.records))


@pytest.mark.parametrize("name", STORIES)
def test_svg_is_one_document_that_needs_no_other(name):
    text = trace_svg.svg([*STORIES[name], *STORIES["detach"], *slow()], ["a < note"])
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"href|url\(|@import|<script|<image", text)
    words = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    for record in [*RECORDS[name], *RECORDS["detach"]]:
        assert any(record["step"] in word for word in words)
    assert "note: a < note" in words
    width, height = float(root.get("width")), float(root.get("height"))
    for one in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(one.get("x")) >= 0
        assert float(one.get("x")) + float(one.get("width")) <= width + 0.1
        assert float(one.get("y")) + float(one.get("height")) <= height


def test_svg_holds_any_error_message():
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-compute", "connect_volume", 0, 1, error="<&>\x00\x1b]]> \ud7ff\ufffe end")
    ElementTree.fromstring(trace_svg.svg(trace_story.stories(map(trace_steps.read, story.records)), []))
