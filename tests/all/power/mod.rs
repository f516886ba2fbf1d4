//! Power cuts: a disk in memory that keeps of what was not synced only what chance keeps.
//!
//! Everything that was acknowledged is there, every commit is there wholly or not at all, and the
//! store opens: thousands of times.

mod disk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use disk::{Chance, Disk, Rough};
use waxseal::store::redb::RedbRecords;
use waxseal::store::{Check, Conflict, Fault, Records, Write};

/// Cuts in one run of the suite.
const CUTS: u64 = 2000;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut during = 0;
    for seed in 0..CUTS {
        let mut chance = Chance::new(seed);
        let disk = Disk::new();
        let steps = 4 + chance.below(60);
        let records = RedbRecords::over(disk.clone()).unwrap();
        disk.cut_after(steps, chance.below(u64::MAX));
        let mut acknowledged = 0_u64;
        let mut tried = 0;
        for pair in 1..=12 {
            tried = pair;
            let value = vec![u8::try_from(pair).unwrap(); 1 + usize::try_from(chance.below(9000)).unwrap()];
            // Two keys in each commit: one without the other would be half a commit.
            let writes = vec![Write::Put(key(pair, 'a'), value.clone()), Write::Put(key(pair, 'b'), value)];
            match records.commit(vec![], writes) {
                Ok(()) => acknowledged = pair,
                Err(_) => break,
            }
        }
        drop(records);
        let survivor = disk.after_the_cut();
        during += u64::from(survivor.was_cut);
        let records = RedbRecords::over(survivor.disk).unwrap_or_else(|fault| panic!("cut {seed}: {fault}"));
        let found: BTreeMap<Vec<u8>, Vec<u8>> =
            records.scan(b"k", b"", 999).unwrap().into_iter().map(|record| (record.key, record.value)).collect();
        for pair in 1..=tried {
            let (a, b) = (found.get(&key(pair, 'a')), found.get(&key(pair, 'b')));
            assert_eq!(a, b, "cut {seed}: half of commit {pair}");
            assert!(pair > acknowledged || a.is_some(), "cut {seed}: commit {pair} was acknowledged");
        }
        // And it goes on from there.
        records.commit(vec![], vec![Write::Put(b"after".to_vec(), vec![])]).unwrap();
    }
    assert!(during >= CUTS / 2, "only {during} cuts came before the end of the writes");
}

#[test]
fn after_a_sync_that_failed_nobody_is_told_that_it_is_safe_and_the_next_one_is() {
    let disk = Disk::new();
    let again = disk.clone();
    let records = RedbRecords::over_each(move || Ok::<_, Fault>(again.clone())).unwrap();
    put(&records, "before").unwrap();
    disk.fail_next_sync();
    let Err(Conflict::Fault(_)) = put(&records, "unsafe") else { panic!("acknowledged what was not synced") };
    put(&records, "after").unwrap();
    drop(records);
    let records = RedbRecords::over(disk.after_the_cut().disk).unwrap();
    for key in ["before", "after"] {
        assert!(records.get(key.as_bytes()).unwrap().is_some(), "{key}");
    }
}

#[test]
fn a_store_that_cannot_be_opened_again_stays_closed() {
    let disk = Disk::new();
    let records = RedbRecords::over(disk.clone()).unwrap();
    disk.fail_next_sync();
    for _ in 0..3 {
        assert!(matches!(put(&records, "x"), Err(Conflict::Fault(_))));
    }
    assert!(records.get(b"x").is_err());
}

#[test]
fn an_engine_that_panics_anywhere_acknowledges_nothing_and_goes_on() {
    let (mut panics, mut steps) = (0, 0);
    loop {
        let (disk, left) = (Disk::new(), Arc::new(AtomicI64::new(i64::MAX)));
        let rough = Rough { disk: disk.clone(), left: left.clone() };
        let records = RedbRecords::over_each(move || Ok::<_, Fault>(rough.clone())).unwrap();
        put(&records, "before").unwrap();
        left.store(steps, Ordering::SeqCst);
        let during: Vec<bool> = (0..3).map(|number| put(&records, &format!("during {number}")).is_ok()).collect();
        let came = left.swap(i64::MAX, Ordering::SeqCst) < 0;
        assert!(came || during.iter().all(|done| *done), "step {steps}: a fault without a reason");
        put(&records, "after").unwrap_or_else(|why| panic!("step {steps}: {why:?}"));
        drop(records);
        let records = RedbRecords::over(disk.after_the_cut().disk).unwrap();
        let kept = (0..3).zip(during).filter(|(_, done)| *done).map(|(number, _)| format!("during {number}"));
        for key in ["before".to_owned(), "after".to_owned()].into_iter().chain(kept) {
            assert!(records.get(key.as_bytes()).unwrap().is_some(), "step {steps}: {key} was acknowledged");
        }
        if !came {
            break;
        }
        (panics, steps) = (panics + 1, steps + 1);
    }
    assert!(panics > 20, "only {panics} panics came");
}

#[test]
fn everybody_in_a_batch_hears_of_the_fault() {
    let disk = Disk::new();
    let records = RedbRecords::over(disk.clone()).unwrap();
    disk.fail_next_sync();
    std::thread::scope(|scope| {
        for i in 0..32 {
            let records = &records;
            scope.spawn(move || {
                let done = records.commit(vec![Check::Absent(vec![i])], vec![Write::Put(vec![i], vec![])]);
                assert!(matches!(done, Err(Conflict::Fault(_))));
            });
        }
    });
}

fn put(records: &RedbRecords, key: &str) -> Result<(), Conflict> {
    records.commit(vec![], vec![Write::Put(key.as_bytes().to_vec(), vec![1; 100])])
}

fn key(pair: u64, half: char) -> Vec<u8> {
    format!("k{pair:03}{half}").into_bytes()
}
