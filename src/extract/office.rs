//! Documents in the Office Open XML packaging: docx, xlsx, pptx and their macro and template forms.
//!
//! Every part of the package is looked at, listed in a relation or not: a part that no reader shows
//! today is shown by the next. ECMA-376.

use super::archive::{Archive, Entry};
use super::said::Said;
use super::walk::{Item, Walk};
use super::xml::{self, Element, Visit};
use super::{Why, plain, sheet};

/// Reads every part of a package.
pub fn read(walk: &mut Walk, item: &Item<'_>, archive: &Archive<'_>) {
    let media = media_type(archive);
    walk.met(media);
    walk.remarks(item, archive);
    // Strings are shared whatever the workbook is called.
    let book = sheet::Book::read(walk, archive);
    let mut order: Vec<&Entry> = archive.entries.iter().filter(|entry| !entry.is_folder()).collect();
    // The body first, then the rest as it stands in the package.
    order.sort_by_key(|entry| (entry.name != "word/document.xml", natural(&entry.name)));
    for entry in order {
        if walk.is_spent() {
            return;
        }
        part(walk, item, (archive, &book), entry);
    }
    walk.say(&item.place, book.rest());
    let mut names = Said::default();
    archive.entries.iter().for_each(|entry| names.push(&entry.name));
    walk.say(&item.place, names.finish());
}

fn part(walk: &mut Walk, item: &Item<'_>, (archive, book): (&Archive<'_>, &sheet::Book), entry: &Entry) {
    let name = entry.name.as_str();
    let is_xml = [".xml", ".vml", ".rels"].iter().any(|ending| name.ends_with(ending));
    let place = item.inside(&shown_place(name, book));
    let content = match archive.read(entry, walk.budget()) {
        Ok(content) => content,
        Err(why) => return walk.unread(&place, why),
    };
    if name.contains("/printerSettings/") {
        walk.say(&place, plain::strings(&content));
    } else if name.starts_with("word/fonts/") && name.ends_with(".odttf") {
        // Fonts are stored with their first octets masked, so their signature is gone. ECMA-376 part 4 §2.8.1.
        walk.unread(&place, Why::Opaque);
    } else if !is_xml {
        walk.name(item.inside(name));
        walk.look(&Item { place: item.inside(name), name, declared: "", content: content.into(), depth: item.depth + 1 });
    } else if name.starts_with("xl/worksheets/") && !name.contains("/_rels/") {
        book.sheet(walk, &place, &content);
    } else if name != "xl/sharedStrings.xml" {
        let mut text = Text::new(style(name));
        let end = xml::walk(&content, &mut text);
        walk.say(&place, text.finish());
        if let Err(why) = end {
            walk.unread(&place, why);
        }
    }
}

/// How the text of a part is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Paragraphs of runs: white space counts only inside a text element.
    Runs,
    /// Every element is a line of its own, and every attribute is a value.
    Data,
}

fn style(name: &str) -> Style {
    if name.starts_with("customXml/") || name.starts_with("docProps/") || name.starts_with("xl/pivotCache/") || name == "xl/workbook.xml" {
        Style::Data
    } else {
        Style::Runs
    }
}

/// Collects the text of a part.
struct Text {
    style: Style,
    shown: String,
    /// Deleted text, field codes: not in the flow, so that they cannot split a word of it.
    beside: String,
    /// What attributes and comments say.
    said: Said,
    in_text: usize,
    in_beside: usize,
    in_numbers: usize,
}

impl Text {
    fn new(style: Style) -> Self {
        Self { style, shown: String::new(), beside: String::new(), said: Said::default(), in_text: 0, in_beside: 0, in_numbers: 0 }
    }

    fn line(&mut self) {
        if !self.shown.is_empty() && !self.shown.ends_with('\n') {
            self.shown.push('\n');
        }
    }

    fn finish(mut self) -> String {
        for more in [&self.beside, &self.said.finish()] {
            if !more.trim().is_empty() {
                if !self.shown.is_empty() && !self.shown.ends_with('\n') {
                    self.shown.push('\n');
                }
                self.shown.push_str(more.trim_end());
                self.shown.push('\n');
            }
        }
        self.shown
    }
}

impl Visit for Text {
    fn open(&mut self, element: &Element<'_>) {
        let name = element.name();
        match name {
            "t" => self.in_text += 1,
            "instrText" | "delText" | "delInstrText" => self.in_beside += 1,
            "posOffset" | "pctWidth" | "pctHeight" | "pctPosHOffset" | "pctPosVOffset" | "align" => self.in_numbers += 1,
            "br" | "cr" => self.line(),
            "tab" | "ptab" if !self.shown.is_empty() => self.shown.push('\t'),
            "noBreakHyphen" => self.shown.push('-'),
            "sym" => self.shown.extend(symbol(element)),
            _ => {}
        }
        // Text in boxes stands inside the paragraph that it is anchored in.
        if matches!(name, "txbxContent" | "txBody") {
            self.line();
        }
        for (key, value) in element.attributes() {
            if self.style == Style::Data || speaks(name, &key, &value) {
                self.said.push(&value);
            }
        }
    }

    fn aside(&mut self, text: &str) {
        self.said.push(text);
    }

