//! Looking into a message: every part once, every text as its reader sees it.
//!
//! The strict scanner's view, plus every other reading of a text that some program takes, and the files
//! that are written into texts. What cannot be read is a finding of its own and never clean. What is a
//! file is said in [`mail::nature`](crate::mail::nature). Decides nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::extract::data::Data;
use crate::extract::hidden::{Hidden, hidden};
use crate::extract::{Extracted, Unread, Why, html};
use crate::mail::nature::{Nature, Natures};
use crate::mail::sealed::{self, Secrecy};
use crate::mail::{HeaderField, Message, Part, decode, header};

use super::recogniser::Recogniser;
use super::rule::Per;
use super::{AMBIGUOUS, Attachment, END_TO_END, Encrypted, Finding, Inspection, OPAQUE, Place, UNINSPECTABLE};

/// Turns name, declared type and content of a file into text.
pub type ReadFile<'r> = &'r dyn Fn(&str, &str, &Bytes) -> Extracted;

/// What the walk through a message comes across.
pub enum Seen<'s> {
    /// Text, and where it stands.
    Text(Place, Cow<'s, str>),
    /// Text of a header field, and the name of the field.
    Field(String, String),
    /// A file.
    File(Attachment),
    /// A built-in finding, and why.
    BuiltIn(&'static str, Place, String),
}

/// Looks into every part with all rules.
pub fn inspect(recogniser: &Recogniser, message: &Message, read: ReadFile<'_>) -> Inspection {
    let mut tally =
        Tally { recogniser, hits: Vec::new(), known: BTreeMap::new(), built_in: BTreeSet::new(), inspection: Inspection::default() };
    walk(message, read, &mut |seen| tally.take(seen));
    tally.finish()
}

/// Tells everything that there is to see, outermost first.
pub fn walk(message: &Message, read: ReadFile<'_>, tell: &mut dyn FnMut(Seen<'_>)) {
    for ambiguity in message.ambiguities().iter().take(AMBIGUITIES_MAX) {
        tell(Seen::BuiltIn(AMBIGUOUS, Place::Message, ambiguity.reason.to_owned()));
    }
    let mut walk = Walk { message, natures: Natures::of(message), read, tell };
    walk.header();
    walk.part(message.root(), None);
}

struct Walk<'w> {
    message: &'w Message,
    natures: Natures,
    read: ReadFile<'w>,
    tell: &'w mut dyn FnMut(Seen<'_>),
}

