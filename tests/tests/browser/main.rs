//! The pages in a real browser: an operator plans, approves and watches a drain; an owner opens the link of a mail, moves the date, tests, has the
//! server moved now, and confirms it. Every page is looked at for barriers and validated, and its picture taken: in the light, in the dark, on
//! a phone and on a wall.

mod stage;

use anyhow::{Context as _, Result, ensure};
use drover_tests::browser::story::{
    migrate_now_and_confirm, open_and_move_the_date, plan_and_approve, see_left, test,
};
use drover_tests::browser::{Browser, Judges, Screen, unable};
use stage::Stage;

/// Somebody before his browser; nothing where there is none, which is said.
fn signed_in(stage: &Stage, token: &str) -> Result<Option<Browser>> {
    if let Some(reason) = unable() {
        eprintln!("SKIPPED: {reason}");
        return Ok(None);
    }
    let browser = Browser::start(&stage.root)?;
    browser.sign_in(token)?;
    Ok(Some(browser))
}

#[test]
fn an_operator_plans_approves_and_watches_a_drain_and_an_owner_has_his_server_moved() -> Result<()> {
    let stage = Stage::set()?;
    let Some(operator) = signed_in(&stage, &stage.operator)? else { return Ok(()) };
    let mut judges = Judges::gather();
    operator.wait_for("a.tile")?;
    ensure!(operator.path()? == "/fleet", "{}", operator.path()?);

    let maintenance =
        plan_and_approve(&operator, "h1", "db-1", &mut |page, name| judges.look_at(page, name))?;
    ensure!(maintenance == "MT-1", "{maintenance}");
    // What is asked before something is done that matters.
    for (name, path) in [
        ("ask-pause", "/maintenances/MT-1/pause"),
        ("ask-cancel", "/maintenances/MT-1/cancel"),
        ("ask-emergency", "/maintenances/MT-1/emergency"),
        ("ask-cordon", "/hosts/h2/cordon"),
    ] {
        operator.open(path)?;
        operator.wait_for("main form.form")?;
        judges.look_at(&operator, name)?;
    }

    // Two go live; what is read on the page changes by itself until the third waits for its owner.
    let link = stage.link("db-1")?;
    let ticket = stage.ticket("db-1")?.number;
    for act in ["reschedule", "pause-replica", "start-now"] {
        operator.open(&format!("/migrations/{ticket}/{act}"))?;
        operator.wait_for("main form.form")?;
        judges.look_at(&operator, &format!("ask-{act}"))?;
    }
    operator.open(&format!("/tickets/{ticket}"))?;
    operator.press("Take it")?;
    operator.wait_for_text("Give it back")?;
    judges.look_at(&operator, "ticket")?;
    operator.open("/fleet")?;
    see_left(&operator, "h1", "1 server")?;
    judges.look_at(&operator, "fleet")?;

    let owner = Browser::start(&stage.root)?;
    let mut look = |page: &Browser, name: &str| judges.look_at(page, name);
    open_and_move_the_date(&owner, &link, "db-1", &mut look)?;
    test(&owner, "db-1", "vnc://127.0.0.1:5900", &mut look)?;
    migrate_now_and_confirm(&owner, &mut look)?;

    // Its last server has left by now, and the page of the fleet has said so without anybody's reloading it.
    see_left(&operator, "h1", "0 servers")?;
    operator.open("/maintenances/MT-1")?;
    operator.wait_for_text("done")?;
    for (name, path) in [
        ("hosts", "/hosts"),
        ("host", "/hosts/h1"),
        ("servers", "/servers?sort=-memory"),
        ("maintenances", "/maintenances"),
        ("maintenance-done", "/maintenances/MT-1"),
        ("plan", "/maintenances/MT-1/plan"),
        ("migrations", "/migrations"),
        ("migration", "/migrations/1001"),
        ("tickets", "/tickets"),
        ("search", "/search?q=db"),
        ("audit", "/audit"),
        ("agents", "/agents"),
        ("policies", "/policies"),
        ("windows", "/windows"),
        ("nothing-there", "/hosts/h77"),
    ] {
        operator.open(path)?;
        if name == "nothing-there" {
            // A page that is itself a refusal is one that browsers complain of.
            operator.complaints()?;
        }
        judges.look_at(&operator, name)?;
    }
    judges.rule()
}

