use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::fleet::Labels;
use crate::ids::{OwnerId, ServerId};
use crate::ladder::{LadderState, Rung, climb};

fn parse(text: &str) -> PolicySet {
    PolicySet::parse(&[("site.toml", text)]).unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

fn told(problems: &[PolicyProblem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn refused(text: &str) -> String {
    told(&PolicySet::parse(&[("site.toml", text)]).expect_err(text))
}

const ID: ServerId = ServerId(Uuid::from_u128(0x1234_5678_0000_4000_8000_0000_0000_0001));

/// A server with everything that a rule can be about.
struct Whom {
    labels: Labels,
    owner: OwnerId,
}

impl Whom {
    fn new() -> Self {
        Self {
            labels: [("role", "database"), ("tier", "gold")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            owner: OwnerId::new("acme").expect("a name"),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            server: Some(("db1", ID)),
            labels: &self.labels,
            owner: Some(&self.owner),
            cluster: Some("east"),
        }
    }
}

fn keys(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_table() {
        Some(table) if ![".notice.lead_by_reason", ".limits.uplinks"].contains(&path) => {
            for (key, value) in table {
                keys(value, &format!("{path}.{key}"), found);
            }
        }
        Some(_) | None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_shipped_file_has_every_setting_and_no_other() {
    let mut ignored = Vec::new();
    let table: toml::Table = DEFAULT_FILE.parse().expect("TOML");
    let policy: Policy =
        serde_ignored::deserialize(toml::Value::Table(table.clone()), |path| ignored.push(path.to_string()))
            .expect("a policy");
    assert_eq!(ignored, Vec::<String>::new(), "keys that no setting reads");
    let (mut shipped, mut settings) = (BTreeSet::new(), BTreeSet::new());
    keys(&toml::Value::Table(table), "", &mut shipped);
    keys(&toml::Value::try_from(policy).expect("a policy is TOML"), "", &mut settings);
    assert_eq!(shipped, settings);
}

#[test]
fn every_key_of_the_shipped_file_is_explained_in_the_line_above_it() {
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with('#');
        let of_a_reason = pair[1].starts_with("security") || pair[1].starts_with("hardware-failure");
        assert!(!is_key || of_a_reason || pair[0].starts_with('#'), "{}", pair[1]);
    }
}

#[test]
fn the_shipped_files_are_without_objection() {
    for file in [DEFAULT_FILE, DEMO_FILE] {
        parse(file);
    }
    let shipped = parse(DEFAULT_FILE);
    assert_eq!(shipped.general(), PolicySet::default().general());
    assert_eq!(parse("").general(), shipped.general());
}

#[test]
fn the_rule_in_the_shipped_files_head_is_one() {
    let example: String = DEFAULT_FILE
        .lines()
        .skip_while(|line| *line != "#   [[rule]]")
        .take_while(|line| *line != "#")
        .map(|line| format!("{}\n", line.trim_start_matches('#').trim()))
        .collect();
    let whom = Whom::new();
    let effective = parse(&example).effective(&whom.subject());
    assert!(!effective.policy.live.allowed);
    assert_eq!(effective.policy.notice.lead, Span::days(10));
}

#[test]
fn the_demonstration_aborts_a_busy_guest_after_a_few_passes() {
    use crate::attempt::{Phase, Progress};
    let policies = parse(DEMO_FILE);
    let live = &policies.general().live;
    assert_eq!(live.bandwidth, 24 << 20);
    let mut state = LadderState::default();
    let aborted = (1..20).find(|iteration| {
        // 60 MiB written anew in every pass: 2.5 s to be sent.
        let progress = Progress {
            iteration: *iteration,
            remaining_bytes: 60 << 20,
            expected_downtime_ms: 2500,
            ..Progress::of(Phase::Transferring, chrono::DateTime::UNIX_EPOCH)
        };
        let (next, rung) = climb(&live.ladder, &state, &progress);
        state = next;
        rung == Rung::Abort
    });
    assert_eq!(aborted, Some(6));
}

#[test]
fn files_are_merged_in_the_order_of_their_names() {
    let policies = PolicySet::parse(&[
        ("20-later.toml", "live.attempts = 7"),
        (
            "10-earlier.toml",
            "live.attempts = 5\nlive.verify_within = \"7s\"\nnotice.lead_by_reason.fire = \"1h\"",
        ),
    ])
    .expect("two files");
    let general = policies.general();
    assert_eq!((general.live.attempts, general.live.verify_within), (7, Span::seconds(7)));
    assert_eq!(general.notice.lead_by_reason["fire"], Span::hours(1));
    assert_eq!(
        general.notice.lead_by_reason["security"],
        Span::hours(24),
        "reasons are added to those shipped"
    );
    let whom = Whom::new();
    let said_by = policies.effective(&whom.subject()).said_by;
    assert_eq!(said_by["live.attempts"].to_string(), "20-later.toml:1");
    assert_eq!(said_by["live.verify_within"].to_string(), "10-earlier.toml:2");
    assert_eq!(said_by["live.bandwidth"].to_string(), "as shipped");
}

/// From the widest to the nearest, and two ways to write each.
const MATCHES: &[&str] = &[
    r#"{ cluster = "east" }"#,
    r#"{ owner = "acme" }"#,
    r#"{ label = "role=database" }"#,
    r#"{ label = { key = "tier", value = "gold" } }"#,
    r#"{ server = "db1" }"#,
    r#"{ server = "12345678-0000-4000-8000-000000000001" }"#,
];

fn rules(order: &[usize]) -> String {
    order
        .iter()
        .map(|&n| {
            format!("[[rule]]\nname = \"rule {n}\"\nmatch = {}\nset.live.attempts = {}\n", MATCHES[n], n + 10)
        })
        .collect()
}

#[test]
fn the_nearest_rule_wins_wherever_it_stands() {
    let whom = Whom::new();
    for (order, winner) in [
        (&[0][..], 0),
        (&[1, 0], 1),
        (&[0, 1], 1),
        (&[2, 1, 0], 2),
        (&[4, 3, 1], 4),
        (&[5, 0, 1, 2, 3], 5),
        (&[2, 3], 3),
        (&[3, 2], 2),
        (&[4, 5], 5),
        (&[5, 4], 4),
    ] {
        let effective = parse(&rules(order)).effective(&whom.subject());
        assert_eq!(effective.policy.live.attempts as usize, winner + 10, "{order:?}");
        let line = 1 + 4 * order.iter().position(|n| *n == winner).expect("in the list") + 3;
        let origin =
            Origin::Rule { file: "site.toml".to_owned(), line: Some(line), name: format!("rule {winner}") };
        assert_eq!(effective.said_by["live.attempts"], origin, "{order:?}");
    }
}

#[test]
fn rules_that_set_different_keys_all_hold() {
    let policies = parse(
        r#"
        live.attempts = 4
        [[rule]]
        name = "few at once"
        match = { cluster = "east" }
        set.limits.live_per_cluster = 3
        set.live.attempts = 5
        [[rule]]
        name = "stays put"
        match = { server = "db1" }
        [rule.set.live]
        allowed = false
        "#,
    );
    let whom = Whom::new();
    let effective = policies.effective(&whom.subject());
    let policy = &effective.policy;
    assert_eq!((policy.limits.live_per_cluster, policy.live.attempts, policy.live.allowed), (3, 5, false));
    assert_eq!(effective.said_by["live.allowed"].to_string(), "rule \"stays put\", site.toml:12");
    assert_eq!(policies.general().live.attempts, 4, "rules leave what holds in general alone");
    let nobody = Subject { server: None, labels: &Labels::new(), owner: None, cluster: Some("west") };
    assert_eq!(&policies.effective(&nobody).policy, policies.general());
}

#[test]
fn servers_of_the_same_rules_share_one_policy() {
    let policies = parse(&rules(&[0]));
    let whom = Whom::new();
    let other = Subject { server: Some(("web7", ServerId(Uuid::from_u128(7)))), ..whom.subject() };
    let (first, second) = (policies.shared(&whom.subject()), policies.shared(&other));
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}

#[test]
fn all_problems_are_told_at_once_each_with_its_line() {
    let text = r#"
[live]
alowed = true
attempts = "three"
[live.ladder]
patiance = 3
downtime_start = "soon"
[notice]
lead = 30
[limit]
per_owner = 1
[windows]
slot_step = "0s"
default = [
  { cron = "0 2 * * SUN", duration = "4h", timezone = "UTC" },
  { cron = "0 0 2 * * SUN", duration = "4h", timezone = "UTC" },
  { cron = "0 2 * * SUN", duraton = "4h", timezone = "UTC" },
]
[[rule]]
name = "x"
match = { sever = "db1" }
set.live.allowd = false
[[rules]]
name = "y"
"#;
    assert_eq!(
        refused(text),
        "site.toml:3: live.alowed: there is no such key; did you mean \"allowed\"?\n\
         site.toml:4: live.attempts: invalid type: string \"three\"; write a whole number that isn't negative, without quotes, such as 3\n\
         site.toml:6: live.ladder.patiance: there is no such key; did you mean \"patience\"?\n\
         site.toml:7: live.ladder.downtime_start: \"soon\" is no length of time; write for example 90s, 10m, 24h or 7d\n\
         site.toml:9: notice.lead: invalid type: integer `30`; write a length of time in quotes, such as \"3d\"\n\
         site.toml:10: limit: there is no such key; did you mean \"limits\"?\n\
         site.toml:13: windows.slot_step: no time at all; write a length above zero, such as \"30s\"\n\
         site.toml:16: windows.default[1]: a cron expression has five fields (minute, hour, day of month, month, day of week), and \
         \"0 0 2 * * SUN\" has 6: leave the seconds out and write \"0 2 * * SUN\"; write [{ cron = \"0 22 * * *\", duration = \"6h\", \
         timezone = \"UTC\" }]\n\
         site.toml:17: windows.default[2].duraton: there is no such key; did you mean \"duration\"?\n\
         site.toml:21: rule \"x\" match.sever: there is no such key; did you mean \"server\"?\n\
         site.toml:22: rule \"x\" set.live.allowd: there is no such key; did you mean \"allowed\"?\n\
         site.toml:23: rules: there is no such key; did you mean [[rule]]?\n"
    );
}

#[test]
fn each_senseless_value_is_refused_with_what_would_be_right() {
    for (text, key, right) in [
        ("limits.live_out_per_host = 0", "limits.live_out_per_host", "set live.allowed = false"),
        ("limits.per_owner = -1", "limits.per_owner", "a whole number that isn't negative"),
        ("live.attempts = 99999999999", "live.attempts", "a whole number"),
        ("live.attempts = 99999999999999999999", "live.attempts", "is too large"),
        ("live.connections = 0", "live.connections", "1 for one, or up to 16"),
        ("live.bandwidth = 1000", "live.bandwidth", "0 for no limit, or 1048576 or more"),
        (
            "limits.bandwidth_per_cluster = 1000",
            "limits.bandwidth_per_cluster",
            "0 for no limit, or 1048576 or more",
        ),
        ("limits.uplinks.rack = 0", "limits.uplinks.rack", "1048576 or more, or leave it out"),
        ("limits.uplinks.rack = \"10Gbit\"", "limits.uplinks.rack", "bytes per second, such as 1250000000"),
        ("live.allowed = \"yes\"", "live.allowed", "true or false, without quotes"),
        ("live = 3", "live", "integer where a table belongs"),
        ("live.allowed.really = true", "live.allowed", "true or false"),
        ("live.ladder.downtime_start = \"0s\"", "live.ladder.downtime_start", "1ms or more"),
        ("live.ladder.downtime_start = \"1s\"", "live.ladder.downtime_start", "at most downtime_most"),
        ("live.ladder.downtime_most = \"50ms\"", "live.ladder.downtime_most", "at most downtime_most"),
        ("live.ladder.downtime_most = \"1h\"", "live.ladder.downtime_most", "33m 20s at most"),
        ("live.ladder.downtime_steps = 0", "live.ladder.downtime_steps", "1 or more"),
        (
            "live.ladder.downtime_steps = 500\nlive.ladder.abort_after = 5000",
            "live.ladder.downtime_steps",
            "write 400 at most",
        ),
        ("live.ladder.patience = 0", "live.ladder.patience", "1 or more"),
        ("live.ladder.passes_per_step = 0", "live.ladder.passes_per_step", "1 or more"),
        ("live.ladder.abort_after_stalled = 0", "live.ladder.abort_after_stalled", "1 or more"),
        ("live.ladder.abort_after = 12", "live.ladder.abort_after", "make abort_after 13 or more"),
        ("live.ladder.passes_per_step = 30", "live.ladder.passes_per_step", "make abort_after 94 or more"),
        ("reboot.acpi_time = \"0s\"", "reboot.acpi_time", "such as \"3m\""),
        ("reboot.expected_downtime = \"8h\"", "reboot.expected_downtime", "make it at least 8h 5m long"),
        ("reboot.attempts = 0", "reboot.attempts", "1 or more"),
        ("retry.first = \"0s\"", "retry.first", "above zero"),
        ("retry.first = \"1h\"", "retry.first", "retry.longest at least retry.first"),
        ("retry.factor = 0", "retry.factor", "2 to double them"),
        ("windows.default = []", "windows.default", "always open"),
        ("windows.default = [1]", "windows.default[0]", "integer where a table belongs"),
        (
            "windows.default = [{ cron = \"0 2 30 2 *\", duration = \"1h\", timezone = \"UTC\" }]",
            "windows.default[0]",
            "more months",
        ),
        (
            "windows.default = [{ cron = \"0 2 * * *\", duration = \"9m\", timezone = \"UTC\" }]",
            "windows.default",
            "open for 9m, and a reboot migration may take 10m",
        ),
        (
            "windows.default = [{ cron = \"0 2 * * *\", duration = \"1h\", timezone = \"Berlin\" }]",
            "windows.default[0]",
            "write \"Europe/Berlin\"",
        ),
        ("windows.default = [{ cron = \"0 2 * * *\", duration = \"1h\" }]", "windows.default[0]", "timezone"),
        (
            "windows.exclusions = [{ from = 2026-12-24, to = 2026-12-01, timezone = \"UTC\" }]",
            "windows.exclusions[0]",
            "write the earlier one as `from`",
        ),
        ("notice.lead = \"30d\"", "notice.lead", "make the lead shorter"),
        ("notice.lead_by_reason.fire = \"30d\"", "notice.lead_by_reason.fire", "make the lead shorter"),
        ("notice.lead_by_reason.fire = 3", "notice.lead_by_reason.fire", "a length of time in quotes"),
        ("notice.reminders = [\"1h\", \"60m\"]", "notice.reminders", "name each once"),
        ("notice.reminders = [\"0s\"]", "notice.reminders", "leave it out"),
        ("notice.reminders = \"1h\"", "notice.reminders", "a list of lengths of time"),
        ("placement.vcpu_overcommit = 0", "placement.vcpu_overcommit", "above zero"),
        ("placement.vcpu_overcommit = nan", "placement.vcpu_overcommit", "above zero"),
        ("placement.same_labels = [\"\"]", "placement.same_labels", "names of labels"),
        ("maintenance.warn_before = \"30d\"", "maintenance.warn_before", "shorter than the deadline"),
        ("retention.definitions = \"1h\"", "retention.definitions", "at least owners.confirm_within"),
        ("agents.silent_after = \"0s\"", "agents.silent_after", "above zero"),
        ("agents.silent_after = \"-5s\"", "agents.silent_after", "write for example 90s"),
        ("live.allowed = true\nlive.allowed = false", "no TOML", "correct the line"),
    ] {
        let answer = refused(text);
        assert!(answer.starts_with("site.toml:") && answer.contains(&format!(": {key}")), "{text}: {answer}");
        assert!(answer.contains(right), "{text}: {answer}");
        assert_eq!(answer.lines().count(), 1, "{text}: {answer}");
    }
}

#[test]
fn each_wrong_rule_is_refused_with_what_would_be_right() {
    let with = |matching: &str, set: &str| format!("[[rule]]\nname = \"x\"\n{matching}\n{set}\n");
    let (about, sets) = ("match = { server = \"db1\" }", "set.live.allowed = false");
    for (text, key, right) in [
        (with("", sets), "rule \"x\" match", "write match = { server ="),
        (with("match = \"db1\"", sets), "rule \"x\" match", "string where a table belongs"),
        (with("match = { server = \"a\", owner = \"b\" }", sets), "rule \"x\" match", "several rules"),
        (with("match = { server = 7 }", sets), "rule \"x\" match.server", "in quotes"),
        (with("match = { owner = \"a b\" }", sets), "rule \"x\" match.owner", "without spaces"),
        (with("match = { label = \"role\" }", sets), "rule \"x\" match.label", "\"role=database\""),
        (with("match = { label = { key = \"role\" } }", sets), "rule \"x\" match.label", "\"role=database\""),
        (with(about, ""), "rule \"x\" set", "set.live.allowed = false"),
        (with(about, "sets.live.allowed = false"), "rule \"x\" sets", "did you mean \"set\"?"),
        (
            with(about, "set.agents.silent_after = \"9s\""),
            "rule \"x\" set.agents.silent_after",
            "outside of rules",
        ),
        (
            with(about, "set.live.ladder.abort_after = 3"),
            "rule \"x\" set.live.ladder.abort_after",
            "13 or more",
        ),
        (with(about, "set.live.attempts = true"), "rule \"x\" set.live.attempts", "a whole number"),
        (format!("[[rule]]\n{about}\n{sets}\n"), "rule[0] name", "give it a name"),
        (format!("[rule]\nname = \"x\"\n{about}\n{sets}\n"), "rule", "[[rule]] with two brackets"),
        (with(about, sets).repeat(2), "rule \"x\" name", "a name of its own"),
    ] {
        let answer = refused(&text);
        assert!(
            answer.lines().any(|line| line.contains(&format!(": {key}: ")) && line.contains(right)),
            "{text}{answer}"
        );
    }
}

#[test]
fn dates_may_be_written_with_and_without_quotes() {
    let bare =
        parse("windows.exclusions = [{ from = 2026-12-19, to = 2027-01-03, timezone = \"Europe/Berlin\" }]");
    let quoted = parse(
        "windows.exclusions = [{ from = \"2026-12-19\", to = \"2027-01-03\", timezone = \"Europe/Berlin\" }]",
    );
    assert_eq!(bare.general(), quoted.general());
    assert_eq!(bare.general().windows.exclusions.len(), 1);
}

#[test]
fn waits_grow_to_their_longest() {
    let retry = &PolicySet::default().general().retry.clone();
    let waits: Vec<Span> = (1..=8).map(|next| retry.wait_before(next)).collect();
    assert_eq!(waits, [0, 30, 60, 120, 240, 480, 900, 900].map(Span::seconds));
}

proptest! {
    #[test]
    fn merging_by_nearness_is_what_going_through_all_rules_gives(order in Just((0..MATCHES.len()).collect::<Vec<_>>()).prop_shuffle(), taken in 0..=MATCHES.len()) {
        let order = &order[..taken];
        let whom = Whom::new();
        let nearness = |n: usize| [0, 1, 2, 2, 3, 3][n];
        let winner = order.iter().enumerate().max_by_key(|(place, n)| (nearness(**n), *place)).map(|(_, n)| n + 10);
        let policies = parse(&rules(order));
        let shipped = PolicySet::default().general().live.attempts as usize;
        for _ in 0..2 {
            let attempts = policies.effective(&whom.subject()).policy.live.attempts as usize;
            prop_assert_eq!(attempts, winner.unwrap_or(shipped));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(lines in prop::collection::vec(
        "(\\[{1,2}(rule|live|windows|windows.default|live.ladder)\\]{1,2}|(match|set|name|live|default|cron|windows.default|from) = (\\{\\}|\\[\\]|\\[\\{\\}\\]|1|1e99|\"x\"|2026-01-01|07:00:00|true))", 0..8)) {
        let text = lines.join("\n");
        if let Err(problems) = PolicySet::parse(&[("a", &text)]) {
            prop_assert!(problems.iter().all(|problem| !problem.wrong.is_empty() && !problem.right.is_empty()));
        }
    }
}
