//! Who plays: the demonstration's guests, and what of them keeps them from simply going live.

use anyhow::{Context as _, Result};

use crate::installation::Installation;
use crate::lab::{GuestSpec, Host, LOCAL_STORAGE};

/// The policy of the demonstration: what takes days in earnest takes seconds.
pub const POLICY: &str = include_str!("../../../policies/files/demo.toml");

/// The host that is drained.
pub const DRAINED: &str = "h1";

/// An owner, and how he is reached.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The account.
    pub name: &'static str,
    /// For the salutation.
    pub person: &'static str,
    /// Where mails go.
    pub mail: &'static str,
    /// In which times are told.
    pub zone: &'static str,
}

/// The owners.
pub const OWNERS: [Owner; 3] = [
    Owner { name: "acme", person: "Ada of Acme", mail: "ada@acme.example", zone: "Europe/Berlin" },
    Owner { name: "globex", person: "Glen of Globex", mail: "glen@globex.example", zone: "America/New_York" },
    Owner {
        name: "initech",
        person: "Indira of Initech",
        mail: "indira@initech.example",
        zone: "Asia/Kolkata",
    },
];

/// What is special about a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing: it goes live.
    Plain,
    /// It shares a group of which no two may be on one host, so it can only go where the other is not.
    Apart,
    /// Its owner does not want it to be migrated live.
    OwnerForbids,
    /// A copy of its disk is being made, and libvirt refuses to migrate a domain with an active block job: the copy is
    /// QEMU's, and would be lost with it.
    BlockJob,
    /// It changes its memory faster than the policy's bandwidth can carry.
    Busy,
}

impl Part {
    /// The reason, by the API's word, for which it is rebooted; none if it goes live.
    #[must_use]
    pub fn why_not_live(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Apart => None,
            Self::OwnerForbids => Some("owner_forbids"),
            Self::BlockJob => Some("block_job"),
            Self::Busy => Some("live_failed"),
        }
    }
}

/// A guest of the demonstration.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The guest's name.
    pub name: &'static str,
    /// Where it is at first.
    pub host: &'static str,
    /// Whose it is.
    pub owner: &'static str,
    /// What is special about it.
    pub part: Part,
}

const fn role(name: &'static str, host: &'static str, owner: &'static str, part: Part) -> Role {
    Role { name, host, owner, part }
}

/// All guests.
pub const CAST: [Role; 9] = [
    role("web-1", "h1", "acme", Part::Plain),
    role("web-2", "h1", "acme", Part::Plain),
    role("mail", "h1", "globex", Part::Plain),
    role("db-a", "h1", "globex", Part::Apart),
    role("db-b", "h2", "globex", Part::Apart),
    role("ledger", "h1", "acme", Part::OwnerForbids),
    role("files", "h1", "initech", Part::BlockJob),
    role("cache", "h1", "initech", Part::Busy),
    role("wiki", "h3", "initech", Part::Plain),
];

impl Role {
    /// What the lab is asked for.
    #[must_use]
    pub fn spec(&self) -> GuestSpec {
        let mut spec = GuestSpec::new(self.name, self.host);
        if self.part == Part::Busy {
            spec = spec.dirtying(64);
        }
        spec.metadata = self.metadata();
        spec
    }

    fn metadata(&self) -> String {
        let more = match self.part {
            Part::Plain | Part::BlockJob | Part::Busy => "",
            Part::Apart => "<drover:anti-affinity>db</drover:anti-affinity>",
            Part::OwnerForbids => "<drover:live-migration>forbidden</drover:live-migration>",
        };
        format!(
            "<drover:server xmlns:drover='https://drover.dev/xmlns/server/1'><drover:owner>{}</drover:owner>{more}</drover:server>",
            self.owner
        )
    }
}

/// Starts a copy of a guest's disk that stays: limited to so few bytes a second that it outlasts the demonstration.
///
/// # Errors
/// If libvirt refuses.
pub fn start_block_job(host: &Host, guest: &str) -> Result<()> {
    let copy = format!("{LOCAL_STORAGE}/{guest}-copy.raw");
    host.virsh([
        "blockcopy",
        guest,
        "vda",
        "--dest",
        &copy,
        "--format",
        "raw",
        "--transient-job",
        "--bandwidth",
        "4096",
        "--bytes",
    ])?
    .ok()
    .map(drop)
    .with_context(|| format!("no copy of the disk of {guest}"))
}

/// What libvirt itself says when it is asked to migrate a guest live; nothing if it does so.
///
/// # Errors
/// If virsh cannot be started.
pub fn refusal(from: &Host, to: &Host, guest: &str) -> Result<Option<String>> {
    let words = ["migrate", "--live", "--p2p", guest, &to.libvirt_uri()];
    Ok(from.virsh(words)?.ok().err().map(|error| error.to_string()))
}

/// Tells the scheduler how the owners are reached.
///
/// # Errors
/// If it refuses.
pub fn introduce_owners(installation: &Installation) -> Result<()> {
    for owner in &OWNERS {
        let contact =
            serde_json::json!({ "name": owner.person, "mail": [owner.mail], "timezone": owner.zone });
        installation.api().put(&format!("/v1/owners/{}", owner.name), &contact)?.ok()?;
    }
    Ok(())
}
