//! Maintenances and plans, as the API shows them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use drover_policies::attempt::Method;
use drover_policies::bulletins::Servers;
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, MaintenanceId, ServerId};
use drover_policies::maintenance::{Maintenance, Stage, Urgency};
use drover_policies::migration::{Migration, State, Waiting};
use drover_policies::plan::{Agreement, Decision, Plan, Planned, text};
use drover_policies::planner::Report;
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ActorView, Eyes, Reason, tag};
use super::migrations::{MigrationBrief, needs_person};
use super::rolling::{DrainView, EffortView, RollingView, ShiftView, WaveView};
use super::times::TimeView;

/// A maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: MaintenanceId,
    /// `MT-12`.
    pub number: String,
    /// `draft`, `planned`, `approved`, `running`, `paused`, `completed`, `failed` or `cancelled`.
    pub state: String,
    /// Since when it is approved, paused, completed, failed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// When the hosts must be free.
    pub deadline: DateTime<Utc>,
    /// When a warning is given if something still waits.
    pub warn_at: DateTime<Utc>,
    /// Whether it is open and past its deadline.
    pub overdue: bool,
    /// Whether it is open and past the time of the warning.
    pub deadline_near: bool,
    /// What the emergency is, if it is one: windows and notice are skipped then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<String>,
    /// Who asked for it.
    pub requested_by: ActorView,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// The hosts to be emptied.
    pub hosts: Vec<DrainView>,
    /// Its servers in figures.
    pub counts: Counts,
    /// What one over many hosts has besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<RollingView>,
}

/// Servers of a maintenance by where they are. Each server counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// All of them.
    pub total: u32,
    /// Moved while they ran.
    pub moved_live: u32,
    /// Moved by a reboot, or while they were off.
    pub moved_by_reboot: u32,
    /// Resolved without us: deleted, or moved by other means.
    pub avoided: u32,
    /// Being moved now.
    pub moving: u32,
    /// Waiting for the time agreed with their owners.
    pub waiting_for_owner: u32,
    /// Waiting for something that comes by itself: a turn, another try.
    pub waiting: u32,
    /// Needing a person.
    pub needs_person: u32,
    /// Given up with the maintenance.
    pub cancelled: u32,
    /// On hosts whose turn is yet to come.
    #[serde(default)]
    pub to_come: u32,
}

