//! What somebody wrote himself: without what he quoted, without the head of the mail that he answered, without his signature.
//!
//! Mail programs have no common form for any of this. What is known of them is cut; what is not known stays and is read by people.
//! Cutting too little makes a command unclear, which is asked back; cutting too much would lose somebody's words.

/// The longest text that is looked through; a person's answer stands at its beginning or after one mail of ours.
const LONGEST: usize = 200_000;

/// What stands in the line before a quoted mail, which ends in a colon: `On Tuesday, Example Cloud wrote:`.
const WROTE: [&str; 14] = [
    "wrote",
    "writes",
    "schrieb",
    "geschrieben",
    "a écrit",
    "escribió",
    "ha scritto",
    "schreef",
    "escreveu",
    "napisał",
    "napsal",
    "skrev",
    "kirjoitti",
    "írta",
];

/// How such a line begins.
const ON: [&str; 12] =
    ["on ", "am ", "le ", "el ", "il ", "op ", "em ", "den ", "dnia ", "w dniu ", "dne ", "på "];

/// Lines after which nothing is fresh.
const SEPARATORS: [&str; 9] = [
    "-----original message-----",
    "----- original message -----",
    "-----ursprüngliche nachricht-----",
    "-----message d'origine-----",
    "-----mensaje original-----",
    "-------- original message --------",
    "---------- forwarded message ---------",
    "begin forwarded message:",
    "-------- forwarded message --------",
];

/// First words of the head of a quoted mail, as Outlook writes it, with those that follow within the next lines.
const HEADS: [(&str, [&str; 2]); 7] = [
    ("from:", ["sent:", "date:"]),
    ("von:", ["gesendet:", "datum:"]),
    ("de :", ["envoyé :", "date :"]),
    ("de:", ["enviado:", "envoyé:"]),
    ("da:", ["inviato:", "data:"]),
    ("van:", ["verzonden:", "datum:"]),
    ("från:", ["skickat:", "datum:"]),
];

/// Lines that programs add to what their users write.
const ADVERTS: [&str; 9] = [
    "sent from my ",
    "get outlook for ",
    "von meinem ",
    "gesendet mit ",
    "gesendet von ",
    "envoyé de mon ",
    "enviado desde mi ",
    "sent from outlook",
    "sent with ",
];

/// The fresh text of an answer.
#[must_use]
pub fn fresh(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let lines: Vec<&str> = text[..end].lines().map(str::trim_end).collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if ends_all(&lines, at) {
            break;
        }
        if let Some(after) = attribution(&lines, at) {
            // Some quote without marks; then nothing below can be told from it.
            if !lines[after..].iter().find(|line| !line.is_empty()).is_some_and(|line| is_quoted(line)) {
                break;
            }
            at = after;
            continue;
        }
        if !is_quoted(lines[at]) {
            kept.push(lines[at]);
        }
        at += 1;
    }
    kept.join("\n").trim_matches('\n').trim_end().to_owned()
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// A signature, a separator, the head of a quoted mail, or an advertisement begins here.
fn ends_all(lines: &[&str], at: usize) -> bool {
    let line = lines[at].trim().to_lowercase();
    let rule = line.len() >= 20 && line.chars().all(|c| c == '_');
    lines[at] == "--"
        || line == "-- "
        || line == "—"
        || rule
        || SEPARATORS.contains(&line.as_str())
        || ADVERTS.iter().any(|advert| line.starts_with(advert)) && line.chars().count() < 80
        || is_head(lines, at, &line)
}

/// The lines of a head stand together; what is quoted between them is not there once it is cut.
fn is_head(lines: &[&str], at: usize, line: &str) -> bool {
    let bare = |line: &str| line.trim().trim_start_matches('*').to_lowercase();
    let line = line.trim_start_matches('*');
    let next = || lines[at + 1..].iter().filter(|next| !is_quoted(next)).take_while(|next| !next.is_empty());
    HEADS
        .iter()
        .filter(|(first, _)| line.starts_with(first))
        .any(|(_, second)| next().take(4).any(|next| second.iter().any(|word| bare(next).starts_with(word))))
}

