//! Replicas of local disks, between two agents: the destination's holds them, the source's calls it.
//!
//! See `docs/decisions/018-replicas.md`. Who is who is known by certificates ([`identity`]); what is said is in [`wire`]; the source's
//! side is [`peer`]; the destination's are [`serve`], which lets sources in, and [`store`], which keeps what they bring.

mod admission;
pub mod checksums;
pub mod config;
pub mod error;
mod fork;
pub mod identity;
mod link;
pub mod nbd;
pub mod peer;
mod place;
mod record;
mod rounds;
pub mod serve;
pub mod store;
pub mod tools;
pub mod wire;

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use drover_policies::fleet::{self, Replication};
use tokio::runtime::{Builder, Runtime};

use config::Config;
use identity::{Identity, IdentityError};
use peer::Peers;
use store::{OpenError, Replicas};

/// Threads that carry connections. Encryption is most of their work.
const THREADS: usize = 2;

/// Why this host has no part in replicas though it is configured to.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No key and certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The replicas can't be held.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Others can't be listened to.
    #[error(
        "replication.listen is {address}, and it can't be listened on; write an address of this host and a port that nobody else uses"
    )]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("the threads for replicas can't be started")]
    Threads(#[source] io::Error),
}

/// Both ends of replicas as this agent has them: it holds those of others and sends its own.
#[derive(Debug)]
pub struct Ends {
    /// How they are configured.
    pub config: Config,
    /// Those that this host holds.
    pub replicas: Arc<Replicas>,
    /// The way to those that other hosts hold.
    pub peers: Peers,
    identity: Arc<Identity>,
    runtime: Runtime,
}

impl Ends {
    /// Opens what is held here and begins to listen for other agents.
    ///
    /// # Errors
    /// When there is no identity, the replicas can't be held, or the address can't be listened on.
    pub fn start(config: Config, data_dir: &Path) -> Result<Arc<Self>, StartError> {
        let identity = Arc::new(Identity::open(data_dir)?);
        let replicas = Replicas::open(config.clone(), data_dir)?;
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).thread_name("replicas").enable_all().build();
        let runtime = runtime.map_err(StartError::Threads)?;
        let peers = Peers::new(Arc::clone(&identity), runtime.handle().clone());
        let ends = Arc::new(Self { config, replicas, peers, identity, runtime });
        ends.listen()?;
        let held = Arc::clone(&ends.replicas);
        ends.runtime.spawn_blocking(move || held.recover());
        Ok(ends)
    }

    fn listen(&self) -> Result<(), StartError> {
        let address = self.config.listen;
        let unheard = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(unheard)?;
        listener.set_nonblocking(true).map_err(unheard)?;
        let _within = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(unheard)?;
        let (identity, replicas) = (Arc::clone(&self.identity), Arc::clone(&self.replicas));
        self.runtime.spawn(async move {
            let Err(error) = serve::serve(listener, &identity, replicas).await;
            tracing::error!("other agents are not listened to: {error}");
        });
        Ok(())
    }

    /// By what this agent is known to other agents.
    #[must_use]
    pub fn certificate(&self) -> &fleet::Certificate {
        self.identity.told()
    }

    /// What the scheduler is told of this host.
    #[must_use]
    pub fn facts(&self) -> Replication {
        self.config.facts(self.identity.digest())
    }
}

/// What of replicas will not work on this host, for `drover-agent check`: each line says what and what to do.
#[must_use]
pub fn check() -> Vec<String> {
    let is_missing = |program: &&str| {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        !command.status().is_ok_and(|status| status.success())
    };
    let missing = ["qemu-img", "qemu-nbd", "setpriv", "tar"].into_iter().filter(is_missing);
    missing
        .map(|program| {
            format!("{program} can't be run, and replicas need it: install qemu-utils, util-linux and tar")
        })
        .collect()
}
