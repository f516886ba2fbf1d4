//! Which road a message takes, and which of its parts go.
//!
//! What a part is stands in [`mail::nature`](crate::mail::nature), where policy reads it too. One thing
//! is added here: a picture, an invitation or a code in which something was found is a file after all.
//!
//! A forwarded message is one file and is not looked into. A signed part is one piece: it stays whole
//! or the whole message goes behind the link, because nothing in it can be taken out unnoticed.
//!
//! RFC 8551 and RFC 3156 (signed and encrypted).

use std::collections::BTreeSet;

use crate::mail::nature::Natures;
pub(super) use crate::mail::nature::{Nature, is_calendar};
use crate::mail::{Message, Part, PartId};
use crate::policy::{Decision, Finding, Form, Place, Protection, Reason, Verdict};

/// One message as the rewriting sees it.
pub(super) struct Anatomy<'a> {
    pub message: &'a Message,
    natures: Natures,
    /// Parts in which, or in whose names, something was found.
    found: BTreeSet<PartId>,
}

/// What is done with a message for one variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// It leaves as it is.
    Pass,
    /// Its files go behind the link.
    Files,
    /// Body and files go behind the link.
    Parts,
    /// All of it goes behind the link as one `message.eml`.
    Raw,
}

/// Whether a part stands inside something signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seal {
    Unbroken,
    None,
}

impl<'a> Anatomy<'a> {
    pub(super) fn new(message: &'a Message, decisions: &[Decision]) -> Self {
        Self { message, natures: Natures::of(message), found: found(decisions) }
    }

    /// Which road the message takes under this verdict. What is ambiguous, end-to-end encrypted, or
    /// would lose its signature goes whole: never a half of it.
    pub(super) fn road(&self, verdict: &Verdict) -> Road {
        let whole = verdict.form == Form::Raw || !self.message.ambiguities().is_empty() || self.is_end_to_end();
        match verdict.protection {
            Protection::Pass => Road::Pass,
            Protection::SecureMessage | Protection::PublicFiles | Protection::SecureFiles if whole => Road::Raw,
            Protection::SecureMessage => Road::Parts,
            Protection::PublicFiles | Protection::SecureFiles => {
                let files: Vec<Leaf<'_>> = self.leaves().into_iter().filter(|leaf| leaf.nature == Nature::File).collect();
                if files.is_empty() {
                    Road::Pass
                } else if files.iter().any(|file| file.seal == Seal::Unbroken) {
                    Road::Raw
                } else {
                    Road::Files
                }
            }
        }
    }

    /// The parts to be protected, in order.
    pub(super) fn files(&self) -> Vec<&'a Part> {
        self.leaves().into_iter().filter(|leaf| leaf.nature == Nature::File).map(|leaf| leaf.part).collect()
    }

    /// Whether something is signed; then the reader gets the original beside the parts.
    pub(super) fn is_signed(&self) -> bool {
        self.message.parts().iter().any(|part| is_signed(part))
    }

    /// What a part is.
    pub(super) fn nature(&self, part: &Part) -> Nature {
        match self.natures.get(part) {
            Nature::Picture | Nature::Apparatus if self.found.contains(&part.id) => Nature::File,
            nature @ (Nature::Text | Nature::Html | Nature::Picture | Nature::Apparatus | Nature::File | Nature::Frame) => nature,
        }
    }

    /// S/MIME and PGP/MIME encryption, and S/MIME signatures that enclose what they sign. RFC 8551 §3.
    fn is_end_to_end(&self) -> bool {
        is_enveloped(self.message.root()) || self.message.parts().iter().any(|part| part.media_type.is("multipart", "encrypted"))
    }

    fn leaves(&self) -> Vec<Leaf<'a>> {
        let mut found = Vec::new();
        let mut waiting = vec![(self.message.root(), Seal::None)];
        while let Some((part, seal)) = waiting.pop() {
            let nature = self.nature(part);
            if nature == Nature::Frame {
                let seal = if is_signed(part) { Seal::Unbroken } else { seal };
                waiting.extend(part.children.iter().rev().map(|child| (child, seal)));
            } else {
                found.push(Leaf { part, nature, seal });
            }
        }
        found
    }
}

/// A part that holds no others, as far as we look.
struct Leaf<'a> {
    part: &'a Part,
    nature: Nature,
    seal: Seal,
}

/// Whether a part is signed from outside. RFC 1847 §2.1.
pub(super) fn is_signed(part: &Part) -> bool {
    part.media_type.is("multipart", "signed")
}

fn is_enveloped(part: &Part) -> bool {
    part.media_type.kind == "application" && matches!(part.media_type.subtype.as_str(), "pkcs7-mime" | "x-pkcs7-mime")
}

/// The findings of some decisions.
fn findings(decisions: &[Decision]) -> impl Iterator<Item = &Finding> {
    decisions.iter().flat_map(|decision| &decision.because).flat_map(|reason| match reason {
        Reason::Policy { findings, .. } => findings.as_slice(),
        Reason::RaisedFor(finding) => std::slice::from_ref(finding),
        Reason::Wished(_) | Reason::NotGranted(_) => &[],
    })
}

fn found(decisions: &[Decision]) -> BTreeSet<PartId> {
    findings(decisions)
        .filter_map(|finding| match finding.place {
            Place::FileName(part) | Place::Attachment(part, _) => Some(part),
            Place::Subject | Place::Header | Place::Body(_) | Place::Message => None,
        })
        .collect()
}
