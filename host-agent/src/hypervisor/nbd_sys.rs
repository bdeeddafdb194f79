//! An NBD client: the few functions of libnbd that rounds need, as a safe type.
//!
//! libnbd has no Rust crate in the registry, so its C functions are declared here; why it is used is in
//! `docs/decisions/019-nbd.md`.

#![expect(unsafe_code, reason = "this module is the boundary to libnbd's C library")]

use std::ffi::{CStr, CString, NulError, c_char, c_int, c_void};
use std::io;
use std::marker::{PhantomData, PhantomPinned};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

/// The largest range that one question for extents may be about: NBD counts 32 bits, and QEMU wants whole sectors.
const LONGEST_QUESTION: u64 = 1 << 30;
/// The context that tells what is allocated.
pub(super) const ALLOCATION: &str = "base:allocation";
/// A part of `base:allocation` that reads as zeroes.
pub(super) const ZERO: u32 = 2;
/// A part of `qemu:dirty-bitmap:…` that was written.
pub(super) const DIRTY: u32 = 1;

/// An NBD server did not do as asked, or is gone.
#[derive(Debug, thiserror::Error)]
pub(super) enum NbdError {
    /// libnbd's words, with the name of the function and of the error.
    #[error("{0}")]
    Refused(String),
    /// The server has no room for what was to be written. In libnbd's words.
    #[error("{0}")]
    NoRoom(String),
    /// A socket can't be used.
    #[error("the socket can't be used")]
    Socket(#[from] io::Error),
    /// A name that C can't hold.
    #[error("the name can't be used")]
    Name(#[from] NulError),
    /// The server has no such context.
    #[error("the server does not tell {0}")]
    NoContext(String),
}

type Done<T> = Result<T, NbdError>;

/// A stretch of a disk with one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// How long it is, in bytes.
    pub(super) length: u64,
    /// What the context says of it.
    pub(super) flags: u32,
}

/// libnbd's handle. Only pointers to it exist.
#[repr(C)]
struct Handle {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
struct ExtentCallback {
    callback:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, u64, *mut u32, usize, *mut c_int) -> c_int>,
    user_data: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

// As <libnbd.h> of 1.14 declares them; none has changed since.
unsafe extern "C" {
    fn nbd_create() -> *mut Handle;
    fn nbd_close(handle: *mut Handle);
    fn nbd_get_error() -> *const c_char;
    fn nbd_get_errno() -> c_int;
    fn nbd_set_export_name(handle: *mut Handle, name: *const c_char) -> c_int;
    fn nbd_add_meta_context(handle: *mut Handle, name: *const c_char) -> c_int;
    fn nbd_can_meta_context(handle: *mut Handle, name: *const c_char) -> c_int;
    fn nbd_connect_socket(handle: *mut Handle, socket: c_int) -> c_int;
    fn nbd_get_size(handle: *mut Handle) -> i64;
    fn nbd_pread(handle: *mut Handle, buffer: *mut c_void, count: usize, offset: u64, flags: u32) -> c_int;
    fn nbd_pwrite(handle: *mut Handle, buffer: *const c_void, count: usize, offset: u64, flags: u32)
    -> c_int;
    fn nbd_zero(handle: *mut Handle, count: u64, offset: u64, flags: u32) -> c_int;
    fn nbd_flush(handle: *mut Handle, flags: u32) -> c_int;
    fn nbd_block_status(
        handle: *mut Handle,
        count: u64,
        offset: u64,
        callback: ExtentCallback,
        flags: u32,
    ) -> c_int;
    fn nbd_shutdown(handle: *mut Handle, flags: u32) -> c_int;
}

/// libnbd keeps the last error by thread, so it must be asked on the thread of the call.
fn last_error() -> NbdError {
    // SAFETY: the answer is null, or a string that stays until this thread's next call.
    let text = unsafe {
        let text = nbd_get_error();
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    };
    let text = text.unwrap_or_else(|| "libnbd gives no reason".to_owned());
    // SAFETY: takes nothing, and gives the error number of this thread's last call.
    match unsafe { nbd_get_errno() } {
        libc::ENOSPC => NbdError::NoRoom(text),
        _ => NbdError::Refused(text),
    }
}

fn check(answer: c_int) -> Done<c_int> {
    if answer < 0 { Err(last_error()) } else { Ok(answer) }
}

/// One connection to one export.
pub(super) struct Nbd {
    handle: *mut Handle,
    socket: UnixStream,
    size: u64,
}

// SAFETY: a handle may be used on any thread, as libnbd locks it inside; the error of a call is asked on the call's own thread.
unsafe impl Send for Nbd {}

impl Nbd {
    /// Opens an export over a socket that is connected already. Every context that is named must be told by the server.
    pub(super) fn open(socket: UnixStream, export: &str, contexts: &[&str]) -> Done<Self> {
        let ours = socket.try_clone()?;
        let export = CString::new(export)?;
        // SAFETY: takes nothing, and gives a handle or null.
        let handle = unsafe { nbd_create() };
        if handle.is_null() {
            return Err(last_error());
        }
        // From here on the handle is closed also on errors.
        let mut nbd = Self { handle, socket: ours, size: 0 };
        // SAFETY: the handle lives; libnbd copies the name.
        check(unsafe { nbd_set_export_name(nbd.handle, export.as_ptr()) })?;
        for context in contexts {
            let name = CString::new(*context)?;
            // SAFETY: as above.
            check(unsafe { nbd_add_meta_context(nbd.handle, name.as_ptr()) })?;
        }
        // SAFETY: the handle lives, and the descriptor is handed over: libnbd closes it, also when this fails.
        check(unsafe { nbd_connect_socket(nbd.handle, socket.into_raw_fd()) })?;
        for context in contexts {
            let name = CString::new(*context)?;
            // SAFETY: the handle is connected, the string outlives the call.
            if check(unsafe { nbd_can_meta_context(nbd.handle, name.as_ptr()) })? == 0 {
                return Err(NbdError::NoContext((*context).to_owned()));
            }
        }
        // SAFETY: the handle is connected.
        nbd.size = u64::try_from(unsafe { nbd_get_size(nbd.handle) }).map_err(|_| last_error())?;
        Ok(nbd)
    }

