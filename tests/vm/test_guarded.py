"""What must not get in: a wrong password, another host; and what must not be disturbed: a guest that uses its disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import pytest

from tests.fixtures.site import ADDRESS, COMPUTES, CONTROLLER, IQN, LIO, Site, wait_for

MIB = 1
HOST, OTHER = COMPUTES
# iscsiadm's exit codes, iscsi_err.h: ISCSI_ERR_LOGIN_AUTH_FAILED.
REFUSED = 24


@pytest.fixture(scope="module")
def volume(site: Site) -> Iterator[str]:
    """Give a volume that the guest on HOST uses and has written to."""
    site.use_flow("attachments")
    made = site.create_volume(LIO)
    site.attach(HOST, made)
    site.guest(HOST, "write", made, str(MIB), "kept")
    yield made
    site.detach(HOST, made)
    site.delete_volume(made)
    assert [place for place, seen in site.traces(made).items() if seen] == []


def _login(site: Site, volume: str, user: str, password: str) -> int:
    """The exit code of a login from OTHER; nothing is left of it."""
    node = f"iscsiadm -m node -T {IQN}{volume} -p {ADDRESS[CONTROLLER]}:3260"
    settings = {
        "node.session.auth.authmethod": "CHAP",
        "node.session.auth.username": user,
        "node.session.auth.password": password,
        "node.session.initial_login_retry_max": "1",
    }
    updates = " && ".join(f"{node} -o update -n {name} -v {value}" for name, value in settings.items())
    script = (
        f"{node} -o new && {updates} && {{ {node} --login; code=$?; {node} --logout; {node} -o delete; exit $code; }}"
    )
    return site.lab.run(OTHER, script, check=False, timeout=120).returncode


def test_another_host_is_refused_even_with_the_right_password(site: Site, volume: str) -> None:
    user, password = site.chap(volume)
    assert _login(site, volume, user, password) == REFUSED
    assert volume not in site.sessions(OTHER)


def test_a_wrong_password_is_refused_even_from_a_host_that_may(site: Site, volume: str) -> None:
    """OTHER takes HOST's name, as a thief would who has seen it but not the password."""
    user, _ = site.chap(volume)
    own = site.initiator(OTHER)
    try:
        site.become(OTHER, site.initiator(HOST))
        assert _login(site, volume, user, "wrongwrongwrong1") == REFUSED
    finally:
        site.become(OTHER, own)
    assert volume not in site.sessions(OTHER)


def _sides(site: Site) -> dict[str, object]:
    return {
        "target": site.targets(),
        "sessions": site.lab.run(HOST, "iscsiadm -m session").stdout,
        "domain": site.lab.run(HOST, f"virsh dumpxml {site.guests[HOST]}").stdout,
        "process": site.lab.run(HOST, "pgrep -x qemu-system-x86").stdout,
    }


def test_a_restart_of_the_daemons_changes_nothing(site: Site, volume: str) -> None:
    """At the same time, as when both hosts are brought up to date."""
    before = _sides(site)
    restarted = [(HOST, "nova-lite-compute"), (CONTROLLER, "cinder-lite-volume")]
    with futures.ThreadPoolExecutor(len(restarted)) as pool:
        for done in [pool.submit(site.restart, *one) for one in restarted]:
            done.result()
    wait_for(site.all_up, 120, "all services report to be up")
    assert _sides(site) == before
    assert site.volume(volume)["status"] == "in-use"
    digest = site.guest(HOST, "read", volume, str(MIB))
    assert digest == site.lv_sha256(LIO, volume, MIB)


def test_a_boot_of_the_controller_restores_the_targets_and_the_guest_goes_on(site: Site, volume: str) -> None:
    process = site.lab.run(HOST, "pgrep -x qemu-system-x86").stdout
    before = site.targets()
    site.lab.reboot(CONTROLLER)
    site.forward()
    wait_for(site.all_up, 300, "all services report to be up after the boot")
    assert site.targets() == before
    wait_for(lambda: volume in site.sessions(HOST), 60, "the session is there")
    site.guest(HOST, "write", volume, str(MIB), "after-the-boot", timeout=240)
    assert site.guest(HOST, "read", volume, str(MIB)) == site.lv_sha256(LIO, volume, MIB)
    assert site.lab.run(HOST, "pgrep -x qemu-system-x86").stdout == process
    assert site.volume(volume)["status"] == "in-use"
