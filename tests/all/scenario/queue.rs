//! What an operator does with mail that waits: the commands, what they say, and what they leave.

use std::process::Output;

use super::backup::{done, told, waxseal};
use super::house::{House, contains, for_recipient};
use super::monitor::get;
use crate::crash::raw_sink::{RawSink, Stage, obliging, say, wait_until};

/// A next hop that puts this address off, and mail that waits for it.
fn house() -> House {
    let sink = RawSink::start(|stage: &Stage| match stage {
        Stage::Rcpt(line) if line.contains("late@") => say("451 4.7.1 later"),
        other => obliging(other),
    });
    House::before(sink)
}

fn queue(house: &House, words: &[&str]) -> Output {
    waxseal(house, &[&["queue"], words].concat())
}

fn send(house: &House, from: &str, to: &[&str], header: &str) {
    let answer = house.send(from, to, &format!("From: {from}\n{header}Subject: waits\n\ntext\n"));
    assert!(answer.starts_with("250"), "{answer}");
}

fn ids(house: &House) -> Vec<String> {
    let listed = done(queue(house, &["list"]));
    listed.lines().filter(|line| line.contains('→')).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn mail_is_held_shown_released_and_sent() {
    let mut house = house();
    send(&house, "emma@example.org", &["late@mail.example"], "");
    send(&house, "lars@example.org", &["late@other.example"], "");
    wait_until(|| ids(&house).len() == 2);
    assert_eq!(done(queue(&house, &["hold", "--to", "mail.example"])), "1 held\n");
    assert_eq!(done(queue(&house, &["hold", "--all"])), "1 held\n1 were held already\n");
    let listed = done(queue(&house, &["list"]));
    assert_eq!(listed.matches("next held").count(), 2, "{listed}");
    let stats = done(queue(&house, &["stats"]));
    assert!(stats.lines().nth(1).unwrap().starts_with("       0         0         2  "), "{stats}");
    let (_, metrics) = get(house.admin, "/metrics", "127.0.0.1");
    assert!(metrics.contains("waxseal_queue_entries{what=\"held\"} 2.0") && metrics.contains("waxseal_events_total{event=\"held\"}"));
    house.stop();
    house.start();
    assert_eq!(done(queue(&house, &["retry", "--all"])), "0 due now\n2 held: `waxseal queue release` lets them go\n");
    assert_eq!(done(queue(&house, &["release", "--from", "lars@example.org"])), "1 released\n");
    assert_eq!(done(queue(&house, &["release", "--from", "<>"])), "0 released\n");
    let first = ids(&house).remove(0);
    assert!(done(queue(&house, &["show", &first])).contains("next      held\n"));
    assert_eq!(done(queue(&house, &["release", &first])), "1 released\n");
    let wrong = queue(&house, &["hold", "--to", "not a domain"]);
    assert!(!wrong.status.success() && told(&wrong).contains("\"not a domain\" is neither an address nor a domain"));
    let gone = queue(&house, &["hold", "0000000000000007"]);
    assert!(!gone.status.success() && told(&gone).starts_with("0 held\n") && told(&gone).contains("1 not in the queue"));
}

#[test]
fn a_bounce_tells_the_sender_why_in_the_language_of_their_mail() {
    let house = house();
    send(&house, "emma@example.org", &["late@mail.example"], "Accept-Language: sv-SE, en-US\n");
    send(&house, "lars@example.org", &["late@mail.example"], "");
    wait_until(|| ids(&house).len() == 2);
    let none = queue(&house, &["bounce", "--all", "--reason", "  "]);
    assert!(!none.status.success() && told(&none).contains("the reason needs 1 to 500 characters"));
    wait_until(|| done(queue(&house, &["stats"])).lines().nth(1).unwrap().starts_with("       2         0         0"));
    assert_eq!(done(queue(&house, &["bounce", "--all", "--reason", "The partner has closed"])), "2 bounced\n");
    let reports = house.arrived(2);
    for (to, words) in [("emma@example.org", "Inga fler"), ("lars@example.org", "It will not be tried again")] {
        let report = for_recipient(&reports, to);
        assert!(report.mail.starts_with("MAIL FROM:<>"), "{}", report.mail);
        for line in [words, "The partner has closed", "Status: 5.7.1", "Diagnostic-Code: x-waxseal;", "Subject: waits"] {
            assert!(contains(&report.octets, line), "{line} in {}", String::from_utf8_lossy(&report.octets));
        }
    }
    wait_until(|| ids(&house).is_empty());
}
