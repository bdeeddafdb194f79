//! The agent that runs on every hypervisor: finds what runs there, and moves servers off it.
//!
//! What it decides is pure ([`operation`], [`verdict`]); what it does is done by small steps over explicit states
//! ([`driver`], [`live`], [`cutover`], [`warm`], [`verify`]) that are written into the [`ledger`] before they are acted on; what it does it to
//! is behind a port ([`hypervisor`]) with two implementations, libvirt and a simulated fleet. What guests may read of their own
//! servers is served by [`guest_events`]. What a maintenance has done on the host itself are [`hooks`]. Servers of other kinds of hypervisors
//! are brought here by [`importing`], with [`convert`].

pub mod agent;
pub mod capabilities;
pub mod certificates;
pub mod clock;
pub mod config;
pub mod convert;
pub mod cutover;
pub mod domain_edit;
pub mod domain_xml;
pub mod driver;
pub mod durable;
pub mod guest_events;
pub mod health;
pub mod hook;
pub mod hooks;
pub mod hypervisor;
pub mod importing;
pub mod ledger;
pub mod link;
pub mod live;
pub mod metadata;
pub mod operation;
pub mod phases;
mod processes;
pub mod replica;
pub mod retained;
pub mod runtime;
pub mod test_launch;
pub mod verdict;
pub mod verify;
pub mod warm;
