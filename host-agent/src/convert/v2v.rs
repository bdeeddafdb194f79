//! What virt-v2v says, and what it is told. Pure.
//!
//! With `--machine-readable=stream:stderr` it writes a JSON object per line to standard error: where it is, what it found, what went
//! wrong. Its phases are told as milestones; what they are called is only compared where something depends on it.

use std::fmt;

use drover_policies::import::{Description, Firmware, Found, Virtio};
use drover_policies::time::Span;
use serde::Deserialize;

use super::Event;
use super::domain::{domain_type, escape};
use super::tool::Ended;

/// A conversion's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Milestone {
    /// The converter is started, and an appliance to look into the disks with.
    Starting,
    /// The appliance is up: from now on it is the guest's disks that are worked on.
    FinishedStarting,
    /// It has come to this, in the converter's own words.
    Phase(String),
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "Starting converters",
            Self::FinishedStarting => "Finished starting converters",
            Self::Phase(text) => text,
        })
    }
}

/// Why a conversion failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A program that the converter needs is not there.
    PartMissing,
    /// The appliance that looks into the disks does not start.
    NoAppliance,
    /// No operating system was found on the disks.
    NotRecognised,
    /// An operating system was found that can't be converted.
    Unsupported,
    /// One of the guest's file systems is full.
    GuestFull,
    /// The guest was not shut down: it is hibernated, or its file systems are not clean.
    NotShutDown,
    /// This host has no room.
    HostFull,
    /// It took too long.
    OutOfTime(Span),
    /// Somebody has killed it.
    Killed,
    /// It was called off.
    Stopped,
    /// Something else.
    Other,
}

/// A conversion that did not end well. The images are as they were before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub why: Why,
    /// The converter's words.
    pub text: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.why {
            Why::PartMissing => "install what is named, and retry the import",
            Why::NoAppliance => {
                "see whether `libguestfs-test-tool` passes on this host; where KVM does not work, say accelerator = \"tcg\""
            }
            Why::NotRecognised => {
                "see whether the first disk is the one that the guest boots from, and its format is right"
            }
            Why::Unsupported => "virt-v2v does not know this system; prepare it by hand at its source",
            Why::GuestFull => {
                "make room in the guest at its source, and retry the import anew (`drover imports retry --anew`)"
            }
            Why::NotShutDown => {
                "shut the guest down properly at its source (not hibernated), and retry the import anew (`drover imports retry --anew`)"
            }
            Why::HostFull => "make room on this host, and retry the import",
            Why::OutOfTime(limit) => {
                return write!(
                    f,
                    "it was not done after {limit}; set import.conversion_limit higher, or see why this host is so slow{}",
                    words(&self.text)
                );
            }
            Why::Killed => "it was killed; retry the import",
            Why::Stopped => "it was called off",
            Why::Other => "nothing was changed; the converter's words say why",
        };
        write!(f, "{advice}{}", words(&self.text))
    }
}

impl std::error::Error for Failed {}

fn words(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({})", text.trim()) }
}

/// A line of the converter's.
#[derive(Deserialize)]
struct Line {
    message: String,
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Message,
    Info,
    Warning,
    Error,
    /// The percentage of a copy, and whatever later versions tell: of no use here.
    #[serde(other)]
    Other,
}

/// Where the appliance has come up: the first thing that needs it.
const APPLIANCE_IS_UP: &str = "Inspecting the source";

/// Listens to a conversion.
#[derive(Debug, Default)]
pub struct Hearing {
    found: Found,
    appliance: Appliance,
    /// What it called an error.
    errors: Vec<String>,
    /// The last of what it wrote in no form.
    loose: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Appliance {
    #[default]
    Starting,
    Up,
}

/// So many lines of what it wrote in no form are kept for a failure.
const KEPT_LINES: usize = 8;

impl Hearing {
    /// Takes a line of standard error; what it means is told to `tell`.
    pub fn hear(&mut self, line: &str, tell: &mut dyn FnMut(Event)) {
        let Ok(Line { message, kind }) = serde_json::from_str(line) else {
            self.loose.push(line.to_owned());
            if self.loose.len() > KEPT_LINES {
                self.loose.remove(0);
            }
            return;
        };
        match kind {
            Kind::Message => self.phase(message, tell),
            Kind::Info => {
                self.learn(&message);
                tell(Event::Info(message));
            }
            Kind::Warning => {
                self.found.warnings.push(message.clone());
                tell(Event::Warning(message));
            }
            Kind::Error => self.errors.push(message),
            Kind::Other => {}
        }
    }

