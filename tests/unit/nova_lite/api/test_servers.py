"""Servers: what a request becomes, what an answer shows, at which microversion."""

from collections.abc import Callable
from typing import Any

import pytest
import webob

from nova_lite.db import attachments, faults
from tests.unit.nova_lite.api.conftest import IMAGE, NOW, OTHER, SERVER, VOLUME, Api, a_server

Message = Callable[[webob.Response], str]

BASE = {
    "id", "name", "status", "tenant_id", "user_id", "created", "updated", "hostId", "accessIPv4", "accessIPv6",
    "addresses", "flavor", "image", "metadata", "links", "progress", "key_name", "config_drive", "security_groups",
    "OS-DCF:diskConfig", "OS-EXT-AZ:availability_zone", "OS-EXT-STS:power_state", "OS-EXT-STS:task_state",
    "OS-EXT-STS:vm_state", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at", "os-extended-volumes:volumes_attached",
}  # fmt: skip
ADMIN = {"OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:instance_name", "OS-EXT-SRV-ATTR:hypervisor_hostname"}
ADMIN_2_3 = {
    f"OS-EXT-SRV-ATTR:{name}"
    for name in (
        "hostname",
        "kernel_id",
        "launch_index",
        "ramdisk_id",
        "reservation_id",
        "root_device_name",
        "user_data",
    )
}
ADDED = [
    ("2.9", {"locked"}),
    ("2.19", {"description"}),
    ("2.26", {"tags"}),
    ("2.63", {"trusted_image_certificates"}),
    ("2.71", {"server_groups"}),
    ("2.73", {"locked_reason"}),
    ("2.90", {"OS-EXT-SRV-ATTR:hostname"}),
    ("2.96", {"pinned_availability_zone"}),
    ("2.100", {"scheduler_hints"}),
]


def asked(**members: Any) -> dict[str, Any]:
    return {"server": {"name": "s1", "flavorRef": "42", "imageRef": IMAGE} | members}


def before(version: str) -> str:
    return f"2.{int(version[2:]) - 1}"


def show(api: Api, version: str = "2.1", token: str = "ann:demo") -> dict[str, Any]:
    shown: dict[str, Any] = api(f"/v2.1/servers/{SERVER}", version=version, token=token).json["server"]
    return shown


def test_the_keys_of_the_first_version(api: Api) -> None:
    assert set(show(api)) == BASE
    assert set(show(api, token="admin:demo")) == BASE | ADMIN
    assert set(show(api, "2.3", token="admin:demo")) == BASE | ADMIN | ADMIN_2_3


@pytest.mark.parametrize(("version", "keys"), ADDED)
def test_each_version_adds_its_keys(api: Api, version: str, keys: set[str]) -> None:
    assert set(show(api, version)) - set(show(api, before(version))) == keys


def test_the_last_version_has_them_all(api: Api) -> None:
    assert set(show(api, "2.101")) == BASE.union(*(keys for _, keys in ADDED))


def test_lists_do_not_tell_of_groups(api: Api) -> None:
    listed = api("/v2.1/servers/detail", version="2.101").json["servers"][0]
    assert set(show(api, "2.101")) - set(listed) == {"server_groups"}


def test_times_are_told_as_upstream_tells_them(api: Api) -> None:
    shown = show(api)
    assert (shown["created"], shown["updated"]) == ("2026-08-01T12:30:15Z", "2026-08-01T12:30:15Z")
    assert shown["OS-SRV-USG:launched_at"] == "2026-08-01T12:30:15.250000"
    assert shown["OS-SRV-USG:terminated_at"] is None


def test_the_flavor_is_a_link_and_then_a_copy(api: Api) -> None:
    bookmark = {"rel": "bookmark", "href": "http://localhost/flavors/42"}
    assert show(api, "2.46")["flavor"] == {"id": "42", "links": [bookmark]}
    assert show(api, "2.47")["flavor"] == {
        "original_name": "m1.nano", "vcpus": 1, "ram": 128, "disk": 0, "ephemeral": 0, "swap": 0, "extra_specs": {},
    }  # fmt: skip


