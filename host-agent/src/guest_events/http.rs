//! One connection: who it is, one request, one answer.
//!
//! Written for callers that mean harm: what can be counted is bounded, what can be waited for is waited for a little, and every doubt about
//! who asks ends in a refusal that says nothing.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drover_policies::ids::ServerId;
use drover_policies::mac::Mac;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::identity::{Attached, Peer, who};
use super::kernel::Kernel;
use super::limits::{Asker, Limits, Open, Rate};
use super::protocol::{self, Answer};
use crate::agent::Agent;
use crate::hypervisor;

/// A connection is over after this, whatever it is doing.
const LONGEST: Duration = Duration::from_secs(10);
/// What is known of the running domains may be so old; an acknowledgement is judged by what is so now.
const OLDEST: Duration = Duration::from_secs(1);
/// Bytes of a request's line and headers. The smallest that hyper takes.
const LARGEST_HEAD: usize = 8192;
/// How many headers.
const MOST_HEADERS: usize = 32;
/// Strangers are logged so often at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Asks libvirt on this host for the running domains. May take long.
pub type List = dyn Fn() -> hypervisor::Answer<Vec<Attached>> + Send + Sync;

/// What all connections share.
pub struct Desk {
    agent: Arc<Agent>,
    list: Arc<List>,
    /// Held while libvirt is asked, so that it is asked once however many want to know.
    known: tokio::sync::Mutex<Option<(Instant, Arc<Vec<Attached>>)>>,
    limits: Arc<Limits>,
    logged: Mutex<Option<Instant>>,
}

/// Whoever has connected.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Over a bridge.
    Link {
        /// What to ask about it.
        kernel: Arc<Kernel>,
        /// Which bridge.
        bridge: String,
        /// The sender of its first frame.
        mac: Mac,
        /// Where answers go.
        address: Ipv4Addr,
    },
    /// Over vsock.
    Vsock {
        /// Its address, by the kernel.
        cid: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// It must be so now.
    Now,
    /// It was so a moment ago.
    Recent,
}

/// Why it is not known who asks.
enum Nobody {
    Stranger(String),
    /// Neither is it known that it is a stranger.
    Unasked(String),
}

impl Caller {
    fn peer(&self) -> io::Result<Peer> {
        Ok(match self {
            Self::Link { kernel, bridge, mac, .. } => {
                Peer::Link { bridge: bridge.clone(), mac: *mac, ports: kernel.ports(bridge, *mac)? }
            }
            Self::Vsock { cid } => Peer::Vsock { cid: *cid },
        })
    }

    /// Whether an answer would reach the one who asked, and not somebody who uses the same IP address on the same bridge.
    fn is_reached(&self) -> bool {
        match self {
            Self::Link { kernel, bridge, mac, address } => {
                kernel.neighbour(bridge, *address).is_ok_and(|neighbour| neighbour == Some(*mac))
            }
            Self::Vsock { .. } => true,
        }
    }
}

impl Desk {
    /// A desk for this agent's guests.
    #[must_use]
    pub fn new(agent: Arc<Agent>, list: Arc<List>) -> Self {
        Self {
            agent,
            list,
            known: tokio::sync::Mutex::default(),
            limits: Arc::default(),
            logged: Mutex::default(),
        }
    }

