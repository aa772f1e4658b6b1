"""Flavors, as lists and alone."""

from collections.abc import Callable

import pytest
import webob

from lite_common import errors
from nova_lite import flavors
from tests.unit.nova_lite.api.conftest import Api

Message = Callable[[webob.Response], str]

SHORT = {"id", "name", "links"}
LONG = SHORT | {
    "ram", "vcpus", "disk", "swap", "OS-FLV-EXT-DATA:ephemeral", "OS-FLV-DISABLED:disabled",
    "os-flavor-access:is_public", "rxtx_factor",
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "short", "long"),
    [("2.1", SHORT, LONG), ("2.54", SHORT, LONG), ("2.55", SHORT | {"description"}, LONG | {"description"}),
     ("2.61", SHORT | {"description"}, LONG | {"description", "extra_specs"})],
)  # fmt: skip
def test_keys_by_version(api: Api, version: str, short: set[str], long: set[str]) -> None:
    assert set(api("/v2.1/flavors", version=version).json["flavors"][0]) == short
    assert set(api("/v2.1/flavors/detail", version=version).json["flavors"][0]) == long
    assert set(api("/v2.1/flavors/1", version=version).json["flavor"]) == long


def test_no_swap_is_a_text_and_then_a_number(api: Api) -> None:
    assert api("/v2.1/flavors/1", version="2.74").json["flavor"]["swap"] == ""
    assert api("/v2.1/flavors/1", version="2.75").json["flavor"]["swap"] == 0


def test_pages_meet_without_a_gap(api: Api) -> None:
    seen, path = [], "/v2.1/flavors?limit=2"
    for _ in range(10):
        page = api(path).json
        seen += [flavor["id"] for flavor in page["flavors"]]
        if "flavors_links" not in page:
            break
        path = page["flavors_links"][0]["href"].removeprefix("http://localhost")
    assert seen == [flavor.id for flavor in flavors.FlavorTable().all()]


@pytest.mark.parametrize(
    ("query", "ids"),
    [("minRam=4096", ["3", "4", "5"]), ("minDisk=1", []), ("sort_key=flavorid&sort_dir=desc&limit=2", ["84", "5"]),
     ("minRam=4096&sort_dir=desc", ["5", "4", "3"]), ("is_public=true&minRam=8192", ["4", "5"])],
)  # fmt: skip
def test_filters_and_order(api: Api, query: str, ids: list[str]) -> None:
    assert [flavor["id"] for flavor in api(f"/v2.1/flavors?{query}").json["flavors"]] == ids


def test_an_admin_who_asks_for_private_ones_finds_none(api: Api) -> None:
    assert api("/v2.1/flavors?is_public=False", token="admin:demo").json["flavors"] == []


@pytest.mark.parametrize(
    ("query", "told"),
    [("minRam=much", "Invalid minRam filter [much]"), ("minDisk=%C2%B2", "Invalid minDisk filter [²]"),
     ("marker=x", "marker [x] not found"), ("limit=-1", "Invalid input for query parameters limit. Value: -1."),
     ("sort_key=colour", "Invalid input for query parameters sort_key. Value: colour."),
     ("sort_dir=up", "Invalid input for query parameters sort_dir. Value: up.")],
)  # fmt: skip
def test_questions_that_make_no_sense(api: Api, message: Message, query: str, told: str) -> None:
    answer = api(f"/v2.1/flavors?{query}")
    assert answer.status_int == 400
    assert message(answer).startswith(told)


def test_an_unknown_one(api: Api, message: Message) -> None:
    answer = api("/v2.1/flavors/nothing")
    assert (answer.status_int, message(answer)) == (404, "Flavor nothing could not be found.")
    with pytest.raises(errors.NotFound, match="Flavor nothing could not be found"):
        flavors.FlavorTable().get("nothing")


def test_extra_specs() -> None:
    table = flavors.FlavorTable([flavors.Flavor("9", "big", 1, 1, extra_specs={"hw:cpu_policy": "dedicated"})])
    assert table.get("9").extra_specs == {"hw:cpu_policy": "dedicated"}


def test_the_table_is_sorted_by_size() -> None:
    sizes = [flavor.memory_mb for flavor in flavors.FlavorTable().all()]
    assert sizes == sorted(sizes)
