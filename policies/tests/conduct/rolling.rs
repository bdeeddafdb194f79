//! Maintenances over many hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use drover_policies::attempt::{FailureClass, Report};
use drover_policies::conduct::{Intent, NewOperation};
use drover_policies::fleet::{Ability, Allowance, Fleet, Power, ServerFacts};
use drover_policies::hooks::{Health, HookOutcome, HookOutput, HookRan};
use drover_policies::host::Standing;
use drover_policies::ids::{HookName, HostName, MaintenanceId};
use drover_policies::maintenance::{
    Because, InPart, Kind, Maintenance, Rolling, Stage, State, Step, Terms, Urgency, Warned, Which,
};
use drover_policies::maintenance::{Hint, Hooks};
use drover_policies::notices::Actor;
use drover_policies::samples::{Sample, gib, host_name};
use drover_policies::time::Span;

use crate::story::Story;

pub const NAMES: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];

pub fn operator() -> Actor {
    Actor::Operator { name: "olga".to_owned() }
}

/// Six hosts in three racks, each with three servers of 12 GiB, so that a host has room for two more.
pub fn six() -> Sample {
    let host = |sample: Sample, (at, name): (usize, &&str)| {
        sample.host(name, |host| {
            host.facts.labels.insert("rack".to_owned(), format!("r{}", at / 2 + 1));
            host.facts.abilities.insert(Ability::RunHooks);
            host.facts.hooks = [HookName::pre(), HookName::maintain(), HookName::post()].into();
            host.facts.boot_id = Some("boot-1".to_owned());
        })
    };
    let servers = |sample: Sample, name: &&str| {
        (1..=3).fold(sample, |sample, n| {
            sample.server(name, &format!("{name}-{n}"), |facts| facts.memory_bytes = gib(12))
        })
    };
    let hosts = NAMES.iter().enumerate().fold(Sample::new(), host);
    NAMES.iter().fold(hosts, servers)
}

pub fn at_once(most: u32) -> Terms {
    Terms { hosts_at_once: NonZeroU32::new(most), ..Terms::default() }
}

impl Story {
    pub fn draft(&mut self, hosts: &[&str], kind: Kind, terms: Terms) -> MaintenanceId {
        let id = MaintenanceId::draw(&self.ids);
        let deadline = self.now + Span::days(10).delta();
        let maintenance = Maintenance {
            id,
            number: 1,
            hosts: hosts.iter().map(|host| (host_name(host), Stage::Waiting)).collect(),
            reason: "kernel-update".to_owned(),
            deadline,
            warn_at: deadline - Span::days(1).delta(),
            warned: Warned::No,
            urgency: Urgency::Normal,
            requested_by: operator(),
            requested_at: self.now,
            state: State::Draft,
            rolling: Rolling { kind, terms, ..Rolling::default() },
        };
        self.maintenances.insert(id, maintenance);
        self.look();
        id
    }

    pub fn wish(&mut self, id: MaintenanceId, wish: impl FnOnce(Maintenance) -> Maintenance) {
        let before = self.maintenances.remove(&id).expect("it is there");
        self.maintenances.insert(id, wish(before));
        self.look();
    }

    pub fn approve(&mut self, id: MaintenanceId) {
        let now = self.now;
        self.wish(id, |it| it.approve(operator(), InPart::Refused, now).expect("it can be approved"));
    }

    pub fn patch(&mut self, hosts: &[&str], terms: Terms) -> MaintenanceId {
        let id = self.draft(hosts, Kind::Patch, terms);
        self.approve(id);
        id
    }

    pub fn stage(&self, id: MaintenanceId, host: &str) -> &Stage {
        &self.maintenances[&id].hosts[&host_name(host)]
    }

    pub fn in_work(&self, id: MaintenanceId) -> Vec<String> {
        let hosts = self.maintenances[&id].hosts_at(|stage| stage.is_in_work(Kind::Patch));
        hosts.map(ToString::to_string).collect()
    }

    fn order_of(&self, host: &str) -> Option<NewOperation> {
        let mut orders = self.orders.values();
        orders.find(|order| order.host == host_name(host) && order.migration.is_none()).cloned()
    }

