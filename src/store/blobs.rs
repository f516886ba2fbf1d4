//! Large sealed octets by random id: written once, read in ranges, deleted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use data_encoding::HEXLOWER;

use super::Fault;
use crate::crypto::stream::ReadAt;

/// A blob's name: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct BlobId(pub [u8; 16]);

/// A blob engine.
pub trait Blobs: Send + Sync {
    /// Starts a blob. Nothing can be read until [`BlobWriter::commit`] returned.
    fn create(&self, id: BlobId) -> Result<Box<dyn BlobWriter>, Fault>;

    /// Ranged access; `None` when there is no such blob.
    fn open(&self, id: BlobId) -> Result<Option<Box<dyn ReadAt>>, Fault>;

    /// Removes it; no blob is no fault.
    fn delete(&self, id: BlobId) -> Result<(), Fault>;

    /// Every blob, for the sweeper, with the time of its last change; in no order, at most `limit` after `from`.
    fn list(&self, from: Option<BlobId>, limit: usize) -> Result<Vec<(BlobId, jiff::Timestamp)>, Fault>;
}

/// A blob in the making; dropped without commit it leaves nothing behind.
pub trait BlobWriter: Write + Send {
    /// Makes it durable: fsync, rename, fsync of the directory.
    fn commit(self: Box<Self>) -> Result<(), Fault>;
}

/// Blobs in a local directory, sharded by the first octet of the id.
pub struct DirectoryBlobs {
    root: PathBuf,
    shards: Vec<Arc<Shard>>,
}

impl DirectoryBlobs {
    /// Opens or creates the directory (mode 0700) and removes what a crash left half written.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let mut folders = std::fs::DirBuilder::new();
        folders.mode(0o700).recursive(true);
        folders.create(path).map_err(|error| at(path, &error))?;
        let making = path.join(MAKING);
        match std::fs::remove_dir_all(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&making, &error)),
            _ => folders.create(&making).map_err(|error| at(&making, &error))?,
        }
        let shards = (0..=u8::MAX).map(|octet| Shard::open(path.join(HEXLOWER.encode(&[octet])))).collect::<Result<_, _>>()?;
        File::open(path)?.sync_all()?;
        Ok(Self { root: path.to_owned(), shards })
    }

    fn shard(&self, id: BlobId) -> Result<&Arc<Shard>, Fault> {
        let [first, ..] = id.0;
        self.shards.get(usize::from(first)).ok_or_else(|| Fault("a shard of the blobs is missing".to_owned()))
    }
}

impl Blobs for DirectoryBlobs {
    fn create(&self, id: BlobId) -> Result<Box<dyn BlobWriter>, Fault> {
        let shard = self.shard(id)?.clone();
        let name = HEXLOWER.encode(&id.0);
        let (making, ready) = (self.root.join(MAKING).join(&name), shard.folder.join(&name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making).map_err(|error| at(&making, &error))?;
        if ready.exists() {
            // A name is random: whoever comes with one twice would overwrite what somebody relies on.
            std::fs::remove_file(&making)?;
            return Err(Fault(format!("blob {name} is already there")));
        }
        Ok(Box::new(Making { file: Some(file), making, ready, shard }))
    }

    fn open(&self, id: BlobId) -> Result<Option<Box<dyn ReadAt>>, Fault> {
        let path = self.shard(id)?.folder.join(HEXLOWER.encode(&id.0));
        match File::open(&path) {
            Ok(file) => {
                let length = file.metadata().map_err(|error| at(&path, &error))?.len();
                Ok(Some(Box::new(OpenBlob { file, length })))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &error)),
        }
    }

