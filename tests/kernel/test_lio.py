"""The kernel's target through the driver, seen by open-iscsi on the same machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rtslib_fb as rtslib

from cinder_lite.privileged import lio_kernel, lio_store
from cinder_lite.targets import base
from tests.kernel import lio_rig
from tests.unit.cinder_lite.targets import contract
from tests.unit.cinder_lite.targets.contract import HOST_A, HOST_B, NAME, OTHER

IQN = lio_rig.PREFIX + NAME


@pytest.fixture(scope="module", autouse=True)
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with lio_rig.ground(tmp_path_factory.mktemp("disks")):
        yield


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[lio_rig.LioRig]:
    made = lio_rig.LioRig(tmp_path)
    yield made
    made.close()


class TestLioTarget(contract.TargetContract):
    """The suite on LIO."""


# ------------------------------------------------------------------ half-made and damaged exports


def group() -> rtslib.TPG:
    """The portal group of the export under test."""
    return rtslib.TPG(rtslib.Target(rtslib.FabricModule("iscsi"), IQN, "lookup"), 1, "lookup")


def rule() -> rtslib.NodeACL:
    return rtslib.NodeACL(group(), HOST_B, "lookup")


def storage() -> rtslib.BlockStorageObject:
    found = lio_kernel._find_storage(IQN)
    assert found is not None
    return found


def naked_lun() -> None:
    rtslib.LUN(group(), 0).delete()
    os.mkdir(f"{group().path}/lun/lun_0")


def naked_mapped_lun() -> None:
    rtslib.MappedLUN(rule(), 0).delete()
    os.mkdir(f"{rule().path}/lun_0")


def unfinished_storage() -> None:
    only_storage()
    lio_kernel._delete_storage(storage())
    os.makedirs(f"{lio_kernel.CORE}/iblock_7/{IQN}")


def only_storage() -> None:
    rtslib.Target(rtslib.FabricModule("iscsi"), IQN, "lookup").delete()


def no_storage() -> None:
    rtslib.LUN(group(), 0).delete()
    lio_kernel._delete_storage(storage())


def open_to_all() -> None:
    group().set_attribute("authentication", 0)
    group().set_attribute("generate_node_acls", 1)


DAMAGES: dict[str, Callable[[], None]] = {
    "no mapped LUN": lambda: rtslib.MappedLUN(rule(), 0).delete(),
    "mapped LUN without link": naked_mapped_lun,
    "no LUN": lambda: rtslib.LUN(group(), 0).delete(),
    "LUN without link": naked_lun,
    "no rule": lambda: rule().delete(),
    "wrong secret": lambda: setattr(rule(), "chap_password", "something-else"),
    "wrong user": lambda: setattr(rule(), "chap_userid", "somebody-else"),
    "no authentication by rule": lambda: rule().set_attribute("authentication", 0),
    "no portal": lambda: rtslib.NetworkPortal(group(), "127.0.0.1", 3260, "lookup").delete(),
    "another portal": lambda: rtslib.NetworkPortal(group(), "127.0.0.1", 3299, "create") and None,
    "disabled": lambda: setattr(group(), "enable", False),
    "open to all": open_to_all,
    "no portal group": lambda: group().delete(),
    "only the storage object": only_storage,
    "unfinished storage object": unfinished_storage,
    "no storage object": no_storage,
}


def state(auth: base.Auth) -> dict[str, object]:
    """What the kernel has of the export."""
    found = lio_kernel.found(IQN)
    assert found is not None
    assert (found.userid, found.password) == (auth.username, auth.password)
    return {
        "entry": found,
        "enabled": group().enable,
        "attributes": {name: group().get_attribute(name) for name in lio_kernel.ATTRIBUTES},
        "LUN": lio_kernel._links(f"{group().path}/lun/lun_0"),
        "mapped": lio_kernel._links(f"{rule().path}/lun_0"),
        "rule": rule().get_attribute("authentication"),
    }


def test_what_an_export_lacks_is_added(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    location = rig.export(NAME, auth, HOST_B, path=path)
    whole = state(auth)
    assert whole["LUN"] == [os.path.realpath(storage().path)]
    for name, damage in DAMAGES.items():
        damage()
        assert rig.target.ensure_all([base.Export(NAME, path, auth, location, frozenset({HOST_B}))]) == {NAME: location}
        assert state(auth) == whole, name
        # The number of the storage object may be another, the place of its LUN not.
        whole = state(auth)
    assert rig.can_login(location, auth)
    rig.target.remove_export(NAME, location)
    assert not os.listdir(f"{lio_rig.CONFIGFS}/core") or not lio_kernel.devices(IQN)


def test_an_unfinished_export_is_known_and_can_be_removed(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    for damage in (only_storage, no_storage, unfinished_storage):
        rig.export(NAME, auth, HOST_B, path=path)
        damage()
        assert rig.target.exported() == {NAME}
        rig.target.remove_export(NAME, None)
        assert rig.target.exported() == set()
        assert lio_kernel.targets() == []
        assert lio_kernel.devices("iqn.") == {}


def test_a_daemon_killed_at_any_step_leaves_what_the_next_one_completes(
    rig: lio_rig.LioRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    create, step = lio_kernel.node.CFSNode._create_in_cfs_ine, [0]

    def killed(self: object, mode: str) -> None:
        create(self, mode)
        step[0] -= 1
        if step[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for last in range(1, 40):
        child = os.fork()
        if child == 0:
            try:
                monkeypatch.setattr(lio_kernel.node.CFSNode, "_create_in_cfs_ine", killed)
                step[0] = last
                rig.target.ensure_export(NAME, path, auth, None, [HOST_B])
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        if last % 2:
            rig.target.ensure_export(NAME, path, auth, None, [HOST_B])
            assert lio_kernel.found(IQN) is not None, last
            assert state(auth)["mapped"], last
        rig.target.remove_export(NAME, None)
        assert (lio_kernel.targets(), lio_kernel.devices("iqn.")) == ([], {}), last
        if os.WIFEXITED(status):
            break
    assert os.WIFEXITED(status)
    assert last > 8


def test_parts_come_back_under_a_session(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    location = rig.export(NAME, auth, HOST_A, HOST_B, path=path)
    rig.hold(location, auth, HOST_A)
    disk = rig.disk(location, HOST_A)
    rule().delete()
    group().set_attribute("demo_mode_discovery", 1)
    wanted = base.Export(NAME, path, auth, location, frozenset({HOST_A, HOST_B}))
    assert rig.target.ensure_all([wanted]) == {NAME: location}
    assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
    lio_rig.write(disk, 8192, b"\x77" * 4096)
    assert lio_rig.read(path, 8192, 4096) == b"\x77" * 4096
    assert rig.can_login(location, auth, HOST_B)
    assert rig.disks(location, HOST_A) == [disk]


def test_a_session_lives_through_the_loss_of_all_targets(rig: lio_rig.LioRig) -> None:
    """As through a reboot of the host: the initiator comes back by itself, also while another target has the portal."""
    auth, path, other_path = base.Auth.generate(), rig.volume(NAME), rig.volume(OTHER)
    location, other_location = rig.export(NAME, auth, HOST_A), rig.export(OTHER, auth, HOST_A)
    rig.hold(location, auth, HOST_A)
    disk = rig.disk(location, HOST_A)
    (session,) = [one.parent for one in Path("/sys/class/iscsi_session").glob("*/targetname") if IQN in one.read_text()]
    before = rig.target.generation()
    lio_rig.clear()
    lio_rig.eventually(lambda: (session / "state").read_text().strip(), "FAILED")
    hosts = frozenset({HOST_A})
    rig.target.ensure_all([base.Export(OTHER, other_path, auth, other_location, hosts)])
    # Long enough for it to be turned away once.
    time.sleep(3.0)
    assert (session / "state").read_text().strip() == "FAILED"
    assert rig.target.generation() != before
    rig.target.ensure_all([base.Export(NAME, path, auth, location, hosts)])
    lio_rig.eventually(lambda: (session / "state").read_text().strip(), "LOGGED_IN", limit=60.0)
    lio_rig.write(disk, 0, b"\x33" * 4096)
    assert lio_rig.read(path, 0, 4096) == b"\x33" * 4096


# ------------------------------------------------------------------ the disk that a host sees


def test_the_disk_has_the_volumes_serial_cache_and_discard(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    location = rig.export(NAME, auth, path=path)
    rig.hold(location, auth, HOST_A)
    disk = rig.disk(location, HOST_A)
    seen, behind = Path("/sys/block") / Path(disk).name, Path("/sys/block") / Path(os.path.realpath(path)).name
    digits = NAME.removeprefix("volume-").replace("-", "")
    assert (seen / "device/wwid").read_text().strip() == f"naa.6001405{digits[:25]}"
    assert NAME.removeprefix("volume-").encode() in (seen / "device/vpd_pg80").read_bytes()
    # What a guest is told of a cache is what the logical volume has, so its flushes reach the disk behind.
    for name in ("queue/write_cache", "queue/logical_block_size"):
        assert (seen / name).read_text() == (behind / name).read_text(), name
    can_discard = int((behind / "queue/discard_max_bytes").read_text()) > 0
    assert (int((seen / "queue/discard_max_bytes").read_text()) > 0) is can_discard
    lio_rig.write(disk, 4096, b"\x5a" * 4096)
    assert lio_rig.read(path, 4096, 4096) == b"\x5a" * 4096


def test_a_larger_volume_is_seen_after_a_rescan(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(OTHER)
    location = rig.export(OTHER, auth, path=path)
    rig.hold(location, auth, HOST_A)
    disk = Path("/sys/block") / Path(rig.disk(location, HOST_A)).name
    before = int((disk / "size").read_text())
    lio_rig.run("lvextend", "-q", "-L", "+4m", f"{rig.group}/{OTHER}")
    rig.target.extend_target(OTHER, path)
    (disk / "device/rescan").write_text("1")
    lio_rig.eventually(lambda: int((disk / "size").read_text()), before + (4 << 20) // 512)


def test_several_portals_of_both_kinds(tmp_path: Path) -> None:
    rig = lio_rig.LioRig(tmp_path, portal="127.0.0.1:3261", secondary=["[::1]:3261", "[0:0::1]:3261"])
    try:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth)
        assert base.parse_location(location).portals == ("127.0.0.1:3261", "[::1]:3261")
        for portal in base.parse_location(location).portals:
            assert rig.login(location, auth, HOST_A, portal)
        lio_rig.eventually(lambda: len(rig.disks(location, HOST_A)), 2)
        rig.let_go(location, HOST_A)
        rig.target.remove_export(NAME, location)
    finally:
        rig.close()


# ------------------------------------------------------------------ restart, and others on the same host


def test_what_is_saved_is_what_rtslib_restores(rig: lio_rig.LioRig) -> None:
    """Debian's targetctl reads the file with the same library, so the exports are there without cinder-volume."""
    auth = base.Auth.generate()
    location = rig.export(NAME, auth, HOST_A, HOST_B)
    whole = state(auth)
    assert lio_rig.SAVED.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in lio_rig.SAVED.parent.iterdir() if auth.password in _text(one)] == [lio_rig.SAVED.name]
    lio_rig.clear()
    assert rtslib.RTSRoot().restore_from_file(str(lio_rig.SAVED)) == []
    restored = state(auth)
    assert restored["entry"] == whole["entry"]
    assert restored["attributes"] == whole["attributes"]
    assert rig.can_login(location, auth)
    rig.target.terminate_connection(NAME, contract.connector(HOST_A))
    assert lio_store.saved().entries()[IQN].initiators == {HOST_B}
    rig.target.remove_export(NAME, location)
    assert NAME not in lio_rig.SAVED.read_text()


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def test_a_foreign_target_stays_in_kernel_and_file(rig: lio_rig.LioRig) -> None:
    foreign = {"fabric": "iscsi", "tpgs": [], "wwn": "iqn.2001-01.org.foreign:not-loaded"}
    lio_rig.SAVED.write_text(json.dumps({"fabric_modules": [], "storage_objects": [], "targets": [foreign]}))
    loaded = rtslib.Target(rtslib.FabricModule("iscsi"), "iqn.2001-01.org.foreign:loaded")
    rtslib.TPG(loaded, 1)
    location = rig.export(NAME, base.Auth.generate())
    assert rig.target.exported() == {NAME}
    rig.target.remove_export(NAME, location)
    assert loaded.exists
    assert json.loads(lio_rig.SAVED.read_text())["targets"] == [foreign]


