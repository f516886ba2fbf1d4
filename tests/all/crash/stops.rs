//! The queue alone: stopped after every single change of its stores, opened again, and asked what it still holds.

use std::io::Read;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use waxseal::crypto::KeyRing;
use waxseal::mail::{EnhancedStatus, Notify, ReversePath};
use waxseal::queue::{Carries, Diagnostic, Fate, Lane, Lease, Options, Outcome, Queue, Reports, Waits};
use waxseal::store::Write;

use super::twins::Twins;
use super::{at, entry, mailbox, open};

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::generate())
}

fn text(queue: &Queue, lease: &Lease) -> String {
    let mut text = String::new();
    queue.body(lease).read_to_string(&mut text).unwrap();
    text
}

fn why(class: u8) -> Diagnostic {
    Diagnostic { status: EnhancedStatus::new(class, 1, 1), text: "because".into(), remote: Some("mx.example.net".into()) }
}

fn all(lease: &Lease, fate: &Fate) -> Vec<Outcome> {
    lease.envelope.recipients.iter().map(|to| Outcome { recipient: to.forward_path.clone(), fate: fate.clone() }).collect()
}

fn relayed() -> Fate {
    Fate::Relayed { reports: Reports::Onward }
}

/// Leases and settles everything that is due; the bodies in the order they went.
fn drain(queue: &Queue, now: Timestamp) -> Vec<String> {
    let mut gone = Vec::new();
    loop {
        let leases = queue.lease(Lane::default(), now, 3).unwrap();
        if leases.is_empty() {
            return gone;
        }
        for lease in leases {
            gone.push(text(queue, &lease));
            let outcomes = all(&lease, &relayed());
            queue.settle(lease, outcomes, now).unwrap();
        }
    }
}

#[test]
fn what_goes_in_comes_out_octet_for_octet_small_and_large() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let large = "0123456789abcdef".repeat(20_000);
    for sent in ["small", &large, ""] {
        queue.commit(vec![entry("ann@example.org", &["b@example.net"], sent)], vec![], at(0)).unwrap();
        assert_eq!(drain(&queue, at(0)), [format!("Subject: test\r\n\r\n{sent}\r\n")]);
    }
    assert_eq!(queue.waiting(), 0);
    assert_eq!(queue.tidy().unwrap(), 3);
    drop(queue);
    assert_eq!(twins.records.count(b"q/"), 0);
    assert!(twins.blobs.map.lock().unwrap().is_empty());
    assert!(twins.slots.slots.lock().unwrap().iter().all(|(_, in_use, _)| !in_use));
}

#[test]
fn a_stop_at_any_step_of_a_commit_keeps_what_was_acknowledged_and_nothing_by_halves() {
    let large = "x".repeat(100_000);
    let entries = || vec![entry("ann@example.org", &["b@example.net"], "one"), entry("ann@example.org", &["c@example.net"], &large)];
    let mut acknowledged = 0;
    for steps in 0..12 {
        let (twins, ring) = (Twins::new(), ring());
        let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
        twins.fuse.set(steps);
        let also = vec![Write::Put(b"p/live".to_vec(), vec![1])];
        let taken = queue.commit(entries(), also, at(0)).is_ok();
        drop(queue);
        twins.fuse.set(i64::MAX);
        let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
        let there = drain(&queue, at(0)).len();
        assert_eq!(there, if taken { 2 } else { 0 }, "{steps}");
        assert_eq!(twins.records.count(b"p/live"), there / 2, "the writes of the same moment go with the entries: {steps}");
        queue.tidy().unwrap();
        queue.sweep(at(0)).unwrap();
        assert!(twins.blobs.map.lock().unwrap().is_empty(), "no octets are left without an entry: {steps}");
        acknowledged += usize::from(taken);
    }
    assert!((1..12).contains(&acknowledged));
}

