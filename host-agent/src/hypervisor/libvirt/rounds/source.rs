//! A server of this host as rounds use it: its checkpoints, its backup job, its file systems.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use drover_policies::attempt::FailureClass;
use drover_policies::fleet::GuestAgent;
use drover_policies::ids::ServerId;
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk};
use drover_policies::time::Clock;
use virt::domain::Domain;
use virt_sys as sys;

use super::courtesy::Done;
use super::domain::{self, Unfit};
use super::failed;
use super::image::{self, Image};
use super::plan::Names;
use super::scratch::Scratch;
use crate::clock::SystemClock;
use crate::domain_xml::{self, Storage};
use crate::hypervisor::libvirt::classify::refusal;
use crate::hypervisor::libvirt::daemon::{ACT, Daemon, LOOK, state_of};
use crate::hypervisor::libvirt::lost;
use crate::hypervisor::libvirt_backup_sys::{self as backup_sys, Delete, Validate};
use crate::hypervisor::libvirt_sys::{self, Called, Which};
use crate::hypervisor::{Answer, Domains, Refusal, RefusalKind, State};
use crate::metadata::Imported;

/// A guest agent that has not frozen its file systems by then is not waited for.
const FREEZE: Duration = Duration::from_secs(8);
/// For letting them go on; tried several times.
const THAW: Duration = Duration::from_secs(10);
const THAW_TRIES: u32 = 3;
/// A backup that was asked to end has ended by then.
const END: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A server, on a connection of its own.
pub(super) struct Server {
    daemon: Daemon,
    id: ServerId,
    names: Names,
}

/// Whose backup runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backup {
    None,
    Ours,
    Theirs,
}

/// What became of the wish to begin a backup.
pub(super) enum Begun {
    Yes,
    /// The checkpoint that it was to go on from is of no use.
    Inconsistent(String),
    /// QEMU has a bitmap of that checkpoint's name already: of a round whose checkpoint libvirt was ended before it could note it.
    Unknown(String),
}

impl Server {
    pub(super) fn new(daemon: Daemon, id: ServerId, names: Names) -> Self {
        Self { daemon, id, names }
    }

    pub(super) fn state(&self) -> Answer<State> {
        self.daemon.on(self.id, LOOK, state_of)
    }

    /// Whether it stands still as its storage failed.
    pub(super) fn is_stopped_by_storage(&self) -> Answer<bool> {
        self.daemon.on(self.id, LOOK, is_stopped_by_storage)
    }

    /// What its guest has read and written of all its disks. What is read for a backup is not counted.
    pub(super) fn done(&self) -> Answer<Done> {
        self.daemon.on(self.id, LOOK, |domain| {
            let stats = domain.block_stats("")?;
            let count = |one: i64, other: i64| u64::try_from(one.saturating_add(other)).unwrap_or(0);
            Ok(Done {
                bytes: count(stats.rd_bytes, stats.wr_bytes),
                requests: count(stats.rd_req, stats.wr_req),
            })
        })
    }

    pub(super) fn resume(&self) -> Answer<()> {
        self.daemon.resume(self.id)
    }

    pub(super) fn xml(&self) -> Answer<String> {
        self.daemon.on(self.id, LOOK, |domain| domain.xml_desc(0))
    }

    pub(super) fn capabilities(&self) -> Answer<String> {
        self.daemon.call(LOOK, |connect| connect.capabilities())
    }

    /// How large a disk is now, as the guest sees it.
    pub(super) fn virtual_bytes(&self, disk: &ReplicaDisk) -> Answer<u64> {
        let target = disk.target.clone();
        self.daemon.on(self.id, LOOK, move |domain| libvirt_sys::block_capacity(domain, &target))
    }

    /// Refuses what libvirt knows to be in the way.
    pub(super) fn is_free(&self, disks: &[ReplicaDisk]) -> Answer<()> {
        let targets: Vec<String> = disks.iter().map(|disk| disk.target.clone()).collect();
        let (snapshots, job) = self.daemon.on(self.id, LOOK, move |domain| {
            let has_job = |target: &&String| libvirt_sys::has_block_job(domain, target).unwrap_or(false);
            Ok((domain.num_snapshots(0)?, targets.iter().find(has_job).cloned()))
        })?;
        if snapshots > 0 {
            return Err(Unfit::Snapshots(snapshots).into());
        }
        job.map_or(Ok(()), |target| Err(Unfit::Job(target).into()))
    }

