//! What a next hop has said while nothing can be written: it is kept, written later, and nothing goes out twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::entry;
use super::raw_sink::{RawSink, Stage, obliging, say, wait_until};
use super::relays::{House, stores};

/// Transactions that were begun.
fn begun(sink: &RawSink) -> usize {
    sink.stages().iter().filter(|stage| matches!(stage, Stage::Mail(_))).count()
}

/// Long enough for whoever would attempt it again.
fn hours_go_by(house: &House) {
    for seconds in [61, 301, 3601] {
        house.later(seconds);
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn while_the_store_takes_nothing_what_was_relayed_is_not_sent_again_and_nothing_else_is() {
    let (twins, ring) = stores();
    let fuse = Arc::clone(&twins.fuse);
    let refusals = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| {
        match stage {
            Stage::Rcpt(line) if line.contains("later@") && refusals.fetch_add(1, Ordering::SeqCst) == 0 => return say("450 4.2.1 later"),
            // The disk is full from here on: by the time of the answer nothing can be written.
            Stage::Dot(octets) if octets.ends_with(b"first\r\n") => fuse.set(0),
            _ => {}
        }
        obliging(stage)
    });
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["later@example.net"], "second")]);
    wait_until(|| house.queue.list(None, 1).unwrap().first().is_some_and(|entry| entry.attempts == 1));
    house.send(vec![entry("ann@example.org", &["b@example.net"], "first")]);
    sink.wait_for(1);
    hours_go_by(&house);
    assert_eq!((begun(&sink), house.queue.waiting()), (2, 2), "who would send now could not keep what came of it");

    twins.fuse.set(i64::MAX);
    house.until_empty();
    assert_eq!((begun(&sink), sink.taken().len()), (3, 2), "each once");
}

#[test]
fn an_entry_whose_record_cannot_be_read_keeps_its_outcome_and_nobody_else_waiting() {
    let (twins, ring) = stores();
    let records = Arc::clone(&twins.records);
    let sink = RawSink::start(move |stage| {
        if matches!(stage, Stage::Dot(octets) if octets.ends_with(b"first\r\n")) {
            spoil(&records);
        }
        obliging(stage)
    });
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["b@example.net"], "first")]);
    sink.wait_for(1);
    house.send(vec![entry("ann@example.org", &["b@example.net"], "second")]);
    sink.wait_for(2);
    wait_until(|| house.queue.waiting() == 1);
    hours_go_by(&house);
    assert_eq!((begun(&sink), house.queue.waiting()), (2, 1));

    spoil(&twins.records);
    house.until_empty();
    assert_eq!((begun(&sink), sink.taken().len()), (2, 2), "each once");
}

/// Turns a bit of the only entry's record; done again, it is as it was.
fn spoil(records: &super::twins::MemoryRecords) {
    let mut map = records.map.lock().unwrap();
    let (_, (value, _)) = map.iter_mut().find(|(key, _)| key.starts_with(b"q/e/")).unwrap();
    value[40] ^= 1;
}

#[test]
fn a_stop_waits_for_a_store_that_comes_back() {
    let (twins, ring) = stores();
    let fuse = Arc::clone(&twins.fuse);
    let sink = RawSink::start(move |stage| {
        if matches!(stage, Stage::Dot(_)) {
            fuse.set(0);
        }
        obliging(stage)
    });
    let mut house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["b@example.net"], "first")]);
    sink.wait_for(1);
    thread::sleep(Duration::from_millis(300));
    house.ask_to_stop();
    thread::sleep(Duration::from_millis(300));
    twins.fuse.set(i64::MAX);
    wait_until(|| house.queue.waiting() == 0);
}