#[test]
fn a_stop_at_any_step_of_settling_loses_nothing_and_repeats_at_most_once() {
    for steps in 0..8 {
        let (twins, ring) = (Twins::new(), ring());
        let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
        for number in 0..3 {
            queue.commit(vec![entry("ann@example.org", &["b@example.net"], &number.to_string())], vec![], at(number)).unwrap();
        }
        twins.fuse.set(steps);
        let mut sent = Vec::new();
        for lease in queue.lease(Lane::default(), at(9), 3).unwrap() {
            sent.push(text(&queue, &lease));
            let outcomes = all(&lease, &relayed());
            // A process without power does not go on to the next one.
            if queue.settle(lease, outcomes, at(9)).is_err() || queue.tidy().is_err() {
                break;
            }
        }
        drop(queue);
        twins.fuse.set(i64::MAX);
        let queue = open(&twins, &ring, Options::default(), at(10)).unwrap();
        sent.extend(drain(&queue, at(10)));
        assert!(sent.len() <= 4, "{steps}: at most one duplicate: {sent:?}");
        sent.sort();
        sent.dedup();
        assert_eq!(sent.len(), 3, "{steps}: nothing is lost");
        while queue.tidy().unwrap() > 0 {}
        assert_eq!(twins.records.count(b"q/"), 0, "{steps}");
    }
}

#[test]
fn a_slot_that_went_to_somebody_else_after_a_crash_is_not_overwritten() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    queue.commit(vec![entry("ann@example.org", &["b@example.net"], "old")], vec![], at(0)).unwrap();
    assert_eq!(drain(&queue, at(0)).len(), 1);
    // The slot is overwritten, and the crash comes before its grave is removed.
    twins.fuse.set(1);
    assert!(queue.tidy().is_err());
    drop(queue);
    twins.fuse.set(i64::MAX);
    let queue = open(&twins, &ring, Options::default(), at(1)).unwrap();
    for number in 0..70 {
        queue.commit(vec![entry("ann@example.org", &["b@example.net"], &number.to_string())], vec![], at(1)).unwrap();
    }
    queue.tidy().unwrap();
    assert_eq!(drain(&queue, at(1)).len(), 70);
}

#[test]
fn what_was_leased_when_the_process_ended_is_due_again_and_no_clock_ends_a_lease() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    queue.commit(vec![entry("ann@example.org", &["b@example.net"], "x")], vec![], at(0)).unwrap();
    assert_eq!(queue.lease(Lane::default(), at(0), 9).unwrap().len(), 1);
    assert!(queue.lease(Lane::default(), at(60), 9).unwrap().is_empty());
    assert!(queue.lease(Lane::default(), at(30 * 86_400), 9).unwrap().is_empty());
    drop(queue);
    assert_eq!(open(&twins, &ring, Options::default(), at(1)).unwrap().lease(Lane::default(), at(1), 9).unwrap().len(), 1);
}

#[test]
fn a_damaged_record_is_set_aside_and_stops_nobody() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let ids: Vec<_> = (0..5)
        .map(|number| {
            queue.commit(vec![entry("ann@example.org", &["b@example.net"], &number.to_string())], vec![], at(0)).unwrap().ids()[0]
        })
        .collect();
    let key = [b"q/e/".as_slice(), &ids[2].0.to_be_bytes()].concat();
    twins.records.map.lock().unwrap().get_mut(&key).unwrap().0[40] ^= 1;
    assert_eq!(queue.list(None, 9).unwrap().len(), 4);
    drop(queue);
    let queue = open(&twins, &ring, Options::default(), at(1)).unwrap();
    assert_eq!(drain(&queue, at(1)).len(), 4);
    assert_eq!(queue.waiting(), 1);
    assert!(twins.records.map.lock().unwrap().contains_key(&key));
    assert_eq!(queue.drop_entry(ids[2]).unwrap(), Some(vec![]));
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn a_body_that_does_not_open_is_an_error_and_never_other_octets() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    for sent in ["small", &"x".repeat(100_000)] {
        queue.commit(vec![entry("ann@example.org", &["b@example.net"], sent)], vec![], at(0)).unwrap();
    }
    for (key, (value, _)) in twins.records.map.lock().unwrap().iter_mut().filter(|(key, _)| key.starts_with(b"q/b/")) {
        *value.last_mut().unwrap() ^= u8::try_from(key.len()).unwrap();
    }
    for blob in twins.blobs.map.lock().unwrap().values_mut() {
        *blob.last_mut().unwrap() ^= 1;
    }
    for lease in queue.lease(Lane::default(), at(0), 9).unwrap() {
        let mut octets = vec![];
        assert!(queue.body(&lease).read_to_end(&mut octets).is_err());
        // Whole chunks before the damage may have come; what came is what was sent.
        assert!(octets.len() < 100_000 && octets.iter().skip(17).all(|&octet| octet == b'x'));
    }
}

