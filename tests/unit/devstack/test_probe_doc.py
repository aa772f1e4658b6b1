"""The page about reliability says what the run found, and does not hide what it did not find right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devstack import probe_doc

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"


def cell(**more: Any) -> dict[str, Any]:
    made = {
        "trouble": "dies",
        "flow": "attachments",
        "operation": "attach",
        "daemon": "nova-compute",
        "step": "connect_volume",
        "when": "before",
        "answer": 200,
        "outcome": "available",
        "wrong": "",
        "healed": 2.5,
    }
    return made | more


def page(*cells: dict[str, Any], notes: tuple[str, ...] = ()) -> str:
    return probe_doc.page(
        {
            "date": "2026-01-02",
            "whole": True,
            "seconds": 611,
            "versions": {"Python": "3.11.2", "tgt": "1.0.85"},
            "notes": list(notes),
            "cells": list(cells),
        }
    )


def test_a_cell_shows_its_outcome_and_how_long_it_took() -> None:
    drawn = page(cell(), cell(when="after", outcome="in-use", healed=0.3), cell(step="get_connector", when="after"))
    assert "| attach | nova-compute | connect_volume | available, 2.5 s | in-use, 0.3 s |" in drawn
    assert "| attach | nova-compute | get_connector |  | available, 2.5 s |" in drawn
    assert "2026-01-02: the whole matrix, in 10 min 11 s. Python 3.11.2, tgt 1.0.85." in drawn
    assert "**3 cells: 3 right within 60 s, all of them; half of them within 2.5 s, the slowest after 2.5 s.**" in drawn


def test_what_is_not_right_is_said_with_its_reason() -> None:
    drawn = page(cell(), cell(when="after", wrong="status attaching", outcome="", healed=None))
    assert "| attach | nova-compute | connect_volume | available, 2.5 s | **no** |" in drawn
    assert "2 cells: 1 right within 60 s, 1 not" in drawn
    assert "dies, attachments: attach, nova-compute after connect_volume: status attaching" in drawn


def test_servers_below_are_columns() -> None:
    drawn = page(
        cell(trouble="tgtd stops"), cell(trouble="tgtd hangs", healed=1.0), cell(trouble="tgtd stops", step="x")
    )
    assert "| operation | daemon | step | tgtd stops | tgtd hangs |" in drawn
    assert "| attach | nova-compute | connect_volume | available, 2.5 s | available, 1.0 s |" in drawn
    assert "| attach | nova-compute | x | available, 2.5 s |  |" in drawn


def test_the_page_was_drawn_by_this() -> None:
    assert PAGE.read_text().startswith(probe_doc.INTRO), "run: python -m devstack.probe_doc .probe.json"


def test_what_was_not_run_is_said() -> None:
    drawn = page(cell(), notes=("The flow legacy: no time.",))
    assert "## Not run\n\n- The flow legacy: no time.\n" in drawn
    assert "kernel backend" in drawn
