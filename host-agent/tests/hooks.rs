//! Hooks as real programs: what they write, how they end, what they leave, and what dies while they run.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drover_agent_api::RunHook;
use drover_host_agent::hooks::config::{Hook, Hooks as Configured};
use drover_host_agent::hooks::{Runner, Setting};
use drover_host_agent::hypervisor::hooks::{Hooks as _, Standing};
use drover_policies::hooks::{HookDoing, HookOutcome, HookRan};
use drover_policies::ids::{HookName, HostName, OperationId};
use drover_policies::time::Span;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use uuid::Uuid;

const OPERATION: OperationId = OperationId(Uuid::from_u128(7));

/// More than any of these takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with one hook.
struct Host {
    directory: tempfile::TempDir,
    boot_id: &'static str,
    limit: Span,
}

impl Host {
    /// Whose hook `maintain` is this shell script; `$here` in it is a directory of the test's. Nothing when this is not run by root, as
    /// hooks are root's.
    fn with(script: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: hooks are programs of root's");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let host = Self { directory, boot_id: "boot-1", limit: Span::minutes(10) };
        let here = host.directory.path().display();
        fs::write(host.program(), format!("#!/bin/sh\nhere={here}\necho x >> $here/runs\n{script}\n"))
            .expect("written");
        fs::set_permissions(host.program(), fs::Permissions::from_mode(0o755)).expect("set");
        Some(host)
    }

