//! What a server is to look like after its move, in words.

use drover_policies::blueprint::{Blueprint, in_words};
use serde::Serialize;

/// What a server is to look like after its move.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShapeWords {
    /// `4 GiB`; nothing where it stays.
    memory: Option<String>,
    vcpus: Option<u32>,
    networks: Vec<NetworkWords>,
    disks: Vec<DiskWords>,
    left_off: bool,
}

/// What a network card is plugged into.
#[derive(Debug, Clone, Serialize)]
struct NetworkWords {
    from: String,
    to: String,
}

/// What a local disk's image comes to be; nothing where it stays.
#[derive(Debug, Clone, Serialize)]
struct DiskWords {
    name: String,
    directory: Option<String>,
    format: Option<String>,
}

impl ShapeWords {
    pub(crate) fn of(blueprint: &Blueprint) -> Option<Self> {
        let networks = blueprint.networks.iter();
        (!blueprint.is_empty()).then(|| Self {
            memory: blueprint.memory_bytes.map(in_words),
            vcpus: blueprint.vcpus,
            networks: networks
                .map(|(from, to)| NetworkWords { from: from.clone(), to: to.clone() })
                .collect(),
            disks: blueprint
                .disks
                .iter()
                .map(|(name, shape)| DiskWords {
                    name: name.clone(),
                    directory: shape.directory.as_ref().map(|directory| directory.display().to_string()),
                    format: shape.format.map(|format| format.to_string()),
                })
                .collect(),
            left_off: !blueprint.boot.is_now(),
        })
    }
}
