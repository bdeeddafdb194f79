//! The simulated world: scheduler and agents, the very same production code, in one process, on a virtual clock, over simulated
//! hypervisors, with real SQLite and mail that arrives in a real maildir.
//!
//! A folder of `tests/scenarios` is a story: `fleet.toml` says who there is ([`fleet_file`]), `script` what is done to them
//! ([`script`]), `log.expect`, `mail.expect` and, where it is there, `operators.expect` what came of it ([`scenario`]). Nothing waits and nothing sleeps: the runner ([`run`])
//! goes from one moment that somebody wants to the next, and lets everybody act at it until nobody has anything new to say. Kills,
//! cuts and jumping clocks are lines of the script ([`perform`]). What must never happen is looked for at every moment by somebody
//! who doesn't ask Drover ([`watcher`]).

pub mod clock;
pub mod console;
pub mod control;
pub mod fleet_file;
pub mod guest;
pub mod mail;
pub mod node;
pub mod perform;
pub mod run;
pub mod scenario;
pub mod script;
pub mod story;
pub mod watcher;
