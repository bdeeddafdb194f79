//! `qemu-img`: makes, enlarges and joins images. The format is always said and never looked for: what a guest wrote into a raw disk may look
//! like another format's head.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drover_policies::replica::ImageFormat;

use crate::durable::{DiskError, io_error};

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be run.
    #[error("{program} can't be run; is the package qemu-utils installed?")]
    Unrunnable {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has failed.
    #[error("{program} could not {what} {path}: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it was to do.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Its own words.
        said: String,
    },
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What an image is made like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'a> {
    pub(super) path: &'a Path,
    pub(super) format: ImageFormat,
}

impl Image<'_> {
    /// Makes it, empty, in the place of whatever has this name. It takes room only as it is written.
    pub(super) fn create(self, virtual_bytes: u64) -> Result<(), ToolError> {
        let mut command = qemu_img("create");
        command.arg("--quiet").arg("--format").arg(self.format.to_string());
        match self.format {
            ImageFormat::Qcow2 => {
                command.args(["-o", "compat=1.1,lazy_refcounts=off,preallocation=off"]);
            }
            ImageFormat::Raw => {
                command.args(["-o", "preallocation=off"]);
            }
        }
        command.arg(self.path).arg(virtual_bytes.to_string());
        run(command, "make", self.path)?;
        self.keep_private()
    }

    /// Makes a layer over it, into which is written in its stead.
    pub(super) fn create_overlay(self, overlay: &Path) -> Result<(), ToolError> {
        let mut command = qemu_img("create");
        command.args(["--quiet", "--format", "qcow2", "-o", "compat=1.1,lazy_refcounts=off"]);
        command.arg("-F").arg(self.format.to_string()).arg("-b").arg(self.path).arg(overlay);
        run(command, "make", overlay)?;
        Image { path: overlay, format: ImageFormat::Qcow2 }.keep_private()
    }

    /// Makes it larger; one of that size already stays as it is.
    pub(super) fn enlarge(self, virtual_bytes: u64) -> Result<(), ToolError> {
        let mut command = qemu_img("resize");
        command.arg("--quiet").arg("-f").arg(self.format.to_string());
        command.arg(self.path).arg(virtual_bytes.to_string());
        run(command, "enlarge", self.path).map(drop)
    }

    /// Its size as a guest sees it, in bytes.
    pub(super) fn virtual_bytes(self) -> Result<u64, ToolError> {
        let mut command = qemu_img("info");
        command.arg("--output=json").arg("-f").arg(self.format.to_string()).arg(self.path);
        let said = run(command, "look at", self.path)?;
        let size = serde_json::from_slice::<serde_json::Value>(&said)
            .ok()
            .and_then(|info| info.get("virtual-size").and_then(serde_json::Value::as_u64));
        size.ok_or_else(|| ToolError::Failed {
            program: "qemu-img",
            what: "look at",
            path: self.path.to_owned(),
            said: "its answer has no virtual-size".to_owned(),
        })
    }

    /// Disks hold what is nobody's business; libvirt gives them to QEMU's user itself.
    fn keep_private(self) -> Result<(), ToolError> {
        let private = fs::Permissions::from_mode(0o600);
        Ok(fs::set_permissions(self.path, private).map_err(io_error("restrict", self.path))?)
    }
}

/// Writes a layer into the image under it. May be repeated, also after it was cut off anywhere: the layer stays as it is.
pub(super) fn commit(overlay: &Path) -> Result<(), ToolError> {
    let mut command = qemu_img("commit");
    command.args(["-q", "-d", "-f", "qcow2"]).arg(overlay);
    run(command, "join", overlay).map(drop)
}

/// Unpacks a tar into a directory. Owners go by their names, which are the same on hosts where their numbers are not.
pub(super) fn unpack(tar: &[u8], directory: &Path) -> Result<(), ToolError> {
    use std::io::Write;
    let mut command = Command::new("tar");
    command.args(["--extract", "--file=-", "--directory"]).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let unrunnable = |source| ToolError::Unrunnable { program: "tar", source };
    let mut child = command.spawn().map_err(unrunnable)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that stops reading says why when it ends.
        let _ = stdin.write_all(tar);
    }
    let output = child.wait_with_output().map_err(unrunnable)?;
    judge("tar", "unpack into", directory, output).map(drop)
}

fn qemu_img(verb: &str) -> Command {
    let mut command = Command::new("qemu-img");
    command.arg(verb).stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

fn run(mut command: Command, what: &'static str, path: &Path) -> Result<Vec<u8>, ToolError> {
    let output = command.output().map_err(|source| ToolError::Unrunnable { program: "qemu-img", source })?;
    judge("qemu-img", what, path, output)
}

fn judge(
    program: &'static str,
    what: &'static str,
    path: &Path,
    output: std::process::Output,
) -> Result<Vec<u8>, ToolError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(ToolError::Failed { program, what, path: path.to_owned(), said })
}
