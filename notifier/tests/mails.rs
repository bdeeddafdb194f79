//! Mails as they go out, read back by a parser that is not ours, and the maildir.

use std::fs;
use std::path::Path;

use drover_notifier::calendar::Standing;
use drover_notifier::letter::Answers;
use drover_notifier::reply::{Incoming, Keys};
use drover_notifier::samples::{Sample, bulletins, samples};
use drover_notifier::{
    Channel, Delivery, Letterhead, Mail, MailError, MaildirConfig, Message, Renderer, Sender,
};
use drover_policies::ids::NoticeId;
use drover_policies::notices::Contact;
use mail_parser::{Address, HeaderValue, MessageParser};

fn sample(name: &str) -> Sample {
    samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name")
}

fn sender() -> Sender {
    Sender { from: "Example Cloud <maintenance@cloud.example>".to_owned(), reply_to: None }
}

fn mail(sample: &Sample) -> Mail {
    let renderer = Renderer::new(None).expect("sound templates");
    let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
    written(&message, sample, Standing::default()).expect("a mail")
}

fn written(message: &Message, sample: &Sample, standing: Standing) -> Result<Mail, MailError> {
    let sender = sender();
    let letterhead = Letterhead { sender: &sender, links: &sample.links, standing, answers: None };
    Mail::new(message, &sample.notice, &sample.contact, &letterhead)
}

fn text<'a>(mail: &'a mail_parser::Message<'_>, name: &str) -> Option<&'a str> {
    match mail.header(name.to_owned()) {
        Some(HeaderValue::Text(text)) => Some(text),
        _ => None,
    }
}

#[test]
fn the_mails_of_a_maintenance_are_a_thread_that_nobodys_program_answers() {
    let renderer = Renderer::new(None).expect("sound templates");
    let samples = bulletins().expect("samples");
    let sample = samples.iter().find(|s| s.name == "maintenance_begun").expect("a sample of this name");
    let message =
        renderer.render_bulletin(&sample.bulletin, &sample.contact, &sample.links).expect("rendered");
    let of = |contact| Mail::of_bulletin(&message, &sample.bulletin, contact, &sender());
    let mail = of(&sample.contact).expect("a mail");
    let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
    assert_eq!(parsed.subject(), Some("MT-12 has begun (Maintenance: kernel update)"));
    assert_eq!(parsed.message_id(), Some("notice.00000000-0000-0000-0000-00000000002b@cloud.example"));
    let thread = "maintenance.00000000-0000-0000-0000-00000000000a@cloud.example";
    assert_eq!(parsed.in_reply_to().as_text(), Some(thread));
    assert_eq!(parsed.references().as_text(), Some(thread));
    assert_eq!(text(&parsed, "Auto-Submitted"), Some("auto-generated"));
    assert_eq!(text(&parsed, "X-Drover-Maintenance"), Some("MT-12"));
    assert_eq!(text(&parsed, "X-Drover-Kind"), Some("maintenance_begun"));
    assert_eq!(text(&parsed, "X-Drover-Ticket"), None);
    assert_eq!(mail.envelope_sender(), "maintenance@cloud.example");
    assert_eq!(mail.recipients(), ["night-shift@cloud.example"]);
    assert_eq!(parsed.attachments().count(), 0, "it has no entry for a calendar");
    assert_eq!(mail, of(&sample.contact).expect("the same again"));
    let nobody = Contact { mail: Vec::new(), ..sample.contact.clone() };
    assert!(matches!(of(&nobody), Err(MailError::NoRecipient { .. })));
}

