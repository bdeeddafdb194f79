//! The only service of a lab guest: it proves that nothing written was lost, and measures its own downtime.
//!
//! In a steady beat it writes the next number into a ring of records on its disk, waits until the disk has it, and only
//! then *acknowledges* the number to a collector outside. The collector answers with its own clock, the one clock that
//! goes on while this guest stands still; the largest distance between two answers is what an owner would have felt.
//! Every record also holds what this measure knows, so that it survives a reboot. The number is printed on the console
//! too, as a heartbeat for whoever can see no more than that.
//!
//! Parameters come from the kernel's command line: `drover.name`, `drover.collector` (address:port), `drover.beat_ms`,
//! `drover.dirty_mib` and `drover.dirty_pause_ms`; `drover.events` and `drover.events_from` are [`events`]'s. What the others (`drover.ip` and so on) mean is said in `init.sh`.

mod events;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

/// The ring, made by the lab together with the disk: it never grows, so that a write changes data only and can be found
/// in the image of a running guest too.
const RING: &str = "/data/ring";

/// Bytes of one record, its line feed included.
const RECORD: usize = 64;

/// Bytes of a page of memory.
const PAGE: usize = 4096;

fn main() {
    let parameters = Parameters::read();
    if parameters.dirty_mib > 0 {
        let (mib, pause) = (parameters.dirty_mib, parameters.dirty_pause);
        std::thread::spawn(move || dirty_memory(mib, pause));
    }
    if let Some(asking) = parameters.asking.clone() {
        std::thread::spawn(move || events::ask_for_ever(&asking));
    }
    loop {
        if let Err(error) = beat(&parameters) {
            println!("trouble: {error}");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

struct Parameters {
    name: String,
    collector: String,
    beat: Duration,
    dirty_mib: usize,
    dirty_pause: Duration,
    asking: Option<events::Asking>,
}

impl Parameters {
    fn read() -> Self {
        let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let word = |key: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix("drover.")?.strip_prefix(key)?.strip_prefix('='))
        };
        let number =
            |key: &str, default: u64| word(key).and_then(|text| text.parse().ok()).unwrap_or(default);
        Self {
            name: word("name").unwrap_or("nameless").to_owned(),
            collector: word("collector").unwrap_or("10.213.1.1:7070").to_owned(),
            beat: Duration::from_millis(number("beat_ms", 50).max(1)),
            dirty_mib: usize::try_from(number("dirty_mib", 0)).unwrap_or(0),
            dirty_pause: Duration::from_millis(number("dirty_pause_ms", 20)),
            asking: word("events_from").and_then(|from| events::Asking::new(from, word("events")?)),
        }
    }
}

/// What a record holds. The newest one is the one with the highest number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    /// Counts the beats, over all boots; 0 before the first.
    number: u64,
    /// The collector's clock in its last answer before this beat, in ms; 0 if there was none yet.
    answered: u64,
    /// The largest distance of two answers since the measure was reset, less the beat, in ms.
    gap: u64,
    /// Which reset of the measure this is; the collector counts them.
    epoch: u64,
    /// How often this guest has booted.
    boots: u64,
}

impl Record {
    fn to_line(self) -> String {
        let Self { number, answered, gap, epoch, boots } = self;
        let text = format!("{number} {answered} {gap} {epoch} {boots}");
        format!("{text:<width$}\n", width = RECORD - 1)
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(line).ok()?.split_whitespace().map(|field| field.parse().ok());
        let mut next = || fields.next().flatten();
        Some(Self { number: next()?, answered: next()?, gap: next()?, epoch: next()?, boots: next()? })
    }

    /// Takes in an answer of the collector.
    fn answer(&mut self, clock: u64, epoch: u64, beat: Duration) {
        let beat_ms = u64::try_from(beat.as_millis()).unwrap_or(u64::MAX);
        if epoch > self.epoch {
            (self.epoch, self.gap) = (epoch, 0);
        } else if self.answered > 0 {
            self.gap = self.gap.max(clock.saturating_sub(self.answered).saturating_sub(beat_ms));
        }
        self.answered = clock;
    }
}

