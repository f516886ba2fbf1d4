//! xtext, the spelling of free text in delivery-report parameters. RFC 3461 §4.
//!
//! A value that holds controls once it is decoded is refused: it would end up in the header of a
//! report, where a CR LF starts a field of the sender's choice.

/// Decodes; none if the spelling is wrong or the value holds a control character.
pub fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push(hex(rest.next()?)? * 16 + hex(rest.next()?)?),
            b'=' => return None,
            b'!'..=b'~' => octets.push(octet),
            // RFC 6533 §3 lets `utf-8` addresses stand unencoded where SMTPUTF8 is on.
            0x80.. => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok().filter(|value| !value.chars().any(char::is_control))
}

/// Encodes, so that [`decode`] gives the same text again.
pub fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match octet {
            b'+' | b'=' => push_hex(&mut text, octet),
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => push_hex(&mut text, octet),
        }
    }
    text
}

/// RFC 3461 §4 `hexchar`: upper case only.
fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

fn push_hex(text: &mut String, octet: u8) {
    text.push('+');
    for digit in [octet >> 4, octet & 15] {
        text.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn controls_and_wrong_spellings_are_refused() {
        for (text, expect) in [
            ("rfc822", Some("rfc822")),
            ("a+2Bb", Some("a+b")),
            ("a+3Db", Some("a=b")),
            ("a+20b", Some("a b")),
            ("a+0D+0ABcc:x", None),
            ("a+00", None),
            ("a+7F", None),
            ("a+2b", None),
            ("a+2", None),
            ("a+", None),
            ("a=b", None),
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
