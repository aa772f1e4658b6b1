"""State directories of test runs: those that were left go, one that is in use stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.vm import private


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "PLACE", tmp_path)
    left = tmp_path / f"{private.PREFIX}left"
    left.mkdir()
    (left / "owner").touch()
    first = private.PrivateState()
    second = private.PrivateState()
    assert {first.path, second.path} == set(tmp_path.iterdir())
    first.remove()
    second.remove()
    assert list(tmp_path.iterdir()) == []
