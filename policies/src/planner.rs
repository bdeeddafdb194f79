//! From the fleet, the policies and what is settled already to a plan.
//!
//! ```text
//! every server of the hosts to be emptied
//!   ├─ seen twice, or something in the way ──────────────▶ blocked
//!   ├─ settled by an earlier plan, and that still holds ─▶ as it was
//!   └─ the rest, by method, get a place:
//!        servers that stay together first, as one;
//!        then those of several hosts all at once, as far as such a place holds;
//!        then the largest first, which are the hardest to place
//!                                         └─ none found ─▶ no place
//! ```
//!
//! Whatever was settled is held before anything new is placed, so that planning again with the outcome of a plan gives that plan.

mod at_once;
mod report;
mod together;

pub(crate) use together::Circles;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::Method;
use crate::blueprint::Blueprints;
use crate::eligibility::{Interruption, Suits, WhyBlocked, WhyNotLive, local_bytes, obstacles, suits};
use crate::estimate::{Estimate, Guest, expected_live, expected_move};
use crate::fleet::{Fleet, Server, ServerFacts};
use crate::ids::{HostName, ServerId};
use crate::placement::{Choice, NoPlace, Reservation, Room, Score, WhyNotHere, Wish};
use crate::plan::{Agreement, Decision, Plan, Planned};
use crate::policy::{Effective, Policy, PolicySet};
use crate::time::{Instant, Span};

pub use report::{Report, Wait, Warning};

/// All that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The present.
    pub now: Instant,
    /// As last observed.
    pub fleet: &'a Fleet,
    /// In force.
    pub policies: &'a PolicySet,
    /// The hosts that this maintenance empties.
    pub emptying: &'a BTreeSet<HostName>,
    /// Hosts that are to be emptied later, by whichever maintenance: taken only where there is no other.
    pub doomed: &'a BTreeSet<HostName>,
    /// Everything held for migrations that are not finished, of all maintenances.
    pub reservations: &'a [Reservation],
    /// What is settled for servers of these hosts.
    pub kept: &'a BTreeMap<ServerId, Kept>,
    /// How long each server was down in its earlier reboot migrations, latest last.
    pub history: &'a BTreeMap<ServerId, Vec<Span>>,
    /// What servers are to look like at their next launch.
    pub blueprints: &'a Blueprints,
}

/// What is settled for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
pub enum Kept {
    /// A migration of it is under way: neither its method nor its destination can change.
    UnderWay {
        /// Where to.
        to: HostName,
        /// Why not live; nothing when it goes live.
        reboot: Option<WhyNotLive>,
    },
    /// Decided, but nothing has begun. Kept while it can be, so that nobody is told one thing today and another tomorrow.
    Decided {
        /// Where to, if a place was found.
        to: Option<HostName>,
        /// Why not live. It stands if it [is settled](WhyNotLive::is_settled), else it is found anew.
        reboot: Option<WhyNotLive>,
        /// Why there, where that was found together with the place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// A server whose method is known and that needs a place.
struct Candidate<'a> {
    wish: Wish<'a>,
    not_live: Option<WhyNotLive>,
}

impl Candidate<'_> {
    fn id(&self) -> ServerId {
        self.wish.server.facts.id
    }

    fn stays_with_others(&self) -> bool {
        !self.wish.server.facts.rules.affinity.is_empty()
    }
}

/// Decides for every server of the hosts to be emptied what is done with it.
///
/// Deterministic: the same input gives the same plan, whatever the order of its reservations.
#[must_use]
pub fn plan(input: &Input<'_>) -> (Plan, Report) {
    let mut planner = Planner::new(input);
    let waiting = planner.sort_out();
    let waiting = planner.keep(waiting);
    let (together, alone): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Candidate::stays_with_others);
    planner.place(together);
    let waiting = planner.place_at_once(alone);
    planner.place(waiting);
    planner.finish()
}

/// What a plan that was made earlier comes to, by the facts of now. What its making warned of besides (a place that was lost) is not kept.
#[must_use]
pub fn report_of(input: &Input<'_>, plan: &Plan) -> Report {
    report::report(input, plan, Vec::new())
}

