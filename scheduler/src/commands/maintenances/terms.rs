//! What is asked of a maintenance over many hosts, checked field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};

use drover_policies::fleet::{Ability, Fleet};
use drover_policies::ids::{HookName, HostName};
use drover_policies::maintenance::{Hint, Hooks, Kind, Terms, Which, label_of};
use drover_policies::packing::Reboots;
use drover_policies::policy::LEAST_BANDWIDTH;
use drover_policies::time::Span;

use crate::commands::suggestions;
use crate::http::problem::Problem;
use crate::http::views::{HintBody, RollingBody, SelectBody};

/// The hosts that are meant; all that are unknown are named at once.
pub(super) fn hosts(
    fleet: &Fleet,
    given: &[String],
    select: Option<&SelectBody>,
) -> Result<BTreeSet<HostName>, Problem> {
    let mut known = named(fleet, given)?;
    if let Some(select) = select {
        known.extend(selected(fleet, select)?);
    }
    if known.is_empty() {
        return Err(Problem::field("hosts", "field hosts is empty; name at least one host, or select some"));
    }
    Ok(known)
}

fn named(fleet: &Fleet, given: &[String]) -> Result<BTreeSet<HostName>, Problem> {
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

/// Every host that has all of the labels and is in one of the clusters.
fn selected(fleet: &Fleet, select: &SelectBody) -> Result<BTreeSet<HostName>, Problem> {
    if !select.all && select.labels.is_empty() && select.clusters.is_empty() {
        return Err(Problem::field(
            "select",
            "field select selects nothing; give labels, clusters, or all: true",
        ));
    }
    for (label, value) in &select.labels {
        let values: BTreeSet<&str> = values_of(fleet, label);
        if !values.contains(value.as_str()) {
            let has = match values.is_empty() {
                true => format!("no host has a label {label}; labels come from the agents' configurations"),
                false => format!(
                    "no host has {label}={value}; there is {}",
                    values.iter().copied().collect::<Vec<_>>().join(", ")
                ),
            };
            return Err(Problem::field("select.labels", format!("field select.labels: {has}"))
                .with("suggestions", suggestions(value, values.into_iter())));
        }
    }
    let clusters: BTreeSet<&str> = fleet.hosts.values().map(|host| host.facts.cluster.as_str()).collect();
    if let Some(unknown) = select.clusters.iter().find(|cluster| !clusters.contains(cluster.as_str())) {
        let detail = format!(
            "field select.clusters: there is no cluster {unknown}; there is {}",
            clusters.iter().copied().collect::<Vec<_>>().join(", ")
        );
        return Err(Problem::field("select.clusters", detail));
    }
    let fits = |host: &&HostName| {
        let labels = select.labels.iter().all(|(label, value)| label_of(fleet, host, label) == Some(value));
        let cluster = fleet.hosts.get(*host).map(|host| &host.facts.cluster);
        labels && (select.clusters.is_empty() || cluster.is_some_and(|it| select.clusters.contains(it)))
    };
    let found: BTreeSet<HostName> = fleet.hosts.keys().filter(fits).cloned().collect();
    match found.is_empty() {
        true => Err(Problem::field(
            "select",
            "field select matches no host: none has all of these labels and is in these clusters",
        )),
        false => Ok(found),
    }
}

fn values_of<'a>(fleet: &'a Fleet, label: &str) -> BTreeSet<&'a str> {
    fleet.hosts.values().filter_map(|host| host.facts.labels.get(label)).map(String::as_str).collect()
}

/// What a maintenance keeps to, and what is done with its hosts.
pub(super) fn terms(
    body: &RollingBody,
    hosts: &BTreeSet<HostName>,
    fleet: &Fleet,
) -> Result<(Kind, Terms), Problem> {
    let kind = match body.kind.as_deref() {
        None => Kind::Patch,
        Some(name) => Kind::named(name).ok_or_else(|| {
            Problem::field(
                "rolling.kind",
                format!(
                    "field rolling.kind: {name:?} is no kind; write patch, drain, decommission or rebalance"
                ),
            )
        })?,
    };
    means_something(body, kind)?;
    let shipped = Terms::default();
    let hints = body.order.iter().enumerate().map(|(at, hint)| read_hint(at, hint));
    let terms = Terms {
        hosts_at_once: at_least_one("rolling.hosts_at_once", body.hosts_at_once)?,
        per: by_label("rolling.per", &body.per, (hosts, fleet), number)?,
        per_cluster: at_least_one("rolling.per_cluster", body.per_cluster)?,
        live_out_per_host: at_least_one("rolling.live_out_per_host", body.live_out_per_host)?,
        live_in_per_host: at_least_one("rolling.live_in_per_host", body.live_in_per_host)?,
        per_owner: at_least_one("rolling.per_owner", body.per_owner)?,
        bandwidth: body.bandwidth.map(|given| bandwidth("rolling.bandwidth", given)).transpose()?,
        uplinks: by_label("rolling.uplinks", &body.uplinks, (hosts, fleet), bandwidth)?,
        waves: at_least_one("rolling.waves", body.waves)?.unwrap_or(shipped.waves),
        max_failed_hosts: body.max_failed_hosts,
        warn_after: span("rolling.warn_after", body.warn_after.as_deref())?,
        pause_between: span("rolling.pause_between", body.pause_between.as_deref())?.unwrap_or(Span::ZERO),
        hints: hints.collect::<Result<_, _>>()?,
        hooks: if body.no_hooks { Hooks::None } else { Hooks::Run },
        return_within: span("rolling.return_within", body.return_within.as_deref())?
            .unwrap_or(shipped.return_within),
        within: within(body.within)?,
        reboots: if body.with_reboots { Reboots::Agreed } else { Reboots::None },
    };
    terms
        .check_order(hosts, fleet)
        .map_err(|bad| Problem::field("rolling.order", format!("field rolling.order: {bad}")))?;
    if kind == Kind::Patch && terms.hooks == Hooks::Run {
        hooks(hosts, fleet)?;
    }
    Ok((kind, terms))
}

