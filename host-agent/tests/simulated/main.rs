//! The agent on simulated hypervisors.

mod common;
mod crash;
mod looking;
mod migrations;
mod threads;
