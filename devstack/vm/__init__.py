"""Virtual machines that boot Debian's own kernel: a controller and two compute hosts on one private network.

The machines that build and check this project need not have a kernel with LVM, LIO and iSCSI; these virtual machines
do.  For a person the front ends are `up`, `ssh`, `sync`, `logs` and `down` beside this file, for tests it is
`tests/fixtures/lab.py`.  `python3 -m devstack.vm --help` lists what they call.

image.py builds the disk image once, environment.py runs a set of machines made from it, machine.py is one of them,
keeper.py the process that owns its QEMU, shell.py the way in.  Standard library only: everything runs with the
system's own Python, before any virtualenv exists.
"""
