//! One rule of `rules/`: words, patterns, and when a match counts.

use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};
use toml::de::{DeTable, DeValue};

use super::check::{CHECKS, Check};
use super::lexicon::{Lexicon, Word};
use super::normal::Normal;
use super::reader::{Choice, Later, Page, Value, get, offer};

/// What can be recognised.
pub struct Rule {
    /// The name of its file.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it finds by words.
    pub words: Vec<Word>,
    /// What it finds by shape.
    pub patterns: Vec<Pattern>,
    /// Sorts real numbers from lookalikes.
    pub check: Option<(&'static str, Check)>,
    /// How sure a bare match of a pattern is, from 0 to 1.
    pub confidence: f64,
    /// How sure a match must be to count.
    pub least: f64,
    /// How many different hits it takes.
    pub threshold: u32,
    /// Within what.
    pub per: Per,
    /// Words that make a match surer.
    pub near: Option<Near>,
    /// Words that make it nothing.
    pub not_near: Option<Near>,
    /// Must be found, with the offset in the file.
    pub matches: Vec<(String, usize)>,
    /// Must not be found.
    pub ignores: Vec<(String, usize)>,
}

/// A shape.
pub struct Pattern {
    /// Compiled, bounded on both sides.
    pub regex: Regex,
    /// What is known of every match, if each holds a digit and none is long.
    pub reach: Option<Reach>,
}

/// How far the matches of a pattern go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// None is longer.
    pub octets: usize,
    /// None holds fewer.
    pub digits: usize,
}

/// Words around a match.
pub struct Near {
    /// Which.
    pub words: Lexicon,
    /// How many characters away.
    pub within: usize,
    /// How much surer they make it.
    pub adds: f64,
}

/// What a threshold counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The whole message.
    Message,
    /// Each part of it.
    Part,
}

/// Why a match of a pattern counts or not.
#[derive(Debug, Clone, PartialEq)]
pub enum Weight {
    /// It counts.
    Counts,
    /// The check says no.
    Checked(&'static str),
    /// A word of `not_near` stands beside it.
    Excused,
    /// Not sure enough.
    Unsure(f64),
}

impl Rule {
    /// Reads the file of one rule; mistakes are left on the page.
    pub fn read(name: &str, page: &mut Page<'_>) -> Option<Self> {
        let root = page.root();
        page.keys(&root, "a rule", (KEYS, LATER));
        let title = get(&root, "title").and_then(|value| page.text("title", value));
        if get(&root, "title").is_none() {
            page.advise(0, "title: missing", "title = \"what this rule recognises\"");
        }
        let before = page.mistakes.len();
        let words = get(&root, "words").map(|value| read_words(page, value)).unwrap_or_default();
        if let Some(empty) = get(&root, "words").filter(|_| words.is_empty() && page.mistakes.len() == before) {
            page.advise(empty.span().start, "words: there are none", "give words.en = [\"…\"], or take the key away");
        }
        let patterns = get(&root, "pattern").map(|value| read_patterns(page, value)).unwrap_or_default();
        if get(&root, "words").is_none() && get(&root, "pattern").is_none() {
            page.advise(0, "nothing to look for", "give words.en = [\"…\"] or pattern = '…'");
        }
        let check = get(&root, "check").and_then(|value| read_check(page, value));
        if let (Some(check), None) = (get(&root, "check"), get(&root, "pattern")) {
            page.advise(check.span().start, "check: there is no pattern to check", "give pattern = '…'");
        }
        let share = |page: &mut Page<'_>, key: &str| get(&root, key).and_then(|value| page.share(key, value));
        let confidence = share(page, "confidence").unwrap_or(1.0);
        let least = share(page, "least").unwrap_or(LEAST);
        let threshold = get(&root, "threshold").and_then(|value| page.counting("threshold", value)).unwrap_or(1);
        let per = get(&root, "per").and_then(|value| page.choose(&PER, value)).unwrap_or(Per::Message);
        let near = get(&root, "near").and_then(|value| read_near(page, "near", value));
        let not_near = get(&root, "not_near").and_then(|value| read_near(page, "not_near", value));
        let most = confidence + near.as_ref().map_or(0.0, |near| near.adds);
        if let Some(value) = get(&root, "confidence").filter(|_| most + f64::EPSILON * 8.0 < least) {
            let help = format!("a match counts from {least:.2} on: raise it, or give near = {{ words = [\"…\"], adds = 0.5 }}");
            page.advise(value.span().start, format!("confidence: {most:.2} at most, so no match ever counts"), help);
        }
        let examples = |page: &mut Page<'_>, key: &str| get(&root, key).map(|value| page.texts(key, value)).unwrap_or_default();
        let (matches, ignores) = (examples(page, "matches"), examples(page, "ignores"));
        let name = name.to_owned();
        let title = title.unwrap_or_else(|| name.clone());
        Some(Self { name, title, words, patterns, check, confidence, least, threshold, per, near, not_near, matches, ignores })
    }

