//! What both methods need: where the server is, whose turn it is, where it goes, and the ends that both share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::schedule::Says;
use super::{Conductor, Intent, NewOperation, shape};
use crate::appointment::Appointment;
use crate::attempt::{Failure, Method, Moved, Report};
use crate::blueprint::Boot;
use crate::events::Happened;
use crate::fleet::{Host, Labels, Power, Server};
use crate::ids::{HostName, MigrationId, OperationId, OwnerId, ServerId};
use crate::maintenance::Terms;
use crate::migration::{Attempt, AttemptEnd, FailedBecause, Migration, State, Waiting};
use crate::notices::{Avoidance, Tells};
use crate::owners::Whose;
use crate::placement::{Choice, NoPlace, Reservation, WhyNotHere, Wish};
use crate::policy::{Effective, Limits, Policy};
use crate::time::Span;

/// Where a server that should leave a host is.
pub(super) enum Whereabouts<'a> {
    /// Where it was.
    Here(&'a Server),
    /// On another host, without our doing.
    Elsewhere,
    /// Nowhere: its owner deleted it.
    Deleted,
    /// Its host is silent, so nobody knows.
    Unknown,
}

impl<'a> Conductor<'a> {
    pub(super) fn whereabouts(&self, migration: &Migration) -> Whereabouts<'a> {
        if self.is_silent(&migration.from) {
            return Whereabouts::Unknown;
        }
        if let Some(server) = self.fleet.seen(&migration.from, migration.server) {
            return Whereabouts::Here(server);
        }
        let elsewhere = self
            .fleet
            .sightings_of(migration.server)
            .any(|seen| seen.host != migration.from && seen.facts.power != Power::Arriving);
        if elsewhere { Whereabouts::Elsewhere } else { Whereabouts::Deleted }
    }

    pub(super) fn is_silent(&self, host: &HostName) -> bool {
        self.room.host(host).is_none_or(|host| self.tells_nothing(host))
    }

    /// The cluster of a host, if the host is known.
    pub(super) fn cluster_of(&self, host: &HostName) -> Option<&'a str> {
        self.room.host(host).map(|host| host.facts.cluster.as_str())
    }

    pub(super) fn tells_nothing(&self, host: &Host) -> bool {
        self.now - host.observed_at > self.policies.general().agents.silent_after.delta()
    }

    /// The policy for a migration's server, by its facts as last seen.
    pub(super) fn policy_for(&self, migration: &Migration) -> Arc<Effective> {
        match self.fleet.server(migration.server) {
            Some(server) => self.policies.shared_of(server, self.fleet),
            None => self.policies.shared_general(),
        }
    }

    /// Which limit keeps it from being begun now, if one does.
    pub(super) fn limit_reached(
        &self,
        migration: &Migration,
        policy: &Policy,
        to: &HostName,
    ) -> Option<String> {
        let (limits, counted, but) = (self.limits(migration, policy), &self.counted, migration.id);
        if let (Some(owner), Some((most, says))) =
            (migration.owner.as_ref(), self.most_of_owner(migration, policy))
        {
            let moving = counted.moved_of(owner, but);
            if moving >= most {
                let limit = if says == Says::Maintenance { "per_owner" } else { "limits.per_owner" };
                return Some(format!("{moving} of this owner's servers are being moved ({limit})"));
            }
        }
        match migration.method {
            Method::Live => {
                let out = counted.live_out(&migration.from, but);
                if out >= limits.live_out_per_host {
                    return Some(format!("{out} leave {} (limits.live_out_per_host)", migration.from));
                }
                let arriving = counted.live_in(to, but);
                if arriving >= limits.live_in_per_host {
                    return Some(format!("{arriving} arrive at {to} (limits.live_in_per_host)"));
                }
                let cluster = self.cluster_of(&migration.from);
                let within = counted.live_within(cluster, but);
                if within >= limits.live_per_cluster {
                    let cluster = cluster.unwrap_or("?");
                    return Some(format!("{within} move in cluster {cluster} (limits.live_per_cluster)"));
                }
                self.link_full(migration, policy, to)
            }
            Method::Reboot => {
                for host in [&migration.from, to] {
                    let busy = counted.reboots_at(host, but);
                    if busy >= limits.reboots_per_host {
                        return Some(format!(
                            "{busy} reboot migrations run at {host} (limits.reboots_per_host)"
                        ));
                    }
                }
                self.own_limit_reached(migration)
            }
        }
    }

    /// Policy's limits, and those of its maintenance where they are narrower.
    pub(super) fn limits(&self, migration: &Migration, policy: &Policy) -> Limits {
        match self.terms_of(migration) {
            Some(terms) => policy.limits.within(terms),
            None => policy.limits.clone(),
        }
    }

    pub(super) fn terms_of(&self, migration: &Migration) -> Option<&Terms> {
        let maintenance = migration.maintenance.and_then(|id| self.maintenances.get(&id));
        maintenance.map(|maintenance| &maintenance.rolling.terms)
    }

    /// How many of its owner's servers may be moved at once, and who says so: policy, or its maintenance where that allows fewer. What is begun
    /// keeps to it as well as what is promised: else a time could be told at which nothing can begin.
    pub(super) fn most_of_owner(&self, migration: &Migration, policy: &Policy) -> Option<(u32, Says)> {
        // Policy says 0 for no limit.
        let general = Some((policy.limits.per_owner, Says::Policy)).filter(|(most, _)| *most > 0);
        let own = self.terms_of(migration).and_then(|terms| terms.per_owner);
        general.into_iter().chain(own.map(|own| (own.get(), Says::Maintenance))).min()
    }

    /// Whether as many of the owner's servers are down now as he allows. A server that is moved because it is off is not made to wait,
    /// and in an emergency nobody is.
    fn own_limit_reached(&self, migration: &Migration) -> Option<String> {
        let owner = migration.owner.as_ref()?;
        let waits =
            migration.ticket.is_some() && !matches!(migration.appointment, Appointment::Emergency { .. });
        if !waits {
            return None;
        }
        self.owners.limits_for(&self.whose(migration)).into_iter().find_map(|limit| {
            let among = |server: &ServerId| limit.scope.nearness(&self.whose_of(owner, *server)).is_some();
            let down = self.counted.rebooted_of(owner, migration.id).filter(among).count();
            (down >= limit.max_simultaneous as usize).then(|| {
                format!(
                    "{down} of this owner's servers are being rebooted, and he wants no more at once (his limit for {})",
                    limit.scope
                )
            })
        })
    }

    /// As owners' rules want to know it.
    pub(super) fn whose<'b>(&'b self, migration: &'b Migration) -> Whose<'b> {
        Whose {
            owner: migration.owner.as_ref(),
            server: migration.server,
            labels: self.labels(migration.server),
        }
    }

    pub(super) fn whose_of<'b>(&'b self, owner: &'b OwnerId, server: ServerId) -> Whose<'b> {
        Whose { owner: Some(owner), server, labels: self.labels(server) }
    }

    fn labels(&self, server: ServerId) -> Option<&Labels> {
        self.fleet.server(server).map(|server| &server.facts.labels)
    }

    /// Makes sure that a place is held that can still take the server; another one if it must be.
    ///
    /// # Errors
    /// For what it waits instead.
    pub(super) fn ensure_place(
        &mut self,
        mut migration: Migration,
        server: &Server,
    ) -> Result<Migration, Box<Placeless>> {
        migration = self.shape(migration, server);
        let policy = self.policies.shared_of(server, self.fleet);
        let blueprint = migration.blueprint().cloned();
        let wish = Wish { server, policy, method: migration.method, blueprint: blueprint.as_ref() };
        let pinned = self.pinned(&migration);
        // Who has one place to go to tries it again.
        let tried = if pinned.is_some() {
            BTreeMap::new()
        } else {
            let copied_to = self.replica_for(&migration).map(|replica| &replica.to);
            let lost_after = wish.policy().replication.place_lost_after;
            tried(&migration, copied_to)
                .into_iter()
                .chain(self.refused_at(migration.id))
                .chain(self.lost_at(&migration, lost_after))
                .collect()
        };
        let mut lost = None;
        if let Some(place) = migration.place.clone() {
            // The place itself is counted in the room, so it is given back before it is judged.
            self.room.release(&place);
            match (self.room.judge_wish(&wish, &place.host), tried.get(&place.host)) {
                (Ok(_), None) if self.would_move_again(&migration, &wish, &tried) => {
                    lost = Some(format!("{} is to be emptied as well", place.host));
                }
                (Ok(_), None) => {
                    // What it needs there may be another than when the place was found.
                    let place = Reservation {
                        memory_bytes: wish.memory(),
                        vcpus: wish.vcpus(),
                        resources: wish.server.facts.resources.clone(),
                        ..place
                    };
                    self.room.reserve(place.clone());
                    migration.place = Some(place);
                    return Ok(migration);
                }
                (Err(WhyNotHere::Silent { since }), _) if self.keeps_waiting(&migration, since, &wish) => {
                    let waits_for = Waiting::Agent { host: place.host.clone() };
                    self.room.reserve(place);
                    return Err(Box::new(Placeless { migration, waits_for }));
                }
                (Ok(_), Some(why)) => lost = Some(format!("the last try to {} failed: {why}", place.host)),
                (Err(why), _) => lost = Some(format!("{} {why}", place.host)),
            }
        }
        let found = match pinned {
            Some(host) => self.only_at(&wish, host),
            // A host at which the time can't be kept is better than none, and so is one that failed once.
            None => {
                let keeping: BTreeMap<HostName, String> =
                    tried.clone().into_iter().chain(self.busy_then(&migration, wish.policy())).collect();
                self.room
                    .find_wish(&wish, &keeping)
                    .ok()
                    .filter(|choice| !self.doomed.contains(&choice.host))
                    // It would move again from a host that is to be emptied itself: better once more to one that has failed but once.
                    .or_else(|| self.once_more(&migration, &wish))
                    .map_or_else(|| self.room.find_wish(&wish, &tried), Ok)
                    .or_else(|_| self.room.find_wish(&wish, &BTreeMap::new()))
            }
        };
        match found {
            Ok(choice) => {
                let moved = migration.to().is_some_and(|old| *old != choice.host);
                if moved && let Some(why) = lost {
                    self.say(&migration, Happened::Replanned { to: choice.host.clone(), why });
                }
                let place = Reservation::of(&wish, &choice.host);
                self.room.reserve(place.clone());
                migration.place = Some(place);
                migration.place_why = choice.why;
                Ok(migration)
            }
            Err(why) => {
                migration.place = None;
                Err(Box::new(Placeless { migration, waits_for: Waiting::Place { why: why.to_string() } }))
            }
        }
    }

    /// Whether a server would go to a host whose own turn to be emptied is yet to come, though it could go elsewhere. A copy of its disks that has
    /// begun there is worth a second move.
    fn would_move_again(
        &self,
        migration: &Migration,
        wish: &Wish<'_>,
        tried: &BTreeMap<HostName, String>,
    ) -> bool {
        let doomed = migration.to().is_some_and(|to| self.doomed.contains(to));
        let copied = || self.replica_for(migration).is_some_and(|replica| replica.seen().is_some());
        let elsewhere =
            || self.room.find_wish(wish, tried).is_ok_and(|choice| !self.doomed.contains(&choice.host));
        doomed && !copied() && elsewhere()
    }

    /// A host that has failed once, and stays.
    fn once_more(&self, migration: &Migration, wish: &Wish<'_>) -> Option<Choice> {
        let tries = |host: &HostName| migration.attempts.iter().filter(|attempt| attempt.to == *host).count();
        let failed = migration.attempts.iter().map(|attempt| &attempt.to).filter(|host| tries(host) > 1);
        let often = failed.map(|host| (host.clone(), "has failed more than once".to_owned())).collect();
        let tried = |choice: &Choice| tries(&choice.host) == 1 && !self.doomed.contains(&choice.host);
        self.room.find_wish(wish, &often).ok().filter(tried)
    }

    /// Hosts that are promised to others at the time that is agreed.
    fn busy_then(&self, migration: &Migration, policy: &Policy) -> BTreeMap<HostName, String> {
        let Some(slot) = migration.appointment.slot() else { return BTreeMap::new() };
        let most = policy.limits.reboots_per_host;
        let busy = |host: &&HostName| self.counted.promised_at(host, slot, migration.id) >= most;
        let why = "is promised to others at the time that is agreed";
        // Nobody leaves his cluster.
        let near = self.cluster_of(&migration.from).map_or(&[][..], |cluster| self.room.hosts_of(cluster));
        near.iter().copied().filter(busy).map(|host| (host.clone(), why.to_owned())).collect()
    }

    /// A copy that has begun is not thrown away for a destination that is silent for a moment: another one would take hours.
    fn keeps_waiting(&self, migration: &Migration, since: Span, wish: &Wish<'_>) -> bool {
        let begun = self.replica_for(migration).is_some_and(|replica| replica.seen().is_some());
        begun && since < wish.policy().replication.place_lost_after
    }

    fn only_at(&self, wish: &Wish<'_>, host: HostName) -> Result<Choice, NoPlace> {
        match self.room.judge_wish(wish, &host) {
            Ok(score) => Ok(Choice { why: format!("it goes back where it was: {score}"), host, score }),
            Err(why) => {
                let source = self.room.host(&wish.server.host);
                let cluster = source.map(|source| source.facts.cluster.clone()).unwrap_or_default();
                Err(NoPlace { cluster, hosts: BTreeMap::from([(host, why)]) })
            }
        }
    }

    /// Throws away what the source kept of it.
    pub(super) fn discard(&mut self, migration: &Migration) -> OperationId {
        let kept_by = migration.attempts.last().map(|attempt| attempt.operation);
        let intent = Intent::Discard { server: migration.server, kept_by };
        self.order(migration.from.clone(), Some(migration.id), intent)
    }

    /// Orders the next try; that it has begun is for the caller to say.
    pub(super) fn begin(&mut self, migration: &mut Migration, intent: Intent) -> OperationId {
        let rate = if let Intent::Live { rate, .. } = &intent { *rate } else { None };
        let operation = self.order(migration.from.clone(), Some(migration.id), intent);
        let to = migration.to().cloned().unwrap_or_else(|| migration.from.clone());
        migration.attempts.push(Attempt {
            operation,
            method: migration.method,
            to,
            began_at: self.now,
            rate,
            end: None,
            phases: Vec::new(),
        });
        operation
    }

    /// The last try has been begun.
    pub(super) fn say_began(&mut self, migration: &Migration) {
        let method = migration.method;
        let attempt = migration.attempts.iter().filter(|attempt| attempt.method == method).count();
        let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
        if let Some(last) = migration.attempts.last() {
            self.say(migration, Happened::Began { method, to: last.to.clone(), attempt });
        }
    }

    pub(super) fn order(
        &mut self,
        host: HostName,
        migration: Option<MigrationId>,
        intent: Intent,
    ) -> OperationId {
        let id = OperationId::draw(self.ids);
        self.changes.begun.push(NewOperation { id, host, migration, intent });
        id
    }

    /// Notes how the running try ended.
    pub(super) fn end_attempt(
        &mut self,
        migration: &mut Migration,
        operation: OperationId,
        failure: Option<Failure>,
    ) {
        let at = self.now;
        if let Some(attempt) = migration.attempts.iter_mut().find(|attempt| attempt.operation == operation) {
            attempt.end = Some(AttemptEnd { at, failure });
        }
        self.changes.ended.push(operation);
    }

    /// It has arrived: it is looked at there.
    pub(super) fn arrived(
        &mut self,
        mut migration: Migration,
        operation: OperationId,
        moved: Moved,
    ) -> Migration {
        self.end_attempt(&mut migration, operation, None);
        let to = migration.to().cloned().unwrap_or_else(|| migration.from.clone());
        let what = Happened::Arrived { method: migration.method, to: to.clone(), moved: moved.clone() };
        self.say(&migration, what);
        self.has_been_shaped(&migration, &moved);
        let policy = self.policy_for(&migration);
        let look = match shape::boot(&migration) {
            Boot::Now => self.look_after(&migration, &policy.policy),
            // There is nothing that could answer.
            Boot::Later => None,
        };
        let intent = Intent::Verify { server: migration.server, method: migration.method, look };
        let operation = self.order(to, Some(migration.id), intent);
        migration.state = State::Verifying { operation, moved };
        migration
    }

    pub(super) fn verifying(&mut self, mut migration: Migration) -> Migration {
        let State::Verifying { operation, moved } = migration.state.clone() else { return migration };
        let not_alive = match self.reports.get(&operation) {
            None => return migration,
            Some(Report::Running(progress)) => {
                let progress = progress.clone();
                self.found(&mut migration, &progress.findings);
                return migration;
            }
            Some(Report::Alive { sign, looked }) => {
                self.say(&migration, Happened::Alive { sign: sign.clone() });
                if let Some(looked) = looked.clone() {
                    self.found(&mut migration, &looked.findings);
                    migration.validation.took = looked.took;
                }
                None
            }
            Some(Report::NotAlive(text)) => Some(text.clone()),
            Some(Report::Refused(failure)) => Some(failure.text.clone()),
            Some(
                Report::Ended { .. }
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Importing(_)
                | Report::ImportEnded { .. }
                | Report::Testing(_)
                | Report::RunningHook(_)
                | Report::HookRan(_)
                | Report::Healthy(_)
                | Report::Unhealthy(_)
                | Report::Tested { .. },
            ) => Some("the agent's answer does not fit the question".to_owned()),
        };
        self.changes.ended.push(operation);
        match not_alive {
            None => self.looked_after(migration, moved),
            Some(text) => {
                self.tell(&migration, "not_seen_alive", Tells::NotSeenAlive { text: text.clone() });
                self.reverted(&migration);
                let why = FailedBecause::NotSeenAlive { text, moved };
                self.say(&migration, Happened::Failed { why: why.to_string() });
                migration.appointment = Appointment::Done;
                migration.state = State::Failed { at: self.now, why };
                migration
            }
        }
    }

    /// A failed migration ends with its maintenance, or when its server has gone; else it waits for a person.
    pub(super) fn failed(&mut self, migration: Migration) -> Migration {
        if !migration.is_open() {
            return migration;
        }
        // One that we have left off needs a person all the same, until somebody has started it.
        if self.go(&migration) == super::Go::Cancelled && !self.is_still_off(&migration) {
            return self.cancelled(migration);
        }
        if self.is_out_of_time(&migration) {
            return self.out_of_time(migration);
        }
        match self.whereabouts(&migration) {
            Whereabouts::Elsewhere => self.avoided(migration, Avoidance::MovedElsewhere),
            Whereabouts::Deleted => self.avoided(migration, Avoidance::Deleted),
            Whereabouts::Here(_) | Whereabouts::Unknown => migration,
        }
    }

    /// Whether a try has left it off at its source, and nobody has started it since.
    pub(super) fn is_still_off(&self, migration: &Migration) -> bool {
        let off = |server: &Server| server.facts.power == Power::Off;
        migration.left_off.is_some()
            && matches!(self.whereabouts(migration), Whereabouts::Here(server) if off(server))
    }

    pub(super) fn give_up(&mut self, mut migration: Migration, why: FailedBecause) -> Migration {
        self.say(&migration, Happened::Failed { why: why.to_string() });
        migration.state = State::Failed { at: self.now, why };
        migration
    }

    pub(super) fn cancelled(&mut self, mut migration: Migration) -> Migration {
        self.tell(&migration, "cancelled", Tells::Cancelled);
        self.say(&migration, Happened::Cancelled);
        self.leave_place(&migration);
        self.not_reverted(&migration);
        migration.appointment = Appointment::Done;
        migration.state = State::Cancelled { at: self.now };
        migration
    }

    pub(super) fn avoided(&mut self, mut migration: Migration, how: Avoidance) -> Migration {
        self.tell(&migration, "avoided", Tells::Avoided { how });
        self.say(&migration, Happened::Avoided { how });
        self.leave_place(&migration);
        self.not_reverted(&migration);
        migration.appointment = Appointment::Done;
        migration.state = State::Avoided { at: self.now, how };
        migration
    }

    pub(super) fn leave_place(&mut self, migration: &Migration) {
        if let Some(place) = &migration.place {
            self.room.release(place);
        }
    }
}

/// Hosts at which a try failed for a reason that lies there. The one that has a copy of the server's disks is given up only when another
/// copy is worth what it costs.
fn tried(migration: &Migration, copied_to: Option<&HostName>) -> BTreeMap<HostName, String> {
    let failures = || {
        let ended = migration.attempts.iter();
        ended.filter_map(|attempt| Some((&attempt.to, attempt.end.as_ref()?.failure.as_ref()?.class)))
    };
    failures()
        .filter(|(host, class)| {
            if copied_to == Some(*host) {
                let times = failures().filter(|other| *other == (*host, *class)).count();
                class.is_worth_another_copy(times)
            } else {
                class.depends_on_destination()
            }
        })
        .map(|(host, class)| (host.clone(), class.to_string()))
        .collect()
}

/// A migration for which no place was found.
pub(super) struct Placeless {
    pub(super) migration: Migration,
    pub(super) waits_for: Waiting,
}
