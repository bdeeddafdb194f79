//! Where the scheduler is, and with which token it is asked.
//!
//! The command line and its environment come first, then the configuration file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::Global;
use super::exit::Failed;

const DEFAULT_URL: &str = "http://127.0.0.1:7070";

/// What is needed to ask a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Where it is, without a slash at the end.
    pub url: String,
    /// With which token.
    pub token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

/// Finds out where the scheduler is.
///
/// # Errors
/// A file can't be read, or says something that isn't known.
pub fn connection(global: &Global) -> Result<Connection, Failed> {
    let file = file(global)?;
    let url = global.url.clone().or(file.url).unwrap_or_else(|| DEFAULT_URL.to_owned());
    let token = match (&global.token, &global.token_file, file.token, &file.token_file) {
        (Some(token), _, _, _) => Some(token.clone()),
        (None, Some(path), _, _) => Some(read(path)?),
        (None, None, Some(token), _) => Some(token),
        (None, None, None, Some(path)) => Some(read(path)?),
        (None, None, None, None) => None,
    };
    Ok(Connection {
        url: url.trim_end_matches('/').to_owned(),
        token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
    })
}

fn file(global: &Global) -> Result<File, Failed> {
    let path = match &global.config {
        Some(path) => path.clone(),
        None => match std::env::home_dir().map(|home| home.join(".config/drover/config.toml")) {
            Some(path) if path.exists() => path,
            Some(_) | None => return Ok(File::default()),
        },
    };
    let text = read(&path)?;
    toml::from_str(&text).map_err(|error| {
        Failed::usage(format!("{}: {}", path.display(), error.message()))
            .hint("known are url, token and token_file, for example: url = \"https://drover.example:7070\"")
    })
}

fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path)
        .map_err(|error| Failed::usage(format!("{} can't be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, change: impl FnOnce(&mut Global)) -> Result<Connection, Failed> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        let mut global = Global { config: Some(path), ..Global::default() };
        change(&mut global);
        connection(&global)
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = "url = \"https://one.example/\"\ntoken = \"drv_op_file\"\n";
        let found = with_file(file, |_| {}).expect("read");
        assert_eq!(
            found,
            Connection { url: "https://one.example".to_owned(), token: Some("drv_op_file".to_owned()) }
        );
        let found = with_file(file, |global| global.token = Some("drv_op_line".to_owned())).expect("read");
        assert_eq!(found.token.as_deref(), Some("drv_op_line"));
    }

    #[test]
    fn a_token_file_may_end_in_a_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "drv_op_x\n").expect("written");
        let found = with_file("", |global| global.token_file = Some(path)).expect("read");
        assert_eq!(found.token.as_deref(), Some("drv_op_x"));
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_known_ones_are_named() {
        let failed = with_file("uri = \"x\"", |_| {}).expect_err("refused");
        assert!(failed.to_string().contains("uri") && failed.to_string().contains("token_file"), "{failed}");
    }
}
