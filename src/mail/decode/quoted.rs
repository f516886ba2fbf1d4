//! quoted-printable as a stream. RFC 2045 §6.7.

use std::io;

use bytes::Bytes;

use super::hex_pair;

/// Decodes quoted-printable; an equals sign that means nothing stays as it is.
pub(super) struct Reader {
    body: Bytes,
    at: usize,
    /// Up to here every octet stands for itself.
    plain: usize,
    ready: Vec<u8>,
    given: usize,
}

impl Reader {
    pub const fn new(body: Bytes) -> Self {
        Self { body, at: 0, plain: 0, ready: Vec::new(), given: 0 }
    }

    /// Decodes the next stretch of the body.
    fn refill(&mut self) {
        self.given = 0;
        self.ready.clear();
        while self.ready.len() < STRETCH && self.at < self.body.len() {
            if self.at < self.plain {
                let end = self.plain.min(self.at + STRETCH);
                self.ready.extend_from_slice(self.body.get(self.at..end).unwrap_or_default());
                self.at = end;
            } else {
                self.step();
            }
        }
    }

    /// Looks for what does not stand for itself, and undoes it where it is found at once.
    fn step(&mut self) {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let mark = memchr::memchr2(b'=', b'\n', rest);
        let (before, from) = rest.split_at_checked(mark.unwrap_or(rest.len())).unwrap_or_default();
        if from.starts_with(b"=") {
            match before {
                [] => self.escape(),
                _ => self.plain = self.at + before.len(),
            }
            return;
        }
        let line = if from.is_empty() { before } else { before.strip_suffix(b"\r").unwrap_or(before) };
        // Rule 3: white space at the end of a line was added on the way.
        let blanks = line.iter().rev().take_while(|octet| is_blank(**octet)).count();
        match line.len() - blanks {
            0 if blanks > 0 => self.at += blanks,
            shown if blanks > 0 => self.plain = self.at + shown,
            _ => self.plain = self.at + before.len() + from.len().min(1),
        }
    }

    /// What stands for an octet, or hides the end of a line.
    fn escape(&mut self) {
        let after = self.body.get(self.at + 1..).unwrap_or_default();
        let blanks = after.iter().take_while(|octet| is_blank(**octet)).count();
        if let Some(value) = hex_pair(after) {
            self.ready.push(value);
            self.at += 3;
        } else if let Some(ending) = line_end(after.get(blanks..).unwrap_or_default()) {
            self.at += 1 + blanks + ending;
        } else {
            self.ready.push(b'=');
            self.at += 1;
        }
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.ready.len() {
            self.refill();
        }
        let mut left = self.ready.get(self.given..).unwrap_or_default();
        let count = left.read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// The length of the line end that stands here; the end of the body is one too.
fn line_end(text: &[u8]) -> Option<usize> {
    match text {
        [] => Some(0),
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// How much is decoded at once: fits the first cache together with its result.
const STRETCH: usize = 16 * 1024;
