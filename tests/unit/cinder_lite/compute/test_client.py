"""What the compute API is asked, and how its answers are read."""

from __future__ import annotations

from typing import Any

import pytest

from cinder_lite.compute import client
from lite_common import context, errors

CTX = context.RequestContext(user_id="ann", project_id="demo")


class Rest:
    """Answers one request with a body, or raises."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[Any] = []

    def request(self, ctx: context.RequestContext, method: str, path: str, *, version: str, body: Any = None) -> Any:
        self.asked.append((method, path, version))
        self.bodies.append(body)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_attachment_of_a_server() -> None:
    rest = Rest({"volumeAttachment": {"attachment_id": "a1"}})
    assert client.ComputeClient(rest).used_attachment(CTX, "s1", "v1") == "a1"  # type: ignore[arg-type]  # a twin
    assert rest.asked == [("GET", "/servers/s1/os-volume_attachments/v1", "2.89")]


def test_a_server_without_it() -> None:
    for answer in (errors.NotFound(), {"volumeAttachment": {"attachment_id": None}}):
        assert client.ComputeClient(Rest(answer)).used_attachment(CTX, "s1", "v1") is None  # type: ignore[arg-type]  # a twin


def test_an_api_that_is_down_is_told() -> None:
    with pytest.raises(errors.Unavailable):
        client.ComputeClient(Rest(errors.Unavailable("x"))).used_attachment(CTX, "s1", "v1")  # type: ignore[arg-type]  # a twin


def test_a_server_is_told_that_its_volume_grew() -> None:
    rest = Rest({"events": [{"code": 200}]})
    client.ComputeClient(rest).volume_extended(CTX, "s1", "v1")  # type: ignore[arg-type]  # a twin
    assert rest.asked == [("POST", "/os-server-external-events", "2.51")]
    event = {"name": "volume-extended", "server_uuid": "s1", "tag": "v1", "status": "completed"}
    assert rest.bodies == [{"events": [event]}]


def test_an_event_that_is_not_taken() -> None:
    rest = Rest({"events": [{"code": 404}]})
    with pytest.raises(errors.BackendError, match="404"):
        client.ComputeClient(rest).volume_extended(CTX, "s1", "v1")  # type: ignore[arg-type]  # a twin
