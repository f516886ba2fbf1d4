//! A store out of a backup. Nothing of it is served before everything that ended since has ended in it too.
//!
//! The slots decide: their newest copy belongs to whichever copy of the records. What was shredded since
//! then does not open; what was blocked is blocked again by the list beside them. Waiting mail is held,
//! because nobody can tell any more which of it was relayed after the mark.
//!
//! The store is not usable until the last step is done: a marker lies in it, and a restore that was stopped
//! begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::set::{self, Manifest};
use super::{BLOCKED, RING, SLOTS, clear};
use crate::config::Configuration;
use crate::crypto::{Kek, KeyRing};
use crate::gateway::{Failed, stores};
use crate::queue;
use crate::store::blobs::DirectoryBlobs;
use crate::store::redb::RedbRecords;
use crate::store::slots::FileSlots;
use crate::store::{Fault, SealedRecords, SlotNo, Slots};
use crate::vault::{Blocked, CaughtUp, ParcelId, Vault};

/// What is restored, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// A whole backup.
    pub backup: PathBuf,
    /// The newest copy of the slots; absent is the one in the backup.
    pub slots: Option<PathBuf>,
    /// What is done when the slots are older than a day.
    pub old_slots: OldSlots,
    /// What becomes of waiting mail.
    pub queue: Waiting,
}

/// Slots older than a day may open what was shredded since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldSlots {
    /// Not restored.
    Refused,
    /// The operator takes that on.
    Accepted,
}

/// Mail that waited at the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Until the operator sends or drops it.
    Held,
    /// It may arrive a second time.
    Sent,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Everything acknowledged before this is there.
    pub mark: Timestamp,
    /// When the slots were copied.
    pub slots: Timestamp,
    /// Entries that are held.
    pub held: usize,
    /// What has ended since.
    pub caught_up: CaughtUp,
}

/// Restores into the store of this configuration, which must be empty.
pub fn restore(order: &Order, configuration: &Configuration, now: Timestamp) -> Result<Restored, Failed> {
    let kek = Kek::read(&configuration.path(&configuration.store.kek))?;
    let ring = KeyRing::read(&order.backup.join(RING), &kek)?;
    let key = ring.root(set::PURPOSE);
    let whole = Manifest::read(&order.backup, &key)?;
    let slots_from = order.slots.clone().unwrap_or_else(|| order.backup.join(SLOTS));
    let slots = Manifest::read(&slots_from, &key)?;
    if whole.part != "whole" || slots.part != "slots" {
        return Err(Failed(String::from("a whole backup is restored, with a copy of slots: one of the two is something else")));
    }
    judge(order, (&whole, &slots), now)?;
    let directory = configuration.path(&configuration.store.directory);
    let marker = begin(&directory)?;
    place_ring(order, configuration, (&ring, &kek))?;
    set::unpack(&order.backup, &directory)?;
    fs::remove_file(directory.join(RING))?;
    set::unpack(&slots_from, &directory)?;
    let (held, caught_up) = settle(order, &directory, ring)?;
    rustix::fs::syncfs(File::open(&directory)?).map_err(std::io::Error::from)?;
    fs::remove_file(&marker)?;
    File::open(&directory)?.sync_all()?;
    Ok(Restored { mark: whole.mark, slots: slots.mark, held, caught_up })
}

/// Whether these slots may bring these records back.
fn judge(order: &Order, (whole, slots): (&Manifest, &Manifest), now: Timestamp) -> Result<(), Failed> {
    let age = now.duration_since(slots.mark);
    let why = if slots.mark < whole.mark {
        format!("the slots of {:.0} are older than the records of {:.0}: what was sealed in between would not open", slots.mark, whole.mark)
    } else if age > SLOTS_AGE {
        format!("the slots are of {:.0}, {} hours ago: what was shredded since would open again", slots.mark, age.as_hours())
    } else {
        return Ok(());
    };
    match order.old_slots {
        OldSlots::Accepted => Ok(()),
        OldSlots::Refused => {
            Err(Failed(format!("{why}\n    --slots names a newer copy; --old-slots restores with this one. Nothing was changed")))
        }
    }
}

/// An empty store with the marker in it, or what a restore left that was stopped, cleared.
fn begin(directory: &Path) -> Result<PathBuf, Failed> {
    stores::private(directory)?;
    let marker = directory.join(stores::RESTORING);
    let unfinished = marker.exists();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !unfinished {
            return Err(Failed(format!(
                "{}: holds a store already; nothing was changed\n    move it away, a restore wants an empty one",
                directory.display()
            )));
        }
        if entry.path() == marker {
            continue;
        }
        if entry.file_type()?.is_dir() { clear(&entry.path())? } else { fs::remove_file(entry.path())? }
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&marker)?;
    file.write_all(b"a restore has not finished\n")?;
    file.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(marker)
}

/// The ring at its place; one that is there must be the same.
fn place_ring(order: &Order, configuration: &Configuration, (ring, kek): (&KeyRing, &Kek)) -> Result<(), Failed> {
    let path = configuration.path(&configuration.store.ring);
    if !path.exists() {
        return Ok(ring.write(&path, kek)?);
    }
    let there = KeyRing::read(&path, kek)?;
    if there.root(set::PURPOSE).expose() == ring.root(set::PURPOSE).expose() {
        return Ok(());
    }
    Err(Failed(format!(
        "{}: another key ring than that of {}\n    move it away, or restore the backup that belongs to it",
        path.display(),
        order.backup.display()
    )))
}

/// What has ended since the mark ends, and what waits is held, before anybody opens this store.
fn settle(order: &Order, directory: &Path, ring: KeyRing) -> Result<(usize, CaughtUp), Failed> {
    let records = RedbRecords::open(&directory.join(stores::RECORDS))?;
    let records = SealedRecords::new(Arc::new(records), Arc::new(ring));
    records.check_or_initialise()?;
    let slots = Arc::new(FileSlots::open(&directory.join(stores::PARCEL_SLOTS))?);
    let blobs = Arc::new(DirectoryBlobs::open(&directory.join(stores::PARCELS))?);
    let lives = |slot: SlotNo| slots.lives(slot);
    let vault = Vault::new(records.clone(), blobs, Arc::clone(&slots) as Arc<dyn Slots>);
    let caught_up = vault.catch_up(&blocked(&directory.join(BLOCKED))?, &lives)?;
    fs::remove_file(directory.join(BLOCKED))?;
    let held = match order.queue {
        Waiting::Held => queue::hold_all(&records)?,
        Waiting::Sent => 0,
    };
    Ok((held, caught_up))
}

/// The list that lies with the slots.
fn blocked(path: &Path) -> Result<Vec<Blocked>, Failed> {
    let parse = |line: &str| {
        let (id, since) = line.split_once(' ')?;
        let id = data_encoding::HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok()?;
        Some(Blocked { parcel: ParcelId(id), since: Timestamp::from_second(since.parse().ok()?).ok()? })
    };
    let unreadable = |line: &str| Fault(format!("{}: \"{line}\" is no line of ours", path.display()));
    let text = fs::read_to_string(path)?;
    Ok(text.lines().map(|line| parse(line).ok_or_else(|| unreadable(line))).collect::<Result<_, _>>()?)
}

/// Older slots may hold what was shredded since: the promise is a day.
const SLOTS_AGE: SignedDuration = SignedDuration::from_hours(24);
