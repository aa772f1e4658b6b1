"""Operations: one row for each, whatever order its daemons' news come in; generations that no race can double."""

import dataclasses
import datetime
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest
import sqlalchemy as sa

from lite_common import context, db, errors, journal_lines, operations, records, trace
from lite_common.operations import News

BEGUN = datetime.datetime(2026, 11, 22, 1, 2, 3)
SERVER = "11111111-1111-4111-8111-111111111111"
VOLUME = "22222222-2222-4222-8222-222222222222"
ATTACHMENT = "33333333-3333-4333-8333-333333333333"
REQUEST = "req-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[db.Database]:
    made = db.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.metadata.create_all(made.engine)
    yield made
    made.close()


def at(second: float) -> datetime.datetime:
    return BEGUN + datetime.timedelta(seconds=second)


def news(second: float, **more: object) -> News:
    """What nova-api tells of an attach, at that second."""
    plain = {
        "kind": "attach",
        "wanted": "attached",
        "about": "volume",
        "ids": {"volume": VOLUME},
        "request_id": REQUEST,
        "project_id": "demo",
        "user_id": "ann",
        "service": "nova-api",
        "host": "host1",
        "process": "7@then",
        "started_at": at(second),
        "updated_at": at(second),
    }
    return News(**plain | more)  # type: ignore[arg-type]  # the test's own keyword arguments


def write(database: db.Database, told: list[News]) -> None:
    """As a daemon does that remembers nothing."""
    operations.Writer(database).write(told)


def found(database: db.Database, **filters: object) -> list[operations.Operation]:
    page = operations.page(database, operations.Filters(**filters or {"request_id": REQUEST}))  # type: ignore[arg-type]  # as above
    assert page is not None
    return [one for _, one in page]


STORY = [
    news(1, step_begun="hand_over"),
    news(2, step_finished="hand_over"),
    news(3, step_begun="connect_volume", service="nova-compute"),
    news(4, step_finished="connect_volume", service="nova-compute", ids={"volume": VOLUME, "attachment": ATTACHMENT}),
    news(5, outcome="ok", service="nova-compute"),
]


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4], [2, 3, 4, 0, 1], [4, 0, 1, 2, 3], [0, 0, 3, 2, 4, 4, 1]], ids=lambda order: str(order)
)
@pytest.mark.parametrize("at_once", [False, True])
def test_news_in_any_order_are_one_row(database: db.Database, order: list[int], at_once: bool) -> None:
    for batch in [order] if at_once and order == sorted(order) else [[number] for number in order]:
        write(database, [STORY[number] for number in batch])
    (row,) = found(database)
    assert (row.started_at, row.updated_at, row.finished_at) == (at(1), at(5), at(5))
    assert (row.outcome, row.service) == ("ok", "nova-compute")
    assert row.ids == {"volume": VOLUME, "attachment": ATTACHMENT}


def test_the_last_step_begun_and_finished_show(database: db.Database) -> None:
    write(database, STORY[:4])
    (row,) = found(database)
    assert (row.step_begun, row.step_finished, row.outcome, row.finished_at) == (
        "connect_volume",
        "connect_volume",
        "running",
        None,
    )


def test_generations_of_a_thing_grow(database: db.Database) -> None:
    others = [news(number, request_id=f"req-{number}") for number in range(3)]
    for one in others:
        write(database, [one])
    write(database, [news(9, request_id="req-9", ids={"volume": SERVER})])
    generations = [one.generation for one in found(database, ids={"volume": VOLUME})]
    assert generations == sorted(set(generations))
    assert len(generations) == 3


def test_many_at_once_are_a_row_each(database: db.Database) -> None:
    """Of daemons that write at the same moment none waits and none is lost."""
    many = [news(number, request_id=f"req-{number % 10}") for number in range(40)]
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: write(database, [one]), many))
    assert len({one.generation for one in found(database, ids={"volume": VOLUME})}) == 10


def test_what_failed_says_where_and_why(database: db.Database) -> None:
    write(
        database,
        [
            news(1, step_begun="check_volume"),
            news(2, outcome=records.RUNNING, last_error="The volume is gone."),
            news(3, outcome=records.ERROR, last_error="The volume is gone."),
        ],
    )
    (row,) = found(database)
    assert (row.step_begun, row.step_finished, row.last_error) == ("check_volume", None, "The volume is gone.")
    assert (row.outcome, row.finished_at) == ("error", at(3))


