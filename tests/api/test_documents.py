"""Every operation of both documents is asked with requests made up from them: no 5xx, no answer that is not told.

For each operation schemathesis makes requests that keep the document and requests that break it, at the first and at
the last microversion that has the operation. 501 is the one 5xx that may be: it says that an operation is not served.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from devstack import apis
from lite_common.wsgi import expose, microversion, openapi
from tests.api import things as named
from tests.fixtures import stack as stacks

APIS: dict[str, Callable[[], openapi.Api]] = {"compute": apis.compute, "volume": apis.volume}
# How many requests of each kind for each operation. A run of all is about a minute; NLITE_API_EXAMPLES asks for more.
EXAMPLES = int(os.environ.get("NLITE_API_EXAMPLES", "12"))
CHECKS: Any = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
Operation = tuple[str, str, str, str]


def operations() -> list[Operation]:
    """API, microversion, method and path of every operation: at its last microversion, and at a first that differs."""
    found = []
    for name, build in APIS.items():
        api = build()
        for route, versioned in api.routes():
            told = expose.declared(route.handler)
            last = told.until or api.kind.maximum
            first = (told.since or api.kind.minimum) if versioned else last
            changes = [
                since for pairs in (told.bodies, told.queries, told.statuses) for since, _ in pairs if since > first
            ]
            ends = [first, last] if changes else [last]
            found += [(name, microversion.text(version), route.method, route.path) for version in ends]
    return found


def modes(told: dict[str, Any]) -> list[GenerationMode]:
    """Whether the operation can be asked for something that its document rules out, too."""
    items = [one["schema"].get("items", {}) for one in told["parameters"] if one["in"] == "query"]
    bounded = "requestBody" in told or any("pattern" in one or "enum" in one for one in items)
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if bounded else [])]


@pytest.fixture(scope="session")
def things(stack: stacks.FunctionalStack) -> named.Things:
    """What requests may name."""
    made = named.Things(stack)
    schemathesis.openapi.format("uuid", named.uuids(made))
    return made


@pytest.mark.parametrize("operation", operations(), ids=" ".join)
def test_an_operation(operation: Operation, stack: stacks.FunctionalStack, things: named.Things, seed: int) -> None:
    name, version, method, path = operation
    things.renew()
    document = openapi.document(APIS[name](), microversion.parse(version))
    # Who asks and at which version is not made up here.
    del document["security"], document["components"]["parameters"]["version"]
    told = document["paths"][path][method.lower()]
    told["parameters"] = [one for one in told["parameters"] if "$ref" not in one]
    document["paths"] = {path: {method.lower(): told}}
    schema = schemathesis.openapi.from_dict(document)
    # What breaks the document may also be too long.
    refusals = schema.config.checks.negative_data_rejection
    refusals.expected_statuses = [*refusals.expected_statuses, "413"]
    target = schema[path][method]
    url = stack.compute_url if name == "compute" else stack.volume_url
    base = url.rpartition("/")[0]
    headers = {"OpenStack-API-Version": f"{name} {version}", "X-Auth-Token": named.TOKEN}

    def ask(mode: GenerationMode, data: st.DataObject) -> None:
        case = data.draw(target.as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE:
            for parameter, known in things.paths.items():
                if parameter in case.path_parameters and data.draw(st.integers(0, 3)):
                    case.path_parameters[parameter] = data.draw(st.sampled_from(known))
            case.body = named.steer(data.draw, case.body)
        answer = case.call(base_url=base, headers=headers)
        assert answer.status_code < 500 or named.fault(answer)[0] == "notImplemented", answer.text
        case.validate_response(answer, checks=CHECKS, headers=headers)

    for mode in modes(told):
        wrapped = hypothesis.given(st.just(mode), st.data())(lambda mode, data: ask(mode, data))
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        )
        hypothesis.seed(seed)(settings(wrapped))()


def test_afterwards_the_services_are_whole(things: named.Things) -> None:
    """Runs last in this file: whatever was asked above has broken nothing."""
    things.whole()
