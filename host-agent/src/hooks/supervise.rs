//! The process that a hook belongs to: it begins the hook, once, holds it to its time, keeps what it writes, and notes how it ended.
//!
//! Whatever the hook starts, in whatever session or group, is below this process, which adopts what is orphaned there (`PR_SET_CHILD_SUBREAPER`).
//! So all of it can be ended when its time is up. When the hook ends by itself, what it has left running stays: that is how services are
//! restarted where nothing else looks after them.

use std::io::{self, PipeReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use drover_policies::hooks::HookOutcome;
use drover_policies::time::{Clock as _, Span};
use rustix::process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper, setsid, wait};

use super::output::{Output, last_line};
use super::place::{Begun, Ended, Place, Run, Written};
use crate::clock::{HostClock as _, SystemClock};
use crate::durable::DiskError;
use crate::processes::{descendants, signal_all};

/// How often its output is put down, if there is more, and looked whether it is to stop. Often, as a host that is rebooted takes what was not.
const TICK: Duration = Duration::from_millis(200);

/// How long what is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long what was killed is waited for: a process that the kernel holds ends later.
const KILLED: Duration = Duration::from_secs(10);

/// How long its last words are waited for when it has left something running that could write as well.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a hook was not begun, or how it ended could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Its directory could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is nothing to be run.
    #[error("{0} does not say what is to be run")]
    NoRun(std::path::PathBuf),
    /// The system does not let it look after what the hook starts.
    #[error("what the hook starts can't be kept together")]
    Reaper(#[source] io::Error),
}

/// Runs the hook that a directory tells of, unless it was begun before. Returns when nothing of it writes any more.
///
/// # Errors
/// When it could not be begun at all. That it failed is no error.
pub fn supervise(directory: &Path) -> Result<(), SuperviseError> {
    let place = Place::at(directory);
    let Some(lock) = place.lock()? else { return Ok(()) };
    if place.read::<Begun>()?.is_some() || place.read::<Ended>()?.is_some() || place.is_to_stop()? {
        return Ok(());
    }
    let run: Run = place.read()?.ok_or_else(|| SuperviseError::NoRun(directory.to_owned()))?;
    // Not ended with the agent's terminal. It fails only for one that has a session of its own already.
    let _ = setsid();
    set_child_subreaper(Some(getpid())).map_err(|error| SuperviseError::Reaper(error.into()))?;
    place.write(&Begun { at: SystemClock.now(), boot_id: run.boot_id.clone() })?;
    let began = SystemClock.elapsed();
    let (outcome, talks) = match Watched::begin(&run) {
        Ok(mut watched) => {
            let outcome = watched.watch(&place, began, run.limit);
            watched.hear_last_words();
            watched.put_down(&place);
            (outcome, watched.talks())
        }
        Err(error) => {
            let why =
                format!("{} can't be started: {error}; is its first line right?", run.program.display());
            (HookOutcome::Refused { why }, None)
        }
    };
    let ended = Ended { outcome, took: Span(SystemClock.elapsed().saturating_sub(began)) };
    while let Err(error) = place.write(&ended) {
        if !directory.exists() {
            // Nobody wants to know any more.
            return Err(error.into());
        }
        tracing::error!("how the hook ended can't be noted, trying again: {error}");
        thread::sleep(TICK);
    }
    drop(lock);
    // What it has left running may go on to write: it would be ended by a pipe that nobody reads.
    if let Some(reader) = talks {
        let _ = reader.join();
    }
    Ok(())
}

enum Event {
    /// The hook has ended.
    Ended(HookOutcome),
    /// Everything that was started has ended.
    Nobody,
    /// Nobody is left who could write.
    Silent,
}

/// A hook that runs.
struct Watched {
    events: Receiver<Event>,
    output: Arc<Mutex<Output>>,
    reader: JoinHandle<()>,
    /// Nobody is left who could write.
    silent: bool,
    /// How much of its output is put down.
    put_down: u64,
}

