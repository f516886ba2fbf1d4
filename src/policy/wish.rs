//! The sender's wish: tags in the subject. Only from inside, only in front or at the very end.
//!
//! ```text
//! [secure] the letter        [files, exp: 7d, max: 3] the plans        the menu [plain: it is public]
//! ```
//!
//! A bracket is a wish if its first word is a reserved one; anything else, `[EXT]` or `[JIRA-12]`,
//! is text. Behind `Re:` or `Fwd:` a tag is somebody's quoted wish: taken out, without effect.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::mail::{Admd, Envelope, Message, decode};

use super::matching::{lifetime, spell};
use super::{Factor, Protection};

/// What the sender asked for, and the subject without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// `[public]`, `[files]`, `[secure]`, or `pass` by `[plain: reason]`.
    pub protection: Option<Protection>,
    /// The reason given with `[plain: …]`.
    pub reason: Option<String>,
    /// `[1fa]`, `[pw]`.
    pub factor: Option<Factor>,
    /// `[exp: 7d]`.
    pub expires: Option<Duration>,
    /// `[exp: 2026-12-01]`: to the end of that day, UTC.
    pub until: Option<Date>,
    /// `[max: 3]`; nought is unlimited.
    pub downloads: Option<u32>,
    /// The subject with the tags taken out; `None` when there were none.
    pub subject: Option<String>,
    /// A bracket that was meant as a wish and cannot be understood: the message is refused with this advice.
    pub malformed: Option<String>,
}

/// What a bracket turns out to be.
enum Bracket {
    Wish(Vec<Tag>),
    Text,
    Malformed(String),
}

/// One thing asked for.
enum Tag {
    Protection(Protection),
    Plain(String),
    Factor(Factor),
    Expires(Duration),
    Until(Date),
    Downloads(u32),
}

impl Wish {
    /// Reads the decoded subject.
    pub fn parse(subject: &str) -> Self {
        let mut wish = Self::default();
        let mut rest = subject.trim();
        let mut found = Found::Nothing;
        while let Some((inside, after)) = bracket_in_front(rest) {
            if !wish.take(inside) {
                break;
            }
            found = Found::Tags;
            rest = after.trim_start();
        }
        let reply = without_reply_mark(rest).is_some();
        while let Some((before, inside)) = bracket_at_end(rest).filter(|_| !reply) {
            if !wish.take(inside) {
                break;
            }
            found = Found::Tags;
            rest = before.trim_end();
        }
        let cleaned = without_quoted_tags(rest);
        if matches!(found, Found::Tags) || cleaned != rest {
            wish.subject = Some(cleaned);
        }
        wish
    }

    /// The wish of a message: that of its subject if the sender is in the house; from outside only
    /// the tags are taken out.
    pub fn of(message: &Message, envelope: &Envelope, admd: &Admd) -> Self {
        let Some(field) = message.header().first("Subject") else { return Self::default() };
        let wish = Self::parse(&decode::unstructured(&field.value()));
        if envelope.reverse_path.mailbox().is_some_and(|sender| admd.is_internal(sender)) {
            wish
        } else {
            Self { subject: wish.subject, ..Self::default() }
        }
    }

    /// How long the link is to live, counted from now. A day that is over gives nothing at all.
    pub fn lifetime(&self, now: Timestamp) -> Option<Duration> {
        let until = self.until.and_then(|date| {
            let end = date.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            Some(Duration::try_from(end.duration_since(now)).unwrap_or_default())
        });
        until.or(self.expires)
    }

    /// Whether it asks for protection: more than to be left as it is.
    pub fn asks_for_more(&self) -> bool {
        let limits = self.factor.is_some() || self.expires.is_some() || self.until.is_some() || self.downloads.is_some();
        limits || self.protection.is_some_and(|protection| protection > Protection::Pass)
    }