    /// What runs on a host says how it ended.
    pub fn hook_ends(&mut self, host: &str, outcome: HookOutcome) {
        let order = self.order_of(host).expect("a hook runs");
        assert!(matches!(order.intent, Intent::RunHook { .. }), "{order:?}");
        let output = HookOutput { text: "so it said".to_owned(), dropped_bytes: 0 };
        let ran = HookRan { outcome, output, took: Span::minutes(2) };
        self.reports.insert(order.id, Report::HookRan(ran));
        self.look();
    }

    /// Everything is done that can be, until a host is at a hook, or nothing is left to do.
    pub fn until_hooks(&mut self) {
        loop {
            let moving: Vec<String> = self
                .migrations
                .iter()
                .filter(|migration| migration.is_moving())
                .map(|migration| migration.server_name.clone())
                .collect();
            let asked = self.orders.values().find(|order| order.intent == Intent::ConfirmEmpty).cloned();
            match (moving.first(), asked) {
                (Some(server), _) => self.moves(server),
                (None, Some(order)) => self.counts_nothing(order.host.as_str()),
                (None, None) => return,
            }
        }
    }

    /// Every hook and question on a host ends well.
    pub fn passes(&mut self, host: &str) {
        for _ in Step::ALL {
            let Some(order) = self.order_of(host) else { return };
            match order.intent {
                Intent::RunHook { .. } => self.hook_ends(host, HookOutcome::Succeeded),
                Intent::CheckHealth { .. } => {
                    let boot_id = Some("boot-2".to_owned());
                    let health = Health {
                        libvirt_version: 11_004_000,
                        qemu_version: 10_000_002,
                        boot_id,
                        at: self.now,
                    };
                    self.reports.insert(order.id, Report::Healthy(health));
                    self.look();
                }
                _ => return,
            }
        }
    }

    /// Carries on until everything that can be done is done; never more than `most` hosts are in work.
    pub fn run_out(&mut self, id: MaintenanceId, most: usize) {
        for _ in 0..40 {
            self.until_hooks();
            let working = self.in_work(id);
            assert!(working.len() <= most, "{working:?}");
            let Some(host) = working.into_iter().find(|host| self.order_of(host).is_some()) else { return };
            self.passes(&host);
        }
        panic!("it does not end:\n{}", self.log.join("\n"));
    }

    pub fn logged(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

pub fn moves_of(story: &Story) -> BTreeMap<String, usize> {
    story.migrations.iter().fold(BTreeMap::new(), |mut moves, migration| {
        *moves.entry(migration.server_name.clone()).or_default() += 1;
        moves
    })
}

#[test]
fn a_draft_shows_its_waves_and_touches_nothing() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&NAMES, Kind::Patch, at_once(2));
    let drafted = &story.maintenances[&id];
    assert_eq!(drafted.state, State::Planned);
    let planned: BTreeSet<&HostName> = drafted.rolling.waves.hosts().map(|(_, host)| host).collect();
    assert_eq!(planned.len(), 6);
    assert!(drafted.rolling.waves.ahead.len() >= 3, "{:?}", drafted.rolling.waves.ahead);
    assert!(story.migrations.is_empty() && story.orders.is_empty());
    assert!(story.fleet.hosts.values().all(|host| host.standing == Standing::Open));
    story.wait(Span::hours(3));
    assert!(story.migrations.is_empty(), "nobody has approved it");
}

#[test]
fn all_hosts_are_patched_two_at_a_time_and_come_back() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&NAMES, at_once(2));
    story.run_out(id, 2);
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    assert!(story.fleet.hosts.values().all(|host| host.standing == Standing::Open));
    let moves = moves_of(&story);
    let twice = moves.values().filter(|moves| **moves > 1).count();
    assert!(moves.values().all(|moves| *moves <= 2) && twice <= 6, "{moves:?}");
    assert!(story.logged("booted anew, libvirt 11.4.0 instead of 11.3.0"), "{}", story.log.join("\n"));
}

#[test]
fn with_room_elsewhere_every_server_moves_once() {
    let spare = |host: &mut drover_policies::fleet::Host| host.facts.memory_bytes = gib(256);
    let fleet = six().host("spare", spare).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.patch(&NAMES, at_once(3));
    story.run_out(id, 3);
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }));
    assert!(moves_of(&story).values().all(|moves| *moves == 1), "{:?}", moves_of(&story));
}

