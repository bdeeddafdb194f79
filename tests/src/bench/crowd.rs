//! Very many owners at once: ten thousand servers that need a reboot, their tickets, reminders that are due in the same minute, and
//! windows that open in the same second.
//!
//! The scheduler is the real one, on SQLite, with a real mail server beside it. The hosts are not: their agents are played, as what is
//! measured is how fast the scheduler decides, tells and hands out orders.

mod agents;
mod owners;
mod postbox;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Moment};

use anyhow::{Context as _, Result, ensure};
use chrono::{DurationRound as _, TimeDelta};
use drover_policies::time::{Clock as _, Instant};
use serde_json::json;

use self::agents::Played;
use self::postbox::Postbox;
use super::asking::keep_asking;
use super::report::{Against, Row, Sample, Unit};
use super::say;
use super::scheduler::Scheduler;
use crate::demo::interrupt::Interrupt;
use crate::installation::Api;

/// How long all reminders may take to reach the mail server, in seconds.
const DELIVERED_WITHIN_S: f64 = 60.0;

/// The API's 99th percentile meanwhile, in milliseconds.
const ANSWERED_WITHIN_MS: f64 = 50.0;

/// After a window has opened, the 99th percentile of the orders, in milliseconds.
const BEGUN_WITHIN_MS: f64 = 100.0;

/// Windows open at whole multiples of this; all appointments begin in the same second.
const OPENING: TimeDelta = TimeDelta::minutes(5);

/// Reminders are due so long before.
const REMINDED: TimeDelta = TimeDelta::minutes(1);

/// From the request to an opening: enough to plan, to propose and to mail all of it.
const PREPARED: TimeDelta = TimeDelta::minutes(3);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(240);

const POLICY: &str = r#"
[notice]
lead = "90s"
reminders = ["1m"]
[notice.lead_by_reason]
security = "90s"
[limits]
reboots_per_host = 100000
[reboot]
expected_downtime = "30s"
agent_time = "10s"
acpi_time = "10s"
[windows]
slot_step = "1m"
[[windows.default]]
cron = "*/5 * * * *"
duration = "2m"
timezone = "UTC"
[live]
allowed = false
[agents]
silent_after = "1h"
[maintenance]
deadline = "14d"
"#;

/// What people ask meanwhile.
const QUESTIONS: [&str; 5] = [
    "/v1/tickets?limit=20",
    "/v1/servers/server-7",
    "/v1/migrations?limit=20",
    "/v1/tickets?limit=20&owner=owner-7",
    "/v1/hosts/from-0",
];

/// How large.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    /// Servers, each with its ticket.
    pub(super) servers: usize,
    /// Hosts that are emptied; as many others take the servers.
    pub(super) hosts: usize,
    /// Accounts.
    pub(super) owners: usize,
}

impl Crowd {
    /// So many servers, on hosts of a hundred each, of owners who have ten each.
    pub(super) fn of(servers: usize) -> Self {
        Self { servers, hosts: servers.div_ceil(100), owners: servers.div_ceil(10) }
    }
}

pub(super) fn measure(crowd: Crowd, interrupt: &Interrupt) -> Result<Vec<Row>> {
    let scene = Scene::set()?;
    say(&format!("{} servers on {} hosts, of {} owners", crowd.servers, crowd.hosts, crowd.owners));
    owners::register(scene.api(), crowd)?;
    let played = Played::begin(scene.api(), crowd)?;
    let opening = wait_for_the_hour(interrupt)?;
    let tickets = scene.open_tickets(crowd, opening, interrupt)?;
    let mut rows = scene.remind(crowd, opening, interrupt)?;
    rows.extend(begun(&played, crowd, opening, interrupt)?);
    rows.push(Row::told("  of it: planned, proposed and stored", Unit::Seconds, Sample::from([tickets])));
    Ok(rows)
}

/// Until an opening is far enough ahead, so that all appointments are at that one.
fn wait_for_the_hour(interrupt: &Interrupt) -> Result<Instant> {
    loop {
        interrupt.check()?;
        let now = drover_scheduler::clock::SystemClock.now();
        let opening = now.duration_trunc(OPENING)? + OPENING;
        if opening - now >= PREPARED {
            return Ok(opening);
        }
        say(&format!(
            "waiting until {}, as everything is to happen at one opening",
            opening.format("%H:%M:%S")
        ));
        sleep_until(opening, interrupt)?;
    }
}

