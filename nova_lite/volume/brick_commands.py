"""How os-brick's commands are run on this host: each with a time limit, and no more of them than needed.

os-brick takes the function that runs a command as a parameter; this is ours. What a command would only read is
answered from the kernel's own files, and the values of a node record are written at once right before the login
instead of one by one, and never in a command line: a connect starts four processes instead of eleven. One object
serves one operation, so that it can tell afterwards why a login failed.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from oslo_concurrency import processutils

from nova_lite.volume.sysfs import Sysfs

LOG = logging.getLogger(__name__)

Answer = tuple[str, str]
Run = Callable[..., Answer]

# iscsiadm(8), "EXIT STATUS".
EXISTS = 15
LOGIN_TIMEOUT = 8
NO_DAEMON = (18, 20)
NO_TRANSPORT = 12
REFUSED = 24
NO_RECORD = 21
# Where open-iscsi keeps its node records: Debian's place, and the one of newer releases.
_RECORDS = ("/etc/iscsi/nodes", "/var/lib/iscsi/nodes")
# A record made by hand has no portal group (-1), and is a file of its own then.
_ADDED = re.compile(r"^New iSCSI node \[\S+ (?P<host>\S+),(?P<port>\d+),-1 (?P<iqn>[^\s/]+)\] added$", re.MULTILINE)
_NO_DAEMON_WORDS = "can not connect to iSCSI daemon"
_NOTHING: Answer = ("", "")


class Commands:
    """Runs commands for one operation of os-brick; `timeout` is seconds for each.

    `nodes` are the portals (with brackets for IPv6) and targets that the operation is about, `settings` are values
    of their node records beside those that os-brick sets.
    """

    def __init__(
        self,
        run: Run,
        sysfs: Sysfs,
        nodes: Collection[tuple[str, str]],
        settings: Mapping[str, str],
        timeout: float,
    ) -> None:
        self._run = run
        self._sysfs = sysfs
        self._nodes = nodes
        self._settings = settings
        self._timeout = timeout
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], dict[str, str]] = {}
        self._tried: set[tuple[str, str]] = set()
        self._records: dict[tuple[str, str], str] = {}
        self.login_failures: list[processutils.ProcessExecutionError] = []

    def __call__(self, *command: str, **options: Any) -> Answer:
        """Run or answer it; as os-brick's own function otherwise. Raises ProcessExecutionError."""
        match command:
            case ("iscsiadm", "-m", "session"):
                return self._sessions(), ""
            case ("iscsiadm", "-m", "node"):
                return "".join(f"{portal},-1 {iqn}\n" for portal, iqn in self._nodes), ""
            case ("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, *what):
                return self._node(command, (portal, iqn), what, options)
        return self._start(*command, **options)

    def _start(self, *command: str, **options: Any) -> Answer:
        options["timeout"] = min(options.get("timeout", self._timeout), self._timeout)
        if "interval" in options:
            options["interval"] = 1
        return self._run(*command, **options)

    def _sessions(self) -> str:
        found = self._sysfs.sessions()
        return "".join(f"tcp: [{one.number}] {one.portal},{one.group} {one.iqn} (non-flash)\n" for one in found)

    def _has_session(self, node: tuple[str, str]) -> bool:
        portal, iqn = node
        return any(one.portal == portal for one in self._sysfs.sessions(iqn))

    def _node(
        self, command: tuple[str, ...], node: tuple[str, str], what: list[str], options: dict[str, Any]
    ) -> Answer:
        match what:
            case []:
                # A record that is left from before is made anew, or an old password would be used with a new target.
                return ("record", "") if self._has_session(node) else ("", "iscsiadm: No records found")
            case [*_, "--op", "new"]:
                return self._new(command, node, options)
            case ["--op", "update", "-n", "node.startup", "-v", _]:
                # Never `automatic`: a host that boots must not log in to what may be another host's by then.
                return _NOTHING
            case ["--op", "update", "-n", name, "-v", value]:
                with self._lock:
                    self._values.setdefault(node, {})[name] = value
                return _NOTHING
            case ["--login"]:
                return self._login(command, node, options)
            case ["--op", "delete"] if not self._sysfs.sessions(node[1]):
                # All portals' records at once, also those of portals that the target has no more.
                return self._start("iscsiadm", "-m", "node", "-T", node[1], "--op", "delete", **options)
        return self._start(*command, **options)

    def _new(self, command: tuple[str, ...], node: tuple[str, str], options: dict[str, Any]) -> Answer:
        if self._gives_up(node):
            raise processutils.ProcessExecutionError(exit_code=LOGIN_TIMEOUT, description="no further login is tried")
        out, err = self._start(*command, **options)
        if _NO_DAEMON_WORDS in err:  # the record is written all the same, and the exit code is 0
            failure = processutils.ProcessExecutionError(stderr=err, exit_code=NO_DAEMON[-1])
            self._note(node, failure)
            raise failure
        record = self._record_file(out)
        if record is not None:
            with self._lock:
                self._records[node] = record
        return out, err

    def _record_file(self, added: str) -> str | None:
        """The file of the record that iscsiadm says it has added, where its place is beyond doubt."""
        found = _ADDED.search(added)
        homes = [home for home in _RECORDS if self._sysfs.has_directory(home)]
        if found is None or len(homes) != 1:
            return None
        return f"{homes[0]}/{found['iqn']}/{found['host']},{found['port']}"

    def _gives_up(self, node: tuple[str, str]) -> bool:
        """True when this node had its login: one that failed, or gave no session or no disk, would do so again."""
        with self._lock:
            return node in self._tried

    def _note(self, node: tuple[str, str], failure: processutils.ProcessExecutionError) -> None:
        with self._lock:
            self._tried.add(node)
            self.login_failures.append(failure)

    def _login(self, command: tuple[str, ...], node: tuple[str, str], options: dict[str, Any]) -> Answer:
        if self._gives_up(node):
            raise processutils.ProcessExecutionError(exit_code=LOGIN_TIMEOUT, description="no further login is tried")
        with self._lock:
            self._tried.add(node)
            values = {**self._settings, **self._values.pop(node, {})}
            record = self._records.pop(node, None)
        try:
            self._write(command[:-1], values, record, {**options, "check_exit_code": [0]})
            # 255 is not among the good ones: os-brick would ask again without end.
            return self._start(*command, **{**options, "check_exit_code": [0, EXISTS]})
        except processutils.ProcessExecutionError as err:
            self._note(node, err)
            raise

    def _write(
        self, command: tuple[str, ...], values: Mapping[str, str], record: str | None, options: dict[str, Any]
    ) -> None:
        """Set values of a node record: at the end of its file, where the last value of a name counts.

        `iscsiadm --op update` would have the CHAP password in its arguments, which everybody on the host can read,
        and takes longer; it is used only where the record's file is not known.
        """
        if any("\n" in part for pair in values.items() for part in pair):
            raise processutils.ProcessExecutionError(description="a value of the node record has a line break")
        if record is None:
            pairs = [part for name, value in values.items() for part in ("-n", name, "-v", value)]
            self._start(*command, "--op", "update", *pairs, **options)
            return
        text = "".join(f"{name} = {value}\n" for name, value in values.items())
        append = ("dd", f"of={record}", "oflag=append", "conv=notrunc", "status=none")
        self._start(*append, process_input=text, **options)
