//! One `[[policy]]` of `policies/`: when it matches, what it asks for, how firmly.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::condition::{Bound, Condition, Files, Found, Glob, Needs, Relation, Way, Who};
use super::reader::{Choice, Later, Page, Value, get, offer};
use super::{AMBIGUOUS, BUILT_IN, Encrypted, Factor, Go, Protection};

/// Who gets what.
#[derive(Debug, Clone)]
pub struct Match {
    /// Its name, for people.
    pub name: String,
    /// `policies/20-health.toml:3`.
    pub stands: String,
    /// The 3 of it.
    pub line: usize,
    /// When it applies.
    pub when: Condition,
    /// Any of these lifts it.
    pub unless: Vec<Condition>,
    /// What it asks for.
    pub asks: Asks,
    /// How firmly.
    pub mode: Mode,
    /// Its reason text, by language.
    pub reasons: Vec<(String, String)>,
}

/// What a policy asks for; absent fields say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    /// How the message is protected.
    pub protection: Option<Protection>,
    /// What the recipient proves.
    pub factor: Option<Factor>,
    /// How long the link lives.
    pub expires: Option<Duration>,
    /// Downloads; nought is unlimited.
    pub downloads: Option<u32>,
    /// Whether it goes.
    pub go: Option<Go>,
}

/// Which level a policy raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The default: the sender may go below it.
    Automatic,
    /// The floor: nobody may.
    Mandatory,
}

/// What a file of policies is checked against.
pub struct Known<'k> {
    /// Names of rules.
    pub rules: &'k [&'k str],
    /// The longest that a link may live.
    pub longest: Duration,
}

/// Reads a file of policies.
pub fn read(page: &mut Page<'_>, file: &str, known: &Known<'_>) -> Vec<Match> {
    let root = page.root();
    page.keys(&root, "a file of policies", (&["policy"], &[]));
    let tables = get(&root, "policy").map(|value| page.tables("policy", value)).unwrap_or_default();
    tables.into_iter().filter_map(|(table, span)| read_one(page, (table, span.start), file, known)).collect()
}

fn read_one(page: &mut Page<'_>, (table, at): (&DeTable<'_>, usize), file: &str, known: &Known<'_>) -> Option<Match> {
    page.keys(table, "a policy", (KEYS, LATER));
    let name = get(table, "name").and_then(|value| page.text("name", value));
    if get(table, "name").is_none() {
        page.advise(at, "a policy without a name", "name = \"what people call it\": it stands in every explanation");
    }
    let name = name.unwrap_or_default();
    let when = match get(table, "when") {
        Some(value) => page.table("when", value).map(|table| read_condition(page, "when", (table, value), known)).unwrap_or_default(),
        None => {
            page.advise(at, format!("policy {name:?} has no when"), "when = { recipient = \"external\" }, or whom and what it is about");
            Condition::default()
        }
    };
    let unless = get(table, "unless").map(|value| read_unless(page, value, known)).unwrap_or_default();
    let asks = read_asks(page, table, known);
    if !["then", "factor", "expires", "downloads", "go"].iter().any(|key| get(table, key).is_some()) {
        page.advise(at, format!("policy {name:?} asks for nothing"), "give then, factor, expires, downloads or go");
    }
    let mode = get(table, "mode").and_then(|value| page.choose(&MODE, value)).unwrap_or(Mode::Mandatory);
    let reasons = get(table, "reason").map(|value| read_reasons(page, value)).unwrap_or_default();
    let lets_ambiguous_pass = asks.protection.is_some_and(|then| then < Protection::SecureMessage) && asks.go != Some(Go::Reject);
    if lets_ambiguous_pass && when.found.as_ref().is_some_and(|found| found.names(AMBIGUOUS)) {
        page.advise(
            at,
            "ambiguous mail can only be secured or rejected",
            "two readers could see different things in it: then = \"secure-message\", or go = \"reject\"",
        );
    }
    let line = page.line(at);
    Some(Match { stands: format!("{file}:{line}"), line, name, when, unless, asks, mode, reasons })
}

