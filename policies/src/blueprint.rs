//! A server's blueprint: what it shall look like where it is launched next, be it by a test or by the cutover.
//!
//! What is not said stays as the server's definition has it. A change is valid from the next launch on; what runs already is not touched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The least memory that a server can be given, in bytes: less than any system boots with.
const LEAST_MEMORY: u64 = 16 << 20;
/// Memory comes in whole steps of this, in bytes.
const MEMORY_STEP: u64 = 1 << 20;
/// More processors than any machine type takes.
const MOST_VCPUS: u32 = 1024;
/// The longest name of a network.
const LONGEST_NAME: usize = 64;

/// What a server shall look like at its next launch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blueprint {
    /// Its memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Networks and bridges as the source names them, each with the name of the one that takes its place at the destination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// Whether it is booted at its cutover.
    #[serde(skip_serializing_if = "Boot::is_now")]
    pub boot: Boot,
}

/// Whether a server is booted at its cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// At once, if it ran before.
    #[default]
    Now,
    /// It is defined and left off: its owner boots it.
    Later,
}

impl Boot {
    fn is_now(&self) -> bool {
        *self == Self::Now
    }
}

/// Why a blueprint can't be used: the field, what is wrong with it, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBlueprint {
    /// Memory.
    #[error("memory_bytes is {given}; write whole MiB, and at least {LEAST_MEMORY}")]
    Memory {
        /// As given.
        given: u64,
    },
    /// Processors.
    #[error("vcpus is {given}; write 1 to {most}")]
    Vcpus {
        /// As given.
        given: u32,
        /// What is allowed.
        most: u32,
    },
    /// A network's name.
    #[error(
        "networks has the name {given:?}; a name is 1 to {LONGEST_NAME} letters, digits, and any of - _ . : as libvirt gives them"
    )]
    Network {
        /// As given.
        given: String,
    },
}

impl Blueprint {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Looks whether it can be used at all.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), BadBlueprint> {
        if let Some(given) = self.memory_bytes
            && (given < LEAST_MEMORY || given % MEMORY_STEP != 0)
        {
            return Err(BadBlueprint::Memory { given });
        }
        if let Some(given) = self.vcpus
            && !(1..=MOST_VCPUS).contains(&given)
        {
            return Err(BadBlueprint::Vcpus { given, most: MOST_VCPUS });
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_good = |name: &&String| (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain);
        match self.networks.iter().flat_map(|(from, to)| [from, to]).find(|name| !is_good(name)) {
            Some(given) => Err(BadBlueprint::Network { given: given.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused_with_the_field_and_what_would_be_right() {
        let told = |blueprint: Blueprint| blueprint.check().expect_err("bad").to_string();
        let memory = |given| Blueprint { memory_bytes: Some(given), ..Blueprint::default() };
        assert!(told(memory(1)).starts_with("memory_bytes is 1; write whole MiB"));
        assert!(told(memory((64 << 20) + 512)).contains("whole MiB"));
        for given in [0, 4096] {
            let vcpus = Blueprint { vcpus: Some(given), ..Blueprint::default() };
            assert_eq!(told(vcpus), format!("vcpus is {given}; write 1 to 1024"));
        }
        for hostile in ["", "a'/><x", "a b", &"n".repeat(65)] {
            let networks = BTreeMap::from([("br0".to_owned(), hostile.to_owned())]);
            assert!(told(Blueprint { networks, ..Blueprint::default() }).contains(&format!("{hostile:?}")));
        }
        memory(64 << 20).check().expect("good");
    }

    #[test]
    fn what_is_not_said_is_left_out_and_what_is_not_known_is_refused() {
        assert_eq!(serde_json::to_string(&Blueprint::default()).expect("written"), "{}");
        serde_json::from_str::<Blueprint>(r#"{"memory": 1}"#).expect_err("no such field");
    }
}
