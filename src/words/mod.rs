//! What we say to people: catalogues, languages, dates, sizes, brand.
//!
//! Every `.ftl` file below `locales/<language>/` is in the binary. A catalogue holds sentences and
//! nothing else: links, codes and passwords never pass through it. No isolation marks (U+2068, U+2069)
//! are put around values, for they would be copied along with them.
//!
//! Fluent syntax 1.0; negotiation by RFC 9110 §12.5.4.

mod colour;

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader};
use jiff::Timestamp;

pub use colour::Ground;

/// A language that the catalogues are complete in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    English,
    /// Swedish.
    #[serde(rename = "sv")]
    Swedish,
}

impl Language {
    /// All of them, in the order in which a switch offers them.
    pub const ALL: [Self; 2] = [Self::English, Self::Swedish];

    /// The best of ours for an Accept-Language field, or the default. RFC 9110 §12.5.4.
    pub fn negotiate(accept: Option<&str>, default: Self) -> Self {
        let mut best: Option<(u16, Self)> = None;
        for range in accept.unwrap_or_default().split(',').take(RANGES_MAX) {
            let Some((quality, language)) = wish(range, default) else { continue };
            if quality > 0 && best.is_none_or(|(so_far, _)| quality > so_far) {
                best = Some((quality, language));
            }
        }
        best.map_or(default, |(_, language)| language)
    }

    /// The language of a tag, region and script aside: `sv-FI` is Swedish.
    pub fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// `en`, `sv`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Swedish => "sv",
        }
    }

    /// What its speakers call it.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Swedish => "Svenska",
        }
    }

    fn identifier(self) -> LanguageIdentifier {
        self.tag().parse().unwrap_or_default()
    }
}

/// A text of the catalogue with its variables filled in. A value of up to nine digits counts as a
/// number, so that plurals can be chosen by it. A key that no catalogue has is said as itself; the
/// tests below keep that from happening.
pub fn say(language: Language, key: &str, values: &[(&str, &str)]) -> String {
    let values: HashMap<Cow<'static, str>, FluentValue<'_>> =
        values.iter().map(|&(name, value)| (Cow::Owned(name.to_owned()), fluent_value(value))).collect();
    CATALOGUES.try_lookup_with_args(&language.identifier(), key, &values).unwrap_or_else(|| key.to_owned())
}

/// `30 June 2022, 10:39 CEST`, in the language and zone.
pub fn moment(language: Language, time: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    let month = say(language, &format!("month-{}", local.month()), &[]);
    say(
        language,
        "moment",
        &[
            ("day", &local.day().to_string()),
            ("month", &month),
            ("year", &local.year().to_string()),
            ("time", &format!("{:02}:{:02}", local.hour(), local.minute())),
            ("zone", zone.to_offset_info(time).abbreviation()),
        ],
    )
}

/// `25.08 KB`: decimal, two decimals, the language's decimal mark. Below 1 KB, octets as they are.
pub fn size(language: Language, octets: u64) -> String {
    if octets < 1000 {
        return format!("{octets} B");
    }
    let mut unit = 1000u128;
    let mut names = UNITS.iter().copied().peekable();
    while names.len() > 1 && hundredths(octets, unit) >= 100_000 {
        unit *= 1000;
        names.next();
    }
    let (name, hundredths) = (names.next().unwrap_or_default(), hundredths(octets, unit));
    let (mark, name) = match language {
        Language::English => ('.', name),
        Language::Swedish => (',', if name == "KB" { "kB" } else { name }),
    };
    format!("{}{mark}{:02} {name}", hundredths / 100, hundredths % 100)
}

/// How the organisation presents itself.
#[derive(Debug, Clone)]
pub struct Brand {
    /// Its name.
    pub name: String,
    /// Accent colour, `#rrggbb`; corrected where its contrast is too low.
    pub accent: String,
    /// Who to ask, as one line of text.
    pub support: String,
    /// The organisation's language.
    pub language: Language,
    /// Its time zone.
    pub zone: jiff::tz::TimeZone,
    /// `https://secure.example.org`, without a slash at the end: links begin with it.
    pub base_url: String,
}

impl Brand {
    /// The accent as `#rrggbb`, moved towards black or white until text in it, and text of the
    /// ground's colour on it, reach 4.5 : 1 (WCAG 2.2, 1.4.3). No colour at all becomes our own.
    pub fn accent_on(&self, ground: Ground) -> String {
        colour::readable(&self.accent, ground)
    }
}

