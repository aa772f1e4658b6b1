"""The results as a table: what was measured here, the limit, and what the original was measured at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Nova 34 + Cinder 29 with fake hypervisor and storage, keystone, MariaDB and RabbitMQ on a machine of the same kind
# (2 cores), by the same cases. Figures move with the machine; the ratio in one run is what counts.
ORIGINAL = {
    "attach p50, ms": 300,
    "detach p50, ms": 170,
    "attaches/s, 8 clients": 4.3,
    "attaches/s, 32 clients": 3.8,
    "CPU seconds per attach": 0.29,
    "SQL statements per attach": 169,
    "AMQP messages per attach": 21,
    "HTTP requests per attach": 8,
    "list of 10 attachments, ms": 20,
    "list of 100 attachments, ms": 35,
    "list of 1000 attachments, ms": 178,
    "detail of 10 volumes, ms": 30,
    "detail of 100 volumes, ms": 184,
    "detail of 1000 volumes, ms": 1919,
    "memory of the daemons (PSS), MiB": 1473,
    # A row of a page at the cost of a row there: 100 volumes in detail, 100 attachments.
    "page of 100 of 10000 volumes, list, ms": 35,
    "page of 100 of 10000 volumes, detail, ms": 184,
}
# (limit, whether more is better)
LIMITS: dict[str, tuple[float, bool]] = {
    "attach p50, ms": (50, False),
    "detach p50, ms": (35, False),
    "attaches/s, 8 clients": (40, True),
    "attaches/s, 32 clients": (40, True),
    "CPU seconds per attach": (0.036, False),
    "SQL statements per attach": (25, False),
    "AMQP messages per attach": (6, False),
    "HTTP requests per attach": (5, False),
    "list of 10 attachments, ms": (4, False),
    "list of 100 attachments, ms": (7, False),
    "list of 1000 attachments, ms": (35.6, False),
    "detail of 10 volumes, ms": (6, False),
    "detail of 100 volumes, ms": (36.8, False),
    "detail of 1000 volumes, ms": (383.8, False),
    "memory of the daemons (PSS), MiB": (300, False),
    "all five ready, s": (5, False),
    "page of 100 of 10000 volumes, list, ms": (7, False),
    "page of 100 of 10000 volumes, detail, ms": (36.8, False),
    "attach with records / without": (1.10, False),
    "attaches/s, 8 clients, without records / with": (1.10, False),
    "userspace attach / floor": (1.25, False),
    "userspace detach / floor": (1.25, False),
    "kernel attach / floor": (1.25, False),
    "kernel detach / floor": (1.25, False),
}


def figures(results: dict[str, Any]) -> dict[str, float]:
    """The results under the names of the table."""
    return dict(_figures(results))


def _figures(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if "one_client" in results:
        yield "attach p50, ms", results["one_client"]["attach_ms"]["p50"]
        yield "detach p50, ms", results["one_client"]["detach_ms"]["p50"]
    for case in results.get("many_clients", []):
        yield f"attaches/s, {case['clients']} clients", case["attach_per_s"]
    if "cost" in results:
        yield "CPU seconds per attach", results["cost"]["cpu_s"]
        yield "SQL statements per attach", results["cost"]["sql_statements"]
        yield "AMQP messages per attach", results["cost"]["amqp_messages"]
        yield "HTTP requests per attach", results["cost"]["http_requests"]
    for row in results.get("growth", []):
        count = row["attachments"]
        yield f"list of {count} attachments, ms", row["list_ms"]["p50"]
        yield f"detail of {count} volumes, ms", row["volumes_detail_ms"]["p50"]
        yield f"attaches/s up to {count} on one server", row["attach_per_s"]
    if "at_rest" in results:
        yield "memory of the daemons (PSS), MiB", results["at_rest"]["pss_mib"]
        yield "all five ready, s", results["at_rest"]["ready_s"]
    if "pages" in results:
        found = results["pages"]
        for read in ("list", "detail"):
            name = f"page of {found['page']} of {found['volumes']} volumes, {read}"
            yield f"{name}, ms", found[read]["page_ms"]["p50"]
            yield f"{name}, SQL of the first pages", found[read]["statements_first"]
            yield f"{name}, SQL of the last pages", found[read]["statements_last"]
    if "records" in results:
        yield "attach with records / without", results["records"]["attach_ratio"]
        yield "attaches/s, 8 clients, without records / with", results["records"]["rate_ratio"]
        yield "CPU of an attach and detach, with records / without", results["records"]["cpu_ratio"]
    for path in ("userspace", "kernel"):
        if path in results:
            yield f"{path} attach / floor", results[path]["attach_ratio"]
            yield f"{path} detach / floor", results[path]["detach_ratio"]


def table(results: dict[str, Any]) -> str:
    """The table: figure, here, limit, met or not, the original, how many times better; then the kernel path's steps."""
    lines = [f"{'figure':<62}{'here':>8}{'limit':>8}  {'':<6}{'original':>9}{'ratio':>8}"]
    for name, value in figures(results).items():
        limit, more = LIMITS.get(name, (None, False))
        original = ORIGINAL.get(name)
        met = "" if limit is None else "ok" if (value >= limit if more else value <= limit) else "MISSED"
        ratio = "" if not original or not value else f"{(value / original if more else original / value):.1f}x"
        lines.append(f"{name:<62}{value:>8g}{_blank(limit):>8}  {met:<6}{_blank(original):>9}{ratio:>8}")
    return "\n".join([*lines, *_kernel_steps(results)])


def _kernel_steps(results: dict[str, Any]) -> Iterator[str]:
    """What each step took, beside the whole and the bare operations; a step that waits for another holds its time."""
    if "kernel" not in results:
        return
    kernel = results["kernel"]
    for half in ("attach", "detach"):
        real, bare = (kernel[side][half]["p50"] for side in ("real_ms", "floor_ms"))
        yield f"\nkernel {half}: {real:g} ms, bare {bare:g} ms (medians); of it, in milliseconds and shares:"
        for name, mean in sorted(kernel["steps_ms"][half].items(), key=lambda item: -item[1]):
            yield f"    {name:<28}{mean:>10.1f}{mean / real:>8.0%}"
    bare = ", ".join(f"{name} {mean:g}" for name, mean in kernel["floor_steps_ms"].items())
    yield f"\nthe bare operations, in milliseconds: {bare}"


def _blank(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