impl Walk<'_> {
    fn header(&mut self) {
        for field in self.message.header().fields() {
            if field.is("Subject") {
                let subject = decode::unstructured(&field.value());
                self.unhide(&subject, &Place::Subject, NESTED_MAX);
                self.say(Place::Subject, subject);
            } else if NAMING.iter().any(|name| field.is(name)) {
                names_of(field).into_iter().for_each(|text| self.field(field, text));
            } else if !field.name().to_ascii_lowercase().starts_with("content-") {
                self.field(field, field.words());
            }
        }
    }

    fn field(&mut self, field: &HeaderField, text: String) {
        self.unhide(&text, &Place::Header, NESTED_MAX);
        if !text.trim().is_empty() {
            (self.tell)(Seen::Field(field.name().to_owned(), text));
        }
    }

    fn part(&mut self, part: &Part, parent: Option<&Part>) {
        let nature = self.natures.get(part);
        self.names(part, nature);
        self.fields(part, nature, parent);
        match sealed::secrecy(self.message, part) {
            Secrecy::Open => {}
            Secrecy::Pretended => (self.tell)(Seen::BuiltIn(UNINSPECTABLE, place_of(part, nature), PRETENDED.to_owned())),
            Secrecy::Sealed => {
                (self.tell)(Seen::BuiltIn(END_TO_END, Place::Body(part.id), "encrypted by its sender".to_owned()));
                // Nothing in it is for us to read, but its frame can carry words.
                part.children.iter().for_each(|child| self.fields(child, nature, Some(part)));
                self.say(Place::Body(part.id), decode::unlabelled(&self.message.body(part)));
                return;
            }
        }
        match nature {
            Nature::Frame => part.children.iter().for_each(|child| self.part(child, Some(part))),
            Nature::Text | Nature::Html => self.text(part),
            Nature::Apparatus if sealed::is_signature(self.message, part, parent) => self.signature(part),
            Nature::Apparatus if part.file_name.is_none() && matches!(part.media_type.kind.as_str(), "text" | "message") => self.text(part),
            Nature::Apparatus | Nature::Picture | Nature::File => self.file(part, nature),
        }
    }

    /// What only has the shape of a signature can hold words and files all the same.
    fn signature(&mut self, part: &Part) {
        let place = Place::Body(part.id);
        let (body, content) = (self.message.body(part), self.message.decoded(part));
        for octets in [&body, &content] {
            let text = decode::unlabelled(octets);
            for found in hidden(&text) {
                if let Hidden::Words(words) = found {
                    self.say(place.clone(), words);
                }
            }
            self.say(place.clone(), text);
        }
        self.within(Within { declared: UNKNOWN, content, doubt: Doubt::Guessed }, &place, NESTED_MAX);
    }

    /// The names by which a part is offered for opening. A forwarded message without one is called by
    /// its subject.
    fn names(&mut self, part: &Part, nature: Nature) {
        if nature == Nature::Frame {
            return;
        }
        let inner = part.children.first().filter(|_| part.is_message() && part.file_name.is_none());
        let inner = inner.and_then(|message| message.header.first("Subject")).map(|field| decode::unstructured(&field.value()));
        for name in part.file_name.clone().into_iter().chain(inner) {
            self.unhide(&name, &Place::FileName(part.id), NESTED_MAX);
            self.say(Place::FileName(part.id), name.replace('_', " "));
        }
    }

    /// What stands in the header of a part, or before and behind its parts, beside structure and names.
    fn fields(&mut self, part: &Part, nature: Nature, parent: Option<&Part>) {
        let place = place_of(part, nature);
        let of_part = |name: &str| parent.is_some() || name.to_ascii_lowercase().starts_with("content-");
        for field in part.header.fields().iter().filter(|field| of_part(field.name())) {
            let words = field.words();
            self.unhide(&words, &place, NESTED_MAX);
            self.say(place.clone(), words);
        }
        if part.is_multipart() {
            for octets in self.message.outside(part) {
                let text = decode::unlabelled(&octets);
                self.unhide(&text, &place, NESTED_MAX);
                self.say(place.clone(), text);
            }
        }
    }

    fn say<'s>(&mut self, place: Place, text: impl Into<Cow<'s, str>>) {
        let text = text.into();
        if !text.trim().is_empty() {
            (self.tell)(Seen::Text(place, text));
        }
    }

    fn text(&mut self, part: &Part) {
        let place = Place::Body(part.id);
        let octets = self.message.decoded(part);
        let source = decode::text(&octets, part);
        let mut readings = Vec::new();
        let is_page = part.media_type.is("text", "html");
        if is_page || has_tags(&source, part) {
            let html::Page { text, files } = html::read(&source);
            readings.push(Cow::Owned(text));
            for Data { declared, content } in files {
                self.within(Within { declared: &declared, content, doubt: Doubt::Named }, &place, NESTED_MAX);
            }
        }
        if !is_page {
            readings.push(Cow::Borrowed(&*source));
        }
        self.other_readings(part, (&octets, &source), &mut readings);
        self.unhide(&source, &place, NESTED_MAX);
        readings.into_iter().for_each(|text| self.say(place.clone(), text));
    }

    /// What those see who do not believe the label: another character set, or no text at all.
    fn other_readings(&mut self, part: &Part, (octets, source): (&Bytes, &str), readings: &mut Vec<Cow<'_, str>>) {
        let plain = std::str::from_utf8(octets).is_ok_and(|text| text == source) && memchr::memchr2(0, 0x1b, octets).is_none();
        let start = octets.trim_ascii_start();
        if plain && !DOCUMENTS.iter().any(|magic| start.starts_with(magic)) {
            return;
        }
        let unlabelled = decode::unlabelled(octets);
        if unlabelled != source {
            readings.push(Cow::Owned(unlabelled));
        }
        if octets.contains(&0x1b) {
            readings.push(Cow::Owned(encoding_rs::ISO_2022_JP.decode(octets).0.into_owned()));
        }
        let declared = match part.media_type.parameter("charset") {
            Some(charset) => format!("{}; charset={charset}", part.media_type),
            None => part.media_type.to_string(),
        };
        let extracted = (self.read)("", &declared, octets);
        let passages = extracted.passages.into_iter().map(|passage| passage.text);
        readings.extend(passages.filter(|text| text != source).map(Cow::Owned));
        for unread in &extracted.unread {
            let (finding, why) = name_unread(unread);
            (self.tell)(Seen::BuiltIn(finding, Place::Body(part.id), why.to_owned()));
        }
    }

    /// Files that were written into a text, and into those: `depth` says how often they may be.
    fn unhide(&mut self, text: &str, place: &Place, depth: usize) {
        for found in hidden(text) {
            let Some(depth) = depth.checked_sub(1) else {
                return (self.tell)(Seen::BuiltIn(UNINSPECTABLE, place.clone(), "written in too deeply".to_owned()));
            };
            match found {
                Hidden::Words(words) => {
                    self.unhide(&words, place, depth);
                    self.say(place.clone(), words);
                }
                Hidden::Octets(octets) => {
                    self.within(Within { declared: UNKNOWN, content: octets.into(), doubt: Doubt::Guessed }, place, depth);
                }
                Hidden::Sealed => (self.tell)(Seen::BuiltIn(END_TO_END, place.clone(), "encrypted by its sender".to_owned())),
                Hidden::Unreadable(why) => (self.tell)(Seen::BuiltIn(UNINSPECTABLE, place.clone(), why.to_owned())),
            }
        }
    }

    /// A file that stands in a text.
    fn within(&mut self, file: Within<'_>, place: &Place, depth: usize) {
        let extracted = (self.read)("", file.declared, &file.content);
        for name in extracted.names.iter().filter_map(|names| names.last()) {
            self.say(place.clone(), name.replace('_', " "));
        }
        for passage in extracted.passages {
            self.unhide(&passage.text, place, depth);
            self.say(place.clone(), passage.text);
        }
        // That letters which look like a file are none says nothing.
        let none = extracted.types.iter().all(|media| media == UNKNOWN);
        for unread in &extracted.unread {
            if file.doubt == Doubt::Named || !(none && unread.why == Why::Unknown || unread.why == Why::Opaque) {
                let (finding, why) = name_unread(unread);
                (self.tell)(Seen::BuiltIn(finding, place.clone(), why.to_owned()));
            }
        }
    }

    fn file(&mut self, part: &Part, nature: Nature) {
        let content = self.message.decoded(part);
        let name = part.file_name.clone().unwrap_or_default();
        let declared = part.media_type.to_string();
        let extracted = (self.read)(&name, &declared, &content);
        let drawn_in_place = nature == Nature::Picture;
        let place = |inside: &[String]| if drawn_in_place { Place::Body(part.id) } else { Place::Attachment(part.id, inside.to_vec()) };
        for names in &extracted.names {
            // The place is what holds the name: an explanation must not show what it masks.
            if let Some((name, holder)) = names.split_last() {
                self.say(place(holder), name.replace('_', " "));
            }
        }
        for passage in extracted.passages {
            let place = place(&passage.place);
            self.unhide(&passage.text, &place, NESTED_MAX);
            self.say(place, passage.text);
        }
        for unread in &extracted.unread {
            let (finding, why) = name_unread(unread);
            (self.tell)(Seen::BuiltIn(finding, place(&unread.place), why.to_owned()));
        }
        let drawn = |kind: &String| kind.starts_with("image/");
        let disguised = drawn_in_place && !part.media_type.is("image", "svg+xml") && !extracted.types.iter().all(drawn);
        if disguised {
            (self.tell)(Seen::BuiltIn(UNINSPECTABLE, place(&[]), "says that it is a picture and is none".to_owned()));
        }
        if nature == Nature::File {
            let behind_password = extracted.unread.iter().any(|unread| unread.why == Why::Encrypted);
            let mut types = vec![declared];
            types.extend(extracted.types);
            types.dedup();
            let encrypted = if behind_password { Encrypted::Yes } else { Encrypted::No };
            (self.tell)(Seen::File(Attachment { part: part.id, name, types, size: content.len() as u64, encrypted }));
        }
    }
}