    /// Whether a match of a pattern counts where it stands.
    pub fn weigh(&self, normal: &Normal, range: &std::ops::Range<usize>) -> Weight {
        let hit = normal.text.get(range.clone()).unwrap_or_default();
        match self.check {
            Some((name, check)) if !check(hit) => return Weight::Checked(name),
            Some(_) | None => {}
        }
        if self.not_near.as_ref().is_some_and(|near| near.stands_by(normal, range)) {
            return Weight::Excused;
        }
        let added = self.near.as_ref().filter(|near| near.stands_by(normal, range)).map_or(0.0, |near| near.adds);
        let confidence = self.confidence + added;
        // Decimal fractions do not add up exactly: 0.3 and 0.2 are meant to be 0.5.
        if confidence + f64::EPSILON * 8.0 >= self.least { Weight::Counts } else { Weight::Unsure(confidence) }
    }

    /// Why a text that should be found is not.
    pub fn excuse(&self, text: &str) -> String {
        let normal = Normal::of(text);
        for pattern in &self.patterns {
            if let Some(found) = pattern.regex.find(normal.text.as_bytes()) {
                let hit = normal.text.get(found.range()).unwrap_or_default();
                return match self.weigh(&normal, &found.range()) {
                    Weight::Checked(name) => format!("the pattern takes {hit:?}, the check {name} refuses it"),
                    Weight::Excused => format!("the pattern takes {hit:?}, a word of not_near stands beside it"),
                    Weight::Unsure(confidence) => {
                        format!("the pattern takes {hit:?} with confidence {confidence:.2}; it takes {:.2}", self.least)
                    }
                    Weight::Counts => format!("{hit:?} counts"),
                };
            }
        }
        let looked = if self.patterns.is_empty() { "none of the words stands in" } else { "the pattern does not take" };
        format!("{looked} {:?}, which is how rules see it", normal.text)
    }
}

impl Near {
    fn stands_by(&self, normal: &Normal, range: &std::ops::Range<usize>) -> bool {
        let start = normal.text.floor_char_boundary(range.start.saturating_sub(self.within));
        let end = normal.text.ceil_char_boundary((range.end + self.within).min(normal.text.len()));
        let mut is_near = false;
        self.words.find(normal, start..end, &mut |_, _| is_near = true);
        is_near
    }
}

impl Pattern {
    /// Compiles a pattern; says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.is_ascii() {
            return Err("patterns see text without accents and look-alikes: write plain letters".to_owned());
        }
        let bounded = format!(r"\b{{start-half}}(?:{text})\b{{end-half}}");
        let regex = RegexBuilder::new(&bounded)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(PROGRAM_MAX)
            .build()
            .map_err(|wrong| last_line(&wrong.to_string()))?;
        if regex.is_match(b"") {
            return Err("it matches nothing at all, and so everywhere".to_owned());
        }
        Ok(Self { reach: reach(text), regex })
    }
}

/// How far the matches go, if each holds a digit: such patterns are only tried around digits.
fn reach(text: &str) -> Option<Reach> {
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(text).ok()?;
    let (octets, digits) = (parsed.properties().maximum_len()?, least_digits(&parsed));
    (octets <= REACH_MAX && digits > 0).then_some(Reach { octets, digits })
}

