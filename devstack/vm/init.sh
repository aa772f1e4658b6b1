#!/bin/busybox sh
# shellcheck shell=dash disable=SC2013
# The first program of every machine, in its initramfs: the disk's modules, the root file system, the files that make
# the common image this host (/identity, put there when the machine is started), its network, and then systemd.
# Without udev and with a handful of modules this takes a fraction of what a distribution's initramfs does.

failed() {
    echo "nlite: $*"
    poweroff -f
}

/bin/busybox mkdir -p /proc /sys /dev /new /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "nlite: $module was not loaded"
done
# Does this accelerator boot a machine at all? (accel.py asks)
grep -q nlite.probe /proc/cmdline && failed "probe passed"

tries=100
while [ ! -b /dev/vda ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || failed "there is no disk /dev/vda"
    sleep 0.1
done
mount -t ext4 -o noatime /dev/vda /new || failed "the root file system cannot be mounted"
cp -a /identity/. /new/ || failed "the root file system cannot be written"
# shellcheck disable=SC1091  # made for each machine
. /network

read -r seconds _ </proc/uptime
echo "nlite: network is up, systemd starts after $seconds s"
umount /proc /sys
mount --move /dev /new/dev
exec switch_root /new /lib/systemd/systemd
