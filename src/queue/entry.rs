//! An entry as it is stored, and the way from there back to values that cannot be wrong.
//!
//! The record opens with a [`Head`] that tells its version, so that another one is never misread.

use serde::{Deserialize, Serialize};

use super::index::{Millis, Place, Turn};
use super::spool::Spooled;
use super::{Carries, Diagnostic, Lane, Options, QueueId};
use crate::mail::{
    BodyType, EnhancedStatus, Envelope, EnvelopeId, Mailbox, Notify, OriginalRecipient, Recipient, RequireTls, Return, ReversePath, Utf8,
};

/// What the index needs of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u8,
    /// When it was taken on.
    pub arrived: Millis,
    /// When it is tried next.
    pub next: Millis,
    /// Whether its sender has heard that it is late.
    pub told: Told,
}

/// Whether the one notice of delay was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    NotYet,
    Late,
}

impl Head {
    /// Of a new entry: due at once.
    pub const fn new(now: Millis) -> Self {
        Self { version: VERSION, arrived: now, next: now, told: Told::NotYet }
    }

    /// The head of a record.
    pub fn parse(record: &[u8]) -> Result<Self, Damaged> {
        let (head, _) = postcard::take_from_bytes::<Self>(record).map_err(|_| Damaged("entry is not readable"))?;
        match head.version {
            WITHOUT_REQUIRETLS | VERSION => Ok(head),
            _ => Err(Damaged("entry is of another version of the format")),
        }
    }

    /// Its place in the index while it waits.
    pub fn place(&self, lane: Lane, options: &Options) -> Place {
        Place { lane, arrived: self.arrived, deadline: self.deadline(options), turn: Turn::Due(self.next) }
    }

    /// When the lifetime of the entry is over.
    pub fn expires(&self, options: &Options) -> Millis {
        self.arrived.saturating_add(hours(options.lifetime_hours))
    }

    /// When the sender is told that the entry is late; never, if that was done or is not wanted.
    pub fn late_from(&self, options: &Options) -> Option<Millis> {
        match (self.told, options.delay_notice_hours) {
            (Told::Late, _) | (Told::NotYet, 0) => None,
            (Told::NotYet, notice) => Some(self.arrived.saturating_add(hours(notice))),
        }
    }

    fn deadline(&self, options: &Options) -> Millis {
        let expires = self.expires(options);
        self.late_from(options).map_or(expires, |late| late.min(expires))
    }
}

/// All that is kept of an entry beside its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub head: Head,
    pub envelope: Envelope,
    pub size: u64,
    pub attempts: u32,
    pub carries: Carries,
    pub spooled: Spooled,
    pub last: Option<Diagnostic>,
}

/// A record that is not what was written. It is set aside, never guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub &'static str);

impl Entry {
    /// The key of an entry's record.
    pub fn key(id: QueueId) -> Vec<u8> {
        [PREFIX, &id.0.to_be_bytes()].concat()
    }

    /// The id in such a key.
    pub fn id(key: &[u8]) -> Option<QueueId> {
        Some(QueueId(u64::from_be_bytes(key.strip_prefix(PREFIX)?.try_into().ok()?)))
    }

    /// The octets of the record.
    pub fn write(&self) -> Result<Vec<u8>, crate::store::Fault> {
        postcard::to_allocvec(&Stored::from(self)).map_err(|error| crate::store::Fault(format!("entry cannot be written: {error}")))
    }

    /// The entry in a record.
    pub fn parse(record: &[u8]) -> Result<Self, Damaged> {
        let head = Head::parse(record)?;
        let unreadable = |_| Damaged("entry is not readable");
        let (stored, rest) = postcard::take_from_bytes::<Stored>(record).map_err(unreadable)?;
        let require_tls = match head.version {
            WITHOUT_REQUIRETLS => false,
            _ => postcard::from_bytes(rest).map_err(unreadable)?,
        };
        Stored { require_tls, ..stored }.into_entry().ok_or(Damaged("an address in the entry is not well-formed"))
    }
}

