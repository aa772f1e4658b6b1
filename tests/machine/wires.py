"""What lies between the daemons: a bus whose messages wait until somebody chooses to deliver them, and HTTP by calls.

Both break as the real ones do: nobody listens, the answer does not come in time, the connection is closed.
"""

from __future__ import annotations

import io
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib import parse

import orjson
import urllib3

from lite_common import context, errors
from tests.machine.sim import START, Daemon, Future, Hub

RPC_LIMIT = 15.0
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Message:
    """A message in a queue; `reply` is None for a cast."""

    def __init__(self, where: tuple[str, str | None], method: str, ctx: Mapping[str, Any], arguments: bytes) -> None:
        self.where = where
        self.method = method
        self.ctx = dict(ctx)
        self.arguments = arguments
        self.reply: Future | None = None

    def __repr__(self) -> str:
        ids = [str(value)[:8] for value in orjson.loads(self.arguments).values() if isinstance(value, str)]
        return f"{self.method}({', '.join(ids)})"


class Broker:
    """All queues as one list, oldest first. A queue outlives those who listen to it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.waiting: list[Message] = []
        self.last: list[Message] = []
        self._listeners: dict[tuple[str, str | None], tuple[Daemon, object]] = {}

    def listen(self, topic: str, server: str, daemon: Daemon, endpoint: object) -> None:
        """From now on messages to the topic and to this server of it go there."""
        self._listeners[topic, server] = self._listeners[topic, None] = (daemon, endpoint)

    def known(self, where: tuple[str, str | None]) -> bool:
        """Whether there is such a queue."""
        return where in self._listeners

    def fanout(self, topic: str) -> list[tuple[str, str | None]]:
        """The queues of the listeners that are there now."""
        return [key for key, (one, _) in self._listeners.items() if key[0] == topic and key[1] and one.alive]

    def deliverable(self) -> list[Message]:
        """The messages whose receivers are up."""
        return [one for one in self.waiting if self._listeners[one.where][0].alive]

    def deliver(self, message: Message) -> None:
        """Hand the message to its receiver, as a task of its own."""
        self.waiting.remove(message)
        self.last = [*self.last[-7:], message]
        daemon, endpoint = self._listeners[message.where]
        self.hub.spawn(f"{daemon.name}: {message!r}", daemon, lambda: self._handle(message, endpoint))

    def again(self, message: Message) -> None:
        """The same message once more; nobody waits for its answer."""
        self.waiting.append(Message(message.where, message.method, message.ctx, message.arguments))

    def _handle(self, message: Message, endpoint: object) -> None:
        ctx = context.RequestContext.from_dict(message.ctx)
        reply = message.reply or Future("nobody")
        if ctx.deadline is not None and self.hub.offset > ctx.deadline - START:
            reply.set(error=errors.Timeout(f"{message.method} was asked for too long ago. Nothing was done."))
            return
        try:
            result = getattr(endpoint, message.method)(ctx, **orjson.loads(message.arguments))
        except errors.LiteError as err:
            reply.set(error=err)
            return
        self.hub.pause(f"the answer to {message.method}")
        reply.set(orjson.loads(orjson.dumps(result)))


class Bus:
    """What `rpc.Bus` is to one daemon."""

    def __init__(self, broker: Broker, daemon: Daemon) -> None:
        self._broker = broker
        self._daemon = daemon

    def client(self, topic: str, version: str = "1.0") -> Client:
        """See rpc.Bus."""
        return Client(self._broker, topic)

    def server(self, topic: str, host: str, endpoint: object, workers: int = 16) -> Any:
        """See rpc.Bus."""
        start = lambda: self._broker.listen(topic, host, self._daemon, endpoint)  # noqa: E731
        return types.SimpleNamespace(start=start, stop=lambda timeout: None)

    def close(self) -> None:
        """Nothing is open."""


class Client:
    """What `rpc.Client` is: calls and casts to one topic."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def call(
        self,
        ctx: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        timeout: float | None = None,
        **arguments: Any,
    ) -> Any:
        """See rpc.Client."""
        hub, limit = self._broker.hub, timeout or RPC_LIMIT
        hub.pause(f"call {method}")
        told = ctx.to_dict() | {"deadline": START + hub.offset + limit}
        message = self._send(told, method, server, arguments)
        reply = message.reply = Future(f"answer to {method}")
        hub.wait(lambda: reply.done, limit)
        if not reply.done:
            raise errors.Timeout(f"{self._topic} did not answer {method} within {limit:g} s.")
        if reply.error is not None:
            raise reply.error
        hub.pause(f"answered {method}")
        return reply.value

    def cast(
        self,
        ctx: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        fanout: bool = False,
        **arguments: Any,
    ) -> None:
        """See rpc.Client."""
        self._broker.hub.pause(f"cast {method}")
        if fanout:
            for _, one in self._broker.fanout(self._topic):
                self._send(ctx.to_dict(), method, one, arguments)
        else:
            self._send(ctx.to_dict(), method, server, arguments)
        self._broker.hub.pause(f"cast of {method} was taken")

    def _send(self, ctx: Mapping[str, Any], method: str, server: str | None, arguments: Mapping[str, Any]) -> Message:
        where = (self._topic, server)
        if not self._broker.known(where):
            raise errors.Unavailable(f"Nobody listens for {method} at {where}; nothing was handed over.")
        message = Message(where, method, ctx, orjson.dumps(arguments))
        self._broker.waiting.append(message)
        return message


