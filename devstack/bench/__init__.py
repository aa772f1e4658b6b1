"""The benchmark: how long an attach takes, what it costs, how it grows, against what the original needs.

`./devstack/bench.sh` runs it; docs/benchmark.md explains the figures.
"""
