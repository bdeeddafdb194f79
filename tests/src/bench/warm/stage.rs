//! Two hypervisors with local storage, Drover on them, and what is known of a replica.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bench::say;
use crate::bench::stage::Side;
use crate::demo::interrupt::Interrupt;
use crate::installation::{Installation, Options, Replicas, SCRATCH};
use crate::lab::{GuestSpec, Host, Lab, LabLife, LabOptions};
use crate::scene;

/// The lab's name.
const LAB: &str = "bench-warm";

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The pause between two looks at the scheduler: its questions take processor time from what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Nothing holds Drover back, and nobody is asked: a server is moved when it is told to. By its label, a server's rounds follow each other
/// without a pause, come as closely as they do by default right before a window, or come only when they are asked for.
const POLICY: &str = r#"
[live]
local_disks = false
[notice]
lead = "12h"
reminders = []
[[windows.default]]
cron = "0 * * * *"
duration = "1h"
timezone = "UTC"
[owners]
confirm_within = "1h"
[reboot]
expected_downtime = "5s"
[placement]
memory_overhead = 33554432
vcpu_overcommit = 16.0
[agents]
silent_after = "60s"
[replication]
bandwidth = 0

[[rule]]
name = "without a pause"
match = { label = "rounds=often" }
set.replication.far = "1s"
set.replication.near = "1s"

[[rule]]
name = "as by default"
match = { label = "rounds=usual" }
set.replication.far = "10s"
set.replication.near = "10s"

[[rule]]
name = "when asked for"
match = { label = "rounds=rare" }
set.replication.far = "1h"
set.replication.near = "1h"
set.replication.ready_lag = "2h"
"#;

/// How often a server's rounds come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounds {
    /// One after the other.
    Often,
    /// As by default right before a window, where they are closest.
    Usual,
    /// When they are asked for.
    Rare,
}

impl Rounds {
    pub(super) fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Often => ("rounds", "often"),
            Self::Usual => ("rounds", "usual"),
            Self::Rare => ("rounds", "rare"),
        }
    }
}

/// Everything that is up.
pub(super) struct Stage<'a> {
    interrupt: &'a Interrupt,
    // Dropped before the lab that its processes run in.
    installation: Installation,
    lab: Lab,
}

impl<'a> Stage<'a> {
    pub(super) fn set(interrupt: &'a Interrupt) -> Result<Self> {
        say("bringing up two hypervisors with local storage, and Drover");
        let options = LabOptions { name: LAB.to_owned(), hosts: 2, dir: None, life: LabLife::WithCreator };
        let lab = Lab::create(options)?;
        lab.build_image()?;
        for host in lab.hosts() {
            std::fs::create_dir_all(host.outside(SCRATCH))?;
        }
        interrupt.check()?;
        let installation =
            Installation::start(&lab, &Options { replicas: Replicas::Held, ..Options::new(POLICY) })?;
        let owner = json!({ "name": "Ada", "mail": ["ada@acme.example"] });
        installation.api().put("/v1/owners/acme", &owner)?.ok()?;
        Ok(Self { interrupt, installation, lab })
    }

    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(super) fn host(&self, side: Side) -> Result<&Host> {
        self.lab.host(side.name())
    }

    /// Asks again until there is an answer.
    pub(super) fn wait<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.interrupt.check()?;
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "waited in vain for {what}\n{}", self.installation.logs());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Makes a guest, and waits until it has booted, written its load once, and is known.
    pub(super) fn add(&self, spec: &GuestSpec) -> Result<()> {
        let guest = self.lab.add_guest(spec)?;
        let console = self.lab.host(&spec.host)?.outside(&guest.console_path());
        self.wait("the guest to be up", || {
            let text = std::fs::read(&console).unwrap_or_default();
            let loaded = spec.load.mib == 0 || String::from_utf8_lossy(&text).contains("load:");
            Ok((loaded && self.lab.collector()?.of(&spec.name).last() > 0).then_some(()))
        })?;
        self.installation.wait_until_known(&[(&spec.name, &spec.host)], PATIENCE)
    }

    /// Takes a guest off, so that it costs the next piece nothing.
    pub(super) fn remove(&self, guest: &str) -> Result<()> {
        for host in self.lab.hosts() {
            let _ = host.virsh(["destroy", guest])?;
            let _ = host.virsh(["undefine", guest, "--checkpoints-metadata"])?;
        }
        Ok(())
    }

    /// Orders a host to be emptied; servers wait for their time, which lies far ahead. Returns the maintenance's number.
    pub(super) fn drain(&self, from: Side) -> Result<String> {
        let wish = json!({ "hosts": [from.name()], "reason": "benchmark" });
        let maintenance = self.installation.api().post("/v1/maintenances", &wish)?.ok()?;
        scene::text(&maintenance["number"]).map(str::to_owned)
    }

    /// Cancels a maintenance, waits until nothing of a replica is left, and opens its host.
    pub(super) fn cancel(&self, maintenance: &str, host: Side) -> Result<()> {
        self.post(&format!("/v1/maintenances/{maintenance}/cancel"))?;
        self.wait("replicas to be released", || {
            let dirs = self.lab.hosts().iter().map(|host| host.outside(crate::lab::LOCAL_STORAGE));
            for dir in dirs {
                for entry in std::fs::read_dir(dir)? {
                    if entry?.file_name().to_string_lossy().contains(scene::REPLICA_MARK) {
                        return Ok(None);
                    }
                }
            }
            Ok(Some(()))
        })?;
        self.open(host)
    }

    /// Opens a host, as far as it is not.
    pub(super) fn open(&self, host: Side) -> Result<()> {
        let path = format!("/v1/hosts/{}", host.name());
        if self.installation.api().get(&path)?.ok()?["standing"]["state"] != "open" {
            self.post(&format!("{path}/uncordon"))?;
        }
        Ok(())
    }

    /// A server's newest migration.
    pub(super) fn migration(&self, server: &str) -> Result<Option<Value>> {
        let all = self.installation.api().all("/v1/migrations?only=all&limit=500")?;
        let of_it = all.into_iter().filter(|migration| migration["server_name"] == server);
        Ok(of_it.max_by_key(|migration| migration["number"].as_u64()))
    }

    /// Does something to a server's newest migration.
    pub(super) fn wish(&self, server: &str, verb: &str) -> Result<()> {
        let migration = self.migration(server)?.with_context(|| format!("{server} has no migration"))?;
        self.post(&format!("/v1/migrations/{}/{verb}", scene::text(&migration["id"])?))
    }

    fn post(&self, path: &str) -> Result<()> {
        self.installation.api().post(path, &Value::Null)?.ok().with_context(|| path.to_owned()).map(drop)
    }

    /// What is known of a server's replica, once this many rounds have landed.
    pub(super) fn replica(&self, server: &str, rounds: u64) -> Result<Value> {
        self.until(server, &format!("round {rounds} to land"), |replica| {
            replica["rounds"].as_u64() >= Some(rounds)
        })
    }

    /// What is known of a server's replica, once it is as it should be.
    pub(super) fn until(&self, server: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait(&format!("{server}: {what}"), || {
            let replicas = self.installation.api().all("/v1/replicas")?;
            let of_it = replicas.into_iter().find(|replica| replica["server_name"] == server);
            Ok(of_it.filter(&is_so))
        })
    }

    /// Takes everything away, after a last look at what guests have written.
    pub(super) fn clear(self) -> Result<()> {
        let Self { installation, lab, .. } = self;
        drop(installation);
        lab.destroy()
    }
}
