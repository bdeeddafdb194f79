//! One or more notices of every kind, such as come about in practice. An operator's own templates are tried on them before the
//! scheduler starts, so each value that may be missing is present in one sample and missing in another.

mod bulletins;

use chrono::TimeDelta;
use drover_policies::attempt::PowerOff;
use drover_policies::blueprint::{Blueprint, Boot, DiskShape};
use drover_policies::checks::{CheckName, Finding, Item, Verdict};
use drover_policies::eligibility::WhyNotLive;
use drover_policies::ids::{BadName, MigrationId, NoticeId, OwnerId, ServerId, TicketId};
use drover_policies::language::Language;
use drover_policies::migration::{Loss, operators};
use drover_policies::notices::{
    Actor, AfterFailedChecks, Answer, Avoidance, Cause, Contact, Did, Disks, Notice, Reminders, Reserved,
    Tells, TicketSummary, Trial, Via, WhyGivenUp, Wisher,
};
use drover_policies::replica::ImageFormat;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;
use uuid::Uuid;

use crate::letter::{Answers, Links};

pub use bulletins::{BulletinSample, bulletins};

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
    all.extend(kit.asked());
    all.extend(kit.drills());
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
                    window: "the owner's window for this server".to_owned(),
                },
            ),
            copied(self.sample(
                "proposed_with_local_disks",
                Tells::Proposed {
                    slot: slot(50, 2),
                    downtime,
                    reserved: Reserved::Yes,
                    window: "the owner's window for this server".to_owned(),
                },
            )),
            shaped(self.sample(
                "proposed_with_blueprint",
                Tells::Proposed {
                    slot: slot(50, 2),
                    downtime,
                    reserved: Reserved::Yes,
                    window: "the owner's window for this server".to_owned(),
                },
            )),
            plain(self.sample(
                "proposed_over_midnight_without_links",
                Tells::Proposed {
                    slot: slot(50, 4),
                    downtime: Span::minutes(22),
                    reserved: Reserved::NotYet,
                    window: "the default windows".to_owned(),
                },
            )),
            plain(answerable(self.sample(
                "proposed_to_be_answered_without_links",
                Tells::Proposed {
                    slot: slot(50, 2),
                    downtime,
                    reserved: Reserved::Yes,
                    window: "the owner's window".to_owned(),
                },
            ))),
            answerable(self.sample(
                "reminder_to_be_answered",
                Tells::Reminder { slot: slot(50, 2), left: Span::hours(24), downtime, trial: Trial::NotAdvised },
            )),
            copied(self.sample(
                "reminder_to_test",
                Tells::Reminder { slot: slot(164, 2), left: Span::days(7), downtime, trial: Trial::Advised },
            )),
            self.sample("reminder", Tells::Reminder { slot: slot(50, 2), left: Span::hours(24), downtime, trial: Trial::NotAdvised }),
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
                    why: "no other host had room at that time".to_owned(),
                    slot: Some(slot(50, 2)),
                },
            ),
            self.sample(
                "missed_without_another_time",
                Tells::Missed {
                    missed: slot(-3, 2),
                    why: "the time was over when the scheduler looked at it again".to_owned(),
                    slot: None,
                },
            ),
            self.sample(
                "no_slot",
                Tells::NoSlot {
                    why: "no stretch of 30m is open and free in the owner's window between the end of the notice, 3d from now, \
                        and the deadline, 2026-11-29 00:00 UTC"
                        .to_owned(),
                },
            ),
        ]
    }

    /// What is told when it begins, and how it ended.
    fn after(&self) -> Vec<Sample> {
        let done = |power_off, downtime| Tells::Done {
            downtime,
            power_off,
            confirm_until: None,
            findings: Vec::new(),
        };
        let checks_failed =
            |then| Tells::ChecksFailed { findings: checked(&[Verdict::Failed, Verdict::Passed]), then };
        let avoided = |how| Tells::Avoided { how };
        let rolled_back = |downtime, slot| Tells::RolledBack {
            why: "it did not come up at the destination".to_owned(),
            downtime,
            slot,
            left_off: false,
        };
        let left_off = Tells::RolledBack {
            why: "it did not come up at the destination".to_owned(),
            downtime: None,
            slot: None,
            left_off: true,
        };
        vec![
            self.sample("started", Tells::Started { downtime: Span::seconds(110) }),
            self.sample("done", done(Some(PowerOff::GuestAgent), Some(Span::milliseconds(47_300)))),
            shaped(self.sample("done_with_blueprint", done(Some(PowerOff::Acpi), None))),
            self.sample("done_by_force", done(Some(PowerOff::Hard), Some(Span::seconds(215)))),
            self.sample("done_while_off", done(Some(PowerOff::WasOff), None)),
            plain(self.sample("done_without_figures", done(None, None))),
            self.sample(
                "not_seen_alive",
                Tells::NotSeenAlive { text: "it was running and went off while it was looked at".to_owned() },
            ),
            self.sample("checks_failed", checks_failed(AfterFailedChecks::Held { why_not_reverted: None })),
            self.sample(
                "checks_failed_and_not_reverted",
                checks_failed(AfterFailedChecks::Held {
                    why_not_reverted: Some("where it was, the hardware is closed for maintenance; another host could take it: ask for that with migrate".to_owned()),
                }),
            ),
            self.sample("checks_failed_and_reverting", checks_failed(AfterFailedChecks::Reverting)),
            self.sample("rolled_back", rolled_back(Some(Span::seconds(188)), Some(slot(50, 2)))),
            self.sample("rolled_back_without_another_time", rolled_back(None, None)),
            self.sample("rolled_back_and_left_off", left_off),
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
        let answered =
            |asked: &str, answer| Tells::Answered { asked: asked.to_owned(), via: Via::Mail, answer };
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
            to_operators(self.sample(
                "written_by_drover",
                written(
                    Actor::Drover,
                    Via::Api,
                    "It was moved and is alive, but it is not as it should be: shop failed (HTTP /health at port 80: connection refused). Its migration is held, and nothing is thrown away at its old host, until its owner or an operator confirms or reverts it.",
                ),
            )),
            self.sample("answered_accepted", answered("accept", done(Did::Accepted { slot: slot(50, 2) }))),
            self.sample("answered_moved", answered("move to tomorrow 22:00", done(Did::Moved { slot: slot(45, 2) }))),
            self.sample("answered_was_so", answered("ok", done(Did::WasSo { slot: slot(50, 2) }))),
            self.sample("answered_no_reminders", answered("no reminders", done(Did::NoReminders))),
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

    /// What is told of a migration that somebody asked for.
    fn asked(&self) -> Vec<Sample> {
        let by = Actor::Owner { owner: self.owner.clone() };
        let by_operator = Actor::Operator { name: "night-shift".to_owned() };
        let downtime = Span::seconds(110);
        let (own, theirs) = (Cause::Asked { by: Wisher::Owner }, Cause::Asked { by: Wisher::Operators });
        let back = Cause::Revert { by: Wisher::Owner, loss: Loss::None };
        let lossy = Cause::Revert { by: Wisher::Owner, loss: Loss::Accepted };
        let requested = |by: &Actor| Tells::Requested { slot: slot(50, 2), downtime, by: by.clone() };
        let reverting = |by: &Actor| Tells::Reverting { slot: slot(50, 2), downtime, by: by.clone() };
        let given_up = |by: &Actor| Tells::GivenUp { why: WhyGivenUp::Cancelled { by: by.clone() } };
        let until = now() + TimeDelta::hours(24);
        let done = Tells::Done {
            downtime: Some(Span::seconds(97)),
            power_off: Some(PowerOff::GuestAgent),
            confirm_until: Some(until),
            findings: checked(&[Verdict::Passed, Verdict::FailedBefore]),
        };
        let reverted_with_loss = |by: &Actor| Tells::Reverted {
            downtime: Some(Span::seconds(41)),
            power_off: Some(PowerOff::GuestAgent),
            loss_accepted_by: Some(by.clone()),
        };
        let not_retained = Tells::GivenUp {
            why: WhyGivenUp::NothingRetained {
                text: "nothing is retained of it on this host any more".to_owned(),
            },
        };
        let of = |cause, sample: Sample| caused(cause, sample);
        vec![
            of(own, self.sample("requested", requested(&by))),
            of(theirs, plain(self.sample("requested_by_operator", requested(&by_operator)))),
            of(
                own,
                self.sample(
                    "reminder_of_what_was_asked_for",
                    Tells::Reminder {
                        slot: slot(50, 2),
                        left: Span::hours(1),
                        downtime,
                        trial: Trial::NotAdvised,
                    },
                ),
            ),
            self.sample("needed", Tells::Needed { slot: Some(slot(50, 2)) }),
            self.sample("needed_without_a_time", Tells::Needed { slot: None }),
            of(own, self.sample("given_up", given_up(&by))),
            of(own, self.sample("given_up_by_operator", given_up(&by_operator))),
            of(back, self.sample("given_up_revert", given_up(&by))),
            of(own, self.sample("given_up_out_of_time", Tells::GivenUp { why: WhyGivenUp::OutOfTime })),
            copied(self.sample("done_with_local_disks", done.clone())),
            self.sample("done_to_be_confirmed", done),
            self.sample("confirmed", Tells::Confirmed { by: by.clone() }),
            self.sample("confirmed_by_operator", Tells::Confirmed { by: by_operator.clone() }),
            of(back, self.sample("reverting", reverting(&by))),
            of(back, copied(self.sample("reverting_with_local_disks", reverting(&by)))),
            of(back, self.sample("started_to_revert", Tells::Started { downtime })),
            of(lossy, copied(self.sample("reverting_with_loss", reverting(&by)))),
            of(lossy, copied(self.sample("started_to_revert_with_loss", Tells::Started { downtime }))),
            of(lossy, copied(self.sample("reverted_with_loss", reverted_with_loss(&by)))),
            of(
                lossy,
                copied(self.sample("reverted_with_loss_by_operator", reverted_with_loss(&by_operator))),
            ),
            of(lossy, copied(self.sample("given_up_as_not_retained", not_retained))),
            of(
                Cause::Revert { by: Wisher::Operators, loss: Loss::None },
                self.sample("reverting_by_operator", reverting(&by_operator)),
            ),
            of(
                back,
                self.sample(
                    "reverted",
                    Tells::Reverted {
                        downtime: Some(Span::seconds(97)),
                        power_off: Some(PowerOff::Acpi),
                        loss_accepted_by: None,
                    },
                ),
            ),
            of(
                back,
                self.sample(
                    "reverted_by_force",
                    Tells::Reverted {
                        downtime: None,
                        power_off: Some(PowerOff::Hard),
                        loss_accepted_by: None,
                    },
                ),
            ),
            of(
                own,
                self.sample(
                    "rolled_back_what_was_asked_for",
                    Tells::RolledBack {
                        why: "the server did not start in its new place".to_owned(),
                        downtime: None,
                        slot: Some(slot(98, 2)),
                        left_off: false,
                    },
                ),
            ),
        ]
    }

    /// What is told in a drill.
    fn drills(&self) -> Vec<Sample> {
        let downtime = Span::minutes(5);
        let by = Actor::Owner { owner: self.owner.clone() };
        let proposed = Tells::Proposed {
            slot: slot(50, 2),
            downtime,
            reserved: Reserved::NotYet,
            window: "the time that was chosen for the drill".to_owned(),
        };
        let done = Tells::Done {
            downtime: Some(downtime),
            power_off: None,
            confirm_until: None,
            findings: Vec::new(),
        };
        let given_up = |why| Tells::GivenUp { why };
        [
            self.sample("drill_proposed", proposed),
            self.sample("drill_started", Tells::Started { downtime }),
            self.sample("drill_done", done),
            self.sample("drill_cancelled", given_up(WhyGivenUp::Cancelled { by })),
            self.sample("drill_ended_for_real", given_up(WhyGivenUp::ForReal)),
            plain(self.sample("drill_out_of_time", given_up(WhyGivenUp::OutOfTime))),
        ]
        .into_iter()
        .map(|mut sample| {
            sample.notice.ticket.reason = "a drill, to try what happens in a maintenance".to_owned();
            sample.notice.ticket.why_not_live = String::new();
            caused(Cause::Drill, sample)
        })
        .collect()
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
                ..Links::default()
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
            why_not_live: WhyNotLive::OwnerForbids.for_owner(),
            deadline: now() + TimeDelta::days(7),
            cause: Cause::Maintenance,
            disks: Disks::Shared,
            blueprint: Blueprint::default(),
        }
    }
}

