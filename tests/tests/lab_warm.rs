//! Reboot migrations of servers with local disks on real libvirt and QEMU, with the real scheduler and agents: replicated while they
//! run, cut over, confirmed; and what happens when something breaks, at every moment of it.
//!
//! Over all of them, three things are watched: no guest runs twice, none loses a write that it has acknowledged, and none begins with
//! other disks than it ended with.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use drover_tests::lab::DiskFormat::{Qcow2, Raw};
use drover_tests::lab::{Firmware, LOCAL_STORAGE, Service};
use drover_tests::scene::{self, BOOT, Scene, Stage, finding, text};
use drover_tests::warm::{
    self, Crowd, FAR_WINDOW, Fault, Moment, REPAIRED, SLOW_ROUNDS, Seed, TESTED_IN_A_NETWORK, confirm,
    loaded_guest, local_guest, until_well, was_off_only_in_cutovers,
};
use serde_json::{Value, json};

/// How many servers replicate at once and are cut over at moments drawn by lot. `make soak` does a thousand.
const CROWD: usize = 20;

fn main() -> ExitCode {
    scene::run_on(
        Stage { lab: "test-warm", hosts: 3, options: warm::options },
        drover_tests::tests![
            servers_with_local_disks_are_replicated_cut_over_and_confirmed,
            twenty_servers_replicate_at_once_and_are_cut_over_at_any_moment,
            a_source_agent_killed_at_every_moment_goes_on_after_its_start,
            a_destination_agent_killed_at_every_moment_goes_on_after_its_start,
            scratch_space_without_room_never_pauses_a_guest,
            a_server_that_is_taken_back_has_all_that_it_has_written_since,
            a_server_is_taken_back_at_once_only_by_whoever_accepts_what_is_lost_by_it,
            what_firmware_and_tpm_keep_goes_with_a_server_and_comes_back_with_it,
            a_server_is_tested_at_its_destination_while_it_runs_and_is_replicated,
            a_test_is_looked_at_in_a_network_that_leads_nowhere_for_what_its_owner_asks,
            disks_lie_where_the_blueprint_wants_them_and_go_back_to_where_they_were,
            a_scheduler_killed_at_every_moment_goes_on_after_its_start,
            a_server_that_crashes_while_it_is_replicated_is_moved_when_it_runs_again,
            a_source_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved,
            a_server_that_libvirt_takes_for_off_although_it_runs_is_powered_off_and_moved,
            a_destination_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved,
            a_link_cut_at_every_moment_leaves_one_guest_that_is_moved_once_it_is_healed,
            a_destination_without_room_in_the_middle_is_waited_for,
        ],
    )
}

fn servers_with_local_disks_are_replicated_cut_over_and_confirmed(scene: &Scene) -> Result<()> {
    let servers = ["warm-qcow2", "warm-raw", "warm-both"];
    let mut specs = [
        local_guest(servers[0], &[Qcow2], &[]),
        local_guest(servers[1], &[Raw], &[]),
        loaded_guest(servers[2], &[Qcow2, Raw], &[]),
    ];
    specs.iter_mut().for_each(|spec| spec.autostart = true);
    scene.add(&specs)?;
    let plan = scene.plan("h1")?;
    for one in plan["servers"].as_array().context("a plan names servers")? {
        ensure!(one["decision"] == "reboot" && one["why"]["code"] == "local_disks", "{one:#}");
    }
    scene.drain("h1")?;
    for server in servers {
        let migration = until_well(scene, server)?;
        ensure!(migration["tries"] == 1, "{migration:#}");
        ensure!(scene.boots(server)? == 2, "{server} booted {} times", scene.boots(server)?);
    }
    scene.until_drained("h1")?;
    let begun = scene.witness()?.check()?;
    let seen: Vec<_> = servers.iter().map(|server| begun.get(*server).copied()).collect();
    ensure!(seen == [Some(1), Some(1), Some(2)], "the witness has seen {begun:?}");
    let source = scene.host("h1")?;
    for server in servers {
        let guest = scene.lab().guest(server)?;
        let kept = guest.disks().iter().all(|disk| source.inside(&disk.path).exists());
        ensure!(kept, "the old disks of {server} are gone before anybody has confirmed");
        confirm(scene, server)?;
        let to = scene.host(text(&scene.migration(server)?["to"])?)?;
        let there = guest.disks().iter().all(|disk| to.inside(&disk.path).exists());
        ensure!(there, "a confirmed {server} has lost a disk");
        scene.runs_on(server, to.name())?;
    }
    Ok(())
}

