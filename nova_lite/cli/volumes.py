"""Commands on volumes: create, list, show, extend, delete."""

import argparse
import functools
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import base, columns, errors, failures, lookup, wait

LOG_HINT = "`nlite service-list` shows the services; the log of cinder-lite-volume has the details"
# Statuses in which a volume stays until somebody acts (Cinder API reference, volume statuses).
ERROR_PREFIX = "error"


class Create(base.ShowOne):
    """Create a volume: empty, or from a snapshot or another volume."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add name, size, type and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", nargs="?", help="name of the new volume")
        parser.add_argument(
            "--size", type=base.positive, metavar="N", help="size in GiB (default: that of the snapshot or source)"
        )
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--snapshot", metavar="SNAPSHOT", help="begin with what this snapshot holds (name or id)")
        source.add_argument("--source", metavar="VOLUME", help="begin with what this volume holds (name or id)")
        parser.add_argument("--type", metavar="T", help="volume type, by name or id (default: cinder's default type)")
        base.add_wait_options(parser, "the volume is available")
        self._parser = parser
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Create the volume and return its record."""
        if parsed_args.size is None and parsed_args.snapshot is None and parsed_args.source is None:
            self._parser.error("an empty volume needs a size: --size N")
        wanted: dict[str, typing.Any] = {} if parsed_args.size is None else {"size": parsed_args.size}
        if parsed_args.snapshot is not None:
            wanted["snapshot_id"] = lookup.snapshot(self.cloud, parsed_args.snapshot)["id"]
        if parsed_args.source is not None:
            wanted["source_volid"] = lookup.volume(self.cloud, parsed_args.source)["id"]
        if parsed_args.name is not None:
            wanted["name"] = parsed_args.name
        if parsed_args.type is not None:
            wanted["volume_type"] = parsed_args.type
        created = self._request(wanted)
        if parsed_args.wait:
            name = lookup.label(created)
            hint = f"it may still get there: nlite volume-show {created['id']}; are all services up? nlite service-list"
            self.follow(
                parsed_args,
                f"Creating {name}",
                f"volume {name}",
                hint,
                lambda: self._judge(created["id"], name),
            )
        else:
            self.note(f"creating {lookup.label(created)}; follow it with: nlite volume-show {created['id']}")
        return shown(self, self.cloud.get("volume", f"/volumes/{created['id']}")["volume"])

    def _request(self, wanted: dict[str, typing.Any]) -> lookup.Record:
        try:
            reply = self.cloud.call("volume", "POST", "/volumes", {"volume": wanted})
        except errors.ApiError as error:
            if error.status == 404 and "volume_type" in wanted:
                raise error.with_hint("leave --type out to get the default type") from error
            raise
        return typing.cast(lookup.Record, reply.body["volume"])

    def _judge(self, volume_id: str, name: str) -> wait.Seen:
        volume = look_at(self, volume_id)
        if volume is None:
            return gone_meanwhile(name)
        status = volume["status"]
        if status.startswith(ERROR_PREFIX):
            message = f"volume {name} could not be created: its status is {status}"
            hint = f"{LOG_HINT}; remove the volume with: nlite volume-delete {volume_id}"
            return wait.Seen(status, wait.Outcome.FAILED, message, hint)
        # Anything beyond available, such as a very quick attach by somebody else, is success too.
        return wait.Seen(status, wait.Outcome.PENDING if status == "creating" else wait.Outcome.DONE)


class List(base.Lister):
    """List volumes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the scope."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--all-projects", action="store_true", help="volumes of all projects (administrators)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per volume."""
        scope = {"all_tenants": "1"} if parsed_args.all_projects else {}
        volumes = list(self.cloud.pages("volume", "/volumes/detail", "volumes", scope))
        names = lookup.server_names(self.cloud) if any(item["attachments"] for item in volumes) else {}
        header = ("ID", "Name", "Status", "Size", "Type", "Attached to")
        return header, [
            (
                volume["id"],
                volume.get("name"),
                volume["status"],
                volume["size"],
                volume.get("volume_type"),
                columns.Attachments(_attachments(volume, names)),
            )
            for volume in volumes
        ]


class Show(base.ShowOne):
    """Show one volume."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the volume."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="VOLUME", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Return the volume's record, and its last failed attach or detach if nothing has succeeded since."""
        volume = lookup.volume(self.cloud, parsed_args.volume)
        names, values = shown(self, volume)
        failure = failures.of_volume(self.cloud, volume["id"])
        return (names, values) if failure is None else ((*names, "last_failure"), (*values, failures.Cell(failure)))