fn place_of(part: &Part, nature: Nature) -> Place {
    if nature == Nature::File { Place::Attachment(part.id, Vec::new()) } else { Place::Body(part.id) }
}

/// Display names, comments, names of groups, and all of what is no address, or only in quotes.
fn names_of(field: &HeaderField) -> Vec<String> {
    let mailboxes = decode::addresses(&field.value()).mailboxes;
    let quoted = mailboxes.iter().filter(|(_, mailbox)| mailbox.is_quoted()).map(|(_, mailbox)| mailbox.local_part().to_owned());
    let mut names: Vec<String> = quoted.collect();
    names.extend(mailboxes.into_iter().filter_map(|(name, _)| name));
    let rest = header::outside_angles(&decode::unstructured(&field.value()));
    let rest: Vec<&str> = rest.split_whitespace().filter(|word| !word.contains('@')).collect();
    let rest = rest.join(" ");
    if !names.contains(&rest) {
        names.push(rest);
    }
    names
}

/// A file that stands in a text.
struct Within<'w> {
    declared: &'w str,
    content: Bytes,
    doubt: Doubt,
}

/// How sure it is that something is a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// The text says so.
    Named,
    /// It may be letters.
    Guessed,
}

/// Whether some reader takes a text for HTML: any subtype that may have tags, and plain text that
/// begins like a page.
fn has_tags(text: &str, part: &Part) -> bool {
    match part.media_type.subtype.as_str() {
        "plain" => {
            let start: String = text.trim_start().chars().take(PAGE_START).collect::<String>().to_ascii_lowercase();
            start.starts_with("<!doctype") || start.starts_with("<html")
        }
        _ => text.contains('<'),
    }
}

