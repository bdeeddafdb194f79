//! What somebody asks for without a maintenance: a reboot migration at his own time, its taking back, and the way back of one that is done.
//!
//! Each is decided as a whole here, place and time included, so that whoever asks has a definite answer; what follows is the conductor's as for any
//! migration.

use std::collections::{BTreeMap, BTreeSet};

mod refusal;

use super::known::Known;
use super::{Changes, Conductor, Situation};
use crate::appointment::{self, Appointment};
use crate::attempt::Method;
use crate::blueprint::Shaped;
use crate::checks::Validation;
use crate::eligibility::{Suits, WhyBlocked, WhyNotLive, has_local_disks, suits};
use crate::events::{Happened, Through};
use crate::fleet::{Ability, Server};
use crate::ids::{HostName, MaintenanceId, MigrationId, ServerId, TicketId};
use crate::maintenance::{Maintenance, Stage, State as MaintenanceState};
use crate::migration::{self, Asked, Confirmation, Ends, Loss, Migration, Purpose, State, Waiting};
use crate::notices::{Actor, Tells, WhyGivenUp, Wisher};
use crate::placement::{WhyNotHere, Wish};
use crate::policy::Policy;
use crate::self_service::{self, Earlier};
use crate::time::{Instant, Span};
use crate::windows::Slot;

pub use refusal::{Other, Refusal};

/// A wish for a reboot migration.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of which server.
    pub server: ServerId,
    /// Who wishes.
    pub by: Actor,
    /// When; nothing for now.
    pub at: Option<Instant>,
    /// Why, in his words.
    pub reason: String,
    /// What its owner has asked for already.
    pub earlier: Vec<Earlier>,
}

/// A wish to have a server back where it was.
#[derive(Debug, Clone)]
pub struct Back {
    /// Before which migration.
    pub migration: MigrationId,
    /// Who wishes.
    pub by: Actor,
    /// When; nothing for now.
    pub at: Option<Instant>,
    /// Whether what the server has written to its local disks since may be lost by it.
    pub loss: Loss,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The new migration.
    pub migration: Migration,
    /// All that changes, the new migration included.
    pub changes: Changes,
}

/// Somebody wants a server moved by a reboot, now or at a time that he chooses.
///
/// # Errors
/// It can't be had, and what can.
pub fn ask(situation: Situation<'_>, request: &Request) -> Result<Opened, Refusal> {
    let mut conductor = Conductor::new(situation);
    let server = conductor.free_to_move(request.server, None)?;
    let policy = conductor.policies.shared_of(server, conductor.fleet);
    let rules = &policy.policy.owners;
    match Wisher::of(&request.by) {
        Wisher::Owner => {
            self_service::may_ask(rules, request.server, &request.earlier, conductor.now)?;
        }
        Wisher::Operators => {}
    }
    let asked = Asked {
        by: request.by.clone(),
        reason: request.reason.clone(),
        deadline: conductor.now + rules.self_service_ahead.delta(),
    };
    let opened = conductor.draft(server, Purpose::Asked { asked: asked.clone() }, &asked);
    let opened = conductor
        .ensure_place(opened, server)
        .map_err(|placeless| conductor.no_place(server, &placeless.migration))?;
    let opened = conductor.set_time(opened, &policy.policy, request.at)?;
    if let Some(slot) = opened.appointment.slot() {
        let downtime = conductor.expected_downtime(&opened, &policy.policy);
        conductor.tell(&opened, "requested", Tells::Requested { slot, downtime, by: request.by.clone() });
    }
    Ok(conductor.opened(opened))
}

/// Somebody wants a server back where it was before a migration.
///
/// # Errors
/// It can't go back, and what can be done instead; nothing when there is no such migration that is not over.
pub fn revert(situation: Situation<'_>, back: &Back) -> Result<Option<Opened>, Refusal> {
    let mut conductor = Conductor::new(situation);
    let Some(original) = conductor.find(back.migration).cloned() else { return Ok(None) };
    let reverted = conductor.take_back(&original, back)?;
    conductor.change(original.id, |_, _| reverted.original);
    Ok(Some(conductor.opened(reverted.by)))
}

