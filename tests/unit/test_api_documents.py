"""The documents of both APIs: complete at every microversion that differs, and valid by the schema of OpenAPI 3.1."""

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from devstack import apis
from lite_common.wsgi import expose, openapi
from lite_common.wsgi.microversion import Version

APIS = {"compute": apis.compute, "volume": apis.volume}
Build = Callable[[], openapi.Api]


@pytest.fixture(params=APIS, name="api")
def each(request: pytest.FixtureRequest) -> openapi.Api:
    return APIS[request.param]()


def versions(api: openapi.Api) -> list[Version]:
    """The first and the last, and each at which something changes."""
    found = {api.kind.minimum, api.kind.maximum}
    for route, _ in api.routes():
        told = expose.declared(route.handler)
        for pairs in (told.bodies, told.queries, told.answers, told.statuses):
            found |= {first for first, _ in pairs}
        found |= {bound for bound in (told.since, told.until) if bound}
        if told.until:
            found.add((told.until[0], told.until[1] + 1))
    return sorted(one for one in found if api.kind.minimum <= one <= api.kind.maximum)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


def test_every_route_is_in_the_document(api: openapi.Api) -> None:
    told = {(method, path) for version in versions(api)
            for method, path, _ in operations(openapi.document(api, version))}  # fmt: skip
    table = {(route.method, route.path) for route, _ in api.routes()}
    assert told == table
    assert len(told) > 25


def test_the_document_is_valid(api: openapi.Api) -> None:
    for version in (api.kind.minimum, api.kind.maximum):
        document = openapi.document(api, version)
        openapi_spec_validator.validate(document, cls=openapi_spec_validator.OpenAPIV31SpecValidator)


def test_every_schema_is_valid(api: openapi.Api) -> None:
    """Also those of the versions in between, which differ in nothing else."""
    for route, _ in api.routes():
        told = expose.declared(route.handler)
        for _, schema in (*told.bodies, *told.queries, *told.answers):
            if schema is not None:
                jsonschema.Draft202012Validator.check_schema(openapi.portable(schema))


def test_every_operation_says_what_it_is_for(api: openapi.Api) -> None:
    for method, path, told in operations(openapi.document(api, api.kind.maximum)):
        assert told["summary"].endswith("."), f"{method} {path} has no docstring"
    for tag in openapi.document(api, api.kind.maximum)["tags"]:
        assert tag["description"], f"the controller of {tag['name']} has no docstring"


def test_patterns_are_those_of_ecmascript(api: openapi.Api) -> None:
    for version in versions(api):
        assert r"\\Z" not in repr(openapi.document(api, version))


def test_a_body_that_is_read_is_told(api: openapi.Api) -> None:
    document = openapi.document(api, api.kind.maximum)
    told = {(method, path) for method, path, one in operations(document) if "requestBody" in one}
    read = {(route.method, route.path) for route, _ in api.routes()
            if (one := expose.declared(route.handler)).bodies and one.serves(api.kind.maximum)}  # fmt: skip
    assert told == read
    assert told
