"""What cinder-api asks nova-api: whether a server still uses an attachment. See OSSA-2023-003 (CVE-2023-2088)."""

from __future__ import annotations

from lite_common import context, errors, rest

# The first version whose answer names the attachment.
VERSION = "2.89"


class ComputeClient:
    """Asks the compute API on behalf of the user, with the user's own rights."""

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
