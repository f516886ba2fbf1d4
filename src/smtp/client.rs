//! The client's side of SMTP, for relay: one connection, pipelined, one answer per recipient.
//!
//! A transaction has two halves, because the final dot divides what may be tried again from what
//! may not: [`Connection::begin`] does everything up to the last octet of the body, and nothing is
//! handed over if it fails or is dropped; [`Connection::finish`] sends the dot and waits.
//! Routing, retrying and reporting are not done here. RFC 5321 §3.3, §4.5.3.2; RFC 2920; RFC 8689
//! (a message that requires TLS goes to nobody who does not promise to keep it so).

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::announcement::{mail, rcpt};
use super::dialogue::{Capabilities, Dialogue, Heard, Socket};
use super::framing::{CrlfWriter, Unsendable};
use crate::event::meter::Connected;
use crate::mail::{Domain, EnhancedStatus, Envelope, RequireTls, Utf8};
use crate::secret::Secret;
use crate::transport::report::Wrong;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// A name, or an address without brackets.
    pub host: String,
    /// Port 465 speaks TLS from the first octet.
    pub port: u16,
    /// Where it is; none is what the system finds.
    pub address: Option<IpAddr>,
    /// The address of ours to come from; none is the system's choice.
    pub source: Option<IpAddr>,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// How mail is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// One answer to the dot, for everybody. RFC 5321.
    #[default]
    Smtp,
    /// To where mail ends: an answer to the dot for each recipient. RFC 2033.
    Lmtp,
}

impl Hop {
    /// Whether TLS comes before SMTP, so that nothing can be said without it. RFC 8314 §3.3.
    pub const fn is_implicit_tls(&self) -> bool {
        self.port == 465
    }
}

/// What is demanded of the connection; the configurations come from `net::tls`.
#[derive(Debug, Clone)]
pub enum Security {
    /// Never TLS.
    None,
    /// TLS if it is offered, with any certificate.
    Opportunistic(Arc<ClientConfig>),
    /// TLS or nothing, with any certificate.
    Required(Arc<ClientConfig>),
    /// TLS or nothing; the configuration checks the certificate against [`Hop::host`].
    Verified(Arc<ClientConfig>),
}

/// For AUTH; sent under TLS only.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Authentication identity.
    pub username: String,
    /// Its password.
    pub password: Secret<String>,
}

/// The octets of a message, CRLF line ends, not dot-stuffed.
pub enum Body {
    /// In memory, in pieces that follow each other.
    Memory(Vec<Bytes>),
    /// From somewhere that blocks; read off the I/O threads, in constant memory.
    Stream(Box<dyn Read + Send>),
}

/// What the other side said, or what we say for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its reply code; none when this is our own judgement.
    pub code: Option<u16>,
    /// Its enhanced status, or the one that the code implies.
    pub status: EnhancedStatus,
    /// Its words on one line: printable, at most 500 characters.
    pub words: String,
}

/// The fate of one recipient.
#[derive(Debug)]
pub enum Answer {
    /// The next hop holds the message for this recipient.
    Accepted(Accepted),
    /// 4yz: not now.
    Temporary(Said),
    /// 5yz: not ever.
    Permanent(Said),
}

/// Proof that a next hop took the message: made when it answers 250 to the final dot.
#[derive(Debug)]
pub struct Accepted {
    words: String,
}

impl Accepted {
    /// What it said.
    pub fn words(&self) -> &str {
        &self.words
    }
}

/// The connection is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How far it came.
    pub stage: Stage,
    /// What was said, or what we saw.
    pub said: Said,
    /// What was wrong with TLS, where that was it.
    pub wrong: Option<Wrong>,
}

/// How far a connection came before there was trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No TCP connection.
    Connect,
    /// Banner, EHLO.
    Greeting,
    /// STARTTLS, handshake, certificate, or TLS demanded and not offered.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL, RCPT, DATA and the body: the message was not handed over.
    BeforeDot,
    /// The dot was sent and no reply came: it may or may not have been handed over.
    AfterDot,
}

/// An open connection, greeted, and under TLS and AUTH as was asked. Good for many transactions, one after the other.
pub struct Connection {
    dialogue: Dialogue,
    offered: Capabilities,
    protocol: Protocol,
    state: State,
    _connected: Connected,
}

