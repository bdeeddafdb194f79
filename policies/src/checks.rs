//! What is looked at on a server after it has been moved, and what comes of it.
//!
//! Some things are looked at on every server: that it runs, that its guest shows life, that its addresses, interfaces and disks are the ones from
//! before. To these come the owner's own checks: a TCP port that must be open, an HTTP path that must answer. Each is looked at before the move as
//! well, as far as there is time and an agent that can: what failed before is no fault of the move and does not count against it.

mod written;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::OperationId;
use crate::time::{Instant, Span};

pub use written::{BadCheck, CheckName, LONGEST_WITHIN, WrittenCheck, is_routable};

/// The most checks that one account may have, and that one server is looked at by: each is a connection that an agent opens.
pub const MOST_CHECKS: usize = 50;

/// How long what was seen before a move stands for "before".
pub const BASELINE_HOLDS: Span = Span::minutes(10);

/// One thing that an owner (or, in the policy, an operator) wants to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenCheck", into = "WrittenCheck")]
pub struct Check {
    /// What it is called; unique among the checks of one scope.
    pub name: CheckName,
    /// What must answer.
    pub what: What,
    /// At which address.
    pub address: Address,
    /// What its failure means.
    pub weight: Weight,
    /// How long it may take after the guest was seen alive; nothing for what policy says.
    pub within: Option<Span>,
}

/// What must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A TCP port takes connections.
    Tcp {
        /// Which, never 0.
        port: u16,
    },
    /// A web server answers a GET.
    Http {
        /// At which port, never 0.
        port: u16,
        /// For which path; begins with `/`.
        path: String,
        /// Whether TLS is spoken.
        tls: Tls,
        /// By which status; nothing for any below 400.
        expect: Option<u16>,
    },
}

impl What {
    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port } | Self::Http { port, .. } => *port,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { port } => write!(f, "TCP port {port}"),
            Self::Http { port, path, tls, expect } => {
                let scheme = match tls {
                    Tls::Spoken => "HTTPS",
                    Tls::None => "HTTP",
                };
                write!(f, "{scheme} {path} at port {port}")?;
                expect.map_or(Ok(()), |status| write!(f, ", status {status}"))
            }
        }
    }
}

/// Whether TLS is spoken. Its certificate is not judged: it names a host name, and what is connected to is an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// It is.
    Spoken,
    /// It is not.
    #[default]
    None,
}

/// At which address something is looked for. Only at the guest's own, whatever is asked for: see the agent's `reach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Address {
    /// At whichever of its own answers.
    #[default]
    OfGuest,
    /// At this one of its own.
    Given(IpAddr),
}

/// What the failure of a check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The move is not well.
    #[default]
    MustPass,
    /// It is told, and that is all.
    Advisory,
}

/// What is done when something that must pass has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailed {
    /// The migration waits until its owner or an operator confirms or reverts it.
    Hold,
    /// The server goes back to where it was, at once. Where it can't, the migration waits as with `hold`.
    Revert,
    /// It is told, and the migration is completed.
    Tell,
}

impl OnFailed {
    /// The stable word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Revert => "revert",
            Self::Tell => "tell",
        }
    }
}

/// One thing that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum Item {
    /// That its processors run, or that it is off as it was.
    Power,
    /// That its guest shows life: its agent answers, or its console prints.
    Life,
    /// That its addresses are those from before.
    Addresses,
    /// That it has as many network interfaces as before, with the same hardware addresses.
    Interfaces,
    /// That it has as many disks as before.
    Disks,
    /// A check that its owner has set.
    Own {
        /// What it is called.
        check: CheckName,
    },
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power => f.pad("power state"),
            Self::Life => f.pad("sign of life"),
            Self::Addresses => f.pad("addresses"),
            Self::Interfaces => f.pad("network interfaces"),
            Self::Disks => f.pad("disks"),
            Self::Own { check } => f.pad(check.as_str()),
        }
    }
}

/// What came of looking at one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It is not, and it was not before the move either: that does not count against the move.
    FailedBefore,
    /// It could not be looked at.
    NotLooked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::FailedBefore => "failed before as well",
            Self::NotLooked => "not looked at",
        })
    }
}

/// One thing that was looked at, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    #[serde(flatten)]
    pub item: Item,
    /// What came of it.
    pub verdict: Verdict,
    /// What a failure means.
    pub weight: Weight,
    /// What was seen, for people.
    pub seen: String,
    /// How long it took until it was as it should be, or was given up; nothing for what is read at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Span>,
}

impl Finding {
    /// What was read at once, and must be so.
    #[must_use]
    pub fn read(item: Item, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { item, verdict, weight: Weight::MustPass, seen: seen.into(), took: None }
    }

