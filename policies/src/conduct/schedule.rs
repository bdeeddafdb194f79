//! Finding the time of a reboot migration, and reminding its owner of it.

use std::ops::Bound;

use chrono::TimeDelta;

use super::{Conductor, drill};
use crate::appointment::{Appointment, Refusal};
use crate::estimate::{Estimate, expected_move, expected_reboot};
use crate::events::Happened;
use crate::ids::ServerId;
use crate::migration::{Migration, Purpose, State, Waiting};
use crate::notices::{Actor, Reserved, Tells, Trial};
use crate::owners::{Nearness, Scope};
use crate::policy::{Policy, WithoutSlot};
use crate::replica::{Replica, TestResult};
use crate::time::{Instant, Span};
use crate::windows::{Slot, Slots, Wanted, first_fit};

/// How far back from the deadline a time is looked for, in steps.
const MOST_STEPS_BACK: usize = 10_000;

/// A reminder that comes so long before its time, or longer, advises to try the server at its destination.
const TRIED_BEFORE: Span = Span::hours(24);

/// How many free times somebody who is refused one is offered.
const OFFERED: usize = 3;

/// A time that was found.
pub(super) struct Found {
    pub(super) slot: Slot,
    chosen: Chosen,
}

impl Found {
    pub(super) fn is_in_window(&self) -> bool {
        matches!(self.chosen, Chosen::InWindow(_))
    }
}

/// Why this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// It is the first that fits into these windows.
    InWindow(Nearness),
    /// None fits, and it is the last before the deadline.
    AtDeadline,
}

impl Chosen {
    fn words(self) -> &'static str {
        match self {
            Self::InWindow(from) => from.windows(),
            Self::AtDeadline => "the last time before the deadline, for nothing earlier fits the windows",
        }
    }
}

/// Why there is no room for one more at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Full {
    /// One of its hosts does as many reboots then as it may.
    Hosts,
    /// As many of its owner's servers are rebooted then as may be.
    Owner {
        /// How many.
        most: u32,
        /// Among which.
        among: Scope,
        /// Who says so.
        says: Says,
    },
}

/// Who says how many of an owner's servers may be moved at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    Policy,
    Maintenance,
    Owner,
}

/// How long an appointment of a server is: the downtime as it may well be, in whole steps, and one more in which to begin late.
#[must_use]
pub fn slot_length(policy: &Policy, expected: &Estimate) -> Span {
    rounded_up(expected.downtime_p90, policy)
}

fn rounded_up(downtime: Span, policy: &Policy) -> Span {
    let downtime = downtime.as_milliseconds();
    let step = policy.windows.slot_step.as_milliseconds().max(1);
    Span::milliseconds((downtime.div_ceil(step) + 1) * step)
}

/// Why there is no time.
pub(super) struct NoSlot {
    /// What stands in the way, in words that an owner may read.
    pub(super) why: String,
    /// What an operator could do.
    pub(super) help: String,
}

impl NoSlot {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting::Slot { why: format!("{}; {}", self.why, self.help) }
    }
}

