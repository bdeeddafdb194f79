//! Hooks of this host: programs of its administrator's that a maintenance has run here.
//!
//! ```text
//!   agent ── begins ──▶ supervisor ── begins ──▶ the hook ──▶ whatever that starts
//!     │                     │ writes
//!     └── reads ──▶ data_dir/hooks/<operation>/ ◀┘
//! ```
//!
//! The agent may end while a hook runs, and may be ended by it: an upgrade restarts the agent, libvirt, or the host. So the hook belongs to a
//! process of its own, the [`supervise`]r, which holds it to its time, keeps what it writes and notes how it ended, all in a directory
//! that an agent of any later start reads. See `docs/decisions/032-hooks.md`.

pub mod config;
mod output;
mod place;
mod runner;
mod supervise;

pub use runner::{Runner, Setting};
pub use supervise::{SuperviseError, supervise};

/// Names this boot of the host; nothing where the system does not tell.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}
