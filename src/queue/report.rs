//! Whom a report goes to, and what it carries: our own senders only, and the header only.
//!
//! RFC 5321 §4.5.5 and §6.1 (never about a null reverse-path), RFC 3461 §6.2.

use std::io::Read;

use bytes::Bytes;
use jiff::Timestamp;

use super::entry::Entry;
use super::{Carries, NewEntry};
use crate::crypto::random;
use crate::mail::{Admd, BodyType, Envelope, Mailbox, Notify, Recipient, RequireTls, ReversePath, Utf8, dsn};

/// The sender, if a report may go there, or why not: a bounce is never bounced, and a stranger's address may be
/// forged, so nobody outside the house gets mail that we made up.
pub(super) fn addressee<'a>(envelope: &'a Envelope, admd: &Admd) -> Result<&'a Mailbox, &'static str> {
    match envelope.reverse_path.mailbox() {
        Some(sender) if admd.is_internal(sender) => Ok(sender),
        Some(_) => Err("the sender is not of the house"),
        None => Err("it was a report itself"),
    }
}

/// A report as an entry of its own.
pub(super) fn compose(admd: &Admd, entry: &Entry, told: &Told<'_>, now: Timestamp) -> NewEntry {
    let report = dsn::Report {
        admd,
        envelope: &entry.envelope,
        arrived: Timestamp::from_millisecond(entry.head.arrived).unwrap_or(now),
        fates: told.fates,
        header: told.header,
        seed: random::array(),
    };
    let body = dsn::compose(&report, told.to, now);
    NewEntry { envelope: envelope(told.to, told.fates, &body), body: vec![body], carries: Carries::Nothing }
}

/// What is told to whom.
pub(super) struct Told<'a> {
    pub to: &'a Mailbox,
    pub fates: &'a [dsn::Fate],
    /// Of the message it is about.
    pub header: &'a [u8],
}

/// The header of a message, up to [`HEADER_MAX`] and then to the last whole line. The body is never
/// read: a link in it must not travel back.
pub(super) fn header_of(mut message: Box<dyn Read + Send>) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::new();
    let mut chunk = [0; 4096];
    while header.len() < HEADER_MAX {
        let count = message.read(&mut chunk)?;
        header.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if let Some(end) = find(&header, b"\r\n\r\n") {
            header.truncate(end.saturating_add(2));
            return Ok(header);
        }
        if count == 0 {
            break;
        }
    }
    let whole = header.windows(2).rposition(|pair| pair == b"\r\n").map_or(0, |at| at.saturating_add(2));
    header.truncate(whole);
    Ok(header)
}

fn envelope(to: &Mailbox, fates: &[dsn::Fate], body: &Bytes) -> Envelope {
    let utf8 = to.needs_utf8() || fates.iter().any(|fate| fate.recipient.forward_path.needs_utf8());
    Envelope {
        reverse_path: ReversePath::Null,
        // RFC 3461 §6.2: a report asks for no report.
        recipients: vec![Recipient { notify: Some(Notify::Never), ..Recipient::new(to.clone()) }],
        ret: None,
        envelope_id: None,
        body: if body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        utf8: if utf8 { Utf8::Yes } else { Utf8::No },
        require_tls: RequireTls::No,
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// More header than this is not returned: a report stays smaller than most mail.
const HEADER_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::entry::tests::mailbox;
    use super::*;
    use crate::mail::Domain;

    fn of(text: &[u8]) -> Vec<u8> {
        header_of(Box::new(std::io::Cursor::new(text.to_vec()))).unwrap()
    }

    #[test]
    fn only_whole_lines_of_the_header_are_returned() {
        let long = [b"Subject: long\r\n".as_slice(), "X: y\r\n".repeat(20_000).as_bytes()].concat();
        assert_eq!(of(b"A: 1\r\nB: 2\r\n\r\nlink\r\n"), b"A: 1\r\nB: 2\r\n");
        assert_eq!(of(b"A: 1\r\nB: 2"), b"A: 1\r\n");
        assert_eq!(of(b""), b"");
        let cut = of(&long);
        assert!(cut.len() <= HEADER_MAX + 4096 && cut.ends_with(b"\r\n"));
    }

    #[test]
    fn only_senders_of_the_house_hear_of_their_mail() {
        let admd = Admd {
            domains: vec![Domain::parse("example.org").unwrap()],
            hostname: Domain::parse("mail.example.org").unwrap(),
            postmaster: mailbox("postmaster@example.org"),
        };
        for (sender, expect) in [
            (ReversePath::Null, Err("it was a report itself")),
            (ReversePath::Mailbox(mailbox("ann@example.org")), Ok(mailbox("ann@example.org"))),
            (ReversePath::Mailbox(mailbox("ann@sub.example.org")), Err("the sender is not of the house")),
            (ReversePath::Mailbox(mailbox("forged@example.com")), Err("the sender is not of the house")),
        ] {
            let envelope = Envelope {
                reverse_path: sender.clone(),
                recipients: vec![],
                ret: None,
                envelope_id: None,
                body: BodyType::SevenBit,
                utf8: Utf8::No,
                require_tls: RequireTls::No,
            };
            assert_eq!(addressee(&envelope, &admd).cloned(), expect, "{sender:?}");
        }
    }
}
