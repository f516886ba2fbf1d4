//! The default record engine: redb, one file, nothing to install.
//!
//! One writer thread drains a channel, applies each request's checks inside one write transaction,
//! commits once and answers all: fsyncs are shared by everybody who waits. What is in no hurry waits a
//! few milliseconds for company: behind each mail comes its settlement, and on its own that would keep
//! the next mail waiting for two fsyncs more.
//!
//! A commit that failed is never tried again on the same file handle: after a failed fsync the
//! system may call pages clean that are not on the disk. Everybody in the batch hears of the fault,
//! the file is closed, and the next request opens it anew, from what the disk has. An engine that
//! panics is a commit that failed: the writer outlives it, and answers nobody with more than a fault.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::records::Record;
use super::{Check, Conflict, Fault, Records, Snapshot, Write};
use crate::event::{self, Event};
use crate::failpoint;

/// An open store.
pub struct RedbRecords {
    shared: Arc<Shared>,
    requests: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbRecords {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let path = path.to_owned();
        Self::start(Box::new(move || {
            if !path.exists() {
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    File::open(folder)?.sync_all()?;
                }
            }
            // The engine panics over some damages instead of saying so.
            let opened = catch_unwind(|| builder().create(&path));
            let damaged = |_| Fault(format!("{}: the store is damaged\n    restore it from the backup", path.display()));
            opened.map_err(damaged)?.map_err(|error| refused(&path, &error))
        }))
    }

    /// Over any backend: memory that forgets what was not synced, for power cuts in tests. After a
    /// failed commit it stays closed.
    pub fn over(backend: impl redb::StorageBackend) -> Result<Self, Fault> {
        let mut once = Some(backend);
        Self::over_each(move || once.take().ok_or_else(|| Fault("the backend of this store failed".to_owned())))
    }

    /// Over a backend that is made anew each time the store has to be opened again.
    pub fn over_each<B: redb::StorageBackend>(mut make: impl FnMut() -> Result<B, Fault> + Send + 'static) -> Result<Self, Fault> {
        Self::start(Box::new(move || builder().create_with_backend(make()?).map_err(fault)))
    }

    fn start(mut open: Open) -> Result<Self, Fault> {
        let database = opened(&mut open)?;
        let shared = Arc::new(Shared { database: RwLock::new(Some(database)) });
        let (requests, incoming) = channel();
        let writer = Writer { shared: shared.clone(), open };
        let writer = std::thread::Builder::new().name("records".to_owned()).spawn(move || writer.run(&incoming))?;
        Ok(Self { shared, requests: Some(requests), writer: Some(writer) })
    }
}

impl Drop for RedbRecords {
    fn drop(&mut self) {
        // The writer ends when nobody can ask any more; what was asked is done first.
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // Nothing is left to be done about how it ended.
            let _ = writer.join();
        }
    }
}

impl Records for RedbRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, Fault> {
        let database = self.shared.database()?;
        let table = database.begin_read().map_err(fault)?.open_table(RECORDS).map_err(fault)?;
        let Some(stored) = table.get(key).map_err(fault)? else { return Ok(None) };
        record(key, stored.value()).map(Some)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Record>, Fault> {
        let database = self.shared.database()?;
        let table = database.begin_read().map_err(fault)?.open_table(RECORDS).map_err(fault)?;
        let mut found = Vec::new();
        for entry in table.range(prefix.max(from)..).map_err(fault)?.take(limit) {
            let (key, stored) = entry.map_err(fault)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push(record(key.value(), stored.value())?);
        }
        Ok(found)
    }

    fn commit(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.ask(checks, writes, Hurry::Now)
    }

    fn commit_unhurried(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.ask(checks, writes, Hurry::Soon)
    }

    fn snapshot(&self) -> Result<Snapshot, Fault> {
        let moment = self.shared.database()?.begin_read().map_err(fault)?;
        Ok(Box::new(move |path| copy(&moment, path)))
    }
}

