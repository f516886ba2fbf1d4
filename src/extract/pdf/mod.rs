//! Text of PDF documents: pages, what is drawn from forms, notes and fields, and embedded files.
//!
//! Earlier revisions are read as well, because a reader can go back to them. ISO 32000-1.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, Stream};

use self::page::Painter;
use super::budget::ENTRY_MAX;
use super::said::Said;
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
        self.objects(walk, &painter, known);
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
                say(walk, known, &place, shown.beside);
            }
            Err(why) => walk.unread(&place, why),
        }
    }

    /// Forms that no page draws itself, the looks of notes and fields, and patterns, which are drawn like them.
    fn forms(&self, walk: &mut Walk, painter: &mut Painter<'_>, known: &mut HashSet<String>) {
        for (id, object) in &self.document.objects {
            let Object::Stream(stream) = object else { continue };
            let is_pattern = stream.dict.get(b"PatternType").and_then(Object::as_i64).is_ok_and(|kind| kind == 1);
            if (is_pattern || is_named(&stream.dict, b"Subtype", b"Form")) && !painter.has_drawn(*id) {
                match painter.form(*id, walk.budget()) {
                    Ok(shown) => {
                        say(walk, known, &self.item.place, shown.text);
                        say(walk, known, &self.item.place, shown.beside);
                    }
                    Err(why) => walk.unread(&self.item.place, why),
                }
            }
        }
    }

    /// Texts and files that hang on objects: notes, fields, titles, links, metadata, attachments.
    fn objects(&self, walk: &mut Walk, painter: &Painter<'_>, known: &mut HashSet<String>) {
        let mut found = Found::default();
        for (id, object) in &self.document.objects {
            found.collect(*id, object);
        }
        found.walk(b"", &Object::Dictionary(self.document.trailer.clone()));
        for id in self.document.get_pages().into_values() {
            found.read.extend(self.document.get_page_contents(id));
        }
        say(walk, known, &self.item.place, std::mem::take(&mut found.said).finish());
        for id in &found.markup {
            if let Ok(stream) = self.document.get_object(*id).and_then(Object::as_stream) {
                match inflate(walk, stream) {
                    Ok(content) => say(walk, known, &self.item.place, html::text(&plain::decode(&content, ""))),
                    Err(why) => walk.unread(&self.item.place, why),
                }
            }
        }
        for id in &found.files {
            self.file(walk, *id, found.names.get(id).map_or("attachment", String::as_str));
        }
        self.rest(walk, known, |id| found.has_read(id) || painter.has_drawn(id));
    }

    /// Streams that nobody has read and that are text: scripts, long values, what programs keep for themselves.
    fn rest(&self, walk: &mut Walk, known: &mut HashSet<String>, has_read: impl Fn(ObjectId) -> bool) {
        for (id, object) in &self.document.objects {
            let Object::Stream(stream) = object else { continue };
            if has_read(*id) || is_textless(&stream.dict) {
                continue;
            }
            match inflate(walk, stream) {
                Ok(content) if plain::is_text(&content) => say(walk, known, &self.item.place, plain::decode(&content, "")),
                Ok(_) => {}
                Err(why) => walk.unread(&self.item.place, why),
            }
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
    /// Every string, whatever its key: links, notes, values, names of things.
    said: Said,
    markup: BTreeSet<ObjectId>,
    files: BTreeSet<ObjectId>,
    names: BTreeMap<ObjectId, String>,
    /// Streams of pages, and those that hold no text by what they are for.
    read: BTreeSet<ObjectId>,
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
        self.walk(b"", object);
    }

    fn has_read(&self, id: ObjectId) -> bool {
        [&self.markup, &self.files, &self.read].iter().any(|known| known.contains(&id))
    }

    /// Looks at an object and all that stands in it; what it refers to is an object of its own.
    fn walk<'o>(&mut self, key: &'o [u8], object: &'o Object) {
        let mut waiting = vec![(key, object)];
        while let Some((key, object)) = waiting.pop() {
            match object {
                Object::Array(items) => waiting.extend(items.iter().map(|item| (key, item))),
                Object::Dictionary(dictionary) | Object::Stream(Stream { dict: dictionary, .. }) => {
                    self.specification(dictionary);
                    waiting.extend(dictionary.iter().map(|(key, value)| (key.as_slice(), value)));
                }
                Object::String(octets, _) => self.string(key, octets),
                Object::Name(name) => self.name(name),
                Object::Reference(id) if key == b"XFA" => {
                    self.markup.insert(*id);
                }
                Object::Reference(id) if TEXTLESS.contains(&key) => {
                    self.read.insert(*id);
                }
                Object::Reference(_) | Object::Null | Object::Boolean(_) | Object::Integer(_) | Object::Real(_) => {}
            }
        }
    }

    fn string(&mut self, key: &[u8], octets: &[u8]) {
        let text = text_string(octets);
        let is_date = text.starts_with("D:19") || text.starts_with("D:20");
        if key == b"ID" || (is_date && text.chars().skip(2).all(|c| c.is_ascii_digit() || "+-Z'".contains(c))) {
            return;
        }
        // Signatures and keys are strings as well.
        match plain::is_text(octets) {
            true => self.said.push(&text),
            false => plain::strings(octets).lines().for_each(|line| self.said.push(line)),
        }
    }

    /// A name with a number in it is a value that somebody chose.
    fn name(&mut self, name: &[u8]) {
        if name.iter().filter(|octet| octet.is_ascii_digit()).count() >= NUMBER_MIN {
            self.said.push(&text_string(name));
        }
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

/// Whether a stream is a picture, or part of the file's own frame.
fn is_textless(dictionary: &Dictionary) -> bool {
    let pictures: [&[u8]; 4] = [b"DCTDecode", b"JPXDecode", b"CCITTFaxDecode", b"JBIG2Decode"];
    let filter = dictionary.get(b"Filter").ok();
    let filters = filter.into_iter().flat_map(|filter| filter.as_array().map_or_else(|_| std::slice::from_ref(filter), Vec::as_slice));
    let is_frame = [&b"XRef"[..], b"ObjStm"].iter().any(|frame| is_named(dictionary, b"Type", frame));
    is_frame
        || is_named(dictionary, b"Subtype", b"Image")
        || filters.filter_map(|filter| filter.as_name().ok()).any(|name| pictures.contains(&name))
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
/// Keys of streams that are fonts, tables of letters and pictures. ISO 32000-1 §8.9, §9.
const TEXTLESS: [&[u8]; 11] = [
    b"FontFile",
    b"FontFile2",
    b"FontFile3",
    b"ToUnicode",
    b"Encoding",
    b"UseCMap",
    b"CIDToGIDMap",
    b"CIDSet",
    b"SMask",
    b"Mask",
    b"Thumb",
];
/// Digits of a name that no program makes up.
const NUMBER_MIN: usize = 6;
