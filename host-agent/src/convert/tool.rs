//! Programs that an import runs. None outlives this process: a second try must not meet a writer of the first.
//!
//! A program is started as the first process of a process namespace of its own (`unshare --kill-child`), whose starter is told by the
//! kernel when this process ends (`setpriv --pdeathsig`). So whatever the program starts in turn, under whatever process group, ends
//! with it: when its time is up, when it ends by itself, and when this process is killed.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use drover_policies::time::Span;
use rustix::process::{Pid, Signal};

use crate::clock::HostClock;
use crate::processes::{children, signal_all};

/// Where programs are looked for. Some systems keep virt-v2v's in-place converter out of everybody's `PATH`.
const PLACES: [&str; 6] =
    ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/libexec/virt-v2v", "/usr/lib/virt-v2v"];

/// A line longer than this is cut in two.
const LONGEST_LINE: usize = 64 << 10;

/// Between two looks at a program that is being killed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A program that writes nothing is stopped after this at the latest.
const BETWEEN_THOUGHTS: Duration = Duration::from_millis(200);

/// By what programs are held.
#[derive(Clone, Copy)]
pub struct Leash<'a> {
    /// By which their time is measured.
    pub clock: &'a dyn HostClock,
    /// Set when they are to stop.
    pub stop: &'a AtomicBool,
}

impl Leash<'_> {
    /// Whether they are to stop.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Where a program lies on this host.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(program)).find(|path| path.is_file())
}

/// A program to be run.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    own_tmp: Option<PathBuf>,
    limit: Option<Span>,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Status(i32),
    /// Killed by this signal.
    Signal(i32),
    /// It was killed, as its time was up.
    OutOfTime,
    /// It was killed, as it was to stop.
    Stopped,
}

