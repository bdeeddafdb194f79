//! A server of another hypervisor, imported: a real Debian with that hypervisor's agent and without virtio, as VMDK, with a second disk
//! on an NBD export. Asked for by the command line, converted by the real virt-v2v, booted by the real libvirt.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use drover_tests::installation::{Installation, Options, Replicas, incoming};
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
    let drover = Installation::start(&lab, &Options { replicas: Replicas::Held, ..Options::new("") })?;
    let told = scenes(&lab, &drover, disk, &mut clock);
    told.map_err(|error| error.context(drover.logs()))?;
    drop(drover);
    lab.destroy()
}

fn scenes(lab: &Lab, drover: &Installation, disk: &Path, clock: &mut Clock) -> Result<()> {
    let scene = Scene::new(lab, drover, disk)?;
    clock.lap("lab, Drover and VMDK");
    scene.before()?;
    clock.lap("it boots from IDE, and not from virtio");
    scene.refused()?;
    clock.lap("what is in the way is told, and what was asked for is taken back");
    let following = scene.killed()?;
    clock.lap("copied, and its agent killed in the conversion");
    scene.taken_up(following)?;
    clock.lap("taken up to the end");
    scene.boots()?;
    clock.lap("cut over: it boots from virtio");
    Ok(())
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

struct Scene<'a> {
    host: Host,
    drover: &'a Installation,
    /// Below the lab's directory, so it goes with the lab.
    dir: PathBuf,
    vmdk: PathBuf,
    data: PathBuf,
    description: PathBuf,
    _export: Ending,
}

/// `drover imports log --follow`, and what it has said so far.
struct Following {
    child: Ending,
    lines: Lines<BufReader<ChildStdout>>,
    heard: String,
}

impl Following {
    /// Reads on until a line has been said, or to its end.
    fn until(&mut self, wanted: Option<&str>) -> Result<()> {
        while wanted.is_none_or(|wanted| !self.heard.contains(wanted)) {
            match (self.lines.next(), wanted) {
                (Some(line), _) => self.heard += &(line? + "\n"),
                (None, None) => return Ok(()),
                (None, Some(wanted)) => bail!("it ended before it said {wanted:?}: {}", self.heard),
            }
        }
        Ok(())
    }
}

