//! Mail that the next hop takes, or refuses, while its client waits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

use super::house::{House, link};
use crate::crash::raw_sink::{RawSink, Stage, Taken, obliging, say};

const SECRET: &str = "From: emma@example.org\nTo: jonas@mail.example\nSubject: results\n\npnr 850709-9805\n";

#[test]
fn a_link_that_was_refused_leads_nowhere_and_its_sender_hears_why() {
    let sink = RawSink::start(|stage| match stage {
        Stage::Dot(_) => say("554 5.7.1 not from you"),
        _ => obliging(stage),
    });
    let house = House::before(sink);
    let said = house.send("emma@example.org", &["jonas@mail.example"], SECRET);
    assert_eq!(said, "554 5.7.1 not from you\r\n");
    let dot = house.sink.stages().into_iter().find_map(|stage| if let Stage::Dot(octets) = stage { Some(octets) } else { None });
    let mail = Taken { mail: String::new(), rcpts: vec![], octets: dot.unwrap() };
    assert_eq!(status(house.web, &link(&mail).unwrap()), "404");
}

#[test]
fn a_link_opens_from_the_moment_at_which_the_next_hop_may_have_it() {
    let web = Arc::new(OnceLock::new());
    let port = web.clone();
    let sink = RawSink::start(move |stage| match stage {
        // A recipient who is faster than the next hop's answer.
        Stage::Dot(octets) => {
            let mail = Taken { mail: String::new(), rcpts: vec![], octets: octets.clone() };
            match status(*port.get().unwrap(), &link(&mail).unwrap()).as_str() {
                "200" => obliging(stage),
                other => say(&format!("554 5.7.1 {other}")),
            }
        }
        _ => obliging(stage),
    });
    let house = House::before(sink);
    web.set(house.web).unwrap();
    assert_eq!(house.send("emma@example.org", &["jonas@mail.example"], SECRET), "250 2.6.0 relayed\r\n");
}

/// What the landing page of a link answers.
fn status(web: u16, link: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", web)).unwrap();
    write!(stream, "GET /m/{link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}
