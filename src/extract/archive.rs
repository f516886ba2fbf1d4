//! ZIP, read strictly: what the directory at the end says and what stands before each entry must be
//! the same, entries must neither overlap nor leave room between them, or the archive counts as damaged.
//!
//! Nothing is ever written to a disk and a name never becomes a path. APPNOTE.TXT 6.3.10.

use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;

use super::Why;
use super::budget::{Budget, ENTRY_MAX};

/// One entry of the directory.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it is shown; never used as a path.
    pub name: String,
    /// Behind a password.
    pub encrypted: bool,
    raw_name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    header_at: u64,
    data_at: usize,
}

/// A directory and the octets that it describes.
pub struct Archive<'a> {
    content: &'a [u8],
    /// In the order of the directory.
    pub entries: Vec<Entry>,
    /// What stands in it beside the entries: comments, and fields that only their makers know.
    pub remarks: Vec<Vec<u8>>,
}

impl<'a> Archive<'a> {
    /// Reads and checks all structure, and no content.
    pub fn open(content: &'a [u8], budget: &mut Budget) -> Result<Self, Why> {
        let end = end_record(content).ok_or(Why::Damaged)?;
        let directory = Directory::find(content, end).ok_or(Why::Damaged)?;
        let mut archive = Self { content, entries: Vec::new(), remarks: Vec::new() };
        archive.remark(content.get(end + END_LEN..).unwrap_or_default())?;
        let mut at = directory.at;
        while at < directory.end {
            budget.entry().map_err(|_| Why::OverBudget)?;
            at = archive.directory_entry(at).ok_or(Why::Damaged)?;
        }
        let whole = at == directory.end && archive.entries.len() as u64 == directory.count;
        if !whole || !archive.names_are_unique() || !archive.headers_agree(directory.at) || ends_twice(content, end) {
            return Err(Why::Damaged);
        }
        Ok(archive)
    }

    /// The content of an entry, its length and checksum verified.
    pub fn read(&self, entry: &Entry, budget: &mut Budget) -> Result<Vec<u8>, Why> {
        if entry.encrypted {
            return Err(Why::Encrypted);
        }
        let length = usize::try_from(entry.packed).map_err(|_| Why::Damaged)?;
        let packed = self.content.get(entry.data_at..).and_then(|rest| rest.get(..length)).ok_or(Why::Damaged)?;
        let content = match entry.method {
            STORED => collect(packed, budget)?,
            DEFLATED => {
                let mut inflating = flate2::bufread::DeflateDecoder::new(packed);
                let content = collect(&mut inflating, budget)?;
                if inflating.total_in() != entry.packed {
                    return Err(Why::Damaged);
                }
                content
            }
            _ => return Err(Why::Unknown),
        };
        let mut check = flate2::Crc::new();
        check.update(&content);
        if content.len() as u64 != entry.size || check.sum() != entry.crc {
            return Err(Why::Damaged);
        }
        Ok(content)
    }

    /// The entry with this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    fn directory_entry(&mut self, at: usize) -> Option<usize> {
        let fields = Fields { content: self.content, at };
        if fields.u32(0)? != DIRECTORY_SIGNATURE {
            return None;
        }
        let (name_len, extra_len, comment_len) = (fields.len(28)?, fields.len(30)?, fields.len(32)?);
        let raw_name = fields.octets(DIRECTORY_LEN, name_len)?.to_vec();
        let extra = fields.octets(DIRECTORY_LEN + name_len, extra_len)?;
        let comment = fields.octets(DIRECTORY_LEN + name_len + extra_len, comment_len)?;
        let (flags, method) = (fields.u16(8)?, fields.u16(10)?);
        let mut entry = Entry {
            name: shown(&raw_name),
            // Bits 0, 6 and 13: traditional, strong, and directory encryption; method 99 is AES.
            encrypted: flags & 0x2041 != 0 || method == AES,
            raw_name,
            flags,
            method,
            crc: fields.u32(16)?,
            packed: fields.u32(20)?.into(),
            size: fields.u32(24)?.into(),
            header_at: fields.u32(42)?.into(),
            data_at: 0,
        };
        let unknown = entry.extend(extra)?;
        for remark in [comment, &unknown] {
            self.remark(remark).ok()?;
        }
        self.entries.push(entry);
        at.checked_add(DIRECTORY_LEN + name_len + extra_len + comment_len)
    }

    /// Keeps a remark for whoever looks at it. One in which an archive could begin or end makes two archives of one.
    fn remark(&mut self, octets: &[u8]) -> Result<(), Why> {
        if octets.windows(4).any(is_mark) {
            return Err(Why::Damaged);
        }
        if !octets.is_empty() && self.remarks.last().is_none_or(|last| last != octets) {
            self.remarks.push(octets.to_vec());
        }
        Ok(())
    }

    fn names_are_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.entries.iter().all(|entry| seen.insert(entry.name.to_lowercase()))
    }

    /// Each local header says what the directory says, and together they fill the file up to the directory.
    fn headers_agree(&mut self, directory_at: usize) -> bool {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|&index| self.entries.get(index).map(|entry| entry.header_at));
        let (mut end, mut last) = (0, None);
        for index in order {
            let Some(start) = self.entries.get(index).map(|entry| entry.header_at) else { return false };
            if !self.follows(last, end..start) {
                return false;
            }
            let Some((next, unknown)) = self.entries.get_mut(index).and_then(|entry| entry.local_header(self.content)) else {
                return false;
            };
            (end, last) = (next, Some(index));
            if self.remark(&unknown).is_err() {
                return false;
            }
        }
        self.follows(last, end..directory_at as u64)
    }

    /// Whether nothing stands between an entry and what comes after it but its descriptor.
    fn follows(&self, last: Option<usize>, gap: Range<u64>) -> bool {
        let place = usize::try_from(gap.start).ok().zip(usize::try_from(gap.end).ok());
        let Some(octets) = place.and_then(|(start, end)| self.content.get(start..end)) else { return false };
        octets.is_empty() || last.and_then(|index| self.entries.get(index)).is_some_and(|entry| entry.is_described_by(octets))
    }
}