    /// Whether the move is not well by it.
    #[must_use]
    pub fn counts_against(&self) -> bool {
        match (self.verdict, self.weight) {
            (Verdict::Failed, Weight::MustPass) => true,
            (Verdict::Failed, Weight::Advisory)
            | (Verdict::Passed | Verdict::FailedBefore | Verdict::NotLooked, _) => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.item, self.verdict)?;
        if self.seen.is_empty() { Ok(()) } else { write!(f, " ({})", self.seen) }
    }
}

/// What a server is made of, as far as its network and disks go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hardware {
    /// The hardware addresses of its interfaces, in small letters.
    pub interfaces: BTreeSet<String>,
    /// Its addresses, as its guest agent, the host's leases or the host's neighbour table tell; nothing when none of them tells anything. Those that
    /// hold on one link only are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<BTreeSet<IpAddr>>,
    /// How many disks it has; drives for media that come and go are not counted.
    pub disks: u32,
}

/// What was seen of a server before its move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When.
    pub at: Instant,
    /// What it was made of.
    pub hardware: Hardware,
    /// What came of its own checks.
    pub findings: Vec<Finding>,
}

impl Baseline {
    fn of_own(&self, check: &CheckName) -> Option<&Finding> {
        self.findings.iter().find(|finding| matches!(&finding.item, Item::Own { check: own } if own == check))
    }
}

/// What a guest is looked at for, besides signs of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// What its owner wants to be looked at.
    pub checks: Vec<Check>,
    /// How long a check may take that doesn't say itself.
    pub within: Span,
    /// What a missing address means.
    pub addresses: Weight,
    /// On which side of its move it is looked at.
    pub side: Side,
}

/// On which side of a move a guest is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "side", rename_all = "snake_case", deny_unknown_fields)]
pub enum Side {
    /// Before. It has been running, so nothing on it is still coming up: what a check answers first is what there is, and the move waits no longer.
    Before,
    /// After. Services start later than the guest agent does: what is not as it should be is asked for again until its time is over.
    After {
        /// What was seen before; nothing where nobody has looked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Baseline>,
    },
}

impl Side {
    /// What is compared with.
    #[must_use]
    pub fn baseline(&self) -> Option<&Baseline> {
        match self {
            Self::Before => None,
            Self::After { baseline } => baseline.as_ref(),
        }
    }

    /// Whether an answer to a check stands, or is asked for again while there is time. What had failed before the move is not waited for: it does not
    /// count against the move, and may well never come.
    #[must_use]
    pub fn settles(&self, check: &Check, answered: &Answered) -> bool {
        let failed_before = |baseline: &Baseline| {
            let before = baseline.of_own(&check.name).map(|finding| finding.verdict);
            matches!(before, Some(Verdict::Failed | Verdict::FailedBefore))
        };
        match self {
            Self::Before => true,
            Self::After { baseline } => {
                check.is_passed_by(answered) || baseline.as_ref().is_some_and(failed_before)
            }
        }
    }
}

/// What is known of how a server is, before and after its move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validation {
    /// Before.
    #[serde(default, skip_serializing_if = "Before::is_not_taken")]
    pub before: Before,
    /// After: what was found so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How long the guest had been seen alive when everything was looked at: no part of the downtime.
    #[serde(default)]
    pub took: Span,
}

impl Validation {
    /// Whether there is nothing to be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The look before a move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "look", rename_all = "snake_case")]
pub enum Before {
    /// It was not looked at.
    #[default]
    NotTaken,
    /// An agent looks at it.
    Taking {
        /// The order to the source's agent.
        operation: OperationId,
        /// Since when. Of one that was begun before this was kept, long ago.
        #[serde(default)]
        since: Instant,
    },
    /// It was looked at.
    Taken {
        /// When.
        at: Instant,
        /// What was seen; nothing when the agent could not look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Baseline>,
    },
}

impl Before {
    fn is_not_taken(&self) -> bool {
        *self == Self::NotTaken
    }

    /// What was seen, if it was seen.
    #[must_use]
    pub fn baseline(&self) -> Option<&Baseline> {
        match self {
            Self::Taken { baseline, .. } => baseline.as_ref(),
            Self::NotTaken | Self::Taking { .. } => None,
        }
    }
}

/// What came of the look at a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// From the first sign of life until everything was looked at.
    pub took: Span,
    /// What it is made of.
    pub hardware: Hardware,
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
}

/// How an owner's check answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The port takes connections.
    Connected,
    /// The web server answered with this status.
    Status(u16),
    /// Nothing answered as it should.
    No {
        /// What happened instead.
        text: String,
    },
    /// There is no address at which it may be looked for.
    Nowhere {
        /// Why not.
        text: String,
    },
}

