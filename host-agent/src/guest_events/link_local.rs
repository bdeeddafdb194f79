//! Listening on bridges: one socket per address and bridge, so that which bridge a guest came by is the kernel's word.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::http::{Caller, Desk};
use super::kernel::{Kernel, sender};
use super::socket_sys::{first_frame, keep_first_frames};

/// How often a bridge that is not there is looked for, and one that is there is compared with the one listened on.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address, which the host must have.
    pub address: SocketAddrV4,
    /// The bridge.
    pub bridge: String,
}

/// Listens for ever. A bridge or an address that is not there yet is no error: networks come up later than agents.
pub(super) async fn listen(place: Place, desk: Arc<Desk>) {
    let kernel = Arc::new(Kernel::default());
    let mut said = None;
    loop {
        match open(&place, &kernel) {
            Ok((listener, number)) => {
                tracing::info!(address = %place.address, bridge = place.bridge, "guests are served their events");
                said = None;
                accept(&listener, number, &place, &kernel, &desk).await;
                tracing::warn!(bridge = place.bridge, "the bridge is gone, or is another one now");
            }
            Err(error) => {
                let text = error.to_string();
                if said.as_ref() != Some(&text) {
                    tracing::warn!(address = %place.address, bridge = place.bridge, "guests can't be served their events: {text}; trying on");
                    said = Some(text);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

fn open(place: &Place, kernel: &Kernel) -> io::Result<(TcpListener, u32)> {
    let number = kernel.bridge(&place.bridge)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind_device(Some(place.bridge.as_bytes()))?;
    keep_first_frames(socket.as_fd())?;
    socket.bind(SocketAddr::V4(place.address))?;
    Ok((socket.listen(BACKLOG)?, number))
}

/// Until the bridge is gone.
async fn accept(listener: &TcpListener, number: u32, place: &Place, kernel: &Arc<Kernel>, desk: &Arc<Desk>) {
    loop {
        match tokio::time::timeout(LOOK_EVERY, listener.accept()).await {
            Ok(Ok((stream, from))) => {
                if let Some(caller) = caller(&stream, from, &place.bridge, kernel) {
                    tokio::spawn(Arc::clone(desk).serve(stream, caller));
                }
            }
            // Out of descriptors, or the caller has gone already.
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(_) => {}
        }
        if kernel.bridge(&place.bridge).ok() != Some(number) {
            return;
        }
    }
}

/// Nothing when the kernel has not kept the first frame: then it can't be said who that is, and there is no answer.
fn caller(stream: &TcpStream, from: SocketAddr, bridge: &str, kernel: &Arc<Kernel>) -> Option<Caller> {
    let IpAddr::V4(address) = from.ip() else { return None };
    let frame = first_frame(stream.as_fd()).ok()?;
    let mac = sender(&frame, address)?;
    Some(Caller::Link { kernel: Arc::clone(kernel), bridge: bridge.to_owned(), mac, address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_policies::mac::Mac;

    #[tokio::test]
    async fn the_kernel_keeps_the_sender_of_a_connection_s_first_frame() {
        let socket = TcpSocket::new_v4().expect("a socket");
        keep_first_frames(socket.as_fd()).expect("this kernel can");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let listener = socket.listen(1).expect("listening");
        let address = listener.local_addr().expect("an address");
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, from) = accepted.expect("accepted");
        let caller = caller(&stream, from, "br0", &Arc::new(Kernel::default())).expect("its frame was kept");
        // The loopback device puts an Ethernet header of zeros before its packets.
        assert!(matches!(caller, Caller::Link { mac: Mac([0, 0, 0, 0, 0, 0]), .. }), "{caller:?}");
        drop(connected);
    }

    #[test]
    fn what_is_no_bridge_is_not_listened_on() {
        let place = Place { address: "127.0.0.1:0".parse().expect("an address"), bridge: "lo".to_owned() };
        let error = open(&place, &Kernel::default()).expect_err("refused").to_string();
        assert!(error.contains("lo is no Linux bridge"), "{error}");
    }
}
