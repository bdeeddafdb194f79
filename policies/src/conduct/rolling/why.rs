//! Why a host whose turn is yet to come does not begin now, and what would have to change.

use std::collections::BTreeSet;

use super::super::{Conductor, Situation};
use super::Beside;
use crate::ids::{HostName, MaintenanceId};
use crate::maintenance::{Maintenance, State as MaintenanceState};

/// All that keeps a host of a maintenance from beginning now, each with what would help; nothing where its turn has come, or comes at once.
#[must_use]
pub fn why_not_yet(situation: Situation<'_>, maintenance: MaintenanceId, host: &HostName) -> Vec<String> {
    let conductor = Conductor::new(situation);
    match conductor.maintenances.get(&maintenance) {
        Some(maintenance) if maintenance.waiting().any(|waiting| waiting == host) => {
            conductor.keeps_from_beginning(maintenance, host)
        }
        Some(_) | None => Vec::new(),
    }
}

impl Conductor<'_> {
    /// As [`why_not_yet`].
    pub(super) fn keeps_from_beginning(&self, maintenance: &Maintenance, host: &HostName) -> Vec<String> {
        let (number, terms) = (maintenance.number, &maintenance.rolling.terms);
        let mut why: Vec<String> = Vec::new();
        why.extend(match &maintenance.state {
            MaintenanceState::Draft => Some(format!("MT-{number} is being planned")),
            MaintenanceState::Planned => {
                Some(format!("nobody has approved MT-{number}: drover maintenance approve MT-{number}"))
            }
            MaintenanceState::Paused { .. } => {
                Some(format!("MT-{number} is paused: drover maintenance resume MT-{number}"))
            }
            MaintenanceState::Approved { .. } | MaintenanceState::Running => None,
            MaintenanceState::Completed { .. }
            | MaintenanceState::Failed { .. }
            | MaintenanceState::Cancelled { .. } => return why,
        });
        if maintenance.is_halted() {
            let failed: Vec<&str> = maintenance.failed().map(HostName::as_str).collect();
            why.push(format!(
                "too many hosts have failed: {}; retry them, leave them out, or resume in spite of them",
                failed.join(", ")
            ));
        }
        if self.is_silent(host) {
            why.push(format!("nothing is heard of its agent: see that drover-agent runs on {host}"));
        }
        if !maintenance.empties() {
            if !maintenance.rolling.balance.ahead().any(|shift| shift.from == *host) {
                why.push("nothing of it is to be moved".to_owned());
                return why;
            }
        } else if let Some(other) = self.standing(host).and_then(crate::host::Standing::maintenance)
            && other != maintenance.id
        {
            let other = self.maintenances.get(&other).map_or(0, |other| other.number);
            why.push(format!("MT-{other} has it: drover maintenance skip-host MT-{other} {host}"));
        }
        let kind = maintenance.kind();
        let last = maintenance.hosts.values().filter_map(|stage| stage.ended_at(kind)).max();
        let next = last.map(|last| last + terms.pause_between.delta()).filter(|next| *next > self.now);
        why.extend(next.map(|next| {
            format!("nobody begins before {} (pause_between)", next.format("%Y-%m-%d %H:%M:%S UTC"))
        }));
        let unfinished: BTreeSet<HostName> =
            maintenance.hosts_at(|stage| !stage.is_over(kind)).cloned().collect();
        let first = terms.waits_for(host, &unfinished, self.fleet);
        why.extend(first.map(|first| format!("{first} has to be over first (order)")));
        let in_work = self.in_work(maintenance);
        let names = || in_work.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(", ");
        if !Beside::new(terms, self.fleet, &in_work).has_room_for(host) {
            why.push(format!(
                "as many hosts are in work as may be (hosts_at_once, per, per_cluster): {}",
                names()
            ));
        }
        if maintenance.empties() {
            if !self.groups_on(&[host]).is_disjoint(&self.groups_on(&in_work)) {
                why.push(format!("a server of it and one of {} must not be moved at the same time", names()));
            }
            why.extend(self.lacks(maintenance, host).map(|lacks| lacks.to_string()));
        }
        why
    }
}
