//! `drover-agent import`: brings a server of another kind of hypervisor to this host.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use drover_host_agent::clock::{HostClock, RandomIds, SystemClock};
use drover_host_agent::config::Config;
use drover_host_agent::convert::Event;
use drover_host_agent::convert::import::{Begin, Import, Imported, Means};
use drover_host_agent::convert::record::Stage;
use drover_host_agent::convert::source::Description;
use drover_host_agent::convert::v2v::Virtio;
use drover_host_agent::hypervisor::Hypervisor;
use drover_host_agent::hypervisor::libvirt::Libvirt;
use drover_policies::replica::DiskFigures;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file that describes the server; see docs/operations.md.
    file: PathBuf,
    /// Only say what would be done, and what is in the way.
    #[arg(long)]
    dry_run: bool,
    /// Boot the server when it is there. It must be off at its source, and stay so.
    #[arg(long)]
    start: bool,
    /// Throw away what an earlier try has done, and begin anew.
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,
}

/// Imports a server, or says what would be done.
pub fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let shown = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("{shown} can't be read"))?;
    let description = Description::parse(&text).with_context(|| shown.to_string())?;
    let hypervisor = Libvirt::new(config.host.clone()).map_err(anyhow::Error::msg)?;
    let means = Means {
        data_dir: &config.data_dir,
        domains: hypervisor.here(),
        clock: &SystemClock,
        ids: &RandomIds,
    };
    let begin = if arguments.restart { Begin::Anew } else { Begin::Where };
    let mut import = Import::open(description.clone(), begin, means)?;
    if arguments.dry_run {
        return Ok(dry_run(&description, &import));
    }
    let mut log = Log { begun: SystemClock.elapsed(), shown_percent: 0 };
    let imported = import.run(&mut |event| log.tell(&event))?;
    if arguments.start {
        import.start(&mut |event| log.tell(&event))?;
    }
    summary(&description, &imported, arguments.start);
    Ok(ExitCode::SUCCESS)
}

fn dry_run(description: &Description, import: &Import<'_>) -> ExitCode {
    let done = match import.stage() {
        Stage::Copying { copied } if copied.is_empty() => "nothing yet",
        Stage::Copying { .. } => "some disks are copied",
        Stage::Fixed { .. } | Stage::Merged { .. } => "the guest is fixed",
        Stage::Placed { .. } => "the images are in place",
        Stage::Defined { .. } => "everything",
    };
    println!("{}: done so far: {done}", description.name);
    for disk in &description.disks {
        println!("  {}: {} becomes {} ({})", disk.target, disk.source, disk.path.display(), disk.format);
    }
    let found = import.check();
    for line in &found {
        println!("- {line}");
    }
    if found.is_empty() {
        println!("nothing is in the way; without --dry-run the guest is imported, and not started");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn summary(description: &Description, imported: &Imported, started: bool) {
    let name = &description.name;
    let Imported { server, report } = imported;
    let system = report.system.as_deref().unwrap_or("its system was not recognised");
    println!("{name} is imported as {server} ({system})");
    if report.virtio == Virtio::Missing {
        println!("- it has no virtio drivers: disks and interfaces are emulated, which is slow");
    }
    for warning in &report.warnings {
        println!("- virt-v2v warned: {warning}");
    }
    if started {
        println!("It is booting. Keep it off at its source; when it is well here, delete it there.");
    } else {
        println!("Next: shut it down at its source if that was not done, then `virsh start {name}` here.");
    }
}

/// The live log: a line for each event, with the time since the beginning.
struct Log {
    begun: std::time::Duration,
    shown_percent: u64,
}

impl Log {
    fn tell(&mut self, event: &Event) {
        if let Event::Copying(figures) = event
            && !self.is_worth_a_line(figures)
        {
            return;
        }
        let since = SystemClock.elapsed().saturating_sub(self.begun);
        println!("[{:7.1} s] {event}", since.as_secs_f64());
    }

    /// The beginning and the end of a disk, and each tenth of it between.
    fn is_worth_a_line(&mut self, figures: &DiskFigures) -> bool {
        let percent = (figures.done_bytes * 100).checked_div(figures.total_bytes).unwrap_or(100);
        let shown = percent == 0 || percent == 100 || percent >= self.shown_percent + 10;
        if shown {
            self.shown_percent = percent;
        }
        shown
    }
}
