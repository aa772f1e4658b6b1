"""Lists of servers: filters, pages, and whose servers are shown."""

from __future__ import annotations

import pytest

from lite_common import context, errors
from nova_lite.db.server_lists import ServerFilters
from tests.unit.nova_lite.compute.conftest import Cloud


def test_list_filters_and_pages(cloud: Cloud) -> None:
    names = ("alpha", "beta", "alphabet", "gamma")
    by_name = {name: cloud.boot(name=name).uuid for name in names}
    cloud.api.stop(cloud.ctx, by_name["beta"])

    def found(filters: ServerFilters, **arguments: object) -> list[str]:
        return [one.display_name for one in cloud.api.list_servers(cloud.ctx, filters, **arguments)]  # type: ignore[arg-type]

    assert found(ServerFilters()) == ["gamma", "alphabet", "beta", "alpha"]
    assert found(ServerFilters(patterns={"display_name": "^alpha"})) == ["alphabet", "alpha"]
    assert found(ServerFilters(statuses=["SHUTOFF"])) == ["beta"]
    ends_in_a = ServerFilters(statuses=["active", "shutoff"], patterns={"display_name": "a$"})
    assert found(ends_in_a) == ["gamma", "beta", "alpha"]
    assert found(ServerFilters(statuses=["NONSENSE"])) == []
    assert found(ServerFilters(uuids=[by_name["gamma"]])) == ["gamma"]
    assert found(ServerFilters(exact={"host": "elsewhere"})) == []
    assert found(ServerFilters(), sort=[("display_name", "asc")]) == ["alpha", "alphabet", "beta", "gamma"]
    page = found(ServerFilters(), sort=[("display_name", "asc")], limit=2, marker=by_name["alpha"])
    assert page == ["alphabet", "beta"]
    assert found(ServerFilters(), limit=3, marker=by_name["gamma"]) == ["alphabet", "beta", "alpha"]
    cloud.statements.clear()
    found(ServerFilters(patterns={"display_name": "a"}))
    assert len(cloud.statements) == 1


def test_pages_cover_everything_once_even_among_equals(cloud: Cloud) -> None:
    made = {cloud.boot(name="same").uuid for _ in range(5)}
    seen: list[str] = []
    while True:
        page = cloud.api.list_servers(
            cloud.ctx, ServerFilters(), sort=[("name", "asc")], limit=2, marker=seen[-1] if seen else None
        )
        if not page:
            break
        seen += [one.uuid for one in page]
    assert len(seen) == 5
    assert set(seen) == made


def test_list_shows_ones_own_and_admins_everybodys(cloud: Cloud) -> None:
    cloud.boot()
    stranger = context.RequestContext(user_id="eve", project_id="other", roles=["member"])
    assert cloud.api.list_servers(stranger, ServerFilters()) == []
    assert len(cloud.api.list_servers(context.admin_context(), ServerFilters(), all_projects=True)) == 1


def test_list_refuses_what_makes_no_sense(cloud: Cloud) -> None:
    for arguments in ({"marker": "nobody"}, {"sort": [("flavour", "asc")]}):
        with pytest.raises(errors.Invalid):
            cloud.api.list_servers(cloud.ctx, ServerFilters(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(errors.Invalid, match="no regular expression"):
        cloud.api.list_servers(cloud.ctx, ServerFilters(patterns={"display_name": "("}))
