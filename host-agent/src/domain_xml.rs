//! Facts of a server out of its domain XML. Pure: what only libvirt can say (power, sizes, jobs) is added by the caller.

use std::collections::BTreeSet;
use std::path::PathBuf;

use drover_policies::fleet::{Blocker, Disk, GuestAgent, GuestCpu, Plug, Reach};
use drover_policies::ids::ServerId;
use roxmltree::{Document, Node};

use crate::guest_events::identity::{Attached, Interface};
use crate::metadata::{self, Imported, Said};

/// QEMU from this version on can drop a file's cached pages, and libvirt then migrates with any cache mode.
const DROPS_CACHES: u64 = 4_000_000;

/// What is configured of this host that a disk's reach depends on.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    /// Paths that mean the same storage on every host: its name, the path here.
    pub shared: Vec<(String, PathBuf)>,
}

/// What one domain's XML says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFacts {
    /// The domain's uuid.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Memory in bytes, the maximum.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// `x86_64`, …
    pub arch: String,
    /// As pinned.
    pub machine_type: String,
    /// What the guest sees of the processor.
    pub cpu: GuestCpu,
    /// Its disks, without their sizes.
    pub disks: Vec<Disk>,
    /// What can be seen in the XML of what libvirt would refuse.
    pub blockers: Vec<Blocker>,
    /// The guest agent's channel.
    pub guest_agent: GuestAgent,
    /// What its network cards are plugged into.
    pub plugs: BTreeSet<Plug>,
    /// The file that keeps what its serial console prints.
    pub console_file: Option<PathBuf>,
    /// What metadata says.
    pub said: Said,
    /// What could not be understood in the metadata.
    pub warnings: Vec<String>,
}

/// Why a domain's XML is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadDomain {
    /// It is no XML.
    #[error("libvirt's description of a domain can't be read")]
    Xml(#[source] roxmltree::Error),
    /// Something is missing without which there is no server.
    #[error("libvirt's description of a domain has no usable <{0}>")]
    Missing(&'static str),
    /// Its memory comes in parts, of which some may be plugged in while it runs.
    #[error(
        "the definition has <maxMemory>, memory that is plugged in while it runs: its size can't be changed by a blueprint; leave memory_bytes out of it"
    )]
    HotPlugged,
    /// A local disk is not in it.
    #[error(
        "the definition has no disk {0} that is a file any more; it was changed meanwhile, and its copy is begun anew"
    )]
    NoDisk(String),
}

/// Reads a domain's XML.
///
/// # Errors
/// When it is no XML, or has no uuid or name.
pub fn read(xml: &str, storage: &Storage, imported: &Imported, qemu: u64) -> Result<DomainFacts, BadDomain> {
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let uuid = text(domain, "uuid").ok_or(BadDomain::Missing("uuid"))?;
    let id: ServerId = uuid.parse().map_err(|_| BadDomain::Missing("uuid"))?;
    let name = text(domain, "name").ok_or(BadDomain::Missing("name"))?.to_owned();
    let os = child(domain, "os").and_then(|os| child(os, "type"));
    let mut warnings = Vec::new();
    let mut warn = |text| warnings.push(text);
    let own = metadata::drover(domain, &mut warn);
    let said = own.or(imported.of(&id.to_string(), &name)).or(metadata::nova(domain, &mut warn));
    let devices: Vec<Node<'_, '_>> = child(domain, "devices")
        .into_iter()
        .flat_map(|devices| devices.children())
        .filter(Node::is_element)
        .collect();
    Ok(DomainFacts {
        id,
        name,
        memory_bytes: memory(domain),
        vcpus: text(domain, "vcpu").and_then(|vcpus| vcpus.parse().ok()).unwrap_or(1),
        arch: os.and_then(|os| os.attribute("arch")).unwrap_or_default().to_owned(),
        machine_type: os.and_then(|os| os.attribute("machine")).unwrap_or_default().to_owned(),
        cpu: cpu(domain),
        disks: named(&devices, "disk").filter_map(|disk| read_disk(disk, storage)).collect(),
        blockers: blockers(&devices, qemu),
        guest_agent: guest_agent(&devices),
        plugs: named(&devices, "interface").filter_map(plug).collect(),
        console_file: console_file(&devices),
        said,
        warnings,
    })
}

