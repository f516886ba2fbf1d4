//! Where a line ends, where a message ends, and which dots are doubled: in both directions.
//!
//! Lines end with CRLF and with nothing else; a message ends with exactly CRLF `.` CRLF. A CR, LF
//! or NUL anywhere else is an error and never repaired: a gateway that turns a stray LF into
//! CRLF makes the smuggled end of a message real. What two readers could read in two ways is
//! neither taken nor sent.
//!
//! Work is done by runs between interesting octets, not octet by octet: a message without
//! leading dots is copied once, in large pieces.
//!
//! RFC 5321 §2.3.8, §4.1.1.4, §4.5.2.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2, memchr3};

/// A CR, LF or NUL where none may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bare;

/// What the input holds of a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Not its end.
    Partial,
    /// All of it, without CRLF.
    Whole(Bytes),
    /// More octets than any line of this kind has.
    TooLong,
    /// It ends with something else than CRLF, or holds a CR or NUL.
    Bare,
}

/// Takes one line of at most `max` octets (with CRLF) off the front of the input.
pub fn take_line(input: &mut BytesMut, max: usize) -> Line {
    let Some(end) = memchr(b'\n', input) else {
        return if input.len() >= max { Line::TooLong } else { Line::Partial };
    };
    if end >= max {
        return Line::TooLong;
    }
    let mut line = input.split_to(end + 1).freeze();
    line.truncate(end);
    if !line.ends_with(b"\r") {
        return Line::Bare;
    }
    line.truncate(end - 1);
    match memchr2(b'\r', 0, &line) {
        Some(_) => Line::Bare,
        None => Line::Whole(line),
    }
}

/// Whether the message goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Feed more.
    Going,
    /// The final dot is behind us; what is left in the input comes after the message.
    Ended,
}

/// Reads one message out of what follows 354.
#[derive(Debug, Default)]
pub struct DataReader {
    /// Octets of the current line so far, without dots that were taken away; zero at its start.
    line: usize,
    /// Octets of the longest line.
    longest: usize,
}

impl DataReader {
    /// Takes all that is certain off the front of the input and gives it to `keep`, dots unstuffed.
    /// At most two octets stay back: a CR or dot whose meaning the next octets decide.
    pub fn read(&mut self, input: &mut BytesMut, mut keep: impl FnMut(&[u8])) -> Result<Progress, Bare> {
        loop {
            if self.line == 0 {
                match leading_dot(input)? {
                    Dot::Undecided => return Ok(Progress::Going),
                    Dot::Final => {
                        input.advance(FINAL_DOT.len());
                        return Ok(Progress::Ended);
                    }
                    // RFC 5321 §4.5.2: the dot goes, the rest of the line stays.
                    Dot::Stuffed => input.advance(1),
                    Dot::None => {}
                }
            }
            let run = self.scan(input)?;
            let Some(kept) = input.get(..run).filter(|kept| !kept.is_empty()) else { return Ok(Progress::Going) };
            keep(kept);
            input.advance(run);
        }
    }

    /// Octets of the longest line so far, without CRLF.
    pub fn longest_line(&self) -> usize {
        self.longest.max(self.line)
    }

    /// How many octets are certain: up to the next line that begins with a dot, or to an undecided end.
    fn scan(&mut self, input: &[u8]) -> Result<usize, Bare> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(hit) = memchr3(b'\r', b'\n', 0, rest) else {
                self.line += rest.len();
                return Ok(input.len());
            };
            match (rest.get(hit), rest.get(hit + 1)) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.line += hit;
                    return Ok(at + hit);
                }
                _ => return Err(Bare),
            }
            self.longest = self.longest.max(self.line + hit);
            self.line = 0;
            at += hit + 2;
            if matches!(rest.get(hit + 2), None | Some(b'.')) {
                return Ok(at);
            }
        }
    }
}

/// What a dot at the start of a line is.
enum Dot {
    None,
    Stuffed,
    Final,
    Undecided,
}

