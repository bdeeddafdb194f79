//! Watches all hosts all the time for a guest that runs twice, or nowhere, by virsh alone.
//!
//! No view of two hosts is taken at one instant, so "running here, running there" of two questions one after the other
//! proves nothing: a migration may have ended in between. What does prove it is a *sandwich*: host A says running, then
//! B says running, then A says running again, each question answered before the next is asked, and A's two answers
//! speak of the same libvirt id, which means of the same QEMU process. That process existed all the while; so B ran the
//! guest while A's copy was there, and A's copy ran afterwards. libvirt's own handover never looks so: A is paused
//! before B runs, and never runs again once B has; B is paused (not running) as long as it receives.
//!
//! One thread per host asks about twenty times a second over one connection, and what it hears is compared with what
//! the others heard. Two copies that both run for a fifth of a second are found. While a host's libvirtd does not
//! answer, nothing can be said about it; [`WatchReport::silences`] tells for how long, and [`super::Heard::steps_back`]
//! is the second witness, which needs no libvirtd.
//!
//! That a guest runs nowhere is taken for proven only while the latest answers of all hosts are fresh and none of them has it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::host::Host;

/// The pause between two questions to one host.
const PAUSE: Duration = Duration::from_millis(50);

/// How many answers of each host are kept to be compared: those of the last ten seconds.
const KEPT: usize = 200;

/// An answer that is older than this says nothing of the present.
const FRESH: Duration = Duration::from_secs(1);

/// What a domain's UUID is to libvirt on one host: the number changes each time a QEMU is started for it.
type Running = BTreeMap<String, u32>;

/// One answer of one host.
#[derive(Debug, Clone)]
struct Answer {
    asked: Instant,
    heard: Instant,
    running: Running,
}

/// A guest that ran on two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The domain's UUID.
    pub uuid: String,
    /// The host that ran it before and after.
    pub around: String,
    /// The host that ran it in between.
    pub between: String,
    /// When it was seen first.
    pub first: Instant,
    /// How often it was seen.
    pub times: u32,
}

/// A time for which a guest that had run ran nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The domain's UUID.
    pub uuid: String,
    /// The first moment at which no host ran it.
    pub from: Instant,
    /// The last one.
    pub until: Instant,
}

/// What a watch has seen.
#[derive(Debug, Clone, Default)]
pub struct WatchReport {
    /// Guests that ran twice.
    pub violations: Vec<Violation>,
    /// How many answers each host gave.
    pub answers: BTreeMap<String, u64>,
    /// Times for which guests ran nowhere, those that go on included.
    pub absences: Vec<Absence>,
    /// The longest time in which each host gave none.
    pub silences: BTreeMap<String, Duration>,
}

impl WatchReport {
    /// Nothing, if each host was asked and no guest ran twice.
    ///
    /// # Errors
    /// Otherwise, with what was seen.
    pub fn ok(&self) -> Result<()> {
        for (host, answers) in &self.answers {
            ensure!(*answers > 0, "the watcher never got an answer of {host}");
        }
        ensure!(self.violations.is_empty(), "guests ran twice: {:#?}", self.violations);
        Ok(())
    }
}

