//! What happened, as the scheduler's API, the maildir and the guests themselves tell it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use mailparse::MailHeaderMap as _;
use serde_json::Value;

use super::cast::{CAST, DRAINED, OWNERS};
use super::show::{Look, Show, size, table};
use crate::installation::Installation;
use crate::lab::Lab;

/// How long the tickets may take to be closed after the host is empty: the last guest has to be seen alive.
const CLOSING: Duration = Duration::from_secs(30);

/// Events that are too many for a story; the others tell the same in fewer words.
const NOT_TOLD: [&str; 2] = ["phase_reached", "waits"];

/// What happened.
pub struct Tale {
    maintenance: Value,
    host: Value,
    migrations: Vec<Value>,
    events: Vec<Value>,
    tickets: Vec<Value>,
    mails: Vec<Mail>,
    downtimes: BTreeMap<String, Duration>,
}

/// A mail to an owner.
struct Mail {
    to: String,
    subject: String,
    kind: String,
    text: String,
}

impl Tale {
    /// Reads it all, once the last ticket is closed.
    pub fn read(installation: &Installation, lab: &Lab) -> Result<Self> {
        let api = installation.api();
        installation.wait("every ticket to be closed", CLOSING, || {
            Ok(api.all("/v1/tickets?only=open")?.is_empty().then_some(()))
        })?;
        let maintenance =
            api.all("/v1/maintenances?only=all")?.into_iter().next().context("there is no maintenance")?;
        let number = maintenance["number"].as_str().context("a maintenance has a number")?.to_owned();
        let collector = lab.collector()?;
        wait_until_measured(installation, lab)?;
        let downtimes = CAST
            .iter()
            .filter_map(|role| Some((role.name.to_owned(), collector.of(role.name).downtime()?)))
            .collect();
        let mut migrations = api.all(&format!("/v1/migrations?only=all&maintenance={number}"))?;
        migrations
            .sort_by_key(|migration| CAST.iter().position(|role| migration["server_name"] == role.name));
        Ok(Self {
            host: api.get(&format!("/v1/hosts/{DRAINED}"))?.ok()?,
            migrations,
            events: api.all(&format!("/v1/events?limit=500&maintenance={number}"))?,
            tickets: api.all("/v1/tickets?only=all")?,
            mails: read_maildir(&installation.maildir())?,
            downtimes,
            maintenance,
        })
    }

    /// Every mail by its subject, and the first ticket as its owner reads it.
    pub fn show_mails(&self, show: &Show) {
        for mail in &self.mails {
            show.line(&format!("To {:<45} {}", mail.to.replace('"', ""), mail.subject));
        }
        if let Some(first) = self.mails.iter().find(|mail| mail.kind == "proposed") {
            show.line("\nThe first of them:\n");
            show.quote(&first.text);
        }
    }

    /// The story with times.
    pub fn show_story(&self, show: &Show) {
        for event in self.events.iter().filter(|event| !NOT_TOLD.iter().any(|kind| event["kind"] == *kind)) {
            let subject = event["server_name"].as_str().or(event["host"].as_str()).unwrap_or("maintenance");
            let text = event["text"].as_str().unwrap_or_default();
            show.line(&format!("{}  {subject:<12} {text}", show.paint(&clock(&event["at"]), Look::Faint)));
        }
    }

    /// Every server with what became of it.
    pub fn table(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let rows = self.migrations.iter().map(|migration| {
            let name = text(&migration["server_name"]);
            let downtime =
                self.downtimes.get(&name).map_or("?".to_owned(), |time| format!("{} ms", time.as_millis()));
            vec![
                name,
                text(&migration["method"]),
                text(&migration["from"]),
                text(&migration["to"]),
                migration["tries"].to_string(),
                downtime,
                size(sent(migration)),
                migration["why_not_live"]["code"].as_str().unwrap_or_default().replace('_', " "),
            ]
        });
        let header = ["SERVER", "METHOD", "FROM", "TO", "ATTEMPTS", "DOWNTIME", "SENT", "WHY NOT LIVE"];
        table(&header, rows.collect(), &[4, 5, 6])
    }

