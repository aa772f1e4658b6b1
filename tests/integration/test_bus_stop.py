"""A daemon that is stopped and started again loses no message, whenever it was sent: RabbitMQ keeps what it left."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from oslo_config import cfg

from lite_common import context, rpc
from tests.fixtures import servers
from tests.fixtures.userspace import wait_for

RESTARTS = 3


class Endpoint:
    """Notes the numbers that it is sent: `all`, and those since `got` was emptied."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.all: set[int] = set()

    def note(self, ctx: context.RequestContext, number: int) -> None:
        self.got.append(number)
        self.all.add(number)


def connect(url: str, directory: Path) -> rpc.Bus:
    path = directory / "bus.conf"
    path.write_text(f"[DEFAULT]\ntransport_url = {url}\ncontrol_exchange = bus-stop\n")
    conf = cfg.ConfigOpts()
    conf(args=["--config-file", str(path)], default_config_files=[])
    return rpc.Bus(conf)


def test_no_message_is_lost_while_its_taker_stops_and_starts(rabbitmq: servers.RabbitMQ, tmp_path: Path) -> None:
    endpoint, sent, halt = Endpoint(), [], threading.Event()
    ctx = context.admin_context(overwrite=False)
    sender_bus = connect(rabbitmq.url, tmp_path)
    client = sender_bus.client("restarted")

    def send() -> None:
        for number in range(100_000):
            if halt.is_set():
                return
            client.cast(ctx, "note", server="host", number=number)
            sent.append(number)
            time.sleep(0.02)

    bus = connect(rabbitmq.url, tmp_path)
    server = bus.server("restarted", "host", endpoint, workers=4)
    server.start()
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    for _ in range(RESTARTS):
        endpoint.got.clear()
        wait_for(lambda: len(endpoint.got) > 5, 20, "messages arrive")
        server.stop(10)
        bus.close()
        bus = connect(rabbitmq.url, tmp_path)
        server = bus.server("restarted", "host", endpoint, workers=4)
        server.start()
    halt.set()
    thread.join(20)
    wait_for(lambda: set(sent) <= endpoint.all, 20, "every message has come")
    assert len(sent) > 10 * RESTARTS
    server.stop(10)
    for one in (bus, sender_bus):
        one.close()
