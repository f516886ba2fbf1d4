//! `value; name=value; …` of Content-Type and Content-Disposition. RFC 2045 §5.1, RFC 2231.
//!
//! Lenient where every reader is (a last semicolon, `type=text/html` without quotes), and else
//! it says what is odd. A name in several pieces, as Outlook, Apple Mail and Gmail write
//! long ones, is ordinary as long as the pieces are numbered 0, 1, 2, … in order: every current
//! reader joins them to the same name, and so does policy. Only other numberings are odd.

use encoding_rs::Encoding;

use crate::mail::decode;

/// A structured field, read once.
#[derive(Debug, Default)]
pub(in crate::mail) struct Structured {
    /// What stands before the first semicolon, in lower case.
    pub value: String,
    /// In order; a name may occur twice here.
    pub parameters: Vec<Parameter>,
    /// What is odd about the field as a whole.
    pub oddities: Vec<&'static str>,
}

/// One parameter, its pieces joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mail) struct Parameter {
    /// In lower case, without the asterisks of RFC 2231.
    pub name: String,
    /// Decoded.
    pub value: String,
    /// As octets, for boundaries.
    pub raw: Vec<u8>,
    pub form: Form,
}

/// How a parameter was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum Form {
    Plain,
    /// With an asterisk: RFC 2231.
    Extended,
}

/// How closely a value is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Boundaries and names: another reading is another message.
    Exact,
    /// The rest, where old clients wrote what they liked.
    Lenient,
}

impl Care {
    fn about(name: &str) -> Self {
        let matters = ["boundary", "name", "filename"].iter().any(|known| name.starts_with(known));
        if matters { Self::Exact } else { Self::Lenient }
    }
}

impl Structured {
    /// Every value of this parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.name == name)
    }
}

/// Reads an unfolded field value.
pub(in crate::mail) fn parse(value: &[u8]) -> Structured {
    let mut pieces = Vec::new();
    let mut oddities = Vec::new();
    let (head, mut rest) = split(value, b';');
    while !rest.is_empty() {
        if pieces.len() >= PIECES_MAX {
            oddities.push("a field with too many parameters");
            break;
        }
        let (piece, after) = piece(rest, &mut oddities);
        pieces.extend(piece);
        rest = after;
    }
    let head = head.trim_ascii();
    if head.contains(&b'(') {
        oddities.push("a comment in a MIME field");
    }
    if head.contains(&b'"') {
        oddities.push("a MIME field that cannot be read");
    }
    let value = String::from_utf8_lossy(head).to_ascii_lowercase();
    Structured { value, parameters: join(pieces, &mut oddities), oddities }
}

/// One `name=value` as written.
struct Piece {
    /// In lower case, without asterisks.
    name: String,
    /// The number of a continuation.
    section: Option<u32>,
    form: Form,
    value: Vec<u8>,
}

/// Reads one parameter from the beginning of `text`, and returns what follows its semicolon.
fn piece<'t>(text: &'t [u8], oddities: &mut Vec<&'static str>) -> (Option<Piece>, &'t [u8]) {
    let Some(equals) = text.iter().position(|octet| matches!(octet, b'=' | b';')).filter(|&at| text.get(at) == Some(&b'=')) else {
        let (word, rest) = split(text, b';');
        if !word.trim_ascii().is_empty() {
            oddities.push("a parameter without a value");
        }
        return (None, rest);
    };
    let (before, after) = (text.get(..equals).unwrap_or_default(), text.get(equals + 1..).unwrap_or_default());
    let name = String::from_utf8_lossy(before.trim_ascii()).to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?".contains(&octet)) {
        oddities.push("a parameter name that cannot be read");
    }
    let care = Care::about(&name);
    if care == Care::Exact && (before.last().is_some_and(u8::is_ascii_whitespace) || after.first().is_some_and(u8::is_ascii_whitespace)) {
        oddities.push("white space around the equals sign of a parameter");
    }
    let after = after.trim_ascii_start();
    let (value, rest) = match after.strip_prefix(b"\"") {
        Some(quoted) => quoted_value(quoted, care, oddities),
        None => bare_value(after, care, oddities),
    };
    (section(&name, oddities).map(|(name, section, form)| Piece { name, section, form, value }), rest)
}

