//! The agent on simulated hypervisors.

mod armed;
mod checks;
mod common;
mod crash;
mod goes_back;
mod hooks;
mod imports;
mod live_disks;
mod looking;
mod lost_backup;
mod migrations;
mod shapes;
mod test_launch;
mod threads;
mod warm;
mod warm_crash;
