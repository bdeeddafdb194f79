//! The pages of operators. Those of tickets are read by owners too, each of whom sees his own; so is that of a server.

pub mod agents;
pub mod ask;
pub mod audit;
pub mod fleet;
pub mod hosts;
pub mod maintenances;
pub mod migrations;
pub mod policies;
pub mod search;
pub mod servers;
pub mod tickets;
pub mod windows;
