//! Filling hosts to the brim: the largest servers first, one host after the other.

use std::collections::BTreeMap;

use super::{HostRow, Load, Problem, ServerRow};

/// Servers sorted into kinds that are the same to every host: of the same needs, reach and groups. The largest kind comes first.
pub(super) struct Kinds {
    /// By server.
    of: Vec<u32>,
    count: usize,
}

impl Kinds {
    pub(super) fn new(problem: &Problem) -> Self {
        let mut members: BTreeMap<_, Vec<ServerRow>> = BTreeMap::new();
        for server in problem.server_rows() {
            let row = problem.server(server);
            members.entry((&row.needs, row.reach, &row.apart)).or_default().push(server);
        }
        let mean = mean_host(problem);
        let mut kinds: Vec<_> =
            members.into_iter().map(|((needs, ..), members)| (size(needs, &mean), members)).collect();
        // Stable: of two kinds of one size the order of the needs decides.
        kinds.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut of = vec![0; problem.servers.len()];
        for (kind, (_, members)) in (0_u32..).zip(&kinds) {
            for server in members {
                of[server.index()] = kind;
            }
        }
        Self { of, count: kinds.len() }
    }

    /// The servers by kind, without kinds that none is of.
    fn sort(&self, servers: &[ServerRow]) -> Vec<Vec<ServerRow>> {
        let mut sorted = vec![Vec::new(); self.count];
        for server in servers {
            sorted[self.of[server.index()] as usize].push(*server);
        }
        sorted.retain(|kind| !kind.is_empty());
        sorted
    }
}

/// Puts all `servers` onto `hosts`, filling one host after the other in their order. Answers whether all found a place; those that did are
/// put in any case.
pub(super) fn fill(load: &mut Load<'_>, kinds: &Kinds, servers: &[ServerRow], hosts: &[HostRow]) -> bool {
    let mut waiting = kinds.sort(servers);
    for host in hosts {
        if waiting.is_empty() {
            return true;
        }
        let mut emptied = false;
        for kind in &mut waiting {
            while let Some(server) = kind.last().copied().filter(|server| load.fits(*server, *host)) {
                load.put(server, *host);
                kind.pop();
                emptied |= kind.is_empty();
            }
        }
        if emptied {
            waiting.retain(|kind| !kind.is_empty());
        }
    }
    waiting.is_empty()
}

/// What a host has on average, by resource; never 0.
pub(super) fn mean_host(problem: &Problem) -> Vec<f64> {
    let count = problem.hosts.len().max(1) as f64;
    let mut mean = vec![0.0; problem.resources.len()];
    for host in &problem.hosts {
        for (sum, has) in mean.iter_mut().zip(&host.has) {
            *sum += *has as f64 / count;
        }
    }
    mean.iter_mut().for_each(|mean| *mean = mean.max(f64::MIN_POSITIVE));
    mean
}

/// The largest part of an average host that a server needs.
pub(super) fn size(needs: &[u64], mean: &[f64]) -> f64 {
    needs.iter().zip(mean).map(|(needs, mean)| *needs as f64 / mean).fold(0.0, f64::max)
}
