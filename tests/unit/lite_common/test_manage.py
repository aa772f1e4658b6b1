"""The operator's command: an SQLite database is its owner's alone, because it holds passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from cinder_lite.cmd import manage


@pytest.mark.parametrize("present", [False, True], ids=["new", "found world-readable"])
def test_sync_makes_the_database_private(tmp_path: Path, present: bool) -> None:
    path = tmp_path / "cinder.sqlite"
    if present:
        path.touch(0o644)
        (tmp_path / "cinder.sqlite-wal").touch(0o644)
    config = tmp_path / "cinder.conf"
    config.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n[database]\nconnection = sqlite:///{path}\n")
    assert manage.main(["--config-file", str(config), "db", "sync"]) == 0
    assert {one.name: one.stat().st_mode & 0o077 for one in tmp_path.glob("*.sqlite*")}.pop(path.name) == 0
    assert not [one for one in tmp_path.glob("*.sqlite*") if one.stat().st_mode & 0o077]
