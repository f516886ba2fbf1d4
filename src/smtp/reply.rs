//! The server's lines: the one place where replies are made.
//!
//! Every reply but greetings carries an enhanced status (RFC 2034). What goes into a line from
//! elsewhere is cut and cleaned here, so no text of ours or of a next hop can end a line early.
//! The client learns nothing of our own troubles beyond that they are ours.
//!
//! RFC 5321 §4.2, RFC 3463, RFC 2034.

use std::borrow::Cow;
use std::fmt::Write;

use super::{Receipt, Refusal};
use crate::mail::{Domain, EnhancedStatus};
use crate::net::peers::Surplus;

/// A reply, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    lines: Vec<Cow<'static, str>>,
}

/// The 250 that ends DATA. From here on the message is ours to lose.
pub fn accepted(receipt: &Receipt) -> Reply {
    match receipt {
        Receipt::Queued(committed) => {
            let id = committed.ids().first().map(ToString::to_string).unwrap_or_default();
            Reply::owned(250, status(2, 6, 0), format!("queued as {id}"))
        }
        Receipt::Relayed(_) => Reply::new(250, status(2, 6, 0), "relayed"),
    }
}

impl From<&Refusal> for Reply {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Forbidden { because } => Self::owned(550, status(5, 7, 1), because.clone()),
            Refusal::Malformed { status, because } => Self::owned(554, *status, because.clone()),
            Refusal::TooMuch { because } => Self::owned(451, status(4, 7, 1), because.clone()),
            Refusal::ByNextHop(said) => Self::owned(said.code.unwrap_or(550), said.status, said.words.clone()),
            // What our trouble is stands in the log; a stranger has no use for it.
            Refusal::Unavailable(_) => Self::new(451, status(4, 3, 0), "try again later"),
            Refusal::Full => Self::new(452, status(4, 3, 1), "no room for the message now, try again later"),
        }
    }
}

impl From<Surplus> for Reply {
    fn from(surplus: Surplus) -> Self {
        match surplus {
            Surplus::FromThere => fixed::TOO_MANY_FROM_YOU.into(),
            Surplus::AtAll => fixed::TOO_MANY_CONNECTIONS.into(),
        }
    }
}

impl Reply {
    /// A reply of one fixed line.
    pub const fn fixed(code: u16, status: EnhancedStatus, words: &'static str) -> Fixed {
        Fixed { code, status, words }
    }

    pub(super) fn new(code: u16, status: EnhancedStatus, words: &'static str) -> Self {
        Self { code, status: Some(status), lines: vec![Cow::Borrowed(words)] }
    }

    pub(super) fn owned(code: u16, status: EnhancedStatus, words: String) -> Self {
        Self { code, status: Some(status), lines: vec![Cow::Owned(words)] }
    }

    /// 220: the first line of every session.
    pub(super) fn banner(hostname: &Domain) -> Self {
        Self { code: 220, status: None, lines: vec![Cow::Owned(format!("{hostname} ESMTP"))] }
    }

    /// 250 to EHLO or HELO: our name, and for EHLO what we can do. RFC 5321 §4.1.1.1.
    pub(super) fn greeting(hostname: &Domain, keywords: Vec<Cow<'static, str>>) -> Self {
        let mut lines = vec![Cow::Owned(hostname.to_string())];
        lines.extend(keywords);
        Self { code: 250, status: None, lines }
    }

    /// 334 with a challenge, already in base64. RFC 4954 §4.
    pub(super) fn challenge(base64: &'static str) -> Self {
        Self { code: 334, status: None, lines: vec![Cow::Borrowed(base64)] }
    }

    /// 354: the go-ahead for the message.
    pub(super) fn go_ahead() -> Self {
        Self { code: 354, status: None, lines: vec![Cow::Borrowed("end with a dot on a line of its own")] }
    }

    /// The reply code.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status, if the reply has one.
    pub const fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// Whether the client is told that it is wrong.
    pub const fn is_error(&self) -> bool {
        self.code >= 500
    }

    /// Whether the client is told that something is wrong.
    pub const fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// The words of its first line.
    pub fn words(&self) -> &str {
        self.lines.first().map_or("", |line| line)
    }

    /// Writes the reply as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        let mut text = String::new();
        for (index, line) in self.lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{mark}", self.code);
            if let Some(status) = self.status {
                let _ = write!(text, "{status} ");
            }
            text.extend(clean(line));
            text.push_str("\r\n");
        }
        out.extend_from_slice(text.as_bytes());
    }
}

impl std::fmt::Display for Reply {
    /// Code, status and the words of its first line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        self.status.iter().try_for_each(|status| write!(f, " {status}"))?;
        write!(f, " {}", clean(self.words()).collect::<String>())
    }
}

/// A reply known when the program is written.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    code: u16,
    status: EnhancedStatus,
    words: &'static str,
}

impl From<Fixed> for Reply {
    fn from(fixed: Fixed) -> Self {
        Self::new(fixed.code, fixed.status, fixed.words)
    }
}