def test_two_backends_share_the_kernels_target(rig: lio_rig.LioRig, tmp_path: Path) -> None:
    other = lio_rig.LioRig(tmp_path, group=lio_rig.OTHER_GROUP)
    auth, other_auth = base.Auth.generate(), base.Auth.generate()
    location, other_location = rig.export(NAME, auth), other.export(OTHER, other_auth)
    assert (rig.target.exported(), other.target.exported()) == ({NAME}, {OTHER})
    lio_rig.clear()
    assert (rig.target.exported(), other.target.exported()) == ({NAME}, {OTHER})
    for made, name, login in ((rig, NAME, auth), (other, OTHER, other_auth)):
        made.target.ensure_all([base.Export(name, made.volume(name), login, recall=True)])
    rig.target.remove_export(NAME, location)
    assert (rig.target.exported(), other.target.exported()) == (set(), {OTHER})
    assert other.can_login(other_location, other_auth)


def test_many_at_once_from_several_processes(rig: lio_rig.LioRig) -> None:
    """rtslib alone does not bear this."""
    names = [f"{NAME[:-1]}{number}" for number in range(4)]
    paths = {name: rig.volume(name) for name in names}
    auth = base.Auth.generate()

    def churn(name: str) -> None:
        rig.target.ensure_export(name, paths[name], auth, None, [HOST_A])
        rig.target.initialize_connection(name, auth, contract.connector(HOST_B))
        rig.target.remove_export(name, None)
        rig.target.ensure_export(name, paths[name], auth, None, [HOST_A])

    child = os.fork()
    threads = [threading.Thread(target=churn, args=(name,)) for name in (names[:2] if child else names[2:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert rig.target.exported() == set(names)
    assert set(lio_store.saved().entries()) == {lio_rig.PREFIX + name for name in names}
    assert all(lio_kernel.found(lio_rig.PREFIX + name) is not None for name in names)


def test_nothing_is_left_of_a_lost_saved_file(rig: lio_rig.LioRig) -> None:
    shutil.rmtree(lio_rig.SAVED.parent / "pr", ignore_errors=True)
    auth, path = base.Auth.generate(), rig.volume(NAME)
    location = rig.export(NAME, auth, HOST_A, path=path)
    lio_rig.SAVED.unlink()
    lio_rig.clear()
    assert rig.target.exported() == set()
    wanted = base.Export(NAME, path, auth, location, frozenset({HOST_A}))
    assert rig.target.ensure_all([wanted]) == {NAME: location}
    assert rig.can_login(location, auth, HOST_A)
    assert lio_store.saved().entries()[IQN].initiators == {HOST_A}
