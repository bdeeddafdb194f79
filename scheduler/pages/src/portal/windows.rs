//! When an owner allows restarts: windows, freezes, limits, and what comes of them.

use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Action, Form};
use crate::frame::Frame;
use crate::html::{Html, escaped};
use crate::{Tone, page, part};

/// An owner's wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowsPage {
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
    pub new_window: Form,
    /// The form of a new freeze.
    pub new_freeze: Form,
    /// The form of a new limit.
    pub new_limit: Form,
}

/// One window, freeze or limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it says.
    pub what: What,
    /// For which servers it holds.
    pub scope: Scope,
    /// Whose it is.
    pub owner: String,
    /// Why its calendar could not be fetched the last time.
    pub failure: Option<String>,
    /// When it holds next.
    pub next: Vec<Slot>,
    /// How it is taken away.
    pub remove: Option<Action>,
}

/// What a window, freeze or limit says. The order is that of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

/// For which of an owner's servers something holds. The order is that of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

page!(WindowsPage, "portal/windows.html", |_p, f| f.t("nav-my-windows"));

/// When something holds next: the first time, and the others on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Next {
    slots: Vec<Slot>,
}

part!(Next, "parts/next.html");

impl Wish {
    /// The key of the word for what it is: `windows`, `freezes` or `limits`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Opens(_) | What::Once => "windows",
            What::Frozen { .. } => "freezes",
            What::AtMost(_) => "limits",
        }
    }

    /// All that it can be found by.
    #[must_use]
    pub fn words(&self) -> String {
        let what = match &self.what {
            What::Opens(text) => text.clone(),
            What::Once => String::new(),
            What::Frozen { name, days } => {
                format!("{name} {}", days.as_ref().map_or_else(String::new, |days| days.join(" ")))
            }
            What::AtMost(most) => most.to_string(),
        };
        let scope = match &self.scope {
            Scope::All => "",
            Scope::Label(text) | Scope::Server(text) => text,
        };
        format!("{what} {} {scope}", self.owner)
    }

    pub(crate) fn when(&self, f: &Frame) -> Html {
        Next { slots: self.next.clone() }.html(f)
    }

    /// That its calendar could not be read, if so.
    pub(crate) fn unread(&self, f: &Frame) -> Html {
        let Some(failure) = &self.failure else { return Html::made(String::new()) };
        let said = f.toned(Tone::Warn, f.t("calendar-unread")).into_string();
        Html::made(format!("<br>{said} <span class=\"hint\">{}</span>", escaped(failure)))
    }

    pub(crate) fn text(&self, f: &Frame) -> String {
        match &self.what {
            What::Opens(text) => text.clone(),
            What::Once => f.t("wish-once"),
            What::Frozen { name, days: None } => name.clone(),
            What::Frozen { name, days: Some([from, to, zone]) } => format!("{name}: {from} – {to}, {zone}"),
            What::AtMost(most) => f.tn("wish-at-most", *most),
        }
    }

    pub(crate) fn for_which(&self, f: &Frame) -> String {
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
    fn groups(&self) -> [(&'static str, &[Wish], &Form); 3] {
        [
            ("windows", &self.windows, &self.new_window),
            ("freezes", &self.freezes, &self.new_freeze),
            ("limits", &self.limits, &self.new_limit),
        ]
    }
}
