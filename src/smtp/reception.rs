//! Where a message lies while it comes in: in bounded memory, whatever is sent.
//!
//! A message starts in memory. Beyond 64 KiB it stays there only while there is a ticket to be
//! had, beyond 1 MiB never: it goes into a file without a name, sealed under a key that exists
//! only here. When it is complete it waits for a permit over its whole size, and only then lies in
//! memory in one piece. Small messages have a lane of their own, so that a letter does not wait
//! behind an archive.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Received;
use crate::crypto::aead::{self, Key};
use crate::crypto::random;
use crate::secret::Secret;

/// The room that all messages coming in share.
#[derive(Debug)]
pub struct Reception {
    directory: PathBuf,
    tickets: Arc<Semaphore>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A message that is not complete.
#[derive(Debug)]
pub struct Draft {
    reception: Arc<Reception>,
    memory: Vec<u8>,
    ticket: Option<OwnedSemaphorePermit>,
    spill: Option<Spill>,
    size: u64,
}

/// Why a message cannot be kept.
#[derive(Debug)]
pub enum NoRoom {
    /// The disk is full, or does not work.
    Disk(std::io::Error),
    /// No memory in time.
    Memory,
}

impl Reception {
    /// A reception that puts its nameless files into this directory.
    pub fn new(directory: PathBuf) -> Arc<Self> {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Arc::new(Self { directory, tickets: semaphore(TICKETS), small: semaphore(SMALL_LANE), large: semaphore(LARGE_LANE) })
    }

    /// Room for one message, empty.
    pub fn begin(self: &Arc<Self>) -> Draft {
        Draft { reception: Arc::clone(self), memory: Vec::new(), ticket: None, spill: None, size: 0 }
    }

    /// Waits until a message of this size may lie in memory.
    async fn permit(&self, size: u64) -> Result<OwnedSemaphorePermit, NoRoom> {
        let (lane, all) = if size <= MEMORY_MAX as u64 { (&self.small, SMALL_LANE) } else { (&self.large, LARGE_LANE) };
        // Twice the size: what is made of a message is about as large as the message.
        let weight = u32::try_from(size.saturating_mul(2).div_ceil(KIB).clamp(1, all as u64)).unwrap_or(u32::MAX);
        let waiting = tokio::time::timeout(PERMIT_WAIT, Arc::clone(lane).acquire_many_owned(weight));
        waiting.await.map_err(|_| NoRoom::Memory)?.map_err(|_| NoRoom::Memory)
    }
}

impl Draft {
    /// Adds octets. Follow with [`settle`](Self::settle) before too many of them.
    pub fn keep(&mut self, octets: &[u8]) {
        self.memory.extend_from_slice(octets);
        self.size += octets.len() as u64;
    }

    /// The same room, with all that lay in it given back.
    pub fn emptied(&self) -> Self {
        self.reception.begin()
    }

    /// Moves what does not fit in memory to the disk.
    pub async fn settle(&mut self) -> Result<(), NoRoom> {
        if self.memory.len() <= UNTICKETED_MAX || (self.spill.is_none() && self.memory.len() <= MEMORY_MAX && self.has_ticket()) {
            return Ok(());
        }
        let spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create(&self.reception.directory).map_err(NoRoom::Disk)?,
        };
        let octets = std::mem::take(&mut self.memory);
        self.spill = Some(off_thread(move || spill.append(&octets)).await?);
        self.ticket = None;
        Ok(())
    }

    /// The whole message in one piece, under its permit.
    pub async fn finish(mut self) -> Result<Received, NoRoom> {
        let permit = self.reception.permit(self.size).await?;
        let tail = std::mem::take(&mut self.memory);
        let octets = match self.spill.take() {
            None => tail,
            Some(spill) => {
                let size = usize::try_from(self.size).map_err(|_| NoRoom::Memory)?;
                off_thread(move || spill.load(size, &tail)).await?
            }
        };
        Ok(Received { bytes: Bytes::from(octets), permit: Some(permit) })
    }

    fn has_ticket(&mut self) -> bool {
        if self.ticket.is_none() {
            self.ticket = Arc::clone(&self.reception.tickets).try_acquire_owned().ok();
        }
        self.ticket.is_some()
    }
}

