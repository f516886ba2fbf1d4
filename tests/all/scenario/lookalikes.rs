//! Addresses beyond ASCII: a next hop that takes none, and domains that only look like that of the house.
//!
//! Row S17 of the attacks to be survived.

use waxseal::mail::Domain;

use super::backup::{done, waxseal};
use super::house::{House, contains, for_recipient, link};
use crate::crash::raw_sink::{RawSink, Stage, obliging, say, wait_until};
use crate::lookalikes::LOOKALIKES;

/// A rule that `init` writes finds this number, and mail with it leaves the house as a link.
const NUMBER: &str = "850709-9805";

fn from_emma(house: &House, to: &str) -> String {
    let message = format!("From: emma@example.org\r\nTo: somebody\r\nSubject: hello\r\n\r\nMy number is {NUMBER}.\r\n");
    house.transact("MAIL FROM:<emma@example.org> SMTPUTF8", &[to], message.as_bytes())
}

#[test]
fn a_recipient_beyond_ascii_is_reported_where_the_next_hop_takes_none_and_the_others_get_their_mail() {
    let house = House::before(RawSink::start(|stage| match stage {
        Stage::Ehlo => say("250-sink.example.net\n250-PIPELINING\n250-8BITMIME\n250 DSN"),
        other => obliging(other),
    }));
    let message = "From: emma@example.org\r\nTo: anders@example.org\r\nSubject: hello\r\n\r\nnothing special\r\n";
    let to = ["anders@example.org", "j\u{f6}rg@mail.example"];
    let said = house.transact("MAIL FROM:<emma@example.org> SMTPUTF8", &to, message.as_bytes());
    assert!(said.starts_with("250"), "{said}");
    let taken = house.arrived(2);
    assert!(contains(&for_recipient(&taken, "anders@").octets, "nothing special"));
    let report = for_recipient(&taken, "emma@");
    let text = String::from_utf8_lossy(&report.octets);
    assert!(report.mail.starts_with("MAIL FROM:<>") && text.contains("Action: failed") && text.contains("Status: 5.6.7"), "{text}");
    // RFC 6533 §3: a status that holds such an address is a global one.
    assert!(text.contains("message/global-delivery-status") && text.contains("Final-Recipient: utf-8; j\u{f6}rg@mail.example"), "{text}");
    wait_until(|| done(waxseal(&house, &["queue", "list"])).contains("0 in the queue"));
    assert_eq!(house.sink.taken().len(), 2);
}

#[test]
fn a_domain_that_looks_like_ours_is_treated_as_ours_by_nobody() {
    let house = House::open();
    assert!(from_emma(&house, "anders@example.org").starts_with("250"));
    assert!(contains(&house.arrived(1)[0].octets, NUMBER), "inside it goes as it is");
    for (number, name) in LOOKALIKES.into_iter().enumerate() {
        let ascii = Domain::parse(name).unwrap();
        for spelling in [name, ascii.as_str()] {
            let as_author = format!("From: emma@{spelling}\r\nSubject: hello\r\n\r\nMy number is {NUMBER}.\r\n");
            for sender in ["emma@example.org", &format!("emma@{spelling}"), ""] {
                let said = house.transact(&format!("MAIL FROM:<{sender}> SMTPUTF8"), &["anders@example.org"], as_author.as_bytes());
                assert!(said.starts_with("55"), "{spelling} from <{sender}>: {said}");
            }
        }
        let said = from_emma(&house, &format!("jonas@{name}"));
        assert!(said.starts_with("250"), "{name}: {said}");
        let taken = house.arrived(number + 2);
        let last = for_recipient(&taken, &format!("jonas@{ascii}"));
        assert!(link(last).is_some() && !contains(&last.octets, NUMBER), "{name} is outside");
        assert!(!contains(&last.octets, name), "{name} is shown as it looks");
    }
}

#[test]
fn an_operator_and_a_sender_see_which_domain_it_is() {
    let house = House::before(RawSink::start(|stage| match stage {
        Stage::Rcpt(line) if line.contains("late@") => say("451 4.7.1 later"),
        other => obliging(other),
    }));
    for name in LOOKALIKES {
        let said = from_emma(&house, &format!("late@{name}"));
        assert!(said.starts_with("250"), "{name}: {said}");
    }
    let listed = || done(waxseal(&house, &["queue", "list"]));
    wait_until(|| listed().contains("20 in the queue") && listed().matches("4.7.1").count() == 20);
    let listed = listed();
    for name in LOOKALIKES {
        let ascii = Domain::parse(name).unwrap();
        assert!(
            ascii.as_str().contains("xn--") && listed.contains(&format!("late@{ascii}")) && !listed.contains(name),
            "{name} in {listed}"
        );
        let line = listed.lines().find(|line| line.contains(ascii.as_str())).unwrap();
        let shown = done(waxseal(&house, &["queue", "show", line.split_whitespace().next().unwrap()]));
        assert!(shown.contains(&format!("late@{ascii}")) && !shown.contains(name), "{shown}");
    }
    done(waxseal(&house, &["queue", "bounce", "--all", "--reason", "The partner has closed"]));
    let reports = house.arrived(LOOKALIKES.len());
    for name in LOOKALIKES {
        let ascii = Domain::parse(name).unwrap();
        let report = reports.iter().find(|report| contains(&report.octets, &format!("late@{ascii}")));
        assert!(!contains(&report.unwrap().octets, name), "{name} is shown as it looks");
    }
}
