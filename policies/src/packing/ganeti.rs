//! Ganeti's text format of a cluster: what `hbal -t`, `hroller -t` and their like read and write.
//!
//! Five sections with an empty line between: groups, nodes, instances, cluster tags, policies. Read are the nodes' memory, disk space and
//! processors, and the instances' needs; a node's offline mark closes it, and exclusion tags keep instances apart. What else would change a
//! plan and is not read is told ([`ignored`]).

use std::collections::{BTreeMap, HashMap};

use super::of_fleet::EVEN_NUMBER;
use super::{GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, UNLIMITED};

/// Why a text is no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadText {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Virtual processors per processor of a node, where the cluster's policy names none.
const DEFAULT_RATIO: u64 = 4;

/// What of a cluster's text was found.
struct Sections<'a> {
    nodes: Vec<(usize, Vec<&'a str>)>,
    instances: Vec<(usize, Vec<&'a str>)>,
    tags: Vec<&'a str>,
    policy: Option<&'a str>,
}

/// Reads a cluster.
///
/// # Errors
/// The first line that is not as it should be.
pub fn read(text: &str) -> Result<Problem, BadText> {
    let sections = sections(text);
    let ratio = sections.policy.and_then(vcpu_ratio).unwrap_or(DEFAULT_RATIO);
    let mut groups: Vec<&str> = Vec::new();
    let mut rows = HashMap::new();
    let mut hosts = Vec::new();
    let mut group_of = Vec::new();
    for (line, fields) in &sections.nodes {
        let field = |index: usize, name: &str| field(*line, fields, index, name);
        let number = |index: usize, name: &str| number(*line, fields, index, name);
        let name = field(0, "the node's name")?;
        let memory = number(1, "total memory")?.saturating_sub(number(2, "the node's own memory")?);
        let open = match field(7, "whether it is offline")? {
            "Y" => Open::No,
            _ => Open::Yes,
        };
        let row = HostRow(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
        if rows.insert(name, row).is_some() {
            return Err(BadText { line: *line, what: format!("there is a second node of the name {name}") });
        }
        let group = field(8, "the node's group")?;
        let known = groups.iter().position(|known| *known == group);
        group_of.push(known.unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        }));
        let vcpus = number(6, "processors")?.saturating_mul(ratio);
        let has = vec![mebibytes(memory), vcpus, mebibytes(number(4, "total disk")?), UNLIMITED];
        hosts.push(Host { name: name.to_owned(), has, open });
    }
    let reaches: Vec<Vec<bool>> =
        (0..groups.len()).map(|group| group_of.iter().map(|of| *of == group).collect()).collect();
    let servers = sections.instances.iter().map(|(line, fields)| server(*line, fields, &rows, &group_of));
    let mut servers = servers.collect::<Result<Vec<_>, _>>()?;
    keep_apart(&sections, &mut servers);
    Ok(Problem { resources: resources(), hosts, servers, reaches })
}

/// A cluster's tag that names a kind of instance tags of which no two that are the same may be on one node.
const EXCLUSION: &str = "htools:iextags:";

/// Where an instance's tags are.
const TAGS: usize = 9;

/// Instances with the same exclusion tag must not meet.
fn keep_apart(sections: &Sections<'_>, servers: &mut [Server]) {
    let kinds: Vec<&str> = sections.tags.iter().filter_map(|tag| tag.strip_prefix(EXCLUSION)).collect();
    let mut groups: BTreeMap<&str, GroupRow> = BTreeMap::new();
    for ((_, fields), server) in sections.instances.iter().zip(servers) {
        let tags = fields.get(TAGS).into_iter().flat_map(|tags| tags.split(','));
        for tag in tags.filter(|tag| tag.split_once(':').is_some_and(|(kind, _)| kinds.contains(&kind))) {
            let next = GroupRow(u32::try_from(groups.len()).unwrap_or(u32::MAX));
            server.apart.push(*groups.entry(tag).or_insert(next));
        }
        server.apart.sort_unstable();
        server.apart.dedup();
    }
}

