//! Text of PDF documents: pages, what is drawn from forms, notes and fields, and embedded files.
//!
//! Earlier revisions are read as well, because a reader can go back to them. ISO 32000-1.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, Stream};

use self::page::Painter;
use super::budget::ENTRY_MAX;
use super::walk::{Item, Walk};
use super::{Why, html, plain};

mod page;

/// Looks at every revision of a document.
pub fn read(walk: &mut Walk, item: &Item<'_>) {
    let mut known = HashSet::new();
    let revisions = revisions(&item.content);
    for (index, end) in revisions.iter().enumerate() {
        if walk.is_spent() {
            return;
        }
        let content = item.content.get(..*end).unwrap_or_default();
        match load(content) {
            Ok(document) => Revision { document: &document, item }.read(walk, &mut known),
            // An earlier revision that does not load is no document on its own: linearised files begin with one.
            Err(_) if index > 0 => {}
            Err(why) => walk.unread(&item.place, why),
        }
        if index >= REVISIONS_MAX {
            return walk.unread(&item.place, Why::OverBudget);
        }
    }
}

/// The ends of all revisions, the newest first.
fn revisions(content: &[u8]) -> Vec<usize> {
    let marks = content.windows(END_MARK.len()).enumerate().filter(|(_, window)| *window == END_MARK).map(|(at, _)| at + END_MARK.len());
    let mut ends: Vec<usize> = marks.collect();
    // What follows the last mark belongs to the newest.
    ends.pop();
    ends.push(content.len());
    ends.reverse();
    ends.truncate(REVISIONS_MAX + 1);
    ends
}

fn load(content: &[u8]) -> Result<Document, Why> {
    let options = LoadOptions::with_max_decompressed_size(ENTRY_MAX / 4);
    let document = Document::load_mem_with_options(content, options).map_err(|error| fault(&error))?;
    if document.is_encrypted() || document.was_encrypted() || document.trailer.has(b"Encrypt") {
        return Err(Why::Encrypted);
    }
    Ok(document)
}

fn fault(error: &lopdf::Error) -> Why {
    if let lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. } | lopdf::DecompressError::TooManyFilters { .. }) =
        error
    {
        return Why::OverBudget;
    }
    let said = error.to_string();
    if said.contains("encrypt") || said.contains("password") || said.contains("decrypt") { Why::Encrypted } else { Why::Damaged }
}

struct Revision<'a> {
    document: &'a Document,
    item: &'a Item<'a>,
}

impl Revision<'_> {
    fn read(&self, walk: &mut Walk, known: &mut HashSet<String>) {
        let mut painter = Painter::new(self.document);
        let pages = self.document.get_pages();
        for (number, id) in &pages {
            if walk.budget().entry().is_err() {
                return walk.unread(&self.item.place, Why::OverBudget);
            }
            let shown = painter.page(*id, walk.budget());
            self.page(walk, (*number, shown), known);
        }
        if pages.is_empty() {
            walk.unread(&self.item.place, Why::Damaged);
        }
        self.forms(walk, &mut painter, known);
        self.objects(walk, known);
    }

    fn page(&self, walk: &mut Walk, (number, shown): (u32, Result<page::Shown, Why>), known: &mut HashSet<String>) {
        let place = self.item.inside(&format!("page {number}"));
        match shown {
            Ok(shown) => {
                let blank = shown.text.trim().is_empty();
                if shown.undecoded {
                    walk.unread(&place, Why::Unknown);
                }
                if shown.pictures || (blank && shown.draws) {
                    walk.unread(&place, Why::Opaque);
                }
                say(walk, known, &place, shown.text);
            }
            Err(why) => walk.unread(&place, why),
        }
    }

    /// Forms that no page draws itself: the looks of notes and fields.
    fn forms(&self, walk: &mut Walk, painter: &mut Painter<'_>, known: &mut HashSet<String>) {
        for (id, object) in &self.document.objects {
            let Object::Stream(stream) = object else { continue };
            if is_named(&stream.dict, b"Subtype", b"Form") && !painter.has_drawn(*id) {
                match painter.form(*id, walk.budget()) {
                    Ok(shown) => say(walk, known, &self.item.place, shown.text),
                    Err(why) => walk.unread(&self.item.place, why),
                }
            }
        }
    }

    /// Texts and files that hang on objects: notes, fields, titles, metadata, attachments.
    fn objects(&self, walk: &mut Walk, known: &mut HashSet<String>) {
        let mut found = Found::default();
        for (id, object) in &self.document.objects {
            found.collect(*id, object);
        }
        if let Ok(info) = self.document.trailer.get(b"Info").and_then(Object::as_dict) {
            found.dictionary(info);
        }
        say(walk, known, &self.item.place, found.texts);
        for id in found.markup {
            if let Ok(stream) = self.document.get_object(id).and_then(Object::as_stream) {
                match inflate(walk, stream) {
                    Ok(content) => say(walk, known, &self.item.place, html::text(&plain::decode(&content, ""))),
                    Err(why) => walk.unread(&self.item.place, why),
                }
            }
        }
        for id in found.files {
            self.file(walk, id, found.names.get(&id).map_or("attachment", String::as_str));
        }
    }

    fn file(&self, walk: &mut Walk, id: ObjectId, name: &str) {
        let Ok(stream) = self.document.get_object(id).and_then(Object::as_stream) else { return };
        let place = self.item.inside(name);
        walk.name(place.clone());
        if walk.budget().entry().is_err() {
            return walk.unread(&place, Why::OverBudget);
        }
        match inflate(walk, stream) {
            Ok(content) => walk.look(&Item { place, name, declared: "", content: content.into(), depth: self.item.depth + 1 }),
            Err(why) => walk.unread(&place, why),
        }
    }
}

