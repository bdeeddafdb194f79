//! All policy files together: what holds for whom, and who said so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hashbrown::HashMap;
use serde::Serialize;
use toml::Value;

use super::check::{Objection, objections};
use super::problem::PolicyProblem;
use super::read::{FileContents, Reader, Setting, set};
use super::rules::{Matcher, Rule};
use super::{Policy, SHIPPED};
use crate::fleet::{Fleet, Labels, Server};
use crate::ids::{OwnerId, ServerId};

/// Merged policies that are kept. Most fleets have a few dozen combinations of rules; one rule per server would have as many as
/// servers, and those are worked out again.
const KEPT: usize = 1024;

/// Whom a policy is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The server's name and id; nothing when a whole cluster or owner is meant.
    pub server: Option<(&'a str, ServerId)>,
    /// Its labels.
    pub labels: &'a Labels,
    /// Its owner, where one is known.
    pub owner: Option<&'a OwnerId>,
    /// The cluster of the host on which it is, where that host is known.
    pub cluster: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// A server where it was seen.
    #[must_use]
    pub fn of(server: &'a Server, fleet: &'a Fleet) -> Self {
        Self {
            server: Some((&server.facts.name, server.facts.id)),
            labels: &server.facts.labels,
            owner: server.facts.owner.as_ref(),
            cluster: fleet.hosts.get(&server.host).map(|host| host.facts.cluster.as_str()),
        }
    }

    fn matchers(&self) -> impl Iterator<Item = Matcher> {
        let servers = self.server.into_iter().flat_map(|(name, id)| [name.to_owned(), id.to_string()]);
        let labels =
            self.labels.iter().map(|(key, value)| Matcher::Label { key: key.clone(), value: value.clone() });
        servers
            .map(Matcher::Server)
            .chain(labels)
            .chain(self.owner.map(|owner| Matcher::Owner(owner.to_string())))
            .chain(self.cluster.map(|cluster| Matcher::Cluster(cluster.to_owned())))
    }
}

/// Who set a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Origin {
    /// Nobody: it is as shipped.
    Shipped,
    /// The top level of a file.
    File {
        /// Its name.
        file: String,
        /// The line, counted from 1.
        line: Option<usize>,
    },
    /// A rule.
    Rule {
        /// The file in which it is.
        file: String,
        /// The line of the key, counted from 1.
        line: Option<usize>,
        /// The rule's name.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = match self {
            Self::Shipped => return f.write_str("as shipped"),
            Self::File { file, line } => (file, line),
            Self::Rule { file, line, name } => {
                write!(f, "rule {name:?}, ")?;
                (file, line)
            }
        };
        f.write_str(file)?;
        line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// What holds for one server, and who said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The settings in force.
    pub policy: Policy,
    /// For each key (`live.ladder.patience`), who set it.
    pub said_by: BTreeMap<String, Origin>,
}

/// All policy files together.
#[derive(Debug, Clone)]
pub struct PolicySet {
    general: Arc<Effective>,
    table: Arc<toml::Table>,
    rules: Arc<Vec<Rule>>,
    /// Which rules are about a thing, by their places in `rules`.
    about: Arc<HashMap<Matcher, Vec<usize>>>,
    /// What was merged already, by the rules that were. Only ever holds what merging again would give.
    merged: Arc<Mutex<HashMap<Vec<usize>, Arc<Effective>>>>,
}

/// As shipped, nothing set by anybody.
impl Default for PolicySet {
    fn default() -> Self {
        static SET: LazyLock<PolicySet> = LazyLock::new(|| {
            let general = Effective { policy: SHIPPED.policy.clone(), said_by: shipped_origins() };
            PolicySet::new(general, SHIPPED.table.clone(), Vec::new())
        });
        SET.clone()
    }
}

