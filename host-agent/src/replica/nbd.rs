//! One disk of a round: a `qemu-nbd` that writes its file, and what is asked of it from here.
//!
//! It ends with its last connection. One of them is held here for as long as the round goes on, so that it neither ends while the source has
//! none, nor goes on when this agent is gone. A process that goes on all the same would keep a guest from starting with that file: those of
//! an earlier agent are ended when the next one starts.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::tools::{Image, ToolError};
use crate::durable::{DiskError, io_error};

const PROGRAM: &str = "qemu-nbd";
/// Clients at a time: the source's, those that read checksums, and the one that is held.
const CLIENTS: u32 = 20;
/// How long it may take to begin to listen.
const BEGIN: Duration = Duration::from_secs(20);
/// How long it may take to end after its last connection: it writes down what it holds.
const END: Duration = Duration::from_secs(120);
/// How long a process is asked to end before it is made to.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The longest name of a socket that the kernel takes.
const LONGEST_SOCKET: usize = 107;
/// A read that is not answered for so long has failed.
const READ: Duration = Duration::from_secs(60);

/// Why a disk can't be served.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// The program or its files.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A socket's name would be too long.
    #[error(
        "{path} is longer than the {LONGEST_SOCKET} bytes that a socket's name may have; give the agent a shorter data_dir"
    )]
    LongName {
        /// Which.
        path: PathBuf,
    },
    /// The connection to it failed.
    #[error("the image can't be read: {kind}")]
    Io {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<DiskError> for NbdError {
    fn from(error: DiskError) -> Self {
        Self::Tool(error.into())
    }
}

impl From<io::Error> for NbdError {
    fn from(source: io::Error) -> Self {
        Self::Io { kind: source.kind(), source }
    }
}

/// A disk that is served.
#[derive(Debug)]
pub(super) struct Export {
    child: Child,
    file: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    /// Keeps it going.
    held: Option<Reader>,
}

impl Export {
    /// Begins to serve a file on a socket of this name, in a directory that nobody else can enter. It can be connected to after
    /// [`Export::hold`].
    pub(super) fn spawn(file: Image<'_>, socket: PathBuf) -> Result<Self, NbdError> {
        if socket.as_os_str().len() > LONGEST_SOCKET {
            return Err(NbdError::LongName { path: socket });
        }
        remove(&socket)?;
        let log = socket.with_extension("log");
        let said = File::create(&log).map_err(io_error("create", &log))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--format={}", file.format))
            .arg(format!("--shared={CLIENTS}"))
            // What the source says is empty takes no room here; it says so itself, so nothing is searched for zeroes.
            .args(["--cache=writeback", "--aio=threads", "--discard=unmap", "--detect-zeroes=off"])
            .arg(file.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        let child = command.spawn().map_err(|source| ToolError::Unrunnable { program: PROGRAM, source })?;
        Ok(Self { child, file: file.path.to_owned(), socket, log, held: None })
    }

    /// Waits until it listens, and keeps it going from then on.
    pub(super) fn hold(&mut self) -> Result<(), NbdError> {
        let until = Instant::now() + BEGIN;
        loop {
            if self.child.try_wait()?.is_some() {
                return Err(self.failed("serve").into());
            }
            match Reader::connect(&self.socket) {
                Ok(reader) => {
                    self.held = Some(reader);
                    return Ok(());
                }
                Err(early)
                    if matches!(early.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                        && Instant::now() < until =>
                {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where it can be connected to.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lets it end.
    pub(super) fn let_go(&mut self) {
        self.held = None;
    }

    /// Lets it end, and waits until all that was written to it is in the file. Whether it is on the disk is for an fsync to say.
    pub(super) fn finish(mut self) -> Result<(), NbdError> {
        self.let_go();
        let until = Instant::now() + END;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(self.failed("write").into()),
                None if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
                // Dropped: it is made to end.
                None => return Err(self.failed("write, in two minutes,").into()),
            }
        }
    }

    fn failed(&self, what: &'static str) -> ToolError {
        let said = fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned();
        ToolError::Failed { program: PROGRAM, what, path: self.file.clone(), said }
    }
}

impl Drop for Export {
    /// What has not ended by itself is thrown away, and what was written to it with it.
    fn drop(&mut self) {
        self.held = None;
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for file in [&self.socket, &self.log] {
            if let Err(error) = remove(file) {
                tracing::warn!("left behind: {error}");
            }
        }
    }
}

fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Ends every `qemu-nbd` that serves on a socket below this directory: an earlier agent's, as nobody else can make sockets there.
pub(super) fn end_orphans(root: &Path) -> io::Result<()> {
    let ours = format!("--socket={}/", root.display());
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // Held before it is looked at, so that the one that is ended is the one that was looked at.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if !serves(pid, &ours) {
            continue;
        }
        tracing::info!(pid = pid.as_raw_nonzero(), "{PROGRAM} of an earlier agent is ended");
        let until = Instant::now() + PATIENCE;
        let _ = pidfd_send_signal(&process, Signal::TERM);
        while serves(pid, &ours) && Instant::now() < until {
            std::thread::sleep(LOOK_AGAIN);
        }
        let _ = pidfd_send_signal(&process, Signal::KILL);
        while serves(pid, &ours) && Instant::now() < until + PATIENCE {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(())
}

/// Whether this is such a process. One that has ended and was not waited for has no arguments any more.
fn serves(pid: Pid, ours: &str) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else { return false };
    let mut arguments = arguments.split(|byte| *byte == 0);
    let is_program = arguments.next().is_some_and(|program| program.ends_with(PROGRAM.as_bytes()));
    is_program && arguments.any(|argument| argument.starts_with(ours.as_bytes()))
}

const FIXED_NEWSTYLE: u32 = 1;
const NO_ZEROES: u32 = 2;
const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const SIMPLE_REPLY: u32 = 0x6744_6698;
const STRUCTURED_REPLY: u32 = 0x668e_33ef;
const DONE: u16 = 1;
/// The most that is asked for in one read; what every server must take.
const LARGEST_READ: u64 = 32 << 20;

/// A client that reads. Structured replies tell holes from data, so that the empty parts of an image cost next to nothing.
#[derive(Debug)]
pub(super) struct Reader {
    stream: UnixStream,
    size: u64,
}

/// What a part of a disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Zeroes: the buffer was not touched.
    Hole,
    /// The buffer's bytes.
    Data,
}

impl Reader {
    pub(super) fn connect(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(READ))?;
        stream.set_write_timeout(Some(READ))?;
        let greeting: [u8; 18] = get(&mut stream)?;
        if &greeting[..8] != b"NBDMAGIC" || &greeting[8..16] != OPTION_MAGIC {
            return Err(senseless("greeting"));
        }
        stream.write_all(&(FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes())?;
        // Structured replies.
        stream.write_all(&option(8))?;
        let reply: u64 = u64::from_be_bytes(get(&mut stream)?);
        let answer: [u8; 12] = get(&mut stream)?;
        if reply != OPTION_REPLY || answer != [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0] {
            return Err(senseless("answer to an option"));
        }
        // The export without a name; its size and its flags come back.
        stream.write_all(&option(1))?;
        let size = u64::from_be_bytes(get(&mut stream)?);
        let _flags: [u8; 2] = get(&mut stream)?;
        Ok(Self { stream, size })
    }

    /// The disk's size, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads a part that lies within the disk. The buffer must be zero where it is to show holes beside data.
    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<Held> {
        let mut held = Held::Hole;
        let (mut at, largest) = (offset, usize::try_from(LARGEST_READ).unwrap_or(usize::MAX));
        for part in buffer.chunks_mut(largest) {
            if self.read_part(at, part)? == Held::Data {
                held = Held::Data;
            }
            at += u64::try_from(part.len()).map_err(io::Error::other)?;
        }
        Ok(held)
    }

    fn read_part(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<Held> {
        let length = u32::try_from(buffer.len()).map_err(io::Error::other)?;
        let mut request = Vec::with_capacity(28);
        request.extend_from_slice(&REQUEST.to_be_bytes());
        request.extend_from_slice(&[0; 12]);
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&length.to_be_bytes());
        self.stream.write_all(&request)?;
        let mut held = Held::Hole;
        loop {
            let magic = u32::from_be_bytes(get(&mut self.stream)?);
            if magic == SIMPLE_REPLY {
                // Only errors come so, once structured replies are agreed on.
                return Err(failed(u32::from_be_bytes(get(&mut self.stream)?)));
            }
            if magic != STRUCTURED_REPLY {
                return Err(senseless("reply"));
            }
            let head: [u8; 16] = get(&mut self.stream)?;
            let [f1, f2, k1, k2, ..] = head;
            let length = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
            if self.chunk(u16::from_be_bytes([k1, k2]), length, offset, buffer)? == Held::Data {
                held = Held::Data;
            }
            if u16::from_be_bytes([f1, f2]) & DONE != 0 {
                return Ok(held);
            }
        }
    }

    fn chunk(&mut self, kind: u16, length: u32, offset: u64, buffer: &mut [u8]) -> io::Result<Held> {
        match kind {
            0 => Ok(Held::Hole),
            1 => {
                let at = u64::from_be_bytes(get(&mut self.stream)?).wrapping_sub(offset);
                let length = length.checked_sub(8).ok_or_else(|| senseless("length"))?;
                let end = at.checked_add(length.into()).ok_or_else(|| senseless("offset"))?;
                let within = usize::try_from(at).ok().zip(usize::try_from(end).ok());
                let part = within.and_then(|(at, end)| buffer.get_mut(at..end));
                self.stream.read_exact(part.ok_or_else(|| senseless("offset"))?)?;
                Ok(Held::Data)
            }
            2 => {
                let _where: [u8; 12] = get(&mut self.stream)?;
                Ok(Held::Hole)
            }
            _ => {
                let mut said = vec![0; usize::try_from(length.min(4096)).map_err(io::Error::other)?];
                self.stream.read_exact(&mut said)?;
                let number = said.first_chunk().map_or(0, |number| u32::from_be_bytes(*number));
                Err(failed(number))
            }
        }
    }
}

fn option(number: u32) -> [u8; 16] {
    let mut option = [0; 16];
    option[..8].copy_from_slice(OPTION_MAGIC);
    option[8..12].copy_from_slice(&number.to_be_bytes());
    option
}

fn get<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// NBD's errors have the numbers of Linux.
fn failed(number: u32) -> io::Error {
    i32::try_from(number).map_or_else(|_| senseless("error"), io::Error::from_raw_os_error)
}

fn senseless(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{PROGRAM} gave a {what} that is not understood"))
}
