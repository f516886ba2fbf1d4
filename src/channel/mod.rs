//! What people do with a link: knock, ask for the password, prove it, read, take files, leave.
//!
//! Every act lives here, so that pages stay thin. An act is counted before it is judged, in one
//! atomic commit; looking ([`Channel::admit`]) changes nothing. The store alone opens nothing: a
//! session's secret is with the browser, and what the session may open is sealed under it.
//!
//! All calls block: they are made off the I/O threads. It refuses to be a web server: no URL, no
//! header, no page is known here.

mod addressee;
pub mod download;
mod eml;
mod letter;
mod limit;
mod meter;
pub mod name;
mod password;
pub mod sanitise;
mod session;
pub mod zip;

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::crypto::LinkSecret;
use crate::crypto::aead::Key;
use crate::event::{self, Event};
use crate::mail::{Admd, Domain};
use crate::notice::Notices;
use crate::queue::Queue;
use crate::store::{Check, Conflict, Fault, SealedRecords, Write};
use crate::vault::{Admitted, Denied, Vault};
use crate::words::Brand;

use addressee::Addressees;
pub use addressee::{Details, Shared};
pub use letter::{Body, Letter};
pub use limit::Client;
pub use password::Field;
pub use session::{Stage, Token, Visit};

/// What the channel stands on.
pub struct Parts {
    /// Parcels.
    pub vault: Arc<Vault>,
    /// Where password mails go.
    pub queue: Arc<Queue>,
    /// Sessions, challenges, grants.
    pub records: SealedRecords,
    /// The password mail's text.
    pub notices: Arc<Notices>,
    /// Who we are.
    pub admd: Admd,
    /// How we look.
    pub brand: Brand,
    /// Tells the relay that mail was queued.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// The time.
    pub clock: Clock,
}

crate::options! {
    /// Who a recipient is, and how long a visit lasts.
    pub struct Options {
        /// Minutes without a click after which a visit ends.
        idle_minutes: u32 = 15,
        /// Minutes after which a visit ends in any case.
        session_minutes: u32 = 60,
        /// Domains in which an address is the same person's, as in `[["example.com", "example.co.uk"]]`: mail to one may be answered for with the other. The password goes to the address that the mail was sent to.
        same_domains: Vec<Vec<Domain>> = Vec::new(),
        /// Whether `karin+news@` and `karin@` are `distinct` or the `same` person.
        details: Details = Details::Distinct,
        /// Mailboxes that several people read, as in `["info@example.net", "*@lists.example.net"]`. Whoever has the link and an address of that domain may answer; the password goes to the address that was typed.
        shared: Vec<Shared> = Vec::new(),
    }
}

/// The acts.
pub struct Channel {
    parts: Parts,
    options: Options,
    addressees: Addressees,
    keys: Keys,
    /// Two clicks of one visit take turns, so that the same file is spent once.
    turns: Arc<[Mutex<()>]>,
}

/// Keys below ROOT, by purpose.
struct Keys {
    session: Key,
    otp: Key,
    index: Key,
}

