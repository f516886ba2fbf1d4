//! Taking files: a download is spent once, durably; its octets may then be fetched in pieces, again
//! and again, up to three times the size, for a day, by the browser that spent it.
//!
//! A grant holds the right to read sealed under the visit's secret, so it outlives the visit but is
//! of no use to the store. What was granted and never fetched is given back when the visit ends.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::session::{Session, Token, Visit, short};
use super::zip::{Entry, Zip};
use super::{Channel, Refused, decode, letter, name};
use crate::crypto::random;
use crate::event::{self, Event};
use crate::store::{Check, Conflict, Fault, Write};
use crate::vault::{Grant, Item, ItemId};

/// What a download's URL holds: 128 random bits that help nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadId([u8; 16]);

impl DownloadId {
    /// Reads it from a URL: exactly 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for DownloadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// What is kept of a spent download.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Taken {
    /// The visit's key: nobody else may fetch it.
    owner: Vec<u8>,
    what: What,
    made: i64,
    /// Octets that were set apart for fetching.
    served: u64,
    /// Octets of the whole.
    size: u64,
    /// The right to read, sealed under the visit's secret.
    sealed: Vec<u8>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
enum What {
    One {
        item: ItemId,
        name: String,
        etag: String,
    },
    /// Each with its name in the archive and its length.
    All(Vec<(ItemId, String, u64)>),
}

/// A download that may be fetched.
pub struct Ready {
    /// Octets of the whole.
    pub length: u64,
    /// Strong entity tag without quotes; an archive has none, and no ranges.
    pub etag: Option<String>,
    /// The file's name, safe.
    pub name: String,
    id: DownloadId,
    what: What,
    grant: Grant,
}

impl Channel {
    /// Spends one download of a file; the same file again in one visit is the same download.
    pub fn take(&self, visit: &Visit, item: ItemId) -> Result<DownloadId, Refused> {
        let items = self.parts.vault.items(visit.grant()?)?;
        let wanted = letter::files(&items).into_iter().chain(raw(&items)).find(|file| file.id == item);
        let wanted = wanted.ok_or(Refused::Gone)?;
        let _turn = self.turn(&visit.key);
        self.take_one(visit, &wanted)
    }

    /// Spends one download of every file that has one left, and puts them into one archive.
    pub fn take_all(&self, visit: &Visit) -> Result<DownloadId, Refused> {
        let files = letter::files(&self.parts.vault.items(visit.grant()?)?);
        let _turn = self.turn(&visit.key);
        if let Some(id) = self.taken_before(visit, None)? {
            return Ok(id);
        }
        let mut granted = Vec::new();
        for file in &files {
            match self.take_one(visit, file) {
                Ok(_) => granted.push(file),
                Err(Refused::UsedUp) => {}
                Err(refused) => return Err(refused),
            }
        }
        if granted.is_empty() {
            return Err(Refused::UsedUp);
        }
        let names = name::unique(granted.iter().map(|file| file.name.as_str()));
        let all: Vec<_> = granted.iter().zip(names).map(|(file, name)| (file.id, name, file.length)).collect();
        let size = Zip::length(&entries(&all));
        self.keep(visit, What::All(all), size)
    }

    /// A download as it stands: for HEAD, and before its octets are fetched. Changes nothing.
    pub fn ready(&self, token: &Token, id: DownloadId) -> Result<Ready, Refused> {
        let (taken, _) = self.taken(id)?.ok_or(Refused::Gone)?;
        if taken.owner != self.session_key(token) || self.is_day_over(&taken) {
            return Err(Refused::Gone);
        }
        let grant = Grant::unseal(&self.sealing_key(token), &taken.sealed).map_err(|_| Refused::Gone)?;
        // Blocked or gone in the meantime: nothing is fetched any more. A download may end after its time.
        match self.parts.vault.contents(grant.parcel(), grant.recipient(), self.now()) {
            Ok(_) | Err(crate::vault::Denied::Expired) => {}
            Err(denied) => return Err(denied.into()),
        }
        let (etag, name) = match &taken.what {
            What::One { name, etag, .. } => (Some(etag.clone()), name.clone()),
            What::All(_) => (None, ARCHIVE.to_owned()),
        };
        Ok(Ready { length: taken.size, etag, name, id, what: taken.what, grant })
    }

    /// The octets of a range, end exclusive; an archive is always fetched whole.
    pub fn fetch(self: &Arc<Self>, ready: Ready, range: Range<u64>) -> Result<Box<dyn Read + Send>, Refused> {
        let left = range.end.saturating_sub(range.start);
        let content = match self.content(&ready, range) {
            Ok(content) => content,
            Err(refused) => {
                self.give_back_unserved(&ready)?;
                return Err(refused);
            }
        };
        let mut metered = Metered { channel: Arc::clone(self), id: ready.id, content, left, allowance: 0 };
        metered.reserve().map_err(|_| Refused::UsedUp)?;
        Ok(Box::new(metered))
    }

