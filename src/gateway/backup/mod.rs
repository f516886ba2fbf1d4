//! Copies of the store while it runs, and the way back.
//!
//! A whole backup holds records, blobs and the sealed key ring of one moment, the mark: everything that was
//! acknowledged before it. In its folder `slots` lie the slots, which can also be copied alone, and often,
//! because they are small: an overwritten slot is what makes content unreadable, so old copies of slots are
//! what would bring it back. Beside them lies the list of what is blocked. The key-encryption key is in no backup.

pub mod restore;
pub mod set;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{Failed, Gateway, stores};
use crate::event::{self, Event};
use crate::store::{Snapshot, blobs};
use set::{How, Manifest, Writer};

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Records, blobs, ring, slots.
    Whole,
    /// Slots and the list of what is blocked.
    Slots,
}

/// The one backup that is being made, or was made last.
#[derive(Debug, Clone, Default)]
pub enum Job {
    /// None since the start.
    #[default]
    None,
    /// One is being made.
    Running,
    /// The last is whole.
    Done(Manifest),
    /// The last is not, and why.
    Failed(String),
}

/// Everything of one moment, under second names within the store.
struct Staged {
    mark: Timestamp,
    records: Option<Snapshot>,
    place: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next backup, or at the next start.
        let _ = fs::remove_dir_all(&self.place);
    }
}

impl Gateway {
    /// Begins a backup into a directory that is empty or not there; its end is told by [`backed_up`](Self::backed_up).
    pub(super) fn begin_backup(self: &Arc<Self>, directory: PathBuf, part: Part) -> Result<(), Failed> {
        let mut job = self.job().lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*job, Job::Running) {
            return Err(Failed(String::from("a backup is being made already")));
        }
        *job = Job::Running;
        drop(job);
        let gateway = self.clone();
        let made = std::thread::Builder::new().name(String::from("backup")).spawn(move || {
            let made = gateway.back_up(&directory, part);
            match &made {
                Ok(manifest) => event::emit(&Event::Upkeep { what: "backup", result: &told(manifest) }),
                Err(Failed(why)) => event::emit(&Event::Trouble { place: "backup", fault: why }),
            }
            let ended = made.map_or_else(|Failed(why)| Job::Failed(why), Job::Done);
            *gateway.job().lock().unwrap_or_else(PoisonError::into_inner) = ended;
        });
        if let Err(error) = made {
            *self.job().lock().unwrap_or_else(PoisonError::into_inner) = Job::Failed(error.to_string());
        }
        Ok(())
    }

    /// How it stands.
    pub(super) fn backed_up(&self) -> Job {
        self.job().lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    const fn job(&self) -> &Mutex<Job> {
        &self.condition.job
    }

    fn back_up(&self, directory: &Path, part: Part) -> Result<Manifest, Failed> {
        let key = self.base.records.ring().root(set::PURPOSE);
        // The directory first: one that will not do is told before anything is copied.
        let mut writer = Writer::begin(directory)?;
        let mut staged = self.stage(part)?;
        let Some(records) = staged.records.take() else {
            add_slots(&mut writer, &staged.place)?;
            return writer.finish(&key, ("slots", staged.mark));
        };
        records(&writer.place(stores::RECORDS))?;
        writer.note(stores::RECORDS)?;
        let configuration = self.configuration.load();
        writer.add(&configuration.path(&configuration.store.ring), RING, How::Copied)?;
        for blobs in [stores::PARCELS, stores::SPOOL] {
            writer.add_blobs(&staged.place.join(blobs), blobs)?;
        }
        let mut slots = Writer::begin(&directory.join(SLOTS))?;
        add_slots(&mut slots, &staged.place)?;
        slots.finish(&key, ("slots", staged.mark))?;
        writer.finish(&key, ("whole", staged.mark))
    }

    /// The one moment. Slots and blobs stay as they are while their second names are made, so what a record of
    /// this moment names is there; mail comes and goes meanwhile, and what settled is tidied away afterwards.
    fn stage(&self, part: Part) -> Result<Staged, Failed> {
        let configuration = self.configuration.load();
        let directory = configuration.path(&configuration.store.directory);
        let place = directory.join(STAGE);
        clear(&place)?;
        fs::create_dir(&place)?;
        let mut staged = Staged { mark: Timestamp::UNIX_EPOCH, records: None, place };
        let _unswept = self.condition.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        let _quiet = self.base.queue.quiet();
        // The mark before the records: what was acknowledged before it is certainly in them.
        staged.mark = self.base.clock.now();
        if part == Part::Whole {
            staged.records = Some(self.base.records.snapshot()?);
            for blobs in [stores::PARCELS, stores::SPOOL] {
                blobs::link_all(&directory.join(blobs), &staged.place.join(blobs))?;
            }
        }
        self.base.parcel_slots.copy_to(&staged.place.join(stores::PARCEL_SLOTS))?;
        self.base.spool_slots.copy_to(&staged.place.join(stores::SPOOL_SLOTS))?;
        let blocked = self.base.vault.blocked(self.base.clock.certain())?;
        let lines: String = blocked.iter().map(|blocked| format!("{} {}\n", hex(&blocked.parcel.0), blocked.since.as_second())).collect();
        fs::write(staged.place.join(BLOCKED), lines)?;
        Ok(staged)
    }
}

fn add_slots(writer: &mut Writer, from: &Path) -> Result<(), Failed> {
    [stores::PARCEL_SLOTS, stores::SPOOL_SLOTS, BLOCKED].iter().try_for_each(|name| writer.add(&from.join(name), name, How::Copied))
}

/// Removes what an earlier backup left behind when its process died.
pub(super) fn clear(place: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The last line about a backup.
pub fn told(manifest: &Manifest) -> String {
    format!("{} up to {:.0}: {} files, {} octets", manifest.part, manifest.mark, manifest.files, manifest.octets)
}

fn hex(octets: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(octets)
}

/// Within a whole backup.
const SLOTS: &str = "slots";
const RING: &str = "ring";
/// One blocked parcel a line: its id, and the second since when.
const BLOCKED: &str = "blocked";
/// Within the store, while a backup is made.
pub(super) const STAGE: &str = "snapshot";
