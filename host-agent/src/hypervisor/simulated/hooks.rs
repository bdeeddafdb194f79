//! Hooks of simulated hosts: they do what a test has written down for them, in the time of the virtual clock.

use drover_agent_api::RunHook;
use drover_policies::hooks::{HookDoing, HookOutcome, HookOutput, HookRan, HookStatus};
use drover_policies::ids::{HookName, HostName, OperationId};
use drover_policies::time::{Instant, Span};

use super::super::hooks::{Hooks, Standing};
use super::super::{Answer, Wake};
use super::port::Port;
use super::state::Host;
use super::{Condition, SimulatedFleet, World, no_connection};

/// The limit of every hook that is configured on a simulated host.
const LIMIT: Span = Span::minutes(30);

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// How long it takes; nothing when it never ends.
    pub takes: Option<Span>,
    /// What it comes to.
    pub then: Then,
    /// How much it writes.
    pub writes: Writes,
    /// What is different on its host when it has succeeded.
    pub changes: Changes,
}

/// What a hook comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It exits with this status.
    Exits(i32),
    /// It announces a reboot of its host, which is down for so long.
    Reboots(Span),
}

/// How much a hook writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// A line.
    Little,
    /// A hundred megabytes.
    Flood,
}

/// What a hook changes on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that is told.
    Nothing,
    /// libvirt's version: the daemon is started anew.
    Libvirt,
}

impl Default for Script {
    /// One that succeeds after half a minute.
    fn default() -> Self {
        let (then, changes) = (Then::Exits(0), Changes::Nothing);
        Self { takes: Some(Span::seconds(30)), then, writes: Writes::Little, changes }
    }
}

/// A hook that was begun.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    name: HookName,
    script: Script,
    begun: Instant,
    limit: Span,
    /// It has announced a reboot, and its host is going down or is down.
    announced: bool,
    ended: Option<HookRan>,
}

impl Ran {
    fn ends_at(&self) -> Option<Instant> {
        let takes = self.script.takes.unwrap_or(LIMIT).min(self.limit);
        (self.ended.is_none() && !self.announced).then(|| self.begun + takes.delta())
    }

    fn end(&mut self, outcome: HookOutcome, now: Instant) {
        let line = format!("{} is done\n", self.name);
        let output = match self.script.writes {
            Writes::Little => HookOutput { text: line, dropped_bytes: 0 },
            Writes::Flood => {
                let dropped_bytes = 100 << 20;
                HookOutput {
                    text: format!("[… {dropped_bytes} bytes are left out here …]\n{line}"),
                    dropped_bytes,
                }
            }
        };
        self.ended = Some(HookRan { outcome, output, took: Span::between(self.begun, now) });
    }

    fn standing(&self) -> Standing {
        if let Some(ran) = &self.ended {
            return Standing::Ended(ran.clone());
        }
        let doing = if self.announced { HookDoing::WaitsForReboot } else { HookDoing::Running };
        Standing::Going(HookStatus { since: self.begun, doing, line: Some(format!("{} goes on", self.name)) })
    }
}

impl SimulatedFleet {
    /// Configures a hook on a host, or gives it another script.
    pub fn set_hook(&self, host: &HostName, name: HookName, script: Script) {
        self.change(|world| {
            if let Some(host) = world.hosts.get_mut(host) {
                host.facts.hooks.insert(name.clone());
                host.hooks.insert(name, script);
            }
            world.wake(host, Wake::Everything);
        });
    }

    /// How often a hook was begun on a host.
    #[must_use]
    pub fn hook_runs(&self, host: &HostName, name: &HookName) -> usize {
        self.change(|world| {
            let ran = world.hosts.get(host).map(|host| &host.ran_hooks);
            ran.map_or(0, |ran| ran.iter().filter(|(_, ran)| ran.name == *name).count())
        })
    }

    /// Whether a host has power.
    #[must_use]
    pub fn power(&self, host: &HostName) -> Condition {
        self.change(|world| world.hosts.get(host).map_or(Condition::Down, |host| host.power))
    }
}

impl Host {
    /// What is told of a boot.
    pub(super) fn boot_id(name: &HostName, boots: u32) -> Option<String> {
        Some(format!("boot-{boots} of {name}"))
    }
}

impl World {
    /// When something happens next by hooks.
    pub(super) fn next_of_hooks(&self) -> Option<Instant> {
        let hosts = || self.hosts.values();
        let ends = hosts().flat_map(|host| &host.ran_hooks).filter_map(|(_, ran)| ran.ends_at());
        ends.chain(hosts().filter_map(|host| host.up_at)).min()
    }

