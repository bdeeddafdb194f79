//! Blueprints.

use clap::{Args, Subcommand, ValueEnum};
use drover_policies::replica::ImageFormat;

/// Blueprints.
#[derive(Debug, Subcommand)]
pub enum Blueprints {
    /// Show what a server shall look like at its next launch by a reboot
    Show {
        /// The server's name or id
        server: String,
    },
    /// Set parts of it; what is not named stays as it was set before
    Set(BlueprintSet),
    /// Clear it: the server stays as it is
    Clear {
        /// The server's name or id
        server: String,
    },
}

/// Parts of a blueprint.
#[derive(Debug, Args)]
pub struct BlueprintSet {
    /// The server's name or id
    pub server: String,
    /// Its memory: `4GiB`, `512MiB`
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<u64>,
    /// Its virtual processors
    #[arg(long, value_name = "N")]
    pub vcpus: Option<u32>,
    /// Plug what is plugged into this network or bridge into another one: `br0=br1`; may be given several times
    #[arg(long, value_name = "FROM=TO", value_parser = network)]
    pub network: Vec<(String, String)>,
    /// Have a local disk in another directory, or in another format: `vda=/srv/images`, `vda=raw`; may be given several times
    #[arg(long, value_name = "DISK=DIR|FORMAT", value_parser = disk)]
    pub disk: Vec<(String, DiskWish)>,
    /// Whether it is booted at its cutover
    #[arg(long, value_enum)]
    pub boot: Option<BootWhen>,
}

/// What a local disk shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskWish {
    /// In this directory.
    Directory(String),
    /// Of this format.
    Format(ImageFormat),
}

/// Whether a server is booted at its cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BootWhen {
    /// At once, if it ran before
    Now,
    /// It is left off until its owner boots it
    Later,
}

fn memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write whole MiB or GiB: 512MiB, 4GiB");
    let (number, shift) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(number), _) => (number, 20),
        (_, Some(number)) => (number, 30),
        (None, None) => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn network(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        Some(_) | None => {
            Err(format!("{text:?} does not say what takes the place of what; write for example br0=br1"))
        }
    }
}

fn disk(text: &str) -> Result<(String, DiskWish), String> {
    let wish = |wish: &str| match ImageFormat::called(wish) {
        Some(format) => Some(DiskWish::Format(format)),
        None => wish.starts_with('/').then(|| DiskWish::Directory(wish.to_owned())),
    };
    let split = text.split_once('=').filter(|(disk, _)| !disk.is_empty());
    split.and_then(|(disk, wished)| Some((disk.to_owned(), wish(wished)?))).ok_or_else(|| {
        format!("{text:?} does not say of which disk what; write for example vda=/srv/images, vda=qcow2 or vda=raw")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_networks_are_read_or_refused_with_what_would_be_right() {
        assert_eq!(memory("4GiB"), Ok(4 << 30));
        assert_eq!(memory("512MiB"), Ok(512 << 20));
        for wrong in ["4", "4G", "-1GiB", "1.5GiB", "99999999999999999GiB", "GiB"] {
            assert!(memory(wrong).expect_err("no size").contains("512MiB, 4GiB"), "{wrong}");
        }
        assert_eq!(disk("vda=raw"), Ok(("vda".to_owned(), DiskWish::Format(ImageFormat::Raw))));
        assert_eq!(disk("vda=/srv"), Ok(("vda".to_owned(), DiskWish::Directory("/srv".to_owned()))));
        for wrong in ["vda", "=raw", "vda=", "vda=vmdk", "vda=srv"] {
            assert!(disk(wrong).expect_err("no disk").contains("vda=/srv/images"), "{wrong}");
        }
        assert_eq!(network("br0=br1"), Ok(("br0".to_owned(), "br1".to_owned())));
        for wrong in ["br0", "=br1", "br0="] {
            assert!(network(wrong).expect_err("no network").contains("br0=br1"), "{wrong}");
        }
    }
}
