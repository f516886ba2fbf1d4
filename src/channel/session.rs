//! A visit: from the typed address to the end, known by a secret that only the browser holds.
//!
//! The store holds HMAC(S) as the key, and sealed under a key derived from S what the visit may
//! open: the link secret until the factor is proved, the right to the parcel afterwards. At each
//! factor the secret is drawn anew, so one that was planted before is worth nothing after.

use jiff::Timestamp;

use super::addressee::Reader;
use super::download::{self, DownloadId};
use super::limit::Client;
use super::{Channel, Refused, decode};
use crate::crypto::aead::{self, Key};
use crate::crypto::{Broken, LinkSecret, derive, random};
use crate::event::{self, Event};
use crate::mail::Mailbox;
use crate::secret::Secret;
use crate::store::{Check, Conflict, Fault, Write};
use crate::vault::{Admitted, Factor, Grant, ItemId, ParcelId, RecipientId};

/// S: what the browser keeps. 256 random bits.
#[derive(Debug, Clone)]
pub struct Token(Secret<[u8; 32]>);

impl Token {
    pub(super) fn random() -> Self {
        Self(Secret::new(random::array()))
    }

    /// Reads the cookie's value.
    pub fn parse(text: &str) -> Option<Self> {
        let octets = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        Some(Self(Secret::new(octets.try_into().ok()?)))
    }

    /// The cookie's value.
    pub fn encode(&self) -> Secret<String> {
        Secret::new(data_encoding::BASE64URL_NOPAD.encode(self.0.expose()))
    }

    pub(super) const fn octets(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// What is kept of a visit.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Session {
    pub parcel: ParcelId,
    pub recipient: RecipientId,
    /// Seconds since the epoch, as all times in records of the channel.
    pub begun: i64,
    pub seen: i64,
    pub sealed: Sealed,
    /// Which grant each taken file has (none: all files in one), so that the same file again costs nothing.
    pub taken: Vec<(Option<ItemId>, [u8; 16])>,
}

/// What a visit may open, sealed under its token.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Sealed {
    /// The link secret.
    Link(Vec<u8>),
    /// The [`Grant`].
    Grant(Vec<u8>),
    /// One of these for a reader of a shared mailbox, and the reader's own address.
    By(Box<Self>, Vec<u8>),
}

/// How far a visit has come.
#[derive(Debug, Clone)]
pub enum Stage {
    /// The address was right; the factor is still to be proved.
    Knocked(LinkSecret),
    /// In.
    Inside(Grant),
}

/// A visit that goes on.
pub struct Visit {
    /// Whose.
    pub token: Token,
    /// How far.
    pub stage: Stage,
    /// What is known of the parcel, fresh.
    pub admitted: Admitted,
    pub(super) reader: Reader,
    pub(super) session: Session,
    pub(super) key: Vec<u8>,
}

impl Visit {
    /// The right to read, once the factor is proved.
    pub fn grant(&self) -> Result<&Grant, Refused> {
        match &self.stage {
            Stage::Inside(grant) => Ok(grant),
            Stage::Knocked(_) => Err(Refused::Ended),
        }
    }

    /// Where passwords go: the address that the message was sent to, or the one that a reader of a shared mailbox typed.
    pub const fn mailbox(&self) -> &Mailbox {
        match &self.reader {
            Reader::Addressee => &self.admitted.mailbox,
            Reader::Member(mailbox) => mailbox,
        }
    }

    /// The address by which somebody reads a mailbox that several people share.
    pub const fn member(&self) -> Option<&Mailbox> {
        match &self.reader {
            Reader::Addressee => None,
            Reader::Member(mailbox) => Some(mailbox),
        }
    }
}

impl Channel {
    /// The human act: the recipient types the own address. Without a factor this is the way in.
    /// Public files ask nobody who they are; for them `address` is none.
    pub fn knock(&self, link: &LinkSecret, address: Option<&str>, client: &Client) -> Result<Token, Refused> {
        let admitted = self.admit(link)?;
        self.let_try(client)?;
        let reader = match admitted.is_public() {
            true => Reader::Addressee,
            false => self.compare(&admitted, address.unwrap_or_default(), client)?,
        };
        if admitted.factor == Factor::None {
            let grant = self.parts.vault.unlock(link, None, self.now())?;
            return self.enter((&admitted, &reader), &grant, None);
        }
        let token = Token::random();
        let sealed = Sealed::Link(aead::seal(&self.sealing_key(&token), LINK, link.0.expose()));
        let session = self.begin(&admitted, self.by(&token, &reader, sealed));
        self.commit_session(&token, &session, Vec::new())?;
        Ok(token)
    }

