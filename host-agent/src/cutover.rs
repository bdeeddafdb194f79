//! A reboot migration, over shared storage or with a replica of local disks.
//!
//! ```text
//!     ┌───▶ armed ──┐ (its time has not come)
//! preflight ────────┴▶ powering_off ─▶ fencing ─▶ fenced ─▶ boot_target ─▶ ended: moved
//!     │             │             │          │           │
//!     │             ▼             ▼          │           ▼
//!     │        restoring ◀────────┴──────────┴────── undo_target (in doubt while the destination is silent)
//!     ▼             │
//!   stayed · gone   └▶ ended: stayed at source
//!
//! With a replica: … ─▶ final_delta ─▶ powering_off ─▶ tail ─▶ fencing ─▶ fenced ─▶ putting_in_place ─▶ boot_target
//!                         │ stayed                     │ restoring                      │ restoring
//!                 restoring ─▶ taking_out ─▶ ended: stayed at source
//! ```
//!
//! What must hold, whatever is killed whenever:
//! - The definition is in the ledger, synced, before libvirt forgets it. It stays there until the scheduler discards it.
//! - `boot_target` is in the ledger before anything is done at the destination. Once it is, the source is brought back only after
//!   the destination itself has said that it neither runs nor knows the server (`undo_target` → `restoring`).
//! - With a replica, the target boots from what the source's disks were at power-off: the tail is read when the server is off, and read
//!   again if the fence does not follow it at once. Only its landing leads to the fence.
//! - Whether the target may have run from the images is in the ledger before it is tried. A failure brings the source back first; only
//!   then are the images made a replica again.
//! - Until the source is undefined an abort is honoured; after that the server is on its way and comes up at one of both ends.

use drover_agent_api::{AbortBecause, IfRunning, RebootMigrate, Shape, Wish};
use drover_policies::attempt::{
    Failure, FailureClass, LeftOff, Moved, Outcome, Phase, PowerOff, Progress, Tail,
};
use drover_policies::fleet::Autostart;
use drover_policies::replica::ReplicaDisk;
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::replication::Touched;
use crate::hypervisor::{Refusal, Sighting, State};
use crate::live::destination_is_free;

mod delta;
mod fence;
pub(crate) mod images;
mod power_off;
mod restore;
mod target;

pub use delta::Bringing;
pub use power_off::Pressure;

/// How long a daemon or disk that did not answer is left alone.
const PAUSE: Span = Span::seconds(1);

/// Makes for one look every 5 seconds when nothing has been begun.
const SILENCE: Span = Span::seconds(20);

/// How the server was found, so that it is left the same way wherever it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Whether it is to be booted.
    pub life: Life,
    /// Whether it was started with its host.
    pub autostart: Autostart,
}

/// Whether a server was on when it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// Running or paused.
    On,
    /// Off.
    Off,
}

/// That the source is off, and how it came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Off {
    /// As it was found.
    pub before: Before,
    /// When it was seen to be off.
    pub at: Instant,
    /// By what.
    pub by: PowerOff,
    /// What was read from its powered-off disks, once that has landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Landed>,
}

/// The round from the powered-off disks has landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landed {
    /// When, at the destination: nothing that was written later is in it.
    pub at: Instant,
    /// What it cost.
    pub cost: Tail,
}

