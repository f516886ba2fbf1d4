//! A store that comes back from a backup: what was acknowledged is there, what has ended stays ended, what
//! waited is held.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal::crypto::{Kek, KeyRing, LinkSecret};
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::store::{SealedRecords, Slots};
use waxseal::vault::{State, Vault};

use super::house::{House, for_recipient, link};
use super::monitor::get;
use crate::crash::raw_sink::{RawSink, Stage, obliging, say};

pub fn waxseal(house: &House, words: &[&str]) -> Output {
    let configuration = house.path("waxseal.toml");
    Command::new(env!("CARGO_BIN_EXE_waxseal")).args(words).arg("--config").arg(configuration).stdin(Stdio::null()).output().unwrap()
}

pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", told(&output));
    told(&output)
}

/// The vault of a house that does not run.
fn vault(house: &House) -> Vault {
    let kek = Kek::read(&house.path("keys/kek")).unwrap();
    let ring = Arc::new(KeyRing::read(&house.path("keys/ring"), &kek).unwrap());
    let records = SealedRecords::new(Arc::new(RedbRecords::open(&house.path("data/records.redb")).unwrap()), ring);
    let blobs = Arc::new(DirectoryBlobs::open(&house.path("data/parcels")).unwrap());
    Vault::new(records, blobs, Arc::new(FileSlots::open(&house.path("data/parcels.slots")).unwrap()) as Arc<dyn Slots>)
}

#[allow(clippy::disallowed_methods)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn secure(to: &str) -> String {
    format!("From: emma@example.org\nTo: {to}\nSubject: [secure] hello\n\ntext for {to}\n")
}

/// Four links (one stays, one is blocked, one is shredded, one fails to be relayed later) and one mail that waits.
struct Told {
    house: House,
    links: Vec<(&'static str, String)>,
}

const TO: [&str; 3] = ["open@mail.example", "blocked@mail.example", "shredded@mail.example"];

fn begin() -> Told {
    let sink = RawSink::start(|stage: &Stage| match stage {
        Stage::Rcpt(line) if line.contains("late@") => say("451 4.7.1 later"),
        other => obliging(other),
    });
    let house = House::before(sink);
    for to in TO {
        assert!(house.send("emma@example.org", &[to], &secure(to)).starts_with("250"));
    }
    assert!(house.send("emma@example.org", &["late@mail.example"], "From: emma@example.org\nSubject: late\n\nlater\n").starts_with("250"));
    let taken = house.arrived(3);
    let links = TO.iter().map(|to| (*to, link(for_recipient(&taken, to)).unwrap())).collect();
    Told { house, links }
}

impl Told {
    fn status(&self, to: &str) -> String {
        let (_, secret) = self.links.iter().find(|(address, _)| *address == to).unwrap();
        get(self.house.web, &format!("/m/{secret}"), "127.0.0.1").0
    }

    fn secret(&self, to: &str) -> LinkSecret {
        LinkSecret::decode(&self.links.iter().find(|(address, _)| *address == to).unwrap().1).unwrap()
    }

    /// Who can be opened of a house that does not run.
    fn openable(&self) -> Vec<&'static str> {
        let vault = vault(&self.house);
        TO.into_iter().filter(|to| vault.unlock(&self.secret(to), None, now()).is_ok()).collect()
    }

    fn backup(&self, words: &[&str], name: &str) -> std::path::PathBuf {
        let place = self.house.directory.path().join(name);
        done(waxseal(&self.house, &[&["backup", place.to_str().unwrap()], words].concat()));
        place
    }

    fn lose_the_store(&self) {
        std::fs::remove_dir_all(self.house.path("data")).unwrap();
        std::fs::remove_file(self.house.path("keys/ring")).unwrap();
    }
}

