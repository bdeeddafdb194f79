//! Asking for hosts to be emptied, and what may be wished of that afterwards.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use drover_policies::events::{Event, Happened};
use drover_policies::fleet::Fleet;
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, MaintenanceId};
use drover_policies::maintenance::{Drain, Maintenance, Refusal, State, Urgency, Warned};
use drover_policies::migration::Migration;
use drover_policies::planner::{self, Input};
use drover_policies::time::{Instant, Span};

use super::find::suggestions;
use super::hosts::{number_of, reason, standing};
use super::{Decided, Reply, Wish, find_maintenance, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{MaintenanceBody, MaintenanceView, PlanView};
use crate::situation::{Loaded, by_server};
use crate::store::{Batch, Counter, HostStanding, Versioned, Write};

/// A deadline nearer than this can't be meant: not even an empty host is confirmed that fast.
const SHORTEST: Span = Span::minutes(1);

/// What an operator may wish of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceWish {
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Give up.
    Cancel,
    /// Skip windows and notice.
    Emergency {
        /// What endangers the hosts.
        why: String,
    },
}

/// What was asked for, checked.
struct Asked {
    hosts: BTreeSet<HostName>,
    reason: String,
    deadline: Instant,
    urgency: Urgency,
}

impl Wish {
    /// Asks for hosts to be emptied.
    ///
    /// # Errors
    /// A host is unknown or taken, the deadline is past, or there is no reason.
    pub async fn drain(&self, body: &MaintenanceBody) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let asked = self.asked(body)?;
            let mut batch = Batch::new(self.app.clock.now());
            let id = MaintenanceId::draw(self.app.ids.as_ref());
            self.take_hosts(&asked, id, &mut batch).await?;
            let number = self
                .app
                .store
                .next_number(Counter::Maintenance)
                .await
                .map_err(|error| store_problem(&error))?;
            let maintenance = self.maintenance(&asked, id, number, batch.at);
            batch.events.extend(self.requested(&maintenance));
            let view = MaintenanceView::of(&maintenance, [], &self.app.fleet(), batch.at);
            batch.maintenances.push(Write::Insert(maintenance));
            Ok(Decided::new(batch, Reply::created(format!("/v1/maintenances/{id}"), &view)?))
        })
        .await
    }

    /// What would happen if these hosts were to be emptied. Changes nothing.
    ///
    /// # Errors
    /// As [`Wish::drain`].
    pub async fn dry_run(&self, body: &MaintenanceBody) -> Result<PlanView, Problem> {
        let asked = self.asked(body)?;
        let mut unused = Batch::new(self.app.clock.now());
        self.take_hosts(&asked, MaintenanceId::draw(self.app.ids.as_ref()), &mut unused).await?;
        let open = self.app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
        let mut reservations: Vec<_> =
            open.into_iter().filter_map(|migration| migration.value.place).collect();
        let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
        reservations.extend(loaded.import_places(&self.app));
        let history = self.app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
        let blueprints = self.app.store.blueprints().await.map_err(|error| store_problem(&error))?;
        let fleet = self.app.fleet();
        let (plan, report) = planner::plan(&Input {
            now: unused.at,
            fleet: &fleet,
            policies: &self.app.policies,
            emptying: &asked.hosts,
            reservations: &reservations,
            kept: &BTreeMap::new(),
            history: &history,
            blueprints: &by_server(&blueprints),
        });
        Ok(PlanView::of(&plan, &report))
    }

    fn asked(&self, body: &MaintenanceBody) -> Result<Asked, Problem> {
        let now = self.app.clock.now();
        let policy = &self.app.policies.general().maintenance;
        let deadline = match &body.deadline {
            Some(text) => deadline(text, now)?,
            None => now + policy.deadline.delta(),
        };
        let urgency = match &body.emergency {
            Some(emergency) => Urgency::Emergency { why: reason("emergency.why", &emergency.why)? },
            None => Urgency::Normal,
        };
        let hosts = hosts(&self.app.fleet(), &body.hosts)?;
        Ok(Asked { hosts, reason: reason("reason", &body.reason)?, deadline, urgency })
    }

    /// Every host is cordoned with the request, so that nothing new is placed on it before the first look.
    async fn take_hosts(&self, asked: &Asked, id: MaintenanceId, batch: &mut Batch) -> Result<(), Problem> {
        let fleet = self.app.fleet();
        for name in &asked.hosts {
            let host = super::find_host(&fleet, name.as_str())?;
            let Versioned { value: before, generation } = standing(&self.app, host).await?;
            if let Some(other) = before.maintenance() {
                return Err(self.taken(name, &before, other).await?);
            }
            let after = before
                .drain(id, batch.at)
                .map_err(|refusal| Problem::new(Kind::HostTaken, refusal.to_string()))?;
            let standing = HostStanding { host: name.clone(), standing: after };
            batch.standings.push(Write::Update(standing, generation));
        }
        Ok(())
    }

    async fn taken(
        &self,
        host: &HostName,
        standing: &Standing,
        by: MaintenanceId,
    ) -> Result<Problem, Problem> {
        let number = number_of(&self.app, by).await?;
        let detail = match standing {
            Standing::Drained { .. } => format!(
                "{host} was drained by {number} and is empty; when it is back in service, open it with `drover hosts uncordon {host}`"
            ),
            Standing::Draining { .. } | Standing::Open | Standing::Cordoned { .. } => format!(
                "{number} already drains {host}; follow that one (`drover maintenance watch {number}`), or cancel it first"
            ),
        };
        Ok(Problem::new(Kind::HostTaken, detail)
            .with("field", "hosts")
            .with("host", host)
            .with("maintenance", by)
            .with("number", number))
    }

    fn maintenance(&self, asked: &Asked, id: MaintenanceId, number: u32, now: Instant) -> Maintenance {
        let warn_before = self.app.policies.general().maintenance.warn_before;
        Maintenance {
            id,
            number,
            hosts: asked.hosts.iter().map(|host| (host.clone(), Drain::Draining)).collect(),
            reason: asked.reason.clone(),
            deadline: asked.deadline,
            warn_at: (asked.deadline - warn_before.delta()).max(now),
            warned: Warned::No,
            urgency: asked.urgency.clone(),
            requested_by: self.caller.actor(),
            requested_at: now,
            state: State::Running,
        }
    }

    fn requested(&self, maintenance: &Maintenance) -> Vec<Event> {
        let by = self.caller.actor();
        let requested = Happened::Requested {
            by: by.clone(),
            reason: maintenance.reason.clone(),
            hosts: maintenance.hosts.keys().cloned().collect(),
            deadline: maintenance.deadline,
        };
        let emergency = match &maintenance.urgency {
            Urgency::Normal => None,
            Urgency::Emergency { why } => Some(Happened::EmergencyDeclared { by, why: why.clone() }),
        };
        [Some(requested), emergency]
            .into_iter()
            .flatten()
            .map(|what| event(maintenance, maintenance.requested_at, what))
            .collect()
    }

    /// Changes how a maintenance goes on.
    ///
    /// # Errors
    /// It is unknown, over, or has changed since it was read.
    pub async fn maintain(&self, given: &str, wish: &MaintenanceWish) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let Versioned { value: before, generation } = find_maintenance(&self.app, given).await?;
            self.envelope.if_match.check(generation)?;
            let mut batch = Batch::new(self.app.clock.now());
            let by = self.caller.actor();
            let (after, what) =
                transition(before.clone(), wish, by, batch.at).map_err(|Refusal::Over { .. }| {
                    Problem::new(
                        Kind::Refused,
                        format!(
                            "MT-{} is {}; ask for a new one with `drover drain`",
                            before.number, before.state
                        ),
                    )
                })?;
            let migrations =
                self.app.store.migrations_of(before.id).await.map_err(|error| store_problem(&error))?;
            let migrations: Vec<_> = migrations.into_iter().map(|migration| migration.value).collect();
            let view = MaintenanceView::of(&after, &migrations, &self.app.fleet(), batch.at);
            if after != before {
                if matches!(after.state, State::Cancelled { .. }) {
                    self.give_back(&after, &migrations, &mut batch).await?;
                }
                batch.events.push(event(&after, batch.at, what));
                batch.maintenances.push(Write::Update(after, generation));
            }
            Ok(Decided::new(batch, Reply::ok(&view)?))
        })
        .await
    }
}