impl PolicySet {
    fn new(general: Effective, table: toml::Table, rules: Vec<Rule>) -> Self {
        let mut about: HashMap<Matcher, Vec<usize>> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            about.entry(rule.matcher.clone()).or_default().push(index);
        }
        Self {
            general: Arc::new(general),
            table: Arc::new(table),
            rules: Arc::new(rules),
            about: Arc::new(about),
            merged: Arc::default(),
        }
    }

    /// Reads policy files, given as names and texts. They are taken in the order of their names, whatever order they are given in.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, in the order of files and lines.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, Vec<PolicyProblem>> {
        let mut files = files.to_vec();
        files.sort_unstable();
        let mut problems = Vec::new();
        let mut table = SHIPPED.table.clone();
        let mut said_by = shipped_origins();
        let mut rules: Vec<Rule> = Vec::new();
        for (file, text) in files {
            let mut reader = Reader::new(file, text);
            let FileContents { settings, rules: more } = reader.read();
            problems.append(&mut reader.problems);
            for setting in &settings {
                let origin = Origin::File { file: file.to_owned(), line: setting.line };
                apply(&mut table, &mut said_by, setting, origin);
            }
            rules.extend(more);
        }
        problems.extend(same_names(&rules));
        let before = merged_policy(&table);
        let general_objections = objections(&before);
        problems.extend(general_objections.iter().map(|objection| blame(objection, &said_by)));
        let set = Self::new(Effective { policy: before, said_by }, table, rules);
        for (index, rule) in set.rules.iter().enumerate() {
            let merged = set.merge(&[index]);
            let new =
                objections(&merged.policy).into_iter().filter(|found| !general_objections.contains(found));
            problems.extend(new.map(|objection| blame_rule(&objection, rule)));
        }
        if problems.is_empty() {
            return Ok(set);
        }
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(problems)
    }

    pub(super) fn all_rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What holds without any rule.
    #[must_use]
    pub fn general(&self) -> &Policy {
        &self.general.policy
    }

    /// What holds without any rule, and who said so, without a copy of its own.
    #[must_use]
    pub fn shared_general(&self) -> Arc<Effective> {
        Arc::clone(&self.general)
    }

    /// What holds for a server, and who said so.
    #[must_use]
    pub fn effective(&self, subject: &Subject<'_>) -> Effective {
        self.shared(subject).as_ref().clone()
    }

    /// The same as [`effective`](Self::effective) without a copy of its own: for going through a whole fleet.
    #[must_use]
    pub fn shared(&self, subject: &Subject<'_>) -> Arc<Effective> {
        let matching = self.matching(subject);
        if matching.is_empty() {
            return Arc::clone(&self.general);
        }
        let mut kept = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&matching) {
            return Arc::clone(known);
        }
        let merged = Arc::new(self.merge(&matching));
        if kept.len() < KEPT {
            kept.insert(matching, Arc::clone(&merged));
        }
        merged
    }

    /// The same for a server where it was seen.
    #[must_use]
    pub fn shared_of(&self, server: &Server, fleet: &Fleet) -> Arc<Effective> {
        // Most installations have none, and this is asked for every server in every look.
        match self.rules.is_empty() {
            true => Arc::clone(&self.general),
            false => self.shared(&Subject::of(server, fleet)),
        }
    }

    /// The rules about a subject, the nearest last; of equally near ones the later in the files last.
    pub(super) fn matching(&self, subject: &Subject<'_>) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut matching: Vec<usize> =
            subject.matchers().filter_map(|matcher| self.about.get(&matcher)).flatten().copied().collect();
        matching.sort_unstable_by_key(|&index| (self.rules[index].matcher.nearness(), index));
        matching.dedup();
        matching
    }

    fn merge(&self, rules: &[usize]) -> Effective {
        let mut table = self.table.as_ref().clone();
        let mut said_by = self.general.said_by.clone();
        for rule in rules.iter().map(|&index| &self.rules[index]) {
            for setting in &rule.settings {
                let origin =
                    Origin::Rule { file: rule.file.clone(), line: setting.line, name: rule.name.clone() };
                apply(&mut table, &mut said_by, setting, origin);
            }
        }
        Effective { policy: merged_policy(&table), said_by }
    }
}

fn apply(table: &mut toml::Table, said_by: &mut BTreeMap<String, Origin>, setting: &Setting, origin: Origin) {
    set(table, setting);
    said_by.insert(setting.path.join("."), origin);
}

fn merged_policy(table: &toml::Table) -> Policy {
    Value::Table(table.clone())
        .try_into()
        .expect("each setting was read into a whole policy by itself, and none changes how another is read")
}

/// Every key of the shipped file.
fn shipped_origins() -> BTreeMap<String, Origin> {
    fn collect(table: &toml::Table, prefix: &str, origins: &mut BTreeMap<String, Origin>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value.as_table() {
                Some(inner) => collect(inner, &path, origins),
                None => drop(origins.insert(path, Origin::Shipped)),
            }
        }
    }
    let mut origins = BTreeMap::new();
    collect(&SHIPPED.table, "", &mut origins);
    origins
}

/// The place in a file of something senseless: the first of its keys that anybody set.
fn blame(objection: &Objection, said_by: &BTreeMap<String, Origin>) -> PolicyProblem {
    let set_by = |key: &str| said_by.get(key.split('[').next().unwrap_or(key));
    let set_in_file = objection.keys.iter().find_map(|key| match set_by(key) {
        Some(Origin::File { file, line } | Origin::Rule { file, line, .. }) => {
            Some((key, file.clone(), *line))
        }
        Some(Origin::Shipped) | None => None,
    });
    let (key, file, line) = set_in_file.map_or_else(
        || (objection.keys[0].clone(), "default.toml".to_owned(), None),
        |(key, file, line)| (key.clone(), file, line),
    );
    PolicyProblem { file, line, key, wrong: objection.wrong.clone(), right: objection.right.clone() }
}

/// The same for something that a rule makes senseless.
fn blame_rule(objection: &Objection, rule: &Rule) -> PolicyProblem {
    let sets = |key: &String| {
        let plain = key.split('[').next().unwrap_or(key);
        rule.settings.iter().find(|setting| setting.path.join(".") == plain)
    };
    let (key, line) = objection
        .keys
        .iter()
        .find_map(|key| sets(key).map(|setting| (key, setting.line)))
        .unwrap_or((&objection.keys[0], rule.line));
    PolicyProblem {
        file: rule.file.clone(),
        line,
        key: format!("rule {:?} set.{key}", rule.name),
        wrong: objection.wrong.clone(),
        right: objection.right.clone(),
    }
}

/// Rules are told apart by their names, in `explain` and among people.
fn same_names(rules: &[Rule]) -> Vec<PolicyProblem> {
    let mut first: HashMap<&str, &Rule> = HashMap::new();
    let mut problems = Vec::new();
    for rule in rules {
        if let Some(earlier) = first.insert(&rule.name, rule) {
            let line = earlier.line.map(|line| format!(":{line}")).unwrap_or_default();
            problems.push(PolicyProblem {
                file: rule.file.clone(),
                line: rule.line,
                key: format!("rule {:?} name", rule.name),
                wrong: format!("{}{line} has a rule of that name too", earlier.file),
                right: "give each rule a name of its own".to_owned(),
            });
        }
    }
    problems
}
