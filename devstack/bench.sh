#!/usr/bin/env bash
# The benchmark: control plane against the original's figures, userspace attach against its bare floor.
#   ./devstack/bench.sh [--quick] [--only control|userspace] [--json FILE]
# Prints a table, writes JSON (bench.json). Needs what ./devstack/test.sh installs; starts private servers only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
