//! Servers of other hypervisors that are brought here: a place for each, an order to its agent, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

mod refusal;

use super::{Changes, Conductor, Intent, NewOperation, NewWish, Situation};
use crate::attempt::{Failure, FailureClass, Report};
use crate::events::{Event, Happened};
use crate::fleet::{Fleet, Server};
use crate::ids::{HostName, ImportId, OperationId, ServerId};
use crate::import::{
    Begin, Chosen, Description, Found, Heard, Import, ImportEnd, ImportHappened, ImportState, ImportStatus,
    LogLine, Refusal, Start, Step, Touched, server,
};
use crate::notices::Actor;
use crate::placement::{Choice, NoPlace, Reservation, WhyNotHere, Wish};
use crate::policy::PolicySet;
use crate::time::{Instant, Span};

pub use refusal::ImportRefusal;

/// How long an imported server may be missing from its host's inventory before it is believed to have been deleted already.
const APPEARS_WITHIN: Span = Span::minutes(2);

/// A wish for an import.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// What is imported.
    pub description: Description,
    /// Where to; nothing to have the planner look for the best place.
    pub host: Option<HostName>,
    /// In which cluster the planner looks; nothing for all of them.
    pub cluster: Option<String>,
    /// Whether it is booted at the end.
    pub start: Start,
    /// Who wishes.
    pub by: Actor,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct OpenedImport {
    /// The import as it is now.
    pub import: Import,
    /// All that changes, the import included.
    pub changes: Changes,
}

/// Somebody wants a server of another kind of hypervisor brought here. Its place is held from now on.
///
/// # Errors
/// It can't be had, and what can.
pub fn import(situation: Situation<'_>, request: ImportRequest) -> Result<OpenedImport, ImportRefusal> {
    let mut conductor = Conductor::new(situation);
    let ImportRequest { description, host, cluster, start, by } = request;
    conductor.is_new(&description)?;
    let id = description.uuid.unwrap_or_else(|| ServerId::draw(conductor.ids));
    let (host, chosen, host_why) = match host {
        Some(host) => {
            let coming = server(&description, id, &host, &[]);
            match conductor.judge_newcomer(&coming, &Chosen::ByName) {
                Ok(why) => (host, Chosen::ByName, why),
                Err(why) => return Err(ImportRefusal::NotThere { host, why }),
            }
        }
        None => {
            let choice = conductor.find_newcomer(&description, id, cluster.as_deref(), &BTreeMap::new())?;
            (choice.host, Chosen::ByPlanner { cluster, refused_by: BTreeMap::new() }, choice.why)
        }
    };
    let operation = OperationId::draw(conductor.ids);
    let import = Import {
        id: ImportId::draw(conductor.ids),
        server: id,
        description,
        host,
        chosen,
        host_why,
        start,
        by: by.clone(),
        opened_at: conductor.now,
        state: ImportState::Running { heard: Heard::nothing(operation) },
    };
    conductor.give_import(&import, operation, Begin::Where);
    let what = ImportHappened::Asked { by, to: import.host.clone(), why: import.host_why.clone() };
    conductor.say_of_import(&import, what);
    Ok(conductor.opened_import(import))
}

/// Somebody calls an import off. Nothing when there is no such import that is not over.
///
/// # Errors
/// It is too late for that.
pub fn cancel(
    situation: Situation<'_>,
    import: ImportId,
    by: &Actor,
) -> Result<Option<OpenedImport>, Refusal> {
    let mut conductor = Conductor::new(situation);
    let Some(before) = conductor.imports.iter().find(|known| known.id == import).cloned() else {
        return Ok(None);
    };
    before.may_cancel()?;
    let by = by.clone();
    let after = match before.state.clone() {
        ImportState::Running { heard } => {
            conductor.wish(heard.operation, NewWish::AbortAsked);
            Import { state: ImportState::Cancelling { heard, by: by.clone() }, ..before.clone() }
        }
        ImportState::Failed { .. } => conductor.order_clearing(before.clone(), by.clone()),
        ImportState::Cancelling { .. } | ImportState::Imported { .. } | ImportState::Cancelled { .. } => {
            before.clone()
        }
    };
    if after != before {
        conductor.say_of_import(&after, ImportHappened::Cancelling { by });
    }
    Ok(Some(conductor.opened_import(after)))
}

