//! The `when` and `unless` of a policy: conditions that all must hold.
//!
//! What cannot be evaluated is [`Truth::Unknown`]: it counts as true in `when` and as false in
//! `unless`, so that not knowing never protects less.

use regex::Regex;

use crate::mail::Mailbox;

use super::normal::Normal;
use super::{Attachment, Encrypted, Facts, UNINSPECTABLE};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// Nobody can tell.
    Unknown,
    /// It does.
    Yes,
}

/// All that one `when` or one entry of `unless` asks for.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Any of these is the sender.
    pub sender: Option<Vec<Who>>,
    /// Any of these is the recipient.
    pub recipient: Option<Vec<Who>>,
    /// Any of these is like the subject.
    pub subject: Option<Vec<Glob>>,
    /// Each of these fields exists with a value like this.
    pub header: Vec<(String, Vec<Glob>)>,
    /// The octets of the whole message.
    pub size: Option<Bound>,
    /// Files.
    pub attachments: Option<Files>,
    /// What rules found.
    pub found: Option<Found>,
    /// The way to the recipient.
    pub tls: Option<Way>,
}

/// What is asked of the way that mail to a recipient goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over TLS with a host that is proven to be the recipient's, or that promises to see to that.
    Verified,
}

/// A sender or recipient as policies name them.
#[derive(Debug, Clone)]
pub enum Who {
    /// In the house.
    Internal,
    /// Not in the house.
    External,
    /// An address, a domain, or a glob of either.
    Like(Glob),
}

/// Text with `*` for anything and `?` for one character, without regard to case.
#[derive(Debug, Clone)]
pub struct Glob {
    regex: Regex,
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// How.
    pub relation: Relation,
    /// With what.
    pub number: u64,
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `=`
    Equal,
}

/// What is asked of the files of a message; all that is said must hold.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// How many.
    pub count: Option<Bound>,
    /// One of them is called like this.
    pub names: Option<Vec<Glob>>,
    /// One of them is of a type like this, or holds such a file.
    pub types: Option<Vec<Glob>>,
    /// Octets of all together.
    pub total: Option<Bound>,
    /// One of them is behind a password, or none is.
    pub encrypted: Option<Encrypted>,
}

/// What is asked of findings.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whether one is enough.
    pub needs: Needs,
    /// Rule, and how many different hits.
    pub rules: Vec<(String, Bound)>,
}

/// Whether one of several is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// One.
    Any,
    /// Every one.
    All,
}

impl Condition {
    /// Whether it holds for one recipient.
    pub fn holds(&self, facts: &Facts<'_>, recipient: &Mailbox) -> Truth {
        let sender = self.sender.as_ref().map(|who| sender_is(who, facts));
        let to = self.recipient.as_ref().map(|who| Truth::from(any(who, recipient, facts)));
        let subject = self.subject.as_ref().map(|globs| Truth::from(like(globs, &subject_of(facts))));
        let size = self.size.map(|bound| Truth::from(bound.holds(facts.message.bytes().len() as u64)));
        let header = self.header.iter().map(|(name, globs)| field_is(facts, name, globs)).min();
        let files = self.attachments.as_ref().map(|files| files.hold(facts));
        let found = self.found.as_ref().map(|found| found.holds(facts));
        let tls = self.tls.map(|Way::Verified| Truth::from(facts.verified.contains(recipient)));
        [sender, to, subject, size, header, files, found, tls].into_iter().flatten().min().unwrap_or(Truth::Yes)
    }

    /// Whether it names this recipient, rather than saying nothing about recipients.
    pub fn names(&self, recipient: &Mailbox, facts: &Facts<'_>) -> bool {
        self.recipient.as_ref().is_some_and(|who| any(who, recipient, facts))
    }
}

impl Who {
    fn is(&self, mailbox: &Mailbox, facts: &Facts<'_>) -> bool {
        match self {
            Self::Internal => facts.admd.is_inside(mailbox),
            Self::External => !facts.admd.is_inside(mailbox),
            Self::Like(glob) => glob.is_like(&mailbox.to_string()),
        }
    }
}

