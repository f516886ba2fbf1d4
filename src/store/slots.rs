//! 32-byte shred slots in a small store of their own: overwriting one in place makes what hangs on
//! it unreadable, which deleting a record in a copy-on-write store would not.
//!
//! The file is a header page, then groups of one bitmap page (which slots are taken) and the 32 768
//! slots that it speaks of. Slots are made ready in batches with one fdatasync, and marked as taken
//! already then: after a crash a slot is rather lost (32 octets; [`FileSlots::retain`] finds them
//! again) than given out twice.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Fault;
use crate::crypto::random;
use crate::secret::Secret;

/// A slot's number: its place in the low half, a digest of what it was filled with in the high
/// half. A number whose slot was overwritten is thereby dead for ever: shredding it again, after a
/// crash in between, cannot hit the next holder of the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct SlotNo(pub u64);

/// A slot as it is given out, with the octets that nobody else knows.
pub type FreshSlot = (SlotNo, Secret<[u8; 32]>);

/// A slot engine.
pub trait Slots: Send + Sync {
    /// Gives out `count` free slots, filled with fresh random octets, durable.
    fn allocate(&self, count: usize) -> Result<Vec<FreshSlot>, Fault>;

    /// The octets that are at the slot's place now. Of a shredded slot they are others than before.
    fn read(&self, slot: SlotNo) -> Result<Secret<[u8; 32]>, Fault>;

    /// Overwrites the slots with random octets, syncs, reads back; afterwards they are free again.
    /// Slots that were shredded before are passed over.
    fn shred(&self, slots: &[SlotNo]) -> Result<(), Fault>;
}

/// Slots in one preallocated file, aligned to 4 KiB pages.
pub struct FileSlots {
    file: File,
    places: Mutex<Places>,
}

/// Which places are taken, and which slots lie ready.
struct Places {
    bitmaps: Vec<Vec<u8>>,
    free: BTreeSet<u32>,
    ready: VecDeque<FreshSlot>,
}

