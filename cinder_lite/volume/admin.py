"""What operators look at and switch: daemons, pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cinder_lite.db import services, types
from cinder_lite.scheduler import filters, host_state
from lite_common import context, db


class Scheduler(Protocol):
    """The part of the scheduler's RPC client that is used here."""

    def get_pools(self, ctx: context.RequestContext) -> list[dict[str, Any]]:
        """The pools that backends have reported."""


class AdminApi:
    """Operations of administrators. `down_after`: seconds without a heartbeat after which a daemon counts as down."""

    def __init__(self, database: db.Database, scheduler: Scheduler, down_after: float) -> None:
        self._db = database
        self._scheduler = scheduler
        self.down_after = down_after

    def listed(self, host: str | None, binary: str | None) -> list[services.Service]:
        """The daemons, optionally of one host or binary."""
        with self._db.connection() as conn:
            return services.listed(conn, host=host, binary=binary)

    def set_disabled(self, host: str, binary: str, disabled: bool, reason: str | None) -> services.Service:
        """Let a daemon get no more (or again) new volumes. Raises errors.ServiceNotFound."""
        with self._db.connection() as conn:
            return services.set_disabled(conn, host, binary, disabled, reason)

    def pools(
        self, ctx: context.RequestContext, name: str | None = None, volume_type: str | None = None
    ) -> list[dict[str, Any]]:
        """`name` and `capabilities` of each pool, as the scheduler knows them; optionally of one name, or those that
        offer what the volume type's extra specs demand. Raises errors.VolumeTypeNotFound."""
        demands: Mapping[str, str] = {}
        if volume_type is not None:
            with self._db.connection() as conn:
                demands = types.get(conn, volume_type).extra_specs
        found = [pool for pool in self._scheduler.get_pools(ctx) if name in (None, pool["name"])]
        return [pool for pool in found if _offers(pool, demands)]


def _offers(pool: Mapping[str, Any], demands: Mapping[str, str]) -> bool:
    name = pool["name"]
    seen = host_state.Pool(name, name.partition("#")[0], "", pool["capabilities"])
    return filters.capabilities(seen, filters.Request(size=0, extra_specs=demands)) is None