#[test]
fn a_mail_has_both_forms_and_the_headers_that_thread_and_mark_it() {
    let sample = sample("proposed");
    let mail = mail(&sample);
    let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
    assert_eq!(parsed.subject(), Some("[ACTION REQUIRED] Server Migration: web-1 [DR-1042]"));
    assert_eq!(parsed.message_id(), Some("notice.00000000-0000-0000-0000-00000000002a@cloud.example"));
    let thread = "ticket.00000000-0000-0000-0000-000000000007@cloud.example";
    assert_eq!(parsed.in_reply_to().as_text(), Some(thread));
    assert_eq!(parsed.references().as_text(), Some(thread));
    assert_eq!(parsed.date().expect("a date").to_timestamp(), sample.notice.at.timestamp());
    assert_eq!(text(&parsed, "Auto-Submitted"), Some("auto-generated"));
    assert_eq!(text(&parsed, "X-Drover-Ticket"), Some("DR-1042"));
    assert_eq!(text(&parsed, "X-Drover-Notice"), Some("00000000-0000-0000-0000-00000000002a"));
    assert_eq!(text(&parsed, "X-Drover-Server"), Some("00000000-0000-0000-0000-000000000009"));
    assert!(parsed.body_text(0).expect("text").contains("https://cloud.example/tickets/DR-1042#accept"));
    assert!(parsed.body_html(0).expect("html").starts_with("<!DOCTYPE html>"));
    assert_eq!(text(&parsed, "X-Auto-Response-Suppress"), Some("OOF, AutoReply"));
}

#[test]
fn the_same_notice_is_the_same_mail_to_the_byte_and_another_is_in_the_same_thread() {
    let mut one = sample("proposed");
    assert_eq!(mail(&one), mail(&one));
    let first = mail(&one);
    one.notice.id = NoticeId(uuid::Uuid::from_u128(0x2b));
    let second = mail(&one);
    let (first, second) = (
        MessageParser::default().parse(first.bytes()).expect("a mail"),
        MessageParser::default().parse(second.bytes()).expect("a mail"),
    );
    assert_ne!(first.message_id(), second.message_id());
    assert_eq!(first.references().as_text(), second.references().as_text());
}

