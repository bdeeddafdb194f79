//! Room for servers that fit nowhere as things are: others make way for them.
//!
//! A server that is being moved anyway goes elsewhere instead, which costs nothing. Only when that does not help does one move that is on
//! none of the hosts to be emptied, then two, and so on. A host to which such a server comes loses none: so all who make way can do it at once,
//! before anything else is moved.

use hashbrown::HashMap;

use super::fill::{mean_host, size};
use super::{HostRow, Load, Problem, ServerRow};

/// Looks at a server and who would have to make way for it: bounded, so that the answer does not depend on the machine's speed.
const LOOKS: usize = 20_000;

/// Who makes way may need others to do so, and these others, …
const DEPTH: usize = 3;

/// On so many hosts, those that lack least, it is tried to make room for one server.
const HOSTS: usize = 24;

/// How long room is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Until everybody has been looked at.
    End,
    /// Until one has no place.
    FirstWithout,
}

/// Finds places for `unplaced` on open hosts, and answers those for which there is none. At most so many `others`, which need not be moved,
/// make way for each.
pub(super) fn make_room<'a>(
    problem: &'a Problem,
    load: &mut Load<'a>,
    open: &[bool],
    unplaced: Vec<ServerRow>,
    others: usize,
    until: Until,
) -> Vec<ServerRow> {
    let mut making = Making {
        problem,
        load,
        open,
        mean: mean_host(problem),
        gone: HashMap::new(),
        done: Vec::new(),
        most: 0,
        looks: 0,
    };
    let without = unplaced.into_iter().filter(|server| !making.find(*server, others));
    without.take(if until == Until::End { usize::MAX } else { 1 }).collect()
}

struct Making<'a, 'b> {
    problem: &'a Problem,
    load: &'b mut Load<'a>,
    open: &'b [bool],
    mean: Vec<f64>,
    /// How many servers that need not be moved have left each host.
    gone: HashMap<HostRow, usize>,
    /// What was moved from where, so that it can be taken back.
    done: Vec<(ServerRow, HostRow)>,
    /// So many of `gone` there may be.
    most: usize,
    looks: usize,
}

impl Making<'_, '_> {
    fn find(&mut self, server: ServerRow, others: usize) -> bool {
        if !self.is_room_in_all(server) {
            return false;
        }
        let already = self.others_moved();
        (already..=already + others).any(|most| {
            self.most = most;
            self.looks = 0;
            self.place(server, DEPTH)
        })
    }

    /// Whether all hosts together have what it needs: making way only moves room about.
    fn is_room_in_all(&self, server: ServerRow) -> bool {
        let row = self.problem.server(server);
        let open = || self.problem.host_rows().filter(|host| self.open[host.index()]);
        row.needs.iter().enumerate().all(|(resource, needs)| {
            let free = open().filter_map(|host| self.load.free(host).nth(resource));
            free.fold(0, u64::saturating_add) >= *needs
        })
    }

    fn others_moved(&self) -> usize {
        self.gone.values().sum()
    }

    /// Whether it has to be moved, and so costs nothing.
    fn leaves(&self, server: ServerRow) -> bool {
        !self.open[self.problem.server(server).host.index()]
    }

    fn put(&mut self, server: ServerRow, to: HostRow) {
        let moved = self.load.put(server, to);
        let home = self.problem.server(server).host;
        if !self.leaves(server) && moved.from != moved.to {
            if moved.from == home {
                *self.gone.entry(home).or_default() += 1;
            } else if moved.to == home {
                *self.gone.entry(home).or_default() -= 1;
            }
        }
        self.done.push((server, moved.from));
    }

    fn take_back(&mut self, mark: usize) {
        while self.done.len() > mark {
            if let Some((server, from)) = self.done.pop() {
                self.put(server, from);
                self.done.pop();
            }
        }
    }

