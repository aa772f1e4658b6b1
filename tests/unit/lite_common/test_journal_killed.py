"""What a process that was killed leaves in the journal, and who takes it up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from lite_common import db, journal, operations, records
from tests.unit.lite_common.journal_world import MemoryStore, files, made, wait

VOLUME = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


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
    page = operations.page(database, operations.Filters(ids={"volume": VOLUME})) or []
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
