"""One command to a running QEMU over its control socket (QEMU's QMP specification)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from devstack.vm.hosts import VmError

LIMIT = 15.0


def command(path: Path, name: str, **arguments: Any) -> Any:
    """Run a command and return what QEMU answers; VmError if it refuses, does not answer or is not there."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(LIMIT)
            link.connect(str(path))
            stream = link.makefile("rw", encoding="utf-8", newline="\n")
            stream.readline()  # the greeting
            _ask(stream, {"execute": "qmp_capabilities"})
            return _ask(stream, {"execute": name, "arguments": arguments})
    except (OSError, ValueError) as error:
        raise VmError(f"QEMU at {path} did not take {name}: {error}") from error


def _ask(stream: Any, request: dict[str, Any]) -> Any:
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise VmError(f"QEMU refuses {request['execute']}: {answer['error'].get('desc')}")
        if "return" in answer:
            return answer["return"]
    raise OSError("the connection ended")
