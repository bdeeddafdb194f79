//! Live migrations of servers with local disks on real libvirt and QEMU: their disks go along, and no guest notices.
//!
//! Over all of them, three things are watched: no guest runs twice, none loses a write that it has acknowledged, and none begins with
//! other disks than it ended with.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use drover_tests::installation::{MigrationTls, Options, Replicas};
use drover_tests::lab::DiskFormat::{Qcow2, Raw};
use drover_tests::lab::process::run;
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
    let options = || {
        let policy = POLICY.replace("[live]\n", "[live]\nconnections = 4\n");
        let (replicas, migration_tls) = (Replicas::Held, MigrationTls::On);
        Ok(Options { replicas, migration_tls, ..Options::new(&format!("{policy}{REPLICATION}")) })
    };
    scene::run_on(
        Stage { lab: "test-live-disks", hosts: 3, options },
        drover_tests::tests![
            servers_go_live_with_their_disks_and_the_old_ones_are_kept_until_confirmed,
            what_has_arrived_over_tls_and_four_connections_is_what_was_there_at_the_end,
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

/// Its file systems are frozen on its way, so that it writes nothing any more at either end, and the images can be compared.
fn what_has_arrived_over_tls_and_four_connections_is_what_was_there_at_the_end(scene: &Scene) -> Result<()> {
    let server = "disks-tls";
    let mut spec = loaded_guest(server, &[Qcow2, Raw], SLOW);
    spec.agent = true;
    scene.add(&[spec])?;
    let source = scene.host("h1")?;
    scene.drain("h1")?;
    let to = scene.until_in_transfer(server)?;
    let ask = |words: &[&str]| source.virsh([&["qemu-monitor-command", server], words].concat())?.ok();
    let capabilities = ask(&["--hmp", "info migrate_capabilities"])?;
    ensure!(capabilities.contains("multifd: on"), "{capabilities}");
    let parameters = ask(&["--hmp", "info migrate_parameters"])?;
    let creds = parameters.lines().any(|line| line.starts_with("tls-creds:") && line.contains("libvirt"));
    ensure!(creds && parameters.contains("multifd-channels: 4"), "{parameters}");
    let nodes = ask(&[r#"{"execute":"query-named-block-nodes","arguments":{"flat":true}}"#])?;
    let export = nodes.split_once("\"nbd://").and_then(|(_, rest)| rest.split('"').next());
    let export = format!("nbd://{}", export.context("its disks are not sent by NBD")?);
    let plain = source.command("qemu-img").args(["info", &export]).output()?;
    let said = String::from_utf8_lossy(&plain.stderr);
    ensure!(
        !plain.status.success() && said.contains("TLS"),
        "its disks are taken without TLS as well: {said}"
    );

    source.virsh(["domfsfreeze", server])?.ok()?;
    let destination = scene.host(&to)?;
    scene.drover().wait("it to run at its destination", MOVED, || {
        let there = destination.virsh(["domstate", server])?;
        let here = source.virsh(["domstate", server])?;
        Ok((there.stdout.trim() == "running" && !here.success).then_some(()))
    })?;
    for disk in scene.lab().guest(server)?.disks() {
        let format = disk.format.word();
        run(Command::new("qemu-img")
            .args(["compare", "-U", "-f", format, "-F", format])
            .args([source.inside(&disk.path), destination.inside(&disk.path)]))?;
    }
    destination.virsh(["domfsthaw", server])?.ok()?;
    let migration = scene.until_moved(server)?;
    ensure!(migration["method"] == "live" && migration["tries"] == 1, "{migration:#}");
    ensure!(scene.boots(server)? == 1, "it was rebooted");
    scene.until_drained("h1")?;
    confirm(scene, server)?;
    disks_at(scene, server, &[&to])
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