impl Conductor<'_> {
    pub(super) fn expected_downtime(&self, migration: &Migration, policy: &Policy) -> Span {
        if let Purpose::Drill { duration, .. } = migration.purpose {
            return duration;
        }
        self.expected(migration, policy).downtime_p90
    }

    /// What to expect of a migration's reboot.
    fn expected(&self, migration: &Migration, policy: &Policy) -> Estimate {
        let history = self.history.get(&migration.server).map_or(&[][..], Vec::as_slice);
        let Some(server) = self.fleet.server(migration.server) else {
            return expected_reboot(&policy.reboot, history);
        };
        if migration.loss_accepted_by().is_some() {
            return expected_reboot(&policy.reboot, history);
        }
        // By what is stored of it, not by what its agent tells from second to second: an appointment's length must not flicker.
        expected_move(&server.facts, policy, history, self.replica_for(migration).and_then(Replica::seen))
    }

    /// Proposes the first time that suits everybody, or says why there is none.
    pub(super) fn propose(&mut self, mut migration: Migration, policy: &Policy) -> Migration {
        match self.find_slot(&migration, policy) {
            Ok(found) => {
                let slot = found.slot;
                let tells = Tells::Proposed {
                    slot,
                    downtime: self.expected_downtime(&migration, policy),
                    reserved: if migration.place.is_some() { Reserved::Yes } else { Reserved::NotYet },
                    window: found.chosen.words().to_owned(),
                };
                self.tell(&migration, &format!("proposed/{}", slot.start.timestamp_micros()), tells);
                self.set_proposed(&mut migration, slot);
                self.wait(migration, Waiting::Owner { until: slot.start })
            }
            Err(none) => {
                // Whoever declines until nothing is left is told so once more.
                let fact = match migration.declined.len() {
                    0 => "no_slot".to_owned(),
                    declined => format!("no_slot/{declined}"),
                };
                // Who waits for a time already has been told so, if by another message: that a try failed, or a time was missed.
                if !matches!(migration.state.waits_for(), Some(Waiting::Slot { .. })) {
                    self.tell(&migration, &fact, Tells::NoSlot { why: none.why.clone() });
                }
                self.wait(migration, none.waiting())
            }
        }
    }

    /// The owner has been told of this time, by whatever message.
    pub(super) fn set_proposed(&mut self, migration: &mut Migration, slot: Slot) {
        self.say(migration, Happened::Proposed { slot });
        migration.appointment = Appointment::Proposed { slot };
        migration.agreed_at = Some(self.now);
    }

    /// The first time that is open, has room, keeps the notice and ends before the deadline. One that was declined is not found again; after
    /// the opening in which it lay is looked first, then after itself, then everywhere.
    ///
    /// Where there is none, policy may allow the last time before the deadline, outside of the windows.
    ///
    /// # Errors
    /// What stands in the way, and what would help.
    pub(super) fn find_slot(&self, migration: &Migration, policy: &Policy) -> Result<Found, NoSlot> {
        if let Some(found) = self.set_aside_for(migration, policy) {
            return Ok(found);
        }
        let found = self.in_windows(migration, policy, self.wait_for(migration, policy));
        found.or_else(|none| match policy.owners.no_slot {
            WithoutSlot::Ask => Err(none),
            WithoutSlot::AtDeadline => self.last_before_deadline(migration, policy).ok_or(none),
        })
    }

    /// In place of a time that can't be kept: a later one if there is any. Whoever was told of a day next week has planned with that, and with none
    /// before.
    ///
    /// # Errors
    /// As [`Self::find_slot`].
    pub(super) fn later_than(
        &self,
        migration: &Migration,
        policy: &Policy,
        told: Slot,
    ) -> Result<Found, NoSlot> {
        let until_then = Span::between(self.now, told.start);
        let later = self.in_windows(migration, policy, self.wait_for(migration, policy).max(until_then));
        later.or_else(|_| self.find_slot(migration, policy))
    }

    /// What was found for it together with others.
    fn set_aside_for(&self, migration: &Migration, policy: &Policy) -> Option<Found> {
        let known = self.set_aside.get(&migration.id).filter(|known| known.to.as_ref() == migration.to())?;
        let (_, range) = self.between(migration, policy);
        let (_, from) = self.owners.open_for(&self.whose(migration), policy, range);
        Some(Found { slot: known.slot, chosen: Chosen::InWindow(from) })
    }

    /// From when on a time is looked for, and until when; what opened before the notice is over may still be open when it is.
    pub(super) fn between(&self, migration: &Migration, policy: &Policy) -> (Instant, Slot) {
        let not_before = self.now + self.wait_for(migration, policy).delta();
        (not_before, Slot { start: not_before, end: migration.deadline })
    }

    /// The notice; and a time at which the disks can't have been copied yet would be missed.
    pub(super) fn wait_for(&self, migration: &Migration, policy: &Policy) -> Span {
        self.notice_for(migration, policy).max(self.time_to_copy(migration, policy))
    }

    /// In whole steps, as notices are told in words.
    fn time_to_copy(&self, migration: &Migration, policy: &Policy) -> Span {
        match self.sync_left(migration, policy) {
            Span::ZERO => Span::ZERO,
            left => rounded_up(left, policy),
        }
    }

    fn in_windows(&self, migration: &Migration, policy: &Policy, notice: Span) -> Result<Found, NoSlot> {
        let not_before = self.now + notice.delta();
        let deadline = migration.deadline.format("%Y-%m-%d %H:%M UTC");
        if not_before >= migration.deadline {
            return Err(NoSlot {
                why: format!("the notice of {notice} ends after the deadline, {deadline}"),
                help: self.would_help(migration, policy, "an emergency"),
            });
        }
        let length = self.slot_length(migration, policy);
        // What opened before the notice is over may still be open when it is.
        let range = Slot { start: not_before, end: migration.deadline };
        let (open, from) = self.owners.open_for(&self.whose(migration), policy, range);
        let is_free = |slot: Slot| {
            !migration.declined.iter().any(|declined| declined.overlaps(slot))
                && self.room_for(migration, policy, slot).is_ok()
        };
        let step = policy.windows.slot_step;
        self.beginnings(migration, policy, not_before)
            .into_iter()
            .find_map(|not_before| first_fit(&open, Wanted { not_before, length, step }, is_free))
            .map(|slot| Found { slot, chosen: Chosen::InWindow(from) })
            .ok_or_else(|| NoSlot {
                // Without the present in it: else each look would find another reason, and tell it.
                why: format!(
                    "no stretch of {length} is open and free in {} between the end of the notice, {notice} from now, and the deadline, {deadline}",
                    from.windows()
                ),
                help: self.would_help(migration, policy, "another window"),
            })
    }

    /// From where on a time is looked for, the best first.
    fn beginnings(&self, migration: &Migration, policy: &Policy, not_before: Instant) -> Vec<Instant> {
        let mut beginnings = vec![not_before];
        if let Some(declined) = migration.declined.last() {
            beginnings.insert(0, not_before.max(declined.end));
            let range = Slot { end: migration.deadline.max(declined.end), ..*declined };
            let (openings, _) = self.owners.windows_in(&self.whose(migration), policy, range);
            let lay_in = openings.into_iter().find(|opening| opening.overlaps(*declined));
            beginnings.splice(0..0, lay_in.map(|opening| not_before.max(opening.end)));
        }
        beginnings
    }

    /// The last time before the deadline at which nothing is frozen and that has room, whatever the windows say; far enough ahead for its
    /// owner to choose another.
    fn last_before_deadline(&self, migration: &Migration, policy: &Policy) -> Option<Found> {
        let length = self.slot_length(migration, policy).delta();
        let step = policy.windows.slot_step.delta().max(TimeDelta::seconds(1));
        let earliest = self.now + policy.owners.reschedule_ahead.delta();
        let last = migration.deadline - length;
        // On a whole multiple of the step, as people write times.
        let beyond = TimeDelta::microseconds(
            last.timestamp_micros().rem_euclid(step.num_microseconds().unwrap_or(1).max(1)),
        );
        std::iter::successors(Some(last - beyond), |start| start.checked_sub_signed(step))
            .take_while(|start| *start >= earliest)
            .take(MOST_STEPS_BACK)
            .map(|start| Slot { start, end: start + length })
            .find(|slot| {
                !migration.declined.iter().any(|declined| declined.overlaps(*slot))
                    && self.owners.frozen(&self.whose(migration), policy, *slot).is_empty()
                    && self.room_for(migration, policy, *slot).is_ok()
            })
            .map(|slot| Found { slot, chosen: Chosen::AtDeadline })
    }

    pub(super) fn slot_length(&self, migration: &Migration, policy: &Policy) -> Span {
        if let Purpose::Drill { duration, .. } = migration.purpose {
            return duration;
        }
        slot_length(policy, &self.expected(migration, policy))
    }

    /// An owner to whom a time was proposed before has had his notice; he gets the time in which he could still change the date.
    fn notice_for(&self, migration: &Migration, policy: &Policy) -> Span {
        let lead = policy.notice.lead_by_reason.get(&migration.reason).copied().unwrap_or(policy.notice.lead);
        let proposed = format!("{}/proposed/", migration.id);
        let known = self.told.range::<str, _>((Bound::Included(proposed.as_str()), Bound::Unbounded));
        let known = known.take(1).any(|key| key.starts_with(&proposed))
            // He has chosen one himself.
            || migration.asked().is_some();
        if known { lead.min(policy.owners.reschedule_ahead) } else { lead }
    }

    /// Whether the hosts have room for one more at that time, and its owner allows one more.
    ///
    /// # Errors
    /// Which of them has not.
    pub(super) fn room_for(&self, migration: &Migration, policy: &Policy, slot: Slot) -> Result<(), Full> {
        // A drill takes nobody's place.
        if migration.is_drill() {
            return Ok(());
        }
        let at_host = policy.limits.reboots_per_host;
        let busy = [Some(&migration.from), migration.to()]
            .into_iter()
            .flatten()
            .any(|host| self.counted.promised_at(host, slot, migration.id) >= at_host);
        if busy {
            return Err(Full::Hosts);
        }
        let Some(owner) = &migration.owner else { return Ok(()) };
        let promised = || self.counted.promised_to(owner, slot, migration.id);
        if let Some((most, says)) = self.most_of_owner(migration, policy)
            && promised().count() >= most as usize
        {
            return Err(Full::Owner { most, among: Scope::Account, says });
        }
        for limit in self.owners.limits_for(&self.whose(migration)) {
            let among = |server: &ServerId| limit.scope.nearness(&self.whose_of(owner, *server)).is_some();
            if promised().filter(among).count() >= limit.max_simultaneous as usize {
                let (most, among) = (limit.max_simultaneous, limit.scope.clone());
                return Err(Full::Owner { most, among, says: Says::Owner });
            }
        }
        Ok(())
    }

    /// A time that was proposed, and was frozen by its owner since, is not kept: he gets another. One that he has agreed to or chosen himself
    /// stands, for he knew what he did.
    pub(super) fn withdraw_if_frozen(&mut self, migration: &mut Migration, policy: &Policy) {
        let Appointment::Proposed { slot } = migration.appointment else { return };
        // What has come is begun or missed.
        if slot.start <= self.now {
            return;
        }
        let frozen = self.owners.frozen(&self.whose(migration), policy, slot);
        let Some(freeze) = frozen.first() else { return };
        let why = format!("a freeze has been set for it ({})", freeze.name);
        migration.declined.push(slot);
        migration.appointment = Appointment::Unscheduled;
        self.say(migration, Happened::Withdrawn { slot, why, freeze: Some(freeze.name.to_owned()) });
    }

    pub(super) fn decline(&mut self, mut migration: Migration, by: Actor) -> Result<(), Refusal> {
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let slot = migration.appointment.clone().decline(&policy.owners, self.now)?;
        migration.declined.push(slot);
        migration.appointment = Appointment::Unscheduled;
        migration.state = State::Ready { waits_for: Waiting::Nothing };
        if let Ok(Found { chosen: Chosen::AtDeadline, .. }) = self.find_slot(&migration, policy) {
            // Nothing fits into the windows. Whoever declined his way out of them was told which time is the last.
            let (open, _) = self.owners.open_for(&self.whose(&migration), policy, slot);
            if !Slots::from(open).covers(slot) {
                let deadline = migration.deadline;
                let free = self.free(&migration, policy);
                return Err(Refusal::LastTime { start: slot.start, deadline, free });
            }
        }
        self.say(&migration, Happened::Declined { slot, by });
        let migration = self.propose(migration, policy);
        self.write(migration);
        Ok(())
    }

    /// Reminders that are due. One that policy wants earlier than a tenth of the lead after its time was told is left out: that message says it all.
    pub(super) fn remind(&mut self, migration: &Migration, policy: &Policy) {
        let Some(slot) = migration.appointment.slot() else { return };
        let downtime = self.expected_downtime(migration, policy);
        let mut reminders = match migration.purpose {
            Purpose::Drill { .. } => drill::reminders(migration, policy),
            Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. } => policy.notice.reminders.clone(),
        };
        reminders.sort();
        let since = migration.agreed_at.unwrap_or(migration.opened_at);
        let worthwhile = |due: Instant| (due - since) * 10 >= slot.start - since;
        let mut due_now = None;
        for left in reminders {
            let due = slot.start - left.delta();
            if !worthwhile(due) {
                continue;
            }
            if due > self.now {
                self.look_again_at(due);
            } else if due_now.is_none() {
                // The nearest one speaks for those that were due before it: nobody wants three at once after an outage.
                due_now = Some(left);
            }
        }
        if let Some(left) = due_now
            && slot.start > self.now
        {
            let fact = format!("reminder/{}/{left}", slot.start.timestamp_micros());
            // One that comes late says what is really left.
            let late = self.now - (slot.start - left.delta()) >= Span::minutes(1).delta();
            let left = if late { whole_minutes(Span::between(self.now, slot.start)) } else { left };
            let trial = if left >= TRIED_BEFORE { self.trial(migration) } else { Trial::NotAdvised };
            self.tell(migration, &fact, Tells::Reminder { slot, left, downtime, trial });
        }
    }

    /// A server can be tried once a copy of its disks has landed, and need not be once somebody has said that it passed.
    fn trial(&self, migration: &Migration) -> Trial {
        let Some(replica) = self.replica_for(migration) else { return Trial::NotAdvised };
        let landed = self.status_of(replica).is_some_and(|seen| seen.rounds > 0);
        let mark = replica.test.as_ref().and_then(|test| test.mark.as_ref());
        let passed = mark.is_some_and(|mark| mark.result == TestResult::Passed);
        if landed && !passed { Trial::Advised } else { Trial::NotAdvised }
    }
}

