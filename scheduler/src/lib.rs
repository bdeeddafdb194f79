//! The scheduler: what it knows, what it does, and how it is asked.

pub mod agents;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod deliver;
pub mod execute;
pub mod freezes;
pub mod guests;
pub mod http;
pub mod incoming;
pub mod lease;
pub mod mails;
pub mod orders;
pub mod outbound;
pub mod policy_files;
pub mod replicas;
pub mod rt;
pub mod serve;
pub mod simulate;
pub mod situation;
pub mod store;
pub mod sync;
pub mod upcoming;
pub mod web;
pub mod webhooks;
pub mod written;

/// An error with all its causes, for a log line: each says only its own part.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