impl Check {
    /// Whether an answer is the one that is wanted: then it need not be asked for again.
    #[must_use]
    pub fn is_passed_by(&self, answered: &Answered) -> bool {
        match (&self.what, answered) {
            (What::Tcp { .. }, Answered::Connected) => true,
            (What::Http { expect: Some(expect), .. }, Answered::Status(status)) => status == expect,
            (What::Http { expect: None, .. }, Answered::Status(status)) => (100..400).contains(status),
            (What::Tcp { .. }, Answered::Status(_))
            | (What::Http { .. }, Answered::Connected)
            | (_, Answered::No { .. } | Answered::Nowhere { .. }) => false,
        }
    }

    /// What an answer comes to, by what the same check came to before the move.
    #[must_use]
    pub fn finding(&self, answered: &Answered, took: Span, before: Option<&Baseline>) -> Finding {
        let before = before.and_then(|baseline| baseline.of_own(&self.name)).map(|finding| finding.verdict);
        let verdict = match (answered, before) {
            (answered, _) if self.is_passed_by(answered) => Verdict::Passed,
            (Answered::Nowhere { .. }, Some(Verdict::NotLooked) | None) => Verdict::NotLooked,
            (_, Some(Verdict::Failed)) => Verdict::FailedBefore,
            // Where it could be looked at before and can't be now, its address is gone: that is a failure.
            (_, Some(Verdict::Passed | Verdict::FailedBefore | Verdict::NotLooked) | None) => Verdict::Failed,
        };
        let seen = match answered {
            Answered::Connected => format!("{} is open", self.what),
            Answered::Status(status) => match &self.what {
                What::Http { expect: Some(expect), .. } if status != expect => {
                    format!("status {status} where {expect} is expected")
                }
                What::Http { .. } | What::Tcp { .. } => format!("status {status}"),
            },
            Answered::No { text } | Answered::Nowhere { text } => format!("{}: {text}", self.what),
        };
        let item = Item::Own { check: self.name.clone() };
        Finding { item, verdict, weight: self.weight, seen, took: Some(took) }
    }
}

/// What there is to say of network and disks, by what they were before. `addresses` says what a changed address means: some guests get another one at
/// every boot.
#[must_use]
pub fn compare(before: Option<&Hardware>, now: &Hardware, addresses: Weight) -> [Finding; 3] {
    [
        compare_addresses(before, now, addresses),
        match before {
            Some(before) if before.interfaces == now.interfaces => Finding::read(
                Item::Interfaces,
                Verdict::Passed,
                format!("{} as before", now.interfaces.len()),
            ),
            Some(before) => {
                let (was, is) = (listed(&before.interfaces), listed(&now.interfaces));
                Finding::read(Item::Interfaces, Verdict::Failed, format!("{is} where there was {was}"))
            }
            None => not_compared(Item::Interfaces, now.interfaces.len().to_string()),
        },
        match before {
            Some(before) if before.disks == now.disks => {
                Finding::read(Item::Disks, Verdict::Passed, format!("{} as before", now.disks))
            }
            Some(before) => {
                let seen = format!("{} where there were {}", now.disks, before.disks);
                Finding::read(Item::Disks, Verdict::Failed, seen)
            }
            None => not_compared(Item::Disks, now.disks.to_string()),
        },
    ]
}

fn compare_addresses(before: Option<&Hardware>, now: &Hardware, weight: Weight) -> Finding {
    let item = Item::Addresses;
    let finding = match (before.map(|before| before.addresses.as_ref()), &now.addresses) {
        (_, None) => Finding::read(item, Verdict::NotLooked, "neither its guest nor its host tells any"),
        (None, Some(now)) => not_compared(item, listed(now)),
        (Some(None), Some(now)) => Finding::read(
            item,
            Verdict::NotLooked,
            format!("{}; none was known before the move", listed(now)),
        ),
        (Some(Some(before)), Some(now)) if before.is_subset(now) => {
            Finding::read(item, Verdict::Passed, format!("{}, as before", listed(now)))
        }
        (Some(Some(before)), Some(now)) => {
            let lost: BTreeSet<_> = before.difference(now).collect();
            let seen = format!("{}; missing: {}", listed(now), listed(&lost));
            Finding::read(item, Verdict::Failed, seen)
        }
    };
    Finding { weight, ..finding }
}

fn not_compared(item: Item, seen: String) -> Finding {
    Finding::read(item, Verdict::NotLooked, format!("{seen}; it was not looked at before the move"))
}

fn listed<T: fmt::Display>(all: &BTreeSet<T>) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What counts against a move, in one line for people; nothing when all is well.
#[must_use]
pub fn what_failed(findings: &[Finding]) -> Option<String> {
    let failed: Vec<String> =
        findings.iter().filter(|finding| finding.counts_against()).map(ToString::to_string).collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

#[cfg(test)]
mod tests;
