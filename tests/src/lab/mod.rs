//! Several real hypervisors on one machine: a libvirtd each, in namespaces of its own, with real QEMU guests.
//!
//! Used by `make demo`, by the lab tests and, by hand, through `drover-lab`. The calls block; a test on tokio wraps
//! them in `spawn_blocking`. Needs root, and the packages that `tests/lab/install.sh` installs; [`unable`] says why a
//! machine cannot have a lab.
//!
//! What comes from whom: [`Lab`] makes and removes; [`Host`] is one hypervisor and the faults that it can suffer;
//! [`GuestSpec`] describes a guest; [`Collector`] hears what guests acknowledge and how long they were away;
//! [`Watcher`] sees that nothing runs twice; [`Witness`] sees what guests begin with.

mod certificates;
pub mod cleanup;
pub mod collector;
pub mod foreign;
pub mod guest;
pub mod host;
pub mod image;
pub mod network;
pub mod process;
pub mod state;
pub mod watcher;
pub mod witness;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use collector::COLLECTOR_PORT;
pub use collector::{Collector, Heard};
pub use guest::{
    DiskFormat, DiskLoad, DiskPlace, Events, Firmware, Guest, GuestDisk, GuestSpec, Service, ring_on_disk,
};
pub use host::{Ballast, Host, LIBVIRT_PORT, LOCAL_STORAGE, SHARED_STORAGE, Said};
use image::Image;
pub use network::{EVENTS_ADDRESS, EVENTS_BRIDGE};
use process::ProcessId;
pub use state::LabState;
use state::{MOST_HOSTS, RegistryLock};
pub use watcher::{Absence, WatchReport, Watcher};
pub use witness::Witness;

/// Where labs keep their files if nobody says otherwise: on a disk, as `cache=none` needs O_DIRECT, which tmpfs has
/// only since Linux 6.6.
pub const DEFAULT_DIR: &str = "/var/tmp/drover-lab";

/// Programs without which there is no lab, each with the Debian package that brings it.
pub const PROGRAMS: [(&str, &str); 11] = [
    ("libvirtd", "libvirt-daemon"),
    ("virsh", "libvirt-clients"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("cpio", "cpio"),
    ("busybox", "busybox-static"),
    ("mkfs.ext4", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
];

/// What is asked of [`Lab::create`].
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The lab's name, unique on this machine: lower-case letters, digits, dashes.
    pub name: String,
    /// How many hosts, 1 to 80.
    pub hosts: usize,
    /// The directory to be made for the lab's files; it goes with the lab. None: below [`DEFAULT_DIR`].
    pub dir: Option<PathBuf>,
    /// What becomes of the lab when its creator ends.
    pub life: LabLife,
}

/// What a guest acknowledged, and what its disk holds: nothing of the former is missing from the latter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteCheck {
    /// The guest's name.
    pub guest: String,
    /// How many numbers it has acknowledged.
    pub acknowledged: u64,
    /// The last of them.
    pub last_acknowledged: u64,
    /// The last number that is on all of its disks, which may be later.
    pub last_on_disk: u64,
}

/// How long a lab lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabLife {
    /// Until the [`Lab`] is dropped; if the creator is killed, until somebody makes a lab of the same name.
    WithCreator,
    /// Until it is removed by name.
    UntilRemoved,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    state: LabState,
    hosts: Vec<Host>,
    collector: Option<Collector>,
    image: OnceLock<Image>,
    on_drop: OnDrop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Remove,
    Leave,
}

/// Why this machine cannot have a lab, in words for whoever wants to run one; none if it can.
#[must_use]
pub fn unable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the lab needs root, for network namespaces and libvirtd".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
        {
            return Some(format!("{program} is missing (package {package}); run tests/lab/install.sh"));
        }
    }
    // Containers often have root and yet may not do this.
    match process::run(Command::new("unshare").args(["--net", "--mount", "--uts", "true"])) {
        Ok(_) => None,
        Err(error) => Some(format!("namespaces cannot be made here: {error:#}")),
    }
}

