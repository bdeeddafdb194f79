//! The vocabulary of Drover, and every decision that it takes.
//!
//! Nothing in this crate does I/O, reads a clock or draws a random number: whoever asks for a decision hands over all that it depends
//! on, and gets a value that can be printed, compared, stored and refused.

pub mod appointment;
pub mod attempt;
pub mod blueprint;
pub mod bulletins;
pub mod by_hand;
pub mod channels;
pub mod check;
pub mod checks;
pub mod conduct;
pub mod drills;
pub mod eligibility;
pub mod estimate;
pub mod events;
pub mod fleet;
pub mod hooks;
pub mod host;
pub mod ids;
pub mod import;
pub mod ladder;
pub mod language;
pub mod mac;
pub mod maintenance;
pub mod migration;
pub mod notices;
pub mod owners;
pub mod packing;
pub mod placement;
pub mod plan;
pub mod planner;
pub mod policy;
pub mod replica;
pub mod samples;
pub mod scramble;
pub mod self_service;
pub mod time;
pub mod upcoming;
pub mod windows;
