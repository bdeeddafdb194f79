//! Migrations: the list, and one of them.

use drover_policies::estimate::Estimate;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use crate::chart::Curve;
use crate::form::Actions;
use crate::list::List;
use crate::parts::{Checks, Events, Phases, Progress, Replica, Test, Thread, Tooks};
use crate::{Label, Tone, page, part};

/// All migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationsPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub migrations: Vec<MigrationRow>,
}

/// A migration in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationRow {
    /// Its number.
    pub number: u32,
    /// The server's name.
    pub server: String,
    /// Whose it is.
    pub owner: String,
    /// `live` or `reboot`.
    pub method: String,
    /// Where in its life it is.
    pub state: Label,
    /// For what it waits, or why it ended.
    pub text: String,
    /// The host that it leaves.
    pub from: String,
    /// The host that it goes to.
    pub to: String,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// How much of it has arrived, while it moves.
    pub percent: Option<u8>,
    /// How far the copy of its disks is behind, and what that means; nothing where none is kept.
    pub lag: Option<(Span, Tone)>,
    /// Whether it needs a person.
    pub needs_person: bool,
    /// The hard deadline.
    pub deadline: Instant,
}

page!(MigrationsPage, "console/migrations.html", |_p, f| f.t("nav-migrations"));

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationPage {
    /// What changes while one looks.
    pub live: MigrationLive,
    /// Its ticket.
    pub thread: Option<Thread>,
}

/// How a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationLive {
    /// Its number.
    pub number: u32,
    /// The server's id.
    pub server_id: String,
    /// The server's name.
    pub server: String,
    /// Whose it is.
    pub owner: String,
    /// `live` or `reboot`.
    pub method: String,
    /// Where in its life it is.
    pub state: Label,
    /// Whether it needs a person.
    pub needs_person: bool,
    /// For what it waits, or why it ended.
    pub text: String,
    /// Why it is done.
    pub reason: String,
    /// Why it isn't moved live: a stable word and a sentence.
    pub why_not_live: Option<(String, String)>,
    /// The maintenance that it belongs to.
    pub maintenance: Option<String>,
    /// The host that it leaves.
    pub from: String,
    /// The host that holds a place for it.
    pub to: Option<String>,
    /// Why there.
    pub place_why: String,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// What was agreed of its time; nothing for one that needs none.
    pub appointment: Option<Label>,
    /// The hard deadline.
    pub deadline: Instant,
    /// Since when it is wanted.
    pub opened_at: Instant,
    /// Until when it can be confirmed or reverted.
    pub confirm_until: Option<Instant>,
    /// What to expect of it.
    pub estimate: Option<Estimate>,
    /// What its blueprint changes about the server.
    pub blueprint: Option<String>,
    /// The steps of its life.
    pub phases: Phases,
    /// How far the running attempt is.
    pub progress: Option<Progress>,
    /// What it had left, over time.
    pub curve: Option<Curve>,
    /// The copy of its local disks.
    pub replica: Option<Replica>,
    /// The last test launch.
    pub test: Option<Test>,
    /// What the server was looked at for where it arrived.
    pub checks: Checks,
    /// Every try, the running one last.
    pub attempts: Vec<Attempt>,
    /// What the move cost, once it is made.
    pub moved: Option<Moved>,
    /// What happened.
    pub events: Events,
    /// What can be done.
    pub actions: Actions,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `live` or `reboot`.
    pub method: String,
    /// Where to.
    pub to: String,
    /// When it was ordered.
    pub began_at: Instant,
    /// What its phases took that are over.
    pub phases: Tooks,
    /// When its end was known.
    pub ended_at: Option<Instant>,
    /// Why it failed: a stable word, a sentence, and what the hypervisor said.
    pub failure: Option<(String, String, String)>,
}

/// What a move cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// How long the server stood still or was off.
    pub downtime: Option<Span>,
    /// How it was switched off.
    pub power_off: Option<String>,
}

page!(MigrationPage, "console/migration.html", |p, f| f.t1("migration-of", &p.live.server));
part!(MigrationLive, "console/migration_live.html");
