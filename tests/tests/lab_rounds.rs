//! Rounds of replication on real libvirt and QEMU: a guest that writes, its disks read by the source's port and held by the
//! destination's, both in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_agent_api::{Base, HoldReplica, Images, ReleaseReplica, ReplicaPeer};
use drover_host_agent::domain_xml::Storage;
use drover_host_agent::hypervisor::Hypervisor;
use drover_host_agent::hypervisor::libvirt::{ConsoleHeartbeat, Encryption, HostConfig, Libvirt};
use drover_host_agent::hypervisor::replication::{
    FilledBy, Held, Limits, ReadFrom, Replication, RoundOrder, RoundStatus, Touched,
};
use drover_host_agent::metadata::Imported;
use drover_host_agent::replica::Ends;
use drover_host_agent::replica::config::Config;
use drover_policies::attempt::FailureClass;
use drover_policies::ids::{HostName, OperationId, ReplicaId, ServerId};
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk, Round, RoundKind};
use drover_tests::lab::{
    DiskFormat, DiskLoad, DiskPlace, GuestSpec, Host, LOCAL_STORAGE, Lab, LabLife, LabOptions, unable,
};
use serde_json::json;
use uuid::Uuid;

const BOOT: Duration = Duration::from_secs(90);
const ROUND: Duration = Duration::from_secs(120);
const GUEST: &str = "writer";

/// What a test takes away when it ends, however it does.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

struct Stage {
    // Dropped in this order: who uses the lab before the lab, and what is mounted before the directory that it is in.
    source: Libvirt,
    own: Arc<Ends>,
    destination: Arc<Ends>,
    disks: Vec<ReplicaDisk>,
    server: ServerId,
    replica: ReplicaId,
    lab: Lab,
    _scratch: Option<Mount>,
    dir: tempfile::TempDir,
}