impl Counts {
    /// Counts a maintenance's migrations.
    #[must_use]
    pub fn of<'a>(migrations: impl IntoIterator<Item = &'a Migration>) -> Self {
        // A server that came back has several migrations; the last one says where it is.
        let latest: BTreeMap<ServerId, &Migration> = migrations.into_iter().fold(
            BTreeMap::new(),
            |mut latest: BTreeMap<ServerId, &Migration>, migration| {
                let newer = latest.get(&migration.server).is_none_or(|known| known.number < migration.number);
                if newer {
                    latest.insert(migration.server, migration);
                }
                latest
            },
        );
        let mut counts = Self::default();
        for migration in latest.values() {
            counts.total += 1;
            *counts.of_state(migration) += 1;
        }
        counts
    }

    /// Counts a maintenance's migrations, and the servers on its hosts whose turn is yet to come. One that has moved to such a host moves again.
    fn of_all(maintenance: &Maintenance, migrations: &[&Migration], fleet: &Fleet) -> Self {
        if !maintenance.is_open() || !maintenance.empties() {
            return Self::of(migrations.iter().copied());
        }
        let waiting = maintenance.hosts_at(|stage| *stage == Stage::Waiting);
        let mut to_come: BTreeSet<ServerId> =
            waiting.flat_map(|host| fleet.on(host)).map(|server| server.facts.id).collect();
        let counted = |migration: &&&Migration| migration.is_open() || !to_come.contains(&migration.server);
        let mut counts = Self::of(migrations.iter().filter(counted).copied());
        for open in migrations.iter().filter(|migration| migration.is_open()) {
            to_come.remove(&open.server);
        }
        counts.to_come = u32::try_from(to_come.len()).unwrap_or(u32::MAX);
        counts.total = counts.total.saturating_add(counts.to_come);
        counts
    }

    /// As operators are told of them when it is over.
    #[must_use]
    pub fn servers(&self) -> Servers {
        Servers { live: self.moved_live, by_reboot: self.moved_by_reboot, need_person: self.needs_person }
    }

    fn of_state(&mut self, migration: &Migration) -> &mut u32 {
        if needs_person(migration) {
            return &mut self.needs_person;
        }
        match &migration.state {
            State::Succeeded { .. } => &mut self.moved_live,
            State::Completed { .. }
            | State::Reverting { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverted { .. } => match migration.method {
                Method::Live => &mut self.moved_live,
                Method::Reboot => &mut self.moved_by_reboot,
            },
            // A drill belongs to no maintenance.
            State::Avoided { .. } | State::Rehearsing { .. } | State::Rehearsed { .. } => &mut self.avoided,
            State::Cancelled { .. } => &mut self.cancelled,
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. } => &mut self.moving,
            State::Pending { waits_for } | State::Preparing { waits_for } | State::Ready { waits_for } => {
                match waits_for {
                    Waiting::Owner { .. } => &mut self.waiting_for_owner,
                    Waiting::Nothing
                    | Waiting::Turn { .. }
                    | Waiting::BackOff { .. }
                    | Waiting::Place { .. }
                    | Waiting::Blocked { .. }
                    | Waiting::Slot { .. }
                    | Waiting::Agent { .. }
                    | Waiting::Replica { .. }
                    | Waiting::Paused => &mut self.waiting,
                }
            }
            State::RolledBack { .. } => &mut self.waiting,
            State::Failed { .. } => &mut self.needs_person,
        }
    }
}

/// A maintenance with everything that is left to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceDetail {
    /// The maintenance.
    #[serde(flatten)]
    pub maintenance: MaintenanceView,
    /// What moves now.
    pub moving: Vec<MigrationBrief>,
    /// What waits, and for what.
    pub waiting: Vec<MigrationBrief>,
    /// What nobody but a person can bring forward.
    pub needs_person: Vec<MigrationBrief>,
}

impl MaintenanceView {
    /// A maintenance with its migrations, as operators see it.
    #[must_use]
    pub fn of<'a>(
        maintenance: &Maintenance,
        migrations: impl IntoIterator<Item = &'a Migration>,
        fleet: &Fleet,
        now: Instant,
    ) -> Self {
        let migrations: Vec<&Migration> = migrations.into_iter().collect();
        Self {
            id: maintenance.id,
            number: format!("MT-{}", maintenance.number),
            state: maintenance.state.to_string(),
            since: maintenance.state.since(),
            reason: maintenance.reason.clone(),
            deadline: maintenance.deadline,
            warn_at: maintenance.warn_at,
            overdue: maintenance.is_overdue(now),
            deadline_near: maintenance.is_open() && now >= maintenance.warn_at,
            emergency: match &maintenance.urgency {
                Urgency::Normal => None,
                Urgency::Emergency { why } => Some(why.clone()),
            },
            requested_by: ActorView::of(&maintenance.requested_by, Eyes::Operator),
            requested_at: maintenance.requested_at,
            hosts: maintenance
                .hosts
                .keys()
                .filter_map(|host| DrainView::of(maintenance, host, fleet))
                .collect(),
            counts: Counts::of_all(maintenance, &migrations, fleet),
            rolling: RollingView::of(maintenance, now),
        }
    }
}

impl MaintenanceDetail {
    /// A maintenance with everything that is left to do.
    #[must_use]
    pub fn of(maintenance: MaintenanceView, migrations: &[Migration]) -> Self {
        let briefs = |applies: &dyn Fn(&Migration) -> bool| -> Vec<MigrationBrief> {
            migrations
                .iter()
                .filter(|migration| applies(migration))
                .map(|migration| MigrationBrief::of(migration, Eyes::Operator))
                .collect()
        };
        Self {
            maintenance,
            moving: briefs(&Migration::is_moving),
            waiting: briefs(&|migration| {
                migration.is_open() && !migration.is_moving() && !needs_person(migration)
            }),
            needs_person: briefs(&needs_person),
        }
    }
}

