"""The decisions of attach and detach, with every manner a guest can have."""

from __future__ import annotations

import threading
import time

import libvirt
import pytest

from nova_lite.virt import errors
from nova_lite.virt.driver import PowerState
from nova_lite.virt.libvirt import disk_xml, events
from nova_lite.virt.libvirt.guest import Guest
from tests.unit.nova_lite.virt import samples
from tests.unit.nova_lite.virt.libvirt.stand_in import CONFIG, LIVE, UUID, Domain, failure

DISK = samples.disk()
VOLUME = DISK.volume_id
ALIAS = f"ua-{VOLUME}"


def guest(domain: Domain, device_events: events.DeviceEvents | None = None) -> Guest:
    return Guest(domain, device_events or events.DeviceEvents())


def attached(state: int = libvirt.VIR_DOMAIN_RUNNING) -> Domain:
    return Domain(state, {ALIAS}, {ALIAS})


@pytest.mark.parametrize(
    ("state", "flags"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, LIVE | CONFIG),
        (libvirt.VIR_DOMAIN_PAUSED, LIVE | CONFIG),
        (libvirt.VIR_DOMAIN_SHUTOFF, CONFIG),
    ],
)
def test_attach_goes_where_the_power_state_says(state: int, flags: int) -> None:
    domain = Domain(state)
    guest(domain).attach(disk_xml.build(DISK, "iqn.x:y"), VOLUME)
    guest(domain).attach(disk_xml.build(DISK, "iqn.x:y"), VOLUME)
    assert domain.calls == [("attach", flags)]


def test_attach_adds_only_the_part_that_is_missing() -> None:
    domain = Domain(libvirt.VIR_DOMAIN_RUNNING, live={ALIAS})
    guest(domain).attach(disk_xml.build(DISK, "iqn.x:y"), VOLUME)
    assert domain.calls == [("attach", CONFIG)]


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, PowerState.RUNNING),
        (libvirt.VIR_DOMAIN_PAUSED, PowerState.PAUSED),
        (libvirt.VIR_DOMAIN_SHUTOFF, PowerState.SHUTDOWN),
        (libvirt.VIR_DOMAIN_CRASHED, PowerState.CRASHED),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, PowerState.SUSPENDED),
        (99, PowerState.NOSTATE),
    ],
)
def test_power_states(state: int, ours: PowerState) -> None:
    assert guest(Domain(state)).state() is ours


def test_detach_takes_the_guests_part_first_and_in_a_call_of_its_own() -> None:
    domain = attached()
    guest(domain).detach(VOLUME, 3, 0.1)
    assert domain.calls == [("detach", LIVE), ("detach", CONFIG)]
    assert (domain.live, domain.stored) == (set(), set())


def test_detach_of_a_stopped_server_touches_only_the_stored_part() -> None:
    domain = Domain(libvirt.VIR_DOMAIN_SHUTOFF, stored={ALIAS})
    guest(domain).detach(VOLUME, 3, 0.1)
    assert domain.calls == [("detach", CONFIG)]


def test_detach_finishes_what_an_interrupted_one_left() -> None:
    domain = Domain(libvirt.VIR_DOMAIN_RUNNING, stored={ALIAS})
    guest(domain).detach(VOLUME, 3, 0.1)
    assert domain.calls == [("detach", CONFIG)]
    with pytest.raises(errors.DeviceNotFound, match=VOLUME):
        guest(domain).detach(VOLUME, 3, 0.1)


def test_a_disk_that_grew() -> None:
    domain = attached()
    guest(domain).resize(VOLUME, 2**31)
    assert domain.calls == [("resize vdb", 2**31)]
    with pytest.raises(errors.DeviceNotFound, match="other"):
        guest(domain).resize("other", 2**31)


def test_another_disk_with_the_same_device_name_is_left_alone() -> None:
    domain = Domain(libvirt.VIR_DOMAIN_RUNNING, {"ua-other"}, {"ua-other"})
    with pytest.raises(errors.DeviceNotFound):
        guest(domain).detach(VOLUME, 3, 0.1)
    assert domain.calls == []


def test_a_guest_that_answers_late_is_waited_for() -> None:
    domain, device_events = attached(), events.DeviceEvents()

    def unplug(alias: str) -> None:
        def later() -> None:
            time.sleep(0.05)
            domain.live.discard(alias)
            device_events.device(UUID, alias, events.Outcome.REMOVED)

        threading.Thread(target=later).start()

    domain.unplug = unplug
    before = time.monotonic()
    guest(domain, device_events).detach(VOLUME, 1, 5)
    assert time.monotonic() - before < 2
    assert domain.stored == set()