impl Entry {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/') && self.size == 0
    }

    /// Whether these octets are its data descriptor, with or without signature, of 32 or 64 bits.
    /// APPNOTE.TXT 4.3.9.
    fn is_described_by(&self, octets: &[u8]) -> bool {
        let bare = octets.strip_prefix(&DESCRIPTOR_SIGNATURE.to_le_bytes()).unwrap_or(octets);
        let fields = Fields { content: bare, at: 0 };
        let sizes = match bare.len() {
            12 => fields.u32(4).map(u64::from).zip(fields.u32(8).map(u64::from)),
            20 => fields.u64(4).zip(fields.u64(12)),
            _ => None,
        };
        self.flags & DESCRIPTOR_FLAG != 0 && fields.u32(0) == Some(self.crc) && sizes == Some((self.packed, self.size))
    }

    /// Takes the long sizes (0x0001) from the extra field; a second name (0x7075) must be the same name.
    /// Gives back what is in it beside times, owners, keys and padding.
    fn extend(&mut self, mut extra: &[u8]) -> Option<Vec<u8>> {
        let mut unknown = Vec::new();
        // Alignment tools leave zeros that are too short for a field.
        while extra.len() >= 4 {
            let fields = Fields { content: extra, at: 0 };
            let (tag, length) = (fields.u16(0)?, fields.len(2)?);
            let body = fields.octets(4, length)?;
            match tag {
                0x0001 => self.long_sizes(body)?,
                0x7075 if body.get(5..) != Some(self.raw_name.as_slice()) => return None,
                known if EXTRAS.contains(&known) => {}
                _ => unknown.extend_from_slice(body),
            }
            extra = extra.get(4 + length..)?;
        }
        extra.iter().all(|&octet| octet == 0).then_some(unknown)
    }

    fn long_sizes(&mut self, body: &[u8]) -> Option<()> {
        let fields = Fields { content: body, at: 0 };
        let mut at = 0;
        for value in [&mut self.size, &mut self.packed, &mut self.header_at] {
            if *value == u64::from(u32::MAX) {
                *value = fields.u64(at)?;
                at += 8;
            }
        }
        Some(())
    }

    /// Compares the header before the data with the directory; answers where the data ends, and what is in
    /// it that nobody knows.
    fn local_header(&mut self, content: &[u8]) -> Option<(u64, Vec<u8>)> {
        let at = usize::try_from(self.header_at).ok()?;
        let fields = Fields { content, at };
        let (name_len, extra_len) = (fields.len(26)?, fields.len(28)?);
        let mut local = Self {
            raw_name: fields.octets(LOCAL_LEN, name_len)?.to_vec(),
            flags: fields.u16(6)?,
            method: fields.u16(8)?,
            crc: fields.u32(14)?,
            packed: fields.u32(18)?.into(),
            size: fields.u32(22)?.into(),
            ..self.clone()
        };
        let unknown = local.extend(fields.octets(LOCAL_LEN + name_len, extra_len)?)?;
        let described = self.flags & DESCRIPTOR_FLAG != 0;
        let said = |local: u64, central: u64| local == central || (described && local == 0);
        let same = fields.u32(0)? == LOCAL_SIGNATURE
            && local.raw_name == self.raw_name
            && local.flags == self.flags
            && local.method == self.method
            && said(local.crc.into(), self.crc.into())
            && said(local.packed, self.packed)
            && said(local.size, self.size);
        if !same {
            return None;
        }
        self.data_at = at.checked_add(LOCAL_LEN + name_len + extra_len)?;
        Some(((self.data_at as u64).checked_add(self.packed)?, unknown))
    }
}

/// Where the directory stands, by the end record and, where there is one, its 64-bit twin.
struct Directory {
    at: usize,
    end: usize,
    count: u64,
}

