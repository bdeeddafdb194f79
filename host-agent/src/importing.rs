//! An import, as one operation: a job of the hypervisor's port is started and looked at, and its log is kept and told line by line.
//!
//! ```text
//! clearing (where it begins anew) ─▶ working ─▶ ended: defined, or failed
//!                                      │  called off
//!                                      └─▶ leaving ─▶ ended: cancelled
//!                                             └─ the server is there already ─▶ finishing ─▶ ended: defined
//! ```
//!
//! A line is told only when it is in the ledger: its number stands for it whenever this agent is killed.

use std::collections::VecDeque;

use drover_agent_api::{ImportServer, OperationState, Wish};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::import::{Begin, ImportEnd, ImportStatus, LogLine, Step as Part};
use drover_policies::replica::DiskFigures;
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::importing::{Cleared, Job, Said};
use crate::hypervisor::{Refusal, RefusalKind};

/// How often a job is looked at.
const LOOK: Span = Span::milliseconds(300);

/// So many lines of the log are kept; a conversion has some fifty.
const KEPT_LINES: usize = 400;

/// A line is cut after so many characters.
const LONGEST_LINE: usize = 2000;

/// An import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Importing {
    doing: Doing,
    part: Part,
    /// Since when that part is done; nothing before the first step.
    since: Option<Instant>,
    /// Lines written so far.
    written: u64,
    log: VecDeque<LogLine>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doing {
    Clearing,
    Working,
    Leaving,
    Finishing,
}

impl Importing {
    pub(crate) fn new(order: &ImportServer) -> Self {
        let (doing, part) = match order.begin {
            Begin::Where => (Doing::Working, Part::Check),
            Begin::Anew => (Doing::Clearing, Part::Clear),
        };
        Self { doing, part, since: None, written: 0, log: VecDeque::new() }
    }

    pub(crate) fn status(&self, disks: Vec<DiskFigures>, now: Instant) -> ImportStatus {
        let since = self.since.unwrap_or(now);
        ImportStatus { at: now, step: self.part, since, disks, log: self.log.iter().cloned().collect() }
    }

    pub(crate) fn step(self, order: &ImportServer, context: &Context<'_>) -> Step<Self> {
        let called_off = matches!(context.wish, Wish::Abort { .. });
        match self.doing {
            Doing::Clearing | Doing::Working if called_off => {
                self.begin(Part::Clear, context).go_on(Doing::Leaving, context)
            }
            Doing::Clearing => match context.hypervisor.imports().clear(order) {
                Ok(Cleared::Gone) => self.begin(Part::Check, context).go_on(Doing::Working, context),
                // It is done: that is all that can be told of it.
                Ok(Cleared::TooLate) => self.go_on(Doing::Finishing, context),
                Err(refusal) => self.refused(&refusal, context),
            },
            Doing::Working | Doing::Finishing => self.work(order, context),
            Doing::Leaving => self.leave(order, context),
        }
    }

    fn work(self, order: &ImportServer, context: &Context<'_>) -> Step<Self> {
        match context.hypervisor.imports().look(context.id) {
            Job::None => match context.hypervisor.imports().start(context.id, order) {
                Ok(()) => self.wait(Vec::new(), context),
                Err(refusal) => self.refused(&refusal, context),
            },
            Job::Running { said, disks } if said.is_empty() => self.wait(disks, context),
            Job::Running { said, disks } => self.write(said, disks, context),
            Job::Returned { said, answer } => {
                let log = self.append(said, context).log.into_iter().collect();
                let end = match answer {
                    Ok(found) => ImportEnd::Defined { at: context.now, found },
                    Err(failure) => ImportEnd::Failed { failure },
                };
                Step::End(OperationState::ImportEnded { end, log })
            }
        }
    }

    fn leave(self, order: &ImportServer, context: &Context<'_>) -> Step<Self> {
        let imports = context.hypervisor.imports();
        match imports.look(context.id) {
            Job::Running { said, disks } => {
                imports.stop(context.id);
                if said.is_empty() { self.wait(disks, context) } else { self.write(said, disks, context) }
            }
            Job::Returned { said, .. } if !said.is_empty() => self.write(said, Vec::new(), context),
            Job::None | Job::Returned { .. } => match imports.clear(order) {
                Ok(Cleared::Gone) => {
                    let log = self.log.into_iter().collect();
                    Step::End(OperationState::ImportEnded { end: ImportEnd::Cancelled, log })
                }
                Ok(Cleared::TooLate) => self.go_on(Doing::Finishing, context),
                Err(refusal) => {
                    tracing::warn!(operation = %context.id, "what was done of an import is not gone yet: {refusal}");
                    let again = context.again(self.since.unwrap_or(context.now));
                    let status = self.status(Vec::new(), context.now);
                    Step::Go { state: self, telling: Telling::Import(status), when: again }
                }
            },
        }
    }

    /// What is not answered is asked again; any other answer is the end.
    fn refused(self, refusal: &Refusal, context: &Context<'_>) -> Step<Self> {
        match refusal.kind {
            RefusalKind::NoConnection | RefusalKind::NoAnswer => self.wait(Vec::new(), context),
            RefusalKind::NoServer | RefusalKind::Failed(_) => {
                let class = match refusal.kind {
                    RefusalKind::Failed(class) => class,
                    RefusalKind::NoServer | RefusalKind::NoConnection | RefusalKind::NoAnswer => {
                        FailureClass::Unexpected
                    }
                };
                let end = ImportEnd::Failed { failure: Failure { class, text: refusal.text.clone() } };
                let log = self.log.into_iter().collect();
                Step::End(OperationState::ImportEnded { end, log })
            }
        }
    }

    /// New lines: first they are written down, then told.
    fn write(self, said: Vec<Said>, disks: Vec<DiskFigures>, context: &Context<'_>) -> Step<Self> {
        let telling = Telling::Import(self.status(disks, context.now));
        let state = self.append(said, context);
        Step::Go { state, telling, when: When::AtOnce }
    }

    fn append(mut self, said: Vec<Said>, context: &Context<'_>) -> Self {
        for one in said {
            let (text, done) = match one {
                Said::Began(part) => {
                    self = self.begin(part, context);
                    (part.to_string(), None)
                }
                Said::Ended(done) => (done.to_string(), Some(done)),
                Said::Line(text) => (text.chars().take(LONGEST_LINE).collect(), None),
            };
            self.written += 1;
            self.log.push_back(LogLine { number: self.written, at: context.now, text, done });
            if self.log.len() > KEPT_LINES {
                self.log.pop_front();
            }
        }
        self
    }

    fn begin(self, part: Part, context: &Context<'_>) -> Self {
        Self { part, since: Some(context.now), ..self }
    }

    fn go_on(self, doing: Doing, context: &Context<'_>) -> Step<Self> {
        let state = Self { doing, ..self };
        let telling = Telling::Import(state.status(Vec::new(), context.now));
        Step::Go { state, telling, when: When::AtOnce }
    }

    fn wait(self, disks: Vec<DiskFigures>, context: &Context<'_>) -> Step<Self> {
        let telling = Telling::Import(self.status(disks, context.now));
        Step::Go { state: self, telling, when: context.after(LOOK) }
    }
}
