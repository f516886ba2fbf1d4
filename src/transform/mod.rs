//! Plan and rewrite: from decisions to what leaves.
//!
//! Untouched mail stays byte-identical below our trace field. In touched mail, kept leaf parts are
//! copied byte for byte (they are slices of what came in, however large), and only the frame around
//! them is written anew. Four roads, chosen in [`anatomy`]:
//!
//! * *pass*: the message, without Bcc fields, our control fields and the tags in the subject;
//! * *files*: the files go behind the link, a link block comes behind the body ([`body`]);
//! * *parts*: body and files go behind the link, a notice stands in their place;
//! * *raw*: the same with the whole message as one `message.eml`, for what is ambiguous, encrypted end
//!   to end, or signed with files inside the signature.
//!
//! It decides nothing that policy decides, and it fails closed: a message that cannot be written is
//! [`Unwritable`], never sent in part. What was changed is signed anew ([`dkim`]).

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::mail::{Admd, Envelope, HeaderField, Mailbox, Message, Recipient, RequireTls, Return, decode};
use crate::policy::{Decision, Go, Protection, Shown, Verdict, Wish};
use crate::queue::{Carries, NewEntry};
use crate::vault::{Link, NewParcel, ParcelId};

pub mod dkim;

mod anatomy;
mod body;
mod header;
mod parcel;

use anatomy::{Anatomy, Road};
use header::{Body, Edit, Scope, Visible};

/// What is done with one message.
#[derive(Debug)]
pub struct Plan {
    /// Recipients treated alike; those that pass come first.
    pub variants: Vec<Variant>,
}

/// Recipients treated alike.
#[derive(Debug, Clone)]
pub struct Variant {
    /// How.
    pub verdict: Verdict,
    /// Who.
    pub recipients: Vec<Recipient>,
    /// The same decisions with their reasons.
    pub decisions: Vec<Decision>,
}

/// What is written into one recipient's mail: the link block (files) or the notice (message).
#[derive(Debug, Clone)]
pub struct Letter {
    /// The parcel that the link opens.
    pub parcel: ParcelId,
    /// The recipient's link.
    pub link: Link,
    /// Plain text, any line ends.
    pub text: String,
    /// An HTML fragment (files: put into the message's HTML) or document (message).
    pub html: String,
    /// The subject of ours, when the own one is not shown.
    pub subject: String,
}

/// What goes on top of everything that leaves.
pub struct Frame<'a> {
    /// Whose mail.
    pub admd: &'a Admd,
    /// Our trace field.
    pub received: HeaderField,
    /// Signs what we changed.
    pub signers: &'a dkim::Signers,
    /// The sender's wish: its subject replaces the one with the tags.
    pub wish: &'a Wish,
    /// Makes boundaries unique.
    pub seed: [u8; 16],
    /// Now, for signatures.
    pub now: jiff::Timestamp,
}

impl Plan {
    /// Puts recipients that are treated alike together; those that pass come first, and those among them to whom the way must
    /// be proven are a variant of their own.
    pub fn new(decisions: Vec<Decision>) -> Self {
        let mut variants: Vec<Variant> = Vec::new();
        for decision in decisions {
            match variants.iter_mut().find(|variant| is_alike(&variant.verdict, &decision.verdict)) {
                Some(variant) => {
                    variant.recipients.push(decision.recipient.clone());
                    variant.decisions.push(decision);
                }
                None => variants.push(Variant {
                    verdict: decision.verdict.clone(),
                    recipients: vec![decision.recipient.clone()],
                    decisions: vec![decision],
                }),
            }
        }
        variants.sort_by_key(|variant| (variant.verdict.protection != Protection::Pass, variant.verdict.tls != RequireTls::No));
        Self { variants }
    }

