//! xtext: parameters of MAIL and RCPT that may hold any octet. RFC 3461 §4.

/// Encodes: what is not printable ASCII, and `+` and `=`, as `+XX`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=') {
            encoded.push(char::from(octet));
        } else {
            encoded.push_str(&format!("+{octet:02X}"));
        }
    }
    encoded
}

/// Decodes; none when it is not xtext or not UTF-8 inside. What comes out may hold controls: see
/// [`super::EnvelopeId::parse`] for a value that does not.
pub fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push(upper_hex(rest.next()?)? * 16 + upper_hex(rest.next()?)?),
            // RFC 3461 §4: xchar is printable ASCII without "+" and "=".
            b'!'..=b'~' if octet != b'=' => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

/// RFC 3461 §4: hexchar has upper-case digits only.
fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_decodes_or_is_refused() {
        for (text, expect) in [
            ("ann@example.org", Some("ann@example.org")),
            ("a+2Bb+3Dc", Some("a+b=c")),
            ("a+0D+0Ab", Some("a\r\nb")),
            ("+C3+A5", Some("å")),
            ("", Some("")),
            ("a+2b", None),
            ("a+", None),
            ("a+4", None),
            ("a=b", None),
            ("a b", None),
            ("+FF", None),
            ("å", None),
        ] {
            assert_eq!(decode(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn what_was_encoded_decodes_to_itself() {
        for text in ["", "a+b=c d", "å\r\n\0", "plain"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
    }
}
