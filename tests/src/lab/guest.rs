//! Guests: a disk, a definition, a start; and whether their disks hold what they acknowledged.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use drover_lab_guest::{RECORD, Reading};
use serde::{Deserialize, Serialize};

use super::collector::COLLECTOR_PORT;
use super::host::{Host, LOCAL_STORAGE, SHARED_STORAGE};
use super::image::{Flavour, Image, PACKED_KERNEL};
use super::network::{EVENTS_ADDRESS, EVENTS_BRIDGE};
use super::process::run;
use super::state::{LabState, MOST_GUESTS, RegistryLock, check_name};

/// MiB of a guest's disk if nobody says otherwise; the file is sparse.
const DISK_MIB: u32 = 64;

/// How many records the ring has room for: an hour of beats.
const RING_RECORDS: usize = 65_536;

/// The empty disk of this size, which every guest's is a copy of.
fn blank_disk(image: &Image, mib: u32) -> PathBuf {
    image.dir().join(format!("blank-{mib}.raw"))
}

/// What is asked of [`super::Lab::add_guest`].
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// The guest's name in libvirt: lower-case letters, digits, dashes.
    pub name: String,
    /// The host it starts on: h1, h2 and so on.
    pub host: String,
    /// Its memory; the kernel itself needs about 80 MiB, what it dirties comes on top.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// The CPU model it is shown; one that every host can emulate.
    pub cpu_model: String,
    /// Where its disk lies.
    pub disk: DiskPlace,
    /// The form of its disk.
    pub format: DiskFormat,
    /// The form of its second disk, which lies beside the first; none for a guest with one disk.
    pub second: Option<DiskFormat>,
    /// MiB of each disk.
    pub disk_mib: u32,
    /// What it writes on its first disk beside its numbers.
    pub load: DiskLoad,
    /// XML to be put into its `<metadata>`, as it is.
    pub metadata: String,
    /// XML to be put into its `<devices>`, as it is.
    pub extra_devices: String,
    /// MiB of memory that it writes into again and again; 0 for none.
    pub dirty_mib: u32,
    /// The pause between two rounds through that memory, in ms.
    pub dirty_pause_ms: u32,
    /// The pause between two numbers, in ms. Each costs about 2.5 ms of a core. The downtime is measured more finely than
    /// that, as the guest's clock stands still together with it.
    pub beat_ms: u32,
    /// Whether the real qemu-guest-agent runs in it.
    pub agent: bool,
    /// Whether it does not hear its power button.
    pub ignore_acpi: bool,
    /// Whether it asks its host's agent for its events.
    pub events: Events,
    /// What it offers to others.
    pub service: Option<Service>,
    /// What it is booted by.
    pub firmware: Firmware,
    /// Whether libvirtd starts it when it starts itself.
    pub autostart: bool,
    /// Whether it is started now, or only defined.
    pub start: bool,
}

/// A port of a guest that answers HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The port, at every address of the guest.
    pub port: u16,
    /// It answers in its first so many boots only; 0 for all of them.
    pub boots: u32,
    /// One more address of the guest, with the length of its prefix.
    pub also_at: Option<(Ipv4Addr, u8)>,
}

/// What a guest is booted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU's own, which keeps nothing.
    Bios,
    /// UEFI, which keeps variables in a file beside its disks, with a TPM, which has a state of its own.
    UefiWithTpm,
}

impl Firmware {
    const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

    /// What is missing for guests that keep something, in words for whoever wants to run the test; none if nothing is.
    #[must_use]
    pub fn lacks() -> Option<String> {
        let needed =
            [(Self::CODE, "ovmf"), ("/usr/bin/swtpm", "swtpm"), ("/usr/bin/swtpm_setup", "swtpm-tools")];
        let missing = needed.iter().find(|(file, _)| !Path::new(file).exists());
        missing.map(|(file, package)| {
            format!("{file} is missing (package {package}); tests/lab/install.sh installs it where it can")
        })
    }

