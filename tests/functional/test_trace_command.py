"""`nlite trace` and the last failure against the five services: what was really recorded, told to who may know it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lite_common import errors as common_errors
from nova_lite.cli import main
from nova_lite.virt import errors as virt_errors
from tests.fixtures import stack as stacks
from tests.functional.world import World

PROJECT = "trace-command"


@pytest.fixture
def ann(stack: stacks.FunctionalStack) -> World:
    return World(stack, f"ann:{PROJECT}")


@pytest.fixture
def nlite(stack: stacks.FunctionalStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """A function that runs nlite as a user and returns exit code, output and messages."""
    monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", stack.compute_url)
    monkeypatch.setenv("OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE", stack.volume_url)

    def run(*words: str, user: str = f"ann:{PROJECT}") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        code = main.Nlite(stdout=out, stderr=err).run(["--token", user, *words])
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def pair(ann: World) -> Iterator[tuple[str, str]]:
    server, volume = ann.server(), ann.volume()
    yield server, volume
    ann.remove(servers=[server], volumes=[volume])


def told(nlite: Callable[..., tuple[int, str, str]], reference: str, outcome: str = "ok") -> list[dict[str, Any]]:
    """The requests that `nlite trace` tells of, once each of them has ended so: daemons tell at their own times."""

    def ended() -> list[dict[str, Any]] | None:
        code, out, _ = nlite("trace", reference, "-f", "json")
        found = json.loads(out)["requests"] if code == 0 else []
        return found if found and all(one["outcome"] == outcome for one in found) else None

    found = stacks.wait_for(ended, 10, f"the steps of {reference} are recorded")
    assert isinstance(found, list)
    return found


def test_an_attach_is_told_as_one_story(ann: World, nlite: Any, pair: tuple[str, str]) -> None:
    server, volume = pair
    request = ann.attach(server, volume).headers["x-openstack-request-id"]
    code, out, _ = nlite("trace", request, "--follow", "--timeout", "30")
    assert code == 0, out
    assert out.splitlines()[-1].startswith("attach ok: ")
    (story,) = told(nlite, request)
    assert (story["operation"], story["outcome"], story["remarks"]) == ("attach", "ok", [])
    steps = {(one["service"], one["step"]): one for one in story["steps"]}
    asked = {key: one["cause"]["service"] for key, one in steps.items() if one["cause"]}
    assert asked == {
        ("cinder-api", "attachment_create"): "nova-api",
        ("nova-compute", "get_connector"): "nova-api",
        ("cinder-api", "attachment_update"): "nova-compute",
        ("cinder-volume", "attachment_update"): "cinder-api",
        ("cinder-api", "attachment_complete"): "nova-compute",
    }
    assert steps["cinder-volume", "create_export"]["depth"] == 3
    for reference in (volume, server, steps["cinder-api", "attachment_complete"]["ids"]["attachment"]):
        assert request in {one["request_id"] for one in told(nlite, reference)}
    code, out, _ = nlite("trace", volume, "--follow", "--timeout", "1")
    assert (code, request in out) == (0, True)
    for width in ("80", "120"):
        code, out, _ = nlite("trace", request, "--diagram", "--width", width)
        assert (code, max(map(len, out.splitlines())) <= int(width)) == (0, True)


def test_the_story_is_its_projects_and_the_administrators(ann: World, nlite: Any, pair: tuple[str, str]) -> None:
    server, volume = pair
    request = ann.attach(server, volume).headers["x-openstack-request-id"]
    ann.await_volume(volume, "in-use")
    assert told(nlite, request)
    code, out, err = nlite("trace", request, user="eve:elsewhere")
    assert (code, out) == (1, "")
    assert f"no step of request {request} is recorded" in err
    assert nlite("trace", request, user="admin:elsewhere")[0] == 0


def test_a_failed_attach_keeps_its_step_and_reason_until_one_works(
    ann: World, nlite: Any, pair: tuple[str, str]
) -> None:
    server, volume = pair
    reason = "The hypervisor did not take the disk; look at its log, then attach again."
    ann.stack.virt.faults["attach_volume"] = [virt_errors.DeviceAttachFailed(reason)]
    request = ann.attach(server, volume).headers["x-openstack-request-id"]
    ann.await_volume(volume, "available")
    (story,) = told(nlite, request, "error")
    assert (story["outcome"], story["failed_at"]["step"]) == ("error", "attach_to_guest")
    _, out, _ = nlite("volume-show", volume, "-f", "json")
    failure = json.loads(out)["last_failure"]
    assert (failure["operation"], failure["step"], failure["message"]) == ("attach", "attach_to_guest", reason)
    _, out, err = nlite("volume-attachments", server, "-f", "json")
    assert json.loads(out) == []
    assert reason in err
    # OpenStack's own way to tell it: the event of the instance action.
    action = ann.compute("GET", f"/servers/{server}/os-instance-actions/{request}").json()["instanceAction"]
    assert [(one["event"], one["result"]) for one in action["events"]] == [("compute_attach_volume", "Error")]

    ann.attached(server, volume)

    def forgotten() -> bool:
        return "last_failure" not in json.loads(nlite("volume-show", volume, "-f", "json")[1])

    stacks.wait_for(forgotten, 10, "the failure is made good")


def test_a_failed_export_is_told_as_a_message_of_the_volume(
    ann: World, nlite: Any, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both flows: the attachments API, and the older one's os-initialize_connection."""
    server, volume = pair

    def broken(*args: Any, **kwargs: Any) -> None:
        raise common_errors.BackendError("tgtd did not answer; start it, then attach again.")

    for target in ann.stack.targets.values():
        monkeypatch.setattr(target, "ensure_export", broken)
    request = ann.attach(server, volume).headers["x-openstack-request-id"]
    ann.await_volume(volume, "available")
    (story,) = told(nlite, request, "error")
    assert story["failed_at"] == {"service": "cinder-volume", "step": "create_export"}
    assert messages_about(ann, volume) == {"update attachment:An unknown error occurred."}

    connector = {"initiator": "iqn.2026-11.org:h1", "host": "h1", "ip": "127.0.0.1"}
    answer = ann.volumes("POST", f"/volumes/{volume}/action", {"os-initialize_connection": {"connector": connector}})
    assert answer.status_code == 500
    assert messages_about(ann, volume) == {
        "update attachment:An unknown error occurred.",
        "attach volume:An unknown error occurred.",
    }


def messages_about(world: World, volume: str) -> set[str]:
    """What the volume API tells of failures, to users of stock clients."""
    found = world.volumes("GET", "/messages").json()["messages"]
    return {one["user_message"] for one in found if one["resource_uuid"] == volume}
