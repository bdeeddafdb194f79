//! What moves share, and what each asks of it.

use super::super::{HostRow, Move};

/// What a host or a rack can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Bytes per second, in each direction.
    pub rate: u64,
    /// Moves that may leave it at the same time.
    pub out: u32,
    /// Moves that may come to it at the same time.
    pub into: u32,
}

impl Way {
    /// Nothing limits it.
    pub const FREE: Self = Self { rate: u64::MAX, out: u32::MAX, into: u32::MAX };
}

/// What moves share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// By host.
    pub hosts: Vec<Way>,
    /// By host, the racks that it is in, or whatever else has an uplink: what leaves one goes through that.
    pub racks_of: Vec<Vec<u32>>,
    /// By rack, its uplink.
    pub racks: Vec<Way>,
    /// Bytes per second of one move at the most.
    pub most_rate: u64,
    /// By host, the cluster that it is in; moves stay within one.
    pub cluster_of: Vec<u32>,
    /// Moves at the same time in one cluster.
    pub at_once: u32,
    /// Bytes per second of all moves in one cluster.
    pub cluster_rate: u64,
    /// Bytes per second of all moves.
    pub together: u64,
}

impl Ways {
    /// So many hosts, each with such a way, and nothing between them.
    #[must_use]
    pub fn among(hosts: usize, way: Way) -> Self {
        Self {
            hosts: vec![way; hosts],
            racks_of: vec![Vec::new(); hosts],
            racks: Vec::new(),
            most_rate: u64::MAX,
            cluster_of: vec![0; hosts],
            at_once: u32::MAX,
            cluster_rate: u64::MAX,
            together: u64::MAX,
        }
    }
}

/// A move, and what is to be sent for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Who, from where, to where.
    pub of: Move,
    /// Memory, and disks that go with it.
    pub bytes: u64,
    /// Bytes per second that the guest writes anew meanwhile.
    pub dirty_rate: u64,
    /// Milliseconds that it takes besides sending.
    pub besides: u64,
}

impl Transfer {
    /// How long it takes at a rate, in milliseconds.
    ///
    /// What is written meanwhile is sent as well, and what is written during that, and so on. A guest that writes faster than three
    /// quarters of the rate is slowed down, so that never more than four times its memory is sent.
    #[must_use]
    pub fn lasts(&self, rate: u64) -> u64 {
        let left = rate - self.dirty_rate.min(rate / 4 * 3);
        let sending = (u128::from(self.bytes) * 1000).div_ceil(u128::from(left.max(1)));
        u64::try_from(sending).unwrap_or(u64::MAX).saturating_add(self.besides)
    }

    /// The least rate at which it is started when this is its full one: one that sends hardly more than that does.
    fn least_rate(&self, full: u64) -> u64 {
        let half = full / 2;
        let sent = |rate: u64| u128::from(rate) * u128::from(self.lasts(rate).saturating_sub(self.besides));
        if sent(half) * 100 <= sent(full) * 102 { half.max(1) } else { full }
    }
}

/// Bytes per second that no link reaches.
const FASTEST: u64 = 1 << 40;

/// Where something is shared: a direction of a host or a rack, or a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    pub(super) rate: u64,
    pub(super) slots: u32,
}

/// One move.
pub(super) struct Job {
    /// The gates that it goes through; the first is that of its host.
    pub(super) path: Vec<usize>,
    /// The rate at which it goes if nobody else is there.
    pub(super) full: u64,
    /// The least at which it is started.
    pub(super) least: u64,
    pub(super) transfer: Transfer,
    /// At its full rate.
    pub(super) lasts: u64,
}

/// Everything that is to be scheduled.
pub(super) struct Work {
    pub(super) gates: Vec<Gate>,
    pub(super) jobs: Vec<Job>,
}

impl Work {
    pub(super) fn new(ways: &Ways, transfers: &[Transfer]) -> Self {
        let both = |way: &Way| {
            [Gate { rate: way.rate, slots: way.out.max(1) }, Gate { rate: way.rate, slots: way.into.max(1) }]
        };
        let mut gates: Vec<Gate> = ways.hosts.iter().chain(&ways.racks).flat_map(both).collect();
        let clusters = ways.cluster_of.iter().max().map_or(1, |last| *last as usize + 1);
        gates.extend(vec![Gate { rate: ways.cluster_rate, slots: ways.at_once.max(1) }; clusters]);
        gates.push(Gate { rate: ways.together, slots: u32::MAX });
        let jobs = transfers.iter().map(|transfer| job(ways, &gates, transfer)).collect();
        Self { gates, jobs }
    }

