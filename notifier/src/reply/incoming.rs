//! A mail as it came in: whose words it holds, if a person's at all, and for which ticket it claims to be.
//!
//! What machines send is told apart first, and nothing of it is ever answered: two programs that answer each other do not stop.

use drover_policies::ids::NoticeId;
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders, PartType};
use sha2::{Digest, Sha256};

use super::fresh::fresh;
use super::hex;
use super::signature::Claim;
use crate::words;

/// The most parts that a mail may have. Each level of nesting needs one, so this also limits the depth.
const PARTS: usize = 500;
/// The most HTML that is read; a person's answer stands at its beginning.
const HTML: usize = 256 * 1024;
/// The most addresses and ids that are looked at for a claim.
const CANDIDATES: usize = 200;
/// The longest text that is kept for people, in characters.
const TEXT: usize = 10_000;

/// Headers in which a signed address can stand, and those with Message-IDs.
const ADDRESSES: [&str; 7] =
    ["x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "to", "cc", "resent-to"];
const MESSAGE_IDS: [&str; 2] = ["in-reply-to", "references"];

/// A mail that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Names the mail: two of the same name are the same mail, delivered twice.
    pub key: String,
    /// The tickets that it claims to be for, those of its addresses first.
    pub claims: Vec<Claim>,
    /// Whose address stands as the sender; may be empty, and proves nothing.
    pub from: String,
    /// What it is.
    pub kind: Kind,
}

/// What a mail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A person's words.
    Words {
        /// What he wrote himself; may be empty.
        text: String,
        /// The names of what was attached.
        attachments: Vec<String>,
    },
    /// A mail of ours came back.
    Bounce(Bounce),
    /// A program answers for somebody, or it is a mail of ours.
    Automatic {
        /// By what it is known.
        why: &'static str,
    },
}

/// A mail of ours that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The message, if that is told.
    pub notice: Option<NoticeId>,
    /// The addresses.
    pub addresses: Vec<Bounced>,
}

/// An address to which a mail could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounced {
    /// The address.
    pub address: String,
    /// Why, in the words of a mail server.
    pub why: String,
}

/// Why a mail can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has no headers.
    #[error("it is no mail: it has no headers")]
    NoMail,
    /// Somebody wants to keep us busy.
    #[error("it has more than {PARTS} parts")]
    TooManyParts,
}

impl Incoming {
    /// Reads a mail.
    ///
    /// # Errors
    /// It is none, or has more parts than anybody's.
    pub fn read(raw: &[u8]) -> Result<Self, Unreadable> {
        if count(raw, b"content-type") > PARTS {
            return Err(Unreadable::TooManyParts);
        }
        let mail = MessageParser::default().parse(raw).ok_or(Unreadable::NoMail)?;
        let from = mail.from().and_then(|from| from.first()?.address()).unwrap_or_default();
        Ok(Self {
            key: key(&mail),
            claims: claims(&mail),
            from: words::one_line(from, 200),
            kind: kind(&mail),
        })
    }
}

fn count(raw: &[u8], name: &[u8]) -> usize {
    raw.windows(name.len()).filter(|window| window.eq_ignore_ascii_case(name)).count()
}

/// A hash of its Message-ID; where it has none, of what does not change on the way.
fn key(mail: &Message<'_>) -> String {
    let mut digest = Sha256::new();
    match mail.message_id().filter(|id| !id.is_empty()) {
        Some(id) => digest.update(id.as_bytes()),
        None => {
            for name in ["From", "Date", "Subject"] {
                digest.update(mail.header_raw(name).unwrap_or_default().trim().as_bytes());
                digest.update([0]);
            }
            let body = mail.root_part().offset_body as usize;
            digest.update(mail.raw_message().get(body..).unwrap_or_default());
        }
    }
    hex(&digest.finalize()[..16])
}

