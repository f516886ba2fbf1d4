//! The strict structural scanner: fields, boundaries, encodings, by one reading only.
//!
//! Whatever two mail readers could understand differently is named as an [`Ambiguity`]; mail
//! of ordinary clients has none. It decides nothing: policy says what becomes of such mail.
//! It copies no body and looks at each octet a fixed number of times, whatever the nesting.
//!
//! Of two readings it follows the one that shows more: a line after the closing delimiter still
//! opens a part, a field after nonsense is still a field. What only *we* see does no harm.
//!
//! RFC 2045, RFC 2046 §5.1, RFC 5322 §2.2.

mod body;
mod header;
pub(super) mod parameters;
mod part;

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::{Part, PartId};

/// A reason why two readers could see two messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// Where.
    pub part: PartId,
    /// In plain words, lower case: `two Content-Type fields`.
    pub reason: &'static str,
}

/// The tree of parts and what is ambiguous about it.
pub fn scan(bytes: &Bytes) -> (Part, Vec<Ambiguity>) {
    let mut doubts = Doubts::default();
    body::line_ends(bytes, &mut doubts);
    let mut walk = Walk::begin(bytes, doubts);
    while let Some(delimiter) = walk.next_delimiter() {
        if !walk.cross(&delimiter) {
            break;
        }
    }
    walk.end()
}

/// The ambiguities found so far: each reason once a part, and no more than anybody will read.
#[derive(Default)]
struct Doubts {
    found: Vec<Ambiguity>,
}

impl Doubts {
    fn add(&mut self, part: PartId, reason: &'static str) {
        let known = self.found.iter().rev().any(|doubt| doubt.part == part && doubt.reason == reason);
        if !known && self.found.len() < DOUBTS_MAX {
            self.found.push(Ambiguity { part, reason });
        }
    }
}

/// What a part is inside of, as far as its own reading depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// It is the message, or the message inside a message/rfc822.
    Nothing,
    /// A multipart.
    Multipart,
    /// A multipart/digest, where a part is a message unless it says otherwise. RFC 2046 §5.1.5.
    Digest,
}

/// A part whose end has not been reached.
struct Open {
    part: Part,
    /// Without the two hyphens; none for what is not a readable multipart.
    boundary: Option<Vec<u8>>,
    /// How far the delimiters have come.
    progress: Progress,
    /// Where the preamble or the epilogue begins.
    outside: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Preamble,
    Parts,
    Closed,
}

/// A delimiter line of one of the open multiparts. RFC 2046 §5.1.1.
struct Delimiter {
    /// Which one: 0 is the root.
    level: usize,
    /// Where the content before it ends: the CRLF before the line belongs to the delimiter.
    content_end: usize,
    /// Where the line after it begins.
    after: usize,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Yes,
    No,
}

/// The walk through the octets, with the parts that are open at this place.
struct Walk<'a> {
    bytes: &'a Bytes,
    root: Open,
    inner: Vec<Open>,
    /// Where the next line begins.
    at: usize,
    count: u32,
    doubts: Doubts,
    finder: Finder<'static>,
}

impl<'a> Walk<'a> {
    fn begin(bytes: &'a Bytes, mut doubts: Doubts) -> Self {
        let fields = header::read(bytes, 0, |_| false);
        let at = fields.body;
        let root = part::open(part::Beginning { bytes, id: PartId(0), start: 0, within: Within::Nothing }, fields, &mut doubts);
        let mut walk = Self { bytes, root, inner: Vec::new(), at, count: 1, doubts, finder: Finder::new(b"\n--") };
        walk.descend();
        walk
    }

    /// Opens the message inside a message, as deep as they go.
    fn descend(&mut self) {
        loop {
            let Open { part, .. } = self.innermost();
            let id = part.id;
            if !(part.is_message() && part.encoding == super::TransferEncoding::Identity) {
                if part.is_multipart() && self.depth() > DEPTH_MAX {
                    self.innermost_mut().boundary = None;
                    self.doubts.add(id, "parts nested too deeply");
                }
                return;
            }
            if self.depth() > DEPTH_MAX {
                self.doubts.add(id, "parts nested too deeply");
                return;
            }
            if !self.open(Within::Nothing) {
                return;
            }
        }
    }

    /// Opens a part at the current place; false when there are too many.
    fn open(&mut self, within: Within) -> bool {
        if self.count >= PARTS_MAX {
            let id = self.innermost().part.id;
            self.doubts.add(id, "too many parts");
            return false;
        }
        let start = self.at;
        let fields = header::read(self.bytes, start, |line| self.delimits(line).is_some());
        self.at = fields.body;
        let beginning = part::Beginning { bytes: self.bytes, id: PartId(self.count), start, within };
        self.count += 1;
        let open = part::open(beginning, fields, &mut self.doubts);
        if open.boundary.as_deref().is_some_and(|boundary| self.begins_alike(boundary)) {
            self.doubts.add(open.part.id, "a boundary that begins like one around it");
        }
        self.inner.push(open);
        true
    }

    /// The next line that is a delimiter of an open multipart.
    fn next_delimiter(&mut self) -> Option<Delimiter> {
        if self.open_parts().all(|open| open.boundary.is_none()) {
            return None;
        }
        let mut line = self.at;
        loop {
            let here = self.bytes.get(line..)?;
            if here.starts_with(b"--") {
                let end = header::line_end(here);
                let text = here.get(..end).unwrap_or_default();
                if let Some((level, closing)) = self.delimits(text) {
                    let content_end = line - ending_before(self.bytes, line);
                    return Some(Delimiter { level, content_end, after: line + end, closing });
                }
                self.doubt_near_miss(text);
                line += 2;
            }
            line += self.finder.find(self.bytes.get(line..)?)? + 1;
        }
    }

