//! Processes of the lab: run to the end, recognised later, ended for certain.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process number.
    pub pid: i32,
    /// When it started, in clock ticks since the machine's boot, as the kernel tells it.
    pub started: u64,
    /// The machine's boot, as the time when it happened in seconds since 1970: ticks of two boots must not be compared.
    pub boot: u64,
}

impl ProcessId {
    /// The process with this number, if it runs.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        (state != 'Z').then(|| Self { pid, started, boot: boot_time() })
    }

    /// This very process.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn of_this() -> Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Self::of(pid).context("cannot read /proc/self/stat")
    }

    /// Whether it still runs; one that only waits to be reaped does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Kills it at once and waits until it is gone with all its threads: when the first one has ended, the others may still hold what it
    /// had open, and a socket of a daemon would be taken for that of the next one.
    pub fn kill(&self) {
        let Some(process) = Pid::from_raw(self.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        // Looked at only now: what is open is this process, whoever gets its number later.
        if !self.is_alive() {
            return;
        }
        let _ = pidfd_send_signal(&process, Signal::KILL);
        let end = Timespec { tv_sec: 10, tv_nsec: 0 };
        let _ = retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&end)));
    }
}

/// Sends SIGKILL; a process that is gone already is no error.
pub(super) fn send_kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A process's state letter and start in ticks. The command's name is skipped from behind: it may hold blanks and brackets.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

fn boot_time() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// All processes in the network namespace that lies at `path`.
pub(super) fn in_network_namespace(path: &Path) -> Vec<i32> {
    let Ok(namespace) = fs::metadata(path) else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|of| of.ino() == namespace.ino() && of.dev() == namespace.dev())
        })
        .collect()
}

/// The words of a process's command line; empty if it is gone.
pub(super) fn command_line(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// If it cannot be started or fails; the message holds the command and what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Asks again every `pause` until the answer is there or `limit` is over.
pub(super) fn wait_for<T>(limit: Duration, pause: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(pause);
    }
}
