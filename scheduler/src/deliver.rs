//! Hands messages to the channels that they go to, each until it is taken or given up.
//!
//! A delivery is stored with the fact that its message tells; from there on it is this module's. It may be cut off anywhere: what is
//! not known to be delivered is delivered again, and its id tells the channel's other end that it is the same.
//!
//! ```text
//! run ── a channel has something due ──▶ work (one task per channel) ──▶ attempt (several at once, each of another ticket)
//!                                          ▲                               │
//!                                          └── ends noted together ◀───────┘
//! ```
//!
//! Channels know nothing of each other: one that hangs keeps its own task and nobody else. Within a channel a ticket's messages go
//! one after the other, and tickets side by side.

mod channel;
mod rt;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use drover_notifier::deliver::Channel as MailChannel;
use drover_notifier::render::Renderer;
use drover_notifier::rt::Rt;
use drover_policies::channels::ChannelName;
use drover_policies::notices::Tells;
use drover_policies::time::{Instant, Span};
use tokio::task::JoinSet;

pub use channel::{Channel, Ended, Handed, NoChannel, Outcome};

use crate::app::App;
use crate::incoming::Answering;
use crate::store::{DeliveryId, Due, Post, Settled, StoreError, Tried};

/// The longest between two looks, should a nudge ever be lost; also the rest of a channel whose task has failed.
const AT_THE_LATEST: Duration = Duration::from_secs(30);

/// How many of a channel are read ahead.
const AHEAD: usize = 256;

/// How long the first result waits for others to be noted with it. Each noting waits for the disk once, however many it notes, and
/// what is not noted when the scheduler dies is sent twice.
const GATHER: Duration = Duration::from_millis(20);

/// How often a channel looks for what is new while something of it is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The wait before a second try; each further one waits twice as long as the one before.
const FIRST_WAIT: Span = Span::seconds(10);

/// But never longer than this.
const LONGEST_WAIT: Span = Span::minutes(30);

/// What is needed to deliver.
pub struct Delivering {
    /// Facts into words.
    pub renderer: Renderer,
    /// Where mails go.
    pub mail: MailChannel,
    /// Where answers to mails are taken in; nothing where they are not.
    pub answers: Option<Answering>,
    /// The Request Tracker that keeps a copy of each ticket, if there is one.
    pub rt: Option<Rt>,
}

