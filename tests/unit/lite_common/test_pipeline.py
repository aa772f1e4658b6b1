"""What every request goes through: ids, versions, projects, bodies, faults."""

import json
from typing import Any

import pytest
import webob

from lite_common import errors
from lite_common.wsgi import auth, expose, microversion, pipeline, routing
from tests.unit.lite_common import rules

BODY = {
    "type": "object",
    "properties": {"thing": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}}},
    "required": ["thing"],
    "additionalProperties": False,
}
QUERY = {
    "type": "object",
    "properties": {"limit": {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+$"}}},
    "additionalProperties": False,
}


class Things:
    @expose.expose(query=QUERY)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        return {
            "project": request.context.project_id,
            "limit": request.value("limit"),
            "v": request.version[1],
        }

    @expose.expose(status=202, body=BODY)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        return {"got": request.body["thing"]}

    @expose.expose(status=202)
    def delete(self, request: expose.ApiRequest, thing: str, part: str) -> None:
        if thing == "gone":
            raise errors.NotFound(f"Thing {thing} part {part} could not be found.")
        if thing == "bug":
            raise KeyError("secret detail")

    @expose.expose(since="2.5", until="2.6")
    def bounded(self, request: expose.ApiRequest) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def app() -> pipeline.Pipeline:
    things = Things()
    routes = [
        routing.Route("GET", "/things", things.index),
        routing.Route("POST", "/things", things.create),
        routing.Route("DELETE", "/things/{thing}/os-parts/{part}", things.delete),
        routing.Route("GET", "/bounded", things.bounded),
    ]
    return pipeline.Pipeline(
        microversion.ApiKind("compute", (2, 1), (2, 101), "X-OpenStack-Nova-API-Version"),
        routing.Router([], {"/v2.1": routes}),
        auth.NoAuth("demo", "s3cret"),
        rules=rules.for_everybody(routes),
        max_body=1000,
        healthy=lambda: None,
    )


def ask(app: pipeline.Pipeline, path: str, method: str = "GET", **kw: Any) -> webob.Response:
    headers = kw.pop("headers", {})
    if "json" in kw:
        kw["body"] = json.dumps(kw.pop("json")).encode()
        headers.setdefault("Content-Type", "application/json")
    return webob.Request.blank(path, method=method, headers=headers, **kw).get_response(app)


def test_an_answer_carries_ids_and_the_version_it_was_given_at(app: pipeline.Pipeline) -> None:
    answer = ask(app, "/v2.1/things", headers={"OpenStack-API-Version": "compute 2.89"})
    assert (answer.status_int, answer.json) == (200, {"project": "demo", "limit": None, "v": 89})
    assert answer.headers["OpenStack-API-Version"] == "compute 2.89"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == "2.89"
    assert answer.headers.getall("Vary") == ["OpenStack-API-Version", "X-OpenStack-Nova-API-Version"]
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, 1),
        ({"X-OpenStack-Nova-API-Version": "2.7"}, 7),
        ({"OpenStack-API-Version": "compute latest"}, 101),
    ],
)
def test_the_version_is_negotiated(app: pipeline.Pipeline, headers: dict[str, str], version: int) -> None:
    assert ask(app, "/v2.1/things", headers=headers).json["v"] == version


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ("2.102", 406, "computeFault"),
        ("3.0", 406, "computeFault"),
        ("2.x", 400, "badRequest"),
        ("banana", 400, "badRequest"),
    ],
)
def test_a_version_we_cannot_serve_is_refused(app: pipeline.Pipeline, asked: str, status: int, name: str) -> None:
    answer = ask(app, "/v2.1/things", headers={"OpenStack-API-Version": f"compute {asked}"})
    assert answer.status_int == status
    assert answer.json[name]["code"] == status
    assert asked in answer.json[name]["message"]


def test_an_operation_outside_its_versions_does_not_exist(app: pipeline.Pipeline) -> None:
    statuses = [ask(app, "/v2.1/bounded", headers={"OpenStack-API-Version": f"compute {v}"}).status_int
                for v in ("2.4", "2.5", "2.6", "2.7")]  # fmt: skip
    assert statuses == [404, 200, 200, 404]


