//! What cannot be written is refused whole; what is kept is not copied.

use std::time::Duration;

use bytes::Bytes;
use waxseal::mail::{HeaderField, Message, Recipient, RequireTls};
use waxseal::policy::{Decision, Form, Go, Protection, Shown, Verdict, Wish};
use waxseal::transform::dkim::Signers;
use waxseal::transform::{Frame, Letter, Plan};
use waxseal::vault::Factor;

use super::{RECEIVED, admd, envelope, letter, mailbox, now};

const TEXT: &str = "From: ann@example.org\r\nSubject: x\r\n\r\ntext\r\n";

fn decision(to: &str, protection: Protection, go: Go) -> Decision {
    Decision {
        recipient: Recipient::new(mailbox(to)),
        verdict: Verdict {
            protection,
            factor: Factor::None,
            expires: Duration::from_secs(60),
            downloads: Some(3),
            go,
            subject: Shown::Kept,
            file_names: Shown::Kept,
            header: Shown::Kept,
            form: Form::Parts,
            tls: RequireTls::No,
        },
        because: Vec::new(),
    }
}

fn refused(text: &str, decisions: Vec<Decision>, letters: Vec<Vec<Letter>>) -> String {
    let envelope = envelope(decisions.iter().map(|decision| decision.recipient.clone()).collect());
    let admd = admd();
    let wish = Wish { subject: Some("y".to_owned()), ..Wish::default() };
    let received = HeaderField::new(Bytes::from_static(RECEIVED.as_bytes()), 8);
    let frame = Frame { admd: &admd, received, signers: &Signers::default(), wish: &wish, seed: [1; 16], now: now() };
    let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()));
    Plan::new(decisions)
        .rewrite(&envelope, &message, letters, &frame)
        .map(|entries| format!("{entries:?}"))
        .unwrap_or_else(|unwritable| unwritable.0)
}

#[test]
fn nothing_is_sent_in_part() {
    use Protection::{Pass, SecureMessage};
    let bob = "bob@example.net";
    let for_bob = || letter(0, &mailbox(bob), now());
    let for_carl = || letter(0, &mailbox("carl@example.net"), now());
    for (text, decisions, letters, expect) in [
        (
            TEXT,
            vec![decision("a@example.org", Pass, Go::Now), decision(bob, Pass, Go::Reject)],
            vec![],
            "a recipient whose mail is refused cannot get a copy",
        ),
        (TEXT, vec![decision(bob, SecureMessage, Go::Now)], vec![], "0 links for 1 recipients"),
        (TEXT, vec![decision(bob, SecureMessage, Go::Now)], vec![vec![for_bob(), for_bob()]], "2 links for 1 recipients"),
        (
            TEXT,
            vec![decision(bob, SecureMessage, Go::Now)],
            vec![vec![for_carl()]],
            "a link and the recipient of its mail are not the same person's",
        ),
        (TEXT, vec![decision(bob, Pass, Go::Now)], vec![vec![for_bob()]], "there are more links than parcels"),
        (
            "Subject: x\r\nno field\r\n\r\ntext\r\n",
            vec![decision(bob, Pass, Go::Now)],
            vec![],
            "a line of the header is not a header field",
        ),
    ] {
        assert_eq!(refused(text, decisions, letters), expect);
    }
}

#[test]
fn recipients_that_are_treated_alike_share_a_variant_and_those_that_pass_come_first() {
    use Protection::{Pass, SecureFiles, SecureMessage};
    let plan = Plan::new(vec![
        decision("a@example.net", SecureMessage, Go::Now),
        decision("b@example.net", Pass, Go::Now),
        decision("c@example.net", SecureFiles, Go::Now),
        decision("d@example.net", SecureMessage, Go::Now),
        decision("e@example.net", Pass, Go::Now),
    ]);
    let groups: Vec<Vec<String>> =
        plan.variants.iter().map(|variant| variant.recipients.iter().map(|to| to.forward_path.local_part().to_owned()).collect()).collect();
    assert_eq!(groups, [vec!["b", "e"], vec!["a", "d"], vec!["c"]]);
}

#[test]
fn a_kept_part_is_a_slice_of_what_came_in() {
    let large = "x".repeat(70).repeat(1000);
    let body = large.as_bytes().chunks(70).map(|line| String::from_utf8_lossy(line).into_owned() + "\r\n").collect::<String>();
    let text = format!(
        "From: ann@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n--b\r\nContent-Type: \
         application/pdf\r\n\r\nfile\r\n--b--\r\n"
    );
    let message = Message::parse(Bytes::from(text));
    let decisions = vec![decision("bob@example.net", Protection::SecureFiles, Go::Now)];
    let (_, entries) = super::sent(&message, decisions, &Wish::default(), &Signers::default());
    let entries = entries.unwrap();
    let whole = message.bytes().as_ptr_range();
    let shared: usize = entries[0].body.iter().filter(|piece| whole.contains(&piece.as_ptr())).map(Bytes::len).sum();
    let written: usize = entries[0].body.iter().map(Bytes::len).sum::<usize>() - shared;
    assert!(shared > body.len() && written < 2000, "{shared} octets shared, {written} written");
}
