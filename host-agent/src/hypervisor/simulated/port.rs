//! The agent's port to the simulated fleet.

use std::panic::resume_unwind;
use std::sync::Arc;

use drover_agent_api::{AutoConverge, Destination, Left, LiveMigrate, LiveReplica, RebootMigrate, Tuning};
use drover_policies::attempt::FailureClass;
use drover_policies::checks::{Address, Answered, Check, Hardware, What};
use drover_policies::fleet::{Autostart, Definition, Reach, ServerFacts};
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::time::Instant;

use super::super::hooks::Hooks;
use super::super::importing::Importer;
use super::super::replication::Replication;
use super::super::{
    Answer, Domains, Figures, Hypervisor, MigrationStatus, Observed, Probe, Refusal, RefusalKind, ShutdownBy,
    Sighting, Signs, State, Wake, Waker,
};
use super::definition::Written;
use super::life::no_server;
use super::precopy::{Stage, Transfer};
use super::{
    AgentKilled, Console, Domain, Fault, Guest, Moment, Serves, SimulatedFleet, World, agent_of,
    no_connection,
};

/// One agent's view, from one start to its end.
pub(super) struct Port {
    fleet: Arc<SimulatedFleet>,
    session: u64,
    here: Daemon,
}

/// One daemon as one host's agent reaches it.
struct Daemon {
    fleet: Arc<SimulatedFleet>,
    /// Whose agent calls.
    from: HostName,
    /// Whose daemon is called.
    host: HostName,
}

fn failed(class: FailureClass, text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed(class), text)
}

impl Port {
    pub(super) fn new(fleet: Arc<SimulatedFleet>, host: HostName, session: u64) -> Self {
        let here = Daemon { fleet: Arc::clone(&fleet), from: host.clone(), host };
        Self { fleet, session, here }
    }

    pub(super) fn host(&self) -> &HostName {
        &self.here.host
    }

    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// A call to something else than a daemon.
    pub(super) fn counted<T>(&self, act: impl FnOnce(&mut World) -> Answer<T>) -> Answer<T> {
        self.here.counted(act)
    }
}

impl Daemon {
    /// One call of the agent: counted, and killed at if that is ordered.
    fn counted<T>(&self, act: impl FnOnce(&mut World) -> Answer<T>) -> Answer<T> {
        let moment = self.fleet.change(|world| {
            let host = world.hosts.get_mut(&self.from)?;
            host.calls += 1;
            let (_, moment) = host.kill.take_if(|(at, _)| *at == host.calls)?;
            Some(moment)
        });
        let killed = || -> Answer<T> { resume_unwind(Box::new(AgentKilled { host: self.from.clone() })) };
        if moment == Some(Moment::Before) {
            return killed();
        }
        let answer = self.fleet.change(act);
        if moment == Some(Moment::After) {
            return killed();
        }
        answer
    }

    /// One call to the daemon, refused if it can't be reached.
    fn call<T>(&self, act: impl FnOnce(&mut World) -> Answer<T>) -> Answer<T> {
        self.counted(|world| {
            if !world.linked(&self.from, &self.host) || !world.daemon_answers(&self.host) {
                return Err(no_connection(&self.host));
            }
            let answer = act(world);
            if self.from != self.host && world.loses_answer(&self.host) {
                return Err(Refusal::new(
                    RefusalKind::NoConnection,
                    "internal error: client socket is closed",
                ));
            }
            answer
        })
    }

    /// A call about a domain that must be there.
    fn on_domain<T>(&self, server: ServerId, act: impl FnOnce(&mut Domain) -> Answer<T>) -> Answer<T> {
        self.call(|world| {
            let answer = world.domain_mut(&self.host, server).ok_or_else(|| no_server(server)).and_then(act);
            world.wake(&self.host, Wake::Server(server));
            answer
        })
    }
}

impl Domains for Daemon {
    fn find(&self, server: ServerId) -> Answer<Option<Sighting>> {
        self.call(|world| {
            Ok(world.domain(&self.host, server).map(|domain| Sighting {
                name: domain.facts.name.clone(),
                state: domain.state,
                definition: domain.definition,
                autostart: domain.autostart,
            }))
        })
    }