fn headers<'m>(mail: &'m Message<'_>, name: &str) -> impl Iterator<Item = &'m str> {
    mail.headers_raw().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn header<'m>(mail: &'m Message<'_>, name: &str) -> Option<&'m str> {
    headers(mail, name).next().map(str::trim)
}

fn claims(mail: &Message<'_>) -> Vec<Claim> {
    let candidates = |names: &'static [&'static str]| {
        names
            .iter()
            .flat_map(|name| headers(mail, name))
            .flat_map(|value| value.split(|c: char| c.is_whitespace() || "<>,;\"()".contains(c)))
            .filter(|word| word.contains('@'))
            .take(CANDIDATES)
    };
    let addressed = candidates(&ADDRESSES).filter_map(Claim::in_address);
    let mut claims: Vec<Claim> = Vec::new();
    for claim in addressed.chain(candidates(&MESSAGE_IDS).filter_map(Claim::in_message_id)) {
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    claims
}

fn kind(mail: &Message<'_>) -> Kind {
    if let Some(report) = report(mail) {
        return match report.as_str() {
            "delivery-status" => bounce(mail),
            _ => Kind::Automatic { why: "it is a report" },
        };
    }
    match automatic(mail) {
        Some(why) => Kind::Automatic { why },
        None => Kind::Words { text: words::visible(&text(mail)), attachments: attachments(mail) },
    }
    .shortened()
}

impl Kind {
    fn shortened(self) -> Self {
        match self {
            Self::Words { text, attachments } if text.chars().count() > TEXT => {
                let cut: String = text.chars().take(TEXT - 1).collect();
                Self::Words { text: format!("{cut}…"), attachments }
            }
            other => other,
        }
    }
}

/// The kind of a `multipart/report`.
fn report(mail: &Message<'_>) -> Option<String> {
    let content = mail.content_type()?;
    let is_report = content.c_type.eq_ignore_ascii_case("multipart")
        && content.c_subtype.as_deref().is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"));
    is_report.then(|| content.attribute("report-type").unwrap_or_default().to_ascii_lowercase())
}

/// By what it is known that no person wrote it (RFC 3834, and what programs did before it).
fn automatic(mail: &Message<'_>) -> Option<&'static str> {
    let says = |name: &str| header(mail, name).map(str::to_ascii_lowercase);
    if says("x-drover-notice").is_some() {
        return Some("it is a mail of ours");
    }
    // RFC 3834: a parameter may follow the word.
    let auto_submitted = says("auto-submitted")
        .is_some_and(|value| value.split(';').next().map(str::trim).is_some_and(|word| word != "no"));
    let precedence = says("precedence")
        .is_some_and(|value| ["bulk", "junk", "list", "auto_reply"].contains(&value.as_str()));
    let null_sender = says("return-path").is_some_and(|value| value == "<>");
    let marked =
        ["x-auto-response-suppress", "x-autoreply", "x-autorespond", "x-autoresponder", "x-autoresponse"]
            .into_iter()
            .any(|name| says(name).is_some());
    if auto_submitted {
        Some("Auto-Submitted says so")
    } else if precedence {
        Some("Precedence says so")
    } else if null_sender {
        Some("it has no sender to be answered")
    } else if marked {
        Some("a header of automatic answers is there")
    } else if says("list-id").is_some() {
        Some("it comes from a mailing list")
    } else {
        None
    }
}

/// What a person wrote: the plain text, or what is left of HTML without its marks.
fn text(mail: &Message<'_>) -> String {
    let mut plain = String::new();
    let mut html: Option<&str> = None;
    for part in mail.text_bodies() {
        match &part.body {
            PartType::Text(text) => {
                plain.push_str(text);
                plain.push('\n');
            }
            PartType::Html(text) => html = html.or(Some(text)),
            PartType::Binary(_)
            | PartType::InlineBinary(_)
            | PartType::Message(_)
            | PartType::Multipart(_) => {}
        }
    }
    let plain = fresh(&plain);
    if !plain.trim().is_empty() {
        return plain;
    }
    let html = html.or_else(|| {
        mail.html_bodies().find_map(|part| match &part.body {
            PartType::Html(text) => Some(&**text),
            PartType::Text(_)
            | PartType::Binary(_)
            | PartType::InlineBinary(_)
            | PartType::Message(_)
            | PartType::Multipart(_) => None,
        })
    });
    html.map(|html| fresh(&from_html(html))).unwrap_or_default()
}

/// Marks by which mail programs begin what they quote.
const QUOTES: [&str; 6] = [
    "<blockquote",
    "class=\"gmail_quote",
    "id=\"divrplyfwdmsg",
    "id=\"appendonsend",
    "class=\"moz-cite-prefix",
    "class=\"yahoo_quoted",
];

fn from_html(html: &str) -> String {
    let mut end = html.len().min(HTML);
    while !html.is_char_boundary(end) {
        end -= 1;
    }
    let html = &html[..end];
    let as_text = |html: &str| mail_parser::decoders::html::html_to_text(html);
    let lower = html.to_ascii_lowercase();
    let quoted = QUOTES.iter().filter_map(|mark| lower.find(mark)).min();
    // The mark may stand within a tag, which begins before it.
    let before =
        quoted.and_then(|at| html[..at].rfind('<').filter(|_| !lower[at..].starts_with('<')).or(Some(at)));
    match before.map(|at| as_text(&html[..at])) {
        Some(text) if !text.trim().is_empty() => text,
        Some(_) | None => as_text(html),
    }
}

fn attachments(mail: &Message<'_>) -> Vec<String> {
    mail.attachments()
        .take(20)
        .map(|part| words::one_line(part.attachment_name().unwrap_or("without a name"), 100))
        .collect()
}

fn bounce(mail: &Message<'_>) -> Kind {
    let mut addresses = Vec::new();
    let mut notice = None;
    for part in &mail.parts {
        if part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
        {
            addresses.extend(failed(&contents(part)));
        } else if let PartType::Message(ours) = &part.body {
            notice = notice.or_else(|| notice_of(header(ours, "x-drover-notice")?));
        } else if part.is_content_type("text", "rfc822-headers") {
            let text = contents(part);
            let found = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("x-drover-notice").then(|| value.trim().to_owned())
            });
            notice = notice.or_else(|| notice_of(&found?));
        }
    }
    if addresses.is_empty() {
        // It is late, or it tells of success.
        return Kind::Automatic { why: "it is a report of a delivery that has not failed" };
    }
    Kind::Bounce(Bounce { notice, addresses })
}

