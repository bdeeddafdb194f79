//! How long each phase of a cutover took, kept with its operation in the ledger: most phases are shorter than the way to the scheduler,
//! which would see only some of them.

use drover_policies::attempt::{Phase, PhaseDone};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Telling, Work};

/// The phases of an operation so far; none where it is no cutover.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// The running one, and since when.
    running: Option<(Phase, Instant)>,
    /// Those that are over.
    pub done: Vec<PhaseDone>,
}

impl Phases {
    /// Left out of the ledger.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A step has led to this work, or to the end. What it tells of the phase that it has left are that one's last figures.
    pub(crate) fn pass(&mut self, to: Option<&Work>, told: Option<&Telling>, now: Instant) {
        let next = to.and_then(Work::cutover).and_then(|cutover| timed(cutover.phase()));
        let running = self.running.map(|(phase, _)| phase);
        if running == next {
            return;
        }
        if let Some((phase, since)) = self.running {
            let took = Span::milliseconds(Span::between(since, now).as_milliseconds());
            self.done.push(PhaseDone { phase, took, sent_bytes: sent_in(phase, told) });
        }
        self.running = next.map(|phase| (phase, now));
    }
}

fn sent_in(phase: Phase, told: Option<&Telling>) -> u64 {
    match told {
        Some(Telling::Progress(progress)) if progress.phase == phase => progress.sent_bytes,
        Some(
            Telling::Progress(_)
            | Telling::Replica(_)
            | Telling::Test(_)
            | Telling::Hook(_)
            | Telling::Import(_),
        )
        | None => 0,
    }
}

/// What only looks and waits is no phase of a cutover.
fn timed(phase: Phase) -> Option<Phase> {
    match phase {
        Phase::Preflight | Phase::Armed => None,
        Phase::Transferring
        | Phase::FinalDelta
        | Phase::PowerOffSource
        | Phase::GuestFixes
        | Phase::Finalize
        | Phase::BootTarget
        | Phase::Verifying
        | Phase::RollingBack
        | Phase::InDoubt => Some(phase),
    }
}

#[cfg(test)]
mod tests {
    use drover_policies::attempt::Progress;

    use super::*;
    use crate::cutover::{Before, Bringing, Cutover, Life, Pressure};
    use drover_policies::fleet::Autostart;

    fn at(ms: i64) -> Instant {
        Instant::UNIX_EPOCH + chrono::TimeDelta::milliseconds(ms)
    }

    #[test]
    fn a_phase_has_its_time_and_the_figures_that_were_told_when_it_was_left() {
        let before = Before { life: Life::On, autostart: Autostart::No };
        let delta = Work::Cutover(Cutover::FinalDelta { before, bringing: Bringing::new(at(0)) });
        let off = Work::Cutover(Cutover::PoweringOff { before, pressure: Pressure::None });
        let told =
            |phase, sent_bytes| Telling::Progress(Progress { sent_bytes, ..Progress::of(phase, at(0)) });
        let mut phases = Phases::default();
        phases.pass(Some(&Work::Cutover(Cutover::Armed)), None, at(0));
        assert!(phases.is_empty());
        phases.pass(Some(&delta), Some(&told(Phase::Armed, 0)), at(100));
        phases.pass(Some(&delta), Some(&told(Phase::FinalDelta, 5)), at(350));
        phases.pass(Some(&off), Some(&told(Phase::FinalDelta, 9)), at(500));
        // Of the next phase: no figures of this one.
        phases.pass(None, Some(&told(Phase::Finalize, 7)), at(2_500));
        let done = |phase, ms, sent_bytes| PhaseDone { phase, took: Span::milliseconds(ms), sent_bytes };
        assert_eq!(phases.done, [done(Phase::FinalDelta, 400, 9), done(Phase::PowerOffSource, 2_000, 0)]);
    }
}