    /// What hooks have come to by now.
    pub(super) fn end_hooks(&mut self) {
        let now = self.now;
        let names: Vec<HostName> = self.hosts.keys().cloned().collect();
        for name in names {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            let (mut reboots, mut upgraded, mut ended) = (None, false, false);
            for (_, ran) in &mut host.ran_hooks {
                if ran.ends_at().is_none_or(|at| at > now) {
                    continue;
                }
                ended = true;
                match (ran.script.takes, ran.script.then) {
                    (Some(takes), _) if takes > ran.limit => {
                        ran.end(HookOutcome::TimedOut { after: ran.limit }, now);
                    }
                    (None, _) => ran.end(HookOutcome::TimedOut { after: ran.limit }, now),
                    (Some(_), Then::Exits(status)) => {
                        ran.end(HookOutcome::of_status(Some(status), None), now);
                        upgraded |= status == 0 && ran.script.changes == Changes::Libvirt;
                    }
                    (Some(_), Then::Reboots(down)) => {
                        ran.announced = true;
                        reboots = Some(down);
                    }
                }
            }
            if upgraded {
                host.facts.libvirt_version += 1_000;
                self.set_daemon(&name, Condition::Down);
                self.set_daemon(&name, Condition::Up);
            } else if let Some(down) = reboots {
                host.up_at = Some(now + down.delta());
                self.set_power(&name, Condition::Down);
            } else if ended {
                self.wake(&name, Wake::Everything);
            }
        }
        let up = self.hosts.iter().filter(|(_, host)| host.up_at.is_some_and(|at| at <= now));
        let up: Vec<HostName> = up.map(|(name, _)| name.clone()).collect();
        for name in up {
            self.set_power(&name, Condition::Up);
        }
    }

    /// A host has booted: what ran on it ran before that.
    pub(super) fn has_booted(&mut self, name: &HostName) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.up_at = None;
        host.boots += 1;
        host.facts.boot_id = Host::boot_id(name, host.boots);
        for (_, ran) in host.ran_hooks.iter_mut().filter(|(_, ran)| ran.ended.is_none()) {
            if ran.announced {
                if ran.script.changes == Changes::Libvirt {
                    host.facts.libvirt_version += 1_000;
                }
                ran.end(HookOutcome::Succeeded, now);
            } else {
                let why = "the host was rebooted while it ran, and it had not said that it would".to_owned();
                ran.end(HookOutcome::Lost { why }, now);
            }
        }
    }

    fn run_hook(&mut self, name: &HostName, id: OperationId, order: &RunHook) -> Answer<Standing> {
        let now = self.now;
        let host = self.hosts.get_mut(name).ok_or_else(|| no_connection(name))?;
        if let Some((_, ran)) = host.ran_hooks.iter().find(|(known, _)| *known == id) {
            return Ok(ran.standing());
        }
        let Some(script) = host.hooks.get(&order.hook) else {
            return Ok(Standing::Ended(HookRan::not_begun(HookOutcome::NotConfigured)));
        };
        let limit = order.limit.map_or(LIMIT, |limit| limit.min(LIMIT));
        let (name, script) = (order.hook.clone(), script.clone());
        let ran = Ran { name, script, begun: now, limit, announced: false, ended: None };
        let standing = ran.standing();
        host.ran_hooks.push((id, ran));
        Ok(standing)
    }

    fn stop_hook(&mut self, name: &HostName, id: OperationId) -> Answer<()> {
        let now = self.now;
        let host = self.hosts.get_mut(name).ok_or_else(|| no_connection(name))?;
        let running = host.ran_hooks.iter_mut().find(|(known, ran)| *known == id && ran.ended.is_none());
        if let Some((_, ran)) = running {
            ran.end(HookOutcome::Stopped, now);
        }
        Ok(())
    }
}

impl Hooks for Port {
    fn run(&self, operation: OperationId, order: &RunHook) -> Answer<Standing> {
        self.counted(|world| world.run_hook(self.host(), operation, order))
    }

    fn stop(&self, operation: OperationId) -> Answer<()> {
        self.counted(|world| world.stop_hook(self.host(), operation))
    }

    /// What was run stays known, so that a test can count it: nobody asks for it again.
    fn forget(&self, _operation: OperationId) -> Answer<()> {
        Ok(())
    }
}
