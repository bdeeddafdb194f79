//! Keeping new servers away from a host, and letting them come again.

use drover_policies::events::{Event, Happened};
use drover_policies::fleet::Host;
use drover_policies::host::{Refusal, Standing};
use drover_policies::ids::MaintenanceId;

use super::{Decided, Reply, Wish, find_host, store_problem};
use crate::app::App;
use crate::http::hosts::view;
use crate::http::problem::{Kind, Problem};
use crate::store::{Batch, HostStanding, Versioned, Write};

/// The most characters of a reason: it stands in tables and mails.
const LONGEST_REASON: usize = 200;

/// A reason that people will read.
///
/// # Errors
/// It is empty, longer than a line, or has line breaks.
pub fn reason(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(
            field,
            format!("field {field} is empty; say why in a few words, such as \"kernel-update\""),
        ));
    }
    if text.chars().count() > LONGEST_REASON || text.chars().any(char::is_control) {
        return Err(Problem::field(
            field,
            format!("field {field} must be one line of at most {LONGEST_REASON} characters"),
        ));
    }
    Ok(text.to_owned())
}

/// A host's standing with its generation.
///
/// # Errors
/// The host is unknown, or the database failed.
pub async fn standing(app: &App, host: &Host) -> Result<Versioned<Standing>, Problem> {
    let record = app.store.host(&host.name).await.map_err(|error| store_problem(&error))?;
    record.map(|record| record.standing).ok_or_else(|| Problem::not_found("host", host.name.as_str()))
}

/// A maintenance's number, for a sentence.
pub async fn number_of(app: &App, id: MaintenanceId) -> Result<String, Problem> {
    let found = app.store.maintenance(id).await.map_err(|error| store_problem(&error))?;
    Ok(found.map_or_else(|| id.to_string(), |maintenance| format!("MT-{}", maintenance.value.number)))
}

impl Wish {
    /// Keeps new servers away from a host.
    ///
    /// # Errors
    /// The host is unknown, or a maintenance has it.
    pub async fn cordon(&self, host: &str, why: &str) -> Result<Reply, Problem> {
        let why = reason("reason", why)?;
        self.carry_out(|| async {
            let why = why.clone();
            let now = self.app.clock.now();
            self.change_standing(host, |standing| {
                // Cordoned again for the same reason: since when it has been so is worth keeping.
                let same = matches!(&standing, Standing::Cordoned { reason, .. } if *reason == why);
                if same { Ok(standing) } else { standing.cordon(why, now) }
            })
            .await
        })
        .await
    }

    /// Lets servers come to a host again.
    ///
    /// # Errors
    /// The host is unknown, or a maintenance is still emptying it.
    pub async fn uncordon(&self, host: &str) -> Result<Reply, Problem> {
        self.carry_out(|| self.change_standing(host, Standing::uncordon)).await
    }

    async fn change_standing(
        &self,
        host: &str,
        change: impl FnOnce(Standing) -> Result<Standing, Refusal>,
    ) -> Result<Decided, Problem> {
        let now = self.app.clock.now();
        let fleet = self.app.fleet();
        let host = find_host(&fleet, host)?;
        let Versioned { value: before, generation } = standing(&self.app, host).await?;
        self.envelope.if_match.check(generation)?;
        let after = match change(before.clone()) {
            Ok(after) => after,
            Err(Refusal::DrainedByAnother(id)) => {
                let number = number_of(&self.app, id).await?;
                return Err(Problem::new(
                    Kind::HostTaken,
                    format!(
                        "{} is {before} by {number}; cancel that one (`drover maintenance cancel {number}`), or let it come to its end",
                        host.name
                    ),
                )
                .with("maintenance", id)
                .with("number", number));
            }
            Err(refusal @ Refusal::NotDraining) => {
                return Err(Problem::new(Kind::Refused, refusal.to_string()));
            }
        };
        let mut batch = Batch::new(now);
        if after != before {
            batch.events.push(Event {
                at: now,
                maintenance: None,
                migration: None,
                import: None,
                server: None,
                owner: None,
                host: Some(host.name.clone()),
                what: Happened::StandingChanged { to: after.to_string(), by: self.caller.actor() },
            });
            let standing = HostStanding { host: host.name.clone(), standing: after.clone() };
            batch.standings.push(Write::Update(standing, generation));
        }
        let host = Host { standing: after, ..host.clone() };
        Ok(Decided::new(batch, Reply::ok(&view(&self.app, &fleet, &host))?))
    }
}
