//! `foreign_from = "pass"` is for the mail of others: whoever sends from the house is judged, whatever
//! the From field says.

use super::house::{House, below_received, contains, link};

const SECRET: &str = "850709-9805";

/// A house whose relay networks may send the mail of others.
fn passing() -> House {
    let mut house = House::open();
    house.stop();
    let file = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[smtp]\n", "[smtp]\nforeign_from = \"pass\"\n");
    std::fs::write(&file, text).unwrap();
    house.start();
    house
}

/// RFC 8601 §5: who reads verdicts of ours behind us must not find those that somebody else wrote.
#[test]
fn verdicts_in_our_name_do_not_pass_with_the_mail_of_others() {
    let house = passing();
    let forged = "Authentication-Results: gateway.example.org; dkim=pass header.d=bank.example";
    let honest = "Authentication-Results: mx.elsewhere.example; spf=pass";
    let message = format!(
        "{forged}\n{honest}\nReceived: from a by gateway.example.org id 1; Thu, 1 Jan 2026 00:00:00 +0000\nFrom: eve@elsewhere.example\nSubject: hello\n\nHello.\n"
    );
    let said = house.send("eve@elsewhere.example", &["emma@example.org"], &message);
    assert!(said.starts_with("250"), "{said}");
    let arrived = house.arrived(1);
    let expect = message.replace(&format!("{forged}\n"), "").replace('\n', "\r\n");
    assert_eq!(String::from_utf8_lossy(below_received(&arrived[0].octets)), expect);
}

#[test]
fn a_foreign_from_lets_nobody_out_of_the_house() {
    let house = passing();
    let cases = [
        ("emma@example.org", "mallory@elsewhere.example", true),
        ("", "mallory@elsewhere.example", true),
        ("mallory@elsewhere.example", "mallory@elsewhere.example, emma@example.org", true),
        ("mallory@elsewhere.example", "mallory@elsewhere.example", false),
    ];
    for (number, (sender, from, judged)) in cases.into_iter().enumerate() {
        let said = house.send(sender, &["jonas@mail.example"], &format!("From: {from}\nSubject: hello\n\nAbout {SECRET}.\n"));
        assert!(said.starts_with("250"), "{sender} {from}: {said}");
        let arrived = house.arrived(number + 1);
        let last = arrived.last().unwrap();
        assert_eq!(contains(&last.octets, SECRET), !judged, "{sender} {from}");
        assert_eq!(link(last).is_some(), judged, "{sender} {from}");
    }
}
