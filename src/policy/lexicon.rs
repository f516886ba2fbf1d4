//! Many words, one pass. A word is bounded by non-letters; `diagnos*` is open at its end.
//!
//! A word that begins with a letter can only stand where a word of the text begins, and there a
//! small table says of almost every one that nothing in the list begins so. What is left is spelled
//! out by an automaton, so the cost of a text hardly depends on how many words there are.

use std::ops::Range;

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind};

use super::beginning::{Beginnings, starts};
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
    words: Vec<Word>,
    /// Words that begin with a letter.
    lettered: Listed,
    beginnings: Beginnings,
    /// Words that begin with a digit or a sign: they may stand anywhere.
    signed: Option<Listed>,
}

/// Some of the words, and their numbers among all.
struct Listed {
    automaton: AhoCorasick,
    numbers: Vec<usize>,
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

    fn is_lettered(&self) -> bool {
        self.normal.text.chars().next().is_some_and(char::is_alphabetic)
    }

    /// Where the word stands when its letters stand at `range`: grown to its end if it is open;
    /// none when it is part of another word or its accents differ.
    fn at(&self, normal: &Normal, range: Range<usize>) -> Option<Range<usize>> {
        let text = &normal.text;
        let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        let inside_start = self.is_lettered() && letter(text.get(..range.start)?.chars().next_back());
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
    /// Builds the automata; none only when there is more than fits into one.
    pub fn new(words: Vec<Word>) -> Option<Self> {
        let (lettered, signed): (Vec<usize>, Vec<usize>) =
            (0..words.len()).partition(|&number| words.get(number).is_some_and(Word::is_lettered));
        let beginnings = Beginnings::of(lettered.iter().filter_map(|&number| Some(words.get(number)?.normal.text.as_str())));
        let lettered = Listed::new(&words, lettered, StartKind::Anchored)?;
        let signed = if signed.is_empty() { None } else { Some(Listed::new(&words, signed, StartKind::Unanchored)?) };
        Some(Self { words, lettered, beginnings, signed })
    }

    /// Every word within a part of the text: its number in the list, and where it stands.
    pub fn find<'l>(&'l self, normal: &'l Normal, window: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + 'l {
        let text = normal.text.as_bytes().get(..window.end).unwrap_or_default();
        let likely = starts(text, window.start).filter(move |&start| self.beginnings.may_be(text.get(start..).unwrap_or_default()));
        let lettered = likely.flat_map(move |start| self.lettered.find(Input::new(text).range(start..).anchored(Anchored::Yes)));
        let signed = self.signed.iter().flat_map(move |signed| signed.find(Input::new(text).range(window.start..)));
        lettered.chain(signed).filter_map(|(number, range)| Some((number, self.words.get(number)?.at(normal, range)?)))
    }
}

impl Listed {
    fn new(words: &[Word], numbers: Vec<usize>, start: StartKind) -> Option<Self> {
        let texts = numbers.iter().filter_map(|&number| Some(&words.get(number)?.normal.text));
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).start_kind(start).build(texts).ok()?;
        Some(Self { automaton, numbers })
    }

    fn find<'l>(&'l self, input: Input<'l>) -> impl Iterator<Item = (usize, Range<usize>)> + 'l {
        let (anchored, start) = (input.get_anchored().is_anchored(), input.start());
        let mut state = OverlappingState::start();
        let next = move || {
            // Only a search that begins otherwise than the automaton was built for is refused.
            self.automaton.try_find_overlapping(input.clone(), &mut state).ok()?;
            state.get_match()
        };
        std::iter::from_fn(next)
            .filter(move |found| !anchored || found.start() == start)
            .filter_map(|found| Some((*self.numbers.get(found.pattern().as_usize())?, found.range())))
    }
}

/// A beginning does not grow over a text without spaces.
const GROWN_MAX: usize = 40;

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
