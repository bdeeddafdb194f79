//! The two short operations: what is left on this host, and the end of a retained definition.

use std::path::Path;

use drover_agent_api::OperationState;
use drover_policies::attempt::{Phase, Progress};
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::replica::ReplicaDisk;
use drover_policies::time::Span;

use crate::driver::{Context, Step, Telling};
use crate::hypervisor::Answer;
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
    let servers = context.hypervisor.observe()?.servers;
    let used = |disk: &ReplicaDisk| {
        let mut known = servers.iter().flat_map(|server| &server.disks);
        known.any(|known| is_same(Path::new(&known.source), &disk.source))
    };
    let (kept, unused): (Vec<_>, Vec<_>) = retained.disks.iter().cloned().partition(used);
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

/// One file may have several names.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The same again, soon.
pub(crate) fn wait(context: &Context<'_>) -> Step<()> {
    let progress = Progress::of(Phase::Preflight, context.now);
    Step::Go { state: (), telling: Telling::Progress(progress), when: context.after(PAUSE) }
}
