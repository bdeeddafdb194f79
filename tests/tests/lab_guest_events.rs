//! Guests that read their own events from their host's agent, over a real bridge, from real QEMU guests.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use drover_tests::lab::{Events, GuestSpec};
use drover_tests::scene::{self, MOVED, Scene, forbids_live, text};

fn main() -> ExitCode {
    scene::run(
        "test-events",
        drover_tests::tests![
            a_guest_reads_its_event_acknowledges_and_its_migration_starts,
            a_guest_that_pretends_to_be_another_is_told_nothing,
        ],
    )
}

/// A guest that is told half an hour ahead that it will be restarted: whatever starts sooner was started by somebody.
fn told_ahead(name: &str, events: Events) -> GuestSpec {
    let mut spec = forbids_live(name, &[("notice", "long")]);
    spec.events = events;
    spec
}

/// What a guest has printed of its events so far.
fn printed(scene: &Scene, name: &str) -> Result<Vec<String>> {
    let path = scene.host("h1")?.outside(&scene.lab().guest(name)?.console_path());
    let console = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    // The last line may be half printed yet.
    let whole = console.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let lines = whole.filter_map(|line| line.trim_end().split_once("events: "));
    Ok(lines.map(|(_, told)| told.to_owned()).collect())
}

fn until_printed(scene: &Scene, name: &str, words: &str) -> Result<String> {
    let waited = scene.drover().wait(&format!("{name} to have printed {words:?}"), MOVED, || {
        Ok(printed(scene, name)?.into_iter().find(|line| line.contains(words)))
    });
    waited.with_context(|| format!("{name} has printed {:#?}", printed(scene, name)))
}

fn a_guest_reads_its_event_acknowledges_and_its_migration_starts(scene: &Scene) -> Result<()> {
    scene.add(&[told_ahead("is-ready", Events::Acknowledges), told_ahead("only-reads", Events::Reads)])?;
    for name in ["is-ready", "only-reads"] {
        ensure!(until_printed(scene, name, "200")? == "200", "{name} has no event yet");
    }
    scene.drain("h1")?;
    let read = until_printed(scene, "is-ready", "EventStatus=Scheduled")?;
    ensure!(read.contains("EventType=Redeploy") && read.contains(r#"of "is-ready""#), "{read}");
    let migration = scene.until_moved("is-ready")?;
    ensure!(migration["method"] == "reboot" && migration["tries"] == 1, "{migration:#}");
    let all = format!("/v1/events?limit=500&migration={}", text(&migration["id"])?);
    let events = scene.drover().api().all(&all)?;
    let started =
        |event: &serde_json::Value| event["text"] == "to be started now, says owner acme through the guest";
    ensure!(events.iter().filter(|event| started(event)).count() == 1, "{events:#?}");
    until_printed(scene, "is-ready", "EventStatus=Completed")?;
    // The other one has read its own event, and nothing has happened to it.
    let read = until_printed(scene, "only-reads", "EventStatus=Scheduled")?;
    ensure!(read.contains(r#"of "only-reads""#), "{read}");
    for name in ["is-ready", "only-reads"] {
        for line in printed(scene, name)? {
            ensure!(!line.contains(" of ") || line.contains(name), "{name} has read another's: {line}");
        }
    }
    let waits = scene.migration("only-reads")?;
    ensure!(waits["state"] == "ready" && scene.boots("only-reads")? == 1, "{waits:#}");
    scene.runs_on("only-reads", "h1")
}

fn a_guest_that_pretends_to_be_another_is_told_nothing(scene: &Scene) -> Result<()> {
    scene.add(&[told_ahead("is-robbed", Events::Silent)])?;
    let robbed = scene.lab().guest("is-robbed")?.events_mac();
    scene.add(&[told_ahead("robs", Events::PretendsToBe(robbed))])?;
    scene.drain("h1")?;
    scene.until("is-robbed", "to wait for its time", MOVED, |migration| migration["state"] == "ready")?;
    until_printed(scene, "robs", "403")?;
    // Some questions later it is still refused: it asks every ten beats.
    let collector = scene.lab().collector()?;
    collector.wait_beyond("robs", collector.of("robs").last() + 50, scene::BOOT)?;
    let lines = printed(scene, "robs")?;
    ensure!(lines.iter().all(|line| !line.starts_with("200")), "{lines:#?}");
    Ok(())
}
