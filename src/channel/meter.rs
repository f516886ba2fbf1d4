//! How much of a download may still be fetched.
//!
//! Octets are set apart before they are sent, durably, so that no crash, no number of connections and no
//! mixture of single files and archives gives more of a file than three times its size.

use std::io::{self, Read};
use std::sync::Arc;

use super::download::{DownloadId, Part, Taken, What, record_key};
use super::{Channel, Refused};
use crate::store::Check;
use crate::vault::{ItemId, Shelf};

/// Sets octets of one file apart before they are sent, so that no crash and no number of connections
/// gives more than three times the size.
pub(super) struct Metered {
    channel: Arc<Channel>,
    id: DownloadId,
    content: Box<dyn Read + Send>,
    left: u64,
    allowance: u64,
}

impl Metered {
    /// Over so many octets of a download. The first of them are set apart at once.
    pub fn new(channel: &Arc<Channel>, (id, left): (DownloadId, u64), content: Box<dyn Read + Send>) -> Result<Self, Refused> {
        let mut metered = Self { channel: Arc::clone(channel), id, content, left, allowance: 0 };
        metered.reserve()?;
        Ok(metered)
    }

    fn reserve(&mut self) -> Result<(), Refused> {
        let step = self.left.min(RESERVE_STEP);
        self.channel.set_apart(&[(self.id, step)])?;
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

/// The same for the files of an archive: many small ones in one commit, a large one as it goes.
pub(super) struct Meter {
    channel: Arc<Channel>,
    parts: Vec<Part>,
    /// How many of them are set apart.
    apart: usize,
}

impl Meter {
    /// Over all files of an archive, if each may be fetched: without its end it helps nobody.
    pub fn new(channel: &Arc<Channel>, parts: &[Part]) -> Result<Self, Refused> {
        for part in parts {
            let (taken, _) = channel.taken(part.paid)?.ok_or(Refused::Gone)?;
            if !taken.has_left(part.entry.length) {
                return Err(Refused::UsedUp);
            }
        }
        Ok(Self { channel: Arc::clone(channel), parts: parts.to_vec(), apart: 0 })
    }

    /// One of them, when its turn has come.
    pub fn open(&mut self, shelf: &Shelf, number: usize) -> Result<Box<dyn Read + Send>, Refused> {
        let part = self.parts.get(number).ok_or(Refused::Gone)?;
        let (id, left) = (part.paid, part.entry.length);
        let content = shelf.open(part.item, 0..left)?.content;
        if left > RESERVE_STEP {
            return Ok(Box::new(Metered::new(&self.channel, (id, left), content)?));
        }
        if number >= self.apart {
            self.reserve(number)?;
        }
        Ok(content)
    }

    /// The same by its item; what is not counted is opened as it is.
    pub fn open_item(&mut self, shelf: &Shelf, item: ItemId) -> Result<Box<dyn Read + Send>, Refused> {
        match self.parts.iter().position(|part| part.item == item) {
            Some(number) => self.open(shelf, number),
            None => Ok(shelf.open(item, 0..u64::MAX)?.content),
        }
    }

    /// Sets this one and the small ones that follow apart, as far as a step goes.
    fn reserve(&mut self, from: usize) -> Result<(), Refused> {
        let mut octets = 0;
        let within = |part: &&Part| {
            octets += part.entry.length;
            octets <= RESERVE_STEP
        };
        let next: Vec<(DownloadId, u64)> =
            self.parts.iter().skip(from).take_while(within).map(|part| (part.paid, part.entry.length)).collect();
        self.channel.set_apart(&next)?;
        self.apart = from + next.len();
        Ok(())
    }
}

impl Taken {
    /// Whether so many octets more may be fetched. Broken connections and impatient readers need more than the
    /// size; nobody needs more than three times as much.
    pub const fn has_left(&self, octets: u64) -> bool {
        match self.what {
            What::One { size: 0, .. } => true,
            What::One { size, served, .. } => served.saturating_add(octets) <= size.saturating_mul(3),
            What::All(_) | What::Message(_) | What::Original(_) => true,
        }
    }

    fn serve(&mut self, octets: u64) -> Result<(), Refused> {
        if !self.has_left(octets) {
            return Err(Refused::UsedUp);
        }
        match &mut self.what {
            // A trace that it was fetched.
            What::One { size: 0, served, .. } => *served = 1,
            What::One { served, .. } => *served += octets,
            // Its files are counted, each for itself.
            What::All(_) | What::Message(_) | What::Original(_) => {}
        }
        Ok(())
    }
}

impl Channel {
    /// Sets octets of these downloads apart, before the first of them is sent: all, or none.
    pub(super) fn set_apart(&self, wanted: &[(DownloadId, u64)]) -> Result<(), Refused> {
        self.commit(|| {
            let (mut checks, mut writes) = (Vec::new(), Vec::new());
            for (id, octets) in wanted {
                let (mut taken, version) = self.taken(*id)?.ok_or(Refused::Gone)?;
                taken.serve(*octets)?;
                checks.push(Check::Version(record_key(*id), version));
                writes.push(self.put(&record_key(*id), &Some(taken))?);
            }
            Ok(((), checks, writes))
        })
    }
}

/// Octets that are set apart in one commit.
const RESERVE_STEP: u64 = 8 << 20;
