"""One request is one story: the steps of all five daemons, read from both APIs."""

import threading
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from tests.fixtures import stack as stacks
from tests.functional.world import World

PROJECT = "steps"
API_STEPS = ["check_server", "check_volume", "reserve_block_device_name", "create_attachment", "hand_over"]
CINDER_STEPS = ["attachment_complete", "grant_access"]
COMPUTE_STEPS = ["get_connector", "update_attachment", "connect_volume", "attach_to_guest", "complete_attachment"]


@pytest.fixture
def ann(stack: stacks.FunctionalStack) -> World:
    return World(stack, f"ann:{PROJECT}")


def steps(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["steps"])


def story(world: World, query: str, *wanted: str) -> list[dict[str, Any]]:
    """What both services tell, by time, once these steps have ended; each daemon ships by its own clock."""

    def told() -> list[dict[str, Any]] | None:
        found = steps(world.compute("GET", f"/os-steps?{query}")) + steps(world.volumes("GET", f"/os-steps?{query}"))
        ended = {*wanted} <= {one["step"] for one in found} and all(one["outcome"] != "running" for one in found)
        return sorted(found, key=lambda one: str(one["started_at"])) if ended else None

    found = stacks.wait_for(told, 10, f"{wanted} are recorded")
    assert isinstance(found, list)
    return found


def of(found: list[dict[str, Any]], service: str) -> list[str]:
    return [one["step"] for one in found if one["service"] == service]


def test_an_attach_is_one_story_over_all_daemons(ann: World) -> None:
    server, volume = ann.server(), ann.volume()
    answer = ann.attach(server, volume)
    request = answer.headers["x-openstack-request-id"]
    ann.await_volume(volume, "in-use")
    found = story(ann, f"request_id={request}", *API_STEPS, *COMPUTE_STEPS, *CINDER_STEPS)
    assert of(found, "nova-api") == API_STEPS
    assert of(found, "nova-compute") == COMPUTE_STEPS
    assert of(found, "cinder-api") == ["attachment_create", "attachment_update", "attachment_complete"]
    assert of(found, "cinder-volume") == ["attachment_update", "create_export", "grant_access"]
    assert {one["outcome"] for one in found} == {"ok"}
    assert {one["request_id"] for one in found} == {request}
    assert {(one["user_id"], one["project_id"], one["host"]) for one in found} == {("ann", PROJECT, "host1")}
    connect = next(one for one in found if one["step"] == "connect_volume")
    assert connect["ids"] == {"server": server, "volume": volume}
    assert connect["started_at"] <= connect["finished_at"]
    ann.remove(servers=[server], volumes=[volume])


def test_no_request_waits_for_its_record(ann: World) -> None:
    """Only the journals' own threads touch the tables of records."""
    server, volume = ann.server(), ann.volume()
    seen: list[tuple[str, str]] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append((threading.current_thread().name, statement))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        ann.attached(server, volume)
        stacks.wait_for(
            lambda: any("INTO operations" in text and name == "journal" for name, text in seen),
            10,
            "a batch is shipped",
        )
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    writers = {name for name, text in seen if "INTO steps" in text or "INTO operations" in text}
    assert writers == {"journal"}
    assert {name for name, _ in seen} > writers
    ann.remove(servers=[server], volumes=[volume])


