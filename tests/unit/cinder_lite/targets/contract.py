"""What every target driver must do, as one suite: run against the twin in unit tests, against tgtd in integration,
against the kernel's target inside a virtual machine."""

from __future__ import annotations

import abc
from pathlib import Path

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.targets import base
from lite_common import errors

NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
OTHER = "volume-0b5f2b0e-2222-4a4a-8f5e-6a2f3c4d5e6f"
HOST_A = "iqn.1993-08.org.debian:01:aaaa"
HOST_B = "iqn.1993-08.org.debian:01:bbbb"


def connector(initiator: str) -> dict[str, str]:
    """What the host of that initiator sends."""
    return {"initiator": initiator, "host": initiator[-4:]}


class Rig(abc.ABC):
    """A target driver with the means to look at it from the initiator's side.

    `by_host`: access is granted to a host, not to whoever knows the login.
    """

    target: base.TargetDriver
    directory: Path
    by_host: bool

    def volume(self, name: str) -> str:
        """Return the path of a backing file of 1 MiB."""
        path = self.directory / name
        with path.open("wb") as file:
            file.truncate(1 << 20)
        return str(path)

    def export(self, name: str, auth: base.Auth, *initiators: str, path: str | None = None) -> str:
        """Export the volume and let the initiators (both hosts, unless named) in; the location."""
        location = self.target.ensure_export(name, path or self.volume(name), auth)
        for initiator in initiators or (HOST_A, HOST_B):
            self.target.initialize_connection(name, auth, connector(initiator))
        return location

    @abc.abstractmethod
    def can_login(self, location: str, auth: base.Auth, initiator: str = HOST_B) -> bool:
        """Whether an initiator with this login gets at the disk now (it logs out again)."""

    @abc.abstractmethod
    def hold(self, location: str, auth: base.Auth, initiator: str) -> None:
        """Log in and stay."""

    @abc.abstractmethod
    def let_go(self, location: str, initiator: str) -> None:
        """End that session."""

    @abc.abstractmethod
    def restart(self) -> None:
        """Kill the target daemon and start it again, without its targets."""


