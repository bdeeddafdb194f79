//! A scheduler's memory in a value: what `conduct` decides is taken in, and agents answer as the test says.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::attempt::{Failure, FailureClass, Moved, Outcome, PowerOff, Progress, Report};
use drover_policies::blueprint::Blueprints;
use drover_policies::bulletins::Bulletin;
use drover_policies::conduct::{Changes, Intent, NewOperation, NewWish, Situation, conduct};
use drover_policies::fleet::{Fleet, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, IdSource, MaintenanceId, NoticeId, OperationId};
use drover_policies::import::Import;
use drover_policies::maintenance::{Maintenance, Rolling, Stage, State, Urgency, Warned};
use drover_policies::migration::Migration;
use drover_policies::notices::{Actor, Tells};
use drover_policies::owners::{OwnerCheck, OwnerFreeze, OwnerLimit, OwnerWindow, OwnersRules};
use drover_policies::policy::PolicySet;
use drover_policies::replica::Replica;
use drover_policies::samples::{NOON, host_name};
use drover_policies::time::{Instant, Span};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Ids that count from 1.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl IdSource for Counting {
    fn next(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

/// Everything that a scheduler knows.
pub struct Story {
    pub now: Instant,
    pub ids: Counting,
    pub fleet: Fleet,
    pub policies: PolicySet,
    pub windows: Vec<OwnerWindow>,
    pub freezes: Vec<OwnerFreeze>,
    pub limits: Vec<OwnerLimit>,
    pub checks: Vec<OwnerCheck>,
    /// Hosts whose agents can look at more than signs of life.
    pub checking: BTreeSet<HostName>,
    pub blueprints: Blueprints,
    pub maintenances: BTreeMap<MaintenanceId, Maintenance>,
    pub migrations: Vec<Migration>,
    pub replicas: Vec<Replica>,
    pub imports: Vec<Import>,
    pub orders: BTreeMap<OperationId, NewOperation>,
    pub wishes: BTreeMap<OperationId, NewWish>,
    pub reports: BTreeMap<OperationId, Report>,
    pub told: Vec<(String, Tells)>,
    /// What operators were told of maintenances, each fact once: the database leaves out a second one of the same key.
    pub bulletins: Vec<Bulletin>,
    /// The story in words, a line an event.
    pub log: Vec<String>,
}

impl Story {
    pub fn new(fleet: Fleet, policy: &str) -> Self {
        let files: &[(&str, &str)] = &[("test.toml", policy)];
        let policies =
            PolicySet::parse(if policy.is_empty() { &[] } else { files }).expect("the policy is right");
        Self {
            now: NOON,
            ids: Counting::default(),
            fleet,
            policies,
            windows: Vec::new(),
            freezes: Vec::new(),
            limits: Vec::new(),
            checks: Vec::new(),
            checking: BTreeSet::new(),
            blueprints: Blueprints::new(),
            maintenances: BTreeMap::new(),
            migrations: Vec::new(),
            replicas: Vec::new(),
            imports: Vec::new(),
            orders: BTreeMap::new(),
            wishes: BTreeMap::new(),
            reports: BTreeMap::new(),
            told: Vec::new(),
            bulletins: Vec::new(),
            log: Vec::new(),
        }
    }

    /// An operator asks for hosts to be emptied within ten days.
    pub fn drain(&mut self, hosts: &[&str], urgency: Urgency) -> MaintenanceId {
        let id = MaintenanceId::draw(&self.ids);
        let hosts: BTreeMap<HostName, Stage> =
            hosts.iter().map(|host| (host_name(host), Stage::Draining)).collect();
        for host in hosts.keys() {
            let known = self.fleet.hosts.get_mut(host).expect("a known host");
            known.standing = Standing::Draining { maintenance: id, since: self.now };
        }
        let deadline = self.now + Span::days(10).delta();
        let maintenance = Maintenance {
            id,
            number: u32::try_from(self.maintenances.len()).expect("few") + 1,
            hosts,
            reason: "kernel-update".to_owned(),
            deadline,
            warn_at: deadline - Span::days(1).delta(),
            warned: Warned::No,
            urgency,
            requested_by: Actor::Operator { name: "olga".to_owned() },
            requested_at: self.now,
            state: State::Running,
            rolling: Rolling::default(),
        };
        self.maintenances.insert(id, maintenance);
        self.look();
        id
    }

    /// Lets it be decided until nothing changes, and takes everything in. Deciding once more must change nothing.
    pub fn look(&mut self) {
        for _ in 0..10 {
            let changes = self.decide();
            if changes.is_empty() {
                return;
            }
            self.take(changes);
        }
        panic!("it never comes to rest:\n{}", self.log.join("\n"));
    }

    pub fn owners_rules(&self) -> OwnersRules {
        OwnersRules::new(self.windows.clone(), self.freezes.clone(), self.limits.clone())
            .with_checks(self.checks.clone())
    }

    pub fn decide(&self) -> Changes {
        self.question(conduct)
    }

    /// Asks something about the situation as it is.
    pub fn question<T>(&self, ask: impl FnOnce(Situation<'_>) -> T) -> T {
        let history = BTreeMap::new();
        let told: BTreeSet<String> = self.told.iter().map(|(key, _)| key.clone()).collect();
        ask(Situation {
            now: self.now,
            ids: &self.ids,
            next_number: 1001 + u32::try_from(self.migrations.len()).expect("few"),
            fleet: &self.fleet,
            policies: &self.policies,
            owners: &self.owners_rules(),
            maintenances: self.maintenances.values().collect(),
            migrations: self.migrations.iter().filter(|migration| !migration.is_over()).collect(),
            replicas: self.replicas.iter().filter(|replica| !replica.is_gone()).cloned().collect(),
            imports: self.imports.iter().filter(|import| !import.is_over()).cloned().collect(),
            patient: &self.fleet.hosts.keys().cloned().collect(),
            checking: &self.checking,
            blueprints: &self.blueprints,
            reports: &self.reports,
            wishes: &self.wishes,
            told: &told,
            history: &history,
        })
    }

    /// What a person has brought about is stored, and what follows from it.
    pub fn accept(&mut self, changes: Changes) {
        self.take(changes);
        self.look();
    }

    fn take(&mut self, changes: Changes) {
        for maintenance in changes.maintenances {
            self.maintenances.insert(maintenance.id, maintenance);
        }
        for (host, standing) in changes.standings {
            self.fleet.hosts.get_mut(&host).expect("a known host").standing = standing;
        }
        let ids: BTreeSet<_> = changes.migrations.iter().map(|migration| migration.id).collect();
        assert_eq!(ids.len(), changes.migrations.len(), "a migration is written twice");
        for migration in changes.migrations {
            self.migrations.retain(|known| known.id != migration.id);
            self.migrations.push(migration);
        }
        for replica in changes.replicas {
            self.replicas.retain(|known| known.id != replica.id);
            self.replicas.push(replica);
        }
        for import in changes.imports {
            self.imports.retain(|known| known.id != import.id);
            self.imports.push(import);
        }
        for spent in changes.blueprints_spent {
            assert!(self.blueprints.remove(&spent).is_some(), "a blueprint is spent that is not there");
        }
        for order in changes.begun {
            self.orders.insert(order.id, order);
        }
        self.wishes.extend(changes.wished);
        for ended in changes.ended {
            assert!(self.orders.remove(&ended).is_some(), "an order is ended that nobody gave");
            self.reports.remove(&ended);
            self.wishes.remove(&ended);
        }
        for notice in changes.notices {
            assert!(self.told.iter().all(|(key, _)| *key != notice.key), "told twice: {}", notice.key);
            self.told.push((notice.key, notice.tells));
        }
        for draft in changes.bulletins {
            let about = &self.maintenances[&draft.maintenance];
            let bulletin = Bulletin::new(NoticeId::draw(&self.ids), about, draft.says, self.now);
            if self.bulletins.iter().all(|known| known.key != bulletin.key) {
                self.bulletins.push(bulletin);
            }
        }
        self.log.extend(changes.events.iter().map(|event| format!("{}: {}", event.subject(), event.what)));
    }

    /// Time passes; every agent goes on being heard of.
    pub fn wait(&mut self, span: Span) {
        self.now += span.delta();
        for host in self.fleet.hosts.values_mut() {
            host.observed_at = self.now;
        }
        self.look();
    }

    pub fn migration(&self, server: &str) -> &Migration {
        let of = |migration: &&Migration| migration.server_name == server;
        self.migrations
            .iter()
            .filter(of)
            .max_by_key(|migration| migration.number)
            .expect("it has a migration")
    }

    pub fn state(&self, server: &str) -> &'static str {
        self.migration(server).state.name()
    }

    /// The order that is being carried out for a server.
    pub fn order_for(&self, server: &str) -> NewOperation {
        let operation = self.migration(server).state.operation().expect("something is being done for it");
        self.orders.get(&operation).expect("the order was given").clone()
    }

    pub fn report(&mut self, server: &str, report: Report) {
        let order = self.order_for(server);
        self.reports.insert(order.id, report);
        self.look();
    }

    /// The agents' inventories show it at its destination.
    pub fn leaves(&mut self, server: &str) {
        let order = self.order_for(server);
        let (id, to) = match &order.intent {
            Intent::Live { server, to, .. } | Intent::Reboot { server, to, .. } => (*server, to.clone()),
            other => panic!("it is not being moved: {other:?}"),
        };
        let mut sighting =
            self.fleet.sightings.get_mut(&order.host).and_then(|on| on.remove(&id)).expect("it is there");
        sighting.host = to.clone();
        self.fleet.sightings.entry(to).or_default().insert(id, sighting);
    }

    /// The agents do what is wanted for a server, and it is seen alive at its destination.
    pub fn moves(&mut self, server: &str) {
        let reboot = matches!(self.order_for(server).intent, Intent::Reboot { .. });
        self.leaves(server);
        let power_off = reboot.then_some(PowerOff::GuestAgent);
        self.report(server, Report::ended(Outcome::Moved(moved(power_off))));
        self.report(server, Report::Alive { sign: "it runs".to_owned(), looked: None });
    }

    /// An operator has it tried again.
    pub fn retry(&mut self, server: &str) {
        let id = self.migration(server).id;
        let migration = self.migrations.iter_mut().find(|migration| migration.id == id).expect("it is there");
        *migration = migration.clone().retry().expect("it has failed");
        self.look();
    }

    pub fn fails(&mut self, server: &str, class: FailureClass) {
        let failure = Failure { class, text: "so says libvirt".to_owned() };
        self.report(server, Report::ended(Outcome::stayed(failure)));
    }

    /// libvirt on a host is asked, and says that nothing is left.
    pub fn counts_nothing(&mut self, host: &str) {
        let asked = self
            .orders
            .values()
            .find(|order| order.host == host_name(host) && order.intent == Intent::ConfirmEmpty);
        let id = asked.expect("it is asked").id;
        self.reports.insert(id, Report::Counted { left: Vec::new(), at: self.now });
        self.look();
    }

    pub fn change(&mut self, host: &str, server: &str, change: impl FnOnce(&mut ServerFacts)) {
        let on = self.fleet.sightings.get_mut(&host_name(host)).expect("a host with servers");
        let found = on.values_mut().find(|seen| seen.facts.name == server).expect("the server is there");
        change(&mut found.facts);
        self.look();
    }

    /// The kinds of what an owner was told, in order.
    pub fn told(&self) -> Vec<&'static str> {
        self.told.iter().map(|(_, tells)| tells.kind()).collect()
    }
}

pub fn moved(power_off: Option<PowerOff>) -> Moved {
    Moved { sent_bytes: 1, downtime: Some(Span::milliseconds(40)), in_libvirt: None, power_off, tail: None }
}

pub fn transferring(iteration: u32, at: Instant) -> Progress {
    let mut progress = Progress::of(drover_policies::attempt::Phase::Transferring, at);
    progress.iteration = iteration;
    progress.total_bytes = 1 << 30;
    progress.remaining_bytes = 1 << 29;
    progress.expected_downtime_ms = 60_000;
    progress.allowed_downtime_ms = 100;
    progress
}
