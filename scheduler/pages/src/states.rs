//! States in words, with a tone. The word says it; colour and shape repeat it.

use std::borrow::Borrow;

use drover_policies::appointment::Appointment;
use drover_policies::fleet::Power;
use drover_policies::host::Standing;
use drover_policies::maintenance::{self, Stage};
use drover_policies::migration;

use crate::frame::Frame;
use crate::html::{Html, escaped, segment};

/// What a state means for whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Tone {
    /// Nothing to look at.
    #[default]
    Quiet,
    /// Something goes on.
    Busy,
    /// It waits, as it should.
    Waits,
    /// It is well.
    Good,
    /// It may become a problem.
    Warn,
    /// Somebody has to do something.
    Bad,
}

impl Tone {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Quiet, Self::Busy, Self::Waits, Self::Good, Self::Warn, Self::Bad];

    /// The class of the style sheet, which adds the shape.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
            Self::Waits => "waits",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A state as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its word, under this key of the words.
    pub key: &'static str,
    /// What it means.
    pub tone: Tone,
}

impl Label {
    /// A state by the key of its word.
    #[must_use]
    pub const fn new(key: &'static str, tone: Tone) -> Self {
        Self { key, tone }
    }

    /// An agent that is heard of, or is not.
    #[must_use]
    pub const fn agent(silent: bool) -> Self {
        if silent { Self::new("state-silent", Tone::Bad) } else { Self::new("state-heard", Tone::Good) }
    }

    /// A ticket, which an owner may be waiting in.
    #[must_use]
    pub const fn ticket(open: bool, unanswered: bool) -> Self {
        match (open, unanswered) {
            (true, true) => Self::new("state-unanswered", Tone::Warn),
            (true, false) => Self::new("state-open-ticket", Tone::Busy),
            (false, true | false) => Self::new("state-closed-ticket", Tone::Quiet),
        }
    }
}

impl From<&migration::State> for Label {
    fn from(state: &migration::State) -> Self {
        use migration::State as S;
        match state {
            S::Pending { .. } => Self::new("state-pending", Tone::Waits),
            S::Preflight { .. } => Self::new("state-preflight", Tone::Busy),
            S::Transferring { .. } => Self::new("state-transferring", Tone::Busy),
            S::Preparing { .. } => Self::new("state-preparing", Tone::Waits),
            S::Ready { .. } => Self::new("state-ready", Tone::Waits),
            S::CuttingOver { .. } => Self::new("state-cutting-over", Tone::Busy),
            S::Verifying { .. } => Self::new("state-verifying", Tone::Busy),
            S::Succeeded { .. } => Self::new("state-succeeded", Tone::Good),
            S::Completed { .. } => Self::new("state-completed", Tone::Good),
            S::Reverting { .. } => Self::new("state-reverting", Tone::Busy),
            S::Discarding { .. } => Self::new("state-discarding", Tone::Busy),
            S::Closed { .. } => Self::new("state-closed", Tone::Good),
            S::Reverted { .. } => Self::new("state-reverted", Tone::Quiet),
            S::Rehearsing { .. } => Self::new("state-rehearsing", Tone::Busy),
            S::Rehearsed { .. } => Self::new("state-rehearsed", Tone::Good),
            S::RolledBack { .. } => Self::new("state-rolled-back", Tone::Warn),
            S::Failed { .. } => Self::new("state-failed", Tone::Bad),
            S::Cancelled { .. } => Self::new("state-cancelled", Tone::Quiet),
            S::Avoided { .. } => Self::new("state-avoided", Tone::Good),
        }
    }
}

impl From<&maintenance::State> for Label {
    fn from(state: &maintenance::State) -> Self {
        use maintenance::State as S;
        match state {
            S::Draft => Self::new("state-draft", Tone::Busy),
            S::Planned => Self::new("state-planned", Tone::Waits),
            S::Approved { .. } => Self::new("state-approved", Tone::Busy),
            S::Running => Self::new("state-running-maintenance", Tone::Busy),
            S::Paused { .. } => Self::new("state-paused", Tone::Warn),
            S::Completed { .. } => Self::new("state-done", Tone::Good),
            S::Failed { .. } => Self::new("state-failed", Tone::Bad),
            S::Cancelled { .. } => Self::new("state-cancelled", Tone::Quiet),
        }
    }
}

impl From<&Stage> for Label {
    fn from(stage: &Stage) -> Self {
        match stage {
            Stage::Waiting => Self::new("state-turn-to-come", Tone::Waits),
            Stage::Giving => Self::new("state-giving", Tone::Busy),
            Stage::Draining => Self::new("state-draining", Tone::Busy),
            Stage::Confirming { .. } => Self::new("state-confirming", Tone::Busy),
            Stage::Drained { .. } => Self::new("state-drained", Tone::Good),
            Stage::Working { .. } => Self::new("state-working", Tone::Busy),
            Stage::Done { .. } => Self::new("state-done", Tone::Good),
            Stage::Skipped { .. } => Self::new("state-skipped", Tone::Quiet),
            Stage::Failed { .. } => Self::new("state-failed", Tone::Bad),
        }
    }
}

impl From<&Standing> for Label {
    fn from(standing: &Standing) -> Self {
        match standing {
            Standing::Open => Self::new("state-open-host", Tone::Good),
            Standing::Cordoned { .. } => Self::new("state-cordoned", Tone::Warn),
            Standing::Draining { .. } => Self::new("state-draining", Tone::Busy),
            Standing::Drained { .. } => Self::new("state-drained", Tone::Quiet),
        }
    }
}

impl From<Power> for Label {
    fn from(power: Power) -> Self {
        match power {
            Power::Running => Self::new("state-runs", Tone::Good),
            Power::Paused => Self::new("state-paused", Tone::Warn),
            Power::Held => Self::new("state-held", Tone::Bad),
            Power::Arriving => Self::new("state-arriving", Tone::Busy),
            Power::Off => Self::new("state-off", Tone::Quiet),
            Power::Crashed => Self::new("state-crashed", Tone::Bad),
        }
    }
}

impl From<&Appointment> for Label {
    fn from(appointment: &Appointment) -> Self {
        match appointment {
            Appointment::Unscheduled => Self::new("state-unscheduled", Tone::Quiet),
            Appointment::Proposed { .. } => Self::new("state-proposed", Tone::Waits),
            Appointment::Accepted { .. } => Self::new("state-accepted", Tone::Good),
            Appointment::Rescheduled { .. } => Self::new("state-rescheduled", Tone::Good),
            Appointment::StartNow { .. } => Self::new("state-start-now", Tone::Busy),
            Appointment::Emergency { .. } => Self::new("state-emergency", Tone::Bad),
            Appointment::Running { .. } => Self::new("state-begun", Tone::Busy),
            Appointment::Done => Self::new("state-done", Tone::Good),
        }
    }
}

impl Frame {
    /// A state: its word, its shape, its colour.
    pub(crate) fn label(&self, label: &Label) -> Html {
        self.toned(label.tone, self.t(label.key))
    }

    /// Any word with a tone.
    pub(crate) fn toned(&self, tone: impl Borrow<Tone>, word: impl AsRef<str>) -> Html {
        Html::made(format!(
            "<span class=\"state {}\">{}</span>",
            tone.borrow().class(),
            escaped(word.as_ref())
        ))
    }

    /// A host's name, which leads to its page.
    pub(crate) fn host(&self, name: &str) -> Html {
        Html::made(format!("<a href=\"/hosts/{}\">{}</a>", segment(name), escaped(name)))
    }
}
