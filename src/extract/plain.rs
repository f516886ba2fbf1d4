//! Octets that are text already: character set and nothing else.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Whether a person could read it in an editor: a byte-order mark, valid UTF-8, UTF-16, or eight-bit
/// text, with hardly any control characters.
pub fn is_text(content: &[u8]) -> bool {
    if Encoding::for_bom(content).is_some() || is_utf16(content).is_some() {
        return true;
    }
    let strange = content.iter().filter(|&&octet| octet < b' ' && !matches!(octet, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x08)).count();
    !content.contains(&0) && strange <= content.len() / STRANGE_SHARE
}

/// As Unicode: byte-order mark, then UTF-8, then what the declared type says, then windows-1252.
pub fn decode(content: &[u8], declared: &str) -> String {
    if let Some((encoding, _)) = Encoding::for_bom(content) {
        return encoding.decode(content).0.into_owned();
    }
    if let Some(encoding) = is_utf16(content) {
        return encoding.decode_without_bom_handling(content).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(content)
        && charset(declared).is_none_or(|encoding| encoding == UTF_8 || encoding.is_ascii_compatible())
    {
        return text.to_owned();
    }
    charset(declared).unwrap_or(WINDOWS_1252).decode_without_bom_handling(content).0.into_owned()
}

/// What different readers take a text for: by its label, without it, and by its escapes.
pub fn readings(content: &[u8], declared: &str) -> Vec<String> {
    let mut readings = vec![decode(content, declared)];
    let mut others = vec![decode(content, "")];
    if content.contains(&0x1b) {
        others.push(ISO_2022_JP.decode_without_bom_handling(content).0.into_owned());
    }
    for other in others {
        if !readings.contains(&other) {
            readings.push(other);
        }
    }
    readings
}

/// Runs of letters and digits in binary settings, so that they are looked at without being understood.
pub fn strings(content: &[u8]) -> String {
    runs(content, RUN_MIN)
}

/// What people and programs write beside pictures and sound. Packed data has short runs by the thousand.
pub fn captions(content: &[u8]) -> String {
    runs(content, CAPTION_MIN)
}

fn runs(content: &[u8], least: usize) -> String {
    let mut found = String::new();
    runs_of(content.iter().copied(), least, &mut found);
    if content.contains(&0) {
        // Every second octet of UTF-16 in western text is zero; elsewhere a zero ends a text.
        runs_of(content.iter().copied().filter(|&octet| octet != 0), least, &mut found);
    }
    found
}

fn runs_of(octets: impl Iterator<Item = u8>, least: usize, found: &mut String) {
    let mut run = String::new();
    for octet in octets.chain(std::iter::once(0x01)) {
        if octet.is_ascii_graphic() || octet == b' ' {
            run.push(char::from(octet));
        } else {
            if run.trim().len() >= least {
                found.push_str(run.trim());
                found.push('\n');
            }
            run.clear();
        }
    }
}

fn charset(declared: &str) -> Option<&'static Encoding> {
    let (_, label) = declared.split_once("charset=")?;
    Encoding::for_label(label.split(';').next().unwrap_or_default().trim_matches([' ', '"', '\'']).as_bytes())
}

/// UTF-16 without a mark: the zero octets of western text all stand on one side.
fn is_utf16(content: &[u8]) -> Option<&'static Encoding> {
    let sample = content.get(..SAMPLE).unwrap_or(content);
    let (pairs, _) = sample.as_chunks::<2>();
    if pairs.len() < 4 || !content.len().is_multiple_of(2) {
        return None;
    }
    let first = pairs.iter().filter(|[first, second]| *first == 0 && *second != 0).count();
    let second = pairs.iter().filter(|[first, second]| *second == 0 && *first != 0).count();
    let most = pairs.len() - pairs.len() / 10;
    let encoding = match (first >= most, second >= most) {
        (true, false) => UTF_16BE,
        (false, true) => UTF_16LE,
        _ => return None,
    };
    let (text, malformed) = encoding.decode_without_bom_handling(content);
    (!malformed && !text.contains('\0')).then_some(encoding)
}

/// One control character in so many octets is a slip; more is a binary format.
const STRANGE_SHARE: usize = 200;
const SAMPLE: usize = 4096;
/// Shorter runs occur by chance.
const RUN_MIN: usize = 4;
/// No number of a person is shorter, and of random octets one run in ten thousand is as long.
const CAPTION_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_known_and_decoded() {
        for (content, declared, expect) in [
            (&b"plain"[..], "", "plain"),
            ("påse".as_bytes(), "text/plain", "påse"),
            (b"p\xe5se", "text/plain", "påse"),
            (b"p\xe5se", "text/plain; charset=\"iso-8859-1\"", "påse"),
            (b"\xcf\xf0\xe8", "text/plain; charset=windows-1251", "При"),
            (b"\xff\xfeh\0i\0", "", "hi"),
            (b"h\0e\0l\0l\0o\0", "", "hello"),
            (b"\0h\0e\0l\0l\0o", "", "hello"),
            (b"\xef\xbb\xbfmark", "", "mark"),
        ] {
            assert!(is_text(content), "{content:?}");
            assert_eq!(decode(content, declared), expect);
        }
        assert!(!is_text(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(!is_text(&[0x90, 0, 3, 0, 0, 0, 4]));
    }

    #[test]
    fn strings_of_a_binary_are_found_in_both_widths() {
        assert_eq!(strings(b"\x01\x02secret word\x03\x04ab\x05"), "secret word\n");
        assert_eq!(strings(b"\x01s\0e\0c\0r\0e\0t\0\x02"), "secret\n");
        assert_eq!(strings(b"\x01Title\0of it\0"), "Title\nof it\nTitleof it\n");
        assert_eq!(
            captions(b"\x89PNG\r\n\x1a\n\0tEXtComment\0by Ann at home\0"),
            "tEXtComment\nby Ann at home\ntEXtCommentby Ann at home\n"
        );
    }

    #[test]
    fn a_text_is_read_by_those_who_believe_its_label_and_by_those_who_do_not() {
        assert_eq!(readings(b"plain", "text/plain; charset=utf-8"), ["plain"]);
        assert!(readings(b"8507099805", "text/plain; charset=utf-16").contains(&"8507099805".to_owned()));
        assert!(readings(b"\x1b$B#8#5\x1b(B", "").contains(&"\u{ff18}\u{ff15}".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_decoded(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = (is_text(&content), decode(&content, "text/plain; charset=utf-16"), strings(&content));
        }
    }
}
