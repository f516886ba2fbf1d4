//! What every blob engine must do.

use std::io::Write;

use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::{BlobId, Blobs};

#[test]
fn a_directory_is_a_blob_engine() {
    let folder = tempfile::tempdir().unwrap();
    suite(&DirectoryBlobs::open(folder.path()).unwrap());
}

#[test]
fn what_a_crash_left_half_written_is_gone_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = DirectoryBlobs::open(folder.path()).unwrap();
    write(&blobs, BlobId([1; 16]), b"whole");
    let mut half = blobs.create(BlobId([2; 16])).unwrap();
    half.write_all(b"half").unwrap();
    std::mem::forget(half);
    assert_eq!(files(folder.path()), 2);

    let blobs = DirectoryBlobs::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()), 1);
    assert_eq!(read(&blobs, BlobId([1; 16])).unwrap(), b"whole");
    assert_eq!(read(&blobs, BlobId([2; 16])), None);
}

#[test]
fn many_commit_at_once_into_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = DirectoryBlobs::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for i in 0..32_u8 {
            let blobs = &blobs;
            scope.spawn(move || write(blobs, id(7, i), &[i; 100]));
        }
    });
    for i in 0..32 {
        assert_eq!(read(&blobs, id(7, i)).unwrap(), [i; 100]);
    }
}

fn suite(blobs: &dyn Blobs) {
    let id = id(3, 1);
    assert_eq!(read(blobs, id), None);
    let mut making = blobs.create(id).unwrap();
    making.write_all(b"0123456789").unwrap();
    assert_eq!(read(blobs, id), None, "not committed yet");
    making.commit().unwrap();
    assert_eq!(read(blobs, id).unwrap(), b"0123456789");
    let open = blobs.open(id).unwrap().unwrap();
    let mut part = [0; 4];
    open.read_exact_at(&mut part, 3).unwrap();
    assert_eq!(&part, b"3456");
    assert!(open.read_exact_at(&mut part, 7).is_err(), "beyond the end");
    assert!(blobs.create(id).is_err(), "a second of the same name");

    let mut dropped = blobs.create(self::id(3, 2)).unwrap();
    dropped.write_all(b"never").unwrap();
    drop(dropped);
    assert_eq!(read(blobs, self::id(3, 2)), None);

    for i in 0..20 {
        write(blobs, self::id(i * 11, 9), b"x");
    }
    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let page = blobs.list(from, 6).unwrap();
        assert!(page.len() <= 6);
        let Some((last, _)) = page.last() else { break };
        from = Some(*last);
        seen.extend(page.into_iter().map(|(id, _)| id));
    }
    assert_eq!(seen.len(), 21);
    blobs.delete(id).unwrap();
    blobs.delete(id).unwrap();
    assert_eq!(read(blobs, id), None);
}

fn id(first: u8, last: u8) -> BlobId {
    let mut id = [0; 16];
    (id[0], id[15]) = (first, last);
    BlobId(id)
}

fn write(blobs: &dyn Blobs, id: BlobId, octets: &[u8]) {
    let mut making = blobs.create(id).unwrap();
    making.write_all(octets).unwrap();
    making.commit().unwrap();
}

fn read(blobs: &dyn Blobs, id: BlobId) -> Option<Vec<u8>> {
    let open = blobs.open(id).unwrap()?;
    let mut octets = vec![0; usize::try_from(open.length()).unwrap()];
    open.read_exact_at(&mut octets, 0).unwrap();
    Some(octets)
}

fn files(folder: &std::path::Path) -> usize {
    let count = |entry: std::fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { 1 };
    std::fs::read_dir(folder).unwrap().map(|entry| count(entry.unwrap())).sum()
}
