//! Several ways out: each with limits and fates of its own.

use std::time::{Duration, Instant};

use waxseal::relay::{NextHops, RouteOptions, Ways};
use waxseal::smtp::Receipt;

use super::raw_sink::{Act, RawSink, Stage, obliging, wait_until};
use super::relays::{House, plain, stores};

/// A route for these recipients.
fn route(recipients: &[&str], next_hop: &str) -> RouteOptions {
    let way = plain(next_hop);
    RouteOptions {
        recipients: recipients.iter().map(ToString::to_string).collect(),
        next_hop: way.next_hop,
        tls: way.tls,
        connections: way.connections,
        ..RouteOptions::default()
    }
}

fn count(sink: &RawSink, address: &str) -> usize {
    sink.taken().iter().flat_map(|mail| &mail.rcpts).filter(|line| line.contains(address)).count()
}

#[test]
fn recipients_go_their_own_ways_and_one_that_is_closed_keeps_nobody_else_waiting() {
    let (inside, partner, rest) =
        (RawSink::start(obliging), RawSink::start(|_| Act::SayAndClose("421 4.3.2 closed".into())), RawSink::start(obliging));
    let (twins, ring) = stores();
    let routes = vec![route(&["internal"], &inside.address.to_string()), route(&["partner.example"], &partner.address.to_string())];
    let house = House::with(&twins, &ring, Ways { rest: plain(&rest.address.to_string()), routes });
    for _ in 0..20 {
        let to = ["ann@example.org", "p@partner.example", "x@elsewhere.example"];
        assert!(matches!(house.take_on_one(&to), Ok(Receipt::Queued(_))));
    }
    wait_until(|| house.queue.waiting() == 20);
    assert_eq!((count(&inside, "ann@"), count(&rest, "x@"), partner.taken().len()), (20, 20, 0));
    assert!(inside.taken().iter().all(|mail| mail.rcpts.len() == 1), "nobody hears of the others");
    assert!(matches!(house.take_on_one(&["x@elsewhere.example"]), Ok(Receipt::Relayed(_))), "one way alone is offered");
    let stats = house.queue.stats();
    assert_eq!(stats.iter().map(|waiting| (waiting.lane.route, waiting.due + waiting.leased)).collect::<Vec<_>>(), [(2, 20)]);
}

#[test]
fn what_waits_finds_its_way_again_after_a_restart_with_other_routes() {
    let (twins, ring) = stores();
    let house = House::with(&twins, &ring, Ways { rest: plain("127.0.0.1:1"), routes: vec![] });
    assert!(matches!(house.take_on_one(&["ann@example.org", "x@elsewhere.example"]), Ok(Receipt::Queued(_))));
    house.kill();
    let (inside, rest) = (RawSink::start(obliging), RawSink::start(obliging));
    let ways = Ways { rest: plain(&rest.address.to_string()), routes: vec![route(&["internal"], &inside.address.to_string())] };
    let house = House::with(&twins, &ring, ways);
    house.later(3600);
    house.until_empty();
    assert_eq!((count(&inside, "ann@"), count(&inside, "x@"), count(&rest, "x@"), count(&rest, "ann@")), (1, 0, 1, 0));
}

#[test]
fn an_entry_with_several_ways_goes_them_at_once_and_a_slow_one_keeps_nobody_waiting() {
    let (twins, ring) = stores();
    let house = House::with(&twins, &ring, Ways { rest: plain("127.0.0.1:1"), routes: vec![] });
    assert!(matches!(house.take_on_one(&["ann@example.org", "x@elsewhere.example"]), Ok(Receipt::Queued(_))));
    house.kill();
    let (silent, rest) = (RawSink::start(|_| Act::Hang), RawSink::start(obliging));
    let ways = Ways { rest: plain(&rest.address.to_string()), routes: vec![route(&["internal"], &silent.address.to_string())] };
    let house = House::with(&twins, &ring, ways);
    house.later(3600);
    wait_until(|| silent.stages().len() == 1);
    rest.wait_for(1);
    assert_eq!((count(&rest, "x@"), count(&rest, "ann@")), (1, 0));
}

