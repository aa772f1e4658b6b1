"""What cinder-volume does as root. These modules are the security border of the daemon.

Whoever controls the unprivileged half can call every entrypoint here with any arguments. So each takes and returns
plain data, does one thing, checks that every name, path and device is one of ours, and never runs a command that the
caller composed. Two things to know when adding one: the umask in the privileged half is 0, so give files their mode
at the moment they are made; and an exception arrives with its class and its `args` only, so raise errors of
lite_common with one plain message.
"""

from __future__ import annotations

from oslo_privsep import capabilities, priv_context

# Longest time of one call. Work that may take longer (wiping, copying) is cut into calls.
TIMEOUT = 300.0

sys_admin = priv_context.PrivContext(
    __name__,
    cfg_section="cinder_sys_admin",
    pypath=f"{__name__}.sys_admin",
    logger_name=__name__,
    timeout=TIMEOUT,
    # Under `NoNewPrivileges` (systemd) the programs that are run get these too, and no more.
    capabilities=[
        capabilities.CAP_CHOWN,
        capabilities.CAP_DAC_OVERRIDE,
        capabilities.CAP_DAC_READ_SEARCH,
        capabilities.CAP_FOWNER,
        capabilities.CAP_IPC_LOCK,  # LVM locks itself in memory while it has devices suspended
        capabilities.CAP_MKNOD,  # device nodes, where udev does not make them
        capabilities.CAP_NET_ADMIN,
        capabilities.CAP_SYS_ADMIN,  # device mapper, configfs
        capabilities.CAP_SYS_NICE,  # LVM raises its priority while it has devices suspended
        capabilities.CAP_SYS_PTRACE,  # to tell which program has a device open
        capabilities.CAP_SYS_RAWIO,
    ],
)
