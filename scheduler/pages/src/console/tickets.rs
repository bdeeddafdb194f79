//! Tickets: the threads with owners.

use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Actions, Form};
use crate::list::List;
use crate::parts::Thread;
use crate::{Label, page};

/// All tickets that whoever asks may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketsPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub tickets: Vec<TicketRow>,
}

/// A ticket in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// `DR-1042`.
    pub number: String,
    /// The server's name.
    pub server: String,
    /// Whose.
    pub owner: String,
    /// What it is about.
    pub subject: String,
    /// Whether it is open, and whether an owner waits in it.
    pub state: Label,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// How the time is agreed.
    pub appointment: Label,
    /// The hard deadline.
    pub deadline: Instant,
    /// Since when an owner waits for an answer.
    pub unanswered_since: Option<Instant>,
    /// Which operator looks after it; owners are not told.
    pub taken_by: Option<String>,
}

page!(TicketsPage, "console/tickets.html", |_p, f| f.t("tickets"));

/// A ticket with its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPage {
    /// `DR-1042`.
    pub number: String,
    /// What it is about.
    pub subject: String,
    /// Whether it is open, and whether an owner waits in it.
    pub state: Label,
    /// The server's name.
    pub server: String,
    /// Whose.
    pub owner: String,
    /// Where its migration is shown.
    pub migration: String,
    /// Why the maintenance is done.
    pub reason: String,
    /// Why the server can't be moved while it runs: a stable word, and a sentence.
    pub why: Option<(String, String)>,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// How it is agreed.
    pub appointment: Label,
    /// The hard deadline.
    pub deadline: Instant,
    /// When it was opened.
    pub opened_at: Instant,
    /// What can be done.
    pub actions: Actions,
    /// Who looks after it; nothing on an owner's page.
    pub care: Option<Care>,
    /// What was said.
    pub thread: Thread,
}

/// Which operator looks after a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Care {
    /// Who, and since when; nothing when nobody in particular does.
    pub taken: Option<(String, Instant)>,
    /// Takes it, takes it over, or gives it back.
    pub form: Form,
}

// The subject is that of the mails, whose marks are for programs that sort them.
page!(TicketPage, "console/ticket.html", |p, f| match f.is_operator() {
    true => p.subject.clone(),
    false => f.t1("migration-of", &p.server),
});
