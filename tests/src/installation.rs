//! Drover installed on a lab: the real scheduler, a real agent on each host, the real command line.
//!
//! The scheduler runs outside of all hosts and listens on the lab's bridge, where every host reaches it; an agent runs
//! inside of each host, beside that host's libvirtd. Each has its files in the lab's directory and its log in a file. All
//! are on the lab's record, so they end with the lab, also when whoever started them was killed.

mod api;
mod programs;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

pub use api::{Answer, Api};
pub use programs::Programs;

use crate::lab::process::ProcessId;
use crate::lab::{EVENTS_ADDRESS, EVENTS_BRIDGE, Host, LOCAL_STORAGE, Lab, LabState, SHARED_STORAGE};

/// The scheduler's port on the bridge. The address is the lab's alone, so nobody else can have it.
const PORT: u16 = 7300;

/// The port on which agents take replicas.
const REPLICA_PORT: u16 = 16520;

/// Where, inside of a host, its agent has QEMU keep what a guest overwrites while a round reads its disks.
pub const SCRATCH: &str = "/var/lib/libvirt/scratch";

/// How long a process of ours may take to be ready; measured: well under a second, on a busy machine more.
const READY: Duration = Duration::from_secs(30);

/// How many lines of each log a failure shows.
const LOG_LINES: usize = 25;

/// How Drover is to be installed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The policy file's text.
    pub policy: String,
    /// Where the scheduler keeps its tables.
    pub database: Database,
    /// More of the scheduler's configuration, as TOML: its `[mail]` tables. Without any, mails go into the maildir that
    /// [`Installation::maildir`] names.
    pub mail: String,
    /// Whether live migrations are encrypted.
    pub migration_tls: MigrationTls,
    /// Whether agents take replicas of local disks.
    pub replicas: Replicas,
    /// Hooks of every host: their names, and their programs' text.
    pub hooks: &'static [(&'static str, &'static str)],
}

/// Whether agents take replicas of local disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// No agent listens for them.
    Refused,
    /// Every agent does, for disks in [`LOCAL_STORAGE`]; and servers of other hypervisors are imported there, from [`incoming`].
    Held,
}

/// Whether live migrations are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationTls {
    /// They are not.
    Off,
    /// They are, disks included.
    On,
}

/// Where the scheduler keeps its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In its data directory.
    Sqlite,
    /// In PostgreSQL, at this address.
    Postgres(String),
}

impl Options {
    /// SQLite, a maildir, no replicas, and this policy.
    #[must_use]
    pub fn new(policy: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            database: Database::Sqlite,
            mail: String::new(),
            replicas: Replicas::Refused,
            migration_tls: MigrationTls::Off,
            hooks: &[],
        }
    }
}

/// Where every host of a lab finds what is to be imported.
#[must_use]
pub fn incoming(lab: &LabState) -> PathBuf {
    lab.dir.join("incoming")
}

/// Drover on a lab. Its processes end when it is dropped, unless it was left.
#[derive(Debug)]
pub struct Installation {
    lab: LabState,
    hosts: Vec<Host>,
    programs: Programs,
    dir: PathBuf,
    api: Api,
    running: Mutex<Running>,
    on_drop: OnDrop,
}

#[derive(Debug, Default)]
struct Running {
    scheduler: Option<Child>,
    agents: BTreeMap<String, Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    End,
    Leave,
}

