//! Answers by mail: from the bytes of a mail to what somebody meant.
//!
//! ```text
//! raw mail ──▶ incoming: a person's words │ a bounce │ a machine's answer        (never answered but the first)
//!                 │
//!                 ├── signature: which ticket, proved by an address or a Message-ID that only we can have made
//!                 ├── fresh: what he wrote himself, without what he quoted
//!                 └── command: a command │ something that may be one │ words for people
//!                        └── when: a day and a time of day in his zone
//! ```
//!
//! All of this is pure: the present and the keys are given. Nothing is guessed; what can have two meanings is a question back.

use std::fmt::Write as _;

mod command;
mod fresh;
mod incoming;
mod signature;
mod when;

pub use command::{Command, Understood, understand};
pub use fresh::fresh;
pub use incoming::{Bounce, Bounced, Incoming, Kind, Unreadable};
pub use lettre::Address;
pub use signature::{BadKeys, Claim, Keys, Return};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
