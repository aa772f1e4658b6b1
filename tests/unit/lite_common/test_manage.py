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


def test_a_directory_of_settings_is_read_after_the_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    wanted = tmp_path / "wanted.sqlite"
    (tmp_path / "more" / "own.conf").write_text(f"[database]\nconnection = sqlite:///{wanted}\n")
    config = tmp_path / "cinder.conf"
    config.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n[database]\nconnection = sqlite:///{tmp_path}/no.sqlite\n")
    assert manage.main(["--config-file", str(config), "--config-dir", str(tmp_path / "more"), "db", "sync"]) == 0
    assert {one.name for one in tmp_path.glob("*.sqlite")} == {wanted.name}


def test_a_database_that_cannot_be_named_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "cinder.conf"
    config.write_text("[database]\nconnection = mysql+nothing://u:secret@h/x\n")
    assert manage.main(["--config-file", str(config), "db", "sync"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("[database] connection cannot be used: ")
    assert told.count("\n") == 1
    assert "secret" not in told


@pytest.mark.parametrize("text", [None, "[database"], ids=["no file", "not a settings file"])
def test_settings_that_cannot_be_read_are_named(tmp_path: Path, text: str | None) -> None:
    config = tmp_path / "cinder.conf"
    if text is not None:
        config.write_text(text)
    with pytest.raises(SystemExit, match=rf"cinder-lite-manage: .*{config}"):
        manage.main(["--config-file", str(config), "db", "sync"])


def test_a_database_that_is_down_is_told_in_a_line(
    tmp_path: Path, unused_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "cinder.conf"
    config.write_text(f"[database]\nconnection = mysql+mysqldb://u:secret@127.0.0.1:{unused_port}/x\n")
    assert manage.main(["--config-file", str(config), "db", "sync"]) == 1
    told = capsys.readouterr().err
    assert f"127.0.0.1:{unused_port}/x cannot be reached" in told
    assert told.count("\n") == 1
    assert "secret" not in told
