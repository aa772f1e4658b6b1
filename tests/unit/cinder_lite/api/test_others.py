"""Versions, types, services, zones, pools, quotas, limits, health."""

from __future__ import annotations

import re
from unittest.mock import MagicMock

import pytest
import webob

from cinder_lite.api import routes
from lite_common import db
from lite_common.wsgi.routing import Route
from tests.unit.cinder_lite.world import World

USER = "ann:demo"


def test_version_documents(world: World) -> None:
    root = webob.Request.blank("/").get_response(world.app)
    assert root.status_int == 300
    [version] = root.json["versions"]
    assert (version["id"], version["version"], version["min_version"]) == ("v3.0", "3.71", "3.0")
    assert version["links"][1]["href"] == "http://localhost:80/v3/"
    for path in ("/v3", "/v3/"):
        below = webob.Request.blank(path).get_response(world.app)
        assert (below.status_int, below.json) == (200, root.json)


def test_microversions(world: World) -> None:
    assert world.ask("GET", "/volumes", version="3.72").status_int == 406
    assert world.ask("GET", "/volumes", version="2.0").status_int == 406
    assert world.ask("GET", "/volumes", version="three").status_int == 400
    answer = world.ask("GET", "/volumes", version="latest")
    assert answer.headers["OpenStack-API-Version"] == "volume 3.71"
    assert answer.headers["Vary"] == "OpenStack-API-Version"
    assert world.ask("GET", "/demo/volumes").json == {"volumes": []}
    assert world.ask("GET", "/other/volumes").status_int == 400


TABLE = routes.version_3(MagicMock())


@pytest.mark.parametrize("route", TABLE, ids=[f"{route.method} {route.path}" for route in TABLE])
def test_every_path_of_the_table_is_served(world: World, route: Route) -> None:
    path = re.sub(r"\{\w+\}", "nothing", route.path)
    body = {"x": {}} if route.method in ("POST", "PUT") else None
    answer = world.ask(route.method, path, body)
    assert answer.status_int in (200, 202, 204, 400, 404)
    if answer.status_int == 404:
        # The thing is not there; the path is.
        assert "nothing" in answer.json["itemNotFound"]["message"]


def test_what_is_not_in_the_table(world: World) -> None:
    assert world.ask("PATCH", "/volumes").status_int == 405
    assert world.ask("GET", "/backups").status_int == 404


def test_health_follows_the_database(world: World) -> None:
    assert webob.Request.blank("/healthcheck").get_response(world.app).status_int == 200
    lost = World(world.database)
    lost.database = db.Database("mysql+mysqldb://nobody@127.0.0.1:1/none")
    down = webob.Request.blank("/healthcheck").get_response(lost.app)
    assert (down.status_int, b"127.0.0.1" in down.body) == (503, True)
    lost.database.close()