/// What may be done with a connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A transaction may begin.
    Ready,
    /// The last transaction ended before its message: RSET comes first.
    Dirty,
    /// A transaction is open, or broke off: it can only be dropped.
    Busy,
}

/// A transaction whose body is with the next hop and whose dot is not; or one that is settled without DATA.
#[derive(Debug)]
pub struct Pending {
    /// None for each recipient that waits for the dot.
    answers: Vec<Option<Answer>>,
    /// What still has to be written; none where no message is under way.
    writer: Option<CrlfWriter>,
}

impl Connection {
    /// Connects, greets, secures, authenticates.
    ///
    /// Where opportunistic TLS ends in [`Stage::Tls`], the next try may ask for [`Security::None`] (RFC 7435 §3).
    pub async fn open(hop: &Hop, hello: &Domain, security: &Security, credentials: Option<&Credentials>) -> Result<Self, Trouble> {
        let mut opening = super::opening::connect(hop, security).await?;
        opening.greet(hello).await?;
        let opening = opening.secure(hop, hello, security).await?;
        let (dialogue, offered) = opening.authenticate(credentials).await?;
        Ok(Self { dialogue, offered, protocol: hop.protocol, state: State::Ready, _connected: Connected::new("relay") })
    }

    /// One whole transaction: [`begin`](Self::begin), then [`finish`](Self::finish). One answer per recipient, in their order.
    pub async fn send(&mut self, envelope: &Envelope, body: Body, size: u64) -> Result<Vec<Answer>, Trouble> {
        let pending = self.begin(envelope, body, size).await?;
        self.finish(pending).await
    }

    /// Everything up to the last octet of the body. Dropping the connection now hands nothing over.
    pub async fn begin(&mut self, envelope: &Envelope, body: Body, size: u64) -> Result<Pending, Trouble> {
        if envelope.require_tls == RequireTls::Yes && !self.keeps_tls() {
            return Err(Trouble::not_promised());
        }
        if let Some(said) = self.cannot_carry(envelope, &body, size) {
            return Ok(Pending::settled(envelope, &said));
        }
        let before = std::mem::replace(&mut self.state, State::Busy);
        if before == State::Busy {
            return Err(Trouble::new(Stage::BeforeDot, "an earlier transaction on this connection broke off"));
        }
        let mut answers = self.announce(envelope, size, before).await.map_err(|trouble| trouble.at(Stage::BeforeDot))?;
        let waiting = answers.iter().any(Option::is_none);
        let go_ahead = self.dialogue.hear(DATA_START).await.map_err(|error| Trouble::io(Stage::BeforeDot, &error))?;
        match (go_ahead.code, waiting) {
            (354, true) => self.write_body(body, answers).await,
            // RFC 2920 §3.1: DATA was taken although nobody is to get it: an empty message ends it.
            // In LMTP nobody answers that; the connection is of no use any more.
            (354, false) if self.protocol == Protocol::Lmtp => Ok(Pending { answers, writer: None }),
            (354, false) => {
                let reply = self.dialogue.ask(".", DATA_END).await.map_err(|error| Trouble::io(Stage::BeforeDot, &error))?;
                self.state = if reply.code == 421 { State::Busy } else { State::Dirty };
                Ok(Pending { answers, writer: None })
            }
            (421, true) => Err(Trouble::heard(Stage::BeforeDot, &go_ahead)),
            _ => {
                self.state = if go_ahead.code == 421 { State::Busy } else { State::Dirty };
                for answer in answers.iter_mut().filter(|answer| answer.is_none()) {
                    *answer = Some(Answer::refused(&go_ahead));
                }
                Ok(Pending { answers, writer: None })
            }
        }
    }

