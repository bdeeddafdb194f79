//! From the text of a policy file to settings: every key is looked at by itself, so that all problems are found at once and each is
//! told with its own line.
//!
//! Which keys there are, and of which type, is told by the shipped file; that it agrees with [`Policy`] is tested.

use toml::Value;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{PolicyProblem, advice_for, split_advice};
use super::rules::{self, Rule};
use super::{Policy, SHIPPED, TimedBandwidth};
use crate::checks::Check;
use crate::time::Span;
use crate::windows::{Exclusion, Recurrence};

/// A table into which people put keys of their own.
const FREE_KEYS: &[&[&str]] = &[&["notice", "lead_by_reason"], &["limits", "uplinks"]];

/// A key that was set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) line: Option<usize>,
}

/// A file as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct FileContents {
    pub(super) settings: Vec<Setting>,
    pub(super) rules: Vec<Rule>,
}

/// Reads one file and remembers what is wrong with it.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    text: &'a str,
    pub(super) problems: Vec<PolicyProblem>,
}

/// Where in a file something stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// What goes before the path, for people: `rule "databases" set.`.
    pub(super) prefix: String,
    pub(super) path: Vec<String>,
}

impl Place {
    pub(super) fn of(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), path: Vec::new() }
    }

    pub(super) fn with(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Self { prefix: self.prefix.clone(), path }
    }

    pub(super) fn key(&self) -> String {
        format!("{}{}", self.prefix, self.path.join("."))
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    pub(super) fn read(&mut self) -> FileContents {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().and_then(|span| self.line_at(span.start));
            let right =
                "correct the line; `key = value` under `[table]`, texts and lengths of time in quotes";
            self.problem(line, String::new(), format!("no TOML: {}", error.message()), right);
        }
        // What follows a syntax error may have been read as something that its author never wrote.
        if !errors.is_empty() {
            return FileContents::default();
        }
        let mut contents = FileContents::default();
        let mut top = DeTable::new();
        for (key, value) in document.into_inner() {
            if key.get_ref() == "rule" {
                contents.rules = rules::read(self, &value);
            } else {
                top.insert(key, value);
            }
        }
        contents.settings = self.settings(&top, &Place::default(), &["rule"]);
        contents
    }

    pub(super) fn problem(
        &mut self,
        line: Option<usize>,
        key: String,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        let (wrong, right) = (wrong.into(), right.into());
        self.problems.push(PolicyProblem { file: self.file.to_owned(), line, key, wrong, right });
    }

    pub(super) fn line_at(&self, offset: usize) -> Option<usize> {
        self.text
            .as_bytes()
            .get(..offset)
            .map(|before| 1 + before.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Every usable setting of a table that has the form of a policy. `also` are keys that are known there besides.
    pub(super) fn settings(&mut self, table: &DeTable<'_>, at: &Place, also: &[&str]) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.walk(table, &SHIPPED.table, at, &mut settings);
        // Only the outermost table has more keys than the shipped file shows.
        if !also.is_empty() {
            for problem in &mut self.problems {
                if let Some(meant) = also.iter().find(|name| is_near(&problem.key, name)) {
                    problem.right = format!("did you mean [[{meant}]]?");
                }
            }
        }
        settings
    }

    fn walk(&mut self, table: &DeTable<'_>, schema: &toml::Table, at: &Place, settings: &mut Vec<Setting>) {
        for (key, value) in table {
            let line = self.line_at(key.span().start);
            let place = at.with(key.get_ref());
            let free = FREE_KEYS.contains(&at.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice());
            match (schema.get(key.get_ref().as_ref()), value.get_ref()) {
                (Some(Value::Table(known)), DeValue::Table(inner)) => {
                    self.walk(inner, known, &place, settings)
                }
                (Some(Value::Table(known)), other) => {
                    let keys = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    let wrong = format!("{} where a table belongs", other.type_str());
                    self.problem(line, place.key(), wrong, format!("set one of its keys: {keys}"));
                }
                (Some(_), _) => settings.extend(self.leaf(value.get_ref(), &place, line)),
                (None, _) if free => settings.extend(self.leaf(value.get_ref(), &place, line)),
                (None, _) => {
                    let advice = advice_for(key.get_ref(), schema.keys().map(String::as_str));
                    self.problem(line, place.key(), "there is no such key", advice);
                }
            }
        }
    }

    fn leaf(&mut self, written: &DeValue<'_>, at: &Place, line: Option<usize>) -> Option<Setting> {
        let path: Vec<&str> = at.path.iter().map(String::as_str).collect();
        let fits = match (path.as_slice(), written) {
            (["windows", "default"], DeValue::Array(items)) => {
                self.items::<Recurrence>(items, at, &["cron", "duration", "timezone"])
            }
            (["windows", "exclusions"], DeValue::Array(items)) => {
                self.items::<Exclusion>(items, at, &["from", "to", "timezone", "name"])
            }
            (["replication", "bandwidth_at"], DeValue::Array(items)) => {
                self.items::<TimedBandwidth>(items, at, &["during", "bandwidth"])
            }
            (["validation", "checks"], DeValue::Array(items)) => self.items::<Check>(
                items,
                at,
                &["name", "check", "port", "path", "tls", "expect", "address", "must_pass", "within"],
            ),
            _ => true,
        };
        if !fits {
            return None;
        }
        let value = match plain(written) {
            Ok(value) => value,
            Err(wrong) => {
                self.problem(line, at.key(), wrong, what_fits(&at.path));
                return None;
            }
        };
        let setting = Setting { path: at.path.clone(), value, line };
        // One key replaced in a policy that is known to be right: whatever is wrong now is this key.
        let mut table = SHIPPED.table.clone();
        set(&mut table, &setting);
        match Value::Table(table).try_into::<Policy>() {
            Ok(_) => Some(setting),
            Err(error) => {
                // What follows is the name of a type, which tells its author less than an example.
                let message = error.message().split(", expected ").next().unwrap_or_default();
                let (wrong, right) = split_advice(message, &what_fits(&at.path));
                self.problem(line, at.key(), wrong, right);
                None
            }
        }
    }

    /// Whether every item of a list of tables is right; what isn't is told with its own line.
    fn items<T: serde::de::DeserializeOwned>(
        &mut self,
        items: &DeArray<'_>,
        at: &Place,
        known: &[&str],
    ) -> bool {
        let before = self.problems.len();
        for (index, item) in items.iter().enumerate() {
            let line = self.line_at(item.span().start);
            let key = format!("{}[{index}]", at.key());
            let example = what_fits(&at.path);
            let Some(table) = item.get_ref().as_table() else {
                self.problem(
                    line,
                    key,
                    format!("{} where a table belongs", item.get_ref().type_str()),
                    example,
                );
                continue;
            };
            let unknown: Vec<_> =
                table.keys().filter(|name| !known.contains(&name.get_ref().as_ref())).collect();
            for name in &unknown {
                let line = self.line_at(name.span().start);
                let advice = advice_for(name.get_ref(), known.iter().copied());
                self.problem(line, format!("{key}.{}", name.get_ref()), "there is no such key", advice);
            }
            if !unknown.is_empty() {
                continue;
            }
            let read = plain(item.get_ref()).and_then(|value| {
                value.try_into::<T>().map_err(|error: toml::de::Error| error.message().to_owned())
            });
            if let Err(message) = read {
                let (wrong, right) = split_advice(&message, &example);
                self.problem(line, key, wrong, right);
            }
        }
        self.problems.len() == before
    }
}

fn is_near(given: &str, name: &str) -> bool {
    // Nested keys and rules are never meant to be the name of an outermost table.
    !given.contains(['.', ' ']) && given != name && strsim::jaro_winkler(given, name) > 0.85
}

/// Puts a setting into a table that has the form of a policy.
pub(super) fn set(table: &mut toml::Table, setting: &Setting) {
    let Some((last, tables)) = setting.path.split_last() else { return };
    let mut inner = table;
    for name in tables {
        let next = inner.entry(name.as_str()).or_insert_with(|| Value::Table(toml::Table::new()));
        let Value::Table(next) = next else { return };
        inner = next;
    }
    inner.insert(last.clone(), setting.value.clone());
}

/// The value without places. Bare dates become texts, as which they are read.
pub(super) fn plain(written: &DeValue<'_>) -> Result<Value, String> {
    Ok(match written {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| format!("{number} is too large"))?,
        ),
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().map_err(|_| format!("{number} is no number"))?)
        }
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| plain(item.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), plain(value.get_ref())?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

