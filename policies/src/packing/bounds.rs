//! What no plan can do better than, so that a plan can say how far it is from that.

use super::{HostRow, Load, Open, Problem, UNLIMITED};

/// The fewest moves with which these hosts can be emptied once each in so many waves.
///
/// Every server moves once. If no host stands by, those of the first wave move twice, and the first wave can't be smaller than this: as if
/// servers were a fluid, the second wave empties the lightest hosts that the first one's hosts can hold, and so on, while what the first
/// wave had to put somewhere waits on the last hosts and costs nothing before. A plan of real servers can only do worse. Where hosts stand
/// by it is just the number of servers.
#[must_use]
pub fn fewest_moves(problem: &Problem, hosts: &[HostRow], waves: usize) -> usize {
    let load = Load::new(problem);
    let servers: usize = hosts.iter().map(|host| load.on(*host).len()).sum();
    let emptied: std::collections::HashSet<HostRow> = hosts.iter().copied().collect();
    let bystander = |host: HostRow| problem.host(host).open == Open::Yes && !emptied.contains(&host);
    if problem.host_rows().any(bystander) {
        return servers;
    }
    let mut counts: Vec<usize> = hosts.iter().map(|host| load.on(*host).len()).collect();
    counts.sort_unstable();
    let resources = 0..problem.resources.len();
    let least =
        resources.map(|resource| Fluid::new(problem, &load, hosts, resource).least_first(waves)).max();
    servers + counts.iter().take(least.unwrap_or(0)).sum::<usize>()
}

/// The fewest moves after which no host carries more than it has: of each resource by itself, as many of a host's largest as are too much.
#[must_use]
pub fn fewest_relieving(problem: &Problem) -> usize {
    let load = Load::new(problem);
    let least = |host: HostRow, resource: usize| {
        let over = load.used(host)[resource].saturating_sub(problem.host(host).has[resource]);
        let needs = |server: &super::ServerRow| problem.server(*server).needs[resource];
        let mut largest: Vec<u64> = load.on(host).iter().map(needs).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        largest
            .into_iter()
            .take_while(|needs| {
                let more = sum < over;
                sum += needs;
                more
            })
            .count()
    };
    problem
        .host_rows()
        .map(|host| (0..problem.resources.len()).map(|resource| least(host, resource)).max().unwrap_or(0))
        .sum()
}

/// One resource of a fleet.
struct Fluid {
    /// What is used on each host, the least first.
    used: Vec<u128>,
    /// What the hosts have, the most first.
    has: Vec<u128>,
}

impl Fluid {
    fn new(problem: &Problem, load: &Load<'_>, hosts: &[HostRow], resource: usize) -> Self {
        let mut used: Vec<u128> = hosts.iter().map(|host| u128::from(load.used(*host)[resource])).collect();
        let mut has: Vec<u128> =
            hosts.iter().map(|host| u128::from(problem.host(*host).has[resource])).collect();
        used.sort_unstable();
        has.sort_unstable_by(|a, b| b.cmp(a));
        Self { used, has }
    }

    fn least_first(&self, waves: usize) -> usize {
        if self.has.iter().all(|has| *has == u128::from(UNLIMITED)) {
            return 1;
        }
        let (mut short, mut enough) = (0, self.used.len());
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            if self.can(middle, waves) { enough = middle } else { short = middle }
        }
        enough
    }

    /// Whether it could be done with a first wave of so many hosts, whichever they are.
    fn can(&self, first: usize, waves: usize) -> bool {
        let total: u128 = self.used.iter().sum();
        let mut done = first;
        for _ in 1..waves {
            // All that the emptied hosts have can be used, and the lightest hosts are next.
            let room: u128 = self.has[..done].iter().sum();
            let mut sum = 0;
            let more = self.used.iter().take_while(|used| {
                sum += **used;
                sum <= room
            });
            let next = first + more.count();
            done = next.max(done).min(self.used.len());
            if room >= total || done == self.used.len() {
                return true;
            }
        }
        done == self.used.len()
    }
}
