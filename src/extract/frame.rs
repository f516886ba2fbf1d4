//! What goes through the pipes between gateway and worker.
//!
//! The worker is taken for hostile: every length is bounded before anything is kept, text must be
//! UTF-8, and an answer must carry the number of the job that was asked.
//!
//! ```text
//! job      u64 number, u32 length, name, u32 length, declared type, u64 length, content
//! answer   frames of: u8 tag, u32 length, body.  Integers are little-endian.
//!          'p' place, text   'n' place   't' type   'u' u8 reason, place   'e' u64 number
//! place    u8 count, then each: u16 length, UTF-8
//! ```

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::{Extracted, Passage, Unread, Why};

/// One attachment for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Given back in the answer.
    pub number: u64,
    /// The file name.
    pub name: String,
    /// The type that the mail gives it.
    pub declared: String,
    /// Its octets.
    pub content: Bytes,
}

impl Job {
    /// Writes the job.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.number.to_le_bytes())?;
        for text in [&self.name, &self.declared] {
            to.write_all(&length(text.len())?.to_le_bytes())?;
            to.write_all(text.as_bytes())?;
        }
        to.write_all(&(self.content.len() as u64).to_le_bytes())?;
        to.write_all(&self.content)?;
        to.flush()
    }

    /// Reads the next job; none at the end of the stream.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0; 1];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let mut number = [0; 8];
        from.read_exact(number.get_mut(1..).unwrap_or_default())?;
        if let Some(octet) = number.first_mut() {
            *octet = first.first().copied().unwrap_or_default();
        }
        let name = text(from)?;
        let declared = text(from)?;
        let length = u64::from_le_bytes(array(from)?);
        let content = octets(from, length)?.into();
        Ok(Some(Self { number: u64::from_le_bytes(number), name, declared, content }))
    }
}

/// Writes an answer to a job.
pub fn answer(number: u64, found: &Extracted, to: &mut impl Write) -> io::Result<()> {
    for media in &found.types {
        frame(to, b't', &[media.as_bytes()])?;
    }
    for name in &found.names {
        frame(to, b'n', &[&place_octets(name)])?;
    }
    for passage in &found.passages {
        frame(to, b'p', &[&place_octets(&passage.place), passage.text.as_bytes()])?;
    }
    for unread in &found.unread {
        frame(to, b'u', &[&[reason(unread.why)], &place_octets(&unread.place)])?;
    }
    frame(to, b'e', &[&number.to_le_bytes()])?;
    to.flush()
}

/// Reads the answer to a job; anything odd is an error, and the worker is not used again.
pub fn read_answer(number: u64, from: &mut impl Read) -> io::Result<Extracted> {
    let mut found = Extracted::default();
    let mut total = 0_usize;
    for _ in 0..FRAMES_MAX {
        let [tag] = array(from)?;
        let length = u32::from_le_bytes(array(from)?);
        total = total.saturating_add(length as usize);
        if total > ANSWER_MAX {
            return Err(odd("an answer over its limit"));
        }
        let body = octets(from, length.into())?;
        match tag {
            b't' => found.types.push(utf8(&body)?),
            b'n' => found.names.push(place(&body)?.0),
            b'p' => {
                let (place, rest) = place(&body)?;
                found.passages.push(Passage { place, text: utf8(rest)? });
            }
            b'u' => {
                let (why, rest) = body.split_first().ok_or_else(|| odd("an empty frame"))?;
                found.unread.push(Unread { why: why_of(*why)?, place: place(rest)?.0 });
            }
            b'e' if body == number.to_le_bytes() => return Ok(found),
            _ => return Err(odd("an unknown frame")),
        }
    }
    Err(odd("too many frames"))
}

fn frame(to: &mut impl Write, tag: u8, body: &[&[u8]]) -> io::Result<()> {
    to.write_all(&[tag])?;
    to.write_all(&length(body.iter().map(|piece| piece.len()).sum())?.to_le_bytes())?;
    body.iter().try_for_each(|piece| to.write_all(piece))
}

/// Cut to what the format holds: a place is for people.
fn place_octets(place: &[String]) -> Vec<u8> {
    let mut octets = Vec::new();
    let shown = place.get(..PLACE_DEPTH).unwrap_or(place);
    octets.push(u8::try_from(shown.len()).unwrap_or(u8::MAX));
    for step in shown {
        let step: String = step.chars().take(STEP_CHARS).collect();
        octets.extend_from_slice(&u16::try_from(step.len()).unwrap_or_default().to_le_bytes());
        octets.extend_from_slice(step.as_bytes());
    }
    octets
}

