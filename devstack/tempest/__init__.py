"""Tempest, OpenStack's own tests, against the five daemons behind a real keystone.

`python -m devstack.tempest` starts the servers on private ports and in private directories, writes tempest.conf, runs
what `include.txt` names and `exclude.txt` does not, and counts. Tempest is no dependency of the project: it lives in a
Python environment of its own, which `devstack/test.sh tempest` makes from `constraints.txt`.
"""
