"""A server as libvirt describes it: few devices, so that a small guest is cheap, and a serial console with a log."""

from __future__ import annotations

import dataclasses
import os
import xml.etree.ElementTree as ET

from nova_lite.virt.driver import ServerSpec
from nova_lite.virt.libvirt import disk_xml

NAMESPACE = "https://nova-lite/xmlns/libvirt/1"
_PREFIX = "nova-lite"
_DEFAULT_CMDLINE = "console=ttyS0"
_TRANSLATION_CACHE_MIB = 64  # QEMU's own default grows to a gigabyte a guest

ET.register_namespace(_PREFIX, NAMESPACE)


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """Where the files of one server are."""

    console_socket: str
    console_log: str
    root_disk: str

    @classmethod
    def of(cls, state_path: str, server_uuid: str) -> Files:
        """The files of the server under the service's state directory."""
        consoles = os.path.join(state_path, "consoles")
        return cls(
            console_socket=os.path.join(consoles, f"{server_uuid}.sock"),
            console_log=os.path.join(consoles, f"{server_uuid}.log"),
            root_disk=os.path.join(state_path, "instances", f"{server_uuid}.qcow2"),
        )


def build(spec: ServerSpec, files: Files, virt_type: str, initiator: str) -> str:
    """The description to define; `virt_type` is kvm or qemu. Raises UnsupportedVolume."""
    root = ET.Element("domain", type=virt_type)
    ET.SubElement(root, "name").text = spec.instance_name
    ET.SubElement(root, "uuid").text = spec.uuid
    ET.SubElement(root, "title").text = printable(spec.display_name)
    ET.SubElement(ET.SubElement(root, "metadata"), f"{{{NAMESPACE}}}server")
    ET.SubElement(root, "memory", unit="MiB").text = str(spec.memory_mb)
    ET.SubElement(root, "vcpu").text = str(spec.vcpus)
    _add_boot(root, spec)
    _add_processor(root, virt_type)
    ET.SubElement(root, "clock", offset="utc")
    ET.SubElement(root, "on_poweroff").text = "destroy"
    ET.SubElement(root, "on_reboot").text = "restart"
    ET.SubElement(root, "on_crash").text = "destroy"
    devices = ET.SubElement(root, "devices")
    if spec.image.disk is not None:
        devices.append(_root_disk(files.root_disk))
    for disk in spec.volumes:
        devices.append(disk_xml.build(disk, initiator))
    _add_console(devices, files)
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return ET.tostring(root, encoding="unicode")


def printable(name: str) -> str:
    """The name without what XML or libvirt's one-line title cannot hold."""
    return "".join(char if char.isprintable() else " " for char in name).strip() or "-"


def _add_boot(root: ET.Element, spec: ServerSpec) -> None:
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    image = spec.image
    if image.kernel is None:
        ET.SubElement(system, "boot", dev="hd")
        return
    ET.SubElement(system, "kernel").text = image.kernel
    if image.ramdisk is not None:
        ET.SubElement(system, "initrd").text = image.ramdisk
    ET.SubElement(system, "cmdline").text = image.cmdline or _DEFAULT_CMDLINE


def _add_processor(root: ET.Element, virt_type: str) -> None:
    """ACPI is what a disk is plugged and unplugged with on this machine type."""
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    if virt_type == "kvm":
        ET.SubElement(root, "cpu", mode="host-passthrough")
        return
    cache = ET.SubElement(ET.SubElement(features, "tcg"), "tb-cache", unit="MiB")
    cache.text = str(_TRANSLATION_CACHE_MIB)


def _root_disk(path: str) -> ET.Element:
    element = ET.Element("disk", type="file", device="disk")
    ET.SubElement(element, "driver", name="qemu", type="qcow2", cache="none", discard="unmap")
    ET.SubElement(element, "source", file=path)
    ET.SubElement(element, "target", dev="vda", bus="virtio")
    return element


def _add_console(devices: ET.Element, files: Files) -> None:
    """A socket to type at, and a log that is there even when nobody was connected."""
    serial = ET.SubElement(devices, "serial", type="unix")
    ET.SubElement(serial, "source", mode="bind", path=files.console_socket)
    ET.SubElement(serial, "log", file=files.console_log, append="off")
    ET.SubElement(serial, "target", port="0")
