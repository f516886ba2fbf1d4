//! Parts and their boundaries. RFC 2045, RFC 2046 §5.1.

use super::{Content, HeaderText, parameterised};

/// Writes parts, each multipart with a boundary of its own.
pub(super) struct Writer {
    seed: String,
    boundaries: u32,
}

impl Writer {
    pub fn new(seed: &[u8; 16]) -> Self {
        Self { seed: seed.iter().map(|octet| format!("{octet:02x}")).collect(), boundaries: 0 }
    }

    /// Header, empty line and body of a part.
    pub fn part(&mut self, content: &Content, into: &mut Vec<u8>) {
        match content {
            Content::Text { subtype, text } => self::text(subtype, text, into),
            Content::Raw(raw) => into.extend_from_slice(raw),
            Content::Multipart { subtype, parameters, parts } => self.multipart((subtype, parameters), parts, into),
        }
    }

    fn multipart(&mut self, (subtype, parameters): (&str, &[(&'static str, HeaderText)]), parts: &[Content], into: &mut Vec<u8>) {
        let boundary = self.boundary();
        let mut parameters = parameters.to_vec();
        parameters.push(("boundary", HeaderText::new(&boundary)));
        let field = parameterised("Content-Type", &HeaderText::new(&format!("multipart/{subtype}")), &parameters);
        into.extend_from_slice(field.raw());
        for part in parts {
            into.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            self.part(part, into);
        }
        into.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }

    /// `=_` stands in no quoted-printable and no base64, and the dot at the end keeps one boundary
    /// from being the beginning of another.
    fn boundary(&mut self) -> String {
        self.boundaries += 1;
        format!("=_{}.{}.", self.seed, self.boundaries)
    }
}

fn text(subtype: &str, text: &str, into: &mut Vec<u8>) {
    let text = wire_lines(text);
    let (encoding, body) = shortest(&text);
    let field = parameterised("Content-Type", &HeaderText::new(&format!("text/{subtype}")), &[("charset", HeaderText::new("utf-8"))]);
    into.extend_from_slice(field.raw());
    into.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes());
    into.extend_from_slice(body.as_bytes());
}

/// Every line end as CRLF, NUL as the mark for what cannot be shown.
fn wire_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n").replace('\0', "\u{fffd}")
}

/// 7bit where the text can stand as it is, else the shorter of the two encodings.
fn shortest(text: &str) -> (&'static str, String) {
    let is_plain = |octet: u8| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    // RFC 5322 §2.1.1, and `From ` at the start of a line is changed on the way by old relays.
    let may_stand = |line: &str| line.len() <= LINE_MAX && !line.starts_with("From ");
    if text.bytes().all(is_plain) && text.split("\r\n").all(may_stand) {
        return ("7bit", text.to_owned());
    }
    let (quoted, encoded) = (quoted_printable(text), base64(text.as_bytes()));
    if quoted.len() <= encoded.len() { ("quoted-printable", quoted) } else { ("base64", encoded) }
}

/// RFC 2045 §6.7, lines of 76 at most.
fn quoted_printable(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 8);
    for (number, line) in text.split("\r\n").enumerate() {
        if number > 0 {
            encoded.push_str("\r\n");
        }
        let mut width = 0;
        for (at, octet) in line.bytes().enumerate() {
            let is_last = at + 1 == line.len();
            let stays = match octet {
                // Blanks at the end of a line are lost on the way.
                b' ' | b'\t' => !is_last,
                b'=' => false,
                // A lone dot and `From ` are changed by relays that err.
                b'.' | b'F' => width > 0,
                other => other.is_ascii_graphic(),
            };
            let piece = if stays { char::from(octet).to_string() } else { format!("={octet:02X}") };
            if width + piece.len() > SOFT_WIDTH {
                encoded.push_str("=\r\n");
                width = 0;
            }
            width += piece.len();
            encoded.push_str(&piece);
        }
    }
    encoded
}

/// RFC 2045 §6.8, lines of 76.
fn base64(octets: &[u8]) -> String {
    let mut encoded = String::with_capacity(octets.len() / 57 * 78 + 80);
    for line in octets.chunks(57) {
        encoded.push_str(&data_encoding::BASE64.encode(line));
        encoded.push_str("\r\n");
    }
    encoded
}

/// RFC 5322 §2.1.1.
const LINE_MAX: usize = 998;
/// RFC 2045 §6.7 rule 5: 76 with the equals sign.
const SOFT_WIDTH: usize = 75;
