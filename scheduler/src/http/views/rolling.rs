//! Maintenances over many hosts, as the API shows them.

use chrono::{DateTime, Utc};
use drover_policies::conduct::{Ahead, Effort, HookRun, PlannedAhead};
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::maintenance::{Balance, Because, Maintenance, Shift, Stage, Wave};
use drover_policies::plan::Decision;
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Reason, tag};
use super::maintenances::{PlanView, PlannedView};

/// How far a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// The host.
    #[schema(value_type = String)]
    pub host: HostName,
    /// `waiting` (its turn has not come), `giving` (in a rebalance: some of its servers leave it), `draining`, `confirming` (its libvirt is asked whether it is empty), `drained`, `working`, `done`, `skipped` or `failed`.
    pub state: String,
    /// While it is worked on, and where it failed: `hook pre`, `hook maintain`, `health check`, `hook health` or `hook post`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which try of that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why it failed, or was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The wave that it comes in, or came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<DateTime<Utc>>,
    /// When its turn was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// When its libvirt said that it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<DateTime<Utc>>,
    /// Servers still seen on it.
    pub servers_left: u32,
}

impl DrainView {
    pub(super) fn of(maintenance: &Maintenance, host: &HostName, fleet: &Fleet) -> Option<Self> {
        let stage = maintenance.hosts.get(host)?;
        let turn = maintenance.rolling.turns.get(host);
        let wave = turn.map(|turn| turn.wave);
        let (step, attempt, why) = match stage {
            Stage::Working { step, attempt, .. } => (Some(*step), Some(*attempt), None),
            Stage::Failed { step, attempt, why, .. } => (Some(*step), Some(*attempt), Some(why.clone())),
            Stage::Skipped { by, .. } => (None, None, Some(by.to_string())),
            Stage::Waiting
            | Stage::Giving
            | Stage::Draining
            | Stage::Confirming { .. }
            | Stage::Drained { .. }
            | Stage::Done { .. } => (None, None, None),
        };
        Some(Self {
            host: host.clone(),
            state: stage.name().to_owned(),
            step: step.map(|step| step.to_string()),
            attempt,
            why,
            wave: wave.or_else(|| maintenance.rolling.waves.of(host).map(|wave| wave.number)),
            began_at: turn.map(|turn| turn.began_at),
            ended_at: stage.ended_at(maintenance.kind()),
            drained_at: match stage {
                Stage::Drained { at } => Some(*at),
                _ => None,
            },
            servers_left: u32::try_from(fleet.on(host).count()).unwrap_or(u32::MAX),
        })
    }
}

/// What a maintenance over many hosts has besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RollingView {
    /// `patch`, `drain`, `decommission` or `rebalance`.
    pub kind: String,
    /// What it keeps to, as it was asked for.
    #[schema(value_type = Object)]
    pub terms: serde_json::Value,
    /// The hosts whose turn is yet to come, in their order.
    pub waves: Vec<WaveView>,
    /// Of a rebalance, every server that is moved, or has been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<ShiftView>,
    /// Of a rebalance, hosts that stay uneven, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uneven: Vec<String>,
    /// Hosts that are over.
    pub done: u32,
    /// Hosts in work.
    pub in_work: u32,
    /// Hosts that need a person.
    pub failed: u32,
    /// All of them.
    pub total: u32,
    /// Why no further host begins, if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// When it will be over at the pace so far; nothing before a host is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<DateTime<Utc>>,
}

impl RollingView {
    pub(super) fn of(maintenance: &Maintenance, now: Instant) -> Option<Self> {
        let rolling = &maintenance.rolling;
        let begun_or_planned = !rolling.turns.is_empty() || maintenance.waiting().next().is_some();
        if maintenance.empties() && !begun_or_planned {
            return None;
        }
        let kind = maintenance.kind();
        let count =
            |is: &dyn Fn(&Stage) -> bool| u32::try_from(maintenance.hosts_at(is).count()).unwrap_or(u32::MAX);
        let failed = count(&|stage| matches!(stage, Stage::Failed { .. }));
        Some(Self {
            kind: kind.to_string(),
            terms: serde_json::to_value(&rolling.terms).unwrap_or_default(),
            waves: rolling.waves.ahead.iter().map(WaveView::from).collect(),
            moves: rolling.balance.shifts.iter().map(ShiftView::from).collect(),
            uneven: uneven(&rolling.balance),
            done: count(&|stage| stage.is_over(kind)),
            in_work: count(&|stage| stage.is_in_work(kind)),
            failed,
            total: count(&|_| true),
            halted: (maintenance.is_open() && maintenance.is_halted()).then(|| {
                let names: Vec<&str> = maintenance.failed().map(HostName::as_str).collect();
                format!(
                    "{} failed, and {} may (max_failed_hosts): see `drover maintenance host MT-{} {}`, then retry-host or skip-host, or resume in spite of it",
                    names.join(", "),
                    rolling.bears(),
                    maintenance.number,
                    names.first().copied().unwrap_or_default()
                )
            }),
            forecast: maintenance.forecast(now),
        })
    }
}