impl FileSlots {
    /// Opens or creates the file. Which slots are free is kept beside the octets.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let at = |error: &dyn std::fmt::Display| Fault(format!("{}: {error}", path.display()));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(|error| at(&error))?;
        // Two that give out the same places would destroy each other's content.
        file.try_lock().map_err(|_| at(&"in use by another process"))?;
        let length = file.metadata()?.len();
        if length < PAGE {
            file.write_all_at(&header(), 0)?;
            file.set_len(PAGE)?;
            file.sync_all()?;
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
        } else {
            let mut found = [0; 5];
            file.read_exact_at(&mut found, 0)?;
            if found != header() {
                return Err(at(&refusal(found)));
            }
        }
        let bitmaps = (0..length.saturating_sub(PAGE) / GROUP).map(|group| read_bitmap(&file, group)).collect::<Result<Vec<_>, _>>()?;
        let mut places = Places { bitmaps, free: BTreeSet::new(), ready: VecDeque::new() };
        places.free = places.untaken();
        Ok(Self { file, places: Mutex::new(places) })
    }

    /// How many slots the file has room for.
    pub fn places(&self) -> u32 {
        self.lock().count()
    }

    /// Whether the slot still holds what it was given out with.
    pub fn lives(&self, slot: SlotNo) -> Result<bool, Fault> {
        let (places, at) = (self.lock(), place(slot));
        Ok(places.is_taken(at) && number(at, &*self.at(at)?) == slot)
    }

    /// All slots as they are at this moment, in a new file. Nobody gets or loses one meanwhile.
    pub fn copy_to(&self, path: &Path) -> Result<(), Fault> {
        let _nobody = self.lock();
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut octets = Zeroizing::new(vec![0; PAGE as usize]);
        for page in 0..self.file.metadata()?.len() / PAGE {
            self.file.read_exact_at(&mut octets, page * PAGE)?;
            copy.write_all(&octets)?;
        }
        Ok(copy.sync_all()?)
    }

    /// Frees every slot but these and those made ready by this process; for a holder that knows
    /// all of its slots, before it allocates any. Gives how many were freed.
    pub fn retain(&self, used: impl IntoIterator<Item = SlotNo>) -> Result<usize, Fault> {
        let mut places = self.lock();
        let mut kept: BTreeSet<u32> = used.into_iter().map(place).collect();
        kept.extend(places.ready.iter().map(|(slot, _)| place(*slot)));
        let lost: Vec<u32> = (0..places.count()).filter(|at| places.is_taken(*at) && !kept.contains(at)).collect();
        self.overwrite(&lost)?;
        self.mark(&mut places, &lost, Mark::Free)?;
        self.file.sync_data()?;
        places.free.extend(&lost);
        Ok(lost.len())
    }

    /// Makes a batch of free slots ready: octets and marks are on the disk before any is given out.
    fn make_ready(&self, places: &mut Places, count: usize) -> Result<(), Fault> {
        while places.free.len() < count {
            let group = places.bitmaps.len() as u64;
            preallocate(&self.file, group)?;
            places.bitmaps.push(vec![0; PAGE as usize]);
            let first = u32::try_from(group).ok().and_then(|group| group.checked_mul(SLOTS_A_GROUP)).ok_or_else(full)?;
            places.free.extend(first..first.checked_add(SLOTS_A_GROUP).ok_or_else(full)?);
        }
        let batch: Vec<u32> = places.free.iter().copied().take(count).collect();
        let filled = self.fill(&batch)?;
        self.mark(places, &batch, Mark::Taken)?;
        self.file.sync_data()?;
        for at in &batch {
            places.free.remove(at);
        }
        places.ready.extend(batch.iter().zip(filled).map(|(at, octets)| (number(*at, octets.expose()), octets)));
        Ok(())
    }

    fn fill(&self, batch: &[u32]) -> Result<Vec<Secret<[u8; 32]>>, Fault> {
        batch
            .iter()
            .map(|at| {
                let octets = Secret::new(random::array::<SLOT>());
                self.file.write_all_at(octets.expose(), offset(*at))?;
                Ok(octets)
            })
            .collect()
    }

    /// In place, synced, read back.
    fn overwrite(&self, batch: &[u32]) -> Result<(), Fault> {
        let filled = self.fill(batch)?;
        self.file.sync_data()?;
        for (at, octets) in batch.iter().zip(filled) {
            if self.at(*at)?.as_slice() != octets.expose() {
                return Err(Fault("a shredded slot does not read back as it was written".to_owned()));
            }
        }
        Ok(())
    }

    fn mark(&self, places: &mut Places, batch: &[u32], mark: Mark) -> Result<(), Fault> {
        let mut touched = BTreeSet::new();
        for &at in batch {
            let (group, octet, bit) = position(at);
            let marks = places.bitmaps.get_mut(group).and_then(|bitmap| bitmap.get_mut(octet)).ok_or_else(full)?;
            match mark {
                Mark::Taken => *marks |= bit,
                Mark::Free => *marks &= !bit,
            }
            touched.insert(group);
        }
        for group in touched {
            let bitmap = places.bitmaps.get(group).ok_or_else(full)?;
            self.file.write_all_at(bitmap, PAGE + group as u64 * GROUP)?;
        }
        Ok(())
    }

    fn at(&self, place: u32) -> io::Result<Zeroizing<[u8; SLOT]>> {
        let mut octets = Zeroizing::new([0; SLOT]);
        self.file.read_exact_at(&mut *octets, offset(place))?;
        Ok(octets)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots for FileSlots {
    fn allocate(&self, count: usize) -> Result<Vec<FreshSlot>, Fault> {
        let mut places = self.lock();
        let missing = count.saturating_sub(places.ready.len());
        if missing > 0 {
            self.make_ready(&mut places, missing.max(BATCH))?;
        }
        Ok(places.ready.drain(..count).collect())
    }

    fn read(&self, slot: SlotNo) -> Result<Secret<[u8; 32]>, Fault> {
        Ok(Secret::new(*self.at(place(slot))?))
    }

    fn shred(&self, slots: &[SlotNo]) -> Result<(), Fault> {
        let mut places = self.lock();
        let mut alive = BTreeSet::new();
        for &slot in slots {
            let at = place(slot);
            if places.is_taken(at) && number(at, &*self.at(at)?) == slot {
                alive.insert(at);
            }
        }
        if alive.is_empty() {
            return Ok(());
        }
        let alive: Vec<u32> = alive.into_iter().collect();
        self.overwrite(&alive)?;
        // Not synced: a mark that is lost in a power cut costs 32 octets, and never content.
        self.mark(&mut places, &alive, Mark::Free)?;
        places.free.extend(alive);
        Ok(())
    }
}

impl Drop for FileSlots {
    /// What lies ready and was never given out is free again.
    fn drop(&mut self) {
        let mut places = self.lock();
        let unused: Vec<u32> = places.ready.drain(..).map(|(slot, _)| place(slot)).collect();
        // A mark that cannot be taken back costs 32 octets.
        let _ = self.mark(&mut places, &unused, Mark::Free);
    }
}

impl Places {
    fn count(&self) -> u32 {
        u32::try_from(self.bitmaps.len()).unwrap_or(u32::MAX).saturating_mul(SLOTS_A_GROUP)
    }

    fn is_taken(&self, at: u32) -> bool {
        let (group, octet, bit) = position(at);
        self.bitmaps.get(group).and_then(|bitmap| bitmap.get(octet)).is_some_and(|marks| marks & bit != 0)
    }

    fn untaken(&self) -> BTreeSet<u32> {
        (0..self.count()).filter(|at| !self.is_taken(*at)).collect()
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Taken,
    Free,
}

/// Room for one more group, on the disk: a disk that is full says so before a slot is promised, and a slot that is
/// overwritten lies where it lay.
fn preallocate(file: &File, group: u64) -> io::Result<()> {
    let from = PAGE + group * GROUP;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, GROUP) {
        // A file system that promises no room gets the octets.
        Err(rustix::io::Errno::OPNOTSUPP) => file.write_all_at(&vec![0; GROUP as usize], from),
        done => Ok(done?),
    }
}

fn read_bitmap(file: &File, group: u64) -> Result<Vec<u8>, Fault> {
    let mut bitmap = vec![0; PAGE as usize];
    file.read_exact_at(&mut bitmap, PAGE + group * GROUP)?;
    Ok(bitmap)
}

fn number(at: u32, octets: &[u8; SLOT]) -> SlotNo {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::new().chain_update(b"wx1/slot").chain_update(octets).finalize().into();
    SlotNo(u64::from(u32::from_be_bytes([a, b, c, d])) << 32 | u64::from(at))
}

const fn place(SlotNo(number): SlotNo) -> u32 {
    (number & u32::MAX as u64) as u32
}

const fn position(at: u32) -> (usize, usize, u8) {
    let within = at % SLOTS_A_GROUP;
    ((at / SLOTS_A_GROUP) as usize, (within / 8) as usize, 1 << (within % 8))
}

const fn offset(at: u32) -> u64 {
    let (group, within) = (at / SLOTS_A_GROUP, at % SLOTS_A_GROUP);
    PAGE + group as u64 * GROUP + PAGE + within as u64 * SLOT as u64
}

fn full() -> Fault {
    Fault("the slot file is full".to_owned())
}

/// What is said of a file that begins otherwise.
fn refusal(found: [u8; 5]) -> String {
    let [magic @ .., version] = header();
    match found {
        [a, b, c, d, newer] if [a, b, c, d] == magic && newer > version => {
            format!("version {newer} is of a newer release, this one knows {version}\n    run the newer release; nothing was changed")
        }
        _ => String::from("not a slot file\n    restore it from the backup"),
    }
}

const fn header() -> [u8; 5] {
    *b"WXSL\x01"
}

const SLOT: usize = 32;
/// What a disk overwrites in place.
const PAGE: u64 = 4096;
const SLOTS_A_GROUP: u32 = 8 * PAGE as u32;
/// A bitmap and its slots.
const GROUP: u64 = PAGE + SLOTS_A_GROUP as u64 * SLOT as u64;
/// Slots made ready with one fdatasync, and at most lost by a crash: 8 KiB.
const BATCH: usize = 256;