    /// The tags as they would be written, for explanations.
    pub fn spelled(&self) -> Vec<String> {
        let protection = self.protection.map(|protection| match protection {
            Protection::Pass => format!("[plain: {}]", self.reason.as_deref().unwrap_or_default()),
            Protection::PublicFiles => "[public]".to_owned(),
            Protection::SecureFiles => "[files]".to_owned(),
            Protection::SecureMessage => "[secure]".to_owned(),
        });
        let factor = self.factor.map(|factor| match factor {
            Factor::None => "[public]".to_owned(),
            Factor::Password => "[1fa]".to_owned(),
        });
        let expires = self.expires.map(|expires| format!("[exp: {}]", spell(expires)));
        let until = self.until.map(|until| format!("[exp: {until}]"));
        let downloads = self.downloads.map(|downloads| format!("[max: {downloads}]"));
        [protection, factor, expires, until, downloads].into_iter().flatten().collect()
    }

    /// Takes what a bracket asks for; false when the bracket is text.
    fn take(&mut self, inside: &str) -> bool {
        match read(inside) {
            Bracket::Text => false,
            Bracket::Malformed(advice) => {
                self.malformed.get_or_insert(advice);
                true
            }
            Bracket::Wish(tags) => {
                for tag in tags {
                    self.add(tag);
                }
                true
            }
        }
    }

    fn add(&mut self, tag: Tag) {
        let twice = match tag {
            Tag::Protection(protection) => set(&mut self.protection, protection),
            Tag::Plain(reason) => set(&mut self.protection, Protection::Pass) || set(&mut self.reason, reason),
            Tag::Factor(factor) => set(&mut self.factor, factor),
            Tag::Expires(expires) => set(&mut self.expires, expires) || self.until.is_some(),
            Tag::Until(date) => set(&mut self.until, date) || self.expires.is_some(),
            Tag::Downloads(downloads) => set(&mut self.downloads, downloads),
        };
        if twice {
            self.malformed.get_or_insert("the tags in the subject contradict each other: ask for one thing of each kind".to_owned());
        }
    }
}

/// Whether anything was taken out in front or at the end.
#[derive(Clone, Copy)]
enum Found {
    Tags,
    Nothing,
}

/// Sets what was not set; true when it was set to something else.
fn set<T: PartialEq>(place: &mut Option<T>, value: T) -> bool {
    match place {
        Some(before) => *before != value,
        None => {
            *place = Some(value);
            false
        }
    }
}

fn bracket_in_front(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

fn bracket_at_end(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix(']')?.rsplit_once('[')
}

/// The rest of a subject behind `Re:`, `Fwd[2]:` and what they are called in other languages.
fn without_reply_mark(text: &str) -> Option<&str> {
    let (mark, rest) = text.split_once(':')?;
    let mark = mark.trim();
    let name = mark.split_once(['[', '(']).map_or(mark, |(name, _)| name).trim();
    REPLY_MARKS.iter().any(|known| name.eq_ignore_ascii_case(known)).then(|| rest.trim_start())
}

/// The subject with the tags behind its reply marks taken out.
fn without_quoted_tags(subject: &str) -> String {
    let Some(rest) = without_reply_mark(subject) else { return subject.to_owned() };
    let mark = subject.strip_suffix(rest).unwrap_or_default();
    let mut quoted = rest;
    while let Some((inside, after)) = bracket_in_front(quoted) {
        if !matches!(read(inside), Bracket::Wish(_)) {
            break;
        }
        quoted = after.trim_start();
    }
    while let Some((before, inside)) = bracket_at_end(quoted) {
        if !matches!(read(inside), Bracket::Wish(_)) {
            break;
        }
        quoted = before.trim_end();
    }
    format!("{mark}{}", without_quoted_tags(quoted))
}

/// What stands between the brackets.
fn read(inside: &str) -> Bracket {
    let lower = inside.trim().to_lowercase();
    let first = word_of(&lower);
    if !RESERVED.contains(&first) && !LATER.contains(&first) {
        return match RESERVED.iter().chain(LATER).find(|known| known.len() >= NEAR_LEAST && one_apart(first, known)) {
            Some(known) => Bracket::Malformed(format!("[{first}] in the subject: did you mean [{known}]?")),
            None => Bracket::Text,
        };
    }
    let mut tags = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        match next_tag(rest) {
            Ok((tag, after)) => {
                tags.push(tag);
                rest = after.trim_start_matches(|c: char| c.is_whitespace() || ",;+".contains(c));
            }
            // What stands behind the word may be a secret, and the advice travels.
            Err(advice) => return Bracket::Malformed(format!("[{first}] in the subject: {advice}")),
        }
    }
    Bracket::Wish(tags)
}

