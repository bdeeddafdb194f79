//! What is on the disk when the agent dies on some line, and what the next one makes of it.

use std::process::Command;

use drover_policies::ids::{HostName, ServerId};
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk, Round, RoundKind};
use drover_policies::time::{Instant, Span};
use uuid::Uuid;

use super::*;
use crate::hypervisor::replication::Touched;
use crate::replica::tools::commit;
use crate::replica::wire::{Content, Extra};

#[path = "forked.rs"]
mod forked;

const SIZE: u64 = 4 << 20;
const REPLICA: ReplicaId = ReplicaId(Uuid::from_u128(0xabcd_ef01));

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().expect("a directory") };
        for made in ["images", "nvram", "swtpm"] {
            fs::create_dir(world.path(made)).expect("made");
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self) -> Arc<Replicas> {
        let config = Config {
            listen: ([127, 0, 0, 1], 1).into(),
            reached_by: "h2:1".to_owned(),
            directories: vec![self.path("images")],
            scratch: self.path("scratch"),
            bandwidth: None,
            nvram: self.path("nvram"),
            swtpm: self.path("swtpm"),
        };
        // A process that another test is just starting has this one's files for a moment, and its lock with them.
        let open = || match Replicas::open(config.clone(), &self.path("data")) {
            Err(OpenError::Locked { .. }) => {
                std::thread::sleep(Duration::from_millis(5));
                None
            }
            opened => Some(opened.expect("opened")),
        };
        (0..1000).find_map(|_| open()).expect("the lock is free")
    }

    fn order(&self) -> HoldReplica {
        let disk = |target: &str, format| {
            let path = self.path("images").join(target);
            ReplicaDisk {
                target: target.to_owned(),
                source: path.clone(),
                path,
                format,
                becomes: None,
                virtual_bytes: SIZE,
            }
        };
        HoldReplica {
            replica: REPLICA,
            server: ServerId(Uuid::from_u128(9)),
            source: HostName::new("h1").expect("a name"),
            source_certificate: CertificateDigest("ab".repeat(32)),
            disks: vec![disk("vda", ImageFormat::Qcow2), disk("vdb", ImageFormat::Raw)],
            base: Base::New,
        }
    }

    /// A replica with one round that has landed: every disk begins with 1.
    fn held(&self) -> Arc<Replicas> {
        let replicas = self.open();
        replicas.hold(&self.order()).expect("held");
        change(&replicas, |record| {
            for disk in &record.disks {
                write(&record.beside(&disk.path), disk.format, 1);
            }
            (record.landed, record.content, record.last) = (1, Content::Landed, Some(round(1)));
        });
        replicas
    }

    /// A replica with one round, and another one whose overlays are whole: every disk begins with 2 in them.
    fn complete(&self) -> Arc<Replicas> {
        let replicas = self.held();
        change(&replicas, |record| {
            for disk in &record.disks {
                let (path, overlay) = (record.beside(&disk.path), record.overlay(disk));
                Image { path: &path, format: disk.format }.create_overlay(&overlay).expect("made");
                write(&overlay, ImageFormat::Qcow2, 2);
            }
        });
        replicas
    }

    /// The agent dies and another one begins.
    fn begin_again(&self, replicas: Arc<Replicas>) -> Arc<Replicas> {
        drop(replicas);
        let replicas = self.open();
        replicas.recover();
        replicas
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("images")).expect("listed");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("listed").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }

    fn begins_with(&self, suffix: &str) -> [u8; 2] {
        [("vda", ImageFormat::Qcow2), ("vdb", ImageFormat::Raw)].map(|(target, format)| {
            let raw = self.path("raw");
            let (from, format) = (self.path("images").join(format!("{target}{suffix}")), format.to_string());
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", &format, "-O", "raw"]).arg(from).arg(&raw);
            assert!(command.status().expect("run").success());
            fs::read(raw).expect("read")[0]
        })
    }
}

const BESIDE: &str = ".drover-abcdef01";

fn round(number: u64) -> Round {
    Round {
        number,
        kind: RoundKind::Incremental,
        consistent_at: Instant::default(),
        frozen: Frozen::No,
        dirty_bytes: 1,
        sent_bytes: 1,
        took: Span::seconds(1),
    }
}

fn write(path: &Path, format: ImageFormat, pattern: u8) {
    let write = format!("write -P {pattern} 0 64k");
    let mut command = Command::new("qemu-io");
    let done = command.args(["-f", &format.to_string(), "-c", &write]).arg(path).output().expect("run");
    assert!(done.status.success(), "{done:?}");
}

fn change(replicas: &Replicas, change: impl FnOnce(&mut Record)) {
    let slot = replicas.slot(REPLICA).expect("held");
    let mut turn = slot.turn().expect("free");
    change(&mut turn.record);
    replicas.save(&turn.record).expect("saved");
}

fn status(replicas: &Replicas) -> Status {
    let slot = replicas.slot(REPLICA).expect("held");
    replicas.status(&mut slot.turn().expect("free")).expect("told")
}

