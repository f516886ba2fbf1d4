//! The life of a parcel, from sealing to being forgotten.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use waxseal::crypto::{KeyRing, LinkSecret};
use waxseal::mail::Mailbox;
use waxseal::secret::Secret;
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::store::{Blobs, Conflict, SealedRecords, Write};
use waxseal::vault::{Access, Denied, Factor, Grant, ItemId, Kind, NewItem, NewParcel, Role, Sealed, State, Vault, Words};

/// A vault on a disk of its own.
pub struct House {
    pub vault: Vault,
    pub records: SealedRecords,
    pub blobs: Arc<DirectoryBlobs>,
}

pub fn house(folder: &Path, ring: &Arc<KeyRing>) -> House {
    let records = SealedRecords::new(Arc::new(RedbRecords::open(&folder.join("records")).unwrap()), ring.clone());
    records.check_or_initialise().unwrap();
    let blobs = Arc::new(DirectoryBlobs::open(&folder.join("blobs")).unwrap());
    let slots = Arc::new(FileSlots::open(&folder.join("slots")).unwrap());
    House { vault: Vault::new(records.clone(), blobs.clone(), slots), records, blobs }
}

pub fn start() -> Timestamp {
    "2026-11-01T08:00:00Z".parse().unwrap()
}

pub fn hours(hours: i64) -> Timestamp {
    start() + SignedDuration::from_hours(hours)
}

pub fn ann() -> Mailbox {
    Mailbox::parse("ann@canary-recipient.example").unwrap()
}

pub fn parcel<'a>(body: &'a [u8], file: &'a [u8], downloads: Option<u32>) -> NewParcel<'a> {
    let item = |role, name: &str, content: &'a [u8]| NewItem {
        role,
        name: name.to_owned(),
        media_type: "application/octet-stream".to_owned(),
        content: Box::new(content),
    };
    NewParcel {
        kind: Kind::SecureMessage,
        sender: Mailbox::parse("bo@canary-sender.example").unwrap(),
        sender_name: Some(Words::Shown("canary-name".to_owned())),
        message_id: "<canary-id@canary-sender.example>".to_owned(),
        subject: Words::Shown("canary-subject".to_owned()),
        date: Some(start()),
        visible: vec![ann()],
        access: Access { factor: Factor::Password, expires: hours(14 * 24), downloads },
        items: vec![item(Role::Text, "body.txt", body), item(Role::File, "canary-file.pdf", file)],
        recipients: vec![ann(), Mailbox::parse("cy@canary-recipient.example").unwrap()],
    }
}

pub fn live(house: &House, parcel: NewParcel<'_>, now: Timestamp) -> Sealed {
    let mut sealed = house.vault.seal(parcel, now).unwrap();
    house.records.commit(vec![], std::mem::take(&mut sealed.go_live)).unwrap();
    sealed
}

fn with_house(test: impl FnOnce(&House)) {
    let folder = tempfile::tempdir().unwrap();
    test(&house(folder.path(), &Arc::new(KeyRing::generate())));
}

fn grant(house: &House, sealed: &Sealed) -> Grant {
    house.vault.unlock(&sealed.links[0].secret, None, start()).unwrap()
}

fn read(house: &House, grant: &Grant, item: u32, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut plain = Vec::new();
    house.vault.shelf(grant, start()).unwrap().open(ItemId(item), range).unwrap().content.read_to_end(&mut plain).unwrap();
    plain
}

/// Spends one download in a commit of its own.
fn spend(house: &House, grant: &Grant, item: u32, now: Timestamp) -> Result<(), Denied> {
    loop {
        let spending = house.vault.spend(grant, &[ItemId(item)], now)?;
        if spending.items.is_empty() {
            return Err(Denied::UsedUp);
        }
        match house.records.commit(spending.checks, spending.writes) {
            Ok(()) => return Ok(()),
            Err(why) => assert_eq!(why, Conflict::Check),
        }
    }
}

fn give_back(house: &House, grant: &Grant, item: u32) {
    let back = house.vault.give_back(grant.parcel(), grant.recipient(), &[ItemId(item)]).unwrap();
    house.records.commit(back.checks, back.writes).unwrap();
}

fn denied<T>(result: Result<T, Denied>) -> Denied {
    result.err().expect("something opened")
}

