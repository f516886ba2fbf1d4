//! All files in one: a ZIP that is written while it is read, stored without compression, its
//! length known before its first octet.
//!
//! Names are UTF-8 (flag bit 11); checksums follow the content (bit 3), since they are known only
//! then; zip64 where a size or an offset needs it. APPNOTE.TXT 6.3.10.

use std::collections::VecDeque;
use std::io::{self, Read};

/// A file to be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// A safe name, different from the others.
    pub name: String,
    /// Its octets.
    pub length: u64,
}

/// Opens the file of this number, counted from 0.
pub type Opener = Box<dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send>;

/// The archive as a stream.
pub struct Zip {
    waiting: VecDeque<(usize, Entry)>,
    open: Opener,
    current: Option<Current>,
    pending: io::Cursor<Vec<u8>>,
    central: Vec<u8>,
    offset: u64,
    files: u64,
    ended: bool,
}

struct Current {
    entry: Entry,
    content: Box<dyn Read + Send>,
    checksum: crc32fast::Hasher,
    left: u64,
    start: u64,
}

impl Zip {
    /// Over files that `open` opens when their turn has come.
    pub fn new(entries: Vec<Entry>, open: Opener) -> Self {
        Self {
            waiting: entries.into_iter().enumerate().collect(),
            open,
            current: None,
            pending: io::Cursor::new(Vec::new()),
            central: Vec::new(),
            offset: 0,
            files: 0,
            ended: false,
        }
    }

    /// Octets in all.
    pub fn length(entries: &[Entry]) -> u64 {
        let (mut offset, mut central) = (0u64, 0u64);
        for entry in entries {
            let start = offset;
            offset += local(entry).len() as u64 + entry.length + descriptor(entry, 0).len() as u64;
            central += directory(entry, 0, start).len() as u64;
        }
        offset + central + end(entries.len() as u64, central, offset).len() as u64
    }

    /// What comes next when the pending octets are out.
    fn advance(&mut self) -> io::Result<()> {
        if let Some((number, entry)) = self.waiting.pop_front() {
            let content = (self.open)(number)?;
            let header = local(&entry);
            let start = self.offset;
            self.offset += header.len() as u64;
            self.pending = io::Cursor::new(header);
            self.current = Some(Current { left: entry.length, entry, content, checksum: crc32fast::Hasher::new(), start });
        } else if !self.ended {
            self.ended = true;
            let mut octets = std::mem::take(&mut self.central);
            octets.extend(end(self.files, octets.len() as u64, self.offset));
            self.pending = io::Cursor::new(octets);
        }
        Ok(())
    }

    /// The octets of the current file; after the last one, its checksum.
    fn content(&mut self, mut current: Current, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(current.left).unwrap_or(usize::MAX).min(buffer.len());
        let window = buffer.get_mut(..wanted).unwrap_or_default();
        let read = if wanted == 0 { 0 } else { current.content.read(window)? };
        if current.left > 0 && read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        current.checksum.update(window.get(..read).unwrap_or_default());
        current.left -= read as u64;
        self.offset += read as u64;
        if current.left > 0 {
            self.current = Some(current);
            return Ok(read);
        }
        let checksum = current.checksum.finalize();
        let trailer = descriptor(&current.entry, checksum);
        self.offset += trailer.len() as u64;
        self.central.extend(directory(&current.entry, checksum, current.start));
        self.files += 1;
        self.pending = io::Cursor::new(trailer);
        Ok(read)
    }
}

impl Read for Zip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.pending.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if let Some(current) = self.current.take() {
                let read = self.content(current, buffer)?;
                if read > 0 {
                    return Ok(read);
                }
            } else if self.ended {
                return Ok(0);
            } else {
                self.advance()?;
            }
        }
    }
}

/// §4.3.7 local file header.
fn local(entry: &Entry) -> Vec<u8> {
    let large = entry.length >= LARGE;
    let mut octets = Vec::from(0x0403_4b50u32.to_le_bytes());
    octets.extend(version(entry.length).to_le_bytes());
    octets.extend(common(0));
    let size: u32 = if large { u32::MAX } else { 0 };
    octets.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
    octets.extend(name_length(entry).to_le_bytes());
    octets.extend(if large { 20u16 } else { 0 }.to_le_bytes());
    octets.extend(entry.name.as_bytes());
    if large {
        octets.extend(extra(&[0, 0]));
    }
    octets
}

/// §4.3.9 data descriptor.
fn descriptor(entry: &Entry, checksum: u32) -> Vec<u8> {
    let mut octets = [0x0807_4b50u32.to_le_bytes(), checksum.to_le_bytes()].concat();
    for _ in 0..2 {
        match u32::try_from(entry.length) {
            Ok(length) if entry.length < LARGE => octets.extend(length.to_le_bytes()),
            _ => octets.extend(entry.length.to_le_bytes()),
        }
    }
    octets
}

/// §4.3.12 central directory header.
fn directory(entry: &Entry, checksum: u32, start: u64) -> Vec<u8> {
    let mut wide = Vec::new();
    if entry.length >= LARGE {
        wide.extend([entry.length, entry.length]);
    }
    if start >= LARGE {
        wide.push(start);
    }
    let extra = if wide.is_empty() { Vec::new() } else { extra(&wide) };
    let mut octets = Vec::from(0x0201_4b50u32.to_le_bytes());
    // Made by Unix, so that the file's mode below counts.
    octets.extend((3u16 << 8 | 45).to_le_bytes());
    octets.extend(version(entry.length.max(start)).to_le_bytes());
    octets.extend(common(checksum));
    octets.extend([narrow(entry.length).to_le_bytes(), narrow(entry.length).to_le_bytes()].concat());
    octets.extend(name_length(entry).to_le_bytes());
    octets.extend(u16::try_from(extra.len()).unwrap_or_default().to_le_bytes());
    octets.extend([0; 6]);
    octets.extend((0o100_644u32 << 16).to_le_bytes());
    octets.extend(narrow(start).to_le_bytes());
    octets.extend(entry.name.as_bytes());
    octets.extend(extra);
    octets
}

