//! What happens in the simulated fleet by itself, and what its machines do when power and daemons come and go.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Autostart, Definition, Reach};
use drover_policies::ids::{HostName, ServerId};
use drover_policies::time::{Instant, Span};

use super::super::replication::ReadFrom;
use super::super::{Answer, Figures, Refusal, RefusalKind, State, Wake};
use super::precopy::{KEEPALIVE, SETUP, Stage};
use super::{Condition, Domain, Fault, World};

fn failed(class: FailureClass, text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed(class), text)
}

impl World {
    /// Works out everything up to `to`, event by event. A clock that was set back lets nothing happen until it has caught up.
    pub(super) fn advance(&mut self, to: Instant) {
        self.note_cuts();
        while let Some(event) = self.next_event().filter(|event| *event <= to) {
            self.flow_to(event.max(self.now));
            self.happen();
            self.look_for_violations();
        }
        self.flow_to(to.max(self.now));
    }

    pub(super) fn next_event(&self) -> Option<Instant> {
        self.next_of_servers().into_iter().chain(self.next_of_hooks()).min()
    }

    /// When something happens next to servers, by itself.
    pub(super) fn next_of_servers(&self) -> Option<Instant> {
        let shutdowns =
            self.hosts.values().flat_map(|host| host.domains.values()).filter_map(|domain| domain.off_at);
        let transfers = self
            .transfers
            .values()
            .filter_map(|transfer| transfer.next_event(self.now, transfer.rate(self.share(&transfer.from))));
        let rounds = self
            .rounds
            .values()
            .filter_map(|round| round.next_event(self.now, round.rate(self.share(&round.source))));
        shutdowns.chain(transfers).chain(rounds).min()
    }

    /// What each of the migrations and rounds out of a host gets of its network.
    pub(super) fn share(&self, from: &HostName) -> u64 {
        let transfers =
            self.transfers.values().filter(|transfer| transfer.is_active() && transfer.from == *from).count();
        let rounds = self.rounds.values().filter(|round| round.is_active() && round.source == *from).count();
        self.bandwidth / u64::try_from((transfers + rounds).max(1)).unwrap_or(1)
    }

    fn flow_to(&mut self, to: Instant) {
        let time = to - self.now;
        if time <= TimeDelta::zero() {
            return;
        }
        let shares: BTreeMap<ServerId, u64> = self
            .transfers
            .values()
            .map(|transfer| (transfer.server, transfer.rate(self.share(&transfer.from))))
            .collect();
        for transfer in self.transfers.values_mut() {
            transfer.flow(time, shares.get(&transfer.server).copied().unwrap_or(1));
        }
        let rates: BTreeMap<ServerId, u64> = self
            .rounds
            .iter()
            .map(|(server, round)| (*server, round.rate(self.share(&round.source))))
            .collect();
        for (server, round) in &mut self.rounds {
            round.flow(self.now, to, rates.get(server).copied().unwrap_or(1));
        }
        for (name, host) in &self.hosts {
            for (server, domain) in &host.domains {
                if domain.state == State::Running
                    && let Some(inside) = self.guests.get_mut(server)
                {
                    inside.ran += time;
                    if let Some(shows) = inside.disks.get_mut(name) {
                        *shows = inside.ran;
                    }
                }
            }
        }
        self.now = to;
    }

    /// Everything that is due now.
    fn happen(&mut self) {
        let now = self.now;
        let off: Vec<(HostName, ServerId)> = self
            .hosts
            .iter()
            .flat_map(|(name, host)| host.domains.iter().map(move |(server, domain)| (name, server, domain)))
            .filter(|(_, _, domain)| domain.off_at.is_some_and(|at| at <= now))
            .map(|(name, server, _)| (name.clone(), *server))
            .collect();
        for (host, server) in off {
            self.power_off(&host, server);
        }
        let due: Vec<ServerId> = self
            .transfers
            .values()
            .filter(|transfer| {
                let rate = transfer.rate(self.share(&transfer.from));
                transfer.next_event(now, rate).is_some_and(|at| at <= now)
            })
            .map(|transfer| transfer.server)
            .collect();
        for server in due {
            self.happen_to(server);
        }
        self.end_rounds();
        self.end_hooks();
    }

