//! Why a message fared as it did, in plain text, for the operator and in tests.

use std::fmt::Write;

use crate::mail::{Message, PartId, RequireTls, ReversePath};

use super::inspect::{ReadFile, Seen, walk};
use super::matching::{Match, Mode, spell};
use super::normal::{Normal, unbroken};
use super::options::Options;
use super::rule::Rule;
use super::trial::factor_word;
use super::{Decision, Encrypted, Facts, Finding, Form, Go, Inspection, Place, Protection, Reason, Shown, decide};

/// What rules see: each place with its normalised text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts(Vec<(Place, String)>);

impl Texts {
    /// The texts of a message.
    pub fn of(message: &Message, read: ReadFile<'_>) -> Self {
        let mut texts = Vec::new();
        walk(message, read, &mut |seen| match seen {
            Seen::Text(place, text) => texts.push((place, Normal::of(&unbroken(&text)).text)),
            Seen::Field(name, text) => texts.push((Place::Header, format!("{name}: {}", Normal::of(&unbroken(&text)).text))),
            Seen::File(_) | Seen::BuiltIn(..) => {}
        });
        Self(texts)
    }
}

impl std::fmt::Display for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(place, text)| writeln!(f, "{place}:\n    {text}"))
    }
}

/// The whole explanation.
pub fn explain(rules: &[Rule], policies: &[Match], options: &Options, facts: &Facts<'_>) -> String {
    let all: Vec<&Match> = policies.iter().collect();
    let mut report = Report { text: String::new() };
    let sender = match &facts.envelope.reverse_path {
        ReversePath::Null => "<> (a notification)".to_owned(),
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
    };
    report.line(0, &format!("from {sender}"));
    report.findings(rules, facts);
    for decision in decide::decide(&all, options, facts) {
        report.decision(&decision, policies, facts.inspection);
        report.alternatives(&decision, (policies, options), facts);
    }
    report.text
}

struct Report {
    text: String,
}

impl Report {
    fn line(&mut self, depth: usize, text: &str) {
        self.text.push_str(&"    ".repeat(depth));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn findings(&mut self, rules: &[Rule], facts: &Facts<'_>) {
        let inspection = facts.inspection;
        self.line(0, if inspection.findings.is_empty() { "found: nothing" } else { "found:" });
        for finding in &inspection.findings {
            self.line(1, &spell_finding(finding, inspection));
        }
        for rule in rules.iter().filter(|rule| inspection.count(&rule.name) > 0) {
            self.line(1, &format!("{}: {}, {} different", rule.name, rule.title, inspection.count(&rule.name)));
        }
        for file in &inspection.attachments {
            let locked = if file.encrypted == Encrypted::Yes { ", behind a password" } else { "" };
            let name = shown_name(file.part, inspection).map_or_else(|| format!("in part {}", file.part.0), |name| format!("{name:?}"));
            self.line(1, &format!("file {name}: {}, {} octets{locked}", file.types.join(" › "), file.size));
        }
    }

    fn decision(&mut self, decision: &Decision, policies: &[Match], inspection: &Inspection) {
        self.line(0, &format!("{}: {}", decision.recipient.forward_path, spell_verdict(decision)));
        for reason in &decision.because {
            match reason {
                Reason::Policy { name, text, findings } => {
                    let stands = policies.iter().find(|policy| policy.name == *name);
                    let how = stands.map(|policy| {
                        let mode = if policy.mode == Mode::Automatic { "automatic" } else { "mandatory" };
                        format!(" ({mode}, {})", policy.stands)
                    });
                    self.line(1, &format!("policy {name:?}{}", how.unwrap_or_default()));
                    text.iter().for_each(|text| self.line(2, text));
                    findings.iter().for_each(|finding| self.line(2, &spell_finding(finding, inspection)));
                }
                Reason::RaisedFor(finding) => {
                    self.line(1, &format!("raised because {} was found in {}", finding.rule, spell_place(&finding.place, inspection)));
                }
                Reason::Wished(wish) => self.line(1, &format!("the sender asked for it: {wish}")),
                Reason::NotGranted(wish) => self.line(1, &format!("not granted: {wish}")),
            }
        }
        if decision.because.is_empty() {
            self.line(1, "no policy matched");
        }
    }

    /// What the outcome would be without each policy, and without the wish.
    fn alternatives(&mut self, decision: &Decision, (policies, options): (&[Match], &Options), facts: &Facts<'_>) {
        let outcome = |policies: &[&Match], facts: &Facts<'_>| {
            let decisions = decide::decide(policies, options, facts);
            decisions
                .into_iter()
                .find(|other| other.recipient == decision.recipient && other.verdict != decision.verdict)
                .map(|other| spell_verdict(&other))
        };
        let named =
            |policy: &&Match| decision.because.iter().any(|reason| matches!(reason, Reason::Policy { name, .. } if *name == policy.name));
        let (mut matched, mut decisive) = (0, 0);
        for policy in policies.iter().filter(named) {
            matched += 1;
            let others: Vec<&Match> = policies.iter().filter(|other| other.name != policy.name).collect();
            if let Some(other) = outcome(&others, facts) {
                decisive += 1;
                self.line(1, &format!("without policy {:?}: {other}", policy.name));
            }
        }
        if matched > 1 && decisive == 0 {
            self.line(1, "without any one of these policies: the same");
        }
        let all: Vec<&Match> = policies.iter().collect();
        let silent = super::Wish::default();
        let plain = super::Wish { protection: Some(Protection::Pass), reason: Some("…".to_owned()), ..super::Wish::default() };
        if let Some(other) = outcome(&all, &Facts { wish: &silent, ..*facts }) {
            self.line(1, &format!("without the sender's wish: {other}"));
        }
        if let Some(other) = outcome(&all, &Facts { verified: &[], ..*facts }) {
            self.line(1, &format!("where the way is not proven: {other}"));
        }
        let could_plain = *facts.wish == silent || facts.wish.protection.is_none();
        if let Some(other) = outcome(&all, &Facts { wish: &plain, ..*facts }).filter(|_| could_plain) {
            self.line(1, &format!("with [plain: reason] in the subject: {other}"));
        }
    }
}