impl Lab {
    /// Brings the hosts up, each with a libvirtd that answers. Takes about two seconds for three.
    ///
    /// # Errors
    /// If a lab of this name is alive, or something cannot be made; what was made by then is removed.
    pub fn create(options: LabOptions) -> Result<Self> {
        state::check_name("lab name", &options.name)?;
        ensure!(
            (1..=MOST_HOSTS).contains(&options.hosts),
            "hosts: {}; give 1 to {MOST_HOSTS}",
            options.hosts
        );
        if let Some(reason) = unable() {
            bail!(reason);
        }
        if let Some(old) = LabState::load(&options.name)? {
            if !old.is_dead() {
                bail!("lab {} is up; `drover-lab down --name {}` removes it", old.name, old.name);
            }
            cleanup::remove(&old).context("a dead lab of this name cannot be removed")?;
        }
        let state = register(&options)?;
        let hosts = match bring_up(&state) {
            Ok(hosts) => hosts,
            Err(error) => {
                let _ = cleanup::remove(&state);
                return Err(error);
            }
        };
        let mut lab = Self { state, hosts, collector: None, image: OnceLock::new(), on_drop: OnDrop::Remove };
        match options.life {
            LabLife::WithCreator => lab.collector = Some(lab.start_collector()?),
            LabLife::UntilRemoved => lab.leave()?,
        }
        Ok(lab)
    }

    /// A lab that another process made and that outlives this one.
    ///
    /// # Errors
    /// If there is none of this name, or a host of it is not up.
    pub fn attach(name: &str) -> Result<Self> {
        let state = LabState::load(name)?
            .with_context(|| format!("there is no lab {name}; `drover-lab list` shows those there are"))?;
        let hosts = (1..=state.hosts).map(|number| Host::attach(&state, number)).collect::<Result<_>>()?;
        Ok(Self { state, hosts, collector: None, image: OnceLock::new(), on_drop: OnDrop::Leave })
    }

    /// What is on record of this lab: its name, index, directory, addresses.
    #[must_use]
    pub fn state(&self) -> &LabState {
        &self.state
    }

