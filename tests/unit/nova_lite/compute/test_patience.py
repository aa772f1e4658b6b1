"""A cinder-api that is being restarted is waited for; one that is silent has had its time already."""

from __future__ import annotations

import dataclasses

import pytest

from lite_common import errors
from nova_lite.compute import manager, storage
from tests.unit.nova_lite.compute.conftest import CONNECT, DOWN, FINISH, Cloud


@pytest.fixture
def patient(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr(storage, "PATIENCE_PAUSE", 0.01)
    cloud.host = dataclasses.replace(cloud.host, patience=5.0)
    cloud.rpc.manager = manager.ComputeManager(cloud.host)
    return cloud


@pytest.mark.parametrize("step", [CONNECT, FINISH])
@pytest.mark.parametrize("done", [False, True], ids=["refused", "cut off"])
def test_an_attach_outlives_a_restart_of_cinder_api(
    patient: Cloud, flow: str, step: dict[str, str], done: bool
) -> None:
    server, volume = patient.boot().uuid, patient.twin.add_volume()
    patient.twin.faults[step[flow]] = [DOWN, DOWN]
    if done:
        patient.twin.after.add(step[flow])
    patient.volumes.attach_volume(patient.ctx, server, volume)
    assert patient.rpc.errors == []
    patient.assert_attached(server, volume)


def test_a_silent_cinder_api_is_not_asked_again(patient: Cloud, flow: str) -> None:
    server, volume = patient.boot().uuid, patient.twin.add_volume()
    patient.twin.faults[CONNECT[flow]] = [errors.Timeout("no answer")]
    patient.volumes.attach_volume(patient.ctx, server, volume)
    assert patient.twin.calls.count(CONNECT[flow]) == 1
    patient.assert_as_before(server, volume)
