"""What all parts of a daemon stand on, the database and the bus: the first part to start and the last to stop."""

from __future__ import annotations

from lite_common import db, rpc


class Ground:
    """Checks the schema before anything is served, and lets go of all connections at the end.

    `head` is the schema's revision that the program needs, `sync_command` what brings the database there.
    """

    def __init__(self, database: db.Database, bus: rpc.Bus, head: str, sync_command: str) -> None:
        self._database = database
        self._bus = bus
        self._head = head
        self._sync_command = sync_command

    def start(self) -> None:
        """Raises errors.Unavailable when the database cannot be reached or its schema is another one."""
        self._database.require_revision(self._head, self._sync_command)

    def stop(self, timeout: float) -> None:
        """Close what is not in use."""
        self._bus.close()
        self._database.close()