#[test]
fn a_parcel_opens_from_its_commit_and_gives_back_what_was_sealed() {
    for size in [0, 10, 70_000, 300_000] {
        with_house(|house| {
            let file: Vec<u8> = (0..size).map(|i| u8::try_from(i % 253).unwrap()).collect();
            let mut sealed = house.vault.seal(parcel(b"body", &file, None), start()).unwrap();
            for link in &sealed.links {
                assert_eq!(denied(house.vault.admit(&link.secret, start())), Denied::Unknown, "pending");
            }
            house.records.commit(vec![], std::mem::take(&mut sealed.go_live)).unwrap();
            assert_eq!(house.blobs.list(None, 9).unwrap().len(), usize::from(size > 65_536));

            let admitted = house.vault.admit(&sealed.links[1].secret, start()).unwrap();
            assert_eq!(admitted.mailbox, sealed.links[1].recipient);
            assert_eq!((admitted.factor, admitted.contents.subject.as_str()), (Factor::Password, "canary-subject"));
            assert_eq!((admitted.contents.expires, admitted.contents.state), (hours(14 * 24), State::Live));

            let grant = grant(house, &sealed);
            let items = house.vault.items(&grant).unwrap();
            assert_eq!((items.len(), items[1].length, items[1].name.as_str(), items[1].left), (2, size, "canary-file.pdf", None));
            assert_eq!(read(house, &grant, 0, 0..4), b"body");
            assert_eq!(read(house, &grant, 1, 0..u64::MAX), file);
            let (from, to) = (size / 3, size / 2);
            assert_eq!(read(house, &grant, 1, from..to), file[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]);
            assert_eq!(denied(house.vault.shelf(&grant, start()).unwrap().open(ItemId(2), 0..1)), Denied::Unknown);
        });
    }
}

#[test]
fn a_grant_outlives_a_restart_in_its_session_and_in_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Arc::new(KeyRing::generate());
    let first = house(folder.path(), &ring);
    let sealed = live(&first, parcel(b"body", b"file", None), start());
    let session = Secret::new([6; 32]);
    let kept = grant(&first, &sealed).seal(&session);
    drop(first);
    let second = house(folder.path(), &ring);
    let grant = Grant::unseal(&session, &kept).unwrap();
    assert_eq!(read(&second, &grant, 0, 0..4), b"body");
    assert!(Grant::unseal(&Secret::new([7; 32]), &kept).is_err());
}

#[test]
fn two_hundred_at_once_spend_a_limit_of_one_exactly_once() {
    with_house(|house| {
        let sealed = live(house, parcel(b"body", b"file", Some(1)), start());
        let grant = grant(house, &sealed);
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..200 {
                let (grant, won) = (&grant, &won);
                scope.spawn(move || match spend(house, grant, 1, start()) {
                    Ok(()) => drop(won.fetch_add(1, Ordering::Relaxed)),
                    Err(why) => assert_eq!(why, Denied::UsedUp),
                });
            }
        });
        assert_eq!(won.load(Ordering::Relaxed), 1);
        assert_eq!(house.vault.items(&grant).unwrap()[1].left, Some(0));
        give_back(house, &grant, 1);
        give_back(house, &grant, 1);
        assert_eq!(house.vault.items(&grant).unwrap()[1].left, Some(1));
        spend(house, &grant, 1, start()).unwrap();
        assert_eq!(denied(spend(house, &grant, 1, start())), Denied::UsedUp);
        // Another recipient has downloads of the own.
        let other = house.vault.unlock(&sealed.links[1].secret, None, start()).unwrap();
        spend(house, &other, 1, start()).unwrap();
        assert_eq!(denied(spend(house, &grant, 9, start())), Denied::Unknown);
    });
}

#[test]
fn twenty_at_once_spend_a_limit_of_seven_exactly_seven_times() {
    with_house(|house| {
        let sealed = live(house, parcel(b"body", b"file", Some(7)), start());
        let grant = grant(house, &sealed);
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| won.fetch_add(usize::from(spend(house, &grant, 1, start()).is_ok()), Ordering::Relaxed));
            }
        });
        assert_eq!(won.load(Ordering::Relaxed), 7);
    });
}

#[test]
fn what_is_left_of_several_is_spent_together_or_not_at_all() {
    with_house(|house| {
        let mut three = parcel(b"body", b"file", Some(1));
        three.items.push(NewItem {
            role: Role::File,
            name: "b.pdf".into(),
            media_type: "application/pdf".into(),
            content: Box::new(&b"b"[..]),
        });
        let sealed = live(house, three, start());
        let grant = grant(house, &sealed);
        let left = || house.vault.items(&grant).unwrap().iter().filter_map(|item| item.left).collect::<Vec<_>>();
        let both = house.vault.spend(&grant, &[ItemId(1), ItemId(2)], start()).unwrap();
        assert_eq!((both.items, left()), (vec![ItemId(1), ItemId(2)], vec![1, 1]));
        // Somebody is faster with one of them.
        spend(house, &grant, 2, start()).unwrap();
        assert_eq!(house.records.commit(both.checks, both.writes), Err(Conflict::Check));
        assert_eq!(left(), [1, 0]);
        let one = house.vault.spend(&grant, &[ItemId(1), ItemId(2)], start()).unwrap();
        assert_eq!(one.items, [ItemId(1)]);
        // Blocked at the same moment.
        house.vault.set_blocked(sealed.parcel, State::Blocked, start()).unwrap();
        house.vault.set_blocked(sealed.parcel, State::Live, start()).unwrap();
        assert_eq!(house.records.commit(one.checks, one.writes), Err(Conflict::Check));
        assert_eq!(left(), [1, 0]);
    });
}

