//! Invitations as mails carry them, read by a parser that is not ours: vobject, from Debian. Where it is missing that part is left out,
//! aloud.

use std::io::Write;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use drover_notifier::calendar::Standing;
use drover_notifier::samples::{Sample, samples};
use drover_notifier::{Letterhead, Mail, Renderer, Sender};
use drover_policies::notices::{Actor, Tells};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};

/// Reads a calendar on its standard input and tells what it has read as JSON.
const READER: &str = r#"
import json, sys, vobject
from datetime import timezone
from zoneinfo import ZoneInfo
calendar = vobject.readOne(sys.stdin.buffer.read().decode("utf-8"))
calendar.validate()
event = calendar.vevent
zone = ZoneInfo(calendar.x_wr_timezone.value)
people = lambda line: [line.value, {name: values[0] for name, values in sorted(line.params.items())}]
print(json.dumps({
    "method": calendar.method.value, "uid": event.uid.value, "sequence": int(event.sequence.value),
    "status": event.status.value, "transp": event.transp.value, "summary": event.summary.value,
    "description": event.description.value, "stamp": event.dtstamp.value.astimezone(timezone.utc).isoformat(),
    "start": event.dtstart.value.astimezone(zone).isoformat(), "end": event.dtend.value.astimezone(zone).isoformat(),
    "organizer": people(event.organizer), "attendees": [people(line) for line in event.attendee_list],
    "alarms": len(getattr(event, "valarm_list", [])),
}))
"#;

fn sample(name: &str) -> Sample {
    samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name")
}

fn mail(sample: &Sample, standing: Standing) -> Vec<u8> {
    let sender = Sender {
        from: "\"Example: Cloud; \\\"the\\\" best\" <maintenance@cloud.example>".to_owned(),
        reply_to: None,
    };
    let renderer = Renderer::new(None).expect("sound templates");
    let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
    let letterhead = Letterhead { sender: &sender, links: &sample.links, standing, answers: None };
    let mail = Mail::new(&message, &sample.notice, &sample.contact, &letterhead).expect("a mail");
    mail.bytes().to_vec()
}

/// The method that the mail names and the calendar itself; both forms of it are the same.
fn invitation(mail: &[u8]) -> Option<(String, String)> {
    let parsed = MessageParser::default().parse(mail).expect("a mail");
    let calendars: Vec<_> = parsed
        .parts
        .iter()
        .filter(|part| {
            let kind = part.content_type().and_then(|kind| kind.subtype());
            matches!(kind, Some("calendar" | "ics"))
        })
        .collect();
    let [shown, attached] = calendars[..] else {
        assert!(calendars.is_empty(), "{} calendars", calendars.len());
        return None;
    };
    assert_eq!(shown.contents(), attached.contents());
    assert_eq!(attached.attachment_name(), Some("invite.ics"));
    let method = shown.content_type().and_then(|kind| kind.attribute("method")).expect("a method");
    let text = String::from_utf8(shown.contents().to_vec()).expect("text");
    assert!(text.split_terminator("\r\n").all(|line| !line.contains(['\r', '\n'])), "{text}");
    Some((method.to_owned(), text))
}

fn read_back(calendar: &str) -> Option<Value> {
    let known = Command::new("python3").args(["-c", "import vobject"]).stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        println!("SKIPPED: reading the invitation with vobject: python3-vobject is not installed");
        return None;
    }
    let mut reader = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    reader.stdin.take().expect("a pipe").write_all(calendar.as_bytes()).expect("written");
    let output = reader.wait_with_output().expect("an end");
    assert!(output.status.success(), "vobject refuses {calendar}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn at(text: &str) -> Instant {
    text.parse().expect("a moment")
}

#[test]
fn an_invitation_is_read_as_it_was_meant() {
    let mut sample = sample("proposed");
    sample.notice.ticket.server_name = "Büro, 東京; \"🚀\" \\n שרת".to_owned();
    sample.contact.name = "Ada \"the; first\": Lovelace, Countess".to_owned();
    sample.contact.mail.push("night@acme.example".to_owned());
    let (method, calendar) = invitation(&mail(&sample, Standing::default())).expect("an invitation");
    assert_eq!(method, "REQUEST");
    let Some(read) = read_back(&calendar) else { return };
    let person = |address: &str| {
        let params = json!({ "CN": "Ada 'the; first': Lovelace, Countess", "CUTYPE": "INDIVIDUAL", "PARTSTAT": "ACCEPTED",
            "ROLE": "REQ-PARTICIPANT", "RSVP": "FALSE" });
        json!([format!("mailto:{address}"), params])
    };
    let name = "\u{2068}Büro, 東京; \"🚀\" \\n שרת\u{2069}";
    let expected = json!({
        "method": "REQUEST",
        "uid": "00000000-0000-0000-0000-000000000007@cloud.example",
        "sequence": 217_468_800,
        "status": "TENTATIVE",
        "transp": "TRANSPARENT",
        "summary": format!("Server Migration: {name} [DR-1042]"),
        "description": format!("The server {name} moves to other hardware in this time and is restarted once for that (kernel update). \
            Expected downtime: about 2 minutes.\n\nhttps://cloud.example/tickets/DR-1042"),
        "stamp": "2026-11-22T00:00:00+00:00",
        "start": "2026-11-24T03:00:00+01:00",
        "end": "2026-11-24T05:00:00+01:00",
        "organizer": ["mailto:maintenance@cloud.example", { "CN": "Example: Cloud; 'the' best" }],
        "attendees": [person("ada@acme.example"), person("night@acme.example")],
        "alarms": 0,
    });
    assert_eq!(read, expected, "{calendar}");
}

