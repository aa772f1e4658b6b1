"""Commands on servers: boot, list, show, delete, start, stop, reboot, console."""

import abc
import argparse
import typing
from collections.abc import Callable, Iterable, Sequence
from urllib import parse

from nova_lite.cli import base, columns, errors, failures, lookup, wait

# Nova API reference, "power_state" of a server.
POWER_STATES = {0: "NOSTATE", 1: "running", 3: "paused", 4: "shut down", 6: "crashed", 7: "suspended"}
LOG_HINT = "`nlite service-list` shows the services; the log of nova-lite-compute has the details"


class Boot(base.ShowOne):
    """Boot a server from an image."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add name, image, flavor and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", help="name of the new server")
        parser.add_argument("--image", metavar="IMAGE", help="image to boot from (default: the only one there is)")
        parser.add_argument("--flavor", metavar="FLAVOR", help="size of the server (default: the smallest flavor)")
        base.add_wait_options(parser, "the server is active")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Create the server and return its record."""
        image = lookup.image(self.cloud, parsed_args.image)
        flavor = lookup.flavor(self.cloud, parsed_args.flavor)
        wanted = {
            "name": parsed_args.name,
            "imageRef": image["id"],
            "flavorRef": flavor["id"],
            "networks": "none",
        }
        created = self.cloud.call("compute", "POST", "/servers", {"server": wanted}).body["server"]
        server_id = created["id"]
        if parsed_args.wait:
            title = f"Booting {parsed_args.name}"
            _follow(self, parsed_args, title, {"id": server_id, "name": parsed_args.name}, _reached("ACTIVE"))
        else:
            self.note(f"booting {parsed_args.name}; follow it with: nlite show {server_id}")
        return _shown(self.cloud.get("compute", f"/servers/{server_id}")["server"])


class List(base.Lister):
    """List servers."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the scope."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--all-projects", action="store_true", help="servers of all projects (administrators)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per server."""
        scope = {"all_tenants": "1"} if parsed_args.all_projects else {}
        servers = list(self.cloud.pages("compute", "/servers/detail", "servers", scope))
        images = lookup.image_names(self.cloud) if servers else {}
        header = ("ID", "Name", "Status", "Task", "Image", "Flavor", "Volumes")
        return header, [
            (
                server["id"],
                server["name"],
                server["status"],
                server.get("OS-EXT-STS:task_state"),
                images.get(_image_id(server), _image_id(server)),
                _flavor_name(server),
                columns.Count(_volume_ids(server)),
            )
            for server in servers
        ]


class Show(base.ShowOne):
    """Show one server."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the server."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[typing.Any]]:
        """Return the server's record, and its last failed attach or detach if nothing has succeeded since."""
        server = lookup.server(self.cloud, parsed_args.server)
        names, values = _shown(server)
        failed = list(failures.of_server(self.cloud, server["id"]).values())
        return ((*names, "last_failure"), (*values, failures.Cell(failed[-1]))) if failed else (names, values)


class _OnServers(base.Command):
    """A command that does one thing to each named server."""

    waits_until = ""
    verb = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add servers and waiting."""
        parser = super().get_parser(prog_name)
        parser.add_argument("servers", metavar="SERVER", nargs="+", help="name or id")
        base.add_wait_options(parser, self.waits_until)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Act on every server; return 1 if that failed for any."""
        return self.each(parsed_args.servers, lambda reference: self._one(parsed_args, reference))

    @abc.abstractmethod
    def request(self, server: lookup.Record, args: argparse.Namespace) -> None:
        """Send the request that begins the work."""

    @abc.abstractmethod
    def judge(self, server: lookup.Record | None) -> wait.Seen:
        """Say where the work stands; None means that the server is gone."""

    def _one(self, args: argparse.Namespace, reference: str) -> None:
        server = lookup.server(self.cloud, reference)
        try:
            self.request(server, args)
        except errors.ApiError as error:
            hint = f"it is busy or there already; its state: nlite show {server['id']}" if error.status == 409 else ""
            raise error.with_hint(hint) from error
        name = lookup.label(server)
        if args.wait:
            _follow(self, args, f"{self.verb} {name}", server, self.judge)
        else:
            self.note(f"{self.verb[0].lower()}{self.verb[1:]} {name}; follow it with: nlite show {server['id']}")


class Delete(_OnServers):
    """Delete servers."""

    waits_until = "the servers are gone"
    verb = "Deleting"

    def request(self, server: lookup.Record, args: argparse.Namespace) -> None:
        """Ask for the end of the server."""
        self.cloud.call("compute", "DELETE", f"/servers/{server['id']}")

    def judge(self, server: lookup.Record | None) -> wait.Seen:
        """Done when nova no longer knows the server."""
        if server is None or server["status"] == "DELETED":
            return wait.Seen("gone", wait.Outcome.DONE)
        return _judge_error(server) or wait.Seen(_state(server))


class Start(_OnServers):
    """Start servers that are shut off."""

    waits_until = "the servers are active"
    verb = "Starting"

    def request(self, server: lookup.Record, args: argparse.Namespace) -> None:
        """Ask for power."""
        _act(self, server, {"os-start": None})

    def judge(self, server: lookup.Record | None) -> wait.Seen:
        """Done when active, failed when it fell back to shut off."""
        return _reached("ACTIVE", falls_back_to="SHUTOFF")(server)


