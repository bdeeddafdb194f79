//! The convergence ladder: what is done about a live migration that does not come to its end.
//!
//! ```text
//! wait (patience) ─▶ step 1 ─▶ step 2 ─▶ … ─▶ last step ─▶ abort
//!        each step allows a longer downtime        after some passes without progress
//! ```
//!
//! It climbs by passes over the memory, never by the clock: a slow link makes every pass longer and is no reason to give up. Within
//! one pass the remaining memory always falls to almost nothing, so only its value at the *beginning* of a pass tells anything,
//! and only a new pass is decided on.
//!
//! Two rungs that others have are missing here on purpose:
//!
//! - **Post-copy.** Its recovery after a broken link makes the destination's libvirtd 11.3 crash, and without recovery a broken link
//!   costs the guest. It returns when a version is proven to survive that.
//! - **Throttling** (auto-converge). libvirt lets it be chosen when a migration starts and never later, so it is a setting of the
//!   attempt (`live.auto_converge`) and no rung.

use serde::{Deserialize, Serialize};

use crate::attempt::{Phase, Progress};
use crate::policy::LadderPolicy;

/// How far up one attempt is. A new attempt begins with the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LadderState {
    /// The last pass decided on, counted from 1; 0 before the first.
    pub iteration: u32,
    /// The least memory, in bytes, that was left at the beginning of any pass.
    pub least_remaining: Option<u64>,
    /// Passes in a row that did not improve on it. Taking the last step counts anew.
    pub stalled: u32,
    /// Steps taken; 0 is the downtime allowed at first.
    pub step: u32,
    /// The pass at whose beginning the last of them was taken; 0 before the first.
    pub stepped_at: u32,
    /// The most downtime ordered so far, in milliseconds; 0 before the first decision.
    pub allowed_ms: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing.
    Wait,
    /// Let QEMU stop the guest for up to this many milliseconds.
    AllowDowntime(u64),
    /// Abort: its memory changes faster than it can be sent.
    Abort,
}

impl LadderPolicy {
    /// The downtime that `step` steps allow, in milliseconds; never more than the most that is set.
    #[must_use]
    pub fn downtime_at(&self, step: u32) -> u64 {
        let most = self.downtime_most.as_milliseconds();
        let start = self.downtime_start.as_milliseconds().min(most);
        if step >= self.downtime_steps {
            return if self.downtime_steps == 0 { start } else { most };
        }
        let raised = u128::from(most - start) * u128::from(step) / u128::from(self.downtime_steps);
        start + u64::try_from(raised).unwrap_or(u64::MAX - start)
    }

    /// Whole passes after which the last step has been taken at the latest.
    #[must_use]
    pub fn passes_to_the_top(&self) -> u32 {
        let between = self.downtime_steps.saturating_sub(1).saturating_mul(self.passes_per_step);
        if self.downtime_steps == 0 { 0 } else { self.patience.saturating_add(between) }
    }

    /// The first step that allows `expected_ms`, if any does.
    fn step_for(&self, expected_ms: u64) -> Option<u32> {
        (0..=self.downtime_steps).find(|&step| self.downtime_at(step) >= expected_ms)
    }
}

/// Decides on what an agent tells of a running migration, and gives the state to decide the next time with.
///
/// Only the beginning of a pass is decided on; anything else is [`Rung::Wait`] and leaves the state as it is. An abort or a downtime
/// that was not carried out (whoever was to do it died) is ordered again with the next pass.
#[must_use]
pub fn climb(policy: &LadderPolicy, state: &LadderState, progress: &Progress) -> (LadderState, Rung) {
    // While disks are copied QEMU counts no passes over the memory.
    if progress.phase != Phase::Transferring || progress.iteration <= state.iteration {
        return (*state, Rung::Wait);
    }
    let begun = seen(state, progress);
    // Pass number n begins when n-1 are finished.
    let finished = progress.iteration - 1;
    if finished >= policy.abort_after.max(1) || has_stalled(policy, &begun) {
        return (begun, Rung::Abort);
    }
    let step = step_due(policy, &begun, finished, progress.expected_downtime_ms);
    let stepped = if step > begun.step {
        let stalled = if step == policy.downtime_steps { 0 } else { begun.stalled };
        LadderState { step, stepped_at: progress.iteration, stalled, ..begun }
    } else {
        begun
    };
    // A policy made stricter meanwhile, or an operator's more generous order, never takes downtime back: QEMU may be about to use it.
    let wanted = policy.downtime_at(stepped.step).max(stepped.allowed_ms);
    let next = LadderState { allowed_ms: wanted, ..stepped };
    let in_force = match progress.allowed_downtime_ms {
        0 => state.allowed_ms,
        known => known,
    };
    let rung = if wanted > in_force { Rung::AllowDowntime(wanted) } else { Rung::Wait };
    (next, rung)
}