impl Installation {
    /// Installs and starts everything, and waits until each host has been heard of.
    ///
    /// # Errors
    /// If a program is not built, or something does not get ready; the message holds the ends of the logs.
    pub fn start(lab: &Lab, options: &Options) -> Result<Self> {
        let programs = Programs::find()?;
        let dir = lab.state().dir.join("drover");
        for dir in [&dir, &incoming(lab.state())] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let address = SocketAddr::from((lab.state().address(1), PORT));
        write_scheduler_config(&dir, address, options)?;
        let token = init(&programs, &dir)?;
        write_secret(&dir.join("token"), &token)?;
        let cli = format!("url = \"http://{address}\"\ntoken_file = {:?}\n", dir.join("token"));
        fs::write(dir.join("cli.toml"), cli)?;
        let installation = Self {
            lab: lab.state().clone(),
            hosts: lab.hosts().to_vec(),
            programs,
            api: Api::new(&format!("http://{address}"), &token)?,
            dir,
            running: Mutex::default(),
            on_drop: OnDrop::End,
        };
        installation.start_scheduler()?;
        for host in &installation.hosts {
            installation.prepare_agent(host, options)?;
            installation.start_agent(host.name())?;
        }
        installation.wait_until_all_are_heard()?;
        Ok(installation)
    }

    /// The API, asked as an operator.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Where the installation's files are: configurations, logs, database and maildir.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where mails arrive if nothing else was configured.
    #[must_use]
    pub fn maildir(&self) -> PathBuf {
        self.dir.join("data/mail")
    }

    /// The real command line as an operator, with this installation's address and token; it inherits the terminal.
    #[must_use]
    pub fn drover_command<I, S>(&self, words: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = Command::new(&self.programs.drover);
        for foreign in ["DROVER_URL", "DROVER_TOKEN", "DROVER_TOKEN_FILE"] {
            command.env_remove(foreign);
        }
        command.env("DROVER_CONFIG", self.dir.join("cli.toml")).args(words);
        command
    }