    /// Whether each went the way that it should, and each owner was told what he should be.
    pub fn check(&self) -> Result<()> {
        ensure!(self.host["standing"]["state"] == "drained", "{DRAINED} is {}", self.host["standing"]);
        ensure!(self.maintenance["state"] == "completed", "the maintenance is {}", self.maintenance);
        for role in CAST.iter().filter(|role| role.host == DRAINED) {
            let migration = self
                .migrations
                .iter()
                .find(|migration| migration["server_name"] == role.name)
                .with_context(|| format!("{} was not migrated", role.name))?;
            let (method, done) = match role.part.why_not_live() {
                None => ("live", migration["state"] == "succeeded"),
                Some(code) => {
                    let why = &migration["why_not_live"];
                    ensure!(
                        why["code"] == code,
                        "{} was not migrated live because of {why}, not {code}",
                        role.name
                    );
                    ("reboot", migration["done_at"].is_string())
                }
            };
            ensure!(migration["method"] == method && done, "{} went another way: {migration:#}", role.name);
            ensure!(self.downtimes.contains_key(role.name), "{} has not measured its downtime", role.name);
            let tickets = self.tickets.iter().filter(|ticket| ticket["server_name"] == role.name).count();
            ensure!(tickets == usize::from(method == "reboot"), "{} has {tickets} tickets", role.name);
            self.check_mails(role.name, role.owner, method == "reboot")?;
        }
        ensure!(self.tickets.iter().all(|ticket| ticket["state"] == "closed"), "a ticket is still open");
        Ok(())
    }

    fn check_mails(&self, server: &str, owner: &str, ticket: bool) -> Result<()> {
        let address = OWNERS.iter().find(|known| known.name == owner).map_or("", |owner| owner.mail);
        for kind in ["proposed", "started", "done"] {
            let count = self
                .mails
                .iter()
                .filter(|mail| {
                    mail.kind == kind
                        && mail.subject.contains(&format!(": {server} ["))
                        && mail.to.contains(address)
                })
                .count();
            ensure!(count == usize::from(ticket), "{count} mails ({kind}) about {server} went to {owner}");
        }
        Ok(())
    }
}

/// Waits until each guest has told of the longest time in which it was away. One that booted anew has measured it with its
/// first beat and tells of it with the next.
fn wait_until_measured(installation: &Installation, lab: &Lab) -> Result<()> {
    let collector = lab.collector()?;
    for role in CAST.iter().filter(|role| role.host == DRAINED) {
        let boots = if role.part.why_not_live().is_some() { 2 } else { 1 };
        installation.wait(&format!("{} to have booted {boots} times", role.name), CLOSING, || {
            Ok((collector.of(role.name).boots >= boots).then_some(()))
        })?;
        let first = collector.of(role.name).last();
        collector.wait_beyond(role.name, first + 1, CLOSING)?;
    }
    Ok(())
}

fn sent(migration: &Value) -> u64 {
    migration["moved"]["sent_bytes"].as_u64().unwrap_or(0)
}

/// The time of day in UTC.
fn clock(at: &Value) -> String {
    let parsed = at.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    parsed.map_or_else(String::new, |at| at.format("%H:%M:%S").to_string())
}

/// The mails in the order in which they were written.
fn read_maildir(dir: &Path) -> Result<Vec<Mail>> {
    let mut found = BTreeMap::new();
    let new = dir.join("new");
    for entry in
        std::fs::read_dir(&new).with_context(|| format!("no mail has arrived in {}", new.display()))?
    {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        let parsed =
            mailparse::parse_mail(&bytes).with_context(|| format!("{} is no mail", path.display()))?;
        let header = |name: &str| parsed.headers.get_first_value(name).unwrap_or_default();
        let mail = Mail {
            to: header("To"),
            subject: header("Subject"),
            kind: header("X-Drover-Kind"),
            text: plain(&parsed).with_context(|| format!("{} has no plain text", path.display()))?,
        };
        // Names begin with the second of the fact that is told.
        found.insert(path, mail);
    }
    Ok(found.into_values().collect())
}

fn plain(part: &mailparse::ParsedMail<'_>) -> Option<String> {
    if part.subparts.is_empty() && part.ctype.mimetype == "text/plain" {
        return part.get_body().ok();
    }
    part.subparts.iter().find_map(plain)
}
