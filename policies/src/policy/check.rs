//! What a policy may not say although every key by itself is of the right type.

use std::collections::BTreeSet;

use super::{BlueprintPolicy, LadderPolicy, Policy, ReplicationPolicy, TestPolicy, WindowPolicy};
use crate::blueprint::is_network;
use crate::checks::{LONGEST_WITHIN, MOST_CHECKS};
use crate::estimate::expected_reboot;
use crate::time::Span;

/// QEMU accepts no longer downtime.
const LONGEST_DOWNTIME: Span = Span::seconds(2000);
/// More than that cost both ends more than they bring.
const MOST_CONNECTIONS: u32 = 16;

/// A guest that is to keep more than that would hold the copying back for every flutter of its own.
const MOST_GUEST_SHARE: f64 = 0.95;

/// libvirt takes bandwidths in MiB per second, and 0 as no limit.
pub const LEAST_BANDWIDTH: u64 = 1 << 20;

/// Something senseless, and the keys that make it so, the likeliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) keys: Vec<String>,
    pub(super) wrong: String,
    pub(super) right: String,
}

#[derive(Default)]
struct Objections(Vec<Objection>);

impl Objections {
    fn unless(&mut self, fine: bool, keys: &[&str], say: impl FnOnce() -> (String, String)) {
        if !fine {
            let (wrong, right) = say();
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            self.0.push(Objection { keys, wrong, right });
        }
    }

    fn counts(&mut self, key: &str, count: u32, right: &str) {
        self.unless(count > 0, &[key], || ("0 would let nothing happen ever".to_owned(), right.to_owned()));
    }

    fn lasts(&mut self, key: &str, span: Span) {
        self.unless(span > Span::ZERO, &[key], || {
            ("no time at all".to_owned(), "write a length above zero, such as \"30s\"".to_owned())
        });
    }
}

/// Everything senseless about a policy. Empty for one that can be worked with.
pub(super) fn objections(policy: &Policy) -> Vec<Objection> {
    let mut found = Objections::default();
    notice(policy, &mut found);
    limits(policy, &mut found);
    ladder(&policy.live.ladder, &mut found);
    reboot_and_retry(policy, &mut found);
    replication(&policy.replication, &mut found);
    test(&policy.test, &mut found);
    blueprint(&policy.blueprint, &mut found);
    validation(policy, &mut found);
    windows(&policy.windows, &mut found, expected_reboot(&policy.reboot, &[]).downtime_p90);
    the_rest(policy, &mut found);
    found.0
}

fn notice(policy: &Policy, found: &mut Objections) {
    let reminders = &policy.notice.reminders;
    found.unless(reminders.iter().all(|span| *span > Span::ZERO), &["notice.reminders"], || {
        let right = "leave it out; the start of the migration is told of anyway";
        ("a reminder at the appointment itself reminds of nothing".to_owned(), right.to_owned())
    });
    found.unless(
        reminders.iter().collect::<BTreeSet<_>>().len() == reminders.len(),
        &["notice.reminders"],
        || ("the same reminder twice".to_owned(), "name each once".to_owned()),
    );
    let deadline = policy.maintenance.deadline;
    let by_reason = policy.notice.lead_by_reason.iter();
    let leads = by_reason.map(|(reason, lead)| (format!("notice.lead_by_reason.{reason}"), *lead));
    for (key, lead) in leads.chain([("notice.lead".to_owned(), policy.notice.lead)]) {
        found.unless(lead < deadline, &[&key, "maintenance.deadline"], || {
            (
                format!(
                    "a lead of {lead} fits into no maintenance: its deadline is {deadline} after the request"
                ),
                "make the lead shorter or maintenance.deadline longer".to_owned(),
            )
        });
    }
}