def test_the_end_is_found_by_what_is_known(database: db.Database) -> None:
    """cinder-api completes an attachment without asking which volume it is of."""
    write(database, [news(1, ids={"volume": VOLUME, "attachment": ATTACHMENT})])
    write(database, [news(2, ids={"attachment": ATTACHMENT}, outcome="ok")])
    (row,) = found(database)
    assert (row.outcome, row.ids) == ("ok", {"volume": VOLUME, "attachment": ATTACHMENT})


def test_an_end_of_nothing_is_no_row(database: db.Database) -> None:
    write(database, [news(2, ids={"attachment": ATTACHMENT}, outcome="ok")])
    assert found(database) == []


def test_dead_daemons_operations_died_and_may_still_be_heard_of(database: db.Database) -> None:
    write(database, [news(1), news(2, request_id="req-2", process="8@living")])
    assert operations.mark_died(database, "host1", "nova-api", ["8@living"]) == 1
    assert [one.outcome for one in found(database, ids={"volume": VOLUME})] == ["died", "running"]
    write(database, [news(3, service="nova-compute", step_begun="connect_volume")])
    assert found(database)[0].outcome == "running"


def test_an_end_counts_though_newer_news_came_before_it(database: db.Database) -> None:
    """nova-api may still be writing its answer while nova-compute is done."""
    write(database, [news(2, step_finished="hand_over")])
    write(database, [news(1, outcome="ok", service="nova-compute")])
    (row,) = found(database)
    assert (row.outcome, row.finished_at) == ("ok", at(1))


def test_one_who_remembers_need_not_ask(database: db.Database) -> None:
    writer = operations.Writer(database)
    writer.write([news(1, ids={"volume": VOLUME, "attachment": ATTACHMENT})])
    asked = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *call: asked.append(call[2].split()[0]))
    writer.write([news(2, ids={"attachment": ATTACHMENT}, outcome="ok"), news(3, request_id="req-2")])
    assert [word for word in asked if word not in ("BEGIN", "COMMIT")] == ["INSERT"]
    assert found(database)[0].outcome == "ok"


def test_what_was_done_since_ends_what_was_never_heard_of_again(database: db.Database) -> None:
    write(database, [news(1)])
    write(database, [news(2, kind="detach", wanted="detached", request_id="req-2")])
    assert [one.outcome for one in found(database, ids={"volume": VOLUME})] == ["running", "running"]
    write(database, [news(3, kind="detach", wanted="detached", request_id="req-2", outcome="ok")])
    assert [one.outcome for one in found(database, ids={"volume": VOLUME})] == ["superseded", "ok"]


def test_a_late_word_does_not_make_an_end_undone(database: db.Database) -> None:
    write(database, [news(1), news(2, outcome="ok")])
    write(database, [news(3, step_begun="hand_over")])
    assert found(database)[0].outcome == "ok"


def test_lists_are_filtered_and_paged(database: db.Database) -> None:
    write(database, [news(number, request_id=f"req-{number}", project_id=f"p{number % 2}") for number in range(4)])
    write(database, [news(9, request_id="req-3", outcome="error")])
    assert [one.request_id for one in found(database, outcome="error")] == ["req-3"]
    assert [one.request_id for one in found(database, ids={"volume": VOLUME}, project_id="p0")] == ["req-0", "req-2"]
    first = operations.page(database, operations.Filters(ids={"volume": VOLUME}, limit=3))
    assert first is not None
    rest = operations.page(database, operations.Filters(ids={"volume": VOLUME}, limit=3, marker=first[-1][0]))
    assert rest is not None
    assert [one.request_id for _, one in first + rest] == ["req-0", "req-1", "req-2", "req-3"]
    assert operations.page(database, operations.Filters(marker=10**9)) is None


def test_pruning_removes_the_old_and_gives_up_the_lost(database: db.Database) -> None:
    now = db.utcnow()
    recent = news(0, request_id="req-2", started_at=now, updated_at=now)
    lost = dataclasses.replace(recent, request_id="req-3", updated_at=now - datetime.timedelta(seconds=3700))
    old = now - datetime.timedelta(days=2)
    write(database, [news(1, started_at=old, updated_at=old), recent, lost])
    assert operations.prune(database, now - datetime.timedelta(days=1)) == 1
    assert {one.request_id: one.outcome for one in found(database, ids={"volume": VOLUME})} == {
        "req-2": "running",
        "req-3": "died",
    }


