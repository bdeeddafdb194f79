//! The demonstration: a host is drained on real hypervisors, from the first order to the proof that it is empty.
//!
//! Everything in it is real: libvirtd, QEMU, the scheduler, the agents, the command line. The demonstration only sets the
//! scene, gives the one order, and then checks what it shows: if a guest went another way than it should, lost a write
//! or ran twice, it fails.

pub mod cast;
pub(crate) mod interrupt;
pub(crate) mod show;
mod tale;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::installation::{Installation, Options};
use crate::lab::process::ProcessId;
use crate::lab::{Lab, LabLife, LabOptions, LabState, Watcher, cleanup};
use cast::{CAST, DRAINED, Part};
use interrupt::Interrupt;
use show::Look;
pub use show::Show;
use tale::Tale;

/// The demonstration's lab; `make demo-down` removes it.
pub const LAB: &str = "demo";

/// How long nine guests may take to boot on a slow machine.
const BOOT: Duration = Duration::from_secs(120);

/// How long a command may take to end by itself once somebody wants everything to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// What becomes of it all at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything is taken away.
    Remove,
    /// Everything stays up, to be played with.
    Keep,
}

/// Runs the demonstration.
///
/// # Errors
/// If something cannot be done, or is not as it should be; whatever was made is taken away first.
pub fn run(show: &Show, end: End) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    remove_an_earlier_one(show)?;
    let told = Stage::set(show, &interrupt).and_then(|stage| {
        stage.play()?;
        match end {
            End::Remove => stage.clear(),
            End::Keep => stage.keep(),
        }
    });
    match told {
        // Whatever broke off was broken by the interruption.
        Err(_) if interrupt.is_wanted() => bail!("interrupted; everything was taken away"),
        told => told,
    }
}

fn remove_an_earlier_one(show: &Show) -> Result<()> {
    let Some(old) = LabState::load(LAB)? else { return Ok(()) };
    ensure!(
        old.creator.is_none() || old.is_dead(),
        "a demonstration is running on this machine; wait until it ends, or end it with Ctrl-C"
    );
    show.line("An earlier demonstration was left up; it is taken away first.");
    cleanup::remove(&old)
}

/// Everything that is up.
struct Stage<'a> {
    show: &'a Show,
    interrupt: &'a Interrupt,
    watcher: Watcher,
    // Dropped in this order: the processes before the lab that they run in.
    installation: Installation,
    lab: Lab,
}

impl<'a> Stage<'a> {
    /// Brings up hypervisors, guests and Drover.
    fn set(show: &'a Show, interrupt: &'a Interrupt) -> Result<Self> {
        show.title("Three hypervisors, each a libvirtd in namespaces of its own");
        let options = LabOptions { name: LAB.to_owned(), hosts: 3, dir: None, life: LabLife::WithCreator };
        let lab = Lab::create(options)?;
        for host in lab.hosts() {
            show.line(&format!("{}  {}", host.name(), host.libvirt_uri()));
        }
        interrupt.check()?;

        show.title("Nine guests on storage that all hosts share; each writes a growing number to its disk");
        lab.build_image()?;
        interrupt.check()?;
        let specs: Vec<_> = CAST.iter().map(cast::Role::spec).collect();
        lab.add_guests(&specs)?;
        for role in CAST.iter().filter(|role| role.part == Part::BlockJob) {
            cast::start_block_job(lab.host(role.host)?, role.name)?;
        }
        interrupt.check()?;

        show.title("Drover: a scheduler on SQLite, an agent on each host");
        let installation = Installation::start(&lab, &Options::new(cast::POLICY))?;
        cast::introduce_owners(&installation)?;
        let watcher = lab.watch()?;
        let stage = Self { show, interrupt, watcher, installation, lab };
        stage.wait_for_guests()?;
        stage.run_drover(&["hosts", "list"])?;
        Ok(stage)
    }