/// Where a reboot migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cutover {
    /// Both hosts are looked at; nothing is touched.
    Preflight,
    /// Both hosts were found good. Nothing is touched until its time comes.
    Armed,
    /// The last round of its local disks while it runs; nothing is touched.
    FinalDelta {
        /// As it was found.
        before: Before,
        /// The round.
        bringing: Bringing,
    },
    /// The guest is asked to shut down, then made to.
    PoweringOff {
        /// As it was found.
        before: Before,
        /// What has been tried.
        pressure: Pressure,
    },
    /// It is off; what it wrote at last is read from its local disks.
    Tail {
        /// How it was powered off.
        off: Off,
        /// The round.
        bringing: Bringing,
    },
    /// It is off; its definition is retained, then taken away.
    Fencing {
        /// How it was powered off.
        off: Off,
    },
    /// The source can't start any more. Nothing has been done at the destination.
    Fenced {
        /// How it was powered off.
        off: Off,
    },
    /// The images of its replica are being put where the definition names them. Nothing is defined at the destination.
    PuttingInPlace {
        /// How it was powered off.
        off: Off,
        /// Since when.
        since: Instant,
    },
    /// The destination may have it, and may have started it.
    BootTarget {
        /// How it was powered off.
        off: Off,
        /// Since when.
        since: Instant,
        /// With a replica: what may have been done to its images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<Touched>,
    },
    /// It did not come up there: the destination must say that it neither runs nor is known there.
    UndoTarget {
        /// How it was powered off.
        off: Off,
        /// Since when.
        since: Instant,
        /// Why.
        failure: Failure,
        /// With a replica: what may have been done to its images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<Touched>,
    },
    /// The server is brought back at the source, as it was found.
    Restoring {
        /// As it was found.
        before: Before,
        /// Since when.
        since: Instant,
        /// Until when a guest that was asked to shut down may still do so.
        settles: Instant,
        /// Why.
        failure: Failure,
        /// With a replica whose images may be in their place: what may have been done to them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        placed: Option<Touched>,
    },
    /// The server is back; the images at the destination become a replica again.
    TakingOut {
        /// Since when.
        since: Instant,
        /// What may have been done to them.
        touched: Touched,
        /// What is told then.
        outcome: Outcome,
    },
}

impl Cutover {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Preflight => Phase::Preflight,
            Self::Armed => Phase::Armed,
            Self::FinalDelta { .. } => Phase::FinalDelta,
            Self::PoweringOff { .. } | Self::Tail { .. } => Phase::PowerOffSource,
            Self::Fencing { .. } | Self::Fenced { .. } | Self::PuttingInPlace { .. } => Phase::Finalize,
            Self::BootTarget { .. } => Phase::BootTarget,
            Self::UndoTarget { .. } | Self::Restoring { .. } | Self::TakingOut { .. } => Phase::RollingBack,
        }
    }

    /// `None` when the ledger holds a state that only an order with a replica comes to, and the order has none.
    pub(crate) fn step(self, order: &RebootMigrate, context: &Context<'_>) -> Option<Step<Self>> {
        Some(match self {
            Self::Preflight => preflight(order, context),
            Self::Armed => armed(order, context),
            Self::FinalDelta { before, bringing } => {
                delta::final_delta(order, order.replica.as_ref()?, (before, bringing), context)
            }
            Self::Tail { off, bringing } => {
                delta::tail(order, order.replica.as_ref()?, (off, bringing), context)
            }
            Self::PuttingInPlace { off, since } => {
                images::put_in_place(order.replica.as_ref()?, (off, since), context)
            }
            Self::TakingOut { since, touched, outcome } => {
                images::take_out(order.replica.as_ref()?, (since, touched, outcome), context)
            }
            Self::PoweringOff { before, pressure } => power_off::step(order, before, pressure, context),
            Self::Fencing { off } => fence::fence(order, off, context),
            Self::Fenced { off } => target::approach(order, off, context),
            Self::BootTarget { off, since, touched } => {
                target::boot(order, target::Boot { off, since, touched }, context)
            }
            Self::UndoTarget { off, since, failure, touched } => {
                target::undo(order, target::Undo { off, since, failure, touched }, context)
            }
            Self::Restoring { before, since, settles, failure, placed } => {
                restore::step(order, restore::Restoring { before, since, settles, failure, placed }, context)
            }
        })
    }

    fn go(self, context: &Context<'_>, when: When) -> Step<Self> {
        let progress = Progress::of(self.phase(), context.now);
        Step::Go { state: self, telling: Telling::Progress(progress), when }
    }

    /// Told as a doubt, although the state is another: the destination is silent.
    fn in_doubt(self, context: &Context<'_>, since: Instant) -> Step<Self> {
        let progress = Progress::of(Phase::InDoubt, context.now);
        Step::Go { state: self, telling: Telling::Progress(progress), when: context.again(since) }
    }

    fn unanswered(self, refusal: &Refusal, context: &Context<'_>) -> Step<Self> {
        tracing::warn!(operation = %context.id, "libvirt does not answer: {refusal}");
        self.go(context, context.after(PAUSE))
    }

    fn restoring(before: Before, settles: Instant, failure: Failure, context: &Context<'_>) -> Step<Self> {
        Self::Restoring { before, since: context.now, settles, failure, placed: None }
            .go(context, When::AtOnce)
    }
}

