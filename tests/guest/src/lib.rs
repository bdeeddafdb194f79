//! What a lab guest writes on its disks: the one side writes it in the guest, the other reads it out of the image.

mod record;

pub use record::{RECORD, Reading, Record, read};