    fn delete(&self, id: BlobId) -> Result<(), Fault> {
        let path = self.shard(id)?.folder.join(HEXLOWER.encode(&id.0));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path, &error)),
            _ => Ok(()),
        }
    }

    fn list(&self, from: Option<BlobId>, limit: usize) -> Result<Vec<(BlobId, jiff::Timestamp)>, Fault> {
        let first = from.map_or(0, |BlobId([first, ..])| usize::from(first));
        let mut found = Vec::new();
        for shard in self.shards.iter().skip(first) {
            let mut names = shard.names()?;
            names.retain(|id| from.is_none_or(|from| *id > from));
            names.sort_unstable();
            for id in names.into_iter().take(limit - found.len()) {
                found.extend(shard.changed(id)?.map(|time| (id, time)));
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}

/// Names every blob of a directory a second time below `to`, on the same file system: as they are now, whatever
/// is deleted later. Blobs never change, so both names lead to the same octets for good.
pub fn link_all(from: &Path, to: &Path) -> Result<(), Fault> {
    let mut folders = std::fs::DirBuilder::new();
    folders.mode(0o700).recursive(true).create(to).map_err(|error| at(to, &error))?;
    for shard in std::fs::read_dir(from).map_err(|error| at(from, &error))? {
        let shard = shard?;
        if shard.file_name() == MAKING {
            continue;
        }
        let target = to.join(shard.file_name());
        let mut made = None;
        for entry in std::fs::read_dir(shard.path()).map_err(|error| at(&shard.path(), &error))? {
            let entry = entry?;
            // Shards without blobs are left out.
            let target = made.get_or_insert(target.clone());
            folders.create(&*target).map_err(|error| at(target, &error))?;
            match std::fs::hard_link(entry.path(), target.join(entry.file_name())) {
                // Deleted at this very moment: then nobody needs it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&entry.path(), &error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// How many blobs a directory of [`DirectoryBlobs`] has and how many octets they have together. It looks at
/// each of them, so it is for every ten minutes and not for every second.
pub fn measure(path: &Path) -> io::Result<(u64, u64)> {
    let mut measured = (0, 0);
    for shard in std::fs::read_dir(path)? {
        let shard = shard?.path();
        for entry in std::fs::read_dir(&shard).into_iter().flatten() {
            // One that is deleted meanwhile has no size.
            let octets = entry?.metadata().map_or(0, |facts| facts.len());
            measured = (measured.0 + 1, measured.1 + octets);
        }
    }
    Ok(measured)
}

struct OpenBlob {
    file: File,
    length: u64,
}

impl ReadAt for OpenBlob {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn length(&self) -> u64 {
        self.length
    }
}

/// A file that nobody finds until it is whole. The file is `None` once it was committed.
struct Making {
    file: Option<File>,
    making: PathBuf,
    ready: PathBuf,
    shard: Arc<Shard>,
}

impl Write for Making {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for Making {
    fn commit(mut self: Box<Self>) -> Result<(), Fault> {
        // An fsync that failed is not tried again: the file is dropped, and with it what the system thinks of it.
        if let Some(file) = &self.file {
            file.sync_all().map_err(|error| at(&self.making, &error))?;
        }
        std::fs::rename(&self.making, &self.ready).map_err(|error| at(&self.ready, &error))?;
        self.file = None;
        self.shard.sync().inspect_err(|_| {
            // Half a promise is none: nobody shall find what may be gone after a power cut.
            let _ = std::fs::remove_file(&self.ready);
        })
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What cannot be removed now is removed at the next opening.
            let _ = std::fs::remove_file(&self.making);
        }
    }
}

/// One directory, with its fsyncs shared by those who commit into it at the same time.
struct Shard {
    folder: PathBuf,
    syncs: Mutex<Syncs>,
    done: Condvar,
}

#[derive(Default)]
struct Syncs {
    started: u64,
    finished: u64,
    /// The number of a sync that failed, and how; those who waited for it hear of it.
    failed: Option<(u64, Fault)>,
    state: Syncing,
}

#[derive(Default, PartialEq, Eq)]
enum Syncing {
    #[default]
    Idle,
    Running,
}

impl Shard {
    fn open(folder: PathBuf) -> Result<Arc<Self>, Fault> {
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(&folder, &error)),
            _ => Ok(Arc::new(Self { folder, syncs: Mutex::default(), done: Condvar::new() })),
        }
    }

    /// Returns when a sync that began after this call has ended.
    fn sync(&self) -> Result<(), Fault> {
        let mut syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = syncs.started + 1;
        while syncs.finished < needed {
            if syncs.state == Syncing::Running {
                syncs = self.done.wait(syncs).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            syncs.state = Syncing::Running;
            syncs.started += 1;
            let mine = syncs.started;
            drop(syncs);
            let result = File::open(&self.folder).and_then(|folder| folder.sync_all());
            syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
            syncs.state = Syncing::Idle;
            syncs.finished = mine;
            syncs.failed = result.err().map(|error| (mine, at(&self.folder, &error))).or_else(|| syncs.failed.take());
            self.done.notify_all();
        }
        match &syncs.failed {
            Some((failed, fault)) if *failed >= needed => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    fn names(&self) -> Result<Vec<BlobId>, Fault> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(|error| at(&self.folder, &error))? {
            let name = entry?.file_name();
            // What is not a name of ours is not ours to sweep.
            let octets = HEXLOWER.decode(name.as_encoded_bytes()).ok().and_then(|octets| octets.try_into().ok());
            names.extend(octets.map(BlobId));
        }
        Ok(names)
    }

    /// `None` when it was deleted meanwhile.
    fn changed(&self, id: BlobId) -> Result<Option<jiff::Timestamp>, Fault> {
        let path = self.folder.join(HEXLOWER.encode(&id.0));
        match std::fs::metadata(&path).and_then(|facts| facts.modified()) {
            Ok(time) => jiff::Timestamp::try_from(time).map(Some).map_err(|error| at(&path, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &error)),
        }
    }
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault(format!("{}: {error}", path.display()))
}

/// Where blobs are while they are written; emptied at each opening.
const MAKING: &str = "making";