#[test]
fn a_block_ends_a_running_download_and_can_be_taken_back_for_a_day() {
    with_house(|house| {
        let file = vec![7; 4 << 20];
        let sealed = live(house, parcel(b"body", &file, Some(3)), start());
        let grant = grant(house, &sealed);
        let mut running = house.vault.shelf(&grant, start()).unwrap().open(ItemId(1), 0..u64::MAX).unwrap().content;
        let mut part = vec![0; 1000];
        running.read_exact(&mut part).unwrap();
        house.vault.set_blocked(sealed.parcel, State::Blocked, hours(1)).unwrap();
        let mut rest = Vec::new();
        assert!(running.read_to_end(&mut rest).is_err());
        assert!(rest.len() <= (1 << 20) + (1 << 16), "{} octets after the block", rest.len());
        for result in [house.vault.admit(&sealed.links[0].secret, hours(1)).map(drop), spend(house, &grant, 1, hours(1))] {
            assert_eq!(result, Err(Denied::Blocked));
        }
        assert_eq!(house.vault.sweep(hours(24)).unwrap().expired, 0);
        house.vault.set_blocked(sealed.parcel, State::Live, hours(24)).unwrap();
        assert_eq!(house.vault.sweep(hours(26)).unwrap().expired, 0);
        house.vault.unlock(&sealed.links[0].secret, None, hours(26)).unwrap();

        house.vault.set_blocked(sealed.parcel, State::Blocked, hours(30)).unwrap();
        assert_eq!(house.vault.sweep(hours(55)).unwrap().expired, 1);
        assert_eq!(denied(house.vault.admit(&sealed.links[0].secret, hours(55))), Denied::Blocked);
        assert_eq!(house.vault.set_blocked(sealed.parcel, State::Live, hours(55)), Err(Denied::Blocked));
    });
}

#[test]
fn a_link_whose_mail_failed_is_dead_and_the_others_live_on() {
    with_house(|house| {
        let sealed = live(house, parcel(b"body", b"file", None), start());
        house.vault.revoke(sealed.parcel, &ann()).unwrap();
        house.vault.revoke(sealed.parcel, &ann()).unwrap();
        assert_eq!(denied(house.vault.admit(&sealed.links[0].secret, start())), Denied::Unknown);
        house.vault.unlock(&sealed.links[1].secret, None, start()).unwrap();
    });
}

#[test]
fn what_expired_says_so_for_ninety_days_and_leaves_nothing() {
    with_house(|house| {
        let file = vec![7; 100_000];
        let sealed = live(house, parcel(b"body", &file, Some(3)), start());
        let grant = grant(house, &sealed);
        spend(house, &grant, 1, start()).unwrap();
        let end = 14 * 24;
        assert!(house.vault.admit(&sealed.links[0].secret, hours(end) - SignedDuration::from_secs(1)).is_ok());
        assert_eq!(denied(house.vault.admit(&sealed.links[0].secret, hours(end))), Denied::Expired);
        assert_eq!(house.vault.sweep(hours(end)).unwrap().expired, 1);
        assert_eq!(house.vault.sweep(hours(end)).unwrap().expired, 0);
        assert_eq!(denied(house.vault.unlock(&sealed.links[0].secret, None, hours(end))), Denied::Expired);
        assert_eq!(denied(house.vault.contents(sealed.parcel, grant.recipient(), hours(end))), Denied::Expired);
        assert!(house.blobs.list(None, 9).unwrap().is_empty());
        assert_eq!(house.records.keys(b"v", b"", 99).unwrap().len(), 6, "three tombstones, and when to forget them");
        house.vault.sweep(hours(end + 91 * 24)).unwrap();
        assert!(house.records.keys(b"v", b"", 99).unwrap().is_empty());
        assert_eq!(denied(house.vault.admit(&sealed.links[0].secret, hours(end))), Denied::Unknown);
    });
}

