"""What is told of actions: who, when, how it ended; also when it failed, was never taken up, or a daemon died."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from lite_common import context, errors
from nova_lite.compute import external_events, history, recovery
from nova_lite.db import actions
from nova_lite.virt import errors as virt_errors
from tests.unit.nova_lite.compute.conftest import BUS_DOWN, Cloud


def told(cloud: Cloud, server: str) -> list[tuple[str, str | None, list[tuple[str, str | None]]]]:
    """The server's actions, the first one first: name, message, events with their results."""
    past = history.ServerHistory(cloud.database)
    found = []
    for action in past.list_actions(cloud.ctx, server, actions.ActionFilters(), deleted_too=True):
        again, events = past.get_action(cloud.ctx, server, str(action.request_id), deleted_too=True)
        assert again.start_time == action.start_time
        found.append((action.action, action.message, [(event.event, event.result) for event in events]))
    return found[::-1]


def new_request(cloud: Cloud) -> context.RequestContext:
    cloud.ctx = context.RequestContext(user_id="alice", project_id="demo", roles=["member"])
    return cloud.ctx


def test_the_life_of_a_server(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(new_request(cloud), server, volume)
    cloud.volumes.detach_volume(new_request(cloud), server, volume)
    cloud.api.stop(new_request(cloud), server)
    cloud.api.start(new_request(cloud), server)
    cloud.api.reboot(new_request(cloud), server, hard=False)
    cloud.api.pause(new_request(cloud), server)
    cloud.api.unpause(new_request(cloud), server)
    cloud.api.delete_server(new_request(cloud), server)
    assert told(cloud, server) == [
        ("create", None, [("compute__do_build_and_run_instance", "Success")]),
        ("attach_volume", None, [("compute_attach_volume", "Success")]),
        ("detach_volume", None, [("compute_detach_volume", "Success")]),
        ("stop", None, [("compute_stop_instance", "Success")]),
        ("start", None, [("compute_start_instance", "Success")]),
        ("reboot", None, [("compute_reboot_instance", "Success")]),
        ("pause", None, [("compute_pause_instance", "Success")]),
        ("unpause", None, [("compute_unpause_instance", "Success")]),
        ("delete", None, [("compute_terminate_instance", "Success")]),
    ]


def test_a_volume_that_grows_is_an_action_of_its_server(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(new_request(cloud), server, volume)
    api = external_events.ExternalEventApi(cloud.database, cloud.rpc)  # type: ignore[arg-type]  # the test's bus
    cloud.connector.sizes[volume] = 2**31
    api.dispatch(new_request(cloud), "volume-extended", server, volume)
    cloud.virt.faults["extend_volume"] = [errors.BackendError("the guest cannot grow its disk")]
    api.dispatch(new_request(cloud), "volume-extended", server, volume)
    cloud.rpc.casts_fail = BUS_DOWN
    api.dispatch(new_request(cloud), "volume-extended", server, volume)
    assert told(cloud, server)[2:] == [
        ("extend_volume", None, [("compute_extend_volume", "Success")]),
        ("extend_volume", "Error", [("compute_extend_volume", "Error")]),
        ("extend_volume", "Error", []),
    ]


@pytest.mark.parametrize(
    ("failure", "details", "traced"),
    [
        (virt_errors.DeviceAttachFailed(volume="v", server="s", reason="no room."), "no room.", False),
        (ZeroDivisionError("secret"), "ZeroDivisionError", True),
    ],
)
def test_a_failed_attach_tells_why(cloud: Cloud, failure: Exception, details: str, traced: bool) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.virt.faults["attach_volume"] = [failure]
    # The test's bus carries bugs back; the real one does not.
    with contextlib.suppress(ZeroDivisionError):
        cloud.volumes.attach_volume(new_request(cloud), server, volume)
    assert told(cloud, server)[-1] == ("attach_volume", "Error", [("compute_attach_volume", "Error")])
    past = history.ServerHistory(cloud.database)
    action, (event,) = past.get_action(cloud.ctx, server, str(cloud.ctx.request_id), deleted_too=False)
    assert details in (event.details or "")
    assert bool(event.traceback) is traced
    assert event.host == "host1"
    assert event.finish_time is not None
    assert action.start_time <= event.start_time <= event.finish_time == action.updated_at


def test_an_action_that_nobody_takes_up_has_failed(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.casts_fail = BUS_DOWN
    for request in (
        lambda ctx: cloud.volumes.attach_volume(ctx, server, volume),
        lambda ctx: cloud.api.stop(ctx, server),
    ):
        with pytest.raises(errors.Unavailable):
            request(new_request(cloud))
    assert told(cloud, server)[1:] == [("attach_volume", "Error", []), ("stop", "Error", [])]


def test_a_delete_without_the_host_is_told_too(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.silence()
    cloud.api.delete_server(new_request(cloud), server)
    assert told(cloud, server)[-1] == ("delete", None, [("api_local_delete", "Success")])


def test_what_is_refused_is_no_action(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    with pytest.raises(errors.NotFound):
        cloud.volumes.attach_volume(cloud.ctx, server, "00000000-0000-4000-8000-000000000000")
    with pytest.raises(errors.Conflict):
        cloud.api.start(cloud.ctx, server)
    assert [name for name, _, _ in told(cloud, server)] == ["create"]


@pytest.mark.parametrize(("begin", "event"), [("stop", "compute_stop_instance"), ("pause", "compute_pause_instance")])
def test_who_goes_on_after_a_crash_ends_the_action_of_the_request(cloud: Cloud, begin: str, event: str) -> None:
    server = cloud.boot().uuid
    cloud.rpc.queue = []
    getattr(cloud.api, begin)(new_request(cloud), server)
    cloud.rpc.queue = None
    assert told(cloud, server)[-1] == (begin, None, [])
    recovery.resume(cloud.host)
    assert told(cloud, server)[-1] == (begin, None, [(event, "Success")])


def test_a_build_that_a_crash_ended_has_failed(cloud: Cloud) -> None:
    cloud.rpc.queue = []
    server = cloud.boot().uuid
    cloud.rpc.queue = None
    cloud.set_server(server, task_state="spawning")
    recovery.resume(cloud.host)
    assert told(cloud, server) == [("create", "Error", [("compute__do_build_and_run_instance", "Error")])]


def test_work_that_nobody_asked_for_is_no_action(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    event = actions.Event("compute_stop_instance", *(cloud.server(server).created_at,) * 2, "Success", "h", None, None)
    assert not actions.add_event(cloud.database, context.admin_context(), server, event)
    assert len(told(cloud, server)) == 1


def test_events_that_cannot_be_stored_stop_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> bool:
        raise errors.Unavailable("The database cannot be reached.")

    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    monkeypatch.setattr(actions, "add_event", broken)
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)


def test_a_page_costs_one_statement_and_a_marker_one_more(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    requests = [cloud.ctx]
    for action in ("stop", "start") * 3:
        requests.append(new_request(cloud))
        getattr(cloud.api, action)(cloud.ctx, server)
    cloud.statements.clear()
    page = actions.list_page(cloud.database, server, actions.ActionFilters(limit=3))
    assert page is not None
    assert [one.request_id for one in page] == [one.request_id for one in requests[:-4:-1]]
    assert len(cloud.statements) == 1
    rest = actions.list_page(cloud.database, server, actions.ActionFilters(limit=9, marker=page[-1].request_id))
    assert rest is not None
    assert [one.request_id for one in rest] == [one.request_id for one in requests[-4::-1]]
    assert len(cloud.statements) == 3
    assert actions.list_page(cloud.database, server, actions.ActionFilters(marker="nobody")) is None
    last = page[0].updated_at
    since = actions.list_page(cloud.database, server, actions.ActionFilters(changes_since=last))
    assert since == page[:1]
    before = actions.list_page(cloud.database, server, actions.ActionFilters(changes_before=page[1].updated_at))
    assert before is not None
    assert len(before) == len(requests) - 1
