//! Where words of a text begin, and whether any word of a list may begin there: two questions that
//! are asked of every octet, so they are answered sixty-four at a time and from one cache line.
//! Both may say yes too often and never no too often; who asks looks again.

/// Beginnings of the words of a list, as a table of bits.
pub struct Beginnings {
    bits: Vec<u64>,
    /// The lengths that occur, at most [`LONGEST`].
    lengths: [Occurs; LONGEST],
}

/// Whether there is a word of this length in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occurs {
    Yes,
    No,
}

impl Beginnings {
    /// Of these words.
    pub fn of<'w>(words: impl Iterator<Item = &'w str> + Clone) -> Self {
        let size = (words.clone().count() * BITS_A_WORD).next_power_of_two().clamp(BITS_MIN, BITS_MAX);
        let mut beginnings = Self { bits: vec![0; size / 64], lengths: [Occurs::No; LONGEST] };
        for word in words {
            let length = word.len().clamp(1, LONGEST);
            if let Some(occurs) = beginnings.lengths.get_mut(length - 1) {
                *occurs = Occurs::Yes;
            }
            let (place, bit) = beginnings.place(first(word.as_bytes()), length);
            if let Some(bits) = beginnings.bits.get_mut(place) {
                *bits |= bit;
            }
        }
        beginnings
    }

    /// Whether a word may stand at the front of this text.
    pub fn may_be(&self, text: &[u8]) -> bool {
        let first = first(text);
        (1..).zip(&self.lengths).any(|(length, occurs)| {
            let (place, bit) = self.place(first, length);
            *occurs == Occurs::Yes && self.bits.get(place).is_some_and(|bits| bits & bit != 0)
        })
    }

    fn place(&self, first: u32, length: usize) -> (usize, u64) {
        let kept = first & (u32::MAX >> (8 * (LONGEST - length)));
        // Fibonacci hashing: the upper half of the product depends on all octets.
        let hash = u64::from(kept).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        ((hash / 64) as usize & (self.bits.len() - 1), 1 << (hash % 64))
    }
}

/// The first octets as a number, nought where the text ends.
fn first(text: &[u8]) -> u32 {
    if let Some(first) = text.first_chunk() {
        return u32::from_le_bytes(*first);
    }
    text.iter().rev().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

/// Where a word may begin: ASCII letters after something else, and whatever is not ASCII. The text is
/// in lower case.
pub fn starts(text: &[u8], from: usize) -> impl Iterator<Item = usize> + '_ {
    let rest = text.get(from..).unwrap_or_default();
    let mut before = 0;
    rest.chunks(64).zip(0..).flat_map(move |(block, number)| {
        let (letters, others) = sorts(block);
        let mut bits = (letters & !(letters << 1 | before)) | others;
        before = letters >> 63;
        std::iter::from_fn(move || {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (bit < 64).then(|| from + number * 64 + bit)
        })
    })
}

/// Which octets of a block are letters, and which are not ASCII; a bit for each, the first lowest.
fn sorts(block: &[u8]) -> (u64, u64) {
    let (words, rest) = block.as_chunks::<8>();
    let mut letters = 0;
    let mut others = 0;
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for (number, word) in words.iter().chain(std::iter::once(&last)).take(8).enumerate() {
        let word = u64::from_le_bytes(*word);
        let low = word & !HIGH;
        // The high bit of each octet: at least `a`, and not above `z`.
        let letter = (low + EACH * (0x80 - 0x61)) & !(low + EACH * (0x80 - 0x7B)) & !word & HIGH;
        letters |= gather(letter) << (8 * number);
        others |= gather(word & HIGH) << (8 * number);
    }
    (letters, others)
}

/// The high bits of eight octets as one octet.
const fn gather(high: u64) -> u64 {
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EACH << 7;
/// Octets of a beginning.
const LONGEST: usize = 4;
/// Room enough that few words of a text are taken for one of the list.
const BITS_A_WORD: usize = 16;
const BITS_MIN: usize = 1 << 10;
const BITS_MAX: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_at_letters_after_something_else() {
        for (text, expect) in [
            ("the journal", vec![0, 4]),
            ("2journal3 x", vec![1, 10]),
            ("  a", vec![2]),
            ("", vec![]),
            ("{z}`a@b", vec![1, 4, 6]),
            ("a\u{201c}b", vec![0, 1, 2, 3, 4]),
        ] {
            assert_eq!(starts(text.as_bytes(), 0).collect::<Vec<_>>(), expect, "{text}");
        }
        let long = "ab ".repeat(100);
        let expect: Vec<usize> = (0..100).map(|number| number * 3).collect();
        assert_eq!(starts(long.as_bytes(), 0).collect::<Vec<_>>(), expect);
        assert_eq!(starts(long.as_bytes(), 30).collect::<Vec<_>>(), expect[10..]);
    }

    #[test]
    fn no_word_of_the_list_is_missed_and_few_others_pass() {
        let words: Vec<String> =
            (0..10_000).map(|number| format!("{number:o}").replace(char::is_numeric, "x") + &format!("q{number}")).collect();
        let beginnings = Beginnings::of(words.iter().map(String::as_str).chain(["a", "hiv"]));
        for word in &words {
            assert!(beginnings.may_be(format!("{word} and more").as_bytes()), "{word}");
        }
        assert!(beginnings.may_be(b"a") && beginnings.may_be(b"a b") && beginnings.may_be(b"hiv"));
        let few = Beginnings::of(["journal", "diagnos"].into_iter());
        let passed =
            ["the", "committee", "met", "on", "tuesday", "to", "discuss"].iter().filter(|word| few.may_be(word.as_bytes())).count();
        assert_eq!(passed, 0);
    }
}