/// Somebody wants an import that has failed to be tried again. Nothing when there is no such import that is not over.
///
/// # Errors
/// It has not failed, or its host won't have it now.
pub fn retry(
    situation: Situation<'_>,
    import: ImportId,
    begin: Begin,
    by: &Actor,
) -> Result<Option<OpenedImport>, ImportRefusal> {
    let mut conductor = Conductor::new(situation);
    let Some(before) = conductor.imports.iter().find(|known| known.id == import).cloned() else {
        return Ok(None);
    };
    before.may_retry()?;
    let movable = matches!(before.state, ImportState::Failed { touched: Touched::No, .. });
    let after = match (before.chosen.clone(), movable) {
        (Chosen::ByPlanner { cluster, .. }, true) => {
            // Whatever it was refused for may have been mended.
            let none = BTreeMap::new();
            let choice =
                conductor.find_newcomer(&before.description, before.server, cluster.as_deref(), &none)?;
            let chosen = Chosen::ByPlanner { cluster, refused_by: none };
            Import { host: choice.host, host_why: choice.why, chosen, ..before }
        }
        (Chosen::ByName, _) | (Chosen::ByPlanner { .. }, false) => {
            let coming = before.server(&[]);
            match conductor.judge_newcomer(&coming, &Chosen::ByName) {
                Ok(_) => before,
                Err(why) => return Err(ImportRefusal::NotThere { host: before.host, why }),
            }
        }
    };
    let after = conductor.order_import(after, begin);
    conductor.say_of_import(&after, ImportHappened::Retried { by: by.clone(), to: after.host.clone() });
    Ok(Some(conductor.opened_import(after)))
}

/// The places that are held for imports.
#[must_use]
pub fn reservations(
    imports: &[Import],
    fleet: &Fleet,
    policies: &PolicySet,
    reports: &BTreeMap<OperationId, Report>,
) -> Vec<Reservation> {
    imports.iter().map(|import| place(import, fleet, policies, reports)).collect()
}

fn place(
    import: &Import,
    fleet: &Fleet,
    policies: &PolicySet,
    reports: &BTreeMap<OperationId, Report>,
) -> Reservation {
    let figures = match import.operation().and_then(|operation| reports.get(&operation)) {
        Some(Report::Importing(status)) => status.disks.as_slice(),
        _ => &[],
    };
    let coming = import.server(figures);
    Reservation::of(&wish(&coming, fleet, policies), &import.host)
}

/// It comes as one that is off, and as it is.
fn wish<'a>(coming: &'a Server, fleet: &'a Fleet, policies: &PolicySet) -> Wish<'a> {
    let policy = policies.shared_of(coming, fleet);
    Wish { server: coming, policy, method: crate::attempt::Method::Reboot, blueprint: None }
}