#[test]
fn the_picture_of_a_simulation_opens_from_its_file_and_tells_of_each_host() -> Result<()> {
    if let Some(reason) = unable() {
        eprintln!("SKIPPED: {reason}");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("picture.html");
    std::fs::write(&file, drover_tests::picture::of_a_simulation("<b>Twelve hosts</b>")?)?;
    let browser = Browser::start("")?;
    browser.open(&format!("file://{}", file.display()))?;
    browser.wait_for_text("<b>Twelve hosts</b>")?;
    let drawn = "return [document.querySelectorAll('svg').length, document.querySelectorAll('svg polygon').length, \
                 performance.getEntriesByType('resource').length]";
    let counts = browser.run(drawn)?;
    ensure!(counts[0].as_u64() >= Some(1) && counts[1].as_u64() >= Some(1), "nothing is drawn: {counts}");
    ensure!(counts[2] == 0, "it asks for more than its own file: {counts}");
    let pointed = "const rows = document.getElementById('rows'), box = rows.getBoundingClientRect(); \
                   rows.dispatchEvent(new MouseEvent('mousemove', {clientX: box.left + 300, clientY: box.top + 3})); \
                   return document.getElementById('at').textContent";
    let told = browser.run(pointed)?;
    let told = told.as_str().context("no text")?;
    ensure!(
        told.contains("servers): ") && told.contains("being emptied from"),
        "pointed at a host: {told:?}"
    );
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[test]
fn an_owner_sees_his_pages_in_any_light() -> Result<()> {
    let stage = Stage::set()?;
    let Some(owner) = signed_in(&stage, &stage.acme)? else { return Ok(()) };
    let mut judges = Judges::gather();
    owner.wait_for_text("web-1")?;
    let server = "return [...document.querySelectorAll('a')].find((a) => a.textContent === 'db-1').getAttribute('href')";
    let server = owner.run(server)?.as_str().context("a link")?.to_owned();
    for (name, path) in [
        ("my", "/my"),
        ("my-windows", "/my/windows"),
        ("my-contacts", "/my/contacts"),
        ("my-tokens", "/my/tokens"),
        ("my-tickets", "/tickets"),
        ("my-server", server.as_str()),
        ("my-migrate", &format!("{server}/migrate")),
    ] {
        owner.open(path)?;
        judges.look_at(&owner, name)?;
    }
    owner.open("/my")?;
    owner.run("document.querySelector('form.who button').click()")?;
    owner.wait_for("input[name=token]")?;
    judges.look_at(&owner, "login")?;
    judges.rule()
}

#[test]
fn an_owner_reads_his_pages_in_german_the_refusals_among_them() -> Result<()> {
    let stage = Stage::set()?;
    let Some(operator) = signed_in(&stage, &stage.operator)? else { return Ok(()) };
    plan_and_approve(&operator, "h1", "db-1", &mut |_, _| Ok(()))?;
    let ticket = format!("/tickets/{}", stage.ticket("db-1")?.number);
    let owner = Browser::start(&stage.root)?;
    owner.sign_in(&stage.acme)?;
    owner.open("/my/contacts")?;
    owner.type_into("input[name=language]", "klingon")?;
    owner.press("Save")?;
    owner.wait_for(".error")?;
    let mut judges = Judges::gather();
    // The page of a refused form is one that browsers complain of.
    owner.complaints()?;
    judges.look_at(&owner, "my-contacts-refused")?;
    owner.type_into("input[name=language]", "de")?;
    owner.press("Save")?;
    owner.wait_for_text("Gespeichert.")?;
    let migration = ticket.replace("/tickets", "/my/migrations");
    for (name, path) in [
        ("de-my", "/my".to_owned()),
        ("de-my-migration", migration.clone()),
        ("de-my-times", format!("{migration}/times")),
        ("de-ask-now", format!("{migration}/start-now")),
        ("de-my-ticket", ticket),
        ("de-my-windows", "/my/windows".to_owned()),
        ("de-nothing-there", "/my/migrations/DR-4711".to_owned()),
    ] {
        owner.open(&path)?;
        ensure!(owner.run("return document.documentElement.lang")? == "de", "{name} is not in German");
        owner.complaints()?;
        judges.look_at(&owner, name)?;
    }
    judges.rule()
}

/// What a page has moved of itself since it was opened, but for what its reader has done, and what kept it from being painted.
const JUMPS: &str = "const shown = (node) => (node?.outerHTML ?? node?.textContent ?? '?').slice(0, 120);
    let jumps = [];
    new PerformanceObserver((list) => jumps.push(...list.getEntries().filter((one) => one.value > 0 && !one.hadRecentInput)))
        .observe({ type: 'layout-shift', buffered: true });
    const painted = () => performance.getEntriesByName('first-contentful-paint').length;
    const settle = (tries) => setTimeout(() => painted() || tries < 1 ? done({
        painted: painted(),
        jumps: jumps.map((one) => one.value + ' of ' + one.sources.map((source) => shown(source.node)).join(' | ')),
        blocking: performance.getEntriesByType('resource').filter((one) => one.renderBlockingStatus === 'blocking')
            .map((one) => new URL(one.name).pathname),
    }) : settle(tries - 1), 250);
    settle(40);";

/// Opens pages as somebody who has never seen them: nothing on them jumps, and nothing but the one style sheet is waited for before they are painted.
fn stand_still(browser: &Browser, paths: &[&str]) -> Result<()> {
    for screen in [Screen::DESK, Screen::PHONE] {
        browser.look(screen)?;
        for path in paths {
            browser.open(path)?;
            let found = browser.run_until_done(JUMPS)?;
            ensure!(found["painted"] == 1, "{path}, {}: it is not painted", screen.name);
            ensure!(
                found["jumps"] == serde_json::json!([]),
                "{path}, {}: it jumps: {}",
                screen.name,
                found["jumps"]
            );
            let blocking = found["blocking"].as_array().context("a list")?;
            let is_css = |one: &serde_json::Value| one.as_str().is_some_and(|path| path.ends_with(".css"));
            ensure!(
                blocking.len() <= 1 && blocking.iter().all(is_css),
                "{path}, {}: painted after {blocking:?}",
                screen.name
            );
        }
    }
    browser.look(Screen::DESK)
}

#[test]
fn no_page_jumps_and_none_waits_for_more_than_its_style_sheet() -> Result<()> {
    let stage = Stage::set()?;
    let Some(operator) = signed_in(&stage, &stage.operator)? else { return Ok(()) };
    plan_and_approve(&operator, "h1", "db-1", &mut |_, _| Ok(()))?;
    let number = stage.ticket("db-1")?.number;
    let ticket = format!("/tickets/{number}");
    let (migration, mine) = (format!("/migrations/{number}"), format!("/my/migrations/{number}"));
    // Its servers that go live have gone: what then changes of itself is no jump of a page that is drawn.
    operator.open("/fleet")?;
    see_left(&operator, "h1", "1 server")?;
    stand_still(
        &operator,
        &[
            "/fleet",
            "/maintenances",
            "/maintenances/MT-1",
            "/maintenances/MT-1/plan",
            "/maintenances/new",
            "/migrations",
            &migration,
            "/servers",
            "/hosts",
            "/hosts/h1",
            "/windows",
            "/tickets",
            &ticket,
            "/policies",
            "/agents",
            "/audit",
            "/search?q=db",
            "/hosts/h77",
        ],
    )?;
    let owner = Browser::start(&stage.root)?;
    owner.sign_in(&stage.acme)?;
    stand_still(
        &owner,
        &[
            "/my",
            &mine,
            &format!("{mine}/times"),
            "/tickets",
            &ticket,
            "/my/windows",
            "/my/contacts",
            "/my/tokens",
        ],
    )
}

#[test]
fn a_page_says_that_it_is_cut_off_and_mends_itself_and_its_distances_go_on() -> Result<()> {
    let stage = Stage::set()?;
    let Some(operator) = signed_in(&stage, &stage.operator)? else { return Ok(()) };
    const LOST: &str = "!document.getElementById('lost').hidden";
    let lost = |is: bool| operator.wait_until(&format!("return ({LOST}) === {is}"));
    let top = || operator.run("return document.querySelector('h1').getBoundingClientRect().top");
    // One with a stream, and one without.
    for path in ["/fleet", "/hosts"] {
        operator.open(path)?;
        operator.wait_for("h1")?;
        let before = top()?;
        operator.run("dispatchEvent(new Event('offline'))")?;
        lost(true)?;
        ensure!(top()? == before, "{path} jumps when it says so");
        operator.run("dispatchEvent(new Event('online'))")?;
        lost(false)?;
    }
    // Parts that can't be fetched are fetched again, though nothing else happens.
    operator.open("/fleet")?;
    operator.wait_for("[data-live]")?;
    operator.run(
        "const real = fetch; window.asked = 0; \
         window.fetch = (...all) => ++asked < 3 ? Promise.reject(new TypeError('cut')) : real(...all); \
         dispatchEvent(new Event('online'))",
    )?;
    lost(true)?;
    operator.wait_until("return asked >= 3")?;
    lost(false)?;
    // A stream that says nothing is begun anew.
    operator.open("/fleet")?;
    operator.wait_for("[data-live]")?;
    operator.run(
        "const now = Date.now; window.streams = 0; const Real = EventSource; \
         window.EventSource = class extends Real { constructor(from) { super(from); streams += 1; } }; \
         Date.now = () => now() + 40000",
    )?;
    operator.wait_until("return streams > 0")?;
    // The distance of a moment of this minute changes while one looks.
    operator.open("/hosts")?;
    operator.wait_for("time[data-away]")?;
    operator.run("window.was = document.querySelector('time[data-away]').textContent")?;
    operator.wait_until("return document.querySelector('time[data-away]').textContent !== was")
}