    fn wait_for_guests(&self) -> Result<()> {
        let collector = self.lab.collector()?;
        self.installation.wait("all guests to have booted", BOOT, || {
            self.interrupt.check().map(|()| {
                let silent = CAST.iter().any(|role| collector.of(role.name).last() == 0);
                (!silent).then_some(())
            })
        })?;
        let servers: Vec<_> = CAST.iter().map(|role| (role.name, role.host)).collect();
        self.installation.wait_until_known(&servers, BOOT)
    }

    fn play(&self) -> Result<()> {
        self.prepare()?;
        let began = Instant::now();
        self.drain()?;
        self.show.line(&format!("\nThe drain took {} s.", began.elapsed().as_secs()));
        let tale = Tale::read(&self.installation, &self.lab)?;
        self.show.title("What the owners were told");
        tale.show_mails(self.show);
        self.show.title("The story");
        tale.show_story(self.show);
        self.show.title("What it came to; the downtime is what each guest measured itself");
        self.show.line(&tale.table());
        self.show.title("Is it true?");
        tale.check()?;
        self.prove()
    }

    /// What stands in the way of the three, and a fresh measure of everybody's downtime.
    fn prepare(&self) -> Result<()> {
        self.show.title("What stands in the way");
        for role in CAST.iter().filter(|role| role.part == Part::BlockJob) {
            let (from, to) = (self.lab.host(role.host)?, self.lab.host("h2")?);
            let said = cast::refusal(from, to, role.name)?
                .with_context(|| format!("libvirt migrates {} despite its block job", role.name))?;
            self.show.line(&format!(
                "{}: a copy of its disk is being made. Asked by virsh, libvirt says:",
                role.name
            ));
            self.show.quote(said.lines().next().unwrap_or_default());
        }
        for role in CAST.iter().filter(|role| role.part == Part::OwnerForbids) {
            self.show.line(&format!("{}: its owner does not want it to be migrated live.", role.name));
        }
        for role in CAST.iter().filter(|role| role.part == Part::Busy) {
            self.show.line(&format!(
                "{}: changes its memory faster than the policy's 24 MiB/s can carry; nobody knows that yet.",
                role.name
            ));
        }
        for role in CAST.iter().filter(|role| role.part == Part::Apart && role.host == DRAINED) {
            self.show.line(&format!("{}: may not be on one host with db-b, which is on h2.", role.name));
        }
        let collector = self.lab.collector()?;
        for role in &CAST {
            self.interrupt.check()?;
            collector.reset_downtime(role.name, BOOT)?;
        }
        self.show.title("What would a drain do?");
        self.run_drover(&["drain", DRAINED, "--reason", "kernel-update", "--dry-run"])
    }

    fn drain(&self) -> Result<()> {
        self.show.title("Drain it");
        self.run_drover(&["drain", DRAINED, "--reason", "kernel-update", "--wait"])
    }

    /// Shows a command and what it says, on this very terminal.
    fn run_drover(&self, words: &[&str]) -> Result<()> {
        self.interrupt.check()?;
        self.show.command(&format!("drover {}", words.join(" ")));
        let mut child = self
            .installation
            .drover_command(words)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start drover")?;
        let mut patience = None;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            // Ctrl-C reaches it as well; a signal that was meant for this process alone does not.
            if self.interrupt.is_wanted() && patience.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.interrupt.check()?;
        ensure!(status.success(), "drover ended with {status}\n{}", self.installation.logs());
        Ok(())
    }

