"""The HTTP server: stopping it, which races with its own loop, and a process that has many files open."""

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests

from lite_common.wsgi import server


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"hi"]


@contextlib.contextmanager
def running() -> Iterator[server.HttpServer]:
    part = server.HttpServer(hello, "127.0.0.1", 0, threads=1)
    part.start()
    try:
        assert requests.get(f"http://127.0.0.1:{part.port}/", timeout=5).text == "hi"
        yield part
    finally:
        part.stop(5)


def test_a_stop_ends_the_loop_and_frees_the_port() -> None:
    with running() as part:
        port, loop = part.port, part._loop
    assert loop is not None
    assert not loop.is_alive()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_loop_that_is_awake_already_does_not_close_the_pipe_it_is_woken_through() -> None:
    with running() as part:
        trigger = part._server.trigger
        pull = trigger._physical_pull

        def late() -> None:
            """Something else woke the loop, and this thread gets to its write only afterwards."""
            pull()
            time.sleep(0.3)
            os.fstat(trigger.trigger)
            pull()

        trigger._physical_pull = late


@contextlib.contextmanager
def many_open_files(number: int) -> Iterator[None]:
    """So many descriptors are in use that new ones have numbers above it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, number + 500)), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        nothing = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, nothing)
        while (another := os.dup(nothing)) < number:
            stack.callback(os.close, another)
        stack.callback(os.close, another)
        yield


def test_a_connection_beyond_what_select_can_tell_of_is_served() -> None:
    with running() as part, many_open_files(1024):
        assert requests.get(f"http://127.0.0.1:{part.port}/", timeout=5).text == "hi"
