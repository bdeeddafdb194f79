//! What owners are told, and on which ways.

use clap::Subcommand;
use drover_policies::time::Span;

use super::Listing;

/// Tickets.
#[derive(Debug, Subcommand)]
pub enum Tickets {
    /// List them
    List {
        /// Closed ones, too
        #[arg(long)]
        all: bool,
        /// Only those in which an owner waits for an answer, open or closed
        #[arg(long, conflicts_with = "all")]
        needs_answer: bool,
        /// Only those that you have taken
        #[arg(long)]
        mine: bool,
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one, with what was told and written
    Show {
        /// `DR-1001`, `1001` or the id
        ticket: String,
    },
    /// Write into one: to its owner as an operator, to the operators as its owner
    Reply {
        /// `DR-1001`, `1001` or the id
        ticket: String,
        /// What is to be read; `-` for standard input
        text: String,
    },
    /// Look after one from now on, as an operator
    Take {
        /// `DR-1001`, `1001` or the id
        ticket: String,
        /// Take it over from this operator, who has it
        #[arg(long, value_name = "OPERATOR")]
        from: Option<String>,
    },
    /// Leave one that you have taken to whoever takes it next
    GiveBack {
        /// `DR-1001`, `1001` or the id
        ticket: String,
    },
}

/// Webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List them, without their secrets
    List {
        /// Of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Add one; its secret is shown this once
    Add {
        /// Where to: an address that begins with https://
        url: String,
        /// Hear this kind of message only (`proposed`, `reminder`, `done`, …); may be repeated
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<String>,
        /// Whose it is; needed with an operator's token
        #[arg(long)]
        owner: Option<String>,
    },
    /// Remove one, and all that waits for it
    Remove {
        /// Its id
        webhook: String,
    },
    /// Give one another secret, which is shown this once
    Rotate {
        /// Its id
        webhook: String,
        /// For so long events are signed with the present secret, too; 0s for one that somebody else has seen [default: 24h]
        #[arg(long, value_name = "SPAN")]
        grace: Option<Span>,
    },
    /// Post a test event to one, and show what was answered
    Test {
        /// Its id
        webhook: String,
    },
}

/// Dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List them, latest first
    List {
        /// Of this channel: `mail`, `rt` or `webhook:NAME`
        #[arg(long)]
        channel: Option<String>,
        /// Of this owner's tickets
        #[arg(long)]
        owner: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Have one, or all of a channel, tried again
    Replay {
        /// Its number
        letter: Option<String>,
        /// All of this channel
        #[arg(long, conflicts_with = "letter")]
        channel: Option<String>,
    },
}
