"""What Nova asks of Cinder: one method per request, answers as records, refusals as Nova's own errors.

Both ways to attach are here: the attachments API (volume microversion 3.44) and the volume actions it replaced.
Source: Block Storage API reference, "Attachments" and "Volume actions".
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_config import cfg

from lite_common import context, errors, rest
from lite_common.wsgi import auth
from nova_lite import errors as nova_errors

LOG = logging.getLogger(__name__)

VERSION = "3.44"
HERE = "http://127.0.0.1:8776/v3"
# Requests that undo something on the storage are POSTs, which the REST client does not repeat by itself.
INSIST = 5
# Never stored: they are fetched anew each time a host connects.
SECRETS = ("auth_password", "discovery_auth_password", "auth_pwd")


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as Cinder shows it; `size` in GiB. `attachment_ids` by server, those that are attached only.

    `migration_status` is None while the volume is not being moved, and for callers whom Cinder does not tell.
    """

    id: str
    status: str
    size: int
    multiattach: bool
    attachment_ids: Mapping[str, str]
    migration_status: str | None = None


class Requester(Protocol):
    """The REST client underneath (`lite_common.rest.RestClient`)."""

    def request(self, ctx: context.RequestContext, method: str, path: str, *, version: str, body: Any = None) -> Any:
        """The decoded answer, or the error its status means."""


def connect(
    endpoint: str | None, *, secret: str | None, timeout: float, retries: int, identity: rest.Identity | None = None
) -> CinderClient:
    """A client of the cinder-api at `endpoint` (with or without /v3); `timeout` is in seconds."""
    return CinderClient(_reach(endpoint, secret=secret, timeout=timeout, retries=retries, identity=identity))


def _reach(endpoint: str | None, **how: Any) -> rest.RestClient:
    return rest.RestClient("volume", _root(endpoint or HERE), **how)


def from_conf(conf: cfg.ConfigOpts) -> CinderClient:
    """A client of cinder-api as the options describe it. Raises errors.Invalid for options that are not whole."""
    return CinderClient(requester(conf))


def requester(conf: cfg.ConfigOpts) -> rest.RestClient:
    """The REST client that `from_conf` has underneath. Raises errors.Invalid for options that are not whole."""
    endpoint, secret, identity = conf.cinder.endpoint, None, None
    if conf.api.auth_strategy == "keystone":
        # keystoneauth costs memory that a daemon without keystone does not need.
        from lite_common import service_user

        identity = service_user.ServiceUser(conf, "block-storage", _root(endpoint) if endpoint else None)
    else:
        secret = auth.read_secret(conf.service_auth.secret_file)
    return _reach(endpoint, secret=secret, timeout=conf.cinder.timeout, retries=conf.cinder.retries, identity=identity)


def _root(endpoint: str) -> str:
    root = endpoint.rstrip("/")
    return root if root.endswith("/v3") else root + "/v3"


