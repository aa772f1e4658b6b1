"""Fork the privileged half of a daemon with oslo.privsep, and stand by it when it fails.

Loaded by `privilege.start` only where a daemon has privileged work. The library's own way to start a context by fork
is used with three additions: what the child does at its birth, a reader that also notices a connection that was reset
(with the library's, callers would wait for ever), and what happens when the half is lost.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
import types
from collections.abc import Iterator
from typing import Any

from oslo_privsep import capabilities, comm, daemon

from lite_common import errors

LOG = logging.getLogger(__name__)

# How a call can end when the way to the privileged half is broken, not the work itself.
TIMED_OUT = comm.PrivsepTimeout
NOT_STARTED = (daemon.FailedToDropPrivileges, daemon.ProtocolError)

_forking = threading.Event()


class _Channel(daemon.ForkingClientChannel):
    """The unprivileged end. Its construction forks."""

    def _reader_main(self, reader: Any) -> None:
        closing: Any = _until_closed(reader)
        super()._reader_main(closing)


def _until_closed(reader: Iterator[Any]) -> Iterator[Any]:
    """What `reader` yields; a half that died with a request unread resets the connection, which ends it as well."""
    try:
        yield from reader
    except OSError as err:
        LOG.warning("the connection to the privileged half broke: %s", err)


def fork(name: str, context: Any) -> None:
    """Start the privileged process of `context`; return when it answers.

    Raises errors.Invalid when this process lacks a capability that the context asks for, errors.BackendError when
    the process ended at once, RuntimeError when other threads run.
    """
    if threading.active_count() > 1 and not _own_threads_only():
        # The child would inherit their locks, held for ever.
        raise RuntimeError(f"privileges of {name} are separated after threads were started")
    lacking = set(context.conf.capabilities) - set(capabilities.get_caps()[1])
    if lacking:
        names = ", ".join(sorted(capabilities.CAPS_BYVALUE.get(number, str(number)) for number in lacking))
        raise errors.Invalid(
            f"This process lacks {names}, which the privileged half {name} needs. "
            "Allow it in the unit file (CapabilityBoundingSet) or in the container's settings."
        )
    _hook_forks()
    parent = os.getpid()
    _forking.set()
    try:
        context.channel = _Channel(context)
    except BaseException as err:
        if os.getpid() != parent:
            # The child must never go on as a second daemon.
            LOG.exception("the privileged half %s failed", name)
            os._exit(1)
        if isinstance(err, daemon.FailedToDropPrivileges):
            raise errors.BackendError(f"The privileged half {name} did not start. The log says why.") from err
        raise
    finally:
        _forking.clear()
    # The library would start one that was lost anew through sudo, which a process without privileges has no use for.
    context.start = functools.partial(_lost, name)


def _own_threads_only() -> bool:
    """Whether the only other threads are readers of the privileged halves forked before: they hold no lock that a
    child needs, because nothing is asked of those halves yet."""
    others = {thread.name for thread in threading.enumerate() if thread is not threading.current_thread()}
    return others == {"privsep_reader"}


def _lost(name: str, *args: Any) -> None:
    """The privileged half is gone, and only root could make another: end, so that systemd starts both anew."""
    LOG.critical("the privileged half %s has ended; this daemon stops and is to be started anew", name)
    os.kill(os.getpid(), signal.SIGTERM)
    raise errors.Unavailable(f"The privileged half {name} of this daemon has ended; the daemon stops.")


@functools.cache
def _hook_forks() -> None:
    os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    """A stop signal to the whole group must not take the privileged half from a daemon that still finishes its
    work. It ends when the other end of its socket closes, however that came about."""
    if _forking.is_set():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Not SIG_IGN, which the programs that are run would inherit.
            signal.signal(number, _let_pass)


def _let_pass(number: int, frame: types.FrameType | None) -> None:
    """Do nothing."""