/// By what the guest of a running domain is recognised.
///
/// # Errors
/// When it is no XML, or has no uuid.
pub fn attached(xml: &str) -> Result<Attached, BadDomain> {
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let server = text(domain, "uuid").and_then(|uuid| uuid.parse().ok()).ok_or(BadDomain::Missing("uuid"))?;
    let devices = child(domain, "devices");
    let named = |name: &'static str| {
        devices
            .into_iter()
            .flat_map(|devices| devices.children())
            .filter(move |device| device.has_tag_name(name))
    };
    let of = |node: Node<'_, '_>, name: &str, word: &str| attribute(node, name, word).map(str::to_owned);
    let interfaces = named("interface").filter_map(|interface| {
        let mac = attribute(interface, "mac", "address")?.parse().ok()?;
        // For a network of libvirt's the running domain's description names the bridge, too.
        Some(Interface {
            mac,
            bridge: of(interface, "source", "bridge"),
            tap: of(interface, "target", "dev"),
        })
    });
    let cid = named("vsock").find_map(|vsock| attribute(vsock, "cid", "address")?.parse().ok());
    Ok(Attached { server, interfaces: interfaces.collect(), cid })
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

fn attribute<'a>(node: Node<'a, '_>, name: &str, attribute: &str) -> Option<&'a str> {
    child(node, name)?.attribute(attribute)
}

fn named<'a, 'i>(devices: &'a [Node<'a, 'i>], name: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    devices.iter().copied().filter(move |device| device.has_tag_name(name))
}

/// With memory that can be plugged in, `maxMemory` is only a bound; `memory` is what the guest has.
fn memory(domain: Node<'_, '_>) -> u64 {
    let Some(memory) = child(domain, "memory") else {
        return 0;
    };
    let number: u64 = memory.text().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let unit = match memory.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => 1 << 10,
    };
    number.saturating_mul(unit)
}

/// A guest that is emulated (`type='qemu'`) sees what the emulator makes up, whatever processor is below it. `host-model` of
/// a running domain is shown as the model it became; of one that is off it is worked out at its start, on whatever host.
///
/// Under plain emulation every model runs on every host of the architecture: what libvirt calls usable is said for hardware
/// virtualisation, where the node's own processor counts.
fn cpu(domain: Node<'_, '_>) -> GuestCpu {
    if domain.attribute("type") == Some("qemu") {
        return GuestCpu::Default;
    }
    let Some(cpu) = child(domain, "cpu") else {
        return GuestCpu::Default;
    };
    match (cpu.attribute("mode"), text(cpu, "model")) {
        (Some("host-passthrough"), _) => GuestCpu::HostPassthrough,
        (Some("maximum" | "host-model"), None) => GuestCpu::Default,
        (_, Some(model)) => GuestCpu::Model { name: model.to_owned() },
        (_, None) => GuestCpu::Default,
    }
}

fn read_disk(disk: Node<'_, '_>, storage: &Storage) -> Option<Disk> {
    let target = attribute(disk, "target", "dev")?.to_owned();
    let format = attribute(disk, "driver", "type").unwrap_or("raw").to_owned();
    let (source, reach) = match child(disk, "source") {
        None => (String::new(), Reach::Empty),
        Some(source) => read_source(disk.attribute("type").unwrap_or("file"), source, storage),
    };
    Some(Disk { target, source, format, virtual_bytes: None, allocated_bytes: None, reach })
}

fn read_source(kind: &str, source: Node<'_, '_>, storage: &Storage) -> (String, Reach) {
    let of = |name: &str| source.attribute(name).unwrap_or_default().to_owned();
    match kind {
        "network" => {
            let (protocol, name) = (of("protocol"), of("name"));
            let pool = name.split('/').next().unwrap_or_default();
            (format!("{protocol}:{name}"), Reach::Shared { storage: format!("{protocol}:{pool}") })
        }
        "volume" => {
            let path = format!("{}/{}", of("pool"), of("volume"));
            (path, Reach::Local)
        }
        _ => {
            let path = ["file", "dev", "dir"]
                .into_iter()
                .find_map(|name| source.attribute(name))
                .unwrap_or_default();
            if path.is_empty() {
                return (String::new(), Reach::Empty);
            }
            let shared = storage.shared.iter().find(|(_, root)| PathBuf::from(path).starts_with(root));
            let reach = match shared {
                Some((name, _)) => Reach::Shared { storage: name.clone() },
                None => Reach::Local,
            };
            (path.to_owned(), reach)
        }
    }
}

fn blockers(devices: &[Node<'_, '_>], qemu: u64) -> Vec<Blocker> {
    let host_devices =
        named(devices, "hostdev").map(|device| Blocker::HostDevice { device: host_device(device) });
    // An interface may hand a device of the host through as well.
    let interfaces =
        named(devices, "interface").filter(|interface| interface.attribute("type") == Some("hostdev"));
    let interfaces = interfaces.map(|device| Blocker::HostDevice { device: host_device(device) });
    let filesystems = named(devices, "filesystem").map(|filesystem| Blocker::SharedFilesystem {
        tag: attribute(filesystem, "target", "dir").unwrap_or("?").to_owned(),
    });
    let mirrors = named(devices, "disk")
        .filter(|disk| child(*disk, "mirror").is_some())
        .map(|disk| Blocker::BlockJob { disk: attribute(disk, "target", "dev").unwrap_or("?").to_owned() });
    let caches = named(devices, "disk").filter_map(|disk| unsafe_cache(disk, qemu));
    host_devices.chain(interfaces).chain(filesystems).chain(mirrors).chain(caches).collect()
}

