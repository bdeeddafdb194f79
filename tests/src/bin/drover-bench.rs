//! `drover-bench`: how fast Drover is, beside its peers. `make bench` builds and runs it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use drover_tests::bench::{self, Options, Part, Piece};

/// Measure Drover beside its peers, in one run on this machine. A goal that is missed is told and is no failure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure only this.
    #[arg(long)]
    only: Option<Part>,
    /// How often the drains and their peers are repeated. A round takes about a minute and a half.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many single migrations are looked at for the overhead.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..))]
    migrations: u16,
    /// How often the scheduler is started.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    starts: u16,
    /// How many servers are to be rebooted at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    crowd: u16,
    /// Of the servers with local disks, measure only this.
    #[arg(long)]
    warm: Option<Piece>,
    /// How often each measurement of servers with local disks is repeated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    warm_rounds: u16,
    /// A folder with BtrPlace's published instances (gzipped JSON), to be planned as well.
    #[arg(long, value_name = "DIR")]
    btrplace: Option<PathBuf>,
    /// A fleet in Ganeti's text format, to be planned as well, beside Ganeti's tools; may be said more than once.
    #[arg(long, value_name = "FILE")]
    htools: Vec<PathBuf>,
    /// Print all figures as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        only: arguments.only,
        rounds: arguments.rounds.into(),
        migrations: arguments.migrations.into(),
        starts: arguments.starts.into(),
        crowd: arguments.crowd.into(),
        warm: arguments.warm,
        warm_rounds: arguments.warm_rounds.into(),
        btrplace: arguments.btrplace,
        htools: arguments.htools,
    };
    match bench::run(&options) {
        Ok(report) => {
            if arguments.json {
                println!("{:#}", report.json());
            } else {
                println!("{}", report.text());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
