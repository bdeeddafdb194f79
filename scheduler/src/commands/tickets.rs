//! What people write to each other in a ticket, and which operator looks after it.

use drover_notifier::words;
use drover_policies::events::Happened;
use drover_policies::ids::NoticeId;
use drover_policies::migration::Migration;
use drover_policies::notices::{Notice, Tells, TicketSummary, Via};

use super::migrations::event;
use super::{Decided, Reply, Wish, find_ticket, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::tickets::views;
use crate::http::views::NoticeView;
use crate::store::{Batch, StoredNotice, Taken, TakenTicket, Ticket};

/// The most characters of a message.
pub(crate) const LONGEST_MESSAGE: usize = 10_000;

/// A message that people will read, without what can't be seen.
///
/// # Errors
/// Nothing can be seen of it, or it is too long.
pub fn message(field: &str, text: &str) -> Result<String, Problem> {
    let visible = words::visible(text);
    let length = visible.chars().count();
    if visible.is_empty() {
        return Err(Problem::field(field, format!("field {field} is empty; write what is to be read")));
    }
    if length > LONGEST_MESSAGE {
        return Err(Problem::field(
            field,
            format!("field {field} has {length} characters; write at most {LONGEST_MESSAGE}"),
        ));
    }
    Ok(visible)
}

/// What the messages of a ticket say of it. Its migration names the ticket that it has now; an earlier one is the same but for its id.
pub(crate) fn summary(ticket: &Ticket, migration: &Migration) -> Option<TicketSummary> {
    let summary = migration.ticket_summary()?;
    Some(TicketSummary { id: ticket.id, number: ticket.number.clone(), ..summary })
}

impl Wish {
    /// Writes a message into a ticket. A ticket that is closed stays so, for it is open as long as its migration is; the message is
    /// read and answered all the same.
    ///
    /// # Errors
    /// There is no such ticket, or nothing that could be read.
    pub async fn write(&self, given: &str, text: &str, via: Via) -> Result<Reply, Problem> {
        let text = message("text", text)?;
        self.carry_out(|| async {
            let ticket = find_ticket(&self.app, &self.caller, given).await?;
            let migration =
                self.app.store.migration(ticket.migration).await.map_err(|error| store_problem(&error))?;
            let ticket = migration
                .and_then(|migration| summary(&ticket, &migration.value))
                .ok_or_else(|| Problem::not_found("ticket", given))?;
            let mut batch = Batch::new(self.app.clock.now());
            let id = NoticeId::draw(self.app.ids.as_ref());
            let location = format!("/v1/tickets/{}", ticket.id);
            let notice = Notice {
                id,
                key: format!("written/{id}"),
                ticket,
                tells: Tells::Written { by: self.caller.actor(), text: text.clone(), via },
                at: batch.at,
            };
            let view = NoticeView::of(
                &StoredNotice { notice: notice.clone(), deliveries: Vec::new() },
                self.caller.eyes(),
            );
            batch.notices.push(notice);
            Ok(Decided::new(batch, Reply::created(location, &view)?))
        })
        .await
    }

    /// Has the operator who asks look after a ticket. Taking what one has changes nothing.
    ///
    /// # Errors
    /// There is no such ticket, or another operator has it than was named.
    pub async fn take_ticket(&self, given: &str, from: Option<&str>) -> Result<Reply, Problem> {
        let own = self.caller.name.as_str();
        self.hand_over(given, |ticket| match (holder(ticket), from) {
            (holder, _) if holder == Some(own) => Ok(Some(own)),
            (None, _) => Ok(Some(own)),
            (Some(holder), Some(from)) if holder == from => Ok(Some(own)),
            (Some(holder), _) => Err(Problem::new(
                Kind::Refused,
                format!(
                    "{} is looked after by {holder}; name {holder} in the field from to take it over",
                    ticket.number
                ),
            )
            .with("rule", "ticket_taken")
            .with("by", holder)),
        })
        .await
    }

    /// Leaves a ticket to whoever takes it next. Giving back what nobody has changes nothing.
    ///
    /// # Errors
    /// There is no such ticket, or another operator has it.
    pub async fn give_ticket_back(&self, given: &str) -> Result<Reply, Problem> {
        self.hand_over(given, |ticket| match holder(ticket) {
            Some(holder) if holder != self.caller.name => Err(Problem::new(
                Kind::Refused,
                format!(
                    "{} is looked after by {holder}, who alone can give it back; take it over instead",
                    ticket.number
                ),
            )
            .with("rule", "ticket_taken")
            .with("by", holder)),
            Some(_) | None => Ok(None),
        })
        .await
    }

    async fn hand_over<'a>(
        &'a self,
        given: &str,
        decide: impl Fn(&Ticket) -> Result<Option<&'a str>, Problem>,
    ) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let mut ticket = find_ticket(&self.app, &self.caller, given).await?;
            let to = decide(&ticket)?.map(ToOwned::to_owned);
            let from = holder(&ticket).map(ToOwned::to_owned);
            let migration =
                self.app.store.migration(ticket.migration).await.map_err(|error| store_problem(&error))?;
            let migration = migration.ok_or_else(|| Problem::not_found("ticket", given))?.value;
            let mut batch = Batch::new(self.app.clock.now());
            if from != to {
                let by = self.caller.actor();
                let what = match &to {
                    Some(_) => Happened::TicketTaken { by, from: from.clone() },
                    None => Happened::TicketGivenBack { by },
                };
                batch.events.push(event(&migration, batch.at, what));
                ticket.taken = to.clone().map(|by| Taken { by, at: batch.at });
                batch.tickets_taken.push(TakenTicket { ticket: ticket.id, from, by: to });
            }
            let view = views(&self.app, &self.caller, std::slice::from_ref(&ticket)).await?.pop();
            let view = view.ok_or_else(|| Problem::not_found("ticket", given))?;
            Ok(Decided::new(batch, Reply::ok(&view)?))
        })
        .await
    }
}

fn holder(ticket: &Ticket) -> Option<&str> {
    ticket.taken.as_ref().map(|taken| taken.by.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_nobody_could_read_is_refused_by_field() {
        for (text, says) in [
            (" \n\u{200B}\t", "field text is empty; write what is to be read"),
            (&"a".repeat(10_001), "field text has 10001 characters; write at most 10000"),
        ] {
            let refused = message("text", text).expect_err("refused");
            assert_eq!((refused.detail.as_str(), &refused.more["field"]), (says, &"text".into()));
        }
        assert_eq!(message("text", "a\r\nb\u{0}").expect("fine"), "a\nb");
    }
}
