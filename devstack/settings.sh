# What an installed role is set to: options of this run over those of earlier ones over defaults.  Sourced; bash.
# shellcheck shell=bash

declare -A SET=()
ETC=/etc/nlite
SETTINGS=$ETC/stack.conf
DEFAULT_GROUP=nlite-volumes
LIBVIRTD_DROP_IN=/etc/systemd/system/libvirtd.service.d/nlite.conf

# Read lines `name=value` into an array.  The file is data: nothing of it is run.
read_pairs() { # FILE ARRAY
    local line
    local -n into=$2
    while IFS= read -r line; do
        [[ $line =~ ^([a-z_]+)=(.*)$ ]] && into[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
    done <"$1"
    return 0
}

load_settings() {
    SET=([role]=all [backend]=auto [my_ip]='' [disk]='' [vg]=$DEFAULT_GROUP [vg_made]=no [lvm_type]=auto
        [target_helper]=lioadm [secondary_portals]='' [compute_network]='' [controller]='' [multipath]=no
        [databases_made]=no [services]='')
    [[ ! -r $SETTINGS ]] || read_pairs "$SETTINGS" SET
}

save_settings() {
    local name
    {
        echo "# What stack.sh was told and found out; it reads this in its next run."
        for name in "${!SET[@]}"; do
            printf '%s=%s\n' "$name" "${SET[$name]}"
        done | sort
    } | put "$SETTINGS"
}

# Options of this run go over what is kept; the role itself cannot change.
apply_options() {
    local name
    if [[ -r $SETTINGS && ${OPTION[role]:-${SET[role]}} != "${SET[role]}" ]]; then
        die "this host is installed as ${SET[role]}: run unstack.sh before it becomes ${OPTION[role]}"
    fi
    [[ -z ${OPTION[database]:-} || ${OPTION[database]} == mariadb ]] ||
        die "--database sqlite is for the supervised stack; services use MariaDB"
    [[ ${OPTION[auth]:-noauth} == noauth ]] ||
        die "--auth keystone is for the supervised stack; to use a keystone of yours see docs/operations.md"
    if [[ -n ${OPTION[vg]:-} && -n ${OPTION[disk]:-} && -r $SETTINGS && ${OPTION[vg]} != "${SET[vg]}" ]]; then
        die "the volume group of this host is ${SET[vg]}: add the disk to it with vgextend, or run unstack.sh first"
    fi
    for name in "${!OPTION[@]}"; do
        [[ $name == join || $name == backend || $name == database || $name == auth ]] || SET[$name]=${OPTION[$name]}
    done
    if [[ ${SET[role]} == compute ]]; then
        refuse_options compute disk vg lvm_type target_helper secondary_portals compute_network
        [[ -n ${SET[controller]} ]] || die "--role compute needs --controller ADDRESS"
    else
        refuse_options "${SET[role]}" controller join
    fi
}

refuse_options() { # ROLE NAME...
    local role=$1 name
    shift
    for name; do
        [[ -z ${OPTION[$name]:-} ]] || die "--${name//_/-} has no meaning for --role $role"
    done
}

has_storage() { [[ ${SET[role]} != compute ]]; }
has_guests() { [[ ${SET[role]} != controller ]]; }
has_control() { [[ ${SET[role]} != compute ]]; }

is_own_address() { [[ -n $(ip -o address show to "$1" 2>/dev/null) ]]; }

is_loopback() { [[ $1 == 127.* || $1 == ::1 ]]; }

# in_url ADDRESS: IPv6 addresses stand in brackets there.
in_url() { if [[ $1 == *:* ]]; then echo "[$1]"; else echo "$1"; fi; }

# An address in its one canonical form; die when it is none.
canonical() { # OPTION ADDRESS
    "$PYTHON" -c 'import ipaddress, sys; print(ipaddress.ip_address(sys.argv[1]))' "$2" 2>/dev/null ||
        die "--$1: $2 is no IP address"
}

source_address() { # DESTINATION
    ip -o route get "$1" 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p'
}

choose_addresses() {
    local address
    local -a portals=()
    if [[ -z ${SET[my_ip]} ]]; then
        case ${SET[role]} in
        all) SET[my_ip]=127.0.0.1 ;;
        compute) SET[my_ip]=$(source_address "${SET[controller]}") ;;
        controller) SET[my_ip]=$(source_address "$(ip -o route show default | sed -n '1s/.* via \([^ ]*\).*/\1/p')") ;;
        esac
        [[ -n ${SET[my_ip]} ]] || die "this host's address cannot be guessed from its routes: give --my-ip ADDRESS"
    fi
    SET[my_ip]=$(canonical my-ip "${SET[my_ip]}")
    is_own_address "${SET[my_ip]}" || die "--my-ip ${SET[my_ip]} is no address of this host (ip address show)"
    for address in ${SET[secondary_portals]//,/ }; do
        address=$(canonical secondary-portals "$address")
        is_own_address "$address" || die "--secondary-portals: $address is no address of this host (ip address show)"
        portals+=("$address")
    done
    SET[secondary_portals]=$(IFS=, && echo "${portals[*]:-}")
    if [[ ${SET[role]} != all ]] && is_loopback "${SET[my_ip]}"; then
        die "--my-ip ${SET[my_ip]}: other hosts cannot reach loopback"
    fi
    if has_control && [[ -z ${SET[compute_network]} ]]; then
        SET[compute_network]=$(own_network "${SET[my_ip]}")
    fi
    note "this host is ${SET[my_ip]}${SET[secondary_portals]:+, portals also on ${SET[secondary_portals]}}"
}

# The network of an address of this host, such as 10.0.0.0/24.
own_network() { # ADDRESS
    ip -o address show to "$1" | sed -n '1s/.* inet6\{0,1\} \([^ ]*\).*/\1/p' |
        "$PYTHON" -c 'import ipaddress, sys; print(ipaddress.ip_interface(sys.stdin.read().strip()).network)'
}

# An install in this run, or one of ours from before?  A secret is made once, is 32 hexadecimal digits, and stays.
secret() { # NAME
    local file=$ETC/secrets/$1
    if [[ ! -s $file ]]; then
        install -d -m 0700 "$ETC/secrets"
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | put "$file"
    fi
    cat "$file"
}

# Has anything in these files changed since `remember` was called for NAME?
mark_of() { cat "$@" 2>/dev/null | sha256sum | cut -d' ' -f1; }
is_current() { [[ $(cat "$NLITE_STATE/marks/$1" 2>/dev/null) == "$2" ]]; } # NAME MARK
remember() { mkdir -p "$NLITE_STATE/marks" && echo "$2" >"$NLITE_STATE/marks/$1"; } # NAME MARK
