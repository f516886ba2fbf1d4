//! Mail to the gateway itself, at its own name.

use super::house::{House, below_received, contains, for_recipient, link};
use crate::crash::raw_sink::wait_until;

#[test]
fn what_is_addressed_to_the_gateway_reaches_the_postmaster_or_comes_back() {
    let house = House::open();
    // Inside: personal data in it make no link.
    let message = "From: emma@example.org\nSubject: our gateway\n\nIt said 850709-9805.\n";
    let own = ["Postmaster@gateway.example.org", "abuse@gateway.example.org", "nobody@gateway.example.org", "jonas@mail.example"];
    assert!(house.send("emma@example.org", &own, message).starts_with("250"));
    let arrived = house.arrived(3);
    wait_until(|| house.arrived(3).len() == 3);
    let read = for_recipient(&arrived, "<postmaster@example.org>");
    assert_eq!(read.rcpts.len(), 1, "{:?}", read.rcpts);
    assert!(read.mail.starts_with("MAIL FROM:<emma@example.org>"), "{}", read.mail);
    assert_eq!(String::from_utf8_lossy(below_received(&read.octets)), message.replace('\n', "\r\n"));
    assert!(link(for_recipient(&arrived, "<jonas@mail.example>")).is_some());
    let report = for_recipient(&arrived, "<emma@example.org>");
    assert!(report.mail.starts_with("MAIL FROM:<>"));
    assert!(contains(&report.octets, "Status: 5.1.1") && contains(&report.octets, "rfc822; nobody@gateway.example.org"));
    assert!(!contains(&report.octets, "rfc822; abuse@") && !contains(&report.octets, "rfc822; Postmaster@"));
}
