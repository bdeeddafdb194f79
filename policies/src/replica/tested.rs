//! A test launch as it is decided on: asked for, launched, ended, and marked by a person as passed or failed.
//!
//! ```text
//! asked ──▶ going ──▶ ending ──▶ over          a new one is asked for: the one before is ended first
//!             └──── by itself ────▲
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EndOfTest, Point, Replica, ReplicaState, ReplicaStatus, Seen, Stage, TestStatus, TestStep};
use crate::checks::what_failed;
use crate::ids::{OperationId, ServerId};
use crate::notices::Actor;
use crate::time::{Instant, Span};

/// The last test launch of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The test guest's own id.
    pub guest: ServerId,
    /// Who asked for it.
    pub by: Actor,
    /// When.
    pub asked_at: Instant,
    /// Where it is.
    pub state: TestState,
    /// What a person says came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// Where a test launch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TestState {
    /// It is ordered as soon as the one before is gone.
    Asked {
        /// The order of the one before.
        before: Option<OperationId>,
    },
    /// The destination's agent carries it out.
    Going {
        /// The order.
        operation: OperationId,
        /// What the agent told last.
        seen: Option<Box<TestStatus>>,
    },
    /// It was told to end.
    Ending {
        /// The order, which is aborted.
        operation: OperationId,
        /// What the agent told last.
        seen: Option<Box<TestStatus>>,
    },
    /// Nothing of it is left.
    Over {
        /// Since when.
        at: Instant,
        /// Why.
        because: EndOfTest,
        /// What it started from, if it was launched.
        point: Option<Point>,
        /// What was seen of the guest, if it was looked at.
        seen: Option<Seen>,
    },
}

/// What a person says came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What.
    pub result: TestResult,
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Instant,
}

/// Whether a server did what it should in its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestResult {
    /// It did.
    Passed,
    /// It did not.
    Failed,
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        })
    }
}

/// What happens in a test launch, for the story: its job log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum TestHappened {
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: Actor,
    },
    /// What is left of the one before is being deleted.
    CleanupStart,
    /// Nothing is left of it.
    CleanupEnd,
    /// A moment of the disks is being frozen.
    SnapshotStart,
    /// It is.
    SnapshotEnd {
        /// Which.
        point: Point,
    },
    /// The test guest is being started.
    LaunchStart,
    /// It runs.
    Launched {
        /// Its name.
        name: String,
        /// Where its console is.
        console: Option<String>,
    },
    /// It was looked at.
    Checked {
        /// What was seen.
        seen: Seen,
    },
    /// It is over, and nothing of it is left.
    Ended {
        /// Why.
        because: EndOfTest,
    },
    /// A person says what came of it.
    Marked {
        /// What.
        result: TestResult,
        /// Who.
        by: Actor,
    },
}

impl fmt::Display for TestHappened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { by } => write!(f, "{by} asked for it"),
            Self::CleanupStart => f.write_str("what the one before has left is deleted"),
            Self::CleanupEnd => f.write_str("nothing is left of the one before"),
            Self::SnapshotStart => f.write_str("the last round that landed is frozen"),
            Self::SnapshotEnd { point } => write!(
                f,
                "round {} is frozen, of {}",
                point.round,
                point.consistent_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            Self::LaunchStart => f.write_str("the test guest is started"),
            Self::Launched { name, console: Some(console) } => {
                write!(f, "{name} runs, its console is {console}")
            }
            Self::Launched { name, console: None } => write!(f, "{name} runs"),
            Self::Checked { seen: Seen::Alive { sign, answered_after, looked } } => {
                write!(f, "the test guest is alive: {sign}")?;
                if let Some(after) = answered_after {
                    write!(f, ", {} after its start", after.rounded())?;
                }
                match looked.as_ref().map(|looked| what_failed(&looked.findings)) {
                    None => Ok(()),
                    Some(None) => f.write_str("; all that was looked at is as it should be"),
                    Some(Some(failed)) => write!(f, "; but it is not as it should be: {failed}"),
                }
            }
            Self::Checked { seen: Seen::NotAlive { text } } => {
                write!(f, "the test guest was not seen alive: {text}")
            }
            Self::Ended { because } => write!(f, "over, and nothing of it is left: {because}"),
            Self::Marked { result, by } => write!(f, "{result}, says {by}"),
        }
    }
}

