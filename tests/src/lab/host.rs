//! One hypervisor of the lab: namespaces of its own, a libvirtd of its own, directories of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use drover_host_agent::clock::RandomIds;
use drover_policies::ids::IdSource as _;

use super::certificates::CERTIFICATES;
use super::image;
use super::network::{self, LinkState};
use super::process::{self, ProcessId, run, wait_for};
use super::state::LabState;

/// Where every host sees the storage that all share. QEMU opens disks there with `cache=none`, and libvirt is told by
/// `shared_filesystems` that it is shared; it would refuse to migrate otherwise, as it cannot tell a bind mount from a
/// directory that only this host has.
pub const SHARED_STORAGE: &str = "/var/lib/libvirt/shared";

/// Where every host keeps disks that no other host sees.
pub const LOCAL_STORAGE: &str = "/var/lib/libvirt/local";

/// The TCP port of each libvirtd, without authentication. It can be reached from the lab's own network only.
pub const LIBVIRT_PORT: u16 = 16509;

/// The inside of a host, as a script that a shell runs in the host's new namespaces.
const SCRIPT: &str = include_str!("host.sh");

/// The name of the shell that runs [`SCRIPT`]; `sleep` replaces it, so it is only seen if the script hangs.
const SCRIPT_NAME: &str = "drover-lab-host";

/// Where libvirt keeps what it found out about each QEMU, as seen from outside, below a host's own directory.
const CAPABILITIES: &str = "cache/qemu/capabilities";

/// What a host has of its own, by its place in the host's directory; `host.sh` mounts each where libvirt looks for it.
const OWN_DIRS: [&str; 8] = ["etc", "lib/shared", "lib/local", "lib/dnsmasq", "log", "cache", "run", "agent"];

/// How long a libvirtd may take to answer after it was started; measured: 0.3 s, on a busy machine much more.
const LIBVIRTD_PATIENCE: Duration = Duration::from_secs(60);

/// A hypervisor of the lab.
#[derive(Debug, Clone)]
pub struct Host {
    state: LabState,
    number: usize,
    name: String,
    /// The same for all that speak of this host, also after it was brought up anew.
    holder: Arc<Mutex<ProcessId>>,
}

/// What a program that ran in a host or against it said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Said {
    /// What it printed, trimmed.
    ///
    /// # Errors
    /// If it failed; the message is what it complained about.
    pub fn ok(self) -> Result<String> {
        if !self.success {
            bail!("{}", self.stderr.trim());
        }
        Ok(self.stdout.trim().to_owned())
    }
}

/// What fills a file system; gone when this is dropped.
#[derive(Debug)]
pub struct Ballast {
    file: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

impl Host {
    /// Makes the inside of a host whose network namespace is there already, and starts its libvirtd.
    pub(super) fn create(state: &LabState, number: usize) -> Result<Self> {
        let name = format!("h{number}");
        let dir = state.host_dir(number);
        for own in OWN_DIRS {
            fs::create_dir_all(dir.join(own))?;
        }
        write_configuration(state, number, &dir.join("etc"))?;
        fs::write(dir.join("hosts"), names(state))?;
        fs::write(dir.join("boot_id"), format!("{}\n", RandomIds.next()))?;
        copy_files(&image::cache_dir().join("capabilities"), &dir.join(CAPABILITIES))?;
        let mut child = Command::new("setsid")
            .args(["ip", "netns", "exec", &state.namespace(number)])
            .args(["unshare", "--uts", "--mount", "--propagation", "private"])
            .args(["sh", "-c", SCRIPT, SCRIPT_NAME, &name])
            .args([&dir, &state.shared_dir()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.join("holder.log"))?)
            .spawn()
            .context("cannot start setsid; it is in util-linux")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the host's script has no output")?)
            .read_line(&mut line)?;
        if line.trim() != "ready" {
            let _ = child.wait();
            bail!("host {name} could not be made: {}", fs::read_to_string(dir.join("holder.log"))?.trim());
        }
        let holder = ProcessId::of(i32::try_from(child.id())?).context("the host's holder ended at once")?;
        // The holder lives as long as the host; somebody has to take its exit status when it is killed.
        std::thread::spawn(move || child.wait());
        let host = Self { state: state.clone(), number, name, holder: Arc::new(Mutex::new(holder)) };
        host.start_libvirtd()?;
        Ok(host)
    }