/// The newest record of the ring and how many records it has room for.
fn last_record(ring: &File) -> io::Result<(Record, u64)> {
    let size = ring.metadata()?.len();
    let slots = size / RECORD as u64;
    if slots == 0 {
        return Err(io::Error::other(format!("{RING} is empty")));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    ring.read_exact_at(&mut bytes, 0)?;
    let newest = bytes.chunks_exact(RECORD).filter_map(Record::from_line).max_by_key(|record| record.number);
    Ok((newest.unwrap_or_default(), slots))
}

/// Beats until something fails.
fn beat(parameters: &Parameters) -> io::Result<()> {
    let ring = OpenOptions::new().read(true).write(true).open(RING)?;
    let (mut record, slots) = last_record(&ring)?;
    record.boots += 1;
    println!("up: {} boot {} after number {}", parameters.name, record.boots, record.number);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut due = Instant::now();
    loop {
        record.number += 1;
        let slot = (record.number - 1) % slots;
        ring.write_all_at(record.to_line().as_bytes(), slot * RECORD as u64)?;
        ring.sync_data()?;
        acknowledge(&socket, parameters, &record);
        println!("beat {}", record.number);
        io::stdout().flush()?;
        due = (due + parameters.beat).max(Instant::now());
        wait_for_answer(&socket, &mut record, due, parameters.beat);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Tells the collector that this number is on the disk. Where the network is down, the number stays unacknowledged.
fn acknowledge(socket: &UdpSocket, parameters: &Parameters, record: &Record) {
    let Record { number, gap, epoch, boots, .. } = record;
    let message = format!("beat {} {number} {gap} {epoch} {boots}", parameters.name);
    let _ = socket.send_to(message.as_bytes(), &parameters.collector);
}

/// Takes answers until the one to this number has come or the next beat is due. A late answer to an earlier number counts
/// too: its clock tells when that beat arrived, however long the way back took.
fn wait_for_answer(socket: &UdpSocket, record: &mut Record, due: Instant, beat: Duration) {
    let mut buffer = [0; 128];
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        let Ok(length) = socket.recv(&mut buffer) else { return };
        let text = String::from_utf8_lossy(&buffer[..length]);
        let mut words = text.split_whitespace();
        if words.next() != Some("answer") {
            continue;
        }
        let mut next = || words.next().and_then(|word| word.parse::<u64>().ok());
        if let (Some(number), Some(clock), Some(epoch)) = (next(), next(), next()) {
            record.answer(clock, epoch, beat);
            if number >= record.number {
                return;
            }
        }
    }
}

/// Writes into every page of so many MiB, again and again, so that a live migration finds them changed each time.
fn dirty_memory(mib: usize, pause: Duration) {
    let mut memory = vec![1_u8; mib << 20];
    let mut value = 0_u8;
    loop {
        value = value.wrapping_add(1).max(1);
        for page in memory.chunks_mut(PAGE) {
            page[0] = value;
        }
        std::hint::black_box(&mut memory);
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_line_form_and_the_line_has_the_fixed_length() {
        let record =
            Record { number: 123_456_789, answered: 1_234_567_890_123, gap: 86_400_000, epoch: 99, boots: 7 };
        let line = record.to_line();
        assert_eq!(line.len(), RECORD);
        assert_eq!(Record::from_line(line.as_bytes()), Some(record));
        assert_eq!(Record::from_line("\n".repeat(RECORD).as_bytes()), None);
    }

    #[test]
    fn the_gap_is_the_largest_distance_of_answers_less_the_beat_until_a_reset() {
        let beat = Duration::from_millis(50);
        let mut record = Record::default();
        record.answer(1000, 0, beat);
        assert_eq!(record.gap, 0, "the first answer has nothing to be measured from");
        record.answer(1050, 0, beat);
        assert_eq!(record.gap, 0);
        record.answer(1350, 0, beat);
        record.answer(1410, 0, beat);
        assert_eq!(record.gap, 250);
        record.answer(2000, 1, beat);
        assert_eq!((record.gap, record.epoch), (0, 1));
    }
}
