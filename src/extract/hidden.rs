//! What people and programs write into a text instead of attaching it: base64, uuencode, yEnc, BinHex,
//! armour. Readers, or their programs, make files of it again.
//!
//! RFC 4648 (base64), POSIX.1-2017 `uuencode`, RFC 9580 §6 (armour).

use std::sync::LazyLock;

use data_encoding::Encoding;

use crate::mail::sealed;

/// Something found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// Words.
    Words(String),
    /// A file.
    Octets(Vec<u8>),
    /// Encrypted by its author for its reader.
    Sealed,
    /// Something that is not understood, and what it is.
    Unreadable(&'static str),
}

/// Everything that hides in a text, as it is and with its words still to be looked for.
pub fn hidden(text: &str) -> Vec<Hidden> {
    let mut found = base64(text);
    found.extend(escaped(text));
    found.extend(uuencoded(text));
    found.extend(armoured(text));
    for (mark, what) in UNREADABLE {
        if text.lines().any(|line| line.trim_start_matches(MARGIN).starts_with(mark)) {
            found.push(Hidden::Unreadable(what));
        }
    }
    found
}

/// Characters by their numbers: `%38` in the addresses of links, `=38` in cards and invitations, `\x38` and
/// `\u0038` in scripts, `\38 ` in style sheets. A line that has them is told again without, once for each way to read it.
fn escaped(text: &str) -> Option<Hidden> {
    let mut words = String::new();
    for (mark, least) in [(b'%', 1), (b'\\', 1), (b'=', EQUALS_MIN)] {
        if memchr::memchr(mark, text.as_bytes()).is_none() {
            continue;
        }
        let mut line = String::new();
        for piece in text.lines() {
            // RFC 2045 §6.7: the line goes on. Two and more are the line under a heading.
            let soft = piece.strip_suffix('=').filter(|rest| mark == b'=' && !rest.ends_with('='));
            line.push_str(soft.unwrap_or(piece));
            if soft.is_none() {
                let whole = std::mem::take(&mut line);
                let (read, count) = unescaped(&whole, mark);
                if count >= least || whole.len() > piece.len() {
                    words.push_str(&read);
                    words.push('\n');
                }
            }
        }
        words.push_str(&line);
    }
    (!words.trim().is_empty()).then_some(Hidden::Words(words))
}

/// The line without escapes of one kind, and how many there were.
fn unescaped(line: &str, mark: u8) -> (String, usize) {
    let (mut octets, mut rest, mut count) = (Vec::with_capacity(line.len()), line.as_bytes(), 0);
    while let Some((&octet, after)) = rest.split_first() {
        let digits = match after {
            _ if octet != mark => None,
            [b'x', digits @ ..] if mark == b'\\' => digits.get(..2),
            [b'u', digits @ ..] if mark == b'\\' => digits.get(..4),
            // CSS Syntax §4.3.7, without its blank.
            digits if mark == b'\\' => digits.get(..digits.iter().take(STYLE_MAX).take_while(|digit| digit.is_ascii_hexdigit()).count()),
            digits => digits.get(..2),
        };
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (Some(code), Some(length)) = (code, digits.map(<[u8]>::len)) else {
            octets.push(octet);
            rest = after;
            continue;
        };
        match u8::try_from(code) {
            Ok(plain) => octets.push(plain),
            Err(_) => octets.extend(char::from_u32(code).map(String::from).unwrap_or_default().into_bytes()),
        }
        count += 1;
        let named = mark == b'\\' && matches!(after.first(), Some(b'x' | b'u'));
        rest = after.get(length + usize::from(named)..).unwrap_or_default();
        if mark == b'\\' && !named {
            rest = rest.strip_prefix(b" ").unwrap_or(rest);
        }
    }
    (String::from_utf8_lossy(&octets).into_owned(), count)
}