/// A new file with the records of one moment, and none of the free pages in which older ones still lie.
fn copy(moment: &redb::ReadTransaction, path: &Path) -> Result<(), Fault> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let database = builder().create(path).map_err(|error| refused(path, &error))?;
    let source = moment.open_table(RECORDS).map_err(fault)?;
    let mut entries = source.iter().map_err(fault)?.peekable();
    loop {
        let mut transaction = begin(&database)?;
        // One file that is not there until it is whole: only the last of its commits has to last.
        let durability = if entries.peek().is_some() { Durability::None } else { Durability::Immediate };
        transaction.set_durability(durability).map_err(fault)?;
        transaction.open_table(FORMAT).map_err(fault)?.insert("version", VERSION).map_err(fault)?;
        {
            let mut table = transaction.open_table(RECORDS).map_err(fault)?;
            let mut octets = 0;
            while octets < BATCH_OCTETS
                && let Some(entry) = entries.next()
            {
                let (key, stored) = entry.map_err(fault)?;
                octets += stored.value().len();
                table.insert(key.value(), stored.value()).map_err(fault)?;
            }
        }
        transaction.commit().map_err(fault)?;
        if matches!(durability, Durability::Immediate) {
            return Ok(());
        }
    }
}

impl RedbRecords {
    fn ask(&self, checks: Vec<Check>, writes: Vec<Write>, hurry: Hurry) -> Result<(), Conflict> {
        let (answer, answered) = sync_channel(1);
        let request = Request { checks, writes, hurry, answer };
        let stopped = || Fault("the writer of the store stopped".to_owned());
        self.requests.as_ref().ok_or_else(stopped)?.send(request).map_err(|_| stopped())?;
        answered.recv().map_err(|_| Fault("the writer of the store broke off".to_owned()))?
    }
}

/// What readers and the writer have in common; `None` between a failed commit and the next opening.
struct Shared {
    database: RwLock<Option<Arc<Database>>>,
}

impl Shared {
    fn database(&self) -> Result<Arc<Database>, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.clone().ok_or_else(|| Fault("the store is closed after a fault and is opened again with the next write".to_owned()))
    }

    fn replace(&self, with: Option<Arc<Database>>) -> Option<Arc<Database>> {
        std::mem::replace(&mut *self.database.write().unwrap_or_else(PoisonError::into_inner), with)
    }
}

struct Request {
    checks: Vec<Check>,
    writes: Vec<Write>,
    hurry: Hurry,
    answer: SyncSender<Result<(), Conflict>>,
}

/// Whether somebody waits for the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurry {
    Now,
    Soon,
}

impl Request {
    fn size(&self) -> usize {
        self.writes.iter().map(|write| if let Write::Put(_, value) = write { value.len() } else { 0 }).sum()
    }
}

struct Writer {
    shared: Arc<Shared>,
    open: Open,
}

impl Writer {
    fn run(mut self, incoming: &Receiver<Request>) {
        while let Ok(first) = incoming.recv() {
            let mut size = first.size();
            let mut batch = vec![first];
            while size < BATCH_OCTETS && batch.len() < BATCH_REQUESTS {
                // Nobody is kept waiting by a batch in which nobody waits; it is not kept for long either.
                let calm = batch.len() < COMPANY && batch.iter().all(|request| request.hurry == Hurry::Soon);
                let next = if calm { incoming.recv_timeout(PATIENCE).ok() } else { incoming.try_recv().ok() };
                let Some(next) = next else { break };
                size += next.size();
                batch.push(next);
            }
            // Requests that are dropped in a panic are answered by that: nobody wrote them.
            if catch_unwind(AssertUnwindSafe(|| self.settle(batch))).is_err() {
                event::emit(&Event::Trouble { place: "store", fault: "the engine panicked; what it was writing is refused" });
                self.close();
            }
        }
    }

    /// Answers come after the commit, refusals too: a check may have failed against a change that
    /// is not durable yet.
    fn settle(&mut self, batch: Vec<Request>) {
        match self.usable().and_then(|database| apply(&database, &batch)) {
            Ok(applied) => {
                for (request, outcome) in batch.into_iter().zip(applied) {
                    // Who does not wait any more is not told.
                    let _ = request.answer.send(match outcome {
                        Applied::Written => Ok(()),
                        Applied::Refused => Err(Conflict::Check),
                    });
                }
            }
            Err(fault) => {
                self.close();
                for request in batch {
                    let _ = request.answer.send(Err(Conflict::Fault(fault.clone())));
                }
            }
        }
    }

    fn close(&self) {
        let database = self.shared.replace(None);
        // What a panic left behind may not close in peace.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    fn usable(&mut self) -> Result<Arc<Database>, Fault> {
        if let Ok(database) = self.shared.database() {
            return Ok(database);
        }
        let database = opened(&mut self.open)?;
        self.shared.replace(Some(database.clone()));
        Ok(database)
    }
}

#[derive(Clone, Copy)]
enum Applied {
    Written,
    Refused,
}

