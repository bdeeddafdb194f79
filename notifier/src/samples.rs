//! One or more notices of every kind, such as come about in practice. An operator's own templates are tried on them before the
//! scheduler starts, so each value that may be missing is present in one sample and missing in another.

use chrono::TimeDelta;
use drover_policies::attempt::PowerOff;
use drover_policies::ids::{BadName, MigrationId, NoticeId, OwnerId, ServerId, TicketId};
use drover_policies::language::Language;
use drover_policies::migration::operators;
use drover_policies::notices::{
    Actor, Answer, Avoidance, Contact, Did, Notice, Reminders, Reserved, Tells, TicketSummary, Via,
};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;
use uuid::Uuid;

use crate::letter::Links;

/// A notice with its reader.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Unlike all others: the kind, and what is special about this one.
    pub name: &'static str,
    /// What is told.
    pub notice: Notice,
    /// To whom.
    pub contact: Contact,
    /// The links of the installation.
    pub links: Links,
}

/// All of them, at least one for each of [`Tells::KINDS`].
///
/// # Errors
/// None in practice: the sample's owner has a usable name.
pub fn samples() -> Result<Vec<Sample>, BadName> {
    let owner = OwnerId::new("acme")?;
    let kit = Kit { owner };
    let mut all = kit.before();
    all.extend(kit.after());
    all.extend(kit.thread());
    Ok(all)
}

struct Kit {
    owner: OwnerId,
}

impl Kit {
    /// What is told until it begins.
    fn before(&self) -> Vec<Sample> {
        let by_owner = Actor::Owner { owner: self.owner.clone() };
        let by_operator = Actor::Operator { name: "night-shift".to_owned() };
        let downtime = Span::seconds(110);
        vec![
            self.sample(
                "proposed",
                Tells::Proposed {
                    slot: slot(50, 2),
                    downtime,
                    reserved: Reserved::Yes,
                    window: "your own window, Tuesdays from 03:00 for 2 hours".to_owned(),
                },
            ),
            plain(self.sample(
                "proposed_over_midnight_without_links",
                Tells::Proposed {
                    slot: slot(50, 4),
                    downtime: Span::minutes(22),
                    reserved: Reserved::NotYet,
                    window: "the default window, every day from 23:00 for 4 hours".to_owned(),
                },
            )),
            self.sample("reminder", Tells::Reminder { slot: slot(50, 2), left: Span::hours(24), downtime }),
            self.sample(
                "rescheduled",
                Tells::Rescheduled { from: slot(50, 2), slot: slot(98, 2), by: by_owner.clone() },
            ),
            self.sample(
                "rescheduled_by_operator",
                Tells::Rescheduled { from: slot(50, 2), slot: slot(74, 2), by: by_operator },
            ),
            self.sample("accepted", Tells::Accepted { slot: slot(50, 2), by: by_owner }),
            self.sample(
                "missed",
                Tells::Missed {
                    missed: slot(-3, 2),
                    why: "the place that was reserved was not ready in time".to_owned(),
                    slot: Some(slot(50, 2)),
                },
            ),
            self.sample(
                "missed_without_another_time",
                Tells::Missed {
                    missed: slot(-3, 2),
                    why: "our scheduler was not running at that time".to_owned(),
                    slot: None,
                },
            ),
            self.sample(
                "no_slot",
                Tells::NoSlot {
                    why: "your window, Sundays from 03:00 for 1 hour, does not open before the deadline"
                        .to_owned(),
                },
            ),
        ]
    }

    /// What is told when it begins, and how it ended.
    fn after(&self) -> Vec<Sample> {
        let done = |power_off, downtime| Tells::Done { downtime, power_off };
        let avoided = |how| Tells::Avoided { how };
        let rolled_back = |downtime, slot| Tells::RolledBack {
            why: "the server did not start on its new hardware".to_owned(),
            downtime,
            slot,
        };
        vec![
            self.sample("started", Tells::Started { downtime: Span::seconds(110) }),
            self.sample("done", done(Some(PowerOff::GuestAgent), Some(Span::milliseconds(47_300)))),
            self.sample("done_by_force", done(Some(PowerOff::Hard), Some(Span::seconds(215)))),
            self.sample("done_while_off", done(Some(PowerOff::WasOff), None)),
            plain(self.sample("done_without_figures", done(None, None))),
            self.sample(
                "not_seen_alive",
                Tells::NotSeenAlive {
                    text: "it is switched on, but nothing in it has answered for 5 minutes".to_owned(),
                },
            ),
            self.sample("rolled_back", rolled_back(Some(Span::seconds(188)), Some(slot(50, 2)))),
            self.sample("rolled_back_without_another_time", rolled_back(None, None)),
            self.sample("cancelled", Tells::Cancelled),
            self.sample("avoided_deleted", avoided(Avoidance::Deleted)),
            self.sample("avoided_moved_elsewhere", avoided(Avoidance::MovedElsewhere)),
            self.sample("avoided_moved_while_off", avoided(Avoidance::MovedWhileOff)),
            self.sample("avoided_moved_live", avoided(Avoidance::MovedLive)),
            self.sample(
                "emergency",
                Tells::Emergency { why: "its hardware reported failing memory".to_owned() },
            ),
        ]
    }

