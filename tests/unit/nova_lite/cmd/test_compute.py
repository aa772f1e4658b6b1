"""What nova-compute is made of, and when it starts a privileged half."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from lite_common import privilege, rpc, service
from nova_lite import conf as options
from nova_lite.cmd import compute
from nova_lite.volume import brick_connector


def load(tmp_path: Path, *lines: str) -> cfg.ConfigOpts:
    path = tmp_path / "nova.conf"
    path.write_text("\n".join(["[DEFAULT]", f"state_path = {tmp_path}", *lines, ""]))
    return options.load("nova-lite-compute", ["--config-file", str(path)])


HOST = ("[libvirt]", "iscsi_initiator = host")
QEMU = ("[libvirt]", "iscsi_initiator = qemu")


@pytest.mark.parametrize(
    ("lines", "contexts"),
    [
        (HOST, [compute.PRIVILEGED]),
        (QEMU, []),
        (("[compute]", "virt_driver = fake", *HOST), []),
        # Volumes may be left from when this host logged in itself, and later on there are threads: no fork is possible.
        (("run_as = nobody", *QEMU), [compute.PRIVILEGED]),
    ],
)
def test_the_privileged_half_is_there_where_it_may_be_needed(
    tmp_path: Path, lines: tuple[str, ...], contexts: list[str]
) -> None:
    assert compute._contexts(load(tmp_path, *lines)) == contexts


@pytest.mark.parametrize(("lines", "started"), [(QEMU, [[compute.PRIVILEGED]]), (("run_as = nobody", *QEMU), [])])
def test_volumes_of_before_are_reached_through_the_half_that_is_there(
    tmp_path: Path, lines: tuple[str, ...], started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(privilege, "start", lambda conf, contexts: asked.append(contexts))
    found = compute._late_host_connector(load(tmp_path, *lines))
    assert isinstance(found, brick_connector.BrickConnector)
    assert asked == started


def test_it_listens_before_it_says_that_it_is_up(tmp_path: Path) -> None:
    """What libvirt tells of the host may take seconds; work that was sent meanwhile would find nobody."""
    parts = compute.build(load(tmp_path, "transport_url = fake://", "[compute]", "virt_driver = fake")).parts
    names = [part.name if isinstance(part, service.Periodic) else type(part) for part in parts]
    assert names.index(rpc.Server) < names.index("report") < names.index("facts")
