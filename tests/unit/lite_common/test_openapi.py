"""The document of an API is made of its routes and of what `expose` was told, and of nothing else."""

from typing import Any

import pytest
import webob

from lite_common.wsgi import auth, expose, microversion, openapi, pipeline, routing
from lite_common.wsgi.routing import Route
from tests.unit.lite_common import rules

NAME = {"type": "string", "pattern": r"^[a-z]+\Z"}
OLD = {"type": "object", "properties": {"name": NAME}, "additionalProperties": False}
NEW = {"type": "object", "properties": {"name": NAME, "tag": {"type": "string"}}, "additionalProperties": False}
LIST = {"type": "object", "properties": {"limit": {"type": "array", "items": {"type": "string"}}, "sort": {}}}
SHOWN = {"type": "object", "properties": {"thing": {"type": "object"}}, "required": ["thing"]}


class SpareThingsController:
    """Things to spare."""

    @expose.expose(query=LIST)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """All of them.

        Those of others
        are left out.
        """
        return {"things": []}

    @expose.expose(
        status={"2.1": 200, "2.9": 202},
        also=(204,),
        body={"2.1": OLD, "2.5": NEW},
        answer=SHOWN,
        media_types=("text/x",),
    )
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """One more."""
        return {"thing": {}}

    @expose.expose(status=204, since="2.3", until="2.7")
    def delete(self, request: expose.ApiRequest, thing: str, part: str) -> None:
        """One part less."""


@pytest.fixture(scope="module")
def api() -> openapi.Api:
    on = SpareThingsController()
    return openapi.with_document(
        "Things",
        "An API.",
        microversion.ApiKind("compute", (2, 1), (2, 10)),
        "/v2.1",
        [Route("GET", "/", on.index)],
        [
            Route("GET", "/things", on.index),
            Route("POST", "/things", on.create),
            Route("DELETE", "/things/{thing}/parts/{part}", on.delete),
        ],
    )


@pytest.fixture(scope="module")
def app(api: openapi.Api) -> pipeline.Pipeline:
    router = routing.Router(api.roots, {"/v2.1": api.versioned})
    everybody = rules.for_everybody(api.versioned, public=api.roots)
    return pipeline.Pipeline(
        api.kind, router, auth.NoAuth("demo", None), rules=everybody, max_body=1000, healthy=lambda: None
    )