/// Its old disks are the base of the way back, and what it has written since is brought over while it runs.
fn a_server_that_is_taken_back_has_all_that_it_has_written_since(scene: &Scene) -> Result<()> {
    let server = "warm-back";
    scene.add(&[loaded_guest(server, &[Qcow2, Raw], &[])])?;
    scene.drain("h1")?;
    let there = until_well(scene, server)?;
    scene.until_drained("h1")?;
    scene.drover().api().post("/v1/hosts/h1/uncordon", &Value::Null)?.ok()?;
    let collector = scene.lab().collector()?;
    collector.wait_beyond(server, collector.of(server).last() + 5, BOOT)?;
    scene.wish(server, "revert")?;
    let back = until_well(scene, server)?;
    ensure!(back["number"] != there["number"] && back["to"] == "h1", "{back:#}");
    ensure!(scene.boots(server)? == 3, "{server} booted {} times", scene.boots(server)?);
    let number = &there["number"];
    let reverted = scene.drover().api().get(&format!("/v1/migrations/{number}"))?.ok()?;
    ensure!(reverted["state"] == "reverted", "{reverted:#}");
    let begun = scene.witness()?.check()?;
    ensure!(begun.get(server) == Some(&4), "the witness has seen {begun:?}: both disks, at both ends");
    confirm(scene, server)?;
    scene.runs_on(server, "h1")
}

/// Where nothing can be copied back, that is said; and then only what was written between the cutover and this revert is lost.
fn a_server_is_taken_back_at_once_only_by_whoever_accepts_what_is_lost_by_it(scene: &Scene) -> Result<()> {
    let (server, api) = ("warm-lossy", scene.drover().api());
    scene.add(&[loaded_guest(server, &[Qcow2, Raw], &[])])?;
    scene.drain("h1")?;
    let there = until_well(scene, server)?;
    let to = text(&there["to"])?;
    scene.until_drained("h1")?;
    api.post("/v1/hosts/h1/uncordon", &Value::Null)?.ok()?;
    let revert = |body: &Value| api.post(&format!("/v1/migrations/{}/revert", there["number"]), body);

    let with_replication = scene.drover().stop_replication(to)?;
    scene.drover().wait("it to be known that nothing can be copied from there", BOOT, || {
        let plan = scene.plan(to)?;
        let of_it = plan["servers"].as_array().into_iter().flatten().find(|one| one["name"] == server);
        Ok((of_it.context("it is planned")?["why"]["code"] == "not_replicating").then_some(()))
    })?;
    let refused = revert(&Value::Null)?;
    ensure!(refused.status == 409, "{refused:?}");
    ensure!(refused.body.to_string().contains("accept_data_loss"), "{refused:?}");
    scene.runs_on(server, to)?;
    ensure!(scene.migration(server)?["number"] == there["number"], "something was begun all the same");

    let collector = scene.lab().collector()?;
    let heard = collector.wait_beyond(server, collector.of(server).last() + 20, BOOT)?;
    let kept = collector.may_lose_last_boot(server)?;
    revert(&json!({ "accept_data_loss": true }))?.ok()?;
    let back = scene.until(server, "to be back", REPAIRED, |migration| migration["done_at"].is_string())?;
    ensure!(back["to"] == "h1" && back["number"] != there["number"], "{back:#}");
    scene.drover().wait("it to count on from where it was", BOOT, || {
        Ok((collector.of(server).may_lose_beyond.is_none()).then_some(()))
    })?;
    let after = collector.of(server);
    ensure!(after.acknowledged.iter().any(|(_, last)| *last >= kept), "{after:?}");
    ensure!(after.boots == heard.boots, "its old disks count the boots that they have seen: {after:?}");
    scene.runs_on(server, "h1")?;
    let reverted = api.get(&format!("/v1/migrations/{}", there["number"]))?.ok()?;
    ensure!(reverted["state"] == "reverted", "{reverted:#}");
    scene.drover().put_configuration(to, &with_replication)?;
    confirm(scene, server)?;
    scene.runs_on(server, "h1")
}

