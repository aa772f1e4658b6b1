"""cinder-lite-rtstool: look at and mend the kernel's iSCSI targets by hand, with the verbs of Cinder's cinder-rtstool.

It runs the code of the `lioadm` target in a process of its own, under the same lock, so it may be used beside a running
cinder-lite-volume. It must be root. A PASSWORD of `-` is taken from the environment variable CINDER_LITE_CHAP_PASSWORD
or else from the first line of standard input, so that it need not stand in the list of processes.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import IO

from lite_common import service

service.load_quickly()
service.no_eventlet()

from cinder_lite.privileged import lio, lio_lock
from cinder_lite.privileged.lio_records import Entry, Portal
from lite_common import errors

LOGIN_VARIABLE = "CINDER_LITE_CHAP_PASSWORD"
NEEDED = (
    "BlockStorageObject",
    "FabricModule",
    "LUN",
    "MappedLUN",
    "NetworkPortal",
    "NodeACL",
    "RTSRoot",
    "TPG",
    "Target",
)
# rtslib's attribute of a portal says "any address" so.
ANY = ("0.0.0.0", "[::]")


def main(argv: Sequence[str] | None = None) -> int:
    """Do one verb; 0 when it is done, 1 with the reason on standard error when it is not, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    work: Callable[[argparse.Namespace], None] = options.work
    try:
        if work is not _verify and os.geteuid() != 0:
            raise errors.Forbidden("The kernel's targets can be changed by root only. Repeat this as root.")
        work(options)
    except errors.LiteError as err:
        print(f"cinder-lite-rtstool: {err.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cinder-lite-rtstool", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    create = verbs.add_parser("create", help="export a device, for the initiators if any are named")
    create.add_argument("device", metavar="BACKING_DEVICE")
    _add_login(create)
    create.add_argument("iser", metavar="ISER_ENABLED", nargs="?", default="False", choices=["True", "False"])
    create.add_argument("initiators", metavar="INITIATOR[,INITIATOR...]", nargs="?", default="")
    create.add_argument("-a", dest="addresses", metavar="IP[,IP...]", default="", help="listen there; else everywhere")
    create.add_argument("-p", dest="port", metavar="PORT", type=int, default=3260)
    create.set_defaults(work=_create)

    add = verbs.add_parser("add-initiator", help="let an initiator in, with this login")
    _add_login(add)
    add.add_argument("initiator", metavar="INITIATOR")
    add.set_defaults(work=_add_initiator)

    delete_initiator = verbs.add_parser("delete-initiator", help="let an initiator in no more")
    delete_initiator.add_argument("iqn", metavar="IQN")
    delete_initiator.add_argument("initiator", metavar="INITIATOR")
    delete_initiator.set_defaults(work=_delete_initiator)

    verbs.add_parser("get-targets", help="print the name of every target").set_defaults(work=_get_targets)
    delete = verbs.add_parser("delete", help="remove a target and its storage object")
    delete.add_argument("iqn", metavar="IQN")
    delete.set_defaults(work=_delete)
    verbs.add_parser("verify", help="whether rtslib is there and complete").set_defaults(work=_verify)
    save = verbs.add_parser("save", help="write all targets as the kernel has them to a file")
    save.add_argument("file", metavar="FILE", nargs="?", help="rtslib's own file if none is given")
    save.set_defaults(work=_save)
    return parser


def _add_login(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("iqn", metavar="IQN")
    parser.add_argument("userid", metavar="USERID")
    parser.add_argument("password", metavar="PASSWORD", help="`-`: see above")


def _create(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_ground, lio_kernel

    userid, password = lio.checked_login(options.userid, _password(options.password))
    initiators = frozenset(lio.checked_initiator(name) for name in options.initiators.split(",") if name)
    addresses = [name for name in options.addresses.split(",") if name]
    portals = tuple(Portal.parse(f"{_bracketed(one)}:{options.port}") for one in addresses or ANY[:1])
    wanted = Entry(options.iqn, options.device, _serial(options.iqn), portals, userid, password, initiators)
    lio_ground.check()
    with lio_lock.hold():
        lio_kernel.ensure(wanted)
        if not addresses:
            # Where the first one is for IPv4 alone; elsewhere it is taken, which is no fault.
            also = Portal.parse(f"{ANY[1]}:{options.port}")
            with contextlib.suppress(errors.BackendError):
                lio_kernel.ensure(dataclasses.replace(wanted, portals=(*portals, also)))
        if options.iser == "True":
            lio_kernel.enable_iser(wanted.iqn)


def _add_initiator(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_store

    userid, password = lio.checked_login(options.userid, _password(options.password))
    with lio_lock.hold():
        lio_store.grant(options.iqn, userid, password, lio.checked_initiator(options.initiator))


def _delete_initiator(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_kernel, lio_store

    initiator = lio.checked_initiator(options.initiator)
    with lio_lock.hold():
        if options.iqn not in lio_kernel.targets():
            raise errors.NotFound(f"There is no target {options.iqn}. See `cinder-lite-rtstool get-targets`.")
        if initiator not in lio_kernel.initiators(options.iqn):
            print(f"{initiator} has no access to {options.iqn}")
        _require_unused(options.iqn, lio_store.withdraw(options.iqn, initiator))


def _get_targets(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_kernel

    with lio_lock.hold():
        for name in sorted(lio_kernel.targets()):
            print(name)


def _delete(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        _require_unused(options.iqn, lio_store.remove(options.iqn))


def _verify(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_ground

    lacking = lio_ground.lacking_in_rtslib(NEEDED)
    if lacking:
        raise errors.Unavailable(f"rtslib-fb lacks {', '.join(lacking)}. Install version 2.1.74 or later.")


def _save(options: argparse.Namespace) -> None:
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        lio_store.save_all(options.file)


def _require_unused(iqn: str, sessions: list[tuple[str, str]]) -> None:
    if sessions:
        raise errors.Conflict(
            f"{sessions[0][0]} is logged in to {iqn}, and no session is cut. Detach the disk there, then repeat this."
        )


def _password(text: str, stream: IO[str] | None = None) -> str:
    if text != "-":
        return text
    return os.environ.get(LOGIN_VARIABLE) or (stream or sys.stdin).readline().rstrip("\n")


def _serial(iqn: str) -> str:
    """What the disk calls itself: the volume's id where the name holds one, and always the same for one name."""
    try:
        return str(uuid.UUID(iqn[-36:]))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, iqn))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


if __name__ == "__main__":
    sys.exit(main())
