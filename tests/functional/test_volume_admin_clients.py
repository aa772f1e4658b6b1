"""Stock clients: what administrators and owners do to volumes, types, quotas and services by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions

from tests.fixtures import stack as stack_fixture
from tests.functional.test_compute_clients import Command, cloud_of

WAIT = 30


@pytest.fixture(scope="module")
def storage(stack: stack_fixture.FunctionalStack) -> Iterator[Any]:
    """openstacksdk's client of the volume API."""
    connection = openstack.connection.Connection(**cloud_of(stack), block_storage_default_microversion="3.69")
    yield connection.block_storage
    connection.close()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, stack: stack_fixture.FunctionalStack) -> Command:
    """openstackclient, configured."""
    return Command(tmp_path_factory.mktemp("client"), cloud_of(stack) | {"volume_api_version": "3"})


@pytest.fixture
def volume(storage: Any) -> Iterator[Any]:
    """An available volume, deleted by force afterwards."""
    made = storage.create_volume(size=1, name="by-hand")
    storage.wait_for_status(made, "available", wait=WAIT)
    yield made
    storage.delete_volume(made, force=True)
    storage.wait_for_delete(made, wait=WAIT)


def test_sdk_sets_things_by_hand(storage: Any, volume: Any) -> None:
    storage.set_volume_bootable_status(volume, True)
    storage.set_volume_readonly(volume, True)
    seen = storage.get_volume(volume.id)
    assert (seen.is_bootable, seen.metadata) == (True, {"readonly": "True"})
    storage.reset_volume_status(volume, "error", None, None)
    assert storage.get_volume(volume.id).status == "error"
    with pytest.raises(exceptions.BadRequestException):
        storage.reset_volume_status(volume, "deleting", None, None)
    assert [one.id for one in storage.volumes(status="error", name="by-hand")] == [volume.id]


def test_sdk_types(storage: Any) -> None:
    made = storage.create_type(name="sdk-private", **{"os-volume-type-access:is_public": False})
    try:
        storage.add_type_access(made, "some-project")
        assert [one["project_id"] for one in storage.get_type_access(made)] == ["some-project"]
        storage.remove_type_access(made, "some-project")
        assert storage.update_type(made, description="d").description == "d"
        storage.update_type_extra_specs(made, volume_backend_name="fake1")
        assert storage.find_type("sdk-private").extra_specs == {"volume_backend_name": "fake1"}
        assert made.id not in [one.id for one in storage.types()]
        with pytest.raises(exceptions.HttpException, match="not served"):
            storage.create_type_encryption(made, provider="luks", control_location="front-end")
    finally:
        storage.delete_type(made)


def test_sdk_quotas_services_and_pools(storage: Any) -> None:
    assert storage.get_quota_class_set("default").volumes == 100
    assert storage.update_quota_class_set("default", volumes=99).volumes == 99
    assert storage.get_quota_set_defaults("demo").volumes == 99
    storage.update_quota_class_set("default", volumes=100)
    assert storage.get_quota_set("demo", usage=True).usage["volumes"] >= 0
    assert storage.get_limits().absolute.max_total_volumes == 100
    service = storage.find_service("cinder-volume", ignore_missing=False, host="host1@fake2")
    assert storage.disable_service(service, reason="new disk").disabled_reason == "new disk"
    assert [pool.name for pool in storage.backend_pools()] == ["host1@fake1#fake1"]
    storage.enable_service(service)
    assert len(list(storage.backend_pools())) == 2
    assert [zone.name for zone in storage.availability_zones()] == ["nova"]


def test_the_command_line(command: Command, volume: Any) -> None:
    command.done("volume", "set", "--bootable", "--read-only", volume.id)
    shown = command.told("volume", "show", volume.id)
    assert (shown["bootable"], shown["properties"]["readonly"]) == (True, "True")
    command.done("volume", "set", "--state", "error", volume.id)
    assert command.told("volume", "show", volume.id)["status"] == "error"
    assert command.told("--os-volume-api-version", "3.69", "volume", "message", "list") is not None
    assert command.told("volume", "backend", "pool", "list")
    assert command.told("volume", "type", "list", "--private") == []
