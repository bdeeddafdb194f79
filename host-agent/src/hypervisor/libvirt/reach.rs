//! Asking guests over their network whether their services answer.
//!
//! What is asked for is chosen by a server's owner, and a guest tells its addresses as it likes. This host reaches networks that neither of them may
//! reach, so neither is believed. A guest is connected to only
//!
//! - at an address that this host itself has seen at the guest's interface, in its leases or its neighbour table: no loopback or link-local address,
//!   no address of this host, nobody else's;
//! - from the bridge that the guest is plugged into;
//! - by packets that no router forwards (hop limit 1), so that whoever answers is on the guest's own link.
//!
//! A host that has no address on a guest's network can't ask there at all; that is told as such, and counts for nothing.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use drover_policies::checks::{Address, Answered, Check, CheckName, Hardware, Tls, What, is_routable};
use drover_policies::fleet::{GuestAgent, Reach as DiskReach};
use drover_policies::ids::{OperationId, ServerId};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{Domain as Family, Protocol, SockAddr, Socket, Type};
use virt::domain::Domain;

use super::super::addresses_sys::{self, Knows};
use super::super::{Answer, Probe};
use super::daemon::{Daemon, LOOK};
use super::tls;
use crate::domain_xml::{self, Storage};
use crate::metadata::Imported;

/// How long one connection may take, and one answer.
const CONNECT: Duration = Duration::from_secs(3);
const REPLY: Duration = Duration::from_secs(5);
/// How long a guest may take to answer who has an address.
const NEIGHBOUR: Duration = Duration::from_millis(300);
/// So many are asked at the same time; others are asked a moment later.
const AT_ONCE: usize = 32;
/// Nothing listens there; it only makes the kernel ask who has the address.
const DISCARD: u16 = 9;

type Key = (OperationId, CheckName);

enum Asked {
    UnderWay,
    Answered(Answered),
}

/// Asks guests, each on a thread of its own.
pub(super) struct Reach {
    daemon: Arc<Daemon>,
    asked: Arc<Mutex<HashMap<Key, Asked>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    pub(super) fn new(uri: impl Into<String>) -> Self {
        Self { daemon: Arc::new(Daemon::new(uri)), asked: Arc::default() }
    }

    pub(super) fn hardware(&self, server: ServerId) -> Answer<Hardware> {
        let made = Made::of(&self.daemon, server)?;
        Ok(made.hardware)
    }

    pub(super) fn probe(&self, probe: &Probe<'_>) -> Option<Answered> {
        let key = (probe.operation, probe.check.name.clone());
        let mut asked = lock(&self.asked);
        match asked.remove(&key) {
            Some(Asked::Answered(answered)) => return Some(answered),
            Some(Asked::UnderWay) => {
                asked.insert(key, Asked::UnderWay);
                return None;
            }
            None => {}
        }
        if asked.values().filter(|asked| matches!(asked, Asked::UnderWay)).count() >= AT_ONCE {
            return None;
        }
        let (daemon, all) = (Arc::clone(&self.daemon), Arc::clone(&self.asked));
        let (server, check, named) = (probe.server, probe.check.clone(), key.clone());
        let ask = move || {
            let answered = ask(&daemon, server, &check);
            // Unless it was forgotten meanwhile.
            if let Some(asked) = lock(&all).get_mut(&named) {
                *asked = Asked::Answered(answered);
            }
        };
        match thread::Builder::new().name("ask-guest".to_owned()).spawn(ask) {
            Ok(_) => {
                asked.insert(key, Asked::UnderWay);
                None
            }
            Err(error) => Some(Answered::Nowhere { text: format!("the system gives no thread: {error}") }),
        }
    }

    pub(super) fn forget(&self, operation: OperationId) {
        lock(&self.asked).retain(|(of, _), _| *of != operation);
    }
}

/// What a server is made of, and where it is plugged in.
struct Made {
    hardware: Hardware,
    /// Hardware address and bridge of each interface that has one.
    plugs: Vec<(String, String)>,
    /// What this host has seen of it: address and bridge.
    seen: BTreeSet<(IpAddr, String)>,
}

