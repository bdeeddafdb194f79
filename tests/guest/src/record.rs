//! The records of a ring: lines of one length, each with a check of its own, so that half a record is no record.

/// Bytes of one record, its line feed included.
pub const RECORD: usize = 64;

/// What a record holds. The newest one is the one with the highest number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// Counts the beats, over all boots; 0 before the first.
    pub number: u64,
    /// The collector's clock in its last answer before this beat, in ms; 0 if there was none yet.
    pub answered: u64,
    /// The largest distance of two answers since the measure was reset, less the beat, in ms.
    pub gap: u64,
    /// Which reset of the measure this is; the collector counts them.
    pub epoch: u64,
    /// How often this guest has booted.
    pub boots: u64,
}

impl Record {
    /// As it stands in the ring: its fields, their CRC-32, and blanks up to the fixed length.
    #[must_use]
    pub fn to_line(self) -> String {
        let Self { number, answered, gap, epoch, boots } = self;
        let fields = format!("{number} {answered} {gap} {epoch} {boots}");
        let text = format!("{fields} {:08x}", crc32fast::hash(fields.as_bytes()));
        format!("{text:<width$}\n", width = RECORD - 1)
    }

    /// Nothing if it is no record, or not as it was written.
    #[must_use]
    pub fn from_line(line: &[u8]) -> Option<Self> {
        let (fields, check) = std::str::from_utf8(line).ok()?.trim_end().rsplit_once(' ')?;
        if u32::from_str_radix(check, 16) != Ok(crc32fast::hash(fields.as_bytes())) {
            return None;
        }
        let mut fields = fields.split(' ').map(|field| field.parse().ok());
        let mut next = || fields.next().flatten();
        Some(Self { number: next()?, answered: next()?, gap: next()?, epoch: next()?, boots: next()? })
    }
}

/// What a ring holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its records, in the order of their places.
    pub records: Vec<Record>,
    /// How many places hold something that is neither a record nor blank.
    pub damaged: usize,
}

impl Reading {
    /// The record with the highest number.
    #[must_use]
    pub fn newest(&self) -> Option<Record> {
        self.records.iter().copied().max_by_key(|record| record.number)
    }
}

/// Reads all of a ring.
#[must_use]
pub fn read(ring: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for line in ring.chunks_exact(RECORD) {
        match Record::from_line(line) {
            Some(record) => reading.records.push(record),
            None if line.iter().all(u8::is_ascii_whitespace) => {}
            None => reading.damaged += 1,
        }
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Record =
        Record { number: 123_456_789, answered: 1_234_567_890_123, gap: 86_400_000, epoch: 99, boots: 7 };

    #[test]
    fn a_record_survives_its_line_form_and_the_line_has_the_fixed_length() {
        let line = LONGEST.to_line();
        assert_eq!(line.len(), RECORD);
        assert_eq!(Record::from_line(line.as_bytes()), Some(LONGEST));
    }

    #[test]
    fn blank_places_are_blank_and_changed_ones_are_damaged() {
        let mut ring = vec![b'\n'; 4 * RECORD];
        ring[RECORD..2 * RECORD].copy_from_slice(LONGEST.to_line().as_bytes());
        ring[2 * RECORD..3 * RECORD].copy_from_slice(LONGEST.to_line().as_bytes());
        ring[2 * RECORD + 3] ^= 1;
        let reading = read(&ring);
        assert_eq!((reading.newest(), reading.records.len(), reading.damaged), (Some(LONGEST), 1, 1));
    }
}
