//! Maintenances over several real hypervisors: each is emptied, worked on by a hook of its own, and comes back into service.

use std::fs;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use drover_tests::installation::Options;
use drover_tests::lab::Host;
use drover_tests::scene::{self, MOVED, POLICY, Scene, Stage, guest, text};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let options = || Ok(Options { hooks: HOOKS, ..Options::new(POLICY) });
    scene::run_on(
        Stage { lab: "test-maintenance", hosts: 3, options },
        drover_tests::tests![
            hosts_are_patched_in_turn_and_every_server_moves_once,
            a_host_that_its_hook_reboots_comes_back_into_service,
            a_hook_goes_on_while_its_agent_is_killed_and_started_again,
            a_hook_that_fails_keeps_its_host_out_of_service_until_it_is_tried_again,
        ],
    )
}

/// What `maintain` does is in a file of its host: as a rule it restarts libvirtd, as an upgrade does.
const HOOKS: &[(&str, &str)] = &[("maintain", MAINTAIN), ("health", HEALTH)];

const MAINTAIN: &str = r#"#!/bin/sh
set -e
echo "$DROVER_HOST: $DROVER_HOOK for $DROVER_REASON, try $DROVER_ATTEMPT"
patch() { echo 2 > /etc/libvirt/patch-level; }
case $(cat /etc/libvirt/task) in
restart)
    old=$(cat /run/libvirtd.pid)
    kill "$old"
    while kill -0 "$old" 2>/dev/null; do sleep 0.1; done
    setsid tini -s -- libvirtd --listen >/dev/null 2>&1 </dev/null &
    until virsh --connect qemu:///system version; do sleep 0.2; done
    patch ;;
reboot)
    patch
    touch "$DROVER_REBOOT_FILE"
    sleep 1
    touch /run/reboots
    sleep 600 ;;
waits)
    touch /run/waits
    while [ ! -e /run/goes-on ]; do sleep 0.1; done
    patch ;;
fails)
    echo "the mirror is away"
    exit 3 ;;
esac
"#;

const HEALTH: &str = r#"#!/bin/sh
level=$(cat /etc/libvirt/patch-level)
echo "patch level $level"
test "$level" = 2
"#;

/// What the next hook on these hosts does.
fn task(scene: &Scene, hosts: &[&str], task: &str) -> Result<()> {
    for host in hosts {
        let host = scene.host(host)?;
        fs::write(host.outside("/etc/libvirt/task"), task)?;
        fs::write(host.outside("/etc/libvirt/patch-level"), "1")?;
    }
    Ok(())
}

/// Has these hosts patched, one at a time, and returns the maintenance's number.
fn patch(scene: &Scene, hosts: &[&str]) -> Result<String> {
    let rolling = json!({ "hosts_at_once": 1, "approve": true });
    let wish = json!({ "hosts": hosts, "reason": "kernel-update", "rolling": rolling });
    let maintenance = scene.drover().api().post("/v1/maintenances", &wish)?.ok()?;
    text(&maintenance["number"]).map(ToOwned::to_owned)
}

fn until_completed(scene: &Scene, maintenance: &str) -> Result<()> {
    let mut last = Value::Null;
    let done = scene.drover().wait(&format!("{maintenance} to be completed"), MOVED, || {
        last = scene.drover().api().get(&format!("/v1/maintenances/{maintenance}"))?.ok()?;
        Ok((last["state"] == "completed").then_some(()))
    });
    done.map_err(|error| error.context(format!("{maintenance} was last {last:#}")))
}

/// What was done on a host: each hook's step, outcome and output.
fn hooks(scene: &Scene, maintenance: &str, host: &str) -> Result<Vec<(String, String, String)>> {
    let turn = scene.drover().api().get(&format!("/v1/maintenances/{maintenance}/hosts/{host}"))?.ok()?;
    let runs = turn["hooks"].as_array().into_iter().flatten();
    runs.map(|run| {
        let word = |value: &Value| text(value).map(ToOwned::to_owned);
        Ok((word(&run["step"])?, word(&run["outcome"]["code"])?, word(&run["output"])?))
    })
    .collect()
}

fn is_back(scene: &Scene, maintenance: &str, host: &str) -> Result<()> {
    let shown = scene.drover().api().get(&format!("/v1/hosts/{host}"))?.ok()?;
    ensure!(shown["standing"]["state"] == "open", "{host} is not in service: {:#}", shown["standing"]);
    let level = fs::read_to_string(scene.host(host)?.outside("/etc/libvirt/patch-level"))?;
    ensure!(level.trim() == "2", "{host} is at {level}");
    let ran = hooks(scene, maintenance, host)?;
    let last: Vec<_> =
        ran.iter().rev().take(2).map(|(step, outcome, _)| (step.as_str(), outcome.as_str())).collect();
    ensure!(last == [("hook health", "succeeded"), ("hook maintain", "succeeded")], "{host}: {ran:?}");
    Ok(())
}

fn until_there(scene: &Scene, host: &Host, file: &str) -> Result<()> {
    scene
        .drover()
        .wait(&format!("{file} on {}", host.name()), MOVED, || Ok(host.outside(file).exists().then_some(())))
}