    /// Whether it may be here as far as others are concerned that make way.
    fn may_come(&self, server: ServerRow, host: HostRow) -> bool {
        let free = || self.gone.get(&host).is_none_or(|gone| *gone == 0);
        self.open[host.index()]
            && self.problem.may_use(self.problem.server(server), host)
            && (self.leaves(server) || self.problem.server(server).host == host || free())
    }

    fn may_leave(&self, server: ServerRow, host: HostRow) -> bool {
        if self.leaves(server) || self.problem.server(server).host != host {
            return true;
        }
        let came = |other: &ServerRow| !self.leaves(*other) && self.problem.server(*other).host != host;
        self.others_moved() < self.most && !self.load.on(host).iter().any(came)
    }

    /// What would be missing of a server's needs on a host, in parts of an average host; and what would be left over.
    fn fit(&self, server: ServerRow, host: HostRow) -> (f64, f64) {
        let needs = &self.problem.server(server).needs;
        let (lacks, left): (Vec<u64>, Vec<u64>) = needs
            .iter()
            .zip(self.load.free(host))
            .map(|(needs, free)| (needs.saturating_sub(free), free.saturating_sub(*needs)))
            .unzip();
        (size(&lacks, &self.mean), size(&left, &self.mean))
    }

    fn place(&mut self, server: ServerRow, depth: usize) -> bool {
        let from = self.load.host_of(server);
        let may = |host: &HostRow| *host != from && self.may_come(server, *host);
        let mut hosts: Vec<(f64, f64, HostRow)> = self
            .problem
            .host_rows()
            .filter(may)
            .map(|host| {
                let (lacks, left) = self.fit(server, host);
                (lacks, left, host)
            })
            .collect();
        hosts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        if let Some((.., host)) =
            hosts.iter().find(|(lacks, _, host)| *lacks <= 0.0 && self.load.fits(server, *host))
        {
            self.put(server, *host);
            return true;
        }
        depth > 0 && hosts.iter().take(HOSTS).any(|(.., host)| self.push_aside(server, *host, depth))
    }

    /// Puts it there if one or two others can go elsewhere instead.
    fn push_aside(&mut self, server: ServerRow, host: HostRow, depth: usize) -> bool {
        let mut there: Vec<ServerRow> = self.load.on(host).to_vec();
        // Who makes way comes before anybody else has left, so nobody may have to make way for him in turn.
        let moves_anyway =
            |other: &ServerRow| self.leaves(*other) || self.problem.server(*other).host != host;
        there.retain(|other| self.may_leave(*other, host) && (self.leaves(server) || moves_anyway(other)));
        // Those that move anyway first, and of these the smallest: it finds another place most easily.
        there.sort_by(|a, b| {
            let by_size = |server: &ServerRow| size(&self.problem.server(*server).needs, &self.mean);
            (!self.leaves(*a)).cmp(&!self.leaves(*b)).then(by_size(a).total_cmp(&by_size(b))).then(a.cmp(b))
        });
        let pairs = there
            .iter()
            .enumerate()
            .flat_map(|(index, one)| there[index + 1..].iter().map(move |other| vec![*one, *other]));
        let sets = there.iter().map(|one| vec![*one]).chain(pairs);
        sets.into_iter().any(|set| self.exchange(server, host, &set, depth))
    }

    fn exchange(&mut self, server: ServerRow, host: HostRow, set: &[ServerRow], depth: usize) -> bool {
        self.looks += 1;
        if self.looks > LOOKS || !self.load.fits_without(server, host, set) {
            return false;
        }
        let mark = self.done.len();
        // Nobody may be on the host that it comes from, so those who make way can wait there.
        let aside = self.problem.server(server).host;
        let aside = if self.open[aside.index()] { self.load.host_of(server) } else { aside };
        self.put(server, host);
        for other in set {
            self.put(*other, aside);
        }
        let all =
            self.others_moved() <= self.most && set.iter().rev().all(|other| self.place(*other, depth - 1));
        if !all {
            self.take_back(mark);
        }
        all
    }
}
