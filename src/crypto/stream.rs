//! The chunk format "WXP1": a stream sealed in chunks of 64 KiB, readable from any chunk.
//!
//! Header: `WXP1`, version, suite, log2 of the chunk, reserved, parcel id, part, segment, salt, nonce
//! prefix. Chunk i: XChaCha20-Poly1305 with nonce `prefix ‖ i ‖ final`, associated data
//! `SHA-256(header) ‖ i ‖ final`. No octet leaves before its tag is verified; a stream that ends
//! before its final chunk is [`Broken`](super::Broken).
//!
//! The last chunk is the final one even when it is full, and only a segment without any octet has
//! an empty chunk, so a length has one form. A segment has one uninterrupted writer, so no pair of
//! key and nonce comes twice.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::aead::{Key, NONCE, Sealer, TAG};
use super::{derive, random};

/// Which segment of which part of what: bound into header and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentId {
    /// The parcel, or the spooled body, or the temporary file.
    pub parcel: [u8; 16],
    /// Its part.
    pub part: u32,
    /// The part's segment.
    pub segment: u32,
}

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Octets of plaintext.
    pub length: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
}

/// Seals everything that `plaintext` gives into `out`, under a key derived from `dek`.
pub fn seal(dek: &Key, id: SegmentId, plaintext: &mut dyn Read, out: &mut dyn Write) -> io::Result<Sealed> {
    let header = Header { id, salt: random::array(), prefix: random::array() };
    seal_as(dek, &header, plaintext, out)
}

/// Octets that a plaintext of this length takes sealed.
pub const fn sealed_length(plaintext: u64) -> u64 {
    let chunks = if plaintext == 0 { 1 } else { plaintext.div_ceil(CHUNK as u64) };
    HEADER as u64 + plaintext + chunks * TAG as u64
}

/// Ranged access to sealed octets, wherever they lie.
pub trait ReadAt: Send + Sync {
    /// Fills the buffer from `offset`; an end before that is an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Octets in all.
    fn length(&self) -> u64;
}

/// Sealed octets in memory.
impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let part = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?)).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.len() as u64
    }
}

/// A stretch of something longer: one segment of several that lie behind each other.
pub struct Window {
    /// Where it lies.
    pub whole: Arc<dyn ReadAt>,
    /// Its first octet.
    pub start: u64,
    /// Its octets.
    pub length: u64,
}

impl ReadAt for Window {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let fits = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.length);
        let from = self.start.checked_add(offset).filter(|_| fits).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.whole.read_exact_at(buffer, from)
    }

    fn length(&self) -> u64 {
        self.length
    }
}

/// A reader of plaintext from `start` to `end` (exclusive) of a segment. Every failure is an
/// `io::Error`; plaintext is handed out only after its tag held.
pub fn open(dek: &Key, id: SegmentId, sealed: Box<dyn ReadAt>, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(Segment::open(dek, id, sealed)?.read(range)?))
}

/// A segment whose header was read and is the one asked for.
pub struct Segment {
    sealed: Box<dyn ReadAt>,
    keys: Keys,
    etag: String,
    length: u64,
}

impl Segment {
    /// Reads the header; nothing is decrypted yet.
    pub fn open(dek: &Key, id: SegmentId, sealed: Box<dyn ReadAt>) -> io::Result<Self> {
        let mut octets = [0; HEADER];
        sealed.read_exact_at(&mut octets, 0)?;
        let header = Header::parse(&octets, id)?;
        let length = plain_length(sealed.length()).ok_or_else(broken)?;
        let key = header.key(dek);
        let etag = HEXLOWER.encode(derive::mac(&key, "etag", &[]).get(..ETAG).unwrap_or_default());
        Ok(Self { sealed, keys: Keys::new(&key, &header), etag, length })
    }

    /// Octets of plaintext.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The same for the same sealed octets, and for no others; tells nothing of the content.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The plaintext of a range, end exclusive.
    pub fn read(self, range: Range<u64>) -> io::Result<impl Read + Send + use<>> {
        if range.start > range.end || range.end > self.length {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a range beyond the segment"));
        }
        // An empty segment has its tag too, and whoever reads the end reads it verified.
        let empty = range.is_empty();
        let next = range.start / CHUNK as u64;
        let end = if empty { 0 } else { range.end };
        let mut reader = Reader { segment: self, next, end, chunk: Zeroizing::new(Vec::new()), at: 0, state: Reading::Whole };
        if !empty || reader.segment.length == 0 {
            reader.fetch()?;
        }
        if !empty {
            reader.at = usize::try_from(range.start % CHUNK as u64).map_err(|_| broken())?;
        }
        Ok(reader)
    }
}