/// Delivers whatever is due, for ever.
pub async fn run(app: &Arc<App>, delivering: &Arc<Delivering>) {
    let mut nudges = app.outbox.subscribe();
    let mut working = Working::default();
    loop {
        let wait = match app.store.channels_waiting().await {
            Ok(waiting) => working.begin(app, delivering, waiting),
            Err(error) => {
                tracing::error!(error = %crate::chain(&error), "it could not be read what is to be delivered");
                AT_THE_LATEST
            }
        };
        tokio::select! {
            // The sender lives as long as the app.
            _ = nudges.changed() => {}
            () = working.one_has_ended() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The channels that have a task.
#[derive(Default)]
struct Working {
    tasks: JoinSet<ChannelName>,
    names: BTreeMap<tokio::task::Id, ChannelName>,
}

impl Working {
    /// Starts a task for each channel that has something due and none yet. Answers when the next one has.
    fn begin(
        &mut self,
        app: &Arc<App>,
        delivering: &Arc<Delivering>,
        waiting: Vec<(ChannelName, Instant)>,
    ) -> Duration {
        let now = app.clock.now();
        let mut wait = AT_THE_LATEST;
        for (name, at) in waiting {
            if self.names.values().any(|working| *working == name) {
                continue;
            }
            if at > now {
                wait = wait.min((at - now).to_std().unwrap_or_default());
                continue;
            }
            let (app, delivering, of) = (Arc::clone(app), Arc::clone(delivering), name.clone());
            let task = self.tasks.spawn(async move {
                if let Err(error) = work(&app, &delivering, &of).await {
                    tracing::error!(channel = %of, error = %crate::chain(&error), "deliveries could not be read or noted");
                    tokio::time::sleep(AT_THE_LATEST).await;
                }
                of
            });
            self.names.insert(task.id(), name);
        }
        wait
    }

    async fn one_has_ended(&mut self) {
        let ended = match self.tasks.join_next_with_id().await {
            // Nothing runs: there is nothing to wait for.
            None => return std::future::pending().await,
            Some(Ok((id, _))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "a channel's task broke off");
                error.id()
            }
        };
        self.names.remove(&ended);
    }
}

/// Delivers what is due now on every channel, one channel after the other; answers how many messages were tried.
///
/// # Errors
/// The database failed.
pub async fn deliver_due(app: &Arc<App>, delivering: &Arc<Delivering>) -> Result<usize, StoreError> {
    let mut tried = 0;
    for (name, at) in app.store.channels_waiting().await? {
        if at <= app.clock.now() {
            tried += work(app, delivering, &name).await?;
        }
    }
    Ok(tried)
}

/// Delivers what is due on a channel until nothing is; answers how many messages were tried.
async fn work(app: &Arc<App>, delivering: &Arc<Delivering>, name: &ChannelName) -> Result<usize, StoreError> {
    let channel = match Channel::open(app, delivering, name).await {
        Ok(channel) => channel,
        Err(NoChannel::Store(error)) => return Err(error),
        Err(error @ (NoChannel::Unknown | NoChannel::Disabled { .. })) => {
            let why = crate::chain(&error);
            let given_up = app.store.give_up_channel(name, &why, app.clock.now()).await?;
            tracing::warn!(channel = %name, given_up, %why, "what waited on a channel was given up");
            return Ok(0);
        }
    };
    let mut queue = Queue {
        app,
        name,
        channel: Arc::new(channel),
        ahead: VecDeque::new(),
        busy: BTreeSet::new(),
        under_way: JoinSet::new(),
    };
    let mut tried = 0;
    loop {
        queue.fill().await?;
        let settled = queue.gather().await?;
        if settled.is_empty() && queue.under_way.is_empty() {
            queue.channel.close().await;
            return Ok(tried);
        }
        tried += settled.len();
        queue.note(&settled).await?;
    }
}

/// What is going on of a channel. Each of its messages is here once at the most, from being read until its end is noted.
struct Queue<'a> {
    app: &'a Arc<App>,
    name: &'a ChannelName,
    channel: Arc<Channel>,
    ahead: VecDeque<Due>,
    busy: BTreeSet<DeliveryId>,
    under_way: JoinSet<Result<Settled, StoreError>>,
}

impl Queue<'_> {
    async fn fill(&mut self) -> Result<(), StoreError> {
        if self.ahead.is_empty() {
            let limit = AHEAD + self.busy.len();
            let due = self.app.store.deliveries_due(self.name, self.app.clock.now(), limit).await?;
            self.ahead.extend(due.into_iter().filter(|due| !self.busy.contains(&due.id)));
            self.busy.extend(self.ahead.iter().map(|due| due.id));
        }
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        while self.under_way.len() < self.app.config.delivery.at_once
            && let Some(due) = self.ahead.pop_front()
        {
            let (app, channel) = (Arc::clone(self.app), Arc::clone(&self.channel));
            self.under_way.spawn(async move { attempt(&app, &channel, due).await });
        }
    }

    /// The next ends: at least one, unless nothing is under way or it is time to look for what is new.
    async fn gather(&mut self) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        let mut patience = std::pin::pin!(tokio::time::sleep(LOOK_AGAIN));
        loop {
            tokio::select! {
                ended = self.under_way.join_next() => match ended {
                    None => return Ok(settled),
                    Some(Ok(ended)) => {
                        if settled.is_empty() {
                            patience.as_mut().reset(tokio::time::Instant::now() + GATHER);
                        }
                        settled.push(ended?);
                        self.begin();
                    }
                    Some(Err(error)) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        // The whole program ends.
                        Err(_) => return Ok(settled),
                    },
                },
                () = &mut patience => return Ok(settled),
            }
        }
    }

    async fn note(&mut self, settled: &[Settled]) -> Result<(), StoreError> {
        if settled.is_empty() {
            return Ok(());
        }
        self.app.store.deliveries_tried(self.name, settled, self.app.clock.now()).await?;
        for settled in settled {
            self.busy.remove(&settled.id);
        }
        Ok(())
    }
}

async fn attempt(app: &App, channel: &Channel, due: Due) -> Result<Settled, StoreError> {
    let ticket = due.post.ticket();
    if let Post::Notice(notice) = &due.post
        && let Tells::Reminder { slot, .. } = &notice.tells
        && slot.start <= app.clock.now()
    {
        // The channel was away for so long that it would remind of what is past.
        let how = "left out: what it reminds of was past before it could be sent".to_owned();
        return Ok(Settled {
            id: due.id,
            ticket,
            tried: Tried::Delivered { how },
            external: None,
            text: None,
        });
    }
    let handed =
        Handed { app, post: &due.post, external: due.external.as_deref(), still_to_get: &due.still_to_get };
    let outcome = channel.deliver(&handed).await?;
    let tried = judge(app, &channel.name(), &due, outcome.ended);
    Ok(Settled { id: due.id, ticket, tried, external: outcome.external, text: outcome.text })
}

/// What follows from the end of a try.
fn judge(app: &App, channel: &ChannelName, due: &Due, ended: Ended) -> Tried {
    let number = due.post.number();
    let now = app.clock.now();
    match ended {
        Ended::Arrived { how } => Tried::Delivered { how },
        Ended::Never { why } => {
            tracing::error!(about = %number, %channel, %why, "a notice can't be delivered");
            Tried::Failed { error: why }
        }
        Ended::Later { why, left, not_before } => {
            let last = due.since + app.config.delivery.give_up_after.delta();
            if now >= last {
                let error = format!("given up after {}: {why}", Span::between(due.since, now).rounded());
                tracing::error!(about = %number, %channel, why = %error, "a notice can't be delivered");
                return Tried::Failed { error };
            }
            let next = now + wait_after(due.tries).delta();
            let at = not_before.map_or(next, |not_before| next.max(not_before)).min(last);
            tracing::warn!(about = %number, %channel, %why, next = %at, "a notice could not be delivered yet");
            Tried::Retry { at, error: why, still_to_get: left }
        }
    }
}

fn wait_after(tries: u32) -> Span {
    let factor = 2_u32.saturating_pow(tries.min(16));
    Span(FIRST_WAIT.0.saturating_mul(factor)).min(LONGEST_WAIT)
}