impl Glob {
    /// A glob over text in the spelling of normalised text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::compile(&Normal::of(text.trim()).text)
    }

    /// A glob over addresses: without an `@` it is about the domain.
    pub fn address(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@').unwrap_or(("*", text));
        let ascii = domain
            .split('.')
            .map(|label| if label.is_ascii() { label.to_ascii_lowercase() } else { idna::domain_to_ascii(label).unwrap_or_default() })
            .collect::<Vec<_>>()
            .join(".");
        let fine = !ascii.is_empty()
            && ascii.split('.').all(|label| !label.is_empty())
            && !local.is_empty()
            && !text.contains(char::is_whitespace);
        if fine { Self::compile(&format!("{}@{ascii}", local.to_lowercase())) } else { None }
    }

    fn compile(text: &str) -> Option<Self> {
        let shape: String = text
            .chars()
            .map(|c| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                other => regex::escape(other.encode_utf8(&mut [0; 4])),
            })
            .collect();
        Regex::new(&format!("(?is)^{shape}$")).ok().map(|regex| Self { regex })
    }

    fn is_like(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl Bound {
    /// `>= 3`, `< 10MB`, `5`; none when it is not a comparison.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, rest) = text.split_at_checked(text.find(|c: char| !"<>=".contains(c))?)?;
        let relation = match sign {
            ">=" | "=>" => Relation::AtLeast,
            ">" => Relation::Above,
            "<=" | "=<" => Relation::AtMost,
            "<" => Relation::Below,
            "" | "=" | "==" => Relation::Equal,
            _ => return None,
        };
        let rest = rest.trim();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at_checked(digits)?;
        let factor = match unit.trim().to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return None,
        };
        Some(Self { relation, number: number.parse::<u64>().ok()?.checked_mul(factor)? })
    }

    /// Whether a number is within.
    pub const fn holds(self, number: u64) -> bool {
        match self.relation {
            Relation::AtLeast => number >= self.number,
            Relation::Above => number > self.number,
            Relation::AtMost => number <= self.number,
            Relation::Below => number < self.number,
            Relation::Equal => number == self.number,
        }
    }
}

impl Files {
    fn hold(&self, facts: &Facts<'_>) -> Truth {
        let files = &facts.inspection.attachments;
        let count = self.count.map(|bound| Truth::from(bound.holds(files.len() as u64)));
        let total = self.total.map(|bound| Truth::from(bound.holds(files.iter().map(|file| file.size).sum())));
        let names = self.names.as_ref().map(|globs| Truth::from(files.iter().any(|file| like(globs, &Normal::of(&file.name).text))));
        let types = self.types.as_ref().map(|globs| files.iter().map(|file| type_is(file, globs)).max().unwrap_or(Truth::No));
        let encrypted = self.encrypted.map(|wanted| self.encrypted_is(wanted, facts));
        [count, total, names, types, encrypted].into_iter().flatten().min().unwrap_or(Truth::Yes)
    }

    fn encrypted_is(&self, wanted: Encrypted, facts: &Facts<'_>) -> Truth {
        let any = facts.inspection.attachments.iter().any(|file| file.encrypted == Encrypted::Yes);
        match (wanted, any) {
            (Encrypted::Yes, true) => Truth::Yes,
            (Encrypted::No, true) => Truth::No,
            // A damaged or unknown file may hold what nobody saw.
            (Encrypted::Yes | Encrypted::No, false) if unread(facts) => Truth::Unknown,
            (Encrypted::Yes, false) => Truth::No,
            (Encrypted::No, false) => Truth::Yes,
        }
    }
}

