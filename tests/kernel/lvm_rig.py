"""What the tests of the LVM driver share: drivers on a real volume group, and what LVM itself shows of it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator

import pytest

from cinder_lite import privileged
from cinder_lite.drivers import base, lvm
from tests.kernel import lvm_ground
from tests.unit.cinder_lite.drivers import contract

GROUP = "nlite-test"
POOL = base.Pool("gold", 5.0, 10)


@contextlib.contextmanager
def ground() -> Iterator[None]:
    """All runs in this process; and where a volume of the contract has a GiB it has 128 MiB here, because what takes
    the time is to zero and to copy. One test uses whole ones."""
    assert os.geteuid() == 0, "these tests make volume groups: run them as root in a VM"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(privileged.sys_admin, "client_mode", False)
        patch.setattr(base, "GIB", 128 << 20)
        yield


def thick(clear: int | None = None, group: str = GROUP) -> lvm.LvmDriver:
    driver = lvm.LvmDriver(POOL, lvm.Settings(group, lvm.DEFAULT, clear))
    driver.check_for_setup_error()
    return driver


def thin(group: str = GROUP) -> lvm.LvmDriver:
    driver = lvm.LvmDriver(POOL, lvm.Settings(group, lvm.THIN))
    driver.check_for_setup_error()
    return driver


def lvs(group: str = GROUP) -> dict[str, dict[str, str]]:
    fields = "lv_name,lv_size,lv_attr,lv_tags,origin,pool_lv,data_percent"
    out = lvm_ground.run("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, group)
    return {row["lv_name"]: row for row in json.loads(out)["report"][0]["lv"]}


def vg_numbers(group: str = GROUP) -> tuple[int, int]:
    out = lvm_ground.run("vgs", "--noheadings", "--units", "b", "--nosuffix", "-o", "vg_size,vg_free", group)
    size, free = out.split()
    return int(size), int(free)


def new() -> str:
    return f"volume-{uuid.uuid4()}"


def pe_start() -> int:
    out = lvm_ground.run("pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start", lvm_ground.DISK)
    return int(out)


def mark_on(disk: str, offset: int) -> bool:
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, offset, 1 << 20, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, len(contract.MARK), offset) == contract.MARK
    finally:
        os.close(descriptor)