impl Made {
    fn of(daemon: &Daemon, server: ServerId) -> Answer<Self> {
        let xml = daemon.on(server, LOOK, |domain| domain.xml_desc(0))?;
        let attached = domain_xml::attached(&xml).ok();
        let facts = domain_xml::read(&xml, &Storage::default(), &Imported::default(), u64::MAX).ok();
        let interfaces = attached.map(|attached| attached.interfaces).unwrap_or_default();
        let macs: BTreeSet<String> =
            interfaces.iter().map(|interface| interface.mac.to_string().to_ascii_lowercase()).collect();
        let plugs: Vec<(String, String)> = interfaces
            .into_iter()
            .filter_map(|interface| Some((interface.mac.to_string().to_ascii_lowercase(), interface.bridge?)))
            .collect();
        let answers = facts.as_ref().is_some_and(|facts| facts.guest_agent == GuestAgent::Connected);
        let by_guest = if answers { told(daemon, server, Knows::Guest, &macs) } else { None };
        let by_host: Vec<(String, IpAddr)> = [Knows::Leases, Knows::Neighbours]
            .into_iter()
            .filter_map(|by| told(daemon, server, by, &macs))
            .flatten()
            .collect();
        let seen = by_host
            .iter()
            .flat_map(|(mac, ip)| {
                plugs
                    .iter()
                    .filter(move |(plug, _)| plug == mac)
                    .map(move |(_, bridge)| (*ip, bridge.clone()))
            })
            .collect();
        let own = |all: Vec<(String, IpAddr)>| all.into_iter().map(|(_, ip)| ip).collect::<BTreeSet<_>>();
        let addresses = match by_guest {
            Some(by_guest) => Some(own(by_guest)),
            None if by_host.is_empty() => None,
            None => Some(own(by_host)),
        };
        let disks =
            facts.map_or(0, |facts| facts.disks.iter().filter(|disk| disk.reach != DiskReach::Empty).count());
        let disks = u32::try_from(disks).unwrap_or(u32::MAX);
        Ok(Self { hardware: Hardware { interfaces: macs, addresses, disks }, plugs, seen })
    }
}

/// Addresses of a server's own interfaces, as one of those who know tells them; nothing when that one can't be asked.
fn told(
    daemon: &Daemon,
    server: ServerId,
    by: Knows,
    macs: &BTreeSet<String>,
) -> Option<Vec<(String, IpAddr)>> {
    let ask = move |domain: &Domain| addresses_sys::addresses(domain, by);
    let found = daemon.on(server, LOOK, ask).ok()?;
    let usable = found.into_iter().filter(|one| macs.contains(&one.mac) && is_routable(one.ip));
    Some(usable.map(|one| (one.mac, one.ip)).collect())
}

fn ask(daemon: &Daemon, server: ServerId, check: &Check) -> Answered {
    let targets = match targets(daemon, server, check) {
        Ok(targets) => targets,
        Err(text) => return Answered::Nowhere { text },
    };
    let mut last = Answered::Nowhere { text: "it has no address".to_owned() };
    for (address, bridge) in targets {
        last = match connect(SocketAddr::new(address, check.what.port()), &bridge) {
            Ok(stream) => match &check.what {
                What::Tcp { .. } => Answered::Connected,
                What::Http { path, tls, .. } => get(stream, path, *tls),
            },
            Err(error) => Answered::No { text: format!("{address}: {error}") },
        };
        if check.is_passed_by(&last) {
            break;
        }
    }
    last
}

