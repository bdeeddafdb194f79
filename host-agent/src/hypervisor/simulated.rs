//! Simulated hypervisors: a whole fleet in memory, deterministic, in the time of a virtual clock.
//!
//! All hosts share one [`SimulatedFleet`]; an agent gets its host's port from [`SimulatedFleet::hypervisor`]. What happens by itself
//! (memory being sent, guests shutting down) is worked out whenever somebody looks, exactly up to the clock's present.
//!
//! **Killing an agent.** [`SimulatedFleet::kill_agent_at_call`] ends the agent at a given call of its port, before or after the call
//! has taken effect. The call then unwinds with [`AgentKilled`] as its payload, without a panic message: nothing of the agent's
//! code runs any more, just as after `kill -9`, while what libvirt was asked for goes on. Whoever drives the agent wraps the
//! drive in [`survive`], throws the dead agent away and opens a new one on the same ledger with a new port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Ability, Autostart, GuestAgent, HostFacts, ServerFacts};
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::time::{Clock, Instant, Span};

use super::{Hypervisor, RefusalKind, State, Wake};

mod definition;
mod hooks;
mod imports;
mod launches;
mod life;
mod port;
mod precopy;
mod replicas;
mod replication;
mod state;

pub use hooks::{Changes, Script, Then, Writes};
use state::{Domain, Host, Inside, World};

/// The payload with which a killed agent's call unwinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKilled {
    /// Whose agent.
    pub host: HostName,
}

/// Runs an agent's code and tells whether the agent was killed in it.
///
/// # Errors
/// When the agent was killed. Every other panic goes on.
pub fn survive<R>(run: impl FnOnce() -> R) -> Result<R, AgentKilled> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| match payload.downcast::<AgentKilled>() {
        Ok(killed) => *killed,
        Err(other) => resume_unwind(other),
    })
}

/// Whether a killed agent's last call has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has not.
    Before,
    /// It has, but the agent never saw the answer.
    After,
}

/// How a guest behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Memory that it writes anew while it runs, in bytes per second.
    pub dirty_rate: u64,
    /// What it writes to its disks while it runs, in bytes per second.
    pub disk_dirty_rate: u64,
    /// How long its agent takes to shut it down; nothing when it doesn't heed.
    pub heeds_agent: Option<Span>,
    /// How long it takes to go off at the power button; nothing when it doesn't heed.
    pub heeds_acpi: Option<Span>,
    /// How long it takes to boot: then its agent connects and its console prints.
    pub boot_time: Span,
    /// Whether its console's output is kept in a file.
    pub console: Console,
    /// Its addresses, told while it is up; empty for a guest that tells none.
    pub addresses: BTreeSet<IpAddr>,
    /// What listens in it, by port, once it has booted.
    pub services: BTreeMap<u16, Service>,
}

/// Something that listens in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it answers.
    pub answers: Serves,
    /// A host on which it can't be reached, as when that one's network is wired up wrongly.
    pub not_on: Option<HostName>,
}

/// What a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// It takes connections.
    Tcp,
    /// It answers every path with this status.
    Http {
        /// The status.
        status: u16,
    },
}

/// Whether a console's output is kept in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// It is, and the guest prints ten times a second.
    Kept,
    /// It is not.
    NotKept,
}

impl Default for Guest {
    /// A calm guest that heeds everything within a few seconds.
    fn default() -> Self {
        Self {
            dirty_rate: 4 << 20,
            disk_dirty_rate: 1 << 20,
            heeds_agent: Some(Span::seconds(3)),
            heeds_acpi: Some(Span::seconds(5)),
            boot_time: Span::seconds(4),
            console: Console::NotKept,
            addresses: BTreeSet::new(),
            services: BTreeMap::new(),
        }
    }
}

