# Volume group, targets, and what keeps a host's own LVM, multipath and udev off the volumes' content.  Sourced; bash.
# shellcheck shell=bash

LVM_CONFIG=/etc/lvm/lvm.conf
UDEV_RULES=/etc/udev/rules.d/61-nlite-volumes.rules
MULTIPATH_CONFIG=/etc/multipath/conf.d/nlite.conf
TGT_DROP_IN=/etc/systemd/system/tgt.service.d/nlite.conf
IQN_PREFIX=iqn.2010-10.org.openstack:volume-
# A host without a second path waits so long for the storage to come back (a controller's reboot) before guests see
# errors.
# shellcheck disable=SC2034  # used in hosts.sh
REPLACEMENT_SECONDS=900

# prepare_volume_group: make it of --disk, or take the one that is there.
prepare_volume_group() {
    local group=${SET[vg]} disk=${SET[disk]} found
    if volume_group_there "$group"; then
        if [[ -n $disk ]] && ! await 30 pvs --noheadings -o vg_name "$disk" 2>/dev/null | grep -qw -- "$group"; then
            die "the volume group $group exists and is not on $disk: give --vg $group without --disk, or another name"
        fi
        note "volume group $group: $(await 30 vgs --noheadings -o vg_size,vg_free "$group" |
            awk '{print $1 " in all, " $2 " free"}')"
        return
    fi
    [[ -n $disk ]] || die "the volume group $group does not exist: give --disk DEVICE to make it, or --vg NAME"
    found=$(disk_content "$disk")
    [[ -z $found ]] || die "$disk is not empty, so it is not used: $found. If nothing on it is needed: wipefs --all $disk"
    SET[vg_made]=yes
    save_settings
    limited 60 "pvcreate $disk" pvcreate --quiet "$disk"
    limited 60 "vgcreate $group" vgcreate --quiet "$group" "$disk"
    good "volume group $group on $disk"
}

# Say in words what a disk holds; nothing if it is empty.
disk_content() { # DEVICE
    local signatures children
    [[ -b $1 ]] || { echo "it is no block device" && return; }
    children=$(lsblk --noheadings --list --paths -o NAME "$1" | tail -n +2 | xargs)
    [[ -z $children ]] || { echo "it carries $children" && return; }
    [[ -z $(lsblk --noheadings -o MOUNTPOINTS "$1" | xargs) ]] || { echo "it is mounted" && return; }
    signatures=$(wipefs --no-act --noheadings --output TYPE "$1" | sort -u | xargs)
    [[ -z $signatures ]] || { echo "it has the signature of $signatures" && return; }
    cmp --silent --bytes=1048576 "$1" /dev/zero || echo "its first MiB is not zero"
}

# What guests write into volumes (volume groups, RAID members) is theirs: this host neither scans nor starts it.
guard_volumes() {
    put "$UDEV_RULES" 0644 <<END
# $OURS
# The content of volumes belongs to guests: nothing on this host assembles or activates what it finds there.
SUBSYSTEM!="block", GOTO="nlite_end"
ENV{ID_PATH}=="*-iscsi-${IQN_PREFIX}*", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"
ENV{DM_LV_NAME}=="volume-????????-????-????-????-????????????", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"
LABEL="nlite_end"
END
    await 30 udevadm control --reload || note "udev did not reload its rules: udevadm control --reload"
    guard_lvm
    guard_multipath
}

# Volumes as disks of this host: by their iSCSI path, and as multipath devices of LIO (NAA 6001405) and of tgt.
GLOBAL_FILTER='[ "r|^/dev/disk/by-path/.*-iscsi-iqn.2010-10.org.openstack:volume-|", "r|^/dev/disk/by-id/dm-uuid-mpath-36001405|", "r|^/dev/disk/by-id/dm-uuid-mpath-360000000000000000e|" ]'

