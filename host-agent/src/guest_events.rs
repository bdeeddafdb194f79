//! A server's own maintenance events, served to the guest itself, in the form that Azure's metadata service has; and its answer, by which
//! they start.
//!
//! ```text
//! scheduler ── sync ──▶ agent ── bridge or vsock ──▶ guest        its events
//! scheduler ◀── sync ── agent ◀─ bridge or vsock ─── guest        "I am ready": in the ledger before the guest hears that it was taken
//! ```
//!
//! Which guest asks is worked out in [`identity`] from what the kernel ([`kernel`]) and libvirt say. What it is answered is in
//! [`protocol`], which is the same over every transport.

pub mod http;
pub mod identity;
pub mod kernel;
mod limits;
mod link_local;
pub mod protocol;
mod socket_sys;
mod vsock;

use std::sync::Arc;

use crate::agent::Agent;
use http::{Desk, List};
pub use link_local::Place;

/// Where guests are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bridges, with the address on each.
    pub places: Vec<Place>,
    /// The vsock port.
    pub vsock_port: Option<u32>,
}

/// Begins to serve; the tasks run until the runtime ends.
pub fn start(config: &Config, agent: &Arc<Agent>, list: Arc<List>) {
    agent.serve_guests();
    let desk = Arc::new(Desk::new(Arc::clone(agent), list));
    for place in &config.places {
        tokio::spawn(link_local::listen(place.clone(), Arc::clone(&desk)));
    }
    if let Some(port) = config.vsock_port {
        tokio::spawn(vsock::listen(port, desk));
    }
}
