//! Whom a report goes to, and what it carries: our own senders only, in their language; the message only where they
//! asked for it and nothing in it was a link.
//!
//! RFC 5321 §4.5.5 and §6.1 (never about a null reverse-path), RFC 3461 §6.2.

use std::io::Read;

use bytes::Bytes;
use jiff::Timestamp;

use super::entry::Entry;
use super::{Carries, NewEntry};
use crate::crypto::random;
use crate::mail::dsn::{self, Action};
use crate::mail::{Admd, BodyType, Envelope, Mailbox, Message, Notify, Recipient, RequireTls, Return, ReversePath, Utf8};
use crate::words::{Language, say};

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
    let action = told.fates.first().map_or(Action::Failed, |fate| fate.action);
    let report = dsn::Report {
        admd,
        envelope: &entry.envelope,
        arrived: Timestamp::from_millisecond(entry.head.arrived).unwrap_or(now),
        fates: told.fates,
        words: &words(told.language, action, admd),
        // RFC 3461 §6.2: the whole message is for who hears of a failure.
        returned: match told.message {
            Kept::Whole(message) if action == Action::Failed => dsn::Returned::Whole(message),
            Kept::Whole(message) | Kept::Header(message) => dsn::Returned::Header(message),
        },
        seed: random::array(),
    };
    let body = dsn::compose(&report, told.to, now);
    NewEntry { envelope: envelope(told.to, told.fates, &body), body: vec![body], carries: Carries::Nothing }
}

/// What is told to whom.
pub(super) struct Told<'a> {
    pub to: &'a Mailbox,
    pub fates: &'a [dsn::Fate],
    /// What it is about.
    pub message: &'a Kept,
    pub language: Language,
}

/// What is at hand of a message.
pub(super) enum Kept {
    Header(Vec<u8>),
    Whole(Vec<u8>),
}

impl Kept {
    /// All of it where its sender asked for that and it is small and carries no link: a link must not travel back. Of
    /// what requires TLS only what says nothing of it, for the report need not find a way that keeps TLS. RFC 8689 §5.
    pub fn of(entry: &Entry, mut message: Box<dyn Read + Send>) -> std::io::Result<Self> {
        if entry.envelope.require_tls != RequireTls::No {
            return Ok(Self::Header(dsn::redacted(Message::parse(header_of(message)?.into()).header())));
        }
        let is_wanted = entry.envelope.ret == Some(Return::Full) && entry.carries == Carries::Nothing && entry.size <= WHOLE_MAX;
        if !is_wanted {
            return header_of(message).map(Self::Header);
        }
        let mut whole = Vec::new();
        message.read_to_end(&mut whole)?;
        Ok(Self::Whole(whole))
    }

    /// The language that its sender reads, as mail programs tell it (RFC 3282); none of ours is the house's.
    pub fn language(&self, house: Language) -> Language {
        let (Self::Header(octets) | Self::Whole(octets)) = self;
        let header = octets.get(..octets.len().min(HEADER_MAX)).unwrap_or_default();
        let text = String::from_utf8_lossy(header);
        let fields = text.split("\r\n").take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        let value = |name: &str| fields.clone().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        Language::negotiate(value("Accept-Language").or_else(|| value("Content-Language")), house)
    }
}

fn words(language: Language, action: Action, admd: &Admd) -> dsn::Words {
    let (subject, lead) = match action {
        Action::Failed => ("report-failed-subject", "report-failed-lead"),
        Action::Delayed => ("report-delayed-subject", "report-delayed-lead"),
        Action::Relayed => ("report-relayed-subject", "report-relayed-lead"),
        Action::Delivered => ("report-delivered-subject", "report-delivered-lead"),
    };
    dsn::Words {
        subject: say(language, subject, &[]),
        from: say(language, "report-from", &[("host", admd.hostname.as_str())]),
        lead: say(language, lead, &[]),
        reason: say(language, "report-reason", &[]),
    }
}

/// The header of a message, up to [`HEADER_MAX`] and then to the last whole line.
fn header_of(mut message: Box<dyn Read + Send>) -> std::io::Result<Vec<u8>> {
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
/// RFC 3461 §6.2 lets a longer message come back as its header.
const WHOLE_MAX: u64 = 1024 * 1024;

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
    fn the_language_is_what_the_mail_program_said_or_the_houses() {
        for (header, expect) in [
            ("Accept-Language: sv-SE, en-US\r\nContent-Language: en-US\r\n", Language::Swedish),
            ("content-language: sv\r\n", Language::Swedish),
            ("Accept-Language: fr-FR\r\n", Language::English),
            ("Subject: x\r\n\r\nAccept-Language: sv\r\n", Language::English),
        ] {
            assert_eq!(Kept::Header(header.into()).language(Language::English), expect, "{header}");
        }
        assert_eq!(Kept::Whole(vec![]).language(Language::Swedish), Language::Swedish);
    }

    #[test]
    fn a_message_comes_back_whole_only_where_that_was_asked_for_and_no_link_is_in_it() {
        let text = b"Subject: x\r\n\r\nbody\r\n";
        let kept = |ret, carries, size, require_tls| {
            let mut entry = super::super::entry::tests::entry(vec![]);
            (entry.envelope.ret, entry.carries, entry.size, entry.envelope.require_tls) = (ret, carries, size, require_tls);
            Kept::of(&entry, Box::new(std::io::Cursor::new(text.to_vec()))).unwrap()
        };
        let whole = |ret, carries, size| matches!(kept(ret, carries, size, RequireTls::No), Kept::Whole(_));
        assert!(whole(Some(Return::Full), Carries::Nothing, 20));
        assert!(!whole(Some(Return::Full), Carries::Link([1; 16]), 20));
        assert!(!whole(Some(Return::Full), Carries::Nothing, WHOLE_MAX + 1));
        assert!(!whole(Some(Return::Headers), Carries::Nothing, 20) && !whole(None, Carries::Nothing, 20));
        // The report may go where the message must not.
        let of_secret = kept(Some(Return::Full), Carries::Nothing, 20, RequireTls::Yes);
        assert!(matches!(of_secret, Kept::Header(header) if header.is_empty()));
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
