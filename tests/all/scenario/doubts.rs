//! What somebody may try who knows the gateway, and what a client may do without meaning harm.

use std::fs;

use super::house::{House, contains, link};
use crate::crash::raw_sink::{RawSink, Stage, obliging, say};

const PLAIN: &str = "From: emma@example.org\nTo: jonas@mail.example\nSubject: hello\n\nnothing special\n";

#[test]
fn a_null_reverse_path_takes_nobody_out_of_a_policy_that_names_senders() {
    let mut house = House::open();
    let policy = "[[policy]]\nname = \"the board\"\nwhen = { sender = \"emma@example.org\" }\nthen = \"secure-message\"\n";
    fs::write(house.path("policies/50-board.toml"), policy).unwrap();
    house.stop();
    house.start();
    for (number, from) in ["emma@example.org", "", "anders@example.org"].into_iter().enumerate() {
        let said = house.send(from, &["jonas@mail.example"], PLAIN);
        assert!(said.starts_with("250"), "{from}: {said}");
        let taken = house.arrived(number + 1);
        assert!(link(&taken[number]).is_some() && !contains(&taken[number].octets, "nothing special"), "from <{from}>");
    }
}

#[test]
fn smtputf8_that_nothing_needs_is_not_asked_of_a_next_hop_without_it() {
    let script = |stage: &Stage| match stage {
        Stage::Ehlo => say("250-sink.example.net\n250-PIPELINING\n250 8BITMIME"),
        other => obliging(other),
    };
    let house = House::before(RawSink::start(script));
    let message = PLAIN.replace('\n', "\r\n");
    let said = house.transact("MAIL FROM:<emma@example.org> SMTPUTF8 BODY=8BITMIME", &["anders@example.org"], message.as_bytes());
    assert!(said.starts_with("250"), "{said}");
    assert!(contains(&house.arrived(1)[0].octets, "nothing special"), "a report came instead");
}

#[test]
fn a_blind_copy_behind_a_thousand_fields_is_not_shown() {
    let house = House::open();
    let many: String = (0..1_001).map(|number| format!("X-{number}: a\n")).collect();
    let message = PLAIN.replace("Subject:", &format!("{many}Bcc: secret@elsewhere.example\nSubject:"));
    assert!(house.send("emma@example.org", &["anders@example.org"], &message).starts_with("250"));
    assert!(!contains(&house.arrived(1)[0].octets, "secret@elsewhere.example"));
}

#[test]
fn a_header_without_end_is_refused() {
    let house = House::open();
    let message = PLAIN.replace("Subject:", &format!("{}Subject:", "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(40_000)));
    let said = house.send("emma@example.org", &["anders@example.org"], &message);
    assert!(said.starts_with("554 5.6.0"), "{said}");
}
