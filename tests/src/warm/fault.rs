//! What breaks, and how it is repaired.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Moment;
use crate::installation::SCRATCH;
use crate::lab::{Ballast, Guest, LOCAL_STORAGE};
use crate::scene::{MOVED, Scene, text};

/// Something that breaks while a server is moved from h1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The source's agent is killed.
    SourceAgent,
    /// The destination's agent is killed.
    DestinationAgent,
    /// The scheduler is killed.
    Scheduler,
    /// The server's QEMU is killed at the source.
    SourceQemu,
    /// The source's libvirtd is killed.
    SourceLibvirtd,
    /// The destination's libvirtd is killed.
    DestinationLibvirtd,
    /// The destination's link is cut.
    Link,
    /// The destination's storage has no byte left.
    DestinationFull,
    /// The source's scratch space has no byte left.
    ScratchFull,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SourceAgent => "source agent killed",
            Self::DestinationAgent => "destination agent killed",
            Self::Scheduler => "scheduler killed",
            Self::SourceQemu => "source QEMU killed",
            Self::SourceLibvirtd => "source libvirtd killed",
            Self::DestinationLibvirtd => "destination libvirtd killed",
            Self::Link => "link cut",
            Self::DestinationFull => "destination disk full",
            Self::ScratchFull => "scratch full",
        })
    }
}

/// What is broken until [`Broken::repair`].
#[derive(Debug)]
pub struct Broken {
    fault: Fault,
    to: String,
    ballast: Option<Ballast>,
}

impl Fault {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::SourceAgent,
        Self::DestinationAgent,
        Self::Scheduler,
        Self::SourceQemu,
        Self::SourceLibvirtd,
        Self::DestinationLibvirtd,
        Self::Link,
        Self::DestinationFull,
        Self::ScratchFull,
    ];

    /// Whether it can happen then: a server that is off has no QEMU, and scratch space is used while a round is read from a
    /// server that runs.
    #[must_use]
    pub fn is_possible_at(self, moment: Moment) -> bool {
        match self {
            Self::SourceQemu | Self::ScratchFull => {
                matches!(moment, Moment::InitialSync | Moment::Round | Moment::FinalDelta)
            }
            Self::SourceAgent
            | Self::DestinationAgent
            | Self::Scheduler
            | Self::SourceLibvirtd
            | Self::DestinationLibvirtd
            | Self::Link
            | Self::DestinationFull => true,
        }
    }

    /// How long it stays broken. A connection is given up after some fifteen seconds without an answer; full storage has to be met by a
    /// round, which comes every second or two.
    #[must_use]
    pub fn lasts(self) -> Duration {
        Duration::from_millis(match self {
            Self::SourceAgent
            | Self::DestinationAgent
            | Self::Scheduler
            | Self::SourceQemu
            | Self::SourceLibvirtd
            | Self::DestinationLibvirtd => 500,
            Self::DestinationFull | Self::ScratchFull => 4000,
            Self::Link => 20_000,
        })
    }

    /// Breaks it.
    ///
    /// # Errors
    /// If it is broken already, or there is nothing to be broken.
    pub fn strike(self, scene: &Scene, guest: &Guest) -> Result<Broken> {
        let to = match scene.migration(&guest.name) {
            Ok(migration) => text(&migration["to"]).unwrap_or("h2").to_owned(),
            Err(_) => "h2".to_owned(),
        };
        let (source, target) = (scene.host("h1")?, scene.host(&to)?);
        let mut ballast = None;
        match self {
            Self::SourceAgent => scene.drover().kill_agent(source.name())?,
            Self::DestinationAgent => scene.drover().kill_agent(&to)?,
            Self::Scheduler => scene.drover().kill_scheduler()?,
            // It may be off by itself in this very moment.
            Self::SourceQemu => drop(source.kill_qemu(&guest.name)),
            Self::SourceLibvirtd => source.kill_libvirtd()?,
            Self::DestinationLibvirtd => target.kill_libvirtd()?,
            Self::Link => target.cut_link()?,
            Self::DestinationFull => ballast = Some(target.fill(LOCAL_STORAGE)?),
            Self::ScratchFull => ballast = Some(source.fill(SCRATCH)?),
        }
        Ok(Broken { fault: self, to, ballast })
    }
}

impl Broken {
    /// Repairs it, as an operator does.
    ///
    /// # Errors
    /// If it can't be repaired, or the guest did not bear it as it should.
    pub fn repair(self, scene: &Scene, guest: &Guest) -> Result<()> {
        let Self { fault, to, ballast } = self;
        let (source, target) = (scene.host("h1")?, scene.host(&to)?);
        match fault {
            Fault::SourceAgent => scene.drover().start_agent(source.name()),
            Fault::DestinationAgent => scene.drover().start_agent(&to),
            Fault::Scheduler => scene.drover().start_scheduler(),
            Fault::SourceQemu => start_again(scene, guest),
            Fault::SourceLibvirtd => source.start_libvirtd(),
            Fault::DestinationLibvirtd => target.start_libvirtd(),
            Fault::Link => target.heal_link(),
            Fault::DestinationFull => {
                drop(ballast);
                Ok(())
            }
            Fault::ScratchFull => {
                let state = source.virsh(["domstate", &guest.name, "--reason"])?.stdout;
                ensure!(
                    !state.contains("paused"),
                    "{} was paused by full scratch space: {state}",
                    guest.name
                );
                drop(ballast);
                Ok(())
            }
        }
    }
}

/// A server that has crashed is started by its owner, wherever it is: one that crashed in its cutover is moved as one that is off.
fn start_again(scene: &Scene, guest: &Guest) -> Result<()> {
    scene.drover().wait(&format!("{} to be started again", guest.name), MOVED, || {
        if scene.migration(&guest.name)?["state"] == "cutting_over" {
            return Ok(None);
        }
        for host in scene.lab().hosts() {
            match host.virsh(["domstate", &guest.name])?.stdout.trim() {
                "running" => return Ok(Some(())),
                "shut off" | "crashed" if host.virsh(["start", &guest.name])?.success => return Ok(Some(())),
                // Somewhere else, or busy.
                _ => {}
            }
        }
        Ok(None)
    })
}
