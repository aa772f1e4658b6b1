"""Cinder in memory, at the place of the REST client: what it answers, refuses and remembers, without HTTP."""

from __future__ import annotations

import re
import threading
import uuid
from typing import Any

from lite_common import errors

SECRET = "chap-password"


class CinderTwin:
    """Volumes and attachments, changed as Cinder's state table says.

    `calls` are the requests by short names. `faults` gives by such a name errors that its next calls raise, first
    one first; with `after` the request has its effect before the error.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception]] = {}
        self.after: set[str] = set()
        self._lock = threading.Lock()

    def add_volume(self, **fields: Any) -> str:
        volume_id = str(uuid.uuid4())
        self.volumes[volume_id] = {"id": volume_id, "status": "available", "size": 1, "multiattach": False} | fields
        return volume_id

    def status(self, volume_id: str) -> str:
        return str(self.volumes[volume_id]["status"])

    def request(self, ctx: Any, method: str, path: str, *, version: str, body: Any = None) -> Any:
        with self._lock:
            name = self._name(method, path, body)
            self.calls.append(name)
            waiting = self.faults.get(name)
            fault = waiting.pop(0) if waiting else None
            if fault is not None and name not in self.after:
                raise fault
            answer = self._answer(name, path, body)
            if fault is not None:
                raise fault
            return answer

    @staticmethod
    def _name(method: str, path: str, body: Any) -> str:
        if path.endswith("/action"):
            return str(next(iter(body)))
        return f"{method} {re.split('[/?]', path)[1]}"

    def _answer(self, name: str, path: str, body: Any) -> Any:
        identity = path.split("/")[2].split("?")[0] if path.count("/") > 1 else ""
        if name == "GET attachments" and not identity:
            wanted = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
            return {
                "attachments": [
                    {"id": one["id"]}
                    for one in self.attachments.values()
                    if one["volume_id"] == wanted["volume_id"] and one["instance"] == wanted["instance_id"]
                ]
            }
        handler = getattr(self, "_" + name.replace(" ", "_").replace("-", "_").lower())
        return handler(identity, body[name] if body and name in body else body)

    def _volume(self, volume_id: str) -> dict[str, Any]:
        if volume_id not in self.volumes:
            raise errors.NotFound(f"Volume {volume_id} could not be found.")
        return self.volumes[volume_id]

    def _attachment(self, attachment_id: str) -> dict[str, Any]:
        if attachment_id not in self.attachments:
            raise errors.NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
        return self.attachments[attachment_id]

    def _get_volumes(self, volume_id: str, body: Any) -> Any:
        volume = self._volume(volume_id)
        attached = [one for one in self.attachments.values() if one["volume_id"] == volume_id and one["attached"]]
        shown = [{"server_id": one["instance"], "attachment_id": one["id"]} for one in attached]
        return {"volume": volume | {"attachments": shown}}

    def _delete_volumes(self, volume_id: str, body: Any) -> None:
        if self._volume(volume_id)["status"] != "available":
            raise errors.Invalid("Invalid volume: it is not available")
        del self.volumes[volume_id]

    def _post_attachments(self, _: str, body: Any) -> Any:
        asked = body["attachment"]
        volume = self._volume(asked["volume_uuid"])
        if volume["status"] != "available":
            raise errors.Invalid(f"Invalid volume: Volume {volume['id']} status must be available to reserve.")
        volume["status"] = "reserved"
        return {"attachment": {"id": self._new(volume["id"], asked["instance_uuid"])["id"]}}

    def _new(self, volume_id: str, server_id: str | None) -> dict[str, Any]:
        made = {"id": str(uuid.uuid4()), "volume_id": volume_id, "instance": server_id, "info": {}, "attached": False}
        self.attachments[made["id"]] = made
        return made

    def _put_attachments(self, attachment_id: str, body: Any) -> Any:
        attachment = self._attachment(attachment_id)
        self.volumes[attachment["volume_id"]]["status"] = "attaching"
        attachment["connector"] = body["attachment"]["connector"]
        attachment["info"] = flat_connection(attachment["volume_id"]) | {"attachment_id": attachment_id}
        return self._get_attachments(attachment_id, None)

    def _get_attachments(self, attachment_id: str, body: Any) -> Any:
        attachment = self._attachment(attachment_id)
        return {
            "attachment": {
                "id": attachment_id,
                "volume_id": attachment["volume_id"],
                "connection_info": attachment["info"],
            }
        }

    def _os_complete(self, attachment_id: str, body: Any) -> None:
        attachment = self._attachment(attachment_id)
        attachment["attached"] = True
        self.volumes[attachment["volume_id"]]["status"] = "in-use"

    def _delete_attachments(self, attachment_id: str, body: Any) -> Any:
        volume_id = self._attachment(attachment_id)["volume_id"]
        del self.attachments[attachment_id]
        self.volumes[volume_id]["status"] = "available"
        return {"attachments": []}

    def _move(self, volume_id: str, before: str, after: str, *, strict: bool = True) -> None:
        volume = self._volume(volume_id)
        if volume["status"] == before:
            volume["status"] = after
        elif strict:
            raise errors.Invalid(
                f"Invalid volume: Volume status must be {before}, but the status is {volume['status']}"
            )

    def _os_reserve(self, volume_id: str, body: Any) -> None:
        self._move(volume_id, "available", "attaching")

    def _os_unreserve(self, volume_id: str, body: Any) -> None:
        self._move(volume_id, "attaching", "available", strict=False)

    def _os_begin_detaching(self, volume_id: str, body: Any) -> None:
        self._move(volume_id, "in-use", "detaching")

    def _os_roll_detaching(self, volume_id: str, body: Any) -> None:
        self._move(volume_id, "detaching", "in-use", strict=False)

    def _os_initialize_connection(self, volume_id: str, body: Any) -> Any:
        assert body["connector"]["host"]
        data = flat_connection(self._volume(volume_id)["id"])
        return {"connection_info": {"driver_volume_type": data.pop("driver_volume_type"), "data": data}}

    def _os_terminate_connection(self, volume_id: str, body: Any) -> None:
        self._volume(volume_id)
        assert "connector" in body

    def _os_attach(self, volume_id: str, body: Any) -> None:
        assert body["mode"] == "rw"
        self._volume(volume_id)["status"] = "in-use"
        self._new(volume_id, body["instance_uuid"])["attached"] = True

    def _os_detach(self, volume_id: str, body: Any) -> None:
        mine = [one["id"] for one in self.attachments.values() if one["volume_id"] == volume_id]
        if body.get("attachment_id") and body["attachment_id"] not in mine:
            raise errors.Invalid(f"Volume {volume_id} has no attachment {body['attachment_id']}.")
        for attachment_id in mine:
            del self.attachments[attachment_id]
        self._volume(volume_id)["status"] = "available"


def flat_connection(volume_id: str) -> dict[str, Any]:
    """Connection information as an attachment shows it."""
    return {
        "driver_volume_type": "iscsi",
        "target_portal": "127.0.0.1:3260",
        "target_iqn": f"iqn.2010-10.org.openstack:volume-{volume_id}",
        "target_lun": 1,
        "auth_method": "CHAP",
        "auth_username": "user",
        "auth_password": SECRET,
        "access_mode": "rw",
    }
