"""Giving up root, for real: programs that are started as root, fork their privileged half and become nobody."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lite_common import config, errors, privilege

ROOT = Path(__file__).parents[3]
SAMPLE = "tests.unit.lite_common.privileged_sample"
NOBODY = pwd.getpwnam("nobody").pw_uid

as_root = pytest.mark.usefixtures("root")


@pytest.fixture
def root() -> None:
    if os.geteuid() != 0:
        pytest.fail("run the tests as root: what is tested is that root is given up")


def start(body: str, options: str = "", before: str = "") -> subprocess.Popen[str]:
    """A program that prepares its privileges as a daemon's main does, then runs `body`."""
    program = f"""
        from lite_common import service
        service.no_eventlet()
        import json, os, signal, sys, threading, time
        from lite_common import config, errors, privilege
        conf = config.load("sample", "sample", [], {options.split()!r})
        {before}
        try:
            privilege.start(conf, ["{SAMPLE}.context"])
        except errors.LiteError as err:
            print(json.dumps(err.message))
            sys.exit(1)
        from {SAMPLE.rpartition(".")[0]} import privileged_sample as sample
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program) + textwrap.dedent(body)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )


def run(body: str, options: str = "", code: int = 0, before: str = "") -> Any:
    """What `body` printed as JSON."""
    process = start(body, options, before)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    # The log goes to the standard output too.
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def dropping(tmp_path: Path) -> str:
    """Options of a daemon that becomes nobody."""
    path = tmp_path / "sample.conf"
    path.write_text("[DEFAULT]\nrun_as = nobody\n[sample]\nlog_daemon_traceback = true\n")
    path.chmod(0o644)
    return f"--config-file {path}"


@as_root
def test_the_daemon_becomes_the_user_and_only_the_privileged_half_is_root(dropping: str) -> None:
    found = run(
        """
        own = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        print(json.dumps({
            "resuid": os.getresuid(), "resgid": os.getresgid(), "groups": os.getgroups(), "home": os.environ["HOME"],
            "new_privs": own["NoNewPrivs"].strip(), "caps": own["CapPrm"].strip(), "pid": os.getpid(),
            "half": sample.whoami(), "status": sample.status(), "threads": sample.threads(),
            "eventlet": "eventlet" in sys.modules,
        }))
        """,
        dropping,
    )
    user = pwd.getpwnam("nobody")
    assert found["resuid"] == [NOBODY] * 3
    assert found["resgid"] == [user.pw_gid] * 3
    assert found["groups"] == os.getgrouplist("nobody", user.pw_gid)
    assert found["home"] == user.pw_dir
    assert (found["new_privs"], int(found["caps"], 16)) == ("1", 0)
    assert found["half"]["uid"] == 0
    assert found["half"]["pid"] != found["pid"]
    half = dict(line.split(":", 1) for line in found["status"].splitlines())
    assert int(half["CapEff"], 16) == int(half["CapPrm"], 16) == 0b11
    assert found["threads"] > 2
    assert found["eventlet"] is False


@as_root
def test_a_privileged_error_arrives_as_itself_and_what_is_not_offered_is_refused(dropping: str) -> None:
    found = run(
        """
        said = []
        try:
            sample.refuse()
        except errors.Conflict as err:
            said.append(err.message)
        try:
            sample.context.channel.remote_call("os.getpid", (), {}, 5)
        except NameError as err:
            said.append("not exported" in str(err))
        try:
            sample.context.channel.remote_call(sample.__name__ + ".not_exported", (), {}, 5)
        except NameError as err:
            said.append("not exported" in str(err))
        print(json.dumps(said))
        """,
        dropping,
    )
    assert found == ["the sample is busy", True, True]


@as_root
def test_the_privileged_half_logs_where_the_daemon_does(dropping: str, tmp_path: Path) -> None:
    process = start("sample.say('hello'); time.sleep(0.2)", dropping)
    out, _ = process.communicate(timeout=60)
    assert re.search(r"INFO .*said: hello", out)


@as_root
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_privileged_half_ends_with_the_daemon(dropping: str, number: int) -> None:
    process = start("print('half', sample.whoami()['pid'], flush=True); time.sleep(60)", dropping)
    assert process.stdout is not None
    half = next(int(line.split()[1]) for line in process.stdout if line.startswith("half"))
    process.send_signal(number)
    process.communicate(timeout=20)
    assert gone(half)


@as_root
def test_a_stop_signal_to_the_whole_group_leaves_the_privileged_half_to_a_daemon_that_finishes(dropping: str) -> None:
    found = run(
        """
        half = sample.whoami()["pid"]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            sample.signal_self(int(number))
        print(json.dumps(sample.whoami()["pid"] == half))
        """,
        dropping,
    )
    assert found is True


@as_root
def test_a_call_that_the_privileged_half_never_read_ends_with_it(dropping: str) -> None:
    found = run(
        """
        sample.die_deaf()
        time.sleep(0.6)
        try:
            with privilege.calling("a call"):
                sample.whoami()
        except errors.Unavailable as err:
            print(json.dumps(err.message))
        """,
        dropping,
    )
    assert "restart the daemon" in found


@as_root
def test_a_daemon_that_lost_its_privileged_half_stops_instead_of_asking_sudo(dropping: str) -> None:
    found = run(
        """
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        said = []
        for call in (sample.end, sample.whoami):
            try:
                with privilege.calling("the sample's work"):
                    call()
            except errors.Unavailable as err:
                said.append(err.message)
            time.sleep(0.2)
        print(json.dumps([said, stopped.is_set()]))
        """,
        dropping,
    )
    (first, second), stopped = found
    assert "the sample's work" in first
    assert "restart the daemon" in first
    assert "has ended" in second
    assert stopped


@as_root
def test_a_privileged_half_that_cannot_start_does_not_go_on_as_a_second_daemon(dropping: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.conf"
    path.write_text(path.read_text() + "user = no-such-user\n")
    message = run("print('never')", dropping, code=1)
    assert "did not start" in str(message)


@as_root
def test_root_without_run_as_works_in_one_process() -> None:
    found = run("print(json.dumps([sample.whoami(), os.getpid(), os.geteuid()]))")
    half, pid, uid = found
    assert half == {"pid": pid, "uid": 0}
    assert uid == 0


def test_another_user_keeps_the_way_of_upstream(tmp_path: Path) -> None:
    path = tmp_path / "sample.conf"
    path.write_text("")
    files = ["--config-file", str(path)]
    found = run(
        """
        print(json.dumps(sample.context.helper_command("/run/sample.sock")))
        """,
        " ".join(files),
        before="os.geteuid = lambda: 1000",
    )
    assert found == [
        *["sudo", "privsep-helper", *files],
        *["--privsep_context", f"{SAMPLE}.context", "--privsep_sock_path", "/run/sample.sock"],
    ]


@as_root
def test_only_root_becomes_another_user(dropping: str) -> None:
    message = run("", dropping, code=1, before="os.setresuid(1, 1, 1)")
    assert "run_as is nobody" in str(message)
    assert "uid 1" in str(message)


@as_root
def test_a_capability_that_is_missing_is_named(dropping: str) -> None:
    drop = "from oslo_privsep import capabilities as c; c.drop_all_caps_except([6, 7], [6, 7], [])"
    message = run("", dropping, code=1, before=drop)
    assert "CAP_CHOWN" in str(message)
    assert "CapabilityBoundingSet" in str(message)


def test_a_user_that_does_not_exist_is_named() -> None:
    conf = config.load("sample", "sample", [], [], logs=False)
    conf.set_override("run_as", "no-such-user")
    with pytest.raises(errors.Invalid, match="no-such-user"):
        privilege.start(conf)


def gone(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
