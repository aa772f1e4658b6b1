# Configuration files of a role in /etc/nlite, and the file by which a compute host joins.  Sourced by stack.sh; bash.
#
# They are written anew in every run; what an operator adds belongs into nova.conf.d and cinder.conf.d beside them,
# which are read after them and never touched.
# shellcheck shell=bash

JOIN=$ETC/join
declare -A JOINED=() # what the controller said

nova_url() { echo "http://$(in_url "$1"):8774/v2.1"; }     # ADDRESS
cinder_url() { echo "http://$(in_url "$1"):8776/v3"; }     # ADDRESS
bus_url() { echo "rabbit://$1:$(secret "rabbitmq-$1")@$(in_url "${SET[my_ip]}"):5672/$1"; } # nova|cinder
database_at() { # nova|cinder
    echo "mysql+mysqldb://$1:$(secret "database-$1")@$(in_url "${SET[my_ip]}"):3306/$1?charset=utf8mb4"
}

# On the controller: what a compute host has to know.  It holds nova's passwords and the services' secret.
write_join_file() {
    put "$JOIN" <<END
# How a compute host joins this controller. Keep it secret: copy it with scp, and remove the copy afterwards.
controller=${SET[my_ip]}
backend=${SET[backend]}
transport_url=$(bus_url nova)
database=$(database_at nova)
service_secret=$(secret service)
END
}

# On a compute host: take the file over, if others could not read it.
read_join_file() {
    local file=${OPTION[join]:-$JOIN} mode name
    [[ -r $file ]] || die "$file is not there: copy $JOIN from the controller and give it with --join FILE"
    mode=$(stat -L -c %a "$file")
    (((8#$mode & 8#077) == 0)) || die "$file holds passwords and others can read it (mode $mode): chmod 600 $file"
    read_pairs "$file" JOINED
    for name in controller backend transport_url database service_secret; do
        [[ -n ${JOINED[$name]:-} ]] || die "$file has no line $name=...: copy it from the controller again"
    done
    [[ ${JOINED[controller]} == "$(canonical controller "${SET[controller]}")" ]] ||
        die "$file is of the controller ${JOINED[controller]}, not of ${SET[controller]}"
    [[ -d $ETC ]] || install -d -m 0750 "$ETC"
    [[ $file -ef $JOIN ]] || put "$JOIN" <"$file"
}

# The controller's own parts know the same by themselves.
join_myself() {
    JOINED=([controller]=${SET[my_ip]} [backend]=${SET[backend]} [transport_url]=$(bus_url nova)
        [database]=$(database_at nova) [service_secret]=$(secret service))
}

check_controller() {
    local url
    for url in "http://$(in_url "${SET[controller]}"):8774/healthcheck" \
        "http://$(in_url "${SET[controller]}"):8776/healthcheck"; do
        http_ok "$url" || die "$url does not answer: is the controller installed, and does its firewall let this host in?"
    done
}

http_ok() { # URL
    "$PYTHON" -c 'import sys, urllib.request as u
u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=float(sys.argv[2]))' "$1" "$((3 * PATIENCE))" 2>/dev/null
}

common_options() { # nova|cinder
    cat <<END
# $OURS
# Written anew by every run. Own settings go into files in $ETC/$1.conf.d, which are read after this one.
[DEFAULT]
my_ip = ${SET[my_ip]}
state_path = $NLITE_STATE/$1
report_interval = $((5 * PATIENCE))
service_down_time = $((20 * PATIENCE))
END
}

api_section() {
    echo "[api]"
    echo "listen = ${SET[my_ip]}"
    is_loopback "${SET[my_ip]}" || echo "allow_noauth_on_network = true"
    echo
}

write_nova_config() {
    {
        common_options nova
        cat <<END
transport_url = ${JOINED[transport_url]}

END
        ! has_control || api_section
        cat <<END
[database]
connection = ${JOINED[database]}

[cinder]
endpoint = $(cinder_url "${JOINED[controller]}")

[service_auth]
secret_file = $ETC/service-secret

[images]
directory = $NLITE_STATE/nova/images

[libvirt]
connection_uri = qemu:///system
iscsi_initiator = $(if [[ ${SET[backend]} == kernel ]]; then echo host; else echo qemu; fi)
virt_type = $(if is_emulated; then echo qemu; else echo auto; fi)
volume_use_multipath = $(if [[ ${SET[multipath]} == yes ]]; then echo true; else echo false; fi)
volume_replacement_timeout = $REPLACEMENT_SECONDS
END
    } | put "$ETC/nova.conf" 0640 root:nlite
}

write_cinder_config() {
    {
        common_options cinder
        cat <<END
transport_url = $(bus_url cinder)
enabled_backends = $(backend_name)
END
        # tgtd obeys root only, and without LVM there is nothing else for a privileged half to do.
        [[ ${SET[backend]} == userspace ]] || echo "run_as = nlite"
        echo
        api_section
        cat <<END
[database]
connection = $(database_at cinder)

[nova]
endpoint = $(nova_url "${SET[my_ip]}")

[service_auth]
secret_file = $ETC/service-secret

[$(backend_name)]
END
        backend_section
    } | put "$ETC/cinder.conf" 0640 root:nlite
}

backend_name() { if [[ ${SET[backend]} == kernel ]]; then echo lvm; else echo file; fi; }

backend_section() {
    if [[ ${SET[backend]} == kernel ]]; then
        cat <<END
volume_driver = lvm
volume_group = ${SET[vg]}
lvm_type = ${SET[lvm_type]}
END
    else
        cat <<END
volume_driver = file
volumes_dir = $NLITE_STATE/cinder/volumes
END
    fi
    cat <<END
target_helper = $(target_helper)
target_ip_address = ${SET[my_ip]}
END
    [[ -z ${SET[secondary_portals]} ]] || echo "target_secondary_ip_addresses = ${SET[secondary_portals]}"
}

write_configs() {
    install -d -m 0750 -o root -g nlite "$ETC" "$ETC/nova.conf.d"
    printf '%s' "${JOINED[service_secret]}" | put "$ETC/service-secret" 0600 nlite:nlite
    write_nova_config
    if has_control; then
        install -d -m 0750 -o root -g nlite "$ETC/cinder.conf.d"
        write_cinder_config
    fi
}
