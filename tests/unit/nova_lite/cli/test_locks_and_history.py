"""Locks of servers, and what was done to them, against the fake stack."""

import pytest

EVENT = {
    "event": "compute_attach_volume",
    "result": "Error",
    "start_time": "2026-01-01T00:00:01.000000",
    "finish_time": "2026-01-01T00:00:02.000000",
    "host": "host1",
    "details": "no room",
}
ACTION = {
    "action": "attach_volume",
    "message": "Error",
    "start_time": "2026-01-01T00:00:00.000000",
    "updated_at": "2026-01-01T00:00:02.000000",
    "user_id": "ann",
    "request_id": "req-1",
    "events": [EVENT],
}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("lock", "c1"), {"lock": None}),
        (("lock", "c1", "--reason", "at work"), {"lock": {"locked_reason": "at work"}}),
        (("unlock", "c1"), {"unlock": None}),
    ],
)
def test_lock_and_unlock(nlite, stack, words, body):
    server = stack.server("c1")
    result = nlite(*words)
    assert (result.code, result.err) == (0, f"{words[0]}ed c1\n")
    assert stack.sent("POST") == [(f"/v2.1/servers/{server['id']}/action", body)]


def test_an_administrators_lock_is_explained(nlite, stack):
    stack.server("c1")
    stack.refuse("POST", "/action$", 403, "Policy doesn't allow it.", "forbidden")
    result = nlite("unlock", "nobody", "c1")
    assert result.code == 1
    assert "no server has the name or id 'nobody'" in result.err
    assert "hint: an administrator has locked it" in result.err


def test_actions_of_a_server(nlite, stack):
    server = stack.server("c1")
    stack.actions[server["id"]] = [ACTION, ACTION | {"action": "create", "message": None, "request_id": "req-0"}]
    rows = nlite("server-actions", "c1", "-f", "json").json()
    assert [(row["Action"], row["Result"], row["Request"]) for row in rows] == [
        ("attach_volume", "Error", "req-1"),
        ("create", "", "req-0"),
    ]


def test_events_of_an_action_are_asked_for_with_their_details(nlite, stack):
    server = stack.server("c1")
    stack.actions[server["id"]] = [ACTION]
    (row,) = nlite("server-action", "c1", "req-1", "-f", "json").json()
    assert (row["Event"], row["Result"], row["Host"], row["Details"]) == (
        "compute_attach_volume", "Error", "host1", "no room"
    )  # fmt: skip
    assert stack.requests[-1][3]["OpenStack-API-Version"] == "compute 2.84"
    result = nlite("server-action", "c1", "req-9")
    assert result.code == 1
    assert "Action req-9 not found" in result.err


def test_a_deleted_server_is_known_by_its_id(nlite, stack):
    gone = "00000000-0000-4000-8000-000000000000"
    stack.actions[gone] = [ACTION | {"action": "delete", "message": None}]
    (row,) = nlite("server-actions", gone, "-f", "json").json()
    assert row["Action"] == "delete"
    assert nlite("server-actions", "gone").code == 1
