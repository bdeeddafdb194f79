//! The agent's configuration: a TOML file, and flags that go before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use drover_policies::fleet::{Labels, RESOURCE_NAME, Resources, is_resource_name};
use drover_policies::ids::{BadName, HostName};
use serde::Deserialize;

use crate::certificates::OF_LIBVIRT;
use crate::convert::{self, config::ImportFile};
use crate::domain_xml::Storage;
use crate::guest_events::{self, Place};
use crate::hooks;
use crate::hooks::config::{HookFile, Hooks};
use crate::hypervisor::libvirt::{ConsoleHeartbeat, Encryption, HostConfig};
use crate::metadata::Imported;
use crate::replica;
use crate::replica::config::ReplicationFile;

/// The file as it is written. Everything may be missing here: flags may say it instead.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// This host's name.
    pub host: Option<String>,
    /// The scheduler's address.
    pub scheduler: Option<String>,
    /// The file that holds this agent's token.
    pub token_file: Option<PathBuf>,
    /// A certificate authority to trust for the scheduler, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the agent keeps its ledger.
    pub data_dir: Option<PathBuf>,
    /// The widest circle in which servers may be moved.
    pub cluster: Option<String>,
    /// Free words on this host.
    #[serde(default)]
    pub labels: Labels,
    /// What this host has a number of, by name.
    #[serde(default)]
    pub resources: Resources,
    /// Memory that servers may not have, in MiB.
    pub reserve_memory_mib: Option<u64>,
    /// A file that says whose servers are.
    pub servers_file: Option<PathBuf>,
    /// Whether a console that prints counts as a sign of life.
    pub console_heartbeat: Option<bool>,
    /// libvirt.
    #[serde(default)]
    pub libvirt: LibvirtFile,
    /// Storage that other hosts have as well.
    #[serde(default)]
    pub shared_storage: Vec<SharedStorage>,
    /// Where guests are served their own events.
    #[serde(default)]
    pub guest_events: GuestEventsFile,
    /// Replicas of local disks.
    #[serde(default)]
    pub replication: ReplicationFile,
    /// Programs that a maintenance may have run here, by name.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookFile>,
    /// Imports of servers of other kinds of hypervisors.
    #[serde(default)]
    pub import: ImportFile,
}

/// The `[guest_events]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestEventsFile {
    /// Addresses with ports, which this host has on each of the bridges.
    pub listen: Vec<String>,
    /// Bridges that guests are plugged into.
    pub bridges: Vec<String>,
    /// The port for guests with a vsock device.
    pub vsock_port: Option<u32>,
}

/// The `[libvirt]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibvirtFile {
    /// How this agent reaches libvirt.
    pub uri: Option<String>,
    /// How other hosts' libvirt reaches this one's.
    pub reached_by: Option<String>,
    /// The address of the migration network.
    pub migration_address: Option<String>,
    /// Whether memory is sent encrypted.
    pub migration_tls: Option<bool>,
    /// Files with the certificates by which this host's libvirt is known to others.
    pub certificates: Option<Vec<PathBuf>>,
}

/// One `[[shared_storage]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedStorage {
    /// The storage's name, the same on every host that has it.
    pub name: String,
    /// Where it is here.
    pub path: PathBuf,
}

