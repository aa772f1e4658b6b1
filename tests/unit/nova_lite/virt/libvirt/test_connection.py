"""The link to libvirt: repaired when it breaks, given up in time, and its errors in our words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import libvirt
import pytest

from nova_lite.virt import errors
from nova_lite.virt.libvirt import connection, events
from tests.unit.nova_lite.virt.libvirt.stand_in import UUID, Domain, failure

URI = "test:///edge"


class Link:
    """What libvirt.open() gives, as far as it is used here."""

    def __init__(self) -> None:
        self.alive = self.open = True
        self.closed = False
        self.callbacks: dict[int, tuple[Callable[..., None], object]] = {}

    def setKeepAlive(self, interval: int, count: int) -> None:
        assert 0 < interval * count <= 10

    def isAlive(self) -> int:
        return int(self.open)

    def getLibVersion(self) -> int:
        if not self.alive:
            raise failure(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed", libvirt.VIR_FROM_RPC)
        return 9_000_000

    def domainEventRegisterAny(self, domain: None, event: int, callback: Callable[..., None], opaque: object) -> None:
        self.callbacks[event] = (callback, opaque)

    def lookupByUUIDString(self, uuid: str) -> Domain:
        if uuid != UUID:
            raise failure(libvirt.VIR_ERR_NO_DOMAIN, "Domain not found")
        return Domain(libvirt.VIR_DOMAIN_RUNNING)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Link]]:
    """Collect the links that are opened; no daemon and no event loop."""
    opened: list[Link] = []

    def open_link(uri: str) -> Link:
        assert uri == URI
        opened.append(Link())
        return opened[-1]

    monkeypatch.setattr(connection, "_ensure_event_loop", lambda: None)
    monkeypatch.setattr(libvirt, "open", open_link)
    return opened


def test_a_link_is_kept_while_it_answers_and_replaced_when_not(links: list[Link]) -> None:
    subject = connection.Connection(URI, events.DeviceEvents())
    listening, first = links if subject.get() is subject.get() else []
    first.alive = False
    assert subject.get() is links[2]
    assert first.closed
    assert not listening.closed
    subject.close()
    assert links[2].closed
    assert listening.closed


def test_events_are_asked_for_again_over_a_link_of_their_own(links: list[Link]) -> None:
    subject = connection.Connection(URI, events.DeviceEvents())
    own = subject.get()
    assert links[0].callbacks
    assert own.callbacks == {}
    links[0].open = False
    assert subject.get() is own
    assert links[0].closed
    assert links[2].callbacks.keys() == links[0].callbacks.keys()


def test_no_two_threads_share_a_link(links: list[Link]) -> None:
    subject, gate = connection.Connection(URI, events.DeviceEvents()), threading.Barrier(4)

    def ask(_: int) -> int:
        gate.wait(5)
        return id(subject.get())

    with futures.ThreadPoolExecutor(4) as pool:
        used = list(pool.map(ask, range(4)))
    assert len(set(used)) == 4
    assert id(links[0]) not in used


def test_a_daemon_that_is_not_there(links: list[Link], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uri: str) -> None:
        raise failure(
            libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: Connection refused", libvirt.VIR_FROM_RPC
        )

    monkeypatch.setattr(libvirt, "open", refuse)
    subject = connection.Connection(URI, events.DeviceEvents())
    with pytest.raises(errors.HypervisorUnavailable, match=r"test:///edge.*Connection refused\. Start its daemon"):
        subject.get()


def test_a_daemon_that_hangs_costs_one_thread_and_a_limited_time(
    links: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    wake, calls = threading.Event(), []

    def hang(uri: str) -> Link:
        calls.append(uri)
        wake.wait(10)
        return Link()

    monkeypatch.setattr(libvirt, "open", hang)
    subject = connection.Connection(URI, events.DeviceEvents(), open_timeout=0.05)
    before = time.monotonic()
    for _ in range(3):
        with pytest.raises(errors.HypervisorUnavailable, match=r"within 0\.05 s"):
            subject.get()
    assert time.monotonic() - before < 1
    assert len(calls) == 1
    wake.set()
    deadline = time.monotonic() + 5
    while True:
        try:
            assert subject.get() is subject.get()
            break
        except errors.HypervisorUnavailable:
            assert time.monotonic() < deadline
    assert len(calls) == 2  # the one that hung listens for events, the other is this thread's


def test_errors_are_told_in_our_words(links: list[Link]) -> None:
    subject = connection.Connection(URI, events.DeviceEvents())
    with pytest.raises(errors.ServerNotOnHost, match="no-such-server"), subject.domain("no-such-server", "stop it"):
        pytest.fail("there is no domain")
    with pytest.raises(errors.HypervisorUnavailable), subject.domain(UUID, "stop it"):
        raise failure(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed", libvirt.VIR_FROM_RPC)
    with pytest.raises(errors.HypervisorError, match="could not stop it: no memory"), subject.domain(UUID, "stop it"):
        raise failure(libvirt.VIR_ERR_NO_MEMORY, "no\nmemory.")


def test_libvirts_events_reach_the_waiters(links: list[Link]) -> None:
    device_events = events.DeviceEvents()
    connection.Connection(URI, device_events).get()
    domain = Domain(libvirt.VIR_DOMAIN_RUNNING)
    callbacks = links[0].callbacks
    for event, outcome in (
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, events.Outcome.REMOVED),
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, events.Outcome.REFUSED),
    ):
        callback, opaque = callbacks[event]
        with device_events.expect(UUID, "ua-v") as waiter:
            callback(links[0], domain, "ua-v", opaque)
            assert waiter.wait(0) is outcome
    callback, opaque = callbacks[libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE]
    with device_events.expect(UUID, "ua-v") as waiter:
        callback(links[0], domain, libvirt.VIR_DOMAIN_EVENT_STARTED, 0, opaque)
        assert waiter.wait(0) is None
        callback(links[0], domain, libvirt.VIR_DOMAIN_EVENT_STOPPED, 0, opaque)
        assert waiter.wait(0) is events.Outcome.DOMAIN_GONE
