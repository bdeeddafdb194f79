//! A PostgreSQL of the tests' own: on a socket in a directory of its own, thrown away at the end of the process, however it ends.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running cluster. One for the whole process: making one takes a second or two.
pub struct Cluster {
    bin: PathBuf,
    home: PathBuf,
    user: Option<(u32, u32)>,
    databases: AtomicU32,
    /// As long as its input is open, the guardian keeps the cluster; see [`Cluster::start`].
    _guardian: Child,
}

/// The cluster, started at the first call. Nothing where PostgreSQL is not installed, which is said aloud.
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| match installed() {
            Some(bin) => Some(Cluster::start(bin)),
            None => {
                // Not by a macro: those are silenced while a test passes.
                let said = std::io::stderr().write_all(b"SKIPPED: no PostgreSQL in /usr/lib/postgresql\n");
                said.expect("standard error is open");
                None
            }
        })
        .as_ref()
}

/// Debian's layout, the latest version that there is.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").exists() && bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// PostgreSQL refuses to run as root.
fn other_user() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").expect("there is /proc").uid() == 0;
    if !root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let line =
        users.lines().find(|line| line.starts_with("postgres:")).expect("PostgreSQL has made its user");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().expect("a number"));
    Some((ids.next().expect("a user id"), ids.next().expect("a group id")))
}

impl Cluster {
    fn start(bin: PathBuf) -> Self {
        let home = tempfile::Builder::new().prefix("drover-postgres-").tempdir().expect("a directory").keep();
        let user = other_user();
        if let Some((uid, gid)) = user {
            chown(&home, Some(uid), Some(gid)).expect("root may give a directory away");
        }
        let data = home.join("data");
        let made = as_user(Command::new(bin.join("initdb")), user, &home)
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // The guardian ends the cluster and removes its files when its input closes: at the end of this process, by whatever
        // way that comes. Nothing of this process could do that after a kill.
        let guardian = as_user(Command::new("sh"), user, &home)
            .arg("-c")
            .arg(
                "home=$1; shift; \"$@\" >\"$home/log\" 2>&1 & postgres=$!; cat >/dev/null; \
                 kill -QUIT $postgres; wait $postgres; cd /; rm -rf \"$home\"",
            )
            .arg("guardian")
            .arg(&home)
            .arg(bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&home)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=300"])
            .stdin(Stdio::piped())
            // An interrupt at the terminal is for the tests; the guardian then sees its input close.
            .process_group(0)
            .spawn()
            .expect("a shell runs");
        let this = Self { bin, home, user, databases: AtomicU32::new(0), _guardian: guardian };
        this.await_readiness();
        this
    }

    fn await_readiness(&self) {
        for _ in 0..600 {
            let ready = self.client("pg_isready").arg("-q").status().expect("pg_isready runs").success();
            if ready {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
        panic!("PostgreSQL did not come up: {log}");
    }

    fn client(&self, name: &str) -> Command {
        let mut command = as_user(Command::new(self.bin.join(name)), self.user, &self.home);
        command.arg("-h").arg(&self.home).args(["-U", "postgres"]);
        command
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        let name = format!("drover_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = self.client("createdb").arg(&name).output().expect("createdb runs");
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://postgres@localhost/{name}?host={}", self.home.display())
    }
}

fn as_user(mut command: Command, user: Option<(u32, u32)>, home: &Path) -> Command {
    command.current_dir(home);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
