//! The owner's story on real libvirt and QEMU, hour by hour in seconds: all that he gets and writes goes through a real mail server, and
//! what he answers is fetched from a real mailbox.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{Europe::Berlin, Tz};
use dovecot::Dovecot;
use drover_policies::time::Clock as _;
use drover_scheduler::clock::SystemClock;
use drover_tests::installation::Options;
use drover_tests::lab;
use drover_tests::scene::{self, MOVED, POLICY, Scene, Stage, forbids_live, text};
use drover_tests::world::mail::{Entry, Mail, Mailbox};
use lettre::address::Envelope;
use lettre::{SmtpTransport, Transport as _};
use opensmtpd::MailServer;
use serde_json::Value;

#[path = "../../scheduler/tests/common/dovecot.rs"]
mod dovecot;
#[path = "../../notifier/tests/common/opensmtpd.rs"]
mod opensmtpd;

const SERVER: &str = "db-1";
const ADA: &str = "ada@acme.example";

/// Long enough for a reminder and an answer to it, before the time is so near that its order is handed to the agent.
const RULE: &str = r#"
[[rule]]
name = "asked by mail"
match = { label = "asked=by-mail" }
set.notice.lead = "60s"
set.notice.reminders = ["50s"]
"#;

/// Owners' mails go into one mailbox, answers into the one that Dovecot serves.
const MAIL_SERVER: &str = r#"
table owners { "@acme.example" = "nobody" }
table answers { "@cloud.example" = "nobody" }
listen on 127.0.0.1 port @CLEAR@ hostname mail.example
listen on 127.0.0.1 port @STARTTLS@ hostname mail.example
action "owner" maildir "@DIR@/mail" virtual <owners>
action "answer" maildir "@ANSWERS@" virtual <answers>
match from any for domain "acme.example" action "owner"
match from any for domain "cloud.example" action "answer"
"#;

/// How long a mail may be under way, on a machine that is busy with other things.
const UNDER_WAY: Duration = Duration::from_secs(45);

/// The servers that mails go through.
struct Post {
    mail: MailServer,
    answers: Dovecot,
}

static POST: Mutex<Option<Post>> = Mutex::new(None);

fn post() -> MutexGuard<'static, Option<Post>> {
    POST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> ExitCode {
    // Where there can be no lab, the scene says so.
    let wanted = !std::env::args().any(|word| word == "--list") && lab::unable().is_none();
    if wanted && !open_post() {
        return ExitCode::SUCCESS;
    }
    let code = scene::run_on(
        Stage { lab: "test-owner", hosts: 2, options },
        drover_tests::tests![an_owner_moves_the_date_by_mail_is_moved_then_and_confirms],
    );
    // What is static is not dropped at the end of a process.
    drop(post().take());
    code
}

/// Whether they run; if not, that was said aloud.
fn open_post() -> bool {
    let started = Dovecot::start().and_then(|answers| {
        let mailbox = answers.path("mail");
        let mail = MailServer::start(&MAIL_SERVER.replace("@ANSWERS@", &mailbox.display().to_string()))?;
        Some(Post { mail, answers })
    });
    *post() = started;
    post().is_some()
}

fn options() -> Result<Options> {
    let post = post();
    let Post { mail, answers } = post.as_ref().context("the mail servers are not up")?;
    let mail = format!(
        "[mail.sender]\nfrom = \"Example Cloud <maintenance@cloud.example>\"\n\
         [mail.channel]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         [mail.incoming]\naddress = \"reply@cloud.example\"\n\
         [mail.incoming.imap]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"implicit\"\nca_file = {:?}\n\
         user = \"reply\"\npassword_file = {:?}\ndone = \"Taken\"\n",
        mail.clear,
        answers.implicit,
        answers.path("cert.pem"),
        answers.path("password"),
    );
    Ok(Options { mail, ..Options::new(&format!("{POLICY}{RULE}")) })
}

/// The owner, before his mail program.
struct Owner<'a> {
    scene: &'a Scene,
    mailbox: Mailbox,
    port: u16,
}

impl<'a> Owner<'a> {
    fn of(scene: &'a Scene) -> Result<Self> {
        let post = post();
        let Post { mail, .. } = post.as_ref().context("the mail servers are not up")?;
        Ok(Self { scene, mailbox: Mailbox::new(&mail.file("mail")), port: mail.clear })
    }

    /// Waits until he has a mail of this kind.
    fn gets(&mut self, kind: &str) -> Result<Mail> {
        let mailbox = &mut self.mailbox;
        let waited = self.scene.drover().wait(&format!("a mail of the kind {kind}"), UNDER_WAY, || {
            mailbox.collect(SystemClock.now())?;
            Ok(mailbox.mails.iter().find(|mail| mail.kind == kind).cloned())
        });
        waited.with_context(|| format!("he has got:\n{}", self.mailbox.of_tickets()))
    }

    /// Answers the last mail of a ticket as a mail program does, and hands that to his mail server.
    fn answers(&self, mail: &Mail, words: &str) -> Result<()> {
        let answer = self.mailbox.answer_to(&mail.ticket, ADA, words, SystemClock.now())?;
        let envelope = Envelope::new(Some(ADA.parse()?), vec![mail.answer_to.parse()?])?;
        let server = SmtpTransport::builder_dangerous("127.0.0.1").port(self.port).build();
        server.send_raw(&envelope, answer.as_bytes())?;
        Ok(())
    }
}

/// What a mail puts into the calendar, and when that begins.
fn invitation(mail: &Mail) -> Result<(Entry, DateTime<Utc>)> {
    let entry = mail.calendar.clone().with_context(|| format!("no calendar entry comes with {mail:#?}"))?;
    ensure!(entry.method == "REQUEST", "{entry:?}");
    let starts = NaiveDateTime::parse_from_str(&entry.starts, "%Y%m%dT%H%M%SZ")?.and_utc();
    Ok((entry, starts))
}

