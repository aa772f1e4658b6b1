"""The table of steps: rows by host, service, process and number, whatever is written twice or too late."""

import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from lite_common import db, errors, records

BEGUN = datetime.datetime(2026, 11, 22, 1, 2, 3, 123456)
SERVER = "11111111-1111-4111-8111-111111111111"
VOLUME = "22222222-2222-4222-8222-222222222222"
ATTACHMENT = "33333333-3333-4333-8333-333333333333"
REQUEST = "req-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
OTHER_REQUEST = "req-bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[db.Database]:
    made = db.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.metadata.create_all(made.engine)
    yield made
    made.close()


def step(number: int, **more: object) -> records.Step:
    """A step that still runs, a second after the one before it."""
    plain = {
        "request_id": REQUEST,
        "service": "nova-compute",
        "host": "host1",
        "process": "7@2026-11-22T01:00:00.000000Z",
        "parent": None,
        "step": "connect_volume",
        "ids": {"server": SERVER, "volume": VOLUME},
        "project_id": "demo",
        "user_id": "ann",
        "started_at": BEGUN + datetime.timedelta(seconds=number),
        "finished_at": None,
        "outcome": records.RUNNING,
    }
    return records.Step(number=number, **plain | more)  # type: ignore[arg-type]  # the test's own keyword arguments


def ended(one: records.Step, outcome: str = records.OK, **more: object) -> records.Step:
    after = one.started_at + datetime.timedelta(milliseconds=20)
    return dataclasses.replace(one, finished_at=after, outcome=outcome, **more)  # type: ignore[arg-type]  # as above


def found(database: db.Database, **filters: object) -> list[records.Step]:
    page = records.page(database, records.StepFilters(**filters))  # type: ignore[arg-type]  # as above
    assert page is not None
    return [one for _, one in page]


def test_what_is_written_is_read(database: db.Database) -> None:
    one = ended(step(1), records.ERROR, error="The disk is gone.", error_type="DeviceNotFound", parent=0)
    records.write(database, [one])
    assert found(database, request_id=REQUEST) == [one]


def test_the_same_step_is_one_row(database: db.Database) -> None:
    records.write(database, [step(1), step(2)])
    records.write(database, [ended(step(1))])
    records.write(database, [ended(step(1)), step(2)])
    assert found(database, request_id=REQUEST) == [ended(step(1)), step(2)]


@pytest.mark.parametrize("outcome", [records.OK, records.ERROR])
@pytest.mark.parametrize("late", [records.RUNNING, records.DIED])
def test_what_has_ended_does_not_run_again(database: db.Database, outcome: str, late: str) -> None:
    records.write(database, [ended(step(1), outcome)])
    records.write(database, [dataclasses.replace(step(1), outcome=late)])
    assert found(database, request_id=REQUEST) == [ended(step(1), outcome)]


def test_an_end_that_was_late_is_believed_over_a_death_that_was_supposed(database: db.Database) -> None:
    records.write(database, [step(1)])
    assert records.mark_died(database, "host1", "nova-compute", ["8@later"]) == 1
    assert [one.outcome for one in found(database, request_id=REQUEST)] == [records.DIED]
    records.write(database, [ended(step(1))])
    assert found(database, request_id=REQUEST) == [ended(step(1))]


def test_only_dead_processes_of_this_daemon_have_died(database: db.Database) -> None:
    others = [step(1, process="8@living"), step(2, host="host2"), step(3, service="nova-api"), ended(step(4))]
    records.write(database, others)
    assert records.mark_died(database, "host1", "nova-compute", ["8@living"]) == 0
    assert found(database, request_id=REQUEST) == others


def test_a_step_that_no_row_can_hold_keeps_no_other_out(
    database: db.Database, caplog: pytest.LogCaptureFixture
) -> None:
    records.write(database, [step(1), step(2, step=None), step(3)])
    assert [one.number for one in found(database, request_id=REQUEST)] == [1, 3]
    assert "cannot be recorded" in caplog.text


def test_a_database_that_is_down_is_said_to_be() -> None:
    down = db.Database("mysql+mysqldb://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(errors.Unavailable):
        records.write(down, [step(1)])


def test_a_request_that_touched_a_thing_is_told_whole(database: db.Database) -> None:
    first = step(1, ids={}, step="volume_create_api")
    second = step(2, ids={"volume": VOLUME, "attachment": ATTACHMENT})
    other = step(3, request_id=OTHER_REQUEST, ids={"volume": VOLUME})
    records.write(database, [other, second, first])
    assert found(database, ids={"volume": VOLUME}) == [first, second, other]
    assert found(database, ids={"attachment": ATTACHMENT}) == [first, second]
    assert found(database, ids={"volume": VOLUME, "attachment": ATTACHMENT}) == [first, second]
    assert found(database, ids={"volume": VOLUME}, request_id=OTHER_REQUEST) == [other]
    assert found(database, ids={"server": SERVER}) == []


def test_of_a_timers_turn_only_what_is_about_the_thing_is_told(database: db.Database) -> None:
    mine = step(1, project_id=None, user_id=None)
    records.write(database, [mine, step(2, project_id=None, user_id=None, ids={"volume": ATTACHMENT})])
    assert found(database, ids={"volume": VOLUME}) == [mine]


def test_a_project_sees_its_own(database: db.Database) -> None:
    mine, theirs, nobodys = step(1), step(2, project_id="other"), step(3, project_id=None)
    records.write(database, [mine, theirs, nobodys])
    assert found(database, ids={"volume": VOLUME}, project_id="demo") == [mine]
    assert found(database, ids={"volume": VOLUME}) == [mine, theirs, nobodys]


def test_pages_are_ordered_by_time_and_meet(database: db.Database) -> None:
    # Written in another order than begun, two of them at the same moment.
    all_steps = [step(1), step(2), dataclasses.replace(step(3), started_at=step(2).started_at), step(4)]
    records.write(database, [all_steps[3], all_steps[1], all_steps[2], all_steps[0]])
    pages = []
    marker = None
    for _ in all_steps:
        page = records.page(database, records.StepFilters(request_id=REQUEST, marker=marker, limit=1))
        assert page
        pages += page
        marker = page[-1][0]
    assert [one for _, one in pages] == all_steps
    assert records.page(database, records.StepFilters(request_id=REQUEST, marker=marker, limit=1)) == []
    assert records.page(database, records.StepFilters(request_id=REQUEST, marker=10**9)) is None


def test_since_is_a_time(database: db.Database) -> None:
    records.write(database, [step(1), step(2), step(3)])
    assert [one.number for one in found(database, since=step(2).started_at)] == [2, 3]


def test_old_steps_are_pruned(database: db.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PRUNED", 2)
    records.write(database, [step(number) for number in range(1, 7)])
    assert records.prune(database, step(6).started_at) == 5
    assert [one.number for one in found(database, request_id=REQUEST)] == [6]
