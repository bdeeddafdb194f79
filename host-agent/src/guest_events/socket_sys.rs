//! Two options of TCP sockets that neither tokio nor its crates know: to keep a connection's first frame, and to read it.

#![expect(unsafe_code, reason = "socket options are read and written through the C library")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// To keep the frame from the link's header on (1 would be from the IP header on). Since Linux 5.10.
const WITH_LINK_HEADER: libc::c_int = 2;

/// Room for an Ethernet header with a VLAN tag, and for the longest headers of IP and TCP.
const LONGEST: usize = 18 + 60 + 60;

/// Has a listening socket keep the first frame of each of its connections.
///
/// # Errors
/// The kernel can't.
pub(super) fn keep_first_frames(socket: BorrowedFd<'_>) -> io::Result<()> {
    let kept = WITH_LINK_HEADER;
    let length = socklen(size_of_val(&kept))?;
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads `length` bytes of a live `c_int`.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVE_SYN,
            (&raw const kept).cast(),
            length,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first frame of a connection; empty when the kernel did not keep it, as under a flood of connections. Can be read once.
///
/// # Errors
/// The connection is gone.
pub(super) fn first_frame(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut frame = vec![0_u8; LONGEST];
    let mut length = socklen(frame.len())?;
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel writes at most `length` bytes, which are there.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVED_SYN,
            frame.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    frame.truncate(usize::try_from(length).unwrap_or(0));
    Ok(frame)
}

fn socklen(length: usize) -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(length).map_err(io::Error::other)
}