    /// All hosts, in order.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|host| host.name() == name).with_context(|| {
            format!("lab {} has no host {name}; it has h1 to h{}", self.state.name, self.hosts.len())
        })
    }

    /// Starts to listen to the guests in this process. [`Lab::create`] has done so for a lab that lives with its creator.
    ///
    /// # Errors
    /// If somebody listens already.
    pub fn start_collector(&self) -> Result<Collector> {
        let address = SocketAddr::from((self.state.address(1), COLLECTOR_PORT));
        Collector::start(address, &self.heard_file())
    }

    /// Stops to listen to the guests in this process, so that another one can.
    pub fn stop_collector(&mut self) {
        self.collector = None;
    }

    /// Where the collector writes twice a second what it heard, as [`collector::read`] reads it.
    #[must_use]
    pub fn heard_file(&self) -> PathBuf {
        self.state.dir.join("heard.json")
    }

    /// What listens to this lab's guests.
    ///
    /// # Errors
    /// If it is not this process that listens.
    pub fn collector(&self) -> Result<&Collector> {
        self.collector.as_ref().context("another process listens to this lab's guests")
    }

    /// Builds what guests boot from, unless that was done already. [`Lab::add_guest`] does it when it is needed; a demo
    /// that wants to show how long each step takes calls it before.
    ///
    /// # Errors
    /// If a part is missing or the guest program cannot be built.
    pub fn build_image(&self) -> Result<&Image> {
        if let Some(image) = self.image.get() {
            return Ok(image);
        }
        // One at a time, also among processes; who comes second finds it done.
        let lock = fs::File::create(self.state.dir.join("image.lock"))?;
        lock.lock()?;
        let dir = self.state.shared_dir().join("image");
        if !dir.exists() {
            let draft = dir.with_extension("draft");
            Image::build(&draft)?;
            fs::create_dir_all(self.state.shared_dir().join("console"))?;
            fs::rename(&draft, &dir)?;
        }
        let image = Image::attach(&dir)?;
        Ok(self.image.get_or_init(|| image))
    }

    /// Makes a guest and starts it, without waiting until it has booted.
    ///
    /// # Errors
    /// If the name is taken, the host unknown, or libvirt refuses the guest.
    pub fn add_guest(&self, spec: &GuestSpec) -> Result<Guest> {
        let image = self.build_image()?;
        guest::add(&self.state, image, self.host(&spec.host)?, spec)
            .with_context(|| format!("guest {}", spec.name))
    }

    /// Makes several guests at once; those that could be made stay if another one could not.
    ///
    /// # Errors
    /// As [`Lab::add_guest`], for the first one that failed.
    pub fn add_guests(&self, specs: &[GuestSpec]) -> Result<Vec<Guest>> {
        self.build_image()?;
        std::thread::scope(|scope| {
            let started: Vec<_> =
                specs.iter().map(|spec| scope.spawn(move || self.add_guest(spec))).collect();
            started.into_iter().map(|guest| guest.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
        })
    }

    /// All guests, in the order in which they were added.
    ///
    /// # Errors
    /// If the lab's directory cannot be read.
    pub fn guests(&self) -> Result<Vec<Guest>> {
        Guest::all(&self.state)
    }

    /// The guest of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn guest(&self, name: &str) -> Result<Guest> {
        let found = self.guests()?.into_iter().find(|guest| guest.name == name);
        found.with_context(|| format!("lab {} has no guest {name}", self.state.name))
    }

    /// Takes all guests from the lab's record, so that their names and addresses are free. No host may know them any more.
    ///
    /// # Errors
    /// If a disk on shared storage can't be removed.
    pub fn forget_guests(&self) -> Result<()> {
        Guest::forget_all(&self.state)
    }

    /// Waits until every guest has booted and acknowledged a number.
    ///
    /// # Errors
    /// If one has not within `limit`; the message holds the end of its console.
    pub fn wait_until_heard(&self, limit: Duration) -> Result<()> {
        for guest in self.guests()? {
            self.collector()?.wait_beyond(&guest.name, 0, limit).with_context(|| {
                let console = self.hosts[0].outside(&guest.console_path());
                let text = fs::read(console).unwrap_or_default();
                let end = String::from_utf8_lossy(&text[text.len().saturating_sub(1000)..]).into_owned();
                format!("the console of {} ends with: {end}", guest.name)
            })?;
        }
        Ok(())
    }

    /// The hosts that run this guest now, by libvirt's word; those that do not answer are left out.
    ///
    /// # Errors
    /// If virsh cannot be started.
    pub fn where_running(&self, guest: &str) -> Result<Vec<&Host>> {
        let mut hosts = Vec::new();
        for host in &self.hosts {
            if host.virsh(["domstate", guest])?.ok().is_ok_and(|state| state == "running") {
                hosts.push(host);
            }
        }
        Ok(hosts)
    }

    /// Starts to watch that no guest runs twice.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn watch(&self) -> Result<Watcher> {
        Watcher::start(&self.hosts)
    }

    /// Compares what each guest has acknowledged with what its disk holds. Guests may run meanwhile. A disk on local
    /// storage is looked for on the host where libvirt knows the guest; if several do, on the one that runs it.
    ///
    /// # Errors
    /// If a number that was acknowledged is not on the disk, or a disk cannot be read.
    pub fn check_no_acknowledged_write_lost(&self) -> Result<Vec<WriteCheck>> {
        self.guests()?.iter().map(|guest| self.check_writes(guest)).collect()
    }

    fn check_writes(&self, guest: &Guest) -> Result<WriteCheck> {
        // Before the disks are read: what is acknowledged later may be written later.
        let heard = self.collector()?.of(&guest.name);
        let mut last_on_disk = u64::MAX;
        for disk in guest.disks() {
            let path = self.image_of(guest, &disk)?;
            let mut ring = ring_on_disk(&path, disk.format)?;
            if ring.damaged > 0 {
                // A record that was being written while it was read; it is whole by now.
                ring = ring_on_disk(&path, disk.format)?;
            }
            ensure!(ring.damaged == 0, "{} of {} has damaged records", path.display(), guest.name);
            let on_disk: Vec<u64> = ring.records.iter().map(|record| record.number).collect();
            let newest = on_disk.iter().copied().max().unwrap_or(0);
            let lost = guest::lost(&heard.acknowledged, &on_disk);
            ensure!(
                lost.is_empty(),
                "{} lost {} acknowledged numbers, the first of them {}; its disk {} ends with {newest}",
                guest.name,
                lost.len(),
                lost[0],
                path.display(),
            );
            last_on_disk = last_on_disk.min(newest);
        }
        Ok(WriteCheck {
            guest: guest.name.clone(),
            acknowledged: heard.acknowledged.iter().map(|(first, last)| last - first + 1).sum(),
            last_acknowledged: heard.last(),
            last_on_disk,
        })
    }

    /// Where the image of a disk lies that a guest uses now, as seen from outside.
    fn image_of(&self, guest: &Guest, disk: &GuestDisk) -> Result<PathBuf> {
        if guest.disk == DiskPlace::Shared {
            return Ok(self.hosts[0].outside(&disk.path));
        }
        let mut known = Vec::new();
        for host in &self.hosts {
            if let Ok(state) = host.virsh(["domstate", &guest.uuid])?.ok() {
                known.push((state == "running", host));
            }
        }
        let best = known.into_iter().max_by_key(|(running, _)| *running);
        let (_, host) = best.with_context(|| format!("no host knows {}", guest.name))?;
        Ok(host.inside(&disk.path))
    }

    /// Makes the lab outlive this process; `drover-lab down` removes it.
    ///
    /// # Errors
    /// If its record cannot be written.
    pub fn leave(&mut self) -> Result<()> {
        self.state.creator = None;
        self.state.save()?;
        self.on_drop = OnDrop::Leave;
        Ok(())
    }

    /// Writes down a process outside of the hosts that ends with the lab.
    ///
    /// # Errors
    /// If the lab's directory cannot be written.
    pub fn add_helper(&self, process: ProcessId) -> Result<()> {
        self.state.add_helper(process)
    }

    /// Removes the lab and every trace of it.
    ///
    /// # Errors
    /// If something is left over.
    pub fn destroy(mut self) -> Result<()> {
        self.on_drop = OnDrop::Leave;
        cleanup::remove(&self.state)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Remove
            && let Err(error) = cleanup::remove(&self.state)
        {
            eprintln!(
                "lab {}: {error:#}; `drover-lab down --name {}` goes on",
                self.state.name, self.state.name
            );
        }
    }
}

