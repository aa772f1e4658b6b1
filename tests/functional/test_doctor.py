"""`nlite doctor` with both services at work: each side is broken on purpose, found, and healed or said why not.

Afterwards everybody agrees again: the last look of every test ends with exit code 0 or names what is left.
"""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cinder_lite.db import models as cinder_models
from cinder_lite.volume import heal
from nova_lite.cli import main
from nova_lite.compute import reconcile
from nova_lite.db import models as nova_models
from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.world import World

DEVICES, ATTACHMENTS = nova_models.block_device_mapping, cinder_models.volume_attachment
VOLUMES = cinder_models.volumes
AGREE, DISAGREE, NOT_ALL_SEEN, REFUSED = 0, 1, 2, 3


class Clinic(World):
    """A user of a stack of this module's own, with the doctor at hand; `flow` is its way to attach."""

    flow = "attachments"

    def doctor(self, *words: str, token: str | None = None) -> tuple[int, dict[str, Any], str]:
        """Exit code, what it told as JSON, and what went to stderr."""
        out, err = io.StringIO(), io.StringIO()
        where = ["--compute-url", self.stack.compute_url, "--volume-url", self.stack.volume_url]
        argv = [*where, "--token", token or self.token, "doctor", "-f", "json", "--in-motion", "0.0001", *words]
        code = main.Nlite(stdout=out, stderr=err).run(argv)
        return code, json.loads(out.getvalue() or "{}"), err.getvalue()

    def sick(self, thing: str) -> list[tuple[str, str]]:
        """What the doctor finds wrong: side and who would heal it."""
        code, told, _ = self.doctor(thing)
        found = [(one["side"], one["by"]) for item in told["attachments"] for one in item["findings"]]
        assert code == (DISAGREE if found else AGREE), told
        return found

    def cured(self, thing: str) -> list[str]:
        """What was done until all agreed."""
        code, told, err = self.doctor(thing, "--fix")
        assert (code, err) == (AGREE, ""), json.dumps(told, indent=1)
        assert self.sick(thing) == []
        return [text for one in told["healed"] for text in one["done"]]

    def write(self, service: str, statement: sa.Update) -> None:
        """Write to a database behind everybody's back."""
        engine = sa.create_engine(self.stack.databases[service])
        with engine.begin() as conn:
            assert conn.execute(statement).rowcount == 1
        engine.dispose()

    def target_of(self, volume: str) -> Any:
        return next(one for one in self.stack.targets.values() if f"volume-{volume}" in one.exported())


