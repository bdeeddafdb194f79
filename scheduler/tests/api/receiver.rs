//! A real receiver of webhooks on loopback, that answers as it is told and remembers what it got.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Status(u16),
    /// With this status and this `Retry-After`.
    After(u16, &'static str),
    /// It sends to an address inside.
    Redirect,
    /// It takes the event, and answers with a body that never ends.
    Endless,
    /// Never.
    Silence,
}

/// What it got.
#[derive(Debug, Clone)]
pub struct Got {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

struct Inside {
    manner: Mutex<Manner>,
    got: Mutex<Vec<Got>>,
}

pub struct Receiver {
    pub address: SocketAddr,
    inside: Arc<Inside>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    inside.got.lock().expect("nobody panics while holding it").push(Got { headers, body });
    let manner = *inside.manner.lock().expect("nobody panics while holding it");
    match manner {
        Manner::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Manner::After(status, after) => {
            (StatusCode::from_u16(status).expect("a status"), [(header::RETRY_AFTER, after)]).into_response()
        }
        Manner::Redirect => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]).into_response()
        }
        Manner::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65_536]));
            Body::from_stream(futures_util::stream::repeat_with(chunk)).into_response()
        }
        Manner::Silence => std::future::pending().await,
    }
}

impl Receiver {
    pub async fn new() -> Self {
        let inside = Arc::new(Inside { manner: Mutex::new(Manner::Status(200)), got: Mutex::default() });
        let router = Router::new().fallback(take).with_state(Arc::clone(&inside));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, inside, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn answers(&self, manner: Manner) {
        *self.inside.manner.lock().expect("nobody panics while holding it") = manner;
    }

    /// What it got since this was asked last.
    pub fn got(&self) -> Vec<Got> {
        std::mem::take(&mut self.inside.got.lock().expect("nobody panics while holding it"))
    }
}
