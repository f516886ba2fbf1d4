//! Taking files: a download is spent once, durably; its octets may then be fetched in pieces, again
//! and again, up to three times the size, for a day, by the browser that spent it.
//!
//! A grant holds the right to read sealed under the visit's secret, so it outlives the visit but is
//! of no use to the store. What was granted and never fetched is given back when the visit ends.
//!
//! Counters, grant and visit change in one commit, of one file as of a thousand: a crash or a race
//! spends all of it or nothing. The grant of an archive pays for each of its files in its visit.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::session::{Session, Token, Visit, short};
use super::zip::{Entry, Zip};
use super::{Channel, Refused, decode, letter, name};
use crate::crypto::random;
use crate::event::{self, Event};
use crate::store::{Check, Fault, Write};
use crate::vault::{Grant, Item, ItemId, Spending};

/// What a download's URL holds: 128 random bits that help nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadId(pub(super) [u8; 16]);

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

impl What {
    fn items(&self) -> BTreeSet<ItemId> {
        match self {
            Self::One { item, .. } => BTreeSet::from([*item]),
            Self::All(all) => all.iter().map(|(item, ..)| *item).collect(),
        }
    }
}

/// What a press of a button asks for.
enum Wanted<'a> {
    /// A file, with its entity tag.
    One(&'a Item, String),
    /// All that can be had.
    All(&'a [Item]),
}

impl Wanted<'_> {
    /// How the visit notes it.
    const fn item(&self) -> Option<ItemId> {
        match self {
            Self::One(file, _) => Some(file.id),
            Self::All(_) => None,
        }
    }

    const fn files(&self) -> &[Item] {
        match self {
            Self::One(file, _) => std::slice::from_ref(*file),
            Self::All(files) => files,
        }
    }

    /// The download of those that were granted, and its octets.
    fn of(&self, granted: &BTreeSet<ItemId>) -> (What, u64) {
        match self {
            Self::One(file, etag) => (What::One { item: file.id, name: name::safe(&file.name), etag: etag.clone() }, file.length),
            Self::All(files) => {
                let files: Vec<&Item> = files.iter().filter(|file| granted.contains(&file.id)).collect();
                let names = name::unique(files.iter().map(|file| file.name.as_str()));
                let all: Vec<_> = files.iter().zip(names).map(|(file, name)| (file.id, name, file.length)).collect();
                let size = Zip::length(&entries(&all));
                (What::All(all), size)
            }
        }
    }
}

impl Channel {
    /// Spends one download of a file; the same file again in one visit is the same download.
    pub fn take(&self, visit: &Visit, item: ItemId) -> Result<DownloadId, Refused> {
        let items = self.parts.vault.items(visit.grant()?)?;
        let file = letter::files(&items).into_iter().chain(raw(&items)).find(|file| file.id == item).ok_or(Refused::Gone)?;
        let _turn = self.turn(&visit.key);
        if let Some(id) = self.taken_before(visit, Some(item))? {
            return Ok(id);
        }
        let etag = self.parts.vault.shelf(visit.grant()?, self.now())?.open(item, 0..0)?.etag;
        self.spend(visit, &Wanted::One(&file, etag))
    }

