//! Copying and fixing with the real `qemu-img` and a converter that is a few lines of shell: what is left on disk after it did well,
//! failed, hung. Imports as a whole, with the real virt-v2v and libvirt, are tested in the lab.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use drover_host_agent::clock::SystemClock;
use drover_host_agent::convert::copy::{self, CopyError};
use drover_host_agent::convert::fixes::{self, FixesError};
use drover_host_agent::convert::record::{Workplace, image, overlay};
use drover_host_agent::convert::tool::Leash;
use drover_host_agent::convert::v2v::Why;
use drover_policies::import::{Description, Found, Virtio, Written};
use drover_policies::replica::DiskFigures;
use tempfile::TempDir;

/// What a converter says when it has done well.
const WELL: &str = r#"echo '{ "message": "Inspecting the source", "type": "message" }
{ "message": "This guest has virtio drivers installed.", "type": "info" }' >&2"#;

/// Writes `fixed` to the beginning of the guest's disk, of which it knows only what it was told.
const WRITE: &str = r#"overlay=$(sed -n "s/.*source file='\([^']*\)'.*/\1/p" /tmp/source.xml)
qemu-io -f qcow2 -c 'write -q -P 0x46 0 64k' "$overlay" >/dev/null"#;

/// Nobody says stop.
const LEASH: Leash<'static> = Leash { clock: &SystemClock, stop: &NEVER };
static NEVER: AtomicBool = AtomicBool::new(false);

/// A directory with a foreign disk in it, and where it goes.
struct Ground {
    dir: TempDir,
    description: Description,
}

/// Namespaces need root, images their tools.
fn able() -> bool {
    let able =
        rustix::process::geteuid().is_root() && Command::new("qemu-img").arg("--version").output().is_ok();
    if !able {
        println!("SKIPPED: this needs root and qemu-img (package qemu-utils)");
    }
    able
}

