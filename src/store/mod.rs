//! Records, blobs, slots: three small traits, so that one machine and many run the same code.
//!
//! Everything that lies in a store is sealed before it gets here; keys of records hold only random
//! ids, keyed digests and times. All calls block: they are made off the I/O threads.

pub mod blobs;
pub mod records;
pub mod redb;
pub mod sealed;
pub mod slots;

pub use blobs::{BlobId, BlobWriter, Blobs};
pub use records::{Check, Conflict, Records, Snapshot, Write};
pub use sealed::SealedRecords;
pub use slots::{FreshSlot, SlotNo, Slots};

/// Our own trouble: a disk, a database. The log gets the text, a peer never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
