"""Calls and casts over the in-process bus: results, errors as themselves, deadlines, context."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from lite_common import context, errors, rpc


class Endpoint:
    def __init__(self) -> None:
        self.seen: list[str | None] = []
        self.called = threading.Event()

    def add(self, ctx: context.RequestContext, first: int, second: int) -> int:
        self.seen.append(ctx.global_request_id)
        return first + second

    def refuse(self, ctx: context.RequestContext) -> None:
        raise errors.Conflict("Thing 7 is busy.")

    def bug(self, ctx: context.RequestContext) -> None:
        raise ZeroDivisionError("x")

    def slow(self, ctx: context.RequestContext) -> None:
        time.sleep(1.5)

    def note(self, ctx: context.RequestContext) -> None:
        self.called.set()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[rpc.Bus]:
    (tmp_path / "bus.conf").write_text("[DEFAULT]\ntransport_url = fake://\n")
    conf = cfg.ConfigOpts()
    conf(args=["--config-file", str(tmp_path / "bus.conf")])
    made = rpc.Bus(conf)
    yield made
    made.close()


@pytest.fixture
def endpoint(bus: rpc.Bus) -> Iterator[Endpoint]:
    served = Endpoint()
    server = bus.server("topic", "host", served, workers=2)
    server.start()
    yield served
    server.stop(5)


CTX = context.RequestContext(
    user_id="u", project_id="p", global_request_id="req-11111111-1111-1111-1111-111111111111", overwrite=False
)


def test_a_call_returns_and_carries_the_callers_ids(bus: rpc.Bus, endpoint: Endpoint) -> None:
    assert bus.client("topic").call(CTX, "add", server="host", first=2, second=3) == 5
    assert endpoint.seen == ["req-11111111-1111-1111-1111-111111111111"]


def test_a_refusal_comes_back_as_itself(bus: rpc.Bus, endpoint: Endpoint) -> None:
    with pytest.raises(errors.Conflict) as told:
        bus.client("topic").call(CTX, "refuse", server="host")
    assert told.value.message == "Thing 7 is busy."
    assert told.value.code == 409


def test_a_bug_over_there_is_a_backend_error_here(bus: rpc.Bus, endpoint: Endpoint) -> None:
    with pytest.raises((errors.BackendError, ZeroDivisionError)):
        bus.client("topic").call(CTX, "bug", server="host")


def test_no_answer_is_a_timeout_that_names_who_and_what(bus: rpc.Bus, endpoint: Endpoint) -> None:
    with pytest.raises(errors.Timeout, match=r"topic\.host did not answer slow within 0.5 s"):
        bus.client("topic").call(CTX, "slow", server="host", timeout=0.5)


def test_work_that_nobody_waits_for_is_refused(bus: rpc.Bus, endpoint: Endpoint) -> None:
    late = context.RequestContext.from_dict(CTX.to_dict() | {"deadline": time.time() - 1}, overwrite=False)
    bus.client("topic").cast(late, "note", server="host")
    assert not endpoint.called.wait(0.5)
    bus.client("topic").cast(CTX, "note", server="host")
    assert endpoint.called.wait(5)


def test_work_is_refused_once_the_caller_takes_this_side_for_dead(bus: rpc.Bus, endpoint: Endpoint) -> None:
    late = context.RequestContext.from_dict(CTX.to_dict() | {"begin_by": time.time() - 1}, overwrite=False)
    bus.client("topic").cast(late, "note", server="host")
    assert not endpoint.called.wait(0.5)


def test_what_a_message_may_wait_is_not_carried_further(bus: rpc.Bus, endpoint: Endpoint) -> None:
    seen: list[float | None] = []
    endpoint.note = lambda ctx: seen.append(ctx.begin_by)  # type: ignore[method-assign]
    bus.client("topic").call(CTX, "note", server="host")
    assert seen == [None]


def test_a_stop_does_not_wait_for_work_that_hangs(bus: rpc.Bus, endpoint: Endpoint) -> None:
    server = bus.server("other", "host", endpoint, workers=1)
    server.start()
    bus.client("other").cast(CTX, "slow", server="host")
    time.sleep(0.3)
    begun = time.monotonic()
    server.stop(0.2)
    assert time.monotonic() - begun < 1.2
