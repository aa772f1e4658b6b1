"""What a backend tells of its exports, and that nothing is taken from under a guest, or where that is not known."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from cinder_lite.db import attachments
from cinder_lite.targets import base as targets
from cinder_lite.volume import connections, heal, inspect
from lite_common import context, errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node

SERVER = str(uuid.uuid4())


class Compute:
    """The compute service: what it has of every volume, or that it is down."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"attachment_sides": [], "strays": [], "unseen": []}
        self.down = False

    def attachment_sides(self, ctx: context.RequestContext, volume_id: str) -> dict[str, Any]:
        if self.down:
            raise errors.Unavailable("compute cannot be reached.")
        return self.told

    def volume_extended(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> None:
        raise AssertionError("nothing has grown")

    def has(self, attachment_id: str | None, live: bool = True) -> None:
        disk = {"alias": "ua-x", "source": "x"} if live else None
        seen = {"live": disk, "stored": disk}
        row = {"server_id": SERVER, "attachment_id": attachment_id, "compute": seen}
        self.told["attachment_sides"] = [row]


@pytest.fixture
def compute(node: Node, monkeypatch: pytest.MonkeyPatch) -> Compute:
    monkeypatch.setattr(heal, "SETTLED_AFTER", 0.0)
    node.backend.compute = made = Compute()
    return made


@pytest.fixture
def attached(node: Node) -> tuple[str, str]:
    """A volume and its attachment, in use."""
    volume_id = node.available()
    attachment_id = node.reserved(volume_id, SERVER)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, CONNECTOR)
    assert attachments.complete(node.database, attachment_id, None)
    return volume_id, attachment_id


def healed(node: Node, volume_id: str) -> tuple[list[str], list[str]]:
    told = heal.heal_volume(node.backend, node.ctx, volume_id)
    return told["done"], told["left"]


def test_an_export_is_told_without_its_secret(node: Node, attached: tuple[str, str]) -> None:
    volume_id, _ = attached
    told = inspect.inspect_exports(node.backend, [volume_id])
    found = told["exports"][volume_id]
    assert found["target"] | {"portals": []} == {
        "present": True, "portals": [], "lun": 1, "path": f"/dev/fake/volume-{volume_id}", "chap": True,
        "initiators": [CONNECTOR["initiator"]], "sessions": [],
    }  # fmt: skip
    assert found["bytes"] == {"path": f"/dev/fake/volume-{volume_id}", "size": 1 << 30}
    auth = targets.Auth.parse(node.found(volume_id).volume.provider_auth or "")
    assert auth.password not in json.dumps(told)


def test_all_of_the_backend_and_what_belongs_to_no_volume(node: Node, attached: tuple[str, str]) -> None:
    stray = str(uuid.uuid4())
    node.target.ensure_export(f"volume-{stray}", "/x", targets.Auth.generate())
    told = inspect.inspect_exports(node.backend, None, strays=True)
    assert (list(told["exports"]), told["strays"]) == ([attached[0]], [stray])
    assert inspect.inspect_exports(node.backend, [])["strays"] == []


@pytest.mark.parametrize("side", ["target", "storage"])
def test_a_part_that_does_not_answer_is_named_and_the_other_told(node: Node, side: str) -> None:
    volume_id = node.available()
    if side == "target":
        node.target.down = "killed"
    else:
        node.driver.broken = "gone"
    told = inspect.inspect_exports(node.backend, [volume_id])
    assert [one["side"] for one in told["unseen"]] == [side]
    found = told["exports"][volume_id]
    assert (found["target"] is None, found["bytes"] is None) == (side == "target", side == "storage")


def test_what_is_in_order_is_left_alone(node: Node, compute: Compute, attached: tuple[str, str]) -> None:
    compute.has(attached[1])
    assert healed(node, attached[0]) == ([], [])


