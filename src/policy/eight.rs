//! Eight octets of a text as one number, the first of them lowest: a question about each is asked of all at
//! once, and the answer is the high bit of each octet.
//!
//! The additions carry into no neighbour, because they are made to the low seven bits.

/// The high bit of each octet.
pub const HIGH: u64 = EACH << 7;
const EACH: u64 = 0x0101_0101_0101_0101;

/// The first eight, nought where the text ends.
#[inline]
pub fn first(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk() {
        return u64::from_le_bytes(*first);
    }
    text.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

/// A text eight octets at a time: where they stand, and the octets, nought behind the end of the text.
#[inline]
pub fn eights(text: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let (whole, rest) = text.as_chunks();
    let last = (!rest.is_empty()).then(|| first(rest));
    whole.iter().map(|octets| u64::from_le_bytes(*octets)).chain(last).zip((0..).step_by(8)).map(|(octets, at)| (at, octets))
}

/// From `a` to `z`.
#[inline]
pub const fn letters(octets: u64) -> u64 {
    at_least(octets, b'a') & !at_least(octets, b'z' + 1) & !octets & HIGH
}

/// From `0` to `9`.
#[inline]
pub const fn digits(octets: u64) -> u64 {
    at_least(octets, b'0') & !at_least(octets, b'9' + 1) & !octets & HIGH
}

/// Not ASCII.
#[inline]
pub const fn others(octets: u64) -> u64 {
    octets & HIGH
}

/// A blank.
#[inline]
pub const fn blanks(octets: u64) -> u64 {
    at_least(octets, b' ') & !at_least(octets, b' ' + 1) & !octets & HIGH
}

/// What is written and no control of ASCII.
#[inline]
pub const fn shown(octets: u64) -> u64 {
    (at_least(octets, b' ') & !at_least(octets, 0x7F) & !octets) & HIGH
}

/// Whether the low seven bits are so many.
#[inline]
const fn at_least(octets: u64, least: u8) -> u64 {
    (octets & !HIGH).wrapping_add(EACH * (0x80 - least as u64))
}

/// How many octets stand before the first answer that is yes; eight if none is.
#[inline]
pub const fn before(answers: u64) -> usize {
    answers.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: u64 = 0x8000_8000_0080_0080;

    #[test]
    fn every_octet_is_judged_by_itself() {
        for octet in 0..=u8::MAX {
            for beside in [0, b' ', b'a', 0x7F, 0x80, 0xFF] {
                let octets = u64::from_le_bytes([octet, beside, octet, beside, beside, octet, beside, octet]);
                // The octet stands at these places.
                let answer = |yes: bool| if yes { PLACES } else { 0 };
                let only = |answers: u64| answers & PLACES;
                assert_eq!(only(letters(octets)), answer(octet.is_ascii_lowercase()));
                assert_eq!(only(digits(octets)), answer(octet.is_ascii_digit()));
                assert_eq!(only(others(octets)), answer(!octet.is_ascii()));
                assert_eq!(only(blanks(octets)), answer(octet == b' '));
                assert_eq!(only(shown(octets)), answer(matches!(octet, b' '..=b'~')));
            }
        }
        assert_eq!((before(0), before(HIGH), before(0x8000_0000)), (8, 0, 3));
    }
}
