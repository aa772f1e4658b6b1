"""The portals of LIO's targets: addresses on which the kernel listens, shared by all targets that name them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator

import rtslib_fb as rtslib

from cinder_lite.privileged import lio_ground
from cinder_lite.privileged.lio_records import Portal
from lite_common import errors

LOG = logging.getLogger(__name__)

ROOT = rtslib.RTSRoot.configfs_dir


def of(group: rtslib.TPG) -> set[Portal]:
    """The portals on which the group's target listens."""
    return {Portal(one.ip_address, one.port) for one in group.network_portals}


def ensure(
    group: rtslib.TPG, wanted: tuple[Portal, ...], undo: contextlib.ExitStack, is_used: Callable[[], bool]
) -> None:
    """Ensure that the group's target listens on `wanted`, and nowhere else unless it `is_used`.

    Raises errors.BackendError that says what is wrong with a portal.
    """
    there = of(group)
    for portal in wanted:
        if portal not in there:
            # The kernel takes an address that the host does not have, and says EINVAL of every other trouble.
            require(portal)
            try:
                made = rtslib.NetworkPortal(group, portal.address, portal.port, "create")
            except rtslib.RTSLibError as err:
                require(portal)
                raise errors.BackendError(
                    f"The kernel does not listen on portal {portal}: {err}. See its log (`dmesg`)."
                ) from err
            undo.callback(attempt, made.delete)
    former = there - set(wanted)
    if former and not is_used():
        # The options named another address once.
        for portal in former:
            rtslib.NetworkPortal(group, portal.address, portal.port, "lookup").delete()


def _error(portal: Portal, number: int) -> errors.BackendError:
    if number == errno.EADDRNOTAVAIL:
        return errors.BackendError(
            f"This host has no address {portal.host}, so no target can listen there. Correct target_ip_address and "
            "target_secondary_ip_addresses, or add the address (`ip address`)."
        )
    if number != errno.EADDRINUSE:
        return errors.BackendError(f"No target can listen on portal {portal}: {os.strerror(number)}.")
    others = sorted(f"{target} on {one}" for target, one in _listening() if one.port == portal.port)
    who = f"the kernel's target {others[0]}" if others else "another program"
    return errors.BackendError(
        f"Portal {portal} is taken by {who}. See `ss -ltnp 'sport = :{portal.port}'`: stop that (tgtd?), or choose "
        "another target_port."
    )


def listens(portal: Portal) -> bool:
    """Whether the kernel's target listens on exactly this portal already; any number of targets may share it."""
    return any(one == portal for _, one in _listening())


def require(portal: Portal) -> None:
    """Return when a target could listen there. Raises errors.BackendError that says why not."""
    number = 0 if listens(portal) else lio_ground.probe(portal.host, portal.port)
    if number:
        raise _error(portal, number)


def _listening() -> Iterator[tuple[str, Portal]]:
    with contextlib.suppress(FileNotFoundError):
        for target in os.scandir(f"{ROOT}/iscsi"):
            for group in os.scandir(target.path) if target.is_dir() else ():
                if group.name.startswith("tpgt_"):
                    for name in os.listdir(f"{group.path}/np"):
                        address, _, port = name.rpartition(":")
                        yield target.name, Portal(address, int(port))


def attempt(work: Callable[..., None], *arguments: object) -> None:
    """Undo one step; a failure here must not hide the error that is being reported."""
    try:
        work(*arguments)
    except (rtslib.RTSLibError, OSError) as err:
        LOG.warning("a part of an export that failed is left in the kernel: %s", err)