/// Hits and files of one message while it is looked at.
struct Tally<'t> {
    recogniser: &'t Recogniser,
    /// Rule, the hit without separators, and the finding.
    hits: Vec<(usize, String, Finding)>,
    /// How many findings there are of a rule in a part.
    known: BTreeMap<(usize, String), BTreeSet<String>>,
    /// Where there are built-in findings, and which.
    built_in: BTreeSet<(&'static str, String)>,
    inspection: Inspection,
}

impl Tally<'_> {
    fn take(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::File(file) => self.inspection.attachments.push(file),
            Seen::BuiltIn(rule, place, why) => {
                *self.inspection.counts.entry(rule.to_owned()).or_default() += 1;
                // Beyond the limit one for each place is kept all the same: a verdict covers places.
                let first = self.built_in.insert((rule, part_of(&place)));
                if first || self.inspection.findings.len() < BUILT_IN_MAX {
                    self.inspection.findings.push(Finding { rule: rule.to_owned(), place, masked: why });
                }
            }
            Seen::Text(place, text) => self.look(&place, &text, ""),
            Seen::Field(name, text) => self.look(&Place::Header, &text, &format!(" in {name}")),
        }
    }

    /// `within` tells more of the place, for people.
    fn look(&mut self, place: &Place, text: &str, within: &str) {
        let (hits, known) = (&mut self.hits, &mut self.known);
        let rules = self.recogniser.rules();
        self.recogniser.look(text, &mut |hit| {
            let key: String = hit.text.chars().filter(|c| c.is_alphanumeric()).collect();
            let here = known.entry((hit.rule, part_of(place))).or_default();
            if here.len() < HITS_MAX && here.insert(key.clone()) {
                let rule = rules.get(hit.rule).map(|rule| rule.name.clone()).unwrap_or_default();
                let masked = format!("{}{within}", mask(&hit.text));
                hits.push((hit.rule, key, Finding { rule, place: place.clone(), masked }));
            }
        });
    }

    /// Rules whose threshold is reached, with their hits.
    fn finish(mut self) -> Inspection {
        for (number, rule) in self.recogniser.rules().iter().enumerate() {
            let threshold = usize::try_from(rule.threshold).unwrap_or(usize::MAX);
            let mine = self.known.iter().filter(|((hit, _), _)| *hit == number);
            let full_parts: BTreeSet<&String> =
                mine.clone().filter(|(_, keys)| keys.len() >= threshold).map(|((_, part), _)| part).collect();
            let distinct: BTreeSet<&String> = match rule.per {
                Per::Message => mine.flat_map(|(_, keys)| keys).collect(),
                Per::Part => mine.filter(|((_, part), _)| full_parts.contains(part)).flat_map(|(_, keys)| keys).collect(),
            };
            if distinct.is_empty() || distinct.len() < threshold {
                continue;
            }
            self.inspection.counts.insert(rule.name.clone(), distinct.len());
            let shown = self
                .hits
                .iter()
                .filter(|(hit, _, finding)| *hit == number && (rule.per == Per::Message || full_parts.contains(&part_of(&finding.place))));
            self.inspection.findings.extend(shown.map(|(_, _, finding)| finding.clone()));
        }
        self.inspection
    }
}

