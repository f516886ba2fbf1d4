//! Looking into a message: every part once, every text as its reader sees it.
//!
//! The strict scanner's view, plus what hides in a text as a run of base64. What cannot be read is
//! a finding of its own and never clean. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use bytes::Bytes;

use crate::extract::{Extracted, Unread, Why, html};
use crate::mail::{Disposition, Message, Part, decode};

use super::recogniser::Recogniser;
use super::rule::Per;
use super::{AMBIGUOUS, Attachment, END_TO_END, Encrypted, Finding, Inspection, OPAQUE, Place, UNINSPECTABLE, sealed};

/// Turns name, declared type and content of a file into text.
pub type ReadFile<'r> = &'r dyn Fn(&str, &str, &Bytes) -> Extracted;

/// What the walk through a message comes across.
pub enum Seen {
    /// Text, and where it stands.
    Text(Place, String),
    /// A file.
    File(Attachment),
    /// A built-in finding, and why.
    BuiltIn(&'static str, Place, String),
}

/// Looks into every part with all rules.
pub fn inspect(recogniser: &Recogniser, message: &Message, read: ReadFile<'_>) -> Inspection {
    let mut tally = Tally { recogniser, hits: Vec::new(), known: BTreeMap::new(), inspection: Inspection::default() };
    walk(message, read, &mut |seen| tally.take(seen));
    tally.finish()
}

/// Tells everything that there is to see, outermost first.
pub fn walk(message: &Message, read: ReadFile<'_>, tell: &mut dyn FnMut(Seen)) {
    for ambiguity in message.ambiguities().iter().take(AMBIGUITIES_MAX) {
        tell(Seen::BuiltIn(AMBIGUOUS, Place::Message, ambiguity.reason.to_owned()));
    }
    walk_header(message, tell);
    Walk { message, read, tell }.part(message.root(), None);
}

fn walk_header(message: &Message, tell: &mut dyn FnMut(Seen)) {
    for field in message.header().fields() {
        if field.is("Subject") {
            tell(Seen::Text(Place::Subject, decode::unstructured(&field.value())));
        } else if NAMING.iter().any(|name| field.is(name)) {
            let addresses = decode::addresses(&field.value());
            let names = addresses.mailboxes.into_iter().filter_map(|(name, _)| name);
            // What is not an address may be anything, so all of the field is looked at.
            let all = (addresses.malformed > 0).then(|| decode::unstructured(&field.value()));
            names.chain(all).for_each(|text| tell(Seen::Text(Place::Header, text)));
        } else if FREE.iter().any(|name| field.is(name)) {
            tell(Seen::Text(Place::Header, decode::unstructured(&field.value())));
        }
    }
}

struct Walk<'w> {
    message: &'w Message,
    read: ReadFile<'w>,
    tell: &'w mut dyn FnMut(Seen),
}

impl Walk<'_> {
    fn part(&mut self, part: &Part, parent: Option<&Part>) {
        if let Some(name) = part.file_name.as_ref().filter(|_| parent.is_some()) {
            (self.tell)(Seen::Text(Place::FileName(part.id), name.replace('_', " ")));
        }
        if sealed::is_encrypted(self.message, part) {
            (self.tell)(Seen::BuiltIn(END_TO_END, Place::Body(part.id), "encrypted by its sender".to_owned()));
        } else if part.is_multipart() {
            part.children.iter().for_each(|child| self.part(child, Some(part)));
        } else if is_text(part) {
            self.text(part);
        } else if !sealed::is_signature(self.message, part, parent) {
            self.file(part, parent);
        }
    }

    fn text(&mut self, part: &Part) {
        let mut text = self.message.text(part);
        if part.media_type.is("text", "html") {
            text = html::text(&text);
        }
        for hidden in base64_runs(&text) {
            self.hidden(part, hidden);
        }
        (self.tell)(Seen::Text(Place::Body(part.id), text));
    }

    /// Something that was written into a text as base64.
    fn hidden(&mut self, part: &Part, content: Vec<u8>) {
        match String::from_utf8(content) {
            Ok(text) if !text.contains('\0') => (self.tell)(Seen::Text(Place::Body(part.id), text)),
            Ok(text) => self.extracted(&(self.read)("", "application/octet-stream", &Bytes::from(text)), part),
            Err(binary) => self.extracted(&(self.read)("", "application/octet-stream", &Bytes::from(binary.into_bytes())), part),
        }
    }

    /// The texts of what hid in a body; that such a run is no file at all says nothing.
    fn extracted(&mut self, extracted: &Extracted, part: &Part) {
        for passage in &extracted.passages {
            (self.tell)(Seen::Text(Place::Body(part.id), passage.text.clone()));
        }
    }

    fn file(&mut self, part: &Part, parent: Option<&Part>) {
        let content = content_of(self.message, part);
        let name = part.file_name.clone().unwrap_or_default();
        let declared = part.media_type.to_string();
        let extracted = (self.read)(&name, &declared, &content);
        let inline = is_inline(part, parent);
        let place = |inside: &[String]| if inline { Place::Body(part.id) } else { Place::Attachment(part.id, inside.to_vec()) };
        for names in &extracted.names {
            (self.tell)(Seen::Text(place(names), names.last().map(|name| name.replace('_', " ")).unwrap_or_default()));
        }
        for passage in extracted.passages {
            (self.tell)(Seen::Text(place(&passage.place), passage.text));
        }
        for unread in &extracted.unread {
            let (finding, why) = name_unread(unread);
            (self.tell)(Seen::BuiltIn(finding, place(&unread.place), why.to_owned()));
        }
        if !inline {
            let behind_password = extracted.unread.iter().any(|unread| unread.why == Why::Encrypted);
            let mut types = vec![declared];
            types.extend(extracted.types);
            types.dedup();
            let encrypted = if behind_password { Encrypted::Yes } else { Encrypted::No };
            (self.tell)(Seen::File(Attachment { part: part.id, name, types, size: content.len() as u64, encrypted }));
        }
    }
}

