//! What happened, as an owner is told it: no host, no limit, no words of operators or hypervisors.

use drover_pages::{Figure, Saying};
use drover_policies::attempt::{FailureClass, Method, Moved, Phase, PhaseDone};
use drover_policies::checks::Finding;
use drover_policies::eligibility::WhyNotLive;
use drover_policies::events::{Happened, Through};
use drover_policies::import::ImportHappened;
use drover_policies::migration::Loss;
use drover_policies::notices::{Actor, Avoidance, WhyGivenUp};
use drover_policies::replica::{EndOfTest, Seen, TestHappened};

use super::checks::FindingView;

/// What an owner is told of it; nothing where it means something to operators only.
pub(super) fn said_to_owner(what: &Happened) -> Option<Saying> {
    Some(match what {
        Happened::Planned { method: Method::Live, .. } => Saying::new("said-to-be-live"),
        Happened::Planned { method: Method::Reboot, .. } => Saying::new("said-to-be-rebooted"),
        Happened::FellBack { why } => Saying::new("event-fell-back").with("why", reason(why)),
        Happened::BecameLive => Saying::new("said-live-after-all"),
        Happened::Proposed { slot } => Saying::new("event-proposed").with("at", Figure::At(slot.start)),
        Happened::Rescheduled { slot, by } => {
            said_by("event-rescheduled", by).with("at", Figure::At(slot.start))
        }
        Happened::Declined { slot, by } => said_by("event-declined", by).with("at", Figure::At(slot.start)),
        Happened::Withdrawn { slot, freeze: Some(freeze), .. } => Saying::new("event-frozen")
            .with("at", Figure::At(slot.start))
            .with("freeze", Figure::Name(freeze.clone())),
        Happened::Withdrawn { slot, why, freeze: None } => Saying::new("event-withdrawn")
            .with("at", Figure::At(slot.start))
            .with("why", Figure::Said(why.clone())),
        Happened::Accepted { by } => said_by("event-accepted", by),
        Happened::StartNow { by, through: Through::Himself } => said_by("event-start-now", by),
        Happened::StartNow { by, through: Through::Guest } => said_by("event-start-now-guest", by),
        Happened::Missed { slot, .. } => Saying::new("event-missed").with("at", Figure::At(slot.start)),
        Happened::Began { method: Method::Live, .. } => Saying::new("said-live-begins"),
        Happened::Began { method: Method::Reboot, .. } => Saying::new("said-reboot-begins"),
        Happened::PhaseReached { phase } => Saying::new(name_of(*phase)),
        Happened::PhaseDone { done } => phase_done(done),
        Happened::AttemptFailed { method, failure, .. } => {
            Saying::new("event-not-moved").with("method", tag_of(*method)).with("why", why(failure.class))
        }
        Happened::Arrived { method, moved, .. } => arrived(*method, moved),
        Happened::Alive { .. } => Saying::new("said-seen-alive"),
        Happened::Failed { .. } => Saying::new("said-needs-operator"),
        Happened::AskedFor { slot, by } => said_by("event-asked-for", by).with("at", Figure::At(slot.start)),
        Happened::DrillAskedFor { slot, by } => {
            said_by("event-drill-asked-for", by).with("at", Figure::At(slot.start))
        }
        Happened::DrillBegan { until } => Saying::new("event-drill-began").with("at", Figure::At(*until)),
        Happened::DrillEnded => Saying::new("said-drill-ended"),
        Happened::GivenUp { why } => match why {
            WhyGivenUp::Cancelled { by } => said_by("event-cancelled", by),
            WhyGivenUp::ForReal => Saying::new("said-for-real"),
            WhyGivenUp::OutOfTime => Saying::new("said-out-of-time"),
            WhyGivenUp::NothingRetained { .. } => Saying::new("said-nothing-retained"),
        },
        Happened::Confirmed { by: Actor::Drover } => Saying::new("said-confirmed-by-itself"),
        Happened::Confirmed { by } => said_by("event-confirmed", by),
        Happened::Reverting { by, loss: Loss::None, .. } => said_by("event-reverting", by),
        Happened::Reverting { by, loss: Loss::Accepted, .. } => said_by("event-reverting-with-loss", by),
        Happened::Reverted { through } => Saying::new("event-reverted").with("through", number(through)),
        Happened::NotReverted { through } => {
            Saying::new("event-not-reverted").with("through", number(through))
        }
        Happened::ReplicaInitiating { .. } => Saying::new("said-copy-begins"),
        Happened::InitialSyncDone { round } => Saying::new("event-copied-once")
            .with("sent", Figure::Bytes(round.sent_bytes))
            .with("took", Figure::Long(round.took)),
        Happened::ReplicaReady { lag: Some(lag) } => {
            Saying::new("event-copy-ready").with("lag", Figure::Long(*lag))
        }
        Happened::ReplicaReady { lag: None } => Saying::new("said-copy-ready"),
        Happened::ReplicaStalled { failure } => {
            Saying::new("event-copy-stalled").with("why", why(failure.class))
        }
        Happened::ReplicaLate { lag } => Saying::new("event-copy-late").with("lag", Figure::Long(*lag)),
        Happened::ReplicaCaughtUp { lag } => {
            Saying::new("event-copy-caught-up").with("lag", Figure::Long(*lag))
        }
        Happened::ReplicaGoesOn => Saying::new("said-copy-goes-on"),
        Happened::ReplicaPaused { by } => said_by("event-copy-paused", by),
        Happened::ReplicaResumed { by } => said_by("event-copy-resumed", by),
        Happened::SyncAskedFor { by } => said_by("event-sync-asked-for", by),
        Happened::BlueprintSet { blueprint, by } => {
            said_by("event-blueprint", by).with("what", Figure::Name(blueprint.clone()))
        }
        Happened::Shaped { blueprint } => {
            Saying::new("event-shaped").with("what", Figure::Name(blueprint.clone()))
        }
        Happened::ShapedBack => Saying::new("said-shaped-back"),
        Happened::Checked { finding: of } => {
            Saying::new("event-check").with("what", Figure::Saying(finding(of)))
        }
        Happened::TestLaunch { what, .. } => {
            Saying::new("event-test").with("what", Figure::Saying(test_launch(what)))
        }
        Happened::Import { what: ImportHappened::Imported { .. } } => Saying::new("said-is-here"),
        Happened::Avoided { how } => Saying::new(match how {
            Avoidance::Deleted => "said-deleted",
            Avoidance::MovedElsewhere => "said-moved-elsewhere",
            Avoidance::MovedWhileOff => "said-moved-while-off",
            Avoidance::MovedLive => "said-moved-live",
        }),
        Happened::Closed => Saying::new("said-closed"),
        Happened::Cancelled => Saying::new("said-given-up"),
        Happened::Adopted => Saying::new("said-adopted"),
        Happened::Released => Saying::new("said-released"),
        Happened::Requested { .. }
        | Happened::Paused { .. }
        | Happened::Resumed { .. }
        | Happened::MaintenanceCancelled { .. }
        | Happened::EmergencyDeclared { .. }
        | Happened::DeadlineNear { .. }
        | Happened::HostEmpty
        | Happened::HostNotEmpty { .. }
        | Happened::MaintenanceCompleted
        | Happened::Rolling { .. }
        | Happened::Replanned { .. }
        | Happened::Waits { .. }
        | Happened::DowntimeRaised { .. }
        | Happened::Aborting { .. }
        | Happened::Forced { .. }
        | Happened::Retried { .. }
        | Happened::ReplicaRefused { .. }
        | Happened::ReplicaReleased { .. }
        | Happened::ReplicaLeft { .. }
        | Happened::Import { .. }
        | Happened::TokenIssued { .. }
        | Happened::TokenRevoked { .. }
        | Happened::TicketTaken { .. }
        | Happened::TicketGivenBack { .. }
        | Happened::StandingChanged { .. } => return None,
    })
}

