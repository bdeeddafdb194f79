//! A guest as another hypervisor would have it: a real Debian that boots from IDE and knows no virtio, with that hypervisor's agent in it.
//!
//! It is installed by debootstrap from the mirror that apt uses here, once, and kept with the other build results. Its boot loader is
//! put in place by hand: grub's own installer wants a block device.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::image::cache_dir;
use super::process::run;

/// What it needs beside the lab's own programs, each with the Debian package that brings it.
pub const PROGRAMS: [(&str, &str); 6] = [
    ("virt-v2v-in-place", "virt-v2v"),
    ("guestfish", "libguestfs-tools"),
    ("nbdkit", "nbdkit"),
    ("debootstrap", "debootstrap"),
    ("sfdisk", "fdisk"),
    ("chroot", "coreutils"),
];

/// The foreign agent's package.
pub const AGENT: &str = "open-vm-tools";

/// What its console prints when it is up.
pub const LOGIN: &str = "legacy login:";

/// What its console prints when it doesn't find its disk.
pub const NO_DISK: &str = "Dropping to a shell";

/// Grown when what is built changes, so that one that was kept is not used any more.
const BUILD: u32 = 1;

/// What is in it. The kernel is the cloud flavour for its size: it knows virtio and IDE by modules.
const PACKAGES: [&str; 9] = [
    "systemd-sysv",
    "udev",
    "kmod",
    "initramfs-tools",
    "linux-image-cloud-amd64",
    "grub-pc-bin",
    "grub2-common",
    "e2fsprogs",
    AGENT,
];

/// The file system's, by which the boot loader and the kernel find it whatever the disk is called.
const UUID: &str = "7c0ffee0-d70e-4000-8000-000000000001";

/// Where the partition begins, in bytes: what is before it is the boot loader's.
const PARTITION: u64 = 1 << 20;

/// The disk's size, in bytes; a fifth of it is used.
const DISK: u64 = 2 << 30;

/// How it is brought from the freshly installed state to that of a guest that only ever knew IDE.
const CUSTOMISE: &str = r#"set -eu
sed -i 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf
printf 'ata_piix\nsd_mod\n' >>/etc/initramfs-tools/modules
echo "UUID=$1 / ext4 errors=remount-ro 0 1" >/etc/fstab
echo legacy >/etc/hostname
line='console=ttyS0 rootdelay=5'
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX="%s"\nGRUB_TERMINAL=console\n' "$line" >/etc/default/grub
update-initramfs -u
kernel=$(ls /boot/vmlinuz-* | sed 's/.*vmlinuz-//')
mkdir -p /boot/grub
cat >/boot/grub/grub.cfg <<END
set timeout=0
menuentry "Debian GNU/Linux" {
  search --no-floppy --fs-uuid --set=root $1
  linux /boot/vmlinuz-$kernel root=UUID=$1 ro $line
  initrd /boot/initrd.img-$kernel
}
END
cp -r /usr/lib/grub/i386-pc /boot/grub/
grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p '(hd0,msdos1)/boot/grub' \
    biosdisk part_msdos ext2 normal linux search search_fs_uuid configfile
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
"#;

/// Why this machine can't have one, in words for whoever wants to run the test; none if it can.
#[must_use]
pub fn unable() -> Option<String> {
    if let Some(reason) = super::unable() {
        return Some(reason);
    }
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/libexec"];
    let missing = PROGRAMS
        .iter()
        .find(|(program, _)| !places.iter().any(|place| Path::new(place).join(program).exists()));
    missing.map(|(program, package)| {
        format!("{program} is missing (package {package}); tests/lab/install.sh installs it where it can")
    })
}

/// The guest's disk, raw; built if that was not done before, which takes two minutes and the mirror.
///
/// # Errors
/// If it can't be built: the mirror does not answer, or something is missing.
pub fn disk() -> Result<PathBuf> {
    fs::create_dir_all(cache_dir())?;
    let lock = fs::File::create(cache_dir().join("foreign.lock"))?;
    lock.lock()?;
    let (mirror, suite) = mirror()?;
    let kept = cache_dir().join(format!("foreign-{suite}-{BUILD}.raw"));
    if !kept.exists() {
        let root = cache_dir().join("foreign.draft");
        remove(&root)?;
        let disk = cache_dir().join("foreign.draft.raw");
        install(&root, &mirror, &suite)?;
        make_disk(&root, &disk)?;
        remove(&root)?;
        fs::rename(&disk, &kept)?;
    }
    Ok(kept)
}

/// A build that was cut off leaves its files behind. Nothing is mounted in them: that ended with it.
fn remove(root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", root.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// This machine's own release and the mirror that its apt gets it from: its keys are then here as well.
fn mirror() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite =
        suite.context("/etc/os-release names no VERSION_CODENAME: this is no Debian")?.trim_matches('"');
    let format = "$(RELEASE) $(COMPONENT) $(REPO_URI)";
    let targets =
        run(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let prefix = format!("{suite} main ");
    let uri = targets.lines().find_map(|line| line.strip_prefix(&prefix));
    Ok((uri.with_context(|| format!("apt knows no mirror of {suite}"))?.to_owned(), suite.to_owned()))
}

/// Runs a program in mount namespaces of its own: what it mounts goes with it, also when it is killed.
fn apart() -> Command {
    let mut command = Command::new("nice");
    command.args(["unshare", "--mount", "--propagation", "private"]).env("LC_ALL", "C");
    command
}

fn install(root: &Path, mirror: &str, suite: &str) -> Result<()> {
    let include = format!("--include={}", PACKAGES.join(","));
    run(apart().args(["debootstrap", "--variant=minbase", &include, suite]).arg(root).arg(mirror))
        .context("Debian can't be installed into a directory")?;
    run(apart().arg("chroot").arg(root).args(["sh", "-c", CUSTOMISE, "customise", UUID])).map(drop)
}

fn make_disk(root: &Path, disk: &Path) -> Result<()> {
    fs::File::create(disk)?.set_len(DISK)?;
    let script = format!("echo '{},,83,*' | sfdisk --quiet \"$0\"", PARTITION / 512);
    run(Command::new("sh").args(["-c", &script]).arg(disk))?;
    let offset = format!("offset={PARTITION}");
    let size = format!("{}k", (DISK - PARTITION) / 1024);
    run(Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-U", UUID, "-E", &offset, "-d"])
        .arg(root)
        .arg(disk)
        .arg(size))?;
    let grub = root.join("boot/grub/i386-pc");
    let (boot, core) = (fs::read(grub.join("boot.img"))?, fs::read(grub.join("core.img"))?);
    ensure!(core.len() as u64 + 512 <= PARTITION, "the boot loader does not fit before the partition");
    let mut disk = OpenOptions::new().write(true).open(disk)?;
    // The first stage without the bytes of the partition table; it looks for the second in the sector after it.
    disk.write_all_at(boot.get(..440).context("grub's first stage is too short")?, 0)?;
    disk.write_all_at(&core, 512)?;
    disk.flush()?;
    Ok(())
}

/// What a file of the guest holds, read from its raw disk while it is off.
///
/// # Errors
/// If the disk can't be read.
pub fn read(disk: &Path, file: &str) -> Result<String> {
    let place = format!("{}?offset={PARTITION}", disk.display());
    run(Command::new("debugfs").args(["-R", &format!("cat {file}")]).arg(place))
}
