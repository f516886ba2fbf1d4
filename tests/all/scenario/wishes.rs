//! What the sender asks for by tags in the subject.

use super::house::{House, contains, link};

fn mail(subject: &str, text: &str) -> String {
    format!("From: Emma <emma@example.org>\nTo: jonas@mail.example\nSubject: {subject}\n\n{text}\n")
}

#[test]
fn secure_is_done_and_the_tag_does_not_leave() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &mail("[secure] hello", "nothing special")).starts_with("250"));
    let taken = house.arrived(1);
    assert!(link(&taken[0]).is_some() && !contains(&taken[0].octets, "nothing special"));
    assert!(contains(&taken[0].octets, "Subject: hello") && !contains(&taken[0].octets, "[secure]"));
}

#[test]
fn plain_does_not_open_what_policy_demands() {
    let house = House::open();
    let said = house.send("emma@example.org", &["jonas@mail.example"], &mail("[plain: it is fine] hello", "pnr 850709-9805"));
    assert!(said.starts_with("250"), "{said}");
    assert!(!contains(&house.arrived(1)[0].octets, "850709"));
}

#[test]
fn a_wish_that_cannot_be_understood_is_refused_with_advice() {
    let house = House::open();
    for subject in ["[secrue] hello", "[exp: soon] hello", "[2fa] hello"] {
        let said = house.send("emma@example.org", &["jonas@mail.example"], &mail(subject, "text"));
        assert!(said.starts_with("550 5.7.1"), "{subject}: {said}");
    }
    assert!(house.sink.taken().is_empty());
}
