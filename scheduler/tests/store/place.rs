//! Where a story's database is.

use drover_scheduler::store::{Claim, Fence, Store};
use tempfile::TempDir;

use crate::postgres::cluster;
use crate::samples::{at, minutes};

/// An empty database of one engine.
pub struct Place {
    pub url: String,
    _home: Option<TempDir>,
}

impl Place {
    pub fn sqlite() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", home.path().join("drover.db").display());
        Self { url, _home: Some(home) }
    }

    /// Nothing where PostgreSQL is not installed.
    pub fn postgres() -> Option<Self> {
        cluster().map(|cluster| Self { url: cluster.database(), _home: None })
    }

    /// Another store on the same database, as another process would have.
    pub async fn open(&self) -> Store {
        let store = Store::open(&self.url).await.expect("it opens");
        store.migrate().await.expect("it is brought up to date");
        store
    }

    pub async fn open_and_claim(&self) -> (Store, Fence) {
        let store = self.open().await;
        let fence = claim(&store, "first", 0).await.expect("nobody else has it");
        (store, fence)
    }
}

/// Claims the scheduler's lease for ten minutes.
pub async fn claim(store: &Store, holder: &str, now: i64) -> Option<Fence> {
    let claim = Claim { lease: "scheduler", holder, now: at(now), lasting: minutes(10) };
    store.claim(&claim).await.expect("the database answers")
}

/// Tells each story on both engines.
macro_rules! on_both_engines {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story(crate::place::Place::sqlite()).await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $story() {
                if let Some(place) = crate::place::Place::postgres() {
                    super::$story(place).await;
                }
            })+
        }
    };
}

pub(crate) use on_both_engines;
