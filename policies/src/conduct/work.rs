//! What a host was emptied for: its hooks, one after the other, and whether it answers afterwards.
//!
//! A hook is begun on a host that its libvirt has called empty, and on no other. Each try of a step is one order with an id of its own, which an
//! agent begins once at the most. So a scheduler that dies at any moment finds the step that it had stored, and its order as the agent has it.

use super::rolling::Beside;
use super::{Conductor, HookRun, Intent};
use crate::attempt::{FailureClass, Report};
use crate::fleet::Ability;
use crate::hooks::{HookOutcome, HookOutput, HookRan};
use crate::host::Standing;
use crate::ids::{HostName, OperationId};
use crate::maintenance::{
    Kind, Maintenance, RollingHappened, SkippedBy, Stage, State as MaintenanceState, Step, Versions,
};
use crate::time::{Instant, Span};

/// One step of one host.
#[derive(Clone, Copy)]
struct At {
    step: Step,
    attempt: u32,
    since: Instant,
}

/// A hook that an operator began by other means is waited for.
const BUSY: Span = Span::seconds(10);

/// What of a hook's output goes into the story; the whole of it is kept beside.
const TOLD: usize = 2000;

impl Conductor<'_> {
    /// A host has been found empty.
    pub(super) fn drained(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        match maintenance.kind() {
            Kind::Drain | Kind::Patch | Kind::Rebalance => Stage::Drained { at: self.now },
            Kind::Decommission => {
                let reason = format!("decommissioned by MT-{}: {}", maintenance.number, maintenance.reason);
                self.stands(host, Standing::Cordoned { reason, since: self.now });
                self.done(maintenance, host)
            }
        }
    }

    /// Work on a host that is empty begins, unless it came to that while others are in work: one that had waited for its owners.
    pub(super) fn begin_work(&mut self, maintenance: &Maintenance, host: &HostName, at: Instant) -> Stage {
        // Of several that came to it at once each would wait for the others, if those counted that are empty and wait as well.
        let is_waiting =
            |other: &&HostName| matches!(maintenance.hosts.get(*other), Some(Stage::Drained { .. }));
        let others = || {
            let counts = self.in_work_beside(maintenance, host).into_iter();
            counts.filter(|other| !is_waiting(other)).collect::<Vec<_>>()
        };
        let beside = || Beside::new(&maintenance.rolling.terms, self.fleet, &others());
        let running = maintenance.state == MaintenanceState::Running;
        if !running || !beside().has_room_for(host) {
            return Stage::Drained { at };
        }
        self.go_on_from(maintenance, host, Step::Pre)
    }

    /// The first step from this one on that there is for this host; done when there is none.
    fn go_on_from(&mut self, maintenance: &Maintenance, host: &HostName, from: Step) -> Stage {
        let next = Step::ALL.into_iter().filter(|step| *step >= from);
        match next.into_iter().find(|step| self.applies(maintenance, host, *step)) {
            Some(step) => self.begin_step(maintenance, host, At { step, attempt: 1, since: self.now }),
            None => {
                self.back_in_service(maintenance, host);
                self.done(maintenance, host)
            }
        }
    }

    /// Hooks are a host's own affair, but for the one that does what it was emptied for.
    fn applies(&self, maintenance: &Maintenance, host: &HostName, step: Step) -> bool {
        let Some(known) = self.room.host(host) else { return false };
        let configured = step.hook().is_some_and(|hook| known.facts.hooks.contains(&hook));
        match step {
            Step::Maintain => maintenance.rolling.runs_hooks(),
            Step::Pre | Step::Health | Step::Post => maintenance.rolling.runs_hooks() && configured,
            Step::Check => known.facts.can(Ability::RunHooks),
        }
    }

    fn begin_step(&mut self, maintenance: &Maintenance, host: &HostName, at: At) -> Stage {
        let is_empty = match self.standing(host) {
            Some(Standing::Drained { maintenance: by, .. }) => *by == maintenance.id,
            Some(Standing::Open | Standing::Cordoned { .. } | Standing::Draining { .. }) | None => false,
        };
        if !is_empty {
            return self.empties_again(maintenance, host);
        }
        let known = self.room.host(host);
        if !known.is_some_and(|known| known.facts.can(Ability::RunHooks)) {
            let why = "its agent runs no hooks; upgrade it and configure [hooks], or leave hooks out with --no-hooks";
            return self.host_failed(maintenance, host, at, why.to_owned());
        }
        let intent = match at.step.hook() {
            Some(hook) => Intent::RunHook {
                hook,
                maintenance: format!("MT-{}", maintenance.number),
                reason: maintenance.reason.clone(),
                attempt: at.attempt,
            },
            None => Intent::CheckHealth { within: maintenance.rolling.terms.return_within },
        };
        let operation = self.order(host.clone(), None, intent);
        let began = RollingHappened::StepBegan { step: at.step, attempt: at.attempt };
        self.say_rolling(maintenance, Some(host), began);
        Stage::Working { step: at.step, operation: Some(operation), attempt: at.attempt, since: self.now }
    }

    /// It was opened by hand while it had failed, and servers may have come: it is emptied before anything is done with it again.
    fn empties_again(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        let Some(known) = self.room.host(host) else { return Stage::Draining };
        if let Ok(standing) = known.standing.clone().drain(maintenance.id, self.now) {
            self.stands(host, standing);
            self.room.empties(host);
        }
        Stage::Draining
    }

    /// A step of a host that is being worked on.
    pub(super) fn work(&mut self, maintenance: &Maintenance, host: &HostName, stage: Stage) -> Stage {
        let Stage::Working { step, operation, attempt, since } = stage else { return stage };
        let at = At { step, attempt, since };
        let Some(operation) = operation else {
            if !maintenance.is_open() {
                return self.host_failed(maintenance, host, at, CANCELLED.to_owned());
            }
            if since <= self.now {
                return self.begin_step(maintenance, host, at);
            }
            self.look_again_at(since);
            return stage;
        };
        let came = match self.reports.get(&operation).cloned() {
            None | Some(Report::Running(_) | Report::RunningHook(_)) => {
                return self.while_it_runs(maintenance, host, at, operation);
            }
            Some(Report::HookRan(ran)) => self.hook_ran(maintenance, host, at, (operation, ran)),
            Some(Report::Healthy(health)) => {
                let had = maintenance.rolling.turns.get(host).map(|turn| &turn.had);
                let has = Versions {
                    libvirt: health.libvirt_version,
                    qemu: health.qemu_version,
                    boot_id: health.boot_id,
                };
                let changed = had.and_then(|had| has.changed_since(had));
                self.say_rolling(maintenance, Some(host), RollingHappened::Healthy { changed });
                Came::Well
            }
            Some(Report::Unhealthy(why)) => Came::Badly(why),
            Some(Report::Refused(failure))
                if failure.class == FailureClass::Busy && maintenance.is_open() =>
            {
                self.changes.ended.push(operation);
                let since = self.now + BUSY.delta();
                self.look_again_at(since);
                return Stage::Working { step, operation: None, attempt, since };
            }
            Some(Report::Refused(failure)) => Came::Badly(failure.text),
            Some(
                Report::Ended { .. }
                | Report::Alive { .. }
                | Report::NotAlive(_)
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Testing(_)
                | Report::Tested { .. }
                | Report::Importing(_)
                | Report::ImportEnded { .. },
            ) => Came::Badly(
                "its agent answered another question; see that its version fits the scheduler's".to_owned(),
            ),
        };
        self.changes.ended.push(operation);
        match came {
            Came::Badly(why) => self.host_failed(maintenance, host, at, why),
            Came::Well | Came::LeftOut if !maintenance.is_open() => {
                self.host_failed(maintenance, host, at, CANCELLED.to_owned())
            }
            Came::LeftOut => {
                let by = SkippedBy::Hook { step };
                self.say_rolling(maintenance, Some(host), RollingHappened::HostSkipped { by: by.clone() });
                self.back_in_service(maintenance, host);
                Stage::Skipped { at: self.now, by }
            }
            Came::Well => match Step::ALL.into_iter().find(|next| *next > step) {
                Some(next) => self.go_on_from(maintenance, host, next),
                None => {
                    self.back_in_service(maintenance, host);
                    self.done(maintenance, host)
                }
            },
        }
    }

    /// An agent that is away is waited for: hooks reboot hosts. For how long is for the terms to say.
    fn while_it_runs(
        &mut self,
        maintenance: &Maintenance,
        host: &HostName,
        at: At,
        operation: OperationId,
    ) -> Stage {
        let within = maintenance.rolling.terms.return_within;
        let heard = self.room.host(host).map_or(at.since, |known| known.observed_at.max(at.since));
        let until = heard + within.delta();
        if self.now <= until {
            self.look_again_at(until + Span::milliseconds(1).delta());
            return Stage::Working {
                step: at.step,
                operation: Some(operation),
                attempt: at.attempt,
                since: at.since,
            };
        }
        self.changes.ended.push(operation);
        let why = format!(
            "nothing has been heard of its agent for {within} (return_within); see whether the host is up"
        );
        self.host_failed(maintenance, host, at, why)
    }

    fn hook_ran(
        &mut self,
        maintenance: &Maintenance,
        host: &HostName,
        at: At,
        (operation, ran): (OperationId, HookRan),
    ) -> Came {
        let HookRan { outcome, output, took } = ran.clone();
        self.changes.hooks_ran.push(HookRun {
            operation,
            maintenance: maintenance.id,
            host: host.clone(),
            step: at.step,
            attempt: at.attempt,
            began_at: at.since,
            ran,
        });
        let output = end_of(output);
        let ended = RollingHappened::HookEnded { step: at.step, outcome: outcome.clone(), output, took };
        self.say_rolling(maintenance, Some(host), ended);
        match outcome {
            HookOutcome::Succeeded => Came::Well,
            HookOutcome::Skip => Came::LeftOut,
            // It was there a moment ago, and is nothing that a host must have.
            HookOutcome::NotConfigured if at.step != Step::Maintain => Came::Well,
            failed @ (HookOutcome::Failed { .. }
            | HookOutcome::TimedOut { .. }
            | HookOutcome::Stopped
            | HookOutcome::NotConfigured
            | HookOutcome::Refused { .. }
            | HookOutcome::Lost { .. }) => Came::Badly(failed.to_string()),
        }
    }

    fn host_failed(&mut self, maintenance: &Maintenance, host: &HostName, at: At, why: String) -> Stage {
        let failed = RollingHappened::HostFailed { step: at.step, why: why.clone() };
        self.say_rolling(maintenance, Some(host), failed);
        Stage::Failed { at: self.now, step: at.step, attempt: at.attempt, why }
    }

    pub(super) fn done(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        let kind = maintenance.kind();
        self.say_rolling(maintenance, Some(host), RollingHappened::HostDone { kind });
        Stage::Done { at: self.now }
    }
}

/// How a step ended.
enum Came {
    Well,
    Badly(String),
    LeftOut,
}

/// A host that was worked on when its maintenance was given up is not opened without somebody's having looked at it.
const CANCELLED: &str = "its maintenance was cancelled in the middle of this; see whether the host is fit for service, then uncordon it";

/// The last lines of it.
fn end_of(output: HookOutput) -> HookOutput {
    let HookOutput { text, dropped_bytes } = output;
    if text.len() <= TOLD {
        return HookOutput { text, dropped_bytes };
    }
    let mut from = text.len() - TOLD;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    HookOutput { text: text[from..].to_owned(), dropped_bytes: dropped_bytes + from as u64 }
}
