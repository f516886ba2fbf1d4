//! `NN-name/{in.eml, plan.toml}` gives `out.eml`, `out-2.eml`, … (one for each entry) and `sealed` (what the
//! vault gets). `UPDATE=1` writes them; the reader checks the difference.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use waxseal::mail::{Message, PartId, Recipient, RequireTls};
use waxseal::policy::{Decision, Finding, Form, Go, Place, Protection, Reason, Shown, Verdict, Wish};
use waxseal::queue::Carries;
use waxseal::transform::dkim::Signers;
use waxseal::vault::{Factor, Role};

use super::{mailbox, sent, with_crlf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The subject without its tags.
    wish: Option<String>,
    recipient: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    to: String,
    then: Protection,
    #[serde(default)]
    hide_subject: bool,
    #[serde(default)]
    hide_names: bool,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    found_in_header: bool,
    found_in_attachment: Option<u32>,
}

impl Line {
    fn decision(&self) -> Decision {
        let shown = |hidden| if hidden { Shown::Replaced } else { Shown::Kept };
        let place = match (self.found_in_header, self.found_in_attachment) {
            (true, _) => Some(Place::Header),
            (false, part) => part.map(|part| Place::Attachment(PartId(part), Vec::new())),
        };
        let found = |place| Reason::RaisedFor(Finding { rule: "health".into(), place, masked: "…".into() });
        Decision {
            recipient: Recipient::new(mailbox(&self.to)),
            verdict: Verdict {
                protection: self.then,
                factor: Factor::Password,
                expires: Duration::from_secs(14 * 24 * 3600),
                downloads: None,
                go: Go::Now,
                subject: shown(self.hide_subject),
                file_names: shown(self.hide_names),
                header: shown(self.found_in_header),
                form: if self.raw { Form::Raw } else { Form::Parts },
                tls: RequireTls::No,
            },
            because: place.map(found).into_iter().collect(),
        }
    }
}

#[test]
fn golden_messages_leave_as_they_are_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/rewrite");
    let mut folders: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 25, "{} cases", folders.len());
    let wrong: Vec<String> = folders.iter().flat_map(|folder| differences(folder)).collect();
    assert!(wrong.is_empty(), "UPDATE=1 rewrites them\n{}", wrong.join("\n"));
}

fn differences(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy();
    let plan = std::fs::read_to_string(folder.join("plan.toml")).unwrap_or_else(|_| panic!("{name}: no plan.toml"));
    let case: Case = toml::from_str(&plan).unwrap_or_else(|mistake| panic!("{name}: {mistake}"));
    let files = outcome(folder, &case);
    if std::env::var_os("UPDATE").is_some() {
        for old in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_outcome(path)) {
            std::fs::remove_file(old).unwrap();
        }
        files.iter().for_each(|(file, octets)| std::fs::write(folder.join(file), octets).unwrap());
    }
    let written: BTreeMap<String, Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_outcome(path))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    let names: std::collections::BTreeSet<&String> = files.keys().chain(written.keys()).collect();
    names.into_iter().filter(|file| files.get(*file) != written.get(*file)).map(|file| format!("{name}/{file} differs")).collect()
}

fn is_outcome(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with("out") || name == "sealed"
}

fn outcome(folder: &Path, case: &Case) -> BTreeMap<String, Vec<u8>> {
    let message = Message::parse(with_crlf(&std::fs::read(folder.join("in.eml")).unwrap()));
    let decisions: Vec<Decision> = case.recipient.iter().map(Line::decision).collect();
    let wish = Wish { subject: case.wish.clone(), ..Wish::default() };
    let (sealed, entries) = sent(&message, decisions, &wish, &Signers::default());
    let mut files = BTreeMap::new();
    let mut account = String::new();
    for item in &sealed {
        let role = match &item.role {
            Role::Inline { content_id } => format!("Inline <{content_id}>"),
            other @ (Role::Text | Role::Html | Role::File | Role::Raw) => format!("{other:?}"),
        };
        let shown = String::from_utf8(item.content.clone()).ok().filter(|text| !text.contains('\0') && text.len() < 4000);
        account += &format!("{:?}: {role} {:?} {} {} octets\n", item.kind, item.name, item.media_type, item.content.len());
        if let Some(text) = shown {
            account += &text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect::<String>();
        }
    }
    match entries {
        Err(unwritable) => account += &format!("unwritable: {}\n", unwritable.0),
        Ok(entries) => {
            for (number, entry) in entries.iter().enumerate() {
                let octets = entry.body.concat();
                assert_crlf_only(&octets);
                let file = if number == 0 { "out.eml".to_owned() } else { format!("out-{}.eml", number + 1) };
                let to: Vec<String> = entry.envelope.recipients.iter().map(|to| to.forward_path.to_string()).collect();
                let carries = if entry.carries == Carries::Nothing { "nothing" } else { "a link" };
                account += &format!("{file} to {} carries {carries}, RET {:?}\n", to.join(", "), entry.envelope.ret.unwrap());
                let reread = Message::parse(octets.clone().into());
                if message.ambiguities().is_empty() || entry.carries != Carries::Nothing {
                    assert_eq!(reread.ambiguities(), [], "{}", folder.display());
                }
                files.insert(file, String::from_utf8_lossy(&octets).replace("\r\n", "\n").into_bytes());
            }
        }
    }
    files.insert("sealed".to_owned(), account.into_bytes());
    files
}

fn assert_crlf_only(octets: &[u8]) {
    let mut before = 0;
    for &octet in octets {
        assert!((octet == b'\n') == (before == b'\r') && octet != 0, "a line ends otherwise than by CRLF");
        before = octet;
    }
}
