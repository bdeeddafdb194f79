//! Policies: what is in force, and whether a text is usable.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::fleet::Labels;
use drover_policies::policy::{Effective, PolicyProblem, PolicySet, RuleRead, Subject};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known};
use super::problem::{Kind, Problem};
use super::views::{PolicyRuleView, PolicyView, RuleView};
use crate::app::App;
use crate::auth::Operator;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(check))
}

/// Policy files to be checked together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    /// The files.
    files: Vec<PolicyFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    /// Its name; files are taken in the order of their names.
    name: String,
    /// Its TOML.
    text: String,
}

/// All settings in force, in the order of their names.
pub(super) fn settings(effective: &Effective) -> Vec<RuleView> {
    let values = serde_json::to_value(&effective.policy).unwrap_or_default();
    effective
        .said_by
        .iter()
        .map(|(setting, origin)| {
            let value = setting.split('.').try_fold(&values, |value, key| value.get(key));
            RuleView {
                setting: setting.clone(),
                value: value.cloned().unwrap_or_default(),
                said_by: origin.to_string(),
            }
        })
        .collect()
}

/// Show the policy in force
///
/// What holds where no rule says otherwise; for a server see its explanation.
#[utoipa::path(get, path = "/v1/policy", tag = "policy", security(("token" = [])),
    responses((status = 200, description = "The policy", body = PolicyView), Problems))]
async fn show(State(app): State<Arc<App>>, _: Operator, known: Known) -> Result<Response, Problem> {
    known.answer(None, &in_full(&app))
}

/// The policy in force, with its rules.
pub(crate) fn in_full(app: &App) -> PolicyView {
    let fleet = app.fleet();
    let reach = app.policies.reach(fleet.servers().values().map(|server| Subject::of(server, &fleet)));
    let counted = |(rule, servers)| PolicyRuleView { servers: Some(servers), ..rule };
    let rules = rules(&app.policies).into_iter().zip(reach).map(counted).collect();
    PolicyView { settings: in_force(&app.policies), rules }
}

fn rules(policies: &PolicySet) -> Vec<PolicyRuleView> {
    let view = |rule: RuleRead| PolicyRuleView {
        name: rule.name,
        about: rule.about,
        said_by: rule.said_by.to_string(),
        servers: None,
        sets: rule.settings.into_iter().collect(),
    };
    policies.rules().into_iter().map(view).collect()
}

/// What holds where no rule says otherwise.
fn in_force(policies: &PolicySet) -> Vec<RuleView> {
    settings(&policies.effective(&anybody(&Labels::new())))
}

/// No server in particular, so that no rule is about it.
fn anybody(labels: &Labels) -> Subject<'_> {
    Subject { server: None, labels, owner: None, cluster: None }
}

/// What is wrong with policy files, as a problem.
fn bad(problems: &[PolicyProblem]) -> Problem {
    let detail = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Problem::new(Kind::BadPolicy, detail).with("problems", problems)
}

/// Check policy files
///
/// Changes nothing. A refusal (422, `bad-policy`) names every problem with its file, line and key, and what would be right.
#[utoipa::path(post, path = "/v1/policy/check", tag = "policy", request_body = PolicyBody, security(("token" = [])),
    responses((status = 200, description = "Usable; this would be in force", body = PolicyView), Problems))]
async fn check(
    State(_): State<Arc<App>>,
    change: Change<Operator, PolicyBody>,
) -> Result<Json<PolicyView>, Problem> {
    let files: Vec<(&str, &str)> =
        change.body.files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
    let set = PolicySet::parse(&files).map_err(|problems| bad(&problems))?;
    Ok(Json(PolicyView { settings: in_force(&set), rules: rules(&set) }))
}