fn limits(policy: &Policy, found: &mut Objections) {
    let limits = &policy.limits;
    let right = "write 1 or more; to keep servers from being migrated live, set live.allowed = false";
    found.counts("limits.live_out_per_host", limits.live_out_per_host, right);
    found.counts("limits.live_in_per_host", limits.live_in_per_host, right);
    found.counts("limits.live_per_cluster", limits.live_per_cluster, right);
    found.counts("limits.reboots_per_host", limits.reboots_per_host, "write 1 or more");
    found.counts("live.attempts", policy.live.attempts, right);
    let too_little =
        |bandwidth: u64| format!("{bandwidth} bytes per second is less than libvirt can count (1 MiB)");
    for (key, bandwidth) in [
        ("live.bandwidth", policy.live.bandwidth),
        ("limits.bandwidth_per_cluster", limits.bandwidth_per_cluster),
    ] {
        found.unless(bandwidth == 0 || bandwidth >= LEAST_BANDWIDTH, &[key], || {
            (too_little(bandwidth), format!("write 0 for no limit, or {LEAST_BANDWIDTH} or more"))
        });
    }
    for (label, rate) in &limits.uplinks {
        found.unless(*rate >= LEAST_BANDWIDTH, &[&format!("limits.uplinks.{label}")], || {
            (too_little(*rate), format!("write {LEAST_BANDWIDTH} or more, or leave it out"))
        });
    }
    let connections = policy.live.connections;
    found.unless((1..=MOST_CONNECTIONS).contains(&connections), &["live.connections"], || {
        (
            format!("{connections} connections are none that QEMU is asked for"),
            format!("write 1 for one, or up to {MOST_CONNECTIONS}"),
        )
    });
    found.lasts("live.verify_within", policy.live.verify_within);
}

fn ladder(ladder: &LadderPolicy, found: &mut Objections) {
    const START: &str = "live.ladder.downtime_start";
    const MOST: &str = "live.ladder.downtime_most";
    const STEPS: &str = "live.ladder.downtime_steps";
    let (start, most) = (ladder.downtime_start, ladder.downtime_most);
    let one = Span::milliseconds(1);
    found.unless(start >= one, &[START], || {
        (format!("{start} is less than QEMU can count"), "write 1ms or more".to_owned())
    });
    found.unless(start <= most, &[START, MOST], || {
        (
            format!("the ladder begins at {start}, above the most that it may reach, {most}"),
            "make downtime_start at most downtime_most".to_owned(),
        )
    });
    found.unless(most <= LONGEST_DOWNTIME, &[MOST], || {
        (format!("QEMU refuses a downtime of {most}"), format!("write {LONGEST_DOWNTIME} at most"))
    });
    let range = most.as_milliseconds().saturating_sub(start.as_milliseconds());
    found.unless(range == 0 || ladder.downtime_steps > 0, &[STEPS], || {
        (format!("no step leads from {start} to {most}"), "write 1 or more".to_owned())
    });
    found.unless(range == 0 || u64::from(ladder.downtime_steps) <= range, &[STEPS, MOST, START], || {
        (
            format!(
                "{} steps from {start} to {most} would be less than a millisecond each",
                ladder.downtime_steps
            ),
            format!("write {range} at most"),
        )
    });
    let right = "write 1 or more";
    found.unless(ladder.patience > 0, &["live.ladder.patience"], || {
        ("before the first pass is over nothing is known about the guest".to_owned(), right.to_owned())
    });
    found.unless(ladder.passes_per_step > 0, &["live.ladder.passes_per_step"], || {
        ("a step needs a pass to show what it brings".to_owned(), right.to_owned())
    });
    found.unless(ladder.abort_after_stalled > 0, &["live.ladder.abort_after_stalled"], || {
        ("the last step needs a pass to show what it brings".to_owned(), right.to_owned())
    });
    let top = ladder.passes_to_the_top();
    found.unless(
        ladder.abort_after > top,
        &["live.ladder.abort_after", STEPS, "live.ladder.passes_per_step", "live.ladder.patience"],
        || {
            (
                format!(
                    "aborted after {} passes in any case, but the last step is taken only after {top}",
                    ladder.abort_after
                ),
                format!("make abort_after {} or more, or the ladder shorter", top.saturating_add(1)),
            )
        },
    );
}

