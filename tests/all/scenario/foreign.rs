//! `foreign_from = "pass"` is for the mail of others: whoever sends from the house is judged, whatever
//! the From field says.

use super::house::{House, contains, link};

const SECRET: &str = "850709-9805";

#[test]
fn a_foreign_from_lets_nobody_out_of_the_house() {
    let mut house = House::open();
    house.stop();
    let file = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[smtp]\n", "[smtp]\nforeign_from = \"pass\"\n");
    std::fs::write(&file, text).unwrap();
    house.start();
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
