//! From an attachment inwards: each thing is probed, read by every reading that fits, and what
//! is inside is looked at the same way, under one budget.

use bytes::Bytes;

use super::archive::Archive;
use super::budget::Budget;
use super::data::Data;
use super::hidden::{Hidden, hidden};
use super::kind::{self, Kind};
use super::{Extracted, Passage, Unread, Why, html, letter, office, pdf, plain};

/// Something to look into.
pub struct Item<'a> {
    /// From the attachment inwards; empty for the attachment itself.
    pub place: Vec<String>,
    /// Its file name.
    pub name: &'a str,
    /// The type that somebody gave it.
    pub declared: &'a str,
    /// Its octets.
    pub content: Bytes,
    /// How many containers it stands in.
    pub depth: usize,
}

impl Item<'_> {
    /// The place of something inside; the same place when it has no name of its own.
    pub fn inside(&self, name: &str) -> Vec<String> {
        let mut place = self.place.clone();
        if !name.is_empty() {
            place.push(name.chars().take(PLACE_MAX).collect());
        }
        place
    }
}

/// What a walk may look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    Everything,
    /// Nothing but what is plain: see [`Kind::is_plain`].
    Plain,
}

/// One look at one attachment.
pub struct Walk {
    found: Extracted,
    budget: Budget,
    reach: Reach,
    /// Whether it came to something that it may not look into.
    is_stopped: bool,
}

impl Walk {
    /// For an attachment of this many octets.
    pub fn new(octets: usize, reach: Reach) -> Self {
        Self { found: Extracted::default(), budget: Budget::new(octets as u64), reach, is_stopped: false }
    }

    /// What was found; nothing at all where something was out of reach.
    pub fn finish(self) -> Option<Extracted> {
        (!self.is_stopped).then_some(self.found)
    }

    /// Looks at something by every reading that fits it.
    pub fn look(&mut self, item: &Item<'_>) {
        let kinds = kind::probe(&item.content, item.name, item.declared);
        self.is_stopped |= self.reach == Reach::Plain && kinds.iter().any(|kind| !kind.is_plain());
        if kinds.is_empty() {
            self.met("application/octet-stream");
            self.unread(&item.place, Why::Unknown);
        }
        for kind in kinds {
            if self.is_stopped || self.budget.is_spent() {
                return;
            }
            self.reading(item, kind);
        }
    }

    /// Text was found. Empty text is nothing.
    pub fn say(&mut self, place: &[String], text: String) {
        if text.trim().is_empty() || self.budget.is_spent() {
            return;
        }
        match self.budget.text(text.len()) {
            Ok(()) => self.found.passages.push(Passage { place: place.to_vec(), text }),
            Err(_) => self.unread(place, Why::OverBudget),
        }
    }

    /// Something was not read.
    pub fn unread(&mut self, place: &[String], why: Why) {
        let unread = Unread { place: place.to_vec(), why };
        if self.found.unread.last() != Some(&unread) {
            self.found.unread.push(unread);
        }
    }

    /// A file stands inside under this name.
    pub fn name(&mut self, place: Vec<String>) {
        self.found.names.push(place);
    }

    /// A type was met.
    pub fn met(&mut self, media: &str) {
        if !self.found.types.iter().any(|known| known == media) {
            self.found.types.push(media.to_owned());
        }
    }

    /// What is left.
    pub const fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Whether to stop.
    pub const fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    fn reading(&mut self, item: &Item<'_>, kind: Kind) {
        match kind {
            Kind::Zip => return self.zip(item),
            Kind::Markup | Kind::Message | Kind::Pdf if self.budget.depth(item.depth).is_err() => {
                self.met(kind.media());
                return self.unread(&item.place, Why::OverBudget);
            }
            Kind::Text | Kind::Markup | Kind::Message | Kind::Pdf | Kind::Compound | Kind::Opaque(_) | Kind::Foreign(_) => {}
        }
        self.met(kind.media());
        match kind {
            Kind::Text => plain::readings(&item.content, item.declared).into_iter().for_each(|text| self.say(&item.place, text)),
            Kind::Markup => plain::readings(&item.content, item.declared).iter().for_each(|source| self.markup(item, source)),
            Kind::Message => letter::read(self, item),
            Kind::Pdf => pdf::read(self, item),
            Kind::Compound => self.unread(&item.place, compound(&item.content)),
            Kind::Opaque(_) => {
                self.say(&item.place, plain::captions(&item.content));
                self.unread(&item.place, Why::Opaque);
            }
            Kind::Foreign("application/pgp-encrypted") => self.unread(&item.place, Why::Encrypted),
            Kind::Zip | Kind::Foreign(_) => self.unread(&item.place, Why::Unknown),
        }
    }

