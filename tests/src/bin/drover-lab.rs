//! `drover-lab`: a lab of real hypervisors by hand.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use drover_tests::lab::process::ProcessId;
use drover_tests::lab::{
    DiskFormat, DiskPlace, GuestSpec, Lab, LabLife, LabOptions, LabState, cleanup, collector,
};

/// Real libvirt hypervisors on this one machine, each in namespaces of its own. Needs root.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The lab that a command is about.
#[derive(Debug, clap::Args)]
struct Which {
    /// The lab's name.
    #[arg(long, default_value = "demo")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a lab up and leave it up.
    Up {
        #[command(flatten)]
        lab: Which,
        /// How many hosts.
        #[arg(long, default_value_t = 3)]
        hosts: usize,
        /// Stay, and let the lab be a dead one as soon as this process is.
        #[arg(long)]
        hold: bool,
    },
    /// Remove a lab and every trace of it.
    Down {
        #[command(flatten)]
        lab: Which,
        /// All labs of this machine, also those in use.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show the labs of this machine.
    List,
    /// Ask a host's libvirtd by virsh.
    Virsh {
        #[command(flatten)]
        lab: Which,
        /// The host: h1, h2 and so on.
        host: String,
        /// What virsh shall do; nothing opens its prompt.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a program inside of a host.
    Exec {
        #[command(flatten)]
        lab: Which,
        /// The host: h1, h2 and so on.
        host: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Make a guest and start it.
    Add(Add),
    /// Show the guests: what they acknowledged, how long they were away, how often they booted.
    Guests {
        #[command(flatten)]
        lab: Which,
    },
    /// Listen to the guests until killed. `up` starts this by itself; it is needed for a lab that a test left up.
    Collector {
        #[command(flatten)]
        lab: Which,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    lab: Which,
    /// The guest's name.
    guest: String,
    /// The host that it starts on.
    #[arg(long, default_value = "h1")]
    host: String,
    /// Its disk on storage that only its host sees.
    #[arg(long)]
    local: bool,
    /// Its disk as qcow2.
    #[arg(long)]
    qcow2: bool,
    /// MiB of memory that it changes all the time.
    #[arg(long, default_value_t = 0)]
    dirty: u32,
    /// With the real qemu-guest-agent.
    #[arg(long)]
    agent: bool,
    /// Deaf to its power button.
    #[arg(long)]
    ignore_acpi: bool,
    /// XML for its metadata element.
    #[arg(long, default_value = "")]
    metadata: String,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up { lab, hosts, hold: true } => {
            let _lab =
                Lab::create(LabOptions { name: lab.name, hosts, dir: None, life: LabLife::WithCreator })?;
            println!("up");
            loop {
                std::thread::park();
            }
        }
        Command::Up { lab, hosts, hold: false } => up(lab.name, hosts),
        Command::Down { all: true, .. } => {
            for name in cleanup::remove_all()? {
                println!("removed {name}");
            }
            Ok(())
        }
        Command::Down { lab, all: false } => {
            if !cleanup::remove_named(&lab.name)? {
                println!("there is no lab {}", lab.name);
            }
            Ok(())
        }
        Command::List => say(&list()?),
        Command::Add(add) => add_guest(&add),
        Command::Guests { lab } => say(&guests(&lab.name)?),
        Command::Collector { lab } => {
            let lab = Lab::attach(&lab.name)?;
            let _collector = lab.start_collector()?;
            loop {
                std::thread::park();
            }
        }
        Command::Virsh { lab, host, words } => {
            let uri = Lab::attach(&lab.name)?.host(&host)?.libvirt_uri();
            Err(std::process::Command::new("virsh").args(["--connect", &uri]).args(words).exec().into())
        }
        Command::Exec { lab, host, words } => {
            let Some((program, rest)) = words.split_first() else { bail!("name a program") };
            Err(Lab::attach(&lab.name)?.host(&host)?.command(program).args(rest).exec().into())
        }
    }
}

fn up(name: String, hosts: usize) -> Result<()> {
    let lab = Lab::create(LabOptions { name: name.clone(), hosts, dir: None, life: LabLife::UntilRemoved })?;
    lab.build_image()?;
    let log = File::create(lab.state().dir.join("collector.log"))?;
    let child = std::process::Command::new("setsid")
        .arg(std::env::current_exe()?)
        .args(["collector", "--name", &name])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start setsid")?;
    lab.add_helper(ProcessId::of(i32::try_from(child.id())?).context("the collector ended at once")?)?;
    for host in lab.hosts() {
        println!("{}  {}", host.name(), host.libvirt_uri());
    }
    Ok(())
}

/// Whoever reads may have had enough before the end, as in `drover-lab list | head -1`.
fn say(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn list() -> Result<String> {
    let mut text = String::new();
    for lab in LabState::all()? {
        let life = match lab.creator {
            _ if lab.is_dead() => "dead",
            Some(_) => "in use",
            None => "up",
        };
        let (address, dir) = (lab.address(1), lab.dir.display());
        writeln!(text, "{}  {life}  {} hosts  {address}  {dir}", lab.name, lab.hosts)?;
    }
    Ok(text)
}

fn add_guest(add: &Add) -> Result<()> {
    let lab = Lab::attach(&add.lab.name)?;
    let mut spec = GuestSpec::new(&add.guest, &add.host).dirtying(add.dirty);
    spec.disk = if add.local { DiskPlace::Local } else { DiskPlace::Shared };
    spec.format = if add.qcow2 { DiskFormat::Qcow2 } else { DiskFormat::Raw };
    (spec.agent, spec.ignore_acpi) = (add.agent, add.ignore_acpi);
    spec.metadata.clone_from(&add.metadata);
    let guest = lab.add_guest(&spec)?;
    println!("{}  {}  {}  {}", guest.name, guest.uuid, guest.ip, guest.disk_path());
    Ok(())
}

fn guests(name: &str) -> Result<String> {
    let mut text = String::new();
    let lab = Lab::attach(name)?;
    let heard = collector::read(&lab.heard_file()).unwrap_or_default();
    writeln!(
        text,
        "{:<16} {:<8} {:>10} {:>12} {:>6} {:>8}",
        "GUEST", "RUNS ON", "LAST", "DOWNTIME", "BOOTS", "SILENT"
    )?;
    for guest in lab.guests()? {
        let hosts: Vec<&str> = lab.where_running(&guest.name)?.iter().map(|host| host.name()).collect();
        let heard = heard.get(&guest.name).cloned().unwrap_or_default();
        let silent = Duration::from_millis(collector::clock_ms().saturating_sub(heard.last_heard_ms));
        writeln!(
            text,
            "{:<16} {:<8} {:>10} {:>9} ms {:>6} {:>6} s",
            guest.name,
            hosts.join(","),
            heard.last(),
            heard.gap_ms,
            heard.boots,
            silent.as_secs(),
        )?;
    }
    Ok(text)
}
