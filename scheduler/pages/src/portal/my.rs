//! What an owner sees first: what is coming, and his servers.

use drover_policies::estimate::Estimate;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::Actions;
use crate::list::List;
use crate::{Label, Tone, page, part};

/// What is coming, and the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyPage {
    /// What is coming, the soonest first.
    pub coming: Coming,
    /// How the servers are seen.
    pub list: List,
    /// They.
    pub servers: Vec<MyServer>,
}

/// Everything that will happen, or goes on, or can still be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coming(pub Vec<ComingMove>);

/// A migration that its owner should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComingMove {
    /// Its number.
    pub number: u32,
    /// The server's name.
    pub server: String,
    /// Where in its life it is.
    pub state: Label,
    /// How its time is agreed.
    pub appointment: Option<Label>,
    /// The time agreed.
    pub slot: Option<Slot>,
    /// Why it is done.
    pub reason: String,
    /// The stable word for why it can't be done while the server runs, and that in a sentence.
    pub why: Option<(String, String)>,
    /// How long the server will be off.
    pub estimate: Option<Estimate>,
    /// The hard deadline.
    pub deadline: Instant,
    /// Until when it can be confirmed or reverted.
    pub confirm_until: Option<Instant>,
    /// Whether the owner has to do something.
    pub needs_owner: bool,
    /// What he can do.
    pub actions: Actions,
}

/// A server in its owner's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyServer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub power: Label,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Whether it may be moved while it runs: the key of the word.
    pub live: Label,
    /// The number of the migration that is to move it, and how that stands.
    pub migration: Option<(u32, Label)>,
    /// When it is told of last.
    pub observed_at: Instant,
}

page!(MyPage, "portal/my.html", |_p, f| f.t("nav-my"));
part!(Coming, "portal/coming.html");
