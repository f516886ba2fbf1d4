//! Characters that look like Latin letters and digits, and characters that nobody sees.
//!
//! Compact on purpose: the twins that people can type or paste and that survive compatibility
//! decomposition. Not a transliteration; a Greek or Russian text stays what it is except for the
//! letters that a reader could not tell from ours.
//!
//! UTS #39 §4, drawn up from the shapes.

/// The ASCII that a character looks like.
pub fn twin(c: char) -> Option<&'static str> {
    if let Ok(found) = TWINS.binary_search_by_key(&c, |(twin, _)| *twin) {
        return TWINS.get(found).map(|(_, ascii)| *ascii);
    }
    digit(c)
}

/// Whether a character has no shape of its own: joiners, marks of direction, soft hyphens,
/// variation selectors, tags, fillers.
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e01ef}')
}

/// Decimal digits of every script that are not unfolded by NFKC.
fn digit(c: char) -> Option<&'static str> {
    let code = c as u32;
    let zero = ZEROS.iter().find(|&&zero| (zero..zero + 10).contains(&code))?;
    DIGITS.get(usize::try_from(code - zero).ok()?).copied()
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The zero of each run of ten digits, general category Nd.
const ZEROS: &[u32] = &[
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0,
    0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x1E950,
];

/// Latin, Greek, Cyrillic, Armenian, Cherokee, small capitals, dashes and quotes, in the order of the code points, for binary search; upper and lower case, since some twins
/// exist in one case only.
const TWINS: &[(char, &str)] = &[
    ('\u{131}', "i"),
    ('\u{17f}', "s"),
    ('\u{1c0}', "l"),
    ('\u{237}', "j"),
    ('\u{251}', "a"),
    ('\u{261}', "g"),
    ('\u{262}', "g"),
    ('\u{26a}', "i"),
    ('\u{274}', "n"),
    ('\u{280}', "r"),
    ('\u{28f}', "y"),
    ('\u{299}', "b"),
    ('\u{29c}', "h"),
    ('\u{29f}', "l"),
    ('\u{2bc}', "'"),
    ('\u{37f}', "j"),
    ('\u{391}', "a"),
    ('\u{392}', "b"),
    ('\u{395}', "e"),
    ('\u{396}', "z"),
    ('\u{397}', "h"),
    ('\u{399}', "i"),
    ('\u{39a}', "k"),
    ('\u{39c}', "m"),
    ('\u{39d}', "n"),
    ('\u{39f}', "o"),
    ('\u{3a1}', "p"),
    ('\u{3a4}', "t"),
    ('\u{3a5}', "y"),
    ('\u{3a7}', "x"),
    ('\u{3b1}', "a"),
    ('\u{3b3}', "y"),
    ('\u{3b9}', "i"),
    ('\u{3ba}', "k"),
    ('\u{3bd}', "v"),
    ('\u{3bf}', "o"),
    ('\u{3c1}', "p"),
    ('\u{3c2}', "c"),
    ('\u{3c3}', "o"),
    ('\u{3c4}', "t"),
    ('\u{3c5}', "u"),
    ('\u{3c7}', "x"),
    ('\u{3c9}', "w"),
    ('\u{3f2}', "c"),
    ('\u{3f3}', "j"),
    ('\u{3f9}', "c"),
    ('\u{405}', "s"),
    ('\u{406}', "i"),
    ('\u{408}', "j"),
    ('\u{410}', "a"),
    ('\u{412}', "b"),
    ('\u{415}', "e"),
    ('\u{417}', "3"),
    ('\u{41a}', "k"),
    ('\u{41c}', "m"),
    ('\u{41d}', "h"),
    ('\u{41e}', "o"),
    ('\u{420}', "p"),
    ('\u{421}', "c"),
    ('\u{422}', "t"),
    ('\u{423}', "y"),
    ('\u{425}', "x"),
    ('\u{430}', "a"),
    ('\u{433}', "r"),
    ('\u{435}', "e"),
    ('\u{43a}', "k"),
    ('\u{43e}', "o"),
    ('\u{43f}', "n"),
    ('\u{440}', "p"),
    ('\u{441}', "c"),
    ('\u{443}', "y"),
    ('\u{445}', "x"),
    ('\u{44c}', "b"),
    ('\u{455}', "s"),
    ('\u{456}', "i"),
    ('\u{458}', "j"),
    ('\u{474}', "v"),
    ('\u{475}', "v"),
    ('\u{4ae}', "y"),
    ('\u{4af}', "y"),
    ('\u{4ba}', "h"),
    ('\u{4bb}', "h"),
    ('\u{4c0}', "l"),
    ('\u{4cf}', "l"),
    ('\u{501}', "d"),
    ('\u{51b}', "q"),
    ('\u{51d}', "w"),
    ('\u{555}', "o"),
    ('\u{563}', "q"),
    ('\u{570}', "h"),
    ('\u{578}', "n"),
    ('\u{57d}', "u"),
    ('\u{584}', "f"),
    ('\u{585}', "o"),
    ('\u{13a0}', "d"),
    ('\u{13a1}', "r"),
    ('\u{13a2}', "t"),
    ('\u{13aa}', "a"),
    ('\u{13ab}', "j"),
    ('\u{13ac}', "e"),
    ('\u{13b3}', "w"),
    ('\u{13b7}', "m"),
    ('\u{13bb}', "h"),
    ('\u{13c3}', "z"),
    ('\u{13d2}', "r"),
    ('\u{13d9}', "v"),
    ('\u{13da}', "s"),
    ('\u{13de}', "l"),
    ('\u{13df}', "c"),
    ('\u{13e2}', "p"),
    ('\u{13e6}', "k"),
    ('\u{1d00}', "a"),
    ('\u{1d04}', "c"),
    ('\u{1d05}', "d"),
    ('\u{1d07}', "e"),
    ('\u{1d0a}', "j"),
    ('\u{1d0b}', "k"),
    ('\u{1d0d}', "m"),
    ('\u{1d0f}', "o"),
    ('\u{1d18}', "p"),
    ('\u{1d1b}', "t"),
    ('\u{1d1c}', "u"),
    ('\u{1d20}', "v"),
    ('\u{1d21}', "w"),
    ('\u{1d22}', "z"),
    ('\u{2010}', "-"),
    ('\u{2011}', "-"),
    ('\u{2012}', "-"),
    ('\u{2013}', "-"),
    ('\u{2014}', "-"),
    ('\u{2015}', "-"),
    ('\u{2018}', "'"),
    ('\u{2019}', "'"),
    ('\u{2043}', "-"),
    ('\u{2212}', "-"),
    ('\u{2215}', "/"),
    ('\u{2223}', "l"),
    ('\u{fe58}', "-"),
    ('\u{fe63}', "-"),
    ('\u{ff0d}', "-"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_sorted_for_the_search() {
        let mut sorted = TWINS.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, TWINS);
    }

    #[test]
    fn every_script_counts_from_zero_to_nine() {
        for &zero in ZEROS {
            for (value, expect) in (0u32..).zip(DIGITS) {
                assert_eq!(twin(char::from_u32(zero + value).unwrap()), Some(expect), "U+{:04X}", zero + value);
            }
        }
    }

    #[test]
    fn plain_letters_have_no_twin() {
        for c in "aZ09-å".chars() {
            assert_eq!(twin(c), None, "{c}");
        }
    }
}
