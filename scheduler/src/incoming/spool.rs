//! Incoming mails as files: `tmp` while one is written, `new` when it is ours, `done` or `failed` afterwards.
//!
//! Whoever hands a mail over is told so only when its file and the directory that names it are on the disk.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use drover_policies::time::Instant;

/// How long mails are kept that were handled, and those that could not be; and what is left of a writer that has died.
const KEEP_DONE: TimeDelta = TimeDelta::days(7);
const KEEP_FAILED: TimeDelta = TimeDelta::days(90);
const KEEP_HALF: TimeDelta = TimeDelta::days(1);

/// The folders.
const HALF: &str = "tmp";
const NEW: &str = "new";
const DONE: &str = "done";
const FAILED: &str = "failed";

/// The spool.
#[derive(Debug, Clone)]
pub struct Spool {
    root: PathBuf,
}

/// Why a mail is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is too large, and will be so next time.
    #[error("the mail is larger than {largest} bytes (mail.incoming.largest)")]
    TooLarge {
        /// The limit.
        largest: u64,
    },
    /// There is nothing.
    #[error("there is no mail on standard input")]
    Empty,
    /// It could not be written; it may be sent again.
    #[error("the mail could not be put into the spool")]
    Spool(#[source] io::Error),
}

/// How a mail is taken from somebody.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// Its name in the spool, unlike all others.
    pub name: &'a str,
    /// Lines that are put before its headers.
    pub head: &'a str,
    /// The most bytes that it may have.
    pub largest: u64,
}

/// Takes a mail from somebody and puts it into the spool.
///
/// # Errors
/// It is too large, there is none, or it can't be written. It is not in the spool then.
pub fn receive(from: impl Read, taking: &Taking<'_>, spool: &Spool) -> Result<(), Refused> {
    let Taking { name, head, largest } = *taking;
    let mut raw = head.as_bytes().to_vec();
    let read = from.take(largest + 1).read_to_end(&mut raw).map_err(Refused::Spool)?;
    if read == 0 {
        return Err(Refused::Empty);
    }
    if u64::try_from(read).unwrap_or(u64::MAX) > largest {
        return Err(Refused::TooLarge { largest });
    }
    spool.put(name, &raw).map(drop).map_err(Refused::Spool)
}

impl Spool {
    /// Makes what is missing of the directories, for their owner alone.
    ///
    /// # Errors
    /// They can't be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [HALF, NEW, DONE, FAILED] {
            builder.create(root.join(folder))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    fn sync(&self, folder: &str) -> io::Result<()> {
        File::open(self.root.join(folder))?.sync_all()
    }

    /// Whether a mail of this name is or was here.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        [NEW, DONE, FAILED].iter().any(|folder| self.path(folder, name).exists())
    }

    /// Stores a mail, if none of its name is known; answers whether it was new.
    ///
    /// # Errors
    /// It can't be written. It is not there then.
    pub fn put(&self, name: &str, raw: &[u8]) -> io::Result<bool> {
        if self.knows(name) {
            return Ok(false);
        }
        let half = self.path(HALF, name);
        let written = (|| {
            let mut file = File::create(&half)?;
            file.write_all(raw)?;
            file.sync_all()?;
            fs::rename(&half, self.path(NEW, name))?;
            self.sync(NEW)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&half);
        }
        written.map(|()| true)
    }

    /// The names of those that wait, the oldest first.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(self.root.join(NEW))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    /// One that waits; nothing when it is not there any more.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(NEW, name)) {
            Ok(raw) => Ok(Some(raw)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// It was handled.
    ///
    /// # Errors
    /// It can't be moved.
    pub fn done(&self, name: &str) -> io::Result<()> {
        self.moved(name, DONE)
    }

    /// It can't be handled.
    ///
    /// # Errors
    /// It can't be moved.
    pub fn failed(&self, name: &str) -> io::Result<()> {
        self.moved(name, FAILED)
    }

    /// Not synced: a mail that is found in `new` again after a crash is handled again, which does nothing.
    fn moved(&self, name: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(NEW, name), self.path(to, name))
    }

    /// How many could not be handled.
    #[must_use]
    pub fn failures(&self) -> usize {
        fs::read_dir(self.root.join(FAILED)).map(Iterator::count).unwrap_or_default()
    }

    /// Throws away what is too old to be kept.
    pub fn sweep(&self, now: Instant) {
        for (folder, keep) in [(HALF, KEEP_HALF), (DONE, KEEP_DONE), (FAILED, KEEP_FAILED)] {
            let Ok(entries) = fs::read_dir(self.root.join(folder)) else { continue };
            for entry in entries.flatten() {
                let modified = entry.metadata().and_then(|data| data.modified()).map(Instant::from);
                if modified.is_ok_and(|at| now - at > keep)
                    && let Err(error) = fs::remove_file(entry.path())
                {
                    tracing::warn!(path = %entry.path().display(), %error, "an old mail could not be thrown away");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&folder.path().join("incoming")).expect("a spool");
        (folder, spool)
    }

    #[test]
    fn a_mail_waits_until_it_is_done_and_is_never_taken_twice() {
        let (_folder, spool) = spool();
        assert!(spool.put("b", b"two").expect("stored") && spool.put("a", b"one").expect("stored"));
        assert_eq!(spool.waiting().expect("read"), ["a", "b"]);
        assert_eq!(spool.read("a").expect("read").as_deref(), Some(&b"one"[..]));
        spool.done("a").expect("moved");
        spool.failed("b").expect("moved");
        assert_eq!(spool.waiting().expect("read"), Vec::<String>::new());
        assert_eq!(spool.read("a").expect("read"), None);
        assert!(!spool.put("a", b"again").expect("known") && !spool.put("b", b"again").expect("known"));
        assert_eq!(spool.failures(), 1);
    }

    const TAKING: Taking<'_> = Taking { name: "a", head: "X: y\n", largest: 10 };

    #[test]
    fn what_is_too_large_or_nothing_is_refused_and_leaves_nothing() {
        let (_folder, spool) = spool();
        let refused = receive(&[b'x'; 11][..], &TAKING, &spool).expect_err("too large");
        assert!(matches!(refused, Refused::TooLarge { largest: 10 }));
        assert!(matches!(receive(&b""[..], &TAKING, &spool), Err(Refused::Empty)));
        receive(&[b'x'; 10][..], &TAKING, &spool).expect("fits");
        assert_eq!(spool.waiting().expect("read"), ["a"]);
    }

    #[test]
    fn a_disk_that_fails_is_told_and_nothing_is_half_there() {
        let (folder, spool) = spool();
        fs::remove_dir(folder.path().join("incoming/new")).expect("removed");
        assert!(matches!(receive(&b"x"[..], &TAKING, &spool), Err(Refused::Spool(_))));
        assert_eq!(fs::read_dir(folder.path().join("incoming/tmp")).expect("read").count(), 0);
    }

    #[test]
    fn old_mails_are_thrown_away_and_those_that_wait_are_not() {
        let (_folder, spool) = spool();
        for name in ["waits", "done", "failed"] {
            spool.put(name, b"x").expect("stored");
        }
        spool.done("done").expect("moved");
        spool.failed("failed").expect("moved");
        let written = fs::metadata(spool.path(NEW, "waits")).and_then(|data| data.modified()).expect("there");
        spool.sweep(Instant::from(written) + TimeDelta::days(8));
        assert!(spool.knows("waits") && !spool.knows("done") && spool.knows("failed"));
        spool.sweep(Instant::from(written) + TimeDelta::days(91));
        assert!(spool.knows("waits") && !spool.knows("failed"));
    }
}
