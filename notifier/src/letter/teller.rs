//! From the facts of a notice to what its templates can say.

use chrono::TimeDelta;
use chrono_tz::Tz;
use drover_policies::attempt::PowerOff;
use drover_policies::checks::{Finding, Item, Verdict, Weight};
use drover_policies::notices::{
    Actor, AfterFailedChecks, Answer, Avoidance, Cause, Contact, Did, Disks, Notice, Reserved, Tells, Trial,
    WhyGivenUp, Wisher,
};
use drover_policies::replica::TEST_AHEAD;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use super::{
    AnswerLines, AnswerWords, Answers, CheckWords, Choices, FreeTime, NAME, STOP_REMINDERS, TEXT, Told,
    TrialWords,
};
use crate::speech::{Doer, Speech, When};
use crate::words;

/// Longest message of a person in a mail; the ticket has it whole.
const MESSAGE: usize = 10_000;

/// One notice, its reader, and the words for him.
pub(super) struct Teller<'a> {
    pub(super) notice: &'a Notice,
    pub(super) contact: &'a Contact,
    pub(super) speech: &'a Speech,
    pub(super) answers: Answers,
}

impl Teller<'_> {
    pub(super) fn told(&self) -> Told {
        match &self.notice.tells {
            Tells::Proposed { slot, downtime, reserved, window } => Told::Proposed {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                reserved: match reserved {
                    Reserved::Yes => true,
                    Reserved::NotYet => false,
                },
                window: words::phrase(&self.speech.said(window), TEXT),
                // Whatever has its disks copied can be tried; what goes back to where it was need not be.
                trial: match (self.notice.ticket.disks, &self.notice.ticket.cause) {
                    (Disks::Local, Cause::Maintenance | Cause::Asked { .. }) => {
                        Some(self.trial(*slot, false))
                    }
                    (Disks::Shared, _) | (Disks::Local, Cause::Revert { .. } | Cause::Drill) => None,
                },
                choices: self.choices(Some(*slot), Approval::Awaited),
            },
            Tells::Reminder { slot, left, downtime, trial } => Told::Reminder {
                when: self.when(*slot),
                left: self.speech.exactly(*left),
                downtime: self.speech.about(*downtime),
                trial: match trial {
                    Trial::NotAdvised => None,
                    Trial::Advised => Some(self.trial(*slot, true)),
                },
                stop: self.answered_by_program().then_some(STOP_REMINDERS),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Rescheduled { from, slot, by } => Told::Rescheduled {
                before: self.when(*from),
                when: self.when(*slot),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Accepted { slot, by } => Told::Accepted {
                when: self.when(*slot),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Missed { missed, why, slot } => Told::Missed {
                missed: self.when(*missed),
                why: self.sentence(why),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::RolledBack { why, downtime, slot, left_off } => Told::RolledBack {
                left_off: *left_off,
                why: self.sentence(why),
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::NoSlot { why } => {
                Told::NoSlot { why: self.sentence(why), choices: self.choices(None, Approval::NotNeeded) }
            }
            Tells::Started { downtime } => Told::Started { downtime: self.speech.about(*downtime) },
            Tells::Done { downtime, power_off, confirm_until, findings } => Told::Done {
                // What could not be looked at tells the owner of a server that is well nothing.
                checks: self.checks(findings.iter().filter(|finding| finding.verdict != Verdict::NotLooked)),
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                shutdown: power_off.map(shutdown),
                until: confirm_until.map(|until| self.speech.moment(until, self.contact.timezone)),
                confirm: confirm_until.map(|_| self.command("confirm")),
                revert: confirm_until.map(|_| self.command("revert")),
            },
            Tells::NotSeenAlive { text } => Told::NotSeenAlive { seen: self.sentence(text) },
            Tells::ChecksFailed { findings, then } => Told::ChecksFailed {
                checks: self.checks(findings),
                reverting: matches!(then, AfterFailedChecks::Reverting),
                why_not_reverted: match then {
                    AfterFailedChecks::Held { why_not_reverted } => {
                        why_not_reverted.as_deref().map(|why| self.clauses(why))
                    }
                    AfterFailedChecks::Reverting => None,
                },
                confirm: self.command("confirm"),
                revert: self.command("revert"),
            },
            Tells::Cancelled => Told::Cancelled {},
            Tells::Avoided { how } => Told::Avoided { how: avoidance(*how) },
            Tells::Emergency { why } => Told::Emergency { why: self.sentence(why) },
            Tells::Requested { slot, downtime, by } => Told::Requested {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Needed { slot } => Told::Needed {
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::NotNeeded),
            },
            Tells::GivenUp { why } => {
                let by = match why {
                    WhyGivenUp::Cancelled { by } => Some(by),
                    WhyGivenUp::OutOfTime | WhyGivenUp::ForReal | WhyGivenUp::NothingRetained { .. } => None,
                };
                Told::GivenUp {
                    by: by.map(|by| self.actor(by)),
                    by_reader: by.is_some_and(|by| self.is_reader(by)),
                    for_real: *why == WhyGivenUp::ForReal,
                    not_retained: matches!(why, WhyGivenUp::NothingRetained { .. }),
                }
            }
            Tells::Confirmed { by } => Told::Confirmed { by: self.actor(by), by_reader: self.is_reader(by) },
            Tells::Reverting { slot, downtime, by } => Told::Reverting {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Reverted { downtime, power_off, loss_accepted_by } => Told::Reverted {
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                shutdown: power_off.map(shutdown),
                loss_accepted_by: loss_accepted_by.as_ref().map(|by| self.actor(by)),
                loss_accepted_by_reader: loss_accepted_by.as_ref().is_some_and(|by| self.is_reader(by)),
            },
            Tells::Written { by, text, via: _ } => Told::Written {
                by: self.actor(by),
                to_operators: !matches!(by, Actor::Operator { .. }),
                by_mail: matches!(by, Actor::Operator { .. }) && self.answered_by_program(),
                message: words::paragraphs(text, MESSAGE),
                reply: format!(
                    "drover tickets reply {} \"...\"",
                    words::one_line(&self.notice.ticket.number, 20)
                ),
            },
            Tells::Answered { asked, answer, .. } => {
                Told::Answered { asked: words::one_line(asked, TEXT), answer: self.answer(answer) }
            }
        }
    }

    fn checks<'f>(&self, findings: impl IntoIterator<Item = &'f Finding>) -> Vec<CheckWords> {
        let words = |finding: &Finding| {
            let (item, name) = match &finding.item {
                Item::Power => ("power", None),
                Item::Life => ("life", None),
                Item::Addresses => ("addresses", None),
                Item::Interfaces => ("interfaces", None),
                Item::Disks => ("disks", None),
                Item::Own { check } => ("own", Some(words::one_line(check.as_str(), NAME))),
            };
            CheckWords {
                item,
                name,
                verdict: match finding.verdict {
                    Verdict::Passed => "passed",
                    Verdict::Failed => "failed",
                    Verdict::FailedBefore => "failed_before",
                    Verdict::NotLooked => "not_looked",
                },
                must_pass: finding.weight == Weight::MustPass,
                seen: words::phrase(&self.speech.said(&finding.seen), TEXT),
            }
        };
        findings.into_iter().map(words).collect()
    }

    fn answer(&self, answer: &Answer) -> AnswerWords {
        let done = |came_to, slot: Option<Slot>| AnswerWords {
            came_to,
            when: slot.map(|slot| self.when(slot)),
            understood: None,
            why: None,
            free: Vec::new(),
        };
        match answer {
            Answer::Done { did: Did::Accepted { slot } } => done("accepted", Some(*slot)),
            Answer::Done { did: Did::Moved { slot } } => done("moved", Some(*slot)),
            Answer::Done { did: Did::WasSo { slot } } => done("was_so", Some(*slot)),
            Answer::Done { did: Did::StartsNow } => done("starts_now", None),
            Answer::Done { did: Did::NoReminders } => done("no_reminders", None),
            Answer::Refused { understood, why, free } => AnswerWords {
                understood: Some(words::phrase(&self.speech.said(understood), TEXT)),
                why: Some(self.sentence(why)),
                free: self.free(free),
                ..done("refused", None)
            },
            Answer::NotUnderstood { why, free } => AnswerWords {
                why: Some(self.sentence(why)),
                free: self.free(free),
                ..done("not_understood", None)
            },
        }
    }

    fn free(&self, free: &[Instant]) -> Vec<FreeTime> {
        let zone = self.contact.timezone;
        free.iter()
            .map(|at| FreeTime {
                local: self.speech.moment(*at, zone).local,
                write: format!("move to {}", words::for_answer(*at, zone)),
            })
            .collect()
    }

    fn when(&self, slot: Slot) -> When {
        self.speech.slot(slot, self.contact.timezone)
    }

    fn sentence(&self, text: &str) -> String {
        words::sentence(&self.speech.said(text), TEXT)
    }

    /// A sentence that is put together from others by `; `.
    fn clauses(&self, text: &str) -> String {
        let whole = self.speech.said(text);
        if whole != text {
            return words::sentence(&whole, TEXT);
        }
        let said: Vec<String> = text.split("; ").map(|clause| self.speech.said(clause)).collect();
        words::sentence(&said.join("; "), TEXT)
    }

    fn may_cancel(&self) -> bool {
        match self.notice.ticket.cause {
            Cause::Asked { by: Wisher::Owner } | Cause::Revert { by: Wisher::Owner, .. } => true,
            // A drill is its reader's to end, whoever asked for it.
            Cause::Drill => true,
            Cause::Maintenance
            | Cause::Asked { by: Wisher::Operators }
            | Cause::Revert { by: Wisher::Operators, .. } => false,
        }
    }

    fn trial(&self, slot: Slot, copied: bool) -> TrialWords {
        // A reminder of seven days comes a little late.
        let soon = slot.start - self.notice.at < TEST_AHEAD.delta() - TimeDelta::days(1);
        TrialWords { command: self.command("test launch"), copied, soon }
    }

    fn command(&self, verb: &str) -> String {
        format!("drover {verb} {}", words::one_line(&self.notice.ticket.number, 20))
    }

    fn answered_by_program(&self) -> bool {
        self.answers == Answers::Read
    }

    fn is_reader(&self, by: &Actor) -> bool {
        matches!(by, Actor::Owner { owner } if *owner == self.contact.owner)
    }

    fn actor(&self, by: &Actor) -> String {
        self.speech.by(match by {
            Actor::Operator { .. } => Doer::Operators,
            Actor::Owner { .. } if self.is_reader(by) => Doer::Reader,
            Actor::Owner { owner } => Doer::Account(owner.as_str()),
            Actor::Drover => Doer::Scheduler,
        })
    }

    fn choices(&self, slot: Option<Slot>, approval: Approval) -> Choices {
        let number = words::one_line(&self.notice.ticket.number, 20);
        let zone = self.contact.timezone;
        let example = self.example(slot);
        let to = |write: fn(Instant, Tz) -> String| {
            example.map_or_else(|| "TIME".to_owned(), |moment| write(moment, zone))
        };
        let awaited = match approval {
            Approval::Awaited => slot.is_some(),
            Approval::NotNeeded => false,
        };
        Choices {
            leave: slot.is_some(),
            approve: awaited.then(|| format!("drover approve {number}")),
            reschedule: format!("drover reschedule {number} --to {}", to(words::for_command)),
            now: format!("drover migrate-now {number}"),
            cancel: self.may_cancel().then(|| self.command("cancel")),
            answers: self.answered_by_program().then(|| AnswerLines {
                accept: awaited.then_some("accept"),
                reschedule: format!("move to {}", to(words::for_answer)),
                now: "now",
            }),
        }
    }

    /// A time to stand in the command to be copied, one that has a chance: a day later, else a day earlier, else on the way to the
    /// deadline. Nothing when the deadline leaves no time at all.
    fn example(&self, slot: Option<Slot>) -> Option<Instant> {
        let (now, deadline) = (self.notice.at, self.notice.ticket.deadline);
        let day = TimeDelta::days(1);
        if let Some(slot) = slot {
            if slot.end + day <= deadline {
                return Some(slot.start + day);
            }
            if slot.start - day > now + TimeDelta::hours(2) {
                return Some(slot.start - day);
            }
        }
        let halfway = now + (deadline - now) / 2;
        let to_the_hour = halfway - TimeDelta::seconds(halfway.timestamp().rem_euclid(3600));
        let halfway = if to_the_hour > now + TimeDelta::hours(2) { to_the_hour } else { halfway };
        (halfway > now).then_some(halfway)
    }
}

enum Approval {
    Awaited,
    NotNeeded,
}

fn shutdown(power_off: PowerOff) -> &'static str {
    match power_off {
        PowerOff::GuestAgent | PowerOff::Acpi => "asked",
        PowerOff::Hard => "forced",
        PowerOff::WasOff => "was_off",
    }
}

fn avoidance(how: Avoidance) -> &'static str {
    match how {
        Avoidance::Deleted => "deleted",
        Avoidance::MovedElsewhere => "moved_elsewhere",
        Avoidance::MovedWhileOff => "moved_while_off",
        Avoidance::MovedLive => "moved_live",
    }
}
