"""User messages (API 3.3): why an action failed after its request had been accepted.

A message is made of the action that failed and a detail, both from the lists of Cinder's API, so that programs can tell
them apart and users of one project learn nothing of hosts and backends; the log has the rest.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from cinder_lite import errors
from cinder_lite.db import messages, paging, volumes
from lite_common import context, db
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)

LIFETIME = 30 * 86400
VOLUME, SNAPSHOT = "VOLUME", "VOLUME_SNAPSHOT"


@dataclass(frozen=True)
class Code:
    """An action or a detail: its number in event ids and its text."""

    id: str
    text: str


SCHEDULE_ALLOCATE_VOLUME = Code("001", "schedule allocate volume")
ATTACH_VOLUME = Code("002", "attach volume")
UPDATE_ATTACHMENT = Code("004", "update attachment")
EXTEND_VOLUME = Code("007", "extend volume")
CREATE_VOLUME_FROM_BACKEND = Code("008", "create volume from backend storage")
SNAPSHOT_CREATE = Code("009", "create snapshot")
SNAPSHOT_DELETE = Code("010", "delete snapshot")
ACTIONS = {
    code.id: code
    for code in (
        SCHEDULE_ALLOCATE_VOLUME,
        ATTACH_VOLUME,
        UPDATE_ATTACHMENT,
        EXTEND_VOLUME,
        CREATE_VOLUME_FROM_BACKEND,
        SNAPSHOT_CREATE,
        SNAPSHOT_DELETE,
    )
}

UNKNOWN_ERROR = Code("001", "An unknown error occurred.")
DRIVER_NOT_INITIALIZED = Code("002", "Driver is not initialized at present.")
NO_BACKEND_AVAILABLE = Code("003", "Could not find any available weighted backend.")
VOLUME_ATTACH_MODE_INVALID = Code("005", "Volume's attach mode is invalid.")
QUOTA_EXCEED = Code("006", "Not enough quota resource for operation.")
NOTIFY_COMPUTE_SERVICE_FAILED = Code("009", "Compute service failed to extend volume.")
DRIVER_FAILED_EXTEND = Code("010", "Volume Driver failed to extend volume.")
DRIVER_FAILED_CREATE = Code("012", "Driver failed to create the volume.")
SNAPSHOT_CREATE_ERROR = Code("013", "Snapshot failed to create.")
SNAPSHOT_IS_BUSY = Code("015", "Snapshot is busy.")
SNAPSHOT_DELETE_ERROR = Code("016", "Snapshot failed to delete.")
DETAILS = {
    code.id: code
    for code in (
        UNKNOWN_ERROR,
        DRIVER_NOT_INITIALIZED,
        NO_BACKEND_AVAILABLE,
        VOLUME_ATTACH_MODE_INVALID,
        QUOTA_EXCEED,
        NOTIFY_COMPUTE_SERVICE_FAILED,
        DRIVER_FAILED_EXTEND,
        DRIVER_FAILED_CREATE,
        SNAPSHOT_CREATE_ERROR,
        SNAPSHOT_IS_BUSY,
        SNAPSHOT_DELETE_ERROR,
    )
}
# Errors that say by themselves what went wrong, whatever was being done.
_TELLING: tuple[tuple[type[BaseException], Code], ...] = (
    (errors.DriverNotInitialized, DRIVER_NOT_INITIALIZED),
    (errors.NoValidBackend, NO_BACKEND_AVAILABLE),
    (errors.InvalidVolumeAttachMode, VOLUME_ATTACH_MODE_INVALID),
    (common_errors.TooLarge, QUOTA_EXCEED),
)


def text(action_id: str, detail_id: str) -> str:
    """What the user reads."""
    action = ACTIONS.get(action_id, Code(action_id, "unknown action"))
    return f"{action.text}:{DETAILS.get(detail_id, UNKNOWN_ERROR).text}"


def detail_of(err: BaseException | None, otherwise: Code = UNKNOWN_ERROR) -> Code:
    """The detail that the error stands for, or `otherwise`."""
    return next((detail for kind, detail in _TELLING if isinstance(err, kind)), otherwise)


@dataclass(frozen=True)
class Messages:
    """Writes messages that live for `lifetime` seconds (option message_ttl)."""

    database: db.Database
    lifetime: float = LIFETIME

    def tell(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        action: Code,
        detail: Code,
        *,
        resource_type: str = VOLUME,
        resource_uuid: str | None = None,
    ) -> None:
        """Tell the volume's project that `action` failed, of the volume or of the resource named (a snapshot of it).

        Whoever calls this has a failure to deal with: that a message could not be written is logged, not raised.
        """
        try:
            with self.database.connection() as conn:
                values = {
                    "project_id": volumes.get(conn, volume_id).project_id or "",
                    "request_id": ctx.request_id,
                    "resource_type": resource_type,
                    "resource_uuid": resource_uuid or volume_id,
                    "event_id": f"VOLUME_{resource_type}_{action.id}_{detail.id}",
                    "action_id": action.id,
                    "detail_id": detail.id,
                    "message_level": "ERROR",
                }
                messages.insert(conn, values, self.lifetime)
        except common_errors.LiteError as err:
            LOG.warning("no message tells the user that %s of %s failed: %s", action.text, volume_id, err.message)

    @contextlib.contextmanager
    def about(
        self, ctx: context.RequestContext, volume_id: str, action: Code, otherwise: Code = UNKNOWN_ERROR
    ) -> Iterator[None]:
        """Raise an error that ends the block, and tell of it, with the detail `otherwise` where the error has none of
        its own; without that, a refusal (4xx) is told by its answer alone."""
        try:
            yield
        except common_errors.LiteError as err:
            detail = detail_of(err, otherwise)
            if err.code >= 500 or detail is not UNKNOWN_ERROR:
                self.tell(ctx, volume_id, action, detail)
            raise


class MessageApi:
    """What cinder-api does with messages."""

    def __init__(self, database: db.Database) -> None:
        self._db = database

    def page(self, project_id: str | None, matches: paging.Matches, wanted: paging.Page) -> list[messages.Message]:
        """A page of the messages of a project (None: any)."""
        with self._db.connection() as conn:
            return messages.page(conn, project_id, matches, wanted)

    def get(self, message_id: str, project_id: str | None) -> messages.Message:
        """One message. Raises errors.MessageNotFound."""
        with self._db.connection() as conn:
            return messages.get(conn, message_id, project_id)

    def delete(self, message_id: str, project_id: str | None) -> None:
        """Remove a message. Raises errors.MessageNotFound."""
        with self._db.connection() as conn:
            messages.delete(conn, message_id, project_id)