/// What goes wrong, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The next definition on this host is refused.
    DefineFails {
        /// Where.
        host: HostName,
    },
    /// The next start on this host is refused.
    StartFails {
        /// Where.
        host: HostName,
    },
    /// The next server that is started on this host is held at once by an input/output error.
    DiskErrorOnBoot {
        /// Where.
        host: HostName,
    },
    /// A call from another host's agent to this host's daemon is carried out, and its answer is lost.
    AnswerLost {
        /// Which daemon.
        host: HostName,
        /// Which call from now, counted from 1.
        call: u32,
    },
    /// The receiving QEMU of this server's next live migration dies.
    ReceiverDies {
        /// Of which server.
        server: ServerId,
        /// When so much of the memory has been sent in the first pass, in per cent.
        percent: u8,
    },
    /// libvirt refuses this server's next live migration.
    MigrationRefused {
        /// Of which server.
        server: ServerId,
        /// What it means.
        class: FailureClass,
        /// In which words.
        text: String,
    },
    /// The next round of this server breaks off in its middle.
    RoundFails {
        /// Of which server.
        server: ServerId,
    },
    /// The next round of this server that is read from its powered-off disks breaks off in its middle.
    TailFails {
        /// Of which server.
        server: ServerId,
    },
    /// Where this server is, libvirt forgets the next backup while it begins it, and holds the server for it from then on.
    BackupLost {
        /// Which server.
        server: ServerId,
    },
    /// The next images can't be put in their place on this host.
    PutInPlaceFails {
        /// Where.
        host: HostName,
    },
    /// Something is in the way of the next import to this host.
    ImportInTheWay {
        /// Where.
        host: HostName,
        /// What.
        text: String,
    },
    /// The converter fails in the next import to this host.
    ConversionFails {
        /// Where.
        host: HostName,
    },
    /// The next round does not fit on this host's disks.
    DestinationFull {
        /// Where.
        host: HostName,
    },
}

/// A daemon's or machine's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Up,
    /// It does not.
    Down,
}

/// Where a server is known, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: HostName,
    /// What it is doing there.
    pub state: State,
    /// Whether it is started with that host.
    pub autostart: Autostart,
}

/// A fleet of simulated hypervisors.
pub struct SimulatedFleet {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
}

