"""Commands on snapshots: create, list, show, delete."""

import argparse
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import base, columns, errors, lookup, volumes, wait


class Create(base.ShowOne):
    """Create a snapshot of a volume."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add volume, name, force and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="VOLUME", help="name or id")
        parser.add_argument("name", metavar="NAME", nargs="?", help="name of the new snapshot")
        parser.add_argument("--force", action="store_true", help="also if the volume is plugged into a server")
        base.add_wait_options(parser, "the snapshot is available")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Create the snapshot and return its record."""
        volume = lookup.volume(self.cloud, parsed_args.volume)
        wanted: dict[str, typing.Any] = {"volume_id": volume["id"]}
        if parsed_args.name is not None:
            wanted["name"] = parsed_args.name
        if parsed_args.force:
            wanted["force"] = True
        created = self._request(wanted, volume)
        name = lookup.label(created)
        if parsed_args.wait:
            hint = (
                f"it may still get there: nlite snapshot-show {created['id']}; are all services up? nlite service-list"
            )
            self.follow(
                parsed_args, f"Creating {name}", f"snapshot {name}", hint, lambda: self._judge(created["id"], name)
            )
        else:
            self.note(f"creating {name}; follow it with: nlite snapshot-show {created['id']}")
        return _shown(self.cloud.get("volume", f"/snapshots/{created['id']}")["snapshot"])

    def _request(self, wanted: dict[str, typing.Any], volume: lookup.Record) -> lookup.Record:
        try:
            reply = self.cloud.call("volume", "POST", "/snapshots", {"snapshot": wanted})
        except errors.ApiError as error:
            if error.status == 400 and volume["status"] == "in-use":
                raise error.with_hint("add --force to take it while the guest may be writing") from error
            raise
        return typing.cast(lookup.Record, reply.body["snapshot"])

    def _judge(self, snapshot_id: str, name: str) -> wait.Seen:
        snapshot = _look_at(self, snapshot_id)
        if snapshot is None:
            message = f"snapshot {name} was deleted meanwhile"
            return wait.Seen("gone", wait.Outcome.FAILED, message, "`nlite snapshot-list` shows the snapshots")
        status = snapshot["status"]
        if status.startswith(volumes.ERROR_PREFIX):
            message = f"snapshot {name} could not be created: its status is {status}"
            hint = f"{volumes.LOG_HINT}; remove the snapshot with: nlite snapshot-delete {snapshot_id}"
            return wait.Seen(status, wait.Outcome.FAILED, message, hint)
        return wait.Seen(status, wait.Outcome.PENDING if status == "creating" else wait.Outcome.DONE)


class List(base.Lister):
    """List snapshots."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the scope and the volume."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--volume", metavar="VOLUME", help="snapshots of this volume only, by name or id")
        parser.add_argument("--all-projects", action="store_true", help="snapshots of all projects (administrators)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per snapshot."""
        scope = {"all_tenants": "1"} if parsed_args.all_projects else {}
        if parsed_args.volume is not None:
            scope["volume_id"] = lookup.volume(self.cloud, parsed_args.volume)["id"]
        found = self.cloud.pages("volume", "/snapshots/detail", "snapshots", scope)
        return ("ID", "Name", "Status", "Size", "Volume"), [
            (one["id"], one.get("name"), one["status"], one["size"], one["volume_id"]) for one in found
        ]


class Show(base.ShowOne):
    """Show one snapshot."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the snapshot."""
        parser = super().get_parser(prog_name)
        parser.add_argument("snapshot", metavar="SNAPSHOT", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Return the snapshot's record."""
        return _shown(lookup.snapshot(self.cloud, parsed_args.snapshot))


class Delete(base.Command):
    """Delete snapshots."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add snapshots and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("snapshots", metavar="SNAPSHOT", nargs="+", help="name or id")
        base.add_wait_options(parser, "the snapshots are gone")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Delete every snapshot; return 1 if that failed for any."""
        return self.each(parsed_args.snapshots, lambda reference: self._one(parsed_args, reference))

    def _one(self, args: argparse.Namespace, reference: str) -> None:
        snapshot = lookup.snapshot(self.cloud, reference)
        name = lookup.label(snapshot)
        self.cloud.call("volume", "DELETE", f"/snapshots/{snapshot['id']}")
        if args.wait:
            hint = f"see how it goes on with: nlite snapshot-show {snapshot['id']}"
            self.follow(args, f"Deleting {name}", f"snapshot {name}", hint, lambda: self._judge(snapshot["id"], name))
        else:
            self.note(f"deleting {name}")

    def _judge(self, snapshot_id: str, name: str) -> wait.Seen:
        snapshot = _look_at(self, snapshot_id)
        if snapshot is None:
            return wait.Seen("gone", wait.Outcome.DONE)
        status = snapshot["status"]
        if status == "deleting":
            return wait.Seen(status)
        message = f"snapshot {name} was not deleted: its status is {status} now"
        return wait.Seen(status, wait.Outcome.FAILED, message, volumes.LOG_HINT)


def _look_at(command: base.Mixin, snapshot_id: str) -> lookup.Record | None:
    """Return the snapshot as it is now, or None when cinder does not know it; raises as Cloud.call does."""
    try:
        return typing.cast(lookup.Record, command.cloud.get("volume", f"/snapshots/{snapshot_id}")["snapshot"])
    except errors.ApiError as error:
        if error.status != 404:
            raise
        return None


def _shown(snapshot: lookup.Record) -> tuple[Sequence[str], Sequence[typing.Any]]:
    record = {
        "id": snapshot["id"],
        "name": snapshot.get("name"),
        "description": snapshot.get("description"),
        "status": snapshot["status"],
        "size": snapshot["size"],
        "volume_id": snapshot["volume_id"],
        "metadata": columns.Pairs(snapshot.get("metadata") or {}),
        "project_id": snapshot.get("os-extended-snapshot-attributes:project_id"),
        "created_at": snapshot.get("created_at"),
    }
    return tuple(record), tuple(record.values())