/// What a maintenance will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// When it was made, from facts of that moment.
    pub made_at: DateTime<Utc>,
    /// Every server of the hosts whose turn has come, in the order in which they are best begun; then those of the others in the order of waves, as
    /// things are now: one that moves twice is there twice.
    pub servers: Vec<PlannedView>,
    /// The hosts whose turn is yet to come, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WaveView>,
    /// Of the hosts whose turn is yet to come: how much has to be moved, how long that takes, and the least that both could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<EffortView>,
    /// Of a rebalance, every server that is moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<ShiftView>,
    /// When servers would be rebooted whose owners have to agree. Nobody has been told of those that are not proposed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeView>,
    /// What waits for what, and what an operator should know, as sentences.
    pub remarks: Vec<String>,
    /// The plan as text for people.
    pub text: String,
}

/// What is done with one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedView {
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The host that it leaves.
    #[schema(value_type = String)]
    pub from: HostName,
    /// `live`, `reboot`, `blocked` or `no_place`.
    pub decision: String,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<HostName>,
    /// Why there.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub place_why: String,
    /// Why it does not simply go live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// `not_needed`, `owner` or `operator`: who has to agree to the time.
    pub agreement: String,
    /// How long it will take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// How long the server will stand still or be off in that time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_downtime_ms: Option<u64>,
    /// What its blueprint changes about it, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
    /// The wave of its host; nothing once the host's turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// When it would begin if nothing but moving took time, from the maintenance's beginning, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins_after_ms: Option<u64>,
}

impl PlanView {
    /// A plan with its report.
    #[must_use]
    pub fn of(plan: &Plan, report: &Report) -> Self {
        let waits = report.waits.iter().map(|wait| format!("waits for {wait}"));
        let warnings = report.warnings.iter().map(ToString::to_string);
        Self {
            made_at: plan.made_at,
            servers: plan.servers().map(PlannedView::from).collect(),
            waves: Vec::new(),
            effort: None,
            moves: Vec::new(),
            times: Vec::new(),
            remarks: waits.chain(warnings).collect(),
            text: text(plan, report),
        }
    }
}

