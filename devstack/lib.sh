# What the scripts of this directory share.  Sourced, not run; bash.
# Every function that waits has a limit, and `die` says what to do.
# shellcheck shell=bash

NLITE_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
NLITE_STATE=${NLITE_STATE:-/var/lib/nlite}
# shellcheck disable=SC2034  # used by the scripts that source this file
NLITE_LINK=/usr/local/bin/nlite
PYTHON=/usr/bin/python3
APT_SECONDS=900
# Every limit is multiplied by this: an emulated machine (TCG) is about ten times slower than a real one.
is_emulated() { [[ $(systemd-detect-virt --vm 2>/dev/null) == qemu ]]; }
PATIENCE=${NLITE_PATIENCE:-$(if is_emulated; then echo 8; else echo 1; fi)}
# The links of System V's init mean nothing to systemd, and to make them takes seconds on a slow machine.
export SYSTEMCTL_SKIP_SYSV=1

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' GREEN='' RED='' PLAIN=''
fi

step() { printf '%s[%4ds]%s %s\n' "$BOLD" "$SECONDS" "$PLAIN" "$*"; }
note() { printf '        %s\n' "$*"; }
good() { printf '        %s%s%s\n' "$GREEN" "$*" "$PLAIN"; }
die() {
    printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
    exit 1
}

# The command that `await` waits for.  It runs in the background so that a signal to the script is acted on at once:
# bash would else finish the command in front of it first, and go on.
CHILD=''
exec 8>&2

interrupted() {
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then
        kill -TERM "$CHILD" 2>/dev/null || true # `timeout` hands it on to all that the command started
        wait "$CHILD" || true
    fi
    die "interrupted; run it again to go on" 2>&8 # standard error may be a log at this moment
}
trap interrupted INT TERM HUP

# await SECONDS COMMAND...: run with a limit; the exit code is the command's, 124 when the limit was reached.
await() {
    local seconds=$1 code=0
    shift
    timeout --kill-after=10 "$((seconds * PATIENCE))" "$@" </dev/null 8>&- 9>&- & # what it leaves behind must hold no lock
    CHILD=$!
    wait "$CHILD" || code=$?
    CHILD=''
    return "$code"
}

# limited SECONDS WHAT COMMAND...: run quietly; on failure show the end of the output and stop.
# Not for use in a subshell, where a signal would not reach the command.
limited() {
    local seconds=$1 what=$2 code=0
    shift 2
    LIMITED_LOG=$(mktemp)
    await "$seconds" "$@" >"$LIMITED_LOG" 2>&1 || code=$?
    if ((code)); then
        tail -n 30 "$LIMITED_LOG" >&2
        rm -f "$LIMITED_LOG"
        ((code == 124)) && die "$what did not end within $((seconds * PATIENCE)) s"
        die "$what failed with exit code $code (its last lines are above)"
    fi
    rm -f "$LIMITED_LOG"
}

# put FILE [MODE [OWNER]]: standard input becomes the file (0600, root), in one step; an unchanged file is not touched.
put() {
    (umask 077 && cat >"$1.new")
    chmod "${2:-0600}" "$1.new"
    chown "${3:-root:root}" "$1.new"
    if cmp -s "$1.new" "$1" && [[ $(stat -c '%a %U:%G' "$1.new") == "$(stat -c '%a %U:%G' "$1")" ]]; then
        rm -f "$1.new"
    else
        mv "$1.new" "$1"
    fi
}

# At the end of every script, however it ends.
clean_up() {
    rm -f "${LIMITED_LOG:-}"
    remove_policy
}
trap clean_up EXIT

# One stack.sh or unstack.sh at a time.
take_lock() {
    exec 9>/run/lock/nlite-stack
    flock --wait 5 9 || die "another stack.sh or unstack.sh is running on this machine"
}

check_machine() {
    ((EUID == 0)) || die "root is needed (packages, libvirt): run sudo $0"
    [[ -r /etc/os-release ]] || die "no /etc/os-release: only Debian and Ubuntu are supported"
    local system
    # shellcheck disable=SC1091
    system=$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")
    [[ " $system " == *" debian "* ]] || die "this is $system: only Debian and Ubuntu are supported"
    [[ $(uname -m) == x86_64 ]] || die "this is $(uname -m): only x86_64 is supported"
}

wanted_packages() { # KIND...
    awk -v kinds=" $* " '!/^#/ {for (i = 2; i <= NF; i++) if (index(kinds, " " $i " ")) {print $1; next}}' \
        "$NLITE_ROOT/devstack/packages.txt"
}

missing_packages() { # NAME...
    local name there
    # dpkg-query knows of some packages only that they exist, and says so with exit code 1.
    there=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
    for name; do
        grep -qxF "$name installed" <<<"$there" || echo "$name"
    done
}

# Install what is missing.  Services are not started by their packages: the stack runs instances of its own.
install_packages() { # KIND...
    local -a wanted missing
    mapfile -t wanted < <(wanted_packages "$@")
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if ((${#missing[@]} == 0)); then
        note "all ${#wanted[@]} Debian packages are installed"
        return
    fi
    note "installing ${#missing[@]} Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    limited 300 "dpkg --configure -a" dpkg --configure -a
    limited "$APT_SECONDS" "apt-get update" apt-get -q -o DPkg::Lock::Timeout=120 update
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\n# nlite: services are not started while stack.sh installs packages\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    limited "$APT_SECONDS" "apt-get install" apt-get -q -y -o DPkg::Lock::Timeout=120 \
        install --no-install-recommends "${missing[@]}"
    remove_policy
    if [[ -d /run/systemd/system ]]; then
        local unit
        for unit in tgt:tgt rabbitmq-server:rabbitmq-server mariadb-server:mariadb; do
            [[ " ${missing[*]} " == *" ${unit%%:*} "* ]] || continue
            systemctl disable --quiet "${unit##*:}" 2>/dev/null || note "the unit ${unit##*:} stays enabled"
        done
    fi
}

remove_policy() {
    if grep -qs '^# nlite:' /usr/sbin/policy-rc.d; then
        rm -f /usr/sbin/policy-rc.d
    fi
}

# apt's lists are needed for the guest's kernel even when no package is missing.
ensure_apt_lists() {
    if ! apt-cache show busybox-static >/dev/null 2>&1; then
        limited "$APT_SECONDS" "apt-get update" apt-get -q -o DPkg::Lock::Timeout=120 update
    fi
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$($PYTHON --version) is too old: 3.11 is needed (Debian 12, Ubuntu 24.04 or newer)"
}

# make_venv DIRECTORY EXTRAS [CHECKOUT]: the checkout and its dependencies, done again only when they changed.  An
# environment that has more extras is current too.
make_venv() {
    local venv=$1 extras=$2 root=${3:-$NLITE_ROOT} mark sum found
    sum=$(cd "$root" && cat setup.cfg pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1)
    mark="$sum $extras $root $("$PYTHON" --version)"
    found=$(cat "$venv/.installed" 2>/dev/null || true)
    if [[ -x $venv/bin/python && ($found == "$mark" || $found == "$sum $extras,"*"${mark#"$sum $extras"}") ]]; then
        note "Python environment $venv is current"
        return
    fi
    note "installing Python packages into $venv"
    rm -f "$venv/.installed"
    limited 120 "python3 -m venv" "$PYTHON" -m venv "$venv"
    PIP_DISABLE_PIP_VERSION_CHECK=1 limited 900 "pip install" env -C "$root" \
        "$venv/bin/python" -m pip install --quiet --retries 5 -c constraints.txt -e ".[$extras]"
    echo "$mark" >"$venv/.installed"
}