    fn named(&self, name: &str) -> Answer<Option<ServerId>> {
        self.call(|world| {
            let host = world.hosts.get(&self.host);
            let mut domains = host.into_iter().flat_map(|host| host.domains.values());
            Ok(domains.find(|domain| domain.facts.name == name).map(|domain| domain.facts.id))
        })
    }

    fn define(&self, definition: &str) -> Answer<()> {
        let Written { facts, before } = Written::read(definition)
            .map_err(|error| failed(FailureClass::RefusedByDestination, format!("XML error: {error}")))?;
        self.call(|world| {
            if world.take_fault(|fault| *fault == Fault::DefineFails { host: self.host.clone() }).is_some() {
                let words = "unsupported configuration: Emulator does not support this machine type";
                return Err(failed(FailureClass::RefusedByDestination, words));
            }
            let now = world.now;
            let Some(host) = world.hosts.get_mut(&self.host) else {
                return Err(no_connection(&self.host));
            };
            let clash = host
                .domains
                .values()
                .find(|known| known.facts.name == facts.name && known.facts.id != facts.id);
            if let Some(other) = clash {
                let words = format!("domain '{}' already exists with uuid {}", facts.name, other.facts.id);
                return Err(failed(FailureClass::RefusedByDestination, words));
            }
            let id = facts.id;
            match host.domains.get_mut(&id) {
                Some(known) => known.definition = Definition::Persistent,
                None => {
                    let domain = Domain {
                        facts,
                        before,
                        state: State::Off,
                        definition: Definition::Persistent,
                        autostart: Autostart::No,
                        booted_at: now,
                        off_at: None,
                        held_for_backup: false,
                        arrived_by: None,
                    };
                    host.domains.insert(id, domain);
                }
            }
            world.wake(&self.host, Wake::Server(id));
            Ok(())
        })
    }

    fn undefine(&self, server: ServerId) -> Answer<()> {
        self.call(|world| {
            let Some(domain) = world.domain(&self.host, server) else {
                return Ok(());
            };
            if domain.state != State::Off {
                return Err(failed(
                    FailureClass::Busy,
                    "Requested operation is not valid: domain is running",
                ));
            }
            if let Some(host) = world.hosts.get_mut(&self.host) {
                host.domains.remove(&server);
            }
            world.wake(&self.host, Wake::Server(server));
            Ok(())
        })
    }

    fn keep(&self, server: ServerId) -> Answer<()> {
        self.on_domain(server, |domain| {
            domain.definition = Definition::Persistent;
            Ok(())
        })
    }

    fn start(&self, server: ServerId) -> Answer<()> {
        self.call(|world| world.start(&self.host, server))
    }

    fn destroy(&self, server: ServerId) -> Answer<()> {
        self.call(|world| {
            world.power_off(&self.host, server);
            Ok(())
        })
    }

    fn resume(&self, server: ServerId) -> Answer<()> {
        self.on_domain(server, |domain| {
            domain.state = State::Running;
            Ok(())
        })
    }

    fn set_autostart(&self, server: ServerId, autostart: Autostart) -> Answer<()> {
        self.on_domain(server, |domain| {
            if domain.definition == Definition::Transient {
                let words = "cannot set autostart for transient domain";
                return Err(failed(FailureClass::Unexpected, words));
            }
            domain.autostart = autostart;
            Ok(())
        })
    }

    fn last_migration(&self, server: ServerId) -> Answer<Option<Figures>> {
        self.call(|world| Ok(world.domain(&self.host, server).and_then(|domain| domain.arrived_by)))
    }
}

impl Hypervisor for Port {
    fn here(&self) -> &dyn Domains {
        &self.here
    }

    fn peer(&self, destination: &Destination) -> Answer<Arc<dyn Domains>> {
        let peer = Daemon {
            fleet: Arc::clone(&self.fleet),
            from: self.host().clone(),
            host: destination.host.clone(),
        };
        peer.call(|_| Ok(()))?;
        Ok(Arc::new(peer))
    }

