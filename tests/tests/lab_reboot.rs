//! Reboot migrations on real libvirt and QEMU, with the real scheduler and agents, and what is answered about servers
//! that cannot be moved as they are.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use drover_tests::lab::{DiskFormat, LOCAL_STORAGE, Service};
use drover_tests::scene::{self, MOVED, Scene, failures, finding, forbids_live, guest, text};
use serde_json::{Value, json};

fn main() -> ExitCode {
    scene::run(
        "test-reboot",
        drover_tests::tests![
            a_guest_is_powered_off_by_its_agent_by_its_power_button_or_hard_whichever_works_first,
            a_rebooted_guest_finds_every_acknowledged_write_and_starts_with_its_new_host,
            a_killed_scheduler_takes_a_running_cutover_up_again,
            an_agent_killed_while_the_guest_shuts_down_goes_on_after_its_start,
            an_agent_killed_when_the_source_is_off_goes_on_after_its_start,
            an_agent_killed_while_the_target_boots_goes_on_after_its_start,
            a_destination_libvirtd_killed_in_the_cutover_leaves_one_guest_that_comes_up_once,
            a_name_clash_at_the_destination_is_found_before_the_guest_is_powered_off,
            a_server_boots_in_the_shape_of_its_blueprint_and_goes_back_in_its_own,
            a_service_that_does_not_come_back_holds_its_migration_until_a_person_has_looked,
            servers_that_cannot_simply_be_moved_are_named_with_what_to_do_about_them,
        ],
    )
}

fn a_guest_is_powered_off_by_its_agent_by_its_power_button_or_hard_whichever_works_first(
    scene: &Scene,
) -> Result<()> {
    let mut agent = forbids_live("off-by-agent", &[]);
    agent.agent = true;
    let button = forbids_live("off-by-button", &[]);
    let mut deaf = forbids_live("off-hard", &[("ears", "none")]);
    deaf.ignore_acpi = true;
    scene.add(&[agent, button, deaf])?;
    scene.until_agent_answers("off-by-agent")?;
    scene.drain("h1")?;
    for (server, how) in [("off-by-agent", "guest_agent"), ("off-by-button", "acpi"), ("off-hard", "hard")] {
        let migration = scene.until_rebooted(server)?;
        ensure!(migration["moved"]["power_off"] == how && migration["tries"] == 1, "{server}: {migration:#}");
    }
    scene.until_drained("h1")
}

fn a_rebooted_guest_finds_every_acknowledged_write_and_starts_with_its_new_host(scene: &Scene) -> Result<()> {
    let mut spec = forbids_live("writes-on", &[]);
    (spec.beat_ms, spec.autostart) = (20, true);
    scene.add(&[spec])?;
    // On a busy machine it writes slowly.
    scene.drover().wait("the guest to have acknowledged something", MOVED, || {
        Ok((scene.lab().collector()?.of("writes-on").last() > 50).then_some(()))
    })?;
    scene.drain("h1")?;
    let migration = scene.until_rebooted("writes-on")?;
    let to = text(&migration["to"])?;
    let marked = scene.host(to)?.virsh(["list", "--all", "--name", "--autostart"])?.ok()?;
    ensure!(marked.trim() == "writes-on", "started with {to}: {marked:?}");
    let checks = scene.lab().check_no_acknowledged_write_lost()?;
    let check = checks.iter().find(|check| check.guest == "writes-on").context("it was not looked at")?;
    ensure!(check.acknowledged > 50 && check.last_on_disk >= check.last_acknowledged, "{check:?}");
    scene.until_drained("h1")
}

fn a_killed_scheduler_takes_a_running_cutover_up_again(scene: &Scene) -> Result<()> {
    scene.add(&[forbids_live("cut-scheduler", &[])])?;
    scene.drain("h1")?;
    // The agent has told of a phase, so it has the order and goes on alone.
    scene.until("cut-scheduler", "to be cut over", MOVED, |migration| migration["phase"].is_string())?;
    scene.drover().kill_scheduler()?;
    scene.drover().wait("the guest to be started at its destination", MOVED, || {
        let running = scene.lab().where_running("cut-scheduler")?;
        Ok(running.iter().any(|host| host.name() != "h1").then_some(()))
    })?;
    scene.drover().start_scheduler()?;
    let migration = scene.until_rebooted("cut-scheduler")?;
    ensure!(migration["tries"] == 1, "{migration:#}");
    scene.until_drained("h1")
}

/// Kills the agent of h1 as soon as `now` says so, starts it again, and expects the guest to arrive all the same.
fn kill_agent_when(scene: &Scene, server: &str, mut now: impl FnMut() -> Result<bool>) -> Result<()> {
    scene.drain("h1")?;
    scene.drover().wait("the moment to kill the agent", MOVED, || Ok(now()?.then_some(())))?;
    scene.drover().kill_agent("h1")?;
    scene.drover().start_agent("h1")?;
    let migration = scene.until_rebooted(server)?;
    ensure!(migration["tries"] == 1, "{migration:#}");
    scene.until_drained("h1")
}

