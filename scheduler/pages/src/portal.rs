//! The pages of owners. They name no host, no other owner, and no limit of ours.

pub mod contacts;
pub mod migration;
pub mod my;
pub mod times;
pub mod tokens;
pub mod windows;
