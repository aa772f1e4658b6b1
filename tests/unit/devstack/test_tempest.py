"""The lists of tempest's tests, what is missing from a run, the configuration's form, and the page in docs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack.tempest import config, lists, page, program

ROOT = Path(__file__).parents[3]


def test_each_test_is_left_out_for_one_reason() -> None:
    lines = [lists.Line(r"\.test_a", "no a"), lists.Line("^x", "no x")]
    found = lists.left_out(["x.test_a", "x.test_b", "y.test_b"], lines)
    assert list(found.values()) == [["x.test_a"], ["x.test_b"]]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([lists.Line("x", "")], "say after # why"),
        ([lists.Line("z", "why")], "no test that is wanted has such a name"),
        ([lists.Line("x", "why"), lists.Line(r"x\.test_a", "again")], "remove the line"),
    ],
)
def test_a_line_that_is_out_of_date_or_says_nothing_is_an_error(lines: list[lists.Line], told: str) -> None:
    with pytest.raises(lists.ListError, match=told):
        lists.left_out(["x.test_a"], lines)


def test_a_list_is_read_as_tempest_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# head\n\na\\.b  # why # not\nc\n")
    assert lists.read(path) == [lists.Line(r"a\.b", "why # not"), lists.Line("c", "")]
    path.write_text("a\n(\n")
    with pytest.raises(lists.ListError, match=r"list\.txt:2: "):
        lists.read(path)


def test_every_test_that_is_not_run_has_a_reason() -> None:
    assert all(line.reason for line in lists.read(lists.EXCLUDE))
    wanted = lists.read(lists.INCLUDE)
    for name in ("tempest.api.volume.test_x.T.test", "tempest.scenario.test_x.T.test"):
        assert any(line.matches(name) for line in wanted)


def test_what_is_missing_from_a_run() -> None:
    chosen = ["m.A.test_1", "m.A.test_2", "m.B.test_1", "m.C.test_1"]
    outcomes = [
        {"name": "m.A.test_1[id-7]", "outcome": "passed", "text": ""},
        {"name": "setUpClass (m.B)", "outcome": "skipped", "text": "no"},
    ]
    assert program.missing(chosen, outcomes) == ["m.A.test_2", "m.C.test_1"]


def test_the_configuration_is_a_file_of_sections() -> None:
    assert config.text({"a": {"b": 1, "c": True}, "d": {}}) == "[a]\nb = 1\nc = True\n\n[d]\n"


def test_the_page_tells_the_list_and_the_last_run() -> None:
    drawn = (ROOT / "docs" / "tempest.md").read_text()
    assert drawn == page.page(json.loads(page.RECORD.read_text())), (
        "run: python -m devstack.tempest.page > docs/tempest.md"
    )
