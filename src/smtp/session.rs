//! The server's side of a conversation as a state machine: lines in, acts out.
//!
//! No socket, no clock, no waiting. What needs those (reading a message, a handshake, a
//! password) leaves as an [`Act`] and comes back as an argument. The state is a value: every line
//! consumes it, and a transaction is dropped whole or handed out whole, so none of it can be left
//! behind for the next.
//!
//! RFC 5321 §3, §4.1.4; RFC 3207 (STARTTLS); RFC 4954 (AUTH).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Peer;
use super::command::{Auth, BadCommand, Command, ForwardPath, Mail, Rcpt};
use super::framing::Line;
use super::options::{ForeignFrom, Options};
use super::reply::{Fixed, Reply, fixed};
use super::rights::{Rights, Standing, contain};
use super::sasl::{self, Claim, Exchange, Step};
use super::users::{Identity, Verdict};
use super::xclient::{self, Introduction};
use crate::mail::{Admd, BadMailbox, EnhancedStatus, Envelope, Mailbox, Recipient, RequireTls, ReversePath, Utf8};

/// One conversation.
#[derive(Debug)]
pub struct Session {
    house: Arc<House>,
    address: IpAddr,
    /// What the client may do by where it is and what it showed.
    standing: Standing,
    /// Whether it may say by XCLIENT for whom it speaks: settled by its own address, whatever it says later.
    introduces: Offer,
    told: Introduction,
    cover: Cover,
    identity: Option<Identity>,
    tally: Tally,
    state: State,
}

/// What all sessions have in common.
#[derive(Debug)]
pub struct House {
    /// Which domains are ours, and our name.
    pub admd: Admd,
    /// Limits.
    pub options: Options,
    /// Who may relay without AUTH; swapped by a reload.
    pub rights: Arc<ArcSwap<Rights>>,
    /// Whether there is a certificate.
    pub tls: Offer,
    /// Whether there are users.
    pub auth: Offer,
}

/// Whether something is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// What lies around the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// Nothing.
    Plain,
    /// TLS.
    Tls,
}

/// What the driver is to do next.
#[derive(Debug)]
pub enum Act {
    /// Say this and read on.
    Reply(Reply),
    /// Say this and read a message; the transaction is out of the session's hands.
    Receive(Reply, Envelope),
    /// Say this and shake hands; then [`Session::secured`].
    StartTls(Reply),
    /// Check this; then [`Session::verified`].
    Verify(Claim),
    /// Say this; the client is here from now on.
    Move(Reply, IpAddr),
    /// Say this and hang up.
    Close(Reply),
}

#[derive(Debug)]
enum State {
    /// Nothing was said.
    Connected,
    /// EHLO or HELO was said, and no transaction is open.
    Greeted(Greeting),
    /// AUTH was said and is not over.
    Authenticating(Greeting, Exchange),
    /// MAIL was said.
    Transaction(Greeting, Envelope),
}

/// What the client calls itself, and in which tongue it speaks.
#[derive(Debug, Clone)]
struct Greeting {
    helo: String,
    dialect: Dialect,
}

/// What a session began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// HELO.
    Smtp,
    /// EHLO.
    Esmtp,
}

#[derive(Debug, Default)]
struct Tally {
    errors: u32,
    talk: u32,
    guesses: u32,
}

impl Session {
    /// A client is there, in the clear so far; say the banner.
    pub fn open(house: Arc<House>, address: IpAddr) -> (Self, Reply) {
        let banner = Reply::banner(&house.admd.hostname);
        let standing = house.rights.load().of_address(address);
        let introduces = if contain(&house.options.xclient_networks, address) { Offer::Yes } else { Offer::No };
        let (told, tally, state) = (Introduction::default(), Tally::default(), State::Connected);
        let session = Self { house, address, standing, introduces, told, cover: Cover::Plain, identity: None, tally, state };
        (session, banner)
    }

    /// What a line of the client leads to. `room` says whether there is room for a message of so many octets.
    pub fn on(self, line: Line, room: &dyn Fn(u64) -> bool) -> (Self, Act) {
        let (session, act) = match line {
            Line::Whole(line) => self.on_line(&line, room),
            // Where such a line ends cannot be known, so nothing after it can be trusted.
            Line::TooLong => (self, Act::Close(fixed::LINE_TOO_LONG.into())),
            Line::Bare | Line::Partial => (self, Act::Close(fixed::BAD_LINE_END.into())),
        };
        session.counted(act)
    }

