# MariaDB and RabbitMQ of the controller: Debian's services, for this stack's accounts only.  Sourced by stack.sh; bash.
#
# Nothing of it listens on any address but the controller's own.  Each of nova and cinder has an account, a database
# and a virtual host of its own, so a compute host (which has nova's) cannot reach what is cinder's.
# shellcheck shell=bash

MARIADB_CONFIG=/etc/mysql/mariadb.conf.d/90-nlite.cnf
RABBIT_CONFIG=/etc/rabbitmq/conf.d/50-nlite.conf
RABBIT_DEFINITIONS=/etc/rabbitmq/nlite-definitions.json
RABBIT_ENVIRONMENT=/etc/rabbitmq/rabbitmq-env.conf
RABBIT_DROP_IN=/etc/systemd/system/rabbitmq-server.service.d/nlite.conf
EPMD_DROP_IN=/etc/systemd/system/epmd.socket.d/nlite.conf
OURS="written by nlite's stack.sh, removed by unstack.sh"

# Ask for them, without waiting: they take longest of all, and other work can be done meanwhile.
begin_control_servers() {
    configure_mariadb
    configure_rabbitmq
    systemctl daemon-reload
    bring_up epmd.socket "$(mark_of "$EPMD_DROP_IN")"
    START_OPTION=--no-block database_server
    START_OPTION=--no-block bus_server
}

database_server() { bring_up mariadb.service "$(mark_of "$MARIADB_CONFIG")"; }

bus_server() {
    bring_up rabbitmq-server.service "$(mark_of "$RABBIT_CONFIG" "$RABBIT_DEFINITIONS" "$RABBIT_ENVIRONMENT")"
}

finish_database() {
    database_server
    create_accounts
    good "MariaDB ready on ${SET[my_ip]}"
}

finish_bus() {
    bus_server
    remove_guest
    good "RabbitMQ ready on ${SET[my_ip]}"
}

