"""The in-memory target keeps the contract of all targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cinder_lite.targets import base, fake
from lite_common import errors
from tests.unit.cinder_lite.targets import contract


class FakeRig(contract.Rig):
    """The twin seen from outside."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.twin = fake.FakeTarget("iqn.2010-10.org.openstack:", "127.0.0.1:3260", busy_wait=0.05)
        self.target = self.twin

    def can_login(self, location: str, auth: base.Auth) -> bool:
        done = self.twin.login(location, auth, contract.HOST_B)
        self.twin.logout(location, contract.HOST_B)
        return done

    def hold(self, location: str, auth: base.Auth, initiator: str) -> None:
        assert self.twin.login(location, auth, initiator)

    def let_go(self, location: str, initiator: str) -> None:
        self.twin.logout(location, initiator)

    def restart(self) -> None:
        self.twin.restart()


@pytest.fixture
def rig(tmp_path: Path) -> FakeRig:
    return FakeRig(tmp_path)


class TestFakeTarget(contract.TargetContract):
    """The suite on the twin."""


def test_a_dead_daemon_is_named(rig: FakeRig) -> None:
    rig.twin.down = "killed"
    with pytest.raises(errors.Unavailable, match="killed"):
        rig.target.ensure_export(contract.NAME, "/x", base.Auth.generate())
    assert rig.target.exported() == set()