fn next_tag(text: &str) -> Result<(Tag, &str), String> {
    let word = word_of(text);
    let rest = text.strip_prefix(word).unwrap_or_default().trim_start();
    let argument = rest.strip_prefix(':').map(str::trim_start);
    let lower = word.to_lowercase();
    if let "plain" | "exp" | "max" = lower.as_str() {
        return next_with_argument(&lower, argument);
    }
    if LATER.contains(&lower.as_str()) {
        return Err(format!("[{lower}] is not in this version; [1fa] asks for a password, [secure] protects the whole message"));
    }
    let tag = match lower.as_str() {
        "public" => Tag::Protection(Protection::PublicFiles),
        "files" => Tag::Protection(Protection::SecureFiles),
        "secure" => Tag::Protection(Protection::SecureMessage),
        "1fa" => Tag::Factor(Factor::Password),
        "pw" if argument.is_some() => return Err("a password must not stand in a subject; [pw] has one made".to_owned()),
        "pw" => Tag::Factor(Factor::Password),
        _ => return Err(format!("{word:?} is not a tag; tags: {}", RESERVED.join(", "))),
    };
    match argument {
        Some(_) => Err(format!("[{lower}] takes nothing behind it")),
        None => Ok((tag, rest)),
    }
}

fn next_with_argument<'t>(name: &str, argument: Option<&'t str>) -> Result<(Tag, &'t str), String> {
    let argument = argument.unwrap_or_default();
    if name == "plain" {
        let reason = argument.trim();
        return match reason.is_empty() {
            true => Err("sending it plain takes a reason: [plain: the price list is public]".to_owned()),
            false => Ok((Tag::Plain(reason.to_owned()), "")),
        };
    }
    let end = argument.find(|c: char| c.is_whitespace() || ",;+".contains(c)).unwrap_or(argument.len());
    let (value, rest) = argument.split_at_checked(end).unwrap_or((argument, ""));
    let tag = match name {
        "max" => value.parse().ok().map(Tag::Downloads),
        _ => value.parse().ok().map(Tag::Until).filter(|_| value.len() == DATE_LENGTH).or_else(|| lifetime(value).map(Tag::Expires)),
    };
    let advice = match name {
        "max" => "how many downloads: [max: 3]",
        _ => "how long, or until when: [exp: 7d], [exp: 12h], [exp: 2026-12-01]",
    };
    tag.map(|tag| (tag, rest)).ok_or_else(|| advice.to_owned())
}

fn word_of(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// One letter more, less, other, or two neighbours swapped.
fn one_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let front = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(front..).unwrap_or_default(), b.get(front..).unwrap_or_default());
    match (a, b) {
        ([], []) => false,
        ([_, rest @ ..], _) if rest == b => true,
        (_, [_, rest @ ..]) if rest == a => true,
        ([_, one @ ..], [_, other @ ..]) if one == other => true,
        ([x, y, one @ ..], [v, w, other @ ..]) => x == w && y == v && one == other,
        _ => false,
    }
}

