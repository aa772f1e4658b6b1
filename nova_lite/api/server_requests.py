"""A request for new servers, read: what the schema cannot say about it is checked here.

What cannot be done is refused with a reason, not dropped. Networks and security groups are the exception: clients
cannot leave them out, and guests here have none.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import uuid
from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import errors as nova_errors
from nova_lite import flavors, images, policies
from nova_lite.api import views
from nova_lite.api.schemas import types
from nova_lite.compute import api as compute_api
from nova_lite.compute import server_changes


def flavor(asked: dict[str, Any], table: flavors.FlavorTable) -> flavors.Flavor:
    """The flavor asked for, by id or by the URL of one. Raises errors.Invalid for an unknown one."""
    reference = str(asked["flavorRef"]).rstrip("/").rpartition("/")[2]
    try:
        return table.get(reference)
    except errors.NotFound as err:
        raise errors.Invalid(err.message) from err


def image(asked: dict[str, Any], store: images.ImageStore) -> images.Image:
    """The image asked for. Raises errors.Invalid for an unknown one, and for a request to boot from anything else."""
    reference = asked.get("imageRef")
    for device in asked.get("block_device_mapping_v2", ()):
        _check_block_device(device, reference)
    if not reference:
        raise errors.Invalid("Missing imageRef attribute")
    try:
        return store.get(reference)
    except errors.NotFound as err:
        raise errors.Invalid("Can not find requested image") from err


def new_servers(
    request: expose.ApiRequest, asked: dict[str, Any], chosen: flavors.Flavor, booted: images.Image
) -> list[compute_api.NewServer]:
    """What is to be built, in order. Raises errors.Invalid and errors.Forbidden for what cannot be done."""
    _refuse_what_is_not_there(asked)
    zone, host = _destination(request, asked)
    count = _count(asked)
    reservation = f"r-{uuid.uuid4().hex[:8]}"
    return [
        compute_api.NewServer(
            name=asked["name"] if count == 1 else f"{asked['name'][:251]}-{place + 1}",
            flavor=chosen,
            image=booted,
            # Before it could be told, the name was the description.
            description=asked.get("description") if request.at_least("2.19") else asked["name"],
            metadata=asked.get("metadata", {}),
            availability_zone=zone,
            host=host,
            hostname=asked.get("hostname"),
            user_data=asked.get("user_data"),
            reservation_id=reservation,
            launch_index=place,
            tags=asked.get("tags", ()),
            access_ip_v4=asked.get("accessIPv4") or None,
            access_ip_v6=_ipv6(asked.get("accessIPv6")),
            auto_disk_config=asked.get("OS-DCF:diskConfig") == "AUTO",
        )
        for place in range(count)
    ]


def changes(asked: dict[str, Any]) -> dict[str, Any]:
    """The columns that a request to change a server writes."""
    columns = {"name": "display_name", "description": "display_description", "hostname": "hostname"}
    values: dict[str, Any] = {column: asked[name] for name, column in columns.items() if name in asked}
    if "accessIPv4" in asked:
        values["access_ip_v4"] = asked["accessIPv4"] or None
    if "accessIPv6" in asked:
        values["access_ip_v6"] = _ipv6(asked["accessIPv6"])
    if "OS-DCF:diskConfig" in asked:
        values["auto_disk_config"] = asked["OS-DCF:diskConfig"] == "AUTO"
    return values


def _ipv6(text: str | None) -> str | None:
    """The address in its shortest form. Raises errors.Invalid for a text that is none."""
    try:
        return str(ipaddress.IPv6Address(text)) if text else None
    except ValueError as err:
        raise errors.Invalid(
            f"Invalid input for field/attribute accessIPv6. Value: {text}. '{text}' is not a 'ipv6'"
        ) from err


def _check_block_device(device: dict[str, Any], image_ref: str | None) -> None:
    """Let pass what clients send beside `imageRef` to say the same again: that image, on a local disk, booted from."""
    source = device.get("uuid") or device.get("image_id")
    same = (
        device.get("source_type") == "image"
        and device.get("destination_type") == "local"
        and str(device.get("boot_index")) == "0"
        and source == image_ref
    )
    if not same:
        raise errors.Invalid(
            "Block Device Mapping is Invalid: servers boot from an image on a local disk here. Give the image as "
            "imageRef, and attach volumes when the server is active."
        )


def _refuse_what_is_not_there(asked: dict[str, Any]) -> None:
    if len(asked.get("metadata", ())) > server_changes.MAX_METADATA:
        raise nova_errors.TooMuchMetadata(maximum=server_changes.MAX_METADATA)
    if asked.get("key_name"):
        raise errors.Invalid("Invalid key_name provided.")
    if types.is_true(asked.get("config_drive", False)):
        raise errors.Invalid("A config drive cannot be given to servers here. Leave config_drive out.")
    if asked.get("user_data"):
        try:
            base64.b64decode(asked["user_data"], validate=True)
        except (binascii.Error, ValueError) as err:
            raise errors.Invalid(
                "Invalid input for field/attribute user_data. It is not the base64 form of anything."
            ) from err


def _destination(request: expose.ApiRequest, asked: dict[str, Any]) -> tuple[str | None, str | None]:
    """Zone and host asked for: `availability_zone` may be `zone:host`, from 2.74 on `host` says it better."""
    zone, _, forced = asked.get("availability_zone", "").partition(":")
    host = asked.get("host") or asked.get("hypervisor_hostname") or forced.partition(":")[0]
    if asked.get("host") or asked.get("hypervisor_hostname"):
        request.require(policies.DESTINATION)
    elif host:
        request.require(policies.FORCED_HOST)
    if zone not in ("", views.ZONE):
        raise errors.Invalid("The requested availability zone is not available")
    return zone or None, host or None


def _count(asked: dict[str, Any]) -> int:
    least = int(asked.get("min_count", 1))
    most = int(asked.get("max_count", least))
    if least > most:
        raise errors.Invalid("min_count must be <= max_count")
    return most
