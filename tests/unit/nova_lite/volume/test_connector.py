from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from nova_lite.virt import errors
from nova_lite.volume import connection_info, connector, initiator, iscsi_login, qemu_connector
from tests.unit.nova_lite.virt import samples
from tests.unit.nova_lite.volume.contract import VOLUME, ConnectorContract


class TestTwin(ConnectorContract):
    @pytest.fixture
    def subject(self) -> connector.Connector:
        return connector.FakeConnector("10.0.0.5", "c1", "iqn.x:y")


class TestUserspace(ConnectorContract):
    @pytest.fixture
    def subject(self, monkeypatch: pytest.MonkeyPatch) -> connector.Connector:
        monkeypatch.setattr(iscsi_login, "check", lambda *arguments: None)
        return qemu_connector.UserspaceConnector("10.0.0.5", "c1", "iqn.x:y")


def test_connecting_asks_the_portal_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(iscsi_login, "check", lambda *arguments: asked.append(arguments))
    info = samples.connection_info(VOLUME)
    subject = qemu_connector.UserspaceConnector("10.0.0.5", "c1", "iqn.x:y", connect_timeout=1, login_timeout=3)
    assert subject.connect_volume(info) == info
    subject.disconnect_volume(info)
    (volume, initiator_name, *limits), *rest = asked
    assert (volume.volume_id, initiator_name, limits, rest) == (VOLUME, "iqn.x:y", [1, 3], [])
    with pytest.raises(errors.UnsupportedVolume, match="Stop the server, then start it"):
        subject.extend_volume(info)


def test_a_volume_of_the_hosts_former_mode_goes_to_its_connector() -> None:
    twin = connector.FakeConnector()
    subject = qemu_connector.UserspaceConnector("10.0.0.5", "c1", "iqn.x:y", for_devices=lambda: twin)
    with_device = connection_info.with_device(samples.connection_info(VOLUME), "/dev/disk/by-path/x")
    twin.connect_volume(with_device)
    subject.disconnect_volume(samples.connection_info(VOLUME))
    assert twin.connected == {VOLUME}
    assert subject.extend_volume(with_device) == 2**30
    subject.disconnect_volume(with_device)
    assert twin.connected == frozenset()


def test_the_twin_remembers_and_fails_as_told() -> None:
    fault = errors.PortalUnreachable(portal="p", iqn="i", reason="r")
    twin = connector.FakeConnector(faults=[fault])
    info = samples.connection_info(VOLUME)
    with pytest.raises(errors.PortalUnreachable):
        twin.connect_volume(info)
    assert twin.connected == frozenset()
    twin.connect_volume(info)
    twin.connect_volume(info)
    assert twin.connected == {VOLUME}
    twin.disconnect_volume(info)
    twin.disconnect_volume(info)
    assert twin.connected == frozenset()


def test_the_distributions_initiator_name_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "initiatorname.iscsi"
    file.write_text("## comment\nInitiatorName=iqn.1993-08.org.debian:01:abc\n")
    assert initiator.name(str(tmp_path / "state"), str(file)) == "iqn.1993-08.org.debian:01:abc"
    assert not (tmp_path / "state").exists()


def test_an_own_initiator_name_is_made_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    empty = tmp_path / "initiatorname.iscsi"
    empty.write_text("InitiatorName=\n")
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(initiator.name(str(state), str(empty)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1
    assert names[0].startswith("iqn.2010-10.org.openstack:nova-lite-")
    assert [path.name for path in state.iterdir()] == ["initiatorname"]
    assert stat.S_IMODE((state / "initiatorname").stat().st_mode) == 0o600
