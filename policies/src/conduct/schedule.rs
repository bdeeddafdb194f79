//! Finding the time of a reboot migration, and reminding its owner of it.

use super::{Conductor, Opens, OwnerWindow, WindowScope};
use crate::appointment::Appointment;
use crate::attempt::Method;
use crate::estimate::expected_reboot;
use crate::events::Happened;
use crate::fleet::Labels;
use crate::ids::{OwnerId, ServerId};
use crate::migration::{Migration, Waiting};
use crate::notices::{Reserved, Tells};
use crate::policy::Policy;
use crate::time::{Instant, Span};
use crate::windows::{Recurrence, Slot, Wanted, first_fit, open_slots};

/// A time that was found, and by whose window.
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) window: &'static str,
}

/// How long an appointment of a server is: the downtime as it may well be, by its own history, in whole steps, and one more in which to begin late.
#[must_use]
pub fn slot_length(policy: &Policy, history: &[Span]) -> Span {
    let downtime = expected_reboot(&policy.reboot, history).downtime_p90.as_milliseconds();
    let step = policy.windows.slot_step.as_milliseconds().max(1);
    Span::milliseconds((downtime.div_ceil(step) + 1) * step)
}

/// Why there is no time.
pub(super) struct NoSlot {
    /// What stands in the way, in words that an owner may read.
    pub(super) why: String,
    /// What an operator could do.
    pub(super) help: &'static str,
}

impl Conductor<'_> {
    pub(super) fn expected_downtime(&self, migration: &Migration, policy: &Policy) -> Span {
        let history = self.history.get(&migration.server).map_or(&[][..], Vec::as_slice);
        expected_reboot(&policy.reboot, history).downtime_p90
    }

    /// Proposes the first time that suits everybody, or says why there is none.
    pub(super) fn propose(&mut self, mut migration: Migration, policy: &Policy) -> Migration {
        match self.find_slot(&migration, policy) {
            Ok(found) => {
                let slot = found.slot;
                let tells = Tells::Proposed {
                    slot,
                    downtime: self.expected_downtime(&migration, policy),
                    reserved: if migration.place.is_some() { Reserved::Yes } else { Reserved::NotYet },
                    window: found.window.to_owned(),
                };
                self.tell(&migration, &format!("proposed/{}", slot.start.timestamp_micros()), tells);
                self.set_proposed(&mut migration, slot);
                self.wait(migration, Waiting::Owner { until: slot.start })
            }
            Err(NoSlot { why, help }) => {
                self.tell(&migration, "no_slot", Tells::NoSlot { why: why.clone() });
                self.wait(migration, Waiting::Slot { why: format!("{why}; {help}") })
            }
        }
    }

    /// The owner has been told of this time, by whatever message.
    pub(super) fn set_proposed(&mut self, migration: &mut Migration, slot: Slot) {
        self.say(migration, Happened::Proposed { slot });
        migration.appointment = Appointment::Proposed { slot };
        migration.agreed_at = Some(self.now);
    }

    /// The first time that is open, has room, keeps the notice and ends before the deadline.
    ///
    /// # Errors
    /// What stands in the way, and what would help.
    pub(super) fn find_slot(&self, migration: &Migration, policy: &Policy) -> Result<Found, NoSlot> {
        let notice = self.notice_for(migration, policy);
        let not_before = self.now + notice.delta();
        if not_before >= migration.deadline {
            return Err(NoSlot {
                why: format!(
                    "the notice of {notice} ends after the deadline, {}",
                    migration.deadline.format("%Y-%m-%d %H:%M UTC")
                ),
                help: "a later deadline, a time chosen by the owner, or an emergency would help",
            });
        }
        let length = self.slot_length(migration, policy);
        // What opened before the notice is over may still be open when it is.
        let range = Slot { start: not_before, end: migration.deadline };
        let (open, window) = self.open_for(migration, policy, range);
        let wanted = Wanted { not_before, length, step: policy.windows.slot_step };
        first_fit(&open, wanted, |slot| self.has_room(migration, policy, slot))
            .map(|slot| Found { slot, window })
            .ok_or_else(|| NoSlot {
                // Without the present in it: else each look would find another reason, and tell it.
                why: format!(
                    "no stretch of {length} is open and free in {window} between the end of the notice, {notice} from now, and the deadline, {}",
                    migration.deadline.format("%Y-%m-%d %H:%M UTC")
                ),
                help: "a later deadline, another window, or a time chosen by the owner would help",
            })
    }

    pub(super) fn slot_length(&self, migration: &Migration, policy: &Policy) -> Span {
        let history = self.history.get(&migration.server).map_or(&[][..], Vec::as_slice);
        slot_length(policy, history)
    }

    /// An owner to whom a time was proposed before has had his notice; he gets the time in which he could still change the date.
    fn notice_for(&self, migration: &Migration, policy: &Policy) -> Span {
        let lead = policy.notice.lead_by_reason.get(&migration.reason).copied().unwrap_or(policy.notice.lead);
        let proposed = format!("{}/proposed/", migration.id);
        let known = self.told.iter().any(|key| key.starts_with(&proposed));
        if known { lead.min(policy.owners.reschedule_ahead) } else { lead }
    }

    /// The open time in a range, by the nearest windows that the owner has set, or else by policy.
    fn open_for(&self, migration: &Migration, policy: &Policy, range: Slot) -> (Vec<Slot>, &'static str) {
        let labels = self.fleet.server(migration.server).map(|server| &server.facts.labels);
        let subject = WindowsOf { owner: migration.owner.as_ref(), server: migration.server, labels };
        open_for(&subject, self.windows, policy, range)
    }

    /// Whether the hosts and the owner have room for one more at that time.
    pub(super) fn has_room(&self, migration: &Migration, policy: &Policy, slot: Slot) -> bool {
        let overlapping = |other: &&Migration| {
            other.id != migration.id
                && other.method == Method::Reboot
                && other.is_open()
                && other.appointment.slot().is_some_and(|taken| taken.overlaps(slot))
        };
        let taken: Vec<&Migration> = self.migrations.iter().filter(overlapping).collect();
        let count = |applies: &dyn Fn(&Migration) -> bool| -> u32 {
            u32::try_from(taken.iter().filter(|other| applies(other)).count()).unwrap_or(u32::MAX)
        };
        let hosts = [Some(&migration.from), migration.to()];
        let busy = hosts.into_iter().flatten().any(|host| {
            count(&|other| other.from == *host || other.to() == Some(host)) >= policy.limits.reboots_per_host
        });
        let owners = count(&|other| migration.owner.is_some() && other.owner == migration.owner);
        !busy && (policy.limits.per_owner == 0 || owners < policy.limits.per_owner)
    }

    /// Reminders that are due. One that policy wants earlier than a tenth of the lead after its time was told is left out: that message says it all.
    pub(super) fn remind(&mut self, migration: &Migration, policy: &Policy) {
        let Some(slot) = migration.appointment.slot() else { return };
        let downtime = self.expected_downtime(migration, policy);
        let mut reminders = policy.notice.reminders.clone();
        reminders.sort();
        let since = migration.agreed_at.unwrap_or(migration.opened_at);
        let worthwhile = |due: Instant| (due - since) * 10 >= slot.start - since;
        let mut due_now = None;
        for left in reminders {
            let due = slot.start - left.delta();
            if !worthwhile(due) {
                continue;
            }
            if due > self.now {
                self.look_again_at(due);
            } else if due_now.is_none() {
                // The nearest one speaks for those that were due before it: nobody wants three at once after an outage.
                due_now = Some(left);
            }
        }
        if let Some(left) = due_now
            && slot.start > self.now
        {
            let fact = format!("reminder/{}/{left}", slot.start.timestamp_micros());
            // One that comes late says what is really left.
            let late = self.now - (slot.start - left.delta()) >= Span::minutes(1).delta();
            let left = if late { whole_minutes(Span::between(self.now, slot.start)) } else { left };
            self.tell(migration, &fact, Tells::Reminder { slot, left, downtime });
        }
    }
}

