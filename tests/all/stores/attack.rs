//! What lies at rest, in the hands of somebody who copied it. Faults C2, C3, C4, C8, C10.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waxseal::crypto::{Kek, KeyRing, LinkSecret, random};
use waxseal::secret::Secret;
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::store::{SealedRecords, Slots};
use waxseal::vault::{Sealed, Vault, Words};

use super::life::{House, hours, house, live, parcel, start};
use super::thief::{Factor, Metadata, Thief, Wrap};

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
        let (_, vault, _) = self.broken_into(ring);
        links.iter().filter(|link| vault.unlock(link, None, start()).is_ok()).count()
    }

    /// The disk in other hands: what can be read and forged, our code over it, the slots.
    fn broken_into(&self, ring: KeyRing) -> (Thief, Vault, Arc<FileSlots>) {
        let records = SealedRecords::new(Arc::new(RedbRecords::open(&self.data.join("records")).unwrap()), Arc::new(ring));
        let blobs = Arc::new(DirectoryBlobs::open(&self.data.join("blobs")).unwrap());
        let slots = Arc::new(FileSlots::open(&self.data.join("slots")).unwrap());
        (Thief { records: records.clone() }, Vault::new(records, blobs, slots.clone()), slots)
    }

    fn ring(&self) -> KeyRing {
        KeyRing::read(&self.ring, &Kek::read(&self.kek).unwrap()).unwrap()
    }
}