impl Tool {
    /// A program, without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().to_owned();
        Self { program, arguments: Vec::new(), variables: Vec::new(), own_tmp: None, limit: None }
    }

    /// With these arguments after those it has.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name, value.as_ref().to_owned()));
        self
    }

    /// With this directory as its `/tmp`, so that what it leaves there when it is killed is found and removed. It can't see what
    /// others have in theirs.
    #[must_use]
    pub fn own_tmp(mut self, directory: &Path) -> Self {
        self.own_tmp = Some(directory.to_owned());
        self
    }

    /// Killed when it takes longer.
    #[must_use]
    pub fn limit(mut self, limit: Span) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it to its end. `hear` gets what it writes, line by line; a carriage return ends a line as well.
    ///
    /// The thread that calls this must live as long as the program: the kernel takes the end of a thread for the end of a parent.
    ///
    /// # Errors
    /// When it could not be started, or not be waited for.
    pub fn run(&self, leash: &Leash<'_>, hear: &mut dyn FnMut(Channel, &str)) -> io::Result<Ended> {
        let deadline = self.limit.map(|limit| leash.clock.elapsed() + limit.0);
        let mut child = self.command().spawn()?;
        let (sender, lines) = mpsc::channel();
        let readers = [
            child.stdout.take().map(|out| read_lines(out, Channel::Out, sender.clone())),
            child.stderr.take().map(|err| read_lines(err, Channel::Err, sender.clone())),
        ];
        drop(sender);
        for reader in readers.into_iter().flatten() {
            if let Err(error) = reader {
                let _ = end(&mut child);
                return Err(error);
            }
        }
        match listen(&lines, deadline, leash, hear) {
            Some(cut_off) => {
                end(&mut child)?;
                Ok(cut_off)
            }
            None => Ok(Ended::from(child.wait()?)),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        if let Some(directory) = &self.own_tmp {
            command.args(["sh", "-c", r#"mount --bind "$0" /tmp && exec "$@""#]).arg(directory);
            command.env("TMPDIR", "/tmp");
        }
        command.arg(&self.program).args(&self.arguments).env("LC_ALL", "C");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Status(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

/// Kills a program with everything that it has started, and returns when none of it is left.
///
/// What is killed is the first process of the namespace and not its starter: the kernel reports its end only when nothing of the
/// namespace lives any more, and only then does the starter end.
fn end(child: &mut Child) -> io::Result<()> {
    let starter = Pid::from_child(child);
    while child.try_wait()?.is_none() {
        signal_all(&children(starter), Signal::KILL);
        // The starter is a moment away from starting it, or from ending.
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// Hands lines on until both channels are closed. Why not, when it is to end before.
fn listen(
    lines: &Receiver<(Channel, String)>,
    deadline: Option<Duration>,
    leash: &Leash<'_>,
    hear: &mut dyn FnMut(Channel, &str),
) -> Option<Ended> {
    loop {
        if leash.is_pulled() {
            return Some(Ended::Stopped);
        }
        let left = deadline.map(|deadline| deadline.saturating_sub(leash.clock.elapsed()));
        match lines.recv_timeout(left.unwrap_or(BETWEEN_THOUGHTS).min(BETWEEN_THOUGHTS)) {
            Ok((channel, line)) => hear(channel, &line),
            Err(RecvTimeoutError::Timeout) if left.is_some_and(|left| left.is_zero()) => {
                return Some(Ended::OutOfTime);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    channel: Channel,
    lines: Sender<(Channel, String)>,
) -> io::Result<()> {
    let read = move || {
        let mut line = Vec::new();
        let send = |line: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            line.clear();
            // Nobody listens any more when the time is up.
            text.is_empty() || lines.send((channel, text)).is_ok()
        };
        for byte in BufReader::new(from).bytes().map_while(Result::ok) {
            line.push(byte);
            if (matches!(byte, b'\n' | b'\r') || line.len() >= LONGEST_LINE) && !send(&mut line) {
                return;
            }
        }
        send(&mut line);
    };
    thread::Builder::new().name("tool-lines".to_owned()).spawn(read).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    /// Namespaces need root.
    fn may_run() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: programs are contained in namespaces, which needs root");
        }
        root
    }

    fn shell(script: &str) -> Tool {
        Tool::new("sh").arguments(["-c", script])
    }

    fn heard(tool: &Tool) -> (Ended, Vec<(Channel, String)>) {
        let (stop, mut lines) = (AtomicBool::new(false), Vec::new());
        let leash = Leash { clock: &SystemClock, stop: &stop };
        let ended = tool.run(&leash, &mut |channel, line| lines.push((channel, line.to_owned())));
        (ended.expect("it could be run"), lines)
    }

    /// Whether a process whose command line holds this word still runs.
    fn runs(word: &str) -> bool {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.any(|line| String::from_utf8_lossy(&line).contains(word))
    }

    #[test]
    fn both_channels_are_heard_line_by_line_and_the_status_is_told() {
        if !may_run() {
            return;
        }
        let (ended, mut lines) = heard(&shell("printf '1\\r2\\n'; printf 'oh\\nno' >&2; exit 3"));
        lines.sort_by_key(|(channel, _)| *channel == Channel::Err);
        let told: Vec<_> = lines.iter().map(|(channel, line)| (*channel, line.as_str())).collect();
        assert_eq!(
            told,
            [(Channel::Out, "1"), (Channel::Out, "2"), (Channel::Err, "oh"), (Channel::Err, "no")]
        );
        assert_eq!(ended, Ended::Status(3));
    }

    #[test]
    fn when_the_time_is_up_everything_that_was_started_ends() {
        if !may_run() {
            return;
        }
        // In a session of its own, where a signal to the process group would not reach it.
        let script = "setsid sleep 86461.25 & echo begun; wait";
        let (ended, lines) = heard(&shell(script).limit(Span::milliseconds(500)));
        assert_eq!((ended, lines.len()), (Ended::OutOfTime, 1));
        assert!(!runs("86461.25"), "what it had started goes on");
    }

    #[test]
    fn when_it_is_to_stop_everything_that_was_started_ends() {
        if !may_run() {
            return;
        }
        let stop = AtomicBool::new(false);
        let leash = Leash { clock: &SystemClock, stop: &stop };
        let ended = shell("setsid sleep 86461.5 & echo begun; wait")
            .run(&leash, &mut |_, _| stop.store(true, Ordering::Relaxed));
        assert_eq!(ended.expect("it could be run"), Ended::Stopped);
        assert!(!runs("86461.5"), "what it had started goes on");
    }

    #[test]
    fn what_is_left_in_its_tmp_is_found_in_the_directory_that_it_was_given() {
        if !may_run() {
            return;
        }
        let own = tempfile::tempdir().expect("a directory");
        let (ended, lines) = heard(&shell("echo x > /tmp/left; echo $TMPDIR").own_tmp(own.path()));
        assert_eq!((ended, lines), (Ended::Status(0), vec![(Channel::Out, "/tmp".to_owned())]));
        assert!(own.path().join("left").exists() && !Path::new("/tmp/left").exists());
    }

    #[test]
    fn a_program_is_found_where_it_lies_or_not_at_all() {
        assert_eq!(find("env"), Some(PathBuf::from("/usr/bin/env")));
        assert_eq!(find("no-such-program"), None);
    }
}
