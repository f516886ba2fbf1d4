//! Fields with a grammar of their own: what of a field is that grammar, and what somebody wrote beside it.
//!
//! Programs write these fields and show them to nobody, so nobody misses words in them, and nobody sees
//! them leave. Policy reads the words; where a body is hidden, only the grammar leaves.
//!
//! RFC 5322 §3.3, §3.6.4 and §3.6.7, RFC 2045 §5.1, RFC 3834 §5, RFC 4021.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::scan::parameters;
use super::{HeaderField, decode};

/// A field by its own grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formal {
    /// The field as its grammar has it, in ASCII; empty when nothing of it is left.
    pub value: String,
    /// All the rest, decoded; blank when the field is what it should be.
    pub words: String,
}

impl Formal {
    /// Reads a field; none where its grammar is free text, or addresses.
    pub fn of(field: &HeaderField) -> Option<Self> {
        let name = field.name().to_ascii_lowercase();
        let text = field.text();
        let known = |words: &[&str]| of_words(&text, words);
        Some(match name.as_str() {
            "message-id" | "resent-message-id" | "in-reply-to" | "references" | "content-id" => of_ids(&text),
            "date" | "resent-date" => of_date(&text),
            "received" => of_trace(&text),
            "thread-index" => of_thread(&text),
            "content-type" | "content-disposition" => of_parameters(field),
            "return-path" => Self::new("", &super::header::outside_angles(&text)),
            "dkim-signature" | "domainkey-signature" | "arc-seal" | "arc-message-signature" | "autocrypt" => of_tags(&text),
            // A verdict is made of comments as much as of anything else.
            "authentication-results" | "arc-authentication-results" => Self::new("", ""),
            "mime-version" => known(&["1.0"]),
            "content-transfer-encoding" => known(&["7bit", "8bit", "binary", "quoted-printable", "base64"]),
            "auto-submitted" => known(&["no", "auto-generated", "auto-replied", "auto-notified"]),
            "precedence" => known(&["bulk", "junk", "list", "first-class", "special-delivery"]),
            "importance" => known(&["high", "normal", "low"]),
            "priority" => known(&["urgent", "normal", "non-urgent"]),
            "sensitivity" => known(&["personal", "private", "company-confidential"]),
            _ => return None,
        })
    }

    /// Whether the field holds nothing beside its grammar.
    pub fn is_pure(&self) -> bool {
        self.words.trim().is_empty()
    }

    fn new(value: &str, words: &str) -> Self {
        Self { value: value.to_owned(), words: decode::unstructured(words.trim().as_bytes()) }
    }
}

/// A date in the form of RFC 5322 §3.3, comments or not, the day of the week right or wrong.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

/// The text outside of comments, and the comments. RFC 5322 §3.2.2, with quoted pairs and nesting.
pub fn without_comments(text: &str) -> (String, String) {
    let (mut outside, mut comments) = (String::new(), String::new());
    let mut depth = 0_usize;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if depth > 0 => comments.extend(chars.next()),
            '(' => {
                depth += 1;
                comments.push(' ');
            }
            ')' if depth > 0 => depth -= 1,
            other if depth == 0 => outside.push(other),
            other => comments.push(other),
        }
    }
    (outside, comments)
}

/// One of a few words, and nothing else.
fn of_words(text: &str, known: &[&str]) -> Formal {
    let (outside, comments) = without_comments(text);
    let word = outside.trim().to_ascii_lowercase();
    if known.contains(&word.as_str()) { Formal::new(&word, &comments) } else { Formal::new("", text) }
}

fn of_ids(text: &str) -> Formal {
    let mut ids: Vec<&str> = Vec::new();
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        words.push_str(before);
        words.push(' ');
        match after.split_once('>') {
            Some((id, behind)) if is_id(id) => {
                ids.push(id);
                rest = behind;
            }
            _ => rest = after,
        }
    }
    words.push_str(rest);
    let ids: Vec<String> = ids.into_iter().map(|id| format!("<{id}>")).collect();
    Formal::new(&ids.join(" "), &words)
}

