"""The matrix is made of what the daemons' logs name; its sample has each step once."""

from __future__ import annotations

from devstack import system as systems
from tests.probe import cells

LOG = """
2026-01-01 INFO step [req-1 demo] step=update_attachment outcome=ok ms=3.1 volume=v
2026-01-01 WARNING step [req-1 demo] step=connect_volume outcome=error ms=3.1 volume=v error=Timeout: late
2026-01-01 INFO step [req-2 demo] step=attach_to_guest outcome=ok ms=3.1
2026-01-01 INFO step [req-2 demo] step=update_attachment outcome=ok ms=3.1
"""
STEPS = {
    cells.ATTACH: {systems.NOVA_API: ["check_server", "hand_over"], systems.COMPUTE: ["connect_volume"]},
    cells.DETACH: {systems.NOVA_API: ["check_server"]},
    cells.CREATE: {systems.VOLUME: ["create_volume_from_spec"]},
    cells.DELETE: {},
}


def test_steps_are_read_from_the_log_once_each_and_only_those_that_were_done() -> None:
    assert cells.steps_in(LOG) == ["update_attachment", "attach_to_guest"]


def test_a_daemon_has_a_cell_before_and_after_each_of_its_steps() -> None:
    found = [(cell.operation, cell.step, cell.when) for cell in cells.of_daemon("attachments", systems.NOVA_API, STEPS)]
    assert found == [
        (operation, step, when)
        for operation, step in (("attach", "check_server"), ("attach", "hand_over"), ("detach", "check_server"))
        for when in ("before", "after")
    ]


def test_the_sample_has_each_step_of_a_daemon_once_before_and_after_in_turn() -> None:
    known: set[tuple[str, str]] = set()
    wanted = [
        *cells.of_daemon("attachments", systems.NOVA_API, STEPS),
        *cells.of_daemon("attachments", systems.COMPUTE, STEPS),
    ]
    chosen = cells.sample(wanted, known)
    assert [(cell.step, cell.when) for cell in chosen] == [
        ("check_server", "before"),
        ("hand_over", "after"),
        ("connect_volume", "before"),
    ]
    assert cells.sample(wanted, known) == []


def test_a_batch_needs_no_more_guests_than_there_are() -> None:
    needing = cells.of_daemon("attachments", systems.NOVA_API, STEPS)
    others = cells.of_daemon("attachments", systems.VOLUME, STEPS)
    groups = cells.batches([*needing, *others], 4)
    assert [len(group) for group in groups] == [4, 4]
    assert [cell for group in groups for cell in group] == [*needing, *others]