    /// The dot, and the reply to it. Where no recipient was taken it only gives the answers.
    pub async fn finish(&mut self, pending: Pending) -> Result<Vec<Answer>, Trouble> {
        let Pending { answers, writer } = pending;
        let Some(writer) = writer else { return Ok(answers.into_iter().flatten().collect()) };
        if let Err(unsendable) = writer.finish(&mut self.dialogue.wire.output) {
            return Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Answer::Permanent(unsendable.into()))).collect());
        }
        let lost = |error: io::Error| Trouble::io(Stage::AfterDot, &error);
        self.dialogue.flush(BLOCK).await.map_err(lost)?;
        match self.protocol {
            Protocol::Smtp => {
                let reply = self.dialogue.hear(DATA_END).await.map_err(lost)?;
                self.state = if reply.code == 421 { State::Busy } else { State::Ready };
                Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Answer::to_dot(&reply))).collect())
            }
            Protocol::Lmtp => Ok(self.hear_each(answers).await),
        }
    }

    /// A reply for each recipient that was taken, in their order. RFC 2033 §4.2. Who has none when the connection is
    /// lost or the time is over may have the message or not, and is asked again; the others are settled.
    async fn hear_each(&mut self, answers: Vec<Option<Answer>>) -> Vec<Answer> {
        let mut heard = Vec::with_capacity(answers.len());
        let mut lost: Option<Said> = None;
        let ends = Instant::now() + DATA_ENDS;
        for answer in answers {
            let answer = match (answer, &lost) {
                (Some(answer), _) => answer,
                (None, Some(said)) => Answer::Temporary(said.clone()),
                (None, None) => match timeout_at(ends, self.dialogue.hear(DATA_END)).await.unwrap_or_else(|late| Err(late.into())) {
                    Ok(reply) if reply.code == 421 => Answer::Temporary(lost.insert(reply.said()).clone()),
                    Ok(reply) => Answer::to_dot(&reply),
                    Err(error) => Answer::Temporary(lost.insert(Trouble::io(Stage::AfterDot, &error).said).clone()),
                },
            };
            heard.push(answer);
        }
        self.state = if lost.is_some() { State::Busy } else { State::Ready };
        heard
    }

    /// Whether the peer carries delivery-report wishes on (DSN). Where it does not, a NOTIFY=SUCCESS is ours to answer. RFC 3461 §5.2.2.
    pub const fn carries_dsn(&self) -> bool {
        self.offered.dsn
    }

    /// What is spoken on it.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the connection is under TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self.dialogue.wire.stream(), Socket::Tls(_))
    }

    /// Whether it promises to send on under TLS what came under TLS. RFC 8689 §4.2.1.
    pub const fn keeps_tls(&self) -> bool {
        self.offered.require_tls && self.is_secure()
    }

    /// Says goodbye, without waiting long for the answer.
    pub async fn quit(mut self) {
        // Within a message, QUIT would be a line of it.
        if self.state != State::Busy {
            let _ = self.dialogue.ask("QUIT", PROBE).await;
        }
    }

    /// Why this peer can never take this message, if that is known beforehand.
    fn cannot_carry(&self, envelope: &Envelope, body: &Body, size: u64) -> Option<Said> {
        if !self.offered.utf8 && body.needs_utf8(envelope) {
            return Some(Said::ours(5, 6, 7, "the next hop takes no addresses or headers beyond ASCII (SMTPUTF8)"));
        }
        if !self.offered.eight_bit && body.has_eight_bit() {
            return Some(Said::ours(5, 6, 3, EIGHT_BIT));
        }
        if self.offered.size.flatten().is_some_and(|limit| size > limit) {
            return Some(Said::ours(5, 3, 4, "the message is bigger than the next hop takes"));
        }
        None
    }

    /// MAIL, every RCPT and DATA; the reply to DATA is left to be heard. None for each recipient that was taken.
    async fn announce(&mut self, envelope: &Envelope, size: u64, before: State) -> Result<Vec<Option<Answer>>, Trouble> {
        if before == State::Dirty {
            self.command("RSET", COMMAND).await?;
        }
        let mail = mail(envelope, size, self.offered);
        if !self.offered.pipelining {
            return self.announce_singly(envelope, &mail).await;
        }
        self.dialogue.queue(&mail);
        let mut answers = Vec::with_capacity(envelope.recipients.len());
        let mut sender: Option<Heard> = None;
        let batches = envelope.recipients.chunks(BATCH);
        let last = batches.len().saturating_sub(1);
        for (index, batch) in batches.enumerate() {
            for recipient in batch {
                self.dialogue.queue(&rcpt(recipient, self.offered));
            }
            if index == last {
                self.dialogue.queue("DATA");
            }
            self.dialogue.flush(COMMAND).await?;
            let sender = match &sender {
                Some(heard) => heard,
                None => sender.insert(self.hear(COMMAND).await?),
            };
            for _ in batch {
                let reply = hear(&mut self.dialogue, COMMAND).await?;
                answers.push(Answer::to_recipient(sender, &reply));
            }
        }
        Ok(answers)
    }

    /// The same for a peer that wants one command at a time.
    async fn announce_singly(&mut self, envelope: &Envelope, mail: &str) -> Result<Vec<Option<Answer>>, Trouble> {
        let sender = self.command(mail, COMMAND).await?;
        let mut answers = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            let reply = if sender.is_positive() { self.command(&rcpt(recipient, self.offered), COMMAND).await? } else { sender.clone() };
            answers.push(Answer::to_recipient(&sender, &reply));
        }
        self.dialogue.queue("DATA");
        self.dialogue.flush(COMMAND).await?;
        Ok(answers)
    }

    /// The body in pieces; the last of them stays in the buffer, to leave together with the dot.
    async fn write_body(&mut self, mut body: Body, answers: Vec<Option<Answer>>) -> Result<Pending, Trouble> {
        let broken = |error: io::Error| Trouble::io(Stage::BeforeDot, &error);
        let mut writer = CrlfWriter::default();
        while let Some((piece, rest)) = body.next().await.map_err(broken)? {
            body = rest;
            let written = if self.offered.eight_bit || piece.is_ascii() {
                writer.write(&piece, &mut self.dialogue.wire.output).map_err(Said::from)
            } else {
                Err(Said::ours(5, 6, 3, EIGHT_BIT))
            };
            if let Err(said) = written {
                // Without its dot the message was never handed over; the connection stays busy and is dropped.
                let answers = answers.into_iter().map(|answer| answer.or_else(|| Some(Answer::Permanent(said.clone())))).collect();
                return Ok(Pending { answers, writer: None });
            }
            if self.dialogue.wire.output.len() >= PIECE {
                self.dialogue.flush(BLOCK).await.map_err(broken)?;
            }
        }
        Ok(Pending { answers, writer: Some(writer) })
    }

    async fn command(&mut self, command: &str, patience: Duration) -> Result<Heard, Trouble> {
        self.dialogue.queue(command);
        self.dialogue.flush(patience).await?;
        self.hear(patience).await
    }

    async fn hear(&mut self, patience: Duration) -> Result<Heard, Trouble> {
        hear(&mut self.dialogue, patience).await
    }
}