    /// A host that another process made.
    pub(super) fn attach(state: &LabState, number: usize) -> Result<Self> {
        let holder = process::in_network_namespace(&network::namespace_path(state, number))
            .into_iter()
            .find(|pid| process::command_line(*pid) == ["sleep", "infinity"])
            .and_then(ProcessId::of)
            .with_context(|| format!("host h{number} of lab {} is not up", state.name))?;
        let holder = Arc::new(Mutex::new(holder));
        Ok(Self { state: state.clone(), number, name: format!("h{number}"), holder })
    }

    /// The host's own name, as `hostname` gives it inside: h1, h2 and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's address in the lab's network.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.state.address(network::host_part(self.number))
    }

    /// The UUID that its libvirtd calls itself by.
    #[must_use]
    pub fn uuid(&self) -> String {
        host_uuid(&self.state, self.number)
    }

    /// How its libvirtd is reached from outside and from the other hosts.
    #[must_use]
    pub fn libvirt_uri(&self) -> String {
        format!("qemu+tcp://{}:{LIBVIRT_PORT}/system", self.ip())
    }

    /// The host's own directory as seen from outside: `etc`, `lib`, `log`, `cache`, `run`, and `agent` for whatever a
    /// test or the demo starts in the host.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.state.host_dir(self.number)
    }

    /// What lies at `path` inside of the host, as seen from outside; only for libvirt's directories and `/run`.
    #[must_use]
    pub fn outside(&self, path: &str) -> PathBuf {
        if let Some(rest) = path.strip_prefix(SHARED_STORAGE) {
            return self.state.shared_dir().join(rest.trim_start_matches('/'));
        }
        let mounts = [
            ("/etc/libvirt", "etc"),
            ("/var/lib/libvirt", "lib"),
            ("/var/log/libvirt", "log"),
            ("/var/cache/libvirt", "cache"),
            ("/run", "run"),
        ];
        mounts
            .iter()
            .find_map(|(inside, own)| {
                Some(self.dir().join(own).join(path.strip_prefix(inside)?.trim_start_matches('/')))
            })
            .unwrap_or_else(|| PathBuf::from(path))
    }

    /// A command that runs inside the host: its network, host name and directories. The process that is started is the
    /// program itself, so that killing it kills nothing else.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.holder().to_string(), "--mount", "--uts", "--net", "--"])
            .arg(program);
        command
    }

    /// Asks the host's libvirtd by virsh, from outside.
    ///
    /// # Errors
    /// If virsh cannot be started. That virsh fails is told by what is returned.
    pub fn virsh<I, S>(&self, words: I) -> Result<Said>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let output = Command::new("virsh")
            .env("LC_ALL", "C")
            .args(["--quiet", "--connect", &self.libvirt_uri()])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .context("cannot start virsh; tests/lab/install.sh installs it")?;
        Ok(Said {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Asks virsh for what takes a description of something in a file.
    ///
    /// # Errors
    /// If it is refused.
    pub fn virsh_with(&self, verb: &str, xml: &str) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(xml.as_bytes())?;
        self.virsh([verb.as_ref(), file.path().as_os_str()])?.ok().map(drop)
    }

    /// Starts libvirtd and waits until it answers.
    ///
    /// It is the child of a small init that adopts the QEMUs which libvirtd lets go, and takes their exit status at once. The first
    /// process of a container may do so only now and then, and libvirtd waits for that at the end of each migration.
    ///
    /// # Errors
    /// If it does not; the message holds the end of its log.
    pub fn start_libvirtd(&self) -> Result<()> {
        let output = fs::File::create(self.dir().join("libvirtd.out"))?;
        let inside = self.command("tini");
        let mut child = Command::new("setsid")
            .arg(inside.get_program())
            .args(inside.get_args())
            .args(["-s", "--", "libvirtd", "--listen"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start setsid; it is in util-linux")?;
        std::thread::spawn(move || child.wait());
        let answers = wait_for(LIBVIRTD_PATIENCE, Duration::from_millis(20), || {
            std::net::TcpStream::connect_timeout(&(self.ip(), LIBVIRT_PORT).into(), Duration::from_secs(1))
                .ok()
        });
        if answers.is_none() {
            bail!("libvirtd of {} does not answer: {}", self.name, self.libvirtd_log());
        }
        Ok(())
    }

    /// Kills libvirtd with SIGKILL, as a crash does. Guests go on.
    ///
    /// # Errors
    /// If it was not running.
    pub fn kill_libvirtd(&self) -> Result<()> {
        let pid = self.libvirtd_pid().with_context(|| format!("libvirtd of {} is not running", self.name))?;
        if let Some(process) = ProcessId::of(pid) {
            process.kill();
        }
        Ok(())
    }

    /// Kills libvirtd and starts it again.
    ///
    /// # Errors
    /// If it was not running or does not come back.
    pub fn restart_libvirtd(&self) -> Result<()> {
        self.kill_libvirtd()?;
        self.start_libvirtd()
    }

    /// The process number of libvirtd, if it runs.
    #[must_use]
    pub fn libvirtd_pid(&self) -> Option<i32> {
        self.processes()
            .into_iter()
            .find(|pid| process::command_line(*pid).first().is_some_and(|word| ends_in(word, "libvirtd")))
    }

    /// The process number of the QEMU that runs the guest of this name here, also as the receiver of a migration.
    #[must_use]
    pub fn qemu_pid(&self, guest: &str) -> Option<i32> {
        let wanted = format!("guest={guest},");
        self.processes().into_iter().find(|pid| {
            let words = process::command_line(*pid);
            words.first().is_some_and(|word| word.contains("qemu-system"))
                && words.iter().any(|word| word.starts_with(&wanted))
        })
    }

    /// Kills the QEMU of a guest with SIGKILL, as if the process had crashed.
    ///
    /// # Errors
    /// If the guest has no QEMU here.
    pub fn kill_qemu(&self, guest: &str) -> Result<()> {
        let pid = self.qemu_pid(guest).with_context(|| format!("{guest} has no QEMU on {}", self.name))?;
        if let Some(process) = ProcessId::of(pid) {
            process.kill();
        }
        Ok(())
    }

    /// Every process that runs inside the host.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        process::in_network_namespace(&network::namespace_path(&self.state, self.number))
    }

    /// Kills everything in the host at once, as a loss of power does. The host's directories stay;
    /// [`Host::power_on`] brings it up again, without its guests.
    pub fn power_off(&self) {
        kill_all(&self.state, self.number);
    }

    /// Brings a host up again that [`Host::power_off`] took down; its kernel names another boot.
    ///
    /// # Errors
    /// As when it was made.
    pub fn power_on(&self) -> Result<()> {
        // What a running system keeps in /run would not have survived the loss of power.
        let run_dir = self.dir().join("run");
        fs::remove_dir_all(&run_dir)?;
        let holder = Self::create(&self.state, self.number)?.holder();
        let holder = ProcessId::of(holder).context("the host's holder ended at once")?;
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
        Ok(())
    }

    /// The process that keeps the inside of this host.
    fn holder(&self) -> i32 {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).pid
    }

    /// Cuts the host off from all others and from the root namespace.
    ///
    /// # Errors
    /// If the link is gone.
    pub fn cut_link(&self) -> Result<()> {
        network::set_link(&self.state, self.number, LinkState::Down)
    }

    /// Ends what [`Host::cut_link`] began.
    ///
    /// # Errors
    /// If the link is gone.
    pub fn heal_link(&self) -> Result<()> {
        network::set_link(&self.state, self.number, LinkState::Up)
    }

    /// Makes the shared storage vanish for this host: what is opened from now on is not found, as after a failed mount.
    /// Disks that are open already stay so.
    ///
    /// # Errors
    /// If it is not mounted.
    pub fn lose_shared_storage(&self) -> Result<()> {
        run(self.command("umount").args(["--lazy", SHARED_STORAGE])).map(drop)
    }

    /// Ends what [`Host::lose_shared_storage`] began.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn regain_shared_storage(&self) -> Result<()> {
        run(self.command("mount").arg("--bind").args([&self.state.shared_dir(), Path::new(SHARED_STORAGE)]))
            .map(drop)
    }

    /// Mounts a file system of its own at `path` inside of the host, so small that it can be filled; a directory that is
    /// there already keeps what is in it. It goes with the host.
    ///
    /// All of its room is taken from the machine's disk at once: a machine that has it not would fail guests later, and look like a fault
    /// of whatever is tested.
    ///
    /// # Errors
    /// If it can't be made or mounted.
    pub fn mount_small(&self, path: &str, mib: u32) -> Result<()> {
        let image = self.dir().join(format!("small{}.ext4", path.replace('/', "-")));
        run(Command::new("fallocate").args(["--length", &format!("{mib}MiB")]).arg(&image))?;
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", "root_owner=0:0,nodiscard"]).arg(&image))?;
        run(self.command("mkdir").args(["--parents", path]))?;
        run(self.command("mount").args(["--options", "loop"]).arg(&image).arg(path)).map(drop)
    }

    /// Fills the file system at `path` inside of the host to its last byte. It has room again when what is returned is dropped.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn fill(&self, path: &str) -> Result<Ballast> {
        let file = self.inside(&format!("{path}/ballast"));
        let ballast = Ballast { file };
        let mut out = fs::File::create(&ballast.file)?;
        let mut bytes = vec![1; 1 << 20];
        // In pieces that get smaller: the last free block counts too.
        while !bytes.is_empty() {
            match out.write_all(&bytes).and_then(|()| out.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => bytes.truncate(bytes.len() / 2),
                Err(error) => return Err(error).context("cannot fill a file system"),
            }
        }
        Ok(ballast)
    }

    /// What lies at any `path` inside of the host, mounts of its own included, as long as the host is up.
    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder()))
    }

    /// The end of libvirtd's log.
    #[must_use]
    pub fn libvirtd_log(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.dir().join(file)).unwrap_or_default();
        // What it says before it has read where to log to goes to its output.
        let text = read("log/libvirtd.log") + &read("libvirtd.out");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Lets one libvirtd find out what QEMU can do, hands that to the others, and keeps it for the next lab. It takes four