struct Reader {
    segment: Segment,
    /// The chunk after the one in the buffer.
    next: u64,
    /// The first octet of the plaintext that is not wanted.
    end: u64,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    state: Reading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Whole,
    /// An error was given; nothing may follow it that looks like an end.
    Failed,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state == Reading::Failed {
            return Err(broken());
        }
        if self.at == self.chunk.len() && self.next * (CHUNK as u64) < self.end {
            self.fetch().inspect_err(|_| self.state = Reading::Failed)?;
        }
        let count = self.chunk.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

impl Reader {
    /// Fetches and verifies the next chunk; cut off behind the range.
    fn fetch(&mut self) -> io::Result<()> {
        let index = self.next;
        let start = index.checked_mul(CHUNK as u64).ok_or_else(broken)?;
        let length = self.segment.length.saturating_sub(start).min(CHUNK as u64);
        let last = if start + length == self.segment.length { Place::Final } else { Place::Middle };
        let octets = usize::try_from(length).map_err(|_| broken())?;
        self.chunk.resize(octets + TAG, 0);
        let offset = HEADER as u64 + start + index * TAG as u64;
        self.segment.sealed.read_exact_at(&mut self.chunk, offset)?;
        let (body, tag) = self.chunk.split_last_chunk_mut::<TAG>().ok_or_else(broken)?;
        self.segment.keys.open(index, last, (body, tag))?;
        let wanted = self.end.saturating_sub(start).min(length);
        self.chunk.truncate(usize::try_from(wanted).map_err(|_| broken())?);
        self.at = 0;
        self.next += 1;
        Ok(())
    }
}

/// Seals under a header that is given; only tests give one that is not random.
fn seal_as(dek: &Key, header: &Header, plaintext: &mut dyn Read, out: &mut dyn Write) -> io::Result<Sealed> {
    let keys = Keys::new(&header.key(dek), header);
    out.write_all(&header.octets())?;
    let mut digest = Sha256::new();
    let mut length = 0_u64;
    let [mut chunk, mut ahead] = [(); 2].map(|()| Zeroizing::new(vec![0_u8; CHUNK]));
    let mut filled = fill(plaintext, &mut chunk)?;
    for index in 0.. {
        // Whether a chunk is the final one is known when nothing follows it.
        let following = if filled < CHUNK { 0 } else { fill(plaintext, &mut ahead)? };
        let place = if following == 0 { Place::Final } else { Place::Middle };
        let body = chunk.get_mut(..filled).unwrap_or_default();
        digest.update(&*body);
        length += filled as u64;
        let tag = keys.seal(index, place, body);
        out.write_all(body)?;
        out.write_all(&tag)?;
        if following == 0 {
            break;
        }
        std::mem::swap(&mut chunk, &mut ahead);
        filled = following;
    }
    Ok(Sealed { length, sha256: digest.finalize().into() })
}

/// Reads until the buffer is full or the stream ends.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Octets of plaintext in so many sealed octets; `None` when no plaintext has that length.
fn plain_length(sealed: u64) -> Option<u64> {
    let body = sealed.checked_sub(HEADER as u64)?;
    let chunks = body.div_ceil((CHUNK + TAG) as u64);
    let plain = body.checked_sub(chunks * TAG as u64)?;
    (sealed_length(plain) == sealed).then_some(plain)
}

struct Header {
    id: SegmentId,
    salt: [u8; 32],
    prefix: [u8; 15],
}

impl Header {
    fn octets(&self) -> Vec<u8> {
        let mut octets = FORMAT.to_vec();
        octets.extend_from_slice(&self.id.parcel);
        octets.extend_from_slice(&self.id.part.to_be_bytes());
        octets.extend_from_slice(&self.id.segment.to_be_bytes());
        octets.extend_from_slice(&self.salt);
        octets.extend_from_slice(&self.prefix);
        octets
    }

    fn parse(octets: &[u8; HEADER], id: SegmentId) -> io::Result<Self> {
        let (format, rest) = octets.split_first_chunk::<8>().ok_or_else(broken)?;
        if format != FORMAT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a segment of version 1, suite 1"));
        }
        let (salt, prefix) = rest.get(24..).and_then(|rest| rest.split_first_chunk::<32>()).ok_or_else(broken)?;
        let header = Self { id, salt: *salt, prefix: prefix.try_into().map_err(|_| broken())? };
        if header.octets() == octets { Ok(header) } else { Err(broken()) }
    }

