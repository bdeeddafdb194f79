//! A migration, as the owner of its server sees it.

use drover_policies::estimate::Estimate;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::chart::Curve;
use crate::form::Actions;
use crate::parts::{Checks, Events, Phases, Progress, Replica, Test, Thread};
use crate::{Frame, Label, Tone, page, part};

/// A migration, with its ticket beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyMigrationPage {
    /// What changes while one looks.
    pub live: MyMigration,
    /// Its ticket.
    pub thread: Option<Thread>,
}

/// How a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyMigration {
    /// Its number.
    pub number: u32,
    /// The server's name.
    pub server: String,
    /// Where in its life it is.
    pub state: Label,
    /// Whether it only pretends.
    pub drill: bool,
    /// Whether nothing can happen to it any more, so that there is nothing to follow.
    pub over: bool,
    /// The stable word for what it waits for, and that in a sentence.
    pub waits_for: Option<(String, String)>,
    /// Why it failed, was rolled back, or was avoided; a stable word and a sentence.
    pub outcome: Option<(String, String)>,
    /// Why it is done.
    pub reason: String,
    /// Why it can't be done while the server runs.
    pub why: Option<(String, String)>,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// How it is agreed.
    pub appointment: Label,
    /// How long the server will be off.
    pub estimate: Option<Estimate>,
    /// The hard deadline.
    pub deadline: Instant,
    /// Whether a place is held for it.
    pub reserved: bool,
    /// When the server was seen alive at its destination.
    pub done_at: Option<Instant>,
    /// Until when it can be confirmed or reverted.
    pub confirm_until: Option<Instant>,
    /// Whether a revert would lose what was written to local disks since.
    pub revert_loses: bool,
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
    /// Whether a test launch is worth while now.
    pub test_advised: bool,
    /// Whether its time is nearer than is good for a test.
    pub test_soon: bool,
    /// What the server was looked at for where it arrived.
    pub checks: Checks,
    /// What happened.
    pub events: Events,
    /// What can be done.
    pub actions: Actions,
}

page!(MyMigrationPage, "portal/migration.html", |p, f| f.t1("migration-of", &p.live.server));
part!(MyMigration, "portal/migration_live.html");

impl MyMigration {
    fn waiting(&self, frame: &Frame) -> Option<String> {
        self.waits_for.as_ref().map(|(code, text)| frame.coded("waits", code, text))
    }
}
