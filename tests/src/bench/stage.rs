//! Two real hypervisors with Drover on them, and the ways in which guests are moved between the two.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::say;
use super::story::{Heard, Story};
use crate::demo::interrupt::Interrupt;
use crate::installation::{Installation, Options};
use crate::lab::{GuestSpec, Lab, LabLife, LabOptions};

/// The lab's name.
const LAB: &str = "bench";

/// How long guests may take to boot on a slow machine.
const BOOT: Duration = Duration::from_secs(180);

/// How long Drover may take to have seen what changed without it.
const SEE: Duration = Duration::from_secs(60);

/// Nothing holds Drover back but what holds the peer back too: as many at a time as two processors carry, no limit of bandwidth, and the
/// downtime that QEMU allows by itself.
const POLICY: &str = r#"
[limits]
live_out_per_host = 4
live_in_per_host = 4
live_per_cluster = 8
[live]
bandwidth = 0
[live.ladder]
downtime_start = "300ms"
downtime_most = "300ms"
[placement]
memory_overhead = 33554432
vcpu_overcommit = 16.0
[agents]
silent_after = "60s"
"#;

/// The two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// h1.
    First,
    /// h2.
    Second,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "h1",
            Self::Second => "h2",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Everything that is up.
pub(super) struct Stage<'a> {
    interrupt: &'a Interrupt,
    // Dropped before the lab that its processes run in.
    installation: Installation,
    lab: Lab,
    guests: Vec<String>,
}

/// What was heard of a drain that ended.
pub(super) struct Drained {
    /// From before the order was sent until the news that the host is empty was there.
    pub(super) took: Duration,
    /// Until the last guest had arrived, not yet looked at.
    pub(super) moved: Duration,
}

impl<'a> Stage<'a> {
    /// Brings everything up, with one guest on the first host.
    pub(super) fn set(interrupt: &'a Interrupt) -> Result<Self> {
        say("bringing up two hypervisors, Drover and a guest");
        let options = LabOptions { name: LAB.to_owned(), hosts: 2, dir: None, life: LabLife::WithCreator };
        let lab = Lab::create(options)?;
        lab.build_image()?;
        interrupt.check()?;
        let installation = Installation::start(&lab, &Options::new(POLICY))?;
        let mut stage = Self { interrupt, installation, lab, guests: Vec::new() };
        stage.add_guests(1, Side::First)?;
        Ok(stage)
    }

    pub(super) fn interrupt(&self) -> &Interrupt {
        self.interrupt
    }

    pub(super) fn installation(&self) -> &Installation {
        &self.installation
    }

    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Adds guests on a host until there are so many, and waits until they have booted and Drover knows them.
    pub(super) fn add_guests(&mut self, count: usize, on: Side) -> Result<()> {
        let names: Vec<String> =
            (self.guests.len() + 1..=count).map(|number| format!("guest-{number}")).collect();
        let specs: Vec<GuestSpec> = names.iter().map(|name| GuestSpec::new(name, on.name())).collect();
        self.lab.add_guests(&specs)?;
        self.guests.extend(names);
        self.installation.wait("all guests to have booted", BOOT, || {
            self.interrupt.check()?;
            let collector = self.lab.collector()?;
            Ok(self.guests.iter().all(|name| collector.of(name).last() > 0).then_some(()))
        })?;
        self.wait_until_known(on)
    }

    /// Waits until Drover sees every guest on a host.
    pub(super) fn wait_until_known(&self, on: Side) -> Result<()> {
        self.interrupt.check()?;
        let servers: Vec<(&str, &str)> = self.guests.iter().map(|name| (name.as_str(), on.name())).collect();
        self.installation.wait_until_known(&servers, SEE)?;
        // An agent that was just started is not to be measured while it reads its libvirt for the first time.
        let path = format!("/v1/hosts/{}", on.other().name());
        self.installation.wait("the other host to be seen empty", SEE, || {
            let host = self.installation.api().get(&path)?.ok()?;
            Ok(host["on_it"].as_array().is_some_and(Vec::is_empty).then_some(()))
        })
    }

