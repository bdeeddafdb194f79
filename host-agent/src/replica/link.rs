//! What both ends of a connection between agents have in common.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Bytes that are put through at a time. As large as what NBD clients write at a time, so that a write goes through in one piece.
pub(super) const BUFFER: usize = 256 << 10;

/// A connection on which nothing comes back for so long is cut.
const SILENCE: Duration = Duration::from_secs(15);
const PROBE_AFTER: Duration = Duration::from_secs(6);
const PROBE_EVERY: Duration = Duration::from_secs(3);
const PROBES: u32 = 3;

/// Has the kernel notice a link that was cut, whether something is to be sent or not.
pub(super) fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(SILENCE))
}
