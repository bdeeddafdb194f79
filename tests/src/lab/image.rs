//! What guests boot from: Debian's cloud kernel, unpacked, and an initramfs with busybox and the guest program.
//!
//! QEMU starts an unpacked kernel by its PVH entry, which saves the half second that an emulated CPU needs to unpack
//! it. Two images: the one with the real qemu-guest-agent is several times as large.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::process::run;

/// Where kernels lie; package linux-image-cloud-amd64. Any Debian kernel does, the newest cloud one is preferred: it has
/// the fewest drivers and starts fastest.
const BOOT: &str = "/boot";

/// The userland; package busybox-static.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// The real guest agent; package qemu-guest-agent.
const GUEST_AGENT: &str = "/usr/sbin/qemu-ga";

/// Modules in the order in which they depend on each other, for every guest.
const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
];

/// Modules that `init.sh` loads where a guest needs them.
const MODULES_ON_DEMAND: [&str; 3] = ["evdev", "button", "virtio_console"];

/// The commands of busybox that the guest's scripts use, as links: looking them up is cheaper than making them at boot.
const APPLETS: [&str; 16] = [
    "sh", "mount", "umount", "insmod", "ip", "acpid", "sleep", "killall", "poweroff", "reboot", "cat", "ls",
    "ps", "echo", "dmesg", "sync",
];

const INIT: &str = include_str!("init.sh");
const SHUTDOWN: &str = include_str!("shutdown.sh");

/// What is kept between labs: build results, so they lie with the other build results and go with them.
pub(super) fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab")
}

/// The files that guests boot from, inside of one directory that all hosts see.
#[derive(Debug, Clone)]
pub struct Image {
    dir: PathBuf,
}

/// Which of the two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Busybox and the guest program.
    Plain,
    /// And the real qemu-guest-agent.
    WithAgent,
}

impl Image {
    /// Builds the guest program if it changed, and both images into `dir`. Takes about half a second when the program is
    /// built already.
    ///
    /// # Errors
    /// If a part is missing, with the package that brings it.
    pub fn build(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let kernel = newest_kernel()?;
        unpack_kernel(&kernel, &dir.join(KERNEL))?;
        fs::copy(Path::new(BOOT).join(format!("vmlinuz-{kernel}")), dir.join(PACKED_KERNEL))?;
        let program = build_program()?;
        for flavour in [Flavour::Plain, Flavour::WithAgent] {
            let root = tempfile::tempdir()?;
            fill(root.path(), &kernel, &program, flavour)?;
            pack(root.path(), &dir.join(flavour.file_name()))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The images that another process built.
    pub(super) fn attach(dir: &Path) -> Result<Self> {
        ensure!(dir.join(KERNEL).exists(), "the lab has no images for guests");
        Ok(Self { dir: dir.to_owned() })
    }

    /// The kernel's file name, and the initramfs's.
    #[must_use]
    pub fn file_names(&self, flavour: Flavour) -> (&'static str, &'static str) {
        (KERNEL, flavour.file_name())
    }

    /// The directory that holds the files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

const KERNEL: &str = "kernel";

/// As Debian packs it, for a firmware that boots no other.
pub(super) const PACKED_KERNEL: &str = "kernel-packed";

impl Flavour {
    fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "initramfs",
            Self::WithAgent => "initramfs-agent",
        }
    }
}

/// The release of the newest kernel that has its modules here too.
fn newest_kernel() -> Result<String> {
    let mut releases: Vec<String> = fs::read_dir(BOOT)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
        .filter(|release| modules_dir(release).is_dir())
        .collect();
    releases.sort_by_key(|release| (release.contains("cloud"), version_key(release)));
    releases.pop().context("there is no kernel in /boot; package linux-image-cloud-amd64 brings one")
}

/// The numbers in a release, so that 6.12 is newer than 6.2.
fn version_key(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn modules_dir(release: &str) -> PathBuf {
    Path::new("/lib/modules").join(release).join("kernel")
}

/// Finds the compressed kernel inside of a bzImage and unpacks it. What is unpacked is kept for the next lab.
fn unpack_kernel(release: &str, to: &Path) -> Result<()> {
    let packed = Path::new(BOOT).join(format!("vmlinuz-{release}"));
    let size = fs::metadata(&packed)?.len();
    let kept = cache_dir().join(format!("kernel-{release}-{size}"));
    if !kept.exists() {
        fs::create_dir_all(cache_dir())?;
        let kernel =
            unpacked(&fs::read(&packed)?).with_context(|| format!("cannot unpack {}", packed.display()))?;
        write_whole(&kept, &kernel)?;
    }
    fs::copy(&kept, to)?;
    Ok(())
}

fn unpacked(image: &[u8]) -> Result<Vec<u8>> {
    let packers: [(&[u8], &[&str]); 4] = [
        (b"\xfd7zXZ\0", &["xz", "-dc"]),
        (b"\x28\xb5\x2f\xfd", &["zstd", "-dc"]),
        (b"\x02!L\x18", &["lz4", "-dc"]),
        (b"\x1f\x8b\x08", &["gzip", "-dc"]),
    ];
    for (magic, program) in packers {
        let places = image.windows(magic.len()).enumerate().filter(|(_, window)| *window == magic);
        for (place, _) in places {
            // What follows the kernel in the file makes the program complain; only what came out counts.
            let kernel = filter(program, &image[place..])?;
            if kernel.starts_with(b"\x7fELF") {
                return Ok(kernel);
            }
        }
    }
    bail!("no kernel packed by xz, zstd, lz4 or gzip in it")
}

/// Sends bytes through a program, whatever its exit code.
fn filter(words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", words[0]))?;
    let mut stdin = child.stdin.take().context("the program has no input")?;
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        Ok(child.wait_with_output()?.stdout)
    })
}

