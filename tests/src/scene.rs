//! A lab with Drover on it that the tests of one file share: one after the other, each with guests of its own.
//!
//! Over every test, whatever it is about, two things are watched that must never happen: a guest that runs twice, and an
//! acknowledged write that is lost. What a test has changed is put back after it; a test that failed gets the lab thrown
//! away, so that the next one begins with a new one.

mod local;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
pub use local::REPLICA_MARK;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::installation::{Answer, Installation, Options, Replicas};
use crate::lab::state::REGISTRY;
use crate::lab::{GuestSpec, Host, Lab, LabLife, LabOptions, WatchReport, Watcher, Witness, unable};

/// How long a guest may take to boot while others do the same, on a machine that is busy with other things.
pub const BOOT: Duration = Duration::from_secs(90);

/// How long a migration may take from order to end, a retry and libvirt's own half minute of patience included.
pub const MOVED: Duration = Duration::from_secs(120);

/// What takes days in earnest takes seconds. A label makes a guest's memory go slowly, so that there is time to break
/// something meanwhile; another one gives up early on a guest that does not hear its power button; a third one has its time lie far ahead.
pub const POLICY: &str = r#"
[notice]
lead = "1s"
reminders = []
[notice.lead_by_reason]
security = "1s"
hardware-failure = "1s"
[limits]
live_out_per_host = 4
live_in_per_host = 4
reboots_per_host = 4
[live]
attempts = 3
verify_within = "30s"
[live.ladder]
downtime_start = "100ms"
downtime_most = "300ms"
downtime_steps = 2
patience = 2
passes_per_step = 1
abort_after_stalled = 2
abort_after = 8
[reboot]
agent_time = "10s"
acpi_time = "15s"
verify_within = "60s"
expected_downtime = "5s"
[retry]
first = "1s"
longest = "2s"
[windows]
slot_step = "1s"
[[windows.default]]
cron = "* * * * *"
duration = "1m"
timezone = "UTC"
[owners]
reschedule_ahead = "1s"
fixed_before = "1s"
confirm_within = "1h"
[placement]
memory_overhead = 33554432
vcpu_overcommit = 32.0
[maintenance]
deadline = "1h"
warn_before = "1m"
[retention]
definitions = "2h"
history = "1d"
[agents]
silent_after = "15s"

[[rule]]
name = "slowly"
match = { label = "pace=slow" }
set.live.bandwidth = 10485760

[[rule]]
name = "deaf"
match = { label = "ears=none" }
set.reboot.acpi_time = "3s"

[[rule]]
name = "told ahead"
match = { label = "notice=long" }
set.notice.lead = "30m"
"#;

/// A test: its name is what it asserts.
pub type Test = (&'static str, fn(&Scene) -> Result<()>);

/// Names tests after their functions.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => { &[$((stringify!($test), $test as fn(&$crate::scene::Scene) -> anyhow::Result<()>)),*] };
}

/// What the tests of a file need to be there.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// The lab's name.
    pub lab: &'static str,
    /// How many hosts it has.
    pub hosts: usize,
    /// How Drover is to be installed; asked each time that the lab is made anew.
    pub options: fn() -> Result<Options>,
}

/// Runs the tests of a file on one lab of this name, with three hosts and the scheduler on SQLite.
#[must_use]
pub fn run(lab: &'static str, tests: &'static [Test]) -> ExitCode {
    run_on(Stage { lab, hosts: 3, options: || Ok(Options::new(POLICY)) }, tests)
}

/// Runs the tests of a file on one lab.
#[must_use]
pub fn run_on(stage: Stage, tests: &'static [Test]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let unable = if arguments.list { None } else { unable() };
    if let Some(reason) = &unable {
        println!("SKIPPED: {reason}");
    }
    let _alone = (!arguments.list && unable.is_none()).then(Alone::wait);
    let shared: Arc<Mutex<Option<Scene>>> = Arc::default();
    let trials = tests.iter().map(|(name, test)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || perform(stage, &shared, test)).with_ignored_flag(unable.is_some())
    });
    let code = libtest_mimic::run(&arguments, trials.collect()).exit_code();
    drop(shared.lock().unwrap_or_else(PoisonError::into_inner).take());
    code
}

