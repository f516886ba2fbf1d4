//! The fast path against a raw sink: what is said to the client is what the next hop said, or what is on the disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use waxseal::mail::Notify;
use waxseal::queue::NewEntry;
use waxseal::relay::Made;
use waxseal::smtp::{Receipt, Refusal};

use super::entry;
use super::raw_sink::{Act, RawSink, Stage, obliging, say, wait_until};
use super::relays::{House, stores};

impl House {
    pub fn take_on(&self, entries: Vec<NewEntry>) -> Result<Receipt, Refusal> {
        let made = Made { entries, go_live: vec![], id: String::from("0123") };
        self.runtime().block_on(self.relay.take_on(made))
    }

    pub fn take_on_one(&self, to: &[&str]) -> Result<Receipt, Refusal> {
        self.take_on(vec![entry("ann@example.org", to, "text")])
    }
}

const BOB: &[&str] = &["b@example.net"];

#[test]
fn what_the_next_hop_takes_at_once_needs_no_disk() {
    let sink = RawSink::start(obliging);
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    twins.fuse.set(0);
    for _ in 0..3 {
        assert!(matches!(house.take_on_one(&["b@example.net", "c@example.net"]), Ok(Receipt::Relayed(_))));
    }
    assert_eq!((sink.taken().len(), house.queue.waiting()), (3, 0));
    let greetings = sink.stages().iter().filter(|stage| **stage == Stage::Greeting).count();
    assert_eq!(greetings, 1, "one connection for all");
}

#[test]
fn without_a_next_hop_it_is_on_the_disk_before_anything_is_said() {
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, "127.0.0.1:1");
    for _ in 0..2 {
        assert!(matches!(house.take_on_one(BOB), Ok(Receipt::Queued(_))));
    }
    assert_eq!(house.queue.waiting(), 2);
    twins.fuse.set(0);
    assert!(matches!(house.take_on_one(BOB), Err(Refusal::Unavailable(_))));
}

#[test]
fn a_refusal_of_all_is_passed_on_and_a_divided_one_becomes_an_entry() {
    let sink = RawSink::start(|stage| match stage {
        Stage::Rcpt(line) if line.contains("never@") => say("550 5.1.1 nobody of that name"),
        Stage::Rcpt(line) if line.contains("later@") => say("450 4.2.1 later"),
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    let refused = house.take_on_one(&["never@example.net"]);
    assert!(
        matches!(&refused, Err(Refusal::ByNextHop(said)) if said.code == Some(550) && said.words == "nobody of that name"),
        "{refused:?}"
    );
    assert_eq!((house.queue.waiting(), sink.taken().len()), (0, 0));

    assert!(matches!(house.take_on_one(&["now@example.net", "later@example.net"]), Ok(Receipt::Queued(_))));
    let open = house.queue.list(None, 9).unwrap();
    assert_eq!((open.len(), open[0].envelope.recipients.len(), open[0].attempts), (1, 1, 1));

    assert!(matches!(house.take_on_one(&["now@example.net", "never@example.net"]), Ok(Receipt::Queued(_))));
    let taken = sink.wait_for(3);
    assert!(taken[2].rcpts[0].contains("ann@example.org") && String::from_utf8_lossy(&taken[2].octets).contains("5.1.1"), "a report");
    wait_until(|| house.queue.waiting() == 1);
}

#[test]
fn a_report_of_success_that_the_next_hop_will_not_make_is_ours() {
    let sink = RawSink::start(|stage| match stage {
        Stage::Ehlo => say("250-sink.example.net\n250 PIPELINING"),
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    let mut asked = entry("ann@example.org", BOB, "text");
    asked.envelope.recipients[0].notify = Some(Notify::On { success: true, failure: true, delay: false });
    assert!(matches!(house.take_on(vec![asked]), Ok(Receipt::Queued(_))));
    let taken = sink.wait_for(2);
    assert!(String::from_utf8_lossy(&taken[1].octets).contains("Action: relayed"));
    wait_until(|| house.queue.waiting() == 0);
}

#[test]
fn a_next_hop_that_dawdles_before_the_dot_never_gets_it_twice() {
    let sink = RawSink::start(|stage| {
        if *stage == Stage::Data {
            std::thread::sleep(Duration::from_secs(4));
        }
        obliging(stage)
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    let began = Instant::now();
    assert!(matches!(house.take_on_one(BOB), Ok(Receipt::Queued(_))));
    assert!(began.elapsed() < Duration::from_secs(4), "the client does not wait for it");
    wait_until(|| house.queue.waiting() == 0);
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn a_next_hop_that_dawdles_after_the_dot_settles_an_entry_that_nobody_else_attempts() {
    let sink = RawSink::start(|stage| {
        if matches!(stage, Stage::Dot(_)) {
            std::thread::sleep(Duration::from_secs(12));
        }
        obliging(stage)
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    let began = Instant::now();
    assert!(matches!(house.take_on_one(BOB), Ok(Receipt::Queued(_))));
    assert!(began.elapsed() < Duration::from_secs(12));
    assert_eq!(house.queue.waiting(), 1);
    wait_until(|| house.queue.waiting() == 0);
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn what_becomes_late_after_the_stop_is_settled_and_nothing_new_is_offered() {
    let sink = RawSink::start(|stage| {
        if matches!(stage, Stage::Dot(_)) {
            std::thread::sleep(Duration::from_secs(12));
        }
        obliging(stage)
    });
    let (twins, ring) = stores();
    let mut house = House::start(&twins, &ring, &sink.address.to_string());
    let relay = house.relay.clone();
    let made = Made { entries: vec![entry("ann@example.org", BOB, "text")], go_live: vec![], id: String::from("0123") };
    let offer = house.runtime().spawn(async move { relay.take_on(made).await });
    wait_until(|| sink.stages().contains(&Stage::Data));
    house.ask_to_stop();
    std::thread::sleep(Duration::from_secs(1));
    assert!(matches!(house.take_on_one(&["c@example.net"]), Ok(Receipt::Queued(_))));
    assert!(matches!(house.runtime().block_on(offer).unwrap(), Ok(Receipt::Queued(_))));
    assert_eq!(house.queue.waiting(), 2);
    wait_until(|| house.queue.waiting() == 1);
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn a_loss_after_the_dot_is_an_entry_that_is_tried_again() {
    let dots = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| match stage {
        Stage::Dot(_) if dots.fetch_add(1, Ordering::SeqCst) == 0 => Act::Reset,
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    assert!(matches!(house.take_on_one(BOB), Ok(Receipt::Queued(_))));
    assert_eq!(house.queue.waiting(), 1);
    house.later(61);
    house.until_empty();
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn more_offers_than_connections_wait_their_turn_and_the_queue_has_one_too() {
    let sink = RawSink::start(|stage| {
        if matches!(stage, Stage::Dot(_)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        obliging(stage)
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send((0..8).map(|number| entry("ann@example.org", &["queued@example.net"], &number.to_string())).collect());
    let offers: Vec<_> = (0..40)
        .map(|_| {
            let relay = house.relay.clone();
            let made = Made { entries: vec![entry("ann@example.org", BOB, "text")], go_live: vec![], id: String::from("0123") };
            house.runtime().spawn(async move { relay.take_on(made).await })
        })
        .collect();
    for offer in offers {
        house.runtime().block_on(offer).unwrap().unwrap();
    }
    house.until_empty();
    let greetings = sink.stages().iter().filter(|stage| **stage == Stage::Greeting).count();
    assert_eq!(sink.taken().len(), 48);
    assert!(greetings <= 4, "{greetings} connections where four are allowed");
}
