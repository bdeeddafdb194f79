//! `drover simulate`, as it is called: without a scheduler, from a file or a drawn fleet, with a report and a picture.

use std::process::{Command, Output};

use drover_policies::fleet::Fleet;
use drover_scheduler::simulate::drawn;
use serde_json::Value;

use crate::command_line::{code, text};

fn drover(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drover"))
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TZ", "UTC")
        .output()
        .expect("it runs")
}

fn answered(args: &[&str]) -> Value {
    let output = drover(args);
    assert_eq!(code(&output), 0, "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Six hosts in one cluster with room for each other's servers, as `drover fleet export` would write them.
fn exported(folder: &tempfile::TempDir) -> (String, Fleet) {
    let fleet = drawn::fleet(6, 60, 5).expect("they have room");
    let file = folder.path().join("fleet.json");
    std::fs::write(&file, serde_json::to_string(&fleet).expect("plain data")).expect("it can be written");
    (file.display().to_string(), fleet)
}

const DRAWN: [&str; 8] = ["--json", "simulate", "--hosts", "6", "--servers", "60", "--hosts-at-once", "2"];

#[test]
fn a_drawn_fleet_is_rolled_and_the_same_seed_gives_the_same_report() {
    let with = |more: &[&str]| answered(&[&DRAWN[..], more].concat());
    let once = with(&["--seed", "3"]);
    assert_eq!(
        (&once["ended"], &once["done"], &once["killed"]),
        (&"completed".into(), &6.into(), &0.into()),
        "{once}"
    );
    assert!(once["moves"]["live"].as_u64() >= Some(60), "every server is moved off its host: {once}");
    assert_eq!(with(&["--seed", "3"]), once);
    let mut killed = with(&["--seed", "3", "--kills", "4"]);
    assert_eq!(killed["killed"], 4);
    killed["killed"] = 0.into();
    assert_eq!(killed, once, "a scheduler that is killed comes to the same end");
    assert_ne!(with(&["--seed", "4"])["story"], once["story"]);
    let slow = with(&["--seed", "3", "--link", "100Mbit"]);
    let ended = |report: &Value| report["ended_at"].as_str().expect("a time").to_owned();
    assert!(ended(&slow) > ended(&once), "a slower link takes longer: {} and {}", ended(&slow), ended(&once));
    let failing = with(&["--seed", "3", "--fail-rate", "0.3"]);
    assert!(failing["moves"]["tries_failed"].as_u64() > Some(0), "{failing}");
}

#[test]
fn a_fleet_in_a_file_is_simulated_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, fleet) = exported(&folder);
    let picture = folder.path().join("picture.html").display().to_string();
    let names: Vec<String> = fleet.hosts.keys().map(ToString::to_string).collect();
    let args =
        ["simulate", "--fleet", &file, &names[0], &names[3], "--hosts-at-once", "1", "--timeline", &picture];
    let output = drover(&args);
    let told = text(&output.stdout);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    for words in ["completed", "2 of 2 done", "none twice", "kept"] {
        assert!(told.contains(words), "{words} is missing: {told}");
    }
    let html = std::fs::read_to_string(&picture).expect("it was written");
    assert!(html.contains(&names[0]) && html.contains(&names[3]) && html.contains("<svg"), "{html}");
    assert!(!html.contains("http://") && !html.contains("https://"), "it needs a network");
    // All, where none is named.
    assert_eq!(answered(&["--json", "simulate", "--fleet", &file])["hosts"], 6);
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = exported(&folder);
    let none = folder.path().join("none.json").display().to_string();
    let broken = folder.path().join("broken.json").display().to_string();
    std::fs::write(&broken, "{\"hosts\": {\"h1\": {\"name\": \"h1\"}}, \"sightings\": {}}")
        .expect("it can be written");
    let nowhere = folder.path().join("no/picture.html").display().to_string();
    for (args, expected, words) in [
        (&[][..], 2, "--fleet"),
        (&["--hosts", "6"], 2, "--servers"),
        (&["--hosts", "6", "--servers", "60", "--fleet", &file], 2, "cannot be used with"),
        (&["--fleet", &none], 2, "can't be read"),
        (&["--fleet", &broken], 2, "at hosts.h1"),
        (&["--fleet", &file, "--fail-rate", "2"], 2, "between 0 and 1"),
        (&["--fleet", &file, "--dirty-rate", "8"], 2, "write for example 8MiB or 500KiB"),
        (&["--fleet", &file, "--every", "0s"], 2, "there has to be some time between two looks"),
        (&["--fleet", &file, "--days", "0"], 2, "--days"),
        (&["--fleet", &file, "--link", "fast"], 2, "--link"),
        (&["--fleet", &file, "no-such-host"], 2, "no-such-host"),
        (&["--fleet", &file, "--timeline", &nowhere], 1, "--timeline names a file in a folder that is there"),
    ] {
        let output = drover(&[&["simulate"], args].concat());
        let told = text(&output.stderr);
        assert_eq!(code(&output), expected, "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {words} is missing: {told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn one_that_does_not_come_to_its_end_is_refused_and_says_what_is_left() {
    let output = drover(&["simulate", "--hosts", "6", "--servers", "60", "--hook-fail-rate", "1"]);
    assert_eq!(code(&output), 1, "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("the maintenance is "), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("failed"), "{}", text(&output.stdout));
}