#[test]
fn a_clock_set_back_revives_nothing_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Arc::new(KeyRing::generate());
    let first = house(folder.path(), &ring);
    let sealed = live(&first, parcel(b"body", b"file", None), start());
    first.vault.sweep(hours(14 * 24 - 1)).unwrap();
    assert_eq!(denied(first.vault.admit(&sealed.links[0].secret, hours(14 * 24))), Denied::Expired);
    assert_eq!(denied(first.vault.admit(&sealed.links[0].secret, start())), Denied::Expired);
    first.vault.sweep(start()).unwrap();
    drop(first);
    let second = house(folder.path(), &ring);
    assert_eq!(denied(second.vault.admit(&sealed.links[0].secret, start())), Denied::Expired);
}

#[test]
fn a_damaged_parcel_does_not_keep_the_others_alive() {
    with_house(|house| {
        let damaged = live(house, parcel(b"body", b"file", None), start());
        let fine = live(house, parcel(b"body", b"file", None), start());
        let state = [b"vs/".as_slice(), &damaged.parcel.0].concat();
        house.records.commit(vec![], vec![Write::Put(state, b"damaged".to_vec())]).unwrap();
        assert_eq!(house.vault.sweep(hours(14 * 24)).unwrap().expired, 1);
        assert_eq!(denied(house.vault.admit(&fine.links[0].secret, hours(14 * 24))), Denied::Expired);
    });
}

#[test]
fn a_parcel_whose_mail_was_never_queued_goes_after_an_hour() {
    with_house(|house| {
        let file = vec![7; 100_000];
        let _pending = house.vault.seal(parcel(b"body", &file, None), start()).unwrap();
        let kept = live(house, parcel(b"body", &file, None), start());
        assert_eq!(house.vault.sweep(hours(1) - SignedDuration::from_secs(1)).unwrap().orphaned, 0);
        assert_eq!(house.vault.sweep(hours(1)).unwrap().orphaned, 1);
        assert_eq!(house.blobs.list(None, 9).unwrap().len(), 1);
        house.vault.unlock(&kept.links[0].secret, None, hours(1)).unwrap();
    });
}

#[test]
fn a_blob_that_no_parcel_names_goes_after_a_day() {
    with_house(|house| {
        use std::io::Write;
        let mut making = house.blobs.create(waxseal::store::BlobId([9; 16])).unwrap();
        making.write_all(b"left behind").unwrap();
        making.commit().unwrap();
        let made = house.blobs.list(None, 1).unwrap()[0].1;
        assert_eq!(house.vault.sweep(made + SignedDuration::from_hours(23)).unwrap().blobs, 0);
        assert_eq!(house.vault.sweep(made + SignedDuration::from_hours(25)).unwrap().blobs, 1);
        assert!(house.blobs.list(None, 9).unwrap().is_empty());
    });
}

#[test]
fn slots_that_a_crash_lost_come_back_and_those_in_use_stay() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Arc::new(KeyRing::generate());
    let first = house(folder.path(), &ring);
    let sealed = live(&first, parcel(b"body", b"file", None), start());
    // The image of a crash: what lay ready was not given back.
    let crashed = folder.path().join("crashed");
    std::fs::copy(folder.path().join("slots"), &crashed).unwrap();
    let slots = Arc::new(FileSlots::open(&crashed).unwrap());
    let vault = Vault::new(first.records.clone(), first.blobs.clone(), slots.clone());
    assert_eq!(slots.retain(vault.slots_in_use().unwrap()).unwrap(), 254);
    for link in &sealed.links {
        vault.unlock(&link.secret, None, start()).unwrap();
    }
}

#[test]
fn a_told_password_is_a_part_of_the_wrap() {
    with_house(|house| {
        let told = Secret::new("three words by phone".to_owned());
        let mut sealed = house.vault.seal_told(parcel(b"body", b"file", None), &told, start()).unwrap();
        house.records.commit(vec![], std::mem::take(&mut sealed.go_live)).unwrap();
        let link: &LinkSecret = &sealed.links[0].secret;
        house.vault.unlock(link, Some(&told), start()).unwrap();
        for wrong in [None, Some(Secret::new("three words".to_owned()))] {
            assert_eq!(denied(house.vault.unlock(link, wrong.as_ref(), start())), Denied::Unknown);
        }
    });
}

#[test]
fn a_sweep_takes_what_is_due_and_only_that() {
    with_house(|house| {
        let sealed: Vec<Sealed> = (0..300)
            .map(|i| {
                let mut new = parcel(b"body", b"file", None);
                new.access.expires = if i % 2 == 0 { hours(1) } else { hours(9) };
                new.recipients.truncate(1);
                live(house, new, start())
            })
            .collect();
        assert_eq!(house.vault.sweep(hours(2)).unwrap().expired, 150);
        for (i, sealed) in sealed.iter().enumerate() {
            assert_eq!(house.vault.unlock(&sealed.links[0].secret, None, hours(2)).is_ok(), i % 2 == 1);
        }
    });
}
