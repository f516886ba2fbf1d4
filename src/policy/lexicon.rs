//! Many words, one pass. A word is bounded by non-letters; `diagnos*` is open at its end.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::normal::Normal;

/// A word as a rule gives it, in the spelling of normalised text.
#[derive(Debug, Clone)]
pub struct Word {
    normal: Normal,
    end: End,
}

/// Whether letters may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Open,
}

/// Words that are looked for together.
pub struct Lexicon {
    automaton: AhoCorasick,
    words: Vec<Word>,
}

impl Word {
    /// A word or phrase; `*` at its end makes it a beginning. None when nothing is left of it, or
    /// when a `*` stands elsewhere.
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, end) = match text.strip_suffix('*') {
            Some(stem) => (stem, End::Open),
            None => (text, End::Closed),
        };
        let normal = Normal::of(stem.trim());
        (normal.text.chars().any(char::is_alphanumeric) && !stem.contains('*')).then_some(Self { normal, end })
    }

    /// Where the word stands when its letters stand at `range`: grown to its end if it is open;
    /// none when it is part of another word or its accents differ.
    fn at(&self, normal: &Normal, range: Range<usize>) -> Option<Range<usize>> {
        let text = &normal.text;
        let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        let inside_start = letter(self.normal.text.chars().next()) && letter(text.get(..range.start)?.chars().next_back());
        let rest = text.get(range.end..)?;
        let inside_end = letter(self.normal.text.chars().next_back()) && letter(rest.chars().next());
        if inside_start || (inside_end && self.end == End::Closed) {
            return None;
        }
        if !self.normal.accents.is_empty() && !normal.accents_in(&range).eq(self.normal.accents.iter().copied()) {
            return None;
        }
        let grown = match self.end {
            End::Open => rest.chars().take_while(|c| c.is_alphabetic()).take(GROWN_MAX).map(char::len_utf8).sum(),
            End::Closed => 0,
        };
        Some(range.start..range.end + grown)
    }
}

impl Lexicon {
    /// Builds the automaton; none only when there is more than fits into one.
    pub fn new(words: Vec<Word>) -> Option<Self> {
        let octets: usize = words.iter().map(|word| word.normal.text.len()).sum();
        // A table of all transitions is the fastest and the largest; very long lists do with less.
        let kind = if octets <= TABLE_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let automaton = AhoCorasick::builder().kind(Some(kind)).build(words.iter().map(|word| &word.normal.text)).ok()?;
        Some(Self { automaton, words })
    }

    /// Every word within a part of the text: its number in the list, and where it stands.
    pub fn find<'l>(&'l self, normal: &'l Normal, window: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + 'l {
        let haystack = normal.text.as_bytes().get(window.clone()).unwrap_or_default();
        self.automaton.find_overlapping_iter(haystack).filter_map(move |found| {
            let number = found.pattern().as_usize();
            let range = found.start() + window.start..found.end() + window.start;
            Some((number, self.words.get(number)?.at(normal, range)?))
        })
    }
}

/// A beginning does not grow over a text without spaces.
const GROWN_MAX: usize = 40;
/// Octets of all words together: about 60 MB of transitions.
const TABLE_MAX: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_ends_and_its_own_accents() {
        for (word, text, expect) in [
            ("journal", "the journal.", Some("journal")),
            ("journal", "journalist", None),
            ("journal", "2journal3", Some("journal")),
            ("diagnos*", "a diagnosis was", Some("diagnosis")),
            ("diagnos*", "misdiagnosis", None),
            ("medical record", "Medical\r\n  Record", Some("medical record")),
            ("född", "FÖDD 1985", Some("fodd")),
            ("född", "fodd", None),
            ("patientdossier", "patiëntdossier", Some("patientdossier")),
            ("patiëntdossier", "patientdossier", None),
            ("#geheim", "x#geheim", Some("#geheim")),
        ] {
            let normal = Normal::of(text);
            let lexicon = Lexicon::new(vec![Word::parse(word).unwrap()]).unwrap();
            let found = lexicon.find(&normal, 0..normal.text.len()).next().and_then(|(_, range)| normal.text.get(range));
            assert_eq!(found, expect, "{word} in {text}");
        }
        assert!(Word::parse("*").is_none());
        assert!(Word::parse("dia*gnosis").is_none());
    }
}
