# Makes the inside of one lab host and then waits to be killed. Started inside the host's network namespace and fresh
# mount and UTS namespaces; all that it mounts is private to them and goes when their last process goes.
# Arguments: host name, the host's own directory, the lab's shared directory.
set -eu
name=$1 own=$2 shared=$3
hostname "$name"
for pair in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt run:/run; do
    mount --bind "$own/${pair%%:*}" "${pair#*:}"
done
# What a root shell inside expects to find in /run.
mkdir -p /run/lock
mount --bind "$shared" /var/lib/libvirt/shared
# libvirt asks for the full form of its host's name; without this, the answer is waited for from a name server that the
# host cannot reach, ten seconds each time.
mount --bind "$own/hosts" /etc/hosts
# All hosts share one kernel; to those inside, each has its own, which was booted when the host was made.
mount --bind "$own/boot_id" /proc/sys/kernel/random/boot_id
echo ready
exec sleep infinity >/dev/null 2>&1