/// Somebody takes back what was asked for.
///
/// # Errors
/// It is not his to take back, or it has begun. Nothing when there is no such migration that is not over.
pub fn cancel(
    situation: Situation<'_>,
    migration: MigrationId,
    by: &Actor,
) -> Result<Option<Changes>, migration::Refusal> {
    let mut conductor = Conductor::new(situation);
    let Some(before) = conductor.find(migration).cloned() else { return Ok(None) };
    let after = before.clone().cancel(Wisher::of(by), conductor.now)?;
    if before.is_drill() {
        let ended = conductor.stop_drill(before, WhyGivenUp::Cancelled { by: by.clone() });
        conductor.write(ended);
        return Ok(Some(conductor.into_changes()));
    }
    conductor.give_up_asked(&after, WhyGivenUp::Cancelled { by: by.clone() });
    conductor.change(migration, |_, _| after);
    Ok(Some(conductor.into_changes()))
}

/// A migration that is being taken back, and the one that takes it back. Neither is written yet.
pub(super) struct Reverted {
    pub(super) original: Migration,
    pub(super) by: Migration,
}

impl<'a> Conductor<'a> {
    /// Opens the way back of a migration that is done.
    pub(super) fn take_back(
        &mut self,
        original: &Migration,
        &Back { ref by, at, loss, .. }: &Back,
    ) -> Result<Reverted, Refusal> {
        let policy = self.policy_for(original);
        let may = original.revertible(policy.policy.owners.confirm_within, self.now)?;
        let server = self.free_to_move(original.server, Some(original.id))?;
        if Some(&server.host) != original.to() {
            return Err(Refusal::MovedSince);
        }
        self.may_lose(server, original, loss, &policy.policy)?;
        let kept = self.policies.general().retention.definitions;
        let asked = Asked {
            by: by.clone(),
            reason: format!("revert of migration {}", original.number),
            // What is kept of it at its old host is kept no longer than this.
            deadline: may.completed_at + kept.delta(),
        };
        let purpose = Purpose::Revert { of: original.link(), asked: asked.clone(), loss };
        let drafted = self.draft(server, purpose, &asked);
        let shaped = original.shaped.as_ref().map(Shaped::back);
        let opened = Migration { ticket: original.ticket, shaped, ..drafted };
        // Its old disks are there still.
        self.room.settle(opened.server, &original.from);
        let opened = self
            .ensure_place(opened, server)
            .map_err(|placeless| self.not_there(&placeless.migration, server, &original.from))?;
        let opened = self.set_time(opened, &policy.policy, at)?;
        if let Some(slot) = opened.appointment.slot() {
            let downtime = self.expected_downtime(&opened, &policy.policy);
            self.tell(&opened, "reverting", Tells::Reverting { slot, downtime, by: by.clone() });
        }
        let link = opened.link();
        self.say(original, Happened::Reverting { by: by.clone(), through: link.number, loss });
        let state =
            State::Reverting { by: link, completed_at: may.completed_at, moved: may.moved, until: may.until };
        Ok(Reverted { original: Migration { state, ..original.clone() }, by: opened })
    }

