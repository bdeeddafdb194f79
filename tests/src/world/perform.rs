//! Lines of the script, done to the world.

use anyhow::{Context, Result, bail};
use axum::http::Method;
use drover_host_agent::hypervisor::State as DomainState;
use drover_host_agent::hypervisor::simulated::{Condition as Power, Fault as SimulatedFault};
use drover_policies::attempt::Phase;
use drover_policies::fleet::Blocker;
use drover_policies::ids::{HostName, OwnerId, ServerId};
use drover_policies::import::Import;
use drover_policies::maintenance::State as MaintenanceState;
use drover_policies::migration::Waiting;
use drover_policies::time::{Clock, Span};
use drover_scheduler::incoming;
use serde_json::{Value, json};
use uuid::Uuid;

use super::run::World;
use super::script::{
    Caller, Command, Condition, Fault, ImportVerb, Line, Link, MaintenanceVerb, MigrationVerb, Step, Touch,
    When,
};

impl World {
    /// Does a line.
    ///
    /// # Errors
    /// It can't be done, or what it expects does not hold.
    pub async fn perform(&mut self, line: &Line) -> Result<()> {
        let due = match line.when {
            When::Now => self.time.now(),
            When::At(since) => self.start + since.delta(),
            When::After(since) => self.time.now() + since.delta(),
        };
        if due < self.time.now() {
            bail!(
                "its time has passed already: it is {} after the beginning",
                Span::between(self.start, self.time.now())
            );
        }
        self.pass_until(due).await?;
        match &line.step {
            Step::Do(command) => {
                if !matches!(command, Command::Wait) {
                    self.story.command(self.control.clock.now(), &line.text);
                }
                self.command(command).await?;
                self.settle().await
            }
            Step::Until { condition, within } => self.until(condition, *within).await,
            Step::Expect { condition, holds } => {
                if self.holds(condition)? != *holds {
                    bail!("it is otherwise; the story so far:\n{}", self.story.text());
                }
                Ok(())
            }
        }
    }

    async fn until(&mut self, condition: &Condition, within: Span) -> Result<()> {
        let limit = self.time.now() + within.delta();
        while !self.holds(condition)? {
            if self.time.now() >= limit {
                bail!("it did not come about within {within}; the story so far:\n{}", self.story.text());
            }
            self.tick(limit).await?;
        }
        Ok(())
    }