/// The watch over the hosts of a lab. Ends when it is dropped.
#[derive(Debug)]
pub struct Watcher {
    board: Arc<Mutex<Board>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch these hosts.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(hosts: &[Host]) -> Result<Self> {
        let board = Arc::new(Mutex::new(Board::new(hosts.iter().map(|host| host.name().to_owned()))));
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let (board, stop, uri) = (Arc::clone(&board), Arc::clone(&stop), host.libvirt_uri());
            let thread = std::thread::Builder::new().name(format!("watcher-{}", host.name()));
            threads.push(thread.spawn(move || watch(&uri, number, &board, &stop))?);
        }
        Ok(Self { board, stop, threads })
    }

    /// What was seen so far.
    #[must_use]
    pub fn report(&self) -> WatchReport {
        lock(&self.board).report()
    }

    /// Ends the watch and returns what was seen.
    #[must_use]
    pub fn finish(mut self) -> WatchReport {
        self.end();
        self.report()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

/// What all threads have heard.
#[derive(Debug)]
struct Board {
    hosts: Vec<HostView>,
    violations: Vec<Violation>,
    absences: Vec<Absence>,
    /// By guest that has ever run: the place in `absences` of the time for which it has been away, if it is.
    away: BTreeMap<String, Option<usize>>,
    started: Instant,
}

#[derive(Debug)]
struct HostView {
    name: String,
    answers: VecDeque<Answer>,
    count: u64,
    longest_silence: Duration,
}

impl Board {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let view =
            |name| HostView { name, answers: VecDeque::new(), count: 0, longest_silence: Duration::ZERO };
        Self {
            hosts: names.map(view).collect(),
            violations: Vec::new(),
            absences: Vec::new(),
            away: BTreeMap::new(),
            started: Instant::now(),
        }
    }

    /// Takes an answer in and compares it with all others, as the filling of a sandwich and as its upper half: which of
    /// the threads gets here first says nothing about who asked first.
    fn take(&mut self, host: usize, answer: Answer) {
        let silence = answer.heard - self.last_heard(host);
        let view = &mut self.hosts[host];
        view.longest_silence = view.longest_silence.max(silence);
        view.count += 1;
        view.answers.push_back(answer);
        if view.answers.len() > KEPT {
            view.answers.pop_front();
        }
        let mut found = Vec::new();
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let (mine, others) = (&self.hosts[host].answers, &self.hosts[other].answers);
            let newest = mine.len() - 1;
            found.extend(sandwiches(mine, newest, others).map(|uuid| (uuid, host, other)));
            for upper in 1..others.len() {
                let filling = mine.range(newest..);
                found.extend(
                    twice(&others[upper - 1], &others[upper], filling).map(|uuid| (uuid, other, host)),
                );
            }
        }
        for (uuid, around, between) in found {
            self.record(uuid, around, between);
        }
        self.look_for_absences(host);
    }

    /// After an answer of a host.
    fn look_for_absences(&mut self, host: usize) {
        let Some(answer) = self.hosts[host].answers.back() else { return };
        let fresh = |latest: &Answer| answer.heard.saturating_duration_since(latest.heard) < FRESH;
        let latest = || self.hosts.iter().map(|host| host.answers.back());
        let all_fresh = latest().all(|latest| latest.is_some_and(fresh));
        // Each answer is of some moment between question and answer: only until the first of the questions it is certain of all.
        let until = latest().flatten().map(|latest| latest.asked).min().unwrap_or(answer.asked);
        for uuid in answer.running.keys() {
            self.away.insert(uuid.clone(), None);
        }
        for (uuid, away) in &mut self.away {
            let runs = latest().flatten().any(|latest| latest.running.contains_key(uuid));
            match (runs || !all_fresh, *away) {
                (true, _) => *away = None,
                (false, Some(known)) => {
                    let absence = &mut self.absences[known];
                    absence.until = absence.until.max(until);
                }
                (false, None) => {
                    *away = Some(self.absences.len());
                    let (uuid, from) = (uuid.clone(), answer.heard);
                    self.absences.push(Absence { uuid, from, until: from });
                }
            }
        }
    }

    fn last_heard(&self, host: usize) -> Instant {
        self.hosts[host].answers.back().map_or(self.started, |answer| answer.heard)
    }

    fn record(&mut self, uuid: String, around: usize, between: usize) {
        let (around, between) = (self.hosts[around].name.clone(), self.hosts[between].name.clone());
        let known = self
            .violations
            .iter_mut()
            .find(|known| known.uuid == uuid && known.around == around && known.between == between);
        match known {
            Some(known) => known.times += 1,
            None => {
                self.violations.push(Violation { uuid, around, between, first: Instant::now(), times: 1 })
            }
        }
    }

    fn report(&self) -> WatchReport {
        let now = Instant::now();
        let silence = |host: usize| self.hosts[host].longest_silence.max(now - self.last_heard(host));
        WatchReport {
            violations: self.violations.clone(),
            // Where no question came after the answers that miss it, they were of moments that lie too far apart to prove anything.
            absences: self.absences.iter().filter(|away| away.until > away.from).cloned().collect(),
            answers: self.hosts.iter().map(|view| (view.name.clone(), view.count)).collect(),
            silences: (0..self.hosts.len())
                .map(|host| (self.hosts[host].name.clone(), silence(host)))
                .collect(),
        }
    }
}