    /// Rounds of this replica that libvirt has a checkpoint of.
    pub(super) fn rounds(&self) -> Answer<Vec<u64>> {
        let names = self.names.clone();
        self.daemon.on(self.id, LOOK, move |domain| {
            let mut rounds = Vec::new();
            for checkpoint in backup_sys::checkpoints(domain)? {
                rounds.extend(names.round(&checkpoint.name()?));
            }
            rounds.sort_unstable();
            Ok(rounds)
        })
    }

    /// What was written since the oldest checkpoint of this replica, by disk. Nothing when there is none, or the server is off.
    pub(super) fn written(&self) -> Answer<Vec<(String, u64)>> {
        let names = self.names.clone();
        self.daemon.on(self.id, LOOK, move |domain| {
            if !domain.is_active()? {
                return Ok(Vec::new());
            }
            let mut oldest = None;
            for checkpoint in backup_sys::checkpoints(domain)? {
                let Some(round) = names.round(&checkpoint.name()?) else { continue };
                if oldest.as_ref().is_none_or(|(first, _)| round < *first) {
                    oldest = Some((round, checkpoint));
                }
            }
            oldest.map_or(Ok(Vec::new()), |(_, oldest)| Ok(domain::sizes(&oldest.with_sizes()?)))
        })
    }

    /// Deletes checkpoints of a running server. One whose bitmap is missing loses what libvirt knows of it all the same.
    pub(super) fn delete(&self, rounds: impl Fn(u64) -> bool + Send + 'static) -> Answer<()> {
        let names = self.names.clone();
        self.daemon.on(self.id, ACT, move |domain| {
            for checkpoint in backup_sys::checkpoints(domain)? {
                let name = checkpoint.name()?;
                if names.round(&name).is_some_and(&rounds)
                    && let Err(error) = checkpoint.delete(Delete::Whole)
                {
                    tracing::warn!(checkpoint = name, "its bitmaps can't be deleted: {}", error.message());
                    checkpoint.delete(Delete::Metadata)?;
                }
            }
            Ok(())
        })
    }

    /// Makes checkpoints known to libvirt again that it has forgotten while their bitmaps stayed in the images: its definition was taken
    /// away and given back, as in a cutover that failed. So the next round is an incremental one and no rescan.
    pub(super) fn adopt(&self, disks: &[ReplicaDisk], targets: &[String]) -> Answer<()> {
        let known: BTreeSet<u64> = self.rounds()?.into_iter().collect();
        let kept: BTreeSet<u64> = self.bitmaps(disks)?.difference(&known).copied().collect();
        kept.into_iter().try_for_each(|round| self.make_known(round, disks, targets))
    }

    /// Makes the checkpoint of a round known to libvirt again.
    pub(super) fn make_known(&self, round: u64, disks: &[ReplicaDisk], targets: &[String]) -> Answer<()> {
        let name = self.names.checkpoint(round);
        let Some(xml) = domain::checkpoint(&name, targets, disks) else { return Ok(()) };
        self.daemon.on(self.id, ACT, move |domain| {
            let definition = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
            let xml = domain::known_checkpoint(&xml, SystemClock.now().timestamp(), &definition);
            // One that is broken is made known as well, or it could not be deleted.
            backup_sys::redefine_checkpoint(domain, &xml, Validate::Bitmaps)
                .or_else(|_| backup_sys::redefine_checkpoint(domain, &xml, Validate::Nothing))
        })?;
        tracing::info!(server = %self.id, checkpoint = name, "libvirt knows it again");
        Ok(())
    }

    /// Rounds of which any of the images has a bitmap.
    fn bitmaps(&self, disks: &[ReplicaDisk]) -> Answer<BTreeSet<u64>> {
        let mut rounds = BTreeSet::new();
        for disk in disks.iter().filter(|disk| disk.format == ImageFormat::Qcow2) {
            rounds.extend(Image::read(disk)?.bitmaps().filter_map(|bitmap| self.names.round(bitmap)));
        }
        Ok(rounds)
    }

