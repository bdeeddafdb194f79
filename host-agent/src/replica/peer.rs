//! The source's side: calls the agent that holds a replica.
//!
//! For plain threads: every call blocks, and ends in a bounded time. Do not call from a task of the runtime that carries the connections.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_agent_api::ReplicaPeer;
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::ids::ReplicaId;
use drover_policies::replica::Round;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::{Identity, IdentityError, NAME};
use super::link::{BUFFER, Counted, watch_over};
use super::wire::{
    BeginRound, CHECKSUM_BYTES, Checksums, Extra, LARGEST_CHUNK, LARGEST_RANGE, Land, NBD, ROUND_HEADER,
    SMALLEST_CHUNK, Status, TakeOut,
};
use crate::hypervisor::replication::{FilledBy, Touched};
use crate::hypervisor::{Refusal, RefusalKind};

/// For a connection and for TLS, each.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer that is made of what is known.
const SHORT: Duration = Duration::from_secs(20);
/// For an answer that begins processes, makes files or reads a part of a disk.
const WORK: Duration = Duration::from_secs(120);
/// For the landing of a round, which copies all that it has brought within the destination's storage. That the destination is away is
/// noticed much sooner, by the connection.
const LANDING: Duration = Duration::from_secs(3600);
/// The largest answer, in bytes: checksums of the largest range by the smallest chunks.
const LARGEST_ANSWER: usize = (LARGEST_RANGE / SMALLEST_CHUNK) as usize * CHECKSUM_BYTES + 4096;

/// Why the agent that holds a replica did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// TLS can't be set up.
    #[error("no connection can be made to {host}")]
    Identity {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// No connection came about: nothing was done.
    #[error("the agent of {host} can't be reached at {address}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time: whether it was, or still will be, done is not known.
    #[error("the agent of {host} did not answer within {limit:?} when asked to {what}")]
    NoAnswer {
        /// Which host.
        host: String,
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke: whether it was done is not known.
    #[error("the connection to the agent of {host} broke when it was asked to {what}")]
    Broken {
        /// Which host.
        host: String,
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It has answered, and refuses.
    #[error("{host} refuses to {what}: {}", failure.text)]
    Refused {
        /// Which host.
        host: String,
        /// What was asked.
        what: &'static str,
        /// Why.
        failure: Failure,
    },
    /// It has answered something that is no answer.
    #[error(
        "the agent of {host} answered {status} when asked to {what}; are both agents of the same version?"
    )]
    Senseless {
        /// Which host.
        host: String,
        /// What was asked.
        what: &'static str,
        /// The answer's status.
        status: u16,
    },
    /// A question that the other side would refuse.
    #[error("checksums of {length} bytes by chunks of {chunk}: {advice}")]
    Range {
        /// How much was asked for.
        length: u64,
        /// How large a chunk was to be.
        chunk: u64,
        /// What would be right.
        advice: &'static str,
    },
}

impl PeerError {
    /// As a round tells of it, which asks this host's libvirt as well: that the other agent is silent is not that libvirt is.
    #[must_use]
    pub fn in_round(self) -> Refusal {
        let class = match self {
            Self::Unreachable { .. } => Some(FailureClass::DestinationUnreachable),
            Self::Broken { .. } | Self::NoAnswer { .. } => Some(FailureClass::LostOnTheWay),
            Self::Identity { .. } | Self::Refused { .. } | Self::Senseless { .. } | Self::Range { .. } => {
                None
            }
        };
        let refusal = Refusal::from(self);
        Refusal { kind: class.map_or(refusal.kind, RefusalKind::Failed), ..refusal }
    }
}

impl From<PeerError> for Refusal {
    fn from(error: PeerError) -> Self {
        use std::error::Error;
        let kind = match &error {
            PeerError::Unreachable { .. } | PeerError::Broken { .. } => RefusalKind::NoConnection,
            PeerError::NoAnswer { .. } => RefusalKind::NoAnswer,
            PeerError::Refused { failure, .. } => RefusalKind::Failed(failure.class),
            PeerError::Identity { .. } | PeerError::Senseless { .. } | PeerError::Range { .. } => {
                RefusalKind::Failed(FailureClass::Unexpected)
            }
        };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        Self::new(kind, text)
    }
}

