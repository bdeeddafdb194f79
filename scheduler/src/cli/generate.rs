//! Completions and man pages, made from what the command line understands.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::exit::Failed;

/// Completions for a shell.
pub fn completions(shell: clap_complete::Shell, into: &mut impl Write) {
    clap_complete::generate(shell, &mut Cli::command(), "drover", into);
}

/// A man page for the program and for each of its commands.
///
/// # Errors
/// A page can't be made or written.
pub fn man_pages(into: &Path) -> Result<(), Failed> {
    let wrong =
        |error: std::io::Error| Failed::refused(format!("{} can't be written: {error}", into.display()));
    fs::create_dir_all(into).map_err(wrong)?;
    for (name, text) in pages().map_err(wrong)? {
        fs::write(into.join(name), text).map_err(wrong)?;
    }
    Ok(())
}

/// Names and texts of all pages, in order.
///
/// # Errors
/// A page can't be made.
pub fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, "drover", &mut pages)?;
    pages.sort();
    Ok(pages)
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).manual("Drover").render(&mut text)?;
    pages.push((format!("{name}.1"), text));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_pages_are_what_the_command_line_understands() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man");
        let known: Vec<String> = {
            let mut names: Vec<String> = fs::read_dir(&folder)
                .expect("docs/man")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let pages = pages().expect("pages");
        let names: Vec<String> = pages.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(
            known, names,
            "write them anew with `cargo run -p drover-scheduler --bin drover -- man docs/man`"
        );
        for (name, text) in pages {
            let known = fs::read(folder.join(&name)).expect("a page");
            assert!(
                known == text,
                "{name} is not current; write it anew with `cargo run -p drover-scheduler --bin drover -- man docs/man`"
            );
        }
    }

    #[test]
    fn the_exit_codes_stand_in_the_man_page() {
        let pages = pages().expect("pages");
        let (_, text) = pages.iter().find(|(name, _)| name == "drover.1").expect("the program's page");
        assert!(String::from_utf8_lossy(text).contains("needs a person"));
    }

    #[test]
    fn every_shell_gets_completions_that_know_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut text = Vec::new();
            completions(shell, &mut text);
            assert!(String::from_utf8_lossy(&text).contains("migrate-now"), "{shell}");
        }
    }
}
