# Configuration files of the stack, written anew in every run from the settings.  Sourced by stack.sh; bash.
# shellcheck shell=bash

make_directories() {
    mkdir -p "$NLITE_STATE"/{etc,log,nova/images,cinder}
    chmod 0755 "$NLITE_STATE"
    chmod 0700 "$NLITE_STATE/etc"
    if [[ ! -s $NLITE_STATE/etc/service-secret ]]; then
        (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$NLITE_STATE/etc/service-secret.new")
        mv "$NLITE_STATE/etc/service-secret.new" "$NLITE_STATE/etc/service-secret"
    fi
}

server_port() {
    case $1 in
    rabbitmq) echo "$RABBIT_PORT" ;;
    mariadb) echo "$MARIADB_PORT" ;;
    tgtd) echo "$TGT_PORT" ;;
    *) echo 0 ;;
    esac
}

database_url() { # nova|cinder
    if [[ $DATABASE == mariadb ]]; then
        cat "$NLITE_STATE/etc/$1.url"
    else
        echo "sqlite:///$NLITE_STATE/$1/$1.sqlite"
    fi
}

common_config() { # nova|cinder
    cat <<END
[DEFAULT]
my_ip = 127.0.0.1
state_path = $NLITE_STATE/$1
transport_url = rabbit://guest:guest@127.0.0.1:$RABBIT_PORT/
report_interval = 5
service_down_time = 20
END
}

shared_sections() { # nova|cinder
    cat <<END

[database]
connection = $(database_url "$1")

[service_auth]
secret_file = $NLITE_STATE/etc/service-secret
END
    identity_sections "$1"
}

write_service_configs() {
    {
        common_config nova
        cat <<END

[api]
listen = 127.0.0.1
port = 8774

[cinder]
endpoint = http://127.0.0.1:8776/v3

[images]
directory = $NLITE_STATE/nova/images

[compute]
virt_driver = libvirt

[libvirt]
connection_uri = qemu+unix:///system?socket=$NLITE_STATE/libvirtd/run/libvirt-sock
END
        shared_sections nova
    } | put "$NLITE_STATE/etc/nova.conf"
    {
        common_config cinder
        cat <<END
enabled_backends = file

[api]
listen = 127.0.0.1
port = 8776

[nova]
endpoint = http://127.0.0.1:8774/v2.1

[file]
volume_driver = file
target_helper = tgt
volumes_dir = $NLITE_STATE/cinder/volumes
target_ip_address = 127.0.0.1
target_port = $TGT_PORT
tgt_control_socket = $NLITE_STATE/tgtd/socket
END
        shared_sections cinder
    } | put "$NLITE_STATE/etc/cinder.conf"
}

server_program() { # NAME
    cat <<END

[program:$1]
command = $PYTHON -m devstack.servers $1 $NLITE_STATE/$1 --port $(server_port "$1")
directory = $NLITE_ROOT
autostart = false
autorestart = true
startsecs = 1
stopwaitsecs = 40
redirect_stderr = true
stdout_logfile = $NLITE_STATE/log/$1.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 1
END
}

daemon_program() { # NAME CONFIG
    cat <<END

[program:$1]
command = $NLITE_STATE/venv/bin/$1 --config-file $NLITE_STATE/etc/$2.conf
directory = /
autostart = false
autorestart = true
startsecs = 1
startretries = 10
stopwaitsecs = 65
redirect_stderr = true
stdout_logfile = $NLITE_STATE/log/$1.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
END
}

write_supervisor_config() {
    local name
    {
        cat <<END
[unix_http_server]
file = $NLITE_STATE/supervisor.sock
chmod = 0700

[supervisord]
logfile = $NLITE_STATE/log/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = $NLITE_STATE/supervisord.pid
directory = /
environment = PYTHONDONTWRITEBYTECODE="1",PYTHONUNBUFFERED="1",NLITE_STACK="$NLITE_STATE"

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://$NLITE_STATE/supervisor.sock

[group:daemons]
programs = nova-lite-api,nova-lite-compute,cinder-lite-api,cinder-lite-scheduler,cinder-lite-volume
END
        for name in $(servers); do
            server_program "$name"
        done
        if with_keystone; then
            identity_program
        fi
        daemon_program nova-lite-api nova
        daemon_program nova-lite-compute nova
        daemon_program cinder-lite-api cinder
        daemon_program cinder-lite-scheduler cinder
        daemon_program cinder-lite-volume cinder
    } | put "$NLITE_STATE/etc/supervisord.conf"
}

# A stock client finds the stack as cloud "nlite".  An existing file is the user's: it is never edited.
write_clouds_yaml() {
    local home file text host=${1:-127.0.0.1} # where the APIs are, as it stands in a URL
    home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
    file=$home/.config/openstack/clouds.yaml
    text="# written by nlite's stack.sh, removed by unstack.sh
clouds:
  nlite:
    auth_type: none
    compute_endpoint_override: http://$host:8774/v2.1
    block_storage_endpoint_override: http://$host:8776/v3
    volume_endpoint_override: http://$host:8776/v3
    image_endpoint_override: http://$host:8774/image
    # There is no keystone. Some commands of the openstack client look for one before they do anything else, although
    # they do not use it; any version document of a version 3 satisfies them.
    identity_api_version: '3'
    identity_endpoint_override: http://$host:8776/v3"
    if with_keystone; then
        text="# written by nlite's stack.sh, removed by unstack.sh
$(cat "$NLITE_STATE/etc/clouds.yaml")"
    fi
    if [[ ! -e $file ]] || head -n1 "$file" | grep -qs '^# written by nlite'; then
        local owner=${SUDO_USER:-root}
        install -d -o "$owner" "$home/.config" "$home/.config/openstack"
        (umask 077 && printf '%s\n' "$text" >"$file") # with keystone there are passwords in it
        chmod 0600 "$file"
        chown "$owner" "$file"
        echo "$file" >"$NLITE_STATE/clouds.path"
    elif ! grep -qs '^  nlite:' "$file"; then
        note "$file is yours and stays as it is; to use stock clients add to it:"
        printf '%s\n' "$text" | sed '1d; s/^/            /'
    fi
}