/// The same of a server that is to look otherwise afterwards.
fn shaped(mut sample: Sample) -> Sample {
    sample.notice.ticket.blueprint = Blueprint {
        memory_bytes: Some(4 << 30),
        vcpus: Some(2),
        networks: [("office".to_owned(), "dmz".to_owned())].into(),
        disks: [
            (
                "vdb".to_owned(),
                DiskShape { directory: Some("/srv/fast".into()), format: Some(ImageFormat::Raw) },
            ),
            ("vdc".to_owned(), DiskShape { directory: None, format: Some(ImageFormat::Qcow2) }),
        ]
        .into(),
        boot: Boot::Later,
    };
    sample
}

/// The same of a server with disks that only its host has.
fn copied(mut sample: Sample) -> Sample {
    sample.notice.ticket.disks = Disks::Local;
    sample.notice.ticket.why_not_live = WhyNotLive::LocalDisks { disks: vec!["vdb".to_owned()] }.for_owner();
    sample
}

fn caused(cause: Cause, mut sample: Sample) -> Sample {
    sample.notice.ticket.cause = cause;
    sample
}

/// The same for a reader of whom only the address is known, in an installation without pages.
fn plain(sample: Sample) -> Sample {
    Sample {
        contact: Contact {
            name: String::new(),
            timezone: chrono_tz::Tz::America__Sao_Paulo,
            ..sample.contact
        },
        links: Links { answers: sample.links.answers, ..Links::default() },
        ..sample
    }
}

