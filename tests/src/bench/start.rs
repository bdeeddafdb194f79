//! How long the scheduler takes from its start on an empty database until it says that it is ready.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::report::{Row, Sample, Unit};
use super::say;
use crate::demo::interrupt::Interrupt;
use crate::installation::Programs;

/// The goal, in milliseconds.
const LIMIT_MS: f64 = 100.0;

/// A scheduler that is not ready after this never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked. A refused connection costs some microseconds.
const ASK_EVERY: Duration = Duration::from_millis(1);

pub(super) fn measure(starts: usize, interrupt: &Interrupt) -> Result<Vec<Row>> {
    let program = Programs::beside("drover-scheduler")?;
    let mut sample = Sample::default();
    for number in 1..=starts {
        interrupt.check()?;
        let took = start_once(&program)?;
        say(&format!("start {number} of {starts}: {:.1} ms", took.as_secs_f64() * 1e3));
        sample.add(took.as_secs_f64() * 1e3);
    }
    Ok(vec![Row::limited("scheduler: start to ready, empty database", Unit::Milliseconds, sample, LIMIT_MS)])
}

fn start_once(program: &std::path::Path) -> Result<Duration> {
    // On a disk, as in earnest: a database on tmpfs is never waited for.
    fs::create_dir_all(crate::lab::DEFAULT_DIR)?;
    let dir = tempfile::tempdir_in(crate::lab::DEFAULT_DIR)?;
    let address = free_address()?;
    let config = dir.path().join("scheduler.toml");
    fs::write(&config, format!("data_dir = {:?}\nlisten = \"{address}\"\n", dir.path().join("data")))?;
    let log = dir.path().join("log");
    let began = Instant::now();
    let mut child = Command::new(program)
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let ready = wait_until_ready(&mut child, address, began);
    let _ = child.kill();
    let _ = child.wait();
    ready.with_context(|| fs::read_to_string(&log).unwrap_or_default())
}

/// The system gives a port that nobody has; until the scheduler takes it, somebody else might, and then this start fails.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub(super) fn wait_until_ready(child: &mut Child, address: SocketAddr, began: Instant) -> Result<Duration> {
    loop {
        if is_ready(address) {
            return Ok(began.elapsed());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the scheduler ended with {status}");
        }
        if began.elapsed() > PATIENCE {
            bail!("the scheduler was not ready after {PATIENCE:?}");
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