class Extend(base.ShowOne):
    """Make a volume larger, also while a server has it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add volume, size and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="VOLUME", help="name or id")
        parser.add_argument("size", type=base.positive, metavar="N", help="new size in GiB")
        base.add_wait_options(parser, "the volume has its new size")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Extend the volume and return its record."""
        volume = lookup.volume(self.cloud, parsed_args.volume)
        name, action = lookup.label(volume), f"/volumes/{volume['id']}/action"
        self.cloud.call("volume", "POST", action, {"os-extend": {"new_size": parsed_args.size}})
        if parsed_args.wait:
            hint = f"it may still get there: nlite volume-show {volume['id']}; are all services up? nlite service-list"
            look = functools.partial(self._judge, volume["id"], name, parsed_args.size)
            self.follow(parsed_args, f"Extending {name}", f"volume {name}", hint, look)
        else:
            self.note(f"extending {name}; follow it with: nlite volume-show {volume['id']}")
        return shown(self, self.cloud.get("volume", f"/volumes/{volume['id']}")["volume"])

    def _judge(self, volume_id: str, name: str, size: int) -> wait.Seen:
        volume = look_at(self, volume_id)
        if volume is None:
            return gone_meanwhile(name)
        status = volume["status"]
        if status == "extending":
            return wait.Seen(status)
        if volume["size"] >= size:
            return wait.Seen(status, wait.Outcome.DONE)
        message = f"volume {name} was not extended: its size is {volume['size']}, its status {status}"
        return wait.Seen(status, wait.Outcome.FAILED, message, LOG_HINT)


class Delete(base.Command):
    """Delete volumes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add volumes and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volumes", metavar="VOLUME", nargs="+", help="name or id")
        base.add_wait_options(parser, "the volumes are gone")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Delete every volume; return 1 if that failed for any."""
        return self.each(parsed_args.volumes, lambda reference: self._one(parsed_args, reference))

    def _one(self, args: argparse.Namespace, reference: str) -> None:
        volume = lookup.volume(self.cloud, reference)
        name = lookup.label(volume)
        try:
            self.cloud.call("volume", "DELETE", f"/volumes/{volume['id']}")
        except errors.ApiError as error:
            raise error.with_hint(detach_hint(volume)) from error
        if args.wait:
            hint = f"see how it goes on with: nlite volume-show {volume['id']}"
            self.follow(args, f"Deleting {name}", f"volume {name}", hint, lambda: self._judge(volume["id"], name))
        else:
            self.note(f"deleting {name}")

    def _judge(self, volume_id: str, name: str) -> wait.Seen:
        volume = look_at(self, volume_id)
        if volume is None:
            return wait.Seen("gone", wait.Outcome.DONE)
        status = volume["status"]
        if status == "deleting":
            return wait.Seen(status)
        return wait.Seen(
            status,
            wait.Outcome.FAILED,
            f"volume {name} was not deleted: its status is {status} now",
            LOG_HINT,
        )


def look_at(command: base.Mixin, volume_id: str) -> lookup.Record | None:
    """Return the volume as it is now, or None when cinder does not know it; raises as Cloud.call does."""
    try:
        return typing.cast(lookup.Record, command.cloud.get("volume", f"/volumes/{volume_id}")["volume"])
    except errors.ApiError as error:
        if error.status != 404:
            raise
        return None


def gone_meanwhile(name: str) -> wait.Seen:
    """Return the failure of a command whose volume somebody deleted while it waited."""
    message = f"volume {name} was deleted meanwhile"
    return wait.Seen("gone", wait.Outcome.FAILED, message, "`nlite volume-list` shows the volumes")


def detach_hint(volume: lookup.Record) -> str:
    """Return the command that frees an attached volume, or "" when the volume is not attached to a server."""
    for attachment in volume.get("attachments", ()):
        if attachment.get("server_id"):
            return f"detach it first: nlite volume-detach {attachment['server_id']} {volume['id']} --wait"
    return ""


def shown(command: base.Mixin, volume: lookup.Record) -> tuple[Sequence[str], Sequence[typing.Any]]:
    """Return field names and values of a volume, as cliff shows one record."""
    names = lookup.server_names(command.cloud) if volume.get("attachments") else {}
    record = {
        "id": volume["id"],
        "name": volume.get("name"),
        "description": volume.get("description"),
        "status": volume["status"],
        "size": volume["size"],
        "type": volume.get("volume_type"),
        "attachments": columns.Attachments(_attachments(volume, names)),
        "availability_zone": volume.get("availability_zone"),
        "host": volume.get("os-vol-host-attr:host"),
        "bootable": volume.get("bootable"),
        "metadata": columns.Pairs(volume.get("metadata") or {}),
        "project_id": volume.get("os-vol-tenant-attr:tenant_id"),
        "created_at": volume.get("created_at"),
    }
    return tuple(record), tuple(record.values())


def _attachments(volume: lookup.Record, names: dict[str, str]) -> list[dict[str, typing.Any]]:
    return [
        {
            "server_id": item.get("server_id"),
            "server_name": names.get(item.get("server_id") or ""),
            "host_name": item.get("host_name"),
            "device": item.get("device"),
            "attachment_id": item.get("attachment_id"),
            "attached_at": item.get("attached_at"),
        }
        for item in volume.get("attachments", ())
    ]