#[test]
fn no_name_can_add_a_header_or_a_part() {
    let names = [
        "web\r\nBcc: thief@evil.example",
        "web\nX-Drover-Ticket: DR-1\n\n<html>",
        "web\r\n\r\n--drover-0000000000000000000000000000002a\r\n",
        "=?utf-8?q?web=0d=0aBcc:_thief?=",
        "東京\u{2028}Bcc: thief@evil.example\u{85}\u{b}",
        "\u{202E}web",
    ];
    for name in
        names.map(ToOwned::to_owned).into_iter().chain([format!("{}\r\nBcc: x@y.example", "ü".repeat(5000))])
    {
        let mut sample = sample("proposed");
        sample.notice.ticket.server_name.clone_from(&name);
        sample.notice.ticket.number = format!("DR-1\r\nBcc: {name}");
        sample.notice.ticket.reason.clone_from(&name);
        sample.contact.name.clone_from(&name);
        let mail = mail(&sample);
        let head = String::from_utf8_lossy(mail.bytes()).split("\r\n\r\n").next().expect("a head").to_owned();
        assert!(head.is_ascii(), "{head}");
        assert!(head.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{head}");
        let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
        let mut found: Vec<String> = parsed.headers().iter().map(|h| h.name().to_lowercase()).collect();
        found.sort();
        let mut expected = vec![
            "auto-submitted",
            "content-type",
            "date",
            "from",
            "in-reply-to",
            "message-id",
            "mime-version",
            "references",
            "subject",
            "to",
            "x-auto-response-suppress",
            "x-drover-kind",
            "x-drover-notice",
            "x-drover-server",
            "x-drover-ticket",
        ];
        expected.sort_unstable();
        assert_eq!(found, expected, "{name:?}");
        assert_eq!(parsed.parts.len(), 6, "{name:?}: two wholes, text, html, the invitation twice");
        let Some(Address::List(to)) = parsed.to() else { panic!("{name:?}: one list of addresses") };
        assert_eq!(to.len(), 1, "{name:?}");
        assert_eq!(to[0].address(), Some("ada@acme.example"), "{name:?}");
        assert!(parsed.subject().expect("a subject").chars().count() <= 200);
    }
}

#[test]
fn a_name_in_any_script_is_readable_in_the_subject() {
    let mut sample = sample("done");
    sample.notice.ticket.server_name = "Büro 東京 🚀".to_owned();
    let mail = mail(&sample);
    let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
    assert_eq!(parsed.subject(), Some("[DONE] Server Migration: Büro 東京 🚀 [DR-1042]"));
    assert!(parsed.body_text(0).expect("text").contains("Büro 東京 🚀"));
}

#[test]
fn an_owner_without_a_usable_address_is_told_of_with_what_is_known() {
    let mut sample = sample("done");
    sample.contact.mail = vec!["nobody at all".to_owned(), "a@b.example\r\nBcc: c@d.example".to_owned()];
    let renderer = Renderer::new(None).expect("sound templates");
    let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
    let error = written(&message, &sample, Standing::default()).expect_err("no mail");
    assert!(matches!(&error, MailError::NoRecipient { known, .. } if known.len() == 2), "{error}");
    let wrong = Sender { from: "operators".to_owned(), reply_to: Some("x@y.example".to_owned()) };
    assert_eq!(
        wrong.check(),
        [
            "from \"operators\" is no mail address; write for example \"Example Cloud <maintenance@cloud.example>\""
        ]
    );
}

fn maildir(path: &Path) -> Channel {
    Channel::Maildir(MaildirConfig { path: path.to_owned() })
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_maildir_holds_one_mail_however_often_it_is_delivered() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("mail");
    let channel = maildir(&path);
    assert_eq!(channel.check(), Vec::<String>::new());
    let sample = sample("proposed");
    let mail = mail(&sample);

    // What a crash leaves behind: a part of the mail, not yet moved.
    let name = format!("{}.{}.drover", sample.notice.at.timestamp(), sample.notice.id);
    fs::write(path.join("tmp").join(&name), "half a ma").expect("written");

    for _ in 0..2 {
        let delivery = channel.open().deliver(&mail).await;
        assert!(
            matches!(delivery, Delivery::Delivered { ref refused, .. } if refused.is_empty()),
            "{delivery:?}"
        );
    }
    assert_eq!(files(&path.join("new")), std::slice::from_ref(&name));
    assert!(files(&path.join("tmp")).is_empty());
    let stored = fs::read(path.join("new").join(&name)).expect("readable");
    assert!(!stored.contains(&b'\r'));
    let parsed = MessageParser::default().parse(&stored).expect("a mail");
    assert_eq!(parsed.subject(), Some("[ACTION REQUIRED] Server Migration: web-1 [DR-1042]"));

    // A reader has seen it: it must not become new again.
    fs::rename(path.join("new").join(&name), path.join("cur").join(format!("{name}:2,S"))).expect("moved");
    let delivery = channel.open().deliver(&mail).await;
    assert!(matches!(delivery, Delivery::Delivered { .. }), "{delivery:?}");
    assert!(files(&path.join("new")).is_empty());
    assert_eq!(files(&path.join("cur")), [format!("{name}:2,S")]);
}

#[tokio::test]
async fn a_maildir_that_cannot_be_written_is_tried_again_and_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a directory");
    let blocked = folder.path().join("a-file");
    fs::write(&blocked, "").expect("written");
    let channel = maildir(&blocked);
    assert_eq!(channel.check().len(), 1);
    let delivery = channel.open().deliver(&mail(&sample("done"))).await;
    assert!(
        matches!(delivery, Delivery::Retry { ref left, .. } if left == &["ada@acme.example"]),
        "{delivery:?}"
    );
}

#[tokio::test]
async fn an_address_that_is_none_does_not_keep_the_mail_from_the_others() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut sample = sample("done");
    sample.contact.mail.push("not an address".to_owned());
    let delivery = maildir(folder.path()).open().deliver(&mail(&sample)).await;
    let Delivery::Delivered { refused, .. } = delivery else { panic!("{delivery:?}") };
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].address, "not an address");
}

