//! A notice or a bulletin as an event: CloudEvents 1.0, structured mode, JSON.

use drover_policies::bulletins::{Bulletin, MaintenanceSummary, Says};
use drover_policies::ids::NoticeId;
use drover_policies::notices::{Notice, TicketSummary};
use drover_policies::time::Instant;
use serde::Serialize;
use serde_json::Value;

/// The type of the body.
pub const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The beginning of every `type`.
const TYPES: &str = "dev.drover.notice";

/// Whose program reads the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// An operator's.
    Operators,
    /// An owner's, who is not told operators' names.
    Owners,
}

/// The attributes of CloudEvents 1.0 that are used here, by the names that it gives them.
#[derive(Serialize)]
struct Event<'a, T: Serialize> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a str,
    time: Instant,
    datacontenttype: &'static str,
    data: T,
}

impl<'a, T: Serialize> Event<'a, T> {
    fn new(id: NoticeId, source: &'a str, kind: &str, subject: &'a str, time: Instant, data: T) -> Self {
        Self {
            specversion: "1.0",
            id: id.to_string(),
            source,
            kind: format!("{TYPES}.{kind}"),
            subject,
            time,
            datacontenttype: "application/json",
            data,
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[derive(Serialize)]
struct Told<'a> {
    ticket: &'a TicketSummary,
    fact: Value,
}

/// The body for a notice. `source` names this installation.
///
/// # Errors
/// The notice can't be written as JSON.
pub fn body(notice: &Notice, source: &str, readers: Readers) -> Result<Vec<u8>, serde_json::Error> {
    let mut fact = serde_json::to_value(&notice.tells)?;
    match readers {
        Readers::Operators => {}
        Readers::Owners => hide_operators(&mut fact),
    }
    let told = Told { ticket: &notice.ticket, fact };
    Event::new(notice.id, source, notice.tells.kind(), &notice.ticket.number, notice.at, told).bytes()
}

#[derive(Serialize)]
struct Said<'a> {
    maintenance: &'a MaintenanceSummary,
    fact: &'a Says,
}

/// The body for a bulletin, which only operators' programs get.
///
/// # Errors
/// The bulletin can't be written as JSON.
pub fn bulletin_body(bulletin: &Bulletin, source: &str) -> Result<Vec<u8>, serde_json::Error> {
    let Bulletin { id, key: _, maintenance, says, at } = bulletin;
    Event::new(*id, source, says.kind(), &maintenance.number, *at, Said { maintenance, fact: says }).bytes()
}

/// The body for trying a webhook out: an event of the type `dev.drover.notice.test` that tells nothing.
///
/// # Errors
/// None that is known: it is made of plain values.
pub fn test_body(id: NoticeId, source: &str, at: Instant) -> Result<Vec<u8>, serde_json::Error> {
    Event::new(id, source, "test", "test", at, serde_json::json!({})).bytes()
}

/// Takes the name out of everything that says `who: operator`.
fn hide_operators(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("who").is_some_and(|who| who == "operator") {
                fields.remove("name");
            }
            fields.values_mut().for_each(hide_operators);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_operators),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn every_kind_of_notice_is_an_event_with_what_the_specification_requires() {
        for sample in samples::samples().expect("samples") {
            let notice = &sample.notice;
            let bytes = body(notice, "urn:drover:test", Readers::Operators).expect("a body");
            let event: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["id"], notice.id.to_string());
            assert_eq!(event["source"], "urn:drover:test");
            assert_eq!(event["type"], format!("dev.drover.notice.{}", notice.tells.kind()));
            assert_eq!(event["subject"], notice.ticket.number);
            let time = event["time"].as_str().expect("a time");
            assert_eq!(time.parse::<Instant>().expect("RFC 3339"), notice.at);
            assert_eq!(event["data"]["ticket"]["owner"], notice.ticket.owner.to_string());
            assert_eq!(event["data"]["fact"]["tells"], notice.tells.kind());
            assert_eq!(bytes, body(notice, "urn:drover:test", Readers::Operators).expect("the same again"));
        }
    }

    #[test]
    fn every_kind_of_bulletin_is_an_event_too() {
        for sample in samples::bulletins().expect("samples") {
            let bulletin = &sample.bulletin;
            let bytes = bulletin_body(bulletin, "urn:drover:test").expect("a body");
            let event: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(event["id"], bulletin.id.to_string());
            assert_eq!(event["type"], format!("dev.drover.notice.{}", bulletin.says.kind()));
            assert_eq!(
                (&event["subject"], &event["data"]["maintenance"]["number"]),
                (&"MT-12".into(), &"MT-12".into())
            );
            assert_eq!(
                format!("maintenance_{}", event["data"]["fact"]["says"].as_str().expect("a word")),
                bulletin.says.kind()
            );
        }
    }

    #[test]
    fn an_owners_program_is_not_told_the_names_of_operators() {
        let names = |readers| {
            let all = samples::samples().expect("samples").into_iter();
            all.filter_map(|sample| {
                let event: Value =
                    serde_json::from_slice(&body(&sample.notice, "urn:x", readers).expect("a body"))
                        .expect("JSON");
                let by = &event["data"]["fact"]["by"];
                (by["who"] == "operator").then(|| by["name"].clone())
            })
            .collect::<Vec<Value>>()
        };
        let (told, hidden) = (names(Readers::Operators), names(Readers::Owners));
        assert!(!told.is_empty() && told.iter().all(Value::is_string), "{told:?}");
        assert!(hidden.len() == told.len() && hidden.iter().all(Value::is_null), "{hidden:?}");
    }
}
