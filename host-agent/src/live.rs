//! A live migration.
//!
//! ```text
//! preflight ──▶ starting ──▶ transferring ──▶ deciding ──▶ ended: moved · stayed at source · gone
//!     │             │             ▲ ▲             │
//!     └─ stayed     └─ restarted ─┘ └── job runs ─┘
//!
//! With local disks: preflight ──▶ placing ──▶ starting ─▶ …      not moved ──▶ taking_out ──▶ ended
//! ```
//!
//! Local disks are copied by libvirt into images that the destination's agent has made (`disks`).
//!
//! The migration itself is carried by both libvirt daemons, peer to peer, and goes on when the agent dies. From `starting` on
//! libvirt may be at work; the end is decided by both hosts alone ([`crate::verdict`]).

use drover_agent_api::{AbortBecause, LiveMigrate, Tuning, Wish};
use drover_policies::attempt::{Failure, FailureClass, Moved, Outcome, Phase, Progress};
use drover_policies::fleet::{Autostart, Definition};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::cutover::Before;

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::{Answer, Domains, Figures, MigrationStatus, Refusal, RefusalKind, Sighting, State};
use crate::verdict::{PATIENCE, Seen, Verdict, after_live};

mod disks;

/// How often the job's figures are read and told.
const LOOK: Span = Span::milliseconds(250);

/// How long a server must be seen to stay when it was not seen what libvirt's call returned.
const SETTLE: Span = Span::seconds(2);

/// How long a daemon that did not answer is left alone.
const PAUSE: Span = Span::seconds(1);

/// Where a live migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live {
    /// Both hosts are looked at; nothing is touched.
    Preflight,
    /// Its definition and its disks are retained, and the images that take the disks are put where the definition names them.
    Placing {
        /// As it was found.
        before: Before,
        /// Since when.
        since: Instant,
    },
    /// libvirt is asked to begin. After a restart of the agent that counts as done, as it may be.
    Starting {
        /// Whether it was started with its host: libvirt does not carry that over.
        autostart: Autostart,
    },
    /// Memory is being sent.
    Transferring {
        /// As above.
        autostart: Autostart,
        /// The settings that libvirt has.
        applied: Tuning,
        /// The passes that QEMU had counted before this attempt.
        passes_before: Option<u32>,
        /// An abort that libvirt was asked for.
        abort: Option<AbortBecause>,
    },
    /// Nothing is being sent any more (or nothing is known): both hosts say how it ended.
    Deciding {
        /// As above.
        autostart: Autostart,
        /// Since when.
        since: Instant,
        /// As above.
        abort: Option<AbortBecause>,
        /// What libvirt's call said, if it was seen to return.
        said: Option<Said>,
    },
    /// It was not moved: what was made at the destination for its disks is taken back.
    TakingOut {
        /// Since when.
        since: Instant,
        /// What is told then.
        outcome: Outcome,
    },
}

/// What libvirt's call said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// A failure, for people and for the class of a failure that the hosts confirm.
    pub failure: Option<Failure>,
    /// How long the call took.
    pub in_hypervisor: Span,
}

impl Live {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Preflight | Self::Placing { .. } | Self::Starting { .. } => Phase::Preflight,
            Self::TakingOut { .. } => Phase::RollingBack,
            Self::Transferring { .. } => Phase::Transferring,
            Self::Deciding { .. } => Phase::InDoubt,
        }
    }

    /// What an agent that has just been started makes of it: whether libvirt has been asked to begin is not known, so the
    /// job and then the hosts are looked at.
    pub(crate) fn after_restart(self) -> Self {
        match self {
            Self::Starting { autostart } => {
                let applied = Tuning::default();
                Self::Transferring { autostart, applied, passes_before: None, abort: None }
            }
            other @ (Self::Preflight
            | Self::Placing { .. }
            | Self::Transferring { .. }
            | Self::Deciding { .. }
            | Self::TakingOut { .. }) => other,
        }
    }

    /// `deciding` need not be: the hosts decide, and from `transferring` the way leads to it again.
    pub(crate) fn must_be_kept(&self) -> bool {
        match self {
            Self::Preflight | Self::Deciding { .. } => false,
            Self::Placing { .. }
            | Self::Starting { .. }
            | Self::Transferring { .. }
            | Self::TakingOut { .. } => true,
        }
    }

    pub(crate) fn step(self, order: &LiveMigrate, context: &Context<'_>) -> Step<Self> {
        match self {
            Self::Preflight => preflight(order, context),
            Self::Placing { before, since } => disks::place(order, (before, since), context),
            Self::TakingOut { since, outcome } => disks::take_out(order, (since, outcome), context),
            Self::Starting { autostart } => start(order, autostart, context),
            Self::Transferring { autostart, applied, passes_before, abort } => {
                Transfer { autostart, applied, passes_before, abort }.look(order, context)
            }
            Self::Deciding { autostart, since, abort, said } => {
                Decision { autostart, since, abort, said }.take(order, context)
            }
        }
    }

    /// Told in the words of the phase, without figures.
    fn go(self, context: &Context<'_>, when: When) -> Step<Self> {
        let progress = Progress::of(self.phase(), context.now);
        Step::Go { state: self, telling: Telling::Progress(progress), when }
    }
}

