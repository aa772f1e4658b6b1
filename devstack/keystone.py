"""A private keystone: the real one from PyPI under waitress, on loopback, with its users, projects and catalog.

    python3 -m devstack.keystone DIRECTORY --port N run        prepare and become the server (under supervisord)
    python3 -m devstack.keystone DIRECTORY --port N wait       wait until it answers
    python3 -m devstack.keystone DIRECTORY --port N populate   projects, users, roles, catalog; clouds.yaml is printed
    python3 -m devstack.keystone DIRECTORY --port N password NAME

The directory holds a file `settings` (the virtual environment it is installed in and the URL of its database), its
configuration, its fernet keys and the users' passwords. Everything may be repeated: what is there is kept.
Standard library only: it runs under the system's Python, as the other servers do.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack.server import HOST, PROBE_SECONDS, Server, ServerError, checked

REGION = "RegionOne"
DOMAIN = "Default"
# User, project, roles there. `nova` is an administrator because nova-compute finishes by itself what a user began.
USERS = (
    ("admin", "demo", ("admin",)),
    ("demo", "demo", ("member",)),
    ("reader", "demo", ("reader",)),
    ("nova", "service", ("service", "admin")),
    ("cinder", "service", ("service",)),
)
CLOUDS = {"nlite": "demo", "nlite-admin": "admin", "nlite-reader": "reader"}
PREPARE_SECONDS = 600.0
APPLICATION = Path(__file__).resolve().parent / "keystone_app.py"


class Keystone(Server):
    """A keystone of its own; `programs` is where its programs are, `database` the SQLAlchemy URL of its database.

    `token_seconds` is how long tokens live.
    """

    name = "keystone"

    def __init__(
        self,
        directory: Path | str,
        port: int | None = None,
        *,
        programs: Path | str = "",
        database: str = "",
        token_seconds: int = 3600,
    ) -> None:
        super().__init__(directory, port)
        self.programs = Path(programs)
        self.database = database
        self.token_seconds = token_seconds

    @property
    def url(self) -> str:
        """The Identity API's address."""
        return f"http://{HOST}:{self.port}/v3"

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.directory / "keystone.conf"

    def prepare(self) -> None:
        self._write_config()
        done = self.directory / "prepared"
        # Its tables belong to the version that is installed.
        version = checked([str(self.programs / "keystone-manage"), "--version"], limit=PREPARE_SECONDS).strip()
        if done.exists() and done.read_text() == version:
            return
        self._manage("db_sync")
        for keys in ("fernet_setup", "credential_setup"):
            self._manage(keys, "--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
        urls = [f"--bootstrap-{kind}-url={self.url}" for kind in ("admin", "internal", "public")]
        # The environment, unlike arguments, is not shown to other users.
        secret = {"OS_BOOTSTRAP_PASSWORD": self.password("admin")}
        self._manage("bootstrap", *urls, f"--bootstrap-region-id={REGION}", env=secret)
        done.write_text(version)

    def argv(self) -> list[str]:
        # -P: this directory has a module of keystone's name.
        return [str(self.programs / "python"), "-P", str(APPLICATION), HOST, str(self.port)]

    def env(self) -> dict[str, str]:
        return {"OS_KEYSTONE_CONFIG_FILES": str(self.config), "OS_KEYSTONE_CONFIG_DIR": str(self.directory)}

    def answers(self) -> bool:
        try:
            return bool(self._ask("GET", "")["version"]["id"])
        except (ServerError, KeyError):
            return False

    def password(self, name: str) -> str:
        """The password of a user; made when it is first asked for."""
        path = self.directory / "passwords" / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16))
        return path.read_text()

    def populate(self, endpoints: Mapping[str, str]) -> None:
        """Make the projects and users, and put the `endpoints` (URL by service type) into the catalog."""
        token = self.token("admin", "admin")
        roles = {role["name"]: role["id"] for role in self._ask("GET", "/roles", token)["roles"]}
        for name, project, granted in USERS:
            made = self._ensure(token, "project", project, {"domain_id": "default"})
            extra = {"domain_id": "default", "password": self.password(name)}
            user = self._ensure(token, "user", name, extra)
            for role in granted:
                self._ask("PUT", f"/projects/{made}/users/{user}/roles/{roles[role]}", token)
        for kind, url in endpoints.items():
            service = self._ensure(token, "service", kind, {"type": kind})
            found = self._ask("GET", f"/endpoints?service_id={service}", token)["endpoints"]
            known = {one["interface"]: one for one in found}
            for interface in ("public", "internal"):
                body = {"service_id": service, "interface": interface, "url": url, "region_id": REGION}
                if interface not in known:
                    self._ask("POST", "/endpoints", token, {"endpoint": body})
                elif known[interface]["url"] != url:
                    self._ask("PATCH", f"/endpoints/{known[interface]['id']}", token, {"endpoint": {"url": url}})

    def token(self, user: str, project: str) -> str:
        """A token of that user for that project. Raises ServerError when keystone gives none."""
        login = {"name": user, "domain": {"name": DOMAIN}, "password": self.password(user)}
        scope = {"project": {"name": project, "domain": {"name": DOMAIN}}}
        identity = {"methods": ["password"], "password": {"user": login}}
        body = {"auth": {"identity": identity, "scope": scope}}
        return str(self._request("POST", "/auth/tokens", None, body)[1]["X-Subject-Token"])

    def login(self, name: str) -> dict[str, str]:
        """What a client or a service needs to log in as that user: options of keystoneauth's password plugin."""
        project = next(project for user, project, _ in USERS if user == name)
        return {
            "auth_url": self.url,
            "username": name,
            "password": self.password(name),
            "project_name": project,
            "user_domain_name": DOMAIN,
            "project_domain_name": DOMAIN,
        }

    def options(self, name: str) -> dict[str, dict[str, str]]:
        """Sections of a service's configuration, by which it validates tokens and logs in itself."""
        middleware = {"www_authenticate_uri": self.url, "service_token_roles_required": "true"}
        return {
            "keystone_authtoken": {"auth_type": "password", **self.login(name), **middleware},
            "service_user": {"auth_section": "keystone_authtoken"},
        }

    def clouds(self) -> str:
        """A clouds.yaml with an entry for each kind of user. JSON is YAML, and quotes what must be."""
        entries = {
            cloud: {"auth": self.login(user), "region_name": REGION, "identity_api_version": "3"}
            for cloud, user in CLOUDS.items()
        }
        lines = [f"  {cloud}: {json.dumps(entry)}" for cloud, entry in entries.items()]
        return "\n".join(["clouds:", *lines])

    def _write_config(self) -> None:
        sections = {
            "DEFAULT": {"use_stderr": "true", "log_dir": "", "default_log_levels": "keystone=INFO,sqlalchemy=WARNING"},
            "database": {"connection": self.database},
            "token": {"provider": "fernet", "expiration": str(self.token_seconds)},
            "fernet_tokens": {"key_repository": str(self.directory / "fernet-keys")},
            "credential": {"key_repository": str(self.directory / "credential-keys")},
            # Without memcached each process remembers by itself; there is one.
            "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            "oslo_policy": {"enforce_scope": "false"},
        }
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items() if value), ""]
        self.config.touch(mode=0o600)
        self.config.write_text("\n".join(lines))

    def _manage(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        program = [str(self.programs / "keystone-manage"), "--config-file", str(self.config)]
        checked([*program, *arguments], limit=PREPARE_SECONDS, env=env)

    def _ensure(self, token: str, kind: str, name: str, extra: Mapping[str, Any]) -> str:
        found = self._ask("GET", f"/{kind}s?name={name}", token)[f"{kind}s"]
        if not found:
            found = [self._ask("POST", f"/{kind}s", token, {kind: {"name": name, **extra}})[kind]]
        return str(found[0]["id"])

    def _ask(self, method: str, path: str, token: str | None = None, body: Any = None) -> Any:
        return self._request(method, path, token, body)[0]

    def _request(self, method: str, path: str, token: str | None, body: Any) -> tuple[Any, Mapping[str, str]]:
        headers = {"Content-Type": "application/json"} | ({"X-Auth-Token": token} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        # A proxy from the environment cannot reach this machine's loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PROBE_SECONDS * 6) as answer:
                text = answer.read()
                return json.loads(text) if text else None, dict(answer.headers.items())
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:300]
            raise ServerError(f"keystone answered {method} {path} with {error.code}: {told}") from error
        except (OSError, ValueError) as error:
            raise ServerError(f"keystone at {self.url} does not answer: {error}") from error


def of_directory(directory: Path, port: int) -> Keystone:
    """The keystone that the directory's `settings` describe. Raises ServerError when there are none."""
    try:
        settings = json.loads((directory / "settings").read_text())
    except (OSError, ValueError) as error:
        raise ServerError(f"{directory}/settings cannot be read: {error}") from error
    return Keystone(directory, port, programs=settings["programs"], database=settings["database"])


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="devstack.keystone", description="Run a keystone in the foreground.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run")
    commands.add_parser("wait").add_argument("--seconds", type=float, default=120.0)
    commands.add_parser("populate").add_argument("endpoints", nargs="+", metavar="TYPE=URL")
    for name in ("sections", "password"):
        commands.add_parser(name).add_argument("user")
    args = parser.parse_args(argv)
    try:
        keystone = of_directory(args.directory, args.port)
        if args.command == "run":
            keystone.prepare()
            command = keystone.launch_argv(tie=False)
            os.execve(command[0], command, {**os.environ, **keystone.env()})
        print(_told(keystone, args), end="")
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _told(keystone: Keystone, args: argparse.Namespace) -> str:
    if args.command == "wait":
        keystone.wait(args.seconds)
        return ""
    if args.command == "populate":
        keystone.populate(dict(pair.split("=", 1) for pair in args.endpoints))
        return keystone.clouds() + "\n"
    if args.command == "password":
        return keystone.password(args.user) + "\n"
    lines = []
    for section, options in keystone.options(args.user).items():
        lines += ["", f"[{section}]", *(f"{name} = {value}" for name, value in options.items())]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
