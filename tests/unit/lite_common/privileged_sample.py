"""A privileged module as the services have them, for test_privilege.py."""

from __future__ import annotations

import logging
import os
import subprocess

from oslo_privsep import capabilities, priv_context

from lite_common import errors

context = priv_context.PrivContext(
    __name__,
    cfg_section="sample",
    pypath=f"{__name__}.context",
    capabilities=[capabilities.CAP_CHOWN, capabilities.CAP_DAC_OVERRIDE],
    logger_name=__name__,
    timeout=10,
)
LOG = logging.getLogger(__name__)


@context.entrypoint
def whoami() -> dict[str, int]:
    return {"pid": os.getpid(), "uid": os.geteuid()}


@context.entrypoint
def status() -> str:
    with open("/proc/self/status") as opened:
        return opened.read()


@context.entrypoint
def threads() -> int:
    return int(context.conf.thread_pool_size)


@context.entrypoint
def refuse() -> None:
    raise errors.Conflict("the sample is busy")


@context.entrypoint
def say(words: str) -> None:
    LOG.info("said: %s", words)


@context.entrypoint
def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)


@context.entrypoint
def end() -> None:
    os._exit(3)


@context.entrypoint
def die_deaf() -> None:
    """Have this process stopped soon, so that it reads nothing more, and killed a second later."""
    script = "sleep 0.2; kill -STOP $0; sleep 1; kill -KILL $0"
    subprocess.Popen(["sh", "-c", script, str(os.getpid())], start_new_session=True)


def not_exported() -> None:
    """Stands in a privileged module, but no context offers it."""
