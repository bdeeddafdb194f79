//! What a hook writes, in bounds: the beginning, which says what it is about to do, and the end, which says why it failed.

use std::collections::VecDeque;

use drover_policies::hooks::HookOutput;

/// Kept of the beginning, in bytes.
const HEAD: usize = 16 << 10;

/// Kept of the end, in bytes.
const TAIL: usize = 48 << 10;

/// The longest line that is shown while it runs, in characters.
const LONGEST_LINE: usize = 200;

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        let last = &rest[rest.len().saturating_sub(TAIL)..];
        let too_many = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..too_many);
        self.tail.extend(last);
        self.dropped += (rest.len() - last.len() + too_many) as u64;
    }

    /// How much has come, in bytes.
    pub(super) fn came(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.dropped
    }

    /// Fit to be stored and shown: what is no UTF-8 is replaced, and so are characters that would steer a terminal.
    pub(super) fn text(&self) -> HookOutput {
        let (front, back) = self.tail.as_slices();
        let text = if self.dropped == 0 {
            readable(&[&self.head, front, back].concat())
        } else {
            let left_out = format!("\n[… {} bytes are left out here …]\n", self.dropped);
            readable(&self.head) + &left_out + &readable(&[front, back].concat())
        };
        HookOutput { text, dropped_bytes: self.dropped }
    }
}

fn readable(bytes: &[u8]) -> String {
    // Progress bars go back to the beginning of their line.
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// The last line that says anything.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST_LINE).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hundred_megabytes_leave_the_beginning_and_the_end() {
        let mut output = Output::default();
        output.push(b"begun\n");
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            output.push(&chunk);
        }
        output.push(b"\nthe disk is full\n");
        let told = output.text();
        assert!(told.text.starts_with("begun\nxxx") && told.text.ends_with("x\nthe disk is full\n"));
        let came = 6 + (100 << 20) + 18;
        assert_eq!(told.dropped_bytes, came - (HEAD + TAIL) as u64);
        assert!(told.text.contains(&format!("[… {} bytes are left out here …]", told.dropped_bytes)));
        assert!(told.text.len() < HEAD + TAIL + 100);
    }

    #[test]
    fn what_is_no_text_can_be_stored_and_shown_all_the_same() {
        let mut output = Output::default();
        output.push(b"a\0b\xff\x1b[31mred\r\n10%\r20%\n");
        let told = output.text().text;
        assert_eq!(told, "a\u{fffd}b\u{fffd}\u{fffd}[31mred\n10%\n20%\n");
        assert_eq!(last_line(&told).as_deref(), Some("20%"));
        assert_eq!(last_line(" \n\n"), None);
        assert_eq!(last_line(&"y".repeat(1000)).map(|line| line.len()), Some(LONGEST_LINE));
    }

    proptest! {
        /// However it is cut in pieces, the same is kept of it.
        #[test]
        fn pieces_make_no_difference(pieces in prop::collection::vec(0_usize..40_000, 0..8)) {
            let all: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|n| b'a' + (n % 23) as u8).collect();
            let (mut cut, mut whole) = (Output::default(), Output::default());
            let mut rest = all.as_slice();
            for piece in pieces {
                let (next, after) = rest.split_at(piece);
                cut.push(next);
                rest = after;
            }
            whole.push(&all);
            prop_assert_eq!(cut.text(), whole.text());
            prop_assert_eq!(whole.dropped as usize, all.len().saturating_sub(HEAD + TAIL));
        }
    }
}
