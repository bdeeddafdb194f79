//! Servers whose QEMU runs, and of which libvirt believes that they are off.
//!
//! A libvirtd that is ended while a backup of several disks begins has noted its first disk and not yet the others. Such a note of its
//! own it does not read after its start (11.3: "Missing required attribute 'state' in element 'disk'"), so it takes the domain for one
//! that is off, although its process lives. Whoever believed that would start the server twice; see decision 025.
//!
//! What libvirt notes of running domains is only read here, and only to tell that process from none. Nothing of it is ever written.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use drover_policies::attempt::FailureClass;
use roxmltree::Document;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use virt::domain::Domain;
use virt_sys as sys;

use super::super::libvirt_sys::{self, Called};
use super::super::{Answer, Refusal, RefusalKind};

/// Where the system's daemon notes of each running domain what it is.
const NOTES: &str = "/run/libvirt/qemu";
/// QEMU answers its monitor at once, unless it hangs.
const MONITOR: Duration = Duration::from_secs(5);
/// What a QEMU gets that was asked to end, to close its images.
const END: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A QEMU that lives without libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) pid: Pid,
    monitor: PathBuf,
}

/// The process of a domain that libvirt believes to be off. Of a daemon on another host it is not known.
pub(super) fn process(domain: &Domain) -> Called<Option<Lost>> {
    let (state, _) = libvirt_sys::state(domain)?;
    if state != sys::VIR_DOMAIN_SHUTOFF || !is_here(&domain.connect()?.uri()?) {
        return Ok(None);
    }
    Ok(noted(Path::new(NOTES), &domain.name()?, &domain.uuid()?.to_string()))
}

fn is_here(uri: &str) -> bool {
    uri.starts_with("qemu:///system")
}

/// The process that is noted, if it is still that one: numbers of processes are used again, and notes outlive their process as well.
fn noted(notes: &Path, name: &str, uuid: &str) -> Option<Lost> {
    let note = fs::read_to_string(notes.join(format!("{name}.xml"))).ok()?;
    let lost = read(&note)?;
    let started_as = fs::read(format!("/proc/{}/cmdline", lost.pid.as_raw_nonzero())).ok()?;
    started_as.split(|byte| *byte == 0).any(|word| word == uuid.as_bytes()).then_some(lost)
}

fn read(note: &str) -> Option<Lost> {
    let document = Document::parse(note).ok()?;
    let status = document.root_element();
    let pid = Pid::from_raw(status.attribute("pid")?.parse().ok()?)?;
    let monitor = status.children().find(|node| node.has_tag_name("monitor"))?.attribute("path")?;
    Some(Lost { pid, monitor: monitor.into() })
}

impl Lost {
    /// What a person is told.
    pub(super) fn words(&self) -> String {
        format!("libvirt takes it for off, and its QEMU (process {}) runs", self.pid.as_raw_nonzero())
    }

    /// Presses its power button.
    pub(super) fn press_power_button(&self) -> Answer<()> {
        self.ask_for_power_down().map_err(|error| {
            let text =
                format!("{}; its monitor {} gives no answer: {error}", self.words(), self.monitor.display());
            Refusal::new(RefusalKind::Failed(FailureClass::Busy), text)
        })
    }