/// One reply. RFC 5321 §3.8: 421 may come at any time, and ends the conversation.
async fn hear(dialogue: &mut Dialogue, patience: Duration) -> Result<Heard, Trouble> {
    let reply = dialogue.hear(patience).await?;
    if reply.code == 421 { Err(Trouble::heard(Stage::BeforeDot, &reply)) } else { Ok(reply) }
}

impl Pending {
    fn settled(envelope: &Envelope, said: &Said) -> Self {
        Self { answers: envelope.recipients.iter().map(|_| Some(Answer::Permanent(said.clone()))).collect(), writer: None }
    }
}

impl Answer {
    /// The reply to RCPT, or to MAIL where that was refused; none where all is well so far.
    fn to_recipient(sender: &Heard, reply: &Heard) -> Option<Self> {
        match (sender.is_positive(), reply.is_positive()) {
            (true, true) => None,
            (true, false) => Some(Self::refused(reply)),
            (false, _) => Some(Self::refused(sender)),
        }
    }

    fn to_dot(reply: &Heard) -> Self {
        if reply.is_positive() { Self::Accepted(Accepted { words: reply.said().words }) } else { Self::refused(reply) }
    }

    fn refused(reply: &Heard) -> Self {
        let said = reply.said();
        match reply.code / 100 {
            4 => Self::Temporary(said),
            5 => Self::Permanent(said),
            // A reply that makes no sense here says nothing for good.
            _ => Self::Temporary(Said { status: EnhancedStatus::new(4, 5, 0), ..said }),
        }
    }
}

impl Said {
    pub(super) fn ours(class: u8, subject: u16, detail: u16, words: &str) -> Self {
        Self { code: None, status: EnhancedStatus::new(class, subject, detail), words: words.to_owned() }
    }
}

impl From<Unsendable> for Said {
    fn from(unsendable: Unsendable) -> Self {
        Self::ours(
            5,
            6,
            0,
            match unsendable {
                Unsendable::Bare => "the message holds a CR, LF or NUL outside of CRLF",
                Unsendable::LineTooLong => "the message holds a line longer than 998 octets",
            },
        )
    }
}

