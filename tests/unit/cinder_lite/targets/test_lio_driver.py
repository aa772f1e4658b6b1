"""The unprivileged half of the LIO target: what it asks, how long it waits, what it tells. The kernel's half is
tested on a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.privileged import lio as privileged_lio
from cinder_lite.targets import base, lio
from lite_common import errors

PREFIX = "iqn.2010-10.org.openstack:"
NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
HOST = "iqn.1993-08.org.debian:01:aaaa"


class Half:
    """Plays the privileged half: remembers calls, answers with what it is given."""

    def __init__(self) -> None:
        self.ensured: list[list[dict[str, Any]]] = []
        self.failures: dict[str, str] = {}
        self.busy: list[list[list[str]]] = []

    def check(self, portals: list[str]) -> None:
        self.portals = portals

    def ensure(self, exports: list[dict[str, Any]]) -> list[str | None]:
        self.ensured.append(exports)
        return [self.failures.get(one["iqn"]) for one in exports]

    def remove(self, iqn: str) -> list[list[str]]:
        return self.busy.pop(0) if self.busy else []

    def withdraw(self, iqn: str, initiator: str) -> list[list[str]]:
        return self.busy.pop(0) if self.busy else []


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Half:
    made = Half()
    for name in ("check", "ensure", "remove", "withdraw"):
        monkeypatch.setattr(privileged_lio, name, getattr(made, name))
    return made


def target(**named: Any) -> lio.LioTarget:
    return lio.LioTarget(PREFIX, "10.0.0.4:3260", "/dev/vg", **({"busy_wait": 0.05} | named))


def test_portals_are_written_in_one_way_and_once(half: Half) -> None:
    made = target(secondary=["[FD00:0:0::4]:3260", "10.0.0.4:3260", "[fd00::4]:3260"])
    made.check_for_setup_error()
    assert half.portals == ["10.0.0.4:3260", "[fd00::4]:3260"]
    location = made.ensure_export(NAME, f"/dev/vg/{NAME}", base.Auth.generate())
    iqn = PREFIX + NAME
    assert location == f"10.0.0.4:3260;[fd00::4]:3260,{iqn} {iqn} 0"
    data = made.connection_properties(location, "CHAP user secret", "1", {"initiator": HOST})["data"]
    assert data["target_portal"] == "10.0.0.4:3260"
    assert data["target_portals"] == ["10.0.0.4:3260", "[fd00::4]:3260"]
    assert (data["target_iqns"], data["target_luns"]) == ([iqn, iqn], [0, 0])


@pytest.mark.parametrize(
    ("prefix", "portal", "secondary", "text"),
    [
        ("iqn.2010-10.org.OpenStack:", "10.0.0.4:3260", [], "target_prefix"),
        ("iqn.2010-10.org.open_stack:", "10.0.0.4:3260", [], "target_prefix"),
        ("openstack:", "10.0.0.4:3260", [], "target_prefix"),
        (PREFIX, "storage.example:3260", [], "not a portal"),
        (PREFIX, "0.0.0.0:3260", [], "must name addresses"),
        (PREFIX, "10.0.0.4:3260", ["[::]:3260"], "must name addresses"),
        (PREFIX, "10.0.0.4:3260", [f"10.0.0.{number}:3260" for number in range(20, 30)], "secondary"),
    ],
)
def test_options_that_cannot_work_are_named(
    half: Half, prefix: str, portal: str, secondary: list[str], text: str
) -> None:
    with pytest.raises(errors.Invalid, match=text):
        lio.LioTarget(prefix, portal, "/dev/vg", secondary).check_for_setup_error()


def test_a_backend_of_files_is_told_that_it_cannot_work(half: Half) -> None:
    made = lio.LioTarget(PREFIX, "10.0.0.4:3260", "/var/lib/cinder/volumes")
    with pytest.raises(errors.Invalid, match="exports logical volumes only"):
        made.check_for_setup_error()


@pytest.mark.parametrize("name", ["host", "iqn.1993-08.org.debian:01:a_b", "iqn." + "x" * 250, "iqn.1993-08.org.a b:c"])
def test_a_name_that_is_no_iscsi_name_is_bad_input(name: str) -> None:
    with pytest.raises(cinder_errors.InvalidInput, match=r"initiatorname\.iscsi"):
        target().validate_connector({"initiator": name})


@pytest.mark.parametrize("name", [HOST, HOST.upper(), "eui.0123456789abcdef", "iqn.1991-05.com.microsoft:host.example"])
def test_names_of_all_kinds_are_taken(name: str) -> None:
    target().validate_connector({"initiator": name})


def test_many_are_asked_for_in_few_calls_and_fail_one_by_one(half: Half) -> None:
    names = [f"{NAME[:-2]}{number:02}" for number in range(60)]
    half.failures = {PREFIX + names[7]: "the device is gone"}
    outcome = target().ensure_all(
        base.Export(name, f"/dev/vg/{name}", base.Auth.generate(), recall=True) for name in names
    )
    assert [len(call) for call in half.ensured] == [25, 25, 10]
    failed = outcome.pop(names[7])
    assert isinstance(failed, errors.BackendError)
    assert failed.message == "the device is gone"
    assert len(outcome) == 59
    assert all(isinstance(location, str) for location in outcome.values())
    assert all(one["recall"] for call in half.ensured for one in call)


def test_a_logout_is_waited_for(half: Half) -> None:
    half.busy = [[[HOST, "10.0.0.9"]], [[HOST, "10.0.0.9"]]]
    target(busy_wait=10.0).remove_export(NAME, None)
    assert half.busy == []


def test_a_host_that_stays_is_named(half: Half) -> None:
    half.busy = [[[HOST, "10.0.0.9"]]] * 1000
    for work in (
        lambda: target().remove_export(NAME, None),
        lambda: target().terminate_connection(NAME, {"initiator": HOST}),
    ):
        with pytest.raises(cinder_errors.VolumeIsBusy, match=r"aaaa \(10\.0\.0\.9\)"):
            work()


def test_targets_that_vanish_change_the_generation_once(
    half: Half, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lio, "_TARGETS", str(tmp_path))
    made, other = target(), NAME.replace("1111", "2222")
    for name in (NAME, other):
        (tmp_path / (PREFIX + name)).mkdir()
        made.ensure_export(name, f"/dev/vg/{name}", base.Auth.generate())
    first = made.generation()
    assert made.generation() == first
    (tmp_path / (PREFIX + NAME)).rmdir()
    second = made.generation()
    # One that cannot be restored does not make the whole be restored again and again.
    assert made.generation() == second != first
    (tmp_path / (PREFIX + other)).rmdir()
    made.remove_export(other, None)
    assert made.generation() == second


def test_what_the_kernel_holds_is_shown_in_few_calls(half: Half, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{NAME[:-2]}{number:02}" for number in range(30)]
    calls: list[list[str]] = []

    def shown(iqns: list[str]) -> list[dict[str, Any] | None]:
        calls.append(iqns)
        told = {"path": "/dev/vg/x", "chap": True, "initiators": [HOST], "sessions": [[HOST, "10.0.0.9"]]}
        return [told if iqn == PREFIX + names[3] else None for iqn in iqns]

    monkeypatch.setattr(privileged_lio, "shown", shown)
    session = base.Session(HOST, "10.0.0.9")
    assert target().shown(names) == {names[3]: base.Shown("/dev/vg/x", True, frozenset({HOST}), (session,))}
    assert [len(call) for call in calls] == [25, 5]
