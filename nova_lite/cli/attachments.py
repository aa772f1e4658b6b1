"""Commands on attachments: plug a volume into a server, unplug it, list what a server has.

Nova starts both works and cinder's volume status tells how they go on, so waiting watches the volume:
reserved, attaching, in-use and detaching, available. A status that falls back is a failure that nova undid.
"""

import argparse
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import base, errors, failures, lookup, servers, volumes, wait

# Up to this many volumes are asked for one by one; beyond, one list of all volumes is cheaper.
FEW_VOLUMES = 5


class Attach(base.ShowOne):
    """Plug a volume into a server."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add server, volume, device and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("volume", metavar="VOLUME", help="name or id")
        parser.add_argument("device", metavar="DEVICE", nargs="?", help="such as /dev/vdb (default: nova chooses)")
        base.add_wait_options(parser, "the volume is in use in the server")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Attach the volume and return the attachment."""
        server = lookup.server(self.cloud, parsed_args.server)
        volume = lookup.volume(self.cloud, parsed_args.volume)
        wanted = {"volumeId": volume["id"], "device": parsed_args.device}
        path = f"/servers/{server['id']}/os-volume_attachments"
        try:
            reply = self.cloud.call("compute", "POST", path, {"volumeAttachment": wanted})
        except errors.ApiError as error:
            raise error.with_hint(_refusal_hint(error, server, volume, parsed_args.device)) from error
        name, target = lookup.label(volume), lookup.label(server)
        if parsed_args.wait:
            self.follow(
                parsed_args,
                f"Attaching {name} to {target}",
                f"volume {name}",
                f"it may still get there: nlite volume-show {volume['id']}; are all services up? nlite service-list",
                lambda: _judge_attach(volumes.look_at(self, volume["id"]), server, volume, reply.request_id),
            )
        else:
            self.note(f"attaching {name} to {target}; follow it with: nlite volume-show {volume['id']}")
        return self._shown(server, volume, reply.body.get("volumeAttachment") or {})

    def _shown(
        self, server: lookup.Record, volume: lookup.Record, answer: dict[str, typing.Any]
    ) -> tuple[Sequence[str], Sequence[typing.Any]]:
        mine = _cinder_attachments(self, server["id"]).get(volume["id"], {})
        record = {
            "server_id": server["id"],
            "server_name": server["name"],
            "volume_id": volume["id"],
            "volume_name": volume.get("name"),
            "device": answer.get("device"),
            "attachment_id": mine.get("id"),
            "status": mine.get("status"),
        }
        return tuple(record), tuple(record.values())


class Detach(base.Command):
    """Unplug a volume from a server."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add server, volume and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("volume", metavar="VOLUME", help="name or id")
        base.add_wait_options(parser, "the volume is available again")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Detach the volume; the result is the exit code."""
        server = lookup.server(self.cloud, parsed_args.server)
        volume = lookup.volume(self.cloud, parsed_args.volume)
        name, target = lookup.label(volume), lookup.label(server)
        path = f"/servers/{server['id']}/os-volume_attachments/{volume['id']}"
        try:
            reply = self.cloud.call("compute", "DELETE", path)
        except errors.ApiError as error:
            hint = f"see what {target} has: nlite volume-attachments {server['id']}" if error.status == 404 else ""
            raise error.with_hint(hint or _busy_hint(error, server)) from error
        if parsed_args.wait:
            self.follow(
                parsed_args,
                f"Detaching {name} from {target}",
                f"volume {name}",
                f"a guest that is booting or busy answers late; see: nlite volume-show {volume['id']}",
                lambda: self._judge(path, server, volume, reply.request_id),
            )
        else:
            self.note(f"detaching {name} from {target}; follow it with: nlite volume-show {volume['id']}")

    def _judge(self, path: str, server: lookup.Record, volume: lookup.Record, request_id: str) -> wait.Seen:
        now = volumes.look_at(self, volume["id"])
        name = lookup.label(volume)
        if now is None:
            return volumes.gone_meanwhile(name)
        status = now["status"]
        mine = any(item.get("server_id") == server["id"] for item in now.get("attachments", ()))
        if status.startswith(volumes.ERROR_PREFIX):
            return wait.Seen(status, wait.Outcome.FAILED, f"volume {name} went to {status}", _log_hint(request_id))
        if status == "in-use" and mine:
            message = f"volume {name} is still attached to {lookup.label(server)}: the detach failed and was undone"
            return wait.Seen(status, wait.Outcome.FAILED, message, _log_hint(request_id))
        if mine or status == "detaching" or self._nova_lists(path):
            return wait.Seen(status)
        return wait.Seen(status, wait.Outcome.DONE)

    def _nova_lists(self, path: str) -> bool:
        """Tell whether nova still has the attachment: until it has not, it refuses the next attach."""
        try:
            self.cloud.get("compute", path)
        except errors.ApiError as error:
            if error.status != 404:
                raise
            return False
        return True