    /// What is written to and fro.
    fn thread(&self) -> Vec<Sample> {
        let written = |by, via, text: &str| Tells::Written { by, text: text.to_owned(), via };
        let answered = |asked: &str, answer| Tells::Answered { asked: asked.to_owned(), answer };
        let done = |did| Answer::Done { did };
        let free = vec![slot(74, 2).start, slot(98, 2).start];
        vec![
            self.sample(
                "written_by_operator",
                written(
                    Actor::Operator { name: "night-shift".to_owned() },
                    Via::Api,
                    "Hello Ada,\n\nyes, its addresses stay the same. Nothing has to be changed in its configuration, before or after.\n\nBob",
                ),
            ),
            to_operators(self.sample(
                "written_by_owner",
                written(
                    Actor::Owner { owner: self.owner.clone() },
                    Via::Mail,
                    "Does it keep its addresses?\n<b>It must.</b>",
                ),
            )),
            self.sample("answered_accepted", answered("accept", done(Did::Accepted { slot: slot(50, 2) }))),
            self.sample("answered_moved", answered("move to tomorrow 22:00", done(Did::Moved { slot: slot(45, 2) }))),
            self.sample("answered_was_so", answered("ok", done(Did::WasSo { slot: slot(50, 2) }))),
            self.sample("answered_starts_now", answered("now", done(Did::StartsNow))),
            self.sample(
                "answered_refused",
                answered(
                    "move to 2027-01-03 22:00",
                    Answer::Refused {
                        understood: "move it to Sunday, 3 January 2027, 22:00 CET (UTC+01:00)".to_owned(),
                        why: "that is too late: it must be over by Sunday, 29 November 2026, 01:00 CET (UTC+01:00)".to_owned(),
                        free: free.clone(),
                    },
                ),
            ),
            self.sample(
                "answered_not_understood",
                answered(
                    "move to 3/4",
                    Answer::NotUnderstood {
                        why: "\"3/4\" can be the 3rd of April or the 4th of March".to_owned(),
                        free,
                    },
                ),
            ),
            plain(self.sample(
                "answered_not_understood_without_a_free_time",
                answered(
                    "move it please",
                    Answer::NotUnderstood { why: "there is no time in it".to_owned(), free: Vec::new() },
                ),
            )),
        ]
    }

    fn sample(&self, name: &'static str, tells: Tells) -> Sample {
        Sample {
            name,
            notice: Notice {
                id: NoticeId(Uuid::from_u128(0x2a)),
                key: format!("sample:{name}"),
                ticket: self.ticket(),
                tells,
                at: now(),
            },
            contact: Contact {
                owner: self.owner.clone(),
                name: "Ada".to_owned(),
                mail: vec!["ada@acme.example".to_owned()],
                timezone: chrono_tz::Tz::Europe__Berlin,
                language: Language::default(),
                reminders: Reminders::Wanted,
            },
            links: Links {
                ticket: Some("https://cloud.example/tickets/{number}".to_owned()),
                help: Some("mailto:help@cloud.example".to_owned()),
            },
        }
    }

    fn ticket(&self) -> TicketSummary {
        TicketSummary {
            id: TicketId(Uuid::from_u128(0x7)),
            number: "DR-1042".to_owned(),
            migration: MigrationId(Uuid::from_u128(0x8)),
            server: ServerId(Uuid::from_u128(0x9)),
            server_name: "web-1".to_owned(),
            owner: self.owner.clone(),
            reason: "kernel update".to_owned(),
            why_not_live: "you have asked us not to move it while it runs".to_owned(),
            deadline: now() + TimeDelta::days(7),
        }
    }
}

/// The same for a reader of whom only the address is known, in an installation without pages.
fn plain(sample: Sample) -> Sample {
    Sample {
        contact: Contact {
            name: String::new(),
            timezone: chrono_tz::Tz::America__Sao_Paulo,
            ..sample.contact
        },
        links: Links::default(),
        ..sample
    }
}

/// The same for operators.
fn to_operators(sample: Sample) -> Sample {
    let contact = Contact {
        owner: operators(),
        name: String::new(),
        mail: vec!["night-shift@cloud.example".to_owned()],
        timezone: chrono_tz::UTC,
        ..sample.contact
    };
    Sample { contact, ..sample }
}

/// 22 November 2026, 00:00 UTC, a Sunday: two days before the slots that most samples tell of.
fn now() -> Instant {
    Instant::UNIX_EPOCH + TimeDelta::days(20_779)
}

/// Counted in hours from [`now`].
fn slot(begins: i64, lasts: i64) -> Slot {
    let start = now() + TimeDelta::hours(begins);
    Slot { start, end: start + TimeDelta::hours(lasts) }
}