class Web:
    """The HTTP servers by port, and the requests that wait for an answer."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.servers: dict[int, tuple[Daemon, Wsgi]] = {}
        self.asked: list[Future] = []
        self.failures: list[str] = []

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], limit: float) -> Any:
        """The answer, or urllib3's error for what went wrong."""
        parts = parse.urlsplit(url)
        self.hub.pause(f"{method} {parts.path}")
        daemon, app = self.servers.get(int(parts.port or 0), (None, None))
        if daemon is None or app is None or not daemon.alive:
            raise urllib3.exceptions.NewConnectionError(None, f"nobody listens at {parts.netloc}")  # type: ignore[arg-type]
        answer = Future(f"{method} {parts.path}")
        daemon.serving.add(answer)
        self.asked.append(answer)
        environ = _environ(method, parts, body, headers)
        name = f"{daemon.name}: {method} {parts.path}"
        self.hub.spawn(name, daemon, lambda: self._serve(daemon, app, environ, answer))
        self.hub.wait(lambda: answer.done, limit)
        self.asked.remove(answer)
        if not answer.done:
            raise urllib3.exceptions.ReadTimeoutError(None, url, "no answer")  # type: ignore[arg-type]
        if answer.error is not None:
            raise answer.error
        self.hub.pause(f"answered {method} {parts.path}")
        return answer.value

    def closed(self, daemon: Daemon) -> None:
        """The daemon is gone, and its connections with it."""
        for answer in daemon.serving:
            answer.set(error=urllib3.exceptions.ProtocolError("Connection aborted."))

    def _serve(self, daemon: Daemon, app: Wsgi, environ: dict[str, Any], answer: Future) -> None:
        told: list[int] = []

        def start(status: str, headers: object, exc_info: object = None) -> None:
            told[:] = [int(status[:3])]

        data = b"".join(app(environ, start))
        if told[0] == 500:
            self.failures.append(f"{answer.what} was answered 500: {data[:300]!r}")
        self.hub.pause(f"answer {told[0]} to {answer.what}")
        answer.set(types.SimpleNamespace(status=told[0], data=data, reason="", headers={}))
        daemon.serving.discard(answer)

    def pool(self, *, timeout: urllib3.Timeout, **ignored: Any) -> Any:
        """What urllib3.PoolManager makes."""
        limit = float(timeout.read_timeout or 60)  # type: ignore[arg-type]

        def urlopen(method: str, url: str, body: bytes | None, headers: Mapping[str, str], redirect: bool) -> Any:
            return self.request(method, url, body, headers, limit)

        return types.SimpleNamespace(urlopen=urlopen)


def _environ(method: str, parts: parse.SplitResult, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
    data = body or b""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": parse.unquote(parts.path),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(parts.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.version": (1, 0),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
