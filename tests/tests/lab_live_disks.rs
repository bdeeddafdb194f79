//! Live migrations of servers with local disks on real libvirt and QEMU: their disks go along, and no guest notices.
//!
//! Over all of them, three things are watched: no guest runs twice, none loses a write that it has acknowledged, and none begins with
//! other disks than it ended with.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use drover_tests::installation::{Options, Replicas};
use drover_tests::lab::DiskFormat::{Qcow2, Raw};
use drover_tests::scene::{self, MOVED, POLICY, REPLICA_MARK, Scene, Stage, failures, text};
use drover_tests::warm::{confirm, loaded_guest, local_guest};

/// For the one that does not go live after all.
const REPLICATION: &str = r#"
[replication]
far = "2s"
near = "1s"

[[rule]]
name = "local disks"
match = { label = "disks=local" }
set.windows.slot_step = "15s"
"#;

const SLOW: &[(&str, &str)] = &[("pace", "slow")];

fn main() -> ExitCode {
    let options =
        || Ok(Options { replicas: Replicas::Held, ..Options::new(&format!("{POLICY}{REPLICATION}")) });
    scene::run_on(
        Stage { lab: "test-live-disks", hosts: 3, options },
        drover_tests::tests![
            servers_go_live_with_their_disks_and_the_old_ones_are_kept_until_confirmed,
            a_receiving_qemu_that_is_killed_costs_a_try_and_leaves_nothing,
            a_killed_agent_s_migration_goes_on_and_is_taken_up_again,
            a_guest_that_never_converges_is_rebooted_from_a_replica,
        ],
    )
}

/// Where its disks must be, and where nothing of a replica may be any more.
fn disks_at(scene: &Scene, server: &str, hosts: &[&str]) -> Result<()> {
    let guest = scene.lab().guest(server)?;
    for host in scene.lab().hosts() {
        let expected = hosts.contains(&host.name());
        for disk in guest.disks() {
            let there = host.inside(&disk.path).exists();
            ensure!(there == expected, "{} at {}: {there}, expected {expected}", disk.path, host.name());
        }
    }
    scene.drover().wait(&format!("nothing of a replica of {server} to be left"), MOVED, || {
        let mut files = scene.local_files()?.into_iter();
        let left = files.any(|file| {
            let file = file.to_string_lossy();
            file.contains(server) && file.contains(REPLICA_MARK)
        });
        Ok((!left).then_some(()))
    })
}

fn servers_go_live_with_their_disks_and_the_old_ones_are_kept_until_confirmed(scene: &Scene) -> Result<()> {
    let servers = ["disks-qcow2", "disks-raw", "disks-both"];
    scene.add(&[
        local_guest(servers[0], &[Qcow2], &[]),
        local_guest(servers[1], &[Raw], &[]),
        loaded_guest(servers[2], &[Qcow2, Raw], &[]),
    ])?;
    for one in scene.plan("h1")?["servers"].as_array().context("a plan names servers")? {
        ensure!(one["decision"] == "live", "{one:#}");
    }
    scene.drain("h1")?;
    for server in servers {
        let migration = scene.until_moved(server)?;
        ensure!(migration["method"] == "live" && migration["tries"] == 1, "{migration:#}");
        ensure!(migration["state"] == "completed" && migration["ticket"].is_null(), "{migration:#}");
        ensure!(migration["moved"]["sent_bytes"].as_u64() > Some(10_000_000), "{migration:#}");
        ensure!(scene.boots(server)? == 1, "{server} was rebooted");
    }
    scene.until_drained("h1")?;
    for server in servers {
        let to = text(&scene.migration(server)?["to"])?.to_owned();
        disks_at(scene, server, &["h1", &to])?;
        confirm(scene, server)?;
        disks_at(scene, server, &[&to])?;
        scene.runs_on(server, &to)?;
    }
    Ok(())
}

fn a_receiving_qemu_that_is_killed_costs_a_try_and_leaves_nothing(scene: &Scene) -> Result<()> {
    scene.add(&[local_guest("disks-receiver", &[Qcow2], SLOW)])?;
    scene.drain("h1")?;
    let to = scene.until_in_transfer("disks-receiver")?;
    scene.host(&to)?.kill_qemu("disks-receiver")?;
    let migration = scene.until_moved("disks-receiver")?;
    ensure!(failures(&migration) == ["lost_on_the_way"], "{migration:#}");
    ensure!(migration["method"] == "live" && scene.boots("disks-receiver")? == 1, "{migration:#}");
    disks_at(scene, "disks-receiver", &["h1", text(&migration["to"])?])?;
    scene.until_drained("h1")
}

fn a_killed_agent_s_migration_goes_on_and_is_taken_up_again(scene: &Scene) -> Result<()> {
    scene.add(&[local_guest("disks-agent", &[Qcow2], SLOW)])?;
    scene.drain("h1")?;
    scene.until_in_transfer("disks-agent")?;
    scene.drover().kill_agent("h1")?;
    scene.drover().start_agent("h1")?;
    let migration = scene.until_moved("disks-agent")?;
    ensure!(migration["method"] == "live" && migration["tries"] == 1, "not taken up: {migration:#}");
    ensure!(scene.boots("disks-agent")? == 1, "it was rebooted");
    disks_at(scene, "disks-agent", &["h1", text(&migration["to"])?])?;
    scene.until_drained("h1")
}

fn a_guest_that_never_converges_is_rebooted_from_a_replica(scene: &Scene) -> Result<()> {
    scene.add(&[local_guest("disks-never", &[Qcow2], SLOW).dirtying(48)])?;
    scene.drain("h1")?;
    let migration = scene.until_moved("disks-never")?;
    ensure!(failures(&migration) == ["not_converging"] && migration["method"] == "reboot", "{migration:#}");
    ensure!(migration["why_not_live"]["code"] == "live_failed", "{migration:#}");
    ensure!(scene.boots("disks-never")? == 2, "it booted {} times", scene.boots("disks-never")?);
    disks_at(scene, "disks-never", &["h1", text(&migration["to"])?])?;
    scene.until_drained("h1")
}
