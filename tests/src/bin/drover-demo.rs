//! `drover-demo`: a host is drained on real hypervisors, shown and checked. `make demo` builds and runs it.

use std::process::ExitCode;

use clap::Parser;
use drover_tests::demo::{self, End, Show};
use drover_tests::lab;

/// Drain a real hypervisor and show it. Needs root; everything is taken away at the end.
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave everything up, and say what can be done with it.
    #[arg(long)]
    keep: bool,
    /// As everybody else's: set, there is no colour.
    #[arg(long, env = "NO_COLOR", hide = true)]
    no_color: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(reason) = lab::unable() {
        eprintln!("The demonstration can't run here: {reason}.");
        return ExitCode::FAILURE;
    }
    let show = Show::new(arguments.no_color.as_deref());
    let end = if arguments.keep { End::Keep } else { End::Remove };
    match demo::run(&show, end) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demonstration failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
