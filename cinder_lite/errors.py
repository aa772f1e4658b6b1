"""What this service refuses, with the texts that clients of Cinder look for."""

from __future__ import annotations

from lite_common import errors


class InvalidInput(errors.Invalid):
    slug = "invalid_input"
    template = "Invalid input received: {reason}"


class InvalidVolume(errors.Invalid):
    """The volume's state does not allow it."""

    slug = "invalid_volume"
    template = "Invalid volume: {reason}"


class InvalidSnapshot(errors.Invalid):
    """The snapshot's state does not allow it."""

    slug = "invalid_snapshot"
    template = "Invalid snapshot: {reason}"


class InvalidAvailabilityZone(errors.Invalid):
    slug = "invalid_availability_zone"
    template = "Availability zone '{az}' is invalid. Zones with a backend: {known}."


class VolumeNotFound(errors.NotFound):
    slug = "volume_not_found"
    template = "Volume {volume_id} could not be found."


class SnapshotNotFound(errors.NotFound):
    slug = "snapshot_not_found"
    template = "Snapshot {snapshot_id} could not be found."


class SnapshotMetadataKeyNotFound(errors.NotFound):
    slug = "snapshot_metadata_key_not_found"
    template = "Snapshot {snapshot_id} has no metadata with key {key}."


class VolumeAttachmentNotFound(errors.NotFound):
    slug = "attachment_not_found"
    template = "Volume attachment could not be found with filter: attachment_id = {attachment_id}."


class VolumeTypeNotFound(errors.NotFound):
    slug = "volume_type_not_found"
    template = "Volume type {volume_type_id} could not be found."


class DefaultTypeMissing(errors.LiteError):
    slug = "default_type_missing"
    template = "The default volume type {name} does not exist. Create it, or set default_volume_type to one that does."


class MetadataKeyNotFound(errors.NotFound):
    slug = "metadata_key_not_found"
    template = "Metadata item {key} of volume {volume_id} could not be found."


class ServiceNotFound(errors.NotFound):
    slug = "service_not_found"
    template = "Service {binary} on host {host} could not be found."


class NovaUsesAttachment(errors.Conflict):
    """A user may not take a disk away behind the compute service's back (OSSA-2023-003)."""

    slug = "nova_uses_attachment"
    template = (
        "Detach volume from instance {instance_id} using the Compute API: "
        "the server still uses attachment {attachment_id}."
    )


class SeveralAttachments(errors.Conflict):
    slug = "several_attachments"
    template = "Volume {volume_id} has several attachments. Name the one to detach by its attachment_id."


class AttachmentBusy(errors.Conflict):
    """The state of the volume or of another attachment rules out connecting this one."""

    slug = "attachment_busy"
    template = "Attachment {attachment_id} of volume {volume_id} cannot be connected: {reason}"


class InvalidVolumeAttachMode(errors.Invalid):
    """A volume that may only be read cannot be attached for writing."""

    slug = "invalid_volume_attach_mode"
    template = "Invalid attaching mode '{mode}' for volume {volume_id}."


class MessageNotFound(errors.NotFound):
    slug = "message_not_found"
    template = "Message {message_id} could not be found."


class VolumeLimitExceeded(errors.TooLarge):
    slug = "volume_limit_exceeded"
    template = "VolumeLimitExceeded: Maximum number of volumes allowed ({allowed}) exceeded for quota '{name}'."


class SnapshotLimitExceeded(errors.TooLarge):
    slug = "snapshot_limit_exceeded"
    template = "SnapshotLimitExceeded: Maximum number of snapshots allowed ({allowed}) exceeded for quota '{name}'."


class GigabytesExceeded(errors.TooLarge):
    slug = "gigabytes_exceeded"
    template = (
        "VolumeSizeExceedsAvailableQuota: Requested volume exceeds allowed {name} quota. "
        "Requested {requested}G, quota is {quota}G and {consumed}G has been consumed."
    )


class VolumeSizeExceedsLimit(errors.TooLarge):
    slug = "volume_size_exceeds_limit"
    template = "VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit {limit}G."


class NoValidBackend(errors.Unavailable):
    slug = "no_valid_backend"
    template = "No valid backend was found. {reason}"


class DriverNotInitialized(errors.Unavailable):
    slug = "driver_not_initialized"
    template = "The driver of backend {backend} is not ready: {reason}"


class VolumeIsBusy(errors.Conflict):
    slug = "volume_is_busy"
    template = "Volume {volume_id} is in use by something else: {reason}"


class DeviceIsBusy(VolumeIsBusy):
    """A program of this host has the volume's device open; such a program (a scan by udev, say) ends by itself."""

    slug = "device_is_busy"
