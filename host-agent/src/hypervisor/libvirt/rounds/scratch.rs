//! The directory on this host for what rounds need while they run: the sockets of their NBD servers, and what QEMU sets aside of blocks
//! that a guest overwrites before they have been read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use drover_policies::attempt::FailureClass;
use drover_policies::ids::ServerId;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::super::lock;
use super::plan::{EVERY_PREFIX, Names};
use crate::hypervisor::{Answer, Refusal, RefusalKind};

/// What is left free at least, as a part of the file system: one in so many.
const RESERVE_PART: u64 = 4;
/// … and no more than this, in bytes: enough for what a guest writes between two looks.
const RESERVE_MOST: u64 = 1 << 30;

/// What is set aside ahead of each scratch file: one in so many parts of the file system.
const AHEAD_PART: u64 = 64;
/// … and no more than this, in bytes: at ten looks a second, for a guest that overwrites 640 MiB a second.
const AHEAD_MOST: u64 = 64 << 20;

/// So long a round waits for others to give their room back, before it counts as one for which there is none.
const WAIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// So long it may take until the room of a backup that is ended is free.
const GIVES_BACK: Duration = Duration::from_secs(1);

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    dir: PathBuf,
    line: Arc<Mutex<Line>>,
    /// One after the other begins to set room aside, as the next one has to see what the last one took.
    door: Arc<Mutex<()>>,
}

/// The backups that have set room aside.
#[derive(Debug, Default)]
struct Line {
    open: usize,
    next: u64,
    /// Those that look whether they may stay open. One that only begins or ends can give nothing back yet, or does so already.
    looking: BTreeSet<Place>,
    /// When one was last told to give its room back.
    told: Option<Instant>,
}

/// A backup's place in the line. The last one is the first to give its room back: of those that can wait, the one that was begun last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    can_wait: bool,
    number: u64,
}

/// While it lives, a backup may set room aside.
#[derive(Debug)]
pub(super) struct Turn {
    place: Place,
    line: Arc<Mutex<Line>>,
    is_over: AtomicBool,
}

impl Turn {
    fn take(line: &Arc<Mutex<Line>>, haste: Haste) -> Self {
        let mut all = lock(line);
        let place = Place { can_wait: haste == Haste::CanWait, number: all.next };
        all.next += 1;
        all.open += 1;
        Self { place, line: Arc::clone(line), is_over: AtomicBool::new(false) }
    }

    /// Whether this backup gives its room back, when so much is left.
    fn is_over(&self, room: Room, now: Instant) -> bool {
        if self.is_over.load(Ordering::Acquire) {
            return true;
        }
        let mut line = lock(&self.line);
        line.looking.insert(self.place);
        let is_time = line.told.is_none_or(|told| now.saturating_duration_since(told) >= GIVES_BACK);
        let is_over = room.is_short() && is_time && line.looking.last() == Some(&self.place);
        if is_over {
            line.looking.remove(&self.place);
            line.told = Some(now);
            self.is_over.store(true, Ordering::Release);
        }
        is_over
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        line.open -= 1;
        line.looking.remove(&self.place);
    }
}

/// Whether a backup gives its room back before others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// It is done again a little later.
    CanWait,
    /// A cutover waits for it, or all of a first copy hangs on it.
    GoesFirst,
}

/// Whether a backup may stay open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stay {
    /// It may.
    Yes,
    /// … but others need room soon.
    NotForLong,
    /// It is to be ended, for this reason.
    No(Refusal),
}

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) total: u64,
    pub(super) free: u64,
}

/// Room set aside for scratch files that QEMU writes, ahead of what they hold already.
///
/// A guest is stopped when QEMU finds no room for what the guest overwrites. So the room is taken before it is needed: when no more can be
/// set aside, the round ends while what was set aside still lasts.
#[derive(Debug)]
pub(super) struct Ahead {
    files: Vec<(PathBuf, File)>,
    each: u64,
}

impl Ahead {
    /// Sets room aside behind the end of each file.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn keep(&self) -> Answer<()> {
        for (path, file) in &self.files {
            let end = file.metadata().map_err(|error| refused("look at", path, &error))?.len();
            match fallocate(file, FallocateFlags::KEEP_SIZE, end, self.each) {
                // Where a file system knows no such thing, its room is only watched.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(refused("set room aside for", path, &error.into())),
            }
        }
        Ok(())
    }
}

impl Room {
    fn reserve(self) -> u64 {
        (self.total / RESERVE_PART).min(RESERVE_MOST)
    }

    /// Whether so little is left that guests might be stopped soon.
    pub(super) fn is_short(self) -> bool {
        self.free < self.reserve()
    }

