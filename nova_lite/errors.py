"""What nova-lite refuses, in the words that clients know from Nova (Nova API reference, "os-volume_attachments").

The classes travel over RPC from nova-compute to nova-api, so their arguments are plain data.
"""

from __future__ import annotations

from lite_common import errors


class ServerNotFound(errors.NotFound):
    """No such server, or another project's."""

    slug = "server_not_found"
    template = "Instance {server} could not be found."


class ServerInvalidState(errors.Conflict):
    """The server's vm_state or task_state does not allow the action."""

    slug = "server_invalid_state"
    template = "Cannot '{action}' instance {server} while it is in {attribute} {state}"


class ServerNeverLaunched(errors.Conflict):
    """The server has not run yet, so nothing can be plugged into it."""

    slug = "server_never_launched"
    template = "Instance {server} is in an invalid state for '{action}'"


class ServerLocked(errors.Conflict):
    """The server is locked, and the caller is no admin."""

    slug = "server_locked"
    template = "Instance {server} is locked"


class TooManyTags(errors.Invalid):
    """A server may have so many tags."""

    slug = "too_many_tags"
    template = "The number of tags exceeded the per-server limit {maximum}"


class TooMuchMetadata(errors.Forbidden):
    """A server may have so many metadata items."""

    slug = "too_much_metadata"
    template = "Maximum number of metadata items exceeds {maximum}"


class HostDown(errors.Conflict):
    """The nova-compute that holds the server does not report; asking it would only wait."""

    slug = "host_down"
    template = (
        "Service is unavailable at this time. nova-compute on host {host}, which holds instance {server}, {seen}. "
        "Nothing was changed; start it there and try again."
    )


class NoValidHost(errors.Unavailable):
    """There is no nova-compute that could take a new server."""

    slug = "no_valid_host"
    template = "No valid host was found. {reason}"


class ComputeHostNotFound(errors.Invalid):
    """The request names a host that no nova-compute ever reported."""

    slug = "compute_host_not_found"
    template = "Compute host {host} could not be found."


class FlavorTooSmall(errors.Invalid):
    """The image needs more than the flavor gives."""

    slug = "flavor_too_small"
    template = "Flavor's {what} is too small for requested image: flavor {flavor} has {has}, the image needs {needs}."


class InvalidDevicePath(errors.Invalid):
    """The device name has not the form of one."""

    slug = "invalid_device_path"
    template = "The supplied device path ({path}) is invalid."


class DevicePathInUse(errors.Conflict):
    """Another disk of the server has the device name."""

    slug = "device_path_in_use"
    template = "The supplied device path ({path}) is in use."


class TooManyDisks(errors.Forbidden):
    """The server has as many disks as it may have."""

    slug = "too_many_disks"
    template = (
        "The maximum allowed number of disk devices ({maximum}) to attach to a single instance has been exceeded."
    )


class VolumeNotFound(errors.NotFound):
    """Cinder does not know the volume, or it is another project's."""

    slug = "volume_not_found"
    template = "Volume {volume} could not be found."


class AttachmentNotFound(errors.NotFound):
    """Cinder does not know the attachment."""

    slug = "attachment_not_found"
    template = "Volume attachment {attachment} could not be found."


class InvalidVolume(errors.Invalid):
    """The volume's state, or what it is attached to, rules the request out."""

    slug = "invalid_volume"
    template = "Invalid volume: {reason}"


class InvalidInput(errors.Invalid):
    """Cinder refused what it was asked, in its own words."""

    slug = "invalid_input"
    template = "Invalid input received: {reason}"


class CinderUnavailable(errors.Unavailable):
    """cinder-api is down or does not answer."""

    slug = "cinder_unavailable"
    template = "The block storage service is not available: {reason}"


class MultiattachUnsupported(errors.Invalid):
    """The volume may be attached many times, which no driver here can do safely."""

    slug = "multiattach_unsupported"
    template = "Volume {volume} has 'multiattach' set, which is not supported for this instance."


class VolumeNotAttached(errors.NotFound):
    """The server has no such volume."""

    slug = "volume_not_attached"
    template = "Instance {server} is not attached to volume {volume}"


class VolumeNotMigrating(errors.Conflict):
    """A volume is exchanged for another one only while Cinder migrates it."""

    slug = "volume_not_migrating"
    template = "volume {volume} is not migrating; this API should only be called by Cinder"


class RootVolume(errors.Invalid):
    """A server cannot go on without the disk it booted from."""

    slug = "root_volume"
    template = "Cannot detach a root device volume"


class BlockDeviceGone(errors.Conflict):
    """The block device was released by somebody else (a delete of the server, mostly) while it was worked on."""

    slug = "block_device_gone"
    template = (
        "The attachment of volume {volume} to instance {server} was taken back while it was being made: "
        "the server is being deleted, or the request took too long."
    )


class WrongHost(errors.Conflict):
    """A message came to a nova-compute that does not hold the server."""

    slug = "wrong_host"
    template = "Instance {server} is on host {found}, not on {host}."


class InterruptedAction(errors.BackendError):
    """The daemon that had the work ended, or its message was lost."""

    slug = "interrupted_action"
    template = (
        "{action} of instance {server} was interrupted: its message or its daemon was lost. What it had begun was "
        "finished or undone. Look at the server and its volumes, then ask again."
    )
