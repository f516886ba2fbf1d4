//! Rules and policies change under a running gateway; what is wrong changes nothing.

use super::house::{House, link};

fn mail(text: &str) -> String {
    format!("From: emma@example.org\nTo: jonas@mail.example\nSubject: hello\n\n{text}\n")
}

#[test]
fn a_new_policy_holds_without_a_restart_and_a_broken_one_is_never_loaded() {
    let house = House::open();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &mail("about project bluebird")).starts_with("250"));
    assert!(link(&house.arrived(1)[0]).is_none());
    std::fs::write(house.path("rules/projects.toml"), "title = \"Projects\"\nwords.en = [\"bluebird\"]\n").unwrap();
    let policy = "[[policy]]\nname = \"projects\"\nwhen = { recipient = \"external\", found = [\"projects\"] }\nthen = \"secure-message\"\nmode = \"mandatory\"\nfactor = \"password\"\n";
    std::fs::write(house.path("policies/50-projects.toml"), policy).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &mail("about project bluebird")).starts_with("250"));
    assert!(link(&house.arrived(2)[1]).is_some());
    std::fs::write(house.path("policies/50-projects.toml"), policy.replace("secure-message", "secure-mesage")).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &mail("bluebird again")).starts_with("250"));
    assert!(link(&house.arrived(3)[2]).is_some(), "the set that ran before still runs");
}
