#!/usr/bin/env bash
# Load with faults: clients attach and detach while daemons are killed at random; then the whole world is checked.
#   chaos.sh [--minutes 10] [--clients 32] [--real] [--seed N] [--json FILE] [--report FILE] [--keep DIRECTORY]
# Twins of guests and storage that outlive their daemons; --real takes tgtd, libvirt and guests. Exit code 1: something
# was wrong. Starts private servers only and takes them away again.
set -euo pipefail
# shellcheck source=devstack/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd "$NLITE_ROOT"
((EUID == 0)) || die "root is needed (private servers, guests): sudo $0 $*"
# The environment of the tests has all that this needs.
./devstack/test.sh prepare
PYTHONDONTWRITEBYTECODE=1 exec .tox/py3/bin/python -m devstack.chaos "$@"
