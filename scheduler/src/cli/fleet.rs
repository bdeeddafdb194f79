//! `drover fleet`: the fleet as a file, for `drover plan` and for bug reports.

use clap::Subcommand;
use drover_policies::fleet::Fleet;

use super::Context;
use super::client::Answer;
use super::exit::Failed;

/// What `drover fleet` is told.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Print the fleet as the scheduler knows it, as JSON: all hosts and servers, for `drover plan --fleet`
    Export {
        /// Replace all names, labels, addresses and ids, the same by the same, so that it can be given away
        #[arg(long)]
        scramble: bool,
    },
}

pub(super) async fn fleet(context: &Context, command: FleetCommand) -> Result<(), Failed> {
    let FleetCommand::Export { scramble } = command;
    let answer: Answer<Fleet> = context.client.get("/v1/fleet", &[]).await?;
    if scramble {
        context.screen.json(&drover_policies::scramble::scrambled(&answer.value));
    } else {
        context.screen.json(&answer.value);
    }
    Ok(())
}
