"""The kernel path, cut off in the middle: daemons killed at a step, iscsid and libvirtd killed, the controller's power.

What was begun ends by itself, as the tables of docs/attach-path.md say, and the tools of every host show it. Each
operation's trouble is the next one's beginning, so a volume goes through several in a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures

import pytest

from devstack.guest import console
from tests.fixtures.site import COMPUTES, CONTROLLER, LIO, SETTLE_SECONDS, Site, wait_for
from tests.fixtures.site_faults import COMPUTE, VOLUME, Victim
from tests.vm.conftest import note

MIB = 1
FIRST, SECOND = COMPUTES
AVAILABLE, IN_USE = "available", "in-use"
# Emulated machines: all takes about ten times as long as the 60 s of docs/reliability.md are meant for. How long it
# took is in the run's summary.
HEAL_SECONDS = 240


@pytest.fixture(scope="module")
def computes(site: Site) -> Iterator[dict[str, Victim]]:
    """Give nova-compute of each host, which may be killed."""
    yield from _victims(site, {host: COMPUTE for host in COMPUTES})


@pytest.fixture(scope="module")
def backend(site: Site) -> Iterator[Victim]:
    """Give cinder-volume, which may be killed."""
    for found in _victims(site, {CONTROLLER: VOLUME}):
        yield found[CONTROLLER]


def _victims(site: Site, units: Mapping[str, str]) -> Iterator[dict[str, Victim]]:
    site.use_flow("attachments")
    found = {host: Victim(site.lab, host, unit) for host, unit in units.items()}
    _on_each(found, lambda host: found[host].allow())
    wait_for(site.all_up, SETTLE_SECONDS, "all services report to be up")
    yield found
    _on_each(found, lambda host: found[host].forbid())


# Of each host: the operation, where nova-compute dies in it, and what the volume comes to.  Two of these have to wait
# for recovery's next look, one on each host.
COMPUTE_DIES = {
    FIRST: [
        ("attach", "after:update_attachment:die", AVAILABLE),
        ("attach", "after:attach_to_guest:die", IN_USE),
        ("detach", "after:disconnect_volume:die", AVAILABLE),
    ],
    SECOND: [
        ("attach", "after:connect_volume:die", AVAILABLE),
        ("attach", "before:complete_attachment:die", IN_USE),
        ("detach", "after:detach_from_guest:die", AVAILABLE),
    ],
}


def test_nova_compute_dies_at_a_step(site: Site, computes: dict[str, Victim], request: pytest.FixtureRequest) -> None:
    volumes = {host: site.create_volume(LIO) for host in COMPUTES}

    def go_through(host: str) -> None:
        volume = volumes[host]
        for operation, fault, outcome in COMPUTE_DIES[host]:
            computes[host].arm(fault)
            _begin(site, host, operation, volume)
            computes[host].await_reborn()
            seconds = _await(site, host, volume, outcome)
            note(request.config, f"kernel path, nova-compute, {operation} {fault}: {outcome} {seconds:.0f} s later")
            if outcome == IN_USE:
                _use(site, host, volume)

    _on_each(COMPUTES, go_through)
    for host, volume in volumes.items():
        assert site.lv_sha256(LIO, volume, MIB) == console.pattern_sha256(_seed(host, volume), MIB)
        _delete(site, volume)


@pytest.mark.whole
def test_cinder_volume_dies_at_a_step(site: Site, backend: Victim, request: pytest.FixtureRequest) -> None:
    """Its privileged half dies with it, in the middle of a change to LVM or LIO."""

    def killed(fault: str, operation: str, outcome: str) -> None:
        backend.await_reborn()
        seconds = _await(site, FIRST, volume, outcome)
        note(request.config, f"kernel path, cinder-volume, {operation} {fault}: {outcome} {seconds:.0f} s later")

    fault = "after:create_volume_from_spec:die"
    backend.arm(fault)
    body = {"volume": {"size": 1, "name": "killed", "volume_type": LIO}}
    volume = str(site.ok("cinder", "POST", "/volumes", body)["volume"]["id"])
    killed(fault, "create", AVAILABLE)

    # nova-compute asks again, for as long as it has patience: a slow machine may be longer away than that.
    fault = "after:grant_access:die"
    backend.arm(fault)
    _begin(site, FIRST, "attach", volume)
    backend.await_reborn()
    if _await_either(site, FIRST, volume) == AVAILABLE:
        site.attach(FIRST, volume)
    _use(site, FIRST, volume)

    fault = "before:remove_export:die"
    backend.arm(fault)
    _begin(site, FIRST, "detach", volume)
    killed(fault, "detach", AVAILABLE)
    assert site.lv_sha256(LIO, volume, MIB) == console.pattern_sha256(_seed(FIRST, volume), MIB)

    backend.arm("before:delete_volume:die")
    site.ok("cinder", "DELETE", f"/volumes/{volume}")
    backend.await_reborn()
    _await_nothing(site, volume)


@pytest.mark.whole
@pytest.mark.parametrize(("step", "process"), [("connect_volume", "iscsid"), ("attach_to_guest", "libvirtd")])
def test_what_nova_compute_needs_dies_in_an_attach(
    step: str, process: str, site: Site, computes: dict[str, Victim]
) -> None:
    volume = site.create_volume(LIO)
    computes[SECOND].arm(f"before:{step}:hang:5")
    _begin(site, SECOND, "attach", volume)
    computes[SECOND].await_fired()
    site.lab.run(SECOND, f"pkill -KILL -x {process}")
    if _await_either(site, SECOND, volume) == IN_USE:
        _use(site, SECOND, volume)
        site.detach(SECOND, volume)
    _delete(site, volume)


@pytest.mark.whole
def test_the_controller_loses_its_power_in_an_attach(
    site: Site, computes: dict[str, Victim], request: pytest.FixtureRequest
) -> None:
    """Databases, bus, both APIs, cinder-volume and LIO are gone at once; another volume is being written meanwhile."""
    kept, volume = site.create_volume(LIO), site.create_volume(LIO)
    site.attach(FIRST, kept)
    site.guest(FIRST, "write", kept, str(MIB), "flushed-before")
    computes[SECOND].arm("before:connect_volume:hang:10")
    _begin(site, SECOND, "attach", volume)
    computes[SECOND].await_fired()
    site.lab.reboot(CONTROLLER, hard=True)
    site.forward()
    wait_for(site.all_up, 300, "all services report to be up after the power failure")

    assert site.lv_sha256(LIO, kept, MIB) == console.pattern_sha256("flushed-before", MIB)
    seconds = _await(site, SECOND, volume, AVAILABLE)
    note(request.config, f"kernel path, the controller's power in an attach: {AVAILABLE} {seconds:.0f} s later")
    _await(site, FIRST, kept, IN_USE)
    site.guest(FIRST, "write", kept, str(MIB), "after-it", timeout=SETTLE_SECONDS)
    assert site.lv_sha256(LIO, kept, MIB) == console.pattern_sha256("after-it", MIB)
    site.detach(FIRST, kept)
    for one in (kept, volume):
        _delete(site, one)


def _begin(site: Site, host: str, operation: str, volume: str) -> None:
    """Ask nova for it, and no more."""
    path = f"/servers/{site.guests[host]}/os-volume_attachments"
    if operation == "attach":
        site.ok("nova", "POST", path, {"volumeAttachment": {"volumeId": volume}})
    else:
        site.ok("nova", "DELETE", f"{path}/{volume}")


def _seed(host: str, volume: str) -> str:
    return f"{host}-{volume}"


def _use(site: Site, host: str, volume: str) -> None:
    """The guest has the disk, and what it writes is on the logical volume."""
    site.guest(host, "await", volume, "60")
    digest = site.guest(host, "write", volume, str(MIB), _seed(host, volume))
    assert digest == site.lv_sha256(LIO, volume, MIB)


def _delete(site: Site, volume: str) -> None:
    site.delete_volume(volume)
    assert [place for place, seen in site.traces(volume).items() if seen] == []


def _await(site: Site, host: str, volume: str, outcome: str) -> float:
    """Return when all sides show the outcome, the same when looked at again; after how many seconds."""
    begun = time.monotonic()
    wait_for(lambda: site.volume(volume)["status"] == outcome, HEAL_SECONDS, f"volume {volume} is {outcome}")
    wrong: list[str] = []

    def is_right() -> bool:
        wrong[:] = _wrong(site, host, volume, outcome)
        return not wrong

    try:
        wait_for(is_right, HEAL_SECONDS, f"all sides say that volume {volume} is {outcome}")
    except AssertionError as err:
        raise AssertionError(f"{err}: {wrong}") from err
    return time.monotonic() - begun


def _await_either(site: Site, host: str, volume: str) -> str:
    """Return when an attach has ended, well or not, and all sides show it; how."""
    wait_for(
        lambda: site.volume(volume)["status"] in (AVAILABLE, IN_USE), HEAL_SECONDS, f"volume {volume} comes to rest"
    )
    outcome = str(site.volume(volume)["status"])
    _await(site, host, volume, outcome)
    return outcome


def _await_nothing(site: Site, volume: str) -> None:
    wait_for(
        lambda: site.call("cinder", "GET", f"/volumes/{volume}").status_code == 404, HEAL_SECONDS, f"{volume} is gone"
    )
    assert [place for place, seen in site.traces(volume).items() if seen] == []


def _wrong(site: Site, host: str, volume: str, outcome: str) -> list[str]:
    """What the hosts and nova show otherwise than the outcome wants it; the mapper's device may be there or not."""
    used = outcome == IN_USE
    seen = site.traces(volume)
    seen.pop("device mapper")
    wanted = dict.fromkeys(seen, False) | {"logical volume": True}
    if used:
        places = ["LIO target or ACL", "LIO backstore", "LIO saved"]
        places += [f"{what} on {host}" for what in ("session", "node record", "by-path")]
        places += [f"{what} description on {host}" for what in ("live", "stored")]
        wanted |= dict.fromkeys(places, True)
    path = f"/servers/{site.guests[host]}/os-volume_attachments"
    listed = volume in [one["volumeId"] for one in site.ok("nova", "GET", path)["volumeAttachments"]]
    wrong = [f"{place}: {seen[place]}" for place in wanted if seen[place] != wanted[place]]
    status = site.volume(volume)["status"]
    wrong += [f"nova lists it: {listed}"] if listed != used else []
    return wrong + ([f"cinder says {status}"] if status != outcome else [])


def _on_each(hosts: Iterable[str], work: Callable[[str], None]) -> None:
    """Do it on all of these hosts at the same time; raise what one of them raised."""
    with futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, host) for host in hosts]:
            done.result()
