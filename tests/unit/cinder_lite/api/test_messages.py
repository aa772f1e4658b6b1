"""User messages: who sees which, in which form and order, and how they end."""

from __future__ import annotations

import pytest

from cinder_lite.db import messages as rows
from cinder_lite.volume import messages
from lite_common import context
from tests.unit.cinder_lite.world import World

USER = "ann:demo"
FIELDS = {
    "id", "event_id", "user_message", "message_level", "created_at", "guaranteed_until", "request_id", "links",
    "resource_type", "resource_uuid",
}  # fmt: skip


def tell(world: World, volume: str, action: messages.Code, detail: messages.Code, lifetime: float = 60.0) -> None:
    ctx = context.RequestContext(request_id="req-1", overwrite=False)
    messages.Messages(world.database, lifetime).tell(ctx, volume, action, detail)


def test_a_message_as_it_is_shown(world: World) -> None:
    volume = world.volume(token=USER)
    tell(world, volume, messages.SCHEDULE_ALLOCATE_VOLUME, messages.NO_BACKEND_AVAILABLE)
    [shown] = world.ask("GET", "/messages", token=USER, version="3.3").json["messages"]
    assert set(shown) == FIELDS
    assert shown["event_id"] == "VOLUME_VOLUME_001_003"
    assert shown["user_message"] == "schedule allocate volume:Could not find any available weighted backend."
    assert (shown["resource_type"], shown["resource_uuid"]) == ("VOLUME", volume)
    assert (shown["message_level"], shown["request_id"]) == ("ERROR", "req-1")
    assert shown["guaranteed_until"] > shown["created_at"]
    assert shown["links"][0]["href"].endswith(f"/v3/demo/messages/{shown['id']}")
    assert world.ask("GET", f"/messages/{shown['id']}", token=USER).json == {"message": shown}


def test_it_is_the_owners_message(world: World) -> None:
    volume = world.volume(token=USER)
    tell(world, volume, messages.EXTEND_VOLUME, messages.UNKNOWN_ERROR)
    message = world.ask("GET", "/messages", token=USER).json["messages"][0]["id"]
    for method in ("GET", "DELETE"):
        hidden = world.ask(method, f"/messages/{message}", token="eve:other")
        assert hidden.status_int == 404
        assert hidden.json["itemNotFound"]["message"] == f"Message {message} could not be found."
    assert world.ask("GET", "/messages", token="eve:other").json == {"messages": []}
    assert world.ask("GET", "/messages?all_tenants=1", token="eve:other").json == {"messages": []}
    assert world.ask("GET", "/messages", token="admin:other").json == {"messages": []}
    assert len(world.ask("GET", "/messages?all_tenants=1", token="admin:other").json["messages"]) == 1
    assert world.ask("DELETE", f"/messages/{message}", token=USER).status_int == 204
    assert world.ask("DELETE", f"/messages/{message}", token=USER).status_int == 404


def test_they_came_with_3_3(world: World) -> None:
    for method, path in (("GET", "/messages"), ("GET", "/messages/x"), ("DELETE", "/messages/x")):
        assert world.ask(method, path, version="3.2").status_int == 404


def test_pages_and_filters(world: World) -> None:
    volumes = [world.volume() for _ in range(3)]
    for volume in volumes:
        tell(world, volume, messages.CREATE_VOLUME_FROM_BACKEND, messages.DRIVER_FAILED_CREATE)
    first = world.ask("GET", "/messages?limit=2&sort=resource_uuid:asc").json
    assert [one["resource_uuid"] for one in first["messages"]] == sorted(volumes)[:2]
    [link] = first["messages_links"]
    assert link["rel"] == "next"
    rest = world.ask("GET", link["href"].partition("/v3")[2]).json
    assert [one["resource_uuid"] for one in rest["messages"]] == sorted(volumes)[2:]
    assert "messages_links" not in rest
    found = world.ask("GET", f"/messages?resource_uuid={volumes[1]}&resource_type=VOLUME").json["messages"]
    assert [one["resource_uuid"] for one in found] == [volumes[1]]
    assert world.ask("GET", "/messages?event_id=none").json == {"messages": []}
    assert len(world.ask("GET", "/messages?event_id~=_008_", version="3.34").json["messages"]) == 3
    assert world.ask("GET", "/messages?event_id~=%25x").json == {"messages": []}
    assert world.ask("GET", "/messages?bogus=1").status_int == 400
    assert world.ask("GET", "/messages?sort=project_id").status_int == 400
    assert world.ask("GET", "/messages?marker=nope").status_int == 404
    # Before 3.5 there were no pages, and nothing in the query meant anything.
    assert len(world.ask("GET", "/messages?limit=1&event_id=none", version="3.4").json["messages"]) == 3


@pytest.mark.parametrize("code", [*messages.ACTIONS.values()])
def test_every_action_has_a_text(code: messages.Code) -> None:
    assert messages.text(code.id, "001") == f"{code.text}:An unknown error occurred."


def test_those_whose_time_is_up_are_pruned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BATCH", 2)
    volume = world.volume()
    for lifetime in (-1, -1, -1, -1, 60):
        tell(world, volume, messages.ATTACH_VOLUME, messages.UNKNOWN_ERROR, lifetime)
    with world.database.connection() as conn:
        assert rows.prune(conn) == 4
        assert rows.prune(conn) == 0
    assert world.rows("messages") == 1


def test_what_is_gone_has_no_message_and_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    tell(world, "no-such-volume", messages.ATTACH_VOLUME, messages.UNKNOWN_ERROR)
    assert "no message tells the user" in caplog.text
    assert world.rows("messages") == 0