fn leading_dot(input: &[u8]) -> Result<Dot, Bare> {
    match input {
        [] | [b'.'] | [b'.', b'\r'] => Ok(Dot::Undecided),
        [b'.', b'\r', b'\n', ..] => Ok(Dot::Final),
        [b'.', b'\r' | b'\n' | 0, ..] => Err(Bare),
        [b'.', ..] => Ok(Dot::Stuffed),
        _ => Ok(Dot::None),
    }
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsendable {
    /// A CR, LF or NUL outside of CRLF: the peer might see another message in it.
    Bare,
    /// A line over [`LINE_MAX`].
    LineTooLong,
}

/// Writes one message as it goes over the wire, dots stuffed.
#[derive(Debug, Default)]
pub struct CrlfWriter {
    line: usize,
    /// The last piece ended with a CR, whose LF must come first in the next.
    open: bool,
}

impl CrlfWriter {
    /// Appends the next piece of the message to `out`; a piece may end anywhere.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.open {
                rest = rest.strip_prefix(b"\n").ok_or(Unsendable::Bare)?;
                out.push(b'\n');
                (self.open, self.line) = (false, 0);
                continue;
            }
            // RFC 5321 §4.5.2: a line that begins with a dot gets one more.
            if self.line == 0 && rest.starts_with(b".") {
                out.push(b'.');
            }
            let stop = memchr3(b'\r', b'\n', 0, rest);
            let (run, tail) = rest.split_at(stop.unwrap_or(rest.len()));
            self.line += run.len();
            if self.line > LINE_MAX {
                return Err(Unsendable::LineTooLong);
            }
            out.extend_from_slice(run);
            rest = match tail {
                [] => tail,
                [b'\r', after @ ..] => {
                    out.push(b'\r');
                    self.open = true;
                    after
                }
                _ => return Err(Unsendable::Bare),
            };
        }
        Ok(())
    }

    /// Appends what the dot needs before it, the dot, and its CRLF.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if self.open {
            return Err(Unsendable::Bare);
        }
        // A message whose last line has no end gets one: without it there is no final dot.
        if self.line > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(FINAL_DOT);
        Ok(())
    }
}

