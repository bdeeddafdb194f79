//! The steps of a migration's life as its page shows them: where it is, and what each of them took.

use std::cmp::Ordering;

use drover_pages::parts::{Phase, PhaseStanding, Phases, Took, Tooks};
use drover_policies::attempt::{self, Method, PhaseDone};
use drover_policies::migration::{Migration, State as Life};
use drover_policies::time::Span;

use super::migrations::Read;
use crate::http::views::MigrationView;

/// Where a migration is: at which of its steps, and how that one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    step: usize,
    standing: PhaseStanding,
}

/// The steps of a migration's life.
pub(super) fn steps(read: &Read) -> Phases {
    let migration = read.migration();
    let names: &[&'static str] = match migration.method {
        Method::Live => &["step-planned", "step-moved", "step-checked"],
        Method::Reboot => &["step-prepared", "step-time", "step-restarted", "step-checked", "step-confirmed"],
    };
    let at = step(migration, names.len());
    let moving = usize::from(migration.method == Method::Reboot) + 1;
    let phase = |(index, name): (usize, &&'static str)| {
        let standing = standing(index, at);
        let (text, percent) = match standing {
            PhaseStanding::Now | PhaseStanding::Stuck => figures(&read.view),
            PhaseStanding::Past if index == moving + 1 => (looked_at(&read.view), None),
            PhaseStanding::Past
            | PhaseStanding::Ahead
            | PhaseStanding::GivenUp
            | PhaseStanding::NotNeeded => (String::new(), None),
        };
        let took = if index == moving && index <= at.step { took(read) } else { Vec::new() };
        Phase { name, standing, text, percent, took: Tooks(took) }
    };
    Phases(names.iter().enumerate().map(phase).collect())
}

/// How one step stands where another is the present one. What was given up has nothing ahead.
fn standing(index: usize, at: At) -> PhaseStanding {
    match index.cmp(&at.step) {
        Ordering::Less => PhaseStanding::Past,
        Ordering::Equal => at.standing,
        Ordering::Greater => match at.standing {
            PhaseStanding::GivenUp | PhaseStanding::NotNeeded => at.standing,
            PhaseStanding::Past | PhaseStanding::Now | PhaseStanding::Ahead | PhaseStanding::Stuck => {
                PhaseStanding::Ahead
            }
        },
    }
}

fn step(migration: &Migration, steps: usize) -> At {
    let reboot = migration.method == Method::Reboot;
    let moving = usize::from(reboot) + 1;
    let at = |step, standing| At { step, standing };
    match &migration.state {
        Life::Pending { .. } | Life::Preflight { .. } | Life::Preparing { .. } => at(0, PhaseStanding::Now),
        Life::Ready { .. } | Life::Transferring { .. } => at(1, PhaseStanding::Now),
        Life::CuttingOver { .. } | Life::Rehearsing { .. } => at(2, PhaseStanding::Now),
        Life::Verifying { .. } => at(moving + 1, PhaseStanding::Now),
        Life::Completed { .. } | Life::Reverting { .. } | Life::Discarding { .. } => {
            at(4, PhaseStanding::Now)
        }
        Life::Succeeded { .. } | Life::Closed { .. } | Life::Rehearsed { .. } | Life::Reverted { .. } => {
            at(steps, PhaseStanding::Past)
        }
        Life::RolledBack { .. } | Life::Failed { .. } => at(moving, PhaseStanding::Stuck),
        Life::Cancelled { .. } => at(0, PhaseStanding::GivenUp),
        Life::Avoided { .. } => at(0, PhaseStanding::NotNeeded),
    }
}

/// Of what goes on.
fn figures(view: &MigrationView) -> (String, Option<u8>) {
    let phase = view.phase.as_ref().map(|phase| phase.replace('_', " "));
    (phase.unwrap_or_default(), view.progress.as_ref().map(|progress| progress.percent))
}

/// `3 of 3 passed`; nothing where nothing was looked at.
fn looked_at(view: &MigrationView) -> String {
    let passed = view.checks.iter().filter(|finding| finding.verdict == "passed").count();
    if view.checks.is_empty() { String::new() } else { format!("{passed}/{}", view.checks.len()) }
}

/// What the move took so far: each of its phases, or all of a live one.
fn took(read: &Read) -> Vec<Took> {
    if !read.done().is_empty() {
        return read.done().iter().map(took_of).collect();
    }
    let whole = read.migration().attempts.last().and_then(|attempt| {
        let end = attempt.end.as_ref()?;
        let sent_bytes = read.view.moved.as_ref().map_or(0, |moved| moved.sent_bytes);
        Some(Took { name: "phase-transfer", took: Span::between(attempt.began_at, end.at), sent_bytes })
    });
    whole.into_iter().collect()
}

/// A phase of an attempt that is over.
pub(super) fn took_of(done: &PhaseDone) -> Took {
    let name = match done.phase {
        attempt::Phase::Preflight | attempt::Phase::Armed => "phase-check",
        attempt::Phase::Transferring => "phase-transfer",
        attempt::Phase::FinalDelta => "phase-delta",
        attempt::Phase::PowerOffSource => "phase-off",
        attempt::Phase::GuestFixes => "phase-fixes",
        attempt::Phase::Finalize => "phase-finalize",
        attempt::Phase::BootTarget => "phase-boot",
        attempt::Phase::Verifying => "phase-verify",
        attempt::Phase::RollingBack => "phase-back",
        attempt::Phase::InDoubt => "phase-in-doubt",
    };
    Took { name, took: done.took, sent_bytes: done.sent_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_has_neither_failed_nor_anything_to_come() {
        let all = |at| (0..3).map(|index| standing(index, at)).collect::<Vec<_>>();
        let given_up = At { step: 0, standing: PhaseStanding::GivenUp };
        assert_eq!(all(given_up), [PhaseStanding::GivenUp; 3]);
        let stuck = At { step: 1, standing: PhaseStanding::Stuck };
        assert_eq!(all(stuck), [PhaseStanding::Past, PhaseStanding::Stuck, PhaseStanding::Ahead]);
    }
}
