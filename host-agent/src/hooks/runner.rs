//! The hooks of this host as the agent asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use drover_agent_api::RunHook;
use drover_policies::attempt::FailureClass;
use drover_policies::hooks::{HookDoing, HookOutcome, HookRan, HookStatus};
use drover_policies::ids::{HookName, HostName, OperationId};
use drover_policies::time::{Clock as _, Instant, Span};

use super::config::{self, Hook};
use super::place::{Begun, Ended, Place, Run, Written};
use crate::clock::SystemClock;
use crate::durable::DiskError;
use crate::hypervisor::hooks::{Hooks, Standing};
use crate::hypervisor::{Answer, Refusal, RefusalKind, Wake, Waker};

/// Where a hook finds programs. Nothing of the agent's own environment reaches it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What hooks are run with.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The programs.
    pub hooks: config::Hooks,
    /// This host.
    pub host: HostName,
    /// Where the agent keeps its files.
    pub data_dir: PathBuf,
    /// Names this boot of the host.
    pub boot_id: Option<String>,
    /// The program that supervises hooks when it is called as `supervise-hook DIRECTORY`: this agent's own.
    pub supervisor: PathBuf,
}

/// Runs the hooks of this host.
pub struct Runner {
    setting: Setting,
    /// Told when a hook has ended.
    waker: Arc<Mutex<Option<Waker>>>,
    /// Those whose supervisor this process has started and not seen end.
    supervised: Arc<Mutex<BTreeSet<OperationId>>>,
}

#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("its supervisor can't be started: {0}")]
    Supervisor(io::Error),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// With this setting. Nothing is looked at yet.
    ///
    /// # Errors
    /// When the data directory has no absolute path, as where the current directory is gone.
    pub fn new(setting: Setting, waker: Arc<Mutex<Option<Waker>>>) -> io::Result<Self> {
        let data_dir = std::path::absolute(&setting.data_dir)?;
        Ok(Self { setting: Setting { data_dir, ..setting }, waker, supervised: Arc::default() })
    }

    /// The hooks that can be run: those of which nothing is wrong.
    #[must_use]
    pub fn able(&self) -> BTreeSet<HookName> {
        let hooks = self.setting.hooks.iter();
        hooks.filter(|(_, hook)| hook.look().is_ok()).map(|(name, _)| name.clone()).collect()
    }

    /// Names this boot of the host.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        self.setting.boot_id.as_deref()
    }

    fn place(&self, operation: OperationId) -> Place {
        Place::at(&self.setting.data_dir.join("hooks").join(operation.to_string()))
    }

    fn look(&self, operation: OperationId, order: &RunHook) -> Result<Standing, Unknown> {
        let place = self.place(operation);
        match place.read::<Begun>()? {
            Some(begun) => Ok(self.judge(&place, &begun)?),
            None => match place.read::<Ended>()? {
                Some(Ended { outcome, .. }) => Ok(Standing::Ended(HookRan::not_begun(outcome))),
                None => self.begin(&place, operation, order),
            },
        }
    }

    fn begin(&self, place: &Place, operation: OperationId, order: &RunHook) -> Result<Standing, Unknown> {
        place.make()?;
        if lock(&self.supervised).contains(&operation) || place.is_held()? {
            return Ok(about_to_begin());
        }
        if place.is_to_stop()? {
            return Ok(not_to_begin(place, HookOutcome::Stopped)?);
        }
        let Some(hook) = self.setting.hooks.get(&order.hook) else {
            return Ok(not_to_begin(place, HookOutcome::NotConfigured)?);
        };
        if let Err(why) = hook.look() {
            return Ok(not_to_begin(place, HookOutcome::Refused { why })?);
        }
        place.write(&self.run_of(place, operation, order, hook))?;
        self.supervise(place.directory(), operation).map_err(Unknown::Supervisor)?;
        Ok(about_to_begin())
    }

    fn run_of(&self, place: &Place, operation: OperationId, order: &RunHook, hook: &Hook) -> Run {
        let variables: [(&str, String); 10] = [
            ("DROVER_HOOK", order.hook.to_string()),
            ("DROVER_HOST", self.setting.host.to_string()),
            ("DROVER_MAINTENANCE", order.maintenance.clone()),
            ("DROVER_REASON", order.reason.clone()),
            ("DROVER_ATTEMPT", order.attempt.to_string()),
            ("DROVER_OPERATION", operation.to_string()),
            ("DROVER_REBOOT_FILE", place.reboot_file().display().to_string()),
            ("PATH", PATH.to_owned()),
            ("HOME", "/root".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ];
        // The system takes no NUL there, and scripts are surprised by lines.
        let plain = |text: String| text.replace(char::is_control, " ");
        Run {
            program: hook.program.clone(),
            limit: order.limit.map_or(hook.limit, |limit| limit.min(hook.limit)),
            variables: BTreeMap::from(variables.map(|(name, value)| (name.to_owned(), plain(value)))),
            boot_id: self.setting.boot_id.clone(),
        }
    }

    fn supervise(&self, directory: &Path, operation: OperationId) -> io::Result<()> {
        let mut command = Command::new(&self.setting.supervisor);
        command.arg("supervise-hook").arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        lock(&self.supervised).insert(operation);
        let (waker, supervised) = (Arc::clone(&self.waker), Arc::clone(&self.supervised));
        let waited = thread::Builder::new().name("hook".to_owned()).spawn(move || {
            let ended = child.wait();
            lock(&supervised).remove(&operation);
            if let Ok(status) = ended
                && !status.success()
            {
                tracing::error!(%operation, "the supervisor of a hook has failed: {status}");
            }
            let waker = lock(&waker).clone();
            if let Some(waker) = waker {
                waker(Wake::Everything);
            }
        });
        // Nobody waits for it then, and nothing else depends on that: how it stands is read from its directory.
        if waited.is_err() {
            lock(&self.supervised).remove(&operation);
        }
        Ok(())
    }

    /// How a hook stands that was begun.
    fn judge(&self, place: &Place, begun: &Begun) -> Result<Standing, DiskError> {
        // In this order: a supervisor that ends between the two questions has noted the end.
        let held = place.is_held()?;
        let ended = place.read::<Ended>()?;
        let written = place.read::<Written>().ok().flatten().unwrap_or_default();
        let rebooted = begun.boot_id != self.setting.boot_id;
        let since_begun = Span::between(begun.at, SystemClock.now());
        let going =
            |doing| Ok(Standing::Going(HookStatus { since: begun.at, doing, line: written.line.clone() }));
        let over =
            |outcome, took| Ok(Standing::Ended(HookRan { outcome, output: written.output.clone(), took }));
        // A reboot that it has announced ends it whatever is known of its process, which is killed by the reboot more often than not.
        let went_well = match &ended {
            None
            | Some(Ended {
                outcome: HookOutcome::Succeeded | HookOutcome::Failed { exit: None, .. }, ..
            }) => true,
            Some(_) => false,
        };
        if went_well && place.reboots()? {
            let limit = place.read::<Run>()?.map_or(Span::ZERO, |run| run.limit);
            return if rebooted {
                over(HookOutcome::Succeeded, since_begun)
            } else if !held && place.is_to_stop()? {
                over(HookOutcome::Stopped, since_begun)
            } else if !held && since_begun >= limit {
                over(HookOutcome::TimedOut { after: limit }, since_begun)
            } else {
                going(HookDoing::WaitsForReboot)
            };
        }
        match ended {
            Some(Ended { outcome, took }) => over(outcome, took),
            None if rebooted => over(lost(BY_REBOOT), since_begun),
            None if held => going(HookDoing::Running),
            None => over(lost(BY_KILL), since_begun),
        }
    }
}

