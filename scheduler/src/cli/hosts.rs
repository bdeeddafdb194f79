//! Hosts and servers.

use drover_policies::time::Span;
use serde_json::json;

use super::args::{Hosts, Servers};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::words::{bytes, count, span};
use super::{Context, part};
use crate::http::views::{CertificateView, HostDetail, HostExplanation, HostView, ServerView};

pub(super) async fn hosts(context: &Context, command: Hosts) -> Result<(), Failed> {
    let client = &context.client;
    match command {
        Hosts::List { cluster, standing } => {
            let mut query: Vec<Parameter> = Vec::new();
            query.extend(cluster.map(|cluster| ("cluster", cluster)));
            query.extend(standing.map(|standing| ("standing", standing)));
            let answer: Answer<Vec<HostView>> = client.list("/v1/hosts", &query, None).await?;
            context.show(&answer, |screen, hosts| {
                screen.table(
                    &host_rows(screen, hosts),
                    "No host is known: no agent has called yet. See `drover doctor`.",
                );
            });
        }
        Hosts::Show { host } => {
            let answer: Answer<HostDetail> = client.get(&format!("/v1/hosts/{}", part(&host)), &[]).await?;
            context.show(&answer, show_host);
        }
        Hosts::Explain { host } => {
            let path = format!("/v1/hosts/{}/explain", part(&host));
            let answer: Answer<HostExplanation> = client.get(&path, &[]).await?;
            context.show(&answer, explain_host);
        }
        Hosts::Cordon { host, reason } => {
            let path = format!("/v1/hosts/{}/cordon", part(&host));
            let answer: Answer<HostView> = client.post(&path, &json!({ "reason": reason })).await?;
            context.show(&answer, |screen, host| {
                screen.line(format!(
                    "{} takes no new servers. Let them come again with: drover hosts uncordon {}",
                    host.name, host.name
                ));
            });
        }
        Hosts::Uncordon { host } => {
            let path = format!("/v1/hosts/{}/uncordon", part(&host));
            context.ask(&path, |host: &HostView| format!("{} takes servers again.", host.name)).await?;
        }
    }
    Ok(())
}

fn explain_host(screen: &Screen, explained: &HostExplanation) {
    let host = &explained.host;
    screen.line(format!(
        "{} is {}, with {}.",
        host.name,
        standing(host),
        count(host.servers as usize, "server")
    ));
    if explained.why_no_servers.is_empty() {
        screen.line(screen.paint("It takes servers.", Tone::Good));
    }
    for why in &explained.why_no_servers {
        screen.line(screen.paint(&format!("No server goes there: {why}"), Tone::Busy));
    }
    for turn in &explained.turns {
        screen.line(format!("\nIn {}:", turn.maintenance));
        super::maintenances::turn(screen, &turn.turn);
        for why in &turn.why_not_yet {
            screen.line(screen.paint(&format!("Not yet: {why}"), Tone::Busy));
        }
    }
    super::maintenances::section(screen, "Leaving it:", &explained.leaving, Tone::Plain);
    super::maintenances::section(screen, "Coming to it:", &explained.coming, Tone::Plain);
}

fn host_rows(screen: &Screen, hosts: &[HostView]) -> Rows {
    let times = screen.times();
    let mut rows = Rows::new(&["host", "standing", "agent", "servers", "memory used", "vcpus", "cluster"]);
    for host in hosts {
        let silent = host.agent.silent;
        let agent = match silent {
            true => format!("silent {}", span(Span::between(host.agent.last_seen, times.now))),
            false => "ok".to_owned(),
        };
        rows.push_toned(vec![
            (host.name.to_string(), Tone::Plain),
            (standing(host), Tone::of_state(&host.standing.state)),
            (agent, if silent { Tone::Bad } else { Tone::Good }),
            (host.servers.to_string(), Tone::Plain),
            (format!("{} of {}", bytes(host.memory_used_bytes), bytes(host.memory_bytes)), Tone::Plain),
            (format!("{} on {}", host.vcpus_used, host.cpu_threads), Tone::Plain),
            (host.cluster.clone(), Tone::Faint),
        ]);
    }
    rows
}

fn standing(host: &HostView) -> String {
    match &host.standing.reason {
        Some(reason) => format!("{} ({reason})", host.standing.state),
        None => host.standing.state.clone(),
    }
}

