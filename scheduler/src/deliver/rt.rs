//! Messages into Request Tracker.

use drover_notifier::letter::{Answers, Links};
use drover_notifier::rt::{HandedOver, Letter, Rt, RtTicket, Then};

use drover_policies::notices::Notice;

use super::Delivering;
use super::channel::{Ended, Handed, Outcome, contact, owner};
use crate::store::StoreError;

/// Hands a message over. The ticket's number there is told as soon as it is known, also when the message has not arrived yet.
pub(super) async fn hand_over(
    delivering: &Delivering,
    rt: &Rt,
    (handed, notice): (&Handed<'_>, &Notice),
) -> Result<Outcome, StoreError> {
    let app = handed.app;
    let reader = contact(app, notice).await?;
    // It says what may be answered to a mail only in a mail.
    let links = Links { answers: Answers::Unread, ..app.config.mail.links.clone() };
    let message = match delivering.renderer.render(notice, &reader, &links) {
        Ok(message) => message,
        Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }.into()),
    };
    let owner = owner(app, notice).await?;
    let known = handed.external.and_then(|external| external.parse().ok()).map(RtTicket);
    let letter = Letter { notice, message: &message, contact: &owner, ticket: known };
    let HandedOver { ticket, ended } = rt.hand_over(&letter).await;
    let ended = match ended {
        Ok(how) => Ended::Arrived { how },
        Err(error) => {
            let why = crate::chain(&error);
            match error.then() {
                Then::Retry => Ended::Later { why, left: Vec::new(), not_before: None },
                Then::RetryAfter(wait) => {
                    let not_before = Some(app.clock.now() + wait.delta());
                    Ended::Later { why, left: Vec::new(), not_before }
                }
                Then::GiveUp => Ended::Never { why },
            }
        }
    };
    Ok(Outcome { external: ticket.map(|ticket| ticket.to_string()), ..ended.into() })
}
