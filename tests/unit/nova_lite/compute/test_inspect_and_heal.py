"""What a host tells of its attachments and does about them: with the twins of hypervisor, initiator and Cinder."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import heal, inspect, reconcile, sides
from nova_lite.db import attachments, models
from nova_lite.virt import errors as virt_errors
from nova_lite.volume import host_view
from tests.unit.nova_lite.cinder_twin import SECRET
from tests.unit.nova_lite.compute.conftest import HOST, Cloud

ADMIN = context.RequestContext(user_id="root", project_id="admin", roles=["admin"], is_admin=True, overwrite=False)


@pytest.fixture
def attached(cloud: Cloud, flow: str) -> tuple[str, str]:
    """A server with a volume, in both ways to attach."""
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)
    return server, volume


def healed(cloud: Cloud, server: str | None, volume: str) -> tuple[list[str], list[str]]:
    told = heal.heal_attachment(cloud.host, ADMIN, server, volume)
    return told["done"], told["left"]


def row_of(cloud: Cloud, server: str, volume: str) -> attachments.BlockDevice:
    found = attachments.find(cloud.database, server, volume)
    assert found is not None
    return found


def lose_row(cloud: Cloud, server: str, volume: str) -> None:
    assert attachments.release(cloud.database, row_of(cloud, server, volume).uuid)


def test_an_attachment_is_told_without_its_secret(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    told = inspect.inspect_attachments(cloud.host)
    (seen,) = told["attachments"].values()
    assert (seen["power_state"], seen["busy"], seen["live"]) == ("running", False, seen["stored"])
    assert seen["live"]["alias"] == f"ua-{volume}"
    assert (told["strays"], told["unseen"], told["initiator"]) == ([], [], cloud.connector.initiator)
    assert SECRET not in json.dumps(told)
    with cloud.host.server_locks.hold(server, "a test"):
        (seen,) = inspect.inspect_attachments(cloud.host, server)["attachments"].values()
    assert seen["busy"] is True


def test_a_server_that_the_hypervisor_does_not_know(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.virt.destroy(server)
    (seen,) = inspect.inspect_attachments(cloud.host)["attachments"].values()
    assert (seen["power_state"], seen["live"], seen["stored"]) == ("nostate", None, None)
    done, left = healed(cloud, server, volume)
    assert (done, "reboot --hard" in left[0]) == ([], True)


def test_a_hypervisor_that_is_down_is_named_once(cloud: Cloud, attached: tuple[str, str]) -> None:
    other = cloud.boot().uuid
    cloud.volumes.attach_volume(cloud.ctx, other, cloud.twin.add_volume())
    cloud.virt.faults["shown_volumes"] = [virt_errors.HypervisorUnavailable(uri="fake://", reason="down")] * 9
    told = inspect.inspect_attachments(cloud.host)
    assert [one["side"] for one in told["unseen"]] == ["guests"]
    assert {one["power_state"] for one in told["attachments"].values()} == {None}


def test_a_disk_without_a_row_is_a_stray_and_is_taken_out(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    lose_row(cloud, server, volume)
    for told in (inspect.inspect_attachments(cloud.host), inspect.inspect_attachments(cloud.host, server, volume)):
        (stray,) = told["strays"]
        assert (stray["kind"], stray["server_id"], stray["volume_id"]) == ("disk", server, volume)
    assert inspect.inspect_attachments(cloud.host, volume_id=str(uuid.uuid4()))["strays"] == []
    done, left = healed(cloud, server, volume)
    assert ("taken out of the guest" in done[0], left) == (True, [])
    cloud.assert_as_before(server, volume)
    assert healed(cloud, server, volume) == ([], [])


def test_a_guest_that_keeps_its_disk_keeps_the_rest(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    lose_row(cloud, server, volume)
    cloud.virt.stubborn.add(server)
    done, left = healed(cloud, server, volume)
    assert (done, "did not let go" in left[0]) == ([], True)
    assert cloud.twin.status(volume) == "in-use"
    assert volume in cloud.connector.connected


@pytest.mark.parametrize("parts", [{"stored": False}, {"live": False}, {}])
def test_what_the_guest_lacks_is_given_back(cloud: Cloud, attached: tuple[str, str], parts: dict[str, bool]) -> None:
    server, volume = attached
    cloud.virt.lose_disk(server, volume, **parts)
    done, left = healed(cloud, server, volume)
    assert ("given back" in done[0], left) == (True, [])
    cloud.assert_attached(server, volume)
    assert volume in cloud.disks(server).live
    assert healed(cloud, server, volume) == ([], [])


def test_a_stopped_server_gets_it_at_its_start(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.virt.power_off(server, 0)
    cloud.virt.lose_disk(server, volume)
    done, left = healed(cloud, server, volume)
    assert (done, "next start" in left[0]) == ([], True)


def test_a_row_of_which_cinder_knows_nothing_goes_with_its_disk(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.twin.attachments.clear()
    cloud.twin.volumes[volume]["status"] = "available"
    assert len(healed(cloud, server, volume)[0]) == 1
    cloud.assert_as_before(server, volume)


def test_what_another_server_has_by_now_is_not_ended(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.twin.attachments.clear()
    theirs = cloud.twin._new(volume, str(uuid.uuid4()))
    theirs["attached"] = True
    cloud.twin.calls.clear()
    assert len(healed(cloud, server, volume)[0]) == 1
    assert list(cloud.twin.attachments) == [theirs["id"]]
    assert not {"os-detach", "os-terminate_connection"} & set(cloud.twin.calls)
    assert volume not in cloud.disks(server).live


def test_a_volume_that_is_gone(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.twin.attachments.clear()
    del cloud.twin.volumes[volume]
    assert len(healed(cloud, server, volume)[0]) == 1
    assert cloud.devices(server) == []


@pytest.mark.parametrize("status", ["error", "error_extending"])
def test_an_error_is_for_a_person(cloud: Cloud, attached: tuple[str, str], status: str) -> None:
    server, volume = attached
    cloud.twin.volumes[volume]["status"] = status
    done, left = healed(cloud, server, volume)
    assert (done, "a person" in left[0]) == ([], True)


def test_a_detach_that_was_left_is_finished(cloud: Cloud, attached: tuple[str, str]) -> None:
    server, volume = attached
    cloud.twin.volumes[volume]["status"] = "detaching"
    done, left = healed(cloud, server, volume)
    assert ("was detaching and is available now" in done[0], left) == (True, [])
    cloud.assert_as_before(server, volume)


def test_cinder_that_is_down_is_the_answer(cloud: Cloud, attached: tuple[str, str]) -> None:
    cloud.twin.faults["GET volumes"] = [errors.Unavailable("cinder-api is down.")]
    done, left = healed(cloud, *attached)
    assert (done, "cinder-api is down." in left[0]) == ([], True)


def test_a_reservation_is_left_for_a_while(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    done, left = healed(cloud, server, volume)
    assert (done, "may still come" in left[0]) == ([], True)
    monkeypatch.setattr(reconcile, "RESERVATION_AGE", 0.0)
    assert len(healed(cloud, server, volume)[0]) == 1
    cloud.assert_as_before(server, volume)


class TestSessions:
    """Where the host logs in itself."""

    @pytest.fixture
    def logged_in(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Give a function that lets the host be logged in to the target of a volume while it is connected."""
        session = host_view.SessionView("10.0.0.4:3260", "iqn.x:y", "LOGGED_IN")

        def log_in(volume: str) -> None:
            def there() -> bool:
                return volume in cloud.connector.connected

            def look(info: Any) -> host_view.HostView:
                return host_view.HostView("host", "/dev/x", "/dev/sdb" if there() else None, (session,) * there())

            monkeypatch.setattr(cloud.connector, "look", look)
            monkeypatch.setattr(cloud.connector, "volume_sessions", lambda: {volume: [session]} if there() else {})

        return log_in

    def test_a_session_without_a_row_is_ended(self, cloud: Cloud, logged_in: Callable[[str], None]) -> None:
        server, volume = cloud.boot().uuid, cloud.twin.add_volume()
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
        logged_in(volume)
        assert inspect.inspect_attachments(cloud.host)["strays"] == []
        cloud.virt.lose_disk(server, volume)
        lose_row(cloud, server, volume)
        (stray,) = inspect.inspect_attachments(cloud.host)["strays"]
        assert (stray["kind"], stray["sessions"][0]["state"]) == ("session", "LOGGED_IN")
        done, left = healed(cloud, None, volume)
        assert ("disconnected" in done[0], left) == (True, [])
        assert inspect.inspect_attachments(cloud.host)["strays"] == []

    def test_a_guest_that_has_the_disk_keeps_its_session(self, cloud: Cloud, logged_in: Callable[[str], None]) -> None:
        server, volume = cloud.boot().uuid, cloud.twin.add_volume()
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
        logged_in(volume)
        lose_row(cloud, server, volume)
        done, left = healed(cloud, None, volume)
        assert (done, server in left[0]) == ([], True)
        assert volume in cloud.connector.connected

    def test_a_session_that_no_row_ever_made_is_left(self, cloud: Cloud) -> None:
        done, left = healed(cloud, None, str(uuid.uuid4()))
        assert (done, "somebody else's" in left[0]) == ([], True)

    def test_a_host_that_lost_its_session_is_connected_again(
        self, cloud: Cloud, logged_in: Callable[[str], None]
    ) -> None:
        server, volume = cloud.boot().uuid, cloud.twin.add_volume()
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
        logged_in(volume)
        cloud.connector.disconnect_volume(row_of(cloud, server, volume).connection_info or {})
        done, left = healed(cloud, server, volume)
        assert ("connected to the volume again" in done[0], "reboot" in left[0]) == (True, True)
        assert volume in cloud.connector.connected


