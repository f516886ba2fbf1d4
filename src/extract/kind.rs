//! What a run of octets really is. A declared type or a name adds a reading, it never removes one.
//!
//! Octets can be two things at once, so the answer is a list and every reading of it is done.

/// A way to read some octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text in some character set.
    Text,
    /// HTML, XML, SVG: text within tags.
    Markup,
    /// A mail message. RFC 5322.
    Message,
    /// A ZIP archive, or a document that is one.
    Zip,
    /// A PDF document.
    Pdf,
    /// A compound file: old office formats, or an encrypted new one.
    Compound,
    /// Understood, carries no text.
    Opaque(&'static str),
    /// Recognised, not read.
    Foreign(&'static str),
}

/// Everything that the octets can be read as; empty when nothing is recognised.
pub fn probe(content: &[u8], name: &str, declared: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"PK\x05\x06") || ends_like_zip(content) {
        kinds.push(Kind::Zip);
    }
    if holds(head(content, PDF_HEAD), b"%PDF-") {
        kinds.push(Kind::Pdf);
    }
    if content.starts_with(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) {
        kinds.push(Kind::Compound);
    }
    kinds.extend(foreign(content));
    if kinds.is_empty()
        && let Some(media) = opaque(content)
    {
        kinds.push(Kind::Opaque(media));
    }
    // What stands in a ZIP is looked at by itself.
    if !kinds.iter().any(|kind| matches!(kind, Kind::Zip | Kind::Foreign(_))) {
        kinds.extend(appended(content));
    }
    let binary = !kinds.is_empty() && !matches!(kinds.as_slice(), [Kind::Opaque(_)]);
    // Short signatures occur in ordinary text ("BM…"), so text is read as text whatever it begins with.
    if !binary && super::plain::is_text(content) {
        kinds.extend(textual(content, name, declared));
    }
    kinds
}

impl Kind {
    /// `kind/subtype`.
    pub const fn media(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markup => "text/html",
            Self::Message => "message/rfc822",
            Self::Zip => "application/zip",
            Self::Pdf => "application/pdf",
            Self::Compound => "application/x-cfb",
            Self::Opaque(media) | Self::Foreign(media) => media,
        }
    }

    /// Whether it is read without a worker: the readers are our own and bounded by the input.
    pub const fn is_plain(self) -> bool {
        match self {
            Self::Text | Self::Markup | Self::Opaque(_) | Self::Foreign(_) => true,
            Self::Message | Self::Zip | Self::Pdf | Self::Compound => false,
        }
    }
}

fn textual(content: &[u8], name: &str, declared: &str) -> Vec<Kind> {
    let named = |ending: &str| name.len() > ending.len() && name.to_ascii_lowercase().ends_with(ending);
    if declared.starts_with("message/") || named(".eml") {
        return vec![Kind::Message];
    }
    // Notes with colons in them look like mail as well, so that is one more reading and never the only one.
    let mut kinds = if looks_like_message(content) { vec![Kind::Message] } else { Vec::new() };
    if declared.contains("html") || declared.contains("xml") || named(".htm") || named(".html") {
        kinds.push(Kind::Markup);
        return kinds;
    }
    kinds.push(Kind::Text);
    // `text/enriched` and its kin have tags of their own.
    if declared.starts_with("text/") && !declared.starts_with("text/plain") && content.contains(&b'<') || looks_like_markup(content) {
        kinds.push(Kind::Markup);
    }
    kinds
}

/// Two fields that only mail has, before the first empty line.
fn looks_like_message(content: &[u8]) -> bool {
    let top = String::from_utf8_lossy(head(content, MESSAGE_HEAD)).to_ascii_lowercase();
    let mut fields = 0;
    for line in top.lines() {
        let Some((name, _)) = line.split_once(':') else {
            if line.starts_with([' ', '\t']) && fields > 0 {
                continue;
            }
            break;
        };
        fields += usize::from(FIELDS.contains(&name));
    }
    fields >= 2
}

fn looks_like_markup(content: &[u8]) -> bool {
    let top = String::from_utf8_lossy(head(content, MARKUP_HEAD)).to_ascii_lowercase();
    ["<!doctype", "<html", "<?xml", "<svg", "<body", "<div", "<p>", "<p ", "<br", "<table", "<span", "<head", "<script", "<font", "<style"]
        .iter()
        .any(|tag| top.contains(tag))
}

/// A ZIP is read from its end, so anything can stand before it.
fn ends_like_zip(content: &[u8]) -> bool {
    super::archive::end_record(content).is_some()
}

fn foreign(content: &[u8]) -> Option<Kind> {
    if content.get(TAR_MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Some(Kind::Foreign("application/x-tar"));
    }
    FOREIGN.iter().find(|(magic, _)| content.starts_with(magic)).map(|(_, media)| Kind::Foreign(media))
}

/// An archive behind something else: the programs that open them look for them everywhere.
fn appended(content: &[u8]) -> Option<Kind> {
    let archives = FOREIGN.iter().filter(|(_, media)| APPENDED.contains(media));
    archives.into_iter().find(|(magic, _)| memchr::memmem::find(content, magic).is_some()).map(|(_, media)| Kind::Foreign(media))
}