    /// QEMU's own protocol: lines of JSON, and a greeting that is to be returned before anything else is taken.
    fn ask_for_power_down(&self) -> io::Result<()> {
        let mut monitor = UnixStream::connect(&self.monitor)?;
        monitor.set_read_timeout(Some(MONITOR))?;
        monitor.set_write_timeout(Some(MONITOR))?;
        let mut lines = BufReader::new(monitor.try_clone()?).lines();
        let commands = [
            json!({ "execute": "qmp_capabilities" }),
            // libvirt starts every QEMU so that it waits, when its guest has shut down, for libvirt to end it.
            json!({ "execute": "set-action", "arguments": { "shutdown": "poweroff" } }),
            json!({ "execute": "system_powerdown" }),
        ];
        for command in commands {
            writeln!(monitor, "{command}")?;
            loop {
                let line = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
                let said: Value = serde_json::from_str(&line)?;
                if let Some(error) = said.get("error") {
                    return Err(io::Error::other(format!("{command}: {error}")));
                }
                // Events and the greeting stand between.
                if said.get("return").is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes the power away. QEMU closes its images if it still can.
    pub(super) fn end(&self) -> Answer<()> {
        for signal in [Signal::TERM, Signal::KILL] {
            // One that has ended meanwhile needs none.
            let _ = kill_process(self.pid, signal);
            let until = Instant::now() + END;
            while Instant::now() < until {
                if test_kill_process(self.pid).is_err() {
                    return Ok(());
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        let text = format!("{} and does not end", self.words());
        Err(Refusal::new(RefusalKind::Failed(FailureClass::Busy), text))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::process::{Child, Command, Stdio};

    use super::*;

    const UUID: &str = "90e57000-0001-4000-8000-000000000001";

    /// A process that looks like a QEMU of this server, as far as it is looked at.
    fn process_named(word: &str) -> Child {
        let process = Command::new("sh")
            .args(["-c", "read line", word])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        // A program that has just been started has no words for a moment.
        while fs::read(format!("/proc/{}/cmdline", process.id())).expect("it lives").is_empty() {
            thread::yield_now();
        }
        process
    }

    fn note(dir: &Path, pid: u32, monitor: &Path) {
        let text = format!(
            "<!-- made by libvirt --><domstatus state='running' reason='booted' pid='{pid}'><monitor path='{}' type='unix'/>\
             <domain type='qemu'><name>web</name></domain></domstatus>",
            monitor.display()
        );
        fs::write(dir.join("web.xml"), text).expect("written");
    }

    #[test]
    fn only_a_process_that_lives_and_is_the_server_s_is_one_that_was_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(noted(dir.path(), "web", UUID), None, "nothing is noted");
        let monitor = dir.path().join("monitor");
        let mut other = process_named("somebody else");
        note(dir.path(), other.id(), &monitor);
        assert_eq!(noted(dir.path(), "web", UUID), None, "its number was used again");
        let mut own = process_named(UUID);
        note(dir.path(), own.id(), &monitor);
        let lost = noted(dir.path(), "web", UUID).expect("it lives");
        assert_eq!(lost.monitor, monitor);
        for process in [&mut own, &mut other] {
            process.kill().expect("ended");
            process.wait().expect("ended");
        }
        assert_eq!(noted(dir.path(), "web", UUID), None, "it has ended");
        fs::write(dir.path().join("web.xml"), "<domstatus").expect("written");
        assert_eq!(noted(dir.path(), "web", UUID), None, "half a note tells nothing");
    }

    #[test]
    fn its_power_button_is_pressed_by_its_monitor() {
        let dir = tempfile::tempdir().expect("a directory");
        let monitor = dir.path().join("monitor");
        let listener = UnixListener::bind(&monitor).expect("a socket");
        let qemu = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let said = b"{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"RTC_CHANGE\"}\r\n{\"return\": {}}\r\n{\"return\": {}}\r\n";
            stream.write_all(said).expect("said");
            let mut heard = String::new();
            stream.read_to_string(&mut heard).expect("heard");
            heard
        });
        let lost = Lost { pid: rustix::process::getpid(), monitor };
        lost.press_power_button().expect("pressed");
        let heard = qemu.join().expect("it ends");
        let heard: Vec<&str> = heard.lines().collect();
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(heard[2], r#"{"execute":"system_powerdown"}"#);
        lost.press_power_button().expect_err("nobody listens any more");
    }

    #[test]
    fn one_that_is_ended_is_gone() {
        let mut process = process_named(UUID);
        let pid = Pid::from_child(&process);
        let reaped = thread::spawn(move || process.wait());
        Lost { pid, monitor: PathBuf::new() }.end().expect("ended");
        reaped.join().expect("a thread").expect("reaped");
    }
}