    /// The handshake is done, and what was shown in it gives this standing. RFC 3207 §4.2: everything known from before it is
    /// forgotten, but for whom the peer speaks: then the certificate is not the client's, and gives it nothing.
    pub fn secured(self, standing: Standing) -> Self {
        let standing = if self.told.address.is_some() { self.standing } else { standing };
        Self { cover: Cover::Tls, standing, identity: None, state: State::Connected, ..self }
    }

    /// Where the client is.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it has said more wrong commands than happen to anybody.
    pub const fn is_a_nuisance(&self) -> bool {
        self.tally.errors > ERRORS_FREE
    }

    /// The claim was checked.
    pub fn verified(mut self, verdict: Verdict) -> (Self, Act) {
        let reply = match verdict {
            Verdict::True(identity) => {
                self.identity = Some(identity);
                fixed::AUTHENTICATED
            }
            Verdict::False => {
                self.tally.guesses += 1;
                fixed::BAD_CREDENTIALS
            }
            Verdict::TooMany => {
                self.tally.guesses += 1;
                fixed::TOO_MANY_GUESSES
            }
            Verdict::Unavailable => fixed::AUTH_UNAVAILABLE,
        };
        if self.tally.guesses >= GUESSES_MAX {
            return (self, Act::Close(fixed::TOO_MANY_ERRORS.into()));
        }
        self.counted(Act::Reply(reply.into()))
    }

    /// Whether it has relay rights: such a client gets more time.
    pub fn is_trusted(&self) -> bool {
        self.identity.is_some() || self.standing != Standing::Stranger
    }

    /// The facts that go with a message. RFC 3848, RFC 6531 §4.3.
    pub fn peer(&self, utf8: Utf8) -> Peer {
        let (helo, dialect) = match &self.state {
            State::Connected => (String::new(), Dialect::Smtp),
            State::Greeted(greeting) | State::Authenticating(greeting, _) | State::Transaction(greeting, _) => {
                (greeting.helo.clone(), greeting.dialect)
            }
        };
        let (helo, dialect) = (self.told.helo.clone().unwrap_or(helo), self.told.dialect.unwrap_or(dialect));
        let with = match (dialect, utf8, self.cover, self.identity.is_some()) {
            (Dialect::Smtp, ..) => "SMTP",
            (Dialect::Esmtp, Utf8::No, Cover::Plain, _) => "ESMTP",
            (Dialect::Esmtp, Utf8::No, Cover::Tls, false) => "ESMTPS",
            (Dialect::Esmtp, Utf8::No, Cover::Tls, true) => "ESMTPSA",
            (Dialect::Esmtp, Utf8::Yes, Cover::Plain, _) => "UTF8SMTP",
            (Dialect::Esmtp, Utf8::Yes, Cover::Tls, false) => "UTF8SMTPS",
            (Dialect::Esmtp, Utf8::Yes, Cover::Tls, true) => "UTF8SMTPSA",
        };
        let marks = match (&self.standing, &self.identity) {
            (Standing::Tenant(marks), None) => Some(Arc::clone(marks)),
            (Standing::Tenant(_), Some(_)) | (Standing::Stranger | Standing::Trusted, _) => None,
        };
        Peer { address: self.address, helo, with, identity: self.identity.clone(), marks }
    }

    fn on_line(self, line: &[u8], room: &dyn Fn(u64) -> bool) -> (Self, Act) {
        if let State::Authenticating(greeting, exchange) = self.state {
            return Self { state: State::Greeted(greeting), ..self }.authenticate(exchange.on(line));
        }
        if line.len() + CRLF > command_max(line) {
            return self.say(fixed::LINE_TOO_LONG);
        }
        match Command::parse(line) {
            Ok(command) => self.on_command(command, room),
            Err(bad) => (self, Act::Reply(Reply::from(bad))),
        }
    }

    fn on_command(self, command: Command, room: &dyn Fn(u64) -> bool) -> (Self, Act) {
        match (self, command) {
            (session, Command::Quit) => (session, Act::Close(fixed::GOODBYE.into())),
            (session, Command::Noop) => session.talked(fixed::OK),
            (session, Command::Help) => session.talked(fixed::HELP),
            (session, Command::Vrfy) => session.talked(fixed::CANNOT_VERIFY),
            (session, Command::Rset) => session.without_transaction().talked(fixed::OK),
            (session, Command::Helo(helo)) => session.greet(Greeting { helo, dialect: Dialect::Smtp }),
            (session, Command::Ehlo(helo)) => session.greet(Greeting { helo, dialect: Dialect::Esmtp }),
            (session, Command::StartTls) => session.start_tls(),
            (session, Command::Auth(auth)) => session.begin_auth(&auth),
            (session, Command::Introduce(introduction)) => session.introduce(introduction),
            (session, Command::Forward) => session.say(fixed::NOT_FOR_OTHERS),
            (session, Command::Mail(mail)) => session.begin_transaction(mail, room),
            (session, Command::Rcpt(rcpt)) => session.add_recipient(rcpt),
            (session, Command::Data) => session.hand_out(),
        }
    }