/// The characters that a reply line may hold (RFC 5321 §4.2 `textstring`), as many as fit.
fn clean(line: &str) -> impl Iterator<Item = char> {
    line.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(WORDS_MAX)
}

const fn status(class: u8, subject: u16, detail: u16) -> EnhancedStatus {
    EnhancedStatus::new(class, subject, detail)
}

macro_rules! replies {
    ($( $(#[doc = $doc:literal])* $name:ident = $code:literal ($class:literal, $subject:literal, $detail:literal) $words:literal; )*) => {
        $( $(#[doc = $doc])* pub const $name: Fixed = Reply::fixed($code, status($class, $subject, $detail), $words); )*
    };
}

/// Replies without variable parts, by what they mean.
pub mod fixed {
    use super::{Fixed, Reply, status};

    replies! {
        /// RSET, and NOOP.
        OK = 250 (2, 0, 0) "ok";
        /// MAIL.
        SENDER_OK = 250 (2, 1, 0) "sender ok";
        /// RCPT.
        RECIPIENT_OK = 250 (2, 1, 5) "recipient ok";
        /// QUIT.
        GOODBYE = 221 (2, 0, 0) "goodbye";
        /// HELP. RFC 5321 §4.1.1.8.
        HELP = 214 (2, 0, 0) "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS AUTH";
        /// VRFY never says who exists. RFC 5321 §7.3.
        CANNOT_VERIFY = 252 (2, 5, 2) "cannot verify, send the message and see";
        /// STARTTLS.
        READY_FOR_TLS = 220 (2, 0, 0) "ready to start TLS";
        /// AUTH.
        AUTHENTICATED = 235 (2, 7, 0) "authenticated";
        /// No verb of ours.
        UNKNOWN_COMMAND = 500 (5, 5, 2) "command not recognised";
        /// A command line without end.
        LINE_TOO_LONG = 500 (5, 5, 2) "line too long";
        /// A command line with a stray CR, LF or NUL.
        BAD_LINE_END = 500 (5, 5, 2) "lines end with CRLF and hold no other CR, LF or NUL";
        /// EXPN, and verbs that are not offered.
        NOT_OFFERED = 502 (5, 5, 1) "command not offered";
        /// Right command, wrong moment.
        EHLO_FIRST = 503 (5, 5, 1) "say EHLO first";
        /// RCPT or DATA without MAIL.
        MAIL_FIRST = 503 (5, 5, 1) "say MAIL first";
        /// DATA without RCPT.
        RCPT_FIRST = 503 (5, 5, 1) "no valid recipients";
        /// MAIL within a transaction.
        NESTED_MAIL = 503 (5, 5, 1) "there is a transaction already, say RSET first";
        /// A second STARTTLS.
        TLS_ALREADY = 503 (5, 5, 1) "TLS is on already";
        /// A second AUTH, or AUTH within a transaction. RFC 4954 §4.
        NO_AUTH_NOW = 503 (5, 5, 1) "no AUTH at this point";
        /// XCLIENT within a transaction.
        NOT_IN_TRANSACTION = 503 (5, 5, 1) "there is a transaction, say RSET first";
        /// XCLIENT of somebody who may not speak for others, and XFORWARD of anybody.
        NOT_FOR_OTHERS = 550 (5, 7, 0) "insufficient authorization";
        /// AUTH in the clear. RFC 4954 §4.
        AUTH_NEEDS_TLS = 538 (5, 7, 11) "say STARTTLS first, passwords are not taken in the clear";
        /// A mechanism that we do not have.
        UNKNOWN_MECHANISM = 504 (5, 5, 4) "mechanisms are PLAIN and LOGIN";
        /// Broken base64, or a malformed answer. RFC 4954 §4.
        BAD_SASL = 501 (5, 5, 2) "cannot decode the authentication data";
        /// `*`. RFC 4954 §4.
        AUTH_CANCELLED = 501 (5, 7, 0) "authentication cancelled";
        /// An AUTH line without end. RFC 4954 §4.
        AUTH_TOO_LONG = 500 (5, 5, 6) "authentication line too long";
        /// Wrong name or password: one reply for both.
        BAD_CREDENTIALS = 535 (5, 7, 8) "authentication credentials invalid";
        /// Too many wrong guesses from this address.
        TOO_MANY_GUESSES = 454 (4, 7, 0) "too many wrong passwords, wait a minute";
        /// AUTH while no users are set up or the check cannot be made.
        AUTH_UNAVAILABLE = 454 (4, 7, 0) "authentication not possible now";
        /// A client that has no relay rights. RFC 4954 §6.
        AUTH_REQUIRED = 530 (5, 7, 0) "authentication required";
        /// The reverse-path is not of this house.
        FOREIGN_SENDER = 550 (5, 7, 1) "the sender's domain is not one of ours";
        /// The reverse-path is not the authenticated user's.
        NOT_YOUR_ADDRESS = 553 (5, 7, 1) "the sender address does not belong to the authenticated user";
        /// REQUIRETLS outside of TLS. RFC 8689 §2.
        REQUIRETLS_NOT_OFFERED = 555 (5, 5, 4) "REQUIRETLS needs TLS first";
        /// A non-ASCII address without SMTPUTF8. RFC 6531 §3.5.
        UTF8_NOT_ASKED = 553 (5, 6, 7) "addresses beyond ASCII need SMTPUTF8 in MAIL";
        /// SIZE is over our limit. RFC 1870 §6.1.
        TOO_BIG = 552 (5, 3, 4) "message too big";
        /// RCPT beyond the limit. RFC 5321 §4.5.3.1.10.
        TOO_MANY_RECIPIENTS = 452 (4, 5, 3) "too many recipients";
        /// No room for the message.
        NO_ROOM = 452 (4, 3, 1) "no room for the message now, try again later";
        /// No memory for the message within the time that we are ready to wait.
        BUSY = 451 (4, 3, 1) "too much mail at once, try again later";
        /// A stray CR, LF or NUL in DATA.
        BARE_NEWLINE = 554 (5, 6, 0) "the message holds a CR, LF or NUL outside of CRLF";
        /// A text line over the limit. RFC 5321 §4.5.3.1.6.
        TEXT_LINE_TOO_LONG = 554 (5, 6, 0) "the message holds a line longer than 998 octets";
        /// A header that nobody writes.
        HEADER_TOO_LONG = 554 (5, 6, 0) "the header of the message is too long";
        /// More Received fields than a path has hops. RFC 5321 §6.3.
        TOO_MANY_HOPS = 554 (5, 4, 6) "too many hops, this message goes round in circles";
        /// Input where the client must wait for us. RFC 2920 §3.1, RFC 3207 §4.2.
        SPOKE_TOO_SOON = 554 (5, 5, 0) "input before it was your turn";
        /// The limit on wrong commands.
        TOO_MANY_ERRORS = 421 (4, 7, 0) "too many errors";
        /// The limit on commands that do nothing.
        TOO_MUCH_TALK = 421 (4, 7, 0) "too many commands without a message";
        /// Nothing came for too long. RFC 5321 §4.5.3.2.7.
        TIMEOUT = 421 (4, 4, 2) "timeout";
        /// The message comes too slowly.
        TOO_SLOW = 421 (4, 4, 2) "the message comes too slowly";
        /// The session has lasted long enough.
        SESSION_TOO_LONG = 421 (4, 4, 2) "session too long";
        /// Too many connections at all.
        TOO_MANY_CONNECTIONS = 421 (4, 3, 2) "too many connections, try again later";
        /// Too many connections from there.
        TOO_MANY_FROM_YOU = 421 (4, 7, 0) "too many connections from your address";
        /// The gateway stops. RFC 5321 §3.8.
        GOING_DOWN = 421 (4, 3, 2) "service is going down";
    }
}

/// Longest text in one reply line: with code and status it stays below RFC 5321 §4.5.3.1.5's 512 octets.
const WORDS_MAX: usize = 480;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Fault;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn by_next_hop(code: Option<u16>, (class, subject, detail): (u8, u16, u16), words: &str) -> Refusal {
        Refusal::ByNextHop(crate::smtp::client::Said { code, status: status(class, subject, detail), words: words.into() })
    }

    #[test]
    fn every_refusal_has_its_reply_and_our_troubles_stay_ours() {
        for (refusal, expect) in [
            (Refusal::Forbidden { because: "no cards by mail".into() }, "550 5.7.1 no cards by mail\r\n"),
            (Refusal::Malformed { status: status(5, 6, 0), because: "two boundaries".into() }, "554 5.6.0 two boundaries\r\n"),
            (Refusal::TooMuch { because: "slower please".into() }, "451 4.7.1 slower please\r\n"),
            (Refusal::Unavailable(Fault("disk sda1 on fire".into())), "451 4.3.0 try again later\r\n"),
            (by_next_hop(Some(552), (5, 2, 2), "mailbox full\r\n250 x"), "552 5.2.2 mailbox full??250 x\r\n"),
            (by_next_hop(None, (5, 6, 7), "no SMTPUTF8"), "550 5.6.7 no SMTPUTF8\r\n"),
            (Refusal::Full, "452 4.3.1 no room for the message now, try again later\r\n"),
        ] {
            assert_eq!(wire(&Reply::from(&refusal)), expect);
        }
    }

    #[test]
    fn no_text_can_end_a_line_early_or_make_it_too_long() {
        let because = format!("a\r\n250 ok\0 é{}", "x".repeat(2_000));
        let line = wire(&Reply::from(&Refusal::Forbidden { because }));
        assert!(line.starts_with("550 5.7.1 a??250 ok? ?xxx"), "{line}");
        assert!(line.len() <= 512 && line.matches('\n').count() == 1, "{line}");
    }

    #[test]
    fn a_greeting_has_one_keyword_a_line_and_no_status() {
        let hostname = Domain::parse("gate.example.org").unwrap();
        assert_eq!(
            wire(&Reply::greeting(&hostname, vec!["SIZE 10".into(), "HELP".into()])),
            "250-gate.example.org\r\n250-SIZE 10\r\n250 HELP\r\n"
        );
    }
}
