# The stack where PID 1 is not systemd: private servers and the five daemons under supervisord, all of it on loopback
# and in one directory, with the userspace backend.  Sourced by stack.sh; bash.
# shellcheck shell=bash

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

choose_port() { # PREFERRED
    local port=$1
    while port_taken "$port"; do
        port=$((port + 1))
    done
    echo "$port"
}

# Ports and database, decided in the first run and kept.
settle() {
    local file=$NLITE_STATE/settings
    if [[ ! -f $file ]]; then
        [[ ${OPTION[auth]:-} != keystone ]] || DATABASE=${DATABASE:-mariadb}
        port_taken 8774 && die "port 8774 (nova-api) is in use: stop what listens there (ss -ltnp)"
        port_taken 8776 && die "port 8776 (cinder-api) is in use: stop what listens there (ss -ltnp)"
        cat >"$file.new" <<END
RABBIT_PORT=$(choose_port 5672)
MARIADB_PORT=$(choose_port 3306)
TGT_PORT=$(choose_port 3260)
SETTLED_DATABASE=${DATABASE:-sqlite}
END
        mv "$file.new" "$file"
    fi
    # shellcheck disable=SC1090
    . "$file"
    [[ -z $DATABASE || $DATABASE == "$SETTLED_DATABASE" ]] ||
        die "this stack uses $SETTLED_DATABASE: run unstack.sh before a change to $DATABASE"
    DATABASE=$SETTLED_DATABASE
    settle_auth
    note "RabbitMQ on $RABBIT_PORT, iSCSI on $TGT_PORT, database: $DATABASE"
}

supervisor() { await 150 "$NLITE_STATE/venv/bin/supervisorctl" -c "$NLITE_STATE/etc/supervisord.conf" "$@"; }

supervisor_runs() { supervisor pid >/dev/null 2>&1; }

start_supervisor() {
    if supervisor_runs; then
        supervisor update >/dev/null
        return
    fi
    # Nothing of an earlier boot is alive without its supervisor.
    rm -f "$NLITE_STATE/supervisor.sock"
    NLITE_STACK=$NLITE_STATE limited 30 supervisord \
        env -C / "$NLITE_STATE/venv/bin/supervisord" -c "$NLITE_STATE/etc/supervisord.conf"
    local tries
    for ((tries = 50; tries; tries--)); do
        supervisor_runs && return
        sleep 0.2
    done
    die "supervisord does not answer: see $NLITE_STATE/log/supervisord.log"
}

servers() { # the outside servers of this stack
    echo rabbitmq tgtd libvirtd
    [[ $DATABASE != mariadb ]] || echo mariadb
}

start_servers() {
    local name
    # shellcheck disable=SC2046
    supervisor start $(servers) >/dev/null || true # "already started" counts as failure; the wait below decides
    for name in $(servers); do
        limited "$READY_SECONDS" "waiting for $name" env -C "$NLITE_ROOT" \
            "$PYTHON" -m devstack.servers "$name" "$NLITE_STATE/$name" --port "$(server_port "$name")" \
            --wait "$((READY_SECONDS - 10))" --log "$NLITE_STATE/log/$name.log"
    done
    good "$(servers | xargs) ready"
}

# Plain virsh and tgtadm look at fixed places: link them to ours, unless another daemon has them.
link_sockets() {
    link_socket /run/libvirt/libvirt-sock "$NLITE_STATE/libvirtd/run/libvirt-sock" \
        "virsh -c 'qemu+unix:///system?socket=$NLITE_STATE/libvirtd/run/libvirt-sock'"
    link_socket /run/tgtd/socket.0 "$NLITE_STATE/tgtd/socket.0" "TGT_IPC_SOCKET=$NLITE_STATE/tgtd/socket tgtadm"
}

link_socket() { # PLACE OURS INSTEAD
    mkdir -p "$(dirname "$1")"
    if [[ -L $1 || ! -e $1 ]]; then
        ln -sfn "$2" "$1"
    elif [[ -S $1 ]] && ! "$PYTHON" -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' \
        "$1" 2>/dev/null; then
        ln -sfn "$2" "$1" # a dead daemon's socket
    else
        note "$1 belongs to another daemon; to reach this stack's: $3"
    fi
}

sync_databases() {
    if [[ $DATABASE == mariadb ]]; then
        local name
        for name in nova cinder; do
            (cd "$NLITE_ROOT" && timeout 30 "$PYTHON" -m devstack.servers mariadb "$NLITE_STATE/mariadb" \
                --port "$MARIADB_PORT" --create-database "$name" >"$NLITE_STATE/etc/$name.url.new")
            chmod 0600 "$NLITE_STATE/etc/$name.url.new"
            mv "$NLITE_STATE/etc/$name.url.new" "$NLITE_STATE/etc/$name.url"
        done
    fi
    if with_keystone; then
        prepare_identity
    fi
    write_service_configs
    limited 120 "nova-lite-manage db sync" \
        "$NLITE_STATE/venv/bin/nova-lite-manage" --config-file "$NLITE_STATE/etc/nova.conf" db sync
    limited 120 "cinder-lite-manage db sync" \
        "$NLITE_STATE/venv/bin/cinder-lite-manage" --config-file "$NLITE_STATE/etc/cinder.conf" db sync
}

