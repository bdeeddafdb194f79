//! Why a server goes there, and why a host has its turn then.

use hashbrown::HashMap;

use super::super::{HostRow, Load, Move, Open, Problem, ReachRow, Wave};

/// What the reasons of a plan are made of.
pub(super) struct Reasons<'a> {
    problem: &'a Problem,
    /// As it is when all is done.
    load: Load<'a>,
    /// By host: the wave in which it is emptied.
    turn: HashMap<HostRow, usize>,
    waves: &'a [Wave],
    /// What each wave is called.
    numbers: &'a [u32],
    /// For servers that need the same: the hosts on which there is room for one more when all is done.
    roomy: HashMap<(&'a [u64], ReachRow), usize>,
}

impl<'a> Reasons<'a> {
    pub(super) fn new(problem: &'a Problem, waves: &'a [Wave], numbers: &'a [u32]) -> Self {
        let turns = waves
            .iter()
            .enumerate()
            .flat_map(|(number, wave)| wave.hosts.iter().map(move |host| (*host, number)));
        let mut load = Load::new(problem);
        for one in waves.iter().flat_map(|wave| &wave.moves) {
            load.put(one.server, one.to);
        }
        let mut reasons =
            Self { problem, load, turn: turns.collect(), waves, numbers, roomy: HashMap::new() };
        if reasons.is_evacuation() {
            for one in waves.iter().flat_map(|wave| &wave.moves) {
                let row = problem.server(one.server);
                let key = (row.needs.as_slice(), row.reach);
                if !reasons.roomy.contains_key(&key) {
                    let count = problem.host_rows().filter(|host| reasons.could_take(*host, key)).count();
                    reasons.roomy.insert(key, count);
                }
            }
        }
        reasons
    }

    /// Hosts are emptied once, all together.
    fn is_evacuation(&self) -> bool {
        self.waves.iter().filter(|wave| !wave.hosts.is_empty()).count() <= 1
    }

    fn only_makes_way(&self, number: usize) -> bool {
        self.waves[number].hosts.is_empty() && number + 1 < self.waves.len()
    }

    fn could_take(&self, host: HostRow, (needs, reach): (&[u64], ReachRow)) -> bool {
        self.problem.host(host).open == Open::Yes
            && !self.turn.contains_key(&host)
            && self.problem.reaches[reach.index()][host.index()]
            && needs.iter().zip(self.load.free(host)).all(|(needs, free)| *needs <= free)
    }

    pub(super) fn of_move(&self, number: usize, one: &Move) -> String {
        let name = &self.problem.host(one.to).name;
        if self.only_makes_way(number) {
            return format!("makes way for servers that fit nowhere else; {}", self.used(one.to));
        }
        match self.turn.get(&one.to) {
            Some(turn) if *turn < number => {
                format!("{name} was emptied in wave {}, so this is its only move", self.numbers[*turn])
            }
            Some(turn) => format!(
                "nobody is done yet, and {name} is among the last: from there it moves on in wave {}",
                self.numbers[*turn]
            ),
            None if self.is_evacuation() => {
                let row = self.problem.server(one.server);
                let others = self.roomy.get(&(row.needs.as_slice(), row.reach)).copied().unwrap_or(0);
                let choice = match others {
                    0 => "nowhere else would be room for one more like it".to_owned(),
                    1 => "one host would have room for one more like it".to_owned(),
                    many => format!("{many} hosts would have room for one more like it"),
                };
                format!("evens out best; {}, and {choice}", self.used(one.to))
            }
            None => format!("{name} is not emptied itself, so this is its only move"),
        }
    }

    /// `61 % memory, 12 % vcpus used in the end`.
    fn used(&self, host: HostRow) -> String {
        let has = &self.problem.host(host).has;
        let parts: Vec<String> = self
            .problem
            .resources
            .iter()
            .zip(has.iter().zip(self.load.used(host)))
            .filter(|(_, (has, used))| **has != super::super::UNLIMITED && **used > 0)
            .map(|(resource, (has, used))| {
                let percent = u128::from(*used) * 100 / u128::from(*has).max(1);
                format!("{percent} % {}", resource.name)
            })
            .collect();
        format!("{} used there in the end", parts.join(", "))
    }

    pub(super) fn of_wave(&self, number: usize, wave: &Wave) -> String {
        let emptied: usize = self.waves[..number].iter().map(|wave| wave.hosts.len()).sum();
        let stands_by =
            |host: &HostRow| self.problem.host(*host).open == Open::Yes && !self.turn.contains_key(host);
        if wave.hosts.is_empty() && !self.only_makes_way(number) {
            "the fewest by which what is too much goes elsewhere".to_owned()
        } else if wave.hosts.is_empty() {
            "nobody is emptied yet: these servers make way for others".to_owned()
        } else if self.is_evacuation() {
            "all that were named, at once".to_owned()
        } else if emptied > 0 {
            format!(
                "the next lightest, as many as the {emptied} that are done can hold with those that stand by"
            )
        } else if self.problem.host_rows().any(|host| stands_by(&host)) {
            "the lightest, as many as the hosts that are not emptied can hold".to_owned()
        } else {
            "those with the fewest servers, since these move twice: no more than are needed for so few waves"
                .to_owned()
        }
    }
}