/// Runs of base64: within a line, or from the end of one line over lines of nothing else.
fn base64(text: &str) -> Vec<Hidden> {
    let mut words = String::new();
    let mut found = Vec::new();
    for run in runs(text) {
        let Some(octets) = decoded(&run) else { continue };
        match readable(&octets) {
            Some(read) => {
                words.push_str(&read);
                words.push('\n');
            }
            None if octets.len() < FILE_MIN => {}
            None if found.len() >= FILES_MAX => {
                found.push(Hidden::Unreadable("more files written into it than anybody reads"));
                break;
            }
            None => found.push(Hidden::Octets(octets)),
        }
    }
    if !words.is_empty() {
        found.push(Hidden::Words(words));
    }
    found
}

fn runs(text: &str) -> Vec<String> {
    let mut runs = Runs::default();
    for line in text.lines().map(|line| line.trim_matches(MARGIN)) {
        if !line.is_empty() && line.bytes().all(is_symbol) {
            runs.line(line);
        } else {
            runs.words(line);
        }
    }
    runs.close();
    runs.found.retain(|run| run.len() >= RUN_MIN);
    runs.found
}

/// Runs as they grow.
#[derive(Default)]
struct Runs {
    found: Vec<String>,
    open: String,
    /// How long the lines of the open run are, if it began with a whole one.
    width: Option<usize>,
}

impl Runs {
    /// A line of nothing else. All lines of a run are of one length, and only the last is shorter.
    fn line(&mut self, line: &str) {
        if self.width.is_some_and(|width| line.len() > width) {
            self.close();
        }
        if self.open.is_empty() {
            if line.len() < RUN_MIN {
                return;
            }
            self.width = Some(line.len());
        }
        // By itself as well: the line before may be a word that only looks like one.
        self.found.push(line.to_owned());
        self.open.push_str(line);
        if line.ends_with('=') || self.width.is_some_and(|width| line.len() < width) {
            self.close();
        }
    }

    /// A line with runs between other things.
    fn words(&mut self, line: &str) {
        let mut tokens = line.split_inclusive(|c: char| !is_symbol_char(c) || c == '=').peekable();
        if !self.open.is_empty() {
            // `…LTk4MDU=.` ends a run; an ordinary first word of the next line does not.
            if let Some(first) = tokens.next_if(|first| first.ends_with('=')) {
                self.open.push_str(first);
            }
            self.close();
        }
        while let Some(token) = tokens.next() {
            let token = token.trim_end_matches(|c: char| !is_symbol_char(c));
            if token.len() < RUN_MIN {
                continue;
            }
            if tokens.peek().is_none() && line.ends_with(token) && !token.ends_with('=') {
                token.clone_into(&mut self.open);
            } else {
                self.found.push(token.to_owned());
            }
        }
    }

    fn close(&mut self) {
        self.found.push(std::mem::take(&mut self.open));
        self.width = None;
    }
}

fn is_symbol_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_symbol)
}

fn decoded(run: &str) -> Option<Vec<u8>> {
    let packed = run.trim_end_matches('=');
    // A single character over a group of four carries no octet.
    let whole = if packed.len() % 4 == 1 { packed.get(..packed.len() - 1)? } else { packed };
    LENIENT.as_ref()?.decode(whole.as_bytes()).ok()
}

/// As text, if nearly all of it is: an ordinary long word decodes to noise.
fn readable(octets: &[u8]) -> Option<String> {
    let is_strange = |c: &char| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    let mut strange = 0;
    for chunk in octets.utf8_chunks() {
        strange += chunk.valid().chars().filter(is_strange).count() + usize::from(!chunk.invalid().is_empty());
        // Every long word of a text comes by here, and most show within a few octets what they are.
        if strange * STRANGE_SHARE > octets.len() {
            return None;
        }
    }
    Some(String::from_utf8_lossy(octets).into_owned())
}

