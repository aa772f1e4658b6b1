"""Calls and casts over the in-process bus: results, errors as themselves, deadlines, context."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from oslo_config import cfg
from oslo_messaging._drivers import amqpdriver
from oslo_messaging._drivers import common as messaging_common

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


def test_a_broker_that_is_down_is_looked_for_every_other_second(tmp_path: Path) -> None:
    (tmp_path / "bus.conf").write_text("[DEFAULT]\ntransport_url = rabbit://nobody:secret@127.0.0.1:1/\n")
    conf = cfg.ConfigOpts()
    conf(args=["--config-file", str(tmp_path / "bus.conf")])
    made = rpc.Bus(conf)
    try:
        assert conf.oslo_messaging_rabbit.rabbit_interval_max == rpc.RECONNECT_SECONDS
    finally:
        made.close()


def test_an_idle_listener_looks_every_second_whether_it_is_to_stop() -> None:
    """oslo.messaging's waits become longer and longer while nothing comes; a stop waits for the end of one."""
    conn = mock.Mock()
    listener = amqpdriver.RpcAMQPListener(mock.Mock(prefetch_size=0), conn)
    waits: list[float] = []

    def nothing_comes(timeout: float) -> None:
        waits.append(timeout)
        if len(waits) == 8:
            listener._shutdown.set()
        raise messaging_common.Timeout

    conn.consume.side_effect = nothing_comes
    assert not listener.poll()
    assert waits == [1.0] * 8


def test_the_limits_of_oslo_messaging_s_options_are_its_own(tmp_path: Path) -> None:
    """It derives one from a constant that is changed here."""
    (tmp_path / "bus.conf").write_text(
        "[DEFAULT]\ntransport_url = rabbit://u:p@127.0.0.1:1/\n[oslo_messaging_rabbit]\nkombu_reconnect_delay = 4.0\n"
    )
    conf = cfg.ConfigOpts()
    conf(args=["--config-file", str(tmp_path / "bus.conf")])
    rpc.Bus(conf).close()
    assert conf.oslo_messaging_rabbit.kombu_reconnect_delay == 4.0


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