fn ends(dir: &Path, name: &str, listen: &str, scratch: &Path) -> Arc<Ends> {
    let images = dir.join(name).join("images");
    fs::create_dir_all(&images).expect("a directory for images");
    let config = Config {
        listen: listen.parse().expect("an address"),
        reached_by: listen.to_owned(),
        directories: vec![images],
        scratch: scratch.to_owned(),
        bandwidth: None,
        nvram: dir.join("nvram"),
        swtpm: dir.join("swtpm"),
    };
    Ends::start(config, &dir.join(name)).expect("an end of replicas starts")
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn host_config(host: &Host) -> HostConfig {
    HostConfig {
        name: HostName::new("h1".to_owned()).expect("a name"),
        cluster: "lab".to_owned(),
        labels: drover_policies::fleet::Labels::default(),
        resources: drover_policies::fleet::Resources::default(),
        own_uri: host.libvirt_uri(),
        libvirt_uri: host.libvirt_uri(),
        migration_address: None,
        reserve_memory: 0,
        storage: Storage::default(),
        imported: Imported::default(),
        encryption: Encryption::None,
        console: ConsoleHeartbeat::Ignored,
        certificates: Vec::new(),
    }
}

impl Stage {
    /// A guest with these disks runs, and a replica of them is held. The scratch directory has this much room, or the disk's.
    fn new(name: &str, load: DiskLoad, formats: [DiskFormat; 2], scratch_mib: Option<u32>) -> Option<Self> {
        if let Some(reason) = unable() {
            println!("SKIPPED: {reason}");
            return None;
        }
        let dir =
            tempfile::Builder::new().prefix("drover-rounds-").tempdir_in("/var/tmp").expect("a directory");
        let scratch = dir.path().join("scratch");
        fs::create_dir(&scratch).expect("a directory");
        // Before the lab: its hosts see what is mounted when they are made.
        let mount = scratch_mib.map(|mib| {
            let size = format!("size={mib}m");
            let mounted =
                Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&scratch).status();
            assert!(mounted.expect("mount runs").success());
            Mount(scratch.clone())
        });
        let options = LabOptions { name: name.to_owned(), hosts: 1, dir: None, life: LabLife::WithCreator };
        let lab = Lab::create(options).expect("a lab that this machine can have comes up");
        let mut spec = GuestSpec::new(GUEST, "h1");
        (spec.agent, spec.disk, spec.start, spec.load) = (true, DiskPlace::Local, false, load);
        (spec.format, spec.second) = (formats[0], Some(formats[1]));
        let guest = lab.add_guest(&spec).expect("libvirt takes the guest");
        let host = &lab.hosts()[0];
        let xml = seen_from_outside(host, dir.path());
        host.virsh(["define".as_ref(), xml.as_os_str()]).expect("virsh runs").ok().expect("defined");
        host.virsh(["start", GUEST]).expect("virsh runs").ok().expect("started");
        lab.wait_until_heard(BOOT).expect("the guest boots");

        let destination = ends(dir.path(), "destination", &free_address(), &dir.path().join("unused"));
        let own = ends(dir.path(), "source", &free_address(), &scratch);
        let source = Libvirt::new(host_config(host)).expect("a port").replicating(Arc::clone(&own));
        let server: ServerId = guest.uuid.parse().expect("a uuid");
        let replica = ReplicaId(Uuid::from_u128(7 << 96 | 0x1a2b_3c4d));
        let stage =
            Self { source, own, destination, disks: Vec::new(), server, replica, lab, dir, _scratch: mount };
        let stage = Self { disks: stage.read_disks(), ..stage };
        stage.hold();
        stage.wait("the guest agent to be connected", || {
            let xml = stage.virsh(&["dumpxml", GUEST]);
            xml.contains("state='connected'").then_some(())
        });
        Some(stage)
    }

    fn hold(&self) {
        let hold = HoldReplica {
            replica: self.replica,
            server: self.server,
            source: HostName::new("h1".to_owned()).expect("a name"),
            source_certificate: self.own.facts().certificate,
            disks: self.disks.clone(),
            base: Base::New,
        };
        self.destination.replicas.hold(&hold).expect("it is held");
    }

    /// The destination has nothing of it.
    fn hold_anew(&self) {
        let release = ReleaseReplica { replica: self.replica, images: Images::Delete };
        self.destination.replicas.release(&release).expect("it is released");
        self.hold();
    }

    fn host(&self) -> &Host {
        &self.lab.hosts()[0]
    }

    fn virsh(&self, words: &[&str]) -> String {
        self.host().virsh(words).expect("virsh runs").ok().expect("virsh succeeds")
    }

    fn read_disks(&self) -> Vec<ReplicaDisk> {
        let listed = self.virsh(&["domblklist", GUEST]);
        let images = self.dir.path().join("destination/images");
        listed
            .lines()
            .map(|line| {
                let (target, source) =
                    line.trim().split_once(char::is_whitespace).expect("a target and a file");
                let source = PathBuf::from(source.trim());
                let info = image_info(&source);
                let format = if info["format"] == "qcow2" { ImageFormat::Qcow2 } else { ImageFormat::Raw };
                ReplicaDisk {
                    target: target.to_owned(),
                    virtual_bytes: virtual_bytes(&source),
                    path: images.join(source.file_name().expect("a name")),
                    source,
                    format,
                    becomes: None,
                }
            })
            .collect()
    }

    fn peer(&self) -> ReplicaPeer {
        let facts = self.destination.facts();
        let host = HostName::new("h2".to_owned()).expect("a name");
        ReplicaPeer { host, address: facts.address, certificate: facts.certificate }
    }

    fn replication(&self) -> &dyn Replication {
        self.source.replication()
    }

    fn order(&self, from: ReadFrom, bandwidth: Option<u64>) -> RoundOrder {
        RoundOrder {
            operation: OPERATION,
            replica: self.replica,
            server: self.server,
            peer: self.peer(),
            disks: self.disks.clone(),
            limits: Limits { bandwidth, guest_percent: Some(85) },
            from,
            goes_first: false,
        }
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + ROUND;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn returned(&self) -> Result<Round, drover_host_agent::hypervisor::Refusal> {
        self.wait("the round to end", || match self.replication().round(self.server, OPERATION) {
            Ok(RoundStatus::Returned(answer)) => Some(answer),
            Ok(RoundStatus::Running(_)) => None,
            other => panic!("a round that was begun is not known: {other:?}"),
        })
    }

    fn round(&self, from: ReadFrom) -> Round {
        self.replication().start_round(&self.order(from, None)).expect("it begins");
        let round = self.returned().expect("it lands");
        println!("{round:?}");
        round
    }

    /// Begins a round so slowly that it does not end by itself.
    fn begin_slowly(&self) {
        self.replication().start_round(&self.order(ReadFrom::Running, Some(64 << 10))).expect("it begins");
        self.wait("something to be sent", || match self.replication().round(self.server, OPERATION) {
            Ok(RoundStatus::Running(figures)) => (figures.done_bytes() > 0).then_some(()),
            other => panic!("it should run: {other:?}"),
        });
    }

    /// Bytes of its first disk, by libvirt's account.
    fn read_by_the_guest(&self) -> u64 {
        let stats = self.virsh(&["domblkstat", GUEST, &self.disks[0].target]);
        let bytes = stats.lines().find_map(|line| line.split_once("rd_bytes ")?.1.trim().parse().ok());
        bytes.expect("libvirt counts them")
    }

    fn backlog(&self) -> u64 {
        let backlog = self.replication().backlog(self.replica, self.server, &self.disks).expect("asked");
        backlog.iter().map(|disk| disk.bytes).sum()
    }

    /// The guest writes on for some bytes.
    fn let_it_write(&self, bytes: u64) {
        self.wait("the guest to write", || (self.backlog() >= bytes).then_some(()));
    }

    fn shut_down(&self) {
        self.virsh(&["shutdown", GUEST, "--mode", "acpi"]);
        self.wait("the guest to be off", || (self.virsh(&["domstate", GUEST]) == "shut off").then_some(()));
    }

    fn start(&self) {
        let boots = self.lab.collector().expect("this process listens").of(GUEST).boots;
        self.virsh(&["start", GUEST]);
        self.wait("the guest to boot", || {
            (self.lab.collector().expect("this process listens").of(GUEST).boots > boots).then_some(())
        });
    }

    /// The replica, put in its place, is what the server's disks are; then it is taken out again.
    fn assert_same(&self) {
        let port = self.replication();
        port.put_in_place(self.replica, &self.peer(), FilledBy::Rounds).expect("put in place");
        assert_eq!(port.held(self.replica, &self.peer()), Ok(Held::InPlace));
        for disk in &self.disks {
            let format = disk.format.to_string();
            // A different size is only a warning there; the strict comparison would also tell holes from zeroes.
            assert_eq!(virtual_bytes(&disk.source), virtual_bytes(&disk.path), "{}", disk.target);
            let compared = Command::new("qemu-img")
                .args(["compare", "-f", &format, "-F", &format])
                .args([&disk.source, &disk.path])
                .output()
                .expect("qemu-img runs");
            assert!(
                compared.status.success(),
                "{}: {}",
                disk.target,
                String::from_utf8_lossy(&compared.stdout)
            );
        }
        port.take_out(self.replica, &self.peer(), Touched::No).expect("taken out");
    }

    fn checkpoints(&self) -> Vec<String> {
        self.virsh(&["checkpoint-list", GUEST, "--name"])
            .lines()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Adds a bitmap to the first disk that libvirt does not know of.
    fn add_bitmap(&self, name: &str) {
        let ask = |question: &serde_json::Value| {
            let said = self.virsh(&["qemu-monitor-command", GUEST, &question.to_string()]);
            serde_json::from_str::<serde_json::Value>(&said).expect("JSON")["return"].clone()
        };
        let source = self.disks[0].source.display().to_string();
        let nodes = ask(&json!({ "execute": "query-named-block-nodes", "arguments": { "flat": true } }));
        let node = nodes.as_array().into_iter().flatten().find(|node| {
            node["drv"] == "qcow2"
                && node["file"] == source.as_str()
                && node["image"]["filename"] == source.as_str()
        });
        let node = &node.expect("the first disk is a qcow2 image")["node-name"];
        let bitmap = json!({ "node": node, "name": name, "persistent": true });
        ask(&json!({ "execute": "block-dirty-bitmap-add", "arguments": bitmap }));
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> =
            fs::read_dir(self.dir.path().join("scratch/rounds")).expect("it is there").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(
            !self.host().virsh(["backup-dumpxml", GUEST]).expect("virsh runs").success,
            "a backup job is left"
        );
    }
}

fn image_info(image: &Path) -> serde_json::Value {
    let info = Command::new("qemu-img").args(["info", "-U", "--output=json"]).arg(image).output();
    serde_json::from_slice(&info.expect("qemu-img runs").stdout).expect("JSON")
}

fn virtual_bytes(image: &Path) -> u64 {
    image_info(image)["virtual-size"].as_u64().expect("a size")
}

const OPERATION: OperationId = OperationId(Uuid::from_u128(11));

/// The guest's definition with the names that its local disks have outside of the host.
fn seen_from_outside(host: &Host, dir: &Path) -> PathBuf {
    let xml = host.virsh(["dumpxml", "--inactive", GUEST]).expect("virsh runs").ok().expect("defined");
    let path = dir.join("guest.xml");
    let outside = host.outside(LOCAL_STORAGE).display().to_string();
    fs::write(&path, xml.replace(LOCAL_STORAGE, &outside)).expect("written");
    path
}

const LOAD: DiskLoad = DiskLoad { mib: 16, kib_per_second: 4096 };

#[test]
fn rounds_bring_a_server_s_disks_over_bit_by_bit() {
    let Some(stage) = Stage::new("test-rounds", LOAD, [DiskFormat::Qcow2, DiskFormat::Raw], None) else {
        return;
    };
    let read_before = stage.read_by_the_guest();
    let first = stage.round(ReadFrom::Running);
    let read = stage.read_by_the_guest() - read_before;
    assert!(read < first.sent_bytes / 4, "what a round reads would count as the guest's: {read}, {first:?}");
    assert_eq!((first.number, first.kind, first.frozen), (1, RoundKind::Initial, Frozen::Yes));
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-1"]);
    stage.nothing_is_left();

    stage.let_it_write(8 << 20);
    let second = stage.round(ReadFrom::Running);
    assert_eq!((second.number, second.kind), (2, RoundKind::Incremental));
    assert!(second.dirty_bytes >= 8 << 20, "{second:?}");
    // Beside the data only connections, questions and checksums of the raw disk.
    assert!(second.sent_bytes <= second.dirty_bytes * 11 / 10, "{second:?}");
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-2"]);

    // Cut off in the middle: the same is done again, with what was written meanwhile.
    stage.let_it_write(4 << 20);
    stage.begin_slowly();
    let twice = stage.replication().start_round(&stage.order(ReadFrom::Running, None));
    assert!(twice.is_err_and(|refusal| refusal.at_source().class == FailureClass::Busy));
    stage.replication().abort_round(stage.server).expect("asked");
    let aborted = stage.returned().expect_err("it does not land");
    assert_eq!(aborted.at_source().class, FailureClass::Aborted);
    stage.nothing_is_left();
    assert!(stage.backlog() >= 4 << 20, "what was not brought over stays to be brought over");
    stage.begin_slowly();
    stage.replication().limit_round(stage.server, Limits::default()).expect("asked");
    let third = stage.returned().expect("without its limit it lands");
    assert_eq!((third.number, third.kind), (3, RoundKind::Incremental));

    // libvirtd was ended when QEMU had begun a round, before it could note the checkpoint.
    stage.add_bitmap("drover-1a2b3c4d-4");
    let fourth = stage.round(ReadFrom::Running);
    assert_eq!((fourth.number, fourth.kind), (4, RoundKind::Incremental));
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-4"]);

    stage.shut_down();
    let tail = stage.round(ReadFrom::PoweredOff);
    assert_eq!((tail.number, tail.kind), (5, RoundKind::Tail));
    stage.assert_same();

    // The cutover failed: the definition was taken away and is given back. The checkpoint's bitmap is still in the image.
    let here = stage.source.here();
    let definition = stage.source.definition(stage.server).expect("kept");
    here.undefine(stage.server).expect("taken away");
    here.define(&definition).expect("given back");
    stage.start();
    assert!(stage.checkpoints().is_empty());
    let back = stage.round(ReadFrom::Running);
    assert_eq!((back.number, back.kind), (6, RoundKind::Incremental));

    // QEMU is killed, and has not closed its bitmaps.
    stage.host().kill_qemu(GUEST).expect("it runs");
    stage.wait("libvirt to see it", || (stage.virsh(&["domstate", GUEST]) == "shut off").then_some(()));
    stage.start();
    let rescan = stage.round(ReadFrom::Running);
    assert_eq!((rescan.number, rescan.kind), (7, RoundKind::Rescan));
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Incremental);

    // Off after a kill: the tail finds the bitmap broken and compares.
    stage.host().kill_qemu(GUEST).expect("it runs");
    stage.wait("libvirt to see it", || (stage.virsh(&["domstate", GUEST]) == "shut off").then_some(()));
    stage.round(ReadFrom::PoweredOff);
    stage.assert_same();

    stage.replication().forget(stage.replica, stage.server).expect("forgotten");
    assert!(stage.checkpoints().is_empty());
    let info =
        Command::new("qemu-img").arg("info").arg(&stage.disks[0].source).output().expect("qemu-img runs");
    assert!(!String::from_utf8_lossy(&info.stdout).contains("drover-1a2b3c4d"), "a bitmap is left");
    stage.nothing_is_left();
}

/// A guest that writes as fast as it can, so that its first copy is made in parts with times between them.
#[test]
fn a_first_copy_in_parts_shows_the_moment_of_its_last_backup() {
    let load = DiskLoad { mib: 48, kib_per_second: 0 };
    let Some(stage) = Stage::new("test-parts", load, [DiskFormat::Qcow2, DiskFormat::Qcow2], None) else {
        return;
    };
    // So slowly that it takes some seconds.
    let begin = || {
        let order = stage.order(ReadFrom::Running, Some(16 << 20));
        stage.replication().start_round(&order).expect("it begins");
    };
    // A time between two parts: some of it is copied, and no backup is open.
    let a_rest = || {
        stage.wait("a time between two parts", || {
            let running = match stage.replication().round(stage.server, OPERATION) {
                Ok(RoundStatus::Running(figures)) => figures,
                other => panic!("it should run: {other:?}"),
            };
            let is_open = stage.host().virsh(["backup-dumpxml", GUEST]).expect("virsh runs").success;
            (running.done_bytes() > 0 && !is_open).then_some(running)
        })
    };
    begin();
    let resting = a_rest();
    assert!(resting.held_percent > 0 && resting.done_bytes() < resting.total_bytes(), "{resting:?}");
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-2"], "it has not landed");
    let landed = stage.returned().expect("it lands");
    assert_eq!((landed.number, landed.kind, landed.frozen), (1, RoundKind::Initial, Frozen::Yes));
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-1"]);
    stage.nothing_is_left();
    stage.let_it_write(1 << 20);
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Incremental);
    stage.shut_down();
    stage.round(ReadFrom::PoweredOff);
    stage.assert_same();

    // A cutover waits for one that is made in parts: it is in a hurry, and rests no more. Another is cut off in a rest, and gone on with.
    stage.replication().forget(stage.replica, stage.server).expect("forgotten");
    stage.start();
    stage.hold_anew();
    begin();
    a_rest();
    stage.replication().abort_round(stage.server).expect("asked");
    let aborted = stage.returned().expect_err("it does not land");
    assert_eq!(aborted.at_source().class, FailureClass::Aborted);
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Rescan);
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-1"]);
    stage.hold_anew();
    begin();
    a_rest();
    stage.replication().limit_round(stage.server, Limits::default()).expect("asked");
    assert_eq!(stage.returned().expect("it lands").kind, RoundKind::Initial);
    stage.shut_down();
    stage.round(ReadFrom::PoweredOff);
    stage.assert_same();
    stage.replication().forget(stage.replica, stage.server).expect("forgotten");
    stage.nothing_is_left();
}