    /// What must hold at the end, asked of libvirt and of the guests and not of Drover.
    fn prove(&self) -> Result<()> {
        let host = self.lab.host(DRAINED)?;
        let left = host.virsh(["list", "--all"])?.ok()?;
        self.show.command(&format!("virsh --connect {} list --all", host.libvirt_uri()));
        ensure!(left.is_empty(), "{DRAINED} is not empty:\n{left}");
        self.show.line(&self.show.paint("(nothing)", Look::Faint));
        self.show.good(&format!("libvirt itself says that {DRAINED} is empty"));

        let mut running = BTreeMap::new();
        for role in &CAST {
            let hosts: Vec<_> =
                self.lab.where_running(role.name)?.iter().map(|host| host.name().to_owned()).collect();
            ensure!(hosts.len() == 1 && hosts[0] != DRAINED, "{} runs on {hosts:?}", role.name);
            running.insert(role.name, hosts[0].clone());
        }
        ensure!(running["db-a"] != running["db-b"], "db-a and db-b are both on {}", running["db-a"]);
        self.show.good("every guest runs on one host, and db-a and db-b on different ones");

        let watched = self.watcher.report();
        watched.ok()?;
        let looks: u64 = watched.answers.values().sum();
        self.show.good(&format!("nothing ran twice at any time: virsh looked {looks} times"));

        let checks = self.lab.check_no_acknowledged_write_lost()?;
        let writes: u64 = checks.iter().map(|check| check.acknowledged).sum();
        self.show.good(&format!(
            "no guest lost an acknowledged write: {writes} were acknowledged, all are on the disks"
        ));
        Ok(())
    }

    fn clear(self) -> Result<()> {
        let Self { show, watcher, installation, lab, .. } = self;
        drop(watcher);
        drop(installation);
        lab.destroy()?;
        show.line("\nEverything was taken away again. `make demo KEEP=1` leaves it up.");
        Ok(())
    }

    fn keep(self) -> Result<()> {
        let Self { show, watcher, mut installation, mut lab, interrupt } = self;
        interrupt.check()?;
        drop(watcher);
        start_collector(&mut lab)?;
        lab.leave()?;
        installation.leave();
        tell_what_to_play_with(show, &installation)
    }
}

/// Lets another process listen to the guests from now on.
fn start_collector(lab: &mut Lab) -> Result<()> {
    lab.stop_collector();
    let log = std::fs::File::create(lab.state().dir.join("collector.log"))?;
    let program = crate::installation::Programs::beside("drover-lab")?;
    let child = Command::new("setsid")
        .arg(program)
        .args(["collector", "--name", LAB])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start setsid")?;
    lab.add_helper(ProcessId::of(i32::try_from(child.id())?).context("the collector ended at once")?)
}

fn tell_what_to_play_with(show: &Show, installation: &Installation) -> Result<()> {
    let drover_lab = crate::installation::Programs::beside("drover-lab")?;
    let bin = drover_lab.parent().context("drover-lab is in no directory")?;
    let api = installation.api();
    show.title("It stays up. Play with it");
    show.line(&format!("export PATH={}:$PATH", bin.display()));
    show.line(&format!("export DROVER_URL={} DROVER_TOKEN={}", api.url(), api.token()));
    for (command, what) in [
        ("drover hosts list", ""),
        ("drover servers list", ""),
        ("drover explain cache", "why is it treated as it is?"),
        ("drover maintenance list --all", ""),
        ("drover tickets list --all", ""),
        ("drover drain h2 --reason kernel-update --wait", "h1 is not a place to go; uncordon it first"),
        ("drover hosts uncordon h1", ""),
        ("drover doctor", ""),
        ("drover-lab guests", "what each guest acknowledged"),
        ("drover-lab virsh h2 list --all", "any host, any virsh command"),
        ("drover-lab exec h1 sh", "a shell inside of a host"),
    ] {
        let what = if what.is_empty() { String::new() } else { format!("# {what}") };
        show.line(format!("{command:<48}{}", show.paint(&what, Look::Faint)).trim_end());
    }
    show.line("\nAs an owner:");
    for owner in &cast::OWNERS {
        let token = installation.owner_token(owner.name)?;
        show.line(&format!(
            "DROVER_TOKEN={token} drover servers list   {}",
            show.paint(&format!("# {}", owner.name), Look::Faint)
        ));
    }
    show.line("With it: drover migrate-now wiki, drover tickets list, drover reschedule DR-… --to +2m");
    show.line(&format!("\nMails:  {}", installation.maildir().display()));
    show.line(&format!("Logs:   {}", installation.dir().display()));
    show.line("End:    make demo-down");
    Ok(())
}
