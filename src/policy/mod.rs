//! Rules recognise, policies decide. Three kinds of TOML files become one [`PolicySet`]; a message
//! becomes [`Facts`]; facts become one [`Decision`] for each recipient, with its reasons.
//!
//! Adding a policy can only make mail safer: in each level the strictest wins, field by field, and
//! the order of files means nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::extract::Extractor;
use crate::mail::{Admd, Envelope, Mailbox, Message, PartId, Recipient, RequireTls};
use crate::mistake::Mistake;
pub use crate::vault::Factor;
use crate::words::Language;

mod automatic;
mod beginning;
mod check;
mod condition;
mod confusable;
mod decide;
mod eight;
mod explain;
mod inspect;
mod lexicon;
mod load;
mod matching;
mod normal;
mod options;
mod reader;
mod recogniser;
mod rule;
mod supplied;
mod trial;
pub mod wish;

pub use explain::Texts;
pub use options::{Mixed, Options};
pub use supplied::supplied;
pub use wish::Wish;

/// Rules and policies, checked, compiled, tested.
pub struct PolicySet {
    recogniser: recogniser::Recogniser,
    policies: Vec<matching::Match>,
    options: Options,
}

/// What was found in one message, before anybody asks who it goes to.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Hits of rules and the built-in findings.
    pub findings: Vec<Finding>,
    /// What counts as attachments.
    pub attachments: Vec<Attachment>,
    /// How many different hits each rule has in the whole message; findings list them by place, and
    /// not all of very many.
    pub counts: BTreeMap<String, usize>,
}

impl Inspection {
    /// How many different hits a rule has, or how often a built-in finding was made.
    pub fn count(&self, rule: &str) -> usize {
        self.counts.get(rule).copied().unwrap_or_else(|| self.findings.iter().filter(|finding| finding.rule == rule).count())
    }
}

/// Something recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name (its file name), or `opaque`, `uninspectable`, `ambiguous`, `end-to-end`.
    pub rule: String,
    /// Where.
    pub place: Place,
    /// The hit, masked: enough to recognise, too little to use.
    pub masked: String,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The subject: it is replaced when this raised the verdict.
    Subject,
    /// A display name or another header field.
    Header,
    /// Text or HTML of the message: covered only by secure-message.
    Body(PartId),
    /// A file name: the link block numbers the files when this raised the verdict.
    FileName(PartId),
    /// Inside an attachment, from outside in.
    Attachment(PartId, Vec<String>),
    /// The message as a whole.
    Message,
}

/// A part that is a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Which part.
    pub part: PartId,
    /// Its name.
    pub name: String,
    /// Declared type, then true types.
    pub types: Vec<String>,
    /// Decoded octets.
    pub size: u64,
    /// Whether something in it is behind a password.
    pub encrypted: Encrypted,
}

/// Whether a file is behind a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encrypted {
    /// It, or something in it, is.
    Yes,
    /// Nothing is.
    No,
}

/// Everything that a decision may rest on.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Whose mail.
    pub admd: &'a Admd,
    /// Sender and recipients.
    pub envelope: &'a Envelope,
    /// The message.
    pub message: &'a Message,
    /// What was found in it.
    pub inspection: &'a Inspection,
    /// What its sender wishes.
    pub wish: &'a Wish,
    /// Recipients to whom the way is proven: over TLS with hosts of theirs, or with a next hop that sees to it.
    pub verified: &'a [Mailbox],
    /// Now.
    pub now: Timestamp,
}

/// How a message is protected. The order is strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// As it is.
    Pass,
    /// Files behind a link that anybody can open.
    PublicFiles,
    /// Files behind a link and a factor.
    SecureFiles,
    /// Everything behind a link and a factor.
    SecureMessage,
}

/// Whether a message goes. The order is strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Go {
    /// At once.
    Now,
    /// Not at all: 550 with the policy's reason.
    Reject,
}

/// What is done for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// How it is protected.
    pub protection: Protection,
    /// What the recipient must prove.
    pub factor: Factor,
    /// How long the link lives.
    pub expires: Duration,
    /// Downloads of each file; `None` is unlimited.
    pub downloads: Option<u32>,
    /// Whether it goes.
    pub go: Go,
    /// Whether the subject may be seen outside.
    pub subject: Shown,
    /// Whether file names may be seen outside.
    pub file_names: Shown,
    /// Whether what people write into the header beside the subject may be seen outside: display names
    /// and comments.
    pub header: Shown,
    /// Sealed as one raw `message.eml` because readers could disagree about its parts.
    pub form: Form,
    /// Whether all this holds for a proven way alone.
    pub tls: RequireTls,
}

/// Whether something stands in the mail that carries the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// As it is.
    Kept,
    /// Replaced by words of ours, or by a number.
    Replaced,
}

/// The form in which a secured message is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Body and files apart.
    Parts,
    /// One raw `message.eml`.
    Raw,
}

