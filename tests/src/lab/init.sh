#!/bin/busybox sh
# The first process of a lab guest. Kernel parameters: drover.ip (with prefix length), drover.gateway; drover.also_ip is one more address;
# drover.agent=1 starts the real qemu-guest-agent; drover.ignore_acpi=1 makes a guest that does not hear its power
# button; drover.events_ip (with prefix length) is for the second interface, drover.events_mac the address that it then uses in place of
# its own. The others belong to drover-lab-guest.

# The channel shows up some time after the driver, without a name at first; the link of that name would be made by udev,
# which is not here.
start_agent() {
    while :; do
        for port in /sys/class/virtio-ports/*; do
            name=
            [ ! -e "$port/name" ] || read -r name <"$port/name"
            if [ "$name" = org.qemu.guest_agent.0 ]; then
                exec qemu-ga --method=virtio-serial --path="/dev/${port##*/}" --statedir=/run >/dev/null 2>&1
            fi
        done
        sleep 0.1
    done
}

# Whether this acpid has opened the button. A guest is taken for up as soon as it beats, and a press that comes before
# acpid listens is lost.
hears_button() {
    for open in "/proc/$1/fd"/*; do
        for device in /dev/input/event*; do
            [ "$open" -ef "$device" ] && return
        done
    done
    return 1
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
read -r line </proc/cmdline
ip= gateway= also_ip= agent= ignore_acpi= events_ip= events_mac=
for word in $line; do
    case $word in
    drover.ip=*) ip=${word#*=} ;;
    drover.gateway=*) gateway=${word#*=} ;;
    drover.also_ip=*) also_ip=${word#*=} ;;
    drover.agent=*) agent=${word#*=} ;;
    drover.ignore_acpi=*) ignore_acpi=${word#*=} ;;
    drover.events_ip=*) events_ip=${word#*=} ;;
    drover.events_mac=*) events_mac=${word#*=} ;;
    esac
done
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
ip link set lo up
ip link set eth0 up
ip addr add "$ip" dev eth0
ip route add default via "$gateway"
[ ! "$also_ip" ] || ip addr add "$also_ip" dev eth0
if [ "$events_ip" ]; then
    [ ! "$events_mac" ] || ip link set eth1 address "$events_mac"
    ip link set eth1 up
    ip addr add "$events_ip" dev eth1
fi
mount -t ext4 -o noatime /dev/vda /data || echo "trouble: no disk"
[ ! -b /dev/vdb ] || mount -t ext4 -o noatime /dev/vdb /more || echo "trouble: no second disk"
if [ "$ignore_acpi" != 1 ]; then
    insmod /modules/evdev.ko
    insmod /modules/button.ko
    acpid -d >/dev/null 2>&1 &
    until hears_button $!; do sleep 0.05; done
fi
if [ "$agent" = 1 ]; then
    insmod /modules/virtio_console.ko
    start_agent &
fi
# Started again should it ever end, unless the guest is shutting down.
while [ ! -e /run/stopping ]; do
    drover-lab-guest
    sleep 1
done
while :; do sleep 60; done