fn place(body: &[u8]) -> io::Result<(Vec<String>, &[u8])> {
    let short = || odd("a short place");
    let (count, mut rest) = body.split_first().ok_or_else(short)?;
    let mut place = Vec::new();
    for _ in 0..*count {
        let (length, after) = rest.split_at_checked(2).ok_or_else(short)?;
        let length = u16::from_le_bytes(length.try_into().unwrap_or_default());
        let (step, after) = after.split_at_checked(length.into()).ok_or_else(short)?;
        place.push(utf8(step)?);
        rest = after;
    }
    Ok((place, rest))
}

fn text(from: &mut impl Read) -> io::Result<String> {
    let length = u32::from_le_bytes(array(from)?);
    if length as usize > FIELD_MAX {
        return Err(odd("a name over its limit"));
    }
    utf8(&octets(from, length.into())?)
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    from.read_exact(&mut octets)?;
    Ok(octets)
}

/// The buffer grows with what arrives, not with what was announced.
fn octets(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    from.take(length).read_to_end(&mut octets)?;
    if octets.len() as u64 == length { Ok(octets) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn utf8(octets: &[u8]) -> io::Result<String> {
    String::from_utf8(octets.to_vec()).map_err(|_| odd("text that is not UTF-8"))
}

fn length(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| odd("a field over its limit"))
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const fn reason(why: Why) -> u8 {
    match why {
        Why::Opaque => 0,
        Why::Encrypted => 1,
        Why::Damaged => 2,
        Why::Unknown => 3,
        Why::OverBudget => 4,
    }
}

fn why_of(octet: u8) -> io::Result<Why> {
    [Why::Opaque, Why::Encrypted, Why::Damaged, Why::Unknown, Why::OverBudget]
        .into_iter()
        .find(|why| reason(*why) == octet)
        .ok_or_else(|| odd("an unknown reason"))
}

/// Names and types; a header field is at most 64 KiB.
const FIELD_MAX: usize = 64 * 1024;
/// The text budget and as much again for places and names.
const ANSWER_MAX: usize = 2 * super::budget::TEXT_MAX;
/// A sheet of 1,048,576 rows has 52,429 blocks.
const FRAMES_MAX: usize = 1_000_000;
const PLACE_DEPTH: usize = 32;
const STEP_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Extracted {
        Extracted {
            passages: vec![
                Passage { place: vec![], text: "hej å".into() },
                Passage { place: vec!["a.zip".into(), "b".into()], text: "x".into() },
            ],
            names: vec![vec!["a.zip".into()]],
            types: vec!["application/zip".into()],
            unread: vec![Unread { place: vec!["c".into()], why: Why::Encrypted }],
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_given() {
        let mut wire = Vec::new();
        answer(7, &sample(), &mut wire).unwrap();
        assert_eq!(read_answer(7, &mut wire.as_slice()).unwrap(), sample());
        assert!(read_answer(8, &mut wire.as_slice()).is_err(), "the answer to another job");
    }

    #[test]
    fn a_job_comes_back_as_it_was_given() {
        let job = Job { number: 3, name: "å.txt".into(), declared: "text/plain".into(), content: Bytes::from_static(b"abc") };
        let mut wire = Vec::new();
        job.write(&mut wire).unwrap();
        assert_eq!(Job::read(&mut wire.as_slice()).unwrap(), Some(job));
        assert_eq!(Job::read(&mut [].as_slice()).unwrap(), None);
    }

    #[test]
    fn a_hostile_answer_is_an_error_and_costs_nothing() {
        for wire in [
            &b"p\xff\xff\xff\xff"[..],
            b"p\x05\0\0\0\x00\xff\xff\xff\xff",
            b"n\x01\0\0\0\xff",
            b"u\x02\0\0\0\x09\x00",
            b"u\0\0\0\0",
            b"x\0\0\0\0",
            b"t\x01\0\0\0",
            b"",
        ] {
            assert!(read_answer(0, &mut &wire[..]).is_err(), "{wire:?}");
        }
        let endless = b"t\0\0\0\0".repeat(FRAMES_MAX + 1);
        assert!(read_answer(0, &mut endless.as_slice()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_judged(wire in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = (read_answer(0, &mut wire.as_slice()), Job::read(&mut wire.as_slice()));
        }
    }
}
