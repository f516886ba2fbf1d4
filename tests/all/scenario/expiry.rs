//! What a link says before its time, after it, and when it never was one.

use std::io::{Read, Write};
use std::net::TcpStream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::backup::{done, waxseal};
use super::house::{House, contains, link};
use crate::crash::raw_sink::{RawSink, Stage, obliging, say, wait_until};

const SECRET: &str = "From: emma@example.org\nTo: jonas@mail.example\nSubject: results\n\npnr 850709-9805\n";

#[test]
fn a_link_that_expired_says_so_and_a_wrong_one_says_nothing() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    let link = link(&house.arrived(1)[0]).unwrap();
    assert!(page(&house, &link).starts_with("HTTP/1.1 200"));
    assert!(page(&house, &"a".repeat(32)).starts_with("HTTP/1.1 404"));
    house.turn_clock(15 * 24);
    let over = page(&house, &link);
    assert!(over.starts_with("HTTP/1.1 410") && over.contains("This link has expired"), "{over}");
}

#[test]
fn a_wrong_clock_ends_no_link_and_a_clock_set_back_brings_none_back() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    let link = link(&house.arrived(1)[0]).unwrap();
    house.jump_clock(30 * 24);
    assert!(page(&house, &link).starts_with("HTTP/1.1 200"), "a jump alone is not believed");
    house.jump_clock(-30 * 24);
    assert!(page(&house, &link).starts_with("HTTP/1.1 200"));
    house.jump_clock(30 * 24);
    assert!(page(&house, &link).starts_with("HTTP/1.1 200"));
    house.turn_clock(1);
    assert!(page(&house, &link).starts_with("HTTP/1.1 410"), "an hour of the new time is");
    house.jump_clock(-30 * 24);
    house.turn_clock(1);
    assert!(page(&house, &link).starts_with("HTTP/1.1 410"));
}

#[test]
fn a_link_that_is_made_while_the_clock_is_wrong_lives_as_long_as_any() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    page(&house, &link(&house.arrived(1)[0]).unwrap());
    house.jump_clock(60 * 24);
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    let link = link(&house.arrived(2)[1]).unwrap();
    house.jump_clock(-60 * 24);
    house.turn_clock(13 * 24);
    assert!(page(&house, &link).starts_with("HTTP/1.1 200"));
    house.turn_clock(2 * 24);
    assert!(page(&house, &link).starts_with("HTTP/1.1 410"));
}

/// Row D15 of the faults to be survived.
#[test]
fn a_clock_that_jumps_bounces_nothing_that_waits_and_ends_no_link() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let house = House::before(RawSink::start(move |stage: &Stage| match stage {
        Stage::Rcpt(line) if line.contains("late@") => {
            count.fetch_add(1, Ordering::SeqCst);
            say("451 4.7.1 later")
        }
        other => obliging(other),
    }));
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    let link = link(&house.arrived(1)[0]).unwrap();
    assert!(house.send("emma@example.org", &["late@mail.example"], "From: emma@example.org\nSubject: waits\n\ntext\n").starts_with("250"));
    for hours in [720, -720, -720, 720, 1, -1] {
        house.jump_clock(hours);
        // As many attempts as would end it, were its lifetime over.
        for _ in 0..6 {
            let before = asked.load(Ordering::SeqCst);
            wait_until(|| {
                done(waxseal(&house, &["queue", "retry", "--all"]));
                asked.load(Ordering::SeqCst) > before
            });
        }
        let listed = done(waxseal(&house, &["queue", "list"]));
        assert!(listed.matches('→').count() == 1 && listed.contains("late@mail.example"), "{hours}: {listed}");
        assert!(page(&house, &link).starts_with("HTTP/1.1 200"), "{hours}");
    }
    assert_eq!(house.sink.taken().len(), 1, "nobody was told of a failure or a delay");
}

#[test]
fn an_attempt_that_runs_is_nobody_elses_whatever_the_clock_shows() {
    let asked = AtomicUsize::new(0);
    let house = House::before(RawSink::start(move |stage: &Stage| match stage {
        // What is offered while the client waits goes into the queue, and from there again.
        Stage::Rcpt(line) if line.contains("slow@") && asked.fetch_add(1, Ordering::SeqCst) == 0 => say("451 4.7.1 later"),
        Stage::Dot(octets) if contains(octets, "Subject: slow") => {
            std::thread::sleep(Duration::from_secs(4));
            obliging(stage)
        }
        other => obliging(other),
    }));
    assert!(house.send("emma@example.org", &["slow@mail.example"], "From: emma@example.org\nSubject: slow\n\ntext\n").starts_with("250"));
    let begun = || house.sink.stages().iter().filter(|stage| matches!(stage, Stage::Data)).count();
    let refused = begun();
    done(waxseal(&house, &["queue", "retry", "--all"]));
    wait_until(|| begun() > refused);
    for hours in [3, 720, -720] {
        house.jump_clock(hours);
        let _ = waxseal(&house, &["queue", "retry", "--all"]);
    }
    house.arrived(1);
    wait_until(|| !done(waxseal(&house, &["queue", "list"])).contains('→'));
    assert_eq!((begun() - refused, house.sink.taken().len()), (1, 1));
}

fn page(house: &House, link: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", house.web)).unwrap();
    write!(stream, "GET /m/{link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
