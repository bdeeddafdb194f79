//! Emptying every host of a fleet once, in waves.
//!
//! Every server has to move at least once. Those of the first wave can only go to hosts whose turn is yet to come, and move again; all
//! others go to hosts that are done. So the moves are the servers, and once more those on the first wave's hosts, and the art is to do with a
//! small first wave:
//! - it is made of the hosts with the fewest servers,
//! - its servers are packed onto the hosts that come last, so that those of the next waves are as light as they were,
//! - each later wave takes the lightest hosts, as many as the hosts that are done can hold.
//!
//! The fewer hosts the first wave has, the fewer moves and the more waves. For a wished number of waves the smallest first wave is searched
//! by halving; each try is the whole rolling, with every constraint kept.

use std::collections::HashSet;

use super::fill::{Kinds, fill};
use super::{GroupRow, HostRow, Load, Move, Open, Problem, ServerRow, UNLIMITED};

/// Hosts that are emptied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// They.
    pub hosts: Vec<HostRow>,
    /// Their servers. All can be moved at once: none needs room that another one leaves.
    pub moves: Vec<Move>,
}

/// Emptying a fleet, wave after wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolling {
    /// In order.
    pub waves: Vec<Wave>,
}

/// What is wished of a rolling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// At most so many waves.
    pub waves: usize,
    /// At most so many hosts in one wave; nothing for no limit.
    pub hosts_at_once: Option<usize>,
    /// At every moment as much stays free on the hosts in service as so many of the largest hosts hold.
    pub reserve_hosts: u64,
}

/// Why a fleet can't be rolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Whatever the first wave, some host can't be emptied.
    #[error("not even one host can be emptied onto the others: there is not enough room")]
    NoRoom,
    /// It needs more waves.
    #[error("it can't be done in {wished} waves; {least} will do")]
    MoreWaves {
        /// So many were wished.
        wished: usize,
        /// So many are needed.
        least: usize,
    },
}

impl Rolling {
    /// All moves.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.waves.iter().map(|wave| wave.moves.len()).sum()
    }
}

/// Empties each of these hosts once, with as few moves as the wished number of waves allows. Open hosts that are not among them may be
/// used all the time: what goes there moves once.
///
/// # Errors
/// When it can't be done in so many.
pub fn roll(problem: &Problem, hosts: &[HostRow], wishes: Wishes) -> Result<Rolling, Stuck> {
    let tries = Tries::new(problem, hosts, wishes);
    if let Some(rolling) = tries.with_first(0) {
        return Ok(rolling);
    }
    let Some((mut first, mut best)) = tries.enough() else { return Err(tries.why_stuck()) };
    // Downwards in steps that grow, then by halving; a host more or less in a thousand is not worth another try.
    let (mut short, mut step) = (0, (first / 32).max(1));
    while first - short > step {
        match tries.with_first(first - step) {
            Some(rolling) => (first, best, step) = (first - step, rolling, step * 2),
            None => {
                short = first - step;
                break;
            }
        }
    }
    while first - short > (hosts.len() / 1000).max(1) {
        let middle = short + (first - short) / 2;
        match tries.with_first(middle) {
            Some(rolling) => (first, best) = (middle, rolling),
            None => short = middle,
        }
    }
    Ok(best)
}

/// The hosts by the number of their servers, then by how full they are.
fn by_weight(problem: &Problem, hosts: &[HostRow]) -> Vec<HostRow> {
    let load = Load::new(problem);
    let mut order = hosts.to_vec();
    order.sort_by_key(|host| (load.on(*host).len(), fullness(problem, &load, *host), *host));
    order
}

/// The fullest resource of a host, in millionths.
fn fullness(problem: &Problem, load: &Load<'_>, host: HostRow) -> u64 {
    let has = &problem.host(host).has;
    let parts = has.iter().zip(load.used(host)).map(|(has, used)| used * 1_000_000 / (*has).max(1));
    parts.max().unwrap_or(0)
}