/// Why a test launch can't do what is asked of it, and what would be possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestRefusal {
    /// Nothing keeps the replica up to date now.
    #[error("the replica is {state}; only one that is being kept up to date can be tested")]
    NotKept {
        /// Its state.
        state: &'static str,
    },
    /// There is nothing to start from.
    #[error("no round has landed yet; test it when the first copy is there")]
    NothingLanded,
    /// The server is being cut over with it.
    #[error("the server is being cut over; there is nothing left to be tested")]
    CuttingOver,
    /// One is being launched or ended.
    #[error("a test launch is {step}; ask again when that is done, or end it")]
    UnderWay {
        /// What is being done.
        step: String,
    },
    /// None goes on.
    #[error("no test launch goes on that could be ended")]
    NoneGoesOn,
    /// None has run.
    #[error("no test guest has run that could be judged; launch a test first")]
    NoneRan,
}

impl TestRefusal {
    /// The rule's name, for programs.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NotKept { .. } => "not_kept",
            Self::NothingLanded => "nothing_landed",
            Self::CuttingOver => "cutting_over",
            Self::UnderWay { .. } => "test_under_way",
            Self::NoneGoesOn => "no_test",
            Self::NoneRan => "no_test_ran",
        }
    }
}

impl TestState {
    /// The state's name, as in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Going { .. } => "going",
            Self::Ending { .. } => "ending",
            Self::Over { .. } => "over",
        }
    }

    /// The order that the destination's agent may still be carrying out.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Asked { before } => *before,
            Self::Going { operation, .. } | Self::Ending { operation, .. } => Some(*operation),
            Self::Over { .. } => None,
        }
    }
}

impl Test {
    /// What the agent told last of a guest that may be there.
    #[must_use]
    pub fn status(&self) -> Option<&TestStatus> {
        match &self.state {
            TestState::Going { seen, .. } | TestState::Ending { seen, .. } => seen.as_deref(),
            TestState::Asked { .. } | TestState::Over { .. } => None,
        }
    }

    /// What was seen of the guest, if it was looked at.
    #[must_use]
    pub fn seen(&self) -> Option<&Seen> {
        match &self.state {
            TestState::Over { seen, .. } => seen.as_ref(),
            TestState::Asked { .. } | TestState::Going { .. } | TestState::Ending { .. } => {
                self.status().and_then(|status| status.seen.as_ref())
            }
        }
    }

    /// How long after its start the guest answered, if it did: the server needs as long after a cutover.
    #[must_use]
    pub fn boot(&self) -> Option<Span> {
        match self.seen()? {
            Seen::Alive { answered_after, .. } => *answered_after,
            Seen::NotAlive { .. } => None,
        }
    }

    /// Whether the guest was launched.
    fn ran(&self) -> bool {
        match &self.state {
            TestState::Asked { .. } => false,
            TestState::Going { seen, .. } | TestState::Ending { seen, .. } => {
                seen.as_ref().is_some_and(|seen| seen.name.is_some())
            }
            TestState::Over { because: EndOfTest::Failed { .. }, .. } => false,
            TestState::Over { point, .. } => point.is_some(),
        }
    }
}

