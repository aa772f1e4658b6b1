"""The kernel path in the machines: LVM, LIO or tgt, os-brick, a block disk in a guest; from one host to the next."""

from __future__ import annotations

import pytest

from devstack.guest import console
from tests.fixtures.site import ADDRESS, COMPUTES, CONTROLLER, IQN, LIO, TGT, TGT_PORT, VOLUME_GROUP, Site

MIB = 1
FIRST, SECOND = COMPUTES
LUN = {LIO: 0, TGT: 1}
PORT = {LIO: 3260, TGT: TGT_PORT}
# Each flow, each target, each kind of logical volume; LIO in the older flow is test_unstack's.
FLAVOURS = [(LIO, "attachments"), (TGT, "legacy")]


@pytest.fixture(params=FLAVOURS, ids="-".join)
def backend(request: pytest.FixtureRequest, site: Site) -> str:
    """Give the backend, with the API in the flow that is asked for."""
    name, flow = request.param
    site.use_flow(flow)
    return str(name)


def test_bytes_go_with_the_volume_to_the_other_host(site: Site, backend: str) -> None:
    volume = site.create_volume(backend)
    assert f"volume-{volume}" in site.logical_volumes(VOLUME_GROUP[backend])

    site.attach(FIRST, volume)
    _is_on(site, FIRST, backend, volume)
    seed = f"written-on-{FIRST}"
    assert site.guest(FIRST, "write", volume, str(MIB), seed) == console.pattern_sha256(seed, MIB)
    # The guest's write was flushed, so it is on the logical volume now.
    assert site.lv_sha256(backend, volume, MIB) == console.pattern_sha256(seed, MIB)
    site.detach(FIRST, volume)
    _is_off(site, FIRST, volume)

    site.attach(SECOND, volume)
    _is_on(site, SECOND, backend, volume)
    assert site.guest(SECOND, "read", volume, str(MIB)) == console.pattern_sha256(seed, MIB)
    site.detach(SECOND, volume)
    _is_off(site, SECOND, volume)

    site.delete_volume(volume)
    assert [place for place, seen in site.traces(volume).items() if seen] == []


def _is_on(site: Site, host: str, backend: str, volume: str) -> None:
    """Every tool on every side shows the attachment, and only there."""
    portal = f"{ADDRESS[CONTROLLER]}:{PORT[backend]}"
    assert site.sessions(host)[volume] == portal
    assert site.by_path(host) == {volume}
    (disk_name,) = site.scsi_disks(host)
    link = f"/dev/disk/by-path/ip-{portal}-iscsi-{IQN}{volume}-lun-{LUN[backend]}"
    assert site.lab.run(host, f"readlink -f {link}").stdout.strip() == f"/dev/{disk_name}"
    for stored in (False, True):
        disk = site.disks(host, stored=stored)[volume]
        assert disk.get("type") == "block"
        source, driver, alias = disk.find("source"), disk.find("driver"), disk.find("alias")
        assert source is not None
        assert driver is not None
        assert alias is not None
        assert source.get("dev") in (f"/dev/{disk_name}", link)
        assert (driver.get("type"), driver.get("cache"), driver.get("io")) == ("raw", "none", "native")
        assert alias.get("name") == f"ua-{volume}"
    other = next(one for one in COMPUTES if one != host)
    assert volume not in site.sessions(other)
    initiator = site.initiator(host)
    if backend == LIO:
        shown = site.targets()
        assert f"{IQN}{volume}" in shown
        assert initiator in shown
        assert site.initiator(other) not in shown
    else:
        assert f"{IQN}{volume}" in site.tgt_targets()
        assert initiator in site.tgt_targets()


def _is_off(site: Site, host: str, volume: str) -> None:
    seen = site.traces(volume)
    assert seen.pop("logical volume")
    seen.pop("device mapper")
    assert [place for place, there in seen.items() if there] == []
    assert site.scsi_disks(host) == []
