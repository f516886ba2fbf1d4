//! What lies at rest, in the hands of somebody who copied it. Faults C2, C3, C4, C8, C10.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use waxseal::crypto::{Kek, KeyRing, LinkSecret};
use waxseal::store::SealedRecords;
use waxseal::store::redb::RedbRecords;
use waxseal::vault::Sealed;

use super::life::{House, hours, house, live, parcel, start};

const PARCELS: usize = 100;
const CANARIES: [&str; 7] =
    ["canary-body", "canary-subject", "canary-file", "canary-name", "canary-sender", "canary-recipient", "canary-content"];

struct Victim {
    _folder: tempfile::TempDir,
    data: PathBuf,
    kek: PathBuf,
    ring: PathBuf,
    links: Vec<LinkSecret>,
}

impl Victim {
    /// A running gateway's disk, with a hundred parcels on it, small and large; `then` happens before it is copied.
    fn new(then: impl FnOnce(&House, &[Sealed])) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, kek, ring) = (folder.path().join("data"), folder.path().join("kek"), folder.path().join("ring"));
        std::fs::create_dir(&data).unwrap();
        let host = Kek::create(&kek).unwrap();
        let keys = KeyRing::generate();
        keys.write(&ring, &host).unwrap();
        let house = house(&data, &Arc::new(keys));
        let large = b"canary-content ".repeat(5000);
        let sealed: Vec<Sealed> = (0..PARCELS)
            .map(|i| live(&house, parcel(b"canary-body", if i % 10 == 0 { &large } else { b"canary-content" }, None), start()))
            .collect();
        then(&house, &sealed);
        let links = sealed.iter().map(|sealed| sealed.links[0].secret.clone()).collect();
        Self { _folder: folder, data, kek, ring, links }
    }

    fn opened(&self, ring: KeyRing, links: &[LinkSecret]) -> usize {
        let records = SealedRecords::new(Arc::new(RedbRecords::open(&self.data.join("records")).unwrap()), Arc::new(ring));
        let blobs = Arc::new(waxseal::store::blobs::DirectoryBlobs::open(&self.data.join("blobs")).unwrap());
        let slots = Arc::new(waxseal::store::slots::FileSlots::open(&self.data.join("slots")).unwrap());
        let vault = waxseal::vault::Vault::new(records, blobs, slots);
        links.iter().filter(|link| vault.unlock(link, None, start()).is_ok()).count()
    }

    fn ring(&self) -> KeyRing {
        KeyRing::read(&self.ring, &Kek::read(&self.kek).unwrap()).unwrap()
    }
}

#[test]
fn the_owner_opens_all_and_nobody_else_any() {
    let victim = Victim::new(|_, _| {});
    assert_eq!(victim.opened(victim.ring(), &victim.links), PARCELS);

    // C3: disk and key, no link. A link cannot be found, so its own stored id is tried as well as guesses.
    let guesses: Vec<LinkSecret> = (0..PARCELS).map(|_| LinkSecret::random()).collect();
    assert_eq!(victim.opened(victim.ring(), &guesses), 0);

    // C4: disk and links, no key.
    assert_eq!(victim.opened(KeyRing::generate(), &victim.links), 0);
    assert!(KeyRing::read(&victim.ring, &Kek(waxseal::secret::Secret::new([0; 32]))).is_err());

    // C4: everything, but the slots are dead.
    let slots = victim.data.join("slots");
    let mut octets = std::fs::read(&slots).unwrap();
    octets[8192..].fill(0);
    std::fs::write(&slots, octets).unwrap();
    assert_eq!(victim.opened(victim.ring(), &victim.links), 0);
}

#[test]
fn neither_link_nor_parcel_key_lies_anywhere_on_the_disk_even_for_who_has_the_key() {
    let victim = Victim::new(|_, _| {});
    let records = SealedRecords::new(Arc::new(RedbRecords::open(&victim.data.join("records")).unwrap()), Arc::new(victim.ring()));
    let all: Vec<Vec<u8>> =
        records.scan(b"v", b"", usize::MAX).unwrap().into_iter().flat_map(|record| [record.key, record.value]).collect();
    for link in &victim.links {
        assert!(!all.iter().any(|octets| octets.windows(20).any(|part| part == link.0.expose())));
    }
    // With the host's key the metadata is readable, as promised, and the content is not.
    let found = |canary: &str| all.iter().any(|octets| octets.windows(canary.len()).any(|part| part == canary.as_bytes()));
    assert!(found("canary-subject"));
    assert!(!found("canary-body") && !found("canary-file") && !found("canary-content"));
}

#[test]
fn after_expiry_and_sweep_nothing_opens_for_who_has_everything() {
    let victim = Victim::new(|house, _| assert_eq!(house.vault.sweep(hours(14 * 24)).unwrap().expired, PARCELS));
    assert_eq!(victim.opened(victim.ring(), &victim.links), 0);
}

#[test]
fn an_old_copy_of_the_records_opens_nothing_once_the_slots_are_shredded() {
    let copy = tempfile::tempdir().unwrap();
    let old = copy.path().join("records");
    let victim = Victim::new(|house, _| {
        let sealed = house.records.scan(b"v", b"", usize::MAX).unwrap();
        let kept = RedbRecords::open(&old).unwrap();
        let kept = SealedRecords::new(Arc::new(kept), house.records.ring().clone());
        kept.check_or_initialise().unwrap();
        kept.commit(vec![], sealed.iter().map(|record| kept.put(record.key.clone(), &record.value)).collect()).unwrap();
        assert_eq!(house.vault.sweep(hours(14 * 24)).unwrap().expired, PARCELS);
    });
    std::fs::copy(&old, victim.data.join("records")).unwrap();
    assert_eq!(victim.opened(victim.ring(), &victim.links), 0);
}

#[test]
fn nothing_that_a_person_wrote_is_found_in_any_file() {
    let victim = Victim::new(|_, _| {});
    let mut files = Vec::new();
    collect(&victim.data, &mut files);
    assert!(files.len() >= 12, "records, slots and blobs");
    for file in files {
        let octets = std::fs::read(&file).unwrap();
        for canary in CANARIES {
            let hit = octets.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!hit, "{canary} in {}", file.display());
        }
    }
}

#[test]
fn a_store_refuses_another_key_ring() {
    let victim = Victim::new(|_, _| {});
    let stranger = SealedRecords::new(Arc::new(RedbRecords::open(&victim.data.join("records")).unwrap()), Arc::new(KeyRing::generate()));
    assert!(stranger.check_or_initialise().unwrap_err().0.contains("another key ring"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