    fn content(self: &Arc<Self>, ready: &Ready, range: Range<u64>) -> Result<Box<dyn Read + Send>, Refused> {
        match &ready.what {
            What::One { item, .. } => Ok(self.parts.vault.open(&ready.grant, *item, range, self.now())?.content),
            What::All(all) => {
                let (channel, grant, files) = (Arc::clone(self), ready.grant.clone(), all.clone());
                let open = move |number: usize| {
                    let (item, _, length) = files.get(number).ok_or(io::ErrorKind::NotFound)?;
                    let opened = channel.parts.vault.open(&grant, *item, 0..*length, channel.now());
                    opened.map(|opened| opened.content).map_err(|denied| io::Error::other(format!("{denied:?}")))
                };
                Ok(Box::new(Zip::new(entries(all), Box::new(open))))
            }
        }
    }

    /// Ends the downloads of a visit that is over; what nobody fetched is given back. A download is
    /// deleted as it was read and given back only then: whoever fetches at this moment keeps it, and a
    /// crash in between gives nobody one more.
    pub(super) fn settle(&self, session: &Session) -> Result<(), Fault> {
        let mut fetched_in_all: Vec<ItemId> = Vec::new();
        if let Some(id) = find(session, None)
            && let Some((Taken { what: What::All(all), served: 1.., .. }, _)) = self.taken(id)?
        {
            fetched_in_all.extend(all.iter().map(|(item, ..)| *item));
        }
        for (item, id) in &session.taken {
            let Some((taken, version)) = self.taken(DownloadId(*id))? else { continue };
            if let Some(item) = item
                && taken.served == 0
                && taken.size > 0
                && !fetched_in_all.contains(item)
                && self.forget(DownloadId(*id), version)?
            {
                self.parts.vault.give_back_to(session.parcel, (session.recipient, *item))?;
            }
        }
        Ok(())
    }

    /// Deletes the grants of a visit that its reader ended; those of which nothing was fetched are given back.
    pub(super) fn forget_grants(&self, visit: &Visit) -> Result<(), Refused> {
        let _turn = self.turn(&visit.key);
        let session = self.session(visit)?.0;
        self.settle(&session)?;
        for (_, id) in &session.taken {
            self.parts.records.commit(Vec::new(), vec![Write::Delete(record_key(DownloadId(*id)))]).map_err(|conflict| match conflict {
                Conflict::Check => Refused::Ended,
                Conflict::Fault(fault) => fault.into(),
            })?;
        }
        Ok(())
    }

    fn take_one(&self, visit: &Visit, file: &Item) -> Result<DownloadId, Refused> {
        if let Some(id) = self.taken_before(visit, Some(file.id))? {
            return Ok(id);
        }
        let (grant, now) = (visit.grant()?, self.now());
        let etag = self.parts.vault.open(grant, file.id, 0..0, now)?.etag;
        self.parts.vault.spend(grant, file.id, now)?;
        let what = What::One { item: file.id, name: name::safe(&file.name), etag };
        match self.keep(visit, what, file.length) {
            Ok(id) => {
                event::emit(&Event::Downloaded { parcel: &short(grant.parcel()), item: file.id.0 });
                Ok(id)
            }
            Err(refused) => {
                self.parts.vault.give_back(grant, file.id)?;
                Err(refused)
            }
        }
    }

    /// The download of the same thing in this visit, while it has something left to give.
    fn taken_before(&self, visit: &Visit, item: Option<ItemId>) -> Result<Option<DownloadId>, Refused> {
        let session = self.session(visit)?.0;
        let Some(id) = find(&session, item) else { return Ok(None) };
        let is_usable = |taken: &Taken| !self.is_day_over(taken) && taken.served.saturating_add(taken.size) <= cap(taken);
        Ok(self.taken(id)?.filter(|(taken, _)| is_usable(taken)).map(|_| id))
    }

