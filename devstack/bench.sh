#!/usr/bin/env bash
# The benchmark: control plane against the original's figures, userspace and kernel attach against their bare floors.
#   bench.sh [--quick] [--only control|pages|records|userspace] [--auth keystone] [--vm] [--json FILE]
# Prints a table, writes JSON (bench.json). Starts private servers only and takes them away again.
set -euo pipefail
# shellcheck source=devstack/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd "$NLITE_ROOT"
((EUID == 0)) || die "root is needed (private libvirtd, guests): sudo $0 $*"
# The environment of the tests has all that the benchmark needs.
./devstack/test.sh prepare
PYTHONDONTWRITEBYTECODE=1 exec .tox/py3/bin/python -m devstack.bench "$@"
