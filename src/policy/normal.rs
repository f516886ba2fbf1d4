//! Text as rules see it: one spelling for everything that reads alike.
//!
//! Compatibility forms unfolded, case folded, look-alike letters and digits unified, invisible
//! characters dropped, white space collapsed, words rejoined across line breaks and hyphens.
//! Accents are set aside, not lost: a word with an accent matches only with it, a word without
//! matches both. Nothing here decides what a hit is.
//!
//! UAX #15 (NFKC), UTS #39 (confusables); the table of look-alikes is ours and small.

use std::borrow::Cow;
use std::sync::LazyLock;

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{confusable, eight};
use crate::stretch::stretches;

/// Normalised text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Normal {
    /// Lower case, without accents, with single spaces.
    pub text: String,
    /// The accents that were set aside: the offset of their letter in `text`, and the mark.
    pub accents: Vec<(usize, char)>,
}

/// What one character of the Latin alphabets becomes: its letter and its accent.
type Latin = Option<(char, Option<char>)>;

impl Normal {
    /// Normalises a text.
    pub fn of(text: &str) -> Self {
        let mut normal = Self { text: String::with_capacity(text.len() + SPARE), accents: Vec::new() };
        let mut rest = text;
        let mut spaced = Spaced::No;
        while !rest.is_empty() {
            let plain = ascii_length(rest.as_bytes());
            let (ascii, other) = rest.split_at_checked(plain).unwrap_or((rest, ""));
            spaced = normal.push_ascii(ascii, spaced);
            let mut chars = other.chars();
            while let Some(c) = chars.as_str().chars().next().filter(|c| !c.is_ascii()) {
                chars.next();
                spaced = normal.push_char(c, spaced);
            }
            rest = chars.as_str();
        }
        normal
    }

    /// The accents within a range, counted from its start.
    pub fn accents_in(&self, range: &std::ops::Range<usize>) -> impl Iterator<Item = (usize, char)> + use<'_> {
        let from = self.accents.partition_point(|(place, _)| *place < range.start);
        let (start, end) = (range.start, range.end);
        self.accents.iter().skip(from).take_while(move |(place, _)| *place < end).map(move |(place, mark)| (place - start, *mark))
    }

    /// The common case, without a branch for each letter: most mail is ASCII.
    fn push_ascii(&mut self, ascii: &str, mut spaced: Spaced) -> Spaced {
        let mut rest = ascii;
        while let Some((plain, others)) = rest.split_at_checked(plain_length(rest.as_bytes(), spaced)).filter(|_| !rest.is_empty()) {
            let from = self.text.len();
            self.text.push_str(plain);
            self.text.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
            if !plain.is_empty() {
                spaced = if plain.ends_with(' ') { Spaced::Yes } else { Spaced::No };
            }
            let mut others = others.chars();
            // Other controls are shown by nobody, so they part nothing.
            if others.next().is_some_and(char::is_whitespace) && matches!(spaced, Spaced::No) {
                self.text.push(' ');
                spaced = Spaced::Yes;
            }
            rest = others.as_str();
        }
        spaced
    }

    fn push_char(&mut self, c: char, spaced: Spaced) -> Spaced {
        if let Some(Some((letter, accent))) = (c as usize).checked_sub(LATIN_FIRST).and_then(|place| LATIN.get(place)) {
            let place = self.text.len();
            self.text.push(*letter);
            self.accents.extend(accent.map(|mark| (place, mark)));
            return Spaced::No;
        }
        self.push_rare(c, spaced)
    }

    fn push_rare(&mut self, c: char, mut spaced: Spaced) -> Spaced {
        if confusable::is_invisible(c) {
            return spaced;
        }
        if let Some(twin) = confusable::twin(c) {
            return self.push_ascii(twin, spaced);
        }
        for part in std::iter::once(c).nfkd().default_case_fold().nfkd() {
            if is_combining_mark(part) {
                self.push_mark(part);
            } else if confusable::is_invisible(part) || (part.is_control() && !part.is_whitespace()) {
            } else if let Some(twin) = confusable::twin(part) {
                spaced = self.push_ascii(twin, spaced);
            } else if part.is_whitespace() {
                spaced = self.push_ascii(" ", spaced);
            } else {
                spaced = self.push_folded(part);
            }
        }
        spaced
    }

    fn push_folded(&mut self, c: char) -> Spaced {
        let place = self.text.len();
        match STROKES.iter().find(|(letter, _)| *letter == c) {
            Some((_, plain)) => {
                self.text.push(*plain);
                self.accents.push((place, STROKE));
            }
            None => self.text.push(c),
        }
        Spaced::No
    }

    fn push_mark(&mut self, mark: char) {
        if let Some((place, _)) = self.text.char_indices().next_back() {
            self.accents.push((place, mark));
        }
    }
}