@pytest.fixture(scope="module", params=["attachments", "legacy"])
def stack_of_flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A stack on an exchange of its own, for each of the two ways to attach; on SQLite only, see test_attach_faults."""
    common = {"control_exchange": f"doctor-{request.param}", "rpc_response_timeout": 5, "service_down_time": 4}
    nova = {"DEFAULT": common, "cinder": {"attach_flow": request.param}, "compute": {"finish_interval": 3600}}
    running = stacks.FunctionalStack(
        tmp_path_factory.mktemp(f"doctor-{request.param}"), nova=nova, cinder={"DEFAULT": common}
    )
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def clinic(stack_of_flow: stacks.FunctionalStack, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """Nobody waits for what may still be in motion: the tests know that nothing is."""
    monkeypatch.setattr(heal, "SETTLED_AFTER", 0.0)
    monkeypatch.setattr(reconcile, "RESERVATION_AGE", 0.0)
    made = Clinic(stack_of_flow, "admin:doctor")
    made.flow = str(stack_of_flow.directory.name).rpartition("-")[2].rstrip("0123456789")
    return made


@pytest.fixture
def attached(clinic: Clinic) -> Iterator[tuple[str, str]]:
    """A server with a volume; afterwards nothing is left of either."""
    before = worlds.quiet(clinic.stack)
    server, volume = clinic.server(), clinic.volume()
    clinic.attached(server, volume)
    assert clinic.sick(volume) == clinic.sick(server) == []
    yield server, volume
    clinic.remove(servers=[server], volumes=[volume])
    assert worlds.quiet(clinic.stack) == before


only_attachments = pytest.mark.parametrize("stack_of_flow", ["attachments"], indirect=True)


def device_of(server: str, volume: str) -> Any:
    living = sa.and_(DEVICES.c.instance_uuid == server, DEVICES.c.volume_id == volume, DEVICES.c.deleted == 0)
    return DEVICES.update().where(living)


def test_all_agree_while_somebody_has_the_volume_and_afterwards(clinic: Clinic, attached: tuple[str, str]) -> None:
    server, volume = attached
    code, told, _ = clinic.doctor(volume)
    (one,) = told["attachments"]
    assert (code, one["verdict"], one["server_id"], one["not_seen"]) == (AGREE, "agree", server, [])
    assert one["sides"]["row"]["compute"]["live"]["alias"] == f"ua-{volume}"
    assert one["sides"]["volume"]["export"]["target"]["present"] is True
    secret = clinic.target_of(volume)._targets[f"iqn.2010-10.org.openstack:volume-{volume}"].auth.password
    assert secret not in json.dumps(told)
    assert clinic.detach(server, volume).status_code == 202
    clinic.await_volume(volume, "available")
    stacks.wait_for(lambda: clinic.doctor(volume)[1]["attachments"] == [], 5, "the row is released")


def test_a_target_that_was_deleted_is_made_again(clinic: Clinic, attached: tuple[str, str]) -> None:
    _, volume = attached
    clinic.target_of(volume).lose(f"volume-{volume}")
    assert clinic.sick(volume) == [("target", "cinder-volume")]
    assert ["was made again" in text for text in clinic.cured(volume)] == [True]


def test_a_host_that_is_not_let_in_any_more_is(clinic: Clinic, attached: tuple[str, str]) -> None:
    _, volume = attached
    granted = clinic.target_of(volume).shown([f"volume-{volume}"])[f"volume-{volume}"].initiators
    for initiator in granted:
        clinic.target_of(volume).refuse(f"volume-{volume}", initiator)
    assert clinic.sick(volume) == [("ACL", "cinder-volume")]
    assert ["was completed" in text for text in clinic.cured(volume)] == [True]


@pytest.mark.parametrize(
    ("parts", "sides"),
    [
        ({"live": True, "stored": False}, ["live XML"]),
        ({"live": False, "stored": True}, ["stored XML"]),
        ({"live": True, "stored": True}, ["live XML", "stored XML"]),
    ],
)
def test_a_disk_that_was_taken_out_by_hand_is_given_back(
    clinic: Clinic, attached: tuple[str, str], parts: dict[str, bool], sides: list[str]
) -> None:
    server, volume = attached
    clinic.stack.virt.lose_disk(server, volume, **parts)
    assert clinic.sick(volume) == [(side, "nova-compute") for side in sides]
    assert ["was given back" in text for text in clinic.cured(volume)] == [True]
    disks = clinic.stack.virt.attached_volumes(server)
    assert volume in disks.live & disks.stored


def test_a_row_that_is_gone_has_the_disk_taken_out(clinic: Clinic, attached: tuple[str, str]) -> None:
    server, volume = attached
    clinic.write("nova_lite", device_of(server, volume).values(deleted=DEVICES.c.id))
    assert clinic.sick(volume) == [("nova row", "nova-compute")]
    done = clinic.cured(volume)
    assert any("taken out of the guest" in text for text in done)
    clinic.await_volume(volume, "available")
    assert volume not in clinic.stack.virt.attached_volumes(server).live


def test_a_guest_that_keeps_the_disk_keeps_the_volume(clinic: Clinic, attached: tuple[str, str]) -> None:
    server, volume = attached
    clinic.write("nova_lite", device_of(server, volume).values(deleted=DEVICES.c.id))
    clinic.stack.virt.stubborn.add(server)
    try:
        code, told, _ = clinic.doctor(volume, "--fix")
        assert code == DISAGREE
        assert any("did not let go" in text for one in told["healed"] for text in one["left"])
        # Also the volume's own daemon does not give it to anyone else.
        answer = clinic.volumes("POST", "/os-volume-sides/heal", {"heal": {"volume_id": volume}}).json()["heal"]
        assert answer["done"] == []
        assert any("its guest has the disk" in text for text in answer["left"])
        assert clinic.volume_status(volume) == "in-use"
    finally:
        clinic.stack.virt.stubborn.discard(server)
    clinic.cured(volume)


@only_attachments
def test_an_attachment_that_is_gone_is_put_back_under_a_guest(clinic: Clinic, attached: tuple[str, str]) -> None:
    server, volume = attached
    gone = ATTACHMENTS.update().where(ATTACHMENTS.c.volume_id == volume).values(deleted=True)
    clinic.write("cinder_lite", gone)
    assert ("cinder attachment", "cinder-volume") in clinic.sick(volume)
    assert any("was put back" in text for text in clinic.cured(volume))
    assert clinic.volume_status(volume) == "in-use"
    assert volume in clinic.stack.virt.attached_volumes(server).live


@only_attachments
def test_a_volume_that_was_set_free_under_a_guest_is_claimed_again(clinic: Clinic, attached: tuple[str, str]) -> None:
    _, volume = attached
    reset = {"os-reset_status": {"status": "available", "attach_status": "detached"}}
    assert clinic.volumes("POST", f"/volumes/{volume}/action", reset).status_code == 202
    assert ("cinder attachment", "cinder-volume") in clinic.sick(volume)
    assert any("was put back" in text for text in clinic.cured(volume))
    assert clinic.volume_status(volume) == "in-use"


@pytest.mark.parametrize("status", ["attaching", "detaching"])
def test_a_volume_that_is_stuck_is_settled(clinic: Clinic, attached: tuple[str, str], status: str) -> None:
    server, volume = attached
    clinic.write("cinder_lite", VOLUMES.update().where(VOLUMES.c.id == volume).values(status=status))
    # The older flow's attachment is made in one step, by the last request of an attach.
    legacy = clinic.flow == "legacy" and status == "attaching"
    begun: dict[str, Any] = {"deleted": True} if legacy else {"attach_status": status}
    clinic.write("cinder_lite", ATTACHMENTS.update().where(ATTACHMENTS.c.volume_id == volume).values(**begun))
    assert clinic.sick(volume) == [("cinder volume", "nova-compute")]
    clinic.cured(volume)
    wanted = {"attaching": "in-use", "detaching": "available"}[status]
    assert clinic.volume_status(volume) == wanted
    assert (volume in clinic.stack.virt.attached_volumes(server).live) is (wanted == "in-use")


def test_a_status_that_the_attachment_contradicts_is_corrected(clinic: Clinic, attached: tuple[str, str]) -> None:
    _, volume = attached
    clinic.write("cinder_lite", VOLUMES.update().where(VOLUMES.c.id == volume).values(status="attaching"))
    assert clinic.sick(volume) == [("cinder volume", "cinder-volume")]
    assert ["was corrected" in text for text in clinic.cured(volume)] == [True]
    assert clinic.volume_status(volume) == "in-use"


@pytest.mark.parametrize("status", ["attaching", "reserved", "detaching", "in-use"])
def test_a_volume_that_waits_for_nobody_is_given_back(clinic: Clinic, status: str) -> None:
    volume = clinic.volume()
    clinic.write("cinder_lite", VOLUMES.update().where(VOLUMES.c.id == volume).values(status=status))
    assert clinic.sick(volume) == [("cinder volume", "cinder-volume")]
    clinic.cured(volume)
    assert clinic.volume_status(volume) == "available"
    clinic.remove(volumes=[volume])


@only_attachments
def test_a_dangling_attachment_is_removed(clinic: Clinic) -> None:
    server, volume = clinic.server(), clinic.volume()
    wanted = {"volume_uuid": volume, "instance_uuid": server}
    assert clinic.volumes("POST", "/attachments", {"attachment": wanted}).status_code == 200
    assert ("nova row", "cinder-volume") in clinic.sick(volume)
    clinic.cured(volume)
    assert clinic.volume_status(volume) == "available"
    clinic.remove(servers=[server], volumes=[volume])


def test_what_has_just_changed_is_in_motion(clinic: Clinic) -> None:
    volume = clinic.volume()
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    reserved = VOLUMES.update().where(VOLUMES.c.id == volume).values(status="attaching", updated_at=now)
    clinic.write("cinder_lite", reserved)
    code, told, _ = clinic.doctor(volume, "--in-motion", "60")
    assert (code, told["attachments"][0]["verdict"]) == (AGREE, "in motion")
    clinic.cured(volume)
    clinic.remove(volumes=[volume])


@pytest.mark.parametrize("name", ["nova-lite-compute", "cinder-lite-volume", "nova-lite-api", "cinder-lite-api"])
def test_a_daemon_that_is_down_is_named_and_the_rest_is_told(
    clinic: Clinic, attached: tuple[str, str], name: str
) -> None:
    server, volume = attached
    package = "nova_lite" if name.startswith("nova") else "cinder_lite"
    clinic.stack.stop_one(name)
    try:
        code, told, _ = clinic.doctor(volume)
    finally:
        clinic.stack.start_one(package, name.rpartition("-")[0], name.rpartition("-")[2])
    assert code == NOT_ALL_SEEN
    assert {one["service"] for one in told["unseen"]} == {name.replace("-lite", "")}
    assert told["attachments"][0]["server_id"] == server
    stacks.wait_for(lambda: clinic.doctor(volume)[0] == AGREE, 15, "all are seen again")


def test_a_member_sees_the_own_projects_and_heals_nothing(clinic: Clinic, attached: tuple[str, str]) -> None:
    _, volume = attached
    code, told, _ = clinic.doctor(token="ann:doctor")
    assert (code, [one["volume_id"] for one in told["attachments"]]) == (AGREE, [volume])
    assert told["attachments"][0]["sides"]["row"]["host"] is None
    assert told["attachments"][0]["sides"]["volume"]["export"]["bytes"]["path"] == "(hidden)"
    assert clinic.doctor(token="eve:other")[1]["attachments"] == []
    assert clinic.doctor(volume, token="eve:other")[0] == REFUSED
    clinic.target_of(volume).lose(f"volume-{volume}")
    code, _, err = clinic.doctor(volume, "--fix", token="ann:doctor")
    assert (code, "Policy doesn't allow" in err) == (REFUSED, True)
    clinic.cured(volume)