    /// What the definition says of it in `<os>`, and among the devices.
    fn elements(self, name: &str) -> (String, &'static str) {
        match self {
            Self::Bios => (String::new(), ""),
            Self::UefiWithTpm => (
                format!(
                    "<loader readonly='yes' type='pflash'>{}</loader>
    <nvram template='{}'>/var/lib/libvirt/qemu/nvram/{name}_VARS.fd</nvram>",
                    Self::CODE,
                    Self::VARIABLES
                ),
                "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
            ),
        }
    }
}

/// What a guest does with its events. All but the first have an interface of their own for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// Nothing: it has no way to ask.
    Nothing,
    /// It could ask and does not.
    Silent,
    /// It asks every second and prints what has changed.
    Reads,
    /// It also says that it is ready for every event that it sees.
    Acknowledges,
    /// It asks as another guest: with the Ethernet address of that one.
    PretendsToBe(String),
}

impl Events {
    fn word(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Silent => "nothing",
            Self::Reads | Self::PretendsToBe(_) => "reads",
            Self::Acknowledges => "acknowledges",
        }
    }
}

/// Noise that a guest writes at places that change, in blocks of 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLoad {
    /// MiB of the file that it writes into; 0 for no load.
    pub mib: u32,
    /// How fast; 0 for as fast as the disk takes it.
    pub kib_per_second: u32,
}

/// Where a disk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskPlace {
    /// Where all hosts see it.
    Shared,
    /// Where only its host sees it.
    Local,
}

/// The form of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFormat {
    /// The bytes as they are.
    Raw,
    /// QEMU's own form.
    Qcow2,
}

impl DiskFormat {
    /// As QEMU calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl GuestSpec {
    /// A small guest on shared storage that hears its power button.
    #[must_use]
    pub fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            memory_mib: 96,
            vcpus: 1,
            cpu_model: "qemu64".to_owned(),
            disk: DiskPlace::Shared,
            format: DiskFormat::Raw,
            second: None,
            disk_mib: DISK_MIB,
            load: DiskLoad { mib: 0, kib_per_second: 0 },
            metadata: String::new(),
            extra_devices: String::new(),
            dirty_mib: 0,
            dirty_pause_ms: 20,
            beat_ms: 100,
            agent: false,
            ignore_acpi: false,
            events: Events::Nothing,
            service: None,
            firmware: Firmware::Bios,
            autostart: false,
            start: true,
        }
    }

    /// The same with so much memory that it changes all the time; its own memory grows by as much.
    #[must_use]
    pub fn dirtying(mut self, mib: u32) -> Self {
        self.memory_mib += mib;
        self.dirty_mib = mib;
        self
    }
}

/// A guest of the lab, wherever it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Guest {
    /// Its name in libvirt.
    pub name: String,
    /// Its UUID in libvirt.
    pub uuid: String,
    /// The MAC address of its only interface.
    pub mac: String,
    /// Its address in the lab's network.
    pub ip: Ipv4Addr,
    /// Where its disk lies.
    pub disk: DiskPlace,
    /// The form of its disk.
    pub format: DiskFormat,
    /// The form of its second disk, if it has one.
    pub second: Option<DiskFormat>,
}

/// One disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// What the guest knows it by: `vda`.
    pub target: &'static str,
    /// Its path as the hosts see it.
    pub path: String,
    /// Its form.
    pub format: DiskFormat,
}

impl Guest {
    /// The Ethernet address of its interface for events, if it has one.
    #[must_use]
    pub fn events_mac(&self) -> String {
        self.mac.replacen(":d7:", ":d8:", 1)
    }

    /// The address of that interface.
    fn events_ip(&self) -> Ipv4Addr {
        let [_, _, lab, guest] = self.ip.octets();
        Ipv4Addr::new(169, 254, lab, guest)
    }

    /// The path of its first disk as the hosts see it.
    #[must_use]
    pub fn disk_path(&self) -> String {
        self.path_of("", self.format)
    }

