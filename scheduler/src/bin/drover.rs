//! The command line.

use std::process::ExitCode;

/// Plans and simulations of whole fleets make and drop a great many small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    drover_scheduler::cli::main()
}