/// Held by whoever runs guests on this machine: two labs at once would make each other's too slow.
#[derive(Debug)]
pub struct Alone {
    _lock: File,
}

impl Alone {
    /// Waits until nobody else does.
    ///
    /// # Errors
    /// If the labs' registry can't be written.
    pub fn wait() -> Result<Self> {
        std::fs::create_dir_all(REGISTRY)?;
        let lock = File::create(Path::new(REGISTRY).join("tests.lock"))?;
        lock.lock()?;
        Ok(Self { _lock: lock })
    }
}

fn perform(
    stage: Stage,
    shared: &Mutex<Option<Scene>>,
    test: &fn(&Scene) -> Result<()>,
) -> Result<(), Failed> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let scene = match shared.take() {
        Some(scene) => scene,
        None => Scene::open(stage).map_err(|error| Failed::from(format!("{error:#}")))?,
    };
    let done = scene.perform(test);
    match done {
        Ok(()) => {
            println!("    took {:.1} s", begun.elapsed().as_secs_f64());
            // A scene that cannot be tidied up is of no use to the next test, and says so there by being a new one.
            match scene.tidy() {
                Ok(()) => *shared = Some(scene),
                Err(error) => {
                    let why = format!("{error:#}");
                    let why = why.lines().next().unwrap_or_default();
                    println!("    the lab could not be tidied up and is made anew: {why}");
                }
            }
            Ok(())
        }
        Err(error) => Err(Failed::from(format!("{error:#}\n{}", scene.drover.logs()))),
    }
}

/// A lab with Drover on it.
#[derive(Debug)]
pub struct Scene {
    drover: Installation,
    lab: Lab,
    // There where servers with local disks are moved.
    witness: Option<Witness>,
    // While a test is performed.
    watcher: Mutex<Option<Watcher>>,
}

