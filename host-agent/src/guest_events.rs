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

/// What stands in the way of serving guests here, for `drover-agent check`: each line says what and what to do.
#[must_use]
pub fn check(config: &Config) -> Vec<String> {
    let kernel = kernel::Kernel::default();
    let mut found = Vec::new();
    for Place { address, bridge } in &config.places {
        if let Err(error) = kernel.bridge(bridge) {
            found.push(format!("guest_events: {error}: make the bridge, or correct `bridges`"));
        }
        let ip = address.ip();
        // Any free port: whether the host has the address is all that is asked.
        if std::net::TcpListener::bind((*ip, 0)).is_err() {
            found.push(format!(
                "guest_events: this host has no address {ip}: ip addr add {ip}/32 dev {bridge}, or correct `listen`"
            ));
        }
    }
    found.sort();
    found.dedup();
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_a_bridge_and_an_address_that_are_not_there() {
        let place = |address: &str, bridge: &str| Place {
            address: address.parse().expect("an address"),
            bridge: bridge.to_owned(),
        };
        // TEST-NET-1: no host has it.
        let places = vec![place("192.0.2.7:80", "lo"), place("127.0.0.1:80", "no-such-bridge")];
        let found = check(&Config { places, vsock_port: None });
        assert_eq!(found.len(), 3, "{found:?}");
        for words in ["lo is no Linux bridge", "no network device no-such-bridge", "no address 192.0.2.7"] {
            assert!(found.iter().any(|line| line.contains(words)), "{words}: {found:?}");
        }
    }
}