/// `name`, `name*`, `name*0`, `name*0*`. RFC 2231 §3, §4.
fn section(name: &str, oddities: &mut Vec<&'static str>) -> Option<(String, Option<u32>, Form)> {
    let (base, stars) = name.split_once('*').map_or((name, None), |(base, stars)| (base, Some(stars)));
    let Some(stars) = stars else { return Some((base.to_owned(), None, Form::Plain)) };
    if stars.is_empty() {
        return Some((base.to_owned(), None, Form::Extended));
    }
    let (digits, form) = stars.strip_suffix('*').map_or((stars, Form::Plain), |digits| (digits, Form::Extended));
    let number = digits.parse().ok().filter(|number: &u32| number.to_string() == digits);
    if number.is_none() {
        oddities.push(ODD_PIECES);
    }
    Some((base.to_owned(), Some(number?), form))
}

/// After the opening quote: the value without its escapes, and what follows the semicolon.
fn quoted_value<'t>(text: &'t [u8], care: Care, oddities: &mut Vec<&'static str>) -> (Vec<u8>, &'t [u8]) {
    let mut value = Vec::new();
    let mut octets = text.iter().copied().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => {
                let (between, rest) = split(text.get(at + 1..).unwrap_or_default(), b';');
                let between = between.trim_ascii();
                if !between.is_empty() && (care == Care::Exact || !between.starts_with(b"(")) {
                    oddities.push("text after a quoted value");
                }
                return (value, rest);
            }
            // `C:\temp\a.doc` of old Windows clients: only quotes and backslashes were ever escaped.
            b'\\' => match text.get(at + 1) {
                Some(&escaped @ (b'"' | b'\\')) => {
                    octets.next();
                    value.push(escaped);
                }
                _ => value.push(b'\\'),
            },
            other => value.push(other),
        }
    }
    oddities.push("a quote that is never closed");
    (value, &[])
}

fn bare_value<'t>(text: &'t [u8], care: Care, oddities: &mut Vec<&'static str>) -> (Vec<u8>, &'t [u8]) {
    let (value, rest) = split(text, b';');
    let value = value.trim_ascii();
    if care == Care::Exact && value.iter().any(|octet| octet.is_ascii_whitespace() || b"\"()\\".contains(octet)) {
        oddities.push("a value with spaces or special characters outside quotes");
    }
    // RFC 2045 §5.1 allows a comment here; no reader of today keeps it in the value.
    let end = if care == Care::Exact { value.len() } else { value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len()) };
    (value.get(..end).unwrap_or_default().to_vec(), rest)
}

/// Joins continuations and undoes the percent encoding.
fn join(pieces: Vec<Piece>, oddities: &mut Vec<&'static str>) -> Vec<Parameter> {
    let mut joined: Vec<Parameter> = Vec::new();
    let mut running: Option<Running> = None;
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        let Some(number) = piece.section else {
            joined.push(Running::new(piece.name).with(&piece.value, piece.form, oddities).finish());
            continue;
        };
        let continued = running.take().filter(|open| open.name == piece.name && open.next == number);
        if continued.is_none() && (number != 0 || joined.iter().any(|known| known.name == piece.name && known.form == Form::Extended)) {
            oddities.push(ODD_PIECES);
        }
        let open = continued.map_or_else(|| Running::new(piece.name.clone()), |open| Running { next: number + 1, ..open });
        let open = open.with(&piece.value, piece.form, oddities);
        let goes_on = pieces.peek().is_some_and(|next| next.name == open.name && next.section == Some(open.next));
        if goes_on {
            running = Some(open);
        } else {
            joined.push(Parameter { form: Form::Extended, ..open.finish() });
        }
    }
    joined
}

/// A parameter whose pieces are being joined.
struct Running {
    name: String,
    charset: Option<Vec<u8>>,
    raw: Vec<u8>,
    next: u32,
    form: Form,
}

impl Running {
    const fn new(name: String) -> Self {
        Self { name, charset: None, raw: Vec::new(), next: 1, form: Form::Plain }
    }