    fn phase(&mut self, message: String, tell: &mut dyn FnMut(Event)) {
        if message == APPLIANCE_IS_UP && self.appliance == Appliance::Starting {
            self.appliance = Appliance::Up;
            tell(Event::Milestone(Milestone::FinishedStarting));
        }
        let system = message.strip_prefix("Converting ").and_then(|rest| rest.strip_suffix(" to run on KVM"));
        if let Some(system) = system.filter(|system| *system != "the guest") {
            self.found.system = Some(system.to_owned());
        }
        tell(Event::Milestone(Milestone::Phase(message)));
    }

    fn learn(&mut self, info: &str) {
        match info {
            "This guest has virtio drivers installed." => self.found.virtio = Virtio::Installed,
            "This guest does not have virtio drivers installed." => self.found.virtio = Virtio::Missing,
            "This guest requires UEFI on the target to boot." => self.found.firmware = Some(Firmware::Uefi),
            _ => {}
        }
    }

    /// What has come of it.
    ///
    /// # Errors
    /// Says why it failed, by how it ended and by what it said.
    pub fn end(self, ended: Ended, limit: Span) -> Result<Found, Failed> {
        let text = if self.errors.is_empty() { self.loose.join("; ") } else { self.errors.join("; ") };
        let why = match ended {
            Ended::Status(0) => return Ok(self.found),
            Ended::OutOfTime => Why::OutOfTime(limit),
            Ended::Signal(_) => Why::Killed,
            Ended::Stopped => Why::Stopped,
            Ended::Status(_) => classify(&text, self.appliance),
        };
        Err(Failed { why, text })
    }
}

/// By the converter's words; where they say nothing that is known, by how far it had come.
fn classify(text: &str, appliance: Appliance) -> Why {
    let known: [(&[&str], Why); 7] = [
        (&["is not installed or not working", "failed to execute"], Why::PartMissing),
        (&["inspection could not detect the source guest"], Why::NotRecognised),
        (
            &["unable to convert this guest type", "unable to inspect this guest", "Dual- or multi-boot"],
            Why::Unsupported,
        ),
        (&["not enough free space for conversion"], Why::GuestFull),
        (&["Hibernation", "hibernated", "Fast Restart", "mounted read-only"], Why::NotShutDown),
        (&["No space left on device", "with more than 1GB of free space"], Why::HostFull),
        (&["appliance closed the connection", "guestfs_launch failed", "supermin"], Why::NoAppliance),
    ];
    let found = known.iter().find(|(phrases, _)| phrases.iter().any(|phrase| text.contains(phrase)));
    match (found, appliance) {
        (Some((_, why)), _) => *why,
        (None, Appliance::Starting) => Why::NoAppliance,
        (None, Appliance::Up) => Why::Other,
    }
}

/// What the converter is told of the server: its disks (as they are called there, by its file), and what it boots by.
#[must_use]
pub fn source_xml(description: &Description, overlays: &[String]) -> String {
    let firmware = match description.firmware {
        Firmware::Bios => "",
        Firmware::Uefi => " firmware='efi'",
    };
    let disks: String = overlays
        .iter()
        .zip('a'..)
        .map(|(overlay, letter)| {
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='sd{letter}' bus='sata'/></disk>",
                escape(overlay)
            )
        })
        .collect();
    format!(
        "<domain type='{kind}'><name>{name}</name><memory unit='b'>{memory}</memory><vcpu>{vcpus}</vcpu>\
         <os{firmware}><type arch='x86_64'>hvm</type><boot dev='hd'/></os><features><acpi/></features>\
         <devices>{disks}</devices></domain>",
        kind = domain_type(description.accelerator),
        name = description.name,
        memory = description.memory_bytes,
        vcpus = description.vcpus,
    )
}

#[cfg(test)]
mod tests;
