//! The destination's side: lets agents of sources in, each to its own replicas and to nothing else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use drover_policies::attempt::Failure;
use drover_policies::fleet::CertificateDigest;
use drover_policies::ids::ReplicaId;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::error::ReplicaError;
use super::identity::{Identity, IdentityError, digest};
use super::link::{BUFFER, watch_over};
use super::rounds::{Connection, read_checksums};
use super::store::{Replicas, Slot};
use super::wire::{BeginRound, Checksums, Extra, LARGEST_EXTRA, Land, NBD, ROUND_HEADER, TakeOut};
use crate::hypervisor::replication::FilledBy;

/// Connections of all sources at a time. A source has one for questions and up to eight for each disk of a round.
const MOST: usize = 512;
/// Requests are made of what a peer sends within this, once a connection stands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection on which nothing is asked for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// A body must be there after so long.
const BODY: Duration = Duration::from_secs(120);
/// How many headers.
const MOST_HEADERS: usize = 32;
/// The largest question, in bytes: some hundred disks.
const LARGEST_QUESTION: usize = 64 << 10;
/// After a failure to take a connection: there are too many files open.
const REST: Duration = Duration::from_millis(200);

type Answer = Response<Full<Bytes>>;

/// What all connections share.
struct Desk {
    replicas: Arc<Replicas>,
    tls: TlsAcceptor,
}

/// Lets sources in, until it is dropped.
///
/// # Errors
/// When TLS can't be set up.
pub async fn serve(
    listener: TcpListener,
    identity: &Identity,
    replicas: Arc<Replicas>,
) -> Result<std::convert::Infallible, IdentityError> {
    let known = Arc::clone(&replicas);
    let tls = identity.server(Arc::new(move |certificate| known.knows(certificate)))?;
    let desk = Arc::new(Desk { replicas, tls: TlsAcceptor::from(Arc::new(tls)) });
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection of another agent could not be taken: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // Over the bound it is closed at once: a source that may come tries again.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            if let Err(error) = desk.attend(stream).await {
                tracing::debug!("a connection of another agent ended: {error}");
            }
            drop(permit);
        });
    }
}