/// A server that goes where less is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShiftView {
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// The host that it leaves.
    #[schema(value_type = String)]
    pub from: HostName,
    /// Where it goes, as planned.
    #[schema(value_type = String)]
    pub to: HostName,
    /// When its migration was opened; nothing before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<DateTime<Utc>>,
}

impl From<&Shift> for ShiftView {
    fn from(shift: &Shift) -> Self {
        Self {
            server: shift.server,
            name: shift.name.clone(),
            from: shift.from.clone(),
            to: shift.to.clone(),
            begun_at: shift.begun_at,
        }
    }
}

fn uneven(balance: &Balance) -> Vec<String> {
    balance.uneven.iter().map(|uneven| format!("{} stays uneven: {}", uneven.host, uneven.why)).collect()
}

/// Hosts that are emptied together, as far as limits allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaveView {
    /// From 1.
    pub number: u32,
    /// They.
    pub hosts: Vec<String>,
    /// Why they come in this wave: `room`, `first`, `owners`, `blocked`, `no_room`, `silent`, or of a rebalance `gives`.
    pub because: Reason,
    /// Whether somebody has to do something before they can be emptied.
    pub obstacle: bool,
}

impl From<&Wave> for WaveView {
    fn from(wave: &Wave) -> Self {
        Self {
            number: wave.number,
            hosts: wave.hosts.iter().map(ToString::to_string).collect(),
            because: Reason::new(&tag(&wave.because, "because"), &wave.because),
            obstacle: wave.because.is_obstacle(),
        }
    }
}

/// How much has to be moved of the hosts whose turn is yet to come, and how long that takes if nothing but moving takes time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EffortView {
    /// So many moves.
    pub moves: u64,
    /// No plan of so many waves can do with fewer.
    pub least_moves: u64,
    /// How long they take, as often longer as shorter, in milliseconds.
    pub expected_ms: u64,
    /// Nine times in ten it will be no longer than this.
    pub p90_ms: u64,
    /// No schedule of these moves is shorter.
    pub least_ms: u64,
    /// Most bytes per second of one migration that were reckoned with.
    pub rate: u64,
    /// The same as a sentence.
    pub text: String,
}

impl EffortView {
    fn of(effort: &Effort) -> Option<Self> {
        let time = effort.time.filter(|_| effort.moves > 0)?;
        Some(Self {
            moves: effort.moves as u64,
            least_moves: effort.least_moves as u64,
            expected_ms: time.expected.as_milliseconds(),
            p90_ms: time.p90.as_milliseconds(),
            least_ms: time.least.as_milliseconds(),
            rate: time.rate,
            text: effort.to_string(),
        })
    }
}

impl From<&PlannedAhead> for PlannedView {
    fn from(ahead: &PlannedAhead) -> Self {
        let PlannedAhead { wave, planned, when } = ahead;
        let view = Self {
            wave: Some(*wave),
            begins_after_ms: when.map(|when| when.begins.as_milliseconds()),
            ..Self::from(planned)
        };
        let view = match when {
            // With what it shares its way with.
            Some(when) => Self { expected_ms: Some(when.lasts.as_milliseconds()), ..view },
            None => view,
        };
        match &planned.decision {
            Decision::NoPlace { not_live, .. } => Self {
                decision: if not_live.is_some() { "reboot" } else { "live" }.to_owned(),
                why: not_live.as_ref().map(|why| Reason::new(why.code(), why)),
                place_why: "its place is found when its host's turn comes".to_owned(),
                ..view
            },
            Decision::Live { .. } | Decision::Reboot { .. } | Decision::Blocked { .. } => view,
        }
    }
}

impl PlanView {
    /// What would be done with hosts whose turn is yet to come, and with their servers.
    #[must_use]
    pub fn of_ahead(made_at: Instant, ahead: &Ahead) -> Self {
        let mut order = Self::of_waves(made_at, &ahead.waves);
        let effort = EffortView::of(&ahead.effort);
        order.text.extend(effort.iter().flat_map(|effort| [&effort.text, "\n"]));
        Self { servers: ahead.servers.iter().map(PlannedView::from).collect(), effort, ..order }
    }

