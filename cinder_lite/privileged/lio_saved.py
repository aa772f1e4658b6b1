"""The saved configuration of the kernel's targets: what a reboot restores, one file for the whole host.

The format is rtslib's, so that `targetctl restore` and targetcli read it as well. Only the entries of the one target
that changed are replaced, never the whole file by what the kernel holds now: somebody else's targets stay saved when
they are not loaded at the moment, and saving costs the same however many targets there are.
"""

from __future__ import annotations

import json
import os
from typing import Any

from cinder_lite.privileged.lio_records import Entry, Portal
from lite_common import errors

_UNFINISHED = ".cinder-lite-new"
_LISTS = ("storage_objects", "targets")


class SavedConfiguration:
    """The file at `path`. Its methods are called under the lock of `lio_lock`; it is read anew when it was changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, ...] = ()
        self._content: dict[str, Any] = {}

    def check(self) -> None:
        """Ensure that the file can be read and its directory written. Raises errors.BackendError that says why not."""
        directory = os.path.dirname(self.path)
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            # A daemon that was killed while it saved leaves this.
            if os.path.lexists(self.path + _UNFINISHED):
                os.unlink(self.path + _UNFINISHED)
            os.close(os.open(self.path + _UNFINISHED, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.unlink(self.path + _UNFINISHED)
            if os.path.exists(self.path):
                # It holds secrets.
                os.chmod(self.path, 0o600)
        except OSError as err:
            raise self._error(err) from err
        self._read()

    def entries(self) -> dict[str, Entry]:
        """The exports in the file, by target name: those with one block device, which is how this program saves."""
        content = self._read()
        devices = {one.get("name"): one for one in content["storage_objects"] if one.get("plugin") == "block"}
        found = {}
        for target in content["targets"]:
            storage = devices.get(target.get("wwn"))
            if storage is not None and target.get("fabric") == "iscsi":
                found[target["wwn"]] = _entry(target, storage)
        return found

    def put(self, entries: list[Entry]) -> None:
        """Save these exports, each in place of what was saved of it."""
        self._replace({entry.iqn for entry in entries}, entries)

    def forget(self, iqns: set[str]) -> None:
        """Save that these exports are gone."""
        self._replace(iqns, [])

    def _replace(self, iqns: set[str], entries: list[Entry]) -> None:
        content = self._read()
        new = dict(content)
        new["storage_objects"] = [
            one for one in content["storage_objects"] if one.get("plugin") != "block" or one.get("name") not in iqns
        ] + [_storage(entry) for entry in entries]
        new["targets"] = [
            one for one in content["targets"] if one.get("fabric") != "iscsi" or one.get("wwn") not in iqns
        ] + [_target(entry) for entry in entries]
        if new != content:
            self._write(new)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path) as file:
                found = os.fstat(file.fileno())
                stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                if stamp != self._stamp:
                    self._content = self._parsed(file.read())
                    self._stamp = stamp
        except FileNotFoundError:
            self._content, self._stamp = self._parsed("{}"), ()
        except OSError as err:
            raise self._error(err) from err
        return self._content

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            content = json.loads(text)
            lists = [content.setdefault(name, []) for name in _LISTS]
            sound = all(isinstance(item, dict) for one in lists for item in one)
        except (ValueError, AttributeError, TypeError):
            sound = False
        if not sound:
            # Written over, it would take the targets of others along.
            raise errors.BackendError(
                f"{self.path} is not a saved target configuration. Mend it or move it away; targetcli keeps copies in "
                f"{os.path.join(os.path.dirname(self.path), 'backup')}."
            )
        return dict(content)

    def _write(self, content: dict[str, Any]) -> None:
        unfinished = self.path + _UNFINISHED
        try:
            if os.path.lexists(unfinished):
                os.unlink(unfinished)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file, sort_keys=True, indent=1)
                file.write("\n")
                file.flush()
                # Without it, a power cut may leave an empty file, and others' targets are in it as well.
                os.fsync(file.fileno())
            os.rename(unfinished, self.path)
        except OSError as err:
            raise self._error(err) from err

    def _error(self, err: OSError) -> errors.BackendError:
        return errors.BackendError(
            f"The saved target configuration {self.path} cannot be used: {err.strerror}. Check owner, mode and free "
            "space of its directory."
        )


def _storage(entry: Entry) -> dict[str, Any]:
    return {
        "plugin": "block",
        "name": entry.iqn,
        "dev": entry.device,
        "wwn": entry.serial,
        "readonly": False,
        "write_back": False,
        "attributes": {"emulate_tpu": int(entry.discard)},
    }


def _target(entry: Entry) -> dict[str, Any]:
    acls = [
        {
            "node_wwn": initiator,
            "chap_userid": entry.userid,
            "chap_password": entry.password,
            "mapped_luns": [{"index": 0, "tpg_lun": 0, "write_protect": False}],
        }
        for initiator in sorted(entry.initiators)
    ]
    group = {
        "tag": 1,
        "enable": True,
        "attributes": {"authentication": 1, "generate_node_acls": 0, "demo_mode_discovery": 0},
        "luns": [{"index": 0, "storage_object": f"/backstores/block/{entry.iqn}"}],
        "portals": [
            {"ip_address": one.address, "port": one.port, "iser": False, "offload": False} for one in entry.portals
        ],
        "node_acls": acls,
    }
    return {"wwn": entry.iqn, "fabric": "iscsi", "tpgs": [group]}


def _entry(target: dict[str, Any], storage: dict[str, Any]) -> Entry:
    groups = [one for one in target.get("tpgs", []) if one.get("tag") == 1]
    group = groups[0] if groups else {}
    acls = group.get("node_acls", [])
    login: dict[str, str] = next((one for one in acls if one.get("chap_userid")), {})
    return Entry(
        iqn=target["wwn"],
        device=str(storage.get("dev", "")),
        serial=str(storage.get("wwn", "")),
        portals=tuple(
            Portal(one["ip_address"], int(one["port"]))
            for one in group.get("portals", [])
            if "ip_address" in one and "port" in one
        ),
        userid=login.get("chap_userid", ""),
        password=login.get("chap_password", ""),
        initiators=frozenset(one["node_wwn"] for one in acls if "node_wwn" in one),
        discard=bool(storage.get("attributes", {}).get("emulate_tpu")),
    )