/// What stands between the angle brackets of a message id. RFC 5322 §3.6.4, without its quoted strings.
fn is_id(id: &str) -> bool {
    let parts: Vec<&str> = id.split('@').collect();
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>,;\"\\".contains(&octet));
    parts.len() == 2 && parts.iter().all(plain)
}

fn of_date(text: &str) -> Formal {
    let (outside, comments) = without_comments(text);
    match timestamp(outside.trim()) {
        Some(_) => Formal::new(outside.trim(), if is_zone(&comments) { "" } else { &comments }),
        None => Formal::new("", text),
    }
}

/// The name of a time zone, which many clients put behind the number.
fn is_zone(comment: &str) -> bool {
    comment.trim().len() <= ZONE_MAX && comment.trim().bytes().all(|octet| octet.is_ascii_uppercase())
}

/// `from a by b via c with d id e for f; date`. Comments say what a host is called, and by whom.
fn of_trace(text: &str) -> Formal {
    let (outside, comments) = without_comments(text);
    let (clauses, date) = outside.rsplit_once(';').unwrap_or((&outside, ""));
    let mut words: Vec<&str> = if timestamp(date.trim()).is_some() { Vec::new() } else { vec![date] };
    let mut clause = "";
    let mut count = 0;
    for word in clauses.split_ascii_whitespace() {
        if let Some(next) = CLAUSES.iter().find(|next| word.eq_ignore_ascii_case(next)) {
            (clause, count) = (next, 0);
            continue;
        }
        let expected = match clause {
            "from" | "by" => count == 0 && (is_host(word) || is_label(word)),
            "via" | "with" => PROTOCOLS.iter().any(|known| word.eq_ignore_ascii_case(known)) || is_esmtp(word),
            "id" => count == 0 && word.bytes().all(|octet| octet.is_ascii_graphic()),
            "for" => count == 0 && word.contains('@'),
            _ => false,
        };
        if !expected {
            words.push(word);
        }
        count += 1;
    }
    words.extend(comments.split_ascii_whitespace().filter(|word| !is_host(word)));
    let words = words.join(" ");
    let value = if words.trim().is_empty() { outside.split_ascii_whitespace().collect::<Vec<_>>().join(" ") } else { String::new() };
    Formal::new(&value, &words)
}

/// A name with dots, an address, or an address literal.
fn is_host(word: &str) -> bool {
    let bare = word.trim_end_matches([',', ';']).trim_start_matches('[').trim_end_matches(']');
    let bare = bare.strip_prefix("IPv6:").unwrap_or(bare);
    let named = bare.contains('.') && bare.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_".contains(&octet));
    bare.split('%').next().is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok())
        || (named && bare.bytes().any(|octet| octet.is_ascii_alphabetic()))
}

/// What a machine without a domain calls itself.
fn is_label(word: &str) -> bool {
    word.bytes().all(|octet| octet.is_ascii_alphanumeric()) && word.bytes().any(|octet| octet.is_ascii_alphabetic())
}

/// RFC 3848, RFC 6531 §4.3.
fn is_esmtp(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    matches!(word.strip_prefix("UTF8").unwrap_or(&word).trim_end_matches(['S', 'A']), "SMTP" | "ESMTP" | "LMTP")
}

/// [MS-OXOMSG] 2.2.1.3: a header of 22 octets that begins with 1, and 5 for each answer.
fn of_thread(text: &str) -> Formal {
    let packed: String = text.split_ascii_whitespace().collect();
    let octets = data_encoding::BASE64.decode(packed.as_bytes()).unwrap_or_default();
    let counted = octets.len().checked_sub(THREAD_HEAD).is_some_and(|answers| answers.is_multiple_of(5));
    match counted && octets.first() == Some(&1) {
        true => Formal::new(&packed, ""),
        false => Formal::new("", &format!("{text} {}", decode::unlabelled(&octets))),
    }
}