    /// … so that it is not waited for one backup after the other to give its room back.
    fn is_gone(self) -> bool {
        self.free < self.reserve() / 2
    }

    /// Whether it may be short soon: who has some is to give it back, and no more is begun.
    pub(super) fn is_scarce(self) -> bool {
        self.free < self.reserve() * 2
    }
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Refusal {
    let text = format!("replication.scratch: can't {what} {}: {error}", path.display());
    Refusal::new(RefusalKind::Failed(FailureClass::RefusedBySource), text)
}

impl Scratch {
    /// Below the configured directory, as that may be one that others use as well.
    pub(super) fn new(configured: &Path) -> Self {
        Self { dir: configured.join("rounds"), line: Arc::default(), door: Arc::default() }
    }

    /// Makes the directory, for the user that QEMU runs as and for nobody else.
    pub(super) fn prepare(&self, owner: Option<(u32, u32)>) -> Answer<()> {
        fs::create_dir_all(&self.dir).map_err(|error| refused("make", &self.dir, &error))?;
        let restrict = |mode| fs::set_permissions(&self.dir, fs::Permissions::from_mode(mode));
        restrict(0o700).map_err(|error| refused("restrict", &self.dir, &error))?;
        if let Some((user, group)) = owner {
            self.can_be_entered(user, group)?;
            chown(&self.dir, Some(user), Some(group))
                .map_err(|error| refused("give away", &self.dir, &error))?;
        }
        Ok(())
    }

    /// QEMU makes its socket itself, so its user must be able to come here.
    fn can_be_entered(&self, user: u32, group: u32) -> Answer<()> {
        for above in self.dir.ancestors().skip(1) {
            let found = fs::metadata(above).map_err(|error| refused("look at", above, &error))?;
            let enters = match (found.uid() == user, found.gid() == group) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if user != 0 && found.mode() & enters == 0 {
                let text = format!(
                    "replication.scratch: {} can't be entered by the user that QEMU runs as ({user}); set a directory that can, for example /var/lib/libvirt/drover-scratch",
                    above.display()
                );
                return Err(Refusal::new(RefusalKind::Failed(FailureClass::RefusedBySource), text));
            }
        }
        Ok(())
    }

    /// Where a replica's NBD server listens.
    pub(super) fn socket(&self, names: &Names) -> PathBuf {
        self.dir.join(format!("{}.sock", names.prefix()))
    }

    /// Where one disk's NBD server listens.
    pub(super) fn disk_socket(&self, names: &Names, target: &str) -> PathBuf {
        self.dir.join(format!("{}-{target}.sock", names.prefix()))
    }

    /// What QEMU sets aside of a disk.
    pub(super) fn file(&self, names: &Names, target: &str) -> PathBuf {
        self.dir.join(format!("{}-{target}.scratch", names.prefix()))
    }

    /// Whether something lies in this directory.
    pub(super) fn holds(&self, path: &Path) -> bool {
        path.parent() == Some(&self.dir)
    }

