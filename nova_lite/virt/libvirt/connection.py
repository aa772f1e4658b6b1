"""The link to the libvirt daemon: opened when needed, opened again after the daemon was restarted, never
waited for without a limit.

Three things bound every call: opening happens in a thread that is waited for `open_timeout` seconds; an open
connection asks the daemon for a sign of life every few seconds and breaks when none comes; and each operation
begins with a question that costs one round trip (0.1 ms) and shows whether the link still holds.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

import libvirt

from lite_common import errors as base
from nova_lite.virt import errors
from nova_lite.virt.libvirt import events

LOG = logging.getLogger(__name__)
_KEEPALIVE_INTERVAL = 3  # seconds; two unanswered ones end the connection
_KEEPALIVE_COUNT = 2
_TRANSPORT = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
_GONE = (
    libvirt.VIR_DOMAIN_EVENT_STOPPED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED,
)
_loop_lock = threading.Lock()
_loop: list[threading.Thread] = []


def _ensure_event_loop() -> None:
    """Run libvirt's event loop in a thread: one per process, because libvirt has only one, and for its whole life."""
    with _loop_lock:
        if _loop:
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)  # errors are raised, not also printed
        libvirt.virEventRegisterDefaultImpl()
        thread = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
        thread.start()
        _loop.append(thread)


def _run_event_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as exc:
            LOG.warning("libvirt's event loop: %s", exc)


class _Opening(threading.Thread):
    """One attempt to open a connection; it may outlive the patience of the one who started it."""

    def __init__(self, uri: str) -> None:
        super().__init__(name="libvirt-open", daemon=True)
        self._uri = uri
        self.connection: libvirt.virConnect | None = None
        self.error: libvirt.libvirtError | None = None

    def run(self) -> None:
        try:
            connection = libvirt.open(self._uri)
            connection.setKeepAlive(_KEEPALIVE_INTERVAL, _KEEPALIVE_COUNT)
            self.connection = connection
        except libvirt.libvirtError as exc:
            self.error = exc


class Connection:
    """A connection that repairs itself. May be used by many threads: each gets one of its own.

    libvirt's client before 10.5 (Debian 12 has 9.0) may crash the process when a connection breaks that several threads
    are using: the one that waits for its answer is woken by the others and leaves a watch on its stack behind. Events
    come over one more connection, which nobody calls on. A thread's connection ends with its thread.
    """

    def __init__(self, uri: str, device_events: events.DeviceEvents, open_timeout: float = 5.0) -> None:
        self._uri = uri
        self._events = device_events
        self._open_timeout = open_timeout
        self._lock = threading.Lock()
        self._own = threading.local()
        self._listening: libvirt.virConnect | None = None
        self._opening: _Opening | None = None

    def get(self) -> libvirt.virConnect:
        """This thread's connection, which answered just now; events are listened for. Raises HypervisorUnavailable."""
        self._listen()
        current: libvirt.virConnect | None = getattr(self._own, "connection", None)
        if current is not None and _answers(current):
            return current
        self._drop_own()
        with self._lock:
            self._own.connection = self._open()
        return self._own.connection

    def close(self) -> None:
        """End this thread's connection; events are no longer delivered."""
        self._drop_own()
        with self._lock:
            listening, self._listening = self._listening, None
            _close(listening)

    @contextlib.contextmanager
    def domain(self, server_uuid: str, operation: str) -> Iterator[libvirt.virDomain]:
        """The domain of a server; libvirt's errors inside the block are translated.

        Raises ServerNotOnHost, HypervisorUnavailable, HypervisorError.
        """
        with self.translated(operation, server_uuid):
            yield self.get().lookupByUUIDString(server_uuid)

    @contextlib.contextmanager
    def translated(self, operation: str, server_uuid: str = "") -> Iterator[None]:
        """Turn libvirt's errors inside the block into ours; `operation` completes "could not ..."."""
        try:
            yield
        except libvirt.libvirtError as exc:
            raise self.translate(exc, operation, server_uuid) from exc

    def translate(self, exc: libvirt.libvirtError, operation: str, server_uuid: str = "") -> base.LiteError:
        """Our error for one of libvirt's."""
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return errors.ServerNotOnHost(server=server_uuid)
        if is_lost(exc):
            return self._unavailable(f"{reason(exc)}.")
        return errors.HypervisorError(operation=operation, reason=reason(exc))

    def _listen(self) -> None:
        """Have events delivered. Whether the daemon still sends them is asked without talking to it.

        Under the lock, because nobody may be looking at a connection that another thread closes.
        """
        with self._lock:
            if _is_open(self._listening):
                return
            _close(self._listening)
            self._listening = None
            opened = self._open()
            with self.translated("register for events"):
                self._register(opened)
            self._listening = opened
            LOG.info("Connected to libvirt at %s", self._uri)

    def _open(self) -> libvirt.virConnect:
        _ensure_event_loop()
        if self._opening is None:
            self._opening = _Opening(self._uri)
            self._opening.start()
        opening = self._opening
        opening.join(self._open_timeout)
        if opening.is_alive():  # kept: the next caller waits for the same attempt and starts no further thread
            raise self._unavailable(f"no connection within {self._open_timeout:g} s.")
        self._opening = None
        if opening.connection is None:
            raise self._unavailable(f"{reason(opening.error)}." if opening.error else "it could not be opened.")
        return opening.connection

    def _register(self, connection: libvirt.virConnect) -> None:
        outcomes = {
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: events.Outcome.REMOVED,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: events.Outcome.REFUSED,
        }
        for event_id, outcome in outcomes.items():
            connection.domainEventRegisterAny(None, event_id, self._on_device, outcome)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None)

    def _on_device(
        self, connection: libvirt.virConnect, domain: libvirt.virDomain, alias: str, outcome: events.Outcome
    ) -> None:
        self._events.device(domain.UUIDString(), alias, outcome)

    def _on_lifecycle(
        self, connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, opaque: None
    ) -> None:
        if event in _GONE:
            self._events.domain_gone(domain.UUIDString())

    def _drop_own(self) -> None:
        connection, self._own.connection = getattr(self._own, "connection", None), None
        _close(connection)

    def _unavailable(self, why: str) -> errors.HypervisorUnavailable:
        return errors.HypervisorUnavailable(uri=self._uri, reason=why)


def is_lost(exc: libvirt.libvirtError) -> bool:
    """True if the error comes from the link and not from the daemon: the operation may or may not have happened."""
    return exc.get_error_domain() in _TRANSPORT or exc.get_error_code() == libvirt.VIR_ERR_INVALID_CONN


def reason(exc: libvirt.libvirtError) -> str:
    """libvirt's own words, on one line and without a full stop."""
    return " ".join(str(exc.get_error_message() or exc).split()).rstrip(".")


def _close(connection: libvirt.virConnect | None) -> None:
    if connection is not None:
        with contextlib.suppress(libvirt.libvirtError):  # it is broken already, or ends now
            connection.close()


def _is_open(connection: libvirt.virConnect | None) -> bool:
    try:
        return connection is not None and bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _answers(connection: libvirt.virConnect) -> bool:
    try:
        return bool(connection.isAlive()) and connection.getLibVersion() > 0
    except libvirt.libvirtError:
        return False