impl Wish {
    /// Hosts from which nothing of a cancelled maintenance still has to come to its end go back at once: the conductor looks after a cancelled
    /// maintenance for as long as one of its migrations is not over, and no longer. A question to a host's libvirt that nobody waits for
    /// any more ends with it.
    async fn give_back(
        &self,
        cancelled: &Maintenance,
        migrations: &[Migration],
        batch: &mut Batch,
    ) -> Result<(), Problem> {
        let fleet = self.app.fleet();
        for (name, drain) in &cancelled.hosts {
            if let Drain::Confirming { operation } = drain {
                batch.operations_ended.push(*operation);
            }
            let busy = migrations.iter().any(|migration| migration.from == *name && !migration.is_over());
            let Some(host) = fleet.hosts.get(name).filter(|_| !busy) else { continue };
            let Versioned { value: before, generation } = standing(&self.app, host).await?;
            let after = before.clone().release(cancelled.id);
            if after != before {
                let standing = HostStanding { host: name.clone(), standing: after };
                batch.standings.push(Write::Update(standing, generation));
            }
        }
        Ok(())
    }
}

fn transition(
    maintenance: Maintenance,
    wish: &MaintenanceWish,
    by: drover_policies::notices::Actor,
    now: Instant,
) -> Result<(Maintenance, Happened), Refusal> {
    Ok(match wish {
        MaintenanceWish::Pause => (maintenance.pause(by.clone(), now)?, Happened::Paused { by }),
        MaintenanceWish::Resume => (maintenance.resume()?, Happened::Resumed { by }),
        MaintenanceWish::Cancel => {
            (maintenance.cancel(by.clone(), now)?, Happened::MaintenanceCancelled { by })
        }
        MaintenanceWish::Emergency { why } => (
            maintenance.declare_emergency(why.clone())?,
            Happened::EmergencyDeclared { by, why: why.clone() },
        ),
    })
}

