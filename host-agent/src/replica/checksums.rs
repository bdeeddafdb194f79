//! Checksums of a disk by chunks, so that only what differs is sent.

use super::nbd::{Held, NbdError, Reader};
use super::wire::{CHECKSUM_BYTES, Checksums, LARGEST_CHUNK, LARGEST_RANGE, SMALLEST_CHUNK};

/// Why there are no checksums.
#[derive(Debug, thiserror::Error)]
pub enum ChecksumError {
    /// The question makes no sense.
    #[error("{field} is {given}; {advice}")]
    Question {
        /// Which part of it.
        field: &'static str,
        /// What was given.
        given: u64,
        /// What would be right.
        advice: &'static str,
    },
    /// The disk can't be read.
    #[error(transparent)]
    Nbd(#[from] NbdError),
}

/// Reads a part of a disk; one checksum for each chunk, one after the other.
pub(super) fn checksums(reader: &mut Reader, asked: &Checksums) -> Result<Vec<u8>, ChecksumError> {
    let question = |field, given, advice| Err(ChecksumError::Question { field, given, advice });
    if !(SMALLEST_CHUNK..=LARGEST_CHUNK).contains(&asked.chunk) {
        return question("chunk", asked.chunk, "take 64 KiB to 16 MiB");
    }
    if asked.length > LARGEST_RANGE {
        return question("length", asked.length, "ask for at most 1 GiB at a time");
    }
    let Some(end) = asked.offset.checked_add(asked.length).filter(|end| *end <= reader.size()) else {
        return question("offset", asked.offset, "stay within the disk");
    };
    let largest = usize::try_from(asked.chunk).unwrap_or(usize::MAX);
    let mut buffer = vec![0; largest];
    let empty = blake3::hash(&buffer);
    let mut found = Vec::new();
    let mut at = asked.offset;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(largest);
        let Some(part) = buffer.get_mut(..length) else { break };
        let checksum = match reader.read(at, part).map_err(NbdError::from)? {
            Held::Hole if length == largest => empty,
            Held::Hole => blake3::hash(part),
            Held::Data => {
                let checksum = blake3::hash(part);
                part.fill(0);
                checksum
            }
        };
        found.extend_from_slice(checksum.as_bytes());
        at += asked.chunk;
    }
    debug_assert_eq!(found.len() % CHECKSUM_BYTES, 0);
    Ok(found)
}