    fn observe(&self) -> Answer<Observed> {
        self.here.call(|world| {
            let now = world.now;
            let host = world.hosts.get(self.host()).ok_or_else(|| no_connection(self.host()))?;
            let servers =
                host.domains.iter().filter(|(id, _)| !host.is_test(**id)).map(|(id, domain)| ServerFacts {
                    power: domain.state.power(),
                    definition: domain.definition,
                    autostart: domain.autostart,
                    guest_agent: world
                        .guests
                        .get(id)
                        .map_or(domain.facts.guest_agent, |inside| agent_of(domain, &inside.guest, now)),
                    ..domain.facts.clone()
                });
            Ok(Observed { host: host.facts.clone(), servers: servers.collect() })
        })
    }

    fn left(&self) -> Answer<Vec<Left>> {
        self.here.call(|world| {
            let host = world.hosts.get(self.host()).ok_or_else(|| no_connection(self.host()))?;
            let left =
                host.domains.iter().map(|(id, domain)| Left { server: *id, name: domain.facts.name.clone() });
            Ok(left.collect())
        })
    }

    fn start_migration(&self, order: &LiveMigrate, tuning: Tuning) -> Answer<()> {
        self.here.call(|world| {
            let transfer = world.new_transfer(self.host(), self.session, order, tuning);
            world.transfers.insert(order.server, transfer);
            match world.admit(self.host(), order) {
                Ok(arriving) => {
                    if let Some(host) = world.hosts.get_mut(&order.destination.host) {
                        host.domains.insert(order.server, arriving);
                    }
                    world.wake(&order.destination.host, Wake::Server(order.server));
                }
                Err(refusal) => world.roll_back(order.server, refusal),
            }
            Ok(())
        })
    }

    fn migration(&self, server: ServerId) -> Answer<MigrationStatus> {
        self.here.call(|world| {
            let Some(transfer) =
                world.transfers.get(&server).filter(|transfer| transfer.from == *self.host())
            else {
                return Ok(MigrationStatus::None);
            };
            if transfer.is_active() {
                let rate = transfer.rate(world.share(&transfer.from));
                return Ok(MigrationStatus::Running(transfer.figures(rate)));
            }
            match world.transfers.remove(&server) {
                Some(Transfer { stage: Stage::Returned { answer, took }, session, .. })
                    if session == self.session =>
                {
                    Ok(MigrationStatus::Returned { answer, in_hypervisor: took })
                }
                Some(_) | None => Ok(MigrationStatus::None),
            }
        })
    }

    fn abort_migration(&self, server: ServerId) -> Answer<()> {
        self.here.call(|world| match world.transfers.get(&server).map(|transfer| &transfer.stage) {
            Some(Stage::Setup { .. } | Stage::Copying) => {
                let words = "operation aborted: migration out: canceled by client";
                world.roll_back(server, failed(FailureClass::Aborted, words));
                Ok(())
            }
            Some(Stage::SwitchOver { .. } | Stage::Returned { .. }) | None => {
                let words = "Requested operation is not valid: no job is active on the domain";
                Err(failed(FailureClass::Unexpected, words))
            }
        })
    }

    fn tune_migration(&self, server: ServerId, tuning: Tuning) -> Answer<()> {
        self.here.call(|world| {
            let transfer = world.transfers.get_mut(&server).ok_or_else(|| no_server(server))?;
            transfer.downtime_ms = tuning.max_downtime_ms;
            transfer.max_bandwidth = tuning.max_bandwidth;
            Ok(())
        })
    }

    fn shutdown(&self, server: ServerId, by: ShutdownBy) -> Answer<()> {
        self.here.call(|world| {
            let now = world.now;
            let heeds = world.guests.get(&server).and_then(|inside| match by {
                ShutdownBy::GuestAgent => inside.guest.heeds_agent,
                ShutdownBy::Acpi => inside.guest.heeds_acpi,
            });
            let domain = world.domain_mut(self.host(), server).ok_or_else(|| no_server(server))?;
            if domain.state != State::Running {
                return Err(failed(FailureClass::Unexpected, "domain is not running"));
            }
            if let Some(time) = heeds {
                let at = now + time.delta();
                domain.off_at = Some(domain.off_at.map_or(at, |known| known.min(at)));
            }
            Ok(())
        })
    }

    fn definition(&self, server: ServerId) -> Answer<String> {
        self.here.call(|world| {
            let domain = world.domain(self.host(), server).ok_or_else(|| no_server(server))?;
            let written = Written { facts: domain.facts.clone(), before: domain.before.clone() };
            written.write().map_err(|error| failed(FailureClass::Unexpected, error.to_string()))
        })
    }

