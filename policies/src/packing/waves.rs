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

use hashbrown::{HashMap, HashSet};

use super::fill::{Crowd, Flow, Kinds};
use super::{GroupRow, HostRow, Move, Open, Problem, UNLIMITED};

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

/// Hosts of which only so many may be in one wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// So many.
    pub most: usize,
    /// By host, with which others it shares that: those of one number. Nothing for a host that counts with none.
    pub of: Vec<Option<u32>>,
}

impl Share {
    fn of(&self, host: HostRow) -> Option<u32> {
        self.of[host.index()]
    }

    /// How many of these hosts share each.
    fn counted(&self, hosts: &[HostRow]) -> HashMap<u32, usize> {
        let mut counts = HashMap::new();
        for share in hosts.iter().filter_map(|host| self.of(*host)) {
            *counts.entry(share).or_default() += 1;
        }
        counts
    }
}

/// What is wished of a rolling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// At most so many waves.
    pub waves: usize,
    /// At most so many hosts in one wave; nothing for no limit.
    pub hosts_at_once: Option<usize>,
    /// Limits on those that are alike besides: by a label, say.
    pub shares: Vec<Share>,
    /// At every moment as much stays free on the hosts in service as so many of the largest hosts hold.
    pub reserve_hosts: u64,
}

impl Wishes {
    /// At most so many waves, and nothing else.
    #[must_use]
    pub const fn in_waves(waves: usize) -> Self {
        Self { waves, hosts_at_once: None, shares: Vec::new(), reserve_hosts: 0 }
    }

    /// Whatever the room, these hosts take no fewer waves.
    #[must_use]
    pub fn fewest_waves(&self, hosts: &[HostRow]) -> usize {
        let at_once = self
            .hosts_at_once
            .map_or(usize::from(!hosts.is_empty()), |most| hosts.len().div_ceil(most.max(1)));
        let largest = |share: &Share| {
            let counts = share.counted(hosts);
            counts.into_values().max().map(|count| count.div_ceil(share.most.max(1)))
        };
        self.shares.iter().filter_map(largest).fold(at_once, usize::max)
    }

    /// Those of which there are so many alike that one of them has to be in every wave from now on.
    fn urgent<'a>(&'a self, line: &[HostRow]) -> impl Fn(HostRow) -> bool + use<'a> {
        let waves = self.fewest_waves(line);
        let counted: Vec<_> = self.shares.iter().map(|share| (share, share.counted(line))).collect();
        move |host| {
            counted.iter().any(|(share, counts)| {
                let alike = share.of(host).and_then(|of| counts.get(&of));
                alike.is_some_and(|alike| alike.div_ceil(share.most.max(1)) >= waves)
            })
        }
    }
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
    /// All that are emptied.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostRow> {
        self.waves.iter().flat_map(|wave| wave.hosts.iter().copied()).collect()
    }

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
pub fn roll(problem: &Problem, hosts: &[HostRow], wishes: &Wishes) -> Result<Rolling, Stuck> {
    let kinds = Kinds::new(problem);
    let crowd = Crowd::new(&kinds);
    let tries = Tries::new(problem, hosts, wishes, &crowd);
    let best = tries.fewest_moves().ok_or_else(|| tries.why_stuck())?;
    let (hosts, flows): (Vec<_>, Vec<_>) = best.into_iter().unzip();
    let moves = Crowd::settle(&kinds, &flows);
    Ok(Rolling { waves: hosts.into_iter().zip(moves).map(|(hosts, moves)| Wave { hosts, moves }).collect() })
}

/// Whether hosts can be rolled so that no server moves twice: onto those that are open and not among them, and those that are done.
pub(super) fn needs_no_first(problem: &Problem, hosts: &[HostRow], wishes: &Wishes) -> bool {
    let kinds = Kinds::new(problem);
    let crowd = Crowd::new(&kinds);
    Tries::new(problem, hosts, wishes, &crowd).with_first(0).is_some()
}

/// Hosts that are emptied together, and what goes where; which server goes along is not said yet.
type Draft = (Vec<HostRow>, Vec<Flow>);