    /// Writes the grant and notes it in the visit, in one commit.
    fn keep(&self, visit: &Visit, what: What, size: u64) -> Result<DownloadId, Refused> {
        let item = match &what {
            What::One { item, .. } => Some(*item),
            What::All(_) => None,
        };
        let id = DownloadId(random::array());
        let sealed = visit.grant()?.seal(&self.sealing_key(&visit.token));
        let taken = Taken { owner: visit.key.clone(), what, made: self.now().as_second(), served: 0, size, sealed };
        for _ in 0..super::CHANGE_ROUNDS {
            let (mut session, version) = self.session(visit)?;
            session.taken.retain(|(known, _)| *known != item);
            session.taken.push((item, id.0));
            let writes = vec![self.put(&visit.key, &session)?, self.put(&record_key(id), &Some(&taken))?];
            match self.parts.records.commit(vec![Check::Version(visit.key.clone(), version)], writes) {
                Ok(()) => return Ok(id),
                Err(Conflict::Check) => {}
                Err(Conflict::Fault(fault)) => return Err(fault.into()),
            }
        }
        Err(Refused::Ended)
    }

    fn session(&self, visit: &Visit) -> Result<(Session, u64), Refused> {
        let record = self.parts.records.get(&visit.key)?.ok_or(Refused::Ended)?;
        Ok((decode(&record.value)?, record.version))
    }

    fn taken(&self, id: DownloadId) -> Result<Option<(Taken, u64)>, Fault> {
        let Some(record) = self.parts.records.get(&record_key(id))? else { return Ok(None) };
        Ok(decode::<Option<Taken>>(&record.value)?.map(|taken| (taken, record.version)))
    }

    /// Deletes a grant as it was read; tells whether it was still so.
    fn forget(&self, id: DownloadId, version: u64) -> Result<bool, Fault> {
        let key = record_key(id);
        match self.parts.records.commit(vec![Check::Version(key.clone(), version)], vec![Write::Delete(key)]) {
            Ok(()) => Ok(true),
            Err(Conflict::Check) => Ok(false),
            Err(Conflict::Fault(fault)) => Err(fault),
        }
    }

    /// The content did not open, so nobody got anything for what was spent.
    fn give_back_unserved(&self, ready: &Ready) -> Result<(), Refused> {
        if let What::One { item, .. } = &ready.what
            && let Some((Taken { served: 0, .. }, version)) = self.taken(ready.id)?
            && self.forget(ready.id, version)?
        {
            self.parts.vault.give_back(&ready.grant, *item)?;
        }
        Ok(())
    }

    fn is_day_over(&self, taken: &Taken) -> bool {
        self.now().as_second() - taken.made >= GRANT_LIFE
    }
}

/// Sets octets apart before they are sent, so that no crash and no number of connections gives more
/// than three times the size.
struct Metered {
    channel: Arc<Channel>,
    id: DownloadId,
    content: Box<dyn Read + Send>,
    left: u64,
    allowance: u64,
}

impl Metered {
    fn reserve(&mut self) -> Result<(), Refused> {
        let step = self.left.min(RESERVE_STEP);
        let key = record_key(self.id);
        self.channel.change(&key, |taken: &mut Option<Taken>| {
            let taken = taken.as_mut().ok_or(Refused::Gone)?;
            let served = taken.served.saturating_add(step);
            if served > cap(taken) {
                return Err(Refused::UsedUp);
            }
            taken.served = served;
            Ok(())
        })?;
        self.allowance = step;
        self.left -= step;
        Ok(())
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance == 0 && self.left > 0 {
            self.reserve().map_err(|refused| io::Error::other(format!("{refused:?}")))?;
        }
        let wanted = usize::try_from(self.allowance).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.content.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.allowance -= read as u64;
        Ok(read)
    }
}

/// The download of this thing in this visit.
fn find(session: &Session, item: Option<ItemId>) -> Option<DownloadId> {
    session.taken.iter().find(|(known, _)| *known == item).map(|(_, id)| DownloadId(*id))
}

fn raw(items: &[Item]) -> Option<Item> {
    items.iter().find(|item| item.role == crate::vault::Role::Raw).cloned()
}

fn entries(all: &[(ItemId, String, u64)]) -> Vec<Entry> {
    all.iter().map(|(_, name, length)| Entry { name: name.clone(), length: *length }).collect()
}

fn record_key(id: DownloadId) -> Vec<u8> {
    [PREFIX, &id.0].concat()
}

/// Broken connections and impatient readers need more than once; nobody needs more than this.
const fn cap(taken: &Taken) -> u64 {
    taken.size.saturating_mul(3)
}

pub(super) fn is_over(channel: &Channel, value: &[u8], _: Timestamp) -> bool {
    decode::<Option<Taken>>(value).is_ok_and(|taken| taken.is_none_or(|taken| channel.is_day_over(&taken)))
}

pub(super) const PREFIX: &[u8] = b"channel/grant/";
/// Seconds.
const GRANT_LIFE: i64 = 24 * 3600;
/// Octets that are set apart in one commit.
const RESERVE_STEP: u64 = 8 << 20;
const ARCHIVE: &str = "files.zip";