/// Base64 whose last character may carry bits that mean nothing, as readers take it. To make it costs more than to use it.
pub(super) static LENIENT: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut specification = data_encoding::BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()
});

/// `begin 644 name`, lines that begin with their length, `end`.
fn uuencoded(text: &str) -> Vec<Hidden> {
    let mut found = Vec::new();
    let mut file: Option<Vec<u8>> = None;
    for line in text.lines().map(|line| line.trim_start_matches("> ").trim_end_matches('\r')) {
        match &mut file {
            None if begins(line) && found.len() >= FILES_MAX => {
                found.push(Hidden::Unreadable("more files written into it than anybody reads"));
                break;
            }
            None if begins(line) => file = Some(Vec::new()),
            None => {}
            Some(octets) => match unpacked(line) {
                Some(more) if line != "end" => octets.extend(more),
                Some(_) | None => found.extend(file.take().filter(|octets| !octets.is_empty()).map(Hidden::Octets)),
            },
        }
    }
    found.extend(file.filter(|octets| !octets.is_empty()).map(Hidden::Octets));
    found
}

fn begins(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("begin")
        && words.next().is_some_and(|mode| matches!(mode.len(), 3..=4) && mode.bytes().all(|octet| matches!(octet, b'0'..=b'7')))
        && words.next().is_some_and(|name| !name.is_empty())
}

fn unpacked(line: &str) -> Option<Vec<u8>> {
    let value = |octet: u8| matches!(octet, b' '..=b'`').then(|| octet.wrapping_sub(b' ') & 0x3F);
    let (&first, rest) = line.as_bytes().split_first()?;
    let length = usize::from(value(first)?);
    let mut octets = Vec::with_capacity(length);
    for group in rest.chunks(4) {
        let mut packed = 0_u32;
        for place in 0..4 {
            packed = packed << 6 | u32::from(value(group.get(place).copied().unwrap_or(b' '))?);
        }
        let [_, three @ ..] = packed.to_be_bytes();
        octets.extend_from_slice(&three);
    }
    // Trailing blanks are lost on the way, more than a group of check characters never comes.
    (octets.len() + 3 >= length && rest.len() <= LINE_MAX).then(|| {
        octets.truncate(length);
        octets
    })
}

/// Armour with words around it. What has the shape of a secret is one; what only says so is not read.
fn armoured(text: &str) -> Vec<Hidden> {
    let mut found = Vec::new();
    for (at, begin) in text.match_indices(sealed::ARMOUR_BEGIN) {
        let rest = text.get(at + begin.len()..).unwrap_or_default();
        let end = rest.find(sealed::ARMOUR_END).map(|end| at + begin.len() + end + sealed::ARMOUR_END.len());
        let block = end.and_then(|end| text.get(at..end)).unwrap_or_default();
        let block: String = block.lines().map(|line| line.trim_matches(MARGIN)).flat_map(|line| [line, "\n"]).collect();
        let hidden = if sealed::is_armour(block.as_bytes()) { Hidden::Sealed } else { Hidden::Unreadable("says that it is encrypted") };
        if !found.contains(&hidden) {
            found.push(hidden);
        }
    }
    found
}

const fn is_symbol(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=')
}