/// Makes connections to agents that hold replicas.
#[derive(Debug, Clone)]
pub struct Peers {
    identity: Arc<Identity>,
    runtime: Handle,
}

impl Peers {
    /// Calls in this agent's name. The runtime carries the connections; it must have threads of its own.
    #[must_use]
    pub fn new(identity: Arc<Identity>, runtime: Handle) -> Self {
        Self { identity, runtime }
    }

    /// Connects, and makes sure that the other side is the agent it should be and knows the replica.
    ///
    /// # Errors
    /// When it can't be reached, is another one, or does not hold this replica for this host.
    pub fn connect(&self, peer: &ReplicaPeer, replica: ReplicaId) -> Result<PeerReplica, PeerError> {
        let host = peer.host.to_string();
        let tls = self
            .identity
            .client(&peer.certificate)
            .map_err(|source| PeerError::Identity { host: host.clone(), source })?;
        let connected = PeerReplica(Arc::new(Inner {
            host,
            address: peer.address.clone(),
            replica,
            tls: TlsConnector::from(Arc::new(tls)),
            runtime: self.runtime.clone(),
            idle: Mutex::default(),
            sent: Arc::default(),
        }));
        connected.status()?;
        Ok(connected)
    }
}

/// A replica, as its holder is asked about it. Clones share connections; any number of threads may ask at a time.
#[derive(Clone)]
pub struct PeerReplica(Arc<Inner>);

struct Inner {
    host: String,
    address: String,
    replica: ReplicaId,
    tls: TlsConnector,
    runtime: Handle,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    sent: Arc<AtomicU64>,
}

/// A round that has begun at the holder.
#[derive(Clone)]
pub struct PeerRound {
    replica: PeerReplica,
    number: u64,
}

impl PeerReplica {
    /// What is there of it.
    ///
    /// # Errors
    /// When it can't be asked, or works on the replica for longer than is waited.
    pub fn status(&self) -> Result<Status, PeerError> {
        self.0.ask(&Question { what: "tell what it holds", verb: "status", limit: SHORT }, &())
    }

    /// Begins a round; one that was begun before and has not landed is thrown away, its data connections are cut.
    ///
    /// # Errors
    /// When it can't be asked, or refuses: the number is not the next one, what the round covers is too little for what is there, the
    /// room is too small.
    pub fn begin_round(&self, round: &BeginRound) -> Result<PeerRound, PeerError> {
        let question = Question { what: "begin a round", verb: "round", limit: WORK };
        self.0.ask::<_, ()>(&question, round)?;
        Ok(PeerRound { replica: self.clone(), number: round.number })
    }

    /// Has it keep what goes with the disks; it is put in place with them.
    ///
    /// # Errors
    /// When it can't be asked, or refuses: too large, a path that is not for this.
    pub fn put_extra(&self, extra: &Extra, bytes: &[u8]) -> Result<(), PeerError> {
        let question = Question { what: "keep what goes with the disks", verb: "extra", limit: WORK };
        let mut body = json(extra);
        body.push(b'\n');
        body.extend_from_slice(bytes);
        let answer = self.0.post(&question, body)?;
        self.0.understood(&question, &answer)
    }

    /// Has it put the images where the server's definition names them. Whole or not at all; a repeat changes nothing.
    ///
    /// # Errors
    /// When it can't be asked, or refuses: a file is there, nothing has landed.
    pub fn put_in_place(&self, by: FilledBy) -> Result<(), PeerError> {
        let verb = match by {
            FilledBy::Rounds => "place",
            FilledBy::Hypervisor => "place-empty",
        };
        let question = Question { what: "put the replica in its place", verb, limit: WORK };
        self.0.ask(&question, &())
    }

    /// Has it take the images out of their place. A repeat changes nothing.
    ///
    /// # Errors
    /// When it can't be asked, or refuses.
    pub fn take_out(&self, touched: Touched) -> Result<(), PeerError> {
        let question = Question { what: "take the replica out of its place", verb: "take-out", limit: WORK };
        self.0.ask(&question, &TakeOut { touched })
    }

    /// What has gone to the network by all connections of this replica since it was connected, in bytes, TLS included.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }
}

