"""Volume types: changed, private to projects, defaults of projects, listed in pages; and never encrypted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cinder_lite.world import World

USER = "ann:demo"
OTHER = "eve:other"


def make(world: World, name: str, **more: Any) -> str:
    answer = world.ask("POST", "/types", {"volume_type": {"name": name, **more}})
    assert answer.status_int == 200, answer.text
    return str(answer.json["volume_type"]["id"])


def private(world: World, name: str) -> str:
    return make(world, name, **{"os-volume-type-access:is_public": False})


def names(world: World, query: str = "", **kw: Any) -> list[str]:
    return [one["name"] for one in world.ask("GET", f"/types{query}", **kw).json["volume_types"]]


def test_update(world: World) -> None:
    fast = make(world, "fast")
    make(world, "slow")
    path = f"/types/{fast}"
    body = {"volume_type": {"name": " faster ", "description": "d", "is_public": "false"}}
    shown = world.ask("PUT", path, body, version="3.0").json["volume_type"]
    assert (shown["name"], shown["description"], shown["is_public"]) == ("faster", "d", False)
    # As in Cinder, the answer to a change does not tell what extensions had added to the others.
    added = {"os-volume-type-access:is_public": False, "qos_specs_id": None}
    assert world.ask("GET", path).json["volume_type"] == shown | added
    assert world.ask("PUT", path, {"volume_type": {"name": "slow"}}).status_int == 409
    assert world.ask("PUT", path, {"volume_type": {"name": "faster"}}).status_int == 200
    assert world.ask("PUT", path, body, token=USER).status_int == 403
    assert world.ask("PUT", "/types/nope", body).status_int == 404
    for value in ({}, {"name": None}, {"name": "  "}, {"is_public": "perhaps"}, {"colour": "red"}, {"name": "x" * 256}):
        assert world.ask("PUT", path, {"volume_type": value}).status_int == 400
    assert world.ask("GET", path).json["volume_type"] == shown | added


def test_the_default_type_keeps_its_name(world: World) -> None:
    refused = world.ask("PUT", "/types/__DEFAULT__", {"volume_type": {"name": "mine"}})
    assert (refused.status_int, "default_volume_type" in refused.text) == (400, True)
    assert world.ask("PUT", "/types/__DEFAULT__", {"volume_type": {"description": "d"}}).status_int == 200


def test_a_private_type_is_there_for_its_projects_only(world: World) -> None:
    secret = private(world, "secret")
    volume = {"volume": {"size": 1, "volume_type": "secret"}}

    def sees(token: str) -> bool:
        listed = "secret" in names(world, token=token)
        statuses = {
            world.ask("GET", f"/types/{secret}", token=token).status_int,
            world.ask("GET", f"/types/{secret}/extra_specs", token=token).status_int,
        }
        made = world.ask("POST", "/volumes", volume, token=token)
        if made.status_int == 404:
            assert made.json["itemNotFound"]["message"] == "Volume type secret could not be found."
        assert (listed, statuses, made.status_int) in ((True, {200}, 202), (False, {404}, 404))
        return listed

    assert not sees(USER)
    assert world.ask("POST", f"/types/{secret}/action", {"addProjectAccess": {"project": "demo"}}).status_int == 202
    assert sees(USER)
    assert not sees(OTHER)
    access = world.ask("GET", f"/types/{secret}/os-volume-type-access").json
    assert access == {"volume_type_access": [{"volume_type_id": secret, "project_id": "demo"}]}
    removed = world.ask("POST", f"/types/{secret}/action", {"removeProjectAccess": {"project": "demo"}})
    assert removed.status_int == 202
    assert not sees(USER)


def test_access_is_refused_where_it_makes_no_sense(world: World) -> None:
    public, secret = make(world, "public"), private(world, "secret")
    add: dict[str, Any] = {"addProjectAccess": {"project": "p"}}
    remove: dict[str, Any] = {"removeProjectAccess": {"project": "p"}}
    assert world.ask("GET", f"/types/{public}/os-volume-type-access").status_int == 404
    assert world.ask("POST", f"/types/{public}/action", add).status_int == 400
    assert world.ask("POST", f"/types/{public}/action", remove).status_int == 400
    path = f"/types/{secret}/action"
    assert world.ask("POST", path, remove).status_int == 404
    assert world.ask("POST", path, add).status_int == 202
    assert world.ask("POST", path, add).status_int == 409
    bodies: list[dict[str, Any]] = [
        {}, {"addProjectAccess": {}}, {"addProjectAccess": {"project": ""}}, {"fly": {"project": "p"}}, add | remove
    ]  # fmt: skip
    for body in bodies:
        assert world.ask("POST", path, body).status_int == 400
    assert world.ask("POST", path, add, token=USER).status_int == 403
    assert world.ask("GET", f"/types/{secret}/os-volume-type-access", token=USER).status_int == 403
    assert world.ask("POST", "/types/nope/action", add).status_int == 404
    assert world.ask("DELETE", f"/types/{secret}").status_int == 202
    assert world.rows("volume_type_projects") == 0


def test_lists(world: World) -> None:
    for name in ("a", "b", "c"):
        make(world, name, extra_specs={"volume_backend_name": name})
    private(world, "secret")
    assert set(names(world)) == {"a", "b", "c", "__DEFAULT__"}
    assert set(names(world, "?is_public=None")) == {"a", "b", "c", "__DEFAULT__", "secret"}
    assert names(world, "?is_public=false") == ["secret"]
    assert set(names(world, "?is_public=None", token=USER)) == {"a", "b", "c", "__DEFAULT__"}
    assert names(world, "?sort=name:desc&limit=2") == ["c", "b"]
    page = world.ask("GET", "/types?sort=name:desc&limit=2").json
    assert names(world, page["volume_type_links"][0]["href"].partition("/types")[2]) == ["a", "__DEFAULT__"]
    assert names(world, "?name=b") == ["b"]
    assert names(world, "?extra_specs={'volume_backend_name':'c'}", version="3.52") == ["c"]
    assert len(names(world, "?extra_specs={'volume_backend_name':'c'}", version="3.30")) == 4
    for query in ("?is_public=perhaps", "?sort=qos", "?limit=-1", "?colour=red"):
        assert world.ask("GET", f"/types{query}").status_int == 400
    assert world.ask("GET", "/types?marker=nope").status_int == 404
    world.ask("GET", "/types")
    assert len(world.statements) == 2


def test_a_default_type_of_a_project(world: World) -> None:
    fast, secret = make(world, "fast"), private(world, "secret")
    body = {"default_type": {"volume_type": "fast"}}
    assert world.ask("PUT", "/default-types/demo", body, version="3.61").status_int == 404
    answer = world.ask("PUT", "/default-types/demo", body, version="3.62")
    assert (answer.status_int, answer.json) == (200, {"default_type": {"project_id": "demo", "volume_type_id": fast}})
    assert world.ask("PUT", "/default-types/demo", body).status_int == 200
    assert world.ask("GET", "/default-types/demo").json == answer.json
    assert world.ask("GET", "/default-types").json == {"default_types": [answer.json["default_type"]]}
    assert world.ask("GET", "/types/default", token=USER).json["volume_type"]["name"] == "fast"
    assert world.ask("GET", "/types/default", token=OTHER).json["volume_type"]["name"] == "__DEFAULT__"
    made = world.ask("POST", "/volumes", {"volume": {"size": 1}}, token=USER).json["volume"]
    assert made["volume_type"] == "fast"
    world.ask("DELETE", f"/volumes/{made['id']}")
    assert world.ask("DELETE", f"/types/{fast}").status_int == 400
    for wrong in ("nope", secret):
        bad = {"default_type": {"volume_type": wrong}}
        assert world.ask("PUT", "/default-types/demo", bad).status_int == 404
    for method, sent in (("GET", None), ("PUT", body), ("DELETE", None)):
        assert world.ask(method, "/default-types/demo", sent, token=USER).status_int == 403
    assert world.ask("DELETE", "/default-types/demo").status_int == 204
    assert world.ask("DELETE", "/default-types/demo").status_int == 204
    assert world.ask("GET", "/default-types/demo").status_int == 404
    assert world.ask("DELETE", f"/types/{fast}").status_int == 202


def test_nothing_is_encrypted(world: World) -> None:
    body = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    path = "/types/__DEFAULT__/encryption"
    assert world.ask("GET", path).json == {}
    refused = world.ask("POST", path, body)
    assert (refused.status_int, refused.json["notImplemented"]["code"]) == (501, 501)
    assert "Encrypted volumes are not served" in refused.text
    assert world.ask("POST", path, body, token=USER).status_int == 403
    for method in ("GET", "DELETE", "PUT"):
        assert world.ask(method, f"{path}/provider", body if method == "PUT" else None).status_int == 404
    assert world.ask("GET", "/types/nope/encryption").status_int == 404


@pytest.mark.parametrize("first", ["cacheable", "multiattach"])
def test_a_shared_volume_is_not_cached(world: World, first: str) -> None:
    other = {"cacheable": "multiattach", "multiattach": "cacheable"}[first]
    both = {"volume_type": {"name": "both", "extra_specs": {first: "<is> True", other: "<is> True"}}}
    assert world.ask("POST", "/types", both).status_int == 400
    one = make(world, "one", extra_specs={first: "<is> True"})
    refused = world.ask("PUT", f"/types/{one}/extra_specs/{other}", {other: "<is> True"})
    assert (refused.status_int, "cacheable" in refused.text) == (400, True)
