//! People before the page of one maintenance, and the session by which they read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use super::super::report::Sample;
use crate::installation::Api;

/// The agents' connections and the watchers', and some.
const CONNECTIONS: u64 = 8_192;

/// How many begin to watch at the same time.
const AT_ONCE: usize = 50;

/// No page takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets this process, and the scheduler that it starts, have more connections than a shell is commonly given.
pub(super) fn allow_many_connections() -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= CONNECTIONS) {
        return Ok(());
    }
    let wanted = maximum.map_or(CONNECTIONS, |most| most.min(CONNECTIONS));
    ensure!(
        wanted >= CONNECTIONS,
        "{CONNECTIONS} open files are needed, and {wanted} are allowed (ulimit -n)"
    );
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?)
}

/// An operator who is signed in.
pub(super) struct Session {
    runtime: Runtime,
    client: reqwest::Client,
    root: String,
    cookie: String,
}

impl Session {
    /// Signs in by the form.
    pub(super) fn begin(api: &Api) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build()?;
        let form = client
            .post(format!("{}/login", api.url()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("token={}", api.token()));
        let answer = runtime.block_on(form.send())?;
        let cookie = answer.headers().get(SET_COOKIE).context("nobody was signed in")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { runtime, client, root: api.url().to_owned(), cookie })
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.root)).header(COOKIE, &self.cookie)
    }

    /// A page's HTML.
    pub(super) fn page(&self, path: &str) -> Result<String> {
        let asked = self.get(path).header(ACCEPT, "text/html").timeout(PATIENCE);
        self.runtime.block_on(async { Ok(asked.send().await?.error_for_status()?.text().await?) })
    }
}

/// All of them. They leave when it is dropped.
pub(super) struct Watchers {
    told: Vec<Arc<AtomicU32>>,
    _runtime: Runtime,
}

impl Watchers {
    /// So many listen to one stream each, from when this returns on.
    pub(super) fn gather(session: &Session, count: usize, path: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let begin = |_| {
            let asked = session.get(path);
            async move { anyhow::Ok(asked.send().await?.error_for_status()?) }
        };
        let opened: Vec<reqwest::Response> =
            runtime.block_on(stream::iter(0..count).map(begin).buffer_unordered(AT_ONCE).try_collect())?;
        let listen = |response: reqwest::Response| {
            let told = Arc::new(AtomicU32::new(0));
            let counts = Arc::clone(&told);
            runtime.spawn(async move {
                let mut body = response.bytes_stream();
                while let Some(Ok(bytes)) = body.next().await {
                    // A message is sent in one piece, and a heartbeat is none.
                    if bytes.starts_with(b"data:") {
                        counts.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            told
        };
        let told = opened.into_iter().map(listen).collect();
        Ok(Self { told, _runtime: runtime })
    }

    /// How often each was told something.
    pub(super) fn told(&self) -> Result<Sample> {
        let mut sample = Sample::default();
        self.told.iter().for_each(|told| sample.add(told.load(Ordering::Relaxed).into()));
        ensure!(sample.count() > 0, "nobody watched");
        Ok(sample)
    }
}