fn aborted(because: AbortBecause) -> Failure {
    match because {
        AbortBecause::NotConverging => {
            Failure { class: FailureClass::NotConverging, text: "aborted as it did not converge".to_owned() }
        }
        AbortBecause::Asked | AbortBecause::Postponed => {
            Failure { class: FailureClass::Aborted, text: "aborted on request".to_owned() }
        }
    }
}

fn preflight(order: &LiveMigrate, context: &Context<'_>) -> Step<Live> {
    if let Wish::Abort { because } = context.wish {
        return Step::ended(Outcome::stayed(aborted(because)));
    }
    let here = match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) => here,
        // It may have been moved by an operation that the ledger has lost: the hosts know.
        Ok(None) => return decide(Autostart::No, None, None, (order, context)),
        Err(refusal) => return unanswered(Live::Preflight, &refusal, context),
    };
    match here.state {
        State::Running | State::Paused => {}
        State::Off | State::Crashed => {
            return Step::stayed(
                FailureClass::RefusedBySource,
                format!("{} is {}: only a running server can be moved live", here.name, here.state),
            );
        }
        State::HeldByMigration | State::HeldOtherwise | State::Arriving => {
            return Step::stayed(FailureClass::Busy, format!("{} is {}", here.name, here.state));
        }
    }
    match destination_is_free(order.server, &here, order.destination.host.as_str(), || {
        context.hypervisor.peer(&order.destination)
    }) {
        Ok(()) => disks::approach(order, &here, context),
        Err(failure) => Step::ended(Outcome::stayed(failure)),
    }
}

/// Whether the destination answers and knows neither the server nor its name.
pub(crate) fn destination_is_free(
    server: drover_policies::ids::ServerId,
    here: &Sighting,
    destination: &str,
    peer: impl FnOnce() -> Answer<std::sync::Arc<dyn Domains>>,
) -> Result<(), Failure> {
    let clash = |text: String| Failure { class: FailureClass::RefusedByDestination, text };
    let peer = peer().map_err(|refusal| refusal.at_destination())?;
    if let Some(there) = peer.find(server).map_err(|refusal| refusal.at_destination())? {
        return Err(clash(format!(
            "name clash: {destination} already has a definition of this very server ({}, {}); if it is a left-over, undefine it there",
            there.name, there.state
        )));
    }
    match peer.named(&here.name).map_err(|refusal| refusal.at_destination())? {
        Some(other) => Err(clash(format!(
            "name clash: {destination} already has another server named {}, {other}; rename one of them",
            here.name
        ))),
        None => Ok(()),
    }
}

fn start(order: &LiveMigrate, autostart: Autostart, context: &Context<'_>) -> Step<Live> {
    if let Wish::Abort { because } = context.wish {
        return disks::not_moved(order, Outcome::stayed(aborted(because)), context);
    }
    let tuning = wished_tuning(context.wish);
    match context.hypervisor.start_migration(order, tuning) {
        Ok(()) => {
            let applied = Tuning { max_downtime_ms: None, max_bandwidth: tuning.max_bandwidth };
            let state = Transfer { autostart, applied, passes_before: None, abort: None }.state();
            state.go(context, context.after(LOOK))
        }
        Err(refusal) => decide(autostart, None, Some(said(Err(refusal), Span::ZERO)), (order, context)),
    }
}

fn wished_tuning(wish: Wish) -> Tuning {
    match wish {
        Wish::Tuned(tuning) => tuning,
        Wish::Run | Wish::AtOnce | Wish::Pace(_) | Wish::Abort { .. } => Tuning::default(),
    }
}

fn said(answer: Answer<()>, in_hypervisor: Span) -> Said {
    let failure = answer.err().map(|refusal| match refusal.kind {
        RefusalKind::NoConnection | RefusalKind::NoAnswer => {
            Failure { class: FailureClass::LostOnTheWay, text: refusal.text }
        }
        RefusalKind::NoServer | RefusalKind::Failed(_) => refusal.at_source(),
    });
    Said { failure, in_hypervisor }
}