    async fn command(&mut self, command: &Command) -> Result<()> {
        match command {
            Command::Wait => {}
            Command::Drain { hosts, reason, deadline } => {
                let mut body = json!({ "hosts": hosts, "reason": reason });
                if let Some(deadline) = deadline {
                    body["deadline"] = json!(deadline.to_string());
                }
                self.post(&Caller::Operator, "/v1/maintenances", &body).await?;
            }
            Command::Draft { body } => self.post(&Caller::Operator, "/v1/maintenances", body).await?,
            Command::Maintenance { verb, number } => {
                let (verb, body) = match verb {
                    MaintenanceVerb::Pause => ("pause".to_owned(), Value::Null),
                    MaintenanceVerb::Resume => ("resume".to_owned(), Value::Null),
                    MaintenanceVerb::Cancel => ("cancel".to_owned(), Value::Null),
                    MaintenanceVerb::Approve => ("approve".to_owned(), json!({})),
                    MaintenanceVerb::RetryHost(host) => (format!("hosts/{host}/retry"), Value::Null),
                    MaintenanceVerb::SkipHost(host) => (format!("hosts/{host}/skip"), Value::Null),
                    MaintenanceVerb::Emergency(why) => ("emergency".to_owned(), json!({ "why": why })),
                };
                self.post(&Caller::Operator, &format!("/v1/maintenances/MT-{number}/{verb}"), &body).await?;
            }
            Command::Migration { by, verb, server } => self.ask(by, verb, server).await?,
            Command::Drill { by, server, starts_in, duration } => {
                let body = json!({ "server": server, "starts_in": starts_in, "duration": duration });
                self.post(by, "/v1/drills", &body).await?;
            }
            Command::Import { server, to, size, start } => {
                let disk = json!({
                    "target": "vda",
                    "source": format!("/srv/incoming/{server}.vmdk"),
                    "path": format!("/var/lib/libvirt/images/{server}.qcow2"),
                    "size_mib": size >> 20,
                });
                let import = json!({ "name": server, "memory_mib": 2048, "vcpus": 2 });
                let body = json!({ "import": import, "disk": [disk], "host": to, "start": start });
                self.post(&Caller::Operator, "/v1/imports", &body).await?;
            }
            Command::ChangeImport { verb, server } => {
                let (verb, body) = match verb {
                    ImportVerb::Cancel => ("cancel", json!({})),
                    ImportVerb::Retry => ("retry", json!({})),
                    ImportVerb::RetryAnew => ("retry", json!({ "anew": true })),
                };
                self.post(&Caller::Operator, &format!("/v1/imports/{server}/{verb}"), &body).await?;
            }
            Command::Cordon { host, reason } => {
                let body = json!({ "reason": reason });
                self.post(&Caller::Operator, &format!("/v1/hosts/{host}/cordon"), &body).await?;
            }
            Command::Uncordon { host } => {
                self.post(&Caller::Operator, &format!("/v1/hosts/{host}/uncordon"), &Value::Null).await?;
            }
            Command::Window { owner, cron, duration, timezone } => {
                let opens = json!({ "cron": cron, "duration": duration.to_string(), "timezone": timezone });
                let path = format!("/v1/windows/{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, cron.as_bytes()));
                self.call(&Caller::Owner(owner.clone()), Method::PUT, &path, &json!({ "opens": opens }))
                    .await?;
            }
            Command::Freeze { owner, day, name } => {
                let body = json!({ "name": name, "days": { "from": day, "to": day, "timezone": "UTC" } });
                let path = format!("/v1/freezes/{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()));
                self.call(&Caller::Owner(owner.clone()), Method::PUT, &path, &body).await?;
            }
            Command::Limit { owner, most } => {
                let owner_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, owner.as_str().as_bytes());
                let body = json!({ "max_simultaneous": most });
                self.call(
                    &Caller::Owner(owner.clone()),
                    Method::PUT,
                    &format!("/v1/limits/{owner_id}"),
                    &body,
                )
                .await?;
            }
            Command::Check { owner, name, check, port, path } => {
                let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{owner}/{name}").as_bytes());
                let body = json!({ "name": name, "check": check, "port": port, "path": path });
                let path = format!("/v1/checks/{id}");
                self.call(&Caller::Owner(owner.clone()), Method::PUT, &path, &body).await?;
            }
            Command::Blueprint { by, server, blueprint } => {
                let path = format!("/v1/servers/{server}/blueprint");
                match blueprint {
                    Some(blueprint) => self.call(by, Method::PUT, &path, &json!(blueprint)).await?,
                    None => self.call(by, Method::DELETE, &path, &json!({})).await?,
                };
            }
            Command::Touch { touch, server } => self.touch(*touch, server)?,
            Command::Hook { host, hook, script } => {
                // One that is not in fleet.toml is named.
                self.node(host)?;
                self.fleet.set_hook(host, hook.clone(), script.clone());
            }
            Command::Fault(fault) => self.fault(fault)?,
            Command::Guest { verb, server } => self.guest_asks(*verb, server)?,
            Command::Answers { owner, server, text } => self.answer_mail(owner, server, text).await?,
            Command::Mail { up } => self.mailbox.set_up(*up)?,
            Command::ClockJump { by } => self.control.clock.jump(*by),
            Command::AgentClock { host, by } => self.node(host)?.clock.jump(*by),
            Command::KillAgent { .. }
            | Command::StartAgent { .. }
            | Command::KillScheduler
            | Command::StartScheduler
            | Command::Cut(_)
            | Command::Heal(_)
            | Command::Daemon { .. }
            | Command::CrashHost { .. }
            | Command::StartHost { .. } => self.machinery(command).await?,
            Command::Appear { .. }
            | Command::Carry { .. }
            | Command::Unblock { .. }
            | Command::Block { .. } => {
                self.servers_change(command)?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, by: &Caller, verb: &MigrationVerb, server: &str) -> Result<()> {
        if matches!(verb, MigrationVerb::Now) {
            return self.post(by, &format!("/v1/servers/{server}/migrate-now"), &json!({})).await;
        }
        if let MigrationVerb::At(since) = verb {
            let body = json!({ "at": self.start + since.delta() });
            return self.post(by, &format!("/v1/servers/{server}/migrate"), &body).await;
        }
        let named = match server.strip_prefix("DR-") {
            Some(number) => number.to_owned(),
            None => {
                let id = self.file.server(server)?;
                let latest = self.known.migration_of(id);
                latest.with_context(|| format!("{server} has no migration"))?.number.to_string()
            }
        };
        let path = format!("/v1/migrations/{named}/{}", verb.name());
        let body = match verb {
            MigrationVerb::Reschedule(since) => json!({ "start": self.start + since.delta() }),
            MigrationVerb::Revert(Some(since)) => json!({ "at": self.start + since.delta() }),
            MigrationVerb::Revert(None) => json!({}),
            MigrationVerb::RevertLosing => json!({ "accept_data_loss": true }),
            MigrationVerb::Abort
            | MigrationVerb::Retry
            | MigrationVerb::Force
            | MigrationVerb::Approve
            | MigrationVerb::Decline
            | MigrationVerb::Now
            | MigrationVerb::At(_)
            | MigrationVerb::Cancel
            | MigrationVerb::Confirm
            | MigrationVerb::Copy(_) => Value::Null,
        };
        self.post(by, &path, &body).await
    }

    /// An owner answers the last mail about a server, as his mail program would; the mail server pipes it to the scheduler.
    async fn answer_mail(&mut self, owner: &OwnerId, server: &str, text: &str) -> Result<()> {
        let now = self.control.clock.now();
        let Some(app) = self.control.app.clone() else {
            self.story.answer(now, "no answer: the scheduler does not run");
            return Ok(());
        };
        let contact = self.file.owners.iter().find(|contact| contact.owner == *owner);
        let from = contact.and_then(|contact| contact.mail.first()).context("he has no mail address")?;
        let number = self
            .known
            .migration_of(self.file.server(server)?)
            .map(drover_policies::migration::Migration::ticket_number)
            .with_context(|| format!("{server} has no migration"))?;
        let raw = self.mailbox.answer_to(&number, from, text, now)?;
        let handled = incoming::handle(&app, self.control.answering(), raw.into_bytes()).await?;
        self.story.answer(now, &format!("the mail is {handled}"));
        if self.control.take_note_of_commits(&app) == super::control::Turn::Committed {
            self.after_commit().await?;
        }
        Ok(())
    }

    async fn post(&mut self, by: &Caller, path: &str, body: &Value) -> Result<()> {
        self.call(by, Method::POST, path, body).await
    }

    async fn call(&mut self, by: &Caller, method: Method, path: &str, body: &Value) -> Result<()> {
        let now = self.control.clock.now();
        let Some(app) = self.control.app.clone() else {
            self.story.answer(now, "no answer: the scheduler does not run");
            return Ok(());
        };
        let answer = self.console.call(&app, by, method, path, body).await?;
        if let Some(refusal) = answer.refusal() {
            self.story.answer(now, &refusal);
        }
        if self.control.take_note_of_commits(&app) == super::control::Turn::Committed {
            self.after_commit().await?;
        }
        Ok(())
    }

    fn touch(&mut self, touch: Touch, name: &str) -> Result<()> {
        let server = self.file.server(name)?;
        match touch {
            Touch::Stop => self.fleet.owner_stops(server),
            Touch::Start => self.fleet.owner_starts(server),
            Touch::Pause => self.fleet.owner_pauses(server),
            Touch::Delete => {
                self.fleet.owner_deletes(server);
                if let Some(watched) = self.watcher.server_mut(server) {
                    watched.exists = false;
                }
            }
        }
        Ok(())
    }

    fn fault(&self, fault: &Fault) -> Result<()> {
        self.fleet.fault(match fault {
            Fault::Define(host) => SimulatedFault::DefineFails { host: host.clone() },
            Fault::Start(host) => SimulatedFault::StartFails { host: host.clone() },
            Fault::Disk(host) => SimulatedFault::DiskErrorOnBoot { host: host.clone() },
            Fault::Answer(host, call) => SimulatedFault::AnswerLost { host: host.clone(), call: *call },
            Fault::Receiver(server, percent) => {
                SimulatedFault::ReceiverDies { server: self.file.server(server)?, percent: *percent }
            }
            Fault::ImportInTheWay(host, text) => {
                SimulatedFault::ImportInTheWay { host: host.clone(), text: text.clone() }
            }
            Fault::Conversion(host) => SimulatedFault::ConversionFails { host: host.clone() },
            Fault::Tail(server) => SimulatedFault::TailFails { server: self.file.server(server)? },
            Fault::Refused(server, class) => SimulatedFault::MigrationRefused {
                server: self.file.server(server)?,
                class: *class,
                text: "operation failed: as the script says".to_owned(),
            },
        });
        Ok(())
    }

    fn node(&mut self, host: &HostName) -> Result<&mut super::node::Node> {
        self.nodes.get_mut(host).with_context(|| format!("no host {host} in fleet.toml"))
    }

    async fn machinery(&mut self, command: &Command) -> Result<()> {
        match command {
            Command::KillAgent { host, at: None } => self.node(host)?.kill(),
            Command::KillAgent { host, at: Some((call, moment)) } => {
                self.fleet.kill_agent_at_call(host, *call, *moment);
            }
            Command::StartAgent { host } => self.node(host)?.start()?,
            Command::KillScheduler => self.control.kill().await,
            Command::StartScheduler => self.control.start().await?,
            Command::Cut(Link::Hosts(a, b)) => self.fleet.cut(a, b),
            Command::Heal(Link::Hosts(a, b)) => self.fleet.heal(a, b),
            Command::Cut(Link::Scheduler(host)) => self.node(host)?.reaches_scheduler = false,
            Command::Heal(Link::Scheduler(host)) => self.node(host)?.reaches_scheduler = true,
            Command::Daemon { host, up } => {
                self.fleet.set_daemon(host, if *up { Power::Up } else { Power::Down });
            }
            Command::CrashHost { host } => {
                self.node(host)?.kill();
                self.fleet.set_power(host, Power::Down);
            }
            Command::StartHost { host } => {
                self.fleet.set_power(host, Power::Up);
                self.node(host)?.start()?;
            }
            other => bail!("{other:?} is nothing that is done to a machine"),
        }
        Ok(())
    }

    fn servers_change(&mut self, command: &Command) -> Result<()> {
        match command {
            Command::Appear { server, host } => {
                let placed = self.file.servers.get(server).with_context(|| format!("no server {server}"))?;
                self.fleet.add_server(host, placed.facts.clone(), placed.guest.clone());
                if let Some(watched) = self.watcher.server_mut(placed.facts.id) {
                    watched.exists = true;
                }
            }
            Command::Carry { server, host } => {
                let placed = self.file.servers.get(server).with_context(|| format!("no server {server}"))?;
                self.fleet.owner_deletes(placed.facts.id);
                self.fleet.add_server(host, placed.facts.clone(), placed.guest.clone());
                self.watcher.carried(placed.facts.id);
            }
            Command::Unblock { server } => {
                self.fleet.change_server(self.file.server(server)?, |facts| facts.blockers.clear());
            }
            Command::Block { server } => {
                self.fleet.change_server(self.file.server(server)?, |facts| {
                    facts.blockers.push(Blocker::BlockJob { disk: "vda".to_owned() });
                });
            }
            other => bail!("{other:?} is nothing that is done to a server"),
        }
        Ok(())
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// It names what is not there.
    pub fn holds(&self, condition: &Condition) -> Result<bool> {
        let migration =
            |server: &str| -> Result<_> { Ok(self.known.migration_of(self.file.server(server)?)) };
        Ok(match condition {
            Condition::Drained(host) => self.standing(host) == "drained",
            Condition::Standing(host, standing) => self.standing(host) == *standing,
            Condition::Completed(number) => {
                self.known.maintenances.get(number).is_some_and(|maintenance| {
                    matches!(maintenance.state, MaintenanceState::Completed { .. })
                })
            }
            Condition::Stands(number, state) => self
                .known
                .maintenances
                .get(number)
                .is_some_and(|maintenance| maintenance.state.name() == state),
            Condition::Stage(number, host, stage) => {
                let known = self.known.maintenances.get(number).and_then(|known| known.hosts.get(host));
                known.is_some_and(|known| known.name() == stage)
            }
            Condition::State(server, state) => migration(server)?.is_some_and(|m| m.state.name() == state),
            Condition::Method(server, method) => {
                migration(server)?.is_some_and(|m| m.method.to_string() == *method)
            }
            Condition::Waits(server, what) => migration(server)?
                .and_then(|m| m.state.waits_for())
                .is_some_and(|waits| waiting(waits) == what),
            Condition::Phase(server, phase) => self.phase(server)?.is_some_and(|at| at.to_string() == *phase),
            Condition::Sent(server, percent) => {
                self.progress(server)?.is_some_and(|at| at.percent() >= *percent)
            }
            Condition::Running(server, host) => self.seen(server, host)? == Some(DomainState::Running),
            Condition::Off(server, host) => self.seen(server, host)? == Some(DomainState::Off),
            Condition::Nowhere(server) => self.fleet.places(self.file.server(server)?).is_empty(),
            Condition::Copy(server, host) => self.fleet.holds_replica(host, self.file.server(server)?),
            Condition::Looks(server, memory, vcpus, bridge) => {
                let facts = self.fleet.facts(self.file.server(server)?);
                facts.first().is_some_and(|(_, facts)| {
                    (facts.memory_bytes, facts.vcpus) == (*memory, *vcpus)
                        && facts.plugs.iter().flatten().any(|plug| plug.name() == bridge)
                })
            }
            Condition::Disks(server, host) => self.fleet.has_disks(host, self.file.server(server)?),
            Condition::Told(server, kind) => {
                let number = migration(server)?.map(|m| m.ticket_number()).unwrap_or_default();
                self.mailbox.mails.iter().any(|mail| mail.ticket == number && mail.kind == *kind)
            }
            Condition::Shown(server, what) => match self.document(server) {
                Ok(Ok(document)) => match document.events.first() {
                    Some(event) => format!("{:?}", event.event_status) == *what,
                    None => what == "nothing",
                },
                // It is off, or is told nothing at present.
                Ok(Err(_)) | Err(_) => false,
            },
            Condition::Import(server, what) => {
                let named = |import: &&Import| import.description.name.as_str() == server;
                self.known.imports.iter().rfind(named).is_some_and(|import| {
                    let step = import.state.heard().and_then(|heard| heard.step);
                    import.state.name() == what || step.is_some_and(|step| step.name() == what)
                })
            }
            Condition::Quiet => {
                let busy =
                    self.nodes.values().any(|node| node.agent.as_ref().is_some_and(|agent| agent.is_busy()));
                !busy && self.known.migrations.iter().all(|migration| !migration.is_moving())
            }
        })
    }

    fn standing(&self, host: &HostName) -> String {
        self.known.standings.get(host).map(ToString::to_string).unwrap_or_default()
    }

    fn seen(&self, server: &str, host: &HostName) -> Result<Option<DomainState>> {
        let id: ServerId = self.file.server(server)?;
        Ok(self.fleet.places(id).into_iter().find(|place| place.host == *host).map(|place| place.state))
    }

    fn progress(&self, server: &str) -> Result<Option<drover_policies::attempt::Progress>> {
        let migration = self.known.migration_of(self.file.server(server)?);
        let operation = migration.and_then(|migration| migration.state.operation());
        let app = self.control.app.as_ref();
        Ok(operation.zip(app).and_then(|(operation, app)| app.progress(operation)))
    }

    fn phase(&self, server: &str) -> Result<Option<Phase>> {
        Ok(self.progress(server)?.map(|progress| progress.phase))
    }
}

fn waiting(waits: &Waiting) -> &'static str {
    match waits {
        Waiting::Nothing => "nothing",
        Waiting::Turn { .. } => "turn",
        Waiting::BackOff { .. } => "back-off",
        Waiting::Place { .. } => "place",
        Waiting::Blocked { .. } => "blocked",
        Waiting::Owner { .. } => "owner",
        Waiting::Slot { .. } => "slot",
        Waiting::Replica { .. } => "replica",
        Waiting::Agent { .. } => "agent",
        Waiting::Paused => "paused",
    }
}
