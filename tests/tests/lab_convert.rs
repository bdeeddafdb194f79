//! A server of another hypervisor, imported: a real Debian with that hypervisor's agent and without virtio, as VMDK, with a second disk
//! on an NBD export. Converted by the real virt-v2v, booted by the real libvirt.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use drover_tests::installation::Programs;
use drover_tests::lab::foreign::{self, AGENT, LOGIN, NO_DISK};
use drover_tests::lab::process::run;
use drover_tests::lab::{Host, LOCAL_STORAGE, Lab, LabLife, LabOptions};
use drover_tests::scene::Alone;
use libtest_mimic::{Arguments, Failed, Trial};

/// How long a real Debian may take to boot under plain emulation on a busy machine.
const BOOT: Duration = Duration::from_secs(240);

/// How long what was started may take to be gone after its starter was killed.
const GONE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let disk = if arguments.list { Err("only listed".to_owned()) } else { disk() };
    if let (Err(reason), false) = (&disk, arguments.list) {
        println!("SKIPPED: {reason}");
    }
    let _alone = disk.is_ok().then(Alone::wait);
    let unable = disk.is_err();
    let test = move || {
        let disk = disk.map_err(Failed::from)?;
        story(&disk).map_err(|error| Failed::from(format!("{error:#}")))
    };
    let name = "a_foreign_guest_is_imported_after_a_kill_and_boots_from_virtio_without_its_old_agent";
    libtest_mimic::run(&arguments, vec![Trial::test(name, test).with_ignored_flag(unable)]).exit_code()
}

/// The guest, or why there can't be one here: virt-v2v is optional, and the mirror may be out of reach.
fn disk() -> Result<PathBuf, String> {
    if let Some(reason) = foreign::unable() {
        return Err(reason);
    }
    let begun = Instant::now();
    let disk = foreign::disk().map_err(|error| format!("{error:#}"))?;
    println!("    the guest's disk took {:.0} s", begun.elapsed().as_secs_f64());
    Ok(disk)
}

fn story(disk: &Path) -> Result<()> {
    let mut clock = Clock(Instant::now());
    let options =
        LabOptions { name: "test-convert".to_owned(), hosts: 1, dir: None, life: LabLife::WithCreator };
    let lab = Lab::create(options)?;
    let scene = Scene::new(&lab, disk)?;
    clock.lap("lab and VMDK");
    scene.before()?;
    clock.lap("it boots from IDE, and not from virtio");
    scene.killed()?;
    clock.lap("copied, and killed in the conversion");
    scene.taken_up()?;
    clock.lap("taken up to the end");
    scene.boots()?;
    clock.lap("it boots from virtio");
    lab.destroy()
}

/// Says how long each part took.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        println!("    {:5.1} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

/// A process that ends with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    host: Host,
    agent: PathBuf,
    /// Below the lab's directory, so it goes with the lab.
    dir: PathBuf,
    vmdk: PathBuf,
    data: PathBuf,
    description: PathBuf,
    _export: Ending,
}

impl Scene {
    fn new(lab: &Lab, disk: &Path) -> Result<Self> {
        let host = lab.host("h1")?.clone();
        let dir = lab.state().dir.join("import");
        fs::create_dir_all(&dir)?;
        let vmdk = dir.join("legacy.vmdk");
        run(Command::new("qemu-img").args(["convert", "-f", "raw", "-O", "vmdk"]).args([disk, &vmdk]))?;
        let data = dir.join("data.raw");
        fs::write(&data, b"the second disk ".repeat(1 << 16))?;
        let socket = dir.join("data.socket");
        let export = Command::new("qemu-nbd")
            .args(["--read-only", "--persistent", "--format", "raw", "--export-name", "data", "--socket"])
            .args([&socket, &data])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start qemu-nbd")?;
        let scene = Self {
            host,
            agent: Programs::beside("drover-agent")?,
            description: dir.join("legacy.toml"),
            dir,
            vmdk,
            data,
            _export: Ending(export),
        };
        scene.describe(&socket)?;
        Ok(scene)
    }