/// A backup program that keeps checkpoints of its own, as virtnbdbackup does, and an operator who enlarges the disks.
#[test]
fn somebody_elses_checkpoints_and_backups_and_disks_that_grow_are_lived_with() {
    let load = DiskLoad { kib_per_second: 1024, ..LOAD };
    let Some(stage) = Stage::new("test-others", load, [DiskFormat::Qcow2, DiskFormat::Raw], None) else {
        return;
    };
    let other = |name: &str| {
        let disks = ["--diskspec", "vda,checkpoint=bitmap", "--diskspec", "vdb,checkpoint=no"];
        stage.virsh(&[["checkpoint-create-as", GUEST, name].as_slice(), disks.as_slice()].concat());
    };
    other("virtnbdbackup.0");
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Initial);
    other("virtnbdbackup.1");
    stage.let_it_write(2 << 20);
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Incremental);
    assert_eq!(stage.checkpoints(), ["drover-1a2b3c4d-2", "virtnbdbackup.0", "virtnbdbackup.1"]);

    let scratch = stage.dir.path().join("others-scratch");
    let backup = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{0}.socket'/>\
         <disks><disk name='vda' backup='yes' type='file'><scratch file='{0}'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>",
        scratch.display()
    );
    let asked = stage.dir.path().join("others.xml");
    fs::write(&asked, backup).expect("written");
    stage.virsh(&["backup-begin", GUEST, &asked.display().to_string()]);
    let refused = stage
        .replication()
        .start_round(&stage.order(ReadFrom::Running, None))
        .map_err(|refusal| refusal.at_source())
        .and_then(|()| stage.returned().map(drop).map_err(|refusal| refusal.at_source()))
        .expect_err("there can be one backup only");
    assert!(refused.text.contains("somebody else's backup"), "{refused:?}");
    assert!(
        stage.host().virsh(["backup-dumpxml", GUEST]).expect("virsh runs").success,
        "his backup was ended"
    );
    stage.virsh(&["domjobabort", GUEST]);
    assert_eq!(stage.round(ReadFrom::Running).kind, RoundKind::Incremental);

    for disk in &stage.disks {
        let larger = format!("{}b", disk.virtual_bytes + (16 << 20));
        stage.virsh(&["blockresize", GUEST, &disk.target, &larger]);
    }
    stage.let_it_write(1 << 20);
    stage.round(ReadFrom::Running);
    stage.shut_down();
    stage.round(ReadFrom::PoweredOff);
    stage.assert_same();
    let others: Vec<_> =
        stage.checkpoints().into_iter().filter(|name| name.starts_with("virtnbdbackup")).collect();
    assert_eq!(others, ["virtnbdbackup.0", "virtnbdbackup.1"]);
    stage.nothing_is_left();
}

