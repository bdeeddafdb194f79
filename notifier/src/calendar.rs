//! The appointment in its reader's calendar: an iCalendar invitation (RFC 5545, 5546) that later mails change and take back.
//!
//! Nothing is kept for it. The entry's UID is the ticket's id, its SEQUENCE the second of the notice, or one more than the change
//! before it had: each change has a higher one, and the same notice after the same story always gives the same bytes. Times are in UTC, because an appointment is a moment: it does not move when a
//! country changes its clocks, and every calendar shows it in its own reader's zone (docs/decisions/013-mails.md).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use drover_policies::notices::{Answer, Did, Notice, Tells};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;
use icalendar::{Calendar, Component, Event, EventLike, EventStatus, Property};

use crate::words;

/// What a message changes in the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The entry is at this time, from now on.
    Put {
        /// When.
        slot: Slot,
        /// Whether the owner may still have something to say to it.
        sureness: Sureness,
    },
    /// There is no entry any more.
    Remove {
        /// Where it was.
        slot: Slot,
    },
}

/// Whether a time is proposed or holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sureness {
    /// Proposed.
    Tentative,
    /// Agreed.
    Confirmed,
}

/// How calendars call what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Request,
    Cancel,
}

/// Who invites, whom, and to what.
pub(crate) struct Invitation<'a> {
    pub(crate) change: Change,
    /// Where the messages before have left the entry.
    pub(crate) standing: Standing,
    pub(crate) notice: &'a Notice,
    /// The domain of the sender's ids.
    pub(crate) domain: &'a str,
    /// Name, which may be empty, and address.
    pub(crate) organizer: (&'a str, &'a str),
    pub(crate) attendee_name: &'a str,
    pub(crate) attendees: &'a [String],
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) timezone: Tz,
    /// The ticket's page.
    pub(crate) page: Option<&'a str>,
}

impl Change {
    /// What a message changes, where the messages before it have left an entry at `standing`.
    #[must_use]
    pub fn of(notice: &Notice, standing: Option<Slot>) -> Option<Self> {
        let put = |slot, sureness| Some(Self::Put { slot, sureness });
        let remove = |slot: Option<Slot>| slot.map(|slot| Self::Remove { slot });
        match &notice.tells {
            Tells::Proposed { slot, .. }
            | Tells::Missed { slot: Some(slot), .. }
            | Tells::RolledBack { slot: Some(slot), .. } => put(*slot, Sureness::Tentative),
            // Also a reminder bears it: for a reader who had not got it, or has thrown it away.
            Tells::Reminder { slot, .. }
            | Tells::Rescheduled { slot, .. }
            | Tells::Accepted { slot, .. }
            | Tells::Requested { slot, .. }
            | Tells::Reverting { slot, .. } => put(*slot, Sureness::Confirmed),
            // It happens now, whatever was agreed: "now" was asked for.
            Tells::Started { downtime } => standing
                .filter(|slot| !(slot.start..slot.end).contains(&notice.at))
                .and_then(|_| put(Slot::from_start(notice.at, *downtime), Sureness::Confirmed)),
            Tells::Missed { slot: None, missed, .. } => remove(standing.or(Some(*missed))),
            Tells::RolledBack { slot: None, .. }
            | Tells::NoSlot { .. }
            | Tells::Cancelled
            | Tells::Avoided { .. }
            | Tells::GivenUp { .. }
            | Tells::Emergency { .. } => remove(standing),
            // It took place, so the entry is right; and words of people change no time.
            Tells::Done { .. }
            | Tells::Needed { .. }
            | Tells::Confirmed { .. }
            | Tells::Reverted { .. }
            | Tells::NotSeenAlive { .. }
            | Tells::ChecksFailed { .. }
            | Tells::Written { .. }
            | Tells::Answered { answer: Answer::Refused { .. } | Answer::NotUnderstood { .. }, .. }
            | Tells::Answered {
                answer:
                    Answer::Done {
                        did:
                            Did::Accepted { .. }
                            | Did::Moved { .. }
                            | Did::WasSo { .. }
                            | Did::StartsNow
                            | Did::NoReminders,
                    },
                ..
            } => None,
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Put { .. } => Method::Request,
            Self::Remove { .. } => Method::Cancel,
        }
    }