    fn reshaped(&self, definition: &str, order: &RebootMigrate, id: OperationId) -> Answer<String> {
        Written::read(definition)
            .and_then(|written| written.reshaped(&order.shape, id).with_disks(order.disks()).write())
            .map_err(|error| failed(FailureClass::RefusedBySource, error.to_string()))
    }

    fn signs(&self, server: ServerId) -> Answer<Signs> {
        self.here.call(|world| {
            let domain = world.domain(self.host(), server).ok_or_else(|| no_server(server))?;
            let inside = world.guests.get(&server).ok_or_else(|| no_server(server))?;
            let printing = world.now - domain.booted_at - inside.guest.boot_time.delta();
            let printed = u64::try_from(printing.num_milliseconds() / 100).unwrap_or(0);
            Ok(Signs {
                agent: agent_of(domain, &inside.guest, world.now),
                console_bytes: match inside.guest.console {
                    Console::Kept => Some(printed),
                    Console::NotKept => None,
                },
            })
        })
    }

    fn ping(&self, server: ServerId) -> Answer<()> {
        self.here.call(|world| {
            let domain = world.domain(self.host(), server).ok_or_else(|| no_server(server))?;
            match domain.state {
                State::Running => Ok(()),
                state => Err(failed(FailureClass::Busy, format!("Guest agent is not responding: {state}"))),
            }
        })
    }

    fn hardware(&self, server: ServerId) -> Answer<Hardware> {
        self.here.call(|world| {
            let domain = world.domain(self.host(), server).ok_or_else(|| no_server(server))?;
            let inside = world.guests.get(&server).ok_or_else(|| no_server(server))?;
            let up = is_up(domain, &inside.guest, world.now) && !inside.guest.addresses.is_empty();
            let [.., a, b, c] = server.0.into_bytes();
            Ok(Hardware {
                interfaces: [format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")].into(),
                addresses: up.then(|| inside.guest.addresses.clone()),
                disks: u32::try_from(domain.facts.disks.len()).unwrap_or(u32::MAX),
            })
        })
    }

    fn probe(&self, probe: &Probe<'_>) -> Option<Answered> {
        let asked = self.here.call(|world| {
            let domain = world.domain(self.host(), probe.server).ok_or_else(|| no_server(probe.server))?;
            let inside = world.guests.get(&probe.server).ok_or_else(|| no_server(probe.server))?;
            let up = is_up(domain, &inside.guest, world.now);
            Ok(answer_of(&inside.guest, self.host(), up, probe.check))
        });
        Some(asked.unwrap_or_else(|refusal| Answered::Nowhere { text: refusal.to_string() }))
    }

    fn forget_probes(&self, _operation: OperationId) {}

    fn imports(&self) -> &dyn Importer {
        self
    }

    fn replication(&self) -> &dyn Replication {
        self
    }

    fn hooks(&self) -> &dyn Hooks {
        self
    }

    fn listen(&self, waker: Waker) {
        self.fleet.change(|world| {
            if let Some(host) = world.hosts.get_mut(self.host()) {
                host.waker = Some((self.session, waker));
            }
        });
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.fleet.change(|world| {
            if let Some(host) = world.hosts.get_mut(self.host()) {
                host.waker.take_if(|(session, _)| *session == self.session);
            }
            world.rounds.retain(|_, round| round.session != self.session);
        });
    }
}

impl World {
    fn new_transfer(
        &mut self,
        from: &HostName,
        session: u64,
        order: &LiveMigrate,
        tuning: Tuning,
    ) -> Transfer {
        let server = order.server;
        let memory = self.domain(from, server).map_or(0, |domain| domain.facts.memory_bytes);
        let of_replica = |replica: &LiveReplica| replica.disks.iter().map(|disk| disk.virtual_bytes).sum();
        let disks: Option<u64> = order.replica.as_ref().map(of_replica);
        let dying =
            self.take_fault(|fault| matches!(fault, Fault::ReceiverDies { server: of, .. } if *of == server));
        Transfer {
            server,
            from: from.clone(),
            to: order.destination.host.clone(),
            session,
            begun: self.now,
            memory,
            disks,
            disks_left: disks.unwrap_or(0),
            dirty_rate: self.guests.get(&server).map_or(0, |inside| inside.guest.dirty_rate),
            auto_converge: order.auto_converge == AutoConverge::On,
            stage: Stage::Setup { until: self.setup_until() },
            pass: 1,
            sent: 0,
            left: memory,
            dirtied: 0,
            downtime_ms: None,
            max_bandwidth: tuning.max_bandwidth,
            paused: self.domain(from, server).is_some_and(|domain| domain.state == State::Paused),
            receiver_dies_at: dying.and_then(|fault| match fault {
                Fault::ReceiverDies { percent, .. } => Some(percent),
                Fault::DefineFails { .. }
                | Fault::StartFails { .. }
                | Fault::DiskErrorOnBoot { .. }
                | Fault::AnswerLost { .. }
                | Fault::MigrationRefused { .. }
                | Fault::BackupLost { .. }
                | Fault::RoundFails { .. }
                | Fault::TailFails { .. }
                | Fault::PutInPlaceFails { .. }
                | Fault::DestinationFull { .. }
                | Fault::ImportInTheWay { .. }
                | Fault::ConversionFails { .. } => None,
            }),
            cut_since: None,
        }
    }

