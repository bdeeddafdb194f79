//! Two agents' ends of a replica on loopback, with real images: what lands, what does not, and who is let in.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use drover_agent_api::{Base, HoldReplica, Images, ReleaseReplica, ReplicaPeer};
use drover_host_agent::hypervisor::replication::{FilledBy, Touched};
use drover_host_agent::hypervisor::{Refusal, RefusalKind};
use drover_host_agent::replica::config::Config;
use drover_host_agent::replica::error::ReplicaError;
use drover_host_agent::replica::peer::{PeerError, PeerReplica, PeerRound, Range};
use drover_host_agent::replica::store::OpenError;
use drover_host_agent::replica::wire::{BeginRound, Content, Covers, DiskSize, Extra, Place};
use drover_host_agent::replica::{Ends, StartError};
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::CertificateDigest;
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk, Round, RoundKind};
use drover_policies::time::{Instant, Span};
use tempfile::TempDir;
use uuid::Uuid;

const SIZE: u64 = 16 << 20;
const CHUNK: u64 = 1 << 20;
const REPLICA: ReplicaId = ReplicaId(Uuid::from_u128(0x1234_5678));
const SERVER: ServerId = ServerId(Uuid::from_u128(9));

/// An agent's ends, which can be ended and begun again.
struct Host {
    directory: TempDir,
    images: PathBuf,
    config: Config,
    ends: Option<Arc<Ends>>,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let images = directory.path().join("images");
        fs::create_dir(&images).expect("made");
        Self::over(directory, images)
    }

    fn over(directory: TempDir, images: PathBuf) -> Self {
        let (nvram, swtpm) = (directory.path().join("nvram"), directory.path().join("swtpm"));
        for made in [&nvram, &swtpm] {
            fs::create_dir(made).expect("made");
        }
        let config = Config { directories: vec![images.clone()], nvram, swtpm, ..free_port() };
        let mut host = Self { directory, images, config, ends: None };
        host.start();
        host
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn start(&mut self) {
        // A process that another test is just starting has this one's files for a moment, its lock and its port with them.
        let start = || match Ends::start(self.config.clone(), &self.data_dir()) {
            Err(StartError::Open(OpenError::Locked { .. }) | StartError::Listen { .. }) => {
                thread::sleep(std::time::Duration::from_millis(5));
                None
            }
            started => Some(started.expect("started")),
        };
        let started = (0..1000).find_map(|_| start());
        self.ends = Some(started.expect("the lock and the port are free"));
    }

    fn restart(&mut self) {
        self.ends = None;
        self.start();
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("started")
    }

    fn certificate(&self) -> CertificateDigest {
        self.ends().facts().certificate
    }

    fn peer(&self) -> ReplicaPeer {
        ReplicaPeer {
            host: HostName::new("h2").expect("a name"),
            address: self.config.reached_by.clone(),
            certificate: self.certificate(),
        }
    }

    fn disk(&self, target: &str, format: ImageFormat) -> ReplicaDisk {
        let path = self.images.join(format!("{target}.img"));
        ReplicaDisk {
            target: target.to_owned(),
            source: path.clone(),
            path,
            format,
            becomes: None,
            virtual_bytes: SIZE,
        }
    }

    fn order(&self, source: &Self) -> HoldReplica {
        HoldReplica {
            replica: REPLICA,
            server: SERVER,
            source: HostName::new("h1").expect("a name"),
            source_certificate: source.certificate(),
            disks: vec![self.disk("vda", ImageFormat::Qcow2), self.disk("vdb", ImageFormat::Raw)],
            base: Base::New,
        }
    }

    fn hold(&self, source: &Self) -> PeerReplica {
        self.ends().replicas.hold(&self.order(source)).expect("held");
        self.connect_from(source).expect("connected")
    }

    fn connect_from(&self, source: &Self) -> Result<PeerReplica, PeerError> {
        source.ends().peers.connect(&self.peer(), REPLICA)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.images).expect("listed");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("listed").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }
}