/// How many octets at the front of this ASCII stay as they are but for their case.
fn plain_length(text: &[u8], spaced: Spaced) -> usize {
    let mut last = if matches!(spaced, Spaced::Yes) { 0x80 } else { 0 };
    for (at, octets) in eight::eights(text) {
        let blanks = eight::blanks(octets);
        let other = (eight::shown(octets) ^ eight::HIGH) | (blanks & (blanks << 8 | last));
        if other != 0 {
            return at + eight::before(other);
        }
        last = blanks >> 56;
    }
    text.len()
}

/// How many octets of ASCII a text begins with.
fn ascii_length(text: &[u8]) -> usize {
    let blocks = text.chunks_exact(BLOCK).take_while(|block| block.is_ascii()).count() * BLOCK;
    let rest = text.get(blocks..).unwrap_or_default();
    blocks + rest.iter().position(|octet| !octet.is_ascii()).unwrap_or(rest.len())
}

/// The text with words that a hyphen divides at the end of a line made whole.
pub fn unbroken(text: &str) -> Cow<'_, str> {
    let mut whole = String::new();
    let mut copied = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
        let (Some(line), Some(next)) = (text.get(copied..end), text.get(end + 1..)) else { continue };
        let left = line.strip_suffix('\r').unwrap_or(line);
        let Some(left) = left.strip_suffix(['-', '\u{ad}', '\u{2010}']) else { continue };
        let divided = left.chars().next_back().is_some_and(char::is_alphabetic) && next.chars().next().is_some_and(char::is_alphabetic);
        if divided {
            whole.push_str(left);
            copied = end + 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    whole.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(whole)
}

/// Words that a line break or a hyphen has torn, put together again, a blank behind each; still to be
/// normalised. `jour-\nnal`, `jour\nnal` and `jour-nal` all give `journal`.
pub fn rejoined(text: &str) -> String {
    let mut joined = String::new();
    for at in memchr::memchr2_iter(b'\n', b'-', text.as_bytes()) {
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + 1..)) else { continue };
        let broken = text.as_bytes().get(at) == Some(&b'\n');
        let (left, right) = if broken { (left_of_break(before), after.trim_start_matches(is_margin)) } else { (before, after) };
        if !belong_together(left, right) || (!broken && !is_lettered(left)) {
            continue;
        }
        for token in [last_token(left), first_token(right)] {
            match broken {
                true => joined.push_str(token),
                false => joined.extend(token.split('-')),
            }
        }
        joined.push(' ');
    }
    spelled_out(text, &mut joined);
    parted(text, &mut joined);
    turned_round(text, &mut joined);
    joined
}

/// What a reader is shown from right to left: `\u{202e}5089-907058` is read as `850709-9805`. UAX #9 §2.2.
fn turned_round(text: &str, joined: &mut String) {
    for (at, mark) in text.match_indices(OVERRIDE) {
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let shown: Vec<char> = rest.chars().take(TURNED_MAX).take_while(|c| !matches!(*c, OVERRIDE | '\u{202c}' | '\n')).collect();
        joined.extend(shown.into_iter().rev());
        joined.push(' ');
    }
}

/// Characters that stand one by one, as in the boxes of a form: `8 5 0 7 0 9 - 9 8 0 5`.
///
/// Wherever they do, no two octets of ASCII stand side by side that part nothing; ordinary words are made of such.
fn spelled_out(text: &str, joined: &mut String) {
    let is_letter = |octet: u8| octet.is_ascii() && !is_ascii_parting(octet);
    for loose in stretches(text.as_bytes(), SPELLED_MIN * 2 - 2, |[one, next]| !(is_letter(*one) && is_letter(*next))) {
        // With both of the letters at either end that stand side by side.
        let (from, to) = (text.floor_char_boundary(loose.start.saturating_sub(1)), text.ceil_char_boundary(loose.end + 2));
        let mut run = String::new();
        for token in tokens(text.get(from..to).unwrap_or_default()).chain([""]) {
            let mut chars = token.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) if c.is_alphanumeric() || matches!(c, '-' | '+' | '.') => run.push(c),
                _ => {
                    if run.chars().nth(SPELLED_MIN - 1).is_some() {
                        joined.push_str(&run);
                        joined.push(' ');
                    }
                    run.clear();
                }
            }
        }
    }
}