const BY_REBOOT: &str = "the host was rebooted while it ran, and it had not said that it would; a hook that reboots makes the file $DROVER_REBOOT_FILE before";

const BY_KILL: &str = "the process that supervises it was killed; look on the host whether it goes on";

fn lost(why: &str) -> HookOutcome {
    HookOutcome::Lost { why: why.to_owned() }
}

fn about_to_begin() -> Standing {
    let since: Instant = SystemClock.now();
    Standing::Going(HookStatus { since, doing: HookDoing::Running, line: None })
}

/// Says so only when no supervisor can begin it any more, be it one that an earlier start of this agent has called.
fn not_to_begin(place: &Place, outcome: HookOutcome) -> Result<Standing, DiskError> {
    let Some(_lock) = place.lock()? else { return Ok(about_to_begin()) };
    if place.read::<Begun>()?.is_some() {
        return Ok(about_to_begin());
    }
    place.write(&Ended { outcome: outcome.clone(), took: Span::ZERO })?;
    Ok(Standing::Ended(HookRan::not_begun(outcome)))
}

fn refusal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), error.to_string())
}

impl Hooks for Runner {
    fn run(&self, operation: OperationId, order: &RunHook) -> Answer<Standing> {
        self.look(operation, order).map_err(refusal)
    }

    fn stop(&self, operation: OperationId) -> Answer<()> {
        let place = self.place(operation);
        place.make().and_then(|()| place.stop()).map_err(refusal)
    }

    fn forget(&self, operation: OperationId) -> Answer<()> {
        self.place(operation).remove().map_err(refusal)
    }
}
