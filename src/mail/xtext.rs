//! xtext, the spelling of free text in parameters of MAIL and RCPT. RFC 3461 §4.
//!
//! A value that holds controls once it is decoded is refused: it would end up in the header of a
//! report, where a CR LF starts a field of the sender's choice.

/// Encodes what is not printable ASCII, and `+` and `=`, as `+XX`.
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

/// An address beyond ASCII in ASCII: `\x{E5}` for what is not. RFC 6533 §3, `utf-8-addr-xtext`.
pub fn embed(address: &str) -> String {
    let embedded = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:02X}}}", u32::from(c)) };
    address.chars().map(embedded).collect()
}

/// Decodes; none when the spelling is wrong, or the value is not UTF-8 or holds a control character.
pub fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push(upper_hex(rest.next()?)? * 16 + upper_hex(rest.next()?)?),
            b'=' => return None,
            // RFC 6533 §3 lets `utf-8` addresses stand unencoded where SMTPUTF8 is on.
            b'!'..=b'~' | 0x80.. => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok().filter(|value| !value.chars().any(char::is_control))
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn controls_and_wrong_spellings_are_refused() {
        for (text, expect) in [
            ("ann@example.org", Some("ann@example.org")),
            ("a+2Bb+3Dc", Some("a+b=c")),
            ("a+20b", Some("a b")),
            ("+C3+A5", Some("\u{e5}")),
            ("\u{e5}", Some("\u{e5}")),
            ("", Some("")),
            ("a+0D+0ABcc:x", None),
            ("a+00", None),
            ("a+7F", None),
            ("+C2+85", None),
            ("\u{85}", None),
            ("a+2b", None),
            ("a+2", None),
            ("a+", None),
            ("a=b", None),
            ("a b", None),
            ("+FF", None),
        ] {
            assert_eq!(decode(text).as_deref(), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(value in "[^\\p{Cc}]{0,40}") {
            let encoded = encode(&value);
            prop_assert!(encoded.bytes().all(|octet| octet.is_ascii_graphic()));
            prop_assert_eq!(decode(&encoded), Some(value));
        }
    }
}