struct Planner<'a> {
    input: &'a Input<'a>,
    room: Room<'a>,
    /// What is held for each server.
    held: BTreeMap<ServerId, Vec<&'a Reservation>>,
    planned: Vec<Planned>,
    warnings: Vec<Warning>,
}

/// Where a server goes and why, once that is known.
struct Settled {
    place: Reservation,
    why: String,
}

impl<'a> Planner<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let mut room =
            Room::new(input.fleet, input.reservations, input.policies, input.now).emptying(input.emptying);
        room.spares(input.doomed);
        let mut held: BTreeMap<ServerId, Vec<&Reservation>> = BTreeMap::new();
        for place in input.reservations {
            held.entry(place.server).or_default().push(place);
        }
        Self { input, room, held, planned: Vec::new(), warnings: Vec::new() }
    }

    /// Finds the method for every server; those that can't move yet, and those that are moving, are done with here.
    fn sort_out(&mut self) -> Vec<Candidate<'a>> {
        let mut waiting = Vec::new();
        for host in self.input.emptying {
            for server in self.input.fleet.on(host) {
                if self.is_planned_for_here(server) {
                    waiting.extend(self.sort(server));
                }
            }
        }
        waiting
    }

    /// A server that is seen on two hosts which are both emptied is planned for once: where it is leaving, if a migration of it is
    /// under way, else where it counts.
    fn is_planned_for_here(&self, server: &Server) -> bool {
        let (fleet, id) = (self.input.fleet, server.facts.id);
        let emptied = || fleet.sightings_of(id).filter(|seen| self.input.emptying.contains(&seen.host));
        if let Some(Kept::UnderWay { to, .. }) = self.input.kept.get(&id)
            && let Some(leaving) = emptied().find(|seen| seen.host != *to)
        {
            return leaving.host == server.host;
        }
        match fleet.server(id).filter(|counts| self.input.emptying.contains(&counts.host)) {
            Some(counts) => counts.host == server.host,
            None => emptied().next().is_some_and(|first| first.host == server.host),
        }
    }

    fn sort(&mut self, server: &'a Server) -> Option<Candidate<'a>> {
        let facts = &server.facts;
        let policy = self.input.policies.shared_of(server, self.input.fleet);
        let settled = match self.input.kept.get(&facts.id) {
            // It is only now coming here; it can be planned for once it is here and nowhere else.
            Some(Kept::UnderWay { to, .. }) if *to == server.host => {
                self.blocked(server, WhyBlocked::Held, Vec::new());
                return None;
            }
            Some(Kept::UnderWay { to, reboot }) => {
                self.under_way(server, policy, to, reboot.clone());
                return None;
            }
            Some(Kept::Decided { reboot, .. }) => reboot.clone().filter(WhyNotLive::is_settled),
            None => None,
        };
        let other = self.input.fleet.sightings_of(facts.id).find(|seen| seen.host != server.host);
        if let Some(other) = other {
            let why = WhyBlocked::SeenTwice { also_on: other.host.clone() };
            self.blocked(server, why, obstacles(facts));
            return None;
        }
        let (method, not_live) = match suits(server, self.input.fleet, settled, &policy.policy) {
            Suits::Live => (Method::Live, None),
            Suits::Reboot(why) => (Method::Reboot, Some(why)),
            Suits::Nothing(why) => {
                let also = obstacles(facts).into_iter().filter(|other| *other != why).collect();
                self.blocked(server, why, also);
                return None;
            }
        };
        Some(Candidate { wish: self.wish(server, policy, method), not_live })
    }

    fn wish(&self, server: &'a Server, policy: Arc<Effective>, method: Method) -> Wish<'a> {
        Wish { server, policy, method, blueprint: self.input.blueprints.get(&server.facts.id) }
    }

    fn under_way(
        &mut self,
        server: &'a Server,
        policy: Arc<Effective>,
        to: &HostName,
        not_live: Option<WhyNotLive>,
    ) {
        let method = if not_live.is_some() { Method::Reboot } else { Method::Live };
        let candidate = Candidate { wish: self.wish(server, policy, method), not_live };
        let place = Reservation::of(&candidate.wish, to);
        self.room.reserve(place.clone());
        self.settle(candidate, Settled { place, why: "under way".to_owned() });
    }

    /// Keeps what was decided as far as it still holds, and returns what needs a place.
    fn keep(&mut self, waiting: Vec<Candidate<'a>>) -> Vec<Candidate<'a>> {
        let (mut decided, mut open) = (Vec::new(), Vec::new());
        for candidate in waiting {
            match self.decided_place(&candidate) {
                Some(to) => decided.push((Reservation::of(&candidate.wish, &to), candidate)),
                None => open.push(candidate),
            }
        }
        for (place, _) in &decided {
            self.give_up_others(place);
        }
        let kept = self.input.kept;
        let lost = self.hold(decided, |candidate, score| match kept.get(&candidate.id()) {
            Some(Kept::Decided { why: Some(why), .. }) => why.clone(),
            Some(Kept::Decided { .. } | Kept::UnderWay { .. }) | None => {
                format!("as decided before: {score}")
            }
        });
        for (host, why, candidate) in lost {
            let (server, name) = (candidate.id(), candidate.wish.server.facts.name.clone());
            self.warnings.push(Warning::PlaceLost { server, name, host, why });
            open.push(candidate);
        }
        open
    }

    /// Settles all of these that may have their places, and returns the others with why not.
    ///
    /// All of it is held before any of it is judged: else the first would be judged as if the others had given their places up.
    fn hold(
        &mut self,
        chosen: Vec<(Reservation, Candidate<'a>)>,
        why: impl Fn(&Candidate<'a>, &Score) -> String,
    ) -> Vec<(HostName, WhyNotHere, Candidate<'a>)> {
        for (place, _) in &chosen {
            self.room.reserve(place.clone());
        }
        let mut lost = Vec::new();
        for (place, candidate) in chosen {
            match self.room.judge_wish(&candidate.wish, &place.host) {
                Ok(score) => {
                    let why = why(&candidate, &score);
                    self.settle(candidate, Settled { place, why });
                }
                Err(why_not) => {
                    self.room.release(&place);
                    lost.push((place.host, why_not, candidate));
                }
            }
        }
        lost
    }

    /// Places servers of several hosts all at once, and returns those that still need a place.
    fn place_at_once(&mut self, waiting: Vec<Candidate<'a>>) -> Vec<Candidate<'a>> {
        let mut found = at_once::found(self.input, &self.planned, &waiting);
        let (mut chosen, mut open, mut reasons) = (Vec::new(), Vec::new(), BTreeMap::new());
        for candidate in waiting {
            match found.remove(&candidate.id()) {
                Some((to, why)) => {
                    reasons.insert(candidate.id(), why);
                    chosen.push((Reservation::of(&candidate.wish, &to), candidate));
                }
                None => open.push(candidate),
            }
        }
        let lost =
            self.hold(chosen, |candidate, _| reasons.get(&candidate.id()).cloned().unwrap_or_default());
        open.extend(lost.into_iter().map(|(_, _, candidate)| candidate));
        open
    }

    /// A server has one destination: what is still held for it elsewhere is from a plan before the last.
    fn give_up_others(&mut self, decided: &Reservation) {
        let others = self.held.get(&decided.server).into_iter().flatten();
        for place in others.filter(|place| place.host != decided.host) {
            self.room.release(place);
        }
    }

    /// Where it was decided that a server goes: said so, or shown by what is held for it.
    fn decided_place(&self, candidate: &Candidate<'_>) -> Option<HostName> {
        let said = match self.input.kept.get(&candidate.id()) {
            Some(Kept::Decided { to, .. }) => to.as_ref(),
            // Never asked for these: they have their place already.
            Some(Kept::UnderWay { .. }) | None => None,
        };
        let held = || {
            let here = &candidate.wish.server.host;
            let mine = self.held.get(&candidate.id()).into_iter().flatten();
            mine.map(|place| &place.host).filter(|host| **host != *here).min()
        };
        said.or_else(held).cloned()
    }

    fn place(&mut self, waiting: Vec<Candidate<'a>>) {
        for group in together::in_order(waiting) {
            let wishes: Vec<Wish<'_>> = group.iter().map(|candidate| candidate.wish.clone()).collect();
            match self.room.find_together(&wishes) {
                Ok(Some(Choice { host, why, .. })) => {
                    for candidate in group {
                        let place = Reservation::of(&candidate.wish, &host);
                        self.room.reserve(place.clone());
                        self.settle(candidate, Settled { place, why: why.clone() });
                    }
                }
                Ok(None) => {}
                Err(why) => group.into_iter().for_each(|candidate| self.no_place(candidate, why.clone())),
            }
        }
    }

    fn settle(&mut self, candidate: Candidate<'_>, settled: Settled) {
        let Candidate { wish, not_live } = candidate;
        let to = settled.place.host.clone();
        let expected = self.expected(&wish, not_live.as_ref());
        let decision = match not_live {
            None => Decision::Live { to },
            Some(why) => Decision::Reboot { to, why },
        };
        let planned = planned(wish.server, decision);
        self.planned.push(Planned {
            place: Some(settled.place),
            place_why: settled.why,
            expected,
            blueprint: wish.shape().cloned(),
            ..planned
        });
    }

    fn no_place(&mut self, candidate: Candidate<'_>, why: NoPlace) {
        let Candidate { wish, not_live } = candidate;
        let expected = self.expected(&wish, not_live.as_ref());
        let planned = planned(wish.server, Decision::NoPlace { why, not_live });
        self.planned.push(Planned { expected, ..planned });
    }

    fn blocked(&mut self, server: &Server, why: WhyBlocked, also: Vec<WhyBlocked>) {
        self.planned.push(planned(server, Decision::Blocked { why, also }));
    }

    fn expected(&self, wish: &Wish<'_>, not_live: Option<&WhyNotLive>) -> Option<Estimate> {
        let facts = &wish.server.facts;
        let history = self.input.history.get(&facts.id).map_or(&[][..], Vec::as_slice);
        expected(facts, wish.policy(), not_live, history)
    }

    fn finish(self) -> (Plan, Report) {
        let Self { input, mut planned, warnings, .. } = self;
        planned.sort_by_cached_key(|planned| {
            let seen = input.fleet.seen(&planned.from, planned.server);
            let memory = seen.map_or(0, |seen| seen.facts.memory_bytes);
            (turn(&planned.decision), Reverse(memory), planned.name.clone(), planned.server)
        });
        let mut hosts: BTreeMap<HostName, Vec<Planned>> =
            input.emptying.iter().map(|host| (host.clone(), Vec::new())).collect();
        for planned in planned {
            hosts.entry(planned.from.clone()).or_default().push(planned);
        }
        let plan = Plan { made_at: input.now, hosts };
        let report = report::report(input, &plan, warnings);
        (plan, report)
    }
}

/// What a move is expected to take; nothing of a server that is off.
///
/// Nothing is known of how fast a guest writes before it is first migrated, so it is taken for an idle one.
pub(crate) fn expected(
    facts: &ServerFacts,
    policy: &Policy,
    not_live: Option<&WhyNotLive>,
    history: &[Span],
) -> Option<Estimate> {
    match not_live.map(WhyNotLive::interruption) {
        None => {
            let (memory_bytes, disk_bytes) = (facts.memory_bytes, local_bytes(facts));
            Some(expected_live(&policy.live, Guest { memory_bytes, disk_bytes, dirty_rate: 0, link: None }))
        }
        Some(Interruption::Felt) => Some(expected_move(facts, policy, history, None)),
        Some(Interruption::None) => None,
    }
}

/// A server of which this is decided, before anything is known of its place.
pub(crate) fn planned(server: &Server, decision: Decision) -> Planned {
    let facts = &server.facts;
    Planned {
        server: facts.id,
        name: facts.name.clone(),
        owner: facts.owner.clone(),
        from: server.host.clone(),
        agreement: Agreement::needed_for(decision.why_not_live(), facts.owner.as_ref()),
        decision,
        place: None,
        place_why: String::new(),
        expected: None,
        blueprint: None,
    }
}

/// What is begun first: what needs nobody's consent.
fn turn(decision: &Decision) -> u8 {
    match decision {
        Decision::Live { .. } => 0,
        Decision::Reboot { why: WhyNotLive::NotRunning, .. } => 1,
        Decision::Reboot { .. } => 2,
        Decision::NoPlace { .. } => 3,
        Decision::Blocked { .. } => 4,
    }
}
