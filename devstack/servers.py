"""The outside servers of the stack, each as a private instance: RabbitMQ, MariaDB, tgtd, libvirtd.

There is one way to start them, used twice.  Tests make an object, call `start()` and talk to the server; the stack
runs `python3 -m devstack.servers NAME DIRECTORY --port N` under supervisord, which prepares the same directory and
runs the same command.  An instance keeps everything (data, sockets, logs, pid) in its own directory and listens on
127.0.0.1 only, so it never meets another instance or the machine's own service of the same name.

Standard library only: the stack starts these before it has a virtualenv.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import shlex
import shutil
import socket
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from devstack.server import HOST, PROBE_SECONDS, Server, ServerError, checked, find_program, free_port


class RabbitMQ(Server):
    """A broker with an own port mapper; `url` is what oslo.messaging takes as transport_url."""

    name = "rabbitmq"

    def __init__(self, directory: Path | str, port: int | None = None) -> None:
        super().__init__(directory, port)
        self.epmd_port = free_port()
        self.dist_port = free_port()

    @property
    def url(self) -> str:
        """Return the transport URL (user and password are RabbitMQ's defaults, which it accepts from loopback only)."""
        return f"rabbit://guest:guest@{HOST}:{self.port}/"

    @property
    def amqp_url(self) -> str:
        """Return the same address with the scheme that plain AMQP clients expect."""
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    def prepare(self) -> None:
        for part in ("home", "mnesia", "log"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "plugins").write_text("[].\n")
        config = {
            "listeners.tcp.1": f"{HOST}:{self.port}",
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            "vm_memory_high_watermark.absolute": "256MiB",
            "disk_free_limit.absolute": "64MiB",
            "num_acceptors.tcp": "2",
        }
        (self.directory / "rabbitmq.conf").write_text("".join(f"{k} = {v}\n" for k, v in config.items()))

    def argv(self) -> list[str]:
        # Not Debian's wrapper in /usr/sbin: that one changes to the user rabbitmq and its home directory.
        program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        return [str(program) if program.exists() else find_program("rabbitmq-server")]

    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.directory / "home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": "nlite@localhost",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            # Two schedulers that do not spin while idle: a broker for five daemons needs no more.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
        }

    def answers(self) -> bool:
        """The listener opens last; the proof is the broker's half of the AMQP 0-9-1 handshake."""
        try:
            with socket.create_connection((HOST, self.port), PROBE_SECONDS) as client:
                client.settimeout(PROBE_SECONDS)
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return client.recv(1) == b"\x01"  # a method frame: Connection.Start
        except OSError:
            return False


