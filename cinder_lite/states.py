"""States of volumes and attachments, and every legal move between them as data.

The moves are made by compare-and-swap in `db/`; nothing else writes `volumes.status`, `volumes.attach_status` or
`volume_attachment.attach_status`. Source of states and guards: Cinder's volume and attachment APIs.
"""

from __future__ import annotations

from collections.abc import Iterable

from lite_common import fsm

CREATING = "creating"
AVAILABLE = "available"
RESERVED = "reserved"
ATTACHING = "attaching"
IN_USE = "in-use"
DETACHING = "detaching"
DELETING = "deleting"
ERROR = "error"
ERROR_DELETING = "error_deleting"
DELETED = "deleted"
MAINTENANCE = "maintenance"
EXTENDING = "extending"
ERROR_EXTENDING = "error_extending"
RETYPING = "retyping"

DETACHED = "detached"
ATTACHED = "attached"
ERROR_ATTACHING = "error_attaching"
ERROR_DETACHING = "error_detaching"

# A volume under migration may not change hands; these values mean that none runs.
IDLE_MIGRATION = frozenset({None, "deleting", "error", "success"})
# error_deleting too, or a volume whose deletion failed once could never be deleted.
DELETABLE = frozenset({AVAILABLE, ERROR, ERROR_DELETING, "error_restoring", ERROR_EXTENDING, "error_managing"})
# Work that decides at its own end, by the volume's attach_status, what the volume is then.
ENDS_BY_ITSELF = frozenset({EXTENDING, RETYPING})

# What an administrator may reset a volume's states to (db/resets.py). `deleting`, `error_deleting`, `detaching`,
# `extending` and `retyping` are not among them: each promises that a daemon is at work, or was.
RESETTABLE = frozenset(
    {
        CREATING, AVAILABLE, ERROR, ATTACHING, IN_USE, MAINTENANCE, RESERVED, "managing", "error_managing",
        "restoring-backup", "error_restoring", "awaiting-transfer", "backing-up", "error_backing-up", "error_extending",
        "downloading", "uploading",
    }
)  # fmt: skip
RESETTABLE_MIGRATION = frozenset({"migrating", "error", "success", "completing", "none", "starting"})

Move = fsm.Move

VOLUME = fsm.table(
    (
        Move("created", {"status": CREATING}, {"status": AVAILABLE}, "cinder-volume made the volume."),
        Move(
            "create_failed",
            {"status": frozenset({CREATING, "downloading"})},
            {"status": ERROR},
            "No backend took the volume, the last attempt failed, or its daemon died meanwhile.",
        ),
        Move("begin_attaching", {"status": AVAILABLE}, {"status": ATTACHING}, "cinder-api: os-reserve."),
        Move(
            "begin_attaching_shared",
            {"status": frozenset({AVAILABLE, IN_USE}), "multiattach": True},
            {"status": ATTACHING},
            "cinder-api: os-reserve of a volume whose type allows several attachments.",
        ),
        Move(
            "unreserve",
            {"status": ATTACHING},
            {"status": AVAILABLE},
            "cinder-api: os-unreserve, and the end of os-terminate_connection; in-use where an attachment is left.",
        ),
        Move("reserve", {"status": AVAILABLE}, {"status": RESERVED}, "cinder-api: POST /attachments."),
        Move(
            "reserve_shared",
            {"status": frozenset({AVAILABLE, IN_USE}), "multiattach": True},
            {"status": RESERVED},
            "cinder-api: POST /attachments of a volume whose type allows several attachments.",
        ),
        Move(
            "connect",
            {"status": frozenset({RESERVED, ATTACHING, IN_USE})},
            {"status": ATTACHING, "attach_status": ATTACHING},
            "cinder-volume: PUT /attachments, after the export is there.",
        ),
        Move(
            "complete",
            {"status": frozenset({RESERVED, ATTACHING, IN_USE})},
            {"status": IN_USE, "attach_status": ATTACHED},
            "cinder-api: os-complete.",
        ),
        Move(
            "attach",
            {"status": frozenset({AVAILABLE, ATTACHING})},
            {"status": IN_USE, "attach_status": ATTACHED},
            "cinder-volume: os-attach.",
        ),
        Move(
            "attach_shared",
            {"status": frozenset({AVAILABLE, ATTACHING, IN_USE}), "multiattach": True},
            {"status": IN_USE, "attach_status": ATTACHED},
            "cinder-volume: os-attach of a volume whose type allows several attachments.",
        ),
        Move(
            "begin_detaching",
            {"status": IN_USE, "attach_status": ATTACHED, "migration_status": IDLE_MIGRATION},
            {"status": DETACHING},
            "cinder-api: os-begin_detaching.",
        ),
        Move("roll_detaching", {"status": DETACHING}, {"status": IN_USE}, "cinder-api: os-roll_detaching."),
        Move(
            "release",
            {"status": frozenset({DETACHING, IN_USE, ATTACHING})},
            {"status": AVAILABLE, "attach_status": DETACHED},
            "cinder-volume: os-detach of a volume that has no attachment.",
        ),
        Move(
            "begin_deleting",
            {"status": DELETABLE, "migration_status": IDLE_MIGRATION},
            {"status": DELETING},
            "cinder-api: DELETE of a volume that is not attached.",
        ),
        Move(
            "begin_deleting_forced",
            {"migration_status": IDLE_MIGRATION},
            {"status": DELETING},
            "cinder-api: os-force_delete, and DELETE with force, of a volume that is not attached, in any status.",
        ),
        Move("delete_failed", {"status": DELETING}, {"status": ERROR_DELETING}, "cinder-volume could not delete it."),
        Move("delete_refused", {"status": DELETING}, {"status": AVAILABLE}, "cinder-volume found it in use."),
        Move(
            "begin_extending",
            {"status": AVAILABLE, "migration_status": IDLE_MIGRATION},
            {"status": EXTENDING},
            "cinder-api: os-extend.",
        ),
        Move(
            "begin_extending_attached",
            {"status": IN_USE, "attach_status": ATTACHED, "migration_status": IDLE_MIGRATION},
            {"status": EXTENDING},
            "cinder-api: os-extend of an attached volume, from 3.42 on.",
        ),
        Move(
            "extended",
            {"status": EXTENDING},
            {"status": AVAILABLE},
            "cinder-volume: the volume has its new size; in-use where it is attached.",
        ),
        Move(
            "extend_refused",
            {"status": EXTENDING},
            {"status": AVAILABLE},
            "The backend has no room for it, or nobody could be told; in-use where it is attached.",
        ),
        Move("extend_failed", {"status": EXTENDING}, {"status": ERROR_EXTENDING}, "cinder-volume could not do it."),
        Move(
            "begin_retyping",
            {"status": frozenset({AVAILABLE, IN_USE}), "migration_status": IDLE_MIGRATION},
            {"status": RETYPING},
            "cinder-api: os-retype.",
        ),
        Move(
            "retyped",
            {"status": RETYPING},
            {"status": AVAILABLE},
            "cinder-volume: the volume has its new type; in-use where it is attached.",
        ),
        Move(
            "retype_refused",
            {"status": RETYPING},
            {"status": AVAILABLE},
            "Its backend does not offer what the type demands; in-use where it is attached.",
        ),
        Move(
            "export_lost",
            {"status": IN_USE},
            {"status": ERROR},
            "cinder-volume could not restore the export of an attached volume at its start.",
        ),
    )
)