/// The outcome for one recipient, with its reasons.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Whose.
    pub recipient: Recipient,
    /// What.
    pub verdict: Verdict,
    /// Why, in words: policies that matched, findings that raised it, the sender's wish, clamps.
    pub because: Vec<Reason>,
}

impl Decision {
    /// For mail that is not the house's to decide on: it is relayed as it is.
    pub fn untouched(recipient: Recipient) -> Self {
        let verdict = Verdict {
            protection: Protection::Pass,
            factor: Factor::None,
            expires: Duration::ZERO,
            downloads: None,
            go: Go::Now,
            subject: Shown::Kept,
            file_names: Shown::Kept,
            header: Shown::Kept,
            form: Form::Parts,
            tls: RequireTls::No,
        };
        Self { recipient, verdict, because: Vec::new() }
    }
}

/// One reason of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A policy matched.
    Policy {
        /// Its name.
        name: String,
        /// Its reason text in the organisation's language, for people.
        text: Option<String>,
        /// The findings that it asked for.
        findings: Vec<Finding>,
    },
    /// The verdict was raised so that it covers the place of a finding.
    RaisedFor(Finding),
    /// The sender asked for it.
    Wished(String),
    /// The sender asked for less than policy allows, or for more time than there is.
    NotGranted(String),
}

impl Protection {
    /// As policies write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PublicFiles => "public-files",
            Self::SecureFiles => "secure-files",
            Self::SecureMessage => "secure-message",
        }
    }
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("rules", &self.recogniser.rules().len())
            .field("policies", &self.policies.len())
            .field("options", &self.options)
            .finish()
    }
}

impl PolicySet {
    /// Reads, checks and compiles all files; runs the rules' examples and the policies' tests. All
    /// mistakes at once.
    pub fn load(rules: &Path, policies: &Path, admd: &Admd) -> Result<Self, Vec<Mistake>> {
        Self::load_with(rules, policies, admd, &Options::default())
    }

    /// The same with the organisation's defaults and limits.
    pub fn load_with(rules: &Path, policies: &Path, admd: &Admd, options: &Options) -> Result<Self, Vec<Mistake>> {
        load::Files::collect(rules, policies).and_then(|files| load::load(&files, admd, options))
    }

    /// The same from texts instead of folders: rules and policies, each with the name of its file,
    /// tests being those in a folder `tests`.
    pub fn from_texts(
        rules: &[(PathBuf, String)],
        policies: &[(PathBuf, String)],
        admd: &Admd,
        options: &Options,
    ) -> Result<Self, Vec<Mistake>> {
        load::load(&load::Files::sort(rules.to_vec(), policies.to_vec()), admd, options)
    }

    /// The same with the reasons of policies in this language, where they have one in it.
    #[must_use]
    pub fn speaking(mut self, language: Language) -> Self {
        self.policies.iter_mut().for_each(|policy| policy.prefer(language.tag()));
        self
    }

    /// Looks into every part once.
    pub fn inspect(&self, message: &Message, extractor: &Extractor) -> Inspection {
        let sitting = extractor.sitting();
        inspect::inspect(&self.recogniser, message, &|name, media_type, content| sitting.extract(name, media_type, content))
    }

    /// One decision for each recipient of the envelope, in its order. One that would be another if the way were not proven
    /// holds for a proven way alone.
    pub fn decide(&self, facts: &Facts<'_>) -> Vec<Decision> {
        decide::decide(&self.policies.iter().collect::<Vec<_>>(), &self.options, facts)
    }

    /// Whether it makes a difference to any policy how mail goes.
    pub fn counts_on_tls(&self) -> bool {
        self.policies.iter().flat_map(|policy| &policy.unless).any(|exception| exception.tls.is_some())
    }

    /// For the operator: each decision, every policy that matched, every finding with its place, and
    /// what would have changed the outcome.
    pub fn explain(&self, facts: &Facts<'_>) -> String {
        explain::explain(self.recogniser.rules(), &self.policies, &self.options, facts)
    }

    /// The normalised text of each part, which is what rules see.
    pub fn texts(&self, message: &Message, extractor: &Extractor) -> Texts {
        Texts::of(message, &|name, media_type, content| extractor.extract(name, media_type, content))
    }
}

/// Understood, carries no text: a picture, sound, a scan. Supplied default: passes.
pub const OPAQUE: &str = "opaque";
/// Encrypted, damaged, unknown or over budget. Supplied default: secure-message with a password.
pub const UNINSPECTABLE: &str = "uninspectable";
/// Two readers could see different things. Supplied default: secure-message with a password, sealed raw.
pub const AMBIGUOUS: &str = "ambiguous";
/// Encrypted by its author for its reader. Supplied default: passes, recorded.
pub const END_TO_END: &str = "end-to-end";
/// Findings that no rule makes.
const BUILT_IN: &[&str] = &[OPAQUE, UNINSPECTABLE, AMBIGUOUS, END_TO_END];