/// The state with a new pass counted in. Passes that began and ended unseen count as passes.
fn seen(state: &LadderState, progress: &Progress) -> LadderState {
    let improved = state.least_remaining.is_none_or(|least| progress.remaining_bytes < least);
    LadderState {
        iteration: progress.iteration,
        least_remaining: Some(
            state
                .least_remaining
                .map_or(progress.remaining_bytes, |least| least.min(progress.remaining_bytes)),
        ),
        stalled: if improved {
            0
        } else {
            state.stalled.saturating_add(progress.iteration - state.iteration)
        },
        ..*state
    }
}

fn has_stalled(policy: &LadderPolicy, state: &LadderState) -> bool {
    state.step >= policy.downtime_steps && state.stalled >= policy.abort_after_stalled.max(1)
}

/// The step that should be stood on now. A step within whose downtime the guest could be switched over at once is taken without
/// standing on those below it.
fn step_due(policy: &LadderPolicy, state: &LadderState, finished: u32, expected_ms: u64) -> u32 {
    if finished < policy.patience || state.step >= policy.downtime_steps {
        return state.step;
    }
    let waited = state.iteration - state.stepped_at;
    let by_passes =
        if state.step == 0 || waited >= policy.passes_per_step { state.step + 1 } else { state.step };
    match policy.step_for(expected_ms) {
        Some(enough) if expected_ms > 0 => by_passes.max(enough),
        Some(_) | None => by_passes,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Span;

    const MIB: u64 = 1 << 20;

    fn policy() -> LadderPolicy {
        LadderPolicy {
            downtime_start: Span::milliseconds(100),
            downtime_most: Span::milliseconds(500),
            downtime_steps: 4,
            patience: 3,
            passes_per_step: 2,
            abort_after_stalled: 3,
            abort_after: 40,
        }
    }

    fn pass(iteration: u32, remaining_bytes: u64, expected_downtime_ms: u64) -> Progress {
        Progress {
            iteration,
            remaining_bytes,
            expected_downtime_ms,
            total_bytes: 1024 * MIB,
            ..Progress::of(Phase::Transferring, DateTime::UNIX_EPOCH)
        }
    }

    /// What is ordered at the beginning of each pass, QEMU doing as told.
    fn story(policy: &LadderPolicy, passes: &[(u64, u64)]) -> Vec<Rung> {
        let mut state = LadderState::default();
        let mut allowed = policy.downtime_at(0);
        let mut rungs = Vec::new();
        for (iteration, (remaining, expected)) in (1..).zip(passes) {
            let progress =
                Progress { allowed_downtime_ms: allowed, ..pass(iteration, remaining * MIB, *expected) };
            let (next, rung) = climb(policy, &state, &progress);
            if let Rung::AllowDowntime(ms) = rung {
                allowed = ms;
            }
            rungs.push(rung);
            state = next;
        }
        rungs
    }

    #[test]
    fn a_guest_that_writes_as_fast_as_can_be_sent_gets_every_step_and_is_then_aborted() {
        use Rung::{Abort, AllowDowntime, Wait};
        let stuck = [(600, 9000); 13];
        assert_eq!(
            story(&policy(), &stuck),
            [
                Wait,
                Wait,
                Wait,
                AllowDowntime(200),
                Wait,
                AllowDowntime(300),
                Wait,
                AllowDowntime(400),
                Wait,
                AllowDowntime(500),
                Wait,
                Wait,
                Abort
            ]
        );
    }

    #[test]
    fn a_guest_that_could_be_switched_over_within_a_higher_step_gets_that_step_at_once() {
        let passes = [(1024, 8000), (90, 390), (88, 380), (87, 380), (87, 380)];
        assert_eq!(
            story(&policy(), &passes),
            [Rung::Wait, Rung::Wait, Rung::Wait, Rung::AllowDowntime(400), Rung::Wait],
            "not before patience is used up, and then the first step that is enough"
        );
    }

    #[test]
    fn the_same_pass_told_many_times_is_decided_on_once() {
        let policy = policy();
        let (state, _) = climb(&policy, &LadderState::default(), &pass(4, 600 * MIB, 9000));
        for remaining in [400, 200, 0] {
            let (same, rung) = climb(&policy, &state, &pass(4, remaining * MIB, 9000));
            assert_eq!((same, rung), (state, Rung::Wait), "what is left within a pass tells nothing");
        }
        let (same, rung) = climb(&policy, &state, &pass(3, 0, 0));
        assert_eq!((same, rung), (state, Rung::Wait), "an older answer that arrives late");
    }

    #[test]
    fn progress_after_the_last_step_puts_the_abort_off() {
        let mut passes = vec![(600, 9000); 12];
        passes.extend([(599, 9000), (600, 9000), (600, 9000), (600, 9000)]);
        let rungs = story(&policy(), &passes);
        assert_eq!(rungs[12], Rung::Wait, "less than ever before");
        assert_eq!(rungs[15], Rung::Abort, "three passes without less");
    }

    #[test]
    fn a_downtime_that_was_never_set_is_ordered_again() {
        let policy = policy();
        let (state, rung) = climb(&policy, &LadderState::default(), &pass(4, 600 * MIB, 9000));
        assert_eq!(rung, Rung::AllowDowntime(200));
        let lost = Progress { allowed_downtime_ms: 100, ..pass(5, 600 * MIB, 9000) };
        assert_eq!(climb(&policy, &state, &lost).1, Rung::AllowDowntime(200));
    }

    #[test]
    fn what_an_operator_allowed_beyond_the_ladder_is_left_alone() {
        let generous = Progress { allowed_downtime_ms: 60_000, ..pass(4, 600 * MIB, 9000) };
        assert_eq!(climb(&policy(), &LadderState::default(), &generous).1, Rung::Wait);
    }

    #[test]
    fn copying_disks_and_other_phases_are_waited_for() {
        let disks = pass(0, 600 * MIB, 0);
        assert_eq!(climb(&policy(), &LadderState::default(), &disks).1, Rung::Wait);
        let verifying = Progress { phase: Phase::Verifying, ..pass(99, 0, 0) };
        assert_eq!(climb(&policy(), &LadderState::default(), &verifying).1, Rung::Wait);
    }

    #[test]
    fn a_state_survives_being_stored() {
        let (state, _) = climb(&policy(), &LadderState::default(), &pass(7, 600 * MIB, 9000));
        let stored = serde_json::to_string(&state).expect("plain data");
        assert_eq!(serde_json::from_str::<LadderState>(&stored).expect("what was stored"), state);
    }

    prop_compose! {
        fn any_ladder()(
            start in 1..1000_u64, more in 0..5000_u64, downtime_steps in 0..12_u32, patience in 0..10_u32,
            passes_per_step in 0..5_u32, abort_after_stalled in 0..10_u32, abort_after in 0..80_u32,
        ) -> LadderPolicy {
            LadderPolicy {
                downtime_start: Span::milliseconds(start),
                downtime_most: Span::milliseconds(start + more),
                downtime_steps, patience, passes_per_step, abort_after_stalled, abort_after,
            }
        }
    }

    proptest! {
        #[test]
        fn the_downtime_is_never_lowered_and_never_above_the_most(
            policy in any_ladder(),
            passes in prop::collection::vec((0..2000_u64, 0..20_000_u64, 1..4_u32, 0..2_u64), 1..100),
        ) {
            let mut state = LadderState::default();
            let (mut allowed, mut iteration) = (0, 0);
            for (remaining, expected, skipped, told) in passes {
                iteration += skipped;
                let progress = Progress { allowed_downtime_ms: allowed * told, ..pass(iteration, remaining, expected) };
                let (next, rung) = climb(&policy, &state, &progress);
                prop_assert!(next.allowed_ms >= state.allowed_ms);
                if let Rung::AllowDowntime(ms) = rung {
                    prop_assert!(ms >= allowed);
                    prop_assert!(ms <= policy.downtime_most.as_milliseconds());
                    allowed = ms;
                }
                state = next;
            }
        }

        #[test]
        fn a_guest_that_never_converges_is_aborted_within_the_limit(
            policy in any_ladder(), remaining in prop::collection::vec(1..2000_u64, 100),
        ) {
            let mut state = LadderState::default();
            let aborted = (1..=100_u32).zip(remaining).find_map(|(iteration, remaining)| {
                let (next, rung) = climb(&policy, &state, &pass(iteration, remaining * MIB, 1_000_000));
                state = next;
                (rung == Rung::Abort).then_some(iteration)
            });
            let finished = aborted.expect("it ends") - 1;
            prop_assert!(finished <= policy.abort_after.max(1));
        }

        #[test]
        fn a_guest_that_converges_within_the_limit_is_never_aborted(
            policy in any_ladder(), memory_mib in 64..65_536_u64, dirty_percent in 0..90_u64,
        ) {
            let rate = 100 * MIB;
            let mut state = LadderState::default();
            let mut allowed = policy.downtime_at(0);
            let mut remaining = memory_mib * MIB;
            for iteration in 1..200_u32 {
                let expected = remaining * 1000 / rate;
                if expected <= allowed {
                    return Ok(());
                }
                let progress = Progress { allowed_downtime_ms: allowed, ..pass(iteration, remaining, expected) };
                let (next, rung) = climb(&policy, &state, &progress);
                match rung {
                    Rung::Wait => {}
                    Rung::AllowDowntime(ms) => allowed = ms,
                    Rung::Abort => {
                        prop_assert!(iteration > policy.abort_after, "given up in pass {iteration}");
                        return Ok(());
                    }
                }
                state = next;
                remaining = remaining * dirty_percent / 100;
            }
            prop_assert!(false, "neither converged nor aborted");
        }
    }
}
