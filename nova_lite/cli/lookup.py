"""Names or ids into records: the id is tried first, then the exact name; an ambiguous name is refused.

Used by every command that takes a server, volume, flavor or image.
"""

import re
import typing
import uuid
from collections.abc import Iterable
from urllib import parse

from nova_lite.cli import errors, session

Record = dict[str, typing.Any]
# Longest list of ids an ambiguity message shows; the list command shows the rest.
MAX_SHOWN = 10
# The image API's own pages are short (25), and each would be a request.
IMAGE_PAGE = {"limit": "1000"}


def server(cloud: session.Cloud, reference: str) -> Record:
    """Return the full record of the server; raises NotFound, Ambiguous, or as Cloud.call does."""
    found = _by_uuid(cloud, "compute", "servers", "server", reference)
    if found:
        return found
    # nova reads `name` as a regular expression, so it only narrows the list; the exact match is done here.
    narrowing = {"name": reference} if re.fullmatch(r"[\w-]+", reference, re.ASCII) else {}
    listed = cloud.pages("compute", "/servers/detail", "servers", narrowing)
    return _only("server", reference, listed, "`nlite list` shows the servers")


def volume(cloud: session.Cloud, reference: str) -> Record:
    """Return the full record of the volume; raises NotFound, Ambiguous, or as Cloud.call does."""
    found = _by_uuid(cloud, "volume", "volumes", "volume", reference)
    if found:
        return found
    listed = cloud.pages("volume", "/volumes/detail", "volumes", {"name": reference})
    return _only("volume", reference, listed, "`nlite volume-list` shows the volumes")


def snapshot(cloud: session.Cloud, reference: str) -> Record:
    """Return the full record of the snapshot; raises NotFound, Ambiguous, or as Cloud.call does."""
    found = _by_uuid(cloud, "volume", "snapshots", "snapshot", reference)
    if found:
        return found
    listed = cloud.pages("volume", "/snapshots/detail", "snapshots", {"name": reference})
    return _only("snapshot", reference, listed, "`nlite snapshot-list` shows the snapshots")


def flavor(cloud: session.Cloud, reference: str | None) -> Record:
    """Return the flavor; without a reference the smallest one.

    Raises NotFound, Ambiguous, or as Cloud.call does.
    """
    listed = list(cloud.pages("compute", "/flavors/detail", "flavors"))
    hint = "`nlite flavor-list` shows the flavors"
    if reference is None:
        if not listed:
            raise errors.NotFound("there is no flavor to boot with", "./devstack/stack.sh creates some")
        return min(listed, key=lambda item: (item["ram"], item["vcpus"], item["disk"]))
    by_id = [item for item in listed if item["id"] == reference]
    return by_id[0] if by_id else _only("flavor", reference, listed, hint)


def image(cloud: session.Cloud, reference: str | None) -> Record:
    """Return the image; without a reference the only one there is.

    Raises NotFound, Ambiguous (also without a reference, when there are several), or as Cloud.call does.
    """
    listed = list(cloud.pages("image", "/images", "images", IMAGE_PAGE))
    hint = "`nlite image-list` shows the images"
    if reference is not None:
        by_id = [item for item in listed if item["id"] == reference]
        return by_id[0] if by_id else _only("image", reference, listed, hint)
    if not listed:
        raise errors.NotFound("there is no image to boot from", "./devstack/stack.sh builds one")
    if len(listed) > 1:
        names = ", ".join(sorted(str(item.get("name") or item["id"]) for item in listed)[:MAX_SHOWN])
        raise errors.Ambiguous(f"there are {len(listed)} images to boot from: {names}", "choose one with --image")
    return listed[0]


def server_names(cloud: session.Cloud) -> dict[str, str]:
    """Return id -> name of all servers; empty when nova-api does not answer, for names are decoration."""
    try:
        return {item["id"]: item["name"] for item in cloud.pages("compute", "/servers", "servers")}
    except errors.CliError:
        return {}


def image_names(cloud: session.Cloud) -> dict[str, str]:
    """Return id -> name of all images; empty when the image API does not answer, for names are decoration."""
    try:
        return {item["id"]: item.get("name") or "" for item in cloud.pages("image", "/images", "images", IMAGE_PAGE)}
    except errors.CliError:
        return {}


def is_uuid(reference: str) -> bool:
    """Whether this can be the id of a server or volume."""
    try:
        uuid.UUID(reference)
    except ValueError:
        return False
    return True


def label(record: Record) -> str:
    """Return what messages call a resource: its name, or its id when it has none."""
    return str(record.get("name") or record["id"])


def _by_uuid(cloud: session.Cloud, service: str, path: str, key: str, reference: str) -> Record | None:
    """Return the record with this id, or None; only a UUID can be the id of a server or volume."""
    if not is_uuid(reference):
        return None
    try:
        return typing.cast(Record, cloud.get(service, f"/{path}/{parse.quote(reference, safe='')}")[key])
    except errors.ApiError as error:
        if error.status != 404:
            raise
        return None


def _only(kind: str, reference: str, listed: Iterable[Record], hint: str) -> Record:
    # An unset shell variable must not choose the one resource without a name.
    named = [item for item in listed if item.get("name") == reference] if reference else []
    if len(named) == 1:
        return named[0]
    if not named:
        raise errors.NotFound(f"no {kind} has the name or id {reference!r}", hint)
    ids = [str(item["id"]) for item in named]
    shown = ", ".join(ids[:MAX_SHOWN]) + (", ..." if len(ids) > MAX_SHOWN else "")
    raise errors.Ambiguous(f"{len(ids)} {kind}s are named {reference!r}: {shown}", "say which one by its id")