    fn slot(self) -> Slot {
        match self {
            Self::Put { slot, .. } | Self::Remove { slot } => slot,
        }
    }
}

/// Where the messages of a ticket have left its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// When it is; nothing when there is none.
    pub slot: Option<Slot>,
    /// The SEQUENCE of the last change; nothing before the first.
    changed_by: Option<u32>,
}

impl Standing {
    /// Where these messages, all of a ticket from its first on, have left it.
    #[must_use]
    pub fn after<'a>(story: impl IntoIterator<Item = &'a Notice>) -> Self {
        story.into_iter().fold(Self::default(), |standing, notice| {
            let slot = match Change::of(notice, standing.slot) {
                Some(Change::Put { slot, .. }) => Some(slot),
                Some(Change::Remove { .. }) => None,
                None => return standing,
            };
            Self { slot, changed_by: Some(standing.sequence(notice.at)) }
        })
    }

    /// The SEQUENCE of a change that comes next, told at this moment: calendars leave out a change that has no higher one than what
    /// they have, and two may come about within one second, or a clock may be set back.
    fn sequence(self, at: Instant) -> u32 {
        let after_the_last = self.changed_by.map_or(0, |last| last.saturating_add(1));
        seconds(at).max(after_the_last).min(LARGEST_SEQUENCE)
    }
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "REQUEST",
            Self::Cancel => "CANCEL",
        }
    }
}

impl Invitation<'_> {
    pub(crate) fn method(&self) -> Method {
        self.change.method()
    }

    /// The iCalendar object, its lines ended as on the wire.
    pub(crate) fn written(&self) -> String {
        let mut calendar = Calendar::empty();
        calendar
            .append_property(("VERSION", "2.0"))
            .append_property(("PRODID", "-//Drover//Drover//EN"))
            .append_property(("CALSCALE", "GREGORIAN"))
            .append_property(("METHOD", self.method().name()))
            // For what shows times in the zone of the calendar instead of its reader's.
            .append_property(("X-WR-TIMEZONE", self.timezone.name()));
        calendar.push(self.event());
        calendar.to_string()
    }

    fn event(&self) -> Event {
        let slot = self.change.slot();
        let status = match self.change {
            Change::Put { sureness: Sureness::Tentative, .. } => EventStatus::Tentative,
            Change::Put { sureness: Sureness::Confirmed, .. } => EventStatus::Confirmed,
            Change::Remove { .. } => EventStatus::Cancelled,
        };
        let (organizer_name, organizer) = self.organizer;
        let mut event = Event::new();
        event
            .uid(&format!("{}@{}", self.notice.ticket.id, self.domain))
            .timestamp(to_the_second(self.notice.at))
            .sequence(self.standing.sequence(self.notice.at))
            .starts(to_the_second(slot.start))
            .ends(to_the_second(slot.end))
            .status(status)
            .summary(self.title)
            .description(self.text)
            // Nobody is busy while his server is restarted.
            .add_property("TRANSP", "TRANSPARENT")
            .append_property(person("ORGANIZER", organizer_name, organizer));
        if let Some(page) = self.page {
            event.url(page);
        }
        for address in self.attendees {
            let mut attendee = person("ATTENDEE", self.attendee_name, address);
            attendee
                .add_parameter("CUTYPE", "INDIVIDUAL")
                .add_parameter("ROLE", "REQ-PARTICIPANT")
                // Nobody is to be asked by his calendar whether he comes: what may be answered, the mail says.
                .add_parameter("PARTSTAT", "ACCEPTED")
                .add_parameter("RSVP", "FALSE");
            event.append_multi_property(attendee.done());
        }
        event.done()
    }
}

fn person(key: &str, name: &str, address: &str) -> Property {
    let mut property = Property::new(key, format!("mailto:{address}"));
    // A parameter can hold any text but quotes.
    let name = words::one_line(name, 80).replace('"', "'");
    if !name.is_empty() {
        property.add_parameter("CN", &name);
    }
    property
}

/// Calendars keep 31 bits of a SEQUENCE.
const LARGEST_SEQUENCE: u32 = i32::MAX.unsigned_abs();

/// Since 2020: a number that fits a SEQUENCE until 2088.
fn seconds(at: Instant) -> u32 {
    const YEAR_2020: i64 = 1_577_836_800;
    u32::try_from((at.timestamp() - YEAR_2020).max(0)).unwrap_or(LARGEST_SEQUENCE).min(LARGEST_SEQUENCE)
}

