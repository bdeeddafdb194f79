//! The reboot way: a ticket, a time, the cutover, and what is kept for a while afterwards.

use super::armed::{Within, ahead};
use super::schedule::{Found, Full, NoSlot};
use super::shared::Whereabouts;
use super::validation::{LookedBefore, being_looked_at};
use super::{Conductor, Go, IfRunning, Intent};
use crate::appointment::{Appointment, MayBegin};
use crate::attempt::{
    Failure, FailureClass, LeftOff, Method, Moved, Outcome, Phase, PhaseDone, PowerOff, Report,
};
use crate::events::Happened;
use crate::fleet::{Power, Server};
use crate::ids::{OperationId, TicketId};
use crate::migration::{Confirmation, Ends, FailedBecause, Migration, State, Waiting};
use crate::notices::{Actor, Avoidance, Tells, WhyGivenUp};
use crate::policy::Policy;
use crate::time::{Instant, Span};
use crate::windows::Slot;

impl Conductor<'_> {
    /// A server that is off is moved without ticket or window: nobody notices.
    pub(super) fn begin_cold(&mut self, migration: Migration, server: &Server, policy: &Policy) -> Migration {
        let migration = match self.ensure_place(migration, server) {
            Ok(migration) => migration,
            Err(placeless) => return self.wait(placeless.migration, placeless.waits_for),
        };
        self.cut_over(migration, policy, IfRunning::LeaveAlone, None)
    }

    /// Holds a place, opens the ticket, proposes a time.
    pub(super) fn become_ready(
        &mut self,
        migration: Migration,
        server: &Server,
        policy: &Policy,
    ) -> Migration {
        // Without a place the owner is told all the same: he may stop or move his server, and the time is his to plan with.
        let mut migration = match self.ensure_place(migration, server) {
            Ok(migration) => migration,
            Err(placeless) => placeless.migration,
        };
        if migration.ticket.is_none() {
            migration.ticket = Some(TicketId::draw(self.ids));
        }
        if let Go::Emergency { why } = self.go(&migration) {
            migration.appointment = Appointment::Emergency { why };
        }
        migration.state = State::Ready { waits_for: Waiting::Nothing };
        if migration.appointment == Appointment::Unscheduled {
            self.propose(migration, policy)
        } else {
            migration
        }
    }

    pub(super) fn ready(&mut self, migration: Migration) -> Migration {
        if self.is_out_of_time(&migration) {
            return self.out_of_time(migration);
        }
        let server = match self.whereabouts(&migration) {
            Whereabouts::Here(server) => server,
            Whereabouts::Elsewhere => return self.avoided(migration, Avoidance::MovedElsewhere),
            Whereabouts::Deleted => return self.avoided(migration, Avoidance::Deleted),
            Whereabouts::Unknown if self.go(&migration) == Go::Cancelled => return self.cancelled(migration),
            Whereabouts::Unknown => {
                let host = migration.from.clone();
                let migration = self.wait(migration, Waiting::Agent { host });
                return self.miss_if_passed(migration);
            }
        };
        let go = self.go(&migration);
        if go == Go::Cancelled {
            return self.cancelled(migration);
        }
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let mut migration = match self.choose_method(migration, server, policy) {
            Ok(migration) => migration,
            Err(blocked) => return self.miss_if_passed(*blocked),
        };
        if migration.method == Method::Live {
            migration.appointment = Appointment::Unscheduled;
            migration.state = State::Pending { waits_for: Waiting::Nothing };
            return migration;
        }
        if let Some(text) = self.not_retained(&migration) {
            return self.end_asked(migration, WhyGivenUp::NothingRetained { text });
        }
        migration = self.prepared(migration, server);
        if let Go::Emergency { why } = &go {
            migration.appointment = Appointment::Emergency { why: why.clone() };
        }
        self.withdraw_if_frozen(&mut migration, policy);
        if migration.appointment == Appointment::Unscheduled {
            // A time may be told once without a place; another one only with a place, or its owner would get one after the other that
            // can't be kept.
            return match self.ensure_place(migration, server) {
                Ok(migration) => self.propose(migration, policy),
                Err(placeless) => self.wait(placeless.migration, placeless.waits_for),
            };
        }
        self.remind(&migration, policy);
        self.begin_when_due(migration, server, &go)
    }

    fn begin_when_due(&mut self, migration: Migration, server: &Server, go: &Go) -> Migration {
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let downtime = self.expected_downtime(&migration, policy);
        // Nobody notices the move of a server that is off; but whoever chose a time for it himself meant that time, unless it is off by our doing.
        let chosen =
            migration.asked().is_some() && migration.maintenance.is_none() && migration.left_off.is_none();
        let off = server.facts.power == Power::Off && !chosen && !is_coming_back(&migration, server);
        let may_begin = if off { MayBegin::Now } else { migration.appointment.may_begin(self.now, downtime) };
        match may_begin {
            MayBegin::Missed(slot) => self.missed(migration, slot, policy),
            MayBegin::NotAgreed => migration,
            MayBegin::NotBefore(until) => {
                // The place is looked after while there is time to find another.
                let order_at = until - ahead(policy).delta();
                let waits_there = *go != Go::Paused && self.patient.contains(&migration.from);
                let placed = self.ensure_place(migration, server);
                match placed.map(|migration| self.keep_time(migration, policy)) {
                    // Another place, and so another time: its owner is told.
                    Ok(migration) if migration.appointment.slot().is_some_and(|slot| slot.start != until) => {
                        migration
                    }
                    Ok(migration) if waits_there && self.now >= order_at => {
                        let within = migration.appointment.slot().and_then(|slot| Within::of(slot, downtime));
                        self.cut_over(migration, policy, IfRunning::PowerOff, within)
                    }
                    Ok(migration) => {
                        self.look_again_at(order_at);
                        self.wait(migration, Waiting::Owner { until })
                    }
                    Err(placeless) => {
                        self.look_again_at(until);
                        self.wait(placeless.migration, placeless.waits_for)
                    }
                }
            }
            MayBegin::Now if *go == Go::Paused => self.wait_within_slot(migration, Waiting::Paused),
            MayBegin::Now => {
                let migration = match self.ensure_place(migration, server) {
                    Ok(migration) => migration,
                    Err(placeless) => return self.wait_within_slot(placeless.migration, placeless.waits_for),
                };
                let agreed = migration.appointment.may_begin(self.now, downtime) == MayBegin::Now;
                let if_running = if agreed { IfRunning::PowerOff } else { IfRunning::LeaveAlone };
                let slot =
                    migration.appointment.slot().filter(|_| agreed && self.patient.contains(&migration.from));
                let within = slot.and_then(|slot| Within::of(slot, downtime));
                self.cut_over(migration, policy, if_running, within)
            }
        }
    }

    /// A place may have been lost since its time was agreed on. The owner is told only if the time can't be kept at the new one: that is
    /// promised to others then, or its disks can't have been copied there by then.
    fn keep_time(&mut self, mut migration: Migration, policy: &Policy) -> Migration {
        let before = self.find(migration.id).and_then(Migration::to).cloned();
        let Some(slot) = migration.appointment.slot() else { return migration };
        if before.as_ref() == migration.to() {
            return migration;
        }
        let why = if self.now + self.sync_left(&migration, policy).delta() > slot.start {
            "copying its disks anew takes longer than until then"
        } else if self.room_for(&migration, policy, slot) == Err(Full::Hosts) {
            "the only place that is left is promised to others then"
        } else {
            return migration;
        };
        let unscheduled = Migration { appointment: Appointment::Unscheduled, ..migration.clone() };
        // Without another time this one stands: it may yet be kept, and if it is missed the owner hears of it.
        let Ok(found) = self.later_than(&unscheduled, policy, slot) else { return migration };
        self.say(&migration, Happened::Withdrawn { slot, why: why.to_owned(), freeze: None });
        let tells = Tells::Rescheduled { from: slot, slot: found.slot, by: Actor::Drover };
        self.tell(&migration, &format!("moved/{}", found.slot.start.timestamp_micros()), tells);
        self.say(&migration, Happened::Rescheduled { slot: found.slot, by: Actor::Drover });
        migration.appointment = Appointment::Proposed { slot: found.slot };
        migration.agreed_at = Some(self.now);
        self.wait(migration, Waiting::Owner { until: found.slot.start })
    }

    fn wait_within_slot(&mut self, migration: Migration, waits_for: Waiting) -> Migration {
        if let Some(slot) = migration.appointment.slot() {
            self.look_again_at(slot.end);
        }
        self.wait(migration, waits_for)
    }

    /// Orders it, to be begun within a time if there is one. `if_running`: nobody has agreed to a reboot of a server that is moved because
    /// it is off.
    fn cut_over(
        &mut self,
        mut migration: Migration,
        policy: &Policy,
        if_running: IfRunning,
        within: Option<Within>,
    ) -> Migration {
        let Some(to) = migration.to().cloned() else { return migration };
        if let Some(limit) = self.limit_reached(&migration, policy, &to) {
            return self.wait_within_slot(migration, Waiting::Turn { limit });
        }
        let disks = match self.cut_over_with(&migration, policy) {
            Ok(disks) => disks,
            Err(waits_for) => return self.wait_within_slot(migration, waits_for),
        };
        let shape = match self.shape_ordered(&migration) {
            Ok(shape) => shape,
            Err(waits_for) => return self.wait_within_slot(migration, waits_for),
        };
        if if_running == IfRunning::PowerOff {
            migration = match self.look_before(migration, policy) {
                LookedBefore::Done(migration) => migration,
                LookedBefore::Waits(migration) => return self.wait_within_slot(migration, being_looked_at()),
            };
        }
        if matches!(migration.appointment, Appointment::Running { .. }) {
            // Only a retried cold move comes here with the appointment of its last try.
            migration.appointment = Appointment::Unscheduled;
        }
        let (server, left_off) = (migration.server, migration.left_off);
        let intent = Intent::Reboot { server, to, if_running, within, disks, left_off, shape };
        let operation = self.begin(&mut migration, intent);
        match within {
            Some(_) => {
                migration.state = State::CuttingOver { operation, phase: Phase::Armed };
                migration
            }
            None => self.has_begun(migration, operation),
        }
    }

    pub(super) fn cutting_over(&mut self, mut migration: Migration) -> Migration {
        let State::CuttingOver { operation, phase } = migration.state else { return migration };
        self.abort_if_cancelled(&migration);
        if phase == Phase::Armed {
            return self.armed(migration, operation);
        }
        let report = self.reports.get(&operation).cloned();
        self.phases_done(&mut migration, operation, report.as_ref().map_or(&[], Report::phases_done));
        match report {
            None => migration,
            Some(Report::Running(progress)) => {
                if progress.phase != phase {
                    self.say(&migration, Happened::PhaseReached { phase: progress.phase });
                    migration.state = State::CuttingOver { operation, phase: progress.phase };
                }
                migration
            }
            Some(Report::Ended { outcome: Outcome::Moved(moved), .. }) => {
                self.arrived(migration, operation, moved)
            }
            Some(Report::Ended {
                outcome: Outcome::StayedAtSource { failure, left_off: Some(was) }, ..
            }) => self.left_off(migration, operation, failure, was),
            Some(
                Report::Ended { outcome: Outcome::StayedAtSource { failure, .. }, .. }
                | Report::Refused(failure),
            ) => self.stayed(migration, operation, failure),
            Some(Report::Ended { outcome: Outcome::Gone, .. }) => self.gone(migration, operation),
            Some(
                Report::Alive { .. }
                | Report::NotAlive(_)
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Importing(_)
                | Report::ImportEnded { .. }
                | Report::Testing(_)
                | Report::RunningHook(_)
                | Report::HookRan(_)
                | Report::Healthy(_)
                | Report::Unhealthy(_)
                | Report::Tested { .. },
            ) => {
                let text = "the agent's answer does not fit the order".to_owned();
                self.stayed(migration, operation, Failure { class: FailureClass::Unexpected, text })
            }
        }
    }

    /// Each phase that is over is told once, though its agent tells all of them each time: most are shorter than the way here.
    fn phases_done(&mut self, migration: &mut Migration, operation: OperationId, done: &[PhaseDone]) {
        let Some(attempt) = migration.attempts.iter_mut().find(|attempt| attempt.operation == operation)
        else {
            return;
        };
        let news = done.get(attempt.phases.len()..).unwrap_or_default();
        attempt.phases.extend_from_slice(news);
        for done in news {
            self.say(migration, Happened::PhaseDone { done: *done });
        }
    }

    pub(super) fn stayed(
        &mut self,
        mut migration: Migration,
        operation: OperationId,
        failure: Failure,
    ) -> Migration {
        // A try that ended before it touched anything has left it as it was: off, if an earlier one has left it so.
        if let Some(was) = migration.left_off.filter(|_| self.is_still_off(&migration)) {
            return self.left_off(migration, operation, failure, was);
        }
        self.try_failed(&mut migration, operation, &failure);
        if self.go(&migration) == Go::Cancelled {
            return self.cancelled(migration);
        }
        if failure.class == FailureClass::Aborted {
            // He has read that it begins, and waits for its end.
            let why = failure.class.to_string();
            let tells = Tells::RolledBack { why, downtime: None, slot: None, left_off: false };
            self.tell(&migration, &format!("rolled_back/{operation}"), tells);
            return self.give_up(migration, FailedBecause::Aborted);
        }
        migration.state = State::RolledBack { at: self.now, failure };
        migration
    }

    /// It ran, and was left off at its source by policy: nothing more is done before a person has looked at it.
    pub(super) fn left_off(
        &mut self,
        mut migration: Migration,
        operation: OperationId,
        last: Failure,
        was: LeftOff,
    ) -> Migration {
        self.try_failed(&mut migration, operation, &last);
        migration.left_off = Some(was);
        let why = last.class.to_string();
        let tells = Tells::RolledBack { why, downtime: None, slot: None, left_off: true };
        self.tell(&migration, &format!("rolled_back/{operation}"), tells);
        self.give_up(migration, FailedBecause::LeftOff { last })
    }

    fn try_failed(&mut self, migration: &mut Migration, operation: OperationId, failure: &Failure) {
        self.end_attempt(migration, operation, Some(failure.clone()));
        let what =
            Happened::AttemptFailed { method: Method::Reboot, failure: failure.clone(), again_at: None };
        self.say(migration, what);
        migration.appointment = Appointment::Unscheduled;
    }

    /// It runs at its source again: another time is looked for, or a person is asked.
    pub(super) fn rolled_back(&mut self, mut migration: Migration) -> Migration {
        let State::RolledBack { at, failure } = migration.state.clone() else { return migration };
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let tries = migration.failed_attempts(Method::Reboot);
        let why = failure.class.to_string();
        // By the try itself, not by its number: an operator's retry begins to count anew.
        let Some(operation) = migration.attempts.last().map(|attempt| attempt.operation) else {
            return migration;
        };
        let told = format!("rolled_back/{operation}");
        if tries >= policy.reboot.attempts {
            self.tell(
                &migration,
                &told,
                Tells::RolledBack { why, downtime: None, slot: None, left_off: false },
            );
            return self.give_up(migration, FailedBecause::AttemptsUsedUp { last: failure });
        }
        // In an emergency, and for a server that was off, nothing is agreed: the next try waits for the back-off alone.
        if migration.ticket.is_none() || matches!(self.go(&migration), Go::Emergency { .. }) {
            let until = at + policy.retry.wait_before(tries + 1).delta();
            migration.state = State::Pending { waits_for: Waiting::BackOff { until } };
            self.look_again_at(until);
            return migration;
        }
        let found = self.find_slot(&migration, policy);
        let slot = found.as_ref().ok().map(|found| found.slot);
        self.tell(&migration, &told, Tells::RolledBack { why, downtime: None, slot, left_off: false });
        migration.state = State::Ready { waits_for: Waiting::Nothing };
        self.another_time(migration, found)
    }

    /// The owner has been told of this time, or that there is none, by the message about what went wrong: one is enough.
    fn another_time(&mut self, mut migration: Migration, found: Result<Found, NoSlot>) -> Migration {
        match found {
            Ok(found) => {
                self.set_proposed(&mut migration, found.slot);
                migration
            }
            Err(none) => self.wait(migration, none.waiting()),
        }
    }

    /// What waits for something else than its time must not let that time pass in silence: its owner is told, and gets another.
    fn miss_if_passed(&mut self, migration: Migration) -> Migration {
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let downtime = self.expected_downtime(&migration, policy);
        if let Some(slot) = migration.appointment.slot() {
            self.look_again_at(slot.end);
        }
        match migration.appointment.may_begin(self.now, downtime) {
            MayBegin::Missed(slot) => self.missed(migration, slot, policy),
            MayBegin::Now | MayBegin::NotBefore(_) | MayBegin::NotAgreed => migration,
        }
    }

    fn missed(&mut self, mut migration: Migration, missed: Slot, policy: &Policy) -> Migration {
        let why = match migration.state.waits_for() {
            Some(Waiting::Paused) => "the maintenance was paused".to_owned(),
            Some(Waiting::Turn { .. }) => {
                "other migrations at the same hosts took longer than expected".to_owned()
            }
            Some(Waiting::Place { .. }) => "no other host had room at that time".to_owned(),
            Some(Waiting::Replica { .. }) => "the copy of its disks was not up to date in time".to_owned(),
            Some(Waiting::Blocked { .. }) => "something on the server stood in the way".to_owned(),
            Some(Waiting::Agent { .. }) => "its host could not be reached".to_owned(),
            Some(
                Waiting::Nothing | Waiting::BackOff { .. } | Waiting::Owner { .. } | Waiting::Slot { .. },
            )
            // The scheduler was down, or a clock was set: from here that looks the same.
            | None => "the time was over when the scheduler looked at it again".to_owned(),
        };
        self.say(&migration, Happened::Missed { slot: missed, why: why.clone() });
        migration.appointment = Appointment::Unscheduled;
        let has_place = migration.place.is_some();
        let found = self.find_slot(&migration, policy);
        let slot = found.as_ref().ok().map(|found| found.slot).filter(|_| has_place);
        self.tell(
            &migration,
            &format!("missed/{}", missed.start.timestamp_micros()),
            Tells::Missed { missed, why, slot },
        );
        migration.state = State::Ready { waits_for: Waiting::Nothing };
        if has_place { self.another_time(migration, found) } else { migration }
    }

    pub(super) fn reboot_finished(&mut self, mut migration: Migration, mut moved: Moved) -> Migration {
        // For its owner a server is down until it is seen alive, not until its processors start.
        let started = migration.attempts.last().and_then(|attempt| attempt.end.as_ref()).map(|end| end.at);
        if let (Some(downtime), Some(started)) = (moved.downtime, started) {
            let until_alive = Span::between(started, self.now).0.saturating_sub(migration.validation.took.0);
            moved.downtime = Some(Span(downtime.0 + until_alive));
        }
        let mut was_off = moved.power_off == Some(PowerOff::WasOff);
        if was_off && migration.left_off.is_some() {
            // That was our doing: for its owner it has been brought up again.
            (was_off, moved.power_off) = (false, None);
        }
        if was_off && migration.ticket.is_some() && migration.reverts().is_none() {
            return self.avoided(migration, Avoidance::MovedWhileOff);
        }
        if let Appointment::Emergency { why } = &migration.appointment {
            let why = why.clone();
            self.tell(&migration, "emergency", Tells::Emergency { why });
        }
        migration.appointment = Appointment::Done;
        let confirmation = if self.reverted(&migration) {
            let (downtime, power_off) = (moved.downtime, moved.power_off);
            let loss_accepted_by = migration.loss_accepted_by().cloned();
            self.tell(&migration, "reverted", Tells::Reverted { downtime, power_off, loss_accepted_by });
            // It is where it was before anything was done: there is nothing to go back to.
            Confirmation::Given { by: Actor::Drover }
        } else {
            let until = self.confirm_until(&migration, self.now);
            let (downtime, power_off) = (moved.downtime, moved.power_off);
            let findings = migration.validation.findings.clone();
            let tells = Tells::Done { downtime, power_off, confirm_until: Some(until), findings };
            self.tell(&migration, "done", tells);
            Confirmation::Awaited { until: Some(until) }
        };
        migration.state = State::Completed { at: self.now, moved, confirmation };
        migration
    }

    /// Until when one that was completed then can be confirmed and reverted; never longer than its definition may be kept.
    pub(super) fn confirm_until(&self, migration: &Migration, completed_at: Instant) -> Instant {
        let within = self.policy_for(migration).policy.owners.confirm_within;
        let kept = self.policies.general().retention.definitions;
        completed_at + within.min(kept).delta()
    }

    /// The source's retained definition is thrown away when it is said that all is well, or the time to say otherwise is over.
    pub(super) fn completed(&mut self, mut migration: Migration) -> Migration {
        let State::Completed { at, moved, confirmation } = migration.state.clone() else { return migration };
        match confirmation {
            Confirmation::Awaited { until } => {
                let until = until.unwrap_or_else(|| self.confirm_until(&migration, at));
                if self.now < until {
                    self.look_again_at(until);
                    return migration;
                }
                self.say(&migration, Happened::Confirmed { by: Actor::Drover });
                let confirmation = Confirmation::Given { by: Actor::Drover };
                migration.state = State::Completed { at, moved, confirmation };
                migration
            }
            Confirmation::Given { .. } => {
                if !self.is_silent(&migration.from) {
                    let operation = self.discard(&migration);
                    migration.state =
                        State::Discarding { operation, completed_at: at, moved, then: Ends::Closed };
                }
                migration
            }
        }
    }

    pub(super) fn discarding(&mut self, mut migration: Migration) -> Migration {
        let State::Discarding { operation, completed_at, moved, then } = migration.state.clone() else {
            return migration;
        };
        match self.reports.get(&operation) {
            None | Some(Report::Running(_)) => migration,
            Some(_) => {
                self.changes.ended.push(operation);
                migration.state = match then {
                    Ends::Closed => {
                        self.say(&migration, Happened::Closed);
                        State::Closed { completed_at, moved }
                    }
                    // That was told when the server was back.
                    Ends::Reverted { by } => State::Reverted { by, completed_at, moved },
                };
                migration
            }
        }
    }
}

/// Whether a server may be shown as off only because it was seen before the end of a try after which it was started again.
fn is_coming_back(migration: &Migration, server: &Server) -> bool {
    let last = migration.attempts.last().and_then(|attempt| attempt.end.as_ref());
    last.is_some_and(|end| end.failure.is_some() && server.observed_at <= end.at)
}
