//! The conductor, told as stories: what is decided is taken in, agents answer, time passes.

mod ahead;
mod blueprints;
mod bulletins;
mod checks;
mod data_loss;
mod drills;
mod imports;
mod links;
mod live_disks;
mod many;
mod owners;
mod places;
mod rebalance;
mod replicas;
mod rolling;
mod self_service;
mod stay_empty;
mod stories;
mod story;
mod terms;
mod test_launches;