fn pair(a: &HostName, b: &HostName) -> (HostName, HostName) {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

impl SimulatedFleet {
    /// An empty fleet, whose links carry 1 GiB/s.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let now = clock.now();
        let world = World {
            now,
            hosts: BTreeMap::new(),
            guests: BTreeMap::new(),
            transfers: BTreeMap::new(),
            rounds: BTreeMap::new(),
            quiet: BTreeMap::new(),
            imports: BTreeMap::new(),
            cuts: BTreeSet::new(),
            faults: Vec::new(),
            violations: Vec::new(),
            wakes: Vec::new(),
            sessions: 0,
            bandwidth: 1 << 30,
        };
        Arc::new(Self { clock, world: Mutex::new(world) })
    }

    /// Adds a host. Its facts are told as they are given, and its agent can run hooks.
    pub fn add_host(&self, name: HostName, mut facts: HostFacts) {
        facts.abilities.insert(Ability::RunHooks);
        facts.boot_id = Host::boot_id(&name, 1);
        self.change(|world| {
            let host = Host {
                facts,
                daemon: Condition::Up,
                power: Condition::Up,
                domains: BTreeMap::new(),
                listener: Condition::Up,
                replicas: BTreeMap::new(),
                waker: None,
                calls: 0,
                kill: None,
                hooks: BTreeMap::new(),
                ran_hooks: Vec::new(),
                boots: 1,
                up_at: None,
            };
            world.hosts.insert(name, host);
        });
    }

    /// Changes what a host tells of itself.
    pub fn change_host(&self, name: &HostName, change: impl FnOnce(&mut HostFacts)) {
        self.change(|world| {
            if let Some(host) = world.hosts.get_mut(name) {
                change(&mut host.facts);
            }
            world.wake(name, Wake::Everything);
        });
    }

    /// Adds a server, running if its facts say so; its local disks are on this host from now on.
    pub fn add_server(&self, host: &HostName, facts: ServerFacts, guest: Guest) {
        self.change(|world| {
            let id = facts.id;
            let state = match facts.power {
                drover_policies::fleet::Power::Off => State::Off,
                drover_policies::fleet::Power::Paused => State::Paused,
                drover_policies::fleet::Power::Running
                | drover_policies::fleet::Power::Held
                | drover_policies::fleet::Power::Arriving
                | drover_policies::fleet::Power::Crashed => State::Running,
            };
            let domain = Domain {
                before: None,
                state,
                definition: facts.definition,
                autostart: facts.autostart,
                // It has been running for long.
                booted_at: world.now - TimeDelta::hours(1),
                off_at: None,
                held_for_backup: false,
                arrived_by: None,
                facts,
            };
            let disks = BTreeMap::from([(host.clone(), TimeDelta::zero())]);
            world.guests.insert(
                id,
                Inside { guest, disks, checkpoint: None, ran: TimeDelta::zero(), may_lose: false },
            );
            if let Some(host) = world.hosts.get_mut(host) {
                host.domains.insert(id, domain);
            }
            world.wake(host, Wake::Server(id));
        });
    }

    /// Changes a server's facts (its blockers, its labels) wherever it is known.
    pub fn change_server(&self, server: ServerId, change: impl Fn(&mut ServerFacts)) {
        self.change(|world| {
            for host in world.holders(server) {
                if let Some(domain) = world.domain_mut(&host, server) {
                    change(&mut domain.facts);
                }
                world.wake(&host, Wake::Server(server));
            }
        });
    }

    /// Changes how a guest behaves.
    pub fn change_guest(&self, server: ServerId, change: impl FnOnce(&mut Guest)) {
        self.change(|world| {
            if let Some(inside) = world.guests.get_mut(&server) {
                change(&mut inside.guest);
            }
        });
    }

    /// What every host's network carries, in bytes per second; migrations out of one host share it.
    pub fn set_bandwidth(&self, bytes_per_second: u64) {
        self.change(|world| world.bandwidth = bytes_per_second.max(1));
    }

    /// The port of one host's agent. A new one for every start of the agent: it knows nothing of the calls of the one before.
    #[must_use]
    pub fn hypervisor(self: &Arc<Self>, host: &HostName) -> Arc<dyn Hypervisor> {
        let session = self.change(|world| {
            world.sessions += 1;
            world.sessions
        });
        Arc::new(port::Port::new(Arc::clone(self), host.clone(), session))
    }

    /// Kills this host's agent at its `n`th call from now, counted from 1. See [`AgentKilled`].
    pub fn kill_agent_at_call(&self, host: &HostName, n: u64, moment: Moment) {
        self.change(|world| {
            if let Some(host) = world.hosts.get_mut(host) {
                host.kill = Some((host.calls + n, moment));
            }
        });
    }

    /// How many calls this host's agent has made so far.
    #[must_use]
    pub fn calls(&self, host: &HostName) -> u64 {
        self.change(|world| world.hosts.get(host).map_or(0, |host| host.calls))
    }

    /// Lets something go wrong, once, at its next occasion.
    pub fn fault(&self, fault: Fault) {
        self.change(|world| world.faults.push(fault));
    }

    /// Cuts two hosts off from each other. A migration between them fails after half a minute, unless it is healed.
    pub fn cut(&self, a: &HostName, b: &HostName) {
        self.change(|world| {
            world.cuts.insert(pair(a, b));
        });
    }

    /// Heals a cut.
    pub fn heal(&self, a: &HostName, b: &HostName) {
        self.change(|world| {
            world.cuts.remove(&pair(a, b));
        });
    }

    /// Stops or starts a host's libvirt daemon; the servers run on.
    pub fn set_daemon(&self, host: &HostName, condition: Condition) {
        self.change(|world| world.set_daemon(host, condition));
    }

    /// Ends or starts what a host's agent is for other agents; its own port is not touched.
    pub fn set_listener(&self, host: &HostName, condition: Condition) {
        self.change(|world| {
            if let Some(host) = world.hosts.get_mut(host) {
                host.listener = condition;
            }
        });
    }

    /// Hosts on which a server's local disks are where its definition names them, its own host included.
    #[must_use]
    pub fn disks(&self, server: ServerId) -> Vec<HostName> {
        self.change(|world| {
            world.guests.get(&server).map_or_else(Vec::new, |inside| inside.disks.keys().cloned().collect())
        })
    }

    /// Replicas that a host holds, with the rounds that have landed of each.
    #[must_use]
    pub fn replicas(&self, host: &HostName) -> Vec<(ReplicaId, u64)> {
        self.change(|world| {
            let held = world.hosts.get(host).into_iter().flat_map(|host| &host.replicas);
            held.map(|(id, kept)| (*id, kept.landed)).collect()
        })
    }

    /// Takes the power from a host, or gives it back: then servers with the autostart mark are started.
    pub fn set_power(&self, host: &HostName, condition: Condition) {
        self.change(|world| world.set_power(host, condition));
    }

    /// The owner stops his server, from inside.
    pub fn owner_stops(&self, server: ServerId) {
        self.change(|world| {
            for host in world.holders(server) {
                world.power_off(&host, server);
            }
        });
    }

    /// The owner starts his server, on every host that knows it as off (there should be one).
    pub fn owner_starts(&self, server: ServerId) {
        self.change(|world| {
            for host in world.holders(server) {
                let may = |domain: &Domain| domain.state == State::Off && !domain.held_for_backup;
                if world.domain(&host, server).is_some_and(may) {
                    world.boot(&host, server);
                }
            }
        });
    }

    /// The owner pauses or resumes his server.
    pub fn owner_pauses(&self, server: ServerId) {
        self.change(|world| {
            for host in world.holders(server) {
                if let Some(domain) = world.domain_mut(&host, server)
                    && domain.state == State::Running
                {
                    domain.state = State::Paused;
                }
                world.wake(&host, Wake::Server(server));
            }
        });
    }

    /// The owner deletes his server.
    pub fn owner_deletes(&self, server: ServerId) {
        self.change(|world| {
            for name in world.holders(server) {
                if let Some(host) = world.hosts.get_mut(&name) {
                    host.domains.remove(&server);
                }
                world.wake(&name, Wake::Server(server));
            }
        });
    }

    /// Every host that knows a server, in the order of names.
    #[must_use]
    pub fn places(&self, server: ServerId) -> Vec<Place> {
        self.change(|world| {
            world
                .hosts
                .iter()
                .filter_map(|(name, host)| {
                    let domain = host.domains.get(&server)?;
                    Some(Place { host: name.clone(), state: domain.state, autostart: domain.autostart })
                })
                .collect()
        })
    }

    /// Writes that this server was told are on its disk: ten for every second that it has run, on whatever host.
    #[must_use]
    pub fn acknowledged_writes(&self, server: ServerId) -> u64 {
        self.change(|world| {
            let ran = world.guests.get(&server).map_or(TimeDelta::zero(), |inside| inside.ran);
            u64::try_from(ran.num_milliseconds() / 100).unwrap_or(0)
        })
    }

    /// Each time that a server was seen running on two hosts at once, or booted from disks that lacked something that it had written. Must
    /// be empty, always.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.change(|world| world.violations.clone())
    }

    /// When something happens next by itself: a pass ends, a guest has shut down, a hook ends. Nothing when all is at rest.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.change(|world| world.next_event())
    }

    /// Whether memory or disks are being sent, or a guest shuts down.
    #[must_use]
    pub fn flows(&self) -> bool {
        self.change(|world| world.next_of_servers().is_some())
    }

    /// Works everything out up to the present, changes something, and tells the agents what has happened.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        world.advance(self.clock.now());
        let answer = change(&mut world);
        world.look_for_violations();
        let wakes = world.take_wakes();
        drop(world);
        for (waker, wake) in wakes {
            waker(wake);
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_connection(host: &HostName) -> super::Refusal {
    super::Refusal::new(
        RefusalKind::NoConnection,
        format!("unable to connect to server at '{host}:16509': Connection refused"),
    )
}

fn agent_of(domain: &Domain, guest: &Guest, now: Instant) -> GuestAgent {
    match domain.facts.guest_agent {
        GuestAgent::Absent => GuestAgent::Absent,
        GuestAgent::Disconnected | GuestAgent::Connected => {
            let up = domain.state == State::Running && now >= domain.booted_at + guest.boot_time.delta();
            if up { GuestAgent::Connected } else { GuestAgent::Disconnected }
        }
    }
}
