//! Which header fields leave, and which are written anew.
//!
//! Where the body stays visible every field stays, byte for byte, except Bcc, our own control fields,
//! forged verdicts in our name (RFC 8601 §5), tags in the subject, the MIME frame of a body that
//! changed, and signatures of the own domains that no longer hold.
//!
//! Where the body goes behind the link only the fields of [`LISTED`] stay: whatever else a client
//! writes (keywords, comments, X- fields) could tell what the body tells. For the same reason a field
//! that nobody reads, such as In-Reply-To or Precedence, is no more than its grammar then.
//!
//! RFC 5322 §3.6, RFC 2045 §3, RFC 2369, RFC 3834.

use crate::mail::compose::{self, HeaderText};
use crate::mail::formal::{self, Formal};
use crate::mail::{HeaderField, Message, decode};

use super::dkim::{self, Copies};
use super::{Frame, Unwritable};

/// How a header is to change.
pub(super) struct Edit<'a> {
    pub frame: &'a Frame<'a>,
    /// The text that replaces the subject.
    pub subject: Option<&'a str>,
    /// Whether the subject's own text may be seen at all.
    pub subject_text: Visible,
    pub body: Body,
    pub scope: Scope,
}

/// Whether a text may leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visible {
    Yes,
    No,
}

/// Whether the body is the one that came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Same,
    Anew,
}

/// Which fields stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All.
    Everything,
    /// The listed ones.
    Listed,
    /// The listed ones, without display names and comments: something was found in the header.
    Nameless,
}

/// The header that leaves, without our trace field and signatures.
pub(super) struct Written {
    pub fields: Vec<HeaderField>,
    /// The names of what was removed or replaced, in lower case; empty is untouched.
    pub changed: Vec<String>,
}

enum Fate {
    Keep,
    Drop,
    Replace(HeaderField),
}

/// Writes the header of `message` as `edit` says.
pub(super) fn write(message: &Message, edit: &Edit<'_>) -> Written {
    let mut fields = Vec::new();
    let mut changed: Vec<String> = Vec::new();
    for field in message.header().fields() {
        let name = field.name().trim().to_ascii_lowercase();
        let again = name == "subject" && changed.contains(&name);
        match edit.fate(field, &name) {
            Fate::Keep => fields.push(field.clone()),
            Fate::Replace(anew) if !again => {
                fields.push(anew);
                changed.push(name);
            }
            Fate::Replace(_) | Fate::Drop => changed.push(name),
        }
    }
    if let Some(subject) = edit.subject.filter(|_| !changed.iter().any(|name| name == "subject")) {
        fields.push(compose::unstructured("Subject", &HeaderText::new(subject)));
        changed.push("subject".to_owned());
    }
    fields.retain(|field| !field.is("DKIM-Signature") || edit.holds(field, &changed));
    Written { fields, changed }
}

/// The octets after the header of a message whose body is kept: the empty line and the body. None
/// where a line of the header is no field, because nobody knows what a reader makes of it.
pub(super) fn rest(message: &Message) -> Result<bytes::Bytes, Unwritable> {
    let length: usize = message.header().fields().iter().map(|field| field.raw().len()).sum();
    let body = &message.root().body;
    let rest = message.bytes().slice(length.min(message.bytes().len())..);
    let well_formed = if rest.is_empty() { body.is_empty() } else { rest.starts_with(b"\r\n") && length + 2 == body.start };
    if well_formed { Ok(rest) } else { Err(Unwritable("a line of the header is not a header field".to_owned())) }
}