#[test]
fn a_host_that_can_hold_nobody_else_is_not_emptied_before_there_is_room() {
    // One host is empty: each takes its turn onto the one that was done before.
    let mut sample = Sample::new();
    for name in ["h1", "h2", "h3"] {
        sample = sample.host(name, |_| {});
        if name != "h1" {
            sample = sample.server(name, &format!("big-{name}"), |facts| facts.memory_bytes = gib(60));
        }
    }
    let mut story = Story::new(sample.fleet(), "");
    let terms = Terms { hooks: Hooks::None, ..Terms::default() };
    let id = story.patch(&["h1", "h2", "h3"], terms);
    story.run_out(id, 2);
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    assert_eq!(moves_of(&story).values().copied().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn of_one_rack_no_two_are_in_work() {
    let mut story = Story::new(six().fleet(), "");
    let one = NonZeroU32::new(1).expect("it is not zero");
    let terms = Terms { per: [("rack".to_owned(), one)].into(), ..Terms::default() };
    let id = story.patch(&NAMES, terms);
    for _ in 0..12 {
        story.until_hooks();
        let racks: Vec<String> = story
            .in_work(id)
            .iter()
            .map(|host| story.fleet.hosts[&host_name(host)].facts.labels["rack"].clone())
            .collect();
        let different: BTreeSet<&String> = racks.iter().collect();
        assert_eq!(different.len(), racks.len(), "{racks:?}");
        let Some(host) = story.in_work(id).first().cloned() else { break };
        story.passes(&host);
    }
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }));
}

#[test]
fn the_order_that_is_wished_is_kept() {
    let mut story = Story::new(six().fleet(), "");
    let which = |text: &str| text.parse::<Which>().expect("a host or a label");
    let hints = vec![
        Hint { hosts: which("rack=r1"), after: which("rack=r3") },
        Hint { hosts: which("h5"), after: which("h6") },
    ];
    let id = story.patch(&NAMES, Terms { hints, ..at_once(1) });
    story.run_out(id, 1);
    let turn = |host: &str| story.maintenances[&id].rolling.turns[&host_name(host)].began_at;
    let began = |host: &str| {
        story
            .log
            .iter()
            .position(|line| line.starts_with(&format!("{host}: its turn has come")))
            .expect("it began")
    };
    assert!(turn("h6") <= turn("h5"));
    assert!(began("h6") < began("h5") && began("h5") < began("h1") && began("h5") < began("h2"));
}

#[test]
fn a_hook_that_fails_lets_no_other_host_begin_and_the_rest_goes_on() {
    let mut story = Story::new(six().host("spare", |host| host.facts.memory_bytes = gib(256)).fleet(), "");
    let id = story.patch(&NAMES, at_once(2));
    story.until_hooks();
    let working = story.in_work(id);
    let (bad, good) = (working[0].clone(), working[1].clone());
    story.hook_ends(&bad, HookOutcome::Succeeded);
    story.hook_ends(&bad, HookOutcome::Failed { exit: Some(1), signal: None });
    assert!(matches!(story.stage(id, &bad), Stage::Failed { step: Step::Maintain, .. }));
    assert_eq!(story.in_work(id), std::slice::from_ref(&good), "no other has begun");
    assert!(story.logged("no further host begins"), "{}", story.log.join("\n"));
    story.passes(&good);
    assert!(matches!(story.stage(id, &good), Stage::Done { .. }));
    assert!(matches!(story.maintenances[&id].state, State::Paused { by: Actor::Drover, .. }));
    assert!(!story.fleet.hosts[&host_name(&bad)].standing.takes_servers(), "it is kept out of service");

    let now = story.now;
    story.wish(id, |it| it.retry_host(&host_name(&bad), now).expect("it has failed").0);
    let order = story.order_of(&bad).expect("it is tried again");
    assert!(matches!(order.intent, Intent::RunHook { attempt: 2, .. }), "{order:?}");
    assert_eq!(story.maintenances[&id].state, State::Running, "nobody else has paused it");
    story.run_out(id, 2);
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }));
}

#[test]
fn as_many_may_fail_as_the_terms_say_and_then_it_has_failed() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1", "h2"], Terms { max_failed_hosts: 1, ..at_once(1) });
    for _ in 0..2 {
        story.until_hooks();
        let working = story.in_work(id);
        story.hook_ends(&working[0], HookOutcome::TimedOut { after: Span::minutes(30) });
    }
    assert!(matches!(story.maintenances[&id].state, State::Failed { .. }), "{}", story.log.join("\n"));
    let (now, host) = (story.now, host_name("h1"));
    story.wish(id, |it| it.skip_host(&host, operator(), now).expect("it can be left out"));
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "one may fail");
    assert_eq!(story.fleet.hosts[&host].standing, Standing::Open);
}

