//! The short operations: what is left on this host, whether what was retained is there, and its end.

use std::path::Path;

use drover_agent_api::{LookAtRetained, OperationState};
use drover_policies::attempt::{Failure, FailureClass, Phase, Progress};
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::replica::ReplicaDisk;
use drover_policies::time::Span;

use crate::driver::{Context, Step, Telling};
use crate::hypervisor::{Answer, Refusal, RefusalKind};
use crate::ledger::Retained;

/// How long to wait before a daemon or a disk that did not answer is asked again.
const PAUSE: Span = Span::seconds(1);

/// Asks the hypervisor, now, what is left here. It is asked until it answers: an empty host is never assumed.
#[must_use]
pub fn count(context: &Context<'_>) -> Step<()> {
    match context.hypervisor.left() {
        Ok(left) => Step::End(OperationState::Counted { left, at: context.now }),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, "cannot ask libvirt what is left here: {refusal}");
            wait(context)
        }
    }
}

/// Looks whether the disks that were retained of a server are there, all that it has now among them, and used by nothing.
#[must_use]
pub fn look(order: &LookAtRetained, context: &Context<'_>) -> Step<()> {
    match find_retained(order, context) {
        Ok(()) => Step::End(OperationState::Held),
        Err(Refusal { kind: RefusalKind::NoConnection | RefusalKind::NoAnswer, text }) => {
            tracing::warn!(operation = %context.id, "it is not known whether its disks are there, so it is looked again: {text}");
            wait(context)
        }
        Err(Refusal { kind: RefusalKind::NoServer | RefusalKind::Failed(_), text }) => {
            let failure = Failure { class: FailureClass::RefusedByDestination, text };
            Step::End(OperationState::Refused { failure })
        }
    }
}

fn find_retained(order: &LookAtRetained, context: &Context<'_>) -> Answer<()> {
    let refuse = |text| Err(Refusal::new(RefusalKind::Failed(FailureClass::RefusedByDestination), text));
    let retained = match context.ledger.retained(order.server) {
        Ok(Some(retained)) => retained,
        Ok(None) => return refuse("nothing is retained of it on this host any more".to_owned()),
        Err(error) => return refuse(format!("what is retained of it can't be read: {error}")),
    };
    for disk in &order.disks {
        let known =
            retained.disks.iter().any(|known| (&known.source, known.format) == (&disk.source, disk.format));
        if !known {
            let file = disk.source.display();
            return refuse(format!(
                "its {} is {file} now, which it had not when it left this host",
                disk.target
            ));
        }
    }
    if let Some(disk) = used(&retained, context)?.first() {
        return refuse(format!("{} is a disk of a server of this host", disk.source.display()));
    }
    context.hypervisor.replication().look_at_retained(order.server, &order.disks)
}

/// Throws away what is retained of a server, its disks first: whichever it is, or only what one operation has retained.
#[must_use]
pub fn discard(server: ServerId, kept_by: Option<OperationId>, context: &Context<'_>) -> Step<()> {
    match context.ledger.retained(server) {
        Ok(Some(retained)) if kept_by.is_none_or(|operation| operation == retained.operation) => {
            if let Err(refusal) = delete_disks(&retained, context) {
                tracing::error!(operation = %context.id, %server, "cannot delete the retained disks: {refusal}");
                return wait(context);
            }
        }
        // One that can't be read names no disks that could be deleted.
        Ok(_) | Err(_) => {}
    }
    let discarded = match kept_by {
        Some(operation) => context.ledger.discard_of(server, operation),
        None => context.ledger.discard(server),
    };
    match discarded {
        Ok(()) => Step::End(OperationState::Discarded),
        Err(error) => {
            tracing::error!(operation = %context.id, %server, "cannot throw the retained definition away: {error}");
            wait(context)
        }
    }
}

/// A file that any server of this host has as a disk stays: the server may be back, or its owner may have given the disk to another.
fn delete_disks(retained: &Retained, context: &Context<'_>) -> Answer<()> {
    if retained.disks.is_empty() {
        return Ok(());
    }
    let kept = used(retained, context)?;
    let unused: Vec<_> = retained.disks.iter().filter(|disk| !kept.contains(disk)).cloned().collect();
    for disk in kept {
        tracing::warn!(operation = %context.id, server = %retained.server, file = %disk.source.display(),
            "a retained disk is in use on this host again, and stays");
    }
    if unused.is_empty() {
        Ok(())
    } else {
        context.hypervisor.replication().delete_retained(retained.server, &unused)
    }
}

/// Those of the retained disks that some server of this host has.
fn used(retained: &Retained, context: &Context<'_>) -> Answer<Vec<ReplicaDisk>> {
    let servers = context.hypervisor.observe()?.servers;
    let used = |disk: &&ReplicaDisk| {
        let mut known = servers.iter().flat_map(|server| &server.disks);
        known.any(|known| is_same(Path::new(&known.source), &disk.source))
    };
    Ok(retained.disks.iter().filter(used).cloned().collect())
}

/// One file may have several names.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The same again, soon.
pub(crate) fn wait(context: &Context<'_>) -> Step<()> {
    let progress = Progress::of(Phase::Preflight, context.now);
    Step::Go { state: (), telling: Telling::Progress(progress), when: context.after(PAUSE) }
}
