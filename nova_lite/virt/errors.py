"""The errors a virt driver and a volume connector raise; their families decide the HTTP status at the edge."""

from __future__ import annotations

from lite_common import errors


class ServerNotOnHost(errors.NotFound):
    """The hypervisor of this host does not know the server."""

    slug = "server_not_on_host"
    template = "Server {server} is not known to the hypervisor of this host. Reboot it hard to build it again."


class DeviceNotFound(errors.NotFound):
    """Neither the running nor the stored configuration of the server has the volume's disk."""

    slug = "device_not_found"
    template = "Volume {volume} is not a disk of server {server} on this host: there is nothing to detach."


class DeviceAttachFailed(errors.BackendError):
    """The hypervisor refused the disk; the server is as it was before."""

    slug = "device_attach_failed"
    template = "Volume {volume} could not be attached to server {server}: {reason}"


class DeviceDetachFailed(errors.Conflict):
    """The guest kept the disk; it is still in the running and in the stored configuration."""

    slug = "device_detach_failed"
    template = "Volume {volume} is still attached to server {server}: {reason} {advice}"


class ServerStartFailed(errors.BackendError):
    """The hypervisor could not define or start the server; nothing of the attempt is left running."""

    slug = "server_start_failed"
    template = "Server {server} could not be started: {reason}"


class ServerStateUnfit(errors.Conflict):
    """The operation needs the server in another power state."""

    slug = "server_state_unfit"
    template = "Cannot {operation} server {server} while it is {state}. {advice}"


class HypervisorUnavailable(errors.Unavailable):
    """The hypervisor's daemon cannot be reached or stopped answering."""

    slug = "hypervisor_unavailable"
    template = "The hypervisor at {uri} does not answer: {reason} Start its daemon and try again."


class HypervisorError(errors.BackendError):
    """The hypervisor answered an operation with an error of its own."""

    slug = "hypervisor_error"
    template = "The hypervisor could not {operation}: {reason}"


class UnsupportedVolume(errors.Invalid):
    """The connection information is of a kind this host cannot use, or lacks something it needs."""

    slug = "unsupported_volume"
    template = "Volume {volume} cannot be used on this host: {reason}"


class PortalUnreachable(errors.Unavailable):
    """The storage portal takes no connection, or swallows what is sent to it."""

    slug = "portal_unreachable"
    template = (
        "The iSCSI portal {portal} of target {iqn} cannot be reached: {reason}. "
        "Check that the target daemon runs there and that this host may connect to it."
    )


class LoginRefused(errors.BackendError):
    """The storage portal answers, but does not let this host in to the target."""

    slug = "login_refused"
    template = (
        "The iSCSI portal {portal} refused the login of {initiator} to target {iqn}: {reason}. "
        "Check that the volume is exported there and that its CHAP user and password are current."
    )


class DeviceMissing(errors.BackendError):
    """This host is let in to the target, but no device of the volume comes to be, or there is none any more."""

    slug = "device_missing"
    template = "Volume {volume} has no device on this host: {reason}"


class DeviceInUse(errors.Conflict):
    """Something else than the server uses the volume's device: two writers would destroy what is on it."""

    slug = "device_in_use"
    template = (
        "Volume {volume} cannot be used by a server: its device {device} is in use on this host by {users}. {advice}"
    )


class DisconnectFailed(errors.BackendError):
    """What the host held for the volume could not be written or taken away; the volume is still connected."""

    slug = "disconnect_failed"
    template = "Volume {volume} could not be disconnected from this host: {reason} It is tried again."


class InitiatorUnfit(errors.Unavailable):
    """This host lacks something that it needs for iSCSI logins of its own."""

    slug = "initiator_unfit"
    template = "This host cannot log in to iSCSI targets: {reason}"


def detach_refused_paused(server: str, volume: str) -> DeviceDetachFailed:
    """The error for a paused guest: it cannot take part in an unplug, so none is begun."""
    return DeviceDetachFailed(
        volume=volume,
        server=server,
        reason="the server is paused, so its guest cannot release the disk.",
        advice="Resume the server (unpause) and detach again.",
    )
