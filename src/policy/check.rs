//! Named checks: arithmetic that tells a number from a lookalike.
//!
//! Each takes the hit as it stands in normalised text and ignores its separators. What an
//! authority publishes about its own number is named beside each.

/// A check by its name.
pub type Check = fn(&str) -> bool;

/// All checks, in the order of their names.
pub const CHECKS: &[(&str, Check)] = &[
    ("be-rijksregister", be_rijksregister),
    ("bsn", bsn),
    ("card", card),
    ("de-rvnr", de_rvnr),
    ("de-steuer-id", de_steuer_id),
    ("dk-cpr", dk_cpr),
    ("ean", ean),
    ("fi-hetu", fi_hetu),
    ("fr-nir", fr_nir),
    ("iban", iban),
    ("luhn", luhn),
    ("nhs", nhs),
    ("no-fnr", no_fnr),
    ("se-personnummer", se_personnummer),
    ("uk-nino", uk_nino),
    ("us-ssn", us_ssn),
];

/// Digits of a hit.
fn digits(hit: &str) -> Vec<u32> {
    hit.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// The sum of digits, each with its weight.
fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn number(digits: &[u32]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

/// The number that stands at `from` with `count` digits.
fn part(digits: &[u32], from: usize, count: usize) -> u32 {
    digits.iter().skip(from).take(count).fold(0, |sum, digit| sum * 10 + digit)
}

/// A number whose digits are all alike is a placeholder.
fn is_monotone(digits: &[u32]) -> bool {
    digits.windows(2).all(|pair| pair.first() == pair.last())
}

/// ISO/IEC 7812-1 annex B.
fn luhn(hit: &str) -> bool {
    let digits = digits(hit);
    digits.len() > 1 && luhn_sum(&digits).is_multiple_of(10)
}

fn luhn_sum(digits: &[u32]) -> u32 {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    digits.iter().rev().enumerate().map(|(place, &digit)| if place % 2 == 1 { doubled(digit) } else { digit }).sum()
}

/// A payment card: the lengths and first digits in use (ISO/IEC 7812), then Luhn.
fn card(hit: &str) -> bool {
    let digits = digits(hit);
    let (first_two, first_four) = (part(&digits, 0, 2), part(&digits, 0, 4));
    let issued = match digits.len() {
        13 => part(&digits, 0, 1) == 4,
        14 => matches!(first_two, 36 | 38 | 39) || matches!(first_four, 3000..=3059),
        15 => matches!(first_two, 34 | 37),
        16 => matches!(first_two, 40..=49 | 51..=55 | 35 | 62 | 64 | 65) || matches!(first_four, 2221..=2720 | 6011),
        17..=19 => matches!(first_two, 40..=49 | 50 | 56..=69),
        _ => false,
    };
    issued && !is_monotone(&digits) && luhn_sum(&digits).is_multiple_of(10)
}

/// ISO 13616: length by country, then ISO 7064 mod 97-10.
fn iban(hit: &str) -> bool {
    let compact: Vec<u32> = hit.chars().filter(char::is_ascii_alphanumeric).filter_map(|c| c.to_digit(36)).collect();
    let country: String = hit.chars().filter(char::is_ascii_alphanumeric).take(2).collect();
    let length = IBAN_LENGTHS.iter().find(|(code, _)| country.eq_ignore_ascii_case(code)).map(|(_, length)| *length);
    let rotated = compact.iter().skip(4).chain(compact.iter().take(4));
    let remainder = rotated.fold(0u32, |rest, &value| if value > 9 { (rest * 100 + value) % 97 } else { (rest * 10 + value) % 97 });
    length == Some(compact.len()) && remainder == 1
}

/// Netherlands, burgerservicenummer: the eleven test.
fn bsn(hit: &str) -> bool {
    let digits = digits(hit);
    let sum = weighted(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 9 && !is_monotone(&digits) && sum % 11 == part(&digits, 8, 1)
}

/// Sweden, personal identity number and co-ordination number (day plus 60): date and Luhn over ten digits.
fn se_personnummer(hit: &str) -> bool {
    let all = digits(hit);
    let ten = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    let day = part(ten, 4, 2);
    let century_fits = all.len() == 10 || (all.len() == 12 && matches!(part(&all, 0, 2), 18..=20));
    century_fits && is_date(if day > 60 { day - 60 } else { day }, part(ten, 2, 2)) && luhn_sum(ten).is_multiple_of(10)
}

/// Norway, fødselsnummer: two control digits; D-numbers have day plus 40.
fn no_fnr(hit: &str) -> bool {
    let digits = digits(hit);
    let day = part(&digits, 0, 2);
    let control = |weights: &[u32]| (11 - weighted(&digits, weights) % 11) % 11;
    digits.len() == 11
        && is_date(if day > 40 { day - 40 } else { day }, part(&digits, 2, 2))
        && control(&[3, 7, 6, 1, 8, 9, 4, 5, 2]) == part(&digits, 9, 1)
        && control(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == part(&digits, 10, 1)
}

/// Denmark, CPR number: a date; its control digit was given up in 2007.
fn dk_cpr(hit: &str) -> bool {
    let digits = digits(hit);
    digits.len() == 10 && is_date(part(&digits, 0, 2), part(&digits, 2, 2))
}

/// Finland, henkilötunnus: date, sign of the century, control character by 31.
fn fi_hetu(hit: &str) -> bool {
    let digits = digits(hit);
    let body: Vec<u32> = digits.iter().copied().take(9).collect();
    let expect = FI_CONTROL.chars().nth(usize::try_from(number(&body) % 31).unwrap_or_default());
    body.len() == 9 && is_date(part(&body, 0, 2), part(&body, 2, 2)) && hit.chars().next_back().map(|c| c.to_ascii_lowercase()) == expect
}

/// Belgium, national number: 97 less the first nine digits by 97; a 2 stands before them from 2000 on.
fn be_rijksregister(hit: &str) -> bool {
    let digits = digits(hit);
    let body: Vec<u32> = digits.iter().copied().take(9).collect();
    let control = u64::from(part(&digits, 9, 2));
    let fits = |number: u64| 97 - number % 97 == control;
    digits.len() == 11 && part(&digits, 2, 2) <= 12 && (fits(number(&body)) || fits(2_000_000_000 + number(&body)))
}

/// France, numéro d'inscription au répertoire: 97 less the number by 97.
fn fr_nir(hit: &str) -> bool {
    let digits = digits(hit);
    let body: Vec<u32> = digits.iter().copied().take(13).collect();
    digits.len() == 15 && matches!(part(&digits, 0, 1), 1 | 2) && 97 - number(&body) % 97 == u64::from(part(&digits, 13, 2))
}

/// Germany, steuerliche Identifikationsnummer: ISO 7064 mod 11,10; among the first ten digits one
/// occurs two or three times, and the first is not nought.
fn de_steuer_id(hit: &str) -> bool {
    let digits = digits(hit);
    let first: Vec<u32> = digits.iter().copied().take(10).collect();
    let most = (0..10).map(|value| first.iter().filter(|&&digit| digit == value).count()).max();
    digits.len() == 11 && first.first() != Some(&0) && matches!(most, Some(2 | 3)) && mod_11_10(&first) == part(&digits, 10, 1)
}

fn mod_11_10(digits: &[u32]) -> u32 {
    let product = digits.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10
}

/// Germany, Versicherungsnummer of the pension insurance: date, letter, control digit by weights of
/// digit sums (VKVV §4).
fn de_rvnr(hit: &str) -> bool {
    let spelled: Vec<u32> = hit
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .flat_map(|c| match c.to_digit(36) {
            Some(letter @ 10..) => vec![(letter - 9) / 10, (letter - 9) % 10],
            Some(digit) => vec![digit],
            None => vec![],
        })
        .collect();
    let crossed = |value: u32| value / 10 + value % 10;
    let sum: u32 = spelled.iter().zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]).map(|(digit, weight)| crossed(digit * weight)).sum();
    let day = part(&spelled, 2, 2);
    spelled.len() == 13 && is_date(if day > 50 { day - 50 } else { day }, part(&spelled, 4, 2)) && sum % 10 == part(&spelled, 12, 1)
}

/// United States, Social Security number: the areas, groups and serials that are never given out.
fn us_ssn(hit: &str) -> bool {
    let digits = digits(hit);
    let (area, group, serial) = (part(&digits, 0, 3), part(&digits, 3, 2), part(&digits, 5, 4));
    let advertised = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999) | (123, 45, 6789));
    digits.len() == 9 && !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !is_monotone(&digits) && !advertised
}