/// Parameters that say how a part is to be read are its grammar, and so is the name, which is looked at
/// by itself. A boundary is random letters, unless it has blanks.
fn of_parameters(field: &HeaderField) -> Formal {
    let value = field.value();
    let (_, comments) = without_comments(&field.text());
    let read = parameters::parse(&value);
    let spoken = |name: &str, value: &str| !STRUCTURE.contains(&name) || (name == "boundary" && value.contains(' '));
    let mut words: Vec<&str> = read.parameters.iter().filter(|one| spoken(&one.name, &one.value)).map(|one| one.value.as_str()).collect();
    if read.value.contains(char::is_whitespace) {
        words.push(&read.value);
    }
    // What cannot be read by the grammar is read without it.
    let whole = field.text();
    if !read.oddities.is_empty() {
        words.push(&whole);
    }
    words.push(&comments);
    Formal::new("", &words.join("\n"))
}

/// `name=value; …`, where a value is one word however it is folded. RFC 6376 §3.2.
fn of_tags(text: &str) -> Formal {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    let is_tag = |tag: &&str| tag.split_once('=').is_some_and(|(name, _)| is_name(name.trim_end()));
    let odd = text.split(';').map(str::trim).filter(|tag| !tag.is_empty() && !is_tag(tag));
    Formal::new("", &odd.collect::<Vec<_>>().join("\n"))
}

