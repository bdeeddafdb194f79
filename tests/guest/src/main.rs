//! The only service of a lab guest: it proves that nothing written was lost, and measures its own downtime.
//!
//! In a steady beat it writes the next number into a ring of records on each disk, waits until the disks have it, and only
//! then *acknowledges* the number to a collector outside. The collector answers with its own clock, the one clock that
//! goes on while this guest stands still; the largest distance between two answers is what an owner would have felt.
//! Every record also holds what this measure knows, so that it survives a reboot. The number is printed on the console
//! too, as a heartbeat for whoever can see no more than that.
//!
//! Parameters come from the kernel's command line: `drover.name`, `drover.collector` (address:port), `drover.beat_ms`,
//! `drover.dirty_mib` and `drover.dirty_pause_ms`; `drover.load_mib` and `drover.load_kib_s` are [`load`]'s,
//! `drover.events` and `drover.events_from` are [`events`]'s, `drover.service` and `drover.service_boots` [`service`]'s. What the others (`drover.ip` and so on) mean is said in
//! `init.sh`.

mod events;
mod load;
mod rings;
mod service;

use std::fs;
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use drover_lab_guest::Record;
use load::Load;
use rings::Rings;
use service::Service;

/// Bytes of a page of memory.
const PAGE: usize = 4096;

fn main() {
    let parameters = Parameters::read();
    if parameters.dirty_mib > 0 {
        let (mib, pause) = (parameters.dirty_mib, parameters.dirty_pause);
        std::thread::spawn(move || dirty_memory(mib, pause));
    }
    if let Some(load) = parameters.load {
        std::thread::spawn(move || {
            if let Err(error) = load::write_for_ever(load) {
                println!("trouble: load: {error}");
            }
        });
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
    load: Option<Load>,
    asking: Option<events::Asking>,
    service: Option<Service>,
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
            load: Some(Load { mib: number("load_mib", 0), kib_per_second: number("load_kib_s", 0) })
                .filter(|load| load.mib > 0),
            service: word("service")
                .and_then(|port| port.parse().ok())
                .map(|port| Service { port, boots: number("service_boots", 0) }),
            asking: word("events_from").and_then(|from| events::Asking::new(from, word("events")?)),
        }
    }
}

/// Takes an answer of the collector into a record.
fn answer(record: &mut Record, clock: u64, epoch: u64, beat: Duration) {
    let beat_ms = u64::try_from(beat.as_millis()).unwrap_or(u64::MAX);
    if epoch > record.epoch {
        (record.epoch, record.gap) = (epoch, 0);
    } else if record.answered > 0 {
        record.gap = record.gap.max(clock.saturating_sub(record.answered).saturating_sub(beat_ms));
    }
    record.answered = clock;
}

/// Beats until something fails.
fn beat(parameters: &Parameters) -> io::Result<()> {
    let (rings, mut record) = Rings::open()?;
    record.boots += 1;
    println!("up: {} boot {} after number {}", parameters.name, record.boots, record.number);
    if let Some(service) = parameters.service.filter(|service| service.is_offered(record.boots)) {
        std::thread::spawn(move || {
            if let Err(error) = service::answer_for_ever(service.port) {
                println!("trouble: service: {error}");
            }
        });
    }
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut due = Instant::now();
    loop {
        record.number += 1;
        rings.write(record)?;
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
            answer(record, clock, epoch, beat);
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
    fn the_gap_is_the_largest_distance_of_answers_less_the_beat_until_a_reset() {
        let beat = Duration::from_millis(50);
        let mut record = Record::default();
        answer(&mut record, 1000, 0, beat);
        assert_eq!(record.gap, 0, "the first answer has nothing to be measured from");
        answer(&mut record, 1050, 0, beat);
        assert_eq!(record.gap, 0);
        answer(&mut record, 1350, 0, beat);
        answer(&mut record, 1410, 0, beat);
        assert_eq!(record.gap, 250);
        answer(&mut record, 2000, 1, beat);
        assert_eq!((record.gap, record.epoch), (0, 1));
    }
}
