//! The order to import a server of another kind of hypervisor.

use drover_policies::ids::{ImportId, ServerId};
use drover_policies::import::{Begin, Description, Start};
use serde::{Deserialize, Serialize};

/// To the agent of the host where the server is to run: copy its disks, make the guest fit to boot here, define it. For agents that can
/// [`Import`](drover_policies::fleet::Ability::Import).
///
/// It goes on until the server is defined (and booted, if that is wished), it fails, or it is aborted; then nothing of it is left. Aborted
/// when the images have their names already, it comes to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportServer {
    /// Which import: another order of the same one goes on where the one before has stopped.
    pub import: ImportId,
    /// The server's id here.
    pub server: ServerId,
    /// What it is, where its disks are read, and where they go.
    pub description: Description,
    /// Whether what an earlier order has done is used.
    #[serde(default)]
    pub begin: Begin,
    /// Whether it is booted at the end.
    #[serde(default)]
    pub start: Start,
}
