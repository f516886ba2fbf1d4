//! Where words of a text begin, and whether any word of a list may begin there: two questions that
//! are asked of every octet, so they are answered for eight at a time and from few cache lines.
//! Both may say yes too often and never no too often; who asks looks again.

use super::eight::{HIGH, before, eights, first, letters, others};

/// Whether letters may follow a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Open,
}

/// Beginnings of the words of a list.
pub struct Beginnings {
    /// Plain words: one question tells of almost every word of a text that it is none of them.
    whole: Bits,
    /// All others, phrases and open words among them: by four octets, and then by eight.
    short: Prefixes,
    long: Prefixes,
}

/// A set of numbers that says yes too often.
struct Bits {
    words: Vec<u64>,
    /// How many bits of a hash are none of a place.
    shift: u32,
}

/// Beginnings of several lengths.
struct Prefixes {
    bits: Bits,
    /// What is kept of the first eight octets, for each length that occurs.
    masks: Vec<u64>,
}

impl Beginnings {
    /// Of these words, and whether letters may follow them.
    pub fn of<'w>(words: impl Iterator<Item = (&'w str, End)> + Clone) -> Self {
        let is_plain = |(word, end): &(&str, End)| *end == End::Closed && word.bytes().all(|octet| octet.is_ascii_lowercase());
        let plain = words.clone().filter(is_plain).map(|(word, _)| first_word(first(word.as_bytes())));
        let others = words.filter(|word| !is_plain(word)).map(|(word, _)| word);
        Self { whole: Bits::of(plain), short: Prefixes::of(others.clone(), 4), long: Prefixes::of(others, 8) }
    }

    /// Whether a word may stand at the front of this text.
    pub fn may_be(&self, text: &[u8]) -> bool {
        let first = first(text);
        self.whole.has(first_word(first)) || (self.short.may_be(first) && self.long.may_be(first))
    }
}

impl Bits {
    fn of(numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let size = (numbers.clone().count() * BITS_A_NUMBER).next_power_of_two().clamp(BITS_MIN, BITS_MAX);
        let mut bits = Self { words: vec![0; size / 64], shift: 64 - size.trailing_zeros() };
        for number in numbers {
            let (place, bit) = bits.place(number);
            if let Some(word) = bits.words.get_mut(place) {
                *word |= bit;
            }
        }
        bits
    }

    fn has(&self, number: u64) -> bool {
        let (place, bit) = self.place(number);
        self.words.get(place).is_some_and(|word| word & bit != 0)
    }

    /// Fibonacci hashing: the upper bits of the product depend on all octets.
    const fn place(&self, number: u64) -> (usize, u64) {
        let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift;
        ((hash / 64) as usize, 1 << (hash % 64))
    }
}

impl Prefixes {
    /// Of so many octets of each word, or of all that it has.
    fn of<'w>(words: impl Iterator<Item = &'w str> + Clone, most: usize) -> Self {
        let kept = move |word: &str| mask(word.len().clamp(1, most));
        let mut masks: Vec<u64> = words.clone().map(kept).collect();
        masks.sort_unstable();
        masks.dedup();
        Self { bits: Bits::of(words.map(move |word| first(word.as_bytes()) & kept(word))), masks }
    }

    fn may_be(&self, first: u64) -> bool {
        self.masks.iter().any(|mask| self.bits.has(first & mask))
    }
}

/// So many octets of eight.
const fn mask(octets: usize) -> u64 {
    u64::MAX >> (64 - 8 * octets)
}

/// The letters up to the first octet that is none.
const fn first_word(first: u64) -> u64 {
    match letters(first) ^ HIGH {
        0 => first,
        ends => first & (((ends & ends.wrapping_neg()) - 1) >> 7),
    }
}

/// Tells where words may begin: at ASCII letters after something else, and at whatever is not ASCII. The text is in lower case.
pub fn each_start(text: &[u8], from: usize, mut tell: impl FnMut(usize)) {
    let mut last = 0;
    for (at, octets) in eights(text.get(from..).unwrap_or_default()) {
        let letters = letters(octets);
        let mut starts = (letters & !(letters << 8 | last)) | others(octets);
        last = letters >> 56;
        while starts != 0 {
            tell(from + at + before(starts));
            starts &= starts - 1;
        }
    }
}

/// Room enough that few words of a text are taken for one of the list.
const BITS_A_NUMBER: usize = 32;
const BITS_MIN: usize = 1 << 10;
const BITS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(text: &str, from: usize) -> Vec<usize> {
        let mut found = Vec::new();
        each_start(text.as_bytes(), from, |start| found.push(start));
        found
    }

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
            assert_eq!(starts(text, 0), expect, "{text}");
        }
        let long = "ab ".repeat(100);
        let expect: Vec<usize> = (0..100).map(|number| number * 3).collect();
        assert_eq!(starts(&long, 0), expect);
        assert_eq!(starts(&long, 30), expect[10..]);
    }

    #[test]
    fn no_word_of_the_list_is_missed_and_few_others_pass() {
        let words: Vec<String> =
            (0..10_000).map(|number| format!("{number:o}").replace(char::is_numeric, "x") + &format!("q{number}")).collect();
        let closed = words.iter().map(|word| (word.as_str(), End::Closed));
        let beginnings = Beginnings::of(closed.chain([("a", End::Closed), ("hiv", End::Open), ("журнал", End::Closed)]));
        for word in &words {
            assert!(beginnings.may_be(format!("{word} and more").as_bytes()), "{word}");
        }
        assert!(beginnings.may_be(b"a") && beginnings.may_be(b"a b") && beginnings.may_be(b"hiv"));
        assert!(beginnings.may_be(b"hiv-positive") && beginnings.may_be(b"hivpositive") && beginnings.may_be("журнал".as_bytes()));
        let few = Beginnings::of([("journal", End::Closed), ("diagnos", End::Open)].into_iter());
        let passed =
            ["the", "committee", "met", "on", "tuesday", "to", "discuss"].iter().filter(|word| few.may_be(word.as_bytes())).count();
        assert_eq!(passed, 0);
    }
}
