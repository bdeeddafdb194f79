//! The console before a large fleet: how long its page takes the scheduler and a browser, and what a thousand who watch one drain cost
//! everybody else.
//!
//! Everything is on loopback: the real scheduler on SQLite, a real Chromium, and hosts whose agents are played.

mod hosts;
mod watchers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::asking::keep_asking;
use super::report::{Row, Sample, Unit};
use super::say;
use super::scheduler::Scheduler;
use crate::browser::{self, Browser};
use crate::demo::interrupt::Interrupt;
use crate::installation::Api;
use hosts::Hosts;
use watchers::{Session, Watchers};

/// How large the fleet is.
const HOSTS: usize = 1_000;
const SERVERS: usize = 20_000;

/// How often the page of a plan for all hosts is asked for.
const PLANS: usize = 5;

/// How many watch one drain.
const WATCHERS: usize = 1_000;

/// How often the page is asked for, and how often a browser opens it.
const DRAWN: usize = 50;
const OPENED: usize = 9;

/// The scheduler's time for the page, the browser's until one can use it, and the API's 99th percentile meanwhile; in milliseconds.
const DRAWN_WITHIN_MS: f64 = 50.0;
const INTERACTIVE_WITHIN_MS: f64 = 1_000.0;
const ANSWERED_WITHIN_MS: f64 = 20.0;

/// The host that is emptied while all watch.
const WATCHED: usize = 0;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(180);

/// What people ask meanwhile.
const QUESTIONS: [&str; 4] =
    ["/v1/servers/server-7", "/v1/migrations?limit=20", "/v1/hosts/host-0007", "/v1/maintenances?limit=20"];

const POLICY: &str = r#"
[agents]
silent_after = "1h"
"#;

pub(super) fn measure(interrupt: &Interrupt) -> Result<Vec<Row>> {
    watchers::allow_many_connections()?;
    let scheduler = Scheduler::start(POLICY, "")?;
    let api = &scheduler.api;
    say(&format!("{SERVERS} servers on {HOSTS} hosts"));
    let _hosts = Hosts::begin(api, interrupt)?;
    let session = Session::begin(api)?;
    let mut rows = drawn(&session)?;
    rows.extend(interactive(api)?);
    rows.extend(watched(api, &session, interrupt)?);
    rows.extend(planned(api, &session, interrupt)?);
    Ok(rows)
}

/// From the request to the last byte of the answer.
fn drawn(session: &Session) -> Result<Vec<Row>> {
    let mut sample = Sample::default();
    let mut bytes = 0;
    for _ in 0..DRAWN {
        let began = Instant::now();
        let page = session.page("/fleet")?;
        sample.add(began.elapsed().as_secs_f64() * 1e3);
        let tiles = page.matches("<a class=\"tile").count();
        ensure!(tiles == HOSTS, "the page shows {tiles} hosts and not {HOSTS}");
        bytes = page.len();
    }
    let what =
        format!("page of {HOSTS} hosts with {SERVERS} servers, {} kB: drawn by the scheduler", bytes / 1000);
    Ok(vec![Row::limited(what, Unit::Milliseconds, sample, DRAWN_WITHIN_MS)])
}

/// When the page is painted, its script has run, and the browser's one thread has come to rest: from then on it answers whoever uses it.
const REST: &str = "
    const tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: 'longtask', buffered: true });
    setTimeout(() => {
        const [page] = performance.getEntriesByType('navigation');
        const [paint] = performance.getEntriesByName('first-contentful-paint');
        const ends = tasks.map((task) => task.startTime + task.duration);
        done(paint ? Math.max(page.domContentLoadedEventEnd, paint.startTime, ...ends) : null);
    }, 1500);";

fn interactive(api: &Api) -> Result<Vec<Row>> {
    if let Some(reason) = browser::unable() {
        say(&format!("SKIPPED: how long a browser takes: {reason}"));
        return Ok(Vec::new());
    }
    let browser = Browser::start(api.url())?;
    browser.sign_in(api.token())?;
    browser.wait_for("a.tile")?;
    let mut sample = Sample::default();
    for _ in 0..OPENED {
        browser.open("/fleet")?;
        sample.add(browser.run_until_done(REST)?.as_f64().context("the page was not painted")?);
    }
    let what = "  the same in Chromium, until it can be used";
    Ok(vec![Row::limited(what, Unit::Milliseconds, sample, INTERACTIVE_WITHIN_MS)])
}

