"""The journal: what is observed ends up in the store once, whatever is down, killed, cut or too long in between."""

import datetime
import json
import os
import stat
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest
from oslo_context import context as oslo_context

from lite_common import context, errors, journal, journal_file, records, service, trace
from tests.unit.lite_common.journal_world import MemoryStore, files, made, wait

SERVER = "11111111-1111-4111-8111-111111111111"


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
