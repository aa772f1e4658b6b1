"""os-server-external-events: who may tell what, by version, and what is answered."""

from typing import Any

import pytest

from tests.unit.nova_lite.api.conftest import OTHER, SERVER, VOLUME, Api

PATH = "/v2.1/os-server-external-events"
GROWN: dict[str, Any] = {"name": "volume-extended", "server_uuid": SERVER, "tag": VOLUME, "status": "completed"}


def tell(api: Api, *events: Any, version: str = "2.51", token: str = "admin:demo") -> Any:
    return api(PATH, "POST", version, token=token, json_={"events": list(events)})


def test_an_event_is_passed_on(api: Api) -> None:
    answer = tell(api, GROWN)
    assert (answer.status_int, answer.json) == (200, {"events": [GROWN | {"code": 200}]})
    assert api.events.told == [("volume-extended", SERVER, VOLUME)]


def test_one_of_two_is_not_taken(api: Api) -> None:
    api.events.codes = [200, 404]
    answer = tell(api, GROWN, GROWN | {"server_uuid": OTHER})
    assert answer.status_int == 207
    assert [(one["code"], one["status"]) for one in answer.json["events"]] == [(200, "completed"), (404, "failed")]


def test_the_status_may_be_left_out(api: Api) -> None:
    answer = tell(api, {"name": "volume-extended", "server_uuid": SERVER, "tag": VOLUME})
    assert answer.json["events"][0]["status"] == "completed"


def test_users_tell_nothing(api: Api) -> None:
    assert tell(api, GROWN, token="ann:demo").status_int == 403
    assert api.events.told == []


@pytest.mark.parametrize(("version", "status"), [("2.1", 400), ("2.50", 400), ("2.51", 200), ("2.101", 200)])
def test_the_event_by_version(api: Api, version: str, status: int) -> None:
    assert tell(api, GROWN, version=version).status_int == status


@pytest.mark.parametrize(
    "event",
    [
        {"server_uuid": SERVER},
        {"name": "volume-extended"},
        GROWN | {"server_uuid": "s1"},
        GROWN | {"status": "perhaps"},
        GROWN | {"tag": ""},
        GROWN | {"tag": "x" * 256},
        GROWN | {"more": 1},
        None,
    ],
)
def test_what_is_no_event(api: Api, event: Any) -> None:
    assert tell(api, event).status_int == 400
    assert api.events.told == []


def test_a_body_without_events(api: Api) -> None:
    assert tell(api).status_int == 400
    assert api(PATH, "POST", "2.51", token="admin:demo", json_={}).status_int == 400
