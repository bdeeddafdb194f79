//! Maintenances over many hosts.

use super::super::args::{Draft, MaintenanceKind, RollingTerms, WhichHosts};
use super::super::client::Answer;
use super::super::exit::Failed;
use super::super::screen::{Rows, Screen, Tone};
use super::super::words::{count, milliseconds, sentence};
use super::super::{Context, part};
use super::deadline;
use crate::http::views::{
    DrainView, HostTurnView, MaintenanceBody, MaintenanceView, PlanView, RollingBody, RollingView,
    SelectBody, TimeView, WaveView,
};

pub(in crate::cli) fn which(which: WhichHosts) -> (Vec<String>, Option<SelectBody>) {
    let WhichHosts { hosts, label, cluster, all } = which;
    let selects = all || !label.is_empty() || !cluster.is_empty();
    let select = SelectBody { labels: label.into_iter().collect(), clusters: cluster, all };
    (hosts, selects.then_some(select))
}

fn kind(kind: MaintenanceKind) -> &'static str {
    match kind {
        MaintenanceKind::Patch => "patch",
        MaintenanceKind::Drain => "drain",
        MaintenanceKind::Decommission => "decommission",
        MaintenanceKind::Rebalance => "rebalance",
    }
}

/// As the API has them; not approved.
pub(in crate::cli) fn terms(terms: RollingTerms) -> RollingBody {
    RollingBody {
        kind: Some(kind(terms.kind).to_owned()),
        hosts_at_once: terms.hosts_at_once,
        per: terms.per.into_iter().collect(),
        per_cluster: terms.per_cluster,
        live_out_per_host: terms.live_out_per_host,
        live_in_per_host: terms.live_in_per_host,
        per_owner: terms.per_owner,
        bandwidth: terms.bandwidth,
        uplinks: terms.uplink.into_iter().collect(),
        waves: terms.waves,
        max_failed_hosts: terms.max_failed_hosts,
        warn_after: terms.warn_after,
        pause_between: terms.pause_between,
        order: terms.order,
        no_hooks: terms.no_hooks,
        return_within: terms.return_within,
        within: terms.within,
        with_reboots: terms.with_reboots,
        approve: false,
        anyway: false,
    }
}

pub(super) async fn draft(context: &Context, draft: Draft) -> Result<(), Failed> {
    let deadline = draft.deadline.map(|text| deadline(&context.screen, &text)).transpose()?;
    let (hosts, select) = which(draft.which);
    let evens_out = draft.terms.kind == MaintenanceKind::Rebalance;
    let kind = kind(draft.terms.kind);
    let rolling = RollingBody { approve: draft.approve, anyway: draft.anyway, ..terms(draft.terms) };
    let body = MaintenanceBody {
        hosts,
        select,
        reason: draft.reason,
        deadline,
        emergency: None,
        rolling: Some(rolling),
        dry_run: draft.dry_run,
    };
    if draft.dry_run {
        let answer: Answer<PlanView> = context.client.post("/v1/maintenances", &body).await?;
        context.show(&answer, |screen, plan| {
            if evens_out {
                screen.line(plan.text.trim_end());
            } else {
                waves(screen, &plan.waves);
                servers(screen, plan);
                times(screen, &plan.times);
            }
            screen.line("\nNothing was stored. Without --dry-run this becomes a draft.");
        });
        return Ok(());
    }
    let answer: Answer<MaintenanceView> = context.client.post("/v1/maintenances", &body).await?;
    context.show(&answer, |screen, maintenance| {
        let number = &maintenance.number;
        let hosts = count(maintenance.hosts.len(), "host");
        if draft.approve {
            screen.line(format!("{number} begins: {kind} of {hosts}. Follow it: drover maintenance watch {number}"));
        } else {
            screen.line(format!("{number} is a draft: {kind} of {hosts}. Nothing is done yet."));
            screen.line(format!(
                "Look at it: drover maintenance show {number}. Let it begin: drover maintenance approve {number}"
            ));
        }
    });
    Ok(())
}

pub(super) async fn host(context: &Context, maintenance: &str, host: &str) -> Result<(), Failed> {
    let path = format!("/v1/maintenances/{}/hosts/{}", part(maintenance), part(host));
    let answer: Answer<HostTurnView> = context.client.get(&path, &[]).await?;
    context.show(&answer, turn);
    Ok(())
}

pub(in super::super) fn turn(screen: &Screen, turn: &HostTurnView) {
    let times = screen.times();
    let host = &turn.host;
    let at = |moment: Option<_>| moment.map(|at| times.both(at)).unwrap_or_default();
    screen.facts(&[
        ("host", host.host.to_string()),
        ("state", screen.paint(&state(host), Tone::of_state(&host.state))),
        ("why", host.why.clone().unwrap_or_default()),
        ("wave", host.wave.map(|wave| wave.to_string()).unwrap_or_default()),
        ("why this wave", turn.why_this_wave.as_ref().map(|why| why.text.clone()).unwrap_or_default()),
        ("would help", turn.would_help.clone().unwrap_or_default()),
        ("turn came", at(host.began_at)),
        ("turn over", at(host.ended_at)),
        ("servers left", host.servers_left.to_string()),
    ]);
    for hook in &turn.hooks {
        screen.line(format!(
            "\n{} (try {}), {}: {} after {}",
            hook.step,
            hook.attempt,
            times.both(hook.began_at),
            hook.outcome.text,
            milliseconds(hook.took_ms)
        ));
        if hook.dropped_bytes > 0 {
            screen.line(format!("  ({} bytes of what it wrote were left out)", hook.dropped_bytes));
        }
        for line in hook.output.lines() {
            screen.line(format!("  {line}"));
        }
    }
}

