//! Test launches, as the API shows them.

use chrono::{DateTime, Utc};
use drover_policies::checks::what_failed;
use drover_policies::ids::ServerId;
use drover_policies::replica::{EndOfTest, Seen, Test, TestState, TestStep};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::FindingView;
use super::common::{ActorView, Eyes, word};

/// The last test launch of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestView {
    /// The test guest's own id.
    #[schema(value_type = uuid::Uuid)]
    pub guest: ServerId,
    /// Who asked for it.
    pub by: ActorView,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// `asked`, `cleaning_up`, `freezing`, `launching`, `checking`, `running`, `ending` or `over`.
    pub state: String,
    /// The round that it starts from, once that is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// The moment of the server's disks that it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_at: Option<DateTime<Utc>>,
    /// The test guest's name, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it is ended by itself, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Whether it was seen alive; missing before it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
    /// By what it was seen to be alive, or what was seen instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// How long after its start its guest agent answered, in milliseconds; missing where it has none that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_after_ms: Option<u64>,
    /// What else it was looked at for, as a server is after its move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<FindingView>,
    /// Whether nothing of that failed that must pass; missing where nothing but its life was looked at, as where it has no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<bool>,
    /// Why it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What a person says came of it: `passed` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Where its console is on its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

impl TestView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(test: &Test, eyes: Eyes) -> Self {
        let status = test.status();
        let (point, ended) = match &test.state {
            TestState::Over { because, point, .. } => (*point, Some(ended(because, eyes))),
            TestState::Asked { .. } | TestState::Going { .. } | TestState::Ending { .. } => {
                (status.and_then(|status| status.point), None)
            }
        };
        let (alive, seen, looked) = match test.seen() {
            Some(Seen::Alive { sign, looked, .. }) => (Some(true), Some(sign.clone()), looked.as_ref()),
            Some(Seen::NotAlive { text }) => (Some(false), Some(text.clone()), None),
            None => (None, None, None),
        };
        let findings = looked.map_or(&[][..], |looked| &looked.findings);
        Self {
            guest: test.guest,
            by: ActorView::of(&test.by, eyes),
            asked_at: test.asked_at,
            state: state(test),
            round: point.map(|point| point.round),
            consistent_at: point.map(|point| point.consistent_at),
            name: status.and_then(|status| status.name.clone()),
            until: status.and_then(|status| status.until),
            alive,
            seen,
            answered_after_ms: test.boot().map(|boot| boot.as_milliseconds()),
            checks: findings.iter().map(FindingView::from).collect(),
            well: looked.map(|_| what_failed(findings).is_none()),
            ended,
            result: test.mark.as_ref().map(|mark| mark.result.to_string()),
            console: status.and_then(|status| status.console.clone()),
        }
    }
}

fn state(test: &Test) -> String {
    match &test.state {
        TestState::Going { seen, .. } => word(&seen.as_ref().map_or(TestStep::CleaningUp, |seen| seen.step)),
        TestState::Asked { .. } | TestState::Ending { .. } | TestState::Over { .. } => {
            test.state.name().to_owned()
        }
    }
}

fn ended(because: &EndOfTest, eyes: Eyes) -> String {
    match (because, eyes) {
        (EndOfTest::Failed { failure }, Eyes::Owner) => {
            format!("it could not be launched: {}", failure.class)
        }
        (EndOfTest::Failed { .. } | EndOfTest::Asked | EndOfTest::Expired | EndOfTest::WentOff, _) => {
            because.to_string()
        }
    }
}
