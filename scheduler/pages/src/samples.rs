//! Pages with made-up figures: for the tests, and to be looked at.

mod console;
mod migrations;
mod portal;

use chrono::TimeDelta;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::console::tickets::{TicketRow, TicketsPage};
use crate::design::DesignPage;
use crate::form::Choice;
use crate::frame::{Flash, Frame, Who};
use crate::list::{Filter, List};
use crate::login::Login;
use crate::problem::{Link, Problem};
use crate::{Label, Page, Tone};

/// Tuesday noon in Berlin.
#[must_use]
pub fn now() -> Instant {
    Instant::from_timestamp(1_795_518_000, 0).unwrap_or_default()
}

pub(crate) fn hours(n: i64) -> Instant {
    now() + TimeDelta::hours(n)
}

pub(crate) fn minutes(n: i64) -> Instant {
    now() + TimeDelta::minutes(n)
}

pub(crate) fn slot(from: i64, long: i64) -> Slot {
    Slot { start: hours(from), end: hours(from + long) }
}

fn frame(path: &str, name: &str, operator: bool) -> Frame {
    Frame {
        who: Some(Who { name: name.to_owned(), operator }),
        path: path.to_owned(),
        csrf: "3f2a".to_owned(),
        once: "7c1d".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        language: drover_policies::language::Language::default(),
        now: now(),
        since: 4711,
        flash: None,
    }
}

/// The frame of an operator.
#[must_use]
pub fn operator(path: &str) -> Frame {
    frame(path, "mara", true)
}

/// The frame of an owner.
#[must_use]
pub fn owner(path: &str) -> Frame {
    frame(path, "acme", false)
}

/// The frame of an owner who reads German.
#[must_use]
pub fn german(path: &str) -> Frame {
    Frame { language: "de".parse().unwrap_or_default(), ..owner(path) }
}

/// A page with its frame and a name for its file.
pub struct Sample {
    /// The name of its file.
    pub name: &'static str,
    /// What surrounds it.
    pub frame: Frame,
    /// The page.
    pub page: Box<dyn Page>,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn sample(name: &'static str, frame: Frame, page: impl Page + 'static) -> Sample {
    Sample { name, frame, page: Box::new(page) }
}

/// Every page. `foreign` stands wherever somebody else's text does.
#[must_use]
pub fn all(foreign: &str) -> Vec<Sample> {
    let mut pages = shared(foreign);
    pages.extend(console::pages(foreign));
    pages.extend(migrations::pages(foreign));
    pages.extend(portal::pages(foreign));
    pages
}

fn shared(foreign: &str) -> Vec<Sample> {
    let signed_out = Frame { who: None, ..owner("/login") };
    let flash = Flash { tone: Tone::Good, text: format!("Moved to Friday. {foreign}") };
    let login = Login {
        next: format!("/tickets?{foreign}"),
        error: Some(format!("This token is not known. {foreign}")),
        expired: true,
        kept: vec![("text".to_owned(), foreign.to_owned())],
    };
    vec![
        sample("login", signed_out, login),
        sample("problem", owner("/tickets/DR-9"), problem(foreign)),
        sample("design", operator("/design"), DesignPage::default()),
        sample("tickets", operator("/tickets"), tickets(foreign)),
        sample("my-tickets", Frame { flash: Some(flash), ..owner("/tickets") }, tickets(foreign)),
    ]
}

fn problem(foreign: &str) -> Problem {
    Problem {
        status: 404,
        title: format!("There is no ticket {foreign}"),
        detail: "Nothing of yours has this number.".to_owned(),
        links: vec![Link { href: "/tickets".to_owned(), text: "All your tickets".to_owned() }],
    }
}

pub(crate) fn list(path: &str, foreign: &str, total: u64) -> List {
    let choice = |value: &str| Choice { value: value.to_owned(), text: value.to_owned() };
    List {
        path: path.to_owned(),
        sort: "-state".to_owned(),
        q: foreign.to_owned(),
        filters: vec![Filter {
            name: "state",
            label: "col-state",
            choices: vec![choice("open"), choice("closed")],
            chosen: "open".to_owned(),
        }],
        kept: Vec::new(),
        page: 1,
        total,
        per_page: 50,
    }
}

fn tickets(foreign: &str) -> TicketsPage {
    let row = |number: u32, server: &str, unanswered: Option<Instant>, slot: Option<Slot>, key| TicketRow {
        number: format!("DR-{number}"),
        server: format!("{server}{foreign}"),
        owner: format!("acme{foreign}"),
        subject: format!("[ACTION REQUIRED] Server Migration: {server}{foreign}"),
        state: Label::ticket(true, unanswered.is_some()),
        slot,
        appointment: Label::new(key, Tone::Waits),
        deadline: hours(140),
        unanswered_since: unanswered,
        taken_by: unanswered.map(|_| format!("ada{foreign}")),
    };
    TicketsPage {
        list: list("/tickets", foreign, 123),
        tickets: vec![
            row(1042, "db-1", None, Some(slot(14, 2)), "state-proposed"),
            row(1043, "shop-web-2", Some(minutes(-50)), Some(slot(38, 2)), "state-rescheduled"),
            row(1044, "archive", None, None, "state-unscheduled"),
        ],
    }
}
