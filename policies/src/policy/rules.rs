//! Rules: settings for a part of the fleet.

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::problem::advice_for;
use super::read::{Place, Reader, Setting, plain};
use crate::ids::OwnerId;

/// Read for the installation as a whole, never for one server: set by a rule, they would do nothing.
const FOR_ALL: &[&str] = &["agents", "maintenance", "retention"];

/// What a rule is about. The order is that of nearness, the nearest last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Matcher {
    /// A cluster, by name.
    Cluster(String),
    /// An account.
    Owner(String),
    /// A label with a value.
    Label {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
    /// A server, by name or uuid.
    Server(String),
}

impl Matcher {
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Cluster(_) => 0,
            Self::Owner(_) => 1,
            Self::Label { .. } => 2,
            Self::Server(_) => 3,
        }
    }
}

/// Settings for a part of the fleet.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) name: String,
    pub(super) matcher: Matcher,
    pub(super) settings: Vec<Setting>,
}

const MATCH_EXAMPLE: &str = "write match = { server = \"name or uuid\" }, { label = \"key=value\" }, { owner = \"account\" } or \
                             { cluster = \"name\" }";

/// Reads `[[rule]]`; rules that are wrong are told of and left out.
pub(super) fn read(reader: &mut Reader<'_>, written: &toml::Spanned<DeValue<'_>>) -> Vec<Rule> {
    let Some(items) = written.get_ref().as_array() else {
        let line = reader.line_at(written.span().start);
        reader.problem(
            line,
            "rule".to_owned(),
            "rules are a list",
            "write [[rule]] with two brackets, once for each rule",
        );
        return Vec::new();
    };
    let mut rules: Vec<Rule> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let line = reader.line_at(item.span().start);
        let Some(table) = item.get_ref().as_table() else {
            reader.problem(
                line,
                format!("rule[{index}]"),
                "a rule is a table",
                "write [[rule]] and its keys below",
            );
            continue;
        };
        rules.extend(read_one(reader, table, index, line));
    }
    rules
}

fn read_one(reader: &mut Reader<'_>, table: &DeTable<'_>, index: usize, line: Option<usize>) -> Option<Rule> {
    let before = reader.problems.len();
    let name =
        table.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default().trim().to_owned();
    let called = if name.is_empty() { format!("rule[{index}]") } else { format!("rule {name:?}") };
    if name.is_empty() {
        let right = "give it a name that tells people why: name = \"databases stay put\"";
        reader.problem(line, format!("{called} name"), "a rule needs a name in quotes", right);
    }
    let known = ["name", "match", "set"];
    for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
        let line = reader.line_at(key.span().start);
        let right = advice_for(key.get_ref(), known);
        reader.problem(line, format!("{called} {}", key.get_ref()), "there is no such key", right);
    }
    let matcher = read_match(reader, table, &called, line);
    let settings = read_settings(reader, table, &called, line);
    if reader.problems.len() > before {
        return None;
    }
    Some(Rule { file: reader.file.to_owned(), line, name, matcher: matcher?, settings })
}

fn read_settings(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    called: &str,
    line: Option<usize>,
) -> Vec<Setting> {
    let place = Place::of(format!("{called} set."));
    let settings = match table.get("set").map(toml::Spanned::get_ref) {
        Some(DeValue::Table(set)) if !set.is_empty() => reader.settings(set, &place, &[]),
        Some(_) | None => {
            reader.problem(
                line,
                format!("{called} set"),
                "the rule sets nothing",
                "write for example set.live.allowed = false",
            );
            Vec::new()
        }
    };
    for setting in &settings {
        if setting.path.first().is_some_and(|table| FOR_ALL.contains(&table.as_str())) {
            let key = format!("{}{}", place.prefix, setting.path.join("."));
            let right = "set it at the top level of a file, outside of rules";
            reader.problem(
                setting.line,
                key,
                "this holds for the whole installation, not for a server",
                right,
            );
        }
    }
    settings
}

fn read_match(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    called: &str,
    line: Option<usize>,
) -> Option<Matcher> {
    let key = format!("{called} match");
    let Some(written) = table.get("match") else {
        reader.problem(line, key, "the rule doesn't say what it is about", MATCH_EXAMPLE);
        return None;
    };
    let line = reader.line_at(written.span().start).or(line);
    let Some(matching) = written.get_ref().as_table() else {
        reader.problem(
            line,
            key,
            format!("{} where a table belongs", written.get_ref().type_str()),
            MATCH_EXAMPLE,
        );
        return None;
    };
    let mut keys = matching.iter();
    let (Some((kind, value)), None) = (keys.next(), keys.next()) else {
        let wrong = format!("a rule is about one thing, and this names {}", matching.len());
        reader.problem(line, key, wrong, format!("{MATCH_EXAMPLE}; for several, write several rules"));
        return None;
    };
    let read = match (kind.get_ref().as_ref(), value.get_ref()) {
        ("server", DeValue::String(server)) => read_server(server),
        ("owner", DeValue::String(owner)) => {
            OwnerId::new(owner.as_ref()).map(|_| Matcher::Owner(owner.to_string())).map_err(|e| e.to_string())
        }
        ("cluster", DeValue::String(cluster)) if !cluster.trim().is_empty() => {
            Ok(Matcher::Cluster(cluster.to_string()))
        }
        ("label", label) => read_label(label),
        ("server" | "owner" | "cluster", _) => Err("a name in quotes belongs here".to_owned()),
        (other, _) => {
            let right = advice_for(other, ["server", "label", "owner", "cluster"]);
            reader.problem(line, format!("{key}.{other}"), "there is no such key", right);
            return None;
        }
    };
    read.map_err(|wrong| reader.problem(line, format!("{key}.{}", kind.get_ref()), wrong, MATCH_EXAMPLE)).ok()
}

fn read_server(server: &str) -> Result<Matcher, String> {
    if server.trim().is_empty() {
        return Err("a server's name or uuid belongs here".to_owned());
    }
    // A uuid may be written in several ways; the plain one is what is looked up.
    let plain = uuid::Uuid::parse_str(server).map_or_else(|_| server.to_owned(), |id| id.to_string());
    Ok(Matcher::Server(plain))
}

fn read_label(written: &DeValue<'_>) -> Result<Matcher, String> {
    let wrong = || "a label is { key = \"role\", value = \"database\" } or \"role=database\"".to_owned();
    let (key, value) = match plain(written)? {
        Value::String(text) => {
            text.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        }
        Value::Table(table) if table.len() == 2 => match (table.get("key"), table.get("value")) {
            (Some(Value::String(key)), Some(Value::String(value))) => Some((key.clone(), value.clone())),
            (Some(_) | None, Some(_) | None) => None,
        },
        Value::Table(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => None,
    }
    .filter(|(key, _)| !key.is_empty())
    .ok_or_else(wrong)?;
    Ok(Matcher::Label { key, value })
}
