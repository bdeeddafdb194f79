//! The definition that an imported server gets here: from its description, and from what the conversion has found. Pure.

use std::fmt::Write as _;

use drover_policies::fleet::Plug;
use drover_policies::ids::ServerId;
use drover_policies::import::{Accelerator, Description, Firmware, Found, Network, SourceDisk, Virtio};

use super::copy::word;
use crate::metadata;

/// The devices by which a guest reaches its disks and networks.
#[derive(Debug, Clone, Copy)]
struct Hardware {
    machine: &'static str,
    bus: &'static str,
    /// How disks' names begin on that bus.
    prefix: &'static str,
    interface: &'static str,
}

/// For a guest with virtio drivers.
const FAST: Hardware = Hardware { machine: "q35", bus: "virtio", prefix: "vd", interface: "virtio" };

/// For one without: what every system of the last thirty years knows.
const OLD: Hardware = Hardware { machine: "pc", bus: "ide", prefix: "hd", interface: "e1000" };

/// For one without where the old one does not do.
const EMULATED: Hardware = Hardware { machine: "q35", bus: "sata", prefix: "sd", interface: "e1000" };

/// As many disks as the old machine can have.
const OLD_DISKS: usize = 4;

fn hardware(virtio: Virtio, firmware: Firmware, disks: usize) -> Hardware {
    match (virtio, firmware) {
        (Virtio::Installed, Firmware::Bios | Firmware::Uefi) => FAST,
        (Virtio::Missing, Firmware::Bios) if disks <= OLD_DISKS => OLD,
        // UEFI is there for the newer machine alone.
        (Virtio::Missing, Firmware::Bios | Firmware::Uefi) => EMULATED,
    }
}

/// As libvirt calls what runs a guest.
#[must_use]
pub fn domain_type(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "qemu",
    }
}

/// The definition of an imported server, as libvirt takes it.
#[must_use]
pub fn definition(description: &Description, id: ServerId, found: &Found) -> String {
    let firmware = found.firmware.unwrap_or(description.firmware);
    let hardware = hardware(found.virtio, firmware, description.disks.len());
    let disks: String = description.disks.iter().map(|one| disk(one, hardware)).collect();
    let networks: String = description.networks.iter().map(|one| interface(one, hardware)).collect();
    let random = match found.virtio {
        Virtio::Installed => "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
        Virtio::Missing => "",
    };
    format!(
        "<domain type='{kind}'>
  <name>{name}</name>
  <uuid>{id}</uuid>
  {metadata}
  <memory unit='b'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  {os}
  <features><acpi/><apic/></features>
  {cpu}
  <clock offset='{clock}'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    {disks}{networks}<serial type='pty'>{log}</serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' autoport='yes'/>
    <video><model type='vga'/></video>
    {random}
  </devices>
</domain>
",
        kind = domain_type(description.accelerator),
        name = description.name,
        metadata = said(description),
        memory = description.memory_bytes,
        vcpus = description.vcpus,
        os = os(firmware, hardware),
        cpu = cpu(description.accelerator),
        clock = clock(found),
        log = description.console_log.as_deref().map_or_else(String::new, |path| {
            format!("<log file='{}' append='on'/>", escape(&path.display().to_string()))
        }),
    )
}

/// Secure boot is off: what the conversion has built into the guest is not signed.
fn os(firmware: Firmware, Hardware { machine, .. }: Hardware) -> String {
    let (attribute, features) = match firmware {
        Firmware::Bios => ("", ""),
        Firmware::Uefi => {
            (" firmware='efi'", "<firmware><feature enabled='no' name='secure-boot'/></firmware>")
        }
    };
    format!(
        "<os{attribute}><type arch='x86_64' machine='{machine}'>hvm</type>{features}<boot dev='hd'/></os>"
    )
}

/// Not the host's own processor, or the server could never go live to another model.
fn cpu(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "<cpu mode='host-model'/>",
        Accelerator::Tcg => "",
    }
}

/// Windows keeps local time in its hardware clock.
fn clock(found: &Found) -> &'static str {
    let windows = found.system.as_ref().is_some_and(|system| system.contains("Windows"));
    if windows { "localtime" } else { "utc" }
}

/// What Drover reads of a server: the agent finds it in the definition, as it was described.
fn said(description: &Description) -> String {
    let mut inside = String::new();
    if let Some(owner) = &description.owner {
        let _ = write!(inside, "<d:owner>{}</d:owner>", escape(owner.as_str()));
    }
    for (name, value) in &description.labels {
        let _ = write!(inside, "<d:label name='{}'>{}</d:label>", escape(name), escape(value));
    }
    for (name, amount) in &description.resources {
        let _ = write!(inside, "<d:resource name='{}'>{amount}</d:resource>", escape(name));
    }
    format!("<metadata><d:server xmlns:d='{}'>{inside}</d:server></metadata>", metadata::NAMESPACE)
}

