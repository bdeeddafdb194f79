//! Writes down what is on a guest's local disks whenever it ends and whenever it begins, wherever that is.
//!
//! It is libvirt's own hook, so nothing begins unseen. A guest that begins with other disks than it ended with was given
//! a copy that is not whole. The hook can also hold a guest right before it begins, which is the one moment of a cutover
//! that is too short to be met otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::Lab;

const HOOK: &str = include_str!("witness.sh");

/// The hook in all hosts of a lab.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
}

/// A guest that is held before it begins; it goes on when this is dropped.
#[derive(Debug)]
pub struct Held {
    file: PathBuf,
    waits: PathBuf,
}

impl Held {
    /// The host on which it is about to begin and waits, if it is that far.
    #[must_use]
    pub fn waits_on(&self) -> Option<String> {
        fs::read_to_string(&self.waits)
            .ok()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// One disk at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    step: Step,
    host: String,
    guest: String,
    disk: String,
    sum: String,
}

/// Which moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The guest's QEMU is gone.
    Ended,
    /// Its QEMU is about to be started.
    Begins,
}

impl Witness {
    /// Puts the hook into every host of a lab, and restarts each libvirtd, which looks for hooks when it starts.
    ///
    /// # Errors
    /// If a libvirtd does not come back.
    pub fn install(lab: &Lab) -> Result<Self> {
        let dir = lab.state().shared_dir().join("witness");
        for below in ["hold", "waits", "scratch"] {
            fs::create_dir_all(dir.join(below))?;
        }
        for host in lab.hosts() {
            let hooks = host.dir().join("etc/hooks");
            fs::create_dir_all(&hooks)?;
            fs::write(hooks.join("qemu"), HOOK)?;
            fs::set_permissions(hooks.join("qemu"), fs::Permissions::from_mode(0o755))?;
            host.restart_libvirtd()?;
        }
        Ok(Self { dir })
    }

    /// Has a guest wait when it is about to begin anywhere but on this host.
    ///
    /// # Errors
    /// If the lab's directory can't be written.
    pub fn hold_unless_on(&self, host: &str, guest: &str) -> Result<Held> {
        let file = self.dir.join("hold").join(guest);
        let waits = self.dir.join("waits").join(guest);
        let _ = fs::remove_file(&waits);
        fs::write(&file, host).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Held { file, waits })
    }

    /// How often each guest has begun with a disk that it ended with, all of its disks counted.
    ///
    /// # Errors
    /// If any guest has begun with others.
    pub fn check(&self) -> Result<BTreeMap<String, usize>> {
        let text = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines = text.lines().map(Line::parse).collect::<Result<Vec<_>>>()?;
        judge(&lines)
    }
}

impl Line {
    fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [step, host, guest, disk, sum] = words[..] else {
            anyhow::bail!("the witness has written {text:?}");
        };
        let step = match step {
            "ended" => Step::Ended,
            "begins" => Step::Begins,
            other => anyhow::bail!("the witness has written of a step {other:?}"),
        };
        let [host, guest, disk, sum] = [host, guest, disk, sum].map(str::to_owned);
        Ok(Self { step, host, guest, disk, sum })
    }
}

/// A disk must be as it was when the guest ended last; or, if what ended then was a start at another host that came to
/// nothing, as it was when the guest ended last at this host. That it came to nothing is not seen here: a number that was
/// acknowledged in between would be lost, which is seen.
fn judge(lines: &[Line]) -> Result<BTreeMap<String, usize>> {
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.step == Step::Begins) {
        let ended = || {
            lines[..at].iter().rev().filter(|before| {
                before.step == Step::Ended && before.guest == line.guest && before.disk == line.disk
            })
        };
        let Some(last) = ended().next() else { continue };
        let last_here = ended().find(|before| before.host == line.host);
        ensure!(
            last.sum == line.sum || last_here.is_some_and(|last| last.sum == line.sum),
            "{} began on {} from another {} than it had when it ended on {}",
            line.guest,
            line.host,
            line.disk,
            last.host
        );
        *begun.entry(line.guest.clone()).or_default() += 1;
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Result<BTreeMap<String, usize>> {
        let lines: Result<Vec<_>> = text.lines().map(Line::parse).collect();
        judge(&lines?)
    }

    #[test]
    fn a_guest_begins_with_what_it_ended_with() {
        let seen =
            story("begins h1 web a.raw 1\nended h1 web a.raw 2\nbegins h2 web a.raw 2").expect("all is well");
        assert_eq!(seen, BTreeMap::from([("web".to_owned(), 1)]));
        let wrong = story("ended h1 web a.raw 2\nbegins h2 web a.raw 3").expect_err("another disk");
        assert_eq!(wrong.to_string(), "web began on h2 from another a.raw than it had when it ended on h1");
    }

    #[test]
    fn after_a_start_that_came_to_nothing_it_begins_with_what_it_had_at_its_source() {
        let failed = "ended h1 web a.raw 2\nbegins h2 web a.raw 2\nended h2 web a.raw 3\n";
        assert!(story(&format!("{failed}begins h1 web a.raw 2")).is_ok());
        assert!(story(&format!("{failed}begins h1 web a.raw 4")).is_err());
    }
}
