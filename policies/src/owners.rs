//! What owners have set about the time of reboot migrations: windows, freezes, and how many of theirs at once.
//!
//! Each is set for a server, a label or the whole account. Of **windows**, **limits** and **checks** the nearest wins: one that is set for a server
//! (or a label) takes the place of what is set for the account, and what an owner has set takes the place of policy's windows. **Freezes**
//! add up: whoever is frozen by any of them, or by policy's own days, is left alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checks::Check;
use crate::fleet::{Labels, Server};
use crate::ids::{OwnerId, ServerId};
use crate::policy::Policy;
use crate::windows::{Exclusion, Recurrence, Slot, Slots, open_slots};

/// For which servers of an owner something holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Scope {
    /// One server.
    Server {
        /// Which.
        server: ServerId,
    },
    /// Servers with this label.
    Label {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// All of the account's.
    Account,
}

/// How near something is to a server; the smaller the nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nearness {
    /// Set for this server.
    Server,
    /// Set for a label that it has.
    Label,
    /// Set for the account.
    Account,
    /// Set by policy, for nobody nearer has set anything.
    Policy,
}

impl Nearness {
    const OF_OWNERS: [Self; 3] = [Self::Server, Self::Label, Self::Account];

    /// The stable word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Label => "label",
            Self::Account => "account",
            Self::Policy => "policy",
        }
    }

    /// Whose windows these are, in words that an owner may read.
    #[must_use]
    pub fn windows(self) -> &'static str {
        match self {
            Self::Server => "the owner's window for this server",
            Self::Label => "the owner's window for this label",
            Self::Account => "the owner's window",
            Self::Policy => "the default windows",
        }
    }
}

impl Scope {
    /// How near it is to a server; nothing when it doesn't hold for it.
    #[must_use]
    pub fn nearness(&self, whose: &Whose<'_>) -> Option<Nearness> {
        match self {
            Self::Server { server } => (*server == whose.server).then_some(Nearness::Server),
            Self::Label { name, value } => {
                let has = whose.labels.is_some_and(|labels| labels.get(name) == Some(value));
                has.then_some(Nearness::Label)
            }
            Self::Account => Some(Nearness::Account),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { .. } => f.write_str("this server"),
            Self::Label { name, value } => write!(f, "label {name}={value}"),
            Self::Account => f.write_str("the whole account"),
        }
    }
}

/// A time in which an owner allows reboot migrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnerWindow {
    /// Whose.
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: Scope,
    /// When.
    pub opens: Opens,
}

/// When a window is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "opens", rename_all = "snake_case")]
pub enum Opens {
    /// Again and again.
    Recurring {
        /// When.
        #[serde(flatten)]
        recurrence: Recurrence,
    },
    /// Once.
    Once {
        /// When.
        #[serde(flatten)]
        slot: Slot,
    },
}

/// Times in which an owner wants nothing to happen, whatever his windows say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnerFreeze {
    /// Whose.
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: Scope,
    /// When nothing happens.
    pub closed: Closed,
}

/// When nothing happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "closed", rename_all = "snake_case")]
pub enum Closed {
    /// On these days.
    Days {
        /// Which, and what they are called.
        #[serde(flatten)]
        days: Exclusion,
    },
    /// While anything stands in a calendar.
    Calendar {
        /// What it is called, for people.
        name: String,
        /// All of it, merged.
        times: Slots,
    },
}

impl OwnerFreeze {
    /// What it is called, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.closed {
            Closed::Days { days } => &days.name,
            Closed::Calendar { name, .. } => name,
        }
    }

    /// When nothing happens.
    #[must_use]
    pub fn times(&self) -> Slots {
        match &self.closed {
            Closed::Days { days } => days.slot().into(),
            Closed::Calendar { times, .. } => times.clone(),
        }
    }
}

/// No more than so many at once. Reboot migrations only: a live one takes nothing from its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerLimit {
    /// Whose.
    pub owner: OwnerId,
    /// Among which of his servers. One server alone is never moved twice at once, so that scope is refused where a limit is set.
    pub scope: Scope,
    /// At most so many at once; never 0.
    pub max_simultaneous: u32,
}

/// What a server is looked at for after it was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerCheck {
    /// Whose.
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: Scope,
    /// What is looked at.
    pub check: Check,
}

/// What all owners have set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnersRules {
    windows: BTreeMap<OwnerId, Vec<OwnerWindow>>,
    freezes: BTreeMap<OwnerId, Vec<(OwnerFreeze, Slots)>>,
    limits: BTreeMap<OwnerId, Vec<OwnerLimit>>,
    checks: BTreeMap<OwnerId, Vec<OwnerCheck>>,
}

