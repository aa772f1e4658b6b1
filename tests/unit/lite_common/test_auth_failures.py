"""Failed authentication is told by a number per address and minute, in bounded memory."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from lite_common import context, errors
from lite_common.wsgi import auth, auth_failures


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "lite_common.wsgi.auth_failures")
    return caplog


def environ(address: str = "192.0.2.7", **headers: str) -> dict[str, Any]:
    return {"REMOTE_ADDR": address, "lite.request_id": "req-1", **headers}


def refuse(environ: dict[str, Any], project: str | None) -> context.RequestContext:
    raise errors.Unauthorized("no")


def attempt(authenticate: auth_failures.Authenticate, request: dict[str, Any]) -> None:
    with pytest.raises(errors.Unauthorized):
        authenticate(request, None)


def test_many_failures_are_one_line_per_address(told: pytest.LogCaptureFixture) -> None:
    log = auth_failures.FailureLog(period=3600)
    authenticate = auth_failures.counted(refuse, log)
    for _ in range(40):
        attempt(authenticate, environ())
    attempt(authenticate, environ("2001:db8::1", HTTP_X_AUTH_TOKEN="guessed-token"))
    assert told.messages == []
    log.tell()
    assert told.messages == [
        "authentication failed 40 times within 3600 s from 192.0.2.7",
        "authentication failed 1 times within 3600 s from 2001:db8::1",
    ]
    log.tell()
    assert len(told.messages) == 2


def test_it_is_told_without_another_request(told: pytest.LogCaptureFixture) -> None:
    log = auth_failures.FailureLog(period=0.05)
    done = threading.Event()
    tell = log.tell
    log.tell = lambda: (tell(), done.set())  # type: ignore[method-assign,assignment]
    attempt(auth_failures.counted(refuse, log), environ())
    assert done.wait(10)
    assert told.messages == ["authentication failed 1 times within 0 s from 192.0.2.7"]


def test_many_addresses_do_not_fill_the_memory(told: pytest.LogCaptureFixture) -> None:
    log = auth_failures.FailureLog(period=3600, most=3)
    for number in range(10):
        log.note(f"192.0.2.{number}")
    log.note("192.0.2.1")
    log.tell()
    assert len(told.messages) == 4
    assert told.messages[0] == "authentication failed 2 times within 3600 s from 192.0.2.1"
    assert told.messages[-1] == "authentication failed 7 times within 3600 s from other addresses"


def test_a_wrong_service_secret_counts(told: pytest.LogCaptureFixture) -> None:
    log = auth_failures.FailureLog(period=3600)
    authenticate = auth_failures.counted(auth.NoAuth("demo", "right"), log)
    assert not authenticate(environ(HTTP_X_SERVICE_TOKEN="wrong-and-secret"), None).is_service
    assert authenticate(environ(HTTP_X_SERVICE_TOKEN="right"), None).is_service
    log.tell()
    assert told.messages == ["authentication failed 1 times within 3600 s from 192.0.2.7"]


def test_every_strategy_is_counted(tmp_path: Any) -> None:
    from types import SimpleNamespace

    conf: Any = SimpleNamespace(
        api=SimpleNamespace(
            auth_strategy="noauth", listen="127.0.0.1", allow_noauth_on_network=False, noauth_project="demo"
        ),
        service_auth=SimpleNamespace(secret_file=""),
    )
    with pytest.MonkeyPatch.context() as patch:
        seen: list[str] = []
        patch.setattr(auth_failures.FailureLog, "note", lambda self, address: seen.append(address))
        long = environ(HTTP_X_AUTH_TOKEN="u" * 300 + ":p")
        attempt(auth.strategy(conf), long)
    assert seen == ["192.0.2.7"]
