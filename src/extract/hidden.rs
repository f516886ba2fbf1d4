//! What people and programs write into a text instead of attaching it: base64, uuencode, yEnc, BinHex,
//! armour. Readers, or their programs, make files of it again.
//!
//! RFC 4648 (base64), POSIX.1-2017 `uuencode`, RFC 9580 §6 (armour).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use data_encoding::Encoding;
use memchr::memmem;

use crate::mail::decode::sextet;
use crate::mail::sealed;
use crate::stretch::stretches;

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
        let begins =
            |at| text.get(..at).is_some_and(|before| matches!(before.trim_end_matches(MARGIN).bytes().next_back(), None | Some(b'\n')));
        if memmem::find_iter(text.as_bytes(), mark).any(begins) {
            found.push(Hidden::Unreadable(what));
        }
    }
    found
}

/// What stands before a place in its line.
fn start_of_line(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    before.get(memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |end| end + 1)..).unwrap_or_default()
}

/// The first line, and what follows it.
fn first_line(text: &str) -> (&str, &str) {
    let end = memchr::memchr(b'\n', text.as_bytes()).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default())
}

/// Characters by their numbers: `%38` in the addresses of links, `=38` in cards and invitations, `\x38` and
/// `\u0038` in scripts, `\38 ` in style sheets. A line that has them is told again without, once for each way to read it.
fn escaped(text: &str) -> Option<Hidden> {
    let mut words = String::new();
    for (mark, least) in [(b'%', 1), (b'\\', 1), (b'=', EQUALS_MIN)] {
        let mut rest = text;
        while let Some(at) = memchr::memchr(mark, rest.as_bytes()) {
            rest = rest.get(at - start_of_line(rest, at).len()..).unwrap_or_default();
            let mut whole = String::new();
            let (mut last, mut goes_on) = (0, true);
            while goes_on && !rest.is_empty() {
                let (line, after) = first_line(rest);
                let line = line.strip_suffix('\r').unwrap_or(line);
                // RFC 2045 §6.7: the line goes on. Two and more are the line under a heading.
                let soft = line.strip_suffix('=').filter(|line| mark == b'=' && !line.ends_with('='));
                whole.push_str(soft.unwrap_or(line));
                (last, goes_on, rest) = (line.len(), soft.is_some(), after);
            }
            let (read, count) = unescaped(&whole, mark);
            if count >= least || whole.len() > last || goes_on {
                words.push_str(&read);
                words.push('\n');
            }
        }
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
        let Some(octets) = (!is_word(&run)).then(|| decoded(&run)).flatten() else { continue };
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

/// Only lines that hold a long run, and those on which it may go on, are looked at closely.
fn runs(text: &str) -> Vec<Cow<'_, str>> {
    let mut runs = Runs::default();
    let mut rest = text;
    for long in long_runs(text) {
        let done = text.len() - rest.len();
        if long.start < done || (is_within(text, long.end) && tokens(text.get(long.clone()).unwrap_or_default()).all(is_word)) {
            continue;
        }
        rest = text.get(long.start - start_of_line(text, long.start).len()..).unwrap_or_default();
        while !rest.is_empty() {
            let (line, after) = first_line(rest);
            runs.take(line.trim_matches(MARGIN));
            rest = after;
            if runs.open.is_empty() {
                break;
            }
        }
    }
    runs.close();
    runs.found.retain(|run| run.len() >= RUN_MIN);
    runs.found
}

/// What an equals sign ends is decoded by itself.
fn tokens(run: &str) -> impl Iterator<Item = &str> {
    run.split_inclusive('=').filter(|token| token.len() >= RUN_MIN)
}

/// Whether words follow in the line, so that nothing goes on behind its end.
fn is_within(text: &str, end: usize) -> bool {
    let next = text.as_bytes().iter().skip(end).find(|octet| **octet != b' ');
    next.is_some_and(|next| !matches!(next, b'\r' | b'\n' | b'\t' | b'>'))
}

fn long_runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    stretches(text.as_bytes(), RUN_MIN, |[octet]| is_symbol(*octet))
}

/// Runs as they grow.
#[derive(Default)]
struct Runs<'t> {
    found: Vec<Cow<'t, str>>,
    open: String,
    /// How long the lines of the open run are, if it began with a whole one.
    width: Option<usize>,
}

impl<'t> Runs<'t> {
    fn take(&mut self, line: &'t str) {
        if !line.is_empty() && line.bytes().all(is_symbol) {
            self.line(line);
        } else {
            self.words(line);
        }
    }

    /// A line of nothing else. All lines of a run are of one length, and only the last is shorter.
    fn line(&mut self, line: &'t str) {
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
        self.found.push(Cow::Borrowed(line));
        self.open.push_str(line);
        if line.ends_with('=') || self.width.is_some_and(|width| line.len() < width) {
            self.close();
        }
    }

