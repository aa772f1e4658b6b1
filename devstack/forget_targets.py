"""Remove this project's iSCSI targets and backstores from LIO, and from what is saved for the next boot.

    python -m devstack.forget_targets iqn.2010-10.org.openstack:volume-

The last act of a storage host, after its services have ended, so nobody else changes LIO meanwhile. What others made
stays. It needs rtslib-fb, so it runs with the services' own Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

SAVED = "/etc/target/saveconfig.json"
# Our backstores bear the name of the volume, alone or as the end of the target's name.
BACKSTORE = re.compile(r"(?:.*:)?volume-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def forget(root: Any, prefix: str) -> list[str]:
    """Delete what is ours below an rtslib root, and return the names of what was deleted."""
    gone = []
    for target in [one for one in root.targets if one.wwn.startswith(prefix)]:
        gone.append(target.wwn)
        target.delete()
    for store in [one for one in root.storage_objects if BACKSTORE.fullmatch(one.name)]:
        gone.append(store.name)
        store.delete()
    return gone


def main(argv: Sequence[str] | None = None) -> int:
    """Forget the targets whose names begin with the first argument; 0 when it worked."""
    import rtslib_fb

    (prefix,) = sys.argv[1:] if argv is None else argv
    root = rtslib_fb.RTSRoot()
    for name in forget(root, prefix):
        print(name)
    root.save_to_file(SAVED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
