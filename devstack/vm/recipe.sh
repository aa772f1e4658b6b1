#!/usr/bin/env bash
# Turn a fresh Debian tree into the disk image of the machines.  Called by image.py as root (or as the root of a user
# namespace), in mount and process namespaces of its own, so that nothing of it outlives an interrupt.
#
#   recipe.sh CHECKOUT TREE OUTPUT [BASE BOOTSTRAP COMMAND...]
#
# runs the command, which makes the Debian tree, and keeps it in the archive BASE for the next time (without a command
# the tree is there already); writes OUTPUT/root.raw (sparse), OUTPUT/vmlinux and OUTPUT/initrd.
set -euo pipefail

CHECKOUT=$1 TREE=$2 OUTPUT=$3
shift 3
DISK_SIZE=8G
VENV=/opt/nlite/venv
SOURCE=/opt/nlite/src
EXTRAS=stack,test
PIP_SECONDS=900
# The tree is 1.2 GiB in 40,000 files: in memory if that much is to spare, and gone with the mount namespace.
TREE_MEMORY_KIB=$((6 * 1024 * 1024))

step() { printf 'image: [%4ds] %s\n' "$SECONDS" "$*"; }

# Commands in the tree get a clean environment, but for what pip needs to reach its index.
inside() {
    local -a keep
    mapfile -t keep < <(env | grep -E '^(PIP_[A-Z_]+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|[a-zA-Z]+_(proxy|PROXY))=')
    chroot "$TREE" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" "$@"
}

bootstrap() { # BASE COMMAND...
    local free base=$1
    shift
    free=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
    mkdir -p "$TREE"
    ((free < TREE_MEMORY_KIB)) || mount -t tmpfs -o size=3G,mode=0755 tmpfs "$TREE"
    if [[ -e $base ]]; then
        tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$TREE" -f "$base"
        touch "$base"
        return
    fi
    "$@"
    tar -c --numeric-owner --xattrs --xattrs-include='*' -C "$TREE" -f "$OUTPUT/base.tar" .
    mv "$OUTPUT/base.tar" "$base"
}

# The tree of an unprivileged build has no device nodes; programs want these few.
mount_devices() {
    local name
    for name in null zero full random urandom; do
        [[ -e $TREE/dev/$name ]] || : >"$TREE/dev/$name"
        mount --bind "/dev/$name" "$TREE/dev/$name"
    done
    mount -t tmpfs tmpfs "$TREE/tmp"
}