fn host_device(device: Node<'_, '_>) -> String {
    let hex = |text: Option<&str>| text.unwrap_or("0x0").trim_start_matches("0x").to_owned();
    let kind = device.attribute("type").filter(|kind| *kind != "hostdev").unwrap_or("pci").to_owned();
    let Some(source) = child(device, "source") else {
        return kind;
    };
    if let (Some(vendor), Some(product)) =
        (attribute(source, "vendor", "id"), attribute(source, "product", "id"))
    {
        return format!("{kind} {}:{}", hex(Some(vendor)), hex(Some(product)));
    }
    match child(source, "address") {
        Some(address) => match address.attribute("uuid") {
            Some(uuid) => format!("{kind} {uuid}"),
            None if address.attribute("slot").is_some() => format!(
                "{kind} {:0>4}:{:0>2}:{:0>2}.{}",
                hex(address.attribute("domain")),
                hex(address.attribute("bus")),
                hex(address.attribute("slot")),
                hex(address.attribute("function"))
            ),
            None => kind,
        },
        None => kind,
    }
}

fn unsafe_cache(disk: Node<'_, '_>, qemu: u64) -> Option<Blocker> {
    if qemu >= DROPS_CACHES || disk.attribute("type") == Some("network") || child(disk, "source").is_none() {
        return None;
    }
    let cache = attribute(disk, "driver", "cache").unwrap_or("default");
    let safe = matches!(cache, "none" | "directsync") || child(disk, "readonly").is_some();
    (!safe).then(|| Blocker::UnsafeCache {
        disk: attribute(disk, "target", "dev").unwrap_or("?").to_owned(),
        cache: cache.to_owned(),
    })
}

fn plug(interface: Node<'_, '_>) -> Option<Plug> {
    let name = |word| attribute(interface, "source", word).map(str::to_owned);
    match interface.attribute("type")? {
        "network" => name("network").map(Plug::Network),
        "bridge" => name("bridge").map(Plug::Bridge),
        _ => None,
    }
}

fn guest_agent(devices: &[Node<'_, '_>]) -> GuestAgent {
    let mut channels = named(devices, "channel").filter_map(|channel| child(channel, "target"));
    let channel = channels.find(|target| target.attribute("name") == Some("org.qemu.guest_agent.0"));
    match channel.map(|target| target.attribute("state")) {
        None => GuestAgent::Absent,
        Some(Some("connected")) => GuestAgent::Connected,
        Some(_) => GuestAgent::Disconnected,
    }
}

