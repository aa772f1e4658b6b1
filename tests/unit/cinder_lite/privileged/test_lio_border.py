"""What the privileged half lets through: names, devices and logins of volumes, and nothing else; and its lock."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cinder_lite import privileged
from cinder_lite.privileged import lio, lio_lock, tgt
from cinder_lite.privileged.lio_records import Portal
from cinder_lite.targets import base
from cinder_lite.targets.tgt_control import Mode, Op
from lite_common import errors

IQN = "iqn.2010-10.org.openstack:volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
HOST = "iqn.1993-08.org.debian:01:aaaa"
GOOD = {
    "iqn": IQN,
    "device": "/dev/vg/volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f",
    "portals": ["10.0.0.4:3260"],
    "userid": "user",
    "password": "a-secret-of-16-c",
    "initiators": [HOST],
    "recall": False,
}


@pytest.fixture(autouse=True)
def in_process() -> None:
    privileged.sys_admin.set_client_mode(False)


def test_what_the_driver_sends_passes() -> None:
    entry = lio._entry(GOOD | {"initiators": [HOST.upper().replace("IQN", "iqn")], "portals": ["[FD00:0::4]:3260"]})
    assert entry.serial == "0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
    assert entry.initiators == {HOST}
    assert entry.portals == (Portal("[fd00::4]", 3260),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iqn", "iqn.2001-01.org.foreign:disk"),
        ("iqn", "../core/iblock_0/x:volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"),
        ("iqn", "iqn.2010-10.org/../x:volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"),
        ("device", "/dev/vda"),
        ("device", "/dev/vg/../vda"),
        ("device", "/dev/../volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"),
        ("device", "/etc/shadow"),
        ("portals", ["10.0.0.4"]),
        ("portals", ["host.example:3260"]),
        ("portals", ["10.0.0.4:x"]),
        ("userid", ""),
        ("userid", "NULLuser"),
        ("userid", "a b"),
        ("password", "short"),
        ("password", "seventeen-letters"),
        ("password", "NULL567890123"),
        ("initiators", ["../x"]),
        ("initiators", ["iqn.1993-08.org_x.debian:01"]),
        ("initiators", ["iqn.1993-08.org.debian:01" + "x" * 250]),
    ],
)
def test_anything_else_does_not(name: str, value: object) -> None:
    with pytest.raises(errors.LiteError) as caught:
        lio._entry(GOOD | {name: value})
    assert "short" not in caught.value.message
    assert "seventeen-letters" not in caught.value.message


def test_generated_logins_pass() -> None:
    for _ in range(100):
        auth = base.Auth.generate()
        assert lio.checked_login(auth.username, auth.password) == (auth.username, auth.password)


def test_foreign_names_are_refused_by_every_call() -> None:
    foreign = "iqn.2001-01.org.foreign:disk"
    calls: list[Callable[[], object]] = [
        lambda: lio.grant(foreign, "user", "a-secret-of-16-c", HOST),
        lambda: lio.grant(IQN, "user", "a-secret-of-16-c", "nobody"),
        lambda: lio.withdraw(foreign, HOST),
        lambda: lio.withdraw(IQN, "*"),
        lambda: lio.remove(foreign),
        lambda: lio.sessions(foreign),
        lambda: lio.exported("iqn.*", "/dev/vg"),
        lambda: lio.exported("iqn.2010-10.org.openstack:", "/etc"),
    ]
    for call in calls:
        with pytest.raises(errors.BackendError, match="none of the names"):
            call()


# ------------------------------------------------------------------ tgtd


@pytest.mark.parametrize(
    ("mode", "op", "parameters", "prefix"),
    [
        (Mode.SYSTEM, Op.UPDATE, {}, ""),
        (Mode.CONNECTION, Op.DELETE, {}, ""),
        (Mode.TARGET, Op.UNBIND, {}, ""),
        (Mode.TARGET, Op.NEW, {"targetname": "iqn.2001-01.org.foreign:disk"}, ""),
        (Mode.TARGET, Op.BIND, {"initiator-address": "10.0.0.0/8"}, ""),
        (Mode.UNIT, Op.NEW, {"path": "/etc/shadow"}, ""),
        (Mode.UNIT, Op.NEW, {"path": "/dev/null"}, ""),
        (Mode.UNIT, Op.NEW, {"path": "/x", "bstype": "ssc"}, ""),
        (Mode.UNIT, Op.UPDATE, {"scsi_id": "x"}, "something "),
        (Mode.ACCOUNT, Op.NEW, {"user": "a,password=b", "password": "c"}, ""),
    ],
)
def test_tgtd_is_asked_for_nothing_but_exports_of_volumes(
    mode: Mode, op: Op, parameters: dict[str, str], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        def request(self, *arguments: object, **named: object) -> str:
            raise AssertionError("tgtd was asked")

    monkeypatch.setattr(tgt, "_control", lambda socket: Deaf())
    with pytest.raises(errors.BackendError):
        tgt.request("/x", int(mode), int(op), None, None, parameters, prefix)


def test_a_link_to_something_else_is_no_volume(tmp_path: Path) -> None:
    name = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
    (tmp_path / "secret").write_text("x")
    (tmp_path / name).symlink_to(tmp_path / "secret")
    with pytest.raises(errors.BackendError, match="not the file or logical volume"):
        tgt._require_ours(str(tmp_path / name))
    (tmp_path / name).unlink()
    tgt._require_ours(str(tmp_path / name))
    (tmp_path / name).write_text("x")
    tgt._require_ours(str(tmp_path / name))


def test_a_socket_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match="tgt_control_socket"):
        tgt.generation(str(tmp_path / "socket"))
    (tmp_path / "socket.0").write_text("")
    with pytest.raises(errors.BackendError, match="not a socket of root"):
        tgt.generation(str(tmp_path / "socket"))


# ------------------------------------------------------------------ the lock


def test_one_at_a_time_and_a_limit_on_waiting(tmp_path: Path) -> None:
    path = str(tmp_path / "target" / "lock")
    with lio_lock.hold(path):
        assert os.stat(path).st_mode & 0o777 == 0o600
        seen: list[str] = []

        def late() -> None:
            with pytest.raises(errors.Timeout, match="Another program has been changing"):
                with lio_lock.hold(path, 0.05):
                    pass
            seen.append("late")

        thread = threading.Thread(target=late)
        thread.start()
        thread.join(10)
        assert seen == ["late"]
    with lio_lock.hold(path, 0.05):
        pass


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with lio_lock.hold(path):
            os.write(told, b"x")
            time.sleep(0.2)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(errors.Timeout, match="fuser"), lio_lock.hold(path, 0.02):
        pass
    with lio_lock.hold(path, 10):
        pass
    assert os.waitpid(child, 0)[1] == 0


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/etc/passwd")
    with pytest.raises(errors.BackendError, match="cannot be opened"), lio_lock.hold(str(tmp_path / "lock")):
        pass
