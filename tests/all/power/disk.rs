//! A disk that forgets.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Numbers that a seed repeats (xorshift64*).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// What the file system sees, and what the platter has.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Writes and syncs until the power goes; what the platter had then.
    left: Option<u64>,
    chance: Chance,
    cut: Option<Vec<u8>>,
    sync_fails: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

pub struct Survivor {
    pub disk: Disk,
    pub was_cut: bool,
}

impl Disk {
    pub fn new() -> Self {
        Self::with(Vec::new())
    }

    fn with(octets: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            seen: octets.clone(),
            synced: octets,
            unsynced: Vec::new(),
            left: None,
            chance: Chance::new(1),
            cut: None,
            sync_fails: false,
        })))
    }

    /// The power goes after so many more writes and syncs.
    pub fn cut_after(&self, steps: u64, seed: u64) {
        let mut state = self.0.lock().unwrap();
        (state.left, state.chance) = (Some(steps), Chance::new(seed));
    }

    /// The next sync answers with an error, and what was waiting for it is gone though it is seen.
    pub fn fail_next_sync(&self) {
        self.0.lock().unwrap().sync_fails = true;
    }

    /// The disk as it is found when the power is back.
    pub fn after_the_cut(&self) -> Survivor {
        let mut state = self.0.lock().unwrap();
        let was_cut = state.cut.is_some();
        let octets = state.cut.clone().unwrap_or_else(|| state.lose());
        Survivor { disk: Self::with(octets), was_cut }
    }
}

/// A disk whose engine panics in the middle of its work.
#[derive(Debug, Clone)]
pub struct Rough {
    pub disk: Disk,
    /// Steps until then; it happens once.
    pub left: Arc<AtomicI64>,
}

impl Rough {
    fn step(&self) {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) != 0, "a panic for the test");
    }
}

impl redb::StorageBackend for Rough {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.step();
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step();
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step();
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step();
        self.disk.write(offset, data)
    }
}

impl State {
    /// Counts a step; after the last one nothing reaches the platter any more.
    fn step(&mut self) -> io::Result<()> {
        if self.cut.is_some() {
            return Err(io::Error::other("no power"));
        }
        match &mut self.left {
            Some(0) => {
                self.cut = Some(self.lose());
                Err(io::Error::other("no power"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Of what was not synced, chance keeps some writes, and of a write some sectors, in no order.
    fn lose(&mut self) -> Vec<u8> {
        let mut octets = self.synced.clone();
        for change in self.unsynced.clone() {
            match change {
                Change::Length(length) if self.chance.below(2) == 0 => octets.resize(length, 0),
                Change::Length(_) => {}
                Change::Write(at, data) => {
                    let whole = self.chance.below(3);
                    for (place, sector) in data.chunks(SECTOR).enumerate() {
                        let keep = match whole {
                            0 => false,
                            1 => true,
                            _ => self.chance.below(2) == 0,
                        };
                        if keep {
                            write(&mut octets, at + place * SECTOR, sector);
                        }
                    }
                }
            }
        }
        octets
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(state.seen.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        let length = usize::try_from(len).unwrap();
        state.seen.resize(length, 0);
        state.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        if std::mem::take(&mut state.sync_fails) {
            // What the page cache does: the pages count as clean, the platter never got them.
            state.unsynced.clear();
            return Err(io::Error::other("input/output error"));
        }
        for change in std::mem::take(&mut state.unsynced) {
            match change {
                Change::Length(length) => state.synced.resize(length, 0),
                Change::Write(at, data) => write(&mut state.synced, at, &data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        let at = usize::try_from(offset).unwrap();
        write(&mut state.seen, at, data);
        state.unsynced.push(Change::Write(at, data.to_vec()));
        Ok(())
    }
}

/// A write beyond the end that survives where the longer length did not makes the file longer.
fn write(octets: &mut Vec<u8>, at: usize, data: &[u8]) {
    if octets.len() < at + data.len() {
        octets.resize(at + data.len(), 0);
    }
    octets[at..at + data.len()].copy_from_slice(data);
}

/// What a disk writes whole.
const SECTOR: usize = 512;
