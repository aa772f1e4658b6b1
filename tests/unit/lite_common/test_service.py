"""Starting, stopping, periodic work, named locks, the shared secret."""

import importlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lite_common import errors, fsm, locks, service
from lite_common.wsgi import auth


class Part:
    def __init__(self, log: list[str], name: str, fail: bool = False) -> None:
        self.log, self.name, self.fail = log, name, fail

    def start(self) -> None:
        if self.fail:
            raise errors.Conflict(self.name)
        self.log.append(f"+{self.name}")

    def stop(self, timeout: float) -> None:
        self.log.append(f"-{self.name}")


def test_parts_stop_in_reverse_order() -> None:
    log: list[str] = []
    daemon = service.Service("d", [Part(log, "a"), Part(log, "b")])
    daemon.start()
    daemon.stop()
    assert log == ["+a", "+b", "-b", "-a"]


def test_a_part_that_cannot_start_undoes_those_before_it() -> None:
    log: list[str] = []
    with pytest.raises(errors.Conflict):
        service.Service("d", [Part(log, "a"), Part(log, "b", fail=True), Part(log, "c")]).start()
    assert log == ["+a", "-a"]


def test_periodic_work_goes_on_after_an_error() -> None:
    turns: list[int] = []
    enough = threading.Event()

    def work() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise ValueError("once")
        enough.set()

    task = service.Periodic("t", 0.01, work)
    task.start()
    assert enough.wait(5)
    task.stop(5)
    count = len(turns)
    time.sleep(0.05)
    assert len(turns) == count


def test_eventlet_cannot_be_imported_once_blocked() -> None:
    code = (
        "from lite_common import service; service.no_eventlet()\n"
        "import oslo_messaging, oslo_service, futurist, sys\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'eventlet']\n"
        "try:\n import eventlet\nexcept ModuleNotFoundError as err:\n print('blocked', err)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("blocked eventlet is blocked")


def test_garbage_is_searched_for_seldom_while_a_daemon_loads_and_as_usual_when_it_runs() -> None:
    code = (
        "import gc; usual = gc.get_threshold()\n"
        "from lite_common import service; service.load_quickly()\n"
        "assert gc.get_threshold()[0] > 10 * usual[0]\n"
        "def make():\n"
        "    print(gc.isenabled(), gc.get_threshold() == usual, gc.get_freeze_count() > 1000)\n"
        "    raise ValueError('enough')\n"
        "service.run(make)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True True True\n"


def test_pecan_comes_without_template_engines() -> None:
    code = "import sys; from lite_common.wsgi import routing; print(sorted({'pygments', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_package_is_hidden_only_for_the_block() -> None:
    sys.modules.pop("colorsys", None)
    with service.without("colorsys"), pytest.raises(ModuleNotFoundError, match="costs memory"):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys")


def test_a_named_lock_excludes_and_is_dropped() -> None:
    named = locks.NamedLocks("server", timeout=0.1)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with named.hold("s1", "attach"):
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(5)
    with named.hold("s2", "attach"):
        pass
    with pytest.raises(errors.Conflict, match="server s1 is busy with attach; detach gave up"):
        with named.hold("s1", "detach"):
            pass
    leave.set()
    thread.join()
    with named.hold("s1", "detach"):
        pass
    assert named._locks == {}


def test_the_secret_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert auth.read_secret("") is None
    with pytest.raises(errors.Invalid, match="cannot be read"):
        auth.read_secret(str(path))
    path.write_text("abc\n")
    path.chmod(0o640)
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        auth.read_secret(str(path))
    path.chmod(0o600)
    assert auth.read_secret(str(path)) == "abc"
    path.write_text("\n")
    with pytest.raises(errors.Invalid, match="empty"):
        auth.read_secret(str(path))


@pytest.mark.parametrize(
    ("listen", "refused"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("10.0.0.1", True)]
)
def test_noauth_stays_on_loopback(listen: str, refused: bool) -> None:
    auth.refuse_open_noauth(listen, allowed=True)
    if refused:
        with pytest.raises(errors.Forbidden, match="allow_noauth_on_network"):
            auth.refuse_open_noauth(listen, allowed=False)
    else:
        auth.refuse_open_noauth(listen, allowed=False)


def test_moves_are_a_table_that_draws_itself() -> None:
    moves = fsm.table(
        [
            fsm.Move("reserve", {"status": frozenset({"available", "downloading"})}, {"status": "reserved"}),
            fsm.Move("attach", {"status": "reserved"}, {"status": "in-use"}),
        ]
    )
    assert moves["reserve"].allows({"status": "available"})
    assert not moves["attach"].allows({"status": "available"})
    drawn = fsm.mermaid(moves, "status")
    assert "available --> reserved: reserve" in drawn
    assert "reserved --> in_use: attach" in drawn
    with pytest.raises(ValueError, match="twice"):
        fsm.table([*moves.values(), moves["attach"]])