# What this machine needs to reach the package index, the machines will not have: name servers, certificates, pip's
# configuration.  All of it is put over the tree, and gone with the mount namespace.
borrow_network() {
    local name
    for name in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates \
        "${HOME:-/root}/.config/pip" "${HOME:-/root}/.cache/pip"; do
        [[ -e $name ]] || continue
        local target=$TREE$name
        [[ $name != "${HOME:-/root}"/* ]] || target=$TREE/root/${name#"${HOME:-/root}"/}
        if [[ -d $name ]]; then
            mkdir -p "$target"
        elif [[ ! -e $target ]]; then
            rm -f "$target" # a symbolic link to nowhere
            : >"$target"
        fi
        mount --bind "$(readlink -f "$name")" "$target"
    done
}

return_network() {
    local target
    for target in "$TREE"/{etc/resolv.conf,etc/hosts,etc/pip.conf,etc/ssl/certs,usr/local/share/ca-certificates} \
        "$TREE"/root/.config/pip "$TREE"/root/.cache/pip "$TREE"/tmp "$TREE"/dev/{null,zero,full,random,urandom}; do
        ! mountpoint -q "$target" || umount "$target"
    done
    rm -rf "${TREE:?}"/root/.cache "$TREE"/root/.config
    [[ -s $TREE/etc/pip.conf ]] || rm -f "$TREE/etc/pip.conf"
    : >"$TREE/etc/resolv.conf"
}

copy_checkout() {
    mkdir -p "$TREE$SOURCE"
    rsync -a --delete --chown=0:0 --exclude-from="$CHECKOUT/devstack/vm/not-copied.txt" "$CHECKOUT/" "$TREE$SOURCE/"
}

install_python() {
    # shellcheck disable=SC2016  # expanded inside
    inside timeout "$PIP_SECONDS" bash -euc '. "$0/devstack/lib.sh"; make_venv "$1" "$2"' "$SOURCE" "$VENV" "$EXTRAS"
    inside env -C "$SOURCE" "$VENV/bin/python" -m compileall -q lite_common nova_lite cinder_lite devstack tests
}

# The tiny guest, where stack.sh looks for it.  The kernel package is installed here, so nothing has to be fetched:
# its files lie in the cache as if they had been unpacked there.
build_guest() {
    local package version cache=/var/lib/nlite/kernel
    read -r package version < <(inside python3 -c 'import sys
sys.path.insert(0, sys.argv[1])
from devstack.guest import build
print(*build.kernel_package())' "$SOURCE")
    local tree=$TREE$cache/${package}_${version//:/%3a}
    mkdir -p "$tree/lib/modules"
    cp -al "$TREE/boot" "$tree/boot"
    cp -al "$TREE/lib/modules/." "$tree/lib/modules/"
    inside env -C "$SOURCE" python3 -m devstack.guest.build /var/lib/nlite/nova/images --cache "$cache"
    cp "$TREE/var/lib/nlite/nova/images/tiny.vmlinux" "$OUTPUT/vmlinux"
    PYTHONPATH=$CHECKOUT python3 -c 'import pathlib, sys
from devstack.vm import initrd
tree, busybox, output = map(pathlib.Path, sys.argv[1:])
output.write_bytes(initrd.common(tree, busybox))' "$TREE/lib/modules" "$TREE/bin/busybox" "$OUTPUT/initrd"
}

# A machine is started often and under emulation: only what is asked for runs.
trim_boot() {
    local preset=$TREE/etc/systemd/system-preset/00-nlite.preset name
    mkdir -p "${preset%/*}"
    printf '%s\n' '# Nothing starts by itself but the way in: tests and stack.sh start what they need.' \
        'enable ssh.service' 'disable *' >"$preset"
    inside systemctl --quiet preset-all
    for name in apt-daily.timer apt-daily-upgrade.timer systemd-logind.service 'user@.service' \
        'serial-getty@ttyS0.service' getty.target systemd-ask-password-wall.path systemd-ask-password-console.path \
        systemd-random-seed.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
        systemd-binfmt.service systemd-machine-id-commit.service systemd-firstboot.service systemd-sysusers.service \
        systemd-pstore.service systemd-journal-catalog-update.service ldconfig.service systemd-hwdb-update.service \
        systemd-update-done.service systemd-remount-fs.service systemd-fsck-root.service \
        systemd-network-generator.service sys-kernel-debug.mount sys-kernel-tracing.mount \
        dev-mqueue.mount sys-fs-fuse-connections.mount systemd-tmpfiles-clean.timer; do
        ln -sfn /dev/null "$TREE/etc/systemd/system/$name"
    done
    mkdir -p "$TREE/etc/systemd/system-generators"
    for name in systemd-bless-boot-generator systemd-cryptsetup-generator systemd-debug-generator \
        systemd-getty-generator systemd-gpt-auto-generator systemd-hibernate-resume-generator \
        systemd-integritysetup-generator systemd-rc-local-generator systemd-run-generator \
        systemd-system-update-generator systemd-sysv-generator systemd-veritysetup-generator; do
        ln -sfn /dev/null "$TREE/etc/systemd/system-generators/$name"
    done
}

configure() {
    printf '/dev/vda / ext4 noatime 0 0\n' >"$TREE/etc/fstab"
    rm -f "$TREE"/etc/ssh/ssh_host_* "$TREE/etc/machine-id" "$TREE/var/lib/dbus/machine-id"
    printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'UsePAM no' 'UseDNS no' 'PasswordAuthentication no' \
        'PermitRootLogin prohibit-password' 'MaxSessions 50' 'MaxStartups 50' >"$TREE/etc/ssh/sshd_config.d/nlite.conf"
    mkdir -p "$TREE/var/log/journal" "$TREE"/etc/systemd/journald.conf.d "$TREE"/etc/systemd/system.conf.d
    printf '%s\n' '[Journal]' 'Storage=persistent' 'RateLimitBurst=0' 'ForwardToSyslog=no' 'Audit=no' \
        >"$TREE/etc/systemd/journald.conf.d/nlite.conf"
    # Under emulation a service takes long to start or stop; that alone is no failure.
    printf '%s\n' '[Manager]' 'DefaultTimeoutStartSec=300s' 'DefaultTimeoutStopSec=120s' \
        >"$TREE/etc/systemd/system.conf.d/nlite.conf"
    # For shells and for single commands; tests/conftest.py asks for NLITE_VM.
    printf '%s\n' "PATH=$VENV/bin:\$PATH" 'export NLITE_VM=1' >"$TREE/etc/profile.d/nlite.sh"
    printf 'SetEnv NLITE_VM=1 LC_ALL=C.UTF-8 PATH=%s\n' "$VENV/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        >>"$TREE/etc/ssh/sshd_config.d/nlite.conf"
}

write_disk() {
    rm -f "$OUTPUT/root.raw"
    truncate -s "$DISK_SIZE" "$OUTPUT/root.raw"
    mke2fs -q -t ext4 -L nlite -m 0 -N 300000 -J size=32 -O ^metadata_csum,^64bit,^resize_inode \
        -E lazy_itable_init=0,lazy_journal_init=0 -d "$TREE" "$OUTPUT/root.raw"
}

main() {
    if (($#)); then
        step "Debian packages"
        bootstrap "$@"
    fi
    step "checkout"
    copy_checkout
    mount_devices
    borrow_network
    step "Python environment"
    install_python
    step "guest and initramfs"
    build_guest
    step "configuration"
    return_network
    trim_boot
    configure
    step "disk"
    write_disk
    step "done"
}

main "$@"