class MariaDB(Server):
    """A database server with small buffers; `create_database` gives a URL for SQLAlchemy."""

    name = "mariadb"
    user = "nlite"

    def prepare(self) -> None:
        self.socket_path_of("mariadb.sock")
        data = self.directory / "data"
        if (data / "mysql").is_dir():
            return
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        account = pwd.getpwuid(os.getuid()).pw_name
        checked(
            [
                find_program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={fresh}",
                f"--user={account}",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={account}",
                "--skip-test-db",
            ],
            limit=60.0,
        )
        fresh.rename(data)

    def argv(self) -> list[str]:
        return [
            find_program("mariadbd"),
            "--no-defaults",
            f"--user={pwd.getpwuid(os.getuid()).pw_name}",
            f"--datadir={self.directory / 'data'}",
            f"--socket={self.directory / 'mariadb.sock'}",
            f"--pid-file={self.directory / 'mariadbd.pid'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=32M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=1M",
        ]

    def answers(self) -> bool:
        try:
            return self.execute("SELECT 1").strip() == "1"
        except ServerError:
            return False

    def execute(self, sql: str) -> str:
        """Run SQL as the database's root through the unix socket; return tab-separated rows."""
        argv = [find_program("mariadb"), "--no-defaults", f"--socket={self.directory / 'mariadb.sock'}"]
        account = pwd.getpwuid(os.getuid()).pw_name
        user = "root" if account == "root" else account
        return checked(
            [*argv, f"--user={user}", "--batch", "--skip-column-names", "--execute", sql], limit=PROBE_SECONDS
        )

    def create_database(self, name: str) -> str:
        """Create the database if it is not there and return its mysql+mysqldb URL."""
        password = self._password()
        self.execute(
            f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'{HOST}' IDENTIFIED BY '{password}';"
            f"GRANT ALL ON `{name}`.* TO '{self.user}'@'{HOST}'"
        )
        return f"mysql+mysqldb://{self.user}:{password}@{HOST}:{self.port}/{name}?charset=utf8mb4"

    def drop_database(self, name: str) -> None:
        """Drop the database if it is there."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _password(self) -> str:
        path = self.directory / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16))
        return path.read_text()


class Tgtd(Server):
    """An iSCSI target daemon; clients of its control socket need the variables of `control_env`."""

    name = "tgtd"
    grace = 2.0  # tgtd ignores SIGTERM while it has targets; they live in memory only

    @property
    def ipc_socket(self) -> Path:
        """Return the value of TGT_IPC_SOCKET (tgtd adds `.0`, the control port, to it)."""
        return self.directory / "socket"

    @property
    def control_env(self) -> dict[str, str]:
        """Return what tgtadm and tgt-admin need to reach this instance."""
        return {"TGT_IPC_SOCKET": str(self.ipc_socket)}

    def prepare(self) -> None:
        self.socket_path_of("socket.0")

    def argv(self) -> list[str]:
        return [find_program("tgtd"), "-f", "--iscsi", f"portal={HOST}:{self.port}"]

    def env(self) -> dict[str, str]:
        return self.control_env

    def answers(self) -> bool:
        try:
            self.tgtadm("--op", "show", "--mode", "sys")
            with socket.create_connection((HOST, self.port), PROBE_SECONDS):
                return True
        except (ServerError, OSError):
            return False

    def tgtadm(self, *arguments: str) -> str:
        """Run tgtadm against this instance and return its output; raise ServerError when it fails."""
        return checked(
            [find_program("tgtadm"), "--lld", "iscsi", *arguments], limit=PROBE_SECONDS, env=self.control_env
        )


class Libvirtd(Server):
    """A libvirt daemon that shares nothing with another: own configuration, state, sockets and guests.

    It runs in a mount namespace of its own, in which libvirt's fixed directories are those of this instance; so
    guests defined here are unknown to the machine's own libvirt, and nothing in /etc is touched.  A crash of
    libvirtd leaves the guests running, as in production (the launcher starts it again); `stop` ends both.
    """

    name = "libvirtd"
    respawn = True

    _OVERLAYS = {
        "etc": "/etc/libvirt",
        "lib": "/var/lib/libvirt",
        "run": "/run/libvirt",
        "log": "/var/log/libvirt",
        "cache": "/var/cache/libvirt",
    }
    _QEMU_CONF = (
        'user = "root"\ngroup = "root"\nstdio_handler = "file"\nsecurity_driver = "none"\n'
        "cgroup_controllers = [ ]\nnamespaces = [ ]\nremember_owner = 0\ndynamic_ownership = 0\n"
    )

    def __init__(self, directory: Path | str, port: int | None = None, hostname: str | None = None) -> None:
        super().__init__(directory, port or 0)
        self.hostname = hostname

    @property
    def socket_path(self) -> Path:
        """Return the daemon's unix socket."""
        return self.directory / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """Return the connection URI for libvirt.open() and virsh -c."""
        return f"qemu+unix:///system?socket={self.socket_path}"

    def prepare(self) -> None:
        if os.geteuid() != 0:
            raise ServerError("libvirtd needs root: it runs in a mount namespace of its own")
        self.socket_path_of("run/libvirt-sock")
        for part, fixed in self._OVERLAYS.items():
            (self.directory / part).mkdir(parents=True, exist_ok=True)
            Path(fixed).mkdir(parents=True, exist_ok=True)
        host_uuid = uuid.uuid5(uuid.NAMESPACE_URL, f"{socket.gethostname()}{self.directory}")
        (self.directory / "etc" / "qemu.conf").write_text(self._QEMU_CONF)
        (self.directory / "etc" / "libvirtd.conf").write_text(
            f'host_uuid = "{host_uuid}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
            'unix_sock_group = "root"\nunix_sock_rw_perms = "0700"\nlog_outputs = "2:stderr"\n'
        )
        # libvirt looks this account up even when guests run as root; the copy is seen in the namespace only.
        self._copy_with_account("passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin")
        self._copy_with_account("group", "libvirt-qemu:x:64055:")

    def _copy_with_account(self, name: str, line: str) -> None:
        text = Path("/etc", name).read_text()
        known = any(row.startswith("libvirt-qemu:") for row in text.splitlines())
        (self.directory / name).write_text(text if known else f"{text.rstrip()}\n{line}\n")

    def argv(self) -> list[str]:
        mounts = {**self._OVERLAYS, "passwd": "/etc/passwd", "group": "/etc/group"}
        script = [f"mount --bind {shlex.quote(str(self.directory / part))} {fixed}" for part, fixed in mounts.items()]
        if self.hostname:
            script.append(f"hostname {shlex.quote(self.hostname)}")
        pid_file = shlex.quote(str(self.directory / "libvirtd.own.pid"))
        script.append(f"exec {find_program('libvirtd')} --pid-file {pid_file}")
        return [find_program("unshare"), "--mount", "--uts", "--propagation", "private", "sh", "-ec", "\n".join(script)]

    def answers(self) -> bool:
        try:
            self.virsh("list", "--name")
        except ServerError:
            return False
        return True

    def virsh(self, *arguments: str) -> str:
        """Run virsh against this instance and return its output; raise ServerError when it fails."""
        return checked([find_program("virsh"), "-c", self.uri, *arguments], limit=PROBE_SECONDS * 4)

    def destroy_domains(self) -> None:
        """End all running guests and forget all defined ones."""
        for name in self.virsh("list", "--all", "--name").split():
            if self.virsh("domstate", name).strip() != "shut off":
                self.virsh("destroy", name)
            if name in self.virsh("list", "--all", "--name").split():
                self.virsh("undefine", name)

    def stop(self, timeout: float = 30.0) -> None:
        """End the guests, libvirtd and all that it started."""
        if self.running:
            try:
                self.destroy_domains()
            except ServerError as error:
                # A hung libvirtd must not keep the guests alive: the launcher ends their processes next.
                print(f"libvirtd: {error}", file=sys.stderr)
        super().stop(timeout)


KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (RabbitMQ, MariaDB, Tgtd, Libvirtd)}


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare a directory and become the server's launcher (does not return), or with --wait wait for its answer."""
    parser = argparse.ArgumentParser(prog="devstack.servers", description="Run one server in the foreground.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="only wait for an instance that was started")
    parser.add_argument("--create-database", metavar="NAME", help="only create the database and print its URL")
    parser.add_argument("--log", type=Path, help="where its output goes, to be shown when it does not answer")
    args = parser.parse_args(argv)
    server = KINDS[args.kind](args.directory, args.port)
    server.log_path = args.log or server.log_path
    try:
        if args.wait is not None:
            server.wait(args.wait)
            return 0
        if args.create_database and isinstance(server, MariaDB):
            print(server.create_database(args.create_database))
            return 0
        server.directory.mkdir(parents=True, exist_ok=True)
        server.prepare()
        command = server.launch_argv(tie=False)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    os.execve(command[0], command, {**os.environ, **server.env()})
    raise AssertionError("execve came back")


if __name__ == "__main__":
    sys.exit(main())