/// Where a guest may be asked: its addresses as this host has seen them.
fn targets(daemon: &Daemon, server: ServerId, check: &Check) -> Result<Vec<(IpAddr, String)>, String> {
    let wanted = |ip: &IpAddr| match check.address {
        Address::OfGuest => true,
        Address::Given(given) => *ip == given,
    };
    let made = Made::of(daemon, server).map_err(|refusal| refusal.to_string())?;
    let guests_word = made.hardware.addresses.clone().unwrap_or_default();
    let unseen: Vec<IpAddr> = guests_word
        .into_iter()
        .filter(|ip| wanted(ip) && !made.seen.iter().any(|(seen, _)| seen == ip))
        .collect();
    let seen = if unseen.is_empty() {
        made.seen
    } else {
        for (ip, (_, bridge)) in unseen.iter().flat_map(|ip| made.plugs.iter().map(move |plug| (ip, plug))) {
            // Who does not answer is not seen, and that is told below.
            let _ = call_on(*ip, bridge);
        }
        thread::sleep(NEIGHBOUR);
        Made::of(daemon, server).map_err(|refusal| refusal.to_string())?.seen
    };
    let targets: Vec<_> = seen.into_iter().filter(|(ip, _)| wanted(ip)).collect();
    if targets.is_empty() {
        return Err(match check.address {
            Address::Given(given) => format!("this host has not seen {given} at the guest's interfaces"),
            Address::OfGuest => "this host has seen no address at the guest's interfaces".to_owned(),
        });
    }
    Ok(targets)
}

fn family(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::IPV4 } else { Family::IPV6 }
}

/// Keeps a socket's packets on one link.
fn on_link(socket: &Socket, ip: IpAddr, bridge: &str) -> io::Result<()> {
    socket.bind_device(Some(bridge.as_bytes()))?;
    if ip.is_ipv4() { socket.set_ttl_v4(1) } else { socket.set_unicast_hops_v6(1) }
}

/// Makes the kernel ask the link who has an address.
fn call_on(ip: IpAddr, bridge: &str) -> io::Result<()> {
    let socket = Socket::new(family(ip), Type::DGRAM, Some(Protocol::UDP))?;
    on_link(&socket, ip, bridge)?;
    let unspecified: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket.bind(&SockAddr::from(SocketAddr::new(unspecified, 0)))?;
    socket.send_to(&[], &SockAddr::from(SocketAddr::new(ip, DISCARD))).map(drop)
}

fn connect(to: SocketAddr, bridge: &str) -> io::Result<TcpStream> {
    let socket = Socket::new(family(to.ip()), Type::STREAM, Some(Protocol::TCP))?;
    on_link(&socket, to.ip(), bridge)?;
    socket.connect_timeout(&SockAddr::from(to), CONNECT)?;
    Ok(socket.into())
}

/// Asks a web server for a path. Only the status is read.
fn get(stream: TcpStream, path: &str, tls: Tls) -> Answered {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let replied = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let replied = tokio::time::timeout(REPLY, status(stream, path, tls)).await;
            replied.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    });
    match replied {
        Ok(status) => Answered::Status(status),
        Err(error) => Answered::No { text: format!("no answer to the request: {error}") },
    }
}

async fn status(stream: TcpStream, path: &str, tls: Tls) -> io::Result<u16> {
    let host = stream.peer_addr()?;
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    match tls {
        Tls::None => request(TokioIo::new(stream), host, path).await,
        Tls::Spoken => request(TokioIo::new(tls::spoken(stream, host.ip()).await?), host, path).await,
    }
}

async fn request<S>(stream: S, host: SocketAddr, path: &str) -> io::Result<u16>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let carried = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, host.to_string())
        .header(hyper::header::USER_AGENT, "drover")
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let reply = sender.send_request(request).await.map_err(io::Error::other)?;
    carried.abort();
    Ok(reply.status().as_u16())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A web server for one request.
    fn web_server(reply: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).expect("a request");
            stream.write_all(reply.as_bytes()).expect("it is taken");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (address, served)
    }

    #[test]
    fn of_a_web_server_only_the_status_is_read() {
        let (address, served) = web_server("HTTP/1.1 503 Busy\r\ncontent-length: 1000000\r\n\r\n");
        let stream = connect(address, "lo").expect("it listens");
        assert_eq!(get(stream, "/health?deep=1", Tls::None), Answered::Status(503));
        let request = served.join().expect("served");
        assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    }

    #[test]
    fn what_is_no_web_server_is_told_as_such() {
        let (address, served) = web_server("220 mail.example ESMTP\r\n");
        let stream = connect(address, "lo").expect("it listens");
        assert!(matches!(get(stream, "/", Tls::None), Answered::No { .. }));
        served.join().expect("served");
    }

    #[test]
    fn nothing_leaves_by_another_device_than_the_guests_own() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        connect(address, "no-such-bridge").expect_err("there is no such device");
    }
}