class Stop(_OnServers):
    """Shut servers off."""

    waits_until = "the servers are shut off"
    verb = "Stopping"

    def request(self, server: lookup.Record, args: argparse.Namespace) -> None:
        """Ask for a shutdown."""
        _act(self, server, {"os-stop": None})

    def judge(self, server: lookup.Record | None) -> wait.Seen:
        """Done when shut off, failed when it fell back to active."""
        return _reached("SHUTOFF", falls_back_to="ACTIVE")(server)


class Reboot(_OnServers):
    """Reboot a server."""

    waits_until = "the servers are active again"
    verb = "Rebooting"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the kind of reboot."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--hard", action="store_true", help="pull the plug instead of asking the guest")
        return parser

    def request(self, server: lookup.Record, args: argparse.Namespace) -> None:
        """Ask for the reboot."""
        _act(self, server, {"reboot": {"type": "HARD" if args.hard else "SOFT"}})

    def judge(self, server: lookup.Record | None) -> wait.Seen:
        """Done when active with no task left."""
        return _reached("ACTIVE")(server)


class Console(base.Command):
    """Print what a server wrote to its serial console."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add server and length."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("--lines", type=base.positive, metavar="N", help="only the last N lines")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the log to stdout as it is."""
        server = lookup.server(self.cloud, parsed_args.server)
        wanted = {} if parsed_args.lines is None else {"length": parsed_args.lines}
        output = _act(self, server, {"os-getConsoleOutput": wanted}).get("output") or ""
        self.nlite.stdout.write(output if output.endswith("\n") or not output else f"{output}\n")


def look_at(command: base.Mixin, server_id: str) -> lookup.Record | None:
    """Return the server as it is now, or None when nova does not know it; raises as Cloud.call does."""
    try:
        found = command.cloud.get("compute", f"/servers/{parse.quote(server_id, safe='')}")
    except errors.ApiError as error:
        if error.status != 404:
            raise
        return None
    return typing.cast(lookup.Record, found["server"])


def _act(command: base.Mixin, server: lookup.Record, body: dict[str, typing.Any]) -> dict[str, typing.Any]:
    return command.cloud.call("compute", "POST", f"/servers/{server['id']}/action", body).body


def _follow(
    command: base.Mixin,
    args: argparse.Namespace,
    title: str,
    server: lookup.Record,
    judge: Callable[[lookup.Record | None], wait.Seen],
) -> None:
    hint = f"it may still get there: nlite show {server['id']}; are all services up? nlite service-list"
    what = f"server {lookup.label(server)}"
    command.follow(args, title, what, hint, lambda: judge(look_at(command, server["id"])))


def _reached(status: str, falls_back_to: str = "") -> Callable[[lookup.Record | None], wait.Seen]:
    """Return a judge: done in this status without a task, failed in ERROR or back in the old status."""

    def judge(server: lookup.Record | None) -> wait.Seen:
        if server is None:
            message = "the server was deleted meanwhile"
            return wait.Seen("gone", wait.Outcome.FAILED, message, "`nlite list` shows the servers")
        state = _state(server)
        idle = not server.get("OS-EXT-STS:task_state")
        if server["status"] == status and idle:
            return wait.Seen(state, wait.Outcome.DONE)
        if server["status"] == falls_back_to and idle:
            message = f"server {lookup.label(server)} is {falls_back_to} again"
            return wait.Seen(state, wait.Outcome.FAILED, message, LOG_HINT)
        return _judge_error(server) or wait.Seen(state)

    return judge


def _judge_error(server: lookup.Record) -> wait.Seen | None:
    if server["status"] != "ERROR" or server.get("OS-EXT-STS:task_state"):
        return None
    fault = (server.get("fault") or {}).get("message") or "nova gives no reason"
    name = lookup.label(server)
    hint = f"{LOG_HINT}; remove the server with: nlite delete {server['id']}"
    return wait.Seen("ERROR", wait.Outcome.FAILED, f"server {name} went to ERROR: {fault}", hint)


def _state(server: lookup.Record) -> str:
    task = server.get("OS-EXT-STS:task_state")
    return f"{server['status']} ({task})" if task else str(server["status"])


def _shown(server: lookup.Record) -> tuple[Sequence[str], Sequence[typing.Any]]:
    power = server.get("OS-EXT-STS:power_state")
    record = {
        "id": server["id"],
        "name": server["name"],
        "status": server["status"],
        "vm_state": server.get("OS-EXT-STS:vm_state"),
        "task_state": server.get("OS-EXT-STS:task_state"),
        "power_state": None if power is None else POWER_STATES.get(power, str(power)),
        "host": server.get("OS-EXT-SRV-ATTR:host"),
        "instance_name": server.get("OS-EXT-SRV-ATTR:instance_name"),
        "image": _image_id(server),
        "flavor": _flavor_name(server),
        "volumes": columns.Lines(_volume_ids(server)),
        "project_id": server.get("tenant_id"),
        "created": server.get("created"),
        "fault": (server.get("fault") or {}).get("message"),
    }
    return tuple(record), tuple(record.values())


def _image_id(server: lookup.Record) -> str:
    # nova gives "" instead of an object for a server that boots from a volume.
    return str((server.get("image") or {}).get("id", ""))


def _flavor_name(server: lookup.Record) -> str:
    flavor = server.get("flavor") or {}
    return str(flavor.get("original_name") or flavor.get("id", ""))


def _volume_ids(server: lookup.Record) -> list[str]:
    return [item["id"] for item in server.get("os-extended-volumes:volumes_attached", ())]
