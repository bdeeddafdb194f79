//! What a hook does on a simulated host, in the words of a script.

use anyhow::{Result, bail};
use drover_host_agent::hypervisor::simulated::{Changes, Script, Then, Writes};

pub(super) fn parse(words: &[&str]) -> Result<Script> {
    let mut script = Script::default();
    let mut rest = words;
    loop {
        rest = match rest {
            [] => return Ok(script),
            ["hangs", rest @ ..] => {
                script.takes = None;
                rest
            }
            ["floods", rest @ ..] => {
                script.writes = Writes::Flood;
                rest
            }
            ["takes", span, rest @ ..] => {
                script.takes = Some(span.parse()?);
                rest
            }
            ["exits", status, rest @ ..] => {
                script.then = Then::Exits(status.parse()?);
                rest
            }
            ["reboots", "for", down, rest @ ..] => {
                script.then = Then::Reboots(down.parse()?);
                rest
            }
            ["upgrades", "libvirt", rest @ ..] => {
                script.changes = Changes::Libvirt;
                rest
            }
            _ => bail!("takes 5m, hangs, exits 70, reboots for 3m, floods or upgrades libvirt belongs here"),
        };
    }
}
