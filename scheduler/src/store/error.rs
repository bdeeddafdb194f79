//! What can go wrong with the store.

/// Why the store did not do what was asked of it. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody has changed it meanwhile, or has stored another one of the same id, number or key. Whoever gets this reads again and
    /// decides anew.
    #[error("{table} {id} was changed by somebody else meanwhile")]
    Conflict {
        /// What kind of thing.
        table: &'static str,
        /// Which.
        id: String,
    },
    /// The lease under which this was to be written has gone to another scheduler. Whoever gets this stops acting.
    #[error("the lease {lease:?} is held by another scheduler now")]
    Fenced {
        /// Which lease.
        lease: String,
    },
    /// What is stored can't be understood.
    #[error(
        "{table} {id} can't be read from the database; it was written by another version, or changed by hand"
    )]
    Corrupt {
        /// What kind of thing.
        table: &'static str,
        /// Which.
        id: String,
        /// What was expected.
        source: BadContent,
    },
    /// A value that has no form in which it could be stored.
    #[error("{table} can't be put into a form that can be stored")]
    Unstorable {
        /// What kind of thing.
        table: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The database refused, or could not be reached.
    #[error("the database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
    /// The tables could not be brought to the form that this version needs.
    #[error(
        "the database could not be brought to the form that this version needs; is it used by a newer version?"
    )]
    Schema {
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// No database is meant by this.
    #[error(
        "{given:?} names no database: write a path, sqlite:///path/drover.db or postgres://user@host/database"
    )]
    BadUrl {
        /// As given, without a password.
        given: String,
    },
    /// The file can't be made.
    #[error("the database file {path} can't be made")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What was wrong with something stored.
#[derive(Debug, thiserror::Error)]
pub enum BadContent {
    /// Its JSON is not what this version writes.
    #[error("its content is not what was expected")]
    Json(#[source] serde_json::Error),
    /// A name that can't be one.
    #[error("a name in it is not one")]
    Name(#[source] drover_policies::ids::BadName),
    /// A word that this version doesn't know, or a figure out of range.
    #[error("its {column} can't be {found:?}")]
    Value {
        /// Where.
        column: &'static str,
        /// What stands there.
        found: String,
    },
}

impl StoreError {
    pub(super) fn database(doing: &'static str, source: sqlx::Error) -> Self {
        Self::Database { doing, source }
    }

    pub(super) fn conflict(table: &'static str, id: impl ToString) -> Self {
        Self::Conflict { table, id: id.to_string() }
    }

    /// An insertion that failed because the thing is there already is a conflict like any other.
    pub(super) fn on_insert(self, table: &'static str, id: impl ToString) -> Self {
        match self {
            Self::Database { source: sqlx::Error::Database(error), .. } if error.is_unique_violation() => {
                Self::conflict(table, id)
            }
            other => other,
        }
    }
}
