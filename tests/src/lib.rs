//! Everything that crosses crates: the simulated world, the lab of real hypervisors, and the tests that use them.

pub mod bench;
pub mod browser;
pub mod demo;
pub mod installation;
pub mod lab;
pub mod picture;
pub mod scene;
pub mod warm;
pub mod world;