/// Both are no disks, and libvirt copies neither: they are taken when the server is off. The firmware writes its variables at every boot.
fn what_firmware_and_tpm_keep_goes_with_a_server_and_comes_back_with_it(scene: &Scene) -> Result<()> {
    if let Some(reason) = Firmware::lacks() {
        println!("    SKIPPED: {reason}");
        return Ok(());
    }
    let server = "warm-uefi";
    let mut spec = local_guest(server, &[Qcow2], &[]);
    (spec.firmware, spec.memory_mib) = (Firmware::UefiWithTpm, 256);
    scene.add(&[spec])?;
    let begun = || Ok::<_, anyhow::Error>(scene.witness()?.check()?.get(server).copied());
    scene.drain("h1")?;
    let there = until_well(scene, server)?;
    ensure!(begun()? == Some(3), "of its disk, its firmware and its TPM the witness has seen {:?}", begun()?);
    scene.until_drained("h1")?;
    scene.drover().api().post("/v1/hosts/h1/uncordon", &Value::Null)?.ok()?;
    scene.wish(server, "revert")?;
    let back = until_well(scene, server)?;
    ensure!(back["to"] == "h1" && back["number"] != there["number"], "{back:#}");
    ensure!(begun()? == Some(6), "on the way back the witness has seen {:?} in all", begun()?);
    confirm(scene, server)?;
    scene.runs_on(server, "h1")
}

/// Tried twice, the second time over a kill of the agent that carries it out, and moved after that with all that it wrote meanwhile.
fn a_server_is_tested_at_its_destination_while_it_runs_and_is_replicated(scene: &Scene) -> Result<()> {
    let server = "warm-tested";
    scene.add(&[loaded_guest(server, &[Qcow2, Raw], &[FAR_WINDOW])])?;
    scene.drain("h1")?;
    let ready =
        scene.until(server, "to be ready", REPAIRED, |migration| migration["replica"]["ready"] == true)?;
    let to = text(&ready["to"])?;
    for kill in [false, true] {
        scene.wish(server, "replica/test")?;
        if kill {
            scene.drover().kill_agent(to)?;
            scene.drover().start_agent(to)?;
        }
        let test = until_test(scene, &ready, "running")?;
        ensure!(test["alive"] == true, "{test:#}");
        let domains = scene.host(to)?.virsh(["list", "--name"])?.stdout;
        ensure!(domains.lines().any(|name| name == "warm-tested-test"), "{domains}");
        let rounds = rounds_of(scene, &ready)?;
        scene.drover().wait("rounds to land beside the test", REPAIRED, || {
            Ok((rounds_of(scene, &ready)? >= rounds + 2).then_some(()))
        })?;
        scene.runs_on(server, "h1")?;
        scene.wish(server, "replica/test/passed")?;
        scene.wish(server, "replica/test/end")?;
        until_test(scene, &ready, "over")?;
        let domains = scene.host(to)?.virsh(["list", "--all", "--name"])?.stdout;
        ensure!(!domains.contains("warm-tested-test"), "{domains}");
        let files = scene.local_files()?;
        let of_tests = |name: &std::path::PathBuf| {
            [".test", ".next", ".vars"].iter().any(|kind| name.to_string_lossy().ends_with(kind))
        };
        scene
            .drover()
            .wait("what landed meanwhile to be joined", REPAIRED, || {
                Ok((!scene.local_files()?.iter().any(of_tests)).then_some(()))
            })
            .with_context(|| format!("{files:?}"))?;
    }
    scene.wish(server, "start-now")?;
    until_well(scene, server).map(drop)
}