fn an_agent_killed_while_the_guest_shuts_down_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    // Deaf, so that the shutdown lasts until it is powered off hard.
    let mut deaf = forbids_live("cut-shutdown", &[("ears", "none")]);
    deaf.ignore_acpi = true;
    scene.add(&[deaf])?;
    kill_agent_when(scene, "cut-shutdown", || {
        Ok(scene.migration("cut-shutdown").is_ok_and(|migration| migration["phase"] == "power_off_source"))
    })
}

fn an_agent_killed_when_the_source_is_off_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    scene.add(&[forbids_live("cut-off", &[])])?;
    let source = scene.host("h1")?.clone();
    // Off and still defined, or not even that any more: whatever the agent was about to do next is left undone.
    kill_agent_when(
        scene,
        "cut-off",
        || Ok(source.virsh(["domstate", "cut-off"])?.stdout.trim() != "running"),
    )
}

fn an_agent_killed_while_the_target_boots_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    scene.add(&[forbids_live("cut-boot", &[])])?;
    kill_agent_when(scene, "cut-boot", || {
        let known =
            |host: &&str| -> Result<bool> { Ok(scene.host(host)?.virsh(["domstate", "cut-boot"])?.success) };
        Ok(known(&"h2")? || known(&"h3")?)
    })
}

fn a_destination_libvirtd_killed_in_the_cutover_leaves_one_guest_that_comes_up_once(
    scene: &Scene,
) -> Result<()> {
    // Deaf, so that the destination dies after it was found ready, and before the guest is off.
    let mut deaf = forbids_live("cut-target", &[("ears", "none")]);
    deaf.ignore_acpi = true;
    scene.add(&[deaf])?;
    scene.drain("h1")?;
    let migration = scene.until("cut-target", "to be powered off", MOVED, |migration| {
        migration["phase"] == "power_off_source"
    })?;
    let to = text(&migration["to"])?.to_owned();
    scene.host(&to)?.kill_libvirtd()?;
    let source = scene.host("h1")?;
    scene.drover().wait("the source to be off", MOVED, || {
        Ok((source.virsh(["domstate", "cut-target"])?.stdout.trim() != "running").then_some(()))
    })?;
    scene.host(&to)?.start_libvirtd()?;
    let migration = scene.until_rebooted("cut-target")?;
    ensure!(migration["tries"] == 1, "{migration:#}");
    scene.until_drained("h1")
}

/// Of two that answered before, the one answers after its boot as well, and the other does not: its owner hears of that and not that all is well.
fn a_service_that_does_not_come_back_holds_its_migration_until_a_person_has_looked(
    scene: &Scene,
) -> Result<()> {
    let (well, gone) = ("service-well", "service-gone");
    let serving = |name: &str, boots| {
        let mut spec = forbids_live(name, &[]);
        (spec.agent, spec.service) = (true, Some(Service { port: 8080, boots, also_at: None }));
        spec
    };
    scene.add(&[serving(well, 0), serving(gone, 1)])?;
    for server in [well, gone] {
        scene.check_http(server, 8080)?;
        scene.until_agent_answers(server)?;
    }
    scene.drain("h1")?;
    let shop = |migration: &Value| finding(&migration["checks"], "http 8080");
    let moved = scene.until_rebooted(well)?;
    ensure!(shop(&moved)? == "passed", "{moved:#}");
    let held =
        scene.until(gone, "to wait for a person", MOVED, |migration| migration["state"] == "failed")?;
    ensure!(shop(&held)? == "failed" && held["outcome"]["code"] == "checks_failed", "{held:#}");
    scene.runs_on(gone, text(&held["to"])?)?;
    // It has left its host all the same.
    scene.until_drained("h1")?;
    scene.wish(gone, "confirm")?;
    scene.until(gone, "to be over", MOVED, |migration| migration["state"] == "completed").map(drop)
}

fn a_name_clash_at_the_destination_is_found_before_the_guest_is_powered_off(scene: &Scene) -> Result<()> {
    scene.add(&[forbids_live("refused-there", &[])])?;
    let api = scene.drover().api();
    // The scheduler would not send it to a host that it knows to have one of this name; so nobody tells it.
    scene.drover().kill_agent("h2")?;
    api.post("/v1/hosts/h3/cordon", &json!({ "reason": "h2 is to be tried first" }))?.ok()?;
    let clash = "<domain type='qemu'><name>refused-there</name><memory unit='MiB'>32</memory>\
        <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), clash)?;
    scene.host("h2")?.virsh(["define".as_ref(), file.path().as_os_str()])?.ok()?;
    scene.drain("h1")?;
    scene
        .until("refused-there", "to be refused by h2", MOVED, |migration| !failures(migration).is_empty())?;
    scene.drover().start_agent("h2")?;
    api.post("/v1/hosts/h3/uncordon", &Value::Null)?.ok()?;
    let migration =
        scene.until("refused-there", "to be moved", MOVED, |migration| migration["done_at"].is_string())?;
    ensure!(migration["to"] == "h3", "{migration:#}");
    ensure!(failures(&migration).iter().all(|class| class == "refused_by_destination"), "{migration:#}");
    let state = |host: &str| scene.host(host)?.virsh(["domstate", "refused-there"])?.ok();
    ensure!((state("h2")?.as_str(), state("h3")?.as_str()) == ("shut off", "running"), "both were touched");
    let events = api.all(&format!("/v1/events?limit=500&migration={}", text(&migration["id"])?))?;
    let offs = events.iter().filter(|event| event["text"] == "power off source").count();
    ensure!(offs == 1, "it was powered off {offs} times: {events:#?}");
    scene.until_drained("h1")
}

