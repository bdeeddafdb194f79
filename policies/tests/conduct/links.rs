//! What a maintenance's migrations may send together, and what goes through links that hosts share.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use drover_policies::conduct::{Intent, ahead_of};
use drover_policies::maintenance::{Kind, Terms, label_of};
use drover_policies::migration::{Migration, Waiting};

use crate::rolling::{NAMES, at_once, six};
use crate::story::Story;

const MIB: u64 = 1 << 20;

/// Nothing but links keeps a migration from being begun.
const WIDE: &str = "[limits]\nlive_out_per_host = 50\nlive_in_per_host = 50\nlive_per_cluster = 100\n";

fn moving(story: &Story) -> Vec<&Migration> {
    story.migrations.iter().filter(|migration| migration.is_moving()).collect()
}

fn waits(story: &Story) -> Vec<&str> {
    let turn = |migration: &Migration| match migration.state.waits_for() {
        Some(Waiting::Turn { limit }) => Some(limit.clone()),
        _ => None,
    };
    let limits = story.migrations.iter().filter(|migration| turn(migration).is_some());
    limits.map(|migration| migration.server_name.as_str()).collect()
}

fn rate(story: &Story, server: &str) -> Option<u64> {
    match story.order_for(server).intent {
        Intent::Live { rate, .. } => rate,
        other => panic!("it does not go live: {other:?}"),
    }
}

#[test]
fn a_maintenance_gives_each_migration_its_share_and_the_others_wait() {
    let mut story = Story::new(six().fleet(), WIDE);
    let terms = Terms { bandwidth: NonZeroU64::new(200 * MIB), ..at_once(1) };
    let id = story.draft(&NAMES, Kind::Patch, terms);
    story.approve(id);
    let begun: Vec<String> = moving(&story).iter().map(|migration| migration.server_name.clone()).collect();
    assert_eq!(begun.len(), 2, "one takes a gigabit, so two share it: {}", story.log.join("\n"));
    for server in &begun {
        assert_eq!(rate(&story, server), Some(100 * MIB));
        assert_eq!(story.migration(server).attempts.last().expect("a try").rate, Some(100 * MIB));
    }
    let waiting: Vec<String> = waits(&story).into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(waiting.len(), 1);
    let state = &story.migration(&waiting[0]).state;
    let Some(Waiting::Turn { limit }) = state.waits_for() else { panic!("{state:?}") };
    assert_eq!(limit, "200 of 200 MiB/s are given away in its maintenance (bandwidth)");
    story.moves(&begun[0]);
    assert!(story.migration(&waiting[0]).is_moving(), "{}", story.log.join("\n"));
}

#[test]
fn what_policy_lets_one_migration_have_decides_how_many_share_and_without_limits_nothing_is_given() {
    let mut story = Story::new(six().fleet(), &format!("{WIDE}[live]\nbandwidth = 41943040\n"));
    let terms = Terms { bandwidth: NonZeroU64::new(100 * MIB), ..at_once(1) };
    let id = story.draft(&NAMES, Kind::Patch, terms);
    story.approve(id);
    let begun: Vec<&str> = moving(&story).iter().map(|migration| migration.server_name.as_str()).collect();
    assert_eq!(begun.len(), 3);
    assert!(begun.iter().all(|server| rate(&story, server) == Some(33 * MIB)), "in whole MiB");

    let mut story = Story::new(six().fleet(), WIDE);
    let id = story.draft(&NAMES, Kind::Patch, at_once(1));
    story.approve(id);
    let begun: Vec<&str> = moving(&story).iter().map(|migration| migration.server_name.as_str()).collect();
    assert!(begun.len() == 3 && begun.iter().all(|server| rate(&story, server).is_none()));
}

#[test]
fn a_clusters_limit_counts_those_of_every_maintenance() {
    let policy = format!("{WIDE}bandwidth_per_cluster = 125829120\n");
    let mut story = Story::new(six().fleet(), &policy);
    let id = story.draft(&["h1"], Kind::Drain, at_once(1));
    story.approve(id);
    story.drain(&["h2"], drover_policies::maintenance::Urgency::Normal);
    assert_eq!(moving(&story).len(), 2, "60 MiB/s each: {}", story.log.join("\n"));
    assert_eq!(waits(&story).len(), story.migrations.len() - 2);
}

#[test]
fn an_uplink_is_shared_by_all_that_goes_through_it_and_by_nothing_that_stays_below() {
    let policy = format!("{WIDE}[limits.uplinks]\nrack = 125829120\n");
    let mut story = Story::new(six().fleet(), &policy);
    let wider = [("rack".to_owned(), NonZeroU64::new(1 << 40).expect("it is not zero"))].into();
    let hosts = Terms { hosts_at_once: NonZeroU32::new(2), uplinks: wider, ..Terms::default() };
    let id = story.draft(&NAMES, Kind::Patch, hosts);
    story.approve(id);
    let rack = |host| label_of(&story.fleet, host, "rack").expect("it has one").clone();
    let mut sent: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for migration in moving(&story) {
        let (from, to) = (rack(&migration.from), rack(migration.to().expect("a place")));
        let rate = rate(&story, &migration.server_name);
        assert_eq!(rate, (from != to).then_some(60 * MIB), "{from} to {to}");
        for way in [(from, "out"), (to, "in")] {
            *sent.entry(way).or_default() += rate.unwrap_or(0);
        }
    }
    assert!(sent.values().all(|sent| *sent <= 120 * MIB), "{sent:?}");
    assert!(sent.values().any(|sent| *sent == 120 * MIB), "all of it is used: {sent:?}");
    assert!(!waits(&story).is_empty(), "{}", story.log.join("\n"));
}

#[test]
fn a_plan_reckons_with_them() {
    let mut story = Story::new(six().fleet(), WIDE);
    let mut expected = |terms: Terms| {
        let id = story.draft(&NAMES, Kind::Patch, terms);
        let time = story.question(|situation| ahead_of(situation, &story.maintenances[&id])).effort.time;
        story.maintenances.remove(&id);
        time.expect("a time")
    };
    let free = expected(Terms::default());
    let limited = expected(Terms { bandwidth: NonZeroU64::new(100 * MIB), ..Terms::default() });
    let uplinks = [("rack".to_owned(), NonZeroU64::new(100 * MIB).expect("it is not zero"))].into();
    let through = expected(Terms { uplinks, ..Terms::default() });
    assert_eq!((limited.rate, through.rate), (100 * MIB, 100 * MIB));
    assert!(free.expected < through.expected && through.least <= limited.least, "{free:?} {through:?}");
    // Eighteen servers of 12 GiB, one after the other, and an eighth of that rate is what they write meanwhile.
    let sending = std::time::Duration::from_secs(18 * 12 * 1024 / 100 * 8 / 7);
    assert!(limited.least.0 >= sending, "{limited:?}");
}
