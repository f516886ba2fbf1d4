//! The corpus of ordinary mail under every verdict: what passes is untouched, what goes is gone.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use waxseal::mail::{Message, Part, Recipient, RequireTls};
use waxseal::policy::{Decision, Form, Go, Protection, Shown, Verdict, Wish};
use waxseal::queue::Carries;
use waxseal::transform::dkim::Signers;
use waxseal::vault::Factor;

use super::generated::{Shape, mail};
use super::{RECEIVED, letter, mailbox, now, sent};
use crate::corpus::{Content, Leaf, Purpose, Specimen};

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
            tls: RequireTls::No,
        },
        because: Vec::new(),
    }
}

#[test]
fn no_run_of_a_protected_part_leaves_and_untouched_mail_is_untouched() {
    let specimens = crate::corpus::specimens();
    assert!(specimens.len() >= 300, "{} mails", specimens.len());
    let (mut linked, mut tally) = (0, Tally::default());
    for specimen in &specimens {
        let message = Message::parse(Bytes::copy_from_slice(&specimen.bytes));
        for (protection, form) in VERDICTS {
            let (_, entries) = sent(&message, vec![decision(protection, form)], &Wish::default(), &Signers::default());
            let entry = entries.unwrap_or_else(|unwritable| panic!("{}: {}", specimen.name, unwritable.0)).remove(0);
            let output = entry.body.concat();
            let case = Case { specimen, message: &message, output: &output, protection, form };
            assert_eq!(entry.carries == Carries::Nothing, case.expects_nothing(), "{} {protection:?}", specimen.name);
            if entry.carries == Carries::Nothing {
                if ["Bcc", "Resent-Bcc"].iter().all(|blind| message.header().first(blind).is_none()) {
                    assert!(output.strip_prefix(RECEIVED.as_bytes()) == Some(specimen.bytes.as_slice()), "{} is touched", specimen.name);
                }
                continue;
            }
            linked += 1;
            tally.add(case.check());
        }
    }
    println!("{} mails, {linked} with links, {} leaves gone with {} runs, {} kept", specimens.len(), tally.gone, tally.runs, tally.kept);
    assert!(linked >= 2 * specimens.len() && tally.gone > 2 * specimens.len() && tally.kept > specimens.len() / 2);
}

/// How much was looked at.
#[derive(Default)]
struct Tally {
    gone: usize,
    runs: usize,
    kept: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.gone += other.gone;
        self.runs += other.runs;
        self.kept += other.kept;
    }
}

/// One mail under one verdict. What must be gone follows from the verdict and from what the author of the
/// mail meant by each leaf; what the rewriting thinks of a leaf is not asked.
struct Case<'c> {
    specimen: &'c Specimen,
    message: &'c Message,
    output: &'c [u8],
    protection: Protection,
    form: Form,
}

