//! Who: `local-part@domain`, by the strict grammar of RFC 5321 §4.1.2.
//!
//! Encoded words are never decoded in here, comments and folding are not accepted, and policy
//! and relay use the same parsed value, so no two readers can see two addresses.

use std::fmt;

/// A domain name in its canonical form: A-labels, lower case, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// Parses a name or U-label name; address literals (`[192.0.2.1]`) are kept as they are.
    pub fn parse(text: &str) -> Result<Self, BadMailbox> {
        if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = literal.strip_prefix("IPv6:").unwrap_or(literal);
            return match address.parse::<std::net::IpAddr>() {
                Ok(_) => Ok(Self(text.to_owned())),
                Err(_) => Err(BadMailbox::BadDomain),
            };
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| BadMailbox::BadDomain)?;
        if ascii.is_empty() || ascii.len() > DOMAIN_MAX || ascii.ends_with('.') {
            return Err(BadMailbox::BadDomain);
        }
        Ok(Self(ascii))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Domain {
    type Error = BadMailbox;

    fn try_from(text: String) -> Result<Self, BadMailbox> {
        Self::parse(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address that mail can be sent to. RFC 5321 §4.1.2, with UTF-8 local parts of RFC 6531.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    local_part: String,
    domain: Domain,
}

/// What is wrong with a text that should have been an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMailbox {
    /// There is no `@domain`.
    NoDomain,
    /// The domain is not a name.
    BadDomain,
    /// The local part is neither a dot-string nor a quoted string.
    BadLocalPart,
    /// Longer than RFC 5321 §4.5.3.1 allows.
    TooLong,
}

impl Mailbox {
    /// Parses `local-part@domain`, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, BadMailbox> {
        let (local_part, domain) = text.rsplit_once('@').ok_or(BadMailbox::NoDomain)?;
        if local_part.len() > LOCAL_PART_MAX || text.len() > PATH_MAX {
            return Err(BadMailbox::TooLong);
        }
        let well_formed = match local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => is_quoted_content(quoted),
            None => is_dot_string(local_part),
        };
        if !well_formed {
            return Err(BadMailbox::BadLocalPart);
        }
        let domain = Domain::parse(domain)?;
        // A-labels are longer than the letters that they stand for.
        if local_part.len() + 1 + domain.as_str().len() > PATH_MAX {
            return Err(BadMailbox::TooLong);
        }
        Ok(Self { local_part: local_part.to_owned(), domain })
    }

    /// The part before the `@`, with its quotes, as it was written.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// The part after the `@`.
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the two are the same mailbox to a human: the local part compared without case.
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local_part.to_lowercase() == other.local_part.to_lowercase()
    }

    /// Whether the local part is a quoted string, in which anything can stand.
    pub fn is_quoted(&self) -> bool {
        self.local_part.starts_with('"')
    }

    /// Whether a next hop needs SMTPUTF8 to take it. RFC 6531 §3.2.
    pub fn needs_utf8(&self) -> bool {
        !self.local_part.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl fmt::Display for BadMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDomain => "an address needs a domain: local-part@domain",
            Self::BadDomain => "the domain is not a valid name",
            Self::BadLocalPart => "the part before the @ is not a valid local part",
            Self::TooLong => "the address is too long",
        })
    }
}

fn is_dot_string(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// RFC 5322 §3.2.3, with the UTF-8 of RFC 6531 §3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// RFC 5321 §4.1.2 `QcontentSMTP`.
fn is_quoted_content(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '\\' => chars.next().is_some_and(|escaped| (' '..='~').contains(&escaped)),
            '"' => false,
            other => !other.is_control(),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// RFC 5321 §4.5.3.1.1.
const LOCAL_PART_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.2.
const DOMAIN_MAX: usize = 255;
/// RFC 5321 §4.5.3.1.3, less the two angle brackets.
const PATH_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_too_long_once_it_is_written_is_too_long() {
        let labels = |count| format!("annabella@{}se", "ä.".repeat(count));
        assert_eq!(Mailbox::parse(&labels(31)), Err(BadMailbox::TooLong));
        assert_eq!(Mailbox::parse(&labels(30)).map(|mailbox| mailbox.to_string().len()), Ok(252));
    }

    #[test]
    fn a_mailbox_needs_a_domain_and_an_end() {
        for (text, expect) in [
            ("ann@example.org", Ok("ann@example.org")),
            ("Ann@EXAMPLE.org", Ok("Ann@example.org")),
            ("\"ann lee\"@example.org", Ok("\"ann lee\"@example.org")),
            ("a\"b@example.org", Err(BadMailbox::BadLocalPart)),
            ("\"a\"b\"@example.org", Err(BadMailbox::BadLocalPart)),
            ("jörg@exämple.org", Ok("jörg@xn--exmple-cua.org")),
            ("ann@[192.0.2.1]", Ok("ann@[192.0.2.1]")),
            ("ann@[nonsense]", Err(BadMailbox::BadDomain)),
            ("ann", Err(BadMailbox::NoDomain)),
            ("ann@", Err(BadMailbox::BadDomain)),
            ("@example.org", Err(BadMailbox::BadLocalPart)),
            ("ann..lee@example.org", Err(BadMailbox::BadLocalPart)),
            ("ann@example.org>", Err(BadMailbox::BadDomain)),
            ("ann lee@example.org", Err(BadMailbox::BadLocalPart)),
        ] {
            assert_eq!(Mailbox::parse(text).map(|mailbox| mailbox.to_string()), expect.map(String::from), "{text}");
        }
    }
}