#[test]
fn what_has_ended_stays_ended_and_what_waited_is_held() {
    let mut told = begin();
    let whole = told.backup(&[], "whole");
    assert!(!whole.join("kek").exists() && whole.join("manifest.json").exists() && whole.join("slots/blocked").exists());
    told.house.stop();
    assert_eq!(told.openable(), TO);
    {
        let vault = vault(&told.house);
        for to in &TO[1..] {
            let parcel = vault.admit(&told.secret(to), now()).unwrap().parcel;
            let since = if *to == "shredded@mail.example" { now() - SignedDuration::from_hours(25) } else { now() };
            // The vault's time is never behind what it has seen, unless an operator says so.
            vault.believe(since).unwrap();
            vault.set_blocked(parcel, State::Blocked, since).unwrap();
        }
        assert_eq!(vault.sweep(now()).unwrap().expired, 1);
    }
    told.house.start();
    let slots = told.backup(&["--slots"], "slots");
    told.house.stop();
    told.lose_the_store();

    let words = ["restore", whole.to_str().unwrap(), "--slots", slots.to_str().unwrap()];
    let said = done(waxseal(&told.house, &words));
    assert!(said.contains("1 blocked again, 1 ended") && said.contains("1 in the queue, held"), "{said}");
    assert_eq!(told.openable(), ["open@mail.example"], "not even with the keys and the link");
    told.house.start();
    assert!(told.status("open@mail.example").contains("200"));
    for ended in &TO[1..] {
        assert!(!told.status(ended).contains("200"), "{ended} {}", told.status(ended));
    }
    let listed = done(waxseal(&told.house, &["queue", "list"]));
    assert!(listed.contains("late@mail.example"), "{listed}");
    let id = listed.split_whitespace().next().unwrap();
    assert!(done(waxseal(&told.house, &["queue", "show", id])).contains("next      held"));
    assert!(get(told.house.admin, "/metrics", "127.0.0.1").1.contains("waxseal_queue_entries{what=\"held\"} 1.0"));
    done(waxseal(&told.house, &["queue", "release", id]));
    crate::crash::raw_sink::wait_until(|| !done(waxseal(&told.house, &["queue", "show", id])).contains("next      held"));
}

#[test]
fn a_restore_touches_no_store_and_takes_no_backup_that_is_not_whole_or_not_ours() {
    let mut told = begin();
    let whole = told.backup(&[], "whole");
    assert!(!waxseal(&told.house, &["backup", whole.to_str().unwrap()]).status.success(), "never over another one");
    told.house.stop();
    let restore = |words: &[&str]| {
        let output = waxseal(&told.house, &[&["restore"], words].concat());
        assert!(!output.status.success(), "{words:?}");
        self::told(&output)
    };
    let backup = whole.to_str().unwrap();
    assert!(restore(&[backup]).contains("holds a store already; nothing was changed"));
    told.lose_the_store();
    let other = House::open();
    let foreign = other.directory.path().join("foreign");
    done(waxseal(&other, &["backup", foreign.to_str().unwrap()]));
    assert!(restore(&[foreign.to_str().unwrap()]).contains("does not open with this key"));
    assert!(restore(&[backup, "--slots", foreign.join("slots").to_str().unwrap()]).contains("seal does not hold"));
    let records = std::fs::read(whole.join("records.redb")).unwrap();
    let mut damaged = records.clone();
    damaged[records.len() / 2] ^= 1;
    std::fs::write(whole.join("records.redb"), &damaged).unwrap();
    assert!(restore(&[backup]).contains("not what it was when the backup was made"));
    let start = waxseal(&told.house, &["serve", "--allow-root"]);
    assert!(self::told(&start).contains("a restore has not finished here"), "{}", self::told(&start));
    std::fs::write(whole.join("records.redb"), &records).unwrap();
    done(waxseal(&told.house, &["restore", backup]));
    std::fs::remove_file(whole.join("manifest.json")).unwrap();
    assert!(restore(&[backup]).contains("did not finish"));
    told.house.start();
    assert!(told.status("open@mail.example").contains("200"));
}

#[test]
fn slots_of_yesterday_are_not_taken_without_a_word() {
    let mut told = begin();
    let slots = told.backup(&["--slots"], "slots");
    let whole = told.backup(&[], "whole");
    told.house.stop();
    told.lose_the_store();
    let words = ["restore", whole.to_str().unwrap(), "--slots", slots.to_str().unwrap()];
    let refused = waxseal(&told.house, &words);
    assert!(self::told(&refused).contains("are older than the records"), "{}", self::told(&refused));
    assert!(!Path::new(&told.house.path("data")).exists(), "nothing was changed");
    done(waxseal(&told.house, &[&words[..], &["--old-slots", "--send-queue"]].concat()));
    told.house.start();
    assert!(!done(waxseal(&told.house, &["queue", "list"])).contains("held"));
}
