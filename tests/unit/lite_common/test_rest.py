"""The REST client against a small real server: headers, errors as families, what is repeated and what is not."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lite_common import context, errors, rest

CTX = context.RequestContext(user_id="ann", project_id="p1", overwrite=False)


class Script(ThreadingHTTPServer):
    """Answers with the next (status, body) of `answers`; keeps what it was asked in `seen`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Script
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        status, text = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client(script: Script, **options: Any) -> rest.RestClient:
    return rest.RestClient("volume", f"http://127.0.0.1:{script.server_port}/v3/", secret="s", **options)


def test_a_request_carries_version_caller_ids_and_secret(script: Script) -> None:
    script.answers = [(200, b'{"ok": 1}')]
    assert client(script).request(CTX, "POST", "/things", version="3.44", body={"a": "ü"}) == {"ok": 1}
    method, path, headers, body = script.seen[0]
    assert (method, path, json.loads(body)) == ("POST", "/v3/things", {"a": "ü"})
    assert headers["OpenStack-API-Version"] == "volume 3.44"
    assert headers["X-Auth-Token"] == "ann:p1"
    assert headers["X-Service-Token"] == "s"
    assert headers["X-OpenStack-Request-ID"] == CTX.request_id


def test_no_body_is_none(script: Script) -> None:
    script.answers = [(204, b"")]
    assert client(script).request(CTX, "DELETE", "/things/1", version="3.44") is None


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, errors.Invalid),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.TooLarge),
    ],
)
def test_a_refusal_is_its_family_with_the_other_sides_text(
    script: Script, status: int, family: type[errors.LiteError]
) -> None:
    script.answers = [(status, b'{"badRequest": {"code": 400, "message": "Volume v is reserved"}}')]
    with pytest.raises(family) as told:
        client(script).request(CTX, "GET", "/things", version="3.0")
    assert told.value.message == "Volume v is reserved"


def test_a_failing_get_is_repeated_and_a_post_is_not(script: Script) -> None:
    script.answers = [(500, b"x"), (503, b"x"), (200, b"{}")]
    assert client(script).request(CTX, "GET", "/things", version="3.0") == {}
    script.answers = [(500, b'{"computeFault": {"message": "boom"}}'), (200, b"{}")]
    with pytest.raises(errors.BackendError, match="answered POST /things with 500: boom"):
        client(script).request(CTX, "POST", "/things", version="3.0", body={})


def test_silence_is_a_timeout(script: Script) -> None:
    script.answers = []
    held = threading.Event()
    original = Handler.answer
    Handler.do_GET = lambda self: held.wait(5) and None  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(errors.Timeout, match="did not answer GET /things in time"):
            client(script, timeout=0.3).request(CTX, "GET", "/things", version="3.0")
    finally:
        held.set()
        Handler.do_GET = original  # type: ignore[method-assign]


def test_nobody_there_is_unavailable_and_named(unused_port: int) -> None:
    gone = rest.RestClient("volume", f"http://127.0.0.1:{unused_port}", secret=None, retries=1)
    with pytest.raises(errors.Unavailable, match=f"volume at http://127.0.0.1:{unused_port} cannot be reached"):
        gone.request(CTX, "POST", "/things", version="3.0", body={})


def test_a_request_is_repeated_only_for_as_long_as_one_may_take(script: Script) -> None:
    script.answers = [(503, b"{}")] * 50
    with pytest.raises(errors.Unavailable):
        client(script, timeout=0.25, retries=40).request(CTX, "GET", "/things", version="3.44")
    # Pauses of 0.1 and 0.2 s fit in.
    assert 2 <= len(script.seen) <= 3