/// A row of a mail tells this time in this zone.
fn tells(mail: &Mail, row: &str, at: DateTime<Utc>, zone: Tz) -> Result<()> {
    let local = at.with_timezone(&zone);
    let whole = local.format("%S").to_string() == "00";
    let time =
        local.format(if whole { "%-d %B %Y, %H:%M to " } else { "%-d %B %Y, %H:%M:%S to " }).to_string();
    let told = mail.says.iter().any(|line| line.trim_start().starts_with(row) && line.contains(&time));
    ensure!(told, "no row {row:?} tells {time:?}: {:#?}", mail.says);
    Ok(())
}

/// Nothing happens to the server before this time.
fn stays_until(scene: &Scene, time: DateTime<Utc>) -> Result<()> {
    loop {
        let boots = scene.boots(SERVER)?;
        let at_home = scene.lab().where_running(SERVER)?.iter().any(|host| host.name() == "h1");
        // Asked last: what was seen was so before.
        if SystemClock.now() >= time {
            return Ok(());
        }
        ensure!(boots == 1 && at_home, "moved before {time}: {boots} boots, {:#}", scene.migration(SERVER)?);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How many definitions the agent of h1 keeps of servers that have left.
fn kept(scene: &Scene) -> Result<usize> {
    let kept: &Path = &scene.host("h1")?.dir().join("agent/ledger/retained");
    let files = std::fs::read_dir(kept).with_context(|| format!("cannot read {}", kept.display()))?;
    Ok(files.count())
}

/// He is asked, reminded, and chooses another time; returns that and the last mail.
fn chooses(owner: &mut Owner<'_>) -> Result<(DateTime<Utc>, Mail)> {
    let proposed = owner.gets("proposed")?;
    let subject = format!("[ACTION REQUIRED] Server Migration: {SERVER} [{}]", proposed.ticket);
    ensure!(proposed.subject == subject, "{proposed:#?}");
    let (first, before) = invitation(&proposed)?;
    tells(&proposed, "When", before, Berlin)?;
    tells(&proposed, "In UTC", before, Tz::UTC)?;
    let ticket = owner.scene.drover().api().get(&format!("/v1/tickets/{}", proposed.ticket))?.ok()?;
    let uid = format!("{}@cloud.example", text(&ticket["id"])?);
    ensure!(first.uid == uid && first.status == "TENTATIVE", "{first:?} of {ticket:#}");

    let reminder = owner.gets("reminder")?;
    ensure!(reminder.subject == format!("[REMINDER] Server Migration: {SERVER} [{}]", proposed.ticket));
    let (second, same) = invitation(&reminder)?;
    ensure!(same == before && second.uid == uid && second.sequence > first.sequence, "{first:?}, {second:?}");

    let chosen = before + TimeDelta::seconds(10);
    let local = Berlin.from_utc_datetime(&chosen.naive_utc());
    owner.answers(&reminder, &local.format("move to %Y-%m-%d %H:%M:%S").to_string())?;
    let moved = owner.gets("rescheduled")?;
    let (third, now) = invitation(&moved)?;
    ensure!(now == chosen && third.uid == uid && third.sequence > second.sequence, "{second:?}, {third:?}");
    ensure!(third.status == "CONFIRMED", "{third:?}");
    tells(&moved, "When", chosen, Berlin)?;
    tells(&moved, "Before", before, Berlin)?;
    Ok((chosen, moved))
}

fn an_owner_moves_the_date_by_mail_is_moved_then_and_confirms(scene: &Scene) -> Result<()> {
    let mut owner = Owner::of(scene)?;
    scene.add(&[forbids_live(SERVER, &[("asked", "by-mail")])])?;
    scene.drain("h1")?;
    let (chosen, mail) = chooses(&mut owner)?;

    stays_until(scene, chosen)?;
    let migration = scene.until_rebooted(SERVER)?;
    ensure!(migration["to"] == "h2" && migration["tries"] == 1, "{migration:#}");
    let events = format!("/v1/events?limit=500&migration={}", text(&migration["id"])?);
    let events = scene.drover().api().all(&events)?;
    let offs: Vec<&Value> = events.iter().filter(|event| event["text"] == "power off source").collect();
    let [off] = offs.as_slice() else { anyhow::bail!("it was to be powered off once: {events:#?}") };
    ensure!(text(&off["at"])?.parse::<DateTime<Utc>>()? >= chosen, "{off:#} before {chosen}");
    let checks = scene.lab().check_no_acknowledged_write_lost()?;
    let check = checks.iter().find(|check| check.guest == SERVER).context("it was not looked at")?;
    ensure!(check.acknowledged > 50 && check.last_on_disk >= check.last_acknowledged, "{check:?}");
    scene.until_drained("h1")?;

    owner.gets("done")?;
    ensure!(kept(scene)? == 1, "nothing is kept in the old place");
    let token = scene.drover().owner_token("acme")?;
    scene.drover().drover_ok(&["confirm", "--token", &token, &mail.ticket])?;
    owner.gets("confirmed")?;
    scene.drover().wait(
        "what was kept to be thrown away",
        MOVED,
        || Ok((kept(scene)? == 0).then_some(())),
    )?;
    let kinds: Vec<_> = owner.mailbox.mails.iter().map(|mail| mail.kind.as_str()).collect();
    for kind in ["proposed", "rescheduled", "started", "done", "confirmed"] {
        ensure!(kinds.iter().filter(|one| **one == kind).count() == 1, "not one {kind}: {kinds:?}");
    }
    scene.runs_on(SERVER, "h2")
}
