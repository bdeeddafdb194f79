//! A host's agent as a process: started, killed, restarted on the same ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use drover_agent_api::OperationState;
use drover_host_agent::agent::Agent;
use drover_host_agent::clock::HostClock;
use drover_host_agent::hypervisor::simulated::{SimulatedFleet, survive};
use drover_policies::ids::HostName;
use drover_policies::time::{Clock as _, Instant, Span};

use super::clock::{MachineClock, WorldTime};

/// A host, as far as Drover's agent is concerned.
pub struct Node {
    /// Its name.
    pub name: HostName,
    /// The clock of the machine.
    pub clock: Arc<MachineClock>,
    /// The agent, while it runs.
    pub agent: Option<Arc<Agent>>,
    /// Whether the agent reaches the scheduler.
    pub reaches_scheduler: bool,
    /// When it was last heard by the scheduler, in the world's time.
    pub heard_at: Instant,
    fleet: Arc<SimulatedFleet>,
    ledger: PathBuf,
}

/// Whether the agent has lived through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lived {
    /// It has, or there was none.
    Yes,
    /// It was killed.
    No,
}

impl Node {
    /// A host whose agent does not run yet.
    #[must_use]
    pub fn new(name: HostName, time: &Arc<WorldTime>, fleet: &Arc<SimulatedFleet>, directory: &Path) -> Self {
        let ledger = directory.join(name.as_str());
        Self {
            clock: MachineClock::new(time),
            agent: None,
            reaches_scheduler: true,
            heard_at: time.now(),
            fleet: Arc::clone(fleet),
            ledger,
            name,
        }
    }

    /// Starts the agent, as its service manager would.
    ///
    /// # Errors
    /// The ledger can't be used.
    pub fn start(&mut self) -> Result<()> {
        if self.agent.is_none() {
            let port = self.fleet.hypervisor(&self.name);
            let clock = Arc::clone(&self.clock) as Arc<dyn HostClock>;
            let open = survive(|| Agent::open(self.name.clone(), port, clock, &self.ledger));
            // One that is killed while it opens its ledger is simply not there.
            if let Ok(agent) = open {
                let agent = agent.with_context(|| format!("the agent of {} does not start", self.name))?;
                agent.serve_guests();
                self.agent = Some(agent);
            }
        }
        Ok(())
    }

    /// As `kill -9`: whatever it held in memory is gone.
    pub fn kill(&mut self) {
        self.agent = None;
    }

    /// Everything that is due now.
    pub fn step(&mut self) -> Lived {
        let Some(agent) = self.agent.clone() else { return Lived::Yes };
        let stepped = survive(|| agent.step());
        drop(agent);
        match stepped {
            Ok(_) => Lived::Yes,
            Err(_) => {
                self.kill();
                Lived::No
            }
        }
    }

    /// Whether its agent has an operation that has not ended, if only one that waits for its time, or a copy whose next round has one.
    #[must_use]
    pub fn works(&self) -> bool {
        let operations = self.agent.as_ref().map(|agent| agent.request(Span::ZERO).operations);
        let works = |state: &OperationState| {
            matches!(
                state,
                OperationState::Running { .. }
                    | OperationState::Replicating { .. }
                    | OperationState::RunningHook { .. }
            )
        };
        operations.unwrap_or_default().iter().any(|told| works(&told.state))
    }

    /// When the agent wants to be stepped next, in the world's time.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.agent.as_ref().map(|agent| self.clock.in_world(agent.next_due()))
    }
}
