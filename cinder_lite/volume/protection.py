"""A user may not take a volume away from a server behind the compute service's back.

The host would keep a device that may later show another project's data (OSSA-2023-003, CVE-2023-2088).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cinder_lite import errors
from cinder_lite.db import attachments
from lite_common import context


class Compute(Protocol):
    """The part of the compute client that is asked here."""

    def used_attachment(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> str | None:
        """The attachment by which the server has the volume, or None."""


def check_detach(ctx: context.RequestContext, compute: Compute, attachment: attachments.Attachment) -> None:
    """Return when the caller is a service, or the server does not use the attachment.

    Raises errors.NovaUsesAttachment (409) when it does.
    """
    if ctx.is_service or attachment.instance_uuid is None or attachment.connection_info is None:
        return
    if compute.used_attachment(ctx, attachment.instance_uuid, attachment.volume_id) == attachment.id:
        raise errors.NovaUsesAttachment(instance_id=attachment.instance_uuid, attachment_id=attachment.id)


def check_detach_any(
    ctx: context.RequestContext,
    compute: Compute,
    volume_id: str,
    found: Sequence[attachments.Attachment],
    attachment_id: str | None,
) -> None:
    """As check_detach for the attachment of that id among those `found` of the volume, or for the only one.

    Raises errors.SeveralAttachments (409) when none was named and there are several, errors.InvalidInput (400) when
    the named one is not the volume's.
    """
    if attachment_id is not None:
        named = next((one for one in found if one.id == attachment_id), None)
        if named is None:
            raise errors.InvalidInput(reason=f"Volume {volume_id} has no attachment {attachment_id}.")
        check_detach(ctx, compute, named)
    elif len(found) == 1:
        check_detach(ctx, compute, found[0])
    elif found and not ctx.is_service:
        raise errors.SeveralAttachments(volume_id=volume_id)