    fn happen_to(&mut self, server: ServerId) {
        let now = self.now;
        let Some(transfer) = self.transfers.get(&server) else {
            return;
        };
        let rate = transfer.rate(self.share(&transfer.from));
        match &transfer.stage {
            Stage::Returned { .. } => {}
            Stage::Setup { .. } => {
                if let Some(transfer) = self.transfers.get_mut(&server) {
                    transfer.stage = Stage::Copying;
                }
            }
            Stage::Copying if transfer.receiver_is_dead() => {
                let words = "job 'migration out' failed: Channel error: Input/output error";
                self.roll_back(server, failed(FailureClass::LostOnTheWay, words));
            }
            Stage::Copying if transfer.cut_since.is_some_and(|since| since + KEEPALIVE <= now) => {
                let words = "internal error: client socket is closed";
                self.roll_back(server, failed(FailureClass::LostOnTheWay, words));
            }
            Stage::Copying => {
                let from = transfer.from.clone();
                let fits =
                    self.transfers.get_mut(&server).is_some_and(|transfer| transfer.end_pass(now, rate));
                if fits && let Some(domain) = self.domain_mut(&from, server) {
                    domain.state = State::HeldByMigration;
                }
            }
            Stage::SwitchOver { since, .. } => {
                let since = *since;
                self.arrive(server, since);
            }
        }
    }

    /// The destination runs. The source forgets the server, unless it can't be told.
    fn arrive(&mut self, server: ServerId, held_since: Instant) {
        let Some(transfer) = self.transfers.get(&server).cloned() else {
            return;
        };
        let figures = Figures {
            downtime_ms: u64::try_from((self.now - held_since).num_milliseconds()).ok(),
            ..transfer.figures(0)
        };
        if transfer.disks.is_some()
            && let Some(inside) = self.guests.get_mut(&server)
        {
            inside.disks.insert(transfer.to.clone(), inside.ran);
        }
        if let Some(domain) = self.domain_mut(&transfer.to, server) {
            domain.state = if transfer.paused { State::Paused } else { State::Running };
            domain.definition = Definition::Persistent;
            domain.arrived_by = Some(figures);
        }
        let told = self.linked(&transfer.from, &transfer.to) && self.daemon_answers(&transfer.from);
        if told && let Some(host) = self.hosts.get_mut(&transfer.from) {
            host.domains.remove(&server);
        }
        let answer = if told {
            Ok(())
        } else {
            Err(failed(FailureClass::LostOnTheWay, "internal error: client socket is closed"))
        };
        self.wake(&transfer.to.clone(), Wake::Server(server));
        self.return_call(server, answer);
    }