/// As if an agent had died between freezing the guest and thawing it, with its backup begun.
fn what_a_dead_agent_left_is_taken_back(stage: &Stage) {
    let rounds = stage.dir.path().join("scratch/rounds");
    let (socket, file) = (rounds.join("drover-1a2b3c4d.sock"), rounds.join("drover-1a2b3c4d-vda.scratch"));
    let backup = stage.dir.path().join("backup.xml");
    let text = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{}'/><disks><disk name='vda' backup='yes' type='file'>
         <scratch file='{}'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>",
        socket.display(),
        file.display()
    );
    fs::write(&backup, text).expect("written");
    stage.virsh(&["backup-begin", GUEST, &backup.display().to_string()]);
    fs::write(rounds.join(format!("frozen-{}", stage.server)), "").expect("written");
    stage.virsh(&["domfsfreeze", GUEST]);
    let heard = || stage.lab.collector().expect("this process listens").of(GUEST).last();
    let frozen = heard();

    let _next = Libvirt::new(host_config(stage.host())).expect("a port").replicating(Arc::clone(&stage.own));
    stage.wait("the guest to write again", || (heard() > frozen + 1).then_some(()));
    stage.wait("its files to be gone", || {
        fs::read_dir(&rounds).expect("it is there").next().is_none().then_some(())
    });
    stage.nothing_is_left();
}

