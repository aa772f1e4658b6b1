# What this machine's kernel can do, and the backend that follows from it.  Sourced by stack.sh; bash.
# shellcheck shell=bash

# Modules of the kernel backend, by who needs them.
STORAGE_MODULES=(dm_mod dm_thin_pool dm_snapshot)
LIO_MODULES=(target_core_mod target_core_iblock iscsi_target_mod)
HOST_MODULES=(iscsi_tcp)
MULTIPATH_MODULES=(dm_multipath)

# What is loaded or built in shows in /sys/module; the rest can be loaded if modprobe finds it.
module_there() { # NAME
    [[ -d /sys/module/$1 ]] || { [[ -e /proc/modules ]] && modprobe --dry-run --quiet "$1" 2>/dev/null; }
}

# One line for each thing that is missing; none when the kernel backend can work.
kernel_lacks() { # MODULE...
    local name
    local -a absent=()
    for name; do
        module_there "$name" || absent+=("$name")
    done
    if ((${#absent[@]} && ${#absent[@]} == $#)) && [[ ! -e /proc/modules ]]; then
        echo "loadable modules at all (no /proc/modules)"
    elif ((${#absent[@]})); then
        printf 'the kernel module %s\n' "${absent[@]}"
    fi
    if [[ " $* " == *" target_core_mod "* ]] && ! grep -qsw configfs /proc/filesystems && ! module_there configfs; then
        echo "configfs (CONFIG_CONFIGFS_FS)"
    fi
}

needed_modules() { # one a line
    if has_storage; then
        printf '%s\n' "${STORAGE_MODULES[@]}"
        [[ ${SET[target_helper]} == tgtadm ]] || printf '%s\n' "${LIO_MODULES[@]}"
    fi
    if has_guests; then
        printf '%s\n' "${HOST_MODULES[@]}"
        [[ ${SET[multipath]} != yes ]] || printf '%s\n' "${MULTIPATH_MODULES[@]}"
    fi
}

# tgtd serves files as well as logical volumes; LIO serves the latter only.
target_helper() {
    if [[ ${SET[backend]} == userspace ]]; then echo tgtadm; else echo "${SET[target_helper]}"; fi
}

# Pick kernel or userspace for this role and say why; die when the kernel was asked for and cannot be had.
choose_backend() {
    local -a modules lacking
    mapfile -t modules < <(needed_modules)
    mapfile -t lacking < <(kernel_lacks "${modules[@]}")
    if has_storage && [[ -z ${SET[disk]} ]] && ! volume_group_there "${SET[vg]}"; then
        lacking+=("a volume group: give --disk DEVICE (an empty disk) or --vg NAME (an existing group)")
    fi
    local why
    why=$(printf '%s; ' "${lacking[@]}")
    why=${why%; }
    case ${OPTION[backend]:-${SET[backend]}} in
    kernel)
        ((${#lacking[@]} == 0)) || die "the kernel backend cannot work here, it lacks $why"
        SET[backend]=kernel
        ;;
    userspace) SET[backend]=userspace ;;
    *)
        if ((${#lacking[@]})); then
            note "the kernel backend cannot work here, it lacks $why"
            SET[backend]=userspace
        else
            SET[backend]=kernel
        fi
        ;;
    esac
    say_backend
}

say_backend() {
    if [[ ${SET[backend]} == kernel ]]; then
        ! has_storage || good "kernel: logical volumes in ${SET[vg]}, exported by ${SET[target_helper]} with CHAP"
        ! has_guests || good "kernel: this host logs in with open-iscsi and gives guests the block device"
    else
        ! has_storage || good "userspace: raw files served by tgtd with CHAP"
        ! has_guests || good "userspace: QEMU's own iSCSI initiator reads the volumes"
    fi
}

# The same question where PID 1 is not systemd: that stack has the userspace backend only.
supervised_backend() {
    local -a lacking
    mapfile -t lacking < <(kernel_lacks "${STORAGE_MODULES[@]}" "${LIO_MODULES[@]}" "${HOST_MODULES[@]}")
    lacking+=("systemd as PID 1")
    local why
    why=$(printf '%s; ' "${lacking[@]}")
    why=${why%; }
    [[ ${OPTION[backend]:-} != kernel ]] || die "the kernel backend cannot work here, it lacks $why"
    note "the kernel backend (LVM + LIO) cannot work here, it lacks $why"
    good "userspace: raw files served by tgtd with CHAP, read by QEMU's own iSCSI initiator"
}

volume_group_there() { # NAME
    [[ -n $1 ]] && command -v vgs >/dev/null && await 30 vgs --noheadings -o vg_name "$1" >/dev/null 2>&1
}

# At boot and now.  configfs is where LIO is configured; systemd mounts it when its module is there.
load_modules() {
    local -a modules
    mapfile -t modules < <(needed_modules)
    if [[ ${SET[backend]} != kernel ]]; then
        rm -f /etc/modules-load.d/nlite.conf
        return
    fi
    printf '%s\n' "# written by nlite's stack.sh, removed by unstack.sh" "${modules[@]}" >/etc/modules-load.d/nlite.conf
    local name
    for name in "${modules[@]}"; do
        [[ -d /sys/module/$name ]] || await 30 modprobe "$name" || die "modprobe $name failed: see dmesg"
    done
    if [[ " ${modules[*]} " == *" target_core_mod "* ]]; then
        mountpoint -q /sys/kernel/config || await 30 systemctl start sys-kernel-config.mount ||
            die "configfs is not mounted at /sys/kernel/config, and systemctl start sys-kernel-config.mount failed"
    fi
}
