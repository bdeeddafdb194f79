//! The `[hooks]` table: which programs may be run on this host, by name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use drover_policies::ids::HookName;
use drover_policies::time::Span;
use serde::Deserialize;

use crate::config::ConfigError;

/// How long a hook may take whose configuration does not say.
const USUAL_LIMIT: Span = Span::minutes(30);

/// The longest that one may be allowed to take.
const LONGEST_LIMIT: Span = Span::days(7);

/// One `[hooks.NAME]` as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookFile {
    /// The program.
    pub run: PathBuf,
    /// How long it may take.
    pub limit: Option<Span>,
}

/// A program that may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it is.
    pub program: PathBuf,
    /// How long it may take.
    pub limit: Span,
}

/// The programs that may be run here.
pub type Hooks = BTreeMap<HookName, Hook>;

/// Checks the table and fills in what has a default.
///
/// # Errors
/// When something can't be right, whatever is on the disk.
pub(crate) fn complete(given: BTreeMap<String, HookFile>) -> Result<Hooks, ConfigError> {
    let mut hooks = Hooks::new();
    for (name, HookFile { run, limit }) in given {
        let wrong = |why: String| ConfigError::Hook { hook: name.clone(), why };
        let hook = HookName::new(name.clone()).map_err(|error| wrong(error.to_string()))?;
        if !run.is_absolute() {
            return Err(wrong(format!(
                "run is {:?}; write the whole path of an executable file, for example \"/etc/drover/hooks/{name}\"",
                run.display().to_string()
            )));
        }
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if limit == Span::ZERO || limit > LONGEST_LIMIT {
            return Err(wrong(format!(
                "limit is {limit}; write how long it may take, up to 7d, for example \"30m\""
            )));
        }
        hooks.insert(hook, Hook { program: run, limit });
    }
    Ok(hooks)
}

impl Hook {
    /// Looks whether nobody but root can decide what is run here: what is wrong, and what would be right.
    ///
    /// # Errors
    /// When it must not be run.
    pub fn look(&self) -> Result<(), String> {
        let path = &self.program;
        let whole = fs::canonicalize(path).map_err(|error| {
            format!("{}: {error}; put the program there, or correct the path", path.display())
        })?;
        let file = look_at(&whole)?;
        if !file.is_file() {
            return Err(format!("{} is no file; name an executable file", whole.display()));
        }
        if file.permissions().mode() & 0o111 == 0 {
            return Err(format!("{0} is not executable: chmod 755 {0}", whole.display()));
        }
        // Whoever can write a directory can put another file in the place of this one.
        whole.ancestors().skip(1).try_for_each(|directory| look_at(directory).map(drop))
    }
}

/// Whether only root can change what is there. Directories with the sticky bit may be written by everybody: what is root's in them stays.
fn look_at(path: &Path) -> Result<fs::Metadata, String> {
    let shown = path.display();
    let found = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if found.uid() != 0 {
        return Err(format!(
            "{shown} belongs to user {}, who could have anything run as root: chown root {shown}",
            found.uid()
        ));
    }
    let mode = found.permissions().mode();
    let sticky = found.is_dir() && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(format!("{shown} can be written by others than root: chmod go-w {shown}"));
    }
    Ok(found)
}

/// What is wrong with the hooks of this host, for `drover-agent check` and the log: each line says what and what to do.
#[must_use]
pub fn check(hooks: &Hooks) -> Vec<String> {
    let wrong = hooks.iter().filter_map(|(name, hook)| Some((name, hook.look().err()?)));
    wrong.map(|(name, why)| format!("[hooks.{name}]: {why}. Until then it is not run")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(run: &str, limit: Option<Span>) -> HookFile {
        HookFile { run: PathBuf::from(run), limit }
    }

    fn refused(name: &str, hook: HookFile) -> String {
        complete(BTreeMap::from([(name.to_owned(), hook)])).expect_err("refused").to_string()
    }

    #[test]
    fn a_hook_has_a_name_a_whole_path_and_a_limit() {
        let given = BTreeMap::from([("maintain".to_owned(), file("/etc/drover/hooks/maintain", None))]);
        let hooks = complete(given).expect("right");
        assert_eq!(hooks[&HookName::maintain()].limit, USUAL_LIMIT);
        let why = refused("maintain", file("hooks/maintain", None));
        assert!(why.contains("[hooks.maintain]") && why.contains("/etc/drover/hooks/maintain"), "{why}");
        let why = refused("post", file("/x", Some(Span::ZERO)));
        assert!(why.contains("[hooks.post]") && why.contains("limit is 0s"), "{why}");
        let why = refused("post", file("/x", Some(Span::days(8))));
        assert!(why.contains("limit is 8days") && why.contains("7d"), "{why}");
        let why = refused("a b", file("/x", None));
        assert!(why.contains("\"a b\""), "{why}");
    }

    /// As the file is, owned by root, below directories of root's.
    fn program(mode: u32) -> (tempfile::TempDir, Hook) {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("hook");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("set");
        (directory, Hook { program, limit: USUAL_LIMIT })
    }

    /// Only root can make a file root's.
    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: whose a program is can only be tried out by root");
        }
        root
    }

    #[test]
    fn a_program_that_others_than_root_could_change_is_not_run() {
        if !is_root() {
            return;
        }
        let (directory, hook) = program(0o755);
        assert_eq!(hook.look(), Ok(()));
        for (mode, says) in [(0o775, "chmod go-w"), (0o757, "chmod go-w"), (0o644, "chmod 755")] {
            fs::set_permissions(&hook.program, fs::Permissions::from_mode(mode)).expect("set");
            let why = hook.look().expect_err("refused");
            assert!(why.contains(says) && why.contains("/hook"), "{mode:o}: {why}");
        }
        fs::set_permissions(&hook.program, fs::Permissions::from_mode(0o755)).expect("set");
        std::os::unix::fs::chown(&hook.program, Some(65534), None).expect("given away");
        assert!(hook.look().expect_err("refused").contains("belongs to user 65534"));
        std::os::unix::fs::chown(&hook.program, Some(0), None).expect("taken back");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("set");
        let why = hook.look().expect_err("refused");
        assert!(why.contains("can be written by others") && !why.contains("/hook "), "{why}");
    }

    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
        if !is_root() {
            return;
        }
        let (directory, hook) = program(0o777);
        let link = Hook { program: directory.path().join("link"), ..hook.clone() };
        std::os::unix::fs::symlink(&hook.program, &link.program).expect("linked");
        assert!(link.look().expect_err("refused").contains("/hook"));
        let directory = Hook { program: directory.path().to_owned(), ..hook.clone() };
        assert!(directory.look().expect_err("refused").contains("is no file"));
        let missing = Hook { program: PathBuf::from("/no/such/hook"), ..hook };
        let lines = check(&Hooks::from([(HookName::pre(), missing)]));
        assert!(
            lines[0].starts_with("[hooks.pre]: /no/such/hook") && lines[0].contains("correct the path"),
            "{lines:?}"
        );
    }
}