/// `On …, … wrote:`, over up to four lines; answers where it ends.
fn attribution(lines: &[&str], at: usize) -> Option<usize> {
    let begins = ON.iter().any(|on| lines[at].trim().to_lowercase().starts_with(on));
    let mut said = String::new();
    (at..lines.len().min(at + 4)).take_while(|line| !lines[*line].trim().is_empty()).find_map(|line| {
        said.push_str(&lines[line].trim().to_lowercase());
        said.push(' ');
        let ends = lines[line].ends_with(':') && WROTE.iter().any(|wrote| said.contains(wrote));
        // Where it stands alone, it is known by an address or by the quote after it.
        let quote_follows =
            || lines[line + 1..].iter().find(|next| !next.is_empty()).is_some_and(|next| is_quoted(next));
        (ends && (begins || line == at && (said.contains('@') || quote_follows()))).then_some(line + 1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_mail_programs_add_is_cut() {
        for (program, text) in [
            ("plain", "accept\n"),
            (
                "Gmail",
                "accept\n\nOn Tue, Nov 24, 2026 at 3:00 AM Example Cloud <maintenance@cloud.example>\nwrote:\n\n> Hello Ada,\n>\n> your server\n",
            ),
            (
                "Thunderbird",
                "accept\n\nOn 24/11/2026 03:00, Example Cloud wrote:\n> Hello Ada,\n\n-- \nAda Lovelace\nAcme\n",
            ),
            (
                "Apple Mail",
                "accept\n\nSent from my iPhone\n\n> On 24 Nov 2026, at 03:00, Example Cloud <m@cloud.example> wrote:\n> \n> Hello\n",
            ),
            (
                "Outlook",
                "accept\n\n________________________________\nFrom: Example Cloud <m@cloud.example>\nSent: Tuesday, 24 November 2026 03:00\nTo: Ada\nSubject: x\n\nHello Ada,\n",
            ),
            (
                "Outlook without a rule",
                "accept\n\nFrom: Example Cloud\nSent: Tuesday\nTo: Ada\n\nHello Ada,\nnow\n",
            ),
            ("old Outlook", "accept\r\n\r\n-----Original Message-----\r\nFrom: Example Cloud\r\nHello\r\n"),
            (
                "German Outlook",
                "accept\n\nVon: Example Cloud\nGesendet: Dienstag, 24. November 2026\nAn: Ada\n\nHello\n",
            ),
            ("German Thunderbird", "accept\n\nAm 24.11.26 um 03:00 schrieb Example Cloud:\n> Hello\n"),
            (
                "German Gmail",
                "accept\n\nAm Di., 24. Nov. 2026 um 03:00 Uhr schrieb Example Cloud <\nm@cloud.example>:\n\n> Hello\n",
            ),
            ("answered below", "On Tue, Example Cloud wrote:\n> Hello Ada,\n> When   Tuesday\n\naccept\n"),
            ("mutt", "* Example Cloud <m@cloud.example> wrote:\n> Hello\n\naccept\n\n--\nAda\n"),
            (
                "without marks",
                "accept\n\nOn 24 Nov 2026, at 03:00, Example Cloud <m@cloud.example> wrote:\n\nHello Ada,\nyou may answer now\n",
            ),
            ("forwarded", "accept\n\n---------- Forwarded message ---------\nFrom: x\n"),
        ] {
            assert_eq!(fresh(text), "accept", "{program}");
        }
    }

    #[test]
    fn a_persons_own_lines_stay() {
        for text in [
            "On Friday I am away.\nCan it be Monday?",
            "From: my point of view it is fine.",
            "I wrote:\nnothing",
            "From: here on\n\nSent: nothing yet",
            "a -- b\n- one\n- two",
        ] {
            assert_eq!(fresh(text), text);
        }
        assert_eq!(fresh("one\n> quoted\ntwo"), "one\ntwo");
    }

    proptest! {
        #[test]
        fn every_line_that_stays_was_written_and_none_of_them_is_quoted(lines in prop::collection::vec("[>a-z: \\-_@]{0,12}|On .{0,10} wrote:|From: x|Sent: y", 0..12)) {
            let text = lines.join("\n");
            let kept = fresh(&text);
            for line in kept.lines() {
                prop_assert!(text.lines().any(|written| written.trim_end() == line));
                prop_assert!(!line.trim_start().starts_with('>'));
            }
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,300}") {
            let _ = fresh(&text);
        }
    }
}
