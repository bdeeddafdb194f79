//! The picture of a simulated maintenance, with everything in it that one can have: hosts that are done, have failed and are left.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use anyhow::{Context as _, Result};
use drover_policies::ids::MaintenanceId;
use drover_policies::maintenance::{Kind, Maintenance, Rolling, Stage, State, Terms, Urgency, Warned};
use drover_policies::notices::Actor;
use drover_policies::owners::OwnersRules;
use drover_policies::policy::PolicySet;
use drover_policies::time::Span;
use drover_scheduler::simulate::timeline::Band;
use drover_scheduler::simulate::{Model, Outcome, Setup, begins_at, drawn, run};

/// Simulations that are tried.
const SEEDS: u64 = 50;

/// As `drover simulate --timeline` writes it, under a title that somebody chose.
///
/// # Errors
/// If the simulation shows less than it should.
pub fn of_a_simulation(title: &str) -> Result<String> {
    let mut fleet = drawn::fleet(12, 120, 7)?;
    drawn::equip(&mut fleet);
    let now = begins_at(&fleet);
    let by = Actor::Operator { name: "ada".to_owned() };
    let deadline = now + Span::days(3).delta();
    let terms = Terms { hosts_at_once: NonZeroU32::new(2), max_failed_hosts: 1, ..Terms::default() };
    let maintenance = Maintenance {
        id: MaintenanceId(uuid::Uuid::from_u128(1)),
        number: 1,
        hosts: fleet.hosts.keys().map(|host| (host.clone(), Stage::Waiting)).collect(),
        reason: "kernel-update".to_owned(),
        deadline,
        warn_at: deadline - Span::days(1).delta(),
        warned: Warned::No,
        urgency: Urgency::Normal,
        requested_by: by.clone(),
        requested_at: now,
        state: State::Approved { at: now, by },
        rolling: Rolling { kind: Kind::Patch, terms, ..Rolling::default() },
    };
    let model = Model {
        link: 125_000_000,
        dirty_rate: 8 << 20,
        fail_rate: 0.05,
        hook_fail_rate: 0.3,
        hook: Span::minutes(10),
    };
    let setup = |seed| Setup {
        fleet: fleet.clone(),
        policies: PolicySet::default(),
        owners: OwnersRules::default(),
        maintenance: maintenance.clone(),
        dirty: BTreeMap::new(),
        model: model.clone(),
        seed,
        lasts: Span::days(5),
        every: Span::seconds(10),
        kills: 0,
    };
    // How far it comes before too many have failed is left to chance.
    let shows_all = |outcome: &Outcome| {
        let has = |band: Band| outcome.timeline.rows.iter().any(|row| row.band() == band);
        has(Band::Over) && has(Band::Failed) && has(Band::Waits)
    };
    let outcome = (1..=SEEDS).map(|seed| run(setup(seed), |_| {})).find(shows_all);
    let outcome = outcome.context("in none of them are hosts done, failed and left over in the end")?;
    Ok(outcome.timeline.html(title, &[("ended", outcome.report.ended.to_string())]))
}
