//! Reads the policy files that the configuration names.

use std::path::{Path, PathBuf};

use drover_policies::policy::{PolicyProblem, PolicySet};

/// Why the policies can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file or directory can't be read.
    #[error("policies at {} can't be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in them is wrong; all of it is named.
    #[error("the policies are wrong:\n{}", problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// Everything that is wrong.
        problems: Vec<PolicyProblem>,
    },
}

/// The policies of a file, or of all `*.toml` files of a directory in the order of their names; the shipped ones without either.
///
/// # Errors
/// They can't be read, or something in them is wrong.
pub fn load(path: Option<&Path>) -> Result<PolicySet, PolicyError> {
    let Some(path) = path else { return Ok(PolicySet::default()) };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| PolicyError::Unreadable { path, source }
    };
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
            let entry = entry.map_err(unreadable(path))?.path();
            if entry.extension().is_some_and(|extension| extension == "toml") {
                paths.push(entry);
            }
        }
        paths.sort();
    } else {
        paths.push(path.to_owned());
    }
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        files.push((path.display().to_string(), text));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    PolicySet::parse(&files).map_err(|problems| PolicyError::Wrong { problems })
}
