//! Replicas of local disks, between two agents: the destination's holds them, the source's calls it.
//!
//! See `docs/decisions/018-replicas.md`. Who is who is known by certificates ([`identity`]); what is said is in [`wire`]; the source's
//! side is [`peer`].

pub mod identity;
mod link;
pub mod peer;
pub mod wire;