#[test]
fn a_final_failure_takes_the_link_back_and_the_report_holds_the_header_only() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let mut new = entry("ann@example.org", &["b@example.net"], "https://mail.example.org/m/secret");
    new.carries = Carries::Link([9; 16]);
    queue.commit(vec![new], vec![], at(0)).unwrap();
    let lease = queue.lease(Lane::default(), at(0), 1).unwrap().remove(0);
    let outcomes = all(&lease, &Fate::Failed(why(5)));
    let revoked = queue.settle(lease, outcomes, at(0)).unwrap();
    let [revoke] = revoked.as_slice() else { panic!("{revoked:?}") };
    assert_eq!((revoke.parcel, &revoke.recipient), ([9; 16], &mailbox("b@example.net")));
    let report = queue.lease(Lane::default(), at(0), 9).unwrap().remove(0);
    assert_eq!(report.envelope.reverse_path, ReversePath::Null);
    assert_eq!(report.envelope.recipients[0].forward_path, mailbox("ann@example.org"));
    assert_eq!(report.envelope.recipients[0].notify, Some(Notify::Never));
    assert!(!text(&queue, &report).contains("secret"));
}

#[test]
fn a_link_that_died_is_owed_until_it_was_taken_back_whatever_stops_in_between() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let mut new = entry("ann@example.org", &["b@example.net"], "link");
    new.carries = Carries::Link([9; 16]);
    queue.commit(vec![new], vec![], at(0)).unwrap();
    let lease = queue.lease(Lane::default(), at(0), 1).unwrap().remove(0);
    let outcomes = all(&lease, &Fate::Failed(why(5)));
    let died = queue.settle(lease, outcomes, at(0)).unwrap();
    assert_eq!(died.len(), 1);
    drop(queue);
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    assert_eq!(queue.owed().unwrap(), died);
    queue.revoked(&died[0]).unwrap();
    drop(queue);
    assert!(open(&twins, &ring, Options::default(), at(0)).unwrap().owed().unwrap().is_empty());
    assert_eq!(twins.records.count(b"q/r/"), 0);
}

#[test]
fn a_bounce_is_never_bounced_and_a_stranger_never_hears_of_it_but_the_log_does() {
    for (sender, because) in [("", "it was a report itself"), ("forged@example.com", "the sender is not of the house")] {
        let (twins, ring) = (Twins::new(), ring());
        let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
        queue.commit(vec![entry(sender, &["b@example.net"], "x")], vec![], at(0)).unwrap();
        let lease = queue.lease(Lane::default(), at(0), 1).unwrap().remove(0);
        let (id, outcomes) = (lease.id, all(&lease, &Fate::Failed(why(5))));
        let log = logged(|| drop(queue.settle(lease, outcomes, at(0)).unwrap()));
        assert_eq!(queue.waiting(), 0, "{sender:?}");
        let expect = format!("ERROR event=\"unreported\" id=\"{id}\" recipients=1 because=\"{because}\"\n");
        assert!(log.contains(&expect), "{log}");
    }
    // Who asked for no report misses none.
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let mut new = entry("forged@example.com", &["b@example.net"], "x");
    new.envelope.recipients[0].notify = Some(Notify::Never);
    queue.commit(vec![new], vec![], at(0)).unwrap();
    let lease = queue.lease(Lane::default(), at(0), 1).unwrap().remove(0);
    let outcomes = all(&lease, &Fate::Failed(why(5)));
    let log = logged(|| drop(queue.settle(lease, outcomes, at(0)).unwrap()));
    assert!(log.contains("failed") && !log.contains("unreported"), "{log}");
}