    /// The visit of a token, if it goes on; notes that it does, at most once a minute.
    pub fn visit(&self, token: &Token) -> Result<Visit, Refused> {
        let key = self.session_key(token);
        let record = self.parts.records.get(&key)?.ok_or(Refused::Ended)?;
        let mut session: Session = decode(&record.value)?;
        let now = self.now();
        if self.has_ended(&session, now) {
            return Err(Refused::Ended);
        }
        let (stage, reader) = self.open_stage(token, &session.sealed)?;
        let admitted = self.parts.vault.contents(session.parcel, session.recipient, now)?;
        if now.as_second() - session.seen >= SEEN_STEP {
            session.seen = now.as_second();
            let write = self.put(&key, &session)?;
            // A loser of this race was seen by the winner.
            match self.parts.records.commit(vec![Check::Version(key.clone(), record.version)], vec![write]) {
                Ok(()) | Err(Conflict::Check) => {}
                Err(Conflict::Fault(fault)) => return Err(fault.into()),
            }
        }
        Ok(Visit { token: token.clone(), stage, reader, admitted, session, key })
    }

    /// Ends a visit: nothing of it stays, and what was granted but not fetched is given back.
    pub fn leave(&self, visit: &Visit) -> Result<(), Refused> {
        self.commit(|| {
            let (session, version) = self.session(visit)?;
            let mut end = self.unfetched(&session)?;
            end.checks.push(Check::Version(visit.key.clone(), version));
            end.writes.push(Write::Delete(visit.key.clone()));
            end.writes.extend(session.taken.iter().map(|(_, id)| Write::Delete(download::record_key(DownloadId(*id)))));
            Ok(((), end.checks, end.writes))
        })
    }

    /// What a form of this visit carries to show that our own page sent it.
    pub fn form_token(&self, token: &Token) -> String {
        let mac = derive::mac(&self.keys.session, "form", &[token.octets()]);
        data_encoding::BASE64URL_NOPAD.encode(mac.get(..16).unwrap_or(&mac))
    }

