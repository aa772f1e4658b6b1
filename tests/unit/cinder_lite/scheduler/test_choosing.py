"""Filters, weigher and what is known of the pools: no I/O."""

from __future__ import annotations

from typing import Any

import pytest

from cinder_lite.scheduler import core, filters, host_state, weights
from lite_common import errors


def pool(name: str = "h@b#p", zone: str = "nova", **capabilities: Any) -> host_state.Pool:
    known = {
        "total_capacity_gb": 100.0,
        "free_capacity_gb": 100.0,
        "provisioned_capacity_gb": 0.0,
        "max_over_subscription_ratio": 2.0,
        "reserved_percentage": 0,
        "thin_provisioning_support": True,
    }
    return host_state.Pool(name, name.partition("#")[0], zone, known | capabilities)


@pytest.mark.parametrize(
    ("size", "capabilities", "passes"),
    [
        (0, {"total_capacity_gb": 0}, True),
        (1, {"total_capacity_gb": 0}, False),
        (200, {}, True),
        (201, {}, False),
        (200, {"reserved_percentage": 1}, False),
        (198, {"reserved_percentage": 1}, True),
        (101, {"provisioned_capacity_gb": 100}, False),
        (100, {"provisioned_capacity_gb": 100}, True),
        (9999, {"free_capacity_gb": "infinite"}, True),
        (9999, {"total_capacity_gb": "unknown", "free_capacity_gb": "unknown"}, True),
        (100, {"thin_provisioning_support": False}, True),
        (101, {"thin_provisioning_support": False}, False),
        (50, {"thin_provisioning_support": False, "free_capacity_gb": 49}, False),
    ],
)
def test_capacity(size: int, capabilities: dict[str, Any], passes: bool) -> None:
    assert (filters.capacity(pool(**capabilities), filters.Request(size)) is None) is passes


def test_a_thick_type_is_not_overcommitted() -> None:
    thick = {"provisioning:type": "thick"}
    assert filters.capacity(pool(), filters.Request(101, thick)) is not None
    assert filters.capacity(pool(), filters.Request(100, thick)) is None


def test_zone() -> None:
    assert filters.availability_zone(pool(zone="a"), filters.Request(1, availability_zones=("a", "b"))) is None
    assert filters.availability_zone(pool(zone="c"), filters.Request(1)) is None
    reason = filters.availability_zone(pool(zone="c"), filters.Request(1, availability_zones=("a", "b")))
    assert reason == "is in zone c, not in a or b"


@pytest.mark.parametrize(
    ("value", "demand", "passes"),
    [
        ("fast", "fast", True),
        ("Fast", "fast", True),
        ("slow", "fast", False),
        (10, "= 5", True),
        (10, ">= 11", False),
        (10, "<= 10", True),
        (10, "== 10", True),
        (10, "!= 10", False),
        ("x", ">= 1", False),
        ("abc", "s== abc", True),
        ("abc", "s!= abc", False),
        ("abc", "s< abd", True),
        ("a nice disk", "<in> nice", True),
        (True, "<is> True", True),
        (False, "<is> True", False),
        ("ssd", "<or> hdd <or> ssd", True),
        ("tape", "<or> hdd <or> ssd", False),
        (["iSCSI", "iscsi"], "iscsi", True),
        ("iSCSI", "iscsi", True),
    ],
)
def test_matching_of_extra_specs(value: Any, demand: str, passes: bool) -> None:
    assert filters.matches(value, demand) is passes


def test_capabilities_of_foreign_scopes_are_not_asked() -> None:
    assert filters.capabilities(pool(), filters.Request(1, {"provisioning:type": "thin", "RESKEY:x": "y"})) is None
    assert filters.capabilities(pool(disk="ssd"), filters.Request(1, {"capabilities:disk": "ssd"})) is None
    assert filters.capabilities(pool(), filters.Request(1, {"disk": "ssd"})) == "does not report disk"
    assert "multiattach=False" in str(
        filters.capabilities(pool(multiattach=False), filters.Request(1, {"multiattach": "<is> True"}))
    )


