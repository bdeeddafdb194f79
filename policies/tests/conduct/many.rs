//! Ten thousand at once.

use std::collections::BTreeSet;

use drover_policies::conduct::{Intent, NewOperation};
use drover_policies::fleet::Allowance;
use drover_policies::maintenance::Urgency;
use drover_policies::samples::Sample;
use drover_policies::time::Span;

use crate::story::Story;

const HOSTS: usize = 100;
const ON_EACH: usize = 100;

/// What costs a look at everything for each of everything would not come to an end here in a test's time.
#[test]
fn ten_thousand_windows_that_open_in_the_same_second_are_all_ordered_half_a_minute_ahead_and_none_before() {
    let from: Vec<String> = (0..HOSTS).map(|host| format!("a{host:03}")).collect();
    let to: Vec<String> = (0..HOSTS).map(|host| format!("b{host:03}")).collect();
    let names: Vec<&str> = from.iter().chain(&to).map(String::as_str).collect();
    let mut sample = Sample::new().hosts(&names);
    for (index, host) in from.iter().enumerate() {
        for server in 0..ON_EACH {
            let name = format!("s{index:03}-{server:03}");
            sample = sample.server(host, &name, |facts| {
                facts.rules.live_migration = Some(Allowance::Forbidden);
                facts.memory_bytes = 64 << 20;
                facts.vcpus = 1;
            });
        }
    }
    let policy =
        "[limits]\nreboots_per_host = 1000\n[placement]\nvcpu_overcommit = 1000.0\nmemory_overhead = 0\n";
    let mut story = Story::new(sample.fleet(), policy);
    let hosts: Vec<&str> = from.iter().map(String::as_str).collect();
    story.drain(&hosts, Urgency::Normal);
    let slots: BTreeSet<_> = story
        .migrations
        .iter()
        .map(|migration| migration.appointment.slot().expect("a time").start)
        .collect();
    let opens = *slots.first().expect("a time");
    assert_eq!((story.migrations.len(), slots.len()), (HOSTS * ON_EACH, 1), "all at the same time");
    for host in story.fleet.hosts.values_mut() {
        host.observed_at = opens;
    }
    story.now = opens - Span::milliseconds(30_001).delta();
    assert_eq!(story.decide().begun.len(), 0, "none while its owner could move it");
    story.now = opens - Span::seconds(30).delta();
    let begun = story.decide().begun;
    let waits = |order: &&NewOperation| matches!(order.intent, Intent::Reboot { within: Some(within), .. } if within.not_before == opens);
    assert_eq!(begun.iter().filter(waits).count(), HOSTS * ON_EACH, "all at the same time, by their agents");
}