    fn of_waves(made_at: Instant, waves: &[Wave]) -> Self {
        let obstacles = waves.iter().filter(|wave| wave.because.is_obstacle());
        Self {
            made_at,
            servers: Vec::new(),
            waves: waves.iter().map(WaveView::from).collect(),
            effort: None,
            moves: Vec::new(),
            times: Vec::new(),
            remarks: obstacles.map(line).collect(),
            text: waves.iter().map(|wave| line(wave) + "\n").collect(),
        }
    }
}

impl PlanView {
    /// What a rebalance moves.
    #[must_use]
    pub fn of_balance(made_at: Instant, balance: &Balance) -> Self {
        let line = |shift: &Shift| {
            let begun = if shift.begun_at.is_some() { " (begun)" } else { "" };
            format!("{} of {} goes to {}{begun}\n", shift.name, shift.from, shift.to)
        };
        let remarks = uneven(balance);
        let mut text: String = balance.shifts.iter().map(line).collect();
        if text.is_empty() {
            text.push_str("nothing is to be moved\n");
        }
        text.extend(remarks.iter().map(|remark| format!("{remark}\n")));
        Self {
            made_at,
            servers: Vec::new(),
            waves: Vec::new(),
            effort: None,
            moves: balance.shifts.iter().map(ShiftView::from).collect(),
            times: Vec::new(),
            remarks,
            text,
        }
    }

    /// With the hosts whose turn is yet to come.
    #[must_use]
    pub fn followed_by(mut self, ahead: &Ahead) -> Self {
        let later = Self::of_ahead(self.made_at, ahead);
        self.servers.extend(later.servers);
        self.effort = later.effort;
        self.waves = later.waves;
        self.remarks.extend(later.remarks);
        self.text.push_str(&later.text);
        self
    }
}

fn line(wave: &Wave) -> String {
    let hosts: Vec<&str> = wave.hosts.iter().map(HostName::as_str).collect();
    format!("wave {}: {} ({})", wave.number, hosts.join(", "), wave.because)
}

/// One host of a maintenance: why it comes when it does, and what was done with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostTurnView {
    /// How far it is.
    #[serde(flatten)]
    pub host: DrainView,
    /// Why it comes in its wave; nothing once its turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_this_wave: Option<Reason>,
    /// What would have to change for it to come earlier, or to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_help: Option<String>,
    /// Every hook that has ended there, oldest first.
    pub hooks: Vec<HookRunView>,
}

/// A hook that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HookRunView {
    /// `hook pre`, `hook maintain`, `hook health` or `hook post`.
    pub step: String,
    /// Which try of it.
    pub attempt: u32,
    /// When it was ordered.
    pub began_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: Reason,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it has written: the beginning and the end of it where it is too much.
    pub output: String,
    /// How much was left out of that, in bytes.
    pub dropped_bytes: u64,
}

impl From<&HookRun> for HookRunView {
    fn from(run: &HookRun) -> Self {
        Self {
            step: run.step.to_string(),
            attempt: run.attempt,
            began_at: run.began_at,
            outcome: Reason::new(&tag(&run.ran.outcome, "outcome"), &run.ran.outcome),
            took_ms: run.ran.took.as_milliseconds(),
            output: run.ran.output.text.clone(),
            dropped_bytes: run.ran.output.dropped_bytes,
        }
    }
}

impl HostTurnView {
    /// One host of a maintenance; nothing when it has no such host.
    #[must_use]
    pub fn of(maintenance: &Maintenance, host: &HostName, hooks: &[HookRun], fleet: &Fleet) -> Option<Self> {
        let view = DrainView::of(maintenance, host, fleet)?;
        let wave = maintenance.rolling.waves.of(host);
        Some(Self {
            would_help: would_help(maintenance, &view, wave.map(|wave| &wave.because)),
            why_this_wave: wave.map(|wave| Reason::new(&tag(&wave.because, "because"), &wave.because)),
            host: view,
            hooks: hooks.iter().map(HookRunView::from).collect(),
        })
    }
}

fn would_help(maintenance: &Maintenance, view: &DrainView, because: Option<&Because>) -> Option<String> {
    let (number, host) = (maintenance.number, &view.host);
    if view.state == "failed" {
        return Some(format!(
            "mend what failed, then `drover maintenance retry-host MT-{number} {host}`; or `drover maintenance skip-host MT-{number} {host}` to have it back in service as it is"
        ));
    }
    because.map(|because| because.would_help(host.as_str()))
}