impl Directory {
    fn find(content: &[u8], end: usize) -> Option<Self> {
        let fields = Fields { content, at: end };
        // One disk: the archive is all here.
        if fields.u16(4)? != 0 || fields.u16(6)? != 0 || fields.u16(8)? != fields.u16(10)? {
            return None;
        }
        let (mut count, mut size, mut at) = (u64::from(fields.u16(10)?), u64::from(fields.u32(12)?), u64::from(fields.u32(16)?));
        let mut stop = end;
        if let Some(locator) = end.checked_sub(LOCATOR_LEN)
            && (Fields { content, at: locator }).u32(0) == Some(LOCATOR_SIGNATURE)
        {
            stop = usize::try_from(Fields { content, at: locator }.u64(8)?).ok()?;
            let long = Fields { content, at: stop };
            if long.u32(0)? != LONG_END_SIGNATURE || stop.checked_add(LONG_END_LEN)? != locator {
                return None;
            }
            let agrees = |short: u64, wide: u64, unset: u64| short == wide || short == unset;
            let (wide_count, wide_size, wide_at) = (long.u64(32)?, long.u64(40)?, long.u64(48)?);
            if !agrees(count, wide_count, 0xffff) || !agrees(size, wide_size, 0xffff_ffff) || !agrees(at, wide_at, 0xffff_ffff) {
                return None;
            }
            (count, size, at) = (wide_count, wide_size, wide_at);
        }
        // Octets before the archive would move everything: then the sums do not come out.
        (at.checked_add(size)? == stop as u64).then_some(())?;
        Some(Self { at: usize::try_from(at).ok()?, end: stop, count })
    }
}

/// Where the end record stands: the last one whose comment reaches exactly to the end.
pub fn end_record(content: &[u8]) -> Option<usize> {
    let last = content.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(COMMENT_MAX);
    (first..=last).rev().find(|&at| ends_at(content, at))
}

/// Whether a reader that looks from the other side finds another end record.
fn ends_twice(content: &[u8], end: usize) -> bool {
    let first = content.len().saturating_sub(END_LEN + COMMENT_MAX);
    (first..end).any(|at| ends_at(content, at))
}

fn ends_at(content: &[u8], at: usize) -> bool {
    let fields = Fields { content, at };
    fields.u32(0) == Some(END_SIGNATURE) && fields.len(20).and_then(|comment| (at + END_LEN).checked_add(comment)) == Some(content.len())
}

/// Whether four octets begin a record of an archive.
fn is_mark(octets: &[u8]) -> bool {
    let number = Fields { content: octets, at: 0 }.u32(0).unwrap_or_default();
    [LOCAL_SIGNATURE, DIRECTORY_SIGNATURE, END_SIGNATURE, LONG_END_SIGNATURE, LOCATOR_SIGNATURE].contains(&number)
}

/// Reads to the end under the budget. The buffer grows with what is there, never with what was said.
pub fn collect(mut source: impl Read, budget: &mut Budget) -> Result<Vec<u8>, Why> {
    let mut content = Vec::new();
    let mut chunk = [0; 32 * 1024];
    loop {
        let read = source.read(&mut chunk).map_err(|_| Why::Damaged)?;
        let Some(fresh) = chunk.get(..read).filter(|fresh| !fresh.is_empty()) else { return Ok(content) };
        budget.expand(read).map_err(|_| Why::OverBudget)?;
        if content.len() + read > ENTRY_MAX {
            return Err(Why::OverBudget);
        }
        content.extend_from_slice(fresh);
    }
}

/// Little-endian fields from a place on.
struct Fields<'a> {
    content: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn octets(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        let from = self.at.checked_add(offset)?;
        self.content.get(from..from.checked_add(length)?)
    }

    fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.octets(offset, N)?.try_into().ok()
    }

    fn u16(&self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn len(&self, offset: usize) -> Option<usize> {
        self.u16(offset).map(usize::from)
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }
}

fn shown(raw: &[u8]) -> String {
    super::plain::decode(raw, "").chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

/// Fields that hold numbers: long sizes, times of three systems, owners, access rights, keys, alignment,
/// the mark of Java, and the second name. APPNOTE.TXT 4.5.2, and `proginfo/extrafld.txt` of Info-ZIP.
const EXTRAS: [u16; 12] = [0x0001, 0x000a, 0x000d, 0x4453, 0x5455, 0x5855, 0x7075, 0x7855, 0x7875, 0x9901, 0xcafe, 0xd935];
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const AES: u16 = 99;
const DESCRIPTOR_FLAG: u16 = 1 << 3;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const LOCAL_LEN: usize = 30;
const DIRECTORY_SIGNATURE: u32 = 0x0201_4b50;
const DIRECTORY_LEN: usize = 46;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END_LEN: usize = 22;
const LONG_END_SIGNATURE: u32 = 0x0606_4b50;
const LONG_END_LEN: usize = 56;
const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const LOCATOR_LEN: usize = 20;
/// The comment's length is a 16-bit field.
const COMMENT_MAX: usize = 0xffff;
/// Longer names are cut where they are shown; they are compared whole.
const NAME_MAX: usize = 1024;