impl Replica {
    /// A test launch; one that runs is ended first. `now` is what the source's agent tells of the replica at present, if anything.
    ///
    /// # Errors
    /// There is nothing to start from, or a launch is under way.
    pub fn launch_test(
        self,
        (guest, by): (ServerId, Actor),
        now: Option<&ReplicaStatus>,
        at: Instant,
    ) -> Result<Self, TestRefusal> {
        let ReplicaState::Replicating { .. } = &self.state else {
            return Err(TestRefusal::NotKept { state: self.state.name() });
        };
        let status = now.or(self.seen()).ok_or(TestRefusal::NothingLanded)?;
        if status.stage() == Stage::CuttingOver {
            return Err(TestRefusal::CuttingOver);
        }
        if status.rounds == 0 {
            return Err(TestRefusal::NothingLanded);
        }
        let under_way = |step: String| Err(TestRefusal::UnderWay { step });
        let before = match self.test.as_ref().map(|test| &test.state) {
            None | Some(TestState::Over { .. }) => None,
            Some(TestState::Going { operation, seen: Some(seen) }) if seen.step == TestStep::Running => {
                Some(*operation)
            }
            Some(TestState::Asked { .. }) => return under_way("asked for".to_owned()),
            Some(TestState::Ending { .. }) => return under_way(TestStep::Ending.to_string()),
            Some(TestState::Going { seen, .. }) => {
                let step = seen.as_ref().map_or(TestStep::CleaningUp, |seen| seen.step);
                return under_way(step.to_string());
            }
        };
        let state = TestState::Asked { before };
        Ok(Self { test: Some(Test { guest, by, asked_at: at, state, mark: None }), ..self })
    }

    /// No test any longer. One that is being ended is; one that was asked for is not begun.
    ///
    /// # Errors
    /// None goes on.
    pub fn end_test(mut self, at: Instant) -> Result<Self, TestRefusal> {
        let test = self.test.as_mut().ok_or(TestRefusal::NoneGoesOn)?;
        test.state = match std::mem::replace(&mut test.state, TestState::Asked { before: None }) {
            TestState::Going { operation, seen } | TestState::Ending { operation, seen } => {
                TestState::Ending { operation, seen }
            }
            TestState::Asked { before: Some(operation) } => TestState::Ending { operation, seen: None },
            TestState::Asked { before: None } => {
                TestState::Over { at, because: EndOfTest::Asked, point: None, seen: None }
            }
            TestState::Over { .. } => return Err(TestRefusal::NoneGoesOn),
        };
        Ok(self)
    }

    /// A person says what came of the test; said again it is what was said last.
    ///
    /// # Errors
    /// None has run.
    pub fn mark_test(mut self, mark: Mark) -> Result<Self, TestRefusal> {
        match &mut self.test {
            Some(test) if test.ran() => {
                test.mark = Some(mark);
                Ok(self)
            }
            Some(_) | None => Err(TestRefusal::NoneRan),
        }
    }

    /// Whether a test guest of it may be there.
    #[must_use]
    pub fn is_tested(&self) -> bool {
        self.test.as_ref().is_some_and(|test| test.state.operation().is_some())
    }
}