fn opaque(content: &[u8]) -> Option<&'static str> {
    if let Some((_, media)) = OPAQUE.iter().find(|(magic, _)| content.starts_with(magic)) {
        return Some(media);
    }
    if content.get(EMF_MAGIC_AT..).is_some_and(|rest| rest.starts_with(b" EMF")) {
        return Some("image/emf");
    }
    let found = infer::get(head(content, INFER_HEAD))?;
    match found.matcher_type() {
        infer::MatcherType::Image | infer::MatcherType::Audio | infer::MatcherType::Video | infer::MatcherType::Font => {
            Some(found.mime_type())
        }
        infer::MatcherType::App
        | infer::MatcherType::Archive
        | infer::MatcherType::Book
        | infer::MatcherType::Doc
        | infer::MatcherType::Text
        | infer::MatcherType::Custom => None,
    }
}

fn head(content: &[u8], at_most: usize) -> &[u8] {
    content.get(..at_most).unwrap_or(content)
}

fn holds(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|window| window == needle)
}

/// ISO 32000-1 annex H: readers look for the header in the first 1024 octets.
const PDF_HEAD: usize = 1024;
/// Their signatures have six octets, which come together by chance once in a hundred terabytes.
const APPENDED: [&str; 2] = ["application/x-7z-compressed", "application/vnd.rar"];
const MESSAGE_HEAD: usize = 16 * 1024;
const MARKUP_HEAD: usize = 4 * 1024;
/// The farthest signature that `infer` looks at lies well within.
const INFER_HEAD: usize = 64 * 1024;
/// POSIX.1-2017, pax: the magic of a ustar header.
const TAR_MAGIC_AT: usize = 257;
/// [MS-EMF] 2.3.4.2: the record signature of the header.
const EMF_MAGIC_AT: usize = 40;
/// Fields that tell mail from other text with colons.
const FIELDS: [&str; 11] = [
    "from",
    "to",
    "received",
    "return-path",
    "message-id",
    "mime-version",
    "content-type",
    "subject",
    "date",
    "delivered-to",
    "dkim-signature",
];
const OPAQUE: [(&[u8], &str); 4] = [
    (&[0xd7, 0xcd, 0xc6, 0x9a], "image/wmf"),
    (b"\x01\x00\x09\x00\x00\x03", "image/wmf"),
    (b"%!PS-AdobeFont", "font/type1"),
    (b"wOFF", "font/woff"),
];
const FOREIGN: [(&[u8], &str); 24] = [
    (&[0x1f, 0x8b], "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "application/zstd"),
    (&[0x1f, 0x9d], "application/x-compress"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF", "application/vnd.ms-cab-compressed"),
    (b"{\\rtf", "application/rtf"),
    // [MS-OXTNEF] 2.1.3.1: the signature of winmail.dat.
    (&[0x78, 0x9f, 0x3e, 0x22], "application/ms-tnef"),
    (b"!BDN", "application/vnd.ms-outlook-pst"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-executable"),
    (&[0xfe, 0xed, 0xfa, 0xce], "application/x-mach-binary"),
    (&[0xfe, 0xed, 0xfa, 0xcf], "application/x-mach-binary"),
    (&[0xce, 0xfa, 0xed, 0xfe], "application/x-mach-binary"),
    (&[0xcf, 0xfa, 0xed, 0xfe], "application/x-mach-binary"),
    (&[0xca, 0xfe, 0xba, 0xbe], "application/java-vm"),
    (b"\0asm", "application/wasm"),
    (b"!<arch>\n", "application/x-archive"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"-----BEGIN PGP MESSAGE", "application/pgp-encrypted"),
    (b"%!PS", "application/postscript"),
    (b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octets_decide_and_the_declared_type_does_not() {
        for (content, name, declared, expect) in [
            (&b"PK\x03\x04rest"[..], "a.txt", "text/plain", vec![Kind::Zip]),
            (b"%PDF-1.7\n", "a.png", "image/png", vec![Kind::Pdf]),
            (b"junk\n%PDF-1.7\n", "a", "", vec![Kind::Pdf]),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.txt", "text/plain", vec![Kind::Opaque("image/png")]),
            (b"just words", "a.png", "image/png", vec![Kind::Text]),
            (b"<html><p>x", "a.txt", "text/plain", vec![Kind::Text, Kind::Markup]),
            (b"a,b\n1,2\n", "a.csv", "text/csv", vec![Kind::Text]),
            (b"MZ\x90\0", "a.txt", "text/plain", vec![Kind::Foreign("application/vnd.microsoft.portable-executable")]),
            (b"{\\rtf1 x}", "a.txt", "text/plain", vec![Kind::Foreign("application/rtf")]),
            (&[0x78, 0x9f, 0x3e, 0x22, 0, 0], "winmail.dat", "", vec![Kind::Foreign("application/ms-tnef")]),
            (b"From: a@example.org\r\nSubject: x\r\n\r\nhello", "a", "", vec![Kind::Message, Kind::Text]),
            (b"Date: x\r\nSubject: x\r\n\r\n<html>", "a.html", "text/html", vec![Kind::Message, Kind::Markup]),
            (b"From: a@example.org\r\nSubject: x\r\n\r\nhello", "a.eml", "", vec![Kind::Message]),
            (b"Note: one\nTo do: two\n", "a", "", vec![Kind::Text]),
            (&[0, 1, 2, 3, 0xff, 0xfe, 0, 0], "a.bin", "", vec![]),
        ] {
            assert_eq!(probe(content, name, declared), expect, "{name} {:?}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn text_that_begins_like_a_picture_is_still_read() {
        let kinds = probe(b"BM 850709-9805 is a number", "a.bmp", "image/bmp");
        assert!(kinds.contains(&Kind::Text), "{kinds:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_probed(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = probe(&content, "x", "");
        }
    }
}