/// §4.3.14 to §4.3.16: the ends of the central directory.
fn end(files: u64, central: u64, offset: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    if files >= u64::from(u16::MAX) || central >= LARGE || offset >= LARGE {
        octets.extend(0x0606_4b50u32.to_le_bytes());
        octets.extend(44u64.to_le_bytes());
        octets.extend([45u16.to_le_bytes(), 45u16.to_le_bytes()].concat());
        octets.extend([0; 8]);
        for value in [files, files, central, offset] {
            octets.extend(value.to_le_bytes());
        }
        octets.extend([0x0706_4b50u32.to_le_bytes(), [0; 4]].concat());
        octets.extend((offset + central).to_le_bytes());
        octets.extend(1u32.to_le_bytes());
    }
    let count = u16::try_from(files).unwrap_or(u16::MAX);
    octets.extend([0x0605_4b50u32.to_le_bytes(), [0; 4]].concat());
    octets.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    octets.extend([narrow(central).to_le_bytes(), narrow(offset).to_le_bytes()].concat());
    octets.extend([0; 2]);
    octets
}

/// Flags, method, time, date, checksum.
fn common(checksum: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    for value in [FLAGS, STORED, 0, DATE] {
        octets.extend(value.to_le_bytes());
    }
    octets.extend(checksum.to_le_bytes());
    octets
}

/// §4.5.3 zip64 extended information.
fn extra(values: &[u64]) -> Vec<u8> {
    let length = u16::try_from(values.len() * 8).unwrap_or_default();
    let mut octets = [1u16.to_le_bytes(), length.to_le_bytes()].concat();
    for value in values {
        octets.extend(value.to_le_bytes());
    }
    octets
}

fn narrow(value: u64) -> u32 {
    if value >= LARGE { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) }
}

/// §4.4.3: what a reader must understand for a value of this size.
const fn version(largest: u64) -> u16 {
    if largest >= LARGE { 45 } else { 20 }
}

fn name_length(entry: &Entry) -> u16 {
    u16::try_from(entry.name.len()).unwrap_or(u16::MAX)
}

/// From here on a 32-bit field says "look in the zip64 field".
const LARGE: u64 = 0xffff_ffff;
/// Bit 3: sizes and checksum follow. Bit 11: the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const STORED: u16 = 0;
/// 1980-01-01: what the archive's files were last changed is not known to us.
const DATE: u16 = 1 << 5 | 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, Vec<u8>)]) -> (Vec<Entry>, Zip) {
        let entries: Vec<Entry> =
            files.iter().map(|(name, content)| Entry { name: (*name).to_owned(), length: content.len() as u64 }).collect();
        let contents: Vec<Vec<u8>> = files.iter().map(|(_, content)| content.clone()).collect();
        let open: Opener = Box::new(move |number| Ok(Box::new(io::Cursor::new(contents[number].clone())) as Box<dyn Read + Send>));
        (entries.clone(), Zip::new(entries, open))
    }

    #[test]
    fn what_goes_in_comes_out_and_the_length_was_known() {
        let files = [("tom.txt", Vec::new()), ("år 1.txt", b"hej".to_vec()), ("big.bin", vec![7; 300_000])];
        let (entries, mut zip) = archive(&files);
        let mut octets = Vec::new();
        zip.read_to_end(&mut octets).unwrap();
        assert_eq!(octets.len() as u64, Zip::length(&entries));
        let mut reader = ::zip::ZipArchive::new(io::Cursor::new(octets)).unwrap();
        assert_eq!(reader.len(), files.len());
        for (name, content) in &files {
            let mut read = Vec::new();
            reader.by_name(name).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(&read, content, "{name}");
        }
    }

    #[test]
    fn a_file_that_ends_too_soon_is_an_error_and_not_a_short_archive() {
        let entries = vec![Entry { name: "a".into(), length: 10 }];
        let open: Opener = Box::new(|_| Ok(Box::new(io::Cursor::new(vec![1u8; 9])) as Box<dyn Read + Send>));
        let mut octets = Vec::new();
        assert!(Zip::new(entries, open).read_to_end(&mut octets).is_err());
    }

    #[test]
    fn lengths_beyond_32_bits_are_right() {
        let entries: Vec<Entry> = (0..3).map(|n| Entry { name: format!("{n}"), length: 5_000_000_000 }).collect();
        let open: Opener = Box::new(|_| Ok(Box::new(io::repeat(0).take(5_000_000_000)) as Box<dyn Read + Send>));
        let expect = Zip::length(&entries);
        assert_eq!(expect, 3 * (30 + 1 + 20 + 5_000_000_000 + 24) + (46 + 1 + 20) + 2 * (46 + 1 + 28) + 56 + 20 + 22);
        let mut zip = Zip::new(entries, open);
        let mut first = [0; 51];
        zip.read_exact(&mut first).unwrap();
        assert_eq!(&first[18..26], &[0xff; 8]);
    }
}