/// The configuration, complete.
#[derive(Debug, Clone)]
pub struct Config {
    /// This host, for the hypervisor's port.
    pub host: HostConfig,
    /// The scheduler's address, without a slash at its end.
    pub scheduler: String,
    /// The file that holds this agent's token.
    pub token_file: PathBuf,
    /// A certificate authority to trust.
    pub ca_file: Option<PathBuf>,
    /// Where the ledger is.
    pub data_dir: PathBuf,
    /// Where guests are served their own events; nothing when they are not.
    pub guest_events: Option<guest_events::Config>,
    /// How this host takes and sends replicas of local disks; nothing when it does not.
    pub replication: Option<replica::config::Config>,
    /// Programs that a maintenance may have run here.
    pub hooks: Hooks,
    /// From where this host may import; nothing when it may not.
    pub import: Option<convert::config::Config>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not as it should be; the reason says where.
    #[error("{path} is not as it should be")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Something is not said.
    #[error("{key} is not set; {advice}")]
    Missing {
        /// What.
        key: &'static str,
        /// What would be right.
        advice: &'static str,
    },
    /// Something is said wrongly.
    #[error("{key} is {given:?}; {advice}")]
    Wrong {
        /// What.
        key: &'static str,
        /// What was said.
        given: String,
        /// What would be right.
        advice: &'static str,
    },
    /// A hook is not configured as it should be.
    #[error("[hooks.{hook}]: {why}")]
    Hook {
        /// Which.
        hook: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The host's name can't be used.
    #[error("host can't be used as a name")]
    Name(#[source] BadName),
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or holds something that is not known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        Self::parse(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// When it holds something that is not known.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Checks it and fills in what has a default.
    ///
    /// # Errors
    /// When something is missing that has none, or can't be right.
    pub fn complete(self) -> Result<Config, ConfigError> {
        let host = self.host.ok_or(ConfigError::Missing {
            key: "host",
            advice: "set it to the name that operators use for this hypervisor, for example host = \"h1\"",
        })?;
        let name = HostName::new(host).map_err(ConfigError::Name)?;
        let scheduler = scheduler(self.scheduler)?;
        let token_file = self.token_file.ok_or(ConfigError::Missing {
            key: "token_file",
            advice: "set it to a file that holds the token which the scheduler gave for this host",
        })?;
        if let Some(given) = self.resources.keys().find(|name| !is_resource_name(name)) {
            let given = given.clone();
            return Err(ConfigError::Wrong { key: "resources", given, advice: RESOURCE_NAME });
        }
        let own_uri = self.libvirt.uri.unwrap_or_else(|| "qemu:///system".to_owned());
        let libvirt_uri = reached_by(self.libvirt.reached_by, &name)?;
        let host = HostConfig {
            cluster: self.cluster.unwrap_or_else(|| "default".to_owned()),
            labels: self.labels,
            resources: self.resources,
            own_uri,
            libvirt_uri,
            migration_address: self.libvirt.migration_address,
            reserve_memory: self.reserve_memory_mib.unwrap_or(1024) << 20,
            storage: storage(self.shared_storage)?,
            imported: imported(self.servers_file.as_deref())?,
            encryption: match self.libvirt.migration_tls {
                Some(true) => Encryption::Tls,
                Some(false) | None => Encryption::None,
            },
            console: match self.console_heartbeat {
                Some(true) | None => ConsoleHeartbeat::Counts,
                Some(false) => ConsoleHeartbeat::Ignored,
            },
            certificates: certificates(self.libvirt.certificates)?,
            name,
        };
        let data_dir = self.data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/drover-agent"));
        let guest_events = guest_events(&self.guest_events)?;
        let replication = replica::config::complete(self.replication, &host.name)?;
        let hooks = hooks::config::complete(self.hooks)?;
        let directories = replication.as_ref().map_or(&[][..], |replication| &replication.directories);
        let shared = host.storage.shared.iter().map(|(_, path)| path.clone());
        let import = convert::config::complete(self.import, directories, shared)?;
        Ok(Config {
            host,
            scheduler,
            token_file,
            ca_file: self.ca_file,
            data_dir,
            guest_events,
            replication,
            import,
            hooks,
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Those that are named have to be there; of libvirt's own places those count that are.
fn certificates(given: Option<Vec<PathBuf>>) -> Result<Vec<PathBuf>, ConfigError> {
    let Some(files) = given else { return Ok(OF_LIBVIRT.map(PathBuf::from).to_vec()) };
    for file in &files {
        read(file)?;
    }
    Ok(files)
}

fn scheduler(given: Option<String>) -> Result<String, ConfigError> {
    const ADVICE: &str =
        "set it to the scheduler's address, for example scheduler = \"https://drover.example:8443\"";
    let given = given.ok_or(ConfigError::Missing { key: "scheduler", advice: ADVICE })?;
    if given.starts_with("http://") || given.starts_with("https://") {
        Ok(given.trim_end_matches('/').to_owned())
    } else {
        Err(ConfigError::Wrong { key: "scheduler", given, advice: ADVICE })
    }
}

fn reached_by(given: Option<String>, name: &HostName) -> Result<String, ConfigError> {
    let given = given.unwrap_or_else(|| format!("qemu+tls://{name}/system"));
    let elsewhere = given.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/'));
    if elsewhere {
        Ok(given)
    } else {
        Err(ConfigError::Wrong {
            key: "libvirt.reached_by",
            given,
            advice: "it is used on other hosts, so it must name this one, for example \"qemu+tls://h1.example/system\"",
        })
    }
}

fn guest_events(given: &GuestEventsFile) -> Result<Option<guest_events::Config>, ConfigError> {
    let wrong = |key: &'static str, given: &str, advice: &'static str| ConfigError::Wrong {
        key,
        given: given.to_owned(),
        advice,
    };
    if given.listen.is_empty() != given.bridges.is_empty() {
        let (key, advice) = if given.listen.is_empty() {
            (
                "guest_events.listen",
                "say which address guests ask on these bridges: listen = [\"169.254.169.254:80\"]",
            )
        } else {
            (
                "guest_events.bridges",
                "name the bridges that guests are plugged into, for only they are listened on: bridges = [\"br0\"]",
            )
        };
        return Err(ConfigError::Missing { key, advice });
    }
    let mut places = Vec::new();
    for text in &given.listen {
        const ADVICE: &str =
            "write an IPv4 address of this host and a port, for example \"169.254.169.254:80\"";
        let address: SocketAddrV4 = text.parse().map_err(|_| wrong("guest_events.listen", text, ADVICE))?;
        if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
            return Err(wrong("guest_events.listen", text, ADVICE));
        }
        for bridge in &given.bridges {
            // As the kernel names devices; anything else would lead elsewhere in its files.
            let is_name = !bridge.is_empty()
                && bridge.len() < 16
                && !bridge.starts_with('.')
                && bridge.chars().all(|c| c.is_ascii_graphic() && c != '/');
            if !is_name {
                let advice = "write the bridge's name as `ip link` shows it, for example \"br0\"";
                return Err(wrong("guest_events.bridges", bridge, advice));
            }
            places.push(Place { address, bridge: bridge.clone() });
        }
    }
    if given.vsock_port.is_some_and(|port| port == 0 || port == u32::MAX) {
        let advice = "write a port between 1 and 4294967294, for example 80";
        let given = given.vsock_port.map(|port| port.to_string()).unwrap_or_default();
        return Err(wrong("guest_events.vsock_port", &given, advice));
    }
    let serves = !places.is_empty() || given.vsock_port.is_some();
    Ok(serves.then_some(guest_events::Config { places, vsock_port: given.vsock_port }))
}

fn storage(given: Vec<SharedStorage>) -> Result<Storage, ConfigError> {
    let mut names = BTreeSet::new();
    for storage in &given {
        if !storage.path.is_absolute() {
            return Err(ConfigError::Wrong {
                key: "shared_storage.path",
                given: storage.path.display().to_string(),
                advice: "write the whole path, beginning with a slash, as it stands in the domains' disks",
            });
        }
        if !names.insert(storage.name.clone()) {
            return Err(ConfigError::Wrong {
                key: "shared_storage.name",
                given: storage.name.clone(),
                advice: "it is there twice; give each storage its own name",
            });
        }
    }
    Ok(Storage { shared: given.into_iter().map(|storage| (storage.name, storage.path)).collect() })
}

fn imported(path: Option<&Path>) -> Result<Imported, ConfigError> {
    let Some(path) = path else {
        return Ok(Imported::default());
    };
    let text = read(path)?;
    Imported::parse(&text)
        .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_is_complete_and_names_every_setting() {
        let text = include_str!("../agent.example.toml");
        let file = File::parse(text).expect("the example is understood");
        let config = File { servers_file: None, ..file.clone() }.complete().expect("the example is complete");
        assert_eq!(config.host.name.as_str(), "h1");
        for key in [
            "host",
            "scheduler",
            "token_file",
            "ca_file",
            "data_dir",
            "cluster",
            "labels",
            "reserve_memory_mib",
            "servers_file",
            "console_heartbeat",
            "uri",
            "reached_by",
            "migration_address",
            "migration_tls",
            "certificates",
            "shared_storage",
            "path",
            "guest_events",
            "listen",
            "bridges",
            "vsock_port",
            "replication",
            "directories",
            "scratch",
            "bandwidth",
            "hooks.maintain",
            "run",
            "limit",
            "import",
            "sources",
        ] {
            assert!(text.contains(key), "{key} is not in the example");
        }
    }

    #[test]
    fn every_setting_that_the_example_comments_out_is_understood_as_well() {
        let bare: String = include_str!("../agent.example.toml")
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let file = File::parse(&bare).expect("understood");
        assert!(
            file.ca_file.is_some() && file.libvirt.migration_address.is_some() && file.servers_file.is_some()
        );
        assert!(file.replication.scratch.is_some() && file.replication.bandwidth.is_some());
        assert_eq!(file.hooks.keys().collect::<Vec<_>>(), ["health", "maintain"]);
        let events = guest_events(&file.guest_events).expect("right").expect("served");
        assert_eq!((events.places.len(), events.vsock_port), (1, Some(80)));
    }

    #[test]
    fn guests_are_served_on_every_address_of_every_bridge_or_not_at_all() {
        let of = |listen: &[&str], bridges: &[&str], vsock_port| {
            let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
            guest_events(&GuestEventsFile { listen: texts(listen), bridges: texts(bridges), vsock_port })
        };
        assert_eq!(of(&[], &[], None).expect("right"), None);
        let served = of(&["169.254.169.254:80"], &["br0", "br1"], None).expect("right").expect("served");
        assert_eq!(
            served.places.iter().map(|place| place.bridge.as_str()).collect::<Vec<_>>(),
            ["br0", "br1"]
        );
        let why = |refused: Result<_, ConfigError>| {
            refused.map(|_: Option<_>| ()).expect_err("refused").to_string()
        };
        assert!(why(of(&["169.254.169.254:80"], &[], None)).contains("bridges = [\"br0\"]"));
        assert!(why(of(&[], &["br0"], None)).contains("listen = ["));
        for address in
            ["169.254.169.254", "[fe80::1]:80", "0.0.0.0:80", "224.0.0.1:80", "169.254.169.254:0", ""]
        {
            assert!(why(of(&[address], &["br0"], None)).contains("guest_events.listen"), "{address}");
        }
        for bridge in ["", "..", "br0/../eth0", "a-name-that-is-too-long", "br 0"] {
            assert!(
                why(of(&["169.254.169.254:80"], &[bridge], None)).contains("guest_events.bridges"),
                "{bridge}"
            );
        }
        assert!(why(of(&[], &[], Some(0))).contains("guest_events.vsock_port"));
    }

    #[test]
    fn a_misspelt_key_is_refused_by_its_name() {
        let error =
            File::parse("host = \"h1\"\nschedular = \"https://x\"\n").expect_err("refused").to_string();
        assert!(error.contains("schedular") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        let error = File::default().complete().expect_err("refused").to_string();
        assert!(error.starts_with("host is not set; ") && error.contains("host = \"h1\""), "{error}");
    }

    #[test]
    fn a_certificate_that_is_named_and_not_there_is_refused() {
        assert_eq!(certificates(None).expect("libvirt's own"), OF_LIBVIRT.map(PathBuf::from));
        let error = certificates(Some(vec!["/no/such/cert.pem".into()])).expect_err("refused").to_string();
        assert!(error.contains("/no/such/cert.pem"), "{error}");
    }

    #[test]
    fn an_address_that_only_this_host_understands_is_refused() {
        let file = File {
            host: Some("h1".into()),
            scheduler: Some("https://d".into()),
            token_file: Some("/t".into()),
            libvirt: LibvirtFile { reached_by: Some("qemu:///system".into()), ..LibvirtFile::default() },
            ..File::default()
        };
        let error = file.complete().expect_err("refused").to_string();
        assert!(error.contains("libvirt.reached_by") && error.contains("other hosts"), "{error}");
    }
}
