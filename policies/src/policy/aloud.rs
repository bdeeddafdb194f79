//! Policies as people read them: what each setting means, and every rule with whom it is about.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use super::set::{Origin, PolicySet, Subject};
use super::{DEFAULT_FILE, rules};

/// The settings of the shipped file in its order, each with the comment that stands above it.
static MEANINGS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let (mut table, mut comment) = (String::new(), String::new());
    let mut meanings = Vec::new();
    for line in DEFAULT_FILE.lines() {
        if let Some(text) = line.strip_prefix('#') {
            // What is set in by more than a space is an example in TOML.
            let text = text.strip_prefix(' ').unwrap_or(text);
            if !text.starts_with(' ') {
                comment.push(' ');
                comment.push_str(text);
            }
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            name.trim_matches(['[', ']']).clone_into(&mut table);
            meanings.push((table.clone(), comment.trim().to_owned()));
        } else if let Some((key, _)) = line.split_once(" = ") {
            meanings.push((format!("{table}.{key}"), comment.trim().to_owned()));
        }
        comment.clear();
    }
    meanings
});

/// What a setting means, in the words of the shipped file; of a key of people's own what its table means. With its place there, for lists.
#[must_use]
pub fn meaning(setting: &str) -> Option<(usize, &'static str)> {
    let named = |name: &str| MEANINGS.iter().position(|(known, text)| known == name && !text.is_empty());
    let place = named(setting).or_else(|| named(setting.rsplit_once('.')?.0))?;
    MEANINGS.get(place).map(|(_, text)| (place, text.as_str()))
}

/// A rule as it stands in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleRead {
    /// Its name.
    pub name: String,
    /// Whom it is about: `label role=database`.
    pub about: String,
    /// Where it stands.
    pub said_by: Origin,
    /// What it sets, in the order of its file.
    pub settings: Vec<(String, Value)>,
}

impl fmt::Display for rules::Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Owner(name) => write!(f, "owner {name}"),
            Self::Label { key, value } => write!(f, "label {key}={value}"),
            Self::Server(name) => write!(f, "server {name}"),
        }
    }
}

impl PolicySet {
    /// Every rule, in the order of the files.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleRead> {
        let read = |rule: &rules::Rule| RuleRead {
            name: rule.name.clone(),
            about: rule.matcher.to_string(),
            said_by: Origin::File { file: rule.file.clone(), line: rule.line },
            settings: rule
                .settings
                .iter()
                .map(|setting| {
                    (setting.path.join("."), serde_json::to_value(&setting.value).unwrap_or_default())
                })
                .collect(),
        };
        self.all_rules().iter().map(read).collect()
    }

    /// For how many of these subjects each rule holds, in the order of [`PolicySet::rules`].
    #[must_use]
    pub fn reach<'a>(&self, subjects: impl Iterator<Item = Subject<'a>>) -> Vec<usize> {
        let mut reach = vec![0; self.all_rules().len()];
        for rule in subjects.flat_map(|subject| self.matching(&subject)) {
            reach[rule] += 1;
        }
        reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Labels;

    #[test]
    fn every_setting_that_is_shipped_says_what_it_means() {
        let general = PolicySet::default().shared_general();
        for setting in general.said_by.keys() {
            let (_, text) = meaning(setting).unwrap_or_else(|| panic!("{setting} is not in the file"));
            assert!(text.len() > 10 && !text.contains('#'), "{setting}: {text:?}");
        }
        assert_eq!(
            meaning("notice.lead_by_reason.power").map(|(place, _)| place),
            meaning("notice.lead_by_reason").map(|(place, _)| place)
        );
        assert!(
            meaning("notice.lead")
                .expect("it is there")
                .1
                .starts_with("At least this long between the ticket")
        );
        assert_eq!(meaning("nothing.such"), None);
    }

    #[test]
    fn a_rule_is_read_with_whom_it_is_about_and_for_how_many_it_holds() {
        let text = "[[rule]]\nname = \"databases stay put\"\nmatch = { label = \"role=database\" }\nset.live.allowed = false\nset.notice.lead = \"10d\"\n";
        let set = PolicySet::parse(&[("own.toml", text)]).expect("in order");
        let rules = set.rules();
        assert_eq!(
            (rules[0].name.as_str(), rules[0].about.as_str()),
            ("databases stay put", "label role=database")
        );
        assert_eq!(rules[0].said_by.to_string(), "own.toml:1");
        assert_eq!(
            rules[0].settings,
            [("live.allowed".to_owned(), Value::from(false)), ("notice.lead".to_owned(), Value::from("10d"))]
        );
        let (database, other) = (Labels::from([("role".to_owned(), "database".to_owned())]), Labels::new());
        let subject = |labels| Subject { server: None, labels, owner: None, cluster: None };
        assert_eq!(set.reach([subject(&database), subject(&other), subject(&database)].into_iter()), [2]);
    }
}
