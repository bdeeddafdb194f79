#!/bin/sh
# libvirt calls this at each step of a guest's life: guest, what is done, which step; its definition comes on standard
# input. Writes down what is on the guest's local disks, what its firmware keeps and what its TPM keeps when it has ended
# and before it begins, and lets it wait before it begins as long as somebody holds it. libvirt waits for this script, so nothing runs from a disk meanwhile.
set -eu
guest=$1 what=$2 step=$3
dir=/var/lib/libvirt/shared/witness
xml=$(cat)

tell() {
    printf '%s\n' "$xml" | awk -F "'" '/<driver name=.qemu. type=/ { format = $4 }
        /<source file=.\/var\/lib\/libvirt\/local\// { print format, $2 }' | while read -r format disk; do
        # What a test guest writes goes with it, and each begins from a later moment of the server.
        case $disk in *.test) continue ;; esac
        [ -e "$disk" ] || continue
        raw=$(mktemp -p "$dir/scratch")
        qemu-img convert -U -f "$format" -O raw "$disk" "$raw"
        sum=$(b2sum <"$raw")
        rm -f "$raw"
        # One short line at a time: a host's does not end up within another's.
        echo "$1 $(hostname) $guest ${disk##*/} ${sum%% *}" >>"$dir/log"
    done
    nvram=$(printf '%s\n' "$xml" | sed -n 's/.*<nvram[^>]*>\([^<]*\)<.*/\1/p')
    uuid=$(printf '%s\n' "$xml" | sed -n 's/.*<uuid>\([^<]*\)<.*/\1/p' | head -n 1)
    for kept in "$nvram" "/var/lib/libvirt/swtpm/$uuid/tpm2/tpm2-00.permall"; do
        [ -f "$kept" ] || continue
        sum=$(b2sum <"$kept")
        echo "$1 $(hostname) $guest ${kept##*/} ${sum%% *}" >>"$dir/log"
    done
}

is_held() { [ -e "$dir/hold/$guest" ] && [ "$(cat "$dir/hold/$guest")" != "$(hostname)" ]; }
libvirt_waits() { kill -0 "$PPID" 2>/dev/null; }

case $what/$step in
prepare/begin)
    if is_held; then
        hostname >"$dir/waits/$guest"
        while is_held && libvirt_waits; do sleep 0.02; done
        rm -f "$dir/waits/$guest"
    fi
    # A libvirtd that was killed meanwhile starts nothing.
    libvirt_waits || exit 1
    tell begins
    ;;
release/end) tell ended ;;
esac