    /// Spends one download of every file that has one left, and puts them into one archive.
    pub fn take_all(&self, visit: &Visit) -> Result<DownloadId, Refused> {
        let files = letter::files(&self.parts.vault.items(visit.grant()?)?);
        let _turn = self.turn(&visit.key);
        match self.taken_before(visit, None)? {
            Some(id) => Ok(id),
            None => self.spend(visit, &Wanted::All(&files)),
        }
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

    fn content(&self, ready: &Ready, range: Range<u64>) -> Result<Box<dyn Read + Send>, Refused> {
        let shelf = self.parts.vault.shelf(&ready.grant, self.now())?;
        match &ready.what {
            What::One { item, .. } => Ok(shelf.open(*item, range)?.content),
            What::All(all) => {
                let files = all.clone();
                let open = move |number: usize| {
                    let (item, _, length) = files.get(number).ok_or(io::ErrorKind::NotFound)?;
                    let opened = shelf.open(*item, 0..*length);
                    opened.map(|opened| opened.content).map_err(|denied| io::Error::other(format!("{denied:?}")))
                };
                Ok(Box::new(Zip::new(entries(all), Box::new(open))))
            }
        }
    }

    /// What ends the downloads of a visit that is over: what nobody fetched is given back. A grant goes
    /// only as it was read, so whoever fetches at this moment keeps it.
    pub(super) fn unfetched(&self, session: &Session) -> Result<Spending, Fault> {
        let mut grants = Vec::new();
        for (_, id) in &session.taken {
            let id = DownloadId(*id);
            grants.extend(self.taken(id)?.map(|(taken, version)| (id, taken, version)));
        }
        // An empty file leaves no trace of being fetched.
        let (fetched, waiting): (Vec<_>, Vec<_>) = grants.into_iter().partition(|(_, taken, _)| taken.served > 0 || taken.size == 0);
        let fetched: BTreeSet<ItemId> = fetched.iter().flat_map(|(_, taken, _)| taken.what.items()).collect();
        let mut unfetched = BTreeSet::new();
        let mut ends = Vec::new();
        for (id, taken, version) in &waiting {
            let items: Vec<ItemId> = taken.what.items().difference(&fetched).copied().collect();
            if !items.is_empty() {
                unfetched.extend(items);
                ends.push((record_key(*id), *version));
            }
        }
        let unfetched: Vec<ItemId> = unfetched.into_iter().collect();
        let mut back = self.parts.vault.give_back(session.parcel, session.recipient, &unfetched)?;
        for (key, version) in ends {
            back.checks.push(Check::Version(key.clone(), version));
            back.writes.push(Write::Delete(key));
        }
        Ok(back)
    }

    /// Spends one download of each wanted file that the visit has not paid for, writes the grant of
    /// those that can be had, and notes it in the visit.
    fn spend(&self, visit: &Visit, wanted: &Wanted<'_>) -> Result<DownloadId, Refused> {
        let (grant, now) = (visit.grant()?, self.now());
        let id = DownloadId(random::array());
        let spent = self.commit(|| {
            let (mut session, version) = self.session(visit)?;
            let mut granted = self.paid(&session, wanted)?;
            let unpaid: Vec<ItemId> = wanted.files().iter().map(|file| file.id).filter(|id| !granted.contains(id)).collect();
            let Spending { items: spent, mut checks, mut writes } = self.parts.vault.spend(grant, &unpaid, now)?;
            granted.extend(&spent);
            if granted.is_empty() {
                return Err(Refused::UsedUp);
            }
            let (what, size) = wanted.of(&granted);
            let sealed = grant.seal(&self.sealing_key(&visit.token));
            let taken = Taken { owner: visit.key.clone(), what, made: now.as_second(), served: 0, size, sealed };
            // What is paid for anew has nothing more to do with an older grant, which is used up.
            session.taken.retain(|(known, _)| *known != wanted.item() && !known.is_some_and(|known| spent.contains(&known)));
            session.taken.push((wanted.item(), id.0));
            checks.push(Check::Version(visit.key.clone(), version));
            writes.extend([self.put(&visit.key, &session)?, self.put(&record_key(id), &Some(&taken))?]);
            Ok((spent, checks, writes))
        })?;
        for item in spent {
            event::emit(&Event::Downloaded { parcel: &short(grant.parcel()), item: item.0 });
        }
        Ok(id)
    }

    /// Which of the wanted files the visit has paid for: an archive pays for each of its files alone as
    /// well, a file alone for itself in an archive, but no used-up archive for the next one.
    fn paid(&self, session: &Session, wanted: &Wanted<'_>) -> Result<BTreeSet<ItemId>, Fault> {
        let archived = self.archived(session)?;
        let mut paid = BTreeSet::new();
        for file in wanted.files() {
            let is_paid = match (wanted, find(session, Some(file.id))) {
                (Wanted::One(..), None) => archived.contains(&file.id),
                // A grant of its own is used up, or it would be taken again.
                (Wanted::One(..), Some(_)) | (Wanted::All(_), None) => false,
                (Wanted::All(_), Some(id)) => !archived.contains(&file.id) && self.is_usable(id)?,
            };
            if is_paid {
                paid.insert(file.id);
            }
        }
        Ok(paid)
    }

    /// The files of the visit's archive.
    fn archived(&self, session: &Session) -> Result<BTreeSet<ItemId>, Fault> {
        let Some(id) = find(session, None) else { return Ok(BTreeSet::new()) };
        let taken = self.taken(id)?.filter(|(taken, _)| !self.is_day_over(taken));
        Ok(taken.map(|(taken, _)| taken.what.items()).unwrap_or_default())
    }

    /// The download of the same thing in this visit, while it has something left to give.
    fn taken_before(&self, visit: &Visit, item: Option<ItemId>) -> Result<Option<DownloadId>, Refused> {
        match find(&self.session(visit)?.0, item) {
            Some(id) if self.is_usable(id)? => Ok(Some(id)),
            Some(_) | None => Ok(None),
        }
    }

    fn is_usable(&self, id: DownloadId) -> Result<bool, Fault> {
        Ok(self.taken(id)?.is_some_and(|(taken, _)| !self.is_day_over(&taken) && taken.served.saturating_add(taken.size) <= cap(&taken)))
    }

    fn taken(&self, id: DownloadId) -> Result<Option<(Taken, u64)>, Fault> {
        let Some(record) = self.parts.records.get(&record_key(id))? else { return Ok(None) };
        Ok(decode::<Option<Taken>>(&record.value)?.map(|taken| (taken, record.version)))
    }

    /// The content did not open, so nobody got anything for what was spent. What an archive has paid
    /// for is settled with the archive, and when the visit is over everything is settled.
    fn give_back_unserved(&self, ready: &Ready) -> Result<(), Fault> {
        self.commit(|| {
            let nothing = ((), Vec::new(), Vec::new());
            let Some((Taken { served: 0, what: What::One { item, .. }, owner, .. }, version)) = self.taken(ready.id)? else {
                return Ok(nothing);
            };
            let Some(visit) = self.parts.records.get(&owner)? else { return Ok(nothing) };
            let session: Session = decode(&visit.value)?;
            if self.archived(&session)?.contains(&item) {
                return Ok(nothing);
            }
            let Spending { mut checks, mut writes, .. } = self.parts.vault.give_back(session.parcel, session.recipient, &[item])?;
            checks.extend([Check::Version(owner, visit.version), Check::Version(record_key(ready.id), version)]);
            writes.push(Write::Delete(record_key(ready.id)));
            Ok(((), checks, writes))
        })
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

pub(super) fn record_key(id: DownloadId) -> Vec<u8> {
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