impl PeerRound {
    /// Opens a connection that speaks NBD and writes a disk of the round. Up to eight for a disk.
    ///
    /// The round lands only when they are closed. One that breaks ends like a socket whose other side has closed it.
    ///
    /// # Errors
    /// When it can't be reached, or another round has begun.
    pub fn data(&self, target: &str) -> Result<UnixStream, PeerError> {
        let inner = &self.replica.0;
        inner.block("open a disk", CONNECT * 3, inner.open_data(target, self.number))
    }

    /// Checksums of a disk by chunks, as it was when the round began: BLAKE3, 32 bytes for each chunk, the last chunk may be short.
    ///
    /// # Errors
    /// When it can't be asked; when the range is larger than [`LARGEST_RANGE`] or the chunk is not [`SMALLEST_CHUNK`] to
    /// [`LARGEST_CHUNK`]; when another round has begun.
    pub fn checksums(&self, range: &Range<'_>) -> Result<Vec<[u8; CHECKSUM_BYTES]>, PeerError> {
        let wrong = |advice| PeerError::Range { length: range.length, chunk: range.chunk, advice };
        if range.length > LARGEST_RANGE {
            return Err(wrong("ask for at most 1 GiB at a time"));
        }
        if !(SMALLEST_CHUNK..=LARGEST_CHUNK).contains(&range.chunk) {
            return Err(wrong("take chunks of 64 KiB to 16 MiB"));
        }
        let question = Question { what: "tell checksums", verb: "checksums", limit: WORK };
        let body = json(&Checksums {
            round: self.number,
            target: range.target.to_owned(),
            offset: range.offset,
            length: range.length,
            chunk: range.chunk,
        });
        let answer = self.replica.0.post(&question, body)?;
        let (chunks, rest) = answer.as_chunks::<CHECKSUM_BYTES>();
        if !rest.is_empty() || u64::try_from(chunks.len()) != Ok(range.length.div_ceil(range.chunk)) {
            return Err(self.replica.0.senseless(&question, StatusCode::OK));
        }
        Ok(chunks.to_vec())
    }

    /// Makes what was sent the replica. When this returns, it is, whatever happens to either host. A repeat changes nothing.
    ///
    /// # Errors
    /// When it can't be asked: then [`PeerReplica::status`] tells whether it has landed. When data connections are open, or the room
    /// is too small.
    pub fn land(&self, round: &Round) -> Result<(), PeerError> {
        let question = Question { what: "land a round", verb: "land", limit: LANDING };
        self.replica.0.ask(&question, &Land { round: round.clone() })
    }
}

/// A part of a disk, by chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<'a> {
    /// Which disk.
    pub target: &'a str,
    /// Where the first chunk begins, in bytes.
    pub offset: u64,
    /// How far, in bytes.
    pub length: u64,
    /// How large a chunk is, in bytes.
    pub chunk: u64,
}

struct Question {
    what: &'static str,
    verb: &'static str,
    limit: Duration,
}

