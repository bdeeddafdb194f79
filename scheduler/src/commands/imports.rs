//! Bringing servers of other kinds of hypervisors here.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::conduct::{self, ImportRefusal, ImportRequest};
use drover_policies::import::{Begin, Description, Import, Refusal, Start, Written};

use super::{Decided, Reply, Wish, find_host, find_import, store_problem};
use crate::app::App;
use crate::execute;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{ImportView, NewImport};
use crate::situation::Loaded;

/// The word for a place that the planner looks for.
const AUTO: &str = "auto";

/// What may be wished of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportWish {
    /// That it be called off.
    Cancel,
    /// That it be tried again.
    Retry(Begin),
}

impl Wish {
    /// Brings a server of another kind of hypervisor here. Its place is held from now on.
    ///
    /// # Errors
    /// A field of the description is wrong, the server is here or on its way already, or there is no place for it.
    pub async fn import(&self, body: &NewImport) -> Result<Reply, Problem> {
        let description = Description::try_from(Written::from(body))
            .map_err(|bad| Problem::field(bad.key(), bad.to_string()))?;
        // Two that look for the last place at the same time must not both find it.
        let _promising = self.app.promise_times().await;
        self.carry_out(|| async {
            let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
            let host = match body.host.as_deref() {
                None | Some(AUTO) => None,
                Some(name) => Some(find_host(&loaded.fleet, name)?.name.clone()),
            };
            self.check_cluster(&loaded, body)?;
            let request = ImportRequest {
                description: description.clone(),
                host,
                cluster: body.cluster.clone(),
                start: if body.start { Start::Yes } else { Start::No },
                by: self.caller.actor(),
            };
            let opened =
                conduct::import(loaded.situation(&self.app), request).map_err(|refusal| refused(&refusal))?;
            let batch = execute::batch(&self.app, &loaded, opened.changes)
                .await
                .map_err(|error| store_problem(&error))?;
            let view = view(&self.app, &opened.import);
            Ok(Decided::new(batch, Reply::created(format!("/v1/imports/{}", opened.import.id), &view)?))
        })
        .await
    }

    fn check_cluster(&self, loaded: &Loaded, body: &NewImport) -> Result<(), Problem> {
        let Some(wanted) = &body.cluster else { return Ok(()) };
        if body.host.as_deref().is_some_and(|host| host != AUTO) {
            let detail =
                "field cluster is for host \"auto\": a host that is named is in the cluster that it is in";
            return Err(Problem::field("cluster", detail));
        }
        let known: BTreeSet<&str> =
            loaded.fleet.hosts.values().map(|host| host.facts.cluster.as_str()).collect();
        if known.contains(wanted.as_str()) {
            return Ok(());
        }
        let names = known.iter().copied().collect::<Vec<_>>().join(", ");
        let detail = format!("field cluster is {wanted:?}, which no host belongs to; choose one of {names}");
        Err(Problem::field("cluster", detail).with("allowed", known))
    }

    /// Calls an import off, or has it tried again.
    ///
    /// # Errors
    /// There is no such import, or it can't do that now.
    pub async fn change_import(&self, given: &str, wished: ImportWish) -> Result<Reply, Problem> {
        let _promising = self.app.promise_times().await;
        self.carry_out(|| async {
            let found = find_import(&self.app, given).await?;
            self.envelope.if_match.check(found.generation)?;
            let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
            let (id, by) = (found.value.id, self.caller.actor());
            let situation = loaded.situation(&self.app);
            let opened = match wished {
                ImportWish::Cancel => {
                    found.value.may_cancel().map_err(|refusal| over(&refusal))?;
                    conduct::cancel_import(situation, id, &by).map_err(|refusal| over(&refusal))?
                }
                ImportWish::Retry(begin) => {
                    found.value.may_retry().map_err(|refusal| over(&refusal))?;
                    conduct::retry_import(situation, id, begin, &by).map_err(|refusal| refused(&refusal))?
                }
            };
            let opened = opened.ok_or_else(|| Problem::not_found("import", given))?;
            let batch = execute::batch(&self.app, &loaded, opened.changes)
                .await
                .map_err(|error| store_problem(&error))?;
            Ok(Decided::new(batch, Reply::ok(&view(&self.app, &opened.import))?))
        })
        .await
    }
}

/// An import as operators see it.
#[must_use]
pub fn view(app: &App, import: &Import) -> ImportView {
    let status = import.operation().and_then(|operation| app.agents.importing(operation));
    ImportView::of(import, status.as_ref())
}

fn over(refusal: &Refusal) -> Problem {
    Problem::new(Kind::Refused, refusal.to_string()).with("rule", refusal.rule())
}

/// A refusal; the rule, and the field that stands against it, also as members, for programs.
fn refused(refusal: &ImportRefusal) -> Problem {
    let problem = Problem::new(Kind::Refused, refusal.to_string()).with("rule", refusal.rule());
    let problem = match refusal.field() {
        Some(field) => problem.with("field", field),
        None => problem,
    };
    match refusal {
        ImportRefusal::NoPlace(none) => {
            let hosts: BTreeMap<_, _> =
                none.hosts.iter().map(|(host, why)| (host.as_str(), why.to_string())).collect();
            problem.with("hosts", hosts)
        }
        ImportRefusal::NotThere { .. }
        | ImportRefusal::NameTaken { .. }
        | ImportRefusal::BeingImported { .. }
        | ImportRefusal::UuidTaken { .. }
        | ImportRefusal::SourceTaken { .. }
        | ImportRefusal::State(_) => problem,
    }
}
