//! Every folder of `tests/scenarios` is a test of its own: `cargo test -p drover-tests --test scenarios NAME`.
//!
//! `UPDATE_EXPECT=1` accepts what came as what is expected. Read it as a story first.

use std::path::{Path, PathBuf};

use drover_tests::world::scenario::Scenario;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folders)
        .expect("the scenarios are part of this package")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    let trials = found.into_iter().map(|folder| {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Trial::test(name, move || run(&folder))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run(folder: &Path) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "the one switch of this test, for the person who runs it")]
    let update = std::env::var("UPDATE_EXPECT").is_ok_and(|value| value == "1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let checked = runtime.block_on(async { Scenario::read(folder)?.check(update).await });
    checked.map_err(|error| Failed::from(format!("{error:#}")))
}
