"""The Cinder client: what it sends, what it makes of the answers and of the refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.volume import client

CTX = context.RequestContext(project_id="demo")


class Recorder:
    """A REST client that answers what it was told and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def request(self, ctx: Any, method: str, path: str, *, version: str, body: Any = None) -> Any:
        assert version == "3.44"
        self.asked.append((method, path, body))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_attachment_requests_have_the_documented_bodies() -> None:
    flat = {
        "driver_volume_type": "iscsi",
        "target_lun": 1,
        "attachment_id": "a",
        "enforce_multipath": True,
        "auth_password": "secret",
    }
    shown = {"attachment": {"id": "a", "volume_id": "v", "connection_info": flat}}
    rest = Recorder(shown, shown, None, {"attachments": []})
    cinder = client.CinderClient(rest)
    assert cinder.create_attachment(CTX, "v", "s") == "a"
    info = cinder.update_attachment(CTX, "a", {"host": "h"})
    cinder.complete_attachment(CTX, "a")
    cinder.delete_attachment(CTX, "a")
    assert rest.asked == [
        ("POST", "/attachments", {"attachment": {"volume_uuid": "v", "instance_uuid": "s", "connector": None}}),
        ("PUT", "/attachments/a", {"attachment": {"connector": {"host": "h"}}}),
        ("POST", "/attachments/a/action", {"os-complete": None}),
        ("DELETE", "/attachments/a", None),
    ]
    data = {"target_lun": 1, "auth_password": "secret"}
    assert info == {"driver_volume_type": "iscsi", "data": data, "volume_id": "v", "serial": "v"}
    assert client.without_secrets(info)["data"] == {"target_lun": 1}
    assert info["data"] == data


def test_actions_have_the_documented_bodies() -> None:
    rest = Recorder(*[None] * 2, {"connection_info": {"driver_volume_type": "iscsi", "data": {"x": 1}}})
    cinder = client.CinderClient(rest)
    cinder.reserve_volume(CTX, "v")
    cinder.unreserve_volume(CTX, "v")
    info = cinder.initialize_connection(CTX, "v", {"host": "h"})
    cinder.attach_in_cinder(CTX, "v", "s", "/dev/vdb", "rw")
    cinder.begin_detaching(CTX, "v")
    cinder.roll_detaching(CTX, "v")
    cinder.terminate_connection(CTX, "v", {"host": "h"})
    cinder.detach_in_cinder(CTX, "v", "a")
    cinder.detach_in_cinder(CTX, "v", None)
    assert {(method, path) for method, path, _ in rest.asked} == {("POST", "/volumes/v/action")}
    assert [body for _, _, body in rest.asked] == [
        {"os-reserve": None},
        {"os-unreserve": None},
        {"os-initialize_connection": {"connector": {"host": "h"}}},
        {"os-attach": {"instance_uuid": "s", "mountpoint": "/dev/vdb", "mode": "rw"}},
        {"os-begin_detaching": None},
        {"os-roll_detaching": None},
        {"os-terminate_connection": {"connector": {"host": "h"}}},
        {"os-detach": {"attachment_id": "a"}},
        {"os-detach": {}},
    ]
    assert info == {
        "driver_volume_type": "iscsi",
        "data": {"x": 1},
        "serial": "v",
        "connector": {"host": "h"},
    }


def test_volume_record() -> None:
    attached = [{"server_id": "s", "attachment_id": "a"}]
    shown = {"id": "v", "status": "in-use", "size": 2, "multiattach": False, "attachments": attached}
    volume = client.CinderClient(Recorder({"volume": shown})).get_volume(CTX, "v")
    assert volume == client.Volume("v", "in-use", 2, False, {"s": "a"})


@pytest.mark.parametrize(
    ("told", "raised", "text"),
    [
        (errors.NotFound("x"), nova_errors.VolumeNotFound, "Volume v could not be found."),
        (errors.Invalid("Invalid volume: y"), nova_errors.InvalidInput, "Invalid input received: Invalid volume: y"),
        (errors.Forbidden("Policy doesn't allow z"), errors.Forbidden, "Policy doesn't allow z"),
        (
            errors.Unavailable("no connection"),
            nova_errors.CinderUnavailable,
            "The block storage service is not available: no connection",
        ),
        (errors.Timeout("late"), nova_errors.CinderUnavailable, "The block storage service is not available: late"),
        (errors.Conflict("in use"), errors.Conflict, "in use"),
    ],
)
def test_refusals(told: errors.LiteError, raised: type[errors.LiteError], text: str) -> None:
    with pytest.raises(raised) as caught:
        client.CinderClient(Recorder(told)).reserve_volume(CTX, "v")
    assert type(caught.value) is raised
    assert caught.value.message == text


def test_attachment_that_is_gone() -> None:
    rest = Recorder(errors.NotFound("x"), errors.NotFound("x"))
    cinder = client.CinderClient(rest)
    cinder.delete_attachment(CTX, "a")
    with pytest.raises(nova_errors.AttachmentNotFound, match="Volume attachment a could not be found"):
        cinder.complete_attachment(CTX, "a")


def test_begin_detaching_refused_is_an_invalid_volume() -> None:
    with pytest.raises(nova_errors.InvalidVolume) as caught:
        client.CinderClient(Recorder(errors.Invalid("no"))).begin_detaching(CTX, "v")
    assert caught.value.message == "Invalid volume: Invalid input received: no"


@pytest.mark.parametrize("request_name", ["terminate_connection", "detach_in_cinder"])
def test_undoing_requests_are_tried_five_times(request_name: str) -> None:
    for failures, fine in ((4, True), (5, False)):
        rest = Recorder(*[errors.BackendError("500")] * failures)
        call = getattr(client.CinderClient(rest), request_name)
        if fine:
            call(CTX, "v", None)
        else:
            with pytest.raises(errors.BackendError):
                call(CTX, "v", None)
        assert len(rest.asked) == 5


def test_endpoint_gets_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(client.rest, "RestClient", lambda kind, endpoint, **kwargs: seen.append(endpoint))
    for endpoint in ("http://c:8776", "http://c:8776/", "http://c:8776/v3", "http://c:8776/v3/"):
        client.connect(endpoint, secret=None, timeout=1, retries=0)
    assert set(seen) == {"http://c:8776/v3"}