/// Groups of digits with a blank beside the hyphen: `850709 - 9805`.
fn parted(text: &str, joined: &mut String) {
    // The second finds the first octet of all the others.
    for at in memchr::memchr2_iter(b'-', 0xE2, text.as_bytes()) {
        let (Some(before), Some(from)) = (text.get(..at), text.get(at..)) else { continue };
        let mut chars = from.chars();
        if !chars.next().is_some_and(is_hyphen) {
            continue;
        }
        let after = chars.as_str();
        let (left, right) = (before.trim_end_matches(parts), after.trim_start_matches(parts));
        if (left.len(), right.len()) == (before.len(), after.len()) {
            continue;
        }
        let (left, right) = (last_token(left), first_token(right));
        let (left, right) = (left.rsplit(parts).next().unwrap_or_default(), right.split(parts).next().unwrap_or_default());
        if is_number(left) && is_number(right) {
            joined.extend([left, "-", right, " "]);
        }
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(parts).filter(|token| !token.is_empty())
}

/// White space, and the lines of a table.
fn parts(c: char) -> bool {
    c.is_whitespace() || c == '|'
}

const fn is_ascii_parting(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t'..=b'\r' | b'|')
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}' | '\u{2013}')
}

fn is_number(token: &str) -> bool {
    !token.is_empty() && token.len() <= TOKEN_MAX && token.chars().all(char::is_numeric)
}

/// What stands before a line break, without the hyphen that announces it.
fn left_of_break(before: &str) -> &str {
    let line = before.trim_end_matches(['\r', ' ', '\t']);
    line.strip_suffix(['-', '\u{ad}', '\u{2010}', '=']).unwrap_or(line)
}

fn is_margin(c: char) -> bool {
    matches!(c, ' ' | '\t' | '>')
}

fn last_token(text: &str) -> &str {
    let plain = text.bytes().rev().take(TOKEN_MAX).take_while(|octet| octet.is_ascii_graphic()).count();
    let start = match text.bytes().rev().nth(plain) {
        // Beyond ASCII every character is looked at; so are the rare white spaces of ASCII.
        Some(before) if plain < TOKEN_MAX && before != b' ' && before != b'\n' => {
            text.char_indices().rev().take(TOKEN_MAX).take_while(|(_, c)| !c.is_whitespace()).last().map_or(text.len(), |(at, _)| at)
        }
        _ => text.len() - plain,
    };
    text.get(start..).unwrap_or_default()
}

fn first_token(text: &str) -> &str {
    let plain = text.bytes().take(TOKEN_MAX).take_while(u8::is_ascii_graphic).count();
    let end = match text.as_bytes().get(plain) {
        Some(&after) if plain < TOKEN_MAX && after != b' ' && after != b'\r' => {
            text.char_indices().take(TOKEN_MAX).take_while(|(_, c)| !c.is_whitespace()).last().map_or(0, |(at, c)| at + c.len_utf8())
        }
        _ => plain,
    };
    text.get(..end).unwrap_or_default()
}

/// Letters go on as letters, digits as digits; a sentence that ends does neither.
fn belong_together(left: &str, right: &str) -> bool {
    match (left.chars().next_back(), right.chars().next()) {
        (Some(l), Some(r)) => (l.is_alphabetic() && r.is_alphabetic()) || (l.is_numeric() && r.is_numeric()),
        _ => false,
    }
}

fn is_lettered(left: &str) -> bool {
    left.chars().next_back().is_some_and(char::is_alphabetic)
}

/// Whether the last thing written was a space.
#[derive(Debug, Clone, Copy)]
enum Spaced {
    Yes,
    No,
}

/// Right-to-left override.
const OVERRIDE: char = '\u{202e}';
/// Nobody turns round more than a line of it.
const TURNED_MAX: usize = 1_000;
/// Octets that are looked at together.
const BLOCK: usize = 64;
/// Room for the few characters that grow when they are unfolded.
const SPARE: usize = 64;
/// Longer than any word of a rule; bounds the work for a line without spaces.
const TOKEN_MAX: usize = 48;
/// Shorter runs of single characters are lists, scores and initials.
const SPELLED_MIN: usize = 9;
/// The accent that a letter with a stroke through it is taken to have.
const STROKE: char = '\u{338}';
/// Letters whose stroke Unicode does not set aside.
const STROKES: &[(char, char)] = &[('ø', 'o'), ('ł', 'l'), ('đ', 'd'), ('ħ', 'h'), ('ŧ', 't'), ('ƀ', 'b'), ('ɨ', 'i'), ('ƶ', 'z')];
/// Latin-1 letters and Latin Extended-A, which most European mail is written with.
const LATIN_FIRST: usize = 0xC0;
const LATIN_END: u32 = 0x180;

