"""Parse options and set up logging once, at start; everything else gets values through constructors."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence

from oslo_config import cfg
from oslo_log import log as oslo_log

Options = Mapping[str, Sequence[cfg.Opt]]

COMMON: Options = {
    "DEFAULT": (
        cfg.HostAddressOpt("my_ip", default="127.0.0.1", help="Address of this host that other hosts can reach."),
        cfg.StrOpt(
            "host",
            default=socket.gethostname(),
            sample_default="<hostname>",
            help="Name of this host in the services table, in RPC and in connectors. "
            "Changing it orphans what belongs to the old name.",
        ),
        cfg.StrOpt(
            "state_path",
            default="/var/lib/lite",
            sample_default="/var/lib/nova-lite or /var/lib/cinder-lite",
            help="Directory for files that must survive a restart.",
        ),
        cfg.StrOpt(
            "run_as",
            help="User that a daemon becomes after its start, where it is started as root. What needs root is then "
            "done by a process of its own (oslo.privsep). Unset: the daemon stays what it was started as.",
        ),
        cfg.IntOpt("report_interval", default=10, min=1, help="Seconds between two heartbeats of a service."),
        cfg.IntOpt(
            "service_down_time",
            default=60,
            min=1,
            help="A service whose last heartbeat is older than this many seconds is down.",
        ),
        cfg.IntOpt(
            "graceful_shutdown_timeout",
            default=60,
            min=1,
            help="Seconds that work in hand gets to finish after SIGTERM.",
        ),
        cfg.IntOpt(
            "rpc_workers",
            default=16,
            min=1,
            help="Threads that run RPC requests in this daemon; more requests wait in the queue.",
        ),
        cfg.BoolOpt(
            "fault_injection",
            default=False,
            help="For tests: let this daemon die, hang or fail at the steps that the environment variables "
            "NLITE_FAULTS and NLITE_FAULTS_FILE name (see CONTRIBUTING.md). Never in production.",
        ),
    ),
    "api": (
        cfg.HostAddressOpt("listen", default="127.0.0.1", help="Address the API listens on."),
        cfg.PortOpt(
            "port",
            default=0,
            sample_default="8774 for nova-lite, 8776 for cinder-lite",
            help="Port the API listens on.",
        ),
        cfg.IntOpt("threads", default=16, min=1, help="Threads that serve requests."),
        cfg.IntOpt("max_limit", default=1000, min=1, help="Longest page of a list."),
        cfg.IntOpt(
            "max_request_body_size",
            default=114688,
            min=1024,
            help="Largest request body in bytes; a longer one is answered 413.",
        ),
        cfg.StrOpt(
            "auth_strategy",
            default="noauth",
            choices=[
                ("noauth", "what a request says of its user is believed; for one machine, on loopback"),
                ("keystone", "tokens are validated by keystone; see [keystone_authtoken] and [service_user]"),
            ],
            help="How the API finds out who is asking, and how the two services prove themselves to each other.",
        ),
        cfg.StrOpt("noauth_project", default="demo", help="Project of a request that names none."),
        cfg.BoolOpt(
            "allow_noauth_on_network",
            default=False,
            help="Serve without authentication on an address other than loopback. "
            "Anyone who can reach the port is then admin.",
        ),
    ),
    "database": (
        cfg.StrOpt(
            "connection",
            secret=True,
            default="sqlite:///$state_path/lite.sqlite",
            sample_default="sqlite:///$state_path/<project>.sqlite",
            help="SQLAlchemy URL: sqlite:///PATH or mysql+mysqldb://USER:PASSWORD@HOST/NAME?charset=utf8mb4.",
        ),
        cfg.IntOpt("pool_size", default=20, min=1, help="Most connections this daemon holds open."),
    ),
    "trace": (
        cfg.BoolOpt(
            "records",
            default=True,
            help="Keep what each request did, step by step, in the database (`nlite trace`).",
        ),
        cfg.FloatOpt("keep", default=7, min=0, help="Days that steps and operations are kept; 0: for ever."),
        cfg.IntOpt(
            "journal_size",
            default=16,
            min=1,
            help="MiB of steps that a daemon keeps in state_path/journal-DAEMON while the database is down; "
            "beyond it the oldest ones are dropped.",
        ),
        cfg.StrOpt(
            "otlp_endpoint",
            help="Where steps are sent as OpenTelemetry spans (OTLP over HTTP), such as http://collector:4318; the "
            "path /v1/traces is added where there is none. Needs the extra `otel`. Unset: nothing is sent.",
        ),
    ),
    "service_auth": (
        cfg.StrOpt(
            "secret_file",
            default="",
            help="File (0600) with the secret by which nova-lite and cinder-lite know each other without keystone. "
            "Empty: no caller is taken for a service.",
        ),
    ),
    "service_user": (
        cfg.BoolOpt(
            "send_service_user_token",
            default=True,
            help="With keystone: send this service's own token along with the user's. Without it Cinder refuses to "
            "detach what servers use (CVE-2023-2088), and a user's token that expires ends what is in work.",
        ),
        cfg.StrOpt("region_name", help="With keystone: region whose endpoints are looked for in the catalog."),
        cfg.StrOpt(
            "interface",
            default="public",
            choices=["public", "internal", "admin"],
            help="With keystone: which endpoint of the other service is taken from the catalog.",
        ),
    ),
}
QUIET = "amqp oslo.messaging oslo_messaging sqlalchemy alembic urllib3 keystoneauth stevedore taskflow waitress kombu"
# privsep's debug messages hold what privileged functions return.
LOG_LEVELS = [*(f"{name}=WARNING" for name in QUIET.split()), "oslo.privsep=INFO"]


def load(
    project: str, prog: str, options: Iterable[Options], argv: Sequence[str], *, logs: bool = True
) -> cfg.ConfigOpts:
    """Options from the command line (`--config-file`), the files and the defaults, with logging set up.

    Raises SystemExit, after it has said why, for a bad command line and for a file that cannot be read. A bad value is
    found when its option is read: cfg.Error, which names the option.
    """
    conf = cfg.ConfigOpts()
    register(conf, [COMMON, *options])
    oslo_log.register_options(conf)
    conf.set_default("logging_user_identity_format", "%(user)s %(project)s")
    # oslo.config does not know its own `project` as an option, so these defaults cannot refer to it.
    conf.set_default("state_path", f"/var/lib/{project}")
    conf.set_default("connection", f"sqlite:///$state_path/{project}.sqlite", group="database")
    try:
        conf(list(argv), project=project, prog=prog)
    except cfg.Error as err:
        raise SystemExit(f"{prog}: {err}") from None
    if logs:
        oslo_log.set_defaults(default_log_levels=LOG_LEVELS)
        oslo_log.setup(conf, prog)
        logging.captureWarnings(True)
    return conf


def register(conf: cfg.ConfigOpts, options: Iterable[Options]) -> None:
    """Add the options, group by group."""
    for groups in options:
        for group, opts in groups.items():
            conf.register_opts(opts, group=None if group == "DEFAULT" else group)


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """The common options, for oslo-config-generator."""
    return [(group, opts) for group, opts in COMMON.items()]