def test_a_volumes_whole_life_is_told(ann: World) -> None:
    volume = ann.volume()
    assert ann.volumes("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}).status_code == 202
    stacks.wait_for(
        lambda: ann.volumes("GET", f"/volumes/{volume}").json()["volume"]["size"] == 2, 10, "the volume has grown"
    )
    ann.remove(volumes=[volume])
    made = ("volume_create_api", "schedule_create_volume", "volume_create_manager")
    found = story(ann, f"volume_id={volume}", *made, "extend_volume", "delete_volume")
    # The first step did not know yet which volume it would be.
    assert found[0]["step"] == "volume_create_api"
    assert of(found, "cinder-scheduler")[:2] == ["volume_create_scheduler", "schedule_create_volume"]
    assert {"volume_create_manager", "create_volume_from_spec", "extend_volume", "delete_volume"} <= set(
        of(found, "cinder-volume")
    )
    assert len({one["request_id"] for one in found}) == 3


def test_threads_that_serve_one_request_after_another_mix_none_up(ann: World) -> None:
    """The same threads of the same daemons, first for one, then for another project."""
    bob = World(ann.stack, "bob:other-steps")
    made = {world.token: [world.volume() for _ in range(4)] for world in (ann, bob, ann, bob)}
    for world in (ann, bob):
        for volume in made[world.token]:
            found = story(world, f"volume_id={volume}", "volume_create_api", "create_volume_from_spec")
            assert {(one["user_id"], one["project_id"]) for one in found} == {tuple(world.token.split(":"))}
            assert len({one["request_id"] for one in found}) == 1
            assert {one["ids"].get("volume", volume) for one in found} == {volume}
    for world in (ann, bob):
        world.remove(volumes=made[world.token])


def test_other_projects_steps_are_not_seen_but_by_admins(ann: World) -> None:
    volume = ann.volume()
    made = ("volume_create_api", "schedule_create_volume", "create_volume_from_spec")
    mine = story(ann, f"volume_id={volume}", *made)
    assert story(World(ann.stack, "admin:elsewhere"), f"volume_id={volume}", *made) == mine
    eve = World(ann.stack, "eve:elsewhere")
    for query in (f"volume_id={volume}", f"request_id={mine[0]['request_id']}"):
        assert steps(eve.volumes("GET", f"/os-steps?{query}")) == []
    ann.remove(volumes=[volume])


def test_a_step_that_failed_says_why(ann: World) -> None:
    server, volume = ann.server(), ann.volume()
    ann.attached(server, volume)
    answer = ann.attach(server, volume)
    assert answer.status_code == 400
    found = story(ann, f"request_id={answer.headers['x-openstack-request-id']}", "check_volume")
    failed = [one for one in found if one["outcome"] == "error"]
    assert [one["step"] for one in failed] == ["check_volume"]
    assert failed[0]["error"] == answer.json()["badRequest"]["message"]
    assert failed[0]["error_type"]
    ann.remove(servers=[server], volumes=[volume])


def operations(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["operations"])


def ended(world: World, query: str, *expected: tuple[str, str]) -> list[dict[str, Any]]:
    """The operations that the compute API, then the volume API tell, once kinds and outcomes are these."""

    def told() -> list[dict[str, Any]]:
        return operations(world.compute("GET", f"/os-operations?{query}")) + operations(
            world.volumes("GET", f"/os-operations?{query}")
        )

    def as_expected() -> list[dict[str, Any]] | None:
        found = told()
        return found if [(one["kind"], one["outcome"]) for one in found] == list(expected) else None

    try:
        found = stacks.wait_for(as_expected, 10, "operations end")
    except AssertionError as err:
        raise AssertionError(told()) from err
    assert isinstance(found, list)
    return found


def test_what_is_wanted_of_a_volume_and_how_far_it_is(ann: World) -> None:
    server, volume = ann.server(), ann.volume()
    ann.attached(server, volume)
    assert ann.detach(server, volume).status_code == 202
    ann.await_volume(volume, "available")
    assert ann.volumes("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}).status_code == 202
    stacks.wait_for(
        lambda: ann.volumes("GET", f"/volumes/{volume}").json()["volume"]["size"] == 2, 10, "the volume has grown"
    )
    ann.remove(volumes=[volume])
    of_nova = [("attach", "ok"), ("detach", "ok")]
    of_cinder = [("create", "ok"), *of_nova, ("extend", "ok"), ("delete", "ok")]
    found = ended(ann, f"volume_id={volume}", *of_nova, *of_cinder)
    for part in (found[:2], found[2:]):
        # They are told by when they began; daemons that write at the same moment may do so in another order.
        assert len({one["generation"] for one in part}) == len(part)
    attach = found[0]
    assert (attach["wanted"], attach["service"], attach["host"]) == ("attached", "nova-compute", "host1")
    assert (attach["step_begun"], attach["step_finished"]) == ("complete_attachment", "complete_attachment")
    assert attach["ids"].items() >= {"server": server, "volume": volume}.items()
    assert attach["request_id"] == found[3]["request_id"]
    assert {one["project_id"] for one in found} == {PROJECT}
    assert operations(World(ann.stack, "eve:elsewhere").volumes("GET", f"/os-operations?volume_id={volume}")) == []
    ann.remove(servers=[server])
    # Whoever detaches in Cinder says which attachment, not which server.
    assert ended(ann, f"server_id={server}", ("create", "ok"), *of_nova, ("delete", "ok"), ("attach", "ok"))


def test_what_is_wanted_of_a_snapshot(ann: World) -> None:
    volume = ann.volume()
    snapshot = ann.snapshot(volume)
    assert ann.volumes("DELETE", f"/snapshots/{snapshot}").status_code == 202
    ann.await_snapshot(snapshot, "gone")
    found = ended(ann, f"snapshot_id={snapshot}", ("create", "ok"), ("delete", "ok"))
    assert [one["wanted"] for one in found] == ["available", "deleted"]
    assert found[0]["ids"] == {"volume": volume, "snapshot": snapshot}
    ann.remove(volumes=[volume])


def test_what_failed_keeps_step_and_reason(ann: World) -> None:
    server, volume = ann.server(), ann.volume()
    ann.attached(server, volume)
    refused = ann.attach(server, volume)
    assert refused.status_code == 400
    request = refused.headers["x-openstack-request-id"]
    (found,) = ended(ann, f"request_id={request}", ("attach", "error"))
    assert (found["step_begun"], found["step_finished"]) == ("check_volume", "check_server")
    assert found["last_error"] == refused.json()["badRequest"]["message"]
    assert found["finished_at"]
    assert found in operations(ann.compute("GET", "/os-operations?outcome=error"))
    ann.remove(servers=[server], volumes=[volume])