/// What the log says meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let make = move || Writer(Arc::clone(&writer));
    let subscriber = tracing_subscriber::fmt().with_writer(make).with_ansi(false).without_time().with_target(false).finish();
    tracing::subscriber::with_default(subscriber, work);
    let log = log.lock().unwrap().clone();
    String::from_utf8(log).unwrap()
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_operator_lists_shows_hurries_and_drops() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    for number in 0..3 {
        queue.commit(vec![entry("ann@example.org", &["b@example.net"], "x")], vec![], at(number)).unwrap();
    }
    for lease in queue.lease(Lane::default(), at(5), 9).unwrap() {
        let outcomes = all(&lease, &Fate::Deferred(why(4)));
        queue.settle(lease, outcomes, at(5)).unwrap();
    }
    let listed = queue.list(None, 2).unwrap();
    assert_eq!(listed.iter().map(|entry| entry.arrived).collect::<Vec<_>>(), [at(0), at(1)]);
    let rest = queue.list(Some(listed[1].id), 9).unwrap();
    assert_eq!((rest.len(), rest[0].arrived, rest[0].waits, rest[0].attempts), (1, at(2), Waits::Until(at(65)), 1));
    assert_eq!(rest[0].last, Some(why(4)));
    assert_eq!(queue.next_due(Lane::default()), Some(at(65)));
    assert_eq!(queue.retry(&[listed[1].id], at(6)).done, 1);
    assert_eq!(queue.lease(Lane::default(), at(6), 9).unwrap().iter().map(|lease| lease.id).collect::<Vec<_>>(), [listed[1].id]);
    assert_eq!(queue.drop_entry(rest[0].id).unwrap(), Some(vec![]));
    assert_eq!(queue.drop_entry(rest[0].id).unwrap(), None);
    assert!(queue.show(rest[0].id).unwrap().is_none());
    assert_eq!(queue.waiting(), 2);
}

#[test]
fn a_link_whose_mail_is_dropped_is_owed_until_it_was_taken_back() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    let mut new = entry("ann@example.org", &["b@example.net"], "link");
    new.carries = Carries::Link([9; 16]);
    let id = queue.commit(vec![new], vec![], at(0)).unwrap().ids()[0];
    let died = queue.drop_entry(id).unwrap().unwrap();
    assert_eq!(
        died.iter().map(|revoke| (revoke.parcel, revoke.recipient.clone())).collect::<Vec<_>>(),
        [([9; 16], mailbox("b@example.net"))]
    );
    drop(queue);
    assert_eq!(open(&twins, &ring, Options::default(), at(0)).unwrap().owed().unwrap(), died);
}

#[test]
fn while_the_next_hop_is_away_only_the_overdue_are_settled() {
    let (twins, ring) = (Twins::new(), ring());
    let queue = open(&twins, &ring, Options::default(), at(0)).unwrap();
    queue.commit(vec![entry("ann@example.org", &["b@example.net"], "x")], vec![], at(0)).unwrap();
    assert!(queue.lease_overdue(Lane::default(), at(3 * 3600), 9).unwrap().is_empty());
    let lease = queue.lease_overdue(Lane::default(), at(4 * 3600), 9).unwrap().remove(0);
    let outcomes = all(&lease, &Fate::Deferred(why(4)));
    queue.settle(lease, outcomes, at(4 * 3600)).unwrap();
    assert_eq!(queue.waiting(), 2, "the entry and the notice of its delay");
    assert!(queue.lease_overdue(Lane::default(), at(5 * 3600), 9).unwrap().is_empty());
}
