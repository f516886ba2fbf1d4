//! Mail that waits for what does not come: each ends as one report to its sender, and none of it was seen on the way.
//!
//! Rows of the faults to be survived: D12 (a recipient whose domain is not there, beside others), D13 (six defects of a
//! server's TLS where verified TLS is demanded).

use std::net::Ipv4Addr;

use waxseal::relay::{NextHops, Options, RouteOptions, Tls, Ways};

use super::matrix::Issuer;
use super::receivers::{CUT, OLD, STRIPPED, WHOLE};
use super::relaying::Net;
use super::world::{Made, policy};
use super::zones::Zones;
use crate::crash::entry;
use crate::crash::raw_sink::{RawSink, obliging, wait_until};
use crate::crash::relays::House;

/// A relay by MX, and where its own domain's mail ends.
fn house(net: &Net, zones: &Zones, tls: Tls) -> (House, RawSink) {
    let inside = RawSink::start(obliging);
    let next_hop = NextHops::from(inside.address.to_string().as_str());
    let routes = vec![RouteOptions { recipients: vec!["internal".into()], next_hop, tls: Tls::None, ..RouteOptions::default() }];
    let rest = Options { next_hop: NextHops::from("mx"), tls, ..Options::default() };
    (House::by(&net.twins, &net.ring, (Ways { rest, routes }, net.transport(&zones.by_word()))), inside)
}

/// Every report that came: whom it names, what became of that mail, and why.
fn reports(inside: &RawSink) -> Vec<(String, String)> {
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim_start_matches("rfc822;").trim().to_owned()
    };
    let taken = inside.taken();
    let texts = taken.iter().inspect(|mail| assert!(mail.mail.starts_with("MAIL FROM:<>"), "{}", mail.mail));
    let texts = texts.map(|mail| String::from_utf8_lossy(&mail.octets).into_owned());
    texts.map(|text| (field(&text, "Final-Recipient: "), format!("{} {}", field(&text, "Action: "), field(&text, "Status: ")))).collect()
}

#[test]
fn each_defect_of_tls_ends_in_one_report_and_nothing_of_the_message_was_said_in_the_clear() {
    let mut net = Net::new();
    let (ours, well) = (Issuer::Ours, Made::Well);
    let defects: [(&str, Ipv4Addr, Issuer, Made); 6] = [
        ("expired", WHOLE, ours, Made::Expired),
        ("misnamed", WHOLE, ours, Made::For("elsewhere.example")),
        ("selfmade", WHOLE, Issuer::Stranger, well),
        ("cut", CUT, ours, well),
        ("old", OLD, ours, well),
        ("stripped", STRIPPED, ours, well),
    ];
    for (name, address, issuer, made) in defects {
        let host = format!("mx.{name}.plain.example");
        net.world.shown.put(&host, &net.world.issuer(issuer).issue(&host, made));
        net.mx(&format!("{name} MX 10 mx.{name}\nmx.{name} A {address}\n"));
        // Without one there would be no name that a certificate could be held against.
        net.world.policy(&format!("{name}.plain.example"), policy("enforce", &host));
    }
    let zones = Zones::serve(&net.world.content);
    let (house, inside) = house(&net, &zones, Tls::Verified);
    for (name, ..) in defects {
        house.send(vec![entry("sue@example.org", &[&format!("{name}@{name}.plain.example")], "for your eyes")]);
    }
    wait_until(|| house.queue.list(None, 9).unwrap().iter().filter(|listed| listed.attempts == 1).count() == defects.len());
    for listed in house.queue.list(None, 9).unwrap() {
        assert_eq!(listed.last.unwrap().status.to_string(), "4.7.5", "{:?}", listed.envelope.recipients);
    }
    // The lifetime, and as many attempts as there are at least.
    for attempts in 2..=waxseal::queue::ATTEMPTS_MIN {
        house.later(31 * 3_600);
        wait_until(|| house.queue.list(None, 9).unwrap().iter().all(|listed| listed.attempts == attempts));
    }
    house.until_empty();
    let mut told = reports(&inside);
    told.sort();
    // One word in between that it is late, and one at the end.
    let both = |(name, ..): (&str, _, _, _)| {
        ["delayed 4.7.5", "failed 5.4.7"].map(|fate| (format!("{name}@{name}.plain.example"), fate.to_owned()))
    };
    let mut expected = defects.map(both).concat();
    expected.sort();
    assert_eq!(told, expected);
    assert!(net.receivers.taken().is_empty());
    let clear = net.receivers.clear();
    assert!(clear.iter().any(|line| line.starts_with("EHLO")), "the servers were asked");
    let said = |words: &str| clear.iter().any(|line| line.contains(words));
    assert!(!said("MAIL") && !said("plain.example>") && !said("for your eyes"), "{clear:?}");
}

#[test]
fn of_several_recipients_the_one_whose_domain_is_not_there_is_reported_once() {
    let mut net = Net::new();
    net.host("mx", WHOLE);
    net.mx("one MX 10 mx\n");
    let zones = Zones::serve(&net.world.content);
    let (house, inside) = house(&net, &zones, Tls::Opportunistic);
    house.send(vec![entry("sue@example.org", &["a@one.plain.example", "b@missing.plain.example", "c@one.plain.example"], "x")]);
    house.until_empty();
    assert_eq!(reports(&inside), [(String::from("b@missing.plain.example"), String::from("failed 5.1.2"))]);
    let taken = net.receivers.taken();
    let rcpts: Vec<&str> = taken.iter().flat_map(|mail| &mail.rcpts).map(String::as_str).collect();
    assert_eq!(rcpts, ["RCPT TO:<a@one.plain.example>", "RCPT TO:<c@one.plain.example>"]);
    // Nothing more comes of it.
    house.later(121 * 3_600);
    house.until_empty();
    assert_eq!((inside.taken().len(), net.receivers.taken().len()), (1, 1));
}