fn abort_wished(wish: Wish) -> Option<Failure> {
    match wish {
        // Put off is only what has not been begun.
        Wish::Abort { because: AbortBecause::Postponed } => None,
        Wish::Abort { because: AbortBecause::Asked | AbortBecause::NotConverging } => {
            Some(Failure { class: FailureClass::Aborted, text: "aborted on request".to_owned() })
        }
        Wish::Run | Wish::Tuned(_) | Wish::Pace(_) | Wish::AtOnce => None,
    }
}

/// Before anything is begun. Of an order with a time it is said that it was not begun, for its owner has not been told that it was.
fn called_off(order: &RebootMigrate, wish: Wish) -> Option<Failure> {
    match (wish, order.within) {
        (Wish::Abort { because: AbortBecause::Postponed }, _) | (Wish::Abort { .. }, Some(_)) => {
            Some(Failure { class: FailureClass::NotBegun, text: "called off before its time".to_owned() })
        }
        (wish, None) => abort_wished(wish),
        (Wish::Run | Wish::Tuned(_) | Wish::Pace(_) | Wish::AtOnce, Some(_)) => None,
    }
}

/// Whether an order may be begun.
enum Due {
    Now,
    Later(When),
    Over(String),
}

/// By the scheduler's clock, as far as it is known for certain that it shows so much: never too early, whatever is done to this
/// host's own clock. Who has not heard of it since his start waits until he does.
fn due(order: &RebootMigrate, context: &Context<'_>) -> Due {
    let Some(within) = order.within.filter(|_| context.wish != Wish::AtOnce) else { return Due::Now };
    match context.scheduler_now {
        None => Due::Later(context.after(SILENCE)),
        Some(now) if now < within.not_before => Due::Later(When::At(context.now + (within.not_before - now))),
        Some(now) if now <= within.not_after => Due::Now,
        Some(now) => {
            let by = Span::between(within.not_after, now).rounded();
            Due::Over(format!("it could have been begun until {}, which was {by} ago", within.not_after))
        }
    }
}

/// Waits for its time. Once it has come there is nothing left to do but look whether the server still is as it was.
fn armed(order: &RebootMigrate, context: &Context<'_>) -> Step<Cutover> {
    if let Some(failure) = called_off(order, context.wish) {
        return Step::ended(Outcome::stayed(failure));
    }
    match due(order, context) {
        Due::Later(when) => Cutover::Armed.go(context, when),
        Due::Over(text) => Step::stayed(FailureClass::NotBegun, text),
        Due::Now => match context.hypervisor.here().find(order.server) {
            Ok(Some(here)) => match life_of(order, &here) {
                Ok(life) => begin(order, life, &here, context),
                Err(failure) => Step::ended(Outcome::stayed(failure)),
            },
            Ok(None) => find_elsewhere(order, context),
            Err(refusal) => Cutover::Armed.unanswered(&refusal, context),
        },
    }
}

/// How it is to be left, wherever it ends. One that an earlier cutover has left off is off by our doing, and so is its autostart mark.
fn before(order: &RebootMigrate, life: Life, here: &Sighting) -> Before {
    match order.left_off {
        Some(LeftOff { autostart: Autostart::Yes }) => Before { life: Life::On, autostart: Autostart::Yes },
        Some(LeftOff { autostart: Autostart::No }) => Before { life: Life::On, autostart: here.autostart },
        None => Before { life, autostart: here.autostart },
    }
}

fn begin(order: &RebootMigrate, life: Life, here: &Sighting, context: &Context<'_>) -> Step<Cutover> {
    let before = before(order, life, here);
    match (life, &order.replica) {
        (Life::On, Some(_)) => {
            Cutover::FinalDelta { before, bringing: Bringing::new(context.now) }.go(context, When::AtOnce)
        }
        (Life::On, None) | (Life::Off, _) => {
            Cutover::PoweringOff { before, pressure: Pressure::None }.go(context, When::AtOnce)
        }
    }
}

