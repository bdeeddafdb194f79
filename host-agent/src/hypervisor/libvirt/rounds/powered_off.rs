//! The tail: what is left to be brought over, read from the disks of a server that is off. All of it is downtime.
//!
//! Each disk is served by a `qemu-nbd` that tells what its bitmap says. The socket it listens on is made here and handed to it, so
//! nothing is waited for, and no other process can connect first.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use drover_policies::attempt::FailureClass;
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk, Round, RoundKind};
use drover_policies::time::Clock;

use super::copy::{Copy, Offer, What};
use super::domain::{self, Source, Tpm};
use super::image::{Image, allocated};
use super::plan::{Bitmaps, Names, Plan};
use super::scratch::Scratch;
use super::{Doing, failed};
use crate::clock::SystemClock;
use crate::hypervisor::{Answer, State};
use crate::replica::peer::{PeerError, PeerRound};
use crate::replica::wire::{BeginRound, Content, Covers, DiskSize, Extra, Status};

/// Connections to a disk at a time.
const CLIENTS: &str = "--shared=8";

/// One whole round.
pub(super) fn run(doing: &Doing<'_>) -> Answer<Round> {
    let server = &doing.server;
    if server.state()? != State::Off {
        return Err(failed(FailureClass::Busy, "the server is not off, so its disks may still change"));
    }
    let at = SystemClock.now();
    let source = domain::read(&server.xml()?, &doing.order.disks)?;
    doing.rounds.scratch.prepare(None)?;
    doing.rounds.scratch.clean(&doing.names);
    let status = doing.replica.status().map_err(PeerError::in_round)?;
    if status.content != Content::Landed {
        // Before the first round nobody has looked.
        for disk in &doing.order.disks {
            Image::read(disk)?.fit(disk)?;
        }
    }
    let plan = Plan::powered_off(&status, &server.rounds()?, Bitmaps::Usable);
    let extras = thread::scope(|scope| {
        let extras = scope.spawn(|| put_extras(doing, &source));
        let sent = send(doing, &plan, &status).or_else(|refusal| {
            let hopeless = plan.since.is_none() || doing.progress.goes_on().is_err();
            if hopeless || server.state()? != State::Off {
                return Err(refusal);
            }
            // A bitmap that QEMU did not close tells nothing: everything is compared.
            tracing::info!(server = %doing.order.server, "everything is compared: {refusal}");
            let plan = Plan::powered_off(&status, &[], Bitmaps::Broken);
            send(doing, &plan, &status)
        });
        let extras =
            extras.join().unwrap_or_else(|_| Err(failed(FailureClass::Unexpected, "a thread has panicked")));
        sent.and_then(|round| extras.map(|()| round))
    })?;
    if server.state()? != State::Off {
        return Err(failed(FailureClass::Busy, "the server was started while its disks were read"));
    }
    let landed = doing.landed(&plan, at, Frozen::Yes);
    extras.land(&landed).map_err(PeerError::in_round)?;
    Ok(landed)
}

/// Brings all disks over.
fn send(doing: &Doing<'_>, plan: &Plan, status: &Status) -> Answer<PeerRound> {
    let disks = &doing.order.disks;
    let bitmap = plan.since.map(|round| doing.names.checkpoint(round));
    // They begin while the destination does.
    let served: Vec<Served> = disks
        .iter()
        .map(|disk| Served::spawn(&doing.rounds.scratch, &doing.names, disk, bitmap.as_deref()))
        .collect::<Answer<_>>()?;
    let sizes: Answer<Vec<_>> = disks
        .iter()
        .map(|disk| {
            let expected_bytes = if status.content == Content::Empty { allocated(disk) } else { 0 };
            let virtual_bytes = doing.server.virtual_bytes(disk)?;
            Ok(DiskSize { target: disk.target.clone(), virtual_bytes, expected_bytes })
        })
        .collect();
    let begin = BeginRound { number: plan.number, kind: RoundKind::Tail, covers: plan.covers, disks: sizes? };
    let round = doing.replica.begin_round(&begin).map_err(PeerError::in_round)?;
    let offers = disks
        .iter()
        .map(|disk| Offer { disk, export: String::new(), what: what(plan, status, disk, bitmap.as_deref()) })
        .collect();
    let socket = |disk: &ReplicaDisk| doing.rounds.scratch.disk_socket(&doing.names, &disk.target);
    let connect = move |disk: &ReplicaDisk| UnixStream::connect(socket(disk));
    Copy {
        source: Box::new(connect),
        replica: &doing.replica,
        round: &round,
        offers,
        progress: doing.progress,
        workers: &doing.rounds.workers,
        guest: None,
    }
    .run(&|| Ok(()))?;
    served.into_iter().for_each(Served::end);
    Ok(round)
}

