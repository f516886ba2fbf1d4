//! Stores in memory that outlive the queue over them, and that can be told to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use waxseal::crypto::random;
use waxseal::crypto::stream::ReadAt;
use waxseal::secret::Secret;
use waxseal::store::records::Record;
use waxseal::store::{BlobId, BlobWriter, Blobs, Check, Conflict, Fault, Records, SlotNo, Slots, Write};

/// Counts steps that change something; after the last allowed one everything fails, as if the power were gone.
#[derive(Default)]
pub struct Fuse(AtomicI64);

impl Fuse {
    pub fn never() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }

    /// Allows `steps` more changes.
    pub fn set(&self, steps: i64) {
        self.0.store(steps, Ordering::SeqCst);
    }

    fn burn(&self) -> Result<(), Fault> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(Fault("no power".into())) }
    }
}

/// The three stores; clones share their content.
#[derive(Clone)]
pub struct Twins {
    pub records: Arc<MemoryRecords>,
    pub blobs: Arc<MemoryBlobs>,
    pub slots: Arc<MemorySlots>,
    pub fuse: Arc<Fuse>,
}

impl Twins {
    pub fn new() -> Self {
        let fuse = Arc::new(Fuse::never());
        Self {
            records: Arc::new(MemoryRecords { map: Mutex::default(), fuse: fuse.clone() }),
            blobs: Arc::new(MemoryBlobs { map: Arc::default(), fuse: fuse.clone() }),
            slots: Arc::new(MemorySlots { slots: Mutex::default(), fuse: fuse.clone() }),
            fuse,
        }
    }
}

/// Values with how often they were written.
type Versioned = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

pub struct MemoryRecords {
    pub map: Mutex<Versioned>,
    fuse: Arc<Fuse>,
}

impl MemoryRecords {
    pub fn count(&self, prefix: &[u8]) -> usize {
        self.map.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).count()
    }
}

impl Records for MemoryRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, Fault> {
        Ok(self.map.lock().unwrap().get(key).map(|(value, version)| Record { key: key.into(), value: value.clone(), version: *version }))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Record>, Fault> {
        let map = self.map.lock().unwrap();
        let start = prefix.max(from).to_vec();
        let found = map.range(start..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found.map(|(key, (value, version))| Record { key: key.clone(), value: value.clone(), version: *version }).collect())
    }

    fn commit(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.fuse.burn()?;
        let mut map = self.map.lock().unwrap();
        for check in checks {
            let holds = match check {
                Check::Absent(key) => !map.contains_key(&key),
                Check::Version(key, version) => map.get(&key).is_some_and(|(_, is)| *is == version),
            };
            if !holds {
                return Err(Conflict::Check);
            }
        }
        for write in writes {
            match write {
                Write::Put(key, value) => {
                    let version = map.get(&key).map_or(0, |(_, version)| *version) + 1;
                    map.insert(key, (value, version));
                }
                Write::Delete(key) => {
                    map.remove(&key);
                }
            }
        }
        Ok(())
    }
}

type Shelf = Arc<Mutex<BTreeMap<BlobId, Vec<u8>>>>;

pub struct MemoryBlobs {
    pub map: Shelf,
    fuse: Arc<Fuse>,
}

impl Blobs for MemoryBlobs {
    fn create(&self, id: BlobId) -> Result<Box<dyn BlobWriter>, Fault> {
        self.fuse.burn()?;
        Ok(Box::new(MemoryWriter { id, octets: vec![], map: self.map.clone(), fuse: self.fuse.clone() }))
    }

    fn open(&self, id: BlobId) -> Result<Option<Box<dyn ReadAt>>, Fault> {
        Ok(self.map.lock().unwrap().get(&id).map(|octets| Box::new(Octets(octets.clone())) as Box<dyn ReadAt>))
    }

    fn delete(&self, id: BlobId) -> Result<(), Fault> {
        self.fuse.burn()?;
        self.map.lock().unwrap().remove(&id);
        Ok(())
    }

    fn list(&self, from: Option<BlobId>, limit: usize) -> Result<Vec<(BlobId, Timestamp)>, Fault> {
        let map = self.map.lock().unwrap();
        Ok(map.keys().filter(|id| Some(**id) > from).take(limit).map(|id| (*id, Timestamp::UNIX_EPOCH)).collect())
    }
}

struct MemoryWriter {
    id: BlobId,
    octets: Vec<u8>,
    map: Shelf,
    fuse: Arc<Fuse>,
}

impl std::io::Write for MemoryWriter {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for MemoryWriter {
    fn commit(self: Box<Self>) -> Result<(), Fault> {
        self.fuse.burn()?;
        self.map.lock().unwrap().insert(self.id, self.octets);
        Ok(())
    }
}

struct Octets(Vec<u8>);

impl ReadAt for Octets {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let piece = self.0.get(start..start + buffer.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(piece);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.0.len() as u64
    }
}

pub struct MemorySlots {
    /// What each place holds, by whom it is used, and how often it was filled.
    pub slots: Mutex<Vec<([u8; 32], bool, u64)>>,
    fuse: Arc<Fuse>,
}

fn place(slot: SlotNo) -> usize {
    usize::try_from(slot.0 & 0xffff).unwrap()
}

impl Slots for MemorySlots {
    fn allocate(&self, count: usize) -> Result<Vec<(SlotNo, Secret<[u8; 32]>)>, Fault> {
        self.fuse.burn()?;
        let mut slots = self.slots.lock().unwrap();
        let mut taken = Vec::new();
        for _ in 0..count {
            let at = slots.iter().position(|(_, in_use, _)| !in_use).unwrap_or(slots.len());
            if at == slots.len() {
                slots.push(([0; 32], false, 0));
            }
            let filled = slots[at].2 + 1;
            slots[at] = (random::array(), true, filled);
            taken.push((SlotNo(filled << 16 | at as u64), Secret::new(slots[at].0)));
        }
        Ok(taken)
    }

    fn read(&self, slot: SlotNo) -> Result<Secret<[u8; 32]>, Fault> {
        let slots = self.slots.lock().unwrap();
        slots.get(place(slot)).map(|(octets, _, _)| Secret::new(*octets)).ok_or_else(|| Fault("no such slot".into()))
    }

    fn shred(&self, slots: &[SlotNo]) -> Result<(), Fault> {
        self.fuse.burn()?;
        let mut all = self.slots.lock().unwrap();
        for &slot in slots {
            let held = &mut all[place(slot)];
            if held.1 && held.2 == slot.0 >> 16 {
                *held = (random::array(), false, held.2);
            }
        }
        Ok(())
    }
}