fn reboot_and_retry(policy: &Policy, found: &mut Objections) {
    let reboot = &policy.reboot;
    found.unless(reboot.acpi_time > Span::ZERO, &["reboot.acpi_time"], || {
        (
            "a guest without an agent would be powered off hard at once".to_owned(),
            "write how long a guest may take to shut down, such as \"3m\"".to_owned(),
        )
    });
    found.lasts("reboot.verify_within", reboot.verify_within);
    found.lasts("reboot.expected_downtime", reboot.expected_downtime);
    found.counts("reboot.attempts", reboot.attempts, "write 1 or more");
    let retry = &policy.retry;
    found.lasts("retry.first", retry.first);
    found.unless(retry.factor > 0, &["retry.factor"], || {
        ("0 would leave no wait at all".to_owned(), "write 1 for equal waits, 2 to double them".to_owned())
    });
    found.unless(retry.first <= retry.longest, &["retry.longest", "retry.first"], || {
        (
            format!("the first wait, {}, is longer than the longest, {}", retry.first, retry.longest),
            "make retry.longest at least retry.first".to_owned(),
        )
    });
}

fn replication(policy: &ReplicationPolicy, found: &mut Objections) {
    for (key, span) in [
        ("replication.far", policy.far),
        ("replication.near", policy.near),
        ("replication.ready_lag", policy.ready_lag),
        ("replication.lag_warn", policy.lag_warn),
        ("replication.final_delta_within", policy.final_delta_within),
        ("replication.tail_within", policy.tail_within),
        ("replication.place_lost_after", policy.place_lost_after),
    ] {
        found.lasts(key, span);
    }
    let share = policy.guest_share;
    found.unless((0.0..=MOST_GUEST_SHARE).contains(&share), &["replication.guest_share"], || {
        (
            format!("{share} is no share of its own reading and writing that a guest could keep"),
            format!(
                "write 0 to have the copying go first, or up to {MOST_GUEST_SHARE}; 0.85 leaves the guest 85 %"
            ),
        )
    });
    found.unless(policy.near <= policy.far, &["replication.near", "replication.far"], || {
        (
            format!(
                "rounds right before the cutover, every {}, would come less often than before, every {}",
                policy.near, policy.far
            ),
            "make replication.near at most replication.far".to_owned(),
        )
    });
    found.unless(policy.near < policy.ready_lag, &["replication.ready_lag", "replication.near"], || {
        (
            format!(
                "with a round every {} no replica would be as little as {} behind for long",
                policy.near, policy.ready_lag
            ),
            "make replication.ready_lag longer than replication.near".to_owned(),
        )
    });
}

fn test(policy: &TestPolicy, found: &mut Objections) {
    found.lasts("test.ttl", policy.ttl);
    found.lasts("test.within", policy.within);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    found.unless(policy.network.bytes().all(is_plain), &["test.network"], || {
        (
            format!("{:?} is no name of a network", policy.network),
            "write letters, digits, and any of - _ . as `virsh net-list` shows it, or leave it empty"
                .to_owned(),
        )
    });
}

fn blueprint(policy: &BlueprintPolicy, found: &mut Objections) {
    found.unless(policy.memory_at_most > 0, &["blueprint.memory_at_most"], || {
        let right = "write how much, in bytes, or take \"memory\" out of blueprint.owners_may";
        ("no memory at all".to_owned(), right.to_owned())
    });
    let right = "write how many, or take \"vcpus\" out of blueprint.owners_may";
    found.counts("blueprint.vcpus_at_most", policy.vcpus_at_most, right);
    if let Some(bad) = policy.networks.iter().find(|name| !is_network(name)) {
        found.unless(false, &["blueprint.networks"], || {
            (
                format!("{bad:?} is no name of a network or bridge"),
                "write 1 to 64 letters, digits, and any of - _ . : as libvirt gives them".to_owned(),
            )
        });
    }
}