#[test]
fn a_full_scratch_directory_ends_the_round_and_not_the_guest() {
    let load = DiskLoad { mib: 32, kib_per_second: 0 };
    let Some(stage) = Stage::new("test-scratch", load, [DiskFormat::Qcow2, DiskFormat::Qcow2], Some(32))
    else {
        return;
    };
    let refused = |stage: &Stage| {
        let refusal = stage.returned().expect_err("there is no room for it");
        assert!(refusal.text.contains("scratch"), "{refusal}");
        assert!(!refusal.text.contains("stood still"), "{refusal}");
        assert_eq!(stage.virsh(&["domstate", GUEST]), "running");
        stage.nothing_is_left();
    };
    // The guest overwrites what has not been read yet faster than it is read.
    stage.replication().start_round(&stage.order(ReadFrom::Running, Some(64 << 10))).expect("it begins");
    refused(&stage);
    // So fast that nobody can look in between: the guest stands still for a moment.
    stage.replication().start_round(&stage.order(ReadFrom::Running, Some(64 << 10))).expect("it begins");
    let ballast = stage.dir.path().join("scratch/ballast");
    stage.wait("the round to read", || match stage.replication().round(stage.server, OPERATION) {
        Ok(RoundStatus::Running(figures)) => (figures.total_bytes() > 0).then_some(()),
        other => panic!("it should run: {other:?}"),
    });
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M", "status=none"])
        .arg(format!("of={}", ballast.display()))
        .output();
    assert!(!filled.expect("dd runs").status.success(), "until there is no room");
    let refusal = stage.returned().expect_err("there is no room for it");
    assert!(refusal.text.contains("scratch"), "{refusal}");
    let before = stage.lab.collector().expect("this process listens").of(GUEST).last();
    stage.wait("the guest to go on", || {
        (stage.lab.collector().expect("this process listens").of(GUEST).last() > before).then_some(())
    });
    fs::remove_file(&ballast).expect("removed");
    stage.nothing_is_left();
    what_a_dead_agent_left_is_taken_back(&stage);
    // It overwrites as fast as it can, so whether a round lands would be a race: it holds still for this one.
    stage.virsh(&["suspend", GUEST]);
    assert_eq!(stage.round(ReadFrom::Running).number, 1);
    stage.virsh(&["resume", GUEST]);
}
