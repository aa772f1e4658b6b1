# keystone in the supervised stack (--auth keystone): the real one from PyPI, in a Python environment of its own, on
# loopback like everything else.  Sourced by stack.sh; bash.
# shellcheck shell=bash

AUTH=noauth # noauth|keystone, decided in the first run and kept
KEYSTONE_PACKAGES=(keystone waitress mysqlclient 'oslo.service[threading]')

with_keystone() { [[ $AUTH == keystone ]]; }

# Ask or tell keystone's own module; it needs nothing but the system's Python.
keystone() { (cd "$NLITE_ROOT" && "$PYTHON" -m devstack.keystone "$NLITE_STATE/keystone" --port "$KEYSTONE_PORT" "$@"); }

# The choice of the first run, kept beside the ports.
settle_auth() {
    local file=$NLITE_STATE/settings
    # shellcheck disable=SC1090
    . "$file"
    if [[ -z ${SETTLED_AUTH:-} ]]; then
        # A stack that was installed before there was a choice has none.
        SETTLED_AUTH=${OPTION[auth]:-noauth}
        [[ ! -f $NLITE_STATE/daemons.mark || $SETTLED_AUTH == noauth ]] ||
            die "this stack has no keystone: run unstack.sh before a change to --auth keystone"
        printf 'SETTLED_AUTH=%s\nKEYSTONE_PORT=%s\n' "$SETTLED_AUTH" "$(choose_port 5000)" >>"$file"
        # shellcheck disable=SC1090
        . "$file"
    fi
    [[ -z ${OPTION[auth]:-} || ${OPTION[auth]} == "$SETTLED_AUTH" ]] ||
        die "this stack has --auth $SETTLED_AUTH: run unstack.sh before a change to ${OPTION[auth]}"
    AUTH=$SETTLED_AUTH
    if with_keystone; then
        note "keystone on $KEYSTONE_PORT"
    fi
}

make_identity_environment() {
    local venv=$NLITE_STATE/keystone-venv mark
    mark="$(sha256sum <"$NLITE_ROOT/constraints.txt") ${KEYSTONE_PACKAGES[*]} $("$PYTHON" --version)"
    if [[ -x $venv/bin/keystone-manage && $(cat "$venv/.installed" 2>/dev/null) == "$mark" ]]; then
        note "Python environment $venv is current"
        return
    fi
    note "installing keystone into $venv"
    rm -f "$venv/.installed"
    limited 120 "python3 -m venv" "$PYTHON" -m venv "$venv"
    PIP_DISABLE_PIP_VERSION_CHECK=1 limited 900 "pip install keystone" \
        "$venv/bin/python" -m pip install --quiet --retries 5 -c "$NLITE_ROOT/constraints.txt" "${KEYSTONE_PACKAGES[@]}"
    echo "$mark" >"$venv/.installed"
}

identity_program() {
    cat <<END

[program:keystone]
command = $PYTHON -m devstack.keystone $NLITE_STATE/keystone --port $KEYSTONE_PORT run
directory = $NLITE_ROOT
autostart = false
autorestart = true
startsecs = 1
stopwaitsecs = 40
redirect_stderr = true
stdout_logfile = $NLITE_STATE/log/keystone.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 1
END
}

# What a service's configuration says of keystone.
identity_sections() { # nova|cinder
    with_keystone || return 0
    printf '\n[api]\nauth_strategy = keystone\n'
    keystone sections "$1"
}

# Before the configurations are written: the passwords in them belong to this keystone.
prepare_identity() {
    local url="sqlite:///$NLITE_STATE/keystone/keystone.sqlite"
    mkdir -p "$NLITE_STATE/keystone"
    chmod 0700 "$NLITE_STATE/keystone"
    if [[ $DATABASE == mariadb ]]; then
        url=$(cd "$NLITE_ROOT" && timeout 30 "$PYTHON" -m devstack.servers mariadb "$NLITE_STATE/mariadb" \
            --port "$MARIADB_PORT" --create-database keystone)
    fi
    printf '{"programs": "%s", "database": "%s"}\n' "$NLITE_STATE/keystone-venv/bin" "$url" |
        put "$NLITE_STATE/keystone/settings"
}

start_identity() {
    supervisor start keystone >/dev/null || true # "already started" counts as failure; the wait below decides
    limited 400 "waiting for keystone (its log is $NLITE_STATE/log/keystone.log)" env -C "$NLITE_ROOT" \
        "$PYTHON" -m devstack.keystone "$NLITE_STATE/keystone" --port "$KEYSTONE_PORT" wait --seconds 380
    keystone populate compute=http://127.0.0.1:8774/v2.1 block-storage=http://127.0.0.1:8776/v3 \
        volumev3=http://127.0.0.1:8776/v3 image=http://127.0.0.1:8774/image | put "$NLITE_STATE/etc/clouds.yaml"
    # This script's own commands are an administrator's.
    export OS_CLIENT_CONFIG_FILE=$NLITE_STATE/etc/clouds.yaml OS_CLOUD=nlite-admin
    good "keystone ready: projects demo and service, users admin, demo, reader, nova, cinder"
}
