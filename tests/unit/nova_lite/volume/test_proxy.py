"""Requests for volumes and snapshots that nova-api passes on to Cinder, and what becomes of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.volume import proxy

CTX = context.RequestContext(user_id="ann", project_id="demo")


class Cinder:
    """Keeps requests; answers with `answer`, or raises it where it is an error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def request(self, ctx: context.RequestContext, method: str, path: str, *, version: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_requests_are_passed_on() -> None:
    cinder = Cinder({"volumes": [{"id": "v"}], "snapshot": {"id": "s"}})
    volumes = proxy.VolumeProxy(cinder)
    assert volumes.listed(CTX, "volumes", {"limit": 2, "offset": 1}) == [{"id": "v"}]
    assert volumes.shown(CTX, "snapshots", "a/../b?c") == {"id": "s"}
    assert volumes.made(CTX, "snapshots", {"volume_id": "v"}) == {"id": "s"}
    volumes.deleted(CTX, "volumes", "v")
    assert cinder.asked == [
        ("GET", "/volumes/detail?limit=2&offset=1", None),
        ("GET", "/snapshots/a%2F..%2Fb%3Fc", None),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "v"}}),
        ("DELETE", "/volumes/v", None),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (errors.TooLarge("over quota"), errors.Forbidden),
        (errors.Invalid("no"), errors.Invalid),
        (errors.NotFound("gone"), errors.NotFound),
        (errors.Unavailable("down"), nova_errors.CinderUnavailable),
    ],
)
def test_refusals_keep_cinders_words(answer: errors.LiteError, kind: type[errors.LiteError]) -> None:
    with pytest.raises(kind) as caught:
        proxy.VolumeProxy(Cinder(answer)).made(CTX, "volumes", {"size": 1})
    assert answer.message in caught.value.message
