"""A volume that grew while a server has it: what nova-compute makes of the event."""

from __future__ import annotations

from lite_common import errors
from nova_lite.compute import external_events
from tests.unit.nova_lite.compute.conftest import BUS_DOWN, Cloud

GROWN = "volume-extended"


def events(cloud: Cloud) -> external_events.ExternalEventApi:
    return external_events.ExternalEventApi(cloud.database, cloud.rpc)  # type: ignore[arg-type]


def attached(cloud: Cloud) -> tuple[str, str]:
    """A server and its volume, which has grown to 2 GiB."""
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.volumes[volume]["size"] = 2
    cloud.connector.sizes[volume] = 2**31
    return server, volume


def test_the_guest_is_shown_the_size(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    assert events(cloud).dispatch(cloud.ctx, GROWN, server, volume) == 200
    assert cloud.virt.sizes == {(server, volume): 2**31}
    assert cloud.devices(server)[0].volume_size == 2
    assert cloud.rpc.errors == []


def test_a_stopped_server_sees_it_at_its_start(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.api.stop(cloud.ctx, server)
    assert events(cloud).dispatch(cloud.ctx, GROWN, server, volume) == 200
    assert cloud.virt.sizes == {}
    assert cloud.devices(server)[0].volume_size == 2
    assert cloud.faults(server) == []


def test_a_volume_that_the_server_does_not_have(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert events(cloud).dispatch(cloud.ctx, GROWN, server, volume) == 200
    assert cloud.virt.sizes == {}
    assert cloud.faults(server) == []
    assert cloud.rpc.errors == []


def test_what_fails_is_a_fault_of_the_server(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.virt.faults["extend_volume"] = [errors.BackendError("the guest cannot grow its disk")]
    assert events(cloud).dispatch(cloud.ctx, GROWN, server, volume) == 200
    assert cloud.faults(server) == [(500, "the guest cannot grow its disk")]
    cloud.assert_attached(server, volume)


def test_events_that_nobody_is_told_of(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    api = events(cloud)
    assert api.dispatch(cloud.ctx, GROWN, server, None) == 400
    assert api.dispatch(cloud.ctx, "network-changed", server, volume) == 400
    assert api.dispatch(cloud.ctx, GROWN, volume, volume) == 404
    cloud.rpc.casts_fail = BUS_DOWN
    assert api.dispatch(cloud.ctx, GROWN, server, volume) == 503
    cloud.set_server(server, host=None)
    assert api.dispatch(cloud.ctx, GROWN, server, volume) == 422
    assert cloud.virt.sizes == {}
