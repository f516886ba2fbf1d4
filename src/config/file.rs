//! One file's text: where each key stands, and what went wrong so far.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::{Mistake, nearest};
use crate::option::Described;

/// A parsed file that collects its mistakes.
pub struct File<'a> {
    path: &'a Path,
    text: &'a str,
    tables: BTreeMap<String, Table>,
    /// The tables of a list, by the table and key that it is the value of.
    lists: BTreeMap<(String, String), Vec<Table>>,
    /// Those that somebody knows.
    known: BTreeSet<(String, String)>,
    mistakes: Vec<Mistake>,
}

/// Where a table's keys and values stand.
struct Table {
    at: usize,
    keys: Vec<(String, usize, Range<usize>)>,
}

impl Table {
    fn new(at: usize, table: &DeTable<'_>) -> Self {
        let keys = table.iter().map(|(key, value)| (key.get_ref().to_string(), key.span().start, value.span())).collect();
        Self { at, keys }
    }

    /// Where a key's value stands, or the table itself.
    fn place(&self, key: &str) -> usize {
        self.keys.iter().find(|(name, ..)| name == key).map_or(self.at, |(_, _, span)| span.start)
    }
}

impl<'a> File<'a> {
    /// Parses the syntax; a file that is not TOML has this one mistake.
    pub fn parse(path: &'a Path, text: &'a str) -> Result<Self, Vec<Mistake>> {
        let root = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let what = match error.message() {
                "duplicate key" => String::from("this table or key stands here for the second time"),
                message => format!("not TOML: {}", quoted(&message.to_lowercase()).replace('\n', ", ")),
            };
            vec![Mistake::at(path, text, offset, what)]
        })?;
        let mut file = Self { path, text, tables: BTreeMap::new(), lists: BTreeMap::new(), known: BTreeSet::new(), mistakes: Vec::new() };
        for (name, value) in root.get_ref() {
            file.add(name, value);
        }
        Ok(file)
    }

    fn add(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let at = name.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("\"{}\" stands outside of any table", name.get_ref());
            self.mistakes.push(Mistake::at(self.path, self.text, at, what).help("tables begin with a line such as [smtp]"));
            return;
        };
        for (key, value) in table {
            let DeValue::Array(array) = value.get_ref() else { continue };
            let tables = array.iter().map(|element| element.get_ref().as_table().map(|table| Table::new(element.span().start, table)));
            if let Some(tables) = tables.collect::<Option<Vec<_>>>().filter(|tables| !tables.is_empty()) {
                self.lists.insert((name.get_ref().to_string(), key.get_ref().to_string()), tables);
            }
        }
        self.tables.insert(name.get_ref().to_string(), Table::new(at, table));
    }

    /// The options of each table of a list, `[[table.key]]`. To be asked before the table's own.
    pub fn fill_each<T: DeserializeOwned + Default>(&mut self, (table, key): (&str, &str), known: &[Described]) -> Vec<T> {
        let name = (table.to_owned(), key.to_owned());
        let found = self.lists.remove(&name).unwrap_or_default();
        if let Some(table) = self.tables.get_mut(table).filter(|_| !found.is_empty()) {
            table.keys.retain(|(name, ..)| name != key);
        }
        let filled = found.iter().map(|found| self.read(&format!("[[{table}.{key}]]"), found, known)).collect();
        self.known.insert(name.clone());
        self.lists.insert(name, found);
        filled
    }

    /// The options of one table: each key by itself, so that every wrong one is told.
    pub fn fill<T: DeserializeOwned + Default>(&mut self, table: &str, known: &[Described]) -> T {
        let Some(found) = self.tables.remove(table) else { return T::default() };
        let filled = self.read(&format!("[{table}]"), &found, known);
        self.tables.insert(table.to_owned(), found);
        filled
    }

    fn read<T: DeserializeOwned + Default>(&mut self, title: &str, found: &Table, known: &[Described]) -> T {
        let lists: Vec<String> = self.known.iter().filter(|(table, _)| title == format!("[{table}]")).map(|(_, key)| key.clone()).collect();
        let keys: Vec<&str> = known.iter().map(|option| option.key).chain(lists.iter().map(String::as_str)).collect();
        let mut good = String::new();
        let mut mistakes = Vec::new();
        for (key, at, span) in &found.keys {
            let Some(option) = known.iter().find(|option| option.key == key) else {
                let mistake = Mistake::at(self.path, self.text, *at, format!("unknown option \"{key}\" in {title}"));
                mistakes.push(mistake.help(advice(key, &keys)));
                continue;
            };
            let value = self.text.get(span.clone()).unwrap_or_default();
            let line = format!("{key} = {value}\n");
            match toml::from_str::<T>(&line) {
                Ok(_) => good.push_str(&line),
                Err(error) => {
                    let what = format!("{key} = {}: {}", shortened(value), expectation(error.message()));
                    let mistake = Mistake::at(self.path, self.text, span.start, what);
                    mistakes.push(if option.default.is_empty() {
                        mistake
                    } else {
                        mistake.help(format!("default: {key} = {}", option.default))
                    });
                }
            }
        }
        self.mistakes.extend(mistakes);
        toml::from_str(&good).unwrap_or_default()
    }

    /// Every table that nobody knows is a mistake.
    pub fn unknown_tables(&mut self, known: &[&str]) {
        for (name, table) in &self.tables {
            if !known.contains(&name.as_str()) {
                let mistake = Mistake::at(self.path, self.text, table.at, format!("unknown table [{name}]"));
                self.mistakes.push(mistake.help(advice(name, known)));
            }
        }
    }

    /// A mistake about a key's value, at its place if it is there, at its table or the file if not.
    pub fn mistake(&mut self, (table, key): (&str, &str), what: &str, help: &str) {
        let place = self.tables.get(table).map(|table| table.place(key));
        self.add_mistake(place, what, help);
    }

    /// The same in one table of a list.
    pub fn mistake_in(&mut self, ((table, list), number, key): ((&str, &str), usize, &str), what: &str, help: &str) {
        let found = self.lists.get(&(table.to_owned(), list.to_owned())).and_then(|tables| tables.get(number));
        let place = found.map(|table| table.place(key));
        self.add_mistake(place, what, help);
    }

    fn add_mistake(&mut self, place: Option<usize>, what: &str, help: &str) {
        let mistake = match place {
            Some(offset) => Mistake::at(self.path, self.text, offset, what),
            None => Mistake::whole(self.path, what),
        };
        self.mistakes.push(mistake.help(help));
    }

    /// All mistakes in the order of their lines, or none.
    pub fn finish(mut self) -> Result<(), Vec<Mistake>> {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        if self.mistakes.is_empty() { Ok(()) } else { Err(self.mistakes) }
    }
}