/// A file without a name, and the only key to it.
struct Spill {
    file: File,
    key: Key,
    /// Sealed length of each chunk.
    chunks: Vec<usize>,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

impl Spill {
    fn create(directory: &Path) -> std::io::Result<Self> {
        let name = data_encoding::HEXLOWER.encode(&random::array::<16>());
        let path = directory.join(format!("incoming-{name}"));
        let file = options().open(&path)?;
        // Without its name the file goes with the last descriptor, however the process ends.
        std::fs::remove_file(&path)?;
        Ok(Self { file, key: Secret::new(random::array()), chunks: Vec::new() })
    }

    fn append(mut self, octets: &[u8]) -> std::io::Result<Self> {
        let sealed = aead::seal(&self.key, &self.place(self.chunks.len()), octets);
        self.file.write_all(&sealed)?;
        self.chunks.push(sealed.len());
        Ok(self)
    }

    fn load(mut self, size: usize, tail: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut octets = Vec::with_capacity(size);
        let mut sealed = Vec::new();
        self.file.rewind()?;
        for (index, &length) in self.chunks.iter().enumerate() {
            sealed.resize(length, 0);
            self.file.read_exact(&mut sealed)?;
            let chunk = aead::open(&self.key, &self.place(index), &sealed);
            octets.extend_from_slice(&chunk.map_err(|_| std::io::Error::other("a chunk of an incoming message was changed on disk"))?);
        }
        octets.extend_from_slice(tail);
        Ok(octets)
    }

    /// Which chunk it is, so that chunks cannot change places.
    fn place(&self, index: usize) -> [u8; 8] {
        (index as u64).to_le_bytes()
    }
}

fn options() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).write(true).create_new(true).mode(0o600);
    options
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, NoRoom> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(NoRoom::Disk),
        Err(_) => Err(NoRoom::Memory),
    }
}

const KIB: u64 = 1_024;
/// What every message may have in memory: 2,000 sessions × 64 KiB = 125 MiB at the very worst.
const UNTICKETED_MAX: usize = 64 * 1_024;
/// What a message with a ticket may have in memory.
const MEMORY_MAX: usize = 1_024 * 1_024;
/// Messages that may have that much at once.
const TICKETS: usize = 32;
/// Complete messages up to 1 MiB, in KiB: 32 MiB in all.
const SMALL_LANE: usize = 32 * 1_024;
/// Complete messages beyond that, in KiB: with the small ones 256 MiB in all.
const LARGE_LANE: usize = 224 * 1_024;
/// RFC 5321 §4.5.3.2.6 lets a client wait ten minutes for the reply to the dot; some wait five.
const PERMIT_WAIT: Duration = Duration::from_secs(240);

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(reception: &Arc<Reception>, octets: &[u8]) -> Result<Received, NoRoom> {
        let mut draft = reception.begin();
        for piece in octets.chunks(50_000) {
            draft.keep(piece);
            draft.settle().await?;
        }
        draft.finish().await
    }

    #[tokio::test]
    async fn small_and_large_messages_come_out_as_they_went_in_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let reception = Reception::new(directory.path().to_owned());
        for size in [0, 1, UNTICKETED_MAX, MEMORY_MAX, MEMORY_MAX + 1, 5_000_000] {
            let octets: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let received = fill(&reception, &octets).await.unwrap();
            assert!(received.bytes == octets, "{size}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
        assert_eq!((reception.small.available_permits(), reception.large.available_permits()), (SMALL_LANE, LARGE_LANE));
    }

    #[tokio::test]
    async fn without_tickets_messages_go_to_disk_early() {
        let directory = tempfile::tempdir().unwrap();
        let reception = Reception::new(directory.path().to_owned());
        let _all = Arc::clone(&reception.tickets).acquire_many_owned(TICKETS as u32).await.unwrap();
        let mut draft = reception.begin();
        draft.keep(&vec![b'x'; 100_000]);
        draft.settle().await.unwrap();
        assert!(draft.spill.is_some() && draft.memory.is_empty());
        assert_eq!(draft.finish().await.unwrap().bytes.len(), 100_000);
    }

    #[tokio::test]
    async fn a_directory_that_does_not_work_is_no_room() {
        let reception = Reception::new(PathBuf::from("/nonexistent"));
        assert!(matches!(fill(&reception, &vec![b'x'; MEMORY_MAX + 1]).await, Err(NoRoom::Disk(_))));
    }
}