    fn greet(self, greeting: Greeting) -> (Self, Act) {
        let keywords = match greeting.dialect {
            Dialect::Smtp => Vec::new(),
            Dialect::Esmtp => self.keywords(),
        };
        let reply = Reply::greeting(&self.house.admd.hostname, keywords);
        // RFC 5321 §4.1.4: EHLO within a transaction drops it, as RSET does.
        let (session, _) = Self { state: State::Greeted(greeting), ..self }.talked(fixed::OK);
        (session, Act::Reply(reply))
    }

    fn keywords(&self) -> Vec<Cow<'static, str>> {
        let mut keywords: Vec<Cow<'static, str>> = vec!["PIPELINING".into(), format!("SIZE {}", self.house.options.message_size).into()];
        if self.offers_tls() {
            keywords.push("STARTTLS".into());
        }
        if self.offers_auth() {
            keywords.push("AUTH PLAIN LOGIN".into());
        }
        if self.introduces == Offer::Yes && self.told.address.is_none() {
            keywords.push(xclient::KEYWORD.into());
        }
        // RFC 8689 §2: only where it can be kept.
        if self.cover == Cover::Tls {
            keywords.push("REQUIRETLS".into());
        }
        keywords.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "DSN", "HELP"].map(Cow::from));
        keywords
    }

    fn start_tls(self) -> (Self, Act) {
        match (&self.state, self.cover) {
            (_, Cover::Tls) => self.say(fixed::TLS_ALREADY),
            (State::Connected, _) => self.say(fixed::EHLO_FIRST),
            _ if !self.offers_tls() => self.say(fixed::NOT_OFFERED),
            _ => (self.without_transaction(), Act::StartTls(fixed::READY_FOR_TLS.into())),
        }
    }

    /// Whether a peer speaks that may say who the client is. Once it has said so, what follows a greeting may be the
    /// client's own words, passed on as they come; and no client introduces itself.
    fn may_introduce(&self) -> bool {
        self.introduces == Offer::Yes && (self.told.address.is_none() || matches!(self.state, State::Connected))
    }

    /// The client is somebody else from here on: the conversation begins anew, with nothing left of what was proved before, by
    /// AUTH or by a certificate that was the peer's own.
    fn introduce(self, introduction: Introduction) -> (Self, Act) {
        if !self.may_introduce() {
            return self.say(fixed::NOT_FOR_OTHERS);
        }
        if matches!(self.state, State::Transaction(..)) {
            return self.say(fixed::NOT_IN_TRANSACTION);
        }
        let told = introduction.after(self.told);
        let address = told.address.unwrap_or(self.address);
        let standing = self.house.rights.load().of_address(address);
        let banner = Reply::banner(&self.house.admd.hostname);
        let act = told.address.map_or(Act::Reply(banner.clone()), |address| Act::Move(banner, address));
        (Self { address, standing, told, identity: None, tally: Tally::default(), state: State::Connected, ..self }, act)
    }

    fn begin_auth(self, auth: &Auth) -> (Self, Act) {
        match (&self.state, self.cover) {
            (State::Connected, _) => self.say(fixed::EHLO_FIRST),
            (State::Transaction(..), _) => self.say(fixed::NO_AUTH_NOW),
            _ if self.identity.is_some() => self.say(fixed::NO_AUTH_NOW),
            _ if self.house.auth == Offer::No => self.say(fixed::NOT_OFFERED),
            (_, Cover::Plain) => self.say(fixed::AUTH_NEEDS_TLS),
            _ => self.authenticate(sasl::begin(auth)),
        }
    }

    fn authenticate(self, step: Step) -> (Self, Act) {
        match (step, self.state) {
            (Step::Challenge(exchange, text), State::Greeted(greeting)) => {
                (Self { state: State::Authenticating(greeting, exchange), ..self }, Act::Reply(Reply::challenge(text)))
            }
            (Step::Challenge(..), state) => Self { state, ..self }.say(fixed::EHLO_FIRST),
            (Step::Claim(claim), state) => (Self { state, ..self }, Act::Verify(claim)),
            (Step::Cancelled, state) => Self { state, ..self }.say(fixed::AUTH_CANCELLED),
            (Step::Malformed, state) => Self { state, ..self }.say(fixed::BAD_SASL),
            (Step::Unknown, state) => Self { state, ..self }.say(fixed::UNKNOWN_MECHANISM),
        }
    }

    fn begin_transaction(self, mail: Mail, room: &dyn Fn(u64) -> bool) -> (Self, Act) {
        if let Err(refused) = self.may_send(&mail, room) {
            return self.say(refused);
        }
        match self.state {
            State::Greeted(greeting) => {
                let envelope = Envelope {
                    reverse_path: mail.reverse_path,
                    recipients: Vec::new(),
                    ret: mail.ret,
                    envelope_id: mail.envelope_id,
                    body: mail.body,
                    utf8: mail.utf8,
                    require_tls: mail.require_tls,
                };
                Self { state: State::Transaction(greeting, envelope), ..self }.say(fixed::SENDER_OK)
            }
            state @ (State::Connected | State::Authenticating(..) | State::Transaction(..)) => {
                Self { state, ..self }.say(fixed::EHLO_FIRST)
            }
        }
    }

    /// Order, rights, identity, size, room: in this order, so that a stranger learns nothing of the last ones.
    fn may_send(&self, mail: &Mail, room: &dyn Fn(u64) -> bool) -> Result<(), Fixed> {
        match &self.state {
            State::Greeted(_) => {}
            State::Transaction(..) => return Err(fixed::NESTED_MAIL),
            State::Connected | State::Authenticating(..) => return Err(fixed::EHLO_FIRST),
        }
        if !self.is_trusted() {
            return Err(fixed::AUTH_REQUIRED);
        }
        let size = mail.size.unwrap_or(0);
        if mail.require_tls == RequireTls::Yes && self.cover == Cover::Plain {
            return Err(fixed::REQUIRETLS_NOT_OFFERED);
        }
        if mail.utf8 == Utf8::No && mail.reverse_path.mailbox().is_some_and(Mailbox::needs_utf8) {
            return Err(fixed::UTF8_NOT_ASKED);
        }
        judge_sender(&mail.reverse_path, (&self.house.admd, self.foreign_from()), self.identity.as_ref())?;
        match size {
            size if size > self.house.options.message_size => Err(fixed::TOO_BIG),
            size if !room(size) => Err(fixed::NO_ROOM),
            _ => Ok(()),
        }
    }

    /// Mail of others is for forwarders among the relay networks; a cloud sends for the house or not at all.
    fn foreign_from(&self) -> ForeignFrom {
        match (&self.standing, &self.identity) {
            (Standing::Tenant(_), None) => ForeignFrom::Reject,
            (Standing::Tenant(_), Some(_)) | (Standing::Stranger | Standing::Trusted, _) => self.house.options.foreign_from,
        }
    }

    fn add_recipient(mut self, rcpt: Rcpt) -> (Self, Act) {
        let limit = self.house.options.recipients;
        let forward_path = match rcpt.forward_path {
            ForwardPath::Postmaster => self.house.admd.postmaster.clone(),
            ForwardPath::Mailbox(mailbox) => mailbox,
        };
        let reply = match &mut self.state {
            State::Connected | State::Greeted(_) | State::Authenticating(..) => fixed::MAIL_FIRST,
            State::Transaction(_, envelope) if envelope.recipients.len() >= limit => fixed::TOO_MANY_RECIPIENTS,
            State::Transaction(_, envelope) if forward_path.needs_utf8() && envelope.utf8 == Utf8::No => fixed::UTF8_NOT_ASKED,
            // One mailbox gets one copy, however often it is named.
            State::Transaction(_, envelope) if envelope.recipients.iter().any(|known| known.forward_path == forward_path) => {
                fixed::RECIPIENT_OK
            }
            State::Transaction(_, envelope) => {
                envelope.recipients.push(Recipient { forward_path, notify: rcpt.notify, original: rcpt.original });
                fixed::RECIPIENT_OK
            }
        };
        self.say(reply)
    }

    fn hand_out(mut self) -> (Self, Act) {
        match self.state {
            State::Transaction(greeting, envelope) if !envelope.recipients.is_empty() => {
                self.tally.talk = 0;
                (Self { state: State::Greeted(greeting), ..self }, Act::Receive(Reply::go_ahead(), envelope))
            }
            State::Transaction(..) => self.say(fixed::RCPT_FIRST),
            State::Connected | State::Greeted(_) | State::Authenticating(..) => self.say(fixed::MAIL_FIRST),
        }
    }

    fn without_transaction(self) -> Self {
        let state = match self.state {
            // The transaction is dropped whole, so nothing of it can be left behind.
            State::Transaction(greeting, _) => State::Greeted(greeting),
            state @ (State::Connected | State::Greeted(_) | State::Authenticating(..)) => state,
        };
        Self { state, ..self }
    }

    fn offers_tls(&self) -> bool {
        self.house.tls == Offer::Yes && self.cover == Cover::Plain
    }

    fn offers_auth(&self) -> bool {
        self.house.auth == Offer::Yes && self.cover == Cover::Tls && self.identity.is_none()
    }

    fn say(self, reply: Fixed) -> (Self, Act) {
        (self, Act::Reply(reply.into()))
    }

    fn talked(mut self, reply: Fixed) -> (Self, Act) {
        self.tally.talk += 1;
        self.say(reply)
    }

    /// Hangs up on a client that does nothing but err or talk.
    fn counted(mut self, act: Act) -> (Self, Act) {
        if matches!(&act, Act::Reply(reply) if reply.is_error()) {
            self.tally.errors += 1;
        }
        match (&act, &self.tally) {
            (Act::Close(_) | Act::Receive(..), _) => (self, act),
            (_, Tally { errors: ERRORS_MAX.., .. }) => (self, Act::Close(fixed::TOO_MANY_ERRORS.into())),
            (_, Tally { talk, .. }) if *talk > TALK_MAX => (self, Act::Close(fixed::TOO_MUCH_TALK.into())),
            _ => (self, act),
        }
    }
}

