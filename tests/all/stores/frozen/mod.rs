//! A store as an earlier release wrote it opens with this one: keys, records, blobs, slots, a parcel, waiting mail.
//!
//! The files are never written anew. A new form gets a new file beside the old ones, made by
//! `cargo test --test all frozen -- --ignored` before anything is released that writes it.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use waxseal::crypto::{Kek, KeyRing, LinkSecret};
use waxseal::mail::{Admd, BodyType, Domain, Envelope, Mailbox, Recipient, RequireTls, ReversePath, Utf8};
use waxseal::queue::{Carries, Lane, NewEntry, Options, Queue, Stores};
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::slots::FileSlots;
use waxseal::vault::{Denied, ItemId, State};

use super::super::crash::one_lane;
use super::life::{House, hours, house, live, parcel, start};

/// What the releases wrote, oldest first.
const FROZEN: [(&str, &[u8]); 2] = [("v1", include_bytes!("v1.zip")), ("v2", include_bytes!("v2.zip"))];
const LINKS: &str = "links";
const BODY: &[u8] = b"body of the parcel";

fn file() -> Vec<u8> {
    b"file of the parcel ".repeat(5000)
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn queue(folder: &Path, house: &House) -> Queue {
    let admd = Admd {
        domains: vec![Domain::parse("example.org").unwrap()],
        hostname: Domain::parse("gate.example.org").unwrap(),
        postmaster: mailbox("postmaster@example.org"),
    };
    let stores = Stores {
        records: house.records.clone(),
        blobs: Arc::new(DirectoryBlobs::open(&folder.join("spool")).unwrap()),
        slots: Arc::new(FileSlots::open(&folder.join("spool.slots")).unwrap()),
        lanes: one_lane(),
    };
    Queue::open(stores, admd, Options::default(), start()).unwrap()
}

fn entry(body: &[u8]) -> NewEntry {
    let envelope = Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
        recipients: vec![Recipient::new(mailbox("bo@mail.example"))],
        ret: None,
        envelope_id: None,
        body: BodyType::EightBitMime,
        utf8: Utf8::No,
        require_tls: RequireTls::No,
    };
    NewEntry { envelope, body: vec![Bytes::copy_from_slice(body)], carries: Carries::Nothing }
}

#[test]
fn a_store_of_each_earlier_release_opens_and_gives_what_was_put_in() {
    for (name, archive) in FROZEN {
        let place = tempfile::tempdir().unwrap();
        unpack(archive, place.path());
        let kek = Kek::read(&place.path().join("kek")).unwrap();
        let ring = Arc::new(KeyRing::read(&place.path().join("ring"), &kek).unwrap());
        let house = house(place.path(), &ring);
        let links = fs::read_to_string(place.path().join(LINKS)).unwrap();
        let [open, blocked] = links.lines().map(|link| LinkSecret::decode(link).unwrap()).collect::<Vec<_>>().try_into().unwrap();
        let grant = house.vault.unlock(&open, None, hours(1)).unwrap();
        for (item, expect) in [(0, BODY.to_vec()), (1, file())] {
            let mut plain = Vec::new();
            house.vault.shelf(&grant, hours(1)).unwrap().open(ItemId(item), 0..u64::MAX).unwrap().content.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, expect, "{name}");
        }
        assert_eq!(house.vault.admit(&blocked, hours(1)).err(), Some(Denied::Blocked), "{name}");
        assert_eq!(house.vault.blocked(hours(1)).unwrap().len(), 1, "{name}");
        let queue = queue(place.path(), &house);
        let mut bodies = Vec::new();
        for lease in queue.lease(Lane::default(), hours(1), 9).unwrap() {
            assert_eq!(lease.envelope.recipients[0].forward_path, mailbox("bo@mail.example"), "{name}");
            let mut body = Vec::new();
            queue.body(&lease).read_to_end(&mut body).unwrap();
            bodies.push(body.len());
        }
        bodies.sort_unstable();
        assert_eq!(bodies, [BODY.len(), file().len()], "{name}");
    }
}

#[test]
#[ignore = "writes a store of this release, where none of its form is there yet"]
fn freeze() {
    let place = tempfile::tempdir().unwrap();
    let kek = Kek::create(&place.path().join("kek")).unwrap();
    let ring = KeyRing::generate();
    ring.write(&place.path().join("ring"), &kek).unwrap();
    {
        let house = house(place.path(), &Arc::new(ring));
        let large = file();
        let open = live(&house, parcel(BODY, &large, None), start());
        let blocked = live(&house, parcel(BODY, b"", None), start());
        house.vault.set_blocked(blocked.parcel, State::Blocked, start()).unwrap();
        let links = [&open, &blocked].map(|sealed| sealed.links[0].secret.encode().expose().clone());
        fs::write(place.path().join(LINKS), links.join("\n")).unwrap();
        queue(place.path(), &house).commit(vec![entry(BODY), entry(&large)], vec![], start()).unwrap();
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    pack(place.path(), "", &mut archive);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/stores/frozen/new.zip");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(target).unwrap();
    file.write_all(archive.finish().unwrap().get_ref()).unwrap();
}

fn pack(folder: &Path, inside: &str, archive: &mut zip::ZipWriter<Cursor<Vec<u8>>>) {
    for found in fs::read_dir(folder).unwrap() {
        let path = found.unwrap().path();
        let name = format!("{inside}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            pack(&path, &format!("{name}/"), archive);
        } else {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&fs::read(&path).unwrap()).unwrap();
        }
    }
}

fn unpack(archive: &[u8], to: &Path) {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).unwrap();
        let name = entry.name().unwrap().into_owned();
        let target = to.join(&name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let mode = if name == "kek" { 0o400 } else { 0o600 };
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target).unwrap();
        std::io::copy(&mut entry, &mut file).unwrap();
    }
}