impl Scene {
    /// Brings a lab up with Drover on it.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn open(stage: Stage) -> Result<Self> {
        let Stage { lab: name, hosts, options } = stage;
        let lab =
            Lab::create(LabOptions { name: name.to_owned(), hosts, dir: None, life: LabLife::WithCreator })?;
        lab.build_image()?;
        let options = options()?;
        let witness = match options.replicas {
            Replicas::Refused => None,
            Replicas::Held => Some(local::furnish(&lab)?),
        };
        let drover = Installation::start(&lab, &options)?;
        let contact = json!({ "name": "Ada", "mail": ["ada@acme.example"], "timezone": "Europe/Berlin" });
        drover.api().put("/v1/owners/acme", &contact)?.ok()?;
        Ok(Self { drover, lab, witness, watcher: Mutex::default() })
    }

    /// Performs a test, with a watch over all hosts.
    ///
    /// # Errors
    /// If it fails, or what must never happen has happened meanwhile.
    pub fn perform(&self, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        *self.watching() = Some(self.lab.watch()?);
        let done = catch_unwind(AssertUnwindSafe(|| test(self)))
            .unwrap_or_else(|_| Err(anyhow!("the test panicked; see above")));
        let watcher = self.watching().take();
        let watched = watcher.map_or(Ok(()), |watcher| watcher.finish().ok());
        done.and(watched.and_then(|()| self.check_guests()))
    }

    fn watching(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the watch over all hosts has seen since the test began.
    ///
    /// # Errors
    /// Outside of a test nobody watches.
    pub fn watched(&self) -> Result<WatchReport> {
        self.watching().as_ref().map(Watcher::report).context("nobody watches")
    }

    /// Whether no guest has lost an acknowledged write, counted anything twice, or begun with disks that it did not end with.
    ///
    /// # Errors
    /// If one has.
    pub fn check_guests(&self) -> Result<()> {
        self.lab.check_no_acknowledged_write_lost()?;
        for (guest, heard) in self.lab.collector()?.heard() {
            ensure!(heard.steps_back.is_empty(), "{guest} went back: {:?}", heard.steps_back);
        }
        if let Some(witness) = &self.witness {
            witness.check()?;
        }
        Ok(())
    }

    /// Ends what is open, removes every guest, and opens all hosts.
    ///
    /// # Errors
    /// If something stays.
    pub fn tidy(&self) -> Result<()> {
        let api = self.drover.api();
        for maintenance in api.all("/v1/maintenances?only=open")? {
            let number = text(&maintenance["number"])?;
            api.post(&format!("/v1/maintenances/{number}/cancel"), &Value::Null)?.ok()?;
        }
        for host in self.lab.hosts() {
            for uuid in host.virsh(["list", "--all", "--uuid"])?.ok()?.split_whitespace() {
                let _ = host.virsh(["destroy", uuid])?;
                let all = ["--nvram", "--tpm", "--snapshots-metadata", "--checkpoints-metadata"];
                host.virsh([&["undefine", uuid], &all[..]].concat())?.ok()?;
            }
        }
        self.lab.forget_guests()?;
        self.delete_local_disks()?;
        self.drover.wait("the hosts to be known as empty", BOOT, || {
            let hosts = api.all("/v1/hosts")?;
            for host in hosts.iter().filter(|host| host["standing"]["state"] != "open") {
                let name = text(&host["name"])?;
                api.post(&format!("/v1/hosts/{name}/uncordon"), &Value::Null)?.ok()?;
            }
            let clean = |host: &Value| host["servers"] == 0 && host["standing"]["state"] == "open";
            Ok(api.all("/v1/hosts")?.iter().all(clean).then_some(()))
        })
    }

    /// Drover's processes and how they are asked.
    #[must_use]
    pub fn drover(&self) -> &Installation {
        &self.drover
    }

    /// The hypervisors and guests.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Who sees what guests begin with.
    ///
    /// # Errors
    /// If the scene is not one for servers with local disks.
    pub fn witness(&self) -> Result<&Witness> {
        self.witness.as_ref().context("nobody watches local disks in this lab")
    }

    /// A hypervisor.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.lab.host(name)
    }

    /// Makes guests, and waits until each has booted and is known to the scheduler.
    ///
    /// # Errors
    /// If libvirt refuses one, or one does not boot.
    pub fn add(&self, specs: &[GuestSpec]) -> Result<()> {
        self.lab.add_guests(specs)?;
        let collector = self.lab.collector()?;
        let started = || specs.iter().filter(|spec| spec.start);
        self.drover.wait("the guests to boot", BOOT, || {
            Ok(started().all(|spec| collector.of(&spec.name).last() > 0).then_some(()))
        })?;
        let servers: Vec<_> = started().map(|spec| (spec.name.as_str(), spec.host.as_str())).collect();
        self.drover.wait_until_known(&servers, BOOT)?;
        self.drover.wait("all servers to be known", BOOT, || {
            let known = self.drover.api().all("/v1/servers")?;
            Ok(specs.iter().all(|spec| known.iter().any(|server| server["name"] == spec.name)).then_some(()))
        })
    }

    /// Orders a host to be emptied, and returns the maintenance's number.
    ///
    /// # Errors
    /// If it is refused.
    pub fn drain(&self, host: &str) -> Result<String> {
        let wish = json!({ "hosts": [host], "reason": "kernel-update" });
        let maintenance = self.drover.api().post("/v1/maintenances", &wish)?.ok()?;
        text(&maintenance["number"]).map(ToOwned::to_owned)
    }

    /// The plan for emptying a host; nothing is done.
    ///
    /// # Errors
    /// If it is refused.
    pub fn plan(&self, host: &str) -> Result<Value> {
        let wish = json!({ "hosts": [host], "reason": "kernel-update", "dry_run": true });
        self.drover.api().post("/v1/maintenances", &wish)?.ok()
    }

    /// The last migration of a server.
    ///
    /// # Errors
    /// If there is none.
    pub fn migration(&self, server: &str) -> Result<Value> {
        // Not asked for by its name: a test may have made two of one name.
        let all = self.drover.api().all("/v1/migrations?only=all&limit=500")?;
        let of_it = all.into_iter().filter(|migration| migration["server_name"] == server);
        let newest = of_it.max_by_key(|migration| migration["number"].as_u64());
        newest.with_context(|| format!("{server} has no migration"))
    }

    /// Does something to a server's last migration: abort, retry, force, approve or start-now.
    ///
    /// # Errors
    /// If it is refused.
    pub fn wish(&self, server: &str, verb: &str) -> Result<()> {
        let id = self.migration(server)?["id"].clone();
        let (id, api) = (text(&id)?, self.drover.api());
        let wished = api.post(&format!("/v1/migrations/{id}/{verb}"), &Value::Null)?.ok().map(drop);
        wished.with_context(|| {
            let story = api.get(&format!("/v1/events?migration={id}")).and_then(Answer::ok);
            format!("{server}: {verb}, after {:#}", story.unwrap_or_default())
        })
    }

    /// Waits until a server's last migration is as it should be, and returns it.
    ///
    /// # Errors
    /// If it is not within `limit`; the message holds how it is.
    pub fn until(
        &self,
        server: &str,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let waited = self.drover.wait(&format!("{server}: {what}"), limit, || {
            last = self.migration(server)?;
            Ok(is_so(&last).then(|| last.clone()))
        });
        waited.with_context(|| format!("the migration of {server} was last {last:#}"))
    }

    /// Waits until a good part of a server's memory is at the destination, and returns the destination's name.
    ///
    /// # Errors
    /// If it is moved before that can be seen.
    pub fn until_in_transfer(&self, server: &str) -> Result<String> {
        let migration = self.until(server, "to be in transfer", MOVED, |migration| {
            let progress = &migration["progress"];
            migration["done_at"].is_string()
                || (progress["phase"] == "transferring" && progress["percent"].as_u64() > Some(5))
        })?;
        if migration["done_at"].is_string() {
            bail!("{server} was moved before its transfer was seen");
        }
        text(&migration["to"]).map(ToOwned::to_owned)
    }

    /// Waits until a server is moved and seen alive, looks whether it runs there and nowhere else, and returns the migration.
    ///
    /// # Errors
    /// If it is not moved in time, or runs elsewhere.
    pub fn until_moved(&self, server: &str) -> Result<Value> {
        let migration =
            self.until(server, "to be moved", MOVED, |migration| migration["done_at"].is_string())?;
        self.runs_on(server, text(&migration["to"])?)?;
        Ok(migration)
    }

    /// Waits until a server is moved by a reboot migration, in one boot, and its ticket is closed, and returns the migration.
    ///
    /// # Errors
    /// As [`Self::until_moved`], or if it was moved otherwise.
    pub fn until_rebooted(&self, server: &str) -> Result<Value> {
        let migration = self.until_moved(server)?;
        ensure!(migration["method"] == "reboot", "{migration:#}");
        self.drover.wait(&format!("{server} to have booted again"), BOOT, || {
            Ok((self.boots(server)? == 2).then_some(()))
        })?;
        let ticket = text(&migration["ticket"])?;
        self.drover.wait(&format!("the ticket of {server} to be closed"), MOVED, || {
            let ticket = self.drover.api().get(&format!("/v1/tickets/{ticket}"))?.ok()?;
            Ok((ticket["state"] == "closed").then_some(()))
        })?;
        Ok(migration)
    }

    /// Waits until the guest agent of a server answers.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn until_agent_answers(&self, server: &str) -> Result<()> {
        self.drover.wait(&format!("the guest agent of {server} to be seen"), BOOT, || {
            let known = self.drover.api().get(&format!("/v1/servers/{server}"))?.ok()?;
            Ok((known["guest_agent"] == "connected").then_some(()))
        })
    }

    /// Has a web server of a guest looked at, as its owner would: the check is called `http` and its port.
    ///
    /// # Errors
    /// If it is refused.
    pub fn check_http(&self, server: &str, port: u16) -> Result<()> {
        let check = serde_json::json!({
            "owner": "acme", "scope": { "for": "server", "server": server }, "name": format!("http {port}"),
            "check": "http", "port": port, "path": "/health", "within": "15s",
        });
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{server} {port}").as_bytes());
        self.drover.api().put(&format!("/v1/checks/{id}"), &check)?.ok().map(drop)
    }

    /// Whether a guest runs on this host alone, goes on counting, and has its definition there.
    ///
    /// # Errors
    /// If not.
    pub fn runs_on(&self, guest: &str, host: &str) -> Result<()> {
        let running: Vec<_> =
            self.lab.where_running(guest)?.iter().map(|host| host.name().to_owned()).collect();
        ensure!(running == [host], "{guest} runs on {running:?} and not on {host} alone");
        let known = self.host(host)?.virsh(["list", "--all", "--name", "--persistent"])?.ok()?;
        ensure!(known.split_whitespace().any(|name| name == guest), "{guest} is not defined on {host}");
        let collector = self.lab.collector()?;
        collector.wait_beyond(guest, collector.of(guest).last(), BOOT).map(drop)
    }

    /// Waits until a host is reported as drained, and compares that with libvirt's own word.
    ///
    /// # Errors
    /// If it is not in time, or something is left there.
    pub fn until_drained(&self, host: &str) -> Result<()> {
        self.drover.wait(&format!("{host} to be drained"), MOVED, || {
            let shown = self.drover.api().get(&format!("/v1/hosts/{host}"))?.ok()?;
            Ok((shown["standing"]["state"] == "drained").then_some(()))
        })?;
        let left = self.host(host)?.virsh(["list", "--all"])?.ok()?;
        ensure!(left.is_empty(), "{host} is called drained and libvirt still names: {left}");
        Ok(())
    }

    /// How often a guest has booted.
    ///
    /// # Errors
    /// If nobody listens to it.
    pub fn boots(&self, guest: &str) -> Result<u64> {
        Ok(self.lab.collector()?.of(guest).boots)
    }
}