impl Conductor<'_> {
    /// Takes in what agents have told of imports.
    pub(super) fn look_at_imports(&mut self) {
        for index in 0..self.imports.len() {
            let before = self.imports[index].clone();
            let after = self.advance_import(before.clone());
            if after != before {
                self.imports[index] = after.clone();
                self.changes.imports.push(after);
            }
        }
    }

    /// The place that is held for an import.
    pub(super) fn place_of(&self, import: &Import) -> Reservation {
        place(import, self.fleet, self.policies, self.reports)
    }

    fn advance_import(&mut self, import: Import) -> Import {
        let Some(heard) = import.state.heard() else { return import };
        match self.reports.get(&heard.operation).cloned() {
            None if !self.fleet.hosts.contains_key(&import.host) => self.host_is_gone(import, heard),
            None | Some(Report::Running(_)) => import,
            Some(Report::Importing(status)) => self.import_goes_on(import, heard, &status),
            Some(Report::ImportEnded { end, log }) => {
                let heard = self.read_log(&import, heard, &log);
                self.import_ended(import, heard, end)
            }
            Some(Report::Refused(failure)) => self.import_ended(import, heard, ImportEnd::Failed { failure }),
            Some(
                Report::Ended { .. }
                | Report::Alive { .. }
                | Report::NotAlive(_)
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Testing(_)
                | Report::Tested { .. }
                | Report::RunningHook(_)
                | Report::HookRan(_)
                | Report::Healthy(_)
                | Report::Unhealthy(_),
            ) => {
                let text = "the agent's answer does not fit the order".to_owned();
                let failure = Failure { class: FailureClass::Unexpected, text };
                self.import_ended(import, heard, ImportEnd::Failed { failure })
            }
        }
    }

    fn import_goes_on(&mut self, import: Import, heard: Heard, status: &ImportStatus) -> Import {
        let heard = self.read_log(&import, heard, &status.log);
        heard_more(import, Heard { step: Some(status.step), ..heard })
    }

    /// Tells what is new of a log, each line once.
    fn read_log(&mut self, import: &Import, heard: Heard, log: &[LogLine]) -> Heard {
        let new = || log.iter().filter(|line| line.number > heard.lines);
        let Some(first) = new().next() else { return heard };
        if first.number > heard.lines + 1 {
            let lines = first.number - heard.lines - 1;
            self.say_of_import(import, ImportHappened::LogLost { lines });
        }
        let mut lines = heard.lines;
        for line in new() {
            self.say_of_import(import, ImportHappened::Log { line: line.clone() });
            lines = line.number;
        }
        Heard { lines, ..heard }
    }

    fn import_ended(&mut self, import: Import, heard: Heard, end: ImportEnd) -> Import {
        match (import.state.clone(), end) {
            (_, ImportEnd::Defined { at, found }) => self.is_defined(import, heard, at, found),
            (_, ImportEnd::Cancelled) => {
                self.changes.ended.push(heard.operation);
                self.import_cancelled(import)
            }
            // What it has left is cleared away by another order.
            (ImportState::Cancelling { by, .. }, ImportEnd::Failed { .. }) => {
                self.changes.ended.push(heard.operation);
                self.order_clearing(import, by)
            }
            (_, ImportEnd::Failed { failure }) => {
                self.changes.ended.push(heard.operation);
                self.import_failed(import, heard, failure)
            }
        }
    }

    /// Its place is held until the host's inventory shows it there.
    fn is_defined(&mut self, import: Import, heard: Heard, at: Instant, found: Found) -> Import {
        let appears_until = at + APPEARS_WITHIN.delta();
        if self.fleet.seen(&import.host, import.server).is_none() && self.now < appears_until {
            self.look_again_at(appears_until);
            return heard_more(import, heard);
        }
        self.changes.ended.push(heard.operation);
        self.say_of_import(&import, ImportHappened::Imported { found: found.clone() });
        Import { state: ImportState::Imported { at: self.now, found }, ..import }
    }

    fn import_failed(&mut self, import: Import, heard: Heard, failure: Failure) -> Import {
        let touched = match heard.step {
            None | Some(Step::Check) => Touched::No,
            Some(
                Step::Clear | Step::Copy | Step::Fix | Step::Merge | Step::Place | Step::Define | Step::Start,
            ) => Touched::Perhaps,
        };
        if let Chosen::ByPlanner { cluster, mut refused_by } = import.chosen.clone()
            && touched == Touched::No
            && failure.class.depends_on_destination()
        {
            refused_by.insert(import.host.clone(), failure.text.clone());
            let place = self.place_of(&import);
            self.room.release(&place);
            let found =
                self.find_newcomer(&import.description, import.server, cluster.as_deref(), &refused_by);
            if let Ok(Choice { host: to, why: host_why, .. }) = found {
                let why = format!("{}: {}", import.host, failure.text);
                self.say_of_import(&import, ImportHappened::Replanned { to: to.clone(), why });
                let chosen = Chosen::ByPlanner { cluster, refused_by };
                let import = Import { host: to, host_why, chosen, ..import };
                return self.order_import(import, Begin::Where);
            }
            self.room.reserve(place);
        }
        self.say_of_import(&import, ImportHappened::Failed { failure: failure.clone() });
        Import { state: ImportState::Failed { at: self.now, failure, touched }, ..import }
    }

    /// An agent that is not known any more, because its host was taken out for good, is not waited for.
    fn host_is_gone(&mut self, import: Import, heard: Heard) -> Import {
        self.changes.ended.push(heard.operation);
        if matches!(import.state, ImportState::Cancelling { .. }) {
            return self.import_cancelled(import);
        }
        let text = format!("host {} is not known any more", import.host);
        self.import_failed(import, heard, Failure { class: FailureClass::DestinationUnreachable, text })
    }

    fn import_cancelled(&mut self, import: Import) -> Import {
        self.say_of_import(&import, ImportHappened::Cancelled);
        let place = self.place_of(&import);
        self.room.release(&place);
        Import { state: ImportState::Cancelled { at: self.now }, ..import }
    }

    fn order_import(&mut self, import: Import, begin: Begin) -> Import {
        let operation = OperationId::draw(self.ids);
        let state = ImportState::Running { heard: Heard::nothing(operation) };
        let import = Import { state, ..import };
        self.give_import(&import, operation, begin);
        import
    }

    fn give_import(&mut self, import: &Import, operation: OperationId, begin: Begin) {
        let intent = Intent::Import { import: Box::new(import.clone()), begin };
        let host = import.host.clone();
        self.changes.begun.push(NewOperation { id: operation, host, migration: None, intent });
        let place = self.place_of(import);
        self.room.reserve(place);
    }

    fn order_clearing(&mut self, import: Import, by: Actor) -> Import {
        let intent = Intent::ClearImport { import: Box::new(import.clone()) };
        let operation = self.order(import.host.clone(), None, intent);
        Import { state: ImportState::Cancelling { heard: Heard::nothing(operation), by }, ..import }
    }

    fn judge_newcomer(&self, coming: &Server, chosen: &Chosen) -> Result<String, WhyNotHere> {
        let wish = wish(coming, self.fleet, self.policies);
        let score = self.room.judge_newcomer(&wish, &coming.host, chosen)?;
        Ok(format!("as asked for: {score}"))
    }

    fn find_newcomer(
        &self,
        description: &Description,
        id: ServerId,
        cluster: Option<&str>,
        refused_by: &BTreeMap<HostName, String>,
    ) -> Result<Choice, NoPlace> {
        // Policies of a cluster can't be known before it is.
        let nowhere = self.fleet.hosts.values().find(|host| cluster == Some(host.facts.cluster.as_str()));
        let nowhere = nowhere.or_else(|| self.fleet.hosts.values().next());
        let Some(host) = nowhere else {
            let cluster = cluster.unwrap_or("any").to_owned();
            return Err(NoPlace { cluster, hosts: BTreeMap::new() });
        };
        let coming = server(description, id, &host.name, &[]);
        self.room.find_newcomer(&wish(&coming, self.fleet, self.policies), cluster, refused_by)
    }

    /// Whether nothing of the same name, id or source is here or on its way.
    fn is_new(&self, description: &Description) -> Result<(), ImportRefusal> {
        let name = description.name.as_str();
        let mut seen = self.fleet.sightings.values().flat_map(|seen| seen.values());
        let named = seen.find(|server| server.facts.name == name);
        if let Some(server) = named {
            return Err(ImportRefusal::NameTaken { name: name.to_owned(), host: server.host.clone() });
        }
        if let Some(uuid) = description.uuid
            && let Some(server) = self.fleet.server(uuid)
        {
            return Err(ImportRefusal::UuidTaken { uuid, by: server.facts.name.clone() });
        }
        for other in &self.imports {
            let by = other.description.name.to_string();
            if by == name {
                return Err(ImportRefusal::BeingImported { name: by });
            }
            if description.uuid == Some(other.server) {
                return Err(ImportRefusal::UuidTaken { uuid: other.server, by });
            }
            let sources: BTreeSet<&Path> =
                other.description.disks.iter().map(|disk| disk.source.name()).collect();
            let taken = description.disks.iter().position(|disk| sources.contains(disk.source.name()));
            if let Some((number, disk)) = taken.and_then(|at| Some((at, description.disks.get(at)?))) {
                return Err(ImportRefusal::SourceTaken { number, place: disk.source.clone(), by });
            }
        }
        Ok(())
    }

    fn opened_import(mut self, import: Import) -> OpenedImport {
        let known = self.imports.iter().find(|known| known.id == import.id);
        if known != Some(&import) {
            self.changes.imports.push(import.clone());
        }
        OpenedImport { import, changes: self.changes }
    }

    fn say_of_import(&mut self, import: &Import, what: ImportHappened) {
        self.changes.events.push(Event {
            at: self.now,
            maintenance: None,
            migration: None,
            import: Some(import.id),
            server: Some((import.server, import.description.name.to_string())),
            owner: import.description.owner.clone(),
            host: Some(import.host.clone()),
            what: Happened::Import { what },
        });
    }
}

fn heard_more(import: Import, heard: Heard) -> Import {
    let state = match import.state {
        ImportState::Running { .. } => ImportState::Running { heard },
        ImportState::Cancelling { by, .. } => ImportState::Cancelling { heard, by },
        other @ (ImportState::Failed { .. }
        | ImportState::Imported { .. }
        | ImportState::Cancelled { .. }) => other,
    };
    Import { state, ..import }
}
