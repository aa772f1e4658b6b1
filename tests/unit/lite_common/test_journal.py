"""The journal: what is observed ends up in the store once, whatever is down, killed, cut or too long in between."""

import datetime
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

import pytest
from oslo_context import context as oslo_context

from lite_common import context, db, errors, journal, journal_file, operations, records, service, trace
from tests.fixtures import stack

SERVER = "11111111-1111-4111-8111-111111111111"


class MemoryStore:
    """Keeps rows as the table does: one for each step of each process. `down` makes it refuse."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], records.Step] = {}
        self.batches: list[int] = []
        self.news: list[operations.News] = []
        self.alive: list[Sequence[str]] = []
        self.pruned: list[datetime.datetime] = []
        self.down = False

    def write(self, steps: Sequence[records.Step], news: Sequence[operations.News]) -> None:
        self._check()
        self.batches.append(len(steps))
        self.news += news
        for step in steps:
            key = (step.process, step.number)
            if key not in self.rows or step.outcome != records.RUNNING:
                self.rows[key] = step

    def mark_died(self, alive: Sequence[str]) -> int:
        self._check()
        self.alive.append(alive)
        return 0

    def prune(self, before: datetime.datetime) -> int:
        self._check()
        self.pruned.append(before)
        return 0

    def named(self, name: str) -> list[records.Step]:
        return [step for step in self.rows.values() if step.step == name]

    def _check(self) -> None:
        if self.down:
            raise errors.Unavailable("down for the test")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    """Contexts that tests make current belong to them."""
    before = oslo_context.get_current()
    yield
    oslo_context._request_store.context = before


@pytest.fixture
def running(tmp_path: Path, store: MemoryStore) -> Iterator[journal.Journal]:
    part = made(tmp_path, store)
    part.start()
    yield part
    part.stop(5)


def made(directory: Path, store: MemoryStore, **more: float) -> journal.Journal:
    settings = {"keep": 3600, "longest": 1 << 20} | more
    return journal.Journal(str(directory), "nova-compute", "host1", store, **settings)  # type: ignore[arg-type]  # ints


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal*"))


def wait(condition: Callable[[], object]) -> None:
    stack.wait_for(condition, 10, "the journal has shipped")


def test_a_step_is_recorded_for_the_request_that_is_current(running: journal.Journal, store: MemoryStore) -> None:
    ctx = context.RequestContext(user_id="ann", project_id="demo")
    with trace.step("outer", server=SERVER, device="/dev/vdb"), trace.step("inner", server=SERVER, volume=None):
        pass
    wait(lambda: len(store.rows) == 2)
    (outer,), (inner,) = store.named("outer"), store.named("inner")
    assert (inner.request_id, inner.user_id, inner.project_id) == (ctx.request_id, "ann", "demo")
    assert inner.ids == outer.ids == {"server": SERVER}
    assert (inner.parent, outer.parent) == (outer.number, None)
    assert (inner.service, inner.host, inner.outcome) == ("nova-compute", "host1", "ok")
    assert inner.process.startswith(f"{os.getpid()}@20")
    assert inner.finished_at is not None
    assert inner.started_at <= inner.finished_at
    assert abs(datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - inner.started_at).total_seconds() < 30


def test_the_callers_request_is_the_one_that_is_named(running: journal.Journal, store: MemoryStore) -> None:
    context.RequestContext(global_request_id="req-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
    with trace.step("one"):
        pass
    wait(lambda: store.named("one"))
    assert store.named("one")[0].request_id == "req-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


def test_a_step_belongs_to_the_request_it_began_for(running: journal.Journal, store: MemoryStore) -> None:
    first = context.RequestContext()
    with trace.step("one"):
        context.admin_context()
    wait(lambda: store.named("one") and store.named("one")[0].outcome == "ok")
    assert store.named("one")[0].request_id == first.request_id


def test_a_step_that_runs_is_seen_to_run(running: journal.Journal, store: MemoryStore) -> None:
    with trace.step("slow"):
        wait(lambda: store.named("slow"))
        assert (store.named("slow")[0].outcome, store.named("slow")[0].finished_at) == ("running", None)
    wait(lambda: store.named("slow")[0].outcome == "ok")


def test_an_error_is_told_by_its_message(running: journal.Journal, store: MemoryStore) -> None:
    with pytest.raises(errors.Conflict), trace.step("refused"):
        raise errors.Conflict("The disk is in use. " * 100)
    wait(lambda: store.named("refused") and store.named("refused")[0].outcome == "error")
    seen = store.named("refused")[0]
    assert seen.error_type == "Conflict"
    assert seen.error == ("The disk is in use. " * 100)[: records.LONGEST_ERROR]


def test_an_error_of_others_is_told_by_its_kind_only(running: journal.Journal, store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="planted"), trace.step("broken"):
        raise ValueError("planted-chap-secret")
    wait(lambda: store.named("broken") and store.named("broken")[0].outcome == "error")
    assert (store.named("broken")[0].error, store.named("broken")[0].error_type) == (None, "ValueError")


def test_an_error_that_came_over_the_bus_has_its_own_name(running: journal.Journal, store: MemoryStore) -> None:
    with pytest.raises(errors.Conflict), trace.step("remote"):
        raise type("Conflict_Remote", (errors.Conflict,), {})("over there")
    wait(lambda: store.named("remote") and store.named("remote")[0].outcome == "error")
    assert store.named("remote")[0].error_type == "Conflict"


def test_only_ids_of_things_enter(tmp_path: Path, store: MemoryStore) -> None:
    part = made(tmp_path, store)
    store.down = True
    part.start()
    with trace.step("one", server=SERVER, password="planted-secret", volume="x" * 200):
        pass
    (file,) = files(tmp_path)
    text = file.read_text()
    part.stop(5)
    assert "planted-secret" not in text
    assert json.loads(text.splitlines()[0])["ids"] == {"server": SERVER, "volume": "x" * 36}


def test_the_file_is_its_owners(running: journal.Journal, tmp_path: Path) -> None:
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_stop_ships_the_rest_and_leaves_nothing(tmp_path: Path, store: MemoryStore) -> None:
    part = made(tmp_path, store)
    part.start()
    with trace.step("last"):
        pass
    part.stop(5)
    assert store.named("last")[0].outcome == "ok"
    assert files(tmp_path) == []
    with trace.step("after"):
        pass
    assert store.named("after") == []


def test_many_threads_lose_nothing(running: journal.Journal, store: MemoryStore) -> None:
    def work(number: int) -> None:
        with trace.step("work", server=SERVER):
            pass

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1000)))
    wait(lambda: [one.outcome for one in store.named("work")] == ["ok"] * 1000)
    assert max(store.batches) <= journal.BATCH


def test_while_the_database_is_down_lines_are_kept(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "PAUSE_DOWN", 0.01)
    store.down = True
    part = made(tmp_path, store)
    part.start()
    with trace.step("early"):
        pass
    wait(lambda: "down for the test" in caplog.text)
    assert store.rows == {}
    store.down = False
    wait(lambda: store.named("early"))
    part.stop(5)
    assert store.named("early")[0].outcome == "ok"


def test_what_could_not_be_shipped_at_the_stop_is_shipped_at_the_next_start(tmp_path: Path, store: MemoryStore) -> None:
    store.down = True
    part = made(tmp_path, store)
    part.start()
    with trace.step("early"):
        pass
    part.stop(5)
    assert len(files(tmp_path)) == 1
    store.down = False
    after = made(tmp_path, store)
    after.start()
    wait(lambda: store.named("early") and store.alive)
    assert store.named("early")[0].outcome == "ok"
    wait(lambda: len(files(tmp_path)) == 1)
    after.stop(5)
    assert files(tmp_path) == []


def test_the_file_does_not_grow_without_bounds(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "PAUSE_DOWN", 0.01)
    store.down = True
    part = made(tmp_path, store, longest=20_000)
    part.start()
    for number in range(200):
        with trace.step("work", server=SERVER, volume=f"{number:036}"):
            pass
    wait(lambda: "lines were dropped" in caplog.text)
    wait(lambda: files(tmp_path)[0].stat().st_size <= 20_000)
    store.down = False
    with trace.step("last"):
        pass
    wait(lambda: store.named("last") and store.named("last")[0].outcome == "ok")
    part.stop(5)
    shipped = [one.ids["volume"] for one in store.named("work")]
    # The newest are there, and each is whole.
    assert shipped == [f"{number:036}" for number in range(200 - len(shipped), 200)]
    assert 10 < len(shipped) < 100


def test_a_file_whose_lines_are_shipped_is_emptied(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "EMPTIED", 1000)
    part = made(tmp_path, store)
    part.start()
    for _ in range(50):
        with trace.step("work", server=SERVER):
            pass
    wait(lambda: len([one for one in store.named("work") if one.outcome == "ok"]) == 50)
    wait(lambda: files(tmp_path)[0].stat().st_size == 0)
    with trace.step("after"):
        pass
    wait(lambda: store.named("after"))
    part.stop(5)


def test_an_old_record_is_pruned(running: journal.Journal, store: MemoryStore) -> None:
    wait(lambda: store.pruned)
    age = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - store.pruned[0]
    assert 3590 < age.total_seconds() < 3700


def test_keeping_for_ever_prunes_nothing(tmp_path: Path, store: MemoryStore) -> None:
    part = made(tmp_path, store, keep=0)
    part.start()
    wait(lambda: store.alive)
    part.stop(5)
    assert store.pruned == []


def test_a_directory_that_cannot_be_written_stops_nobody(
    tmp_path: Path, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    part = made(tmp_path / "file", store)
    part.start()
    with trace.step("work"):
        pass
    part.stop(5)
    assert "Steps are not recorded" in caplog.text


KILLED = """
    import sys, time
    from lite_common import context, errors, journal, trace

    class Down:
        def __getattr__(self, name):
            def refuse(*arguments):
                raise errors.Unavailable("down")
            return refuse

    journal.Journal(sys.argv[1], "nova-compute", sys.argv[2], Down(), keep=0, longest=1 << 20).start()
    with trace.step("finished"):
        pass

    @trace.operation("attach", "attached", about="volume", volume="volume_id")
    def attach(volume_id):
        with trace.step("outer"), trace.step("unfinished"):
            print("now", flush=True)
            time.sleep(60)

    context.RequestContext()
    attach("11111111-1111-4111-8111-111111111111")
