"""Methods of HTTP that a path has, has not, or that nobody knows."""

from typing import Any

import pytest
import webob

from lite_common.wsgi import auth, expose, microversion, pipeline, routing
from tests.unit.lite_common import rules


class Things:
    @expose.expose()
    def show(self, request: expose.ApiRequest, thing: str) -> dict[str, Any]:
        return {"thing": thing}

    @expose.expose(status=204)
    def delete(self, request: expose.ApiRequest, thing: str) -> None:
        return None


@pytest.fixture(scope="module")
def app() -> pipeline.Pipeline:
    things = Things()
    routes = [
        routing.Route("GET", "/things/{thing}", things.show),
        routing.Route("DELETE", "/things/{thing}", things.delete),
        routing.Route("DELETE", "/only-deleted/{thing}", things.delete),
    ]
    return pipeline.Pipeline(
        microversion.ApiKind("compute", (2, 1), (2, 101)),
        routing.Router([], {"/v2.1": routes}),
        auth.NoAuth("demo", None),
        rules=rules.for_everybody(routes),
        max_body=1000,
        healthy=lambda: None,
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_a_path_has_not_is_refused_with_those_it_has(app: pipeline.Pipeline, method: str) -> None:
    answer = webob.Request.blank("/v2.1/things/t", method=method).get_response(app)
    assert answer.status_int == 405
    assert answer.headers["Allow"] == "DELETE, GET, HEAD"
    assert answer.json["badMethod"]["code"] == 405


def test_a_path_that_cannot_be_read_has_no_head(app: pipeline.Pipeline) -> None:
    answer = webob.Request.blank("/v2.1/only-deleted/t", method="HEAD").get_response(app)
    assert (answer.status_int, answer.headers["Allow"], answer.body) == (405, "DELETE", b"")


def test_head_is_get_without_the_body(app: pipeline.Pipeline) -> None:
    shown = webob.Request.blank("/v2.1/things/t").get_response(app)
    answer = webob.Request.blank("/v2.1/things/t", method="HEAD").get_response(app)
    assert (answer.status_int, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(shown.body))
    assert answer.content_type == "application/json"