/// The record of an entry. Fields are never reordered; a new layout is a new version.
#[derive(Serialize, Deserialize)]
struct Stored {
    head: Head,
    size: u64,
    attempts: u32,
    carries: Carries,
    spooled: Spooled,
    reverse_path: Option<String>,
    recipients: Vec<StoredRecipient>,
    full_return: Option<bool>,
    envelope_id: Option<String>,
    eight_bit: bool,
    utf8: bool,
    last: Option<StoredDiagnostic>,
    /// Since version 2.
    #[serde(skip_deserializing)]
    require_tls: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredRecipient {
    forward_path: String,
    notify: Option<StoredNotify>,
    original: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
enum StoredNotify {
    Never,
    On { success: bool, failure: bool, delay: bool },
}

#[derive(Serialize, Deserialize)]
struct StoredDiagnostic {
    status: (u8, u16, u16),
    text: String,
    remote: Option<String>,
}

impl From<&Entry> for Stored {
    fn from(entry: &Entry) -> Self {
        let Envelope { reverse_path, recipients, ret, envelope_id, body, utf8, require_tls } = &entry.envelope;
        Self {
            head: Head { version: VERSION, ..entry.head },
            size: entry.size,
            attempts: entry.attempts,
            carries: entry.carries,
            spooled: entry.spooled.clone(),
            reverse_path: reverse_path.mailbox().map(Mailbox::to_string),
            recipients: recipients.iter().map(StoredRecipient::from).collect(),
            full_return: ret.map(|ret| ret == Return::Full),
            envelope_id: envelope_id.as_ref().map(|id| id.0.clone()),
            eight_bit: *body == BodyType::EightBitMime,
            utf8: *utf8 == Utf8::Yes,
            last: entry.last.as_ref().map(StoredDiagnostic::from),
            require_tls: *require_tls == RequireTls::Yes,
        }
    }
}

impl Stored {
    fn into_entry(self) -> Option<Entry> {
        let reverse_path = match self.reverse_path {
            None => ReversePath::Null,
            Some(text) => ReversePath::Mailbox(Mailbox::parse(&text).ok()?),
        };
        Some(Entry {
            head: self.head,
            envelope: Envelope {
                reverse_path,
                recipients: self.recipients.into_iter().map(StoredRecipient::into_recipient).collect::<Option<_>>()?,
                ret: self.full_return.map(|full| if full { Return::Full } else { Return::Headers }),
                envelope_id: self.envelope_id.map(EnvelopeId),
                body: if self.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
                utf8: if self.utf8 { Utf8::Yes } else { Utf8::No },
                require_tls: if self.require_tls { RequireTls::Yes } else { RequireTls::No },
            },
            size: self.size,
            attempts: self.attempts,
            carries: self.carries,
            spooled: self.spooled,
            last: self.last.map(StoredDiagnostic::into_diagnostic),
        })
    }
}

impl From<&Recipient> for StoredRecipient {
    fn from(recipient: &Recipient) -> Self {
        let notify = recipient.notify.map(|notify| match notify {
            Notify::Never => StoredNotify::Never,
            Notify::On { success, failure, delay } => StoredNotify::On { success, failure, delay },
        });
        let original = recipient.original.as_ref().map(|original| (original.address_type.clone(), original.address.clone()));
        Self { forward_path: recipient.forward_path.to_string(), notify, original }
    }
}

impl StoredRecipient {
    fn into_recipient(self) -> Option<Recipient> {
        let notify = self.notify.map(|notify| match notify {
            StoredNotify::Never => Notify::Never,
            StoredNotify::On { success, failure, delay } => Notify::On { success, failure, delay },
        });
        let original = self.original.map(|(address_type, address)| OriginalRecipient { address_type, address });
        Some(Recipient { forward_path: Mailbox::parse(&self.forward_path).ok()?, notify, original })
    }
}

impl From<&Diagnostic> for StoredDiagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        let EnhancedStatus { class, subject, detail } = diagnostic.status;
        Self { status: (class, subject, detail), text: diagnostic.text.clone(), remote: diagnostic.remote.clone() }
    }
}

impl StoredDiagnostic {
    fn into_diagnostic(self) -> Diagnostic {
        let (class, subject, detail) = self.status;
        Diagnostic { status: EnhancedStatus::new(class, subject, detail), text: self.text, remote: self.remote }
    }
}

fn hours(count: u32) -> Millis {
    Millis::from(count).saturating_mul(3_600_000)
}

/// Entries.
pub(super) const PREFIX: &[u8] = b"q/e/";
/// Of the layout of [`Stored`].
const VERSION: u8 = 2;
/// The first one: no entry in it demands anything of TLS.
const WITHOUT_REQUIRETLS: u8 = 1;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::SlotNo;

    pub fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    pub fn entry(recipients: Vec<Recipient>) -> Entry {
        Entry {
            head: Head::new(0),
            envelope: Envelope {
                reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
                recipients,
                ret: Some(Return::Headers),
                envelope_id: Some(EnvelopeId("QQ314159".into())),
                body: BodyType::EightBitMime,
                utf8: Utf8::Yes,
                require_tls: RequireTls::Yes,
            },
            size: 5,
            attempts: 2,
            carries: Carries::Link([7; 16]),
            spooled: Spooled::in_record(SlotNo(3)),
            last: Some(Diagnostic { status: EnhancedStatus::new(4, 2, 2), text: "full".into(), remote: Some("mx.example.net".into()) }),
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let recipients = vec![
            Recipient::new(mailbox("\"odd name\"@example.net")),
            Recipient {
                forward_path: mailbox("b\u{e5}t@xn--bcher-kva.example"),
                notify: Some(Notify::On { success: true, failure: false, delay: true }),
                original: Some(OriginalRecipient { address_type: "rfc822".into(), address: "b@example.net".into() }),
            },
            Recipient { notify: Some(Notify::Never), ..Recipient::new(mailbox("c@[192.0.2.1]")) },
        ];
        let mut entry = entry(recipients);
        assert_eq!(Entry::parse(&entry.write().unwrap()), Ok(entry.clone()));
        entry.envelope.reverse_path = ReversePath::Null;
        assert_eq!(Entry::parse(&entry.write().unwrap()), Ok(entry));
    }

    #[test]
    fn a_record_that_is_cut_or_of_another_version_is_damaged_not_guessed() {
        let whole = entry(vec![Recipient::new(mailbox("b@example.net"))]).write().unwrap();
        assert_eq!(Head::parse(&whole), Ok(Head::new(0)));
        for cut in 0..whole.len() {
            assert!(Entry::parse(&whole[..cut]).is_err(), "{cut}");
        }
        let newer = [&[VERSION + 1], &whole[1..]].concat();
        assert_eq!(Entry::parse(&newer), Err(Damaged("entry is of another version of the format")));
    }

    #[test]
    fn the_deadline_is_the_notice_of_delay_and_then_the_end_of_the_lifetime() {
        let hour = 3_600_000;
        for (delay, lifetime, told, expect) in [
            (4, 120, Told::NotYet, 4 * hour),
            (4, 120, Told::Late, 120 * hour),
            (0, 120, Told::NotYet, 120 * hour),
            (9, 2, Told::NotYet, 2 * hour),
        ] {
            let options = Options { delay_notice_hours: delay, lifetime_hours: lifetime, ..Options::default() };
            let head = Head { told, ..Head::new(0) };
            assert_eq!(head.place(Lane::default(), &options).deadline, expect, "{delay} {lifetime} {told:?}");
        }
    }
}