/// Calendars know nothing finer.
fn to_the_second(at: Instant) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use drover_policies::notices::{Actor, Avoidance, Via};
    use drover_policies::time::Span;

    use super::*;
    use crate::samples::samples;

    fn notice(tells: Tells) -> Notice {
        Notice { tells, ..samples().expect("samples")[0].notice.clone() }
    }

    fn slot(days: i64) -> Slot {
        Slot::from_start(notice(Tells::Cancelled).at + TimeDelta::days(days), Span::hours(2))
    }

    fn accepted(days: i64) -> Notice {
        notice(Tells::Accepted { slot: slot(days), by: Actor::Drover })
    }

    #[test]
    fn an_entry_is_where_the_last_time_was_told_until_it_is_taken_back() {
        let moved = notice(Tells::Rescheduled { from: slot(1), slot: slot(2), by: Actor::Drover });
        let cancelled = notice(Tells::Cancelled);
        assert_eq!(Standing::after([&accepted(1), &moved]).slot, Some(slot(2)));
        assert_eq!(Standing::after([&accepted(1), &moved, &cancelled]).slot, None);
        assert_eq!(Change::of(&cancelled, Some(slot(2))), Some(Change::Remove { slot: slot(2) }));
    }

    #[test]
    fn nothing_is_taken_back_that_was_never_there() {
        for tells in [
            Tells::Cancelled,
            Tells::Avoided { how: Avoidance::Deleted },
            Tells::NoSlot { why: String::new() },
            Tells::Emergency { why: String::new() },
        ] {
            assert_eq!(Change::of(&notice(tells), None), None);
        }
    }

    #[test]
    fn what_is_done_in_its_time_stays_and_what_is_done_now_is_moved_to_now() {
        let started = notice(Tells::Started { downtime: Span::minutes(2) });
        let around = Slot::from_start(started.at - TimeDelta::minutes(1), Span::hours(2));
        assert_eq!(Change::of(&started, Some(around)), None);
        let now = Slot::from_start(started.at, Span::minutes(2));
        let put = Change::Put { slot: now, sureness: Sureness::Confirmed };
        assert_eq!(Change::of(&started, Some(slot(3))), Some(put));
        assert_eq!(Change::of(&started, None), None);
        let done = notice(Tells::Done {
            downtime: None,
            power_off: None,
            confirm_until: None,
            findings: Vec::new(),
        });
        assert_eq!(Standing::after([&accepted(3), &started, &done]).slot, Some(now));
    }

    #[test]
    fn each_change_has_a_higher_sequence_also_within_one_second_and_when_the_clock_is_set_back() {
        let first = accepted(1);
        let at = |seconds: i64, tells| Notice { at: first.at + TimeDelta::seconds(seconds), ..notice(tells) };
        let moved = |seconds, from, to| {
            at(seconds, Tells::Rescheduled { from: slot(from), slot: slot(to), by: Actor::Drover })
        };
        let words = at(0, Tells::Written { by: Actor::Drover, text: String::new(), via: Via::Api });
        let story = [first.clone(), moved(0, 1, 2), words, moved(0, 2, 3), moved(-5, 3, 4), moved(60, 4, 5)];
        let sequence = |told: usize| Standing::after(&story[..told]).sequence(story[told].at);
        let from_the_first: Vec<u32> = [0, 1, 3, 4, 5].map(|told| sequence(told) - sequence(0)).into();
        assert_eq!(from_the_first, [0, 1, 2, 3, 60]);
    }

    #[test]
    fn sequences_are_of_the_clock_and_fit_what_calendars_keep() {
        let at = |text: &str| Standing::default().sequence(text.parse().expect("a moment"));
        assert_eq!(at("2019-12-31T00:00:00Z"), 0);
        assert_eq!(at("2020-01-01T00:00:01Z"), 1);
        assert_eq!(at("2100-01-01T00:00:00Z"), LARGEST_SEQUENCE);
        let last = Standing { slot: None, changed_by: Some(LARGEST_SEQUENCE) };
        assert_eq!(last.sequence(Instant::UNIX_EPOCH), LARGEST_SEQUENCE);
    }
}