    /// Crosses a delimiter: ends what it ends, opens what it opens. False when no more can be opened.
    fn cross(&mut self, delimiter: &Delimiter) -> bool {
        self.close_above(delimiter.level, delimiter.content_end);
        self.at = delimiter.after;
        let open = self.inner.last_mut().unwrap_or(&mut self.root);
        let (id, progress) = (open.part.id, open.progress);
        let outside = open.outside..delimiter.content_end.max(open.outside);
        let digest = open.part.media_type.subtype == "digest";
        match progress {
            Progress::Preamble => body::outside(self.bytes, outside, |reason| self.doubts.add(id, reason)),
            Progress::Closed => self.doubts.add(id, "a delimiter after the closing delimiter"),
            Progress::Parts => {}
        }
        if delimiter.closing == Closing::Yes {
            open.progress = Progress::Closed;
            open.outside = delimiter.after;
            return true;
        }
        open.progress = Progress::Parts;
        if !self.open(if digest { Within::Digest } else { Within::Multipart }) {
            return false;
        }
        self.descend();
        true
    }

    /// Ends every part that is deeper than `level`; tells where the last of them ended. A header that a delimiter
    /// cuts off keeps the line end before it, and so does whatever it stands in.
    fn close_above(&mut self, level: usize, content_end: usize) -> usize {
        let mut end = content_end;
        while self.inner.len() > level {
            let Some(open) = self.inner.pop() else { break };
            let part = close(self.bytes, open, end, &mut self.doubts);
            end = end.max(part.span.end);
            self.innermost_mut().part.children.push(part);
        }
        end
    }

    fn end(mut self) -> (Part, Vec<Ambiguity>) {
        let end = self.close_above(0, self.bytes.len());
        let root = close(self.bytes, self.root, end, &mut self.doubts);
        (root, self.doubts.found)
    }

    /// Which open multipart the line delimits, the innermost first.
    fn delimits(&self, line: &[u8]) -> Option<(usize, Closing)> {
        let text = line.strip_prefix(b"--")?;
        let levels = self.inner.len();
        let innermost_first = self.inner.iter().rev().chain(std::iter::once(&self.root)).enumerate();
        innermost_first.into_iter().find_map(|(above, open)| {
            let rest = text.strip_prefix(open.boundary.as_deref()?)?;
            let (rest, closing) = rest.strip_prefix(b"--").map_or((rest, Closing::No), |rest| (rest, Closing::Yes));
            // RFC 2046 §5.1.1: transport-padding, which every reader skips.
            rest.iter().all(u8::is_ascii_whitespace).then_some((levels - above, closing))
        })
    }

    /// Whether a new boundary and one of the open ones begin alike, whichever is the longer: to a reader
    /// that compares only as many octets as its own boundary has, one delimits what the other does.
    fn begins_alike(&self, boundary: &[u8]) -> bool {
        let mut around = self.open_parts().filter_map(|open| open.boundary.as_deref());
        around.any(|outer| outer.starts_with(boundary) || boundary.starts_with(outer))
    }

    /// RFC 2046 §5.1.2 lets a reader compare only the beginning of the line, so a line that begins
    /// with a delimiter is one to some readers.
    fn doubt_near_miss(&mut self, line: &[u8]) {
        let Some(text) = line.strip_prefix(b"--") else { return };
        let begins = |open: &&Open| open.boundary.as_deref().is_some_and(|boundary| text.starts_with(boundary));
        let found = self.open_parts().find(begins).map(|open| open.part.id);
        if let Some(id) = found {
            self.doubts.add(id, "a line that only begins like a delimiter");
        }
    }

    fn open_parts(&self) -> impl Iterator<Item = &Open> {
        std::iter::once(&self.root).chain(&self.inner)
    }

    fn innermost(&self) -> &Open {
        self.inner.last().unwrap_or(&self.root)
    }

    fn innermost_mut(&mut self) -> &mut Open {
        self.inner.last_mut().unwrap_or(&mut self.root)
    }

    fn depth(&self) -> usize {
        self.inner.len() + 1
    }
}

/// A part that ends at `end`, with what only its whole body tells.
fn close(bytes: &Bytes, open: Open, end: usize, doubts: &mut Doubts) -> Part {
    let Open { mut part, boundary, progress, outside } = open;
    let id = part.id;
    let end = end.max(part.body.start);
    part.span.end = end;
    part.body.end = end;
    match progress {
        Progress::Preamble if boundary.is_some() => doubts.add(id, "a multipart whose boundary never appears"),
        // Readers that look only for the innermost delimiter miss the outer one, and some give the
        // last part undecoded when nothing ends it.
        Progress::Parts => doubts.add(id, "a multipart that is never closed"),
        Progress::Closed => body::outside(bytes, clamp(outside, end), |reason| doubts.add(id, reason)),
        Progress::Preamble => {}
    }
    if boundary.is_some() && progress == Progress::Closed && part.children.is_empty() {
        doubts.add(id, "a multipart without parts");
    }
    if part.children.is_empty() {
        body::leaf(bytes, &part, |reason| doubts.add(id, reason));
    }
    part
}

fn clamp(start: usize, end: usize) -> Range<usize> {
    start..end.max(start)
}

/// How many octets of line end stand before `at`.
fn ending_before(bytes: &[u8], at: usize) -> usize {
    match bytes.get(..at).unwrap_or_default() {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Deeper than any forward of a forward; a thousand levels are somebody's attack.
const DEPTH_MAX: usize = 20;
/// A digest of a busy list has two hundred.
const PARTS_MAX: u32 = 1_000;
/// One is enough to decide; more help the person who looks.
const DOUBTS_MAX: usize = 100;

#[cfg(test)]
mod tests;
