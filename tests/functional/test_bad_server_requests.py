"""Any query and any body for the requests about servers: an answer in the API's form, and 5xx never but 501."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib import parse

import hypothesis
import pytest
import requests
from hypothesis import strategies as st

from nova_lite.api.schemas import servers as schemas
from tests.fixtures import stack as stacks
from tests.functional.test_bad_bodies import ANYTHING
from tests.functional.world import World

# The same examples each time, so that a red run is not green the next time.
BOUNDED = hypothesis.settings(max_examples=120, deadline=None, derandomize=True, database=None)
VERSIONS = ("2.1", "2.26", "2.66", "2.73", "2.75", "2.96", "2.101")
TOKENS = ("ann:bad-servers", "admin:bad-servers")
NAMES = sorted(schemas.LIST_PARAMETERS)
WORDS = (
    "",
    "1",
    "-1",
    "true",
    "active",
    "ACTIVE",
    "deleted",
    "asc",
    "host",
    "^a",
    "(",
    "a{2,1}",
    "[[:x:]]",
    "\\1",
    "(?i)",
)
VALUES = (
    st.sampled_from(WORDS) | st.text(max_size=12) | st.sampled_from(["2026-01-01T00:00:00Z", "9999-12-31", "9" * 30])
)
QUERY = st.lists(st.tuples(st.sampled_from([*NAMES, "colour"]), VALUES), max_size=4)
ACTIONS = st.sampled_from(
    ["lock", "os-resetState", "os-getConsoleOutput", "reboot", "resume", "shelve", "resize", "os-getVNCConsole",
     "trigger_crash_dump", "migrate", "dance"]
)  # fmt: skip


@pytest.fixture(scope="module")
def own(stack: stacks.FunctionalStack) -> Iterator[tuple[World, str]]:
    """A user with one server."""
    world = World(stack, TOKENS[0])
    server = world.server()
    yield world, server
    World(stack, TOKENS[1]).remove(servers=[server])


def checked(answer: requests.Response) -> None:
    """Granted, or refused with one fault that says something."""
    if answer.status_code < 300:
        return
    assert answer.status_code < 500 or answer.status_code == 501, f"{answer.request.url}\n{answer.text}"
    ((_, fault),) = answer.json().items()
    assert fault["code"] == answer.status_code
    assert fault["message"]


def headers(version: str, token: str) -> dict[str, str]:
    """Headers that make the request one of that version and user."""
    return {"OpenStack_API_Version": f"compute {version}", "X_Auth_Token": token}


def test_no_query_makes_the_list_fail(own: tuple[World, str]) -> None:
    world, _ = own

    @BOUNDED
    @hypothesis.given(QUERY, st.sampled_from(VERSIONS), st.sampled_from(TOKENS))
    def ask(query: list[tuple[str, str]], version: str, token: str) -> None:
        text = parse.urlencode(query, errors="replace")
        checked(world.compute("GET", f"/servers?{text}", **headers(version, token)))

    ask()


def test_no_query_makes_the_history_fail(own: tuple[World, str]) -> None:
    world, server = own
    names = st.sampled_from(["limit", "marker", "changes-since", "changes-before", "colour"])

    @BOUNDED
    @hypothesis.given(st.lists(st.tuples(names, VALUES), max_size=3), st.sampled_from(["2.1", "2.58", "2.66"]))
    def ask(query: list[tuple[str, str]], version: str) -> None:
        text = parse.urlencode(query, errors="replace")
        checked(world.compute("GET", f"/servers/{server}/os-instance-actions?{text}", **headers(version, TOKENS[0])))

    ask()


def test_no_body_makes_changes_fail(own: tuple[World, str]) -> None:
    world, server = own
    path = f"/servers/{server}"
    fields = st.fixed_dictionaries(
        {},
        optional={
            "name": st.text(max_size=300) | ANYTHING,
            "description": st.text(max_size=300) | ANYTHING,
            "accessIPv4": st.sampled_from(["1.2.3.4", "1.2.3"]) | ANYTHING,
            "accessIPv6": st.sampled_from(["::1", ":::", "::ffff:1.2.3.4"]) | ANYTHING,
            "hostname": st.text(max_size=70) | ANYTHING,
            "OS-DCF:diskConfig": st.sampled_from(["AUTO", "MANUAL"]) | ANYTHING,
        },
    )
    items = st.dictionaries(st.text(max_size=260), st.text(max_size=260), max_size=3) | ANYTHING
    requests_ = st.one_of(
        st.tuples(st.just("PUT"), st.just(path), fields.map(lambda told: {"server": told})),
        st.tuples(
            st.sampled_from(["PUT", "POST"]), st.just(f"{path}/metadata"), items.map(lambda it: {"metadata": it})
        ),
        st.tuples(st.just("PUT"), st.just(f"{path}/metadata/key"), items.map(lambda it: {"meta": it})),
        st.tuples(
            st.just("PUT"),
            st.just(f"{path}/tags"),
            st.lists(st.text(max_size=70), max_size=4).map(lambda it: {"tags": it}),
        ),
        st.tuples(st.just("POST"), st.just(f"{path}/action"), st.tuples(ACTIONS, ANYTHING).map(lambda it: dict([it]))),
        st.tuples(
            st.sampled_from(["PUT", "POST"]), st.sampled_from([path, f"{path}/action", f"{path}/tags"]), ANYTHING
        ),
    )

    @BOUNDED
    @hypothesis.given(requests_, st.sampled_from(VERSIONS))
    def ask(wanted: tuple[str, str, Any], version: str) -> None:
        method, where, body = wanted
        checked(world.compute(method, where, body, **headers(version, TOKENS[1])))
        assert world.compute("GET", path).status_code == 200

    ask()


def test_no_key_or_tag_in_a_path_makes_it_fail(own: tuple[World, str]) -> None:
    world, server = own

    @BOUNDED
    @hypothesis.given(
        st.sampled_from(["GET", "PUT", "DELETE"]),
        st.sampled_from(["tags", "metadata", "os-instance-actions", "ips"]),
        st.text(min_size=1, max_size=90),
    )
    def ask(method: str, kind: str, name: str) -> None:
        where = f"/servers/{server}/{kind}/{parse.quote(name, safe='', errors='replace')}"
        checked(world.compute(method, where, {"meta": {name: "x"}}, **headers("2.26", TOKENS[0])))

    ask()