fn json(body: &impl Serialize) -> Vec<u8> {
    // These are plain structures with texts as keys: there is nothing in them that JSON has no words for.
    serde_json::to_vec(body).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn ask<Body: Serialize, T: DeserializeOwned>(
        &self,
        question: &Question,
        body: &Body,
    ) -> Result<T, PeerError> {
        let answer = self.post(question, json(body))?;
        self.understood(question, &answer)
    }

    fn understood<T: DeserializeOwned>(&self, question: &Question, answer: &[u8]) -> Result<T, PeerError> {
        serde_json::from_slice(answer).map_err(|_| self.senseless(question, StatusCode::OK))
    }

    fn senseless(&self, question: &Question, status: StatusCode) -> PeerError {
        PeerError::Senseless { host: self.host.clone(), what: question.what, status: status.as_u16() }
    }

    fn broken(
        &self,
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> PeerError {
        PeerError::Broken { host: self.host.clone(), what, source: source.into() }
    }

    fn block<T>(
        &self,
        what: &'static str,
        limit: Duration,
        asked: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        let no_answer = |_| PeerError::NoAnswer { host: self.host.clone(), what, limit };
        self.runtime.block_on(async { timeout(limit, asked).await }).map_err(no_answer)?
    }

    fn post(&self, question: &Question, body: Vec<u8>) -> Result<Bytes, PeerError> {
        self.block(question.what, question.limit, self.post_once_more(question, Bytes::from(body)))
    }

    /// A connection that was kept may have been closed at the other end just now. Every question may be asked twice, so it is.
    async fn post_once_more(&self, question: &Question, body: Bytes) -> Result<Bytes, PeerError> {
        let kept = lock(&self.idle).pop();
        if let Some(mut kept) = kept
            && kept.ready().await.is_ok()
            && let Ok(answer) = self.post_on(kept, question, body.clone()).await
        {
            return answer;
        }
        let fresh = self.open(question.what).await?;
        self.post_on(fresh, question, body).await.map_err(|error| self.broken(question.what, error))?
    }

    /// The outer error is the connection's, the inner one the answer.
    async fn post_on(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        question: &Question,
        body: Bytes,
    ) -> Result<Result<Bytes, PeerError>, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/replica/v1/{}/{}", self.replica, question.verb))
            .header(HOST, NAME)
            .body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await?.to_bytes();
        lock(&self.idle).push(sender);
        Ok(if status == StatusCode::OK { Ok(answer) } else { Err(self.refused(question, status, &answer)) })
    }

    fn refused(&self, question: &Question, status: StatusCode, answer: &[u8]) -> PeerError {
        match serde_json::from_slice(answer) {
            Ok(failure) => PeerError::Refused { host: self.host.clone(), what: question.what, failure },
            Err(_) => self.senseless(question, status),
        }
    }

    async fn open(&self, what: &'static str) -> Result<SendRequest<Full<Bytes>>, PeerError> {
        let stream = self.reach().await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(what, error))?;
        // Its end is told to whoever asks on it next.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    async fn reach(&self) -> Result<TlsStream<Counted>, PeerError> {
        let unreachable = |source| PeerError::Unreachable {
            host: self.host.clone(),
            address: self.address.clone(),
            source,
        };
        let late = |_| unreachable(io::ErrorKind::TimedOut.into());
        let stream = timeout(CONNECT, TcpStream::connect(&self.address)).await.map_err(late)?;
        let stream = stream.map_err(unreachable)?;
        watch_over(&stream).map_err(unreachable)?;
        let counted = Counted { stream, sent: Arc::clone(&self.sent) };
        let name = ServerName::try_from(NAME).map_err(|error| unreachable(io::Error::other(error)))?;
        timeout(CONNECT, self.tls.connect(name, counted)).await.map_err(late)?.map_err(unreachable)
    }

    async fn open_data(&self, target: &str, round: u64) -> Result<UnixStream, PeerError> {
        const QUESTION: Question = Question { what: "open a disk", verb: "data", limit: CONNECT };
        let broken = |error| self.broken(QUESTION.what, error);
        let mut sender = self.open(QUESTION.what).await?;
        let request = Request::builder()
            .uri(format!("/replica/v1/{}/{}/{target}", self.replica, QUESTION.verb))
            .header(HOST, NAME)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, NBD)
            .header(ROUND_HEADER, round)
            .body(Full::default())
            .map_err(|error| self.broken(QUESTION.what, error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.not_switched(&QUESTION, response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| self.broken(QUESTION.what, error))?;
        let relay = || {
            theirs.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(theirs)
        };
        let mut local = relay().map_err(|error| self.broken(QUESTION.what, error))?;
        tokio::spawn(async move {
            let mut remote = TokioIo::new(upgraded);
            if let Err(error) = copy_bidirectional_with_sizes(&mut local, &mut remote, BUFFER, BUFFER).await {
                tracing::debug!("a data connection broke: {error}");
            }
            // The other end of the pair may be read by somebody who waits for an answer.
            if let Ok(local) = local.into_std() {
                let _ = local.shutdown(Shutdown::Both);
            }
        });
        Ok(ours)
    }

    async fn not_switched(
        &self,
        question: &Question,
        response: Response<hyper::body::Incoming>,
    ) -> PeerError {
        let status = response.status();
        match Limited::new(response.into_body(), LARGEST_ANSWER).collect().await {
            Ok(answer) => self.refused(question, status, &answer.to_bytes()),
            Err(error) => self.broken(question.what, error),
        }
    }
}