    /// Writes what the agent reads. No scheduler is there, and none is needed.
    fn describe(&self, socket: &Path) -> Result<()> {
        fs::write(self.dir.join("token"), "none\n")?;
        let config = format!(
            "host = \"h1\"\nscheduler = \"http://127.0.0.1:9\"\ntoken_file = {:?}\ndata_dir = {:?}\n",
            self.dir.join("token"),
            self.dir.join("agent")
        );
        fs::write(self.dir.join("agent.toml"), config)?;
        let description = format!(
            r#"
[import]
name = "legacy"
owner = "acme"
memory_mib = 512
vcpus = 1
accelerator = "tcg"
console_log = "{CONSOLE}"
conversion_limit = "15m"
[[network]]
bridge = "br0"
mac = "00:0c:29:3a:11:5e"
[[disk]]
target = "vda"
source = {:?}
path = "{LOCAL_STORAGE}/legacy.raw"
format = "raw"
[[disk]]
target = "vdb"
source = "nbd+unix:///data?socket={}"
path = "{LOCAL_STORAGE}/legacy-data.qcow2"
"#,
            self.vmdk,
            socket.display()
        );
        fs::write(&self.description, description).map_err(Into::into)
    }

    fn import(&self, words: &[&str]) -> Command {
        let mut command = self.host.command(&self.agent);
        command
            .arg("--config")
            .arg(self.dir.join("agent.toml"))
            .arg("import")
            .arg(&self.description)
            .args(words);
        command.stdin(Stdio::null());
        command
    }

    /// What lies on the host's local storage.
    fn local(&self, name: &str) -> PathBuf {
        self.host.outside(&format!("{LOCAL_STORAGE}/{name}"))
    }

    /// As it was with its old hypervisor: it boots there, it does not boot here, and the old agent is in it.
    fn before(&self) -> Result<()> {
        let ide = self.qemu("ide")?;
        let virtio = self.qemu("virtio")?;
        wait_for_line(&ide.1, LOGIN, NO_DISK)?;
        wait_for_line(&virtio.1, NO_DISK, LOGIN)
    }