def test_an_answer_that_comes_during_the_call_is_not_missed() -> None:
    domain, device_events = attached(), events.DeviceEvents()

    def unplug(alias: str) -> None:
        device_events.device(UUID, alias, events.Outcome.REFUSED)

    domain.unplug = unplug
    with pytest.raises(errors.DeviceDetachFailed, match="refused"):
        guest(domain, device_events).detach(VOLUME, 8, 5)
    assert domain.calls == [("detach", LIVE)]
    assert domain.stored == {ALIAS}


def test_the_description_counts_and_not_the_event() -> None:
    domain, device_events = attached(), events.DeviceEvents()
    domain.unplug = lambda alias: device_events.device(UUID, alias, events.Outcome.REMOVED)
    with pytest.raises(errors.DeviceDetachFailed, match="2 attempts"):
        guest(domain, device_events).detach(VOLUME, 2, 0.01)
    assert (domain.live, domain.stored) == ({ALIAS}, {ALIAS})


def test_a_request_that_is_lost_is_repeated() -> None:
    domain = attached()
    asked = []

    def unplug(alias: str) -> None:
        asked.append(alias)
        if len(asked) == 3:
            domain.live.discard(alias)

    domain.unplug = unplug
    guest(domain).detach(VOLUME, 8, 0.01)
    assert domain.calls == [("detach", LIVE)] * 3 + [("detach", CONFIG)]


def test_giving_up_names_all_and_leaves_both_parts_alike() -> None:
    domain = attached()
    domain.unplug = lambda alias: None
    with pytest.raises(errors.DeviceDetachFailed) as failed:
        guest(domain).detach(VOLUME, 3, 0.01)
    assert domain.calls == [("detach", LIVE)] * 3
    assert (domain.live, domain.stored) == ({ALIAS}, {ALIAS})
    for part in (UUID, VOLUME, "3 attempts of 0.01 s", "stop the server"):
        assert part in str(failed.value)


def test_a_paused_guest_is_not_asked() -> None:
    domain = attached(libvirt.VIR_DOMAIN_PAUSED)
    with pytest.raises(errors.DeviceDetachFailed, match="paused"):
        guest(domain).detach(VOLUME, 8, 5)
    assert domain.calls == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (libvirt.VIR_ERR_INTERNAL_ERROR, "Device ua-x is already in the process of unplug"),
        (libvirt.VIR_ERR_DEVICE_MISSING, "no such device"),
        (libvirt.VIR_ERR_OPERATION_FAILED, "disk vdb not found"),
    ],
)
def test_errors_after_which_the_description_decides(code: int, message: str) -> None:
    domain = attached()

    def unplug(alias: str) -> None:
        domain.live.discard(alias)
        raise failure(code, message)

    domain.unplug = unplug
    guest(domain).detach(VOLUME, 2, 0.01)
    assert domain.stored == set()


def test_other_errors_end_the_detach_and_leave_the_stored_part() -> None:
    domain = attached()

    def unplug(alias: str) -> None:
        raise failure(libvirt.VIR_ERR_INTERNAL_ERROR, "unable to execute QEMU command 'device_del'")

    domain.unplug = unplug
    with pytest.raises(libvirt.libvirtError):
        guest(domain).detach(VOLUME, 2, 0.01)
    assert domain.stored == {ALIAS}


def test_a_guest_that_ends_while_it_is_waited_for_has_let_go() -> None:
    domain, device_events = attached(), events.DeviceEvents()

    def unplug(alias: str) -> None:
        domain.current = libvirt.VIR_DOMAIN_SHUTOFF
        device_events.domain_gone(UUID)

    domain.unplug = unplug
    guest(domain, device_events).detach(VOLUME, 8, 5)
    assert domain.stored == set()


def test_events_reach_only_their_own_waiter() -> None:
    device_events = events.DeviceEvents()
    with device_events.expect(UUID, ALIAS) as mine, device_events.expect(UUID, "ua-other") as other:
        device_events.device("another domain", ALIAS, events.Outcome.REMOVED)
        device_events.device(UUID, "ua-other", events.Outcome.REMOVED)
        assert mine.wait(0) is None
        assert other.wait(0) is events.Outcome.REMOVED
        device_events.domain_gone(UUID)
        assert mine.wait(0) is events.Outcome.DOMAIN_GONE


def test_a_disk_released_after_giving_up_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    domain, device_events = attached(), events.DeviceEvents()
    device_events.device(UUID, ALIAS, events.Outcome.REMOVED)  # the end of a detach that is over
    domain.unplug = lambda alias: None
    with pytest.raises(errors.DeviceDetachFailed):
        guest(domain, device_events).detach(VOLUME, 1, 0.01)
    assert not caplog.records[1:]
    for _ in range(2):
        device_events.device(UUID, ALIAS, events.Outcome.REMOVED)
    assert [record.getMessage() for record in caplog.records if "given up" in record.getMessage()] == [
        f"Server {UUID} released device {ALIAS} after its detach was given up; detach it again"
    ]