    /// All of its disks.
    #[must_use]
    pub fn disks(&self) -> Vec<GuestDisk> {
        let first = GuestDisk { target: "vda", path: self.disk_path(), format: self.format };
        let second = self.second.map(|format| GuestDisk {
            target: "vdb",
            path: self.path_of("-more", format),
            format,
        });
        std::iter::once(first).chain(second).collect()
    }

    fn path_of(&self, suffix: &str, format: DiskFormat) -> String {
        let dir = match self.disk {
            DiskPlace::Shared => SHARED_STORAGE,
            DiskPlace::Local => LOCAL_STORAGE,
        };
        format!("{dir}/{}{suffix}.{}", self.name, format.word())
    }

    /// Its console's path as the hosts see it; on shared storage, so that the text goes on after a migration.
    #[must_use]
    pub fn console_path(&self) -> String {
        format!("{SHARED_STORAGE}/console/{}.log", self.name)
    }

    /// All guests on record, in the order in which they were added.
    pub(super) fn all(state: &LabState) -> Result<Vec<Self>> {
        let mut guests: Vec<Self> = Vec::new();
        let Ok(entries) = fs::read_dir(records(state)) else { return Ok(guests) };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                guests.push(
                    serde_json::from_slice(&fs::read(&path)?)
                        .with_context(|| format!("{} is damaged", path.display()))?,
                );
            }
        }
        guests.sort_by_key(|guest| guest.ip);
        Ok(guests)
    }

    /// Takes all guests from the record, their disks on shared storage included. No host may know them any more.
    pub(super) fn forget_all(state: &LabState) -> Result<()> {
        for guest in Self::all(state)? {
            for disk in guest.disks().iter().filter_map(|disk| disk.path.strip_prefix(SHARED_STORAGE)) {
                fs::remove_file(state.shared_dir().join(disk.trim_start_matches('/')))?;
            }
            fs::remove_file(records(state).join(format!("{}.json", guest.name)))?;
        }
        Ok(())
    }

    /// Gives a new guest its address and writes it down.
    fn register(state: &LabState, spec: &GuestSpec) -> Result<Self> {
        check_name("guest name", &spec.name)?;
        let _lock = RegistryLock::take()?;
        fs::create_dir_all(records(state))?;
        let others = Self::all(state)?;
        ensure!(
            !others.iter().any(|guest| guest.name == spec.name),
            "there is a guest {} already",
            spec.name
        );
        let number = (1..=MOST_GUESTS)
            .filter_map(|number| u8::try_from(number).ok())
            .find(|number| !others.iter().any(|guest| guest.ip == state.address(100 + number)))
            .with_context(|| format!("a lab has at most {MOST_GUESTS} guests"))?;
        let guest = Self {
            name: spec.name.clone(),
            uuid: format!("90e57000-{:04x}-4000-8000-{:012x}", state.index, next_serial(state)?),
            mac: format!("52:54:00:d7:{:02x}:{number:02x}", state.index),
            ip: state.address(100 + number),
            disk: spec.disk,
            format: spec.format,
            second: spec.second,
        };
        fs::write(records(state).join(format!("{}.json", guest.name)), serde_json::to_vec_pretty(&guest)?)?;
        Ok(guest)
    }
}

/// Counts a lab's guests: an address is given again when its guest was forgotten, a UUID never.
fn next_serial(state: &LabState) -> Result<u64> {
    let file = records(state).join("serial");
    let last: u64 = fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    fs::write(&file, (last + 1).to_string())?;
    Ok(last + 1)
}

fn records(state: &LabState) -> PathBuf {
    state.dir.join("guests")
}

/// Makes a guest's disk, defines it on its host and starts it. Does not wait until it has booted.
pub(super) fn add(state: &LabState, image: &Image, host: &Host, spec: &GuestSpec) -> Result<Guest> {
    let guest = Guest::register(state, spec)?;
    make_blank_disk(image, spec.disk_mib)?;
    for disk in guest.disks() {
        make_disk(&blank_disk(image, spec.disk_mib), &disk, &host.inside(&disk.path))?;
    }
    let xml = records(state).join(format!("{}.xml", guest.name));
    fs::write(&xml, definition(state, image, &guest, spec))?;
    host.virsh(["define".as_ref(), xml.as_os_str()])?.ok()?;
    if spec.autostart {
        host.virsh(["autostart", &guest.name])?.ok()?;
    }
    if spec.start {
        host.virsh(["start", &guest.name])?.ok()?;
    }
    Ok(guest)
}