/// A sentence that names who: an owner is told no operator's name.
fn said_by(word: &'static str, by: &Actor) -> Saying {
    Saying::new(word).with(
        "by",
        Figure::Saying(match by {
            Actor::Operator { .. } => Saying::new("by-operator"),
            Actor::Owner { owner } => Saying::new("by-owner").with("name", Figure::Name(owner.to_string())),
            Actor::Drover => Saying::new("by-drover"),
        }),
    )
}

fn number(number: &u32) -> Figure {
    Figure::Name(number.to_string())
}

/// By which the words choose.
fn tag_of(method: Method) -> Figure {
    Figure::Name(method.to_string())
}

fn why(class: FailureClass) -> Figure {
    Figure::Said(class.to_string())
}

fn reason(why: &WhyNotLive) -> Figure {
    Figure::Coded { family: "why", code: why.code().to_owned(), text: why.for_owner().to_owned() }
}

fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "said-preflight",
        Phase::Armed => "said-armed",
        Phase::Transferring => "said-transferring",
        Phase::FinalDelta => "said-final-delta",
        Phase::PowerOffSource => "said-power-off",
        Phase::GuestFixes => "said-guest-fixes",
        Phase::Finalize => "said-finalize",
        Phase::BootTarget => "said-boot-target",
        Phase::Verifying => "said-verifying",
        Phase::RollingBack => "said-rolling-back",
        Phase::InDoubt => "said-in-doubt",
    }
}

