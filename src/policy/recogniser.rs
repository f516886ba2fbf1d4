//! All rules over one text in one pass each for words and for patterns.
//!
//! Words of all rules are one automaton. Patterns whose matches must hold a digit are tried only
//! around digits; one set says which of them can match there at all. The cost of a message does
//! not grow with the number of rules.

use std::ops::Range;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::eight;
use super::lexicon::Lexicon;
use super::normal::{Normal, rejoined, unbroken};
use super::rule::{Pattern, Rule, Weight};

/// Rules, ready to look.
pub struct Recogniser {
    rules: Vec<Rule>,
    words: Lexicon,
    /// The rule of each word of the automaton.
    owners: Vec<usize>,
    around_digits: Shapes,
    everywhere: Shapes,
}

/// Patterns that are tried together.
struct Shapes {
    set: RegexSet,
    /// The rule and the number of the pattern in it.
    owners: Vec<(usize, usize)>,
    reach: usize,
    /// Fewer digits than this are in no match of any of them.
    digits: usize,
}

/// A match that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its rule.
    pub rule: usize,
    /// As it stands in normalised text.
    pub text: String,
}

impl Recogniser {
    /// Compiles rules; says what is wrong when they are too much for one machine.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut owners = Vec::new();
        for (number, rule) in rules.iter_mut().enumerate() {
            owners.extend(rule.words.iter().map(|_| number));
            words.append(&mut rule.words);
        }
        let words = Lexicon::new(words).ok_or("the words of all rules are too many for one automaton")?;
        let around_digits = Shapes::new(&rules, |pattern| pattern.reach.is_some())?;
        let everywhere = Shapes::new(&rules, |pattern| pattern.reach.is_none())?;
        Ok(Self { rules, words, owners, around_digits, everywhere })
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Hits in a text as a person wrote it, the words that are torn in it included. The same hit
    /// may be told more than once.
    pub fn look(&self, text: &str, tell: &mut dyn FnMut(Hit)) {
        self.scan(&Normal::of(&unbroken(text)), tell);
        let joined = rejoined(text);
        if !joined.is_empty() {
            self.scan(&Normal::of(&joined), tell);
        }
    }

    /// Hits in normalised text.
    fn scan(&self, normal: &Normal, tell: &mut dyn FnMut(Hit)) {
        if !self.owners.is_empty() {
            self.words.find(normal, 0..normal.text.len(), &mut |word, range| {
                if let (Some(&rule), Some(text)) = (self.owners.get(word), normal.text.get(range)) {
                    tell(Hit { rule, text: text.to_owned() });
                }
            });
        }
        if !self.everywhere.owners.is_empty() {
            self.try_shapes(&self.everywhere, (normal, 0..normal.text.len()), tell);
        }
        if !self.around_digits.owners.is_empty() {
            for window in windows(normal.text.as_bytes(), self.around_digits.reach) {
                if self.around_digits.too_few_digits(normal.text.as_bytes().get(window.clone()).unwrap_or_default()) {
                    continue;
                }
                self.try_shapes(&self.around_digits, (normal, window), tell);
            }
        }
    }

    fn try_shapes(&self, shapes: &Shapes, (normal, window): (&Normal, Range<usize>), tell: &mut dyn FnMut(Hit)) {
        let all = normal.text.as_bytes();
        let haystack = all.get(window.clone()).unwrap_or_default();
        for matched in &shapes.set.matches(haystack) {
            let Some(&(number, place)) = shapes.owners.get(matched) else { continue };
            let Some(rule) = self.rules.get(number) else { continue };
            let Some(pattern) = rule.patterns.get(place) else { continue };
            for found in pattern.regex.find_iter(haystack) {
                // At a cut, what stands beyond it is not seen; the neighbouring window sees it whole.
                let cut = (found.start() == 0 && window.start > 0) || (found.end() == haystack.len() && window.end < all.len());
                let range = found.start() + window.start..found.end() + window.start;
                if !cut && rule.weigh(normal, &range) == Weight::Counts {
                    tell(Hit { rule: number, text: String::from_utf8_lossy(found.as_bytes()).into_owned() });
                }
            }
        }
    }
}

impl Shapes {
    fn new(rules: &[Rule], wanted: impl Fn(&Pattern) -> bool) -> Result<Self, String> {
        let mut owners = Vec::new();
        let mut texts = Vec::new();
        let mut reach = 0;
        let mut digits = usize::MAX;
        for (number, rule) in rules.iter().enumerate() {
            for (place, pattern) in rule.patterns.iter().enumerate().filter(|(_, pattern)| wanted(pattern)) {
                owners.push((number, place));
                texts.push(pattern.regex.as_str().to_owned());
                reach = reach.max(pattern.reach.map_or(0, |reach| reach.octets));
                digits = digits.min(pattern.reach.map_or(0, |reach| reach.digits));
            }
        }
        let set = RegexSetBuilder::new(texts)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(SET_MAX)
            .dfa_size_limit(SET_MAX)
            .build()
            .map_err(|wrong| format!("the patterns of all rules together: {wrong}"))?;
        Ok(Self { set, owners, reach: reach + MARGIN, digits })
    }

    fn too_few_digits(&self, window: &[u8]) -> bool {
        window.iter().filter(|octet| octet.is_ascii_digit()).count() < self.digits
    }
}