#[test]
fn only_reminders_can_be_declined_and_each_way_to_do_so_is_there_where_it_works() {
    let ways = |sample: &Sample| {
        let mail = mail(sample);
        let head = String::from_utf8(mail.bytes().to_vec()).expect("ASCII").replace("\r\n ", " ");
        head.lines().find_map(|line| line.strip_prefix("List-Unsubscribe: ").map(ToOwned::to_owned))
    };
    let page = "<https://cloud.example/accounts/acme/reminders>";
    let mailto = "<mailto:maintenance@cloud.example?subject=DR-1042&body=no%20reminders>";
    let mut reminder = sample("reminder_to_be_answered");
    assert_eq!(ways(&reminder), Some(format!("{page}, {mailto}")));
    reminder.links.reminders = None;
    assert_eq!(ways(&reminder).as_deref(), Some(mailto));
    reminder.links.answers = Answers::Unread;
    assert_eq!(ways(&reminder), None);
    assert_eq!(ways(&sample("proposed_to_be_answered_without_links")), None);
}

#[test]
fn names_in_any_script_break_no_mail_in_any_language() {
    let long = "x".repeat(300);
    let names = [
        "שרת-1",
        "خادم-٢",
        "👩‍👩‍👧🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "می‌خواهم",
        "Donaudampfschifffahrtsgesellschaftskapitän",
        &long,
        "a\u{301}\u{301}\u{301}",
        "\u{2066}",
    ];
    for name in names {
        for language in ["en", "de"] {
            let mut sample = sample("proposed");
            sample.notice.ticket.server_name = name.to_owned();
            sample.contact.name = name.to_owned();
            sample.contact.language = language.parse().expect("a language");
            let mail = mail(&sample);
            let bytes = String::from_utf8_lossy(mail.bytes()).into_owned();
            assert!(bytes.split("\r\n").all(|line| line.len() <= 998 && line.is_ascii()), "{name}");
            let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
            let subject = parsed.subject().expect("a subject");
            assert!(subject.ends_with(" [DR-1042]"), "{subject}");
            let shown: String = name.chars().take(79).filter(|c| *c != '\u{2066}').collect();
            assert!(subject.contains(&shown), "{subject}");
            assert!(parsed.body_text(0).expect("text").contains(&shown));
            // What turns the direction of writing is turned back before the line goes on.
            let opened = subject.matches('\u{2068}').count();
            assert_eq!(opened, subject.matches('\u{2069}').count());
            assert_eq!(opened, usize::from(name.starts_with(['ש', 'خ', 'م'])), "{name}");
        }
    }
}

#[test]
fn a_mail_that_can_be_answered_says_where_and_comes_back_to_there() {
    let sample = sample("proposed");
    let renderer = Renderer::new(None).expect("sound templates");
    let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
    let keys = Keys::read(&Keys::write([1; 32])).expect("a key");
    let address = "reply@cloud.example".parse().expect("an address");
    let ticket = &sample.notice.ticket;
    let given = keys.sign(&address, &ticket.number, ticket.id, &ticket.owner);
    let sender = Sender { reply_to: Some("support@cloud.example".to_owned()), ..sender() };
    let letterhead = Letterhead {
        sender: &sender,
        links: &sample.links,
        standing: Standing::default(),
        answers: Some(&given),
    };
    let mail = Mail::new(&message, &sample.notice, &sample.contact, &letterhead).expect("a mail");
    let parsed = MessageParser::default().parse(mail.bytes()).expect("a mail");
    let reply_to = parsed.reply_to().and_then(Address::first).and_then(|to| to.address());
    assert_eq!(reply_to, Some(&*given.address));
    assert_eq!(mail.envelope_sender(), given.address);
    let references = parsed.references().as_text_list().expect("several").to_vec();
    assert_eq!(
        references,
        [
            "ticket.00000000-0000-0000-0000-000000000007@cloud.example",
            given.reference.trim_matches(['<', '>'])
        ]
    );
    // Read back from an answer of a mail program that repeats what it was given.
    let answer = format!("To: {}\r\nReferences: {}\r\n\r\nok", given.address, references.join(" "));
    let read = Incoming::read(answer.as_bytes()).expect("a mail");
    assert_eq!(read.claims.len(), 1);
    assert!(keys.prove(&read.claims[0], ticket.id, &ticket.owner));
}
