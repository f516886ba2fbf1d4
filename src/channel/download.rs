//! Taking files: a download is spent once, durably; its octets may then be fetched in pieces, again
//! and again, up to three times the size, for a day, by the browser that spent it.
//!
//! A grant holds the right to read sealed under the visit's secret, so it outlives the visit but is
//! of no use to the store. What was granted and never fetched is given back when the visit ends.
//!
//! Counters, grants and visit change in one commit, of one file as of a thousand: a crash or a race
//! spends all of it or nothing. An archive has no grant of its own: it names those of its files, so
//! what a file gives alone and in archives is three times its size in all.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::eml::Eml;
use super::meter::{Meter, Metered};
use super::session::{Session, Token, Visit, short};
use super::zip::{Entry, Zip};
use super::{Channel, Refused, decode, letter, name};
use crate::crypto::{derive, random};
use crate::event::{self, Event};
use crate::store::{Check, Fault, Write};
use crate::vault::{Grant, Item, ItemId, Kind, Role, Spending};

/// What a download's URL holds: 128 random bits that help nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// What is kept of a download.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Taken {
    /// The visit's key: nobody else may fetch it.
    owner: Vec<u8>,
    pub what: What,
    made: i64,
    /// The right to read, sealed under the visit's secret. Names of files are behind it.
    sealed: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum What {
    /// A spent download of one file.
    One {
        item: ItemId,
        /// Octets of the whole.
        size: u64,
        /// Octets of it that were set apart for fetching, alone or with others; of an empty one, whether it was fetched.
        served: u64,
        etag: String,
    },
    /// Files in an archive, each with the download that was spent for it.
    All(Vec<(ItemId, DownloadId)>),
    /// The same in a message to be kept.
    Message(Vec<(ItemId, DownloadId)>),
    /// The message as it was sent, and all files, since they are in it.
    Original(Vec<(ItemId, DownloadId)>),
}

/// A download that may be fetched.
pub struct Ready {
    /// Octets of the whole.
    pub length: u64,
    /// Strong entity tag without quotes; what is put together has none, and no ranges.
    pub etag: Option<String>,
    /// The file's name, safe.
    pub name: String,
    id: DownloadId,
    files: Files,
    grant: Grant,
}

/// What is fetched.
enum Files {
    One(ItemId),
    All(Vec<Part>),
    Message(Eml, Vec<Part>),
    Original(ItemId, Vec<Part>),
}

/// A file among others.
#[derive(Clone)]
pub(super) struct Part {
    pub item: ItemId,
    pub paid: DownloadId,
    pub entry: Entry,
}

