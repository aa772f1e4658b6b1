"""Lists of servers: what the query string asks for, as it reaches the compute side, and what is refused."""

import datetime
from typing import Any

import pytest

from tests.unit.nova_lite.api.conftest import IMAGE, SERVER, Api, a_server


def filters(api: Api, query: str, token: str = "admin:demo", version: str = "2.1") -> Any:
    answer = api(f"/v2.1/servers?{query}", token=token, version=version)
    assert answer.status_int == 200
    listed = [call for call in api.compute.calls if call[0] == "list"]
    return listed[-1][1] if listed else None


def test_filters_reach_the_compute_side(api: Api) -> None:
    found = filters(api, f"name=^s&status=ACTIVE&status=error&host=h&user_id=u&image={IMAGE}&uuid={SERVER}")
    assert (found.patterns, found.statuses) == ({"display_name": "^s"}, ("ACTIVE", "ERROR"))
    assert found.exact == {"host": "h", "user_id": "u", "image_ref": IMAGE}
    assert (found.uuids, found.deleted) == ((SERVER,), False)
    found = filters(api, "flavor=42&power_state=1&task_state=deleting&launch_index=0&locked=true", version="2.73")
    assert found.exact == {
        "flavor_id": "42", "power_state": 1, "task_state": "deleting", "launch_index": 0, "locked": True
    }  # fmt: skip


def test_tags_in_filters(api: Api) -> None:
    query = "tags=a,b&tags-any=c&not-tags=d,&not-tags-any=e"
    found = filters(api, query, version="2.26")
    assert (found.tags, found.tags_any, found.not_tags, found.not_tags_any) == (("a", "b"), ("c",), ("d",), ("e",))
    # Before 2.26 there are none, and parameters without a meaning are dropped.
    assert filters(api, query, version="2.25").tags == ()


def test_everybodys_servers(api: Api) -> None:
    for text, wanted in (("", True), ("1", True), ("Yes", True), ("0", False), ("off", False)):
        assert api(f"/v2.1/servers?all_tenants={text}", token="admin:demo").status_int == 200
        assert api.compute.calls[-1][2]["all_projects"] is wanted
    assert api("/v2.1/servers?all_tenants=some", token="admin:demo").status_int == 400


def test_times_in_filters(api: Api) -> None:
    found = filters(api, "changes-since=2026-08-01T12:00:00%2B02:00")
    assert found.changes_since == datetime.datetime(2026, 8, 1, 10)
    found = filters(api, "changes-since=2026-08-01T12:00:00Z")
    # Who asks for changes wants to know of deletions too.
    assert (found.changes_since, found.deleted) == (datetime.datetime(2026, 8, 1, 12), None)
    assert filters(api, "changes-since=2026-08-01T12:00:00Z&deleted=0").deleted is False
    found = filters(api, "changes-before=2026-08-01T12:00:00Z", version="2.66")
    assert (found.changes_before, found.deleted) == (datetime.datetime(2026, 8, 1, 12), None)
    assert filters(api, "changes-before=2026-08-01T12:00:00Z", version="2.65").changes_before is None
    swapped = "changes-before=2026-08-01T12:00:00Z&changes-since=2026-08-01T12:00:01Z"
    assert api(f"/v2.1/servers?{swapped}", version="2.66").status_int == 400


def test_filters_for_admins_mean_nothing_from_others(api: Api) -> None:
    found = filters(api, "host=h&deleted=true&user_id=u&project_id=p", token="ann:demo")
    assert (found.exact, found.deleted, found.project_id) == ({}, False, None)


def test_states_in_filters(api: Api) -> None:
    assert filters(api, "vm_state=Active").vm_states == ["active"]
    found = filters(api, "vm_state=active&status=REBOOT&status=ERROR")
    assert (found.vm_states, found.statuses) == (["active"], ("ERROR", "REBOOT"))
    assert filters(api, "status=DELETED").deleted is True
    assert filters(api, "vm_state=deleted").deleted is True


@pytest.mark.parametrize(
    "query", ["ip=10.0.0.1", "power_state=x", "locked_by=nobody", "status=SLEEPY", "launch_index=" + "9" * 99]
)
def test_filters_that_nobody_passes_ask_nobody(api: Api, query: str) -> None:
    assert api(f"/v2.1/servers?{query}").json == {"servers": []}
    assert api.compute.calls == []


@pytest.mark.parametrize("query", ["deleted=False", "config_drive=False", "ip=", "soft_deleted=0"])
def test_filters_that_everybody_passes(api: Api, query: str) -> None:
    assert len(api(f"/v2.1/servers?{query}").json["servers"]) == 1


@pytest.mark.parametrize(
    ("query", "version", "status"),
    [("status=SLEEPY", "2.38", 400), ("status=DELETED", "2.1", 403), ("created_at=2026", "2.1", 400),
     ("vm_state=deleted", "2.1", 403), ("sort_key=host", "2.1", 403), ("sort_key=node", "2.1", 403),
     ("changes-since=soon", "2.1", 400), ("limit=x", "2.1", 400), ("sort_dir=up", "2.1", 400),
     ("colour=red", "2.75", 400), ("limit=" + "9" * 400, "2.1", 400)],
)  # fmt: skip
def test_filters_that_are_refused(api: Api, query: str, version: str, status: int) -> None:
    assert api(f"/v2.1/servers?{query}", version=version).status_int == status
    assert api.compute.calls == []


def test_pages_end_in_a_link_that_keeps_the_question(api: Api) -> None:
    for number in range(5):
        api.compute.servers[str(number)] = a_server(uuid=str(number))
    answer = api("/v2.1/servers?limit=3&status=ACTIVE&marker=zzz").json
    assert len(answer["servers"]) == 3
    (link,) = answer["servers_links"]
    assert link == {"rel": "next", "href": "http://localhost/v2.1/servers?limit=3&status=ACTIVE&marker=1"}
    assert api.compute.calls[0][2]["marker"] == "zzz"


def test_the_longest_page_is_the_servers(api: Api) -> None:
    api("/v2.1/servers?limit=5000")
    assert api.compute.calls[0][2]["limit"] == 5


def test_sorting_reaches_the_compute_side(api: Api) -> None:
    api("/v2.1/servers?sort_key=display_name&sort_dir=asc&sort_key=uuid")
    assert api.compute.calls[0][2]["sort"] == [("display_name", "asc"), ("uuid", "desc")]
    api("/v2.1/servers?sort_key=locked&sort_key=os_type")
    assert api.compute.calls[1][2]["sort"] == []
    api("/v2.1/servers?sort_key=locked", version="2.73")
    assert api.compute.calls[2][2]["sort"] == [("locked", "desc")]