struct Tries<'a> {
    problem: &'a Problem,
    wishes: Wishes,
    /// In the order in which they are taken into a first wave.
    order: Vec<HostRow>,
    /// Open, and not to be emptied.
    bystanders: Vec<HostRow>,
    kinds: Kinds,
}

impl<'a> Tries<'a> {
    fn new(problem: &'a Problem, hosts: &[HostRow], wishes: Wishes) -> Self {
        let emptied: HashSet<HostRow> = hosts.iter().copied().collect();
        let bystander = |host: &HostRow| problem.host(*host).open == Open::Yes && !emptied.contains(host);
        Self {
            problem,
            wishes,
            order: by_weight(problem, hosts),
            bystanders: problem.host_rows().filter(bystander).collect(),
            kinds: Kinds::new(problem),
        }
    }

    /// A first guess: as if servers were a fluid. With a first wave of `k` of `n` hosts, each of which is used to the part `l`, the next
    /// waves can be of `k/l`, `k/l²`, … hosts.
    fn fluid(&self) -> usize {
        let (load, hosts) = (Load::new(self.problem), self.order.len());
        let total: u64 = self.order.iter().map(|host| fullness(self.problem, &load, *host)).sum();
        let used = (total as f64 / 1e6 / hosts.max(1) as f64).clamp(0.01, 0.999);
        let waves = i32::try_from(self.wishes.waves).unwrap_or(i32::MAX).clamp(1, 64);
        let sum: f64 = (0..waves).map(|wave| used.powi(-wave)).sum();
        ((hosts as f64 / sum) as usize).max(1)
    }

    /// A first wave that is large enough, by trying larger and larger ones.
    fn enough(&self) -> Option<(usize, Rolling)> {
        let mut first = self.fluid();
        while first <= self.order.len() {
            if let Some(rolling) = self.with_first(first) {
                return Some((first, rolling));
            }
            first += (first / 16).max(1);
        }
        None
    }

    /// Rolls with a first wave of the so many lightest hosts; nothing when that takes too many waves.
    fn with_first(&self, first: usize) -> Option<Rolling> {
        self.attempt(first, self.wishes.waves)
    }

    fn attempt(&self, first: usize, most: usize) -> Option<Rolling> {
        let mut trial = Trial::new(self);
        let (begin, mut rest) = trial.apart(&self.order, first);
        trial.wait_in_line(&mut rest);
        let mut done = self.bystanders.clone();
        if !begin.is_empty() {
            let receivers: Vec<HostRow> = done.iter().chain(rest.iter().rev()).copied().collect();
            trial.empty(&begin, &receivers)?;
            done.extend(begin);
        }
        while !rest.is_empty() {
            if trial.waves.len() >= most {
                return None;
            }
            let taken = trial.next_wave(&mut rest, &done)?;
            done.extend(taken);
        }
        Some(Rolling { waves: trial.waves })
    }

    fn why_stuck(&self) -> Stuck {
        let hosts = self.order.len();
        let fewest = (1..=hosts)
            .rev()
            .step_by((hosts / 16).max(1))
            .filter_map(|first| Some(self.attempt(first, usize::MAX)?.waves.len()));
        match fewest.min() {
            Some(least) => Stuck::MoreWaves { wished: self.wishes.waves, least },
            None => Stuck::NoRoom,
        }
    }
}

/// One rolling as far as it has come.
struct Trial<'a> {
    problem: &'a Problem,
    wishes: Wishes,
    kinds: &'a Kinds,
    load: Load<'a>,
    waves: Vec<Wave>,
}

impl<'a> Trial<'a> {
    fn new(tries: &'a Tries<'a>) -> Self {
        let load = Load::new(tries.problem);
        Self { problem: tries.problem, wishes: tries.wishes, kinds: &tries.kinds, load, waves: Vec::new() }
    }