impl From<&Planned> for PlannedView {
    fn from(planned: &Planned) -> Self {
        let why = match &planned.decision {
            Decision::Live { .. } => None,
            Decision::Reboot { why, .. } => Some(Reason::new(why.code(), why)),
            Decision::Blocked { why, .. } => Some(Reason::new(why.code(), why)),
            Decision::NoPlace { why, .. } => Some(Reason::new("no_place", why)),
        };
        Self {
            server: planned.server,
            name: planned.name.clone(),
            owner: planned.owner.as_ref().map(ToString::to_string),
            from: planned.from.clone(),
            decision: tag(&planned.decision, "decision"),
            to: planned.decision.to().cloned(),
            place_why: planned.place_why.clone(),
            why,
            agreement: match planned.agreement {
                Agreement::NotNeeded => "not_needed",
                Agreement::Owner => "owner",
                Agreement::Operator => "operator",
            }
            .to_owned(),
            expected_ms: planned.expected.map(|expected| expected.duration.as_milliseconds()),
            expected_downtime_ms: planned.expected.map(|expected| expected.downtime.as_milliseconds()),
            blueprint: planned.blueprint.as_ref().map(ToString::to_string),
            wave: None,
            begins_after_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_policies::attempt::Moved;
    use drover_policies::drills::{DrillWish, USUAL};
    use drover_policies::ids::MigrationId;
    use drover_policies::maintenance::{Kind, Rolling, State as Life, Warned};
    use drover_policies::migration::Purpose;
    use drover_policies::notices::Actor;
    use drover_policies::samples::{NOON, Sample, host_name};
    use drover_policies::time::Span;
    use uuid::Uuid;

    use super::*;

    fn operator() -> Actor {
        Actor::Operator { name: "olga".to_owned() }
    }

    /// The first host's turn is yet to come, the second one is being emptied, and one server of it has gone to the first.
    fn fleet() -> Fleet {
        let sample = Sample::new().hosts(&["h1", "h2"]);
        let first =
            ["web", "db", "moved"].iter().fold(sample, |sample, name| sample.server("h1", name, |_| {}));
        first.server("h2", "mail", |_| {}).fleet()
    }

    fn maintenance(kind: Kind) -> Maintenance {
        Maintenance {
            id: MaintenanceId(Uuid::from_u128(1)),
            number: 1,
            hosts: [(host_name("h1"), Stage::Waiting), (host_name("h2"), Stage::Draining)].into(),
            reason: "kernel-update".to_owned(),
            deadline: NOON,
            warn_at: NOON,
            warned: Warned::No,
            urgency: Urgency::Normal,
            requested_by: operator(),
            requested_at: NOON,
            state: Life::Running,
            rolling: Rolling { kind, ..Rolling::default() },
        }
    }

    fn migration(number: u32, server: &str, state: State) -> Migration {
        let wish = DrillWish {
            by: operator(),
            starts_in: Span::ZERO,
            duration: USUAL,
            reason: "kernel-update".to_owned(),
            now: NOON,
        };
        let fleet = fleet();
        let server =
            fleet.servers().into_values().find(|known| known.facts.name == server).expect("it is there");
        let drill = wish.drill(MigrationId(Uuid::from_u128(number.into())), number, server);
        Migration { purpose: Purpose::Move, method: Method::Live, state, ..drill }
    }

    fn succeeded() -> State {
        let moved = Moved { sent_bytes: 1, downtime: None, in_libvirt: None, power_off: None, tail: None };
        State::Succeeded { at: NOON, moved }
    }

    fn waits() -> State {
        State::Pending { waits_for: Waiting::Nothing }
    }

    fn counted(maintenance: &Maintenance, migrations: &[Migration]) -> Counts {
        Counts::of_all(maintenance, &migrations.iter().collect::<Vec<_>>(), &fleet())
    }

    #[test]
    fn servers_of_hosts_to_come_are_counted_beside_those_that_have_a_migration() {
        let counts = counted(&maintenance(Kind::Patch), &[migration(1, "mail", waits())]);
        assert_eq!(counts, Counts { total: 4, waiting: 1, to_come: 3, ..Counts::default() });
        let before = Maintenance {
            hosts: [(host_name("h1"), Stage::Waiting), (host_name("h2"), Stage::Waiting)].into(),
            state: Life::Planned,
            ..maintenance(Kind::Patch)
        };
        assert_eq!(counted(&before, &[]), Counts { total: 4, to_come: 4, ..Counts::default() });
    }

    #[test]
    fn one_that_has_moved_to_a_host_to_come_moves_again_and_is_counted_once() {
        let there = [migration(1, "mail", waits()), migration(2, "moved", succeeded())];
        let counts = counted(&maintenance(Kind::Patch), &there);
        assert_eq!(counts, Counts { total: 4, waiting: 1, to_come: 3, ..Counts::default() });
        // On its way again, for whatever reason.
        let again = [there, [migration(3, "moved", waits()), migration(4, "db", waits())]].concat();
        let counts = counted(&maintenance(Kind::Patch), &again);
        assert_eq!(counts, Counts { total: 4, waiting: 3, to_come: 1, ..Counts::default() });
    }

    #[test]
    fn nothing_is_to_come_in_one_that_is_over_nor_where_no_host_is_emptied() {
        let done = [migration(1, "mail", succeeded()), migration(2, "moved", succeeded())];
        let over = Maintenance { state: Life::Completed { at: NOON }, ..maintenance(Kind::Patch) };
        for maintenance in [over, maintenance(Kind::Rebalance)] {
            let counts = counted(&maintenance, &done);
            assert_eq!(counts, Counts { total: 2, moved_live: 2, ..Counts::default() });
        }
    }
}
