//! Cells of workbooks, read row by row and handed out in blocks that know their range: a number is
//! judged beside the words of its row and of the heading above it.
//!
//! Hidden sheets, rows and columns are read like any other. ECMA-376 part 1 §18.

use std::cell::Cell;
use std::collections::HashMap;

use super::Why;
use super::archive::Archive;
use super::office::speaks;
use super::said::Said;
use super::walk::Walk;
use super::xml::{self, Element, Visit};

/// What the sheets of a workbook share.
#[derive(Debug, Default)]
pub struct Book {
    strings: Vec<Shared>,
    /// What the attributes and comments beside them say.
    said: String,
    /// Part name to the sheet's own name.
    names: HashMap<String, String>,
}

impl Book {
    /// Reads the shared strings and the names of sheets.
    pub fn read(walk: &mut Walk, archive: &Archive<'_>) -> Self {
        let mut book = Self::default();
        let targets = part(walk, archive, "xl/_rels/workbook.xml.rels", Targets::default()).0;
        let sheets = part(walk, archive, "xl/workbook.xml", Sheets::default()).0;
        for (id, name) in sheets {
            if let Some(target) = targets.get(&id) {
                let path = target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned);
                book.names.insert(path, name);
            }
        }
        let strings = part(walk, archive, "xl/sharedStrings.xml", Strings::default());
        book.strings = strings.done.into_iter().map(|text| Shared { text, is_shown: Cell::new(false) }).collect();
        book.said = strings.said.finish();
        book
    }

    /// What is shared and stands in no cell that was handed out.
    pub fn rest(&self) -> String {
        let unshown = self.strings.iter().filter(|shared| !shared.is_shown.get());
        unshown.flat_map(|shared| [shared.text.as_str(), "\n"]).chain([self.said.as_str()]).collect()
    }

    /// The sheet's name, by the name of its part.
    pub fn name(&self, part: &str) -> Option<&str> {
        self.names.get(part).map(String::as_str)
    }

    /// Hands out the cells of a sheet. The last element of `place` is the sheet's name.
    pub fn sheet(&self, walk: &mut Walk, place: &[String], content: &[u8]) {
        let mut cells =
            Cells { book: self, blocks: Vec::new(), block: Block::default(), cell: OpenCell::default(), budget: 0, aside: Said::default() };
        let end = xml::walk(content, &mut cells);
        cells.flush();
        let Cells { blocks, aside, budget, .. } = cells;
        if budget > super::budget::TEXT_MAX {
            walk.unread(place, Why::OverBudget);
        }
        for block in blocks {
            walk.say(&block.place(place), block.text);
        }
        walk.say(place, aside.finish());
        if let Err(why) = end {
            walk.unread(place, why);
        }
    }
}

#[derive(Debug)]
struct Shared {
    text: String,
    is_shown: Cell<bool>,
}

/// A part that others refer to; absent parts are fine, broken ones are noted.
fn part<V: Visit>(walk: &mut Walk, archive: &Archive<'_>, name: &str, mut visit: V) -> V {
    if let Some(entry) = archive.find(name) {
        let end = archive.read(entry, walk.budget()).and_then(|content| xml::walk(&content, &mut visit));
        if let Err(why) = end {
            walk.unread(&[name.to_owned()], why);
        }
    }
    visit
}

#[derive(Default)]
struct Targets(HashMap<String, String>);

impl Visit for Targets {
    fn open(&mut self, element: &Element<'_>) {
        if let (Some(id), Some(target)) = (element.attribute("Id"), element.attribute("Target")) {
            self.0.insert(id, target);
        }
    }
    fn characters(&mut self, _: &str) {}
    fn close(&mut self, _: &str) {}
}

#[derive(Default)]
struct Sheets(Vec<(String, String)>);

impl Visit for Sheets {
    fn open(&mut self, element: &Element<'_>) {
        if element.name() == "sheet"
            && let (Some(id), Some(name)) = (element.attribute("id"), element.attribute("name"))
        {
            self.0.push((id, name));
        }
    }
    fn characters(&mut self, _: &str) {}
    fn close(&mut self, _: &str) {}
}

#[derive(Default)]
struct Strings {
    done: Vec<String>,
    current: String,
    in_text: bool,
    said: Said,
}

impl Visit for Strings {
    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            "si" => self.current.clear(),
            "t" => self.in_text = true,
            _ => {}
        }
        let values = element.attributes().into_iter().filter(|(key, value)| speaks(element.name(), key, value));
        values.for_each(|(_, value)| self.said.push(&value));
    }
    fn aside(&mut self, text: &str) {
        self.said.push(text);
    }
    fn characters(&mut self, text: &str) {
        if self.in_text || !text.trim().is_empty() {
            self.current.push_str(text);
        }
    }
    fn close(&mut self, name: &str) {
        match name {
            "si" => self.done.push(std::mem::take(&mut self.current)),
            "t" => self.in_text = false,
            _ => {}
        }
    }
}

