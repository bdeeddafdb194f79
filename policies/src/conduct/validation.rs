//! What a server is looked at for, before and after its move.
//!
//! Before it, because what was down then is no fault of the move; by an order of its own, so that the order that moves it stays what it is. A
//! server is never kept from its time by it: an agent that can't look, or does not answer in the time that policy gives, leaves nothing to compare with.

use super::asked::{Back, Reverted};
use super::{Conductor, Go, Intent};
use crate::appointment::Appointment;
use crate::attempt::{Method, Moved, Report};
use crate::checks::{
    BASELINE_HOLDS, Baseline, Before, Finding, Item, Look, Looked, OnFailed, Side, Verdict, what_failed,
};
use crate::events::Happened;
use crate::fleet::Power;
use crate::ids::OperationId;
use crate::migration::{Confirmation, FailedBecause, Loss, Migration, State, Waiting};
use crate::notices::{Actor, AfterFailedChecks, Tells, Via};
use crate::owners::Whose;
use crate::policy::Policy;
use crate::time::Span;

/// Whether a server may be moved now, as far as the look before is concerned.
pub(super) enum LookedBefore {
    /// It may.
    Done(Migration),
    /// It is being looked at.
    Waits(Migration),
}

/// An agent that looks answers within the time that policy gives for it, and as much later as its answer may take to come here.
const ANSWER_TAKES: Span = Span::seconds(10);

/// For what a migration waits meanwhile: a few seconds, so it is not told.
pub(super) fn being_looked_at() -> Waiting {
    Waiting::Turn { limit: "the server is looked at before it is moved".to_owned() }
}