class CinderClient:
    """Cinder, for one daemon.

    Every method raises CinderUnavailable when cinder-api is down, InvalidInput with its words for a 400, Forbidden,
    and VolumeNotFound or AttachmentNotFound for a 404.
    """

    def __init__(self, requester: Requester) -> None:
        self._rest = requester

    def get_volume(self, ctx: context.RequestContext, volume_id: str) -> Volume:
        """The volume."""
        with _translated(volume=volume_id):
            shown = self._rest.request(ctx, "GET", f"/volumes/{volume_id}", version=VERSION)["volume"]
        return Volume(
            id=shown["id"],
            status=shown["status"],
            size=shown["size"],
            multiattach=bool(shown.get("multiattach")),
            attachment_ids={one["server_id"]: one["attachment_id"] for one in shown.get("attachments", ())},
            migration_status=shown.get("migration_status"),
        )

    def delete_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Ask for the volume to be deleted."""
        with _translated(volume=volume_id):
            self._rest.request(ctx, "DELETE", f"/volumes/{volume_id}", version=VERSION)

    def create_attachment(self, ctx: context.RequestContext, volume_id: str, server_id: str) -> str:
        """Reserve the volume for the server; the id of the attachment."""
        body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": server_id, "connector": None}}
        with _translated(volume=volume_id):
            return str(self._rest.request(ctx, "POST", "/attachments", version=VERSION, body=body)["attachment"]["id"])

    def discard_attachments(self, ctx: context.RequestContext, volume_id: str, server_id: str) -> int:
        """End whatever attachments this pair has, for a caller that never learned the id of the one it asked for; how
        many there were."""
        query = f"/attachments?all_tenants=1&volume_id={volume_id}&instance_id={server_id}"
        with _translated(volume=volume_id):
            found = self._rest.request(ctx, "GET", query, version=VERSION)["attachments"]
        for attachment in found:
            self.delete_attachment(ctx, attachment["id"])
        return len(found)

    def update_attachment(
        self, ctx: context.RequestContext, attachment_id: str, connector: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Have the volume exported to the connector's host; its connection information."""
        body = {"attachment": {"connector": connector}}
        with _translated(attachment=attachment_id):
            answer = self._rest.request(ctx, "PUT", f"/attachments/{attachment_id}", version=VERSION, body=body)
        return wrap(answer["attachment"])

    def get_connection(self, ctx: context.RequestContext, attachment_id: str) -> dict[str, Any]:
        """The connection information of an attachment that has been updated with a connector before."""
        with _translated(attachment=attachment_id):
            answer = self._rest.request(ctx, "GET", f"/attachments/{attachment_id}", version=VERSION)
        return wrap(answer["attachment"])

    def complete_attachment(self, ctx: context.RequestContext, attachment_id: str) -> None:
        """Tell that the guest has the disk: the volume is in use from now on."""
        path = f"/attachments/{attachment_id}/action"
        with _translated(attachment=attachment_id):
            self._rest.request(ctx, "POST", path, version=VERSION, body={"os-complete": None})

    def delete_attachment(self, ctx: context.RequestContext, attachment_id: str) -> None:
        """End the attachment and take the export back; one that is gone already is fine."""
        try:
            with _translated(attachment=attachment_id):
                self._rest.request(ctx, "DELETE", f"/attachments/{attachment_id}", version=VERSION)
        except nova_errors.AttachmentNotFound:
            LOG.info("attachment %s is gone already", attachment_id)

    def reserve_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Volume actions: the volume goes from available to attaching."""
        self._act(ctx, volume_id, {"os-reserve": None})

    def unreserve_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Volume actions: undo a reservation."""
        self._act(ctx, volume_id, {"os-unreserve": None})

    def initialize_connection(
        self, ctx: context.RequestContext, volume_id: str, connector: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Volume actions: export the volume to the connector's host; its connection information, with the connector."""
        answer = self._act(ctx, volume_id, {"os-initialize_connection": {"connector": connector}})
        info = answer["connection_info"]
        return {
            "driver_volume_type": info["driver_volume_type"],
            "data": info["data"],
            "serial": volume_id,
            # What terminate_connection needs, wherever it is called from later.
            "connector": dict(connector),
        }

    def attach_in_cinder(
        self, ctx: context.RequestContext, volume_id: str, server_id: str, mountpoint: str, mode: str
    ) -> None:
        """Volume actions: tell that the guest has the disk."""
        told = {"instance_uuid": server_id, "mountpoint": mountpoint, "mode": mode}
        self._act(ctx, volume_id, {"os-attach": told})

    def begin_detaching(self, ctx: context.RequestContext, volume_id: str) -> None:
        """The volume goes from in-use to detaching. Raises InvalidVolume when it is in another state."""
        try:
            self._act(ctx, volume_id, {"os-begin_detaching": None})
        except nova_errors.InvalidInput as err:
            raise nova_errors.InvalidVolume(reason=err.message) from err

    def roll_detaching(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Back from detaching to in-use."""
        self._act(ctx, volume_id, {"os-roll_detaching": None})

    def terminate_connection(
        self, ctx: context.RequestContext, volume_id: str, connector: Mapping[str, Any] | None
    ) -> None:
        """Volume actions: take the export back from the connector's host."""
        self._insist(ctx, volume_id, {"os-terminate_connection": {"connector": connector}})

    def detach_in_cinder(self, ctx: context.RequestContext, volume_id: str, attachment_id: str | None) -> None:
        """Volume actions: end the attachment; without an id the only one there is."""
        self._insist(ctx, volume_id, {"os-detach": {"attachment_id": attachment_id} if attachment_id else {}})

    def _act(self, ctx: context.RequestContext, volume_id: str, body: Mapping[str, Any]) -> Any:
        with _translated(volume=volume_id):
            return self._rest.request(ctx, "POST", f"/volumes/{volume_id}/action", version=VERSION, body=body)

    def _insist(self, ctx: context.RequestContext, volume_id: str, body: Mapping[str, Any]) -> None:
        for attempt in range(1, INSIST + 1):
            try:
                self._act(ctx, volume_id, body)
                return
            except errors.BackendError as err:
                if attempt == INSIST:
                    raise
                LOG.warning("%s of volume %s, attempt %d: %s", next(iter(body)), volume_id, attempt, err.message)


def wrap(attachment: Mapping[str, Any]) -> dict[str, Any]:
    """Nova's form of connection information (type and data) from the flat one that an attachment shows."""
    data = dict(attachment["connection_info"])
    kind = data.pop("driver_volume_type", None)
    data.pop("attachment_id", None)
    data.pop("enforce_multipath", None)
    volume_id = attachment["volume_id"]
    return {"driver_volume_type": kind, "data": data, "volume_id": volume_id, "serial": volume_id}


def without_secrets(connection_info: Mapping[str, Any]) -> dict[str, Any]:
    """The part of connection information that may be stored."""
    data = {key: value for key, value in connection_info.get("data", {}).items() if key not in SECRETS}
    return {**connection_info, "data": data}


@contextlib.contextmanager
def _translated(*, volume: str | None = None, attachment: str | None = None) -> Iterator[None]:
    try:
        yield
    except errors.NotFound as err:
        if attachment is not None:
            raise nova_errors.AttachmentNotFound(attachment=attachment) from err
        raise nova_errors.VolumeNotFound(volume=volume) from err
    except errors.Invalid as err:
        raise nova_errors.InvalidInput(reason=err.message) from err
    except errors.Unavailable as err:
        raise nova_errors.CinderUnavailable(reason=err.message) from err
