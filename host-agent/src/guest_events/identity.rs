//! Which server's guest a connection comes from. Pure.
//!
//! Nothing that a guest can say counts: not its address, not a header, not a name. What counts is the Ethernet address from which the
//! kernel got the connection's first frame and the bridge port that it came in by, or the vsock CID that the kernel names; either is
//! looked up among the running domains as libvirt on this host describes them. In any doubt it is nobody.

use std::collections::BTreeSet;

use drover_policies::ids::ServerId;
use drover_policies::mac::Mac;

/// A running domain: by what its guest is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The server.
    pub server: ServerId,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
    /// Its vsock address, if it has that device.
    pub cid: Option<u32>,
}

/// One network interface of a running domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its Ethernet address.
    pub mac: Mac,
    /// The bridge that it is plugged into; nothing when it is no bridge.
    pub bridge: Option<String>,
    /// The host's end of it, a port of that bridge.
    pub tap: Option<String>,
}

/// Who has connected, as the kernel saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Over a bridge.
    Link {
        /// Which bridge.
        bridge: String,
        /// The sender of the connection's first frame.
        mac: Mac,
        /// The ports by which that bridge reaches this sender.
        ports: BTreeSet<String>,
    },
    /// Over vsock.
    Vsock {
        /// The caller's address.
        cid: u32,
    },
}

/// Why a connection is nobody's. The texts are for this host's log: a stranger is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// No running domain here has it.
    #[error("{peer} belongs to no running domain of this host")]
    Unknown {
        /// The address.
        peer: String,
    },
    /// Several have it.
    #[error("{peer} is claimed by several interfaces; give each domain its own")]
    Ambiguous {
        /// The address.
        peer: String,
    },
    /// It came in where that interface is not.
    #[error(
        "{mac} came in by {ports}, but libvirt says that its interface is {tap}: a guest pretends to be another; \
         put libvirt's filter clean-traffic on the guests' interfaces"
    )]
    Elsewhere {
        /// The address.
        mac: Mac,
        /// Where it was seen.
        ports: String,
        /// Where it should be.
        tap: String,
    },
}

/// Whose guest has connected.
///
/// # Errors
/// It can't be said without doubt.
pub fn who(peer: &Peer, attached: &[Attached]) -> Result<ServerId, Stranger> {
    match peer {
        Peer::Link { bridge, mac, ports } => on_link(bridge, *mac, ports, attached),
        Peer::Vsock { cid } => {
            let named = format!("vsock CID {cid}");
            let with: Vec<ServerId> =
                attached.iter().filter(|one| one.cid == Some(*cid)).map(|one| one.server).collect();
            only(&with, named).copied()
        }
    }
}

fn on_link(
    bridge: &str,
    mac: Mac,
    ports: &BTreeSet<String>,
    attached: &[Attached],
) -> Result<ServerId, Stranger> {
    let with: Vec<(ServerId, &Interface)> = attached
        .iter()
        .flat_map(|one| one.interfaces.iter().map(|interface| (one.server, interface)))
        .filter(|(_, interface)| interface.mac == mac && interface.bridge.as_deref() == Some(bridge))
        .collect();
    let (server, interface) = only(&with, format!("{mac} on {bridge}"))?;
    let tap = interface.tap.as_deref().unwrap_or("unknown");
    // The one port by which the bridge would answer has to be the domain's own, which no guest can choose.
    if ports.len() == 1 && ports.contains(tap) {
        return Ok(*server);
    }
    let seen = ports.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
    let seen = if seen.is_empty() { "no port that is known".to_owned() } else { seen };
    Err(Stranger::Elsewhere { mac, ports: seen, tap: tap.to_owned() })
}

fn only<T>(found: &[T], peer: String) -> Result<&T, Stranger> {
    match found {
        [one] => Ok(one),
        [] => Err(Stranger::Unknown { peer }),
        _ => Err(Stranger::Ambiguous { peer }),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn mac(last: u8) -> Mac {
        Mac([0x52, 0x54, 0, 0, 0, last])
    }

    fn server(n: u128) -> ServerId {
        ServerId(Uuid::from_u128(n))
    }

    fn domain(n: u128, interfaces: &[(u8, &str, &str)], cid: Option<u32>) -> Attached {
        let interfaces = interfaces
            .iter()
            .map(|(last, bridge, tap)| Interface {
                mac: mac(*last),
                bridge: Some((*bridge).to_owned()),
                tap: Some((*tap).to_owned()),
            })
            .collect();
        Attached { server: server(n), interfaces, cid }
    }

    fn link(last: u8, bridge: &str, ports: &[&str]) -> Peer {
        Peer::Link {
            bridge: bridge.to_owned(),
            mac: mac(last),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        }
    }

    #[test]
    fn a_guest_is_known_by_its_ethernet_address_at_its_own_port() {
        let attached = [domain(1, &[(1, "br0", "vnet0")], None), domain(2, &[(2, "br0", "vnet1")], None)];
        assert_eq!(who(&link(2, "br0", &["vnet1"]), &attached), Ok(server(2)));
    }

    #[test]
    fn one_address_on_two_bridges_is_two_guests() {
        let attached = [domain(1, &[(1, "br0", "vnet0")], None), domain(2, &[(1, "br1", "vnet1")], None)];
        assert_eq!(who(&link(1, "br0", &["vnet0"]), &attached), Ok(server(1)));
        assert_eq!(who(&link(1, "br1", &["vnet1"]), &attached), Ok(server(2)));
        // An interface is looked for only where the connection came in.
        assert!(matches!(who(&link(1, "br2", &["vnet0"]), &attached), Err(Stranger::Unknown { .. })));
    }

    #[test]
    fn one_address_twice_on_one_bridge_is_nobody() {
        let attached = [domain(1, &[(1, "br0", "vnet0")], None), domain(2, &[(1, "br0", "vnet1")], None)];
        assert!(matches!(who(&link(1, "br0", &["vnet0"]), &attached), Err(Stranger::Ambiguous { .. })));
    }

    #[test]
    fn who_uses_the_address_of_another_from_his_own_port_is_nobody() {
        let attached = [domain(1, &[(1, "br0", "vnet0")], None), domain(2, &[(2, "br0", "vnet1")], None)];
        for ports in [&["vnet1"][..], &["vnet0", "vnet1"], &[]] {
            let refused = who(&link(1, "br0", ports), &attached).expect_err("refused");
            assert!(matches!(refused, Stranger::Elsewhere { .. }), "{refused}");
        }
    }

    #[test]
    fn an_address_that_no_running_domain_has_is_nobody() {
        assert!(matches!(who(&link(1, "br0", &["eth0"]), &[]), Err(Stranger::Unknown { .. })));
        let attached = [domain(1, &[], Some(7))];
        assert_eq!(who(&Peer::Vsock { cid: 7 }, &attached), Ok(server(1)));
        // The host itself and its loopback are no domain's.
        for cid in [0, 1, 2, 8] {
            assert!(matches!(who(&Peer::Vsock { cid }, &attached), Err(Stranger::Unknown { .. })));
        }
    }
}
