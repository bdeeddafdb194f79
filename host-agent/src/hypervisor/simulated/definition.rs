//! What takes the place of libvirt's XML in the simulated fleet.

use std::collections::BTreeSet;

use drover_agent_api::Shape;
use drover_policies::fleet::{Plug, ServerFacts};
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::replica::ReplicaDisk;
use serde::{Deserialize, Serialize};

use super::SimulatedFleet;

/// A definition as it is handed about.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    #[serde(flatten)]
    pub(super) facts: ServerFacts,
    pub(super) before: Option<Before>,
}

/// What a server was before an order gave it another shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Before {
    order: OperationId,
    memory_bytes: u64,
    vcpus: u32,
    plugs: Option<BTreeSet<Plug>>,
}

impl SimulatedFleet {
    /// What each host that has a server has of it.
    #[must_use]
    pub fn facts(&self, server: ServerId) -> Vec<(HostName, ServerFacts)> {
        self.change(|world| {
            let hosts = world.hosts.iter();
            hosts
                .filter_map(|(name, host)| Some((name.clone(), host.domains.get(&server)?.facts.clone())))
                .collect()
        })
    }
}

impl Written {
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(super) fn write(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub(super) fn reshaped(self, shape: &Shape, order: OperationId) -> Self {
        let Self { facts, before } = self;
        match (shape, before) {
            (Shape::AsItIs, before) => Self { facts, before },
            (Shape::Blueprint { blueprint }, _) => {
                let ServerFacts { memory_bytes, vcpus, ref plugs, .. } = facts;
                let before = Some(Before { order, memory_bytes, vcpus, plugs: plugs.clone() });
                let plugged = |plug: &Plug| match blueprint.networks.get(plug.name()) {
                    Some(name) => plug.called(name),
                    None => plug.clone(),
                };
                let plugs = plugs.as_ref().map(|plugs| plugs.iter().map(plugged).collect());
                let memory_bytes = blueprint.memory_bytes.unwrap_or(memory_bytes);
                let vcpus = blueprint.vcpus.unwrap_or(vcpus);
                Self { facts: ServerFacts { memory_bytes, vcpus, plugs, ..facts }, before }
            }
            (Shape::Before { operation }, Some(before)) if before.order == *operation => {
                let Before { memory_bytes, vcpus, plugs, .. } = before;
                Self { facts: ServerFacts { memory_bytes, vcpus, plugs, ..facts }, before: None }
            }
            (Shape::Before { .. }, before) => Self { facts, before },
        }
    }

    pub(super) fn with_disks(mut self, copied: &[ReplicaDisk]) -> Self {
        for copy in copied {
            if let Some(disk) = self.facts.disks.iter_mut().find(|disk| disk.target == copy.target) {
                let there = copy.at_destination();
                disk.source = there.path.display().to_string();
                disk.format = there.format.to_string();
            }
        }
        self
    }
}