"""


def killed(directory: Path, host: str = "host1") -> subprocess.Popen[bytes]:
    """A process that is in the middle of a step."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(directory), host], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    return process


def test_what_a_killed_process_left_is_shipped(tmp_path: Path, store: MemoryStore) -> None:
    process = killed(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = files(tmp_path)
    # It was killed in the middle of a line, too.
    with left.open("ab") as file:
        file.write(b'{"step": "half')
    part = made(tmp_path, store)
    part.start()
    wait(lambda: store.alive)
    assert {one.step: one.outcome for one in store.rows.values()} == {
        "finished": "ok",
        "outer": "running",
        "unfinished": "running",
    }
    # And is said not to live, by which the table knows that they died.
    (alive,) = store.alive
    assert [name.partition("@")[0] for name in alive] == [str(os.getpid())]
    wait(lambda: left not in files(tmp_path))
    part.stop(5)


def test_what_was_in_work_in_a_killed_process_has_died(tmp_path: Path) -> None:
    process = killed(tmp_path)
    process.kill()
    process.communicate()
    database = db.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.metadata.create_all(database.engine)
    table = journal.Table(database, "host1", "nova-compute")
    part = journal.Journal(str(tmp_path), "nova-compute", "host1", table, keep=0, longest=1 << 20)
    part.start()

    def told() -> dict[str, str]:
        page = records.page(database, records.StepFilters()) or []
        return {step.step: step.outcome for _, step in page}

    wait(lambda: told() == {"finished": "ok", "outer": "died", "unfinished": "died"})
    wait(lambda: len(files(tmp_path)) == 1)
    page = operations.page(database, operations.Filters(ids={"volume": SERVER})) or []
    assert [(one.kind, one.outcome, one.step_begun, one.step_finished) for _, one in page] == [
        ("attach", "died", "unfinished", None)
    ]
    part.stop(5)
    database.close()


def test_a_living_process_is_left_alone_and_so_is_another_host(tmp_path: Path, store: MemoryStore) -> None:
    living, other = killed(tmp_path), killed(tmp_path, "host1.example")
    try:
        other.send_signal(signal.SIGKILL)
        other.communicate()
        before = files(tmp_path)
        part = made(tmp_path, store)
        part.start()
        wait(lambda: store.alive)
        assert sorted(name.partition("@")[0] for name in store.alive[0]) == sorted([str(living.pid), str(os.getpid())])
        assert store.rows == {}
        part.stop(5)
        assert files(tmp_path) == before
    finally:
        living.kill()
        living.communicate()


def test_a_database_that_is_down_at_the_start_costs_nothing_that_was_left(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PAUSE_DOWN", 0.01)
    process = killed(tmp_path)
    process.kill()
    process.communicate()
    store.down = True
    part = made(tmp_path, store)
    part.start()
    threading.Event().wait(0.5)
    store.down = False
    wait(lambda: store.named("unfinished"))
    wait(lambda: store.alive)
    part.stop(5)
    assert files(tmp_path) == []


def test_daemons_in_one_process_record_their_own(tmp_path: Path) -> None:
    stores = {name: MemoryStore() for name in ("one", "two")}
    turned = {name: threading.Event() for name in stores}
    daemons = []
    for name, store in stores.items():

        def turn(name: str = name) -> None:
            with trace.step(f"turn_of_{name}"):
                turned[name].set()

        parts = [made(tmp_path / name, store), service.Periodic(name, 0.02, turn)]
        daemons.append(service.Service(name, parts))
        daemons[-1].start()
    assert all(event.wait(5) for event in turned.values())
    for daemon in daemons:
        daemon.stop()
    for name, store in stores.items():
        assert {step.step for step in store.rows.values()} == {f"turn_of_{name}"}


def test_each_turn_of_a_timer_is_a_story_of_its_own(tmp_path: Path, store: MemoryStore) -> None:
    def turn() -> None:
        context.admin_context(overwrite=False)
        with trace.step("turn"):
            pass

    daemon = service.Service("one", [made(tmp_path, store), service.Periodic("one", 0.02, turn)])
    daemon.start()
    wait(lambda: len(store.named("turn")) >= 3)
    daemon.stop()
    requests = [one.request_id for one in store.named("turn")]
    assert None not in requests
    assert len(set(requests)) == len(requests)
    assert {one.project_id for one in store.named("turn")} == {None}