    /// How large the export is, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What ends this connection from another thread: a call that hangs in it returns with an error.
    pub(super) fn cut(&self) -> io::Result<Cut> {
        self.socket.try_clone().map(Cut)
    }

    /// Reads as much as the buffer holds.
    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Done<()> {
        // SAFETY: the handle is connected; libnbd writes no further than the buffer's length.
        check(unsafe { nbd_pread(self.handle, buffer.as_mut_ptr().cast(), buffer.len(), offset, 0) })
            .map(drop)
    }

    /// Writes the buffer.
    pub(super) fn write(&mut self, offset: u64, buffer: &[u8]) -> Done<()> {
        // SAFETY: the handle is connected; libnbd reads no further than the buffer's length.
        check(unsafe { nbd_pwrite(self.handle, buffer.as_ptr().cast(), buffer.len(), offset, 0) }).map(drop)
    }

    /// Has a stretch read as zeroes; the server may make a hole of it.
    pub(super) fn zero(&mut self, offset: u64, length: u64) -> Done<()> {
        // SAFETY: the handle is connected.
        check(unsafe { nbd_zero(self.handle, length, offset, 0) }).map(drop)
    }

    /// Returns when all that was written is on the server's disk.
    pub(super) fn flush(&mut self) -> Done<()> {
        // SAFETY: the handle is connected.
        check(unsafe { nbd_flush(self.handle, 0) }).map(drop)
    }

