//! Test launches of servers with local disks.

use serde::{Deserialize, Serialize};

use crate::replica::TestNetwork;
use crate::time::Span;

/// Test launches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestPolicy {
    /// For how long a test guest may run.
    pub ttl: Span,
    /// The destination's network for test guests, one that leads nowhere else; empty for none: their links are down.
    pub network: String,
    /// How long one may take to be seen alive.
    pub within: Span,
}

impl TestPolicy {
    /// What test guests are plugged into.
    #[must_use]
    pub fn network(&self) -> TestNetwork {
        match self.network.as_str() {
            "" => TestNetwork::Nowhere,
            name => TestNetwork::Isolated { name: name.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::PolicySet;
    use crate::replica::TestNetwork;

    #[test]
    fn test_guests_are_cut_off_unless_a_network_is_named_and_nonsense_is_refused_with_its_key() {
        assert_eq!(PolicySet::default().general().test.network(), TestNetwork::Nowhere);
        let policies = PolicySet::parse(&[("t.toml", "[test]\nnetwork = \"tests\"\n")]).expect("right");
        assert_eq!(policies.general().test.network(), TestNetwork::Isolated { name: "tests".to_owned() });
        for (line, key) in [
            ("ttl = \"0s\"", "test.ttl"),
            ("network = \"a'b\"", "test.network"),
            ("within = \"0s\"", "test.within"),
        ] {
            let problems =
                PolicySet::parse(&[("t.toml", &format!("[test]\n{line}\n"))]).expect_err("refused");
            assert!(problems.iter().any(|problem| problem.to_string().contains(key)), "{line}: {problems:?}");
        }
    }
}
