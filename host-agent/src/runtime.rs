//! The agent's threads in production: one per open operation, one for the inventory.
//!
//! A hung libvirt call is bounded by the hypervisor port, so each thread comes back; none is ever waited for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use drover_policies::ids::OperationId;

use crate::agent::{Agent, Next};

/// Starts the threads. They run until the process ends.
///
/// # Errors
/// When the system gives no thread.
pub fn start(agent: &Arc<Agent>) -> io::Result<()> {
    let reader = Arc::clone(agent);
    thread::Builder::new().name("inventory".to_owned()).spawn(move || {
        loop {
            reader.wait_for_inventory();
            reader.read_inventory();
        }
    })?;
    let supervisor = Arc::clone(agent);
    thread::Builder::new().name("operations".to_owned()).spawn(move || supervise(&supervisor))?;
    Ok(())
}

fn supervise(agent: &Arc<Agent>) -> ! {
    let mut threads: BTreeMap<OperationId, JoinHandle<()>> = BTreeMap::new();
    loop {
        // A driver that panicked has lost its thread, not its operation: it is taken up again from its state.
        threads.retain(|_, thread| !thread.is_finished());
        for id in agent.wait_for_others(&|id| threads.contains_key(&id)) {
            let driver = Arc::clone(agent);
            let spawned = thread::Builder::new().name(format!("op-{id}")).spawn(move || drive(&driver, id));
            match spawned {
                Ok(thread) => drop(threads.insert(id, thread)),
                Err(error) => {
                    tracing::error!(operation = %id, "no thread for it, trying again: {error}");
                    thread::sleep(std::time::Duration::from_millis(200));
                }
            }
        }
    }
}

fn drive(agent: &Agent, id: OperationId) {
    loop {
        match agent.step_operation(id) {
            Next::At(_) => agent.wait_for_operation(id),
            Next::Never => return,
        }
    }
}