    /// Boots the VMDK from this kind of disk, and keeps nothing of what it writes.
    fn qemu(&self, bus: &str) -> Result<(Ending, PathBuf)> {
        let console = self.dir.join(format!("{bus}.console"));
        let child = Command::new("nice")
            .args(["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-m", "512", "-display", "none"])
            .args(["-nic", "none", "-no-reboot", "-snapshot"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-drive")
            .arg(format!("file={},format=vmdk,if={bus}", self.vmdk.display()))
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start QEMU")?;
        Ok((Ending(child), console))
    }

    /// Killed in the middle of the conversion: nothing runs on, and the copies are as they were.
    fn killed(&self) -> Result<()> {
        let looked = run(&mut self.import(&["--dry-run"]))?;
        ensure!(looked.contains("nothing is in the way"), "{looked}");
        let mut agent = Ending(self.import(&[]).stdout(Stdio::piped()).spawn()?);
        let mut lines = BufReader::new(agent.0.stdout.take().context("it has an output")?).lines();
        let mut heard = String::new();
        while !heard.contains("Finished starting converters") {
            match lines.next() {
                Some(line) => heard += &(line? + "\n"),
                None => bail!("it ended before the conversion began: {heard}"),
            }
        }
        ensure!(heard.contains("Starting converters") && heard.contains("copying the disks"), "{heard}");
        agent.0.kill()?;
        let begun = Instant::now();
        while let Some(left) = self.converters().first() {
            ensure!(begun.elapsed() < GONE, "a part of the conversion goes on: {left}");
            std::thread::sleep(Duration::from_millis(50));
        }
        ensure!(!self.local("legacy.raw").exists(), "it is in place before it was converted");
        let copy = self.local("legacy.raw.import");
        run(Command::new("qemu-img").args(["compare", "-f", "vmdk", "-F", "raw"]).args([&self.vmdk, &copy]))?;
        Ok(())
    }

    /// What runs of a conversion in the host, by its command line.
    fn converters(&self) -> Vec<String> {
        let line = |pid: i32| {
            let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let lines = self.host.processes().into_iter().map(line);
        lines
            .filter(|line| {
                line.contains("virt-v2v") || line.contains("guestfs") || line.contains("v2vqemunbd")
            })
            .collect()
    }

    /// The next try goes on with the conversion; when it is done, a further one has nothing to do.
    fn taken_up(&self) -> Result<()> {
        let said = run(&mut self.import(&[]))?;
        println!("{said}");
        ensure!(!said.contains("copying the disks") && said.contains("legacy is imported as"), "{said}");
        let disk = self.local("legacy.raw");
        let packages = foreign::read(&disk, "/var/lib/dpkg/status")?;
        ensure!(packages.contains("Package: systemd\n"), "the list of packages can't be read");
        ensure!(!has_agent(&packages), "{AGENT} is still there");
        ensure!(has_agent(&self.packages_before()?), "{AGENT} was never there");
        let data = self.local("legacy-data.qcow2");
        run(Command::new("qemu-img")
            .args(["compare", "-f", "raw", "-F", "qcow2"])
            .args([&self.data, &data]))?;
        let mut left: Vec<_> =
            fs::read_dir(self.local(""))?.flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        ensure!(left == ["legacy-data.qcow2", "legacy.raw"], "{left:?}");
        ensure!(!self.dir.join("agent/imports/legacy/tmp").exists(), "the converter's files are left");
        ensure!(self.host.virsh(["domstate", "legacy"])?.ok()? == "shut off", "it was started");
        let again = run(&mut self.import(&[]))?;
        ensure!(again.contains("legacy is imported as") && !again.contains("fixing"), "{again}");
        Ok(())
    }

    fn packages_before(&self) -> Result<String> {
        let raw = self.dir.join("before.raw");
        run(Command::new("qemu-img").args(["convert", "-f", "vmdk", "-O", "raw"]).args([&self.vmdk, &raw]))?;
        foreign::read(&raw, "/var/lib/dpkg/status")
    }

    /// It boots here, from virtio.
    fn boots(&self) -> Result<()> {
        let said = run(&mut self.import(&["--start"]))?;
        ensure!(said.contains("booting the server"), "{said}");
        let xml = self.host.virsh(["dumpxml", "legacy"])?.ok()?;
        ensure!(xml.contains("bus='virtio'") && xml.contains("00:0c:29:3a:11:5e"), "{xml}");
        wait_for_line(&self.host.outside(CONSOLE), LOGIN, NO_DISK)
    }
}

/// Where libvirt keeps what the guest's console prints.
const CONSOLE: &str = "/var/log/libvirt/legacy-console.log";

fn has_agent(packages: &str) -> bool {
    packages.contains(&format!("Package: {AGENT}\nStatus: install ok installed"))
}

/// Waits until a console has printed what is wanted; what must not come ends the waiting at once.
fn wait_for_line(console: &Path, wanted: &str, unwanted: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut text = Vec::new();
        if let Ok(mut file) = fs::File::open(console) {
            file.read_to_end(&mut text)?;
        }
        let text = String::from_utf8_lossy(&text);
        if text.contains(wanted) {
            return Ok(());
        }
        let end: String = text.chars().rev().take(1000).collect::<Vec<_>>().into_iter().rev().collect();
        ensure!(!text.contains(unwanted), "{} prints {unwanted:?}: {end}", console.display());
        ensure!(begun.elapsed() < BOOT, "{} doesn't print {wanted:?}: {end}", console.display());
        std::thread::sleep(Duration::from_millis(200));
    }
}
