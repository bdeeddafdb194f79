//! What `qemu-img` says of an image on this host, the images that it makes, and the bitmaps that it removes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use drover_policies::attempt::FailureClass;
use drover_policies::replica::{ImageFormat, ReplicaDisk};
use serde::Deserialize;

use super::domain::Unfit;
use super::failed;
use crate::hypervisor::Answer;

/// An image, as far as rounds want to know it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Image {
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: Option<bool>,
    #[serde(default)]
    format_specific: Option<Specific>,
}

#[derive(Debug, Default, Deserialize)]
struct Specific {
    data: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Data {
    #[serde(default)]
    compat: Option<String>,
    #[serde(default)]
    data_file: Option<String>,
    #[serde(default)]
    bitmaps: Vec<Bitmap>,
}

#[derive(Debug, Deserialize)]
struct Bitmap {
    name: String,
}

impl Image {
    /// Looks at a disk's image. It may be in use.
    pub(super) fn read(disk: &ReplicaDisk) -> Answer<Self> {
        let mut command = qemu_img();
        command
            .args(["info", "--force-share", "--output=json", "-f"])
            .arg(disk.format.to_string())
            .arg(&disk.source);
        let said = run(command, &disk.source)?;
        serde_json::from_slice(&said).map_err(|error| {
            failed(
                FailureClass::Unexpected,
                format!("qemu-img's answer about {}: {error}", disk.source.display()),
            )
        })
    }

    /// What libvirt's description does not show.
    pub(super) fn fit(&self, disk: &ReplicaDisk) -> Result<(), Unfit> {
        let target = || disk.target.clone();
        if self.backing_filename.is_some() {
            return Err(Unfit::Backing(target()));
        }
        if self.encrypted == Some(true) {
            return Err(Unfit::Encrypted(target()));
        }
        let Some(Specific { data }) = &self.format_specific else { return Ok(()) };
        if data.data_file.is_some() {
            return Err(Unfit::DataFile(target()));
        }
        match (disk.format, data.compat.as_deref()) {
            (ImageFormat::Qcow2, Some("0.10")) => Err(Unfit::Old(target())),
            (ImageFormat::Qcow2 | ImageFormat::Raw, _) => Ok(()),
        }
    }

    /// Names of the bitmaps that are kept in it.
    pub(super) fn bitmaps(&self) -> impl Iterator<Item = &str> {
        self.format_specific
            .iter()
            .flat_map(|specific| &specific.data.bitmaps)
            .map(|bitmap| bitmap.name.as_str())
    }
}

/// What a disk takes on this host, in bytes: about what a first copy of it will take. 0 when that can't be seen.
pub(super) fn allocated(disk: &ReplicaDisk) -> u64 {
    const BLOCK: u64 = 512;
    fs::metadata(&disk.source).map_or(0, |file| file.blocks() * BLOCK)
}

/// Removes a bitmap from an image that nobody uses.
pub(super) fn remove_bitmap(image: &Path, bitmap: &str) -> Answer<()> {
    let mut command = qemu_img();
    command.args(["bitmap", "--remove", "-f", "qcow2"]).arg(image).arg(bitmap);
    run(command, image).map(drop)
}

/// Makes an empty image, over one that may lie there.
pub(super) fn create(image: &Path, virtual_bytes: u64) -> Answer<()> {
    let mut command = qemu_img();
    command.args(["create", "-q", "-f", "qcow2"]).arg(image).arg(virtual_bytes.to_string());
    run(command, image).map(drop)
}

fn qemu_img() -> Command {
    let mut command = Command::new("qemu-img");
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

fn run(mut command: Command, path: &Path) -> Answer<Vec<u8>> {
    let output = command.output().map_err(|error| {
        failed(
            FailureClass::Unexpected,
            format!("qemu-img can't be run ({error}); is the package qemu-utils installed?"),
        )
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(FailureClass::RefusedBySource, format!("qemu-img and {}: {said}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_img_says_is_understood() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let make = |words: &[&str], name: &str| {
            let done =
                Command::new("qemu-img").args(words).arg(path(name)).arg("1M").stdout(Stdio::null()).status();
            assert!(done.expect("qemu-img runs").success());
        };
        let disk = |name: &str, format| ReplicaDisk {
            target: "vda".to_owned(),
            source: path(name),
            path: path(name),
            format,
            becomes: None,
            virtual_bytes: 1 << 20,
        };
        let base = path("plain").display().to_string();
        make(&["create", "-q", "-f", "qcow2"], "plain");
        make(&["create", "-q", "-f", "raw"], "raw");
        make(&["create", "-q", "-f", "qcow2", "-o", "compat=0.10"], "old");
        make(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &base], "layer");
        make(
            &["create", "-q", "-f", "qcow2", "-o", &format!("data_file={}", path("data").display())],
            "outside",
        );
        let fit = |name: &str, format| {
            let disk = disk(name, format);
            Image::read(&disk).expect("read").fit(&disk)
        };
        assert_eq!(fit("plain", ImageFormat::Qcow2), Ok(()));
        assert_eq!(fit("raw", ImageFormat::Raw), Ok(()));
        assert_eq!(fit("old", ImageFormat::Qcow2), Err(Unfit::Old("vda".to_owned())));
        assert_eq!(fit("layer", ImageFormat::Qcow2), Err(Unfit::Backing("vda".to_owned())));
        assert_eq!(fit("outside", ImageFormat::Qcow2), Err(Unfit::DataFile("vda".to_owned())));

        let plain = disk("plain", ImageFormat::Qcow2);
        let added =
            Command::new("qemu-img").args(["bitmap", "--add"]).arg(&plain.source).arg("drover-1-1").status();
        assert!(added.expect("qemu-img runs").success());
        assert_eq!(Image::read(&plain).expect("read").bitmaps().collect::<Vec<_>>(), ["drover-1-1"]);
        remove_bitmap(&plain.source, "drover-1-1").expect("removed");
        assert_eq!(Image::read(&plain).expect("read").bitmaps().count(), 0);

        remove_bitmap(&plain.source, "drover-1-1").expect_err("there is none");
        create(&disk("raw", ImageFormat::Qcow2).source, 1 << 20).expect("made over the other");
        assert_eq!(fit("raw", ImageFormat::Qcow2), Ok(()));
    }
}