    /// Orders a drain and hears its story.
    pub(super) fn order_drain(&self, from: Side) -> Result<(Instant, Story)> {
        self.interrupt.check()?;
        let api = self.installation.api();
        let story = Story::follow(api)?;
        let began = Instant::now();
        let body = json!({ "hosts": [from.name()], "reason": "benchmark" });
        api.post("/v1/maintenances", &body)?.ok().context("the drain was refused")?;
        Ok((began, story))
    }

    /// Empties a host by Drover.
    pub(super) fn drain(&self, from: Side) -> Result<Drained> {
        let (began, story) = self.order_drain(from)?;
        let mut last = began;
        for _ in &self.guests {
            last = story.next("arrived")?.at;
        }
        let empty = story.next("host_empty")?;
        self.end_drain(&story, from)?;
        Ok(Drained { took: empty.at - began, moved: last - began })
    }

    /// Waits for the maintenance's end, checks with virsh what it says, and opens the host again.
    pub(super) fn end_drain(&self, story: &Story, from: Side) -> Result<Heard> {
        let end = story.next("maintenance_completed")?;
        self.check_moved(from)?;
        let path = format!("/v1/hosts/{}/uncordon", from.name());
        self.installation.api().post(&path, &json!({}))?.ok().context("the host can't be opened again")?;
        self.wait_until_known(from.other())?;
        Ok(end)
    }

    /// Moves all guests by virsh, `at_once` at a time, from within the source: the peer. The agents are ended meanwhile, as
    /// their looking at what the peer does would take processor time from it.
    pub(super) fn move_by_virsh(&self, from: Side, at_once: usize) -> Result<Duration> {
        self.interrupt.check()?;
        for host in [from, from.other()] {
            self.installation.kill_agent(host.name())?;
        }
        let took = self.virsh(from, at_once)?;
        self.check_moved(from)?;
        for host in [from, from.other()] {
            self.installation.start_agent(host.name())?;
        }
        self.wait_until_known(from.other())?;
        Ok(took)
    }

    fn virsh(&self, from: Side, at_once: usize) -> Result<Duration> {
        let (source, target) = (self.lab.host(from.name())?, self.lab.host(from.other().name())?);
        let script = format!(
            "printf '%s\\n' {} | xargs -P {at_once} -I GUEST virsh --quiet --connect qemu:///system \
             migrate --live --p2p --persistent --undefinesource GUEST {}",
            self.guests.join(" "),
            target.libvirt_uri()
        );
        let mut command = source.command("sh");
        command.env("LC_ALL", "C").args(["-c", &script]).stdin(Stdio::null());
        let began = Instant::now();
        let output = command.output().context("cannot start nsenter; it is in util-linux")?;
        let took = began.elapsed();
        ensure!(
            output.status.success(),
            "virsh did not move all guests: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(took)
    }

    /// By libvirt's word, all guests run on the other host and nothing is left on this one.
    fn check_moved(&self, from: Side) -> Result<()> {
        let left = self.lab.host(from.name())?.virsh(["list", "--all", "--name"])?.ok()?;
        ensure!(left.is_empty(), "{} is not empty: {left}", from.name());
        let there = self.lab.host(from.other().name())?.virsh(["list", "--name"])?.ok()?;
        let running: std::collections::BTreeSet<&str> = there.split_whitespace().collect();
        for guest in &self.guests {
            ensure!(
                running.contains(guest.as_str()),
                "{guest} does not run on {}: {there}",
                from.other().name()
            );
        }
        Ok(())
    }

    /// Takes everything away, after a last look at what guests have written.
    pub(super) fn clear(self) -> Result<()> {
        let Self { installation, lab, .. } = self;
        lab.check_no_acknowledged_write_lost()?;
        drop(installation);
        lab.destroy()
    }
}
