//! The pages before real hypervisors, in a real browser: an operator empties a host and watches it; the owner of a server with local disks opens
//! the link of a mail that a real mail server has brought, chooses another time, tests his server, has it moved now, and confirms.

use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use drover_policies::time::Clock as _;
use drover_scheduler::clock::SystemClock;
use drover_tests::browser::story::{
    migrate_now_and_confirm, open_and_move_the_date, plan_and_approve, see_left, test,
};
use drover_tests::browser::{self, Browser};
use drover_tests::installation::Options;
use drover_tests::lab::DiskFormat::Qcow2;
use drover_tests::lab::{self, Guest};
use drover_tests::scene::{self, MOVED, Scene, Stage, guest, text};
use drover_tests::warm::{self, REPAIRED, local_guest, until_well};
use drover_tests::world::mail::Mailbox;
use opensmtpd::MailServer;

#[path = "../../notifier/tests/common/opensmtpd.rs"]
mod opensmtpd;

/// Goes live, from shared storage.
const LIVE: &str = "web-1";
/// Has a local disk, and an owner who is asked.
const ASKED: &str = "db-1";

/// Time enough for an owner who reads pages, and several times to choose from until the deadline.
const RULE: &str = r#"
[[rule]]
name = "asked on a page"
match = { label = "asked=on-a-page" }
set.windows.slot_step = "5m"
set.notice.lead = "20m"
"#;

const MAIL_SERVER: &str = r#"
table owners { "@acme.example" = "nobody" }
listen on 127.0.0.1 port @CLEAR@ hostname mail.example
listen on 127.0.0.1 port @STARTTLS@ hostname mail.example
action "owner" maildir "@DIR@/mail" virtual <owners>
match from any for domain "acme.example" action "owner"
"#;

static POST: Mutex<Option<MailServer>> = Mutex::new(None);

/// Of the mail server.
fn with_post<T>(ask: impl FnOnce(&MailServer) -> T) -> Result<T> {
    let post = POST.lock().map_err(|_| anyhow::anyhow!("whoever had the mail server has panicked"))?;
    post.as_ref().map(ask).context("the mail server is not up")
}

fn main() -> ExitCode {
    let lists = std::env::args().any(|word| word == "--list");
    // Where there can be no lab, the scene says so.
    if !lists && lab::unable().is_none() {
        if let Some(reason) = browser::unable() {
            println!("SKIPPED: {reason}");
            return ExitCode::SUCCESS;
        }
        let Some(server) = MailServer::start(MAIL_SERVER) else { return ExitCode::SUCCESS };
        POST.lock().expect("nobody has it yet").replace(server);
    }
    let code = scene::run_on(
        Stage { lab: "test-pages", hosts: 2, options },
        drover_tests::tests![an_operator_empties_a_host_and_an_owner_tests_and_moves_his_server],
    );
    // What is static is not dropped at the end of a process.
    drop(POST.lock().map(|mut post| post.take()));
    code
}

fn options() -> Result<Options> {
    let port = with_post(|post| post.clear)?;
    let warm = warm::options()?;
    let mail = format!(
        "[mail.sender]\nfrom = \"Example Cloud <maintenance@cloud.example>\"\n\
         [mail.channel]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n"
    );
    Ok(Options { mail, policy: format!("{}{RULE}", warm.policy), ..warm })
}

/// The link of the first mail that an owner gets.
fn mailed_link(scene: &Scene) -> Result<String> {
    let mut mailbox = Mailbox::new(&with_post(|post| post.file("mail"))?);
    scene.drover().wait("the mail with the proposed time", MOVED, || {
        mailbox.collect(SystemClock.now())?;
        let proposed = mailbox.mails.iter().find(|mail| mail.kind == "proposed");
        Ok(proposed.and_then(|mail| mail.page.clone()))
    })
}

fn someone(scene: &Scene) -> Result<Browser> {
    let browser = Browser::start(scene.drover().api().url())?;
    // Guests boot on the same processors.
    browser.be_patient(REPAIRED);
    Ok(browser)
}

fn an_operator_empties_a_host_and_an_owner_tests_and_moves_his_server(scene: &Scene) -> Result<()> {
    scene.add(&[guest(LIVE, "h1", &[]), local_guest(ASKED, &[Qcow2], &[("asked", "on-a-page")])])?;
    let api = scene.drover().api();
    let (operator, watcher, owner) = (someone(scene)?, someone(scene)?, someone(scene)?);
    for browser in [&operator, &watcher] {
        browser.sign_in(api.token())?;
        browser.wait_for("a.tile")?;
    }
    see_left(&watcher, "h1", "2 servers")?;
    let mut look = |_: &Browser, _: &str| Ok(());
    let maintenance = plan_and_approve(&operator, "h1", ASKED, &mut look)?;
    see_left(&watcher, "h1", "1 server")?;
    scene.runs_on(LIVE, "h2")?;

    open_and_move_the_date(&owner, &mailed_link(scene)?, ASKED, &mut look)?;
    test(&owner, ASKED, "virsh console", &mut look)?;
    scene.runs_on(ASKED, "h1")?;
    ensure!(scene.boots(ASKED)? == 1, "the test was counted as a boot of the server");

    migrate_now_and_confirm(&owner, &mut look)?;
    let migration = until_well(scene, ASKED)?;
    ensure!(migration["to"] == "h2" && migration["tries"] == 1, "{migration:#}");
    see_left(&watcher, "h1", "0 servers")?;
    operator.wait_for_text("drained")?;
    scene.until_drained("h1")?;
    confirmed_disks_are_gone(scene, &scene.lab().guest(ASKED)?)?;
    let shown = api.get(&format!("/v1/maintenances/{maintenance}"))?.ok()?;
    ensure!(text(&shown["state"])? == "completed", "{shown:#}");
    Ok(())
}

fn confirmed_disks_are_gone(scene: &Scene, guest: &Guest) -> Result<()> {
    let source = scene.host("h1")?;
    scene.drover().wait("the old disks to be deleted", MOVED, || {
        Ok((!guest.disks().iter().any(|disk| source.inside(&disk.path).exists())).then_some(()))
    })
}
