//! The one call of the agent protocol, without its transport: HTTP and the simulated world both call this.

use std::sync::Arc;

use drover_agent_api::{SyncRequest, SyncResponse, WAITS_SINCE};
use drover_policies::ids::HostName;

use crate::agents::SyncRefusal;
use crate::app::{App, Told};
use crate::guests;
use crate::store::StoreError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] SyncRefusal),
    /// What it brought could not be stored.
    #[error("what the agent told could not be stored")]
    Store(#[from] StoreError),
}

/// Takes in what an agent tells and answers with what is wanted of it, when there is something new or the agent's patience is over.
///
/// # Errors
/// The caller is not that host's agent, or the database failed: the agent tells it all again with its next call.
pub async fn sync(app: &Arc<App>, token: &HostName, request: SyncRequest) -> Result<SyncResponse, SyncError> {
    let now = app.clock.now();
    let news = app.agents.take(token, &request, now)?;
    if news.inventory.is_some() || news.appeared {
        let inventory = news.inventory.as_ref();
        if let Err(error) = app.store.agent_seen(&request.host, request.incarnation, inventory, now).await {
            // Else it would count as known, and would not be stored by the agent's next call either.
            app.agents.forget_inventory(&request.host);
            return Err(error.into());
        }
    }
    for (operation, progress) in news.progress {
        app.tell(Told::Progress(operation, progress));
    }
    for (operation, status) in news.replicating {
        app.tell(Told::Replicating(operation, status));
    }
    for (operation, status) in news.importing {
        app.tell(Told::Importing(operation, status));
    }
    if news.decisive {
        app.stirred.notify_one();
    }
    let taken = match &request.guests {
        Some(guests) => guests::take(app, &request.host, &guests.acknowledged).await,
        None => Vec::new(),
    };
    let mut response = app.agents.answer(&request).await;
    if let Some(guests) = &mut response.guests {
        guests.taken = taken;
    }
    // Read last: the agent counts from it.
    response.now = (request.protocol >= WAITS_SINCE).then(|| app.clock.now());
    Ok(response)
}