/// What a press of a button asks for.
enum Wanted<'a> {
    One(&'a Item),
    /// All that can be had.
    All(&'a [Item]),
    /// The message with what can be had.
    Message(&'a [Item]),
    /// All of them or nothing.
    Original(&'a [Item]),
}

impl Wanted<'_> {
    const fn files(&self) -> &[Item] {
        match self {
            Self::One(file) => std::slice::from_ref(*file),
            Self::All(files) | Self::Message(files) | Self::Original(files) => files,
        }
    }
}

impl Channel {
    /// Spends one download of a file; the same file again in one visit is the same download.
    pub fn take(&self, visit: &Visit, item: ItemId) -> Result<DownloadId, Refused> {
        let items = self.parts.vault.items(visit.grant()?)?;
        let file = letter::files(&items).into_iter().find(|file| file.id == item).ok_or(Refused::Gone)?;
        self.spend(visit, &Wanted::One(&file))
    }

    /// Spends one download of every file that has one left and was not taken before, and puts them into one archive.
    pub fn take_all(&self, visit: &Visit) -> Result<DownloadId, Refused> {
        let files = letter::files(&self.parts.vault.items(visit.grant()?)?);
        self.spend(visit, &Wanted::All(&files))
    }

    /// The message to be kept. It costs what it holds: a download of each file that has one left; of the original, where that
    /// was kept, one of it and of every file, since nothing can be left out of it.
    pub fn save(&self, visit: &Visit) -> Result<DownloadId, Refused> {
        if visit.admitted.contents.kind != Kind::SecureMessage {
            return Err(Refused::Gone);
        }
        let items = self.parts.vault.items(visit.grant()?)?;
        let files = letter::files(&items);
        match items.iter().find(|item| item.role == Role::Raw) {
            None => self.spend(visit, &Wanted::Message(&files)),
            Some(raw) if files.is_empty() => self.spend(visit, &Wanted::One(raw)),
            Some(raw) => self.spend(visit, &Wanted::Original(&[std::slice::from_ref(raw), &files].concat())),
        }
    }

    /// A download as it stands: for HEAD, and before its octets are fetched. Changes nothing.
    pub fn ready(&self, token: &Token, id: DownloadId) -> Result<Ready, Refused> {
        let (taken, _) = self.taken(id)?.ok_or(Refused::Gone)?;
        if taken.owner != self.session_key(token) || self.is_day_over(&taken) {
            return Err(Refused::Gone);
        }
        let grant = Grant::unseal(&self.sealing_key(token), &taken.sealed).map_err(|_| Refused::Gone)?;
        // Blocked, gone or over in the meantime: nothing is fetched any more.
        let items = self.parts.vault.items(&grant)?;
        match taken.what {
            What::One { item, size, etag, .. } => {
                let name = items.iter().find(|known| known.id == item).map(|known| name::safe(&known.name)).ok_or(Refused::Gone)?;
                Ok(Ready { length: size, etag: Some(etag), name, id, files: Files::One(item), grant })
            }
            What::All(all) => {
                let parts = parts(&items, &all);
                let length = Zip::length(&entries(&parts));
                Ok(Ready { length, etag: None, name: ARCHIVE.to_owned(), id, files: Files::All(parts), grant })
            }
            What::Message(all) => {
                let (eml, parts) = (self.eml((&grant, &items), &all)?, parts(&items, &all));
                Ok(Ready { length: eml.length(), etag: None, name: MESSAGE.to_owned(), id, files: Files::Message(eml, parts), grant })
            }
            What::Original(all) => {
                let raw = items.iter().find(|item| item.role == Role::Raw).ok_or(Refused::Gone)?;
                let files = Files::Original(raw.id, parts(&items, &all));
                Ok(Ready { length: raw.length, etag: None, name: MESSAGE.to_owned(), id, files, grant })
            }
        }
    }

    /// The message with all that is not counted, and with the files that were spent.
    fn eml(&self, (grant, items): (&Grant, &[Item]), all: &[(ItemId, DownloadId)]) -> Result<Eml, Refused> {
        let vault = &self.parts.vault;
        let contents = vault.revealed(grant, vault.contents(grant.parcel(), grant.recipient(), self.now())?)?.contents;
        let counted = letter::files(items);
        let goes_in = |item: &&Item| all.iter().any(|(id, _)| *id == item.id) || !counted.iter().any(|known| known.id == item.id);
        let items: Vec<&Item> = items.iter().filter(goes_in).collect();
        let seed = derive::mac(&self.keys.index, "eml", &[&grant.parcel().0]);
        Ok(Eml::new(&contents, &items, &data_encoding::HEXLOWER.encode(seed.get(..8).unwrap_or(&seed))))
    }

    /// The octets of a range, end exclusive; an archive is always fetched whole.
    pub fn fetch(self: &Arc<Self>, ready: Ready, range: Range<u64>) -> Result<Box<dyn Read + Send>, Refused> {
        let shelf = || self.parts.vault.shelf(&ready.grant, self.now());
        match &ready.files {
            Files::One(item) => {
                let octets = range.end.saturating_sub(range.start);
                match shelf().and_then(|shelf| shelf.open(*item, range)) {
                    Ok(opened) => Ok(Box::new(Metered::new(self, (ready.id, octets), opened.content)?)),
                    Err(denied) => {
                        self.give_back_unserved(&ready)?;
                        Err(denied.into())
                    }
                }
            }
            Files::All(parts) => {
                let (shelf, mut meter) = (shelf()?, Meter::new(self, parts)?);
                let open = move |number: usize| meter.open(&shelf, number).map_err(|refused| io::Error::other(format!("{refused:?}")));
                Ok(Box::new(Zip::new(entries(parts), Box::new(open))))
            }
            Files::Message(eml, parts) => {
                let (shelf, mut meter) = (shelf()?, Meter::new(self, parts)?);
                let open = move |item: ItemId| meter.open_item(&shelf, item).map_err(|refused| io::Error::other(format!("{refused:?}")));
                Ok(Box::new(eml.clone().read(Box::new(open))))
            }
            Files::Original(raw, parts) => {
                let content = shelf()?.open(*raw, range)?.content;
                self.set_apart(&parts.iter().map(|part| (part.paid, part.entry.length)).collect::<Vec<_>>())?;
                Ok(content)
            }
        }
    }

    /// What ends the downloads of a visit that is over: what nobody fetched is given back. A download goes
    /// only as it was read, so whoever fetches at this moment keeps it.
    pub(super) fn unfetched(&self, session: &Session) -> Result<Spending, Fault> {
        let mut items = Vec::new();
        let mut ends = Vec::new();
        for (_, id) in &session.taken {
            let id = DownloadId(*id);
            if let Some((Taken { what: What::One { item, served: 0, .. }, .. }, version)) = self.taken(id)? {
                items.push(item);
                ends.push((record_key(id), version));
            }
        }
        let mut back = self.parts.vault.give_back(session.parcel, session.recipient, &items)?;
        for (key, version) in ends {
            back.checks.push(Check::Version(key.clone(), version));
            back.writes.push(Write::Delete(key));
        }
        Ok(back)
    }

    /// Spends one download of each wanted file for which the visit has none with something left to give, and notes
    /// all of it in the visit, in one commit.
    fn spend(&self, visit: &Visit, wanted: &Wanted<'_>) -> Result<DownloadId, Refused> {
        let grant = visit.grant()?;
        let shelf = self.parts.vault.shelf(grant, self.now())?;
        let _turn = self.turn(&visit.key);
        let (id, spent) = self.commit(|| {
            let (mut session, version) = self.session(visit)?;
            let mut paid = self.paid(&session, wanted.files())?;
            let unpaid: Vec<&Item> = wanted.files().iter().filter(|file| !paid.contains_key(&file.id)).collect();
            let ids: Vec<ItemId> = unpaid.iter().map(|file| file.id).collect();
            let Spending { items: spent, mut checks, mut writes } = self.parts.vault.spend(grant, &ids, self.now())?;
            for file in unpaid.iter().filter(|file| spent.contains(&file.id)) {
                let what = What::One { item: file.id, size: file.length, served: 0, etag: shelf.open(file.id, 0..0)?.etag };
                paid.insert(file.id, self.note(visit, (&mut session, &mut writes), what)?);
            }
            let bundle = match wanted {
                Wanted::One(_) | Wanted::All(_) if paid.is_empty() => return Err(Refused::UsedUp),
                Wanted::Original(all) if paid.len() < all.len() => return Err(Refused::UsedUp),
                Wanted::One(_) => None,
                Wanted::All(_) => Some(What::All(paid.clone().into_iter().collect())),
                Wanted::Message(_) => Some(What::Message(paid.clone().into_iter().collect())),
                Wanted::Original(_) => Some(What::Original(paid.clone().into_iter().collect())),
            };
            let id = match bundle {
                None => paid.into_values().next().ok_or(Refused::UsedUp)?,
                Some(what) => match self.bundle(&session, &what)? {
                    Some(id) => id,
                    None => self.note(visit, (&mut session, &mut writes), what)?,
                },
            };
            checks.push(Check::Version(visit.key.clone(), version));
            writes.push(self.put(&visit.key, &session)?);
            Ok(((id, spent), checks, writes))
        })?;
        for item in spent {
            event::emit(&Event::Downloaded { parcel: &short(grant.parcel()), item: item.0 });
        }
        Ok(id)
    }

    /// Writes a download and notes it in the visit, that of a file in place of the one before.
    fn note(&self, visit: &Visit, (session, writes): (&mut Session, &mut Vec<Write>), what: What) -> Result<DownloadId, Refused> {
        let id = DownloadId(random::array());
        let item = match &what {
            What::One { item, .. } => Some(*item),
            What::All(_) | What::Message(_) | What::Original(_) => None,
        };
        let sealed = visit.grant()?.seal(&self.sealing_key(&visit.token));
        let taken = Taken { owner: visit.key.clone(), what, made: self.now().as_second(), sealed };
        session.taken.retain(|(known, _)| known.is_none() || *known != item);
        session.taken.push((item, id.0));
        writes.push(self.put(&record_key(id), &Some(&taken))?);
        Ok(id)
    }

    /// The downloads of these files that the visit has and that have something left to give.
    pub(super) fn paid(&self, session: &Session, files: &[Item]) -> Result<BTreeMap<ItemId, DownloadId>, Fault> {
        let mut paid = BTreeMap::new();
        for file in files {
            let Some((_, id)) = session.taken.iter().find(|(item, _)| *item == Some(file.id)) else { continue };
            let id = DownloadId(*id);
            if self.taken(id)?.is_some_and(|(taken, _)| !self.is_day_over(&taken) && taken.has_left(file.length)) {
                paid.insert(file.id, id);
            }
        }
        Ok(paid)
    }

    /// What the visit has put together of just these files already.
    fn bundle(&self, session: &Session, what: &What) -> Result<Option<DownloadId>, Fault> {
        for (_, id) in session.taken.iter().rev().filter(|(item, _)| item.is_none()) {
            let id = DownloadId(*id);
            if self.taken(id)?.is_some_and(|(taken, _)| taken.what == *what && !self.is_day_over(&taken)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) fn taken(&self, id: DownloadId) -> Result<Option<(Taken, u64)>, Fault> {
        let Some(record) = self.parts.records.get(&record_key(id))? else { return Ok(None) };
        Ok(decode::<Option<Taken>>(&record.value)?.map(|taken| (taken, record.version)))
    }

    /// The content did not open, so nobody got anything for what was spent.
    fn give_back_unserved(&self, Ready { id, grant, .. }: &Ready) -> Result<(), Fault> {
        self.commit(|| {
            let Some((Taken { what: What::One { item, served: 0, .. }, .. }, version)) = self.taken(*id)? else {
                return Ok(((), Vec::new(), Vec::new()));
            };
            let Spending { mut checks, mut writes, .. } = self.parts.vault.give_back(grant.parcel(), grant.recipient(), &[item])?;
            checks.push(Check::Version(record_key(*id), version));
            writes.push(Write::Delete(record_key(*id)));
            Ok(((), checks, writes))
        })
    }

    fn is_day_over(&self, taken: &Taken) -> bool {
        self.now().as_second() - taken.made >= GRANT_LIFE
    }
}

/// The files of an archive in the order of the parcel, with names that differ.
fn parts(items: &[Item], all: &[(ItemId, DownloadId)]) -> Vec<Part> {
    let paid: BTreeMap<ItemId, DownloadId> = all.iter().copied().collect();
    let files: Vec<(&Item, DownloadId)> = items.iter().filter_map(|item| Some((item, *paid.get(&item.id)?))).collect();
    let names = name::unique(files.iter().map(|(file, _)| file.name.as_str()));
    let part = |((file, paid), name): (&(&Item, DownloadId), String)| Part {
        item: file.id,
        paid: *paid,
        entry: Entry { name, length: file.length },
    };
    files.iter().zip(names).map(part).collect()
}

fn entries(parts: &[Part]) -> Vec<Entry> {
    parts.iter().map(|part| part.entry.clone()).collect()
}

pub(super) fn record_key(id: DownloadId) -> Vec<u8> {
    [PREFIX, &id.0].concat()
}

pub(super) fn is_over(channel: &Channel, value: &[u8], _: Timestamp) -> bool {
    // What cannot be read is of no use to anybody.
    decode::<Option<Taken>>(value).ok().flatten().is_none_or(|taken| channel.is_day_over(&taken))
}

pub(super) const PREFIX: &[u8] = b"channel/grant/";
/// Seconds.
const GRANT_LIFE: i64 = 24 * 3600;
const ARCHIVE: &str = "files.zip";
const MESSAGE: &str = "message.eml";
