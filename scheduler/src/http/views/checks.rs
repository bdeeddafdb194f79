//! Checks and what they came to, as the API shows them.

use drover_policies::checks::{Address, Check, Finding, Item, Verdict, Weight, WrittenCheck};
use drover_policies::ids::{CheckId, OwnerId};
use drover_policies::owners::Nearness;
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::owners::ScopeView;
use crate::http::problem::Problem;
use crate::store::StoredCheck;

/// Something that a server is looked at for after a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: CheckId,
    /// Whose.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: ScopeView,
    /// What it is called.
    pub name: String,
    /// `tcp` or `http`.
    pub check: String,
    /// The port.
    pub port: u32,
    /// For `http`: the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// For `http`: whether TLS is spoken. Its certificate is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// For `http`: the status that is expected; any below 400 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u32>,
    /// At which of the server's own addresses; at any of them when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether its failure counts against the move.
    pub must_pass: bool,
    /// How long it may take after the guest was seen alive; what policy says when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// A check that holds for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckHolds {
    /// What it is called.
    pub name: String,
    /// What must answer: `TCP port 22`, `HTTPS /health at port 443, status 200`.
    pub looks_at: String,
    /// Set for this `server`, for a `label`, for the `account`, or by `policy`.
    pub from: String,
    /// Whether its failure counts against the move.
    pub must_pass: bool,
    /// How long it may take after the guest was seen alive.
    #[schema(example = "2m")]
    pub within: String,
}

impl CheckHolds {
    /// `otherwise`: how long a check may take that doesn't say itself.
    pub fn of(check: &Check, from: Nearness, otherwise: Span) -> Self {
        let at = match check.address {
            Address::OfGuest => String::new(),
            Address::Given(address) => format!(" of {address}"),
        };
        Self {
            name: check.name.to_string(),
            looks_at: format!("{}{at}", check.what),
            from: from.code().to_owned(),
            must_pass: check.weight == Weight::MustPass,
            within: check.within.unwrap_or(otherwise).to_string(),
        }
    }
}

/// A check as it is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// Whose; an owner may leave it out, for it is his own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For which servers; without it, for the whole account.
    #[serde(default)]
    pub scope: ScopeView,
    /// What it is called: 1 to 60 letters, digits, spaces, `.`, `-` or `_`. Once in a scope.
    #[schema(example = "shop")]
    pub name: String,
    /// `tcp`: the port takes connections. `http`: a GET is answered.
    #[schema(example = "http")]
    pub check: String,
    /// 1 to 65535. For `http` 80, or 443 with TLS, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// For `http`: begins with `/`; `/` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/health")]
    pub path: Option<String>,
    /// For `http`: whether TLS is spoken. Its certificate is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// For `http`: the status that is expected, 200 to 599; any below 400 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u32>,
    /// At which of the server's own addresses; at any of them unless said. Nothing else is ever connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether its failure counts against the move; it does unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_pass: Option<bool>,
    /// How long it may take after the guest was seen alive, `30m` at most; what policy says unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2m")]
    pub within: Option<String>,
}

impl CheckBody {
    /// As it is judged.
    ///
    /// # Errors
    /// The time is none.
    pub fn written(&self) -> Result<WrittenCheck, Problem> {
        let within = self.within.as_deref().map(str::parse).transpose();
        Ok(WrittenCheck {
            name: self.name.clone(),
            check: self.check.clone(),
            port: self.port,
            path: self.path.clone(),
            tls: self.tls,
            expect: self.expect,
            address: self.address.clone(),
            must_pass: self.must_pass,
            within: within.map_err(|bad| Problem::field("within", format!("field within: {bad}")))?,
        })
    }
}

impl From<&StoredCheck> for CheckView {
    fn from(stored: &StoredCheck) -> Self {
        let port = u32::from(stored.check.check.what.port());
        let written = WrittenCheck::from(stored.check.check.clone());
        Self {
            id: stored.id,
            owner: stored.check.owner.clone(),
            scope: ScopeView::from(&stored.check.scope),
            name: written.name,
            check: written.check,
            port,
            path: written.path,
            tls: written.tls,
            expect: written.expect,
            address: written.address,
            must_pass: stored.check.check.weight == Weight::MustPass,
            within: written.within.map(|within| within.to_string()),
        }
    }
}

/// One thing that a server was looked at for where it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// `power`, `life` (its guest agent or console), `addresses`, `interfaces`, `disks`, or `own` for one of its owner's checks.
    pub item: String,
    /// What it is called.
    pub name: String,
    /// `passed`, `failed`, `failed_before` (before the move as well, so that it does not count) or `not_looked`.
    pub verdict: String,
    /// Whether a failure counts against the move.
    pub must_pass: bool,
    /// What was seen.
    pub seen: String,
    /// How long it took, in milliseconds; left out for what is read at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let item = match &finding.item {
            Item::Power => "power",
            Item::Life => "life",
            Item::Addresses => "addresses",
            Item::Interfaces => "interfaces",
            Item::Disks => "disks",
            Item::Own { .. } => "own",
        };
        let verdict = match finding.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::FailedBefore => "failed_before",
            Verdict::NotLooked => "not_looked",
        };
        Self {
            item: item.to_owned(),
            name: finding.item.to_string(),
            verdict: verdict.to_owned(),
            must_pass: finding.weight == Weight::MustPass,
            seen: finding.seen.clone(),
            took_ms: finding.took.map(|took| took.as_milliseconds()),
        }
    }
}