/// Which server of whom is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The account, if one is known.
    pub owner: Option<&'a OwnerId>,
    /// The server.
    pub server: ServerId,
    /// Its labels, if it is seen.
    pub labels: Option<&'a Labels>,
}

impl<'a> Whose<'a> {
    /// A server as it is seen.
    #[must_use]
    pub fn server(server: &'a Server) -> Self {
        Self {
            owner: server.facts.owner.as_ref(),
            server: server.facts.id,
            labels: Some(&server.facts.labels),
        }
    }
}

/// A freeze that holds for a server.
#[derive(Debug, Clone, Copy)]
pub struct Frozen<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Who has set it, and for what.
    pub from: Nearness,
    /// When it holds, of all of it the part that was asked about first.
    pub slot: Slot,
}

fn by_owner<T>(all: impl IntoIterator<Item = T>, owner: impl Fn(&T) -> OwnerId) -> BTreeMap<OwnerId, Vec<T>> {
    let mut map: BTreeMap<OwnerId, Vec<T>> = BTreeMap::new();
    for one in all {
        map.entry(owner(&one)).or_default().push(one);
    }
    map
}

impl OwnersRules {
    /// All that is set, by owner: a decision about 10,000 servers must not go through all of it 10,000 times.
    #[must_use]
    pub fn new(
        windows: impl IntoIterator<Item = OwnerWindow>,
        freezes: impl IntoIterator<Item = OwnerFreeze>,
        limits: impl IntoIterator<Item = OwnerLimit>,
    ) -> Self {
        let freezes = freezes.into_iter().map(|freeze| {
            let times = freeze.times();
            (freeze, times)
        });
        Self {
            windows: by_owner(windows, |window| window.owner.clone()),
            freezes: by_owner(freezes, |(freeze, _)| freeze.owner.clone()),
            limits: by_owner(limits, |limit| limit.owner.clone()),
            checks: BTreeMap::new(),
        }
    }

    /// The same, with what owners want to be looked at.
    #[must_use]
    pub fn with_checks(self, checks: impl IntoIterator<Item = OwnerCheck>) -> Self {
        Self { checks: by_owner(checks, |check| check.owner.clone()), ..self }
    }

    /// The windows that hold for a server, and how near they are; none when policy's do.
    #[must_use]
    pub fn windows_for(&self, whose: &Whose<'_>) -> (Vec<&OwnerWindow>, Nearness) {
        let owned = whose.owner.and_then(|owner| self.windows.get(owner)).map_or(&[][..], Vec::as_slice);
        nearest(owned, |window| window.scope.nearness(whose))
    }

    /// The open time in a range, less every freeze, and by whose windows.
    #[must_use]
    pub fn open_for(&self, whose: &Whose<'_>, policy: &Policy, range: Slot) -> (Vec<Slot>, Nearness) {
        let (open, from) = self.windows_in(whose, policy, range);
        let open: Slots = open.into_iter().collect();
        let mut left = open.subtract(&self.closed_for(whose, policy)).into_vec();
        // What was over before the range begins is no part of it, though its opening reached into it.
        left.retain(|slot| slot.overlaps(range));
        (left, from)
    }

    /// The open time in a range as the windows have it, freezes left out of account.
    #[must_use]
    pub fn windows_in(&self, whose: &Whose<'_>, policy: &Policy, range: Slot) -> (Vec<Slot>, Nearness) {
        let (windows, from) = self.windows_for(whose);
        if from == Nearness::Policy {
            return (open_slots(&policy.windows.default, &[], &[], range), from);
        }
        let mut recurring: Vec<Recurrence> = Vec::new();
        let mut once: Vec<Slot> = Vec::new();
        for window in windows {
            match &window.opens {
                Opens::Recurring { recurrence } => recurring.push(recurrence.clone()),
                Opens::Once { slot } => once.push(*slot),
            }
        }
        (open_slots(&recurring, &once, &[], range), from)
    }

    fn freezes_for(&self, whose: &Whose<'_>) -> impl Iterator<Item = (&OwnerFreeze, &Slots, Nearness)> {
        let owned = whose.owner.and_then(|owner| self.freezes.get(owner)).map_or(&[][..], Vec::as_slice);
        owned.iter().filter_map(move |(freeze, times)| Some((freeze, times, freeze.scope.nearness(whose)?)))
    }