/// Whose windows are looked for.
#[derive(Debug, Clone, Copy)]
pub struct WindowsOf<'a> {
    /// The account, if one is known.
    pub owner: Option<&'a OwnerId>,
    /// The server.
    pub server: ServerId,
    /// Its labels, if it is seen.
    pub labels: Option<&'a Labels>,
}

/// The open time in a range, less the days on which nothing is done, and by whose windows: the nearest that the owner has set for the server,
/// or else policy's.
#[must_use]
pub fn open_for(
    subject: &WindowsOf<'_>,
    windows: &[OwnerWindow],
    policy: &Policy,
    range: Slot,
) -> (Vec<Slot>, &'static str) {
    let owned: Vec<&OwnerWindow> =
        windows.iter().filter(|window| Some(&window.owner) == subject.owner).collect();
    let nearest = |nearness: u8| -> Vec<&OwnerWindow> {
        let applies = |window: &&&OwnerWindow| match &window.scope {
            WindowScope::Server { server } => nearness == 0 && *server == subject.server,
            WindowScope::Label { name, value } => {
                nearness == 1 && subject.labels.is_some_and(|labels| labels.get(name) == Some(value))
            }
            WindowScope::Account => nearness == 2,
        };
        owned.iter().filter(applies).copied().collect()
    };
    let names =
        ["the owner's window for this server", "the owner's window for this label", "the owner's window"];
    let (windows, name) = (0..3_u8)
        .map(|nearness| (nearest(nearness), names[usize::from(nearness)]))
        .find(|(windows, _)| !windows.is_empty())
        .unwrap_or((Vec::new(), "the default windows"));
    let exclusions = &policy.windows.exclusions;
    if windows.is_empty() {
        return (open_slots(&policy.windows.default, &[], exclusions, range), name);
    }
    let mut recurring: Vec<Recurrence> = Vec::new();
    let mut once: Vec<Slot> = Vec::new();
    for window in windows {
        match &window.opens {
            Opens::Recurring { recurrence } => recurring.push(recurrence.clone()),
            Opens::Once { slot } => once.push(*slot),
        }
    }
    (open_slots(&recurring, &once, exclusions, range), name)
}

/// What an owner who chooses a time is offered.
impl Conductor<'_> {
    /// Up to `most` times at which this migration could happen, the earliest first.
    pub(super) fn free_slots(
        &self,
        migration: &Migration,
        policy: &Policy,
        from: Instant,
        most: usize,
    ) -> Vec<Slot> {
        let length = self.slot_length(migration, policy);
        let (open, _) = self.open_for(migration, policy, Slot { start: from, end: migration.deadline });
        let wanted = Wanted { not_before: from, length, step: policy.windows.slot_step };
        wanted.fits(&open).filter(|slot| self.has_room(migration, policy, *slot)).take(most).collect()
    }
}

/// Never less than one.
fn whole_minutes(span: Span) -> Span {
    Span::minutes((span.0.as_secs() / 60).max(1))
}