impl Conductor<'_> {
    /// Has a server looked at that is about to be moved. A live migration takes nothing away from its guest, so it waits for a look only where
    /// its owner wants something to be checked.
    pub(super) fn look_before(&mut self, mut migration: Migration, policy: &Policy) -> LookedBefore {
        match migration.validation.before.clone() {
            Before::Taking { operation, since } => match self.reports.get(&operation) {
                None | Some(Report::Running(_)) => {
                    let until = since + policy.validation.before_within.delta() + ANSWER_TAKES.delta();
                    if self.now < until {
                        self.look_again_at(until);
                        return LookedBefore::Waits(migration);
                    }
                    migration.validation.before = Before::Taken { at: self.now, baseline: None };
                    self.changes.ended.push(operation);
                    return LookedBefore::Done(migration);
                }
                Some(report) => {
                    let baseline = match report {
                        Report::Alive { looked: Some(looked), .. } => Some(self.baseline(looked)),
                        Report::Alive { looked: None, .. }
                        | Report::NotAlive(_)
                        | Report::Refused(_)
                        | Report::Running(_)
                        | Report::Ended { .. }
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
                        | Report::Tested { .. } => None,
                    };
                    migration.validation.before = Before::Taken { at: self.now, baseline };
                    self.changes.ended.push(operation);
                    return LookedBefore::Done(migration);
                }
            },
            Before::Taken { at, .. } if self.now - at <= BASELINE_HOLDS.delta() => {
                return LookedBefore::Done(migration);
            }
            Before::NotTaken | Before::Taken { .. } => migration.validation.before = Before::NotTaken,
        }
        let mut look = self.look(&migration, policy, Side::Before);
        // The move waits for it, however long their owner would wait afterwards.
        look.checks.iter_mut().for_each(|check| check.within = None);
        let wanted = match migration.method {
            Method::Live => !look.checks.is_empty(),
            Method::Reboot => true,
        };
        let emergency = matches!(self.go(&migration), Go::Emergency { .. });
        let runs = self.fleet.server(migration.server).is_some_and(|seen| seen.facts.power == Power::Running);
        let can = self.checking.contains(&migration.from) && policy.validation.before_within > Span::ZERO;
        if emergency || !(wanted && runs && can) {
            return LookedBefore::Done(migration);
        }
        let intent = Intent::LookBefore { server: migration.server, look };
        let operation = self.order(migration.from.clone(), Some(migration.id), intent);
        migration.validation.before = Before::Taking { operation, since: self.now };
        LookedBefore::Waits(migration)
    }

    fn baseline(&self, looked: &Looked) -> Baseline {
        Baseline { at: self.now, hardware: looked.hardware.clone(), findings: looked.findings.clone() }
    }

    pub(super) fn look(&self, migration: &Migration, policy: &Policy, side: Side) -> Look {
        let whose = match self.fleet.server(migration.server) {
            Some(server) => Whose::server(server),
            None => self.whose(migration),
        };
        let (checks, _) = self.owners.checks_for(&whose, policy);
        let within = match side {
            Side::Before => policy.validation.before_within,
            Side::After { .. } => policy.validation.within,
        };
        let checks = checks.into_iter().cloned().collect();
        Look { checks, within, addresses: policy.validation.addresses, side }
    }

    /// What is looked at where it has arrived; nothing when the agent there can't.
    pub(super) fn look_after(&self, migration: &Migration, policy: &Policy) -> Option<Look> {
        let able = migration.to().is_some_and(|to| self.checking.contains(to));
        let baseline = migration.validation.before.baseline().cloned();
        able.then(|| self.look(migration, policy, Side::After { baseline }))
    }

    /// An order to look that nobody waits for any more: the migration goes another way, or is over.
    pub(super) fn look_is_idle(migration: &mut Migration) -> Option<OperationId> {
        let waits =
            matches!(migration.state, State::Pending { .. } | State::Preparing { .. } | State::Ready { .. });
        match migration.validation.before {
            Before::Taking { operation, .. } if !waits => {
                migration.validation.before = Before::NotTaken;
                Some(operation)
            }
            Before::Taking { .. } | Before::NotTaken | Before::Taken { .. } => None,
        }
    }

    /// Takes in what was found so far. Told one by one are the owner's own checks, and whatever is not as it should be.
    pub(super) fn found(&mut self, migration: &mut Migration, findings: &[Finding]) {
        let known = migration.validation.findings.len();
        for finding in findings.iter().skip(known) {
            let own = matches!(finding.item, Item::Own { .. });
            if own || matches!(finding.verdict, Verdict::Failed | Verdict::FailedBefore) {
                self.say(migration, Happened::Checked { finding: finding.clone() });
            }
        }
        if findings.len() > known {
            migration.validation.findings = findings.to_vec();
        }
    }

    /// It is alive, and everything was looked at: what comes of it.
    pub(super) fn looked_after(&mut self, mut migration: Migration, moved: Moved) -> Migration {
        let Some(text) = what_failed(&migration.validation.findings) else {
            return self.finished(migration, moved);
        };
        // A revert is final, and where it is now is where nothing had been changed.
        if migration.reverts().is_some() {
            return self.finished(migration, moved);
        }
        let policy = self.policy_for(&migration);
        let held = match policy.policy.validation.on_failed {
            OnFailed::Tell => return self.finished(migration, moved),
            OnFailed::Hold => None,
            OnFailed::Revert if migration.method == Method::Live => Some(
                "a server that was moved live is not taken back by itself, for that would take a reboot"
                    .to_owned(),
            ),
            OnFailed::Revert => match self.revert_after_failed_checks(&migration, &moved) {
                Ok(reverting) => return reverting,
                Err(why_not) => Some(why_not),
            },
        };
        let findings = migration.validation.findings.clone();
        let then = AfterFailedChecks::Held { why_not_reverted: held.clone() };
        self.tell(&migration, "checks_failed", Tells::ChecksFailed { findings, then });
        let word = format!(
            "It was moved and is alive, but it is not as it should be: {text}. Its migration is held, and nothing is thrown away at its old host, \
             until its owner or an operator confirms or reverts it."
        );
        let word = Tells::Written { by: Actor::Drover, text: word, via: Via::Api };
        self.tell(&migration, "held", word);
        let text = match held {
            Some(why_not) => format!("{text}; not reverted by itself: {why_not}"),
            None => text,
        };
        let why = FailedBecause::ChecksFailed { text, moved };
        self.say(&migration, Happened::Failed { why: why.to_string() });
        migration.appointment = Appointment::Done;
        migration.state = State::Failed { at: self.now, why };
        migration
    }

    /// Takes it back at once, as its owner could.
    fn revert_after_failed_checks(
        &mut self,
        migration: &Migration,
        moved: &Moved,
    ) -> Result<Migration, String> {
        let confirmation = Confirmation::Awaited { until: None };
        let state = State::Completed { at: self.now, moved: moved.clone(), confirmation };
        let done = Migration { appointment: Appointment::Done, state, ..migration.clone() };
        let back = Back { migration: done.id, by: Actor::Drover, at: None, loss: Loss::None };
        let Reverted { original, by } =
            self.take_back(&done, &back).map_err(|refusal| refusal.for_owner())?;
        let findings = migration.validation.findings.clone();
        let then = AfterFailedChecks::Reverting;
        self.tell(migration, "checks_failed", Tells::ChecksFailed { findings, then });
        self.write(by);
        Ok(original)
    }
}