    fn closed_for(&self, whose: &Whose<'_>, policy: &Policy) -> Slots {
        let own = self.freezes_for(whose).flat_map(|(_, times, _)| times.as_slice()).copied();
        own.chain(policy.windows.exclusions.iter().map(Exclusion::slot)).collect()
    }

    /// Every stretch in a range in which nothing may happen, by the freeze that says so: policy's days first, then the owner's.
    #[must_use]
    pub fn freezes_in<'a>(&'a self, whose: &Whose<'_>, policy: &'a Policy, range: Slot) -> Vec<Frozen<'a>> {
        let policys = policy.windows.exclusions.iter().map(|days| Frozen {
            name: &days.name,
            from: Nearness::Policy,
            slot: days.slot(),
        });
        let own = self.freezes_for(whose).flat_map(|(freeze, times, from)| {
            times.as_slice().iter().map(move |slot| Frozen { name: freeze.name(), from, slot: *slot })
        });
        policys.chain(own).filter(|frozen| frozen.slot.overlaps(range)).collect()
    }

    /// Which freezes touch a stretch of time, policy's days first, then the owner's.
    #[must_use]
    pub fn frozen<'a>(&'a self, whose: &Whose<'_>, policy: &'a Policy, slot: Slot) -> Vec<Frozen<'a>> {
        let policys = policy.windows.exclusions.iter().filter_map(|days| {
            let closed = days.slot();
            closed.overlaps(slot).then_some(Frozen { name: &days.name, from: Nearness::Policy, slot: closed })
        });
        let own = self.freezes_for(whose).filter_map(|(freeze, times, from)| {
            let touching = times.touching(slot)?;
            Some(Frozen { name: freeze.name(), from, slot: touching })
        });
        policys.chain(own).collect()
    }

    /// The limits that hold for a server: the nearest. Of several labels that it has all hold.
    #[must_use]
    pub fn limits_for(&self, whose: &Whose<'_>) -> Vec<&OwnerLimit> {
        let owned = whose.owner.and_then(|owner| self.limits.get(owner)).map_or(&[][..], Vec::as_slice);
        nearest(owned, |limit| limit.scope.nearness(whose)).0
    }

    /// What a server is looked at for, and by whom it is set: the nearest, or policy's where its owner has set nothing.
    #[must_use]
    pub fn checks_for<'a>(&'a self, whose: &Whose<'_>, policy: &'a Policy) -> (Vec<&'a Check>, Nearness) {
        let owned = whose.owner.and_then(|owner| self.checks.get(owner)).map_or(&[][..], Vec::as_slice);
        let (found, from) = nearest(owned, |check| check.scope.nearness(whose));
        match from {
            Nearness::Policy => (policy.validation.checks.iter().collect(), from),
            Nearness::Server | Nearness::Label | Nearness::Account => {
                (found.into_iter().map(|owned| &owned.check).collect(), from)
            }
        }
    }
}