    /// Whether the form was ours. In constant time.
    pub fn is_form_token(&self, token: &Token, given: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.form_token(token).as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// A new visit, inside, in place of the one before.
    pub(super) fn enter(&self, (admitted, reader): (&Admitted, &Reader), grant: &Grant, before: Option<&Visit>) -> Result<Token, Refused> {
        let token = Token::random();
        let sealed = Sealed::Grant(grant.seal(&self.sealing_key(&token)));
        let mut session = self.begin(admitted, self.by(&token, reader, sealed));
        if let Some(visit) = before {
            session.begun = visit.session.begun;
        }
        let old = before.map(|visit| Write::Delete(visit.key.clone()));
        self.commit_session(&token, &session, old.into_iter().collect())?;
        event::emit(&Event::Opened { parcel: &short(admitted.parcel), reader: &self.trace_of(reader) });
        Ok(token)
    }

    /// The key under which a token seals.
    pub(super) fn sealing_key(&self, token: &Token) -> Key {
        derive::key(&self.keys.session, "seal", &[token.octets()])
    }

    /// The record's key of a token: all that the store knows of it.
    pub(super) fn session_key(&self, token: &Token) -> Vec<u8> {
        [PREFIX, &derive::mac(&self.keys.session, "id", &[token.octets()])].concat()
    }

    /// What a visit may open, with who it is where that is not the addressee. Sealed for the browser alone, so that nobody who
    /// writes to the store can have a password mailed elsewhere.
    fn by(&self, token: &Token, reader: &Reader, sealed: Sealed) -> Sealed {
        match reader {
            Reader::Addressee => sealed,
            Reader::Member(mailbox) => {
                let address = aead::seal(&self.sealing_key(token), READER, mailbox.to_string().as_bytes());
                Sealed::By(Box::new(sealed), address)
            }
        }
    }

    /// How the log calls a reader: a digest that this gateway alone can make of an address.
    pub(super) fn trace_of(&self, reader: &Reader) -> String {
        match reader {
            Reader::Addressee => "addressee".to_owned(),
            Reader::Member(mailbox) => {
                let mac = derive::mac(&self.keys.index, "reader", &[mailbox.to_string().to_lowercase().as_bytes()]);
                format!("member {}", data_encoding::HEXLOWER.encode(mac.get(..4).unwrap_or(&mac)))
            }
        }
    }

    /// What is kept of a visit as it is now, and its version.
    pub(super) fn session(&self, visit: &Visit) -> Result<(Session, u64), Refused> {
        let record = self.parts.records.get(&visit.key)?.ok_or(Refused::Ended)?;
        Ok((decode(&record.value)?, record.version))
    }

    fn begin(&self, admitted: &Admitted, sealed: Sealed) -> Session {
        let now = self.now().as_second();
        Session { parcel: admitted.parcel, recipient: admitted.recipient, begun: now, seen: now, sealed, taken: Vec::new() }
    }

    fn commit_session(&self, token: &Token, session: &Session, mut also: Vec<Write>) -> Result<(), Refused> {
        let key = self.session_key(token);
        also.push(self.put(&key, session)?);
        match self.parts.records.commit(vec![Check::Absent(key)], also) {
            Ok(()) => Ok(()),
            Err(Conflict::Check) => Err(Refused::Ended),
            Err(Conflict::Fault(fault)) => Err(fault.into()),
        }
    }

    /// The address is compared with the one that the parcel was sealed for; a wrong one is counted first.
    fn compare(&self, admitted: &Admitted, address: &str, client: &Client) -> Result<Reader, Refused> {
        self.count_address(admitted)?;
        let given = Mailbox::parse(address.trim().trim_start_matches('<').trim_end_matches('>'));
        if let Some(reader) = given.ok().and_then(|given| self.addressees.reader(&admitted.mailbox, given)) {
            self.uncount_address(admitted)?;
            return Ok(reader);
        }
        self.count_failure(client)?;
        Err(Refused::WrongAddress)
    }

    fn open_stage(&self, token: &Token, sealed: &Sealed) -> Result<(Stage, Reader), Refused> {
        let key = self.sealing_key(token);
        let broken = |_| Refused::Fault(Fault("a visit's secret does not open".into()));
        let stage = match sealed {
            Sealed::Grant(sealed) => Stage::Inside(Grant::unseal(&key, sealed).map_err(broken)?),
            Sealed::Link(sealed) => {
                let octets = Secret::new(aead::open(&key, LINK, sealed).map_err(broken)?);
                let link: [u8; 20] = octets.expose().as_slice().try_into().map_err(|_| broken(Broken))?;
                Stage::Knocked(LinkSecret(Secret::new(link)))
            }
            Sealed::By(sealed, address) => {
                let (stage, _) = self.open_stage(token, sealed)?;
                let address = aead::open(&key, READER, address).map_err(broken)?;
                let mailbox = std::str::from_utf8(&address).ok().and_then(|text| Mailbox::parse(text).ok());
                return Ok((stage, Reader::Member(mailbox.ok_or_else(|| broken(Broken))?)));
            }
        };
        Ok((stage, Reader::Addressee))
    }

    fn has_ended(&self, session: &Session, now: Timestamp) -> bool {
        let now = now.as_second();
        now - session.seen >= i64::from(self.options.idle_minutes) * 60
            || now - session.begun >= i64::from(self.options.session_minutes) * 60
    }
}

impl Admitted {
    /// Whether anybody who has the link may come in.
    pub fn is_public(&self) -> bool {
        self.contents.kind == crate::vault::Kind::PublicFiles && self.factor == Factor::None
    }
}

/// The first octets of a parcel's id: enough for a log.
pub(super) fn short(parcel: ParcelId) -> String {
    data_encoding::HEXLOWER.encode(parcel.0.get(..4).unwrap_or_default())
}

pub(super) fn is_over(channel: &Channel, value: &[u8], now: Timestamp) -> bool {
    decode::<Session>(value).is_ok_and(|session| channel.has_ended(&session, now))
}

/// What a visit that timed out had been granted and never fetched is given back.
pub(super) fn settle(channel: &Channel, value: &[u8]) -> Result<(), Fault> {
    let session: Session = decode(value)?;
    channel.commit(|| {
        let end = channel.unfetched(&session)?;
        Ok(((), end.checks, end.writes))
    })
}

pub(super) const PREFIX: &[u8] = b"channel/visit/";
/// What the sealed link is bound to.
const LINK: &[u8] = b"wx1/visit/link";
/// What the sealed address of a reader is bound to.
const READER: &[u8] = b"wx1/visit/reader";
/// Seconds between two notes that a visit goes on: a reload is not worth a write.
const SEEN_STEP: i64 = 60;
