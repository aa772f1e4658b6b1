"""The HTTP server of a daemon: waitress, which is pure Python, threaded and one process."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import waitress.server

from lite_common import errors, service

LOG = logging.getLogger(__name__)

# Bodies up to here (bytes) are read, on disk, before the application says what it thinks of them (its limit, and the
# API's form of error); longer ones are refused by the server, in its own form, without waiting for them.
MOST_READ = 64 * 1024 * 1024


class HttpServer:
    """A part of a daemon that serves a WSGI application on one address with a pool of threads."""

    def __init__(self, app: Callable[..., Iterable[bytes]], listen: str, port: int, threads: int) -> None:
        self._app = app
        self._listen = listen
        self._port = port
        self._threads = threads
        self._server: Any = None
        self._loop: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on (of use when 0 was asked for)."""
        return int(self._server.effective_port) if self._server else self._port

    def start(self) -> None:
        """Listen and serve. Raises errors.Conflict, which names the address, when it cannot be listened on."""
        sock = socket.socket(socket.AF_INET6 if ":" in self._listen else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self._listen, self._port))
        except OSError as err:
            sock.close()
            raise errors.Conflict(
                f"Cannot listen on {self._listen} port {self._port}: {err.strerror}. "
                "Stop what uses the port or set another in [api] port."
            ) from err
        self._server = waitress.server.create_server(
            service.in_its_name(self._app),
            sockets=[sock],
            threads=self._threads,
            connection_limit=1000,
            channel_timeout=120,
            # select() knows no descriptor above 1023, and with one the loop would end: nobody would be answered again.
            asyncore_use_poll=True,
            max_request_body_size=MOST_READ,
            # No proxy header is believed anywhere, so nothing needs to be cleared (it costs 6 % of a request).
            clear_untrusted_proxy_headers=False,
            ident="",
        )
        self._loop = threading.Thread(target=self._server.run, name="http", daemon=True)
        self._loop.start()
        LOG.info("listening on %s port %d", self._listen, self.port)

    def stop(self, timeout: float) -> None:
        """Take no new connections, let requests in work finish and be answered, close."""
        if self._server is None:
            return
        end = time.monotonic() + timeout
        # The listening socket stays until the end: closing it under the loop's feet would break requests in work.
        self._server.accepting = False
        dispatcher = self._server.task_dispatcher
        while time.monotonic() < end and (dispatcher.active_count or dispatcher.queue):
            time.sleep(0.02)
        dispatcher.shutdown(cancel_pending=True, timeout=max(0.1, end - time.monotonic()))
        # Connections that clients keep open would hold the loop; each closes when its last answer is sent.
        for channel in list(self._server.active_channels.values()):
            channel.close_when_flushed = True
        self._server.pull_trigger()
        while time.monotonic() < end and self._server.active_channels:
            time.sleep(0.01)
        self._close_in_loop()
        if self._loop is not None:
            self._loop.join(max(0.1, end - time.monotonic()))

    def _close_in_loop(self) -> None:
        """Have the loop close the server, woken for it: by itself it would notice only after its poll, a second later.

        The trigger's lock is held until its pipe is written. A loop that is awake already would otherwise run the
        close and with it end the pipe before the write, which then failed, or went to whatever had that number next.
        """
        trigger = self._server.trigger
        with trigger.lock:
            trigger.thunks.append(self._server.close)
            trigger.pull_trigger()