/// The kind and part of a place, whatever is inside it: what coverage goes by.
fn part_of(place: &Place) -> String {
    match place {
        Place::Subject => "subject".to_owned(),
        Place::Header => "header".to_owned(),
        Place::Message => "message".to_owned(),
        Place::Body(part) => format!("body {}", part.0),
        Place::FileName(part) => format!("name {}", part.0),
        Place::Attachment(part, _) => format!("file {}", part.0),
    }
}

/// Letters and digits beyond the first few become dots: enough to recognise, too little to use.
pub fn mask(hit: &str) -> String {
    let count = hit.chars().filter(|c| c.is_alphanumeric()).count();
    let (front, back) = if count >= MASK_BOTH_ENDS { (2, 2) } else { (count.div_ceil(4), 0) };
    let mut seen = 0;
    hit.chars()
        .map(|c| {
            if !c.is_alphanumeric() {
                return c;
            }
            seen += 1;
            if seen <= front || seen > count - back { c } else { '•' }
        })
        .collect()
}

const fn name_unread(unread: &Unread) -> (&'static str, &'static str) {
    match unread.why {
        Why::Opaque => (OPAQUE, "carries no text"),
        Why::Encrypted => (UNINSPECTABLE, "behind a password"),
        Why::Damaged => (UNINSPECTABLE, "damaged, or not what it says it is"),
        Why::Unknown => (UNINSPECTABLE, "a format that is not read"),
        Why::OverBudget => (UNINSPECTABLE, "too deep, too many, too large or too long"),
    }
}

/// Fields whose addresses have display names.
const NAMING: &[&str] = &[
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
    "Mail-Followup-To",
];
/// Of what calls itself encrypted and is not: never clean, whatever is found in it.
const PRETENDED: &str = "says that it is encrypted, and is not";
/// Documents that are written in ASCII.
const DOCUMENTS: &[&[u8]] = &[b"{\\rtf", b"%PDF", b"%!PS"];
/// What is declared of something of which nobody says what it is; found, it is nothing known.
const UNKNOWN: &str = "application/octet-stream";
/// How often a file may be written into a text that was written into a text.
const NESTED_MAX: usize = 4;
/// `<!doctype` and a little more.
const PAGE_START: usize = 16;
/// A shorter hit shows its beginning only.
const MASK_BOTH_ENDS: usize = 9;
/// Reasons beyond these say nothing new.
const AMBIGUITIES_MAX: usize = 20;
/// Different hits of one rule in one part; more are more of the same.
const HITS_MAX: usize = 200;
/// Built-in findings that are listed, beside the first of each place; all of them are counted.
const BUILT_IN_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::PartId;

    #[test]
    fn a_crowd_of_findings_in_one_place_hides_none_in_another() {
        let recogniser = Recogniser::new(Vec::new()).unwrap();
        let inspection = Inspection::default();
        let mut tally = Tally { recogniser: &recogniser, hits: Vec::new(), known: BTreeMap::new(), built_in: BTreeSet::new(), inspection };
        let file = Place::Attachment(PartId(1), Vec::new());
        for _ in 0..2 * BUILT_IN_MAX {
            tally.take(Seen::BuiltIn(OPAQUE, file.clone(), String::new()));
        }
        for place in [Place::Body(PartId(2)), Place::Attachment(PartId(3), vec!["a".into()]), file] {
            tally.take(Seen::BuiltIn(UNINSPECTABLE, place, String::new()));
        }
        let found = tally.finish();
        let places: Vec<&Place> =
            found.findings.iter().filter(|finding| finding.rule == UNINSPECTABLE).map(|finding| &finding.place).collect();
        assert_eq!(places.len(), 3, "{places:?}");
        assert_eq!((found.count(OPAQUE), found.count(UNINSPECTABLE)), (2 * BUILT_IN_MAX, 3));
    }

    #[test]
    fn a_mask_shows_enough_to_recognise_and_too_little_to_use() {
        for (hit, expect) in [
            ("850709-9805", "85••••-••05"),
            ("journal", "jo•••••"),
            ("4111 1111 1111 1111", "41•• •••• •••• ••11"),
            ("pnr", "p••"),
            ("", ""),
        ] {
            assert_eq!(mask(hit), expect);
        }
    }
}