    /// Begins a backup, and makes a checkpoint of the same moment.
    pub(super) fn begin(&self, backup: String, checkpoint: Option<String>) -> Answer<Begun> {
        self.daemon.call_with(ACT, {
            let id = self.id;
            move |connect| {
                let domain = connect.lookup_domain_by_uuid(id.0).map_err(|error| refusal(&error))?;
                match backup_sys::begin_backup(&domain, &backup, checkpoint.as_deref()) {
                    Ok(()) => Ok(Begun::Yes),
                    Err(error) if error.code().to_raw() == sys::VIR_ERR_CHECKPOINT_INCONSISTENT => {
                        Ok(Begun::Inconsistent(error.message().to_owned()))
                    }
                    Err(error) if error.message().contains("Bitmap already exists: ") => {
                        Ok(Begun::Unknown(error.message().to_owned()))
                    }
                    Err(error) => Err(refusal(&error)),
                }
            }
        })
    }

    /// Whose backup runs: this replica's is known by its socket.
    pub(super) fn backup(&self, socket: &Path) -> Answer<Backup> {
        Ok(match self.daemon.on(self.id, LOOK, backup_sys::backup)? {
            None => Backup::None,
            Some(xml) if domain::socket_of(&xml).as_deref() == Some(socket) => Backup::Ours,
            Some(_) => Backup::Theirs,
        })
    }

    /// Whether libvirt holds the server for a backup that it has no data of any more: its daemon was ended while one began. It begins no
    /// other until it forgets the server.
    pub(super) fn has_lost_backup(&self) -> Answer<bool> {
        self.daemon.on(self.id, LOOK, backup_sys::has_lost_backup)
    }

    /// What a person is told when libvirt takes a server for off that runs.
    pub(super) fn lost(&self) -> Answer<Option<String>> {
        Ok(self.daemon.on(self.id, LOOK, lost::process)?.map(|lost| lost.words()))
    }

    /// Of a lost backup of ours QEMU may do its part all the same, for ever: it would set aside what the guest overwrites until its scratch
    /// file has no room, and then stop the guest. This is the one way to end it that libvirt leaves.
    pub(super) fn end_lost_backup(&self, scratch: &Scratch, disks: &[ReplicaDisk]) -> Answer<()> {
        let ours = disks.iter().filter(|disk| scratch.file(&self.names, &disk.target).exists());
        for target in ours.map(|disk| disk.target.clone()) {
            tracing::warn!(server = %self.id, target, "what QEMU may still do of a backup that libvirt has lost is ended");
            self.daemon.on(self.id, ACT, move |domain| {
                if libvirt_sys::has_block_job(domain, &target)? {
                    libvirt_sys::abort_block_job(domain, &target)?;
                }
                Ok(())
            })?;
        }
        scratch.clean(&self.names);
        Ok(())
    }

