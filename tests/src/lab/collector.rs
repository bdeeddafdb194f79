//! The lab's witness: hears every number that a guest acknowledges, and answers with a clock that never stands still.
//!
//! It listens on the lab's bridge, outside of all hosts. What it has heard is kept as ranges of numbers; a number that
//! does not rise is kept as a *step back*: the guest was taken back to an older disk, or runs twice.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::image::write_whole;
use super::process::wait_for;

/// The port on the bridge's address.
pub const COLLECTOR_PORT: u16 = 7070;

/// How often what was heard is written to the lab's directory, for other processes to read.
const WRITE_PAUSE: Duration = Duration::from_millis(500);

/// What was heard of one guest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Heard {
    /// The acknowledged numbers, as ranges with both ends in them, rising.
    pub acknowledged: Vec<(u64, u64)>,
    /// The largest distance of two answers as the guest measured it, less its beat, in ms.
    pub gap_ms: u64,
    /// Which reset of the measure `gap_ms` counts from.
    pub epoch: u64,
    /// Which reset was asked for last.
    pub wanted_epoch: u64,
    /// How often the guest has booted.
    pub boots: u64,
    /// When it was heard last, by the clock of [`clock_ms`].
    pub last_heard_ms: u64,
    /// Where its numbers did not rise.
    pub steps_back: Vec<StepBack>,
    /// The largest number that was heard before each boot, by the boots that the guest has counted.
    #[serde(default)]
    pub before_boot: BTreeMap<u64, u64>,
    /// Who has said that what was acknowledged beyond this number may be lost, once.
    #[serde(default)]
    pub may_lose_beyond: Option<u64>,
}

/// A number that was not larger than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepBack {
    /// The largest number heard before.
    pub after: u64,
    /// The number that was heard then.
    pub number: u64,
    /// The boot that it came from.
    pub boots: u64,
    /// When, by the clock of [`clock_ms`].
    pub at_ms: u64,
}

impl Heard {
    /// The last number it acknowledged; 0 if none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.acknowledged.last().map_or(0, |(_, last)| *last)
    }

    /// The longest time without the guest since the measure was reset, as the guest itself measured it. None while the
    /// guest has not heard of the reset yet.
    #[must_use]
    pub fn downtime(&self) -> Option<Duration> {
        (self.epoch == self.wanted_epoch).then(|| Duration::from_millis(self.gap_ms))
    }

    /// The guest has been taken back, as was said that it may be: what was acknowledged from this number on is given up. Another step back
    /// is one.
    fn give_up_from(&mut self, number: u64) {
        self.may_lose_beyond = None;
        self.acknowledged.retain(|(first, _)| *first < number);
        if let Some((_, end)) = self.acknowledged.last_mut() {
            *end = (*end).min(number - 1);
        }
    }

    fn take(&mut self, beat: &Beat, now: u64) {
        if self.may_lose_beyond.is_some_and(|kept| kept < beat.number && beat.number <= self.last()) {
            self.give_up_from(beat.number);
        }
        let last = self.last();
        self.before_boot.entry(beat.boots).or_insert(last);
        match self.acknowledged.last_mut() {
            Some((_, end)) if beat.number == *end + 1 => *end = beat.number,
            _ if beat.number > last => self.acknowledged.push((beat.number, beat.number)),
            _ => self.steps_back.push(StepBack {
                after: last,
                number: beat.number,
                boots: beat.boots,
                at_ms: now,
            }),
        }
        // The newest word counts, also after a step back: it tells what runs now.
        (self.gap_ms, self.epoch, self.boots, self.last_heard_ms) =
            (beat.gap_ms, beat.epoch, beat.boots, now);
        // A collector that was started anew would ask for an older reset than the guest has seen.
        self.wanted_epoch = self.wanted_epoch.max(beat.epoch);
    }
}

/// One message of a guest.
struct Beat {
    name: String,
    number: u64,
    gap_ms: u64,
    epoch: u64,
    boots: u64,
}

impl Beat {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("beat ")?.split_whitespace();
        let name = words.next()?.to_owned();
        let mut next = || words.next().and_then(|word| word.parse().ok());
        Some(Self { name, number: next()?, gap_ms: next()?, epoch: next()?, boots: next()? })
    }
}

type All = BTreeMap<String, Heard>;