/// The fullest resource of a host, in millionths.
fn fullness(problem: &Problem, crowd: &Crowd<'_>, host: HostRow) -> u64 {
    let has = &problem.host(host).has;
    let parts =
        has.iter().zip(crowd.used(host)).map(|(has, used)| used.saturating_mul(1_000_000) / (*has).max(1));
    parts.max().unwrap_or(0)
}

struct Tries<'a> {
    problem: &'a Problem,
    wishes: &'a Wishes,
    crowd: &'a Crowd<'a>,
    /// By the number of their servers, then by how full they are: the order in which they are taken into a first wave.
    order: Vec<HostRow>,
    /// Open, and not to be emptied.
    bystanders: Vec<HostRow>,
}

impl<'a> Tries<'a> {
    fn new(problem: &'a Problem, hosts: &[HostRow], wishes: &'a Wishes, crowd: &'a Crowd<'a>) -> Self {
        let emptied: HashSet<HostRow> = hosts.iter().copied().collect();
        let bystander = |host: &HostRow| problem.host(*host).open == Open::Yes && !emptied.contains(host);
        let mut order = hosts.to_vec();
        order.sort_by_cached_key(|host| (crowd.count(*host), fullness(problem, crowd, *host), *host));
        let bystanders = problem.host_rows().filter(bystander).collect();
        Self { problem, wishes, crowd, order, bystanders }
    }

    fn fewest_moves(&self) -> Option<Vec<Draft>> {
        if let Some(drafts) = self.with_first(0) {
            return Some(drafts);
        }
        let (mut first, mut best) = self.enough()?;
        // Downwards in steps that grow, then by halving.
        let (mut short, mut step) = (0, (first / 32).max(1));
        while first - short > step {
            match self.with_first(first - step) {
                Some(drafts) => (first, best, step) = (first - step, drafts, step * 2),
                None => {
                    short = first - step;
                    break;
                }
            }
        }
        while first - short > 1 {
            let middle = short + (first - short) / 2;
            match self.with_first(middle) {
                Some(drafts) => (first, best) = (middle, drafts),
                None => short = middle,
            }
        }
        Some(best)
    }

    /// A first guess: as if servers were a fluid. With a first wave of `k` of `n` hosts, each of which is used to the part `l`, the next
    /// waves can be of `k/l`, `k/l²`, … hosts.
    fn fluid(&self) -> usize {
        let hosts = self.order.len();
        let total: u64 = self.order.iter().map(|host| fullness(self.problem, self.crowd, *host)).sum();
        let used = (total as f64 / 1e6 / hosts.max(1) as f64).clamp(0.01, 0.999);
        let waves = i32::try_from(self.wishes.waves).unwrap_or(i32::MAX).clamp(1, 64);
        let sum: f64 = (0..waves).map(|wave| used.powi(-wave)).sum();
        ((hosts as f64 / sum) as usize).max(1)
    }

    /// A first wave that is large enough, by trying larger and larger ones.
    fn enough(&self) -> Option<(usize, Vec<Draft>)> {
        let mut first = self.fluid();
        while first <= self.order.len() {
            if let Some(drafts) = self.with_first(first) {
                return Some((first, drafts));
            }
            first += (first / 16).max(1);
        }
        None
    }

    /// Rolls with a first wave of the so many lightest hosts; nothing when that takes too many waves.
    fn with_first(&self, first: usize) -> Option<Vec<Draft>> {
        self.attempt(first, self.wishes.waves)
    }

    fn attempt(&self, first: usize, most: usize) -> Option<Vec<Draft>> {
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
            if trial.drafts.len() >= most {
                return None;
            }
            let taken = trial.next_wave(&mut rest, &done)?;
            done.extend(taken);
        }
        Some(trial.drafts)
    }

    fn why_stuck(&self) -> Stuck {
        let hosts = self.order.len();
        let fewest = (1..=hosts)
            .rev()
            .step_by((hosts / 16).max(1))
            .filter_map(|first| Some(self.attempt(first, usize::MAX)?.len()));
        match fewest.min() {
            Some(least) => Stuck::MoreWaves { wished: self.wishes.waves, least },
            None => Stuck::NoRoom,
        }
    }
}