    fn characters(&mut self, text: &str) {
        let blank = text.trim().is_empty();
        if self.in_numbers > 0 || (blank && self.in_text == 0 && self.in_beside == 0) {
            return;
        }
        if self.in_beside > 0 { self.beside.push_str(text) } else { self.shown.push_str(text) }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.in_text = self.in_text.saturating_sub(1),
            "instrText" | "delText" | "delInstrText" => {
                self.in_beside = self.in_beside.saturating_sub(1);
                // A deleted run may be cut into pieces like any other.
                if name != "delText" {
                    self.beside.push('\n');
                }
            }
            "posOffset" | "pctWidth" | "pctHeight" | "pctPosHOffset" | "pctPosVOffset" | "align" => {
                self.in_numbers = self.in_numbers.saturating_sub(1);
            }
            "tc" => self.shown.push('\t'),
            "p" => {
                self.line();
                if !self.beside.is_empty() && !self.beside.ends_with('\n') {
                    self.beside.push('\n');
                }
            }
            "tr" | "comment" | "text" | "si" | "pt" | "v" | "definedName" => self.line(),
            _ if self.style == Style::Data => self.line(),
            _ => {}
        }
    }
}

/// A character by its number; fonts of symbols have theirs in a private area. ECMA-376 part 1 §17.3.3.30.
fn symbol(element: &Element<'_>) -> Option<char> {
    let code = u32::from_str_radix(&element.attribute("char")?, 16).ok()?;
    char::from_u32(if (0xf000..0xf100).contains(&code) { code - 0xf000 } else { code })
}

/// Whether an attribute can be text. Places, sizes and identities are as long as the numbers of people
/// and say nothing, so a bare number counts only where somebody types it.
pub fn speaks(element: &str, key: &str, value: &str) -> bool {
    SAID.contains(&key) || (key == "val" && NAMED.contains(&element)) || !is_measure(value)
}

/// A number with a sign and a unit, or the name that a program gives a thing: `{1A2B…}`, `00AB12CD`.
fn is_measure(value: &str) -> bool {
    let value = value.trim();
    let bare = value.strip_prefix(['-', '+']).unwrap_or(value);
    let unit = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = bare.len() > unit.len() && unit.len() <= UNIT_MAX && unit.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'%');
    let hexadecimal = |text: &str| text.bytes().all(|octet| octet.is_ascii_hexdigit());
    let guid = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inside| {
        let groups: Vec<&str> = inside.split('-').collect();
        groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| hexadecimal(group))
    });
    number || guid || (value.len() == 8 && hexadecimal(value))
}

fn media_type(archive: &Archive<'_>) -> &'static str {
    let has = |name: &str| archive.find(name).is_some();
    if has("word/document.xml") {
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    } else if has("xl/workbook.xml") || has("xl/workbook.bin") {
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    } else if has("ppt/presentation.xml") {
        "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    } else {
        "application/vnd.openxmlformats-package"
    }
}

/// The body has no place of its own; other parts go by their file name: `comments`, `slide 3`, `Sheet1`.
fn shown_place(name: &str, book: &sheet::Book) -> String {
    if name == "word/document.xml" {
        return String::new();
    }
    if let Some(sheet) = book.name(name) {
        return sheet.to_owned();
    }
    let stem = name.rsplit('/').next().unwrap_or(name).split('.').next().unwrap_or(name);
    let letters = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.strip_prefix(letters) {
        Some(number) if !number.is_empty() && !letters.is_empty() => format!("{letters} {number}"),
        _ => stem.to_owned(),
    }
}

/// `slide2` before `slide10`.
fn natural(name: &str) -> (String, u64) {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    (name.chars().filter(|c| !c.is_ascii_digit()).collect(), digits.parse().unwrap_or(u64::MAX))
}

/// `pt`, `emu`, `%`.
const UNIT_MAX: usize = 3;
/// The part that every package has. ECMA-376 part 2 §10.1.2.
pub const CONTENT_TYPES: &str = "[Content_Types].xml";
/// Attributes that a reader sees or hears, whatever they hold: alternative texts, tips, captions, choices,
/// values of caches.
const SAID: [&str; 19] = [
    "descr",
    "title",
    "tooltip",
    "alt",
    "caption",
    "displayName",
    "displayText",
    "author",
    "string",
    "value",
    "instr",
    "prompt",
    "promptTitle",
    "error",
    "errorTitle",
    "display",
    "formatCode",
    "tag",
    "comment",
];
/// Elements whose `val` is a text that somebody typed. ECMA-376 part 1 §17.5.2, §17.15.1, §17.16.
const NAMED: [&str; 9] = ["alias", "tag", "docVar", "listEntry", "default", "format", "statusText", "helpText", "title"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_identities_are_silent_and_all_else_speaks() {
        for (element, key, value, expect) in [
            ("listItem", "displayText", "8507099805", true),
            ("alias", "val", "8507099805", true),
            ("creationId", "val", "2850709980", false),
            ("extent", "cx", "5943600", false),
            ("shape", "width", "12.5pt", false),
            ("p", "paraId", "85070998", false),
            ("ext", "uri", "{28A0092B-C50C-407E-A947-70E740481C1C}", false),
            ("id", "val", "-1505812302", false),
            ("anything", "of", "850709-9805", true),
            ("anything", "of", "+850709 9805", true),
            ("style", "val", "Heading 1", true),
        ] {
            assert_eq!(speaks(element, key, value), expect, "{element} {key} {value}");
        }
    }
}