/// What stands beside a quoted line.
const MARGIN: [char; 4] = ['>', ' ', '\t', '\r'];
/// Ten digits are fourteen characters.
const RUN_MIN: usize = 12;
/// No file that says anything is shorter, and many long words are.
const FILE_MIN: usize = 64;
const FILES_MAX: usize = 100;
/// One strange character in so many.
const STRANGE_SHARE: usize = 10;
/// 63 octets and some check characters.
const LINE_MAX: usize = 90;
/// Fewer equals signs before two digits are an accident.
const EQUALS_MIN: usize = 3;
/// Digits of a number in a style sheet.
const STYLE_MAX: usize = 6;
/// How other writers begin.
const UNREADABLE: [(&str, &str); 2] = [
    ("=ybegin ", "a file in yEnc stands in the text"),
    ("(This file must be converted with BinHex", "a file in BinHex stands in the text"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "the patient's number is 850709-9805, keep it to yourself";

    fn words(text: &str) -> String {
        let found = hidden(text).into_iter();
        found.map(|hidden| if let Hidden::Words(words) = hidden { words } else { String::new() }).collect()
    }

    #[test]
    fn base64_in_a_text_is_read() {
        let packed = data_encoding::BASE64.encode(SECRET.as_bytes());
        let (first, second) = packed.split_at(40);
        for text in [
            packed.clone(),
            format!("see:\n{first}\n{second}\nbye"),
            format!("Vriendelijkegroet\n{first}\n{second}\nbye\n"),
            format!("> {first}\r\n> {second}\r\n"),
            format!("ATTACH;ENCODING=BASE64;VALUE=BINARY:{first}\r\n {second}\r\nEND:VEVENT"),
            format!("<a href=\"data:text/plain;base64,{packed}\">x</a>"),
            format!("it is {packed}."),
        ] {
            assert!(words(&text).contains(SECRET), "{text}");
        }
        assert!(words("short: ODUwNzA5LTk4MDU= is enough").contains("850709-9805"));
        assert!(words("ODUwNzA5OTgwNQ").contains("8507099805"));
        assert_eq!(hidden("plain words, internationalisation among them, and nothing else in here, really nothing"), vec![]);
    }

    #[test]
    fn characters_by_their_numbers_are_read() {
        for (text, expect) in [
            ("see https://x.example/?pnr=850709%2D9805 there", "see https://x.example/?pnr=850709-9805 there\n"),
            ("NOTE;ENCODING=QUOTED-PRINTABLE:=38=35=30=37=30=39-9805", "NOTE;ENCODING=QUOTED-PRINTABLE:850709-9805\n"),
            ("number 850709=\n-9805\nx", "number 850709-9805\n"),
            ("NOTE:=38=35=30=37=\r\n=30=39-98=\r\n05\r\nEND", "NOTE:850709-9805\n"),
            ("var a = '\\x38\\x35\\x30709-\\u0039805'", "var a = '850709-9805'\n"),
            ("p::after { content: '\\38 \\35 0709\\2d 9805' }", "p::after { content: '850709-9805' }\n"),
            ("Heading\n=======\na=10, b=20 and 100% sure\n==\n", ""),
        ] {
            assert_eq!(words(text), expect, "{text}");
        }
    }

    #[test]
    fn a_file_in_uuencode_is_read() {
        let text = "see\r\nbegin 644 a.txt\r\n+.#4P-S`Y+3DX,#4`\r\n`\r\nend\r\nbye";
        assert_eq!(hidden(text), vec![Hidden::Octets(b"850709-9805".to_vec())]);
        assert_eq!(hidden("begin 2024 with a smile\r\nand go on"), vec![]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(hidden("=ybegin line=128 size=3 name=x\r\nabc\r\n=yend size=3").len(), 1);
        let lie = "look: -----BEGIN PGP MESSAGE-----\n\npnr 850709-9805\n-----END PGP MESSAGE-----";
        assert_eq!(hidden(lie), vec![Hidden::Unreadable("says that it is encrypted")]);
        // A session key for somebody, and octets that could be ciphertext.
        let mut packets = vec![0xC1, 1, 3, 0xD2, 41, 1];
        packets.extend((0..40_u8).map(|place| place.wrapping_mul(151)));
        let packed = data_encoding::BASE64.encode(&packets);
        let real = format!("hello\n> -----BEGIN PGP MESSAGE-----\n> \n> {packed}\n> -----END PGP MESSAGE-----\nbye");
        let found = hidden(&real);
        assert!(found.contains(&Hidden::Sealed) && !found.iter().any(|found| matches!(found, Hidden::Unreadable(_))), "{found:?}");
    }
}
