"""A domain that behaves as libvirt's do, as far as the driver can tell, with a guest whose manners a test chooses."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import libvirt

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
UUID = "9de30000-0000-4000-8000-000000000001"


def failure(code: int, message: str, domain: int = libvirt.VIR_FROM_QEMU) -> libvirt.libvirtError:
    """One of libvirt's errors."""
    error = libvirt.libvirtError(message)
    error.err = (code, domain, message, 2, "", "", "", 0, 0)
    return error


class Domain:
    """`live` and `stored` hold aliases; `unplug` is what happens when the guest is asked to let a disk go."""

    def __init__(self, state: int, live: set[str] | None = None, stored: set[str] | None = None) -> None:
        self.current = state
        self.live = live or set()
        self.stored = stored or set()
        self.calls: list[tuple[str, int]] = []
        self.unplug: Callable[[str], None] = self.live.discard

    def UUIDString(self) -> str:
        return UUID

    def state(self) -> list[int]:
        return [self.current, 0]

    def isActive(self) -> int:
        return int(self.current not in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED))

    def XMLDesc(self, flags: int) -> str:
        if self.current < 0:
            raise failure(libvirt.VIR_ERR_NO_DOMAIN, "no domain with matching uuid")
        aliases = self.live if self.isActive() and not flags & libvirt.VIR_DOMAIN_XML_INACTIVE else self.stored
        disks = "".join(f"<disk type='network'><alias name='{alias}'/><target dev='vdb'/></disk>" for alias in aliases)
        return (
            f"<domain><devices><disk type='file'><alias name='virtio-disk0'/></disk><disk/>{disks}</devices></domain>"
        )

    def attachDeviceFlags(self, xml: str, flags: int) -> None:
        self.calls.append(("attach", flags))
        if flags & LIVE:
            self.live.add(_alias(xml))
        if flags & CONFIG:
            self.stored.add(_alias(xml))

    def blockResize(self, disk: str, size: int, flags: int) -> None:
        assert flags == libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self.calls.append((f"resize {disk}", size))

    def detachDeviceFlags(self, xml: str, flags: int) -> None:
        self.calls.append(("detach", flags))
        if flags & CONFIG:
            self.stored.remove(_alias(xml))
        else:
            self.unplug(_alias(xml))


def _alias(xml: str) -> str:
    element = ET.fromstring(xml).find("alias")
    assert element is not None
    return element.get("name", "")
