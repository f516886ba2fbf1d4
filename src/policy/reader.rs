//! Reading a TOML table key by key: every mistake of the file at once, each with its line and the
//! nearest right word.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::{Mistake, nearest};

/// A value and where it stands.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// A word that later versions know: what it is, and what to write instead.
pub type Later = (&'static str, &'static str);

/// One file and what is wrong in it.
pub struct Page<'p> {
    file: &'p Path,
    text: &'p str,
    /// Everything found so far.
    pub mistakes: Vec<Mistake>,
}

/// The words of a choice, with what they are called and those that come later.
pub struct Choice<T: 'static> {
    /// `protection`.
    pub one: &'static str,
    /// `protections`.
    pub many: &'static str,
    /// Words and meanings.
    pub words: &'static [(&'static str, T)],
    /// Words of the language that are not in this version.
    pub later: &'static [Later],
}

impl<'p> Page<'p> {
    /// A page without mistakes.
    pub const fn new(file: &'p Path, text: &'p str) -> Self {
        Self { file, text, mistakes: Vec::new() }
    }

    /// The root table; what is not TOML is a mistake, and the rest is read all the same.
    pub fn root(&mut self) -> DeTable<'p> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let what = error.message().lines().next().unwrap_or("not TOML").to_lowercase();
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, what);
        }
        table.into_inner()
    }

    /// The line of an offset, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&octet| octet == b'\n').count() + 1
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, offset: usize, what: impl Into<String>) {
        self.mistakes.push(Mistake::at(self.file, self.text, offset, what));
    }

    /// Notes a mistake with advice.
    pub fn advise(&mut self, offset: usize, what: impl Into<String>, help: impl Into<String>) {
        self.mistakes.push(Mistake::at(self.file, self.text, offset, what).help(help));
    }

    /// Every key must be known; `of` names the table.
    pub fn keys(&mut self, table: &DeTable<'_>, of: &str, known: (&[&str], &[Later])) {
        for key in table.keys() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if known.0.contains(&name) {
                continue;
            }
            match known.1.iter().find(|(later, _)| *later == name) {
                Some((_, instead)) => self.advise(at, format!("{name}: not in this version"), *instead),
                None => {
                    let help = offer(name, known.0, "keys");
                    self.advise(at, format!("unknown key {name:?} in {of}"), help);
                }
            }
        }
    }

    /// A piece of text.
    pub fn text(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.expected(key, "text in quotes", value);
        }
        text
    }

    /// One text, or a list of them, each with its offset.
    pub fn texts(&mut self, key: &str, value: &Value<'_>) -> Vec<(String, usize)> {
        match value.get_ref() {
            DeValue::String(text) => vec![(text.to_string(), value.span().start)],
            DeValue::Array(list) if list.is_empty() => {
                self.advise(value.span().start, format!("{key}: an empty list"), "list something, or take the key away");
                Vec::new()
            }
            DeValue::Array(list) => list.iter().filter_map(|one| Some((self.text(key, one)?, one.span().start))).collect(),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
                self.expected(key, "text in quotes, or a list of such", value);
                Vec::new()
            }
        }
    }

    /// A whole number that is not negative.
    pub fn whole(&mut self, key: &str, value: &Value<'_>) -> Option<u32> {
        let number = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok());
        if number.is_none() {
            self.expected(key, "a whole number", value);
        }
        number
    }

    /// A whole number from one on.
    pub fn counting(&mut self, key: &str, value: &Value<'_>) -> Option<u32> {
        let number = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            self.expected(key, "a whole number from 1 on", value);
        }
        number
    }

    /// A key that is to be the tag of a language. RFC 5646.
    pub fn language(&mut self, key: &str, tag: &str, at: usize) {
        let primary = tag.split('-').next().unwrap_or_default();
        if !(matches!(primary.len(), 2..=3) && primary.bytes().all(|octet| octet.is_ascii_lowercase())) {
            self.advise(at, format!("{key}.{tag}: not the tag of a language"), format!("two or three small letters: {key}.en"));
        }
    }

    /// A number between nought and one.
    pub fn share(&mut self, key: &str, value: &Value<'_>) -> Option<f64> {
        let text = match value.get_ref() {
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
        };
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.expected(key, "a number from 0 to 1", value);
        }
        share
    }

    /// A table.
    pub fn table<'t, 'v>(&mut self, key: &str, value: &'v Value<'t>) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.expected(key, "a table", value);
        }
        table
    }

    /// The tables of a list; one table alone counts as a list of one.
    pub fn tables<'t, 'v>(&mut self, key: &str, value: &'v Value<'t>) -> Vec<(&'v DeTable<'t>, Range<usize>)> {
        match value.get_ref() {
            DeValue::Table(table) => vec![(table, value.span())],
            DeValue::Array(list) => list.iter().filter_map(|one| Some((self.table(key, one)?, one.span()))).collect(),
            DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                self.expected(key, "a table, or a list of tables", value);
                Vec::new()
            }
        }
    }

    /// One word of a choice.
    pub fn choose<T: Copy>(&mut self, choice: &Choice<T>, value: &Value<'_>) -> Option<T> {
        let word = self.text(choice.one, value)?;
        if let Some((_, meaning)) = choice.words.iter().find(|(known, _)| *known == word) {
            return Some(*meaning);
        }
        let at = value.span().start;
        match choice.later.iter().find(|(later, _)| *later == word) {
            Some((_, instead)) => self.advise(at, format!("{} {word:?}: not in this version", choice.one), *instead),
            None => {
                let known: Vec<&str> = choice.words.iter().map(|(known, _)| *known).collect();
                let help = offer(&word, &known, choice.many);
                self.advise(at, format!("unknown {} {word:?}", choice.one), help);
            }
        }
        None
    }

    /// The value is of the wrong kind.
    pub fn expected(&mut self, key: &str, kind: &str, value: &Value<'_>) {
        self.wrong(value.span().start, format!("{key}: expected {kind}"));
    }
}

/// The nearest word and all that there are.
pub fn offer(word: &str, known: &[&str], many: &str) -> String {
    let all = format!("{many}: {}", known.join(", "));
    match nearest(word, known) {
        Some(near) => format!("did you mean {near:?}?  {all}"),
        None => all,
    }
}

/// A table's value by its key.
pub fn get<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<&'v Value<'t>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}