# A changed checkout or configuration means new processes; else those that run are kept.
start_daemons() {
    local mark
    mark=$(cd "$NLITE_ROOT" && { find lite_common nova_lite cinder_lite -name '*.py' -exec cat {} + &&
        cat "$NLITE_STATE"/etc/*.conf "$NLITE_STATE/venv/.installed"; } | sha256sum)
    if [[ $mark != "$(cat "$NLITE_STATE/daemons.mark" 2>/dev/null)" ]]; then
        supervisor stop daemons:* >/dev/null || true # not running is fine
    fi
    supervisor start daemons:* >/dev/null || true # "already started" counts as failure; the wait below decides
    echo "$mark" >"$NLITE_STATE/daemons.mark"
    wait_for_daemons
}

daemons_are_up() {
    local -a all
    mapfile -t all < <(timeout "$((20 * PATIENCE))" "$NLITE_STATE/venv/bin/nlite" service-list -f json 2>/dev/null |
        "$PYTHON" -c '
import json, sys
for row in json.load(sys.stdin):
    row = {key.lower(): value for key, value in row.items()}
    if row["state"] == "up":
        print(row["binary"])' 2>/dev/null)
    [[ " ${all[*]} " == *nova-compute* && " ${all[*]} " == *cinder-scheduler* && " ${all[*]} " == *cinder-volume* ]]
}

wait_for_daemons() {
    local url end=$((SECONDS + READY_SECONDS * PATIENCE))
    for url in http://127.0.0.1:8774/healthcheck http://127.0.0.1:8776/healthcheck; do
        until "$PYTHON" -c 'import sys, urllib.request as u
u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=3)' "$url" 2>/dev/null; do
            ((SECONDS < end)) || daemons_failed "$url does not answer"
            sleep 0.3
        done
    done
    until daemons_are_up; do
        ((SECONDS < end)) || daemons_failed "not all services are up"
        sleep 0.3
    done
    good "nova-api, nova-compute, cinder-api, cinder-scheduler, cinder-volume are up"
}

daemons_failed() {
    supervisor status >&2 || true
    local log
    for log in "$NLITE_STATE"/log/*-api.log "$NLITE_STATE"/log/*-compute.log "$NLITE_STATE"/log/*-scheduler.log \
        "$NLITE_STATE"/log/*-volume.log; do
        [[ -s $log ]] && printf '%s:\n' "$log" >&2 && tail -n 8 "$log" >&2
    done
    die "$1 after $READY_SECONDS s; the logs are in $NLITE_STATE/log"
}

link_client() {
    ln -sfn "$NLITE_STATE/venv/bin/nlite" "$NLITE_LINK"
    write_clouds_yaml
}

what_next() {
    cat <<END

${BOLD}The stack runs.${PLAIN} Next, for example:
    nlite list
    nlite volume-create --size 1 v2 --wait && nlite volume-attach c1 v2 --wait
    nlite console c1
    virsh list            tgtadm --op show --mode target
    OS_CLOUD=nlite $NLITE_STATE/venv/bin/openstack volume list
$(with_keystone && echo "OS_CLOUD=nlite is user demo, nlite-admin and nlite-reader are admin and reader: set one of them first.
")Logs: $NLITE_STATE/log    To take all of it away: $NLITE_ROOT/devstack/unstack.sh
END
}

supervised_stack() {
    DATABASE=${OPTION[database]:-}
    step "packages"
    local -a kinds=(run build)
    [[ $DATABASE == mariadb || ${OPTION[auth]:-} == keystone ]] && kinds+=(mariadb)
    install_packages "${kinds[@]}"
    ensure_apt_lists
    check_python
    step "storage backend"
    supervised_backend
    step "settings in $NLITE_STATE"
    make_directories
    settle
    step "Python environment"
    make_venv "$NLITE_STATE/venv" stack
    if with_keystone; then
        make_identity_environment
    fi
    step "guest image"
    limited 700 "building the guest image" env -C "$NLITE_ROOT" \
        "$PYTHON" -m devstack.guest.build "$NLITE_STATE/nova/images" --cache "$NLITE_STATE/kernel"
    good "tiny: $(du -ch "$NLITE_STATE"/nova/images/tiny.* | tail -n1 | cut -f1)"
    step "servers"
    write_supervisor_config
    start_supervisor
    start_servers
    link_sockets
    step "databases"
    sync_databases
    if with_keystone; then
        step "keystone"
        start_identity
    fi
    step "daemons"
    start_daemons
    link_client
    if [[ $STORY == yes ]]; then
        step "story: one volume, two guests"
        await 600 env -C "$NLITE_ROOT" "$PYTHON" -m devstack.story --state "$NLITE_STATE" \
            --nlite "$NLITE_STATE/venv/bin/nlite" || die "the story did not end well (see above)"
    fi
    what_next
}
