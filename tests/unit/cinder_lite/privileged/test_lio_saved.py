"""The saved configuration: only one's own entries change, and the file is never broken."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from cinder_lite.privileged.lio_records import Entry, Portal
from cinder_lite.privileged.lio_saved import SavedConfiguration
from lite_common import errors

ENTRY = Entry(
    iqn="iqn.2010-10.org.openstack:volume-1",
    device="/dev/vg/volume-1",
    serial="0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f",
    portals=(Portal("10.0.0.4", 3260), Portal("[fd00::4]", 3260)),
    userid="user",
    password="a-secret-of-16-c",
    initiators=frozenset({"iqn.1993-08.org.debian:01:a", "iqn.1993-08.org.debian:01:b"}),
    discard=True,
)
OTHER = dataclasses.replace(ENTRY, iqn="iqn.2010-10.org.openstack:volume-2", device="/dev/vg/volume-2")
FOREIGN = {
    "fabric_modules": [{"name": "iscsi", "discovery_enable_auth": True}],
    "storage_objects": [{"plugin": "fileio", "name": ENTRY.iqn, "dev": "/srv/file"}],
    "targets": [{"wwn": "naa.5001405", "fabric": "loopback", "tpgs": []}, {"wwn": "iqn.x", "fabric": "iscsi"}],
}


@pytest.fixture
def saved(tmp_path: Path) -> SavedConfiguration:
    made = SavedConfiguration(str(tmp_path / "target" / "saveconfig.json"))
    made.check()
    return made


def content(saved: SavedConfiguration) -> dict[str, object]:
    found = json.loads(Path(saved.path).read_text())
    assert isinstance(found, dict)
    return found


def test_what_is_put_is_found_again(saved: SavedConfiguration) -> None:
    assert saved.entries() == {}
    saved.put([ENTRY, OTHER])
    assert saved.entries() == {ENTRY.iqn: ENTRY, OTHER.iqn: OTHER}
    assert SavedConfiguration(saved.path).entries() == saved.entries()
    assert os.stat(saved.path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(saved.path)) == ["saveconfig.json"]
    changed = dataclasses.replace(ENTRY, initiators=frozenset({"iqn.1993-08.org.debian:01:c"}))
    saved.put([changed])
    assert saved.entries() == {ENTRY.iqn: changed, OTHER.iqn: OTHER}
    saved.forget({ENTRY.iqn, "iqn.never"})
    assert saved.entries() == {OTHER.iqn: OTHER}


def test_what_others_saved_is_kept(saved: SavedConfiguration) -> None:
    Path(saved.path).write_text(json.dumps(FOREIGN))
    saved.put([ENTRY])
    assert saved.entries() == {ENTRY.iqn: ENTRY}
    saved.forget({ENTRY.iqn})
    assert content(saved) == FOREIGN


def test_a_change_by_another_program_is_seen(saved: SavedConfiguration) -> None:
    saved.put([ENTRY])
    another = SavedConfiguration(saved.path)
    another.put([OTHER])
    saved.forget({ENTRY.iqn})
    assert saved.entries() == another.entries() == {OTHER.iqn: OTHER}


def test_nothing_is_written_where_nothing_changes(saved: SavedConfiguration) -> None:
    saved.forget({"iqn.never"})
    assert not os.path.exists(saved.path)
    saved.put([ENTRY])
    before = os.stat(saved.path).st_ino
    saved.put([ENTRY])
    saved.forget({"iqn.never"})
    assert os.stat(saved.path).st_ino == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"targets": {}, "storage_objects": [1]}', '{"targets": ["x"]}', "null"]
)
def test_a_broken_file_is_named_and_not_written_over(saved: SavedConfiguration, text: str) -> None:
    Path(saved.path).write_text(text)
    for work in (saved.check, saved.entries, lambda: saved.put([ENTRY]), lambda: saved.forget({ENTRY.iqn})):
        with pytest.raises(errors.BackendError, match=r"saveconfig\.json is not a saved target configuration.*backup"):
            work()
    assert Path(saved.path).read_text() == text


def test_the_check_mends_the_mode_and_removes_what_a_killed_daemon_left(saved: SavedConfiguration) -> None:
    path = Path(saved.path)
    path.write_text(json.dumps(FOREIGN))
    path.chmod(0o644)
    (path.parent / "saveconfig.json.cinder-lite-new").write_text("{")
    saved.check()
    assert path.stat().st_mode & 0o777 == 0o600
    saved.put([ENTRY])
    assert os.listdir(path.parent) == ["saveconfig.json"]


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("")
    with pytest.raises(errors.BackendError, match=r"target/saveconfig\.json cannot be used"):
        SavedConfiguration(str(tmp_path / "target" / "saveconfig.json")).check()


def test_the_form_is_rtslibs(saved: SavedConfiguration) -> None:
    """Older versions of rtslib stumble over keys that they do not know; these all do."""
    saved.put([ENTRY])
    storage, target = content(saved)["storage_objects"], content(saved)["targets"]
    assert isinstance(storage, list)
    assert isinstance(target, list)
    assert set(storage[0]) == {"plugin", "name", "dev", "wwn", "readonly", "write_back", "attributes"}
    (group,) = target[0]["tpgs"]
    assert group["attributes"] == {"authentication": 1, "generate_node_acls": 0, "demo_mode_discovery": 0}
    assert [one["ip_address"] for one in group["portals"]] == ["10.0.0.4", "[fd00::4]"]
    assert group["luns"] == [{"index": 0, "storage_object": f"/backstores/block/{ENTRY.iqn}"}]
    assert group["node_acls"][0]["mapped_luns"] == [{"index": 0, "tpg_lun": 0, "write_protect": False}]
    assert ENTRY.password not in repr(ENTRY)
