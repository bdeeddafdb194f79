//! Live migrations on real libvirt and QEMU, with the real scheduler and agents: what happens when something breaks.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use drover_tests::scene::{self, BOOT, MOVED, Scene, failures, guest, text};
use serde_json::{Value, json};

fn main() -> ExitCode {
    scene::run(
        "test-live",
        drover_tests::tests![
            a_host_is_drained_live_and_autostart_goes_along,
            a_killed_agent_s_migration_goes_on_and_is_taken_up_again,
            a_killed_scheduler_takes_a_running_migration_up_again,
            a_killed_source_libvirtd_leaves_the_guest_where_it_is_and_it_is_moved_after_all,
            a_killed_destination_libvirtd_fails_the_try_and_the_next_one_moves_it,
            a_killed_receiving_qemu_fails_the_try_and_the_next_one_moves_it,
            a_cut_link_fails_the_try_with_the_guest_at_its_source_and_it_is_moved_once_healed,
            an_operator_s_abort_leaves_the_guest_running_and_a_retry_moves_it,
            a_guest_that_never_converges_is_aborted_and_falls_back_to_a_reboot,
            a_name_clash_at_the_destination_sends_it_elsewhere,
            a_destination_whose_libvirtd_is_down_is_found_out_before_anything_is_touched,
        ],
    )
}

const SLOW: &[(&str, &str)] = &[("pace", "slow")];

fn a_host_is_drained_live_and_autostart_goes_along(scene: &Scene) -> Result<()> {
    let mut started_with_its_host = guest("live-auto", "h1", &[]);
    started_with_its_host.autostart = true;
    scene.add(&[started_with_its_host, guest("live-plain", "h1", &[])])?;
    scene.drain("h1")?;
    for server in ["live-auto", "live-plain"] {
        let migration = scene.until_moved(server)?;
        ensure!(migration["method"] == "live" && migration["tries"] == 1, "{migration:#}");
        ensure!(migration["state"] == "succeeded" && migration["ticket"].is_null(), "{migration:#}");
        ensure!(migration["moved"]["sent_bytes"].as_u64() > Some(10_000_000), "{migration:#}");
        ensure!(scene.boots(server)? == 1, "{server} was rebooted");
    }
    scene.until_drained("h1")?;
    let to = text(&scene.migration("live-auto")?["to"])?.to_owned();
    let marked = scene.host(&to)?.virsh(["list", "--all", "--name", "--autostart"])?.ok()?;
    ensure!(marked.trim() == "live-auto", "started with {to}: {marked:?}");
    Ok(())
}

fn a_killed_agent_s_migration_goes_on_and_is_taken_up_again(scene: &Scene) -> Result<()> {
    scene.add(&[guest("agent-killed", "h1", SLOW)])?;
    scene.drain("h1")?;
    scene.until_in_transfer("agent-killed")?;
    scene.drover().kill_agent("h1")?;
    let job = scene.host("h1")?.virsh(["domjobinfo", "agent-killed"])?.ok()?;
    ensure!(job.contains("Outgoing migration"), "libvirt's job ended with its client: {job}");
    scene.drover().start_agent("h1")?;
    let migration = scene.until_moved("agent-killed")?;
    ensure!(migration["method"] == "live" && migration["tries"] == 1, "not taken up: {migration:#}");
    ensure!(scene.boots("agent-killed")? == 1, "it was rebooted");
    scene.until_drained("h1")
}

