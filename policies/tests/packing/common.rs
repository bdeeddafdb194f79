//! Small fleets.

use drover_policies::packing::{GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, Wishes};

/// By host its memory; by server its memory, its host, and the group of which it must not meet another.
pub fn problem(hosts: &[u64], servers: &[(u64, u32, Option<u32>)]) -> Problem {
    let resource = |name: &str| Resource { name: name.to_owned(), weight: 1.0 };
    Problem {
        resources: vec![resource("memory"), resource("servers")],
        hosts: hosts
            .iter()
            .enumerate()
            .map(|(n, has)| Host { name: format!("h{n}"), has: vec![*has, u64::MAX], open: Open::Yes })
            .collect(),
        servers: servers
            .iter()
            .enumerate()
            .map(|(n, (memory, host, group))| Server {
                name: format!("s{n}"),
                needs: vec![*memory, 1],
                host: HostRow(*host),
                apart: group.iter().copied().map(GroupRow).collect(),
                reach: ReachRow(0),
            })
            .collect(),
        reaches: vec![vec![true; hosts.len()]],
    }
}

pub fn all(problem: &Problem) -> Vec<HostRow> {
    problem.host_rows().collect()
}

pub const ANY_NUMBER: Wishes = Wishes::in_waves(usize::MAX);

/// Numbers that look drawn and are the same every time (splitmix64).
pub struct Lots(pub u64);

impl Lots {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most
    }
}
