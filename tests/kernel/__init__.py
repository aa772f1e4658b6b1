"""Tests that need the kernel's own storage: they run inside a virtual machine, as root, alone.

`tests/vm/test_kernel.py` brings them there.  By hand: `./devstack/vm/up --hosts controller`, then
`./devstack/vm/sync && ./devstack/vm/ssh controller 'cd /opt/nlite/src && pytest tests/kernel'`.
"""