    /// The first `most` of the hosts in line that can be emptied together, and all others: never two servers of one group at once.
    fn apart(&self, line: &[HostRow], most: usize) -> (Vec<HostRow>, Vec<HostRow>) {
        let most = most.min(self.wishes.hosts_at_once.unwrap_or(usize::MAX));
        let mut moving = HashSet::<GroupRow>::new();
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for host in line {
            let groups = || self.load.on(*host).iter().flat_map(|server| &self.problem.server(*server).apart);
            if taken.len() < most && groups().all(|group| !moving.contains(group)) {
                moving.extend(groups().copied());
                taken.push(*host);
            } else {
                others.push(*host);
            }
        }
        (taken, others)
    }

    /// The lightest first: they are emptied first, and the heaviest take what the first wave has to put somewhere.
    fn wait_in_line(&self, rest: &mut [HostRow]) {
        rest.sort_by_key(|host| (fullness(self.problem, &self.load, *host), *host));
    }

    /// Empties as many of the hosts in line as those that are done can hold, and takes them out of the line.
    fn next_wave(&mut self, rest: &mut Vec<HostRow>, done: &[HostRow]) -> Option<Vec<HostRow>> {
        let mut count = self.held_by(rest, done);
        while count > 0 {
            let (taken, others) = self.apart(rest, count);
            if self.empty(&taken, done).is_some() {
                *rest = others;
                return Some(taken);
            }
            // Odd sizes leave gaps: a little less will do.
            count = (taken.len().min(count) * 127 / 128).min(count - 1);
        }
        None
    }

    /// How many of the hosts in line could be held, if servers were a fluid.
    fn held_by(&self, rest: &[HostRow], done: &[HostRow]) -> usize {
        let width = self.problem.resources.len();
        let mut free = vec![0_u64; width];
        for host in done {
            free.iter_mut()
                .zip(self.load.free(*host))
                .for_each(|(sum, free)| *sum = sum.saturating_add(free));
        }
        let mut count = 0;
        for host in rest {
            for (free, used) in free.iter_mut().zip(self.load.used(*host)) {
                match free.checked_sub(*used) {
                    Some(left) => *free = left,
                    None => return count,
                }
            }
            count += 1;
        }
        count
    }

    /// Moves all servers of `hosts` onto `onto`, in its order; nothing is moved when they don't all fit, or too little would stay free.
    fn empty(&mut self, hosts: &[HostRow], onto: &[HostRow]) -> Option<()> {
        let servers: Vec<ServerRow> = hosts.iter().flat_map(|host| self.load.on(*host)).copied().collect();
        let from: Vec<HostRow> = servers.iter().map(|server| self.load.host_of(*server)).collect();
        if !fill(&mut self.load, self.kinds, &servers, onto) || !self.keeps_reserve(hosts) {
            for (server, from) in servers.into_iter().zip(from) {
                self.load.put(server, from);
            }
            return None;
        }
        let moves = servers
            .into_iter()
            .zip(from)
            .map(|(server, from)| Move { server, from, to: self.load.host_of(server) })
            .collect();
        self.waves.push(Wave { hosts: hosts.to_vec(), moves });
        Some(())
    }

    /// While `away` are out of service.
    fn keeps_reserve(&self, away: &[HostRow]) -> bool {
        if self.wishes.reserve_hosts == 0 {
            return true;
        }
        let away: HashSet<HostRow> = away.iter().copied().collect();
        let serving = || {
            let open = |host: &HostRow| self.problem.host(*host).open == Open::Yes && !away.contains(host);
            self.problem.host_rows().filter(open)
        };
        (0..self.problem.resources.len()).all(|resource| {
            let largest = serving().map(|host| self.problem.host(host).has[resource]).max().unwrap_or(0);
            let free = serving().filter_map(|host| self.load.free(host).nth(resource));
            let free = free.fold(0_u64, u64::saturating_add);
            largest == UNLIMITED || free >= largest.saturating_mul(self.wishes.reserve_hosts)
        })
    }
}
