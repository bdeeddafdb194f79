//! Why what is asked for is not done, and what would be possible.

use std::fmt;

use crate::appointment;
use crate::eligibility::WhyBlocked;
use crate::ids::HostName;
use crate::migration;
use crate::placement::{NoPlace, WhyNotHere};
use crate::self_service;

/// Why something that is asked for is not done, and what would be possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not so often.
    #[error(transparent)]
    TooOften(#[from] self_service::Refusal),
    /// Not at that time.
    #[error(transparent)]
    Time(#[from] appointment::Refusal),
    /// Not in its state.
    #[error(transparent)]
    State(#[from] migration::Refusal),
    /// It is not seen on any host.
    #[error("the server is not seen on any host at present")]
    NotSeen,
    /// It is to be moved already.
    #[error("DR-{number} moves it already; choose the time of that one with reschedule, or have it done now")]
    UnderWay {
        /// By which migration.
        number: u32,
    },
    /// It is not where it was moved to.
    #[error(
        "the server has been moved again since, so there is no way back; it can be moved with migrate, to whichever host suits it"
    )]
    MovedSince,
    /// No host can take it.
    #[error("no other host can take it at present: {why}")]
    NoPlace {
        /// Why none can.
        why: NoPlace,
    },
    /// The host that it left can't take it.
    #[error("{host}, where it was, can't take it: it {why}; {other}")]
    NotThere {
        /// Which host.
        host: HostName,
        /// Why not.
        why: Box<WhyNotHere>,
        /// Whether another one could.
        other: Other,
    },
    /// What it has written since can't be copied back.
    #[error(
        "what it has written to its local disks since the move can't be copied back: {why}; mend that, or accept that it is lost \
         (accept_data_loss; `drover revert --accept-data-loss`)"
    )]
    NotCopiedBack {
        /// Why not.
        why: Box<WhyBlocked>,
    },
    /// A loss was accepted where there would be none.
    #[error(
        "nothing would be lost by it, as its disks are reached from both hosts; ask without accept_data_loss"
    )]
    NothingToLose,
    /// An agent does not know how that is done.
    #[error(
        "the agent of {host} is too old to take a server back to its old disks as they were; upgrade it, or ask without accept_data_loss"
    )]
    TooOld {
        /// Whose agent.
        host: HostName,
    },
}

/// Whether a host other than the one that is wanted could take a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// One could.
    Could,
    /// None could.
    Neither,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Could => "another host could take it: ask for that with migrate",
            Self::Neither => "no other host could take it either at present; ask again later",
        })
    }
}

impl Refusal {
    /// A stable word for programs, and for those who say it in other languages; that of a time is with its figures.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooOften(limit) => limit.code(),
            Self::Time(_) => "time",
            Self::State(refusal) => refusal.code(),
            Self::NotSeen => "not_seen",
            Self::UnderWay { .. } => "under_way",
            Self::MovedSince => "moved_since",
            Self::NoPlace { .. } => "no_place",
            Self::NotThere { .. } => "not_there",
            Self::NotCopiedBack { .. } => "not_copied_back",
            Self::NothingToLose => "nothing_to_lose",
            Self::TooOld { .. } => "too_old",
        }
    }

    /// As an owner may read it: no host is named, nobody else's server, and nothing of how full they are.
    #[must_use]
    pub fn for_owner(&self) -> String {
        match self {
            Self::NoPlace { .. } => "no other host has room for it at present; ask again later".to_owned(),
            Self::NotThere { why, other, .. } => format!("{}; {other}", why_not_back(why)),
            Self::NotCopiedBack { .. } => {
                "what it has written to its disks since the move can't be copied back at present; ask again later, or accept that it is \
                 lost (accept_data_loss; `drover revert --accept-data-loss`)"
                    .to_owned()
            }
            Self::TooOld { .. } => {
                "it can't go back to its old disks as they were; ask without accept_data_loss".to_owned()
            }
            Self::TooOften(_)
            | Self::Time(_)
            | Self::State(_)
            | Self::NotSeen
            | Self::UnderWay { .. }
            | Self::NothingToLose
            | Self::MovedSince => self.to_string(),
        }
    }
}

fn why_not_back(why: &WhyNotHere) -> &'static str {
    match why {
        WhyNotHere::NotOpen { .. } | WhyNotHere::Emptied => {
            "where it was, the hardware is closed for maintenance"
        }
        WhyNotHere::Silent { .. } | WhyNotHere::Unknown | WhyNotHere::SourceUnknown => {
            "where it was, the hardware can't be reached at present"
        }
        WhyNotHere::Resource { .. }
        | WhyNotHere::Vcpus { .. }
        | WhyNotHere::Memory { .. }
        | WhyNotHere::DiskRoom { .. } => "where it was, there is no room any more",
        WhyNotHere::NameTaken { .. }
        | WhyNotHere::AntiAffinity { .. }
        | WhyNotHere::Affinity { .. }
        | WhyNotHere::Together { .. } => {
            "where it was, the servers that are there now keep it away (its name, or rules about which may be together)"
        }
        WhyNotHere::Source => "it is where it was already",
        WhyNotHere::OtherCluster { .. }
        | WhyNotHere::Arch { .. }
        | WhyNotHere::CpuModel { .. }
        | WhyNotHere::CpuPassthrough { .. }
        | WhyNotHere::MachineType { .. }
        | WhyNotHere::Storage { .. }
        | WhyNotHere::Network { .. }
        | WhyNotHere::OlderLibvirt { .. }
        | WhyNotHere::NotReplicating
        | WhyNotHere::NotCopyingLive
        | WhyNotHere::NoDirectory { .. }
        | WhyNotHere::Label { .. }
        | WhyNotHere::NotImporting { .. }
        | WhyNotHere::Excluded { .. } => "where it was, the hardware does not suit it any more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_of_no_host_and_no_neighbour() {
        let host: HostName = "h7".parse().expect("a name");
        let refusals = [
            WhyNotHere::NotOpen { standing: "draining".to_owned() },
            WhyNotHere::Memory { needs: 2, free: 1 },
            WhyNotHere::NameTaken { name: "theirs".to_owned() },
            WhyNotHere::AntiAffinity { group: "g".to_owned(), with: "theirs".to_owned() },
        ];
        for why in refusals {
            let refusal = Refusal::NotThere { host: host.clone(), why: Box::new(why), other: Other::Could };
            let said = refusal.for_owner();
            assert!(!said.contains("h7") && !said.contains("theirs"), "{said}");
            assert!(said.contains("migrate"), "it says what would be possible: {said}");
        }
    }
}
