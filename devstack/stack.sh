#!/usr/bin/env bash
# Build the stack on this machine and show its main job: two guests, one volume that moves between them.
#
#   stack.sh [--role all|controller|compute] [--backend kernel|userspace] [--no-story]
#
# Where PID 1 is systemd the daemons become services, in one of three roles:
#   all         everything on this machine, on 127.0.0.1 unless --my-ip is given (the default)
#   controller  APIs, scheduler, storage, MariaDB, RabbitMQ; writes /etc/nlite/join for the other hosts
#   compute     guests; takes --controller ADDRESS and --join FILE (the controller's /etc/nlite/join, copied by scp)
# and with these options, which are remembered:
#   --my-ip ADDRESS           this host's address for the other hosts (guessed from the route where it can be)
#   --disk DEVICE | --vg NAME an empty disk to make the volume group of, or an existing group (default nlite-volumes)
#   --lvm-type auto|default|thin     --target-helper lioadm|tgtadm
#   --secondary-portals A,B   more addresses of this host at which volumes are exported
#   --compute-network CIDR    where compute hosts are, for the database's rights (default: the network of --my-ip)
#   --multipath               (compute) use all portals, through multipathd
#   --prepare                 only install packages, Python environment and guest image: for a disk image, or before
#                             a host is taken off the network
# Where it is not, supervised daemons with the userspace backend run from /var/lib/nlite (NLITE_STATE), all of them on
# 127.0.0.1, with --database sqlite|mariadb and --auth noauth|keystone (with MariaDB unless told otherwise).
#
# Idempotent: what is there and current is kept; an interrupted run is continued by the next one.  `unstack.sh` takes
# everything away but Debian packages.
set -euo pipefail
# shellcheck source=devstack/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=devstack/config.sh
. "$NLITE_ROOT/devstack/config.sh"
# shellcheck source=devstack/settings.sh
. "$NLITE_ROOT/devstack/settings.sh"
# shellcheck source=devstack/probe.sh
. "$NLITE_ROOT/devstack/probe.sh"
# shellcheck source=devstack/identity.sh
. "$NLITE_ROOT/devstack/identity.sh"
# shellcheck source=devstack/supervised.sh
. "$NLITE_ROOT/devstack/supervised.sh"
# shellcheck source=devstack/storage.sh
. "$NLITE_ROOT/devstack/storage.sh"
# shellcheck source=devstack/control.sh
. "$NLITE_ROOT/devstack/control.sh"
# shellcheck source=devstack/hosts.sh
. "$NLITE_ROOT/devstack/hosts.sh"
# shellcheck source=devstack/systemd.sh
. "$NLITE_ROOT/devstack/systemd.sh"
# shellcheck source=devstack/roles.sh
. "$NLITE_ROOT/devstack/roles.sh"

declare -A OPTION=() # what this run was asked for
STORY=yes
PREPARE=no
READY_SECONDS=90

usage() { sed -n '2,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# choice NAME VALUE ALLOWED...: keep the value of an option that has a few.
choice() {
    local name=$1 value=$2
    shift 2
    [[ " $* " == *" $value "* ]] || die "--$name takes $(printf '%s, ' "$@" | sed 's/, $//; s/\(.*\), /\1 or /')"
    OPTION[${name//-/_}]=$value
}

parse_arguments() {
    while (($#)); do
        case $1 in
        --role) choice role "${2:-}" controller compute all ;;
        --backend) choice backend "${2:-}" kernel userspace ;;
        --database) choice database "${2:-}" sqlite mariadb ;;
        --auth) choice auth "${2:-}" noauth keystone ;;
        --lvm-type) choice lvm-type "${2:-}" auto default thin ;;
        --target-helper) choice target-helper "${2:-}" lioadm tgtadm ;;
        --my-ip | --disk | --vg | --secondary-portals | --compute-network | --controller | --join)
            [[ -n ${2:-} ]] || die "$1 takes a value"
            local name=${1#--}
            OPTION[${name//-/_}]=$2
            ;;
        --multipath) OPTION[multipath]=yes && set -- "$1" "$@" ;;
        --no-story) STORY=no && set -- "$1" "$@" ;;
        --prepare) PREPARE=yes && set -- "$1" "$@" ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && die "unknown argument: $1" ;;
        esac
        shift 2
    done
}

# An operator's option that the supervised stack cannot honour must not be passed over in silence.
refuse_role_options() {
    local name
    for name in "${!OPTION[@]}"; do
        [[ $name == database || $name == backend || $name == auth ]] ||
            die "--${name//_/-} needs systemd as PID 1; this machine gets the supervised stack, which has no roles"
    done
}

main() {
    parse_arguments "$@"
    check_machine
    take_lock
    if [[ $PREPARE == yes ]]; then
        role_prepare
    elif [[ -d /run/systemd/system ]]; then
        [[ ! -f $NLITE_STATE/settings ]] || die "a supervised stack is installed here: run unstack.sh first"
        role_stack
    else
        refuse_role_options
        supervised_stack
    fi
}

main "$@"