fn read_asks(page: &mut Page<'_>, table: &DeTable<'_>, known: &Known<'_>) -> Asks {
    let expires = get(table, "expires").and_then(|value| {
        let text = page.text("expires", value)?;
        let duration = lifetime(&text);
        match duration {
            None => page.advise(
                value.span().start,
                format!("expires {text:?} is not a time"),
                "a number with h, d or w: \"12h\", \"7d\", \"2w\"",
            ),
            Some(duration) if duration > known.longest => page.advise(
                value.span().start,
                format!("expires {text:?} is longer than links may live here"),
                format!("at most {}: max_days of the organisation", spell(known.longest)),
            ),
            Some(_) => {}
        }
        duration
    });
    Asks {
        protection: get(table, "then").and_then(|value| page.choose(&PROTECTION, value)),
        factor: get(table, "factor").and_then(|value| page.choose(&FACTOR, value)),
        expires,
        downloads: get(table, "downloads").and_then(|value| page.whole("downloads", value)),
        go: get(table, "go").and_then(|value| page.choose(&GO, value)),
    }
}

fn read_unless(page: &mut Page<'_>, value: &Value<'_>, known: &Known<'_>) -> Vec<Condition> {
    let tables = page.tables("unless", value);
    tables.into_iter().map(|(table, _)| read_condition(page, "unless", (table, value), known)).collect()
}

fn read_condition(page: &mut Page<'_>, of: &str, (table, whole): (&DeTable<'_>, &Value<'_>), known: &Known<'_>) -> Condition {
    page.keys(table, of, (CONDITIONS, CONDITIONS_LATER));
    // An exception without a condition would lift its policy for everybody.
    if table.is_empty() {
        page.advise(whole.span().start, format!("{of}: no condition"), format!("conditions: {}", CONDITIONS.join(", ")));
    }
    Condition {
        sender: get(table, "sender").map(|value| read_who(page, "sender", value)),
        recipient: get(table, "recipient").map(|value| read_who(page, "recipient", value)),
        subject: get(table, "subject").map(|value| read_globs(page, "subject", value)),
        header: get(table, "header").map(|value| read_header(page, value)).unwrap_or_default(),
        size: get(table, "size").and_then(|value| read_bound(page, "size", value)),
        attachments: get(table, "attachments").and_then(|value| read_files(page, value)),
        found: get(table, "found").and_then(|value| read_found(page, value, known)),
        tls: get(table, "tls").and_then(|value| read_way(page, of, value)),
    }
}

/// Only an exception may count on it: what held only over a proven way would protect less where less is sure.
fn read_way(page: &mut Page<'_>, of: &str, value: &Value<'_>) -> Option<Way> {
    if of != "unless" {
        page.advise(value.span().start, format!("{of}: tls can only lift a policy"), "unless = [{ tls = \"verified\" }]");
        return None;
    }
    page.choose(&WAY, value)
}

fn read_who(page: &mut Page<'_>, key: &str, value: &Value<'_>) -> Vec<Who> {
    let texts = page.texts(key, value);
    texts.into_iter().filter_map(|(text, at)| read_one_who(page, key, (&text, at))).collect()
}

fn read_one_who(page: &mut Page<'_>, key: &str, (text, at): (&str, usize)) -> Option<Who> {
    match text {
        "internal" => return Some(Who::Internal),
        "external" => return Some(Who::External),
        _ => {}
    }
    if let Some((_, instead)) = WHO_LATER.iter().find(|(later, _)| *later == text) {
        page.advise(at, format!("{key} {text:?}: not in this version"), *instead);
        return None;
    }
    let glob = Glob::address(text).filter(|_| text.contains(['@', '.', '*']));
    if glob.is_none() {
        let help = offer(text, &["external", "internal"], "words");
        page.advise(at, format!("unknown {key} {text:?}"), format!("{help}; or a domain, an address, or either with *"));
    }
    glob.map(Who::Like)
}

fn read_globs(page: &mut Page<'_>, key: &str, value: &Value<'_>) -> Vec<Glob> {
    let mut globs = Vec::new();
    for (text, at) in page.texts(key, value) {
        match Glob::parse(&text) {
            Some(glob) => globs.push(glob),
            None => page.advise(at, format!("{key}: {text:?} is not understood"), "text with * and ? in it"),
        }
    }
    globs
}

fn read_header(page: &mut Page<'_>, value: &Value<'_>) -> Vec<(String, Vec<Glob>)> {
    let Some(table) = page.table("header", value) else { return Vec::new() };
    if table.is_empty() {
        page.advise(value.span().start, "header: no field named", "header = { X-Class = \"secret*\" }");
    }
    table.iter().map(|(name, value)| (name.get_ref().to_string(), read_globs(page, name.get_ref(), value))).collect()
}

