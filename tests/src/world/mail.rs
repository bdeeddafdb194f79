//! What owners and operators get: the maildir, read as a mail program would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use drover_policies::bulletins::Says;
use drover_policies::time::Instant;
use mailparse::MailHeaderMap;

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// When it was found, by the scheduler's clock.
    pub at: Instant,
    /// Whom it is for.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// What kind of notice it is.
    pub kind: String,
    /// Its notice's id.
    pub notice: String,
    /// The number of the ticket, or of the maintenance that operators are told of.
    pub ticket: String,
    /// Where an answer to it goes.
    pub answer_to: String,
    /// Its own id.
    pub message_id: String,
    /// The link that opens its ticket's page.
    pub page: Option<String>,
    /// The calendar entry that comes with it.
    pub calendar: Option<Entry>,
    /// What it says before it explains what can be done: one line per paragraph or row.
    pub says: Vec<String>,
}

impl Mail {
    fn is_bulletin(&self) -> bool {
        Says::KINDS.contains(&self.kind.as_str())
    }
}

/// A calendar entry, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `REQUEST` or `CANCEL`.
    pub method: String,
    /// By which a calendar knows it again.
    pub uid: String,
    /// The higher one holds.
    pub sequence: u32,
    /// When it begins.
    pub starts: String,
    /// How sure that is.
    pub status: String,
}

/// Without what no reader sees.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}, {}", self.method, self.starts, self.status)
    }
}

/// A maildir that mails arrive in.
pub struct Mailbox {
    directory: PathBuf,
    known: BTreeSet<String>,
    /// Every mail, in the order of arrival.
    pub mails: Vec<Mail>,
}

impl Mailbox {
    /// A maildir that will be there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), known: BTreeSet::new(), mails: Vec::new() }
    }

    /// Makes delivery fail, by a file that is where the maildir should be, or lets it succeed again.
    ///
    /// # Errors
    /// The files can't be moved.
    pub fn set_up(&self, up: bool) -> Result<()> {
        let away = self.directory.with_extension("away");
        if up {
            std::fs::remove_file(&self.directory)?;
            if away.exists() {
                std::fs::rename(&away, &self.directory)?;
            }
        } else {
            if self.directory.exists() {
                std::fs::rename(&self.directory, &away)?;
            }
            std::fs::write(&self.directory, "no maildir today")?;
        }
        Ok(())
    }

    /// Takes in what has arrived.
    ///
    /// # Errors
    /// A mail can't be read.
    pub fn collect(&mut self, at: Instant) -> Result<()> {
        let new = self.directory.join("new");
        if !new.is_dir() {
            return Ok(());
        }
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&new)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.known.contains(&name) {
                found.insert(name, entry.path());
            }
        }
        for (name, path) in found {
            let bytes = std::fs::read(&path)?;
            self.mails.push(read(&bytes, at).with_context(|| format!("reading {}", path.display()))?);
            self.known.insert(name);
        }
        Ok(())
    }

    /// What a mail program sends when somebody answers the last mail of a ticket that he got.
    ///
    /// # Errors
    /// There is no mail of that ticket.
    pub fn answer_to(&self, ticket: &str, from: &str, text: &str, at: Instant) -> Result<String> {
        let his = |mail: &&Mail| mail.ticket == ticket && mail.to.contains(from);
        let known = self.mails.iter().rev().find(his);
        let known = known.with_context(|| format!("there is no mail about {ticket} to be answered"))?;
        let Mail { answer_to, message_id, subject, says, .. } = known;
        let quoted: String = says.iter().map(|line| format!("> {line}\r\n")).collect();
        let (date, id) = (at.to_rfc2822(), at.timestamp_micros());
        Ok(format!(
            "From: {from}\r\nTo: {answer_to}\r\nSubject: Re: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{id}@mail.example>\r\nIn-Reply-To: {message_id}\r\nReferences: {message_id}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n\
             {text}\r\n\r\nOn {date}, Drover wrote:\r\n{quoted}"
        ))
    }

    /// What belongs to tickets as text, for `mail.expect`.
    #[must_use]
    pub fn of_tickets(&self) -> String {
        self.text(|mail| !mail.is_bulletin())
    }

    /// What operators were told of maintenances as text, for `operators.expect`.
    #[must_use]
    pub fn of_maintenances(&self) -> String {
        self.text(Mail::is_bulletin)
    }

    fn text(&self, which: impl Fn(&Mail) -> bool) -> String {
        let mut text = String::new();
        for mail in self.mails.iter().filter(|mail| which(mail)) {
            // Writing to a string can't fail.
            let _ =
                writeln!(text, "{}  to {}\n  {}", mail.at.format("%m-%d %H:%M:%S"), mail.to, mail.subject);
            if let Some(calendar) = &mail.calendar {
                let _ = writeln!(text, "  calendar: {calendar}");
            }
            for line in &mail.says {
                let _ = writeln!(text, "  | {line}");
            }
            text.push('\n');
        }
        text
    }
}

