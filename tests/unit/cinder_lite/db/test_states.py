"""Every state is moved by compare-and-swap: alone, together with the other table, and by many threads at once."""

from __future__ import annotations

import datetime
import random
import threading
import uuid

import pytest
import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import attachments, models, quotas, volumes
from lite_common import db
from tests.unit.cinder_lite.db.conftest import MakeVolume

INFO = {"driver_volume_type": "iscsi"}


def states_of(database: db.Database, volume_id: str) -> tuple[str, str]:
    with database.connection() as conn:
        found = volumes.get(conn, volume_id)
    return found.status, found.attach_status


def attach(database: db.Database, volume_id: str, server: str = "s1") -> str:
    attachment_id = attachments.reserve(database, volume_id, None, server, None)
    assert attachment_id
    assert attachments.connect(
        database, volume_id, attachment_id, connector={"host": "c1"}, connection_info=INFO, mode="rw"
    )
    assert attachments.complete(database, attachment_id, None)
    return attachment_id


@pytest.mark.parametrize("name", sorted(states.VOLUME))
def test_a_move_is_made_from_its_states_only(database: db.Database, make: MakeVolume, name: str) -> None:
    step = states.VOLUME[name]
    volume_id = make()
    known = {"creating", "available", "reserved", "attaching", "in-use", "detaching", "deleting", "error"}
    for status in known:
        for attach_status in ("detached", "attached"):
            row = {"status": status, "attach_status": attach_status, "multiattach": False, "migration_status": None}
            with database.connection() as conn:
                conn.execute(models.volumes.update().values(row))
                assert volumes.move(conn, name, volume_id) == step.allows(row)
                found = volumes.get(conn, volume_id)
            wanted = {**row, **step.values} if step.allows(row) else row
            assert (found.status, found.attach_status) == (wanted["status"], wanted["attach_status"])


def test_states_are_not_written_by_update(database: db.Database, make: MakeVolume) -> None:
    volume_id = make()
    with database.connection() as conn:
        with pytest.raises(ValueError, match="move"):
            volumes.update(conn, volume_id, status="available")
        with pytest.raises(errors.VolumeNotFound):
            volumes.update(conn, "nope", host="h")


@pytest.mark.parametrize(
    ("remaining", "status", "migration", "after"),
    [
        ([], "in-use", None, ("available", "detached")),
        (["attached", "reserved"], "attaching", None, ("in-use", "attached")),
        (["attaching", "reserved"], "in-use", None, ("attaching", "attaching")),
        (["reserved"], "in-use", None, ("reserved", "reserved")),
        (["error_attaching"], "in-use", None, ("available", "detached")),
        ([], "uploading", None, ("uploading", "detached")),
        ([], "deleting", None, ("deleting", "detached")),
        ([], "in-use", "migrating", ("in-use", "detached")),
        ([], "in-use", "success", ("available", "detached")),
        ([], "extending", None, ("extending", "detached")),
        (["attached"], "extending", None, ("extending", "attached")),
        (["error_attaching"], "retyping", None, ("retyping", "detached")),
    ],
)
def test_what_is_left_decides(remaining: list[str], status: str, migration: str | None, after: tuple[str, str]) -> None:
    assert states.after_detach(remaining, status, migration) == after


def test_an_attachment_and_its_volume_move_together(database: db.Database, make: MakeVolume) -> None:
    volume_id = make()
    attachment_id = attach(database, volume_id)
    assert states_of(database, volume_id) == ("in-use", "attached")
    assert not attachments.complete(database, attachment_id, None)
    with database.connection() as conn:
        found = attachments.find(conn, attachment_id, "p")
        with pytest.raises(errors.VolumeAttachmentNotFound):
            attachments.find(conn, attachment_id, "q")
    assert (found.attachment.connection_info, found.attachment.connector) == (INFO, {"host": "c1"})
    assert not found.other_connected
    # A repeated connection of an attached one renews what is stored and takes nothing back.
    assert attachments.connect(
        database, volume_id, attachment_id, connector={"host": "c1"}, connection_info={"new": 1}, mode="rw"
    )
    assert states_of(database, volume_id) == ("in-use", "attached")
    assert attachments.remove(database, volume_id, attachment_id) == []
    assert states_of(database, volume_id) == ("available", "detached")
    assert attachments.remove(database, volume_id, attachment_id) == []
    assert not attachments.connect(
        database, volume_id, attachment_id, connector={"host": "c1"}, connection_info=INFO, mode="rw"
    )
    assert states_of(database, volume_id) == ("available", "detached")


