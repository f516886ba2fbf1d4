//! Recipients of one message, treated each as policy says; nobody sees who else was copied in secret.

use super::house::{House, contains, for_recipient, link};

const RESULTS: &str = "From: Emma <emma@example.org>\nTo: jonas@mail.example\nCc: anders@example.org\nBcc: secret@elsewhere.example\n\
Subject: Your results\nMessage-ID: <results@example.org>\nReferences: <question@mail.example>\nMIME-Version: 1.0\n\
Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nYour personal number is 850709-9805.\n\
--b\nContent-Type: text/csv; name=values.csv\nContent-Disposition: attachment; filename=values.csv\n\nname;value\ncanary-in-a-file;4\n--b--\n";

#[test]
fn inside_gets_the_original_outside_gets_a_link_each_and_bcc_stays_unseen() {
    let house = House::open();
    let to = ["jonas@mail.example", "anders@example.org", "secret@elsewhere.example"];
    assert!(house.send("emma@example.org", &to, RESULTS).starts_with("250 2."));
    let taken = house.arrived(3);
    let inside = for_recipient(&taken, "anders@example.org");
    assert!(contains(&inside.octets, "850709-9805") && contains(&inside.octets, "canary-in-a-file"));
    let mut links = Vec::new();
    for address in ["jonas@mail.example", "secret@elsewhere.example"] {
        let outside = for_recipient(&taken, address);
        assert_eq!(outside.rcpts.len(), 1, "one mail for each link");
        for protected in ["850709", "canary-in-a-file", "values.csv"] {
            assert!(!contains(&outside.octets, protected), "{protected} left the house");
        }
        assert!(
            contains(&outside.octets, "Message-ID: <results@example.org>")
                && contains(&outside.octets, "References: <question@mail.example>")
        );
        links.push(link(outside).expect("a link"));
    }
    assert_ne!(links[0], links[1]);
    for mail in &taken {
        assert!(!contains(&mail.octets, "secret@elsewhere.example"), "the blind copy shows");
    }
}

#[test]
fn a_file_for_a_stranger_leaves_as_a_link_and_the_text_stays() {
    let house = House::open();
    let message =
        RESULTS.replace("Your personal number is 850709-9805.", "Here is the programme.").replace("Bcc: secret@elsewhere.example\n", "");
    assert!(house.send("emma@example.org", &["jonas@mail.example"], &message).starts_with("250 2."));
    let taken = house.arrived(1);
    assert!(contains(&taken[0].octets, "Here is the programme."));
    assert!(!contains(&taken[0].octets, "canary-in-a-file"));
    assert!(link(&taken[0]).is_some());
}