class Api:
    """Operations as daemons have them."""

    @trace.operation("attach", "attached", about="volume", last=False, server="server_id", volume="volume_id")
    def attach(self, ctx: context.RequestContext, server_id: str, volume_id: str, *, fails: bool = False) -> str:
        """An API's half."""
        with trace.step("hand_over", server=server_id, volume=volume_id):
            if fails:
                raise errors.Unavailable("The bus is down.")
        return "handed over"

    @trace.operation("attach", "attached", about="volume", server="server_id")
    def plug(self, server_id: str) -> None:
        """A daemon's half, which finds out which volume it is."""
        with trace.step("connect_volume", server=server_id, volume=VOLUME):
            pass
        with trace.step("update_attachment", volume=VOLUME, attachment=ATTACHMENT):
            pass

    @trace.operation("delete", "deleted", about="volume", last=False, volume="volume_id")
    def delete(self, volume_id: str) -> None:
        """One that ends at once."""
        trace.ends_here()

    @trace.operation("delete", "deleted", about="volume", volume="volume_id")
    def cascade(self, volume_id: str) -> None:
        """Within it another is deleted."""
        self.delete(volume_id)
        with trace.step("delete_snapshot", snapshot=SERVER):
            pass


@pytest.fixture
def lines() -> Iterator[list[bytes]]:
    told: list[bytes] = []
    writer = journal_lines.Writer(told.append, "nova-api", "host1", "7@then")
    trace.observe(writer)
    trace.observe_operations(writer)
    yield told
    trace.ignore(writer)
    trace.ignore_operations(writer)


def written(database: db.Database, lines: list[bytes]) -> operations.Operation:
    _, told = journal_lines.read(lines)
    write(database, told)
    (row,) = found(database, ids={"volume": VOLUME})
    return row


def test_an_operation_that_is_handed_on_runs(database: db.Database, lines: list[bytes]) -> None:
    ctx = context.RequestContext(user_id="ann", project_id="demo")
    assert Api().attach(ctx, SERVER, volume_id=VOLUME) == "handed over"
    row = written(database, lines)
    assert (row.kind, row.wanted, row.outcome, row.finished_at) == ("attach", "attached", "running", None)
    assert (row.step_begun, row.step_finished) == ("hand_over", "hand_over")
    assert (row.request_id, row.user_id, row.project_id) == (ctx.request_id, "ann", "demo")
    assert row.ids == {"server": SERVER, "volume": VOLUME}


def test_the_last_part_ends_it(database: db.Database, lines: list[bytes]) -> None:
    Api().attach(context.RequestContext(), SERVER, VOLUME)
    Api().plug(SERVER)
    row = written(database, lines)
    assert (row.outcome, row.step_finished) == ("ok", "update_attachment")
    assert row.ids == {"server": SERVER, "volume": VOLUME, "attachment": ATTACHMENT}


def test_a_failure_ends_it_anywhere(database: db.Database, lines: list[bytes]) -> None:
    with pytest.raises(errors.Unavailable):
        Api().attach(context.RequestContext(), SERVER, VOLUME, fails=True)
    row = written(database, lines)
    assert (row.outcome, row.last_error) == ("error", "The bus is down.")
    assert (row.step_begun, row.step_finished) == ("hand_over", None)


def test_what_ends_at_once_has_ended(database: db.Database, lines: list[bytes]) -> None:
    context.RequestContext()
    Api().delete(VOLUME)
    assert written(database, lines).outcome == "ok"


def test_parts_of_an_operation_are_it_and_change_not_what_it_is_about(
    database: db.Database, lines: list[bytes]
) -> None:
    context.RequestContext()
    Api().cascade(VOLUME)
    row = written(database, lines)
    assert (row.outcome, row.ids) == ("ok", {"volume": VOLUME})


def test_lines_that_are_none_are_passed_over(lines: list[bytes]) -> None:
    context.RequestContext()
    Api().delete(VOLUME)
    broken = [b"", b"null", b"7", b"[]", b"{}", b'{"step": "half', b'{"step": 1}', lines[0][: len(lines[0]) // 2]]
    assert journal_lines.read(broken) == ([], [])
    assert journal_lines.read([*broken, *lines]) == journal_lines.read(lines)
