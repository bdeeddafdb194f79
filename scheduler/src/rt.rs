//! What people write in Request Tracker, taken into our tickets.
//!
//! Staff's words go to the owner, an owner's to the operators; a command of his is carried out as one by mail is. Request Tracker is asked
//! for what is new, and a little before it: transactions may be seen in another order than their numbers. What was taken in already is
//! known by its key, so a repeat does nothing, and a crash anywhere only makes for repeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_notifier::reply::fresh;
use drover_notifier::rt::{
    Author, CommandsByMail, Reply, Rt, RtError, RtTicket, RtTransaction, Source, Standing, Then,
};
use drover_notifier::words;
use drover_policies::channels::ChannelName;
use drover_policies::ids::NoticeId;
use drover_policies::notices::{Actor, Notice, Tells, Via};

use crate::app::App;
use crate::commands::tickets::{LONGEST_MESSAGE, summary};
use crate::incoming::{Commands, HandleError, Heard, Talk};
use crate::store::{Batch, StoreError, Ticket};

/// So many transactions are looked at again: more than Request Tracker has under way at a time.
const LOOK_BACK: u64 = 1000;

/// Stands for words that can't be had.
const UNREADABLE: &str = "[this message can't be read from here; it is in Request Tracker]";

/// Why replies were not taken in, or not all. They are again, at the next look.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Request Tracker.
    #[error("replies can't be read")]
    Rt(#[from] RtError),
    /// The database.
    #[error("replies can't be stored")]
    Store(#[from] StoreError),
    /// The words could not be carried out.
    #[error("a reply can't be taken in")]
    Handle(#[from] HandleError),
}

/// Takes in replies for ever, if there is a Request Tracker.
pub async fn run(app: &Arc<App>, rt: Option<&Rt>) {
    let (Some(rt), Some(config)) = (rt, &app.config.rt) else { return std::future::pending().await };
    let mut reader = Reader::default();
    let mut failing = false;
    loop {
        match reader.look(app, rt).await {
            Ok(_) if failing => {
                tracing::info!("replies are read from Request Tracker again");
                failing = false;
            }
            Ok(_) => {}
            // Said once: how long it lasts is seen from when it ends, and the doctor asks anew.
            Err(error) if !failing => {
                tracing::warn!(error = %crate::chain(&error), "replies can't be taken in from Request Tracker");
                failing = true;
            }
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "still no replies from Request Tracker")
            }
        }
        tokio::time::sleep(config.poll.0).await;
    }
}

/// Reads replies, and remembers which of the latest it has taken in, so that their words are fetched once.
#[derive(Debug, Default)]
pub struct Reader {
    taken: BTreeSet<RtTransaction>,
}

/// Whose words they are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Owner,
    Staff,
    /// Request Tracker takes a mail from anybody. What he writes is read there, and goes to nobody.
    Stranger,
}