/// The destination has an address in that network, and asks the test guest there; the server itself is never asked.
fn a_test_is_looked_at_in_a_network_that_leads_nowhere_for_what_its_owner_asks(scene: &Scene) -> Result<()> {
    let (server, address) = ("warm-looked-at", Ipv4Addr::new(192, 168, 77, 10));
    let mut spec = local_guest(server, &[Qcow2], &[FAR_WINDOW, TESTED_IN_A_NETWORK]);
    spec.agent = true;
    spec.service = Some(Service { port: 8080, boots: 0, also_at: Some((address, 24)) });
    scene.add(&[spec])?;
    scene.check_http(server, 8080)?;
    scene.drain("h1")?;
    let ready =
        scene.until(server, "to be ready", REPAIRED, |migration| migration["replica"]["ready"] == true)?;
    let to = scene.host(text(&ready["to"])?)?;
    let network = |forward: &str| {
        format!(
            "<network><name>tests</name>{forward}<bridge name='tests0'/><dns enable='no'/><ip address='192.168.77.1' prefix='24'/></network>"
        )
    };

    to.virsh_with("net-define", &network("<forward mode='nat'/>"))?;
    scene.wish(server, "replica/test")?;
    let refused = until_test(scene, &ready, "over")?;
    ensure!(text(&refused["ended"])?.contains("forwards (mode nat)"), "{refused:#}");
    to.virsh(["net-undefine", "tests"])?.ok()?;

    to.virsh_with("net-create", &network(""))?;
    scene.wish(server, "replica/test")?;
    let test = until_test(scene, &ready, "running")?;
    ensure!(finding(&test["checks"], "http 8080")? == "passed" && test["well"] == true, "{test:#}");
    ensure!(test["answered_after_ms"].as_u64().is_some_and(|after| after > 0), "{test:#}");
    let plugged = to.virsh(["domiflist", "warm-looked-at-test"])?.ok()?;
    ensure!(plugged.lines().all(|line| line.contains(" tests ")), "{plugged}");
    let estimate = replica_of(scene, &ready)?["estimate"].clone();
    ensure!(estimate["boot_ms"] == test["answered_after_ms"], "{estimate:#}");
    scene.wish(server, "replica/test/end")?;
    until_test(scene, &ready, "over")?;
    to.virsh(["net-destroy", "tests"])?.ok()?;
    scene.runs_on(server, "h1")?;
    scene.wish(server, "start-now")?;
    until_well(scene, server)?;
    scene.until_drained("h1")?;
    confirm(scene, server)
}

/// Each becomes what the other was, in another directory, and the way back loses neither a write nor the old images.
fn disks_lie_where_the_blueprint_wants_them_and_go_back_to_where_they_were(scene: &Scene) -> Result<()> {
    let (server, api, fast) = ("warm-reshaped", scene.drover().api(), format!("{LOCAL_STORAGE}/fast"));
    for host in scene.lab().hosts() {
        std::fs::create_dir_all(host.inside(&fast))?;
    }
    scene.add(&[loaded_guest(server, &[Qcow2, Raw], &[])])?;
    // Path and format of each disk, as libvirt has them where it is.
    let disks = |host: &str| -> Result<Vec<(String, String)>> {
        let xml = scene.host(host)?.virsh(["dumpxml", "--inactive", server])?.ok()?;
        let of = |text: &str, before: &str| {
            let value = text.split_once(before)?.1.split('\'').next()?;
            Some(value.to_owned())
        };
        let each = xml
            .split("<disk ")
            .skip(1)
            .filter_map(|disk| Some((of(disk, "file='")?, of(disk, "name='qemu' type='")?)));
        Ok(each.collect())
    };
    let before = disks("h1")?;
    ensure!(before.len() == 2 && before[0].1 == "qcow2" && before[1].1 == "raw", "{before:?}");
    let shape = |format: &str| json!({ "directory": fast, "format": format });
    let blueprint = json!({ "disks": { "vda": shape("raw"), "vdb": shape("qcow2") } });
    api.put(&format!("/v1/servers/{server}/blueprint"), &blueprint)?.ok()?;
    scene.drain("h1")?;
    let there = until_well(scene, server)?;
    let moved = disks(text(&there["to"])?)?;
    for ((path, format), wanted) in moved.iter().zip(["raw", "qcow2"]) {
        ensure!(path.starts_with(&fast) && format == wanted, "{moved:?}");
    }
    scene.until_drained("h1")?;
    api.post("/v1/hosts/h1/uncordon", &Value::Null)?.ok()?;
    let collector = scene.lab().collector()?;
    collector.wait_beyond(server, collector.of(server).last() + 5, BOOT)?;
    scene.wish(server, "revert")?;
    let back = until_well(scene, server)?;
    ensure!(back["to"] == "h1" && disks("h1")? == before, "{back:#}");
    confirm(scene, server)?;
    scene.runs_on(server, "h1")
}