    /// What libvirt looks at before memory flows; gives the domain that waits at the destination.
    fn admit(&mut self, from: &HostName, order: &LiveMigrate) -> Answer<Domain> {
        let server = order.server;
        let to = &order.destination.host;
        let domain = self.domain(from, server).cloned().ok_or_else(|| no_server(server))?;
        let refused = self
            .take_fault(|fault| matches!(fault, Fault::MigrationRefused { server: of, .. } if *of == server));
        if let Some(Fault::MigrationRefused { class, text, .. }) = refused {
            return Err(failed(class, text));
        }
        if let Some(blocker) = domain.facts.blockers.first() {
            let words = format!("Requested operation is not valid: {blocker}");
            return Err(failed(FailureClass::RefusedBySource, words));
        }
        if !matches!(domain.state, State::Running | State::Paused) {
            return Err(failed(FailureClass::RefusedBySource, "domain is not running"));
        }
        if !self.linked(from, to) || !self.daemon_answers(to) {
            return Err(failed(FailureClass::DestinationUnreachable, no_connection(to).text));
        }
        let local = domain.facts.disks.iter().any(|disk| disk.reach == Reach::Local);
        if self.unreachable_disk(to, &domain).is_some() || (local && order.replica.is_none()) {
            let words = "Unsafe migration: Migration without shared storage is unsafe";
            return Err(failed(FailureClass::RefusedBySource, words));
        }
        let taken = self.hosts.get(to).is_some_and(|host| {
            host.domains
                .values()
                .any(|known| known.facts.id == server || known.facts.name == domain.facts.name)
        });
        if taken {
            let words = format!("domain '{}' already exists", domain.facts.name);
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        Ok(Domain {
            state: State::Arriving,
            definition: Definition::Transient,
            autostart: Autostart::No,
            off_at: None,
            held_for_backup: false,
            arrived_by: None,
            ..domain
        })
    }
}

fn is_up(domain: &Domain, guest: &Guest, now: Instant) -> bool {
    domain.state == State::Running && now >= domain.booted_at + guest.boot_time.delta()
}

/// What comes back when something is asked of a guest from this host.
fn answer_of(guest: &Guest, host: &HostName, up: bool, check: &Check) -> Answered {
    let known = match check.address {
        Address::OfGuest => !guest.addresses.is_empty(),
        Address::Given(address) => guest.addresses.contains(&address),
    };
    if !known {
        return Answered::Nowhere { text: "the guest has no such address".to_owned() };
    }
    let service = guest.services.get(&check.what.port()).filter(|_| up);
    match (service.filter(|service| service.not_on.as_ref() != Some(host)), &check.what) {
        (None, _) => Answered::No { text: "connection refused".to_owned() },
        (Some(_), What::Tcp { .. }) => Answered::Connected,
        (Some(service), What::Http { .. }) => match service.answers {
            Serves::Http { status } => Answered::Status(status),
            Serves::Tcp => Answered::No { text: "no answer to the request".to_owned() },
        },
    }
}
