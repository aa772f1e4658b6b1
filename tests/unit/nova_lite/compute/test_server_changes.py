"""Locks, metadata and tags of servers, under the hands of several at once."""

from __future__ import annotations

from concurrent import futures

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.compute.server_changes import MAX_METADATA, MAX_TAGS, ServerChanges
from tests.unit.nova_lite.compute.conftest import Cloud

ADMIN = context.RequestContext(user_id="admin", project_id="site", roles=["admin"], is_admin=True)


@pytest.fixture
def changes(cloud: Cloud) -> ServerChanges:
    return ServerChanges(cloud.database)


def test_an_update_writes_what_is_given(cloud: Cloud, changes: ServerChanges) -> None:
    server = cloud.boot().uuid
    assert changes.update(cloud.ctx, server, {"display_name": "new"}).display_name == "new"
    assert changes.update(cloud.ctx, server, {"display_description": None}).display_description is None
    assert changes.update(cloud.ctx, server, {}).display_name == "new"


def test_a_lock_is_its_makers(cloud: Cloud, changes: ServerChanges) -> None:
    server = cloud.boot().uuid
    changes.lock(cloud.ctx, server, "mine")
    changes.lock(cloud.ctx, server, "again")
    locked = cloud.server(server)
    assert (locked.locked, locked.locked_by, locked.locked_reason) == (True, "owner", "mine")
    changes.lock(ADMIN, server, "site's")
    locked = cloud.server(server)
    assert (locked.locked_by, locked.locked_reason) == ("admin", "site's")
    with pytest.raises(errors.Forbidden, match="unlock_override"):
        changes.unlock(cloud.ctx, server, override=False)
    changes.unlock(ADMIN, server, override=True)
    free = cloud.server(server)
    assert (free.locked, free.locked_by, free.locked_reason) == (False, None, None)
    changes.unlock(cloud.ctx, server, override=False)


def test_metadata_of_many_hands_is_all_there(cloud: Cloud, changes: ServerChanges) -> None:
    server = cloud.boot(metadata={"first": "x"}).uuid

    def write(number: int) -> None:
        while True:
            try:
                changes.change_metadata(cloud.ctx, server, lambda known: known | {f"key{number}": str(number)})
                return
            except errors.Conflict:
                continue

    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    assert changes.metadata(cloud.ctx, server) == {"first": "x"} | {f"key{n}": str(n) for n in range(12)}


def test_metadata_has_limits(cloud: Cloud, changes: ServerChanges) -> None:
    server = cloud.boot().uuid
    changes.change_metadata(cloud.ctx, server, lambda known: {str(n): "" for n in range(MAX_METADATA)})
    with pytest.raises(nova_errors.TooMuchMetadata):
        changes.change_metadata(cloud.ctx, server, lambda known: known | {"more": ""})
    cloud.set_server(server, task_state="rebooting")
    with pytest.raises(nova_errors.ServerInvalidState, match=r"'update metadata' .* in task_state rebooting"):
        changes.change_metadata(cloud.ctx, server, lambda known: {})
    cloud.set_server(server, vm_state="building")
    with pytest.raises(nova_errors.ServerInvalidState, match=r"'delete metadata' .* in vm_state building"):
        changes.change_metadata(cloud.ctx, server, lambda known: {}, "delete metadata")
    cloud.set_server(server, locked=True)
    with pytest.raises(nova_errors.ServerLocked):
        changes.change_metadata(cloud.ctx, server, lambda known: {})


def test_tags_have_limits(cloud: Cloud, changes: ServerChanges) -> None:
    server, other = cloud.boot().uuid, cloud.boot().uuid
    changes.replace_tags(cloud.ctx, server, [f"tag{n}" for n in range(MAX_TAGS)])
    assert changes.add_tag(cloud.ctx, server, "tag0") is False
    with pytest.raises(nova_errors.TooManyTags, match="per-server limit 50"):
        changes.add_tag(cloud.ctx, server, "more")
    with pytest.raises(nova_errors.TooManyTags):
        changes.replace_tags(cloud.ctx, server, [f"tag{n}" for n in range(MAX_TAGS + 1)])
    assert changes.add_tag(cloud.ctx, other, "more") is True
    assert cloud.api.tags_of([server, other])[other] == ["more"]
    cloud.set_server(other, vm_state="error")
    with pytest.raises(nova_errors.ServerInvalidState, match="'delete tag' "):
        changes.remove_tag(cloud.ctx, other, "more")


def test_another_projects_server_does_not_exist(cloud: Cloud, changes: ServerChanges) -> None:
    server = cloud.boot().uuid
    eve = context.RequestContext(user_id="eve", project_id="other", roles=["member"])
    for attempt in (
        lambda: changes.update(eve, server, {"display_name": "x"}),
        lambda: changes.lock(eve, server),
        lambda: changes.unlock(eve, server, override=False),
        lambda: changes.metadata(eve, server),
        lambda: changes.change_metadata(eve, server, lambda known: {}),
        lambda: changes.tags(eve, server),
        lambda: changes.add_tag(eve, server, "x"),
    ):
        with pytest.raises(nova_errors.ServerNotFound):
            attempt()