def told(api: openapi.Api, version: microversion.Version, method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = openapi.document(api, version)["paths"][path][method.lower()]
    return found


def test_every_route_is_told(api: openapi.Api) -> None:
    paths = openapi.document(api, (2, 5))["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == {
        ("get", "/"),
        ("get", "/openapi.json"),
        ("get", "/v2.1/openapi.json"),
        ("get", "/v2.1/things"),
        ("post", "/v2.1/things"),
        ("delete", "/v2.1/things/{thing}/parts/{part}"),
    }


def test_an_operation_is_told_where_it_exists(api: openapi.Api) -> None:
    served = [version for version in range(1, 11)
              if "/v2.1/things/{thing}/parts/{part}" in openapi.document(api, (2, version))["paths"]]  # fmt: skip
    assert served == [3, 4, 5, 6, 7]
    bounds = told(api, (2, 5), "DELETE", "/v2.1/things/{thing}/parts/{part}")["x-openstack"]
    assert bounds == {"min-ver": "2.3", "max-ver": "2.7", "changed": []}


def test_texts_come_from_docstrings(api: openapi.Api) -> None:
    index = told(api, (2, 1), "GET", "/v2.1/things")
    assert (index["summary"], index["description"]) == ("All of them.", "Those of others are left out.")
    assert index["tags"] == ["Spare things"]
    assert {"name": "Spare things", "description": "Things to spare."} in openapi.document(api, (2, 1))["tags"]


def test_parameters_of_path_and_query(api: openapi.Api) -> None:
    found = told(api, (2, 5), "DELETE", "/v2.1/things/{thing}/parts/{part}")["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in found[:-1]] == [
        ("thing", "path", True), ("part", "path", True),
    ]  # fmt: skip
    limit, sort, header = told(api, (2, 1), "GET", "/v2.1/things")["parameters"]
    assert limit["schema"] == {"type": "array", "items": {"type": "string"}}
    assert (limit["in"], limit["style"], limit["explode"], limit["required"]) == ("query", "form", True, False)
    assert sort["schema"] == {"type": "array", "items": {"type": "string"}}
    assert header == {"$ref": "#/components/parameters/version"}
    assert [one["name"] for one in told(api, (2, 1), "GET", "/")["parameters"]] == ["limit", "sort"]


@pytest.mark.parametrize(("minor", "members"), [(1, ["name"]), (4, ["name"]), (5, ["name", "tag"])])
def test_the_body_is_the_one_of_the_version(api: openapi.Api, minor: int, members: list[str]) -> None:
    content = told(api, (2, minor), "POST", "/v2.1/things")["requestBody"]["content"]
    assert list(content) == ["application/json", "text/x"]
    assert list(content["application/json"]["schema"]["properties"]) == members
    assert told(api, (2, minor), "POST", "/v2.1/things")["x-openstack"]["changed"] == ["2.5", "2.9"]


def test_patterns_are_those_of_ecmascript(api: openapi.Api) -> None:
    content = told(api, (2, 1), "POST", "/v2.1/things")["requestBody"]["content"]
    assert content["application/json"]["schema"]["properties"]["name"]["pattern"] == "^[a-z]+$"
    assert NAME["pattern"] == r"^[a-z]+\Z"
    assert openapi.portable({"patternProperties": {r"^a\Z": {}}, "properties": {"pattern": NAME}}) == {
        "patternProperties": {"^a$": {}},
        "properties": {"pattern": {"type": "string", "pattern": "^[a-z]+$"}},
    }


def test_answers_are_told_with_their_shape_and_errors_in_the_form_of_the_api(api: openapi.Api) -> None:
    answers = told(api, (2, 1), "POST", "/v2.1/things")["responses"]
    assert answers["200"]["content"]["application/json"]["schema"] == SHOWN
    assert "content" not in answers["204"]
    assert sorted(answers) == sorted(
        ["200", "204", "400", "401", "403", "404", "406", "409", "413", "415", "500", "501", "503"]
    )
    assert "202" in told(api, (2, 9), "POST", "/v2.1/things")["responses"]
    assert not {"406", "409", "415", "501"} & set(told(api, (2, 1), "GET", "/")["responses"])
    fault = openapi.document(api, (2, 1))["components"]["responses"]["413"]["content"]["application/json"]["schema"]
    assert fault["required"] == ["overLimit"]
    assert fault["properties"]["overLimit"]["required"] == ["code", "message", "retryAfter"]


def test_operations_have_names_of_their_own(api: openapi.Api) -> None:
    paths = openapi.document(api, (2, 1))["paths"]
    names = [one["operationId"] for methods in paths.values() for one in methods.values()]
    assert len(names) == len(set(names))
    assert "spare_things.create" in names


def test_the_status_of_the_version_is_the_one_that_is_sent(app: pipeline.Pipeline) -> None:
    for version, status in (("2.8", 200), ("2.9", 202)):
        headers = {"OpenStack-API-Version": f"compute {version}", "Content-Type": "application/json"}
        request = webob.Request.blank("/v2.1/things", method="POST", body=b"{}", headers=headers)
        assert request.get_response(app).status_int == status


@pytest.mark.parametrize("path", ["/openapi.json", "/v2.1/openapi.json"])
def test_the_document_is_served_for_the_newest_version_or_the_one_asked_for(app: pipeline.Pipeline, path: str) -> None:
    newest = webob.Request.blank(path).get_response(app)
    assert (newest.status_int, newest.json["info"]["version"]) == (200, "2.10")
    assert newest.json["servers"] == [{"url": "http://localhost:80"}]
    asked = webob.Request.blank(f"{path}?microversion=2.5").get_response(app)
    assert asked.json["info"]["version"] == "2.5"
    assert "/v2.1/things/{thing}/parts/{part}" in asked.json["paths"]
    assert webob.Request.blank(f"{path}?microversion=latest").get_response(app).json == newest.json


@pytest.mark.parametrize(("asked", "status"), [("banana", 400), ("2.x", 400), ("", 400), ("2.11", 406), ("3.1", 406)])
def test_a_document_of_no_version(app: pipeline.Pipeline, asked: str, status: int) -> None:
    answer = webob.Request.blank(f"/openapi.json?microversion={asked}").get_response(app)
    assert answer.status_int == status, answer.text


def test_an_answer_may_have_no_body_from_a_version_on() -> None:
    class ThingsController:
        """Things."""

        @expose.expose(status={"2.1": 200, "2.5": 202}, answer={"2.1": SHOWN, "2.5": None})
        def create(self, request: expose.ApiRequest) -> None:
            """One."""

    route = Route("POST", "/things", ThingsController().create)
    api = openapi.with_document("T", "", microversion.ApiKind("compute", (2, 1), (2, 9)), "/v2.1", [], [route])
    assert "content" in told(api, (2, 4), "POST", "/v2.1/things")["responses"]["200"]
    assert "content" not in told(api, (2, 5), "POST", "/v2.1/things")["responses"]["202"]
    assert told(api, (2, 5), "POST", "/v2.1/things")["x-openstack"]["changed"] == ["2.5"]