fn contents(part: &MessagePart<'_>) -> String {
    String::from_utf8_lossy(part.contents()).into_owned()
}

fn notice_of(text: &str) -> Option<NoticeId> {
    text.trim().parse().ok()
}

/// The recipients of a delivery status (RFC 3464) that will never get it.
fn failed(status: &str) -> Vec<Bounced> {
    let blocks = status.replace("\r\n", "\n");
    let field = |block: &str, name: &str| {
        let unfolded = block.replace("\n ", " ").replace("\n\t", " ");
        unfolded
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    };
    // `rfc822; ada@acme.example`
    let untyped =
        |value: String| value.split_once(';').map_or(value.clone(), |(_, rest)| rest.trim().to_owned());
    blocks
        .split("\n\n")
        .filter(|block| field(block, "action").is_some_and(|action| action.eq_ignore_ascii_case("failed")))
        .filter_map(|block| {
            let address = field(block, "original-recipient").or_else(|| field(block, "final-recipient"))?;
            let why = field(block, "diagnostic-code").map(untyped).or_else(|| field(block, "status"));
            Some(Bounced {
                address: words::one_line(&untyped(address), 200),
                why: words::one_line(&why.unwrap_or_else(|| "no reason was given".to_owned()), 300),
            })
        })
        .take(20)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "From: Ada <ada@acme.example>\r\nTo: reply+DR-1001.0123456789abcdef01234567@cloud.example\r\n\
         Subject: Re: x\r\nMessage-ID: <1@acme.example>\r\n";

    fn read(text: &str) -> Incoming {
        Incoming::read(text.as_bytes()).expect("a mail")
    }

    fn words_of(more: &str) -> (String, Vec<String>) {
        match read(&format!("{HEAD}{more}")).kind {
            Kind::Words { text, attachments } => (text, attachments),
            other => panic!("{more}: {other:?}"),
        }
    }

    #[test]
    fn the_ticket_is_claimed_by_an_address_before_a_reference() {
        let mail = read(
            "Delivered-To: reply+dr-7.0123456789ABCDEF01234567@cloud.example\r\nTo: \"Reply\" <reply+DR-8.0123456789abcdef01234567@cloud.example>\r\n\
             From: x@y.example\r\nReferences: <ticket.1@cloud.example>\r\n <DR-9.0123456789abcdef01234567@cloud.example>\r\n\r\nok",
        );
        let numbers: Vec<&str> = mail.claims.iter().map(|claim| claim.number.as_str()).collect();
        assert_eq!(numbers, ["DR-7", "DR-8", "DR-9"]);
        assert_eq!(mail.from, "x@y.example");
    }

    #[test]
    fn words_are_found_in_text_and_in_html_and_in_any_charset() {
        for (more, text) in [
            ("\r\naccept\r\n", "accept"),
            ("Content-Type: text/plain; charset=iso-8859-1\r\n\r\nf\u{fc}r", "f\u{fc}r"),
            (
                "Content-Type: text/plain; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n\r\nk4yLng==\r\n",
                "東京",
            ),
            (
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nf=C3=BCr\r\n",
                "für",
            ),
            ("Content-Type: text/plain; charset=no-such-charset\r\n\r\naccept", "accept"),
            (
                "Content-Type: text/html\r\n\r\n<style>p{}</style><p>accept</p><script>now</script><blockquote>now</blockquote>",
                "accept",
            ),
            (
                "Content-Type: text/html\r\n\r\n<div>accept</div><div class=\"gmail_quote\">now</div>",
                "accept",
            ),
            (
                "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\naccept\r\n--b\r\n\
                 Content-Type: text/html\r\n\r\n<p>now</p>\r\n--b--\r\n",
                "accept",
            ),
            (
                "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n \r\n--b\r\n\
                 Content-Type: text/html\r\n\r\n<p>accept</p>\r\n--b--\r\n",
                "accept",
            ),
        ] {
            let raw: Vec<u8> = if more.contains("iso-8859-1") {
                format!("{HEAD}{more}")
                    .chars()
                    .map(|c| u8::try_from(u32::from(c)).expect("Latin 1"))
                    .collect()
            } else {
                format!("{HEAD}{more}").into_bytes()
            };
            let found = Incoming::read(&raw).expect("a mail").kind;
            assert_eq!(found, Kind::Words { text: text.to_owned(), attachments: Vec::new() }, "{more}");
        }
    }

    #[test]
    fn attachments_are_named_and_not_read() {
        let (text, attachments) = words_of(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee there\r\n--b\r\n\
             Content-Type: application/octet-stream; name=\"a\r\n\tb.exe\"\r\nContent-Disposition: attachment\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nTVo=\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n",
        );
        assert_eq!(text, "see there");
        assert_eq!(attachments, ["a b.exe", "without a name"]);
    }

    #[test]
    fn machines_are_told_from_people() {
        for head in [
            "Auto-Submitted: auto-replied\r\n",
            "Auto-Submitted: auto-generated (vacation)\r\n",
            "Auto-submitted: AUTO-NOTIFIED; owner=x\r\n",
            "X-Auto-Response-Suppress: All\r\n",
            "Precedence: bulk\r\n",
            "X-Autoreply: yes\r\n",
            "Return-Path: <>\r\n",
            "List-Id: <all.acme.example>\r\n",
            "X-Drover-Notice: 00000000-0000-0000-0000-00000000002a\r\n",
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n",
        ] {
            let mail = read(&format!("{head}{HEAD}\r\naccept"));
            assert!(matches!(mail.kind, Kind::Automatic { .. }), "{head}: {mail:?}");
        }
        let person =
            read(&format!("Return-Path: <ada@acme.example>\r\nAuto-Submitted: no\r\n{HEAD}\r\naccept"));
        assert!(matches!(person.kind, Kind::Words { .. }), "{person:?}");
    }

    fn report(action: &str, last: &str) -> Kind {
        read(&format!(
            "Return-Path: <>\r\n{HEAD}Content-Type: multipart/report; report-type=\"delivery-status\"; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nnow\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.acme.example\r\n\r\nFinal-Recipient: rfc822; ada@acme.example\r\nAction: {action}\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp; 550 5.1.1\r\n No such user\r\n\r\n--b\r\n{last}\r\n--b--\r\n"
        ))
        .kind
    }

    #[test]
    fn a_bounce_tells_which_mail_and_which_address() {
        let notice = "00000000-0000-0000-0000-00000000002a";
        for last in [
            format!(
                "Content-Type: message/rfc822\r\n\r\nX-Drover-Notice: {notice}\r\nSubject: x\r\n\r\nHello"
            ),
            format!("Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\nX-Drover-Notice: {notice}\r\n"),
        ] {
            let Kind::Bounce(bounce) = report("failed", &last) else { panic!("a bounce") };
            assert_eq!(bounce.notice.map(|id| id.to_string()).as_deref(), Some(notice), "{last}");
            let why = "550 5.1.1 No such user".to_owned();
            assert_eq!(bounce.addresses, [Bounced { address: "ada@acme.example".to_owned(), why }]);
        }
        assert!(matches!(report("delayed", ""), Kind::Automatic { .. }));
        assert!(matches!(report("failed", ""), Kind::Bounce(Bounce { notice: None, .. })));
    }

    #[test]
    fn the_same_mail_has_the_same_key_whatever_way_it_came() {
        let one = read(&format!("Received: by a\r\n{HEAD}\r\naccept")).key;
        assert_eq!(read(&format!("Received: by b\r\n{HEAD}\r\naccept")).key, one);
        assert_ne!(read(&format!("{}\r\naccept", HEAD.replace("<1@", "<2@"))).key, one);
        let bare = HEAD.replace("Message-ID", "X-Id");
        let without = read(&format!("Received: by a\r\n{bare}\r\naccept")).key;
        assert_eq!(read(&format!("Received: by b\r\n{bare}\r\naccept")).key, without);
        assert_ne!(read(&format!("{bare}\r\naccept.")).key, without);
    }

    #[test]
    fn a_hostile_mail_is_read_or_refused_and_breaks_nothing() {
        let nested = |kind: &str, depth: usize| {
            let mut text = HEAD.to_owned();
            for level in 0..depth {
                text.push_str(&format!("Content-Type: {kind}; boundary=b{level}\r\n\r\n--b{level}\r\n"));
            }
            text + "\r\naccept"
        };
        for kind in ["multipart/mixed", "message/rfc822", "multipart/digest"] {
            Incoming::read(nested(kind, 400).as_bytes()).expect("still read");
            assert_eq!(
                Incoming::read(nested(kind, 100_000).as_bytes()),
                Err(Unreadable::TooManyParts),
                "{kind}"
            );
        }
        let html = |text: String| words_of(&format!("Content-Type: text/html\r\n\r\n{text}")).0;
        assert_eq!(html(format!("accept{}", "<div>".repeat(200_000))), "accept");
        assert!(html("<table><tr><td>&nbsp;".repeat(100_000)).chars().count() <= TEXT);
        assert_eq!(words_of(&format!("\r\n{}", "a".repeat(3_000_000))).0.chars().count(), TEXT);
        let lines = words_of(&format!("\r\n{}accept", "On x wrote:\n> y\n".repeat(10_000))).0;
        assert_eq!(lines, "accept");
        for raw in [&b""[..], b"\0\0\0", b"\r\n", b"no header at all"] {
            let _ = Incoming::read(raw);
        }
        let injected = read(
            "From: =?utf-8?q?a=0D=0ABcc:_x@y?= <\"a\\\r\n b\"@x>\r\nSubject: =?utf-8?q?a=0D=0AX-Drover-Notice:_1?=\r\n\r\naccept",
        );
        assert!(
            matches!(injected.kind, Kind::Words { .. }) && !injected.from.contains(['\r', '\n']),
            "{injected:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Incoming::read(&bytes);
        }

        #[test]
        fn no_pieces_of_mails_break_it(pieces in prop::collection::vec(prop::sample::select(vec![
            "From: a@b\r\n", "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
            "--b\r\n", "--b--\r\n", "\r\n", "Content-Type: message/rfc822\r\n", "Content-Type: message/delivery-status\r\n", "Action: failed\r\n",
            "Final-Recipient: rfc822;\r\n", "Content-Type: text/html; charset=utf-7\r\n", "<blockquote", "Content-Transfer-Encoding: base64\r\n", "=?", "?=",
            "Message-ID: <\r\n", "accept", "\u{e9}", ";", "\"", "(", "\\",
        ]), 0..20)) {
            let _ = Incoming::read(pieces.concat().as_bytes());
        }
    }
}
