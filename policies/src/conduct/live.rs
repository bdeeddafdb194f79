//! Before the first step, and the live way.

use super::shared::Whereabouts;
use super::validation::{LookedBefore, being_looked_at};
use super::{Conductor, Go, Intent, NewWish};
use crate::appointment::Appointment;
use crate::attempt::{Failure, FailureClass, Method, Moved, Outcome, Phase, Progress, Report};
use crate::eligibility::{Suits, WhyBlocked, WhyNotLive, method_without_live, suits};
use crate::events::Happened;
use crate::fleet::{Power, Server};
use crate::ladder::{LadderState, Rung, climb};
use crate::migration::{Confirmation, FailedBecause, Migration, State, Waiting};
use crate::notices::{Avoidance, Tells};
use crate::policy::Policy;

impl Conductor<'_> {
    pub(super) fn pending(&mut self, migration: Migration) -> Migration {
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
                return self.wait(migration, Waiting::Agent { host });
            }
        };
        if self.is_overtaken(&migration) {
            return self.cancelled(migration);
        }
        match self.go(&migration) {
            Go::Cancelled => return self.cancelled(migration),
            Go::Paused => return self.wait(migration, Waiting::Paused),
            Go::Run | Go::Emergency { .. } => {}
        }
        if let State::Pending { waits_for: Waiting::BackOff { until } } = migration.state
            && self.now < until
        {
            return self.wait(migration, Waiting::BackOff { until });
        }
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let migration = match self.choose_method(migration, server, policy) {
            Ok(migration) => migration,
            Err(blocked) => return *blocked,
        };
        match migration.method {
            Method::Live => self.begin_live(migration, server, policy),
            Method::Reboot if server.facts.power == Power::Off => self.begin_cold(migration, server, policy),
            Method::Reboot => self.become_ready(migration, server, policy),
        }
    }

    /// The method by the facts of now. What was decided by tries (live failed for good), or by an owner's wish (he asked for a reboot),
    /// stays.
    pub(super) fn choose_method(
        &mut self,
        mut migration: Migration,
        server: &Server,
        policy: &Policy,
    ) -> Result<Migration, Box<Migration>> {
        let also_on = self.fleet.sightings_of(migration.server).find(|seen| {
            seen.host != migration.from && matches!(seen.facts.power, Power::Running | Power::Paused)
        });
        if let Some(other) = also_on {
            let why = WhyBlocked::SeenTwice { also_on: other.host.clone() };
            return Err(Box::new(self.wait(migration, Waiting::Blocked { why })));
        }
        let settled = migration.why_not_live.clone().filter(WhyNotLive::is_settled);
        let suits = match settled {
            // Nothing is copied of one that goes back to its old disks as they were.
            Some(why) if migration.loss_accepted_by().is_some() && self.pinned(&migration).is_some() => {
                method_without_live(&server.facts, why)
            }
            settled => suits(server, self.fleet, settled, policy),
        };
        match suits {
            Suits::Nothing(_) | Suits::Reboot(_) if self.goes_live_or_stays(&migration) => {
                return Err(Box::new(self.cancelled(migration)));
            }
            Suits::Nothing(why) => return Err(Box::new(self.wait(migration, Waiting::Blocked { why }))),
            Suits::Live => {
                if migration.why_not_live.take().is_some() {
                    self.say(&migration, Happened::BecameLive);
                }
                migration.method = Method::Live;
            }
            // What kept it from going live while it ran is what its ticket says; that it is off now is no other reason.
            Suits::Reboot(WhyNotLive::NotRunning) if migration.why_not_live.is_some() => {
                migration.method = Method::Reboot;
            }
            Suits::Reboot(why) => {
                if migration.why_not_live.as_ref() != Some(&why) {
                    self.say(&migration, Happened::FellBack { why: why.clone() });
                    migration.why_not_live = Some(why);
                }
                migration.method = Method::Reboot;
            }
        }
        Ok(migration)
    }

    fn begin_live(&mut self, migration: Migration, server: &Server, policy: &Policy) -> Migration {
        if let Some(limit) = self.still_waits_for_its_turn(&migration, policy) {
            return self.wait(migration, Waiting::Turn { limit });
        }
        let migration = match self.ensure_place(migration, server) {
            Ok(migration) => migration,
            Err(placeless) => return self.wait(placeless.migration, placeless.waits_for),
        };
        let Some(to) = migration.to().cloned() else { return migration };
        let replica = match self.live_copy(&migration, server) {
            Ok(replica) => replica,
            Err(waits_for) => return self.wait(migration, waits_for),
        };
        if let Some(limit) = self.limit_reached(&migration, policy, &to) {
            return self.wait(migration, Waiting::Turn { limit });
        }
        let mut migration = match self.look_before(migration, policy) {
            LookedBefore::Done(migration) => migration,
            LookedBefore::Waits(migration) => return self.wait(migration, being_looked_at()),
        };
        let intent = Intent::Live {
            server: migration.server,
            max_downtime_ms: policy.live.ladder.downtime_start.as_milliseconds(),
            replica,
            rate: self.rate_for(&migration, policy, &to),
            to,
        };
        let operation = self.begin(&mut migration, intent);
        self.say_began(&migration);
        migration.state = State::Preflight { operation };
        migration
    }

    /// Which limit still keeps one from beginning that waits for its turn. Its place is looked at when that comes: of very many that wait only
    /// few begin in any look. A place where nothing may go any more is noticed at once.
    fn still_waits_for_its_turn(&self, migration: &Migration, policy: &Policy) -> Option<String> {
        let State::Pending { waits_for: Waiting::Turn { .. } } = migration.state else { return None };
        let to = migration.to()?;
        let open = self.room.host(to).is_some_and(|host| host.standing.takes_servers());
        let taken = self.room.is_emptying(to) || self.is_silent(to);
        if open && !taken { self.limit_reached(migration, policy, to) } else { None }
    }

    pub(super) fn moving_live(&mut self, migration: Migration) -> Migration {
        let Some(operation) = migration.state.operation() else { return migration };
        self.abort_if_cancelled(&migration);
        match self.reports.get(&operation).cloned() {
            None => migration,
            Some(Report::Running(progress)) => self.transferring(migration, &progress),
            Some(Report::Ended { outcome: Outcome::Moved(moved), .. }) => {
                self.arrived(migration, operation, moved)
            }
            Some(
                Report::Ended { outcome: Outcome::StayedAtSource { failure, .. }, .. }
                | Report::Refused(failure),
            ) => self.live_failed(migration, failure),
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
                self.live_failed(migration, Failure { class: FailureClass::Unexpected, text })
            }
        }
    }

    pub(super) fn gone(&mut self, mut migration: Migration, operation: crate::ids::OperationId) -> Migration {
        self.end_attempt(&mut migration, operation, None);
        self.avoided(migration, Avoidance::Deleted)
    }

    fn transferring(&mut self, mut migration: Migration, progress: &Progress) -> Migration {
        if let State::Preflight { operation } = migration.state
            && progress.phase == Phase::Transferring
        {
            migration.state = State::Transferring { operation, ladder: LadderState::default() };
        }
        let State::Transferring { operation, ladder } = migration.state.clone() else { return migration };
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let (ladder, rung) = climb(&policy.live.ladder, &ladder, progress);
        match rung {
            Rung::Wait => {}
            Rung::AllowDowntime(to_ms) => {
                self.wish(operation, NewWish::AllowDowntime(to_ms));
                self.say(&migration, Happened::DowntimeRaised { to_ms, iteration: progress.iteration });
            }
            Rung::Abort => {
                self.wish(operation, NewWish::AbortNotConverging);
                let why = format!(
                    "it does not converge: after {} passes {} are left, and it writes {} a second while {} are sent",
                    progress.iteration,
                    bytes(progress.remaining_bytes),
                    bytes(progress.dirty_rate),
                    bytes(progress.rate)
                );
                self.say(&migration, Happened::Aborting { why });
            }
        }
        migration.state = State::Transferring { operation, ladder };
        migration
    }

    fn live_failed(&mut self, mut migration: Migration, failure: Failure) -> Migration {
        let Some(operation) = migration.state.operation() else { return migration };
        self.end_attempt(&mut migration, operation, Some(failure.clone()));
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        let tries = migration.failed_attempts(Method::Live);
        if failure.class == FailureClass::Aborted {
            self.say(&migration, Happened::AttemptFailed { method: Method::Live, failure, again_at: None });
            return match self.go(&migration) {
                Go::Cancelled => self.cancelled(migration),
                Go::Run | Go::Paused | Go::Emergency { .. } => {
                    self.give_up(migration, FailedBecause::Aborted)
                }
            };
        }
        if failure.class.live_may_succeed_later() && tries < policy.live.attempts {
            let until = self.now + policy.retry.wait_before(tries + 1).delta();
            self.say(
                &migration,
                Happened::AttemptFailed { method: Method::Live, failure, again_at: Some(until) },
            );
            self.look_again_at(until);
            migration.state = State::Pending { waits_for: Waiting::BackOff { until } };
            return migration;
        }
        self.say(
            &migration,
            Happened::AttemptFailed { method: Method::Live, failure: failure.clone(), again_at: None },
        );
        if self.goes_live_or_stays(&migration) {
            return self.cancelled(migration);
        }
        let why = WhyNotLive::LiveFailed { attempts: tries, class: failure.class, text: failure.text };
        self.say(&migration, Happened::FellBack { why: why.clone() });
        migration.method = Method::Reboot;
        migration.why_not_live = Some(why);
        migration.state = State::Pending { waits_for: Waiting::Nothing };
        migration
    }

    /// Its old disks are kept for a while, as after a reboot.
    fn live_with_disks(&mut self, mut migration: Migration, moved: Moved) -> Migration {
        if migration.ticket.is_some() {
            let how = Avoidance::MovedLive;
            self.tell(&migration, "avoided", Tells::Avoided { how });
            self.say(&migration, Happened::Avoided { how });
            self.not_reverted(&migration);
        }
        migration.appointment = Appointment::Done;
        let confirmation = Confirmation::Awaited { until: Some(self.confirm_until(&migration, self.now)) };
        migration.state = State::Completed { at: self.now, moved, confirmation };
        migration
    }

    /// A live migration that was seen alive is over; a reboot migration is told to its owner first.
    pub(super) fn finished(&mut self, mut migration: Migration, moved: Moved) -> Migration {
        match migration.method {
            Method::Live if migration.leaves_disks() => self.live_with_disks(migration, moved),
            Method::Live if migration.ticket.is_some() => self.avoided(migration, Avoidance::MovedLive),
            Method::Live => {
                migration.state = State::Succeeded { at: self.now, moved };
                migration
            }
            Method::Reboot => self.reboot_finished(migration, moved),
        }
    }
}

/// A number of bytes for people.
fn bytes(n: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    #[expect(clippy::cast_precision_loss, reason = "for people; one digit behind the point is shown")]
    let mib = n as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