fn disk(disk: &SourceDisk, Hardware { bus, prefix, .. }: Hardware) -> String {
    let letter = disk.target.trim_start_matches("vd");
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{}' cache='none'/><source file='{}'/>\
         <target dev='{prefix}{letter}' bus='{bus}'/></disk>\n    ",
        word(disk.format),
        escape(&disk.path.display().to_string()),
    )
}

fn interface(network: &Network, hardware: Hardware) -> String {
    let (kind, source) = match &network.plug {
        Plug::Bridge(name) => ("bridge", name),
        Plug::Network(name) => ("network", name),
    };
    let mac = network.mac.map_or_else(String::new, |mac| format!("<mac address='{mac}'/>"));
    format!(
        "<interface type='{kind}'>{mac}<source {kind}='{}'/><model type='{}'/></interface>\n    ",
        escape(source),
        hardware.interface
    )
}

/// A text as it stands in XML, between elements or between single quotes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain_xml::{Storage, read};
    use crate::metadata::Imported;
    use drover_policies::fleet::{GuestAgent, GuestCpu};
    use roxmltree::Document;
    use uuid::Uuid;

    const DESCRIPTION: &str = r#"
[import]
name = "legacy"
owner = "a&b"
labels = { role = "db <old>" }
memory_mib = 512
vcpus = 2
console_log = "/var/log/legacy's.log"
[resources]
gpu-slots = 2
[[network]]
network = "default"
mac = "00:0c:29:3a:11:5e"
[[disk]]
target = "vda"
source = "/in/a.vmdk"
path = "/images/a.qcow2"
[[disk]]
target = "vdb"
source = "/in/b.vhd"
path = "/images/b.raw"
format = "raw"
"#;

    fn xml(found: &Found) -> String {
        let description = crate::convert::described(DESCRIPTION);
        definition(&description, ServerId(Uuid::from_u128(7)), found)
    }

    fn well() -> Found {
        Found { virtio: Virtio::Installed, ..Found::default() }
    }

    #[test]
    fn the_agent_finds_in_the_definition_what_the_description_said() {
        let facts =
            read(&xml(&well()), &Storage::default(), &Imported::default(), u64::MAX).expect("a domain");
        assert_eq!((facts.name.as_str(), facts.id), ("legacy", ServerId(Uuid::from_u128(7))));
        assert_eq!((facts.memory_bytes, facts.vcpus, facts.machine_type.as_str()), (512 << 20, 2, "q35"));
        assert_eq!(facts.said.owner.expect("an owner").as_str(), "a&b");
        assert_eq!(facts.said.labels.get("role").map(String::as_str), Some("db <old>"));
        assert_eq!(facts.said.resources, [("gpu-slots".to_owned(), 2)].into());
        assert_eq!(facts.console_file, Some("/var/log/legacy's.log".into()));
        assert_eq!((facts.cpu, facts.guest_agent), (GuestCpu::Default, GuestAgent::Disconnected));
        let disks: Vec<_> = facts
            .disks
            .iter()
            .map(|disk| (disk.target.as_str(), disk.source.as_str(), disk.format.as_str()))
            .collect();
        assert_eq!(disks, [("vda", "/images/a.qcow2", "qcow2"), ("vdb", "/images/b.raw", "raw")]);
        assert!(facts.blockers.is_empty(), "it can be moved on: {:?}", facts.blockers);
    }

    #[test]
    fn a_guest_without_virtio_drivers_gets_what_it_knows() {
        assert_eq!(hardware(Virtio::Missing, Firmware::Bios, 5).bus, "sata", "only four fit on the old bus");
        assert_eq!(hardware(Virtio::Missing, Firmware::Uefi, 1).machine, "q35");
        let text = xml(&Found::default());
        let document = Document::parse(&text).expect("XML");
        let values = |name: &str| -> Vec<String> {
            document.descendants().filter_map(|node| node.attribute(name)).map(str::to_owned).collect()
        };
        assert_eq!(
            (values("machine"), values("bus")[..2].to_vec()),
            (vec!["pc".to_owned()], vec!["ide".to_owned(); 2])
        );
        assert!(
            text.contains("dev='hda'") && text.contains("<model type='e1000'/>") && !text.contains("<rng")
        );
    }

    #[test]
    fn what_the_disks_say_of_the_firmware_goes_before_what_the_description_says() {
        let uefi = xml(&Found { firmware: Some(Firmware::Uefi), ..well() });
        assert!(uefi.contains("<os firmware='efi'>") && uefi.contains("secure-boot"));
        assert!(!xml(&well()).contains("efi"));
        let windows = xml(&Found { system: Some("Windows Server 2016".to_owned()), ..well() });
        assert!(windows.contains("offset='localtime'"));
    }
}