START_OPTION='' # --no-block: ask for the start and go on
# bring_up "UNIT..." "MARK...": enable and start; a unit whose configuration has changed is restarted.  What this
# stack has enabled itself is written down, so that unstack.sh knows what to stop.
bring_up() {
    local -a units marks enabling=() stopping=()
    read -ra units <<<"$1"
    read -ra marks <<<"$2"
    local -A enabled=() active=()
    unit_states "${units[@]}"
    local i unit
    for i in "${!units[@]}"; do
        unit=${units[i]}
        if [[ ${enabled[$unit]:-} != enabled ]]; then
            enabling+=("$unit")
            [[ " ${SET[services]} " == *" $unit "* ]] || SET[services]+="${SET[services]:+ }$unit"
        fi
        [[ ${active[$unit]:-} != active ]] || is_current "$unit" "${marks[i]:-}" || stopping+=("$unit")
    done
    if ((${#enabling[@]})); then
        # What is enabled counts at the next boot; to read all units again for it takes seconds on a slow machine.
        limited 60 "systemctl enable ${enabling[*]}" systemctl --quiet --no-reload enable "${enabling[@]}"
        save_settings
    fi
    if ((${#stopping[@]})); then
        note "restarted, because their configuration has changed: ${stopping[*]}"
        limited 120 "systemctl stop ${stopping[*]}" systemctl stop "${stopping[@]}"
    fi
    if ! await 300 systemctl ${START_OPTION:-} start "${units[@]}"; then
        await 20 systemctl --no-pager --lines=15 status "${units[@]}" >&2 || true
        die "systemctl start ${units[*]} failed (its status is above)"
    fi
    for i in "${!units[@]}"; do
        remember "${units[i]}" "${marks[i]:-}"
    done
}

# Fill the caller's arrays `enabled` and `active`: one call of systemctl, which is slow on an emulated machine.
unit_states() { # UNIT...
    local unit file state
    while IFS='|' read -r unit file state; do
        enabled[$unit]=$file
        active[$unit]=$state
    done < <(systemctl show --property=Id,UnitFileState,ActiveState "$@" |
        awk -F= 'function row() {if ("Id" in v) print v["Id"] "|" v["UnitFileState"] "|" v["ActiveState"]; delete v}
                 NF < 2 {row(); next} {v[$1] = $2} END {row()}')
}

configure_mariadb() {
    put "$MARIADB_CONFIG" 0644 <<END
# $OURS
[mariadbd]
bind-address = ${SET[my_ip]}
skip-name-resolve
# Every daemon may hold 20 connections.
max-connections = 500
END
}

# Account and host for GRANT: nova's may come from the compute network, cinder's from this host only.
account_hosts() { # nova|cinder
    echo "${SET[my_ip]}"
    [[ $1 == nova ]] && ! is_loopback "${SET[my_ip]}" || return 0
    # MariaDB knows netmasks of IPv4 only.
    if [[ ${SET[compute_network]} == *:* ]]; then
        echo "%"
    else
        "$PYTHON" -c 'import ipaddress, sys
print(ipaddress.ip_network(sys.argv[1], strict=False).with_netmask)' "${SET[compute_network]}"
    fi
}

account_sql() { # nova|cinder
    local host password
    password=$(secret "database-$1")
    echo "CREATE DATABASE IF NOT EXISTS \`$1\` CHARACTER SET utf8mb4;"
    while IFS= read -r host; do
        echo "CREATE USER IF NOT EXISTS '$1'@'$host' IDENTIFIED BY '$password';"
        echo "ALTER USER '$1'@'$host' IDENTIFIED BY '$password';"
        echo "GRANT ALL ON \`$1\`.* TO '$1'@'$host';"
    done < <(account_hosts "$1")
}

# As the machine's root through the unix socket; SQL comes on standard input, so that no password shows in `ps`.
mariadb_root() { timeout "$((60 * PATIENCE))" mariadb --batch --skip-column-names; }

# Who may log in without a name, and to what: nobody, to nothing.
ANONYMOUS_SQL="SELECT CONCAT('DROP USER ''''@''', Host, ''';') FROM mysql.user WHERE User = '';"

create_accounts() {
    local sql found
    sql=$(account_sql nova && account_sql cinder) || die "the network ${SET[compute_network]} is no network"
    local mark
    mark=$(mark_of - <<<"$sql")
    if is_current accounts "$mark" && [[ ${SET[databases_made]} == yes ]]; then
        return
    fi
    if [[ ${SET[databases_made]} != yes ]]; then
        found=$(echo "SHOW DATABASES WHERE \`Database\` IN ('nova', 'cinder');" | mariadb_root)
        [[ -z $found ]] || die "MariaDB has a database ${found//$'\n'/ and } already, and it is not this stack's"
        SET[databases_made]=yes
        save_settings
    fi
    {
        echo "$ANONYMOUS_SQL" | mariadb_root
        echo "DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES;"
        echo "$sql"
    } | mariadb_root || die "MariaDB did not take the accounts (see above)"
    remember accounts "$mark"
}

# Users, virtual hosts and rights are read at every start; a fresh RabbitMQ then makes no user "guest" of its own.
configure_rabbitmq() {
    install -d "$(dirname "$RABBIT_CONFIG")"
    put "$RABBIT_CONFIG" 0644 <<END
# $OURS
listeners.tcp.1 = ${SET[my_ip]}:5672
load_definitions = $RABBIT_DEFINITIONS
END
    { secret rabbitmq-nova && echo && secret rabbitmq-cinder; } | "$PYTHON" -c '
import base64, hashlib, json, sys

def hashed(password):
    # The salt follows from the password, which is random itself, so that the file stays the same from run to run.
    salt = hashlib.sha256(b"salt" + password).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password).digest()).decode()

names = ("nova", "cinder")
passwords = dict(zip(names, sys.stdin.buffer.read().split(), strict=True))
json.dump({
    "users": [{"name": name, "password_hash": hashed(passwords[name]), "tags": [],
               "hashing_algorithm": "rabbit_password_hashing_sha256"} for name in names],
    "vhosts": [{"name": name} for name in names],
    "permissions": [{"user": name, "vhost": name, "configure": ".*", "write": ".*", "read": ".*"} for name in names],
}, sys.stdout, indent=1)
' | put "$RABBIT_DEFINITIONS" 0640 root:rabbitmq
    keep_rabbitmq_private
}

# Erlang's own ports (node to node, and the port mapper) are for this machine only.  The node is named after localhost
# where it has no database yet: then it does not depend on what the machine's name resolves to.
keep_rabbitmq_private() {
    if ! grep -qs '^# nlite: begin' "$RABBIT_ENVIRONMENT"; then
        {
            cat "$RABBIT_ENVIRONMENT" 2>/dev/null || true
            echo "# nlite: begin, $OURS"
            if ! rabbitmq_has_run; then
                echo "NODENAME=rabbit@localhost"
            fi
            if ! rabbitmq_has_run || getent ahostsv4 "$(hostname -s)" | grep -q '^127\.0\.0\.1 '; then
                echo 'SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"'
            fi
            echo "# nlite: end"
        } | put "$RABBIT_ENVIRONMENT" 0644
        if ! rabbitmq_has_run; then
            remember rabbitmq-guest gone
            SET[rabbit_fresh]=yes
            save_settings
        fi
    fi
    # It stops in order at a signal.  Debian's unit starts a second Erlang to tell it, which takes longer than the stop
    # itself, and looks in vain for the port mapper at a shutdown.
    install -d "$(dirname "$RABBIT_DROP_IN")"
    put "$RABBIT_DROP_IN" 0644 <<END
# $OURS
[Service]
ExecStop=
KillMode=mixed
END
    install -d "$(dirname "$EPMD_DROP_IN")"
    put "$EPMD_DROP_IN" 0644 <<END
# $OURS
[Socket]
ListenStream=
ListenStream=127.0.0.1:4369
ListenStream=127.0.1.1:4369
ListenStream=[::1]:4369
END
}

rabbitmq_has_run() { compgen -G '/var/lib/rabbitmq/mnesia/rabbit@*' >/dev/null; }

# Only a RabbitMQ that ran before it got our configuration has this user.
remove_guest() {
    is_current rabbitmq-guest gone && return
    if await 60 rabbitmqctl --quiet list_users 2>/dev/null | grep -q '^guest\b'; then
        limited 60 "rabbitmqctl delete_user guest" rabbitmqctl --quiet delete_user guest
        note "RabbitMQ's user guest, whose password everybody knows, is removed"
    fi
    remember rabbitmq-guest gone
}
