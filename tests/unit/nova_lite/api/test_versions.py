"""Version documents, and the one table of paths."""

import pytest

from nova_lite.api import routes
from tests.unit.nova_lite.api.conftest import Api


def test_the_list_of_versions(api: Api) -> None:
    answer = api("/")
    legacy, current = answer.json["versions"]
    assert (legacy["id"], legacy["status"], legacy["version"]) == ("v2.0", "DEPRECATED", "")
    assert current == {
        "id": "v2.1", "status": "CURRENT", "version": "2.101", "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z", "links": [{"rel": "self", "href": "http://localhost/v2.1/"}],
    }  # fmt: skip
    assert "OpenStack-API-Version" not in answer.headers


@pytest.mark.parametrize("path", ["/v2.1", "/v2.1/"])
def test_one_version(api: Api, path: str) -> None:
    shown = api(path).json["version"]
    assert (shown["id"], shown["version"], shown["min_version"]) == ("v2.1", "2.101", "2.1")
    assert shown["links"] == [
        {"rel": "self", "href": "http://localhost/v2.1/"},
        {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
    ]
    kind = "application/vnd.openstack.compute+json;version=2.1"
    assert shown["media-types"] == [{"base": "application/json", "type": kind}]


def test_v2_knows_no_microversions(api: Api) -> None:
    answer = api("/v2/flavors", version="2.101")
    assert answer.headers["OpenStack-API-Version"] == "compute 2.1"
    assert set(answer.json["flavors"][0]) == {"id", "name", "links"}
    assert api("/v2/").json["version"]["id"] == "v2.0"


def test_the_image_api_can_be_discovered(api: Api) -> None:
    choices, index = api("/image"), api("/image/versions")
    assert (choices.status_int, index.status_int) == (300, 200)
    assert choices.json == index.json
    (version,) = index.json["versions"]
    assert version["links"] == [{"rel": "self", "href": "http://localhost/image/v2/"}]


def test_links_follow_the_name_by_which_we_are_called(api: Api) -> None:
    shown = api("/v2.1/flavors/42", host="cloud.example:1234").json["flavor"]
    assert shown["links"] == [
        {"rel": "self", "href": "http://cloud.example:1234/v2.1/flavors/42"},
        {"rel": "bookmark", "href": "http://cloud.example:1234/flavors/42"},
    ]


def test_the_table_has_every_path_once(api: Api) -> None:
    table = [
        (route.method, route.path) for route in (*routes.roots(api.controllers), *routes.versioned(api.controllers))
    ]
    assert len(table) == len(set(table))
    assert ("POST", "/servers/{server}/os-volume_attachments") in table


@pytest.mark.parametrize(
    "path", ["os-keypairs", "os-networks", "images", "os-hosts", "os-server-groups", "servers/x/os-interface"]
)
def test_what_is_not_served_does_not_exist(api: Api, path: str) -> None:
    answer = api(f"/v2.1/{path}")
    assert (answer.status_int, list(answer.json)) == (404, ["itemNotFound"])


def test_what_cannot_be_done_to_a_path(api: Api) -> None:
    answer = api("/v2.1/flavors", "PATCH")
    assert (answer.status_int, list(answer.json)) == (405, ["badMethod"])
