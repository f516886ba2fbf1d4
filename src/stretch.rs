//! Long stretches of one kind, found without looking at most of a text.
//!
//! A stretch of `least` places covers one of every `least` in a row. Who looks there first, and from there
//! backwards to the first place that does not belong, may begin anew behind it: of ordinary text a
//! fraction is looked at. The idea is that of Boyer and Moore (1977).

use std::ops::Range;

/// Every longest stretch of at least `least` places that all belong, a place being `N` octets of the text, from the first of
/// them on. None is asked about more than twice.
pub fn stretches<const N: usize>(text: &[u8], least: usize, belongs: impl Fn(&[u8; N]) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(from..)?;
            let first = rest.get(..least + N - 1)?;
            if let Some(other) = first.array_windows().rposition(|place| !belongs(place)) {
                from += other + 1;
                continue;
            }
            let mut others = rest.get(least..)?.array_windows();
            let count = others.len();
            let length = least + others.position(|place| !belongs(place)).unwrap_or(count);
            let found = from..from + length;
            from = found.end + 1;
            return Some(found);
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn none_is_missed_and_none_is_cut(text in "[ab]{0,60}", least in 1_usize..6) {
            let found: Vec<Range<usize>> = stretches(text.as_bytes(), least, |[octet]| *octet == b'a').collect();
            let mut expect = Vec::new();
            let mut at = 0;
            for run in text.split('b') {
                if run.len() >= least {
                    expect.push(at..at + run.len());
                }
                at += run.len() + 1;
            }
            prop_assert_eq!(found, expect);
            let pairs: Vec<Range<usize>> = stretches(text.as_bytes(), least, |[one, other]| *one == b'a' && *other == b'a').collect();
            let expect: Vec<Range<usize>> = stretches(text.as_bytes(), least + 1, |[octet]| *octet == b'a').map(|run| run.start..run.end - 1).collect();
            prop_assert_eq!(pairs, expect);
        }
    }
}
