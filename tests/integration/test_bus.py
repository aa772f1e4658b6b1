"""The bus on a real broker: a message that nobody would get is refused, not lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from lite_common import context, errors, rpc
from tests.fixtures import servers

CTX = context.RequestContext(overwrite=False)


class Endpoint:
    """Something that answers."""

    def echo(self, ctx: context.RequestContext, word: str) -> str:
        return word


@pytest.fixture
def bus(rabbitmq: servers.RabbitMQ, tmp_path: Path) -> Iterator[rpc.Bus]:
    """Give a connection to the private broker."""
    (tmp_path / "bus.conf").write_text(f"[DEFAULT]\ntransport_url = {rabbitmq.url}\nrpc_response_timeout = 20\n")
    conf = cfg.ConfigOpts()
    conf(args=["--config-file", str(tmp_path / "bus.conf")])
    made = rpc.Bus(conf)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["call", "cast"])
def test_message_for_nobody_is_refused_at_once(bus: rpc.Bus, kind: str) -> None:
    client, begun = bus.client("nobody"), time.monotonic()
    with pytest.raises(errors.Unavailable, match=r"Nobody listens for work at nobody\.host1; nothing was handed over"):
        getattr(client, kind)(CTX, "work", server="host1")
    assert time.monotonic() - begun < 5


def test_fanout_needs_nobody(bus: rpc.Bus) -> None:
    bus.client("nobody").cast(CTX, "work", fanout=True)


def test_message_for_somebody_arrives_still(bus: rpc.Bus) -> None:
    server = bus.server("somebody", "host1", Endpoint(), workers=2)
    server.start()
    try:
        assert bus.client("somebody").call(CTX, "echo", server="host1", word="here") == "here"
        with pytest.raises(errors.Unavailable, match="Nobody listens"):
            bus.client("somebody").cast(CTX, "echo", server="host2", word="lost")
    finally:
        server.stop(5)