@pytest.mark.parametrize(
    "told",
    [
        {"strays": [{"kind": "disk", "server_id": SERVER, "host": "c1"}]},
        {"strays": [{"kind": "session", "server_id": None, "host": "c1"}]},
        {"unseen": [{"service": "nova-compute", "host": "c2", "reason": "is down"}]},
        None,
    ],
    ids=["a guest has it", "a host is logged in", "a host is not seen", "nova is down"],
)
def test_an_attachment_stays_while_somebody_may_have_the_volume(
    node: Node, compute: Compute, attached: tuple[str, str], told: dict[str, Any] | None
) -> None:
    volume_id, attachment_id = attached
    compute.down = told is None
    compute.told |= told or {}
    done, left = healed(node, volume_id)
    assert (done, len(left)) == ([], 1)
    assert attachment_id in left[0]
    assert node.found(volume_id).attachment(attachment_id) is not None
    compute.told, compute.down = {"attachment_sides": [], "strays": [], "unseen": []}, False
    assert len(healed(node, volume_id)[0]) == 1
    assert node.state(volume_id) == ("available", "detached")
    assert node.target.exported() == set()


def test_who_is_no_administrator_is_not_told_of_all_guests(
    node: Node, compute: Compute, attached: tuple[str, str]
) -> None:
    member = context.RequestContext(user_id="ann", project_id="demo", roles=["member"], overwrite=False)
    told = heal.heal_volume(node.backend, member, attached[0])
    assert (told["done"], "administrator" in told["left"][0]) == ([], True)


def test_what_has_just_changed_is_left(
    node: Node, compute: Compute, attached: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heal, "SETTLED_AFTER", 60.0)
    done, left = healed(node, attached[0])
    assert (done, "less than 60 s ago" in left[0]) == ([], True)


def test_an_attachment_is_put_back_for_a_guest_only(node: Node, compute: Compute, attached: tuple[str, str]) -> None:
    volume_id, attachment_id = attached
    attachments.remove(node.database, volume_id, attachment_id)
    compute.has(attachment_id, live=False)
    healed(node, volume_id)
    assert node.state(volume_id) == ("available", "detached")
    compute.has(attachment_id)
    done, left = healed(node, volume_id)
    assert ("put back" in done[0], left) == (True, [])
    assert node.state(volume_id) == ("in-use", "attached")
    assert volume_id in next(iter(node.target.exported()))


def test_a_volume_that_another_has_by_now_is_not_taken_from_it(
    node: Node, compute: Compute, attached: tuple[str, str]
) -> None:
    volume_id, attachment_id = attached
    attachments.remove(node.database, volume_id, attachment_id)
    other = node.reserved(volume_id, str(uuid.uuid4()))
    compute.has(attachment_id)
    compute.told["attachment_sides"].append(
        {"server_id": node.found(volume_id).attachments[0].instance_uuid, "attachment_id": other, "compute": None}
    )
    done, left = healed(node, volume_id)
    assert (done, len(left)) == ([], 2)
    assert [one.id for one in node.found(volume_id).attachments] == [other]
    # Nor is the target taken from the guest.
    assert node.target.exported() == {f"volume-{volume_id}"}


def test_an_export_of_nobody_goes_and_one_in_use_stays(node: Node, compute: Compute) -> None:
    volume_id, auth = node.available(), targets.Auth.generate()
    location = node.target.ensure_export(f"volume-{volume_id}", "/x", auth, initiators=["iqn.x:y"])
    node.target.login(location, auth, "iqn.x:y")
    done, left = healed(node, volume_id)
    assert (done, "iqn.x:y" in left[0]) == ([], True)
    node.target.logout(location, "iqn.x:y")
    assert len(healed(node, volume_id)[0]) == 1
    assert healed(node, volume_id) == ([], [])


def test_a_volume_in_error_is_for_a_person(node: Node, compute: Compute) -> None:
    volume_id = node.creating()
    node.move("create_failed", volume_id)
    done, left = healed(node, volume_id)
    assert (done, "a person" in left[0]) == ([], True)


def test_a_target_that_is_down_is_the_answer(node: Node, compute: Compute, attached: tuple[str, str]) -> None:
    compute.has(attached[1])
    node.target.down = "killed"
    done, left = healed(node, attached[0])
    assert (done, "killed" in left[0]) == ([], True)