/// The guests that some answer of `others` shows running between answer `upper` of `mine` and the one before it.
fn sandwiches<'a>(
    mine: &'a VecDeque<Answer>,
    upper: usize,
    others: &'a VecDeque<Answer>,
) -> impl Iterator<Item = String> + 'a {
    let pair = upper.checked_sub(1).map(|lower| (&mine[lower], &mine[upper]));
    pair.into_iter().flat_map(|(lower, upper)| twice(lower, upper, others.iter()))
}

/// The guests that one and the same QEMU ran at `lower` and at `upper`, and that a filling in between shows too.
fn twice<'a>(
    lower: &'a Answer,
    upper: &'a Answer,
    fillings: impl Iterator<Item = &'a Answer> + 'a,
) -> impl Iterator<Item = String> + 'a {
    fillings
        .filter(|filling| filling.asked >= lower.heard && filling.heard <= upper.asked)
        .flat_map(|filling| filling.running.keys())
        .filter(|uuid| lower.running.get(*uuid).is_some_and(|id| upper.running.get(*uuid) == Some(id)))
        .cloned()
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(uri: &str, host: usize, board: &Mutex<Board>, stop: &AtomicBool) {
    let mut virsh = None;
    let mut mark = 0;
    while !stop.load(Ordering::Relaxed) {
        if virsh.is_none() {
            virsh = Prompt::open(uri).ok();
        }
        mark += 1;
        let asked = Instant::now();
        match virsh.as_mut().map(|prompt| prompt.running(mark)) {
            Some(Ok(running)) => lock(board).take(host, Answer { asked, heard: Instant::now(), running }),
            Some(Err(_)) => virsh = None,
            None => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// One virsh that is asked again and again: a new one for every question would take a core of its own.
struct Prompt {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Prompt {
    /// Opens a connection that is given up when the host has not been heard for four seconds, as after a cut link.
    fn open(uri: &str) -> Result<Self> {
        let mut child = Command::new("virsh")
            .env("LC_ALL", "C")
            .args(["--quiet", "--keepalive-interval", "2", "--keepalive-count", "2", "--connect", uri])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start virsh")?;
        let input = child.stdin.take().context("virsh has no input")?;
        let output = BufReader::new(child.stdout.take().context("virsh has no output")?);
        Ok(Self { child, input, output })
    }

    /// Asks for the running domains. The second command only proves that the connection stood: virsh tells of errors
    /// on another channel, and an answer without domains looks like no answer.
    fn running(&mut self, mark: u64) -> Result<Running> {
        writeln!(self.input, "list --uuid --id --state-running\nuri\necho END-{mark}")?;
        // virsh repeats what it was told after its prompt; only its own word stands at the beginning of a line.
        let end = format!("\nEND-{mark}");
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.output.read_exact(&mut byte).context("virsh ended")?;
            text.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&text);
        ensure!(text.lines().any(|line| line.starts_with("qemu")), "no answer");
        Ok(text.lines().filter_map(parse_line).collect())
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of a UUID and an id; virsh has changed their order before.
fn parse_line(line: &str) -> Option<(String, u32)> {
    let mut words = line.split_whitespace();
    let (first, second) = (words.next()?, words.next()?);
    let (uuid, id) = if first.len() == 36 { (first, second) } else { (second, first) };
    (uuid.len() == 36 && words.next().is_none()).then_some(())?;
    Some((uuid.to_owned(), id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "90e57000-0001-4000-8000-000000000001";

    /// Plays answers of two hosts, given as (host, asked, heard, id if running), and returns how many violations.
    fn play(answers: &[(usize, u64, u64, Option<u32>)]) -> usize {
        board(answers).violations.len()
    }

    /// The same, and returns for how many milliseconds at a time it ran nowhere.
    fn absences(answers: &[(usize, u64, u64, Option<u32>)]) -> Vec<u128> {
        board(answers).report().absences.iter().map(|away| (away.until - away.from).as_millis()).collect()
    }

    fn board(answers: &[(usize, u64, u64, Option<u32>)]) -> Board {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut board = Board::new(["a".to_owned(), "b".to_owned()].into_iter());
        board.started = start;
        for (host, asked, heard, id) in answers {
            let running = id.iter().map(|id| (GUEST.to_owned(), *id)).collect();
            board.take(*host, Answer { asked: at(*asked), heard: at(*heard), running });
        }
        board
    }

    #[test]
    fn a_guest_that_runs_nowhere_is_missed_until_it_runs_again() {
        let off = [
            (0, 0, 1, Some(1)),
            (1, 2, 3, None),
            (0, 50, 51, None),
            (1, 500, 501, None),
            (0, 510, 511, None),
        ];
        // From the answer at 51 to the question at 500: by the one at 510 it may run on the other host again.
        assert_eq!(absences(&off), [449]);
        assert_eq!(absences(&[&off[..], &[(1, 600, 601, Some(4)), (0, 700, 701, None)]].concat()), [449]);
    }

    #[test]
    fn while_a_host_is_silent_nobody_knows_whether_it_runs_there() {
        let silent = [(0, 0, 1, Some(1)), (1, 2, 3, None), (0, 50, 51, None), (0, 2000, 2001, None)];
        assert_eq!(absences(&silent), Vec::<u128>::new());
    }

    #[test]
    fn a_handover_between_two_questions_is_no_violation() {
        assert_eq!(play(&[(0, 0, 1, Some(1)), (1, 2, 3, Some(1)), (0, 4, 5, None), (1, 6, 7, Some(1))]), 0);
    }

    #[test]
    fn two_copies_that_go_on_running_are_found() {
        assert_eq!(play(&[(0, 0, 1, Some(1)), (1, 2, 3, Some(1)), (0, 4, 5, Some(1))]), 1);
    }

    #[test]
    fn they_are_found_also_if_the_middle_answer_is_handed_in_last() {
        assert_eq!(play(&[(0, 0, 1, Some(1)), (0, 4, 5, Some(1)), (1, 2, 3, Some(1))]), 1);
    }

    #[test]
    fn answers_that_overlap_in_time_prove_nothing() {
        assert_eq!(play(&[(0, 0, 3, Some(1)), (1, 2, 5, Some(1)), (0, 4, 6, Some(1))]), 0);
    }

    #[test]
    fn there_and_back_again_between_two_questions_is_another_qemu_and_no_violation() {
        assert_eq!(play(&[(0, 0, 1, Some(1)), (1, 2, 3, Some(7)), (0, 4, 5, Some(2))]), 0);
    }

    #[test]
    fn lines_of_virsh_are_read_in_both_orders_and_prompts_are_passed_over() {
        assert_eq!(parse_line(&format!("{GUEST} 7")), Some((GUEST.to_owned(), 7)));
        assert_eq!(parse_line(&format!(" 7   {GUEST}")), Some((GUEST.to_owned(), 7)));
        assert_eq!(parse_line("virsh # list --uuid --id --state-running"), None);
        assert_eq!(parse_line("qemu+tcp://10.213.1.11/system"), None);
    }
}
