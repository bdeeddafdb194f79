//! The agents: which are heard of, and what is wrong with the installation.

use drover_policies::fleet::{Certificate, Ending};
use drover_policies::time::Instant;

use crate::frame::Frame;
use crate::html::Html;
use crate::list::List;
use crate::{Label, Tone, page};

/// All agents, and what the doctor found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub agents: Vec<AgentRow>,
    /// What was looked at and is not in order: what is wrong, and what to do.
    pub findings: Vec<(Tone, String, String)>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its host.
    pub host: String,
    /// Whether it is heard of.
    pub state: Label,
    /// When it last was.
    pub last_seen: Instant,
    /// Its version, and that of the protocol that it speaks; empty where it does not tell them.
    pub version: String,
    /// Of libvirt and QEMU on its host.
    pub hypervisor: String,
    /// By which its host is known to others.
    pub certificates: Vec<Certificate>,
}

/// Whether a certificate is over, or will be soon.
fn ending(frame: &Frame, certificate: &Certificate) -> Option<Html> {
    let (tone, key) = match certificate.ending(frame.now)? {
        Ending::Over(_) => (Tone::Bad, "certificate-over"),
        Ending::Soon(_) => (Tone::Warn, "certificate-soon"),
    };
    Some(frame.toned(tone, frame.t(key)))
}

page!(AgentsPage, "console/agents.html", |_p, f| f.t("nav-agents"));