    /// Runs the real command line to its end and returns what it said.
    ///
    /// # Errors
    /// If it cannot be started. That it fails is told by what is returned.
    pub fn drover<I, S>(&self, words: I) -> Result<Output>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        self.drover_command(words).stdin(Stdio::null()).output().context("cannot start drover")
    }

    /// As [`Self::drover`], for commands that must succeed: returns what was printed.
    ///
    /// # Errors
    /// If it fails; the message is what it said.
    pub fn drover_ok(&self, words: &[&str]) -> Result<String> {
        let output = self.drover(words)?;
        ensure!(
            output.status.success(),
            "drover {} ended with {}: {}{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A token for an owner, as he would use it.
    ///
    /// # Errors
    /// If the scheduler refuses.
    pub fn owner_token(&self, owner: &str) -> Result<String> {
        self.issue("owner", owner)
    }

    fn issue(&self, role: &str, subject: &str) -> Result<String> {
        let issued = self
            .api
            .post("/v1/tokens", &serde_json::json!({ "role": role, "subject": subject }))?
            .ok()
            .with_context(|| format!("no token for {role} {subject}"))?;
        issued["secret"].as_str().map(ToOwned::to_owned).context("the answer holds no secret")
    }

    /// Starts the scheduler and waits until it answers.
    ///
    /// # Errors
    /// If it runs already, or does not answer.
    pub fn start_scheduler(&self) -> Result<()> {
        {
            let mut running = self.running();
            ensure!(running.scheduler.is_none(), "the scheduler runs already");
            let mut command = Command::new("setsid");
            command
                .arg(&self.programs.scheduler)
                .arg("--config")
                .arg(self.dir.join("scheduler.toml"))
                .arg("serve");
            let child = self.spawn(&mut command, &self.dir.join("scheduler.log"))?;
            running.scheduler = Some(child);
        }
        self.wait("the scheduler to answer", READY, || Ok(self.api.get("/v1/hosts").ok()))?.ok().map(drop)
    }

    /// Kills the scheduler with SIGKILL, as a crash does.
    ///
    /// # Errors
    /// If it was not running.
    pub fn kill_scheduler(&self) -> Result<()> {
        let mut child = self.running().scheduler.take().context("the scheduler is not running")?;
        end(&mut child);
        Ok(())
    }

    /// Starts the agent of a host. Does not wait until it is heard of.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn start_agent(&self, host: &str) -> Result<()> {
        let mut running = self.running();
        ensure!(!running.agents.contains_key(host), "the agent of {host} runs already");
        let place = self.host(host)?;
        // The program replaces setsid, and setsid nsenter: killing the process kills the agent and nothing else.
        let mut command = place.command("setsid");
        command.arg(&self.programs.agent).arg("--config").arg(self.configuration_of(host)?);
        let child = self.spawn(&mut command, &self.agent_log(host))?;
        running.agents.insert(host.to_owned(), child);
        Ok(())
    }

    /// Kills the agent of a host with SIGKILL, as a crash does.
    ///
    /// # Errors
    /// If it was not running.
    pub fn kill_agent(&self, host: &str) -> Result<()> {
        let child = self.running().agents.remove(host);
        end(&mut child.with_context(|| format!("the agent of {host} is not running"))?);
        Ok(())
    }

    /// Takes the replication out of a host's configuration and starts its agent anew. Returns the configuration as it was.
    ///
    /// # Errors
    /// If it has none, or the agent can't be started.
    pub fn stop_replication(&self, host: &str) -> Result<String> {
        let before = fs::read_to_string(self.configuration_of(host)?)?;
        let (without, after) = before.split_once("[replication]").context("nothing is replicated there")?;
        let after = after.split_once("\n[").map(|(_, after)| format!("[{after}")).unwrap_or_default();
        self.put_configuration(host, &format!("{without}{after}"))?;
        Ok(before)
    }

    /// Writes a host's configuration and starts its agent anew.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn put_configuration(&self, host: &str, text: &str) -> Result<()> {
        fs::write(self.configuration_of(host)?, text)?;
        self.kill_agent(host)?;
        self.start_agent(host)
    }

    fn configuration_of(&self, host: &str) -> Result<PathBuf> {
        Ok(self.host(host)?.dir().join("agent/agent.toml"))
    }

    /// Waits until every host's agent has told what runs there.
    ///
    /// # Errors
    /// If one has not in time.
    pub fn wait_until_all_are_heard(&self) -> Result<()> {
        self.wait("every host to be heard of", READY, || {
            let hosts = self.api.get("/v1/hosts")?.ok()?;
            let heard = |host: &serde_json::Value| host["agent"]["last_seen"].is_string();
            let count =
                hosts["items"].as_array().map_or(0, |items| items.iter().filter(|host| heard(host)).count());
            Ok((count == self.hosts.len()).then_some(()))
        })
    }

    /// Waits until the scheduler shows these servers as running, each on its host.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn wait_until_known(&self, servers: &[(&str, &str)], limit: Duration) -> Result<()> {
        self.wait(&format!("{servers:?} to be known"), limit, || {
            let known = self.api.all("/v1/servers")?;
            let there = |(name, host): &(&str, &str)| {
                known.iter().any(|server| {
                    server["name"] == *name && server["host"] == *host && server["power"] == "running"
                })
            };
            Ok(servers.iter().all(there).then_some(()))
        })
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Errors
    /// If there is none within `limit`; the message holds what was waited for, the last error, and the ends of the logs.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            let problem = match ask() {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if Instant::now() >= deadline {
                let last =
                    problem.map(|error| format!("; the last answer was: {error:#}")).unwrap_or_default();
                bail!("waited {limit:?} for {what}, in vain{last}\n{}", self.logs());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// The ends of all logs, for whoever wants to know why something went wrong.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut logs = vec![("scheduler".to_owned(), self.dir.join("scheduler.log"))];
        for host in &self.hosts {
            logs.push((format!("agent of {}", host.name()), self.agent_log(host.name())));
            logs.push((format!("libvirtd of {}", host.name()), host.dir().join("log/libvirtd.log")));
        }
        let end = |path: &Path| {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
        };
        logs.iter().map(|(name, path)| format!("--- {name}: {}\n{}\n", path.display(), end(path))).collect()
    }

    /// Lets everything run on after this process; the lab's end ends it.
    pub fn leave(&mut self) {
        self.on_drop = OnDrop::Leave;
    }

    fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|host| host.name() == name).with_context(|| format!("there is no host {name}"))
    }

    fn agent_log(&self, host: &str) -> PathBuf {
        self.dir.join(format!("agent-{host}.log"))
    }

    /// Writes an agent's configuration and token into its host's directory.
    fn prepare_agent(&self, host: &Host, options: &Options) -> Result<()> {
        let dir = host.dir().join("agent");
        fs::create_dir_all(&dir)?;
        write_secret(&dir.join("token"), &self.issue("agent", host.name())?)?;
        let config = format!(
            "host = {name:?}\nscheduler = {url:?}\ntoken_file = {token:?}\ndata_dir = {ledger:?}\n\
             [libvirt]\nreached_by = {reached:?}\nmigration_tls = {tls}\n\
             [guest_events]\nlisten = [\"{EVENTS_ADDRESS}:80\"]\nbridges = [{EVENTS_BRIDGE:?}]\n\
             [[shared_storage]]\nname = \"shared\"\npath = {SHARED_STORAGE:?}\n",
            name = host.name(),
            url = self.api.url(),
            token = dir.join("token"),
            ledger = dir.join("ledger"),
            reached = host.libvirt_uri(),
            tls = options.migration_tls == MigrationTls::On,
        );
        let replication = match options.replicas {
            Replicas::Refused => String::new(),
            Replicas::Held => format!(
                "[replication]\nlisten = \"{}:{REPLICA_PORT}\"\ndirectories = [{LOCAL_STORAGE:?}]\nscratch = {SCRATCH:?}\n\
                 [import]\nsources = [{:?}]\n",
                host.ip(),
                incoming(&self.lab),
            ),
        };
        let hooks: String = options
            .hooks
            .iter()
            .map(|(name, text)| {
                let program = dir.join(format!("hook-{name}"));
                fs::write(&program, text)?;
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
                Ok(format!("[hooks.{name}]\nrun = {program:?}\nlimit = \"5m\"\n"))
            })
            .collect::<Result<_>>()?;
        let config = config + &replication + &hooks;
        fs::write(dir.join("agent.toml"), config).map_err(Into::into)
    }

    /// Starts a process, its output appended to a log, and puts it on the lab's record.
    fn spawn(&self, command: &mut Command, log: &Path) -> Result<Child> {
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        match ProcessId::of(i32::try_from(child.id())?) {
            Some(process) => self.lab.add_helper(process)?,
            None => bail!("{} ended at once: {}", command.get_program().display(), child.wait()?),
        }
        Ok(child)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Leave {
            return;
        }
        let running = std::mem::take(&mut *self.running());
        for mut child in running.agents.into_values().chain(running.scheduler) {
            end(&mut child);
        }
    }
}

/// Kills a child and takes its exit status, so that nothing of it is left.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn write_scheduler_config(dir: &Path, address: SocketAddr, options: &Options) -> Result<()> {
    let database = match &options.database {
        Database::Sqlite => String::new(),
        Database::Postgres(url) => format!("database = {url:?}\n"),
    };
    fs::write(dir.join("policy.toml"), &options.policy)?;
    let config = format!(
        "data_dir = {:?}\n{database}listen = \"{address}\"\npolicies = {:?}\n{}[web]\naddress = \"http://{address}\"\n",
        dir.join("data"),
        dir.join("policy.toml"),
        options.mail
    );
    fs::write(dir.join("scheduler.toml"), config).map_err(Into::into)
}

/// Writes what nobody else may read.
pub(crate) fn write_secret(path: &Path, secret: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the database, and returns the first operator's token.
pub(crate) fn init(programs: &Programs, dir: &Path) -> Result<String> {
    let output = Command::new(&programs.scheduler)
        .arg("--config")
        .arg(dir.join("scheduler.toml"))
        .args(["init", "--quiet"])
        .output()
        .context("cannot start drover-scheduler")?;
    ensure!(
        output.status.success(),
        "drover-scheduler init: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
