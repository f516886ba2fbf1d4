//! Which octets of a file are asked for. One range a request; several are answered with the whole.
//!
//! RFC 9110 §14.1.2, §14.2, §13.1.5.

use std::ops::Range;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// 200.
    Whole,
    /// 206, end exclusive.
    Part(Range<u64>),
    /// 416.
    Unsatisfiable,
}

/// Reads Range against the length. A field that is not well-formed is ignored, as the RFC says.
pub fn wanted(range: Option<&str>, length: u64) -> Wanted {
    let Some((unit, spec)) = range.and_then(|range| range.split_once('=')) else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= length => Wanted::Unsatisfiable,
        (Some(first), Some(last)) => Wanted::Part(first..last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first..length),
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && length == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(length.saturating_sub(suffix)..length),
        _ => Wanted::Whole,
    }
}

/// Whether If-Range lets the range stand: our strong tag, exactly. A date never does, for we send none.
pub fn stands(if_range: Option<&str>, etag: &str) -> bool {
    if_range.is_none_or(|given| given.trim() == format!("\"{etag}\""))
}

/// Digits only; more than fit are as many as there can be.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_rfc_says() {
        for (range, length, expect) in [
            (None, 10, Wanted::Whole),
            (Some("bytes=0-0"), 10, Wanted::Part(0..1)),
            (Some("bytes=0-"), 10, Wanted::Part(0..10)),
            (Some("bytes=3-99"), 10, Wanted::Part(3..10)),
            (Some("bytes=-3"), 10, Wanted::Part(7..10)),
            (Some("bytes=-99"), 10, Wanted::Part(0..10)),
            (Some("bytes=-0"), 10, Wanted::Unsatisfiable),
            (Some("bytes=10-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=10-12"), 10, Wanted::Unsatisfiable),
            (Some("bytes=5-4"), 10, Wanted::Whole),
            (Some("bytes=0-1,3-4"), 10, Wanted::Whole),
            (Some("bytes=99999999999999999999-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-99999999999999999999"), 10, Wanted::Part(0..10)),
            (Some("bytes=a-b"), 10, Wanted::Whole),
            (Some("bytes=--1"), 10, Wanted::Whole),
            (Some("bytes=-"), 10, Wanted::Whole),
            (Some("bytes=+1-2"), 10, Wanted::Whole),
            (Some("lines=0-1"), 10, Wanted::Whole),
            (Some("BYTES=0-1"), 10, Wanted::Part(0..2)),
            (Some("bytes=0-0"), 0, Wanted::Unsatisfiable),
            (Some("bytes=-1"), 0, Wanted::Unsatisfiable),
        ] {
            assert_eq!(wanted(range, length), expect, "{range:?} of {length}");
        }
    }

    #[test]
    fn only_our_own_strong_tag_lets_a_range_stand() {
        for (field, expect) in [
            (None, true),
            (Some("\"abc\""), true),
            (Some("W/\"abc\""), false),
            (Some("\"abd\""), false),
            (Some("Tue, 15 Nov 1994 12:45:26 GMT"), false),
        ] {
            assert_eq!(stands(field, "abc"), expect, "{field:?}");
        }
    }
}
