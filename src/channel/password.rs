//! The password by mail: made when it is asked for, kept as an HMAC, mailed to the stored address and to no
//! other; for a shared mailbox, to the reader's own. An access check, not key material.

use super::limit::{Active, Client, Tries, link_key};
use super::session::{Stage, Token, Visit, short};
use super::{Channel, Refused, decode, trouble};
use crate::crypto::aead::Key;
use crate::crypto::{code, derive, random};
use crate::event::{self, Event};
use crate::mail::{BodyType, Envelope, Recipient, RequireTls, ReversePath, Utf8};
use crate::queue::{Carries, NewEntry};
use crate::secret::Secret;
use crate::words::Language;

/// Whether there is something to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// No password waits; the button comes first.
    Hidden,
    /// A password is on its way or there.
    Shown,
}

impl Channel {
    /// Whether a mailed password can still be typed.
    pub fn field(&self, visit: &Visit) -> Result<Field, Refused> {
        let now = self.now().as_second();
        let tries: Tries = match self.parts.records.get(&link_key(&visit.admitted))? {
            Some(record) => decode(&record.value)?,
            None => Tries::default(),
        };
        Ok(if tries.is_waiting(now) { Field::Shown } else { Field::Hidden })
    }

    /// *Send my password*: a fresh one, in place of the one before.
    pub fn send_password(&self, visit: &Visit, client: &Client, language: Language) -> Result<(), Refused> {
        if matches!(visit.stage, Stage::Inside(_)) {
            return Err(Refused::Ended);
        }
        self.let_try(client)?;
        let (password, challenge) = (code::fresh(), random::array());
        let mac = code::mac(&self.otp_key(visit), &challenge, &password);
        let now = self.now().as_second();
        // Counted before it is queued: a crash in between costs a press, never a limit.
        self.change(&link_key(&visit.admitted), |tries: &mut Tries| {
            tries.let_send(now)?;
            tries.sent.push(now);
            tries.touched = now;
            tries.active = Some(Active { challenge, mac, made: now, tries: 0 });
            Ok(())
        })?;
        self.queue_password(visit, &password, language).inspect_err(|_| {
            // Where not even this can be written, the press is lost as in a crash.
            let _ = self.uncount_password(&visit.admitted, now);
        })
    }

    /// The typed password. Counted first, compared second; when it is right the visit goes on
    /// under a new token.
    pub fn prove(&self, visit: &Visit, typed: &Secret<String>, client: &Client) -> Result<Token, Refused> {
        let Stage::Knocked(link) = &visit.stage else { return Err(Refused::Ended) };
        self.let_try(client)?;
        let (key, now) = (link_key(&visit.admitted), self.now());
        let active = self.change(&key, |tries: &mut Tries| tries.take(now.as_second()))?;
        let given = code::mac(&self.otp_key(visit), &active.challenge, typed);
        if !code::matches(&active.mac, &given) {
            self.count_failure(client)?;
            return Err(Refused::WrongPassword { left: super::limit::TRIES.saturating_sub(active.tries) });
        }
        // Who comes second with the same password comes too late.
        self.change(&key, |tries: &mut Tries| {
            let waits = tries.active.as_ref().is_some_and(|waiting| waiting.challenge == active.challenge);
            tries.failed = tries.failed.saturating_sub(1);
            if !waits {
                return Err(Refused::Late);
            }
            tries.active = None;
            Ok(())
        })?;
        let grant = self.parts.vault.unlock(link, None, now)?;
        self.enter((&visit.admitted, &visit.reader), &grant, Some(visit))
    }

    /// Of the readers of a shared mailbox each has passwords of the own, so that it is known who came in.
    fn otp_key(&self, visit: &Visit) -> Key {
        match visit.member() {
            None => self.keys.otp.clone(),
            Some(mailbox) => derive::key(&self.keys.otp, "member", &[mailbox.to_string().as_bytes()]),
        }
    }

    fn queue_password(&self, visit: &Visit, password: &Secret<String>, language: Language) -> Result<(), Refused> {
        let (to, sender, now) = (visit.mailbox(), &visit.admitted.contents.sender, self.now());
        let body = self.parts.notices.password(to, sender, password, language, now);
        let utf8 = if to.needs_utf8() || sender.needs_utf8() { Utf8::Yes } else { Utf8::No };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient::new(to.clone())],
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8,
            require_tls: RequireTls::No,
        };
        let entry = NewEntry { envelope, body: vec![body], carries: Carries::Nothing };
        self.parts.queue.commit(vec![entry], Vec::new(), now).map_err(|fault| trouble("password mail", fault))?;
        event::emit(&Event::PasswordMailed { parcel: &short(visit.admitted.parcel), reader: &self.trace_of(&visit.reader) });
        (self.parts.wake)();
        Ok(())
    }
}
