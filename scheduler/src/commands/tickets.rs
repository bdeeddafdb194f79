//! What people write to each other in a ticket.

use drover_notifier::words;
use drover_policies::ids::NoticeId;
use drover_policies::migration::Migration;
use drover_policies::notices::{Notice, Tells, TicketSummary, Via};

use super::{Decided, Reply, Wish, find_ticket, store_problem};
use crate::http::problem::Problem;
use crate::http::views::NoticeView;
use crate::store::{Batch, StoredNotice, Ticket};

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
