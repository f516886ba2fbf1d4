//! Mail that policy leaves alone is byte-identical below the one field that we add.

use std::collections::BTreeMap;

use super::house::{House, below_received};
use crate::corpus;
use crate::rewrite::specimens;

const PLAIN: &str =
    "From: Emma <emma@example.org>\nTo: anders@example.org\nSubject: hello\n\n.a line that begins with a dot\n..and two\nend\n";

#[test]
fn an_internal_mail_arrives_byte_for_byte() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["anders@example.org"], PLAIN).starts_with("250 2."));
    let taken = house.arrived(1);
    let wire = String::from_utf8(taken[0].octets.clone()).unwrap();
    let unstuffed = wire.replace("\r\n.", "\r\n");
    assert_eq!(below_received(unstuffed.as_bytes()), PLAIN.replace('\n', "\r\n").as_bytes());
}

#[test]
fn what_is_known_of_the_client_stays_in_the_house_where_that_is_asked_for() {
    let mut house = House::open();
    house.stop();
    let file = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[smtp]\n", "[smtp]\ntrace_client = \"none\"\n");
    std::fs::write(&file, text).unwrap();
    house.start();
    assert!(house.send("emma@example.org", &["anders@example.org"], PLAIN).starts_with("250 2."));
    let taken = house.arrived(1);
    let wire = String::from_utf8(taken[0].octets.clone()).unwrap();
    assert!(wire.starts_with("Received: from unknown\r\n by gateway.example.org with ESMTP\r\n id "), "{wire}");
    assert!(!wire.contains("127.0.0.1") && !wire.contains("client.example.org"), "{wire}");
}

#[test]
fn a_thousand_shapes_of_real_mail_pass_inside_byte_for_byte() {
    let house = House::open();
    let mut sent = BTreeMap::new();
    let mut refused = Vec::new();
    for (name, octets) in corpus::mails().into_iter().chain(specimens::generated()) {
        let case = format!("X-Case: {name}\r\n");
        let mut message = [b"From: Emma <emma@example.org>\r\n", case.as_bytes(), &without_authors(&octets)].concat();
        // On the wire every message ends with a line end.
        if !message.ends_with(b"\r\n") {
            message.extend_from_slice(b"\r\n");
        }
        let said = house.send_octets("emma@example.org", &["anders@example.org"], &message);
        match said.starts_with("250") {
            true => assert!(sent.insert(case, message).is_none()),
            false => refused.push(format!("{name}: {said}")),
        }
    }
    assert!(sent.len() >= 1_000 && refused.is_empty(), "{} passed, refused {refused:?}", sent.len());
    for taken in house.arrived(sent.len()) {
        let arrived = unstuff(&taken.octets);
        let below = below_received(&arrived);
        let case = below.split_inclusive(|&octet| octet == b'\n').nth(1).map(|line| String::from_utf8_lossy(line).into_owned()).unwrap();
        assert!(sent.remove(&case).is_some_and(|message| message == below), "{case} is touched");
    }
    assert!(sent.is_empty(), "{:?}", sent.keys());
}

/// The message without its own originator and Bcc fields: the house's author stands in front.
fn without_authors(octets: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let (mut in_header, mut dropping) = (true, false);
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if in_header && line == b"\r\n" {
            in_header = false;
            dropping = false;
        } else if in_header && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = String::from_utf8_lossy(line).to_lowercase();
            dropping = ["from:", "sender:", "bcc:", "subject:", "resent-bcc:"].iter().any(|field| name.starts_with(field));
        }
        if !dropping {
            kept.extend_from_slice(line);
        }
    }
    if in_header {
        kept.extend_from_slice(b"\r\n");
    }
    kept
}

fn unstuff(octets: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        plain.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    plain
}
