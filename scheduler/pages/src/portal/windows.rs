//! When an owner allows restarts: windows, freezes, limits, and what comes of them.

use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Action, Form};
use crate::frame::Frame;
use crate::{Tone, page};

/// An owner's wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowsPage {
    /// Whether an operator looks, who sees those of everybody.
    pub of_all: bool,
    /// Windows.
    pub windows: Vec<Wish>,
    /// Times in which nothing happens.
    pub freezes: Vec<Wish>,
    /// How many at once.
    pub limits: Vec<Wish>,
    /// When reboots are possible next, all of it taken together: the next ten times.
    pub next: Vec<Slot>,
    /// Servers for which nothing of all that is left before their deadline.
    pub without_opening: Vec<WithoutOpening>,
    /// The form of a new window.
    pub new_window: Option<Form>,
    /// The form of a new freeze.
    pub new_freeze: Option<Form>,
    /// The form of a new limit.
    pub new_limit: Option<Form>,
}

/// One window, freeze or limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it says.
    pub what: What,
    /// For which servers it holds.
    pub scope: Scope,
    /// Whose it is; empty where the reader's.
    pub owner: String,
    /// Why its calendar could not be fetched the last time.
    pub failure: Option<String>,
    /// When it holds next.
    pub next: Vec<Slot>,
    /// How it is taken away.
    pub remove: Option<Action>,
}

/// What a window, freeze or limit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Opens again and again: rule, length, time zone.
    Opens(String),
    /// Opens once.
    Once,
    /// Nothing happens in it: what it is called, and its days, unless a calendar has them.
    Frozen {
        /// As its owner calls it.
        name: String,
        /// The first, the last, and their time zone.
        days: Option<[String; 3]>,
    },
    /// At most so many servers at the same time.
    AtMost(u32),
}

/// For which of an owner's servers something holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those with a label: `tier=db`.
    Label(String),
    /// One, by its name.
    Server(String),
}

/// A server that can't be restarted before its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutOpening {
    /// Its name.
    pub server: String,
    /// Until when it would have to be.
    pub deadline: Instant,
}

page!(WindowsPage, "portal/windows.html", |p, f| f.t(if p.of_all {
    "nav-windows"
} else {
    "nav-my-windows"
}));

impl Wish {
    fn text(&self, f: &Frame) -> String {
        match &self.what {
            What::Opens(text) => text.clone(),
            What::Once => f.t("wish-once"),
            What::Frozen { name, days: None } => name.clone(),
            What::Frozen { name, days: Some([from, to, zone]) } => format!("{name}: {from} – {to}, {zone}"),
            What::AtMost(most) => f.tn("wish-at-most", *most),
        }
    }

    fn for_which(&self, f: &Frame) -> String {
        match &self.scope {
            Scope::All => f.t("wish-all"),
            Scope::Label(label) => label.clone(),
            Scope::Server(name) => f.t1("wish-server", name),
        }
    }

    fn actions(&self) -> crate::form::Actions {
        crate::form::Actions(self.remove.iter().cloned().collect())
    }
}

impl WindowsPage {
    fn groups(&self) -> [(&'static str, &[Wish], Option<&Form>); 3] {
        [
            ("windows", &self.windows, self.new_window.as_ref()),
            ("freezes", &self.freezes, self.new_freeze.as_ref()),
            ("limits", &self.limits, self.new_limit.as_ref()),
        ]
    }
}
