#!/bin/busybox sh
# The orderly end of a lab guest: called for the power button by acpid and by qemu-guest-agent, which says -r if it
# wants a reboot.
: >/run/stopping
echo "stopping"
killall drover-lab-guest
umount /data
[ ! -b /dev/vdb ] || umount /more
case " $* " in
*" -r "*) reboot -f ;;
*) poweroff -f ;;
esac