ATTACHMENT = fsm.table(
    (
        Move(
            "connect",
            {"attach_status": frozenset({RESERVED, ATTACHING, ERROR_ATTACHING})},
            {"attach_status": ATTACHING},
            "cinder-volume: PUT /attachments, after the export is there.",
        ),
        Move(
            "complete",
            {"attach_status": frozenset({RESERVED, ATTACHING})},
            {"attach_status": ATTACHED},
            "cinder-api: os-complete.",
        ),
        Move(
            "remove", {"deleted": False}, {"attach_status": DETACHED}, "cinder-api: DELETE; cinder-volume: os-detach."
        ),
        Move(
            "detach_failed",
            {"deleted": False},
            {"attach_status": ERROR_DETACHING},
            "cinder-volume could not detach (old flow).",
        ),
    )
)

# error_deleting too, or a snapshot whose deletion failed once could never be deleted.
DELETABLE_SNAPSHOT = frozenset({AVAILABLE, ERROR, ERROR_DELETING})
# What an administrator may set a snapshot to; one set to `deleting` is deleted by the next look at what was lost.
SNAPSHOT_STATES = (AVAILABLE, CREATING, DELETING, ERROR, ERROR_DELETING)
# What whoever makes or deletes a snapshot outside of this service may tell of it, by the move that tells it.
TOLD = {
    "tell_creating": frozenset({CREATING, AVAILABLE, ERROR}),
    "tell_deleting": frozenset({DELETING, ERROR_DELETING}),
}

SNAPSHOT = fsm.table(
    (
        Move(
            "created",
            {"status": CREATING},
            {"status": AVAILABLE, "progress": "100%"},
            "cinder-volume made the snapshot.",
        ),
        Move("create_failed", {"status": CREATING}, {"status": ERROR}, "cinder-volume could not make it."),
        Move(
            "begin_deleting",
            {"status": DELETABLE_SNAPSHOT},
            {"status": DELETING},
            "cinder-api: DELETE, of the snapshot or of its volume with cascade.",
        ),
        Move("force_deleting", {}, {"status": DELETING}, "cinder-api: os-force_delete, from any state."),
        Move("delete_refused", {"status": DELETING}, {"status": AVAILABLE}, "cinder-volume found it in use."),
        Move("delete_failed", {"status": DELETING}, {"status": ERROR_DELETING}, "cinder-volume could not delete it."),
        Move("reset", {}, {"status": AVAILABLE}, "cinder-api: os-reset_status, to any state that is asked for."),
        Move(
            "tell_creating",
            {"status": CREATING},
            {"status": AVAILABLE},
            "cinder-api: os-update_snapshot_status; or to error, or it stays, with a new progress.",
        ),
        Move(
            "tell_deleting",
            {"status": DELETING},
            {"status": ERROR_DELETING},
            "cinder-api: os-update_snapshot_status; or it stays, with a new progress.",
        ),
    )
)


def after_detach(remaining: Iterable[str], status: str, migration_status: str | None) -> tuple[str, str]:
    """The volume's (status, attach_status) once an attachment is gone and those in `remaining` states are left.

    Rows in an error state count for nothing; of the others the most attached decides. A volume that is being
    uploaded or migrated keeps its status rather than becoming available; one that is being extended or retyped keeps
    it whatever is left.
    """
    live = [state for state in remaining if not state.startswith("error_")]
    attach_status = min(live, default=DETACHED)
    if status in ENDS_BY_ITSELF:
        return status, attach_status
    if attach_status == ATTACHED:
        return IN_USE, attach_status
    if attach_status != DETACHED:
        return attach_status, attach_status
    if status in ("uploading", DELETING) or migration_status not in IDLE_MIGRATION:
        return status, attach_status
    return AVAILABLE, attach_status
