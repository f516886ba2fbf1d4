//! Documents in the Office Open XML packaging: docx, xlsx, pptx and their macro and template forms.
//!
//! Every part of the package is looked at, listed in a relation or not: a part that no reader shows
//! today is shown by the next. ECMA-376.

use super::archive::{Archive, Entry};
use super::walk::{Item, Walk};
use super::xml::{self, Element, Visit};
use super::{Why, plain, sheet};

/// Reads every part of a package.
pub fn read(walk: &mut Walk, item: &Item<'_>, archive: &Archive<'_>) {
    let media = media_type(archive);
    walk.met(media);
    walk.remarks(item, archive);
    let book = if archive.find("xl/workbook.xml").is_some() { sheet::Book::read(walk, archive) } else { sheet::Book::default() };
    let mut order: Vec<&Entry> = archive.entries.iter().filter(|entry| !entry.is_folder()).collect();
    // The body first, then the rest as it stands in the package.
    order.sort_by_key(|entry| (entry.name != "word/document.xml", natural(&entry.name)));
    for entry in order {
        if walk.is_spent() {
            return;
        }
        part(walk, item, (archive, &book), entry);
    }
}

fn part(walk: &mut Walk, item: &Item<'_>, (archive, book): (&Archive<'_>, &sheet::Book), entry: &Entry) {
    let name = entry.name.as_str();
    let is_xml = name.ends_with(".xml") || name.ends_with(".vml");
    if name.ends_with(".rels") || name == CONTENT_TYPES {
        return;
    }
    let place = item.inside(&shown_place(name, book));
    let content = match archive.read(entry, walk.budget()) {
        Ok(content) => content,
        Err(why) => return walk.unread(&place, why),
    };
    if name.starts_with("xl/printerSettings/") {
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
    /// What attributes say.
    said: String,
    in_text: usize,
    in_beside: usize,
    in_numbers: usize,
}

impl Text {
    const fn new(style: Style) -> Self {
        Self { style, shown: String::new(), beside: String::new(), said: String::new(), in_text: 0, in_beside: 0, in_numbers: 0 }
    }

    fn line(&mut self) {
        if !self.shown.is_empty() && !self.shown.ends_with('\n') {
            self.shown.push('\n');
        }
    }

    fn finish(mut self) -> String {
        for more in [&self.beside, &self.said] {
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
            _ => {}
        }
        // Text in boxes stands inside the paragraph that it is anchored in.
        if matches!(name, "txbxContent" | "txBody") {
            self.line();
        }
        for (key, value) in element.attributes() {
            let wanted = self.style == Style::Data || SAID.contains(&key.as_str());
            if wanted && !value.trim().is_empty() {
                self.said.push_str(value.trim());
                self.said.push('\n');
            }
        }
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

/// The part that every package has. ECMA-376 part 2 §10.1.2.
pub const CONTENT_TYPES: &str = "[Content_Types].xml";
/// Attributes that a reader sees or hears: alternative texts, tips, captions, values of caches.
const SAID: [&str; 8] = ["descr", "title", "tooltip", "alt", "caption", "displayName", "author", "string"];