fn sleep_until(at: Instant, interrupt: &Interrupt) -> Result<()> {
    while drover_scheduler::clock::SystemClock.now() < at {
        interrupt.check()?;
        let left = (at - drover_scheduler::clock::SystemClock.now()).to_std().unwrap_or_default();
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
    Ok(())
}

/// The scheduler and the mail server.
struct Scene {
    scheduler: Scheduler,
    post: Postbox,
}

impl Scene {
    fn set() -> Result<Self> {
        let post = Postbox::open()?;
        let address = post.address();
        let mail = format!(
            "[mail.channel]\nkind = \"smtp\"\nhost = \"{}\"\nport = {}\ntls = \"none\"\n",
            address.ip(),
            address.port()
        );
        Ok(Self { scheduler: Scheduler::start(POLICY, &mail)?, post })
    }

    fn api(&self) -> &Api {
        &self.scheduler.api
    }

    /// Orders the maintenance, and waits until every owner has his ticket in his mail box. Gives back how long it took until all were stored.
    fn open_tickets(&self, crowd: Crowd, opening: Instant, interrupt: &Interrupt) -> Result<f64> {
        let hosts: Vec<String> = (0..crowd.hosts).map(agents::source).collect();
        let began = Moment::now();
        let body = json!({ "hosts": hosts, "reason": "security" });
        self.api().post("/v1/maintenances", &body)?.ok().context("the maintenance was refused")?;
        let wanted = format!("{} tickets to be open", crowd.servers);
        self.wait(&wanted, interrupt, || {
            let newest = self.api().get("/v1/migrations?limit=1")?.ok()?;
            let number = newest["items"][0]["number"].as_u64().unwrap_or(0);
            Ok(number >= 1000 + crowd.servers as u64)
        })?;
        let stored = began.elapsed().as_secs_f64();
        say(&format!("all tickets are open after {stored:.1} s"));
        self.wait("all proposals to be delivered", interrupt, || {
            Ok(self.post.of("proposed").len() >= crowd.servers)
        })?;
        say(&format!("all proposals are delivered after {:.1} s", began.elapsed().as_secs_f64()));
        let due = opening - REMINDED;
        ensure!(
            drover_scheduler::clock::SystemClock.now() < due,
            "this machine is too slow: the reminders were due already"
        );
        Ok(stored)
    }

    /// What happens when all reminders are due at once.
    fn remind(&self, crowd: Crowd, opening: Instant, interrupt: &Interrupt) -> Result<Vec<Row>> {
        sleep_until(opening - REMINDED, interrupt)?;
        say("the reminders are due");
        let due = Moment::now();
        let enough = AtomicBool::new(false);
        let answered = std::thread::scope(|scope| -> Result<Sample> {
            let asking = scope.spawn(|| keep_asking(self.api(), &QUESTIONS, &enough));
            let all = self.wait("all reminders to be delivered", interrupt, || {
                Ok(self.post.of("reminder").len() >= crowd.servers)
            });
            enough.store(true, Ordering::Relaxed);
            let sample = asking.join().map_err(|_| anyhow::anyhow!("asking the API failed"))?;
            all.and(sample)
        })?;
        let mails = self.post.of("reminder");
        let ids: BTreeSet<&String> = mails.iter().map(|mail| &mail.id).collect();
        ensure!(
            mails.len() == crowd.servers && ids.len() == crowd.servers,
            "{} reminders came, {} different ones",
            mails.len(),
            ids.len()
        );
        let last = mails.iter().map(|mail| mail.at).max().context("no reminder")?;
        let took = (last - due).as_secs_f64();
        say(&format!("all reminders are delivered after {took:.1} s"));
        let what = format!("{} reminders due at once: until the last is delivered", crowd.servers);
        let asked = format!("  the API meanwhile, 99th percentile of {} answers", answered.count());
        Ok(vec![
            Row::limited(&what, Unit::Seconds, Sample::from([took]), DELIVERED_WITHIN_S),
            Row::limited(
                &asked,
                Unit::Milliseconds,
                Sample::from([answered.quantile(0.99)]),
                ANSWERED_WITHIN_MS,
            ),
        ])
    }

    fn wait(&self, what: &str, interrupt: &Interrupt, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Moment::now() + PATIENCE;
        while !done()? {
            interrupt.check()?;
            ensure!(Moment::now() < deadline, "waited for {what}, in vain");
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(())
    }
}

/// What happens when all windows open at once.
fn begun(played: &Played, crowd: Crowd, opening: Instant, interrupt: &Interrupt) -> Result<Vec<Row>> {
    sleep_until(opening, interrupt)?;
    let orders = played.orders(crowd.servers, PATIENCE, interrupt)?;
    let early = orders.iter().filter(|at| **at < opening).count();
    ensure!(early == 0, "{early} orders came before their window was open");
    let mut late = Sample::default();
    for at in &orders {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some minutes, far below 2^52")]
        late.add((*at - opening).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3);
    }
    say(&format!("all orders are given: half of them {:.0} ms after the opening", late.median()));
    let what =
        format!("{} windows that open at once: until the order is given, 99th percentile", crowd.servers);
    let last = Sample::from([late.quantile(0.99)]);
    Ok(vec![
        Row {
            what,
            unit: Unit::Milliseconds,
            sample: last,
            against: Against::Limit(BEGUN_WITHIN_MS),
            goal: Some(1.0),
        },
        Row::told("  of them half", Unit::Milliseconds, Sample::from([late.median()])),
    ])
}