struct Cells<'a> {
    book: &'a Book,
    blocks: Vec<Block>,
    block: Block,
    cell: OpenCell,
    /// Octets handed out of the shared strings: one long string may be referred to by every cell.
    budget: usize,
    /// Formulas with text in them, headers, footers, and what attributes say: hints, links.
    aside: Said,
}

/// A cell that has not ended.
#[derive(Default)]
struct OpenCell {
    reference: String,
    kind: String,
    value: String,
    formula: String,
    within: Within,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Within {
    #[default]
    Nothing,
    Value,
    Formula,
}

impl Visit for Cells<'_> {
    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            "c" => {
                self.cell = OpenCell {
                    reference: element.attribute("r").unwrap_or_default(),
                    kind: element.attribute("t").unwrap_or_default(),
                    ..OpenCell::default()
                };
            }
            "v" | "t" => self.cell.within = Within::Value,
            "f" => self.cell.within = Within::Formula,
            _ => {}
        }
        let name = element.name();
        // A cell has a million brothers, and of all its attributes only the place is long.
        if name == "c" && is_bare(element.raw(), &self.cell.reference) {
            return;
        }
        for (key, value) in element.attributes() {
            if speaks(name, &key, &value) {
                self.aside.push(&value);
            }
        }
    }

    fn aside(&mut self, text: &str) {
        self.aside.push(text);
    }

    fn characters(&mut self, text: &str) {
        match self.cell.within {
            Within::Value => self.cell.value.push_str(text),
            Within::Formula => self.cell.formula.push_str(text),
            Within::Nothing => self.aside.push(text),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "v" | "t" | "f" => self.cell.within = Within::Nothing,
            "c" => self.cell_ends(),
            "row" => {
                self.block.row_ends();
                if self.block.rows >= ROWS || self.block.text.len() >= BLOCK {
                    self.flush();
                }
            }
            _ => {}
        }
    }
}

impl Cells<'_> {
    fn cell_ends(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        let value = match cell.kind.as_str() {
            "s" => self.shared(&cell.value),
            "" | "n" => number(&cell.value),
            _ => cell.value,
        };
        if !value.is_empty() {
            self.block.push(&cell.reference, &value);
        }
        if says_something(&cell.formula) {
            self.aside.push(&cell.formula);
        }
    }

    fn shared(&mut self, index: &str) -> String {
        let Some(shared) = index.trim().parse().ok().and_then(|index: usize| self.book.strings.get(index)) else { return String::new() };
        shared.is_shown.set(true);
        let found = shared.text.clone();
        self.budget = self.budget.saturating_add(found.len());
        if self.budget > super::budget::TEXT_MAX { String::new() } else { found }
    }

    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        if !block.text.is_empty() {
            self.blocks.push(block);
        }
    }
}

/// Whether the tag of a cell has room for its place, and numbers of a style and a type, and no more.
fn is_bare(tag: &str, reference: &str) -> bool {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    is_place(reference) && tag.len() <= CELL_MAX && digits(tag) < digits(reference) + NUMBER_MIN
}

/// `C7`.
fn is_place(reference: &str) -> bool {
    let row = reference.trim_start_matches(|c: char| c.is_ascii_uppercase());
    reference.len() - row.len() <= 3 && row.len() <= 7 && row.bytes().all(|octet| octet.is_ascii_digit())
}

/// Whether there is more in a formula than places and functions: texts, names of sheets, long numbers.
fn says_something(formula: &str) -> bool {
    let mut digits = 0;
    formula.contains(['"', '\''])
        || formula.bytes().any(|octet| {
            digits = if octet.is_ascii_digit() { digits + 1 } else { 0 };
            digits >= NUMBER_MIN
        })
}

/// Some rows, their cells apart by tabs.
#[derive(Default)]
struct Block {
    text: String,
    first: String,
    last: String,
    rows: usize,
}

impl Block {
    fn push(&mut self, reference: &str, value: &str) {
        if self.first.is_empty() {
            reference.clone_into(&mut self.first);
        }
        reference.clone_into(&mut self.last);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\t');
        }
        self.text.push_str(value);
    }

    fn row_ends(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
            self.rows += 1;
        }
    }

    /// `Sheet1!A1:F20`, or `Sheet1!C7` where it is one cell.
    fn place(&self, place: &[String]) -> Vec<String> {
        let range = if self.first == self.last { self.first.clone() } else { format!("{}:{}", self.first, self.last) };
        let mut place = place.to_vec();
        if let Some(sheet) = place.last_mut() {
            *sheet = format!("{sheet}!{range}");
        }
        place
    }
}

/// Large numbers stand in scientific notation: 1.98507099805E11 is shown as 198507099805.
fn number(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(read) if value.contains(['e', 'E']) && read.abs() < 1e16 => format!("{read}"),
        _ => value.to_owned(),
    }
}

/// `c r="XFD1048576" s="1234" t="s"`.
const CELL_MAX: usize = 32;
/// Digits of a number that is no ordinary amount.
const NUMBER_MIN: usize = 6;
/// Rows of a block: enough that a heading stands near the first numbers, few enough to be found by eye.
const ROWS: usize = 20;
/// Octets of text after which a block ends early.
const BLOCK: usize = 4096;
