"""The benchmark's table: every limit belongs to a figure that a run can have, and is held against it."""

from __future__ import annotations

from typing import Any

from devstack.bench import report

P50 = {"p50": 10.0}
READ = {"page_ms": P50, "statements_first": 3.0, "statements_last": 3.1}
EVERYTHING: dict[str, Any] = {
    "one_client": {"attach_ms": P50, "detach_ms": P50},
    "many_clients": [{"clients": count, "attach_per_s": 10.0} for count in (8, 32)],
    "cost": {"cpu_s": 0.03, "sql_statements": 22, "amqp_messages": 5, "http_requests": 5},
    "growth": [
        {"attachments": count, "list_ms": P50, "volumes_detail_ms": P50, "attach_per_s": 10}
        for count in (10, 100, 1000)
    ],
    "at_rest": {"pss_mib": 250, "ready_s": 2},
    "pages": {"volumes": 10_000, "page": 100, "list": READ, "detail": READ},
    "records": {"attach_ratio": 1.05, "rate_ratio": 1.2, "cpu_ratio": 1.1},
    "userspace": {"attach_ratio": 1.1, "detach_ratio": 1.1},
}


def test_every_limit_and_every_figure_of_the_original_has_a_figure_here() -> None:
    found = set(report.figures(EVERYTHING)) | {"kernel attach / floor", "kernel detach / floor"}
    assert set(report.LIMITS) | set(report.ORIGINAL) <= found


def test_pages_and_records_are_held_against_their_limits() -> None:
    lines = {line[:62].strip(): line[62:].split() for line in report.table(EVERYTHING).splitlines()}
    assert lines["page of 100 of 10000 volumes, list, ms"] == ["10", "7", "MISSED", "35", "3.5x"]
    assert lines["page of 100 of 10000 volumes, detail, ms"] == ["10", "36.8", "ok", "184", "18.4x"]
    assert lines["page of 100 of 10000 volumes, detail, SQL of the last pages"] == ["3.1"]
    assert lines["attach with records / without"] == ["1.05", "1.1", "ok"]
    assert lines["attaches/s, 8 clients, without records / with"] == ["1.2", "1.1", "MISSED"]
