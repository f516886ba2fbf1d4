//! Many words, one pass. A word is bounded by non-letters; `diagnos*` is open at its end.
//!
//! A word that begins with a letter can only stand where a word of the text begins, and there a
//! small table says of almost every one that nothing in the list begins so. What is left is spelled
//! out by an automaton, so the cost of a text hardly depends on how many words there are.

use std::ops::Range;

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind};

use super::beginning::{Beginnings, End, each_start};
use super::normal::Normal;

/// A word as a rule gives it, in the spelling of normalised text.
#[derive(Debug, Clone)]
pub struct Word {
    normal: Normal,
    end: End,
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
        let beginnings =
            Beginnings::of(lettered.iter().filter_map(|&number| words.get(number)).map(|word| (word.normal.text.as_str(), word.end)));
        let lettered = Listed::new(&words, lettered, StartKind::Anchored)?;
        let signed = if signed.is_empty() { None } else { Some(Listed::new(&words, signed, StartKind::Unanchored)?) };
        Some(Self { words, lettered, beginnings, signed })
    }

    /// Tells of every word within a part of the text: its number in the list, and where it stands.
    pub fn find(&self, normal: &Normal, window: Range<usize>, tell: &mut dyn FnMut(usize, Range<usize>)) {
        let text = normal.text.as_bytes().get(..window.end).unwrap_or_default();
        let mut found = |number: usize, range: Range<usize>| {
            if let Some(range) = self.words.get(number).and_then(|word| word.at(normal, range)) {
                tell(number, range);
            }
        };
        each_start(text, window.start, |start| {
            if self.beginnings.may_be(text.get(start..).unwrap_or_default()) {
                self.lettered.find(Input::new(text).range(start..).anchored(Anchored::Yes), &mut found);
            }
        });
        if let Some(signed) = &self.signed {
            signed.find(Input::new(text).range(window.start..), &mut found);
        }
    }
}

impl Listed {
    fn new(words: &[Word], numbers: Vec<usize>, start: StartKind) -> Option<Self> {
        let texts = numbers.iter().filter_map(|&number| Some(&words.get(number)?.normal.text));
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).start_kind(start).build(texts).ok()?;
        Some(Self { automaton, numbers })
    }

    fn find(&self, input: Input<'_>, found: &mut dyn FnMut(usize, Range<usize>)) {
        let (anchored, start) = (input.get_anchored().is_anchored(), input.start());
        let mut state = OverlappingState::start();
        // Only a search that begins otherwise than the automaton was built for is refused.
        while self.automaton.try_find_overlapping(input.clone(), &mut state).is_ok() {
            let Some(word) = state.get_match() else { break };
            if let Some(number) = self.numbers.get(word.pattern().as_usize()).filter(|_| !anchored || word.start() == start) {
                found(*number, word.range());
            }
        }
    }
}

/// A beginning does not grow over a text without spaces.
const GROWN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_word_is_found_wherever_it_stands(
            words in prop::collection::vec("[a-c]{1,3}[a-cåж1 ]{0,8}[*]?", 1..12),
            text in "[a-cåж1 .]{0,80}",
        ) {
            let words: Vec<Word> = words.iter().filter_map(|word| Word::parse(word)).collect();
            let normal = Normal::of(&text);
            let mut expect = Vec::new();
            for (number, word) in words.iter().enumerate() {
                for (start, _) in normal.text.char_indices() {
                    let range = start..start + word.normal.text.len();
                    if normal.text.get(range.clone()) == Some(&word.normal.text) {
                        expect.extend(word.at(&normal, range).map(|range| (number, range.start, range.end)));
                    }
                }
            }
            let mut found = Vec::new();
            if let Some(lexicon) = Lexicon::new(words) {
                lexicon.find(&normal, 0..normal.text.len(), &mut |number, range| found.push((number, range.start, range.end)));
            }
            found.sort_unstable();
            expect.sort_unstable();
            prop_assert_eq!(found, expect);
        }
    }

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
            let mut found = None;
            lexicon.find(&normal, 0..normal.text.len(), &mut |_, range| found = found.or(normal.text.get(range)));
            assert_eq!(found, expect, "{word} in {text}");
        }
        assert!(Word::parse("*").is_none());
        assert!(Word::parse("dia*gnosis").is_none());
    }
}