fn qemu_img(words: &[&str], paths: &[&Path]) {
    let output = Command::new("qemu-img").args(words).args(paths).output().expect("qemu-img runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Ground {
    /// The foreign disk in this format, 4 MiB of which the second is not empty.
    fn new(format: &str) -> Self {
        // Not below /tmp, which converters have to themselves; a checkout may lie there.
        let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20..2 << 20].fill(0x5a);
        fs::write(at("disk.raw"), bytes).expect("written");
        let source = at(&format!("disk.{format}"));
        if format != "raw" {
            let driver = if format == "vhd" { "vpc" } else { format };
            qemu_img(&["convert", "-f", "raw", "-O", driver], &[&at("disk.raw"), &source]);
        }
        let text = format!(
            "[import]\nname = \"legacy\"\nmemory_mib = 64\nvcpus = 1\naccelerator = \"tcg\"\nconversion_limit = \"5s\"\n\
             [[disk]]\ntarget = \"vda\"\nsource = {source:?}\npath = {:?}\n",
            at("legacy.qcow2")
        );
        let written: Written = toml::from_str(&text).expect("understood");
        let description = written.try_into().expect("good");
        Self { dir, description }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn image(&self) -> PathBuf {
        image(&self.at("legacy.qcow2"))
    }

    fn copy(&self) -> Result<Vec<DiskFigures>, CopyError> {
        let mut figures = Vec::new();
        copy::copy(&self.description.disks[0], &self.image(), &LEASH, &mut |event| {
            if let drover_host_agent::convert::Event::Copying(one) = event {
                figures.push(one);
            }
        })?;
        Ok(figures)
    }

    fn place(&self) -> Workplace {
        Workplace::open(self.dir.path(), &self.description.name).expect("it can be used")
    }

    fn convert(&self, script: &str) -> Result<Found, FixesError> {
        let converter = self.at("converter");
        fs::write(&converter, format!("#!/bin/sh\nset -e\n{script}\n")).expect("written");
        fs::set_permissions(&converter, fs::Permissions::from_mode(0o755)).expect("made a program");
        fixes::convert(&self.description, &converter, &self.place(), &LEASH, &mut |_| {})
    }

    fn merge(&self) {
        fixes::merge(&self.description.disks, &LEASH).expect("merged");
    }

    /// The byte that a guest would read at the beginning of its disk.
    fn first_byte(&self) -> u8 {
        let raw = self.at("read.raw");
        qemu_img(&["convert", "-f", "qcow2", "-O", "raw"], &[&self.image(), &raw]);
        fs::read(raw).expect("read")[0]
    }

    /// Nothing of the conversion is left, and the copy is what the source is.
    fn assert_untouched(&self) {
        let same = ["compare", "-f", "raw", "-F", "qcow2"];
        qemu_img(&same, &[&self.at("disk.raw"), &self.image()]);
        assert!(!overlay(&self.at("legacy.qcow2")).exists(), "an overlay is left");
        assert!(!self.at("imports/legacy/tmp").exists(), "the converter's /tmp is left");
    }
}

#[test]
fn disks_of_every_format_are_copied_with_their_progress_and_nobody_else_may_read_them() {
    if !able() {
        return;
    }
    for format in ["vmdk", "vhdx", "qcow2", "raw"] {
        let ground = Ground::new(format);
        // A file of an earlier try, and longer.
        fs::write(ground.image(), vec![1; 8 << 20]).expect("written");
        let figures = ground.copy().expect("copied");
        let (first, last) = (&figures[0], &figures[figures.len() - 1]);
        assert_eq!((first.done_bytes, last.done_bytes, last.total_bytes), (0, 4 << 20, 4 << 20), "{format}");
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2"], &[&ground.at("disk.raw"), &ground.image()]);
        let mode = fs::metadata(ground.image()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{format}");
        copy::check_room(&ground.description.disks, &LEASH).expect("four megabytes fit");
    }
}

#[test]
fn a_vhd_keeps_its_content_in_the_size_that_its_geometry_gives_it() {
    if !able() {
        return;
    }
    let ground = Ground::new("vhd");
    let figures = ground.copy().expect("copied");
    assert!(figures[0].total_bytes >= 4 << 20, "{figures:?}");
    // VHD rounds up to whole cylinders: the larger one ends with zeroes.
    qemu_img(&["compare", "-f", "raw", "-F", "qcow2"], &[&ground.at("disk.raw"), &ground.image()]);
}

#[test]
fn a_source_that_leads_elsewhere_or_is_not_what_it_is_said_to_be_is_refused_and_leaves_nothing() {
    if !able() {
        return;
    }
    let ground = Ground::new("qcow2");
    let source = ground.at("disk.qcow2");
    fs::remove_file(&source).expect("removed");
    let backing = ground.at("disk.raw");
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b"], &[&backing, &source]);
    assert!(matches!(ground.copy(), Err(CopyError::Chain { .. })));
    fs::write(&source, "no image").expect("written");
    let refused = ground.copy().expect_err("refused").to_string();
    assert!(refused.contains("disk.qcow2") && refused.contains("format"), "{refused}");
    fs::remove_file(&source).expect("removed");
    assert!(ground.copy().expect_err("refused").to_string().contains("No such file"));
    assert!(!ground.image().exists(), "a part of a copy is left");
}

#[test]
fn what_a_conversion_writes_is_in_the_image_when_it_is_merged_and_merging_may_be_repeated() {
    if !able() {
        return;
    }
    let ground = Ground::new("vmdk");
    ground.copy().expect("copied");
    let report = ground.convert(&format!("{WRITE}\n{WELL}")).expect("it did well");
    assert_eq!((report.virtio, report.warnings.len()), (Virtio::Installed, 0));
    assert_eq!(ground.first_byte(), 0, "it is in the image before it was merged");
    ground.merge();
    assert_eq!(ground.first_byte(), 0x46);
    ground.merge();
    assert_eq!(ground.first_byte(), 0x46);
    fixes::remove_overlays(&ground.description.disks).expect("removed");
    fixes::remove_overlays(&ground.description.disks).expect("nothing to remove");
}

#[test]
fn a_conversion_that_fails_after_it_has_written_leaves_the_image_as_it_was() {
    if !able() {
        return;
    }
    let ground = Ground::new("vmdk");
    ground.copy().expect("copied");
    let error = r#"echo '{ "message": "virt-v2v is unable to convert this guest type (bsd/openbsd)", "type": "error" }' >&2"#;
    let Err(FixesError::Failed(failed)) = ground.convert(&format!("{WRITE}\n{error}\nexit 1")) else {
        panic!("it failed");
    };
    assert_eq!(failed.why, Why::Unsupported);
    ground.assert_untouched();
    ground.convert(&format!("{WRITE}\n{WELL}")).expect("the next try does well");
}

#[test]
fn a_conversion_that_hangs_is_ended_with_what_it_started_when_its_time_is_up() {
    if !able() {
        return;
    }
    let ground = Ground::new("vmdk");
    ground.copy().expect("copied");
    let Err(FixesError::Failed(failed)) = ground.convert(&format!("{WRITE}\n{WELL}\nsetsid sleep 86462.5"))
    else {
        panic!("it was ended");
    };
    assert!(matches!(failed.why, Why::OutOfTime(_)), "{failed}");
    assert!(failed.to_string().contains("conversion_limit"), "{failed}");
    ground.assert_untouched();
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    assert!(!lines.any(|line| String::from_utf8_lossy(&line).contains("86462.5")), "it goes on");
}
