//! What policy hides in one place is hidden in all of them: in the mail with the link, and in what disk and host's key tell.

use std::sync::Arc;

use waxseal::crypto::{Kek, KeyRing, LinkSecret};
use waxseal::store::SealedRecords;
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::vault::Vault;

use super::house::{House, contains, link};

const NUMBER: &str = "850709-9805";

#[test]
fn a_number_in_subject_name_and_file_name_is_in_no_mail_and_no_metadata() {
    let mut house = House::open();
    let mail = format!(
        "From: \"Emma {NUMBER}\" <emma@example.org>\nTo: jonas@mail.example\nSubject: About {NUMBER}\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHello.\n--b\nContent-Type: text/plain\n\
         Content-Disposition: attachment; filename=\"{NUMBER}.txt\"\n\nnothing\n--b--\n"
    );
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &mail).starts_with("250"));
    let taken = house.arrived(1);
    assert!(!contains(&taken[0].octets, NUMBER), "{}", String::from_utf8_lossy(&taken[0].octets));
    let link = LinkSecret::decode(&link(&taken[0]).unwrap()).unwrap();
    house.stop();

    let ring = KeyRing::read(&house.path("keys/ring"), &Kek::read(&house.path("keys/kek")).unwrap()).unwrap();
    let records = SealedRecords::new(Arc::new(RedbRecords::open(&house.path("data/records.redb")).unwrap()), Arc::new(ring));
    let all: Vec<u8> = records.scan(b"", b"", usize::MAX).unwrap().into_iter().flat_map(|record| record.value).collect();
    assert!(contains(&all, "jonas@mail.example") && !contains(&all, NUMBER));

    let blobs = Arc::new(DirectoryBlobs::open(&house.path("data/parcels")).unwrap());
    let vault = Vault::new(records, blobs, Arc::new(FileSlots::open(&house.path("data/parcels.slots")).unwrap()));
    #[allow(clippy::disallowed_methods)]
    let now = jiff::Timestamp::now();
    let grant = vault.unlock(&link, None, now).unwrap();
    let contents = vault.revealed(&grant, vault.admit(&link, now).unwrap()).unwrap().contents;
    assert_eq!((contents.subject, contents.sender_name), (format!("About {NUMBER}"), Some(format!("Emma {NUMBER}"))));
    assert!(vault.items(&grant).unwrap().iter().any(|item| item.name == format!("{NUMBER}.txt")));
}