impl Watched {
    fn begin(run: &Run) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&run.program);
        command.env_clear().envs(&run.variables).current_dir("/");
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let (sender, events) = mpsc::channel();
        let output = Arc::new(Mutex::new(Output::default()));
        let (heard, silence) = (Arc::clone(&output), sender.clone());
        let reader = thread::Builder::new().spawn(move || {
            read(reader, &heard);
            let _ = silence.send(Event::Silent);
        })?;
        // Both threads are there before there is anything to be looked after.
        let (begun, first) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            if let Ok(first) = first.recv() {
                reap(first, &sender);
            }
        })?;
        let child = command.spawn()?;
        let _ = begun.send(Pid::from_child(&child));
        // The command holds the writing end: nobody would be seen to be silent.
        drop(command);
        Ok(Self { events, output, reader, silent: false, put_down: 0 })
    }

    /// Until it ends, or is ended.
    fn watch(&mut self, place: &Place, began: Duration, limit: Span) -> HookOutcome {
        loop {
            let left = limit.0.saturating_sub(SystemClock.elapsed().saturating_sub(began));
            match self.events.recv_timeout(left.min(TICK)) {
                Ok(Event::Ended(outcome)) => return outcome,
                Ok(Event::Silent) => self.silent = true,
                Ok(Event::Nobody) | Err(RecvTimeoutError::Disconnected) => {
                    return HookOutcome::Lost { why: "the system does not tell how it ended".to_owned() };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if left.is_zero() {
                self.end_all();
                return HookOutcome::TimedOut { after: limit };
            }
            // What can't be read is looked at again.
            if place.is_to_stop().unwrap_or(false) {
                self.end_all();
                return HookOutcome::Stopped;
            }
            self.put_down(place);
        }
    }

    /// Ends the hook and everything that it has started: asked first, so that a package manager can tidy up, and then killed.
    fn end_all(&mut self) {
        signal_all(&descendants(getpid()), Signal::TERM);
        if self.nobody_within(GRACE) {
            return;
        }
        let deadline = SystemClock.elapsed() + KILLED;
        while SystemClock.elapsed() < deadline {
            // Again and again: one that is being looked for may have started another.
            signal_all(&descendants(getpid()), Signal::KILL);
            if self.nobody_within(Duration::from_millis(50)) {
                return;
            }
        }
        let left = descendants(getpid());
        tracing::error!("{} processes of the hook can't be killed: {left:?}", left.len());
    }

    fn nobody_within(&mut self, time: Duration) -> bool {
        let deadline = SystemClock.elapsed() + time;
        loop {
            match self.events.recv_timeout(deadline.saturating_sub(SystemClock.elapsed())) {
                Ok(Event::Nobody) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(Event::Silent) => self.silent = true,
                Ok(Event::Ended(_)) => {}
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn hear_last_words(&mut self) {
        let deadline = SystemClock.elapsed() + LAST_WORDS;
        while !self.silent {
            match self.events.recv_timeout(deadline.saturating_sub(SystemClock.elapsed())) {
                Ok(Event::Silent) => self.silent = true,
                Ok(Event::Ended(_) | Event::Nobody) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes down what is new of its output. A host that is rebooted by it keeps that much.
    fn put_down(&mut self, place: &Place) {
        let (came, output) = {
            let output = lock(&self.output);
            if output.came() == self.put_down {
                return;
            }
            (output.came(), output.text())
        };
        let line = last_line(&output.text);
        match place.write(&Written { output, line }) {
            Ok(()) => self.put_down = came,
            Err(error) => tracing::warn!("what the hook writes can't be kept: {error}"),
        }
    }

    /// The thread that reads, while somebody can write.
    fn talks(self) -> Option<JoinHandle<()>> {
        (!self.silent).then_some(self.reader)
    }
}

fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(mut from: PipeReader, output: &Mutex<Output>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => lock(output).push(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Takes note of every end, also of processes that were adopted.
fn reap(first: Pid, events: &Sender<Event>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == first => {
                let outcome = HookOutcome::of_status(status.exit_status(), status.terminating_signal());
                let _ = events.send(Event::Ended(outcome));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                let _ = events.send(Event::Nobody);
                return;
            }
        }
    }
}