/// Makes the disk that all others of its size are copies of, unless it is there: an ext4 with the ring in it, all of the
/// ring's blocks written, so that the guest's writes change nothing but them.
pub(super) fn make_blank_disk(image: &Image, mib: u32) -> Result<()> {
    let path = blank_disk(image, mib);
    // Guests are made several at once.
    let lock = fs::File::create(image.dir().join("blank.lock"))?;
    lock.lock()?;
    if path.exists() {
        return Ok(());
    }
    let content = tempfile::tempdir()?;
    let mut ring = fs::File::create(content.path().join("ring"))?;
    ring.write_all(&vec![b'\n'; RECORD * RING_RECORDS])?;
    let draft = path.with_extension("draft");
    fs::File::create(&draft)?.set_len(u64::from(mib) << 20)?;
    run(Command::new("mkfs.ext4")
        .args(["-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d"])
        .args([content.path(), &draft]))?;
    fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn make_disk(blank: &Path, disk: &GuestDisk, path: &Path) -> Result<()> {
    run(Command::new("qemu-img").args(["convert", "-f", "raw", "-O", disk.format.word()]).args([blank, path]))
        .map(drop)
}

/// The definition as libvirt wants it.
fn definition(state: &LabState, image: &Image, guest: &Guest, spec: &GuestSpec) -> String {
    let (kernel, initramfs) = image.file_names(if spec.agent { Flavour::WithAgent } else { Flavour::Plain });
    let flag = |on: bool| u8::from(on);
    let (events, events_interface) = events_of(guest, &spec.events);
    // The clock and the timer that QEMU gives itself: the others are measured against it at boot, and on a busy machine a
    // guest was seen whose second then lasted a fifth of one. Nor is it tried at boot whether that timer ticks: where the guest
    // gets no processor for long enough the kernel takes it for a broken one, and hangs. The last two save time: there is nothing to be
    // protected or tested.
    let kernel_line = format!(
        "console=ttyS0 quiet panic=1 clocksource=hpet nolapic_timer no_timer_check mitigations=off cryptomgr.notests \
         drover.name={} drover.ip={}/24 drover.gateway={} drover.collector={}:{COLLECTOR_PORT} drover.beat_ms={} \
         drover.dirty_mib={} drover.dirty_pause_ms={} drover.load_mib={} drover.load_kib_s={} drover.agent={} drover.ignore_acpi={}{events}{}",
        guest.name,
        guest.ip,
        state.address(1),
        state.address(1),
        spec.beat_ms,
        spec.dirty_mib,
        spec.dirty_pause_ms,
        spec.load.mib,
        spec.load.kib_per_second,
        flag(spec.agent),
        flag(spec.ignore_acpi),
        spec.service.as_ref().map(service_of).unwrap_or_default(),
    );
    let (firmware, tpm) = spec.firmware.elements(&guest.name);
    let kernel = match spec.firmware {
        Firmware::Bios => kernel,
        Firmware::UefiWithTpm => PACKED_KERNEL,
    };
    let agent = if spec.agent {
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    } else {
        ""
    };
    format!(
        "<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    {firmware}
    <kernel>{SHARED_STORAGE}/image/{kernel}</kernel>
    <initrd>{SHARED_STORAGE}/image/{initramfs}</initrd>
    <cmdline>{kernel_line}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{cpu}</model></cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    {disks}
    <interface type='bridge'>
      <mac address='{mac}'/><source bridge='br0'/><model type='virtio'/><rom enabled='no'/>
    </interface>
    {events_interface}
    <serial type='file'><source path='{console}' append='on'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {agent}
    {tpm}
    {extra}
  </devices>
</domain>
",
        name = guest.name,
        uuid = guest.uuid,
        metadata = spec.metadata,
        memory = spec.memory_mib,
        vcpus = spec.vcpus,
        cpu = spec.cpu_model,
        disks = guest.disks().iter().map(disk_element).collect::<String>(),
        mac = guest.mac,
        console = guest.console_path(),
        extra = spec.extra_devices,
    )
}

fn disk_element(disk: &GuestDisk) -> String {
    format!(
        "<disk type='file' device='disk'>
      <driver name='qemu' type='{}' cache='none'/>
      <source file='{}'/>
      <target dev='{}' bus='virtio'/>
    </disk>
    ",
        disk.format.word(),
        disk.path,
        disk.target
    )
}

/// What the kernel's line says of a service.
fn service_of(service: &Service) -> String {
    let also = service.also_at.map(|(ip, prefix)| format!(" drover.also_ip={ip}/{prefix}"));
    format!(
        " drover.service={} drover.service_boots={}{}",
        service.port,
        service.boots,
        also.unwrap_or_default()
    )
}

/// What the kernel's line says of events, and the interface for them.
fn events_of(guest: &Guest, events: &Events) -> (String, String) {
    if *events == Events::Nothing {
        return (String::new(), String::new());
    }
    let mut line = format!(
        " drover.events={} drover.events_from={EVENTS_ADDRESS}:80 drover.events_ip={}/16",
        events.word(),
        guest.events_ip()
    );
    if let Events::PretendsToBe(mac) = events {
        line += &format!(" drover.events_mac={mac}");
    }
    let interface = format!(
        "<interface type='bridge'>
      <mac address='{}'/><source bridge='{EVENTS_BRIDGE}'/><model type='virtio'/><rom enabled='no'/>
    </interface>",
        guest.events_mac()
    );
    (line, interface)
}

/// What the ring on a disk holds. Sound also while the guest runs: the ring's blocks never move, QEMU writes past the
/// page cache, and a number is acknowledged only after the guest's disk has it.
///
/// # Errors
/// If the image can't be read, or has no ring.
pub fn ring_on_disk(path: &Path, format: DiskFormat) -> Result<Reading> {
    let scratch = tempfile::tempdir()?;
    let raw = match format {
        DiskFormat::Raw => path.to_owned(),
        DiskFormat::Qcow2 => {
            let raw = scratch.path().join("raw");
            run(Command::new("qemu-img")
                .args(["convert", "-U", "-f", "qcow2", "-O", "raw"])
                .args([path, &raw]))?;
            raw
        }
    };
    let ring = scratch.path().join("ring");
    run(Command::new("debugfs").arg("-R").arg(format!("dump /ring {}", ring.display())).arg(&raw))?;
    let bytes = fs::read(&ring).with_context(|| format!("{} holds no ring", path.display()))?;
    Ok(drover_lab_guest::read(&bytes))
}

/// Which of the acknowledged numbers a disk should hold and does not. A number whose place in the ring was taken by a
/// later one is not missing.
pub(super) fn lost(acknowledged: &[(u64, u64)], on_disk: &[u64]) -> Vec<u64> {
    let there: std::collections::HashSet<u64> = on_disk.iter().copied().collect();
    let newest = on_disk.iter().copied().max().unwrap_or(0);
    let oldest = (newest + 1).saturating_sub(RING_RECORDS as u64);
    acknowledged
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .filter(|number| *number >= oldest && !there.contains(number))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_number_that_is_not_on_the_disk_is_lost() {
        assert_eq!(lost(&[(1, 3), (5, 6)], &[1, 2, 3, 4, 5]), [6]);
        assert_eq!(lost(&[(1, 2)], &[]), [1, 2]);
        assert!(lost(&[(1, 3)], &[1, 2, 3, 4]).is_empty());
    }

    #[test]
    fn a_number_overwritten_by_a_later_round_of_the_ring_is_not_lost() {
        let newest = RING_RECORDS as u64 + 2;
        let on_disk: Vec<u64> = (3..=newest).collect();
        assert!(lost(&[(1, newest)], &on_disk).is_empty());
    }
}