fn spell_verdict(decision: &Decision) -> String {
    let verdict = &decision.verdict;
    let mut text = String::new();
    if verdict.go == Go::Reject {
        text.push_str("reject, ");
    }
    text.push_str(verdict.protection.word());
    if verdict.protection > Protection::Pass {
        // Writing into a string cannot go wrong.
        let _ = write!(text, ", factor {}, expires {}", factor_word(verdict.factor), spell(verdict.expires));
        let downloads = verdict.downloads.map_or("unlimited".to_owned(), |downloads| downloads.to_string());
        let _ = write!(text, ", downloads {downloads}");
    }
    for (said, what) in [
        (verdict.subject == Shown::Replaced, ", subject replaced"),
        (verdict.file_names == Shown::Replaced, ", file names numbered"),
        (verdict.header == Shown::Replaced, ", display names left out"),
        (verdict.form == Form::Raw, ", as one message.eml"),
        (verdict.tls == RequireTls::ByPolicy, ", over a proven way or not at all"),
    ] {
        if said {
            text.push_str(what);
        }
    }
    text
}

fn spell_finding(finding: &Finding, inspection: &Inspection) -> String {
    format!("{} in {}: {}", finding.rule, spell_place(&finding.place, inspection), finding.masked)
}

/// A place with the name of the file, where that says nothing that is to be masked.
fn spell_place(place: &Place, inspection: &Inspection) -> String {
    match place {
        Place::Attachment(part, inside) => {
            let name = shown_name(*part, inspection).map(|name| format!(" {name:?}")).unwrap_or_default();
            let inside: String = inside.iter().map(|step| format!(" › {step}")).collect();
            format!("the file{name} in part {}{inside}", part.0)
        }
        Place::Subject | Place::Header | Place::Message | Place::Body(_) | Place::FileName(_) => place.to_string(),
    }
}

fn shown_name(part: PartId, inspection: &Inspection) -> Option<&str> {
    let found_in_it = inspection.findings.iter().any(|finding| finding.place == Place::FileName(part));
    let file = inspection.attachments.iter().find(|file| file.part == part).filter(|_| !found_in_it);
    file.map(|file| file.name.as_str()).filter(|name| !name.is_empty())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject => f.write_str("the subject"),
            Self::Header => f.write_str("the header"),
            Self::Message => f.write_str("the message as a whole"),
            Self::Body(part) => write!(f, "the text (part {})", part.0),
            Self::FileName(part) => write!(f, "the file name of part {}", part.0),
            Self::Attachment(part, inside) => {
                write!(f, "the file in part {}", part.0)?;
                inside.iter().try_for_each(|place| write!(f, " › {place}"))
            }
        }
    }
}