class List(base.Lister):
    """List the volumes that are plugged into a server."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the server."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per attachment that nova lists, with its last failure; those of other volumes are notes."""
        server = lookup.server(self.cloud, parsed_args.server)
        path = f"/servers/{server['id']}/os-volume_attachments"
        listed = self.cloud.get("compute", path)["volumeAttachments"]
        in_cinder = _cinder_attachments(self, server["id"]) if listed else {}
        names = self._volume_names([item["volumeId"] for item in listed])
        plugged = {item["volumeId"] for item in listed}
        failed = failures.of_server(self.cloud, server["id"])
        self._note_failures({key: value for key, value in failed.items() if key not in plugged})
        header: Sequence[str] = ("Volume ID", "Volume Name", "Device", "Attachment ID", "Status")
        rows: list[Sequence[typing.Any]] = [
            (
                item["volumeId"],
                names.get(item["volumeId"]),
                item.get("device"),
                in_cinder.get(item["volumeId"], {}).get("id"),
                in_cinder.get(item["volumeId"], {}).get("status"),
            )
            for item in listed
        ]
        if plugged & set(failed):
            header = (*header, "Last Failure")
            rows = [(*row, failures.Cell(failed[row[0]]) if row[0] in failed else None) for row in rows]
        return header, rows

    def _note_failures(self, failed: dict[str, lookup.Record]) -> None:
        for volume_id, failure in failed.items():
            self.note(f"volume {volume_id}: {failures.sentence(failure)}; see: nlite trace {failure['request_id']}")

    def _volume_names(self, ids: list[str]) -> dict[str, str]:
        if len(ids) > FEW_VOLUMES:
            return {item["id"]: item["name"] for item in self.cloud.pages("volume", "/volumes", "volumes")}
        found = (volumes.look_at(self, volume_id) for volume_id in ids)
        return {item["id"]: item["name"] for item in found if item is not None}


def _cinder_attachments(command: base.Mixin, server_id: str) -> dict[str, lookup.Record]:
    """Return cinder's attachments of the server by volume id; they hold the attachment id and its status."""
    found = command.cloud.pages("volume", "/attachments", "attachments", {"instance_id": server_id})
    # `instance_id` is a filter that an API may ignore, so it is checked again.
    return {item["volume_id"]: item for item in found if item.get("instance") == server_id}


def _judge_attach(
    now: lookup.Record | None, server: lookup.Record, volume: lookup.Record, request_id: str
) -> wait.Seen:
    name = lookup.label(volume)
    if now is None:
        return volumes.gone_meanwhile(name)
    status = now["status"]
    if status == "in-use":
        mine = any(item.get("server_id") == server["id"] for item in now.get("attachments", ()))
        return wait.Seen(status, wait.Outcome.DONE if mine else wait.Outcome.PENDING)
    # The API reserves the volume before it answers, so an available volume has been given back.
    if status == "available":
        message = f"volume {name} was not attached to {lookup.label(server)}: the attach failed and was undone"
        return wait.Seen(status, wait.Outcome.FAILED, message, _log_hint(request_id))
    if status.startswith(volumes.ERROR_PREFIX):
        message = f"volume {name} was not attached to {lookup.label(server)}: its status is {status}"
        return wait.Seen(status, wait.Outcome.FAILED, message, _log_hint(request_id))
    return wait.Seen(status)


def _log_hint(request_id: str) -> str:
    if not request_id:
        return servers.LOG_HINT
    return f"`nlite trace {request_id}` tells what happened; `nlite service-list` shows the services"


def _busy_hint(error: errors.ApiError, server: lookup.Record) -> str:
    if error.status == 409:
        return f"see its state with: nlite show {server['id']}, and the services with: nlite service-list"
    return ""


def _refusal_hint(error: errors.ApiError, server: lookup.Record, volume: lookup.Record, device: str | None) -> str:
    """Return what to do about a refused attach, by the volume's state before it."""
    if device is not None and "device" in error.message:
        return "a device looks like /dev/vdc; leave it out and nova takes the next free one"
    if error.status != 400:
        return _busy_hint(error, server)
    status = volume["status"]
    if status == "available":
        return ""
    if status.startswith(volumes.ERROR_PREFIX):
        return f"the volume is in {status}: see nlite volume-show {volume['id']}, and create another"
    return volumes.detach_hint(volume) or f"the volume is {status}: wait until it is available"
