//! The images of a replica at the destination: whether it is ready to be cut over with, put in its place, and taken out again.

use chrono::TimeDelta;
use drover_agent_api::{CutoverReplica, RebootMigrate, ReplicaPeer};
use drover_policies::attempt::{Failure, FailureClass, Outcome};
use drover_policies::fleet::Definition;
use drover_policies::ids::ReplicaId;
use drover_policies::time::Instant;

use super::{Cutover, Off, target};
use crate::driver::{Context, Step, When};
use crate::hypervisor::replication::{FilledBy, Held, Touched};
use crate::hypervisor::{Refusal, RefusalKind, Sighting};

/// How long it is tried to take the images out before the end is told. The server is back at its source by then, and nothing can start
/// from them there: what is left undone is made good before the next round.
const TRIED_FOR: TimeDelta = TimeDelta::seconds(30);

/// Whether a server can be cut over with its replica, as far as can be known before anything is touched.
pub(super) fn ready(order: &RebootMigrate, here: &Sighting, context: &Context<'_>) -> Result<(), Failure> {
    let Some(replica) = &order.replica else { return Ok(()) };
    let failure = |class, text| Failure { class, text };
    if here.definition == Definition::Transient {
        let text = format!(
            "{} has no definition that outlives it, so its disks can't be followed; define it first",
            here.name
        );
        return Err(failure(FailureClass::RefusedBySource, text));
    }
    let landed = rounds_there((replica.replica, &replica.peer), context)?;
    if landed < replica.rounds {
        let host = &replica.peer.host;
        let text = format!("{host} has {landed} rounds of its replica, and {} are needed", replica.rounds);
        return Err(failure(FailureClass::NotBegun, text));
    }
    Ok(())
}

/// How many rounds of a replica the destination has, and its images are not in their place.
pub(crate) fn rounds_there(
    (replica, peer): (ReplicaId, &ReplicaPeer),
    context: &Context<'_>,
) -> Result<u64, Failure> {
    let replication = context.hypervisor.replication();
    let looked = replication.held(replica, peer).and_then(|held| match held {
        // Left by an earlier try that was taken back while the destination was silent. The destination does not know the server.
        Held::InPlace => {
            replication.take_out(replica, peer, Touched::Perhaps)?;
            replication.held(replica, peer)
        }
        held @ (Held::Nothing | Held::Rounds { .. }) => Ok(held),
    });
    match looked {
        Ok(Held::Rounds { landed }) => Ok(landed),
        Ok(Held::Nothing | Held::InPlace) => {
            let text = format!("{} does not hold its replica", peer.host);
            Err(Failure { class: FailureClass::RefusedByDestination, text })
        }
        Err(refusal) => Err(refusal.at_destination()),
    }
}

/// The destination puts the images where the definition names them. Nothing is defined there yet.
pub(super) fn put_in_place(
    replica: &CutoverReplica,
    (off, since): (Off, Instant),
    context: &Context<'_>,
) -> Step<Cutover> {
    match context.hypervisor.replication().put_in_place(replica.replica, &replica.peer, FilledBy::Rounds) {
        Ok(()) => {
            let touched = Some(Touched::No);
            Cutover::BootTarget { off, since: context.now, touched }.go(context, When::AtOnce)
        }
        Err(Refusal { kind: RefusalKind::NoConnection | RefusalKind::NoAnswer, text })
            if context.now < since + target::SILENCE =>
        {
            tracing::warn!(operation = %context.id, host = %replica.peer.host,
                "the destination's agent is silent; it is waited for before the server is brought back: {text}");
            Cutover::PuttingInPlace { off, since }.go(context, context.again(since))
        }
        // They may be in place all the same: the answer may have been lost.
        Err(refusal) => {
            let (before, failure) = (off.before, refusal.at_destination());
            let (since, settles, placed) = (context.now, context.now, Some(Touched::No));
            Cutover::Restoring { before, since, settles, failure, placed }.go(context, When::AtOnce)
        }
    }
}

/// Once the server is back at its source, the images become a replica again, and the base of the next try.
pub(super) fn take_out(
    replica: &CutoverReplica,
    (since, touched, outcome): (Instant, Touched, Outcome),
    context: &Context<'_>,
) -> Step<Cutover> {
    match taken_out((replica.replica, &replica.peer), (since, touched), context) {
        Taken::Over => Step::ended(outcome),
        Taken::Again(when) => Cutover::TakingOut { since, touched, outcome }.go(context, when),
    }
}

/// What has become of images that were to be taken out of their place.
pub(crate) enum Taken {
    /// They are a replica again, or will be before the next round.
    Over,
    /// It is tried again.
    Again(When),
}

/// Has the destination take the images out of their place, as long as it is worth trying.
pub(crate) fn taken_out(
    (replica, peer): (ReplicaId, &ReplicaPeer),
    (since, touched): (Instant, Touched),
    context: &Context<'_>,
) -> Taken {
    match context.hypervisor.replication().take_out(replica, peer, touched) {
        Ok(()) => Taken::Over,
        Err(refusal) if context.now < since + TRIED_FOR => {
            tracing::warn!(operation = %context.id, host = %peer.host,
                "the images could not be taken out of their place, trying again: {refusal}");
            Taken::Again(context.again(since))
        }
        Err(refusal) => {
            tracing::warn!(operation = %context.id, host = %peer.host,
                "the images are left in their place until the next round: {refusal}");
            Taken::Over
        }
    }
}