/// A thread that listens to all guests of a lab. Ends when it is dropped; what it heard stays in the lab's directory.
#[derive(Debug)]
pub struct Collector {
    heard: Arc<Mutex<All>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Listens on `address` and keeps what it hears in `file` too, where it begins with what is there already.
    ///
    /// # Errors
    /// If the address is taken, which means that the lab has a collector.
    pub fn start(address: SocketAddr, file: &Path) -> Result<Self> {
        let socket =
            UdpSocket::bind(address).with_context(|| format!("cannot listen on {address} for the guests"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let heard = Arc::new(Mutex::new(read(file).unwrap_or_default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (heard, stop, file) = (Arc::clone(&heard), Arc::clone(&stop), file.to_owned());
            std::thread::Builder::new()
                .name("collector".into())
                .spawn(move || listen(&socket, &heard, &stop, &file))?
        };
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// What was heard of each guest, by name.
    #[must_use]
    pub fn heard(&self) -> BTreeMap<String, Heard> {
        lock(&self.heard).clone()
    }

    /// What was heard of one guest; nothing at all is an empty report.
    #[must_use]
    pub fn of(&self, guest: &str) -> Heard {
        lock(&self.heard).get(guest).cloned().unwrap_or_default()
    }

    /// Lets a guest measure its downtime anew from its next beat on. Waits until the guest has heard it.
    ///
    /// # Errors
    /// If the guest is not heard within `limit`.
    pub fn reset_downtime(&self, guest: &str, limit: Duration) -> Result<()> {
        lock(&self.heard).entry(guest.to_owned()).or_default().wanted_epoch += 1;
        wait_for(limit, Duration::from_millis(5), || self.of(guest).downtime())
            .map(drop)
            .with_context(|| format!("{guest} was not heard for {limit:?}"))
    }

    /// The guest is about to be taken back to its disks as they were when it ended before its last boot, which somebody has accepted. One
    /// step back is none then, to no number that it had acknowledged before that boot. Returns the last of those.
    ///
    /// # Errors
    /// If nothing was heard of it before its last boot.
    pub fn may_lose_last_boot(&self, guest: &str) -> Result<u64> {
        let mut all = lock(&self.heard);
        let heard = all.get_mut(guest).with_context(|| format!("{guest} was never heard"))?;
        let before = heard.before_boot.get(&heard.boots).copied().unwrap_or(0);
        ensure!(before > 0, "{guest} was heard in one boot alone, so there is nothing to go back to");
        heard.may_lose_beyond = Some(before);
        Ok(before)
    }

    /// Waits until a guest has acknowledged a number larger than `number`, and returns what was heard of it.
    ///
    /// # Errors
    /// If it has not within `limit`.
    pub fn wait_beyond(&self, guest: &str, number: u64, limit: Duration) -> Result<Heard> {
        wait_for(limit, Duration::from_millis(5), || {
            Some(self.of(guest)).filter(|heard| heard.last() > number)
        })
        .with_context(|| format!("{guest} acknowledged nothing beyond {number} within {limit:?}"))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a collector of another process has heard so far.
///
/// # Errors
/// If nothing was written yet.
pub fn read(file: &Path) -> Result<BTreeMap<String, Heard>> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
}

/// Milliseconds of the machine's monotonic clock: the same for all processes of the machine, and never set back.
#[must_use]
pub fn clock_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn lock(heard: &Mutex<All>) -> MutexGuard<'_, All> {
    // Nothing that is done under this lock can leave it half changed.
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(socket: &UdpSocket, heard: &Mutex<All>, stop: &AtomicBool, file: &Path) {
    let mut buffer = [0; 512];
    let mut written = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer)
            && let Some(beat) = Beat::parse(&String::from_utf8_lossy(&buffer[..length]))
        {
            let now = clock_ms();
            let epoch = {
                let mut all = lock(heard);
                let guest = all.entry(beat.name.clone()).or_default();
                guest.take(&beat, now);
                guest.wanted_epoch
            };
            let _ = socket.send_to(format!("answer {} {now} {epoch}", beat.number).as_bytes(), from);
        }
        if written.elapsed() >= WRITE_PAUSE {
            write(heard, file);
            written = Instant::now();
        }
    }
    write(heard, file);
}

/// Not being able to write is no reason to stop listening: the lab may be on its way out, its directory gone.
fn write(heard: &Mutex<All>, file: &Path) {
    let all = lock(heard).clone();
    if let Ok(text) = serde_json::to_vec(&all) {
        let _ = write_whole(file, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(number: u64) -> Beat {
        Beat { name: "a".to_owned(), number, gap_ms: 0, epoch: 0, boots: 1 }
    }

    #[test]
    fn numbers_become_ranges_and_a_missing_message_makes_a_hole() {
        let mut heard = Heard::default();
        for number in [1, 2, 3, 5, 6] {
            heard.take(&beat(number), 0);
        }
        assert_eq!(heard.acknowledged, [(1, 3), (5, 6)]);
        assert_eq!(heard.last(), 6);
        assert!(heard.steps_back.is_empty());
    }

    #[test]
    fn a_number_that_does_not_rise_is_a_step_back() {
        let mut heard = Heard::default();
        for number in [1, 2, 3, 3, 2, 4] {
            heard.take(&beat(number), 7);
        }
        let back = |number| StepBack { after: 3, number, boots: 1, at_ms: 7 };
        assert_eq!(heard.steps_back, [back(3), back(2)]);
        assert_eq!(heard.acknowledged, [(1, 4)]);
    }

    #[test]
    fn a_loss_that_was_accepted_is_forgiven_once_and_no_further_than_it_was() {
        let boot = |boots, number| Beat { boots, ..beat(number) };
        let story = |back_to: u64| {
            let mut heard = Heard::default();
            [boot(1, 1), boot(1, 2), boot(2, 3), boot(2, 4), boot(2, 5)]
                .iter()
                .for_each(|beat| heard.take(beat, 0));
            heard.may_lose_beyond = heard.before_boot.get(&2).copied();
            heard.take(&boot(2, 6), 0);
            heard.take(&boot(2, back_to), 0);
            heard
        };
        let mut back = story(3);
        assert!(back.steps_back.is_empty(), "{:?}", back.steps_back);
        assert_eq!(back.acknowledged, [(1, 3)]);
        assert_eq!(back.before_boot, BTreeMap::from([(1, 0), (2, 2)]));
        back.take(&boot(2, 3), 0);
        assert_eq!(back.steps_back.len(), 1, "only once");
        assert_eq!(story(2).steps_back.len(), 1, "what it had before that boot is not given up");
    }

    #[test]
    fn the_downtime_is_unknown_until_the_guest_has_heard_of_the_reset() {
        let mut heard = Heard { wanted_epoch: 1, ..Heard::default() };
        heard.take(&Beat { gap_ms: 900, ..beat(1) }, 0);
        assert_eq!(heard.downtime(), None);
        heard.take(&Beat { epoch: 1, gap_ms: 20, ..beat(2) }, 0);
        assert_eq!(heard.downtime(), Some(Duration::from_millis(20)));
    }
}