/// The line that ends a message.
const FINAL_DOT: &[u8] = b".\r\n";
/// RFC 5321 §4.5.3.1.6, less CRLF; RFC 5322 §2.1.1.
pub const LINE_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the pieces one after the other, as they come from a socket.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, usize), Option<Bare>> {
        let (mut reader, mut input, mut message) = (DataReader::default(), BytesMut::new(), Vec::new());
        let mut pieces = pieces.iter();
        loop {
            match reader.read(&mut input, |run| message.extend_from_slice(run)).map_err(Some)? {
                Progress::Ended => break,
                Progress::Going => input.extend_from_slice(pieces.next().ok_or(None)?),
            }
        }
        input.extend_from_slice(&pieces.copied().collect::<Vec<_>>().concat());
        Ok((message, input.to_vec(), reader.longest_line()))
    }

    fn write(pieces: &[&[u8]]) -> Result<Vec<u8>, Unsendable> {
        let (mut writer, mut out) = (CrlfWriter::default(), Vec::new());
        for piece in pieces {
            writer.write(piece, &mut out)?;
        }
        writer.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn a_message_ends_with_exactly_one_sequence() {
        for (wire, message, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..\r\n...\r\n.\r\n", b".\r\n..\r\n", b""),
            (b".a\r\n.\r\n", b"a\r\n", b""),
            (b"\r\n .\r\n.\r\n", b"\r\n .\r\n", b""),
            (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", b".\r\n"),
        ] {
            let whole = read(&[wire]).unwrap();
            assert_eq!((whole.0.as_slice(), whole.1.as_slice()), (message, rest), "{wire:?}");
        }
    }

    #[test]
    fn nothing_else_ends_a_message_nor_passes_as_text() {
        for form in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\r",
            "\r\n.\n",
            "\r\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\n.\r",
            "\r\n.\r\r\n",
        ] {
            let wire = format!("a{form}MAIL FROM:<x@example.org>\r\n.\r\n");
            assert_eq!(read(&[wire.as_bytes()]), Err(Some(Bare)), "{form:?}");
        }
    }

    #[test]
    fn a_message_without_its_dot_does_not_end() {
        for wire in ["", "a", "a\r", "a\r\n", "a\r\n.", "a\r\n.\r", ".", "a."] {
            assert_eq!(read(&[wire.as_bytes()]), Err(None), "{wire:?}");
        }
    }

    #[test]
    fn what_is_not_decided_is_never_much() {
        let (mut reader, mut input) = (DataReader::default(), BytesMut::from(vec![b'x'; 1 << 20].as_slice()));
        input.extend_from_slice(b"\r");
        assert_eq!(reader.read(&mut input, |_| {}), Ok(Progress::Going));
        assert_eq!((input.len(), reader.longest_line()), (1, 1 << 20));
    }

    #[test]
    fn the_writer_refuses_what_a_reader_could_misread() {
        for (message, expect) in [
            (&[&b"a\r\n"[..]][..], Ok(&b"a\r\n.\r\n"[..])),
            (&[b""], Ok(b".\r\n")),
            (&[b"a"], Ok(b"a\r\n.\r\n")),
            (&[b".\r", b"\n", b".", b".\r\n"], Ok(b"..\r\n...\r\n.\r\n")),
            (&[b"a\n"], Err(Unsendable::Bare)),
            (&[b"a\r", b"b"], Err(Unsendable::Bare)),
            (&[b"a\r"], Err(Unsendable::Bare)),
            (&[b"a\0b"], Err(Unsendable::Bare)),
            (&[&[b'x'; 998], b"\r\n"], Ok(&[&[b'x'; 998][..], b"\r\n.\r\n"].concat())),
            (&[&[b'x'; 998], b"x\r\n"], Err(Unsendable::LineTooLong)),
        ] {
            assert_eq!(write(message), expect.map(<[u8]>::to_vec), "{message:?}");
        }
    }

    #[test]
    fn a_line_is_whole_partial_too_long_or_wrong() {
        for (input, expect) in [
            ("NOOP\r\nQUIT\r\n", Line::Whole(Bytes::from_static(b"NOOP"))),
            ("\r\n", Line::Whole(Bytes::new())),
            ("NOOP\r", Line::Partial),
            ("NOOP\n", Line::Bare),
            ("NO\rOP\r\n", Line::Bare),
            ("NO\0OP\r\n", Line::Bare),
            ("\n", Line::Bare),
            ("12345678\r\n", Line::Whole(Bytes::from_static(b"12345678"))),
            ("123456789\r\n", Line::TooLong),
            ("1234567890", Line::TooLong),
        ] {
            assert_eq!(take_line(&mut BytesMut::from(input), 10), expect, "{input:?}");
        }
    }

    /// Wire octets in which everything that matters is frequent.
    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![6 => Just(&b"\r\n"[..]), 3 => Just(&b"."[..]), 6 => Just(&b"ab"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\r\n.\r\n"[..])];
        prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
    }

    /// A message as it may be: lines with CRLF, dots anywhere.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec("[.a-c ]{0,6}", 0..12)
            .prop_map(|lines| lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect())
    }

    proptest! {
        #[test]
        fn however_it_is_split_it_reads_the_same(wire in tricky(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([wire.len()]) {
                pieces.push(&wire[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(&pieces), read(&[&wire]));
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            prop_assert_eq!(read(&octets), read(&[&wire]));
        }

        #[test]
        fn what_is_written_reads_back(message in message(), cut in any::<prop::sample::Index>()) {
            let (head, tail) = message.split_at(cut.index(message.len() + 1));
            let wire = write(&[head, tail]).unwrap();
            let (read, rest, _) = read(&[&wire]).unwrap();
            prop_assert_eq!(read, message);
            prop_assert!(rest.is_empty());
        }
    }
}
