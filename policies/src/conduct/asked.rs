//! What somebody asks for without a maintenance: a reboot migration at his own time, its taking back, and the way back of one that is done.
//!
//! Each is decided as a whole here, place and time included, so that whoever asks has a definite answer; what follows is the conductor's as for any
//! migration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Changes, Conductor, Situation};
use crate::appointment::{self, Appointment};
use crate::attempt::Method;
use crate::checks::Validation;
use crate::eligibility::WhyNotLive;
use crate::events::{Happened, Through};
use crate::fleet::Server;
use crate::ids::{HostName, MaintenanceId, MigrationId, ServerId, TicketId};
use crate::maintenance::{Maintenance, State as MaintenanceState};
use crate::migration::{self, Asked, Confirmation, Ends, Migration, Purpose, State, Waiting};
use crate::notices::{Actor, Tells, WhyGivenUp, Wisher};
use crate::placement::{NoPlace, WhyNotHere, Wish};
use crate::policy::{Policy, Subject};
use crate::self_service::{self, Earlier};
use crate::time::{Instant, Span};
use crate::windows::Slot;

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
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The new migration.
    pub migration: Migration,
    /// All that changes, the new migration included.
    pub changes: Changes,
}

/// Why something that is asked for is not done, and what would be possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not so often.
    #[error(transparent)]
    TooOften(#[from] self_service::Refusal),
    /// Not at that time.
    #[error(transparent)]
    Time(#[from] appointment::Refusal),
    /// Not in its state.
    #[error(transparent)]
    State(#[from] migration::Refusal),
    /// It is not seen on any host.
    #[error("the server is not seen on any host at present")]
    NotSeen,
    /// It is to be moved already.
    #[error("DR-{number} moves it already; choose the time of that one with reschedule, or have it done now")]
    UnderWay {
        /// By which migration.
        number: u32,
    },
    /// It is not where it was moved to.
    #[error(
        "the server has been moved again since, so there is no way back; it can be moved with migrate, to whichever host suits it"
    )]
    MovedSince,
    /// No host can take it.
    #[error("no other host can take it at present: {why}")]
    NoPlace {
        /// Why none can.
        why: NoPlace,
    },
    /// The host that it left can't take it.
    #[error("{host}, where it was, can't take it: it {why}; {other}")]
    NotThere {
        /// Which host.
        host: HostName,
        /// Why not.
        why: Box<WhyNotHere>,
        /// Whether another one could.
        other: Other,
    },
}

/// Whether a host other than the one that is wanted could take a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// One could.
    Could,
    /// None could.
    Neither,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Could => "another host could take it: ask for that with migrate",
            Self::Neither => "no other host could take it either at present; ask again later",
        })
    }
}

impl Refusal {
    /// As an owner may read it: no host is named, nobody else's server, and nothing of how full they are.
    #[must_use]
    pub fn for_owner(&self) -> String {
        match self {
            Self::NoPlace { .. } => "no other host has room for it at present; ask again later".to_owned(),
            Self::NotThere { why, other, .. } => format!("{}; {other}", why_not_back(why)),
            Self::TooOften(_)
            | Self::Time(_)
            | Self::State(_)
            | Self::NotSeen
            | Self::UnderWay { .. }
            | Self::MovedSince => self.to_string(),
        }
    }
}

fn why_not_back(why: &WhyNotHere) -> &'static str {
    match why {
        WhyNotHere::NotOpen { .. } | WhyNotHere::Emptied => {
            "where it was, the hardware is closed for maintenance"
        }
        WhyNotHere::Silent { .. } | WhyNotHere::Unknown | WhyNotHere::SourceUnknown => {
            "where it was, the hardware can't be reached at present"
        }
        WhyNotHere::Vcpus { .. } | WhyNotHere::Memory { .. } | WhyNotHere::DiskRoom { .. } => {
            "where it was, there is no room any more"
        }
        WhyNotHere::NameTaken { .. }
        | WhyNotHere::AntiAffinity { .. }
        | WhyNotHere::Affinity { .. }
        | WhyNotHere::Together { .. } => {
            "where it was, the servers that are there now keep it away (its name, or rules about which may be together)"
        }
        WhyNotHere::Source => "it is where it was already",
        WhyNotHere::OtherCluster { .. }
        | WhyNotHere::Arch { .. }
        | WhyNotHere::CpuModel { .. }
        | WhyNotHere::CpuPassthrough { .. }
        | WhyNotHere::MachineType { .. }
        | WhyNotHere::Storage { .. }
        | WhyNotHere::OlderLibvirt { .. }
        | WhyNotHere::NotReplicating
        | WhyNotHere::NoDirectory { .. }
        | WhyNotHere::Label { .. }
        | WhyNotHere::Excluded { .. } => "where it was, the hardware does not suit it any more",
    }
}

