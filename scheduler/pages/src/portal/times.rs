//! Choosing another time.

use drover_policies::estimate::Estimate;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Field, Form, Input};
use crate::{page, part};

/// The free times of a migration, by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimesPage {
    /// Its number.
    pub number: u32,
    /// The server's name.
    pub server: String,
    /// The time that holds now.
    pub slot: Option<Slot>,
    /// The hard deadline.
    pub deadline: Instant,
    /// How long the server will be off.
    pub estimate: Option<Estimate>,
    /// Whether the windows are the owner's; else they are those that hold for whoever has set none.
    pub own_windows: bool,
    /// Every day until the deadline, in order; such without anything free too.
    pub days: Vec<Day>,
    /// Whether these are all free times; of many only round ones are.
    pub all_shown: bool,
    /// Of the migration, as the page was drawn.
    pub generation: Option<String>,
    /// Why the time that was just asked for is not to be had, and what would be accepted.
    pub refusal: Option<String>,
    /// What was typed into the field for a time of one's own.
    pub typed: String,
    /// What is wrong with it.
    pub typed_error: Option<String>,
    /// The earliest that can be chosen.
    pub earliest: Instant,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Some moment of it.
    pub at: Instant,
    /// What is frozen on it.
    pub frozen: Vec<Frozen>,
    /// When windows are open on it, as far as nothing is frozen.
    pub windows: Vec<Slot>,
    /// What is free on it, the earliest first: all of it in windows.
    pub free: Vec<Slot>,
}

/// A freeze on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// What it is called.
    pub name: String,
    /// Which hours of the day it takes; nothing where it takes all of it.
    pub hours: Option<Slot>,
}

impl TimesPage {
    /// The page of the migration.
    fn back(&self) -> String {
        format!("/my/migrations/{}", self.number)
    }

    fn any_free(&self) -> bool {
        self.days.iter().any(|day| !day.free.is_empty())
    }

    fn is_chosen(&self, free: &Slot) -> bool {
        self.slot.is_some_and(|slot| slot.start == free.start)
    }

    /// The key of what a day's windows are called.
    fn windows_are(&self) -> &'static str {
        if self.own_windows { "your-window" } else { "usual-window" }
    }

    fn on(&self, day: &Day) -> OnDay {
        OnDay { day: day.clone(), windows_are: self.windows_are() }
    }

    /// For whoever knows better than the list.
    fn own(&self) -> Form {
        Form {
            action: format!("{}/reschedule", self.back()),
            fields: vec![
                Field::line("start", "own-time")
                    .input(Input::Moment)
                    .value(self.typed.clone())
                    .hint("own-time-hint")
                    .error(self.typed_error.clone())
                    .required(),
            ],
            submit: "choose-this-time",
            generation: self.generation.clone(),
            back: Some(self.back()),
            ..Form::default()
        }
    }
}

/// What windows and freezes say of a day.
struct OnDay {
    day: Day,
    windows_are: &'static str,
}

part!(OnDay, "portal/day.html");

page!(TimesPage, "portal/times.html", |p, f| f.t1("times-of", &p.server));
