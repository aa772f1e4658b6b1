"""Two requests at once, on both databases: a volume made read-only is never attached for writing."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cinder_lite import errors
from cinder_lite.db import admin_metadata, attachments, resets, volumes
from lite_common import db
from tests.unit.cinder_lite.db.conftest import MakeVolume

ROUNDS = 15


def together(*works: Callable[[], bool]) -> list[bool]:
    """The outcomes of works that begin at the same moment."""
    barrier = threading.Barrier(len(works))
    outcomes = [False] * len(works)

    def run(index: int, work: Callable[[], bool]) -> None:
        barrier.wait(10)
        outcomes[index] = work()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def test_readonly_against_attach(database: db.Database, make: MakeVolume) -> None:
    for _ in range(ROUNDS):
        volume = make(status="available")

        def attach(volume: str = volume) -> bool:
            try:
                return attachments.attach(database, volume, {"attached_host": "h", "attach_mode": "rw"}) is not None
            except errors.InvalidVolumeAttachMode:
                return False

        outcomes = together(lambda volume=volume: admin_metadata.set_readonly(database, volume, None, True), attach)
        assert sorted(outcomes) == [False, True]
        with database.connection() as conn:
            readonly = admin_metadata.get(conn, volume).get("readonly") == "True"
            attached = volumes.get(conn, volume).status == "in-use"
        assert (readonly, attached) == tuple(outcomes)


def test_resets_at_once_leave_whole_states(database: db.Database, make: MakeVolume) -> None:
    for _ in range(ROUNDS):
        volume = make(status="available")
        assert attachments.attach(database, volume, {"attached_host": "h", "attach_mode": "rw"})

        def reset(values: dict[str, str], volume: str = volume) -> bool:
            try:
                resets.reset(database, volume, values)
            except errors.InvalidVolume:
                return False
            return True

        together(
            lambda reset=reset: reset({"status": "available", "attach_status": "detached"}),
            lambda reset=reset: reset({"status": "in-use", "attach_status": "attached"}),
        )
        with database.connection() as conn:
            found = volumes.get(conn, volume)
            left = attachments.of_volume(conn, volume)
        # in-use only where an attachment was left; the other order ends available and without one.
        assert (found.status, found.attach_status, left) == ("available", "detached", [])
