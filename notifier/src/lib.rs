//! Turns notices into messages and delivers them. Knows no database: whoever calls keeps what was delivered.
//!
//! A notice becomes words ([`render`]), the words become a mail ([`mail`]), and the mail goes to a channel ([`deliver`]). Each step
//! gives the same result for the same notice, so that a repeat after a crash can be told from a second notice.

pub mod deliver;
pub mod letter;
pub mod mail;
mod maildir;
pub mod render;
pub mod samples;
mod smtp;
pub mod words;

pub use deliver::{Channel, Delivery, MaildirConfig, Refused, SmtpConfig, TlsMode};
pub use letter::Links;
pub use mail::{Mail, MailError, Sender};
pub use render::{Message, RenderError, Renderer, TemplateFault, TemplateProblem};