fn a_killed_scheduler_takes_a_running_migration_up_again(scene: &Scene) -> Result<()> {
    scene.add(&[guest("scheduler-killed", "h1", SLOW)])?;
    scene.drain("h1")?;
    scene.until_in_transfer("scheduler-killed")?;
    scene.drover().kill_scheduler()?;
    // It ends while nobody is there who ordered it.
    scene.drover().wait("the guest to arrive without a scheduler", MOVED, || {
        let running = scene.lab().where_running("scheduler-killed")?;
        Ok(running.iter().any(|host| host.name() != "h1").then_some(()))
    })?;
    scene.drover().start_scheduler()?;
    let migration = scene.until_moved("scheduler-killed")?;
    ensure!(migration["tries"] == 1 && scene.boots("scheduler-killed")? == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn a_killed_source_libvirtd_leaves_the_guest_where_it_is_and_it_is_moved_after_all(
    scene: &Scene,
) -> Result<()> {
    scene.add(&[guest("source-down", "h1", SLOW)])?;
    scene.drain("h1")?;
    scene.until_in_transfer("source-down")?;
    scene.host("h1")?.kill_libvirtd()?;
    let heard = scene.lab().collector()?.of("source-down").last();
    scene.lab().collector()?.wait_beyond("source-down", heard, BOOT)?;
    scene.host("h1")?.start_libvirtd()?;
    let migration = scene.until_moved("source-down")?;
    ensure!(!failures(&migration).is_empty() && migration["method"] == "live", "{migration:#}");
    ensure!(scene.boots("source-down")? == 1, "it was rebooted");
    scene.until_drained("h1")
}

fn a_killed_destination_libvirtd_fails_the_try_and_the_next_one_moves_it(scene: &Scene) -> Result<()> {
    scene.add(&[guest("target-down", "h1", SLOW)])?;
    scene.drain("h1")?;
    let to = scene.until_in_transfer("target-down")?;
    scene.host(&to)?.kill_libvirtd()?;
    scene.until("target-down", "the try to fail", MOVED, |migration| {
        !failures(migration).is_empty() || migration["progress"]["phase"] == "in_doubt"
    })?;
    scene.host(&to)?.start_libvirtd()?;
    let migration = scene.until_moved("target-down")?;
    ensure!(failures(&migration).first().is_some_and(|class| class == "lost_on_the_way"), "{migration:#}");
    ensure!(migration["method"] == "live" && scene.boots("target-down")? == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn a_killed_receiving_qemu_fails_the_try_and_the_next_one_moves_it(scene: &Scene) -> Result<()> {
    scene.add(&[guest("receiver-killed", "h1", SLOW)])?;
    scene.drain("h1")?;
    let to = scene.until_in_transfer("receiver-killed")?;
    scene.host(&to)?.kill_qemu("receiver-killed")?;
    let migration = scene.until_moved("receiver-killed")?;
    ensure!(failures(&migration) == ["lost_on_the_way"], "{migration:#}");
    ensure!(migration["method"] == "live" && scene.boots("receiver-killed")? == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn a_cut_link_fails_the_try_with_the_guest_at_its_source_and_it_is_moved_once_healed(
    scene: &Scene,
) -> Result<()> {
    scene.add(&[guest("link-cut", "h1", SLOW)])?;
    // Only one place to go, so that nothing but the healed link helps.
    scene.drover().api().post("/v1/hosts/h3/cordon", &json!({ "reason": "only one place to go" }))?.ok()?;
    scene.drain("h1")?;
    let to = scene.until_in_transfer("link-cut")?;
    ensure!(to == "h2", "it goes to {to}");
    scene.host(&to)?.cut_link()?;
    // libvirt itself takes about half a minute until it gives the other side up.
    let source = scene.host("h1")?;
    scene.drover().wait("libvirt to give the migration up", MOVED, || {
        Ok((!source.virsh(["domjobinfo", "link-cut"])?.stdout.contains("Outgoing migration")).then_some(()))
    })?;
    ensure!(source.virsh(["domstate", "link-cut"])?.ok()? == "running", "it does not run at its source");
    scene.host(&to)?.heal_link()?;
    let migration = scene.until_moved("link-cut")?;
    ensure!(failures(&migration).first().is_some_and(|class| class == "lost_on_the_way"), "{migration:#}");
    ensure!(migration["method"] == "live" && scene.boots("link-cut")? == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn an_operator_s_abort_leaves_the_guest_running_and_a_retry_moves_it(scene: &Scene) -> Result<()> {
    scene.add(&[guest("aborted", "h1", SLOW)])?;
    scene.drain("h1")?;
    scene.until_in_transfer("aborted")?;
    scene.wish("aborted", "abort")?;
    let migration =
        scene.until("aborted", "to be aborted", MOVED, |migration| migration["state"] == "failed")?;
    ensure!(failures(&migration) == ["aborted"] && migration["needs_person"] == true, "{migration:#}");
    scene.runs_on("aborted", "h1")?;
    scene.wish("aborted", "retry")?;
    let migration = scene.until_moved("aborted")?;
    ensure!(migration["method"] == "live" && scene.boots("aborted")? == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn a_guest_that_never_converges_is_aborted_and_falls_back_to_a_reboot(scene: &Scene) -> Result<()> {
    scene.add(&[guest("never-done", "h1", SLOW).dirtying(48)])?;
    scene.drain("h1")?;
    let migration = scene.until_moved("never-done")?;
    ensure!(failures(&migration) == ["not_converging"] && migration["method"] == "reboot", "{migration:#}");
    ensure!(
        migration["why_not_live"]["code"] == "live_failed" && migration["ticket"].is_string(),
        "{migration:#}"
    );
    ensure!(scene.boots("never-done")? == 2, "it booted {} times", scene.boots("never-done")?);
    scene.until_drained("h1")
}

fn a_name_clash_at_the_destination_sends_it_elsewhere(scene: &Scene) -> Result<()> {
    scene.add(&[guest("twin", "h1", &[])])?;
    let api = scene.drover().api();
    // The scheduler would not send it to a host that it knows to have one of this name; so nobody tells it.
    scene.drover().kill_agent("h2")?;
    api.post("/v1/hosts/h3/cordon", &json!({ "reason": "h2 is to be tried first" }))?.ok()?;
    let clash = "<domain type='qemu'><name>twin</name><memory unit='MiB'>32</memory>\
        <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), clash)?;
    scene.host("h2")?.virsh(["define".as_ref(), file.path().as_os_str()])?.ok()?;
    scene.drain("h1")?;
    scene.until("twin", "to be refused by h2", MOVED, |migration| !failures(migration).is_empty())?;
    scene.drover().start_agent("h2")?;
    api.post("/v1/hosts/h3/uncordon", &Value::Null)?.ok()?;
    let migration =
        scene.until("twin", "to be moved", MOVED, |migration| migration["done_at"].is_string())?;
    ensure!(migration["to"] == "h3", "{migration:#}");
    ensure!(failures(&migration).iter().all(|class| class == "refused_by_destination"), "{migration:#}");
    let state = |host: &str| scene.host(host)?.virsh(["domstate", "twin"])?.ok();
    ensure!((state("h2")?.as_str(), state("h3")?.as_str()) == ("shut off", "running"), "both were touched");
    scene.until_drained("h1")
}

fn a_destination_whose_libvirtd_is_down_is_found_out_before_anything_is_touched(scene: &Scene) -> Result<()> {
    scene.add(&[guest("nobody-there", "h1", &[])])?;
    let to = text(&scene.plan("h1")?["servers"][0]["to"])?.to_owned();
    scene.host(&to)?.kill_libvirtd()?;
    scene.drain("h1")?;
    let migration =
        scene.until("nobody-there", "to be moved", MOVED, |migration| migration["done_at"].is_string())?;
    scene.host(&to)?.start_libvirtd()?;
    ensure!(migration["to"] != to.as_str(), "{migration:#}");
    ensure!(failures(&migration).iter().all(|class| class == "destination_unreachable"), "{migration:#}");
    scene.runs_on("nobody-there", text(&migration["to"])?)?;
    ensure!(scene.boots("nobody-there")? == 1, "it was rebooted");
    scene.drover().wait("the daemon to be seen again", Duration::from_secs(90), || {
        Ok((scene.drover().api().get(&format!("/v1/hosts/{to}"))?.ok()?["agent"]["silent"] == false)
            .then_some(()))
    })?;
    scene.until_drained("h1")
}