/// `rack=r12, role=db`.
fn pairs<V: std::fmt::Display>(named: &std::collections::BTreeMap<String, V>) -> String {
    named.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn certificate(screen: &Screen, told: &CertificateView) -> String {
    let until = told.until.map_or_else(
        || "known by its digest".to_owned(),
        |until| format!("until {}", screen.times().both(until)),
    );
    let text = format!("{} ({}): {until}", told.subject, told.file);
    match &told.warning {
        Some(warning) => screen.paint(&format!("{text}; {warning}"), Tone::Bad),
        None => text,
    }
}

fn show_host(screen: &Screen, detail: &HostDetail) {
    let times = screen.times();
    let host = &detail.host;
    let agent = if host.agent.silent { "silent; last heard of" } else { "last heard of" };
    screen.facts(&[
        ("host", host.name.to_string()),
        ("standing", screen.state(&standing(host))),
        ("since", host.standing.since.map(|since| times.both(since)).unwrap_or_default()),
        ("maintenance", host.standing.maintenance.map(|id| id.to_string()).unwrap_or_default()),
        ("agent", format!("{agent} {}", times.ago(host.agent.last_seen))),
        ("version", host.agent.version.clone().unwrap_or_default()),
        (
            "certificates",
            host.agent.certificates.iter().map(|one| certificate(screen, one)).collect::<Vec<_>>().join("\n"),
        ),
        ("cluster", host.cluster.clone()),
        ("labels", pairs(&host.labels)),
        ("resources", pairs(&host.resources)),
        ("memory", format!("{} used of {}", bytes(host.memory_used_bytes), bytes(host.memory_bytes))),
        (
            "processors",
            format!(
                "{} vCPUs on {} threads, {} {}",
                host.vcpus_used, host.cpu_threads, host.arch, host.cpu_model
            ),
        ),
        ("storage", host.shared_storage.iter().cloned().collect::<Vec<_>>().join(", ")),
        ("copies", detail.helpers.copies().join("\n")),
        ("imports", detail.helpers.imports().join("\n")),
        ("libvirt", format!("{}, QEMU {}, {}", host.libvirt_version, host.qemu_version, detail.libvirt_uri)),
    ]);
    screen.line("");
    screen.table(&server_rows(&detail.on_it, false), "No server is seen on it.");
}

pub(super) async fn servers(context: &Context, command: Servers) -> Result<(), Failed> {
    match command {
        Servers::List { host, owner, listing } => {
            let mut query: Vec<Parameter> = Vec::new();
            query.extend(host.map(|host| ("host", host)));
            query.extend(owner.map(|owner| ("owner", owner)));
            let answer: Answer<Vec<ServerView>> =
                context.client.list("/v1/servers", &query, listing.limit).await?;
            context.show(&answer, |screen, servers| {
                screen.table(&server_rows(servers, true), "No server.");
            });
        }
        Servers::Show { server } => {
            let path = format!("/v1/servers/{}", part(&server));
            let answer: Answer<ServerView> = context.client.get(&path, &[]).await?;
            context.show(&answer, show_server);
        }
    }
    Ok(())
}

fn server_rows(servers: &[ServerView], with_host: bool) -> Rows {
    let host = with_host && servers.iter().any(|server| server.host.is_some());
    let mut header = vec!["server", "power", "owner", "memory", "vcpus"];
    if host {
        header.push("host");
    }
    header.push("migration");
    let mut rows = Rows::new(&header);
    for server in servers {
        let mut row = vec![
            (server.name.clone(), Tone::Plain),
            (server.power.clone(), Tone::of_state(&server.power)),
            (server.owner.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string), Tone::Plain),
            (bytes(server.memory_bytes), Tone::Plain),
            (server.vcpus.to_string(), Tone::Plain),
        ];
        if host {
            row.push((server.host.as_ref().map(ToString::to_string).unwrap_or_default(), Tone::Plain));
        }
        let migration = server.migration.as_ref();
        row.push((migration.map(super::migrations::brief).unwrap_or_default(), Tone::Busy));
        rows.push_toned(row);
    }
    rows
}

pub(super) fn show_server(screen: &Screen, server: &ServerView) {
    let times = screen.times();
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    let disks: Vec<String> = server
        .disks
        .iter()
        .map(|disk| {
            let size = disk.virtual_bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
            let source = disk.source.as_deref().map(|source| format!(" {source}")).unwrap_or_default();
            format!("{} ({}{size}){source}", disk.target, disk.reach)
        })
        .collect();
    screen.facts(&[
        ("server", server.name.clone()),
        ("id", server.id.to_string()),
        ("power", screen.state(&server.power)),
        ("host", server.host.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("owner", server.owner.as_ref().map_or_else(|| "nobody known".to_owned(), ToString::to_string)),
        ("labels", pairs(&server.labels)),
        ("resources", pairs(&server.resources)),
        ("size", format!("{}, {}", bytes(server.memory_bytes), count(server.vcpus as usize, "vCPU"))),
        (
            "live migration",
            server.live_migration.as_ref().map(|said| format!("{said} by its owner")).unwrap_or_default(),
        ),
        ("anti-affinity", list(&server.anti_affinity)),
        ("affinity", list(&server.affinity)),
        ("guest agent", server.guest_agent.clone()),
        ("disks", disks.join("\n")),
        ("seen", times.ago(server.observed_at)),
        ("migration", server.migration.as_ref().map(super::migrations::brief).unwrap_or_default()),
    ]);
}