def test_a_late_removal_does_not_bring_a_volume_back_from_deletion(database: db.Database, make: MakeVolume) -> None:
    volume_id = make()
    attachment_id = attachments.reserve(database, volume_id, None, "s1", None)
    assert attachment_id
    with database.connection() as conn:
        conn.execute(models.volumes.update().values(status="deleting"))
    attachments.remove(database, volume_id, attachment_id)
    assert states_of(database, volume_id)[0] == "deleting"


def test_os_attach_knows_who_has_the_volume(database: db.Database, make: MakeVolume) -> None:
    volume_id = make()
    first = attachments.attach(database, volume_id, {"instance_uuid": "s1", "connector": {"host": "c"}})
    assert attachments.attach(database, volume_id, {"instance_uuid": "s1"}) == first
    assert attachments.attach(database, volume_id, {"instance_uuid": "s2"}) is None
    assert attachments.attach(database, volume_id, {"attached_host": "c1"}) is None
    with database.connection() as conn:
        assert attachments.get(conn, str(first)).connector == {"host": "c"}
        assert not volumes.unreserve(conn, volume_id)


def test_volumes_of_a_backend_are_found_by_its_exact_name(database: db.Database, make: MakeVolume) -> None:
    here = [make(host="h@b#p"), make(host="h@b#q"), make(host="h@b")]
    make(host="h@b2#p")
    make(host="h@B#p")
    make()
    now = db.utcnow() + datetime.timedelta(seconds=1)
    with database.connection() as conn:
        assert sorted(one.id for one in volumes.on_backend(conn, "h@b")) == here
        assert sorted(one.id for one in volumes.in_status(conn, "available", older_than=now, backend="h@b")) == here
        assert [one.host for one in volumes.in_status(conn, "available", older_than=now)] == [None]


def test_many_at_once_leave_nothing_stuck(database: db.Database, make: MakeVolume) -> None:
    ids = [make() for _ in range(3)]
    outcomes: list[bool] = []
    failures: list[BaseException] = []

    def attach_and_remove() -> None:
        try:
            for _ in range(15):
                volume_id = random.choice(ids)
                attachment_id = attachments.reserve(database, volume_id, None, str(uuid.uuid4()), None)
                outcomes.append(attachment_id is not None)
                if attachment_id is None:
                    continue
                attachments.connect(
                    database, volume_id, attachment_id, connector={"host": "c"}, connection_info=INFO, mode="rw"
                )
                rival = threading.Thread(target=attachments.remove, args=(database, volume_id, attachment_id))
                rival.start()
                attachments.complete(database, attachment_id, None)
                rival.join()
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=attach_and_remove) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert any(outcomes)
    assert {states_of(database, volume_id) for volume_id in ids} == {("available", "detached")}
    with database.connection() as conn:
        live = models.volume_attachment.c.deleted.is_(False)
        assert conn.execute(sa.select(sa.func.count()).where(live)).scalar() == 0


def test_destroying_counts_anew(database: db.Database, make: MakeVolume) -> None:
    volume_id, other = make(), make(use_quota=False)
    with database.connection() as conn:
        assert quotas.count(conn, "p")["gigabytes"] == quotas.Usage(2, 0)
    assert volumes.destroy(database, volume_id)
    assert not volumes.destroy(database, volume_id)
    with database.connection() as conn:
        assert quotas.count(conn, "p")["volumes"] == quotas.Usage(0, 0)
        with pytest.raises(errors.VolumeNotFound):
            volumes.get(conn, volume_id)
        assert volumes.get(conn, other).use_quota is False