/// Parameters of Content-Type and Content-Disposition that say how a part is to be read.
const STRUCTURE: &[&str] = &[
    "boundary",
    "charset",
    "name",
    "filename",
    "format",
    "delsp",
    "type",
    "start",
    "protocol",
    "micalg",
    "report-type",
    "method",
    "size",
    "creation-date",
    "modification-date",
    "read-date",
];
/// RFC 5321 §4.4.
const CLAUSES: [&str; 6] = ["from", "by", "via", "with", "id", "for"];
/// What others call the ways by which mail comes.
const PROTOCOLS: [&str; 17] = [
    "http",
    "https",
    "mapi",
    "local",
    "uucp",
    "pipe",
    "bsmtp",
    "esmtpsmtp",
    "smtputf8",
    "microsoft",
    "smtp",
    "server",
    "frontend",
    "mailbox",
    "transport",
    "hub",
    "tcp",
];
/// `AEST`, `CEST`.
const ZONE_MAX: usize = 5;
const THREAD_HEAD: usize = 22;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn formal(field: &str) -> Option<(String, String)> {
        let name_len = field.find(':').unwrap();
        Formal::of(&HeaderField::new(Bytes::from(format!("{field}\r\n")), name_len)).map(|formal| (formal.value, formal.words))
    }

    #[test]
    fn comments_go_whatever_is_in_them() {
        for (text, outside, comments) in [
            ("Mon, 1 Jan 2024 10:00:00 +0100 (a (nested) \\) secret)", "Mon, 1 Jan 2024 10:00:00 +0100 ", " a  nested ) secret"),
            ("<a@b>", "<a@b>", ""),
            ("(all", "", " all"),
        ] {
            assert_eq!(without_comments(text), (outside.to_owned(), comments.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_field_is_its_grammar_and_the_words_beside_it() {
        for (field, value, words) in [
            ("Message-ID: <1.a@x.example>", "<1.a@x.example>", ""),
            ("References: <1@x.example>\r\n <2@x.example>", "<1@x.example> <2@x.example>", ""),
            ("In-Reply-To: your letter about <850709-9805> <1@x.example>", "<1@x.example>", "your letter about  850709-9805>"),
            ("References: =?utf-8?Q?a_secret?= <1@x.example>", "<1@x.example>", "a secret"),
            ("Message-ID: <a secret@x.example>", "", "a secret@x.example>"),
            ("Date: Thu, 27 Nov 2025 10:00:00 +0000", "Thu, 27 Nov 2025 10:00:00 +0000", ""),
            ("Date: Thu, 27 Nov 2025 10:00:00 +0000 (CET)", "Thu, 27 Nov 2025 10:00:00 +0000", ""),
            ("Date: Thu, 27 Nov 2025 10:00:00 +0000 (a secret)", "Thu, 27 Nov 2025 10:00:00 +0000", "a secret"),
            ("Date: x 850709-9805", "", "x 850709-9805"),
            ("Precedence: bulk", "bulk", ""),
            ("Precedence: a secret", "", "a secret"),
            ("Auto-Submitted: auto-replied; x=\"a secret\"", "", "auto-replied; x=\"a secret\""),
            ("Auto-Submitted: No (a secret)", "no", "a secret"),
            ("Thread-Index: AQHbQPXYNoJp8xXhQ0ivN6wJYTzbQw==", "AQHbQPXYNoJp8xXhQ0ivN6wJYTzbQw==", ""),
            ("Thread-Index: 850709-9805", "", "850709-9805"),
            ("Thread-Index: YSBzZWNyZXQ=", "", "YSBzZWNyZXQ= a secret"),
            ("Content-Type: text/plain; charset=utf-8; boundary=\"a1\"", "", ""),
            ("Content-Type: text/plain; x-note=\"a secret\"", "", "a secret"),
            ("Content-Type: multipart/mixed; boundary=\"a secret\"", "", "a secret"),
            ("Content-Disposition: attachment; filename=a.txt; x=secret", "", "secret"),
            ("DKIM-Signature: v=1; a=rsa-sha256; b=abc\r\n def; a secret", "", "a secret"),
        ] {
            assert_eq!(formal(field), Some((value.to_owned(), words.to_owned())), "{field}");
        }
        assert_eq!(formal("X-Note: a secret"), None);
    }

    #[test]
    fn a_trace_field_names_hosts_and_nobody_writes_in_it() {
        for (field, words) in [
            (
                "from a.example (a.example [192.0.2.1]) by b.example with ESMTPS id 1a2b for <x@y.example>; Thu, 27 Nov 2025 10:00:00 +0000",
                "",
            ),
            ("from [192.0.2.1] by b.example with ESMTPSA\r\n id 1; Thu, 27 Nov 2025 10:00:00 +0000", ""),
            ("from A1.eur.example ([fe80::1]) by B1.eur.example ([fe80::1%7]) with mapi id 15.20.1; Thu, 27 Nov 2025 10:00:00 +0000", ""),
            (
                "from A1.eur.example by B1.eur.example with Microsoft SMTP Server id 15.20.1 via Frontend Transport; Thu, 27 Nov 2025 10:00:00 +0000",
                "",
            ),
            ("from localhost by b.example; Thu, 27 Nov 2025 10:00:00 +0000 (CET)", "CET"),
            ("a secret", "a secret"),
            ("from 850709-9805 by b.example; Thu, 27 Nov 2025 10:00:00 +0000", "850709-9805"),
            ("from a.example (a secret) by b.example; yesterday", " yesterday a secret"),
        ] {
            let (value, found) = formal(&format!("Received: {field}")).unwrap();
            assert_eq!(found, words.trim(), "{field}");
            assert_eq!(value.is_empty(), !words.is_empty(), "{field}");
        }
    }

    #[test]
    fn dates_of_ordinary_clients_are_understood() {
        for (text, expect) in [
            ("Thu, 30 Jun 2022 10:39:00 +0200", Some("2022-06-30T08:39:00Z")),
            ("Thu, 30 Jun 2022 10:39:00 +0200 (CEST)", Some("2022-06-30T08:39:00Z")),
            ("30 Jun 2022 08:39 GMT", Some("2022-06-30T08:39:00Z")),
            ("yesterday", None),
        ] {
            assert_eq!(timestamp(text), expect.map(|time| time.parse().unwrap()), "{text}");
        }
    }
}