fn nearest<T>(owned: &[T], nearness: impl Fn(&T) -> Option<Nearness>) -> (Vec<&T>, Nearness) {
    Nearness::OF_OWNERS
        .into_iter()
        .map(|near| (owned.iter().filter(|one| nearness(one) == Some(near)).collect::<Vec<_>>(), near))
        .find(|(found, _)| !found.is_empty())
        .unwrap_or((Vec::new(), Nearness::Policy))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::*;
    use crate::samples::owner_id;
    use crate::time::{Instant, Span};

    fn at(text: &str) -> Instant {
        DateTime::parse_from_rfc3339(text).expect("a time in the test").to_utc()
    }

    fn window(scope: Scope, cron: &str) -> OwnerWindow {
        let recurrence = Recurrence::new(cron, Span::hours(2), chrono_tz::UTC).expect("a window");
        OwnerWindow { owner: owner_id("acme"), scope, opens: Opens::Recurring { recurrence } }
    }

    fn freeze(scope: Scope, from: (i32, u32, u32), to: (i32, u32, u32)) -> OwnerFreeze {
        let day = |(year, month, day)| NaiveDate::from_ymd_opt(year, month, day).expect("a day");
        let days =
            Exclusion { from: day(from), to: day(to), timezone: chrono_tz::UTC, name: "a sale".to_owned() };
        OwnerFreeze { owner: owner_id("acme"), scope, closed: Closed::Days { days } }
    }

    fn label(name: &str, value: &str) -> Scope {
        Scope::Label { name: name.to_owned(), value: value.to_owned() }
    }

    fn server(n: u128) -> ServerId {
        crate::samples::server_id(n)
    }

    #[test]
    fn the_nearest_windows_win_and_all_freezes_hold() {
        let rules = OwnersRules::new(
            [
                window(Scope::Account, "0 1 * * *"),
                window(label("role", "db"), "0 3 * * *"),
                window(Scope::Server { server: server(1) }, "0 5 * * *"),
            ],
            [
                freeze(Scope::Account, (2026, 1, 6), (2026, 1, 6)),
                freeze(Scope::Server { server: server(1) }, (2026, 1, 7), (2026, 1, 7)),
            ],
            [],
        );
        let owner = owner_id("acme");
        let db = Labels::from([("role".to_owned(), "db".to_owned())]);
        let none = Labels::new();
        let policy = Policy::clone(crate::policy::PolicySet::default().general());
        let range = Slot { start: at("2026-01-05T00:00:00Z"), end: at("2026-01-09T00:00:00Z") };
        let opens = |server: ServerId, labels| {
            let whose = Whose { owner: Some(&owner), server, labels: Some(labels) };
            let (open, from) = rules.open_for(&whose, &policy, range);
            let starts: Vec<String> =
                open.iter().map(|slot| slot.start.format("%d %H").to_string()).collect();
            (from, starts)
        };
        assert_eq!(opens(server(1), &db), (Nearness::Server, vec!["05 05".to_owned(), "08 05".to_owned()]));
        let labelled = vec!["05 03".to_owned(), "07 03".to_owned(), "08 03".to_owned()];
        assert_eq!(opens(server(2), &db), (Nearness::Label, labelled));
        let accounts = vec!["05 01".to_owned(), "07 01".to_owned(), "08 01".to_owned()];
        assert_eq!(opens(server(2), &none), (Nearness::Account, accounts));
        let others = owner_id("globex");
        let whose = Whose { owner: Some(&others), server: server(3), labels: Some(&db) };
        assert_eq!(rules.open_for(&whose, &policy, range).1, Nearness::Policy, "others have set nothing");
        assert!(rules.frozen(&whose, &policy, range).is_empty());
    }

    #[test]
    fn the_nearest_limit_holds_and_of_several_labels_all_do() {
        let limit = |scope, max_simultaneous| OwnerLimit { owner: owner_id("acme"), scope, max_simultaneous };
        let rules = OwnersRules::new(
            [],
            [],
            [limit(Scope::Account, 1), limit(label("role", "db"), 2), limit(label("site", "a"), 3)],
        );
        let owner = owner_id("acme");
        let most = |labels: &[(&str, &str)]| {
            let labels: Labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let whose = Whose { owner: Some(&owner), server: server(1), labels: Some(&labels) };
            rules.limits_for(&whose).iter().map(|limit| limit.max_simultaneous).collect::<Vec<_>>()
        };
        assert_eq!(most(&[]), [1]);
        assert_eq!(most(&[("role", "db")]), [2]);
        assert_eq!(most(&[("role", "db"), ("site", "a")]), [2, 3]);
    }

    #[test]
    fn the_nearest_checks_hold_and_policys_where_none_is_set() {
        let check = |name: &str| {
            let text = format!(r#"{{"name":"{name}","check":"tcp","port":22}}"#);
            serde_json::from_str::<Check>(&text).expect("a check")
        };
        let owned = |scope, name| OwnerCheck { owner: owner_id("acme"), scope, check: check(name) };
        let rules = OwnersRules::default().with_checks([
            owned(Scope::Account, "account"),
            owned(label("role", "db"), "label"),
            owned(Scope::Server { server: server(1) }, "one"),
            owned(Scope::Server { server: server(1) }, "two"),
        ]);
        let mut policy = Policy::clone(crate::policy::PolicySet::default().general());
        policy.validation.checks = vec![check("policy")];
        let db = Labels::from([("role".to_owned(), "db".to_owned())]);
        let names = |owner: &str, server: ServerId, labels: &Labels| {
            let owner = owner_id(owner);
            let whose = Whose { owner: Some(&owner), server, labels: Some(labels) };
            let (checks, from) = rules.checks_for(&whose, &policy);
            let names: Vec<String> = checks.iter().map(|check| check.name.to_string()).collect();
            (names.join(" "), from)
        };
        assert_eq!(names("acme", server(1), &db), ("one two".to_owned(), Nearness::Server));
        assert_eq!(names("acme", server(2), &db), ("label".to_owned(), Nearness::Label));
        assert_eq!(names("acme", server(2), &Labels::new()), ("account".to_owned(), Nearness::Account));
        assert_eq!(names("globex", server(3), &db), ("policy".to_owned(), Nearness::Policy));
    }
}
