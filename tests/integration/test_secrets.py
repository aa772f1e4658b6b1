"""Secrets that can be recognised are planted, everything is driven, and then looked for wherever others may look.

Debug is on in all daemons. Planted: the database's password, the service secret, RabbitMQ's password; and the CHAP
passwords, which cinder-volume makes itself, are read from its database.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devstack import system as systems
from tests.fixtures.userspace import PROJECT, Stack, wait_for

MOST_READ = 64 << 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, guest_images: Path) -> Iterator[Stack]:
    """Give the stack on MariaDB, which has a password, with every daemon at its most talkative."""
    loud = {"DEFAULT": {"debug": True}}
    made = Stack(tmp_path_factory.mktemp("stack"), guest_images, nova=loud, cinder=loud)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made


class Processes:
    """Looks at arguments and environments of all processes over and over, as anybody on the host may (arguments)."""

    def __init__(self) -> None:
        self.arguments: set[bytes] = set()
        self.environments: set[bytes] = set()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._halt.wait(0.02):
            for name, kept in (("cmdline", self.arguments), ("environ", self.environments)):
                for path in Path("/proc").glob(f"[0-9]*/{name}"):
                    with contextlib.suppress(OSError):
                        kept.add(path.read_bytes())


def test_secrets_are_where_they_must_be_and_nowhere_else(stack: Stack) -> None:
    with Processes() as processes:
        answers, chap = _drive(stack)
    secrets = _secrets(stack) | chap
    assert len(chap) >= 3
    assert len(processes.arguments) > len(systems.DAEMONS)
    assert not _found(secrets, processes.arguments)
    assert not _found(secrets, processes.environments)
    assert not _found(secrets, [answer.encode() for answer in answers])
    for name in systems.DAEMONS:
        log = stack.system.log_path(name).read_bytes()
        assert b"step=" in log or "scheduler" in name
        assert not _found(secrets, [log]), name
    holders = {path: mode for path, mode in _holders(stack, secrets)}
    # The search finds what is to be found.
    assert {stack.system.config("nova"), stack.system.config("cinder")} <= set(holders)
    assert any("targets" in path.parts for path in holders)
    assert not [path for path in holders if _reachable_by_others(path)]
    ours = (stack.system.config("nova").parent, stack.system.short / "nova-state", stack.system.short / "cinder-state")
    mine = {path: mode for path, mode in holders.items() if any(path.is_relative_to(place) for place in ours[1:])}
    mine |= {path: mode for path, mode in holders.items() if path.parent == ours[0]}
    assert {oct(mode) for mode in mine.values()} == {"0o600"}, mine


def _drive(stack: Stack) -> tuple[list[str], set[str]]:
    """Attach, detach, a failure, a daemon killed on the way; what a member is told of it, and the CHAP passwords."""
    first, second = stack.guests
    volumes = [stack.create_volume(f"secret-{number}") for number in range(3)]
    for volume in volumes:
        stack.attach(first, volume)
    chap = {stack.chap_password(volume) for volume in volumes}
    told = _told(stack, first, volumes)
    stack.detach(first, volumes[0])
    # A target that is in the way: the daemon's errors tell of it, and must not tell too much.
    stack.system.tgtd.stop()
    stack.post_attach(second, volumes[0])
    wait_for(lambda: stack.status(volumes[0]) != "in-use", 30, "the attach has failed")
    stack.system.tgtd.start()
    stack.await_up()
    stack.delete_attachment(first, volumes[1])
    stack.system.signal_daemon(systems.COMPUTE, signal.SIGKILL)
    stack.system.start_daemon(systems.COMPUTE)
    stack.await_up()
    told += _told(stack, first, volumes) + _told(stack, second, volumes)
    return told, chap


def _told(stack: Stack, server: str, volumes: list[str]) -> list[str]:
    """What the APIs tell a member of the project. An attachment's own connection information is not among it: whoever
    may connect a volume gets the login, by contract."""
    paths = [f"/servers/{server}", "/servers/detail", f"/servers/{server}/os-volume_attachments"]
    actions = f"/servers/{server}/os-instance-actions"
    listed = _ask(stack.system.compute_url + actions)
    shown = [f"{actions}/{action['request_id']}" for action in listed.json()["instanceActions"]]
    found = [listed.text, *(_ask(stack.system.compute_url + path).text for path in shown)]
    found += [_ask(stack.system.compute_url + path).text for path in paths]
    for path in ("/volumes/detail", "/messages", "/attachments", *(f"/volumes/{volume}" for volume in volumes)):
        found.append(_ask(stack.system.volume_url + path).text)
    return found


def _ask(url: str) -> requests.Response:
    versions = {"OpenStack-API-Version": "compute 2.96, volume 3.60", "X-Auth-Token": f"ann:{PROJECT}"}
    answer = requests.get(url, headers=versions, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def _secrets(stack: Stack) -> set[str]:
    found = {(stack.system.directory / "service-secret").read_text().strip()}
    found.add((stack.system.maria.directory / "password").read_text().strip())
    assert all(len(secret) >= 16 for secret in found)
    return found


def _forms(secrets: set[str]) -> list[bytes]:
    """A secret as it is, and as libvirt and HTTP write such things."""
    return [form for secret in secrets for form in (secret.encode(), base64.b64encode(secret.encode()))]


def _found(secrets: set[str], texts: object) -> list[bytes]:
    """The places that have one, cut short so that the report does not tell it."""
    assert hasattr(texts, "__iter__")
    forms = _forms(secrets)
    return [text[:80] for text in texts if any(form in text for form in forms)]


def _holders(stack: Stack, secrets: set[str]) -> Iterator[tuple[Path, int]]:
    """Every file of the run that has a secret in it, with its mode."""
    forms = _forms(secrets)
    for top in (stack.system.directory, stack.system.short):
        for path in (Path(place) / name for place, _, names in os.walk(top) for name in names):
            # The stack is at work: files come and go.
            with contextlib.suppress(OSError):
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_READ:
                    continue
                content = path.read_bytes()
                if any(form in content for form in forms):
                    yield path, stat.S_IMODE(found.st_mode)


def _reachable_by_others(path: Path) -> bool:
    """Whether an account that is neither the owner nor in the group can read it, the way there counted."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if not mode & stat.S_IROTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
