//! An entry as it is stored, and the way from there back to values that cannot be wrong.
//!
//! The record opens with a [`Head`] that tells its version, so that another one is never misread. The first
//! version is read still; an entry is written in ours with its next change.

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
    /// When its lifetime began, by the queue's own clock ([`Terms::own`]); later by what it was held.
    begun: Millis,
    /// Who decides when it goes.
    pub standing: Standing,
}

/// The head of the first version, which knew no standing.
#[derive(Serialize, Deserialize)]
struct FirstHead {
    version: u8,
    arrived: Millis,
    next: Millis,
    told: Told,
}

/// Whether the one notice of delay was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    NotYet,
    Late,
}

/// Who decides when an entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// The schedule.
    Scheduled,
    /// The operator, since this moment of the queue's own clock.
    Held(Millis),
}

/// What the queue counts by.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub options: Options,
    /// How long the gateway was away, in all.
    pub absent: Millis,
}

impl Terms {
    /// The queue's own clock, which stands while the gateway is away: no lifetime passes where nothing can be tried.
    pub const fn own(&self, now: Millis) -> Millis {
        now.saturating_sub(self.absent)
    }
}

impl Head {
    /// Of a new entry: due at once.
    pub const fn new(now: Millis, terms: &Terms) -> Self {
        Self { version: VERSION, arrived: now, next: now, told: Told::NotYet, begun: terms.own(now), standing: Standing::Scheduled }
    }

    /// The head of a record, and what stands behind it.
    fn parse(record: &[u8]) -> Result<(Self, &[u8]), Damaged> {
        let unreadable = |_| Damaged("entry is not readable");
        match record.first() {
            Some(&VERSION) => postcard::take_from_bytes::<Self>(record).map_err(unreadable),
            Some(&FIRST_VERSION) => {
                let (first, rest) = postcard::take_from_bytes::<FirstHead>(record).map_err(unreadable)?;
                Ok((first.into(), rest))
            }
            Some(_) => Err(Damaged("entry is of another version of the format")),
            None => Err(Damaged("entry is empty")),
        }
    }

    /// Its place in the index while no attempt has it.
    pub fn place(&self, lane: Lane, terms: &Terms) -> Place {
        let turn = match self.standing {
            Standing::Scheduled => Turn::Due(self.next),
            Standing::Held(_) => Turn::Held,
        };
        Place { lane, arrived: self.arrived, deadline: self.deadline(terms), turn }
    }

    /// From now on the operator decides; `false` when that is so already.
    pub fn hold(&mut self, own: Millis) -> bool {
        let is_new = self.standing == Standing::Scheduled;
        if is_new {
            self.standing = Standing::Held(own);
        }
        is_new
    }

    /// Due at once, with as much of its lifetime left as it had; `false` when it was not held.
    pub fn release(&mut self, now: Millis, terms: &Terms) -> bool {
        let Standing::Held(since) = self.standing else { return false };
        let held = terms.own(now).saturating_sub(since).max(0);
        (self.begun, self.next, self.standing) = (self.begun.saturating_add(held), now, Standing::Scheduled);
        true
    }

    /// When the lifetime of the entry is over; while it is held, never.
    pub fn expires(&self, terms: &Terms) -> Millis {
        match self.standing {
            Standing::Scheduled => self.begun.saturating_add(terms.absent).saturating_add(hours(terms.options.lifetime_hours)),
            Standing::Held(_) => Millis::MAX,
        }
    }

    /// When the sender is told that the entry is late; never, if that was done, is not wanted, or it is held.
    pub fn late_from(&self, terms: &Terms) -> Option<Millis> {
        match (self.standing, self.told, terms.options.delay_notice_hours) {
            (Standing::Held(_), ..) | (_, Told::Late, _) | (_, Told::NotYet, 0) => None,
            (Standing::Scheduled, Told::NotYet, notice) => Some(self.arrived.saturating_add(hours(notice))),
        }
    }

    fn deadline(&self, terms: &Terms) -> Millis {
        let expires = self.expires(terms);
        self.late_from(terms).map_or(expires, |late| late.min(expires))
    }
}

impl From<FirstHead> for Head {
    fn from(FirstHead { arrived, next, told, .. }: FirstHead) -> Self {
        // Nobody noted since when: all the time until it is released counts as held.
        let standing = if next >= FIRST_HELD { Standing::Held(arrived) } else { Standing::Scheduled };
        Self { version: VERSION, arrived, next, told, begun: arrived, standing }
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
        postcard::to_allocvec(&(self.head, Stored::from(self)))
            .map_err(|error| crate::store::Fault(format!("entry cannot be written: {error}")))
    }

