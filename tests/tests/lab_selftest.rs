//! The lab itself, on real libvirt and QEMU, without anything of Drover's: what the lab tests stand on.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drover_tests::lab::{
    DiskFormat, DiskLoad, DiskPlace, GuestSpec, Host, LOCAL_STORAGE, Lab, LabLife, LabOptions, LabState,
    Witness, cleanup, ring_on_disk, unable,
};

const BOOT: Duration = Duration::from_secs(60);

fn lab(name: &str, hosts: usize) -> Option<Lab> {
    if let Some(reason) = unable() {
        println!("SKIPPED: {reason}");
        return None;
    }
    let options = LabOptions { name: name.to_owned(), hosts, dir: None, life: LabLife::WithCreator };
    Some(Lab::create(options).expect("a lab that this machine can have comes up"))
}

fn text_of(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect("the program is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn state_of(host: &Host, guest: &str) -> String {
    host.virsh(["domstate", guest]).expect("virsh runs").ok().expect("the guest is defined here")
}

/// Whether something becomes so before patience is over.
fn becomes(so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    so()
}

fn becomes_off(host: &Host, guest: &str) -> bool {
    becomes(|| state_of(host, guest) == "shut off")
}

/// Asserts that neither process nor namespace, link, mount, file or record of the lab is left.
fn assert_no_trace(state: &LabState) {
    assert!(
        !text_of("ip", &["netns", "list"]).contains(&format!("dlab{}-", state.index)),
        "a namespace is left"
    );
    assert!(!text_of("ip", &["-o", "link"]).contains(&format!(": {}", state.bridge())), "a link is left");
    assert!(!state.dir.exists(), "files are left");
    assert!(LabState::load(&state.name).expect("the registry can be read").is_none(), "the record is left");
    let dir = state.dir.to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc").expect("there is a /proc").flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        assert!(!read("mountinfo").contains(&dir), "a mount is left in process {:?}", entry.file_name());
        assert!(!read("cmdline").contains(&dir), "process {:?} is left", entry.file_name());
    }
}

#[test]
fn a_guest_migrates_live_and_loses_nothing_and_the_lab_leaves_no_trace() {
    let begin = Instant::now();
    let Some(lab) = lab("selftest-live", 2) else { return };
    println!("2 hosts up after {:?}", begin.elapsed());
    let state = lab.state().clone();
    let watcher = lab.watch().expect("a watcher starts");
    let begin = Instant::now();
    lab.add_guests(&[GuestSpec::new("steady", "h1"), GuestSpec::new("busy", "h1").dirtying(16)])
        .expect("libvirt takes the guests");
    lab.wait_until_heard(BOOT).expect("the guests boot");
    println!("2 guests heard after {:?}", begin.elapsed());

    let target = lab.host("h2").expect("there are two hosts").libvirt_uri();
    for guest in ["steady", "busy"] {
        let heard = lab.collector().expect("this process listens");
        heard.reset_downtime(guest, BOOT).expect("the guest is heard");
        let before = heard.of(guest).last();
        let begin = Instant::now();
        let words = ["migrate", "--live", "--p2p", "--persistent", "--undefinesource", guest, &target];
        lab.hosts()[0].virsh(words).expect("virsh runs").ok().expect("libvirt migrates the guest");
        let took = begin.elapsed();
        let after = heard.wait_beyond(guest, heard.of(guest).last(), BOOT).expect("the guest goes on");
        assert!(after.last() > before);
        assert_eq!(after.boots, 1, "a live migration is no reboot");
        assert!(after.steps_back.is_empty(), "{:?}", after.steps_back);
        let downtime = after.downtime().expect("the guest has heard of the reset");
        assert!(downtime > Duration::ZERO, "standing still for the last of the memory is felt");
        println!("{guest}: migrated in {took:?}, away for {downtime:?} as it measured it");
        let running = lab.where_running(guest).expect("virsh runs");
        assert_eq!(running.iter().map(|host| host.name()).collect::<Vec<_>>(), ["h2"]);
    }

    for check in lab.check_no_acknowledged_write_lost().expect("nothing acknowledged is lost") {
        assert!(check.acknowledged > 10, "{check:?}");
        println!("{check:?}");
    }
    let report = watcher.finish();
    report.ok().expect("nothing ran twice");
    println!("watcher: {:?}, silences {:?}", report.answers, report.silences);
    lab.destroy().expect("the lab goes");
    assert_no_trace(&state);
}

