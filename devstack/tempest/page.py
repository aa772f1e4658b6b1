"""docs/tempest.md, drawn from the list of what is not run and from the last run that was recorded.

python -m devstack.tempest --record ...      writes devstack/tempest/last_run.json
python -m devstack.tempest.page > docs/tempest.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.tempest import lists

RECORD = Path(__file__).resolve().parent / "last_run.json"
HEAD = """# Tempest

OpenStack's own tests of its APIs, unchanged from PyPI, against the five daemons behind a real keystone:

```
./devstack/test.sh tempest                # the list below, three classes of tests at once
./devstack/test.sh tempest test_attach    # of these, tests of such a name
./devstack/test.sh tempest --all          # and what is left out, to see how it fails
```

The last line has the counts; the exit code is 0 when nothing failed. `./devstack/test.sh`, so CI, runs those whose
names match `SUBSET` of `devstack/tempest/lists.py` (`tests/integration/test_tempest.py`): attachments, and what is done
to volumes. The whole list is run before a release. Wanted are the tests of `tempest.api.volume`,
`tempest.api.compute.volumes`, `tempest.api.compute.servers` and `tempest.scenario`
(`devstack/tempest/include.txt`). Servers and volumes are the in-memory twins of hypervisor and storage: what is
tested is what the APIs say and do, with real HTTP, keystone, RabbitMQ and MariaDB. Guests, iSCSI and disks have tests
of their own (`tests/integration`, `tests/vm`).

`tempest.conf` is written by `devstack/tempest/config.py`. Two of its switches need a word. `neutron` is on, with no
networks made and no logging in to guests: off, tempest leaves out every test that waits for a server's address, and so
all that attach volumes; nothing is served there, every request is answered with 404. `glance` is on: images are listed
and shown by nova-lite itself, and nothing can be uploaded. Tests that need more of either are on the list.
"""


def page(record: Mapping[str, Any]) -> str:
    """The page for that run."""
    parts = [HEAD, "## Last recorded run\n", _counts(record)]
    parts += [
        "## Left out\n",
        "What `devstack/tempest/exclude.txt` names, and why. A line that names no test is an error.\n",
    ]
    parts.append(_table("tests not run", "why", ((line.pattern, line.reason) for line in lists.read(lists.EXCLUDE))))
    parts += [
        "## Skipped by tempest itself\n",
        "Because `tempest.conf` says that it is not served, or asks for more.\n",
    ]
    skipped = sorted(record["skips"].items(), key=lambda pair: (-pair[1], pair[0]))
    parts.append(_table("how many", "why", ((str(number), reason) for reason, number in skipped)))
    return "\n".join(parts)


def _counts(record: Mapping[str, Any]) -> str:
    return (
        f"{record['when']}, tempest {record['tempest']}: **{record['passed']} passed, {record['failed']} failed**, "
        f"{record['skipped']} skipped by tempest, {record['left_out']} left out; {record['seconds']} s on "
        f"{record['cores']} cores. A class of tests that is skipped as a whole counts once."
        f"{' ' + record['note'] if 'note' in record else ''}\n"
    )


def _table(first: str, second: str, rows: Any) -> str:
    lines = [f"| {first} | {second} |", "|---|---|"]
    for left, right in rows:
        code = f"`{left}`" if first.startswith("tests") else left
        lines.append(f"| {code.replace('|', chr(92) + '|')} | {right.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(json.loads(RECORD.read_text())), end="")