#[test]
fn the_owner_opens_all_and_nobody_else_any() {
    let victim = Victim::new(|_, _| {});
    assert_eq!(victim.opened(victim.ring(), &victim.links), PARCELS);

    // C3: disk and key, no link. Guesses are not even found; below, the wraps themselves are attacked.
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

/// C3, C4: disk and host's key. A wrap is found by the stored id of its link, so each of a hundred is tried with all but one of
/// the things that it takes, by the format and by our own code with forged records.
#[test]
fn a_wrap_opens_with_all_that_it_takes_and_with_no_less() {
    let victim = Victim::new(|_, _| {});
    let (thief, vault, slots) = victim.broken_into(victim.ring());
    let wraps = thief.wraps();
    assert_eq!(wraps.len(), 2 * PARCELS);
    let owned = victim.links.iter().map(|link| (link, wraps.iter().find(|(id, _)| *id == link.id().0).unwrap().1.clone()));
    let owned: Vec<(&LinkSecret, Wrap)> = owned.collect();
    for (place, (link, wrap)) in owned.iter().enumerate() {
        let slot = slots.read(wrap.slot).unwrap();
        assert!(thief.open(wrap, (link, &slot), None).is_some() && thief.forge(&vault, wrap, (link, None)), "the control: with everything");

        let guess = LinkSecret::random();
        assert!(thief.open(wrap, (&guess, &slot), None).is_none(), "a guessed link");
        assert!(!thief.forge(&vault, wrap, (&guess, None)), "a guessed link, found");

        let (_, other) = &owned[(place + 1) % owned.len()];
        for wrong in [Secret::new(random::array()), Secret::new([0; 32]), slots.read(other.slot).unwrap()] {
            assert!(thief.open(wrap, (link, &wrong), None).is_none(), "another slot");
        }
        assert!(!thief.forge(&vault, &Wrap { slot: other.slot, ..wrap.clone() }, (link, None)), "another's slot");
        assert!(!thief.forge(&vault, wrap, (link, Some(""))), "a password where none was told");
        let eased = Wrap { least_factor: Factor::None, ..wrap.clone() };
        assert!(thief.open(&eased, (link, &slot), None).is_none() && !thief.forge(&vault, &eased, (link, None)), "an easier factor");
        assert!(!thief.forge(&vault, &Wrap { parcel: other.parcel, ..wrap.clone() }, (link, None)), "another parcel");
    }
}

/// C4: disk, host's key and link, but not the password that was told another way.
#[test]
fn a_told_password_is_not_guessed_past() {
    const TOLD: &str = "three words by phone";
    let mut told = None;
    let victim = Victim::new(|house, _| {
        let mut sealed =
            house.vault.seal_told(parcel(b"canary-body", b"canary-content", None), &Secret::new(TOLD.into()), start()).unwrap();
        house.records.commit(vec![], std::mem::take(&mut sealed.go_live)).unwrap();
        told = Some(sealed.links[0].secret.clone());
    });
    let (link, (thief, vault, slots)) = (told.unwrap(), victim.broken_into(victim.ring()));
    let wrap = thief.wraps().into_iter().find(|(id, _)| *id == link.id().0).unwrap().1;
    let slot = slots.read(wrap.slot).unwrap();
    assert!(thief.open(&wrap, (&link, &slot), Some(TOLD)).is_some() && thief.forge(&vault, &wrap, (&link, Some(TOLD))));
    for number in 0..PARCELS {
        let guess = format!("three words by phone {number}");
        assert!(thief.open(&wrap, (&link, &slot), Some(&guess)).is_none());
        assert!(!thief.forge(&vault, &wrap, (&link, Some(&guess))));
    }
    // Nor does it help to say that there was none.
    assert!(thief.open(&wrap, (&link, &slot), None).is_none() && !thief.forge(&vault, &wrap, (&link, None)));
    assert!(!thief.forge(&vault, &Wrap { told: None, ..wrap }, (&link, None)));
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
}

/// C3: disk and host's key, no link. What can be read is what `SECURITY.md` lists, no more and no less.
#[test]
fn without_a_link_the_metadata_is_what_is_documented() {
    const DOCUMENTED: [(&str, &str); 5] = [
        ("the author's address", "canary-sender"),
        ("the display name", "canary-name"),
        ("the subject", "canary-subject"),
        ("the recipients' addresses", "canary-recipient"),
        ("the Message-ID", "canary-id"),
    ];
    let promise = include_str!("../../../SECURITY.md");
    let victim = Victim::new(|_, _| {});
    let (thief, ..) = victim.broken_into(victim.ring());
    let records = thief.records.scan(b"", b"", usize::MAX).unwrap();
    let all: Vec<u8> = records.iter().flat_map(|record| [&record.key[..], &record.value].concat()).collect();
    let found = |words: &&str| all.windows(words.len()).any(|part| part == words.as_bytes());

    assert!(DOCUMENTED.iter().all(|(words, _)| promise.contains(words)));
    let mut documented = DOCUMENTED.map(|(_, canary)| canary).to_vec();
    let mut readable: Vec<&str> = CANARIES.into_iter().chain(["canary-id", "octet-stream", "body.txt"]).filter(found).collect();
    documented.sort_unstable();
    readable.sort_unstable();
    assert_eq!(readable, documented);

    // Nothing lies beside it: of each parcel these records, and in the one that is not sealed these fields, to its last octet.
    let kinds: BTreeSet<&[u8]> = records.iter().map(|record| &record.key[..2]).filter(|kind| kind.starts_with(b"v")).collect();
    assert_eq!(kinds, BTreeSet::from([&b"vb"[..], b"vd", b"vl", b"vm", b"vp", b"vs"]));
    for record in records.iter().filter(|record| record.key.starts_with(b"vp/")) {
        let (metadata, rest) = postcard::take_from_bytes::<Metadata>(&record.value).unwrap();
        let recipients: Vec<&str> = metadata.recipients.iter().map(|(recipient, ..)| recipient.as_str()).collect();
        assert_eq!((metadata.sender.as_str(), metadata.sender_name.as_deref()), ("bo@canary-sender.example", Some("canary-name")));
        assert_eq!((metadata.subject.as_str(), metadata.message_id.as_str()), ("canary-subject", "<canary-id@canary-sender.example>"));
        assert_eq!(metadata.visible, ["ann@canary-recipient.example"]);
        assert_eq!(recipients, ["ann@canary-recipient.example", "cy@canary-recipient.example"]);
        assert_eq!(rest, b"", "and no field more");
    }
}

/// A10: disk and host's key. Subjects and display names that policy hides, and all file names, open with the link alone.
#[test]
fn what_policy_hides_is_not_among_the_metadata() {
    let mut links = Vec::new();
    let victim = Victim::new(|house, _| {
        let mut hidden = parcel(b"canary-body", b"canary-content", Some(2));
        hidden.subject = Words::Hidden("hidden-subject".to_owned());
        hidden.sender_name = Some(Words::Hidden("hidden-name".to_owned()));
        links.push(live(house, hidden, start()).links[0].secret.clone());
    });
    let (thief, vault, _) = victim.broken_into(victim.ring());
    let all: Vec<u8> =
        thief.records.scan(b"", b"", usize::MAX).unwrap().into_iter().flat_map(|record| [record.key, record.value].concat()).collect();
    let found = |words: &str| all.windows(words.len()).any(|part| part == words.as_bytes());
    assert!(found("canary-subject") && found("canary-name") && found("canary-recipient"), "the control: what is shown is found");
    assert!(!found("hidden-subject") && !found("hidden-name") && !found("canary-file"));

    let grant = vault.unlock(&links[0], None, start()).unwrap();
    let admitted = vault.admit(&links[0], start()).unwrap();
    assert_eq!((admitted.contents.subject.as_str(), admitted.contents.sender_name.as_deref()), ("", None));
    let contents = vault.revealed(&grant, admitted).unwrap().contents;
    assert_eq!((contents.subject.as_str(), contents.sender_name.as_deref()), ("hidden-subject", Some("hidden-name")));
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