fn validation(policy: &Policy, found: &mut Objections) {
    const LONGEST_BEFORE: Span = Span::minutes(1);
    let validation = &policy.validation;
    found.lasts("validation.within", validation.within);
    found.unless(validation.within <= LONGEST_WITHIN, &["validation.within"], || {
        let wrong = format!("a migration would not be over for {}", validation.within);
        (wrong, format!("write {LONGEST_WITHIN} at most"))
    });
    found.unless(validation.before_within <= LONGEST_BEFORE, &["validation.before_within"], || {
        let wrong = format!("a migration would begin {} late", validation.before_within);
        (wrong, format!("write {LONGEST_BEFORE} at most"))
    });
    let checks = &validation.checks;
    found.unless(checks.len() <= MOST_CHECKS, &["validation.checks"], || {
        (format!("{} checks of every server", checks.len()), format!("write {MOST_CHECKS} at most"))
    });
    let names: BTreeSet<_> = checks.iter().map(|check| &check.name).collect();
    found.unless(names.len() == checks.len(), &["validation.checks"], || {
        ("two checks of the same name".to_owned(), "give each its own".to_owned())
    });
}

fn windows(windows: &WindowPolicy, found: &mut Objections, downtime: Span) {
    found.unless(!windows.default.is_empty(), &["windows.default"], || {
        (
            "without any window no reboot migration gets a time".to_owned(),
            "for one that is always open write [{ cron = \"0 0 * * *\", duration = \"25h\", timezone = \"UTC\" }]"
                .to_owned(),
        )
    });
    for (index, window) in windows.default.iter().enumerate() {
        if let Err(too_short) = window.check_holds(downtime) {
            let key = format!("windows.default[{index}]");
            found.unless(
                false,
                &[&key, "reboot.expected_downtime", "reboot.agent_time", "reboot.acpi_time"],
                || {
                    (
                        format!(
                            "the window is open for {}, and a reboot migration may take {}",
                            too_short.open, too_short.needed
                        ),
                        format!(
                            "make it at least {} long, or the times in [reboot] shorter",
                            too_short.needed
                        ),
                    )
                },
            );
        }
    }
    found.lasts("windows.slot_step", windows.slot_step);
}

fn the_rest(policy: &Policy, found: &mut Objections) {
    let overcommit = policy.placement.vcpu_overcommit;
    found.unless(overcommit.is_finite() && overcommit > 0.0, &["placement.vcpu_overcommit"], || {
        (
            format!("{overcommit} processors per thread leave room for no server"),
            "write a number above zero, such as 4.0".to_owned(),
        )
    });
    let labels = &policy.placement.same_labels;
    found.unless(labels.iter().all(|label| !label.trim().is_empty()), &["placement.same_labels"], || {
        ("an empty name of a label".to_owned(), "write names of labels, such as [\"rack\"]".to_owned())
    });
    let maintenance = &policy.maintenance;
    found.lasts("maintenance.deadline", maintenance.deadline);
    found.unless(
        maintenance.warn_before < maintenance.deadline,
        &["maintenance.warn_before", "maintenance.deadline"],
        || {
            let (warning, deadline) = (maintenance.warn_before, maintenance.deadline);
            (
                format!("a warning {warning} before a deadline that is {deadline} ahead would come at once"),
                "make warn_before shorter than the deadline".to_owned(),
            )
        },
    );
    found.lasts("owners.self_service_ahead", policy.owners.self_service_ahead);
    found.unless(
        policy.owners.self_service_ahead > policy.owners.reschedule_ahead,
        &["owners.self_service_ahead", "owners.reschedule_ahead"],
        || {
            let owners = &policy.owners;
            (
                format!(
                    "a time must be {} ahead at least, and {} at most",
                    owners.reschedule_ahead, owners.self_service_ahead
                ),
                "make owners.self_service_ahead longer than owners.reschedule_ahead".to_owned(),
            )
        },
    );
    let (kept, revertible) = (policy.retention.definitions, policy.owners.confirm_within);
    found.unless(kept >= revertible, &["retention.definitions", "owners.confirm_within"], || {
        (
            format!("owners may revert for {revertible}, but what they would return to is kept for {kept}"),
            "make retention.definitions at least owners.confirm_within".to_owned(),
        )
    });
    found.lasts("retention.history", policy.retention.history);
    found.lasts("agents.silent_after", policy.agents.silent_after);
}