fn a_server_boots_in_the_shape_of_its_blueprint_and_goes_back_in_its_own(scene: &Scene) -> Result<()> {
    let (server, api) = ("reshaped", scene.drover().api());
    scene.add(&[forbids_live(server, &[])])?;
    // Memory in KiB and processors, as libvirt has them where it is.
    let shape = |host: &str| -> Result<(u64, u64)> {
        let told = scene.host(host)?.virsh(["dominfo", server])?.ok()?;
        let figure = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            line.and_then(|figure| figure.parse().ok()).with_context(|| format!("no {name} in {told}"))
        };
        Ok((figure("Max memory:")?, figure("CPU(s):")?))
    };
    let before = shape("h1")?;
    let wanted = (before.0 + (32 << 10), before.1 + 1);
    let blueprint = json!({ "memory_bytes": wanted.0 << 10, "vcpus": wanted.1 });
    api.put(&format!("/v1/servers/{server}/blueprint"), &blueprint)?.ok()?;
    scene.drain("h1")?;
    let there = scene.until_rebooted(server)?;
    ensure!(shape(text(&there["to"])?)? == wanted, "{there:#}");
    scene.until_drained("h1")?;
    let left = api.get(&format!("/v1/servers/{server}/blueprint"))?.ok()?;
    ensure!(left["set_by"].is_null(), "it is carried out once: {left:#}");
    api.post("/v1/hosts/h1/uncordon", &Value::Null)?.ok()?;
    scene.wish(server, "revert")?;
    let back = scene.until_moved(server)?;
    ensure!(back["to"] == "h1" && shape("h1")? == before, "{back:#}");
    ensure!(scene.boots(server)? == 3, "it booted {} times", scene.boots(server)?);
    Ok(())
}

fn servers_that_cannot_simply_be_moved_are_named_with_what_to_do_about_them(scene: &Scene) -> Result<()> {
    let mut nobodys = guest("has-no-owner", "h1", &[]);
    nobodys.metadata = String::new();
    let mut snapshot = guest("has-snapshot", "h1", &[]);
    (snapshot.format, snapshot.start) = (DiskFormat::Qcow2, false);
    let mut device = guest("has-device", "h1", &[]);
    device.start = false;
    device.extra_devices = "<hostdev mode='subsystem' type='pci' managed='no'><source>\
        <address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source></hostdev>"
        .to_owned();
    let mut local = guest("has-local-file", "h1", &[]);
    local.start = false;
    local.extra_devices = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>\
         <source file='{LOCAL_STORAGE}/extra.raw'/><target dev='vdb' bus='virtio'/></disk>"
    );
    let host = scene.host("h1")?;
    std::fs::File::create(host.outside(&format!("{LOCAL_STORAGE}/extra.raw")))?.set_len(1 << 20)?;
    scene.add(&[nobodys, snapshot, device, local])?;
    host.virsh(["snapshot-create-as", "has-snapshot", "before-update"])?.ok()?;

    // The lab's agents have no `[replication]`.
    let expected =
        [("has-snapshot", "snapshots"), ("has-device", "host_device"), ("has-local-file", "not_replicating")];
    // libvirt tells of a new snapshot by no event; the agent compares everything once a minute.
    let plan = scene.drover().wait("all of them to be seen", Duration::from_secs(90), || {
        let plan = scene.plan("h1")?;
        let seen =
            |(name, code): &(&str, &str)| planned(&plan, name).is_some_and(|one| one["why"]["code"] == *code);
        Ok(expected.iter().all(seen).then_some(plan))
    })?;
    for (server, advice) in [
        ("has-snapshot", "delete the snapshot"),
        ("has-device", "detach it"),
        ("has-local-file", "set `[replication] listen`"),
    ] {
        let one = planned(&plan, server).context("it is planned")?;
        let text = text(&one["why"]["text"])?;
        ensure!(one["decision"] == "blocked" && text.contains(advice), "{server}: {one:#}");
    }
    let nobodys = planned(&plan, "has-no-owner").context("it is planned")?;
    ensure!(nobodys["decision"] == "live", "{nobodys:#}");
    let remarks = plan["remarks"].to_string();
    ensure!(remarks.contains("has-no-owner") && remarks.contains("belongs to nobody known"), "{remarks}");
    // Only asked: nothing has changed.
    let shown = scene.drover().api().get("/v1/hosts/h1")?.ok()?;
    ensure!(shown["standing"] == json!({ "state": "open" }), "{shown:#}");
    scene.runs_on("has-no-owner", "h1")
}

fn planned<'a>(plan: &'a Value, server: &str) -> Option<&'a Value> {
    plan["servers"].as_array()?.iter().find(|one| one["name"] == server)
}
