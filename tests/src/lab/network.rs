//! The lab's network: one bridge in the root namespace, one namespace per host, and a link between them.
//!
//! Everything lies in one flat /24. The bridge has the address that ends in 1, so that a scheduler or collector in the
//! root namespace is reached by hosts and guests alike. Inside of a host the link is a port of `br0`, to which guests
//! are attached; the host's own address is on `br0`. A second bridge leads nowhere: on it guests ask their host's agent for
//! their events, at the same address on every host.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::process::run;
use super::state::LabState;

/// Where `ip netns` keeps namespaces by name.
const NAMESPACES: &str = "/run/netns";

/// The bridge in every host on which guests ask the host's agent for their events.
pub const EVENTS_BRIDGE: &str = "meta0";

/// Where they ask it.
pub const EVENTS_ADDRESS: &str = "169.254.169.254";

/// The last part of the address of host `host`, counted from 1.
pub(super) fn host_part(host: usize) -> u8 {
    u8::try_from(10 + host).unwrap_or(u8::MAX)
}

/// Where the network namespace of a host can be opened.
pub(super) fn namespace_path(state: &LabState, host: usize) -> PathBuf {
    Path::new(NAMESPACES).join(state.namespace(host))
}

/// The first index whose device name and addresses nobody uses.
pub(super) fn free_index(taken: &[LabState]) -> Result<u8> {
    let routes = run(Command::new("ip").args(["-4", "route", "show", "table", "all"]))?;
    (1..=250)
        .find(|index| {
            !taken.iter().any(|lab| lab.index == *index)
                && !routes.contains(&format!("10.213.{index}."))
                && !Path::new(&format!("/sys/class/net/dlab{index}")).exists()
        })
        .context("there are 250 labs on this machine already; `drover-lab list` shows them")
}

/// Makes bridge, namespaces and links. The caller holds the registry's lock.
pub(super) fn create(state: &LabState) -> Result<()> {
    let bridge = state.bridge();
    let mut outside = format!(
        "link add {bridge} type bridge stp_state 0 forward_delay 0\naddr add {}/24 dev {bridge}\nlink set {bridge} up\n",
        state.address(1)
    );
    for host in 1..=state.hosts {
        let (namespace, outer) = (state.namespace(host), state.outer_link(host));
        outside += &format!(
            "netns add {namespace}\nlink add {outer} type veth peer name eth0 netns {namespace}\nlink set {outer} master {bridge} up\n"
        );
    }
    batch(&[], &outside)?;
    for host in 1..=state.hosts {
        let inside = format!(
            "link set lo up\nlink add br0 type bridge stp_state 0 forward_delay 0\nlink set eth0 master br0 up\n\
             addr add {}/24 dev br0\nlink set br0 up\nroute add default via {}\n\
             link add {EVENTS_BRIDGE} type bridge stp_state 0 forward_delay 0\n\
             addr add {EVENTS_ADDRESS}/16 dev {EVENTS_BRIDGE}\nlink set {EVENTS_BRIDGE} up\n",
            state.address(host_part(host)),
            state.address(1)
        );
        batch(&["-n", &state.namespace(host)], &inside)?;
    }
    Ok(())
}

/// Takes away what [`create`] made, as far as it is there.
pub(super) fn remove(state: &LabState) {
    for host in 1..=state.hosts {
        // Either end takes the other along; this one is reached also when the namespace is gone.
        let _ = run(Command::new("ip").args(["link", "del", &state.outer_link(host)]));
        if namespace_path(state, host).exists() {
            let _ = run(Command::new("ip").args(["netns", "del", &state.namespace(host)]));
        }
    }
    let _ = run(Command::new("ip").args(["link", "del", &state.bridge()]));
    // `ip netns add` mounts this directory onto itself and leaves that behind. It is made again when it is needed.
    if fs::read_dir(NAMESPACES).is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = run(Command::new("umount").arg(NAMESPACES));
        let _ = fs::remove_dir(NAMESPACES);
    }
}

/// Whether a host's link to the others is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Connected.
    Up,
    /// Cut, as when a cable is pulled: connections are not closed, nothing arrives any more.
    Down,
}

/// Cuts or heals a host's link at its outer end.
pub(super) fn set_link(state: &LabState, host: usize, to: LinkState) -> Result<()> {
    let word = match to {
        LinkState::Up => "up",
        LinkState::Down => "down",
    };
    run(Command::new("ip").args(["link", "set", &state.outer_link(host), word])).map(drop)
}

/// Hands many commands to one `ip`.
fn batch(options: &[&str], commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip; tests/lab/install.sh installs it")?;
    child.stdin.take().context("ip has no input")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip failed: {} in:\n{commands}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
