//! What else can copy the disk of a running guest.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::stage::Stage;
use crate::bench::stage::Side;
use crate::lab::{Guest, Host, LOCAL_STORAGE};

/// The port at which the destination takes what qemu-img sends.
const PORT: u16 = 10_809;

/// The secret that both sides of qemu-img's connection have; nobody else is in the lab's network.
const KEY: &str = "bench:8f1c3f0ad4b94f6e9a4d6c1e2b7f5a3390d1c2e3f4a5b6c7d8e9f00112233445";

/// Copies a guest's disk to the other host by `qemu-img convert`, over TCP with TLS on both sides as Drover's own connection has it, and
/// returns how long that took. The guest runs meanwhile; what it writes goes into nobody's copy.
pub(super) fn convert(stage: &Stage<'_>, from: Side, guest: &Guest) -> Result<Duration> {
    let (source, target) = (stage.host(from)?, stage.host(from.other())?);
    let keys = stage.lab().state().shared_dir().join("bench-keys");
    write_keys(&keys)?;
    let copy = format!("{LOCAL_STORAGE}/{}-copy.qcow2", guest.name);
    let size = virtual_size(source, &guest.disk_path())?;
    ok(target.command("qemu-img").args(["create", "-q", "-f", "qcow2", &copy, &size.to_string()]))?;
    let mut server = Ended(serve(target, &keys, &copy)?);
    listens(target, &mut server.0)?;
    let keys_inside = inside(&keys)?;
    let began = Instant::now();
    let copied = ok(source
        .command("qemu-img")
        .args(["convert", "-n", "-W", "-m", "16", "--force-share", "--target-is-zero"])
        .args(["--object", &format!("tls-creds-psk,id=tls,endpoint=client,username=bench,dir={keys_inside}")])
        .args(["--image-opts", &format!("driver=qcow2,file.filename={}", guest.disk_path())])
        .args(["--target-image-opts"])
        .arg(format!("driver=nbd,host={},port={PORT},export=disk,tls-creds=tls", target.ip())));
    let took = began.elapsed();
    drop(server);
    std::fs::remove_file(target.outside(&copy))?;
    copied.map(|()| took)
}

/// Makes a full backup of a guest by `virtnbdbackup` on its own host, without a connection in between, and returns how long that took.
/// Nothing if it is not installed.
pub(super) fn backup(stage: &Stage<'_>, from: Side, guest: &Guest) -> Result<Option<Duration>> {
    if !Path::new("/usr/bin/virtnbdbackup").exists() {
        return Ok(None);
    }
    let source = stage.host(from)?;
    let dir = format!("{LOCAL_STORAGE}/{}-backup", guest.name);
    let began = Instant::now();
    let copied = ok(source.command("virtnbdbackup").args([
        "--domain",
        &guest.name,
        "--level",
        "full",
        "--output",
        &dir,
        "--noprogress",
    ]));
    let took = began.elapsed();
    // It keeps a checkpoint for its next run, which would be in our way.
    for name in source.virsh(["checkpoint-list", &guest.name, "--name"])?.ok()?.split_whitespace() {
        if name.starts_with("virtnbdbackup") {
            source.virsh(["checkpoint-delete", &guest.name, name])?.ok()?;
        }
    }
    let removed = std::fs::remove_dir_all(source.outside(&dir));
    copied?;
    removed?;
    Ok(Some(took))
}

/// A process that is ended when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_keys(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("keys.psk"), format!("{KEY}\n")).context("the keys can't be written")
}

/// The shared directory as hosts see it.
fn inside(keys: &Path) -> Result<String> {
    let name = keys.file_name().and_then(|name| name.to_str()).context("the keys are in no directory")?;
    Ok(format!("{}/{name}", crate::lab::SHARED_STORAGE))
}

fn serve(target: &Host, keys: &Path, copy: &str) -> Result<Child> {
    let keys = inside(keys)?;
    target
        .command("qemu-nbd")
        .args(["--format", "qcow2", "--cache", "writeback", "--discard", "unmap", "--shared", "8"])
        .args(["--bind", &target.ip().to_string(), "--port", &PORT.to_string(), "--export-name", "disk"])
        .args(["--object", &format!("tls-creds-psk,id=tls,endpoint=server,dir={keys}")])
        .args(["--tls-creds", "tls", copy])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start qemu-nbd")
}

/// Waits until the port is open, without connecting: the server ends with its first client.
fn listens(target: &Host, server: &mut Child) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let table = target.command("cat").arg("/proc/net/tcp").output()?.stdout;
        let port = format!(":{PORT:04X} 00000000:0000 0A");
        if String::from_utf8_lossy(&table).contains(&port) {
            return Ok(());
        }
        if let Some(status) = server.try_wait()? {
            bail!("qemu-nbd ended at once: {status}");
        }
        ensure!(Instant::now() < deadline, "qemu-nbd does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn virtual_size(host: &Host, path: &str) -> Result<u64> {
    let output = host.command("qemu-img").args(["info", "-U", "--output=json", path]).output()?;
    let info: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    info["virtual-size"].as_u64().with_context(|| format!("{path} has no size: {info}"))
}

fn ok(command: &mut Command) -> Result<()> {
    let program = command.get_args().nth(6).unwrap_or_default().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", said.trim());
    Ok(())
}
