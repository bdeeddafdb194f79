//! Asking for hosts to be emptied, and for something to be done with them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use drover_policies::bulletins::Says;
use drover_policies::conduct::{ahead_of, balance_of, times_of, waves_of};
use drover_policies::events::{Event, Happened};
use drover_policies::fleet::Fleet;
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, MaintenanceId};
use drover_policies::maintenance::{
    Balance, InPart, Kind, Maintenance, Rolling, RollingHappened, Stage, State, Terms, Urgency, Warned, Wave,
};
use drover_policies::notices::Actor;
use drover_policies::planner::{self, Input};
use drover_policies::policy::PolicySet;
use drover_policies::time::{Instant, Span};

use super::super::hosts::{number_of, reason, standing};
use super::super::{Decided, Reply, Wish, find_host, store_problem};
use super::terms::{hosts, terms};
use super::{event, refused};
use crate::http::problem::{Kind as ProblemKind, Problem};
use crate::http::views::{MaintenanceBody, MaintenanceView, PlanView};
use crate::situation::{Loaded, by_server};
use crate::store::{Batch, Counter, HostStanding, Versioned, Write};

/// A deadline nearer than this can't be meant: not even an empty host is confirmed that fast.
const SHORTEST: Span = Span::minutes(1);

/// What was asked for, checked.
struct Asked {
    hosts: BTreeSet<HostName>,
    reason: String,
    deadline: Instant,
    urgency: Urgency,
    /// Nothing of a drain, which empties all of its hosts at once.
    rolling: Option<(Kind, Terms)>,
    /// Whether it begins without anybody's looking at its plan.
    approved: Option<InPart>,
}

impl Wish {
    /// Asks for hosts to be emptied. A drain begins at once; over many hosts a plan is made, which somebody has to approve.
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
            if let Some(in_part) = asked.approved.filter(|_| maintenance.empties()) {
                let waves = self.waves_of(&maintenance).await?;
                self.is_approvable(&maintenance, waves, in_part)?;
            }
            batch.events.extend(self.requested(&maintenance));
            if maintenance.state == State::Running {
                let says = Says::Begun { by: self.caller.actor() };
                batch.bulletins.push(self.bulletin(&maintenance, says, batch.at));
            }
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
        if asked.rolling.is_some() {
            let maintenance =
                self.maintenance(&asked, MaintenanceId::draw(self.app.ids.as_ref()), 0, unused.at);
            if !maintenance.empties() {
                return Ok(PlanView::of_balance(unused.at, &self.balance_of(&maintenance).await?));
            }
            let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
            let ahead = ahead_of(loaded.situation(&self.app), &maintenance);
            let times = times_of(loaded.situation(&self.app), &maintenance, []);
            return Ok(PlanView::of_ahead(unused.at, &ahead).at_times(times));
        }
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
            doomed: &BTreeSet::new(),
            reservations: &reservations,
            kept: &BTreeMap::new(),
            history: &history,
            blueprints: &by_server(&blueprints),
        });
        let maintenance = self.maintenance(&asked, MaintenanceId::draw(self.app.ids.as_ref()), 0, unused.at);
        let times = times_of(loaded.situation(&self.app), &maintenance, plan.servers());
        Ok(PlanView::of(&plan, &report).at_times(times))
    }

    /// In which order hosts would be taken as things are now.
    async fn waves_of(&self, maintenance: &Maintenance) -> Result<Vec<Wave>, Problem> {
        let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
        Ok(waves_of(loaded.situation(&self.app), maintenance))
    }

    /// What a rebalance would move as things are now.
    async fn balance_of(&self, maintenance: &Maintenance) -> Result<Balance, Problem> {
        let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
        Ok(balance_of(loaded.situation(&self.app), maintenance))
    }

    fn is_approvable(
        &self,
        maintenance: &Maintenance,
        waves: Vec<Wave>,
        in_part: InPart,
    ) -> Result<(), Problem> {
        let mut planned = Maintenance { state: State::Planned, ..maintenance.clone() };
        planned.rolling.waves.ahead = waves;
        let approved = planned.approve(self.caller.actor(), in_part, maintenance.requested_at);
        approved.map(drop).map_err(|refusal| refused(&refusal))
    }

    fn asked(&self, body: &MaintenanceBody) -> Result<Asked, Problem> {
        asked(body, &self.app.fleet(), &self.app.policies, self.app.clock.now())
    }

    /// No other maintenance may have any of the hosts. Of a drain every host is cordoned with the request, so that nothing new is placed on it
    /// before the first look; over many hosts each is when its turn comes.
    async fn take_hosts(&self, asked: &Asked, id: MaintenanceId, batch: &mut Batch) -> Result<(), Problem> {
        let fleet = self.app.fleet();
        let open = self.app.store.maintenances_open().await.map_err(|error| store_problem(&error))?;
        if let Some((Kind::Rebalance, _)) = asked.rolling {
            // It empties none of them, so others may. But two that even out the same hosts would undo each other's work.
            let evens = |other: &&Versioned<Maintenance>| {
                !other.value.empties() && !other.value.hosts.keys().all(|host| !asked.hosts.contains(host))
            };
            return match open.iter().find(evens) {
                None => Ok(()),
                Some(other) => Err(Problem::new(
                    ProblemKind::HostTaken,
                    format!(
                        "MT-{0} evens out some of these hosts already; wait for its end, or cancel it first (`drover maintenance cancel MT-{0}`)",
                        other.value.number
                    ),
                )
                .with("field", "hosts")
                .with("number", format!("MT-{}", other.value.number))),
            };
        }
        for name in &asked.hosts {
            let waiting = open.iter().find(|other| other.value.frees(name));
            let host = find_host(&fleet, name.as_str())?;
            let Versioned { value: before, generation } = standing(&self.app, host).await?;
            if let Some(other) = before.maintenance() {
                return Err(self.taken(name, &before, other).await?);
            }
            if let Some(other) = waiting {
                return Err(self.taken(name, &before, other.value.id).await?);
            }
            if asked.rolling.is_some() {
                continue;
            }
            let after = before
                .drain(id, batch.at)
                .map_err(|refusal| Problem::new(ProblemKind::HostTaken, refusal.to_string()))?;
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
            Standing::Open | Standing::Cordoned { .. } => format!(
                "{host} is one of the hosts of {number}, and its turn is yet to come; leave it out there first (`drover maintenance skip-host {number} {host}`)"
            ),
            Standing::Draining { .. } => format!(
                "{number} already drains {host}; follow that one (`drover maintenance watch {number}`), or cancel it first"
            ),
        };
        Ok(Problem::new(ProblemKind::HostTaken, detail)
            .with("field", "hosts")
            .with("host", host)
            .with("maintenance", by)
            .with("number", number))
    }

    fn maintenance(&self, asked: &Asked, id: MaintenanceId, number: u32, now: Instant) -> Maintenance {
        maintenance(asked, &self.app.policies, self.caller.actor(), (id, number), now)
    }

    fn requested(&self, maintenance: &Maintenance) -> Vec<Event> {
        let by = self.caller.actor();
        let (reason, deadline) = (maintenance.reason.clone(), maintenance.deadline);
        let rolled = maintenance.waiting().next().is_some();
        let requested = if rolled {
            let (kind, hosts) = (maintenance.kind(), maintenance.hosts.len());
            let what = RollingHappened::Drafted { by: by.clone(), kind, reason, hosts, deadline };
            Happened::Rolling { what }
        } else {
            let hosts = maintenance.hosts.keys().cloned().collect();
            Happened::Requested { by: by.clone(), reason, hosts, deadline }
        };
        let approved = match &maintenance.state {
            State::Approved { by, .. } => {
                Some(Happened::Rolling { what: RollingHappened::Approved { by: by.clone() } })
            }
            _ => None,
        };
        let emergency = match &maintenance.urgency {
            Urgency::Normal => None,
            Urgency::Emergency { why } => Some(Happened::EmergencyDeclared { by, why: why.clone() }),
        };
        [Some(requested), emergency, approved]
            .into_iter()
            .flatten()
            .map(|what| event(maintenance, maintenance.requested_at, what))
            .collect()
    }
}