    /// A document in tags, the files in its URLs, and those in its scripts and comments.
    fn markup(&mut self, item: &Item<'_>, source: &str) {
        let html::Page { text, files } = html::read(source);
        self.say(&item.place, text);
        // Whoever reads it as XML is shown what its entities stand for.
        if source.contains("<!ENTITY") {
            self.unread(&item.place, Why::Damaged);
        }
        for Data { declared, content } in files {
            self.within(item, &declared, content);
        }
        for found in hidden(source) {
            match found {
                Hidden::Words(words) => self.say(&item.place, words),
                // Letters that happen to look like base64 are no file.
                Hidden::Octets(octets) if kind::probe(&octets, "", "").is_empty() => {}
                Hidden::Octets(octets) => self.within(item, "", octets.into()),
                // The text says so as well, and whoever looks at it knows what that means.
                Hidden::Sealed => {}
                Hidden::Unreadable(_) => self.unread(&item.place, Why::Unknown),
            }
        }
    }

    /// Something that stands in something else without a name.
    fn within(&mut self, item: &Item<'_>, declared: &str, content: Bytes) {
        if self.budget.entry().and_then(|()| self.budget.expand(content.len())).is_err() {
            return self.unread(&item.place, Why::OverBudget);
        }
        self.look(&Item { place: item.place.clone(), name: "", declared, content, depth: item.depth + 1 });
    }

    fn zip(&mut self, item: &Item<'_>) {
        let opened = match self.budget.depth(item.depth) {
            Ok(()) => Archive::open(&item.content, &mut self.budget),
            Err(_) => Err(Why::OverBudget),
        };
        match opened {
            Ok(archive) if archive.find(office::CONTENT_TYPES).is_some() => office::read(self, item, &archive),
            Ok(archive) if archive.entries.first().is_some_and(|entry| entry.name == "mimetype") => {
                self.met("application/vnd.oasis.opendocument");
                self.unread(&item.place, Why::Unknown);
            }
            Ok(archive) => self.entries(item, &archive),
            Err(why) => {
                self.met(Kind::Zip.media());
                self.unread(&item.place, why);
            }
        }
    }

    /// What stands in an archive beside its entries. A comment can be any file; what is none has words at most.
    pub fn remarks(&mut self, item: &Item<'_>, archive: &Archive<'_>) {
        let (none, files): (Vec<_>, Vec<_>) = archive.remarks.iter().partition(|remark| kind::probe(remark, "", "").is_empty());
        self.say(&item.place, none.into_iter().map(|remark| plain::strings(remark)).collect());
        files.into_iter().for_each(|remark| self.within(item, "", remark.clone().into()));
    }

    fn entries(&mut self, item: &Item<'_>, archive: &Archive<'_>) {
        self.met(Kind::Zip.media());
        self.remarks(item, archive);
        for entry in archive.entries.iter().filter(|entry| !entry.is_folder()) {
            let place = item.inside(&entry.name);
            self.name(place.clone());
            match archive.read(entry, &mut self.budget) {
                Ok(content) => {
                    self.look(&Item { place, name: &entry.name, declared: "", content: content.into(), depth: item.depth + 1 });
                }
                Err(why) => self.unread(&place, why),
            }
            if self.budget.is_spent() {
                return;
            }
        }
    }
}

/// [MS-OFFCRYPTO] 2.3.4.4: an encrypted document is a compound file with this stream.
fn compound(content: &[u8]) -> Why {
    let stream: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    if content.windows(stream.len()).any(|window| window == stream) { Why::Encrypted } else { Why::Unknown }
}

/// Longer names are cut where they name a place.
const PLACE_MAX: usize = 255;
