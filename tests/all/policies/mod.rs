//! Messages and what policy makes of them: one folder a case.
//!
//! `NN-name/` holds `message.eml`, `policy.toml` and `decision`; the first lines of the message may be
//! `X-Test-From`, `X-Test-To` (one for each recipient) and `X-Test-Mixed`, which are the envelope, and `X-Test-Verified`, to whom
//! the way is proven.
//! `broken/NN-name/` holds `rules/`, `policies/` and `mistakes`: the files must be refused with
//! exactly that text. `UPDATE=1` writes what came out; the reader checks the difference.

mod evasion;
mod everywhere;
mod hiding;
mod hiding_files;
mod natures;
mod oracle;
mod pipeline;
mod sealed;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use waxseal::extract::Extractor;
use waxseal::mail::{Admd, BodyType, Domain, Envelope, Mailbox, Message, Recipient, RequireTls, ReversePath, Utf8};
use waxseal::policy::{Facts, Mixed, Options, PolicySet, Wish, supplied};

#[test]
fn every_message_fares_as_written() {
    for folder in folders("") {
        let policy = fs::read_to_string(folder.join("policy.toml")).unwrap();
        let mail = fs::read_to_string(folder.join("message.eml")).unwrap().replace("\r\n", "\n");
        let of = |name: &str| mail.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim).collect::<Vec<_>>();
        let mixed = if of("X-Test-Mixed:") == ["split"] { Mixed::Split } else { Mixed::Strictest };
        let options = Options { mixed, ..Options::default() };
        let set = PolicySet::from_texts(&rules(), &[(PathBuf::from("policy.toml"), policy)], &admd(), &options)
            .unwrap_or_else(|mistakes| panic!("{folder:?} {mistakes:?}"));
        let reverse_path = match of("X-Test-From:").as_slice() {
            [] | [""] => ReversePath::Null,
            [from, ..] => ReversePath::Mailbox(Mailbox::parse(from).unwrap()),
        };
        let envelope = envelope(reverse_path, &of("X-Test-To:"));
        let bare: String = mail.lines().filter(|line| !line.starts_with("X-Test-")).map(|line| format!("{line}\r\n")).collect();
        let verified: Vec<Mailbox> = of("X-Test-Verified:").into_iter().map(|to| Mailbox::parse(to).unwrap()).collect();
        compare(&folder.join("decision"), &explained(&set, (&envelope, &verified), &Message::parse(Bytes::from(bare))));
    }
}

#[test]
fn broken_files_are_refused_with_exactly_this_text() {
    for folder in folders("broken") {
        let here = |name: &str| read_all(&folder.join(name), name);
        let loaded =
            PolicySet::from_texts(&here("rules"), &[here("policies"), here("policies/tests")].concat(), &admd(), &Options::default());
        let mistakes = loaded.expect_err(&folder.display().to_string());
        let text: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
        compare(&folder.join("mistakes"), &text);
    }
}

#[test]
fn folders_are_read_like_texts() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in supplied() {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert!(PolicySet::load(&folder.path().join("rules"), &folder.path().join("policies"), &admd()).is_ok());
    fs::create_dir(folder.path().join("policies/portals")).unwrap();
    let mistakes = PolicySet::load(&folder.path().join("rules"), &folder.path().join("nowhere"), &admd()).unwrap_err();
    assert!(mistakes[0].to_string().contains("nowhere: the folder cannot be read"), "{mistakes:?}");
    let mistakes = PolicySet::load(&folder.path().join("rules"), &folder.path().join("policies"), &admd()).unwrap_err();
    assert!(mistakes[0].to_string().ends_with("portals: upload portals: not in this version\n    move the folder away"), "{mistakes:?}");
}

fn explained(set: &PolicySet, (envelope, verified): (&Envelope, &[Mailbox]), message: &Message) -> String {
    let (admd, wish) = (admd(), Wish::of(message, envelope, &admd()));
    let inspection = set.inspect(message, &Extractor::new(PathBuf::from("/nonexistent"), 1));
    set.explain(&Facts {
        admd: &admd,
        envelope,
        message,
        inspection: &inspection,
        wish: &wish,
        verified,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
    })
}

pub fn admd() -> Admd {
    let house = Domain::parse("house.example").unwrap();
    Admd { domains: vec![house.clone()], hostname: house, postmaster: Mailbox::parse("postmaster@house.example").unwrap() }
}

pub fn rules() -> Vec<(PathBuf, String)> {
    supplied().iter().filter(|(file, _)| file.starts_with("rules/")).map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect()
}

pub fn envelope(reverse_path: ReversePath, to: &[&str]) -> Envelope {
    let recipients = to.iter().map(|to| Recipient::new(Mailbox::parse(to).unwrap())).collect();
    Envelope {
        reverse_path,
        recipients,
        ret: None,
        envelope_id: None,
        body: BodyType::EightBitMime,
        utf8: Utf8::Yes,
        require_tls: RequireTls::No,
    }
}

fn folders(under: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/policies").join(under);
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit()));
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn read_all(folder: &Path, shown_as: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().map(|file| (Path::new(shown_as).join(file.file_name().unwrap()), fs::read_to_string(file).unwrap())).collect()
}

fn compare(file: &Path, came: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, came).unwrap();
    }
    assert_eq!(came, fs::read_to_string(file).unwrap_or_default(), "{}", file.display());
}