/// The nearest known word, and all of them.
fn advice(word: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("did you mean \"{near}\"?  known: {list}"),
        None => format!("known: {list}"),
    }
}

/// What should have stood there, in the words of who writes the file and not of who reads it.
fn expectation(message: &str) -> String {
    let Some((_, plain)) = EXPECTATIONS.iter().find(|(words, _)| message.contains(words)) else {
        return match message.split_once("expected ") {
            Some((_, expected)) => format!("expected {}", quoted(expected)),
            None => quoted(message),
        };
    };
    (*plain).to_owned()
}

/// Back-ticks are for readers of Markdown.
fn quoted(message: &str) -> String {
    message.replace('`', "\"")
}

/// A value on one line, as far as it is needed to recognise it.
fn shortened(value: &str) -> String {
    let line: Vec<&str> = value.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(VALUE_SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// What the deserialisers say, and what it means.
const EXPECTATIONS: [(&str, &str); 10] = [
    ("expected a sequence", "expected a list in square brackets"),
    ("expected a string", "expected text in quotes"),
    ("expected path string", "expected a path in quotes"),
    ("socket address", "expected an address with its port, as in \"127.0.0.1:25\" or \"[::]:25\""),
    ("IP address", "expected an address, as in \"192.0.2.1\", or networks, as in \"192.0.2.0/24\" or \"2001:db8::/32\""),
    ("expected u", "expected a whole number from 0 up"),
    ("expected i", "expected a whole number"),
    ("expected a boolean", "expected true or false"),
    ("string only", "expected one of its words in quotes"),
    ("wanted string or table", "expected one of its words in quotes"),
];
/// Characters.
const VALUE_SHOWN: usize = 60;