    /// What a context says of a stretch, in order and without gaps; adjoining parts of the same status are one.
    pub(super) fn extents(&mut self, context: &str, offset: u64, length: u64) -> Done<Vec<Extent>> {
        let end = offset + length;
        let mut found: Vec<Extent> = Vec::new();
        let mut at = offset;
        while at < end {
            let answer = self.block_status(context, at, (end - at).min(LONGEST_QUESTION))?;
            let before = at;
            for (length, flags) in answer {
                // QEMU may tell of more than it was asked about.
                let length = u64::from(length).min(end - at);
                match found.last_mut() {
                    Some(last) if last.flags == flags => last.length += length,
                    Some(_) | None if length > 0 => found.push(Extent { offset: at, length, flags }),
                    Some(_) | None => {}
                }
                at += length;
            }
            if at == before {
                return Err(NbdError::NoContext(context.to_owned()));
            }
        }
        Ok(found)
    }

    fn block_status(&mut self, context: &str, offset: u64, length: u64) -> Done<Vec<(u32, u32)>> {
        let mut wanted = Wanted { context: CString::new(context)?, found: Vec::new() };
        let callback =
            ExtentCallback { callback: Some(note), user_data: (&raw mut wanted).cast(), free: None };
        // SAFETY: the handle is connected; the callback is only called before this returns, and `wanted` lives longer.
        check(unsafe { nbd_block_status(self.handle, length, offset, callback, 0) })?;
        Ok(wanted.found)
    }