/// Output kept in a file, either by a serial port of that type or by the log of one of another type.
fn console_file(devices: &[Node<'_, '_>]) -> Option<PathBuf> {
    let ports = named(devices, "serial").chain(named(devices, "console"));
    let file = |port: Node<'_, '_>| {
        let own = || {
            attribute(port, "source", "path")
                .filter(|_| port.attribute("type") == Some("file"))
                .map(PathBuf::from)
        };
        attribute(port, "log", "file").map(PathBuf::from).or_else(own)
    };
    ports.into_iter().find_map(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = r#"
<domain type='kvm' id='3'>
  <name>web-1</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata><d:server xmlns:d="https://drover.dev/xmlns/server/1"><d:owner>acme</d:owner></d:server></metadata>
  <maxMemory slots='16' unit='KiB'>8388608</maxMemory><memory unit='KiB'>4194304</memory><currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>
  <cpu mode='custom' match='exact'><model fallback='forbid'>Skylake-Server-IBRS</model></cpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='writeback'/><source file='/srv/pool/web-1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='vms/web-1-data'><host name='mon'/></source><target dev='vdb'/></disk>
    <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='/dev/vg/web'/><target dev='vdc'/><mirror type='file' job='copy'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='hostdev'><source><address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/></source></interface>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1d6b'/><product id='0x0002'/></source></hostdev>
    <filesystem type='mount'><source dir='/x'/><target dir='share'/></filesystem>
    <serial type='pty'><log file='/var/log/web-1.log' append='on'/><target port='0'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
  </devices>
</domain>"#;

    fn facts(xml: &str, qemu: u64) -> DomainFacts {
        let storage = Storage { shared: vec![("pool".into(), "/srv/pool".into())] };
        read(xml, &storage, &Imported::default(), qemu).expect("a domain")
    }

    #[test]
    fn a_server_is_read_whole() {
        let facts = facts(WEB, 10_000_002);
        assert_eq!((facts.name.as_str(), facts.memory_bytes, facts.vcpus), ("web-1", 4 << 30, 4));
        assert_eq!((facts.arch.as_str(), facts.machine_type.as_str()), ("x86_64", "pc-q35-10.0"));
        assert_eq!(facts.cpu, GuestCpu::Model { name: "Skylake-Server-IBRS".into() });
        assert_eq!(facts.guest_agent, GuestAgent::Connected);
        assert_eq!(facts.console_file, Some("/var/log/web-1.log".into()));
        assert_eq!(facts.said.owner.expect("an owner").as_str(), "acme");
    }

    #[test]
    fn a_running_domain_names_its_interfaces_with_bridge_and_tap_and_its_vsock_address() {
        let xml = "<domain id='3'><name>x</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><devices>
            <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/></interface>
            <interface type='network'><mac address='52:54:00:00:00:02'/>
              <source network='default' portid='5e' bridge='virbr0'/><target dev='vnet1'/></interface>
            <interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='eth0' mode='bridge'/><target dev='macvtap0'/></interface>
            <interface type='user'><mac address='nonsense'/></interface>
            <vsock model='virtio'><cid auto='yes' address='7'/></vsock></devices></domain>";
        let attached = attached(xml).expect("a domain");
        let told: Vec<_> = attached
            .interfaces
            .iter()
            .map(|one| (one.mac.to_string(), one.bridge.as_deref(), one.tap.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("52:54:00:00:00:01".to_owned(), Some("br0"), Some("vnet0")),
                ("52:54:00:00:00:02".to_owned(), Some("virbr0"), Some("vnet1")),
                ("52:54:00:00:00:03".to_owned(), None, Some("macvtap0")),
            ]
        );
        assert_eq!(attached.cid, Some(7));
        assert_eq!(super::attached(WEB).expect("a domain").interfaces, Vec::new());
    }

    #[test]
    fn a_disk_is_shared_local_or_empty() {
        let disks = facts(WEB, 10_000_002).disks;
        let reaches: Vec<_> = disks
            .iter()
            .map(|disk| (disk.target.as_str(), disk.source.as_str(), disk.reach.clone()))
            .collect();
        assert_eq!(
            reaches,
            [
                ("vda", "/srv/pool/web-1.qcow2", Reach::Shared { storage: "pool".into() }),
                ("vdb", "rbd:vms/web-1-data", Reach::Shared { storage: "rbd:vms".into() }),
                ("vdc", "/dev/vg/web", Reach::Local),
                ("sda", "", Reach::Empty),
            ]
        );
    }

    #[test]
    fn a_path_beside_the_shared_one_is_not_shared() {
        let xml = WEB.replace("/srv/pool/web-1.qcow2", "/srv/pool-2/web-1.qcow2");
        assert_eq!(facts(&xml, 10_000_002).disks[0].reach, Reach::Local);
    }

    #[test]
    fn what_libvirt_would_refuse_is_named() {
        let words: Vec<String> = facts(WEB, 10_000_002).blockers.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "host device usb 1d6b:0002 is handed through",
                "host device pci 0000:3b:02.1 is handed through",
                "host directory share is shared into the guest",
                "a block job runs on disk vdc",
            ]
        );
        assert!(
            facts(WEB, 3_001_000)
                .blockers
                .contains(&Blocker::UnsafeCache { disk: "vda".into(), cache: "writeback".into() }),
            "an old QEMU can't drop its cache"
        );
    }

    #[test]
    fn a_plain_domain_has_plain_facts() {
        let xml = "<domain><name>x</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><memory unit='MiB'>64</memory></domain>";
        let facts = facts(xml, 10_000_002);
        assert_eq!(
            (facts.memory_bytes, facts.cpu, facts.guest_agent),
            (64 << 20, GuestCpu::Default, GuestAgent::Absent)
        );
        assert_eq!(facts.said, Said::default());
    }

    #[test]
    fn an_emulated_processor_is_the_same_on_every_host() {
        assert_eq!(facts(&WEB.replace("type='kvm'", "type='qemu'"), 10_000_002).cpu, GuestCpu::Default);
    }

    #[test]
    fn a_host_s_own_processor_handed_through_is_told_apart() {
        let xml = WEB.replace(
            "<cpu mode='custom' match='exact'><model fallback='forbid'>Skylake-Server-IBRS</model></cpu>",
            "<cpu mode='host-passthrough'/>",
        );
        assert_eq!(facts(&xml, 10_000_002).cpu, GuestCpu::HostPassthrough);
    }
}