/// Fields that say nothing of what is asked for are refused, so that nobody relies on them.
fn means_something(body: &RollingBody, kind: Kind) -> Result<(), Problem> {
    let (of_rebalance, of_others) = (
        [("within", body.within.is_some()), ("with_reboots", body.with_reboots)],
        [
            ("waves", body.waves.is_some()),
            ("order", !body.order.is_empty()),
            ("no_hooks", body.no_hooks),
            ("return_within", body.return_within.is_some()),
        ],
    );
    let (given, why) = match kind {
        Kind::Rebalance => {
            (of_others.iter().find(|(_, given)| *given), "nothing is emptied or worked on in a rebalance")
        }
        Kind::Drain | Kind::Patch | Kind::Decommission => {
            (of_rebalance.iter().find(|(_, given)| *given), "only a rebalance evens hosts out")
        }
    };
    match given {
        None => Ok(()),
        Some((name, _)) => {
            let field = format!("rolling.{name}");
            let detail =
                format!("field {field} means nothing here: {why}; leave it out, or ask for another kind");
            Err(Problem::field(&field, detail))
        }
    }
}

fn within(given: Option<u32>) -> Result<Option<NonZeroU32>, Problem> {
    match given {
        None => Ok(None),
        Some(points @ 1..=100) => Ok(NonZeroU32::new(points)),
        Some(other) => Err(Problem::field(
            "rolling.within",
            format!(
                "field rolling.within: {other} is no number of percentage points; write 1 to 100, such as 10"
            ),
        )),
    }
}

/// A host without the hook that does the work would be emptied for nothing.
fn hooks(hosts: &BTreeSet<HostName>, fleet: &Fleet) -> Result<(), Problem> {
    let maintain = HookName::maintain();
    let lacks = |host: &&HostName| {
        let facts = fleet.hosts.get(*host).map(|host| &host.facts);
        !facts.is_some_and(|facts| facts.can(Ability::RunHooks) && facts.hooks.contains(&maintain))
    };
    let without: Vec<&str> = hosts.iter().filter(lacks).map(HostName::as_str).collect();
    if without.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "no hook maintain on {}; configure it in the [hooks] of their agents, or ask for no_hooks (--no-hooks) to empty them and bring them back without any work",
        without.join(", ")
    );
    Err(Problem::field("rolling.no_hooks", detail).with("without_hook", without))
}

/// Limits by the label of those hosts that share them.
fn by_label<T: Copy, N>(
    field: &str,
    given: &BTreeMap<String, T>,
    (hosts, fleet): (&BTreeSet<HostName>, &Fleet),
    read: impl Fn(&str, T) -> Result<N, Problem>,
) -> Result<BTreeMap<String, N>, Problem> {
    let one = |(label, most): (&String, &T)| {
        if !hosts.iter().any(|host| label_of(fleet, host, label).is_some()) {
            let detail = format!(
                "field {field}: none of these hosts has a label {label}; labels come from the agents' configurations"
            );
            return Err(Problem::field(field, detail));
        }
        Ok((label.clone(), read(&format!("{field}.{label}"), *most)?))
    };
    given.iter().map(one).collect()
}

fn at_least_one(field: &str, given: Option<u32>) -> Result<Option<NonZeroU32>, Problem> {
    given.map(|given| number(field, given)).transpose()
}

fn number(field: &str, given: u32) -> Result<NonZeroU32, Problem> {
    let why =
        || format!("field {field} is 0, so that nothing would ever begin; write 1 or more, or leave it out");
    NonZeroU32::new(given).ok_or_else(|| Problem::field(field, why()))
}

fn bandwidth(field: &str, given: u64) -> Result<NonZeroU64, Problem> {
    let why = || {
        format!(
            "field {field}: {given} bytes per second is less than libvirt can count (1 MiB); write {LEAST_BANDWIDTH} or more, or leave it out"
        )
    };
    let enough = NonZeroU64::new(given).filter(|given| given.get() >= LEAST_BANDWIDTH);
    enough.ok_or_else(|| Problem::field(field, why()))
}

fn span(field: &str, given: Option<&str>) -> Result<Option<Span>, Problem> {
    let Some(text) = given else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Problem::field(
            field,
            format!("field {field}: {text:?} is no length of time; write 90s, 30m, 2h or 1d"),
        )
    })
}

fn read_hint(at: usize, hint: &HintBody) -> Result<Hint, Problem> {
    let field = format!("rolling.order[{at}]");
    let which = |text: &str| -> Result<Which, Problem> {
        text.parse().map_err(|bad| Problem::field(&field, format!("field {field}: {bad}")))
    };
    match (&hint.after, &hint.before) {
        (Some(after), None) => Ok(Hint { hosts: which(&hint.hosts)?, after: which(after)? }),
        (None, Some(before)) => Ok(Hint { hosts: which(before)?, after: which(&hint.hosts)? }),
        (Some(_), Some(_)) | (None, None) => Err(Problem::field(
            &field,
            format!("field {field}: write either after or before, each a host's name or label=value"),
        )),
    }
}
