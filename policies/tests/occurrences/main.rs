//! When windows open, against the opinion of others: croniter and dateutil for the expressions, Python's zoneinfo for the zones, over twenty
//! years and thirty zones. Where clocks are changed, ours must differ exactly as `docs/windows.md` says.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use chrono::DateTime;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{Recurrence, parse_timezone};
use serde::Deserialize;

/// Whose rules are settled: what a government announces next year would be in one database and not yet in the other.
const ZONES: [&str; 30] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Athens",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Atlantic/Azores",
    "Atlantic/Reykjavik",
    "America/New_York",
    "America/Chicago",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Caracas",
    "America/Argentina/Buenos_Aires",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Asia/Pyongyang",
    "Asia/Jerusalem",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
];

const EXPRESSIONS: [&str; 13] = [
    "30 2 * * *",
    "0 0 * * *",
    "*/20 1-3 * * 0",
    "15 3 * * 7",
    "30 1 1,15 * *",
    "0 2 13 * 5",
    "0 2 */2 * 5",
    "0 4 29 2 *",
    "45 23 31 * *",
    "0 12 * 3,10 SUN",
    "5 0-6/3 * MAR-APR MON-FRI",
    "30 * * * *",
    "0,15 0-23 * * *",
];

/// What became of a local time in a zone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fate {
    Single(String, i64),
    Twice(String, i64, i64),
}

#[derive(Debug, Default)]
struct Met {
    once: usize,
    gaps: usize,
    twice: usize,
}

fn moment(seconds: i64) -> Instant {
    DateTime::from_timestamp(seconds, 0).expect("a moment of our age")
}

/// The table of the documentation.
fn opens(fates: Vec<Fate>, hourly: bool, met: &mut Met) -> BTreeSet<i64> {
    let mut opens = BTreeSet::new();
    for fate in fates {
        match fate {
            Fate::Single(kind, moment) if kind == "once" => {
                met.once += 1;
                opens.insert(moment);
            }
            Fate::Single(_, after) => {
                met.gaps += 1;
                opens.extend((!hourly).then_some(after));
            }
            Fate::Twice(kind, first, second) => {
                assert_eq!(kind, "twice");
                met.twice += 1;
                opens.insert(first);
                opens.extend(hourly.then_some(second));
            }
        }
    }
    opens
}

fn is_there() -> bool {
    let modules =
        Command::new("/usr/bin/python3").args(["-c", "import croniter, dateutil, zoneinfo"]).output();
    modules.is_ok_and(|output| output.status.success())
}

#[test]
fn windows_open_when_others_say_so_too_and_differ_at_changes_of_the_clock_as_documented() {
    if !is_there() {
        println!("SKIPPED: /usr/bin/python3 has no croniter or dateutil; tests/lab/install.sh installs them");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/occurrences/second_opinion.py");
    let mut python = Command::new("/usr/bin/python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let asked =
        serde_json::json!({ "zones": ZONES, "expressions": EXPRESSIONS, "from": 2010, "until": 2030 });
    let mut stdin = python.stdin.take().expect("it is piped");
    stdin.write_all(asked.to_string().as_bytes()).expect("it listens");
    drop(stdin);
    let (mut met, mut compared) = (Met::default(), BTreeSet::new());
    for line in BufReader::new(python.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("text");
        let (zone, cron, from, until, fates): (String, String, i64, i64, Vec<Fate>) =
            serde_json::from_str(&line).expect("what the script writes");
        let hourly = matches!(cron.split(' ').nth(1), Some("*" | "0-23"));
        let within = |start: &i64| (from..until).contains(start);
        let expected: BTreeSet<i64> = opens(fates, hourly, &mut met).into_iter().filter(within).collect();
        let timezone = parse_timezone(&zone).expect("a zone");
        let window = Recurrence::new(cron.clone(), Span::minutes(1), timezone).expect("a window");
        let slots = window.occurrences(moment(from), moment(until));
        let ours: BTreeSet<i64> = slots.iter().map(|slot| slot.start.timestamp()).filter(within).collect();
        let only_one: Vec<_> = ours.symmetric_difference(&expected).take(5).map(|at| moment(*at)).collect();
        assert!(only_one.is_empty(), "{cron} in {zone}: only one of both opens at {only_one:?}");
        compared.insert((zone, cron));
    }
    assert!(python.wait().expect("it ends").success(), "the script failed; it says why above");
    let with_changes = compared.len();
    assert!(with_changes >= ZONES.len() * (EXPRESSIONS.len() - 2), "{with_changes} pairs were compared");
    assert!(met.once > 500_000 && met.gaps > 1_000 && met.twice > 1_000, "{met:?}");
}
