//! What the parts of a message are: body, picture in the body, file, frame. Policy and rewriting both
//! ask here, so that what one takes for a file the other takes out.
//!
//! A *file* is a leaf that is not the text of the message, whatever its disposition says. These stay:
//!
//! * text and HTML without a name, and any other text among alternatives;
//! * pictures that the HTML refers to by `cid:` (signatures and logos are not documents);
//! * calendar parts, so that invitations keep their buttons;
//! * the machine-readable parts of reports, and detached signatures.
//!
//! A forwarded message is one file. What stands in it has a nature of its own, for those who look.
//!
//! It looks at labels and shapes only, never at what a part says; where in doubt, a part is a file.
//!
//! RFC 2046, RFC 2183, RFC 2392 (`cid:`), RFC 6522 (reports).

use std::collections::{BTreeMap, BTreeSet};

use super::{Disposition, Message, Part, PartId, decode, sealed};

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Text of the message.
    Text,
    /// HTML of the message.
    Html,
    /// Shown inside the HTML.
    Picture,
    /// Neither text nor file: an invitation, an alternative, the codes of a report, a signature.
    Apparatus,
    /// Something that its reader saves or opens.
    File,
    /// Holds other parts.
    Frame,
}

/// The natures of all parts of one message.
#[derive(Debug, Clone)]
pub struct Natures {
    of: BTreeMap<PartId, Nature>,
    /// Leaves outside forwarded messages, in order.
    leaves: Vec<PartId>,
}

impl Natures {
    /// Of a message.
    pub fn of(message: &Message) -> Self {
        let mut natures = Self { of: BTreeMap::new(), leaves: Vec::new() };
        let mut candidates = Vec::new();
        let mut shown = BTreeSet::new();
        let mut waiting = vec![(message.root(), None, Where::Here)];
        while let Some((part, parent, place)) = waiting.pop() {
            let nature = plain(message, part, parent);
            natures.of.insert(part.id, nature);
            if part.media_type.kind == "image" && nature == Nature::File && part.content_id.is_some() {
                candidates.push(part);
            }
            if nature == Nature::Html {
                shown.extend(cid_references(&message.text(part)));
            }
            if place == Where::Here && nature != Nature::Frame {
                natures.leaves.push(part.id);
            }
            let below = if part.is_multipart() { place } else { Where::Forwarded };
            waiting.extend(part.children.iter().rev().map(|child| (child, Some(part), below)));
        }
        for part in candidates {
            if part.content_id.as_ref().is_some_and(|id| shown.contains(id)) {
                natures.of.insert(part.id, Nature::Picture);
            }
        }
        natures
    }

    /// Of one part.
    pub fn get(&self, part: &Part) -> Nature {
        self.of.get(&part.id).copied().unwrap_or(Nature::File)
    }

    /// The parts that are files, in order, those inside a forwarded message not among them.
    pub fn files(&self) -> impl Iterator<Item = PartId> + use<'_> {
        self.leaves.iter().copied().filter(|id| self.of.get(id) == Some(&Nature::File))
    }

    /// The files inside forwarded messages.
    pub fn forwarded_files(&self) -> impl Iterator<Item = PartId> + use<'_> {
        let inside = self.of.iter().filter(|(id, nature)| **nature == Nature::File && !self.leaves.contains(id));
        inside.map(|(id, _)| *id)
    }
}

/// Whether a part stands in the message or in one that was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Here,
    Forwarded,
}

/// Without regard to what the HTML shows.
fn plain(message: &Message, part: &Part, parent: Option<&Part>) -> Nature {
    if part.is_multipart() {
        return Nature::Frame;
    }
    if part.is_message() {
        return Nature::File;
    }
    let within = |subtype: &str| parent.is_some_and(|parent| parent.media_type.is("multipart", subtype));
    let named = part.file_name.is_some() || part.disposition == Disposition::Attachment;
    match (part.media_type.kind.as_str(), part.media_type.subtype.as_str()) {
        ("text", "plain") if !named => Nature::Text,
        ("text", "html") if !named => Nature::Html,
        _ if sealed::is_signature(message, part, parent) || is_calendar(part) => Nature::Apparatus,
        ("text", _) if !named && within("alternative") => Nature::Apparatus,
        ("message", "delivery-status" | "disposition-notification" | "feedback-report" | "global-delivery-status")
        | ("message", "global-disposition-notification" | "global-headers")
        | ("text", "rfc822-headers")
            if within("report") =>
        {
            Nature::Apparatus
        }
        _ => Nature::File,
    }
}

/// Whether a part is an invitation or another piece of a calendar. RFC 5545, RFC 6047.
pub fn is_calendar(part: &Part) -> bool {
    part.media_type.is("text", "calendar") || part.media_type.is("application", "ics")
}

/// Every `cid:` URL of an HTML text, percent-decoded. RFC 2392.
fn cid_references(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lower = html.to_ascii_lowercase();
    for (at, scheme) in lower.match_indices("cid:") {
        let rest = html.get(at + scheme.len()..).unwrap_or_default();
        let id = rest.split(|c: char| c.is_whitespace() || "\"'<>()&".contains(c)).next().unwrap_or_default();
        if !id.is_empty() {
            found.push(decode::url(id));
        }
    }
    found
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