fn phase_done(done: &PhaseDone) -> Saying {
    let saying = if done.sent_bytes == 0 {
        Saying::new("event-phase-done")
    } else {
        Saying::new("event-phase-sent").with("sent", Figure::Bytes(done.sent_bytes))
    };
    saying
        .with("phase", Figure::Saying(Saying::new(name_of(done.phase))))
        .with("took", Figure::Long(done.took))
}

fn arrived(method: Method, moved: &Moved) -> Saying {
    match moved.downtime {
        Some(downtime) => Saying::new("event-moved-after").with("for", Figure::Long(downtime)),
        None => Saying::new("event-moved"),
    }
    .with("method", tag_of(method))
}

fn finding(finding: &Finding) -> Saying {
    let FindingView { item, name, verdict, seen, .. } = FindingView::from(finding);
    let saying = if seen.is_empty() {
        Saying::new("event-finding")
    } else {
        Saying::new("event-finding-seen").with("seen", Figure::Said(seen))
    };
    let said = finding.verdict.to_string();
    saying
        .with("item", Figure::Coded { family: "check", code: item, text: name })
        .with("verdict", Figure::Coded { family: "verdict", code: verdict, text: said })
}

fn test_launch(what: &TestHappened) -> Saying {
    match what {
        TestHappened::Asked { by } => said_by("event-test-asked-for", by),
        TestHappened::CleanupStart => Saying::new("said-cleanup-start"),
        TestHappened::CleanupEnd => Saying::new("said-cleanup-end"),
        TestHappened::SnapshotStart => Saying::new("said-snapshot-start"),
        TestHappened::SnapshotEnd { point } => Saying::new("event-test-frozen")
            .with("round", Figure::Name(point.round.to_string()))
            .with("at", Figure::At(point.consistent_at)),
        TestHappened::LaunchStart => Saying::new("said-launch-start"),
        // Where its console is on the host is for operators.
        TestHappened::Launched { name, .. } => {
            Saying::new("event-test-launched").with("name", Figure::Name(name.clone()))
        }
        TestHappened::Checked { seen } => seen_in_test(seen),
        TestHappened::Ended { because } => {
            let because = match because {
                EndOfTest::Asked => Saying::new("said-test-asked"),
                EndOfTest::Expired => Saying::new("said-test-expired"),
                EndOfTest::WentOff => Saying::new("said-test-went-off"),
                EndOfTest::Failed { failure } => {
                    return Saying::new("event-test-not-launched").with("why", why(failure.class));
                }
            };
            Saying::new("event-test-over").with("why", Figure::Saying(because))
        }
        TestHappened::Marked { result, by } => {
            said_by("event-test-marked", by).with("result", Figure::Name(result.to_string()))
        }
    }
}

fn seen_in_test(seen: &Seen) -> Saying {
    let (sign, answered_after, looked) = match seen {
        Seen::Alive { sign, answered_after, looked } => (sign, answered_after, looked),
        // What was seen instead is in the words of hypervisors.
        Seen::NotAlive { .. } => return Saying::new("said-test-not-alive"),
    };
    let alive = match answered_after {
        Some(after) => Saying::new("event-test-alive-after").with("after", Figure::Long(*after)),
        None => Saying::new("event-test-alive"),
    };
    let alive = alive.with("sign", Figure::Said(sign.clone()));
    let Some(looked) = looked else { return alive };
    let failed = looked.findings.iter().filter(|finding| finding.counts_against()).map(finding);
    let saying = match failed.reduce(|one, other| {
        Saying::new("event-both").with("one", Figure::Saying(one)).with("other", Figure::Saying(other))
    }) {
        None => Saying::new("event-test-and-well"),
        Some(failed) => Saying::new("event-test-and-not-well").with("failed", Figure::Saying(failed)),
    };
    saying.with("alive", Figure::Saying(alive))
}
