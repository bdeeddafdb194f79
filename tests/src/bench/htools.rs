//! Ganeti's own tools, run on the same fleets: `hbal` for how even a fleet becomes, `hcheck` for whether a host may still fail, `hroller` for
//! waves, `hail` for where the servers of some hosts go. All read Ganeti's text format but `hail`, which reads a request.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// What Debian installs it as: it is Ganeti's to call, so it is not in the path.
const HAIL: [&str; 2] = ["hail", "/usr/lib/ganeti/iallocators/hail"];

/// Cluster's text, line by line and field by field.
pub(super) struct Text {
    lines: Vec<Vec<String>>,
}

impl Text {
    pub(super) fn of(text: &str) -> Self {
        Self { lines: text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect() }
    }

    /// Groups, nodes, instances, tags, policies: with an empty line between.
    fn section(&self, wanted: usize) -> impl Iterator<Item = &Vec<String>> {
        let mut section = 0;
        self.lines.iter().filter(move |line| {
            let divides = line.iter().all(String::is_empty) && line.len() == 1;
            section += usize::from(divides);
            section == wanted && !divides
        })
    }

    /// The same after these servers have moved.
    pub(super) fn moved(&self, to: &BTreeMap<String, String>) -> Result<String> {
        let instances: Vec<&String> = self.section(2).filter_map(|line| line.first()).collect();
        let instances: std::collections::BTreeSet<&String> = instances.into_iter().collect();
        let nodes: std::collections::BTreeSet<&String> =
            self.section(1).filter_map(|line| line.first()).collect();
        let mut lines = self.lines.clone();
        let mut used: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines.iter_mut().filter(|line| instances.contains(&line[0])) {
            if let Some(host) = to.get(&line[0]) {
                line[6].clone_from(host);
            }
            *used.entry(line[6].clone()).or_default() += line[1].parse::<u64>()?;
        }
        for line in lines.iter_mut().filter(|line| nodes.contains(&line[0])) {
            let used = used.get(&line[0]).copied().unwrap_or(0);
            let (has, own): (u64, u64) = (line[1].parse()?, line[2].parse()?);
            line[3] = has.saturating_sub(own + used).to_string();
        }
        let lines: Vec<String> = lines.into_iter().map(|line| line.join("|")).collect();
        Ok(lines.join("\n") + "\n")
    }

    /// What `hail` is asked: where all servers of the nodes that are out of service go.
    fn request(&self) -> Result<Value> {
        let mut nodes = serde_json::Map::new();
        let mut instances = serde_json::Map::new();
        let number = |line: &Vec<String>, index: usize| -> Result<u64> {
            let text = line.get(index).with_context(|| format!("a line has no field {}", index + 1))?;
            text.parse().with_context(|| format!("{text:?} is no number"))
        };
        for node in self.section(1) {
            let of = json!({
                "tags": [], "offline": node[7] == "Y", "drained": false, "master_candidate": true,
                "master_capable": true, "vm_capable": true, "group": node[8],
                "ndparams": { "spindle_count": 1, "exclusive_storage": false, "cpu_speed": 1.0 },
                "total_memory": number(node, 1)?, "reserved_memory": number(node, 2)?,
                "free_memory": number(node, 3)?, "total_disk": number(node, 4)?, "free_disk": number(node, 5)?,
                "total_cpus": number(node, 6)?, "reserved_cpus": 1, "total_spindles": 0, "free_spindles": 0,
            });
            nodes.insert(node[0].clone(), of);
        }
        let mut leaving = Vec::new();
        for instance in self.section(2) {
            let (disk, host) = (number(instance, 2)?, &instance[6]);
            let of = json!({
                "tags": [], "admin_state": "up", "admin_state_source": "admin", "vcpus": number(instance, 3)?,
                "memory": number(instance, 1)?, "spindle_use": 1, "nodes": [host], "nics": [],
                "disks": [{ "mode": "w", "size": disk }], "disk_template": instance[8],
                "disk_space_total": disk, "hypervisor": "kvm", "os": "",
            });
            instances.insert(instance[0].clone(), of);
            if nodes.get(host).is_some_and(|node| node["offline"] == true) {
                leaving.push(instance[0].clone());
            }
        }
        let size = |memory: u64, cpus: u64, disk: u64, disks: u64, nics: u64, spindles: u64| {
            json!({
                "memory-size": memory, "cpu-count": cpus, "disk-size": disk, "disk-count": disks,
                "nic-count": nics, "spindle-use": spindles,
            })
        };
        let least = || size(128, 1, 1024, 1, 1, 1);
        let limits = json!({
            "std": least(), "minmax": [{ "min": least(), "max": size(131_072, 32, 1_048_576, 16, 8, 12) }],
            "disk-templates": ["diskless", "ext"], "vcpu-ratio": 8.0, "spindle-ratio": 64.0,
        });
        let groups: serde_json::Map<String, Value> = self
            .section(0)
            .map(|group| {
                let of = json!({
                    "name": group[0], "alloc_policy": "preferred", "networks": [], "tags": [], "ipolicy": limits,
                });
                (group[1].clone(), of)
            })
            .collect();
        Ok(json!({
            "version": 2, "cluster_name": "bench", "cluster_tags": [], "enabled_hypervisors": ["kvm"],
            "ipolicy": limits, "nodegroups": groups, "nodes": nodes, "instances": instances,
            "request": { "type": "node-evacuate", "instances": leaving, "evac_mode": "all" },
        }))
    }
}

