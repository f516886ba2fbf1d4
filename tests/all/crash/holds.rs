//! What an operator holds, releases and bounces; what a gateway that was away does with what waited.

use std::io::Read;
use std::sync::Arc;

use waxseal::clock::{Certainty, Moment};
use waxseal::crypto::KeyRing;
use waxseal::mail::{EnhancedStatus, Notify};
use waxseal::queue::{Bounce, Carries, Diagnostic, Fate, Lane, Lease, Options, Outcome, Party, Queue, QueueId, Selection, Tally, Waits};
use waxseal::store::SealedRecords;

use super::twins::Twins;
use super::{at, entry, mailbox, open};

const HOUR: i64 = 3600;

struct House {
    twins: Twins,
    ring: Arc<KeyRing>,
}

impl House {
    fn new() -> Self {
        Self { twins: Twins::new(), ring: Arc::new(KeyRing::generate()) }
    }

    fn open(&self, second: i64) -> Queue {
        open(&self.twins, &self.ring, Options::default(), at(second)).unwrap()
    }
}

fn take_on(queue: &Queue, from: &str, to: &[&str], second: i64) -> QueueId {
    queue.commit(vec![entry(from, to, "x")], vec![], at(second)).unwrap().ids()[0]
}

fn due(queue: &Queue, second: i64) -> Vec<Lease> {
    queue.lease(Lane::default(), at(second), 9).unwrap()
}

fn waits(queue: &Queue, id: QueueId) -> Waits {
    queue.show(id).unwrap().unwrap().waits
}

fn put_off(queue: &Queue, lease: Lease, second: i64) {
    let why = Diagnostic { status: EnhancedStatus::new(4, 2, 2), text: "full".into(), remote: Some("mx.example.net".into()) };
    let late = |to: &waxseal::mail::Recipient| Outcome { recipient: to.forward_path.clone(), fate: Fate::Deferred(why.clone()) };
    let outcomes = lease.envelope.recipients.iter().map(late).collect();
    queue.settle(lease, outcomes, at(second)).unwrap();
}

fn bounce(to: Option<&str>) -> Bounce {
    Bounce { to: to.map(|to| Party::parse(to).unwrap()), reason: "the partner has closed".into() }
}

const fn tally(done: usize, under_way: usize, unfit: usize) -> Tally {
    Tally { done, under_way, unfit, gone: 0, damaged: 0, untold: 0 }
}

#[test]
fn what_is_held_stays_so_over_a_start_and_is_not_given_up() {
    let house = House::new();
    let queue = house.open(0);
    let id = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    assert_eq!(queue.hold(&[id, QueueId(7)], at(1)).unwrap(), Tally { gone: 1, ..tally(1, 0, 0) });
    assert_eq!(queue.hold(&[id], at(1)).unwrap(), tally(0, 0, 1));
    for second in [2, 9000 * HOUR] {
        let queue = house.open(second);
        assert_eq!((waits(&queue, id), queue.census(at(second)).held, queue.stats()[0].held), (Waits::Held, 1, 1));
        assert!(due(&queue, second).is_empty() && queue.lease_overdue(Lane::default(), at(second), 9).unwrap().is_empty());
        assert_eq!(queue.retry(&[id], at(second)), tally(0, 0, 1), "only a release lets it go");
        assert_eq!(queue.next_due(Lane::default()), None);
    }
    let queue = house.open(9000 * HOUR);
    assert_eq!(queue.release(&[id], at(9000 * HOUR)).unwrap(), tally(1, 0, 0));
    assert_eq!(queue.release(&[id], at(9000 * HOUR)).unwrap(), tally(0, 0, 1));
    let lease = due(&queue, 9000 * HOUR).remove(0);
    put_off(&queue, lease, 9000 * HOUR);
    assert_eq!(queue.show(id).unwrap().unwrap().attempts, 1, "tried again, not given up");
    let queue = house.open(9000 * HOUR);
    assert_eq!(waits(&queue, id), Waits::Until(at(9000 * HOUR + 60)));
}