fn read_bound(page: &mut Page<'_>, key: &str, value: &Value<'_>) -> Option<Bound> {
    let text = match value.get_ref() {
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::String(text) => text.to_string(),
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    };
    let bound = Bound::parse(&text);
    if bound.is_none() {
        page.expected(key, "a comparison: \">= 3\", \"< 10MB\"", value);
    }
    if matches!(key, "size" | "total") && bound.is_some_and(|bound| bound.relation == Relation::Equal) {
        page.advise(value.span().start, format!("{key}: exactly {text} is what no mail has"), format!("\">= {text}\" or \"< {text}\""));
    }
    bound
}

fn read_files(page: &mut Page<'_>, value: &Value<'_>) -> Option<Files> {
    if let DeValue::Table(table) = value.get_ref() {
        page.keys(table, "attachments", (&["count", "names", "types", "total", "encrypted"], &[]));
        if table.is_empty() {
            page.advise(value.span().start, "attachments: no condition", "attachments = \"any\", or count, names, types, total, encrypted");
        }
        return Some(Files {
            count: get(table, "count").and_then(|value| read_bound(page, "count", value)),
            names: get(table, "names").map(|value| read_globs(page, "names", value)),
            types: get(table, "types").map(|value| read_globs(page, "types", value)),
            total: get(table, "total").and_then(|value| read_bound(page, "total", value)),
            encrypted: get(table, "encrypted").and_then(|value| {
                let said = value.get_ref().as_bool();
                if said.is_none() {
                    page.expected("encrypted", "true or false", value);
                }
                said.map(|said| if said { Encrypted::Yes } else { Encrypted::No })
            }),
        });
    }
    page.choose(&FILES, value).map(|word| match word {
        FilesWord::Any => Files { count: Some(Bound { relation: Relation::AtLeast, number: 1 }), ..Files::default() },
        FilesWord::Empty => Files { count: Some(Bound { relation: Relation::Equal, number: 0 }), ..Files::default() },
        FilesWord::Encrypted => Files { encrypted: Some(Encrypted::Yes), ..Files::default() },
    })
}

fn read_found(page: &mut Page<'_>, value: &Value<'_>, known: &Known<'_>) -> Option<Found> {
    let (needs, list) = match value.get_ref() {
        DeValue::Table(table) => {
            page.keys(table, "found", (&["all", "any"], &[]));
            match (get(table, "all"), get(table, "any")) {
                (Some(list), None) => (Needs::All, list),
                (None, Some(list)) => (Needs::Any, list),
                (Some(_), Some(_)) | (None, None) => {
                    page.expected("found", "either all = [...] or any = [...]", value);
                    return None;
                }
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            (Needs::Any, value)
        }
    };
    let texts = page.texts("found", list);
    let rules = texts.into_iter().filter_map(|(text, at)| read_one_found(page, (&text, at), known)).collect();
    Some(Found { needs, rules })
}

fn read_one_found(page: &mut Page<'_>, (text, at): (&str, usize), known: &Known<'_>) -> Option<(String, Bound)> {
    let split = text.find(['<', '>', '=']).unwrap_or(text.len());
    let (rule, bound) = text.split_at_checked(split)?;
    let rule = rule.trim();
    let bound = if bound.is_empty() { Some(Bound { relation: Relation::AtLeast, number: 1 }) } else { Bound::parse(bound) };
    let all: Vec<&str> = known.rules.iter().chain(BUILT_IN).copied().collect();
    if !all.contains(&rule) {
        let help = offer(rule, &all, "rules");
        page.advise(at, format!("unknown rule {rule:?}"), help);
        return None;
    }
    match bound {
        Some(bound) if matches!(bound.relation, Relation::AtLeast | Relation::Above) => Some((rule.to_owned(), bound)),
        Some(_) | None => {
            page.advise(
                at,
                format!("found {text:?} is not understood"),
                "the name of a rule, and if need be how many different hits: \"health >= 2\"",
            );
            None
        }
    }
}

fn read_reasons(page: &mut Page<'_>, value: &Value<'_>) -> Vec<(String, String)> {
    match value.get_ref() {
        DeValue::Table(table) => {
            table.keys().for_each(|key| page.language("reason", key.get_ref(), key.span().start));
            table.iter().filter_map(|(language, text)| Some((language.get_ref().to_string(), page.text("reason", text)?))).collect()
        }
        DeValue::String(text) => vec![(String::new(), text.to_string())],
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            page.expected("reason", "text in quotes, or one for each language: reason.en = \"…\"", value);
            Vec::new()
        }
    }
}