/// seconds of a core, and the same again on each host; libvirt throws it away by itself when QEMU or libvirt has changed.
pub(super) fn share_capabilities(hosts: &[Host]) -> Result<()> {
    let Some((first, others)) = hosts.split_first() else { return Ok(()) };
    let kept = image::cache_dir().join("capabilities");
    let before = newest_change(&kept);
    first.virsh(["domcapabilities", "--virttype", "qemu"])?.ok()?;
    let found = first.dir().join(CAPABILITIES);
    if newest_change(&found) == before && before.is_some() {
        return Ok(());
    }
    copy_files(&found, &kept)?;
    others.iter().try_for_each(|host| copy_files(&found, &host.dir().join(CAPABILITIES)))
}

/// Copies the files of a directory with the time of their last change. No such directory is the same as an empty one.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        image::write_whole(&target, &fs::read(entry.path())?)?;
        fs::File::options().write(true).open(&target)?.set_modified(entry.metadata()?.modified()?)?;
    }
    Ok(())
}

fn newest_change(dir: &Path) -> Option<std::time::SystemTime> {
    fs::read_dir(dir).ok()?.flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()
}

/// Kills everything in a host until nothing is left; a process may start another one while this looks.
pub(super) fn kill_all(state: &LabState, host: usize) {
    let namespace = network::namespace_path(state, host);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = process::in_network_namespace(&namespace);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in left {
            process::send_kill(pid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ends_in(word: &str, program: &str) -> bool {
    Path::new(word).file_name().is_some_and(|name| name == program)
}

fn host_uuid(state: &LabState, number: usize) -> String {
    format!("d70e{:04x}-1ab0-4000-8000-{number:012x}", state.index)
}

/// The hosts file of every host, so that they know each other, and the root namespace as `outside`, by name.
fn names(state: &LabState) -> String {
    let mut text = format!("127.0.0.1 localhost\n{} outside\n", state.address(1));
    for host in 1..=state.hosts {
        text += &format!("{} h{host}\n", state.address(network::host_part(host)));
    }
    text
}

fn write_configuration(state: &LabState, number: usize, etc: &Path) -> Result<()> {
    let ip = state.address(network::host_part(number));
    let libvirtd = format!(
        "# A migration is refused between two daemons of one host UUID; all hosts of the lab have the machine's own.\n\
         host_uuid = \"{}\"\n\
         listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{ip}\"\ntcp_port = \"{LIBVIRT_PORT}\"\nauth_tcp = \"none\"\n\
         auth_unix_rw = \"none\"\n\
         log_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"\n",
        host_uuid(state, number)
    );
    let qemu = format!(
        "# The lab's directories belong to root, and there is neither systemd nor a security module.\n\
         user = \"root\"\ngroup = \"root\"\nswtpm_user = \"root\"\nswtpm_group = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n\
         security_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nstdio_handler = \"file\"\n\
         shared_filesystems = [ \"{SHARED_STORAGE}\" ]\n\
         # Otherwise the address is found by the host's name, which no other host can resolve.\n\
         migration_host = \"{ip}\"\n\
         migrate_tls_x509_cert_dir = \"/etc/libvirt/{CERTIFICATES}\"\nmigrate_tls_x509_verify = 1\n"
    );
    fs::write(etc.join("libvirtd.conf"), libvirtd)?;
    fs::write(etc.join("qemu.conf"), qemu)?;
    Ok(())
}
