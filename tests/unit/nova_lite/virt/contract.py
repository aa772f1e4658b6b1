"""What every virt driver must do, as one suite: run against the twin in the unit tests and against libvirt, QEMU and
real iSCSI targets in the integration tests, so that the twin cannot drift from the real thing."""

from __future__ import annotations

import pytest

from nova_lite.virt import driver, errors
from nova_lite.virt.driver import PowerState

NOTHING = driver.AttachedVolumes(live=frozenset(), stored=frozenset())


class VirtDriverContract:
    """Needs the fixtures `virt` (a driver after init_host), `spec` (a server to build, without volumes, that is
    destroyed after the test) and `disks` (two volumes that are really there)."""

    def settle(self, virt: driver.VirtDriver, server: str) -> None:
        """Wait until the guest has booted; a guest in memory has."""

    @pytest.fixture
    def server(self, virt: driver.VirtDriver, spec: driver.ServerSpec) -> str:
        """Give the uuid of a running server."""
        virt.spawn(spec)
        self.settle(virt, spec.uuid)
        return spec.uuid

    def test_a_server_lives_and_goes(self, virt: driver.VirtDriver, spec: driver.ServerSpec) -> None:
        assert virt.power_state(spec.uuid) is PowerState.NOSTATE
        virt.spawn(spec)
        assert virt.power_state(spec.uuid) is PowerState.RUNNING
        assert spec.uuid in virt.list_servers()
        self.settle(virt, spec.uuid)
        assert len(virt.console_output(spec.uuid, 1).splitlines()) == 1
        assert virt.console_output(spec.uuid, 0) == ""
        virt.spawn(spec)  # a build that is repeated replaces what the first one left
        assert virt.power_state(spec.uuid) is PowerState.RUNNING
        virt.destroy(spec.uuid)
        virt.destroy(spec.uuid)
        assert virt.power_state(spec.uuid) is PowerState.NOSTATE
        assert spec.uuid not in virt.list_servers()

    def test_a_host_tells_what_it_has(self, virt: driver.VirtDriver) -> None:
        facts = virt.host_facts()
        assert facts.hypervisor_type
        assert facts.hypervisor_version >= 1000
        assert min(facts.vcpus, facts.memory_mb, facts.local_gb) > 0

    def test_an_unknown_server(
        self, virt: driver.VirtDriver, spec: driver.ServerSpec, disks: list[driver.VolumeDisk]
    ) -> None:
        virt.detach_volume(spec.uuid, disks[0])  # no server, no disk: done
        for call in (
            lambda: virt.attach_volume(spec.uuid, disks[0]),
            lambda: virt.attached_volumes(spec.uuid),
            lambda: virt.shown_volumes(spec.uuid),
            lambda: virt.power_off(spec.uuid, 0),
            lambda: virt.pause(spec.uuid),
            lambda: virt.console_output(spec.uuid),
        ):
            with pytest.raises(errors.ServerNotOnHost, match=spec.uuid):
                call()

    def test_attach_and_detach_while_running(
        self, virt: driver.VirtDriver, server: str, disks: list[driver.VolumeDisk]
    ) -> None:
        both = frozenset(disk.volume_id for disk in disks)
        for disk in (*disks, disks[0]):  # the last one is there already
            virt.attach_volume(server, disk)
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=both, stored=both)
        self.settle(virt, server)
        virt.detach_volume(server, disks[0])
        rest = frozenset([disks[1].volume_id])
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=rest, stored=rest)
        with pytest.raises(errors.DeviceNotFound, match=disks[0].volume_id):
            virt.detach_volume(server, disks[0])
        virt.detach_volume(server, disks[1])
        assert virt.attached_volumes(server) == NOTHING

    def test_disks_are_shown_as_they_are_described(
        self, virt: driver.VirtDriver, server: str, disks: list[driver.VolumeDisk]
    ) -> None:
        assert virt.shown_volumes(server) == driver.DisksShown(live={}, stored={})
        virt.attach_volume(server, disks[0])
        shown = virt.shown_volumes(server)
        assert list(shown.live) == list(shown.stored) == [disks[0].volume_id]
        for part in (shown.live, shown.stored):
            assert part[disks[0].volume_id].alias == f"ua-{disks[0].volume_id}"
            assert disks[0].connection_info["data"]["target_iqn"] in part[disks[0].volume_id].source
        virt.detach_volume(server, disks[0])
        assert virt.shown_volumes(server) == driver.DisksShown(live={}, stored={})

    def test_a_disk_that_grew(self, virt: driver.VirtDriver, server: str, disks: list[driver.VolumeDisk]) -> None:
        with pytest.raises(errors.DeviceNotFound, match=disks[0].volume_id):
            virt.extend_volume(server, disks[0], 2**31)
        virt.power_off(server, 0)
        virt.extend_volume(server, disks[0], 2**31)  # it finds out when it starts

    def test_a_stopped_server(
        self,
        virt: driver.VirtDriver,
        server: str,
        spec: driver.ServerSpec,
        disks: list[driver.VolumeDisk],
    ) -> None:
        virt.power_off(server, 0)
        virt.power_off(server, 0)
        assert virt.power_state(server) is PowerState.SHUTDOWN
        with pytest.raises(errors.ServerStateUnfit, match="stopped"):
            virt.pause(server)
        virt.attach_volume(server, disks[0])
        stored = frozenset([disks[0].volume_id])
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=frozenset(), stored=stored)
        virt.detach_volume(server, disks[0])
        assert virt.attached_volumes(server) == NOTHING
        with_disk = driver.ServerSpec(
            spec.uuid, spec.instance_name, "renamed", spec.memory_mb, spec.vcpus, spec.image, (disks[1],)
        )
        virt.power_on(with_disk)
        virt.power_on(spec)  # it runs: left alone, disk and all
        started = frozenset([disks[1].volume_id])
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=started, stored=started)
        assert virt.power_state(server) is PowerState.RUNNING

    def test_a_paused_server(self, virt: driver.VirtDriver, server: str, disks: list[driver.VolumeDisk]) -> None:
        virt.pause(server)
        virt.pause(server)
        assert virt.power_state(server) is PowerState.PAUSED
        virt.attach_volume(server, disks[0])
        one = frozenset([disks[0].volume_id])
        with pytest.raises(errors.DeviceDetachFailed, match=r"paused.*[Rr]esume") as refused:
            virt.detach_volume(server, disks[0])
        assert server in str(refused.value)
        assert disks[0].volume_id in str(refused.value)
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=one, stored=one)
        virt.unpause(server)
        virt.unpause(server)
        self.settle(virt, server)
        virt.detach_volume(server, disks[0])
        assert virt.attached_volumes(server) == NOTHING

    def test_a_hard_reboot_builds_the_server_anew(
        self, virt: driver.VirtDriver, server: str, spec: driver.ServerSpec, disks: list[driver.VolumeDisk]
    ) -> None:
        virt.attach_volume(server, disks[0])
        wanted = driver.ServerSpec(
            spec.uuid, spec.instance_name, "other", spec.memory_mb, spec.vcpus, spec.image, (disks[1],)
        )
        virt.reboot(wanted, hard=True)
        ids = frozenset([disks[1].volume_id])
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=ids, stored=ids)
        virt.destroy(server)
        virt.reboot(wanted, hard=True)  # lost by the host: rebooting builds it again
        assert virt.attached_volumes(server) == driver.AttachedVolumes(live=ids, stored=ids)