/// What `hail` has planned.
pub(super) struct Hail {
    /// In milliseconds, from its beginning to its end.
    pub(super) took: f64,
    /// By server, where it goes.
    pub(super) to: BTreeMap<String, String>,
}

/// Asks `hail` where the servers of the nodes go that are out of service; nothing where it is not installed.
pub(super) fn hail(text: &Text, dir: &Path) -> Result<Option<Hail>> {
    let request = dir.join("hail.json");
    std::fs::write(&request, serde_json::to_string(&text.request()?)?)?;
    for program in HAIL {
        let began = Instant::now();
        let output = match Command::new(program).arg(&request).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let took = began.elapsed().as_secs_f64() * 1e3;
        if !output.status.success() {
            bail!("hail refuses: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let said: Value = serde_json::from_slice(&output.stdout).context("hail answers no JSON")?;
        return Ok(Some(Hail {
            took,
            to: answered(&said).context("hail's answer is another than was known")?,
        }));
    }
    Ok(None)
}

/// `{"success": true, "result": [[["vm", "group", ["node"]], …], failed, jobs]}`.
fn answered(said: &Value) -> Option<BTreeMap<String, String>> {
    let moved = said["result"].get(0)?.as_array()?;
    moved.iter().map(|one| Some((one[0].as_str()?.to_owned(), one[2].get(0)?.as_str()?.to_owned()))).collect()
}

/// The number after these words, in the last line that has them; nothing when the program is not there.
pub(super) fn said(command: &mut Command, words: &str) -> Result<Option<f64>> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find_map(|line| Some(line.split_once(words)?.1));
    Ok(line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()))
}

/// In how many groups `hroller` would roll a cluster, and in how many milliseconds it found out; nothing where it is not installed.
pub(super) fn hroller(file: &Path) -> Result<Option<(usize, f64)>> {
    let began = Instant::now();
    match Command::new("hroller").arg("-t").arg(file).args(["--full-evacuation", "--force"]).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            // A group a line, whose nodes have commas between; two lines of headings have none of their names.
            let names: Vec<String> =
                Text::of(&std::fs::read_to_string(file)?).section(1).map(|node| node[0].clone()).collect();
            let groups = text.lines().filter(|line| {
                let first = line.split([',', ' ']).next().unwrap_or_default();
                names.iter().any(|name| name == first)
            });
            Ok(Some((groups.count(), began.elapsed().as_secs_f64() * 1e3)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "g|u|preferred||\n\n\
        n1|4096|1024|2048|100|100|4|Y|u|1||N|0|1|1.0\nn2|4096|1024|3072|100|100|4|N|u|1||N|0|1|1.0\n\n\
        i1|1024|10|1|running|Y|n1||ext||1|-\n\n\n|pol|8.0|64.0\n";

    #[test]
    fn a_cluster_after_its_moves_has_what_is_free_counted_anew() -> Result<()> {
        let to = [("i1".to_owned(), "n2".to_owned())].into();
        let moved = Text::of(TEXT).moved(&to)?;
        assert!(moved.contains("n1|4096|1024|3072|") && moved.contains("n2|4096|1024|2048|"), "{moved}");
        assert!(moved.contains("|Y|n2||ext|"), "{moved}");
        assert_eq!(Text::of(TEXT).moved(&BTreeMap::new())?, TEXT, "nobody moves, so nothing changes");
        Ok(())
    }

    #[test]
    fn hail_is_asked_for_the_servers_of_nodes_that_are_out_of_service() -> Result<()> {
        let request = Text::of(TEXT).request()?;
        assert_eq!(request["request"]["instances"], json!(["i1"]));
        assert_eq!(
            (&request["nodes"]["n1"]["offline"], &request["nodes"]["n2"]["offline"]),
            (&json!(true), &json!(false))
        );
        let answer = json!({ "success": true, "result": [[["i1", "g", ["n2"]]], [], []] });
        assert_eq!(answered(&answer), Some([("i1".to_owned(), "n2".to_owned())].into()));
        assert_eq!(answered(&json!({ "success": false, "result": [] })), None);
        Ok(())
    }
}