fn read(bytes: &[u8], at: Instant) -> Result<Mail> {
    let parsed = mailparse::parse_mail(bytes)?;
    let header = |name: &str| parsed.headers.get_first_value(name).with_context(|| format!("no {name}"));
    let body = plain(&parsed).context("no plain text")?;
    Ok(Mail {
        at,
        to: header("To")?,
        subject: header("Subject")?,
        kind: header("X-Drover-Kind")?,
        notice: header("X-Drover-Notice")?,
        ticket: header("X-Drover-Ticket").or_else(|_| header("X-Drover-Maintenance"))?,
        answer_to: parsed
            .headers
            .get_first_value("Reply-To")
            .or_else(|| parsed.headers.get_first_value("From"))
            .context("no sender")?,
        message_id: header("Message-ID")?,
        page: body.split_whitespace().find(|word| word.contains("/t/")).map(ToOwned::to_owned),
        calendar: calendar(&parsed),
        says: says(&body),
    })
}

fn plain(part: &mailparse::ParsedMail<'_>) -> Option<String> {
    if part.subparts.is_empty() && part.ctype.mimetype == "text/plain" {
        return part.get_body().ok();
    }
    part.subparts.iter().find_map(plain)
}

fn calendar(part: &mailparse::ParsedMail<'_>) -> Option<Entry> {
    if part.ctype.mimetype != "text/calendar" {
        return part.subparts.iter().find_map(calendar);
    }
    let entry = part.get_body().ok()?.replace("\r\n ", "");
    // The definition of the zone comes first, and has a beginning of its own.
    let event = entry.split("BEGIN:VEVENT").nth(1)?;
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.trim_end().trim_start_matches(name).trim_start_matches([':', ';']).to_owned())
    };
    Some(Entry {
        method: field(&entry, "METHOD")?,
        uid: field(event, "UID")?,
        sequence: field(event, "SEQUENCE")?.parse().ok()?,
        starts: field(event, "DTSTART").unwrap_or_default(),
        status: field(event, "STATUS").unwrap_or_default(),
    })
}

/// Without the greeting, the choices and the footer, which are the same in every mail.
fn says(body: &str) -> Vec<String> {
    let mut says = Vec::new();
    let mut paragraph = String::new();
    let greeting =
        |line: &&str| line.starts_with("Hello") || line.starts_with("Guten Tag") || line.trim().is_empty();
    for line in body.lines().skip_while(greeting) {
        let line = line.trim_end();
        if ["What you can do", "Was Sie tun können", "--------"].contains(&line) {
            break;
        }
        // Under an item of a list stand its further words, and then the command that is meant.
        let of_item = paragraph.starts_with("* ") && !line.trim_start().starts_with("$ ");
        if line.is_empty() || (line.starts_with("  ") && !of_item) {
            if !paragraph.is_empty() {
                says.push(std::mem::take(&mut paragraph));
            }
            if !line.is_empty() {
                says.push(line.to_owned());
            }
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(line.trim_start());
    }
    if !paragraph.is_empty() {
        says.push(paragraph);
    }
    says
}
