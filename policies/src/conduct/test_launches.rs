//! Test launches: ordered once the one before is gone, ended before the server is cut over, and with their replica.

use super::{Conductor, Intent, NewWish};
use crate::attempt::Report;
use crate::checks::{Look, Side};
use crate::events::Happened;
use crate::migration::Migration;
use crate::replica::{
    EndOfTest, Replica, Test, TestHappened, TestNetwork, TestState, TestStatus, test_story,
};

impl Conductor<'_> {
    /// Takes in what the destination's agent has told of a test.
    pub(super) fn take_in_test(&mut self, mut replica: Replica) -> Replica {
        let Some(test) = replica.test.clone() else { return replica };
        let told = test.state.operation().and_then(|id| self.reports.get(&id)).cloned();
        let (state, told) = match (test.state.clone(), told) {
            (TestState::Going { operation, seen }, Some(Report::Testing(status))) => {
                self.tell_test_story(&replica, seen.as_deref(), &status);
                (TestState::Going { operation, seen: Some(status) }, None)
            }
            (TestState::Ending { operation, seen }, Some(Report::Testing(status))) => {
                self.tell_test_story(&replica, seen.as_deref(), &status);
                (TestState::Ending { operation, seen: Some(status) }, None)
            }
            (TestState::Asked { before: Some(operation) }, Some(Report::Tested { because, .. })) => {
                self.changes.ended.push(operation);
                (TestState::Asked { before: None }, Some(because))
            }
            (TestState::Asked { before: Some(operation) }, Some(Report::Refused(failure))) => {
                self.changes.ended.push(operation);
                (TestState::Asked { before: None }, Some(EndOfTest::Failed { failure }))
            }
            (
                TestState::Going { operation, seen: status } | TestState::Ending { operation, seen: status },
                Some(Report::Tested { because, seen }),
            ) => {
                self.changes.ended.push(operation);
                let point = status.and_then(|status| status.point);
                (TestState::Over { at: self.now, because: because.clone(), point, seen }, Some(because))
            }
            (
                TestState::Going { operation, .. } | TestState::Ending { operation, .. },
                Some(Report::Refused(failure)),
            ) => {
                self.changes.ended.push(operation);
                let because = EndOfTest::Failed { failure };
                let (point, seen) = (None, None);
                (TestState::Over { at: self.now, because: because.clone(), point, seen }, Some(because))
            }
            (unchanged, _) => (unchanged, None),
        };
        if let Some(because) = told {
            self.say_of_test(&replica, TestHappened::Ended { because });
        }
        replica.test = Some(Test { state, ..test });
        replica
    }

    /// Orders what was asked for, of a replica that is kept; ends what is to be ended.
    pub(super) fn look_after_test(&mut self, mut replica: Replica) -> Replica {
        let Some(test) = replica.test.clone() else { return replica };
        match test.state {
            TestState::Asked { before: Some(operation) } | TestState::Ending { operation, .. } => {
                self.wish(operation, NewWish::AbortAsked);
            }
            TestState::Asked { before: None } => {
                let look = self.look_in_test(&replica);
                let blueprint = self.blueprints.get(&replica.server).cloned().unwrap_or_default();
                let intent = Intent::TestLaunch {
                    replica: Box::new(replica.clone()),
                    guest: test.guest,
                    look,
                    blueprint,
                };
                let operation = self.order(replica.to.clone(), Some(replica.migration), intent);
                replica.test = Some(Test { state: TestState::Going { operation, seen: None }, ..test });
            }
            TestState::Going { .. } | TestState::Over { .. } => {}
        }
        replica
    }

    /// A replica that is let go of takes its test with it: its agent ends whatever runs from it.
    pub(super) fn leave_test(&mut self, mut replica: Replica) -> Replica {
        let Some(test) = replica.test.clone() else { return replica };
        if let Some(operation) = test.state.operation() {
            self.wish(operation, NewWish::AbortAsked);
            if replica.is_gone() {
                self.changes.ended.push(operation);
            }
        }
        let gone = replica.is_gone() && !matches!(test.state, TestState::Over { .. });
        if gone {
            let (because, point) = (EndOfTest::Asked, test.status().and_then(|status| status.point));
            let seen = test.status().and_then(|status| status.seen.clone());
            replica.test =
                Some(Test { state: TestState::Over { at: self.now, because, point, seen }, ..test });
        }
        replica
    }

    /// Ends the test of a server that is to be cut over. Answers whether one is still there.
    pub(super) fn end_test_before_cutover(&mut self, migration: &Migration) -> bool {
        let Some(index) = self
            .replica_for(migration)
            .map(|found| found.id)
            .and_then(|id| self.replicas.iter().position(|known| known.id == id))
        else {
            return false;
        };
        let before = self.replicas[index].clone();
        if !before.is_tested() {
            return false;
        }
        if let Ok(after) = before.clone().end_test(self.now) {
            let after = self.look_after_test(after);
            self.put_replica(index, before, after);
        }
        true
    }

    fn look_in_test(&self, replica: &Replica) -> Option<Look> {
        let migration = self.find(replica.migration)?;
        let policy = self.policy_for(migration);
        let network = &policy.policy.test.network();
        let able = self.checking.contains(&replica.to) && *network != TestNetwork::Nowhere;
        // Its addresses are others than before: there is nothing that it could be compared with.
        able.then(|| self.look(migration, &policy.policy, Side::After { baseline: None }))
    }

    fn tell_test_story(&mut self, replica: &Replica, before: Option<&TestStatus>, now: &TestStatus) {
        for what in test_story(before, now) {
            self.say_of_test(replica, what);
        }
    }

    fn say_of_test(&mut self, replica: &Replica, what: TestHappened) {
        self.say_of_replica(replica, Happened::TestLaunch { at: replica.to.clone(), what });
    }
}