/// Hits and files of one message while it is looked at.
struct Tally<'t> {
    recogniser: &'t Recogniser,
    /// Rule, the hit without separators, and the finding.
    hits: Vec<(usize, String, Finding)>,
    /// How many findings there are of a rule in a part.
    known: BTreeMap<(usize, String), BTreeSet<String>>,
    inspection: Inspection,
}

impl Tally<'_> {
    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::File(file) => self.inspection.attachments.push(file),
            Seen::BuiltIn(rule, place, why) => {
                *self.inspection.counts.entry(rule.to_owned()).or_default() += 1;
                if self.inspection.findings.len() < BUILT_IN_MAX {
                    self.inspection.findings.push(Finding { rule: rule.to_owned(), place, masked: why });
                }
            }
            Seen::Text(place, text) => {
                let (hits, known) = (&mut self.hits, &mut self.known);
                let rules = self.recogniser.rules();
                self.recogniser.look(&text, &mut |hit| {
                    let key: String = hit.text.chars().filter(|c| c.is_alphanumeric()).collect();
                    let here = known.entry((hit.rule, part_of(&place))).or_default();
                    if here.len() < HITS_MAX && here.insert(key.clone()) {
                        let rule = rules.get(hit.rule).map(|rule| rule.name.clone()).unwrap_or_default();
                        hits.push((hit.rule, key, Finding { rule, place: place.clone(), masked: mask(&hit.text) }));
                    }
                });
            }
        }
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

/// Whether a part is read in place. Anything that says it is a file is one, whatever its type.
fn is_text(part: &Part) -> bool {
    let report =
        part.media_type.kind == "message" && matches!(part.media_type.subtype.as_str(), "delivery-status" | "disposition-notification");
    let shown =
        part.media_type.kind == "text" && (part.file_name.is_none() || matches!(part.media_type.subtype.as_str(), "plain" | "html"));
    part.disposition != Disposition::Attachment && (report || shown)
}

/// Whether a part is a picture of the text around it: it goes where the text goes.
fn is_inline(part: &Part, parent: Option<&Part>) -> bool {
    let related = parent.is_some_and(|parent| parent.media_type.is("multipart", "related"));
    related && part.content_id.is_some() && part.disposition != Disposition::Attachment
}

/// The content of a leaf; of a message inside, its octets.
fn content_of(message: &Message, part: &Part) -> Bytes {
    let mut content = Vec::new();
    // A reader over octets in memory; what it cannot decode, the scanner has named ambiguous.
    match message.content(part).read_to_end(&mut content) {
        Ok(_) => Bytes::from(content),
        Err(_) => message.body(part),
    }
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

/// Runs of base64 in a text, decoded: lines of nothing else, at least one of them long.
fn base64_runs(text: &str) -> Vec<Vec<u8>> {
    let mut runs = Vec::new();
    let mut run = String::new();
    for line in text.lines().chain([" "]) {
        let line = line.trim_matches(['>', ' ', '\t', '\r']);
        let long_enough = line.len() >= BASE64_LINE || (!run.is_empty() && !line.is_empty());
        if long_enough && line.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet)) {
            run.push_str(line);
            if line.ends_with('=') {
                runs.extend(decode_run(&std::mem::take(&mut run)));
            }
        } else if !run.is_empty() {
            runs.extend(decode_run(&run));
            run.clear();
        }
        if runs.len() >= BASE64_RUNS_MAX {
            break;
        }
    }
    runs
}

fn decode_run(run: &str) -> Option<Vec<u8>> {
    let packed = run.trim_end_matches('=');
    // A single character over a group of four carries no octet.
    let whole = if packed.len() % 4 == 1 { packed.get(..packed.len() - 1)? } else { packed };
    let mut specification = data_encoding::BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()?.decode(whole.as_bytes()).ok()
}

/// Fields whose display names people read.
const NAMING: &[&str] = &["From", "Sender", "Reply-To", "To", "Cc"];
/// Fields of free text.
const FREE: &[&str] = &["Comments", "Keywords", "Thread-Topic"];
/// A shorter hit shows its beginning only.
const MASK_BOTH_ENDS: usize = 9;
/// Reasons beyond these say nothing new.
const AMBIGUITIES_MAX: usize = 20;
/// Different hits of one rule in one part; more are more of the same.
const HITS_MAX: usize = 200;
/// Built-in findings that are listed; all of them are counted.
const BUILT_IN_MAX: usize = 500;
/// The shortest line that begins a run: an ordinary word is shorter.
const BASE64_LINE: usize = 32;
const BASE64_RUNS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn base64_in_a_text_is_read() {
        let hidden = data_encoding::BASE64.encode(b"the patient's number is 850709-9805, keep it to yourself");
        let (first, second) = hidden.split_at(40);
        for text in [hidden.clone(), format!("see:\n{first}\n{second}\nbye"), format!("> {first}\r\n> {second}\r\n")] {
            assert_eq!(base64_runs(&text).first().map(|run| run.starts_with(b"the patient")), Some(true), "{text}");
        }
        assert_eq!(base64_runs("plain words and nothing else in here, really nothing"), Vec::<Vec<u8>>::new());
    }
}
