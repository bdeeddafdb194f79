//! The command line `drover`: asks the scheduler by its API, and shows the answer to a person or to a program.

pub mod args;
pub mod client;
pub mod config;
pub mod exit;
pub mod freezes;
mod generate;
pub mod screen;
pub mod words;

mod blueprints;
mod checks;
mod dead_letters;
mod doctor;
mod events;
mod explain;
mod fleet;
mod hosts;
mod imports;
mod maintenances;
mod migrations;
mod owners;
mod plan;
mod policy;
mod replicas;
mod simulate;
mod sse;
mod test_launches;
mod tickets;
mod upcoming;
mod watch;
mod webhooks;
mod windows;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use drover_policies::migration::Loss;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use args::{Cli, Command};
use client::{Answer, Client};
use exit::{Exit, Failed};
use screen::Screen;

/// The client and the screen: what every command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) screen: Screen,
}

impl Context {
    /// Shows an answer: as it came, or as `show` tells it.
    pub(crate) fn show<T>(&self, answer: &Answer<T>, show: impl FnOnce(&Screen, &T)) {
        if self.screen.json {
            self.screen.json(&answer.json);
        } else {
            show(&self.screen, &answer.value);
        }
    }

    /// Asks for a change without words, and says in a line what came of it.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        said: impl FnOnce(&T) -> String,
    ) -> Result<(), Failed> {
        let answer: Answer<T> = self.client.post(path, &json!({})).await?;
        self.show(&answer, |screen, value| screen.line(said(value)));
        Ok(())
    }
}

/// A name as one part of a path.
pub(crate) fn part(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
        path
    })
}

/// The program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Failed::refused(format!("the program can't start: {error}")), json),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => tell(&failed, json),
    }
}

fn tell(failed: &Failed, json: bool) -> ExitCode {
    let mut out = std::io::stderr();
    let code = failed.exit.into();
    // Nobody is left to be told when this fails.
    let _ = match (&failed.problem, json) {
        (Some(problem), true) => writeln!(out, "{problem}"),
        (None, true) => writeln!(out, "{}", json!({ "detail": failed.message, "hint": failed.hint })),
        (_, false) if failed.message.is_empty() => Ok(()),
        (_, false) => writeln!(out, "drover: {failed}"),
    };
    code
}

async fn run(cli: Cli) -> Result<(), Failed> {
    let Cli { global, command } = cli;
    // These need no scheduler, and no configuration that could be wrong.
    match command {
        Command::Completions { shell } => {
            generate::completions(shell, &mut std::io::stdout());
            Ok(())
        }
        Command::Man { into } => generate::man_pages(&into),
        Command::Policy(args::Policy::Check { files }) => policy::check(&Screen::new(&global)?, &files),
        Command::Plan(asked) => plan::plan(&Screen::new(&global)?, &asked),
        Command::Simulate(asked) => simulate::simulate(&Screen::new(&global)?, *asked),
        command => {
            let screen = Screen::new(&global)?;
            let client = Client::new(config::connection(&global)?)?;
            ask(&Context { client, screen }, command).await
        }
    }
}

/// How many free times are shown to somebody who chooses one.
const FREE_SLOTS: usize = 10;

async fn ask(context: &Context, command: Command) -> Result<(), Failed> {
    match command {
        Command::Hosts(command) => hosts::hosts(context, command).await,
        Command::Servers(command) => hosts::servers(context, command).await,
        Command::Drain(drain) => maintenances::drain(context, drain).await,
        Command::Maintenance(command) => maintenances::maintenance(context, command).await,
        Command::Migrations(command) => migrations::migrations(context, command).await,
        Command::Replicas(command) => replicas::replicas(context, command).await,
        Command::Import(asked) => imports::import(context, asked).await,
        Command::Imports(command) => imports::imports(context, command).await,
        Command::Reschedule { migration, to, slots: _ } => match to {
            Some(to) => migrations::reschedule(context, &migration, &to).await,
            None => migrations::slots(context, &migration, FREE_SLOTS).await,
        },
        Command::Decline { migration } => migrations::decline(context, &migration).await,
        Command::Approve { migration } => migrations::approve(context, &migration).await,
        Command::MigrateNow { server, reason, yes } => {
            migrations::migrate_now(context, &server, reason, yes).await
        }
        Command::Migrate { server, at, reason } => migrations::migrate(context, &server, &at, reason).await,
        Command::Cancel { migration } => migrations::cancel(context, &migration).await,
        Command::Confirm { migration } => migrations::confirm_done(context, &migration).await,
        Command::Revert { migration, at, accept_data_loss, yes } => {
            let loss = if accept_data_loss { Loss::Accepted } else { Loss::None };
            migrations::revert(context, &migration, (at.as_deref(), loss), yes).await
        }
        Command::Windows(command) => windows::windows(context, command).await,
        Command::Freezes(command) => freezes::freezes(context, command).await,
        Command::Blueprint(command) => blueprints::blueprints(context, command).await,
        Command::Checks(command) => checks::checks(context, command).await,
        Command::Limits(command) => freezes::limits(context, command).await,
        Command::Test(command) => test_launches::test(context, command).await,
        Command::Tickets(command) => tickets::tickets(context, command).await,
        Command::Webhooks(command) => webhooks::webhooks(context, command).await,
        Command::DeadLetters(command) => dead_letters::dead_letters(context, command).await,
        Command::Owners(command) => owners::owners(context, command).await,
        Command::Tokens(command) => owners::tokens(context, command).await,
        Command::Explain { server, at } => explain::explain(context, &server, at.as_deref()).await,
        Command::Policy(args::Policy::Show { server }) => policy::show(context, server.as_deref()).await,
        Command::Events(which) => events::events(context, which).await,
        Command::Upcoming(which) => upcoming::upcoming(context, which).await,
        Command::Drill(drill) => upcoming::drill(context, drill).await,
        Command::Fleet(command) => fleet::fleet(context, command).await,
        Command::Doctor => doctor::doctor(context).await,
        // Answered before a scheduler was looked for.
        Command::Policy(args::Policy::Check { .. })
        | Command::Plan(_)
        | Command::Simulate(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// A question that is answered by yes, on a terminal; elsewhere nobody can answer.
pub(crate) fn confirm(question: &str) -> Result<(), Failed> {
    use std::io::{BufRead as _, IsTerminal as _};
    if !std::io::stdin().is_terminal() {
        return Err(
            Failed::usage("this asks before it acts, and there is no terminal to ask on").hint("Add --yes.")
        );
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "{question} [y/N] ");
    let _ = out.flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        (Ok(_) | Err(_), _) => Err(Failed::new(Exit::Refused, "nothing was done")),
    }
}

/// A list's items as JSON, where several answers are put together.
pub(crate) fn items(values: Vec<Value>) -> Value {
    json!({ "items": values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_odd_characters_stays_one_part_of_the_path() {
        assert_eq!(part("web-1.example"), "web-1.example");
        assert_eq!(part("a/b?c d"), "a%2Fb%3Fc%20d");
    }
}