    /// The entry in a record.
    pub fn parse(record: &[u8]) -> Result<Self, Damaged> {
        let (head, rest) = Head::parse(record)?;
        let unreadable = |_| Damaged("entry is not readable");
        let (stored, rest) = postcard::take_from_bytes::<Stored>(rest).map_err(unreadable)?;
        let require_tls = match record.first() {
            Some(&FIRST_VERSION) => StoredRequireTls::No,
            _ => postcard::from_bytes(rest).map_err(unreadable)?,
        };
        Stored { require_tls, ..stored }.into_entry(head).ok_or(Damaged("an address in the entry is not well-formed"))
    }
}

/// What stands behind the head. Fields are never reordered; a new layout is a new version.
#[derive(Serialize, Deserialize)]
struct Stored {
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
    require_tls: StoredRequireTls,
}

/// Stands where a yes or no stood at first, and is written like it.
#[derive(Default, Serialize, Deserialize)]
enum StoredRequireTls {
    #[default]
    No,
    Yes,
    ByPolicy,
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
            require_tls: match require_tls {
                RequireTls::No => StoredRequireTls::No,
                RequireTls::Yes => StoredRequireTls::Yes,
                RequireTls::ByPolicy => StoredRequireTls::ByPolicy,
            },
        }
    }
}

impl Stored {
    fn into_entry(self, head: Head) -> Option<Entry> {
        let reverse_path = match self.reverse_path {
            None => ReversePath::Null,
            Some(text) => ReversePath::Mailbox(Mailbox::parse(&text).ok()?),
        };
        Some(Entry {
            head,
            envelope: Envelope {
                reverse_path,
                recipients: self.recipients.into_iter().map(StoredRecipient::into_recipient).collect::<Option<_>>()?,
                ret: self.full_return.map(|full| if full { Return::Full } else { Return::Headers }),
                envelope_id: self.envelope_id.map(EnvelopeId),
                body: if self.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
                utf8: if self.utf8 { Utf8::Yes } else { Utf8::No },
                require_tls: match self.require_tls {
                    StoredRequireTls::No => RequireTls::No,
                    StoredRequireTls::Yes => RequireTls::Yes,
                    StoredRequireTls::ByPolicy => RequireTls::ByPolicy,
                },
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
/// Of the layout of [`Head`] and [`Stored`].
const VERSION: u8 = 2;
/// Without a standing, and nothing in it demands anything of TLS.
const FIRST_VERSION: u8 = 1;
/// What the first version wrote as the next time of a held entry: the end of the year 9999.
const FIRST_HELD: Millis = 253_402_207_200_000;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::SlotNo;

    pub fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    pub const fn terms(options: Options) -> Terms {
        Terms { options, absent: 0 }
    }

    pub fn entry(recipients: Vec<Recipient>) -> Entry {
        Entry {
            head: Head::new(0, &terms(Options::default())),
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
            let terms = terms(options);
            let head = Head { told, ..Head::new(0, &terms) };
            assert_eq!(head.place(Lane::default(), &terms).deadline, expect, "{delay} {lifetime} {told:?}");
        }
    }

    #[test]
    fn an_entry_of_the_first_version_is_read_and_one_that_was_held_is_held() {
        let mut whole = entry(vec![Recipient::new(mailbox("b@example.net"))]);
        whole.envelope.require_tls = RequireTls::No;
        for (next, standing) in [(7, Standing::Scheduled), (FIRST_HELD, Standing::Held(5))] {
            let first = FirstHead { version: FIRST_VERSION, arrived: 5, next, told: Told::Late };
            let record = postcard::to_allocvec(&(first, Stored::from(&whole))).unwrap();
            let head = Head { version: VERSION, arrived: 5, next, told: Told::Late, begun: 5, standing };
            assert_eq!(Entry::parse(&record), Ok(Entry { head, ..whole.clone() }), "{next}");
        }
    }

    #[test]
    fn no_lifetime_passes_while_an_entry_is_held_or_the_gateway_is_away() {
        let hour = 3_600_000;
        let options = Options { delay_notice_hours: 4, lifetime_hours: 10, ..Options::default() };
        let mut terms = Terms { options, absent: 2 * hour };
        let mut head = Head::new(100 * hour, &terms);
        assert_eq!(head.expires(&terms), 110 * hour);
        assert!(!head.release(101 * hour, &terms));
        assert!(head.hold(terms.own(103 * hour)) && !head.hold(terms.own(104 * hour)));
        assert_eq!((head.expires(&terms), head.late_from(&terms)), (Millis::MAX, None));
        assert_eq!(head.place(Lane::default(), &terms).turn, Turn::Held);
        // Away for 50 of the 60 hours that it is held.
        terms.absent += 50 * hour;
        assert!(head.release(163 * hour, &terms));
        assert_eq!((head.next, head.expires(&terms)), (163 * hour, 170 * hour), "seven hours are left");
        terms.absent += 100 * hour;
        assert_eq!(head.expires(&terms), 270 * hour);
    }
}