#[test]
fn exit_code_70_leaves_the_host_out_and_goes_on() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1", "h2"], at_once(1));
    story.until_hooks();
    let first = story.in_work(id)[0].clone();
    story.hook_ends(&first, HookOutcome::Skip);
    assert!(matches!(story.stage(id, &first), Stage::Skipped { .. }));
    assert_eq!(story.fleet.hosts[&host_name(&first)].standing, Standing::Open);
    story.run_out(id, 1);
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }));
    assert!(story.logged("1 left out"), "{}", story.log.join("\n"));
}

#[test]
fn a_host_whose_agent_does_not_come_back_has_failed() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1"], Terms { return_within: Span::minutes(20), ..Terms::default() });
    story.until_hooks();
    story.hook_ends("h1", HookOutcome::Succeeded);
    story.now += Span::minutes(19).delta();
    story.look();
    assert!(matches!(story.stage(id, "h1"), Stage::Working { step: Step::Maintain, .. }));
    story.now += Span::minutes(2).delta();
    story.look();
    let Stage::Failed { why, .. } = story.stage(id, "h1") else { panic!("{}", story.log.join("\n")) };
    assert!(why.contains("nothing has been heard of its agent for 20m"), "{why}");
    assert!(story.order_of("h1").is_none(), "nobody waits for that hook any more");
}

#[test]
fn a_host_that_was_opened_while_it_had_failed_is_emptied_before_it_is_tried_again() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1"], Terms::default());
    story.until_hooks();
    story.hook_ends("h1", HookOutcome::Lost { why: "the agent died".to_owned() });
    story.fleet.hosts.get_mut(&host_name("h1")).expect("h1").standing = Standing::Open;
    let now = story.now;
    story.wish(id, |it| it.retry_host(&host_name("h1"), now).expect("it has failed").0);
    assert!(matches!(story.stage(id, "h1"), Stage::Confirming { .. } | Stage::Draining));
    assert!(matches!(story.fleet.hosts[&host_name("h1")].standing, Standing::Draining { .. }));
}

#[test]
fn a_host_whose_servers_wait_for_their_owner_comes_late_and_blocks_nobody() {
    let forbids = |facts: &mut ServerFacts| facts.rules.live_migration = Some(Allowance::Forbidden);
    let fleet = six().server("h1", "db", forbids).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&NAMES, Kind::Patch, at_once(1));
    let last = story.maintenances[&id].rolling.waves.ahead.last().cloned().expect("waves");
    assert_eq!((last.hosts, last.because), (vec![host_name("h1")], Because::Owners { servers: 1 }));
    story.approve(id);
    story.run_out(id, 1);
    let done = story.maintenances[&id].hosts_at(|stage| matches!(stage, Stage::Done { .. })).count();
    assert_eq!(done, 5, "{}", story.log.join("\n"));
    assert_eq!(story.state("db"), "ready");
}

#[test]
fn while_all_that_began_waits_for_an_owner_the_next_host_begins_though_servers_move_twice() {
    let names = ["h1", "h2", "h3", "h4"];
    let sample = names.iter().fold(Sample::new().hosts(&names), |sample, host| {
        sample.server(host, &format!("of-{host}"), |facts| facts.memory_bytes = gib(24))
    });
    let mut story = Story::new(sample.fleet(), "");
    let id = story.patch(&names, at_once(2));
    let begun = |story: &Story| -> Vec<HostName> {
        story.maintenances[&id].hosts_at(|stage| *stage != Stage::Waiting).cloned().collect()
    };
    let first = begun(&story);
    assert_eq!(first.len(), 1, "{first:?}");
    story.look();
    assert_eq!(begun(&story), first, "for the next one there is room when it is done");
    let server = format!("of-{}", first[0]);
    while story.state(&server) == "transferring" || story.state(&server) == "preflight" {
        story.fails(&server, FailureClass::NotConverging);
        story.wait(Span::hours(1));
    }
    assert_eq!(story.state(&server), "ready");
    assert!(begun(&story).len() > 1, "{}", story.log.join("\n"));
}