    /// What the vault has to seal: one parcel for each variant that is not `pass`, in the order of
    /// the variants. A variant of files without any file to protect has none and passes. Where no
    /// author can be named there is none at all, and [`rewrite`](Self::rewrite) refuses. With each parcel
    /// the verdict that asked for it.
    pub fn protected<'a>(
        &'a self,
        message: &'a Message,
        envelope: &'a Envelope,
        now: jiff::Timestamp,
    ) -> Vec<(NewParcel<'a>, &'a Verdict)> {
        let parcel = |variant: &'a Variant| parcel::parcel(&Anatomy::new(message, &variant.decisions), variant, envelope, now);
        self.variants.iter().filter_map(|variant| Some((parcel(variant)?, &variant.verdict))).collect()
    }

    /// The entries that leave: one for all that pass (or two: the way must be proven for some), one for each recipient with a link. `letters`
    /// holds those of each parcel, in the order of [`protected`](Self::protected).
    ///
    /// # Errors
    /// [`Unwritable`] when a recipient is not to get it at all, links and recipients do not fit, no
    /// author can be named, or a header that has to change holds a line that is no field.
    #[expect(clippy::too_many_arguments, reason = "the three things that come in and the one that goes on top")]
    pub fn rewrite(
        self,
        envelope: &Envelope,
        message: &Message,
        letters: Vec<Vec<Letter>>,
        frame: &Frame<'_>,
    ) -> Result<Vec<NewEntry>, Unwritable> {
        let mut letters = letters.into_iter();
        let mut passing: Vec<(RequireTls, Vec<Recipient>)> = Vec::new();
        let mut linked = Vec::new();
        for variant in self.variants {
            if variant.verdict.go != Go::Now {
                return Err(Unwritable("a recipient whose mail is refused cannot get a copy".to_owned()));
            }
            let anatomy = Anatomy::new(message, &variant.decisions);
            match anatomy.road(&variant.verdict) {
                Road::Pass => passing.push((required(envelope, &variant.verdict), variant.recipients)),
                road @ (Road::Files | Road::Parts | Road::Raw) => {
                    linked.extend(Linking { anatomy, variant, road, envelope, frame }.entries(letters.next().unwrap_or_default())?)
                }
            }
        }
        if letters.next().is_some() {
            return Err(Unwritable("there are more links than parcels".to_owned()));
        }
        let mut entries = Vec::new();
        for group in passing.chunk_by(|(a, _), (b, _)| a == b) {
            let recipients = group.iter().flat_map(|(_, recipients)| recipients.iter().cloned()).collect();
            let require_tls = group.first().map_or(envelope.require_tls, |(require_tls, _)| *require_tls);
            let envelope = Envelope { recipients, require_tls, ..envelope.clone() };
            entries.push(NewEntry { envelope, body: passed(message, frame)?, carries: Carries::Nothing });
        }
        entries.extend(linked);
        Ok(entries)
    }
}

/// Recipients that pass get the same octets whatever else their verdicts say.
fn is_alike(a: &Verdict, b: &Verdict) -> bool {
    a == b || (a.go == b.go && a.tls == b.tls && a.protection == Protection::Pass && b.protection == Protection::Pass)
}

/// What the way must be: what the client wants is more than what policy counted on.
const fn required(envelope: &Envelope, verdict: &Verdict) -> RequireTls {
    match envelope.require_tls {
        RequireTls::Yes => RequireTls::Yes,
        RequireTls::No | RequireTls::ByPolicy => verdict.tls,
    }
}

/// The message for those that get it as it is: untouched octets, unless something in its header must not leave.
fn passed(message: &Message, frame: &Frame<'_>) -> Result<Vec<Bytes>, Unwritable> {
    let edit =
        Edit { frame, subject: frame.wish.subject.as_deref(), subject_text: Visible::Yes, body: Body::Same, scope: Scope::Everything };
    let written = header::write(message, &edit);
    if written.changed.is_empty() {
        // One piece, unless a blind copy stands where the scanner does not look any more.
        return Ok(std::iter::once(frame.received.raw().clone()).chain(header::without_bcc(message.bytes())).collect());
    }
    Ok(finished(written.fields, vec![header::rest(message)?], message, frame))
}

/// One variant whose recipients get a link each.
struct Linking<'a> {
    anatomy: Anatomy<'a>,
    variant: Variant,
    road: Road,
    envelope: &'a Envelope,
    frame: &'a Frame<'a>,
}