    /// Serves a connection to its end.
    pub async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin, caller: Caller) {
        // Whatever is wrong with a connection concerns nobody but its caller.
        let _ = tokio::time::timeout(LONGEST, self.serve_patiently(stream, caller)).await;
    }

    async fn serve_patiently(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        caller: Caller,
    ) -> Result<(), hyper::Error> {
        let guest = self.whose(&caller, Age::Recent).await;
        let asker = guest.as_ref().map_or(Asker::Strangers, |guest| Asker::Guest(*guest));
        let Some(open) = self.limits.open(asker, Instant::now()) else { return Ok(()) };
        if let Err(Nobody::Stranger(why)) = &guest {
            self.log(why);
        }
        let service = service_fn(|request| async {
            let mut answer = self.respond(&caller, &guest, &open, request).await;
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok::<_, std::convert::Infallible>(answer.map(|body| Full::new(Bytes::from(body))))
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(LONGEST)
            .max_buf_size(LARGEST_HEAD)
            .max_headers(MOST_HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await
    }

    async fn respond(
        &self,
        caller: &Caller,
        guest: &Result<ServerId, Nobody>,
        open: &Open,
        request: Request<Incoming>,
    ) -> Answer {
        if open.request(Instant::now()) == Rate::Exceeded {
            let mut answer = protocol::refused(StatusCode::TOO_MANY_REQUESTS, "ask less often");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return answer;
        }
        let guest = match guest {
            Ok(guest) => *guest,
            Err(nobody) => return refuse(nobody),
        };
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, protocol::LARGEST_BODY).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) if error.is::<LengthLimitError>() => {
                let text = format!("the body is larger than {} bytes", protocol::LARGEST_BODY);
                return protocol::refused(StatusCode::PAYLOAD_TOO_LARGE, &text);
            }
            Err(_) => return protocol::refused(StatusCode::BAD_REQUEST, "the body broke off"),
        };
        let age = if parts.method == Method::GET { Age::Recent } else { Age::Now };
        // Asked again: the body may have been long in coming.
        match self.whose(caller, age).await {
            Ok(still) if still == guest => {}
            Ok(_) => return refuse(&Nobody::Stranger(String::new())),
            Err(nobody) => return refuse(&nobody),
        }
        if !caller.is_reached() {
            self.log(&format!("{caller:?}: another one uses its IP address on this bridge"));
            return refuse(&Nobody::Stranger(String::new()));
        }
        let agent = Arc::clone(&self.agent);
        let request = Request::from_parts(parts, body);
        // It may write to the disk.
        match tokio::task::spawn_blocking(move || protocol::answer(&agent, guest, &request)).await {
            Ok(answer) => answer,
            Err(_) => protocol::not_now("it could not be answered"),
        }
    }

    async fn whose(&self, caller: &Caller, age: Age) -> Result<ServerId, Nobody> {
        let peer = caller.peer().map_err(|error| Nobody::Unasked(error.to_string()))?;
        let attached = self.attached(age).await?;
        who(&peer, &attached).map_err(|stranger| Nobody::Stranger(stranger.to_string()))
    }

    async fn attached(&self, age: Age) -> Result<Arc<Vec<Attached>>, Nobody> {
        let wanted_at = Instant::now();
        let mut known = self.known.lock().await;
        if let Some((asked_at, attached)) = known.as_ref() {
            let fits = match age {
                Age::Recent => asked_at.elapsed() < OLDEST,
                // Somebody else has asked while this one waited for its turn.
                Age::Now => *asked_at >= wanted_at,
            };
            if fits {
                return Ok(Arc::clone(attached));
            }
        }
        let asked_at = Instant::now();
        let list = Arc::clone(&self.list);
        let listed = tokio::task::spawn_blocking(move || list()).await;
        let attached = match listed {
            Ok(Ok(attached)) => Arc::new(attached),
            Ok(Err(refusal)) => return Err(Nobody::Unasked(refusal.to_string())),
            Err(error) => return Err(Nobody::Unasked(error.to_string())),
        };
        *known = Some((asked_at, Arc::clone(&attached)));
        Ok(attached)
    }

    fn log(&self, why: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!("a guest's question was refused: {why}");
        }
    }
}

fn refuse(nobody: &Nobody) -> Response<Vec<u8>> {
    match nobody {
        Nobody::Stranger(_) => protocol::refused(
            StatusCode::FORBIDDEN,
            "it can't be said whose guest this is, so nothing is told; the log of this host's agent says why",
        ),
        Nobody::Unasked(why) => {
            tracing::warn!("it can't be found out which guest asks: {why}");
            protocol::not_now("it can't be found out at present whose guest this is")
        }
    }
}

#[cfg(test)]
mod tests;