#[test]
fn hops_share_the_load_and_stand_in_for_each_other() {
    let (large, small, last) = (RawSink::start(obliging), RawSink::start(obliging), RawSink::start(obliging));
    let (twins, ring) = stores();
    let hops = |large: &str| NextHops(vec![format!("{large}*3"), format!("{}", small.address), format!("{}*0", last.address)]);
    let ways = Ways { rest: waxseal::relay::Options { next_hop: hops(&large.address.to_string()), ..plain("x:1") }, routes: vec![] };
    let house = House::with(&twins, &ring, ways);
    for _ in 0..40 {
        assert!(matches!(house.take_on_one(&["b@example.net"]), Ok(Receipt::Relayed(_))));
    }
    assert_eq!((large.taken().len(), small.taken().len(), last.taken().len()), (30, 10, 0));
    house.kill();

    // The large one is gone for good: its share is the others', at once and without a loss.
    let gone = "127.0.0.1:1";
    let ways = Ways { rest: waxseal::relay::Options { next_hop: hops(gone), ..plain("x:1") }, routes: vec![] };
    let house = House::with(&twins, &ring, ways);
    for _ in 0..10 {
        assert!(matches!(house.take_on_one(&["b@example.net"]), Ok(Receipt::Relayed(_))));
    }
    assert_eq!((small.taken().len(), last.taken().len()), (20, 0));
}

#[test]
fn a_hop_that_hangs_up_at_mail_is_passed_over() {
    let bad = RawSink::start(|stage| match stage {
        Stage::Mail(_) => Act::Reset,
        _ => obliging(stage),
    });
    let good = RawSink::start(obliging);
    let (twins, ring) = stores();
    let next_hop = NextHops(vec![bad.address.to_string(), good.address.to_string()]);
    let house = House::with(&twins, &ring, Ways { rest: waxseal::relay::Options { next_hop, ..plain("x:1") }, routes: vec![] });
    for _ in 0..4 {
        assert!(matches!(house.take_on_one(&["b@example.net"]), Ok(Receipt::Relayed(_))));
    }
    assert_eq!((bad.taken().len(), good.taken().len()), (0, 4));
}

#[test]
fn no_more_goes_a_minute_than_the_way_takes() {
    let sink = RawSink::start(obliging);
    let (twins, ring) = stores();
    let rest = waxseal::relay::Options { per_minute: 600, ..plain(&sink.address.to_string()) };
    let house = House::with(&twins, &ring, Ways { rest, routes: vec![] });
    let began = Instant::now();
    for _ in 0..15 {
        assert!(matches!(house.take_on_one(&["b@example.net"]), Ok(Receipt::Relayed(_))));
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "ten a second, and a few more at first: {:?}", began.elapsed());
    assert_eq!(sink.taken().len(), 15);
}

#[test]
fn what_waits_for_its_pace_is_not_under_way() {
    let sink = RawSink::start(obliging);
    let (twins, ring) = stores();
    let rest = waxseal::relay::Options { per_minute: 30, connections: 40, ..plain(&sink.address.to_string()) };
    let house = House::with(&twins, &ring, Ways { rest, routes: vec![] });
    house.send((0..40).map(|_| super::entry("ann@example.org", &["b@example.net"], "text")).collect());
    sink.wait_for(4);
    // Thirty a minute: those of the next ten seconds stand in line, the others wait in the queue.
    let leased = house.queue.stats()[0].leased;
    assert!((1..20).contains(&leased), "{leased}");
    let before = sink.taken().len();
    wait_until(|| sink.taken().len() > before + 1);
}

#[test]
fn connections_come_from_the_address_that_is_asked_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hop = listener.local_addr().unwrap();
    let peers = std::thread::spawn(move || listener.accept().unwrap().1.ip());
    let (twins, ring) = stores();
    let rest = waxseal::relay::Options { source: Some("127.0.0.9".parse().unwrap()), ..plain(&hop.to_string()) };
    let house = House::with(&twins, &ring, Ways { rest, routes: vec![] });
    let _ = house.take_on_one(&["b@example.net"]);
    assert_eq!(peers.join().unwrap().to_string(), "127.0.0.9");
}