    /// A line with runs between other things.
    fn words(&mut self, mut line: &'t str) {
        if !self.open.is_empty() {
            // `…LTk4MDU=.` ends a run; an ordinary first word of the next line does not.
            let first = line.bytes().take_while(|octet| is_symbol(*octet) && *octet != b'=').count();
            if let Some((first, rest)) = line.split_at_checked(first + 1).filter(|(first, _)| first.ends_with('=')) {
                self.open.push_str(first);
                line = rest;
            }
            self.close();
        }
        for run in long_runs(line) {
            for token in tokens(line.get(run.clone()).unwrap_or_default()) {
                if run.end == line.len() && !token.ends_with('=') {
                    token.clone_into(&mut self.open);
                } else {
                    self.found.push(Cow::Borrowed(token));
                }
            }
        }
    }

    fn close(&mut self) {
        self.found.push(Cow::Owned(std::mem::take(&mut self.open)));
        self.width = None;
    }
}

fn decoded(run: &str) -> Option<Vec<u8>> {
    let packed = run.trim_end_matches('=');
    // A single character over a group of four carries no octet.
    let whole = if packed.len() % 4 == 1 { packed.get(..packed.len() - 1)? } else { packed };
    LENIENT.as_ref()?.decode(whole.as_bytes()).ok()
}

/// Whether a run is too short for a file and too strange for a text: an ordinary long word, as its first octets tell without
/// the cost of the rest.
fn is_word(run: &str) -> bool {
    let Some(head) = run.as_bytes().first_chunk::<RUN_MIN>().filter(|head| run.len() / 4 * 3 + 2 < FILE_MIN && !head.ends_with(b"="))
    else {
        return false;
    };
    let (mut strange, mut before) = (0, b' ');
    for four in head.as_chunks::<4>().0 {
        let packed = four.iter().fold(0, |packed, symbol| packed << 6 | sextet(*symbol).unwrap_or_default());
        let [_, three @ ..] = packed.to_be_bytes();
        for octet in three {
            // Each of these is a chunk of its own that `readable` counts: a control, the rest of a character
            // without its beginning, a beginning without its rest. RFC 3629 §4.
            let follows = matches!(octet, 0x80..=0xBF);
            let is_control = octet.is_ascii_control() && !matches!(octet, b'\t'..=b'\r');
            strange += usize::from(is_control || (before < 0x80 && follows) || (before >= 0xC0 && !follows));
            before = octet;
        }
        if strange * STRANGE_SHARE > run.len() / 4 * 3 + 2 {
            return true;
        }
    }
    false
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
    let mut rest = text;
    while let Some(at) = memmem::find(rest.as_bytes(), BEGIN) {
        let is_first = start_of_line(rest, at).trim_start_matches("> ").is_empty();
        let (line, after) = first_line(rest.get(at..).unwrap_or_default());
        rest = after;
        if !is_first || !begins(line.trim_end_matches('\r')) {
            continue;
        }
        if found.len() >= FILES_MAX {
            found.push(Hidden::Unreadable("more files written into it than anybody reads"));
            break;
        }
        let mut octets = Vec::new();
        while !rest.is_empty() {
            let (line, after) = first_line(rest);
            let line = line.trim_start_matches("> ").trim_end_matches('\r');
            let Some(more) = unpacked(line).filter(|_| line != "end") else { break };
            octets.extend(more);
            rest = after;
        }
        found.extend((!octets.is_empty()).then_some(Hidden::Octets(octets)));
    }
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
    let mut begins = memmem::find_iter(text.as_bytes(), sealed::ARMOUR_BEGIN).peekable();
    while let Some(at) = begins.next() {
        let block = text.get(at..begins.peek().copied().unwrap_or(text.len())).unwrap_or_default();
        let end = memmem::find(block.as_bytes(), sealed::ARMOUR_END.as_bytes()).map(|end| end + sealed::ARMOUR_END.len());
        let block = end.and_then(|end| block.get(..end)).unwrap_or_default();
        let block: String = block.lines().map(|line| line.trim_matches(MARGIN)).flat_map(|line| [line, "\n"]).collect();
        let hidden = if sealed::is_armour(block.as_bytes()) { Hidden::Sealed } else { Hidden::Unreadable("says that it is encrypted") };
        if !found.contains(&hidden) {
            found.push(hidden);
        }
    }
    found
}

fn is_symbol(octet: u8) -> bool {
    octet == b'=' || sextet(octet).is_some()
}

/// How a file in uuencode begins.
const BEGIN: &[u8] = b"begin ";
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
        assert!(words("a number=ODUwNzA5LTk4MDU= and more").contains("850709-9805"));
        assert!(words("a number=850709=ODUwNzA5LTk4MDU=, and more").contains("850709-9805"));
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
        assert_eq!(hidden("> =ybegin line=128 size=3 name=x\r\nabc\r\n=yend size=3").len(), 1);
        assert_eq!(hidden("he wrote =ybegin line=128"), vec![]);
        // A square of it would take hours.
        assert_eq!(
            hidden(&"x=ybegin begin -----BEGIN PGP MESSAGE-----".repeat(100_000)),
            vec![Hidden::Unreadable("says that it is encrypted")]
        );
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