fn begin(number: u64, kind: RoundKind, covers: Covers) -> BeginRound {
    let disks = ["vda", "vdb"].map(|target| DiskSize {
        target: target.to_owned(),
        virtual_bytes: SIZE,
        expected_bytes: CHUNK,
    });
    BeginRound { number, kind, covers, disks: disks.into() }
}

fn round(number: u64, kind: RoundKind) -> Round {
    Round {
        number,
        kind,
        consistent_at: Instant::default(),
        frozen: Frozen::No,
        dirty_bytes: CHUNK,
        sent_bytes: CHUNK,
        took: Span::seconds(1),
    }
}

/// Has qemu-io do something over a data connection.
fn over_nbd(stream: UnixStream, command: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("nbd");
    let listener = UnixListener::bind(&socket).expect("bound");
    let relay = thread::spawn(move || {
        let (local, _) = listener.accept().expect("called");
        let (mut from, mut to) = (local.try_clone().expect("cloned"), stream.try_clone().expect("cloned"));
        let there = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let (mut from, mut to) = (stream, local);
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        there.join().expect("relayed");
    });
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    let done = Command::new("qemu-io")
        .args(["-f", "raw", "-c", command, "-c", "flush", &uri])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("failed"), "{command}: {said}");
    relay.join().expect("relayed");
}

fn write(round: &PeerRound, pattern: u8, offset: u64) {
    for target in ["vda", "vdb"] {
        over_nbd(round.data(target).expect("open"), &format!("write -P {pattern} {offset} {CHUNK}"));
    }
}

/// What a guest would see.
fn bytes_of(path: &Path, format: ImageFormat) -> Vec<u8> {
    let raw = tempfile::NamedTempFile::new().expect("a file");
    let format = format.to_string();
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", &format, "-O", "raw"]).arg(path).arg(raw.path());
    assert!(command.status().expect("run").success(), "{path:?}");
    fs::read(raw.path()).expect("read")
}

