"""The in-memory twin of an iSCSI target daemon: same contract, no network. Sessions are opened by `login`."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from cinder_lite.targets import base
from lite_common import errors

_POLL = 0.01


@dataclass
class _Target:
    tid: int
    path: str
    auth: base.Auth
    sessions: list[base.Session] = field(default_factory=list)


class FakeTarget(base.TargetDriver):
    """Keeps targets in a dict.

    `down` (a text) makes each operation fail as if the daemon were dead; `restart` forgets the targets, as tgtd
    does, but not which exports this backend made.
    """

    def __init__(self, prefix: str, portal: str, *, busy_wait: float = base.BUSY_WAIT) -> None:
        super().__init__(prefix, portal)
        self.busy_wait = busy_wait
        self.down = ""
        self._guard = threading.Lock()
        self._targets: dict[str, _Target] = {}
        self._exported: set[str] = set()
        self._next = 1
        self._starts = 1

    def check_for_setup_error(self) -> None:
        """Return unless `down`."""
        self._fail()

    def ensure_export(self, volume_name: str, path: str, auth: base.Auth, location: str | None = None) -> str:
        """Remember the target; one without sessions is replaced when path or login differ."""
        self._fail()
        iqn = self.iqn(volume_name)
        with self._guard:
            found = self._targets.get(iqn)
            if found is not None and (found.path, found.auth) != (path, auth):
                if found.sessions:
                    raise errors.BackendError(f"Target {iqn} serves {found.path} to {found.sessions[0]}, not {path}.")
                found = None
            if found is None:
                found = self._targets[iqn] = _Target(self._next, path, auth)
                self._next += 1
            self._exported.add(volume_name)
            return base.format_location(self.portal, found.tid, iqn, self.lun)

    def remove_export(self, volume_name: str, location: str | None) -> None:
        """Forget the target once nobody is logged in."""
        self._fail()
        iqn = self.iqn(volume_name)
        deadline = time.monotonic() + self.busy_wait
        while True:
            with self._guard:
                found = self._targets.get(iqn)
                if found is None or not found.sessions:
                    self._targets.pop(iqn, None)
                    self._exported.discard(volume_name)
                    return
                sessions = list(found.sessions)
            if time.monotonic() >= deadline:
                raise base.busy(volume_name, iqn, sessions)
            time.sleep(_POLL)

    def sessions(self, volume_name: str) -> list[base.Session]:
        """Return who logged in."""
        self._fail()
        with self._guard:
            found = self._targets.get(self.iqn(volume_name))
            return list(found.sessions) if found else []

    def exported(self) -> set[str]:
        """Return what was exported and not taken back, restarts notwithstanding."""
        with self._guard:
            return set(self._exported)

    def generation(self) -> str:
        """Return the number of starts."""
        self._fail()
        return str(self._starts)

    def login(self, location: str, auth: base.Auth, initiator: str) -> bool:
        """Open a session as an initiator would; False when the target or the login is not there."""
        iqn = base.parse_location(location)[1]
        with self._guard:
            found = self._targets.get(iqn)
            if found is None or found.auth != auth:
                return False
            found.sessions.append(base.Session(initiator, "127.0.0.1"))
            return True

    def logout(self, location: str, initiator: str) -> None:
        """End the sessions of that initiator."""
        iqn = base.parse_location(location)[1]
        with self._guard:
            found = self._targets.get(iqn)
            if found is not None:
                found.sessions = [session for session in found.sessions if session.initiator != initiator]

    def restart(self) -> None:
        """Lose all targets, as a restarted tgtd does."""
        with self._guard:
            self._targets.clear()
            self._starts += 1

    def _fail(self) -> None:
        if self.down:
            raise errors.Unavailable(f"The fake target daemon does not answer ({self.down}). Start it again.")
