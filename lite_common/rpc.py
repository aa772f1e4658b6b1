"""RPC over oslo.messaging: the only module, beside the services' rpcapi modules, that knows the bus.

A call has a time limit and tells it to the other side, which refuses work that nobody waits for any more. While it
works the other side gives signs of life, so a caller learns within CALL_MONITOR seconds that it was killed. Errors of
the allowed modules come back as themselves; the bus being down becomes errors.Unavailable, no answer errors.Timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import kombu.exceptions
import oslo_messaging
from oslo_config import cfg
from oslo_messaging._drivers import (
    amqpdriver,
    impl_rabbit,  # noqa: F401  # takes an option's limit from the constants below, so it comes before they change
)
from oslo_messaging._metrics import client as messaging_metrics
from oslo_messaging._tracing import client as messaging_tracing
from oslo_messaging.rpc import dispatcher as rpc_dispatcher
from oslo_messaging.rpc import server as rpc_server

from lite_common import context, errors, service

LOG = logging.getLogger(__name__)

# The second one comes when not even the first connection of the process could be made.
BUS_DOWN = (oslo_messaging.MessageDeliveryFailure, kombu.exceptions.OperationalError)
# oslo.messaging's listeners look for acknowledgements to send 1, 2, 4, 8 ... ms after each message. RPC messages are
# acknowledged on arrival, so there are none; these looks were half of nova-compute's CPU time under load.
amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MIN = 1.0
# And with 5 s in the end a listener that has nothing to do would learn that late that its daemon is to stop.
amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MAX = 1.0


def _take_while_polled(
    listener: amqpdriver.RpcAMQPListener, message: Any, take: Any = amqpdriver.RpcAMQPListener.__call__
) -> None:
    """Leave alone what arrives while a listener that has stopped closes its connection.

    oslo.messaging acknowledges such a message and puts it where nobody looks any more, which lost what was sent while a
    daemon was stopping. Not acknowledged, it goes back to its queue with the connection.
    """
    if not listener._shutoff.is_set():
        take(listener, message)


amqpdriver.RpcAMQPListener.__call__ = _take_while_polled

# Seconds between two looks for a broker that is down. oslo.messaging would wait up to 30, longer than callers do.
RECONNECT_SECONDS = 2
# A call whose other side gives no sign of life for so many seconds is given up: it was killed, or is not there. Work
# may take as long as the call's own limit allows.
CALL_MONITOR = 15
# Attempts to hand a message to the broker before the caller is told that it is down.
SEND_RETRIES = 1
# Without it the broker confirms and forgets a message that no queue takes: queues end with the broker, and are back
# only when their service has found it again.
TO_SOMEBODY = oslo_messaging.TransportOptions(at_least_once=True)


class Bus:
    """The connection of one daemon to RabbitMQ (or to the in-process bus, `transport_url = fake://`).

    Nothing is connected before first use, so a daemon starts without the broker and finds it later.
    """

    def __init__(self, conf: cfg.ConfigOpts, error_modules: Sequence[str] = ()) -> None:
        # oslo.messaging reads these two groups from the configuration it is given but registers them on its global
        # one only, and names them in no public list; hence the private modules.
        conf.register_opts(messaging_metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
        conf.register_opts(messaging_tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
        self.transport = oslo_messaging.get_rpc_transport(
            conf, allowed_remote_exmods=["lite_common.errors", *error_modules]
        )
        # Registered by the driver itself, so not before now; there is none with transport_url = fake://.
        if "oslo_messaging_rabbit" in conf:
            conf.set_default("rabbit_interval_max", RECONNECT_SECONDS, group="oslo_messaging_rabbit")
        self.conf = conf

    def client(self, topic: str, version: str = "1.0") -> Client:
        """A client of the servers that listen on `topic`."""
        return Client(self, topic, version)

    def server(self, topic: str, host: str, endpoint: object, workers: int = 16) -> Server:
        """A server that runs the public methods of `endpoint` for messages to `topic` and to `topic`.`host`."""
        return Server(self, topic, host, endpoint, workers)

    def close(self) -> None:
        """Let go of all connections."""
        self.transport.cleanup()


class Client:
    """Calls and casts to one topic."""

    def __init__(self, bus: Bus, topic: str, version: str) -> None:
        self._bus = bus
        self._topic = topic
        self._client = oslo_messaging.get_rpc_client(
            bus.transport,
            oslo_messaging.Target(topic=topic, version=version),
            serializer=_ContextSerializer(),
        )

    def call(
        self,
        ctx: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        timeout: float | None = None,
        **arguments: Any,
    ) -> Any:
        """What `method` returned over there, waiting `timeout` seconds (default: rpc_response_timeout).

        Raises the remote error itself, errors.Timeout when no answer came, errors.Unavailable when the bus is down or
        has nobody to deliver to.
        """
        limit = timeout or float(self._bus.conf.rpc_response_timeout)
        monitor = CALL_MONITOR if limit > CALL_MONITOR else None
        prepared = self._client.prepare(
            server=server,
            timeout=limit,
            call_monitor_timeout=monitor,
            retry=SEND_RETRIES,
            transport_options=TO_SOMEBODY,
        )
        where = f"{self._topic}.{server}" if server else self._topic
        try:
            return prepared.call(_with_limits(ctx, time.time(), limit, monitor), method, **arguments)
        except oslo_messaging.MessagingTimeout as err:
            raise errors.Timeout(
                f"{where} did not answer {method} within {limit:g} s"
                f"{f', or gave no sign of life for {monitor} s' if monitor else ''}. Check that the service runs there "
                "(`nlite service-list`) and that it reaches RabbitMQ."
            ) from err
        except oslo_messaging.MessageUndeliverable as err:
            raise _nobody_there(where, method) from err
        except BUS_DOWN as err:
            raise _bus_down(where, method) from err
        except oslo_messaging.RemoteError as err:
            raise errors.BackendError(f"{where} failed in {method}: {err.exc_type}: {err.value}") from err

    def cast(
        self,
        ctx: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        fanout: bool = False,
        **arguments: Any,
    ) -> None:
        """Hand the message to the bus and return. Raises errors.Unavailable when the bus is down or has no taker."""
        # A fanout is for whoever is there, and nobody is fine.
        prepared = self._client.prepare(
            server=server,
            fanout=fanout or None,
            retry=SEND_RETRIES,
            transport_options=None if fanout else TO_SOMEBODY,
        )
        where = f"{self._topic}.{server}" if server else self._topic
        try:
            prepared.cast(ctx, method, **arguments)
        except oslo_messaging.MessageUndeliverable as err:
            raise _nobody_there(where, method) from err
        except BUS_DOWN as err:
            raise _bus_down(where, method) from err


class Server:
    """A part of a daemon: takes messages and runs them on a bounded pool of threads."""

    def __init__(self, bus: Bus, topic: str, host: str, endpoint: object, workers: int) -> None:
        self._dispatcher = _Dispatcher([endpoint], _ContextSerializer())
        self._server = rpc_server.RPCServer(
            bus.transport,
            oslo_messaging.Target(topic=topic, server=host),
            self._dispatcher,
            executor="threading",
        )
        self._workers = workers

    def start(self) -> None:
        """Begin to take messages."""
        self._dispatcher.daemon = service.current()
        self._server.start(override_pool_size=self._workers)

    def stop(self, timeout: float) -> None:
        """Take no more messages and let those in hand finish."""
        self._server.stop()
        if self._server.listener is not None:
            # At once, and not when the work in hand has ended: what came meanwhile goes back to the queue with it.
            self._server.listener.cleanup()
        # oslo.messaging waits for as long as it takes; a thread that hangs must not keep the daemon from its end.
        waiting = threading.Thread(target=self._server.wait, name="rpc-stop", daemon=True)
        waiting.start()
        waiting.join(timeout)
        if waiting.is_alive():
            LOG.warning(
                "messages still in work after %.0f s are abandoned; recovery finds what they were about", timeout
            )


class _Dispatcher(rpc_dispatcher.RPCDispatcher):
    """Refuses what nobody waits for, and keeps refusals (as opposed to bugs) out of the log as tracebacks."""

    daemon: service.Service | None = None

    def dispatch(self, incoming: Any) -> Any:
        limits = [incoming.ctxt.get("deadline"), incoming.ctxt.pop("begin_by", None)]
        try:
            if any(limit is not None and time.time() > limit for limit in limits):
                method = incoming.message.get("method")
                raise errors.Timeout(f"{method} was asked for too long ago; the caller has given up. Nothing was done.")
            with service.working_for(self.daemon):
                return super().dispatch(incoming)
        except errors.LiteError as err:
            LOG.info("refused %s: %s", incoming.message.get("method"), err.message)
            raise rpc_dispatcher.ExpectedException() from err


class _ContextSerializer(oslo_messaging.NoOpSerializer):
    def serialize_context(self, ctxt: context.RequestContext) -> dict[str, Any]:
        return ctxt.to_dict()

    def deserialize_context(self, ctxt: dict[str, Any]) -> context.RequestContext:
        return context.RequestContext.from_dict(ctxt)


def _with_limits(
    ctx: context.RequestContext, now: float, limit: float, monitor: float | None
) -> context.RequestContext:
    limits = {"deadline": now + limit, "begin_by": now + (monitor or limit)}
    return context.RequestContext.from_dict(ctx.to_dict() | limits, overwrite=False)


def _nobody_there(where: str, method: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"Nobody listens for {method} at {where}; nothing was handed over. Check that the service runs there "
        "(`nlite service-list`); after a restart of RabbitMQ it needs some seconds to find it again."
    )


def _bus_down(where: str, method: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"RabbitMQ did not take the message {method} for {where}; nothing was handed over. "
        "Check that RabbitMQ runs and that transport_url is right."
    )
