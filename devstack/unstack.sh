#!/usr/bin/env bash
# Take the stack away: guests, exports, processes, files, links.  Debian packages stay installed.
#
#   unstack.sh [--force] [--keep-downloads]
#
#   --force           end guests that still run, where the stack is a role with systemd (else they are a reason to stop)
#   --keep-downloads  keep the Python environment and the guest's image of such a role: stack.sh needs no network then
#
# Safe to run at any time, again, and after an interrupted stack.sh.
set -euo pipefail
# shellcheck source=devstack/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=devstack/settings.sh
. "$NLITE_ROOT/devstack/settings.sh"
# shellcheck source=devstack/probe.sh
. "$NLITE_ROOT/devstack/probe.sh"
# shellcheck source=devstack/storage.sh
. "$NLITE_ROOT/devstack/storage.sh"
# shellcheck source=devstack/control.sh
. "$NLITE_ROOT/devstack/control.sh"
# shellcheck source=devstack/systemd.sh
. "$NLITE_ROOT/devstack/systemd.sh"
# shellcheck source=devstack/unrole.sh
. "$NLITE_ROOT/devstack/unrole.sh"

FORCE=no
KEEP_DOWNLOADS=no

# Pids of the stack's processes: supervisord gives all it starts a mark in their environment.  libvirt gives its
# guests a clean environment, so these are known by their files.
stack_pids() {
    local entry pid
    for entry in /proc/[0-9]*; do
        pid=${entry#/proc/}
        if grep -qszxF "NLITE_STACK=$NLITE_STATE" "$entry/environ" ||
            { [[ $(readlink "$entry/exe") == */qemu-system-* ]] && grep -qsF "$NLITE_STATE/" "$entry/cmdline"; }; then
            [[ $(awk '/^State:/ {print $2}' "$entry/status" 2>/dev/null) == Z ]] || echo "$pid"
        fi
    done 2>/dev/null # a process may end while we look at it
}

stop_supervised() {
    local conf=$NLITE_STATE/etc/supervisord.conf ctl=$NLITE_STATE/venv/bin/supervisorctl pid
    [[ -f $conf && -x $ctl ]] || return 0
    pid=$(timeout 20 "$ctl" -c "$conf" pid 2>/dev/null) || return 0
    [[ $pid =~ ^[0-9]+$ ]] || return 0
    # The daemons first, while what they need to finish their work is there; then the servers, with the guests.
    timeout 120 "$ctl" -c "$conf" stop 'daemons:*' >/dev/null || note "some daemon did not stop by itself"
    timeout 120 "$ctl" -c "$conf" shutdown >/dev/null || note "supervisord was not asked to stop"
    local tries
    for ((tries = 300; tries; tries--)); do
        [[ -d /proc/$pid ]] || return 0
        sleep 0.2
    done
    note "supervisord did not end within 60 s"
}

# What outlived its supervisor (which should be nothing): first asked, then ended.
stop_rest() {
    local signal pid tries
    for signal in TERM KILL; do
        for pid in $(stack_pids); do
            note "still running, SIG$signal to $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-90)"
            kill "-$signal" "$pid" 2>/dev/null || true # it may just have ended
        done
        for ((tries = 50; tries; tries--)); do
            [[ -z $(stack_pids) ]] && return 0
            sleep 0.2
        done
    done
    die "these processes do not end: $(stack_pids | xargs)"
}

remove_link() { # PLACE PREFIX: only a link into our directory is ours
    if [[ -L $1 && $(readlink "$1") == "$2"* ]]; then
        rm -f "$1"
    fi
}

# A directory belongs to a package, or is a mount point in some process's namespace: removing it there would take
# the mount away under a private libvirtd that is not ours (a test run, say).
in_use() {
    dpkg-query -S "$1" >/dev/null 2>&1 || grep -qsF " $1 " /proc/[0-9]*/mountinfo
}

remove_clouds() { # FILE
    if [[ -n $1 ]] && head -n1 "$1" 2>/dev/null | grep -q '^# written by nlite'; then
        rm -f "$1"
        rmdir --ignore-fail-on-non-empty "$(dirname "$1")"
    fi
}

remove_files() {
    remove_link "$NLITE_LINK" "$NLITE_STATE/"
    remove_link /run/libvirt/libvirt-sock "$NLITE_STATE/"
    remove_link /run/tgtd/socket.0 "$NLITE_STATE/"
    remove_clouds "$(cat "$NLITE_STATE/clouds.path" 2>/dev/null || true)"
    rm -rf --one-file-system "$NLITE_STATE"
    rm -rf "$NLITE_ROOT"/nova_lite.egg-info
    # Mount points of our libvirtd's private directories, where nobody else needs them.
    local place
    for place in /run/libvirt /run/tgtd /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
        if [[ -d $place ]] && ! in_use "$place"; then
            rmdir "$place" 2>/dev/null || true # not empty: it is somebody's
        fi
    done
    remove_policy
}

parse_arguments() {
    local word
    for word; do
        case $word in
        --force) FORCE=yes ;;
        --keep-downloads) KEEP_DOWNLOADS=yes ;;
        *) die "unknown argument: $word (known: --force, --keep-downloads)" ;;
        esac
    done
}

main() {
    parse_arguments "$@"
    check_machine
    [[ $NLITE_STATE == /?*/?* ]] || die "NLITE_STATE=$NLITE_STATE is no directory of this stack"
    take_lock
    if [[ -r $SETTINGS ]]; then
        remove_role
        rm -f /run/lock/nlite-stack
        return
    fi
    step "stopping daemons, guests and servers"
    stop_supervised
    stop_rest
    step "removing $NLITE_STATE and the links into it"
    remove_files
    rm -f /run/lock/nlite-stack
    good "nothing of the stack is left (Debian packages stay)"
}

main "$@"