/// The stretches of text around digits, wide enough that a match around any of them fits in, long
/// runs cut into pieces that overlap.
fn windows(text: &[u8], reach: usize) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    for (at, octets) in eight::eights(text) {
        let digits = eight::digits(octets);
        if digits == 0 {
            continue;
        }
        let (first, last) = (at + eight::before(digits), at + 7 - digits.leading_zeros() as usize / 8);
        let window = first.saturating_sub(reach)..(last + reach + 1).min(text.len());
        match windows.last_mut() {
            // Only a match that crosses both cores would be lost at a cut, and none is that long.
            Some(before) if window.start <= before.end && before.len() < WINDOW_MAX => before.end = window.end,
            Some(_) | None => windows.push(window),
        }
    }
    windows
}

/// What a match may touch beside itself: the characters that bound it.
const MARGIN: usize = 2;
/// A pattern that matches somewhere in a window is tried on the whole of it.
const WINDOW_MAX: usize = 2048;
/// Octets of the compiled set.
const SET_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::reader::Page;

    fn recogniser(rules: &[&str]) -> Recogniser {
        let read = |(number, text): (usize, &&str)| {
            let mut page = Page::new(std::path::Path::new("rule.toml"), text);
            let rule = Rule::read(&format!("rule{number}"), &mut page).unwrap();
            assert_eq!(page.mistakes, vec![]);
            rule
        };
        Recogniser::new(rules.iter().enumerate().map(read).collect()).unwrap()
    }

    fn hits(recogniser: &Recogniser, text: &str) -> Vec<String> {
        let mut hits = Vec::new();
        recogniser.look(text, &mut |hit| hits.push(format!("{}:{}", hit.rule, hit.text)));
        hits
    }

    #[test]
    fn confidence_near_and_not_near_decide_whether_a_match_counts() {
        let rule = r#"
            title = "personnummer"
            pattern = '(?:19|20)?\d{6}[-+ ]?\d{4}'
            check = "se-personnummer"
            confidence = 0.3
            near = { words = ["pnr", "född"], within = 20, adds = 0.3 }
            not_near = { words = ["ordernummer"], within = 20 }
        "#;
        let recogniser = recogniser(&[rule]);
        for (text, expect) in [
            ("850709-9805", vec![]),
            ("pnr 850709-9805", vec!["0:850709-9805"]),
            ("född: 198507099805", vec!["0:198507099805"]),
            ("fodd: 198507099805", vec![]),
            ("pnr 850709-9806", vec![]),
            ("pnr, ordernummer 850709-9805", vec![]),
            ("pnr x850709-9805", vec![]),
            ("pnr 850709-98051", vec![]),
            ("pnr                                    850709-9805", vec!["0:850709-9805"]),
        ] {
            assert_eq!(hits(&recogniser, text), expect, "{text}");
        }
    }

    #[test]
    fn a_number_is_found_wherever_it_stands_in_a_table_of_numbers() {
        let recogniser = recogniser(&["title = \"s\"\npattern = '\\d{3}-\\d{2}-\\d{4}'\ncheck = \"us-ssn\""]);
        for before in (1..6000).step_by(97) {
            let text = format!("{} 536-90-4399 {}", "12 ".repeat(before), "34 ".repeat(900));
            assert!(hits(&recogniser, &text).contains(&"0:536-90-4399".to_owned()), "{before}");
        }
    }

    #[test]
    fn windows_hold_every_digit_with_its_surroundings() {
        assert!(windows(b"no digits here", 10).is_empty());
        assert_eq!(windows(b"a 1 b", 10), vec![0..5]);
        let text = [vec![b'x'; 500], vec![b'7'], vec![b'x'; 500]].concat();
        assert_eq!(windows(&text, 10), vec![490..511]);
    }

    /// Shown, not judged: machines differ. `cargo test --release --lib policy:: -- --ignored --nocapture speed`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn speed_of_looking() {
        let words: Vec<String> =
            (0..10_000u32).map(|number| format!("\"{}wort{}\"", char::from(b'a' + (number % 26) as u8), spelled(number))).collect();
        let mut rules = vec![format!("title = \"words\"\nwords = [{}]", words.join(", "))];
        rules.extend((0..100).map(|number| format!("title = \"p\"\npattern = '\\d{{6}}[-+ ]?{number:02}\\d{{2}}'\ncheck = \"luhn\"")));
        let recogniser = recogniser(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        let paragraph = "The committee met on Tuesday to discuss the budget for the coming year and the well-known questions\r\nof parking, of which there were 17, and adjourned at noon without a vote; see you in the autumn.\r\n";
        for (name, text) in [("ASCII", paragraph.repeat(50_000)), ("Swedish", paragraph.replace('u', "ö").repeat(50_000))] {
            let start = std::time::Instant::now();
            recogniser.look(&text, &mut |hit| panic!("{hit:?}"));
            println!("{name}: {:.0} MB/s", text.len() as f64 / 1e6 / start.elapsed().as_secs_f64());
        }
    }

    fn spelled(number: u32) -> String {
        number.to_string().chars().filter_map(|c| c.to_digit(10)).map(|digit| char::from(b'a' + digit as u8)).collect()
    }
}