fn with(patterns: &[(u8, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(SIZE).expect("small")];
    for (pattern, offset) in patterns {
        let at = usize::try_from(*offset).expect("small");
        bytes[at..at + usize::try_from(CHUNK).expect("small")].fill(*pattern);
    }
    bytes
}

fn assert_holds(host: &Host, suffix: &str, patterns: &[(u8, u64)]) {
    for (target, format) in [("vda", ImageFormat::Qcow2), ("vdb", ImageFormat::Raw)] {
        let path = host.images.join(format!("{target}.img{suffix}"));
        assert!(bytes_of(&path, format) == with(patterns), "{path:?} does not hold {patterns:?}");
    }
}

const BESIDE: &str = ".drover-12345678";

fn land_first(replica: &PeerReplica) {
    let first = replica.begin_round(&begin(1, RoundKind::Initial, Covers::Everything)).expect("begun");
    write(&first, 1, 0);
    first.land(&round(1, RoundKind::Initial)).expect("landed");
}

#[test]
fn rounds_land_and_the_replica_is_put_in_its_place_and_taken_out_again() {
    let (source, holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    holder.ends().replicas.hold(&holder.order(&source)).expect("a repeat changes nothing");
    let status = replica.status().expect("told");
    assert_eq!((status.landed, status.content, status.place), (0, Content::Empty, Place::Beside));
    refused(replica.put_in_place(FilledBy::Rounds), "does not show a round that has landed");
    land_first(&replica);
    assert_holds(&holder, BESIDE, &[(1, 0)]);

    let second = replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun");
    write(&second, 2, 4 * CHUNK);
    assert_holds_during_round(&holder);
    second.land(&round(2, RoundKind::Incremental)).expect("landed");
    second.land(&round(2, RoundKind::Incremental)).expect("a repeat changes nothing");
    assert_holds(&holder, BESIDE, &[(1, 0), (2, 4 * CHUNK)]);
    assert_eq!(holder.files(), ["vda.img.drover-12345678", "vdb.img.drover-12345678"]);
    refused(
        replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).map(drop),
        "the next one is 3",
    );

    replica.put_in_place(FilledBy::Rounds).expect("placed");
    replica.put_in_place(FilledBy::Rounds).expect("a repeat changes nothing");
    assert_holds(&holder, "", &[(1, 0), (2, 4 * CHUNK)]);
    assert_eq!(replica.status().expect("told").place, Place::InPlace);
    let delete = ReleaseReplica { replica: REPLICA, images: Images::Delete };
    assert!(matches!(holder.ends().replicas.release(&delete), Err(ReplicaError::InPlace)));
    refused(replica.begin_round(&begin(3, RoundKind::Tail, Covers::Changes)).map(drop), "in its place");

    replica.take_out(Touched::No).expect("taken out");
    let tail = replica.begin_round(&begin(3, RoundKind::Tail, Covers::Changes)).expect("begun");
    write(&tail, 3, 8 * CHUNK);
    tail.land(&round(3, RoundKind::Tail)).expect("landed");
    replica.put_in_place(FilledBy::Rounds).expect("placed");
    replica.take_out(Touched::Perhaps).expect("taken out");
    replica.take_out(Touched::Perhaps).expect("a repeat changes nothing");
    assert_eq!(replica.status().expect("told").content, Content::Unknown);
    refused(
        replica.begin_round(&begin(4, RoundKind::Incremental, Covers::Changes)).map(drop),
        "everything must be compared",
    );
    assert!(replica.sent_bytes() > 6 * CHUNK, "{}", replica.sent_bytes());
    holder.ends().replicas.release(&delete).expect("released");
    holder.ends().replicas.release(&delete).expect("a repeat changes nothing");
    assert!(holder.files().is_empty(), "{:?}", holder.files());
    refused(replica.status().map(drop), "no such replica");
}

/// The images are as the last round has left them while the next one is written.
fn assert_holds_during_round(holder: &Host) {
    let raw = holder.images.join("vdb.img.drover-12345678");
    assert!(fs::read(raw).expect("read") == with(&[(1, 0)]));
}

fn refused<T>(answer: Result<T, PeerError>, words: &str) {
    let error = answer.map(drop).expect_err(words);
    assert!(error.to_string().contains(words), "{error}");
    assert!(matches!(error, PeerError::Refused { .. }), "{error:?}");
}

#[test]
fn a_round_that_is_cut_off_lands_nothing_wherever_it_is_cut() {
    let (source, mut holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    // In the first copy: another one begins with nothing, or goes on by comparing.
    let first = replica.begin_round(&begin(1, RoundKind::Initial, Covers::Everything)).expect("begun");
    write(&first, 9, 2 * CHUNK);
    holder.restart();
    let replica = holder.connect_from(&source).expect("connected");
    assert_eq!(replica.status().expect("told").content, Content::Partial);
    land_first(&replica);
    assert_holds(&holder, BESIDE, &[(1, 0)]);

    // The holder ends: after the beginning, in the middle, when all is written.
    for patterns in [&[][..], &[7][..], &[7, 8][..]] {
        let cut = holder.connect_from(&source).expect("connected");
        let cut = cut.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun");
        patterns.iter().for_each(|pattern| write(&cut, *pattern, 4 * CHUNK));
        holder.restart();
        let replica = holder.connect_from(&source).expect("connected");
        assert_eq!(replica.status().expect("told").landed, 1);
        assert_holds(&holder, BESIDE, &[(1, 0)]);
        cut.land(&round(2, RoundKind::Incremental)).expect_err("it does not go on");
    }

    // The source goes away and comes again: what it had begun is cut.
    let replica = holder.connect_from(&source).expect("connected");
    let old = replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun");
    let mut connection = old.data("vda").expect("open");
    let mut greeting = [0; 8];
    connection.read_exact(&mut greeting).expect("it speaks NBD");
    let new = replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun again");
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest);
    write(&new, 5, 4 * CHUNK);
    new.land(&round(2, RoundKind::Incremental)).expect("landed");
    assert_holds(&holder, BESIDE, &[(1, 0), (5, 4 * CHUNK)]);
}

#[test]
fn checksums_tell_what_differs() {
    let (source, holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    land_first(&replica);
    let rescan = replica.begin_round(&begin(2, RoundKind::Rescan, Covers::Everything)).expect("begun");
    let expected: Vec<[u8; 32]> = with(&[(1, 0)])
        .chunks(usize::try_from(3 * CHUNK).expect("small"))
        .map(|chunk| *blake3::hash(chunk).as_bytes())
        .collect();
    for target in ["vda", "vdb"] {
        let range = Range { target, offset: 0, length: SIZE, chunk: 3 * CHUNK };
        assert!(rescan.checksums(&range).expect("told") == expected, "{target}");
        let part = Range { offset: 3 * CHUNK, length: 3 * CHUNK, ..range };
        assert_eq!(rescan.checksums(&part).expect("told"), expected[1..2]);
        refused(rescan.checksums(&Range { offset: SIZE, length: CHUNK, ..range }), "stay within the disk");
        assert!(matches!(rescan.checksums(&Range { chunk: 1, ..range }), Err(PeerError::Range { .. })));
    }
    let beyond = Range { target: "vdz", offset: 0, length: CHUNK, chunk: CHUNK };
    refused(rescan.checksums(&beyond), "vdz");
    rescan.land(&round(2, RoundKind::Rescan)).expect("landed");
    refused(rescan.checksums(&Range { target: "vda", ..beyond }), "does not go on");
}

#[test]
fn only_the_agent_that_was_named_is_let_in_and_only_to_its_replica() {
    let (source, stranger, holder) = (Host::new(), Host::new(), Host::new());
    let replica = holder.hold(&source);
    let kind =
        |answer: Result<PeerReplica, PeerError>| Refusal::from(answer.map(drop).expect_err("refused")).kind;
    assert_eq!(kind(holder.connect_from(&stranger)), RefusalKind::NoConnection);
    let imposter = ReplicaPeer { certificate: stranger.certificate(), ..holder.peer() };
    assert_eq!(kind(source.ends().peers.connect(&imposter, REPLICA)), RefusalKind::NoConnection);

    // Known here for another replica.
    let mut other = holder.order(&stranger);
    other.replica = ReplicaId(Uuid::from_u128(2));
    other.disks = vec![holder.disk("vdc", ImageFormat::Raw)];
    holder.ends().replicas.hold(&other).expect("held");
    let unknown = |id| match stranger.ends().peers.connect(&holder.peer(), id) {
        Err(PeerError::Refused { failure, .. }) => failure,
        answer => panic!("refused: {:?}", answer.map(drop)),
    };
    assert_eq!(unknown(REPLICA), unknown(ReplicaId(Uuid::from_u128(77))));
    assert_eq!(unknown(REPLICA).class, FailureClass::RefusedByDestination);
    replica.status().expect("the right one is");

    // Not TLS, and nothing at all.
    let mut plain = std::net::TcpStream::connect(&holder.config.reached_by).expect("connected");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[test]
fn what_can_not_be_held_is_refused_before_anything_is_made() {
    let (source, holder) = (Host::new(), Host::new());
    let outside = holder.directory.path().join("outside");
    fs::create_dir(&outside).expect("made");
    std::os::unix::fs::symlink(&outside, holder.images.join("link")).expect("made");
    fs::write(holder.images.join("there.img"), b"somebody's").expect("written");
    let try_path = |path: PathBuf| {
        let mut order = holder.order(&source);
        order.disks[1].path = path;
        holder.ends().replicas.hold(&order).expect_err("refused").failure().text
    };
    let images = &holder.images;
    for (path, words) in [
        (images.join("../outside/vdb.img"), "without \"..\""),
        (outside.join("vdb.img"), "replication.directories"),
        (images.join("link/vdb.img"), "replication.directories"),
        (images.join("there.img"), "is there already"),
        (images.join("vda.img"), "two disks"),
        (images.join("x".repeat(250)), "too long"),
        (images.join("none/vdb.img"), "directory"),
        (PathBuf::from("vdb.img"), "whole path"),
    ] {
        let text = try_path(path);
        assert!(text.contains(words), "{text}");
    }
    for target in ["", "../a", "vda"] {
        let mut order = holder.order(&source);
        order.disks[1].target = target.to_owned();
        assert!(matches!(holder.ends().replicas.hold(&order), Err(ReplicaError::Name { .. })), "{target}");
    }
    assert_eq!(holder.files(), ["link", "there.img"]);
    holder.hold(&source);
    let mut other = holder.order(&source);
    other.replica = ReplicaId(Uuid::from_u128(5));
    let held = holder.ends().replicas.hold(&other);
    assert!(matches!(held, Err(ReplicaError::HeldByOther { by: REPLICA, .. })), "{held:?}");
}

#[test]
fn a_file_in_the_way_leaves_every_disk_out_of_its_place() {
    let (source, holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    land_first(&replica);
    let theirs = holder.images.join("vdb.img");
    fs::write(&theirs, b"somebody's").expect("written");
    assert_eq!(replica.status().expect("told").in_the_way, Some(theirs.clone()));
    refused(replica.put_in_place(FilledBy::Rounds), "is there already");
    assert_eq!(fs::read(&theirs).expect("read"), b"somebody's");
    assert_eq!(replica.status().expect("told").place, Place::Beside);
    fs::remove_file(&theirs).expect("removed");
    assert_holds(&holder, BESIDE, &[(1, 0)]);
}

#[test]
fn what_goes_with_the_disks_is_put_in_place_with_them_and_nowhere_else() {
    let (source, holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    land_first(&replica);
    let nvram = holder.config.nvram.join("web_VARS.fd");
    let tpm = holder.config.swtpm.join(SERVER.to_string());
    fs::write(&nvram, b"of an earlier stay").expect("written");
    let state = tempfile::tempdir().expect("a directory");
    fs::create_dir(state.path().join("tpm2")).expect("made");
    fs::write(state.path().join("tpm2/tpm2-00.permall"), b"secret").expect("written");
    let tar = Command::new("tar").args(["-c", "-C"]).arg(state.path()).arg(".").output().expect("run").stdout;
    replica.put_extra(&Extra::Nvram { path: nvram.clone() }, b"variables").expect("kept");
    replica.put_extra(&Extra::Tpm { path: tpm.clone() }, &tar).expect("kept");
    for path in ["/etc/passwd", "nvram", "/etc/../etc/passwd"] {
        refused(replica.put_extra(&Extra::Nvram { path: path.into() }, b"x"), "can't be used");
        refused(replica.put_extra(&Extra::Tpm { path: path.into() }, &tar), "TPM");
    }
    assert_eq!(fs::read(&nvram).expect("read"), b"of an earlier stay");
    replica.put_in_place(FilledBy::Rounds).expect("placed");
    assert_eq!(fs::read(&nvram).expect("read"), b"variables");
    assert_eq!(fs::read(tpm.join("tpm2/tpm2-00.permall")).expect("read"), b"secret");
    replica.take_out(Touched::No).expect("taken out");
    assert_eq!(fs::read(&nvram).expect("read"), b"of an earlier stay");
    assert!(!tpm.exists());
    replica.put_in_place(FilledBy::Rounds).expect("placed");
    let keep = ReleaseReplica { replica: REPLICA, images: Images::Keep };
    holder.ends().replicas.release(&keep).expect("released");
    assert_eq!(fs::read(&nvram).expect("read"), b"variables");
    assert_eq!(fs::read_dir(&holder.config.nvram).expect("listed").count(), 1);
    assert_eq!(holder.files(), ["vda.img", "vdb.img"]);
}

#[test]
fn retained_disks_are_begun_with_and_come_back_if_no_round_reached_them() {
    let (source, holder) = (Host::new(), Host::new());
    land_first(&holder.hold(&source));
    holder.connect_from(&source).expect("connected").put_in_place(FilledBy::Rounds).expect("placed");
    let keep = ReleaseReplica { replica: REPLICA, images: Images::Keep };
    holder.ends().replicas.release(&keep).expect("released");

    let order = HoldReplica { base: Base::Retained, ..holder.order(&source) };
    let delete = ReleaseReplica { replica: REPLICA, images: Images::Delete };
    let mut server = Command::new("qemu-nbd")
        .args(["--persistent", "--format=qcow2"])
        .arg(format!("--socket={}", holder.directory.path().join("server").display()))
        .arg(holder.images.join("vda.img"))
        .spawn()
        .expect("run");
    while !holder.directory.path().join("server").exists() {
        thread::yield_now();
    }
    let used = holder.ends().replicas.hold(&order);
    server.kill().expect("ended");
    server.wait().expect("ended");
    assert!(used.expect_err("it is in use").failure().text.contains("lock"));
    assert_eq!(holder.files(), ["vda.img", "vdb.img"]);
    holder.ends().replicas.hold(&order).expect("held");
    let replica = holder.connect_from(&source).expect("connected");
    assert_eq!(replica.status().expect("told").content, Content::Unknown);
    refused(replica.begin_round(&begin(1, RoundKind::Initial, Covers::Everything)).map(drop), "do a rescan");
    let cut = replica.begin_round(&begin(1, RoundKind::Rescan, Covers::Everything)).expect("begun");
    write(&cut, 6, CHUNK);
    holder.ends().replicas.release(&delete).expect("released");
    assert_holds(&holder, "", &[(1, 0)]);

    holder.ends().replicas.hold(&order).expect("held");
    let replica = holder.connect_from(&source).expect("connected");
    let rescan = replica.begin_round(&begin(1, RoundKind::Rescan, Covers::Everything)).expect("begun");
    write(&rescan, 6, CHUNK);
    rescan.land(&round(1, RoundKind::Rescan)).expect("landed");
    assert_holds(&holder, BESIDE, &[(1, 0), (6, CHUNK)]);
}

#[test]
fn a_disk_that_grew_is_followed_and_one_that_shrank_is_refused() {
    let (source, holder) = (Host::new(), Host::new());
    let replica = holder.hold(&source);
    land_first(&replica);
    let sized = |virtual_bytes| {
        let mut begin = begin(2, RoundKind::Incremental, Covers::Changes);
        begin.disks.iter_mut().for_each(|disk| disk.virtual_bytes = virtual_bytes);
        begin
    };
    refused(replica.begin_round(&sized(SIZE / 2)).map(drop), "smaller than before");
    let grown = replica.begin_round(&sized(SIZE * 2)).expect("begun");
    over_nbd(grown.data("vdb").expect("open"), &format!("write -P 4 {SIZE} {CHUNK}"));
    grown.land(&round(2, RoundKind::Incremental)).expect("landed");
    let raw = fs::read(holder.images.join("vdb.img.drover-12345678")).expect("read");
    let at = usize::try_from(SIZE).expect("small");
    assert_eq!((raw.len(), raw[at], raw[0]), (2 * at, 4, 1));
}

/// A file system that is soon full, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    /// Nothing where nothing may be mounted.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=72m", "drover-test"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || thread::panicking(), "still mounted");
    }
}

#[test]
fn a_full_file_system_is_named_and_nothing_lands() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(small) = Small::mount(directory.path().join("images")) else {
        eprintln!("NOT TESTED: nothing may be mounted here, so there is no small file system to be filled");
        return;
    };
    let (source, holder) = (Host::new(), Host::over(directory, small.0.clone()));
    let replica = holder.hold(&source);
    land_first(&replica);
    let mut large = begin(2, RoundKind::Incremental, Covers::Changes);
    large.disks[0].expected_bytes = 1 << 30;
    refused(replica.begin_round(&large).map(drop), "images has ");
    // The source was wrong about how much comes, and somebody else has filled the rest.
    let second = replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun");
    write(&second, 2, 4 * CHUNK);
    let filler = small.0.join("filler");
    let _ = io::copy(&mut io::repeat(1), &mut fs::File::create(&filler).expect("made"));
    let failed = second.land(&round(2, RoundKind::Incremental)).expect_err("no room to join");
    assert!(
        failed.to_string().contains("No space left") && failed.to_string().contains("images"),
        "{failed}"
    );
    fs::remove_file(&filler).expect("removed");
    // It was complete: with room it lands.
    assert_eq!(replica.status().expect("told").landed, 2);
    assert_holds(&holder, BESIDE, &[(1, 0), (2, 4 * CHUNK)]);
    let delete = ReleaseReplica { replica: REPLICA, images: Images::Delete };
    holder.ends().replicas.hold(&holder.order(&source)).expect("a repeat changes nothing");
    holder.ends().replicas.release(&delete).expect("released");
}

#[test]
fn a_process_that_an_earlier_agent_left_is_ended_and_others_are_not() {
    let (source, mut holder) = (Host::new(), Host::new());
    land_first(&holder.hold(&source));
    holder.ends = None;
    let serve = |socket: PathBuf| {
        let mut command = Command::new("qemu-nbd");
        command.args(["--persistent", "--read-only", "--format=raw"]);
        command.arg(format!("--socket={}", socket.display()));
        command.arg(holder.images.join("vdb.img.drover-12345678")).spawn().expect("run")
    };
    let mut ours = serve(holder.data_dir().join("replicas").join(REPLICA.to_string()).join("vdb.sock"));
    let mut theirs = serve(holder.directory.path().join("vdb.sock"));
    while !holder.directory.path().join("vdb.sock").exists() {
        thread::yield_now();
    }
    holder.start();
    ours.wait().expect("ended");
    let running = theirs.try_wait().expect("asked").is_none();
    theirs.kill().expect("ended");
    theirs.wait().expect("ended");
    assert!(running, "another one's was ended");
}

/// Where the other process's data and images are, on its standard input; it tells its address on its standard output.
#[test]
#[ignore = "no test: an_agent_that_is_killed_leaves_the_round_before_and_no_process starts it as a process of its own, and kills it"]
fn an_agent_to_be_killed() {
    let mut directory = String::new();
    io::stdin().read_line(&mut directory).expect("told");
    let config = Config {
        directories: vec![Path::new(directory.trim()).join("images")],
        nvram: Path::new(directory.trim()).join("nvram"),
        swtpm: Path::new(directory.trim()).join("swtpm"),
        ..free_port()
    };
    let address = config.reached_by.clone();
    let _ends = Ends::start(config, &Path::new(directory.trim()).join("data")).expect("started");
    println!("\nlistens {address}");
    thread::park();
}

fn free_port() -> Config {
    let listen = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    Config {
        listen,
        reached_by: listen.to_string(),
        directories: Vec::new(),
        scratch: PathBuf::new(),
        bandwidth: None,
        nvram: PathBuf::new(),
        swtpm: PathBuf::new(),
    }
}

#[test]
fn an_agent_that_is_killed_leaves_the_round_before_and_no_process() {
    use std::io::BufRead;
    let (source, mut holder) = (Host::new(), Host::new());
    land_first(&holder.hold(&source));
    let certificate = holder.certificate();
    holder.ends = None;
    let mut child = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", "an_agent_to_be_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run");
    writeln!(child.stdin.take().expect("piped"), "{}", holder.directory.path().display()).expect("told");
    let lines = io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listens ").map(str::to_owned))
        .expect("it listens");
    let peer = ReplicaPeer { host: HostName::new("h2").expect("a name"), address, certificate };
    let replica = source.ends().peers.connect(&peer, REPLICA).expect("connected");
    let cut = replica.begin_round(&begin(2, RoundKind::Incremental, Covers::Changes)).expect("begun");
    write(&cut, 7, 0);
    let open = cut.data("vda").expect("open");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let gone = Refusal::from(replica.status().expect_err("it is gone"));
    assert_eq!(gone.kind, RefusalKind::NoConnection, "{gone}");
    drop(open);
    // As long as a process has the file, nobody else may open it.
    let overlay = holder.images.join("vda.img.drover-12345678.round");
    let is_free = || {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "qcow2", "-c", "quit"]).arg(&overlay).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let tries =
        (0..200).take_while(|_| !is_free()).inspect(|_| thread::sleep(std::time::Duration::from_millis(50)));
    assert!(tries.count() < 200, "qemu-nbd goes on without its agent");
    holder.start();
    let replica = holder.connect_from(&source).expect("connected");
    assert_eq!(replica.status().expect("told").landed, 1);
    assert_holds(&holder, BESIDE, &[(1, 0)]);
}
