//! The `[replication]` table: whether this host takes and sends replicas, and where it may put them.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Component, Path, PathBuf};

use drover_policies::fleet::{CertificateDigest, LocalStorage, Replication};
use drover_policies::ids::HostName;
use serde::Deserialize;

use crate::config::ConfigError;

/// The table as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicationFile {
    /// An address of this host with a port; nothing for no replicas.
    pub listen: Option<String>,
    /// How other hosts' agents reach it.
    pub reached_by: Option<String>,
    /// Where disks may be put.
    pub directories: Vec<PathBuf>,
    /// Where QEMU keeps what a guest overwrites while a round reads it.
    pub scratch: Option<PathBuf>,
    /// The most that this host sends for all of its replicas, in bytes per second; 0 for no limit.
    pub bandwidth: Option<u64>,
}

/// Room is told by steps of so many bytes: a log file that grows is no news.
const TOLD_BY: u64 = 256 << 20;

/// How this host takes and sends replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the agent listens for others.
    pub listen: SocketAddr,
    /// Where others reach it: address and port.
    pub reached_by: String,
    /// Where disks may be put.
    pub directories: Vec<PathBuf>,
    /// Where QEMU keeps what a guest overwrites while a round reads it.
    pub scratch: PathBuf,
    /// The most that this host sends for all of its replicas, in bytes per second; nothing for no limit.
    pub bandwidth: Option<NonZeroU64>,
    /// Where libvirt keeps the variables of UEFI.
    pub nvram: PathBuf,
    /// Where libvirt keeps the states of TPMs, each in a directory by the server's uuid.
    pub swtpm: PathBuf,
}

impl Config {
    /// What the scheduler is told of this host. A directory that can't be looked at has no room.
    #[must_use]
    pub fn facts(&self, certificate: &CertificateDigest) -> Replication {
        let directories = self.directories.iter().map(|path| {
            let room = room(path).unwrap_or_else(|error| {
                tracing::warn!("{}: its room can't be read: {error}", path.display());
                Room::default()
            });
            let free_bytes = room.free_bytes / TOLD_BY * TOLD_BY;
            LocalStorage { path: path.clone(), total_bytes: room.total_bytes, free_bytes }
        });
        Replication {
            address: self.reached_by.clone(),
            certificate: certificate.clone(),
            directories: directories.collect(),
        }
    }
}

/// What a file system has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    pub(super) total_bytes: u64,
    /// For root.
    pub(super) free_bytes: u64,
}

pub(super) fn room(path: &Path) -> std::io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Room { total_bytes: bytes(found.f_blocks), free_bytes: bytes(found.f_bfree) })
}

/// Checks the table and fills in what has a default. Nothing when this host is to have no part in replicas.
///
/// # Errors
/// When something is missing or can't be right.
pub(crate) fn complete(given: ReplicationFile, host: &HostName) -> Result<Option<Config>, ConfigError> {
    let Some(listen) = given.listen else {
        return if given == ReplicationFile::default() {
            Ok(None)
        } else {
            Err(ConfigError::Missing {
                key: "replication.listen",
                advice: "set it, for example listen = \"0.0.0.0:16520\", or leave out the whole [replication]",
            })
        };
    };
    let listen = address(listen)?;
    if given.directories.is_empty() {
        return Err(ConfigError::Missing {
            key: "replication.directories",
            advice: "name the directories for disks: directories = [\"/var/lib/libvirt/images\"]",
        });
    }
    given.directories.iter().try_for_each(|path| directory(path))?;
    Ok(Some(Config {
        reached_by: reached_by(given.reached_by, listen, host)?,
        listen,
        directories: given.directories,
        scratch: scratch(given.scratch)?,
        bandwidth: given.bandwidth.and_then(NonZeroU64::new),
        nvram: PathBuf::from("/var/lib/libvirt/qemu/nvram"),
        swtpm: PathBuf::from("/var/lib/libvirt/swtpm"),
    }))
}

fn wrong(key: &'static str, given: impl ToString, advice: &'static str) -> ConfigError {
    ConfigError::Wrong { key, given: given.to_string(), advice }
}

fn address(given: String) -> Result<SocketAddr, ConfigError> {
    const ADVICE: &str =
        "write an address of this host and a port, for example \"0.0.0.0:16520\" or \"[::]:16520\"";
    match given.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 && !address.ip().is_multicast() => Ok(address),
        Ok(_) | Err(_) => Err(wrong("replication.listen", given, ADVICE)),
    }
}

