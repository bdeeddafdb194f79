//! What is where, and how full that makes every host.

use hashbrown::HashMap;

use super::{GroupRow, HostRow, Move, Problem, ServerRow};

/// A placement of all servers, with every figure that hangs on it kept up to date.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    problem: &'a Problem,
    at: Vec<HostRow>,
    /// By host, then by resource.
    used: Vec<u64>,
    /// How many of a group are on a host.
    groups: HashMap<(HostRow, GroupRow), u32>,
    on: Vec<Vec<ServerRow>>,
}

impl<'a> Load<'a> {
    /// As the servers are now.
    #[must_use]
    pub fn new(problem: &'a Problem) -> Self {
        let mut load = Self {
            problem,
            at: problem.servers.iter().map(|server| server.host).collect(),
            used: vec![0; problem.hosts.len() * problem.resources.len()],
            groups: HashMap::new(),
            on: vec![Vec::new(); problem.hosts.len()],
        };
        for server in problem.server_rows() {
            load.arrive(server, problem.server(server).host);
        }
        load
    }

    /// Where a server is.
    #[must_use]
    pub fn host_of(&self, server: ServerRow) -> HostRow {
        self.at[server.index()]
    }

    /// The servers on a host.
    #[must_use]
    pub fn on(&self, host: HostRow) -> &[ServerRow] {
        &self.on[host.index()]
    }

    /// What is used of each resource of a host.
    #[must_use]
    pub fn used(&self, host: HostRow) -> &[u64] {
        let width = self.problem.resources.len();
        &self.used[host.index() * width..][..width]
    }

    /// What is free of each resource of a host.
    pub fn free(&self, host: HostRow) -> impl Iterator<Item = u64> + '_ {
        let has = &self.problem.host(host).has;
        has.iter().zip(self.used(host)).map(|(has, used)| has.saturating_sub(*used))
    }

    /// Whether a server can be on a host beside those that are there.
    #[must_use]
    pub fn fits(&self, server: ServerRow, host: HostRow) -> bool {
        let row = self.problem.server(server);
        self.problem.may_use(row, host)
            && row.needs.iter().zip(self.free(host)).all(|(needs, free)| *needs <= free)
            && self.meets_nobody(server, host, &[])
    }

    /// Whether a server can be on a host when these have left it.
    #[must_use]
    pub fn fits_without(&self, server: ServerRow, host: HostRow, leaving: &[ServerRow]) -> bool {
        let row = self.problem.server(server);
        let has = &self.problem.host(host).has;
        let mut measures = has.iter().zip(self.used(host)).zip(&row.needs).enumerate();
        self.problem.may_use(row, host)
            && measures.all(|(resource, ((has, used), needs))| {
                let left = |server: &ServerRow| self.problem.server(*server).needs[resource];
                (used - leaving.iter().map(left).sum::<u64>()).saturating_add(*needs) <= *has
            })
            && self.meets_nobody(server, host, leaving)
    }

    fn meets_nobody(&self, server: ServerRow, host: HostRow, leaving: &[ServerRow]) -> bool {
        self.problem.server(server).apart.iter().all(|group| {
            let there = self.groups.get(&(host, *group)).copied().unwrap_or(0);
            let is_member = |other: &ServerRow| self.problem.server(*other).apart.contains(group);
            let own = usize::from(self.host_of(server) == host);
            there as usize <= own + leaving.iter().filter(|other| is_member(other)).count()
        })
    }

    /// Puts a server onto another host, whether or not it fits there.
    pub fn put(&mut self, server: ServerRow, to: HostRow) -> Move {
        let from = self.host_of(server);
        self.leave(server, from);
        self.arrive(server, to);
        self.at[server.index()] = to;
        Move { server, from, to }
    }

    fn leave(&mut self, server: ServerRow, host: HostRow) {
        let row = self.problem.server(server);
        let width = row.needs.len();
        for (used, needs) in self.used[host.index() * width..][..width].iter_mut().zip(&row.needs) {
            *used -= needs;
        }
        for group in &row.apart {
            if let Some(count) = self.groups.get_mut(&(host, *group)) {
                *count -= 1;
            }
        }
        let there = &mut self.on[host.index()];
        if let Some(index) = there.iter().position(|other| *other == server) {
            there.swap_remove(index);
        }
    }

    fn arrive(&mut self, server: ServerRow, host: HostRow) {
        let row = self.problem.server(server);
        let width = row.needs.len();
        for (used, needs) in self.used[host.index() * width..][..width].iter_mut().zip(&row.needs) {
            *used += needs;
        }
        for group in &row.apart {
            *self.groups.entry((host, *group)).or_default() += 1;
        }
        self.on[host.index()].push(server);
    }
}
