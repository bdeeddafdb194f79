//! Who may call, and what decides.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List them, without their secrets
    List,
    /// Issue one; it is shown this once
    Create {
        /// For whom
        role: Role,
        /// The operator's, owner's or host's name; owners leave it out
        subject: Option<String>,
        /// Which of an owner's tokens it is, such as "backup script"
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Make one worthless
    Revoke {
        /// Its id
        token: String,
    },
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Does everything.
    Operator,
    /// Sees and moves the servers of one account.
    Owner,
    /// Speaks for one host.
    Agent,
}

/// Policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Check files, without a scheduler; they are merged in the order of their names
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what is in force
    Show {
        /// For this server
        #[arg(long)]
        server: Option<String>,
    },
}
