//! What was acknowledged is there after a kill.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use drover_scheduler::store::{Batch, EventFilter, Seq, Store, Write};

use crate::place::claim;
use crate::samples::{at, event, migration, operation};

const FILE: &str = "drover.db";

/// Not a test of its own: what the next one starts as another process and kills. Writes without end, and says aloud what
/// was acknowledged.
#[tokio::test]
#[ignore = "no test: after_a_kill_all_that_was_acknowledged_is_there_and_nothing_by_half starts it, and kills it"]
async fn a_writer_that_is_going_to_be_killed() {
    let store = Store::open(FILE).await.expect("it opens");
    store.migrate().await.expect("it is brought up to date");
    let fence = claim(&store, "writer", 0).await.expect("nobody else has it");
    for n in 1.. {
        let batch = Batch {
            migrations: vec![Write::Insert(migration(n))],
            operations_begun: vec![operation(n, Some(n))],
            events: vec![event(n, "written")],
            ..Batch::new(at(0))
        };
        store.commit(&fence, batch).await.expect("written");
        // Not by a macro: the test harness would keep it.
        writeln!(std::io::stdout(), "acknowledged {n}").expect("somebody reads");
    }
}

#[tokio::test]
async fn after_a_kill_all_that_was_acknowledged_is_there_and_nothing_by_half() {
    let home = tempfile::tempdir().expect("a directory");
    let acknowledged = write_and_kill(home.path(), 40);
    let file = home.path().join(FILE);
    let store = Store::open(&file.display().to_string()).await.expect("it opens");
    let picture = store.picture().await.expect("a picture");
    let events = store.events_after(Seq::START, &EventFilter::default(), 100_000).await.expect("events");
    let found = picture.migrations.len();
    assert!(found >= acknowledged, "{acknowledged} acknowledged, {found} found");
    assert!(
        found <= acknowledged + 1,
        "one at most was written and not yet acknowledged: {acknowledged}, {found}"
    );
    assert_eq!((picture.operations.len(), events.len()), (found, found));

    // The one who comes back goes on.
    assert_eq!(claim(&store, "another", 1).await, None);
    let fence = claim(&store, "writer", 1).await.expect("by the same name there is no waiting");
    store
        .commit(&fence, Batch { events: vec![event(1, "after")], ..Batch::new(at(1)) })
        .await
        .expect("written");
    assert_eq!(file.metadata().expect("a file").mode() & 0o777, 0o600);
}

/// Returns the last number that was acknowledged.
fn write_and_kill(home: &std::path::Path, after: usize) -> usize {
    let mut writer = Command::new(std::env::current_exe().expect("this test's file"))
        .args(["--exact", "crash::a_writer_that_is_going_to_be_killed", "--ignored", "--nocapture"])
        .current_dir(home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut said = BufReader::new(writer.stdout.take().expect("a pipe"));
    // A line that the kill cut short says nothing; the last one that is whole does.
    let mut next = || {
        let mut line = String::new();
        said.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')).then_some(line)
    };
    let number =
        |line: &str| line.rsplit_once("acknowledged ").and_then(|(_, number)| number.trim().parse().ok());
    let mut acknowledged = 0;
    while acknowledged < after {
        let line = next().expect("the writer goes on until it is killed");
        acknowledged = number(&line).unwrap_or(acknowledged);
    }
    writer.kill().expect("it was alive");
    // What it said before the kill and was not read yet counts as well.
    while let Some(line) = next() {
        acknowledged = number(&line).unwrap_or(acknowledged);
    }
    writer.wait().expect("it has ended");
    acknowledged
}
