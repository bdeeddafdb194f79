#!/bin/sh
# Installs what building and testing Drover needs on Debian 12 and 13. Run as root; `--check` only names what is missing,
# `--bench` also installs the peer that only `make bench` needs, `--conversion` tries to install what imports, and servers
# with a firmware and a TPM, are tested with.
#
# When everything is there it looks at dpkg's own records and ends, without network and in a fraction of a second,
# so that `make demo` and `make test` can call it every time.
set -eu

backports_list=/etc/apt/sources.list.d/drover-backports.sources
lab=$(dirname "$0")/../../target/lab
conversion_tried=$lab/conversion-not-installed
policy=/usr/sbin/policy-rc.d
policy_saved=/usr/sbin/policy-rc.d.before-drover

# The hypervisor's parts must come from one release: QEMU's packages refuse each other's neighbours by version.
# libvirt 10.7 is the first that can be told which directories are shared (`shared_filesystems`); without it, it
# refuses to migrate a guest whose disk lies in a directory that only looks local.
hypervisor="libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-network libvirt-clients libvirt-dev qemu-system-x86 qemu-utils"
libvirt_least=10.7

# Build; the guests' kernel, userland and disks; the hosts' network; the databases and servers that tests talk to; the browser.
# qemu-guest-agent is here for its binary, which is copied into the guests' image.
plain="gcc libc6-dev make pkg-config libnbd-dev curl ca-certificates git python3 python3-vobject
linux-image-cloud-amd64 busybox-static cpio xz-utils zstd lz4 e2fsprogs qemu-guest-agent
iproute2 util-linux kmod procps tini
postgresql dovecot-imapd
chromium chromium-driver"

# Request Tracker, with what it needs to run by itself: no web server, no database server.
tracker="request-tracker5 rt5-db-sqlite rt5-standalone"

# What the benchmark compares copies of disks and plans of fleets with.
[ "${1:-}" != --bench ] || plain="$plain virtnbdbackup ganeti-htools"

# What imports of foreign guests are tested with. Optional: where it can't be had, that test says that it was skipped, and all else runs.
conversion="virt-v2v libguestfs-tools nbdkit debootstrap fdisk"

# For guests whose firmware and TPM keep something. Optional as well; both are of the machine's own release.
firmware="ovmf swtpm swtpm-tools"

say() { echo "install: $*" >&2; }
die() { say "$*"; exit 1; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

# Debian lets only one mail server be installed. One that is somebody's own must not be removed for our tests' sake.
other_mail_server() {
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
        awk '$1 == "installed" && /mail-transport-agent/ && $2 != "opensmtpd" { print $2; exit }'
}

missing() {
    for package in $hypervisor $plain $tracker; do
        installed "$package" || printf '%s ' "$package"
    done
    if installed libvirt-daemon; then
        version=$(dpkg-query -W -f '${Version}' libvirt-daemon)
        dpkg --compare-versions "$version" ge "$libvirt_least" || printf 'libvirt-daemon '
    fi
    [ -n "$(other_mail_server)" ] || installed opensmtpd || printf 'opensmtpd '
}

lacks_conversion() {
    for package in $conversion $firmware; do
        installed "$package" || return 0
    done
    return 1
}

cargo_there() { command -v cargo >/dev/null 2>&1 || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; }

# Copies the stanza (or line) by which this machine reaches Debian itself and changes only its suite, so that mirror,
# proxy scheme and key are the machine's own.
add_backports() {
    if grep -rqsE '^[^#]*bookworm-backports' /etc/apt/sources.list /etc/apt/sources.list.d --include='*.list' --include='*.sources'; then
        return
    fi
    stanza=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed '/^#/d' | awk -v RS= '
        /(^|\n)Types:[^\n]*deb/ && /(^|\n)Suites:([^\n]* )?bookworm( |\n|$)/ && !/(^|\n)Enabled: *no/ { print; exit }' |
        sed -e 's/^Types:.*/Types: deb/' -e 's/^Suites:.*/Suites: bookworm-backports/' -e 's/^Components:.*/Components: main/')
    if [ -z "$stanza" ]; then
        line=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            grep -E '^deb +(\[[^]]*\] +)?[^ ]+ +bookworm( |$)' | head -n 1)
        uri=$(echo "$line" | sed -E 's/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/')
        key=$(echo "$line" | sed -nE 's/.*[[ ]signed-by=([^] ]+).*/\1/p')
        stanza=$(printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' \
            "${uri:-http://deb.debian.org/debian}" "${key:-/usr/share/keyrings/debian-archive-keyring.gpg}")
    fi
    printf '%s\n' "$stanza" >"$backports_list"
    say "added $backports_list"
}