/// What has happened in a test between two things that its agent told, in order. Steps that were over before they could be told are told all
/// the same.
#[must_use]
pub fn test_story(before: Option<&TestStatus>, now: &TestStatus) -> Vec<TestHappened> {
    let rank = |status: &TestStatus| match status.step {
        TestStep::CleaningUp => 1,
        TestStep::Freezing => 2,
        TestStep::Launching => 3,
        TestStep::Checking => 4,
        TestStep::Running => 5,
        // Whatever it had come to is in what it has.
        TestStep::Ending => 0,
    };
    let (was, is) = (before.map_or(0, rank), rank(now));
    let passes = |step: i32| was < step && is >= step;
    let mut story = Vec::new();
    if passes(1) {
        story.push(TestHappened::CleanupStart);
    }
    if passes(2) {
        story.extend([TestHappened::CleanupEnd, TestHappened::SnapshotStart]);
    }
    if let (Some(point), None) = (now.point, before.and_then(|before| before.point)) {
        story.push(TestHappened::SnapshotEnd { point });
    }
    if passes(3) {
        story.push(TestHappened::LaunchStart);
    }
    if let (Some(name), None) = (&now.name, before.and_then(|before| before.name.as_ref())) {
        story.push(TestHappened::Launched { name: name.clone(), console: now.console.clone() });
    }
    if let (Some(seen), None) = (&now.seen, before.and_then(|before| before.seen.as_ref())) {
        story.push(TestHappened::Checked { seen: seen.clone() });
    }
    story
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{MigrationId, ReplicaId};
    use crate::replica::{Activity, Base, Filled, Going};

    const AT: Instant = Instant::UNIX_EPOCH;

    fn replica(rounds: u64) -> Replica {
        let mut status = ReplicaStatus::new(AT);
        status.rounds = rounds;
        status.activity = Activity::Resting { next_at: AT };
        Replica {
            id: ReplicaId(Uuid::nil()),
            migration: MigrationId(Uuid::nil()),
            server: ServerId(Uuid::nil()),
            from: "h1".parse().expect("a name"),
            to: "h2".parse().expect("a name"),
            disks: Vec::new(),
            base: Base::New,
            filled: Filled::ByRounds,
            peers: None,
            late_since: None,
            going: Going::On,
            sync_now: 0,
            opened_at: AT,
            state: ReplicaState::Replicating {
                operation: OperationId(Uuid::nil()),
                seen: Some(Box::new(status)),
            },
            test: None,
        }
    }

    fn asked(replica: Replica) -> Result<Replica, TestRefusal> {
        replica.launch_test((ServerId(Uuid::from_u128(7)), Actor::Drover), None, AT)
    }

    fn at(step: TestStep) -> Replica {
        let mut replica = asked(replica(2)).expect("granted");
        let test = replica.test.as_mut().expect("asked for");
        let name = (step == TestStep::Running).then(|| "web-test".to_owned());
        let seen = TestStatus { step, name, ..TestStatus::new(AT) };
        test.state =
            TestState::Going { operation: OperationId(Uuid::from_u128(1)), seen: Some(Box::new(seen)) };
        replica
    }

    #[test]
    fn a_test_needs_a_round_and_no_other_launch_under_way() {
        assert_eq!(asked(replica(0)), Err(TestRefusal::NothingLanded));
        let mut refused = replica(2);
        refused.state = ReplicaState::Gone { at: AT };
        assert_eq!(asked(refused), Err(TestRefusal::NotKept { state: "gone" }));
        let launching = asked(at(TestStep::Launching));
        assert_eq!(launching, Err(TestRefusal::UnderWay { step: "launching".to_owned() }));
        let anew = asked(at(TestStep::Running)).expect("the one before is ended").test.expect("asked for");
        assert_eq!(anew.state, TestState::Asked { before: Some(OperationId(Uuid::from_u128(1))) });
    }

    #[test]
    fn only_a_guest_that_ran_is_judged() {
        let mark = || Mark { result: TestResult::Passed, by: Actor::Drover, at: AT };
        assert_eq!(replica(2).mark_test(mark()), Err(TestRefusal::NoneRan));
        assert_eq!(at(TestStep::Freezing).mark_test(mark()), Err(TestRefusal::NoneRan));
        let marked = at(TestStep::Running).mark_test(mark()).expect("it ran");
        assert_eq!(marked.test.expect("a test").mark, Some(mark()));
    }

    #[test]
    fn what_goes_on_is_ended_and_what_does_not_is_not() {
        assert_eq!(replica(2).end_test(AT), Err(TestRefusal::NoneGoesOn));
        let ending = at(TestStep::Launching).end_test(AT).expect("granted");
        assert_eq!(ending.test.as_ref().expect("a test").state.name(), "ending");
        assert!(ending.is_tested());
        let never = asked(replica(2)).expect("granted").end_test(AT).expect("granted");
        assert!(!never.is_tested());
        assert_eq!(never.end_test(AT), Err(TestRefusal::NoneGoesOn));
    }

    #[test]
    fn steps_that_nobody_saw_are_told() {
        let mut status = TestStatus::new(AT);
        let first = test_story(None, &status);
        assert_eq!(first, [TestHappened::CleanupStart]);
        let before = status.clone();
        let point = Point { round: 2, consistent_at: AT };
        (status.step, status.point, status.name) = (TestStep::Checking, Some(point), Some("t".to_owned()));
        let names: Vec<String> = test_story(Some(&before), &status).iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert_eq!(test_story(Some(&status), &status), []);
    }
}