impl Case<'_> {
    fn expects_nothing(&self) -> bool {
        match self.protection {
            Protection::Pass => true,
            Protection::SecureMessage => false,
            Protection::PublicFiles | Protection::SecureFiles => {
                self.specimen.leaves.iter().all(|leaf| matches!(leaf.purpose, Purpose::Body | Purpose::Machine))
            }
        }
    }

    fn must_go(&self, leaf: &Leaf) -> bool {
        let whole = self.form == Form::Raw || self.specimen.leaves.iter().any(|leaf| leaf.purpose == Purpose::Sealed);
        self.protection == Protection::SecureMessage || whole || leaf.purpose == Purpose::File
    }

    fn check(&self) -> Tally {
        let (name, output) = (&self.specimen.name, self.output);
        let reread = Message::parse(Bytes::copy_from_slice(output));
        assert_eq!(reread.ambiguities(), [], "{name}:\n{}", String::from_utf8_lossy(output));
        assert!(String::from_utf8_lossy(output).split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{name}");
        let found: HashSet<Vec<u8>> = leaves(&reread).into_iter().map(|part| reread.raw(part).to_vec()).collect();
        let parts = leaves(self.message);
        assert_eq!(parts.len(), self.specimen.leaves.len(), "{name}");
        let (gone, kept): (Vec<_>, Vec<_>) = parts.into_iter().zip(&self.specimen.leaves).partition(|(_, leaf)| self.must_go(leaf));
        let alone = self.message.root().children.is_empty();
        for (part, _) in kept.iter().filter(|_| !alone) {
            assert!(found.contains(self.message.raw(part).as_ref()), "{name}: a kept leaf is changed\n{}", String::from_utf8_lossy(output));
        }
        let allowed = self.allowed(&kept);
        let allowed: HashSet<&[u8]> = allowed.iter().flat_map(|octets| octets.windows(RUN)).collect();
        let runs: HashSet<&[u8]> = output.windows(RUN).collect();
        let mut tally = Tally { gone: gone.len(), runs: 0, kept: kept.len() };
        for (part, leaf) in &gone {
            for secret in forms(self.message, part, leaf) {
                for run in secret.windows(RUN).filter(|run| run.iter().any(|octet| *octet != run[0])) {
                    tally.runs += 1;
                    assert!(!runs.contains(run) || allowed.contains(run), "{name}: {:?} leaves", String::from_utf8_lossy(run));
                }
            }
            let shared = |file: &String| kept.iter().any(|(_, other)| other.name.as_ref() == Some(file));
            if let Some(file) = leaf.name.as_ref().filter(|file| !shared(file)) {
                assert!(!String::from_utf8_lossy(output).contains(file.as_str()), "{name}: {file} leaves");
            }
        }
        tally
    }

    /// What may stand in the output whatever else says the same.
    fn allowed(&self, kept: &[(&Part, &Leaf)]) -> Vec<Vec<u8>> {
        let ours = letter(0, &mailbox("to@example.net"), now());
        let mut allowed: Vec<Vec<u8>> = kept.iter().map(|(part, _)| self.message.raw(part).to_vec()).collect();
        allowed.extend([ours.text.replace('\n', "\r\n").into_bytes(), ours.html.into_bytes()]);
        // The header of the message stays, and what it says may also be said inside.
        let said = self.message.header().fields().iter().filter(|field| !field.name().to_ascii_lowercase().starts_with("content-"));
        allowed.push(said.flat_map(|field| field.raw().to_vec()).collect());
        allowed
    }
}

/// A leaf as it stands in the mail, as its readers have it, and as it was before anybody wrote it.
fn forms(message: &Message, part: &Part, leaf: &Leaf) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    std::io::Read::read_to_end(&mut message.content(part), &mut decoded).unwrap();
    let written = match &leaf.content {
        Content::Text(text) => text.clone().into_bytes(),
        Content::Octets(octets) => octets.clone(),
    };
    let packed = data_encoding::BASE64.encode(&written).into_bytes();
    vec![message.body(part).to_vec(), decoded, packed, written]
}

/// What holds no other part, in the order in which they stand, those of forwarded messages as well.
fn leaves(message: &Message) -> Vec<&Part> {
    message.parts().into_iter().filter(|part| part.children.is_empty()).collect()
}

#[test]
fn a_thousand_untouched_mails_are_identical() {
    let mails: Vec<(String, Vec<u8>)> = crate::corpus::mails().into_iter().chain(generated()).collect();
    assert!(mails.len() >= 1_000, "{}", mails.len());
    let mut touched = Vec::new();
    for (name, octets) in &mails {
        let message = Message::parse(Bytes::copy_from_slice(octets));
        let (_, entries) = sent(&message, vec![decision(Protection::Pass, Form::Parts)], &Wish::default(), &Signers::default());
        let output = entries.unwrap_or_else(|unwritable| panic!("{name}: {}", unwritable.0)).remove(0).body.concat();
        if output.strip_prefix(RECEIVED.as_bytes()) != Some(octets.as_slice()) {
            touched.push(name);
        }
    }
    assert!(touched.is_empty(), "{} of {}: {touched:?}", touched.len(), mails.len());
}

/// Shapes without Bcc fields, which are the one thing that never passes.
pub fn generated() -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..700_u32).map(|number| {
        let files = (0..number % 4).map(|file| ((number / 7 + file * 5) % 6) as u8).collect();
        let shape = Shape {
            body: (number % 8) as u8,
            files,
            nested: (number / 8 % 3) as u8,
            fields: (number / 3 % 2 * 2) as u8,
            seed: u64::from(number) * 7919 + 11,
        };
        (format!("generated-{number}"), mail(&shape).octets.to_vec())
    })
}

/// As in the generated messages.
const RUN: usize = 24;
