//! What people do to a number or a word so that a machine does not read it and a person does.

use std::path::PathBuf;

use bytes::Bytes;
use waxseal::extract::Extractor;
use waxseal::mail::Message;
use waxseal::policy::{Options, PolicySet};

use super::{admd, rules};

const SECRETS: &[(&str, &str)] = &[
    ("nl-bsn", "BSN 111222333"),
    ("iban", "NL91 ABNA 0417 1643 00"),
    ("payment-card", "5555-5555-5555-4444"),
    ("se-personnummer", "850709-9805"),
    ("health", "chemotherapy"),
];

type Disguise = fn(char, usize) -> String;

const DISGUISES: &[(&str, Disguise)] = &[
    ("zero-width space", |c, _| format!("{c}\u{200b}")),
    ("zero-width joiner, every other", |c, at| if at.is_multiple_of(2) { format!("{c}\u{200d}") } else { c.to_string() }),
    ("word joiner", |c, _| format!("{c}\u{2060}")),
    ("soft hyphen", |c, at| if at.is_multiple_of(3) { format!("{c}\u{ad}") } else { c.to_string() }),
    ("variation selector", |c, _| format!("{c}\u{fe0f}")),
    ("tag character", |c, _| format!("{c}\u{e0041}")),
    ("combining marks", |c, _| if c.is_alphanumeric() { format!("{c}\u{301}") } else { c.to_string() }),
    ("fullwidth", |c, _| shifted(c, 0xFF10, 0xFF21, 0xFF41)),
    ("mathematical bold", |c, _| shifted(c, 0x1D7CE, 0x1D400, 0x1D41A)),
    ("mathematical monospace", |c, _| shifted(c, 0x1D7F6, 0x1D670, 0x1D68A)),
    ("double-struck digits, fullwidth letters", |c, _| shifted(c, 0x1D7D8, 0xFF21, 0xFF41)),
    ("Arabic-Indic digits", |c, _| shifted(c, 0x660, 'A' as u32, 'a' as u32)),
    ("Devanagari digits", |c, _| shifted(c, 0x966, 'A' as u32, 'a' as u32)),
    ("Cyrillic twins", |c, _| twin(c, "ABCEHKMOPTXaceopxy", "АВСЕНКМОРТХасеорху")),
    ("Greek twins", |c, _| twin(c, "ABEHIKMNOPTXZov", "ΑΒΕΗΙΚΜΝΟΡΤΧΖον")),
    ("no-break space", |c, _| if c == ' ' { "\u{a0}".to_owned() } else { c.to_string() }),
    ("non-breaking hyphen", |c, _| if c == '-' { "\u{2011}".to_owned() } else { c.to_string() }),
    ("upper case", |c, _| c.to_uppercase().to_string()),
];

#[test]
fn disguised_secrets_are_recognised() {
    let set = PolicySet::from_texts(&rules(), &[], &admd(), &Options::default()).unwrap();
    for (rule, secret) in SECRETS {
        for (name, disguise) in DISGUISES {
            let text: String = secret.chars().zip(0..).map(|(c, at)| disguise(c, at)).collect();
            assert!(found(&set, "plain", &format!("as you asked: {text}.")).contains(&(*rule).to_owned()), "{rule} in {name}: {text}");
        }
    }
}

#[test]
fn a_line_break_inside_hides_nothing() {
    let set = PolicySet::from_texts(&rules(), &[], &admd(), &Options::default()).unwrap();
    for (rule, secret) in [("health", "chemotherapy"), ("se-personnummer", "8507099805"), ("payment-card", "5555555555554444")] {
        for at in 1..secret.len() {
            let (left, right) = secret.split_at(at);
            for between in ["\r\n", "-\r\n", "\r\n> ", " \r\n"] {
                assert!(
                    found(&set, "plain", &format!("see {left}{between}{right} there")).contains(&rule.to_owned()),
                    "{left}{between:?}{right}"
                );
            }
        }
    }
}

#[test]
fn markup_inside_hides_nothing() {
    let set = PolicySet::from_texts(&rules(), &[], &admd(), &Options::default()).unwrap();
    for html in [
        "<p>chemo<b>ther</b>apy</p>",
        "<p>chemo<!-- -->therapy</p>",
        "<p>&#99;hemo&#x74;herapy</p>",
        "<p>chemo&shy;therapy</p>",
        "<p>chemo&ZeroWidthSpace;therapy</p>",
        "<div style=\"display:none\">chemotherapy</div>",
        "<span hidden>chemotherapy</span>",
    ] {
        assert!(found(&set, "html", html).contains(&"health".to_owned()), "{html}");
    }
}

#[test]
fn ordinary_mail_is_left_alone() {
    let set = PolicySet::from_texts(&rules(), &[], &admd(), &Options::default()).unwrap();
    for text in [
        "See you on 2026-11-22 at 10:30, room 4711. Call +46 8 123 456 78 if late.",
        "Order 1234567890, invoice 2026-000123, 12 pieces at 99.50 EUR, total 1194.00.",
        "GUID 3f2504e0-4f89-11d3-9a0c-0305e82c3301, commit 9cd68f7a1b2c3d4e5f60718293a4b5c6d7e8f901",
        "Versions 1.2.3.4, 10.0.0.1, 192.168.100.200, 2001:db8::1; ports 25, 465, 587.",
        "Grüße aus Köln, hälsningar från Umeå, groetjes uit 's-Hertogenbosch.",
    ] {
        assert_eq!(found(&set, "plain", text), Vec::<String>::new(), "{text}");
    }
}

fn found(set: &PolicySet, subtype: &str, text: &str) -> Vec<String> {
    let mail = format!(
        "From: a@house.example\r\nMIME-Version: 1.0\r\nContent-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n"
    );
    let message = Message::parse(Bytes::from(mail));
    let inspection = set.inspect(&message, &Extractor::new(PathBuf::from("/nonexistent"), 1));
    inspection.findings.into_iter().map(|finding| finding.rule).collect()
}

fn shifted(c: char, digit: u32, upper: u32, lower: u32) -> String {
    let moved = |from: char, to: u32| char::from_u32(c as u32 - from as u32 + to).unwrap().to_string();
    match c {
        '0'..='9' => moved('0', digit),
        'A'..='Z' => moved('A', upper),
        'a'..='z' => moved('a', lower),
        other => other.to_string(),
    }
}

fn twin(c: char, from: &str, to: &str) -> String {
    from.chars().zip(to.chars()).find(|(latin, _)| *latin == c).map_or(c, |(_, twin)| twin).to_string()
}