def test_types(world: World) -> None:
    body = {"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "ssd", "multiattach": "<is> True"}}}
    made = world.ask("POST", "/types", body)
    assert made.status_int == 200
    fast = made.json["volume_type"]
    # As in Cinder: an admin reads qos_specs_id of a type, but not in the answer to a create.
    assert "qos_specs_id" not in fast
    assert world.ask("GET", f"/types/{fast['id']}").json["volume_type"] == fast | {"qos_specs_id": None}
    assert world.ask("POST", "/types", body).status_int == 409
    assert world.ask("POST", "/types", body, token=USER).status_int == 403
    assert world.ask("POST", "/types", {"volume_type": {"name": " "}}).status_int == 400
    assert [one["name"] for one in world.ask("GET", "/types").json["volume_types"]] == ["fast", "__DEFAULT__"]
    assert world.ask("GET", "/types/default").json["volume_type"]["name"] == "__DEFAULT__"
    seen = world.ask("GET", f"/types/{fast['id']}", token=USER).json["volume_type"]
    assert seen["extra_specs"] == {"multiattach": "<is> True"}
    specs = f"/types/{fast['id']}/extra_specs"
    assert world.ask("PUT", f"{specs}/a", {"a": "1"}).json == {"a": "1"}
    assert world.ask("PUT", f"{specs}/a", {"b": "1"}).status_int == 400
    assert world.ask("GET", f"{specs}/a").json == {"a": "1"}
    assert world.ask("POST", specs, {"extra_specs": {"a": "2", "c": "3"}}).status_int == 200
    assert world.ask("GET", specs).json["extra_specs"]["a"] == "2"
    assert world.ask("DELETE", f"{specs}/a").status_int == 202
    assert world.ask("DELETE", f"{specs}/a").status_int == 404
    volume = world.volume(volume_type=fast["id"])
    assert world.ask("POST", specs, {"extra_specs": {"a": "2"}}).status_int == 400
    assert world.ask("DELETE", f"/types/{fast['id']}").status_int == 400
    world.ask("DELETE", f"/volumes/{volume}")
    assert world.ask("DELETE", f"/types/{fast['id']}").status_int == 202
    assert world.ask("GET", f"/types/{fast['id']}").status_int == 404
    assert world.ask("DELETE", "/types/__DEFAULT__").status_int == 400


def test_a_missing_default_type_is_a_named_500(world: World) -> None:
    with world.database.connection() as conn:
        conn.exec_driver_sql("UPDATE volume_types SET deleted = 1")
    answer = world.ask("POST", "/volumes", {"volume": {"size": 1}})
    assert answer.status_int == 500
    assert "default volume type __DEFAULT__" in answer.text


def test_services(world: World) -> None:
    [shown] = world.ask("GET", "/os-services").json["services"]
    assert (shown["binary"], shown["host"], shown["zone"]) == ("cinder-volume", "host1@fake1", "nova")
    assert (shown["status"], shown["state"], shown["backend_state"]) == ("enabled", "up", "up")
    with world.database.connection() as conn:
        conn.exec_driver_sql("UPDATE services SET updated_at = '2020-01-01 00:00:00.000000'")
    assert world.ask("GET", "/os-services").json["services"][0]["state"] == "down"
    assert world.ask("GET", "/os-services", token=USER).status_int == 403
    assert world.ask("GET", "/os-services?binary=cinder-scheduler").json == {"services": []}
    assert len(world.ask("GET", "/os-services?host=host1").json["services"]) == 1
    body = {"host": "host1@fake1", "binary": "cinder-volume"}
    assert world.ask("PUT", "/os-services/disable", body).json["disabled"] is True
    assert world.ask("GET", "/os-services").json["services"][0]["status"] == "disabled"
    assert world.ask("GET", "/os-availability-zone").json["availabilityZoneInfo"] == [
        {"zoneName": "nova", "zoneState": {"available": False}}
    ]
    reasoned = world.ask("PUT", "/os-services/disable-log-reason", body | {"disabled_reason": "disk"})
    assert reasoned.json["disabled_reason"] == "disk"
    assert world.ask("PUT", "/os-services/enable", body).json["status"] == "enabled"
    assert world.ask("PUT", "/os-services/enable", body | {"host": "nope"}).status_int == 404
    assert world.ask("PUT", "/os-services/enable", {"host": "x"}).status_int == 400
    for action, version, status in (("freeze", "3.0", 501), ("get-log", "3.31", 404), ("get-log", "3.32", 501)):
        assert world.ask("PUT", f"/os-services/{action}", body, version=version).status_int == status
    assert world.ask("PUT", "/os-services/freeze", body, token=USER).status_int == 403


def test_pools(world: World) -> None:
    assert world.ask("GET", "/scheduler-stats/get_pools").json == {"pools": [{"name": "host1@fake1#fake1"}]}
    detailed = world.ask("GET", "/scheduler-stats/get_pools?detail=true").json["pools"][0]
    assert detailed["capabilities"] == {"free_capacity_gb": 1}
    assert world.ask("GET", "/scheduler-stats/get_pools", token=USER).status_int == 403


def test_quotas_and_limits(world: World) -> None:
    world.volume(size=3)
    absolute = world.ask("GET", "/limits").json["limits"]["absolute"]
    assert (absolute["maxTotalVolumes"], absolute["totalVolumesUsed"], absolute["totalGigabytesUsed"]) == (10, 1, 3)
    shown = world.ask("GET", "/os-quota-sets/demo?usage=true").json["quota_set"]
    assert shown["gigabytes"] == {"limit": 100, "in_use": 3, "reserved": 0}
    assert shown["volumes___DEFAULT__"] == {"limit": -1, "in_use": 1, "reserved": 0}
    assert world.ask("GET", "/os-quota-sets/other", token=USER).status_int == 403
    changed = world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"volumes": 1, "per_volume_gigabytes": 5}})
    assert changed.json["quota_set"]["volumes"] == 1
    assert world.ask("POST", "/volumes", {"volume": {"size": 1}}).status_int == 413
    assert world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"gigabytes": 2}}).status_int == 400
    assert world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"bogus": 2}}).status_int == 400
    assert world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"volumes": -2}}).status_int == 400
    assert world.ask("GET", "/os-quota-sets/demo/defaults").json["quota_set"]["volumes"] == 10
    assert world.ask("DELETE", "/os-quota-sets/demo").status_int == 200
    assert world.ask("POST", "/volumes", {"volume": {"size": 6}}).status_int == 202
    world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"per_volume_gigabytes": 5, "volumes___DEFAULT__": 2}})
    large = world.ask("POST", "/volumes", {"volume": {"size": 6}})
    assert large.json["overLimit"]["message"].startswith("VolumeSizeExceedsLimit: ")
    typed = world.ask("POST", "/volumes", {"volume": {"size": 1}})
    assert "'volumes___DEFAULT__'" in typed.json["overLimit"]["message"]