fn hosts_are_patched_in_turn_and_every_server_moves_once(scene: &Scene) -> Result<()> {
    let servers = [("roll-1", "h1"), ("roll-2", "h1"), ("roll-3", "h2"), ("roll-4", "h2")];
    scene.add(&servers.map(|(name, host)| guest(name, host, &[])))?;
    task(scene, &["h1", "h2"], "restart")?;
    let before = [scene.host("h1")?.libvirtd_pid(), scene.host("h2")?.libvirtd_pid()];
    let maintenance = patch(scene, &["h1", "h2"])?;
    until_completed(scene, &maintenance)?;
    for host in ["h1", "h2"] {
        is_back(scene, &maintenance, host)?;
        let output: String =
            hooks(scene, &maintenance, host)?.into_iter().map(|(_, _, output)| output).collect();
        let says = format!("{host}: maintain for kernel-update, try 1");
        ensure!(output.contains(&says) && output.contains("Running hypervisor: QEMU"), "{output}");
    }
    let after = [scene.host("h1")?.libvirtd_pid(), scene.host("h2")?.libvirtd_pid()];
    ensure!(before.iter().zip(&after).all(|(old, new)| new.is_some() && old != new), "{before:?} {after:?}");
    let all = scene.drover().api().all("/v1/migrations?only=all&limit=500")?;
    for (server, _) in servers {
        let moves = all.iter().filter(|migration| migration["server_name"] == server).count();
        ensure!(moves == 1, "{server} was moved {moves} times");
        let migration = scene.until_moved(server)?;
        ensure!(migration["method"] == "live" && scene.boots(server)? == 1, "{migration:#}");
    }
    Ok(())
}

fn a_host_that_its_hook_reboots_comes_back_into_service(scene: &Scene) -> Result<()> {
    scene.add(&[guest("reboot-1", "h1", &[])])?;
    task(scene, &["h1"], "reboot")?;
    let maintenance = patch(scene, &["h1"])?;
    let host = scene.host("h1")?;
    until_there(scene, host, "/run/reboots")?;
    // The machine goes down with all that runs on it, the hook, its supervisor and the agent, and comes up again.
    scene.drover().kill_agent("h1")?;
    host.power_off();
    host.power_on()?;
    scene.drover().start_agent("h1")?;
    until_completed(scene, &maintenance)?;
    is_back(scene, &maintenance, "h1")?;
    let ran = hooks(scene, &maintenance, "h1")?;
    ensure!(
        ran.iter().any(|(_, _, output)| output.contains("h1: maintain")),
        "what it wrote is lost: {ran:?}"
    );
    let moved = scene.until_moved("reboot-1")?;
    ensure!(moved["tries"] == 1 && scene.boots("reboot-1")? == 1, "{moved:#}");
    Ok(())
}

fn a_hook_goes_on_while_its_agent_is_killed_and_started_again(scene: &Scene) -> Result<()> {
    task(scene, &["h2"], "waits")?;
    let maintenance = patch(scene, &["h2"])?;
    let host = scene.host("h2")?;
    until_there(scene, host, "/run/waits")?;
    scene.drover().kill_agent("h2")?;
    scene.drover().start_agent("h2")?;
    fs::write(host.outside("/run/goes-on"), "")?;
    until_completed(scene, &maintenance)?;
    fs::remove_file(host.outside("/run/goes-on"))?;
    is_back(scene, &maintenance, "h2")?;
    let ran = hooks(scene, &maintenance, "h2")?;
    ensure!(ran.len() == 2, "it was run more than once: {ran:?}");
    Ok(())
}

fn a_hook_that_fails_keeps_its_host_out_of_service_until_it_is_tried_again(scene: &Scene) -> Result<()> {
    task(scene, &["h1", "h2"], "fails")?;
    let maintenance = patch(scene, &["h1", "h2"])?;
    let failed = |shown: &Value| {
        let hosts = shown["hosts"].as_array().into_iter().flatten();
        hosts
            .clone()
            .find(|host| host["state"] == "failed")
            .and_then(|host| host["host"].as_str().map(str::to_owned))
    };
    let api = scene.drover().api();
    let path = format!("/v1/maintenances/{maintenance}");
    let host = scene.drover().wait("a host to fail", MOVED, || Ok(failed(&api.get(&path)?.ok()?)))?;
    let standing = api.get(&format!("/v1/hosts/{host}"))?.ok()?["standing"]["state"].clone();
    ensure!(standing != "open", "{host} is in service, half patched: {standing}");
    let ran = hooks(scene, &maintenance, &host)?;
    ensure!(
        ran.iter().any(|(_, outcome, output)| outcome == "failed" && output.contains("the mirror is away")),
        "{ran:?}"
    );
    let others = api.get(&path)?.ok()?;
    let begun =
        others["hosts"].as_array().into_iter().flatten().filter(|host| host["state"] != "waiting").count();
    ensure!(begun == 1, "another host was begun: {others:#}");
    task(scene, &["h1", "h2"], "restart")?;
    api.post(&format!("{path}/hosts/{host}/retry"), &Value::Null)?.ok()?;
    api.post(&format!("{path}/resume"), &Value::Null)?.ok()?;
    until_completed(scene, &maintenance)?;
    is_back(scene, &maintenance, "h1")?;
    is_back(scene, &maintenance, "h2")
}