/// What came of one thing that a server was looked at for.
///
/// # Errors
/// It was not looked at for that.
pub fn finding(findings: &Value, name: &str) -> Result<String> {
    let found = findings.as_array().into_iter().flatten().find(|finding| finding["name"] == name);
    let found = found.with_context(|| format!("no {name:?} among {findings:#}"))?;
    text(&found["verdict"]).map(str::to_owned)
}

/// A guest of the account acme with these labels, on shared storage.
#[must_use]
pub fn guest(name: &str, host: &str, labels: &[(&str, &str)]) -> GuestSpec {
    let mut spec = GuestSpec::new(name, host);
    spec.metadata = metadata(labels, "");
    spec
}

/// As [`guest`], on h1, and its owner wants it to be restarted rather than moved live.
#[must_use]
pub fn forbids_live(name: &str, labels: &[(&str, &str)]) -> GuestSpec {
    let mut spec = guest(name, "h1", labels);
    spec.metadata = metadata(labels, "<drover:live-migration>forbidden</drover:live-migration>");
    spec
}

/// Drover's metadata: the account acme, these labels, and more elements.
#[must_use]
pub fn metadata(labels: &[(&str, &str)], more: &str) -> String {
    let labels: String = labels
        .iter()
        .map(|(name, value)| format!("<drover:label name='{name}'>{value}</drover:label>"))
        .collect();
    format!(
        "<drover:server xmlns:drover='https://drover.dev/xmlns/server/1'><drover:owner>acme</drover:owner>{labels}{more}</drover:server>"
    )
}

/// The classes of all failures of a migration, oldest first.
#[must_use]
pub fn failures(migration: &Value) -> Vec<String> {
    let attempts = migration["attempts"].as_array().into_iter().flatten();
    attempts.filter_map(|attempt| attempt["failure"]["class"].as_str().map(ToOwned::to_owned)).collect()
}

/// A text out of an answer.
///
/// # Errors
/// If it is none.
pub fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}