#[test]
fn a_hold_during_an_attempt_is_for_what_the_attempt_leaves() {
    let house = House::new();
    let queue = house.open(0);
    let ids = [0, 1].map(|second| take_on(&queue, "ann@example.org", &["b@example.net"], second));
    let mut leases = due(&queue, 1);
    assert_eq!(queue.hold(&ids, at(2)).unwrap(), tally(2, 2, 0));
    assert_eq!(waits(&queue, ids[0]), Waits::UnderWay);
    put_off(&queue, leases.remove(0), 3);
    assert_eq!(waits(&queue, ids[0]), Waits::Held);
    // The other attempt ends without a word, as by a crash.
    drop((leases, queue));
    let queue = house.open(2 * HOUR);
    assert!(due(&queue, 2 * HOUR).is_empty());
    assert_eq!(waits(&queue, ids[1]), Waits::Held);
}

#[test]
fn a_bounce_ends_an_entry_and_tells_its_sender_why_in_one_commit() {
    let house = House::new();
    let queue = house.open(0);
    let held = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    queue.hold(&[held], at(0)).unwrap();
    let mut link = entry("bea@example.org", &["c@example.net", "d@elsewhere.example"], "x");
    link.carries = Carries::Link([9; 16]);
    let link = queue.commit(vec![link], vec![], at(1)).unwrap().ids()[0];
    let stranger = take_on(&queue, "x@stranger.example", &["e@example.net"], 2);
    let mut quiet = entry("ann@example.org", &["f@example.net"], "x");
    quiet.envelope.recipients[0].notify = Some(Notify::Never);
    let quiet = queue.commit(vec![quiet], vec![], at(3)).unwrap().ids()[0];
    let (told, died) = queue.bounce(&[held, link, stranger, quiet, QueueId(7)], &bounce(Some("example.net")), at(4)).unwrap();
    assert_eq!(told, Tally { untold: 2, gone: 1, ..tally(4, 0, 0) });
    assert_eq!(died.iter().map(|revoke| revoke.recipient.clone()).collect::<Vec<_>>(), [mailbox("c@example.net")]);
    assert!([held, stranger, quiet].iter().all(|id| queue.show(*id).unwrap().is_none()));
    let rest = queue.show(link).unwrap().unwrap();
    assert_eq!(
        (rest.envelope.recipients.len(), rest.attempts, rest.envelope.recipients[0].forward_path.to_string().as_str()),
        (1, 0, "d@elsewhere.example")
    );
    // The report is there after a stop at once.
    let queue = house.open(5);
    let reports: Vec<String> = due(&queue, 5)
        .iter()
        .filter(|lease| lease.envelope.reverse_path.mailbox().is_none())
        .map(|lease| {
            let mut text = String::new();
            queue.body(lease).read_to_string(&mut text).unwrap();
            format!("{} {text}", lease.envelope.recipients[0].forward_path)
        })
        .collect();
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|report| report.contains("the partner has closed") && report.contains("Status: 5.7.1\r\n")), "{reports:?}");
    assert!(["ann@", "bea@"].iter().all(|to| reports.iter().any(|report| report.starts_with(to))));
}

#[test]
fn a_bounce_leaves_alone_what_an_attempt_has_and_what_is_for_others() {
    let house = House::new();
    let queue = house.open(0);
    let id = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    queue.hold(&[id], at(0)).unwrap();
    assert_eq!(queue.bounce(&[id], &bounce(Some("example.com")), at(0)).unwrap().0, tally(0, 0, 1));
    assert_eq!(waits(&queue, id), Waits::Held);
    queue.release(&[id], at(0)).unwrap();
    let lease = due(&queue, 0).remove(0);
    assert_eq!(queue.bounce(&[id], &bounce(None), at(0)).unwrap().0, tally(0, 1, 0));
    put_off(&queue, lease, 0);
    assert_eq!(queue.bounce(&[id], &bounce(None), at(0)).unwrap().0, tally(1, 0, 0));
    assert_eq!(queue.waiting(), 1, "the report");
}

#[test]
fn a_stop_in_a_hold_or_a_bounce_leaves_the_entry_as_it_was_or_as_it_shall_be() {
    for steps in 0..4 {
        let house = House::new();
        let queue = house.open(0);
        let id = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
        house.twins.fuse.set(steps);
        let held = queue.hold(&[id], at(1)).is_ok();
        let bounced = queue.bounce(&[id], &bounce(None), at(1)).is_ok();
        house.twins.fuse.set(i64::MAX);
        let queue = house.open(2);
        assert_eq!(queue.show(id).unwrap().is_none(), bounced, "{steps}");
        assert_eq!(queue.waiting(), 1, "{steps}: the entry, or the report");
        assert!(bounced || (waits(&queue, id) == Waits::Held) == held, "{steps}");
    }
}

