//! Turns notices and bulletins into messages and delivers them. Knows no database: whoever calls keeps what was delivered.
//!
//! A notice becomes words ([`render`]), the words become a mail ([`mail`]), and the mail goes to a channel ([`deliver`]). Each step
//! gives the same result for the same notice, so that a repeat after a crash can be told from a second notice.

mod bulletin;
pub mod calendar;
mod connections;
pub mod deliver;
pub mod letter;
mod links;
pub mod mail;
mod maildir;
mod problems;
pub mod render;
pub mod reply;
pub mod rt;
mod said;
pub mod samples;
mod shape;
mod smtp;
mod speech;
mod tongues;
mod trial;
pub mod webhook;
pub mod words;

pub use deliver::{Channel, Delivery, MaildirConfig, Mailer, Refused, SmtpConfig, TlsMode};
pub use letter::{Answers, Links};
pub use mail::{Letterhead, Mail, MailError, Sender};
pub use render::{Message, RenderError, Renderer, TemplateFault, TemplateProblem};