#[test]
fn a_cluster_without_room_keeps_no_other_cluster_from_its_turn() {
    let names = ["a1", "a2", "b1", "b2"];
    let fill = |sample: Sample, name: &str| {
        // Those of the first cluster have no room for each other's servers.
        let (cluster, memory) = if name.starts_with('a') { ("a", 40) } else { ("b", 8) };
        sample.host(name, |host| host.facts.cluster = cluster.to_owned()).server(
            name,
            &format!("of-{name}"),
            |facts| facts.memory_bytes = gib(memory),
        )
    };
    let fleet = names.into_iter().fold(Sample::new(), fill).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&names, Kind::Patch, Terms { hooks: Hooks::None, ..at_once(1) });
    let now = story.now;
    story.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("the rest can be done"));
    story.run_out(id, 1);
    for host in ["b1", "b2"] {
        assert!(matches!(story.stage(id, host), Stage::Done { .. }), "{}", story.log.join("\n"));
    }
    assert!(matches!(story.stage(id, "a1"), Stage::Waiting));
    assert!(story.logged("finds no place"), "{}", story.log.join("\n"));
}

#[test]
fn what_is_in_the_way_is_named_and_has_to_be_accepted() {
    let held = |facts: &mut ServerFacts| facts.power = Power::Held;
    let fleet = six().server("h2", "stuck", held).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&NAMES, Kind::Patch, Terms::default());
    let planned = story.maintenances[&id].clone();
    let refused = planned.approve(operator(), InPart::Refused, story.now).expect_err("in part").to_string();
    assert!(refused.contains("h2: stuck can't leave") && refused.contains("--anyway"), "{refused}");
}

#[test]
fn a_deadline_before_any_window_is_named_with_one_that_would_do() {
    let forbids = |facts: &mut ServerFacts| facts.rules.live_migration = Some(Allowance::Forbidden);
    let fleet = six().server("h1", "db", forbids).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&["h1", "h2"], Kind::Patch, Terms::default());
    let mut early = story.maintenances[&id].clone();
    early.deadline = story.now + Span::days(1).delta();
    let waves = story.question(|situation| drover_policies::conduct::waves_of(situation, &early));
    let last = waves.last().expect("waves").because.to_string();
    assert!(last.contains("db can't leave: its owner's windows have no time between"), "{last}");
    assert!(last.contains("a deadline some hours after 2026-01-08 22:00 UTC would do"), "{last}");
}

#[test]
fn lack_of_room_is_told_with_the_server_and_what_is_missing() {
    let full = |sample: Sample, name: &&str| {
        let big = |facts: &mut ServerFacts| facts.memory_bytes = gib(40);
        sample.host(name, |_| {}).server(name, &format!("big-{name}"), big)
    };
    let fleet: Fleet = ["h1", "h2", "h3"].iter().fold(Sample::new(), full).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&["h1", "h2"], Kind::Drain, Terms::default());
    let planned = story.maintenances[&id].clone();
    let refused = planned.approve(operator(), InPart::Refused, story.now).expect_err("no room").to_string();
    assert!(refused.contains("big-h1") && refused.contains("memory"), "{refused}");
    assert!(refused.contains("--anyway"), "{refused}");
    let now = story.now;
    story.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("what can be done"));
    assert!(story.logged("no further host can begin"), "{}", story.log.join("\n"));
    assert!(story.migrations.is_empty());
}

#[test]
fn when_a_host_falls_silent_the_rest_is_planned_anew_and_it_says_why() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&NAMES, at_once(1));
    let last =
        story.maintenances[&id].rolling.waves.hosts().last().map(|(_, host)| host.clone()).expect("one");
    story.now += Span::minutes(30).delta();
    for host in story.fleet.hosts.values_mut().filter(|host| host.name != last) {
        host.observed_at = story.now;
    }
    story.look();
    assert!(
        story.logged(&format!("planned anew, as {last} can't be used any more")),
        "{}",
        story.log.join("\n")
    );
    let wave = story.maintenances[&id].rolling.waves.of(&last).map(|wave| wave.because.clone());
    assert_eq!(wave, Some(Because::Silent));
}

#[test]
fn its_own_limits_of_migrations_are_kept_beside_policys() {
    let mut story = Story::new(six().fleet(), "");
    let terms = Terms { live_out_per_host: NonZeroU32::new(1), ..at_once(1) };
    let id = story.draft(&NAMES, Kind::Patch, terms);
    story.approve(id);
    let moving = story.migrations.iter().filter(|migration| migration.is_moving()).count();
    assert_eq!((moving, story.migrations.len()), (1, 3), "policy alone would allow two");
}

