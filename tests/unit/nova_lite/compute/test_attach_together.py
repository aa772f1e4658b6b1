"""Device names, and attaches that run at the same time."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest

from lite_common import db, errors
from nova_lite import errors as nova_errors
from nova_lite.db import attachments
from tests.unit.nova_lite.compute.conftest import (
    Cloud,
)


def test_requested_name_is_honoured_once(cloud: Cloud) -> None:
    server, first, second = cloud.boot(), cloud.twin.add_volume(), cloud.twin.add_volume()
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, first, device="/dev/sdx1").device_name == "/dev/vdx"
    with pytest.raises(nova_errors.DevicePathInUse, match=r"The supplied device path \(/dev/vdx\) is in use."):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second, device="/dev/vdx")
    with pytest.raises(nova_errors.DevicePathInUse):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second, device="/dev/vda")
    cloud.assert_as_before(server.uuid, second)


def test_gaps_are_filled_and_z_is_followed_by_aa(cloud: Cloud) -> None:
    server = cloud.boot()
    volumes = [cloud.twin.add_volume() for _ in range(27)]
    names = [cloud.volumes.attach_volume(cloud.ctx, server.uuid, one).device_name for one in volumes[:26]]
    assert names[:2] == ["/dev/vdb", "/dev/vdc"]
    assert names[-2:] == ["/dev/vdz", "/dev/vdaa"]
    cloud.volumes.detach_volume(cloud.ctx, server.uuid, volumes[1])
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, volumes[26]).device_name == "/dev/vdc"


def test_as_many_disks_as_allowed(cloud: Cloud) -> None:
    object.__setattr__(cloud.host, "max_disks", 2)
    server, first, second = cloud.boot(), cloud.twin.add_volume(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, first)
    with pytest.raises(nova_errors.TooManyDisks, match=r"number of disk devices \(2\)") as caught:
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second)
    assert caught.value.code == 403
    cloud.assert_as_before(server.uuid, second)


def together(*works: Callable[[], object]) -> list[object]:
    """Run all at the same moment; what each returned or raised."""
    results: list[object] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = works[number]()
        except errors.LiteError as err:
            results[number] = err

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_servers_want_one_volume_at_the_same_moment(cloud: Cloud, flow: str) -> None:
    first, second = cloud.boot(), cloud.boot()
    for _ in range(5):
        volume = cloud.twin.add_volume()
        results = together(
            *(functools.partial(cloud.volumes.attach_volume, cloud.ctx, one.uuid, volume) for one in (first, second))
        )
        refused = [result for result in results if isinstance(result, errors.LiteError)]
        assert len(refused) == 1
        assert refused[0].code == 400
        winner, loser = (second, first) if isinstance(results[0], errors.LiteError) else (first, second)
        cloud.assert_attached(winner.uuid, volume)
        assert volume not in [device.volume_id for device in cloud.devices(loser.uuid)]


def test_one_server_wants_one_volume_twice_at_the_same_moment(cloud: Cloud, flow: str) -> None:
    server = cloud.boot()
    for _ in range(5):
        volume = cloud.twin.add_volume()
        results = together(*[functools.partial(cloud.volumes.attach_volume, cloud.ctx, server.uuid, volume)] * 2)
        refused = [result for result in results if isinstance(result, errors.LiteError)]
        assert [err.code for err in refused] == [400]
        cloud.assert_attached(server.uuid, volume)


def test_many_volumes_at_once_get_different_names(cloud: Cloud) -> None:
    server = cloud.boot()
    volumes = [cloud.twin.add_volume() for _ in range(12)]
    results = together(
        *(functools.partial(cloud.volumes.attach_volume, cloud.ctx, server.uuid, one) for one in volumes)
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert len({device.device_name for device in cloud.devices(server.uuid)}) == 12


def test_name_taken_by_another_process_is_passed_over(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    insert, sneaked = attachments.reserve, []

    def sneak_in(database: db.Database, **values: object) -> attachments.BlockDevice:
        if not sneaked:
            sneaked.append(insert(database, **values | {"uuid": "other", "volume_id": "other"}))  # type: ignore[arg-type]
        return insert(database, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(attachments, "reserve", sneak_in)
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume).device_name == "/dev/vdc"


def test_statements_do_not_grow_with_the_volumes(cloud: Cloud) -> None:
    server = cloud.boot()
    counts = []
    for _ in range(30):
        cloud.statements.clear()
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, cloud.twin.add_volume())
        counts.append(len(cloud.statements))
    assert set(counts) == {9}
