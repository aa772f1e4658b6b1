"""The first module of the tests to be loaded: eventlet is blocked before any OpenStack library can import it."""

import os

from lite_common import service

service.no_eventlet()

# tests/kernel needs a kernel with LVM, LIO and iSCSI that it may do with as it likes: it runs inside a virtual
# machine, which says so; tests/vm brings it there.
collect_ignore = [] if os.environ.get("NLITE_VM") else ["kernel"]
