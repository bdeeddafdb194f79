//! What a server looks like where it is moved to.

use drover_policies::blueprint::{Blueprint, Boot};
use drover_policies::ids::OperationId;
use serde::{Deserialize, Serialize};

/// What a server looks like where it is moved to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Shape {
    /// As it is.
    #[default]
    AsItIs,
    /// As this says. What it takes the place of is kept in the definition.
    Blueprint {
        /// What.
        blueprint: Blueprint,
    },
    /// As it was before this order gave it another shape; as it is, if that order gave it none.
    Before {
        /// Which.
        operation: OperationId,
    },
}

impl Shape {
    /// Left out on the wire, where agents that can't reshape do not know it.
    pub(crate) fn is_as_it_is(&self) -> bool {
        *self == Self::AsItIs
    }

    /// Whether a server that ran is booted there.
    #[must_use]
    pub fn boot(&self) -> Boot {
        match self {
            Self::Blueprint { blueprint } => blueprint.boot,
            Self::AsItIs | Self::Before { .. } => Boot::Now,
        }
    }
}
