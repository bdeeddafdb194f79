//! Messages to programs: an event as CloudEvents 1.0 has it, signed as Standard Webhooks has it, posted to an address.
//!
//! The same notice always gives the same body and the same `webhook-id`, so that a receiver can tell a repeat. What a receiver answers
//! decides alone by its status and its `Retry-After`; nothing of its body is read.

mod event;
mod post;
mod sign;

pub use event::{MEDIA_TYPE, Readers, body, bulletin_body, test_body};
pub use post::{Answered, Event, post};
pub use sign::{BadSecret, Secret, Signing};
