//! What the parts of a message are: body, picture in the body, file, frame.
//!
//! A *file* is a leaf that is not the text of the message, whatever its disposition says. These stay:
//!
//! * text and HTML without a name, and any other text among alternatives;
//! * pictures that the HTML refers to by `cid:` (signatures and logos are not documents);
//! * calendar parts, so that invitations keep their buttons, unless something was found in them;
//! * the machine-readable parts of reports.
//!
//! A forwarded message is one file and is not looked into. A signed part is one piece: it stays whole
//! or the whole message goes behind the link, because nothing in it can be taken out unnoticed.
//!
//! RFC 2046, RFC 2183, RFC 2392 (`cid:`), RFC 8551 and RFC 3156 (signed and encrypted).

use std::collections::BTreeSet;

use crate::mail::{Disposition, Message, Part, PartId};
use crate::policy::{Decision, Finding, Form, Place, Protection, Reason, Verdict};

/// One message as the rewriting sees it.
pub(super) struct Anatomy<'a> {
    pub message: &'a Message,
    /// Content-IDs that the HTML shows.
    shown: BTreeSet<String>,
    /// Parts in which, or in whose names, something was found.
    found: BTreeSet<PartId>,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Text of the message.
    Text,
    /// HTML of the message.
    Html,
    /// Shown inside the HTML.
    Picture,
    /// Neither text nor file: an invitation, an alternative, the codes of a report.
    Apparatus,
    /// To be protected.
    File,
    /// Holds other parts.
    Frame,
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
        let mut anatomy = Self { message, shown: BTreeSet::new(), found: found(decisions) };
        let html: Vec<&Part> = anatomy.leaves().into_iter().filter(|leaf| leaf.nature == Nature::Html).map(|leaf| leaf.part).collect();
        for part in html {
            anatomy.shown.extend(cid_references(&message.text(part)));
        }
        anatomy
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

    /// What a part is, below its parent.
    pub(super) fn nature(&self, part: &Part, parent: Option<&Part>) -> Nature {
        if part.is_multipart() {
            return Nature::Frame;
        }
        if part.is_message() {
            return Nature::File;
        }
        let found = self.found.contains(&part.id);
        let within = |subtype: &str| parent.is_some_and(|parent| parent.media_type.is("multipart", subtype));
        let named = part.file_name.is_some() || part.disposition == Disposition::Attachment;
        match (part.media_type.kind.as_str(), part.media_type.subtype.as_str()) {
            _ if within("signed") && is_signature(part) => Nature::Apparatus,
            ("text", "plain") if !named => Nature::Text,
            ("text", "html") if !named => Nature::Html,
            _ if found => Nature::File,
            _ if is_calendar(part) => Nature::Apparatus,
            ("text", _) if !named && within("alternative") => Nature::Apparatus,
            ("message", "delivery-status" | "disposition-notification" | "feedback-report") | ("text", "rfc822-headers")
                if within("report") =>
            {
                Nature::Apparatus
            }
            ("image", _) if part.content_id.as_ref().is_some_and(|id| self.shown.contains(id)) => Nature::Picture,
            _ => Nature::File,
        }
    }

    /// S/MIME and PGP/MIME encryption, and S/MIME signatures that enclose what they sign. RFC 8551 §3.
    fn is_end_to_end(&self) -> bool {
        is_enveloped(self.message.root()) || self.message.parts().iter().any(|part| part.media_type.is("multipart", "encrypted"))
    }

    fn leaves(&self) -> Vec<Leaf<'a>> {
        let mut found = Vec::new();
        let mut waiting = vec![(self.message.root(), None, Seal::None)];
        while let Some((part, parent, seal)) = waiting.pop() {
            let nature = self.nature(part, parent);
            if nature == Nature::Frame {
                let seal = if is_signed(part) { Seal::Unbroken } else { seal };
                waiting.extend(part.children.iter().rev().map(|child| (child, Some(part), seal)));
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

/// Whether a part is a detached signature.
pub(super) fn is_signature(part: &Part) -> bool {
    part.media_type.kind == "application"
        && matches!(part.media_type.subtype.as_str(), "pgp-signature" | "pkcs7-signature" | "x-pkcs7-signature")
}

/// Whether a part is an invitation or another piece of a calendar. RFC 5545, RFC 6047.
pub(super) fn is_calendar(part: &Part) -> bool {
    part.media_type.is("text", "calendar") || part.media_type.is("application", "ics")
}

fn is_enveloped(part: &Part) -> bool {
    part.media_type.kind == "application" && matches!(part.media_type.subtype.as_str(), "pkcs7-mime" | "x-pkcs7-mime")
}

/// The findings of some decisions.
pub(super) fn findings(decisions: &[Decision]) -> impl Iterator<Item = &Finding> {
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

/// Every `cid:` URL of an HTML text, percent-decoded. RFC 2392.
fn cid_references(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lower = html.to_ascii_lowercase();
    for (at, scheme) in lower.match_indices("cid:") {
        let rest = html.get(at + scheme.len()..).unwrap_or_default();
        let id = rest.split(|c: char| c.is_whitespace() || "\"'<>()&".contains(c)).next().unwrap_or_default();
        if !id.is_empty() {
            found.push(percent_decoded(id));
        }
    }
    found
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octet = after.get(..2).filter(|_| first == b'%').and_then(|digits| data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok());
        match octet.as_deref() {
            Some([octet]) => {
                out.push(*octet);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_recognised_however_the_html_writes_them() {
        for (html, expect) in [
            (r#"<img src="cid:logo@x">"#, vec!["logo@x"]),
            ("<IMG SRC=CID:logo%40x>", vec!["logo@x"]),
            ("<div style=\"background:url(cid:a.b)\"><img src='cid:c'>", vec!["a.b", "c"]),
            ("placid: no", vec![]),
            ("<img src=cid:50%>", vec!["50%"]),
        ] {
            assert_eq!(cid_references(html), expect, "{html}");
        }
    }
}