#[test]
fn a_guest_is_shut_down_by_its_button_or_its_agent_and_goes_on_counting_after_its_reboot() {
    let Some(lab) = lab("selftest-power", 1) else { return };
    let mut agent = GuestSpec::new("agent", "h1");
    (agent.agent, agent.disk, agent.format) = (true, DiskPlace::Local, DiskFormat::Qcow2);
    let mut deaf = GuestSpec::new("deaf", "h1");
    deaf.ignore_acpi = true;
    lab.add_guests(&[GuestSpec::new("button", "h1"), agent, deaf]).expect("libvirt takes the guests");
    lab.wait_until_heard(BOOT).expect("the guests boot");
    let host = &lab.hosts()[0];
    let shutdown = |guest: &str, mode: &str| {
        // The agent starts a moment after the first beat.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let said = host.virsh(["shutdown", guest, "--mode", mode]).expect("virsh runs");
            if said.success || Instant::now() > deadline {
                break said.ok().expect("libvirt passes the wish on");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    shutdown("button", "acpi");
    shutdown("deaf", "acpi");
    shutdown("agent", "agent");
    assert!(becomes_off(host, "button") && becomes_off(host, "agent"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(state_of(host, "deaf"), "running");
    host.virsh(["destroy", "deaf"]).expect("virsh runs").ok().expect("hard power off works on the deaf");

    let heard = lab.collector().expect("this process listens");
    for guest in ["button", "agent"] {
        let before = heard.of(guest).last();
        host.virsh(["start", guest]).expect("virsh runs").ok().expect("it starts again");
        let after = heard.wait_beyond(guest, before, BOOT).expect("it counts on");
        assert_eq!(after.boots, 2);
        assert!(after.steps_back.is_empty(), "{:?}", after.steps_back);
        // The first answer after the boot ends the gap, the beat after that tells of it.
        let after = heard.wait_beyond(guest, after.last() + 1, BOOT).expect("it counts on");
        assert!(after.downtime().expect("nothing was reset") > Duration::from_secs(2), "{after:?}");
        println!("{guest}: away for {:?} over its reboot", after.downtime());
    }
    lab.check_no_acknowledged_write_lost()
        .expect("nothing acknowledged is lost, not even by the hard power off");
}

#[test]
fn a_lab_whose_creator_was_killed_is_removed_by_whoever_makes_one_of_its_name() {
    if let Some(reason) = unable() {
        println!("SKIPPED: {reason}");
        return;
    }
    let options =
        || LabOptions { name: "selftest-dead".to_owned(), hosts: 1, dir: None, life: LabLife::WithCreator };
    // Killed when it was whole, and killed in the middle: after its record was written, before its host was up.
    for whole in [true, false] {
        let mut creator = Command::new(env!("CARGO_BIN_EXE_drover-lab"))
            .args(["up", "--hold", "--hosts", "1", "--name", "selftest-dead"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("drover-lab starts");
        if whole {
            let mut line = String::new();
            BufReader::new(creator.stdout.take().expect("it has an output"))
                .read_line(&mut line)
                .expect("it says");
            assert_eq!(line, "up\n");
            let refused = Lab::create(options()).expect_err("it is alive");
            assert!(refused.to_string().contains("is up"), "{refused:#}");
        } else {
            while LabState::load("selftest-dead").expect("the registry can be read").is_none() {}
        }
        creator.kill().expect("it runs");
        creator.wait().expect("it was killed");
        let dead =
            LabState::load("selftest-dead").expect("the registry can be read").expect("it is on record");
        assert!(dead.is_dead());
        let again = Lab::create(options()).expect("the dead one is no hindrance");
        let state = again.state().clone();
        again.destroy().expect("the lab goes");
        assert_no_trace(&dead);
        assert_no_trace(&state);
        assert!(!cleanup::remove_named("selftest-dead").expect("the registry can be read"));
    }
}

#[test]
fn hosts_suffer_the_faults_that_tests_ask_for_and_recover() {
    let Some(lab) = lab("selftest-faults", 2) else { return };
    lab.add_guest(&GuestSpec::new("one", "h1")).expect("libvirt takes the guest");
    lab.wait_until_heard(BOOT).expect("the guest boots");
    let heard = lab.collector().expect("this process listens");
    let host = &lab.hosts()[0];
    let quick = ["--keepalive-interval", "1", "--keepalive-count", "1", "domstate", "one"];

    host.kill_libvirtd().expect("it ran");
    assert!(!host.virsh(["list"]).expect("virsh runs").success);
    heard.wait_beyond("one", heard.of("one").last(), BOOT).expect("a guest does not need libvirtd to go on");
    host.start_libvirtd().expect("it starts again");
    assert_eq!(host.virsh(quick).expect("virsh runs").ok().expect("it answers"), "running");
    host.restart_libvirtd().expect("it starts again");

    heard.reset_downtime("one", BOOT).expect("the guest is heard");
    host.cut_link().expect("there is a link");
    let silent = heard.of("one").last();
    std::thread::sleep(Duration::from_secs(2));
    assert!(heard.of("one").last() <= silent + 1, "a message got over the cut link");
    host.heal_link().expect("there is a link");
    let after = heard.wait_beyond("one", silent + 1, BOOT).expect("it is heard again");
    let after = heard.wait_beyond("one", after.last() + 1, BOOT).expect("it is heard again");
    assert!(after.downtime().expect("it has heard of the reset") > Duration::from_secs(1), "{after:?}");

    let other = &lab.hosts()[1];
    let look =
        || other.command("test").args(["-e", "/var/lib/libvirt/shared/one.raw"]).status().expect("it runs");
    assert!(look().success());
    other.lose_shared_storage().expect("it was mounted");
    assert!(!look().success());
    other.regain_shared_storage().expect("it can be mounted");
    assert!(look().success());

    host.kill_qemu("one").expect("it runs here");
    assert!(host.qemu_pid("one").is_none());
    // libvirtd has to notice first.
    assert!(becomes_off(host, "one"));
    host.virsh(["start", "one"]).expect("virsh runs").ok().expect("it starts again");
    heard.wait_beyond("one", heard.of("one").last(), BOOT).expect("it counts on");
    host.power_off();
    assert!(host.processes().is_empty());
    let boot = || std::fs::read_to_string(host.inside("/proc/sys/kernel/random/boot_id")).ok();
    host.power_on().expect("it comes up again");
    assert!(boot().is_some() && boot() != std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok());
    assert_eq!(state_of(host, "one"), "shut off");
    host.virsh(["start", "one"]).expect("virsh runs").ok().expect("it starts again");
    let after = heard.wait_beyond("one", heard.of("one").last(), BOOT).expect("it counts on");
    assert_eq!(after.boots, 3);
    lab.check_no_acknowledged_write_lost()
        .expect("nothing acknowledged is lost by a crash or a loss of power");
}

#[test]
fn a_guest_with_two_local_disks_begins_with_what_it_ended_with_and_the_witness_sees_when_not() {
    let Some(lab) = lab("selftest-witness", 1) else { return };
    let witness = Witness::install(&lab).expect("libvirtd comes back");
    let host = &lab.hosts()[0];
    let mut spec = GuestSpec::new("loaded", "h1");
    (spec.disk, spec.format, spec.second) = (DiskPlace::Local, DiskFormat::Qcow2, Some(DiskFormat::Raw));
    spec.load = DiskLoad { mib: 8, kib_per_second: 1024 };
    let guest = lab.add_guest(&spec).expect("libvirt takes the guest");
    lab.wait_until_heard(BOOT).expect("the guest boots");
    let restart = |held_for: Duration| {
        host.virsh(["shutdown", "loaded"]).expect("virsh runs").ok().expect("libvirt passes the wish on");
        assert!(becomes_off(host, "loaded"));
        let held = witness.hold_unless_on("h2", "loaded").expect("the lab's directory can be written");
        std::thread::scope(|scope| {
            let start = scope.spawn(|| host.virsh(["start", "loaded"]).expect("virsh runs").ok());
            std::thread::sleep(held_for);
            assert!(host.qemu_pid("loaded").is_none(), "it began although it was held");
            drop(held);
            start.join().expect("no panic").expect("it starts again");
        });
    };
    restart(Duration::from_secs(1));
    let heard = lab.collector().expect("this process listens");
    heard.wait_beyond("loaded", heard.of("loaded").last(), BOOT).expect("it counts on");
    let seen = witness.check().expect("both disks are as they were");
    assert_eq!(seen.get("loaded"), Some(&2));

    host.virsh(["shutdown", "loaded"]).expect("virsh runs").ok().expect("libvirt passes the wish on");
    assert!(becomes_off(host, "loaded"));
    let newest = |disk: usize| {
        let disk = &guest.disks()[disk];
        let ring = ring_on_disk(&host.inside(&disk.path), disk.format).expect("the image can be read");
        assert_eq!(ring.damaged, 0);
        ring.newest().expect("it has counted").number
    };
    let (first, second) = (newest(0), newest(1));
    assert!(first == second || first == second + 1, "disks of two moments: {first} and {second}");
    lab.check_no_acknowledged_write_lost().expect("nothing acknowledged is lost");

    // One number of one disk is taken back, as by a copy that is not whole.
    let raw = host.inside(&guest.disks()[1].path);
    let bytes = std::fs::read(&raw).expect("the image can be read");
    let record =
        ring_on_disk(&raw, DiskFormat::Raw).expect("it has a ring").newest().expect("it has counted");
    let line = record.to_line();
    let at =
        bytes.windows(line.len()).position(|window| window == line.as_bytes()).expect("it is in the image");
    let file = std::fs::OpenOptions::new().write(true).open(&raw).expect("the image can be written");
    file.write_all_at(" ".repeat(line.len()).as_bytes(), at as u64).expect("written");
    lab.check_no_acknowledged_write_lost().expect_err("a number is gone");
    host.virsh(["start", "loaded"]).expect("virsh runs").ok().expect("it starts again");
    let seen = witness.check().expect_err("a disk has changed").to_string();
    assert!(seen.contains("loaded-more.raw"), "{seen}");
}

#[test]
fn a_small_file_system_is_filled_and_has_room_again() {
    let Some(lab) = lab("selftest-small", 1) else { return };
    let host = &lab.hosts()[0];
    host.mount_small(LOCAL_STORAGE, 32).expect("it can be mounted");
    let write = || std::fs::write(host.inside(&format!("{LOCAL_STORAGE}/file")), [1; 4096]);
    let ballast = host.fill(LOCAL_STORAGE).expect("it can be filled");
    assert_eq!(write().expect_err("it is full").kind(), std::io::ErrorKind::StorageFull);
    drop(ballast);
    write().expect("it has room again");
    let state = lab.state().clone();
    lab.destroy().expect("the lab goes");
    assert_no_trace(&state);
    assert!(
        !text_of("losetup", &["-a"]).contains(&state.dir.to_string_lossy().into_owned()),
        "a loop device is left"
    );
}

#[test]
fn the_watcher_sees_two_copies_that_really_run() {
    let Some(lab) = lab("selftest-twice", 2) else { return };
    let guest = lab.add_guest(&GuestSpec::new("twin", "h1")).expect("libvirt takes the guest");
    lab.wait_until_heard(BOOT).expect("the guest boots");
    let watcher = lab.watch().expect("a watcher starts");
    // The same definition on the other host, with a copy of the disk: QEMU's lock would refuse the same one.
    let copy = lab.hosts()[1].outside("/var/lib/libvirt/local/twin.raw");
    std::fs::copy(lab.hosts()[0].outside(&guest.disk_path()), copy).expect("the disk is copied");
    let xml = lab.hosts()[0]
        .virsh(["dumpxml", "twin", "--inactive"])
        .expect("virsh runs")
        .ok()
        .expect("it is defined");
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    std::fs::write(file.path(), xml.replace(&guest.disk_path(), "/var/lib/libvirt/local/twin.raw"))
        .expect("written");
    let define = ["create".as_ref(), file.path().as_os_str()];
    lab.hosts()[1].virsh(define).expect("virsh runs").ok().expect("the second copy starts");
    assert!(becomes(|| !watcher.report().violations.is_empty()), "two copies were not seen");
    let report = watcher.finish();
    assert!(report.violations.iter().any(|seen| seen.uuid == guest.uuid), "{report:?}");
    assert!(report.ok().is_err());
}