    /// Room where the directory is.
    pub(super) fn room(&self) -> Answer<Room> {
        let found =
            rustix::fs::statvfs(&self.dir).map_err(|error| refused("look at", &self.dir, &error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Room { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    /// Hands empty scratch files to the user that QEMU runs as, and sets the first room aside for them.
    pub(super) fn ahead_of(&self, files: Vec<PathBuf>) -> Answer<Ahead> {
        let owner = fs::metadata(&self.dir).map_err(|error| refused("look at", &self.dir, &error))?;
        let open = |path: PathBuf| {
            let opened = File::options().write(true).open(&path).and_then(|file| {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
                Ok(file)
            });
            opened.map_err(|error| refused("give away", &path, &error)).map(|file| (path, file))
        };
        let each = (self.room()?.total / AHEAD_PART).min(AHEAD_MOST);
        let ahead = Ahead { files: files.into_iter().map(open).collect::<Answer<_>>()?, each };
        ahead.keep()?;
        Ok(ahead)
    }

    /// Waits for room to open a backup with, as long as there are others that will give theirs back: many that begin at once would
    /// otherwise fail together, and again at their next try. Then `set_aside` takes it.
    pub(super) fn enter(
        &self,
        haste: Haste,
        goes_on: &dyn Fn() -> Answer<()>,
        set_aside: &dyn Fn() -> Answer<Ahead>,
    ) -> Answer<(Turn, Ahead)> {
        let until = Instant::now() + WAIT;
        loop {
            let one = lock(&self.door);
            let room = self.room()?;
            let waits = lock(&self.line).open > 0 && Instant::now() < until;
            let is_let_in = match haste {
                Haste::CanWait => !room.is_scarce(),
                Haste::GoesFirst => !room.is_short(),
            };
            if is_let_in || !waits {
                if room.is_short() {
                    return Err(self.too_little(room));
                }
                let turn = Turn::take(&self.line, haste);
                return set_aside().map(|ahead| (turn, ahead));
            }
            drop(one);
            thread::sleep(LOOK_AGAIN);
            goes_on()?;
        }
    }

    /// Whether a backup may stay open. Where there is too little room one after the other is ended, as long as there is time for that.
    ///
    /// # Errors
    /// There is no time: all have to be ended at once.
    pub(super) fn stays(&self, turn: &Turn) -> Answer<Stay> {
        let room = self.room()?;
        if room.is_gone() {
            return Err(self.too_little(room));
        }
        Ok(match turn.is_over(room, Instant::now()) {
            true => Stay::No(self.too_little(room)),
            false if room.is_scarce() => Stay::NotForLong,
            false => Stay::Yes,
        })
    }

    fn too_little(&self, room: Room) -> Refusal {
        let text = format!(
            "replication.scratch: {} has only {} MiB left of {} MiB, and the guest would be stopped if it had none; make room, or set another directory",
            self.dir.display(),
            room.free >> 20,
            room.total >> 20,
        );
        Refusal::new(RefusalKind::Failed(FailureClass::RefusedBySource), text)
    }

    /// Removes what a replica's rounds have left. Nothing may use it any more.
    pub(super) fn clean(&self, names: &Names) {
        self.remove(|name| {
            let rest = name.strip_prefix(names.prefix());
            rest.is_some_and(|rest| rest.starts_with(['.', '-']))
        });
    }

    /// Removes what all rounds have left but for what says [`Scratch::frozen`].
    pub(super) fn clean_all(&self) {
        self.remove(|name| name.starts_with(EVERY_PREFIX));
    }

    fn remove(&self, is_left: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(&is_left)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), "what a round has left can't be removed: {error}");
            }
        }
    }

    /// Notes that a guest's file systems are held still, before they are. Should the agent die now, its next start finds the note.
    pub(super) fn note_frozen(&self, server: ServerId) -> io::Result<()> {
        File::create(self.frozen_path(server)).map(drop)
    }

    /// They go on.
    pub(super) fn note_thawed(&self, server: ServerId) {
        if let Err(error) = fs::remove_file(self.frozen_path(server))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%server, "the note of its frozen file systems can't be removed: {error}");
        }
    }

    /// Servers whose file systems may be held still.
    pub(super) fn frozen(&self) -> Vec<ServerId> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(FROZEN)?.parse().ok()).collect()
    }

    fn frozen_path(&self, server: ServerId) -> PathBuf {
        self.dir.join(format!("{FROZEN}{server}"))
    }
}

