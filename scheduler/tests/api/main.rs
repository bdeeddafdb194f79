//! The API over a real store: what it answers, what it refuses, and what it keeps from whom.

mod access;
mod agents;
mod answers;
mod bad_input;
mod blueprints;
mod command_line;
mod conventions;
mod fixture;
mod fleet;
mod guests;
mod imports;
mod isolation;
mod owners;
mod pages;
mod portal;
mod receiver;
mod replicas;
mod rolling;
mod rt;
mod scheduled;
mod self_service;
mod simulated;
mod stories;
mod test_launches;
mod threads;
mod webhooks;