/// The same where answers to mails are read, and reminders can be declined.
fn answerable(sample: Sample) -> Sample {
    let reminders = Some("https://cloud.example/accounts/{owner}/reminders".to_owned());
    Sample { links: Links { reminders, answers: Answers::Read, ..sample.links }, ..sample }
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

/// A checklist, the owner's own checks with these verdicts.
fn checked(own: &[Verdict]) -> Vec<Finding> {
    let read = |item, seen: &str| Finding::read(item, Verdict::Passed, seen);
    let mut findings = vec![
        read(Item::Power, "running"),
        read(Item::Life, "its guest agent answers"),
        read(Item::Addresses, "192.0.2.7, as before"),
        read(Item::Interfaces, "1 as before"),
        read(Item::Disks, "2 as before"),
    ];
    for (name, verdict) in ["shop", "ssh"].into_iter().zip(own) {
        let Ok(check) = CheckName::new(name) else { continue };
        let seen = match verdict {
            Verdict::Passed => "TCP port 22 is open",
            Verdict::Failed | Verdict::FailedBefore | Verdict::NotLooked => {
                "status 503 where 200 is expected"
            }
        };
        let took = Some(Span::seconds(4));
        findings.push(Finding { took, ..Finding::read(Item::Own { check }, *verdict, seen) });
    }
    findings
}