/// Computed once, so that `å` costs a look-up and not a decomposition.
static LATIN: LazyLock<Vec<Latin>> = LazyLock::new(|| {
    (LATIN_FIRST as u32..LATIN_END)
        .map(|code| {
            let mut normal = Normal::default();
            normal.push_rare(char::from_u32(code)?, Spaced::No);
            let mut letters = normal.text.chars();
            match (letters.next(), letters.next(), normal.accents.as_slice()) {
                (Some(letter), None, []) => Some((letter, None)),
                (Some(letter), None, [(_, mark)]) => Some((letter, Some(*mark))),
                _ => None,
            }
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_part_nothing_and_white_space_does() {
        assert_eq!(Normal::of("8\u{1}5\u{7f}0\u{0}7\u{85}x\u{9f}y\ta").text, "8507 xy a");
    }

    #[test]
    fn what_is_spelled_out_is_put_together() {
        for (text, expect) in [
            ("no 8 5 0 7 0 9 - 9 8 0 5 there", "850709-9805 "),
            ("8\n5\n0|7 | 0\t9 9 8 0 5", "8507099805"),
            ("850709 - 9805", "850709-9805 "),
            ("850709- 9805", "850709-9805 "),
            ("850709 -9805", "850709-9805 "),
            ("see \u{202e}5089-907058\u{202c} there", "850709-9805 "),
        ] {
            assert!(rejoined(text).contains(expect), "{text}: {:?}", rejoined(text));
        }
        for text in ["won 3 - 2 at home", "a b c d e f", "room 4711 at 10"] {
            assert!(!rejoined(text).contains("abc") && !rejoined(text).contains("471110"), "{text}");
        }
    }

    #[test]
    fn what_reads_alike_is_spelled_alike() {
        for (text, expect) in [
            ("Medical  RECORD", "medical record"),
            ("jour\u{ad}nal", "journal"),
            ("jo\u{200b}ur\u{feff}nal", "journal"),
            ("jоurnаl", "journal"),
            ("ｊｏｕｒｎａｌ", "journal"),
            ("𝐣𝐨𝐮𝐫𝐧𝐚𝐥", "journal"),
            ("８５0709‑９８05", "850709-9805"),
            ("٨٥٠٧٠٩-٩٨٠٥", "850709-9805"),
            ("𝟖𝟓𝟎𝟕𝟎𝟗–𝟗𝟖𝟎𝟓", "850709-9805"),
            ("a\u{a0}\u{2003}b", "a b"),
            ("Straße", "strasse"),
            ("patiëntdossier", "patientdossier"),
            ("patie\u{308}ntdossier", "patientdossier"),
            ("ΙΒΑΝ", "iban"),
            ("ﬁle", "file"),
            ("FØDSELSNUMMER", "fodselsnummer"),
        ] {
            assert_eq!(Normal::of(text).text, expect, "{text}");
        }
    }

    #[test]
    fn accents_are_set_aside_whichever_way_they_were_written() {
        let composed = Normal::of("född");
        let decomposed = Normal::of("fo\u{308}dd");
        assert_eq!(composed, decomposed);
        assert_eq!(composed.accents, vec![(1, '\u{308}')]);
        assert_eq!(composed.accents_in(&(1..3)).collect::<Vec<_>>(), vec![(0, '\u{308}')]);
        assert_eq!(Normal::of("fodd").accents, vec![]);
    }

    #[test]
    fn torn_words_are_put_together() {
        for (text, expect) in [
            ("the jour-\r\nnal of", "journal "),
            ("jour\nnal", "journal "),
            ("> jour\n> nal", "journal "),
            ("person-nummer", "personnummer "),
            ("8507\n099805", "8507099805 "),
            ("850709-\n9805", "8507099805 850709-9805 "),
            ("2026-11-22", ""),
            ("The end.\nNext", ""),
            ("a 1\nb", ""),
        ] {
            assert_eq!(rejoined(text), expect, "{text:?}");
        }
    }
}
