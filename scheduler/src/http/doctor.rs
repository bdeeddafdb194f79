//! What is wrong with this installation, and what to do about it. For operators only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use drover_notifier::deliver::Channel;
use drover_notifier::rt::Rt;
use drover_policies::fleet::{Ending, Fleet, Host};
use drover_policies::ids::OwnerId;
use drover_policies::time::{Instant, Span};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::problem::Problem;
use super::views::{Finding, Findings};
use crate::app::App;
use crate::auth::Operator;
use crate::commands::store_problem;
use crate::incoming::{Spool, spool_of};
use crate::store::Undelivered;

/// How many names a finding lists.
const NAMED: usize = 5;

/// What an agent's clock may be ahead: more, and its facts look younger than they are.
const CLOCK_AHEAD: Span = Span::seconds(5);

/// How long Request Tracker may take to answer, for somebody waits for the findings.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(examine))
}

/// Examine the installation
///
/// Agents, storage, contacts, mail. Each finding says what to do.
#[utoipa::path(get, path = "/v1/doctor", tag = "installation", security(("token" = [])),
    responses((status = 200, description = "What was found", body = Findings), Problems))]
async fn examine(State(app): State<Arc<App>>, _: Operator) -> Result<Json<Findings>, Problem> {
    findings(&app).await.map(Json)
}

/// Everything that was looked at.
///
/// # Errors
/// The database failed.
pub(crate) async fn findings(app: &App) -> Result<Findings, Problem> {
    let now = app.clock.now();
    let fleet = app.fleet();
    let silent_after = app.policies.general().agents.silent_after;
    let mut items = vec![agents(&fleet, now, silent_after), clocks(&fleet, app, now).await?];
    items.push(certificates(&fleet, now));
    items.extend(clusters(&fleet));
    items.push(ownerless(&fleet));
    items.push(contacts(&fleet, app).await?);
    items.push(mail(app));
    items.extend(tracker(app).await);
    items.extend(undelivered(app).await?);
    items.extend(returned(app, now).await?);
    items.extend(answers(app));
    items.extend(disabled_webhooks(app).await?);
    items.push(overdue(app, now).await?);
    Ok(Findings { now, version: env!("CARGO_PKG_VERSION").to_owned(), items })
}

fn named<T: ToString>(things: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    match all.len() {
        0..=NAMED => all.join(", "),
        more => format!("{} and {} more", all[..NAMED].join(", "), more - NAMED),
    }
}

fn agents(fleet: &Fleet, now: Instant, silent_after: Span) -> Finding {
    if fleet.hosts.is_empty() {
        return Finding::problem(
            "agents",
            "no agent has ever called, so no host is known",
            "install drover-agent on each hypervisor, with a token from `drover tokens create agent HOST`",
        );
    }
    let silent: Vec<&Host> =
        fleet.hosts.values().filter(|host| now - host.observed_at > silent_after.delta()).collect();
    if silent.is_empty() {
        return Finding::ok("agents", format!("{} agents report", fleet.hosts.len()));
    }
    let told = silent
        .iter()
        .map(|host| format!("{} (for {})", host.name, Span::between(host.observed_at, now).rounded()));
    Finding::problem(
        "agents",
        format!("silent: {}; nothing is begun from or to these hosts", named(told)),
        "on the host: systemctl status drover-agent, journalctl -u drover-agent; then the network to this scheduler",
    )
}

/// An agent that dates its facts in the future has a clock that is ahead. One that is behind can't be told from one that reads late.
async fn clocks(fleet: &Fleet, app: &App, now: Instant) -> Result<Finding, Problem> {
    let hosts = app.store.hosts().await.map_err(|error| store_problem(&error))?;
    let ahead: Vec<String> = hosts
        .iter()
        .filter_map(|host| {
            let (read, seen) = (host.inventory.as_ref()?.observed_at, host.seen_at.unwrap_or(now));
            (read - seen > CLOCK_AHEAD.delta())
                .then(|| format!("{} (by {})", host.name, Span::between(seen, read).rounded()))
        })
        .collect();
    Ok(if ahead.is_empty() {
        Finding::ok(
            "clocks",
            format!("no agent's clock is ahead of this scheduler's ({} looked at)", fleet.hosts.len()),
        )
    } else {
        Finding::warning(
            "clocks",
            format!("clocks are ahead: {}", named(ahead)),
            "let all hosts and the scheduler take their time from the same servers (chrony, NTP)",
        )
    })
}

