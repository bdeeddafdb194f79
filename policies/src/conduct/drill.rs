//! Drills: an owner is told and asked as for a move, and nothing is touched.
//!
//! They are kept apart from the migrations that are worked on. So nothing that plans, places, counts or limits ever meets one, and a drill can
//! neither hold a place nor take a turn; it goes by the clock alone. When its server is to be moved for real it gives way.

use super::Conductor;
use super::known::Known;
use super::shared::Whereabouts;
use crate::appointment::{Appointment, MayBegin};
use crate::events::Happened;
use crate::ids::TicketId;
use crate::migration::{Migration, Purpose, State, Waiting};
use crate::notices::{Avoidance, Reserved, Tells, WhyGivenUp};
use crate::policy::Policy;
use crate::time::Span;

impl Conductor<'_> {
    /// Takes each drill as far as it goes now; after everything else, so that a move that has just been opened is seen.
    pub(super) fn rehearse(&mut self) {
        for index in 0..self.drills.len() {
            let before = self.drills[index].clone();
            let mut drill = Migration::clone(&before);
            // It may be announced and begin in one call. The bound is a guard, as in `advance_all`.
            for _ in 0..4 {
                let state = drill.state.clone();
                drill = self.advance_drill(drill);
                if drill.state == state {
                    break;
                }
            }
            if drill != *before {
                self.drills[index] = drill.clone().into();
                self.write(drill);
            }
        }
    }

    fn advance_drill(&mut self, drill: Migration) -> Migration {
        let Purpose::Drill { duration, .. } = drill.purpose else { return drill };
        if drill.is_over() {
            return drill;
        }
        let for_real = |other: &Known<'_, Migration>| other.server == drill.server && other.is_open();
        if self.migrations.iter().any(for_real) {
            return self.stop_drill(drill, WhyGivenUp::ForReal);
        }
        if matches!(self.whereabouts(&drill), Whereabouts::Deleted) {
            return self.avoided(drill, Avoidance::Deleted);
        }
        match drill.state {
            State::Pending { .. } => self.announce_drill(drill, duration),
            State::Preparing { .. } | State::Ready { .. } => self.begin_drill_when_due(drill, duration),
            State::Rehearsing { .. } => self.end_drill_when_due(drill, duration),
            // Nothing else ever becomes of a drill.
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => drill,
        }
    }

    /// Opens its ticket. Whoever asked for it has chosen the time.
    fn announce_drill(&mut self, mut drill: Migration, duration: Span) -> Migration {
        drill.ticket = Some(TicketId::draw(self.ids));
        drill.state = State::Ready { waits_for: Waiting::Nothing };
        let Some(slot) = drill.appointment.slot() else { return drill };
        let tells = Tells::Proposed {
            slot,
            downtime: duration,
            reserved: Reserved::NotYet,
            window: "the time that was chosen for the drill".to_owned(),
        };
        self.tell(&drill, &format!("proposed/{}", slot.start.timestamp_micros()), tells);
        self.say(&drill, Happened::Proposed { slot });
        drill
    }

    fn begin_drill_when_due(&mut self, mut drill: Migration, duration: Span) -> Migration {
        match drill.appointment.may_begin(self.now, Span::ZERO) {
            MayBegin::NotBefore(until) => {
                let effective = self.policy_for(&drill);
                self.remind(&drill, &effective.policy);
                self.wait(drill, Waiting::Owner { until })
            }
            MayBegin::Now => {
                let until = self.now + duration.delta();
                self.tell(&drill, "started", Tells::Started { downtime: duration });
                self.say(&drill, Happened::DrillBegan { until });
                drill.appointment = Appointment::Running { slot: drill.appointment.slot() };
                drill.state = State::Rehearsing { began_at: self.now, until };
                drill
            }
            // Another time would be a drill that nobody waits for any more.
            MayBegin::Missed(_) | MayBegin::NotAgreed => self.stop_drill(drill, WhyGivenUp::OutOfTime),
        }
    }

    fn end_drill_when_due(&mut self, mut drill: Migration, duration: Span) -> Migration {
        let State::Rehearsing { began_at, until } = drill.state else { return drill };
        if self.now < until {
            self.look_again_at(until);
            return drill;
        }
        let done = Tells::Done {
            downtime: Some(duration),
            power_off: None,
            confirm_until: None,
            findings: Vec::new(),
        };
        self.tell(&drill, "done", done);
        self.say(&drill, Happened::DrillEnded);
        drill.appointment = Appointment::Done;
        drill.state = State::Rehearsed { began_at, at: self.now };
        drill
    }

    /// Ends a drill before its end.
    pub(super) fn stop_drill(&mut self, mut drill: Migration, why: WhyGivenUp) -> Migration {
        self.tell(&drill, "given_up", Tells::GivenUp { why: why.clone() });
        self.say(&drill, Happened::GivenUp { why });
        drill.appointment = Appointment::Done;
        drill.state = State::Cancelled { at: self.now };
        drill
    }
}

/// When a drill reminds of itself: as a move would, and where it is too near for that, once, halfway.
pub(super) fn reminders(drill: &Migration, policy: &Policy) -> Vec<Span> {
    let since = drill.agreed_at.unwrap_or(drill.opened_at);
    let Some(ahead) = drill.appointment.slot().map(|slot| Span::between(since, slot.start)) else {
        return Vec::new();
    };
    let fitting: Vec<Span> = policy.notice.reminders.iter().copied().filter(|left| *left < ahead).collect();
    match fitting.is_empty() {
        true => vec![Span::seconds(ahead.0.as_secs() / 2)],
        false => fitting,
    }
}
