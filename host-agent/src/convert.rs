//! Importing servers whose source isn't ours: a VHD, VMDK or raw image, or an NBD export, as a description says.
//!
//! The disks are copied ([`copy`]), the guest in them is made fit to boot here by virt-v2v's in-place conversion ([`fixes`], whose words
//! [`v2v`] understands), and the server is defined ([`domain`]). [`import`] puts these steps in a row that may be killed anywhere and begun
//! again; what it knows between two of them is its [`record`]. Programs are run by [`tool`], which lets none of them outlive this one.
//! From where and to where is [`config`]ured.

pub mod config;
pub mod copy;
pub mod domain;
pub mod fixes;
pub mod import;
pub mod record;
pub mod tool;
pub mod v2v;

use std::fmt;

use drover_policies::import::{Done, Step};
use drover_policies::replica::DiskFigures;

/// What happens during an import, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Began(Step),
    /// A step is done.
    Ended(Done),
    /// How far the copy of a disk is.
    Copying(DiskFigures),
    /// The conversion has come this far.
    Milestone(v2v::Milestone),
    /// The converter has something to say.
    Info(String),
    /// The converter warns of something that a person should look at.
    Warning(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(step) => write!(f, "{step}"),
            Self::Ended(done) => write!(f, "{done}"),
            Self::Copying(DiskFigures { target, total_bytes, done_bytes }) => {
                write!(f, "{target}: {} of {} MiB copied", done_bytes >> 20, total_bytes >> 20)
            }
            Self::Milestone(milestone) => write!(f, "{milestone}"),
            Self::Info(text) => f.write_str(text),
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

/// Hears of events.
pub type Listener<'a> = &'a mut dyn FnMut(Event);

#[cfg(test)]
pub(crate) fn described(text: &str) -> drover_policies::import::Description {
    let written: drover_policies::import::Written = toml::from_str(text).expect("understood");
    written.try_into().expect("good")
}
