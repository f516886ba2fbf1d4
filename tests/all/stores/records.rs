//! What every record engine must do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use waxseal::store::redb::RedbRecords;
use waxseal::store::{Check, Conflict, Records, Write};

#[test]
fn redb_in_a_file_is_a_record_engine() {
    let folder = tempfile::tempdir().unwrap();
    suite(Arc::new(RedbRecords::open(&folder.path().join("records")).unwrap()));
}

#[test]
fn redb_in_memory_is_a_record_engine() {
    suite(Arc::new(RedbRecords::over(redb::backends::InMemoryBackend::new()).unwrap()));
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    RedbRecords::open(&path).unwrap().commit(vec![], vec![put("a", "1")]).unwrap();
    assert_eq!(RedbRecords::open(&path).unwrap().get(b"a").unwrap().unwrap().value, b"1");
}

fn suite(records: Arc<dyn Records>) {
    versions_count_writes(&*records);
    a_check_that_does_not_hold_leaves_everything(&*records);
    a_scan_stays_within_its_prefix_and_limit(&*records);
    exactly_one_of_many_wins(&records);
}

fn versions_count_writes(records: &dyn Records) {
    assert_eq!(records.get(b"v").unwrap(), None);
    for expected in 1..=3 {
        records.commit(vec![], vec![put("v", &expected.to_string())]).unwrap();
        let record = records.get(b"v").unwrap().unwrap();
        assert_eq!((record.version, record.value), (expected, expected.to_string().into_bytes()));
    }
    records
        .commit(vec![Check::Version(b"v".to_vec(), 3)], vec![Write::Delete(b"v".to_vec()), Write::Delete(b"not there".to_vec())])
        .unwrap();
    assert_eq!(records.get(b"v").unwrap(), None);
    records.commit(vec![Check::Absent(b"v".to_vec())], vec![put("v", ""), put("v", "twice")]).unwrap();
    let record = records.get(b"v").unwrap().unwrap();
    assert_eq!((record.version, record.value), (2, b"twice".to_vec()));
}

fn a_check_that_does_not_hold_leaves_everything(records: &dyn Records) {
    records.commit(vec![], vec![put("c", "old")]).unwrap();
    for check in [Check::Absent(b"c".to_vec()), Check::Version(b"c".to_vec(), 7), Check::Version(b"none".to_vec(), 1)] {
        let done = records.commit(vec![Check::Version(b"c".to_vec(), 1), check.clone()], vec![put("c", "new"), put("d", "new")]);
        assert_eq!(done, Err(Conflict::Check), "{check:?}");
        assert_eq!(records.get(b"c").unwrap().unwrap().value, b"old");
        assert_eq!(records.get(b"d").unwrap(), None);
    }
}

fn a_scan_stays_within_its_prefix_and_limit(records: &dyn Records) {
    let keys = ["s/1", "s/2", "s/3", "s0", "r/9"];
    records.commit(vec![], keys.iter().map(|key| put(key, key)).collect()).unwrap();
    for (prefix, from, limit, expect) in [
        ("s/", "", 9, vec!["s/1", "s/2", "s/3"]),
        ("s/", "s/2", 9, vec!["s/2", "s/3"]),
        ("s/", "s/2\0", 9, vec!["s/3"]),
        ("s/", "", 2, vec!["s/1", "s/2"]),
        ("s/", "t", 9, vec![]),
        ("s", "s/3", 9, vec!["s/3", "s0"]),
        ("s/", "", 0, vec![]),
    ] {
        let found: Vec<String> = records
            .scan(prefix.as_bytes(), from.as_bytes(), limit)
            .unwrap()
            .into_iter()
            .map(|record| String::from_utf8(record.key).unwrap())
            .collect();
        assert_eq!(found, expect, "{prefix} {from} {limit}");
    }
}

fn exactly_one_of_many_wins(records: &Arc<dyn Records>) {
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for i in 0..64 {
            let (records, won) = (records.clone(), &won);
            scope.spawn(move || match records.commit(vec![Check::Absent(b"one".to_vec())], vec![put("one", &i.to_string())]) {
                Ok(()) => drop(won.fetch_add(1, Ordering::Relaxed)),
                Err(conflict) => assert_eq!(conflict, Conflict::Check),
            });
        }
    });
    assert_eq!(won.load(Ordering::Relaxed), 1);
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(key.as_bytes().to_vec(), value.as_bytes().to_vec())
}