/// One range of Accept-Language: its quality in thousandths, and the language it stands for.
fn wish(range: &str, default: Language) -> Option<(u16, Language)> {
    let mut fields = range.split(';');
    let tag = fields.next()?.trim();
    let language = if tag == "*" { default } else { Language::parse(tag)? };
    let quality = match fields.next().and_then(|weight| weight.trim().strip_prefix("q=")) {
        Some(weight) => weight.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    Some(((quality * 1000.0) as u16, language))
}

fn fluent_value(text: &str) -> FluentValue<'static> {
    let canonical = text == "0" || !text.starts_with('0');
    match text.parse::<u32>() {
        Ok(number) if canonical && text.len() <= NUMBER_MAX && !text.starts_with('+') => FluentValue::from(number),
        _ => FluentValue::from(text.to_owned()),
    }
}

/// Hundredths of the unit, rounded half up.
fn hundredths(octets: u64, unit: u128) -> u128 {
    (u128::from(octets) * 100 + unit / 2) / unit
}

fluent_templates::static_loader! {
    static CATALOGUES = {
        locales: "./locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
/// Nobody reads more languages than this, and no browser sends more.
const RANGES_MAX: usize = 32;
/// Longer digit strings are names of something, not amounts.
const NUMBER_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_best_language_of_ours_is_taken_and_nonsense_is_the_default() {
        for (accept, expect) in [
            (None, Language::Swedish),
            (Some(""), Language::Swedish),
            (Some("en-GB,en;q=0.9"), Language::English),
            (Some("de-DE,de;q=0.9,sv;q=0.5,en;q=0.4"), Language::Swedish),
            (Some("sv;q=0.3, en;q=0.8"), Language::English),
            (Some("en;q=0, *;q=0.5"), Language::Swedish),
            (Some("SV-fi"), Language::Swedish),
            (Some("EN"), Language::English),
            (Some(";;;q=,,"), Language::Swedish),
            (Some("en;q=7"), Language::Swedish),
        ] {
            assert_eq!(Language::negotiate(accept, Language::Swedish), expect, "{accept:?}");
        }
    }

    #[test]
    fn sizes_are_decimal_with_two_places() {
        for (octets, english, swedish) in [
            (0, "0 B", "0 B"),
            (999, "999 B", "999 B"),
            (25_080, "25.08 KB", "25,08 kB"),
            (999_994, "999.99 KB", "999,99 kB"),
            (999_995, "1.00 MB", "1,00 MB"),
            (2_147_483_648, "2.15 GB", "2,15 GB"),
            (u64::MAX, "18446744.07 TB", "18446744,07 TB"),
        ] {
            assert_eq!(size(Language::English, octets), english);
            assert_eq!(size(Language::Swedish, octets), swedish);
        }
    }

    #[test]
    fn moments_name_the_month_and_the_zone() {
        let time: Timestamp = "2022-06-30T08:39:00Z".parse().unwrap();
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(moment(Language::English, time, &zone), "30 June 2022, 10:39 CEST");
        assert_eq!(moment(Language::Swedish, time, &zone), "30 juni 2022, 10:39 CEST");
    }

    #[test]
    fn values_come_back_as_they_were_and_without_marks() {
        for value in ["42", "007", "4294967295", "12345678901234567890", "+46", "Kvartal { 1 }", "a\u{2067}b", ""] {
            assert_eq!(say(Language::English, "as-it-is", &[("value", value)]), value);
        }
    }

    #[test]
    fn no_key_is_missing_in_any_language_and_variables_agree() {
        let english = catalogue("en");
        for language in Language::ALL {
            let other = catalogue(language.tag());
            for (key, variables) in &english {
                assert_eq!(other.get(key), Some(variables), "{}: {key}", language.tag());
                let values: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "2")).collect();
                let said = say(language, key, &values);
                assert!(!said.is_empty() && said != *key && !said.contains("{$"), "{}: {key}: {said}", language.tag());
            }
            assert_eq!(other.len(), english.len(), "{} has keys that English lacks", language.tag());
        }
    }

    /// Every key of a language with the variables that stand in its text, read from the files
    /// themselves, so that a key the loader lost is noticed.
    fn catalogue(tag: &str) -> BTreeMap<String, std::collections::BTreeSet<String>> {
        let mut keys: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("locales").join(tag);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let mut current = String::new();
            for line in text.lines() {
                let head = line.split_once('=').map(|(key, _)| key.trim_end());
                if let Some(key) = head.filter(|_| line.starts_with(|c: char| c.is_ascii_lowercase())) {
                    assert!(keys.insert(key.to_owned(), Default::default()).is_none(), "{tag}: {key} stands twice");
                    current = key.to_owned();
                }
                for after in line.split('$').skip(1).filter(|_| !line.starts_with('#')) {
                    let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
                    keys.get_mut(&current).unwrap().insert(name);
                }
            }
        }
        keys
    }
}