def test_the_project_comes_from_token_url_or_default(app: pipeline.Pipeline) -> None:
    assert ask(app, "/v2.1/p1/things").json["project"] == "p1"
    assert ask(app, "/v2.1/things", headers={"X-Auth-Token": "ann:p2"}).json["project"] == "p2"
    assert ask(app, "/v2.1/p1/things", headers={"X-Auth-Token": "notused"}).json["project"] == "p1"
    clash = ask(app, "/v2.1/p1/things", headers={"X-Auth-Token": "ann:p2"})
    assert clash.status_int == 400
    assert "doesn't match" in clash.json["badRequest"]["message"]


def test_a_body_is_validated_and_handed_over(app: pipeline.Pipeline) -> None:
    good = "0b5f9a52-8a0e-4e2b-9c7c-1f0b0b0b0b0b"
    answer = ask(app, "/v2.1/things", "POST", json={"thing": {"id": good}})
    assert (answer.status_int, answer.json) == (202, {"got": {"id": good}})
    bad = ask(app, "/v2.1/things", "POST", json={"thing": {"id": "zz"}})
    assert bad.json["badRequest"]["message"].startswith("Invalid input for field/attribute id. Value: zz. 'zz' is not")
    assert ask(app, "/v2.1/things", "POST", json={}).json["badRequest"]["message"] == "'thing' is a required property"


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"\xff\xfe", b"null"])
def test_a_body_that_is_no_json_object_is_refused(app: pipeline.Pipeline, body: bytes) -> None:
    answer = ask(app, "/v2.1/things", "POST", body=body, headers={"Content-Type": "application/json"})
    assert (answer.status_int, answer.json["badRequest"]["message"]) == (400, "Malformed request body")


def test_content_type_and_size_are_limited(app: pipeline.Pipeline) -> None:
    xml = ask(app, "/v2.1/things", "POST", body=b"<a/>", headers={"Content-Type": "application/xml"})
    assert (xml.status_int, list(xml.json)) == (415, ["badMediaType"])
    big = ask(app, "/v2.1/things", "POST", body=b"x" * 1001)
    assert (big.status_int, list(big.json)) == (413, ["overLimit"])


def test_query_parameters_are_validated(app: pipeline.Pipeline) -> None:
    assert ask(app, "/v2.1/things?limit=5").json["limit"] == "5"
    message = ask(app, "/v2.1/things?limit=abc").json["badRequest"]["message"]
    assert message.startswith("Invalid input for query parameters limit. Value: abc.")
    assert ask(app, "/v2.1/things?x=1").status_int == 400


def test_path_arguments_reach_the_handler_and_errors_are_told(app: pipeline.Pipeline) -> None:
    done = ask(app, "/v2.1/things/t/os-parts/p?x=1", "DELETE")
    assert (done.status_int, done.body) == (202, b"")
    gone = ask(app, "/v2.1/things/gone/os-parts/7", "DELETE")
    assert gone.json == {"itemNotFound": {"code": 404, "message": "Thing gone part 7 could not be found."}}
    assert gone.headers["OpenStack-API-Version"] == "compute 2.1"


def test_a_bug_is_a_500_without_details(app: pipeline.Pipeline) -> None:
    answer = ask(app, "/v2.1/things/bug/os-parts/7", "DELETE")
    assert answer.status_int == 500
    assert "secret detail" not in answer.text


def test_unknown_paths_and_methods(app: pipeline.Pipeline) -> None:
    assert list(ask(app, "/v2.1/nothing").json) == ["itemNotFound"]
    assert list(ask(app, "/elsewhere").json) == ["itemNotFound"]
    assert list(ask(app, "/v2.1/things", "PATCH").json) == ["badMethod"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_thing_without_its_id_is_not_the_list_of_all(app: pipeline.Pipeline, method: str) -> None:
    assert ask(app, "/v2.1/things").status_int == 200
    assert ask(app, "/v2.1/things/", method=method).status_int == 404
    assert ask(app, "/v2.1/demo/things/", method=method).status_int == 404


def test_healthcheck_needs_nobody(app: pipeline.Pipeline) -> None:
    assert (ask(app, "/healthcheck").status_int, ask(app, "/healthcheck").body) == (200, b"OK\n")