/// `12h`, `7d`, `2w`, `7` (days).
pub fn lifetime(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let hours = match unit.trim().to_ascii_lowercase().as_str() {
        "h" | "hour" | "hours" => 1,
        "" | "d" | "day" | "days" => 24,
        "w" | "week" | "weeks" => 168,
        _ => return None,
    };
    let hours = number.parse::<u64>().ok().filter(|number| (1..LIFETIME_MAX).contains(number))? * hours;
    Some(Duration::from_secs(hours * 3600))
}

/// A duration as people write it.
pub fn spell(duration: Duration) -> String {
    let hours = duration.as_secs().div_ceil(3600);
    if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") }
}

/// `attachments` in one word.
#[derive(Debug, Clone, Copy)]
enum FilesWord {
    Any,
    Empty,
    Encrypted,
}

const KEYS: &[&str] = &["name", "when", "unless", "then", "mode", "factor", "expires", "downloads", "go", "reason"];
const LATER: &[Later] = &[
    ("state", "take the policy out to switch it off"),
    ("second", "factor = \"password\""),
    ("missing", "factor = \"password\": a password reaches everybody who has a mailbox"),
    ("notify_style", "mode = \"automatic\": secured at once, the sender may turn it off"),
    ("mixed", "mixed is an option of the organisation: \"strictest\" or \"split\""),
];
const CONDITIONS: &[&str] = &["sender", "recipient", "subject", "header", "size", "attachments", "found", "tls"];
const CONDITIONS_LATER: &[Later] = &[
    ("recipients", "name them in recipient; how many there are cannot be asked yet"),
    ("tag", "the sender's wish is weighed by mode: \"automatic\" may be turned off, \"mandatory\" may not"),
    ("time", "leave it out: the policy holds at any time"),
    ("thread", "leave it out: the policy holds for answers as well"),
];
const WHO_LATER: &[Later] = &[
    ("freemail", "list the domains: [\"gmail.com\", \"outlook.com\"]"),
    ("first-time", "recipient = \"external\""),
    ("look-alike", "recipient = \"external\""),
];
const MODE: Choice<Mode> = Choice {
    one: "mode",
    many: "modes",
    words: &[("automatic", Mode::Automatic), ("mandatory", Mode::Mandatory)],
    later: &[("notify", "mode = \"automatic\": secured at once, and the sender may turn it off with [plain: reason]")],
};
/// Also read by policy tests.
pub const PROTECTION: Choice<Protection> = Choice {
    one: "protection",
    many: "protections",
    words: &[
        ("pass", Protection::Pass),
        ("public-files", Protection::PublicFiles),
        ("secure-files", Protection::SecureFiles),
        ("secure-message", Protection::SecureMessage),
    ],
    later: &[],
};
/// Also read by policy tests.
pub const FACTOR: Choice<Factor> = Choice {
    one: "factor",
    many: "factors",
    words: &[("none", Factor::None), ("password", Factor::Password)],
    later: &[("second", "factor = \"password\"")],
};
/// Also read by policy tests.
pub const GO: Choice<Go> = Choice {
    one: "go",
    many: "words",
    words: &[("now", Go::Now), ("reject", Go::Reject)],
    later: &[
        ("ask", "go = \"reject\", with a reason that tells the sender what to do"),
        ("hold", "go = \"reject\", with a reason that tells the sender what to do"),
    ],
};
/// Also read by policy tests.
pub const WAY: Choice<Way> = Choice { one: "tls", many: "words", words: &[("verified", Way::Verified)], later: &[] };
const FILES: Choice<FilesWord> = Choice {
    one: "attachments",
    many: "words",
    words: &[("any", FilesWord::Any), ("none", FilesWord::Empty), ("encrypted", FilesWord::Encrypted)],
    later: &[],
};
/// Numbers of units; keeps the arithmetic small.
const LIFETIME_MAX: u64 = 10_000;
