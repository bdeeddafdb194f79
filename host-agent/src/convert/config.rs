//! The `[import]` table: from where this host may import, and where the images may go.
//!
//! What is imported is said by whoever may operate the scheduler, and carried out by root here. So the paths that may be read, and those
//! that may be written, are this host's own to say.

use std::path::{Path, PathBuf};

use drover_policies::import::{Description, Source};
use serde::Deserialize;

use crate::config::ConfigError;

/// The table as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportFile {
    /// Directories from which images may be read; none for no imports.
    pub sources: Vec<PathBuf>,
}

/// From where this host may import, and where the images may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directories from which images, and sockets of NBD exports, may be read.
    pub sources: Vec<PathBuf>,
    /// Directories for disks.
    pub targets: Vec<PathBuf>,
}

/// A path that a description must not name here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {path}, which lies in none of the directories of this host for that ({allowed}); {advice}")]
pub struct Forbidden {
    key: String,
    path: PathBuf,
    allowed: String,
    advice: &'static str,
}

/// Checks the table. Nothing when there are no imports to this host.
///
/// # Errors
/// When something can't be right.
pub(crate) fn complete(
    given: ImportFile,
    replicas: &[PathBuf],
    shared: impl Iterator<Item = PathBuf>,
) -> Result<Option<Config>, ConfigError> {
    const KEY: &str = "import.sources";
    if let Some(path) = given.sources.iter().find(|path| !path.is_absolute() || !path.is_dir()) {
        let advice =
            "write the whole path of a directory of this host in which images to be imported are put";
        return Err(ConfigError::Wrong { key: KEY, given: path.display().to_string(), advice });
    }
    if given.sources.is_empty() {
        return Ok(None);
    }
    let targets: Vec<PathBuf> = replicas.iter().cloned().chain(shared).collect();
    if targets.is_empty() {
        return Err(ConfigError::Missing {
            key: "replication.directories",
            advice: "images that are imported go into these or into [[shared_storage]]; set one, or leave out [import]",
        });
    }
    Ok(Some(Config { sources: given.sources, targets }))
}

impl Config {
    /// The paths that a description names and must not.
    #[must_use]
    pub fn forbidden(&self, description: &Description) -> Vec<Forbidden> {
        let mut found = Vec::new();
        let mut look = |key: String, path: &Path, allowed: &[PathBuf], advice| {
            // What a link leads to counts, on both sides.
            let real = real(path);
            if !allowed.iter().any(|directory| real.starts_with(real_directory(directory))) {
                let allowed = allowed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
                found.push(Forbidden { key, path: path.to_owned(), allowed: allowed.join(", "), advice });
            }
        };
        for (number, disk) in description.disks.iter().enumerate() {
            let source = match &disk.source {
                Source::File { path, .. } => Some(path.as_path()),
                // Over the network there is nothing of this host to be read.
                Source::Nbd { uri } => uri.split_once("?socket=").map(|(_, path)| Path::new(path)),
            };
            if let Some(source) = source {
                let advice = "put it there, or add its directory to `[import] sources` of this host's agent";
                look(format!("disk[{number}].source"), source, &self.sources, advice);
            }
            let advice = "choose a path in one of them, or add one to `[replication] directories` of this host's agent";
            look(format!("disk[{number}].path"), &disk.path, &self.targets, advice);
        }
        if let Some(path) = &description.console_log
            && !path.starts_with(CONSOLES)
        {
            let advice = "libvirt keeps what consoles print there";
            let key = "import.console_log".to_owned();
            found.push(Forbidden { key, path: path.clone(), allowed: CONSOLES.to_owned(), advice });
        }
        found
    }
}

/// Where consoles' output may be kept.
const CONSOLES: &str = "/var/log/libvirt";

/// A path without links. Of one that is not there yet, its directory counts.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

fn real_directory(directory: &Path) -> PathBuf {
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::convert::described;

    fn describe(source: &str, path: &Path) -> Description {
        described(&format!(
            "[import]\nname = \"x\"\nmemory_mib = 64\nvcpus = 1\n[[disk]]\ntarget = \"vda\"\nsource = {source:?}\npath = {path:?}\n"
        ))
    }

    #[test]
    fn only_what_lies_in_the_directories_for_it_is_read_and_written() {
        let ground = tempfile::tempdir().expect("a directory");
        let (incoming, images) = (ground.path().join("in"), ground.path().join("images"));
        std::fs::create_dir(&incoming).expect("made");
        std::fs::create_dir(&images).expect("made");
        symlink("/etc", incoming.join("link")).expect("linked");
        let config = complete(
            ImportFile { sources: vec![incoming.clone()] },
            std::slice::from_ref(&images),
            std::iter::empty(),
        )
        .expect("right")
        .expect("imports");
        let keys = |source: &str, path: &Path| -> Vec<String> {
            config.forbidden(&describe(source, path)).into_iter().map(|one| one.key).collect()
        };
        let at = |name: &str| incoming.join(name).display().to_string();
        let good = images.join("x.qcow2");
        assert!(keys(&at("a.vmdk"), &good).is_empty());
        assert!(keys("nbd://old:10809/x", &good).is_empty());
        assert!(keys(&format!("nbd+unix:///x?socket={}", at("s")), &good).is_empty());
        assert_eq!(keys("/etc/shadow.raw", &good), ["disk[0].source"]);
        assert_eq!(keys(&at("link/shadow.raw"), &good), ["disk[0].source"], "a link leads elsewhere");
        assert_eq!(keys("nbd+unix:///x?socket=/run/qemu.sock", &good), ["disk[0].source"]);
        assert_eq!(keys(&at("a.vmdk"), Path::new("/etc/cron.d/x")), ["disk[0].path"]);
        let said = config.forbidden(&describe("/etc/shadow.raw", &good))[0].to_string();
        assert!(
            said.contains("[import] sources") && said.contains(&incoming.display().to_string()),
            "{said}"
        );
    }

    #[test]
    fn images_need_a_place_and_sources_are_directories() {
        let given = || ImportFile { sources: vec!["/tmp".into()] };
        let error = complete(given(), &[], std::iter::empty()).expect_err("nowhere to go").to_string();
        assert!(error.starts_with("replication.directories is not set"), "{error}");
        let lost = ImportFile { sources: vec!["/no/such/directory".into()] };
        let error = complete(lost, &[], std::iter::empty()).expect_err("no directory").to_string();
        assert!(error.starts_with("import.sources is "), "{error}");
        assert_eq!(complete(ImportFile::default(), &[], std::iter::empty()).expect("right"), None);
    }
}
