//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    drover_scheduler::cli::main()
}