    /// The source goes on, the destination has nothing.
    pub(super) fn roll_back(&mut self, server: ServerId, refusal: Refusal) {
        let Some(transfer) = self.transfers.get(&server).cloned() else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&transfer.to)
            && host.domains.get(&server).is_some_and(|domain| domain.state == State::Arriving)
        {
            host.domains.remove(&server);
        }
        if let Some(domain) = self.domain_mut(&transfer.from, server)
            && domain.state == State::HeldByMigration
        {
            domain.state = if transfer.paused { State::Paused } else { State::Running };
        }
        self.return_call(server, Err(refusal));
    }

    fn return_call(&mut self, server: ServerId, answer: Answer<()>) {
        let now = self.now;
        if let Some(transfer) = self.transfers.get_mut(&server) {
            transfer.stage = Stage::Returned { answer, took: Span::between(transfer.begun, now) };
            let from = transfer.from.clone();
            self.wake(&from, Wake::Server(server));
        }
    }

    fn note_cuts(&mut self) {
        self.note_cut_rounds();
        let now = self.now;
        let cuts = &self.cuts;
        for transfer in self.transfers.values_mut() {
            let cut = cuts.contains(&super::pair(&transfer.from, &transfer.to));
            match (cut, transfer.cut_since) {
                (true, None) => transfer.cut_since = Some(now),
                (false, Some(_)) => transfer.cut_since = None,
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    pub(super) fn power_off(&mut self, name: &HostName, server: ServerId) {
        let failing = self
            .transfers
            .get(&server)
            .is_some_and(|transfer| transfer.is_active() && transfer.from == *name);
        if failing {
            self.roll_back(
                server,
                failed(FailureClass::Unexpected, "operation failed: domain is not running"),
            );
        }
        let Some(host) = self.hosts.get_mut(name) else {
            return;
        };
        let Some(domain) = host.domains.get_mut(&server) else {
            return;
        };
        domain.state = State::Off;
        domain.off_at = None;
        if domain.definition == Definition::Transient {
            host.domains.remove(&server);
        }
        self.interrupt_round(name, server, ReadFrom::Running);
        self.wake(name, Wake::Server(server));
    }

    pub(super) fn boot(&mut self, name: &HostName, server: ServerId) {
        self.interrupt_round(name, server, ReadFrom::PoweredOff);
        self.boots_from_local_disks(name, server);
        let now = self.now;
        if let Some(domain) = self.domain_mut(name, server) {
            domain.state = State::Running;
            domain.booted_at = now;
            domain.off_at = None;
        }
        self.wake(name, Wake::Server(server));
    }

    /// Starts a server as libvirt would: with its disks, or not at all.
    pub(super) fn start(&mut self, name: &HostName, server: ServerId) -> Answer<()> {
        let Some(domain) = self.domain(name, server) else {
            return Err(no_server(server));
        };
        if domain.state != State::Off {
            return Err(failed(
                FailureClass::Busy,
                "Requested operation is not valid: domain is already running",
            ));
        }
        if domain.held_for_backup {
            let words = "Timed out during operation: cannot acquire state change lock (held by monitor=init)";
            return Err(failed(FailureClass::NeedsPowerCycle, words));
        }
        if let Some(path) = self.unreachable_disk(name, domain) {
            let words = format!("Cannot access storage file '{path}': No such file or directory");
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        let plugs = self.hosts.get(name).and_then(|host| host.facts.plugs.as_ref());
        let mut wanted = domain.facts.plugs.iter().flatten();
        if let Some(lacks) = plugs.and_then(|plugs| wanted.find(|plug| !plugs.contains(plug))) {
            let words = format!("Network not found: no {lacks}");
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        let here = name.clone();
        if self.take_fault(|fault| *fault == Fault::StartFails { host: here.clone() }).is_some() {
            let words = "internal error: process exited while connecting to monitor";
            return Err(failed(FailureClass::Unexpected, words));
        }
        self.boot(name, server);
        if self.take_fault(|fault| *fault == Fault::DiskErrorOnBoot { host: here.clone() }).is_some()
            && let Some(domain) = self.domain_mut(name, server)
        {
            domain.state = State::HeldOtherwise;
        }
        Ok(())
    }

    pub(super) fn unreachable_disk(&self, name: &HostName, domain: &Domain) -> Option<String> {
        let host = self.hosts.get(name)?;
        let there = self.guests.get(&domain.facts.id).is_some_and(|inside| inside.disks.contains_key(name));
        domain
            .facts
            .disks
            .iter()
            .find(|disk| match &disk.reach {
                Reach::Shared { storage } => !host.facts.shared_storage.contains(storage),
                Reach::Local => !there,
                Reach::Empty => false,
            })
            .map(|disk| disk.source.clone())
    }

    pub(super) fn set_daemon(&mut self, name: &HostName, condition: Condition) {
        let Some(host) = self.hosts.get_mut(name) else {
            return;
        };
        host.daemon = condition;
        let words = match condition {
            Condition::Up => "the daemon was restarted",
            Condition::Down => "End of file while reading data: Input/output error",
        };
        let lost: Vec<ServerId> = self
            .transfers
            .values()
            .filter(|transfer| transfer.is_active() && [&transfer.from, &transfer.to].contains(&name))
            .filter(|transfer| !matches!(transfer.stage, Stage::SwitchOver { .. }))
            .map(|transfer| transfer.server)
            .collect();
        if condition == Condition::Down {
            for server in lost {
                self.roll_back(server, failed(FailureClass::LostOnTheWay, words));
            }
        }
        self.wake(name, Wake::Everything);
    }

    pub(super) fn set_power(&mut self, name: &HostName, condition: Condition) {
        let known: Vec<(ServerId, State, Autostart)> = match self.hosts.get_mut(name) {
            Some(host) => {
                host.power = condition;
                host.domains.iter().map(|(id, domain)| (*id, domain.state, domain.autostart)).collect()
            }
            None => return,
        };
        for (server, state, autostart) in known {
            match condition {
                Condition::Down if state == State::Arriving => {
                    self.roll_back(
                        server,
                        failed(FailureClass::LostOnTheWay, "internal error: client socket is closed"),
                    );
                }
                Condition::Down => self.power_off(name, server),
                Condition::Up if autostart == Autostart::Yes => self.boot(name, server),
                Condition::Up => {}
            }
        }
        if condition == Condition::Up {
            self.has_booted(name);
        }
        self.wake(name, Wake::Everything);
    }

    pub(super) fn look_for_violations(&mut self) {
        let mut running: BTreeMap<ServerId, Vec<&HostName>> = BTreeMap::new();
        for (name, host) in &self.hosts {
            for (server, domain) in &host.domains {
                if domain.state == State::Running {
                    running.entry(*server).or_default().push(name);
                }
            }
        }
        let found: Vec<String> = running
            .into_iter()
            .filter(|(_, hosts)| hosts.len() > 1)
            .map(|(server, hosts)| {
                let names: Vec<&str> = hosts.into_iter().map(HostName::as_str).collect();
                format!("{server} runs on {}", names.join(" and "))
            })
            .collect();
        for violation in found {
            if !self.violations.iter().any(|known| known.ends_with(&violation)) {
                self.violations.push(format!("{}: {violation}", self.now));
            }
        }
    }

    /// Until memory flows.
    pub(super) fn setup_until(&self) -> Instant {
        self.now + SETUP
    }
}

pub(super) fn no_server(server: ServerId) -> Refusal {
    Refusal::new(RefusalKind::NoServer, format!("Domain not found: no domain with matching uuid '{server}'"))
}
