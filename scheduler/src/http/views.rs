//! The objects of the API as they are written in JSON. The server writes them, the command line reads them.
//!
//! What owners may see is decided here, where a domain object becomes an answer: each field that names a host, another owner or
//! words meant for operators is left out for [`Eyes::Owner`].

mod blueprints;
mod checks;
mod common;
mod deliveries;
mod events;
mod freezes;
mod helpers;
mod hosts;
mod imports;
mod installation;
mod maintenance_bodies;
mod maintenances;
mod migrations;
mod owners;
mod replicas;
mod rolling;
mod sayings;
mod scheduled;
mod test_launches;
mod threads;
mod times;
mod webhooks;

pub use blueprints::*;
pub use checks::*;
pub use common::*;
pub use deliveries::*;
pub use events::*;
pub use freezes::*;
pub use helpers::*;
pub use hosts::*;
pub use imports::*;
pub use installation::*;
pub use maintenance_bodies::*;
pub use maintenances::*;
pub use migrations::*;
pub use owners::*;
pub use replicas::*;
pub use rolling::*;
pub use scheduled::*;
pub use test_launches::*;
pub use threads::*;
pub use times::*;
pub use webhooks::*;