fn reached_by(given: Option<String>, listen: SocketAddr, host: &HostName) -> Result<String, ConfigError> {
    const ADVICE: &str = "it is used on other hosts: write a name or an address of this one, and a port, for example \"h2.example:16520\"";
    let Some(given) = given else {
        return Ok(if listen.ip().is_unspecified() {
            format!("{host}:{}", listen.port())
        } else {
            listen.to_string()
        });
    };
    let is_usable = match given.parse::<SocketAddr>() {
        Ok(address) => address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast(),
        Err(_) => given.rsplit_once(':').is_some_and(|(name, port)| {
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_');
            is_name && port.parse::<u16>().is_ok_and(|port| port != 0)
        }),
    };
    if is_usable { Ok(given) } else { Err(wrong("replication.reached_by", given, ADVICE)) }
}

fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn directory(path: &Path) -> Result<(), ConfigError> {
    const KEY: &str = "replication.directories";
    if !is_plain(path) {
        let advice = "write the whole path, beginning with a slash and without \"..\", as it stands in the domains' disks";
        return Err(wrong(KEY, path.display(), advice));
    }
    if !path.is_dir() {
        return Err(wrong(
            KEY,
            path.display(),
            "there is no such directory on this host: make it, mount it, or correct its path",
        ));
    }
    Ok(())
}

fn scratch(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    // Not below the agent's own directory, which QEMU's user must not enter.
    let path = given.unwrap_or_else(|| PathBuf::from("/var/lib/libvirt/drover-scratch"));
    if is_plain(&path) {
        Ok(path)
    } else {
        Err(wrong(
            "replication.scratch",
            path.display(),
            "write the whole path, beginning with a slash and without \"..\"",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ReplicationFile)) -> Result<Option<Config>, ConfigError> {
        let mut file = ReplicationFile {
            listen: Some("0.0.0.0:16520".to_owned()),
            directories: vec![PathBuf::from("/")],
            ..ReplicationFile::default()
        };
        change(&mut file);
        complete(file, &HostName::new("h2").expect("a name"))
    }

    fn reached(listen: &str, reached_by: Option<&str>) -> Result<String, ConfigError> {
        let found = with(|file| {
            file.listen = Some(listen.to_owned());
            file.reached_by = reached_by.map(str::to_owned);
        });
        found.map(|config| config.expect("set").reached_by)
    }

    #[test]
    fn without_a_table_there_are_no_replicas_and_half_a_table_is_an_error() {
        let host = HostName::new("h2").expect("a name");
        let none = complete(ReplicationFile::default(), &host);
        assert_eq!(none.expect("right"), None);
        let error = with(|file| file.listen = None).expect_err("refused");
        assert!(error.to_string().starts_with("replication.listen is not set"), "{error}");
        let error = with(|file| file.directories.clear()).expect_err("refused");
        assert!(error.to_string().starts_with("replication.directories is not set"), "{error}");
    }

    #[test]
    fn others_reach_it_by_what_is_said_or_the_address_or_the_name() {
        assert_eq!(reached("0.0.0.0:16520", None).expect("right"), "h2:16520");
        assert_eq!(reached("10.0.0.2:7", None).expect("right"), "10.0.0.2:7");
        assert_eq!(reached("[::]:7", Some("h2.example:8")).expect("right"), "h2.example:8");
        assert_eq!(reached("[::]:7", Some("[fd00::2]:8")).expect("right"), "[fd00::2]:8");
        for bad in ["h2.example", "h2:0", "0.0.0.0:7", ":7", "h2:port", "h 2:7", "http://h2:7"] {
            let error = reached("0.0.0.0:7", Some(bad)).expect_err(bad);
            assert!(error.to_string().contains("replication.reached_by"), "{error}");
        }
        for bad in ["16520", "h2:16520", "0.0.0.0:0", "224.0.0.1:7"] {
            assert!(reached(bad, None).expect_err(bad).to_string().contains("replication.listen"));
        }
    }

    #[test]
    fn directories_are_whole_paths_that_exist() {
        for bad in ["images", "/proc/../etc", "/there/is/no/such"] {
            let error = with(|file| file.directories = vec![bad.into()]).expect_err(bad);
            assert!(error.to_string().contains("replication.directories"), "{error}");
        }
        let error = with(|file| file.scratch = Some("scratch".into())).expect_err("relative");
        assert!(error.to_string().contains("replication.scratch"), "{error}");
        let config = with(|file| file.bandwidth = Some(0)).expect("right").expect("set");
        assert_eq!(
            (config.bandwidth, config.scratch.to_str()),
            (None, Some("/var/lib/libvirt/drover-scratch"))
        );
        let facts = config.facts(&CertificateDigest("ab".to_owned()));
        let [root] = facts.directories.as_slice() else { panic!("one directory: {facts:?}") };
        assert!(root.total_bytes > 0 && root.free_bytes <= root.total_bytes, "{root:?}");
    }
}