/// The pieces of the whole message without its Bcc fields, found line by line so that no reading of
/// the rest can hide one.
pub(super) fn without_bcc(all: &bytes::Bytes) -> Vec<bytes::Bytes> {
    let (mut pieces, mut start, mut end, mut hidden) = (Vec::new(), 0, 0, false);
    for line in all.split_inclusive(|&octet| octet == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        let name = line.split(|&octet| octet == b':').next().unwrap_or_default().trim_ascii();
        let hides = if continues { hidden } else { BLIND.iter().any(|blind| name.eq_ignore_ascii_case(blind.as_bytes())) };
        if hides {
            pieces.push(all.slice(start..end));
            start = end + line.len();
        }
        end += line.len();
        hidden = hides;
    }
    pieces.push(all.slice(start..));
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

impl Edit<'_> {
    fn fate(&self, field: &HeaderField, name: &str) -> Fate {
        let private = BLIND.contains(&name) || name.starts_with(CONTROL);
        if private || (name == "authentication-results" && self.is_our_verdict(field)) {
            return Fate::Drop;
        }
        match name {
            "subject" => {
                self.subject.map_or(Fate::Keep, |subject| Fate::Replace(compose::unstructured("Subject", &HeaderText::new(subject))))
            }
            // Outlook repeats the subject here.
            "thread-topic" => match self.subject {
                Some(subject) => Fate::Replace(compose::unstructured("Thread-Topic", &HeaderText::new(subject))),
                None if self.scope == Scope::Nameless => Fate::Drop,
                None => Fate::Keep,
            },
            _ if self.body == Body::Anew && (name == "mime-version" || name.starts_with("content-")) => Fate::Drop,
            _ => match self.scope {
                Scope::Everything => Fate::Keep,
                Scope::Listed | Scope::Nameless => match LISTED.iter().find(|listed| listed.eq_ignore_ascii_case(name)) {
                    Some(listed) => self.reduced(field, listed),
                    None => Fate::Drop,
                },
            },
        }
    }

    /// A listed field without the words in it that nobody would miss: of a field with a grammar of its
    /// own that grammar alone; where something was found in the header, of any other its addresses alone.
    fn reduced(&self, field: &HeaderField, listed: &'static str) -> Fate {
        let nameless = self.scope == Scope::Nameless;
        match Formal::of(field) {
            // RFC 5321 §3.7.2: it stays as it is, or not at all.
            Some(formal) if listed == "Received" => {
                if nameless && !formal.is_pure() {
                    Fate::Drop
                } else {
                    Fate::Keep
                }
            }
            Some(formal) if formal.is_pure() => Fate::Keep,
            Some(formal) if !formal.value.is_empty() => Fate::Replace(compose::structured(listed, &HeaderText::new(&formal.value))),
            // RFC 5322 §3.6: a message has a date.
            Some(_) if listed == "Date" => Fate::Replace(compose::date(self.frame.now)),
            Some(_) => Fate::Drop,
            None if nameless => nameless_addresses(field, listed),
            None => Fate::Keep,
        }
    }

    /// Whether a DKIM-Signature may stay: those of others always, unless they carry a copy of what
    /// is hidden; the own ones while they hold. RFC 6376 §3.5.
    fn holds(&self, field: &HeaderField, changed: &[String]) -> bool {
        let claims = dkim::claims(field);
        let own = claims.domain.is_some_and(|domain| {
            self.frame.admd.domains.iter().any(|ours| domain == *ours || domain.as_str().ends_with(&format!(".{ours}")))
        });
        let broken = self.body == Body::Anew || claims.covered.iter().any(|name| changed.contains(name));
        let tells = claims.copies == Copies::Some && self.subject_text == Visible::No;
        !(tells || own && broken)
    }

    fn is_our_verdict(&self, field: &HeaderField) -> bool {
        let (value, _) = formal::without_comments(&field.text());
        let authserv_id = value.split(|c: char| c.is_whitespace() || c == ';').find(|word| !word.is_empty());
        authserv_id.is_some_and(|id| id.eq_ignore_ascii_case(self.frame.admd.hostname.as_str()))
    }
}

/// The addresses without display names and comments; what is no address is free text, and goes, and so
/// does an address in quotes, unless it is the author's.
fn nameless_addresses(field: &HeaderField, listed: &'static str) -> Fate {
    if !ADDRESS_FIELDS.contains(&listed) {
        return Fate::Drop;
    }
    let mailboxes = decode::addresses(&field.value()).mailboxes.into_iter().map(|(_, mailbox)| mailbox);
    let mailboxes: Vec<_> = mailboxes.filter(|mailbox| listed == "From" || !mailbox.is_quoted()).map(|mailbox| (None, mailbox)).collect();
    if mailboxes.is_empty() { Fate::Drop } else { Fate::Replace(compose::addresses(listed, &mailboxes)) }
}

/// Never leave, whatever else happens. RFC 5322 §3.6.3.
const BLIND: [&str; 2] = ["bcc", "resent-bcc"];

/// The sender's words to us.
const CONTROL: &str = "waxseal-";

/// What a mail that carries a link shows: who, to whom, when, in which conversation, by which way.
const LISTED: [&str; 30] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Thread-Index",
    "Auto-Submitted",
    "Precedence",
    "Importance",
    "Priority",
    "Sensitivity",
    "Received",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Date",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

const ADDRESS_FIELDS: [&str; 9] = ["From", "Sender", "Reply-To", "To", "Cc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bcc_field_is_cut_out_of_the_original_however_it_is_folded() {
        for (text, expect) in [
            ("From: a@x\r\nBcc: b@y,\r\n c@y\r\nTo: d@y\r\n\r\nBcc: in the body\r\n", "From: a@x\r\nTo: d@y\r\n\r\nBcc: in the body\r\n"),
            ("BCC : b@y\r\nResent-Bcc: c@y\r\n\td@y\r\n\r\nx\r\n", "\r\nx\r\n"),
            ("To: d@y\r\n bcc: folded\r\n\r\n", "To: d@y\r\n bcc: folded\r\n\r\n"),
            ("no field\r\nBcc: b@y\r\n", "no field\r\n"),
        ] {
            assert_eq!(without_bcc(&bytes::Bytes::from(text)).concat(), expect.as_bytes(), "{text}");
        }
    }
}
