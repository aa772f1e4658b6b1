# The daemons as systemd services: user, checkout, environment, units, and restarts of just what has changed.
# Sourced by stack.sh; bash.
# shellcheck shell=bash

PREFIX=/opt/nlite
VENV=$PREFIX/venv
UNIT_DIR=/etc/systemd/system

role_units() {
    ! has_control || echo cinder-lite-api cinder-lite-scheduler cinder-lite-volume nova-lite-api
    ! has_guests || echo nova-lite-compute
}

# The checkout at its fixed place.  One that is there already is taken as it is.
install_checkout() {
    local target=$PREFIX/src
    if [[ $NLITE_ROOT -ef $target ]]; then
        note "the checkout is $target"
        return
    fi
    local sum
    sum=$(cd "$NLITE_ROOT" && tar_checkout --sort=name | sha256sum | cut -d' ' -f1)
    if [[ -d $target && $(cat "$target/.copied" 2>/dev/null) == "$sum" ]]; then
        note "$target is the same as $NLITE_ROOT"
        return
    fi
    [[ ! -e $target || -f $target/.copied ]] ||
        die "$target is a checkout of its own: run $target/devstack/stack.sh, or move it away"
    rm -rf "$target.new"
    mkdir -p "$target.new"
    (cd "$NLITE_ROOT" && tar_checkout) | tar -C "$target.new" -x --no-same-owner
    echo "$sum" >"$target.new/.copied"
    rm -rf "$target.old"
    [[ ! -e $target ]] || mv "$target" "$target.old"
    mv "$target.new" "$target"
    rm -rf "$target.old"
    note "$NLITE_ROOT is copied to $target, which is what the services run"
}

tar_checkout() { # MORE-OPTIONS...
    tar -c "$@" --owner=0 --group=0 --mode='u+rwX,go+rX,go-w' --exclude='./.*' --exclude='*.egg-info' \
        --exclude=__pycache__ .
}

install_environment() {
    mkdir -p "$PREFIX"
    make_venv "$VENV" stack "$PREFIX/src"
    # The services may not write beside their sources, so they find them compiled.
    limited 120 "compiling the sources" env -C "$PREFIX/src" \
        "$VENV/bin/python" -m compileall -q lite_common nova_lite cinder_lite
}

make_user() {
    if ! getent passwd nlite >/dev/null; then
        limited 30 "useradd nlite" useradd --system --user-group --home-dir "$NLITE_STATE" --no-create-home \
            --shell /usr/sbin/nologin nlite
        SET[user_made]=yes
    fi
}

make_state_directories() {
    install -d -m 0755 "$NLITE_STATE" "$NLITE_STATE/nova" "$NLITE_STATE/nova/images"
    # QEMU has a user of its own and must reach its files below.
    install -d -m 0711 -o nlite -g nlite "$NLITE_STATE/nova"
    ! has_control || install -d -m 0750 -o nlite -g nlite "$NLITE_STATE/cinder"
}

# Both at once: most of the time goes into loading libraries.
sync_schemas() {
    local name
    local -a stale=()
    local -A marks=()
    for name in nova cinder; do
        marks[$name]=$(cd "$PREFIX/src" && mark_of "$VENV/.installed" "$ETC/secrets/database-$name" \
            "${name}_lite"/db/*.py "${name}_lite"/db/migrations/*.py "${name}_lite"/db/migrations/versions/*.py)
        is_current "$name.schema" "${marks[$name]}" || stale+=("$name")
    done
    ((${#stale[@]})) || return 0
    # shellcheck disable=SC2016  # the inner shell's own variables
    limited 180 "db sync" bash -c '
        venv=$1 etc=$2 code=0
        shift 2
        for name; do
            runuser -u nlite -- env -C / "$venv/bin/$name-lite-manage" --config-file "$etc/$name.conf" \
                --config-dir "$etc/$name.conf.d" db sync &
        done
        for name; do wait -n || code=1; done
        exit $code' sync "$VENV" "$ETC" "${stale[@]}"
    for name in "${stale[@]}"; do
        remember "$name.schema" "${marks[$name]}"
    done
}

# All that a daemon is made of.
daemon_mark() { # UNIT
    local name=${1%%-*}
    (cd "$PREFIX/src" && { find lite_common "${name}_lite" -name '*.py' -print0 | sort -z | xargs -0 cat &&
        cat "$VENV/.installed" "$ETC/service-secret" "$ETC/$name.conf" "$UNIT_DIR/$1.service" &&
        find "$ETC/$name.conf.d" -name '*.conf' -print0 | sort -z | xargs -0 --no-run-if-empty cat; } |
        sha256sum | cut -d' ' -f1)
}

install_units() {
    local unit
    for unit in $(role_units); do
        put "$UNIT_DIR/$unit.service" 0644 <"$PREFIX/src/etc/systemd/$unit.service"
    done
    systemctl daemon-reload
}

# Start what does not run, restart what has changed, leave the rest alone.  A restart disturbs no guest and no session.
start_units() {
    local unit mark
    local -a units starting=() changed=()
    local -A enabled=() active=()
    read -ra units <<<"$(role_units | xargs)"
    unit_states "${units[@]/%/.service}"
    for unit in "${units[@]}"; do
        mark=$(daemon_mark "$unit")
        if [[ ${active[$unit.service]:-} != active ]]; then
            starting+=("$unit")
        elif ! is_current "$unit" "$mark"; then
            starting+=("$unit")
            changed+=("$unit")
        fi
        remember "$unit" "$mark"
    done
    limited 60 "systemctl enable" systemctl --quiet --no-reload enable "${units[@]}"
    ((${#changed[@]} == 0)) || note "restarted, because of changes: ${changed[*]}"
    ((${#starting[@]} == 0)) || await "$READY_SECONDS" systemctl restart "${starting[@]}" || await_retries
}

# A service whose first start failed, because something it needs was slow to come, is started again by systemd.
await_retries() {
    local end=$((SECONDS + 30 * PATIENCE))
    until all_active; do
        ((SECONDS < end)) || units_failed
        sleep 1
    done
}

all_active() { # systemctl is-active is content with one of several
    local unit
    for unit in $(role_units); do
        systemctl --quiet is-active "$unit" || return 1
    done
}

units_failed() {
    local unit
    for unit in $(role_units); do
        systemctl --quiet is-active "$unit" ||
            await 20 systemctl --no-pager --full --lines=12 status "$unit" >&2 || true
    done
    die "not all services started (see above); more: journalctl -u 'nova-lite-*' -u 'cinder-lite-*'"
}

# Services that report to the database say so within a heartbeat.
wait_for_services() {
    local host
    host=$(hostname)
    local -a wanted=()
    ! has_control || wanted+=(cinder-scheduler "cinder-volume@$host@$(backend_name)")
    ! has_guests || wanted+=("nova-compute@$host")
    await "$READY_SECONDS" env -C "$PREFIX/src" "$PYTHON" -m devstack.services --seconds "$((READY_SECONDS * PATIENCE))" \
        --nova "$(nova_url "${JOINED[controller]}")" --cinder "$(cinder_url "${JOINED[controller]}")" "${wanted[@]}" ||
        units_failed
    good "$(role_units | xargs) are up"
}