#[test]
fn a_pause_between_hosts_is_kept() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1", "h2"], Terms { pause_between: Span::minutes(5), ..at_once(1) });
    story.until_hooks();
    let first = story.in_work(id)[0].clone();
    story.passes(&first);
    assert!(story.in_work(id).is_empty());
    story.wait(Span::minutes(4));
    assert!(story.in_work(id).is_empty());
    story.wait(Span::minutes(2));
    assert_eq!(story.in_work(id).len(), 1);
}

#[test]
fn decommissioned_hosts_stay_out_of_service() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&["h1"], Kind::Decommission, Terms::default());
    story.approve(id);
    story.until_hooks();
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    let standing = &story.fleet.hosts[&host_name("h1")].standing;
    assert!(matches!(standing, Standing::Cordoned { reason, .. } if reason.contains("decommissioned")));
}

#[test]
fn what_an_operator_had_cordoned_is_cordoned_again_afterwards() {
    let reason = "flaky memory".to_owned();
    let mut story = Story::new(six().fleet(), "");
    let before = Standing::Cordoned { reason, since: story.now };
    story.fleet.hosts.get_mut(&host_name("h1")).expect("h1").standing = before.clone();
    let id = story.patch(&["h1"], Terms::default());
    story.until_hooks();
    story.passes("h1");
    assert!(matches!(story.stage(id, "h1"), Stage::Done { .. }), "{}", story.log.join("\n"));
    assert_eq!(story.fleet.hosts[&host_name("h1")].standing, before);
}

#[test]
fn a_host_that_is_left_out_in_the_middle_keeps_its_servers() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&NAMES, at_once(1));
    let host = story.in_work(id)[0].clone();
    let (now, name) = (story.now, host_name(&host));
    story.wish(id, |it| it.skip_host(&name, operator(), now).expect("it can be left out"));
    let aborted = story.wishes.len();
    assert!(aborted > 0, "what moves is called off");
    let moving: Vec<String> = story
        .migrations
        .iter()
        .filter(|migration| migration.is_moving())
        .map(|migration| migration.server_name.clone())
        .filter(|server| server.starts_with(&host))
        .collect();
    for server in moving {
        story.fails(&server, drover_policies::attempt::FailureClass::Aborted);
    }
    assert_eq!(story.fleet.hosts[&name].standing, Standing::Open, "{}", story.log.join("\n"));
    assert_eq!(story.fleet.on(&name).count(), 3);
}

#[test]
fn cancelled_while_a_hook_runs_it_is_not_opened_by_itself() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&["h1"], Terms::default());
    story.until_hooks();
    let now = story.now;
    story.wish(id, |it| it.cancel(operator(), now).expect("it is open"));
    assert!(story.maintenances[&id].goes_on(), "the hook runs on");
    story.hook_ends("h1", HookOutcome::Succeeded);
    assert!(matches!(story.stage(id, "h1"), Stage::Failed { .. }));
    assert!(!story.maintenances[&id].goes_on());
    assert!(!story.fleet.hosts[&host_name("h1")].standing.takes_servers());
}

#[test]
fn of_hosts_that_came_to_be_empty_together_one_is_worked_on_and_then_the_next() {
    let mut story = Story::new(six().fleet(), "");
    for host in ["h1", "h2"] {
        story.fleet.sightings.remove(&host_name(host));
    }
    let id = story.draft(&["h1", "h2"], Kind::Patch, at_once(1));
    let now = story.now;
    for host in ["h1", "h2"] {
        let known = story.fleet.hosts.get_mut(&host_name(host)).expect("a known host");
        known.standing = Standing::Drained { maintenance: id, at: now };
    }
    story.wish(id, |mut it| {
        it.hosts.values_mut().for_each(|stage| *stage = Stage::Drained { at: now });
        Maintenance { state: State::Running, ..it }
    });
    assert!(matches!(story.stage(id, "h1"), Stage::Working { .. }), "each waits for the other");
    assert!(matches!(story.stage(id, "h2"), Stage::Drained { .. }), "two are worked on at once");
    story.passes("h1");
    assert!(matches!(story.stage(id, "h2"), Stage::Working { .. }), "{:?}", story.stage(id, "h2"));
}