/// What an owner who chooses a time is offered.
impl Conductor<'_> {
    /// Up to `most` times at which this migration could happen, the earliest first.
    pub(super) fn free_slots(&self, migration: &Migration, policy: &Policy, most: usize) -> Vec<Slot> {
        let from = self.now + policy.owners.reschedule_ahead.delta();
        let length = self.slot_length(migration, policy);
        let range = Slot { start: from, end: migration.deadline };
        let (open, _) = self.owners.open_for(&self.whose(migration), policy, range);
        let wanted = Wanted { not_before: from, length, step: policy.windows.slot_step };
        wanted.fits(&open).filter(|slot| self.room_for(migration, policy, *slot).is_ok()).take(most).collect()
    }

    /// The next few beginnings, for whoever is refused one.
    fn free(&self, migration: &Migration, policy: &Policy) -> Vec<Instant> {
        self.free_slots(migration, policy, OFFERED).iter().map(|slot| slot.start).collect()
    }

    pub(super) fn slot_at(
        &self,
        migration: &Migration,
        policy: &Policy,
        wished: Instant,
    ) -> Result<Slot, Refusal> {
        let slot = Slot::from_start(wished, self.slot_length(migration, policy));
        let free = || self.free(migration, policy);
        if slot.end > migration.deadline {
            let (deadline, latest) = (migration.deadline, migration.deadline - (slot.end - slot.start));
            return Err(Refusal::AfterDeadline { wished, deadline, latest });
        }
        if let Some(freeze) = self.owners.frozen(&self.whose(migration), policy, slot).first() {
            return Err(Refusal::Excluded { wished, name: freeze.name.to_owned(), free: free() });
        }
        match self.room_for(migration, policy, slot) {
            Ok(()) => Ok(slot),
            Err(Full::Hosts) => Err(Refusal::Taken { wished, free: free() }),
            Err(Full::Owner { most, among, .. }) => Err(Refusal::Limit { wished, most, among, free: free() }),
        }
    }
}

/// Never less than one.
fn whole_minutes(span: Span) -> Span {
    Span::minutes((span.0.as_secs() / 60).max(1))
}
