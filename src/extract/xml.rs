//! The XML of documents, pulled event by event: no tree, no entities of its own, no recursion.
//!
//! Office formats forbid document type definitions, so a part that carries one, or a reference that
//! only such a definition could explain, counts as damaged: a reader could be shown other text than we see.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};

use super::Why;

/// What a part consists of, as far as text is concerned.
pub trait Visit {
    /// An element begins. `Empty` elements begin and end.
    fn open(&mut self, element: &Element<'_>);
    /// Character data, references resolved; one run may come in pieces.
    fn characters(&mut self, text: &str);
    /// An element with this local name ends.
    fn close(&mut self, name: &str);
    /// What no reader shows, and anybody finds who opens the part: comments, instructions.
    fn aside(&mut self, _: &str) {}
}

/// A start tag.
pub struct Element<'a> {
    start: &'a BytesStart<'a>,
}

impl<'a> Element<'a> {
    /// A tag all of whose attributes can be read: of others nobody knows what they say.
    fn checked(start: &'a BytesStart<'a>) -> Result<Self, Why> {
        let well_formed = start.attributes().with_checks(false).all(|attribute| attribute.is_ok());
        if well_formed { Ok(Self { start }) } else { Err(Why::Damaged) }
    }

    /// The name without its prefix.
    pub fn name(&self) -> &str {
        local(self.start.name().0)
    }

    /// The value of the attribute with this local name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.start
            .attributes()
            .with_checks(false)
            .flatten()
            .find(|attribute| local(attribute.key.0) == name)
            .map(|found| unescape(&found.value))
    }

    /// The tag as it is written, without its brackets.
    pub fn raw(&self) -> &str {
        self.start
    }

    /// Every attribute by its local name, namespace declarations aside.
    pub fn attributes(&self) -> Vec<(String, String)> {
        self.start
            .attributes()
            .with_checks(false)
            .flatten()
            .filter(|attribute| !attribute.key.0.starts_with("xmlns"))
            .map(|attribute| (local(attribute.key.0).to_owned(), unescape(&attribute.value)))
            .collect()
    }
}

/// Walks through a part. What was visited before a fault stays visited.
pub fn walk(content: &[u8], visit: &mut impl Visit) -> Result<(), Why> {
    let text = decode(content)?;
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().map_err(|_| Why::Damaged)? {
            Event::Start(start) => {
                depth += 1;
                Element::checked(&start).map(|element| visit.open(&element))?;
            }
            Event::Empty(start) => {
                Element::checked(&start).map(|element| visit.open(&element))?;
                visit.close(local(start.name().0));
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit.close(local(end.name().0));
            }
            Event::Text(text) => visit.characters(&text.xml10_content()),
            Event::CData(text) => visit.characters(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let resolved = resolve(&reference.into_inner()).ok_or(Why::Damaged)?;
                visit.characters(resolved.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(Why::Damaged),
            Event::Comment(text) => visit.aside(&text),
            Event::PI(instruction) => visit.aside(&instruction),
            Event::Decl(_) => {}
            // What was cut off could have said more.
            Event::Eof => return if depth == 0 { Ok(()) } else { Err(Why::Damaged) },
        }
    }
}

/// ECMA-376 part 2 §8.1.1: UTF-8 or UTF-16, nothing else.
fn decode(content: &[u8]) -> Result<Cow<'_, str>, Why> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(content) {
        return Ok(encoding.decode(content).0);
    }
    let text = std::str::from_utf8(content).map_err(|_| Why::Damaged)?;
    let declaration = text.split_once("?>").map_or("", |(declaration, _)| declaration).to_ascii_lowercase();
    match declaration.split_once("encoding=") {
        Some((before, label)) if before.starts_with("<?xml") => {
            let label = label.trim_start_matches(['"', '\'']);
            if label.starts_with("utf-8") || label.starts_with("us-ascii") { Ok(text.into()) } else { Err(Why::Damaged) }
        }
        _ => Ok(text.into()),
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// References in an attribute; an unknown one stays as it is written.
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(name, tail)| resolve(name).map(|c| (c, tail))) {
            Some((c, tail)) => {
                plain.push(c);
                rest = tail;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// XML 1.0 §4.1 and §4.6: character references and the five predefined entities.
fn resolve(name: &str) -> Option<char> {
    let number = match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Trace(String);

    impl Visit for Trace {
        fn open(&mut self, element: &Element<'_>) {
            self.0.push_str(&format!("<{}{:?}>", element.name(), element.attributes()));
        }
        fn characters(&mut self, text: &str) {
            self.0.push_str(text);
        }
        fn close(&mut self, name: &str) {
            self.0.push_str(&format!("</{name}>"));
        }
        fn aside(&mut self, text: &str) {
            self.0.push_str(&format!("{{{text}}}"));
        }
    }

    #[test]
    fn documents_are_walked_and_their_own_entities_are_refused() {
        for (xml, expect, end) in [
            ("<w:a><w:b x:c='1&amp;2'/>t&#x65;xt &lt;</w:a>", "<a[]><b[(\"c\", \"1&2\")]></b>text <</a>", Ok(())),
            ("<a><![CDATA[<raw>]]></a>", "<a[]><raw></a>", Ok(())),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "", Err(Why::Damaged)),
            ("<a>x&b;</a>", "<a[]>x", Err(Why::Damaged)),
            ("<a>x</b>", "<a[]>x", Err(Why::Damaged)),
            ("<a><!-- aside --><?and this?></a>", "<a[]>{ aside }{and this}</a>", Ok(())),
            ("<a b=1/>", "", Err(Why::Damaged)),
            ("<a b/>", "", Err(Why::Damaged)),
            ("<?xml version=\"1.0\" encoding=\"utf-7\"?><a/>", "", Err(Why::Damaged)),
        ] {
            let mut trace = Trace::default();
            assert_eq!(walk(xml.as_bytes(), &mut trace), end, "{xml}");
            assert_eq!(trace.0, expect, "{xml}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_walked(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), text in "[<>/a&;#x!\\[\\]CDATA '\"=?-]{0,80}") {
            let _ = (walk(&content, &mut Trace::default()), walk(text.as_bytes(), &mut Trace::default()));
        }
    }
}
