//! The scanner reads ordinary mail as its writer meant it, and calls none of it ambiguous.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use waxseal::mail::{Message, Part};

use super::tree::Content;
use super::{mails, specimens};

#[test]
fn there_are_more_than_three_hundred_different_mails_and_always_the_same() {
    let first = mails();
    let names: BTreeSet<_> = first.iter().map(|(name, _)| name.clone()).collect();
    assert!(first.len() >= 300, "{}", first.len());
    assert_eq!(names.len(), first.len());
    assert_eq!(mails(), first);
}

#[test]
fn no_ordinary_mail_is_ambiguous() {
    for (name, bytes) in mails() {
        let message = Message::parse(Bytes::from(bytes));
        assert_eq!(message.ambiguities(), [], "{name}");
    }
}

#[test]
fn every_leaf_decodes_to_what_was_put_in() {
    for specimen in specimens() {
        let message = Message::parse(Bytes::from(specimen.bytes));
        let found: Vec<_> = message.parts().into_iter().filter(|part| part.children.is_empty()).map(|part| leaf(&message, part)).collect();
        let expect: Vec<_> = specimen.leaves.into_iter().map(|leaf| (leaf.kind, leaf.name, leaf.content)).collect();
        assert_eq!(found, expect, "{}", specimen.name);
    }
}

fn leaf(message: &Message, part: &Part) -> (String, Option<String>, Content) {
    let is_text = matches!(part.media_type.kind.as_str(), "text" | "message") && part.file_name.is_none();
    let content = if is_text {
        Content::Text(message.text(part))
    } else {
        let mut octets = Vec::new();
        message.content(part).read_to_end(&mut octets).unwrap();
        Content::Octets(octets)
    };
    (part.media_type.to_string(), part.file_name.clone(), content)
}

/// Every mail that lies in this repository as a file: what is wrong with one, its folder says.
#[test]
fn every_mail_of_the_other_tests_is_read_to_its_end() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all");
    let (mut waiting, mut count, mut parts, mut ambiguous) = (vec![tests.clone()], 0, 0, BTreeMap::new());
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                count += 1;
                let message = Message::parse(Bytes::from(with_line_ends(&std::fs::read(&path).unwrap())));
                for part in message.parts() {
                    assert_eq!(leaf(&message, part).0, part.media_type.to_string());
                    parts += 1;
                }
                if let [first, ..] = message.ambiguities() {
                    ambiguous.insert(path.strip_prefix(&tests).unwrap().display().to_string(), first.reason);
                }
            }
        }
    }
    assert!(count >= 114 && parts >= 300, "{count} mails of {parts} parts");
    assert_eq!(ambiguous.keys().map(String::as_str).collect::<Vec<_>>(), AMBIGUOUS, "{ambiguous:?}");
}

/// Those that two readers could read differently.
const AMBIGUOUS: [&str; 3] = [
    "policies/08-ambiguous/message.eml",
    "rewrite/37-message-raw-when-ambiguous/in.eml",
    "rewrite/38-message-raw-even-if-nobody-said-so/in.eml",
];

/// Collections are kept with the line ends of files.
fn with_line_ends(file: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = file.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.join(&b"\r\n"[..])
}