/// Chooses an index and writes the lab's record, before anything else is made.
fn register(options: &LabOptions) -> Result<LabState> {
    let _lock = RegistryLock::take()?;
    let state = LabState {
        name: options.name.clone(),
        index: network::free_index(&LabState::all()?)?,
        dir: options.dir.clone().unwrap_or_else(|| Path::new(DEFAULT_DIR).join(&options.name)),
        hosts: options.hosts,
        // Also for one that shall outlive its creator: until it is whole, the creator's end makes it a dead one.
        creator: Some(ProcessId::of_this()?),
    };
    // The directory is removed with all that is in it, so it must be the lab's own from the first moment on.
    ensure!(
        !state.dir.exists(),
        "{} exists already; give a directory that the lab may make and remove",
        state.dir.display()
    );
    state.save()?;
    network::create(&state).inspect_err(|_| network::remove(&state)).inspect_err(|_| state.forget())?;
    Ok(state)
}

/// Makes all hosts at once; most of the time each waits for libvirtd to look at QEMU.
fn bring_up(state: &LabState) -> Result<Vec<Host>> {
    fs::create_dir_all(state.shared_dir()).with_context(|| format!("cannot make {}", state.dir.display()))?;
    certificates::issue(state)?;
    let hosts: Vec<Host> = std::thread::scope(|scope| {
        let started: Vec<_> =
            (1..=state.hosts).map(|number| scope.spawn(move || Host::create(state, number))).collect();
        started
            .into_iter()
            .map(|host| host.join().map_err(|_| anyhow!("a thread panicked"))?)
            .collect::<Result<_>>()
    })?;
    host::share_capabilities(&hosts)?;
    Ok(hosts)
}
