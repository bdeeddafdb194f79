//! Replicas of local disks, between two agents: the destination's holds them, the source's calls it.
//!
//! See `docs/decisions/018-replicas.md`. Who is who is known by certificates ([`identity`]); what is said is in [`wire`]; the source's
//! side is [`peer`]; the destination's are [`serve`], which lets sources in, and [`store`], which keeps what they bring.

pub mod checksums;
pub mod config;
pub mod error;
pub mod identity;
mod link;
pub mod nbd;
pub mod peer;
mod place;
mod record;
mod rounds;
pub mod serve;
pub mod store;
pub mod tools;
pub mod wire;
