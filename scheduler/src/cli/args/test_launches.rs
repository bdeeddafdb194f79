//! Test launches.

use clap::Subcommand;

/// Test launches.
#[derive(Debug, Subcommand)]
pub enum Test {
    /// Boot a server at its destination as a test, cut off from its network, while it runs on
    Launch {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
    },
    /// Show the last test of a server
    Show {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
    },
    /// End a test: its guest is switched off, its disks are deleted
    End {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
    },
    /// Say that the server did in its test what it should
    Passed {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
    },
    /// Say that it did not
    Failed {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
    },
}
