"""A role is taken away again: with guests and volumes on it, and nothing of them stays. The site's last test."""

from __future__ import annotations

from concurrent import futures

from tests.fixtures.site import COMPUTES, CONTROLLER, LIO, VOLUME_GROUP, Site

UNSTACK = "/opt/nlite/src/devstack/unstack.sh"
UNSTACK_SECONDS = 420
# What a host shows of an installation; each prints nothing where there is none.
LEFT = {
    "units": "systemctl list-units --plain --no-legend '*-lite-*'; systemctl list-unit-files --no-legend '*-lite-*'",
    "failed units": "systemctl list-units --state=failed --plain --no-legend | grep -v nlite-test",
    "configuration": "ls -d /etc/nlite /etc/systemd/system/*-lite-* /etc/systemd/system/*/nlite.conf",
    "state": "ls -d /var/lib/nlite/cinder /var/lib/nlite/nova/consoles",
    "user": "getent passwd nlite",
    "ports": "ss -Hltn '( sport = :8774 or sport = :8776 or sport = :5672 or sport = :3306 or sport = :3260 )'",
    "guests": "pgrep -a qemu-system",
    "sessions": "iscsiadm -m session 2>/dev/null",
    "node records": "iscsiadm -m node 2>/dev/null",
    "disks": "ls /dev/disk/by-path 2>/dev/null | grep iscsi",
    "volume group": f"vgs --noheadings -o vg_name | grep -w {VOLUME_GROUP[LIO]}",
    "targets": "ls /sys/kernel/config/target/iscsi 2>/dev/null | grep iqn",
    "LVM's filter": "grep '# nlite$' /etc/lvm/lvm.conf",
    "accounts": "grep -rl nlite /etc/mysql /etc/rabbitmq",
}


def test_unstack_ends_everything_and_leaves_nothing(site: Site) -> None:
    site.use_flow("legacy")
    host = COMPUTES[0]
    volume = site.create_volume(LIO)
    site.attach(host, volume)

    refused = site.lab.run(host, UNSTACK, check=False, timeout=UNSTACK_SECONDS)
    assert refused.returncode == 1
    assert "these guests run: instance-" in refused.stdout + refused.stderr
    assert volume in site.disks(host)

    with futures.ThreadPoolExecutor(len(COMPUTES)) as pool:
        for done in [pool.submit(_unstack, site, one) for one in COMPUTES]:
            done.result()
    _unstack(site, CONTROLLER)
    left = {one: _left(site, one) for one in (*COMPUTES, CONTROLLER)}
    assert left == {one: {} for one in left}


def _unstack(site: Site, host: str) -> None:
    site.lab.run(host, f"{UNSTACK} --force --keep-downloads", timeout=UNSTACK_SECONDS)


def _left(site: Site, host: str) -> dict[str, str]:
    shown = {what: site.lab.run(host, command, check=False).stdout.strip() for what, command in LEFT.items()}
    return {what: found for what, found in shown.items() if found}