/// United Kingdom, NHS number: weights 10 to 2, by 11.
fn nhs(hit: &str) -> bool {
    let digits = digits(hit);
    let control = (11 - weighted(&digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    digits.len() == 10 && !is_monotone(&digits) && control == part(&digits, 9, 1)
}

/// United Kingdom, National Insurance number: the prefixes that are never used.
fn uk_nino(hit: &str) -> bool {
    let letters: String = hit.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    let mut chars = letters.chars();
    let (Some(first), Some(second), Some(suffix), None) = (chars.next(), chars.next(), chars.next(), chars.next()) else { return false };
    let unused = ["bg", "gb", "kn", "nk", "nt", "tn", "zz"].iter().any(|prefix| letters.starts_with(prefix));
    digits(hit).len() == 6 && !"dfiquv".contains(first) && !"dfiquvo".contains(second) && !unused && ('a'..='d').contains(&suffix)
}

/// GS1 article numbers of 8 or 13 digits.
fn ean(hit: &str) -> bool {
    let digits = digits(hit);
    let sum: u32 = digits.iter().rev().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    matches!(digits.len(), 8 | 13) && sum.is_multiple_of(10)
}

fn is_date(day: u32, month: u32) -> bool {
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=longest).contains(&day)
}

/// Decree on the Finnish population register: the control characters by remainder.
const FI_CONTROL: &str = "0123456789abcdefhjklmnprstuvwxy";

/// The SWIFT registry of IBAN formats: country and length.
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("XK", 20),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_takes_the_real_number_and_not_its_neighbour() {
        for (name, good, bad) in [
            ("luhn", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("card", "5555-5555-5555-4444", "5555-5555-5555-4445"),
            ("card", "378282246310005", "0000000000000000"),
            ("iban", "NL91 ABNA 0417 1643 00", "NL91 ABNA 0417 1643 01"),
            ("iban", "de89370400440532013000", "de8937040044053201300"),
            ("iban", "SE45 5000 0000 0583 9825 7466", "XX45 5000 0000 0583 9825 7466"),
            ("bsn", "111222333", "111222334"),
            ("bsn", "123456782", "000000000"),
            ("se-personnummer", "850709-9805", "850709-9806"),
            ("se-personnummer", "198507099805", "178507099805"),
            ("us-ssn", "219-09-9998", "666-12-3456"),
            ("us-ssn", "536-90-4399", "078-05-1120"),
            ("nhs", "943 476 5919", "943 476 5918"),
            ("uk-nino", "ab 12 34 56 c", "gb 12 34 56 c"),
            ("de-steuer-id", "86095742719", "86095742718"),
            ("de-rvnr", "65 170839 j 003", "65 170839 j 004"),
            ("ean", "4006381333931", "4006381333932"),
            ("fi-hetu", "131052-308t", "131052-308u"),
            ("be-rijksregister", "85.07.30-033-28", "85.07.30-033-29"),
            ("fr-nir", "2 55 08 14 168 025 38", "2 55 08 14 168 025 39"),
            ("no-fnr", "01129950184", "01129950185"),
            ("dk-cpr", "070761-4285", "320761-4285"),
        ] {
            let check = CHECKS.iter().find(|(known, _)| *known == name).map(|(_, check)| check).unwrap();
            assert!(check(good), "{name} {good}");
            assert!(!check(bad), "{name} {bad}");
        }
    }

    #[test]
    fn names_are_in_order() {
        assert!(CHECKS.is_sorted_by_key(|(name, _)| name));
    }
}