fn apply(database: &Database, batch: &[Request]) -> Result<Vec<Applied>, Fault> {
    let transaction = begin(database)?;
    failpoint::reach("store.commit");
    let applied = {
        let mut table = transaction.open_table(RECORDS).map_err(fault)?;
        batch.iter().map(|request| apply_one(&mut table, request)).collect::<Result<Vec<_>, Fault>>()?
    };
    transaction.commit().map_err(fault)?;
    Ok(applied)
}

fn apply_one(table: &mut Table<'_, &[u8], &[u8]>, request: &Request) -> Result<Applied, Fault> {
    for check in &request.checks {
        let holds = match check {
            Check::Absent(key) => version(table, key)?.is_none(),
            Check::Version(key, expected) => version(table, key)? == Some(*expected),
        };
        if !holds {
            return Ok(Applied::Refused);
        }
    }
    for write in &request.writes {
        match write {
            Write::Put(key, value) => {
                let next = version(table, key)?.unwrap_or(0) + 1;
                let stored = [&next.to_be_bytes(), value.as_slice()].concat();
                table.insert(key.as_slice(), stored.as_slice()).map_err(fault)?;
            }
            Write::Delete(key) => {
                table.remove(key.as_slice()).map_err(fault)?;
            }
        }
    }
    Ok(Applied::Written)
}

fn version(table: &Table<'_, &[u8], &[u8]>, key: &[u8]) -> Result<Option<u64>, Fault> {
    let Some(stored) = table.get(key).map_err(fault)? else { return Ok(None) };
    Ok(Some(record(key, stored.value())?.version))
}

fn record(key: &[u8], stored: &[u8]) -> Result<Record, Fault> {
    let (version, value) =
        stored.split_first_chunk::<8>().ok_or_else(|| Fault("a record without a version: the store is damaged".to_owned()))?;
    Ok(Record { key: key.to_vec(), value: value.to_vec(), version: u64::from_be_bytes(*version) })
}

type Open = Box<dyn FnMut() -> Result<Database, Fault> + Send>;

/// Opens and settles the format. The commit also puts the header of a file that was left by a failed
/// one on the disk, before anybody reads from it.
fn opened(open: &mut Open) -> Result<Arc<Database>, Fault> {
    let database = open()?;
    let transaction = begin(&database)?;
    {
        let mut table = transaction.open_table(FORMAT).map_err(fault)?;
        let found = table.get("version").map_err(fault)?.map(|version| version.value());
        if let Some(newer) = found.filter(|version| *version > VERSION) {
            return Err(Fault(format!(
                "the store has format {newer}, this release knows {VERSION}\n    run the newer release; nothing was changed"
            )));
        }
        table.insert("version", VERSION).map_err(fault)?;
        transaction.open_table(RECORDS).map_err(fault)?;
    }
    transaction.commit().map_err(fault)?;
    Ok(Arc::new(database))
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, Fault> {
    let mut transaction = database.begin_write().map_err(fault)?;
    // The allocator's state is saved with each commit: a million records open in milliseconds after a crash.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn refused(path: &Path, error: &redb::DatabaseError) -> Fault {
    let shown = path.display();
    if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
        return Fault(format!("{shown}: in use by another process\n    one gateway has one store: is it running already?"));
    }
    Fault(format!("{shown}: {error}"))
}

fn fault(error: impl std::fmt::Display) -> Fault {
    Fault(format!("record store: {error}"))
}

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("record");
const FORMAT: TableDefinition<'_, &str, u32> = TableDefinition::new("format");
/// Of keys and values; a newer one is refused.
const VERSION: u32 = 1;
/// The system's page cache holds the rest.
const CACHE: usize = 16 << 20;
/// A batch is in memory twice.
const BATCH_OCTETS: usize = 8 << 20;
const BATCH_REQUESTS: usize = 4096;
/// How long what is in no hurry waits for the next request.
const PATIENCE: Duration = Duration::from_millis(3);
/// So many that are in no hurry are company enough.
const COMPANY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        drop(RedbRecords::open(&path).unwrap());
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(FORMAT).unwrap().insert("version", VERSION + 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(RedbRecords::open(&path).err().unwrap().0.contains("newer release"));
    }

    #[test]
    fn a_store_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let open = RedbRecords::open(&path).unwrap();
        assert!(RedbRecords::open(&path).is_err());
        drop(open);
        RedbRecords::open(&path).unwrap();
    }
}