/// What a maintenance that is asked for is like, of hosts of a fleet, before anybody looks whether another has them.
///
/// # Errors
/// A host is unknown, or something that is asked for can't be meant.
pub(crate) fn drafted(
    body: &MaintenanceBody,
    (fleet, policies): (&Fleet, &PolicySet),
    by: Actor,
    id: MaintenanceId,
    now: Instant,
) -> Result<Maintenance, Problem> {
    let asked = asked(body, fleet, policies, now)?;
    Ok(maintenance(&asked, policies, by, (id, 1), now))
}

fn asked(
    body: &MaintenanceBody,
    fleet: &Fleet,
    policies: &PolicySet,
    now: Instant,
) -> Result<Asked, Problem> {
    let policy = &policies.general().maintenance;
    let deadline = match &body.deadline {
        Some(text) => deadline(text, now)?,
        None => now + policy.deadline.delta(),
    };
    let urgency = match &body.emergency {
        Some(emergency) => Urgency::Emergency { why: reason("emergency.why", &emergency.why)? },
        None => Urgency::Normal,
    };
    let hosts = hosts(fleet, &body.hosts, body.select.as_ref())?;
    let rolling = body.rolling.as_ref().map(|rolling| terms(rolling, &hosts, fleet)).transpose()?;
    let evens_out = rolling.as_ref().is_some_and(|(kind, _)| *kind == Kind::Rebalance);
    if evens_out && body.emergency.is_some() {
        return Err(Problem::field(
            "emergency",
            "field emergency means nothing here: hosts are never evened out in an emergency; drain those that are in danger",
        ));
    }
    let approved = body
        .rolling
        .as_ref()
        .filter(|rolling| rolling.approve)
        .map(|rolling| if rolling.anyway { InPart::Accepted } else { InPart::Refused });
    Ok(Asked { hosts, reason: reason("reason", &body.reason)?, deadline, urgency, rolling, approved })
}

fn maintenance(
    asked: &Asked,
    policies: &PolicySet,
    by: Actor,
    (id, number): (MaintenanceId, u32),
    now: Instant,
) -> Maintenance {
    let warn_before = policies.general().maintenance.warn_before;
    let (stage, rolling) = match &asked.rolling {
        None => (Stage::Draining, Rolling::default()),
        Some((kind, terms)) => {
            (Stage::Waiting, Rolling { kind: *kind, terms: terms.clone(), ..Rolling::default() })
        }
    };
    Maintenance {
        id,
        number,
        hosts: asked.hosts.iter().map(|host| (host.clone(), stage.clone())).collect(),
        reason: asked.reason.clone(),
        deadline: asked.deadline,
        warn_at: (asked.deadline - warn_before.delta()).max(now),
        warned: Warned::No,
        urgency: asked.urgency.clone(),
        requested_by: by.clone(),
        requested_at: now,
        state: match (&asked.rolling, asked.approved) {
            (None, _) => State::Running,
            (Some(_), Some(_)) => State::Approved { at: now, by },
            (Some(_), None) => State::Draft,
        },
        rolling,
    }
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