const FROZEN: &str = "frozen-";

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use drover_policies::ids::ReplicaId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_is_left_of_that_replica_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::new(dir.path());
        scratch.prepare(None).expect("made");
        let (one, other) =
            (Names::new(ReplicaId(Uuid::from_u128(1))), Names::new(ReplicaId(Uuid::from_u128(2))));
        for names in [&one, &other] {
            for path in [scratch.socket(names), scratch.file(names, "vda"), scratch.disk_socket(names, "vda")]
            {
                assert!(scratch.holds(&path));
                fs::write(path, "").expect("written");
            }
        }
        let server = ServerId(Uuid::from_u128(7));
        scratch.note_frozen(server).expect("noted");
        scratch.clean(&one);
        assert!(!scratch.socket(&one).exists() && scratch.file(&other, "vda").exists());
        scratch.clean_all();
        assert!(!scratch.file(&other, "vda").exists());
        assert_eq!(scratch.frozen(), [server]);
        scratch.note_thawed(server);
        assert_eq!(scratch.frozen(), []);
    }

    #[test]
    fn a_directory_that_qemu_can_t_enter_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let inside = dir.path().join("private");
        fs::create_dir(&inside).expect("made");
        let can_enter = |mode| {
            fs::set_permissions(&inside, fs::Permissions::from_mode(mode)).expect("set");
            // The temporary directory itself is its owner's alone.
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("set");
            Scratch::new(&inside).can_be_entered(64055, 64055)
        };
        assert_eq!(can_enter(0o711), Ok(()));
        let refusal = can_enter(0o700).expect_err("it is its owner's alone");
        assert!(refusal.text.contains(&inside.display().to_string()), "{refusal}");
        assert_eq!(Scratch::new(&inside).can_be_entered(0, 0), Ok(()));
    }

    #[test]
    fn room_is_set_aside_behind_the_end_of_a_file_that_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::new(dir.path());
        scratch.prepare(None).expect("made");
        let path = scratch.dir.join("vda.scratch");
        fs::write(&path, [7; 8192]).expect("written");
        let ahead = scratch.ahead_of(vec![path.clone()]).expect("there is room");
        let found = fs::metadata(&path).expect("it is there");
        assert_eq!(found.len(), 8192);
        assert!(found.blocks() * 512 >= 8192 + ahead.each, "{} blocks", found.blocks());
        let missing = scratch.ahead_of(vec![scratch.dir.join("vdb.scratch")]).expect_err("it is not there");
        assert!(missing.text.contains("vdb.scratch"), "{missing}");
    }

    const SHORT: Room = Room { total: 100 << 20, free: 20 << 20 };
    const ENOUGH: Room = Room { total: 100 << 20, free: 90 << 20 };

    #[test]
    fn one_after_the_other_gives_its_room_back_the_last_one_first() {
        let line = Arc::default();
        let [first, second, third] = [0; 3].map(|_| Turn::take(&line, Haste::CanWait));
        let now = Instant::now();
        let who =
            |after: Duration, room| [&first, &second, &third].map(|turn| turn.is_over(room, now + after));
        assert_eq!(who(Duration::ZERO, ENOUGH), [false, false, false]);
        assert_eq!(who(Duration::ZERO, SHORT), [false, false, true]);
        assert_eq!(who(GIVES_BACK / 2, SHORT), [false, false, true], "it takes a while to end it");
        // It hangs: the next one is told.
        assert_eq!(who(GIVES_BACK, SHORT), [false, true, true]);
        assert_eq!(who(GIVES_BACK * 2, ENOUGH), [false, true, true], "who was told is over");
    }

    #[test]
    fn one_that_does_not_look_yet_is_not_waited_for_and_one_in_haste_ends_last() {
        let line = Arc::default();
        let hasty = Turn::take(&line, Haste::GoesFirst);
        let first = Turn::take(&line, Haste::CanWait);
        let begins = Turn::take(&line, Haste::CanWait);
        let now = Instant::now();
        assert!(!hasty.is_over(ENOUGH, now) && !first.is_over(ENOUGH, now));
        assert!(!hasty.is_over(SHORT, now) && first.is_over(SHORT, now));
        drop(first);
        assert!(hasty.is_over(SHORT, now + GIVES_BACK), "nobody else can help");
        assert!(!begins.is_over(ENOUGH, now + GIVES_BACK));
    }

    #[test]
    fn of_many_that_wait_only_as_many_are_let_in_as_there_is_room_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::new(dir.path());
        scratch.prepare(None).expect("made");
        let room = scratch.room().expect("told");
        if room.is_scarce() {
            eprintln!("SKIPPED: {} has hardly any room", dir.path().display());
            return;
        }
        let none = || Ok(Ahead { files: Vec::new(), each: 0 });
        let stop = Cell::new(false);
        let goes_on = || match stop.replace(true) {
            false => Ok(()),
            true => Err(Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), "it waited")),
        };
        let (turn, _) = scratch.enter(Haste::CanWait, &goes_on, &none).expect("let in");
        assert_eq!(scratch.stays(&turn), Ok(Stay::Yes));
        let failed = scratch.enter(Haste::CanWait, &goes_on, &|| Err(scratch.too_little(room)));
        assert!(failed.is_err());
        assert_eq!(lock(&scratch.line).open, 1, "who could not set room aside is not waited for");
        drop(turn);
        assert_eq!(lock(&scratch.line).open, 0);
    }

    #[test]
    fn room_is_scarce_before_it_is_short_and_short_before_it_is_gone() {
        let of = |free: u64| Room { total: 100 << 20, free: free << 20 };
        let told = |free| [of(free).is_scarce(), of(free).is_short(), of(free).is_gone()];
        assert_eq!(told(51), [false, false, false]);
        assert_eq!(told(49), [true, false, false]);
        assert_eq!(told(24), [true, true, false]);
        assert_eq!(told(12), [true, true, true]);
    }

    #[test]
    fn what_is_left_free_grows_with_the_file_system_but_not_for_ever() {
        let short = |total: u64, free: u64| Room { total, free }.is_short();
        assert!(short(100 << 20, 24 << 20) && !short(100 << 20, 26 << 20));
        assert!(short(10 << 40, 1000 << 20) && !short(10 << 40, 1025 << 20));
    }
}