fn replica_of(scene: &Scene, migration: &Value) -> Result<Value> {
    scene.drover().api().get(&format!("/v1/replicas/{}", migration["number"]))?.ok()
}

fn rounds_of(scene: &Scene, migration: &Value) -> Result<u64> {
    replica_of(scene, migration)?["rounds"].as_u64().context("a replica tells of its rounds")
}

fn until_test(scene: &Scene, migration: &Value, state: &str) -> Result<Value> {
    scene.drover().wait(&format!("the test to be {state}"), REPAIRED, || {
        let test = replica_of(scene, migration)?["test"].clone();
        ensure!(test["ended"].is_null() || state == "over", "{test:#}");
        Ok((test["state"] == state).then_some(test))
    })
}

fn twenty_servers_replicate_at_once_and_are_cut_over_at_any_moment(scene: &Scene) -> Result<()> {
    let seed = Seed::any();
    println!("    seed {seed}");
    let mut crowd = Crowd::gather(scene, "crowd", CROWD, seed)?;
    let report = crowd.travel("h1", "h2").with_context(|| format!("seed {seed}"))?;
    println!("    {report}");
    Ok(())
}

/// Moves one server, and lets this break at every moment of its way that is come to, each time until it is repaired.
fn break_at_every_moment(scene: &Scene, fault: Fault) -> Result<()> {
    let name = format!("{fault}").replace(' ', "-").to_lowercase();
    scene.add(&[loaded_guest(&name, &[Qcow2, Raw], &[SLOW_ROUNDS])])?;
    let guest = scene.lab().guest(&name)?;
    // Nobody starts one that has crashed while another one holds it.
    let meets_its_start = fault.is_possible_at(Moment::BootTarget);
    let held = meets_its_start.then(|| scene.witness()?.hold_unless_on("h1", &name)).transpose()?;
    scene.drain("h1")?;
    for moment in Moment::ALL.into_iter().filter(|moment| fault.is_possible_at(*moment)) {
        if !moment.wait(scene, &guest, held.as_ref(), REPAIRED).with_context(|| format!("{fault}"))? {
            println!("    {moment}: passed by unseen");
            // These are over in the blink of an eye; the others can't be missed.
            ensure!(
                matches!(moment, Moment::FinalDelta | Moment::Tail | Moment::Finalize),
                "{fault} at {moment}: never seen"
            );
            continue;
        }
        let broken = fault.strike(scene, &guest).with_context(|| format!("{fault} at {moment}"))?;
        std::thread::sleep(fault.lasts());
        broken.repair(scene, &guest).with_context(|| format!("{fault} at {moment}"))?;
        println!("    {moment}: struck and repaired");
    }
    drop(held);
    let migration = until_well(scene, &name).with_context(|| format!("{fault}"))?;
    // Where both libvirtds and the way to them stay, virsh sees all of it. For the others the witness and the boots speak: it ran on with
    // its disks, or was started once.
    let seen = [
        Fault::SourceAgent,
        Fault::DestinationAgent,
        Fault::Scheduler,
        Fault::DestinationFull,
        Fault::ScratchFull,
    ];
    if seen.contains(&fault) {
        was_off_only_in_cutovers(scene, &name).with_context(|| format!("{fault}"))?;
    }
    scene.until_drained("h1")?;
    // One that was moved as a server that was off has nobody who has to look at it.
    if migration["state"] == "completed" { confirm(scene, &name) } else { Ok(()) }
}