class Rpc:
    """Calls run at once."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.fails: errors.LiteError | None = None

    def inspect_attachments(self, ctx: Any, host: str, server_id: Any, volume_id: Any, timeout: float) -> Any:
        assert host == HOST
        if self.fails:
            raise self.fails
        return inspect.inspect_attachments(self.cloud.host, server_id, volume_id)

    def heal_attachment(self, ctx: Any, host: str, server_id: Any, volume_id: str) -> Any:
        assert host == HOST
        return heal.heal_attachment(self.cloud.host, ctx, server_id, volume_id)


class TestApi:
    """nova-api's half."""

    @pytest.fixture
    def rpc(self, cloud: Cloud) -> Rpc:
        return Rpc(cloud)

    @pytest.fixture
    def api(self, cloud: Cloud, rpc: Rpc) -> sides.SidesApi:
        return sides.SidesApi(cloud.database, rpc, service_down_time=60)  # type: ignore[arg-type]

    @pytest.fixture
    def pair(self, cloud: Cloud) -> tuple[str, str]:
        server, volume = cloud.boot().uuid, cloud.twin.add_volume()
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
        return server, volume

    def test_rows_and_hosts_beside_each_other(self, api: sides.SidesApi, pair: tuple[str, str]) -> None:
        seen = api.look(ADMIN, volume_id=pair[1])
        (row,) = seen.rows
        assert (row.device.instance_uuid, seen.unseen, seen.strays) == (pair[0], [], [])
        assert seen.compute[row.device.uuid]["power_state"] == "running"

    def test_pages(self, cloud: Cloud, api: sides.SidesApi, pair: tuple[str, str]) -> None:
        cloud.volumes.attach_volume(cloud.ctx, pair[0], cloud.twin.add_volume())
        (first,) = api.look(ADMIN, limit=1, every=True).rows
        (second,) = api.look(ADMIN, limit=1, every=True, marker=first.device.uuid).rows
        assert first.device.volume_id == pair[1] != second.device.volume_id

    @pytest.mark.parametrize("how", ["down", "silent"])
    def test_a_host_that_does_not_answer_is_named(
        self, cloud: Cloud, api: sides.SidesApi, rpc: Rpc, pair: tuple[str, str], how: str
    ) -> None:
        if how == "down":
            cloud.silence()
        else:
            rpc.fails = errors.Timeout("no answer")
        seen = api.look(ADMIN, server_id=pair[0])
        assert [(one["host"], one["side"]) for one in seen.unseen] == [(HOST, "all")]
        assert (len(seen.rows), seen.compute) == (1, {})

    def test_others_see_neither_rows_nor_strays(self, cloud: Cloud, api: sides.SidesApi, pair: tuple[str, str]) -> None:
        lose_row(cloud, *pair)
        eve = context.RequestContext(user_id="eve", project_id="other", roles=["member"], overwrite=False)
        assert api.look(eve, volume_id=pair[1]).strays == []
        with pytest.raises(nova_errors.ServerNotFound):
            api.look(eve, server_id=pair[0])
        assert len(api.look(cloud.ctx, volume_id=pair[1]).strays) == 1
        assert api.look(ADMIN, every=True).strays[0]["project_id"] == "demo"

    def test_healing_goes_to_the_servers_host(self, cloud: Cloud, api: sides.SidesApi, pair: tuple[str, str]) -> None:
        cloud.virt.lose_disk(*pair)
        assert len(api.heal(ADMIN, *pair)["done"]) == 1
        cloud.silence()
        with pytest.raises(nova_errors.HostDown):
            api.heal(ADMIN, *pair)

    def test_a_disk_of_a_server_that_never_was(self, cloud: Cloud, api: sides.SidesApi, pair: tuple[str, str]) -> None:
        lose_row(cloud, *pair)
        table = models.instances
        with cloud.database.connection() as conn:
            conn.execute(table.update().where(table.c.uuid == pair[0]).values(host=None))
        assert len(api.heal(ADMIN, *pair)["done"]) == 2
        with pytest.raises(errors.NotFound):
            api.heal(ADMIN, *pair)
