//! What the kernel knows of a bridge: by which port it reaches an Ethernet address, and which one an IP address has there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use drover_policies::mac::Mac;

/// The kernel's files of networks, as this process's network namespace has them.
#[derive(Debug, Clone)]
pub struct Kernel {
    devices: PathBuf,
    neighbours: PathBuf,
}

/// One entry of `brforward`: `struct __fdb_entry` of linux/if_bridge.h.
const ENTRY: usize = 16;
/// In the neighbour table: the entry has an answer (`ATF_COM` of linux/if_arp.h).
const COMPLETE: u32 = 0x2;

impl Default for Kernel {
    fn default() -> Self {
        Self { devices: "/sys/class/net".into(), neighbours: "/proc/net/arp".into() }
    }
}

impl Kernel {
    /// The number of a network device that is a bridge; another one made later under the same name has another number.
    ///
    /// # Errors
    /// There is none of this name, or it is no Linux bridge.
    pub fn bridge(&self, name: &str) -> io::Result<u32> {
        let device = self.devices.join(name);
        if !device.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no network device {name}"),
            ));
        }
        if !device.join("bridge").is_dir() {
            let text =
                format!("{name} is no Linux bridge; only on one can a guest be recognised by its port");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        number(&device.join("ifindex"))
    }

    /// The ports by which a bridge reaches an Ethernet address. More than one only with VLANs.
    ///
    /// # Errors
    /// The bridge is gone.
    pub fn ports(&self, bridge: &str, mac: Mac) -> io::Result<BTreeSet<String>> {
        let bridge = self.devices.join(bridge);
        let forwarding = fs::read(bridge.join("brforward"))?;
        let numbers: BTreeSet<u32> =
            forwarding.chunks_exact(ENTRY).filter_map(|entry| port_in(entry, mac)).collect();
        let mut ports = BTreeSet::new();
        if numbers.is_empty() {
            return Ok(ports);
        }
        for port in fs::read_dir(bridge.join("brif"))? {
            let port = port?;
            if number(&port.path().join("port_no")).is_ok_and(|number| numbers.contains(&number)) {
                ports.insert(port.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(ports)
    }

    /// The Ethernet address to which this host sends what is for an IP address on a bridge.
    ///
    /// # Errors
    /// The table can't be read.
    pub fn neighbour(&self, bridge: &str, address: Ipv4Addr) -> io::Result<Option<Mac>> {
        Ok(neighbour_in(&fs::read_to_string(&self.neighbours)?, bridge, address))
    }
}

/// The port of an entry, if it is about this address and was learned from a frame.
fn port_in(entry: &[u8], mac: Mac) -> Option<u32> {
    let (address, rest) = entry.split_first_chunk::<6>()?;
    let [low, local, _, _, _, _, high, ..] = rest else { return None };
    (*address == mac.0 && *local == 0).then(|| u32::from(*high) << 8 | u32::from(*low))
}

fn neighbour_in(table: &str, bridge: &str, address: Ipv4Addr) -> Option<Mac> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (ip, _kind, flags, mac, _mask, device) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let is_it = device == bridge && ip.parse() == Ok(address) && flags & COMPLETE != 0;
        is_it.then(|| mac.parse().ok()).flatten()
    })
}