def test_the_image_and_its_properties(api: Api) -> None:
    image = {"id": IMAGE, "links": [{"rel": "bookmark", "href": f"http://localhost/images/{IMAGE}"}]}
    assert show(api, "2.97")["image"] == image
    assert show(api, "2.98")["image"] == image | {"properties": {}}


def test_volumes_are_shown_with_their_fate_from_2_3(api: Api) -> None:
    api.compute.volumes = {SERVER: [attachments.AttachedVolume(VOLUME, True)]}
    assert show(api, "2.2")["os-extended-volumes:volumes_attached"] == [{"id": VOLUME}]
    shown = show(api, "2.3")["os-extended-volumes:volumes_attached"]
    assert shown == [{"id": VOLUME, "delete_on_termination": True}]


def test_volumes_of_a_page_are_asked_for_once(api: Api) -> None:
    api.compute.servers[OTHER] = a_server(uuid=OTHER)
    assert len(api("/v2.1/servers/detail").json["servers"]) == 2
    assert api.compute.calls[1:] == [("volumes_attached_of", (SERVER, OTHER))]


@pytest.mark.parametrize(
    ("states", "status", "progress"),
    [({"vm_state": "building", "task_state": "spawning"}, "BUILD", 0), ({"vm_state": "stopped"}, "SHUTOFF", None),
     ({"task_state": "rebooting"}, "REBOOT", None), ({"task_state": "powering-off"}, "ACTIVE", 100)],
)  # fmt: skip
def test_status_and_progress(api: Api, states: dict[str, str], status: str, progress: int | None) -> None:
    api.compute.servers[SERVER] = a_server(**states)
    shown = show(api)
    assert (shown["status"], shown.get("progress")) == (status, progress)


def test_a_fault_is_shown_when_the_server_is_in_error(api: Api) -> None:
    fault = faults.Fault(SERVER, 500, "No guest", "qemu said no", "host1", NOW)
    api.compute.faults = {SERVER: fault}
    assert "fault" not in show(api)
    api.compute.servers[SERVER] = a_server(vm_state="error")
    assert show(api)["fault"] == {"code": 500, "created": "2026-08-01T12:30:15Z", "message": "No guest"}
    assert show(api, "2.3", token="admin:demo")["fault"]["details"] == "qemu said no"


def test_which_host_is_told_to_admins_and_hinted_to_others(api: Api) -> None:
    first = show(api)["hostId"]
    api.compute.servers[SERVER] = a_server(host="host2")
    assert len(first) == 56
    assert show(api)["hostId"] != first
    api.compute.servers[SERVER] = a_server(host=None, availability_zone=None, vm_state="error")
    assert (show(api)["hostId"], show(api)["OS-EXT-AZ:availability_zone"]) == ("", "")


def test_create_tells_where_to_look(api: Api) -> None:
    answer = api("/v2.1/servers", "POST", json_=asked())
    link = answer.json["server"]["links"][0]["href"]
    assert (answer.status_int, answer.headers["Location"]) == (202, link)
    assert set(answer.json["server"]) == {"id", "links", "OS-DCF:diskConfig", "security_groups"}


@pytest.mark.parametrize("reference", ["42", 42, "http://here/v2.1/flavors/42", "http://here/flavors/42/"])
def test_a_flavor_by_text_number_or_url(api: Api, reference: Any) -> None:
    assert api("/v2.1/servers", "POST", json_=asked(flavorRef=reference)).status_int == 202
    assert api.compute.calls[0][1].flavor.id == "42"


def test_what_is_asked_for_reaches_the_compute_side(api: Api) -> None:
    body = asked(metadata={"a": "b"}, user_data="aGFsbG8=", description="d", hostname="h1", networks="auto")
    assert api("/v2.1/servers", "POST", "2.90", json_=body).status_int == 202
    new = api.compute.calls[0][1]
    assert (new.metadata, new.user_data, new.description, new.hostname) == ({"a": "b"}, "aGFsbG8=", "d", "h1")
    assert (new.name, new.image.id, new.host, new.availability_zone) == ("s1", IMAGE, None, None)


def test_before_2_19_the_description_is_the_name(api: Api) -> None:
    api("/v2.1/servers", "POST", json_=asked())
    assert api.compute.calls[0][1].description == "s1"


