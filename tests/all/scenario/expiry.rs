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

fn page(house: &House, link: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", house.web)).unwrap();
    write!(stream, "GET /m/{link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
