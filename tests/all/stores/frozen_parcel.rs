//! Parcels of every version of the stored form, as they lie in a store: what was sealed once opens until its time is over.
//!
//! `UPDATE=1` freezes one in the present form where there is none yet.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use data_encoding::HEXLOWER as HEX;
use waxseal::crypto::{Kek, KeyRing, LinkSecret};
use waxseal::secret::Secret;
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::{Fault, FreshSlot, Records, SealedRecords, SlotNo, Slots, Write};
use waxseal::vault::{ItemId, Vault, Words};

use super::life::{parcel, start};

/// A store in memory with one parcel in it, and all that opens it.
struct Frozen {
    engine: Arc<RedbRecords>,
    kek: Kek,
    ring: Vec<u8>,
    slots: Arc<OneSlot>,
    link: LinkSecret,
}

/// A slot that lies in a line of text.
#[derive(Default)]
struct OneSlot(Mutex<[u8; 32]>);

impl Slots for OneSlot {
    fn allocate(&self, count: usize) -> Result<Vec<FreshSlot>, Fault> {
        *self.0.lock().unwrap() = [0x5a; 32];
        Ok((0..count).map(|_| (SlotNo(7), Secret::new([0x5a; 32]))).collect())
    }

    fn read(&self, _: SlotNo) -> Result<Secret<[u8; 32]>, Fault> {
        Ok(Secret::new(*self.0.lock().unwrap()))
    }

    fn shred(&self, _: &[SlotNo]) -> Result<(), Fault> {
        Ok(())
    }
}

impl Frozen {
    fn make(folder: &Path) -> Self {
        let (kek, keys) = (Kek(Secret::new([3; 32])), KeyRing::generate());
        keys.write(&folder.join("ring"), &kek).unwrap();
        let engine = Arc::new(RedbRecords::over(redb::backends::InMemoryBackend::new()).unwrap());
        let (records, slots) = (SealedRecords::new(engine.clone(), Arc::new(keys)), Arc::new(OneSlot::default()));
        let vault = Vault::new(records.clone(), Arc::new(DirectoryBlobs::open(&folder.join("blobs")).unwrap()), slots.clone());
        let mut new = parcel(b"frozen body", b"frozen file", Some(3));
        new.recipients.truncate(1);
        new.subject = Words::Hidden("canary-subject".to_owned());
        new.sender_name = Some(Words::Hidden("canary-name".to_owned()));
        let sealed = vault.seal(new, start()).unwrap();
        records.commit(vec![], sealed.go_live).unwrap();
        Self { engine, kek, ring: std::fs::read(folder.join("ring")).unwrap(), slots, link: sealed.links[0].secret.clone() }
    }

    fn read(text: &str) -> Self {
        let engine = Arc::new(RedbRecords::over(redb::backends::InMemoryBackend::new()).unwrap());
        let mut frozen = Self { engine, kek: Kek(Secret::new([0; 32])), ring: vec![], slots: Arc::default(), link: LinkSecret::random() };
        for line in text.lines() {
            let (what, rest) = line.split_once(' ').unwrap();
            let octets = |text: &str| HEX.decode(text.as_bytes()).unwrap();
            match what {
                "kek" => frozen.kek = Kek(Secret::new(octets(rest).try_into().unwrap())),
                "ring" => frozen.ring = octets(rest),
                "slot" => *frozen.slots.0.lock().unwrap() = octets(rest).try_into().unwrap(),
                "link" => frozen.link = LinkSecret(Secret::new(octets(rest).try_into().unwrap())),
                _ => {
                    let (key, value) = rest.split_once(' ').unwrap();
                    frozen.engine.commit(vec![], vec![Write::Put(octets(key), octets(value))]).unwrap();
                }
            }
        }
        frozen
    }

    fn write(&self) -> String {
        let mut text = format!("kek {}\nring {}\n", HEX.encode(self.kek.0.expose()), HEX.encode(&self.ring));
        text.push_str(&format!("slot {}\n", HEX.encode(self.slots.0.lock().unwrap().as_slice())));
        text.push_str(&format!("link {}\n", HEX.encode(self.link.0.expose())));
        for record in self.engine.scan(b"", b"", usize::MAX).unwrap() {
            text.push_str(&format!("record {} {}\n", HEX.encode(&record.key), HEX.encode(&record.value)));
        }
        text
    }

    fn vault(&self, folder: &Path) -> Vault {
        let path = folder.join("ring");
        std::fs::write(&path, &self.ring).unwrap();
        let records = SealedRecords::new(self.engine.clone(), Arc::new(KeyRing::read(&path, &self.kek).unwrap()));
        Vault::new(records, Arc::new(DirectoryBlobs::open(&folder.join("blobs")).unwrap()), self.slots.clone())
    }
}

#[test]
fn parcels_of_every_version_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/stores/vectors");
    let path = |version: u32| -> PathBuf { folder.join(format!("parcel-{version}")) };
    if std::env::var_os("UPDATE").is_some() && !path(PRESENT).exists() {
        std::fs::write(path(PRESENT), Frozen::make(tempfile::tempdir().unwrap().path()).write()).unwrap();
    }
    for version in 1..=PRESENT {
        let place = tempfile::tempdir().unwrap();
        let frozen = Frozen::read(&std::fs::read_to_string(path(version)).unwrap());
        let vault = frozen.vault(place.path());
        let admitted = vault.admit(&frozen.link, start()).unwrap();
        let grant = vault.unlock(&frozen.link, None, start()).unwrap();
        let contents = vault.revealed(&grant, admitted).unwrap().contents;
        assert_eq!((contents.subject.as_str(), contents.sender_name.as_deref()), ("canary-subject", Some("canary-name")), "{version}");
        let items = vault.items(&grant).unwrap();
        assert_eq!((items.len(), items[1].name.as_str(), items[1].left), (2, "canary-file.pdf", Some(3)), "{version}");
        for (item, expect) in [(0, "frozen body"), (1, "frozen file")] {
            let mut plain = String::new();
            vault.shelf(&grant, start()).unwrap().open(ItemId(item), 0..99).unwrap().content.read_to_string(&mut plain).unwrap();
            assert_eq!(plain, expect, "{version}");
        }
    }
}

/// The version in which parcels are sealed today.
const PRESENT: u32 = 2;