/// Looks at both hosts at once: nothing need be written down before.
fn decide(
    autostart: Autostart,
    abort: Option<AbortBecause>,
    said: Option<Said>,
    (order, context): (&LiveMigrate, &Context<'_>),
) -> Step<Live> {
    Decision { autostart, since: context.now, abort, said }.take(order, context)
}

fn unanswered(state: Live, refusal: &Refusal, context: &Context<'_>) -> Step<Live> {
    tracing::warn!(operation = %context.id, "libvirt does not answer: {refusal}");
    state.go(context, context.after(PAUSE))
}

struct Transfer {
    autostart: Autostart,
    applied: Tuning,
    passes_before: Option<u32>,
    abort: Option<AbortBecause>,
}

impl Transfer {
    fn state(self) -> Live {
        let Self { autostart, applied, passes_before, abort } = self;
        Live::Transferring { autostart, applied, passes_before, abort }
    }

    fn look(mut self, order: &LiveMigrate, context: &Context<'_>) -> Step<Live> {
        match context.hypervisor.migration(order.server) {
            Err(refusal) => unanswered(self.state(), &refusal, context),
            Ok(MigrationStatus::None) => decide(self.autostart, self.abort, None, (order, context)),
            Ok(MigrationStatus::Returned { answer, in_hypervisor }) => {
                decide(self.autostart, self.abort, Some(said(answer, in_hypervisor)), (order, context))
            }
            Ok(MigrationStatus::Running(figures)) => {
                self.apply(order, &figures, context);
                if self.passes_before.is_none() && figures.iteration > 0 {
                    self.passes_before = Some(figures.iteration - 1);
                }
                let progress = progress(&figures, self.passes_before.unwrap_or(0), context.now);
                Step::Go {
                    state: self.state(),
                    telling: Telling::Progress(progress),
                    when: context.after(LOOK),
                }
            }
        }
    }

    /// Brings libvirt's settings to what is wished. What is refused now is tried again at the next look: the job may be
    /// between two of its parts.
    fn apply(&mut self, order: &LiveMigrate, figures: &Figures, context: &Context<'_>) {
        let answer = match context.wish {
            Wish::Abort { because } => {
                self.abort = Some(because);
                context.hypervisor.abort_migration(order.server)
            }
            Wish::Run | Wish::AtOnce | Wish::Pace(_) | Wish::Tuned(_) => {
                let tuning = wished_tuning(context.wish);
                // QEMU's settings are put back at the beginning of a migration, so they are given once memory flows.
                if tuning == self.applied || figures.total_bytes == 0 {
                    return;
                }
                context.hypervisor.tune_migration(order.server, tuning).inspect(|()| self.applied = tuning)
            }
        };
        if let Err(refusal) = answer {
            tracing::info!(operation = %context.id, "libvirt did not take up {:?}: {refusal}", context.wish);
        }
    }
}

fn progress(figures: &Figures, passes_before: u32, at: Instant) -> Progress {
    // While disks are copied there is no memory yet, and once memory flows they keep up by themselves.
    let (remaining_bytes, rate) = match figures.iteration {
        0 => (figures.remaining_bytes + figures.disks.remaining_bytes, figures.rate.max(figures.disks.rate)),
        _ => (figures.remaining_bytes, figures.rate),
    };
    Progress {
        total_bytes: figures.total_bytes + figures.disks.total_bytes,
        sent_bytes: figures.sent_bytes + figures.disks.sent_bytes,
        remaining_bytes,
        rate,
        dirty_rate: figures.dirty_rate,
        iteration: figures.iteration.saturating_sub(passes_before),
        expected_downtime_ms: figures.downtime_ms.unwrap_or(0),
        allowed_downtime_ms: figures.allowed_downtime_ms.unwrap_or(0),
        ..Progress::of(Phase::Transferring, at)
    }
}

struct Decision {
    autostart: Autostart,
    since: Instant,
    abort: Option<AbortBecause>,
    said: Option<Said>,
}

impl Decision {
    fn take(self, order: &LiveMigrate, context: &Context<'_>) -> Step<Live> {
        if let Ok(MigrationStatus::Running(_)) = context.hypervisor.migration(order.server) {
            let Self { autostart, abort, .. } = self;
            let transfer = Transfer { autostart, applied: Tuning::default(), passes_before: None, abort };
            return transfer.state().go(context, When::AtOnce);
        }
        let here = seen(&context.hypervisor.here().find(order.server));
        let peer = context.hypervisor.peer(&order.destination);
        let found = peer.as_ref().map_err(Clone::clone).and_then(|peer| peer.find(order.server));
        let there = seen(&found);
        let waited = Span::between(self.since, context.now);
        match after_live(here, there, waited) {
            // A call whose return was not seen may still be on its way through libvirt.
            Verdict::Stayed | Verdict::StoppedHere if self.said.is_none() && waited < SETTLE => {
                self.again(context)
            }
            Verdict::Moved => match (peer, found) {
                (Ok(peer), Ok(Some(there))) => self.arrived(order, peer.as_ref(), &there, context),
                (Ok(_) | Err(_), _) => self.again(context),
            },
            Verdict::Stayed => {
                let failure = self.failure(context.wish, here, there);
                disks::not_moved(order, Outcome::stayed(failure), context)
            }
            Verdict::StoppedHere => {
                let text =
                    "it was powered off while it was being moved; it is still at its source".to_owned();
                let failure = Failure { class: FailureClass::RefusedBySource, text };
                disks::not_moved(order, Outcome::stayed(failure), context)
            }
            Verdict::Gone => disks::not_moved(order, Outcome::Gone, context),
            Verdict::ClearSource => {
                self.clear(order, here, context);
                self.again(context)
            }
            Verdict::ResumeSource => {
                let answer = context.hypervisor.here().resume(order.server);
                self.note("let the source run on, as the destination has nothing", answer, context);
                self.again(context)
            }
            Verdict::Doubt => {
                if waited >= PATIENCE {
                    tracing::error!(operation = %context.id, server = %order.server, ?here, ?there,
                        "the outcome can't be known yet; nothing is touched");
                }
                self.again(context)
            }
        }
    }

    /// The destination runs it: what is left here is without life, and must not be brought to life.
    fn clear(&self, order: &LiveMigrate, here: Seen, context: &Context<'_>) {
        let source = context.hypervisor.here();
        if here == Seen::As(State::HeldByMigration) {
            self.note("end the remains at the source", source.destroy(order.server), context);
        }
        self.note("undefine the remains at the source", source.undefine(order.server), context);
    }

    fn note(&self, what: &str, answer: Answer<()>, context: &Context<'_>) {
        match answer {
            Ok(()) => tracing::warn!(operation = %context.id, "had to {what}"),
            Err(refusal) => tracing::warn!(operation = %context.id, "could not {what}: {refusal}"),
        }
    }

    fn arrived(
        self,
        order: &LiveMigrate,
        peer: &dyn Domains,
        there: &Sighting,
        context: &Context<'_>,
    ) -> Step<Live> {
        if let Err(refusal) = self.complete(order, peer, there) {
            tracing::warn!(operation = %context.id, "it has arrived, but is not marked as it was: {refusal}");
            if Span::between(self.since, context.now) < PATIENCE {
                return self.again(context);
            }
        }
        let figures = peer.last_migration(order.server).unwrap_or_else(|refusal| {
            tracing::warn!(operation = %context.id, "what the migration cost is not known: {refusal}");
            None
        });
        Step::ended(Outcome::Moved(Moved {
            sent_bytes: figures.map_or(0, |figures| figures.sent_bytes + figures.disks.sent_bytes),
            downtime: figures.and_then(|figures| figures.downtime_ms).map(Span::milliseconds),
            // A call that failed although the server has moved was not the one that moved it.
            in_libvirt: self.said.filter(|said| said.failure.is_none()).map(|said| said.in_hypervisor),
            power_off: None,
            tail: None,
        }))
    }

    /// What libvirt leaves undone: the autostart mark always, the definition when it could not be written.
    fn complete(&self, order: &LiveMigrate, peer: &dyn Domains, there: &Sighting) -> Answer<()> {
        if there.definition == Definition::Transient {
            peer.keep(order.server)?;
        }
        if self.autostart == Autostart::Yes && there.autostart == Autostart::No {
            peer.set_autostart(order.server, Autostart::Yes)?;
        }
        Ok(())
    }

    fn failure(&self, wish: Wish, here: Seen, there: Seen) -> Failure {
        // An abort that a killed agent had asked for is known by the wish alone.
        match (self.abort, wish) {
            (Some(because), _) | (None, Wish::Abort { because }) => return aborted(because),
            (None, Wish::Run | Wish::AtOnce | Wish::Pace(_) | Wish::Tuned(_)) => {}
        }
        let said = self.said.as_ref().and_then(|said| said.failure.clone());
        said.unwrap_or_else(|| Failure {
            class: FailureClass::LostOnTheWay,
            text: format!(
                "the agent did not see how libvirt's migration ended; by the state of both hosts it was rolled back (source {here:?}, destination {there:?})"
            ),
        })
    }

    fn again(self, context: &Context<'_>) -> Step<Live> {
        let when = context.again(self.since);
        let Self { autostart, since, abort, said } = self;
        Live::Deciding { autostart, since, abort, said }.go(context, when)
    }
}

fn seen(answer: &Answer<Option<Sighting>>) -> Seen {
    match answer {
        Ok(Some(sighting)) => Seen::As(sighting.state),
        Ok(None) => Seen::Absent,
        Err(_) => Seen::Unknown,
    }
}