    /// Ends this replica's backup, which is the normal end of one that was read, and waits until it has ended. None is no error.
    pub(super) fn end_backup(&self, socket: &Path) -> Answer<()> {
        if self.backup(socket)? != Backup::Ours {
            return Ok(());
        }
        self.daemon.on(self.id, ACT, libvirt_sys::abort_job)?;
        let until = Instant::now() + END;
        while self.backup(socket)? == Backup::Ours {
            if Instant::now() > until {
                return Err(failed(FailureClass::Busy, "the backup job does not end; see libvirt's log"));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Has the guest agent hold all file systems still, if there is one that answers in time. [`Server::thaw`] must follow.
    pub(super) fn freeze(&self, xml: &str, scratch: &Scratch) -> Frozen {
        let facts = domain_xml::read(xml, &Storage::default(), &Imported::default(), u64::MAX);
        if !facts.is_ok_and(|facts| facts.guest_agent == GuestAgent::Connected) {
            return Frozen::No;
        }
        if let Err(error) = scratch.note_frozen(self.id) {
            tracing::warn!(server = %self.id, "its file systems are not frozen, as that can't be noted: {error}");
            return Frozen::No;
        }
        match self.daemon.on(self.id, FREEZE, backup_sys::freeze) {
            Ok(()) => Frozen::Yes,
            Err(refusal) => {
                tracing::info!(server = %self.id, "its guest agent does not freeze its file systems: {refusal}");
                self.thaw(scratch);
                Frozen::No
            }
        }
    }

    /// Lets file systems go on that may be held still. If the guest agent does not answer, the next round and the next start try again.
    pub(super) fn thaw(&self, scratch: &Scratch) {
        for try_no in 1..=THAW_TRIES {
            match thaw(&self.daemon, self.id) {
                Ok(()) => return scratch.note_thawed(self.id),
                Err(refusal) if try_no == THAW_TRIES => {
                    tracing::error!(server = %self.id, "its file systems may be frozen, and its guest agent does not thaw them: {refusal}");
                }
                Err(_) => {}
            }
        }
    }

    /// Takes away all that rounds have left: the backup, checkpoints, bitmaps.
    pub(super) fn forget(&self, scratch: &Scratch) -> Answer<()> {
        let xml = self.xml()?;
        if self.state()? == State::Off {
            let names = self.names.clone();
            self.daemon.on(self.id, ACT, move |domain| forget_metadata(domain, &names))?;
            return self.remove_bitmaps(&xml);
        }
        self.end_backup(&scratch.socket(&self.names))?;
        let disks = domain::qcow2_disks(&xml);
        let targets: Vec<String> = disks.iter().map(|disk| disk.target.clone()).collect();
        if self.rounds()?.is_empty() {
            self.adopt(&disks, &targets)?;
        }
        self.delete(|_| true)
    }

    fn remove_bitmaps(&self, xml: &str) -> Answer<()> {
        for disk in domain::qcow2_disks(xml).iter().filter(|disk| disk.source.exists()) {
            for round in self.bitmaps(std::slice::from_ref(disk))? {
                image::remove_bitmap(&disk.source, &self.names.checkpoint(round))?;
            }
        }
        Ok(())
    }
}

fn forget_metadata(domain: &Domain, names: &Names) -> Called<()> {
    for checkpoint in backup_sys::checkpoints(domain)? {
        if names.round(&checkpoint.name()?).is_some() {
            checkpoint.delete(Delete::Metadata)?;
        }
    }
    Ok(())
}

/// A server that is off or gone has nothing that could be frozen.
fn thaw(daemon: &Daemon, server: ServerId) -> Answer<()> {
    let thawed =
        daemon.on(server, THAW, |domain| if domain.is_active()? { backup_sys::thaw(domain) } else { Ok(()) });
    match thawed {
        Err(Refusal { kind: RefusalKind::NoServer, .. }) => Ok(()),
        other => other,
    }
}

/// Takes back what rounds left when their agent died.
pub(super) fn recover(daemon: &Daemon, scratch: &Scratch) -> Answer<()> {
    for server in scratch.frozen() {
        match thaw(daemon, server) {
            Ok(()) => scratch.note_thawed(server),
            Err(refusal) => tracing::error!(%server, "its file systems may be frozen: {refusal}"),
        }
    }
    let ours = scratch.clone();
    let ended = daemon.call(ACT, move |connect| {
        for domain in connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)? {
            if is_left(&domain, &ours) {
                tracing::info!(domain = domain.name()?, "a backup that an earlier agent began is ended");
                end_left(&domain, &ours)?;
            }
        }
        Ok(())
    });
    ended?;
    scratch.clean_all();
    Ok(())
}

/// A guest that its scratch file's storage has stopped goes on once nothing is set aside any more.
fn end_left(domain: &Domain, scratch: &Scratch) -> Called<()> {
    libvirt_sys::abort_job(domain)?;
    let until = Instant::now() + END;
    while is_left(domain, scratch) && Instant::now() < until {
        thread::sleep(LOOK_AGAIN);
    }
    if is_stopped_by_storage(domain)? {
        domain.resume()?;
        tracing::warn!(
            domain = domain.name()?,
            "its guest stood still for want of scratch space and goes on now"
        );
    }
    Ok(())
}

fn is_stopped_by_storage(domain: &Domain) -> Called<bool> {
    let (state, reason) = libvirt_sys::state(domain)?;
    let by_storage = u32::try_from(reason).is_ok_and(|reason| reason == sys::VIR_DOMAIN_PAUSED_IOERROR);
    Ok(state == sys::VIR_DOMAIN_PAUSED && by_storage)
}

/// A domain that has just ended has no job any more.
fn is_left(domain: &Domain, scratch: &Scratch) -> bool {
    let is_backup = libvirt_sys::job(domain, Which::Current)
        .is_ok_and(|job| job.kind != 0 && job.operation == sys::VIR_DOMAIN_JOB_OPERATION_BACKUP);
    is_backup
        && backup_sys::backup(domain).is_ok_and(|xml| {
            xml.as_deref().and_then(domain::socket_of).is_some_and(|socket| scratch.holds(&socket))
        })
}