/// `hook maintain`, `hook maintain (try 2)`, `draining`.
fn state(host: &DrainView) -> String {
    match (&host.step, host.attempt) {
        (Some(step), Some(attempt)) if host.state == "working" => {
            if attempt > 1 {
                format!("{step} (try {attempt})")
            } else {
                step.clone()
            }
        }
        (Some(step), _) => format!("{} in {step}", host.state),
        (None, _) => host.state.clone(),
    }
}

pub(super) fn facts(screen: &Screen, maintenance: &MaintenanceView, rolling: &RollingView) {
    let times = screen.times();
    let mut progress = format!("{} of {} over", rolling.done, rolling.total);
    if rolling.in_work > 0 {
        progress.push_str(&format!(", {} in work", rolling.in_work));
    }
    if rolling.failed > 0 {
        progress.push_str(&format!(", {} failed", rolling.failed));
    }
    let forecast = rolling.forecast.map(|at| {
        let late = if at > maintenance.deadline { ", after the deadline" } else { "" };
        format!("at this pace over {}{late}", times.both(at))
    });
    screen.facts(&[
        ("kind", rolling.kind.clone()),
        ("hosts", progress),
        ("forecast", forecast.unwrap_or_default()),
        ("no host begins", rolling.halted.clone().unwrap_or_default()),
    ]);
}

pub(super) fn hosts(screen: &Screen, maintenance: &MaintenanceView, rolling: &RollingView) {
    let times = screen.times();
    let mut rows = Rows::new(&["host", "wave", "state", "servers left", "since", "why"]);
    for host in maintenance.hosts.iter().filter(|host| host.state != "waiting") {
        let since = host.ended_at.or(host.began_at).map(|at| times.ago(at)).unwrap_or_default();
        rows.push_toned(vec![
            (host.host.to_string(), Tone::Plain),
            (host.wave.map(|wave| wave.to_string()).unwrap_or_default(), Tone::Plain),
            (state(host), Tone::of_state(&host.state)),
            (host.servers_left.to_string(), Tone::Plain),
            (since, Tone::Plain),
            (host.why.clone().unwrap_or_default(), Tone::Plain),
        ]);
    }
    screen.table(&rows, "No host's turn has come yet.");
    for shift in &rolling.moves {
        let begun = if shift.begun_at.is_some() { " (begun)" } else { "" };
        screen.line(format!("{} of {} goes to {}{begun}", shift.name, shift.from, shift.to));
    }
    for uneven in &rolling.uneven {
        screen.line(screen.paint(uneven, Tone::Bad));
    }
    if !rolling.waves.is_empty() {
        screen.line("\nTo come:");
        waves(screen, &rolling.waves);
    }
}

/// What is done with the servers of hosts whose turn is yet to come.
pub(super) fn servers(screen: &Screen, plan: &PlanView) {
    let mut rows =
        Rows::new(&["wave", "server", "from", "method", "to", "begins after", "takes", "downtime", "why"]);
    for one in plan.servers.iter().filter(|one| one.wave.is_some()) {
        let tone = if one.decision == "blocked" { Tone::Bad } else { Tone::Plain };
        let not_live = one.why.iter().map(|why| format!("{}: {}", why.code, why.text));
        let place = Some(&one.place_why).filter(|why| !why.is_empty());
        let why: Vec<String> = not_live.chain(place.cloned()).collect();
        let span = |ms: Option<u64>| ms.map(milliseconds).unwrap_or_default();
        rows.push_toned(vec![
            (one.wave.map(|wave| wave.to_string()).unwrap_or_default(), Tone::Plain),
            (one.name.clone(), Tone::Plain),
            (one.from.to_string(), Tone::Plain),
            (one.decision.clone(), tone),
            (one.to.as_ref().map(ToString::to_string).unwrap_or_default(), Tone::Plain),
            (span(one.begins_after_ms), Tone::Plain),
            (span(one.expected_ms), Tone::Plain),
            (span(one.expected_downtime_ms), Tone::Plain),
            (why.join("; "), tone),
        ]);
    }
    screen.line("");
    screen.table(&rows, "No server is on these hosts.");
    if let Some(effort) = &plan.effort {
        screen.line(sentence(&effort.text));
    }
}

fn times(screen: &Screen, times: &[TimeView]) {
    let mut rows = Rows::new(&["server", "host", "would be rebooted", "why not"]);
    for time in times {
        let slot = time.slot.map(|slot| screen.times().both(slot.start)).unwrap_or_default();
        let why = [&time.why, &time.would_help].into_iter().flatten().cloned().collect::<Vec<_>>().join("; ");
        rows.push_toned(vec![
            (time.name.clone(), Tone::Plain),
            (time.from.to_string(), Tone::Plain),
            (slot, Tone::Plain),
            (why, Tone::Bad),
        ]);
    }
    if !times.is_empty() {
        screen.line("");
        screen.table(&rows, "");
    }
}

fn waves(screen: &Screen, waves: &[WaveView]) {
    let mut rows = Rows::new(&["wave", "hosts", "why"]);
    for wave in waves {
        rows.push_toned(vec![
            (wave.number.to_string(), Tone::Plain),
            (wave.hosts.join(", "), Tone::Plain),
            (wave.because.text.clone(), if wave.obstacle { Tone::Bad } else { Tone::Plain }),
        ]);
    }
    screen.table(&rows, "No host is left to come.");
}
