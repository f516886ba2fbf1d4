//! Mail that comes back is stopped; mail that nobody of the house wrote is not taken.

use super::house::House;

const PLAIN: &str = "From: emma@example.org\nTo: anders@example.org\nSubject: hello\n\ntext\n";

#[test]
fn what_was_here_before_is_a_loop() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["anders@example.org"], PLAIN).starts_with("250"));
    let came_out = house.arrived(1)[0].octets.clone();
    let said = house.send_octets("emma@example.org", &["anders@example.org"], &came_out);
    assert!(said.starts_with("554 5.4.6"), "{said}");
}

#[test]
fn thirty_hops_are_enough() {
    let house = House::open();
    let hops = "Received: from a by b; Sun, 22 Nov 2026 09:00:00 +0000\n".repeat(31);
    let said = house.send("emma@example.org", &["anders@example.org"], &format!("{hops}{PLAIN}"));
    assert!(said.starts_with("554 5.4.6"), "{said}");
}

#[test]
fn an_author_who_is_not_of_the_house_is_refused() {
    let house = House::open();
    for from in [
        "From: mallory@elsewhere.example",
        "From: emma@example.org\nFrom: emma@example.org",
        "From: emma@example.org, x@example.org",
        "X: y",
    ] {
        let said = house.send("emma@example.org", &["jonas@mail.example"], &PLAIN.replace("From: emma@example.org", from));
        assert!(said.starts_with("55"), "{from}: {said}");
    }
    assert!(house.sink.taken().is_empty());
}
