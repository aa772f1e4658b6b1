"""os-services and os-availability-zone, as they are shown."""

import datetime
from typing import Any

import pytest

from lite_common import db
from nova_lite.api import views
from nova_lite.db import services
from tests.unit.nova_lite.api.conftest import Api

KEYS = {"id", "binary", "host", "zone", "status", "state", "updated_at", "disabled_reason"}


def a_service(**changes: Any) -> services.ServiceRecord:
    values: dict[str, Any] = {
        "id": 3, "uuid": "u-3", "host": "host1", "binary": "nova-compute", "topic": "compute", "report_count": 1,
        "disabled": False, "disabled_reason": None, "forced_down": False, "last_seen_up": db.utcnow(),
        "created_at": db.utcnow(), "updated_at": db.utcnow(),
    }  # fmt: skip
    return services.ServiceRecord(**values | changes)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[services.ServiceRecord]:
    """The daemons there are; the database module is asked for them with the filters, which are kept here."""
    found = [a_service(), a_service(id=4, binary="nova-api", host="host2")]

    def list_all(database: Any, *, host: str | None = None, binary: str | None = None) -> list[services.ServiceRecord]:
        return [one for one in found if host in (None, one.host) and binary in (None, one.binary)]

    monkeypatch.setattr(services, "list_all", list_all)
    return found


def ask(api: Api, query: str = "", version: str = "2.1") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = api(f"/v2.1/os-services{query}", version=version, token="admin:x").json["services"]
    return listed


@pytest.mark.usefixtures("known")
def test_keys_by_version(api: Api) -> None:
    assert set(ask(api)[0]) == KEYS
    assert set(ask(api, version="2.11")[0]) == KEYS | {"forced_down"}
    assert (ask(api)[0]["id"], ask(api, version="2.53")[0]["id"]) == (3, "u-3")


@pytest.mark.usefixtures("known")
def test_filters(api: Api) -> None:
    assert [one["zone"] for one in ask(api, "?binary=nova-api")] == ["internal"]
    assert [one["binary"] for one in ask(api, "?host=host1")] == ["nova-compute"]
    assert api("/v2.1/os-services?colour=red", version="2.75", token="admin:x").status_int == 400
    assert api("/v2.1/os-services", token="ann:x").status_int == 403


@pytest.mark.parametrize(
    ("changes", "state", "status", "host_status"),
    [
        ({}, "up", "enabled", "UP"),
        ({"disabled": True, "disabled_reason": "repair"}, "up", "disabled", "MAINTENANCE"),
        ({"forced_down": True}, "down", "enabled", "DOWN"),
        ({"last_seen_up": db.utcnow() - datetime.timedelta(hours=1)}, "down", "enabled", "DOWN"),
    ],
)
def test_states(
    api: Api,
    known: list[services.ServiceRecord],
    changes: dict[str, Any],
    state: str,
    status: str,
    host_status: str,
) -> None:
    known[0] = a_service(**changes)
    shown = ask(api)[0]
    assert (shown["state"], shown["status"]) == (state, status)
    assert views.host_status(known[0], 60) == host_status
    api_server = api("/v2.1/servers/detail", version="2.16", token="admin:demo").json["servers"][0]
    assert api_server["host_status"] == host_status


def test_zones(api: Api, known: list[services.ServiceRecord]) -> None:
    zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    assert api("/v2.1/os-availability-zone").json == {"availabilityZoneInfo": [zone]}
    known[0] = a_service(forced_down=True)
    assert api("/v2.1/os-availability-zone").json["availabilityZoneInfo"][0]["zoneState"] == {"available": False}
    assert api("/v2.1/os-availability-zone/detail").status_int == 403
    detail = api("/v2.1/os-availability-zone/detail", token="admin:x").json["availabilityZoneInfo"]
    assert [zone["zoneName"] for zone in detail] == ["nova", "internal"]
    assert detail[0]["hosts"]["host1"]["nova-compute"]["available"] is False
