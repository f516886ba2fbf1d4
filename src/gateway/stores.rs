//! Keys and stores, opened in the order in which they depend on each other.
//!
//! A store without its key, or a key that is not the store's, ends the start: nothing is ever made
//! anew over data that exists.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{Failed, backup};
use crate::config::Configuration;
use crate::crypto::ring::Found;
use crate::crypto::{Kek, KeyRing};
use crate::event::{self, Event};
use crate::store::slots::FileSlots;
use crate::store::{Blobs, Fault, SealedRecords, SlotNo, blobs::DirectoryBlobs, redb::RedbRecords};

/// Everything that outlives the process.
pub struct Opened {
    /// Records, their values sealed.
    pub records: SealedRecords,
    /// Parcels' octets.
    pub parcels: Arc<dyn Blobs>,
    /// Parcels' slots.
    pub parcel_slots: Arc<FileSlots>,
    /// Waiting mail's octets.
    pub spool: Arc<dyn Blobs>,
    /// Waiting mail's slots.
    pub spool_slots: Arc<FileSlots>,
}

impl Opened {
    /// Opens all of it below the store's directory.
    pub fn open(configuration: &Configuration) -> Result<Self, Failed> {
        let directory = configuration.path(&configuration.store.directory);
        private(&directory)?;
        if directory.join(RESTORING).exists() {
            let shown = directory.display();
            return Err(Failed(format!(
                "{shown}: a restore has not finished here\n    `waxseal restore` begins it anew; nothing is served before"
            )));
        }
        backup::clear(&directory.join(backup::STAGE))?;
        let (ring, found) = ring(configuration)?;
        if found == Found::Beside {
            event::emit(&Event::Upkeep { what: "keys", result: UNFINISHED });
        }
        let records = SealedRecords::new(Arc::new(RedbRecords::open(&directory.join(RECORDS))?), Arc::new(ring));
        records.check_or_initialise()?;
        Ok(Self {
            records,
            parcels: Arc::new(DirectoryBlobs::open(&directory.join(PARCELS))?),
            parcel_slots: Arc::new(FileSlots::open(&directory.join(PARCEL_SLOTS))?),
            spool: Arc::new(DirectoryBlobs::open(&directory.join(SPOOL))?),
            spool_slots: Arc::new(FileSlots::open(&directory.join(SPOOL_SLOTS))?),
        })
    }
}

/// Frees the slots that a process which died had taken and nobody holds. What the holder cannot tell
/// for certain is left as it is: a lost slot costs 32 octets, a wrong one somebody's mail.
pub fn reconcile(slots: &FileSlots, held: Result<Vec<SlotNo>, Fault>) {
    match held.and_then(|held| slots.retain(held)) {
        Ok(0) => {}
        Ok(freed) => event::emit(&Event::Upkeep { what: "slots", result: &format!("{freed} that nobody holds are free again") }),
        Err(fault) => event::emit(&Event::Trouble { place: "slots", fault: &fault.0 }),
    }
}

/// The key ring, opened with the key-encryption key.
pub fn ring(configuration: &Configuration) -> Result<(KeyRing, Found), Failed> {
    let kek = Kek::read(&configuration.path(&configuration.store.kek))?;
    Ok(KeyRing::find(&configuration.path(&configuration.store.ring), &kek)?)
}

/// What is said where the new key is in force and the old ring is still in its place.
pub const UNFINISHED: &str = "the new key is in force: `waxseal keys rotate` ends the rotation";

/// A directory that nobody else may look into.
pub(super) fn private(directory: &Path) -> Result<(), Failed> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mode = fs::metadata(directory)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let shown = directory.display();
        return Err(Failed(format!("{shown}: readable by others (mode {mode:04o})\n    chmod 700 {shown}")));
    }
    Ok(())
}

/// Names within the store's directory.
pub(super) const RESTORING: &str = "restoring";
pub(super) const RECORDS: &str = "records.redb";
pub(super) const PARCELS: &str = "parcels";
pub(super) const PARCEL_SLOTS: &str = "parcels.slots";
pub(super) const SPOOL: &str = "spool";
pub(super) const SPOOL_SLOTS: &str = "spool.slots";
