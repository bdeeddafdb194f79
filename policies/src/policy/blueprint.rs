//! What owners may set in their servers' blueprints.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::blueprint::{Blueprint, Part};

/// What owners may set in their servers' blueprints. Operators may set all of it, to anything that a host can take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlueprintPolicy {
    /// Which parts.
    pub owners_may: BTreeSet<Part>,
    /// The most memory, in bytes.
    pub memory_at_most: u64,
    /// The most virtual processors.
    pub vcpus_at_most: u32,
    /// The networks and bridges that may take the place of others.
    pub networks: BTreeSet<String>,
}

/// What an owner may not set, and what he may: the field, what is wrong, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotForOwners {
    /// Not this part.
    #[error("{} can't be changed by owners here; {}", .part.field(), may(.allowed))]
    Part {
        /// Which.
        part: Part,
        /// Which may be.
        allowed: BTreeSet<Part>,
    },
    /// Not so much.
    #[error("{} is {given}; owners may set {most} at most", .part.field())]
    TooMuch {
        /// Of what.
        part: Part,
        /// As given.
        given: u64,
        /// What is allowed.
        most: u64,
    },
    /// Not this network.
    #[error("networks has {given:?} in the place of another; {}", choices(.allowed))]
    Network {
        /// As given.
        given: String,
        /// Which may be.
        allowed: BTreeSet<String>,
    },
}

fn may(allowed: &BTreeSet<Part>) -> String {
    let fields: Vec<&str> = allowed.iter().map(|part| part.field()).collect();
    match fields.as_slice() {
        [] => "ask your operator".to_owned(),
        fields => format!("they may change {}", fields.join(", ")),
    }
}

fn choices(allowed: &BTreeSet<String>) -> String {
    match allowed.len() {
        0 => "owners may choose none here; ask your operator".to_owned(),
        _ => format!(
            "owners may choose one of {}",
            allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        ),
    }
}

impl NotForOwners {
    /// The part that is not as it may be.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Part { part, .. } | Self::TooMuch { part, .. } => *part,
            Self::Network { .. } => Part::Networks,
        }
    }
}

impl BlueprintPolicy {
    /// Looks whether an owner may make the one of the other. What he leaves as it is may be anything.
    ///
    /// # Errors
    /// The first part that he may not change so.
    pub fn allows(&self, before: &Blueprint, after: &Blueprint) -> Result<(), NotForOwners> {
        let changed = after.differs_in(before);
        if let Some(part) = changed.iter().find(|part| !self.owners_may.contains(part)) {
            return Err(NotForOwners::Part { part: *part, allowed: self.owners_may.clone() });
        }
        let vcpus = (Part::Vcpus, after.vcpus.map(u64::from), u64::from(self.vcpus_at_most));
        for (part, given, most) in [(Part::Memory, after.memory_bytes, self.memory_at_most), vcpus] {
            if let Some(given) = given.filter(|given| *given > most && changed.contains(&part)) {
                return Err(NotForOwners::TooMuch { part, given, most });
            }
        }
        let known: BTreeSet<&String> = before.networks.values().collect();
        match after.networks.values().find(|name| !self.networks.contains(*name) && !known.contains(name)) {
            Some(given) => {
                Err(NotForOwners::Network { given: given.clone(), allowed: self.networks.clone() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::PolicySet;

    #[test]
    fn owners_change_what_policy_lets_them_and_are_told_what_that_is() {
        let shipped = PolicySet::default().general().blueprint.clone();
        let memory = Blueprint { memory_bytes: Some(8 << 30), ..Blueprint::default() };
        let told = |policy: &BlueprintPolicy, before: &Blueprint, after: &Blueprint| {
            policy.allows(before, after).expect_err("not allowed").to_string()
        };
        let none = Blueprint::default();
        assert_eq!(
            told(&shipped, &none, &memory),
            "memory_bytes can't be changed by owners here; they may change boot"
        );
        let text = "[blueprint]\nowners_may = [\"memory\", \"networks\"]\nmemory_at_most = 4294967296\nnetworks = [\"dmz\"]\n";
        let policies = PolicySet::parse(&[("t.toml", text)]).expect("right");
        let policy = &policies.general().blueprint;
        assert_eq!(
            told(policy, &none, &memory),
            "memory_bytes is 8589934592; owners may set 4294967296 at most"
        );
        policy.allows(&memory, &memory).expect("an operator has set it, and he leaves it");
        let to = |name: &str| Blueprint {
            networks: BTreeMap::from([("br0".to_owned(), name.to_owned())]),
            ..Blueprint::default()
        };
        policy.allows(&none, &to("dmz")).expect("allowed");
        assert_eq!(
            told(policy, &none, &to("office")),
            "networks has \"office\" in the place of another; owners may choose one of dmz"
        );
        let vcpus = Blueprint { vcpus: Some(1), ..Blueprint::default() };
        assert_eq!(
            told(policy, &vcpus, &none),
            "vcpus can't be changed by owners here; they may change memory_bytes, networks"
        );
    }

    #[test]
    fn nonsense_is_refused_with_its_key() {
        for (line, key) in [
            ("owners_may = [\"disk\"]", "blueprint.owners_may"),
            ("memory_at_most = 0", "blueprint.memory_at_most"),
            ("vcpus_at_most = 0", "blueprint.vcpus_at_most"),
            ("networks = [\"a b\"]", "blueprint.networks"),
        ] {
            let problems =
                PolicySet::parse(&[("t.toml", &format!("[blueprint]\n{line}\n"))]).expect_err("refused");
            assert!(problems.iter().any(|problem| problem.to_string().contains(key)), "{line}: {problems:?}");
        }
    }
}
