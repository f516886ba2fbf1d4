//! The queue over the engines that it runs on: redb, a slot file, a directory of blobs.

use std::path::Path;
use std::sync::Arc;

use waxseal::crypto::KeyRing;
use waxseal::queue::{Fate, Lane, Lease, Options, Outcome, Queue, Reports, Stores};
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::store::{Blobs, Records, SealedRecords, Slots};

use super::{admd, at, entry, one_lane};

/// The engines of one run, and the queue over them.
struct Run {
    records: Arc<RedbRecords>,
    blobs: Arc<DirectoryBlobs>,
    slots: Arc<FileSlots>,
    queue: Queue,
}

impl Run {
    fn open(folder: &Path, ring: &Arc<KeyRing>) -> Self {
        let records = Arc::new(RedbRecords::open(&folder.join("records")).unwrap());
        let blobs = Arc::new(DirectoryBlobs::open(&folder.join("blobs")).unwrap());
        let slots = Arc::new(FileSlots::open(&folder.join("slots")).unwrap());
        let sealed = SealedRecords::new(records.clone(), ring.clone());
        let stores = Stores { records: sealed, blobs: blobs.clone(), slots: slots.clone(), lanes: one_lane() };
        let queue = Queue::open(stores, admd(), Options::default(), at(0)).unwrap();
        Self { records, blobs, slots, queue }
    }

    fn blob_count(&self) -> usize {
        self.blobs.list(None, 100).unwrap().len()
    }

    fn grave_count(&self) -> usize {
        self.records.scan(b"q/g/", b"", 100).unwrap().len()
    }
}

fn relayed(lease: &Lease) -> Vec<Outcome> {
    let fate = Fate::Relayed { reports: Reports::Onward };
    lease.envelope.recipients.iter().map(|to| Outcome { recipient: to.forward_path.clone(), fate: fate.clone() }).collect()
}

fn length(queue: &Queue, lease: &Lease) -> u64 {
    std::io::copy(&mut queue.body(lease), &mut std::io::sink()).unwrap()
}

#[test]
fn what_waits_is_there_after_each_opening_and_what_left_leaves_nothing() {
    let (folder, ring) = (tempfile::tempdir().unwrap(), Arc::new(KeyRing::generate()));
    let run = Run::open(folder.path(), &ring);
    let sizes = [10, 60_000, 70_000, 300_000];
    let entries = sizes.iter().map(|size| entry("ann@example.org", &["b@example.net"], &"x".repeat(*size))).collect();
    run.queue.commit(entries, vec![], at(0)).unwrap();
    assert_eq!(run.blob_count(), 2);
    drop(run);

    let run = Run::open(folder.path(), &ring);
    let leases = run.queue.lease(Lane::default(), at(1), 9).unwrap();
    let mut lengths: Vec<u64> = leases.iter().map(|lease| length(&run.queue, lease)).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, sizes.map(|size| size as u64 + 19));
    let slots = run.queue.slots_in_use().unwrap();
    let filled: Vec<[u8; 32]> = slots.iter().map(|slot| *run.slots.read(*slot).unwrap().expose()).collect();
    for lease in leases {
        let outcomes = relayed(&lease);
        run.queue.settle(lease, outcomes, at(1)).unwrap();
    }
    assert_eq!((run.queue.waiting(), run.grave_count(), run.blob_count()), (0, 4, 2));
    drop(run);

    // A process that ended before it tidied up: the next one does.
    let run = Run::open(folder.path(), &ring);
    assert_eq!(run.queue.tidy().unwrap(), 4);
    assert_eq!((run.grave_count(), run.blob_count()), (0, 0));
    for (slot, before) in slots.iter().zip(filled) {
        assert_ne!(*run.slots.read(*slot).unwrap().expose(), before);
    }
    assert!(run.queue.slots_in_use().unwrap().is_empty());
    assert_eq!(run.slots.retain(run.queue.slots_in_use().unwrap()).unwrap(), 0, "a slot stayed taken");
}

#[test]
fn slots_of_a_process_that_died_are_found_again_and_those_of_waiting_mail_kept() {
    let (folder, ring) = (tempfile::tempdir().unwrap(), Arc::new(KeyRing::generate()));
    let run = Run::open(folder.path(), &ring);
    run.queue.commit(vec![entry("ann@example.org", &["b@example.net"], "waits")], vec![], at(0)).unwrap();
    // Taken and never used, as by a process that died in between.
    run.slots.allocate(10).unwrap();
    drop(run);
    let run = Run::open(folder.path(), &ring);
    assert_eq!(run.slots.retain(run.queue.slots_in_use().unwrap()).unwrap(), 10);
    let lease = run.queue.lease(Lane::default(), at(1), 1).unwrap().remove(0);
    assert_eq!(length(&run.queue, &lease), 17 + 7);
}

/// Octets of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
#[ignore = "minutes: a million entries on a disk"]
fn a_million_entries_wait_in_bounded_memory() {
    let count: usize = std::env::var("ENTRIES").map_or(1_000_000, |count| count.parse().unwrap());
    let (folder, ring) = (tempfile::tempdir().unwrap(), Arc::new(KeyRing::generate()));
    let run = Run::open(folder.path(), &ring);
    let before = resident();
    for page in 0..count / 1000 {
        let entries = (0..1000).map(|_| entry("ann@example.org", &["b@example.net"], "x")).collect();
        run.queue.commit(entries, vec![], at(page as i64)).unwrap();
    }
    let grown = resident().saturating_sub(before);
    drop(run);
    let before = resident();
    let begun = std::time::Instant::now();
    let run = Run::open(folder.path(), &ring);
    let (opened, took) = (resident().saturating_sub(before), begun.elapsed());
    let begun = std::time::Instant::now();
    let leases = run.queue.lease(Lane::default(), at(count as i64), 20).unwrap();
    let leased = begun.elapsed();
    let begun = std::time::Instant::now();
    assert!(run.queue.lease_overdue(Lane::default(), at(3600), 20).unwrap().is_empty());
    let overdue = begun.elapsed();
    println!(
        "{count} entries: {} octets of memory an entry while they came, {} after a start of {took:?}; {} leased in {leased:?}, none overdue in {overdue:?}",
        grown / count,
        opened / count,
        leases.len(),
    );
    assert_eq!((run.queue.waiting(), leases.len()), (count, 20));
    // A page of records and the caches of the store come on top, whatever waits.
    assert!(grown.max(opened) < count * ENTRY_MAX + CACHES, "{grown} {opened}");
}

/// Octets of memory that one entry may cost.
const ENTRY_MAX: usize = 256;
/// What the record store may keep of its pages.
const CACHES: usize = 256 << 20;
