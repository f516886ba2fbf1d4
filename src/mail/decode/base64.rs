//! base64 as a stream. RFC 2045 §6.8.

use std::io;

use bytes::Bytes;

/// Decodes octets of base64, skips what is none, and goes on after padding.
pub(super) struct Reader {
    body: Bytes,
    at: usize,
    /// Symbols of an unfinished group of four, and how many they are.
    group: u32,
    held: u32,
    ready: Vec<u8>,
    given: usize,
}

impl Reader {
    pub fn new(body: Bytes) -> Self {
        Self { body, at: 0, group: 0, held: 0, ready: Vec::new(), given: 0 }
    }

    /// Decodes the next stretch of the body.
    fn refill(&mut self) {
        self.given = 0;
        self.ready.clear();
        while self.ready.is_empty() && self.at < self.body.len() {
            let stretch = self.body.slice(self.at..self.body.len().min(self.at + STRETCH));
            self.at += stretch.len();
            self.decode(&stretch);
        }
        if self.at >= self.body.len() {
            self.flush();
        }
    }

    fn decode(&mut self, stretch: &[u8]) {
        let mut rest = stretch;
        while !rest.is_empty() {
            if self.held == 0 {
                rest = self.whole_groups(rest);
                if let Some(after) = rest.strip_prefix(b"\r\n") {
                    rest = after;
                    continue;
                }
            }
            let Some((&octet, after)) = rest.split_first() else { return };
            self.symbol(octet);
            rest = after;
        }
    }

    /// The fast road: four symbols at a time, as far as they go.
    fn whole_groups<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let start = self.ready.len();
        self.ready.resize(start + text.len() / 4 * 3, 0);
        let mut groups = 0;
        let targets = self.ready.get_mut(start..).unwrap_or_default().chunks_exact_mut(3);
        for (four, target) in text.chunks_exact(4).zip(targets) {
            let &[a, b, c, d] = four else { break };
            let value = lookup(&FIRST, a) | lookup(&SECOND, b) | lookup(&THIRD, c) | lookup(&FOURTH, d);
            if value & FOREIGN != 0 {
                break;
            }
            let [_, x, y, z] = value.to_be_bytes();
            if let [one, two, three] = target {
                (*one, *two, *three) = (x, y, z);
            }
            groups += 1;
        }
        self.ready.truncate(start + groups * 3);
        text.get(groups * 4..).unwrap_or_default()
    }

    /// The slow road: one octet, whatever it is.
    fn symbol(&mut self, octet: u8) {
        if octet == b'=' {
            return self.flush();
        }
        let value = lookup(&FOURTH, octet);
        if value & FOREIGN != 0 {
            return;
        }
        self.group = self.group << 6 | value;
        self.held += 1;
        if self.held == 4 {
            let [_, x, y, z] = self.group.to_be_bytes();
            self.ready.extend_from_slice(&[x, y, z]);
            (self.group, self.held) = (0, 0);
        }
    }

    /// Gives the whole octets of an unfinished group.
    fn flush(&mut self) {
        let [_, x, y, _] = (self.group << (6 * (4 - self.held.min(4)))).to_be_bytes();
        match self.held {
            2 => self.ready.push(x),
            3 => self.ready.extend_from_slice(&[x, y]),
            _ => {}
        }
        (self.group, self.held) = (0, 0);
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.ready.len() {
            self.refill();
        }
        let left = self.ready.get(self.given..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..count), left.get(..count)) {
            target.copy_from_slice(source);
        }
        self.given += count;
        Ok(count)
    }
}

/// The six bits that a character of base64 stands for. RFC 4648 §4.
#[inline]
pub fn sextet(octet: u8) -> Option<u32> {
    Some(lookup(&FOURTH, octet)).filter(|value| value & FOREIGN == 0)
}

fn lookup(table: &[u32; 256], octet: u8) -> u32 {
    table.get(usize::from(octet)).copied().unwrap_or(FOREIGN)
}

/// How much is decoded at once: fits the first cache together with its result.
const STRETCH: usize = 16 * 1024;
/// Marks what is no symbol; above the 24 bits of a group.
const FOREIGN: u32 = 1 << 24;

static FIRST: [u32; 256] = table(18);
static SECOND: [u32; 256] = table(12);
static THIRD: [u32; 256] = table(6);
static FOURTH: [u32; 256] = table(0);

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table(shift: u32) -> [u32; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [FOREIGN; 256];
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = (value as u32) << shift;
        value += 1;
    }
    table
}
