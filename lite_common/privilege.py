"""Give up root at the start, and keep a small privileged half for the few calls that need it (oslo.privsep).

A daemon's `main` calls `start` once, before any thread exists. What needs root stands in modules named `privileged`,
as functions of a privsep context; a call of such a function is the only way from the unprivileged half to root.
Three cases, by who starts the daemon (docs/adr/0008-privileges.md tells why):

- root, with the option `run_as`: a privileged process is forked for every context, then this process becomes that
  user for good. The privileged half ends with this one, also when this one is killed.
- root, without `run_as`: the functions run in this process. No second process, no cost.
- any other user: the first call starts privsep's helper through sudo, as upstream.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from oslo_config import cfg

from lite_common import errors

LOG = logging.getLogger(__name__)

# linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38

# Threads of a privileged half; they are started only when so many calls run at once. The library's default, the
# number of processors, would let two slow calls hold up every other.
_THREADS = 16


def start(conf: cfg.ConfigOpts, contexts: Sequence[str] = ()) -> None:
    """Prepare the named contexts (`package.module.attribute`) and become the user of the option `run_as`.

    Contexts are imported here, so a daemon that names none does not load privsep. Raises errors.Invalid when the
    user does not exist, when this process may not become it, or when it lacks a capability that a context needs;
    errors.BackendError when a privileged half did not start.
    """
    user = _user(conf.run_as) if conf.run_as else None
    root = os.geteuid() == 0
    if not root and user is not None and user.pw_uid != os.geteuid():
        raise errors.Invalid(
            f"The option run_as is {user.pw_name}, but the daemon was started as uid {os.geteuid()}, which cannot "
            f"become another user. Start it as root or as {user.pw_name}, or remove the option."
        )
    drop = root and user is not None and user.pw_uid != 0
    if contexts:
        _share_configuration(conf)
    for name in contexts:
        context = _load(name)
        if drop:
            from lite_common import privsep

            privsep.fork(name, context)
        elif root:
            context.set_client_mode(False)
    if drop and user is not None:
        _become(user)


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Name what a privileged function did when the way to it breaks; the errors it raises itself pass as they are.

    Raises errors.Timeout when it did not answer in its context's time, errors.Unavailable when the privileged half
    has ended or could not be started.
    """
    from lite_common import privsep

    try:
        yield
    except privsep.TIMED_OUT as err:
        raise errors.Timeout(f"The privileged half of this daemon did not finish {what} in time.") from err
    except privsep.NOT_STARTED as err:
        raise errors.Unavailable(
            f"The privileged helper could not be started for {what}: {err}. Let this user run privsep-helper through "
            "sudo, or start the daemon as root with the option run_as."
        ) from err
    except OSError as err:
        raise errors.Unavailable(
            f"The privileged half of this daemon failed at {what}: {err}. If it has ended, restart the daemon."
        ) from err


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as err:
        raise errors.Invalid(f"The option run_as names {name}, a user that does not exist. Create it.") from err


def _share_configuration(conf: cfg.ConfigOpts) -> None:
    """Let privsep, and libraries that use it, read their sections from the daemon's own files: they know only
    oslo.config's global object, which this program uses nowhere else."""
    files = [argument for path in conf.config_file or () for argument in ("--config-file", path)]
    directories = [argument for path in conf.config_dir or () for argument in ("--config-dir", path)]
    cfg.CONF(
        [*files, *directories],
        project=conf.project,
        prog=conf.prog,
        default_config_files=[],
        default_config_dirs=[],
    )


def _load(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    context = getattr(importlib.import_module(module), attribute)
    cfg.CONF.set_default("thread_pool_size", _THREADS, group=context.cfg_section)
    return context


def _become(user: pwd.struct_passwd) -> None:
    """Be `user`, with all its groups, from here on; nothing that is run later can gain privileges again."""
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as err:
        raise errors.Invalid(
            f"This process may not become the user {user.pw_name}: {err.strerror}. "
            "Allow CAP_SETUID and CAP_SETGID in the unit file or in the container's settings."
        ) from err
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    LOG.info("running as %s (uid %d)", user.pw_name, user.pw_uid)


def _prctl(option: int, value: Any) -> None:
    # Absent on other systems than Linux.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