# invoke-rc.d and deb-systemd-invoke ask this file before they start anything. A run that was killed leaves the saved
# one beside it; the next run puts that back first.
hold_services() {
    release_services
    [ ! -e "$policy" ] || mv "$policy" "$policy_saved"
    printf '#!/bin/sh\n# drover: nothing is started while the packages of its tests are installed\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
release_services() {
    if [ -e "$policy" ] && grep -qs '^# drover:' "$policy"; then rm -f "$policy"; fi
    if [ -e "$policy_saved" ]; then mv "$policy_saved" "$policy"; fi
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; }

# After the mail server, or it would bring one of its own. Its tests make databases of their own, so the machine gets neither one
# nor the cron jobs that would look after it; where it was there before, nothing of it is changed.
install_tracker() {
    if ! installed request-tracker5 && command -v debconf-set-selections >/dev/null; then
        printf 'request-tracker5 request-tracker5/%s boolean false\n' dbconfig-install install-cronjobs | debconf-set-selections
    fi
    # shellcheck disable=SC2086
    apt install $tracker
}

# From the release that the hypervisor came from: the appliance runs that QEMU, and its libraries are shared with it.
choose_release() {
    # shellcheck source=/dev/null
    . /etc/os-release
    release=
    case "${ID:-}:${VERSION_ID:-}" in
        debian:12) add_backports; release="-t bookworm-backports" ;;
        debian:13) ;;
        *) say "this is ${PRETTY_NAME:-an unknown system}; only Debian 12 and 13 were tried, going on with its own packages" ;;
    esac
}

# Tried only if nothing that is there would have to go for it, and the hypervisor's parts stay as they are. That it was
# tried in vain is remembered, or every `make test` would try again; a change of this script tries again.
install_conversion() {
    choose_release
    trap release_services EXIT
    trap 'exit 130' INT TERM
    hold_services
    apt update || true
    # shellcheck disable=SC2086
    if apt --simulate install $release $conversion 2>/dev/null | grep -qE '^(Remv|Inst (qemu|libvirt)[^ ]* \[)'; then
        say "not installed, as packages of this machine would be removed or replaced: $conversion"
    elif ! apt install $release $conversion; then
        say "could not be installed: $conversion"
    fi
    # shellcheck disable=SC2086
    apt install $firmware || say "could not be installed: $firmware"
    release_services
    if lacks_conversion; then
        say "tests that need what is missing will say that they were skipped; remove $conversion_tried to have it tried again"
        mkdir -p "$lab"
        touch "$conversion_tried"
    fi
}

install_packages() {
    choose_release
    trap release_services EXIT
    trap 'exit 130' INT TERM
    hold_services
    apt update
    # The plain ones first, from the machine's own release; what they share with the hypervisor is then raised, never lowered.
    # shellcheck disable=SC2086
    apt install $plain
    # shellcheck disable=SC2086
    apt install $release $hypervisor
    other=$(other_mail_server)
    if [ -n "$other" ]; then
        say "$other is this machine's mail server and stays; tests that need opensmtpd will say that they were skipped"
    else
        apt install opensmtpd
    fi
    install_tracker
    release_services
}

# One file out of a package of npm's, into the folder where tests look for it.
fetch_judge() {
    [ ! -e "$lab/$3" ] || return 0
    got=$(mktemp -d)
    if (cd "$got" && npm pack --silent "$1" >/dev/null 2>&1 && tar -xzf ./*.tgz); then
        mkdir -p "$lab"
        mv "$got/package/$2" "$lab/$3"
    else
        say "$1 could not be had by npm; the tests of the pages will say what they did not look for"
    fi
    rm -rf "$got"
}

# What looks at our pages: axe for barriers, the Nu HTML checker for what is no HTML. Both come by npm, and the checker runs on Java. Optional:
# where one can't be had, the tests say that they did not look. A tool that did not come from Debian is as good.
install_judges() {
    tools=
    command -v npm >/dev/null 2>&1 || tools="npm"
    command -v java >/dev/null 2>&1 || tools="$tools default-jre-headless"
    if [ -n "$tools" ] && [ "$(id -u)" = 0 ]; then
        apt update || true
        # shellcheck disable=SC2086
        apt install $tools || say "could not be installed: $tools"
    fi
    fetch_judge axe-core@4 axe.min.js axe.min.js
    fetch_judge vnu-jar@26 build/dist/vnu.jar vnu.jar
}

# The toolchain itself is named in rust-toolchain.toml and fetched by the first cargo that runs.
install_rust() {
    if apt-cache show rustup >/dev/null 2>&1; then
        apt install rustup
        return
    fi
    init=$(mktemp)
    curl --proto '=https' --tlsv1.2 -sSf -o "$init" \
        "https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
    chmod 755 "$init"
    "$init" -y -q --profile minimal --default-toolchain none --no-modify-path
    rm -f "$init"
    say "cargo is in ${CARGO_HOME:-$HOME/.cargo}/bin"
}

lacking=$(missing)
cargo_there || lacking="$lacking cargo"
if [ "${1:-}" = --check ]; then
    [ -z "$lacking" ] || { echo "missing: $lacking"; exit 1; }
    exit 0
fi
if [ -n "$lacking" ]; then
    [ "$(id -u)" = 0 ] || die "missing: $lacking; run this as root to install it"
    say "installing: $lacking"
    [ -z "$(missing)" ] || install_packages
    cargo_there || install_rust
    lacking=$(missing)
    [ -z "$lacking" ] || die "still missing after the installation: $lacking"
fi
install_judges
if [ "${1:-}" = --conversion ] && lacks_conversion && [ "$(id -u)" = 0 ] && [ ! "$conversion_tried" -nt "$0" ]; then
    install_conversion
fi