/// Certificates that are over, or will be within a month.
fn certificates(fleet: &Fleet, now: Instant) -> Finding {
    let mut ending = Vec::new();
    for host in fleet.hosts.values() {
        for certificate in host.facts.agent.iter().flat_map(|agent| &agent.certificates) {
            if let Some(end) = certificate.ending(now) {
                ending.push((end, format!("{} on {} {end}", certificate.file.display(), host.name)));
            }
        }
    }
    let told = named(ending.iter().map(|(_, text)| text));
    let remedy = "put another one in its place, then let libvirt read it: virt-admin server-update-tls virtproxyd, or libvirtd";
    if ending.is_empty() {
        Finding::ok("certificates", "no certificate of a host ends within a month")
    } else if ending.iter().any(|(end, _)| matches!(end, Ending::Over(_))) {
        Finding::problem("certificates", told, remedy)
    } else {
        Finding::warning("certificates", told, remedy)
    }
}

/// Every cluster: whether its hosts can take each other's servers at all.
fn clusters(fleet: &Fleet) -> Vec<Finding> {
    let mut clusters: BTreeMap<&str, Vec<&Host>> = BTreeMap::new();
    for host in fleet.hosts.values() {
        clusters.entry(&host.facts.cluster).or_default().push(host);
    }
    clusters.iter().map(|(name, hosts)| cluster(name, hosts)).collect()
}

fn cluster(name: &str, hosts: &[&Host]) -> Finding {
    if let [only] = hosts {
        return Finding::warning(
            "clusters",
            format!("{} is alone in cluster {name}, so its servers can go nowhere", only.name),
            "set the same `cluster` in the agents' configurations of hosts that may take each other's servers",
        );
    }
    let lonely: Vec<&Host> = hosts
        .iter()
        .copied()
        .filter(|host| hosts.iter().all(|other| other.name == host.name || !take_each_others(host, other)))
        .collect();
    if lonely.is_empty() {
        return Finding::ok(
            "clusters",
            format!(
                "the {} hosts of cluster {name} have storage in common, or copy local disks to each other",
                hosts.len()
            ),
        );
    }
    Finding::problem(
        "clusters",
        format!(
            "neither storage in common with any other host of cluster {name} nor a way to copy local disks: {}",
            named(lonely.iter().map(|host| &host.name))
        ),
        "attach the shared storage there, and name it alike in every agent's configuration; or let its agent take copies of local disks ([replication])",
    )
}

/// Whether servers may go from one of these hosts to the other at all: both reach their disks, or these are copied.
fn take_each_others(host: &Host, other: &Host) -> bool {
    let copies = |host: &Host| host.facts.replication.is_some();
    !shared(host).is_disjoint(&shared(other)) || (copies(host) && copies(other))
}

fn shared(host: &Host) -> BTreeSet<&str> {
    host.facts.shared_storage.iter().map(String::as_str).collect()
}

fn ownerless(fleet: &Fleet) -> Finding {
    let servers = fleet.servers();
    let without: Vec<&str> = servers
        .values()
        .filter(|server| server.facts.owner.is_none())
        .map(|server| server.facts.name.as_str())
        .collect();
    if without.is_empty() {
        return Finding::ok("owners", format!("each of the {} servers has an owner", servers.len()));
    }
    Finding::warning(
        "owners",
        format!(
            "{} servers have no owner, so operators get their tickets: {}",
            without.len(),
            named(without)
        ),
        "set the owner in the domain's metadata, or import a list of owners at the agent",
    )
}

async fn contacts(fleet: &Fleet, app: &App) -> Result<Finding, Problem> {
    let contacts = app.store.owners().await.map_err(|error| store_problem(&error))?;
    let reached: BTreeSet<&OwnerId> =
        contacts.iter().filter(|contact| !contact.mail.is_empty()).map(|contact| &contact.owner).collect();
    let servers = fleet.servers();
    let without: BTreeSet<&OwnerId> = servers
        .values()
        .filter_map(|server| server.facts.owner.as_ref())
        .filter(|owner| !reached.contains(owner))
        .collect();
    Ok(if without.is_empty() {
        Finding::ok("contacts", "every owner of a server has a mail address")
    } else {
        Finding::warning(
            "contacts",
            format!("without a mail address, so they will not hear of it: {}", named(without)),
            "drover owners set OWNER --mail ADDRESS --zone ZONE",
        )
    })
}

fn mail(app: &App) -> Finding {
    let operators = &app.config.mail.operators;
    match app.config.channel() {
        Channel::Maildir(maildir) => Finding::warning(
            "mail",
            format!("mails are written into the folder {} and sent to nobody", maildir.path.display()),
            "set mail.channel to an SMTP server in the scheduler's configuration, unless that is what you want",
        ),
        Channel::Smtp(_) if operators.is_empty() => Finding::warning(
            "mail",
            "mails go by SMTP, but no operator's address is set",
            "set mail.operators in the scheduler's configuration: they get the tickets of servers that have no owner",
        ),
        Channel::Smtp(_) => Finding::ok("mail", "mails go by SMTP"),
    }
}

