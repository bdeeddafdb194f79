//! Reboot migrations of servers with local disks on real libvirt and QEMU, with the real scheduler and agents: replicated while they
//! run, cut over, confirmed; and what happens when something breaks, at every moment of it.
//!
//! Over all of them, three things are watched: no guest runs twice, none loses a write that it has acknowledged, and none begins with
//! other disks than it ended with.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use drover_tests::lab::DiskFormat::{Qcow2, Raw};
use drover_tests::scene::{self, Scene, Stage, text};
use drover_tests::warm::{
    self, Crowd, Fault, Moment, REPAIRED, SLOW_ROUNDS, Seed, confirm, loaded_guest, local_guest, until_well,
};

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
            a_scheduler_killed_at_every_moment_goes_on_after_its_start,
            a_server_that_crashes_while_it_is_replicated_is_moved_when_it_runs_again,
            a_source_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved,
            a_destination_libvirtd_killed_at_every_moment_leaves_one_guest_that_is_moved,
            a_link_cut_at_every_moment_leaves_one_guest_that_is_moved_once_it_is_healed,
            a_destination_without_room_in_the_middle_is_waited_for,
            scratch_space_without_room_never_pauses_a_guest,
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
    let held = scene.witness()?.hold_unless_on("h1", &name)?;
    scene.drain("h1")?;
    for moment in Moment::ALL.into_iter().filter(|moment| fault.is_possible_at(*moment)) {
        if !moment.wait(scene, &guest, &held, REPAIRED).with_context(|| format!("{fault}"))? {
            println!("    {moment}: passed by unseen");
            continue;
        }
        let broken = fault.strike(scene, &guest).with_context(|| format!("{fault} at {moment}"))?;
        std::thread::sleep(fault.lasts());
        broken.repair(scene, &guest).with_context(|| format!("{fault} at {moment}"))?;
        println!("    {moment}: struck and repaired");
    }
    drop(held);
    let migration = until_well(scene, &name).with_context(|| format!("{fault}"))?;
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
