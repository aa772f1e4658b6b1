# Take a role with systemd away again.  Sourced by unstack.sh; bash.
# shellcheck shell=bash

ROLE_UNITS=(nova-lite-compute nova-lite-api cinder-lite-volume cinder-lite-scheduler cinder-lite-api)

remove_role() {
    load_settings
    refuse_running_guests
    step "services"
    remove_units
    step "guests"
    remove_guests
    step "volumes, targets, sessions"
    remove_sessions
    remove_targets
    remove_volumes
    step "databases and queues"
    if has_control; then
        remove_accounts
        remove_queues
    fi
    step "configuration, state, user"
    forget_rabbit_node
    restore_host_config
    stop_servers
    remove_role_files
    good "nothing of the role is left (Debian packages stay)"
}

# The running guests are somebody's work: without --force they are a reason to stop.
refuse_running_guests() {
    local -a running
    [[ $FORCE != yes ]] && has_hypervisor || return 0
    mapfile -t running < <(our_guests)
    ((${#running[@]} == 0)) ||
        die "these guests run: ${running[*]}. Delete them (nlite delete NAME), or end them with $0 --force"
}

# When nova-lite-compute is gone, which would else undefine what it sees stop in the middle of a boot.
remove_guests() {
    local -a all
    local name
    has_hypervisor || return 0
    mapfile -t all < <(our_guests --all)
    for name in "${all[@]}"; do
        note "guest $name is ended and forgotten"
        await 60 virsh --quiet destroy "$name" >/dev/null 2>&1 || true # it may be shut off
        await 60 virsh --quiet undefine "$name" >/dev/null || die "virsh undefine $name failed"
    done
}

has_hypervisor() { command -v virsh >/dev/null && systemctl --quiet is-active libvirtd libvirtd.socket; }

our_guests() { # VIRSH-LIST-OPTIONS...
    timeout "$((30 * PATIENCE))" virsh list --name "$@" | grep -E '^instance-[0-9a-f]{8}$' || true
}

# systemd reads all its units again once, not after each: that takes seconds on a slow machine.
remove_units() {
    local unit
    for unit in "${ROLE_UNITS[@]}"; do
        [[ -f $UNIT_DIR/$unit.service ]] || continue
        await 120 systemctl --quiet --no-reload disable --now "$unit" || note "$unit did not stop in time"
        rm -f "$UNIT_DIR/$unit.service"
    done
    systemctl daemon-reload
    systemctl reset-failed "${ROLE_UNITS[@]}" 2>/dev/null || true # most are not loaded any more
}

remove_sessions() {
    has_guests && command -v iscsiadm >/dev/null || return 0
    local record target portal
    # "10.0.0.10:3260,1 iqn...": one line for each record; a record stays behind even when its session is gone.
    while read -r record target; do
        [[ $target == "$IQN_PREFIX"* ]] || continue
        portal=${record%,*}
        await 60 iscsiadm -m node -T "$target" -p "$portal" --logout >/dev/null 2>&1 || true # it may not be logged in
        await 30 iscsiadm -m node -T "$target" -p "$portal" -o delete >/dev/null 2>&1 || true
    done < <(timeout "$((30 * PATIENCE))" iscsiadm -m node 2>/dev/null || true)
}

# LIO's tree holds what others made as well; only targets and backstores with our names go.
remove_targets() {
    has_storage || return 0
    local name
    if [[ -d /sys/kernel/config/target && -x $VENV/bin/python ]]; then
        limited 120 "removing LIO targets" env -C "$PREFIX/src" \
            "$VENV/bin/python" -m devstack.forget_targets "$IQN_PREFIX"
    fi
    command -v tgtadm >/dev/null && systemctl --quiet is-active tgt || return 0
    while read -r name; do
        await 30 tgtadm --lld iscsi --op delete --force --mode target --tid "$name" || note "tgt target $name stays"
    done < <(timeout "$((30 * PATIENCE))" tgtadm --lld iscsi --op show --mode target |
        awk -v prefix="$IQN_PREFIX" '/^Target / {sub(":", "", $2); if (index($3, prefix) == 1) print $2}')
}

remove_volumes() {
    has_storage && [[ ${SET[backend]} == kernel ]] && volume_group_there "${SET[vg]}" || return 0
    local lv
    if [[ ${SET[vg_made]} == yes ]]; then
        limited 120 "vgremove ${SET[vg]}" vgremove --quiet --force --yes "${SET[vg]}"
        limited 60 "pvremove ${SET[disk]}" pvremove --quiet --yes "${SET[disk]}"
        note "volume group ${SET[vg]} is removed; ${SET[disk]} is empty again"
        return
    fi
    # The group is the operator's: only what bears the name of a volume or a snapshot of ours goes.
    while read -r lv; do
        limited 60 "lvremove $lv" lvremove --quiet --force --yes "${SET[vg]}/$lv"
        note "logical volume ${SET[vg]}/$lv is removed"
    done < <(timeout "$((30 * PATIENCE))" lvs --noheadings -o lv_name "${SET[vg]}" | awk '{print $1}' |
        grep -E '^(volume|_?snapshot)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' || true)
}

remove_accounts() {
    [[ ${SET[databases_made]} == yes ]] && systemctl --quiet is-active mariadb || return 0
    {
        echo "DROP DATABASE IF EXISTS nova; DROP DATABASE IF EXISTS cinder;"
        echo "SELECT CONCAT('DROP USER ''', User, '''@''', Host, ''';') FROM mysql.user
              WHERE User IN ('nova', 'cinder');" | mariadb_root
    } | mariadb_root || die "MariaDB did not drop what this stack has made (see above)"
    SET[databases_made]=no
    save_settings
}

remove_queues() {
    systemctl --quiet is-active rabbitmq-server && [[ -f $RABBIT_DEFINITIONS ]] || return 0
    local name
    rm -f "$RABBIT_CONFIG" # else the definitions come back at its next start
    for name in nova cinder; do
        [[ ${SET[rabbit_fresh]:-} != yes ]] || break # the whole node goes
        await 60 rabbitmqctl --quiet delete_vhost "$name" >/dev/null 2>&1 || true # an interrupted run may have done it
        await 60 rabbitmqctl --quiet delete_user "$name" >/dev/null 2>&1 || true
    done
    rm -f "$RABBIT_DEFINITIONS"
}

restore_host_config() {
    rm -f "$MARIADB_CONFIG" "$RABBIT_CONFIG" "$RABBIT_DROP_IN" "$EPMD_DROP_IN" "$TGT_DROP_IN" "$LIBVIRTD_DROP_IN" \
        "$UDEV_RULES" "$MULTIPATH_CONFIG" \
        /etc/modules-load.d/nlite.conf
    local drop_in
    for drop_in in "$RABBIT_DROP_IN" "$EPMD_DROP_IN" "$TGT_DROP_IN" "$LIBVIRTD_DROP_IN"; do
        rmdir "$(dirname "$drop_in")" 2>/dev/null || true # somebody else's files are in it
    done
    [[ ! -f $LVM_CONFIG ]] || sed -i '/^\tglobal_filter = .*# nlite$/d' "$LVM_CONFIG"
    if [[ -f $RABBIT_ENVIRONMENT ]]; then
        sed -i '/^# nlite: begin/,/^# nlite: end/d' "$RABBIT_ENVIRONMENT"
    fi
    udevadm control --reload || true # the rule is gone at the next boot then
    systemctl daemon-reload
}

# The node of its own that this stack gave RabbitMQ, with what is in it; stopped while its name is still configured.
forget_rabbit_node() {
    [[ ${SET[rabbit_fresh]:-} == yes ]] || return 0
    await 120 systemctl --quiet stop rabbitmq-server || note "rabbitmq-server did not stop in time"
    rm -rf --one-file-system /var/lib/rabbitmq/mnesia/rabbit@localhost*
}

# What runs only because of this stack is stopped; what ran before goes back to its own configuration.
stop_servers() {
    local unit
    # The last one that was started comes first: RabbitMQ is known to the port mapper.
    for unit in $(tr ' ' '\n' <<<"${SET[services]}" | tac); do
        [[ $unit != lvm2-monitor.service && $unit != dm-event.socket ]] || continue # the machine's own LVM needs them
        await 120 systemctl --quiet --no-reload disable --now "$unit" || note "$unit did not stop in time"
    done
    for unit in mariadb.service rabbitmq-server.service epmd.socket tgt.service; do
        [[ " ${SET[services]} " == *" $unit "* ]] || ! systemctl --quiet is-active "$unit" || ! has_control ||
            await 300 systemctl restart "$unit" || note "$unit did not restart: see systemctl status $unit"
    done
}

remove_role_files() {
    local clouds
    clouds=$(cat "$NLITE_STATE/clouds.path" 2>/dev/null || true)
    remove_clouds "$clouds"
    remove_link "$NLITE_LINK" "$PREFIX/"
    if [[ $KEEP_DOWNLOADS == yes ]]; then
        find "$NLITE_STATE" -xdev -mindepth 1 -maxdepth 1 ! -name kernel ! -name nova -exec rm -rf {} +
        find "$NLITE_STATE/nova" -xdev -mindepth 1 -maxdepth 1 ! -name images -exec rm -rf {} +
    else
        rm -rf --one-file-system "$NLITE_STATE" "$VENV"
        # A checkout that this script itself runs from is the user's; a copy of another one is not.
        [[ ! -f $PREFIX/src/.copied ]] || rm -rf --one-file-system "$PREFIX/src"
        rmdir --ignore-fail-on-non-empty "$PREFIX" 2>/dev/null || true
    fi
    [[ ${SET[user_made]:-} != yes ]] || limited 30 "userdel nlite" userdel nlite
    rm -rf --one-file-system "$ETC"
}