@pytest.mark.parametrize(
    "extra", [{"availability_zone": "nova:host2"}, {"availability_zone": "nova:host2:host2"}, {"host": "host2"}]
)
def test_admins_may_choose_a_host(api: Api, message: Message, extra: dict[str, str]) -> None:
    body = asked(networks="none", **extra)
    assert api("/v2.1/servers", "POST", "2.74", token="admin:demo", json_=body).status_int == 202
    assert api.compute.calls[0][1].host == "host2"
    refused = api("/v2.1/servers", "POST", "2.74", json_=body)
    rule = "requested_destination" if "host" in extra else "forced_host"
    assert (refused.status_int, rule in message(refused)) == (403, True)


def test_several_servers_of_one_request_share_a_reservation(api: Api) -> None:
    assert api("/v2.1/servers", "POST", json_=asked(max_count="3")).status_int == 202
    made = [call[1] for call in api.compute.calls]
    assert [(new.name, new.launch_index) for new in made] == [("s1-1", 0), ("s1-2", 1), ("s1-3", 2)]
    assert len({new.reservation_id for new in made}) == 1


def test_several_servers_or_none(api: Api, message: Message) -> None:
    api.compute.fail_at = 2
    answer = api("/v2.1/servers", "POST", json_=asked(min_count=3))
    assert (answer.status_int, message(answer)) == (503, "No valid host was found. None is up.")
    assert [call[0] for call in api.compute.calls] == ["create", "create", "delete", "delete"]


IMAGE_TWICE = {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": 0}


def test_the_image_may_be_said_twice(api: Api) -> None:
    assert api("/v2.1/servers", "POST", json_=asked(block_device_mapping_v2=[IMAGE_TWICE])).status_int == 202


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"imageRef": ""}, "Missing imageRef attribute"),
        ({"imageRef": OTHER}, "Can not find requested image"),
        ({"flavorRef": "4711"}, "Flavor 4711 could not be found."),
        ({"key_name": "k"}, "Invalid key_name provided."),
        ({"config_drive": "true"}, "A config drive cannot be given"),
        ({"user_data": "%%%"}, "Invalid input for field/attribute user_data."),
        ({"availability_zone": "mars"}, "The requested availability zone is not available"),
        ({"min_count": 2, "max_count": 1}, "min_count must be <= max_count"),
        ({"min_count": 0}, "Invalid input for field/attribute min_count."),
        ({"max_count": 101}, "Invalid input for field/attribute max_count."),
        ({"name": ""}, "Invalid input for field/attribute name."),
        ({"name": "x" * 256}, "Invalid input for field/attribute name."),
        ({"name": " s"}, "Invalid input for field/attribute name."),
        ({"name": "s\u0007"}, "Invalid input for field/attribute name."),
        ({"name": 5}, "Invalid input for field/attribute name."),
        ({"flavorRef": None}, "Invalid input for field/attribute flavorRef."),
        ({"metadata": {"a": 1}}, "Invalid input for field/attribute a."),
        (
            {"block_device_mapping_v2": [IMAGE_TWICE | {"destination_type": "volume"}]},
            "Block Device Mapping is Invalid",
        ),
        ({"block_device_mapping_v2": [IMAGE_TWICE | {"uuid": OTHER}]}, "Block Device Mapping is Invalid"),
        ({"colour": "red"}, "Invalid input for field/attribute server."),
    ],
)
def test_requests_that_are_refused(api: Api, message: Message, members: dict[str, Any], told: str) -> None:
    answer = api("/v2.1/servers", "POST", json_=asked(**members))
    assert answer.status_int == 400
    assert message(answer).startswith(told)
    assert api.compute.calls == []


@pytest.mark.parametrize("name", ["s", "ключ 1", "日本語", "x" * 255, "a b"])
def test_names(api: Api, name: str) -> None:
    assert api("/v2.1/servers", "POST", json_=asked(name=name)).status_int == 202
    assert api.compute.calls[0][1].name == name


