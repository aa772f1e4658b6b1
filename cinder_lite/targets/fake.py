"""The in-memory twin of an iSCSI target daemon: same contract, no network. Sessions are opened by `login`."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cinder_lite.targets import base
from lite_common import errors

_POLL = 0.01


@dataclass
class _Target:
    tid: int
    path: str
    auth: base.Auth
    sessions: list[base.Session] = field(default_factory=list)
    granted: set[str] = field(default_factory=set)


class FakeTarget(base.TargetDriver):
    """Keeps targets in a dict.

    `down` (a text) makes each operation fail as if the daemon were dead; `restart` forgets the targets, as tgtd
    does, but not which exports this backend made and whom it let in. With `by_host` access belongs to the host, as
    in LIO; without, to everybody who has the login, as in tgt.
    """

    def __init__(
        self,
        prefix: str,
        portal: str,
        secondary: Sequence[str] = (),
        *,
        busy_wait: float = base.BUSY_WAIT,
        by_host: bool = True,
    ) -> None:
        super().__init__(prefix, portal, secondary)
        self.busy_wait = busy_wait
        self.by_host = by_host
        self.down = ""
        self._guard = threading.Lock()
        self._targets: dict[str, _Target] = {}
        self._exported: dict[str, set[str]] = {}
        self._next = 1
        self._starts = 1

    def check_for_setup_error(self) -> None:
        """Return unless `down`."""
        self._fail()

    def ensure_export(
        self,
        volume_name: str,
        path: str,
        auth: base.Auth,
        location: str | None = None,
        initiators: Collection[str] = (),
    ) -> str:
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
            found.granted |= set(initiators)
            self._exported.setdefault(volume_name, set()).update(initiators)
            return self._location(volume_name, found.tid)

    def ensure_all(self, exports: Iterable[base.Export]) -> dict[str, str | errors.LiteError]:
        """Ensure many, with what this backend itself remembers of them."""
        with self._guard:
            known = {name: frozenset(initiators) for name, initiators in self._exported.items()}
        return super().ensure_all(
            dataclasses.replace(one, initiators=one.initiators | known.get(one.volume_name, frozenset()))
            if one.recall
            else one
            for one in exports
        )

    def initialize_connection(self, volume_name: str, auth: base.Auth, connector: Mapping[str, Any]) -> None:
        """Let the initiator in."""
        self._fail()
        with self._guard:
            found = self._targets.get(self.iqn(volume_name))
            if found is None:
                raise errors.BackendError(f"There is no target {self.iqn(volume_name)}.")
            found.granted.add(connector["initiator"])
            self._exported[volume_name].add(connector["initiator"])

    def terminate_connection(self, volume_name: str, connector: Mapping[str, Any]) -> None:
        """Let the initiator in no more, once it has logged out."""
        self._fail()
        if not self.by_host:
            return
        initiator = connector["initiator"]
        deadline = time.monotonic() + self.busy_wait
        while True:
            with self._guard:
                found = self._targets.get(self.iqn(volume_name))
                sessions = [one for one in found.sessions if one.initiator == initiator] if found else []
                if not sessions:
                    if found is not None:
                        found.granted.discard(initiator)
                    self._exported.get(volume_name, set()).discard(initiator)
                    return
            if time.monotonic() >= deadline:
                raise base.busy(volume_name, self.iqn(volume_name), sessions)
            time.sleep(_POLL)

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
                    self._exported.pop(volume_name, None)
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

    def shown(self, volume_names: Collection[str]) -> dict[str, base.Shown]:
        """Return what the dict holds; by login, "ALL" stands for everybody, as in tgt."""
        self._fail()
        with self._guard:
            found = {name: self._targets.get(self.iqn(name)) for name in volume_names}
            return {
                name: base.Shown(
                    one.path,
                    chap=True,
                    initiators=frozenset(one.granted if self.by_host else {base.EVERYBODY}),
                    sessions=tuple(one.sessions),
                )
                for name, one in found.items()
                if one is not None
            }

    def exported(self) -> set[str]:
        """Return what was exported and not taken back, restarts notwithstanding."""
        with self._guard:
            return set(self._exported)

    def generation(self) -> str:
        """Return the number of starts."""
        self._fail()
        return str(self._starts)

    def login(self, location: str, auth: base.Auth, initiator: str) -> bool:
        """Open a session as an initiator would; False when target, login or grant is not there."""
        iqn = base.parse_location(location).iqn
        with self._guard:
            found = self._targets.get(iqn)
            if found is None or found.auth != auth or (self.by_host and initiator not in found.granted):
                return False
            found.sessions.append(base.Session(initiator, "127.0.0.1"))
            return True

    def logout(self, location: str, initiator: str) -> None:
        """End the sessions of that initiator."""
        iqn = base.parse_location(location).iqn
        with self._guard:
            found = self._targets.get(iqn)
            if found is not None:
                found.sessions = [session for session in found.sessions if session.initiator != initiator]

    def lose(self, volume_name: str) -> None:
        """Lose one target with its sessions, as if somebody had deleted it by hand."""
        with self._guard:
            self._targets.pop(self.iqn(volume_name), None)

    def refuse(self, volume_name: str, initiator: str) -> None:
        """Lose one grant, as if somebody had deleted the rule by hand."""
        with self._guard:
            self._targets[self.iqn(volume_name)].granted.discard(initiator)

    def restart(self) -> None:
        """Lose all targets, as a restarted tgtd does."""
        with self._guard:
            self._targets.clear()
            self._starts += 1

    def _fail(self) -> None:
        if self.down:
            raise errors.Unavailable(f"The fake target daemon does not answer ({self.down}). Start it again.")
