//! What a link says before its time, after it, and when it never was one.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::house::{House, link};

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

fn page(house: &House, link: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", house.web)).unwrap();
    write!(stream, "GET /m/{link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