/// What hangs on the objects of a document.
#[derive(Default)]
struct Found {
    texts: String,
    markup: BTreeSet<ObjectId>,
    files: BTreeSet<ObjectId>,
    names: BTreeMap<ObjectId, String>,
}

impl Found {
    fn collect(&mut self, id: ObjectId, object: &Object) {
        if let Object::Stream(stream) = object {
            if is_named(&stream.dict, b"Type", b"EmbeddedFile") {
                self.files.insert(id);
            } else if is_named(&stream.dict, b"Type", b"Metadata") {
                self.markup.insert(id);
            }
        }
        let mut waiting = vec![object];
        while let Some(object) = waiting.pop() {
            match object {
                Object::Array(items) => waiting.extend(items),
                Object::Dictionary(dictionary) | Object::Stream(Stream { dict: dictionary, .. }) => {
                    self.dictionary(dictionary);
                    waiting.extend(dictionary.iter().map(|(_, value)| value));
                }
                Object::Null
                | Object::Boolean(_)
                | Object::Integer(_)
                | Object::Real(_)
                | Object::Name(_)
                | Object::String(..)
                | Object::Reference(_) => {}
            }
        }
    }

    fn dictionary(&mut self, dictionary: &Dictionary) {
        for (key, value) in dictionary {
            match value {
                Object::String(octets, _) if TEXTS.contains(&key.as_slice()) => {
                    self.texts.push_str(&text_string(octets));
                    self.texts.push('\n');
                }
                Object::Array(items) if key.as_slice() == b"XFA" => {
                    self.markup.extend(items.iter().filter_map(|item| item.as_reference().ok()))
                }
                Object::Reference(id) if key.as_slice() == b"XFA" => {
                    self.markup.insert(*id);
                }
                // Choices and lists of values: arrays of strings.
                Object::Array(items) if matches!(key.as_slice(), b"Opt" | b"V") => {
                    for octets in items.iter().filter_map(|item| item.as_str().ok()) {
                        self.texts.push_str(&text_string(octets));
                        self.texts.push('\n');
                    }
                }
                Object::Null
                | Object::Boolean(_)
                | Object::Integer(_)
                | Object::Real(_)
                | Object::Name(_)
                | Object::String(..)
                | Object::Array(_)
                | Object::Dictionary(_)
                | Object::Stream(_)
                | Object::Reference(_) => {}
            }
        }
        self.specification(dictionary);
    }

    /// A file specification gives its embedded file a name. ISO 32000-1 §7.11.3.
    fn specification(&mut self, dictionary: &Dictionary) {
        let Ok(embedded) = dictionary.get(b"EF").and_then(Object::as_dict) else { return };
        let name = dictionary.get(b"UF").or_else(|_| dictionary.get(b"F")).and_then(Object::as_str).map(text_string).unwrap_or_default();
        for id in embedded.iter().filter_map(|(_, file)| file.as_reference().ok()) {
            self.files.insert(id);
            if !name.is_empty() {
                self.names.insert(id, name.clone());
            }
        }
    }
}

/// Says what no page has said already.
fn say(walk: &mut Walk, known: &mut HashSet<String>, place: &[String], text: String) {
    if known.insert(text.trim().to_owned()) {
        walk.say(place, text);
    }
}

fn inflate(walk: &mut Walk, stream: &Stream) -> Result<Vec<u8>, Why> {
    let content = stream.get_plain_content_with_limit(ENTRY_MAX / 2).map_err(|error| fault(&error))?;
    walk.budget().expand(content.len()).map_err(|_| Why::OverBudget)?;
    Ok(content)
}

fn is_named(dictionary: &Dictionary, key: &[u8], name: &[u8]) -> bool {
    dictionary.get(key).and_then(Object::as_name).is_ok_and(|found| found == name)
}

/// ISO 32000-1 §7.9.2.2: UTF-16 with a mark, UTF-8 with a mark, or nearly windows-1252.
fn text_string(octets: &[u8]) -> String {
    match encoding_rs::Encoding::for_bom(octets) {
        Some((encoding, _)) => encoding.decode(octets).0.into_owned(),
        None => encoding_rs::WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    }
}

const END_MARK: &[u8] = b"%%EOF";
/// Earlier revisions that are read; each is a whole document.
const REVISIONS_MAX: usize = 8;
/// Keys whose strings a person reads: notes, fields, titles, bookmarks, alternative texts, captions, scripts.
const TEXTS: [&[u8]; 19] = [
    b"Contents",
    b"T",
    b"TU",
    b"V",
    b"DV",
    b"RC",
    b"Title",
    b"Author",
    b"Subject",
    b"Keywords",
    b"Alt",
    b"ActualText",
    b"E",
    b"Desc",
    b"UF",
    b"F",
    b"CA",
    b"JS",
    b"Subj",
];
