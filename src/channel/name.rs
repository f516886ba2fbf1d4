//! Names of files as strangers chose them, made safe to be saved anywhere.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;

/// A single name without directories, controls, bidi marks, characters and names that some system
/// keeps for itself; NFC; at most 180 octets, the extension kept.
pub fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).find(|part| !part.trim_matches(['.', ' ']).is_empty()).unwrap_or_default();
    let kept: String = last.nfc().filter(|&c| !is_invisible(c)).map(|c| if FORBIDDEN.contains(c) { '_' } else { c }).collect();
    let trimmed = kept.trim_matches(|c: char| c.is_whitespace()).trim_end_matches(['.', ' ']);
    let stem = trimmed.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let named = match trimmed {
        "" => "file".to_owned(),
        reserved if DEVICES.contains(&stem.as_str()) || is_numbered_device(&stem) => format!("_{reserved}"),
        fine => fine.to_owned(),
    };
    shorten(&named, NAME_MAX)
}

/// The names, safe and different from one another also where case does not count.
pub fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut used = HashSet::new();
    // How far each name was counted: a thousand files of one name are not counted from the beginning each time.
    let mut counted: HashMap<String, u64> = HashMap::new();
    names
        .map(|name| {
            let name = safe(name);
            let number = counted.entry(folded(&name)).or_insert(1);
            let mut candidate = name.clone();
            while !used.insert(folded(&candidate)) {
                *number += 1;
                candidate = numbered(&name, *number);
            }
            candidate
        })
        .collect()
}

/// `attachment; filename="…"; filename*=UTF-8''…` RFC 6266.
pub fn disposition(name: &str) -> String {
    let name = safe(name);
    let plain: String =
        name.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '\\' | '%') && !c.is_ascii_control() { c } else { '_' }).collect();
    let mut extended = String::new();
    for octet in name.bytes() {
        // RFC 8187 §3.2.1 attr-char.
        if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&octet) {
            extended.push(char::from(octet));
        } else {
            extended.push_str(&format!("%{octet:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}")
}

fn folded(name: &str) -> String {
    caseless::default_case_fold_str(name).nfc().collect()
}

fn numbered(name: &str, number: u64) -> String {
    let (stem, extension) = split(name);
    let tail = format!(" ({number}){extension}");
    format!("{}{tail}", cut(stem, NAME_MAX.saturating_sub(tail.len())))
}

fn shorten(name: &str, octets: usize) -> String {
    if name.len() <= octets {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    format!("{}{extension}", cut(stem, octets.saturating_sub(extension.len())).trim_end_matches(['.', ' ']))
}

/// Stem, and extension with its dot where it looks like one.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.').and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= EXTENSION_MAX => (stem, extension),
        _ => (name, ""),
    }
}

fn cut(text: &str, octets: usize) -> &str {
    let mut end = octets.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Controls, and marks that turn or hide what is read.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn is_numbered_device(stem: &str) -> bool {
    ["COM", "LPT"].iter().any(|device| {
        stem.strip_prefix(device).is_some_and(|rest| {
            matches!(rest, "¹" | "²" | "³") || (rest.len() == 1 && rest.as_bytes().first().is_some_and(u8::is_ascii_digit))
        })
    })
}

const FORBIDDEN: &str = ":*?\"<>|\\/";
const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];
/// Room for a folder before it in the 255 octets of common file systems.
const NAME_MAX: usize = 180;
const EXTENSION_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_every_system_takes() {
        for (name, expect) in [
            ("Kvartal 3.pdf", "Kvartal 3.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..", "file"),
            ("C:\\Users\\ann\\plan.doc", "plan.doc"),
            ("a:b*c?.txt", "a_b_c_.txt"),
            ("evil\u{202e}fdp.exe", "evilfdp.exe"),
            ("con.txt", "_con.txt"),
            ("COM7", "_COM7"),
            ("communal.txt", "communal.txt"),
            ("trailing. . ", "trailing"),
            ("", "file"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("A\u{30a}rsbok.pdf", "Årsbok.pdf"),
            (".htaccess", ".htaccess"),
        ] {
            assert_eq!(safe(name), expect, "{name:?}");
        }
        let long = safe(&format!("{}.pdf", "ö".repeat(300)));
        assert!(long.len() <= 180 && long.ends_with("ö.pdf"));
    }

    #[test]
    fn no_two_names_are_the_same_where_case_does_not_count() {
        let names = ["a.txt", "A.TXT", "a.txt", "dir/a.txt", "a (2).txt", "Straße", "STRASSE"];
        let unique = unique(names.into_iter());
        assert_eq!(unique, ["a.txt", "A (2).TXT", "a (3).txt", "a (4).txt", "a (2) (2).txt", "Straße", "STRASSE (2)"]);
    }

    #[test]
    fn a_disposition_has_both_forms_and_no_way_out() {
        assert_eq!(disposition("år \"1\".pdf"), "attachment; filename=\"_r _1_.pdf\"; filename*=UTF-8''%C3%A5r%20_1_.pdf");
        assert!(!disposition("a\r\nSet-Cookie: x").contains(['\r', '\n']));
    }
}