/// A number in a file of sysfs, decimal or with `0x`.
fn number(path: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    let read = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The sender of an Ethernet frame that carries an IPv4 packet from this address; nothing when it is no such frame.
#[must_use]
pub fn sender(frame: &[u8], address: Ipv4Addr) -> Option<Mac> {
    const IPV4: [u8; 2] = [0x08, 0x00];
    let (_receiver, rest) = frame.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<6>()?;
    let (kind, packet) = rest.split_first_chunk::<2>()?;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let fits = *kind == IPV4 && packet.first().is_some_and(|byte| byte >> 4 == 4) && from == address.octets();
    fits.then_some(Mac(*sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Mac = Mac([0x52, 0x54, 0, 0xd7, 1, 2]);

    fn entry(mac: Mac, port: u16, local: u8) -> Vec<u8> {
        let [low, high] = port.to_le_bytes();
        let mut entry = mac.0.to_vec();
        entry.extend([low, local, 1, 2, 3, 4, high, 0, 0, 0]);
        entry
    }

    fn kernel(forwarding: &[u8]) -> (tempfile::TempDir, Kernel) {
        let root = tempfile::tempdir().expect("a directory");
        let bridge = root.path().join("br0");
        for (port, number) in [("vnet0", "0x1"), ("vnet1", "0x102")] {
            fs::create_dir_all(bridge.join("brif").join(port)).expect("made");
            fs::write(bridge.join("brif").join(port).join("port_no"), format!("{number}\n"))
                .expect("written");
        }
        fs::create_dir_all(bridge.join("bridge")).expect("made");
        fs::create_dir_all(root.path().join("eth0")).expect("made");
        fs::write(bridge.join("ifindex"), "7\n").expect("written");
        fs::write(bridge.join("brforward"), forwarding).expect("written");
        let kernel = Kernel { devices: root.path().to_owned(), neighbours: root.path().join("arp") };
        (root, kernel)
    }

    #[test]
    fn an_address_is_at_the_port_where_it_was_learned() {
        let other = Mac([0x52, 0x54, 0, 0xd7, 1, 3]);
        let table = [entry(other, 1, 0), entry(GUEST, 0x102, 0)].concat();
        let (_root, kernel) = kernel(&table);
        assert_eq!(kernel.ports("br0", GUEST).expect("read"), BTreeSet::from(["vnet1".to_owned()]));
        assert_eq!(kernel.bridge("br0").expect("a bridge"), 7);
    }

    #[test]
    fn a_port_s_own_address_and_a_torn_entry_are_not_learned() {
        let mut table = entry(GUEST, 1, 1);
        table.extend_from_slice(&GUEST.0);
        let (_root, kernel) = kernel(&table);
        assert_eq!(kernel.ports("br0", GUEST).expect("read"), BTreeSet::new());
    }

    #[test]
    fn what_is_no_bridge_is_refused_by_name() {
        let (_root, kernel) = kernel(&[]);
        assert!(kernel.bridge("eth0").expect_err("refused").to_string().contains("eth0 is no Linux bridge"));
        assert!(kernel.bridge("br9").expect_err("refused").to_string().contains("no network device br9"));
    }

    #[test]
    fn a_neighbour_is_looked_for_on_its_own_bridge_only() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            169.254.7.7      0x1         0x2         52:54:00:d7:01:02     *        br0\n\
            169.254.7.7      0x1         0x2         52:54:00:d7:01:03     *        br1\n\
            169.254.7.8      0x1         0x0         00:00:00:00:00:00     *        br0\n";
        let at = |bridge, last| neighbour_in(table, bridge, Ipv4Addr::new(169, 254, 7, last));
        assert_eq!(at("br0", 7), Some(GUEST));
        assert_eq!(at("br1", 7), Some(Mac([0x52, 0x54, 0, 0xd7, 1, 3])));
        assert_eq!(at("br2", 7), None);
        assert_eq!(at("br0", 8), None, "it has not answered");
    }

    #[test]
    fn the_sender_of_a_frame_is_read_only_if_the_frame_is_what_it_should_be() {
        let address = Ipv4Addr::new(169, 254, 7, 7);
        let mut frame = [vec![0; 6], GUEST.0.to_vec(), vec![8, 0, 0x45]].concat();
        frame.extend([0; 11]);
        frame.extend(address.octets());
        frame.extend([0; 24]);
        assert_eq!(sender(&frame, address), Some(GUEST));
        assert_eq!(sender(&frame, Ipv4Addr::LOCALHOST), None);
        assert_eq!(sender(&frame[14..], address), None, "without a header of the link");
        for length in 0..30 {
            assert_eq!(sender(&frame[..length], address), None, "{length}");
        }
    }
}