class TargetContract:
    """The suite; a subclass gives the fixture `rig`."""

    def test_export_is_reached_with_its_login_only(self, rig: Rig) -> None:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth)
        where = base.parse_location(location)
        assert (where.portals, where.iqn, where.lun) == (rig.target.portals, rig.target.iqn(NAME), rig.target.lun)
        assert rig.can_login(location, auth)
        assert not rig.can_login(location, base.Auth(auth.username, "x" * 16))
        assert not rig.can_login(location, base.Auth.generate())

    def test_access_is_the_hosts_own_where_the_target_knows_hosts(self, rig: Rig) -> None:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth, HOST_A)
        assert rig.can_login(location, auth, HOST_A)
        assert rig.can_login(location, auth, HOST_B) is not rig.by_host
        rig.target.initialize_connection(NAME, auth, connector(HOST_B))
        rig.target.initialize_connection(NAME, auth, connector(HOST_B))
        assert rig.can_login(location, auth, HOST_B)
        rig.target.terminate_connection(NAME, connector(HOST_A))
        rig.target.terminate_connection(NAME, connector(HOST_A))
        assert rig.can_login(location, auth, HOST_A) is not rig.by_host
        assert rig.can_login(location, auth, HOST_B)

    def test_access_is_not_taken_from_a_host_that_uses_it(self, rig: Rig) -> None:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth)
        rig.hold(location, auth, HOST_A)
        if rig.by_host:
            with pytest.raises(cinder_errors.VolumeIsBusy, match=HOST_A):
                rig.target.terminate_connection(NAME, connector(HOST_A))
        rig.target.terminate_connection(NAME, connector(HOST_B))
        assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
        rig.let_go(location, HOST_A)
        assert rig.can_login(location, auth, HOST_A)

    def test_what_is_there_is_shown(self, rig: Rig) -> None:
        assert rig.target.shown([NAME, OTHER]) == {}
        auth, path = base.Auth.generate(), rig.volume(NAME)
        location = rig.export(NAME, auth, HOST_A, path=path)
        found = rig.target.shown([NAME, OTHER])
        everybody = frozenset({HOST_A}) if rig.by_host else frozenset({base.EVERYBODY})
        assert found == {NAME: base.Shown(path, chap=True, initiators=everybody)}
        assert auth.password not in repr(found)
        rig.hold(location, auth, HOST_A)
        assert [one.initiator for one in rig.target.shown([NAME])[NAME].sessions] == [HOST_A]
        rig.let_go(location, HOST_A)
        rig.target.remove_export(NAME, location)
        assert rig.target.shown([NAME]) == {}

    def test_what_was_never_granted_may_be_withdrawn(self, rig: Rig) -> None:
        rig.target.terminate_connection(OTHER, connector(HOST_A))
        rig.export(NAME, base.Auth.generate(), HOST_A)
        rig.target.terminate_connection(NAME, connector(HOST_B))

    def test_ensuring_twice_changes_nothing(self, rig: Rig) -> None:
        auth, path = base.Auth.generate(), rig.volume(NAME)
        first = rig.export(NAME, auth, path=path)
        assert rig.target.ensure_export(NAME, path, auth, first) == first
        assert rig.target.ensure_export(NAME, path, auth) == first
        assert rig.can_login(first, auth)

    def test_a_removed_export_is_gone_and_may_be_removed_again(self, rig: Rig) -> None:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth)
        rig.target.remove_export(NAME, location)
        assert not rig.can_login(location, auth)
        assert rig.target.exported() == set()
        rig.target.remove_export(NAME, location)
        rig.target.remove_export(OTHER, None)

    def test_an_export_comes_back_after_removal(self, rig: Rig) -> None:
        auth, path = base.Auth.generate(), rig.volume(NAME)
        location = rig.export(NAME, auth, path=path)
        rig.target.remove_export(NAME, location)
        again = rig.target.ensure_export(NAME, path, auth, location, [HOST_B])
        assert rig.can_login(again, auth)
        assert rig.can_login(again, auth, HOST_A) is not rig.by_host

    def test_removal_touches_no_other_export(self, rig: Rig) -> None:
        auth, other = base.Auth.generate(), base.Auth.generate()
        location = rig.export(NAME, auth)
        other_location = rig.export(OTHER, other)
        # A location that names the other one's number, as after a restart of the daemon, must not mislead.
        stale = other_location.replace(OTHER, NAME)
        rig.target.remove_export(NAME, stale)
        assert not rig.can_login(location, auth)
        assert rig.can_login(other_location, other)
        assert rig.target.exported() == {OTHER}

    def test_an_export_in_use_is_not_removed_and_the_user_is_named(self, rig: Rig) -> None:
        auth = base.Auth.generate()
        location = rig.export(NAME, auth)
        rig.hold(location, auth, HOST_A)
        assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
        with pytest.raises(cinder_errors.VolumeIsBusy) as caught:
            rig.target.remove_export(NAME, location)
        assert HOST_A in caught.value.message
        assert NAME.removeprefix("volume-") in caught.value.message
        assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
        rig.let_go(location, HOST_A)
        rig.target.remove_export(NAME, location)
        assert rig.target.sessions(NAME) == []

    def test_ensuring_leaves_a_session_alone(self, rig: Rig) -> None:
        auth, path = base.Auth.generate(), rig.volume(NAME)
        location = rig.export(NAME, auth, path=path)
        rig.hold(location, auth, HOST_A)
        assert rig.target.ensure_export(NAME, path, auth) == location
        assert rig.target.ensure_all([base.Export(NAME, path, auth, location)]) == {NAME: location}
        assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
        with pytest.raises(errors.BackendError, match=NAME):
            rig.target.ensure_export(NAME, rig.volume(OTHER), auth)
        assert [session.initiator for session in rig.target.sessions(NAME)] == [HOST_A]
        rig.let_go(location, HOST_A)

    def test_an_unused_export_of_the_wrong_path_or_login_is_made_anew(self, rig: Rig) -> None:
        old, new = base.Auth.generate(), base.Auth.generate()
        rig.export(NAME, old, path=rig.volume(OTHER))
        location = rig.export(NAME, new)
        assert rig.can_login(location, new)
        assert not rig.can_login(location, old)

    def test_all_exports_are_restored_after_the_daemon_was_restarted(self, rig: Rig) -> None:
        exports = []
        for number in range(2):
            name, auth = f"{NAME[:-1]}{number}", base.Auth.generate()
            location = rig.export(name, auth)
            exports.append(base.Export(name, rig.volume(name), auth, location, frozenset({HOST_B})))
        before = rig.target.generation()
        assert rig.target.generation() == before
        rig.restart()
        assert rig.target.generation() != before
        assert rig.target.exported() == {export.volume_name for export in exports}
        restored = rig.target.ensure_all(exports)
        for export in exports:
            location = restored[export.volume_name]
            assert isinstance(location, str)
            assert rig.can_login(location, export.auth)
            assert rig.can_login(location, export.auth, HOST_A) is not rig.by_host

    def test_hosts_that_only_the_target_knew_are_let_in_again(self, rig: Rig) -> None:
        auth, path = base.Auth.generate(), rig.volume(NAME)
        rig.export(NAME, auth, HOST_A, HOST_B, path=path)
        rig.target.terminate_connection(NAME, connector(HOST_A))
        rig.restart()
        location = str(rig.target.ensure_all([base.Export(NAME, path, auth, recall=True)])[NAME])
        assert rig.can_login(location, auth, HOST_B)
        assert rig.can_login(location, auth, HOST_A) is not rig.by_host

    def test_what_is_missing_among_many_is_restored(self, rig: Rig) -> None:
        auth, other = base.Auth.generate(), base.Auth.generate()
        path, other_path = rig.volume(NAME), rig.volume(OTHER)
        rig.export(NAME, auth, path=path)
        restored = rig.target.ensure_all(
            [base.Export(NAME, path, auth), base.Export(OTHER, other_path, other, initiators=frozenset({HOST_B}))]
        )
        assert rig.can_login(str(restored[OTHER]), other)
        assert rig.can_login(str(restored[NAME]), auth)