    /// What goes through each gate: milliseconds of moves one after the other, and bytes in thousandths.
    fn shares(&self) -> Vec<(u128, u128)> {
        let mut shares = vec![(0_u128, 0_u128); self.gates.len()];
        for job in &self.jobs {
            let sent = u128::from(job.lasts - job.transfer.besides) * u128::from(job.full);
            for gate in &job.path {
                shares[*gate].0 += u128::from(job.lasts);
                shares[*gate].1 += sent;
            }
        }
        shares
    }

    /// What each gate has to do at the least, in milliseconds.
    fn loads(&self) -> Vec<u64> {
        let load = |(gate, (time, sent)): (&Gate, (u128, u128))| {
            let least =
                time.div_ceil(u128::from(gate.slots)).max(sent.div_ceil(u128::from(gate.rate.max(1))));
            u64::try_from(least).unwrap_or(u64::MAX)
        };
        self.gates.iter().zip(self.shares()).map(load).collect()
    }

    /// The same ways with hosts no faster than they have to be in order to be done after `time`; none is slowed down to less than a quarter.
    pub(super) fn paced(&self, ways: &Ways, time: u64) -> Ways {
        let shares = self.shares();
        let mut paced = ways.clone();
        for (host, way) in paced.hosts.iter_mut().enumerate() {
            let sent = shares[host * 2].1.max(shares[host * 2 + 1].1);
            let enough = u64::try_from(sent.div_ceil(u128::from(time.max(1)))).unwrap_or(u64::MAX);
            way.rate = way.rate.min(enough.max(way.rate.min(ways.most_rate) / 4)).max(1);
        }
        paced
    }

    /// No schedule is shorter: no gate can do its part in less, and no move is faster than at its full rate.
    pub(super) fn least(&self) -> u64 {
        let longest = self.jobs.iter().map(|job| job.lasts).max().unwrap_or(0);
        self.loads().into_iter().max().unwrap_or(0).max(longest)
    }

    pub(super) fn longest_first(&self) -> Vec<u32> {
        self.ranked(|job| job.lasts)
    }

    pub(super) fn most_loaded_first(&self) -> Vec<u32> {
        let loads = self.loads();
        self.ranked(|job| (job.path.iter().map(|gate| loads[*gate]).max().unwrap_or(0), job.lasts))
    }

    /// By job its place in a list of which the greatest key is the first.
    fn ranked<K: Ord>(&self, key: impl Fn(&Job) -> K) -> Vec<u32> {
        let mut line: Vec<usize> = (0..self.jobs.len()).collect();
        line.sort_by_key(|one| std::cmp::Reverse(key(&self.jobs[*one])));
        let mut ranks = vec![0; line.len()];
        for (rank, one) in (0..).zip(line) {
            ranks[one] = rank;
        }
        ranks
    }
}

fn job(ways: &Ways, gates: &[Gate], transfer: &Transfer) -> Job {
    let racks_of = |host: HostRow| ways.racks_of.get(host.index()).map_or(&[][..], Vec::as_slice);
    let (from, to) = (transfer.of.from, transfer.of.to);
    let mut path = vec![from.index() * 2, to.index() * 2 + 1];
    let uplinks = |of: HostRow, but: HostRow| {
        let left = racks_of(of).iter().filter(move |rack| !racks_of(but).contains(rack));
        left.map(|rack| (ways.hosts.len() + *rack as usize) * 2)
    };
    path.extend(uplinks(from, to));
    path.extend(uplinks(to, from).map(|uplink| uplink + 1));
    path.push((ways.hosts.len() + ways.racks.len()) * 2 + ways.cluster_of[from.index()] as usize);
    if ways.together < u64::MAX {
        path.push(gates.len() - 1);
    }
    let full = path
        .iter()
        .map(|gate| gates[*gate].rate)
        .min()
        .unwrap_or(FASTEST)
        .min(ways.most_rate)
        .clamp(1, FASTEST);
    // What sends nothing takes up a slot, and no link.
    let full = if transfer.bytes == 0 { 1 } else { full };
    let (least, lasts) = (transfer.least_rate(full), transfer.lasts(full));
    Job { path, full, least, transfer: *transfer, lasts }
}
