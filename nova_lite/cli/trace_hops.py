"""Which step asks another daemon for something, and of which step there the answer is made.

A step record knows the step around it in its own process; what led to it from another process is inferred with this
table. It follows docs/attach-path.md: whoever adds a step that another daemon is asked in adds a line here.
"""

import dataclasses
import enum


class Kind(enum.Enum):
    """How a daemon asks another."""

    REST = "REST"
    CALL = "call"
    CAST = "cast"

    @property
    def waits(self) -> bool:
        """Whether the asking step lasts until the answer is there."""
        return self is not Kind.CAST


@dataclasses.dataclass(frozen=True)
class Hop:
    """A way from a step to another daemon.

    `steps` are the steps that begin there; empty means the first one that the daemon takes for the request. A `silent`
    hop is known to happen though the daemon asked takes no step for it. `via` is an API that only passes it on.
    """

    kind: Kind
    service: str
    steps: frozenset[str] = frozenset()
    silent: bool = False
    via: str = ""


def _rest(*steps: str) -> Hop:
    return Hop(Kind.REST, "cinder-api", frozenset(steps))


def _call(*steps: str) -> Hop:
    return Hop(Kind.CALL, "cinder-volume", frozenset(steps))


def _cast(service: str, *steps: str) -> Hop:
    return Hop(Kind.CAST, service, frozenset(steps))


# (service, step) -> where it leads.
HOPS: dict[tuple[str, str], Hop] = {
    ("nova-api", "reserve_block_device_name"): Hop(
        Kind.CALL, "nova-compute", frozenset({"reserve_block_device_name"}), silent=True
    ),
    ("nova-api", "reserve_volume"): _rest("os_reserve"),
    ("nova-api", "create_attachment"): _rest("attachment_create"),
    ("nova-api", "begin_detaching"): _rest("os_begin_detaching"),
    ("nova-api", "hand_over"): _cast("nova-compute"),
    ("nova-compute", "update_attachment"): _rest("attachment_update"),
    ("nova-compute", "complete_attachment"): _rest("attachment_complete"),
    ("nova-compute", "delete_attachment"): _rest("attachment_delete"),
    ("nova-compute", "initialize_connection"): _rest("initialize_connection"),
    ("nova-compute", "attach_in_cinder"): _rest("os_attach"),
    ("nova-compute", "detach_in_cinder"): _rest("os_detach"),
    ("nova-compute", "terminate_connection"): _rest("terminate_connection"),
    ("cinder-api", "attachment_update"): _call("attachment_update"),
    ("cinder-api", "attachment_delete"): _call("terminate_connection"),
    ("cinder-api", "initialize_connection"): _call("initialize_connection"),
    ("cinder-api", "terminate_connection"): _call("terminate_connection"),
    ("cinder-api", "os_attach"): _call("attach_volume"),
    ("cinder-api", "os_detach"): _call("detach_volume"),
    ("cinder-api", "volume_create_api"): _cast("cinder-scheduler", "volume_create_scheduler"),
    ("cinder-api", "snapshot_create_api"): _cast("cinder-scheduler", "schedule_create_snapshot"),
    ("cinder-api", "snapshot_delete_api"): _cast("cinder-volume", "delete_snapshot"),
    ("cinder-api", "os_extend"): _cast("cinder-scheduler", "schedule_extend_volume"),
    ("cinder-api", "os_retype"): _cast("cinder-scheduler", "schedule_retype"),
    ("cinder-scheduler", "schedule_create_volume"): _cast("cinder-volume", "volume_create_manager"),
    ("cinder-scheduler", "schedule_create_snapshot"): _cast("cinder-volume", "create_snapshot"),
    ("cinder-scheduler", "schedule_extend_volume"): _cast("cinder-volume", "extend_volume"),
    ("cinder-scheduler", "schedule_retype"): _cast("cinder-volume", "retype"),
    ("cinder-volume", "tell_volume_extended"): Hop(
        Kind.CAST, "nova-compute", frozenset({"extend_in_guest"}), via="nova-api"
    ),
}

# What a request is about, told by the first of its steps that stands here; the checks of nova-api tell nothing.
_OPERATIONS = {
    "attach": "reserve_block_device_name reserve_volume create_attachment attachment_create os_reserve get_connector "
    "update_attachment attachment_update initialize_connection attach_to_guest complete_attachment attachment_complete "
    "attach_in_cinder os_attach attach_volume create_export grant_access",
    "detach": "begin_detaching os_begin_detaching detach_from_guest delete_attachment attachment_delete "
    "terminate_connection detach_in_cinder os_detach detach_volume withdraw_access remove_export delete_block_device",
    "create volume": "volume_create_api volume_create_scheduler schedule_create_volume volume_create_manager "
    "create_volume_from_spec",
    "delete volume": "delete_volume",
    "create snapshot": "snapshot_create_api schedule_create_snapshot create_snapshot",
    "delete snapshot": "snapshot_delete_api delete_snapshot",
    "extend volume": "os_extend schedule_extend_volume extend_volume tell_volume_extended extend_in_guest",
    "retype volume": "os_retype schedule_retype retype",
    "connect volume": "connect_volume",
    "disconnect volume": "disconnect_volume",
}
OPERATION_OF = {step: operation for operation, steps in _OPERATIONS.items() for step in steps.split()}


def operation_of(step: str) -> str:
    """Return what a request is about that has this step first, or "" when the step does not tell."""
    return OPERATION_OF.get(step, "")
