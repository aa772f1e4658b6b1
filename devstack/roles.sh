# What each role installs, in its order.  Sourced by stack.sh; bash.
# shellcheck shell=bash

# The kinds of packages.txt for a role.
role_kinds() {
    echo build common
    ! has_control || echo control storage
    ! has_guests || echo guests
    [[ ${SET[multipath]} != yes ]] || echo multipath
}

# Packages, environment and image: all that needs a network, and nothing that needs a running system.
role_downloads() {
    step "packages"
    local -a kinds
    read -ra kinds <<<"$(role_kinds | xargs)"
    install_packages "${kinds[@]}"
    ensure_apt_lists
    check_python
    step "Python environment"
    install_checkout
    install_environment
    step "guest image"
    mkdir -p "$NLITE_STATE/nova/images"
    local mark
    mark=$(mark_of "$PREFIX/src/devstack/guest/build.py" "$PREFIX/src/devstack/guest/init.sh" /bin/busybox)
    if ! is_current guest "$mark" || [[ ! -f $NLITE_STATE/nova/images/tiny.json ]]; then
        limited 700 "building the guest image" env -C "$PREFIX/src" \
            "$PYTHON" -m devstack.guest.build "$NLITE_STATE/nova/images" --cache "$NLITE_STATE/kernel"
        remember guest "$mark"
    fi
    good "tiny: $(du -ch "$NLITE_STATE"/nova/images/tiny.* | tail -n1 | cut -f1)"
}

role_prepare() {
    umask 022
    load_settings
    [[ -z ${OPTION[role]:-} ]] || SET[role]=${OPTION[role]}
    [[ -z ${OPTION[multipath]:-} ]] || SET[multipath]=yes
    role_downloads
    good "prepared; what is left needs no network: stack.sh --role ${SET[role]} ..."
}

role_stack() {
    umask 022
    load_settings
    apply_options
    step "role: ${SET[role]}"
    # A minimal system has neither, and both are needed to look at it.
    [[ -x $PYTHON ]] && command -v ip >/dev/null || install_packages common
    choose_addresses
    ports_free
    if [[ ${SET[role]} == compute ]]; then
        read_join_file
        check_controller
    fi
    role_downloads
    step "user, directories, storage backend"
    make_user
    make_state_directories
    install -d -m 0750 -o root -g nlite "$ETC"
    if [[ ${SET[role]} == compute && ${SET[backend]} == auto && ${JOINED[backend]} == userspace ]]; then
        note "the controller has the userspace backend"
        SET[backend]=userspace
    fi
    choose_backend
    save_settings
    ! has_control || begin_control_servers
    ! has_guests || START_OPTION=--no-block hypervisor
    prepare_backend
    if has_control; then
        step "MariaDB"
        finish_database
        join_myself
    fi
    step "daemons"
    write_configs
    ! has_control || write_join_file
    ! has_control || sync_schemas
    install_units
    ! has_control || finish_bus
    start_units
    wait_for_services
    save_settings
    ln -sfn "$VENV/bin/nlite" "$NLITE_LINK"
    write_clouds_yaml "$(in_url "${JOINED[controller]}")"
    tell_role_story
    role_what_next
}

# Somebody else's server on our ports is found before anything is installed.
ports_free() {
    local port
    has_control || return 0
    for port in 8774 8776; do
        ss -Hltn "sport = :$port" | grep -q . || continue
        systemctl --quiet is-active nova-lite-api cinder-lite-api ||
            die "port $port is in use: stop what listens there (ss -ltnp)"
    done
}

prepare_backend() {
    load_modules
    if [[ ${SET[backend]} == kernel ]]; then
        guard_volumes
        if has_storage; then
            bring_up "dm-event.socket lvm2-monitor.service" ""
            prepare_volume_group
        fi
        ! has_guests || prepare_initiator
    fi
    ! has_storage || prepare_target
    if has_guests; then
        hypervisor
        # Its first answer takes long: it asks every QEMU what it can do.
        limited 60 "virsh list" virsh --connect qemu:///system list --name
    fi
}

# libvirtd that ends when nobody talks to it for two minutes (Debian's default) answers the next caller late: on a slow
# machine too late for nova-lite-compute.
hypervisor() {
    install -d "$(dirname "$LIBVIRTD_DROP_IN")"
    put "$LIBVIRTD_DROP_IN" 0644 <<END
# $OURS
[Service]
Environment=LIBVIRTD_ARGS=
END
    is_current libvirtd.service "$(mark_of "$LIBVIRTD_DROP_IN")" || systemctl daemon-reload
    bring_up "libvirtd.service virtlogd.socket virtlockd.socket libvirtd.socket libvirtd-ro.socket" \
        "$(mark_of "$LIBVIRTD_DROP_IN")"
}

tell_role_story() {
    [[ ${SET[role]} == all && $STORY == yes ]] || return 0
    step "story: one volume, two guests"
    await 600 env -C "$PREFIX/src" "$PYTHON" -m devstack.story --state "$NLITE_STATE" --nlite "$VENV/bin/nlite" \
        --patience "$PATIENCE" --volumes "$(volumes_directory)" || die "the story did not end well (see above)"
}

# Where the bytes of volume X are: in the file or device volume-X there.
volumes_directory() {
    if [[ ${SET[backend]} == kernel ]]; then echo "/dev/${SET[vg]}"; else echo "$NLITE_STATE/cinder/volumes"; fi
}

role_what_next() {
    printf '\n%sThis host runs as %s.%s\n' "$BOLD" "${SET[role]}" "$PLAIN"
    if has_control && ! is_loopback "${SET[my_ip]}"; then
        printf '%swarning:%s there is no authentication: whoever reaches %s:8774 or :8776 is administrator.\n' \
            "$RED" "$PLAIN" "$(in_url "${SET[my_ip]}")"
        cat <<END
         Let only trusted hosts in (docs/operations.md lists the ports).
To add a compute host, on it:
    scp root@${SET[my_ip]}:$JOIN /root/join
    stack.sh --role compute --controller ${SET[my_ip]} --join /root/join
END
    fi
    cat <<END
Next, for example:
    nlite service-list
    systemctl status 'nova-lite-*' 'cinder-lite-*'
    journalctl -f -u 'nova-lite-*' -u 'cinder-lite-*'
    nlite boot c3 --wait && nlite volume-create --size 1 v2 --wait && nlite volume-attach c3 v2 --wait
Configuration: $ETC    To take the role away: $PREFIX/src/devstack/unstack.sh
END
}
