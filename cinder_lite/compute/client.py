"""What Cinder says to nova-api: cinder-api asks whether a server still uses an attachment (OSSA-2023-003,
CVE-2023-2088), cinder-volume tells that a volume of a server has grown."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from lite_common import context, errors, rest
from lite_common.wsgi import auth

# The first version whose answer names the attachment.
VERSION = "2.89"
# The first version that knows the event volume-extended.
EVENTS_VERSION = "2.51"
HERE = "http://127.0.0.1:8774/v2.1"


def from_conf(conf: cfg.ConfigOpts) -> ComputeClient:
    """A client of the compute API as the options describe it. Raises errors.Invalid for options that are not whole."""
    identity: rest.Identity
    if conf.api.auth_strategy == "keystone":
        # keystoneauth costs memory that a daemon without keystone does not need.
        from lite_common import service_user

        identity = service_user.ServiceUser(conf, "compute", conf.nova.endpoint)
    else:
        secret = auth.read_secret(conf.service_auth.secret_file)
        identity = rest.SharedSecret(conf.nova.endpoint or HERE, secret)
    return ComputeClient(
        rest.RestClient("compute", identity=identity, timeout=conf.nova.timeout, retries=conf.nova.retries)
    )


class ComputeClient:
    """Asks the compute API on behalf of the user, with the user's own rights; events need those of a service."""

    def __init__(self, client: rest.RestClient) -> None:
        self._client = client

    def used_attachment(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> str | None:
        """The id of the attachment by which the server has the volume; None when it does not have it.

        Raises errors.Unavailable when the compute API cannot be asked.
        """
        path = f"/servers/{server_id}/os-volume_attachments/{volume_id}"
        try:
            answer = self._client.request(ctx, "GET", path, version=VERSION)
        except errors.NotFound:
            return None
        found = answer["volumeAttachment"].get("attachment_id")
        return str(found) if found else None

    def attachment_sides(self, ctx: context.RequestContext, volume_id: str) -> dict[str, Any]:
        """What the compute service has of the volume: its rows with what each host sees of them, disks and sessions
        that no row knows, and the hosts that could not be asked.

        Raises errors.Unavailable when the compute API cannot be asked.
        """
        path = f"/os-attachment-sides?volume_id={volume_id}"
        answer: dict[str, Any] = self._client.request(ctx, "GET", path, version=VERSION)
        return answer

    def volume_extended(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> None:
        """Tell the server that a volume of its has grown.

        Raises errors.BackendError when nova-api does not take the event, errors.Unavailable when it cannot be asked.
        """
        event = {"name": "volume-extended", "server_uuid": server_id, "tag": volume_id, "status": "completed"}
        answer = self._client.request(
            ctx, "POST", "/os-server-external-events", version=EVENTS_VERSION, body={"events": [event]}
        )
        codes = [one["code"] for one in answer["events"]]
        if codes != [200]:
            raise errors.BackendError(f"compute answered the event volume-extended of server {server_id} with {codes}.")
