//! The corpus of ordinary mail under every verdict: what passes is untouched, what goes is gone.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use waxseal::mail::{Message, Part, Recipient};
use waxseal::policy::{Decision, Form, Go, Protection, Shown, Verdict, Wish};
use waxseal::queue::Carries;
use waxseal::transform::dkim::Signers;
use waxseal::vault::Factor;

use super::{RECEIVED, letter, mailbox, now, sent};

const VERDICTS: [(Protection, Form); 5] = [
    (Protection::Pass, Form::Parts),
    (Protection::PublicFiles, Form::Parts),
    (Protection::SecureFiles, Form::Parts),
    (Protection::SecureMessage, Form::Parts),
    (Protection::SecureMessage, Form::Raw),
];

pub fn decision(protection: Protection, form: Form) -> Decision {
    Decision {
        recipient: Recipient::new(mailbox("to@example.net")),
        verdict: Verdict {
            protection,
            factor: Factor::Password,
            expires: Duration::from_secs(3600),
            downloads: None,
            go: Go::Now,
            subject: Shown::Kept,
            file_names: Shown::Replaced,
            header: Shown::Kept,
            form,
        },
        because: Vec::new(),
    }
}

#[test]
fn no_run_of_a_protected_part_leaves_and_untouched_mail_is_untouched() {
    let mails = crate::corpus::mails();
    assert!(mails.len() >= 300, "{} mails", mails.len());
    let (mut linked, mut kept) = (0, 0);
    for (name, octets) in &mails {
        let message = Message::parse(Bytes::copy_from_slice(octets));
        for (protection, form) in VERDICTS {
            let (_, entries) = sent(&message, vec![decision(protection, form)], &Wish::default(), &Signers::default());
            let entry = entries.unwrap_or_else(|unwritable| panic!("{name}: {}", unwritable.0)).remove(0);
            let output = entry.body.concat();
            if entry.carries == Carries::Nothing {
                if ["Bcc", "Resent-Bcc"].iter().all(|blind| message.header().first(blind).is_none()) {
                    assert!(output.strip_prefix(RECEIVED.as_bytes()) == Some(octets.as_slice()), "{name} is touched");
                }
                continue;
            }
            linked += 1;
            kept += check(name, &message, &output);
        }
    }
    assert!(linked > 2 * mails.len() && kept > mails.len() / 2, "{linked} mails with links, {kept} kept leaves");
}

/// Every leaf is either kept byte for byte or nowhere. Tells how many were kept.
fn check(name: &str, message: &Message, output: &[u8]) -> usize {
    let reread = Message::parse(Bytes::copy_from_slice(output));
    assert_eq!(reread.ambiguities(), [], "{name}:\n{}", String::from_utf8_lossy(output));
    assert!(String::from_utf8_lossy(output).split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{name}");
    let found: HashSet<Vec<u8>> = leaves(&reread).into_iter().map(|part| reread.body(part).to_vec()).collect();
    let (kept, gone): (Vec<&Part>, Vec<&Part>) =
        leaves(message).into_iter().partition(|part| !message.body(part).is_empty() && found.contains(message.body(part).as_ref()));
    let ours = letter(0, &mailbox("to@example.net"), now());
    let mut allowed: Vec<Vec<u8>> = kept.iter().map(|part| message.raw(part).to_vec()).collect();
    allowed.extend([ours.text.replace('\n', "\r\n").into_bytes(), ours.html.into_bytes()]);
    // The header of the message stays, and what it says may also be said inside.
    let said = message.header().fields().iter().filter(|field| !field.name().to_ascii_lowercase().starts_with("content-"));
    allowed.push(said.flat_map(|field| field.raw().to_vec()).collect());
    let allowed: HashSet<&[u8]> = allowed.iter().flat_map(|octets| octets.windows(RUN)).collect();
    let runs: HashSet<&[u8]> = output.windows(RUN).collect();
    for part in gone {
        let mut decoded = Vec::new();
        std::io::Read::read_to_end(&mut message.content(part), &mut decoded).unwrap();
        for secret in [message.body(part).to_vec(), decoded] {
            for run in secret.windows(RUN).filter(|run| run.iter().any(|octet| *octet != run[0])) {
                assert!(!runs.contains(run) || allowed.contains(run), "{name}: {:?} leaves", String::from_utf8_lossy(run));
            }
        }
        if let Some(file) =
            part.file_name.as_ref().filter(|file| file.len() > 8 && !kept.iter().any(|other| other.file_name.as_ref() == Some(*file)))
        {
            assert!(!String::from_utf8_lossy(output).contains(file.as_str()), "{name}: {file} leaves");
        }
    }
    kept.len()
}

/// What holds no other part, those of forwarded messages as well.
fn leaves(message: &Message) -> Vec<&Part> {
    let mut found = Vec::new();
    let mut waiting = vec![message.root()];
    while let Some(part) = waiting.pop() {
        if part.is_multipart() || part.is_message() {
            waiting.extend(&part.children);
        } else {
            found.push(part);
        }
    }
    found
}

/// As in the generated messages.
const RUN: usize = 24;
