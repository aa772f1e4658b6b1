"""Which hosts may reach an export: let in when they attach, out with the last use, in again after a restart."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import attachments, volumes
from cinder_lite.targets import base as targets
from cinder_lite.volume import connections, recovery
from cinder_lite.volume import legacy_connections as legacy
from lite_common import errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node

HOST_A = CONNECTOR["initiator"]
HOST_B = "iqn.1993-08.org.debian:01:bbbb"
OTHER = CONNECTOR | {"host": "compute2", "initiator": HOST_B}


def may_login(node: Node, volume_id: str) -> set[str]:
    """The hosts that the target lets in."""
    volume = node.found(volume_id).volume
    if volume.provider_auth is None:
        return set()
    location, auth = str(volume.provider_location), targets.Auth.parse(volume.provider_auth)
    found = {host for host in (HOST_A, HOST_B) if node.target.login(location, auth, host)}
    for host in found:
        node.target.logout(location, host)
    return found


def reserved(node: Node, volume_id: str) -> str:
    """A reservation beside others, as a volume that several may attach has."""
    with node.database.connection() as conn:
        if node.found(volume_id).attachments:
            volumes.update(conn, volume_id, multiattach=True)
            conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(status="in-use"))
    return node.reserved(volume_id)


def update(node: Node, volume_id: str, attachment_id: str, connector: dict[str, str]) -> None:
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, dict(connector))


def delete(node: Node, volume_id: str, attachment_id: str) -> None:
    connections.attachment_delete(node.backend, node.ctx, volume_id, attachment_id)
    attachments.remove(node.database, volume_id, attachment_id)


def test_a_host_is_let_in_by_its_attachment_and_out_with_its_last(node: Node) -> None:
    volume_id = node.available()
    first = reserved(node, volume_id)
    update(node, volume_id, first, CONNECTOR)
    assert may_login(node, volume_id) == {HOST_A}
    second, third = reserved(node, volume_id), reserved(node, volume_id)
    update(node, volume_id, second, CONNECTOR)
    update(node, volume_id, third, OTHER)
    assert may_login(node, volume_id) == {HOST_A, HOST_B}
    delete(node, volume_id, first)
    assert may_login(node, volume_id) == {HOST_A, HOST_B}
    delete(node, volume_id, second)
    assert may_login(node, volume_id) == {HOST_B}
    delete(node, volume_id, third)
    assert node.target.exported() == set()


@pytest.mark.parametrize("failing", ["grant", "row"])
def test_a_failed_attach_takes_only_its_own_access_back(
    node: Node, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    volume_id = node.available()
    update(node, volume_id, reserved(node, volume_id), CONNECTOR)
    again, other = reserved(node, volume_id), reserved(node, volume_id)
    with monkeypatch.context() as patch:
        if failing == "row":
            patch.setattr(attachments, "connect", lambda *arguments, **named: False)
        else:
            grant = node.target.initialize_connection

            def broken(*arguments: object) -> None:
                grant(*arguments)  # type: ignore[arg-type] - passed on
                raise errors.BackendError("the disk of the target's host is full")

            patch.setattr(node.target, "initialize_connection", broken)
        for attachment_id, connector in ((again, CONNECTOR), (other, OTHER)):
            with pytest.raises((cinder_errors.AttachmentBusy, errors.BackendError)):
                update(node, volume_id, attachment_id, connector)
    assert may_login(node, volume_id) == {HOST_A}
    update(node, volume_id, other, OTHER)
    assert may_login(node, volume_id) == {HOST_A, HOST_B}


def test_the_first_attach_that_fails_leaves_no_export(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id = node.available()

    def broken(*arguments: object) -> None:
        raise errors.BackendError("no such initiator")

    monkeypatch.setattr(node.target, "initialize_connection", broken)
    with pytest.raises(errors.BackendError, match="no such initiator"):
        update(node, volume_id, reserved(node, volume_id), CONNECTOR)
    with pytest.raises(errors.BackendError, match="no such initiator"):
        legacy.initialize_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    assert node.target.exported() == set()


def test_an_attachment_that_moves_to_another_host_leaves_the_first_outside(node: Node) -> None:
    volume_id = node.available()
    attachment_id = reserved(node, volume_id)
    update(node, volume_id, attachment_id, CONNECTOR)
    update(node, volume_id, attachment_id, OTHER)
    assert may_login(node, volume_id) == {HOST_B}
    volume = node.found(volume_id).volume
    auth = targets.Auth.parse(str(volume.provider_auth))
    assert node.target.login(str(volume.provider_location), auth, HOST_B)
    # The host still uses the disk: it keeps its access, and the new one has it as well.
    update(node, volume_id, attachment_id, CONNECTOR)
    node.target.logout(str(volume.provider_location), HOST_B)
    assert may_login(node, volume_id) == {HOST_A, HOST_B}


def test_a_host_in_use_is_not_shut_out(node: Node) -> None:
    volume_id = node.available()
    first = reserved(node, volume_id)
    update(node, volume_id, first, CONNECTOR)
    update(node, volume_id, reserved(node, volume_id), OTHER)
    volume = node.found(volume_id).volume
    auth = targets.Auth.parse(str(volume.provider_auth))
    assert node.target.login(str(volume.provider_location), auth, HOST_A)
    with pytest.raises(cinder_errors.VolumeIsBusy, match=HOST_A):
        connections.attachment_delete(node.backend, node.ctx, volume_id, first)


def test_a_restart_lets_in_the_hosts_of_the_rows_and_no_others(node: Node) -> None:
    volume_id = node.available()
    first = reserved(node, volume_id)
    update(node, volume_id, first, CONNECTOR)
    update(node, volume_id, reserved(node, volume_id), OTHER)
    # cinder-api removed the row, the daemon was killed before it withdrew the access.
    attachments.remove(node.database, volume_id, first)
    node.target.restart()
    recovery.watch_target(node.backend)
    assert may_login(node, volume_id) == {HOST_B}


def test_the_older_flow(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_attaching", volume_id)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    assert may_login(node, volume_id) == {HOST_A}
    attachment_id = legacy.attach_volume(node.backend, node.ctx, volume_id, str(uuid.uuid4()), None, "/dev/vdb", "rw")
    node.target.restart()
    assert may_login(node, volume_id) == set()
    recovery.watch_target(node.backend)
    # No row tells the host: the target remembers whom it let in.
    assert may_login(node, volume_id) == {HOST_A}
    node.move("begin_detaching", volume_id)
    legacy.terminate_connection(node.backend, node.ctx, volume_id, {"host": "compute1"})
    assert may_login(node, volume_id) == {HOST_A}
    legacy.terminate_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    assert may_login(node, volume_id) == set()
    legacy.detach_volume(node.backend, node.ctx, volume_id, attachment_id)
    assert node.target.exported() == set()


def test_in_the_older_flow_one_of_two_on_a_host_does_not_shut_it_out(node: Node) -> None:
    volume_id = node.available()
    with node.database.connection() as conn:
        volumes.update(conn, volume_id, multiattach=True)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    first, _ = (
        legacy.attach_volume(node.backend, node.ctx, volume_id, str(uuid.uuid4()), host, "/dev/vdb", "rw")
        for host in ("compute1", None)
    )
    legacy.terminate_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    legacy.detach_volume(node.backend, node.ctx, volume_id, first)
    assert may_login(node, volume_id) == {HOST_A}


def test_an_attachment_of_either_flow_keeps_the_access_of_the_other(node: Node) -> None:
    volume_id = node.available()
    with node.database.connection() as conn:
        volumes.update(conn, volume_id, multiattach=True)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, dict(CONNECTOR))
    legacy.attach_volume(node.backend, node.ctx, volume_id, str(uuid.uuid4()), "compute1", "/dev/vdb", "rw")
    second = reserved(node, volume_id)
    update(node, volume_id, second, CONNECTOR)
    delete(node, volume_id, second)
    assert may_login(node, volume_id) == {HOST_A}
    node.target.restart()
    recovery.watch_target(node.backend)
    assert may_login(node, volume_id) == {HOST_A}