guard_lvm() {
    [[ -f $LVM_CONFIG ]] || return 0
    if grep -qE '^[[:space:]]*global_filter[[:space:]]*=' "$LVM_CONFIG"; then
        grep -qE '^[[:space:]]*global_filter.*# nlite$' "$LVM_CONFIG" ||
            note "$LVM_CONFIG has a global_filter of its own; it should also reject $GLOBAL_FILTER"
        return 0
    fi
    LINE="	global_filter = $GLOBAL_FILTER # nlite" awk '{print} /^devices[[:space:]]*\{/ {print ENVIRON["LINE"]}' "$LVM_CONFIG" | put "$LVM_CONFIG" 0644
    await 30 lvmconfig devices/global_filter >/dev/null ||
        die "$LVM_CONFIG does not take a global_filter: see lvmconfig devices/global_filter"
}

# Without --multipath a path of ours must not be taken by multipathd; with it, multipathd has to run.
guard_multipath() {
    if [[ ${SET[multipath]} == yes ]]; then
        rm -f "$MULTIPATH_CONFIG"
        bring_up "multipathd.service" "$(mark_of "$MULTIPATH_CONFIG")"
        return
    fi
    [[ -d /etc/multipath || -x /sbin/multipathd ]] || return 0
    install -d "$(dirname "$MULTIPATH_CONFIG")"
    put "$MULTIPATH_CONFIG" 0644 <<END
# $OURS
blacklist {
    device {
        vendor "LIO-ORG"
        product ".*"
    }
    device {
        vendor "IET"
        product "VIRTUAL-DISK"
    }
}
END
    ! systemctl --quiet is-active multipathd || await 30 multipathd reconfigure >/dev/null ||
        note "multipathd did not take $MULTIPATH_CONFIG: systemctl restart multipathd"
}

prepare_initiator() {
    ensure_initiator_name
    bring_up "iscsid.socket iscsid.service open-iscsi.service" ""
}

ensure_initiator_name() {
    local file=/etc/iscsi/initiatorname.iscsi
    grep -qs '^InitiatorName=iqn\.' "$file" && return
    echo "InitiatorName=$(await 10 iscsi-iname)" | put "$file"
    ! systemctl --quiet is-active iscsid || limited 60 "systemctl restart iscsid" systemctl restart iscsid
    grep -q '^InitiatorName=iqn\.' "$file" || die "iscsi-iname gave no name for $file"
    note "$(cat "$file")"
}

# LIO and tgtd both want port 3260; only the one that was chosen may have it.
prepare_target() {
    mkdir -p /etc/target /etc/rtslib-fb-target
    if [[ $(target_helper) == lioadm ]]; then
        rm -f "$TGT_DROP_IN"
        if systemctl --quiet is-active tgt; then
            [[ -z $(await 20 tgtadm --lld iscsi --op show --mode target) ]] ||
                die "tgtd serves targets on port 3260: stop it (systemctl disable --now tgt) or use --target-helper tgtadm"
            limited 60 "systemctl stop tgt" systemctl --quiet disable --now tgt
            note "tgtd, which served nothing, is stopped: LIO has its port"
        fi
        # As its package does: after a boot the saved targets are there before MariaDB, RabbitMQ and cinder-lite-volume
        # are.  Not started now: it would begin with removing all targets that nobody has saved.
        systemctl --quiet is-enabled rtslib-fb-targetctl ||
            limited 60 "systemctl enable rtslib-fb-targetctl" systemctl --quiet --no-reload enable rtslib-fb-targetctl
        return
    fi
    local address portals=''
    for address in ${SET[my_ip]} ${SET[secondary_portals]//,/ }; do
        portals+="${portals:+,}portal=$(in_url "$address"):3260"
    done
    install -d "$(dirname "$TGT_DROP_IN")"
    put "$TGT_DROP_IN" 0644 <<END
# $OURS
[Service]
ExecStart=
ExecStart=/usr/sbin/tgtd -f --iscsi $portals
END
    systemctl daemon-reload
    bring_up "tgt.service" "$(mark_of "$TGT_DROP_IN")"
}