fn a_source_agent_killed_at_every_moment_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::SourceAgent)
}

fn a_destination_agent_killed_at_every_moment_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::DestinationAgent)
}

fn a_scheduler_killed_at_every_moment_goes_on_after_its_start(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::Scheduler)
}

fn a_server_that_crashes_while_it_is_replicated_is_moved_when_it_runs_again(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::SourceQemu)
}

fn a_source_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::SourceLibvirtd)
}

/// A libvirtd that is ended within some two milliseconds of a round notes of its disks only the first, and can't read that. The moment
/// is too short to be met, so what it would have noted is put into its note.
fn a_server_that_libvirt_takes_for_off_although_it_runs_is_powered_off_and_moved(
    scene: &Scene,
) -> Result<()> {
    let (server, source) = ("warm-lost", scene.host("h1")?);
    scene.add(&[loaded_guest(server, &[Qcow2, Raw], &[SLOW_ROUNDS, FAR_WINDOW])])?;
    scene.drain("h1")?;
    let migration =
        scene.until(server, "to be ready", REPAIRED, |migration| migration["state"] == "ready")?;
    source.kill_libvirtd()?;
    let note = source.outside(&format!("/run/libvirt/qemu/{server}.xml"));
    let noted = std::fs::read_to_string(&note)?;
    let half = "<domainbackup mode='pull'><disks><disk name='vdb' backup='yes' type='file' backupmode='full'/></disks></domainbackup>";
    let before = match noted.split_once("<domainbackup") {
        Some((before, _)) => before,
        None => noted.strip_suffix("</domstatus>\n").context("libvirt's note ends otherwise")?,
    };
    let after = noted.split_once("</domainbackup>").map_or("</domstatus>\n", |(_, after)| after);
    std::fs::write(&note, format!("{before}{half}{after}"))?;
    source.start_libvirtd()?;
    let state = source.virsh(["domstate", server])?.ok()?;
    ensure!(state.trim() == "shut off", "libvirt could read it: {state}");
    let qemu = source.qemu_pid(server).context("its QEMU should live")?;

    scene.drover().wait("its copy to say what is the matter", REPAIRED, || {
        let replica = replica_of(scene, &migration)?;
        Ok(replica.to_string().contains(&format!("process {qemu}")).then_some(()))
    })?;
    let seen = scene.drover().api().get(&format!("/v1/servers/{server}"))?.ok()?;
    ensure!(seen["power"] == "running", "{seen:#}");
    ensure!(source.qemu_pid(server) == Some(qemu), "it was touched before its time");

    scene.wish(server, "start-now")?;
    let moved = until_well(scene, server)?;
    ensure!(moved["attempts"].as_array().is_some_and(|tries| tries.len() == 1), "{moved:#}");
    ensure!(moved["moved"]["power_off"] == "acpi", "its guest was not asked: {moved:#}");
    scene.until_drained("h1")?;
    confirm(scene, server)
}

fn a_destination_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::DestinationLibvirtd)
}

fn a_link_cut_at_every_moment_leaves_one_guest_that_is_moved_once_it_is_healed(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::Link)
}

fn a_destination_without_room_in_the_middle_is_waited_for(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::DestinationFull)
}

fn scratch_space_without_room_never_pauses_a_guest(scene: &Scene) -> Result<()> {
    break_at_every_moment(scene, Fault::ScratchFull)
}