const RESERVED: &[&str] = &["public", "files", "secure", "plain", "exp", "max", "1fa", "pw"];
/// Reserved for what comes later, so that nobody sends something in the hope of it.
const LATER: &[&str] = &["2fa", "sms", "hold", "via", "request"];
/// A shorter word is one letter away from too many others.
const NEAR_LEAST: usize = 5;
/// `2026-12-01`.
const DATE_LENGTH: usize = 10;
/// Answer and forward marks of common clients.
const REPLY_MARKS: &[&str] = &["re", "fw", "fwd", "sv", "vs", "vb", "aw", "wg", "antw", "doorst", "ref", "rif", "tr", "odp", "rv", "enc"];

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    fn secure() -> Wish {
        Wish { protection: Some(Protection::SecureMessage), ..Wish::default() }
    }

    #[test]
    fn tags_stand_in_front_or_at_the_very_end() {
        for (subject, expect) in [
            ("[secure] hi", Wish { subject: Some("hi".into()), ..secure() }),
            (" [ Secure ]hi", Wish { subject: Some("hi".into()), ..secure() }),
            ("hi [SECURE]", Wish { subject: Some("hi".into()), ..secure() }),
            ("[secure]", Wish { subject: Some(String::new()), ..secure() }),
            ("hi [secure] there", Wish::default()),
            ("[EXT] hi", Wish::default()),
            ("[JIRA-12] hi [EXT]", Wish::default()),
            ("hi", Wish::default()),
            ("Re: [secure] hi", Wish { subject: Some("Re: hi".into()), ..Wish::default() }),
            ("Re: hi [secure]", Wish { subject: Some("Re: hi".into()), ..Wish::default() }),
            ("SV: AW: [files 1fa] hi", Wish { subject: Some("SV: AW: hi".into()), ..Wish::default() }),
            ("[secure] Re: [public] hi", Wish { subject: Some("Re: hi".into()), ..secure() }),
            ("Re: [JIRA-12] hi", Wish::default()),
        ] {
            assert_eq!(Wish::parse(subject), expect, "{subject}");
        }
    }

    #[test]
    fn several_tags_stand_in_one_bracket_or_in_several() {
        let all = Wish {
            protection: Some(Protection::SecureFiles),
            factor: Some(Factor::Password),
            expires: Some(DAY * 7),
            downloads: Some(3),
            subject: Some("plans".into()),
            ..Wish::default()
        };
        for subject in [
            "[files, 1fa, exp: 7d, max: 3] plans",
            "[files][1fa] [exp:1w][max:3] plans",
            "[FILES pw exp :7 max:3] plans",
            "[files] plans [exp:7d,max:3,pw]",
        ] {
            assert_eq!(Wish::parse(subject), all, "{subject}");
        }
        let plain = Wish {
            protection: Some(Protection::Pass),
            reason: Some("it is, as such, public".into()),
            subject: Some("menu".into()),
            ..Wish::default()
        };
        assert_eq!(Wish::parse("[plain: it is, as such, public] menu"), plain);
        let until = Wish { until: Some(jiff::civil::date(2026, 12, 1)), subject: Some("x".into()), ..Wish::default() };
        assert_eq!(Wish::parse("x [exp: 2026-12-01]"), until);
    }

    #[test]
    fn what_was_meant_as_a_wish_and_is_not_one_gets_advice() {
        for (subject, expect) in [
            ("[secur] x", "[secur] in the subject: did you mean [secure]?"),
            ("[secrue] x", "[secrue] in the subject: did you mean [secure]?"),
            (
                "[2fa] x",
                "[2fa] in the subject: [2fa] is not in this version; [1fa] asks for a password, [secure] protects the whole message",
            ),
            (
                "[sms: +46701234567] x",
                "[sms] in the subject: [sms] is not in this version; [1fa] asks for a password, [secure] protects the whole message",
            ),
            ("[plain] x", "[plain] in the subject: sending it plain takes a reason: [plain: the price list is public]"),
            ("[max: many] x", "[max] in the subject: how many downloads: [max: 3]"),
            ("[exp: soon] x", "[exp] in the subject: how long, or until when: [exp: 7d], [exp: 12h], [exp: 2026-12-01]"),
            ("[pw: hunter2] x", "[pw] in the subject: a password must not stand in a subject; [pw] has one made"),
            (
                "[public holiday] x",
                "[public] in the subject: \"holiday\" is not a tag; tags: public, files, secure, plain, exp, max, 1fa, pw",
            ),
            ("[secure][public] x", "the tags in the subject contradict each other: ask for one thing of each kind"),
        ] {
            assert_eq!(Wish::parse(subject).malformed.as_deref(), Some(expect), "{subject}");
        }
        assert_eq!(Wish::parse("[plane] x").malformed, None);
        assert_eq!(Wish::parse("[pv] x").malformed, None);
    }

    #[test]
    fn a_date_is_its_whole_day_and_a_past_one_is_no_time() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        assert_eq!(Wish::parse("[exp: 2026-12-01] x").lifetime(now), Some(Duration::from_secs(36 * 3600)));
        assert_eq!(Wish::parse("[exp: 2026-11-01] x").lifetime(now), Some(Duration::ZERO));
        assert_eq!(Wish::parse("[exp: 2d] x").lifetime(now), Some(DAY * 2));
    }
}
