#!/bin/busybox sh
# The tiny guest's whole userland: process 1 loads the virtio modules, says that it is ready on the serial console,
# and then serves commands that arrive there (see console.py for the other end).
#
#   host:   @ID COMMAND ARGUMENT...
#   guest:  @ID|a line of the answer          (any number)
#           @ID=EXIT-CODE                     (the end)
#
# The prefix keeps answers apart from kernel messages, which share the line.

/bin/busybox mkdir -p /proc /sys /tmp
/bin/busybox mount -t proc proc /proc
# Debian's busybox finds its own programs without a link for each of them.
type insmod >/dev/null 2>&1 || { /bin/busybox mkdir -p /sbin /usr/bin /usr/sbin; /bin/busybox --install -s; }
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "guest: $module was not loaded"
done

# What is asked for again and again starts no program and no second shell: an emulated processor takes longest to begin
# something new, and what it spends on looking for a disk is missing where the disk is made ready.

# A short pause: nobody ever writes into this pipe.
mkfifo /tmp/never
exec 9<>/tmp/never
pause() { read -r -t 0.2 _ <&9; }

# The first 20 characters are all that a guest sees of a virtio disk's serial. Leaves the disk's name in $disk.
find_disk() {
    wanted=$1
    while [ ${#wanted} -gt 20 ]; do wanted=${wanted%?}; done
    for entry in /sys/block/vd*; do
        serial=
        read -r serial 2>/dev/null <"$entry/serial"
        [ "$serial" = "$wanted" ] && disk=${entry##*/} && return 0
    done
    disk=gone
    return 1
}

disk_or_fail() { find_disk "$1" || { echo "no disk with serial $1"; return 1; }; }

# Wait until the disk with a serial is there (want=0) or gone (want=1), for so many seconds.
await() {
    tries=$(($2 * 5))
    while :; do
        find_disk "$1"
        [ $? -eq "$3" ] && { echo "$disk"; return 0; }
        [ "$tries" -le 0 ] && { echo "disk with serial $1: nothing changed in $2 s"; return 1; }
        tries=$((tries - 1))
        pause
    done
}

# The file so many times, by one program.
repeat() { # FILE TIMES
    names=
    times=$2
    while [ "$times" -gt 0 ]; do
        names="$names $1"
        times=$((times - 1))
    done
    # shellcheck disable=SC2086  # many names
    cat $names
}

# SEED, repeated line by line, cut to MIB, in /tmp/pattern: the host can compute the same bytes. Made of pieces of 4096
# lines, because each system call and each change between processes costs.
pattern() {
    lines=$1
    for _ in 1 2 3 4 5 6 7 8; do
        lines="$lines
$lines"
    done
    echo "$lines" >/tmp/lines && repeat /tmp/lines 16 >/tmp/piece || return 1
    repeat /tmp/piece $(($2 * 1048576 / (16 * (${#lines} + 1)) + 1)) >/tmp/pattern || return 1
    truncate -s $(($2 * 1048576)) /tmp/pattern
}

# The first word, which is the digest.
digest() { sha256sum "$1" >/tmp/digest && read -r sum _ </tmp/digest && echo "$sum"; }

cmd_ping() { echo pong; }

cmd_disks() {
    for entry in /sys/block/vd*; do
        [ -e "$entry/size" ] || continue
        echo "${entry##*/} $(($(cat "$entry/size") * 512)) $(cat "$entry/serial" 2>/dev/null)"
    done
}

cmd_await() { await "$1" "$2" 0; }
cmd_gone() { await "$1" "$2" 1; }

cmd_write() { # SERIAL MIB SEED: prints the sha256 of what was written
    disk_or_fail "$1" || return 1
    pattern "$3" "$2" 2>&1 || return 1
    dd if=/tmp/pattern of="/dev/$disk" bs=1M oflag=direct conv=fsync 2>/tmp/dd || { cat /tmp/dd; return 1; }
    digest /tmp/pattern || return 1
    rm -f /tmp/pattern
}

cmd_read() { # SERIAL MIB: prints the sha256 of what the disk holds
    disk_or_fail "$1" || return 1
    dd if="/dev/$disk" bs=1M count="$2" iflag=direct of=/tmp/read 2>/tmp/dd || { cat /tmp/dd; return 1; }
    [ "$(stat -c %s /tmp/read)" -eq $(($2 * 1048576)) ] || { echo "short read"; return 1; }
    digest /tmp/read || return 1
    rm -f /tmp/read
}

cmd_sh() { sh -c "$*"; }

serve() {
    id=$1
    verb=$2
    shift 2
    case $verb in
    ping | disks | await | gone | write | read | sh)
        "cmd_$verb" "$@" >/tmp/answer 2>&1
        code=$?
        ;;
    *)
        echo "unknown command: $verb" >/tmp/answer
        code=127
        ;;
    esac
    while IFS= read -r text || [ -n "$text" ]; do echo "$id|$text"; done </tmp/answer
    echo "$id=$code"
}

# A press of the power button (virsh shutdown) powers the guest off.
powerdown() {
    for device in /dev/input/event*; do
        [ -e "$device" ] && { head -c 1 "$device" >/dev/null && poweroff -f; } &
    done
}
powerdown 2>/dev/null

exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
echo 1 >/proc/sys/kernel/printk
echo "guest: ready after $(cut -d' ' -f1 /proc/uptime) s, Linux $(uname -r)"
while :; do
    read -r id rest || { sleep 1; continue; }
    case $id in
    @*)
        set -f
        # shellcheck disable=SC2086  # the words of the command line are meant to be split
        set -- $rest
        set +f
        serve "$id" "$@"
        ;;
    esac
done