/// So many digits are in every match.
fn least_digits(shape: &regex_syntax::hir::Hir) -> usize {
    use regex_syntax::hir::{Class, HirKind};
    match shape.kind() {
        HirKind::Literal(literal) => literal.0.iter().filter(|octet| octet.is_ascii_digit()).count(),
        HirKind::Class(Class::Bytes(class)) => usize::from(class.ranges().iter().all(|range| range.start() >= b'0' && range.end() <= b'9')),
        HirKind::Class(Class::Unicode(class)) => usize::from(class.ranges().iter().all(|range| range.start() >= '0' && range.end() <= '9')),
        HirKind::Repetition(repetition) => least_digits(&repetition.sub).saturating_mul(repetition.min as usize),
        HirKind::Capture(capture) => least_digits(&capture.sub),
        HirKind::Concat(shapes) => shapes.iter().map(least_digits).fold(0, usize::saturating_add),
        HirKind::Alternation(shapes) => shapes.iter().map(least_digits).min().unwrap_or_default(),
        HirKind::Empty | HirKind::Look(_) => 0,
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn read_words(page: &mut Page<'_>, value: &Value<'_>) -> Vec<Word> {
    let lists: Vec<(String, &Value<'_>)> = match value.get_ref() {
        DeValue::Table(languages) => {
            languages.keys().for_each(|key| page.language("words", key.get_ref(), key.span().start));
            languages.iter().map(|(language, list)| (format!("words.{}", language.get_ref()), list)).collect()
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            vec![("words".to_owned(), value)]
        }
    };
    lists
        .iter()
        .flat_map(|(key, list)| page.texts(key, list))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|(word, at)| read_word(page, &word, at))
        .collect()
}

fn read_word(page: &mut Page<'_>, word: &str, at: usize) -> Option<Word> {
    let parsed = Word::parse(word);
    if parsed.is_none() {
        page.advise(at, format!("not a word: {word:?}"), "letters or digits, with * only at the end: \"diagnos*\"");
    }
    parsed
}

fn read_patterns(page: &mut Page<'_>, value: &Value<'_>) -> Vec<Pattern> {
    let texts = page.texts("pattern", value);
    texts
        .into_iter()
        .filter_map(|(text, at)| match Pattern::parse(&text) {
            Ok(pattern) => Some(pattern),
            Err(wrong) => {
                page.advise(at, format!("pattern {text:?}"), wrong);
                None
            }
        })
        .collect()
}

fn read_check(page: &mut Page<'_>, value: &Value<'_>) -> Option<(&'static str, Check)> {
    let name = page.text("check", value)?;
    let found = CHECKS.iter().find(|(known, _)| *known == name).copied();
    if found.is_none() {
        let known: Vec<&str> = CHECKS.iter().map(|(known, _)| *known).collect();
        let help = offer(&name, &known, "checks");
        page.advise(value.span().start, format!("unknown check {name:?}"), help);
    }
    found
}

fn read_near(page: &mut Page<'_>, key: &str, value: &Value<'_>) -> Option<Near> {
    let table: &DeTable<'_> = page.table(key, value)?;
    let known: &[&str] = if key == "near" { &["words", "within", "adds"] } else { &["words", "within"] };
    page.keys(table, key, (known, &[]));
    let words = get(table, "words").map(|value| read_words(page, value)).unwrap_or_default();
    if words.is_empty() {
        page.advise(value.span().start, format!("{key}: words are missing"), format!("{key} = {{ words = [\"…\"], within = 60 }}"));
        return None;
    }
    let within = get(table, "within").and_then(|value| page.whole("within", value)).unwrap_or(WITHIN);
    let adds = get(table, "adds").and_then(|value| page.share("adds", value)).unwrap_or(ADDS);
    Some(Near { words: Lexicon::new(words)?, within: usize::try_from(within).ok()?.min(WITHIN_MAX), adds })
}

/// The rule's name: its file name without the ending.
pub fn name_of(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

const KEYS: &[&str] =
    &["title", "words", "pattern", "check", "confidence", "least", "threshold", "per", "near", "not_near", "matches", "ignores"];
const LATER: &[Later] = &[("state", "take the file away to switch the rule off")];
const PER: Choice<Per> = Choice { one: "per", many: "words", words: &[("message", Per::Message), ("part", Per::Part)], later: &[] };

/// A match counts from here on, unless the rule says otherwise.
const LEAST: f64 = 0.5;
/// Characters on either side.
const WITHIN: u32 = 60;
const WITHIN_MAX: usize = 1000;
const ADDS: f64 = 0.3;
/// Octets of a compiled pattern.
const PROGRAM_MAX: usize = 1 << 20;
/// A longer shape is tried on the whole text.
const REACH_MAX: usize = 128;