    fn key(&self, dek: &Key) -> Key {
        let SegmentId { parcel, part, segment } = self.id;
        derive::octets(dek.expose(), Some(&self.salt), ("segment", &[&parcel, &part.to_be_bytes(), &segment.to_be_bytes()]))
    }
}

#[derive(Clone, Copy)]
enum Place {
    Middle = 0,
    Final = 1,
}

/// Key, nonce prefix and header digest: all that the chunks of a segment share.
struct Keys {
    sealer: Sealer,
    prefix: [u8; 15],
    header: [u8; 32],
}

impl Keys {
    fn new(key: &Key, header: &Header) -> Self {
        Self { sealer: Sealer::new(key), prefix: header.prefix, header: Sha256::digest(header.octets()).into() }
    }

    fn seal(&self, index: u64, place: Place, body: &mut [u8]) -> [u8; TAG] {
        let (nonce, associated) = self.position(index, place);
        self.sealer.seal(&nonce, &associated, body)
    }

    fn open(&self, index: u64, place: Place, body: (&mut [u8], &[u8; TAG])) -> io::Result<()> {
        let (nonce, associated) = self.position(index, place);
        self.sealer.open(&nonce, &associated, body).map_err(|_| broken())
    }

    fn position(&self, index: u64, place: Place) -> ([u8; NONCE], [u8; 41]) {
        let at: Vec<u8> = index.to_be_bytes().into_iter().chain([place as u8]).collect();
        let mut nonce = [0; NONCE];
        let mut associated = [0; 41];
        for (to, from) in nonce.iter_mut().zip(self.prefix.iter().chain(&at)) {
            *to = *from;
        }
        for (to, from) in associated.iter_mut().zip(self.header.iter().chain(&at)) {
            *to = *from;
        }
        (nonce, associated)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "sealed octets that do not open")
}

