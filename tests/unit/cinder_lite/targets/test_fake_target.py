"""The in-memory target keeps the contract of all targets, in both ways of granting access."""

from __future__ import annotations

from pathlib import Path

import pytest

from cinder_lite.targets import base, fake
from lite_common import errors
from tests.unit.cinder_lite.targets import contract


class FakeRig(contract.Rig):
    """The twin seen from outside."""

    def __init__(self, directory: Path, by_host: bool) -> None:
        self.directory = directory
        self.by_host = by_host
        self.twin = fake.FakeTarget(
            "iqn.2010-10.org.openstack:", "127.0.0.1:3260", ["127.0.0.2:3260"], busy_wait=0.05, by_host=by_host
        )
        self.target = self.twin

    def can_login(self, location: str, auth: base.Auth, initiator: str = contract.HOST_B) -> bool:
        done = self.twin.login(location, auth, initiator)
        self.twin.logout(location, initiator)
        return done

    def hold(self, location: str, auth: base.Auth, initiator: str) -> None:
        assert self.twin.login(location, auth, initiator)

    def let_go(self, location: str, initiator: str) -> None:
        self.twin.logout(location, initiator)

    def restart(self) -> None:
        self.twin.restart()


@pytest.fixture(params=[True, False], ids=["by-host", "by-login"])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> FakeRig:
    return FakeRig(tmp_path, request.param)


class TestFakeTarget(contract.TargetContract):
    """The suite on the twin."""


def test_a_dead_daemon_is_named(rig: FakeRig) -> None:
    rig.twin.down = "killed"
    with pytest.raises(errors.Unavailable, match="killed"):
        rig.target.ensure_export(contract.NAME, "/x", base.Auth.generate())
    assert rig.target.exported() == set()