/// What of a cluster would change a plan if Drover knew it, in sentences that name the first few it is about.
#[must_use]
pub fn ignored(text: &str) -> Vec<String> {
    let sections = sections(text);
    let named = |lines: &[(usize, Vec<&str>)], which: &dyn Fn(&[&str]) -> bool| -> Option<String> {
        let found: Vec<&str> =
            lines.iter().filter(|(_, fields)| which(fields)).map(|(_, fields)| fields[0]).collect();
        let more = found.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!found.is_empty()).then(|| format!("{}{more}", found[..found.len().min(NAMED)].join(", ")))
    };
    let field = |fields: &[&str], index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
    let secondary = named(&sections.instances, &|fields| !field(fields, 7).is_empty());
    let fixed = named(&sections.instances, &|fields| field(fields, 5) == "N");
    let exclusive = named(&sections.nodes, &|fields| field(fields, 11) == "Y");
    let limits: Vec<&str> = sections
        .tags
        .iter()
        .copied()
        .filter(|tag| tag.starts_with("htools:") && !tag.starts_with(EXCLUSION))
        .collect();
    [
        secondary.map(|names| {
            format!("secondary nodes are not planned with, nor what disks take up on them: {names}")
        }),
        fixed.map(|names| {
            format!("these are moved although they are not to be balanced (auto_balance N): {names}")
        }),
        exclusive
            .map(|names| format!("exclusive storage is not known, so disks may share spindles on: {names}")),
        (!limits.is_empty())
            .then(|| format!("tags of the cluster that mean nothing here: {}", limits.join(", "))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// So many names are told of each kind.
const NAMED: usize = 5;

fn resources() -> Vec<Resource> {
    let weighted = |name: &str, weight| Resource { name: name.to_owned(), weight };
    vec![
        weighted("memory", 1.0),
        weighted("vcpus", 1.0),
        weighted("storage", 0.0),
        weighted("servers", EVEN_NUMBER),
    ]
}

fn sections(text: &str) -> Sections<'_> {
    let mut sections = Sections { nodes: Vec::new(), instances: Vec::new(), tags: Vec::new(), policy: None };
    let mut section = 0;
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() {
            section += 1;
            continue;
        }
        let fields = || (index + 1, line.split('|').collect::<Vec<_>>());
        match section {
            1 => sections.nodes.push(fields()),
            2 => sections.instances.push(fields()),
            3 => sections.tags.push(line),
            4 if sections.policy.is_none() => sections.policy = Some(line),
            _ => {}
        }
    }
    sections
}

/// The fifth part of `owner|std|minmax|templates|vcpu ratio|spindle ratio`.
fn vcpu_ratio(policy: &str) -> Option<u64> {
    let ratio: f64 = policy.split('|').rev().nth(1)?.parse().ok()?;
    (ratio >= 1.0).then_some(ratio as u64)
}

fn server(
    line: usize,
    fields: &[&str],
    rows: &HashMap<&str, HostRow>,
    group_of: &[usize],
) -> Result<Server, BadText> {
    let name = field(line, fields, 0, "the instance's name")?;
    let node = field(line, fields, 6, "its primary node")?;
    let host = *rows.get(node).ok_or_else(|| BadText {
        line,
        what: format!("{name} is on {node}, and there is no such node above"),
    })?;
    let number = |index, what| number(line, fields, index, what);
    let shared = matches!(
        field(line, fields, 8, "its disk template")?,
        "ext" | "rbd" | "sharedfile" | "gluster" | "blockdev" | "diskless"
    );
    let disk = if shared { 0 } else { number(2, "its disk")? };
    let needs = vec![mebibytes(number(1, "its memory")?), number(3, "its processors")?, mebibytes(disk), 1];
    let reach = ReachRow(u32::try_from(group_of[host.index()]).unwrap_or(u32::MAX));
    Ok(Server { name: name.to_owned(), needs, host, apart: Vec::new(), reach })
}

/// The format has everything in MiB.
fn mebibytes(count: u64) -> u64 {
    count.saturating_mul(1 << 20)
}

fn field<'a>(line: usize, fields: &[&'a str], index: usize, name: &str) -> Result<&'a str, BadText> {
    let missing =
        || BadText { line, what: format!("{name} is missing: it is the field number {}", index + 1) };
    fields.get(index).copied().ok_or_else(missing)
}

fn number(line: usize, fields: &[&str], index: usize, name: &str) -> Result<u64, BadText> {
    let text = field(line, fields, index, name)?;
    text.parse().map_err(|_| BadText { line, what: format!("{name} is {text:?}; a whole number is needed") })
}