/// Whether mail may come from here: from the house, unless others may pass, and from who AUTH proved.
pub fn judge_sender(from: &ReversePath, (admd, foreign_from): (&Admd, ForeignFrom), identity: Option<&Identity>) -> Result<(), Fixed> {
    match from.mailbox() {
        Some(from) if !admd.is_internal(from) && foreign_from == ForeignFrom::Reject => Err(fixed::FOREIGN_SENDER),
        Some(from) if identity.is_some_and(|identity| !identity.may_send_as(from)) => Err(fixed::NOT_YOUR_ADDRESS),
        Some(_) | None => Ok(()),
    }
}

impl From<BadCommand> for Reply {
    fn from(bad: BadCommand) -> Self {
        let status = EnhancedStatus::new;
        match bad {
            BadCommand::Unknown => fixed::UNKNOWN_COMMAND.into(),
            BadCommand::NotOffered => fixed::NOT_OFFERED.into(),
            BadCommand::Syntax(syntax) => Self::owned(501, status(5, 5, 4), format!("syntax: {syntax}")),
            BadCommand::Parameter(syntax) => Self::owned(501, status(5, 5, 4), format!("syntax: {syntax}")),
            BadCommand::UnknownParameter => Self::new(555, status(5, 5, 4), "parameter not offered"),
            BadCommand::Path(bad) => Self::owned(553, status(5, 1, path_detail(bad)), bad.to_string()),
        }
    }
}