/// Builds the guest program, linked statically as the image has no libraries. In a target directory of its own: the other
/// flags would otherwise have everything built again, and a lab made by a test must not wait for cargo's lock.
fn build_program() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = cache_dir().join("guest");
    run(Command::new("cargo")
        .current_dir(&workspace)
        .args(["rustc", "--quiet", "--package", "drover-lab-guest", "--bin", "drover-lab-guest"])
        .args(["--release", "--target-dir"])
        .arg(&target)
        .args(["--", "-C", "target-feature=+crt-static"]))
    .context("the guest program cannot be built")?;
    Ok(target.join("release/drover-lab-guest"))
}

fn fill(root: &Path, kernel: &str, program: &Path, flavour: Flavour) -> Result<()> {
    for dir in
        ["bin", "sbin", "proc", "sys", "dev", "data", "more", "run", "tmp", "modules", "etc/acpi/PWRF", "var"]
    {
        fs::create_dir_all(root.join(dir))?;
    }
    let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.context("busybox is missing (package busybox-static)")?, root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    symlink("/run", root.join("var/run"))?;
    fs::copy(program, root.join("bin/drover-lab-guest"))?;
    script(&root.join("init"), INIT)?;
    script(&root.join("sbin/shutdown"), SHUTDOWN)?;
    // Where `acpid -d` looks for what to do when the power button is pressed.
    symlink("/sbin/shutdown", root.join("etc/acpi/PWRF/00000080"))?;
    for module in MODULES.iter().chain(&MODULES_ON_DEMAND) {
        copy_module(kernel, module, &root.join("modules"))?;
    }
    // Later kernels have some of them built in.
    let order: Vec<&str> =
        MODULES.into_iter().filter(|module| root.join(format!("modules/{module}.ko")).exists()).collect();
    fs::write(root.join("modules/order"), order.join("\n") + "\n")?;
    if flavour == Flavour::WithAgent {
        copy_with_libraries(Path::new(GUEST_AGENT), &root.join("bin/qemu-ga"), root)?;
    }
    Ok(())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Copies a module, unpacked. One that the kernel has built in is left out.
fn copy_module(kernel: &str, module: &str, to: &Path) -> Result<()> {
    let modules = modules_dir(kernel);
    let builtin = fs::read_to_string(modules.with_file_name("modules.builtin")).unwrap_or_default();
    let file = format!("/{module}.ko");
    if builtin.lines().any(|line| line.ends_with(&file)) {
        return Ok(());
    }
    let found = run(Command::new("find").arg(&modules).args(["-name", &format!("{module}.ko*")]))?;
    let path = found.lines().next().with_context(|| format!("kernel {kernel} has no module {module}"))?;
    let bytes = fs::read(path)?;
    let bytes = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("xz") => filter(&["xz", "-dc"], &bytes)?,
        Some("zst") => filter(&["zstd", "-dc"], &bytes)?,
        _ => bytes,
    };
    fs::write(to.join(format!("{module}.ko")), bytes)?;
    Ok(())
}

/// Copies a program and whatever the loader says that it needs, each to where the loader will look for it.
fn copy_with_libraries(program: &Path, to: &Path, root: &Path) -> Result<()> {
    fs::copy(program, to)
        .with_context(|| format!("{} is missing (package qemu-guest-agent)", program.display()))?;
    let needed = run(Command::new("ldd").arg(program))?;
    for path in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        let inside = root.join(path.trim_start_matches('/'));
        if let Some(dir) = inside.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::copy(path, inside)?;
    }
    Ok(())
}

/// Packs a directory as an initramfs; not compressed, as unpacking costs an emulated CPU more than reading.
fn pack(root: &Path, to: &Path) -> Result<()> {
    let command = format!(
        "find . -print0 | cpio --null --create --format=newc --quiet --owner=0:0 > '{}'",
        to.display()
    );
    run(Command::new("sh").current_dir(root).args(["-c", &command])).map(drop)
}

/// Writes a file that others may look for at the same time: they see all of it or nothing.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}