/// Whether it is on or off; anything else is nothing that can be moved.
fn life_of(order: &RebootMigrate, here: &Sighting) -> Result<Life, Failure> {
    let busy = |text| Err(Failure { class: FailureClass::Busy, text });
    match here.state {
        State::Running | State::Paused if order.if_running == IfRunning::LeaveAlone => {
            busy(format!("{} was off and has been started meanwhile", here.name))
        }
        State::Running | State::Paused => Ok(Life::On),
        State::Off => Ok(Life::Off),
        State::Crashed | State::HeldByMigration | State::HeldOtherwise | State::Arriving => {
            busy(format!("{} is {}: neither running nor off", here.name, here.state))
        }
    }
}

fn preflight(order: &RebootMigrate, context: &Context<'_>) -> Step<Cutover> {
    if let Some(failure) = called_off(order, context.wish) {
        return Step::ended(Outcome::stayed(failure));
    }
    let here = match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) => here,
        Ok(None) => return find_elsewhere(order, context),
        Err(refusal) => return Cutover::Preflight.unanswered(&refusal, context),
    };
    if let Due::Over(text) = due(order, context) {
        return Step::stayed(FailureClass::NotBegun, text);
    }
    let life = match life_of(order, &here) {
        Ok(life) => life,
        Err(failure) => return Step::ended(Outcome::stayed(failure)),
    };
    let peer = || context.hypervisor.peer(&order.destination);
    if let Err(failure) = destination_is_free(order.server, &here, order.destination.host.as_str(), peer)
        .and_then(|()| images::ready(order, &here, context))
        .and_then(|()| can_be_shaped(order, context))
    {
        return Step::ended(Outcome::stayed(failure));
    }
    match due(order, context) {
        Due::Later(when) => Cutover::Armed.go(context, when),
        // The look at the destination may have taken long.
        Due::Over(text) => Step::stayed(FailureClass::NotBegun, text),
        Due::Now => begin(order, life, &here, context),
    }
}

/// Whether the definition as it is now can be given its shape, before anything is touched for it.
fn can_be_shaped(order: &RebootMigrate, context: &Context<'_>) -> Result<(), Failure> {
    let hypervisor = context.hypervisor;
    if order.shape == Shape::AsItIs && !order.disks().iter().any(ReplicaDisk::is_reshaped) {
        return Ok(());
    }
    let shaped = hypervisor
        .definition(order.server)
        .and_then(|definition| hypervisor.reshaped(&definition, order, context.id));
    shaped.map(drop).map_err(|refusal| refusal.at_source())
}

/// The server is not here, and this operation has (by its ledger) done nothing. Its owner deleted it, it was moved by other
/// means, or the ledger was lost between the fence and the end: then the definition is still retained.
fn find_elsewhere(order: &RebootMigrate, context: &Context<'_>) -> Step<Cutover> {
    let there = context.hypervisor.peer(&order.destination).and_then(|peer| peer.find(order.server));
    match there {
        Err(refusal) => {
            tracing::warn!(operation = %context.id, "the server is not here, and the destination is silent: {refusal}");
            Cutover::Preflight.in_doubt(context, context.now - SILENCE.delta())
        }
        Ok(Some(_)) => Step::ended(Outcome::Moved(Moved {
            sent_bytes: 0,
            downtime: None,
            in_libvirt: None,
            power_off: None,
            tail: None,
        })),
        Ok(None) => match context.ledger.retained(order.server) {
            Ok(Some(retained)) if retained.operation == context.id => {
                let before = Before { life: retained.life, autostart: retained.autostart };
                let failure = Failure {
                    class: FailureClass::Unexpected,
                    text: "the agent's ledger was lost in the middle; the server is brought back from its retained definition".to_owned(),
                };
                Cutover::restoring(before, context.now, failure, context)
            }
            Ok(_) => Step::ended(Outcome::Gone),
            Err(error) => {
                tracing::error!(operation = %context.id, server = %order.server, "{error}");
                Cutover::Preflight.go(context, context.after(PAUSE))
            }
        },
    }
}

/// Its owner started it while it was to be moved off. One that was on is powered off once more; one that was found off
/// is left alone, since its owner was never told that it would be powered off.
fn alive_again(before: Before, here: &Sighting, context: &Context<'_>) -> Step<Cutover> {
    match before.life {
        Life::On => Cutover::PoweringOff { before, pressure: Pressure::None }.go(context, When::AtOnce),
        Life::Off => {
            let failure = Failure {
                class: FailureClass::Busy,
                text: format!("{} was off and has been started meanwhile", here.name),
            };
            Cutover::restoring(before, context.now, failure, context)
        }
    }
}
