"""How guests run on this machine: with the processor's help (kvm) or without (qemu).

That /dev/kvm exists and QEMU opens it proves little: inside some containers and virtual machines guests then
hang at their first instructions. So, unless the configuration says which, a guest with nothing but a firmware
is started with kvm, and only one whose firmware speaks on the serial line within seconds counts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET

import libvirt

LOG = logging.getLogger(__name__)
AUTO = "auto"
_TRIAL_SECONDS = 2.5
_POLL = 0.05


def choose(connection: libvirt.virConnect, wanted: str, scratch: str) -> str:
    """`kvm` or `qemu`: what was wanted, or for `auto` what works. `scratch` is a directory for the trial's log."""
    if wanted != AUTO:
        return wanted
    why = _why_not_kvm(connection, scratch)
    if why:
        LOG.warning("Guests run without kvm, about ten times slower: %s", why)
        return "qemu"
    LOG.info("Guests run with kvm")
    return "kvm"


def _why_not_kvm(connection: libvirt.virConnect, scratch: str) -> str:
    """What stands in the way of kvm, in words; empty if nothing does."""
    if not os.path.exists("/dev/kvm"):
        return "/dev/kvm does not exist"
    try:
        connection.getDomainCapabilities(None, "x86_64", "pc", "kvm")
    except libvirt.libvirtError as exc:
        return f"libvirt offers no kvm ({exc})"
    descriptor, log = tempfile.mkstemp(prefix="kvm-trial-", dir=scratch)
    os.close(descriptor)
    try:
        return _trial(connection, log)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)


def _trial(connection: libvirt.virConnect, log: str) -> str:
    try:
        domain = connection.createXML(_description(log), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    except libvirt.libvirtError as exc:
        return f"a guest does not start with it ({exc})"
    try:
        deadline = time.monotonic() + _TRIAL_SECONDS
        while time.monotonic() < deadline:
            if os.path.getsize(log) > 0:
                return ""
            time.sleep(_POLL)
        return f"the firmware of a guest said nothing within {_TRIAL_SECONDS:g} s"
    finally:
        with contextlib.suppress(libvirt.libvirtError):  # it ended by itself
            domain.destroy()


def _description(log: str) -> str:
    root = ET.Element("domain", type="kvm")
    trial = uuid.uuid4()
    ET.SubElement(root, "name").text = f"kvm-trial-{trial.hex[:8]}"
    ET.SubElement(root, "uuid").text = str(trial)
    ET.SubElement(root, "memory", unit="MiB").text = "16"
    ET.SubElement(root, "vcpu").text = "1"
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    ET.SubElement(system, "bios", useserial="yes")
    ET.SubElement(root, "cpu", mode="host-passthrough")
    devices = ET.SubElement(root, "devices")
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=log, append="off")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return ET.tostring(root, encoding="unicode")
