//! Files that are written into URLs, wherever such a URL stands in a text. RFC 2397.

use bytes::Bytes;

use super::hidden::LENIENT;
use crate::mail::decode;

/// What a `data:` URL holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The type that the URL gives it, with its parameters.
    pub declared: String,
    /// Its octets.
    pub content: Bytes,
}

/// Takes the `data:` URLs out of a text: what is left, in which runs of base64 say nothing to anybody,
/// and what the URLs hold.
pub fn take_out(text: &str) -> (String, Vec<Data>) {
    let (mut left, mut found) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = next(rest) {
        let (before, url) = rest.split_at_checked(at + SCHEME.len()).unwrap_or((rest, ""));
        left.push_str(before);
        rest = url;
        let Some((head, body)) = url.split_once(',').filter(|(head, _)| is_head(head)) else { continue };
        left.push_str(head);
        left.push(',');
        let Some(declared) = head.trim_end().to_ascii_lowercase().strip_suffix(";base64").map(str::to_owned) else {
            // Nothing but the end of the text ends such a URL for sure; what stands in it is found when it is read.
            found.push(Data { declared: head.to_ascii_lowercase(), content: decode::url(body).into() });
            rest = body;
            break;
        };
        let (packed, after) = body.split_at_checked(packed_length(body)).unwrap_or((body, ""));
        let content = unpacked(packed);
        if !content.is_empty() {
            found.push(Data { declared, content: content.into() });
        }
        rest = after;
    }
    left.push_str(rest);
    (left, found)
}

/// Where the next URL begins: not in the middle of a word such as `metadata:`.
fn next(text: &str) -> Option<usize> {
    memchr::memchr_iter(b':', text.as_bytes()).find_map(|colon| {
        let at = (colon + 1).checked_sub(SCHEME.len())?;
        let found = text.get(at..=colon)?.eq_ignore_ascii_case(SCHEME) && !text.get(..at)?.ends_with(char::is_alphanumeric);
        found.then_some(at)
    })
}

/// A type with parameters, or nothing at all, as browsers take it.
fn is_head(head: &str) -> bool {
    let typed = head.trim().is_empty() || head.trim_start().starts_with(';') || head.contains('/');
    typed && head.len() <= HEAD_MAX && head.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"/;=+.-_ \"'*%".contains(&octet))
}

/// Base64 with everything in it that browsers take out.
fn packed_length(body: &str) -> usize {
    let symbol = |octet: u8| octet.is_ascii_alphanumeric() || octet.is_ascii_whitespace() || b"+/=%-_".contains(&octet);
    body.bytes().position(|octet| !symbol(octet)).unwrap_or(body.len())
}

fn unpacked(packed: &str) -> Vec<u8> {
    let plain = |octet: u8| match octet {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        other => (other.is_ascii_alphanumeric() || b"+/".contains(&other)).then_some(other),
    };
    let symbols: Vec<u8> = decode::url(packed).bytes().filter_map(plain).collect();
    // A single character over a group of four carries no octet.
    let whole = symbols.get(..symbols.len() - usize::from(symbols.len() % 4 == 1)).unwrap_or_default();
    LENIENT.as_ref().and_then(|encoding| encoding.decode(whole).ok()).unwrap_or_default()
}

const SCHEME: &str = "data:";
/// No type has more to say.
const HEAD_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_urls_are_found_however_they_are_written() {
        for (text, left, declared, content) in [
            ("data:text/plain;base64,aGVsbG8=", "data:text/plain;base64,", "text/plain", "hello"),
            ("DATA:;BASE64,aGVs\n bG8", "DATA:;BASE64,", "", "hello"),
            (
                "data:text/plain; charset=utf-8;base64,aGVs%62G8%3D\") x",
                "data:text/plain; charset=utf-8;base64,\") x",
                "text/plain; charset=utf-8",
                "hello",
            ),
            ("url('data:,a%20b')", "url('data:,a%20b')", "", "a b')"),
            ("x data:text/html,<b>1</b>", "x data:text/html,<b>1</b>", "text/html", "<b>1</b>"),
        ] {
            let data = Data { declared: declared.to_owned(), content: Bytes::copy_from_slice(content.as_bytes()) };
            assert_eq!(take_out(text), (left.to_owned(), vec![data]), "{text}");
        }
        let two = "data:a/b;base64,aGk=, data:c/d;base64,aG8=";
        assert_eq!(take_out(two).1.len(), 2);
        for text in ["metadata: a, b", "data: see below, and so on", "data:", "nothing", "data:image/png;base64,"] {
            assert_eq!(take_out(text), (text.to_owned(), vec![]), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_searched(text in "(data:|[ ,;/%a-z0-9é=]){0,60}") {
            let _ = take_out(&text);
        }
    }
}