/// Magic, version 1, suite 1 (XChaCha20-Poly1305, HKDF-SHA256), chunks of 2^16, reserved.
const FORMAT: &[u8; 8] = b"WXP1\x01\x01\x10\x00";
const HEADER: usize = 79;
const CHUNK: usize = 1 << 16;
/// Octets of an entity tag before hex.
const ETAG: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    const ID: SegmentId = SegmentId { parcel: [9; 16], part: 3, segment: 1 };

    fn dek() -> Key {
        Secret::new([5; 32])
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let told = seal(&dek(), ID, &mut &plain[..], &mut out).unwrap();
        assert_eq!(told.length, plain.len() as u64);
        assert_eq!(told.sha256, <[u8; 32]>::from(Sha256::digest(plain)));
        out
    }

    fn read(sealed: &[u8], range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        open(&dek(), ID, Box::new(sealed.to_vec()), range)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
    }

    /// Shown, not judged: machines differ. `cargo test --release --lib stream:: -- --ignored --nocapture speed`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn speed_of_sealing_and_opening() {
        let plain = sample(64 << 20);
        let mut octets = Vec::with_capacity(plain.len() + (1 << 20));
        for _ in 0..3 {
            octets.clear();
            let start = std::time::Instant::now();
            seal(&dek(), ID, &mut &plain[..], &mut octets).unwrap();
            let sealed = start.elapsed();
            let start = std::time::Instant::now();
            let mut reader = open(&dek(), ID, Box::new(octets.clone()), 0..plain.len() as u64).unwrap();
            let copied = start.elapsed();
            io::copy(&mut reader, &mut io::sink()).unwrap();
            let opened = start.elapsed() - copied;
            let speed = |time: std::time::Duration| plain.len() as f64 / 1e9 / time.as_secs_f64();
            println!("sealing {:.2} GB/s, opening {:.2} GB/s", speed(sealed), speed(opened));
        }
    }

    /// Lengths at which something changes.
    const EDGES: [usize; 8] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 77];

    #[test]
    fn what_was_sealed_opens_at_every_edge() {
        for length in EDGES {
            let plain = sample(length);
            let octets = sealed(&plain);
            assert_eq!(octets.len() as u64, sealed_length(length as u64));
            assert_eq!(plain_length(octets.len() as u64), Some(length as u64));
            assert_eq!(read(&octets, 0..length as u64).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_an_error_and_an_empty_one_is_empty() {
        let octets = sealed(&sample(100));
        assert!(read(&octets, 0..101).is_err());
        assert!(read(&octets, Range { start: 3, end: 2 }).is_err());
        for at in [0, 50, 100] {
            assert_eq!(read(&octets, at..at).unwrap(), b"");
        }
    }

    #[test]
    fn a_segment_is_bound_to_its_place_and_key() {
        let octets = sealed(b"content");
        for other in [SegmentId { parcel: [8; 16], ..ID }, SegmentId { part: 4, ..ID }, SegmentId { segment: 2, ..ID }] {
            assert!(open(&dek(), other, Box::new(octets.clone()), 0..7).is_err());
        }
        assert!(open(&Secret::new([6; 32]), ID, Box::new(octets), 0..7).is_err());
    }

    #[test]
    fn chunks_cut_off_or_put_in_another_order_do_not_open() {
        let plain = sample(3 * CHUNK);
        let octets = sealed(&plain);
        let chunk = CHUNK + TAG;
        let swapped: Vec<u8> = [
            &octets[..HEADER],
            &octets[HEADER + chunk..HEADER + 2 * chunk],
            &octets[HEADER..HEADER + chunk],
            &octets[HEADER + 2 * chunk..],
        ]
        .concat();
        assert!(read(&swapped, 0..plain.len() as u64).is_err());
        let cut = &octets[..HEADER + 2 * chunk];
        assert!(read(cut, 0..2 * CHUNK as u64).is_err());
        let doubled: Vec<u8> = [&octets[..], &octets[HEADER + 2 * chunk..]].concat();
        assert!(read(&doubled, 0..4 * CHUNK as u64).is_err());
    }

    #[test]
    fn after_an_error_nothing_looks_like_an_end() {
        let mut octets = sealed(&sample(2 * CHUNK));
        octets[HEADER + CHUNK + TAG] ^= 1;
        let mut reader = open(&dek(), ID, Box::new(octets), 0..2 * CHUNK as u64).unwrap();
        let mut first = vec![0; CHUNK];
        reader.read_exact(&mut first).unwrap();
        for _ in 0..2 {
            assert!(reader.read(&mut first).is_err());
        }
    }

    #[test]
    fn an_entity_tag_belongs_to_one_sealing() {
        let tag = |octets: &[u8]| Segment::open(&dek(), ID, Box::new(octets.to_vec())).unwrap().etag().to_owned();
        let (one, two) = (sealed(b"content"), sealed(b"content"));
        assert_eq!(tag(&one), tag(&one));
        assert_ne!(tag(&one), tag(&two));
    }

    #[test]
    fn the_format_is_frozen() {
        // The files are opened by the store suite as well; `UPDATE=1` writes those that are not there.
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/stores/vectors");
        for length in [0, 1, CHUNK, CHUNK + 1] {
            let header = Header { id: ID, salt: [1; 32], prefix: [2; 15] };
            let mut out = Vec::new();
            seal_as(&dek(), &header, &mut &sample(length)[..], &mut out).unwrap();
            let path = folder.join(format!("wxp1-v1-{length}.sealed"));
            if std::env::var_os("UPDATE").is_some() && !path.exists() {
                std::fs::write(&path, &out).unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == out, "{}", path.display());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_range_equals_the_slice(length in 0..3 * CHUNK, from in 0.0..1.0, to in 0.0..1.0) {
            let plain = sample(length);
            let place = |part: f64| (part * (length + 1) as f64) as usize;
            let (start, end) = (place(from).min(place(to)), place(from).max(place(to)));
            prop_assert_eq!(&read(&sealed(&plain), start as u64..end as u64).unwrap()[..], &plain[start..end]);
        }

        #[test]
        fn a_flipped_bit_anywhere_never_opens(length in 0..CHUNK + 500, at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut octets = sealed(&sample(length));
            let at = at.index(octets.len());
            octets[at] ^= 1_u8 << bit;
            prop_assert!(read(&octets, 0..length as u64).is_err());
        }

        #[test]
        fn a_cut_anywhere_never_opens(length in 0..CHUNK + 500, at in any::<prop::sample::Index>()) {
            let octets = sealed(&sample(length));
            let cut = &octets[..at.index(octets.len())];
            let whole = plain_length(cut.len() as u64).unwrap_or(0);
            prop_assert!(read(cut, 0..whole).is_err());
        }

        #[test]
        fn random_octets_never_open(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&octets, 0..0).is_err());
        }
    }
}
