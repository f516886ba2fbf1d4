//! `waxseal explain` says what the gateway says.

use std::io::Write;

use waxseal::admin::explain;

use super::house::House;

const PLAIN: &str = "From: emma@example.org\nTo: anders@example.org\nSubject: hello\n\ntext\n";
const EMMA: &str = "emma@example.org";
const MALLORY: &str = "mallory@elsewhere.example";

/// What is explained about a message to somebody outside.
fn explained(house: &House, from: &str, message: &[u8]) -> String {
    let file = house.path("message.eml");
    std::fs::write(&file, message).unwrap();
    let arguments = explain::Arguments {
        message: file,
        from: from.into(),
        to: vec!["jonas@mail.example".into()],
        user: None,
        verified: false,
        text: false,
    };
    let mut out = Vec::new();
    explain::run(&arguments, &house.path("waxseal.toml"), jiff::Timestamp::UNIX_EPOCH, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The refusal in it, or nothing.
fn refusal(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("refused: "))
}

#[test]
fn what_the_gateway_refuses_is_explained_with_its_very_words() {
    let mut house = House::open();
    house.stop();
    let rejecting =
        "\n[[policy]]\nname = \"plans stay\"\nwhen = { recipient = \"external\", subject = \"*blueprint*\" }\ngo = \"reject\"\n";
    let mut policies = std::fs::OpenOptions::new().append(true).open(house.path("policies/20-files.toml")).unwrap();
    policies.write_all(rejecting.as_bytes()).unwrap();
    house.start();
    assert!(house.send(EMMA, &["anders@example.org"], PLAIN).starts_with("250"));
    let been_here = house.arrived(1)[0].octets.clone();
    let hops = "Received: from a by b; Sun, 22 Nov 2026 09:00:00 +0000\n".repeat(31);
    let wire = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let with = |from: &str| wire(&PLAIN.replace("From: emma@example.org", from));
    for (sender, message, expect) in [
        (EMMA, with("From: emma@example.org\nFrom: emma@example.org"), Some("554 5.6.0 ")),
        (EMMA, with("From: mallory@elsewhere.example"), Some("554 5.7.1 ")),
        (EMMA, with("X: y"), Some("554 5.6.0 ")),
        (MALLORY, with("From: emma@example.org"), Some("550 5.7.1 ")),
        (EMMA, wire(&PLAIN.replace("hello", "[exp: tomorrow] hello")), Some("550 5.7.1 ")),
        (EMMA, wire(&PLAIN.replace("hello", "the blueprint")), Some("550 5.7.1 policy: plans stay")),
        (EMMA, been_here, Some("554 5.4.6 routing loop")),
        (EMMA, wire(&format!("{hops}{PLAIN}")), Some("554 5.4.6 too many hops")),
        (EMMA, wire(PLAIN), None),
        ("", wire(PLAIN), None),
    ] {
        let said = house.send_octets(sender, &["jonas@mail.example"], &message);
        let text = explained(&house, sender, &message);
        match expect {
            Some(expect) => {
                assert!(said.starts_with(expect), "{expect}: {said}");
                assert_eq!(refusal(&text), Some(said.trim_end()), "{text}");
            }
            None => {
                assert!(said.starts_with("250 "), "{said}");
                assert!(refusal(&text).is_none() && text.contains("jonas@mail.example: pass"), "{text}");
            }
        }
    }
}

#[test]
fn what_passes_because_it_is_foreign_is_explained_as_that() {
    let mut house = House::open();
    house.stop();
    let file = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[smtp]\n", "[smtp]\nforeign_from = \"pass\"\n");
    std::fs::write(&file, text).unwrap();
    let foreign = PLAIN.replace(EMMA, MALLORY);
    assert!(explained(&house, MALLORY, foreign.as_bytes()).starts_with("relayed as it is: its author is not of the house"));
    assert!(explained(&house, EMMA, foreign.as_bytes()).contains("jonas@mail.example: pass"), "judged, for it comes from the house");
    std::fs::remove_file(house.path("keys/kek")).unwrap();
    let text = explained(&house, EMMA, PLAIN.as_bytes());
    assert!(
        text.starts_with("loops are not looked for: ") && text.contains("keys/kek") && text.contains("jonas@mail.example: pass"),
        "{text}"
    );
}

#[test]
fn what_a_user_may_not_send_is_explained_for_the_user() {
    let mut house = House::open();
    house.stop();
    let file = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[smtp]\n", "[smtp]\nusers_file = \"users\"\n");
    std::fs::write(&file, text).unwrap();
    let hash = waxseal::crypto::password::hash(&waxseal::secret::Secret::new("swordfish".to_owned()));
    std::fs::write(house.path("users"), format!("anders@example.org:{hash}:\n")).unwrap();
    std::fs::write(house.path("message.eml"), PLAIN).unwrap();
    let run = |from: &str, user: &str| {
        let (message, user) = (house.path("message.eml"), Some(user.to_owned()));
        let arguments =
            explain::Arguments { message, from: from.into(), to: vec!["jonas@mail.example".into()], user, verified: false, text: false };
        let mut out = Vec::new();
        let done = explain::run(&arguments, &house.path("waxseal.toml"), jiff::Timestamp::UNIX_EPOCH, &mut out);
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|failed| failed.to_string())
    };
    for (from, user, expect) in [
        (EMMA, "anders@example.org", Ok("refused: 553 5.7.1 the sender address does not belong to the authenticated user\n")),
        (
            "anders@example.org",
            "anders@example.org",
            Ok("refused: 554 5.7.1 From and Sender must be addresses of the authenticated user\n"),
        ),
        (EMMA, "nobody", Err("\"nobody\" is not in the users file\n    `waxseal user add` writes it")),
    ] {
        assert_eq!(run(from, user).as_deref().map_err(String::as_str), expect);
    }
}