    /// Says good-bye, so that the server knows that nothing more comes. Answers are not waited for.
    pub(super) fn close(self) -> Done<()> {
        // SAFETY: the handle is connected.
        check(unsafe { nbd_shutdown(self.handle, 0) }).map(drop)
    }
}

impl Drop for Nbd {
    fn drop(&mut self) {
        // SAFETY: the handle is closed once, here.
        unsafe { nbd_close(self.handle) };
    }
}

/// Ends a connection from another thread.
pub(super) struct Cut(UnixStream);

impl Cut {
    pub(super) fn now(&self) {
        // A connection that has ended already is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

struct Wanted {
    context: CString,
    /// Length and flags.
    found: Vec<(u32, u32)>,
}

/// Takes the answer for one of the contexts. The entries are pairs of length and flags.
unsafe extern "C" fn note(
    wanted: *mut c_void,
    context: *const c_char,
    _offset: u64,
    entries: *mut u32,
    count: usize,
    _error: *mut c_int,
) -> c_int {
    // SAFETY: `block_status` gave this pointer and waits; nobody else uses it meanwhile. libnbd gives a string, and as many
    // entries as it says.
    let (wanted, context, entries) = unsafe {
        (&mut *wanted.cast::<Wanted>(), CStr::from_ptr(context), std::slice::from_raw_parts(entries, count))
    };
    if context == wanted.context.as_c_str() {
        wanted.found.extend(entries.chunks_exact(2).map(|pair| (pair[0], pair[1])));
    }
    0
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A qemu-nbd of this image, on a socket that it inherits; it ends with its last client.
    fn serve(image: &std::path::Path, words: &[&str], socket: &std::path::Path) -> Child {
        let listener = UnixListener::bind(socket).expect("a socket");
        let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec qemu-nbd \"$@\" 3<&0 </dev/null";
        Command::new("sh")
            .args(["-c", script, "sh"])
            .args(words)
            .arg(image)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .spawn()
            .expect("qemu-nbd, of qemu-utils, starts")
    }

    fn qemu_img(words: &[&str]) {
        let done = Command::new("qemu-img").args(words).stdout(Stdio::null()).status();
        assert!(done.expect("qemu-img, of qemu-utils, runs").success(), "{words:?}");
    }

    #[test]
    fn what_was_written_is_read_again_and_told_by_the_contexts() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("disk.qcow2");
        let name = image.to_str().expect("a name").to_owned();
        qemu_img(&["create", "-q", "-f", "qcow2", &name, "6G"]);
        qemu_img(&["bitmap", "--add", &name, "seen"]);
        let socket = dir.path().join("socket");

        let mut served = serve(&image, &["-f", "qcow2", "--shared=2"], &socket);
        let open = || UnixStream::connect(&socket).expect("it listens");
        let mut disk = Nbd::open(open(), "", &[ALLOCATION]).expect("an export");
        assert_eq!(disk.size(), 6 << 30);
        let high = (5 << 30) + 65_536;
        disk.write(high, &[7; 65_536]).expect("written");
        disk.zero(0, 65_536).expect("zeroed");
        let data: Vec<Extent> = disk.extents(ALLOCATION, 0, 6 << 30).expect("extents");
        let written: Vec<_> = data.iter().filter(|extent| extent.flags & ZERO == 0).collect();
        assert_eq!(written, [&Extent { offset: high, length: 65_536, flags: 0 }]);
        assert_eq!(data.iter().map(|extent| extent.length).sum::<u64>(), 6 << 30, "no gaps");
        let mut read = vec![0; 65_536];
        disk.read(high, &mut read).expect("read");
        assert!(read.iter().all(|byte| *byte == 7));
        disk.flush().expect("flushed");
        disk.close().expect("closed");
        assert!(served.wait().expect("it ends with its client").success());

        std::fs::remove_file(&socket).expect("the socket goes");
        let mut served = serve(&image, &["-f", "qcow2", "-r", "-B", "seen"], &socket);
        let context = "qemu:dirty-bitmap:seen";
        let mut disk = Nbd::open(open(), "", &[ALLOCATION, context]).expect("an export");
        let dirty: Vec<Extent> = disk.extents(context, 0, 6 << 30).expect("extents");
        let dirty: Vec<_> = dirty.iter().filter(|extent| extent.flags & DIRTY != 0).collect();
        assert_eq!(dirty.iter().map(|extent| extent.offset).collect::<Vec<_>>(), [0, high]);
        assert!(disk.write(0, &[0; 512]).is_err(), "read-only");
        drop(disk);
        served.wait().expect("it ends with its client");
    }

    #[test]
    fn a_server_without_room_is_told_from_one_that_refuses() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("disk.raw");
        let name = image.to_str().expect("a name").to_owned();
        qemu_img(&["create", "-q", "-f", "raw", &name, "1M"]);
        let full = format!(
            "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={name},\
             file.inject-error.0.event=write_aio,file.inject-error.0.errno=28"
        );
        let socket = dir.path().join("socket");
        let mut served = serve(full.as_ref(), &["--image-opts"], &socket);
        let mut disk = Nbd::open(UnixStream::connect(&socket).expect("it listens"), "", &[]).expect("opened");
        let error = disk.write(0, &[7; 512]).expect_err("there is no room");
        assert!(matches!(error, NbdError::NoRoom(_)), "{error:?}");
        drop(disk);
        served.wait().expect("it ends with its client");
    }

    #[test]
    fn a_connection_that_is_cut_returns_and_says_why() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(b"no NBD here, but long enough to be taken for a greeting").expect("written");
        let error = Nbd::open(ours, "", &[]).err().expect("no export");
        assert!(error.to_string().contains("magic"), "{error}");

        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("disk.raw");
        qemu_img(&["create", "-q", "-f", "raw", image.to_str().expect("a name"), "1M"]);
        let socket = dir.path().join("socket");
        let mut served = serve(&image, &["-f", "raw"], &socket);
        let mut disk = Nbd::open(UnixStream::connect(&socket).expect("it listens"), "", &[]).expect("opened");
        disk.cut().expect("a way to cut it").now();
        assert!(disk.read(0, &mut [0; 512]).is_err());
        drop(disk);
        served.wait().expect("it ends with its client");
        let socket = UnixStream::connect(&socket);
        assert!(socket.is_err(), "nobody listens any more");
    }
}