impl Reader {
    /// Takes in what is new; answers how many replies to our tickets that were.
    ///
    /// # Errors
    /// Some were not taken in. The others were.
    pub async fn look(&mut self, app: &Arc<App>, rt: &Rt) -> Result<usize, ReadError> {
        let known = app.store.read_to(&ChannelName::Rt).await?;
        let from = match known {
            Some(known) => known,
            // What was written before is of no ticket of ours.
            None => rt.newest().await?.map_or(0, |newest| newest.0),
        };
        let mut count = 0;
        let mut read_to = from;
        let mut failed = None;
        for reply in rt.replies_since(RtTransaction(from.saturating_sub(LOOK_BACK))).await? {
            if self.taken.contains(&reply.transaction) {
                continue;
            }
            match take(app, rt, &reply).await {
                Ok(taken) => {
                    count += taken;
                    self.taken.insert(reply.transaction);
                    // One that failed is looked for again, however many follow it.
                    if failed.is_none() {
                        read_to = read_to.max(reply.transaction.0);
                    }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if known != Some(read_to) {
            app.store.note_read_to(&ChannelName::Rt, read_to).await?;
        }
        self.taken = self.taken.split_off(&RtTransaction(read_to.saturating_sub(LOOK_BACK)));
        failed.map_or(Ok(count), Err)
    }
}

/// Takes in one reply, into each of our tickets that it is about; answers how many those are.
async fn take(app: &Arc<App>, rt: &Rt, reply: &Reply) -> Result<usize, ReadError> {
    let tickets = tickets_of(app, rt, reply.ticket).await?;
    if tickets.is_empty() {
        return Ok(0);
    }
    let (text, source) = words_of(rt, reply).await?;
    if source == Source::Machine || text.is_empty() {
        tracing::debug!(transaction = %reply.transaction, "a reply in Request Tracker holds no words of a person");
        return Ok(0);
    }
    let alone = tickets.len() == 1;
    let mut count = 0;
    for ticket in tickets {
        let key = if alone {
            format!("rt/{}", reply.transaction)
        } else {
            format!("rt/{}/{}", reply.transaction, ticket.number)
        };
        match who(app, rt, &ticket, &reply.author).await? {
            Who::Owner => {
                let by_mail = app.config.rt.as_ref().map(|config| config.commands_by_mail);
                let sure = source == Source::LoggedIn || by_mail == Some(CommandsByMail::Obeyed);
                // A command in a ticket about several would be one about each.
                let commands = if sure && alone { Commands::Obeyed } else { Commands::Read };
                let heard = Heard { key, via: Via::TicketSystem, from: &reply.author.mail, commands };
                hear(app, ticket, heard, &text).await?;
            }
            Who::Staff => write(app, &ticket, key, &reply.author, &text).await?,
            Who::Stranger => {
                tracing::info!(transaction = %reply.transaction, ticket = %ticket.number, author = %reply.author.name,
                    "a reply in Request Tracker is neither of its owner nor of staff, and stays there");
                continue;
            }
        }
        count += 1;
    }
    Ok(count)
}

/// Our tickets that one there is about: the one that it was made for, and those that staff has merged into it.
async fn tickets_of(app: &App, rt: &Rt, external: RtTicket) -> Result<Vec<Ticket>, ReadError> {
    let mut ids = match rt.tickets_of(external).await {
        Ok(ids) => ids,
        // It is not for our eyes any more.
        Err(error) if error.then() == Then::GiveUp => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if let Some(id) = app.store.ticket_called(&ChannelName::Rt, &external.to_string()).await?
        && !ids.contains(&id)
    {
        ids.push(id);
    }
    let mut tickets = Vec::new();
    for id in ids {
        tickets.extend(app.store.ticket(id).await?);
    }
    Ok(tickets)
}

async fn words_of(rt: &Rt, reply: &Reply) -> Result<(String, Source), ReadError> {
    let words = match rt.words(reply.transaction).await {
        Ok(words) => words,
        Err(error) if error.then() == Then::GiveUp => return Ok((UNREADABLE.to_owned(), Source::Mail)),
        Err(error) => return Err(error.into()),
    };
    let mut text = words::visible(&fresh(&words.text));
    if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
        text.truncate(end);
        text.push('…');
    }
    if words.files > 0 {
        let files =
            if words.files == 1 { "a file is".to_owned() } else { format!("{} files are", words.files) };
        text = format!("{text}\n\n[{files} with it in Request Tracker]").trim_start().to_owned();
    }
    Ok((text, words.from))
}

async fn who(app: &App, rt: &Rt, ticket: &Ticket, author: &Author) -> Result<Who, ReadError> {
    let owner = app.store.owner(&ticket.owner).await?;
    let known = owner.as_ref().map_or(&[][..], |owner| &owner.mail);
    if !author.mail.is_empty() && known.iter().any(|mail| mail.trim().eq_ignore_ascii_case(&author.mail)) {
        return Ok(Who::Owner);
    }
    Ok(match rt.standing(author).await? {
        Standing::Staff => Who::Staff,
        Standing::Outsider => Who::Stranger,
    })
}

async fn hear(app: &Arc<App>, ticket: Ticket, heard: Heard<'_>, text: &str) -> Result<(), ReadError> {
    let (key, number) = (heard.key.clone(), ticket.number.clone());
    let handled = match Talk::begin(app, ticket, heard).await {
        Ok(talk) => talk.hear(text).await,
        Err(error) => Err(error),
    };
    match handled {
        Ok(handled) => {
            tracing::info!(ticket = %number, %key, %handled, "an owner's reply in Request Tracker was handled");
        }
        // Another look would find the same.
        Err(HandleError::Unreadable(why)) => {
            tracing::warn!(ticket = %number, %key, %why, "an owner's reply is left in Request Tracker");
        }
        Err(error @ (HandleError::Store(_) | HandleError::Refused(_) | HandleError::Spool(_))) => {
            return Err(error.into());
        }
    }
    Ok(())
}

/// An operator's words in a ticket.
async fn write(
    app: &App,
    ticket: &Ticket,
    key: String,
    author: &Author,
    text: &str,
) -> Result<(), ReadError> {
    let migration = app.store.migration(ticket.migration).await?;
    let Some(summary) = migration.and_then(|migration| summary(ticket, &migration.value)) else {
        tracing::warn!(ticket = %ticket.number, "a reply in Request Tracker is left there: the ticket's migration is no more");
        return Ok(());
    };
    let mut batch = Batch::new(app.clock.now());
    batch.notices.push(Notice {
        id: NoticeId::draw(app.ids.as_ref()),
        key,
        ticket: summary,
        tells: Tells::Written {
            by: Actor::Operator { name: words::one_line(&author.name, 80) },
            text: text.to_owned(),
            via: Via::TicketSystem,
        },
        at: batch.at,
    });
    app.commit(batch).await?;
    Ok(())
}