/// Somebody wants a server moved by a reboot, now or at a time that he chooses.
///
/// # Errors
/// It can't be had, and what can.
pub fn ask(situation: Situation<'_>, request: &Request) -> Result<Opened, Refusal> {
    let mut conductor = Conductor::new(situation);
    let server = conductor.free_to_move(request.server, None)?;
    let policy = conductor.policies.shared(&Subject::of(server, conductor.fleet));
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
    let reverted = conductor.take_back(&original, &back.by, back.at)?;
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
        by: &Actor,
        at: Option<Instant>,
    ) -> Result<Reverted, Refusal> {
        let policy = self.policy_for(original);
        let may = original.revertible(policy.policy.owners.confirm_within, self.now)?;
        let server = self.free_to_move(original.server, Some(original.id))?;
        if Some(&server.host) != original.to() {
            return Err(Refusal::MovedSince);
        }
        let kept = self.policies.general().retention.definitions;
        let asked = Asked {
            by: by.clone(),
            reason: format!("revert of migration {}", original.number),
            // What is kept of it at its old host is kept no longer than this.
            deadline: may.completed_at + kept.delta(),
        };
        let purpose = Purpose::Revert { of: original.link(), asked: asked.clone() };
        let opened = Migration { ticket: original.ticket, ..self.draft(server, purpose, &asked) };
        // Its old disks are there still.
        self.room.settle(opened.server, &original.from);
        let opened = self.ensure_place(opened, server).map_err(|_| self.not_there(server, &original.from))?;
        let opened = self.set_time(opened, &policy.policy, at)?;
        if let Some(slot) = opened.appointment.slot() {
            let downtime = self.expected_downtime(&opened, &policy.policy);
            self.tell(&opened, "reverting", Tells::Reverting { slot, downtime, by: by.clone() });
        }
        let link = opened.link();
        self.say(original, Happened::Reverting { by: by.clone(), through: link.number });
        let state =
            State::Reverting { by: link, completed_at: may.completed_at, moved: may.moved, until: may.until };
        Ok(Reverted { original: Migration { state, ..original.clone() }, by: opened })
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
        let policy = self.policies.shared(&Subject::of(server, self.fleet));
        let wish = Wish { server, policy, method: migration.method };
        let why = self.room.find_wish(&wish, &BTreeMap::new()).err();
        why.map_or(Refusal::NotSeen, |why| Refusal::NoPlace { why })
    }

    fn not_there(&self, server: &Server, host: &HostName) -> Refusal {
        let policy = self.policies.shared(&Subject::of(server, self.fleet));
        let wish = Wish { server, policy, method: Method::Reboot };
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
        let Some(index) = self.migrations.iter().position(|known| known.id == id) else { return };
        let before = self.migrations[index].clone();
        let after = change(self, before.clone());
        if after != before {
            self.counted.change(&before, &after, self.fleet);
            self.migrations[index] = after.clone();
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

    pub(super) fn out_of_time(&mut self, mut migration: Migration) -> Migration {
        self.give_up_asked(&migration, WhyGivenUp::OutOfTime);
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
    pub(super) fn adopt_and_release(&mut self) -> BTreeSet<MaintenanceId> {
        let mut adopting = BTreeSet::new();
        let asked: Vec<Migration> = self
            .migrations
            .iter()
            .filter(|known| known.asked().is_some() && known.is_open())
            .cloned()
            .collect();
        for migration in asked {
            let known = migration.maintenance.and_then(|id| self.maintenances.get(&id));
            if known.is_some_and(|known| matches!(known.state, MaintenanceState::Cancelled { .. })) {
                self.change(migration.id, |this, migration| this.release(migration));
            }
            let needs = self.maintenances.values().find(|maintenance| {
                maintenance.state == MaintenanceState::Running
                    && maintenance.hosts.contains_key(&migration.from)
            });
            let free = self.find(migration.id).is_some_and(|known| known.maintenance.is_none());
            if let Some(maintenance) = needs.filter(|_| free).cloned() {
                self.change(migration.id, |this, migration| this.adopt(migration, &maintenance));
                adopting.insert(maintenance.id);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_of_no_host_and_no_neighbour() {
        let host: HostName = "h7".parse().expect("a name");
        let refusals = [
            WhyNotHere::NotOpen { standing: "draining".to_owned() },
            WhyNotHere::Memory { needs: 2, free: 1 },
            WhyNotHere::NameTaken { name: "theirs".to_owned() },
            WhyNotHere::AntiAffinity { group: "g".to_owned(), with: "theirs".to_owned() },
        ];
        for why in refusals {
            let refusal = Refusal::NotThere { host: host.clone(), why: Box::new(why), other: Other::Could };
            let said = refusal.for_owner();
            assert!(!said.contains("h7") && !said.contains("theirs"), "{said}");
            assert!(said.contains("migrate"), "it says what would be possible: {said}");
        }
    }
}