/// One rolling as far as it has come.
struct Trial<'a> {
    problem: &'a Problem,
    wishes: &'a Wishes,
    crowd: Crowd<'a>,
    drafts: Vec<Draft>,
}

impl<'a> Trial<'a> {
    fn new(tries: &Tries<'a>) -> Self {
        let Tries { problem, wishes, crowd, .. } = tries;
        Self { problem, wishes, crowd: (*crowd).clone(), drafts: Vec::new() }
    }

    /// The first `most` of the hosts in line that can be emptied together, and all others: never two servers of one group at once, nor more
    /// that are alike than may be. Of these the most frequent ones come first, else they would be left over for waves of their own.
    fn apart(&self, line: &[HostRow], most: usize) -> (Vec<HostRow>, Vec<HostRow>) {
        let most = most.min(self.wishes.hosts_at_once.unwrap_or(usize::MAX));
        let mut moving = HashSet::<GroupRow>::new();
        let shares = &self.wishes.shares;
        let mut counts: Vec<HashMap<u32, usize>> = vec![HashMap::new(); shares.len()];
        let mut taken = HashSet::new();
        for host in self.most_urgent_first(line) {
            if taken.len() >= most {
                break;
            }
            let few = shares.iter().zip(&counts).all(|(share, counts)| {
                let alike = share.of(host).and_then(|of| counts.get(&of));
                alike.is_none_or(|alike| *alike < share.most)
            });
            if few && self.crowd.groups_on(host).all(|group| !moving.contains(&group)) {
                moving.extend(self.crowd.groups_on(host));
                for (share, counts) in shares.iter().zip(&mut counts) {
                    share.of(host).into_iter().for_each(|of| *counts.entry(of).or_default() += 1);
                }
                taken.insert(host);
            }
        }
        line.iter().copied().partition(|host| taken.contains(host))
    }

    /// As they stand in line, but that those come first of which one has to be in every wave.
    fn most_urgent_first(&self, line: &[HostRow]) -> Vec<HostRow> {
        let mut ordered = line.to_vec();
        if !self.wishes.shares.is_empty() {
            let urgent = self.wishes.urgent(line);
            ordered.sort_by_key(|host| !urgent(*host));
        }
        ordered
    }

    /// The lightest first: they are emptied first, and the heaviest take what the first wave has to put somewhere.
    fn wait_in_line(&self, rest: &mut [HostRow]) {
        rest.sort_by_cached_key(|host| (fullness(self.problem, &self.crowd, *host), *host));
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
                .zip(self.crowd.free(*host))
                .for_each(|(sum, free)| *sum = sum.saturating_add(free));
        }
        let mut count = 0;
        for host in rest {
            for (free, used) in free.iter_mut().zip(self.crowd.used(*host)) {
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
        if !self.keeps_reserve(hosts) {
            return None;
        }
        let flows = self.crowd.empty(hosts, onto)?;
        self.drafts.push((hosts.to_vec(), flows));
        Some(())
    }

    /// While `away` are out of service: wherever their servers go, they use up the same in all.
    fn keeps_reserve(&self, away: &[HostRow]) -> bool {
        if self.wishes.reserve_hosts == 0 {
            return true;
        }
        let leaving: HashSet<HostRow> = away.iter().copied().collect();
        let serving = || {
            let open = |host: &HostRow| self.problem.host(*host).open == Open::Yes && !leaving.contains(host);
            self.problem.host_rows().filter(open)
        };
        (0..self.problem.resources.len()).all(|resource| {
            let largest = serving().map(|host| self.problem.host(host).has[resource]).max().unwrap_or(0);
            let free = serving().filter_map(|host| self.crowd.free(host).nth(resource));
            let free = free.fold(0_u64, u64::saturating_add);
            let comes = away.iter().map(|host| self.crowd.used(*host)[resource]).fold(0, u64::saturating_add);
            let kept = largest.saturating_mul(self.wishes.reserve_hosts);
            largest == UNLIMITED || free >= comes.saturating_add(kept)
        })
    }
}
