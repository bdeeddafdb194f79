//! Choosing another time.

use drover_policies::estimate::Estimate;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Field, Form, Input};
use crate::page;

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
    /// Why nothing happens on it: the name of a freeze.
    pub frozen: Option<String>,
    /// When a window of the owner is open on it.
    pub windows: Vec<Slot>,
    /// What is free on it, the earliest first.
    pub free: Vec<Free>,
}

/// A time to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// When.
    pub slot: Slot,
    /// Whether it lies in a window of the owner.
    pub in_window: bool,
}

impl TimesPage {
    /// The page of the migration.
    fn back(&self) -> String {
        format!("/my/migrations/{}", self.number)
    }

    fn any_free(&self) -> bool {
        self.days.iter().any(|day| !day.free.is_empty())
    }

    fn is_chosen(&self, free: &Free) -> bool {
        self.slot.is_some_and(|slot| slot.start == free.slot.start)
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

page!(TimesPage, "portal/times.html", |p, f| f.t1("times-of", &p.server));