impl Trouble {
    /// Trouble that we name ourselves; it may pass.
    pub fn new(stage: Stage, words: &str) -> Self {
        let (subject, detail) = stage.status();
        Self { stage, said: Said::ours(4, subject, detail, words), wrong: None }
    }

    /// What the next hop said, and it was no good.
    pub(super) fn heard(stage: Stage, reply: &Heard) -> Self {
        Self { stage, said: reply.said(), wrong: None }
    }

    fn not_promised() -> Self {
        let words = "the next hop does not promise to send the message on under TLS only (REQUIRETLS)";
        Self { stage: Stage::Tls, said: Said { code: None, status: REQUIRETLS_UNKEPT, words: words.to_owned() }, wrong: None }
    }

    pub(super) fn io(stage: Stage, error: &io::Error) -> Self {
        let words: String = error.to_string().chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(500).collect();
        Self::new(stage, &words)
    }

    fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::io(Stage::BeforeDot, &error)
    }
}

impl Stage {
    /// RFC 3463 §3.5, §3.8: no answer, bad connection, cryptographic failure.
    const fn status(self) -> (u16, u16) {
        match self {
            Self::Connect => (4, 1),
            Self::Greeting | Self::BeforeDot | Self::AfterDot => (4, 2),
            Self::Tls => (7, 5),
            Self::Auth => (7, 0),
        }
    }
}

impl Body {
    /// The next piece and what comes after it; none at the end.
    async fn next(self) -> io::Result<Option<(Bytes, Self)>> {
        match self {
            Self::Memory(pieces) if pieces.is_empty() => Ok(None),
            Self::Memory(mut pieces) => {
                let mut first = pieces.remove(0);
                if first.len() > PIECE {
                    pieces.insert(0, first.split_off(PIECE));
                }
                Ok(Some((first, Self::Memory(pieces))))
            }
            Self::Stream(mut stream) => {
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = Vec::with_capacity(PIECE);
                    stream.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
                    Ok::<_, io::Error>((piece, stream))
                });
                let (piece, stream) = read.await.map_err(io::Error::other)??;
                // A short piece is the last one: most messages are read in one go.
                let rest = if piece.len() < PIECE { Self::Memory(Vec::new()) } else { Self::Stream(stream) };
                Ok((!piece.is_empty()).then(|| (Bytes::from(piece), rest)))
            }
        }
    }

    /// Whether it cannot be sent without SMTPUTF8. What is not read yet was asked when it was kept.
    fn needs_utf8(&self, envelope: &Envelope) -> bool {
        match self {
            Self::Memory(pieces) => envelope.needs_utf8(pieces),
            Self::Stream(_) => envelope.utf8 == Utf8::Yes,
        }
    }

    /// Whether it holds octets beyond ASCII, as far as that is known before it is read.
    fn has_eight_bit(&self) -> bool {
        match self {
            Self::Memory(pieces) => !pieces.iter().all(|piece| piece.is_ascii()),
            Self::Stream(_) => false,
        }
    }
}

/// RFC 8689 §7.
pub const REQUIRETLS_UNKEPT: EnhancedStatus = EnhancedStatus::new(5, 7, 30);

/// For an outcome of our own.
const EIGHT_BIT: &str = "the next hop takes no eight-bit text (8BITMIME)";
/// Recipients announced at once: their replies stay below any socket buffer, so neither side can block the other.
const BATCH: usize = 100;
/// Octets of the body written at once.
const PIECE: usize = 64 * 1_024;
/// RFC 5321 §4.5.3.2.2, §4.5.3.2.3.
const COMMAND: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 §4.5.3.2.4.
const DATA_START: Duration = Duration::from_secs(2 * 60);
/// RFC 5321 §4.5.3.2.5.
const BLOCK: Duration = Duration::from_secs(3 * 60);
/// RFC 5321 §4.5.3.2.6.
const DATA_END: Duration = Duration::from_secs(10 * 60);
/// For all replies to the dot together, in LMTP.
const DATA_ENDS: Duration = Duration::from_secs(30 * 60);
/// For what is only a courtesy.
const PROBE: Duration = Duration::from_secs(5);
