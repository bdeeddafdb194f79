use std::num::NonZeroU32;

use drover_policies::ids::MaintenanceId;
use drover_policies::maintenance::{Kind, Rolling, Stage, Terms, Urgency, Warned};
use drover_policies::notices::Actor;
use uuid::Uuid;

use super::*;
use timeline::Band;

fn model() -> Model {
    Model {
        link: 1_000_000_000,
        dirty_rate: 8 << 20,
        fail_rate: 0.0,
        hook_fail_rate: 0.0,
        hook: Span::minutes(5),
    }
}

/// A maintenance of all of a fleet that is made up.
fn setup(hosts: usize, servers: usize, terms: Terms) -> Setup {
    let mut fleet = drawn::fleet(hosts, servers, 7).expect("they have room");
    drawn::equip(&mut fleet);
    let now = begins_at(&fleet);
    let by = Actor::Operator { name: "olga".to_owned() };
    let deadline = now + Span::days(14).delta();
    let maintenance = Maintenance {
        id: MaintenanceId(Uuid::from_u128(1)),
        number: 1,
        hosts: fleet.hosts.keys().map(|host| (host.clone(), Stage::Waiting)).collect(),
        reason: "kernel-update".to_owned(),
        deadline,
        warn_at: deadline - Span::days(1).delta(),
        warned: Warned::No,
        urgency: Urgency::Normal,
        requested_by: by.clone(),
        requested_at: now,
        state: State::Approved { at: now, by },
        rolling: Rolling { kind: Kind::Patch, terms, ..Rolling::default() },
    };
    Setup {
        fleet,
        policies: PolicySet::default(),
        owners: OwnersRules::default(),
        maintenance,
        dirty: BTreeMap::new(),
        model: model(),
        seed: 7,
        lasts: Span::days(30),
        every: Span::seconds(10),
        kills: 0,
    }
}

fn few_at_once() -> Terms {
    Terms { hosts_at_once: NonZeroU32::new(4), ..Terms::default() }
}

fn simulated(setup: Setup) -> Outcome {
    run(setup, |_| {})
}

#[test]
fn every_host_has_its_turn_and_every_server_is_moved_off_it() {
    let outcome = simulated(setup(12, 150, few_at_once()));
    let report = &outcome.report;
    assert_eq!((report.ended, report.done, report.failed), (Ended::Completed, 12, 0), "{report:#?}");
    assert!(report.moves.live + report.moves.reboot >= 150, "{:?}", report.moves);
    assert_eq!(report.overfull, 0, "a host carried more than it has");
    assert_eq!(report.deadline.hosts_late, 0);
    assert!(report.peaks.rate > 0 && report.live.longest > Span::ZERO);
    for row in &outcome.timeline.rows {
        let bands: Vec<Band> = row.bands.iter().map(|(_, band)| *band).collect();
        assert_eq!(bands, [Band::Waits, Band::Emptied, Band::Work, Band::Over], "{}", row.host);
    }
    let most = outcome.timeline.moments.iter().map(|moment| moment.hosts[2]).max();
    assert!(most <= Some(4), "{most:?} hosts were worked on at once");
}

#[test]
fn the_same_seed_gives_the_same_story_and_another_gives_another() {
    let one = simulated(setup(8, 80, few_at_once()));
    assert_eq!(one, simulated(setup(8, 80, few_at_once())));
    let mut other = setup(8, 80, few_at_once());
    other.seed = 8;
    assert_ne!(one.report.story, simulated(other).report.story);
}

#[test]
fn a_scheduler_that_is_killed_twenty_times_comes_to_the_same_end() {
    let harsh = || {
        let mut setup = setup(10, 120, few_at_once());
        setup.model.fail_rate = 0.1;
        setup
    };
    let spared = simulated(harsh());
    let killed = simulated(Setup { kills: 20, ..harsh() });
    assert_eq!((spared.killed, killed.killed), (0, 20));
    assert_eq!(spared.report, killed.report);
    assert_eq!(spared.timeline, killed.timeline);
    assert!(spared.report.moves.tries_failed > 0);
}

#[test]
fn a_server_that_writes_faster_than_it_can_be_sent_is_rebooted_at_a_time_of_its_owner() {
    let mut setup = setup(6, 30, few_at_once());
    setup.model.link = 50_000_000;
    setup.model.dirty_rate = 60 << 20;
    let report = simulated(setup).report;
    assert!(report.moves.fell_back > 0 && report.moves.reboot > 0, "{:?}", report.moves);
    assert_eq!(report.ended, Ended::Completed, "{:?}", report.left);
    // Its owner gets some days of notice.
    assert!(report.ended_at - report.began_at > Span::days(2).delta());
    let off: Span =
        report.owners.iter().map(|owner| owner.downtime.longest).max().expect("somebody owns them");
    assert!(off >= Span::seconds(1), "{off}");
}

#[test]
fn when_the_only_host_in_work_is_done_the_next_begins_at_once() {
    let mut setup = setup(3, 24, Terms { hosts_at_once: NonZeroU32::new(1), ..Terms::default() });
    for host in setup.fleet.hosts.keys().cloned().collect::<Vec<_>>() {
        for server in setup.fleet.sightings.get_mut(&host).into_iter().flat_map(|seen| seen.values_mut()) {
            // Its owner may have it taken back for a day: until then something is open.
            server.facts.rules.live_migration = Some(drover_policies::fleet::Allowance::Forbidden);
            server.facts.owner = None;
            server.facts.power = drover_policies::fleet::Power::Off;
        }
    }
    let outcome = simulated(setup);
    let stretch = |row: &timeline::Row, band| row.bands.iter().find(|(_, is)| *is == band).map(|(at, _)| *at);
    let mut begun: Vec<_> =
        outcome.timeline.rows.iter().filter_map(|row| stretch(row, Band::Emptied)).collect();
    let mut over: Vec<_> = outcome.timeline.rows.iter().filter_map(|row| stretch(row, Band::Over)).collect();
    begun.sort();
    over.sort();
    assert_eq!((begun.len(), over.len()), (3, 3), "{:?}", outcome.report.left);
    for (over, begun) in over.iter().zip(&begun[1..]) {
        assert!(*begun - *over <= Span::minutes(1).delta(), "{over} {begun}");
    }
}

#[test]
fn hooks_that_fail_halt_it_and_the_hosts_are_named() {
    let mut setup = setup(6, 30, few_at_once());
    setup.model.hook_fail_rate = 1.0;
    let outcome = simulated(setup);
    assert_eq!(outcome.report.ended, Ended::Halted);
    assert!(outcome.report.failed > 0);
    let failed = outcome.report.left.iter().find(|left| left.stage == "failed").expect("one has failed");
    assert!(failed.why.as_ref().is_some_and(|why| why.contains("exit status 1")), "{failed:?}");
}

#[test]
fn hosts_that_waited_for_owners_together_are_worked_on_though_more_are_empty_than_may_be_in_work() {
    let mut setup = setup(8, 40, Terms { hosts_at_once: NonZeroU32::new(2), ..Terms::default() });
    for host in setup.fleet.hosts.keys().cloned().collect::<Vec<_>>() {
        for server in setup.fleet.sightings.get_mut(&host).into_iter().flat_map(|seen| seen.values_mut()) {
            server.facts.rules.live_migration = Some(drover_policies::fleet::Allowance::Forbidden);
        }
    }
    let outcome = simulated(setup);
    assert_eq!(
        (outcome.report.ended, outcome.report.done),
        (Ended::Completed, 8),
        "{:?}",
        outcome.report.left
    );
}