/// Why an act did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No such link, blocked, or not live: to a stranger all look alike.
    Gone,
    /// Its time is over.
    Expired,
    /// All downloads are used up.
    UsedUp,
    /// There is no visit, or it has ended.
    Ended,
    /// Not the address that the message was sent to.
    WrongAddress,
    /// Not the password; so many tries are left for it.
    WrongPassword {
        /// Tries left of this password.
        left: u32,
    },
    /// No password is waiting, it is too old, or its tries are used up: a new one has to be asked for.
    Late,
    /// A password is on its way already.
    Soon,
    /// Too often; again after this time.
    TooMany {
        /// When it may be tried again.
        until: Timestamp,
    },
    /// Too many wrong passwords in all: only the sender can help.
    Locked,
    /// Our own trouble.
    Fault(Fault),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            // One answer for both: a guesser must not learn which links exist.
            Denied::Unknown | Denied::Blocked => Self::Gone,
            Denied::Expired => Self::Expired,
            Denied::UsedUp => Self::UsedUp,
            Denied::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Channel {
    /// Over its parts.
    pub fn new(parts: Parts, options: Options) -> Self {
        let ring = parts.records.ring();
        let keys = Keys { session: ring.root("session"), otp: ring.root("otp"), index: ring.root("index") };
        let addressees =
            Addressees { same_domains: options.same_domains.clone(), details: options.details, shared: options.shared.clone() };
        Self { parts, options, addressees, keys, turns: (0..TURNS).map(|_| Mutex::new(())).collect() }
    }

    /// The same with other texts; visits go on, and those of before and after take turns.
    #[must_use]
    pub fn renewed(&self, parts: Parts, options: Options) -> Self {
        Self { turns: Arc::clone(&self.turns), ..Self::new(parts, options) }
    }

    /// What a link leads to. Pure: scanners come here first, and often.
    pub fn admit(&self, link: &LinkSecret) -> Result<Admitted, Refused> {
        Ok(self.parts.vault.admit(link, self.now())?)
    }

    /// Whether several people read the mailbox that a message was sent to.
    pub fn is_shared(&self, admitted: &Admitted) -> bool {
        self.addressees.is_shared(&admitted.mailbox)
    }

    /// How we look.
    pub const fn brand(&self) -> &Brand {
        &self.parts.brand
    }

    /// Minutes without a click after which a visit ends.
    pub const fn idle_minutes(&self) -> u32 {
        self.options.idle_minutes
    }

    /// When the next password may be asked for at the latest.
    pub fn in_a_minute(&self) -> Option<Timestamp> {
        self.now().checked_add(jiff::SignedDuration::from_mins(1)).ok()
    }

    /// Whether the store answers.
    pub fn is_well(&self) -> bool {
        self.parts.records.get(b"channel/well").is_ok()
    }

    /// Removes visits, passwords, counters and grants whose time is over; tells how many.
    pub fn sweep(&self) -> Result<usize, Fault> {
        let now = self.now();
        let mut removed = 0;
        for (prefix, is_over, settle) in SWEPT {
            let mut from = prefix.to_vec();
            loop {
                let page = self.parts.records.scan(prefix, &from, SWEEP_PAGE)?;
                let Some(last) = page.last() else { break };
                from = [last.key.as_slice(), &[0]].concat();
                for record in page.iter().filter(|record| is_over(self, &record.value, now)) {
                    let checks = vec![Check::Version(record.key.clone(), record.version)];
                    match self.parts.records.commit(checks, vec![Write::Delete(record.key.clone())]) {
                        Ok(()) => {
                            removed += 1;
                            settle(self, &record.value)?;
                        }
                        // Somebody uses it at this moment, so its time is not over.
                        Err(Conflict::Check) => {}
                        Err(Conflict::Fault(fault)) => return Err(fault),
                    }
                }
            }
        }
        Ok(removed)
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.certain()
    }

    /// Reads a record, lets `decide` change it, writes it back; all over again when somebody else
    /// was faster. What `decide` refuses is not written.
    fn change<T, R>(&self, key: &[u8], mut decide: impl FnMut(&mut T) -> Result<R, Refused>) -> Result<R, Refused>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        self.commit(|| {
            let found = self.parts.records.get(key)?;
            let check = match &found {
                Some(record) => Check::Version(key.to_vec(), record.version),
                None => Check::Absent(key.to_vec()),
            };
            let mut value: T = match &found {
                Some(record) => decode(&record.value)?,
                None => T::default(),
            };
            let result = decide(&mut value)?;
            Ok((result, vec![check], vec![self.put(key, &value)?]))
        })
    }

    /// Commits what `decide` makes of the store as it finds it; all over again when somebody else was faster.
    fn commit<R, E: From<Fault>>(&self, mut decide: impl FnMut() -> Result<(R, Vec<Check>, Vec<Write>), E>) -> Result<R, E> {
        for _ in 0..CHANGE_ROUNDS {
            let (result, checks, writes) = decide()?;
            match self.parts.records.commit(checks, writes) {
                Ok(()) => return Ok(result),
                Err(Conflict::Check) => {}
                Err(Conflict::Fault(fault)) => return Err(fault.into()),
            }
        }
        Err(Fault("a record of the channel is written by too many at once".into()).into())
    }

    fn put<T: Serialize>(&self, key: &[u8], value: &T) -> Result<Write, Fault> {
        let octets = postcard::to_allocvec(value).map_err(|error| Fault(format!("a record of the channel: {error}")))?;
        Ok(self.parts.records.put(key.to_vec(), &octets))
    }

    /// Everybody whose key ends alike waits for one another.
    fn turn(&self, key: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let last = usize::from(key.last().copied().unwrap_or_default());
        let turn = self.turns.get(last % TURNS)?;
        Some(turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A record's value as it was written.
fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Fault> {
    postcard::from_bytes(octets).map_err(|error| Fault(format!("a record of the channel: {error}")))
}

/// Reports trouble and passes it on.
fn trouble(place: &'static str, fault: Fault) -> Refused {
    event::emit(&Event::Trouble { place, fault: &fault.0 });
    Refused::Fault(fault)
}

/// What a sweep looks through, how it knows that a record's time is over, what is to be done once it is gone.
type IsOver = fn(&Channel, &[u8], Timestamp) -> bool;
type Settle = fn(&Channel, &[u8]) -> Result<(), Fault>;
const SWEPT: [(&[u8], IsOver, Settle); 4] = [
    (session::PREFIX, session::is_over, session::settle),
    (limit::LINK_PREFIX, limit::is_link_over, nothing),
    (limit::CLIENT_PREFIX, limit::is_client_over, nothing),
    (download::PREFIX, download::is_over, nothing),
];

/// Most records leave nothing behind.
const fn nothing(_: &Channel, _: &[u8]) -> Result<(), Fault> {
    Ok(())
}

const SWEEP_PAGE: usize = 256;
/// Each round somebody else has won, so this many others were at work on one record.
const CHANGE_ROUNDS: usize = 1000;
const TURNS: usize = 64;