    /// Whether what the server has written to its local disks since can be copied back, or else given up.
    fn may_lose(
        &self,
        server: &Server,
        original: &Migration,
        loss: Loss,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        match (loss, has_local_disks(&server.facts)) {
            (Loss::None, false) => Ok(()),
            (Loss::None, true) => {
                match suits(server, self.fleet, Some(WhyNotLive::OwnerAskedForReboot), policy) {
                    Suits::Nothing(why @ WhyBlocked::NotReplicating { .. }) => {
                        Err(Refusal::NotCopiedBack { why: Box::new(why) })
                    }
                    // What else may block it does so either way, and is told with all that does.
                    Suits::Live | Suits::Reboot(_) | Suits::Nothing(_) => Ok(()),
                }
            }
            (Loss::Accepted, false) => Err(Refusal::NothingToLose),
            (Loss::Accepted, true) => {
                let can = |host: &HostName| {
                    let known = self.room.host(host);
                    known.is_some_and(|known| known.facts.can(Ability::ReturnToRetained))
                };
                match [&server.host, &original.from].into_iter().find(|host| !can(host)) {
                    Some(host) => Err(Refusal::TooOld { host: host.clone() }),
                    None => Ok(()),
                }
            }
        }
    }

    /// A server that nothing moves, but for this migration.
    fn free_to_move(&self, id: ServerId, but: Option<MigrationId>) -> Result<&'a Server, Refusal> {
        let server = self.fleet.server(id).ok_or(Refusal::NotSeen)?;
        let open = self.migrations.iter().find(|known| {
            known.server == id && Some(known.id) != but && known.is_open() && !known.is_drill()
        });
        match open {
            Some(open) => Err(Refusal::UnderWay { number: open.number }),
            None => Ok(server),
        }
    }

    fn draft(&mut self, server: &Server, purpose: Purpose, asked: &Asked) -> Migration {
        let number = self.next_number;
        self.next_number += 1;
        Migration {
            id: MigrationId::draw(self.ids),
            number,
            maintenance: None,
            purpose,
            reason: asked.reason.clone(),
            server: server.facts.id,
            server_name: server.facts.name.clone(),
            owner: server.facts.owner.clone(),
            from: server.host.clone(),
            place: None,
            place_why: String::new(),
            method: Method::Reboot,
            why_not_live: Some(WhyNotLive::OwnerAskedForReboot),
            state: State::Pending { waits_for: Waiting::Nothing },
            attempts: Vec::new(),
            appointment: Appointment::Unscheduled,
            declined: Vec::new(),
            agreed_at: None,
            ticket: None,
            deadline: asked.deadline,
            opened_at: self.now,
            validation: Validation::default(),
            shaped: None,
            left_off: None,
        }
    }

    /// One that begins now goes the way of every migration that begins; a chosen time has its place and its ticket at once.
    fn set_time(
        &mut self,
        mut migration: Migration,
        policy: &Policy,
        at: Option<Instant>,
    ) -> Result<Migration, Refusal> {
        let Some(by) = migration.asked().map(|asked| asked.by.clone()) else { return Ok(migration) };
        let planned = Happened::Planned {
            method: Method::Reboot,
            to: migration.to().cloned(),
            why_not_live: migration.why_not_live.clone(),
        };
        match at {
            None => {
                migration.appointment = Appointment::StartNow { at: self.now, by: by.clone() };
                self.say(&migration, planned);
                self.say(&migration, Happened::StartNow { by, through: Through::Himself });
            }
            Some(wished) => {
                let slot = self.choose(&migration, policy, (&by, wished))?;
                migration.appointment = Appointment::Rescheduled { slot, by: by.clone() };
                migration.agreed_at = Some(self.now);
                migration.ticket = migration.ticket.or_else(|| Some(TicketId::draw(self.ids)));
                migration.state = State::Ready { waits_for: Waiting::Owner { until: slot.start } };
                self.say(&migration, planned);
                self.say(&migration, Happened::AskedFor { slot, by });
            }
        }
        Ok(migration)
    }

    /// The slot that begins at a wished moment, by every rule about times. What only the length decides comes last: a time that is past is not "taken".
    pub(super) fn choose(
        &self,
        migration: &Migration,
        policy: &Policy,
        (by, wished): (&Actor, Instant),
    ) -> Result<Slot, appointment::Refusal> {
        let agree = |slot: Slot| {
            migration.appointment.clone().reschedule(&appointment::Wish {
                slot,
                by: by.clone(),
                deadline: migration.deadline,
                rules: &policy.owners,
                now: self.now,
            })
        };
        match agree(Slot::from_start(wished, Span::ZERO)) {
            // Which is the latest is known when it is known how long it takes.
            Ok(_) | Err(appointment::Refusal::AfterDeadline { .. }) => {}
            Err(refusal) => return Err(refusal),
        }
        let slot = self.slot_at(migration, policy, wished)?;
        agree(slot).map(|_| slot)
    }

    fn opened(mut self, migration: Migration) -> Opened {
        self.write(migration.clone());
        Opened { migration, changes: self.into_changes() }
    }

    fn no_place(&self, server: &Server, migration: &Migration) -> Refusal {
        let policy = self.policies.shared_of(server, self.fleet);
        let wish = Wish { server, policy, method: migration.method, blueprint: migration.blueprint() };
        let why = self.room.find_wish(&wish, &BTreeMap::new()).err();
        why.map_or(Refusal::NotSeen, |why| Refusal::NoPlace { why })
    }

    fn not_there(&self, migration: &Migration, server: &Server, host: &HostName) -> Refusal {
        let policy = self.policies.shared_of(server, self.fleet);
        let wish = Wish { server, policy, method: Method::Reboot, blueprint: migration.blueprint() };
        let why = self.room.judge_wish(&wish, host).err().unwrap_or(WhyNotHere::Unknown);
        let other = match self.room.find_wish(&wish, &BTreeMap::new()) {
            Ok(_) => Other::Could,
            Err(_) => Other::Neither,
        };
        Refusal::NotThere { host: host.clone(), why: Box::new(why), other }
    }

    /// The one host to which a migration may go: the old one, as long as it is nothing but a revert.
    pub(super) fn pinned(&self, migration: &Migration) -> Option<HostName> {
        let of = migration.reverts().filter(|_| migration.maintenance.is_none())?;
        self.find(of.migration).map(|original| original.from.clone())
    }

    /// Changes another migration than the one that is being advanced.
    pub(super) fn change(&mut self, id: MigrationId, change: impl FnOnce(&mut Self, Migration) -> Migration) {
        let Some(index) = self.at_hand.migration(id) else { return };
        let before = self.migrations[index].clone();
        let after = change(self, Migration::clone(&before));
        if after != *before {
            self.counted.change(&before, &after, self.fleet);
            self.migrations[index] = after.clone().into();
            self.write(after);
        }
    }

    /// Whether what was asked for can't be done in time any more.
    pub(super) fn is_out_of_time(&mut self, migration: &Migration) -> bool {
        if migration.asked().is_none()
            || migration.maintenance.is_some()
            || migration.appointment.slot().is_some()
        {
            return false;
        }
        self.look_again_at(migration.deadline);
        self.now >= migration.deadline
    }

    pub(super) fn out_of_time(&mut self, migration: Migration) -> Migration {
        self.end_asked(migration, WhyGivenUp::OutOfTime)
    }

    /// What was asked for is not done.
    pub(super) fn end_asked(&mut self, mut migration: Migration, why: WhyGivenUp) -> Migration {
        self.give_up_asked(&migration, why);
        self.leave_place(&migration);
        migration.appointment = Appointment::Done;
        migration.state = State::Cancelled { at: self.now };
        migration
    }

    fn give_up_asked(&mut self, migration: &Migration, why: WhyGivenUp) {
        self.say(migration, Happened::GivenUp { why: why.clone() });
        self.tell(migration, "given_up", Tells::GivenUp { why });
        self.not_reverted(migration);
    }

    /// What a revert was to take back stays where it is, if it was one.
    pub(super) fn not_reverted(&mut self, migration: &Migration) {
        let Some(of) = migration.reverts() else { return };
        let through = migration.link();
        self.change(of.migration, |this, mut original| {
            if let State::Reverting { by, completed_at, moved, until } = original.state.clone()
                && by == through
            {
                this.say(&original, Happened::NotReverted { through: through.number });
                let confirmation = Confirmation::Awaited { until: Some(until) };
                original.state = State::Completed { at: completed_at, moved, confirmation };
            }
            original
        });
    }

    /// Whether a migration has taken a server back to where it was; then what it reverts is told so, and what is kept of it is thrown away.
    pub(super) fn reverted(&mut self, migration: &Migration) -> bool {
        let Some(of) = migration.reverts() else { return false };
        let through = migration.link();
        let mut is_back = false;
        self.change(of.migration, |this, mut original| {
            let State::Reverting { by, completed_at, moved, .. } = original.state.clone() else {
                return original;
            };
            if by != through || migration.to() != Some(&original.from) {
                return original;
            }
            is_back = true;
            this.say(&original, Happened::Reverted { through: through.number });
            let operation = this.discard(&original);
            original.state =
                State::Discarding { operation, completed_at, moved, then: Ends::Reverted { by: through } };
            original
        });
        if !is_back {
            self.not_reverted(migration);
        }
        is_back
    }

    /// What was asked for on hosts that a maintenance empties is that maintenance's as well from here on; and it is its owner's alone again when that
    /// was cancelled.
    ///
    /// Answers with the hosts on which a maintenance has adopted something.
    pub(super) fn adopt_and_release(&mut self) -> BTreeMap<MaintenanceId, BTreeSet<HostName>> {
        let mut adopting: BTreeMap<MaintenanceId, BTreeSet<HostName>> = BTreeMap::new();
        let asked: Vec<Migration> = self
            .migrations
            .iter()
            .filter(|known| known.asked().is_some() && known.is_open())
            .map(|known| Migration::clone(known))
            .collect();
        for migration in asked {
            let known = migration.maintenance.and_then(|id| self.maintenances.get(&id));
            let left_out = |known: &Known<'_, Maintenance>| {
                let stage = known.hosts.get(&migration.from);
                matches!(known.state, MaintenanceState::Cancelled { .. })
                    || matches!(stage, Some(Stage::Skipped { .. }))
            };
            if known.is_some_and(left_out) {
                self.change(migration.id, |this, migration| this.release(migration));
            }
            let needs = self.maintenances.values().find(|maintenance| {
                maintenance.state == MaintenanceState::Running
                    && maintenance.hosts.get(&migration.from).is_some_and(Stage::is_being_emptied)
            });
            let free = self.find(migration.id).is_some_and(|known| known.maintenance.is_none());
            if let Some(maintenance) = needs.filter(|_| free).cloned() {
                self.change(migration.id, |this, migration| this.adopt(migration, &maintenance));
                adopting.entry(maintenance.id).or_default().insert(migration.from);
            }
        }
        adopting
    }

    fn adopt(&mut self, mut migration: Migration, maintenance: &Maintenance) -> Migration {
        migration.maintenance = Some(maintenance.id);
        migration.reason = maintenance.reason.clone();
        migration.deadline = maintenance.deadline;
        self.say(&migration, Happened::Adopted);
        let waits = matches!(migration.state, State::Preparing { .. } | State::Ready { .. });
        match migration.appointment.slot() {
            // The time that he chose is too late now: he is asked anew, and that message says why.
            Some(slot) if waits && slot.end > migration.deadline => {
                migration.appointment = Appointment::Unscheduled;
                migration.state = State::Ready { waits_for: Waiting::Nothing };
            }
            slot if waits => {
                self.tell(&migration, &format!("needed/{}", maintenance.id), Tells::Needed { slot });
            }
            Some(_) | None => {}
        }
        migration
    }

    fn release(&mut self, mut migration: Migration) -> Migration {
        if let Some(asked) = migration.asked().cloned() {
            self.say(&migration, Happened::Released);
            migration.maintenance = None;
            migration.reason = asked.reason;
            migration.deadline = asked.deadline;
        }
        migration
    }
}