/// RFC 3463 §3.2: bad mailbox syntax, or a bad system name.
const fn path_detail(bad: BadMailbox) -> u16 {
    match bad {
        BadMailbox::BadDomain => 2,
        BadMailbox::NoDomain | BadMailbox::BadLocalPart | BadMailbox::TooLong => 3,
    }
}

/// How long a command line may be: by its verb. RFC 5321 §4.5.3.1.4, RFC 3461 §4, RFC 4954 §4.
fn command_max(line: &[u8]) -> usize {
    match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
        b"AUTH" => LINE_MAX,
        b"MAIL" | b"RCPT" | b"XCLI" => PATH_LINE_MAX,
        _ => COMMAND_MAX,
    }
}

const CRLF: usize = 2;
/// RFC 5321 §4.5.3.1.4.
const COMMAND_MAX: usize = 512;
/// MAIL and RCPT with all their parameters, XCLIENT with all its attributes.
const PATH_LINE_MAX: usize = 2_048;
/// The longest line that any command may have: AUTH. RFC 4954 §4.
pub const LINE_MAX: usize = 12_288;
/// Wrong commands that are answered at once.
const ERRORS_FREE: u32 = 5;
/// Wrong commands in a session before we hang up.
const ERRORS_MAX: u32 = 20;
/// Commands that do nothing, between two messages.
const TALK_MAX: u32 = 50;
/// Passwords in a session that were wrong, or not looked at any more, before we hang up.
const GUESSES_MAX: u32 = 3;