#[test]
fn a_round_that_the_record_does_not_name_is_thrown_away() {
    let world = World::new();
    let replicas = world.begin_again(world.complete());
    assert_eq!(status(&replicas).landed, 1);
    assert_eq!(world.files(), ["vda.drover-abcdef01", "vdb.drover-abcdef01"]);
    assert_eq!(world.begins_with(BESIDE), [1, 1]);
}

#[test]
fn a_round_that_the_record_names_lands_however_many_of_its_disks_were_joined() {
    for joined in 0..=2 {
        let world = World::new();
        let replicas = world.complete();
        change(&replicas, |record| {
            record.stage = Stage::Landing { round: round(2) };
            record.disks.iter().take(joined).for_each(|disk| commit(&record.overlay(disk)).expect("joined"));
        });
        let replicas = world.begin_again(replicas);
        assert_eq!((status(&replicas).landed, status(&replicas).content), (2, Content::Landed), "{joined}");
        assert_eq!(world.files(), ["vda.drover-abcdef01", "vdb.drover-abcdef01"], "{joined}");
        assert_eq!(world.begins_with(BESIDE), [2, 2], "{joined}");
    }
}

#[test]
fn layers_of_a_round_that_has_landed_are_removed() {
    let world = World::new();
    let replicas = world.complete();
    change(&replicas, |record| {
        record.disks.iter().for_each(|disk| commit(&record.overlay(disk)).expect("joined"));
        record.landed = 2;
    });
    let replicas = world.begin_again(replicas);
    assert_eq!((status(&replicas).landed, world.begins_with(BESIDE)), (2, [2, 2]));
    assert_eq!(world.files().len(), 2);
}

#[test]
fn what_was_on_its_way_into_its_place_or_out_of_it_arrives() {
    let nvram = |world: &World| world.path("nvram").join("vars");
    for moved in 0..=2 {
        for (stage, place, touched) in [
            (Stage::Placing, Place::InPlace, Touched::No),
            (Stage::TakingOut { touched: Touched::No }, Place::Beside, Touched::No),
            (Stage::TakingOut { touched: Touched::Perhaps }, Place::Beside, Touched::Perhaps),
        ] {
            let world = World::new();
            let replicas = world.held();
            fs::write(nvram(&world), b"before").expect("written");
            change(&replicas, |record| {
                record.extras.push(Extra::Nvram { path: nvram(&world) });
                fs::write(record.beside(&nvram(&world)), b"new").expect("written");
                for disk in record.disks.iter().take(moved) {
                    fs::rename(record.beside(&disk.path), &disk.path).expect("moved");
                }
                record.stage = stage.clone();
            });
            let replicas = world.begin_again(replicas);
            let found = status(&replicas);
            assert_eq!(found.place, place, "{stage:?} {moved}");
            assert_eq!(found.content == Content::Unknown, touched == Touched::Perhaps, "{stage:?} {moved}");
            let (suffix, variables): (_, &[u8]) =
                if place == Place::InPlace { ("", b"new") } else { (BESIDE, b"before") };
            assert_eq!(world.begins_with(suffix), [1, 1], "{stage:?} {moved}");
            assert_eq!(fs::read(nvram(&world)).expect("read"), variables, "{stage:?} {moved}");
        }
    }
}

#[test]
fn an_order_that_was_cut_off_is_finished_when_it_is_given_again() {
    let world = World::new();
    let replicas = world.open();
    replicas.hold(&world.order()).expect("held");
    fs::remove_file(world.path("images").join("vdb.drover-abcdef01")).expect("not made yet");
    let replicas = world.begin_again(replicas);
    replicas.hold(&world.order()).expect("held");
    assert_eq!(world.files(), ["vda.drover-abcdef01", "vdb.drover-abcdef01"]);
    let mut other = world.order();
    other.disks.pop();
    assert!(matches!(replicas.hold(&other), Err(ReplicaError::Different)));
    change(&replicas, |record| record.stage = Stage::Releasing { images: Images::Delete });
    fs::remove_file(world.path("images").join("vda.drover-abcdef01")).expect("removed already");
    let replicas = world.begin_again(replicas);
    assert!(replicas.slot(REPLICA).is_none() && world.files().is_empty());
    fs::create_dir(replicas.directory(REPLICA)).expect("made");
    let replicas = world.begin_again(replicas);
    assert!(!replicas.directory(REPLICA).exists(), "a directory without a record is of no use");
}

#[test]
fn a_second_agent_is_refused_and_a_record_that_is_spoiled_is_left_alone() {
    let world = World::new();
    let replicas = world.held();
    let second = Replicas::open(replicas.config.clone(), &world.path("data"));
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    let record = replicas.directory(REPLICA).join("record.json");
    fs::write(&record, b"{").expect("spoiled");
    let replicas = world.begin_again(replicas);
    assert!(replicas.slot(REPLICA).is_none() && record.exists());
    assert_eq!(world.begins_with(BESIDE), [1, 1]);
    // Its files are in the way of another try, and that is said.
    let mut order = world.order();
    order.replica = ReplicaId(Uuid::from_u128(1 << 96 | 0xabcd_ef01));
    let again = replicas.hold(&order);
    assert!(matches!(again, Err(ReplicaError::InTheWay { .. })), "{again:?}");
}