#[test]
fn pages_of_a_selection_go_on_where_they_stopped_although_that_is_gone() {
    let house = House::new();
    let queue = house.open(0);
    let to = ["b@example.net", "c@example.com"];
    let ids: Vec<QueueId> = (0..7).map(|number| take_on(&queue, "ann@example.org", &[to[number % 2]], number as i64)).collect();
    let fitting = Selection { to: Party::parse("example.net"), from: None };
    let (mut found, mut after) = (vec![], None);
    loop {
        let (page, next) = queue.select(&fitting, after, 3);
        page.iter().for_each(|id| drop(queue.drop_entry(*id).unwrap()));
        found.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, [ids[0], ids[2], ids[4], ids[6]]);
    assert_eq!(queue.select(&Selection::default(), None, 9).0, [ids[1], ids[3], ids[5]]);
}

#[test]
fn a_gateway_that_was_away_for_longer_than_a_lifetime_tries_before_it_gives_up() {
    let house = House::new();
    let queue = house.open(0);
    let id = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    queue.mark(at(HOUR)).unwrap();
    let second = 200 * HOUR;
    let queue = house.open(second);
    for attempt in 0..20 {
        let lease = due(&queue, second + attempt * 5 * HOUR).into_iter().find(|lease| lease.id == id).unwrap();
        put_off(&queue, lease, second + attempt * 5 * HOUR);
    }
    assert_eq!(queue.show(id).unwrap().unwrap().attempts, 20, "119 hours of its lifetime were left");
    let end = second + 119 * HOUR;
    let lease = due(&queue, end).into_iter().find(|lease| lease.id == id).unwrap();
    put_off(&queue, lease, end);
    assert!(queue.show(id).unwrap().is_none());
}

#[test]
fn a_start_by_a_wrong_clock_gives_nobody_a_longer_life() {
    let house = House::new();
    let queue = house.open(0);
    let old = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    queue.mark(at(HOUR)).unwrap();
    // Off for an hour, and the clock shows years more until a time server puts it right.
    let years = 200_000 * HOUR;
    let moment = Moment { now: at(years), certainty: Certainty::InDoubt };
    let queue = open(&house.twins, &house.ring, Options::default(), moment).unwrap();
    let new = take_on(&queue, "ann@example.org", &["b@example.net"], years);
    queue.mark(at(2 * HOUR)).unwrap();
    queue.retry(&[old, new], at(2 * HOUR));
    let put_off_all = |second: i64| due(&queue, second).into_iter().for_each(|lease| put_off(&queue, lease, second));
    for hour in [2, 20, 40, 60] {
        put_off_all(hour * HOUR);
    }
    let is_there = |id| queue.show(id).unwrap().is_some();
    assert!(is_there(old) && is_there(new));
    // While their way is away they are found by their deadlines.
    let overdue = queue.lease_overdue(Lane::default(), at(122 * HOUR), 9).unwrap();
    assert!(overdue.iter().any(|lease| lease.id == old) && overdue.iter().any(|lease| lease.id == new));
    overdue.into_iter().for_each(|lease| put_off(&queue, lease, 122 * HOUR));
    assert!(!is_there(old) && !is_there(new), "120 hours, and the one in which nothing ran");
}

#[test]
fn what_is_held_before_the_queue_opens_has_its_lifetime_when_it_is_released() {
    let house = House::new();
    let queue = house.open(0);
    let id = take_on(&queue, "ann@example.org", &["b@example.net"], 0);
    queue.mark(at(20 * HOUR)).unwrap();
    drop(queue);
    let records = SealedRecords::new(house.twins.records.clone(), house.ring.clone());
    assert_eq!(waxseal::queue::hold_all(&records).unwrap(), 1);
    let queue = house.open(500 * HOUR);
    queue.release(&[id], at(600 * HOUR)).unwrap();
    for (hour, is_there) in [(600, true), (610, true), (620, true), (630, true), (699, true), (700, false)] {
        for lease in due(&queue, hour * HOUR).into_iter().filter(|lease| lease.id == id) {
            put_off(&queue, lease, hour * HOUR);
        }
        assert_eq!(queue.show(id).unwrap().is_some(), is_there, "{hour}: 100 hours were left");
    }
}
