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

/// A larger collection, where somebody laid one beside the project: nothing in it stops the scanner.
#[test]
fn collected_mail_is_read_to_its_end() {
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus")];
    let (mut count, mut ambiguous) = (0, BTreeMap::new());
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_none_or(|extension| extension != "md") {
                count += 1;
                let message = Message::parse(Bytes::from(with_line_ends(&std::fs::read(&path).unwrap())));
                for part in message.parts() {
                    let _ = leaf(&message, part);
                }
                if let [first, ..] = message.ambiguities() {
                    ambiguous.insert(path, first.reason);
                }
            }
        }
    }
    if count > 0 {
        println!("{} of {count} collected mails are ambiguous", ambiguous.len());
        ambiguous.iter().for_each(|(path, reason)| println!("{reason}: {}", path.display()));
    }
}

/// Collections are kept with the line ends of files.
fn with_line_ends(file: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = file.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.join(&b"\r\n"[..])
}