fn event(maintenance: &Maintenance, at: Instant, what: Happened) -> Event {
    Event {
        at,
        maintenance: Some(maintenance.id),
        migration: None,
        import: None,
        server: None,
        owner: None,
        host: None,
        what,
    }
}

/// The hosts that are meant; all that are unknown are named at once.
fn hosts(fleet: &Fleet, given: &[String]) -> Result<BTreeSet<HostName>, Problem> {
    if given.is_empty() {
        return Err(Problem::field("hosts", "field hosts is empty; name at least one host"));
    }
    let mut known = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in given {
        match fleet.hosts.keys().find(|host| host.as_str() == name) {
            Some(host) => {
                known.insert(host.clone());
            }
            None => unknown.push(name.as_str()),
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let near: BTreeSet<&str> =
        unknown.iter().flat_map(|name| suggestions(name, fleet.hosts.keys().map(HostName::as_str))).collect();
    let detail = format!(
        "no agent ever told of {}; check the name, or see that the agent there is installed and running",
        unknown.join(", ")
    );
    Err(Problem::field("hosts", detail).with("unknown", unknown).with("suggestions", near))
}

/// A deadline: a moment, or a span from now.
fn deadline(text: &str, now: Instant) -> Result<Instant, Problem> {
    let moment = match (DateTime::parse_from_rfc3339(text), text.trim_start_matches('+').parse::<Span>()) {
        (Ok(moment), _) => Some(drover_policies::time::to_microseconds(moment.with_timezone(&Utc))),
        (Err(_), Ok(span)) => now.checked_add_signed(span.delta()),
        (Err(_), Err(_)) => {
            return Err(Problem::field(
                "deadline",
                format!(
                    "field deadline: {text:?} is no time; write 2026-11-25T18:00:00Z, or a span from now such as 7d"
                ),
            ));
        }
    };
    let earliest = now + SHORTEST.delta();
    match moment {
        Some(moment) if moment >= earliest => Ok(moment),
        Some(moment) => Err(Problem::field(
            "deadline",
            format!("field deadline: {moment} is past, or less than {SHORTEST} away; choose a later one, such as 7d from now"),
        )
        .with("earliest", earliest)),
        None => Err(Problem::field("deadline", "field deadline: that is too far away; choose an earlier one")),
    }
}