impl Linking<'_> {
    fn entries(&self, letters: Vec<Letter>) -> Result<Vec<NewEntry>, Unwritable> {
        if parcel::author(self.anatomy.message, self.envelope).is_none() {
            return Err(Unwritable("no author can be named: neither the From field nor the reverse-path has an address".to_owned()));
        }
        if letters.len() != self.variant.recipients.len() {
            return Err(Unwritable(format!("{} links for {} recipients", letters.len(), self.variant.recipients.len())));
        }
        self.variant.recipients.iter().zip(&letters).map(|(recipient, letter)| self.entry(recipient, letter)).collect()
    }

    fn entry(&self, recipient: &Recipient, letter: &Letter) -> Result<NewEntry, Unwritable> {
        if letter.link.recipient != recipient.forward_path {
            return Err(Unwritable("a link and the recipient of its mail are not the same person's".to_owned()));
        }
        let written = match self.road {
            Road::Files => body::without_files(&self.anatomy, letter, self.frame.seed),
            Road::Pass | Road::Parts | Road::Raw => body::notice(letter, self.frame.seed),
        };
        let mut fields = header::write(self.anatomy.message, &self.edit(letter)).fields;
        fields.extend(written.fields);
        let rest = std::iter::once(Bytes::from_static(b"\r\n")).chain(written.rope).collect();
        Ok(NewEntry {
            envelope: Envelope {
                recipients: vec![recipient.clone()],
                // A report must not carry the link back, nor to anybody else.
                ret: Some(Return::Headers),
                require_tls: required(self.envelope, &self.variant.verdict),
                ..self.envelope.clone()
            },
            body: finished(fields, rest, self.anatomy.message, self.frame),
            carries: Carries::Link(letter.parcel.0),
        })
    }

    fn edit<'l>(&'l self, letter: &'l Letter) -> Edit<'l> {
        let shown = self.variant.verdict.subject == Shown::Kept;
        Edit {
            frame: self.frame,
            subject: if shown { self.frame.wish.subject.as_deref() } else { Some(&letter.subject) },
            subject_text: if shown { Visible::Yes } else { Visible::No },
            body: Body::Anew,
            scope: match self.road {
                Road::Pass | Road::Files => Scope::Everything,
                Road::Parts | Road::Raw if self.variant.verdict.header == Shown::Replaced => Scope::Nameless,
                Road::Parts | Road::Raw => Scope::Listed,
            },
        }
    }
}

/// Trace field and signatures on top of a message that we changed. `rest` begins with the empty line.
fn finished(fields: Vec<HeaderField>, rest: Vec<Bytes>, message: &Message, frame: &Frame<'_>) -> Vec<Bytes> {
    let header: Vec<u8> = fields.iter().flat_map(|field| field.raw().iter().copied()).collect();
    let mut rope = vec![Bytes::from(header)];
    rope.extend(rest);
    let mut top = frame.received.raw().to_vec();
    if let Some(author) = only_author(message) {
        for signature in frame.signers.sign(author.domain(), &rope, frame.now) {
            top.extend_from_slice(signature.raw());
        }
    }
    rope.insert(0, Bytes::from(top));
    rope
}

/// Whose domain signs. RFC 7489 §6.6.1: From fields with several domains are nobody's to vouch for.
fn only_author(message: &Message) -> Option<Mailbox> {
    let mailboxes: Vec<Mailbox> =
        message.header().all("From").flat_map(|field| decode::addresses(&field.value()).mailboxes).map(|(_, mailbox)| mailbox).collect();
    let domains: BTreeSet<_> = mailboxes.iter().map(Mailbox::domain).collect();
    if domains.len() == 1 { mailboxes.into_iter().next() } else { None }
}

/// A message that cannot be written without breaking a rule: the reason in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritable(pub String);

/// The octets of a rope, for tests and signatures.
pub fn concat(rope: &[Bytes]) -> Vec<u8> {
    rope.iter().flat_map(|piece| piece.iter().copied()).collect()
}