def test_the_roomiest_pool_is_first_and_unknown_ones_last() -> None:
    pools = [pool("small", provisioned_capacity_gb=150), pool("big"), pool("odd", free_capacity_gb="unknown")]
    request = filters.Request(1)
    assert [one.name for one in weights.by_capacity(pools, request)] == ["big", "small", "odd"]
    assert [one.name for one in weights.by_capacity(pools, request, -1.0)] == ["small", "big", "odd"]
    assert {weights.by_capacity([pool("a"), pool("b")], request)[0].name for _ in range(100)} == {"a", "b"}


def report(**capabilities: Any) -> dict[str, Any]:
    known = {"pool_name": "p", "free_capacity_gb": 10, "provisioned_capacity_gb": 0, "allocated_capacity_gb": 0}
    return {"storage_protocol": "iSCSI", "pools": [known | capabilities]}


MEMBER = host_state.Member("h@b", "nova")


def test_pools_of_living_backends_with_a_fresh_report() -> None:
    now = [0.0]
    states = host_state.HostStates(60, clock=lambda: now[0])
    assert not states.has_reports()
    states.update("h@b", report())
    assert states.has_reports()
    (found,) = states.pools([MEMBER, host_state.Member("h@other", "nova")])
    assert (found.name, found.host, found.availability_zone) == ("h@b#p", "h@b", "nova")
    assert found.capabilities["storage_protocol"] == "iSCSI"
    assert states.pools([]) == []
    now[0] = 61.0
    assert states.pools([MEMBER]) == []
    states.update("h@b", report())
    assert len(states.pools([MEMBER])) == 1


def test_what_was_given_counts_until_the_next_report_or_until_it_comes_back() -> None:
    states = host_state.HostStates(60)
    states.update("h@b", report())
    states.consume("h@b#p", "volume", 3)
    assert states.pools([MEMBER])[0].capabilities["provisioned_capacity_gb"] == 3
    assert states.pools([MEMBER])[0].capabilities["free_capacity_gb"] == 7
    states.give_back("h@b", "volume")
    states.give_back("h@b", "volume")
    assert states.pools([MEMBER])[0].capabilities["provisioned_capacity_gb"] == 0
    states.consume("h@b#p", "volume", 3)
    states.update("h@b", report(provisioned_capacity_gb=1))
    states.give_back("h@b", "volume")
    assert states.pools([MEMBER])[0].capabilities["provisioned_capacity_gb"] == 1
    states.consume("unknown#p", "volume", 3)


def test_an_unknown_filter_is_named() -> None:
    with pytest.raises(errors.Invalid, match="JsonFilter"):
        core.chosen_filters(["CapacityFilter", "JsonFilter"])
    assert core.chosen_filters(["CapacityFilter"]) == [
        filters.not_tried,
        filters.has_source,
        filters.capacity,
    ]


def test_requests_wait_for_the_first_report_only() -> None:
    states = host_state.HostStates(60)
    done: list[int] = []
    waiting = core.Waiting(states, 60)
    waiting.submit("a", lambda: done.append(1))
    waiting.submit("a", lambda: done.append(1))
    waiting.release()
    assert done == []
    states.update("h@b", report())
    waiting.release()
    waiting.submit("b", lambda: done.append(2))
    assert done == [1, 2]
    impatient = core.Waiting(host_state.HostStates(60), 0)
    impatient.submit("c", lambda: done.append(3))
    assert done == [1, 2, 3]


def test_one_waiting_request_that_fails_stops_no_other() -> None:
    states = host_state.HostStates(60)
    waiting, done = core.Waiting(states, 60), []

    def refused() -> None:
        raise errors.Conflict("no")

    waiting.submit("a", refused)
    waiting.submit("b", lambda: done.append(1))
    states.update("h@b", report())
    waiting.release()
    assert done == [1]


def test_backends_are_asked_again_while_a_request_waits_for_their_first_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = host_state.HostStates(60)
    waiting = core.Waiting(states, 60)
    monkeypatch.setattr(core, "ASK_INTERVAL", 0.0)
    assert not waiting.should_ask(), "nobody waits"
    waiting.submit("a", lambda: None)
    assert waiting.should_ask()
    monkeypatch.setattr(core, "ASK_INTERVAL", 60.0)
    assert not waiting.should_ask(), "they were asked a moment ago"
    monkeypatch.setattr(core, "ASK_INTERVAL", 0.0)
    states.update("h@b", report())
    assert not waiting.should_ask()