impl Desk {
    async fn attend(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        watch_over(&stream)?;
        let stream = timeout(HANDSHAKE, self.tls.accept(stream)).await??;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(caller) = certificates.first().map(digest) else { return Ok(()) };
        let service = service_fn(|request| {
            let (desk, caller) = (Arc::clone(&self), caller.clone());
            async move { Ok::<_, std::convert::Infallible>(desk.respond(caller, request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(BUFFER)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await
            .map_err(io::Error::other)
    }

    async fn respond(self: Arc<Self>, caller: CertificateDigest, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let mut parts = path.strip_prefix("/replica/v1/").unwrap_or_default().splitn(3, '/');
        let (id, verb, rest) = (parts.next(), parts.next(), parts.next());
        let slot = id
            .and_then(|id| id.parse().ok())
            .ok_or(ReplicaError::Unknown)
            .and_then(|id| self.replicas.of_source(ReplicaId(id), &caller));
        let slot = match slot {
            Ok(slot) => slot,
            Err(error) => return refused(&error),
        };
        let answer = match (request.method(), verb, rest) {
            (&Method::GET, Some("data"), Some(target)) => self.data(slot, target.to_owned(), request).await,
            (&Method::POST, Some("status"), None) => {
                self.step(slot, request, |replicas, slot, (): ()| json(&replicas.status(&mut *slot.turn()?)?))
                    .await
            }
            (&Method::POST, Some("round"), None) => {
                self.step(slot, request, |replicas, slot, asked: BeginRound| {
                    json(&replicas.begin_round(&mut *slot.turn()?, &asked)?)
                })
                .await
            }
            (&Method::POST, Some("checksums"), None) => {
                self.step(slot, request, |_, slot, asked: Checksums| {
                    let socket = slot.turn()?.readable(&asked)?;
                    read_checksums(&socket, &asked)
                })
                .await
            }
            (&Method::POST, Some("land"), None) => {
                self.step(slot, request, |replicas, slot, asked: Land| {
                    json(&replicas.land(&mut *slot.turn()?, &asked.round)?)
                })
                .await
            }
            (&Method::POST, Some(place @ ("place" | "place-empty")), None) => {
                let by = if place == "place" { FilledBy::Rounds } else { FilledBy::Hypervisor };
                self.step(slot, request, move |replicas, slot, (): ()| {
                    json(&replicas.put_in_place(&mut *slot.turn()?, by)?)
                })
                .await
            }
            (&Method::POST, Some("take-out"), None) => {
                self.step(slot, request, |replicas, slot, asked: TakeOut| {
                    json(&replicas.take_out(&mut *slot.turn()?, asked.touched)?)
                })
                .await
            }
            (&Method::POST, Some("extra"), None) => self.extra(slot, request).await,
            _ => Err(Trouble::Question("there is no such question".to_owned())),
        };
        answer.unwrap_or_else(|trouble| match trouble {
            Trouble::Refused(error) => refused(&error),
            Trouble::Question(why) => plain(StatusCode::BAD_REQUEST, why.into_bytes()),
        })
    }

    /// A question whose answer may write to the disk, and wait for it.
    async fn step<Asked: DeserializeOwned + Send + 'static>(
        &self,
        slot: Arc<Slot>,
        request: Request<Incoming>,
        step: impl FnOnce(&Replicas, &Slot, Asked) -> Result<Vec<u8>, ReplicaError> + Send + 'static,
    ) -> Result<Answer, Trouble> {
        let body = body(request, LARGEST_QUESTION).await?;
        let asked = serde_json::from_slice(&body).map_err(|error| Trouble::Question(error.to_string()))?;
        self.work(move |replicas| step(replicas, &slot, asked)).await
    }

    async fn extra(&self, slot: Arc<Slot>, request: Request<Incoming>) -> Result<Answer, Trouble> {
        let body = body(request, LARGEST_EXTRA + LARGEST_QUESTION).await?;
        let end = body.iter().position(|byte| *byte == b'\n');
        let (line, bytes) =
            end.and_then(|end| Some((body.get(..end)?, body.slice(end + 1..)))).ok_or_else(|| {
                Trouble::Question("the first line says what it is, the bytes come after it".to_owned())
            })?;
        let extra: Extra =
            serde_json::from_slice(line).map_err(|error| Trouble::Question(error.to_string()))?;
        self.work(move |replicas| json(&replicas.put_extra(&mut *slot.turn()?, &extra, &bytes)?)).await
    }

    async fn work(
        &self,
        work: impl FnOnce(&Replicas) -> Result<Vec<u8>, ReplicaError> + Send + 'static,
    ) -> Result<Answer, Trouble> {
        let replicas = Arc::clone(&self.replicas);
        match tokio::task::spawn_blocking(move || work(&replicas)).await {
            Ok(done) => Ok(plain(StatusCode::OK, done?)),
            Err(error) => Err(Trouble::Question(error.to_string())),
        }
    }

    /// Puts a connection through to a disk's `qemu-nbd`.
    async fn data(
        &self,
        slot: Arc<Slot>,
        target: String,
        mut request: Request<Incoming>,
    ) -> Result<Answer, Trouble> {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let round = header(ROUND_HEADER).and_then(|number| number.parse().ok());
        let (Some(NBD), Some(round)) = (header(UPGRADE.as_str()), round) else {
            return Err(Trouble::Question(format!(
                "a disk is written with `upgrade: {NBD}` and `{ROUND_HEADER}`"
            )));
        };
        let connect = move || slot.turn()?.connect(round, &target);
        let connection = match tokio::task::spawn_blocking(connect).await {
            Ok(connection) => connection?,
            Err(error) => return Err(Trouble::Question(error.to_string())),
        };
        let local = UnixStream::connect(&connection.socket).await;
        let local = local.map_err(|error| Trouble::Refused(super::nbd::NbdError::from(error).into()))?;
        tokio::spawn(put_through(hyper::upgrade::on(&mut request), local, connection));
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(NBD));
        Ok(answer)
    }
}

async fn put_through(upgrade: OnUpgrade, mut local: UnixStream, mut connection: Connection) {
    let Ok(Ok(upgraded)) = timeout(HANDSHAKE, upgrade).await else { return };
    let mut remote = TokioIo::new(upgraded);
    tokio::select! {
        ended = copy_bidirectional_with_sizes(&mut remote, &mut local, BUFFER, BUFFER) => {
            if let Err(error) = ended {
                tracing::debug!("a data connection broke: {error}");
            }
        }
        _ = connection.over.changed() => {}
    }
    // Closed before it is counted as closed.
    drop((remote, local));
    drop(connection);
}

/// Why there is no answer.
enum Trouble {
    Refused(ReplicaError),
    /// It was not asked as it should be.
    Question(String),
}

impl From<ReplicaError> for Trouble {
    fn from(error: ReplicaError) -> Self {
        Self::Refused(error)
    }
}

async fn body(request: Request<Incoming>, largest: usize) -> Result<Bytes, Trouble> {
    let collected = timeout(BODY, Limited::new(request.into_body(), largest).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Trouble::Question(format!("the body is larger than {largest} bytes")))
        }
        Ok(Err(_)) | Err(_) => Err(Trouble::Question("the body broke off".to_owned())),
    }
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, ReplicaError> {
    // Plain structures: there is nothing in them that JSON has no words for.
    Ok(serde_json::to_vec(answer).unwrap_or_default())
}

fn refused(error: &ReplicaError) -> Answer {
    let status = match error {
        ReplicaError::Unknown => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    let failure: Failure = error.failure();
    let mut answer = plain(status, serde_json::to_vec(&failure).unwrap_or_default());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn plain(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
}