    fn with(mut self, value: &[u8], form: Form, oddities: &mut Vec<&'static str>) -> Self {
        if form == Form::Plain {
            self.raw.extend_from_slice(value);
            return self;
        }
        self.form = Form::Extended;
        let mut value = value;
        if self.charset.is_none() && self.raw.is_empty() {
            let mut parts = value.splitn(3, |&octet| octet == b'\'');
            if let (Some(charset), Some(_language), Some(text)) = (parts.next(), parts.next(), parts.next()) {
                self.charset = Some(charset.to_vec());
                value = text;
            } else {
                oddities.push("an encoded parameter without its character set");
            }
        }
        decode::percent(value, &mut self.raw);
        self
    }

    fn finish(self) -> Parameter {
        let text = match self.charset.as_deref().and_then(Encoding::for_label) {
            Some(charset) => charset.decode_without_bom_handling(&self.raw).0.into_owned(),
            None if self.form == Form::Extended => decode::unlabelled(&self.raw),
            // De facto: RFC 2047 forbids encoded words in parameters, and every client writes and reads them.
            None => decode::unstructured(&self.raw),
        };
        Parameter { name: self.name, value: text.chars().filter(|c| !c.is_control()).collect(), raw: self.raw, form: self.form }
    }
}

/// Splits at the first `separator`, which neither side keeps.
fn split(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|&octet| octet == separator) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, &[]),
    }
}

/// A name of 255 characters in UTF-8 takes about twenty pieces. They are compared with each other.
const PIECES_MAX: usize = 200;
pub(super) const ODD_PIECES: &str = "a parameter in oddly numbered pieces";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parameters_are_not_compared_with_each_other() {
        for one in [";a=b", ";a*0=b", ";a*1=b"] {
            let read = parse(format!("text/plain{}", one.repeat(10_000)).as_bytes());
            assert!(read.parameters.len() <= PIECES_MAX && read.oddities.contains(&"a field with too many parameters"), "{one}");
        }
    }

    #[test]
    fn a_parameter_reads_as_its_writer_meant_it() {
        for (text, expect) in [
            ("text/plain; charset=UTF-8", vec![("charset", "UTF-8")]),
            ("text/plain; charset=\"utf-8\";", vec![("charset", "utf-8")]),
            ("multipart/related; type=text/html; start=<a@b>", vec![("type", "text/html"), ("start", "<a@b>")]),
            ("attachment; filename=\"a\\\"b.pdf\"; size=3", vec![("filename", "a\"b.pdf"), ("size", "3")]),
            ("attachment; filename=\"C:\\temp\\a.doc\"", vec![("filename", "C:\\temp\\a.doc")]),
            ("attachment; filename*=UTF-8''r%C3%A4ksm%C3%B6rg%C3%A5s.pdf", vec![("filename", "räksmörgås.pdf")]),
            ("attachment; filename*=iso-8859-1'sv'%E5.txt", vec![("filename", "å.txt")]),
            ("attachment; filename*0*=UTF-8''%C3; filename*1*=%A5; filename*2=\".txt\"", vec![("filename", "å.txt")]),
            ("attachment; filename*0=\"long \"; filename*1=\"name.txt\"", vec![("filename", "long name.txt")]),
            ("attachment; filename=\"=?utf-8?B?w6UudHh0?=\"", vec![("filename", "å.txt")]),
            ("attachment; filename==?iso-8859-1?Q?=E5.txt?=", vec![("filename", "å.txt")]),
            ("attachment; filename=\"\u{e5}.txt\"", vec![("filename", "å.txt")]),
        ] {
            let read = parse(text.as_bytes());
            let found: Vec<_> = read.parameters.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
            assert_eq!(found, expect, "{text}");
            assert!(read.oddities.is_empty(), "{text}: {:?}", read.oddities);
        }
    }

    #[test]
    fn what_readers_take_differently_is_odd() {
        for text in [
            "attachment; filename=\"a.txt",
            "attachment; filename=\"a.txt\"b",
            "attachment; filename=a b.txt",
            "attachment; filename =a.txt",
            "attachment; filename*1=a; filename*0=b",
            "attachment; filename*0=a; filename*2=b",
            "attachment; filename*00=a; filename*01=b",
            "attachment; filename*0=a; filename*0=b",
            "attachment; filename*x=a",
            "attachment; filename*=a.txt",
            "attachment; filename",
            "text/plain (really); charset=utf-8",
        ] {
            assert!(!parse(text.as_bytes()).oddities.is_empty(), "{text}");
        }
    }
}
