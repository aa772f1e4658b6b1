"""What LVM's words mean: the one table that turns them into errors for people.

LVM's exit code is 5 for nearly everything, so the words are all there is (LC_ALL=C keeps them English). The class says
what happens next: Unavailable is tried again, or elsewhere; VolumeIsBusy goes back to the user; BackendError is final.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from cinder_lite import errors as cinder_errors
from cinder_lite.privileged import lvm
from lite_common import errors, privilege


class Meaning(NamedTuple):
    """`words` is searched in what LVM said; `text` is for people, `{vg}` in it is the group's name."""

    words: re.Pattern[str]
    error: type[errors.LiteError]
    text: str


def _meaning(words: str, error: type[errors.LiteError], text: str) -> Meaning:
    return Meaning(re.compile(words, re.IGNORECASE), error, text)


MEANINGS = (
    _meaning(
        r"cannot be run: No such file",
        errors.Unavailable,
        "LVM's programs are not installed. Install the packages lvm2 and thin-provisioning-tools.",
    ),
    _meaning(
        r"communicate with kernel device-mapper|device-mapper driver missing|mapper/control: (open|mknod) failed",
        errors.Unavailable,
        "the kernel's device mapper is not available. Run `modprobe dm_mod`; in a container, allow /dev/mapper.",
    ),
    _meaning(
        r"target support missing|target\(s\) not detected|Module dm-\S+ not found|unrecognised segment type",
        errors.Unavailable,
        "a kernel module is missing. Run `modprobe dm_thin_pool` and `modprobe dm_snapshot`; install the kernel's "
        "modules when that fails.",
    ),
    _meaning(
        r"Volume group \S+ not found|Cannot process volume group",
        errors.Unavailable,
        "there is no volume group {vg}. Check its disks (`pvs`), or create it (`vgcreate {vg} DISK`).",
    ),
    _meaning(
        r"Multiple VGs found with the same name",
        errors.Unavailable,
        "several volume groups are called {vg}. Rename the foreign one by its UUID (`vgrename UUID NAME`).",
    ),
    _meaning(
        r"PVs are missing|Couldn't find device with uuid|Refusing activation of partial",
        errors.Unavailable,
        "a disk of volume group {vg} is missing. See `pvs`; attach it again.",
    ),
    _meaning(
        r"Can't get lock|lock(ing)? failed|Resource temporarily unavailable",
        errors.Unavailable,
        "LVM's lock could not be had. See which LVM command hangs (`ps`).",
    ),
    _meaning(
        r"insufficient (free space|suitable)|no free extents|not enough free",
        errors.BackendError,
        "volume group {vg} has not enough room. Delete volumes or add a disk (`vgextend`).",
    ),
    _meaning(
        r"free space in thin pool|pool .* reached threshold|metadata space|out of (data|metadata) space",
        errors.BackendError,
        "the thin pool {vg}/{vg}-pool is full. Extend it (`lvextend {vg}/{vg}-pool`) or delete volumes.",
    ),
    _meaning(
        r"thin_check|Check of pool|Thin pool .* needs|transaction_id",
        errors.BackendError,
        "the thin pool {vg}/{vg}-pool is damaged or cannot be checked. Install thin-provisioning-tools, then run "
        "`lvconvert --repair {vg}/{vg}-pool`.",
    ),
    _meaning(
        r"already exists",
        errors.BackendError,
        "a logical volume of that name exists in {vg}. Rename or remove it, then try again.",
    ),
    _meaning(
        r"in use|is used by another device|still open|busy",
        cinder_errors.DeviceIsBusy,
        "the device is open on this host.",
    ),
    _meaning(
        r"Failed to find logical volume|not found in volume group",
        errors.BackendError,
        "the logical volume is not there any more. See `lvs {vg}`.",
    ),
    _meaning(
        r"not cleared|not found: device|udev",
        errors.BackendError,
        "the device node did not appear. Check that udevd runs (`systemctl status systemd-udevd`).",
    ),
    _meaning(
        r"Permission denied|Operation not permitted|run as root|requires root",
        errors.BackendError,
        "the daemon may not do this. Start it as root with the option run_as, or give its helper CAP_SYS_ADMIN.",
    ),
)


def means_absent(failed: lvm.CommandFailed) -> bool:
    """Whether LVM did not find the logical volume."""
    return "Failed to find logical volume" in failed.words


def means_busy(failed: lvm.CommandFailed) -> bool:
    """Whether the device is open."""
    return isinstance(translated("", "", "", failed), cinder_errors.DeviceIsBusy)


@contextlib.contextmanager
def naming(backend: str, vg: str, what: str) -> Iterator[None]:
    """Turn a failed command, or a broken way to the privileged half, into an error that names `what` was done."""
    try:
        with privilege.calling(what):
            yield
    except lvm.CommandFailed as err:
        raise translated(backend, vg, what, err) from err


def translated(backend: str, vg: str, what: str, failed: lvm.CommandFailed) -> errors.LiteError:
    """The error that a failed command means. One that the table does not know carries LVM's own words."""
    said = f"Backend {backend} failed at {what}: "
    if failed.code is None:
        return errors.Timeout(
            f"{said}{failed.command} was {failed.words}. Another LVM command or a disk of {vg} may hang: see `ps`, "
            "the kernel's log."
        )
    for meaning in MEANINGS:
        if meaning.words.search(failed.words):
            return meaning.error(said + meaning.text.format(vg=vg))
    words = " ".join(failed.words.split()) or f"exit code {failed.code}"
    return errors.BackendError(f"{said}{failed.command} said: {words[:500]}")