impl Found {
    /// Whether it names this rule.
    pub fn names(&self, rule: &str) -> bool {
        self.rules.iter().any(|(name, _)| name == rule)
    }

    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let each = self.rules.iter().map(|(rule, bound)| Truth::from(bound.holds(facts.inspection.count(rule) as u64)));
        match self.needs {
            Needs::Any => each.max().unwrap_or(Truth::No),
            Needs::All => each.min().unwrap_or(Truth::No),
        }
    }
}

impl Truth {
    /// As an exception counts it: only what is known lifts a policy, and an exception that rests
    /// on what was found, or not found, is not known while a part could not be looked into.
    pub fn lifts(self, condition: &Condition, facts: &Facts<'_>) -> bool {
        self == Self::Yes && !(condition.found.is_some() && unread(facts))
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

fn unread(facts: &Facts<'_>) -> bool {
    facts.inspection.count(UNINSPECTABLE) > 0
}

fn any(who: &[Who], mailbox: &Mailbox, facts: &Facts<'_>) -> bool {
    who.iter().any(|one| one.is(mailbox, facts))
}

/// Reverse-path and author: a client may leave either empty, or fill in what it likes. Where they do
/// not agree, nobody can tell.
fn sender_is(who: &[Who], facts: &Facts<'_>) -> Truth {
    let authors = facts.message.header().all("From").flat_map(|field| crate::mail::decode::addresses(&field.value()).mailboxes);
    let named = facts.envelope.reverse_path.mailbox().cloned().into_iter().chain(authors.map(|(_, mailbox)| mailbox));
    let fits: Vec<bool> = named.map(|mailbox| any(who, &mailbox, facts)).collect();
    match (fits.contains(&true), fits.contains(&false)) {
        (true, false) => Truth::Yes,
        (false, true) => Truth::No,
        (true, true) | (false, false) => Truth::Unknown,
    }
}

fn like(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.is_like(text))
}

fn subject_of(facts: &Facts<'_>) -> String {
    let subjects: Vec<String> =
        facts.message.header().all("Subject").map(|field| crate::mail::decode::unstructured(&field.value())).collect();
    Normal::of(&subjects.join("\n")).text
}

fn field_is(facts: &Facts<'_>, name: &str, globs: &[Glob]) -> Truth {
    Truth::from(
        facts.message.header().all(name).any(|field| like(globs, &Normal::of(&crate::mail::decode::unstructured(&field.value())).text)),
    )
}

fn type_is(file: &Attachment, globs: &[Glob]) -> Truth {
    if file.types.iter().any(|one| like(globs, one)) {
        Truth::Yes
    } else if file.types.is_empty() || file.encrypted == Encrypted::Yes {
        Truth::Unknown
    } else {
        Truth::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_sign_a_number_and_a_unit() {
        for (text, expect) in [
            (">= 3", Some((Relation::AtLeast, 3))),
            ("<10MB", Some((Relation::Below, 10_000_000))),
            ("5", Some((Relation::Equal, 5))),
            ("> 1 GB", Some((Relation::Above, 1_000_000_000))),
            (">> 3", None),
            (">=", None),
            ("many", None),
            (">= 3 miles", None),
            ("> 99999999999999999999", None),
        ] {
            assert_eq!(Bound::parse(text).map(|bound| (bound.relation, bound.number)), expect, "{text}");
        }
    }

    #[test]
    fn a_glob_of_addresses_without_an_at_is_about_the_domain() {
        for (glob, address, expect) in [
            ("partner.example", "ann@partner.example", true),
            ("partner.example", "ann@sub.partner.example", false),
            ("*.partner.example", "ann@sub.partner.example", true),
            ("*@hospital.example", "Ann@hospital.example", true),
            ("ann@*", "ann@anywhere.example", true),
            ("ann@x.example", "joann@x.example", false),
            ("exämple.org", "a@xn--exmple-cua.org", true),
        ] {
            assert_eq!(Glob::address(glob).unwrap().is_like(address), expect, "{glob} {address}");
        }
        assert!(Glob::address("two words").is_none());
        assert!(Glob::address("a@").is_none());
    }
}