/// A host is emptied while all watch the page of its maintenance, and somebody asks the API.
fn watched(api: &Api, session: &Session, interrupt: &Interrupt) -> Result<Vec<Row>> {
    let body = json!({ "hosts": [hosts::name(WATCHED)], "reason": "kernel-update" });
    let watchers = Watchers::gather(session, WATCHERS, "/live?on=maintenance/MT-1")?;
    say(&format!("{WATCHERS} watch"));
    let enough = AtomicBool::new(false);
    let began = Instant::now();
    let answered = std::thread::scope(|scope| -> Result<Sample> {
        let asking = scope.spawn(|| keep_asking(api, &QUESTIONS, &enough));
        let drained = api
            .post("/v1/maintenances", &body)
            .and_then(|answer| answer.ok().context("the maintenance was refused"))
            .and_then(|_| until_drained(api, interrupt));
        enough.store(true, Ordering::Relaxed);
        let sample = asking.join().map_err(|_| anyhow::anyhow!("asking the API failed"))?;
        drained.and(sample)
    })?;
    let told = watchers.told()?;
    say(&format!(
        "drained after {:.1} s; each was told {:.0} times",
        began.elapsed().as_secs_f64(),
        told.median()
    ));
    ensure!(told.quantile(0.0) > 0.0, "somebody was told nothing");
    let what = format!(
        "{WATCHERS} watch a drain: the API meanwhile, 99th percentile of {} answers",
        answered.count()
    );
    let limited =
        Row::limited(what, Unit::Milliseconds, Sample::from([answered.quantile(0.99)]), ANSWERED_WITHIN_MS);
    Ok(vec![limited, Row::told("  how often each of them was told something", Unit::Plain, told)])
}

fn until_drained(api: &Api, interrupt: &Interrupt) -> Result<()> {
    let path = format!("/v1/hosts/{}", hosts::name(WATCHED));
    until(api, interrupt, &path, |host| host["standing"]["state"] == "drained")
}

/// The plan of a maintenance of all hosts, as a draft and when it has begun. It is found anew each time that it is looked at.
fn planned(api: &Api, session: &Session, interrupt: &Interrupt) -> Result<Vec<Row>> {
    // It was emptied while all watched.
    api.post(&format!("/v1/hosts/{}/uncordon", hosts::name(WATCHED)), &json!({}))?.ok()?;
    let rolling = json!({ "kind": "patch", "no_hooks": true, "hosts_at_once": 50 });
    let body = json!({ "select": { "all": true }, "reason": "kernel-update", "deadline": "30d", "rolling": rolling });
    let number =
        api.post("/v1/maintenances", &body)?.ok()?["number"].as_str().context("no number")?.to_owned();
    let path = format!("/v1/maintenances/{number}");
    let do_it = |act: &str| anyhow::Ok(api.post(&format!("{path}/{act}"), &json!({}))?.ok()?);
    until(api, interrupt, &path, |it| it["state"] == "planned")?;
    let draft = plan_drawn(session, &number)?;
    do_it("approve")?;
    until(api, interrupt, &path, |it| it["state"] == "running")?;
    // What moves meanwhile would be measured with it.
    do_it("pause")?;
    let running = plan_drawn(session, &number)?;
    let what = format!("page of a plan for all {HOSTS} hosts: a draft's, found and drawn by the scheduler");
    Ok(vec![
        Row::told(what, Unit::Milliseconds, draft),
        Row::told("  the same when it has begun", Unit::Milliseconds, running),
    ])
}

fn plan_drawn(session: &Session, number: &str) -> Result<Sample> {
    let mut sample = Sample::default();
    for _ in 0..PLANS {
        let began = Instant::now();
        let page = session.page(&format!("/maintenances/{number}/plan"))?;
        sample.add(began.elapsed().as_secs_f64() * 1e3);
        ensure!(page.contains(&hosts::name(HOSTS - 1)), "the page does not show the last host");
    }
    Ok(sample)
}

fn until(api: &Api, interrupt: &Interrupt, path: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt.check()?;
        let found = api.get(path)?.ok()?;
        if is_so(&found) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{path} does not become what is waited for: {found:#}");
        std::thread::sleep(Duration::from_millis(500));
    }
}