impl<'a> Scene<'a> {
    fn new(lab: &Lab, drover: &'a Installation, disk: &Path) -> Result<Self> {
        let host = lab.host("h1")?.clone();
        let dir = incoming(lab.state());
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
            drover,
            description: dir.join("legacy.toml"),
            dir,
            vmdk,
            data,
            _export: Ending(export),
        };
        scene.describe(&socket)?;
        Ok(scene)
    }

    fn describe(&self, socket: &Path) -> Result<()> {
        let description = format!(
            r#"[import]
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
size_mib = 2048
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

    /// A file is where an image is to be, and a path that this host does not allow: both are told, nothing is touched.
    fn refused(&self) -> Result<()> {
        let taken = self.local("taken.raw");
        fs::write(&taken, "somebody's")?;
        let other = self.dir.join("other.toml");
        for (path, says) in [
            (format!("{LOCAL_STORAGE}/taken.raw"), "is there already"),
            ("/etc/drover.raw".to_owned(), "lies in none of the directories of this host for that"),
        ] {
            let text = fs::read_to_string(&self.description)?.replace("\"legacy\"", "\"other\"");
            fs::write(&other, text.replace(&format!("{LOCAL_STORAGE}/legacy.raw"), &path))?;
            let file = other.display().to_string();
            let output = self.drover.drover(["import", &file, "--host", "h1", "--follow"])?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(!output.status.success() && said.contains(says), "{said}");
            self.drover.drover_ok(&["imports", "cancel", "other"])?;
            self.drover.wait("the import to be cancelled", GONE, || {
                let import = self.drover.api().get("/v1/imports/other")?.ok()?;
                Ok((import["state"] == "cancelled").then_some(()))
            })?;
        }
        ensure!(fs::read_to_string(&taken)? == "somebody's", "it was written over");
        fs::remove_file(taken).map_err(Into::into)
    }

    fn follow(&self) -> Result<Following> {
        let mut child = Ending(
            self.drover
                .drover_command(["imports", "log", "--follow", "legacy"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let lines = BufReader::new(child.0.stdout.take().context("it has an output")?).lines();
        Ok(Following { child, lines, heard: String::new() })
    }

    /// Killed in the middle of the conversion: nothing runs on, and the copies are as they were.
    fn killed(&self) -> Result<Following> {
        let file = self.description.display().to_string();
        let said = self.drover.drover_ok(&["import", &file, "--start"])?;
        ensure!(said.contains("legacy is to be imported to h1"), "{said}");
        let again = self.drover.drover(["import", &file])?;
        let refusal = String::from_utf8_lossy(&again.stderr).into_owned();
        ensure!(!again.status.success() && refusal.contains("import.name"), "{refusal}");
        let mut following = self.follow()?;
        following.until(Some("Finished starting converters"))?;
        let heard = &following.heard;
        ensure!(
            heard.contains("Starting converters") && heard.contains("copying the disks: done in"),
            "{heard}"
        );
        self.drover.kill_agent("h1")?;
        let begun = Instant::now();
        while let Some(left) = self.converters().first() {
            ensure!(begun.elapsed() < GONE, "a part of the conversion goes on: {left}");
            std::thread::sleep(Duration::from_millis(50));
        }
        ensure!(!self.local("legacy.raw").exists(), "it is in place before it was converted");
        let copy = self.local("legacy.raw.import");
        run(Command::new("qemu-img").args(["compare", "-f", "vmdk", "-F", "raw"]).args([&self.vmdk, &copy]))?;
        self.drover.start_agent("h1")?;
        Ok(following)
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

    /// The agent that was started again goes on with the conversion.
    fn taken_up(&self, mut following: Following) -> Result<()> {
        following.until(None)?;
        let heard = &following.heard;
        println!("{heard}");
        ensure!(following.child.0.wait()?.success(), "it did not end well");
        ensure!(heard.matches("copying the disks: done in").count() == 2, "a disk was copied twice");
        ensure!(
            heard.matches("Finished starting converters").count() == 2,
            "the conversion was not begun again"
        );
        ensure!(heard.contains("legacy: is imported ("), "{heard}");
        // The same is there for whoever asks later.
        let log = self.drover.drover_ok(&["imports", "log", "legacy"])?;
        let kept = log.lines().all(|line| heard.contains(line.get(20..).unwrap_or(line)));
        ensure!(kept && log.contains("Finished starting converters"), "{log}");
        let disk = self.local("legacy.raw");
        let packages = foreign::read(&disk, "/var/lib/dpkg/status")?;
        ensure!(packages.contains("Package: systemd\n"), "the list of packages can't be read");
        ensure!(!has_agent(&packages), "{AGENT} is still there");
        ensure!(has_agent(&self.packages_before()?), "{AGENT} was never there");
        let data = self.local("legacy-data.qcow2");
        run(Command::new("qemu-img")
            .args(["compare", "-U", "-f", "raw", "-F", "qcow2"])
            .args([&self.data, &data]))?;
        let mut left: Vec<_> =
            fs::read_dir(self.local(""))?.flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        ensure!(left == ["legacy-data.qcow2", "legacy.raw"], "{left:?}");
        let tmp = self.host.dir().join("agent/ledger/imports/legacy/tmp");
        ensure!(!tmp.exists(), "the converter's files are left");
        ensure!(heard.contains("booting the server: done in"), "{heard}");
        ensure!(self.host.virsh(["domstate", "legacy"])?.ok()? == "running", "it was not started");
        let again = self.drover.drover(["import", &self.description.display().to_string()])?;
        let refusal = String::from_utf8_lossy(&again.stderr).into_owned();
        ensure!(refusal.contains("a server of this name is on h1"), "{refusal}");
        Ok(())
    }

    fn packages_before(&self) -> Result<String> {
        let raw = self.dir.join("before.raw");
        run(Command::new("qemu-img").args(["convert", "-f", "vmdk", "-O", "raw"]).args([&self.vmdk, &raw]))?;
        foreign::read(&raw, "/var/lib/dpkg/status")
    }

    /// It was cut over: it boots here, from virtio, and is a server like any other.
    fn boots(&self) -> Result<()> {
        let xml = self.host.virsh(["dumpxml", "legacy"])?.ok()?;
        ensure!(xml.contains("bus='virtio'") && xml.contains("00:0c:29:3a:11:5e"), "{xml}");
        wait_for_line(&self.host.outside(CONSOLE), LOGIN, NO_DISK)?;
        self.drover.wait_until_known(&[("legacy", "h1")], GONE)?;
        let import = self.drover.api().get("/v1/imports/legacy")?.ok()?;
        ensure!(import["state"] == "imported", "{import:#}");
        Ok(())
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
