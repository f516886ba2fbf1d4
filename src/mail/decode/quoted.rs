//! quoted-printable as a stream. RFC 2045 §6.7.

use std::io;

use bytes::Bytes;

use super::hex_pair;

/// Decodes quoted-printable; an equals sign that means nothing stays as it is.
pub(super) struct Reader {
    body: Bytes,
    at: usize,
    /// White space up to here is known to stand inside a line.
    inside: usize,
}

impl Reader {
    pub const fn new(body: Bytes) -> Self {
        Self { body, at: 0, inside: 0 }
    }

    /// The next octet of content.
    fn next(&mut self) -> Option<u8> {
        loop {
            let rest = self.body.get(self.at..)?;
            let (&octet, after) = rest.split_first()?;
            match octet {
                b'=' => {
                    if let Some(value) = hex_pair(after) {
                        self.at += 3;
                        return Some(value);
                    }
                    let blanks = blanks(after);
                    let Some(ending) = line_end(after.get(blanks..).unwrap_or_default()) else {
                        self.at += 1;
                        return Some(b'=');
                    };
                    self.at += 1 + blanks + ending;
                }
                b' ' | b'\t' if self.at >= self.inside => {
                    let blanks = blanks(rest);
                    // Rule 3: white space at the end of a line was added on the way.
                    if line_end(rest.get(blanks..).unwrap_or_default()).is_some() {
                        self.at += blanks;
                    } else {
                        self.inside = self.at + blanks;
                    }
                }
                other => {
                    self.at += 1;
                    return Some(other);
                }
            }
        }
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        for target in buffer {
            let Some(octet) = self.next() else { break };
            *target = octet;
            count += 1;
        }
        Ok(count)
    }
}

/// How many blanks there are at the beginning.
fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count()
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