/// Every channel that has something it could not deliver.
/// Whether Request Tracker is there, knows us, and lets us create tickets.
async fn tracker(app: &App) -> Option<Finding> {
    const WAITS: &str = "messages for it wait and are tried again; look whether it runs, and at rt in the scheduler's configuration";
    let config = app.config.rt.as_ref()?;
    let looked = async { Rt::new(config.clone())?.look().await };
    Some(match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(seen)) => Finding::ok(
            "request tracker",
            format!("tickets are kept in queue {:?} too (Request Tracker {})", config.queue, seen.version),
        ),
        Ok(Err(error)) => Finding::problem("request tracker", crate::chain(&error), WAITS),
        Err(_) => Finding::problem(
            "request tracker",
            format!("Request Tracker at {} does not answer", config.url),
            WAITS,
        ),
    })
}

async fn undelivered(app: &App) -> Result<Vec<Finding>, Problem> {
    let counted = app.store.undelivered().await.map_err(|error| store_problem(&error))?;
    let on_their_way: u64 = counted.iter().map(|channel| channel.pending).sum();
    let mut findings = Vec::new();
    for Undelivered { channel, pending: _, retrying, failed } in &counted {
        if *failed > 0 {
            findings.push(Finding::problem(
                "notices",
                format!("{failed} notices could not be delivered on channel {channel}"),
                format!("drover dead-letters list says why; mend that, then drover dead-letters replay --channel {channel}"),
            ));
        }
        if *retrying > 0 {
            findings.push(Finding::warning(
                "notices",
                format!(
                    "{retrying} notices have failed at least once on channel {channel} and are tried again"
                ),
                "drover tickets show DR-… says what went wrong; mend the address or the channel's other end",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "notices",
            format!("no notice is undeliverable ({on_their_way} on their way)"),
        ));
    }
    Ok(findings)
}

/// Addresses that mail servers have said to be wrong, since a month.
async fn returned(app: &App, now: Instant) -> Result<Option<Finding>, Problem> {
    let since = now - Span::days(30).delta();
    let addresses = app.store.bounced_since(since).await.map_err(|error| store_problem(&error))?;
    Ok((!addresses.is_empty()).then(|| {
        Finding::warning(
            "returned mails",
            format!("mails came back from {}", named(addresses)),
            "drover tickets show DR-… says why; mend the address: drover owners set OWNER --mail ADDRESS",
        )
    }))
}

/// Whether answers to mails are taken in.
fn answers(app: &App) -> Option<Finding> {
    let incoming = app.config.mail.incoming.as_ref()?;
    let folder = spool_of(&app.config.data_dir);
    let failed = Spool::open(&folder).map(|spool| spool.failures());
    Some(match failed {
        Ok(0) => Finding::ok("answers", format!("answers by mail are taken in at {}", incoming.address)),
        Ok(failed) => Finding::warning(
            "answers",
            format!("{failed} incoming mails could not be read"),
            format!("they are in {}; remove them when you have looked", folder.join("failed").display()),
        ),
        Err(error) => Finding::problem(
            "answers",
            format!("the spool {} can't be opened: {error}", folder.display()),
            "make it writable for the scheduler's user",
        ),
    })
}

/// Owners' webhooks that nothing is sent to any more.
async fn disabled_webhooks(app: &App) -> Result<Option<Finding>, Problem> {
    let webhooks = app.store.webhooks(None).await.map_err(|error| store_problem(&error))?;
    let disabled: Vec<String> = webhooks
        .iter()
        .filter_map(|webhook| {
            Some(format!("{} of {}, {}", webhook.id, webhook.owner, webhook.disabled.as_ref()?.1))
        })
        .collect();
    Ok((!disabled.is_empty()).then(|| {
        Finding::warning(
            "webhooks",
            format!("a webhook is disabled: {}", named(disabled)),
            "tell its owner: drover webhooks remove, and add another",
        )
    }))
}

async fn overdue(app: &App, now: Instant) -> Result<Finding, Problem> {
    let open = app.store.maintenances_open().await.map_err(|error| store_problem(&error))?;
    let overdue: Vec<String> = open
        .iter()
        .filter(|maintenance| maintenance.value.is_overdue(now))
        .map(|maintenance| format!("MT-{}", maintenance.value.number))
        .collect();
    let halted: Vec<String> = open
        .iter()
        .filter(|maintenance| maintenance.value.is_halted())
        .map(|maintenance| format!("MT-{}", maintenance.value.number))
        .collect();
    Ok(if !halted.is_empty() {
        Finding::problem(
            "maintenances",
            format!("no further host begins, as hosts have failed: {}", named(&halted)),
            "drover maintenance show MT-… names them; then retry-host, skip-host, or resume in spite of them",
        )
    } else if overdue.is_empty() {
        Finding::ok("maintenances", format!("{} open, none overdue", open.len()))
    } else {
        Finding::problem(
            "maintenances",
            format!("past their deadlines: {}", named(&overdue)),
            "drover maintenance show MT-… names what waits for what; reschedule with the owners, or declare an emergency",
        )
    })
}