@pytest.mark.parametrize(
    ("version", "networks", "status"),
    [("2.36", None, 202), ("2.36", "none", 400), ("2.37", None, 400), ("2.37", "none", 202), ("2.37", "auto", 202),
     ("2.37", "all", 400), ("2.101", [], 202), ("2.101", [{"uuid": OTHER}], 202), ("2.41", [{"tag": "t"}], 400),
     ("2.42", [{"tag": "t"}], 202)],
)  # fmt: skip
def test_networks_are_accepted_in_the_form_of_the_version(api: Api, version: str, networks: Any, status: int) -> None:
    members = {} if networks is None else {"networks": networks}
    assert api("/v2.1/servers", "POST", version, json_=asked(**members)).status_int == status


def test_scheduler_hints_may_stand_beside_the_server(api: Api) -> None:
    for key in ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"):
        assert api("/v2.1/servers", "POST", json_=asked() | {key: {}}).status_int == 202


def test_update(api: Api) -> None:
    answer = api(f"/v2.1/servers/{SERVER}", "PUT", json_={"server": {"name": "new"}})
    assert (answer.status_int, answer.json["server"]["name"]) == (200, "new")
    api(f"/v2.1/servers/{SERVER}", "PUT", "2.19", json_={"server": {"name": "new", "description": None}})
    told = {"accessIPv4": "1.1.1.1", "accessIPv6": "0:0:0:0:0:babe:220.12.22.2", "OS-DCF:diskConfig": "AUTO"}
    answer = api(f"/v2.1/servers/{SERVER}", "PUT", json_={"server": told})
    assert [values for _, _, values in api.changes.calls] == [
        {"display_name": "new"},
        {"display_name": "new", "display_description": None},
        {"access_ip_v4": "1.1.1.1", "access_ip_v6": "::babe:dc0c:1602", "auto_disk_config": True},
    ]
    assert {name: answer.json["server"][name] for name in told} == told | {"accessIPv6": "::babe:dc0c:1602"}


@pytest.mark.parametrize(
    ("version", "told", "status"),
    [("2.1", {"accessIPv4": "1.1.1.256"}, 400), ("2.1", {"accessIPv4": "1.1.1"}, 400), ("2.1", {"accessIPv4": ""}, 200),
     ("2.1", {"accessIPv6": "1.1.1.1"}, 400), ("2.1", {"accessIPv6": ":::"}, 400), ("2.1", {"accessIPv6": ""}, 200),
     ("2.1", {"accessIPv6": "fe80::1%eth0"}, 400), ("2.89", {"hostname": "new"}, 400),
     ("2.90", {"hostname": "new"}, 200), ("2.90", {"hostname": "no name"}, 400)],
)  # fmt: skip
def test_update_checks_addresses_and_names(api: Api, version: str, told: dict[str, str], status: int) -> None:
    assert api(f"/v2.1/servers/{SERVER}", "PUT", version, json_={"server": told}).status_int == status


def test_before_275_the_answer_to_an_update_is_short(api: Api) -> None:
    body = {"server": {"name": "new"}}
    short = api(f"/v2.1/servers/{SERVER}", "PUT", "2.74", json_=body).json["server"]
    full = api(f"/v2.1/servers/{SERVER}", "PUT", "2.75", json_=body).json["server"]
    gone = {name for name in full if name.startswith(("OS-EXT-", "OS-SRV-USG", "os-extended"))}
    assert full.keys() - short.keys() == gone | {"key_name", "config_drive", "security_groups"}


def test_delete(api: Api) -> None:
    answer = api(f"/v2.1/servers/{SERVER}", "DELETE")
    assert (answer.status_int, answer.body) == (204, b"")


def test_another_projects_server_does_not_exist(api: Api, message: Message) -> None:
    answer = api(f"/v2.1/servers/{SERVER}", token="ann:other")
    assert (answer.status_int, message(answer)) == (404, f"Instance {SERVER} could not be found.")


def test_metadata_has_a_limit(api: Api, message: Message) -> None:
    for number, status in ((128, 202), (129, 403)):
        answer = api("/v2.1/servers", "POST", json_=asked(metadata={f"key{n}": "" for n in range(number)}))
        assert answer.status_int == status
    assert message(answer) == "Maximum number of metadata items exceeds 128"
