//! Orders about the host itself, for agents that can [`RunHooks`](drover_policies::fleet::Ability::RunHooks).

use drover_policies::ids::HookName;
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

/// Run a program that the host's configuration names. It is begun once for this order and never again, whatever becomes of agent and host
/// meanwhile; what can't be known afterwards is told as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHook {
    /// Which.
    pub hook: HookName,
    /// For which maintenance, by its number: `MT-12`.
    pub maintenance: String,
    /// Why that is done.
    pub reason: String,
    /// Counts the times that this hook was ordered for this host and maintenance, from 1.
    pub attempt: u32,
    /// How long it may take, if that is less than the host's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Span>,
}

/// Say whether this host is well: its libvirt is asked until it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckHealth {
    /// How long it may take.
    pub within: Span,
}