#[test]
fn a_time_over_a_change_of_the_clocks_is_the_same_hours_in_the_readers_zone() {
    let cases = [
        // Clocks are put back at 01:00 UTC: four hours by the clock are five.
        (
            "2026-10-24T22:00:00Z",
            "2026-10-25T03:00:00Z",
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T04:00:00+01:00",
        ),
        // Put forward at 01:00 UTC: four hours by the clock are three.
        (
            "2027-03-27T23:00:00Z",
            "2027-03-28T02:00:00Z",
            "2027-03-28T00:00:00+01:00",
            "2027-03-28T04:00:00+02:00",
        ),
        // The hour that the clocks show twice, the second time.
        (
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:00:00Z",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ),
    ];
    for (start, end, local_start, local_end) in cases {
        let mut sample = sample("accepted");
        let slot = Slot { start: at(start), end: at(end) };
        let by = Actor::Owner { owner: sample.contact.owner.clone() };
        sample.notice.tells = Tells::Accepted { slot, by };
        let (_, calendar) = invitation(&mail(&sample, Standing::default())).expect("an invitation");
        let Some(read) = read_back(&calendar) else { return };
        assert_eq!((read["start"].as_str(), read["end"].as_str()), (Some(local_start), Some(local_end)));
        assert_eq!(read["status"], "CONFIRMED");
    }
}

#[test]
fn an_entry_is_proposed_moved_and_taken_back_under_one_id_with_rising_sequences() {
    let first = sample("proposed");
    let Tells::Proposed { slot, .. } = first.notice.tells else { panic!("a proposal") };
    let later = Slot { start: slot.start + TimeDelta::days(1), end: slot.end + TimeDelta::days(1) };
    let after = |minutes: i64, tells: Tells| {
        let mut sample = first.clone();
        sample.notice.at += TimeDelta::minutes(minutes);
        sample.notice.tells = tells;
        sample
    };
    let moved = after(1, Tells::Rescheduled { from: slot, slot: later, by: Actor::Drover });
    let cancelled = after(2, Tells::Cancelled);
    let none = Standing::default();
    let first_told = Standing::after([&first.notice]);
    let both_told = Standing::after([&first.notice, &moved.notice]);
    assert_eq!(both_told.slot, Some(later));
    let mails = [mail(&first, none), mail(&moved, first_told), mail(&cancelled, both_told)];
    let (methods, calendars): (Vec<String>, Vec<String>) =
        mails.iter().map(|mail| invitation(mail).expect("an invitation")).unzip();
    assert_eq!(methods, ["REQUEST", "REQUEST", "CANCEL"]);
    let read: Vec<Value> = calendars.iter().filter_map(|calendar| read_back(calendar)).collect();
    for pair in read.windows(2) {
        assert_eq!(pair[0]["uid"], pair[1]["uid"]);
        assert_eq!(pair[0]["organizer"], pair[1]["organizer"]);
        assert_eq!(pair[1]["sequence"].as_u64(), pair[0]["sequence"].as_u64().map(|sequence| sequence + 60));
    }
    if let Some(last) = read.get(2) {
        assert_eq!((&last["status"], &last["method"]), (&json!("CANCELLED"), &json!("CANCEL")));
        assert_eq!(last["start"], "2026-11-25T03:00:00+01:00");
    }
    // Nothing is drawn by lot: a repeat is the same to the byte.
    assert_eq!(mails[2], mail(&cancelled, both_told));
}

#[test]
fn mails_that_change_no_time_carry_no_calendar_and_neither_does_a_cancellation_of_what_was_never_told() {
    for name in ["done", "not_seen_alive", "started", "cancelled", "no_slot", "emergency", "avoided_deleted"]
    {
        assert_eq!(invitation(&mail(&sample(name), Standing::default())), None, "{name}");
    }
    let standing = Standing::after([&sample("proposed").notice]);
    assert!(standing.slot.is_some());
    assert_eq!(invitation(&mail(&sample("done"), standing)), None);
    let (method, _) = invitation(&mail(&sample("emergency"), standing)).expect("taken back");
    assert_eq!(method, "CANCEL");
}
