"""The default quota class: limits of all projects that have none of their own; and quotas of volume types."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cinder_lite.world import World

USER = "ann:demo"
KEYS = {
    "volumes", "gigabytes", "per_volume_gigabytes", "snapshots", "backups", "backup_gigabytes", "groups",
    "volumes___DEFAULT__", "gigabytes___DEFAULT__", "snapshots___DEFAULT__",
}  # fmt: skip


def put(world: World, values: dict[str, Any], name: str = "default", **kw: Any) -> Any:
    return world.ask("PUT", f"/os-quota-class-sets/{name}", {"quota_class_set": values}, **kw)


def test_the_class_holds_where_a_project_has_no_limit(world: World) -> None:
    shown = world.ask("GET", "/os-quota-class-sets/default").json["quota_class_set"]
    assert set(shown) == KEYS | {"id"}
    assert (shown["id"], shown["volumes"], shown["volumes___DEFAULT__"]) == ("default", 10, -1)
    changed = put(world, {"volumes": 1, "gigabytes___DEFAULT__": 5}, version="3.0").json["quota_class_set"]
    assert set(changed) == KEYS
    assert (changed["volumes"], changed["gigabytes___DEFAULT__"]) == (1, 5)
    for path in ("/os-quota-sets/demo", "/os-quota-sets/demo/defaults"):
        quota_set = world.ask("GET", path).json["quota_set"]
        assert (quota_set["volumes"], quota_set["gigabytes___DEFAULT__"]) == (1, 5)
    assert world.ask("GET", "/limits").json["limits"]["absolute"]["maxTotalVolumes"] == 1
    world.volume()
    assert world.ask("POST", "/volumes", {"volume": {"size": 1}}).status_int == 413
    world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"volumes": 2}})
    world.volume()
    assert put(world, {"volumes": 10}).status_int == 200
    assert world.ask("GET", "/os-quota-sets/other").json["quota_set"]["volumes"] == 10


def test_other_classes_hold_for_nobody(world: World) -> None:
    assert put(world, {"volumes": 3}, "gold").status_int == 200
    assert world.ask("GET", "/os-quota-class-sets/gold").json["quota_class_set"]["volumes"] == 3
    assert world.ask("GET", "/os-quota-sets/demo").json["quota_set"]["volumes"] == 10


@pytest.mark.parametrize("values", [{"bogus": 1}, {"volumes": -2}, {"volumes": "x"}, {"volumes_nope": 1}])
def test_what_makes_no_sense(world: World, values: dict[str, Any]) -> None:
    assert put(world, values).status_int == 400
    assert world.ask("PUT", "/os-quota-sets/demo", {"quota_set": values}).status_int == 400
    assert world.ask("GET", "/os-quota-sets/demo").json["quota_set"]["volumes"] == 10


def test_administrators_only(world: World) -> None:
    for answer in (
        world.ask("GET", "/os-quota-class-sets/default", token=USER),
        put(world, {"volumes": 1}, token=USER),
    ):
        assert (answer.status_int, "volume_extension:quota_classes:" in answer.text) == (403, True)


def test_every_type_has_quotas(world: World) -> None:
    world.ask("POST", "/types", {"volume_type": {"name": "fast"}})
    shown = world.ask("GET", "/os-quota-sets/demo?usage=true").json["quota_set"]
    assert shown["volumes_fast"] == shown["snapshots_fast"] == {"limit": -1, "in_use": 0, "reserved": 0}
    assert set(shown) == KEYS | {"id", "volumes_fast", "gigabytes_fast", "snapshots_fast"}