/// What may be written for a key, told by what the shipped file has there.
fn what_fits(path: &[String]) -> String {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["windows", "default"] => {
            return "write [{ cron = \"0 22 * * *\", duration = \"6h\", timezone = \"UTC\" }]".to_owned();
        }
        ["windows", "exclusions"] => {
            return "write [{ from = \"2026-12-19\", to = \"2027-01-03\", timezone = \"UTC\", name = \"freeze\" }]"
                .to_owned();
        }
        ["validation", "checks"] => {
            return "write [{ name = \"ssh\", check = \"tcp\", port = 22 }]".to_owned();
        }
        ["limits", "uplinks", _] => return "write bytes per second, such as 1250000000".to_owned(),
        ["validation", "on_failed"] => return "write \"hold\", \"revert\" or \"tell\"".to_owned(),
        ["validation", "addresses"] => return "write \"must_pass\" or \"advisory\"".to_owned(),
        ["replication", "bandwidth_at"] => {
            return "write [{ during = { cron = \"0 8 * * MON-FRI\", duration = \"10h\", timezone = \"UTC\" }, bandwidth = 20000000 }]"
                .to_owned();
        }
        ["replication", "on_failure"] => return "write \"restart_source\" or \"leave_off\"".to_owned(),
        ["placement", "same_labels"] => return "write a list of texts, such as [\"rack\"]".to_owned(),
        _ => {}
    }
    let shipped = names.iter().try_fold(None::<&Value>, |inner, name| {
        let table = inner.map_or(Some(&SHIPPED.table), Value::as_table)?;
        Some(table.get(*name))
    });
    match shipped.flatten() {
        Some(Value::Boolean(_)) => "write true or false, without quotes".to_owned(),
        Some(Value::Integer(number)) => {
            format!("write a whole number that isn't negative, without quotes, such as {number}")
        }
        Some(Value::Float(number)) => format!("write a number without quotes, such as {number:?}"),
        Some(Value::String(text)) if text.parse::<Span>().is_ok() => {
            format!("write a length of time in quotes, such as {text:?}")
        }
        Some(Value::Array(items)) => {
            format!("write a list of lengths of time, such as {}", Value::Array(items.clone()))
        }
        Some(Value::String(_) | Value::Datetime(_) | Value::Table(_)) | None => {
            "write a length of time in quotes, such as \"24h\"".to_owned()
        }
    }
}