    fn program(&self) -> PathBuf {
        self.path("maintain")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What an agent that has just been started runs hooks with.
    fn runner(&self) -> Runner {
        runner(self.directory.path(), self.boot_id, self.limit)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A process id that the hook has written down.
    fn pid(&self, name: &str) -> Pid {
        eventually(&format!("{name} to be written"), || self.read(name).ends_with('\n'));
        Pid::from_raw(self.read(name).trim().parse().expect("a number")).expect("a process")
    }

    fn runs(&self) -> usize {
        self.read("runs").lines().count()
    }
}

fn runner(directory: &Path, boot_id: &str, limit: Span) -> Runner {
    let program = directory.join("maintain");
    let setting = Setting {
        hooks: Configured::from([(HookName::maintain(), Hook { program, limit })]),
        host: HostName::new("h1").expect("a name"),
        data_dir: directory.join("data"),
        boot_id: Some(boot_id.to_owned()),
        supervisor: PathBuf::from(env!("CARGO_BIN_EXE_drover-agent")),
    };
    Runner::new(setting, Arc::default()).expect("a runner")
}

fn order() -> RunHook {
    RunHook {
        hook: HookName::maintain(),
        maintenance: "MT-12".into(),
        reason: "kernel\nupdate".into(),
        attempt: 2,
        limit: None,
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn look(runner: &Runner) -> Standing {
    runner.run(OPERATION, &order()).expect("it is known")
}

fn end(runner: &Runner) -> HookRan {
    let begun = Instant::now();
    loop {
        match look(runner) {
            Standing::Ended(ran) => return ran,
            Standing::Going(status) => assert!(begun.elapsed() < PATIENCE, "it does not end: {status:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_alive(pid: Pid) -> bool {
    // A zombie is nobody.
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !state.contains(") Z ")
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("killed");
    eventually("its end", || !is_alive(pid));
}

#[test]
fn a_hook_knows_what_it_is_run_for_and_nothing_of_the_agent() {
    let Some(host) = Host::with("env | sort; pwd; echo oh >&2") else { return };
    let runner = host.runner();
    let ran = end(&runner);
    assert_eq!((&ran.outcome, ran.output.dropped_bytes), (&HookOutcome::Succeeded, 0));
    let lines: Vec<&str> = ran.output.text.lines().collect();
    for line in [
        "DROVER_HOOK=maintain",
        "DROVER_HOST=h1",
        "DROVER_MAINTENANCE=MT-12",
        "DROVER_REASON=kernel update",
        "DROVER_ATTEMPT=2",
        "/",
        "oh",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {lines:?}");
    }
    assert!(!ran.output.text.contains("CARGO"), "{lines:?}");
    // Asked again, by whomever: it was run once.
    assert_eq!(end(&runner), ran);
    assert_eq!(end(&host.runner()), ran);
    assert_eq!(host.runs(), 1);
    runner.forget(OPERATION).expect("forgotten");
    assert!(!host.path("data/hooks").join(OPERATION.to_string()).exists());
}

#[test]
fn how_a_hook_has_ended_is_told_apart() {
    let failed = |exit, signal| HookOutcome::Failed { exit, signal };
    let cases = [
        ("exit 70", HookOutcome::Skip),
        ("echo no; exit 3", failed(Some(3), None)),
        ("kill -9 $$", failed(None, Some(9))),
    ];
    for (script, outcome) in cases {
        let Some(host) = Host::with(script) else { return };
        assert_eq!(end(&host.runner()).outcome, outcome, "{script}");
    }
    let Some(host) = Host::with("") else { return };
    fs::write(host.program(), "#!/no/such/shell\n").expect("written");
    match end(&host.runner()).outcome {
        HookOutcome::Refused { why } => {
            assert!(why.contains("can't be started") && why.contains("first line"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn when_its_time_is_up_everything_that_it_has_started_ends_wherever_it_has_gone() {
    // One in a session of its own, whose parent has ended, and that heeds no wish to end.
    let script = "(setsid sh -c 'trap \"\" TERM; echo $$ > '$here'/stray; while :; do sleep 1; done' &) ; echo $$ > $here/own; sleep 86461";
    let Some(host) = Host::with(script) else { return };
    let host = Host { limit: Span::seconds(2), ..host };
    let runner = host.runner();
    look(&runner);
    let (stray, own) = (host.pid("stray"), host.pid("own"));
    let ran = end(&runner);
    assert_eq!(ran.outcome, HookOutcome::TimedOut { after: Span::seconds(2) });
    assert!(!is_alive(own) && !is_alive(stray), "what it had started goes on");
}

#[test]
fn the_shorter_of_two_limits_counts() {
    let Some(host) = Host::with("sleep 86462") else { return };
    let order = RunHook { limit: Some(Span::milliseconds(300)), ..order() };
    let runner = host.runner();
    let mut standing = runner.run(OPERATION, &order).expect("begun");
    eventually("its end", || matches!(runner.run(OPERATION, &order), Ok(Standing::Ended(_))));
    if let Ok(now) = runner.run(OPERATION, &order) {
        standing = now;
    }
    let Standing::Ended(ran) = standing else { panic!("{standing:?}") };
    assert_eq!(ran.outcome, HookOutcome::TimedOut { after: Span::milliseconds(300) });
}

#[test]
fn a_flood_is_bounded_in_memory_and_its_beginning_and_end_are_kept() {
    let script =
        "echo begun; head -c 100000000 /dev/zero | tr '\\0' x; echo; grep VmHWM /proc/$PPID/status; exit 4";
    let Some(host) = Host::with(script) else { return };
    let ran = end(&host.runner());
    assert_eq!(ran.outcome, HookOutcome::Failed { exit: Some(4), signal: None });
    let text = &ran.output.text;
    assert!(text.starts_with("begun\nxxx") && text.len() < 100 << 10, "{} bytes", text.len());
    assert!(ran.output.dropped_bytes > 99_000_000, "{}", ran.output.dropped_bytes);
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the end of it");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 64 << 10, "its supervisor took {kib} KiB");
}

#[test]
fn what_is_no_text_is_kept_as_far_as_it_can_be_shown() {
    let Some(host) =
        Host::with("printf 'a\\000b\\377\\033[31mc\\n'; head -c 3000 /dev/urandom; printf '\\nend\\n'")
    else {
        return;
    };
    let ran = end(&host.runner());
    let text = &ran.output.text;
    assert!(text.starts_with("a\u{fffd}b\u{fffd}\u{fffd}[31mc\n") && text.ends_with("\nend\n"), "{text:?}");
    assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{text:?}");
}

#[test]
fn what_it_leaves_running_stays_and_may_write_on() {
    // A service that still has the hook's output as its own, and writes to it after the hook has ended.
    let script = "(setsid sh -c 'echo $$ > '$here'/service; while [ ! -e '$here'/go ]; do sleep 0.1; done; echo late && touch '$here'/wrote; exec sleep 86463' &); exit 0";
    let Some(host) = Host::with(script) else { return };
    let ran = end(&host.runner());
    assert_eq!(ran.outcome, HookOutcome::Succeeded);
    let service = host.pid("service");
    assert!(is_alive(service), "the service was ended with the hook");
    fs::write(host.path("go"), "").expect("told");
    eventually("the service to write", || host.path("wrote").exists());
    kill(service);
}

#[test]
fn what_it_writes_is_shown_while_it_runs_and_it_ends_when_it_is_told_to() {
    let Some(host) = Host::with("echo unpacking; echo $$ > $here/own; sleep 86464") else { return };
    let runner = host.runner();
    eventually(
        "its line",
        || matches!(look(&runner), Standing::Going(status) if status.line.as_deref() == Some("unpacking")),
    );
    runner.stop(OPERATION).expect("told");
    let ran = end(&runner);
    assert_eq!((ran.outcome, ran.output.text.as_str()), (HookOutcome::Stopped, "unpacking\n"));
    assert!(!is_alive(host.pid("own")));
}

#[test]
fn one_that_was_told_to_end_before_it_began_is_never_begun() {
    let Some(host) = Host::with("exit 0") else { return };
    let runner = host.runner();
    runner.stop(OPERATION).expect("told");
    assert_eq!(end(&runner).outcome, HookOutcome::Stopped);
    // A supervisor that was called before that, and comes late.
    assert!(supervise(&host).wait().expect("ended").success());
    assert_eq!((end(&host.runner()).outcome, host.runs()), (HookOutcome::Stopped, 0));
}

fn supervise(host: &Host) -> std::process::Child {
    let place = host.path("data/hooks").join(OPERATION.to_string());
    Command::new(env!("CARGO_BIN_EXE_drover-agent")).arg("supervise-hook").arg(place).spawn().expect("run")
}

#[test]
fn of_many_supervisors_one_begins_the_hook() {
    let Some(host) = Host::with("sleep 0.5") else { return };
    let runner = host.runner();
    look(&runner);
    let mut others: Vec<_> = (0..8).map(|_| supervise(&host)).collect();
    assert_eq!(end(&runner).outcome, HookOutcome::Succeeded);
    for other in &mut others {
        assert!(other.wait().expect("ended").success());
    }
    assert!(supervise(&host).wait().expect("ended").success());
    assert_eq!(host.runs(), 1);
}

#[test]
fn a_program_that_is_not_only_root_s_is_refused_and_stays_refused() {
    let Some(host) = Host::with("exit 0") else { return };
    chown(host.program(), Some(65534), None).expect("given away");
    let runner = host.runner();
    assert!(runner.able().is_empty());
    let refused = end(&runner);
    match &refused.outcome {
        HookOutcome::Refused { why } => assert!(why.contains("belongs to user 65534"), "{why}"),
        other => panic!("{other:?}"),
    }
    chown(host.program(), Some(0), None).expect("taken back");
    assert_eq!(runner.able().into_iter().collect::<Vec<_>>(), [HookName::maintain()]);
    assert_eq!(end(&host.runner()), refused, "an order has one end");
    assert_eq!(host.runs(), 0);
    let other = RunHook { hook: HookName::post(), ..order() };
    let Ok(Standing::Ended(ran)) = runner.run(OperationId(Uuid::from_u128(8)), &other) else {
        panic!("going")
    };
    assert_eq!(ran.outcome, HookOutcome::NotConfigured);
}

/// The directory of the test on its standard input.
#[test]
#[ignore = "no test: a_hook_goes_on_when_its_agent_is_killed_and_the_next_one_tells_how_it_ended starts it as a process of its own, and kills it"]
fn an_agent_to_be_killed() {
    let mut directory = String::new();
    io::stdin().read_line(&mut directory).expect("told");
    let runner = runner(Path::new(directory.trim()), "boot-1", Span::minutes(10));
    loop {
        look(&runner);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_hook_goes_on_when_its_agent_is_killed_and_the_next_one_tells_how_it_ended() {
    let script =
        "echo begun > $here/begun; while [ ! -e $here/go ]; do sleep 0.1; done; echo the end; exit 5";
    let Some(host) = Host::with(script) else { return };
    let mut agent = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", "an_agent_to_be_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("run");
    writeln!(agent.stdin.take().expect("piped"), "{}", host.directory.path().display()).expect("told");
    eventually("the hook to begin", || host.path("begun").exists());
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    let next = host.runner();
    assert!(matches!(look(&next), Standing::Going(status) if status.doing == HookDoing::Running));
    fs::write(host.path("go"), "").expect("told");
    let ran = end(&next);
    assert_eq!(ran.outcome, HookOutcome::Failed { exit: Some(5), signal: None });
    assert_eq!((ran.output.text.as_str(), host.runs()), ("the end\n", 1));
}

#[test]
fn a_supervisor_that_is_killed_leaves_a_hook_of_which_nothing_is_known() {
    let Some(host) = Host::with("echo $$ > $here/own; echo $PPID > $here/supervisor; exec sleep 86465")
    else {
        return;
    };
    let runner = host.runner();
    look(&runner);
    let (own, supervisor) = (host.pid("own"), host.pid("supervisor"));
    kill(supervisor);
    match end(&runner).outcome {
        HookOutcome::Lost { why } => assert!(why.contains("look on the host"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((end(&host.runner()).outcome == HookOutcome::Succeeded, host.runs()), (false, 1));
    kill(own);
}

/// As a reboot does: everything is killed, and the next agent finds another boot.
fn reboot(host: Host) -> Host {
    for name in ["supervisor", "own"] {
        kill(host.pid(name));
    }
    Host { boot_id: "boot-2", ..host }
}

const REBOOTS: &str = "echo $PPID > $here/supervisor; echo $$ > $here/own; exec sleep 86466";

#[test]
fn a_reboot_that_was_announced_is_the_hook_s_success() {
    let Some(host) = Host::with(&format!("echo upgraded; touch \"$DROVER_REBOOT_FILE\"; sleep 2; {REBOOTS}"))
    else {
        return;
    };
    look(&host.runner());
    let own = host.pid("own");
    assert!(
        matches!(look(&host.runner()), Standing::Going(status) if status.doing == HookDoing::WaitsForReboot)
    );
    assert!(is_alive(own));
    let host = reboot(host);
    let before = Host { boot_id: "boot-1", ..host };
    // Its processes are gone already, and the agent not yet.
    assert!(
        matches!(look(&before.runner()), Standing::Going(status) if status.doing == HookDoing::WaitsForReboot)
    );
    let host = Host { boot_id: "boot-2", ..before };
    let ran = end(&host.runner());
    assert_eq!((ran.outcome, ran.output.text.as_str()), (HookOutcome::Succeeded, "upgraded\n"));
    assert_eq!(host.runs(), 1);
}

#[test]
fn one_that_announces_a_reboot_and_exits_is_over_when_the_host_has_booted() {
    let Some(host) = Host::with("touch \"$DROVER_REBOOT_FILE\"; exit 0") else { return };
    let place = host.path("data/hooks").join(OPERATION.to_string());
    let runner = host.runner();
    look(&runner);
    eventually("the hook's end", || place.join("ended.json").exists());
    assert!(matches!(look(&runner), Standing::Going(status) if status.doing == HookDoing::WaitsForReboot));
    let after = Host { boot_id: "boot-2", ..host };
    assert_eq!(end(&after.runner()).outcome, HookOutcome::Succeeded);

    // One that has failed has failed, whatever it had announced.
    let Some(host) = Host::with("touch \"$DROVER_REBOOT_FILE\"; exit 6") else { return };
    assert_eq!(end(&host.runner()).outcome, HookOutcome::Failed { exit: Some(6), signal: None });

    // One that announces what does not come is out of time.
    let Some(host) = Host::with("touch \"$DROVER_REBOOT_FILE\"; exit 0") else { return };
    let host = Host { limit: Span::seconds(1), ..host };
    assert_eq!(end(&host.runner()).outcome, HookOutcome::TimedOut { after: Span::seconds(1) });
}

#[test]
fn a_reboot_that_nobody_announced_is_told_as_what_it_is() {
    let Some(host) = Host::with(REBOOTS) else { return };
    look(&host.runner());
    let host = reboot(host);
    match end(&host.runner()).outcome {
        HookOutcome::Lost { why } => assert!(why.contains("$DROVER_REBOOT_FILE"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.runs(), 1);
}