fn what(plan: &Plan, status: &Status, disk: &ReplicaDisk, bitmap: Option<&str>) -> What {
    match (status.content, plan.covers, disk.format, bitmap) {
        (Content::Empty, _, _, _) => What::Data { from: 0 },
        (_, Covers::Changes, ImageFormat::Qcow2, Some(bitmap)) => {
            What::Written(format!("qemu:dirty-bitmap:{bitmap}"))
        }
        (_, Covers::Changes | Covers::Everything, ImageFormat::Qcow2 | ImageFormat::Raw, _) => {
            What::Differences
        }
    }
}

/// A `qemu-nbd` that reads a disk. It ends with its last client, and with the thread that has begun it.
struct Served {
    child: Child,
    socket: PathBuf,
}

impl Served {
    fn spawn(scratch: &Scratch, names: &Names, disk: &ReplicaDisk, bitmap: Option<&str>) -> Answer<Self> {
        let socket = scratch.disk_socket(names, &disk.target);
        let told = |what: &str, error: std::io::Error| {
            failed(FailureClass::RefusedBySource, format!("{what} for disk {}: {error}", disk.target))
        };
        let listener = UnixListener::bind(&socket).map_err(|error| told("no socket can be made", error))?;
        // Handed over as systemd does it. The process keeps its number through all of this, and is killed with its parent: one that
        // stayed would keep the server from being started again.
        let script =
            "LISTEN_FDS=1 LISTEN_PID=$$ exec setpriv --pdeathsig KILL qemu-nbd \"$@\" 3<&0 </dev/null";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "qemu-nbd", "--read-only", CLIENTS, "--format"])
            .arg(disk.format.to_string());
        if let (ImageFormat::Qcow2, Some(bitmap)) = (disk.format, bitmap) {
            command.args(["--bitmap", bitmap]);
        }
        command.arg(&disk.source).env("LC_ALL", "C").stdin(Stdio::from(OwnedFd::from(listener)));
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| told("qemu-nbd can't be started", error))?;
        Ok(Self { child, socket })
    }

    /// Its clients are gone, so it ends by itself; that is waited for, as the image is in use until then.
    fn end(mut self) {
        if let Err(error) = self.child.wait() {
            tracing::warn!(socket = %self.socket.display(), "qemu-nbd can't be waited for: {error}");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// What a server remembers outside of its disks.
fn put_extras(doing: &Doing<'_>, source: &Source) -> Answer<()> {
    if let Some(path) = &source.nvram
        && let Some(bytes) = read_if_there(path)?
    {
        doing.replica.put_extra(&Extra::Nvram { path: path.clone() }, &bytes).map_err(PeerError::in_round)?;
    }
    let state = doing.rounds.swtpm.join(doing.order.server.to_string());
    if source.tpm == Tpm::Emulated && state.is_dir() {
        doing
            .replica
            .put_extra(&Extra::Tpm { path: state.clone() }, &packed(&state)?)
            .map_err(PeerError::in_round)?;
    }
    Ok(())
}

/// A server that was never started has none yet.
fn read_if_there(path: &Path) -> Answer<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(failed(FailureClass::RefusedBySource, format!("{} can't be read: {error}", path.display())))
        }
    }
}

/// A directory as a tar, with names that are relative to it.
fn packed(directory: &Path) -> Answer<Vec<u8>> {
    let told = |why: String| {
        failed(FailureClass::RefusedBySource, format!("{} can't be read: {why}", directory.display()))
    };
    let mut command = Command::new("tar");
    command
        .args(["--create", "--file=-", "--directory"])
        .arg(directory)
        .arg(".")
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    let output = command.output().map_err(|error| told(format!("tar can't be run: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(told(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
